//! The formats. A format is a module that implements [`Picture`]; this is the only place that names them.

use crate::error::Error;
use crate::jpeg::{self, Jpeg};
use crate::limits::Limits;
use crate::picture::{DecodeMemory, Picture, PlaneRequest};
use crate::sniff;

/// A format that sources may have, recognised by a file's bytes, not by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// ITU-T T.81: sequential and progressive, Huffman coded, 8 bits per sample.
    Jpeg,
}

/// What a file's header says about the memory that decoding takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Facts {
    Jpeg(jpeg::Facts),
}

impl Facts {
    pub fn decode_memory(&self, requests: &[Vec<PlaneRequest>]) -> DecodeMemory {
        match self {
            Self::Jpeg(facts) => facts.decode_memory(requests),
        }
    }
}

/// The format that the first bytes of a file announce.
fn format(source: &[u8]) -> Result<Format, Error> {
    if source.starts_with(jpeg::SIGNATURE) {
        return Ok(Format::Jpeg);
    }
    Err(Error::NotJpeg { found: sniff::kind(source) })
}

/// Reads the header of `source`.
pub(crate) fn open<'a>(source: &'a [u8], limits: &Limits) -> Result<Opened<'a>, Error> {
    limits.check_bytes(source.len())?;
    match format(source)? {
        Format::Jpeg => Ok(Opened::Jpeg(Jpeg::open(source, limits)?)),
    }
}

/// An opened source of one of the formats.
pub(crate) enum Opened<'a> {
    Jpeg(Jpeg<'a>),
}

impl<'a> Opened<'a> {
    pub fn picture(&self) -> &(dyn Picture + 'a) {
        match self {
            Self::Jpeg(jpeg) => jpeg,
        }
    }

    pub fn format(&self) -> Format {
        match self {
            Self::Jpeg(_) => Format::Jpeg,
        }
    }

    pub fn facts(&self) -> Facts {
        match self {
            Self::Jpeg(jpeg) => Facts::Jpeg(jpeg.facts()),
        }
    }
}
