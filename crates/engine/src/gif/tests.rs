//! GIF files made here, so that every pixel is known, and compared with the crate `gif`.

use super::*;
use crate::tests::averages::{Pixels, requests};
use crate::tests::equality::Numbers;

/// A file with one frame.
#[derive(Clone)]
struct Made {
    screen: (u16, u16),
    at: (u16, u16),
    size: (u16, u16),
    indices: Vec<u8>,
    global: Option<Vec<u8>>,
    local: Option<Vec<u8>>,
    transparent: Option<u8>,
    interlaced: bool,
    index_bits: u8,
    version: &'static [u8],
    /// Blocks before the frame.
    more: Vec<u8>,
    /// Codes of full length only, and no clear code when there are no more.
    grows: bool,
}

impl Made {
    fn new(size: (u16, u16), index_bits: u8) -> Self {
        let mut numbers = Numbers(u32::from(size.0) * 33 + u32::from(size.1) + u32::from(index_bits));
        let mut last = 0;
        let indices = (0..usize::from(size.0) * usize::from(size.1))
            .map(|_| {
                // Runs, so that strings become long.
                if numbers.next().is_multiple_of(4) {
                    last = (numbers.next() & ((1 << index_bits) - 1)) as u8;
                }
                last
            })
            .collect();
        let palette = (0..3 << index_bits).map(|_| numbers.next() as u8).collect();
        Self {
            screen: size,
            at: (0, 0),
            size,
            indices,
            global: Some(palette),
            local: None,
            transparent: None,
            interlaced: false,
            index_bits,
            version: b"GIF89a",
            more: vec![],
            grows: true,
        }
    }

    fn head(&self) -> Vec<u8> {
        let flags = |palette: &Option<Vec<u8>>| match palette {
            Some(palette) => 0x7f + (palette.len() / 3).ilog2() as u8,
            None => 0,
        };
        let words = |words: &[u16]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>();
        let mut file = [self.version, &words(&[self.screen.0, self.screen.1]), &[flags(&self.global), 7, 0]].concat();
        file.extend(self.global.iter().flatten());
        file.extend(&self.more);
        if let Some(index) = self.transparent {
            file.extend([0x21, 0xf9, 4, 1, 0, 0, index, 0]);
        }
        file.push(0x2c);
        file.extend(words(&[self.at.0, self.at.1, self.size.0, self.size.1]));
        file.push(flags(&self.local) | if self.interlaced { 0x40 } else { 0 });
        file.extend(self.local.iter().flatten());
        file
    }

    /// Every second string is as long as it can be.
    fn codes(&self, indices: &[u8]) -> Vec<u8> {
        let clear = 1_usize << self.index_bits;
        let (mut bits, mut count, mut bytes) = (0_u64, 0, Vec::new());
        let mut put = |code: usize, size: u32| {
            bits |= (code as u64) << count;
            count += size;
            while count >= 8 {
                bytes.push(bits as u8);
                bits >>= 8;
                count -= 8;
            }
        };
        let mut size = u32::from(self.index_bits) + 1;
        let mut strings: std::collections::HashMap<Vec<u8>, usize> = (0..clear).map(|i| (vec![i as u8], i)).collect();
        let mut free = clear + 2;
        put(clear, size);
        let mut at = 0;
        while at < indices.len() {
            let mut end = at + 1;
            while end < indices.len() && strings.contains_key(&indices[at..=end]) {
                end += 1;
            }
            put(strings[&indices[at..end]], size);
            if self.grows && free < 4096 && end < indices.len() {
                strings.insert(indices[at..=end].to_vec(), free);
                free += 1;
                if free == (1 << size) + 1 && size < 12 {
                    size += 1;
                }
            } else if !self.grows {
                put(clear, size);
            }
            at = end;
        }
        put(clear + 1, size);
        put(0, 7);
        bytes
    }

