//! Compares `working_memory` with a counting allocator: never less than a run takes, and for large sources not much more.
//!
//! This test has its own binary, because the allocator counts for the whole process.

#![allow(unsafe_code, reason = "a global allocator is unsafe to implement; this one counts and calls the system's")]

mod common;
#[cfg(feature = "heic")]
#[path = "common/heic.rs"]
mod heic;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use thumb_engine::{Fit, Limits, Options, Position, Sharpen, Size, Spec, Truncated, probe, thumbnails, working_memory};

struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn add(bytes: usize) {
    PEAK.fetch_max(NOW.fetch_add(bytes, Ordering::Relaxed) + bytes, Ordering::Relaxed);
}

// SAFETY: every call goes on to the system's allocator as it came. `realloc` is the trait's own, which allocates the new block
// while the old one is there: the worst that a real allocator does.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Held by a test while it runs.
static ALONE: Mutex<()> = Mutex::new(());

/// The most bytes allocated at once during `run`, without those allocated before.
fn peak_of<T>(run: impl FnOnce() -> T) -> u64 {
    let before = NOW.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let result = run();
    let peak = PEAK.load(Ordering::Relaxed);
    drop(result);
    (peak - before) as u64
}

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
    let _alone = ALONE.lock();
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
    let smart = |width, height| Spec {
        position: Position::Smart,
        sharpen: Sharpen::Light,
        ..spec(width, height, Fit::Cover, 80)
    };
    let (one_smart, several_smart) = ([smart(300, 300)], [smart(300, 300), smart(600, 50), smart(50, 600)]);
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
                check(picture, &source, &one_smart);
                check(picture, &source, &several_smart);
                if size.0 < 1000 {
                    check(picture, &source, &enlarged);
                }
            }
        }
    }
}

/// Grids of one small picture again and again: with 4:2:0, 10 bits and another matrix, full colour differences, grey; with opacity, a
/// profile, a part of it, and turned.
#[cfg(feature = "heic")]
#[test]
fn heic_takes_no_more_than_is_reckoned() {
    use heic::{File, Item, boxed, picture};
    let _alone = ALONE.lock();
    let pictures = [
        ("p3", &include_bytes!("../src/heic/test_files/p3.heic")[..]),
        ("10 bits", include_bytes!("../src/heic/test_files/bt2020_10_bit.heic")),
        ("4:4:4", include_bytes!("../src/heic/test_files/444.heic")),
        ("grey", include_bytes!("../src/heic/test_files/grey.heic")),
    ];
    let grey = picture(pictures[3].1);
    let colours = |matrix: u8| boxed(b"colr", &[b'n', b'c', b'l', b'x', 0, 1, 0, 13, 0, matrix, 0x80]);
    let profile = boxed(b"colr", &[b"prof", &moxcms::ColorProfile::new_display_p3().encode().unwrap()[..]].concat());
    let clap = boxed(b"clap", &[900, 1, 701, 1, 3, 1, 7, 1].map(u32::to_be_bytes).concat());
    let extras = [
        ("as it is", vec![colours(6)], false),
        ("another matrix", vec![colours(1)], false),
        ("a profile", vec![colours(6), profile.clone()], false),
        ("a part, turned", vec![colours(6), clap.clone(), boxed(b"irot", &[1])], false),
        ("transparent", vec![colours(6), clap, profile], true),
    ];
    let one = [spec(400, 400, Fit::Cover, 80)];
    let several = [spec(400, 400, Fit::Cover, 80), spec(1000, 400, Fit::Contain, 95), spec(150, 101, Fit::Fill, 60)];
    let small = [spec(51, 49, Fit::Cover, 80)];
    for (kind, bytes) in pictures {
        let tile = picture(bytes);
        for (extra, properties, alpha) in &extras {
            for (columns, rows) in [(17, 14), (1, 1), (2, 50)] {
                let size = (columns * 64 - 11, rows * 64 - 13);
                let mut file = File::grid(columns as usize, rows as usize, size, |_| tile.clone());
                if size.0 > 900 && size.1 > 701 || properties.len() == 1 {
                    file.items[0].properties.clone_from(properties);
                }
                if *alpha {
                    let first = file.items.len() as u16;
                    let name = boxed(b"auxC", b"\0\0\0\0urn:mpeg:hevc:2015:auxid:1\0");
                    let data = file.items[0].data.clone();
                    file.items.push(Item { kind: *b"grid", data, properties: vec![name] });
                    file.items.extend((0..columns * rows).map(|_| grey.clone()));
                    file.references.push((
                        b"dimg",
                        first + 1,
                        (first + 2..=first + 1 + (columns * rows) as u16).collect(),
                    ));
                    file.references.push((b"auxl", first + 1, vec![1]));
                }
                let source = file.bytes();
                for specs in [&one[..], &several, &small] {
                    let info = probe(&source, &Limits::default()).unwrap();
                    let estimate = working_memory(&info, specs);
                    let measured = peak_of(|| thumbnails(&source, specs, &Options::default()).unwrap());
                    let what = format!("{kind}, {extra}, {columns}x{rows}, {} thumbnails", specs.len());
                    if std::env::var_os("SHOW").is_some() {
                        println!("{:4.2} {measured:10} {estimate:10} {what}", estimate as f64 / measured as f64);
                    }
                    assert!(measured <= estimate, "{what}: takes {measured}, estimated {estimate}");
                    let fixed = FIXED_BYTES + PROFILE_BYTES;
                    let near = estimate as f64 <= MOST_OVER * (measured + fixed) as f64;
                    assert!(near, "{what}: takes {measured}, estimated {estimate}");
                    for cut in [source.len() / 2, source.len() - 50] {
                        let options = Options { truncated: Truncated::BestEffort, ..Options::default() };
                        let measured = peak_of(|| thumbnails(&source[..cut], specs, &options));
                        assert!(measured <= estimate, "{what}, truncated: takes {measured}, estimated {estimate}");
                    }
                }
            }
        }
    }
}
