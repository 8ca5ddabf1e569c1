use super::*;
use crate::{Format, Info, Options, Spec, Thumbnail, probe, thumbnails};

/// A grey JPEG of so many pixels and of one level, which says which of several it is.
fn jpeg(side: u16, level: u8) -> Vec<u8> {
    let mut jpeg = Vec::new();
    let samples = vec![level; usize::from(side) * usize::from(side)];
    jpeg_encoder::Encoder::new(&mut jpeg, 90).encode(&samples, side, side, jpeg_encoder::ColorType::Luma).unwrap();
    jpeg
}

const SHORT: u16 = 3;
const LONG: u16 = 4;

/// Tag, type and value.
type Entries<'a> = &'a [(u16, u16, u32)];

/// Directories, each of entries and the offset of the next, after a head of four bytes.
fn tiff(magic: &[u8; 4], directories: &[(Entries, u32)]) -> Vec<u8> {
    let big = magic[0] == b'M';
    let two = |value: u16| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let four = |value: u32| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let mut file = [magic, &four(8)[..]].concat();
    for (entries, next) in directories {
        file.extend(two(entries.len() as u16));
        for &(tag, kind, value) in *entries {
            file.extend([two(tag), two(kind)].concat());
            file.extend(four(1));
            file.extend(if kind == SHORT { [two(value as u16), [0; 2]].concat() } else { four(value).to_vec() });
        }
        file.extend(four(*next));
    }
    file
}

fn made(source: &[u8]) -> Result<(Info, Thumbnail), Error> {
    let info = probe(source, &Limits::default())?;
    let spec = Spec::new(crate::Size::new(16, 16));
    Ok((info, thumbnails(source, &[spec], &Options::default())?.remove(0)))
}

/// Which JPEG was taken, by its level, and how it is turned.
fn seen(source: &[u8]) -> (u8, u32, u16) {
    let (info, thumbnail) = made(source).unwrap();
    assert_eq!(info.format, Format::Raw);
    let mut decoder = zune_jpeg::JpegDecoder::new(zune_jpeg::zune_core::bytestream::ZCursor::new(&thumbnail.bytes));
    (decoder.decode().unwrap()[0], info.width, info.orientation)
}

/// 200 bytes of directories, then JPEGs.
fn with_jpegs(mut file: Vec<u8>, jpegs: &[Vec<u8>]) -> Vec<u8> {
    assert!(file.len() <= 200);
    file.resize(200, 0);
    file.extend(jpegs.concat());
    file
}

#[test]
fn the_largest_of_several_is_taken_and_turned_as_the_first_directory_says() {
    let (small, large) = (jpeg(16, 40), jpeg(64, 200));
    let (at, length) = (200 + small.len() as u32, large.len() as u32);
    for magic in [b"II*\0", b"MM\0*", b"IIRO", b"IIU\0"] {
        // A thumbnail in the second directory, a strip that is a JPEG in the first (as in CR2).
        let first =
            [(0x0103, SHORT, 6), (0x010f, 2, 0), (0x0111, LONG, at), (0x0112, SHORT, 8), (0x0117, LONG, length)];
        let second = [(0x0112, SHORT, 3), (0x0201, LONG, 200), (0x0202, LONG, small.len() as u32)];
        let file = tiff(magic, &[(&first, 8 + 6 + 12 * 5), (&second, 0)]);
        let file = with_jpegs(file, &[small.clone(), large.clone()]);
        assert_eq!(seen(&file), (200, 64, 8), "{magic:?}");
    }
    // In a directory below (as in NEF), and as an entry's own value (as in RW2).
    let below = [(0x0201, LONG, at), (0x0202, LONG, length)];
    let file = tiff(b"MM\0*", &[(&[(0x010f, 2, 0), (0x014a, LONG, 38)], 0), (&below, 0)]);
    assert_eq!(seen(&with_jpegs(file, &[small.clone(), large.clone()])).0, 200);
    let mut file = tiff(b"IIU\0", &[(&[(0x002e, 7, 200)], 0)]);
    file[14..18].copy_from_slice(&(small.len() as u32).to_le_bytes());
    assert_eq!(seen(&with_jpegs(file, &[small, large])), (40, 16, 1));
}

#[test]
fn a_tiff_file_that_no_camera_made_is_none() {
    let small = jpeg(16, 40);
    let entries = [(0x0201, LONG, 200), (0x0202, LONG, small.len() as u32)];
    let no_camera = with_jpegs(tiff(b"II*\0", &[(&entries, 0)]), &[small]);
    let no_jpeg = tiff(b"II*\0", &[(&[(0x010f, 2, 0)], 0)]);
    for file in [no_camera, no_jpeg] {
        assert!(made(&file).unwrap_err().to_string().starts_with("the file is a TIFF image or a camera's raw file;"));
    }
}

