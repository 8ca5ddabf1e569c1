//! From planes to a JPEG file. Luma and chroma are encoded as they are, without a conversion through RGB.

mod baseline;
mod bit_writer;
mod coefficients;
mod fdct;
mod huffman_codes;
mod quantisation;
#[cfg(test)]
mod tests;

use crate::pixels::plane::Plane;
use quantisation::Chroma;

/// A thumbnail's samples, ready to be coded.
pub(crate) enum Planes {
    Grey(Plane),
    /// Y, Cb, Cr; the last two either as large as the first or half of it each way, rounded up.
    YCbCr([Plane; 3]),
}

impl Planes {
    /// The plane that is as large as the thumbnail.
    pub fn luma(&self) -> &Plane {
        let (Self::Grey(plane) | Self::YCbCr([plane, ..])) = self;
        plane
    }

    /// Where half of luma's samples each way are no other number, of one sample, either is right.
    fn chroma(&self) -> Chroma {
        match self {
            Self::Grey(_) => Chroma::None,
            Self::YCbCr([y, cb, _]) if (cb.width, cb.height) == (y.width, y.height) => Chroma::Full,
            Self::YCbCr(_) => Chroma::Halved,
        }
    }
}

/// Whether chroma is stored at half the size at this quality. A quality above 90 means that the thumbnail is looked at closely,
/// and fine coloured edges count.
pub(crate) fn subsampled(quality: u8) -> bool {
    quality <= 90
}

/// A baseline JFIF file.
pub(crate) fn encode(planes: &Planes, quality: u8) -> Vec<u8> {
    let chroma = planes.chroma();
    match planes {
        Planes::Grey(plane) => baseline::encode(&[plane], chroma, quality),
        Planes::YCbCr([y, cb, cr]) => baseline::encode(&[y, cb, cr], chroma, quality),
    }
}

/// About the most bytes of a file, which the strongest possible noise has.
pub(crate) fn most_bytes(width: u64, height: u64, grey: bool, quality: u8) -> u64 {
    let (luma, colour, chroma) = blocks(width, height, grey, quality);
    let bytes = |is_luma| baseline::most_block_bytes(is_luma, chroma, quality);
    1024 + luma * bytes(true) + colour * bytes(false)
}

/// The most bytes that [`encode`] takes beside the planes and the file.
pub(crate) fn working_bytes(width: u64, height: u64, grey: bool, quality: u8) -> u64 {
    let (luma, colour, _) = blocks(width, height, grey, quality);
    // One row is there twice while it is made.
    let rows = height.div_ceil(16);
    (luma + colour) * (rows + 1) / rows * baseline::BLOCK_BYTES
}

/// How many blocks there are of luma and, in all, of colour differences.
fn blocks(width: u64, height: u64, grey: bool, quality: u8) -> (u64, u64, Chroma) {
    let blocks = width.div_ceil(8) * height.div_ceil(8);
    // MCUs of halved chroma are whole.
    let mcus = width.div_ceil(16) * height.div_ceil(16);
    match (grey, subsampled(quality)) {
        (true, _) => (blocks, 0, Chroma::None),
        (false, true) => (4 * mcus, 2 * mcus, Chroma::Halved),
        (false, false) => (blocks, 2 * blocks, Chroma::Full),
    }
}
