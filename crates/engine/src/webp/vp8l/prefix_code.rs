//! Prefix codes (RFC 9649, section 3.7.2): canonical ones of at most 15 bits.

use super::bit_reader::BitReader;
use super::corrupt;
use crate::error::Error;

/// Bits that the first look-up takes.
const FIRST_BITS: u32 = 8;
const MAX_BITS: usize = 15;
/// The most symbols of a code: those of green, lengths, and a colour cache.
pub(super) const MAX_SYMBOLS: usize = 256 + 24 + (1 << 11);

/// A code's tables. An entry is a symbol times 16 plus a number of bits. Up to 8 it is how many the symbol takes; more than that,
/// the symbol is the place of a table for the bits after the first eight, and the rest how many those are.
#[derive(Clone, Copy, Debug)]
pub(super) struct PrefixCode {
    /// Where its tables begin.
    start: u32,
    first_mask: u16,
}

/// The tables of all codes of an image.
#[derive(Debug, Default)]
pub(super) struct Tables {
    entries: Vec<u16>,
}

/// So many entries of tables are more than any encoder needs: it writes at most 2600 groups of codes, of which most are short.
pub(super) const MAX_ENTRIES: usize = 1 << 21;

impl Tables {
    /// Reads a symbol. The reader has 15 bits.
    #[inline(always)]
    pub fn symbol(&self, code: PrefixCode, reader: &mut BitReader) -> usize {
        let bits = reader.peek();
        let start = code.start as usize;
        let entry = self.entries[start + (bits as u16 & code.first_mask) as usize];
        let (symbol, length) = (usize::from(entry >> 4), u32::from(entry & 15));
        if length <= FIRST_BITS {
            reader.skip(length);
            return symbol;
        }
        let rest = (bits >> FIRST_BITS) as usize & ((1 << (length - FIRST_BITS)) - 1);
        let entry = self.entries[start + symbol + rest];
        reader.skip(FIRST_BITS + u32::from(entry & 15));
        usize::from(entry >> 4)
    }

    /// Adds the code in which symbol `i` has `lengths[i]` bits, or is missing if that is 0.
    ///
    /// # Errors
    /// There is no such code, or there are too many codes.
    pub fn add(&mut self, lengths: &[u8]) -> Result<PrefixCode, Error> {
        let mut counts = [0_usize; MAX_BITS + 1];
        lengths.iter().for_each(|&length| counts[usize::from(length)] += 1);
        counts[0] = 0;
        let start = self.entries.len();
        let symbols = counts.iter().sum::<usize>();
        if symbols == 1 {
            // The only symbol takes no bits.
            let symbol = lengths.iter().position(|&length| length > 0).unwrap_or(0);
            self.grow(1)?;
            self.entries[start] = (symbol << 4) as u16;
            return Ok(PrefixCode { start: start as u32, first_mask: 0 });
        }
        // Of all sequences of 15 bits, those that begin with a code.
        let used: usize = counts.iter().enumerate().map(|(length, count)| count << (MAX_BITS - length)).sum();
        if used != 1 << MAX_BITS {
            return Err(corrupt("a prefix code that is not complete"));
        }
        // By length and then by symbol, so that the codes that begin with the same eight bits come one after the other.
        let mut sorted = [0_u16; MAX_SYMBOLS];
        let mut place_of_length = [0; MAX_BITS + 1];
        for length in 1..MAX_BITS {
            place_of_length[length + 1] = place_of_length[length] + counts[length];
        }
        for (symbol, &length) in lengths.iter().enumerate().filter(|&(_, &length)| length > 0) {
            let place = &mut place_of_length[usize::from(length)];
            sorted[*place] = symbol as u16;
            *place += 1;
        }
        let longest = counts.iter().rposition(|&count| count > 0).unwrap_or(1);
        let first_bits = FIRST_BITS.min(longest as u32);
        self.grow(1 << first_bits)?;
        let (mut code, mut sorted) = (0_u32, sorted.into_iter());
        let mut left = counts;
        for length in 1..=longest {
            code <<= 1;
            for symbol in sorted.by_ref().take(counts[length]) {
                // The bits of a code come the other way round.
                let reversed = code.reverse_bits() >> (32 - length);
                self.put(start, first_bits, reversed, length, symbol, &left)?;
                code += 1;
                left[length] -= 1;
            }
        }
        Ok(PrefixCode { start: start as u32, first_mask: (1 << first_bits) - 1 })
    }

