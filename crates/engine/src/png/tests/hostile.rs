//! Damaged and malicious files: each is an error or a picture, quickly and within the limits.

use super::*;

/// Small, so that a header that was changed costs no time.
const LIMITS: Limits = Limits { max_source_bytes: 1 << 20, max_source_pixels: 1 << 16, formats: crate::Formats::ALL };

fn decode(source: &[u8], truncated: Truncated) -> Result<Vec<PlacedPlane>, Error> {
    let png = Png::open(source, &LIMITS)?;
    let Header { width, height, .. } = *png.header();
    let mut all = Vec::new();
    for requests in [&requests(width, height)[0], &requests(width, height)[3]] {
        let planes = png.decode(&vec![requests.clone(); png.header().planes()], truncated)?.planes;
        assert_eq!(planes.len(), png.header().planes());
        all.extend(planes);
    }
    Ok(all)
}

/// Small pictures of several kinds.
fn samples() -> Vec<Vec<u8>> {
    let made = |code, depth, interlaced| Made { interlaced, ..Made::new((19, 14), code, depth) };
    let exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    let mut rich = made(6, 8, false);
    rich.more = [chunk(b"gAMA", &[0, 0, 0xb1, 0x8f]), chunk(b"tEXt", b"a\0b"), chunk(b"eXIf", exif)].concat();
    let mut palette = made(3, 4, true);
    palette.transparent = vec![1, 2, 3];
    [rich, palette, made(2, 8, false), made(0, 16, true), made(0, 1, false)].iter().map(Made::png).collect()
}

#[test]
fn cut_at_every_byte() {
    for source in samples() {
        let whole = decode(&source, Truncated::Strict).unwrap();
        let samples = |planes: &[PlacedPlane]| planes.iter().map(|p| p.plane.samples.clone()).collect::<Vec<_>>();
        let mut parts = 0;
        for cut in SIGNATURE.len()..source.len() {
            match decode(&source[..cut], Truncated::Strict) {
                // Only what follows the last pixel may be missing.
                Ok(made) => {
                    assert!(cut + 40 > source.len(), "cut at {cut} of {}", source.len());
                    assert_eq!(samples(&made), samples(&whole));
                }
                Err(error) => assert_eq!(error, Error::Truncated, "cut at {cut} of {}", source.len()),
            }
            parts += usize::from(decode(&source[..cut], Truncated::BestEffort).is_ok());
        }
        assert!(decode(&source[..source.len() - 12], Truncated::Strict).is_ok(), "no end");
        assert!(parts > 50, "{parts} parts of {}", source.len());
    }
}

#[test]
fn a_part_is_shown_as_far_as_it_came() {
    for (code, missing) in [(2, 128), (6, 0)] {
        let made = Made { filter: Some(0), ..Made::new((30, 200), code, 8) };
        let pixels = made.pixels();
        // Cut in the middle; or with something wrong there.
        let rows = made.filtered();
        let length = rows.len() / 200;
        let mut wrong_filter = rows.clone();
        wrong_filter[100 * length] = 9;
        let whole = fdeflate::compress_to_vec(&rows);
        let mut wrong_checksum = made.with_data(&whole);
        let at = wrong_checksum.len() - 40;
        wrong_checksum[at] ^= 1;
        let few = fdeflate::compress_to_vec(&rows[..100 * length + 2]);
        let stored = {
            // A block that is stored as it is, and one of a kind that there is not.
            let mut data = vec![0x78, 0x01, 0];
            data.extend((100 * length as u16).to_le_bytes());
            data.extend((!(100 * length as u16)).to_le_bytes());
            data.extend(&rows[..100 * length]);
            data.extend([7; 3]);
            data
        };
        let cases = [
            (made.with_data(&fdeflate::compress_to_vec(&wrong_filter)), 100, "the unknown filter"),
            (made.with_data(&few), 100, "fewer rows"),
            // The row at whose end the damage begins is lost.
            (made.with_data(&stored), 99, "invalid"),
            (wrong_checksum, 199, "checksum"),
        ];
        for (source, last, why) in cases {
            let png = Png::open(&source, &Limits::default()).unwrap();
            let requests = &requests(30, 200)[0];
            let all = vec![requests.clone(); pixels.channels];
            let error = png.decode(&all, Truncated::Strict).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
            let planes = png.decode(&all, Truncated::BestEffort).unwrap().planes;
            let red = &planes[0].plane;
            let opacity = |at: usize| if code == 6 { f64::from(pixels.samples[at * 4 + 3]) / 255.0 } else { 1.0 };
            for at in 0..last * 30 {
                let expected = (f64::from(pixels.samples[at * pixels.channels]) * opacity(at)).round() as u8;
                assert_eq!(red.samples[at], expected, "{why}");
            }
            assert!(last > 100 || red.samples[last * 30..].iter().all(|&sample| sample == missing), "{why}");
        }
    }
}

