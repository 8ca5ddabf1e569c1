//! GIF: the input as it is, and as the compressed data of a frame.
#![no_main]

mod common;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    common::any_bytes(input);
    if let Some((&[width, height, bits, flags], data)) = input.split_first_chunk() {
        common::any_bytes(&a_frame([width, height], bits % 9, flags, data));
    }
});

/// A file without a palette, whose indices are grey.
fn a_frame([width, height]: [u8; 2], bits: u8, flags: u8, data: &[u8]) -> Vec<u8> {
    let mut file = [b"GIF89a", &[width, 0, height, 0, 0, 0, 0][..]].concat();
    if flags & 1 != 0 {
        file.extend([0x21, 0xf9, 4, 1, 0, 0, flags >> 3, 0]);
    }
    let at = if flags & 2 != 0 { 5 } else { 0 };
    file.extend([0x2c, at, 0, at, 0, width, 0, height, 0, if flags & 4 != 0 { 0x40 } else { 0 }, bits]);
    for block in data.chunks(255) {
        file.push(block.len() as u8);
        file.extend(block);
    }
    file.extend([0, 0x3b]);
    file
}
