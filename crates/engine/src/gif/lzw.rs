//! LZW as GIF has it (GIF89a, appendix F): codes of 3 to 12 bits, the lowest bit first, in blocks of up to 255 bytes.
//!
//! A code stands for a string of indices: that of an earlier code and one index more. Here a string is kept in pieces of eight
//! indices, each code having the last piece of its own, so that most are written by one store:
//!
//! ```text
//! code 300   "abcdefgh" "ij"     keeps "ij", and that "abcdefgh" is code 290
//! code 290   "abcdefgh"
//! code 301   code 300 and a k: keeps "ijk", and code 290
//! ```

use crate::error::Error;

const MAX_CODE_BITS: u32 = 12;
const MAX_CODES: usize = 1 << MAX_CODE_BITS;

/// Indices of a piece of a string.
const PIECE: usize = 8;

/// The longest string, and what is written behind it.
pub(super) const SLACK_BYTES: usize = MAX_CODES + PIECE;

/// The string of a code.
#[derive(Clone, Copy, Default)]
struct Entry {
    /// Its last piece, 1 to 8 indices, the first lowest.
    piece: u64,
    /// The code of what comes before, if it is longer than a piece.
    before: u16,
    length: u16,
    first: u8,
}

/// The codes of a frame, from its blocks.
struct Codes<'a> {
    /// What is left of the file from the next block on.
    rest: &'a [u8],
    /// What is left of this block.
    block: &'a [u8],
    bits: u64,
    count: u32,
    /// No more blocks come; whether the file said so, or ends.
    end: Option<End>,
}

/// Why a frame has no more codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Said,
    File,
}

impl Codes<'_> {
    /// The next code of so many bits.
    #[inline(always)]
    fn next(&mut self, bits: u32) -> Option<usize> {
        if self.count < bits {
            self.refill();
            if self.count < bits {
                return None;
            }
        }
        let code = self.bits & ((1 << bits) - 1);
        self.bits >>= bits;
        self.count -= bits;
        Some(code as usize)
    }

    fn refill(&mut self) {
        if let Some(eight) = self.block.first_chunk::<8>() {
            self.bits |= u64::from_le_bytes(*eight) << self.count;
            let bytes = (63 - self.count) / 8;
            self.block = &self.block[bytes as usize..];
            self.count += 8 * bytes;
            // Above them are bits that are read again.
            self.bits &= (1 << self.count) - 1;
            return;
        }
        while self.count <= 48 {
            let Some((&byte, rest)) = self.block.split_first() else {
                if !self.next_block() {
                    return;
                }
                continue;
            };
            self.bits |= u64::from(byte) << self.count;
            self.count += 8;
            self.block = rest;
        }
    }

    fn next_block(&mut self) -> bool {
        if self.end.is_some() {
            return false;
        }
        let Some((&length, rest)) = self.rest.split_first() else {
            self.end = Some(End::File);
            return false;
        };
        if length == 0 {
            self.end = Some(End::Said);
            return false;
        }
        let (block, rest) = rest.split_at(rest.len().min(usize::from(length)));
        (self.block, self.rest) = (block, rest);
        true
    }
}

/// Whether the blocks at the beginning of `data` end before the file does.
pub(super) fn ends(data: &[u8]) -> bool {
    let mut codes = Codes { rest: data, block: &[], bits: 0, count: 0, end: None };
    while codes.next_block() {}
    codes.end == Some(End::Said)
}

/// Decodes a frame's indices.
pub(super) struct Decoder<'a> {
    codes: Codes<'a>,
    entries: Box<[Entry; MAX_CODES]>,
    /// Bits of an index: with one more, the first codes'.
    index_bits: u32,
    code_bits: u32,
    /// The first code that has no entry.
    free: usize,
    /// The code before, if there was one since the last clear code.
    last: Option<usize>,
    ended: bool,
}

impl<'a> Decoder<'a> {
    /// Of the blocks at the beginning of `data`, of indices of 1 to 8 bits.
    pub fn new(data: &'a [u8], index_bits: u32) -> Self {
        let mut entries = Box::new([Entry::default(); MAX_CODES]);
        for (index, entry) in entries.iter_mut().enumerate().take(1 << index_bits) {
            *entry = Entry { piece: index as u64, before: 0, length: 1, first: index as u8 };
        }
        let codes = Codes { rest: data, block: &[], bits: 0, count: 0, end: None };
        let mut decoder = Self { codes, entries, index_bits, code_bits: 0, free: 0, last: None, ended: false };
        decoder.clear();
        decoder
    }

    /// What one takes.
    pub const WORKING_BYTES: u64 = (MAX_CODES * size_of::<Entry>()) as u64;

    fn clear(&mut self) {
        self.code_bits = self.index_bits + 1;
        self.free = (1 << self.index_bits) + 2;
        self.last = None;
    }

    /// Writes indices from `at` on, until fewer than [`SLACK_BYTES`] are left or there are no more. Returns where they end.
    ///
    /// # Errors
    /// A code that has no string; and where the indices before it end.
    pub fn read(&mut self, indices: &mut [u8], mut at: usize) -> Result<usize, (usize, Error)> {
        let clear = 1 << self.index_bits;
        while !self.ended && at + SLACK_BYTES <= indices.len() {
            let Some(code) = self.codes.next(self.code_bits) else {
                self.ended = true;
                break;
            };
            if code == clear {
                self.clear();
                continue;
            }
            if code == clear + 1 {
                self.codes.end = Some(End::Said);
                self.ended = true;
                break;
            }
            match self.last {
                Some(last) => {
                    if code > self.free || (code == self.free && self.free == MAX_CODES) {
                        return Err((at, invalid()));
                    }
                    if self.free < MAX_CODES {
                        // A code that gets its string only here begins like the one before.
                        let first = self.entries[if code == self.free { last } else { code }].first;
                        self.entries[self.free] = self.extended(last, first);
                        self.free += 1;
                        if self.free == 1 << self.code_bits && self.code_bits < MAX_CODE_BITS {
                            self.code_bits += 1;
                        }
                    }
                }
                None if code > clear => return Err((at, invalid())),
                None => {}
            }
            self.last = Some(code);
            let mut entry = self.entries[code];
            let length = usize::from(entry.length);
            let mut piece = at + (length - 1) / PIECE * PIECE;
            indices[piece..][..PIECE].copy_from_slice(&entry.piece.to_le_bytes());
            while piece > at {
                entry = self.entries[usize::from(entry.before)];
                piece -= PIECE;
                indices[piece..][..PIECE].copy_from_slice(&entry.piece.to_le_bytes());
            }
            at += length;
        }
        Ok(at)
    }

    /// The string of `code`, and an index more.
    fn extended(&self, code: usize, index: u8) -> Entry {
        let Entry { piece, before, length, first } = self.entries[code];
        let used = usize::from(length) % PIECE;
        if used == 0 {
            Entry { piece: index.into(), before: code as u16, length: length + 1, first }
        } else {
            Entry { piece: piece | u64::from(index) << (8 * used), before, length: length + 1, first }
        }
    }

    /// Why there are no more indices.
    pub fn missing(&self) -> Error {
        match self.codes.end {
            Some(End::Said) => Error::Corrupt("there are fewer rows than the frame declares".into()),
            _ => Error::Truncated,
        }
    }
}

fn invalid() -> Error {
    Error::Corrupt("its compressed data are invalid".into())
}
