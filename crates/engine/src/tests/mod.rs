//! Tests of the public API: bytes in, bytes out. The sources are generated here, so that their contents are known.

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;

use super::*;
use crate::jpeg::{Jpeg, header};
use crate::picture::{Decoded, Header};
use crate::pixels::plane::Plane;

pub(crate) mod averages;
mod bad_files;
pub(crate) mod equality;
mod followed;
mod reference;
mod right;
mod scans;

/// A smooth picture in which every position can be recognised: red grows to the right, green downwards, blue falls to the right.
pub(crate) fn scene(x: f64, y: f64) -> [f64; 3] {
    [40.0 + 170.0 * x, 40.0 + 170.0 * y, 210.0 - 170.0 * x]
}

fn rgb_scene(width: usize, height: usize) -> Vec<u8> {
    let at = |i: usize, n: usize| (i as f64 + 0.5) / n as f64;
    (0..height)
        .flat_map(|y| {
            (0..width).flat_map(move |x| scene(at(x, width), at(y, height)).map(|sample| sample.round() as u8))
        })
        .collect()
}

fn encoded(samples: &[u8], (width, height): (usize, usize), colour: ColorType, sampling: SamplingFactor) -> Vec<u8> {
    let mut jpeg = Vec::new();
    let mut encoder = Encoder::new(&mut jpeg, 95);
    encoder.set_sampling_factor(sampling);
    encoder.encode(samples, width as u16, height as u16, colour).unwrap();
    jpeg
}

fn photo(width: usize, height: usize) -> Vec<u8> {
    encoded(&rgb_scene(width, height), (width, height), ColorType::Rgb, SamplingFactor::R_4_2_0)
}

/// `jpeg` with a segment inserted after its start marker.
fn with_segment(jpeg: &[u8], marker: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u16 + 2).to_be_bytes();
    [&jpeg[..2], &[0xff, marker], &length, payload, &jpeg[2..]].concat()
}

fn exif(orientation: u8) -> Vec<u8> {
    let mut app1 = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    app1.extend([orientation, 0, 0, 0, 0, 0, 0]);
    app1.extend(b"GPS 52.5162 N 13.3777 E");
    app1
}

fn spec(width: u32, height: u32, fit: Fit) -> Spec {
    Spec { fit, quality: 95, ..Spec::new(Size::new(width, height)) }
}

fn one(source: &[u8], spec: Spec) -> Thumbnail {
    thumbnails(source, &[spec], &Options::default()).unwrap().remove(0)
}

/// Red, green and blue of a finished thumbnail.
pub(crate) fn decoded(thumbnail: &Thumbnail) -> Vec<u8> {
    let mut decoder = JpegDecoder::new(ZCursor::new(&thumbnail.bytes));
    let pixels = decoder.decode().unwrap();
    let (width, height) = decoder.info().map(|info| (u32::from(info.width), u32::from(info.height))).unwrap();
    assert_eq!((width, height), (thumbnail.width, thumbnail.height), "what is said of a thumbnail is what it is");
    pixels
}

/// Compares a thumbnail with the scene as mapped by `to_source` (positions in 0..1).
fn assert_shows(thumbnail: &Thumbnail, what: &str, to_source: impl Fn(f64, f64) -> (f64, f64)) {
    let (width, height) = (thumbnail.width as usize, thumbnail.height as usize);
    for (i, pixel) in decoded(thumbnail).chunks_exact(3).enumerate() {
        let (x, y) = ((i % width) as f64 + 0.5, (i / width) as f64 + 0.5);
        let (x, y) = to_source(x / width as f64, y / height as f64);
        let expected = scene(x, y);
        for (sample, expected) in pixel.iter().zip(expected) {
            // A smooth picture encoded twice at quality 95 differs by six levels; a wrong position by twenty.
            assert!((f64::from(*sample) - expected).abs() < 8.0, "{what}: pixel {i} is {pixel:?}, not {expected:?}");
        }
    }
}

#[test]
fn cover_shows_the_middle() {
    let source = photo(400, 300);
    let square = one(&source, spec(60, 60, Fit::Cover));
    assert_eq!((square.width, square.height), (60, 60));
    assert_shows(&square, "cover", |x, y| (0.125 + 0.75 * x, y));
    let wide = one(&source, spec(100, 30, Fit::Cover));
    assert_shows(&wide, "cover, wide", |x, y| (x, 0.3 + 0.4 * y));
    let larger = one(&source, spec(501, 499, Fit::Cover));
    assert_eq!((larger.width, larger.height), (501, 499));
    let shown = 501.0 / 499.0 * 0.75;
    assert_shows(&larger, "cover, enlarged", |x, y| (0.5 + shown * (x - 0.5), y));
}

