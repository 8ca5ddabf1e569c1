//! From planes to a JPEG file. Luma and chroma are encoded as they are, without a conversion through RGB.

mod baseline;
mod fdct;

use crate::pixels::plane::Plane;

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

    /// Whether the colour differences have half of luma's samples each way. Where that makes no other size, of one sample,
    /// either is right.
    fn halved(&self) -> bool {
        match self {
            Self::Grey(_) => false,
            Self::YCbCr([y, cb, _]) => (cb.width, cb.height) != (y.width, y.height),
        }
    }
}

/// Whether chroma is stored at half the size at this quality. A quality above 90 means that the thumbnail is looked at closely,
/// and fine coloured edges count.
pub(crate) fn subsampled(quality: u8) -> bool {
    quality <= 90
}

/// A baseline JFIF file, with the quantisation tables of T.81, annex K, scaled by `quality`.
pub(crate) fn encode(planes: &Planes, quality: u8) -> Vec<u8> {
    let halved = planes.halved();
    match planes {
        Planes::Grey(plane) => baseline::encode(&[plane], halved, quality),
        Planes::YCbCr([y, cb, cr]) => baseline::encode(&[y, cb, cr], halved, quality),
    }
}

/// About the most bytes of a file, which the strongest possible noise has.
pub(crate) fn most_bytes(width: u64, height: u64, grey: bool, quality: u8) -> u64 {
    let (chroma_w, chroma_h) =
        if subsampled(quality) { (width.div_ceil(2), height.div_ceil(2)) } else { (width, height) };
    let blocks = |width: u64, height: u64| width.div_ceil(8) * height.div_ceil(8);
    let luma = blocks(width, height) * baseline::most_block_bytes(true, quality);
    let chroma = 2 * blocks(chroma_w, chroma_h) * baseline::most_block_bytes(false, quality);
    1024 + luma + if grey { 0 } else { chroma }
}

#[cfg(test)]
mod tests {
    use jpeg_encoder::{Encoder, ImageBuffer, JpegColorType, SamplingFactor};
    use zune_jpeg::JpegDecoder;
    use zune_jpeg::zune_core::bytestream::ZCursor;
    use zune_jpeg::zune_core::colorspace::ColorSpace;
    use zune_jpeg::zune_core::options::DecoderOptions;

    use super::*;

    /// What [`encode`] does, by the crate jpeg-encoder.
    fn encode_by_library(planes: &Planes, quality: u8) -> Vec<u8> {
        let mut jpeg = Vec::new();
        let mut encoder = Encoder::new(&mut jpeg, quality);
        let factor = if planes.halved() { SamplingFactor::R_4_2_0 } else { SamplingFactor::R_4_4_4 };
        encoder.set_sampling_factor(factor);
        encoder.encode_image(Rows(planes)).unwrap();
        jpeg
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
            self.0.luma().width as u16
        }

        fn height(&self) -> u16 {
            self.0.luma().height as u16
        }

        fn fill_buffers(&self, y: u16, buffers: &mut [Vec<u8>; 4]) {
            let y = usize::from(y);
            match self.0 {
                Planes::Grey(plane) => buffers[0].extend_from_slice(plane.row(y)),
                Planes::YCbCr([luma, chroma @ ..]) => {
                    buffers[0].extend_from_slice(luma.row(y));
                    for (plane, buffer) in chroma.iter().zip(&mut buffers[1..]) {
                        if self.0.halved() {
                            // The encoder takes the first sample of each two by two.
                            let row = plane.row(y / 2).iter().flat_map(|&sample| [sample, sample]);
                            buffer.extend(row.take(luma.width));
                        } else {
                            buffer.extend_from_slice(plane.row(y));
                        }
                    }
                }
            }
        }
    }

    /// Waves, and noise that looks random.
    fn plane(width: usize, height: usize, seed: usize) -> Plane {
        let sample = |i: usize| {
            let (x, y) = (i % width, i / width);
            let noise = (i + seed).wrapping_mul(0x9e37_79b9) >> 7 & 15;
            (128.0 + 80.0 * ((x * (seed + 1)) as f64 / 9.0 + y as f64 / 7.0).sin()) as u8 + noise as u8
        };
        Plane { width, height, samples: (0..width * height).map(sample).collect() }
    }

    fn picture(width: usize, height: usize, chroma: Option<(usize, usize)>) -> Planes {
        let luma = plane(width, height, 0);
        match chroma {
            None => Planes::Grey(luma),
            Some((w, h)) => Planes::YCbCr([luma, plane(w, h, 1), plane(w, h, 2)]),
        }
    }

    /// By component, the mean square of what `jpeg` differs from `planes`; of those that have luma's size.
    fn errors(jpeg: &[u8], planes: &Planes) -> Vec<f64> {
        let (compared, colour): (Vec<&Plane>, _) = match planes {
            Planes::YCbCr(all) if all.iter().all(|plane| plane.samples.len() == planes.luma().samples.len()) => {
                (all.iter().collect(), ColorSpace::YCbCr)
            }
            _ => (vec![planes.luma()], ColorSpace::Luma),
        };
        let options = DecoderOptions::default().jpeg_set_out_colorspace(colour);
        let made = JpegDecoder::new_with_options(ZCursor::new(jpeg), options).decode().unwrap();
        let error = |(component, plane): (usize, &&Plane)| {
            let made = made.iter().skip(component).step_by(compared.len());
            assert_eq!(made.len(), plane.samples.len());
            let square = |(a, b): (&u8, &u8)| f64::from(a.abs_diff(*b)).powi(2);
            made.zip(&plane.samples).map(square).sum::<f64>() / plane.samples.len() as f64
        };
        compared.iter().enumerate().map(error).collect()
    }

    #[test]
    fn our_files_are_as_good_and_as_small_as_the_references() {
        for (width, height) in
            [(1_usize, 1_usize), (2, 1), (1, 19), (19, 1), (7, 9), (8, 8), (16, 16), (17, 33), (100, 75), (255, 64)]
        {
            let chromas = [None, Some((width, height)), Some((width.div_ceil(2), height.div_ceil(2)))];
            for chroma in chromas {
                for quality in [1, 30, 80, 90, 100] {
                    let what = format!("{width}x{height}, colour {chroma:?}, quality {quality}");
                    let planes = picture(width, height, chroma);
                    let ours = encode(&planes, quality);
                    let theirs = encode_by_library(&planes, quality);
                    for (our_error, their_error) in errors(&ours, &planes).iter().zip(errors(&theirs, &planes)) {
                        assert!(*our_error <= 1.1 * their_error + 0.5, "{what}: {our_error}, theirs {their_error}");
                    }
                    // Both round coefficients that lie between two steps as they like.
                    assert!(ours.len() <= theirs.len() + theirs.len() / 50 + 20, "{what}: {}", ours.len());
                }
            }
        }
    }

    #[test]
    fn a_byte_of_ones_is_never_taken_for_a_marker() {
        let planes = picture(255, 64, None);
        let jpeg = encode(&planes, 100);
        let scan = jpeg.windows(2).position(|bytes| bytes == [0xff, 0xda]).unwrap() + 10;
        let mut stuffed = 0;
        for pair in jpeg[scan..jpeg.len() - 2].windows(2).filter(|pair| pair[0] == 0xff) {
            assert_eq!(pair[1], 0);
            stuffed += 1;
        }
        assert!(stuffed > 5, "{stuffed}: too few to see anything");
    }
}
