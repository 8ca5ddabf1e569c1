//! What a source may be at most, and how a call treats one that is damaged.

use crate::error::Error;

/// What a source may be at most. Both are checked before any pixel is decoded.
///
/// ```
/// use thumb_engine::{Error, Limits, probe};
///
/// let limits = Limits { max_source_bytes: 3, ..Limits::default() };
/// assert_eq!(probe(b"\xff\xd8\xff\xe0", &limits), Err(Error::TooManyBytes { bytes: 4, max: 3 }));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Length of the file.
    pub max_source_bytes: usize,
    /// Width times height, by the file's header.
    pub max_source_pixels: u64,
}

impl Default for Limits {
    /// 64 MiB and 100 megapixels: above every camera's JPEG files but those of stitched panoramas.
    fn default() -> Self {
        Self { max_source_bytes: 64 << 20, max_source_pixels: 100_000_000 }
    }
}

impl Limits {
    pub(crate) fn check_bytes(&self, bytes: usize) -> Result<(), Error> {
        let max = self.max_source_bytes;
        if bytes > max { Err(Error::TooManyBytes { bytes, max }) } else { Ok(()) }
    }

    /// To be called by a format as soon as it knows the picture's size, before it allocates anything by it.
    pub(crate) fn check_pixels(&self, width: usize, height: usize) -> Result<(), Error> {
        let (width, height, max) = (width as u32, height as u32, self.max_source_pixels);
        let pixels = u64::from(width) * u64::from(height);
        if pixels > max { Err(Error::TooManyPixels { width, height, max }) } else { Ok(()) }
    }
}

/// What becomes of a source that ends too early or is damaged in its data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Truncated {
    /// An error.
    #[default]
    Strict,
    /// A thumbnail of what there is; the rest is grey.
    BestEffort,
}

/// How thumbnails are made, the same for all of one call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// What the source may be at most.
    pub limits: Limits,
    /// What becomes of a source that is cut short or damaged.
    pub truncated: Truncated,
}
