//! Compares `working_memory` with a counting allocator: never less than a run takes, and for large sources not much more.
//!
//! This test has its own binary, because the allocator counts for the whole process.

mod common;
#[path = "common/counting.rs"]
mod counting;
#[cfg(feature = "heic")]
#[path = "common/heic.rs"]
mod heic;
#[path = "common/samples.rs"]
mod samples;

use std::sync::{Mutex, MutexGuard, PoisonError};

use counting::peak_of;
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use samples::samples;
use thumb_engine::{
    Fit, Limits, Options, Output, Position, Sharpen, Size, Spec, Truncated, probe, thumbnails, working_memory,
};

/// One test at a time, because all threads' memory is counted.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
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
    let _alone = alone();
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

/// A PNG of the colour type `code`, of noise or almost empty.
fn png(size: (usize, usize), code: u8, depth: u8, interlaced: bool, noise: bool) -> Vec<u8> {
    common::png(size, code, depth, interlaced, &[], |bytes| samples(bytes, noise))
}

/// A zlib stream of `start` and at least so many zeros behind, as short as can be: 258 of them in 2 bits (RFC 1951).
fn bomb(start: &[u8], zeros: usize) -> Vec<u8> {
    // A stored block.
    let length = start.len() as u16;
    let mut stream = [&[0x78, 0x01, 0][..], &length.to_le_bytes(), &(!length).to_le_bytes(), start].concat();
    let (mut bits, mut count) = (0_u32, 0);
    let mut put = |value: u32, length: u32| {
        bits |= value << count;
        count += length;
        while count >= 8 {
            stream.push(bits as u8);
            bits >>= 8;
            count -= 8;
        }
    };
    // The last block, with codes of its own: 286 of literals and lengths, 1 of distances, 18 of lengths of codes.
    [(0b101, 3), (29, 5), (0, 5), (14, 4)].into_iter().for_each(|(value, length)| put(value, length));
    // These are 1 bit for a run of zeros, and 2 for the lengths 2 and 1.
    [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 2].into_iter().for_each(|length| put(length, 3));
    // Literal 0 and the end have codes of 2 bits; 258 bytes, and the distance 1, of 1.
    [(3, 2), (0, 1), (127, 7), (0, 1), (106, 7), (3, 2), (0, 1), (17, 7), (1, 2), (1, 2)]
        .into_iter()
        .for_each(|(value, length)| put(value, length));
    put(1, 2);
    (0..zeros.div_ceil(258)).for_each(|_| put(0, 2));
    put(3, 2);
    put(0, 7);
    stream.extend([0; 4]);
    stream
}

fn gif((width, height): (u16, u16), interlaced: bool, noise: bool) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = gif::Encoder::new(&mut file, width, height, &samples(768, true)).unwrap();
    let buffer = samples(usize::from(width) * usize::from(height), noise).into();
    let frame = gif::Frame { width, height, interlaced, buffer, transparent: Some(7), ..gif::Frame::default() };
    encoder.write_frame(&frame).unwrap();
    drop(encoder);
    file
}

/// Below what is estimated, and, for a large picture and a small thumbnail, near it.
fn check_file(what: &str, source: &[u8], specs: &[Spec]) {
    let info = probe(source, &Limits::default()).unwrap();
    let estimate = working_memory(&info, specs);
    for cut in [source.len(), source.len() * 2 / 3] {
        for truncated in [Truncated::Strict, Truncated::BestEffort] {
            // A large thumbnail takes long, and a whole file the same either way.
            if truncated == Truncated::BestEffort && cut == source.len() {
                continue;
            }
            let options = Options { truncated, ..Options::default() };
            let made = peak_of(|| thumbnails(&source[..cut], specs, &options).ok());
            assert!(made <= estimate, "{what}, {specs:?}: takes {made}, estimated {estimate}");
            let near = estimate as f64 <= MOST_OVER * (made + FIXED_BYTES) as f64;
            let large = u64::from(info.width) * u64::from(info.height) >= LARGE_PIXELS as u64;
            let small_thumbnails = specs.iter().all(|spec| spec.size.width <= Some(1000));
            assert!(
                near || cut < source.len() || !large || !small_thumbnails,
                "{what}, {specs:?}: takes {made}, estimated {estimate}"
            );
        }
    }
}

#[test]
fn a_png_or_gif_takes_no_more_than_is_reckoned() {
    let _alone = alone();
    let one = [spec(400, 400, Fit::Cover, 80)];
    let several = [spec(400, 400, Fit::Cover, 80), spec(1000, 400, Fit::Contain, 95), spec(150, 101, Fit::Fill, 60)];
    let enlarged = [spec(3000, 1999, Fit::Cover, 100), spec(2000, 30, Fit::Fill, 1)];
    for (size, noise) in
        [((1600, 1201), false), ((1300, 903), true), ((203, 97), true), ((9001, 40), false), ((40, 9001), false)]
    {
        let specs: &[&[Spec]] = if size.0 < 1000 { &[&one, &several, &enlarged] } else { &[&one, &several] };
        for interlaced in [false, true] {
            for (code, depth) in [(0, 1), (0, 8), (2, 8), (2, 16), (3, 4), (3, 8), (6, 8), (6, 16)] {
                let what = format!("PNG, type {code}, {depth} bits, {size:?}, interlaced: {interlaced}");
                let source = png(size, code, depth, interlaced, noise);
                specs.iter().for_each(|specs| check_file(&what, &source, specs));
            }
            let source = gif((size.0 as u16, size.1 as u16), interlaced, noise);
            specs.iter().for_each(|specs| check_file(&format!("GIF, {size:?}, {interlaced}"), &source, specs));
        }
    }
}

