//! The filters (PNG, third edition, clause 9): each byte of a row is stored as its difference from a prediction by the pixel to the
//! left, the one above, and the one above that.

use std::array;

use wide::{bytemuck, u8x16, u32x4};

use crate::error::Error;

/// Rows that are unfiltered together.
pub(super) const GROUP: usize = 4;

/// Undoes the filter of a row. `row` is the row above, and becomes this one; of the first row of a picture or pass it is zeros.
/// `filtered` is the filter's code and the row's bytes, of which as many are read as `row` is long. `step` is the bytes of a
/// pixel, at least 1.
pub(super) fn unfilter(filtered: &[u8], row: &mut [u8], step: usize) -> Result<(), Error> {
    let Some((&filter, filtered)) = filtered.split_first() else {
        return Err(unknown(u8::MAX));
    };
    let filtered = &filtered[..row.len()];
    match step {
        1 => unfilter_pixels::<1>(filter, filtered, row),
        2 => unfilter_pixels::<2>(filter, filtered, row),
        3 => unfilter_pixels::<3>(filter, filtered, row),
        4 => unfilter_pixels::<4>(filter, filtered, row),
        6 => unfilter_pixels::<6>(filter, filtered, row),
        _ => unfilter_pixels::<8>(filter, filtered, row),
    }
}

/// Undoes the filters of [`GROUP`] rows, which follow each other in `filtered`, `length` bytes each. The last of `rows` is the row above
/// and becomes the last of them.
///
/// A byte depends on its neighbours to the left and above, so one row is a chain in which each step waits for the one before. Here
/// four rows advance together, each a pixel behind the one above it:
///
/// ```text
/// row 0   . . . . . x         one vector: the pixels x of the four rows; the pixels to the left of them are the vector
/// row 1   . . . . x           of the step before, and so are, moved by a row, those above
/// row 2   . . . x
/// row 3   . . x
/// ```
pub(super) fn unfilter_group(
    filtered: &[u8],
    length: usize,
    rows: &mut [Vec<u8>; GROUP],
    bytes: usize,
    step: usize,
) -> Result<(), Error> {
    let filters: [u8; GROUP] = array::from_fn(|row| filtered[row * length]);
    if let Some(filter) = filters.into_iter().find(|filter| *filter > PAETH) {
        return Err(unknown(filter));
    }
    let together = filters.iter().any(|filter| *filter >= AVERAGE) && step <= 4;
    if together {
        let filtered: [&[u8]; GROUP] = array::from_fn(|row| &filtered[row * length + 1..][..bytes]);
        let all = filters == [PAETH; GROUP];
        let rows = rows.each_mut().map(|row| &mut row[..bytes]);
        match (step, all) {
            (1, _) => staggered::<1, false>(filters, filtered, rows),
            (2, _) => staggered::<2, false>(filters, filtered, rows),
            (3, true) => staggered::<3, true>(filters, filtered, rows),
            (3, false) => staggered::<3, false>(filters, filtered, rows),
            (_, true) => staggered::<4, true>(filters, filtered, rows),
            (_, false) => staggered::<4, false>(filters, filtered, rows),
        }
        return Ok(());
    }
    for row in 0..GROUP {
        // Each begins as the row above it.
        let above = (row + GROUP - 1) % GROUP;
        let Ok([this, above]) = rows.get_disjoint_mut([row, above]) else { break };
        this[..bytes].copy_from_slice(&above[..bytes]);
        unfilter(&filtered[row * length..][..length], &mut this[..bytes], step)?;
    }
    Ok(())
}

const AVERAGE: u8 = 3;
const PAETH: u8 = 4;

fn unknown(filter: u8) -> Error {
    Error::Corrupt(format!("a row has the unknown filter {filter}"))
}

