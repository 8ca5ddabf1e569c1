//! Huffman tables (T.81, annex C and F.2.2.3), made into look-up tables for reading and for passing over.

use super::bits::{BitReader, extend};
use crate::thumbnail::Error;

/// Bits looked at once when coefficients are read: most codes with their magnitude fit.
const READ_BITS: u32 = 12;
/// Bits looked at once when coefficients are passed over: often two or three of them fit.
const SKIP_BITS: u32 = 13;
/// Longest code (T.81, C.2).
const MAX_CODE_BITS: usize = 16;

/// A block's coefficients, by their place in the zigzag: 0 is DC, 1 to 63 are AC.
pub(super) const BLOCK: usize = 64;

/// A place beyond every block: where an end of block goes.
const BEYOND: u32 = 127;

/// The run of a step that ends a band; above it, how many bits say for how many blocks.
const END_OF_BAND: u32 = 64;

/// A table as the file gives it: the symbols in the order of their codes, and how many codes have each length.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Spec {
    counts: [u8; MAX_CODE_BITS],
    symbols: Vec<u8>,
}

impl Spec {
    /// Reads one table from a DHT segment (T.81, B.2.4.2) behind its class and destination; returns what follows it.
    pub fn read(payload: &[u8]) -> Result<(Self, &[u8]), Error> {
        let corrupt = |what: &str| Error::Corrupt(format!("a Huffman table {what}"));
        let (counts, rest) = payload.split_first_chunk().ok_or_else(|| corrupt("is cut short"))?;
        let total: usize = counts.iter().map(|&count: &u8| usize::from(count)).sum();
        if total > 256 || total > rest.len() {
            return Err(corrupt("has more symbols than there can be"));
        }
        // Codes of one length follow each other; they must not run into those of the next.
        let mut code = 0_u32;
        for (length, &count) in (1..).zip(counts) {
            code = (code << 1) + u32::from(count);
            if code > 1 << length {
                return Err(corrupt("has more codes than its lengths allow"));
            }
        }
        let (symbols, rest) = rest.split_at(total);
        Ok((Self { counts: *counts, symbols: symbols.to_vec() }, rest))
    }

    /// Every code as (its bits, its length, its symbol), in ascending order.
    fn codes(&self) -> impl Iterator<Item = (u32, u32, u8)> {
        let mut code = 0;
        let mut lengths =
            (1..).zip(self.counts).flat_map(|(length, count)| std::iter::repeat_n(length, usize::from(count)));
        let mut last_length = 0;
        self.symbols.iter().map(move |&symbol| {
            let length = lengths.next().unwrap_or(last_length);
            code <<= length - last_length;
            last_length = length;
            code += 1;
            (code - 1, length, symbol)
        })
    }
}

/// One step of reading coefficients: how many to pass over, then one coefficient's value, and the bits of both.
///
/// A run of 16 zeros is 15 and a coefficient of 0. An end of block is [`BEYOND`] and a coefficient of 0 that falls outside.
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
    /// A run of zeros and the size of what follows; an end of block.
    SequentialAc,
    /// The same, but for ends of band that hold for 2^r blocks or more (T.81, G.1.2.2).
    ProgressiveAc,
}

/// A table made ready for the symbols of 8-bit JPEG.
pub(super) struct Table {
    /// By the next [`READ_BITS`]: `value << 16 | run << 8 | bits`; 0 where they do not decide.
    read: Box<[u32; 1 << READ_BITS]>,
    /// By the next [`SKIP_BITS`]: `end of block << 11 | coefficients << 4 | bits`, the end of block counted as one; all the
    /// whole symbols in them. [`BEYOND`] coefficients where not one is whole.
    skip: Box<[u16; 1 << SKIP_BITS]>,
    /// By code length: the first code of more bits than this, moved to the top of 16 bits; ends the search for a code.
    limits: [u32; MAX_CODE_BITS + 1],
    /// By code length: what to add to a code for its symbol's index.
    offsets: [i32; MAX_CODE_BITS + 1],
    symbols: [u8; 256],
    kind: Kind,
}

impl Table {
    pub fn new(spec: &Spec, kind: Kind) -> Self {
        let mut table = Self {
            read: Box::new([0; 1 << READ_BITS]),
            skip: Box::new([(BEYOND as u16) << 4; 1 << SKIP_BITS]),
            limits: [0; MAX_CODE_BITS + 1],
            offsets: [0; MAX_CODE_BITS + 1],
            symbols: [0; 256],
            kind,
        };
        table.symbols[..spec.symbols.len()].copy_from_slice(&spec.symbols);
        for (index, (code, length, symbol)) in spec.codes().enumerate() {
            let slot = length as usize;
            table.limits[slot] = (code + 1) << (MAX_CODE_BITS as u32 - length);
            table.offsets[slot] = index as i32 - code as i32;
            table.enter_read(code, length, symbol);
            if kind == Kind::SequentialAc {
                table.enter_skip(code, length, symbol);
            }
        }
        for length in 1..=MAX_CODE_BITS {
            table.limits[length] = table.limits[length].max(table.limits[length - 1]);
        }
        if kind == Kind::SequentialAc {
            table.join_skips();
        }
        table
    }

