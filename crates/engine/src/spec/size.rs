//! Sizes of thumbnails: two sides, or one side and the picture's own shape.

use std::fmt;
use std::str::FromStr;

/// Longest side of a thumbnail, in pixels.
pub const MAX_SIDE_PX: u32 = 8_192;

/// Width and height of a thumbnail in pixels, each 1 to [`MAX_SIDE_PX`]. A side that is `None` follows from the other one and the
/// picture's shape; at least one is given. Written `400x300`, `400x` or `x300`.
///
/// ```
/// use thumb_engine::Size;
///
/// assert_eq!("400x300".parse(), Ok(Size::new(400, 300)));
/// assert_eq!("400x".parse(), Ok(Size::of_width(400)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Size {
    /// Columns.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub width: Option<u32>,
    /// Rows.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub height: Option<u32>,
}

impl Size {
    /// Both sides.
    pub const fn new(width: u32, height: u32) -> Self {
        Self { width: Some(width), height: Some(height) }
    }

    /// The height follows from the picture's shape.
    pub const fn of_width(width: u32) -> Self {
        Self { width: Some(width), height: None }
    }

    /// The width follows from the picture's shape.
    pub const fn of_height(height: u32) -> Self {
        Self { width: None, height: Some(height) }
    }

    /// The most pixels that such a thumbnail has, whatever the picture's shape.
    pub fn most_pixels(self) -> u64 {
        let side = |px: Option<u32>| u64::from(px.unwrap_or(MAX_SIDE_PX));
        side(self.width) * side(self.height)
    }

    /// Whether a side is given, and those that are given are in range.
    pub fn is_valid(self) -> bool {
        let in_range = |px: Option<u32>| px.is_none_or(|px| (1..=MAX_SIDE_PX).contains(&px));
        (self.width.is_some() || self.height.is_some()) && in_range(self.width) && in_range(self.height)
    }
}

/// Why a text is not a [`Size`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SizeError {
    /// Not whole numbers on both sides, or one side, of an `x`.
    Form(String),
    /// A side is 0 or more than [`MAX_SIDE_PX`].
    Range(String),
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |px: Option<u32>| px.map(|px| px.to_string()).unwrap_or_default();
        write!(f, "{}x{}", side(self.width), side(self.height))
    }
}

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let side = |side: &str| match side {
            "" => Ok(None),
            // u64, so that a number beyond u32 is out of range and not a bad form. `+4` would parse, but is not allowed.
            _ if side.bytes().all(|byte| byte.is_ascii_digit()) => {
                let px = side.parse().unwrap_or(u64::MAX);
                Ok(Some(u32::try_from(px).map_err(|_| SizeError::Range(text.to_owned()))?))
            }
            _ => Err(SizeError::Form(text.to_owned())),
        };
        let (width, height) = text.split_once('x').ok_or_else(|| SizeError::Form(text.to_owned()))?;
        if width.is_empty() && height.is_empty() {
            return Err(SizeError::Form(text.to_owned()));
        }
        let size = Size { width: side(width)?, height: side(height)? };
        if size.is_valid() { Ok(size) } else { Err(SizeError::Range(text.to_owned())) }
    }
}

impl fmt::Display for SizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SizeError::Form(text) => {
                write!(
                    f,
                    "`{text}` is not a size; write WIDTHxHEIGHT in pixels, as in 400x300, or one of them: 400x, x300"
                )
            }
            SizeError::Range(text) => {
                write!(f, "the size {text} is out of range; each side must be 1 to {MAX_SIDE_PX} pixels")
            }
        }
    }
}

impl std::error::Error for SizeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_reads_as_it_is_written() {
        let sizes = [("400x300", Size::new(400, 300)), ("400x", Size::of_width(400)), ("x300", Size::of_height(300))];
        for (text, size) in sizes {
            assert_eq!(text.parse(), Ok(size));
            assert_eq!(size.to_string(), text);
        }
        assert_eq!("1x8192".parse(), Ok(Size::new(1, MAX_SIDE_PX)));
    }

    #[test]
    fn a_size_out_of_range_or_form_says_so() {
        for text in ["0x1", "1x0", "0x", "x0", "8193x1", "8193x", "1x10000000000", "99999999999999999999999x1"] {
            assert_eq!(text.parse::<Size>(), Err(SizeError::Range(text.to_owned())));
        }
        for text in ["", "x", "4", "4x4x4", "-1x4", "+1x4", "4 x4", "4X4", "a4x4", "x4a"] {
            assert_eq!(text.parse::<Size>(), Err(SizeError::Form(text.to_owned())));
        }
    }

    #[test]
    fn the_most_pixels_of_an_open_side_are_those_of_the_longest() {
        assert_eq!(Size::new(4, 3).most_pixels(), 12);
        assert_eq!(Size::of_width(4).most_pixels(), 4 * 8192);
    }
}
