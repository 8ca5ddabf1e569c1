//! What colours mean, and how a picture is turned: ancillary chunks.

use super::*;
use crate::pixels::colour::Profile;

fn profile_of(chunks: &[Vec<u8>]) -> Profile {
    let made = Made { more: chunks.concat(), ..Made::new((4, 4), 2, 8) };
    let source = made.png();
    Png::open(&source, &Limits::default()).unwrap().header().profile.clone()
}

fn gamma(value: u32) -> Vec<u8> {
    chunk(b"gAMA", &value.to_be_bytes())
}

fn chromaticities(values: [u32; 8]) -> Vec<u8> {
    chunk(b"cHRM", values.map(u32::to_be_bytes).as_flattened())
}

const ADOBE: [u32; 8] = [31_270, 32_900, 64_000, 33_000, 21_000, 71_000, 15_000, 6_000];

fn icc(profile: &[u8]) -> Vec<u8> {
    let data = [b"a name\0\0".as_slice(), &fdeflate::compress_to_vec(profile)].concat();
    chunk(b"iCCP", &data)
}

#[test]
fn the_chunk_that_counts_most_counts() {
    let p3 = moxcms::ColorProfile::new_display_p3().encode().unwrap();
    let (cicp, srgb) = (chunk(b"cICP", &[12, 13, 0, 1]), chunk(b"sRGB", &[0]));
    let all = [gamma(100_000), srgb.clone(), icc(&p3), cicp];
    assert_eq!(profile_of(&all), Profile::Cicp { primaries: 12, transfer: 13 });
    assert_eq!(profile_of(&all[..3]), Profile::Icc(p3));
    assert_eq!(profile_of(&all[..2]), Profile::Srgb);
    assert_eq!(profile_of(&all[..1]), Profile::Gamma { exponent: 1.0, chromaticities: None });
    assert_eq!(profile_of(&[]), Profile::Srgb);
    // Code points without a meaning, colour differences, and a limited range are not for PNG, or not known.
    for unknown in [[2, 13, 0, 1], [12, 13, 1, 1], [12, 13, 0, 0], [200, 200, 0, 1]] {
        assert_eq!(profile_of(&[chunk(b"cICP", &unknown), gamma(100_000), srgb.clone()]), Profile::Srgb, "{unknown:?}");
    }
}

#[test]
fn gammas_count_as_in_browsers() {
    let adobe = [[0.3127, 0.329], [0.64, 0.33], [0.21, 0.71], [0.15, 0.06]];
    let found = profile_of(&[gamma(45_455), chromaticities(ADOBE)]);
    assert_eq!(found, Profile::Gamma { exponent: 1.0 / 0.45455, chromaticities: Some(adobe) });
    assert_eq!(profile_of(&[gamma(45_455)]), Profile::Srgb);
    assert_eq!(profile_of(&[chromaticities(ADOBE)]), Profile::Srgb);
    for impossible in [0, 1, u32::MAX] {
        assert_eq!(profile_of(&[gamma(impossible)]), Profile::Srgb);
    }
    for impossible in [[0; 8], [u32::MAX; 8], [31_270; 8]] {
        let found = profile_of(&[gamma(100_000), chromaticities(impossible)]);
        assert_eq!(found, Profile::Gamma { exponent: 1.0, chromaticities: None });
    }
}

#[test]
fn a_damaged_profile_is_none() {
    let p3 = moxcms::ColorProfile::new_display_p3().encode().unwrap();
    let mut wrong_checksum = icc(&p3);
    *wrong_checksum.last_mut().unwrap() ^= 1;
    let compressed = fdeflate::compress_to_vec(&p3);
    let named = |start: &[u8], data: &[u8]| chunk(b"iCCP", &[start, data].concat());
    let mut long = p3.clone();
    long[..4].copy_from_slice(&u32::MAX.to_be_bytes());
    let mut longer_than_it_is = p3.clone();
    longer_than_it_is[..4].copy_from_slice(&(4_u32 << 20).to_be_bytes());
    let damaged = [
        wrong_checksum,
        named(b"", &compressed),
        named(b"no end", &[]),
        named(b"method\0\x01", &compressed),
        named(&[b'x'; 100], &compressed),
        named(b"cut\0\0", &compressed[..100]),
        named(b"garbage\0\0", &[7; 400]),
        named(b"empty\0\0", &[]),
        icc(b"short"),
        icc(&long),
        icc(&longer_than_it_is),
    ];
    for chunk in damaged {
        assert_eq!(profile_of(&[chunk, gamma(100_000)]), Profile::Gamma { exponent: 1.0, chromaticities: None });
    }
}

#[test]
fn the_orientation_stands_before_or_behind_the_image_data() {
    let exif = [b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".as_slice(), &[6, 0, 0, 0, 0, 0, 0, 0]].concat();
    let made = Made::new((4, 6), 2, 8);
    let orientation = |source: &[u8]| {
        let png = Png::open(source, &Limits::default()).unwrap();
        png.header().orientation.to_exif()
    };
    let plain = made.png();
    assert_eq!(orientation(&plain), 1);
    let end = plain.len() - 12;
    for exif in [exif.clone(), [b"Exif\0\0", exif.as_slice()].concat()] {
        let exif = chunk(b"eXIf", &exif);
        assert_eq!(orientation(&Made { more: exif.clone(), ..made.clone() }.png()), 6);
        assert_eq!(orientation(&[&plain[..end], &exif, &plain[end..]].concat()), 6);
        let mut wrong = exif.clone();
        *wrong.last_mut().unwrap() ^= 1;
        assert_eq!(orientation(&Made { more: wrong, ..made.clone() }.png()), 1);
    }
}
