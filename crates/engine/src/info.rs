//! What a source's header says.

use crate::format::Format;
use crate::jpeg::Process;
use crate::marks::Subject;
use crate::orientation::Orientation;
use crate::pixels::colour::{Colour, Profile};
use crate::source::{Facts, Opened};

/// What a source's header says. Made by [`probe`](crate::probe).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// The format of the file.
    pub format: Format,
    /// Width in pixels after the orientation is applied.
    pub width: u32,
    /// Height in pixels, likewise.
    pub height: u32,
    /// Exif's orientation, 1 to 8; 1 if it has none.
    pub orientation: u16,
    /// What the samples mean.
    pub colour: Colour,
    /// Whether it can have transparent parts.
    pub alpha: bool,
    /// How the coefficients of a JPEG are coded.
    pub process: Option<Process>,
    /// Bits per sample.
    pub precision_bits: u8,
    /// Whether an ICC profile is embedded.
    pub icc_profile: bool,
    pub(crate) icc_bytes: usize,
    /// Planes that its decoder gives.
    pub(crate) planes: usize,
    /// Whether its colours may have to be converted to sRGB.
    pub(crate) has_profile: bool,
    /// Columns and rows as stored.
    pub(crate) stored: (usize, usize),
    /// What is marked as its subject.
    pub(crate) subject: Option<Subject>,
    pub(crate) facts: Facts,
}

impl Info {
    pub(crate) fn new(opened: &Opened<'_>) -> Self {
        let header = opened.picture().header();
        let (mut width, mut height) = (header.width as u32, header.height as u32);
        if header.orientation.transpose {
            std::mem::swap(&mut width, &mut height);
        }
        Self {
            format: opened.format(),
            width,
            height,
            orientation: header.orientation.to_exif(),
            colour: header.colour,
            alpha: header.alpha,
            process: opened.process(),
            precision_bits: header.precision_bits,
            icc_profile: header.profile.icc_bytes() > 0,
            icc_bytes: header.profile.icc_bytes(),
            planes: header.planes(),
            has_profile: header.profile != Profile::Srgb,
            stored: (header.width, header.height),
            subject: header.metadata.subject(),
            facts: opened.facts(),
        }
    }

    pub(crate) fn orientation(&self) -> Orientation {
        Orientation::from_exif(self.orientation).unwrap_or_default()
    }
}
