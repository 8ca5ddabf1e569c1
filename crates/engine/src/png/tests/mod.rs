//! PNG files made here, so that every pixel is known, and compared with the crate `png`.

mod colours;
mod hostile;

use super::*;
use crate::tests::averages::{Pixels, requests};
use crate::tests::equality::Numbers;

/// A chunk with its length and its checksum.
fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(kind);
    hasher.update(data);
    [&(data.len() as u32).to_be_bytes(), kind.as_slice(), data, &hasher.finalize().to_be_bytes()].concat()
}

/// A picture of random samples.
#[derive(Clone)]
struct Made {
    width: usize,
    height: usize,
    code: u8,
    depth: u8,
    interlaced: bool,
    /// Of each pixel and channel, as stored.
    samples: Vec<u16>,
    palette: Vec<[u8; 3]>,
    transparent: Vec<u8>,
    /// Chunks between the header and the image data, but the palette and the transparency.
    more: Vec<u8>,
    /// The filter of every row, or one after the other.
    filter: Option<u8>,
}

impl Made {
    fn new((width, height): (usize, usize), code: u8, depth: u8) -> Self {
        let mut numbers = Numbers(width as u32 * 977 + height as u32 * 31 + u32::from(code * 17 + depth));
        let channels = [1, 0, 3, 1, 2, 0, 4][usize::from(code)];
        let samples = (0..width * height * channels).map(|_| (numbers.next() & ((1 << depth) - 1)) as u16).collect();
        let palette =
            if code == 3 { (0..1 << depth).map(|_| [(); 3].map(|()| numbers.next() as u8)).collect() } else { vec![] };
        Self {
            width,
            height,
            code,
            depth,
            interlaced: false,
            samples,
            palette,
            transparent: vec![],
            more: vec![],
            filter: None,
        }
    }

    fn channels(&self) -> usize {
        self.samples.len() / (self.width * self.height)
    }

    /// The bytes of a row of the pixels in columns `columns`.
    fn row(&self, y: usize, columns: impl Iterator<Item = usize>) -> Vec<u8> {
        let mut bits = 0;
        let mut bytes = Vec::new();
        for x in columns {
            for &sample in &self.samples[(y * self.width + x) * self.channels()..][..self.channels()] {
                if self.depth == 16 {
                    bytes.extend(sample.to_be_bytes());
                    continue;
                }
                if bits % 8 == 0 {
                    bytes.push(0);
                }
                *bytes.last_mut().unwrap() |= (sample as u8) << (8 - usize::from(self.depth) - bits % 8);
                bits += usize::from(self.depth);
            }
        }
        bytes
    }

    /// All rows, filtered.
    fn filtered(&self) -> Vec<u8> {
        let step = (self.channels() * usize::from(self.depth)).div_ceil(8);
        let passes = if self.interlaced { &PASSES[..] } else { &WHOLE };
        let mut data = Vec::new();
        let mut count = 0;
        for pass in passes.iter().filter(|pass| pass.left < self.width) {
            let mut above = vec![0; self.row(0, (pass.left..self.width).step_by(pass.step_x)).len()];
            for y in (pass.top..self.height).step_by(pass.step_y) {
                let row = self.row(y, (pass.left..self.width).step_by(pass.step_x));
                count += 1;
                let filter = self.filter.unwrap_or([4, 4, 3, 4, 4, 4, 4, 4, 0, 1, 2, 3, 0, 0, 2, 1, 0][count % 17]);
                data.push(filter);
                data.extend((0..row.len()).map(|i| {
                    let at = |row: &[u8], i: Option<usize>| i.map_or(0, |i| i32::from(row[i]));
                    let (a, b, c) =
                        (at(&row, i.checked_sub(step)), at(&above, Some(i)), at(&above, i.checked_sub(step)));
                    let p = a + b - c;
                    let paeth = [a, b, c].into_iter().min_by_key(|v| (p - v).abs()).unwrap();
                    row[i].wrapping_sub([0, a, b, (a + b) / 2, paeth][usize::from(filter)] as u8)
                }));
                above = row;
            }
        }
        data
    }

