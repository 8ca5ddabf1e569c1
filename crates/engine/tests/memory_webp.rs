//! Compares `working_memory` with a counting allocator, for WebP.

#[path = "common/counting.rs"]
mod counting;
#[path = "common/samples.rs"]
mod samples;

use counting::peak_of;
use samples::samples;
use thumb_engine::{Fit, Limits, Options, Size, Spec, Truncated, probe, thumbnails, working_memory};
use webp::{Encoder, PixelLayout, WebPConfig};

fn encoded(width: u32, height: u32, layout: PixelLayout, noise: bool, lossless: bool) -> Vec<u8> {
    let channels = if layout == PixelLayout::Rgba { 4 } else { 3 };
    let samples = samples((width * height) as usize * channels, noise);
    let mut config = WebPConfig::new().unwrap();
    (config.method, config.lossless, config.quality) = (2, i32::from(lossless), 20.0);
    Encoder::new(&samples, layout, width, height).encode_advanced(&config).unwrap().to_vec()
}

/// What damaged files may take: tables of prefix codes, and transforms with the smallest parts.
const TABLES_BYTES: u64 = 9 << 20;
const FIXED_BYTES: u64 = 2 << 20;

#[test]
fn a_run_takes_no_more_than_is_reckoned() {
    let spec = |width, height, fit, quality| Spec { fit, quality, ..Spec::new(Size::new(width, height)) };
    let one = [spec(400, 400, Fit::Cover, 80)];
    let several = [spec(400, 400, Fit::Cover, 80), spec(1000, 400, Fit::Contain, 95), spec(150, 101, Fit::Fill, 60)];
    for (width, height) in [(1600, 1201), (203, 97), (5001, 40), (40, 5001)] {
        for (lossless, layout) in
            [(false, PixelLayout::Rgb), (false, PixelLayout::Rgba), (true, PixelLayout::Rgb), (true, PixelLayout::Rgba)]
        {
            for noise in [false, true] {
                let source = encoded(width, height, layout, noise, lossless);
                let what = format!("{width}x{height}, lossless {lossless}, {layout:?}, noise {noise}");
                for specs in [&one[..], &several] {
                    check(&source, specs, &what);
                }
            }
        }
    }
}

fn check(source: &[u8], specs: &[Spec], what: &str) {
    let info = probe(source, &Limits::default()).unwrap();
    let estimate = working_memory(&info, specs);
    let measured = peak_of(|| thumbnails(source, specs, &Options::default()).unwrap());
    if std::env::var_os("SHOW").is_some() {
        println!("{:4.2} {measured:10} {estimate:10} {what} {}", estimate as f64 / measured as f64, specs.len());
    }
    assert!(measured <= estimate, "{what}: takes {measured}, estimated {estimate}");
    let coded = source.windows(4).take(100).any(|name| name == b"VP8L" || name == b"ALPH");
    let fixed = FIXED_BYTES + if coded { TABLES_BYTES } else { 0 };
    let near = estimate as f64 <= 1.5 * (measured + fixed) as f64;
    let large = info.width * info.height > 1_000_000;
    assert!(near || !large, "{what}: takes {measured}, estimated {estimate}");
    let mut damaged = source.to_vec();
    damaged[source.len() / 2..source.len() / 2 + 8].fill(0xa5);
    for file in [&source[..source.len() / 2], &damaged] {
        for truncated in [Truncated::Strict, Truncated::BestEffort] {
            let options = Options { truncated, ..Options::default() };
            let measured = peak_of(|| thumbnails(file, specs, &options));
            assert!(measured <= estimate, "damaged {what}: takes {measured}, estimated {estimate}");
        }
    }
}
