//! Of Exif the orientation is read, where the camera focused, and whose the picture is. Everything else (GPS!) is dropped.

use crate::copyright::{Copyright, MAX_TEXT_BYTES, shortened};
use crate::marks::Area;
use crate::orientation::Orientation;
use crate::tiff::{ASCII, ENTRY_BYTES, Entry, SHORT, Tiff};

/// What is read of an Exif block.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Exif {
    pub orientation: Option<Orientation>,
    pub copyright: Copyright,
    /// The main subject (Exif 2.32, 4.6.5, tag 0x9214), as the camera saw it: in the stored picture.
    pub subject_area: Option<Area>,
}

const ORIENTATION: u32 = 0x0112;
const ARTIST: u32 = 0x013b;
const COPYRIGHT: u32 = 0x8298;
const EXIF_DIRECTORY: u32 = 0x8769;
const SUBJECT_AREA: u32 = 0x9214;
const PIXEL_X_DIMENSION: u32 = 0xa002;
const PIXEL_Y_DIMENSION: u32 = 0xa003;

impl Exif {
    /// Reads a TIFF file. What is damaged is left out.
    pub fn read(tiff: &[u8]) -> Self {
        let mut exif = Self::default();
        let Some(tiff) = Tiff::of(tiff) else { return exif };
        let mut details = None;
        for entry in tiff.offset(4).into_iter().flat_map(|at| tiff.directory(at)) {
            match entry.tag {
                ORIENTATION => {
                    exif.orientation = exif.orientation.or(number(tiff, &entry).and_then(Orientation::from_exif))
                }
                ARTIST => exif.copyright.artist = text(&entry).unwrap_or_default(),
                COPYRIGHT => exif.copyright.rights = text(&entry).unwrap_or_default(),
                EXIF_DIRECTORY => details = tiff.offset(entry.value_at()),
                _ => {}
            }
        }
        let (mut area, mut width, mut height) = (None, None, None);
        for entry in details.into_iter().flat_map(|at| tiff.directory(at)) {
            match entry.tag {
                SUBJECT_AREA => area = shorts(tiff, &entry),
                PIXEL_X_DIMENSION => width = number(tiff, &entry),
                PIXEL_Y_DIMENSION => height = number(tiff, &entry),
                _ => {}
            }
        }
        exif.subject_area = area.zip(width.zip(height)).and_then(|(numbers, size)| subject_area(&numbers, size));
        exif
    }
}

/// A point, a circle (centre and diameter) or a rectangle (centre and sides), in pixels.
fn subject_area(numbers: &[u16], (width, height): (u16, u16)) -> Option<Area> {
    let (x, y, w, h) = match *numbers {
        [x, y] => (x, y, 0, 0),
        [x, y, diameter] => (x, y, diameter, diameter),
        [x, y, w, h] => (x, y, w, h),
        _ => return None,
    };
    if width == 0 || height == 0 {
        return None;
    }
    let (width, height) = (f64::from(width), f64::from(height));
    Area::around(f64::from(x) / width, f64::from(y) / height, f64::from(w) / width, f64::from(h) / height)
}

/// A SHORT stands in the value's first two bytes; some programs write a LONG, whose low half it is.
fn number(tiff: Tiff, entry: &Entry) -> Option<u16> {
    let bytes = if entry.kind()? == SHORT { 2 } else { 4 };
    tiff.number(entry.value_at(), bytes)?.try_into().ok()
}

fn text(entry: &Entry) -> Option<Vec<u8>> {
    let is_text = entry.kind()? == ASCII;
    is_text.then(|| entry.values(1)).flatten().map(shortened)
}

/// At most four.
fn shorts(tiff: Tiff, entry: &Entry) -> Option<Vec<u16>> {
    let count = entry.count().filter(|&count| count <= 4)?;
    if entry.kind()? != SHORT {
        return None;
    }
    let from = entry.values_at(2)?;
    (0..count as usize).map(|i| tiff.number(from.checked_add(2 * i)?, 2)?.try_into().ok()).collect()
}

/// The most bytes of [`copyright_segment`].
pub(crate) const MAX_SEGMENT_BYTES: u64 = 2 * (MAX_TEXT_BYTES as u64 + 1 + ENTRY_BYTES as u64) + 24;

/// An Exif block, a TIFF file, with nothing but the name of the photographer and the rights; `None` if there are none.
fn copyright_block(copyright: &Copyright) -> Option<Vec<u8>> {
    const HEADER_BYTES: usize = 8;
    let fields = [(ARTIST, &copyright.artist), (COPYRIGHT, &copyright.rights)];
    let fields: Vec<_> = fields.into_iter().filter(|(_, text)| !text.is_empty()).collect();
    if fields.is_empty() {
        return None;
    }
    let mut block = b"MM\0*\0\0\0\x08".to_vec();
    block.extend((fields.len() as u16).to_be_bytes());
    let mut at = HEADER_BYTES + 2 + fields.len() * ENTRY_BYTES + 4;
    let mut behind = Vec::new();
    for (tag, text) in fields {
        // A text ends with a zero, which counts. Up to four bytes stand in the entry itself.
        let mut text = [text.as_slice(), &[0]].concat();
        block.extend([tag as u16, ASCII as u16].map(u16::to_be_bytes).concat());
        block.extend((text.len() as u32).to_be_bytes());
        if text.len() <= 4 {
            text.resize(4, 0);
            block.extend(text);
        } else {
            block.extend((at as u32).to_be_bytes());
            at += text.len();
            behind.extend(text);
        }
    }
    block.extend([0; 4]);
    block.extend(behind);
    Some(block)
}

