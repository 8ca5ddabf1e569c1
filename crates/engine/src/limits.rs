//! Limits of a source, and what to do with a damaged or a transparent one.

use crate::error::Error;
use crate::format::Formats;

/// Limits of a source. All are checked before any pixel is decoded.
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
    /// The formats that it may have.
    pub formats: Formats,
}

impl Default for Limits {
    /// Every format, 64 MiB and 268 megapixels, more than any camera or phone has (200 Mpx in 2023).
    fn default() -> Self {
        Self { max_source_bytes: 64 << 20, max_source_pixels: 1 << 28, formats: Formats::ALL }
    }
}

impl Limits {
    pub(crate) fn check_bytes(&self, bytes: usize) -> Result<(), Error> {
        let max = self.max_source_bytes;
        if bytes > max { Err(Error::TooManyBytes { bytes, max }) } else { Ok(()) }
    }

    /// A format must call this as soon as it knows the picture's size, before it allocates memory for it.
    pub(crate) fn check_pixels(&self, width: usize, height: usize) -> Result<(), Error> {
        let (width, height, max) = (width as u32, height as u32, self.max_source_pixels);
        let pixels = u64::from(width) * u64::from(height);
        if pixels > max { Err(Error::TooManyPixels { width, height, max }) } else { Ok(()) }
    }
}

/// What to do with a source that is truncated or has damaged data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Truncated {
    /// An error.
    #[default]
    Strict,
    /// Make a thumbnail of what can be decoded; the rest is grey, or transparent where the picture has transparency.
    BestEffort,
}

/// Options for all thumbnails of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Limits of the source.
    pub limits: Limits,
    /// What to do with a source that is truncated or damaged.
    pub truncated: Truncated,
    /// What a JPEG shows where the source is transparent: red, green and blue, in sRGB.
    pub background: [u8; 3],
    /// Whether a thumbnail keeps the name of the photographer and of who has the rights, where the source has them: Exif's Artist and
    /// Copyright, or Dublin Core's creator and rights. Each up to 1024 bytes; nothing else of the metadata.
    pub keep_copyright: bool,
}

impl Default for Options {
    /// A white background.
    fn default() -> Self {
        let (limits, truncated) = (Limits::default(), Truncated::default());
        Self { limits, truncated, background: [255; 3], keep_copyright: false }
    }
}
