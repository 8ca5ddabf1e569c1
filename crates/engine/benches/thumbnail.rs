//! The time of a thumbnail, by source and size: `cargo bench -p thumb-engine --bench thumbnail`.
//!
//! The sources are the photographs in the repository's examples/photos, or, without them, a generated picture of 12
//! megapixels.

use std::path::Path;

use divan::{Bencher, counter::BytesCount};
use jpeg_encoder::{ColorType, Encoder};
use thumb_engine::{Options, Size, Spec, thumbnails};

const SIZES: [(u32, u32); 3] = [(400, 400), (150, 100), (1000, 400)];

fn main() {
    divan::main();
}

/// The sources by name.
fn sources() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/photos");
    let mut photos: Vec<_> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let name = path.file_name()?.to_str()?.to_owned();
            Some((name, std::fs::read(&path).ok()?)).filter(|(name, _)| name.ends_with(".jpg"))
        })
        .collect();
    photos.sort();
    if photos.is_empty() {
        photos.push(("made, 12 Mpx".to_owned(), made(4000, 3000)));
    }
    photos
}

/// Waves and grain, like a photograph.
fn made(width: u16, height: u16) -> Vec<u8> {
    let mut seed = 1_u32;
    let mut samples = Vec::new();
    for y in 0..u32::from(height) {
        for x in 0..u32::from(width) {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let wave = (f64::from(x) / 97.0).sin() * 50.0 + (f64::from(y) / 61.0).cos() * 50.0;
            samples.push((128.0 + wave + f64::from(seed >> 29)) as u8);
            samples.extend([128, (128.0 + wave / 2.0) as u8]);
        }
    }
    let mut jpeg = Vec::new();
    Encoder::new(&mut jpeg, 89).encode(&samples, width, height, ColorType::Ycbcr).expect("encodes");
    jpeg
}

/// One thumbnail of each source.
#[divan::bench(args = SIZES)]
fn one(bencher: Bencher, (width, height): (u32, u32)) {
    let sources = sources();
    let spec = Spec::new(Size::new(width, height));
    let bytes: usize = sources.iter().map(|(_, source)| source.len()).sum();
    bencher.counter(BytesCount::new(bytes)).bench_local(|| {
        for (name, source) in &sources {
            thumbnails(divan::black_box(source), &[spec], &Options::default())
                .unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    });
}

/// All sizes of each source from one decode.
#[divan::bench]
fn three_sizes(bencher: Bencher) {
    let sources = sources();
    let specs = SIZES.map(|(width, height)| Spec::new(Size::new(width, height)));
    bencher.bench_local(|| {
        for (name, source) in &sources {
            thumbnails(divan::black_box(source), &specs, &Options::default())
                .unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    });
}
