//! PNG (W3C, third edition): row after row is inflated, unfiltered, and averaged at once.
//!
//! ```text
//! chunk: the parts of a file        head: size, palette, profile, orientation
//!   `-- inflate: rows of bytes  ->  unfilter  ->  samples: pixels  ->  averages (pixels::reduce, indexed, scattered)
//! ```
//!
//! Rows below the crop are not read, columns to the right of it not unfiltered. An interlaced picture's seven passes are added up in the
//! averages, so that it takes no more memory than they do. Of an animation the default image is shown.

mod chunk;
mod head;
mod inflate;
mod samples;
#[cfg(test)]
mod tests;
mod unfilter;

use crate::error::Error;
use crate::geometry::PlaneRequest;
use crate::limits::{Limits, Truncated};
use crate::picture::{DecodeMemory, Decoded, Header, Picture};
use crate::pixels::indexed::IndexReducer;
use crate::pixels::plane::{PlacedPlane, zeros};
use crate::pixels::reduce::{Reducer, Reduction};
use crate::pixels::resample::Resampler;
use crate::pixels::scattered::{Pass, ScatteredReducer};
pub(crate) use chunk::SIGNATURE;
use head::{Frame, Head};
use inflate::{ImageData, Step};
use samples::Samples;
use unfilter::{GROUP, unfilter, unfilter_group};

/// Adam7's passes (clause 8.1).
const PASSES: [Pass; 7] = {
    const fn pass(left: usize, top: usize, step_x: usize, step_y: usize) -> Pass {
        Pass { left, top, step_x, step_y }
    }
    [
        pass(0, 0, 8, 8),
        pass(4, 0, 8, 8),
        pass(0, 4, 4, 8),
        pass(2, 0, 4, 4),
        pass(0, 2, 2, 4),
        pass(1, 0, 2, 2),
        pass(0, 1, 1, 2),
    ]
};

/// The only pass of a picture that is not interlaced.
const WHOLE: [Pass; 1] = [Pass { left: 0, top: 0, step_x: 1, step_y: 1 }];

/// A PNG file whose head has been read.
pub(crate) struct Png<'a> {
    source: &'a [u8],
    head: Head,
}

impl<'a> Png<'a> {
    pub fn open(source: &'a [u8], limits: &Limits) -> Result<Self, Error> {
        let head = head::read(source, limits)?;
        Ok(Self { source, head })
    }

    pub fn facts(&self) -> Facts {
        let Head { frame, samples, profile_bytes, .. } = &self.head;
        Facts {
            frame: *frame,
            channels: samples.channels(),
            indices: matches!(samples, Samples::Indices { .. }),
            bytes_per_pixel: samples.buffer_bytes(1),
            profile_bytes: *profile_bytes as u64,
        }
    }

    /// Reads what `reduction` wants, as far as it can be read.
    fn read(&self, reduction: &Reduction, truncated: Truncated, step: Step) -> Result<Read, Error> {
        let samples = &self.head.samples;
        let mut rows = Rows::new(self.source, &self.head, reduction.columns.end, step)?;
        let mut averages = Averages::new(reduction.clone(), &self.head)?;
        let mut buffer = zeros(samples.buffer_bytes(reduction.columns.end) as usize)?;
        let mut come = 0_usize;
        let ended = rows.each(reduction.rows.end, |row| {
            come += 1;
            averages.push(samples, &row, &mut buffer);
        });
        let ended = match truncated {
            Truncated::Strict => ended.and_then(|()| rows.check(!self.head.ended)),
            Truncated::BestEffort => ended,
        };
        let missing = if samples.alpha() { [0; 4] } else { [128; 4] };
        let planes = averages.finish(&missing[..samples.channels()])?;
        Ok(Read { planes, come, ended })
    }
}

