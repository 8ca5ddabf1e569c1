//! The decode tables of sequential scans: they map the next bits of the data to a coefficient and to how far a reader moves.
//!
//! An entry is laid out so that one addition advances a reader ([`Lane`]): above [`POSITION_BITS`] the number of bits, in the low
//! bits the number of coefficients. The drawing and an example are in the documentation of [`decode`](super).
//!
//! ```text
//!           31                16 15         9 8             0
//! Step     [ value, signed      | bits taken | coefficients   ]     added to a lane: the low half
//! Skip                          [ bits taken | coefficients   ]     over one code or several
//!
//! coefficients: run + 1 for a coefficient; END_OF_BLOCK (256) for an end of block;
//!               UNDECIDED (64, for DC PAST_END) where the entry's bits do not decide: it leads past the block's end
//! ```
//!
//! Undecided entries hold the code that the bits begin with (`length << 8 | symbol`) instead of the value, if it is known, so
//! that only its magnitude must be read ([`AcTable::slow_step`]).
//!
//! [`Lane`]: super::interleaved

use super::bit_reader::extend;
use crate::jpeg::dct::BLOCK;
use crate::jpeg::huffman::{HuffmanSpec, SymbolLookup};

/// Index bits of the table for DC differences.
pub(super) const DC_BITS: u32 = 12;
/// Index bits of the table for coefficients: most codes fit with their magnitude.
pub(super) const READ_BITS: u32 = 12;
/// Index bits of the table that skips coefficients: they often contain two or three codes.
pub(super) const SKIP_BITS: u32 = 12;

/// Largest size of a coefficient in 8-bit JPEG: DC's (T.81, tables F.1 and F.2). Larger ones take the slow path.
const MAX_SIZE: u32 = 11;
/// The most bits of a table's step: a code that fills the index bits, and its magnitude.
pub(super) const MAX_STEP_BITS: u32 = SKIP_BITS + MAX_SIZE;

/// The low bits of entries and lanes, which count coefficients; the bits above them count bits.
pub(super) const POSITION_BITS: u32 = 9;
/// A lane's count at the start of a block. After the coefficient at zigzag position z it is `ORIGIN + z + 1`: 127 after position
/// 63, and [`PAST_END`] or more beyond that.
pub(super) const ORIGIN: u32 = PAST_END - BLOCK as u32 - 1;
/// The bit that is set once a lane has moved past position 63: the step was undecided, or the data is damaged.
pub(super) const PAST_END: u32 = 128;
/// The bit that is set once an end of block was read.
pub(super) const END_OF_BLOCK: u32 = 256;
/// Moves a lane from every position of a block to [`PAST_END`] or more: the table is undecided.
const UNDECIDED: u32 = BLOCK as u32;

/// A step over one code and its magnitude.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step(u32);

impl Step {
    fn new(value: i32, bits: u32, coefficients: u32) -> Self {
        Self(u32::from(value as i16 as u16) << 16 | bits << POSITION_BITS | coefficients)
    }

    /// An entry that knows only the code, or, with length 0, nothing.
    fn undecided(coefficients: u32, length: u32, symbol: u8) -> Self {
        Self((length << 8 | u32::from(symbol)) << 16 | coefficients)
    }

    /// The code's symbol and length, where [`Self::undecided`] knew them.
    fn code(self) -> Option<(u8, u32)> {
        let code = self.0 >> 16;
        (self.bits() == 0 && code != 0).then_some((code as u8, code >> 8))
    }

    /// What is added to a lane.
    #[inline(always)]
    pub fn advance(self) -> u64 {
        u64::from(self.0 as u16)
    }

    /// The bits it takes.
    #[inline(always)]
    pub fn bits(self) -> u32 {
        self.0 >> POSITION_BITS & 63
    }

    fn coefficients(self) -> u32 {
        self.0 & ((1 << POSITION_BITS) - 1)
    }

    /// The coefficient at its end.
    #[inline(always)]
    pub fn value(self) -> i16 {
        (self.0 >> 16) as i16
    }