    fn header(&self) -> Vec<u8> {
        let mut header = Vec::new();
        header.extend((self.width as u32).to_be_bytes());
        header.extend((self.height as u32).to_be_bytes());
        header.extend([self.depth, self.code, 0, 0, u8::from(self.interlaced)]);
        header
    }

    /// The file, up to its image data.
    fn head(&self) -> Vec<u8> {
        let mut file = [SIGNATURE, &chunk(b"IHDR", &self.header()), &self.more].concat();
        if !self.palette.is_empty() {
            file.extend(chunk(b"PLTE", self.palette.as_flattened()));
        }
        if !self.transparent.is_empty() {
            file.extend(chunk(b"tRNS", &self.transparent));
        }
        file
    }

    fn png(&self) -> Vec<u8> {
        self.with_data(&fdeflate::compress_to_vec(&self.filtered()))
    }

    /// The file with this for its compressed data, in chunks of odd lengths.
    fn with_data(&self, data: &[u8]) -> Vec<u8> {
        let mut file = self.head();
        let mut lengths = [1, 0, 2, 13, 700, 5000].into_iter().cycle();
        let mut rest = data;
        while !rest.is_empty() {
            let (these, others) = rest.split_at(rest.len().min(lengths.next().unwrap()));
            file.extend(chunk(b"IDAT", these));
            rest = others;
        }
        file.extend(chunk(b"IEND", &[]));
        file
    }

    /// What its pixels look like, by the standard.
    fn pixels(&self) -> Pixels {
        let most = u32::from(u16::MAX >> (16 - self.depth));
        let eight = |sample: u16| ((f64::from(sample) * 255.0 / f64::from(most)).round()) as u8;
        let channels = self.channels();
        let has_alpha = self.code >= 4 || !self.transparent.is_empty();
        let key: Vec<u16> =
            self.transparent.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]) & most as u16).collect();
        let samples: Vec<u8> = self
            .samples
            .chunks_exact(channels)
            .flat_map(|pixel| {
                let mut seen: Vec<u8> = if self.code == 3 {
                    let index = usize::from(pixel[0]);
                    self.palette.get(index).copied().unwrap_or_default().to_vec()
                } else {
                    pixel.iter().map(|&sample| eight(sample)).collect()
                };
                if self.code == 3 && has_alpha {
                    seen.push(self.transparent.get(usize::from(pixel[0])).copied().unwrap_or(255));
                } else if has_alpha && self.code < 4 {
                    seen.push(if pixel == key { 0 } else { 255 });
                }
                seen
            })
            .collect();
        let channels = samples.len() / (self.width * self.height);
        Pixels { width: self.width, height: self.height, channels, alpha: has_alpha, samples }
    }
}

/// Decodes for each of several requests, and compares.
fn assert_decoded(made: &Made, what: &str) {
    let (source, pixels) = (made.png(), made.pixels());
    let png = Png::open(&source, &Limits::default()).unwrap();
    for requests in requests(made.width, made.height) {
        for truncated in [Truncated::Strict, Truncated::BestEffort] {
            let decoded = png.decode(&vec![requests.clone(); pixels.channels], truncated).unwrap();
            pixels.assert_averaged(&decoded.planes, &requests, what);
        }
    }
}

/// Every type and depth that there is.
const KINDS: [(u8, u8); 15] = [
    (0, 1),
    (0, 2),
    (0, 4),
    (0, 8),
    (0, 16),
    (2, 8),
    (2, 16),
    (3, 1),
    (3, 2),
    (3, 4),
    (3, 8),
    (4, 8),
    (4, 16),
    (6, 8),
    (6, 16),
];

