//! JPEG files with more behind the picture: MPO (CIPA DC-007: a second picture for each eye, or a gain map), and photographs with a film
//! behind them, as telephones write them. The first picture counts.

use super::*;

fn followed(picture: &[u8], more: &[u8]) -> Vec<u8> {
    // An index of the pictures and where they are, in a segment of its own behind the first marker.
    let index = b"\xff\xe2\0\x1cMPF\0MM\0*\0\0\0\x08\0\x01\xb0\0\0\x07\0\0\0\x040100";
    [&picture[..2], index, &picture[2..], more].concat()
}

#[test]
fn the_first_picture_counts_and_is_not_damaged() {
    let (size, other) = ((64, 48), encoded(&vec![200; 64 * 48 * 3], (64, 48), ColorType::Rgb, SamplingFactor::R_4_4_4));
    let samples = rgb_scene(size.0, size.1);
    for progressive in [false, true] {
        let mut picture = Vec::new();
        let mut encoder = Encoder::new(&mut picture, 95);
        encoder.set_progressive(progressive);
        encoder.encode(&samples, size.0 as u16, size.1 as u16, ColorType::Rgb).unwrap();
        let spec = Spec::new(Size::new(32, 24));
        let alone = thumbnails(&picture, std::slice::from_ref(&spec), &Options::default()).unwrap();
        let film = [&[0; 40][..], b"\0\0\0\x18ftypmp42\0\0\0\0isommp42", &other[..30], &[0xff; 100]].concat();
        for more in [&other[..], &film, b"\n", &[0xff, 0xd8], b"\0\0\0\0IIXX"] {
            for truncated in [Truncated::Strict, Truncated::BestEffort] {
                let options = Options { truncated, ..Options::default() };
                let source = followed(&picture, more);
                assert_eq!(thumbnails(&source, std::slice::from_ref(&spec), &options).unwrap(), alone);
                let info = probe(&source, &Limits::default()).unwrap();
                assert_eq!((info.format, info.width, info.icc_profile), (Format::Jpeg, 64, false));
            }
        }
        // The first one's damage is not hidden by a second that is whole.
        let cut = followed(&picture[..picture.len() / 2], &other);
        assert!(thumbnails(&cut, &[spec], &Options::default()).is_err());
    }
}
