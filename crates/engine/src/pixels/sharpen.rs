//! An unsharp mask: edges get a little more contrast. It works on luma alone, so that colours stay.

use super::plane::{Plane, zeros};
use crate::error::Error;

/// So many 16ths of the difference from the blurred picture are added.
const AMOUNT: i32 = 10;
/// Smaller differences are noise, and larger ones lose so much, too, that there is no step.
const THRESHOLD: i32 = 2;
/// How far beyond the darkest and the lightest of its neighbours a sample may go: more than that is seen as a halo.
const BEYOND: i32 = 6;

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
        // ITU-T T.871's weights, in 256ths.
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
    // Three rows, each with its first and its last sample once more, so that every sample has neighbours.
    let mut rows: [Vec<u8>; 3] = [zeros(width + 2)?, zeros(width + 2)?, zeros(width + 2)?];
    for (y, to) in sharp.chunks_exact_mut(width).enumerate() {
        for (row, at) in rows.iter_mut().zip([y.saturating_sub(1), y, (y + 1).min(plane.height - 1)]) {
            let from = plane.row(at);
            row[1..=width].copy_from_slice(from);
            (row[0], row[width + 1]) = (from[0], from[width - 1]);
        }
        let [above, here, below] = &rows;
        let neighbours = above.windows(3).zip(here.windows(3)).zip(below.windows(3));
        for (sample, ((above, here), below)) in to.iter_mut().zip(neighbours) {
            *sample = sharper(&[above, here, below]);
        }
    }
    Ok(sharp)
}

/// The middle one of three by three samples, sharpened.
fn sharper(square: &[&[u8]; 3]) -> u8 {
    let [above, here, below] = square.map(|row| [row[0], row[1], row[2]].map(i32::from));
    let across = |row: [i32; 3]| row[0] + 2 * row[1] + row[2];
    let blurred = across(above) + 2 * across(here) + across(below);
    // In 16ths.
    let difference = 16 * here[1] - blurred;
    let kept = difference.signum() * (difference.abs() - 16 * THRESHOLD).max(0);
    let least = |row: [i32; 3]| row[0].min(row[1]).min(row[2]);
    let most = |row: [i32; 3]| row[0].max(row[1]).max(row[2]);
    let darkest = least(above).min(least(here)).min(least(below)) - BEYOND;
    let lightest = most(above).max(most(here)).max(most(below)) + BEYOND;
    (here[1] + ((AMOUNT * kept + 128) >> 8)).clamp(darkest.max(0), lightest.min(255)) as u8
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
        assert!(after.iter().all(|&sample| (60 - BEYOND as u8..=180 + BEYOND as u8).contains(&sample)), "{after:?}");
        assert_eq!((&after[..6], &after[11..]), (&before[..6], &before[11..]), "what is plain stays");
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