#[test]
fn a_sensor_s_lossless_jpeg_is_not_taken() {
    let (small, mut lossless) = (jpeg(16, 40), jpeg(64, 200));
    let frame = lossless.windows(2).position(|bytes| bytes == [0xff, 0xc0]).unwrap();
    lossless[frame + 1] = 0xc3;
    let (at, length) = (200 + small.len() as u32, lossless.len() as u32);
    let first = [(0x0103, SHORT, 7), (0x010f, 2, 0), (0x0111, LONG, at), (0x0117, LONG, length)];
    let second = [(0x0201, LONG, 200), (0x0202, LONG, small.len() as u32)];
    let file = tiff(b"II*\0", &[(&first, 8 + 6 + 12 * 4), (&second, 0)]);
    assert_eq!(seen(&with_jpegs(file.clone(), &[small, lossless.clone()])).0, 40);
    let error = made(&with_jpegs(file, &[vec![0; at as usize - 200], lossless])).unwrap_err();
    assert_eq!(error.to_string(), "not supported: a camera raw file without a JPEG in it; save it as JPEG");
}

fn boxed(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    [&(content.len() as u32 + 8).to_be_bytes()[..], kind, content].concat()
}

#[test]
fn fuji_and_canon_have_heads_of_their_own() {
    let (small, large) = (jpeg(16, 40), jpeg(64, 200));
    let mut fuji = b"FUJIFILMCCD-RAW 0201".to_vec();
    fuji.resize(84, 0);
    fuji.extend([100_u32.to_be_bytes(), (small.len() as u32).to_be_bytes()].concat());
    fuji.resize(100, 0);
    fuji.extend(&small);
    assert_eq!(seen(&fuji), (40, 16, 1));

    let ftyp = boxed(b"ftyp", b"crx \0\0\0\x01crx isom");
    let sample = ftyp.len() as u64 + 8;
    let mdat = boxed(b"mdat", &large);
    let camera = boxed(b"CMT1", &tiff(b"II*\0", &[(&[(0x0112, SHORT, 6)], 0)]));
    let canon =
        boxed(b"uuid", &[b"\x85\xc0\xb6\x87\x82\x0f\x11\xe0\x81\x11\xf4\xce\x46\x2b\x6a\x48", &camera[..]].concat());
    let sizes = boxed(b"stsz", &[&[0; 4], &(large.len() as u32).to_be_bytes()[..], &[0, 0, 0, 1]].concat());
    let places = boxed(b"co64", &[&[0, 0, 0, 0, 0, 0, 0, 1], &sample.to_be_bytes()[..]].concat());
    let table = boxed(b"stbl", &[sizes, places].concat());
    let track = boxed(b"trak", &boxed(b"mdia", &boxed(b"minf", &table)));
    let preview = boxed(b"PRVW", &[&[0; 16], &small[..]].concat());
    let uuid = b"\xea\xf4\x2b\x5e\x1c\x98\x4b\x88\xb9\xfb\xb7\xdc\x40\x6e\x4d\x16\0\0\0\0\0\0\0\x01";
    let preview = boxed(b"uuid", &[&uuid[..], &preview].concat());
    let with_track = [&ftyp[..], &mdat, &boxed(b"moov", &[canon.clone(), track].concat()), &preview].concat();
    assert_eq!(seen(&with_track), (200, 64, 6));
    assert_eq!(seen(&[&ftyp[..], &boxed(b"moov", &canon), &preview].concat()), (40, 16, 6));
    assert!(matches!(made(&ftyp), Err(Error::Unsupported(_))));
}

#[test]
fn directories_in_circles_and_offsets_outside_are_walked_once() {
    // Next is itself; below is itself; thousands of entries of directories below; all offsets outside.
    let circle = tiff(b"IIRO", &[(&[(0x014a, LONG, 8)], 8)]);
    let mut many = tiff(b"IIRO", &[(&[(0x014a, LONG, 8); 1000], 0xffff_fff0)]);
    for entry in 0..1000 {
        many[8 + 2 + 12 * entry + 4..][..4].copy_from_slice(&u32::MAX.to_le_bytes());
    }
    let outside =
        tiff(b"IIRO", &[(&[(0x0201, LONG, u32::MAX), (0x0202, LONG, u32::MAX), (0x002e, 7, u32::MAX)], u32::MAX)]);
    let headless = b"IIRO\xff\xff\xff\xff".to_vec();
    for file in [circle, many, outside, headless, b"IIRO".to_vec()] {
        assert!(matches!(made(&file), Err(Error::Unsupported(_))));
    }
}

#[test]
fn every_byte_changed_and_every_length() {
    let small = jpeg(16, 40);
    let first = [(0x010f, 2, 0), (0x0112, SHORT, 8), (0x0201, LONG, 200), (0x0202, LONG, small.len() as u32)];
    let file = with_jpegs(tiff(b"MM\0*", &[(&first, 8)]), &[small]);
    for at in 0..file.len() {
        let _ = made(&file[..at]);
        for value in [0, 1, 0x7f, 0xff] {
            let mut bad = file.clone();
            bad[at] = value;
            let _ = made(&bad);
        }
    }
}