    fn gif(&self) -> Vec<u8> {
        let (width, height) = (usize::from(self.size.0), usize::from(self.size.1));
        let passes: &[(usize, usize)] = if self.interlaced { &PASSES } else { &[(0, 1)] };
        let rows = passes.iter().flat_map(|&(top, step)| (top..height).step_by(step));
        let indices: Vec<u8> = rows.flat_map(|y| &self.indices[y * width..][..width]).copied().collect();
        let mut file = self.head();
        file.push(self.index_bits);
        for block in self.codes(&indices).chunks(200) {
            file.push(block.len() as u8);
            file.extend(block);
        }
        file.extend([0, 0x3b]);
        file
    }

    /// What its canvas looks like.
    fn pixels(&self, canvas: (usize, usize), at: (usize, usize)) -> Pixels {
        let mut samples = vec![0; canvas.0 * canvas.1 * 4];
        let palette = self.local.as_ref().or(self.global.as_ref());
        for (i, &index) in self.indices.iter().enumerate() {
            let (x, y) = (at.0 + i % usize::from(self.size.0), at.1 + i / usize::from(self.size.0));
            let colour = match palette {
                Some(palette) => palette.chunks(3).nth(index.into()).map(<[u8]>::to_vec),
                None => Some(vec![index; 3]),
            };
            if let Some(colour) = colour.filter(|_| x < canvas.0 && y < canvas.1 && self.transparent != Some(index)) {
                samples[(y * canvas.0 + x) * 4..][..4].copy_from_slice(&[colour[0], colour[1], colour[2], 255]);
            }
        }
        Pixels { width: canvas.0, height: canvas.1, channels: 4, alpha: true, samples }
    }
}

fn assert_decoded(made: &Made, canvas: (usize, usize), at: (usize, usize), what: &str) {
    let source = made.gif();
    let gif = Gif::open(&source, &Limits::default()).unwrap();
    assert_eq!((gif.header.width, gif.header.height), canvas, "{what}");
    let channels = gif.header.planes();
    let Pixels { width, height, samples, .. } = made.pixels(canvas, at);
    // Grey is red; and opacity is left out where there is none.
    let kept: &[usize] = match (gif.header.colour.components(), gif.header.alpha) {
        (1, false) => &[0],
        (1, true) => &[0, 3],
        (_, false) => &[0, 1, 2],
        _ => &[0, 1, 2, 3],
    };
    assert!(gif.header.alpha || samples.iter().skip(3).step_by(4).all(|&opacity| opacity == 255), "{what}");
    let samples = samples.chunks(4).flat_map(|pixel| kept.iter().map(|&channel| pixel[channel])).collect();
    let pixels = Pixels { width, height, channels, alpha: gif.header.alpha, samples };
    for requests in requests(width, height) {
        for truncated in [Truncated::Strict, Truncated::BestEffort] {
            let decoded = gif.decode(&vec![requests.clone(); channels], truncated).unwrap();
            pixels.assert_averaged(&decoded.planes, &requests, what);
        }
    }
}

#[test]
fn every_depth_and_size() {
    for index_bits in 2..=8 {
        for size in [(1, 1), (3, 2), (7, 8), (9, 1), (1, 9), (33, 31), (260, 301)] {
            for interlaced in [false, true] {
                for grows in [true, false] {
                    let made = Made { interlaced, grows, ..Made::new(size, index_bits) };
                    let canvas = (size.0.into(), size.1.into());
                    assert_decoded(
                        &made,
                        canvas,
                        (0, 0),
                        &format!("{index_bits} bits, {size:?}, {interlaced}, {grows}"),
                    );
                }
            }
        }
    }
}

#[test]
fn the_reference_sees_the_same() {
    for index_bits in 2..=8 {
        for interlaced in [false, true] {
            let made = Made { interlaced, ..Made::new((260, 301), index_bits) };
            let mut decoder = ::gif::Decoder::new(std::io::Cursor::new(made.gif())).unwrap();
            assert_eq!(decoder.read_next_frame().unwrap().unwrap().buffer, made.indices);
        }
    }
}

