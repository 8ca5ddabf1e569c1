//! What can be wrong with a picture, in words for the person who sent it and in types for the worker that decides.

use std::fmt;

/// Why there is no thumbnail. Nothing here passes with time, except [`Error::OutOfMemory`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The bytes are something else; `found` names it, with its article ("a PNG image").
    NotJpeg {
        /// What it is.
        found: &'static str,
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
    /// More scans than any program writes: each may cost a walk over the whole picture, and a few bytes are enough.
    TooManyScans {
        /// The limit.
        max: usize,
    },
    /// Breaks the rules of JPEG; says which.
    Corrupt(String),
    /// Keeps the rules, but no decoder here knows it; says what it is.
    Unsupported(String),
    /// A thumbnail that cannot be made whatever the source is: a side of 0, a quality of 101.
    BadSpec(String),
    /// An allocation failed.
    OutOfMemory,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NotJpeg { found } => write!(f, "the file is not a JPEG image, it is {found}"),
            Error::Truncated => f.write_str("the image is cut short: the file ends before the picture does"),
            Error::TooManyBytes { bytes, max } => {
                write!(f, "the file has {bytes} bytes ({}); the limit is {max} ({})", mib(*bytes), mib(*max))
            }
            Error::TooManyPixels { width, height, max } => {
                let pixels = u64::from(*width) * u64::from(*height);
                write!(f, "the image is {width}x{height} ({}); the limit is {}", megapixels(pixels), megapixels(*max))
            }
            Error::TooManyScans { max } => {
                write!(f, "the image has more than {max} scans; no camera or program writes so many")
            }
            Error::Corrupt(what) => write!(f, "the image is damaged: {what}"),
            Error::Unsupported(what) => {
                write!(f, "the image is of a kind that is not supported: {what}")
            }
            Error::BadSpec(what) => write!(f, "no such thumbnail can be made: {what}"),
            Error::OutOfMemory => f.write_str("there is not enough memory for the image"),
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
        let cases = [
            (Error::NotJpeg { found: "a PNG image" }, "the file is not a JPEG image, it is a PNG image"),
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
            (
                Error::Corrupt("the Huffman table 0 is missing".into()),
                "the image is damaged: the Huffman table 0 is missing",
            ),
        ];
        for (error, sentence) in cases {
            assert_eq!(error.to_string(), sentence);
        }
    }
}
