//! The straightforward way to what `pixels::reduce` and its siblings make.

use crate::geometry::{PlaneRequest, Window};
use crate::pixels::plane::PlacedPlane;

/// A whole picture: interleaved channels of 8 bits, the last of which may be opacity.
pub(crate) struct Pixels {
    pub width: usize,
    pub height: usize,
    pub channels: usize,
    pub alpha: bool,
    pub samples: Vec<u8>,
}

impl Pixels {
    fn sample(&self, x: usize, y: usize, channel: usize) -> f64 {
        let pixel = &self.samples[(y * self.width + x) * self.channels..][..self.channels];
        let opacity = if self.alpha && channel + 1 < self.channels { pixel[self.channels - 1] } else { 255 };
        (f64::from(pixel[channel]) * f64::from(opacity) / 255.0).round()
    }

    /// Checks that `planes` are means of squares of this picture, and that they have all that `requests` ask for.
    pub fn assert_averaged(&self, planes: &[PlacedPlane], requests: &[PlaneRequest], what: &str) {
        assert_eq!(planes.len(), self.channels, "{what}");
        for (channel, placed) in planes.iter().enumerate() {
            assert_eq!(placed.scale_x, placed.scale_y);
            let factor = (1.0 / placed.scale_x).round() as usize;
            let (left, top) = (placed.left * factor, placed.top * factor);
            for PlaneRequest { window, .. } in requests {
                let (right, bottom) = (left + placed.plane.width * factor, top + placed.plane.height * factor);
                assert!(left as f64 <= window.left && right as f64 >= window.left + window.width, "{what}");
                assert!(top as f64 <= window.top && bottom as f64 >= window.top + window.height, "{what}");
            }
            for y in 0..placed.plane.height {
                for x in 0..placed.plane.width {
                    let columns = left + x * factor..(left + (x + 1) * factor).min(self.width);
                    let rows = top + y * factor..(top + (y + 1) * factor).min(self.height);
                    let count = (columns.len() * rows.len()) as f64;
                    let square = rows.flat_map(|y| columns.clone().map(move |x| (x, y)));
                    let sum: f64 = square.map(|(x, y)| self.sample(x, y, channel)).sum();
                    let (made, mean) = (placed.plane.row(y)[x], sum / count);
                    // A part of a square at the edge of what was kept is the mean of that part.
                    let cut = x + 1 == placed.plane.width || y + 1 == placed.plane.height;
                    assert!(
                        (f64::from(made) - mean).abs() <= 0.5 || (cut && factor > 1 && requests[0].width < self.width),
                        "{what}: channel {channel} of {x}, {y} by {factor} is {made}, not {mean}"
                    );
                }
            }
        }
    }
}

/// Requests of the whole of a picture and of parts of it, at several sizes.
pub(crate) fn requests(width: usize, height: usize) -> Vec<Vec<PlaneRequest>> {
    let request = |window: [f64; 4], size: (usize, usize)| {
        let [left, top, w, h] = window;
        PlaneRequest { window: Window { left, top, width: w, height: h }, width: size.0.max(1), height: size.1.max(1) }
    };
    let (w, h) = (width as f64, height as f64);
    vec![
        vec![request([0.0, 0.0, w, h], (width, height))],
        vec![request([0.0, 0.0, w, h], (width / 7, height / 7))],
        vec![request([0.0, 0.0, w, h], (width / 20, height / 20))],
        vec![request([w * 0.3, h * 0.4, w * 0.3, h * 0.2], (width / 13, height / 20))],
        vec![
            request([w * 0.6, 0.0, w * 0.4, h * 0.5], (width / 6, height / 8)),
            request([0.0, h * 0.7, w, h * 0.3], (width / 9, 1)),
        ],
    ]
}
