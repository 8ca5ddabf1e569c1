//! PNG: the input as it is; with the right checksums, so that what lies behind them is reached; and as the rows of a picture, which
//! must be those that the crate `png` reads.
#![no_main]

mod common;

use libfuzzer_sys::fuzz_target;
use thumb_engine::{Fit, Options, Size, Spec, thumbnails};

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

fuzz_target!(|input: &[u8]| {
    common::any_bytes(input);
    common::any_bytes(&with_right_checksums(input));
    if let Some((how, rows)) = input.split_first_chunk() {
        rows_of_a_picture(*how, rows);
    }
});

fn chunk(kind: &[u8], data: &[u8]) -> Vec<u8> {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(kind);
    hasher.update(data);
    [&(data.len() as u32).to_be_bytes(), kind, data, &hasher.finalize().to_be_bytes()].concat()
}

fn with_right_checksums(source: &[u8]) -> Vec<u8> {
    let mut file = source.to_vec();
    let mut at = SIGNATURE.len();
    while let Some(&[a, b, c, d, ref kind @ ..]) = source.get(at..at.saturating_add(8)) {
        let end = (at + 12).saturating_add(u32::from_be_bytes([a, b, c, d]) as usize);
        let Some(data) = source.get(at + 8..end - 4).filter(|_| end <= source.len()) else { break };
        file[at..end].copy_from_slice(&chunk(kind, data));
        at = end;
    }
    file
}

/// `how`: sides, kind, interlacing. Filters are taken from the input, too.
fn rows_of_a_picture(how: [u8; 4], rows: &[u8]) {
    const KINDS: [(u8, u8); 4] = [(0, 8), (0, 1), (0, 4), (4, 8)];
    let (width, height) = (u32::from(how[0]) % 70 + 1, u32::from(how[1]) % 70 + 1);
    let (code, depth) = KINDS[usize::from(how[2]) % KINDS.len()];
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[depth, code, 0, 0, how[3] & 1]].concat();
    let data = fdeflate::compress_to_vec(rows);
    let file = [SIGNATURE, &chunk(b"IHDR", &header), &chunk(b"IDAT", &data), &chunk(b"IEND", &[])].concat();
    let mut decoder = png::Decoder::new(std::io::Cursor::new(&file));
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().expect("the header is valid");
    let mut theirs = vec![0; reader.output_buffer_size().expect("it is small")];
    let spec = Spec { fit: Fit::Fill, quality: 100, ..Spec::new(Size::new(width, height)) };
    let ours = thumbnails(&file, &[spec], &Options::default());
    assert_eq!(ours.is_ok(), reader.next_frame(&mut theirs).is_ok());
    let Ok(made) = ours else { return };
    // On a white background.
    let theirs: Vec<u8> = match code {
        4 => theirs.chunks(2).map(|p| 255 - ((255 - u32::from(p[0])) * u32::from(p[1]) / 255) as u8).collect(),
        _ => theirs,
    };
    let ours = luma(&made[0].bytes);
    for (at, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
        assert!(ours.abs_diff(*theirs) <= 5, "sample {at} is {ours}, the reference has {theirs}");
    }
}

/// The luma of a JPEG, by zune-jpeg.
fn luma(jpeg: &[u8]) -> Vec<u8> {
    use zune_jpeg::zune_core::bytestream::ZCursor;
    use zune_jpeg::zune_core::options::DecoderOptions;
    let mut decoder = zune_jpeg::JpegDecoder::new(ZCursor::new(jpeg));
    decoder.decode_headers().expect("zune-jpeg reads the header");
    let colour = decoder.input_colorspace().expect("the header is read");
    decoder.set_options(DecoderOptions::default().jpeg_set_out_colorspace(colour));
    let samples = decoder.decode().expect("zune-jpeg decodes");
    samples.into_iter().step_by(colour.num_components()).collect()
}
