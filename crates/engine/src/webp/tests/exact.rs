//! The decoders give the samples of the reference, to the last bit.

use std::collections::HashSet;
use std::io::Cursor;
use std::ops::Range;

use image_webp::vp8::Vp8Decoder;
use image_webp::{WebPDecodeOptions, WebPDecoder};
use webp::WebPConfig;

use super::super::alpha::AlphaRows;
use super::super::{vp8, vp8l};
use super::{chunk, encoded, lossless, picture};
use crate::error::Error;

/// The planes of a frame, with the number of the first row of each.
#[derive(Default)]
struct Planes {
    samples: [Vec<u8>; 3],
    first: [Option<usize>; 3],
}

impl vp8::RowSink for Planes {
    fn row(&mut self, plane: usize, y: usize, samples: &[u8]) -> Result<(), Error> {
        let first = *self.first[plane].get_or_insert(y);
        assert_eq!(y, first + self.samples[plane].len() / samples.len(), "rows come in their order");
        self.samples[plane].extend_from_slice(samples);
        Ok(())
    }
}

fn planes(vp8: &[u8], rows: Range<usize>) -> Planes {
    let mut planes = Planes::default();
    vp8::decode(vp8, rows, &mut planes).unwrap();
    planes
}

/// The same by image-webp, whose rows are as long as its macroblocks.
fn reference(vp8: &[u8]) -> [Vec<u8>; 3] {
    let frame = Vp8Decoder::decode_frame(Cursor::new(vp8)).unwrap();
    let (width, height) = (usize::from(frame.width), usize::from(frame.height));
    let cut = |samples: &[u8], stride: usize, width: usize, height: usize| {
        samples.chunks(stride).take(height).flat_map(|row| &row[..width]).copied().collect()
    };
    let stride = width.next_multiple_of(16);
    let (half_w, half_h) = (width.div_ceil(2), height.div_ceil(2));
    [
        cut(&frame.ybuf, stride, width, height),
        cut(&frame.ubuf, stride / 2, half_w, half_h),
        cut(&frame.vbuf, stride / 2, half_w, half_h),
    ]
}

const SIZES: [(usize, usize); 7] = [(1, 1), (16, 16), (17, 33), (2, 90), (95, 3), (150, 131), (343, 209)];

#[test]
fn lossy_planes_are_those_of_the_reference() {
    let settings = |quality: f32, method: i32, filter: [i32; 3], segments: i32, partitions: i32| {
        move |config: &mut WebPConfig| {
            (config.quality, config.method) = (quality, method);
            [config.filter_type, config.filter_strength, config.filter_sharpness] = filter;
            (config.segments, config.partitions) = (segments, partitions);
            // Or the better methods write one partition.
            config.low_memory = 1;
        }
    };
    let cases = [
        settings(75.0, 4, [1, 60, 0], 4, 0),
        settings(10.0, 6, [1, 100, 3], 4, 3),
        settings(95.0, 2, [1, 20, 7], 1, 1),
        settings(40.0, 3, [0, 60, 0], 4, 2),
        settings(60.0, 0, [0, 90, 5], 2, 0),
        settings(85.0, 5, [0, 0, 0], 3, 0),
        settings(0.0, 4, [1, 50, 4], 4, 0),
        settings(100.0, 6, [1, 40, 1], 4, 1),
    ];
    let mut features = HashSet::new();
    for (width, height) in SIZES {
        let samples = picture(width, height, 3);
        for case in &cases {
            let file = encoded(&samples, width, height, case);
            let vp8 = chunk(&file, b"VP8 ");
            assert!(planes(vp8, 0..height).samples == reference(vp8), "{width}x{height}");
            features.extend(vp8::features(vp8));
        }
    }
    // Or the pictures do not test what they should: four modes of luma and chroma each, ten of subblocks, three filters, segments,
    // macroblocks without coefficients, and 1, 2, 4 and 8 partitions.
    assert_eq!(features.len(), 4 + 4 + 10 + 3 + 1 + 1 + 4, "{features:?}");
}

#[test]
fn rows_are_the_same_when_others_are_not_wanted() {
    let (width, height) = (150, 131);
    let file = encoded(&picture(width, height, 3), width, height, |config| config.quality = 30.0);
    let vp8 = chunk(&file, b"VP8 ");
    let whole = planes(vp8, 0..height);
    for rows in [0..1, 15..16, 16..17, 31..64, 29..131, 127..129] {
        let part = planes(vp8, rows.clone());
        assert_eq!(part.first, [rows.start, rows.start / 2, rows.start / 2].map(Some));
        assert!(part.samples[0] == whole.samples[0][rows.start * width..rows.end * width], "{rows:?}");
        let half = rows.start / 2 * width / 2..rows.end.div_ceil(2) * width / 2;
        assert!(part.samples[2] == whole.samples[2][half], "{rows:?}");
    }
}

