//! The image data: the rows in all chunks of type IDAT, inflated one after the other (PNG, third edition, clauses 10.1 and 11.2.3).

use fdeflate::Decompressor;

use super::chunk::Chunk;
use crate::error::Error;
use crate::pixels::plane::zeros;

/// How far back a match may lie (RFC 1951): so much of what has been inflated must be kept.
const WINDOW_BYTES: usize = 32 << 10;

/// Inflated at once; a power of two that fits into a processor's second cache, window included.
const BULK_BYTES: usize = 128 << 10;

/// How much is inflated at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// As much as there is room for. When the data turn out to be damaged, up to this much is lost.
    Bulk,
    /// No more than a row, so that all rows are seen but perhaps the last before the damage.
    Row,
}

/// Inflates row after row.
pub(super) struct ImageData<'a> {
    source: &'a [u8],
    /// Where the next chunk begins.
    next_chunk: usize,
    /// What is left of this one.
    chunk: &'a [u8],
    /// A checksum that is wrong is found before its chunk is inflated, but reported after it, as browsers show it.
    wrong_checksum: bool,
    /// The file ends, in this chunk or behind it.
    file_ends: bool,
    inflater: Decompressor,
    /// The window, and what has been inflated and not yet taken: `taken..inflated`.
    buffer: Vec<u8>,
    taken: usize,
    inflated: usize,
    /// Bytes that the picture still has: no more are inflated.
    left: u64,
    step: Step,
    /// Why no more can be inflated.
    failed: Option<Error>,
}

impl<'a> ImageData<'a> {
    /// Of the chunks from `at` on, which inflate to `total` bytes, in rows of `longest` bytes at most.
    pub fn new(source: &'a [u8], at: usize, total: u64, longest: usize, step: Step) -> Result<Self, Error> {
        let mut inflater = Decompressor::new();
        inflater.ignore_adler32();
        Ok(Self {
            source,
            next_chunk: at,
            chunk: &[],
            wrong_checksum: false,
            file_ends: false,
            inflater,
            buffer: zeros(Self::working_bytes(total, longest) as usize)?,
            taken: 0,
            inflated: 0,
            left: total,
            step,
            failed: None,
        })
    }

    /// What one takes.
    pub fn working_bytes(total: u64, longest: usize) -> u64 {
        total.min((WINDOW_BYTES + BULK_BYTES + longest) as u64)
    }

    /// Whether so many bytes follow. Where they are inflated row by row, no more than one row ever does.
    pub fn has(&mut self, length: usize) -> bool {
        self.step == Step::Bulk && self.fill(length).is_ok()
    }

    /// The next row, or several, of so many bytes together.
    ///
    /// # Errors
    /// [`Error::Truncated`] when the file ends first, else [`Error::Corrupt`].
    pub fn row(&mut self, length: usize) -> Result<&[u8], Error> {
        self.fill(length)?;
        let row = &self.buffer[self.taken..][..length];
        self.taken += length;
        Ok(row)
    }

    /// Inflates until there are so many bytes that were not taken.
    fn fill(&mut self, length: usize) -> Result<(), Error> {
        while self.inflated - self.taken < length {
            if let Some(error) = &self.failed {
                return Err(error.clone());
            }
            let inflated = self.inflate(length);
            self.failed = inflated.err();
        }
        Ok(())
    }

    /// Inflates something, of a row of `length` bytes.
    fn inflate(&mut self, length: usize) -> Result<(), Error> {
        if self.buffer.len() < self.taken + length {
            let kept = self.taken.min(self.inflated.saturating_sub(WINDOW_BYTES));
            self.buffer.copy_within(kept..self.inflated, 0);
            self.taken -= kept;
            self.inflated -= kept;
        }
        if self.chunk.is_empty() && !self.file_ends && !self.wrong_checksum {
            self.begin_chunk()?;
        }
        let room = match self.step {
            Step::Bulk => self.buffer.len() - self.inflated,
            Step::Row => self.taken + length - self.inflated,
        };
        let end = self.inflated + (room as u64).min(self.left) as usize;
        let read = self.inflater.read(self.chunk, &mut self.buffer[..end], self.inflated, false);
        let (consumed, produced) = read.map_err(|_| self.damage("its compressed data are invalid"))?;
        self.chunk = &self.chunk[consumed..];
        self.inflated += produced;
        self.left -= produced as u64;
        if consumed == 0 && produced == 0 {
            return Err(self.missing());
        }
        Ok(())
    }

    /// Goes on to the next chunk of image data that is not empty, if there is one.
    fn begin_chunk(&mut self) -> Result<(), Error> {
        while self.chunk.is_empty() {
            let chunk = match Chunk::read(self.source, self.next_chunk) {
                Ok(chunk) if &chunk.kind == b"IDAT" => chunk,
                Err(Error::Truncated) => {
                    self.file_ends = true;
                    return Ok(());
                }
                // All other chunks end the image data, and so do bytes that are none.
                _ => return Ok(()),
            };
            self.chunk = chunk.data;
            self.next_chunk = chunk.end;
            self.file_ends = !chunk.is_whole();
            self.wrong_checksum = !chunk.is_sound();
            if self.file_ends || self.wrong_checksum {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Why there are no more rows.
    fn missing(&self) -> Error {
        if self.file_ends { Error::Truncated } else { self.damage("there are fewer rows than the header declares") }
    }

    /// A wrong checksum explains all other damage.
    fn damage(&self, otherwise: &str) -> Error {
        let what = if self.wrong_checksum { "the checksum of the image data is wrong" } else { otherwise };
        Error::Corrupt(what.into())
    }

    /// That no checksum of what was read is wrong.
    pub fn check(&self) -> Result<(), Error> {
        if self.wrong_checksum { Err(self.damage("")) } else { Ok(()) }
    }
}
