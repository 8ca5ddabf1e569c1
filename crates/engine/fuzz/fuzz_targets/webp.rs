//! Two properties for every input: no bytes make the engine panic, hang or exceed its memory limits; and no file's parts do,
//! which the container's checks would else keep from the decoders.
#![no_main]

use libfuzzer_sys::fuzz_target;

use thumb_engine::{Fit, Formats, Limits, Options, Size, Spec, Truncated, probe, thumbnails};

/// Small, so that an input takes milliseconds; the fuzzer's own memory limit checks the rest.
const LIMITS: Limits = Limits { max_source_bytes: 1 << 20, max_source_pixels: 1 << 16, formats: Formats::ALL };

fuzz_target!(|input: &[u8]| {
    run(input);
    if let Some((&how, data)) = input.split_first() {
        run(&file(how, data));
    }
});

/// A file of one of the kinds. Its size is a small one, so that data of any size is decoded.
fn file(how: u8, data: &[u8]) -> Vec<u8> {
    let mut data = data.to_vec();
    let (width, height) = (u16::from(how >> 2) + 1, u16::from(how >> 4) * 3 + 1);
    let sides = [width.to_le_bytes(), height.to_le_bytes()].concat();
    if let Some(head) = data.first_chunk_mut::<10>() {
        // A key frame that is shown, with a first partition of at most 64 KiB.
        (head[0], head[2]) = (head[0] & 0xe0 | 0x10, 0);
        head[3..6].copy_from_slice(&[0x9d, 0x01, 0x2a]);
        head[6..].copy_from_slice(&sides);
    }
    let lossless_head = (u32::from(width) - 1) | (u32::from(height) - 1) << 14 | 1 << 28;
    let lossless = [[0x2f].as_slice(), &lossless_head.to_le_bytes(), &data].concat();
    let head = [&[0x10, 0, 0, 0], &sides_less_one(width)[..], &sides_less_one(height)].concat();
    let half = data.len() / 2;
    match how & 3 {
        0 => riff(&[(b"VP8 ", &data)]),
        1 => riff(&[(b"VP8L", &lossless)]),
        _ => riff(&[(b"VP8X", &head), (b"ALPH", &data[half..]), (b"VP8 ", &data)]),
    }
}

fn sides_less_one(side: u16) -> [u8; 3] {
    let [low, high] = (side - 1).to_le_bytes();
    [low, high, 0]
}

fn riff(parts: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let mut body = b"WEBP".to_vec();
    for (name, data) in parts {
        body.extend_from_slice(*name);
        body.extend((data.len() as u32).to_le_bytes());
        body.extend_from_slice(data);
        body.resize(body.len().next_multiple_of(2), 0);
    }
    [b"RIFF".as_slice(), &(body.len() as u32).to_le_bytes(), &body].concat()
}

fn run(source: &[u8]) {
    let _ = probe(source, &LIMITS);
    let spec = |width, height, fit| Spec { fit, ..Spec::new(Size::new(width, height)) };
    let specs = [spec(20, 15, Fit::Cover), spec(3, 40, Fit::Fill), spec(50, 50, Fit::Contain)];
    for truncated in [Truncated::Strict, Truncated::BestEffort] {
        let options = Options { limits: LIMITS, truncated, ..Options::default() };
        let _ = thumbnails(source, &specs, &options);
    }
}
