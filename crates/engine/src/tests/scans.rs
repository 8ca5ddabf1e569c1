//! Pictures in one scan and in several, with samplings and damage that no available encoder makes: written here coefficient by
//! coefficient, so that the same picture exists in every form.

use super::equality::Numbers;
use super::*;
use crate::geometry::{PlaneRequest, Window};
use crate::jpeg::header::marker;
use crate::picture::Picture as _;

const BLOCK: usize = 64;

/// A picture as its quantised coefficients, in zigzag order.
struct Coefficients {
    width: usize,
    height: usize,
    /// Sampling factors, by component.
    sampling: Vec<(usize, usize)>,
    /// By component and row by row, including those that only fill up MCUs.
    blocks: Vec<Vec<[i16; BLOCK]>>,
}

impl Coefficients {
    fn new(width: usize, height: usize, sampling: &[(usize, usize)]) -> Self {
        let mut picture = Self { width, height, sampling: sampling.to_vec(), blocks: Vec::new() };
        let (mcus_x, mcus_y) = picture.mcus();
        let mut numbers = Numbers(7);
        for &(h, v) in sampling {
            let blocks = (0..mcus_x * h * mcus_y * v).map(|_| {
                let mut block = [0; BLOCK];
                block[0] = (numbers.next() % 120) as i16 - 60;
                for _ in 0..numbers.next() % 9 {
                    block[(numbers.next() % 63 + 1) as usize] = (numbers.next() % 15) as i16 - 7;
                }
                block
            });
            picture.blocks.push(blocks.collect());
        }
        picture
    }

    fn most(&self) -> (usize, usize) {
        let (h, v) = self.sampling.iter().copied().unzip::<_, _, Vec<_>, Vec<_>>();
        (h.into_iter().max().unwrap(), v.into_iter().max().unwrap())
    }

    fn mcus(&self) -> (usize, usize) {
        let (h, v) = if self.sampling.len() == 1 { (1, 1) } else { self.most() };
        (self.width.div_ceil(8 * h), self.height.div_ceil(8 * v))
    }

    /// The file with these scans of these components.
    fn file(&self, scans: &[&[usize]], restart_interval: usize) -> Vec<u8> {
        let mut file = vec![0xff, marker::SOI];
        let segment = |file: &mut Vec<u8>, marker: u8, payload: &[u8]| {
            file.extend([0xff, marker]);
            file.extend((payload.len() as u16 + 2).to_be_bytes());
            file.extend(payload);
        };
        segment(&mut file, marker::DQT, &[&[0][..], &[8; BLOCK]].concat());
        let [height, width] = [self.height, self.width].map(|side| (side as u16).to_be_bytes());
        let mut frame = vec![8, height[0], height[1], width[0], width[1], self.sampling.len() as u8];
        for (id, &(h, v)) in (1..).zip(&self.sampling) {
            frame.extend([id, (h << 4 | v) as u8, 0]);
        }
        segment(&mut file, marker::SOF0, &frame);
        // Codes of eight bits for all symbols but the last: the code is the symbol, and a byte of ones is not a code.
        let codes: Vec<u8> = [0, 0, 0, 0, 0, 0, 0, 255, 0, 0, 0, 0, 0, 0, 0, 0].into_iter().chain(0..255).collect();
        for class in [0x00, 0x10] {
            segment(&mut file, marker::DHT, &[&[class][..], &codes].concat());
        }
        if restart_interval > 0 {
            segment(&mut file, marker::DRI, &(restart_interval as u16).to_be_bytes());
        }
        for scan in scans {
            let mut header = vec![scan.len() as u8];
            scan.iter().for_each(|&component| header.extend([component as u8 + 1, 0]));
            header.extend([0, 63, 0]);
            segment(&mut file, marker::SOS, &header);
            let mcus = self.scan(scan);
            let interval = if restart_interval == 0 { mcus.len() } else { restart_interval };
            for (index, mcus) in mcus.chunks(interval).enumerate() {
                if index > 0 {
                    file.extend([0xff, marker::RST0 + (index - 1) as u8 % 8]);
                }
                file.extend(self.coded(mcus));
            }
        }
        file.extend([0xff, marker::EOI]);
        file
    }

    /// The blocks of each MCU of a scan: which component's, which one.
    fn scan(&self, scan: &[usize]) -> Vec<Vec<(usize, usize)>> {
        let (mcus_x, mcus_y) = self.mcus();
        let (h_max, v_max) = self.most();
        if let [only] = *scan {
            let (h, v) = if self.sampling.len() == 1 { (1, 1) } else { self.sampling[only] };
            let (h_max, v_max) = if self.sampling.len() == 1 { (1, 1) } else { (h_max, v_max) };
            let (across, down) = ((self.width * h).div_ceil(8 * h_max), (self.height * v).div_ceil(8 * v_max));
            return (0..down).flat_map(|y| (0..across).map(move |x| vec![(only, y * mcus_x * h + x)])).collect();
        }
        let mcu = |x: usize, y: usize| {
            let mut blocks = Vec::new();
            for &component in scan {
                let (h, v) = self.sampling[component];
                blocks.extend(
                    (0..v).flat_map(|j| (0..h).map(move |i| (component, (y * v + j) * mcus_x * h + x * h + i))),
                );
            }
            blocks
        };
        (0..mcus_y).flat_map(|y| (0..mcus_x).map(move |x| (x, y))).map(|(x, y)| mcu(x, y)).collect()
    }

