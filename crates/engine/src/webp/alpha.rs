//! The opacity of a lossy picture (RFC 9649, section 2.7.1.2), row by row.

use super::vp8l;
use crate::error::Error;
use crate::pixels::plane::zeros;

pub(super) struct AlphaRows<'a> {
    source: Source<'a>,
    filter: Filter,
    /// The row above, as it is shown.
    above: Vec<u8>,
    first: bool,
}

enum Source<'a> {
    Plain(&'a [u8]),
    /// In the green of a lossless picture.
    Coded {
        rows: Box<vp8l::Rows<'a>>,
        pixels: Vec<u32>,
    },
}

/// What a sample is the difference from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filter {
    Nothing,
    Left,
    Above,
    /// Both, less the one above on the left.
    Gradient,
}

impl<'a> AlphaRows<'a> {
    pub fn new(chunk: &'a [u8], width: usize, height: usize) -> Result<Self, Error> {
        let (&head, data) = chunk.split_first().ok_or(Error::Truncated)?;
        let filter = match head >> 2 & 3 {
            0 => Filter::Nothing,
            1 => Filter::Left,
            2 => Filter::Above,
            _ => Filter::Gradient,
        };
        let source = match head & 3 {
            0 => Source::Plain(data),
            1 => {
                let rows = Box::new(vp8l::Rows::headless(data, width, height)?);
                Source::Coded { rows, pixels: zeros(width)? }
            }
            _ => return Err(Error::Corrupt("its opacity is coded in an unknown way".into())),
        };
        Ok(Self { source, filter, above: zeros(width)?, first: true })
    }

    /// The next row.
    pub fn next(&mut self) -> Result<&[u8], Error> {
        let row = &mut self.above;
        let width = row.len();
        // The row takes the place of the one above, sample by sample.
        let mut undo = |samples: &mut dyn Iterator<Item = u8>| {
            let (mut left, mut corner) = if self.first { (0, 0) } else { (row[0], row[0]) };
            let filter = match self.filter {
                Filter::Above | Filter::Gradient if self.first => Filter::Left,
                filter => filter,
            };
            for (above, difference) in row.iter_mut().zip(samples) {
                let prediction = match filter {
                    Filter::Nothing => 0,
                    Filter::Left => left,
                    Filter::Above => *above,
                    Filter::Gradient => (i16::from(left) + i16::from(*above) - i16::from(corner)).clamp(0, 255) as u8,
                };
                corner = *above;
                left = prediction.wrapping_add(difference);
                *above = left;
            }
        };
        match &mut self.source {
            Source::Plain(data) => {
                let (now, rest) = data.split_at_checked(width).ok_or(Error::Truncated)?;
                *data = rest;
                undo(&mut now.iter().copied());
            }
            Source::Coded { rows, pixels } => {
                rows.next(pixels)?;
                undo(&mut pixels.iter().map(|pixel| (pixel >> 8) as u8));
            }
        }
        self.first = false;
        Ok(&self.above)
    }
}
