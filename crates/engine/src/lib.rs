//! The thumbnail engine: the bytes of a picture in, the bytes of thumbnails out.
//!
//! It is pure: no files, no network, no clock, no threads, no `unsafe`. It treats every source as hostile: each
//! size is checked against [`Limits`] from the header before a pixel is decoded, [`working_memory`] says from the header how
//! much a run may allocate, and every failure is an [`Error`] that the person who sent the picture can understand.
//!
//! A thumbnail is upright (Exif orientation applied), in sRGB (embedded profiles applied), and carries no metadata of its
//! source: no camera, no date, no place; whose it is, if [`Options::keep_copyright`] says so.
//!
//! ```no_run
//! use thumb_engine::{Options, Spec, thumbnails};
//!
//! let photo = std::fs::read("photo.jpg")?;
//! let specs = ["400x400", "150x100"].map(|size| Spec::new(size.parse().unwrap()));
//! for (spec, thumbnail) in specs.iter().zip(thumbnails(&photo, &specs, &Options::default())?) {
//!     std::fs::write(format!("photo-{}.{}", spec.size, thumbnail.format.extension()), thumbnail.bytes)?;
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How a picture travels
//! `source` opens a file by its first bytes; the format's module reads the header (`jpeg::header`). `geometry` and `subject` place each
//! thumbnail on the picture, `render` asks the decoder for just that, at about that size (`jpeg::decode`), and makes of its planes
//! the thumbnail's (`pixels`), which are coded (`output`, `jpeg::encode`). A new format is one more module behind `picture::Picture`.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod boxes;
mod copyright;
mod error;
mod exif;
mod format;
mod geometry;
mod gif;
#[cfg(feature = "heic")]
mod heic;
mod info;
mod jpeg;
mod limits;
mod marks;
mod memory;
mod metadata;
mod orientation;
mod output;
mod picture;
mod pixels;
mod png;
mod raw;
mod render;
mod sniff;
mod source;
mod spec;
mod subject;
#[cfg(test)]
mod tests;
mod tiff;
mod webp;
mod words;
mod xmp;

pub use error::Error;
pub use format::{Format, Formats};
pub use info::Info;
pub use jpeg::Process;
pub use limits::{Limits, Options, Truncated};
pub use memory::working_memory;
pub use output::Placeholder;
pub use pixels::colour::Colour;
pub use spec::{
    DEFAULT_QUALITY, Fit, Focus, FocusError, Gravity, MAX_SIDE_PX, Output, Position, Sharpen, Size, SizeError, Spec,
};
pub use words::WordError;

use pixels::colour;
use subject::Place;

/// The version of what the engine makes. It changes whenever the thumbnail of some source and [`Spec`] changes, so a program
/// that stores it beside a thumbnail knows whether the same thumbnail would be made today. tests/golden.rs fails when the result changes and the number does not.
pub const OUTPUT_VERSION: u32 = 7;

/// A finished thumbnail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thumbnail {
    /// Width in pixels; it may be less than asked for where the picture is not enlarged.
    pub width: u32,
    /// Height of the JPEG in pixels, likewise.
    pub height: u32,
    /// How it is coded; never GIF, HEIC or camera raw.
    pub format: Format,
    /// The file.
    pub bytes: Vec<u8>,
    /// What can be shown before it has arrived.
    pub placeholder: Placeholder,
}

/// Reads the header of `source` and nothing else.
///
/// # Errors
/// As [`thumbnails`], except those that only decoding finds.
///
/// ```
/// use thumb_engine::{Limits, probe};
///
/// let error = probe(b"%PDF-1.7", &Limits::default()).unwrap_err();
/// assert!(error.to_string().starts_with("the file is a PDF document; thumbnails are made of JPEG, PNG, WebP, GIF, HEIC"));
/// ```
pub fn probe(source: &[u8], limits: &Limits) -> Result<Info, Error> {
    Ok(Info::new(&source::open(source, limits)?))
}

/// Makes one thumbnail for each of `specs`, in their order, from one decode of `source`.
///
/// # Errors
/// Every [`Error`]; [`Error::BadSpec`] before the source is looked at.
///
/// ```
/// use thumb_engine::{Options, Size, Spec, thumbnails};
///
/// let error = thumbnails(b"", &[Spec::new(Size::new(400, 300))], &Options::default()).unwrap_err();
/// assert_eq!(error.to_string(), "the file is empty");
/// ```
pub fn thumbnails(source: &[u8], specs: &[Spec], options: &Options) -> Result<Vec<Thumbnail>, Error> {
    specs.iter().try_for_each(Spec::check)?;
    let opened = source::open(source, &options.limits)?;
    if specs.is_empty() {
        return Ok(Vec::new());
    }
    let picture = opened.picture();
    let header = picture.header();
    let conversion = colour::conversion(&header.profile, header.colour);
    let stored = (header.width, header.height);
    let subject = header.metadata.subject();
    let places: Vec<_> = specs.iter().map(|spec| Place::new(stored, header.orientation, subject, spec)).collect();
    let needed: Vec<_> = places.iter().map(Place::needed).collect();
    let requests = render::requests(header.colour, header.planes(), specs, &needed);
    let decoded = source::decode(picture, &requests, options.truncated)?;
    let placements = subject::settle(&places, &decoded, header)?;
    let copyright = options.keep_copyright.then(|| header.metadata.copyright());
    specs
        .iter()
        .zip(&placements)
        .map(|(spec, placement)| {
            let rendered = render::shrink(&decoded, header, placement, spec, &conversion)?;
            let thumbnail = output::encode(rendered, spec, options.background)?;
            Ok(copyright.iter().fold(thumbnail, output::with_copyright))
        })
        .collect()
}
