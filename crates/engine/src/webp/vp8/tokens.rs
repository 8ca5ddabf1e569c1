//! The coefficients of a macroblock (RFC 6386, section 13).

use super::bool_decoder::BoolDecoder;
use super::tables::Probabilities;
use super::transform::{self, Coefficients};

/// The quantisation steps of a segment, of DC and AC.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Steps {
    pub luma: [i16; 2],
    /// Of the block of the luma blocks' DC coefficients.
    pub luma_dc: [i16; 2],
    pub chroma: [i16; 2],
}

/// The probabilities of the tokens' tree, by kind of block, place in the block's zigzag order, and context.
///
/// There is one place more than coefficients, so that the probabilities of the next can be looked up after the last.
#[derive(Debug)]
pub(super) struct TokenTable([BlockTable; 4]);

type BlockTable = [[[u8; 16]; 3]; 17];

/// Kinds of blocks, in the order of the tables.
const LUMA_WITHOUT_DC: usize = 0;
const LUMA_DC: usize = 1;
const CHROMA: usize = 2;
const LUMA: usize = 3;

impl TokenTable {
    pub fn new(probabilities: &Probabilities) -> Box<Self> {
        /// The bands of the 16 coefficients; what is looked up after the last is not used.
        const BANDS: [usize; 17] = [0, 1, 2, 3, 6, 4, 5, 6, 6, 6, 6, 6, 6, 6, 6, 7, 0];
        let mut table = Box::new(Self([[[[0; 16]; 3]; 17]; 4]));
        for (block, bands) in table.0.iter_mut().zip(probabilities) {
            for (place, band) in block.iter_mut().zip(BANDS) {
                for (context, probabilities) in place.iter_mut().zip(&bands[band]) {
                    context[..probabilities.len()].copy_from_slice(probabilities);
                }
            }
        }
        table
    }
}

/// Which blocks beside or above a macroblock have coefficients: one number, 0 or 1, for each.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BlockContext {
    luma: [u8; 4],
    u: [u8; 2],
    v: [u8; 2],
    luma_dc: u8,
}

impl BlockContext {
    /// After a macroblock without coefficients. If it was predicted by subblocks, it had no block of DC coefficients anyway.
    pub fn clear(&mut self, subblocks: bool) {
        *self = Self { luma_dc: if subblocks { self.luma_dc } else { 0 }, ..Self::default() };
    }
}

/// What a macroblock has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Coded {
    /// The last place, plus one, that any luma or any chroma block has a coefficient at.
    pub luma: usize,
    pub chroma: usize,
}

/// Reads the coefficients of a macroblock, which must be zero before.
#[inline]
pub(super) fn read(
    partition: &mut BoolDecoder,
    table: &TokenTable,
    steps: &Steps,
    subblocks: bool,
    above: &mut BlockContext,
    left: &mut BlockContext,
    coefficients: &mut Coefficients,
) -> Coded {
    // A copy stays in registers.
    let mut coded = partition.clone();
    let mut result = Coded::default();
    let (first, kind) = if subblocks { (0, LUMA) } else { (1, LUMA_WITHOUT_DC) };
    if !subblocks {
        let mut dc = [0; 16];
        let context = usize::from(above.luma_dc + left.luma_dc);
        let end = block(&mut coded, &table.0[LUMA_DC], context, &steps.luma_dc, 0, |place, value| dc[place] = value);
        let any = u8::from(end > 0);
        (above.luma_dc, left.luma_dc) = (any, any);
        if end > 0 {
            coefficients.luma[0] = transform::walsh_hadamard(&dc);
            result.luma = usize::from(coefficients.luma[0] != [0; 16]);
        }
    }
    for y in 0..4 {
        for x in 0..4 {
            let context = usize::from(above.luma[x] + left.luma[y]);
            let put = |place: usize, value| coefficients.luma[place & 15][4 * y + x] = value;
            let end = block(&mut coded, &table.0[kind], context, &steps.luma, first, put);
            let any = u8::from(end > first);
            (above.luma[x], left.luma[y]) = (any, any);
            if any == 1 {
                result.luma = result.luma.max(end);
            }
        }
    }
    for (plane, (above, left)) in [(&mut above.u, &mut left.u), (&mut above.v, &mut left.v)].into_iter().enumerate() {
        for (y, left) in left.iter_mut().enumerate() {
            for (x, above) in above.iter_mut().enumerate() {
                let context = usize::from(*above + *left);
                let put = |place: usize, value| coefficients.chroma[place & 15][4 * plane + 2 * y + x] = value;
                let end = block(&mut coded, &table.0[CHROMA], context, &steps.chroma, 0, put);
                let any = u8::from(end > 0);
                (*above, *left) = (any, any);
                result.chroma = result.chroma.max(end);
            }
        }
    }
    *partition = coded;
    result
}

/// The natural place, row by row, of each coefficient in zigzag order.
const NATURAL: [u8; 16] = [0, 1, 4, 8, 5, 2, 3, 6, 9, 12, 13, 10, 7, 11, 14, 15];

/// Reads the coefficients of a block from number `first` on, and gives each, dequantised, to `put`. Returns the number after
/// the last one.
#[inline(always)]
fn block(
    coded: &mut BoolDecoder,
    table: &BlockTable,
    context: usize,
    steps: &[i16; 2],
    first: usize,
    mut put: impl FnMut(usize, i16),
) -> usize {
    let mut place = first;
    let mut p = &table[place][context];
    while place < 16 {
        if !coded.bit(p[0]) {
            return place;
        }
        while !coded.bit(p[1]) {
            place += 1;
            if place == 16 {
                return 16;
            }
            p = &table[place][0];
        }
        let next = &table[place + 1];
        let value;
        if coded.bit(p[2]) {
            (*coded, value) = large(coded.clone(), p);
            p = &next[2];
        } else {
            value = 1;
            p = &next[1];
        }
        let step = i32::from(steps[usize::from(place > 0)]);
        // Only a file of no encoder has products that are cut off here.
        put(usize::from(NATURAL[place]), (coded.signed(value) * step) as i16);
        place += 1;
    }
    16
}

/// A magnitude of more than 1. The decoder goes in and out by value, so that the caller's stays in registers.
#[inline(never)]
fn large<'a>(mut coded: BoolDecoder<'a>, p: &[u8; 16]) -> (BoolDecoder<'a>, i32) {
    let value = magnitude(&mut coded, p);
    (coded, value)
}

#[inline(always)]
fn magnitude(coded: &mut BoolDecoder, p: &[u8; 16]) -> i32 {
    /// The probabilities of the extra bits of the last four categories.
    const EXTRA: [&[u8]; 4] = [
        &[173, 148, 140],
        &[176, 155, 140, 135],
        &[180, 157, 141, 134, 130],
        &[254, 254, 243, 230, 196, 177, 153, 140, 133, 130, 129],
    ];
    let mut bit = |probability| i32::from(coded.bit(probability));
    if bit(p[3]) == 0 {
        return if bit(p[4]) == 0 { 2 } else { 3 + bit(p[5]) };
    }
    if bit(p[6]) == 0 {
        return if bit(p[7]) == 0 { 5 + bit(159) } else { 7 + 2 * bit(165) + bit(145) };
    }
    let upper = bit(p[8]);
    let category = 2 * upper + bit(p[9 + upper as usize]);
    let extra = EXTRA[category as usize].iter().fold(0, |extra, &probability| 2 * extra + bit(probability));
    3 + (8 << category) + extra
}
