//! Quantisation steps and dead zones by quality.
//!
//! The steps are those of jpegli (<https://github.com/google/jpegli>, `lib/jpegli/quant.cc`), which are made for the eye: at a
//! given loss that is seen, files are a tenth smaller than with the example tables of T.81, annex K. The tables below are
//! jpegli's, rounded; copyright (c) the JPEG XL Project Authors, under the licence in `NOTICE`.

use crate::jpeg::dct::{BLOCK, NATURAL};

/// What a file stores beside luma.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chroma {
    None,
    /// Half the samples each way.
    Halved,
    Full,
}

/// Steps for luma at a distance of 1, before [`SCALE`], in natural order.
#[rustfmt::skip]
const LUMA_STEPS: [f32; BLOCK] = [
    1.24, 1.72, 2.92, 2.81, 3.34, 3.46, 3.84, 3.87,
    1.72, 2.09, 2.85, 2.70, 3.44, 3.17, 4.03, 4.04,
    2.92, 2.85, 2.96, 3.39, 3.62, 3.90, 3.76, 4.24,
    2.81, 2.70, 3.39, 3.38, 4.17, 4.81, 4.78, 4.61,
    3.34, 3.44, 3.62, 4.17, 4.58, 4.92, 5.57, 5.49,
    3.46, 3.17, 3.90, 4.81, 4.92, 5.44, 5.09, 6.09,
    3.84, 4.03, 3.76, 4.78, 5.57, 5.09, 5.44, 5.40,
    3.87, 4.04, 4.24, 4.61, 5.49, 6.09, 5.40, 4.38,
];

/// The same for colour differences. jpegli has them for Cr; its own for Cb, coarser at high frequencies, would make pictures of
/// 400x400 0.5 % smaller, and small ones larger by their table.
#[rustfmt::skip]
const CHROMA_STEPS: [f32; BLOCK] = [
      2.92,   4.50,   7.36,   6.58,   8.54,   8.80,   9.19,   9.48,
      4.50,   6.31,   7.02,   7.16,   8.05,   7.01,   6.71,   8.38,
      7.36,   7.02,   6.89,   6.88,   8.78,   6.88,   7.89,   8.68,
      6.58,   7.16,   6.88,   7.00,   7.72,   7.96,   7.47,   8.36,
      8.54,   8.05,   8.78,   7.72,   6.78,   9.48,   9.04,   8.05,
      8.80,   7.01,   6.88,   7.96,   9.48,   8.61,   9.92,  64.25,
      9.19,   6.71,   7.89,   7.47,   9.04,   9.92,  63.18,  83.35,
      9.48,   8.38,   8.68,   8.36,   8.05,  64.25,  83.35, 114.89,
];

/// What all steps are multiplied with.
const SCALE: f32 = 1.739_66;

/// The same where chroma is halved: what it saves may be spent on chroma, whose samples then stand for four pixels each.
const HALVED_SCALE: f32 = 1.22;
/// And what the steps of halved chroma are multiplied with besides.
#[rustfmt::skip]
const HALVED_CHROMA: [f32; BLOCK] = [
    0.409, 0.321, 0.348, 0.333, 0.314, 0.282, 0.321, 0.335,
    0.321, 0.311, 0.349, 0.280, 0.306, 0.312, 0.413, 0.344,
    0.348, 0.349, 0.359, 0.326, 0.273, 0.375, 0.337, 0.348,
    0.333, 0.280, 0.326, 0.302, 0.351, 0.341, 0.397, 0.384,
    0.314, 0.306, 0.273, 0.351, 0.310, 0.340, 0.272, 0.384,
    0.282, 0.312, 0.375, 0.341, 0.340, 0.321, 0.320, 0.073,
    0.321, 0.413, 0.337, 0.397, 0.272, 0.320, 0.080, 0.055,
    0.335, 0.344, 0.348, 0.384, 0.384, 0.073, 0.055, 0.337,
];

/// The exponents with which steps grow from a distance of [`GROWS_SLOWER`]: low frequencies must not become as coarse.
#[rustfmt::skip]
const GROWTH: [f32; BLOCK] = [
    1.00, 0.51, 0.67, 0.74, 1.00, 1.00, 1.00, 1.00,
    0.51, 0.66, 0.69, 0.87, 1.00, 1.00, 1.00, 1.00,
    0.67, 0.69, 0.84, 0.83, 0.96, 1.00, 1.00, 1.00,
    0.74, 0.87, 0.83, 1.00, 1.00, 0.91, 0.91, 1.00,
    1.00, 1.00, 0.96, 1.00, 1.00, 1.00, 1.00, 1.00,
    1.00, 1.00, 1.00, 0.91, 1.00, 1.00, 1.00, 1.00,
    1.00, 1.00, 1.00, 0.91, 1.00, 1.00, 1.00, 1.00,
    1.00, 1.00, 1.00, 1.00, 1.00, 1.00, 1.00, 1.00,
];
const GROWS_SLOWER: f32 = 1.5;

