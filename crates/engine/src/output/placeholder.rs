//! What a page shows before a thumbnail has arrived: a blur of some twenty bytes, or one colour.

use std::ops::Range;

use super::RgbPicture;
use crate::jpeg::encode::Planes;
use crate::pixels::colour;
use crate::pixels::plane::Plane;

/// The longer side of the small picture from which both are made, in pixels. ThumbHash keeps seven waves a side, so that more
/// pixels cost time and change nothing.
const SIDE: usize = 32;
/// Levels of a channel that count as one colour, as a power of two.
const LEVELS_SHIFT: u32 = 5;

/// What can be shown instead of a thumbnail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placeholder {
    /// A ThumbHash, at most 25 bytes; it has the picture's shape, its average colour and its opacity.
    pub thumb_hash: Vec<u8>,
    /// The colour that most of it has, in sRGB.
    pub dominant: [u8; 3],
}

impl Placeholder {
    /// The hash in Base64 (RFC 4648, 4), as its JavaScript library takes it.
    pub fn thumb_hash_base64(&self) -> String {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::new();
        for bytes in self.thumb_hash.chunks(3) {
            let number = bytes.iter().chain(&[0, 0]).take(3).fold(0, |number, &byte| number << 8 | usize::from(byte));
            for digit in 0..4 {
                let known = digit <= bytes.len();
                text.push(if known { char::from(DIGITS[number >> (18 - 6 * digit) & 63]) } else { '=' });
            }
        }
        text
    }

    /// The dominant colour as HTML has it: `#rrggbb`.
    pub fn dominant_hex(&self) -> String {
        let [r, g, b] = self.dominant;
        format!("#{r:02x}{g:02x}{b:02x}")
    }

    /// Of an opaque picture.
    pub(super) fn of_planes(planes: &Planes) -> Self {
        let luma = planes.luma();
        let (width, height) = small((luma.width, luma.height));
        let y = averages(luma, width, height);
        let rgba: Vec<u8> = match planes {
            Planes::Grey(_) => y.iter().flat_map(|&y| [y, y, y, 255]).collect(),
            Planes::YCbCr([_, cb, cr]) => {
                let (cb, cr) = (averages(cb, width, height), averages(cr, width, height));
                let pixel = |((y, cb), cr): ((&u8, &u8), &u8)| {
                    let [r, g, b] = colour::rgb_of([*y, *cb, *cr]);
                    [r, g, b, 255]
                };
                y.iter().zip(&cb).zip(&cr).flat_map(pixel).collect()
            }
        };
        Self::of_pixels(width, height, &rgba)
    }

    pub(super) fn of_rgb(picture: &RgbPicture) -> Self {
        let (width, height) = small((picture.width, picture.height));
        let across = parts(picture.width, width);
        let mut rgba = Vec::with_capacity(4 * width * height);
        for down in parts(picture.height, height) {
            for across in &across {
                let (mut sums, mut weight) = ([0_u64; 3], 0_u64);
                for y in down.clone() {
                    let line = y * picture.width + across.start..y * picture.width + across.end;
                    let (pixels, _) = picture.rgb[3 * line.start..3 * line.end].as_chunks::<3>();
                    let alphas = picture.alpha.as_ref().map(|alpha| &alpha.samples[line]);
                    for (i, pixel) in pixels.iter().enumerate() {
                        let alpha = u64::from(alphas.map_or(255, |alphas| alphas[i]));
                        sums.iter_mut().zip(pixel).for_each(|(sum, &sample)| *sum += u64::from(sample) * alpha);
                        weight += alpha;
                    }
                }
                let pixels = (across.len() * down.len()) as u64;
                rgba.extend(sums.map(|sum| (sum + weight / 2).checked_div(weight).unwrap_or(0) as u8));
                rgba.push((weight / pixels) as u8);
            }
        }
        Self::of_pixels(width, height, &rgba)
    }

    fn of_pixels(width: usize, height: usize, rgba: &[u8]) -> Self {
        Self { thumb_hash: thumbhash::rgba_to_thumb_hash(width, height, rgba), dominant: dominant(rgba) }
    }
}

/// The size of the small picture, in the thumbnail's shape.
fn small((width, height): (usize, usize)) -> (usize, usize) {
    let longer = width.max(height);
    if longer <= SIDE {
        return (width, height);
    }
    let side = |px: usize| ((px * SIDE + longer / 2) / longer).max(1);
    (side(width), side(height))
}

/// One side of a plane, cut into parts. None is empty, also where there are more parts than samples: those share them.
fn parts(samples: usize, parts: usize) -> Vec<Range<usize>> {
    let part = |part: usize| {
        let from = (part * samples / parts).min(samples - 1);
        from..((part + 1) * samples / parts).max(from + 1)
    };
    (0..parts).map(part).collect()
}