/// The same as a JPEG's APP1 segment, marker and all.
pub(crate) fn copyright_segment(copyright: &Copyright) -> Option<Vec<u8>> {
    let block = copyright_block(copyright)?;
    let length = (2 + 6 + block.len()) as u16;
    Some([&[0xff, 0xe1], length.to_be_bytes().as_slice(), b"Exif\0\0", &block].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exif(big_endian: bool, value: u16) -> Vec<u8> {
        let mut tiff = Vec::new();
        if big_endian {
            tiff.extend(b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01");
            tiff.extend(value.to_be_bytes());
        } else {
            tiff.extend(b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0");
            tiff.extend(value.to_le_bytes());
        }
        tiff.extend([0; 6]);
        tiff
    }

    #[test]
    fn both_byte_orders_and_all_values() {
        for big_endian in [true, false] {
            for value in 1..=8 {
                let found = Exif::read(&exif(big_endian, value)).orientation.unwrap();
                assert_eq!(found.to_exif(), value);
            }
            assert_eq!(Exif::read(&exif(big_endian, 0)).orientation, None);
            assert_eq!(Exif::read(&exif(big_endian, 9)).orientation, None);
        }
    }

    #[test]
    fn damaged_exif_is_no_exif() {
        let whole = exif(true, 6);
        for cut in 0..whole.len() - 6 {
            assert_eq!(Exif::read(&whole[..cut]), Exif::default(), "cut at {cut}");
        }
        let mut far = whole;
        far[4..8].fill(0xff);
        assert_eq!(Exif::read(&far), Exif::default());
    }

    /// Entries of a first directory, of a second one, and the bytes behind them, at [`BEHIND`].
    fn two_directories(second: &[[u8; 12]], behind: &[u8]) -> Vec<u8> {
        let mut tiff = b"II*\0\x08\0\0\0\x01\0\x69\x87\x04\0\x01\0\0\0\x1a\0\0\0\0\0\0\0".to_vec();
        tiff.extend((second.len() as u16).to_le_bytes());
        tiff.extend(second.concat());
        tiff.extend([0; 4]);
        tiff.extend(behind);
        tiff
    }

    #[test]
    fn the_focused_area_is_read_in_all_three_forms() {
        let size = [*b"\x02\xa0\x03\0\x01\0\0\0\xe8\x03\0\0", *b"\x03\xa0\x04\0\x01\0\0\0\xf4\x01\0\0"];
        let area = |count: u8, value: [u8; 4], behind: &[u8]| {
            let [a, b, c, d] = value;
            let entry = [0x14, 0x92, 3, 0, count, 0, 0, 0, a, b, c, d];
            Exif::read(&two_directories(&[entry, size[0], size[1]], behind)).subject_area
        };
        // 1000x500 pixels: 250, 125; with 100 across; with 200 by 50.
        assert_eq!(area(2, [250, 0, 125, 0], &[]), Area::around(0.25, 0.25, 0.0, 0.0));
        let behind = [250, 0, 125, 0, 100, 0];
        assert_eq!(area(3, [68, 0, 0, 0], &behind), Area::around(0.25, 0.25, 0.1, 0.2));
        let behind = [250, 0, 125, 0, 200, 0, 50, 0];
        assert_eq!(area(4, [68, 0, 0, 0], &behind), Area::around(0.25, 0.25, 0.2, 0.1));
        assert_eq!(area(4, [69, 0, 0, 0], &behind), None, "beyond the end");
        assert_eq!(area(5, [68, 0, 0, 0], &[0; 20]), None);
        assert_eq!(area(2, [0, 255, 0, 255], &[]), None, "outside the picture");
    }

    #[test]
    fn what_is_kept_is_read_again_and_nothing_else() {
        let copyright = |artist: &[u8], rights: &[u8]| Copyright { artist: artist.to_vec(), rights: rights.to_vec() };
        for kept in [
            copyright(b"Ann", b""),
            copyright(b"", b"(c) 2024 Ann Example"),
            copyright("Jos\u{e9}".as_bytes(), &[b'x'; MAX_TEXT_BYTES]),
        ] {
            let segment = copyright_segment(&kept).unwrap();
            assert!(segment.len() as u64 <= MAX_SEGMENT_BYTES);
            assert_eq!(usize::from(u16::from_be_bytes([segment[2], segment[3]])), segment.len() - 2);
            let read = Exif::read(segment.strip_prefix(&[0xff, 0xe1]).unwrap()[2..].strip_prefix(b"Exif\0\0").unwrap());
            assert_eq!(read, Exif { copyright: kept, ..Exif::default() });
        }
        assert_eq!(copyright_segment(&Copyright::default()), None);
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(shortened(b"Ann \0 \0"), b"Ann");
        assert_eq!(shortened(b" \0"), b"");
        let long = "\u{e9}".repeat(MAX_TEXT_BYTES);
        assert_eq!(shortened(&long.as_bytes()[1..]).len(), MAX_TEXT_BYTES);
        assert_eq!(shortened(&[b"x", long.as_bytes()].concat()).len(), MAX_TEXT_BYTES - 1);
    }
}