    fn enter_read(&mut self, code: u32, length: u32, symbol: u8) {
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

    fn enter_skip(&mut self, code: u32, length: u32, symbol: u8) {
        let (run, size) = self.meaning(symbol);
        let Some(free) = SKIP_BITS.checked_sub(length + size) else {
            return;
        };
        let entry = if run == BEYOND { 1 << 11 | 1 << 4 } else { (run + 1) << 4 } | (length + size);
        let first = (code << (size + free)) as usize;
        self.skip[first..first + (1 << (size + free))].fill(entry as u16);
    }

    /// Where the bits behind one symbol hold another whole one, and so on, puts them together: each entry then passes over
    /// as many coefficients as its bits hold. Goes on from the single entries, which must not be changed meanwhile.
    fn join_skips(&mut self) {
        let single = self.skip.clone();
        for (index, entry) in self.skip.iter_mut().enumerate() {
            let mut joined = SkipEntry(*entry);
            while joined.bits() > 0 && !joined.ends_block() {
                let next = SkipEntry(single[(index << joined.bits()) & ((1 << SKIP_BITS) - 1)]);
                let (bits, coefficients) = (joined.bits() + next.bits(), joined.coefficients() + next.coefficients());
                if next.bits() == 0 || bits > SKIP_BITS || coefficients > BLOCK as u32 {
                    break;
                }
                joined = SkipEntry((next.0 & SkipEntry::ENDS_BLOCK) | (coefficients << 4 | bits) as u16);
            }
            *entry = joined.0;
        }
    }

    /// A symbol's run and size; for AC, size 0 is a run of 16 zeros or an end of block.
    #[inline(always)]
    fn meaning(&self, symbol: u8) -> (u32, u32) {
        let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        match self.kind {
            // Sizes over 11 do not exist in 8-bit JPEG (T.81, table F.1); 16 bits are all that can be read at once.
            Kind::Dc => (0, u32::from(symbol).min(16)),
            Kind::SequentialAc if size == 0 && run < 15 => (BEYOND, 0),
            Kind::ProgressiveAc if size == 0 && run < 15 => (END_OF_BAND + run, 0),
            Kind::SequentialAc | Kind::ProgressiveAc => (run, size),
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
        let Some(symbol) = self.symbol(&mut reader) else {
            return (before, None);
        };
        let (run, size) = self.meaning(symbol);
        let value = extend(reader.number(size), size);
        reader.refill();
        (reader, Some(Step { run, value, bits: 0 }))
    }

    /// Reads one symbol by its code alone. `None`: no code begins so.
    #[inline(always)]
    pub fn symbol(&self, reader: &mut BitReader<'_>) -> Option<u8> {
        let code = reader.peek(MAX_CODE_BITS as u32) as u32;
        let length = (1..=MAX_CODE_BITS).find(|&length| code < self.limits[length])?;
        reader.take(length as u32);
        let index = (code >> (MAX_CODE_BITS - length)) as i32 + self.offsets[length];
        self.symbols.get(index as usize).copied()
    }

    /// Whether `k`, the place behind the last step of a block, is there because the block's end was read.
    #[inline(always)]
    pub fn is_end_of_block(k: u32) -> bool {
        k > BEYOND
    }

    /// How many bits of the run's length follow, if `step` ends a band.
    #[inline(always)]
    pub fn end_of_band(step: Step) -> Option<u32> {
        step.run.checked_sub(END_OF_BAND)
    }

    /// Passes over the coefficients of a block from zigzag place `k` on. `None`: they run over the block's end, or no code
    /// begins so.
    #[inline(always)]
    pub fn skip_block(&self, reader: &mut BitReader<'_>, mut k: u32) -> Option<()> {
        while k < BLOCK as u32 {
            reader.refill();
            for _ in 0..BitReader::REFILLED / SKIP_BITS {
                let entry = SkipEntry(self.skip[reader.peek(SKIP_BITS)]);
                let next = k + entry.coefficients();
                if next > BLOCK as u32 {
                    // Not one whole symbol, or the last of them belong to the next block: one by one.
                    let (after, step) = self.single_step(*reader);
                    *reader = after;
                    let step = step?;
                    if step.run == BEYOND {
                        return Some(());
                    }
                    k += step.run + 1;
                    if k > BLOCK as u32 {
                        return None;
                    }
                    break;
                }
                reader.take(entry.bits());
                k = next;
                if entry.ends_block() || k == BLOCK as u32 {
                    return Some(());
                }
            }
        }
        Some(())
    }

    #[cold]
    #[inline(never)]
    fn single_step<'a>(&self, mut reader: BitReader<'a>) -> (BitReader<'a>, Option<Step>) {
        reader.refill();
        let step = self.step(&mut reader);
        (reader, step)
    }
}

/// An entry of [`Table::skip`].
#[derive(Clone, Copy)]
struct SkipEntry(u16);

impl SkipEntry {
    const ENDS_BLOCK: u16 = 1 << 11;

    #[inline(always)]
    fn bits(self) -> u32 {
        u32::from(self.0 & 15)
    }

    #[inline(always)]
    fn coefficients(self) -> u32 {
        u32::from(self.0 >> 4 & 127)
    }

    #[inline(always)]
    fn ends_block(self) -> bool {
        self.0 & Self::ENDS_BLOCK != 0
    }
}
