//! What a file's chunks mean for the thumbnail.

use super::{ANIMATED, chunk, encoded, file, frame, head, lossless, picture, rgb, shown};
use crate::error::Error;
use crate::{Colour, Format, Limits, Options, Truncated, probe};

/// A picture of one colour.
fn plain(width: usize, height: usize, colour: &[u8], without_loss: bool) -> Vec<u8> {
    let samples = colour.repeat(width * height);
    encoded(&samples, width, height, |config| {
        if without_loss {
            lossless(config);
        }
        config.alpha_compression = 1;
    })
}

fn options() -> Options {
    Options::default()
}

fn colour_at(file: &[u8], x: usize, y: usize) -> [u8; 3] {
    let thumbnail = shown(file, &options()).unwrap();
    let at = 3 * (y * thumbnail.width as usize + x);
    *rgb(&thumbnail)[at..].first_chunk().unwrap()
}

#[track_caller]
fn assert_near(found: [u8; 3], expected: [u8; 3]) {
    assert!(found.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 4), "{found:?} is not {expected:?}");
}

#[test]
fn colours_stay_through_all_kinds() {
    for colour in [[200, 30, 60], [0, 0, 0], [255, 255, 255], [20, 90, 250], [10, 200, 40]] {
        let [r, g, b] = colour;
        for without_loss in [false, true] {
            assert_near(colour_at(&plain(40, 30, &colour, without_loss), 20, 15), colour);
            // White is behind what is half transparent.
            let half = colour.map(|sample| ((u16::from(sample) + 255) / 2) as u8);
            assert_near(colour_at(&plain(40, 30, &[r, g, b, 127], without_loss), 20, 15), half);
        }
    }
}

#[test]
fn the_header_says_what_there_is() {
    let info = |file: &[u8]| probe(file, &Limits::default()).unwrap();
    let lossy = info(&plain(40, 30, &[1, 2, 3], false));
    assert_eq!((lossy.format, lossy.width, lossy.height), (Format::Webp, 40, 30));
    assert_eq!((lossy.colour, lossy.alpha, lossy.process), (Colour::YCbCr, false, None));
    let transparent = info(&plain(40, 30, &[1, 2, 3, 100], false));
    assert_eq!((transparent.colour, transparent.alpha), (Colour::Rgb, true));
    assert!(!info(&plain(40, 30, &[1, 2, 3], true)).alpha);
    assert!(info(&plain(40, 30, &[1, 2, 3, 100], true)).alpha);
}

#[test]
fn orientation_and_profile_are_found() {
    let picture = plain(40, 30, &[9, 90, 200], false);
    let tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    let profile = moxcms::ColorProfile::new_display_p3().encode().unwrap();
    for exif in [tiff.to_vec(), [b"Exif\0\0".as_slice(), tiff].concat()] {
        let file = file(&[
            (b"VP8X", &head(0x28, 40, 30)),
            (b"ICCP", &profile),
            (b"VP8 ", chunk(&picture, b"VP8 ")),
            (b"EXIF", &exif),
        ]);
        let info = probe(&file, &Limits::default()).unwrap();
        assert_eq!((info.width, info.height, info.orientation, info.icc_profile), (30, 40, 6, true));
        // This blue of Display P3 is more than sRGB has.
        let [red, _, blue] = colour_at(&file, 10, 10);
        assert!(red == 0 && blue > 202, "the profile is not applied: red {red}, blue {blue}");
    }
}

#[test]
fn the_first_frame_of_an_animation_lies_on_its_canvas() {
    let red = plain(20, 10, &[200, 0, 0], false);
    let opaque_blue = plain(20, 10, &[0, 0, 200], true);
    let first = frame(5, 3, 20, 10, &[(b"VP8 ", chunk(&red, b"VP8 "))]);
    let lossless_first = frame(5, 3, 20, 10, &[(b"VP8L", chunk(&opaque_blue, b"VP8L"))]);
    for (first, colour) in [(&first, [200, 0, 0]), (&lossless_first, [0, 0, 200])] {
        let file = file(&[
            (b"VP8X", &head(ANIMATED, 40, 30)),
            (b"ANIM", &[0; 6]),
            (b"ANMF", first),
            (b"ANMF", &frame(0, 0, 20, 10, &[(b"VP8 ", chunk(&red, b"VP8 "))])),
        ]);
        let info = probe(&file, &Limits::default()).unwrap();
        assert_eq!((info.width, info.height, info.alpha), (40, 30, true));
        assert_near(colour_at(&file, 20, 11), colour);
        for (x, y) in [(2, 2), (20, 2), (20, 24), (35, 11), (5, 11)] {
            assert_near(colour_at(&file, x, y), [255; 3]);
        }
    }
    let whole = file(&[
        (b"VP8X", &head(ANIMATED, 20, 10)),
        (b"ANIM", &[0; 6]),
        (b"ANMF", &frame(0, 0, 20, 10, &[(b"VP8 ", chunk(&red, b"VP8 "))])),
    ]);
    assert_eq!(probe(&whole, &Limits::default()).unwrap().colour, Colour::YCbCr);
    assert_near(colour_at(&whole, 10, 5), [200, 0, 0]);
}

