//! Chunks, the parts of a PNG file (PNG, third edition, clause 5.3): length, type, data, checksum.

use crate::error::Error;

/// What every file begins with.
pub(crate) const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// The length and the type.
const HEAD_BYTES: usize = 8;
const CHECKSUM_BYTES: usize = 4;

/// A chunk, or as much of one as the file has.
#[derive(Clone, Copy)]
pub(super) struct Chunk<'a> {
    pub kind: [u8; 4],
    pub data: &'a [u8],
    /// The checksum as stored; `None`: the file ends before it.
    checksum: Option<u32>,
    /// Where in the file it ends.
    pub end: usize,
}

impl<'a> Chunk<'a> {
    /// The chunk that begins at `at`. [`Error::Truncated`] when the file ends before its data begin.
    pub fn read(source: &'a [u8], at: usize) -> Result<Self, Error> {
        let (head, rest) =
            source.get(at..).and_then(<[u8]>::split_first_chunk::<HEAD_BYTES>).ok_or(Error::Truncated)?;
        let [l3, l2, l1, l0, kind @ ..] = *head;
        if !kind.iter().all(u8::is_ascii_alphabetic) {
            return Err(Error::Corrupt("the type of a chunk is not four letters".into()));
        }
        let length = u32::from_be_bytes([l3, l2, l1, l0]);
        if length > i32::MAX as u32 {
            return Err(Error::Corrupt(format!("chunk {} has an invalid length, {length}", name(kind))));
        }
        let (data, behind) = rest.split_at(rest.len().min(length as usize));
        let whole = data.len() == length as usize;
        let checksum = behind.first_chunk().filter(|_| whole).map(|bytes| u32::from_be_bytes(*bytes));
        let end = at + HEAD_BYTES + data.len() + checksum.map_or(0, |_| CHECKSUM_BYTES);
        Ok(Self { kind, data, checksum, end })
    }

    /// Whether the whole chunk is in the file.
    pub fn is_whole(&self) -> bool {
        self.checksum.is_some()
    }

    /// Whether the checksum is right. That of a chunk that the file does not have whole is not known, and not wrong.
    pub fn is_sound(&self) -> bool {
        self.checksum.is_none_or(|checksum| {
            let mut hasher = crc32fast::Hasher::new();
            hasher.update(&self.kind);
            hasher.update(self.data);
            hasher.finalize() == checksum
        })
    }

    /// Whether a picture can be shown without knowing what the chunk means (clause 5.4).
    pub fn is_ancillary(&self) -> bool {
        self.kind[0].is_ascii_lowercase()
    }

    pub fn name(&self) -> String {
        name(self.kind)
    }
}

fn name(kind: [u8; 4]) -> String {
    String::from_utf8_lossy(&kind).into_owned()
}
