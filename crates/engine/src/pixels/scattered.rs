//! Averages of squares of pixels whose rows come in any order, as interlaced pictures have them: only the averages are kept, never the
//! picture.

use std::ops::Range;

use super::plane::{PlacedPlane, Plane, zeros};
use super::reduce::{Mean, Reduction, multiply};
use crate::error::Error;

/// Where the pixels of one of the passes of an interlaced picture lie: in columns `left`, `left + step_x`, and so on. Passes whose
/// rows are whole may be taken for one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pass {
    pub left: usize,
    pub top: usize,
    pub step_x: usize,
    pub step_y: usize,
}

impl Pass {
    /// Its columns in a picture that is so wide.
    pub fn columns(&self, width: usize) -> usize {
        width.saturating_sub(self.left).div_ceil(self.step_x)
    }

    /// Its rows in a picture that is so high.
    pub fn rows(&self, height: usize) -> usize {
        height.saturating_sub(self.top).div_ceil(self.step_y)
    }
}

/// Averages rows of interleaved samples that come in passes.
pub(crate) struct ScatteredReducer<'a> {
    reduction: Reduction,
    passes: &'a [Pass],
    channels: usize,
    /// The last channel is opacity, and the others are not yet multiplied by it.
    alpha: bool,
    multiplied: Vec<u8>,
    /// Sums of the pixels that have come; one for each square and channel.
    sums: Vec<u32>,
    /// How many rows of each pass have come, by row of squares and pass.
    rows: Vec<u16>,
}

impl<'a> ScatteredReducer<'a> {
    pub fn new(reduction: Reduction, channels: usize, alpha: bool, passes: &'a [Pass]) -> Result<Self, Error> {
        let (width, height) = reduction.size();
        Ok(Self {
            channels,
            alpha,
            multiplied: zeros(if alpha { reduction.columns.end * channels } else { 0 })?,
            sums: zeros(width * height * channels)?,
            rows: zeros(height * passes.len())?,
            passes,
            reduction,
        })
    }

    /// The most bytes that one takes beside its planes.
    pub fn working_bytes(reduction: &Reduction, channels: usize, passes: usize) -> u64 {
        let (_, height) = reduction.size();
        let row = reduction.columns.end as u64 * channels as u64;
        row + 4 * reduction.plane_bytes() * channels as u64 + 2 * height as u64 * passes as u64
    }

    /// Takes a row of pass `pass`: its pixels from the first on. It is the picture's row `y`; one that is not wanted is ignored.
    pub fn push(&mut self, pass: usize, y: usize, pixels: &[u8]) {
        if !self.reduction.rows.contains(&y) {
            return;
        }
        let factor = self.reduction.factor;
        let square_y = (y - self.reduction.rows.start) / factor;
        self.rows[square_y * self.passes.len() + pass] += 1;
        let Pass { left, step_x, .. } = self.passes[pass];
        let first = self.passes[pass].columns(self.reduction.columns.start);
        let last = self.passes[pass].columns(self.reduction.columns.end).min(pixels.len() / self.channels);
        let pixels = &pixels[(first * self.channels).min(last * self.channels)..last * self.channels];
        let pixels = if self.alpha {
            let multiplied = &mut self.multiplied[..pixels.len()];
            multiply(pixels, self.channels, multiplied);
            &*multiplied
        } else {
            pixels
        };
        let (width, _) = self.reduction.size();
        let sums = &mut self.sums[square_y * width * self.channels..][..width * self.channels];
        let column = left + first * step_x - self.reduction.columns.start;
        match self.channels {
            1 => add::<1>(sums, pixels, column, step_x, factor),
            2 => add::<2>(sums, pixels, column, step_x, factor),
            3 => add::<3>(sums, pixels, column, step_x, factor),
            _ => add::<4>(sums, pixels, column, step_x, factor),
        }
    }

