//! The inverse cosine transform at a reduced size: N x N samples from the N x N lowest frequencies of an 8 x 8 block.
//!
//! An N-point transform of the first N of 8 coefficients gives the block's samples at N even places, as if it had been
//! resampled by an ideal low-pass filter of its own period (Ngan, "Image resizing in the DCT domain"; libjpeg's
//! `jidctred.c` does the same with integers).

use std::f64::consts::PI;

/// The sizes a block can be decoded to.
pub(super) const SIZES: [usize; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

/// From zigzag place to natural place, row times 8 plus column (T.81, figure A.6); places that do not exist lead to
/// [`NOWHERE`].
pub(super) static NATURAL: [u8; 256] = {
    let mut natural = [NOWHERE as u8; 256];
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

/// Where a coefficient goes that is in no block.
pub(super) const NOWHERE: usize = 64;

/// A block's dequantised coefficients in natural order, and [`NOWHERE`].
pub(super) type Coefficients = [f32; 128];

/// The largest zigzag place of the `n * n` lowest frequencies.
pub(super) fn last_place(n: usize) -> u32 {
    (0..64).rev().find(|&place| NATURAL[place as usize] as usize == (n - 1) * 9).unwrap_or(63)
}

/// The transform for one N, ready to be applied.
pub(super) struct Idct {
    n: usize,
    /// `[sample][frequency]`
    basis: [[f32; 8]; 8],
    /// `[frequency][sample]`
    transposed: [[f32; 8]; 8],
    /// By zigzag place of the last coefficient that is not 0: how many rows and columns of coefficients there are at most.
    reach: [(u8, u8); 64],
}

impl Idct {
    pub fn new(n: usize) -> Self {
        let mut idct = Self { n, basis: [[0.0; 8]; 8], transposed: [[0.0; 8]; 8], reach: [(0, 0); 64] };
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
        for (place, reach) in idct.reach.iter_mut().enumerate() {
            rows = rows.max(NATURAL[place] / 8 + 1);
            columns = columns.max(NATURAL[place] % 8 + 1);
            *reach = (rows.min(n as u8), columns.min(n as u8));
        }
        idct
    }

    /// Samples of a block each way.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Writes `n * n` samples to the rows of `out`, which are `stride` apart. `last`: the zigzag place of the last
    /// coefficient that may differ from 0.
    #[inline(always)]
    pub fn block(&self, coefficients: &Coefficients, last: u32, out: &mut [u8], stride: usize) {
        if last == 0 {
            return self.flat(coefficients[0], out, stride);
        }
        match self.n {
            1 => self.flat(coefficients[0], out, stride),
            2 => two(coefficients, out, stride),
            3 => self.transform::<3, 4>(coefficients, last, out, stride),
            4 => self.transform::<4, 4>(coefficients, last, out, stride),
            5 => self.transform::<5, 8>(coefficients, last, out, stride),
            6 => self.transform::<6, 8>(coefficients, last, out, stride),
            7 => self.transform::<7, 8>(coefficients, last, out, stride),
            _ => self.transform::<8, 8>(coefficients, last, out, stride),
        }
    }

    /// A block of one colour: DC is eight times the mean.
    #[inline(always)]
    fn flat(&self, dc: f32, out: &mut [u8], stride: usize) {
        let value = sample(dc / 8.0);
        match self.n {
            1 => out[0] = value,
            2 => {
                out[..2].copy_from_slice(&[value; 2]);
                out[stride..stride + 2].copy_from_slice(&[value; 2]);
            }
            n => out.chunks_mut(stride).take(n).for_each(|row| row[..n].fill(value)),
        }
    }

    /// `LANES` is N or more, a number of lanes that fills registers. Not inlined: among what reads the coefficients it would
    /// take the registers from it.
    #[inline(never)]
    fn transform<const N: usize, const LANES: usize>(
        &self,
        coefficients: &Coefficients,
        last: u32,
        out: &mut [u8],
        stride: usize,
    ) {
        let (rows, columns) = self.reach[last as usize & 63];
        let lanes = |row: usize| -> [f32; LANES] { std::array::from_fn(|lane| coefficients[row * 8 + lane]) };
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

/// N = 2 by hand: four additions each way.
#[inline(always)]
fn two(coefficients: &Coefficients, out: &mut [u8], stride: usize) {
    /// cos(pi / 4) / 2 and 1 / sqrt(8) are the same number: squared, 1/8.
    const SCALE: f32 = 0.125;
    let [a, b, c, d] = [0, 1, 8, 9].map(|place| coefficients[place] * SCALE);
    let (left, right) = ([a + b, a - b], [c + d, c - d]);
    let samples = [left[0] + right[0], left[1] + right[1], left[0] - right[0], left[1] - right[1]].map(sample);
    out[..2].copy_from_slice(&samples[..2]);
    out[stride..stride + 2].copy_from_slice(&samples[2..]);
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
    fn by_definition(coefficients: &Coefficients, n: usize, x: usize, y: usize) -> f64 {
        let c = |u: usize| if u == 0 { 0.5_f64.sqrt() } else { 1.0 };
        let cosine = |x: usize, u: usize| ((2 * x + 1) as f64 * u as f64 * PI / (2 * n) as f64).cos();
        let mut sum = 0.0;
        for v in 0..n {
            for u in 0..n {
                sum += c(u) * c(v) / 4.0 * f64::from(coefficients[v * 8 + u]) * cosine(x, u) * cosine(y, v);
            }
        }
        (sum + 128.0).clamp(0.0, 255.0)
    }

    fn random_block(seed: &mut u32, places: usize) -> Coefficients {
        let mut coefficients = [0.0; 128];
        for &natural in &NATURAL[..places] {
            *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            coefficients[usize::from(natural)] = f32::from((*seed >> 16) as i16) / 200.0;
        }
        coefficients
    }

    #[test]
    fn every_size_is_what_the_definition_says() {
        let mut seed = 1;
        for n in SIZES {
            let idct = Idct::new(n);
            for places in [1, 2, 3, 6, 20, 64] {
                let coefficients = random_block(&mut seed, places);
                let mut out = vec![77; 11 * 8];
                idct.block(&coefficients, places as u32 - 1, &mut out, 11);
                for y in 0..8 {
                    for x in 0..11 {
                        let got = f64::from(out[y * 11 + x]);
                        let expected = if x < n && y < n { by_definition(&coefficients, n, x, y) } else { 77.0 };
                        assert!(
                            (got - expected).abs() <= 0.501,
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
        let mut seen: Vec<u8> = NATURAL[..64].to_vec();
        seen.sort_unstable();
        assert_eq!(seen, (0..64).collect::<Vec<u8>>());
        assert_eq!(SIZES.map(last_place), [0, 4, 12, 24, 39, 51, 59, 63]);
    }
}
