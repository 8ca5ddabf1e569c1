//! What a caller asks for: a size, how the picture is fitted to it, and a quality.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// Longest side of a thumbnail, in pixels.
pub const MAX_SIDE_PX: u32 = 8_192;

/// JPEG quality of a thumbnail when none is asked for, on the Independent JPEG Group's scale of 1 to 100.
pub const DEFAULT_QUALITY: u8 = 80;

/// Width and height of a thumbnail in pixels, each 1 to [`MAX_SIDE_PX`]. Written `400x300`.
///
/// ```
/// use thumb_engine::Size;
///
/// assert_eq!("400x300".parse(), Ok(Size { width: 400, height: 300 }));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Size {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

/// Why a text is not a [`Size`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SizeError {
    /// Not two whole numbers with an `x` between them.
    Form(String),
    /// A side is 0 or more than [`MAX_SIDE_PX`].
    Range(String),
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let number = |side: &str| {
            // u64, so that a number beyond u32 is out of range and not a bad form. `+4` would parse, but is not allowed.
            let digits = !side.is_empty() && side.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| side.parse().unwrap_or(u64::MAX)).ok_or_else(|| SizeError::Form(text.to_owned()))
        };
        let (width, height) = text.split_once('x').ok_or_else(|| SizeError::Form(text.to_owned()))?;
        let (width, height) = (number(width)?, number(height)?);
        let side = |px: u64| {
            u32::try_from(px)
                .ok()
                .filter(|px| (1..=MAX_SIDE_PX).contains(px))
                .ok_or_else(|| SizeError::Range(text.to_owned()))
        };
        Ok(Size { width: side(width)?, height: side(height)? })
    }
}

impl fmt::Display for SizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SizeError::Form(text) => write!(f, "`{text}` is not a size; write WIDTHxHEIGHT in pixels, as in 400x300"),
            SizeError::Range(text) => {
                write!(f, "the size {text} is out of range; each side must be 1 to {MAX_SIDE_PX} pixels")
            }
        }
    }
}

impl std::error::Error for SizeError {}

/// How a picture whose shape differs from the thumbnail's is made to fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
pub enum Fit {
    /// Scaled to cover the size, the rest cropped evenly around the centre: exactly the size, enlarged if needed.
    /// The geometry of Pillow's `ImageOps.fit`.
    #[default]
    Cover,
    /// Scaled to lie inside the size, never enlarged: the whole picture in its own shape.
    Contain,
    /// Stretched to exactly the size, without keeping the shape.
    Fill,
}

impl Fit {
    const ALL: [Fit; 3] = [Fit::Cover, Fit::Contain, Fit::Fill];

    fn word(self) -> &'static str {
        match self {
            Fit::Cover => "cover",
            Fit::Contain => "contain",
            Fit::Fill => "fill",
        }
    }
}

/// A text that names no [`Fit`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FitError(String);

impl fmt::Display for Fit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Fit {
    type Err = FitError;

    fn from_str(text: &str) -> Result<Self, FitError> {
        Fit::ALL.into_iter().find(|fit| fit.word() == text).ok_or_else(|| FitError(text.to_owned()))
    }
}

impl fmt::Display for FitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a fit; use cover, contain or fill", self.0)
    }
}

impl std::error::Error for FitError {}

/// One thumbnail asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    /// Width and height.
    pub size: Size,
    /// How a picture of another shape is made to fit.
    pub fit: Fit,
    /// 1 (smallest file) to 100 (best picture).
    pub quality: u8,
}

impl Spec {
    /// Whether such a thumbnail can be made.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let side = 1..=MAX_SIDE_PX;
        if !side.contains(&self.size.width) || !side.contains(&self.size.height) {
            let what = format!("the size is {}; each side must be 1 to {MAX_SIDE_PX} pixels", self.size);
            return Err(Error::BadSpec(what));
        }
        if !(1..=100).contains(&self.quality) {
            return Err(Error::BadSpec(format!("the quality is {}; it must be 1 to 100", self.quality)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_reads_as_it_is_written() {
        let size: Size = "400x300".parse().unwrap();
        assert_eq!(size, Size { width: 400, height: 300 });
        assert_eq!(size.to_string(), "400x300");
        assert_eq!("1x8192".parse::<Size>().unwrap(), Size { width: 1, height: MAX_SIDE_PX });
    }

    #[test]
    fn a_size_out_of_range_or_form_says_so() {
        for text in ["0x1", "1x0", "8193x1", "1x10000000000", "99999999999999999999999x1"] {
            assert_eq!(text.parse::<Size>(), Err(SizeError::Range(text.to_owned())));
        }
        for text in ["", "x", "4", "4x", "x4", "4x4x4", "-1x4", "+1x4", "4 x4", "4X4", "a4x4"] {
            assert_eq!(text.parse::<Size>(), Err(SizeError::Form(text.to_owned())));
        }
    }

    #[test]
    fn a_fit_reads_as_it_is_written() {
        for fit in Fit::ALL {
            assert_eq!(fit.to_string().parse(), Ok(fit));
        }
        let error = "crop".parse::<Fit>().unwrap_err().to_string();
        assert_eq!(error, "`crop` is not a fit; use cover, contain or fill");
        assert_eq!(Fit::default(), Fit::Cover);
    }
}
