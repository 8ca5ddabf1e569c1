//! Averages of squares of pixels, made while a decoder gives row after row: a picture of any height in the memory of a small one.

use std::ops::Range;

use super::plane::{PlacedPlane, Plane, zeros};
use crate::error::Error;
use crate::geometry::PlaneRequest;

/// How many samples the resampler's filter gets for each of the thumbnail's, at least, each way: a mean of squares cuts off softly,
/// and the filter must decide what is seen. With so many, photographs come within 0.4 dB of what they can be.
const LEFT_FOR_THE_FILTER: f64 = 4.0;

/// The same up to a factor of [`MAX_DEAR_FACTOR`]. There fewer samples save time (a tenth of that of a 12 Mpx PNG at 400x400), and the
/// squares are so small that it costs no more than elsewhere.
const LEFT_WHERE_DEAR: f64 = 2.5;

/// Up to this factor averaging more saves much of the filter's work.
const MAX_DEAR_FACTOR: f64 = 3.0;

/// Samples on each side of a window that the filter looks at, per sample of the thumbnail: Lanczos3 reaches 3, plus one for
/// rounding.
const REACH: f64 = 4.0;

/// The largest factor: sums of so many samples fit into 16 bits.
const MAX_FACTOR: usize = 256;

/// The part of a plane that the thumbnails need, and at which size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reduction {
    /// A sample is the mean of so many by so many pixels; at the right and lower edge, of those there are.
    pub factor: usize,
    /// Pixels of the plane that are averaged. They begin at multiples of `factor`, and end at such or at the picture's edge.
    pub columns: Range<usize>,
    pub rows: Range<usize>,
}

impl Reduction {
    /// For a plane of `width * height` pixels, of which the thumbnails request at least one part.
    pub fn new(width: usize, height: usize, requests: &[PlaneRequest]) -> Self {
        let scales = requests.iter().flat_map(|request| {
            let PlaneRequest { window, width, height } = request;
            [window.width / *width as f64, window.height / *height as f64]
        });
        let least = scales.fold(f64::INFINITY, f64::min);
        let factor = (least / LEFT_FOR_THE_FILTER).max((least / LEFT_WHERE_DEAR).min(MAX_DEAR_FACTOR));
        let factor = (factor as usize).clamp(1, MAX_FACTOR);
        let part = |from: f64, length: f64, samples: usize, all: usize| {
            let margin = REACH * (length / samples as f64).max(1.0) + 1.0;
            let first = ((from - margin).max(0.0) as usize).min(all - 1);
            let last = ((from + length + margin).max(0.0).ceil() as usize).clamp(first + 1, all);
            first / factor * factor..last.next_multiple_of(factor).min(all)
        };
        let union = |a: Range<usize>, b: Range<usize>| a.start.min(b.start)..a.end.max(b.end);
        let columns = requests.iter().map(|r| part(r.window.left, r.window.width, r.width, width));
        let rows = requests.iter().map(|r| part(r.window.top, r.window.height, r.height, height));
        Self {
            factor,
            columns: columns.reduce(union).unwrap_or(0..width),
            rows: rows.reduce(union).unwrap_or(0..height),
        }
    }

    /// The same part by a larger factor, of a plane of `width * height` pixels.
    #[cfg(feature = "heic")]
    pub fn by(self, factor: usize, (width, height): (usize, usize)) -> Self {
        let whole =
            |part: Range<usize>, all: usize| part.start / factor * factor..part.end.next_multiple_of(factor).min(all);
        Self { factor, columns: whole(self.columns, width), rows: whole(self.rows, height) }
    }

    /// Samples of the reduced plane, across and down.
    pub fn size(&self) -> (usize, usize) {
        (self.columns.len().div_ceil(self.factor), self.rows.len().div_ceil(self.factor))
    }

    /// Bytes of the reduced plane.
    pub fn plane_bytes(&self) -> u64 {
        let (width, height) = self.size();
        width as u64 * height as u64
    }