/// Quantisation steps at `quality`, in zigzag order: for luma, or for the colour differences.
pub(super) fn steps(luma: bool, chroma: Chroma, quality: u8) -> [u8; BLOCK] {
    let table = if luma { &LUMA_STEPS } else { &CHROMA_STEPS };
    let distance = distance(chroma, quality);
    NATURAL.map(|natural| {
        let place = usize::from(natural);
        let mut step = table[place] * SCALE * grown(distance, GROWTH[place]);
        if chroma == Chroma::Halved {
            step *= HALVED_SCALE;
            if !luma {
                step *= HALVED_CHROMA[place];
            }
        }
        step.round().clamp(1.0, 255.0) as u8
    })
}

fn grown(distance: f32, exponent: f32) -> f32 {
    if distance < GROWS_SLOWER {
        return distance;
    }
    (GROWS_SLOWER * (distance / GROWS_SLOWER).powf(exponent)).max(distance / 2.0)
}

/// jpegli's measure of the loss: at 1 it is hardly seen, at 0 all steps are 1. `quality` has libjpeg's scale, so it grows with
/// what libjpeg multiplies annex K's tables with, by a factor that was found by measuring: on photographs, SSIMULACRA2 is on
/// average no lower than with those tables.
fn distance(chroma: Chroma, quality: u8) -> f32 {
    let quality = f32::from(quality.clamp(1, 100));
    let percent = if quality < 50.0 { 5000.0 / quality } else { 200.0 - 2.0 * quality };
    let factor = match chroma {
        Chroma::None => 0.048,
        Chroma::Halved => 0.044,
        Chroma::Full => 0.036,
    };
    // With annex K, too, steps of less than 1 are 1 and those of more than 255 are 255.
    if percent > 0.0 { (factor * percent + 0.04).min(90.0) } else { 0.0 }
}

/// The part of a step below which a coefficient of AC becomes 0. More than a half, because most of those that are nearly a
/// half are noise, and a 0 is cheaper by more than its error costs; less so where noise is to be kept.
pub(super) fn dead_zone(chroma: Chroma, quality: u8) -> f32 {
    0.5 + 0.13 * distance(chroma, quality).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHROMAS: [Chroma; 3] = [Chroma::None, Chroma::Halved, Chroma::Full];

    #[test]
    fn steps_shrink_as_quality_grows() {
        for chroma in CHROMAS {
            for luma in [true, false] {
                assert_eq!(steps(luma, chroma, 100), [1; BLOCK], "{chroma:?}");
                for quality in 1..100 {
                    let (coarse, fine) = (steps(luma, chroma, quality), steps(luma, chroma, quality + 1));
                    assert!(coarse.iter().zip(fine).all(|(&coarse, fine)| coarse >= fine), "{chroma:?}, {quality}");
                    let (sum, finer_sum) = [coarse, fine].map(|steps| steps.map(u32::from).iter().sum::<u32>()).into();
                    // Below 3 they are as coarse as they get.
                    assert!(sum > finer_sum || quality < 3 || quality == 99, "{chroma:?}, {quality}");
                }
            }
        }
    }

    #[test]
    fn the_steps_are_jpeglis() {
        // At a distance of 1.8, by hand: of luma 1.24, 1.72 and 4.38 times 1.73966 * 1.22 * 1.8, the second times 1.5 * 1.2^0.51
        // instead of 1.8; of colour 2.92 and 114.89, and times 0.409 and 0.337.
        let [luma, colour] = [true, false].map(|luma| steps(luma, Chroma::Halved, 80));
        assert_eq!((luma[0], luma[1], luma[63]), (5, 6, 17));
        assert_eq!((colour[0], colour[63]), (5, 148));
    }

    #[test]
    fn nothing_is_lost_to_the_dead_zone_at_quality_100() {
        for chroma in CHROMAS {
            assert_eq!(dead_zone(chroma, 100), 0.5);
            assert_eq!(dead_zone(chroma, 50), 0.63);
        }
    }
}