impl Picture for Png<'_> {
    fn header(&self) -> &Header {
        &self.head.header
    }

    fn decode(&self, requests: &[Vec<PlaneRequest>], truncated: Truncated) -> Result<Decoded, Error> {
        let reduction = reduction(&self.head.frame, requests);
        let mut read = self.read(&reduction, truncated, Step::Bulk)?;
        if truncated == Truncated::BestEffort && matches!(read.ended, Err(Error::Corrupt(_))) {
            // Again, in steps so small that the rows before the damage are seen.
            drop(read.planes);
            read = self.read(&reduction, truncated, Step::Row)?;
        }
        match read.ended {
            Err(error) if truncated == Truncated::Strict || read.come == 0 => Err(error),
            _ => Ok(Decoded { planes: read.planes, resampler: Resampler::Simd }),
        }
    }
}

/// What could be read of a picture.
struct Read {
    planes: Vec<PlacedPlane>,
    /// How many rows came.
    come: usize,
    /// Why no more came, if some are missing.
    ended: Result<(), Error>,
}

/// All planes are requested alike.
fn reduction(frame: &Frame, requests: &[Vec<PlaneRequest>]) -> Reduction {
    Reduction::new(frame.width, frame.height, requests.first().map_or(&[], Vec::as_slice))
}

/// What the header says about the memory that decoding takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    frame: Frame,
    channels: usize,
    indices: bool,
    /// Of a buffer for expanded pixels.
    bytes_per_pixel: u64,
    /// Taken while the head was read.
    profile_bytes: u64,
}

impl Facts {
    pub fn decode_memory(&self, requests: &[Vec<PlaneRequest>]) -> DecodeMemory {
        let Self { frame, channels, .. } = *self;
        let reduction = reduction(&frame, requests);
        let columns = reduction.columns.end;
        let working = if frame.interlaced {
            ScatteredReducer::working_bytes(&reduction, channels, PASSES.len())
        } else if self.indices {
            IndexReducer::working_bytes(&reduction)
        } else {
            reduction.working_bytes(channels)
        };
        let planes = reduction.plane_bytes() * channels as u64;
        let buffer = columns as u64 * self.bytes_per_pixel;
        let peak = planes + working + buffer + Rows::working_bytes(&frame, columns);
        DecodeMemory { peak: peak.max(self.profile_bytes), planes }
    }
}

/// The averages of a picture, made in the way that suits it.
enum Averages<'a> {
    Plain(Reducer),
    Indices(IndexReducer<'a>),
    Scattered(ScatteredReducer<'a>),
}

impl<'a> Averages<'a> {
    fn new(reduction: Reduction, head: &'a Head) -> Result<Self, Error> {
        let samples = &head.samples;
        let alpha = samples.alpha_is_apart();
        Ok(match samples {
            _ if head.frame.interlaced => {
                Self::Scattered(ScatteredReducer::new(reduction, samples.channels(), alpha, &PASSES)?)
            }
            Samples::Indices { palette, .. } => Self::Indices(IndexReducer::new(reduction, palette)?),
            _ => Self::Plain(Reducer::new(reduction, samples.channels(), alpha)?),
        })
    }

    fn push(&mut self, samples: &Samples, row: &Row<'_>, buffer: &mut [u8]) {
        match self {
            Self::Plain(reducer) => {
                if reducer.rows().contains(&row.y) {
                    reducer.push(samples.expanded(row.bytes, row.pixels, buffer));
                }
            }
            Self::Indices(reducer) => {
                if reducer.rows().contains(&row.y)
                    && let Some(indices) = samples.indices(row.bytes, row.pixels, buffer)
                {
                    reducer.push(0, indices);
                }
            }
            Self::Scattered(reducer) => {
                reducer.push(row.pass, row.y, samples.expanded(row.bytes, row.pixels, buffer));
            }
        }
    }

    fn finish(self, missing: &[u8]) -> Result<Vec<PlacedPlane>, Error> {
        match self {
            Self::Plain(reducer) => Ok(reducer.finish(missing)),
            Self::Indices(reducer) => Ok(reducer.finish(missing)),
            Self::Scattered(reducer) => reducer.finish(missing),
        }
    }
}

/// The rows of all passes.
struct Rows<'a> {
    data: ImageData<'a>,
    frame: &'a Frame,
    passes: &'static [Pass],
    /// Pixels to the right of this column are not unfiltered.
    columns: usize,
    /// Rows that are unfiltered together, up to that column; the last is the row above of what comes next.
    group: [Vec<u8>; GROUP],
    /// Bytes of the rows that were not read.
    left: u64,
}