    /// The planes, one a channel. A square of which no pixel came is as an earlier pass would show it, or `missing`, by channel.
    pub fn finish(self, missing: &[u8]) -> Result<Vec<PlacedPlane>, Error> {
        let (width, height) = self.reduction.size();
        let mut planes: Vec<_> = (0..self.channels).map(|_| Plane::new(width, height)).collect::<Result<_, Error>>()?;
        for y in 0..height {
            let means = self.is_whole(y).then(|| self.reduction.means(self.squares_rows(y).len()));
            for x in 0..width {
                let shown = match &means {
                    Some(means) => Some((x, y, if x + 1 == width { means.last } else { means.whole })),
                    None => self.shown(x, y),
                };
                for (channel, (plane, &missing)) in planes.iter_mut().zip(missing).enumerate() {
                    plane.samples[y * width + x] = shown
                        .map_or(missing, |(x, y, mean)| mean.of(self.sums[(y * width + x) * self.channels + channel]));
                }
            }
        }
        Ok(self.reduction.placed_all(planes, height, missing))
    }

    /// The rows of the picture in row `y` of squares.
    fn squares_rows(&self, y: usize) -> Range<usize> {
        let start = self.reduction.rows.start + y * self.reduction.factor;
        start..(start + self.reduction.factor).min(self.reduction.rows.end)
    }

    /// Whether all pixels of a row of squares came.
    fn is_whole(&self, y: usize) -> bool {
        let Range { start, end } = self.squares_rows(y);
        self.passes
            .iter()
            .zip(self.rows_come(y))
            .all(|(pass, &rows)| usize::from(rows) == pass.rows(end) - pass.rows(start))
    }

    /// How many rows of each pass came of a row of squares.
    fn rows_come(&self, y: usize) -> &[u16] {
        &self.rows[y * self.passes.len()..][..self.passes.len()]
    }

    /// The square that is shown in place of one, and its mean: itself if a pixel of it came, else the one with the pixel that an
    /// earlier pass stretches over it.
    fn shown(&self, x: usize, y: usize) -> Option<(usize, usize, Mean)> {
        /// The steps of the pixels that there are after each of PNG's passes but the last, from fine to coarse.
        const STEPS: [(usize, usize); 6] = [(1, 2), (2, 2), (2, 4), (4, 4), (4, 8), (8, 8)];
        let Reduction { factor, columns, rows } = &self.reduction;
        let (column, row) = (columns.start + x * factor, rows.start + y * factor);
        let most = self.passes.iter().map(|pass| pass.step_x).max().unwrap_or(1);
        let square = |(step_x, step_y): (usize, usize)| {
            let step_x = step_x.min(most);
            let x = (column / step_x * step_x).checked_sub(columns.start)? / factor;
            let y = (row / step_y * step_y).checked_sub(rows.start)? / factor;
            let count = self.count(x, y);
            (count > 0).then(|| (x, y, Mean::new(count)))
        };
        square((1, 1)).or_else(|| STEPS.into_iter().find_map(square))
    }

    /// How many pixels of a square came.
    fn count(&self, x: usize, y: usize) -> usize {
        let start = self.reduction.columns.start + x * self.reduction.factor;
        let end = (start + self.reduction.factor).min(self.reduction.columns.end);
        let passes = self.passes.iter().zip(self.rows_come(y)).filter(|(_, rows)| **rows > 0);
        passes.map(|(pass, &rows)| usize::from(rows) * (pass.columns(end) - pass.columns(start))).sum()
    }
}

/// Adds pixels to the sums of a row of squares, `factor` columns each: the first at `column`, the next `step` to the right.
fn add<const CHANNELS: usize>(sums: &mut [u32], pixels: &[u8], column: usize, step: usize, factor: usize) {
    let (sums, _) = sums.as_chunks_mut::<CHANNELS>();
    let (mut pixels, _) = pixels.as_chunks::<CHANNELS>();
    let (mut square, mut within) = (column / factor, column % factor);
    while !pixels.is_empty() {
        let count = (factor - within).div_ceil(step);
        let (these, others) = pixels.split_at(count.min(pixels.len()));
        let mut added = [0_u32; CHANNELS];
        for pixel in these {
            added.iter_mut().zip(pixel).for_each(|(sum, &sample)| *sum += u32::from(sample));
        }
        sums[square].iter_mut().zip(added).for_each(|(sum, added)| *sum += added);
        pixels = others;
        within += count * step;
        while within >= factor {
            within -= factor;
            square += 1;
        }
    }
}