/// The rows of a group, of pixels of `STEP` bytes, up to 4. `ALL_PAETH`: no row has another filter.
fn staggered<const STEP: usize, const ALL_PAETH: bool>(
    filters: [u8; GROUP],
    filtered: [&[u8]; GROUP],
    mut rows: [&mut [u8]; GROUP],
) {
    let pixels = rows[0].len() / STEP;
    let mut front = Front::<ALL_PAETH>::new(filters);
    // One step, by which row 0 reaches pixel `x`, at the ends, where not all rows have a pixel.
    let at_edge = |x: usize, front: &mut Front<ALL_PAETH>, rows: &mut [&mut [u8]; GROUP]| {
        let pixel = |row: usize| x.checked_sub(row).filter(|x| *x < pixels).map(|x| x * STEP..(x + 1) * STEP);
        let read = |from: &[u8], row: usize| {
            let mut bytes = [0; 4];
            if let Some(pixel) = pixel(row) {
                bytes[..STEP].copy_from_slice(&from[pixel]);
            }
            u32::from_le_bytes(bytes)
        };
        let made = front.advance(read(rows[GROUP - 1], 0), array::from_fn(|row| read(filtered[row], row)));
        for (row, (to, bytes)) in rows.iter_mut().zip(made).enumerate() {
            if let Some(pixel) = pixel(row) {
                to[pixel].copy_from_slice(&bytes[..STEP]);
            }
        }
    };
    let before = (GROUP - 1).min(pixels);
    (0..before).for_each(|x| at_edge(x, &mut front, &mut rows));
    let between = (pixels - before) * STEP / BLOCK;
    if between > 0 {
        staggered_blocks::<STEP, ALL_PAETH>(&mut front, filtered, &mut rows, between);
    }
    (before + between * BLOCK / STEP..pixels + GROUP - 1).for_each(|x| at_edge(x, &mut front, &mut rows));
}

/// Bytes of whole pixels of 1, 2, 3 or 4 bytes.
const BLOCK: usize = 12;

/// So many blocks of pixels of each row, from where row 0 has reached its fourth pixel. It reads and writes four bytes at once also of
/// smaller pixels, the last of which then do not count, and are written over in the next step.
fn staggered_blocks<const STEP: usize, const ALL_PAETH: bool>(
    front: &mut Front<ALL_PAETH>,
    filtered: [&[u8]; GROUP],
    rows: &mut [&mut [u8]; GROUP],
    blocks: usize,
) {
    let filtered: [&[[u8; BLOCK]]; GROUP] =
        array::from_fn(|row| &filtered[row][(GROUP - 1 - row) * STEP..].as_chunks().0[..blocks]);
    let [row_0, row_1, row_2, row_3] = rows;
    let row_0 = &mut row_0[3 * STEP..].as_chunks_mut::<BLOCK>().0[..blocks];
    let row_1 = &mut row_1[2 * STEP..].as_chunks_mut::<BLOCK>().0[..blocks];
    let row_2 = &mut row_2[STEP..].as_chunks_mut::<BLOCK>().0[..blocks];
    let read = |block: &[u8; BLOCK], at: usize| {
        let from = at.min(BLOCK - 4);
        u32::from_le_bytes([block[from], block[from + 1], block[from + 2], block[from + 3]]) >> (8 * (at - from))
    };
    let write = |block: &mut [u8; BLOCK], at: usize, bytes: [u8; 4]| {
        let length = if at + 4 <= BLOCK { 4 } else { STEP };
        block[at..at + length].copy_from_slice(&bytes[..length]);
    };
    // A copy, which the compiler keeps in registers.
    let mut here = *front;
    for block in 0..blocks {
        // The row above is also where row 3 is written, three pixels to the left.
        let behind = &mut row_3[block * BLOCK..][..BLOCK + 3 * STEP];
        let Some(&above) = behind.last_chunk::<BLOCK>() else { return };
        let Some(row_3) = behind.first_chunk_mut::<BLOCK>() else { return };
        for at in (0..BLOCK / STEP).map(|pixel| pixel * STEP) {
            let made = here.advance(read(&above, at), array::from_fn(|row| read(&filtered[row][block], at)));
            write(&mut row_0[block], at, made[0]);
            write(&mut row_1[block], at, made[1]);
            write(&mut row_2[block], at, made[2]);
            write(row_3, at, made[3]);
        }
    }
    *front = here;
}

/// The pixels at which the rows of a group are, four bytes each, the uppermost row's first.
#[derive(Clone, Copy)]
struct Front<const ALL_PAETH: bool> {
    /// Those to the left of the pixels.
    left: u8x16,
    /// Those above the ones to the left.
    above_left: u8x16,
    /// Bytes of rows with each filter but 0 are all ones.
    subtracted: u8x16,
    up: u8x16,
    average: u8x16,
    paeth: u8x16,
}

