//! Lossless WebP (RFC 9649, section 3), and the opacity of lossy ones, which is coded the same way.
//!
//! Rows come one after the other. Copies reach back at most a million pixels, so that no more than those are kept.

mod bit_reader;
mod image;
mod prefix_code;
mod transform;

use bit_reader::BitReader;
use image::ImageDecoder;
use transform::Transforms;

use crate::error::Error;

/// What the first five bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub width: usize,
    pub height: usize,
    pub alpha: bool,
}

const HEAD_BYTES: usize = 5;

impl Head {
    pub fn read(data: &[u8]) -> Result<Self, Error> {
        let Some((&[signature, head @ ..], _)) = data.split_first_chunk::<HEAD_BYTES>() else {
            return Err(Error::Truncated);
        };
        let head = u32::from_le_bytes(head);
        if signature != 0x2f || head >> 29 != 0 {
            return Err(corrupt("no header"));
        }
        let side = |bits: u32| 1 + (bits & 0x3fff) as usize;
        Ok(Self { width: side(head), height: side(head >> 14), alpha: head >> 28 & 1 == 1 })
    }
}

/// Decodes a picture, one row after the other.
#[derive(Debug)]
pub(super) struct Rows<'a> {
    transforms: Transforms,
    image: ImageDecoder<'a>,
    y: usize,
}

impl<'a> Rows<'a> {
    /// Of a picture that begins with its [`Head`].
    pub fn new(data: &'a [u8]) -> Result<Self, Error> {
        let Head { width, height, .. } = Head::read(data)?;
        Self::headless(&data[HEAD_BYTES..], width, height)
    }

    /// Of one whose size is known otherwise.
    pub fn headless(data: &'a [u8], width: usize, height: usize) -> Result<Self, Error> {
        let (transforms, reader) = Transforms::read(BitReader::new(data), width, height)?;
        let image = ImageDecoder::new(reader, transforms.coded_width, height, true)?;
        Ok(Self { transforms, image, y: 0 })
    }

    /// The next row: as many pixels as the picture is wide, of alpha, red, green and blue, from the highest byte on.
    pub fn next(&mut self, row: &mut [u32]) -> Result<(), Error> {
        self.image.row(&mut row[..self.transforms.coded_width])?;
        self.transforms.undo(row, self.y);
        self.y += 1;
        Ok(())
    }
}

/// The most bytes that are allocated for a picture of this size.
pub(super) fn working_memory(width: usize, height: usize) -> u64 {
    let pixels = width as u64 * height as u64;
    // A vector that grows is twice there.
    let tables = 2 * size_of::<u16>() as u64 * prefix_code::MAX_ENTRIES as u64;
    transform::working_memory(width as u64, pixels) + image::working_memory(pixels) + tables
}

/// How many parts of `1 << bits` pixels a side has.
fn subsampled(side: usize, bits: u32) -> usize {
    side.div_ceil(1 << bits)
}

fn corrupt(what: &str) -> Error {
    Error::Corrupt(format!("its lossless data has {what}"))
}
