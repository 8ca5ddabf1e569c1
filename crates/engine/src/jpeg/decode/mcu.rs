//! Which blocks of a picture are decoded, how large each becomes, and where it goes.

use std::ops::Range;

use super::idct::SIZES;
use crate::error::Error;
use crate::jpeg::header::Frame;
use crate::picture::PlaneRequest;
use crate::pixels::plane::{PlacedPlane, Plane, filled};

/// How much larger than the thumbnail a decoded component is at least, so that the last filter decides and not the
/// reduced transform. Measured: at 1.5 the mean over photographs comes to lie 0.6 dB under the best possible.
const LEFT_FOR_THE_FILTER: f64 = 1.8;

/// The same for a grey picture, whose luma is not blurred by rounding to RGB and back: there the transform's error shows
/// at 1.8 by 2 dB.
const LEFT_FOR_THE_FILTER_GREY: f64 = 2.0;

/// And where blocks are decoded to their mean alone, which dims the finest detail: 4 % of it where 3.3 times are left.
const LEFT_FOR_THE_FILTER_GREY_MEAN: f64 = 4.0;

/// Samples on each side of a window that the filter looks at, per sample of the thumbnail: Lanczos3 zigzag_lens 3, and one for
/// rounding.
const REACH: f64 = 4.0;

/// A component of the frame, as it is decoded.
#[derive(Clone, Debug)]
pub(super) struct ComponentGeometry {
    /// Which of the frame's.
    pub index: usize,
    /// Blocks of an MCU, across and down.
    pub h: usize,
    pub v: usize,
    /// Samples of a decoded block each way, 1 to 8.
    pub n: usize,
    /// Blocks that hold a part of the picture, across and down: fewer than the MCUs have, where the picture ends inside one.
    pub blocks_x: usize,
    pub blocks_y: usize,
    pub quantisation: usize,
    /// The picture's columns and rows per sample.
    scale_x: f64,
    scale_y: f64,
    /// Decoded samples that hold a part of the picture.
    width: usize,
    height: usize,
}

/// The picture's grid of MCUs (T.81, A.2), and which of them are wanted.
#[derive(Clone, Debug)]
pub(super) struct McuGeometry {
    pub components: Vec<ComponentGeometry>,
    pub mcus_x: usize,
    pub mcus_y: usize,
    pub wanted_x: Range<usize>,
    pub wanted_y: Range<usize>,
}

impl McuGeometry {
    /// `requests[i]`: what the thumbnails request of component `i`, at least one each.
    pub fn new(frame: &Frame, requests: &[Vec<PlaneRequest>]) -> Self {
        // A lone component is not interleaved, whatever its factors: its MCU is a block (T.81, A.2.2).
        let lone = frame.components.len() == 1;
        let (h_max, v_max) = if lone { (1, 1) } else { (frame.h_max(), frame.v_max()) };
        let left = if lone { LEFT_FOR_THE_FILTER_GREY } else { LEFT_FOR_THE_FILTER };
        let (mcu_w, mcu_h) = (8 * h_max, 8 * v_max);
        let components: Vec<ComponentGeometry> =
            frame
                .components
                .iter()
                .zip(requests)
                .enumerate()
                .map(|(index, (component, requests))| {
                    let (h, v) = if lone { (1, 1) } else { (component.h, component.v) };
                    let (part_x, part_y) = (h as f64 / h_max as f64, v as f64 / v_max as f64);
                    let n = size(requests, part_x, part_y, |n| {
                        if lone && n == 1 { LEFT_FOR_THE_FILTER_GREY_MEAN } else { left }
                    });
                    let side = |px: usize, part: usize, whole: usize| (px * part * n).div_ceil(8 * whole);
                    ComponentGeometry {
                        index,
                        h,
                        v,
                        n,
                        blocks_x: (frame.width * h).div_ceil(mcu_w),
                        blocks_y: (frame.height * v).div_ceil(mcu_h),
                        quantisation: component.quantisation,
                        scale_x: part_x * n as f64 / 8.0,
                        scale_y: part_y * n as f64 / 8.0,
                        width: side(frame.width, h, h_max),
                        height: side(frame.height, v, v_max),
                    }
                })
                .collect();
        let (mcus_x, mcus_y) = (frame.width.div_ceil(mcu_w), frame.height.div_ceil(mcu_h));
        let requests = || {
            components
                .iter()
                .zip(requests)
                .flat_map(|(component, requests)| requests.iter().map(move |request| (component, request)))
        };
        let wanted_x = wanted(
            mcu_w,
            mcus_x,
            requests().map(|(c, request)| (request.window.left, request.window.width, request.width, c.scale_x)),
        );
        let wanted_y = wanted(
            mcu_h,
            mcus_y,
            requests().map(|(c, request)| (request.window.top, request.window.height, request.height, c.scale_y)),
        );
        Self { components, mcus_x, mcus_y, wanted_x, wanted_y }
    }

