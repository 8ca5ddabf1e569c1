//! An unsharp mask: edges get a little more contrast. It works on luma alone, so that colours stay.

use super::plane::{Plane, zeros};
use crate::error::Error;

/// So many eighths of the difference from the blurred picture are added.
const AMOUNT: i16 = 5;
/// Smaller differences are noise, and larger ones lose so much, too, that there is no step.
const THRESHOLD: i16 = 2;
/// How far beyond the darkest and the lightest of its neighbours a sample may go: more than that is seen as a halo.
const BEYOND: u8 = 6;

/// Sharpens a plane of luma.
pub(crate) fn sharpen(plane: &mut Plane) -> Result<(), Error> {
    let sharp = sharpened(plane)?;
    plane.samples = sharp;
    Ok(())
}

/// Sharpens interleaved RGB by its luma.
pub(crate) fn sharpen_rgb(rgb: &mut [u8], width: usize, height: usize) -> Result<(), Error> {
    let mut luma = Plane::new(width, height)?;
    for (luma, pixel) in luma.samples.iter_mut().zip(rgb.chunks_exact(3)) {
        // ITU-T T.871's weights, in parts of 256.
        let sum = 77 * u32::from(pixel[0]) + 150 * u32::from(pixel[1]) + 29 * u32::from(pixel[2]);
        *luma = ((sum + 128) >> 8) as u8;
    }
    let sharp = sharpened(&luma)?;
    for (pixel, (before, after)) in rgb.chunks_exact_mut(3).zip(luma.samples.iter().zip(&sharp)) {
        let step = i32::from(*after) - i32::from(*before);
        pixel.iter_mut().for_each(|sample| *sample = (i32::from(*sample) + step).clamp(0, 255) as u8);
    }
    Ok(())
}

fn sharpened(plane: &Plane) -> Result<Vec<u8>, Error> {
    let width = plane.width;
    let mut sharp: Vec<u8> = zeros(plane.samples.len())?;
    let mut three = Three::new(width)?;
    for (y, to) in sharp.chunks_exact_mut(width).enumerate() {
        let below = plane.row((y + 1).min(plane.height - 1));
        three.take([plane.row(y.saturating_sub(1)), plane.row(y), below]);
        three.sharpen(plane.row(y), to);
    }
    Ok(sharp)
}

/// Of each column of three rows, its sum, the middle one twice, and its darkest and its lightest sample; the first column and the last
/// once more outside, so that every sample has neighbours. In plain loops over slices, which the compiler vectorises.
struct Three {
    sums: Vec<i16>,
    darkest: Vec<u8>,
    lightest: Vec<u8>,
}

impl Three {
    fn new(width: usize) -> Result<Self, Error> {
        Ok(Self { sums: zeros(width + 2)?, darkest: zeros(width + 2)?, lightest: zeros(width + 2)? })
    }

    fn take(&mut self, [above, here, below]: [&[u8]; 3]) {
        let width = here.len();
        let rows = || above.iter().zip(here).zip(below);
        for (sum, ((a, b), c)) in self.sums[1..].iter_mut().zip(rows()) {
            *sum = i16::from(*a) + 2 * i16::from(*b) + i16::from(*c);
        }
        for (darkest, ((a, b), c)) in self.darkest[1..].iter_mut().zip(rows()) {
            *darkest = *a.min(b).min(c);
        }
        for (lightest, ((a, b), c)) in self.lightest[1..].iter_mut().zip(rows()) {
            *lightest = *a.max(b).max(c);
        }
        (self.sums[0], self.sums[width + 1]) = (self.sums[1], self.sums[width]);
        (self.darkest[0], self.darkest[width + 1]) = (self.darkest[1], self.darkest[width]);
        (self.lightest[0], self.lightest[width + 1]) = (self.lightest[1], self.lightest[width]);
    }