    /// This step if `mask` is all ones; if it is 0, a step that moves nothing.
    #[inline(always)]
    pub fn masked(self, mask: u32) -> Self {
        Self(self.0 & mask)
    }
}

/// A step over one or more codes. An end of block is [`END_OF_BLOCK`] and also counts as a coefficient: after a full block, where
/// it is the first code of the next block, it sets [`PAST_END`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Skip(u16);

impl Skip {
    const UNDECIDED: Self = Self(UNDECIDED as u16);

    fn new(bits: u32, coefficients: u32) -> Self {
        Self((bits << POSITION_BITS | coefficients) as u16)
    }

    /// What is added to a lane.
    #[inline(always)]
    pub fn advance(self) -> u64 {
        u64::from(self.0)
    }

    /// The bits it takes.
    #[inline(always)]
    pub fn bits(self) -> u32 {
        u32::from(self.0 >> POSITION_BITS)
    }

    fn coefficients(self) -> u32 {
        u32::from(self.0) & ((1 << POSITION_BITS) - 1)
    }

    /// This step if `mask` is all ones; if it is 0, a step that moves nothing.
    #[inline(always)]
    pub fn masked(self, mask: u32) -> Self {
        Self(self.0 & mask as u16)
    }
}

/// A table of DC.
pub(super) struct DcTable {
    steps: Box<[Step; 1 << DC_BITS]>,
    codes: SymbolLookup,
}

/// A table of AC.
pub(super) struct AcTable {
    steps: Box<[Step; 1 << READ_BITS]>,
    skips: Box<[Skip; 1 << SKIP_BITS]>,
    codes: SymbolLookup,
}

/// A decoded code that the tables do not contain.
pub(super) struct SlowStep {
    /// Zeros before the coefficient.
    pub run: u32,
    pub value: i16,
    pub ends_block: bool,
    /// Bits of the code and the magnitude.
    pub bits: u32,
}

impl DcTable {
    pub fn new(spec: &HuffmanSpec) -> Self {
        // From a block's first position, further from its end.
        let mut steps = Box::new([Step::undecided(PAST_END, 0, 0); 1 << DC_BITS]);
        for (code, length, symbol) in spec.codes() {
            let size = u32::from(symbol).min(MAX_SIZE + 1);
            enter(steps.as_mut_slice(), Entry { code, length, symbol, size, coefficients: 1, undecided: PAST_END });
        }
        Self { steps, codes: SymbolLookup::new(spec) }
    }

    /// The difference that `bits` begin with.
    #[inline(always)]
    pub fn step(&self, bits: u64) -> Step {
        self.steps[(bits >> (64 - DC_BITS)) as usize]
    }

    /// The same for longer codes and larger values. `None`: no code matches.
    pub fn slow_step(&self, bits: u64) -> Option<SlowStep> {
        let (symbol, length) = self.step(bits).code().or_else(|| self.codes.symbol_longer_than(DC_BITS, bits))?;
        slow_step(bits, length, 0, u32::from(symbol))
    }
}

impl AcTable {
    pub fn new(spec: &HuffmanSpec) -> Self {
        let mut steps = Box::new([Step::undecided(UNDECIDED, 0, 0); 1 << READ_BITS]);
        let mut skips = Box::new([Skip::UNDECIDED; 1 << SKIP_BITS]);
        let mut lengths = [0_u8; 1 << SKIP_BITS];
        for (code, length, symbol) in spec.codes() {
            let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
            let coefficients = if ends_block(run, size) { END_OF_BLOCK } else { run + 1 };
            // Sizes that do not exist are undecided there, and `slow_step` rejects them.
            enter(steps.as_mut_slice(), Entry { code, length, symbol, size, coefficients, undecided: UNDECIDED });
            if let Some(free) = SKIP_BITS.checked_sub(length).filter(|_| size <= MAX_SIZE) {
                let coefficients = if ends_block(run, size) { END_OF_BLOCK + 1 } else { run + 1 };
                let range = (code << free) as usize..((code + 1) << free) as usize;
                skips[range.clone()].fill(Skip::new(length + size, coefficients));
                lengths[range].fill(length as u8);
            }
        }
        join(&mut skips, &lengths);
        Self { steps, skips, codes: SymbolLookup::new(spec) }
    }

