//! How Huffman codes are found (T.81, F.2.2.3), and how progressive scans read with them.

use super::bits::{BitReader, extend};
use crate::huffman::{MAX_CODE_BITS, Spec};

/// Bits looked at once: most codes with their magnitude fit.
const READ_BITS: u32 = 12;

/// The run of a step that ends a band; above it, how many bits say for how many blocks.
const END_OF_BAND: u32 = 64;

/// The codes of a table, found by comparing.
pub(super) struct Codes {
    /// By code length: the first code of more bits than this, moved to the top of 16 bits; ends the search for a code.
    limits: [u32; MAX_CODE_BITS + 1],
    /// By code length: what to add to a code for its symbol's index.
    offsets: [i32; MAX_CODE_BITS + 1],
    symbols: [u8; 256],
}

impl Codes {
    pub fn new(spec: &Spec) -> Self {
        let mut codes = Self { limits: [0; MAX_CODE_BITS + 1], offsets: [0; MAX_CODE_BITS + 1], symbols: [0; 256] };
        for (index, (code, length, symbol)) in spec.codes().enumerate() {
            codes.symbols[index] = symbol;
            codes.limits[length as usize] = (code + 1) << (MAX_CODE_BITS as u32 - length);
            codes.offsets[length as usize] = index as i32 - code as i32;
        }
        for length in 1..=MAX_CODE_BITS {
            codes.limits[length] = codes.limits[length].max(codes.limits[length - 1]);
        }
        codes
    }

    /// The symbol whose code is the first of `bits`, and the code's length. `None`: no code begins so.
    pub fn symbol(&self, bits: u64) -> Option<(u8, u32)> {
        let code = (bits >> (64 - MAX_CODE_BITS)) as u32;
        let length = (1..=MAX_CODE_BITS).find(|&length| code < self.limits[length])?;
        let index = (code >> (MAX_CODE_BITS - length)) as i32 + self.offsets[length];
        Some((*self.symbols.get(index as usize)?, length as u32))
    }
}

/// One step of a progressive scan: how many coefficients to pass over, then one coefficient's value, and the bits of both.
///
/// A run of 16 zeros is 15 and a coefficient of 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub run: u32,
    pub value: i32,
    bits: u32,
}

/// What a table's symbols mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The size of a difference of DC.
    Dc,
    /// A run of zeros and the size of what follows; an end of band that holds for 2^r blocks or more (T.81, G.1.2.2).
    Ac,
}

/// A table made ready for progressive scans.
pub(super) struct Table {
    /// By the next [`READ_BITS`]: `value << 16 | run << 8 | bits`; 0 where they do not decide.
    read: Box<[u32; 1 << READ_BITS]>,
    codes: Codes,
    kind: Kind,
}

impl Table {
    pub fn new(spec: &Spec, kind: Kind) -> Self {
        let mut table = Self { read: Box::new([0; 1 << READ_BITS]), codes: Codes::new(spec), kind };
        for (code, length, symbol) in spec.codes() {
            table.enter(code, length, symbol);
        }
        table
    }

    fn enter(&mut self, code: u32, length: u32, symbol: u8) {
        let (run, size) = self.meaning(symbol);
        let Some(free) = READ_BITS.checked_sub(length + size) else {
            return;
        };
        for magnitude in 0..1 << size {
            let value = extend(magnitude, size) as i16 as u16;
            let entry = u32::from(value) << 16 | run << 8 | (length + size);
            let first = ((code << size | magnitude) << free) as usize;
            self.read[first..first + (1 << free)].fill(entry);
        }
    }

    /// A symbol's run and size; for AC, size 0 is a run of 16 zeros or an end of band.
    #[inline(always)]
    fn meaning(&self, symbol: u8) -> (u32, u32) {
        let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        match self.kind {
            // Sizes over 11 do not exist in 8-bit JPEG (T.81, table F.1); 16 bits are all that can be read at once.
            Kind::Dc => (0, u32::from(symbol).min(16)),
            Kind::Ac if size == 0 && run < 15 => (END_OF_BAND + run, 0),
            Kind::Ac => (run, size),
        }
    }

    /// Reads one step. `None`: no code begins so.
    ///
    /// Takes at most 32 bits, and when `bits` of the answer is known from the table at most [`READ_BITS`].
    #[inline(always)]
    pub fn step(&self, reader: &mut BitReader<'_>) -> Option<Step> {
        let entry = self.read[reader.peek(READ_BITS)];
        if entry != 0 {
            let step = Step { run: entry >> 8 & 0xff, value: entry as i32 >> 16, bits: entry & 0xff };
            reader.take(step.bits);
            return Some(step);
        }
        let (after, step) = self.long_step(*reader);
        *reader = after;
        step
    }

    #[cold]
    #[inline(never)]
    fn long_step<'a>(&self, mut reader: BitReader<'a>) -> (BitReader<'a>, Option<Step>) {
        let before = reader;
        let Some((symbol, length)) = self.codes.symbol(reader.bits()) else {
            return (before, None);
        };
        reader.take(length);
        let (run, size) = self.meaning(symbol);
        let value = extend(reader.number(size), size);
        reader.refill();
        (reader, Some(Step { run, value, bits: 0 }))
    }

    /// How many bits of the run's length follow, if `step` ends a band.
    #[inline(always)]
    pub fn end_of_band(step: Step) -> Option<u32> {
        step.run.checked_sub(END_OF_BAND)
    }
}
