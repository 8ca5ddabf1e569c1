//! Which part of the stored picture a thumbnail shows, and how large the thumbnail is. Numbers only, no pixels.

use crate::orientation::{Orientation, Point};
use crate::spec::{Fit, MAX_SIDE_PX, Size, Spec};

/// A part of the stored picture, in its pixels: 0.0 is the left edge of the first column, so the centre of column `i` is
/// `i + 0.5`. A crop between pixels is not rounded to whole pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Window {
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
}

/// What one thumbnail needs of one plane. A decoder may give more samples than asked for, and a larger part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlaneRequest {
    /// The part of the stored picture.
    pub window: Window,
    /// Samples that the window becomes.
    pub width: usize,
    pub height: usize,
}

/// Where a thumbnail comes from, in the stored picture's own rows and columns, before it is turned upright.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Placement {
    pub window: Window,
    /// Columns and rows of the thumbnail as stored; upright they change places when the orientation transposes.
    pub width: usize,
    pub height: usize,
}

/// How large a thumbnail is and how much of the stored picture it shows; where that lies is not settled yet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Frame {
    /// Columns and rows of the picture.
    picture: (f64, f64),
    /// Columns and rows of the window.
    window: (f64, f64),
    /// Columns and rows of the thumbnail, as in [`Placement`].
    width: usize,
    height: usize,
    /// The window lies on whole pixels, so that nothing is resampled.
    whole_pixels: bool,
}

impl Frame {
    /// For a picture of `stored` columns and rows.
    pub fn new(stored: (usize, usize), orientation: Orientation, spec: &Spec) -> Self {
        let picture = (stored.0 as f64, stored.1 as f64);
        let whole = |width, height| Self { picture, window: picture, width, height, whole_pixels: false };
        let turned =
            |size: Size| if orientation.transpose { (size.height, size.width) } else { (size.width, size.height) };
        let (width, height) = match turned(spec.size) {
            (Some(width), Some(height)) => (width as usize, height as usize),
            // Where a side follows from the shape, the whole picture is shown, also where the side was rounded.
            (Some(width), None) => {
                let (width, height) = by_one_side(width, picture, spec);
                return whole(width, height);
            }
            (None, Some(height)) => {
                let (height, width) = by_one_side(height, (picture.1, picture.0), spec);
                return whole(width, height);
            }
            (None, None) => return whole(1, 1),
        };
        // Source pixels per thumbnail pixel.
        let (scale_x, scale_y) = (picture.0 / width as f64, picture.1 / height as f64);
        let side = |px: f64, most: usize| (px.round() as usize).clamp(1, most);
        match spec.fit {
            Fit::Fill => {
                // If not enlarged, no side is longer than the picture's.
                let shrunk = if spec.enlarge { 1.0 } else { scale_x.min(scale_y).min(1.0) };
                whole(side(width as f64 * shrunk, width), side(height as f64 * shrunk, height))
            }
            Fit::Cover => {
                // The same in both directions: the largest window of the right shape.
                let scale = scale_x.min(scale_y);
                let window = ((width as f64 * scale).min(picture.0), (height as f64 * scale).min(picture.1));
                if spec.enlarge || scale >= 1.0 {
                    return Self { picture, window, width, height, whole_pixels: false };
                }
                let (width, height) = (side(window.0, stored.0), side(window.1, stored.1));
                Self { picture, window: (width as f64, height as f64), width, height, whole_pixels: true }
            }
            Fit::Contain => {
                let scale = scale_x.max(scale_y).max(1.0);
                whole(side(picture.0 / scale, width), side(picture.1 / scale, height))
            }
        }
    }

    /// The part of the picture's columns and rows that is shown, at most 1.
    pub fn shown(&self) -> (f64, f64) {
        (self.window.0 / self.picture.0, self.window.1 / self.picture.1)
    }

    /// Whether something is cut off.
    pub fn crops(&self) -> bool {
        self.window != self.picture
    }

    /// With `centre` in the middle, as far as the picture goes.
    pub fn at(&self, centre: Point) -> Placement {
        let from = |centre: f64, picture: f64, window: f64| {
            let from = (centre * picture - window / 2.0).clamp(0.0, picture - window);
            if self.whole_pixels { from.floor() } else { from }
        };
        let window = Window {
            left: from(centre.x, self.picture.0, self.window.0),
            top: from(centre.y, self.picture.1, self.window.1),
            width: self.window.0,
            height: self.window.1,
        };
        Placement { window, width: self.width, height: self.height }
    }