impl<const ALL_PAETH: bool> Front<ALL_PAETH> {
    fn new(filters: [u8; GROUP]) -> Self {
        let rows_of = |filter| bytemuck::cast(filters.map(|row| if row == filter { u32::MAX } else { 0 }));
        Self {
            left: u8x16::ZERO,
            above_left: u8x16::ZERO,
            subtracted: rows_of(1),
            up: rows_of(2),
            average: rows_of(AVERAGE),
            paeth: rows_of(PAETH),
        }
    }

    /// Each row's next pixel, from its difference, and the pixel above that of the uppermost row.
    #[inline(always)]
    fn advance(&mut self, above: u32, differences: [u32; GROUP]) -> [[u8; 4]; GROUP] {
        let [first, second, third, _] = bytemuck::cast::<_, [u32; GROUP]>(self.left);
        let above: u8x16 = bytemuck::cast(u32x4::new([above, first, second, third]));
        let differences: u8x16 = bytemuck::cast(u32x4::new(differences));
        let paeth = paeth_of_all(self.left, above, self.above_left);
        let predicted = if ALL_PAETH {
            paeth
        } else {
            // The mean, rounded down, without a ninth bit.
            let half: u8x16 =
                bytemuck::cast(bytemuck::cast::<_, u32x4>(self.left ^ above) >> 1 & u32x4::splat(0x7f7f_7f7f));
            let average = (self.left & above) + half;
            self.left & self.subtracted | above & self.up | average & self.average | paeth & self.paeth
        };
        self.left = differences + predicted;
        self.above_left = above;
        bytemuck::cast(self.left)
    }
}

/// [`paeth`] of 16 bytes, in 8 bits.
///
/// With `low` and `high` the lesser and greater of `left` and `above`, `left + above - above_left` is as far from `low` as `high` is
/// from `above_left`, and the other way round; and as far from `above_left` as the difference of these two distances, if
/// `above_left` lies between. If it does not, one distance is 0 here, and so is chosen what lies on the other side.
#[inline(always)]
fn paeth_of_all(left: u8x16, above: u8x16, above_left: u8x16) -> u8x16 {
    let (low, high) = (left.min(above), left.max(above));
    let (to_low, to_high) = (high.saturating_sub(above_left), above_left.saturating_sub(low));
    let low_is_nearest = to_low.saturating_sub(to_high.saturating_sub(to_low)).simd_eq(u8x16::ZERO);
    let high_is_nearest = to_high.saturating_sub(to_low.saturating_sub(to_high)).simd_eq(u8x16::ZERO);
    low & low_is_nearest | high & high_is_nearest | above_left & !(low_is_nearest | high_is_nearest)
}

fn unfilter_pixels<const STEP: usize>(filter: u8, filtered: &[u8], row: &mut [u8]) -> Result<(), Error> {
    let (filtered_pixels, _) = filtered.as_chunks::<STEP>();
    let (pixels, _) = row.as_chunks_mut::<STEP>();
    match filter {
        0 => row.copy_from_slice(filtered),
        1 => {
            let mut left = [0; STEP];
            for (pixel, difference) in pixels.iter_mut().zip(filtered_pixels) {
                *pixel = std::array::from_fn(|i| difference[i].wrapping_add(left[i]));
                left = *pixel;
            }
        }
        2 => row.iter_mut().zip(filtered).for_each(|(byte, difference)| *byte = byte.wrapping_add(*difference)),
        3 => {
            let mut left = [0; STEP];
            for (pixel, difference) in pixels.iter_mut().zip(filtered_pixels) {
                *pixel = std::array::from_fn(|i| {
                    let mean = (u16::from(left[i]) + u16::from(pixel[i])) / 2;
                    difference[i].wrapping_add(mean as u8)
                });
                left = *pixel;
            }
        }
        4 => {
            // In 16 bits from one pixel to the next: the compiler then does all channels at once.
            let (mut left, mut above_left) = ([0_i16; STEP], [0_i16; STEP]);
            for (pixel, difference) in pixels.iter_mut().zip(filtered_pixels) {
                let above = pixel.map(i16::from);
                for i in 0..STEP {
                    pixel[i] = difference[i].wrapping_add(paeth(left[i], above[i], above_left[i]) as u8);
                }
                left = pixel.map(i16::from);
                above_left = above;
            }
        }
        _ => return Err(unknown(filter)),
    }
    Ok(())
}

