//! From planes to a JPEG file. Luma and colour differences go in as they are: nothing here passes through RGB.

mod baseline;
mod fdct;
mod tables;

use jpeg_encoder::{Encoder, ImageBuffer, JpegColorType, SamplingFactor};

use super::plane::Plane;
use super::{Error, Options};

/// A thumbnail's samples, ready to be coded.
pub(super) enum Planes {
    Grey(Plane),
    /// Y, Cb, Cr; the last two either as large as the first or half of it each way, rounded up.
    YCbCr([Plane; 3]),
}

/// Whether colour differences are stored at half the size at this quality. Above 90 a thumbnail is asked for to be looked
/// at closely, and fine coloured edges count.
pub(super) fn subsampled(quality: u8) -> bool {
    quality <= 90
}

/// A baseline (or, by option, progressive) JFIF file, with the quantisation tables of T.81, annex K, scaled by `quality`.
pub(super) fn encode(planes: &Planes, quality: u8, options: &Options) -> Result<Vec<u8>, Error> {
    if options.progressive || options.optimize_huffman {
        return encode_by_library(planes, quality, options);
    }
    Ok(match planes {
        Planes::Grey(plane) => baseline::encode(&[plane], quality),
        Planes::YCbCr([y, cb, cr]) => baseline::encode(&[y, cb, cr], quality),
    })
}

/// What [`baseline`] does, and by option more.
fn encode_by_library(planes: &Planes, quality: u8, options: &Options) -> Result<Vec<u8>, Error> {
    let mut jpeg = Vec::new();
    let mut encoder = Encoder::new(&mut jpeg, quality);
    let factor = if let Planes::YCbCr([y, cb, _]) = planes
        && cb.width < y.width.max(2)
    {
        SamplingFactor::R_4_2_0
    } else {
        SamplingFactor::R_4_4_4
    };
    encoder.set_sampling_factor(factor);
    encoder.set_progressive(options.progressive);
    encoder.set_optimized_huffman_tables(options.optimize_huffman);
    encoder.encode_image(Rows(planes)).map_err(|error| Error::Unsupported(error.to_string()))?;
    Ok(jpeg)
}

struct Rows<'a>(&'a Planes);

impl ImageBuffer for Rows<'_> {
    fn get_jpeg_color_type(&self) -> JpegColorType {
        match self.0 {
            Planes::Grey(_) => JpegColorType::Luma,
            Planes::YCbCr(_) => JpegColorType::Ycbcr,
        }
    }

    fn width(&self) -> u16 {
        let (Planes::Grey(plane) | Planes::YCbCr([plane, ..])) = self.0;
        plane.width as u16
    }

    fn height(&self) -> u16 {
        let (Planes::Grey(plane) | Planes::YCbCr([plane, ..])) = self.0;
        plane.height as u16
    }

    fn fill_buffers(&self, y: u16, buffers: &mut [Vec<u8>; 4]) {
        let y = usize::from(y);
        match self.0 {
            Planes::Grey(plane) => buffers[0].extend_from_slice(plane.row(y)),
            Planes::YCbCr([luma, chroma @ ..]) => {
                buffers[0].extend_from_slice(luma.row(y));
                for (plane, buffer) in chroma.iter().zip(&mut buffers[1..]) {
                    if plane.width == luma.width && plane.height == luma.height {
                        buffer.extend_from_slice(plane.row(y));
                    } else {
                        // The encoder takes the first sample of each two by two.
                        let row = plane.row(y / 2).iter().flat_map(|&sample| [sample, sample]);
                        buffer.extend(row.take(luma.width));
                    }
                }
            }
        }
    }
}
