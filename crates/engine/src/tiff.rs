//! TIFF's directories (TIFF 6.0, section 2), in which Exif stands, and a camera's raw file.

/// Bytes of a directory's entry.
pub(crate) const ENTRY_BYTES: usize = 12;

/// Types of values.
pub(crate) const ASCII: u32 = 2;
pub(crate) const SHORT: u32 = 3;

/// A TIFF file's bytes.
#[derive(Clone, Copy)]
pub(crate) struct Tiff<'a> {
    pub bytes: &'a [u8],
    big_endian: bool,
}

impl<'a> Tiff<'a> {
    pub fn of(bytes: &'a [u8]) -> Option<Self> {
        (bytes.starts_with(b"II*\0") || bytes.starts_with(b"MM\0*")).then(|| Self::whatever(bytes))
    }

    /// Of a file that differs from TIFF in the third and fourth byte.
    pub fn whatever(bytes: &'a [u8]) -> Self {
        Self { bytes, big_endian: bytes.starts_with(b"M") }
    }

    /// A number of up to four bytes.
    pub fn number(&self, at: usize, bytes: usize) -> Option<u32> {
        let taken = self.bytes.get(at..at.checked_add(bytes)?)?.iter();
        let join = |number: u32, &byte: &u8| number << 8 | u32::from(byte);
        Some(if self.big_endian { taken.fold(0, join) } else { taken.rev().fold(0, join) })
    }

    /// The entries of the directory at an offset, up to the first that is not there.
    pub fn directory(self, at: usize) -> impl Iterator<Item = Entry<'a>> {
        let count = self.number(at, 2).unwrap_or(0) as usize;
        (0..count).map_while(move |entry| {
            let at = at.checked_add(2 + entry * ENTRY_BYTES)?;
            Some(Entry { tiff: self, at, tag: self.number(at, 2)? })
        })
    }

    /// The offset of the directory that follows the one at an offset.
    pub fn next_directory(&self, at: usize) -> Option<usize> {
        let count = self.number(at, 2).unwrap_or(0) as usize;
        self.offset(at.checked_add(2 + ENTRY_BYTES * count)?)
    }

    /// The offset that stands at `at`.
    pub fn offset(&self, at: usize) -> Option<usize> {
        usize::try_from(self.number(at, 4)?).ok()
    }
}

/// An entry of a directory.
#[derive(Clone, Copy)]
pub(crate) struct Entry<'a> {
    tiff: Tiff<'a>,
    at: usize,
    pub tag: u32,
}

impl<'a> Entry<'a> {
    /// The type of its values.
    pub fn kind(&self) -> Option<u32> {
        self.tiff.number(self.at + 2, 2)
    }

    /// How many values it has.
    pub fn count(&self) -> Option<u32> {
        self.tiff.number(self.at + 4, 4)
    }

    /// Where its value is, or where a longer one's offset is.
    pub fn value_at(&self) -> usize {
        self.at + 8
    }

    /// Where its values are, `size` bytes each: up to four bytes stand in the entry itself.
    pub fn values_at(&self, size: usize) -> Option<usize> {
        let inside = u64::from(self.count()?) * size as u64 <= 4;
        if inside { Some(self.value_at()) } else { self.tiff.offset(self.value_at()) }
    }

    /// The bytes of its values.
    pub fn values(&self, size: usize) -> Option<&'a [u8]> {
        let length = usize::try_from(self.count()?).ok()?.checked_mul(size)?;
        let from = self.values_at(size)?;
        self.tiff.bytes.get(from..from.checked_add(length)?)
    }
}
