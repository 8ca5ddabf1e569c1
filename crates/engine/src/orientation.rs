//! How a stored picture is turned upright.

/// A point of the stored picture: 0 to 1 from its left edge to its right one, and from its upper edge to its lower one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    pub x: f64,
    pub y: f64,
}

impl Point {
    pub const MIDDLE: Self = Self { x: 0.5, y: 0.5 };
}

/// How a stored picture must be turned to be upright: Exif tag 0x0112, values 1 to 8 (Exif 2.32, 4.6.4 A).
///
/// Each is an optional exchange of rows and columns followed by optional mirrorings, the form in which it is applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Orientation {
    /// Rows become columns, before the mirrorings.
    pub transpose: bool,
    /// Left and right are swapped, in the upright picture.
    pub flip_x: bool,
    /// Top and bottom are swapped, in the upright picture.
    pub flip_y: bool,
}

impl Orientation {
    /// `None` for a value that Exif does not define.
    pub fn from_exif(value: u16) -> Option<Self> {
        let (transpose, flip_x, flip_y) = match value {
            1 => (false, false, false),
            2 => (false, true, false),
            3 => (false, true, true),
            4 => (false, false, true),
            5 => (true, false, false),
            6 => (true, true, false),
            7 => (true, true, true),
            8 => (true, false, true),
            _ => return None,
        };
        Some(Self { transpose, flip_x, flip_y })
    }

    /// A point of the upright picture, in the stored one; both in parts of their sides.
    pub fn stored(self, x: f64, y: f64) -> Point {
        let x = if self.flip_x { 1.0 - x } else { x };
        let y = if self.flip_y { 1.0 - y } else { y };
        if self.transpose { Point { x: y, y: x } } else { Point { x, y } }
    }

    /// The value of Exif's tag, 1 to 8.
    pub fn to_exif(self) -> u16 {
        (1..=8).find(|&value| Self::from_exif(value) == Some(self)).unwrap_or(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_of_the_upright_picture_is_found_in_the_stored_one() {
        // The upper left corner, looked at, is Exif's "0th row, 0th column" the other way round.
        let corners = [(1, 0.0, 0.0), (2, 1.0, 0.0), (3, 1.0, 1.0), (4, 0.0, 1.0)];
        let turned = [(5, 0.0, 0.0), (6, 0.0, 1.0), (7, 1.0, 1.0), (8, 1.0, 0.0)];
        for (value, x, y) in corners.into_iter().chain(turned) {
            assert_eq!(Orientation::from_exif(value).unwrap().stored(0.0, 0.0), Point { x, y }, "orientation {value}");
        }
    }
}
