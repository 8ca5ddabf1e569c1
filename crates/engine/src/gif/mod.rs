//! GIF (GIF87a and GIF89a): the first frame, as indices, whose colours are averaged as they come. What it leaves of its canvas is
//! transparent. Later frames are not looked at.

mod head;
mod lzw;
#[cfg(test)]
mod tests;

use crate::error::Error;
use crate::geometry::PlaneRequest;
use crate::limits::{Limits, Truncated};
use crate::metadata::Metadata;
use crate::orientation::Orientation;
use crate::picture::{DecodeMemory, Decoded, Header, Picture};
use crate::pixels::colour::Profile;
use crate::pixels::indexed::IndexReducer;
use crate::pixels::plane::{PlacedPlane, zeros};
use crate::pixels::reduce::Reduction;
use crate::pixels::resample::Resampler;
use crate::pixels::scattered::{Pass, ScatteredReducer};
use head::{Frame, Head};
use lzw::{Decoder, SLACK_BYTES};

/// What a file begins with, by its version.
pub(crate) const SIGNATURES: [&[u8]; 2] = [b"GIF87a", b"GIF89a"];

/// Decoded at once, if a row is not longer.
const BULK_BYTES: usize = 32 << 10;

/// The first row and the distance of the rows of each pass of an interlaced frame (GIF89a, appendix E).
const PASSES: [(usize, usize); 4] = [(0, 8), (4, 8), (2, 4), (1, 2)];

/// Whole rows of the canvas, one after the other or not.
const ANY_ORDER: [Pass; 1] = [Pass { left: 0, top: 0, step_x: 1, step_y: 1 }];

/// A GIF file whose head has been read.
pub(crate) struct Gif<'a> {
    source: &'a [u8],
    header: Header,
    head: Head,
}

impl<'a> Gif<'a> {
    pub fn open(source: &'a [u8], limits: &Limits) -> Result<Self, Error> {
        let head = head::read(source, limits)?;
        let Head { width, height, ref palette, .. } = head;
        let header = Header {
            width,
            height,
            colour: palette.colour,
            alpha: palette.alpha,
            precision_bits: 8,
            orientation: Orientation::default(),
            profile: Profile::Srgb,
            metadata: Metadata::default(),
        };
        Ok(Self { source, header, head })
    }

    pub fn facts(&self) -> Facts {
        let Head { width, height, frame, ref palette, .. } = self.head;
        Facts { width, height, frame, channels: palette.channels() }
    }

    /// Calls `take` with each of the frame's rows before row `last`, and its number; interlaced, all rows come, in their order.
    fn each_row(&self, last: usize, mut take: impl FnMut(usize, &[u8])) -> Result<(), Error> {
        let Frame { width, height, interlaced, .. } = self.head.frame;
        let passes: &[(usize, usize)] = if interlaced { &PASSES } else { &[(0, 1)] };
        let mut decoder = Decoder::new(&self.source[self.head.data..], self.head.index_bits);
        let mut indices: Vec<u8> = zeros(buffer_bytes(&self.head.frame) as usize)?;
        let (mut taken, mut decoded) = (0, 0);
        let mut failed = None;
        for (pass, &(top, step)) in passes.iter().enumerate() {
            for y in (top..height).step_by(step) {
                if y >= last && pass + 1 == passes.len() {
                    return Ok(());
                }
                while decoded - taken < width {
                    if let Some(error) = failed {
                        return Err(error);
                    }
                    indices.copy_within(taken..decoded, 0);
                    (taken, decoded) = (0, decoded - taken);
                    let before = decoded;
                    (decoded, failed) = match decoder.read(&mut indices, decoded) {
                        Ok(end) => (end, (end == before).then(|| decoder.missing())),
                        Err((end, error)) => (end, Some(error)),
                    };
                }
                take(y, &indices[taken..taken + width]);
                taken += width;
            }
        }
        Ok(())
    }

    /// Reads what `reduction` wants, as far as it can be read. `all`: to the frame's end.
    fn read(&self, reduction: Reduction, all: bool) -> Result<Read, Error> {
        let Head { frame, palette, .. } = &self.head;
        let (channels, rows) = (palette.channels(), reduction.rows.clone());
        let missing = if palette.alpha { [0; 4] } else { [128; 4] };
        let missing = &missing[..channels];
        let last = if all { frame.height } else { rows.end.saturating_sub(frame.top) };
        let around =
            (rows.start..frame.top.clamp(rows.start, rows.end), (frame.top + frame.height).max(rows.start)..rows.end);
        let mut come = 0;
        if frame.interlaced {
            let mut pixels = zeros(reduction.columns.end * channels)?;
            let left = frame.left.min(reduction.columns.end);
            let mut reducer = ScatteredReducer::new(reduction, channels, false, &ANY_ORDER)?;
            for y in around.0.chain(around.1) {
                reducer.push(0, y, &pixels);
            }
            let ended = self.each_row(last, |y, indices| {
                palette.look_up(indices, &mut pixels[left * channels..]);
                reducer.push(0, frame.top + y, &pixels);
                come += 1;
            });
            return Ok(Read { planes: reducer.finish(missing)?, come, ended });
        }
        let mut reducer = IndexReducer::new(reduction, palette)?;
        around.0.for_each(|_| reducer.push(0, &[]));
        let ended = self.each_row(last, |y, indices| {
            if frame.top + y >= rows.start {
                reducer.push(frame.left, indices);
            }
            come += 1;
        });
        if ended.is_ok() {
            around.1.for_each(|_| reducer.push(0, &[]));
        }
        Ok(Read { planes: reducer.finish(missing), come, ended })
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

impl Picture for Gif<'_> {
    fn header(&self) -> &Header {
        &self.header
    }

    fn decode(&self, requests: &[Vec<PlaneRequest>], truncated: Truncated) -> Result<Decoded, Error> {
        let Head { width, height, .. } = self.head;
        let strict = truncated == Truncated::Strict;
        let all = strict && !lzw::ends(&self.source[self.head.data..]);
        let read = self.read(reduction(width, height, requests), all)?;
        match read.ended {
            Err(error) if strict || read.come == 0 => Err(error),
            _ => Ok(Decoded { planes: read.planes, resampler: Resampler::Simd }),
        }
    }
}

/// All planes are requested alike.
fn reduction(width: usize, height: usize, requests: &[Vec<PlaneRequest>]) -> Reduction {
    Reduction::new(width, height, requests.first().map_or(&[], Vec::as_slice))
}

/// Bytes of the decoded indices that are kept.
fn buffer_bytes(frame: &Frame) -> u64 {
    (frame.width + frame.width.max(BULK_BYTES) + SLACK_BYTES) as u64
}

/// What the head says about the memory that decoding takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    width: usize,
    height: usize,
    frame: Frame,
    channels: usize,
}

impl Facts {
    pub fn decode_memory(&self, requests: &[Vec<PlaneRequest>]) -> DecodeMemory {
        let Self { width, height, frame, channels } = *self;
        let reduction = reduction(width, height, requests);
        let planes = reduction.plane_bytes() * channels as u64;
        let working = if frame.interlaced {
            let row = reduction.columns.end as u64 * channels as u64;
            row + ScatteredReducer::working_bytes(&reduction, channels, ANY_ORDER.len())
        } else {
            IndexReducer::working_bytes(&reduction)
        };
        DecodeMemory { peak: planes + working + buffer_bytes(&frame) + Decoder::WORKING_BYTES, planes }
    }
}