    fn coded(&self, mcus: &[Vec<(usize, usize)>]) -> Vec<u8> {
        let mut codes = Vec::new();
        let mut predictions = vec![0; self.sampling.len()];
        let mut put = |run: u32, value: i16| {
            let size = 16 - value.unsigned_abs().leading_zeros();
            codes.push((run << 4 | size, 8));
            codes.push(((i32::from(value) - i32::from(value < 0)) as u32 & ((1 << size) - 1), size));
        };
        for &(component, index) in mcus.iter().flatten() {
            let block = &self.blocks[component][index];
            put(0, block[0] - predictions[component]);
            predictions[component] = block[0];
            let mut run = 0;
            for &value in &block[1..] {
                if value == 0 {
                    run += 1;
                    continue;
                }
                while run > 15 {
                    put(15, 0);
                    run -= 16;
                }
                put(run, value);
                run = 0;
            }
            if run > 0 {
                put(0, 0);
            }
        }
        bad_files::coded(codes.into_iter().filter(|&(_, length)| length > 0))
    }
}

const SAMPLINGS: [&[(usize, usize)]; 8] = [
    &[(1, 1), (1, 1), (1, 1)],
    &[(2, 2), (1, 1), (1, 1)],
    &[(2, 1), (1, 1), (1, 1)],
    &[(3, 1), (1, 1), (1, 1)],
    &[(3, 2), (1, 2), (1, 1)],
    &[(4, 1), (2, 1), (1, 1)],
    &[(1, 1), (1, 1), (1, 1), (1, 1)],
    &[(2, 2), (1, 1), (1, 1), (2, 2)],
];

fn specs() -> Vec<Spec> {
    vec![spec(97, 61, Fit::Fill), spec(20, 20, Fit::Cover), spec(9, 30, Fit::Cover), spec(48, 48, Fit::Contain)]
}

fn all(file: &[u8]) -> Result<Vec<Thumbnail>, Error> {
    thumbnails(file, &specs(), &Options::default())
}

/// The planes of a file, all blocks at full size.
fn planes(file: &[u8], truncated: Truncated) -> Vec<Plane> {
    let jpeg = Jpeg::open(file, &Limits::default()).unwrap();
    let header = jpeg.header();
    let window = Window { left: 0.0, top: 0.0, width: header.width as f64, height: header.height as f64 };
    let request = PlaneRequest { window, width: header.width, height: header.height };
    let requests = vec![vec![request]; header.colour.components()];
    jpeg.decode(&requests, truncated).unwrap().planes.into_iter().map(|placed| placed.plane).collect()
}

#[test]
fn a_picture_is_the_same_in_one_scan_and_in_several() {
    for sampling in SAMPLINGS {
        let picture = Coefficients::new(97, 61, sampling);
        let count = sampling.len();
        let everything: Vec<usize> = (0..count).collect();
        let one = all(&picture.file(&[&everything], 0)).unwrap();
        let each: Vec<&[usize]> = everything.chunks(1).collect();
        let turned: Vec<&[usize]> = each.iter().rev().copied().collect();
        let ways: [&[&[usize]]; 6] = [
            &[&everything],
            &each,
            &turned,
            &[&everything[..1], &everything[1..]],
            &[&everything[..2], &everything[2..]],
            &[&everything[1..], &everything[..1]],
        ];
        for scans in ways {
            for restart_interval in [0, 3] {
                let made = all(&picture.file(scans, restart_interval));
                assert!(made.as_ref() == Ok(&one), "{sampling:?} in {scans:?}, {restart_interval}: {:?}", made.err());
            }
        }
    }
}

#[test]
fn every_sampling_has_the_components_that_a_grey_picture_has() {
    for sampling in SAMPLINGS {
        let picture = Coefficients::new(97, 61, sampling);
        let everything: Vec<usize> = (0..sampling.len()).collect();
        let made = planes(&picture.file(&[&everything], 0), Truncated::Strict);
        let (h_max, v_max) = picture.most();
        for (component, (plane, &(h, v))) in made.iter().zip(sampling).enumerate() {
            let (width, height) = ((97 * h).div_ceil(h_max), (61 * v).div_ceil(v_max));
            let (across, down) = (width.div_ceil(8), height.div_ceil(8));
            let stride = picture.mcus().0 * h;
            let blocks = (0..down).flat_map(|y| (0..across).map(move |x| y * stride + x));
            let grey = Coefficients {
                width,
                height,
                sampling: vec![(1, 1)],
                blocks: vec![blocks.map(|index| picture.blocks[component][index]).collect()],
            };
            let grey = planes(&grey.file(&[&[0]], 0), Truncated::Strict).remove(0);
            assert!(*plane == grey, "{sampling:?}, component {component}");
        }
    }
}

