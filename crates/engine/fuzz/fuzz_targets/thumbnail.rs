//! Two properties for every input: no bytes make the engine panic, hang or exceed its memory limits; and of an encoded
//! picture the engine makes the same samples as zune-jpeg.
#![no_main]

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use libfuzzer_sys::fuzz_target;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::options::DecoderOptions;

use thumb_engine::{Fit, Formats, Limits, Options, Output, Position, Size, Spec, Truncated, probe, thumbnails};

/// Small, so that an input takes milliseconds; the fuzzer's own memory limit checks the rest.
const LIMITS: Limits = Limits { max_source_bytes: 1 << 20, max_source_pixels: 1 << 16, formats: Formats::ALL };

fuzz_target!(|input: &[u8]| {
    any_bytes(input);
    if let Some((how, samples)) = input.split_first_chunk() {
        a_made_picture(*how, samples);
    }
});

fn any_bytes(source: &[u8]) {
    let _ = probe(source, &LIMITS);
    let spec = |width, height, fit| Spec { fit, quality: 80, ..Spec::new(Size::new(width, height)) };
    let specs = [
        spec(20, 15, Fit::Cover),
        spec(3, 40, Fit::Fill),
        spec(50, 50, Fit::Contain),
        Spec { position: Position::Smart, output: Output::Png, ..spec(9, 30, Fit::Cover) },
        Spec { position: Position::Region, enlarge: false, ..spec(30, 9, Fit::Cover) },
    ];
    for truncated in [Truncated::Strict, Truncated::BestEffort] {
        for specs in [&specs[..1], &specs[1..]] {
            let options = Options { limits: LIMITS, truncated, keep_copyright: true, ..Options::default() };
            if let Ok(made) = thumbnails(source, specs, &options) {
                for (thumbnail, spec) in made.iter().zip(specs) {
                    let info = probe(&thumbnail.bytes, &LIMITS).expect("a thumbnail is a picture");
                    assert_eq!((info.width, info.height), (thumbnail.width, thumbnail.height));
                    assert!(Some(thumbnail.width) <= spec.size.width && Some(thumbnail.height) <= spec.size.height);
                }
            }
        }
    }
}

/// `how`: sides, sampling, restart interval, quality, and whether progressive and grey; the samples are repeated.
fn a_made_picture(how: [u8; 6], samples: &[u8]) {
    let [width, height, sampling, restart, quality, flags] = how;
    let (width, height) = (u16::from(width) % 192 + 1, u16::from(height) % 192 + 1);
    if samples.is_empty() {
        return;
    }
    let grey = flags & 1 != 0;
    let length = usize::from(width) * usize::from(height) * if grey { 1 } else { 3 };
    let samples: Vec<u8> = samples.iter().copied().cycle().take(length).collect();
    let mut source = Vec::new();
    let mut encoder = Encoder::new(&mut source, quality % 100 + 1);
    let factors = [SamplingFactor::R_4_4_4, SamplingFactor::R_4_2_2, SamplingFactor::R_4_4_0, SamplingFactor::R_4_2_0];
    encoder.set_sampling_factor(factors[usize::from(sampling) % factors.len()]);
    encoder.set_progressive(flags & 2 != 0);
    // Not with optimised tables: zune-jpeg 0.5.15 misreads flat pictures that are coded with them (found by this target; libjpeg
    // agrees with the engine). The encoder's progressive files leave the restart markers out of its refinements (jpeg-encoder 0.7.1,
    // likewise).
    if flags & 2 == 0 && restart > 0 {
        encoder.set_restart_interval(u16::from(restart));
    }
    encoder.encode(&samples, width, height, if grey { ColorType::Luma } else { ColorType::Ycbcr }).expect("encodes");

    let size = Size::new(u32::from(width), u32::from(height));
    let spec = Spec { fit: Fit::Fill, quality: 100, ..Spec::new(size) };
    let made = thumbnails(&source, &[spec], &Options { limits: LIMITS, ..Options::default() }).expect("decodes");
    let (ours, theirs) = (luma(&made[0].bytes), luma(&source));
    // At its own size the picture is only decoded and encoded again, with steps of 1: two roundings of each of 64
    // coefficients, and of each sample.
    for (at, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
        assert!(ours.abs_diff(*theirs) <= 5, "sample {at} is {ours}, zune-jpeg has {theirs}");
    }
}

/// The luma of a JPEG, by zune-jpeg. Decoded with its colour: asked for luma alone, zune-jpeg 0.5.15 leaves the lower half of
/// a progressive 4:4:0 picture grey (found by this target; libjpeg agrees with the engine).
fn luma(jpeg: &[u8]) -> Vec<u8> {
    let mut decoder = JpegDecoder::new(ZCursor::new(jpeg));
    decoder.decode_headers().expect("zune-jpeg reads the header");
    let colour = decoder.input_colorspace().expect("the header is read");
    decoder.set_options(DecoderOptions::default().jpeg_set_out_colorspace(colour));
    let samples = decoder.decode().expect("zune-jpeg decodes");
    samples.into_iter().step_by(colour.num_components()).collect()
}