#[test]
fn sizes_must_agree() {
    let picture = plain(20, 10, &[200, 0, 0], false);
    let vp8 = chunk(&picture, b"VP8 ");
    let animation = |canvas: (usize, usize), frame: &[u8]| {
        file(&[(b"VP8X", &head(ANIMATED, canvas.0, canvas.1)), (b"ANIM", &[0; 6]), (b"ANMF", frame)])
    };
    let wrong = [
        file(&[(b"VP8X", &head(0, 21, 10)), (b"VP8 ", vp8)]),
        file(&[(b"VP8X", &head(0, 16_384, 16_384)), (b"VP8 ", &vp8[..10])]),
        file(&[(b"VP8X", &head(0, 20, 10))]),
        file(&[(b"VP8X", &head(ANIMATED, 20, 10)), (b"VP8 ", vp8)]),
        // Beyond the canvas, of another size than its data, and without data.
        animation((20, 10), &frame(1, 0, 20, 10, &[(b"VP8 ", vp8)])),
        animation((20, 10), &frame(0, 255, 20, 10, &[(b"VP8 ", vp8)])),
        animation((40, 40), &frame(0, 0, 19, 10, &[(b"VP8 ", vp8)])),
        animation((40, 40), &frame(0, 0, 20, 10, &[(b"ALPH", &[0])])),
    ];
    for (i, file) in wrong.iter().enumerate() {
        let error = probe(file, &Limits::default()).unwrap_err();
        assert!(matches!(error, Error::Corrupt(_)), "file {i}: {error:?}");
    }
    let limits = Limits { max_source_pixels: 199, ..Limits::default() };
    assert!(matches!(probe(&picture, &limits), Err(Error::TooManyPixels { width: 20, height: 10, max: 199 })));
    let canvas = animation((16_777_216, 16_777_216), &frame(0, 0, 20, 10, &[(b"VP8 ", vp8)]));
    assert!(matches!(probe(&canvas, &Limits::default()), Err(Error::TooManyPixels { width: 16_777_216, .. })));
}

#[test]
fn a_truncated_file_is_an_error_or_on_request_a_part() {
    let (width, height) = (160, 200);
    let best = Options { truncated: Truncated::BestEffort, ..options() };
    let lossy = |config: &mut webp::WebPConfig| config.quality = 90.0;
    for (channels, how) in [(3, lossy as fn(&mut _)), (3, lossless), (4, lossy), (4, lossless)] {
        let mut samples = picture(width, height, channels);
        if channels == 4 {
            // A little opacity, or it is most of the file.
            samples.iter_mut().skip(3).step_by(4).for_each(|alpha| *alpha = 200);
        }
        let file = encoded(&samples, width, height, how);
        let cut = &file[..file.len() * 2 / 3];
        assert_eq!(shown(cut, &options()), Err(Error::Truncated));
        let (whole, part) = (shown(&file, &options()).unwrap(), shown(cut, &best).unwrap());
        let (whole, part) = (rgb(&whole), rgb(&part));
        let rows = |pixels: &[u8], from: usize, to: usize| pixels[3 * width * from..3 * width * to].to_vec();
        assert!(rows(&whole, 0, 24) == rows(&part, 0, 24), "{channels} channels: the upper rows are there");
        let missing = if channels == 4 { 255 } else { 128 };
        let below = rows(&part, 190, 200);
        assert!(below.iter().all(|&sample| sample.abs_diff(missing) <= 2), "{channels} channels: {below:?}");
        assert_eq!(shown(&file[..40], &best), Err(Error::Truncated), "where there is nothing, nothing is shown");
    }
}
