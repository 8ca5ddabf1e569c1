//! Damaged and malicious files: each must result in an error or a picture, quickly, and within the limits.

use super::*;

fn progressive_photo() -> Vec<u8> {
    let mut jpeg = Vec::new();
    let mut encoder = Encoder::new(&mut jpeg, 80);
    encoder.set_sampling_factor(SamplingFactor::R_4_2_0);
    encoder.set_progressive(true);
    encoder.encode(&rgb_scene(56, 40), 56, 40, ColorType::Rgb).unwrap();
    jpeg
}

fn restarting_photo() -> Vec<u8> {
    let mut jpeg = Vec::new();
    let mut encoder = Encoder::new(&mut jpeg, 80);
    encoder.set_sampling_factor(SamplingFactor::R_4_2_2);
    encoder.set_restart_interval(3);
    encoder.encode(&rgb_scene(56, 40), 56, 40, ColorType::Rgb).unwrap();
    jpeg
}

fn samples() -> [Vec<u8>; 3] {
    [photo(56, 40), progressive_photo(), restarting_photo()]
}

/// Makes thumbnails with both settings of `truncated`; returns the result of the strict one.
fn make(source: &[u8]) -> Result<Vec<Thumbnail>, Error> {
    let specs = [spec(12, 12, Fit::Cover), spec(30, 3, Fit::Fill)];
    let best_effort = Options { truncated: Truncated::BestEffort, ..Options::default() };
    if let Ok(made) = thumbnails(source, &specs, &best_effort) {
        assert!(made.iter().all(|thumbnail| probe(&thumbnail.bytes, &Limits::default()).is_ok()));
    }
    thumbnails(source, &specs, &Options::default())
}

/// The segments of `jpeg`, as (marker, offset of its FF).
fn segments(jpeg: &[u8]) -> Vec<(u8, usize)> {
    let mut at = 2;
    let mut found = Vec::new();
    while let Ok(segment) = header::next_segment(jpeg, at) {
        let length = if segment.marker == header::marker::EOI { 2 } else { segment.payload.len() + 4 };
        found.push((segment.marker, segment.end - length));
        at = segment.end;
    }
    found
}

#[test]
fn cut_at_every_byte() {
    for source in samples() {
        for cut in 0..source.len() {
            let made = make(&source[..cut]);
            // If only the end marker is missing, the picture is complete.
            if cut >= source.len() - 2 {
                assert_eq!(made, make(&source), "cut at {cut}");
                continue;
            }
            let error = made.unwrap_err();
            let expected =
                if cut < 2 { matches!(error, Error::UnknownFormat { .. }) } else { error == Error::Truncated };
            assert!(expected, "cut at {cut} of {}: {error:?}", source.len());
        }
    }
}

#[test]
fn every_bit_flipped() {
    for source in samples() {
        for byte in 0..source.len() {
            let mut bad = source.clone();
            bad[byte] ^= 1 << (byte % 8);
            let _ = make(&bad);
        }
    }
}

#[test]
fn wrong_lengths() {
    for source in samples() {
        for (marker, at) in segments(&source) {
            for length in [0_u16, 1, 2, 3, 7, 0xffff] {
                if marker != header::marker::EOI {
                    let mut bad = source.clone();
                    bad[at + 2..at + 4].copy_from_slice(&length.to_be_bytes());
                    let _ = make(&bad);
                }
            }
        }
    }
}

#[test]
fn segments_missing_twice_and_empty() {
    for source in samples() {
        for (marker, at) in segments(&source) {
            if marker == header::marker::EOI {
                continue;
            }
            let length = usize::from(u16::from_be_bytes([source[at + 2], source[at + 3]]));
            let without = [&source[..at], &source[at + 2 + length..]].concat();
            let twice = [&source[..at + 2 + length], &source[at..]].concat();
            let emptied = [&source[..at], &[0xff, marker, 0, 2], &source[at + 2 + length..]].concat();
            let needed = [0xc0, 0xc2, 0xc4, 0xda, 0xdb].contains(&marker);
            let lost = make(&without);
            assert!(!needed || lost.is_err() || marker == 0xc4 || marker == 0xda, "without FF{marker:02X}");
            let _ = make(&twice);
            let _ = make(&emptied);
        }
    }
}

#[test]
fn tables_of_zeros() {
    for source in samples() {
        for (marker, at) in segments(&source) {
            if marker == 0xc4 || marker == 0xdb {
                let length = usize::from(u16::from_be_bytes([source[at + 2], source[at + 3]]));
                let mut bad = source.clone();
                bad[at + 5..at + 2 + length].fill(0);
                let _ = make(&bad);
                bad[at + 5..at + 2 + length].fill(0xff);
                let _ = make(&bad);
            }
        }
    }
}