    /// The coefficient that `bits` begin with, and the zeros before it.
    #[inline(always)]
    pub fn step(&self, bits: u64) -> Step {
        self.steps[(bits >> (64 - READ_BITS)) as usize]
    }

    /// One or more coefficients that `bits` begin with.
    #[inline(always)]
    pub fn skip(&self, bits: u64) -> Skip {
        self.skips[(bits >> (64 - SKIP_BITS)) as usize]
    }

    /// The same for longer codes and larger values. `None`: no code matches.
    pub fn slow_step(&self, bits: u64) -> Option<SlowStep> {
        let step = self.step(bits);
        if step.bits() > 0 {
            // It was the skip table that did not decide, or led past the block.
            let ends_block = step.coefficients() == END_OF_BLOCK;
            let run = if ends_block { 0 } else { step.coefficients() - 1 };
            return Some(SlowStep { run, value: step.value(), ends_block, bits: step.bits() });
        }
        let (symbol, length) = step.code().or_else(|| self.codes.symbol_longer_than(READ_BITS, bits))?;
        slow_step(bits, length, u32::from(symbol >> 4), u32::from(symbol & 15))
    }
}

/// A code of size 0 is a run of 16 zeros or the end (T.81, F.1.2.2.1).
fn ends_block(run: u32, size: u32) -> bool {
    size == 0 && run < 15
}

/// A code and its table entry.
struct Entry {
    code: u32,
    length: u32,
    symbol: u8,
    size: u32,
    coefficients: u32,
    undecided: u32,
}

/// Enters a code with every magnitude, or alone if they do not fit into the index bits.
fn enter(steps: &mut [Step], entry: Entry) {
    let Entry { code, length, symbol, size, coefficients, undecided } = entry;
    let Some(behind_code) = steps.len().ilog2().checked_sub(length) else {
        return;
    };
    let Some(free) = behind_code.checked_sub(size) else {
        let first = (code << behind_code) as usize;
        steps[first..first + (1 << behind_code)].fill(Step::undecided(undecided, length, symbol));
        return;
    };
    for magnitude in 0..1 << size {
        let first = ((code << size | magnitude) << free) as usize;
        steps[first..first + (1 << free)].fill(Step::new(extend(magnitude, size), length + size, coefficients));
    }
}

fn slow_step(bits: u64, length: u32, run: u32, size: u32) -> Option<SlowStep> {
    if size > MAX_SIZE {
        return None;
    }
    let magnitude = (bits << length >> 1 >> (63 - size)) as u32;
    let value = extend(magnitude, size) as i16;
    Some(SlowStep { run, value, ends_block: ends_block(run, size), bits: length + size })
}