#[test]
fn contain_and_fill_show_everything() {
    let source = photo(400, 300);
    let inside = one(&source, spec(60, 60, Fit::Contain));
    assert_eq!((inside.width, inside.height), (60, 45));
    assert_shows(&inside, "contain", |x, y| (x, y));
    let same = one(&source, spec(4000, 4000, Fit::Contain));
    assert_eq!((same.width, same.height), (400, 300));
    assert_shows(&same, "contain, not enlarged", |x, y| (x, y));
    let stretched = one(&source, spec(33, 77, Fit::Fill));
    assert_eq!((stretched.width, stretched.height), (33, 77));
    assert_shows(&stretched, "fill", |x, y| (x, y));
}

#[test]
fn every_orientation_is_applied_and_nothing_else_of_the_metadata_kept() {
    let stored = photo(120, 90);
    for orientation in 1..=8 {
        let source = with_segment(&stored, 0xe1, &exif(orientation));
        let turned = orientation >= 5;
        // Odd sides too: there chroma is off the luma's centre, to a side that depends on the orientation.
        for (width, height) in [(40, 30), (39, 29), (21, 50)] {
            let thumbnail = one(&source, spec(width, height, Fit::Fill));
            assert_eq!((thumbnail.width, thumbnail.height), (width, height));
            assert_shows(&thumbnail, &format!("orientation {orientation}"), |x, y| match orientation {
                1 => (x, y),
                2 => (1.0 - x, y),
                3 => (1.0 - x, 1.0 - y),
                4 => (x, 1.0 - y),
                5 => (y, x),
                6 => (y, 1.0 - x),
                7 => (1.0 - y, 1.0 - x),
                _ => (1.0 - y, x),
            });
            assert!(!thumbnail.bytes.windows(3).any(|bytes| bytes == b"GPS"));
        }
        let info = probe(&source, &Limits::default()).unwrap();
        let upright = if turned { (90, 120) } else { (120, 90) };
        assert_eq!((info.width, info.height, info.orientation), (upright.0, upright.1, u16::from(orientation)));
    }
}

#[test]
fn grey_stays_grey() {
    let samples: Vec<u8> = (0..64 * 48).map(|i| (i % 64 * 3 + 20) as u8).collect();
    let source = encoded(&samples, (64, 48), ColorType::Luma, SamplingFactor::R_4_4_4);
    let thumbnail = one(&source, spec(16, 12, Fit::Cover));
    assert_eq!(probe(&thumbnail.bytes, &Limits::default()).unwrap().colour, Colour::Grey);
    for (i, pixel) in decoded(&thumbnail).chunks_exact(3).enumerate() {
        let sample = pixel[0];
        let expected = 20.0 + 3.0 * ((i % 16) as f64 * 4.0 + 1.5);
        assert!((f64::from(sample) - expected).abs() < 5.0, "pixel {i} is {sample}, not {expected}");
    }
}

#[test]
fn ink_becomes_light() {
    // The encoder writes CMYK as Adobe does, inverted, from ink where 255 is full.
    let ink: Vec<u8> = [200, 100, 0, 51].repeat(64 * 48);
    for colour in [ColorType::Cmyk, ColorType::CmykAsYcck] {
        let source = encoded(&ink, (64, 48), colour, SamplingFactor::R_4_4_4);
        let inverted = matches!(
            probe(&source, &Limits::default()).unwrap().colour,
            Colour::Cmyk { inverted: true } | Colour::Ycck { inverted: true }
        );
        assert!(inverted);
        let thumbnail = one(&source, spec(16, 12, Fit::Cover));
        for pixel in decoded(&thumbnail).chunks_exact(3) {
            // (255 - ink) * (255 - 51) / 255
            for (sample, expected) in pixel.iter().zip([44.0, 124.0, 204.0]) {
                assert!((f64::from(*sample) - expected).abs() < 6.0, "{colour:?} became {pixel:?}");
            }
        }
    }
}

#[test]
fn an_embedded_profile_is_applied() {
    let flat = encoded(&[200, 60, 60].repeat(64 * 48), (64, 48), ColorType::Rgb, SamplingFactor::R_4_4_4);
    let mut chunk = b"ICC_PROFILE\0\x01\x01".to_vec();
    chunk.extend(moxcms::ColorProfile::new_display_p3().encode().unwrap());
    let source = with_segment(&flat, 0xe2, &chunk);
    assert!(probe(&source, &Limits::default()).unwrap().icc_profile);
    let plain = decoded(&one(&flat, spec(16, 12, Fit::Cover)));
    let converted = decoded(&one(&source, spec(16, 12, Fit::Cover)));
    // Display P3 (200, 60, 60) is sRGB (216, 45, 54), by the two matrices and the common curve.
    let near = |pixels: &[u8], expected: [u8; 3]| pixels.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 4);
    assert!(near(&plain[..3], [200, 60, 60]), "{:?}", &plain[..3]);
    assert!(near(&converted[..3], [216, 45, 54]), "{:?}", &converted[..3]);
    let thumbnail = one(&source, spec(16, 12, Fit::Cover));
    assert!(!thumbnail.bytes.windows(11).any(|bytes| bytes == b"ICC_PROFILE"), "sRGB needs no profile");
}

