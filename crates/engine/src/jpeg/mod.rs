//! JPEG (ITU-T T.81): `decode`, `encode`, and what both share.

mod annex_k;
mod dct;
pub(crate) mod decode;
pub(crate) mod encode;
pub(crate) mod header;
mod huffman;

use crate::error::Error;
use crate::geometry::PlaneRequest;
use crate::limits::{Limits, Truncated};
use crate::picture::{DecodeMemory, Decoded, Header, Picture};
use crate::pixels::resample::Resampler;
pub use header::Process;
use header::{Frame, FrameComponent, marker};

/// What every file begins with.
pub(crate) const SIGNATURE: &[u8] = &[0xff, marker::SOI];

/// Most components of a frame that is decoded.
const MAX_COMPONENTS: usize = 4;

/// A JPEG file whose header has been read.
pub(crate) struct Jpeg<'a> {
    source: &'a [u8],
    header: Header,
    frame: Frame,
    in_one_scan: bool,
}

impl<'a> Jpeg<'a> {
    pub fn open(source: &'a [u8], limits: &Limits) -> Result<Self, Error> {
        let (header, frame, first_scan) = header::read(source)?;
        limits.check_pixels(header.width, header.height)?;
        // Every block takes at least one bit, so a file of a few bytes cannot have megapixels.
        if frame.blocks() > 8 * source.len() {
            return Err(Error::Truncated);
        }
        let in_one_scan = decode::is_in_one_scan(&frame, first_scan);
        Ok(Self { source, header, frame, in_one_scan })
    }

    pub fn process(&self) -> Process {
        self.frame.process
    }

    pub fn facts(&self) -> Facts {
        let Frame { process, precision_bits, width, height, ref components } = self.frame;
        let mut kept = [FrameComponent { id: 0, h: 1, v: 1, quantisation: 0 }; MAX_COMPONENTS];
        kept[..components.len()].copy_from_slice(components);
        Facts {
            source_bytes: self.source.len(),
            in_one_scan: self.in_one_scan,
            process,
            precision_bits,
            width,
            height,
            components: kept,
            count: components.len(),
        }
    }
}

impl Picture for Jpeg<'_> {
    fn header(&self) -> &Header {
        &self.header
    }

    fn decode(&self, requests: &[Vec<PlaneRequest>], truncated: Truncated) -> Result<Decoded, Error> {
        let planes = decode::decode(self.source, &self.frame, requests, truncated)?;
        // Ink is resampled by the crate `resize`; few pictures have it.
        let resampler = if planes.len() == MAX_COMPONENTS { Resampler::Plain } else { Resampler::Simd };
        Ok(Decoded { planes, resampler })
    }
}

/// What the header says about the memory that decoding takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    source_bytes: usize,
    in_one_scan: bool,
    process: Process,
    precision_bits: u8,
    width: usize,
    height: usize,
    components: [FrameComponent; MAX_COMPONENTS],
    count: usize,
}

impl Facts {
    pub fn decode_memory(&self, requests: &[Vec<PlaneRequest>]) -> DecodeMemory {
        let Self { process, precision_bits, width, height, .. } = *self;
        let frame =
            Frame { process, precision_bits, width, height, components: self.components[..self.count].to_vec() };
        decode::memory(&frame, self.source_bytes, self.in_one_scan, requests)
    }
}