    /// The most bytes that a [`Reducer`] of so many channels takes beside its planes.
    pub fn working_bytes(&self, channels: usize) -> u64 {
        3 * self.columns.len() as u64 * channels as u64
    }

    /// Planes of this size at their place. Rows from `finished` on did not come: they are `missing`, by plane.
    pub(super) fn placed_all(&self, planes: Vec<Plane>, finished: usize, missing: &[u8]) -> Vec<PlacedPlane> {
        let (width, _) = self.size();
        let placed = |(mut plane, &missing): (Plane, &u8)| {
            plane.samples[finished * width..].fill(missing);
            self.placed(plane)
        };
        planes.into_iter().zip(missing).map(placed).collect()
    }

    fn placed(&self, plane: Plane) -> PlacedPlane {
        let scale = 1.0 / self.factor as f64;
        PlacedPlane {
            plane,
            left: self.columns.start / self.factor,
            top: self.rows.start / self.factor,
            scale_x: scale,
            scale_y: scale,
        }
    }

    /// The means of squares of which `rows` rows came.
    pub(super) fn means(&self, rows: usize) -> Means {
        let last = (self.columns.len() - 1) % self.factor + 1;
        Means { whole: Mean::new(self.factor * rows), last: Mean::new(last * rows) }
    }
}

/// The mean of so many samples from their sum, without a division.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mean {
    half: u64,
    reciprocal: u64,
}

impl Mean {
    /// Enough bits that the result is exact: a sum is less than 2^25.
    const BITS: u32 = 48;

    /// Of 1 to 2^16 samples.
    pub fn new(samples: usize) -> Self {
        let samples = samples as u64;
        Self { half: samples / 2, reciprocal: (1 << Self::BITS) / samples + 1 }
    }

    pub fn of(self, sum: u32) -> u8 {
        (((u64::from(sum) + self.half) * self.reciprocal) >> Self::BITS) as u8
    }
}

/// The means of a row of squares, of which the last may be narrower.
pub(super) struct Means {
    pub whole: Mean,
    pub last: Mean,
}

/// Averages rows of interleaved samples, given from the first of [`Reduction::rows`] to the last.
pub(crate) struct Reducer {
    reduction: Reduction,
    channels: usize,
    /// The last channel is opacity: the others are multiplied by it.
    alpha: bool,
    /// A row multiplied by its opacity.
    multiplied: Vec<u8>,
    /// Sums over the rows of a square that have come; one for each pixel and channel.
    sums: Vec<u16>,
    /// How many rows those are.
    summed: usize,
    planes: Vec<Plane>,
    /// Rows of the planes that are finished.
    finished: usize,
}

impl Reducer {
    /// For rows of `channels` samples a pixel.
    pub fn new(reduction: Reduction, channels: usize, alpha: bool) -> Result<Self, Error> {
        let (width, height) = reduction.size();
        let samples = reduction.columns.len() * channels;
        Ok(Self {
            channels,
            alpha,
            multiplied: zeros(if alpha { samples } else { 0 })?,
            sums: zeros(if reduction.factor > 1 { samples } else { 0 })?,
            summed: 0,
            planes: (0..channels).map(|_| Plane::new(width, height)).collect::<Result<_, _>>()?,
            finished: 0,
            reduction,
        })
    }

    /// The rows that are wanted.
    pub fn rows(&self) -> Range<usize> {
        self.reduction.rows.clone()
    }

