//! Compares the engine's output with golden.txt, which has a hash of every thumbnail of a few pictures. When a hash changes,
//! `OUTPUT_VERSION` must change, too, or programs that store it beside their thumbnails would take old ones for current.
//!
//! Floating-point rounding differs between kinds of CPU, so the test runs on one of them only.
#![cfg(target_arch = "x86_64")]

mod common;

use std::fmt::Write;
use std::path::Path;

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use thumb_engine::{Fit, OUTPUT_VERSION, Options, Sharpen, Size, Spec, Truncated, thumbnails};

/// FNV-1a.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Slopes, edges and grain, in integers, so that it is the same everywhere.
fn samples(width: usize, height: usize, components: usize) -> Vec<u8> {
    let mut seed = 5_u32;
    let mut samples = Vec::with_capacity(width * height * components);
    for y in 0..height {
        for x in 0..width {
            for component in 0..components {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let slope = (x * (component + 1) + y * 2) * 200 / (width + 2 * height);
                let edge = if (x / 23 + y / 17 + component) % 5 == 0 { 40 } else { 0 };
                samples.push((slope + edge + (seed >> 28) as usize).min(255) as u8);
            }
        }
    }
    samples
}

fn pictures() -> Vec<(&'static str, Vec<u8>)> {
    use ColorType::{Cmyk, CmykAsYcck, Luma, Rgb, Ycbcr};
    use SamplingFactor::{F_4_1, R_4_2_0, R_4_2_2, R_4_4_0, R_4_4_4};
    let made = |size: (u16, u16), colour: ColorType, sampling, how: &dyn Fn(&mut Encoder<&mut Vec<u8>>)| {
        let components = match colour {
            Luma => 1,
            Cmyk | CmykAsYcck => 4,
            _ => 3,
        };
        let mut jpeg = Vec::new();
        let mut encoder = Encoder::new(&mut jpeg, 88);
        encoder.set_sampling_factor(sampling);
        how(&mut encoder);
        let samples = samples(usize::from(size.0), usize::from(size.1), components);
        encoder.encode(&samples, size.0, size.1, colour).unwrap();
        jpeg
    };
    let plain = |_: &mut Encoder<&mut Vec<u8>>| {};
    let progressive = |encoder: &mut Encoder<&mut Vec<u8>>| encoder.set_progressive(true);
    let restarts = |encoder: &mut Encoder<&mut Vec<u8>>| encoder.set_restart_interval(7);
    let turned = |encoder: &mut Encoder<&mut Vec<u8>>| {
        let exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
        encoder.add_exif_metadata(exif).unwrap();
    };
    let p3 = |encoder: &mut Encoder<&mut Vec<u8>>| {
        let mut profile = moxcms::ColorProfile::new_display_p3().encode().unwrap();
        profile[24..36].fill(0); // the date
        encoder.add_icc_profile(&profile).unwrap();
    };
    let printer = |encoder: &mut Encoder<&mut Vec<u8>>| encoder.add_icc_profile(&common::printer()).unwrap();
    vec![
        ("4:2:0", made((403, 301), Ycbcr, R_4_2_0, &plain)),
        ("4:2:0, large", made((1600, 1201), Ycbcr, R_4_2_0, &plain)),
        ("4:2:2, restarts", made((403, 301), Ycbcr, R_4_2_2, &restarts)),
        ("4:4:0", made((403, 301), Ycbcr, R_4_4_0, &plain)),
        ("4:4:4, progressive", made((403, 301), Ycbcr, R_4_4_4, &progressive)),
        ("4:2:0, progressive", made((700, 501), Ycbcr, R_4_2_0, &progressive)),
        ("4:1:1", made((403, 301), Ycbcr, F_4_1, &plain)),
        ("grey", made((403, 301), Luma, R_4_4_4, &plain)),
        ("RGB", made((200, 151), Rgb, R_4_4_4, &plain)),
        ("orientation 6", made((403, 301), Ycbcr, R_4_2_0, &turned)),
        ("Display P3", made((403, 301), Ycbcr, R_4_2_0, &p3)),
        ("CMYK", made((203, 151), Cmyk, R_4_4_4, &plain)),
        ("CMYK, with a profile", made((203, 151), Cmyk, R_4_4_4, &printer)),
        ("YCCK, progressive", made((203, 151), CmykAsYcck, R_4_2_0, &progressive)),
    ]
}

/// Thumbnails of a part of the picture, and what else can be asked for.
fn parts(name: &str, source: &[u8], made: &mut String) {
    for (position, size) in [("northeast", "90x30"), ("smart", "30x90"), ("0.2,0.9", "70x70"), ("center", "77x")] {
        let spec = Spec { position: position.parse().unwrap(), ..Spec::new(size.parse().unwrap()) };
        let thumbnail = thumbnails(source, &[spec], &Options::default()).unwrap().remove(0);
        writeln!(made, "{name}, {size} {position}: {:016x}", hash(&thumbnail.bytes)).unwrap();
    }
    let sharp = Spec { sharpen: Sharpen::Light, enlarge: false, ..Spec::new(Size::new(450, 340)) };
    let thumbnail = thumbnails(source, &[sharp], &Options::default()).unwrap().remove(0);
    writeln!(made, "{name}, {}, sharpened, not enlarged: {:016x}", sharp.size, hash(&thumbnail.bytes)).unwrap();
}

