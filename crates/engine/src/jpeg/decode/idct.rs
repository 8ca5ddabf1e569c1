//! The inverse cosine transform at a reduced size: N x N samples from the N x N lowest frequencies of an 8 x 8 block.
//!
//! An N-point transform of the first N of 8 coefficients gives the block's samples at N even places, as if it had been
//! resampled by an ideal low-pass filter of its own period (Ngan, "Image resizing in the DCT domain"; libjpeg's
//! `jidctred.c` does the same with integers).

use wide::{f32x4, i16x8, i32x8, u8x16};

use crate::jpeg::dct::{BLOCK, NATURAL, basis, halves, join};

/// The sizes a block can be decoded to.
pub(super) const SIZES: [usize; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

/// How the coefficients that a transform takes lie: in columns of vertical frequencies, `stride` apart, so that the second
/// of its two passes ends with rows of samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IdctSize {
    One,
    Four,
    Sixteen,
    All,
}

impl IdctSize {
    /// For a transform to `n * n` samples.
    pub fn by(n: usize) -> Self {
        match n {
            1 => Self::One,
            2 => Self::Four,
            3 | 4 => Self::Sixteen,
            _ => Self::All,
        }
    }

    /// Coefficients of a column.
    pub fn stride(self) -> usize {
        match self {
            Self::One => 1,
            Self::Four => 2,
            Self::Sixteen => 4,
            Self::All => 8,
        }
    }

    /// Coefficients of a block.
    pub fn count(self) -> usize {
        self.stride() * self.stride()
    }
}

/// The transform for one N and one quantisation table, ready to be applied.
pub(super) struct Idct {
    n: usize,
    /// The factor of each coefficient, in their order.
    steps: [f32; BLOCK],
}

impl Idct {
    /// `steps`: of quantisation, in zigzag order.
    pub fn new(n: usize, steps: &[u16; BLOCK]) -> Self {
        let mut idct = Self { n, steps: [0.0; BLOCK] };
        for (place, &step) in steps.iter().enumerate() {
            if let Some(slot) = idct.slot(place) {
                idct.steps[usize::from(slot)] = f32::from(step);
            }
        }
        idct
    }

    /// Where the coefficient at a zigzag place lies among those that the transform takes, if it takes it.
    pub fn slot(&self, place: usize) -> Option<u8> {
        let (row, column) = (usize::from(NATURAL[place] / 8), usize::from(NATURAL[place] % 8));
        (row < self.n && column < self.n).then(|| (column * IdctSize::by(self.n).stride() + row) as u8)
    }

    /// The last zigzag place that the transform takes.
    pub fn last_place(&self) -> usize {
        (0..BLOCK).rev().find(|&place| self.slot(place).is_some()).unwrap_or(0)
    }

    /// Samples per side of a block.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Transforms blocks that become neighbours in a row: one of each of some MCUs.
    ///
    /// `blocks`: of each the coefficients, as [`IdctSize`] has them, quantised, from its first one on; and how many zigzag places
    /// there are up to the last that may differ from 0. `out`: a plane whose rows are `stride` long, from the first sample of
    /// the first block on; the next block's is `step` samples further.
    pub fn blocks<'a>(
        &self,
        blocks: impl Iterator<Item = (&'a [i16], u8)>,
        out: &mut [u8],
        stride: usize,
        step: usize,
    ) {
        match self.n {
            1 => {
                for ((coefficients, _), out) in blocks.zip(out.chunks_mut(step)) {
                    out[0] = self.mean(coefficients);
                }
            }
            2 => {
                let (upper, lower) = out.split_at_mut(stride);
                let rows = upper.chunks_mut(step).zip(lower.chunks_mut(step));
                for ((coefficients, _), (upper, lower)) in blocks.zip(rows) {
                    self.two(coefficients, upper, lower);
                }
            }
            _ => {
                for (index, (coefficients, zigzag_len)) in blocks.enumerate() {
                    self.block(coefficients, usize::from(zigzag_len), &mut out[index * step..], stride);
                }
            }
        }
    }