#[test]
fn long_runs_and_full_tables() {
    let mut made = Made::new((600, 400), 8);
    made.indices.fill(3);
    assert_decoded(&made, (600, 400), (0, 0), "one colour");
    let mut numbers = Numbers(9);
    made.indices = (0..600 * 400).map(|_| numbers.next() as u8).collect();
    assert_decoded(&made, (600, 400), (0, 0), "noise");
}

#[test]
fn palettes_and_transparency() {
    let plain = Made::new((20, 18), 4);
    let shades = |count: u8| Some((0..count).flat_map(|i| [i * 9; 3]).collect::<Vec<u8>>());
    let whole = |made: &Made, what| assert_decoded(made, (20, 18), (0, 0), what);
    whole(&Made { local: shades(16), ..plain.clone() }, "a local palette counts");
    whole(&Made { local: shades(16), global: None, ..plain.clone() }, "a local palette alone");
    whole(&Made { global: None, ..plain.clone() }, "no palette");
    whole(&Made { global: shades(8), ..plain.clone() }, "indices beyond the palette");
    whole(&Made { transparent: Some(5), ..plain.clone() }, "transparent");
    whole(&Made { transparent: Some(5), interlaced: true, ..plain.clone() }, "transparent, interlaced");
    whole(&Made { transparent: Some(5), global: shades(16), ..plain.clone() }, "grey and transparent");
    let alpha = |made: &Made| Gif::open(&made.gif(), &Limits::default()).unwrap().header.alpha;
    assert!(!alpha(&plain) && !alpha(&Made { transparent: Some(16), ..plain.clone() }));
}

#[test]
fn a_frame_lies_on_its_canvas_as_in_browsers() {
    for interlaced in [false, true] {
        let plain = Made { interlaced, ..Made::new((20, 18), 3) };
        let at = |at, screen| Made { at, screen, ..plain.clone() };
        assert_decoded(&at((5, 7), (40, 60)), (40, 60), (5, 7), "inside");
        assert_decoded(&at((30, 50), (40, 60)), (40, 60), (30, 50), "over the edge");
        assert_decoded(&at((40, 70), (40, 60)), (40, 60), (40, 70), "outside");
        assert_decoded(&at((9, 9), (19, 60)), (20, 18), (0, 0), "larger than the screen");
        assert_decoded(&at((9, 9), (0, 0)), (20, 18), (0, 0), "no screen");
        assert_decoded(&Made { version: b"GIF87a", ..at((9, 9), (90, 90)) }, (20, 18), (0, 0), "the first version");
        let mut source = at((0, 0), (20, 18)).gif();
        let size = plain.head().len() - 5;
        source[size..size + 4].fill(0);
        assert!(Gif::open(&source, &Limits::default()).is_ok(), "no size is the screen's");
        source[6..10].fill(0);
        assert!(matches!(Gif::open(&source, &Limits::default()), Err(Error::Corrupt(_))));
    }
}

/// Small, so that a header that was changed costs no time.
const LIMITS: Limits = Limits { max_source_bytes: 1 << 20, max_source_pixels: 1 << 16, formats: crate::Formats::ALL };

fn decode(source: &[u8], truncated: Truncated) -> Result<Vec<Vec<u8>>, Error> {
    let gif = Gif::open(source, &LIMITS)?;
    let mut all = Vec::new();
    for requests in
        [&requests(gif.header.width, gif.header.height)[0], &requests(gif.header.width, gif.header.height)[3]]
    {
        let decoded = gif.decode(&vec![requests.clone(); gif.header.planes()], truncated)?;
        assert_eq!(decoded.planes.len(), gif.header.planes());
        all.extend(decoded.planes.into_iter().map(|placed| placed.plane.samples));
    }
    Ok(all)
}

fn samples() -> Vec<Vec<u8>> {
    let comment = [0x21, 0xfe, 3, b'a', b'b', b'c', 2, b'd', b'e', 0].to_vec();
    let plain = Made { more: comment, ..Made::new((31, 26), 5) };
    let interlaced = Made { interlaced: true, transparent: Some(3), screen: (40, 40), at: (3, 4), ..plain.clone() };
    vec![plain.gif(), interlaced.gif()]
}

