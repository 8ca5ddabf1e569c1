//! Quantised coefficients between the two passes: the first makes them and counts their symbols, the second writes them with
//! the codes that were made for these.

use wide::i16x8;

use super::huffman_codes::Counts;
use crate::jpeg::dct::{BLOCK, NATURAL};

/// A coefficient that is not 0 and how many zeros are before it, at most 15: what one code is for (T.81, F.1.2). The value has
/// the upper 12 bits, which also hold any difference of DC.
///
/// A block is the difference of its DC, its coefficients, and one of the two ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Coefficient(i16);

impl Coefficient {
    /// 16 zeros.
    const SIXTEEN_ZEROS: Self = Self::new(15, 0);
    /// The remaining coefficients of a block are 0.
    const END_OF_BLOCK: Self = Self::new(0, 0);
    /// The end of a block whose last coefficient is not 0. Its symbol is no code's.
    const END_OF_FULL_BLOCK: Self = Self::new(1, 0);

    const fn new(run: u32, value: i16) -> Self {
        Self(value << 4 | run as i16)
    }

    #[inline(always)]
    pub fn run(self) -> u32 {
        self.0 as u32 & 15
    }

    #[inline(always)]
    pub fn value(self) -> i16 {
        self.0 >> 4
    }

    /// Whether a block ends here.
    #[inline(always)]
    pub fn is_end(self) -> bool {
        self == Self::END_OF_BLOCK || self == Self::END_OF_FULL_BLOCK
    }

    /// The run, and how many bits the value has.
    #[inline(always)]
    fn symbol(self) -> u8 {
        (self.run() << 4 | size(self.value())) as u8
    }
}

/// How many bits a value has.
#[inline(always)]
fn size(value: i16) -> u32 {
    16 - value.unsigned_abs().leading_zeros()
}

/// The most coefficients that a block becomes.
pub(super) const MOST_OF_A_BLOCK: usize = BLOCK + 1;

/// How often the symbols of one kind of component occur.
#[derive(Clone)]
pub(super) struct SymbolCounts {
    pub dc: Counts,
    pub ac: Counts,
}

impl SymbolCounts {
    pub const NONE: Self = Self { dc: [0; 256], ac: [0; 256] };

    /// Those of which there is a code.
    pub fn coded(mut self) -> Self {
        self.ac[usize::from(Coefficient::END_OF_FULL_BLOCK.symbol())] = 0;
        self
    }

    /// Appends a block to `row`: its coefficients in natural order, DC is `difference` instead.
    #[inline(never)]
    pub fn block(&mut self, coefficients: &[i16; BLOCK], difference: i16, row: &mut Vec<Coefficient>) {
        self.dc[size(difference) as usize] += 1;
        let mut block = [Coefficient::new(0, difference); MOST_OF_A_BLOCK];
        let mut length = 1;
        let mut add = |coefficient: Coefficient| {
            self.ac[usize::from(coefficient.symbol())] += 1;
            block[length] = coefficient;
            length += 1;
        };
        // The zigzag places of AC that are not 0, as a set.
        let mut ahead = set_places(coefficients) & !1;
        let mut behind = 1;
        while ahead != 0 {
            let place = ahead.trailing_zeros();
            ahead &= ahead - 1;
            let mut run = place - behind;
            while run > 15 {
                add(Coefficient::SIXTEEN_ZEROS);
                run -= 16;
            }
            let natural = NATURAL[place as usize % BLOCK];
            add(Coefficient::new(run, coefficients[usize::from(natural) % BLOCK]));
            behind = place + 1;
        }
        let full = behind == BLOCK as u32;
        add(if full { Coefficient::END_OF_FULL_BLOCK } else { Coefficient::END_OF_BLOCK });
        row.extend_from_slice(&block[..length]);
    }
}

/// The zigzag places of what is not 0, as a set. To sort only these is faster than to sort the values.
#[inline(always)]
fn set_places(natural: &[i16; BLOCK]) -> u64 {
    let mut set = 0;
    for (row, places) in natural.as_chunks::<8>().0.iter().zip(&ZIGZAG_PLACES) {
        let zeros = i16x8::new(*row).simd_eq(i16x8::ZERO).to_bitmask() as u8;
        set |= places[usize::from(!zeros)];
    }
    set
}

/// By row of natural order and set of places in this row: the same places in zigzag order.
static ZIGZAG_PLACES: [[u64; 256]; 8] = {
    let mut sets = [[0; 256]; 8];
    let mut place = 0;
    while place < BLOCK {
        let (row, column) = (NATURAL[place] as usize / 8, NATURAL[place] % 8);
        let mut set = 0;
        while set < 256 {
            sets[row][set] |= ((set as u64 >> column) & 1) << place;
            set += 1;
        }
        place += 1;
    }
    sets
};
