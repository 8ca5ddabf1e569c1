//! The inverse cosine transform at a reduced size: N x N samples from the N x N lowest frequencies of an 8 x 8 block.
//!
//! An N-point transform of the first N of 8 coefficients gives the block's samples at N even places, as if it had been
//! resampled by an ideal low-pass filter of its own period (Ngan, "Image resizing in the DCT domain"; libjpeg's
//! `jidctred.c` does the same with integers).

use std::f64::consts::PI;

use super::huffman::BLOCK;

/// The sizes a block can be decoded to.
pub(super) const SIZES: [usize; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

/// From zigzag place to natural place, row times 8 plus column (T.81, figure A.6).
pub(super) static NATURAL: [u8; BLOCK] = {
    let mut natural = [0; BLOCK];
    let (mut row, mut column, mut place) = (0_i32, 0_i32, 0);
    let mut up = true;
    while place < 64 {
        natural[place] = (row * 8 + column) as u8;
        place += 1;
        if up {
            (row, column) = (row - 1, column + 1);
        } else {
            (row, column) = (row + 1, column - 1);
        }
        // Over an edge: along it instead. At the corners right and down come before left and up.
        if column > 7 {
            (row, column, up) = (row + 2, 7, false);
        } else if row > 7 {
            (row, column, up) = (7, column + 2, true);
        } else if row < 0 {
            (row, up) = (0, false);
        } else if column < 0 {
            (column, up) = (0, true);
        }
    }
    natural
};

/// How the coefficients that a transform takes lie: in rows of frequencies, `stride` apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    One,
    Four,
    Sixteen,
    All,
}

impl Kept {
    /// For a transform to `n * n` samples.
    pub fn by(n: usize) -> Self {
        match n {
            1 => Self::One,
            2 => Self::Four,
            3 | 4 => Self::Sixteen,
            _ => Self::All,
        }
    }

    /// Coefficients of a row.
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
    /// What a coefficient is multiplied with, in rows of 8.
    steps: [f32; BLOCK],
    /// `[sample][frequency]`
    basis: [[f32; 8]; 8],
    /// `[frequency][sample]`
    transposed: [[f32; 8]; 8],
    /// By how many zigzag places there are up to the last coefficient that is not 0: how many rows and columns of
    /// coefficients that are at most.
    reach: [(u8, u8); BLOCK + 1],
}

impl Idct {
    /// `steps`: of quantisation, in zigzag order.
    pub fn new(n: usize, steps: &[u16; BLOCK]) -> Self {
        let mut idct = Self {
            n,
            steps: [0.0; BLOCK],
            basis: [[0.0; 8]; 8],
            transposed: [[0.0; 8]; 8],
            reach: [(0, 0); BLOCK + 1],
        };
        for sample in 0..n {
            for frequency in 0..n {
                // Of T.81, A.3.3, one dimension: C(u)/2 cos((2x + 1) u pi / 2N); the same factor for every N, since a block's
                // mean must not depend on it.
                let scale = if frequency == 0 { 0.125_f64.sqrt() } else { 0.5 };
                let angle = (2 * sample + 1) as f64 * frequency as f64 * PI / (2 * n) as f64;
                idct.basis[sample][frequency] = (scale * angle.cos()) as f32;
                idct.transposed[frequency][sample] = idct.basis[sample][frequency];
            }
        }
        let (mut rows, mut columns) = (0, 0);
        for (place, &natural) in NATURAL.iter().enumerate() {
            idct.steps[usize::from(natural)] = f32::from(steps[place]);
            rows = rows.max(natural / 8 + 1);
            columns = columns.max(natural % 8 + 1);
            idct.reach[place + 1] = (rows.min(n as u8), columns.min(n as u8));
        }
        idct
    }

    /// Where the coefficient at a zigzag place lies among those that the transform takes, if it takes it.
    pub fn slot(&self, place: usize) -> Option<u8> {
        let (row, column) = (usize::from(NATURAL[place] / 8), usize::from(NATURAL[place] % 8));
        (row < self.n && column < self.n).then(|| (row * Kept::by(self.n).stride() + column) as u8)
    }

    /// The last zigzag place that the transform takes.
    pub fn last_place(&self) -> usize {
        (0..BLOCK).rev().find(|&place| self.slot(place).is_some()).unwrap_or(0)
    }