/// The means of the cells into which a plane is cut, row by row. Whole rows are read one after the other: this is made for every
/// thumbnail.
fn averages(plane: &Plane, columns: usize, rows: usize) -> Vec<u8> {
    let across = parts(plane.width, columns);
    let mut means = Vec::with_capacity(columns * rows);
    let mut sums = vec![0_u32; columns];
    for down in parts(plane.height, rows) {
        sums.fill(0);
        for y in down.clone() {
            let row = plane.row(y);
            for (sum, across) in sums.iter_mut().zip(&across) {
                *sum += row[across.clone()].iter().map(|&sample| u32::from(sample)).sum::<u32>();
            }
        }
        means.extend(sums.iter().zip(&across).map(|(sum, across)| {
            let count = (across.len() * down.len()) as u32;
            ((sum + count / 2) / count) as u8
        }));
    }
    means
}

/// The mean of the pixels in the fullest part of the colour cube; of equal ones, the darkest. Pixels count by their opacity.
fn dominant(rgba: &[u8]) -> [u8; 3] {
    #[derive(Clone, Copy, Default)]
    struct Bin {
        weight: u64,
        sums: [u64; 3],
    }
    let levels = 256_usize >> LEVELS_SHIFT;
    let mut bins = vec![Bin::default(); levels.pow(3)];
    for pixel in rgba.chunks_exact(4) {
        let index = pixel[..3].iter().fold(0, |index, &sample| index * levels + usize::from(sample >> LEVELS_SHIFT));
        let bin = &mut bins[index];
        bin.weight += u64::from(pixel[3]);
        bin.sums.iter_mut().zip(pixel).for_each(|(sum, &sample)| *sum += u64::from(sample) * u64::from(pixel[3]));
    }
    let fullest = bins.iter().fold(Bin::default(), |most, bin| if bin.weight > most.weight { *bin } else { most });
    fullest.sums.map(|sum| (sum + fullest.weight / 2).checked_div(fullest.weight).unwrap_or(0) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: usize, height: usize, pixel: impl Fn(usize, usize) -> [u8; 4]) -> RgbPicture {
        let pixels: Vec<[u8; 4]> = (0..width * height).map(|i| pixel(i % width, i / width)).collect();
        RgbPicture {
            width,
            height,
            rgb: pixels.iter().flat_map(|[r, g, b, _]| [*r, *g, *b]).collect(),
            alpha: Some(Plane { width, height, samples: pixels.iter().map(|pixel| pixel[3]).collect() }),
            grey: false,
        }
    }

    #[test]
    fn base64_is_that_of_the_rfc() {
        let text = |bytes: &[u8]| Placeholder { thumb_hash: bytes.to_vec(), dominant: [0; 3] }.thumb_hash_base64();
        let pairs = [("", ""), ("f", "Zg=="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE=")];
        for (bytes, expected) in pairs {
            assert_eq!(text(bytes.as_bytes()), expected);
        }
        assert_eq!(text(&[0xfb, 0xff]), "+/8=");
    }

    #[test]
    fn the_dominant_colour_is_one_that_is_there_and_not_a_mixture() {
        let two = picture(100, 50, |x, _| if x < 60 { [200, 30, 30, 255] } else { [30, 30, 200, 255] });
        let placeholder = Placeholder::of_rgb(&two);
        let [r, g, b] = placeholder.dominant;
        assert!(r > 190 && g < 40 && b < 40, "{:?}", placeholder.dominant);
        assert_eq!(placeholder.dominant_hex(), format!("#{r:02x}{g:02x}{b:02x}"));
    }

    #[test]
    fn what_is_transparent_has_no_colour_and_is_transparent_in_the_blur() {
        let hole = picture(64, 64, |x, _| if x < 40 { [255, 255, 255, 0] } else { [10, 90, 10, 255] });
        let placeholder = Placeholder::of_rgb(&hole);
        assert_eq!(placeholder.dominant, [10, 90, 10]);
        let (_, _, rgba) = thumbhash::thumb_hash_to_rgba(&placeholder.thumb_hash).unwrap();
        assert!(rgba[3] < 110 && rgba[rgba.len() - 1] > 200, "{} {}", rgba[3], rgba[rgba.len() - 1]);
    }

    #[test]
    fn every_size_has_one_and_planes_give_the_same_as_pixels() {
        for (width, height) in [(1, 1), (1, 2000), (2000, 1), (33, 32), (31, 77), (400, 300)] {
            let grey = |x: usize, y: usize| (40 + 150 * x / width + 60 * y / height) as u8;
            let rgb = picture(width, height, |x, y| [grey(x, y), grey(x, y), grey(x, y), 255]);
            let samples = (0..width * height).map(|i| grey(i % width, i / width)).collect();
            let planes = Planes::Grey(Plane { width, height, samples });
            assert_eq!(Placeholder::of_planes(&planes), Placeholder::of_rgb(&rgb), "{width}x{height}");
        }
    }
}
