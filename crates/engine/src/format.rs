//! The formats of pictures, and sets of them.

use std::fmt;

use crate::words::words;

words! {
    /// A format of pictures, recognised by a file's bytes, not by its name.
    #[non_exhaustive]
    pub enum Format: "a format" {
        /// ITU-T T.81: sequential and progressive, Huffman coded, 8 bits per sample.
        Jpeg = "jpeg",
        /// ISO/IEC 15948.
        Png = "png",
        /// RFC 9649: lossy, lossless, and the first frame of an animation.
        Webp = "webp",
        /// GIF87a and GIF89a: the first frame.
        Gif = "gif",
        /// HEVC pictures in ISO/IEC 23008-12's container, as telephones write them.
        Heic = "heic",
        /// A camera's raw file, by the largest JPEG in it.
        Raw = "raw",
    }
}

impl Format {
    /// Its name in a sentence.
    pub fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::Webp => "WebP",
            Self::Gif => "GIF",
            Self::Heic => "HEIC",
            Self::Raw => "camera raw",
        }
    }

    /// The usual end of a file's name, without its dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            other => other.word(),
        }
    }

    /// The media type (IANA's registry).
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Webp => "image/webp",
            Self::Gif => "image/gif",
            Self::Heic => "image/heic",
            Self::Raw => "image/x-dcraw",
        }
    }
}

/// A set of formats.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Formats(u8);

impl Formats {
    /// Every [`Format`].
    pub const ALL: Self = Self((1 << Format::ALL.len()) - 1);

    /// Whether the set has `format`.
    pub fn contains(self, format: Format) -> bool {
        self.0 & Self::bit(format) != 0
    }

    /// The set's formats, in the order of [`Format::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Format> {
        Format::ALL.iter().copied().filter(move |&format| self.contains(format))
    }

    fn bit(format: Format) -> u8 {
        1 << format as u8
    }
}

impl FromIterator<Format> for Formats {
    fn from_iter<I: IntoIterator<Item = Format>>(formats: I) -> Self {
        Self(formats.into_iter().fold(0, |set, format| set | Self::bit(format)))
    }
}

impl fmt::Debug for Formats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// `JPEG, PNG and GIF`
impl fmt::Display for Formats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(Format::name).collect();
        match names.split_last() {
            None => f.write_str("no format"),
            Some((last, [])) => f.write_str(last),
            Some((last, others)) => write!(f, "{} and {last}", others.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_reads_as_a_list() {
        assert_eq!(Formats::ALL.to_string(), "JPEG, PNG, WebP, GIF, HEIC and camera raw");
        assert_eq!(Formats::from_iter([Format::Gif, Format::Jpeg]).to_string(), "JPEG and GIF");
        assert_eq!(Formats::from_iter([Format::Heic]).to_string(), "HEIC");
        assert_eq!(Formats::from_iter([]).to_string(), "no format");
    }
}