    /// Writes the samples of a block, for N from 3 on.
    #[inline(always)]
    fn block(&self, coefficients: &[i16], zigzag_len: usize, out: &mut [u8], stride: usize) {
        if zigzag_len <= 1 {
            let value = self.mean(coefficients);
            return out.chunks_mut(stride).take(self.n).for_each(|row| row[..self.n].fill(value));
        }
        /// The zigzag's first places, which all lie among the four lowest frequencies each way.
        const FEW: usize = 10;
        match (self.n, zigzag_len <= FEW) {
            (3, _) => self.transform::<3, 3>(coefficients, out, stride),
            (4, _) => self.transform::<4, 4>(coefficients, out, stride),
            (5, true) => self.transform::<5, 4>(coefficients, out, stride),
            (5, false) => self.transform::<5, 5>(coefficients, out, stride),
            (6, true) => self.transform::<6, 4>(coefficients, out, stride),
            (6, false) => self.transform::<6, 6>(coefficients, out, stride),
            (7, true) => self.transform::<7, 4>(coefficients, out, stride),
            (7, false) => self.transform::<7, 7>(coefficients, out, stride),
            (_, true) => self.transform::<8, 4>(coefficients, out, stride),
            (_, false) => self.transform::<8, 8>(coefficients, out, stride),
        }
    }

    /// A block's mean: DC is eight times that.
    #[inline(always)]
    fn mean(&self, coefficients: &[i16]) -> u8 {
        sample(f32::from(coefficients[0]) * (self.steps[0] / 8.0))
    }

    /// N = 2 by hand: four additions each way.
    #[inline(always)]
    fn two(&self, coefficients: &[i16], upper: &mut [u8], lower: &mut [u8]) {
        /// cos(pi / 4) / 2 and 1 / sqrt(8) are the same number: squared, 1/8.
        const SCALE: f32 = 0.125;
        let steps: [f32; 4] = std::array::from_fn(|i| self.steps[i] * SCALE);
        let (Some(coefficients), Some(upper), Some(lower)) =
            (coefficients.first_chunk::<4>(), upper.first_chunk_mut::<2>(), lower.first_chunk_mut::<2>())
        else {
            return;
        };
        let [a, b, c, d] = std::array::from_fn(|i| f32::from(coefficients[i]) * steps[i]);
        let [top, bottom, slant_top, slant_bottom] = [a + b, a - b, c + d, c - d];
        *upper = [sample(top + slant_top), sample(top - slant_top)];
        *lower = [sample(bottom + slant_bottom), sample(bottom - slant_bottom)];
    }

    /// N from 3 on, of which only the first `R` frequencies each way differ from 0.
    #[inline(never)]
    fn transform<const N: usize, const R: usize>(&self, coefficients: &[i16], out: &mut [u8], stride: usize) {
        // Columns of frequencies, in halves: `[half][column]`.
        let mut columns = [[f32x4::ZERO; 8]; 2];
        let [low, high] = &mut columns;
        for (column, (low, high)) in low.iter_mut().zip(high).enumerate().take(R) {
            [*low, *high] = self.column::<N>(coefficients, column);
        }
        // The level shift of all samples (T.81, A.3.1), by way of DC.
        columns[0][0] += f32x4::new([1024.0, 0.0, 0.0, 0.0]);
        // Columns of samples, which are rows of frequencies then.
        let mut rows = [[f32x4::ZERO; 8]; 2];
        for half in 0..R.div_ceil(4) {
            let across = pass::<N, R>(&columns[half]);
            for side in 0..N.div_ceil(4) {
                let tile = std::array::from_fn(|i| across[4 * side + i]);
                rows[side][4 * half..4 * half + 4].copy_from_slice(&f32x4::transpose(tile));
            }
        }
        let left = pass::<N, R>(&rows[0]);
        let right = if N > 4 { pass::<N, R>(&rows[1]) } else { [f32x4::ZERO; 8] };
        for (y, row) in out.chunks_mut(stride).take(N).enumerate() {
            let words = i16x8::from_i32x8_saturate(join(left[y].fast_round_int(), right[y].fast_round_int()));
            let samples = u8x16::narrow_i16x8(words, words).to_array();
            row[..N].copy_from_slice(&samples[..N]);
        }
    }

    /// A column of frequencies, dequantised, in halves.
    #[inline(always)]
    fn column<const N: usize>(&self, coefficients: &[i16], column: usize) -> [f32x4; 2] {
        let stride = IdctSize::by(N).stride();
        let steps = &self.steps[column * stride..][..stride];
        let mut words = [0; 8];
        words[..stride].copy_from_slice(&coefficients[column * stride..][..stride]);
        let [low, high] = halves(i32x8::from_i16x8(i16x8::new(words))).map(f32x4::from_i32x4);
        let step = |half: usize| f32x4::new(std::array::from_fn(|i| steps[4 * half + i]));
        [low * step(0), if stride > 4 { high * step(1) } else { high }]
    }
}

