//! The mean of each square of a plane, of which one tile after the other comes: a grid of any height in the memory of a row of tiles.

use super::hevc::Samples;
use crate::error::Error;
use crate::pixels::plane::{Plane, zeros};
use crate::pixels::reduce::Reduction;

/// What becomes of the mean of a square's samples: `(mean - black) * gain + base`, rounded, within 8 bits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Level {
    pub black: f64,
    pub gain: f64,
    pub base: f64,
}

impl Level {
    /// Of luma, or of opacity (ITU-T H.273, 8.3).
    pub fn luma(bits: u8, full_range: bool) -> Self {
        let one = f64::from(1_u32 << (bits - 8));
        let (black, range) = if full_range { (0.0, f64::from((1_u32 << bits) - 1)) } else { (16.0 * one, 219.0 * one) };
        Self { black, gain: 255.0 / range, base: 0.0 }
    }

    fn of(&self, mean: f64) -> u8 {
        // A cast keeps within the type's limits.
        ((mean - self.black) * self.gain + self.base + 0.5) as u8
    }

    /// Of a colour difference, whose middle becomes 128.
    pub fn chroma(bits: u8, full_range: bool) -> Self {
        let one = f64::from(1_u32 << (bits - 8));
        let range = if full_range { f64::from((1_u32 << bits) - 1) } else { 224.0 * one };
        Self { black: 128.0 * one, gain: 255.0 / range, base: 128.0 }
    }
}

/// Makes one plane.
pub(super) struct Average {
    reduction: Reduction,
    level: Level,
    plane: Plane,
    /// Rows of the plane that are finished.
    finished: usize,
    /// Sums of the squares of the rows behind them, as many as a tile touches; none where a square is one sample.
    sums: Vec<u32>,
    /// Of a tile's rows in one row of squares, column by column.
    columns: Vec<u32>,
    /// By a sample: what becomes of it, where a square is one.
    table: Vec<u8>,
}

/// More than the largest sample: of 12 bits, and of 255 levels in sixteenths.
const SAMPLES: usize = 1 << 12;

/// Bytes that an [`Average`] takes beside its plane, for tiles of so many samples.
pub(super) fn working_bytes(reduction: &Reduction, tile_width: usize, tile_height: usize) -> u64 {
    (4 * (sums(reduction, tile_height) + tile_width) + SAMPLES) as u64
}

/// A tile touches a square more than it has whole ones.
fn sums(reduction: &Reduction, tile_height: usize) -> usize {
    let (width, height) = reduction.size();
    if reduction.factor == 1 {
        return 0;
    }
    width * (tile_height / reduction.factor + 2).min(height)
}

impl Average {
    pub fn new(reduction: &Reduction, level: Level, tile_width: usize, tile_height: usize) -> Result<Self, Error> {
        let (width, height) = reduction.size();
        let mut table = zeros(if reduction.factor == 1 { SAMPLES } else { 0 })?;
        table.iter_mut().enumerate().for_each(|(sample, made)| *made = level.of(sample as f64));
        Ok(Self {
            level,
            table,
            plane: Plane::new(width, height)?,
            finished: 0,
            sums: zeros(sums(reduction, tile_height))?,
            columns: zeros(tile_width)?,
            reduction: reduction.clone(),
        })
    }

    /// Adds a part of the plane, whose first sample is at these coordinates; they may lie before the plane's own first.
    pub fn add(&mut self, samples: Samples<'_>, left: isize, top: isize) {
        let Reduction { factor, columns, rows } = &self.reduction;
        let (factor, width) = (*factor, self.reduction.size().0);
        let within = |from: isize, length: usize, wanted: &std::ops::Range<usize>| {
            let first = (wanted.start as isize).max(from);
            let end = (wanted.end as isize).min(from + length as isize);
            (first < end).then(|| (first - from) as usize..(end - from) as usize)
        };
        let (Some(across), Some(down)) = (within(left, samples.width, columns), within(top, samples.height, rows))
        else {
            return;
        };
        // Counted from the first sample that is wanted, which a square begins with.
        let offset = (left + across.start as isize) as usize - columns.start;
        let first_row = (top + down.start as isize) as usize - rows.start;
        if factor == 1 {
            for (y, row) in down.zip(first_row..) {
                let made = &mut self.plane.samples[row * width + offset..][..across.len()];
                let samples = &samples.row(y)[across.clone()];
                made.iter_mut()
                    .zip(samples)
                    .for_each(|(made, &sample)| *made = self.table[usize::from(sample) % SAMPLES]);
            }
            return;
        }
        let mut y = down.start;
        while y < down.end {
            let row = first_row + y - down.start;
            let end = (y + factor - row % factor).min(down.end);
            let column_sums = &mut self.columns[..across.len()];
            column_sums.fill(0);
            for y in y..end {
                let row = &samples.row(y)[across.clone()];
                column_sums.iter_mut().zip(row).for_each(|(sum, &sample)| *sum += u32::from(sample));
            }
            let sums = &mut self.sums[(row / factor - self.finished) * width..][..width];
            // The first square may have begun in the tile before.
            let (begun, rest) = column_sums.split_at((factor - offset % factor).min(across.len()));
            let squares = std::iter::once(begun).chain(rest.chunks(factor));
            for (sum, square) in sums[offset / factor..].iter_mut().zip(squares) {
                *sum += square.iter().sum::<u32>();
            }
            y = end;
        }
    }

