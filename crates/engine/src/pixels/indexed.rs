//! Averages of squares of pixels that are indices into a palette: what [`Reducer`](super::reduce::Reducer) does, without writing the
//! colours of each pixel down.

use std::ops::Range;

use super::colour::Colour;
use super::plane::{PlacedPlane, Plane, filled};
use super::reduce::{Reduction, product};
use crate::error::Error;

/// Channels that a colour can have.
const MAX_CHANNELS: usize = 4;

/// 256 colours, multiplied by their opacity.
pub(crate) struct Palette {
    /// A colour's channels in 16 bits each, the first lowest, so that 256 of them can be added at once.
    colours: Box<[u64; 256]>,
    pub colour: Colour,
    pub alpha: bool,
}

impl Palette {
    /// Of red, green, blue and opacity. `alpha` and `grey` say whether it may be opaque or grey; it is if all its colours are.
    pub fn new(rgba: &[[u8; 4]; 256], alpha: bool, grey: bool) -> Self {
        let grey = grey && rgba.iter().all(|[r, g, b, a]| *a == 0 || (r == g && g == b));
        let packed = |[r, g, b, a]: [u8; 4]| {
            let [r, g, b] = [r, g, b].map(|sample| product(sample, a));
            let channels = if grey { [r, a, 0, 0] } else { [r, g, b, a] };
            channels.into_iter().rev().fold(0, |packed, channel| packed << 16 | u64::from(channel))
        };
        Self { colours: Box::new(rgba.map(packed)), colour: if grey { Colour::Grey } else { Colour::Rgb }, alpha }
    }

    /// Channels of a pixel, opacity among them.
    pub fn channels(&self) -> usize {
        self.colour.components() + usize::from(self.alpha)
    }

    /// Interleaved channels of each of `indices`.
    pub fn look_up(&self, indices: &[u8], pixels: &mut [u8]) {
        match self.channels() {
            1 => self.look_up_channels::<1>(indices, pixels),
            2 => self.look_up_channels::<2>(indices, pixels),
            3 => self.look_up_channels::<3>(indices, pixels),
            _ => self.look_up_channels::<4>(indices, pixels),
        }
    }

    fn look_up_channels<const CHANNELS: usize>(&self, indices: &[u8], pixels: &mut [u8]) {
        let (pixels, _) = pixels.as_chunks_mut::<CHANNELS>();
        for (pixel, &index) in pixels.iter_mut().zip(indices) {
            let channels = unpacked(self.colours[usize::from(index)]);
            *pixel = std::array::from_fn(|channel| channels[channel] as u8);
        }
    }
}

fn unpacked(packed: u64) -> [u16; MAX_CHANNELS] {
    [packed as u16, (packed >> 16) as u16, (packed >> 32) as u16, (packed >> 48) as u16]
}

/// Averages rows of indices, given from the first of [`Reduction::rows`] to the last. Pixels that are not given are transparent.
pub(crate) struct IndexReducer<'a> {
    reduction: Reduction,
    palette: &'a Palette,
    /// Sums over the rows of a square that have come, one for each square.
    sums: Vec<[u32; MAX_CHANNELS]>,
    /// How many rows those are.
    summed: usize,
    planes: Vec<Plane>,
    /// Rows of the planes that are finished.
    finished: usize,
}

impl<'a> IndexReducer<'a> {
    pub fn new(reduction: Reduction, palette: &'a Palette) -> Result<Self, Error> {
        let (width, height) = reduction.size();
        Ok(Self {
            sums: filled(width, [0; MAX_CHANNELS])?,
            summed: 0,
            planes: (0..palette.channels()).map(|_| Plane::new(width, height)).collect::<Result<_, _>>()?,
            finished: 0,
            palette,
            reduction,
        })
    }

    /// The rows that are wanted.
    pub fn rows(&self) -> Range<usize> {
        self.reduction.rows.clone()
    }

    /// The most bytes that one takes beside its planes.
    pub fn working_bytes(reduction: &Reduction) -> u64 {
        reduction.size().0 as u64 * size_of::<[u32; MAX_CHANNELS]>() as u64
    }

    /// Takes the next row, whose first index is that of column `left`. One behind the last wanted is ignored.
    pub fn push(&mut self, left: usize, indices: &[u8]) {
        let (_, height) = self.reduction.size();
        if self.finished == height {
            return;
        }
        let Range { start, end } = self.reduction.columns;
        let factor = self.reduction.factor;
        // The part of the row that is wanted, and its first column, from the first wanted one.
        let first = start.saturating_sub(left).min(indices.len());
        let last = end.saturating_sub(left).clamp(first, indices.len());
        let column = (left + first).saturating_sub(start);
        let mut indices = &indices[first..last];
        let mut square = column / factor;
        let mut wanted = factor - column % factor;
        while !indices.is_empty() {
            let (these, others) = indices.split_at(wanted.min(indices.len()));
            // At most 256 pixels: 16 bits are enough for each channel.
            let sum = these.iter().fold(0, |sum, &index| sum + self.palette.colours[usize::from(index)]);
            for (sum, channel) in self.sums[square].iter_mut().zip(unpacked(sum)) {
                *sum += u32::from(channel);
            }
            square += 1;
            wanted = factor;
            indices = others;
        }
        self.summed += 1;
        if self.summed == factor {
            self.finish_row();
        }
    }

    /// Turns the sums into a row of the planes.
    fn finish_row(&mut self) {
        let (width, _) = self.reduction.size();
        let row = self.finished * width;
        let means = self.reduction.means(self.summed);
        for (channel, plane) in self.planes.iter_mut().enumerate() {
            let (last, others) = self.sums.split_last().map_or(([0; MAX_CHANNELS], [].as_slice()), |(l, o)| (*l, o));
            for (sample, sums) in plane.samples[row..row + width].iter_mut().zip(others) {
                *sample = means.whole.of(sums[channel]);
            }
            plane.samples[row + width - 1] = means.last.of(last[channel]);
        }
        self.sums.fill([0; MAX_CHANNELS]);
        self.summed = 0;
        self.finished += 1;
    }

    /// The planes, one a channel. Rows that did not come are `missing`, by channel.
    pub fn finish(mut self, missing: &[u8]) -> Vec<PlacedPlane> {
        if self.summed > 0 {
            self.finish_row();
        }
        self.reduction.placed_all(self.planes, self.finished, missing)
    }
}