/// What libwebp allocates is not counted here; the estimate has room for it, so that it cannot be near.
#[test]
fn a_thumbnail_of_any_format_takes_no_more_than_is_reckoned() {
    let _alone = alone();
    let jpeg = Picture {
        colour: ColorType::Ycbcr,
        sampling: SamplingFactor::R_4_2_0,
        progressive: false,
        size: (800, 601),
        noise: true,
        profile: false,
    };
    let sources = [
        ("JPEG", jpeg.jpeg()),
        ("JPEG with a profile", Picture { profile: true, ..jpeg }.jpeg()),
        ("PNG, RGBA", png((800, 601), 6, 8, false, true)),
        ("PNG, grey with opacity", png((800, 601), 4, 8, false, false)),
    ];
    for (what, source) in sources {
        for &output in Output::ALL {
            for (width, height) in [(1, 1), (400, 400), (1500, 1400)] {
                let one = Spec { output, ..spec(width, height, Fit::Cover, 100) };
                for specs in [&[one][..], &[one, one]] {
                    let estimate = working_memory(&probe(&source, &Limits::default()).unwrap(), specs);
                    let measured = peak_of(|| thumbnails(&source, specs, &Options::default()).unwrap());
                    assert!(measured <= estimate, "{what}, {specs:?}: takes {measured}, estimated {estimate}");
                }
            }
        }
    }
}

#[test]
fn the_memory_of_a_png_does_not_depend_on_its_height() {
    let _alone = alone();
    let one = [spec(40, 40, Fit::Cover, 80)];
    let peak = |height| {
        let source = png((500, height), 2, 8, false, false);
        peak_of(|| thumbnails(&source, &one, &Options::default()).unwrap())
    };
    assert!(peak(40_000) < peak(2000) + 100_000);
}

#[test]
fn a_bomb_stays_small() {
    let _alone = alone();
    // 100 Mpx of one colour in 290 KB, or in 12: of red, green and blue, of grey, of one bit, and of a palette.
    for (code, depth, most_bytes, most_mib) in
        [(2, 8, 300_000, 12), (0, 8, 100_000, 5), (0, 1, 12_500, 5), (3, 8, 100_000, 12)]
    {
        let sides = [&10_000_u32.to_be_bytes()[..], &10_000_u32.to_be_bytes()].concat();
        let row = 1 + (10_000 * [1, 0, 3, 1][usize::from(code)] * usize::from(depth)).div_ceil(8);
        let source = common::png_of(&[&sides[..], &[depth, code, 0, 0, 0]].concat(), &[], &bomb(&[], row * 10_000));
        assert!(source.len() < most_bytes + 2000, "{}", source.len());
        let specs = [spec(400, 400, Fit::Cover, 80)];
        let peak = peak_of(|| thumbnails(&source, &specs, &Options::default()).unwrap());
        assert!(peak < most_mib << 20, "type {code}: {peak}");
        let limits = Limits { max_source_pixels: 50_000_000, ..Limits::default() };
        let refused = peak_of(|| thumbnails(&source, &specs, &Options { limits, ..Options::default() }).unwrap_err());
        assert!(refused < 4096, "{refused}");
    }
    // Text, and a profile whose header claims the 4 MiB that it may have, and of which there is more.
    let text = [b"a\0\0".as_slice(), &bomb(b"text", 64 << 20)].concat();
    let profile = [b"a\0\0".as_slice(), &bomb(&[0, 0x40, 0, 0], 64 << 20)].concat();
    let more = [common::chunk(b"zTXt", &text), common::chunk(b"iCCP", &profile)].concat();
    let plain = png((40, 40), 2, 8, false, false);
    let source = [&plain[..33], &more, &plain[33..]].concat();
    assert!(source.len() < 1 << 20);
    let specs = [spec(10, 10, Fit::Cover, 80)];
    check_file("bombs", &source, &specs);
    let peak = peak_of(|| thumbnails(&source, &specs, &Options::default()).unwrap());
    assert!((4 << 20..6 << 20).contains(&peak), "{peak}");
}

/// Grids of one small picture again and again: with 4:2:0, 10 bits and another matrix, full colour differences, grey; with opacity, a
/// profile, a part of it, and turned.
#[cfg(feature = "heic")]
#[test]
fn heic_takes_no_more_than_is_reckoned() {
    use heic::{File, Item, boxed, picture};
    let _alone = alone();
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
