//! WebP files, by libwebp. It sees only pixels that were made here, never a file from elsewhere.

use webp::{Encoder, WebPConfig};

use super::RgbPicture;
use crate::error::Error;

/// libwebp's quality for ours, between which it is interpolated: where 400x400 thumbnails of seven photographs have, in the mean,
/// the SSIMULACRA2 that our JPEG has with that number; on four others within 1.5 from 60 on. Such a file is as large as the JPEG. WebP has no
/// full-size colour, so above 90 it cannot be as good, whatever its number.
const QUALITIES: [(u8, f32); 12] = [
    (1, 1.0),
    (10, 5.0),
    (20, 25.0),
    (30, 42.0),
    (40, 54.0),
    (50, 65.0),
    (60, 74.0),
    (70, 79.0),
    (80, 85.0),
    (85, 88.0),
    (90, 93.0),
    (100, 100.0),
];

/// How hard libwebp tries, 0 to 6: with 2 the files are 8 % larger in half the time, with 6 they are 3 % smaller in 2.5 times.
const METHOD: i32 = 4;

/// Bytes that libwebp allocates for a pixel: the pixels, its planes and tokens; and to code opacity without loss. Measured as the
/// growth of the process on noise of 4 Mpx at quality 100, and rounded up.
const PIXEL_BYTES: u64 = 40;
const ALPHA_PIXEL_BYTES: u64 = 64;

/// The most bytes that coding takes beside the picture and the file, libwebp's own among them.
pub(super) fn memory(pixels: u64, alpha: bool) -> u64 {
    (4 << 20) + pixels * if alpha { ALPHA_PIXEL_BYTES } else { PIXEL_BYTES }
}

fn quality(ours: u8) -> f32 {
    let above = QUALITIES.iter().position(|&(from, _)| from >= ours).unwrap_or(QUALITIES.len() - 1).max(1);
    let ((low, low_webp), (high, high_webp)) = (QUALITIES[above - 1], QUALITIES[above]);
    let part = f32::from(ours.saturating_sub(low)) / f32::from(high - low);
    low_webp + part * (high_webp - low_webp)
}

pub(super) fn encode(picture: &RgbPicture, ours: u8) -> Result<Vec<u8>, Error> {
    let (width, height) = (picture.width as u32, picture.height as u32);
    let mut config = WebPConfig::new().map_err(|()| Error::OutOfMemory)?;
    config.method = METHOD;
    config.quality = quality(ours);
    let rgba;
    let encoder = match &picture.alpha {
        None => Encoder::from_rgb(&picture.rgb, width, height),
        Some(alpha) => {
            rgba = super::interleaved(&picture.rgb, 3, alpha)?;
            Encoder::from_rgba(&rgba, width, height)
        }
    };
    // The picture's size and the settings are in range: what is left is memory.
    let file = encoder.encode_advanced(&config).map_err(|_| Error::OutOfMemory)?;
    Ok(file.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_of_quality_goes_up() {
        let scale: Vec<f32> = (1..=100).map(quality).collect();
        assert!(scale.windows(2).all(|pair| pair[0] < pair[1]), "{scale:?}");
        assert_eq!((scale[0], scale[79], scale[99]), (1.0, 85.0, 100.0));
    }
}