/// The pixels of a file, by image-webp: with opacity, or else opaque.
fn reference_pixels(file: &[u8]) -> Vec<u8> {
    let mut decoder = WebPDecoder::new_with_options(Cursor::new(file), WebPDecodeOptions::default()).unwrap();
    let mut pixels = vec![0; decoder.output_buffer_size().unwrap()];
    decoder.read_image(&mut pixels).unwrap();
    if decoder.has_alpha() {
        return pixels;
    }
    pixels.chunks(3).flat_map(|pixel| [pixel[0], pixel[1], pixel[2], 255]).collect()
}

fn lossless_pixels(file: &[u8]) -> Vec<u8> {
    let data = chunk(file, b"VP8L");
    let head = vp8l::Head::read(data).unwrap();
    let mut rows = vp8l::Rows::new(data).unwrap();
    let mut row = vec![0; head.width];
    let mut pixels = Vec::new();
    for _ in 0..head.height {
        rows.next(&mut row).unwrap();
        pixels.extend(row.iter().flat_map(|pixel| {
            let [blue, green, red, alpha] = pixel.to_le_bytes();
            [red, green, blue, alpha]
        }));
    }
    pixels
}

#[test]
fn lossless_pixels_are_those_of_the_reference() {
    for (width, height) in SIZES {
        for channels in [3, 4] {
            let samples = picture(width, height, channels);
            // Few colours become a palette, and up to 16 of them share a pixel.
            for colours in [2, 4, 6, 256] {
                let fewer = |(i, sample): (usize, &u8)| match colours {
                    256 => *sample,
                    _ if i % channels > 0 => 200,
                    _ => *sample / 16 * 16 % colours as u8 * 20,
                };
                let samples: Vec<_> = samples.iter().enumerate().map(fewer).collect();
                for (method, quality) in [(0, 0.0), (4, 75.0)] {
                    let file = encoded(&samples, width, height, |config| {
                        lossless(config);
                        (config.method, config.quality) = (method, quality);
                    });
                    let same = lossless_pixels(&file) == reference_pixels(&file);
                    assert!(same, "{width}x{height}, {channels} channels, {colours} colours, method {method}");
                }
            }
        }
    }
}

#[test]
fn opacity_is_that_of_the_reference() {
    for (width, height) in SIZES {
        let mut samples = picture(width, height, 4);
        // An encoder leaves out an opacity that is 255 everywhere.
        samples[3] = 17;
        for (compression, filter, quality) in
            [(0, 0, 100), (1, 0, 100), (1, 1, 100), (1, 2, 100), (1, 1, 30), (0, 2, 100)]
        {
            let file = encoded(&samples, width, height, |config| {
                (config.alpha_compression, config.alpha_filtering) = (compression, filter);
                config.alpha_quality = quality;
            });
            let mut rows = AlphaRows::new(chunk(&file, b"ALPH"), width, height).unwrap();
            let ours: Vec<u8> = (0..height).flat_map(|_| rows.next().unwrap().to_vec()).collect();
            let theirs: Vec<u8> = reference_pixels(&file).into_iter().skip(3).step_by(4).collect();
            assert!(ours == theirs, "{width}x{height}, compression {compression}, filter {filter}");
        }
    }
}

#[test]
fn each_filter_of_opacity_is_undone() {
    // Left of the first column and above the first row are zeros; the first column is predicted from above, the first row from the left.
    let expected: [&[u8]; 4] =
        [&[1, 2, 3, 4, 5, 6], &[1, 3, 6, 5, 10, 16], &[1, 3, 6, 5, 8, 12], &[1, 3, 6, 5, 12, 21]];
    for (filter, expected) in (0..).zip(expected) {
        let chunk = [filter << 2, 1, 2, 3, 4, 5, 6];
        let mut rows = AlphaRows::new(&chunk, 3, 2).unwrap();
        let made: Vec<u8> = (0..2).flat_map(|_| rows.next().unwrap().to_vec()).collect();
        assert_eq!(made, expected, "filter {filter}");
        assert_eq!(rows.next(), Err(Error::Truncated));
    }
}
