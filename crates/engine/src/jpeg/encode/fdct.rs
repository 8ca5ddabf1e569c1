//! The forward cosine transform of an 8 x 8 block (T.81, A.3.3), and its quantisation.

use wide::{f32x4, i16x8};

use crate::jpeg::dct::{BLOCK, NATURAL, basis, join};

/// The transform with one quantisation table.
pub(super) struct Fdct {
    /// By natural place: what a frequency is multiplied with, one over its step.
    factors: [f32; BLOCK],
    /// The magnitude that AC must have, in steps, or it is 0.
    dead_zone: f32,
}

impl Fdct {
    /// `steps`: of quantisation, in zigzag order; `dead_zone`: the part of a step below which AC is 0.
    pub fn new(steps: &[u8; BLOCK], dead_zone: f32) -> Self {
        let mut factors = [0.0; BLOCK];
        for (&natural, &step) in NATURAL.iter().zip(steps) {
            factors[usize::from(natural)] = 1.0 / f32::from(step);
        }
        Self { factors, dead_zone }
    }

    /// The quantised coefficients of a block of samples, in natural order.
    #[inline(never)]
    pub fn transform(&self, samples: &[[u8; 8]; 8]) -> [i16; BLOCK] {
        // Rows of samples, in halves: `[half][row]`.
        let mut rows = [[f32x4::ZERO; 8]; 2];
        for (y, row) in samples.iter().enumerate() {
            let part = |from: usize| f32x4::new(std::array::from_fn(|i| f32::from(row[from + i])));
            (rows[0][y], rows[1][y]) = (part(0), part(4));
        }
        // Down the columns, then, with rows and columns exchanged, along what were the rows; and back again.
        let across = exchanged(&rows.map(|half| pass(&half)));
        let columns = exchanged(&across.map(|half| pass(&half)));
        let mut coefficients = [0; BLOCK];
        let mut least = f32x4::new([0.0, self.dead_zone, self.dead_zone, self.dead_zone]);
        for (v, out) in coefficients.chunks_exact_mut(8).enumerate() {
            let factor = |from: usize| f32x4::new(std::array::from_fn(|i| self.factors[8 * v + from + i]));
            let (mut low, mut high) = (columns[0][v] * factor(0), columns[1][v] * factor(4));
            if v == 0 {
                // The level shift of all samples (T.81, A.3.1): 128 of 64 samples are 1024 of DC.
                low -= f32x4::new([1024.0 * self.factors[0], 0.0, 0.0, 0.0]);
            }
            low &= low.abs().simd_ge(least);
            least = f32x4::splat(self.dead_zone);
            high &= high.abs().simd_ge(least);
            let words = i16x8::from_i32x8_saturate(join(low.fast_round_int(), high.fast_round_int()));
            out.copy_from_slice(&words.to_array());
        }
        coefficients
    }
}

/// Rows and columns exchanged, of 8 x 8 numbers in halves of rows.
#[inline(always)]
fn exchanged(halves: &[[f32x4; 8]; 2]) -> [[f32x4; 8]; 2] {
    let mut exchanged = [[f32x4::ZERO; 8]; 2];
    for (side, half) in halves.iter().enumerate() {
        for part in 0..2 {
            let tile = f32x4::transpose(std::array::from_fn(|i| half[4 * part + i]));
            exchanged[part][4 * side..4 * side + 4].copy_from_slice(&tile);
        }
    }
    exchanged
}

/// One pass: from 8 samples to 8 frequencies, in each lane by itself. What is the inverse's even and odd frequencies are
/// sums and differences here.
#[inline(always)]
fn pass(samples: &[f32x4; 8]) -> [f32x4; 8] {
    let weights = const { basis::<8>() };
    let weight = |sample: usize, frequency: usize| f32x4::splat(weights[sample][frequency]);
    let mut frequencies = [f32x4::ZERO; 8];
    let sums: [f32x4; 4] = std::array::from_fn(|i| samples[i] + samples[7 - i]);
    let differences: [f32x4; 4] = std::array::from_fn(|i| samples[i] - samples[7 - i]);
    let (outer, inner) = (sums[0] + sums[3], sums[1] + sums[2]);
    frequencies[0] = (outer + inner) * weight(0, 0);
    frequencies[4] = (outer - inner) * weight(0, 4);
    let (outer, inner) = (sums[0] - sums[3], sums[1] - sums[2]);
    for frequency in [2, 6] {
        frequencies[frequency] = outer * weight(0, frequency) + inner * weight(1, frequency);
    }
    for frequency in [1, 3, 5, 7] {
        let term = |i: usize| differences[i] * weight(i, frequency);
        frequencies[frequency] = (term(0) + term(1)) + (term(2) + term(3));
    }
    frequencies
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use super::*;

    #[test]
    fn it_is_what_the_definition_says() {
        let mut seed = 7_u32;
        for step in [1, 3, 16] {
            let samples: [[u8; 8]; 8] = std::array::from_fn(|_| {
                std::array::from_fn(|_| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (seed >> 24) as u8
                })
            });
            let made = Fdct::new(&[step; BLOCK], 0.5).transform(&samples);
            for (place, made) in made.into_iter().enumerate() {
                let (v, u) = (place / 8, place % 8);
                let c = |u: usize| if u == 0 { 0.5_f64.sqrt() } else { 1.0 };
                let cosine = |x: usize, u: usize| ((2 * x + 1) as f64 * u as f64 * PI / 16.0).cos();
                let mut sum = 0.0;
                for (y, row) in samples.iter().enumerate() {
                    for (x, &sample) in row.iter().enumerate() {
                        sum += (f64::from(sample) - 128.0) * cosine(x, u) * cosine(y, v) * c(u) * c(v) / 4.0;
                    }
                }
                let expected = sum / f64::from(step);
                assert!((f64::from(made) - expected).abs() <= 0.501, "step {step}, {u},{v}: {made}, not {expected}");
            }
        }
    }

    #[test]
    fn only_ac_has_a_dead_zone() {
        let samples = |dc: f64, ac: f64| -> [[u8; 8]; 8] {
            let cosine = |x: usize| ((2 * x + 1) as f64 * PI / 16.0).cos();
            std::array::from_fn(|_| {
                std::array::from_fn(|x| (128.0 + dc / 8.0 + ac * cosine(x) * 2_f64.sqrt() / 8.0).round() as u8)
            })
        };
        // Of a step of 200: DC 0.56; AC 0.56, 0.7 and -0.7.
        for (ac, quantised) in [(112.0, 0), (140.0, 1), (-140.0, -1)] {
            let made = Fdct::new(&[200; BLOCK], 0.63).transform(&samples(112.0, ac));
            assert_eq!(made[..2], [1, quantised], "{ac}");
        }
    }
}