#[test]
fn cut_at_every_byte() {
    for source in samples() {
        let whole = decode(&source, Truncated::Strict).unwrap();
        let mut parts = 0;
        for cut in 6..source.len() {
            match decode(&source[..cut], Truncated::Strict) {
                // Only what follows the last pixel may be missing.
                Ok(made) => assert!(made == whole && cut + 6 > source.len(), "cut at {cut} of {}", source.len()),
                Err(error) => assert_eq!(error, Error::Truncated, "cut at {cut} of {}", source.len()),
            }
            parts += usize::from(decode(&source[..cut], Truncated::BestEffort).is_ok());
        }
        assert!(parts > 100, "{parts}");
        assert!(decode(&source[..source.len() - 1], Truncated::Strict).is_ok(), "no trailer");
    }
}

#[test]
fn a_part_is_shown_as_far_as_it_came() {
    let made = Made { grows: false, ..Made::new((30, 100), 8) };
    let source = made.gif();
    let whole = decode(&source, Truncated::Strict).unwrap();
    let middle = source.len() - 30 * 50;
    for (damage, strict) in [(false, "truncated"), (true, "invalid")] {
        let mut bad = source[..if damage { source.len() } else { middle }].to_vec();
        if damage {
            bad[middle..middle + 20].fill(0xff);
        }
        let error = decode(&bad, Truncated::Strict).unwrap_err();
        assert!(error.to_string().contains(strict), "{error}");
        let part = decode(&bad, Truncated::BestEffort).unwrap();
        assert!(part[0][..30 * 40] == whole[0][..30 * 40] && part[0][30 * 90..].iter().all(|&sample| sample == 128));
    }
}

#[test]
fn thousands_of_changes() {
    let mut numbers = Numbers(4);
    for source in samples() {
        for _ in 0..5000 {
            let mut bad = source.clone();
            for _ in 0..1 + numbers.next() % 3 {
                let at = 6 + numbers.next() as usize % (bad.len() - 6);
                match numbers.next() % 4 {
                    0 => bad[at] ^= 1 << (numbers.next() % 8),
                    1 => bad[at] = numbers.next() as u8,
                    2 => drop(bad.drain(at..(at + 1 + numbers.next() as usize % 20).min(bad.len()))),
                    _ => bad.splice(at..at, (0..numbers.next() % 9).map(|i| i as u8)).for_each(drop),
                }
                if bad.len() < 30 {
                    break;
                }
            }
            let _ = decode(&bad, Truncated::Strict);
            let _ = decode(&bad, Truncated::BestEffort);
        }
    }
}

#[test]
fn later_frames_and_what_follows_are_not_read() {
    let source = samples().remove(0);
    let whole = decode(&source, Truncated::Strict).unwrap();
    let end = source.len() - 1;
    for more in [&b"garbage"[..], &[0x2c; 40], &[0x21, 0xff, 200, 1], &[]] {
        assert_eq!(decode(&[&source[..end], more].concat(), Truncated::Strict), Ok(whole.clone()));
    }
}

#[test]
fn files_without_a_picture() {
    let head = Made::new((5, 5), 3).head();
    let start = head.len() - 10;
    let cases: [(&[u8], Error); 4] = [
        (&[0x3b], Error::Corrupt("there is no frame".into())),
        (&[], Error::Truncated),
        (&[0x21, 0xfe, 9, 1], Error::Truncated),
        (&[&head[start..], &[9]].concat(), Error::Corrupt("its indices have 9 bits".into())),
    ];
    for (rest, error) in cases {
        assert_eq!(decode(&[&head[..start], rest].concat(), Truncated::BestEffort), Err(error));
    }
    let mut large = Made::new((5, 5), 3).gif();
    large[6..10].fill(255);
    assert!(matches!(decode(&large, Truncated::Strict), Err(Error::TooManyPixels { .. })));
}
