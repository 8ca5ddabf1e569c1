//! Bits of lossless data, the lowest of each byte first.

/// Reads zeros behind the end, and remembers that.
#[derive(Clone, Debug)]
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    window: u64,
    /// Valid bits of the window.
    count: u32,
    past_end: bool,
}

impl<'a> BitReader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, window: 0, count: 0, past_end: false }
    }

    pub fn past_end(&self) -> bool {
        self.past_end
    }

    /// Makes sure that there are 32 bits: two codes, or a number.
    #[inline(always)]
    pub fn fill(&mut self) {
        if self.count >= 32 {
            return;
        }
        if let Some((&next, rest)) = self.bytes.split_first_chunk::<4>() {
            self.bytes = rest;
            self.window |= u64::from(u32::from_le_bytes(next)) << self.count;
            self.count += 32;
        } else {
            let (next, count) = last_bytes(self.bytes);
            self.bytes = &[];
            self.window |= next << self.count;
            // Behind that are zeros, which count as past the end once they are used.
            self.count += count;
        }
    }

    /// The next bits, of which [`fill`](Self::fill) has got enough.
    #[inline(always)]
    pub fn peek(&self) -> u64 {
        self.window
    }

    /// Goes on by at most 32 bits.
    #[inline(always)]
    pub fn skip(&mut self, count: u32) {
        self.window >>= count;
        self.past_end |= count > self.count;
        self.count = self.count.saturating_sub(count);
    }

    /// A number of at most 24 bits.
    #[inline(always)]
    pub fn number(&mut self, bits: u32) -> u32 {
        self.fill();
        let number = self.window as u32 & ((1 << bits) - 1);
        self.skip(bits);
        number
    }

    pub fn flag(&mut self) -> bool {
        self.number(1) == 1
    }
}

/// The last up to three bytes, and how many bits that is.
#[cold]
#[inline(never)]
fn last_bytes(bytes: &[u8]) -> (u64, u32) {
    let number = bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte));
    (number, 8 * bytes.len() as u32)
}
