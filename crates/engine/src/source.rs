//! A source, opened by its format's module: one that implements [`Picture`]. This is the only place that names those modules.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::Error;
use crate::format::{Format, Formats};
use crate::geometry::PlaneRequest;
use crate::gif::{self, Gif};
#[cfg(feature = "heic")]
use crate::heic::{self, Heic};
use crate::jpeg::{self, Jpeg, Process};
use crate::limits::{Limits, Truncated};
use crate::picture::{DecodeMemory, Decoded, Picture};
use crate::png::{self, Png};
use crate::raw::{self, Raw};
use crate::sniff;
use crate::webp::{self, Webp};

/// What a file's header says about the memory that decoding takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Facts {
    Jpeg(jpeg::Facts),
    #[cfg(feature = "heic")]
    Heic(heic::Facts),
    Png(png::Facts),
    Gif(gif::Facts),
    Webp(webp::Facts),
}

impl Facts {
    pub fn decode_memory(&self, requests: &[Vec<PlaneRequest>]) -> DecodeMemory {
        match self {
            Self::Jpeg(facts) => facts.decode_memory(requests),
            #[cfg(feature = "heic")]
            Self::Heic(facts) => facts.decode_memory(requests),
            Self::Png(facts) => facts.decode_memory(requests),
            Self::Gif(facts) => facts.decode_memory(requests),
            Self::Webp(facts) => facts.decode_memory(requests),
        }
    }
}

/// The format that the first bytes of a file announce, if it is one that may be opened.
fn format(source: &[u8], accepted: Formats) -> Result<Format, Error> {
    if source.starts_with(jpeg::SIGNATURE) {
        return accept(Format::Jpeg, accepted);
    }
    if webp::is_webp(source) {
        return accept(Format::Webp, accepted);
    }
    if source.starts_with(png::SIGNATURE) {
        return accept(Format::Png, accepted);
    }
    if gif::SIGNATURES.iter().any(|signature| source.starts_with(signature)) {
        return accept(Format::Gif, accepted);
    }
    if raw::is_raw(source) {
        return accept(Format::Raw, accepted);
    }
    match sniff::kind(source) {
        sniff::HEIC => accept(Format::Heic, accepted),
        found => Err(Error::UnknownFormat { found, accepted }),
    }
}

fn accept(format: Format, accepted: Formats) -> Result<Format, Error> {
    if accepted.contains(format) { Ok(format) } else { Err(Error::NotAccepted { format, accepted }) }
}

/// Reads the header of `source`.
pub(crate) fn open<'a>(source: &'a [u8], limits: &Limits) -> Result<Opened<'a>, Error> {
    limits.check_bytes(source.len())?;
    let format = format(source, limits.formats)?;
    caught(|| match format {
        Format::Jpeg => Ok(Opened::Jpeg(Jpeg::open(source, limits)?)),
        Format::Raw => Ok(Opened::Raw(Raw::open(source, limits)?)),
        #[cfg(feature = "heic")]
        Format::Heic => Ok(Opened::Heic(Box::new(Heic::open(source, limits)?))),
        #[cfg(not(feature = "heic"))]
        Format::Heic => Err(Error::Unsupported(
            "a HEIC image; this program was built without HEIC, so save it as JPEG, PNG or WebP".into(),
        )),
        Format::Png => Ok(Opened::Png(Png::open(source, limits)?)),
        Format::Gif => Ok(Opened::Gif(Gif::open(source, limits)?)),
        Format::Webp => Ok(Opened::Webp(Webp::open(source, limits)?)),
    })
}

/// Runs a decoder. The formats are decoded by libraries, too, and a panic of one is an error of the file that caused it; nothing that
/// was begun is used again. The panic's own message goes where the program's panic hook sends it.
fn caught<T>(decoder: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(decoder))
        .unwrap_or_else(|_| Err(Error::Corrupt("its data makes no sense to the decoder".into())))
}

/// [`Picture::decode`], but that a panic is an error.
pub(crate) fn decode(
    picture: &dyn Picture,
    requests: &[Vec<PlaneRequest>],
    truncated: Truncated,
) -> Result<Decoded, Error> {
    caught(|| picture.decode(requests, truncated))
}

/// An opened source of one of the formats.
pub(crate) enum Opened<'a> {
    Jpeg(Jpeg<'a>),
    Raw(Raw<'a>),
    #[cfg(feature = "heic")]
    Heic(Box<Heic<'a>>),
    Png(Png<'a>),
    Gif(Gif<'a>),
    Webp(Webp<'a>),
}

impl<'a> Opened<'a> {
    pub fn picture(&self) -> &(dyn Picture + 'a) {
        match self {
            Self::Jpeg(jpeg) => jpeg,
            Self::Raw(raw) => raw,
            #[cfg(feature = "heic")]
            Self::Heic(heic) => heic.as_ref(),
            Self::Png(png) => png,
            Self::Gif(gif) => gif,
            Self::Webp(webp) => webp,
        }
    }

    pub fn format(&self) -> Format {
        match self {
            Self::Jpeg(_) => Format::Jpeg,
            Self::Raw(_) => Format::Raw,
            #[cfg(feature = "heic")]
            Self::Heic(_) => Format::Heic,
            Self::Png(_) => Format::Png,
            Self::Gif(_) => Format::Gif,
            Self::Webp(_) => Format::Webp,
        }
    }

    /// How a JPEG's coefficients are coded; of a raw file, those of the JPEG in it.
    pub fn process(&self) -> Option<Process> {
        match self {
            Self::Jpeg(jpeg) => Some(jpeg.process()),
            Self::Raw(raw) => Some(raw.process()),
            _ => None,
        }
    }

    pub fn facts(&self) -> Facts {
        match self {
            Self::Jpeg(jpeg) => Facts::Jpeg(jpeg.facts()),
            Self::Raw(raw) => Facts::Jpeg(raw.facts()),
            #[cfg(feature = "heic")]
            Self::Heic(heic) => Facts::Heic(heic.facts()),
            Self::Png(png) => Facts::Png(png.facts()),
            Self::Gif(gif) => Facts::Gif(gif.facts()),
            Self::Webp(webp) => Facts::Webp(webp.facts()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(not(feature = "heic"))]
    #[test]
    fn without_heic_the_error_says_so() {
        let error = crate::probe(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", &Limits::default()).unwrap_err();
        assert!(error.to_string().contains("this program was built without HEIC"), "{error}");
    }

    /// A decoder with a bug.
    struct Fake;

    impl Picture for Fake {
        fn header(&self) -> &crate::picture::Header {
            unimplemented!()
        }

        fn decode(&self, _: &[Vec<PlaneRequest>], _: Truncated) -> Result<Decoded, Error> {
            let samples: [u8; 0] = [];
            panic!("index out of bounds: the len is {}", samples.len())
        }
    }

    #[test]
    fn a_decoder_that_panics_is_a_damaged_file() {
        let error = decode(&Fake, &[], Truncated::Strict).unwrap_err();
        assert_eq!(error.to_string(), "the file is damaged: its data makes no sense to the decoder");
        assert_eq!(caught(|| -> Result<(), Error> { panic!() }), Err(error));
        assert_eq!(caught(|| Ok(1)), Ok(1));
        assert_eq!(caught(|| Err::<(), _>(Error::Truncated)), Err(Error::Truncated));
    }
}
