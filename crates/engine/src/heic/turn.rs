//! Which part of the stored picture is shown, and how it is turned: the properties `clap`, `irot` and `imir`, in a file's order.
//! Exif's orientation does not count beside them (ISO/IEC 23008-12, A.2.1).

use crate::boxes::Reader;
use crate::error::Error;
use crate::orientation::Orientation;

/// A rectangle of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Area {
    pub left: usize,
    pub top: usize,
    pub width: usize,
    pub height: usize,
}

/// What is shown of a stored picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    /// The part, as it is stored.
    pub area: Area,
    /// How it is turned then.
    pub orientation: Orientation,
}

impl Shown {
    /// All of it.
    pub fn new(width: usize, height: usize) -> Self {
        Self { area: Area { left: 0, top: 0, width, height }, orientation: Orientation::default() }
    }

    /// Applies a property, if it is one of the three.
    pub fn apply(&mut self, kind: [u8; 4], content: &[u8]) -> Result<(), Error> {
        let Orientation { transpose, flip_x, flip_y } = &mut self.orientation;
        match (&kind, content.first()) {
            (b"clap", _) => self.crop(content)?,
            (b"irot", Some(quarters)) => {
                for _ in 0..quarters & 3 {
                    // A quarter anticlockwise is a transposition and then top for bottom.
                    *transpose = !*transpose;
                    std::mem::swap(flip_x, flip_y);
                    *flip_y = !*flip_y;
                }
            }
            (b"imir", Some(axis)) if axis & 1 == 0 => *flip_y = !*flip_y,
            (b"imir", Some(_)) => *flip_x = !*flip_x,
            _ => {}
        }
        Ok(())
    }

    /// The clean aperture (ISO/IEC 14496-12, 12.1.4): its size, and where its centre is from that of the picture as it is turned by now.
    fn crop(&mut self, clap: &[u8]) -> Result<(), Error> {
        let damaged = || Error::Corrupt("its clean aperture is not valid".into());
        let mut reader = Reader(clap);
        let mut fraction = || {
            let (over, under) = (reader.u32()? as i32, reader.u32()?);
            (under > 0).then(|| f64::from(over) / f64::from(under))
        };
        let (Some(width), Some(height), Some(right), Some(down)) = (fraction(), fraction(), fraction(), fraction())
        else {
            return Err(damaged());
        };
        let Area { width: stored_w, height: stored_h, .. } = self.area;
        let Orientation { transpose, flip_x, flip_y } = self.orientation;
        let all = if transpose { (stored_h, stored_w) } else { (stored_w, stored_h) };
        // From the left edge, or if it will be mirrored back, from the right one.
        let part = |length: f64, offset: f64, all: usize, mirrored: bool| {
            let length = (length.round().max(0.0) as usize).min(all);
            let before = (all - length) as f64 / 2.0 + offset;
            let before = (before.round().max(0.0) as usize).min(all - length);
            (if mirrored { all - length - before } else { before }, length)
        };
        let (mut across, mut along) = (part(width, right, all.0, flip_x), part(height, down, all.1, flip_y));
        if transpose {
            std::mem::swap(&mut across, &mut along);
        }
        if across.1 == 0 || along.1 == 0 {
            return Err(damaged());
        }
        self.area =
            Area { left: self.area.left + across.0, top: self.area.top + along.0, width: across.1, height: along.1 };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixels::plane::Plane;

    /// What is shown of 4 by 3 pixels after the properties.
    fn shown(properties: &[(&[u8; 4], &[u8])]) -> String {
        let plane = Plane { width: 4, height: 3, samples: b"abcdefghijkl".to_vec() };
        let mut shown = Shown::new(4, 3);
        for (kind, content) in properties {
            shown.apply(**kind, content).unwrap();
        }
        let Area { left, top, width, height } = shown.area;
        let samples = (top..top + height).flat_map(|y| plane.row(y)[left..left + width].to_vec()).collect();
        let plane = Plane { width, height, samples }.turned(shown.orientation);
        let rows: Vec<_> = plane.samples.chunks(plane.width).map(|row| String::from_utf8_lossy(row)).collect();
        rows.join(" ")
    }

    fn clap(numbers: [i32; 4]) -> Vec<u8> {
        numbers.iter().flat_map(|number| [number.to_be_bytes(), 2_i32.to_be_bytes()].concat()).collect()
    }

    #[test]
    fn turns_are_anticlockwise_and_follow_each_other() {
        assert_eq!(shown(&[]), "abcd efgh ijkl");
        assert_eq!(shown(&[(b"irot", &[1])]), "dhl cgk bfj aei");
        assert_eq!(shown(&[(b"irot", &[2])]), "lkji hgfe dcba");
        assert_eq!(shown(&[(b"irot", &[3])]), "iea jfb kgc lhd");
        assert_eq!(shown(&[(b"imir", &[0])]), "ijkl efgh abcd");
        assert_eq!(shown(&[(b"imir", &[1])]), "dcba hgfe lkji");
        assert_eq!(shown(&[(b"irot", &[1]), (b"imir", &[1])]), "lhd kgc jfb iea");
        assert_eq!(shown(&[(b"imir", &[1]), (b"irot", &[1])]), "aei bfj cgk dhl");
    }

    #[test]
    fn a_clean_aperture_counts_in_what_is_turned_by_then() {
        // Halves: 2 by 1 pixels, the centre half a pixel to the right and one up.
        let corner = clap([4, 2, 2, -2]);
        assert_eq!(shown(&[(b"clap", &corner)]), "cd");
        assert_eq!(shown(&[(b"clap", &corner), (b"irot", &[3])]), "c d");
        assert_eq!(shown(&[(b"irot", &[3]), (b"clap", &corner)]), "fb");
        assert_eq!(shown(&[(b"imir", &[1]), (b"clap", &corner)]), "ba");
        assert_eq!(shown(&[(b"clap", &corner), (b"clap", &clap([2, 2, 1, 0]))]), "d");
    }

    #[test]
    fn an_aperture_is_never_larger_than_the_picture_and_never_empty() {
        assert_eq!(shown(&[(b"clap", &clap([400, 2, 0, 2000]))]), "ijkl");
        for bad in [clap([0, 2, 0, 0]), clap([-4, 2, 0, 0]), vec![0; 32], vec![0; 5]] {
            assert!(Shown::new(4, 3).apply(*b"clap", &bad).is_err());
        }
    }
}
