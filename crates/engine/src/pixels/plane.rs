//! One component of a picture: a rectangle of 8-bit samples, and where they lie in the stored picture.

use crate::error::Error;
use crate::geometry::Window;
use crate::orientation::Orientation;

/// `width * height` samples, row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plane {
    pub width: usize,
    pub height: usize,
    pub samples: Vec<u8>,
}

impl Plane {
    /// A plane of zeros; too large a one is an error and not an abort.
    pub fn new(width: usize, height: usize) -> Result<Self, Error> {
        let length = width.checked_mul(height).ok_or(Error::OutOfMemory)?;
        Ok(Self { width, height, samples: zeros(length)? })
    }

    pub fn row(&self, y: usize) -> &[u8] {
        &self.samples[y * self.width..][..self.width]
    }

    /// The plane turned upright.
    pub fn turned(self, orientation: Orientation) -> Self {
        let Orientation { transpose, flip_x, flip_y } = orientation;
        let mut plane = if transpose { self.transposed() } else { self };
        if flip_y {
            let rows: Vec<u8> = plane.samples.chunks_exact(plane.width).rev().flatten().copied().collect();
            plane.samples = rows;
        }
        if flip_x {
            plane.samples.chunks_exact_mut(plane.width).for_each(<[u8]>::reverse);
        }
        plane
    }

    /// The mean of each two by two samples; at an odd edge, of those there are.
    pub fn halved(&self) -> Result<Self, Error> {
        let mut half = Self::new(self.width.div_ceil(2), self.height.div_ceil(2))?;
        for y in 0..half.height {
            let (upper, lower) = (self.row(2 * y), self.row((2 * y + 1).min(self.height - 1)));
            let row = &mut half.samples[y * half.width..][..half.width];
            for (sample, (a, b)) in row.iter_mut().zip(upper.chunks(2).zip(lower.chunks(2))) {
                let sum = u16::from(a[0]) + u16::from(a[a.len() - 1]) + u16::from(b[0]) + u16::from(b[b.len() - 1]);
                *sample = ((sum + 2) / 4) as u8;
            }
        }
        Ok(half)
    }

    /// Undoes a multiplication by opacity, of 255. The filter may have left a colour brighter than its opacity: white.
    pub fn divide_by(&mut self, alpha: &Self) {
        for (sample, &alpha) in self.samples.iter_mut().zip(&alpha.samples) {
            let alpha = u32::from(alpha);
            *sample = (u32::from(*sample) * 255 + alpha / 2).checked_div(alpha).unwrap_or(0).min(255) as u8;
        }
    }

    fn transposed(&self) -> Self {
        let mut samples = Vec::with_capacity(self.samples.len());
        for x in 0..self.width {
            samples.extend(self.samples[x..].iter().step_by(self.width));
        }
        Self { width: self.height, height: self.width, samples }
    }
}

/// A vector of `length` zeros, or [`Error::OutOfMemory`].
pub(crate) fn zeros<T: Clone + Default>(length: usize) -> Result<Vec<T>, Error> {
    filled(length, T::default())
}

/// A vector of `length` times `value`, or [`Error::OutOfMemory`].
pub(crate) fn filled<T: Clone>(length: usize, value: T) -> Result<Vec<T>, Error> {
    let mut vector = Vec::new();
    vector.try_reserve_exact(length).map_err(|_| Error::OutOfMemory)?;
    vector.resize(length, value);
    Ok(vector)
}

/// A plane and its place: sample column `i` covers the stored picture's columns `(left + i) / scale_x` to
/// `(left + i + 1) / scale_x`, and rows likewise. `scale` is 1 for a full-size component, 1/2 for a subsampled one, less
/// for one decoded at a reduced size.
#[derive(Clone, Debug)]
pub(crate) struct PlacedPlane {
    pub plane: Plane,
    pub left: usize,
    pub top: usize,
    pub scale_x: f64,
    pub scale_y: f64,
}

impl PlacedPlane {
    /// `window` of the stored picture, in this plane's samples.
    pub fn window(&self, window: Window) -> Window {
        Window {
            left: window.left * self.scale_x - self.left as f64,
            top: window.top * self.scale_y - self.top as f64,
            width: window.width * self.scale_x,
            height: window.height * self.scale_y,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_orientation_puts_the_first_sample_where_exif_says() {
        // 3 columns, 2 rows:  abc / def. What Exif's values 1 to 8 make of it, by the definition of each.
        let expected = ["abc def", "cba fed", "fed cba", "def abc", "ad be cf", "da eb fc", "fc eb da", "cf be ad"];
        for (value, expected) in (1..).zip(expected) {
            let plane = Plane { width: 3, height: 2, samples: b"abcdef".to_vec() };
            let turned = plane.turned(Orientation::from_exif(value).unwrap());
            let rows: Vec<_> = turned.samples.chunks(turned.width).map(|row| String::from_utf8_lossy(row)).collect();
            assert_eq!(rows.join(" "), expected, "orientation {value}");
            assert_eq!(turned.samples.len(), turned.width * turned.height);
        }
    }
}
