//! Bits of entropy-coded data.

use crate::jpeg::huffman::Code;

/// Writes codes to a vector, first the highest bit, with a zero stuffed behind each byte of ones (T.81, F.1.2.3).
pub(super) struct BitWriter {
    out: Vec<u8>,
    /// The bits not yet written, at the low end.
    bits: u64,
    /// How many they are; less than 32 between calls.
    count: u32,
}

impl BitWriter {
    /// Appends to `out`.
    pub fn new(out: Vec<u8>) -> Self {
        Self { out, bits: 0, count: 0 }
    }

    /// At most 32 bits.
    #[inline(always)]
    pub fn put(&mut self, code: Code) {
        self.bits = self.bits << code.length | u64::from(code.bits);
        self.count += code.length;
        if self.count >= 32 {
            self.count -= 32;
            let word = (self.bits >> self.count) as u32;
            // A byte of ones is one in whose complement nothing is set (Hacker's Delight, 6-1).
            if (!word).wrapping_sub(0x0101_0101) & word & 0x8080_8080 == 0 {
                self.out.extend_from_slice(&word.to_be_bytes());
            } else {
                self.stuff(&word.to_be_bytes());
            }
        }
    }

    #[cold]
    fn stuff(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.out.push(byte);
            if byte == 0xff {
                self.out.push(0);
            }
        }
    }

    /// What `out` is now; the last byte is filled up with ones.
    pub fn finish(mut self) -> Vec<u8> {
        let missing = (32 - self.count) % 8;
        self.put(Code { bits: (1 << missing) - 1, length: missing });
        let bytes = (self.bits << ((32 - self.count) % 32)) as u32;
        self.stuff(&bytes.to_be_bytes()[..self.count as usize / 8]);
        self.out
    }
}