#[test]
fn an_interlaced_part_is_coarse() {
    let mut made = Made { interlaced: true, ..Made::new((64, 64), 0, 8) };
    made.samples = (0..64 * 64).map(|i| (i % 64 + i / 64) as u16).collect();
    let rows = made.filtered();
    // All of the first six passes, which have half of the pixels, and of the first alone.
    for (pixels, step) in [(64 * 64 / 2 + 8 + 8 + 8 + 16 + 16 + 32, 2), (8 * 9, 8)] {
        let source = made.with_data(&fdeflate::compress_to_vec(&rows[..pixels]));
        let png = Png::open(&source, &Limits::default()).unwrap();
        let requests = vec![requests(64, 64)[0].clone()];
        assert!(png.decode(&requests, Truncated::Strict).is_err());
        let plane = png.decode(&requests, Truncated::BestEffort).unwrap().planes.remove(0).plane;
        for y in 0..64 {
            for x in 0..64 {
                let expected = if step == 2 { x + y / 2 * 2 } else { x / 8 * 8 + y / 8 * 8 };
                assert_eq!(usize::from(plane.row(y)[x]), expected, "{x}, {y} by {step}");
            }
        }
    }
}

#[test]
fn thousands_of_changes() {
    let mut numbers = Numbers(3);
    for source in samples() {
        for _ in 0..1500 {
            let mut bad = source.clone();
            for _ in 0..1 + numbers.next() % 3 {
                let at = 8 + numbers.next() as usize % (bad.len() - 8);
                match numbers.next() % 4 {
                    0 => bad[at] ^= 1 << (numbers.next() % 8),
                    1 => bad[at] = numbers.next() as u8,
                    2 => drop(bad.drain(at..(at + 1 + numbers.next() as usize % 20).min(bad.len()))),
                    _ => bad.splice(at..at, (0..numbers.next() % 9).map(|i| i as u8)).for_each(drop),
                }
                if bad.len() < 40 {
                    break;
                }
            }
            for checksums in [false, true] {
                if checksums {
                    with_right_checksums(&mut bad);
                }
                let _ = decode(&bad, Truncated::Strict);
                let _ = decode(&bad, Truncated::BestEffort);
            }
        }
    }
}

/// Corrects the checksum of each chunk, so that damage is found by what comes behind.
fn with_right_checksums(file: &mut [u8]) {
    let mut at = SIGNATURE.len();
    while let Some(head) = file.get(at..at + 8) {
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let Some(kind) = head[4..].first_chunk::<4>().copied() else { break };
        let Some(data) = file.get(at + 8..(at + 8).saturating_add(length)).map(<[u8]>::to_vec) else { break };
        let end = at + 12 + length;
        if file.len() < end {
            break;
        }
        file[at..end].copy_from_slice(&chunk(&kind, &data));
        at = end;
    }
}

#[test]
fn changes_of_the_compressed_data_are_read_as_the_reference_does() {
    let mut numbers = Numbers(5);
    let made = Made::new((40, 30), 2, 8);
    let compressed = fdeflate::compress_to_vec(&made.filtered());
    let mut good = 0;
    for _ in 0..2000 {
        let mut data = compressed.clone();
        let at = 2 + numbers.next() as usize % (data.len() - 6);
        data[at] ^= 1 << (numbers.next() % 8);
        let source = made.with_data(&data);
        let mut reader = png::Decoder::new(std::io::Cursor::new(&source)).read_info().unwrap();
        let mut raw = vec![0; reader.output_buffer_size().unwrap()];
        let theirs = reader.next_frame(&mut raw).is_ok();
        let png = Png::open(&source, &Limits::default()).unwrap();
        let requests = requests(40, 30)[0].clone();
        let ours = png.decode(&vec![requests; 3], Truncated::Strict);
        assert_eq!(ours.is_ok(), theirs);
        if let Ok(decoded) = ours {
            good += 1;
            let red: Vec<u8> = raw.into_iter().step_by(3).collect();
            assert_eq!(decoded.planes[0].plane.samples, red);
        }
    }
    assert!(good > 100, "{good}");
}