#[test]
fn a_missing_end_marker_behind_a_whole_picture_is_no_truncation() {
    for (sampling, scans) in [
        (SAMPLINGS[1], &[&[0, 1, 2][..]][..]),
        (SAMPLINGS[1], &[&[0], &[1, 2]]),
        (SAMPLINGS[6], &[&[0, 1, 2, 3]]),
        (SAMPLINGS[3], &[&[0], &[1], &[2]]),
    ] {
        let file = Coefficients::new(97, 61, sampling).file(scans, 0);
        let whole = all(&file).unwrap();
        let endless = &file[..file.len() - 2];
        assert!(all(endless).as_ref() == Ok(&whole), "{scans:?}");
        // Or another marker in its place.
        assert!(all(&[endless, &[0xff, 0xe0, 0, 2]].concat()).as_ref() == Ok(&whole), "{scans:?}");
        assert_eq!(all(&endless[..endless.len() - 1]), Err(Error::Truncated), "{scans:?}");
        if let Some(last) = file.windows(2).rposition(|bytes| bytes == [0xff, marker::SOS]).filter(|_| scans.len() > 1)
        {
            assert_eq!(all(&file[..last]), Err(Error::Truncated), "a scan is missing");
        }
    }
}

#[test]
fn a_picture_without_huffman_tables_has_those_of_annex_k() {
    let source = photo(97, 61);
    let whole = all(&source).unwrap();
    let mut without = source;
    while let Some(at) = without.windows(2).position(|bytes| bytes == [0xff, marker::DHT]) {
        let length = usize::from(u16::from_be_bytes([without[at + 2], without[at + 3]]));
        without.drain(at..at + 2 + length);
    }
    assert!(all(&without).as_ref() == Ok(&whole));
}

#[test]
fn components_of_the_same_identifier_are_taken_in_turn() {
    for sampling in [SAMPLINGS[1], SAMPLINGS[6]] {
        let everything: Vec<usize> = (0..sampling.len()).collect();
        let mut file = Coefficients::new(97, 61, sampling).file(&[&everything], 0);
        let whole = all(&file).unwrap();
        let frame = file.windows(2).position(|bytes| bytes == [0xff, marker::SOF0]).unwrap();
        let scan = file.windows(2).position(|bytes| bytes == [0xff, marker::SOS]).unwrap();
        for component in everything {
            file[frame + 10 + 3 * component] = 1;
            file[scan + 5 + 2 * component] = 1;
        }
        assert!(all(&file).as_ref() == Ok(&whole));
    }
}

#[test]
fn behind_a_damaged_restart_interval_the_picture_goes_on() {
    // Two MCUs of 16x16 an interval, so that four intervals are a row; in one scan and in several.
    let picture = Coefficients::new(128, 64, SAMPLINGS[1]);
    for scans in [&[&[0, 1, 2][..]][..], &[&[0], &[1, 2]]] {
        let file = picture.file(scans, 2);
        let whole = planes(&file, Truncated::Strict);
        let markers: Vec<usize> = (0..file.len() - 1)
            .filter(|&at| file[at] == 0xff && (marker::RST0..=marker::RST7).contains(&file[at + 1]))
            .collect();
        // Invalid codes, early in an interval.
        let damaged = [&file[..markers[4] + 4], &[0xff, 0].repeat(4), &file[markers[4] + 4..]].concat();
        // A missing marker: two intervals merge, and the next one has another number.
        let lost = [&file[..markers[4]], &file[markers[4] + 2..]].concat();
        // A reserved marker.
        let reserved = [&file[..markers[4] + 4], &[0xff, 0x9f], &file[markers[4] + 4..]].concat();
        for (file, from, to) in [(&damaged, 5, 6), (&lost, 4, 6), (&reserved, 5, 6)] {
            let strict = thumbnails(file, &specs(), &Options::default()).unwrap_err();
            assert!(matches!(strict, Error::Corrupt(_) | Error::Truncated), "{strict:?}");
            let made = planes(file, Truncated::BestEffort);
            let luma_of_interval = |x: usize, y: usize| match scans.len() {
                1 => (y / 16 * 8 + x / 16) / 2,
                _ => (y / 8 * 16 + x / 8) / 2,
            };
            let mut different = 0;
            for y in 0..64 {
                for x in 0..128 {
                    let same = made[0].row(y)[x] == whole[0].row(y)[x];
                    let inside = (from..to).contains(&luma_of_interval(x, y));
                    assert!(same || inside, "{scans:?}: {x},{y} of interval {}", luma_of_interval(x, y));
                    different += usize::from(!same);
                }
            }
            assert!(different > 0);
        }
    }
}