fn other_pictures() -> Vec<(&'static str, Vec<u8>)> {
    // A row of the picture goes on where the one before ended.
    let png = |size, code, depth, interlaced, more: &[u8]| {
        let all = samples(1000, 1000, 1);
        let mut at = 0;
        common::png(size, code, depth, interlaced, more, |bytes| {
            at += bytes;
            all.iter().cycle().skip(at % 900_000).take(bytes).copied().collect()
        })
    };
    let transparent = common::chunk(b"tRNS", &[0, 100, 255, 40]);
    let linear = common::chunk(b"gAMA", &100_000_u32.to_be_bytes());
    let gif = |interlaced| {
        let mut file = Vec::new();
        let mut encoder = gif::Encoder::new(&mut file, 403, 301, &samples(16, 16, 3)).unwrap();
        let (width, height, buffer) = (403, 280, samples(403, 280, 1).into());
        let frame =
            gif::Frame { width, height, top: 9, interlaced, transparent: Some(60), buffer, ..Default::default() };
        encoder.write_frame(&frame).unwrap();
        drop(encoder);
        file
    };
    vec![
        ("PNG", png((403, 301), 2, 8, false, &[])),
        ("PNG, large", png((1600, 1201), 2, 8, false, &[])),
        ("PNG, RGBA", png((403, 301), 6, 8, false, &[])),
        ("PNG, 16 bits, linear light", png((403, 301), 2, 16, false, &linear)),
        ("PNG, interlaced palette", png((403, 301), 3, 8, true, &transparent)),
        ("PNG, grey of 1 bit", png((403, 301), 0, 1, false, &[])),
        ("GIF", gif(false)),
        ("GIF, interlaced", gif(true)),
    ]
}

/// One line per picture and one line per thumbnail.
fn report() -> (String, String) {
    let spec = |width, height, fit, quality| Spec { fit, quality, ..Spec::new(Size::new(width, height)) };
    let specs = [
        spec(100, 100, Fit::Cover, 80),
        spec(151, 40, Fit::Cover, 92),
        spec(64, 64, Fit::Contain, 60),
        spec(33, 50, Fit::Fill, 80),
        spec(450, 340, Fit::Cover, 80),
    ];
    let (mut sources, mut made) = (String::new(), String::new());
    for (name, source) in pictures().into_iter().chain(other_pictures()) {
        writeln!(sources, "source {name}: {:016x}", hash(&source)).unwrap();
        for spec in specs {
            let thumbnail = thumbnails(&source, &[spec], &Options::default()).unwrap().remove(0);
            let Spec { size, fit, quality, .. } = spec;
            writeln!(made, "{name}, {size} {fit} q{quality}: {:016x}", hash(&thumbnail.bytes)).unwrap();
        }
        if ["4:2:0", "4:2:0, progressive", "grey", "orientation 6", "CMYK"].contains(&name) {
            parts(name, &source, &mut made);
        }
        let together = thumbnails(&source, &specs, &Options::default()).unwrap();
        let all: Vec<u8> = together.into_iter().flat_map(|thumbnail| thumbnail.bytes).collect();
        writeln!(made, "{name}, all from one decode: {:016x}", hash(&all)).unwrap();
        let options = Options { truncated: Truncated::BestEffort, ..Options::default() };
        // If the profile is long, this is in the middle of the header.
        if let Ok(part) = thumbnails(&source[..source.len() * 3 / 5], &specs[..1], &options) {
            writeln!(made, "{name}, cut short: {:016x}", hash(&part[0].bytes)).unwrap();
        }
    }
    (sources, made)
}

#[test]
fn output_changes_only_with_its_number() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden.txt");
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    let (sources, made) = report();
    let now = format!("version {OUTPUT_VERSION}\n{sources}{made}");
    if golden == now {
        return;
    }
    let same_number = golden.lines().next() == now.lines().next();
    let same_sources = golden.contains(&sources);
    if same_number && same_sources {
        let changed: Vec<_> = now.lines().filter(|line| !golden.lines().any(|golden| golden == *line)).collect();
        panic!(
            "the engine makes other thumbnails than version {OUTPUT_VERSION} did:\n{}\nIf that is meant, raise \
             OUTPUT_VERSION in crates/engine/src/lib.rs and run this test with GOLDEN=accept.",
            changed.join("\n")
        );
    }
    assert!(
        std::env::var_os("GOLDEN").is_some_and(|value| value == "accept"),
        "{}: run this test with GOLDEN=accept and commit tests/golden.txt",
        if same_sources {
            "OUTPUT_VERSION was raised"
        } else {
            "the test's own pictures are others (jpeg-encoder's work?)"
        }
    );
    std::fs::write(path, now).unwrap();
}