/// One pass: from the first `R` of N frequencies to N samples, in each lane by itself.
///
/// Even frequencies are the same in both halves of the samples, odd ones change their sign; of the even ones so are again
/// every second, where N is a multiple of 4.
#[inline(always)]
fn pass<const N: usize, const R: usize>(frequencies: &[f32x4; 8]) -> [f32x4; 8] {
    let weights = const { basis::<N>() };
    let sum = |sample: usize, first: usize, step: usize| {
        let mut sum = f32x4::ZERO;
        let mut frequency = first;
        while frequency < R {
            let term = frequencies[frequency] * f32x4::splat(weights[sample][frequency]);
            sum = if frequency == first { term } else { sum + term };
            frequency += step;
        }
        sum
    };
    let half = N.div_ceil(2);
    let mut even = [f32x4::ZERO; 4];
    if N.is_multiple_of(4) {
        for i in 0..N / 4 {
            let (same, changing) = (sum(i, 0, 4), sum(i, 2, 4));
            (even[i], even[half - 1 - i]) = (same + changing, same - changing);
        }
    } else {
        for (i, even) in even.iter_mut().enumerate().take(half) {
            *even = sum(i, 0, 2);
        }
    }
    let mut samples = [f32x4::ZERO; 8];
    for (i, even) in even.into_iter().enumerate().take(half) {
        let odd = sum(i, 1, 2);
        samples[N - 1 - i] = even - odd;
        samples[i] = even + odd;
    }
    samples
}

/// The level shift (T.81, A.3.1), the range, and rounding to the nearest.
#[inline(always)]
fn sample(value: f32) -> u8 {
    /// Numbers from here to twice this have no fraction: adding it rounds, and leaves the whole number in the low bits.
    /// `as u8` would check for what cannot be here, at three times the cost.
    const WHOLE: f32 = 8_388_608.0;
    ((value + 128.0).clamp(0.0, 255.0) + WHOLE).to_bits() as u8
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use super::*;

    /// The definition (T.81, A.3.3), with the N lowest frequencies at N places.
    fn by_definition(coefficients: &[f64; BLOCK], n: usize, x: usize, y: usize) -> f64 {
        let c = |u: usize| if u == 0 { 0.5_f64.sqrt() } else { 1.0 };
        let cosine = |x: usize, u: usize| ((2 * x + 1) as f64 * u as f64 * PI / (2 * n) as f64).cos();
        let mut sum = 0.0;
        for v in 0..n {
            for u in 0..n {
                sum += c(u) * c(v) / 4.0 * coefficients[v * 8 + u] * cosine(x, u) * cosine(y, v);
            }
        }
        (sum + 128.0).clamp(0.0, 255.0)
    }

    #[test]
    fn every_size_is_what_the_definition_says() {
        let mut seed = 1_u32;
        let mut random = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed >> 16
        };
        let steps: [u16; BLOCK] = std::array::from_fn(|_| random() as u16 % 7 + 1);
        for n in SIZES {
            let idct = Idct::new(n, &steps);
            for places in [1, 2, 3, 6, 20, 64] {
                let mut kept = vec![0; IdctSize::by(n).count()];
                let mut all = [0.0; BLOCK];
                for place in 0..places {
                    let value = random() as i16 % 60;
                    all[usize::from(NATURAL[place])] = f64::from(value) * f64::from(steps[place]);
                    if let Some(slot) = idct.slot(place) {
                        kept[usize::from(slot)] = value;
                    }
                }
                let mut out = vec![77; 11 * 8];
                idct.blocks(std::iter::once((kept.as_slice(), places as u8)), &mut out, 11, 11);
                for y in 0..8 {
                    for x in 0..11 {
                        let got = f64::from(out[y * 11 + x]);
                        let expected = if x < n && y < n { by_definition(&all, n, x, y) } else { 77.0 };
                        assert!(
                            (got - expected).abs() <= 0.51,
                            "size {n}, {places} places, {x},{y}: {got}, not {expected}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn the_last_place_is_that_of_the_highest_frequency() {
        assert_eq!(SIZES.map(|n| Idct::new(n, &[1; BLOCK]).last_place()), [0, 4, 12, 24, 39, 51, 59, 63]);
    }
}