    /// Samples of a block each way.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Transforms one block of each of some MCUs that lie beside each other.
    ///
    /// `blocks`: the coefficients from the first one's on, as [`Kept`] has them, quantised, `apart` from one block to the
    /// next. `reaches`: how many zigzag places of a block there are up to the last that may differ from 0. `out`: a plane whose
    /// rows are `stride` long from the first sample of the first block on, and `step` samples from one block to the next.
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
                for (index, (coefficients, reach)) in blocks.enumerate() {
                    self.block(coefficients, usize::from(reach), &mut out[index * step..], stride);
                }
            }
        }
    }

    /// Writes the samples of a block, for N from 3 on.
    #[inline(always)]
    fn block(&self, coefficients: &[i16], reach: usize, out: &mut [u8], stride: usize) {
        if reach <= 1 {
            let value = self.mean(coefficients);
            return out.chunks_mut(stride).take(self.n).for_each(|row| row[..self.n].fill(value));
        }
        match self.n {
            3 => self.transform::<3, 4>(coefficients, reach, out, stride),
            4 => self.transform::<4, 4>(coefficients, reach, out, stride),
            5 => self.transform::<5, 8>(coefficients, reach, out, stride),
            6 => self.transform::<6, 8>(coefficients, reach, out, stride),
            7 => self.transform::<7, 8>(coefficients, reach, out, stride),
            _ => self.transform::<8, 8>(coefficients, reach, out, stride),
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
        let steps = [self.steps[0], self.steps[1], self.steps[8], self.steps[9]].map(|step| step * SCALE);
        let (Some(coefficients), Some(upper), Some(lower)) =
            (coefficients.first_chunk::<4>(), upper.first_chunk_mut::<2>(), lower.first_chunk_mut::<2>())
        else {
            return;
        };
        let [a, b, c, d] = std::array::from_fn(|i| f32::from(coefficients[i]) * steps[i]);
        let [top, bottom, slant_top, slant_bottom] = [a + c, a - c, b + d, b - d];
        *upper = [sample(top + slant_top), sample(top - slant_top)];
        *lower = [sample(bottom + slant_bottom), sample(bottom - slant_bottom)];
    }

    /// `LANES` is N or more, a number of lanes that fills registers. Not inlined: among what reads the coefficients it would
    /// take the registers from it.
    #[inline(never)]
    fn transform<const N: usize, const LANES: usize>(
        &self,
        coefficients: &[i16],
        reach: usize,
        out: &mut [u8],
        stride: usize,
    ) {
        let (rows, columns) = self.reach[reach.min(BLOCK)];
        let coefficients = &coefficients[..LANES * LANES];
        let lanes = |row: usize| -> [f32; LANES] {
            std::array::from_fn(|lane| f32::from(coefficients[row * LANES + lane]) * self.steps[row * 8 + lane])
        };
        // Columns first. Even frequencies are the same in both halves of a column, odd ones change their sign.
        let mut half = [[0.0_f32; LANES]; N];
        let middle = N.div_ceil(2);
        let mut even = [[0.0_f32; LANES]; N];
        let mut odd = [[0.0_f32; LANES]; N];
        for frequency in 0..usize::from(rows).min(N) {
            let row = lanes(frequency);
            let sums = if frequency % 2 == 0 { &mut even } else { &mut odd };
            for (i, sum) in sums[..middle].iter_mut().enumerate() {
                let weight = self.basis[i][frequency];
                for (sum, coefficient) in sum.iter_mut().zip(row) {
                    *sum += weight * coefficient;
                }
            }
        }
        for i in 0..middle {
            for lane in 0..LANES {
                half[i][lane] = even[i][lane] + odd[i][lane];
                half[N - 1 - i][lane] = even[i][lane] - odd[i][lane];
            }
        }
        if N % 2 == 1 {
            half[middle - 1] = std::array::from_fn(|lane| even[middle - 1][lane] + odd[middle - 1][lane]);
        }
        for (row, out) in half.iter().zip(out.chunks_mut(stride)) {
            let mut sums = [0.0_f32; LANES];
            for (frequency, &value) in row.iter().enumerate().take(usize::from(columns).min(N)) {
                for (sum, weight) in sums.iter_mut().zip(&self.transposed[frequency]) {
                    *sum += value * weight;
                }
            }
            let samples = sums.map(sample);
            out[..N].copy_from_slice(&samples[..N]);
        }
    }
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
                let mut kept = vec![0; Kept::by(n).count()];
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
    fn the_zigzag_is_that_of_the_standard() {
        assert_eq!(NATURAL[..16], [0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5]);
        assert_eq!(NATURAL[48..56], [58, 59, 52, 45, 38, 31, 39, 46]);
        let mut seen: Vec<u8> = NATURAL.to_vec();
        seen.sort_unstable();
        assert_eq!(seen, (0..64).collect::<Vec<u8>>());
        assert_eq!(SIZES.map(|n| Idct::new(n, &[1; BLOCK]).last_place()), [0, 4, 12, 24, 39, 51, 59, 63]);
    }
}
