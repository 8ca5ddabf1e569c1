//! The decode tables of progressive scans.

use super::bit_reader::{BitReader, extend};
use crate::jpeg::huffman::{HuffmanSpec, SymbolLookup};

/// Index bits: most codes fit with their magnitude.
const READ_BITS: u32 = 12;

/// The run of a step that ends a band; above it, how many bits say for how many blocks.
const END_OF_BAND: u32 = 64;

/// One step of a progressive scan: how many coefficients to pass over, then one coefficient's value, and the bits of both.
///
/// A run of 16 zeros is 15 and a coefficient of 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ProgressiveStep {
    pub run: u32,
    pub value: i32,
    bits: u32,
}

/// What a table's symbols mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CodeClass {
    /// The size of a difference of DC.
    Dc,
    /// A run of zeros and the size of what follows; an end of band that holds for 2^r blocks or more (T.81, G.1.2.2).
    Ac,
}

/// A decode table for progressive scans.
pub(super) struct ProgressiveTable {
    /// By the next [`READ_BITS`]: `value << 16 | run << 8 | bits`; 0 where they do not decide.
    read: Box<[u32; 1 << READ_BITS]>,
    codes: SymbolLookup,
    class: CodeClass,
}

impl ProgressiveTable {
    pub fn new(spec: &HuffmanSpec, class: CodeClass) -> Self {
        let mut table = Self { read: Box::new([0; 1 << READ_BITS]), codes: SymbolLookup::new(spec), class };
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
        match self.class {
            // Sizes over 11 do not exist in 8-bit JPEG (T.81, table F.1); 16 bits are all that can be read at once.
            CodeClass::Dc => (0, u32::from(symbol).min(16)),
            CodeClass::Ac if size == 0 && run < 15 => (END_OF_BAND + run, 0),
            CodeClass::Ac => (run, size),
        }
    }

    /// Reads one step. `None`: no code matches.
    ///
    /// Takes at most 32 bits, and when `bits` of the answer is known from the table at most [`READ_BITS`].
    #[inline(always)]
    pub fn step(&self, reader: &mut BitReader<'_>) -> Option<ProgressiveStep> {
        let entry = self.read[reader.peek(READ_BITS)];
        if entry != 0 {
            let step = ProgressiveStep { run: entry >> 8 & 0xff, value: entry as i32 >> 16, bits: entry & 0xff };
            reader.take(step.bits);
            return Some(step);
        }
        let (after, step) = self.long_step(*reader);
        *reader = after;
        step
    }

    #[cold]
    #[inline(never)]
    fn long_step<'a>(&self, mut reader: BitReader<'a>) -> (BitReader<'a>, Option<ProgressiveStep>) {
        let before = reader;
        let Some((symbol, length)) = self.codes.symbol(reader.bits()) else {
            return (before, None);
        };
        reader.take(length);
        let (run, size) = self.meaning(symbol);
        let value = extend(reader.number(size), size);
        reader.refill();
        (reader, Some(ProgressiveStep { run, value, bits: 0 }))
    }

    /// How many bits of the run's length follow, if `step` ends a band.
    #[inline(always)]
    pub fn end_of_band(step: ProgressiveStep) -> Option<u32> {
        step.run.checked_sub(END_OF_BAND)
    }
}