    /// Sharpens the middle one of the rows.
    fn sharpen(&self, here: &[u8], to: &mut [u8]) {
        let width = here.len();
        let to = &mut to[..width];
        let three = |from: usize| {
            (&self.sums[from..][..width], &self.darkest[from..][..width], &self.lightest[from..][..width])
        };
        let ((sum_l, dark_l, light_l), (sum, dark, light), (sum_r, dark_r, light_r)) = (three(0), three(1), three(2));
        for x in 0..width {
            let sample = i16::from(here[x]);
            // In parts of 16: at most 4080.
            let difference = 16 * sample - (sum_l[x] + 2 * sum[x] + sum_r[x]);
            let kept = difference - difference.clamp(-16 * THRESHOLD, 16 * THRESHOLD);
            let sharp = sample + ((AMOUNT * kept + 64) >> 7);
            let darkest = dark_l[x].min(dark[x]).min(dark_r[x]).saturating_sub(BEYOND);
            let lightest = light_l[x].max(light[x]).max(light_r[x]).saturating_add(BEYOND);
            to[x] = sharp.max(i16::from(darkest)).min(i16::from(lightest)) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two halves, `dark` and `light`, with a soft edge between.
    fn edge(dark: u8, light: u8) -> Plane {
        // In eighths of the way.
        let sample = |x: usize| {
            let light_part = [0, 1, 4, 7, 8][x.saturating_sub(6).min(4)];
            ((u16::from(dark) * (8 - light_part) + u16::from(light) * light_part) / 8) as u8
        };
        Plane { width: 18, height: 5, samples: (0..90).map(|i| sample(i % 18)).collect() }
    }

    fn row(plane: &Plane) -> Vec<u8> {
        plane.row(2).to_vec()
    }

    #[test]
    fn an_edge_is_steeper_without_a_halo() {
        let before = edge(60, 180);
        let mut after = before.clone();
        sharpen(&mut after).unwrap();
        let (before, after) = (row(&before), row(&after));
        assert!(after[9] - after[7] > before[9] - before[7], "{after:?}");
        assert!(after.iter().all(|&sample| (60 - BEYOND..=180 + BEYOND).contains(&sample)), "{after:?}");
        assert_eq!((&after[..6], &after[11..]), (&before[..6], &before[11..]), "what is plain stays");
    }

    #[test]
    fn a_hard_edge_gets_no_halo() {
        let samples: Vec<u8> = (0..90).map(|i| if i % 18 < 9 { 60 } else { 180 }).collect();
        let mut plane = Plane { width: 18, height: 5, samples };
        sharpen(&mut plane).unwrap();
        assert_eq!(plane.row(2)[7..11], [60, 60 - BEYOND, 180 + BEYOND, 180]);
    }

    #[test]
    fn plain_parts_and_grain_stay() {
        let grain: Vec<u8> = (0..90).map(|i| 100 + (i * 7 % 4) as u8).collect();
        let before = Plane { width: 18, height: 5, samples: grain };
        let mut after = before.clone();
        sharpen(&mut after).unwrap();
        assert_eq!(before, after);
        for (width, height) in [(1, 1), (1, 9), (9, 1), (2, 2)] {
            let mut flat = Plane { width, height, samples: vec![77; width * height] };
            sharpen(&mut flat).unwrap();
            assert!(flat.samples.iter().all(|&sample| sample == 77));
        }
    }

    #[test]
    fn black_and_white_stay_within_bytes() {
        let mut plane = edge(0, 255);
        sharpen(&mut plane).unwrap();
        assert_eq!((plane.row(0)[0], plane.row(0)[17]), (0, 255));
    }

    #[test]
    fn colours_keep_their_differences() {
        let luma = edge(60, 180);
        let mut rgb: Vec<u8> = luma.samples.iter().flat_map(|&y| [y + 20, y, y - 20]).collect();
        let before = rgb.clone();
        sharpen_rgb(&mut rgb, luma.width, luma.height).unwrap();
        assert_ne!(rgb, before);
        assert!(rgb.chunks_exact(3).all(|pixel| (pixel[0] - pixel[1], pixel[1] - pixel[2]) == (20, 20)));
    }
}
