//! PNG files: grey, or RGB, with opacity where there is some.

use std::borrow::Cow;

use png::{BitDepth, ColorType, Compression, Encoder, Filter, SrgbRenderingIntent};

use super::RgbPicture;
use crate::error::Error;
use crate::pixels::plane::zeros;

/// The most bytes that coding takes beside the picture and the file.
pub(super) fn memory(pixels: u64, width: u64) -> u64 {
    // Of noise, which does not become smaller: the samples interleaved and filtered; the compressed data, whose allocation may be twice
    // as large; and the file while it grows, its old and its new allocation. Then the compressor's tables, and rows.
    pixels * 4 * (2 + 2 + 3) + width * 64 + (2 << 20)
}

pub(super) fn encode(picture: &RgbPicture) -> Result<Vec<u8>, Error> {
    let RgbPicture { width, height, rgb, alpha, grey } = picture;
    let colour = if *grey { Cow::Owned(grey_samples(rgb)?) } else { Cow::Borrowed(rgb.as_slice()) };
    let samples = match alpha {
        None => colour,
        Some(alpha) => super::interleaved(&colour, if *grey { 1 } else { 3 }, alpha)?.into(),
    };
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, *width as u32, *height as u32);
    encoder.set_color(match (grey, alpha) {
        (true, None) => ColorType::Grayscale,
        (true, Some(_)) => ColorType::GrayscaleAlpha,
        (false, None) => ColorType::Rgb,
        (false, Some(_)) => ColorType::Rgba,
    });
    encoder.set_depth(BitDepth::Eight);
    encoder.set_source_srgb(SrgbRenderingIntent::Perceptual);
    encoder.set_filter(Filter::Adaptive);
    encoder.set_compression(Compression::Balanced);
    let written = encoder.write_header().and_then(|mut writer| {
        writer.write_image_data(&samples)?;
        writer.finish()
    });
    // Writing to memory fails only where there is none.
    written.map_err(|_| Error::OutOfMemory)?;
    Ok(file)
}

/// One of three equal samples.
fn grey_samples(rgb: &[u8]) -> Result<Vec<u8>, Error> {
    let mut samples = zeros(rgb.len() / 3)?;
    samples.iter_mut().zip(rgb.chunks_exact(3)).for_each(|(sample, pixel)| *sample = pixel[0]);
    Ok(samples)
}
