//! Which part of the stored picture a thumbnail shows, and how large the thumbnail is. Numbers only, no pixels.

use crate::exif::Orientation;
use crate::spec::{Fit, MAX_SIDE_PX, Size};

/// A part of the stored picture, in its pixels: 0.0 is the left edge of the first column, so the centre of column `i` is
/// `i + 0.5`. A crop between pixels is not rounded to whole pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Window {
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
}

/// Where a thumbnail comes from, in the stored picture's own rows and columns, before it is turned upright.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Placement {
    pub window: Window,
    /// Columns and rows of the thumbnail as stored; upright they change places when the orientation transposes.
    pub width: usize,
    pub height: usize,
}

/// Places a thumbnail on a picture of `stored` columns and rows.
pub(crate) fn place(stored: (usize, usize), orientation: Orientation, size: Size, fit: Fit) -> Placement {
    let (source_w, source_h) = (stored.0 as f64, stored.1 as f64);
    let whole = Window { left: 0.0, top: 0.0, width: source_w, height: source_h };
    let sides = if orientation.transpose { (size.height, size.width) } else { (size.width, size.height) };
    // A side is as long as the other one and the picture's shape make it, but not longer than a thumbnail may be.
    let follows = |given: u32, along: f64, across: f64| {
        let given = if fit == Fit::Contain { f64::from(given).min(along) } else { f64::from(given) };
        ((across * given / along).round() as usize).clamp(1, MAX_SIDE_PX as usize)
    };
    let (width, height) = match sides {
        (Some(width), Some(height)) => (width as usize, height as usize),
        (Some(width), None) => (width as usize, follows(width, source_w, source_h)),
        (None, Some(height)) => (follows(height, source_h, source_w), height as usize),
        (None, None) => (1, 1),
    };
    // Where a side follows from the shape, the whole picture is shown, also where the side was rounded.
    let whole_shape = sides.0.is_none() || sides.1.is_none();
    let fit = if whole_shape && fit == Fit::Cover { Fit::Fill } else { fit };
    let scale_x = source_w / width as f64;
    let scale_y = source_h / height as f64;
    match fit {
        Fit::Fill => Placement { window: whole, width, height },
        Fit::Cover => {
            // Source pixels per thumbnail pixel, the same in both directions: the largest window of the right shape.
            let scale = scale_x.min(scale_y);
            let (w, h) = ((width as f64 * scale).min(source_w), (height as f64 * scale).min(source_h));
            let window = Window { left: (source_w - w) / 2.0, top: (source_h - h) / 2.0, width: w, height: h };
            Placement { window, width, height }
        }
        Fit::Contain => {
            let scale = scale_x.max(scale_y).max(1.0);
            let side = |px: f64, most: usize| ((px / scale).round() as usize).clamp(1, most);
            Placement { window: whole, width: side(source_w, width), height: side(source_h, height) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPRIGHT: Orientation = Orientation { transpose: false, flip_x: false, flip_y: false };
    const TURNED: Orientation = Orientation { transpose: true, flip_x: true, flip_y: false };

    fn placed(
        stored: (usize, usize),
        orientation: Orientation,
        size: (u32, u32),
        fit: Fit,
    ) -> ([f64; 4], (usize, usize)) {
        let Placement { window, width, height } = place(stored, orientation, Size::new(size.0, size.1), fit);
        ([window.left, window.top, window.width, window.height], (width, height))
    }

    #[test]
    fn cover_cuts_evenly_and_exactly() {
        assert_eq!(placed((4000, 3000), UPRIGHT, (400, 400), Fit::Cover), ([500.0, 0.0, 3000.0, 3000.0], (400, 400)));
        assert_eq!(placed((100, 100), UPRIGHT, (300, 600), Fit::Cover), ([25.0, 0.0, 50.0, 100.0], (300, 600)));
        let ([left, top, width, height], _) = placed((4000, 3000), UPRIGHT, (51, 49), Fit::Cover);
        assert!((width - 3000.0 * 51.0 / 49.0).abs() < 1e-9 && height == 3000.0 && top == 0.0);
        assert!((left + width / 2.0 - 2000.0).abs() < 1e-9);
    }

    #[test]
    fn contain_keeps_the_shape_and_never_enlarges() {
        assert_eq!(placed((4000, 3000), UPRIGHT, (400, 400), Fit::Contain).1, (400, 300));
        assert_eq!(placed((4000, 3000), UPRIGHT, (4000, 3000), Fit::Contain).1, (4000, 3000));
        assert_eq!(placed((100, 50), UPRIGHT, (400, 400), Fit::Contain).1, (100, 50));
        assert_eq!(placed((8000, 1), UPRIGHT, (10, 10), Fit::Contain).1, (10, 1));
        assert_eq!(placed((333, 500), UPRIGHT, (100, 100), Fit::Contain).1, (67, 100));
    }

    #[test]
    fn a_side_that_is_not_given_follows_from_the_shape() {
        let size = |stored, orientation, size, fit| {
            let Placement { window, width, height } = place(stored, orientation, size, fit);
            assert_eq!((window.left, window.top), (0.0, 0.0), "nothing is cropped");
            (width, height)
        };
        for fit in [Fit::Cover, Fit::Contain, Fit::Fill] {
            assert_eq!(size((4000, 3000), UPRIGHT, Size::of_width(400), fit), (400, 300));
            assert_eq!(size((4000, 3000), UPRIGHT, Size::of_height(100), fit), (133, 100));
            // Looked at, it is 3000 wide and 4000 high.
            assert_eq!(size((4000, 3000), TURNED, Size::of_width(300), fit), (400, 300));
        }
        assert_eq!(size((40, 30), UPRIGHT, Size::of_width(400), Fit::Cover), (400, 300));
        assert_eq!(size((40, 30), UPRIGHT, Size::of_width(400), Fit::Contain), (40, 30));
        assert_eq!(size((1, 16_000), UPRIGHT, Size::of_width(400), Fit::Contain), (1, 8192));
    }

    #[test]
    fn fill_takes_everything() {
        assert_eq!(placed((30, 20), UPRIGHT, (7, 9), Fit::Fill), ([0.0, 0.0, 30.0, 20.0], (7, 9)));
    }

    #[test]
    fn a_turned_picture_is_cut_as_it_is_looked_at() {
        // 4000x3000 stored, looked at as 3000x4000: 300x100 upright is the middle 1000 of its 4000 rows.
        let (window, size) = placed((4000, 3000), TURNED, (300, 100), Fit::Cover);
        assert_eq!((window, size), ([1500.0, 0.0, 1000.0, 3000.0], (100, 300)));
        assert_eq!(placed((4000, 3000), TURNED, (400, 400), Fit::Contain).1, (400, 300));
    }
}
