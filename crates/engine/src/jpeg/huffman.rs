//! Huffman tables as files hold them (T.81, annex C).

use super::Error;

/// Longest code (T.81, C.2).
pub(super) const MAX_CODE_BITS: usize = 16;

/// A table as the file gives it: the symbols in the order of their codes, and how many codes have each length.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Spec {
    pub counts: [u8; MAX_CODE_BITS],
    pub symbols: Vec<u8>,
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
