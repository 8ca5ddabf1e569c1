//! Pictures for the tests, by libwebp's encoder, and what a file is made of.

mod container;
mod exact;
mod hostile;

use webp::{Encoder, PixelLayout, WebPConfig};

use crate::{Fit, Options, Output, Size, Spec, Thumbnail, thumbnails};

/// Random numbers that are the same in each run.
struct Random(u32);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) as usize % end
    }
}

/// A picture that makes an encoder use all it has: slopes, edges in many directions, noise, and plain parts.
fn picture(width: usize, height: usize, channels: usize) -> Vec<u8> {
    let mut random = Random(7);
    let mut samples = Vec::with_capacity(width * height * channels);
    for y in 0..height {
        for x in 0..width {
            let part = (x / 48 + y / 40 * 3) % 7;
            let value = |c: usize| match part {
                0 => x * 3 + y + 40 * c,
                1 => (x * (c + 1) + y * 2) % 23 * 11,
                2 => (2 * x).abs_diff(3 * y) % 31 * 8,
                3 => 90 + 30 * c,
                4 => (x * x + y * y) / 40 + 60 * c,
                _ => 128 + 50 * (part % 2),
            };
            let noise = if part == 5 { random.below(120) } else { random.below(4) };
            samples.extend((0..channels).map(|c| ((value(c) + noise) % 256) as u8));
        }
    }
    samples
}

/// A file of such a picture, with what `change` makes of libwebp's settings.
fn encoded(samples: &[u8], width: usize, height: usize, change: impl Fn(&mut WebPConfig)) -> Vec<u8> {
    let layout = if samples.len() == 4 * width * height { PixelLayout::Rgba } else { PixelLayout::Rgb };
    let mut config = WebPConfig::new().unwrap();
    change(&mut config);
    Encoder::new(samples, layout, width as u32, height as u32).encode_advanced(&config).unwrap().to_vec()
}

fn lossless(config: &mut WebPConfig) {
    config.lossless = 1;
    config.exact = 1;
}

/// The data of the first chunk of that name.
fn chunk<'a>(file: &'a [u8], name: &[u8; 4]) -> &'a [u8] {
    let at = file.windows(4).position(|window| window == name).unwrap();
    let length = u32::from_le_bytes(*file[at + 4..].first_chunk().unwrap()) as usize;
    &file[at + 8..][..length]
}

/// Chunks, one after the other.
fn chunks(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, data) in chunks {
        bytes.extend_from_slice(*name);
        bytes.extend((data.len() as u32).to_le_bytes());
        bytes.extend_from_slice(data);
        bytes.extend(vec![0; data.len() % 2]);
    }
    bytes
}

fn file(parts: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    chunks(&[(b"RIFF", &[b"WEBP".as_slice(), &chunks(parts)].concat())])
}

/// The extended header.
fn head(flags: u8, width: usize, height: usize) -> Vec<u8> {
    let (width, height) = ((width as u32 - 1).to_le_bytes(), (height as u32 - 1).to_le_bytes());
    [[flags, 0, 0, 0].as_slice(), &width[..3], &height[..3]].concat()
}

const ANIMATED: u8 = 2;

/// A frame of an animation, which begins at twice `left` and `top`.
fn frame(left: u8, top: u8, width: u8, height: u8, parts: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    [[left, 0, 0, top, 0, 0, width - 1, 0, 0, height - 1, 0, 0, 0, 0, 0, 0].as_slice(), &chunks(parts)].concat()
}

/// The whole picture at its own or at another size, as a PNG would have it: interleaved, with opacity.
fn shown(file: &[u8], options: &Options) -> Result<Thumbnail, crate::Error> {
    let info = crate::probe(file, &options.limits)?;
    let size = Size::new(info.width, info.height);
    let spec = Spec { fit: Fit::Fill, quality: 100, output: Output::Jpeg, ..Spec::new(size) };
    Ok(thumbnails(file, &[spec], options)?.remove(0))
}

/// The colours of a JPEG, interleaved.
fn rgb(thumbnail: &Thumbnail) -> Vec<u8> {
    let options = zune_jpeg::zune_core::options::DecoderOptions::default();
    let bytes = zune_jpeg::zune_core::bytestream::ZCursor::new(&thumbnail.bytes);
    zune_jpeg::JpegDecoder::new_with_options(bytes, options).decode().unwrap()
}