const SIZES: [(usize, usize); 9] = [(1, 1), (2, 9), (3, 2), (5, 5), (9, 1), (7, 8), (33, 31), (101, 67), (4, 203)];

#[test]
fn every_kind_and_size_is_averaged_exactly() {
    for (code, depth) in KINDS {
        for size in SIZES {
            for interlaced in [false, true] {
                let made = Made { interlaced, ..Made::new(size, code, depth) };
                assert_decoded(&made, &format!("type {code}, {depth} bits, {size:?}, interlaced {interlaced}"));
            }
        }
    }
}

#[test]
fn one_colour_is_transparent_at_every_depth() {
    for (code, depth) in KINDS.into_iter().filter(|(code, _)| *code < 4) {
        for interlaced in [false, true] {
            let mut made = Made { interlaced, ..Made::new((23, 17), code, depth) };
            let middle = 100 * made.channels();
            made.transparent = if code == 3 {
                (0..made.palette.len() as u8).map(|i| i.wrapping_mul(90)).collect()
            } else {
                // Bits above the depth do not count.
                let above = if depth == 8 { 0x5500 } else { 0 };
                made.samples[middle..][..made.channels()].iter().flat_map(|s| (s | above).to_be_bytes()).collect()
            };
            assert_decoded(&made, &format!("type {code}, {depth} bits, with transparency"));
        }
    }
}

#[test]
fn the_reference_sees_the_same_files() {
    for (code, depth) in KINDS {
        for size in SIZES {
            for interlaced in [false, true] {
                let made = Made { interlaced, ..Made::new(size, code, depth) };
                let source = made.png();
                let mut reader = png::Decoder::new(std::io::Cursor::new(&source)).read_info().unwrap();
                let mut raw = vec![0; reader.output_buffer_size().unwrap()];
                reader.next_frame(&mut raw).unwrap();
                let expected: Vec<u8> = (0..made.height).flat_map(|y| made.row(y, 0..made.width)).collect();
                assert_eq!(raw, expected);
            }
        }
    }
}

#[test]
fn every_filter_alone() {
    for filter in 0..5 {
        for (code, depth) in KINDS {
            for size in [(40, 21), (3, 8)] {
                assert_decoded(
                    &Made { filter: Some(filter), ..Made::new(size, code, depth) },
                    &format!("filter {filter}"),
                );
            }
        }
    }
}

#[test]
fn grey_palettes_are_grey_and_opaque_ones_opaque() {
    let mut made = Made::new((20, 20), 3, 4);
    let alpha_and_colour = |made: &Made| {
        let source = made.png();
        let png = Png::open(&source, &Limits::default()).unwrap();
        (png.header().alpha, png.header().colour)
    };
    use crate::pixels::colour::Colour::{Grey, Rgb};
    assert_eq!(alpha_and_colour(&made), (false, Rgb));
    made.transparent = vec![255; 7];
    assert_eq!(alpha_and_colour(&made), (false, Rgb));
    made.transparent = vec![255, 3];
    assert_eq!(alpha_and_colour(&made), (true, Rgb));
    made.palette = (0..16).map(|i| [i * 7; 3]).collect();
    assert_eq!(alpha_and_colour(&made), (true, Grey));
    made.transparent.clear();
    let source = made.png();
    let png = Png::open(&source, &Limits::default()).unwrap();
    let requests = &requests(20, 20)[1];
    let decoded = png.decode(&vec![requests.clone(); 1], Truncated::Strict).unwrap();
    let Pixels { samples, .. } = made.pixels();
    let pixels =
        Pixels { width: 20, height: 20, channels: 1, alpha: false, samples: samples.into_iter().step_by(3).collect() };
    pixels.assert_averaged(&decoded.planes, requests, "grey palette");
}

#[test]
fn an_index_beyond_the_palette_is_black() {
    let mut made = Made::new((20, 20), 3, 8);
    made.palette.truncate(100);
    assert_decoded(&made, "short palette");
}