/// Merges the step of a code with those of the whole codes that follow it in the index bits. The last one's magnitude may lie
/// beyond them. `lengths`: of the code that the bits begin with.
fn join(skips: &mut [Skip; 1 << SKIP_BITS], lengths: &[u8; 1 << SKIP_BITS]) {
    let single = *skips;
    for (index, skip) in skips.iter_mut().enumerate() {
        while *skip != Skip::UNDECIDED && skip.coefficients() < END_OF_BLOCK && skip.bits() < SKIP_BITS {
            let behind = index << skip.bits() & ((1 << SKIP_BITS) - 1);
            let next = single[behind];
            let coefficients = skip.coefficients() + next.coefficients();
            let decided = next != Skip::UNDECIDED && u32::from(lengths[behind]) <= SKIP_BITS - skip.bits();
            if !decided || coefficients % END_OF_BLOCK >= BLOCK as u32 {
                break;
            }
            *skip = Skip::new(skip.bits() + next.bits(), coefficients);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_in_the_documentation() {
        // Annex K's luma codes: 1 zero and size 2 is 11011, the end of block 1010.
        let counts = [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125];
        let mut symbols = vec![0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12];
        symbols.resize(162, 0x06);
        let table = AcTable::new(&HuffmanSpec { counts, symbols });
        let bits = 0b1101_1011_0100 << 52;
        assert_eq!(table.step(bits), Step(0xfffe_0e02));
        assert_eq!(
            (table.step(bits).value(), table.step(bits).bits(), table.step(bits).advance()),
            (-2, 7, 7 << 9 | 2)
        );
        assert_eq!(table.skip(bits), Skip((11 << 9) | (2 + 257)));
    }

    /// Codes of every length, for symbols of every kind: an end of block, sixteen zeros, sizes that do not exist.
    fn table() -> AcTable {
        let counts = [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125];
        let symbols = (0..162_u32).map(|i| if i == 1 { 0x02 } else { (i * 37 % 256) as u8 }).collect();
        AcTable::new(&HuffmanSpec { counts, symbols })
    }

    /// Bits that begin with every value of [`SKIP_BITS`] bits.
    fn all_beginnings() -> impl Iterator<Item = u64> {
        (0..1_u64 << SKIP_BITS).map(|first| {
            let behind = (first + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> SKIP_BITS;
            first << (64 - SKIP_BITS) | behind
        })
    }

    /// The first step by comparing codes, without the tables.
    fn by_code(table: &AcTable, bits: u64) -> Option<SlowStep> {
        let (symbol, length) = table.codes.symbol(bits)?;
        slow_step(bits, length, u32::from(symbol >> 4), u32::from(symbol & 15))
    }

    fn coefficients(step: &SlowStep) -> u32 {
        if step.ends_block { END_OF_BLOCK } else { step.run + 1 }
    }

    #[test]
    fn a_step_is_what_its_code_says() {
        let table = table();
        let mut decided = 0;
        for bits in all_beginnings() {
            let step = table.step(bits);
            if step.advance() == u64::from(UNDECIDED) {
                continue;
            }
            decided += 1;
            let slow = by_code(&table, bits).unwrap();
            assert_eq!(step.bits(), slow.bits, "{bits:b}");
            assert_eq!(step.advance(), u64::from(slow.bits << POSITION_BITS | coefficients(&slow)), "{bits:b}");
            assert_eq!(step.value(), slow.value, "{bits:b}");
        }
        assert!(decided > 2000, "{decided}");
    }

    #[test]
    fn a_slow_step_is_what_its_code_says() {
        let table = table();
        let facts =
            |step: SlowStep| (if step.ends_block { 0 } else { step.run }, step.value, step.ends_block, step.bits);
        let (mut none, mut long) = (0, 0);
        for bits in all_beginnings() {
            let expected = by_code(&table, bits);
            none += u32::from(expected.is_none());
            long += u32::from(table.codes.symbol(bits).is_some_and(|(_, length)| length > READ_BITS));
            assert_eq!(table.slow_step(bits).map(facts), expected.map(facts), "{bits:b}");
        }
        assert!(none > 10 && long > 5, "{none} {long}");
    }

    #[test]
    fn a_skip_is_the_steps_that_it_is_made_of() {
        let table = table();
        let mut several = 0;
        for bits in all_beginnings() {
            let skip = table.skip(bits);
            if skip == Skip::UNDECIDED {
                continue;
            }
            let (mut passed, mut behind, mut steps) = (0, 0, 0);
            while passed < skip.bits() {
                let slow = by_code(&table, bits << passed).unwrap();
                passed += slow.bits;
                behind += coefficients(&slow) + u32::from(slow.ends_block);
                steps += 1;
            }
            assert_eq!((passed, behind), (skip.bits(), skip.coefficients()), "{bits:b}");
            several += u32::from(steps > 1);
        }
        assert!(several > 500, "{several}");
    }
}