    /// All rows of the plane above this one have come.
    pub fn finish_above(&mut self, bottom: usize) {
        let Reduction { factor, columns, rows } = self.reduction.clone();
        let (width, height) = self.reduction.size();
        if factor == 1 {
            return;
        }
        let whole =
            if bottom >= rows.end { height } else { bottom.saturating_sub(rows.start) / factor }.max(self.finished);
        let last_column = columns.len() - (width - 1) * factor;
        let ready = whole - self.finished;
        for (row, sums) in self.sums.chunks_exact(width).take(ready).enumerate() {
            let row = self.finished + row;
            let square_rows = factor.min(rows.len() - row * factor);
            let level = self.level;
            let mean = |sum: u32, square_columns: usize| {
                let share = 1.0 / (square_rows * square_columns) as f64;
                level.of(f64::from(sum) * share)
            };
            let made = &mut self.plane.samples[row * width..][..width];
            made.iter_mut().zip(sums).for_each(|(sample, &sum)| *sample = mean(sum, factor));
            made[width - 1] = mean(sums[width - 1], last_column);
        }
        // What is begun of the next row goes on in the next row of tiles.
        let used = (ready * width).min(self.sums.len());
        self.sums.copy_within(used.., 0);
        let left = self.sums.len() - used;
        self.sums[left..].fill(0);
        self.finished = whole;
    }

    /// The plane, all of whose rows have come.
    pub fn into_plane(self) -> Plane {
        self.plane
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AS_IT_IS: Level = Level { black: 0.0, gain: 1.0, base: 0.0 };

    #[test]
    fn tiles_of_any_size_make_the_same_means() {
        let (width, height) = (37_usize, 29_usize);
        let picture: Vec<u16> = (0..width * height).map(|i| (i * 7919 % 251) as u16).collect();
        for factor in 1..7 {
            let columns = 5 / factor * factor..33_usize.next_multiple_of(factor).min(width);
            let reduction = Reduction { factor, columns, rows: 0..height };
            let mut made = Vec::new();
            for (tile_w, tile_h) in [(width, height), (8, 8), (5, 16), (16, 3)] {
                let mut average = Average::new(&reduction, AS_IT_IS, tile_w, tile_h).unwrap();
                for top in (0..height).step_by(tile_h) {
                    for left in (0..width).step_by(tile_w) {
                        let (w, h) = (tile_w.min(width - left), tile_h.min(height - top));
                        let samples = &picture[top * width + left..];
                        average.add(
                            Samples { samples, stride: width, width: w, height: h },
                            left as isize,
                            top as isize,
                        );
                    }
                    average.finish_above(top + tile_h);
                }
                made.push(average.into_plane());
            }
            let squares = |at: usize, end: usize| at * factor..((at + 1) * factor).min(end);
            let first = &made[0];
            for y in 0..first.height {
                for x in 0..first.width {
                    let (rows, columns) = (squares(y, height), squares(x, reduction.columns.len()));
                    let count = rows.len() * columns.len();
                    let start = reduction.columns.start;
                    let sum: usize = rows
                        .flat_map(|y| columns.clone().map(move |x| (x, y)))
                        .map(|(x, y)| usize::from(picture[y * width + start + x]))
                        .sum();
                    assert_eq!(usize::from(first.row(y)[x]), (sum + count / 2) / count, "{factor}: {x} {y}");
                }
            }
            assert!(made.iter().all(|plane| plane == first), "by {factor}");
        }
    }

    #[test]
    fn a_part_before_the_plane_is_left_out() {
        let reduction = Reduction { factor: 2, columns: 0..4, rows: 0..2 };
        let mut average = Average::new(&reduction, AS_IT_IS, 6, 4).unwrap();
        let samples: Vec<u16> = (0..24).collect();
        average.add(Samples { samples: &samples, stride: 6, width: 6, height: 4 }, -1, -2);
        average.finish_above(2);
        assert_eq!(average.into_plane().samples, [17, 19]);
    }

    #[test]
    fn ranges_become_eight_bits() {
        let of = |level: Level, sample: f64| (sample - level.black) * level.gain + level.base;
        for bits in [8, 10, 12] {
            let one = f64::from(1 << (bits - 8));
            assert_eq!(of(Level::luma(bits, true), (256.0 * one) - 1.0), 255.0);
            assert_eq!(of(Level::luma(bits, false), 16.0 * one), 0.0);
            assert_eq!(of(Level::luma(bits, false), 235.0 * one).round(), 255.0);
            assert_eq!(of(Level::chroma(bits, false), 240.0 * one).round(), 256.0);
            assert_eq!(of(Level::chroma(bits, true), 128.0 * one), 128.0);
        }
    }
}