    /// Takes the next row, whole: as many pixels as the picture is wide. One behind the last wanted is ignored.
    pub fn push(&mut self, row: &[u8]) {
        let Range { start, end } = self.reduction.columns;
        let row = &row[start * self.channels..end * self.channels];
        let (width, height) = self.reduction.size();
        if self.finished == height {
            return;
        }
        let mut multiplied = std::mem::take(&mut self.multiplied);
        let row = if self.alpha {
            multiply(row, self.channels, &mut multiplied);
            multiplied.as_slice()
        } else {
            row
        };
        if self.reduction.factor == 1 {
            for (channel, plane) in self.planes.iter_mut().enumerate() {
                let to = &mut plane.samples[self.finished * width..][..width];
                for (sample, pixel) in to.iter_mut().zip(row.chunks_exact(self.channels)) {
                    *sample = pixel[channel];
                }
            }
            self.finished += 1;
        } else {
            self.sums.iter_mut().zip(row).for_each(|(sum, &sample)| *sum += u16::from(sample));
            self.summed += 1;
            if self.summed == self.reduction.factor {
                self.finish_row();
            }
        }
        self.multiplied = multiplied;
    }

    /// Turns the sums into a row of the planes.
    fn finish_row(&mut self) {
        match self.channels {
            1 => self.finish_row_of::<1>(),
            2 => self.finish_row_of::<2>(),
            3 => self.finish_row_of::<3>(),
            _ => self.finish_row_of::<4>(),
        }
        self.sums.fill(0);
        self.summed = 0;
        self.finished += 1;
    }

    fn finish_row_of<const CHANNELS: usize>(&mut self) {
        let (width, _) = self.reduction.size();
        let factor = self.reduction.factor;
        let means = self.reduction.means(self.summed);
        let (pixels, _) = self.sums.as_chunks::<CHANNELS>();
        let mut rows: Vec<_> =
            self.planes.iter_mut().map(|plane| &mut plane.samples[self.finished * width..][..width]).collect();
        let Ok(rows) = <&mut [&mut [u8]; CHANNELS]>::try_from(rows.as_mut_slice()) else { return };
        for (x, square) in pixels.chunks(factor).enumerate() {
            let mut sums = [0_u32; CHANNELS];
            for pixel in square {
                for (sum, &sample) in sums.iter_mut().zip(pixel) {
                    *sum += u32::from(sample);
                }
            }
            let mean = if x + 1 == width { means.last } else { means.whole };
            for (row, sum) in rows.iter_mut().zip(sums) {
                row[x] = mean.of(sum);
            }
        }
    }

    /// The planes, one a channel. Rows that did not come are `missing`, by channel.
    pub fn finish(mut self, missing: &[u8]) -> Vec<PlacedPlane> {
        if self.summed > 0 {
            self.finish_row();
        }
        self.reduction.placed_all(self.planes, self.finished, missing)
    }
}

/// Multiplies the colours of interleaved pixels, grey or red, green and blue, by their last channel, of 255.
pub(super) fn multiply(row: &[u8], channels: usize, multiplied: &mut [u8]) {
    fn pixels<const CHANNELS: usize>(row: &[u8], multiplied: &mut [u8]) {
        let (to, _) = multiplied.as_chunks_mut::<CHANNELS>();
        for (to, pixel) in to.iter_mut().zip(row.as_chunks::<CHANNELS>().0) {
            let mut by = [pixel[CHANNELS - 1]; CHANNELS];
            by[CHANNELS - 1] = 255;
            *to = std::array::from_fn(|channel| product(pixel[channel], by[channel]));
        }
    }
    if channels == 2 { pixels::<2>(row, multiplied) } else { pixels::<4>(row, multiplied) }
}