    /// Fills the entries of a symbol's code. `left`: how many codes of each length there are from this one on.
    fn put(
        &mut self,
        start: usize,
        first_bits: u32,
        code: u32,
        length: usize,
        symbol: u16,
        left: &[usize; MAX_BITS + 1],
    ) -> Result<(), Error> {
        const FIRST: usize = FIRST_BITS as usize;
        if length <= FIRST {
            let entries = &mut self.entries[start..][..1 << first_bits];
            let entry = symbol << 4 | length as u16;
            entries[code as usize..].iter_mut().step_by(1 << length).for_each(|to| *to = entry);
            return Ok(());
        }
        let first = start + (code as usize & ((1 << FIRST) - 1));
        if self.entries[first] == 0 {
            // So many bits that all codes that begin with these eight find their places.
            let (mut longest, mut free) = (length, 1 << (length - FIRST));
            while longest < MAX_BITS && free > left[longest] {
                free = 2 * (free - left[longest]);
                longest += 1;
            }
            let at = self.entries.len() - start;
            if at >= 1 << 12 {
                return Err(too_many());
            }
            self.grow(1 << (longest - FIRST))?;
            self.entries[first] = (at << 4) as u16 | longest as u16;
        }
        let entry = usize::from(self.entries[first]);
        let entries = &mut self.entries[start + (entry >> 4)..][..1 << ((entry & 15) - FIRST)];
        let entry = symbol << 4 | (length - FIRST) as u16;
        let places = entries.iter_mut().skip((code >> FIRST) as usize).step_by(1 << (length - FIRST));
        places.for_each(|to| *to = entry);
        Ok(())
    }

    fn grow(&mut self, by: usize) -> Result<(), Error> {
        let length = self.entries.len() + by;
        if length > MAX_ENTRIES {
            return Err(too_many());
        }
        if length > self.entries.capacity() {
            let capacity = (2 * length).min(MAX_ENTRIES);
            let more = capacity - self.entries.len();
            self.entries.try_reserve_exact(more).map_err(|_| Error::OutOfMemory)?;
        }
        self.entries.resize(length, 0);
        Ok(())
    }
}

fn too_many() -> Error {
    Error::Unsupported("a WebP file with more prefix codes than any program writes".into())
}

/// Reads the lengths of a code's symbols.
pub(super) fn read_lengths(reader: &mut BitReader, lengths: &mut [u8]) -> Result<(), Error> {
    lengths.fill(0);
    if !reader.flag() {
        return read_coded_lengths(reader, lengths);
    }
    let two = reader.flag();
    let first_bits = if reader.flag() { 8 } else { 1 };
    let symbols = [Some(reader.number(first_bits)), two.then(|| reader.number(8))];
    for symbol in symbols.into_iter().flatten() {
        *lengths.get_mut(symbol as usize).ok_or_else(|| corrupt("a symbol that is out of range"))? = 1;
    }
    Ok(())
}

/// The lengths themselves are coded, too.
fn read_coded_lengths(reader: &mut BitReader, lengths: &mut [u8]) -> Result<(), Error> {
    const ORDER: [usize; 19] = [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
    let mut of_lengths = [0; ORDER.len()];
    let count = 4 + reader.number(4) as usize;
    for &symbol in ORDER.iter().take(count) {
        of_lengths[symbol] = reader.number(3) as u8;
    }
    let mut tables = Tables::default();
    let code = tables.add(&of_lengths)?;
    let mut codes = lengths.len();
    if reader.flag() {
        let bits = 2 + 2 * reader.number(3);
        codes = 2 + reader.number(bits) as usize;
        if codes > lengths.len() {
            return Err(corrupt("more code lengths than symbols"));
        }
    }
    let (mut at, mut previous) = (0, 8);
    while at < lengths.len() && codes > 0 {
        codes -= 1;
        reader.fill();
        let (length, times) = match tables.symbol(code, reader) {
            16 => (previous, 3 + reader.number(2) as usize),
            17 => (0, 3 + reader.number(3) as usize),
            18 => (0, 11 + reader.number(7) as usize),
            length => {
                if length > 0 {
                    previous = length as u8;
                }
                (length as u8, 1)
            }
        };
        let to = lengths.get_mut(at..at + times).ok_or_else(|| corrupt("more code lengths than symbols"))?;
        to.fill(length);
        at += times;
    }
    Ok(())
}
