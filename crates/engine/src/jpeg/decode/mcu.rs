//! Which blocks of a picture are decoded, to which size, and where they go.

use std::ops::Range;

use super::idct::SIZES;
use crate::error::Error;
use crate::geometry::PlaneRequest;
use crate::jpeg::header::Frame;
use crate::pixels::plane::{PlacedPlane, Plane, filled};

/// How many times as large as the thumbnail a decoded component is at least, for blocks of `n` samples, so that the resampler's
/// filter decides what is seen and not the reduced transform, which cuts off sharply what it does not keep.
///
/// Measured as luma PSNR against a full decode, on photographs: what the transform leaves wrong shows the more the fewer samples a
/// block has. With 1.8 for all, pictures full of detail were up to 4 dB under the best possible where blocks were decoded to one
/// or two samples. `pixels`: of the picture.
fn left_for_the_filter(n: usize, kind: ComponentKind, pixels: usize) -> f64 {
    /// For 12 Mpx, which leave 400x400 1.9 times with two samples a block, 2.2 would be 0.1 dB better and a tenth slower.
    const SOFT_PIXELS: usize = 8_000_000;
    match (kind, n) {
        (ComponentKind::Luma, 1) => 3.0,
        (ComponentKind::Luma, 3) => 2.0,
        // A picture of this size comes from a camera and is soft from pixel to pixel; a smaller one was scaled down and is sharp.
        (ComponentKind::Luma, 2) if pixels < SOFT_PIXELS => 2.2,
        // Errors in chroma are less visible.
        (ComponentKind::Luma | ComponentKind::Chroma, _) => 1.8,
        // A grey picture's luma is not blurred by rounding to RGB and back, so that errors are visible. The mean alone weakens the
        // finest detail: 4 % of it where 3.3 times are left.
        (ComponentKind::Lone, 1) => 4.0,
        (ComponentKind::Lone, _) => 2.0,
    }
}

/// How a component contributes to what is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ComponentKind {
    /// The only one.
    Lone,
    /// The first of several, or the fourth.
    Luma,
    /// Chroma.
    Chroma,
}

/// Samples on each side of a window that the filter looks at, per sample of the thumbnail: Lanczos3 reaches 3, plus one for
/// rounding.
const REACH: f64 = 4.0;

/// A component of the frame, as it is decoded.
#[derive(Clone, Debug)]
pub(super) struct ComponentGeometry {
    /// Its index in the frame.
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
        let (mcu_w, mcu_h) = (8 * h_max, 8 * v_max);
        let components: Vec<ComponentGeometry> = frame
            .components
            .iter()
            .zip(requests)
            .enumerate()
            .map(|(index, (component, requests))| {
                let (h, v) = if lone { (1, 1) } else { (component.h, component.v) };
                let (part_x, part_y) = (h as f64 / h_max as f64, v as f64 / v_max as f64);
                let kind = match (lone, index) {
                    (true, _) => ComponentKind::Lone,
                    (false, 1 | 2) => ComponentKind::Chroma,
                    _ => ComponentKind::Luma,
                };
                let n = size(requests, part_x, part_y, |n| left_for_the_filter(n, kind, frame.width * frame.height));
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
        // Enlarging, the filter reaches over samples of the source instead.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Window;
    use crate::jpeg::header::{FrameComponent, Process};

    fn sizes(side: usize) -> Vec<usize> {
        sizes_of(side, 100)
    }

    /// The sizes of blocks for a square thumbnail from the whole of a 4:4:4 picture.
    fn sizes_of(side: usize, becomes: usize) -> Vec<usize> {
        let component = |id| FrameComponent { id, h: 1, v: 1, quantisation: 0 };
        let frame = Frame {
            process: Process::Sequential,
            precision_bits: 8,
            width: side,
            height: side,
            components: (1..=3).map(component).collect(),
        };
        let window = Window { left: 0.0, top: 0.0, width: side as f64, height: side as f64 };
        let requests = vec![vec![PlaneRequest { window, width: becomes, height: becomes }]; 3];
        McuGeometry::new(&frame, &requests).components.iter().map(|component| component.n).collect()
    }

    #[test]
    fn few_samples_of_a_block_leave_the_filter_more() {
        // A mean alone where three are left of it for a sample of the thumbnail; colour does with less.
        assert_eq!(sizes(2400), [1, 1, 1]);
        assert_eq!(sizes(2392), [2, 1, 1]);
        assert_eq!(sizes(888), [2, 2, 2]);
        assert_eq!(sizes(872), [3, 2, 2]);
        assert_eq!(sizes(528), [4, 3, 3]);
        assert_eq!(sizes(100), [8, 8, 8]);
        // 9 Mpx, of which 400x400 with two samples a block has 1.9 left.
        assert_eq!(sizes_of(3000, 400)[0], 2);
    }
}
