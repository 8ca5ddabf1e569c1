//! Files that were made to do harm: errors, in little time and memory, and never a panic.

use super::{ANIMATED, Random, chunk, encoded, file, frame, head, lossless, picture};
use crate::error::Error;
use crate::{Limits, Options, Size, Spec, Truncated, probe, thumbnails};

const LIMITS: Limits = Limits { max_source_pixels: 1 << 18, max_source_bytes: 1 << 22, formats: crate::Formats::ALL };

fn run(file: &[u8]) -> Result<(), Error> {
    let mut result = Ok(());
    for truncated in [Truncated::Strict, Truncated::BestEffort] {
        let options = Options { limits: LIMITS, truncated, ..Options::default() };
        result = thumbnails(file, &[Spec::new(Size::new(20, 15))], &options).map(|_| ());
    }
    result
}

/// A file of each kind.
fn files() -> Vec<Vec<u8>> {
    let (width, height) = (67, 49);
    let mut files = Vec::new();
    for channels in [3, 4] {
        let samples = picture(width, height, channels);
        files.push(encoded(&samples, width, height, |config| (config.partitions, config.quality) = (3, 40.0)));
        files.push(encoded(&samples, width, height, |config| {
            (config.filter_type, config.method, config.alpha_filtering) = (0, 6, 2);
        }));
        files.push(encoded(&samples, width, height, lossless));
        let few: Vec<u8> = samples.iter().map(|sample| sample / 128 * 200).collect();
        files.push(encoded(&few, width, height, lossless));
    }
    let parts = chunk(&files[0], b"VP8 ").to_vec();
    files.push(file(&[
        (b"VP8X", &head(ANIMATED, 100, 80)),
        (b"ANIM", &[0; 6]),
        (b"ANMF", &frame(3, 4, 67, 49, &[(b"VP8 ", &parts)])),
    ]));
    files
}

#[test]
fn every_truncation_is_survived() {
    for file in files() {
        for cut in (0..file.len()).filter(|cut| *cut < 200 || cut % 37 == 0) {
            let _ = run(&file[..cut]);
        }
    }
}

#[test]
fn thousands_of_damaged_files_are_survived() {
    let mut random = Random(3);
    for file in files() {
        for _ in 0..400 {
            let mut damaged = file.clone();
            for _ in 0..1 + random.below(4) {
                // Half of them in the headers.
                let span = if random.below(2) == 0 { damaged.len().min(100) } else { damaged.len() };
                damaged[random.below(span)] = random.below(256) as u8;
            }
            let _ = run(&damaged);
        }
    }
}

#[test]
fn a_large_size_in_a_small_file_is_no_large_allocation() {
    // The frame of a few bytes ends in its first row, the lossless picture in its first code.
    let mut vp8 = chunk(&files()[0], b"VP8 ").to_vec();
    vp8.truncate(200);
    vp8[6..10].copy_from_slice(&[0xff, 0x3f, 0xff, 0x3f]);
    let large = file(&[(b"VP8 ", &vp8)]);
    assert!(matches!(probe(&large, &LIMITS), Err(Error::TooManyPixels { width: 16_383, height: 16_383, .. })));
    assert_eq!(thumbnails(&large, &[Spec::new(Size::new(20, 15))], &Options::default()), Err(Error::Truncated));
    let large = file(&[(b"VP8L", &[0x2f, 0xff, 0xff, 0xff, 0x0f, 0, 0])]);
    assert!(thumbnails(&large, &[Spec::new(Size::new(20, 15))], &Options::default()).is_err());
}

#[test]
fn endless_frames_are_not_looked_at() {
    let picture = &files()[0];
    let first = frame(0, 0, 67, 49, &[(b"VP8 ", chunk(picture, b"VP8 "))]);
    let mut parts: Vec<(&[u8; 4], &[u8])> = vec![(b"ANIM", &[0; 6]), (b"ANMF", &first)];
    parts.resize(300_000, (b"ANMF", &[]));
    let header = head(ANIMATED, 67, 49);
    parts.insert(0, (b"VP8X", &header));
    assert_eq!(run(&file(&parts)), Ok(()));
}

/// Bits of lossless data.
#[derive(Default)]
struct Bits(Vec<u8>, usize);

impl Bits {
    fn put(&mut self, number: usize, count: usize) {
        for bit in 0..count {
            if self.1.is_multiple_of(8) {
                self.0.push(0);
            }
            *self.0.last_mut().unwrap() |= ((number >> bit & 1) as u8) << (self.1 % 8);
            self.1 += 1;
        }
    }

    /// A code whose only symbol is `symbol`.
    fn single(&mut self, symbol: usize) {
        self.put(1, 1);
        self.put(0, 1);
        self.put(1, 1);
        self.put(symbol, 8);
    }

    /// A code of `lengths` bits for each symbol, all alike; the lengths take no bits of their own.
    fn alike(&mut self, length: usize) {
        /// Places of the lengths, as far as they are needed.
        const ORDER: [usize; 15] = [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11];
        self.put(0, 1);
        self.put(ORDER.len() - 4, 4);
        for symbol in ORDER {
            self.put(usize::from(symbol == length), 3);
        }
        self.put(0, 1);
    }
}

#[test]
fn a_bomb_of_codes_is_refused() {
    let mut bits = Bits::default();
    let (width, height) = (512, 512);
    bits.put(0x2f, 8);
    bits.put(width - 1, 14);
    bits.put(height - 1, 14);
    bits.put(0, 4);
    // No transform, no cache; a map of parts of 4 x 4 pixels, whose own codes give each part another group.
    bits.put(0, 2);
    bits.put(1, 1);
    bits.put(0, 3);
    bits.put(0, 1);
    let parts = width / 4 * height / 4;
    // Green is the low byte of the group, red the high one: 8 bits each; of the lengths of green there are 280, 256 of them 8.
    bits.put(0, 1);
    bits.put(11, 4);
    for symbol in [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11] {
        bits.put(usize::from(symbol == 8), 3);
    }
    bits.put(1, 1);
    bits.put(3, 3);
    bits.put(256 - 2, 8);
    bits.alike(8);
    bits.single(0);
    bits.single(0);
    bits.single(0);
    for part in 0..parts {
        bits.put(usize::from((part & 0xff) as u8).reverse_bits() >> (usize::BITS - 8), 8);
        bits.put(usize::from((part >> 8) as u8).reverse_bits() >> (usize::BITS - 8), 8);
    }
    for _ in 0..parts {
        bits.single(0);
        bits.alike(8);
        bits.alike(8);
        bits.alike(8);
        bits.single(0);
    }
    let bomb = file(&[(b"VP8L", &bits.0)]);
    let refused = Error::Unsupported("a WebP file with more prefix codes than any program writes".into());
    assert_eq!(run(&bomb), Err(refused));
}