/// `a * b / 255`, rounded: exact for all products of two bytes.
pub(super) fn product(a: u8, b: u8) -> u8 {
    let product = u32::from(a) * u32::from(b) + 128;
    ((product + (product >> 8)) >> 8) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Window;

    fn request(window: [f64; 4], width: usize, height: usize) -> PlaneRequest {
        let [left, top, w, h] = window;
        PlaneRequest { window: Window { left, top, width: w, height: h }, width, height }
    }

    #[test]
    fn the_factor_leaves_enough_for_the_smallest_reduction() {
        let small = request([0.0, 0.0, 4000.0, 3000.0], 400, 300);
        let large = request([1000.0, 1000.0, 900.0, 900.0], 200, 200);
        assert_eq!(Reduction::new(4000, 3000, &[small]), Reduction { factor: 3, columns: 0..4000, rows: 0..3000 });
        assert_eq!(Reduction::new(4000, 3000, &[small, large]).factor, 1);
        let factor = |scale: f64| {
            Reduction::new(9999, 9999, &[request([0.0, 0.0, 100.0 * scale, 100.0 * scale], 100, 100)]).factor
        };
        assert_eq!([2.4, 2.5, 4.9, 5.0, 7.4, 7.5, 15.9, 16.0, 20.0, 99.0].map(factor), [1, 1, 1, 2, 2, 3, 3, 4, 5, 24]);
        assert_eq!(Reduction::new(10, 10, &[request([0.0, 0.0, 10.0, 10.0], 100, 100)]).factor, 1);
    }

    #[test]
    fn only_what_is_needed_and_what_the_filter_reaches_is_kept() {
        let middle = request([1000.0, 500.0, 1000.0, 1000.0], 100, 100);
        let reduction = Reduction::new(4000, 3000, &[middle]);
        assert_eq!(reduction, Reduction { factor: 3, columns: 957..2043, rows: 459..1542 });
        assert_eq!(reduction.size(), (362, 361));
    }

    #[cfg(feature = "heic")]
    #[test]
    fn a_larger_factor_keeps_the_part_and_fills_its_squares() {
        let reduction = Reduction { factor: 1, columns: 955..2045, rows: 7..999 };
        assert_eq!(reduction.by(4, (4000, 999)), Reduction { factor: 4, columns: 952..2048, rows: 4..999 });
    }

    #[test]
    fn squares_become_their_mean_also_at_the_edges() {
        let reduction = Reduction { factor: 2, columns: 0..3, rows: 0..3 };
        let mut reducer = Reducer::new(reduction, 1, false).unwrap();
        for row in [[0, 10, 20], [20, 30, 40], [7, 8, 9]] {
            reducer.push(&row);
        }
        let placed = reducer.finish(&[0]).remove(0);
        assert_eq!(placed.plane.samples, [15, 30, 8, 9]);
        assert_eq!((placed.scale_x, placed.left, placed.top), (0.5, 0, 0));
    }

    #[test]
    fn what_cannot_be_seen_has_no_colour() {
        let reduction = Reduction { factor: 2, columns: 0..2, rows: 0..1 };
        let mut reducer = Reducer::new(reduction, 2, true).unwrap();
        reducer.push(&[200, 255, 90, 0]);
        let planes = reducer.finish(&[0, 0]);
        assert_eq!((planes[0].plane.samples[0], planes[1].plane.samples[0]), (100, 128));
    }

    #[test]
    fn rows_that_did_not_come_are_filled() {
        let reduction = Reduction { factor: 1, columns: 1..3, rows: 0..2 };
        let mut reducer = Reducer::new(reduction, 1, false).unwrap();
        reducer.push(&[1, 2, 3, 4]);
        assert_eq!(reducer.finish(&[128])[0].plane.samples, [2, 3, 128, 128]);
    }

    #[test]
    fn means_are_rounded_exactly() {
        for samples in (1..=300).chain([1 << 15, (1 << 16) - 1, 1 << 16]) {
            let mean = Mean::new(samples);
            let most = 255 * samples as u32;
            for sum in (0..=most).step_by(1 + most as usize / 5000).chain([most]) {
                let exact = (u64::from(sum) + samples as u64 / 2) / samples as u64;
                assert_eq!(u64::from(mean.of(sum)), exact, "{sum} of {samples}");
            }
        }
    }

    #[test]
    fn products_are_rounded_exactly() {
        for colour in 0..=255_u8 {
            for alpha in 0..=255_u8 {
                let mut made = [0; 2];
                multiply(&[colour, alpha], 2, &mut made);
                let exact = (f64::from(colour) * f64::from(alpha) / 255.0).round() as u8;
                assert_eq!(made, [exact, alpha]);
            }
        }
    }
}