    /// Most restart intervals of a scan: one for each of its MCUs.
    pub fn most_intervals(&self) -> usize {
        let blocks = self.components.iter().map(|component| component.blocks_x * component.blocks_y).max();
        blocks.unwrap_or(0).max(self.mcus_x * self.mcus_y)
    }

    /// A plane for the wanted blocks of each component, all grey.
    pub fn planes(&self) -> Result<Vec<Plane>, Error> {
        let plane = |component: &ComponentGeometry| {
            let width = self.wanted_x.len() * component.h * component.n;
            let height = self.wanted_y.len() * component.v * component.n;
            let samples = filled(width.checked_mul(height).ok_or(Error::OutOfMemory)?, 128)?;
            Ok(Plane { width, height, samples })
        };
        self.components.iter().map(plane).collect()
    }

    /// The bytes of [`Self::planes`].
    pub fn planes_bytes(&self) -> u64 {
        let mcus = (self.wanted_x.len() * self.wanted_y.len()) as u64;
        mcus * self
            .components
            .iter()
            .map(|component| (component.h * component.v * component.n.pow(2)) as u64)
            .sum::<u64>()
    }

    /// The planes in their places, without what blocks hold beyond the picture's edge.
    pub fn placed(&self, planes: Vec<Plane>) -> Vec<PlacedPlane> {
        let place = |(component, plane): (&ComponentGeometry, Plane)| {
            let left = self.wanted_x.start * component.h * component.n;
            let top = self.wanted_y.start * component.v * component.n;
            let plane = trimmed(plane, component.width - left, component.height - top);
            PlacedPlane { plane, left, top, scale_x: component.scale_x, scale_y: component.scale_y }
        };
        self.components.iter().zip(planes).map(place).collect()
    }
}

/// The smallest size of a block that leaves every request enough samples: `left` times as many as it becomes.
fn size(requests: &[PlaneRequest], part_x: f64, part_y: f64, left: impl Fn(usize) -> f64) -> usize {
    let enough = |&n: &usize| {
        let left = left(n);
        requests.iter().all(|request| {
            let (have_x, have_y) =
                (request.window.width * part_x * n as f64 / 8.0, request.window.height * part_y * n as f64 / 8.0);
            have_x >= left * request.width as f64 && have_y >= left * request.height as f64
        })
    };
    SIZES.into_iter().find(enough).unwrap_or(8)
}

/// The MCUs along one axis that windows and the filter's reach around them touch. Each window: where it begins, its length,
/// the samples it becomes, and the samples that a pixel is decoded to.
fn wanted(mcu_px: usize, mcus: usize, windows: impl Iterator<Item = (f64, f64, usize, f64)>) -> Range<usize> {
    let (mut from, mut to) = (mcus, 0);
    for (start, length, becomes, scale) in windows {
        // Enlarging, the filter zigzag_lens over samples of the source instead.
        let reach = REACH * (length / becomes as f64).max(1.0 / scale);
        from = from.min(((start - reach).max(0.0) / mcu_px as f64) as usize);
        to = to.max(((start + length + reach) / mcu_px as f64).ceil() as usize);
    }
    from.min(mcus - 1)..to.clamp(1, mcus)
}

/// `plane`'s first columns and rows, at most `width` and `height` of them.
fn trimmed(mut plane: Plane, width: usize, height: usize) -> Plane {
    let (width, height) = (width.min(plane.width), height.min(plane.height));
    if width < plane.width {
        for y in 1..height {
            plane.samples.copy_within(y * plane.width..y * plane.width + width, y * width);
        }
    }
    plane.samples.truncate(width * height);
    Plane { width, height, samples: plane.samples }
}
