//! Encodes planes to a baseline file with the standard's own tables. On a small picture the encoder is a third of the work.

use wide::i16x8;

use super::fdct::Fdct;
use crate::jpeg::annex_k;
use crate::jpeg::dct::{BLOCK, NATURAL};
use crate::jpeg::header::marker;
use crate::jpeg::huffman::{Code, CodeBook, HuffmanSpec};
use crate::pixels::plane::Plane;

/// The tables of luma, or of colour differences.
struct ComponentTables {
    steps: [u8; BLOCK],
    dc: HuffmanSpec,
    ac: HuffmanSpec,
}

/// Makes a JFIF file of `planes`: luma, and nothing or two colour differences. Each of these is as large as luma or, if
/// `halved`, half of it each way, rounded up.
pub(super) fn encode(planes: &[&Plane], halved: bool, quality: u8) -> Vec<u8> {
    let luma = planes[0];
    // An MCU has two luma blocks each way where colour has half the samples.
    let blocks = if halved { 2 } else { 1 };
    let kinds = [true, false].into_iter().take(planes.len());
    let tables: Vec<ComponentTables> = kinds
        .map(|luma| ComponentTables {
            steps: annex_k::steps(luma, quality),
            dc: annex_k::dc(luma),
            ac: annex_k::ac(luma),
        })
        .collect();
    let coders: Vec<_> = tables.iter().map(|kind| (CodeBook::new(&kind.dc), CodeBook::new(&kind.ac))).collect();
    let transforms: Vec<_> = tables.iter().map(|kind| Fdct::new(&kind.steps)).collect();

    // About a bit and a half a sample, so that the vector grows seldom.
    let mut out = Vec::with_capacity(1024 + luma.samples.len() / 5);
    write_header(&mut out, planes, blocks, &tables);
    let mut writer = BitWriter { out, bits: 0, count: 0 };
    let mut predictions = [0_i16; 3];
    let row_bytes = most_row_bytes(planes, blocks, quality);
    for y in 0..luma.height.div_ceil(8 * blocks) {
        writer.make_room(row_bytes);
        for x in 0..luma.width.div_ceil(8 * blocks) {
            for (component, plane) in planes.iter().enumerate() {
                let kind = component.min(1);
                let (dc, ac) = &coders[kind];
                let blocks = if component == 0 { blocks } else { 1 };
                for (v, h) in (0..blocks).flat_map(|v| (0..blocks).map(move |h| (v, h))) {
                    let (left, top) = (8 * (x * blocks + h), 8 * (y * blocks + v));
                    let prediction = &mut predictions[component];
                    if left >= plane.width || top >= plane.height {
                        // Beyond the picture: the cheapest block.
                        writer.put(dc.of(0));
                        writer.put(ac.of(END_OF_BLOCK));
                        continue;
                    }
                    let coefficients = transforms[kind].transform(&block(plane, left, top));
                    let difference = coefficients[0] - *prediction;
                    *prediction = coefficients[0];
                    writer.block(&coefficients, difference, dc, ac);
                }
            }
        }
    }
    let mut out = writer.finish();
    out.extend([0xff, marker::EOI]);
    out.shrink_to_fit();
    out
}

/// About the most bytes of a row of MCUs.
fn most_row_bytes(planes: &[&Plane], luma_blocks: usize, quality: u8) -> usize {
    let mcus = planes[0].width.div_ceil(8 * luma_blocks);
    let chroma = (planes.len() as u64 - 1) * most_block_bytes(false, quality);
    mcus * ((luma_blocks * luma_blocks) as u64 * most_block_bytes(true, quality) + chroma) as usize
}

/// About the most bytes of a block: of the strongest possible noise, which has the same strength in every frequency. Then each
/// coefficient is 128 (half the range of samples, since the transform keeps the mean of squares).
pub(super) fn most_block_bytes(luma: bool, quality: u8) -> u64 {
    const STRENGTH: u32 = 128;
    let codes = CodeBook::new(&annex_k::ac(luma));
    let bits = annex_k::steps(luma, quality).map(|step| {
        // Half more: some have more and some less.
        let value = (STRENGTH * 3 / 2 / u32::from(step)).min(1023) as i16;
        codes.with_value(0, value).length
    });
    // DC may have a longer code; a byte of ones is two.
    (u64::from(bits.iter().sum::<u32>()) + 16).div_ceil(8) * 65 / 64 + 1
}

/// The samples of a block; beyond the plane's edge its last ones again.
#[inline(always)]
fn block(plane: &Plane, left: usize, top: usize) -> [[u8; 8]; 8] {
    let mut block = [[0; 8]; 8];
    for (y, samples) in block.iter_mut().enumerate() {
        let row = &plane.row((top + y).min(plane.height - 1))[left..];
        match row.first_chunk() {
            Some(whole) => *samples = *whole,
            None => samples.iter_mut().enumerate().for_each(|(x, sample)| *sample = row[x.min(row.len() - 1)]),
        }
    }
    block
}

