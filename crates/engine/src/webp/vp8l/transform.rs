//! The transforms that are undone after decoding (RFC 9649, section 3.5), row by row.

use super::bit_reader::BitReader;
use super::image::ImageDecoder;
use super::{corrupt, subsampled};
use crate::error::Error;
use crate::pixels::plane::zeros;

#[derive(Debug)]
pub(super) enum Transform {
    Predictor(Predictor),
    Colour(ColourTransform),
    SubtractGreen,
    Indexing(Indexing),
}

/// Each pixel is the difference from what those around it predict.
#[derive(Debug)]
pub(super) struct Predictor {
    /// Of each part the mode.
    modes: Vec<u8>,
    bits: u32,
    columns: usize,
    /// The row above, and after its end the first pixel of the row itself.
    above: Vec<u32>,
}

/// Red and blue are differences from what green predicts.
#[derive(Debug)]
pub(super) struct ColourTransform {
    factors: Vec<u32>,
    bits: u32,
    columns: usize,
}

/// Pixels are indices into a palette; several in one if there are few colours.
#[derive(Debug)]
pub(super) struct Indexing {
    colours: Box<[u32; 256]>,
    /// The logarithm of how many indices are in a pixel.
    packed: u32,
    width: usize,
}

/// The transforms of a picture, in the order in which they were applied.
#[derive(Debug)]
pub(super) struct Transforms {
    list: Vec<Transform>,
    /// Columns of the picture as it is coded.
    pub coded_width: usize,
}

/// Bytes of the transforms of a picture of so many pixels: parts of 4 x 4 pixels, the larger of the two with the decoder that
/// reads it.
pub(super) fn working_memory(width: u64, pixels: u64) -> u64 {
    let parts = pixels.div_ceil(16) + pixels.isqrt() + width + 1;
    parts + 4 * parts + super::image::working_memory(parts) + 4 * (width + 1) + 4 * 256
}

impl Transforms {
    pub fn read(mut reader: BitReader<'_>, width: usize, height: usize) -> Result<(Self, BitReader<'_>), Error> {
        let mut transforms = Self { list: Vec::new(), coded_width: width };
        let mut seen = [false; 4];
        while reader.flag() {
            let kind = reader.number(2) as usize;
            if std::mem::replace(&mut seen[kind], true) {
                return Err(corrupt("a transform that comes twice"));
            }
            let width = transforms.coded_width;
            let transform;
            (transform, reader) = match kind {
                0 => Predictor::read(reader, width, height)?,
                1 => ColourTransform::read(reader, width, height)?,
                2 => (Transform::SubtractGreen, reader),
                _ => {
                    let (indexing, reader) = Indexing::read(reader, width)?;
                    transforms.coded_width = subsampled(width, indexing.packed);
                    (Transform::Indexing(indexing), reader)
                }
            };
            transforms.list.push(transform);
        }
        Ok((transforms, reader))
    }

    /// Turns row `y`, of which the first [`coded_width`](Self::coded_width) pixels are decoded, into that of the picture.
    pub fn undo(&mut self, row: &mut [u32], y: usize) {
        let mut width = self.coded_width;
        for transform in self.list.iter_mut().rev() {
            match transform {
                Transform::Predictor(predictor) => predictor.undo(&mut row[..width], y),
                Transform::Colour(colour) => colour.undo(&mut row[..width], y),
                Transform::SubtractGreen => row[..width].iter_mut().for_each(|pixel| {
                    let green = *pixel >> 8 & 0xff;
                    *pixel = added(*pixel, green << 16 | green);
                }),
                Transform::Indexing(indexing) => {
                    width = indexing.width;
                    indexing.undo(&mut row[..width]);
                }
            }
        }
    }
}

impl Predictor {
    fn read(mut reader: BitReader<'_>, width: usize, height: usize) -> Result<(Transform, BitReader<'_>), Error> {
        let bits = 2 + reader.number(3);
        let (columns, rows) = (subsampled(width, bits), subsampled(height, bits));
        let mut image = ImageDecoder::new(reader, columns, rows, false)?;
        let modes = image.all(|pixel| (pixel >> 8) as u8 & 15)?;
        let predictor = Self { modes, bits, columns, above: zeros(width + 1)? };
        Ok((Transform::Predictor(predictor), image.into_reader()))
    }

    fn undo(&mut self, row: &mut [u32], y: usize) {
        let width = row.len();
        if y == 0 {
            let mut left = BLACK;
            for pixel in row.iter_mut() {
                left = added(*pixel, left);
                *pixel = left;
            }
        } else {
            row[0] = added(row[0], self.above[0]);
            self.above[width] = row[0];
            let modes = &self.modes[(y >> self.bits) * self.columns..][..self.columns];
            for (part, &mode) in modes.iter().enumerate() {
                let start = (part << self.bits).max(1);
                let end = ((part + 1) << self.bits).min(width);
                if start < end {
                    predict(mode, row, &self.above, start..end);
                }
            }
        }
        self.above[..width].copy_from_slice(row);
    }
}

/// What is predicted where there is nothing.
const BLACK: u32 = 0xff00_0000;

