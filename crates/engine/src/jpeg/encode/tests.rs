use jpeg_encoder::{Encoder, ImageBuffer, JpegColorType, QuantizationTableType, SamplingFactor};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::*;
use crate::geometry::{PlaneRequest, Window};
use crate::jpeg::dct::{BLOCK, NATURAL};
use crate::jpeg::decode;
use crate::jpeg::header::{self, marker};
use crate::jpeg::huffman::HuffmanSpec;
use crate::limits::Truncated;

/// What [`encode`] does, by the crate jpeg-encoder, with tables made for the picture, and with our steps or annex K's.
fn encode_by_library(planes: &Planes, quality: u8, our_steps: bool) -> Vec<u8> {
    let mut jpeg = Vec::new();
    let mut encoder = Encoder::new(&mut jpeg, quality);
    let chroma = planes.chroma();
    let factor = if chroma == Chroma::Halved { SamplingFactor::R_4_2_0 } else { SamplingFactor::R_4_4_4 };
    encoder.set_sampling_factor(factor);
    encoder.set_optimized_huffman_tables(true);
    if our_steps {
        let table = |luma| {
            let mut natural = Box::new([0; BLOCK]);
            for (step, place) in quantisation::steps(luma, chroma, quality).into_iter().zip(NATURAL) {
                natural[usize::from(place)] = u16::from(step);
            }
            QuantizationTableType::Custom(natural)
        };
        encoder.set_quantization_tables(table(true), table(false));
    }
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
                    if self.0.chroma() == Chroma::Halved {
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

/// A file's planes by our decoder, at full size.
fn decoded(jpeg: &[u8]) -> Vec<Plane> {
    let (_, frame, _) = header::read(jpeg).unwrap();
    let (width, height) = (frame.width, frame.height);
    let window = Window { left: 0.0, top: 0.0, width: width as f64, height: height as f64 };
    let requests = vec![vec![PlaneRequest { window, width, height }]; frame.components.len()];
    let planes = decode::decode(jpeg, &frame, &requests, Truncated::Strict).unwrap();
    planes.into_iter().map(|placed| placed.plane).collect()
}

/// By component, the mean square of what `jpeg` differs from `planes`.
fn errors(jpeg: &[u8], planes: &Planes) -> Vec<f64> {
    let planes: Vec<&Plane> = match planes {
        Planes::Grey(grey) => vec![grey],
        Planes::YCbCr(all) => all.iter().collect(),
    };
    let error = |(made, plane): (Plane, &Plane)| {
        assert_eq!((made.width, made.height), (plane.width, plane.height));
        let square = |(a, b): (&u8, &u8)| f64::from(a.abs_diff(*b)).powi(2);
        made.samples.iter().zip(&plane.samples).map(square).sum::<f64>() / plane.samples.len() as f64
    };
    decoded(jpeg).into_iter().zip(planes).map(error).collect()
}

/// Sizes from one sample to many MCUs, whole and not.
const SIZES: [(usize, usize); 11] =
    [(1, 1), (2, 1), (1, 19), (19, 1), (7, 9), (8, 8), (16, 16), (17, 33), (51, 49), (100, 75), (255, 64)];

/// Grey, 4:4:4 and 4:2:0.
fn chromas(width: usize, height: usize) -> [Option<(usize, usize)>; 3] {
    [None, Some((width, height)), Some((width.div_ceil(2), height.div_ceil(2)))]
}

#[test]
fn our_files_are_as_good_as_the_references_of_the_same_steps_and_smaller() {
    for (width, height) in SIZES {
        for chroma in chromas(width, height) {
            for quality in [1, 30, 80, 90, 97, 100] {
                let what = format!("{width}x{height}, colour {chroma:?}, quality {quality}");
                let planes = picture(width, height, chroma);
                let ours = encode(&planes, quality);
                let theirs = encode_by_library(&planes, quality, true);
                // The dead zone's part: at quality 100 there is none. In a small picture few coefficients decide.
                let (factor, more) = match (quality, width * height) {
                    (100, _) => (1.02, 0.1),
                    (_, ..100) => (1.25, 100.0),
                    _ => (1.25, 2.0),
                };
                for (our_error, their_error) in errors(&ours, &planes).iter().zip(errors(&theirs, &planes)) {
                    assert!(*our_error <= factor * their_error + more, "{what}: {our_error}, theirs {their_error}");
                }
                // Both round coefficients that lie between two steps as they like.
                assert!(
                    ours.len() <= theirs.len() + theirs.len() / 200,
                    "{what}: {}, theirs {}",
                    ours.len(),
                    theirs.len()
                );
            }
        }
    }
}

/// Noise at every scale, stronger the coarser it is: as detailed as a photograph.
fn landscape(width: usize, height: usize, seed: u32, strength: f64) -> Plane {
    let lattice = |x: usize, y: usize, cell: usize| {
        let mixed = (x as u32 * 0x9e37_79b9) ^ (y as u32 * 0x85eb_ca6b) ^ (cell as u32 * 0xc2b2_ae35) ^ seed;
        f64::from((mixed ^ mixed >> 15).wrapping_mul(0x2c1b_3c6d) >> 16 & 255) / 128.0 - 1.0
    };
    let sample = |i: usize| {
        let (x, y) = (i % width, i / width);
        let octave = |cell: usize| {
            let (column, row, u, v) = (x / cell, y / cell, (x % cell) as f64, (y % cell) as f64);
            let (u, v) = (u / cell as f64, v / cell as f64);
            let upper = lattice(column, row, cell) * (1.0 - u) + lattice(column + 1, row, cell) * u;
            let lower = lattice(column, row + 1, cell) * (1.0 - u) + lattice(column + 1, row + 1, cell) * u;
            (upper * (1.0 - v) + lower * v) * strength * (cell as f64).powf(0.8)
        };
        (128.0 + [1, 2, 4, 8, 16, 32].map(octave).iter().sum::<f64>()) as u8
    };
    Plane { width, height, samples: (0..width * height).map(sample).collect() }
}

fn landscapes(width: usize, height: usize, chroma: Option<(usize, usize)>) -> Planes {
    let luma = landscape(width, height, 1, 3.0);
    match chroma {
        None => Planes::Grey(luma),
        Some((w, h)) => Planes::YCbCr([luma, landscape(w, h, 2, 0.7), landscape(w, h, 3, 0.7)]),
    }
}

#[test]
fn of_a_natural_picture_our_files_are_smaller_than_the_references_at_the_same_error() {
    let (width, height) = (200, 152);
    // Not halved colour: what luma then saves is spent on colour.
    for chroma in [None, Some((width, height))] {
        let planes = landscapes(width, height, chroma);
        for quality in [30, 50, 70, 80, 88] {
            let theirs = encode_by_library(&planes, quality, false);
            let their_error = errors(&theirs, &planes)[0];
            let as_good = |&quality: &u8| errors(&encode(&planes, quality), &planes)[0] <= their_error;
            let ours = encode(&planes, (1..=100).find(as_good).unwrap());
            let ratio = ours.len() as f64 / theirs.len() as f64;
            assert!(ratio < 0.98, "colour {chroma:?}, quality {quality}: {ratio}");
        }
    }
}

#[test]
fn a_higher_quality_is_a_larger_and_better_file() {
    let (width, height) = (96, 88);
    for chroma in chromas(width, height) {
        let planes = landscapes(width, height, chroma);
        let (mut last_bytes, mut last_error) = (0, f64::MAX);
        for quality in 1..=100 {
            let jpeg = encode(&planes, quality);
            let error = errors(&jpeg, &planes)[0];
            let what = format!("colour {chroma:?}, quality {quality}");
            // A step that hits the picture's own values is better by chance.
            assert!(jpeg.len() * 100 >= last_bytes * 98, "{what}: {} bytes, {last_bytes} before", jpeg.len());
            assert!(error <= last_error * 1.05 + 0.05, "{what}: error {error}, {last_error} before");
            (last_bytes, last_error) = (jpeg.len(), error);
        }
        // Only rounding remains.
        assert!(last_error < 0.2, "colour {chroma:?}: {last_error}");
    }
}

#[test]
fn our_decoder_and_the_reference_read_the_same() {
    for (width, height) in SIZES {
        for chroma in chromas(width, height) {
            for quality in [1, 40, 80, 100] {
                let planes = picture(width, height, chroma);
                let jpeg = encode(&planes, quality);
                let options = DecoderOptions::default().jpeg_set_out_colorspace(ColorSpace::Luma);
                let theirs = JpegDecoder::new_with_options(ZCursor::new(&jpeg), options).decode().unwrap();
                let ours = decoded(&jpeg).remove(0);
                let what = format!("{width}x{height}, colour {chroma:?}, quality {quality}");
                assert_eq!((ours.width, ours.height, theirs.len()), (width, height, width * height), "{what}");
                let most = ours.samples.iter().zip(&theirs).map(|(a, b)| a.abs_diff(*b)).max();
                assert!(most <= Some(1), "{what}: they differ by {most:?}");
            }
        }
    }
}

/// The tables of a file's DHT segments.
fn huffman_tables(jpeg: &[u8]) -> Vec<HuffmanSpec> {
    let (mut at, mut tables) = (2, Vec::new());
    while jpeg[at + 1] != marker::SOS {
        let length = usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
        let mut payload = &jpeg[at + 4..at + 2 + length];
        if jpeg[at + 1] == marker::DHT {
            while let [_, rest @ ..] = payload {
                let (table, rest) = HuffmanSpec::read(rest).unwrap();
                tables.push(table);
                payload = rest;
            }
        }
        at += 2 + length;
    }
    tables
}

#[test]
fn tables_have_only_what_the_picture_has() {
    let plain = |w, h| Plane { width: w, height: h, samples: vec![70; w * h] };
    let planes = Planes::YCbCr([plain(64, 64), plain(32, 32), plain(32, 32)]);
    // The first block's difference and none; blocks without AC.
    let symbols: Vec<usize> = huffman_tables(&encode(&planes, 80)).iter().map(|table| table.symbols.len()).collect();
    assert_eq!(symbols, [2, 1, 2, 1]);
    let noise = huffman_tables(&encode(&picture(255, 64, Some((255, 64))), 100));
    assert!(noise.iter().all(|table| table.symbols.len() > 4));
}

#[test]
fn the_strongest_noise_takes_no_more_than_is_reckoned() {
    let mut numbers = 1_u32;
    let mut noise = |width, height| {
        let sample = |_| {
            numbers = numbers.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if numbers >> 31 == 0 { 0 } else { 255 }
        };
        Plane { width, height, samples: (0..width * height).map(sample).collect() }
    };
    for (width, height) in [(1, 1), (51, 49), (160, 120)] {
        for (chroma, qualities) in chromas(width, height).into_iter().zip([1..=100, 91..=100, 1..=90]) {
            let planes = match chroma {
                None => Planes::Grey(noise(width, height)),
                Some((w, h)) => Planes::YCbCr([noise(width, height), noise(w, h), noise(w, h)]),
            };
            for quality in qualities {
                let bytes = encode(&planes, quality);
                let most = most_bytes(width as u64, height as u64, chroma.is_none(), quality);
                let what = format!("{width}x{height}, colour {chroma:?}, quality {quality}");
                assert!(bytes.capacity() as u64 <= most, "{what}: {} of {most}", bytes.capacity());
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
