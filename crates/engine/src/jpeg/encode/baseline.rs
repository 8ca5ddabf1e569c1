//! Encodes planes to a baseline file, in two passes: transform and count, then write with the codes that are best for these
//! counts. On a small picture the encoder is a third of the work.

use super::bit_writer::BitWriter;
use super::coefficients::{Coefficient, MOST_OF_A_BLOCK, SymbolCounts};
use super::fdct::Fdct;
use super::huffman_codes::codes_for;
use super::quantisation::{self, Chroma};
use crate::jpeg::annex_k;
use crate::jpeg::dct::BLOCK;
use crate::jpeg::header::marker;
use crate::jpeg::huffman::{CodeBook, HuffmanSpec};
use crate::pixels::plane::Plane;

/// The codes of luma, or of colour differences.
struct Codes {
    dc: HuffmanSpec,
    ac: HuffmanSpec,
}

/// Makes a JFIF file of `planes`: luma, and nothing or two colour differences. Each of these is as large as luma or, if
/// `chroma` says so, half of it each way, rounded up.
pub(super) fn encode(planes: &[&Plane], chroma: Chroma, quality: u8) -> Vec<u8> {
    let kinds = [true, false].into_iter().take(planes.len());
    let steps: Vec<_> = kinds.map(|luma| quantisation::steps(luma, chroma, quality)).collect();
    // An MCU has two luma blocks each way where colour has half the samples.
    let luma_blocks = if chroma == Chroma::Halved { 2 } else { 1 };
    let dead_zone = quantisation::dead_zone(chroma, quality);
    let transforms: Vec<_> = steps.iter().map(|steps| Fdct::new(steps, dead_zone)).collect();
    let (rows, counts) = transformed(planes, luma_blocks, &transforms);

    let codes: Vec<_> =
        counts.iter().map(|counts| Codes { dc: codes_for(&counts.dc), ac: codes_for(&counts.ac) }).collect();
    let books: Vec<_> = codes.iter().map(|kind| (CodeBook::new(&kind.dc), CodeBook::new(&kind.ac))).collect();
    let header = header(planes, luma_blocks, &steps, &codes);
    let bits = |(counts, (dc, ac)): (&SymbolCounts, &(CodeBook, CodeBook))| dc.bits(&counts.dc) + ac.bits(&counts.ac);
    let bytes = counts.iter().zip(&books).map(bits).sum::<u64>() as usize / 8;
    // Some more for zeros behind bytes of ones, of which every 256th byte is one, and for the end.
    let mut out = Vec::with_capacity(header.len() + bytes + bytes / STUFFED_PART + 16);
    out.extend(header);
    let mut out = written(out, &rows, mcu_blocks(planes.len(), luma_blocks), &books);
    out.extend([0xff, marker::EOI]);
    out
}

/// The part of the entropy-coded data that stuffed zeros may take, as one over this.
const STUFFED_PART: usize = 64;

/// For each block of an MCU, the component it is of.
fn mcu_blocks(components: usize, luma_blocks: usize) -> impl Iterator<Item = usize> + Clone {
    std::iter::repeat_n(0, luma_blocks * luma_blocks).chain(1..components)
}

/// The first pass: each row of MCUs, and, for luma and for colour, how often each symbol is in them.
fn transformed(
    planes: &[&Plane],
    luma_blocks: usize,
    transforms: &[Fdct],
) -> (Vec<Box<[Coefficient]>>, Vec<SymbolCounts>) {
    let luma = planes[0];
    let mcus = luma.width.div_ceil(8 * luma_blocks);
    let blocks: usize = mcus * (luma_blocks * luma_blocks + planes.len() - 1);
    let mut row = Vec::with_capacity(blocks * MOST_OF_A_BLOCK);
    let mut counts = vec![SymbolCounts::NONE; transforms.len()];
    let mut predictions = [0_i16; 3];
    let rows = (0..luma.height.div_ceil(8 * luma_blocks)).map(|y| {
        row.clear();
        for x in 0..mcus {
            for (component, plane) in planes.iter().enumerate() {
                let kind = component.min(1);
                let (transform, counts) = (&transforms[kind], &mut counts[kind]);
                let blocks = if component == 0 { luma_blocks } else { 1 };
                for (v, h) in (0..blocks).flat_map(|v| (0..blocks).map(move |h| (v, h))) {
                    let (left, top) = (8 * (x * blocks + h), 8 * (y * blocks + v));
                    if left >= plane.width || top >= plane.height {
                        // Beyond the picture: the cheapest block.
                        counts.block(&[0; BLOCK], 0, &mut row);
                        continue;
                    }
                    let coefficients = transform.transform(&block(plane, left, top));
                    let prediction = std::mem::replace(&mut predictions[component], coefficients[0]);
                    counts.block(&coefficients, coefficients[0] - prediction, &mut row);
                }
            }
        }
        row.as_slice().into()
    });
    let rows = rows.collect();
    (rows, counts.into_iter().map(SymbolCounts::coded).collect())
}

