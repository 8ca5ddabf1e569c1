//! What can be wrong with a picture: sentences for the person who sent it, types for the worker that decides what to do.

use std::fmt;

use crate::format::{Format, Formats};
use crate::sniff;

/// Why there is no thumbnail. All of these are permanent, except [`Error::OutOfMemory`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The first bytes are of no format that the engine reads.
    UnknownFormat {
        /// What the file looks like, with its article: "a PDF document".
        found: &'static str,
        /// What it may be instead.
        accepted: Formats,
    },
    /// Of a format that [`Limits::formats`](crate::Limits::formats) leaves out.
    NotAccepted {
        /// The format.
        format: Format,
        /// Those that are accepted.
        accepted: Formats,
    },
    /// The file ends before the picture does.
    Truncated,
    /// Longer than [`Limits::max_source_bytes`](crate::Limits::max_source_bytes).
    TooManyBytes {
        /// The file's length, or as much of it as was looked at.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// Larger than [`Limits::max_source_pixels`](crate::Limits::max_source_pixels) by its own header.
    TooManyPixels {
        /// Columns, as the header has them.
        width: u32,
        /// Rows, likewise.
        height: u32,
        /// The limit for their product.
        max: u64,
    },
    /// More scans than any program writes. A scan of a few bytes can cost a pass over the whole picture.
    TooManyScans {
        /// The limit.
        max: usize,
    },
    /// Breaks a rule of its format; says which.
    Corrupt(String),
    /// A valid file of a kind that this engine does not decode; says which kind, with its article.
    Unsupported(String),
    /// A size or quality out of range, whatever the source is: a side of 0, a quality of 101.
    BadSpec(String),
    /// An allocation failed.
    OutOfMemory,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::UnknownFormat { found: sniff::EMPTY, .. } => f.write_str("the file is empty"),
            Error::UnknownFormat { found: sniff::UNKNOWN, accepted } => {
                write!(f, "the file's format is unknown; thumbnails are made of {accepted} files")
            }
            Error::UnknownFormat { found, accepted } => {
                let advice = if sniff::is_picture(found) { ", so save it as one of these" } else { "" };
                write!(f, "the file is {found}; thumbnails are made of {accepted} files{advice}")
            }
            Error::NotAccepted { format, accepted } => {
                write!(f, "the file is a {} image; those accepted are {accepted}", format.name())
            }
            Error::Truncated => f.write_str("the file is truncated"),
            Error::TooManyBytes { bytes, max } => {
                write!(f, "the file has {bytes} bytes ({}); the limit is {max} ({})", mib(*bytes), mib(*max))
            }
            Error::TooManyPixels { width, height, max } => {
                let pixels = u64::from(*width) * u64::from(*height);
                write!(f, "the image is {width}x{height} ({}); the limit is {}", megapixels(pixels), megapixels(*max))
            }
            Error::TooManyScans { max } => {
                write!(f, "the file has more than {max} scans, which no camera or program writes")
            }
            Error::Corrupt(what) => write!(f, "the file is damaged: {what}"),
            Error::Unsupported(what) => write!(f, "not supported: {what}"),
            Error::BadSpec(what) => write!(f, "invalid thumbnail: {what}"),
            Error::OutOfMemory => f.write_str("not enough memory to decode the image"),
        }
    }
}

impl std::error::Error for Error {}

fn mib(bytes: usize) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// `3600 Mpx`; a decimal below 10, so that a limit of half a megapixel is not shown as 0.
fn megapixels(pixels: u64) -> String {
    let mpx = pixels as f64 / 1e6;
    if mpx < 10.0 { format!("{mpx:.1} Mpx") } else { format!("{mpx:.0} Mpx") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_name_the_thing() {
        let accepted = Formats::from_iter([Format::Jpeg, Format::Png]);
        let unknown = |bytes| Error::UnknownFormat { found: sniff::kind(bytes), accepted };
        let cases = [
            (
                unknown(b"%PDF-1.7"),
                "the file is a PDF document; thumbnails are made of JPEG and PNG files, so save it as one of these",
            ),
            (
                unknown(b"\0\0\0\x14ftypavif\0\0\0\0avif"),
                "the file is an AVIF image; thumbnails are made of JPEG and PNG files, so save it as one of these",
            ),
            (unknown(b""), "the file is empty"),
            (unknown(b"hello\n"), "the file is plain text; thumbnails are made of JPEG and PNG files"),
            (unknown(b"\0\x01"), "the file's format is unknown; thumbnails are made of JPEG and PNG files"),
            (
                Error::NotAccepted { format: Format::Gif, accepted },
                "the file is a GIF image; those accepted are JPEG and PNG",
            ),
            (Error::Truncated, "the file is truncated"),
            (
                Error::TooManyPixels { width: 60_000, height: 60_000, max: 100_000_000 },
                "the image is 60000x60000 (3600 Mpx); the limit is 100 Mpx",
            ),
            (
                Error::TooManyPixels { width: 1_000, height: 1_000, max: 500_000 },
                "the image is 1000x1000 (1.0 Mpx); the limit is 0.5 Mpx",
            ),
            (
                Error::TooManyBytes { bytes: 70 << 20, max: 64 << 20 },
                "the file has 73400320 bytes (70.0 MiB); the limit is 67108864 (64.0 MiB)",
            ),
            (Error::Corrupt("Huffman table 0 is missing".into()), "the file is damaged: Huffman table 0 is missing"),
        ];
        for (error, sentence) in cases {
            assert_eq!(error.to_string(), sentence);
        }
    }
}