#[test]
fn wrong_headers() {
    let made = Made::new((5, 5), 2, 8);
    let good = made.png();
    let header = made.header();
    let with_header = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut header = header.clone();
        change(&mut header);
        [SIGNATURE, &chunk(b"IHDR", &header), &good[SIGNATURE.len() + 25..]].concat()
    };
    type Change<'a> = &'a dyn Fn(&mut Vec<u8>);
    let cases: [(Change<'_>, &str); 8] = [
        (&|h| h[..4].fill(0), "0 columns and 5 rows"),
        (&|h| h[4..8].fill(0), "5 columns and 0 rows"),
        (&|h| h[..4].fill(255), "4294967295 columns"),
        (&|h| h[8] = 3, "3 bits per sample"),
        (&|h| h[9] = 5, "colours of type 5"),
        (&|h| h[10] = 1, "an unknown compression"),
        (&|h| h[12] = 2, "an unknown compression, filter or interlacing"),
        (&|h| h.push(0), "invalid length"),
    ];
    for (change, words) in cases {
        let error = decode(&with_header(change), Truncated::BestEffort).unwrap_err();
        assert!(matches!(&error, Error::Corrupt(what) if what.contains(words)), "{error}");
    }
    let large = with_header(&|h| h[..8].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]));
    assert!(matches!(decode(&large, Truncated::Strict), Err(Error::TooManyPixels { width: 65_536, .. })));
    let mut checksum = good.clone();
    checksum[SIGNATURE.len() + 8] ^= 0x80;
    assert_eq!(
        decode(&checksum, Truncated::BestEffort),
        Err(Error::Corrupt("the checksum of chunk IHDR is wrong".into()))
    );
}

#[test]
fn chunks_in_the_way() {
    let made = Made::new((5, 5), 2, 8);
    let with = |chunks: Vec<u8>| decode(&Made { more: chunks, ..made.clone() }.png(), Truncated::Strict);
    let good = with(vec![]).unwrap();
    let same = |made: Result<Vec<PlacedPlane>, Error>| made.unwrap()[0].plane == good[0].plane;
    let mut wrong = chunk(b"tRNS", &[0; 6]);
    wrong[14] ^= 1;
    // What browsers pass over: chunks that are unknown, damaged, twice, or of a wrong length.
    for chunks in [
        chunk(b"anCi", b"what?"),
        wrong,
        chunk(b"PLTE", &[0; 5]),
        chunk(b"tRNS", &[0; 5]),
        chunk(b"gAMA", &[]),
        [chunk(b"sRGB", &[0]), chunk(b"sRGB", &[1])].concat(),
        chunk(b"acTL", &[0, 0, 0, 9, 0, 0, 0, 0]),
        chunk(b"fcTL", &[0; 26]),
    ] {
        assert!(same(with(chunks)));
    }
    assert!(matches!(with(chunk(b"CRIt", &[])), Err(Error::Unsupported(what)) if what.contains("CRIt")));
    assert!(matches!(with(chunk(b"IHDR", &made.header())), Err(Error::Corrupt(_))));
    assert!(matches!(with(chunk(b"IEND", &[])), Err(Error::Corrupt(_))));
    let mut long = chunk(b"anCi", &[]);
    long[..4].fill(0x7f);
    assert_eq!(with(long.clone()).unwrap_err(), Error::Truncated);
    long[..4].fill(0xff);
    assert!(matches!(with(long), Err(Error::Corrupt(_))));
    let mut no_letters = chunk(b"anCi", &[]);
    no_letters[5] = 0;
    assert!(matches!(with(no_letters), Err(Error::Corrupt(_))));
    let apple = [SIGNATURE, &chunk(b"CgBI", &[0; 4]), &made.png()[8..]].concat();
    assert!(matches!(decode(&apple, Truncated::Strict), Err(Error::Unsupported(what)) if what.contains("Apple")));
    // Image data that are not together are not all read.
    let (first, second) = (made.head(), made.png());
    let parted = [&first[..], &chunk(b"IDAT", &[0x78]), &chunk(b"anCi", &[]), &second[first.len() + 13..]].concat();
    assert!(matches!(decode(&parted, Truncated::Strict), Err(Error::Corrupt(_))));
    let no_palette = Made { palette: vec![], ..Made::new((5, 5), 3, 8) };
    assert_eq!(decode(&no_palette.png(), Truncated::Strict), Err(Error::Corrupt("there is no palette".into())));
}

#[test]
fn bombs_are_not_inflated() {
    // Text, which is not read, and a profile that goes on behind its end.
    let mebibytes = fdeflate::compress_to_vec(&vec![0; 4 << 20]);
    let mut profile = moxcms::ColorProfile::new_display_p3().encode().unwrap();
    let length = profile.len();
    profile.resize(4 << 20, 0);
    let more = [
        chunk(b"zTXt", &[b"text\0\0".as_slice(), &mebibytes].concat()),
        chunk(b"iTXt", &[b"text\0\x01\0\0\0".as_slice(), &mebibytes].concat()),
        chunk(b"iCCP", &[b"name\0\0".as_slice(), &fdeflate::compress_to_vec(&profile)].concat()),
    ];
    let source = Made { more: more.concat(), ..Made::new((5, 5), 2, 8) }.png();
    let png = Png::open(&source, &Limits::default()).unwrap();
    assert_eq!(png.header().profile.icc_bytes(), length);
}

impl PartialEq for PlacedPlane {
    fn eq(&self, other: &Self) -> bool {
        self.plane == other.plane && (self.left, self.top) == (other.left, other.top)
    }
}