#[test]
fn several_sizes_are_those_asked_for_one_by_one() {
    let source = photo(400, 300);
    let specs = [spec(51, 49, Fit::Cover), spec(400, 300, Fit::Contain), spec(10, 100, Fit::Fill)];
    let together = thumbnails(&source, &specs, &Options::default()).unwrap();
    assert_eq!(together.len(), 3);
    for (thumbnail, spec) in together.iter().zip(specs) {
        let alone = one(&source, spec);
        assert_eq!((thumbnail.width, thumbnail.height), (alone.width, alone.height));
        let (a, b) = (decoded(thumbnail), decoded(&alone));
        assert!(a.iter().zip(&b).all(|(a, b)| a.abs_diff(*b) <= 12), "{spec:?}");
    }
    assert_eq!(thumbnails(&source, &[], &Options::default()), Ok(vec![]));
}

#[test]
fn colour_is_halved_up_to_quality_90() {
    let source = photo(400, 300);
    let sampling = |quality| {
        let spec = Spec { quality, ..spec(200, 150, Fit::Cover) };
        let (_, frame, _) = header::read(&one(&source, spec).bytes).unwrap();
        (frame.components[0].h, frame.components[0].v)
    };
    assert_eq!((sampling(90), sampling(91)), ((2, 2), (1, 1)));
}

#[test]
fn limits_are_checked_from_the_header() {
    let source = photo(400, 300);
    let refused = |limits: Limits| {
        let options = Options { limits, ..Options::default() };
        let error = thumbnails(&source, &[spec(10, 10, Fit::Cover)], &options).unwrap_err();
        assert_eq!(probe(&source, &limits), Err(error.clone()));
        error
    };
    let most = Limits::default();
    assert_eq!(
        refused(Limits { max_source_pixels: 119_999, ..most }),
        Error::TooManyPixels { width: 400, height: 300, max: 119_999 }
    );
    assert_eq!(
        refused(Limits { max_source_bytes: 100, ..most }),
        Error::TooManyBytes { bytes: source.len(), max: 100 }
    );
    let mut huge = source.clone();
    let frame = huge.windows(2).position(|bytes| bytes == [0xff, 0xc0]).unwrap();
    huge[frame + 5..frame + 9].copy_from_slice(&[60_000u16.to_be_bytes(), 60_000u16.to_be_bytes()].concat());
    let error = thumbnails(&huge, &[spec(10, 10, Fit::Cover)], &Options::default()).unwrap_err();
    assert_eq!(error.to_string(), "the image is 60000x60000 (3600 Mpx); the limit is 268 Mpx");
}

#[test]
fn todays_cameras_are_within_the_limits() {
    // Fujifilm GFX100, and phones with 108 and 200 Mpx.
    for (width, height) in [(11_648, 8_736), (12_000, 9_000), (16_320, 12_240)] {
        assert_eq!(Limits::default().check_pixels(width, height), Ok(()));
    }
    assert!(Limits::default().check_pixels(20_000, 20_000).is_err());
}

#[test]
fn specs_out_of_range_are_refused() {
    let source = photo(40, 30);
    let good = spec(10, 10, Fit::Cover);
    for bad in [
        spec(0, 10, Fit::Cover),
        spec(10, MAX_SIDE_PX + 1, Fit::Cover),
        Spec { quality: 0, ..good },
        Spec { quality: 101, ..good },
    ] {
        assert!(matches!(thumbnails(&source, &[good, bad], &Options::default()), Err(Error::BadSpec(_))), "{bad:?}");
    }
}

#[test]
fn what_is_no_picture_is_named() {
    for bytes in [&b""[..], b"\x89PNG\r\n\x1a\r", b"\xff\xd9", b"hello"] {
        let error = thumbnails(bytes, &[spec(10, 10, Fit::Cover)], &Options::default()).unwrap_err();
        assert_eq!(error, Error::UnknownFormat { found: sniff::kind(bytes), accepted: Formats::ALL });
    }
}

#[test]
fn a_truncated_file_is_an_error_or_on_request_a_part() {
    let source = photo(400, 300);
    let best_effort = Options { truncated: Truncated::BestEffort, ..Options::default() };
    let specs = [spec(40, 30, Fit::Cover)];
    for cut in [source.len() / 2, source.len() * 3 / 4, source.len() - 40] {
        assert_eq!(thumbnails(&source[..cut], &specs, &Options::default()), Err(Error::Truncated), "cut at {cut}");
        let part = thumbnails(&source[..cut], &specs, &best_effort).unwrap().remove(0);
        let top = decoded(&part)[40 * 3 / 2];
        assert!(top.abs_diff(125) < 12, "the top is there, red in the middle is {top}");
    }
    // In the middle of the header there is no picture yet.
    assert_eq!(thumbnails(&source[..100], &specs, &best_effort), Err(Error::Truncated));
}