#[test]
fn sides_that_the_data_is_not_enough_for() {
    for source in samples() {
        let at = segments(&source).into_iter().find(|(marker, _)| [0xc0, 0xc2].contains(marker)).unwrap().1;
        for (width, height) in [(10_000_u16, 10_000_u16), (65_535, 1), (1, 65_535), (0, 10), (10, 0), (57, 41)] {
            let mut bad = source.clone();
            bad[at + 5..at + 7].copy_from_slice(&height.to_be_bytes());
            bad[at + 7..at + 9].copy_from_slice(&width.to_be_bytes());
            let made = thumbnails(&bad, &[spec(20, 20, Fit::Cover)], &Options::default());
            let small = usize::from(width) * usize::from(height) < 56 * 40;
            assert!(made.is_err() || small || width == 57, "{width}x{height}");
            if width == 10_000 {
                assert_eq!(make(&bad), Err(Error::Truncated), "and that without decoding 100 megapixels of nothing");
            }
        }
    }
}

#[test]
fn hundreds_of_scans_are_refused_before_the_first_is_read() {
    let source = progressive_photo();
    let (_, last) = segments(&source).into_iter().rfind(|(marker, _)| *marker == header::marker::SOS).unwrap();
    let scan = &source[last..source.len() - 2];
    let mut bad = source[..source.len() - 2].to_vec();
    for _ in 0..header::MAX_SCANS {
        bad.extend_from_slice(scan);
    }
    bad.extend([0xff, 0xd9]);
    assert_eq!(make(&bad), Err(Error::TooManyScans { max: header::MAX_SCANS }));
}

/// Entropy-coded data from codes (bits, length), with byte stuffing and padded with ones.
pub(super) fn coded(codes: impl Iterator<Item = (u32, u32)>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u64, 0);
    let mut put = |bits: u64| {
        bytes.push(bits as u8);
        if bits as u8 == 0xff {
            bytes.push(0);
        }
    };
    for (code, length) in codes {
        (bits, count) = (bits << length | u64::from(code), count + length);
        while count >= 8 {
            count -= 8;
            put(bits >> count);
        }
    }
    if count > 0 {
        put(bits << (8 - count) | ((1 << (8 - count)) - 1));
    }
    bytes
}

/// The most work for the fewest bytes: 25 megapixels with one bit per block, and then almost as many scans as are allowed,
/// each of a few bytes that skip all blocks, and each needed by a large thumbnail. Every scan costs one visit of every
/// block, and no more: [`header::MAX_SCANS`] times the blocks, which are at most eight per byte.
#[test]
fn a_small_file_of_many_scans_that_are_all_valid() {
    const BLOCKS: usize = 632;
    const BANDS: [(u8, u8); 7] = [(1, 9), (10, 18), (19, 27), (28, 36), (37, 45), (46, 54), (55, 63)];
    let mut file = vec![0xff, 0xd8];
    let mut segment = |marker: u8, payload: &[u8]| {
        file.extend([0xff, marker]);
        file.extend((payload.len() as u16 + 2).to_be_bytes());
        file.extend(payload);
    };
    segment(0xdb, &[&[0][..], &[1; 64]].concat());
    let side = (8 * BLOCKS as u16).to_be_bytes();
    segment(0xc2, &[8, side[0], side[1], side[0], side[1], 1, 1, 0x11, 0]);
    // One code of one bit each: no difference; the end of a band for 2^14 blocks and as many more as 14 bits say.
    let one = |class: u8, symbol: u8| [&[class << 4, 1][..], &[0; 15], &[symbol]].concat();
    segment(0xc4, &one(0, 0));
    segment(0xc4, &one(1, 0xe0));
    let mut scan = |first: u8, last: u8, approximation: u8, data: &[u8]| {
        file.extend([0xff, 0xda, 0, 8, 1, 1, 0, first, last, approximation]);
        file.extend(data);
    };
    scan(0, 0, 0, &coded(std::iter::repeat_n((0, 1), BLOCKS * BLOCKS)));
    let nothing = coded(std::iter::repeat_n((0x3fff, 15), (BLOCKS * BLOCKS).div_ceil(32_767)));
    let mut scans = 1;
    for (first, last) in BANDS {
        for low in (0..=12).rev() {
            let high = if low == 12 { 0 } else { low + 1 };
            scan(first, last, high << 4 | low, &nothing);
            scans += 1;
        }
    }
    file.extend([0xff, 0xd9]);
    assert!(scans > 90 && scans <= header::MAX_SCANS && file.len() < 60_000, "{scans} scans, {} bytes", file.len());
    let made = thumbnails(&file, &[spec(3000, 3000, Fit::Cover)], &Options::default()).unwrap();
    assert!(decoded(&made[0]).iter().all(|&sample| sample == 128));
}
