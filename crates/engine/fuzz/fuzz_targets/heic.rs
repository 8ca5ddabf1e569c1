//! No bytes make the HEIC reader panic, hang or exceed its memory limits: neither bytes as they come, nor a grid of good pictures of which
//! the input changes some. (libFuzzer ends the program at the first panic, also at one that the engine would catch.)
#![no_main]

use libfuzzer_sys::fuzz_target;

use thumb_engine::{Fit, Limits, Options, Size, Spec, Truncated, probe, thumbnails, working_memory};

#[path = "../../tests/common/heic.rs"]
mod heic;
use heic::{File, Item, boxed, picture};

const PICTURES: [&[u8]; 6] = [
    include_bytes!("../../src/heic/test_files/video.heic"),
    include_bytes!("../../src/heic/test_files/bt2020_10_bit.heic"),
    include_bytes!("../../src/heic/test_files/422_12_bit.heic"),
    include_bytes!("../../src/heic/test_files/444.heic"),
    include_bytes!("../../src/heic/test_files/grey.heic"),
    include_bytes!("../../src/heic/test_files/p3.heic"),
];

/// Small, so that an input takes milliseconds.
const MAX_PIXELS: u64 = 1 << 16;

fuzz_target!(|input: &[u8]| {
    any_bytes(input);
    if let Some((how, changes)) = input.split_first_chunk() {
        any_bytes(&changed_grid(*how, changes));
    }
});

fn any_bytes(source: &[u8]) {
    let limits = Limits { max_source_bytes: 1 << 20, max_source_pixels: MAX_PIXELS, ..Limits::default() };
    let Ok(info) = probe(source, &limits) else { return };
    let spec = |width, height, fit| Spec { fit, ..Spec::new(Size::new(width, height)) };
    let specs = [spec(20, 15, Fit::Cover), spec(3, 40, Fit::Fill), spec(50, 50, Fit::Contain)];
    assert!(working_memory(&info, &specs) < 64 << 20);
    for truncated in [Truncated::Strict, Truncated::BestEffort] {
        for specs in [&specs[..1], &specs[1..]] {
            let _ = thumbnails(source, specs, &Options { limits, truncated, ..Options::default() });
        }
    }
}

/// `how`: which picture, columns and rows, what the sides lack, a property, and whether there is opacity; then triples of a place and a
/// value.
fn changed_grid(how: [u8; 6], changes: &[u8]) -> Vec<u8> {
    let [which, shape, lack, property, turn, alpha] = how;
    let (columns, rows) = (usize::from(shape % 3) + 1, usize::from(shape / 3 % 3) + 1);
    let tile = picture(PICTURES[usize::from(which) % PICTURES.len()]);
    let side = |tiles: usize| (64 * tiles as u32).saturating_sub(u32::from(lack));
    let mut file = File::grid(columns, rows, (side(columns), side(rows)), |_| tile.clone());
    let properties = &mut file.items[0].properties;
    properties.push(boxed(b"colr", &[b'n', b'c', b'l', b'x', 0, 1, 0, 13, 0, property % 16, property & 0x80]));
    properties.push(boxed([b"irot", b"imir"][usize::from(turn & 1)], &[turn >> 1]));
    if alpha & 1 == 1 {
        let name = boxed(b"auxC", b"\0\0\0\0urn:mpeg:hevc:2015:auxid:1\0");
        let opacity = picture(PICTURES[usize::from(alpha >> 1) % PICTURES.len()]);
        let number = file.items.len() as u16 + 1;
        file.items.push(Item { properties: [opacity.properties, vec![name]].concat(), ..opacity });
        file.references.push((b"auxl", number, vec![1]));
    }
    let mut bytes = file.bytes();
    for change in changes.chunks_exact(3) {
        let at = usize::from(u16::from_be_bytes([change[0], change[1]])) % bytes.len();
        bytes[at] = change[2];
    }
    bytes
}
