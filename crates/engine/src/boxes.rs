//! The boxes of ISO/IEC 14496-12, of which HEIC and Canon's CR3 are made, and numbers in them.
#![cfg_attr(not(feature = "heic"), allow(dead_code, reason = "CR3 needs less of it"))]

/// A part of a file that is read from its beginning, the most significant byte of a number first. `None`: it ends too early.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    /// A number of up to 8 bytes; of none, 0.
    pub fn number(&mut self, bytes: usize) -> Option<u64> {
        let taken = self.take(bytes)?;
        (bytes <= 8).then(|| taken.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    pub fn u8(&mut self) -> Option<u8> {
        Some(self.take(1)?[0])
    }

    pub fn u16(&mut self) -> Option<u16> {
        Some(self.number(2)? as u16)
    }

    pub fn u32(&mut self) -> Option<u32> {
        Some(self.number(4)? as u32)
    }

    /// The version and the flags that many boxes begin with.
    pub fn version(&mut self) -> Option<(u8, u32)> {
        let word = self.u32()?;
        Some(((word >> 24) as u8, word & 0x00ff_ffff))
    }
}

/// A box and what is in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Boxed<'a> {
    pub kind: [u8; 4],
    /// As much of it as the file has.
    pub content: &'a [u8],
    /// Whether that is all of it.
    pub whole: bool,
}

/// The boxes that follow each other in `bytes`, up to the first that is none.
pub(crate) fn boxes(bytes: &[u8]) -> impl Iterator<Item = Boxed<'_>> {
    let mut rest = Reader(bytes);
    std::iter::from_fn(move || {
        let all = rest.0.len() as u64;
        let short = rest.u32()?;
        let kind = rest.take(4)?.try_into().ok()?;
        let (size, head) = match short {
            0 => (all, 8),
            1 => (rest.number(8)?, 16),
            size => (u64::from(size), 8),
        };
        let length = size.checked_sub(head)?;
        let there = length.min(rest.0.len() as u64) as usize;
        Some(Boxed { kind, content: rest.take(there)?, whole: there as u64 == length })
    })
}

/// What is in the first box of a kind.
pub(crate) fn find<'a>(bytes: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    boxes(bytes).find(|found| found.kind == *kind).map(|found| found.content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(bytes: &[u8]) -> Vec<([u8; 4], &[u8], bool)> {
        boxes(bytes).map(|found| (found.kind, found.content, found.whole)).collect()
    }

    #[test]
    fn sizes_of_all_three_kinds() {
        let file = b"\0\0\0\x0aabcd12\0\0\0\x01long\0\0\0\0\0\0\0\x113\0\0\0\0lastrest";
        assert_eq!(listed(file), [(*b"abcd", &b"12"[..], true), (*b"long", b"3", true), (*b"last", b"rest", true)]);
        assert_eq!(find(file, b"long"), Some(&b"3"[..]));
    }

    #[test]
    fn a_box_that_the_file_cuts_and_one_that_is_none() {
        assert_eq!(listed(b"\0\0\0\xffabcd12"), [(*b"abcd", &b"12"[..], false)]);
        for none in [&b"\0\0\0\x07abcd"[..], b"\0\0\0\x01abcd\0\0\0\0\0\0\0\x0f", b"\0\0\0", b""] {
            assert!(listed(none).is_empty());
        }
        assert_eq!(listed(b"\0\0\0\x01abcd\xff\xff\xff\xff\xff\xff\xff\xff12"), [(*b"abcd", &b"12"[..], false)]);
    }
}
