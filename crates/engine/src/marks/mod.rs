//! What a file marks as the subject of its picture.

pub(crate) mod regions;

use crate::orientation::Point;

/// What a mark is around. Of the first kind that a picture has, all marks count; others are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mark {
    Face,
    Pet,
    /// What was in focus.
    Focus,
}

/// A part of the stored picture. In ten-thousandths of its sides, so that it is the same on every machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Area {
    left: u16,
    top: u16,
    right: u16,
    bottom: u16,
}

impl Area {
    const ONE: f64 = 10_000.0;

    /// From its upper left corner and its sides, in parts of the picture's. What lies outside the picture is cut off; `None` if nothing
    /// is left. Sides may be 0: a point.
    pub fn new(left: f64, top: f64, width: f64, height: f64) -> Option<Self> {
        let (right, bottom) = (left + width, top + height);
        let inside = left <= 1.0 && top <= 1.0 && right >= 0.0 && bottom >= 0.0 && width >= 0.0 && height >= 0.0;
        let part = |at: f64| (at.clamp(0.0, 1.0) * Self::ONE).round() as u16;
        inside.then(|| Self { left: part(left), top: part(top), right: part(right), bottom: part(bottom) })
    }

    /// From its centre and its sides.
    pub fn around(x: f64, y: f64, width: f64, height: f64) -> Option<Self> {
        Self::new(x - width / 2.0, y - height / 2.0, width, height)
    }

    pub fn centre(self) -> Point {
        let middle = |a: u16, b: u16| (f64::from(a) + f64::from(b)) / (2.0 * Self::ONE);
        Point { x: middle(self.left, self.right), y: middle(self.top, self.bottom) }
    }

    fn union(self, other: Self) -> Self {
        Self {
            left: self.left.min(other.left),
            top: self.top.min(other.top),
            right: self.right.max(other.right),
            bottom: self.bottom.max(other.bottom),
        }
    }

    fn size(self) -> (u16, u16) {
        (self.right - self.left, self.bottom - self.top)
    }

    /// Whether it is no larger than so much of the picture's sides.
    fn fits(self, shown: (f64, f64)) -> bool {
        let (width, height) = self.size();
        f64::from(width) <= shown.0 * Self::ONE && f64::from(height) <= shown.1 * Self::ONE
    }
}

/// What a file marks as its subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subject {
    /// Around all the marks.
    all: Area,
    /// The largest of them; of several as large, the first.
    largest: Area,
}

impl Subject {
    /// `None`: nothing is marked.
    pub fn of(marks: &[(Mark, Area)]) -> Option<Self> {
        let kind = marks.iter().map(|(mark, _)| *mark).min()?;
        let areas = || marks.iter().filter(|(mark, _)| *mark == kind).map(|(_, area)| *area);
        let pixels = |area: &Area| u32::from(area.size().0) * u32::from(area.size().1);
        let largest = areas().rev().max_by_key(pixels)?;
        Some(Self { all: areas().reduce(Area::union)?, largest })
    }

    /// What a window of this part of the picture's sides is centred on.
    pub fn centre(self, shown: (f64, f64)) -> Point {
        if self.all.fits(shown) { self.all.centre() } else { self.largest.centre() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_area_is_cut_at_the_pictures_edge() {
        assert_eq!(Area::around(0.0, 1.0, 0.5, 0.5), Area::new(0.0, 0.75, 0.25, 0.25));
        for (x, y, w, h) in
            [(1.5, 0.5, 0.1, 0.1), (f64::NAN, 0.5, 0.1, 0.1), (0.5, 0.5, -0.1, 0.1), (0.5, 2.0, 0.0, 0.0)]
        {
            assert_eq!(Area::around(x, y, w, h), None);
        }
    }
}