    /// The whole picture, scaled as the thumbnail is: what is needed where the window may turn out to lie anywhere.
    pub fn everywhere(&self) -> Placement {
        let window = Window { left: 0.0, top: 0.0, width: self.picture.0, height: self.picture.1 };
        let (shown_x, shown_y) = self.shown();
        let side = |px: usize, shown: f64| (px as f64 / shown).ceil() as usize;
        Placement { window, width: side(self.width, shown_x), height: side(self.height, shown_y) }
    }
}

/// Both sides of a thumbnail of which one is given, that one first, and the picture's, likewise. The other follows from the picture's
/// shape; where it would be longer than a thumbnail may be, both are shorter.
fn by_one_side(given: u32, (along, across): (f64, f64), spec: &Spec) -> (usize, usize) {
    let enlarged = spec.enlarge && spec.fit != Fit::Contain;
    let given = if enlarged { f64::from(given) } else { f64::from(given).min(along) };
    let given = given.min(along * f64::from(MAX_SIDE_PX) / across);
    let side = |px: f64| (px.round() as usize).clamp(1, MAX_SIDE_PX as usize);
    (side(given), side(across * given / along))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPRIGHT: Orientation = Orientation { transpose: false, flip_x: false, flip_y: false };
    const TURNED: Orientation = Orientation { transpose: true, flip_x: true, flip_y: false };

    fn spec(size: Size, fit: Fit) -> Spec {
        Spec { fit, ..Spec::new(size) }
    }

    fn middle(stored: (usize, usize), orientation: Orientation, spec: &Spec) -> ([f64; 4], (usize, usize)) {
        let Placement { window, width, height } = Frame::new(stored, orientation, spec).at(Point::MIDDLE);
        ([window.left, window.top, window.width, window.height], (width, height))
    }

    fn placed(
        stored: (usize, usize),
        orientation: Orientation,
        size: (u32, u32),
        fit: Fit,
    ) -> ([f64; 4], (usize, usize)) {
        middle(stored, orientation, &spec(Size::new(size.0, size.1), fit))
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
            let (window, made) = middle(stored, orientation, &spec(size, fit));
            assert_eq!(window, [0.0, 0.0, stored.0 as f64, stored.1 as f64], "nothing is cropped");
            made
        };
        for fit in [Fit::Cover, Fit::Contain, Fit::Fill] {
            assert_eq!(size((4000, 3000), UPRIGHT, Size::of_width(400), fit), (400, 300));
            assert_eq!(size((4000, 3000), UPRIGHT, Size::of_height(100), fit), (133, 100));
            // Looked at, it is 3000 wide and 4000 high.
            assert_eq!(size((4000, 3000), TURNED, Size::of_width(300), fit), (400, 300));
        }
        assert_eq!(size((40, 30), UPRIGHT, Size::of_width(400), Fit::Cover), (400, 300));
        assert_eq!(size((40, 30), UPRIGHT, Size::of_width(400), Fit::Contain), (40, 30));
        for fit in [Fit::Cover, Fit::Contain, Fit::Fill] {
            // 3.4 rows are 3, and the side that was asked for is not shortened to their shape.
            assert_eq!(size((4000, 34), UPRIGHT, Size::of_width(400), fit), (400, 3));
            assert_eq!(size((100, 16_000), UPRIGHT, Size::of_width(400), fit), (51, 8192));
            assert_eq!(size((1, 16_000), UPRIGHT, Size::of_width(400), fit), (1, 8192));
            assert_eq!(size((16_000, 1), UPRIGHT, Size::of_height(8192), fit), (8192, 1));
        }
    }

    #[test]
    fn a_smaller_picture_stays_as_it_is_where_it_is_not_enlarged() {
        let made = |stored, size, fit| middle(stored, UPRIGHT, &Spec { enlarge: false, ..spec(size, fit) });
        // The largest window of the shape, on whole pixels.
        assert_eq!(made((100, 100), Size::new(300, 600), Fit::Cover), ([25.0, 0.0, 50.0, 100.0], (50, 100)));
        assert_eq!(made((101, 100), Size::new(400, 400), Fit::Cover), ([0.0, 0.0, 100.0, 100.0], (100, 100)));
        assert_eq!(made((100, 100), Size::new(510, 490), Fit::Cover), ([0.0, 2.0, 100.0, 96.0], (100, 96)));
        assert_eq!(made((3, 1), Size::new(1, 8192), Fit::Cover), ([1.0, 0.0, 1.0, 1.0], (1, 1)));
        // Wide enough, but not high enough: that is no enlargement in the end, for the window is smaller than the picture.
        assert_eq!(made((4000, 100), Size::new(400, 400), Fit::Cover), ([1950.0, 0.0, 100.0, 100.0], (100, 100)));
        assert_eq!(made((30, 20), Size::new(70, 90), Fit::Fill), ([0.0, 0.0, 30.0, 20.0], (16, 20)));
        assert_eq!(made((4000, 100), Size::new(400, 400), Fit::Fill).1, (100, 100));
        assert_eq!(made((40, 30), Size::of_width(400), Fit::Cover).1, (40, 30));
        assert_eq!(made((40, 30), Size::of_height(400), Fit::Fill).1, (40, 30));
        // A larger one is scaled as ever.
        for fit in [Fit::Cover, Fit::Contain, Fit::Fill] {
            for size in [Size::new(400, 400), Size::new(51, 49), Size::of_width(77)] {
                assert_eq!(made((4000, 3000), size, fit), middle((4000, 3000), UPRIGHT, &spec(size, fit)));
            }
        }
    }

    /// A few thousand pictures and sizes, the narrowest among them, and points in and at the edges.
    fn everything(mut check: impl FnMut((usize, usize), &Spec, Point)) {
        let sides = [1, 2, 3, 97, 1000, 4001, 65_535];
        let asked = [1, 2, 51, 400, 999, 8192];
        let points = [(0.0, 0.0), (1.0, 1.0), (0.5, 0.5), (0.31, 0.97), (0.0, 1.0)];
        for (stored_w, stored_h) in sides.iter().flat_map(|w| sides.iter().map(move |h| (*w, *h))) {
            for (width, height) in asked.iter().flat_map(|w| asked.iter().map(move |h| (*w, *h))) {
                for (i, (x, y)) in points.into_iter().enumerate() {
                    let fit = Fit::ALL[(i + width as usize) % 3];
                    let spec = Spec { enlarge: i % 2 == 0, ..spec(Size::new(width, height), fit) };
                    check((stored_w, stored_h), &spec, Point { x, y });
                }
            }
        }
    }

    #[test]
    fn a_window_lies_within_the_picture() {
        everything(|stored, spec, point| {
            let frame = Frame::new(stored, UPRIGHT, spec);
            let Placement { window, width, height } = frame.at(point);
            let what = format!("{stored:?}, {spec:?}, {point:?}: {window:?}");
            assert!(window.left >= 0.0 && window.top >= 0.0 && window.width > 0.0 && window.height > 0.0, "{what}");
            assert!(window.left + window.width <= stored.0 as f64 * (1.0 + 1e-12), "{what}");
            assert!(window.top + window.height <= stored.1 as f64 * (1.0 + 1e-12), "{what}");
            assert!((1..=8192).contains(&width) && (1..=8192).contains(&height), "{what}");
            let (whole_w, whole_h) = (window.width == stored.0 as f64, window.height == stored.1 as f64);
            assert!(whole_w || whole_h || !spec.enlarge, "a window touches two sides: {what}");
            assert_eq!(frame.crops(), !(whole_w && whole_h), "{what}");
            if !spec.enlarge {
                assert!(width <= stored.0 && height <= stored.1, "{what}, {width}x{height}");
            }
        });
    }

    #[test]
    fn a_point_is_in_the_middle_as_far_as_the_picture_goes() {
        let wide = Frame::new((4000, 1000), UPRIGHT, &spec(Size::new(50, 50), Fit::Cover));
        let left = |x| wide.at(Point { x, y: 0.9 }).window.left;
        assert_eq!([0.0, 0.1, 0.25, 0.5, 0.8, 0.9, 1.0].map(left), [0.0, 0.0, 500.0, 1500.0, 2700.0, 3000.0, 3000.0]);
        assert!([0.0, 0.5, 1.0].map(|y| wide.at(Point { x: 0.3, y }).window.top).iter().all(|&top| top == 0.0));
        let everywhere = wide.everywhere();
        assert_eq!((everywhere.window.width, everywhere.width, everywhere.height), (4000.0, 200, 50));
        assert_eq!(wide.shown(), (0.25, 1.0));
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
