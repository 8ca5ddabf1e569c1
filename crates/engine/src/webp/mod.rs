//! WebP (RFC 9649): lossy and lossless pictures, their opacity, and the first frame of an animation.
//!
//! `container` finds the picture and checks its sizes; `vp8`, `vp8l` and `alpha` decode it row by row; `decode` reduces the rows.

mod alpha;
mod container;
mod decode;
#[cfg(test)]
mod tests;
mod vp8;
mod vp8l;

pub(crate) use container::is_webp;
use container::{Container, Data};

use crate::error::Error;
use crate::geometry::PlaneRequest;
use crate::limits::{Limits, Truncated};
use crate::picture::{DecodeMemory, Decoded, Header, Picture};
use crate::pixels::colour::{Colour, Profile};
use crate::pixels::reduce::Reduction;
use crate::pixels::resample::Resampler;

/// A WebP file whose header has been read.
pub(crate) struct Webp<'a> {
    container: Container<'a>,
    header: Header,
}

impl<'a> Webp<'a> {
    pub fn open(source: &'a [u8], limits: &Limits) -> Result<Self, Error> {
        let container = Container::read(source, limits)?;
        let opaque_lossy = matches!(container.frame.data, Data::Lossy { .. }) && !container.alpha;
        let header = Header {
            width: container.size.0,
            height: container.size.1,
            colour: if opaque_lossy { Colour::YCbCr } else { Colour::Rgb },
            alpha: container.alpha,
            precision_bits: 8,
            orientation: container.metadata.orientation(),
            profile: Profile::icc(container.icc.map(<[u8]>::to_vec)),
            metadata: container.metadata.clone(),
        };
        Ok(Self { container, header })
    }

    pub fn facts(&self) -> Facts {
        let Container { size, frame, alpha, .. } = &self.container;
        let (lossy, opacity) = match frame.data {
            Data::Lossy { alpha, .. } => (true, alpha.is_some()),
            Data::Lossless(_) => (false, false),
        };
        Facts { size: *size, frame: (frame.width, frame.height), lossy, opacity, alpha: *alpha }
    }
}

impl Picture for Webp<'_> {
    fn header(&self) -> &Header {
        &self.header
    }

    fn decode(&self, requests: &[Vec<PlaneRequest>], truncated: Truncated) -> Result<Decoded, Error> {
        let planes = match self.container.frame.data {
            Data::Lossy { vp8, .. } if !self.container.alpha => {
                decode::ycbcr(&self.container, vp8, requests, truncated)?
            }
            _ => decode::rgb(&self.container, requests, truncated)?,
        };
        Ok(Decoded { planes, resampler: Resampler::Simd })
    }
}

/// What the header says about the memory that decoding takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    size: (usize, usize),
    frame: (usize, usize),
    lossy: bool,
    /// There is a chunk of opacity.
    opacity: bool,
    alpha: bool,
}

impl Facts {
    pub fn decode_memory(&self, requests: &[Vec<PlaneRequest>]) -> DecodeMemory {
        let (width, height) = self.frame;
        let (reductions, channels) = if self.lossy && !self.alpha {
            (decode::plane_reductions(self.size, requests).to_vec(), 1)
        } else {
            (vec![Reduction::new(self.size.0, self.size.1, &requests[0])], if self.alpha { 4 } else { 3 })
        };
        let planes: u64 = reductions.iter().map(|reduction| channels * reduction.plane_bytes()).sum();
        let reducing: u64 = reductions.iter().map(|reduction| reduction.working_bytes(channels as usize)).sum();
        // Rows of the frame, of its colour differences and opacity, and of the picture.
        let rows = 10 * width as u64 + channels * self.size.0 as u64;
        let lossy = if self.lossy { vp8::working_memory(width) } else { 0 };
        let lossless = if !self.lossy || self.opacity { vp8l::working_memory(width, height) } else { 0 };
        DecodeMemory { peak: planes + reducing + rows + lossy + lossless, planes }
    }
}
