//! The arithmetic decoder that everything in a frame is coded with (RFC 6386, section 7).

/// Reads one partition, bit by bit, each with the probability that it is 0.
///
/// The coded number lies at the top of `window`: its first 8 bits are compared with the part of the range that stands for 0.
#[derive(Clone, Debug)]
pub(super) struct BoolDecoder<'a> {
    /// What is not in the window yet.
    bytes: &'a [u8],
    window: u64,
    /// Loaded bits of the window below its first 8. Negative if there are less than 8.
    spare_bits: i32,
    /// The range less one: 127 to 254.
    range: u32,
    /// Zeros were read behind the partition's end.
    past_end: bool,
}

impl<'a> BoolDecoder<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, window: 0, spare_bits: -8, range: 254, past_end: false }
    }

    /// Whether more was read than there is. What was read behind the end are zeros.
    pub fn past_end(&self) -> bool {
        self.past_end
    }

    /// Reads a bit that is 0 with a probability of `probability / 256`.
    #[inline(always)]
    pub fn bit(&mut self, probability: u8) -> bool {
        self.fill();
        let split = (self.range * u32::from(probability)) >> 8;
        let border = u64::from(split + 1) << 56;
        // Both ways in full, so that a branch goes to one of them. Computed without one, the next bit would wait for the comparison.
        if self.window >= border {
            self.window -= border;
            self.normalise(self.range - split);
            true
        } else {
            self.normalise(split + 1);
            false
        }
    }

    /// Shifts until the range, which is not less one here, is at least 128 again.
    #[inline(always)]
    fn normalise(&mut self, range: u32) {
        let shift = range.leading_zeros() - 24;
        self.range = (range << shift) - 1;
        self.window <<= shift;
        self.spare_bits -= shift as i32;
    }

    /// Reads a sign, which is as likely as not: `value` or its negative. Not for the partition's first bit.
    #[inline(always)]
    pub fn signed(&mut self, value: i32) -> i32 {
        self.fill();
        let split = self.range >> 1;
        let border = u64::from(split + 1) << 56;
        let negative = self.window >= border;
        // All ones for a negative number: a branch would be mispredicted half of the time.
        let mask = -i32::from(negative);
        self.window -= border & i64::from(mask) as u64;
        self.window <<= 1;
        self.spare_bits -= 1;
        // Half the range, doubled, is the range again, made odd.
        self.range = (self.range - (mask as u32 & 1)) | 1;
        (value ^ mask) - mask
    }

    /// Makes sure that there are 8 bits to compare.
    #[inline(always)]
    fn fill(&mut self) {
        if self.spare_bits >= 0 {
            return;
        }
        if let Some((&next, _)) = self.bytes.split_first_chunk::<8>() {
            self.bytes = &self.bytes[7..];
            self.window |= (u64::from_be_bytes(next) >> 8) << (-self.spare_bits & 63);
            self.spare_bits += 56;
        } else {
            // By value, as everything here: a reference that leaves would keep the decoder out of the registers.
            let (byte, rest, past_end) = last_byte(self.bytes);
            self.bytes = rest;
            self.past_end |= past_end;
            self.window |= u64::from(byte) << ((48 - self.spare_bits) & 63);
            self.spare_bits += 8;
        }
    }

    pub fn flag(&mut self) -> bool {
        self.bit(128)
    }

    /// A number of so many bits, the first of which is its highest.
    pub fn number(&mut self, bits: u32) -> u32 {
        (0..bits).fold(0, |number, _| 2 * number + u32::from(self.flag()))
    }

    /// A flag, and if it is set, a number of so many bits and its sign; else 0.
    pub fn optional_signed(&mut self, bits: u32) -> i32 {
        if !self.flag() {
            return 0;
        }
        let number = self.number(bits) as i32;
        if self.flag() { -number } else { number }
    }
}

/// One of the last bytes, or a zero after them; what follows it; and whether it is such a zero.
#[cold]
#[inline(never)]
fn last_byte(bytes: &[u8]) -> (u8, &[u8], bool) {
    match bytes.split_first() {
        Some((&byte, rest)) => (byte, rest, false),
        None => (0, &[], true),
    }
}