/// The second pass: `out` and the entropy-coded data behind it.
fn written(
    out: Vec<u8>,
    rows: &[Box<[Coefficient]>],
    mcu_blocks: impl Iterator<Item = usize> + Clone,
    books: &[(CodeBook, CodeBook)],
) -> Vec<u8> {
    let mut writer = BitWriter::new(out);
    for row in rows {
        let mut coefficients = row.iter();
        for component in mcu_blocks.clone().cycle() {
            let (dc, ac) = &books[component.min(1)];
            let Some(difference) = coefficients.next() else { break };
            writer.put(dc.with_value(0, difference.value()));
            for coefficient in coefficients.by_ref() {
                writer.put(ac.with_value(coefficient.run(), coefficient.value()));
                if coefficient.is_end() {
                    break;
                }
            }
        }
    }
    writer.finish()
}

/// About the most bytes of a block: of the strongest possible noise, which has the same strength in every frequency. Then each
/// coefficient is 128 (half the range of samples, since the transform keeps the mean of squares). With the codes of annex K:
/// a picture's own make it no larger.
pub(super) fn most_block_bytes(luma: bool, chroma: Chroma, quality: u8) -> u64 {
    const STRENGTH: u32 = 128;
    let codes = CodeBook::new(&annex_k::ac(luma));
    let bits = quantisation::steps(luma, chroma, quality).map(|step| {
        // Half more: some have more and some less.
        let value = (STRENGTH * 3 / 2 / u32::from(step)).min(1023) as i16;
        codes.with_value(0, value).length
    });
    // DC may have a longer code; a byte of ones is two.
    (u64::from(bits.iter().sum::<u32>()) + 16).div_ceil(8) * 65 / 64 + 1
}

/// The most bytes of what a block is between the passes.
pub(super) const BLOCK_BYTES: u64 = (MOST_OF_A_BLOCK * size_of::<Coefficient>()) as u64;

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
fn header(planes: &[&Plane], luma_blocks: usize, steps: &[[u8; BLOCK]], codes: &[Codes]) -> Vec<u8> {
    /// JFIF 1.02, no density, no preview.
    const JFIF: &[u8] = b"JFIF\0\x01\x02\0\0\x01\0\x01\0\0";
    let mut out = vec![0xff, marker::SOI];
    segment(&mut out, marker::APP0, JFIF);
    let mut tables = Vec::new();
    for (kind, steps) in (0..).zip(steps) {
        tables.push(kind);
        tables.extend(steps);
    }
    segment(&mut out, marker::DQT, &tables);
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
    segment(&mut out, marker::SOF0, &frame);
    let mut tables = Vec::new();
    for (kind, Codes { dc, ac }) in (0..).zip(codes) {
        for (class, spec) in [(0, dc), (1, ac)] {
            tables.push(class << 4 | kind);
            tables.extend(spec.counts);
            tables.extend(&spec.symbols);
        }
    }
    segment(&mut out, marker::DHT, &tables);
    segment(&mut out, marker::SOS, &scan);
    out
}

fn segment(out: &mut Vec<u8>, marker: u8, payload: &[u8]) {
    out.extend([0xff, marker]);
    out.extend((payload.len() as u16 + 2).to_be_bytes());
    out.extend(payload);
}