/// Adds the prediction of a mode (section 3.5.1) to the pixels of a part of a row, from the second column on.
fn predict(mode: u8, row: &mut [u32], above: &[u32], part: std::ops::Range<usize>) {
    macro_rules! with {
        (|$left:ident, $corner:ident, $above:ident, $right:ident| $prediction:expr) => {{
            let mut $left = row[part.start - 1];
            let around = above[part.start - 1..].windows(3);
            for (pixel, around) in row[part].iter_mut().zip(around) {
                let [$corner, $above, $right] = [around[0], around[1], around[2]];
                let _ = ($corner, $above, $right);
                $left = added(*pixel, $prediction);
                *pixel = $left;
            }
        }};
    }
    match mode {
        1 => with!(|l, _c, _a, _r| l),
        2 => with!(|_l, _c, a, _r| a),
        3 => with!(|_l, _c, _a, r| r),
        4 => with!(|_l, c, _a, _r| c),
        5 => with!(|l, _c, a, r| mean(mean(l, r), a)),
        6 => with!(|l, c, _a, _r| mean(l, c)),
        7 => with!(|l, _c, a, _r| mean(l, a)),
        8 => with!(|_l, c, a, _r| mean(c, a)),
        9 => with!(|_l, _c, a, r| mean(a, r)),
        10 => with!(|l, c, a, r| mean(mean(l, c), mean(a, r))),
        11 => with!(|l, c, a, _r| select(l, a, c)),
        12 => with!(|l, c, a, _r| each([l, a, c], |[l, a, c]| l + a - c)),
        13 => with!(|l, c, a, _r| each([mean(l, a), c, 0], |[m, c, _]| m + (m - c) / 2)),
        _ => with!(|_l, _c, _a, _r| BLACK),
    }
}

/// The sum, each channel for itself, without what overflows.
#[inline(always)]
fn added(a: u32, b: u32) -> u32 {
    const ODD: u32 = 0xff00_ff00;
    let odd = (a & ODD).wrapping_add(b & ODD);
    let even = (a & !ODD).wrapping_add(b & !ODD);
    (odd & ODD) | (even & !ODD)
}

/// The means of the channels, rounded down.
#[inline(always)]
fn mean(a: u32, b: u32) -> u32 {
    (((a ^ b) & 0xfefe_fefe) >> 1) + (a & b)
}

/// A function of each channel, within 0 to 255.
#[inline(always)]
fn each(pixels: [u32; 3], function: impl Fn([i32; 3]) -> i32) -> u32 {
    let [a, b, c] = pixels.map(u32::to_le_bytes);
    let channel = |i: usize| function([a[i], b[i], c[i]].map(i32::from)).clamp(0, 255) as u8;
    u32::from_le_bytes(std::array::from_fn(channel))
}

/// The left or the upper pixel, whichever is nearer to left + above - corner.
#[inline(always)]
fn select(left: u32, above: u32, corner: u32) -> u32 {
    let distance = |a: u32, b: u32| -> i32 {
        let (a, b) = (a.to_le_bytes(), b.to_le_bytes());
        a.iter().zip(b).map(|(a, b)| i32::from(a.abs_diff(b))).sum()
    };
    if distance(above, corner) < distance(left, corner) { left } else { above }
}

impl ColourTransform {
    fn read(mut reader: BitReader<'_>, width: usize, height: usize) -> Result<(Transform, BitReader<'_>), Error> {
        let bits = 2 + reader.number(3);
        let (columns, rows) = (subsampled(width, bits), subsampled(height, bits));
        let mut image = ImageDecoder::new(reader, columns, rows, false)?;
        let factors = image.all(|pixel| pixel)?;
        Ok((Transform::Colour(Self { factors, bits, columns }), image.into_reader()))
    }

    fn undo(&self, row: &mut [u32], y: usize) {
        let factors = &self.factors[(y >> self.bits) * self.columns..][..self.columns];
        for (pixels, factors) in row.chunks_mut(1 << self.bits).zip(factors) {
            // Fixed point, with five bits behind the point.
            let [green_to_red, green_to_blue, red_to_blue, _] = factors.to_le_bytes().map(|byte| i32::from(byte as i8));
            for pixel in pixels {
                let [blue, green, red, alpha] = pixel.to_le_bytes();
                let part = |factor: i32, of: u8| (factor * i32::from(of as i8)) >> 5;
                let red = (i32::from(red) + part(green_to_red, green)) as u8;
                let blue = (i32::from(blue) + part(green_to_blue, green) + part(red_to_blue, red)) as u8;
                *pixel = u32::from_le_bytes([blue, green, red, alpha]);
            }
        }
    }
}

impl Indexing {
    fn read(mut reader: BitReader<'_>, width: usize) -> Result<(Self, BitReader<'_>), Error> {
        let count = 1 + reader.number(8) as usize;
        let mut image = ImageDecoder::new(reader, count, 1, false)?;
        // Indices that have no colour are transparent.
        let mut colours: Box<[u32; 256]> = Box::new([0; 256]);
        image.row(&mut colours[..count])?;
        for i in 1..count {
            colours[i] = added(colours[i], colours[i - 1]);
        }
        let packed = match count {
            0..=2 => 3,
            3..=4 => 2,
            5..=16 => 1,
            _ => 0,
        };
        Ok((Self { colours, packed, width }, image.into_reader()))
    }

    fn undo(&self, row: &mut [u32]) {
        let (mask, bits) = ((1 << self.packed) - 1, 8 >> self.packed);
        // From the last on, because the pixels grow in number.
        for x in (0..row.len()).rev() {
            let indices = row[x >> self.packed] >> 8 & 0xff;
            let index = indices >> (bits * (x & mask) as u32) & ((1 << bits) - 1);
            row[x] = self.colours[index as usize];
        }
    }
}
