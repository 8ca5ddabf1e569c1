//! Huffman tables: as files store them (T.81, annex C), and for finding a code by its bits or by its symbol.

use crate::error::Error;

/// Longest code (T.81, C.2).
pub(super) const MAX_CODE_BITS: usize = 16;

/// A table as the file gives it: the symbols in the order of their codes, and how many codes have each length.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct HuffmanSpec {
    pub counts: [u8; MAX_CODE_BITS],
    pub symbols: Vec<u8>,
}

impl HuffmanSpec {
    /// Reads one table from a DHT segment (T.81, B.2.4.2) behind its class and destination; returns what follows it.
    pub fn read(payload: &[u8]) -> Result<(Self, &[u8]), Error> {
        let corrupt = |what: &str| Error::Corrupt(format!("a Huffman table {what}"));
        let (counts, rest) = payload.split_first_chunk().ok_or_else(|| corrupt("is too short"))?;
        let total: usize = counts.iter().map(|&count: &u8| usize::from(count)).sum();
        if total > 256 || total > rest.len() {
            return Err(corrupt("has too many symbols"));
        }
        // Codes of one length follow each other; they must not run into those of the next.
        let mut code = 0_u32;
        for (length, &count) in (1..).zip(counts) {
            code = (code << 1) + u32::from(count);
            if code > 1 << length {
                return Err(corrupt("has more codes than their lengths allow"));
            }
        }
        let (symbols, rest) = rest.split_at(total);
        Ok((Self { counts: *counts, symbols: symbols.to_vec() }, rest))
    }

    /// Every code as (its bits, its length, its symbol), in ascending order.
    pub fn codes(&self) -> impl Iterator<Item = (u32, u32, u8)> {
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

/// The codes of a table, found by comparing.
pub(super) struct SymbolLookup {
    /// By code length: the first code of more bits than this, moved to the top of 16 bits; ends the search for a code.
    limits: [u32; MAX_CODE_BITS + 1],
    /// By code length: what to add to a code for its symbol's index.
    offsets: [i32; MAX_CODE_BITS + 1],
    symbols: [u8; 256],
}

impl SymbolLookup {
    pub fn new(spec: &HuffmanSpec) -> Self {
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

    /// The symbol whose code is the first of `bits`, and the code's length. `None`: no code matches.
    pub fn symbol(&self, bits: u64) -> Option<(u8, u32)> {
        self.symbol_longer_than(0, bits)
    }

    /// The same, where it is known that the code has more than `known` bits.
    pub fn symbol_longer_than(&self, known: u32, bits: u64) -> Option<(u8, u32)> {
        let code = (bits >> (64 - MAX_CODE_BITS)) as u32;
        let length = (known as usize + 1..=MAX_CODE_BITS).find(|&length| code < self.limits[length])?;
        let index = (code >> (MAX_CODE_BITS - length)) as i32 + self.offsets[length];
        Some((*self.symbols.get(index as usize)?, length as u32))
    }
}

/// A code and its length in bits.
#[derive(Clone, Copy)]
pub(super) struct Code {
    pub bits: u32,
    pub length: u32,
}

/// The codes of a table, by their symbols.
pub(super) struct CodeBook([Code; 256]);

impl CodeBook {
    pub fn new(spec: &HuffmanSpec) -> Self {
        let mut codes = Self([Code { bits: 0, length: 0 }; 256]);
        for (bits, length, symbol) in spec.codes() {
            codes.0[usize::from(symbol)] = Code { bits, length };
        }
        codes
    }

    /// How many bits it takes to write each symbol so often, with the values that follow them.
    pub fn bits(&self, counts: &[u32; 256]) -> u64 {
        let bits =
            |(symbol, (code, &count)): (u32, (&Code, &u32))| u64::from(code.length + symbol % 16) * u64::from(count);
        (0..).zip(self.0.iter().zip(counts)).map(bits).sum()
    }

    /// The code of a coefficient behind `run` zeros, and its magnitude (T.81, F.1.2.1.1). `run` is 0 to 15.
    #[inline(always)]
    pub fn with_value(&self, run: u32, value: i16) -> Code {
        let value = i32::from(value);
        let size = 32 - value.unsigned_abs().leading_zeros();
        // A negative one is less by 1 in as many bits.
        let magnitude = (value - i32::from(value < 0)) as u32 & ((1 << size) - 1);
        let code = self.0[(run << 4 | size) as usize & 255];
        Code { bits: code.bits << size | magnitude, length: code.length + size }
    }
}
