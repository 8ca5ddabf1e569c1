//! What every format offers to the rest of the engine: a header, and the planes that the thumbnails need.

use crate::error::Error;
use crate::geometry::PlaneRequest;
use crate::limits::Truncated;
use crate::metadata::Metadata;
use crate::orientation::Orientation;
use crate::pixels::colour::{Colour, Profile};
use crate::pixels::plane::PlacedPlane;
use crate::pixels::resample::Resampler;

/// A source whose header has been read and found to be within the limits.
pub(crate) trait Picture {
    /// What the header says.
    fn header(&self) -> &Header;

    /// Decodes what the thumbnails need: `requests[i]` of plane `i`, one for each thumbnail.
    ///
    /// # Errors
    /// The picture is damaged, or not supported by this format's decoder, or there is too little memory.
    fn decode(&self, requests: &[Vec<PlaneRequest>], truncated: Truncated) -> Result<Decoded, Error>;
}

/// What the head of a file says, whatever its format.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    /// Size in pixels as stored, before the orientation is applied. Not 0.
    pub width: usize,
    pub height: usize,
    /// What the samples of the components mean.
    pub colour: Colour,
    /// Whether there is one plane more, of opacity, and the samples of the others are multiplied by it. Of grey and RGB only.
    pub alpha: bool,
    /// Bits per sample, as stored.
    pub precision_bits: u8,
    /// How the picture is turned upright.
    pub orientation: Orientation,
    /// What else is said of it.
    pub metadata: Metadata,
    /// Which colours the components' values stand for.
    pub profile: Profile,
}

impl Header {
    /// How many planes a decoder gives.
    pub fn planes(&self) -> usize {
        self.colour.components() + usize::from(self.alpha)
    }
}

/// A decoded picture: a plane for each component, and for opacity, each at its own size, in the file's own colours.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub planes: Vec<PlacedPlane>,
    /// What the planes are resampled with.
    pub resampler: Resampler,
}

/// The memory that a decoder takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DecodeMemory {
    /// The most bytes allocated at once, the planes among them.
    pub peak: u64,
    /// Bytes of the planes that it leaves.
    pub planes: u64,
}