/// A row of a pass, unfiltered.
struct Row<'a> {
    pass: usize,
    /// Which row of the picture it is.
    y: usize,
    pixels: usize,
    bytes: &'a [u8],
}

impl<'a> Rows<'a> {
    fn new(source: &'a [u8], head: &'a Head, columns: usize, step: Step) -> Result<Self, Error> {
        let frame = &head.frame;
        let (total, bytes) = (inflated_bytes(frame), frame.row_bytes(columns));
        Ok(Self {
            data: ImageData::new(source, head.image_data, total, longest(frame), step)?,
            passes: passes(frame),
            columns,
            group: [zeros(bytes)?, zeros(bytes)?, zeros(bytes)?, zeros(bytes)?],
            left: total,
            frame,
        })
    }

    fn working_bytes(frame: &Frame, columns: usize) -> u64 {
        let group = (GROUP * frame.row_bytes(columns)) as u64;
        ImageData::working_bytes(inflated_bytes(frame), longest(frame)) + group
    }

    /// Calls `take` with every row of the picture before row `end`.
    fn each(&mut self, end: usize, mut take: impl FnMut(Row<'_>)) -> Result<(), Error> {
        let Frame { width, height, .. } = *self.frame;
        let step = self.frame.bits_per_pixel().div_ceil(8);
        for (pass, lies) in self.passes.iter().enumerate().filter(|(_, pass)| pass.columns(width) > 0) {
            let length = 1 + self.frame.row_bytes(lies.columns(width));
            let pixels = lies.columns(self.columns);
            let bytes = self.frame.row_bytes(pixels);
            self.group[GROUP - 1][..bytes].fill(0);
            let (wanted, all) = (lies.rows(end), lies.rows(height));
            let mut next = 0;
            while next < wanted {
                let mut row =
                    |row: usize, bytes: &[u8]| take(Row { pass, y: lies.top + row * lies.step_y, pixels, bytes });
                if wanted - next >= GROUP && self.data.has(GROUP * length) {
                    let filtered = self.data.row(GROUP * length)?;
                    unfilter_group(filtered, length, &mut self.group, bytes, step)?;
                    self.group.iter().enumerate().for_each(|(i, made)| row(next + i, &made[..bytes]));
                    self.left -= (GROUP * length) as u64;
                    next += GROUP;
                } else {
                    let this = &mut self.group[GROUP - 1][..bytes];
                    unfilter(self.data.row(length)?, this, step)?;
                    row(next, this);
                    self.left -= length as u64;
                    next += 1;
                }
            }
            if pass + 1 < self.passes.len() {
                self.skip((all - wanted) as u64 * length as u64)?;
            }
        }
        Ok(())
    }

    /// Passes over so many bytes.
    fn skip(&mut self, mut bytes: u64) -> Result<(), Error> {
        /// Less than the data's buffer.
        const MOST: u64 = 1 << 10;
        while bytes > 0 {
            let length = bytes.min(MOST);
            self.data.row(length as usize)?;
            self.left -= length;
            bytes -= length;
        }
        Ok(())
    }

    /// That nothing that was read is damaged; and with `all` that what was not read is there, so that the file is not truncated.
    fn check(&mut self, all: bool) -> Result<(), Error> {
        if all {
            self.skip(self.left)?;
        }
        self.data.check()
    }
}

/// The most bytes that are read at once.
fn longest(frame: &Frame) -> usize {
    GROUP * (1 + frame.row_bytes(frame.width))
}

fn passes(frame: &Frame) -> &'static [Pass] {
    if frame.interlaced { &PASSES } else { &WHOLE }
}

/// Bytes of all rows, with the filters' codes.
fn inflated_bytes(frame: &Frame) -> u64 {
    let bytes = |pass: &Pass| match pass.columns(frame.width) {
        0 => 0,
        columns => (1 + frame.row_bytes(columns) as u64) * pass.rows(frame.height) as u64,
    };
    passes(frame).iter().map(bytes).sum()
}