/// Of three neighbours the one that is nearest to `left + above - above_left`; with ties in this order (clause 9.4).
///
/// That value lies between the other two's, unless `above_left` does: then it is beyond one of them, which is nearest. This
/// needs no absolute values and no branches.
fn paeth(left: i16, above: i16, above_left: i16) -> i16 {
    let threshold = 3 * above_left - (left + above);
    let (low, high) = (left.min(above), left.max(above));
    let nearest = if high <= threshold { low } else { above_left };
    if threshold <= low { high } else { nearest }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_neighbour_is_the_standards() {
        for left in 0..=255_i16 {
            for above in 0..=255_i16 {
                for above_left in 0..=255_i16 {
                    let guess = left + above - above_left;
                    let nearest = [left, above, above_left].into_iter().min_by_key(|at| (guess - at).abs());
                    assert_eq!(Some(paeth(left, above, above_left)), nearest);
                }
            }
        }
    }

    #[test]
    fn every_filter_by_hand() {
        let made = |filter: u8, step: usize| {
            let mut row = [10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120];
            unfilter(&[&[filter], [1; 12].as_slice()].concat(), &mut row, step).map(|()| row)
        };
        assert_eq!(made(0, 3), Ok([1; 12]));
        assert_eq!(made(1, 3), Ok([1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]));
        assert_eq!(made(2, 3), Ok([11, 21, 31, 41, 51, 61, 71, 81, 91, 101, 111, 121]));
        assert_eq!(made(3, 4), Ok([6, 11, 16, 21, 29, 36, 44, 51, 60, 69, 78, 86]));
        assert_eq!(made(4, 6), Ok([11, 21, 31, 41, 51, 61, 71, 81, 91, 101, 111, 121]));
        assert!(made(5, 1).is_err());
    }

    /// Numbers that look random.
    fn noise(length: usize, mut seed: u32) -> Vec<u8> {
        let next = |seed: &mut u32| {
            *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (*seed >> 24) as u8
        };
        (0..length).map(|_| next(&mut seed)).collect()
    }

    #[test]
    fn the_nearest_of_sixteen_is_the_nearest_of_one() {
        for left in 0..=255_u8 {
            for above in 0..=255_u8 {
                for first in (0..=255_u8).step_by(16) {
                    let above_left = array::from_fn(|i| first + i as u8);
                    let all = paeth_of_all(u8x16::splat(left), u8x16::splat(above), u8x16::new(above_left));
                    let one = above_left.map(|c| paeth(left.into(), above.into(), c.into()) as u8);
                    assert_eq!(all.to_array(), one, "{left} {above} {first}");
                }
            }
        }
    }

    #[test]
    fn rows_together_are_rows_one_by_one() {
        for step in [1, 2, 3, 4, 6, 8] {
            for pixels in [1, 2, 3, 4, 5, 6, 7, 40] {
                let bytes = pixels * step;
                // The row of the file goes on behind what is wanted.
                let length = 1 + bytes + 5;
                for filters in 0..5_u32.pow(4) {
                    let mut filtered = noise(GROUP * length, filters);
                    for row in 0..GROUP {
                        filtered[row * length] = (filters / 5_u32.pow(row as u32) % 5) as u8;
                    }
                    let above = noise(bytes, 77);
                    let mut rows = [vec![9; bytes], vec![9; bytes], vec![9; bytes], above.clone()];
                    unfilter_group(&filtered, length, &mut rows, bytes, step).unwrap();
                    let mut row = above;
                    for (made, filtered) in rows.iter().zip(filtered.chunks(length)) {
                        unfilter(filtered, &mut row, step).unwrap();
                        assert_eq!(*made, row, "{pixels} pixels of {step} bytes, filters {filters}");
                    }
                }
            }
        }
    }
}
