//! Compares `working_memory` with a counting allocator: never less than a run takes, and for large sources not much more.
//!
//! This test has its own binary, because the allocator counts for the whole process.

mod common;
#[path = "common/counting.rs"]
mod counting;

use counting::peak_of;
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use thumb_engine::{Fit, Limits, Options, Size, Spec, Truncated, probe, thumbnails, working_memory};

/// Noise, which makes the largest files, or an almost empty picture.
fn samples(length: usize, noise: bool) -> Vec<u8> {
    let mut seed = 1_u32;
    (0..length)
        .map(|i| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if noise { (seed >> 24) as u8 } else { (i / 97 % 200) as u8 }
        })
        .collect()
}

#[derive(Clone, Copy, Debug)]
struct Picture {
    colour: ColorType,
    sampling: SamplingFactor,
    progressive: bool,
    size: (u16, u16),
    noise: bool,
    profile: bool,
}

impl Picture {
    fn jpeg(&self) -> Vec<u8> {
        let components = match self.colour {
            ColorType::Luma => 1,
            ColorType::Cmyk | ColorType::CmykAsYcck => 4,
            _ => 3,
        };
        let (width, height) = self.size;
        let samples = samples(usize::from(width) * usize::from(height) * components, self.noise);
        let mut jpeg = Vec::new();
        let mut encoder = Encoder::new(&mut jpeg, 90);
        encoder.set_sampling_factor(self.sampling);
        encoder.set_progressive(self.progressive);
        if self.profile {
            let profile = match components {
                4 => common::printer(),
                _ => moxcms::ColorProfile::new_display_p3().encode().unwrap(),
            };
            encoder.add_icc_profile(&profile).unwrap();
        }
        encoder.encode(&samples, width, height, self.colour).unwrap();
        jpeg
    }
}

fn spec(width: u32, height: u32, fit: Fit, quality: u8) -> Spec {
    Spec { fit, quality, ..Spec::new(Size::new(width, height)) }
}

/// For sources of this size and more the estimate must be close.
const LARGE_PIXELS: usize = 1_000_000;
/// How close.
const MOST_OVER: f64 = 1.5;
/// The estimate's constant part, which makes it far too high for small pictures, and its part for a profile.
const FIXED_BYTES: u64 = 2 << 20;
const PROFILE_BYTES: u64 = 2 << 20;

fn check(picture: Picture, source: &[u8], specs: &[Spec]) {
    let info = probe(source, &Limits::default()).unwrap();
    let estimate = working_memory(&info, specs);
    let options = Options::default();
    let measured = peak_of(|| thumbnails(source, specs, &options).unwrap());
    if std::env::var_os("SHOW").is_some() {
        println!("{:4.2} {measured:10} {estimate:10} {picture:?} {}", estimate as f64 / measured as f64, specs.len());
    }
    assert!(measured <= estimate, "{picture:?}, {specs:?}: takes {measured}, estimated {estimate}");
    let fixed = FIXED_BYTES + if picture.profile { PROFILE_BYTES } else { 0 };
    let near = estimate as f64 <= MOST_OVER * (measured + fixed) as f64;
    let pixels = usize::from(picture.size.0) * usize::from(picture.size.1);
    let small_thumbnails = specs.iter().all(|spec| spec.size.width <= Some(1000));
    assert!(
        near || pixels < LARGE_PIXELS || !small_thumbnails,
        "{picture:?}, {specs:?}: takes {measured}, estimated {estimate}"
    );
    // Damaged ones must stay below it, too; making them is slow.
    if specs.len() == 1 {
        return;
    }
    let mut damaged = source.to_vec();
    for place in [source.len() / 2, source.len() * 2 / 3] {
        damaged[place..place + 40].fill(0xa5);
    }
    for file in [&source[..source.len() / 2], &damaged] {
        for truncated in [Truncated::Strict, Truncated::BestEffort] {
            let Ok(info) = probe(file, &Limits::default()) else { continue };
            let estimate = working_memory(&info, specs);
            let options = Options { truncated, ..Options::default() };
            let measured = peak_of(|| thumbnails(file, specs, &options));
            assert!(measured <= estimate, "damaged {picture:?}, {specs:?}: takes {measured}, estimated {estimate}");
        }
    }
}

#[test]
fn a_run_takes_no_more_than_is_reckoned() {
    use SamplingFactor::{F_4_1, R_4_2_0, R_4_2_2, R_4_4_4};
    let kinds = [
        (ColorType::Luma, R_4_4_4),
        (ColorType::Ycbcr, R_4_4_4),
        (ColorType::Ycbcr, R_4_2_2),
        (ColorType::Ycbcr, R_4_2_0),
        (ColorType::Ycbcr, F_4_1),
        (ColorType::Cmyk, R_4_4_4),
        (ColorType::CmykAsYcck, R_4_2_0),
    ];
    let one = [spec(400, 400, Fit::Cover, 80)];
    let several = [spec(400, 400, Fit::Cover, 80), spec(1000, 400, Fit::Contain, 95), spec(150, 101, Fit::Fill, 60)];
    let broad = [spec(223, 225, Fit::Fill, 36)];
    let enlarged = [spec(3000, 1999, Fit::Cover, 100), spec(2000, 30, Fit::Fill, 1)];
    for (colour, sampling) in kinds {
        for progressive in [false, true] {
            for (size, noise) in [
                ((1600, 1201), false),
                ((1300, 903), true),
                ((203, 97), true),
                ((9001, 40), false),
                ((40, 9001), false),
            ] {
                let profile = (colour == ColorType::Ycbcr || colour == ColorType::Cmyk) && size.0 == 1300;
                let picture = Picture { colour, sampling, progressive, size, noise, profile };
                let source = picture.jpeg();
                check(picture, &source, &one);
                check(picture, &source, &several);
                check(picture, &source, &broad);
                if size.0 < 1000 {
                    check(picture, &source, &enlarged);
                }
            }
        }
    }
}