/// Everything before the entropy-coded data (T.81, B.2; T.871, 10.1).
fn write_header(out: &mut Vec<u8>, planes: &[&Plane], luma_blocks: usize, tables: &[ComponentTables]) {
    /// JFIF 1.02, no density, no preview.
    const JFIF: &[u8] = b"JFIF\0\x01\x02\0\0\x01\0\x01\0\0";
    out.extend([0xff, marker::SOI]);
    segment(out, marker::APP0, JFIF);
    for (kind, ComponentTables { steps, .. }) in (0..).zip(tables) {
        segment(out, marker::DQT, &[&[kind], steps.as_slice()].concat());
    }
    let [height, width] = [planes[0].height, planes[0].width].map(|side| (side as u16).to_be_bytes());
    let mut frame = vec![8, height[0], height[1], width[0], width[1], planes.len() as u8];
    let mut scan = vec![planes.len() as u8];
    for component in 0..planes.len() as u8 {
        let kind = component.min(1);
        let factor = if component == 0 { luma_blocks as u8 } else { 1 };
        frame.extend([component + 1, factor << 4 | factor, kind]);
        scan.extend([component + 1, kind << 4 | kind]);
    }
    scan.extend([0, BLOCK as u8 - 1, 0]);
    segment(out, marker::SOF0, &frame);
    for (kind, ComponentTables { dc, ac, .. }) in (0..).zip(tables) {
        for (class, spec) in [(0, dc), (1, ac)] {
            segment(out, marker::DHT, &[&[class << 4 | kind], spec.counts.as_slice(), &spec.symbols].concat());
        }
    }
    segment(out, marker::SOS, &scan);
}

fn segment(out: &mut Vec<u8>, marker: u8, payload: &[u8]) {
    out.extend([0xff, marker]);
    out.extend((payload.len() as u16 + 2).to_be_bytes());
    out.extend(payload);
}

/// The symbol of AC that ends a block, and that of 16 zeros (T.81, F.1.2.2.1).
const END_OF_BLOCK: u8 = 0x00;
const SIXTEEN_ZEROS: u8 = 0xf0;

/// Writes codes to a vector, first the highest bit, with a zero stuffed behind each byte of ones (T.81, F.1.2.3).
struct BitWriter {
    out: Vec<u8>,
    /// The bits not yet written, at the low end.
    bits: u64,
    /// How many they are; less than 32 between calls.
    count: u32,
}

impl BitWriter {
    /// Makes room for `bytes` more, and grows by a quarter at the least: a vector that doubles takes three times the file's
    /// length when it grows last.
    fn make_room(&mut self, bytes: usize) {
        if self.out.capacity() - self.out.len() < bytes {
            self.out.reserve_exact(bytes.max(self.out.len() / 4));
        }
    }

    /// At most 32 bits.
    #[inline(always)]
    fn put(&mut self, code: Code) {
        self.bits = self.bits << code.length | u64::from(code.bits);
        self.count += code.length;
        if self.count >= 32 {
            self.count -= 32;
            let word = (self.bits >> self.count) as u32;
            // A byte of ones is one in whose complement nothing is set (Hacker's Delight, 6-1).
            if (!word).wrapping_sub(0x0101_0101) & word & 0x8080_8080 == 0 {
                self.out.extend_from_slice(&word.to_be_bytes());
            } else {
                self.stuff(word);
            }
        }
    }

    #[cold]
    fn stuff(&mut self, word: u32) {
        for byte in word.to_be_bytes() {
            self.out.push(byte);
            if byte == 0xff {
                self.out.push(0);
            }
        }
    }

    /// A block's coefficients, in natural order; DC is `difference` instead.
    #[inline(never)]
    fn block(&mut self, coefficients: &[i16; BLOCK], difference: i16, dc: &CodeBook, ac: &CodeBook) {
        self.put(dc.with_value(0, difference));
        let mut zigzag = [0; BLOCK];
        for (value, natural) in zigzag.iter_mut().zip(NATURAL) {
            *value = coefficients[usize::from(natural) % BLOCK];
        }
        // The places of AC that are not 0, as a set.
        let mut ahead = !zeros(&zigzag) & !1;
        let mut behind = 1;
        while ahead != 0 {
            let place = ahead.trailing_zeros();
            ahead &= ahead - 1;
            let mut run = place - behind;
            while run > 15 {
                self.put(ac.of(SIXTEEN_ZEROS));
                run -= 16;
            }
            self.put(ac.with_value(run, zigzag[place as usize & 63]));
            behind = place + 1;
        }
        if behind < BLOCK as u32 {
            self.put(ac.of(END_OF_BLOCK));
        }
    }

    /// The file so far; the last byte is filled up with ones.
    fn finish(mut self) -> Vec<u8> {
        let missing = (32 - self.count) % 8;
        self.put(Code { bits: (1 << missing) - 1, length: missing });
        let bytes = (self.bits << ((32 - self.count) % 32)) as u32;
        for byte in bytes.to_be_bytes().into_iter().take(self.count as usize / 8) {
            self.out.push(byte);
            if byte == 0xff {
                self.out.push(0);
            }
        }
        self.out
    }
}

/// The places of what is 0, as a set.
#[inline(always)]
fn zeros(values: &[i16; BLOCK]) -> u64 {
    let mut set = 0;
    for (i, eight) in values.as_chunks::<8>().0.iter().enumerate() {
        set |= u64::from(i16x8::new(*eight).simd_eq(i16x8::ZERO).to_bitmask() as u8) << (8 * i);
    }
    set
}
