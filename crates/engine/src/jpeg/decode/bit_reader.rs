//! Entropy-coded data as a sequence of bits: the byte stuffing is removed first, so that reading needs no branch.

use std::ops::Range;

use memchr::memchr;

use crate::error::Error;
use crate::jpeg::header::marker;

const TOO_MANY_MARKERS: &str = "there are too many restart markers";

/// Zero bytes after the data, so that a refill near the end can still load eight.
const PADDING_BYTES: usize = 8;

/// A scan's entropy-coded data without stuffed zeros and restart markers (T.81, B.1.1.5 and F.1.2.3).
pub(super) struct ScanData {
    bytes: Vec<u8>,
    /// Where in `bytes` each restart interval ends; the last is the data's end.
    ends: Vec<u32>,
    /// The numbers of the restart markers, 0 to 7, as many as there are.
    numbers: Vec<u8>,
    /// Damage outside the codes.
    damage: Option<&'static str>,
    /// Where in the file the marker that ends the scan stands; `None` if the file ends first.
    pub end: Option<usize>,
}

impl ScanData {
    /// Takes the data of the scan whose header ends at `from` out of `source`; of at most `most` restart intervals. `bytes` is a used
    /// buffer to be used again.
    pub fn read(source: &[u8], from: usize, most: usize, mut bytes: Vec<u8>) -> Result<Self, Error> {
        let data = source.get(from..).unwrap_or_default();
        bytes.clear();
        bytes.try_reserve(data.len() + PADDING_BYTES).map_err(|_| Error::OutOfMemory)?;
        let (mut ends, mut numbers, mut damage) = (Vec::new(), Vec::new(), None);
        // Each marker takes two bytes.
        let most = most.min(data.len() / 2 + 1);
        ends.try_reserve_exact(most).map_err(|_| Error::OutOfMemory)?;
        numbers.try_reserve_exact(most).map_err(|_| Error::OutOfMemory)?;
        let end_of = |bytes: &Vec<u8>| u32::try_from(bytes.len()).map_err(|_| Error::OutOfMemory);
        let mut at = 0;
        let mut end = None;
        while let Some(found) = memchr(0xff, &data[at..]) {
            let ff = at + found;
            match data.get(ff + 1) {
                Some(0) => {
                    bytes.extend_from_slice(&data[at..=ff]);
                    at = ff + 2;
                }
                Some(&number @ marker::RST0..=marker::RST7) => {
                    bytes.extend_from_slice(&data[at..ff]);
                    if ends.len() + 1 >= most {
                        damage = Some(TOO_MANY_MARKERS);
                        end = Some(from + ff);
                        break;
                    }
                    ends.push(end_of(&bytes)?);
                    numbers.push(number - marker::RST0);
                    at = ff + 2;
                }
                // Reserved (T.81, table B.1), so this is damage: everything up to the next restart marker is unusable.
                Some(marker::TEM..=marker::LAST_RESERVED) if most > 1 => {
                    bytes.extend_from_slice(&data[at..ff]);
                    damage = Some("there is an unexpected marker in the image data");
                    at = next_marker(data, ff + 2);
                }
                // A fill byte: the next FF decides.
                Some(0xff) => {
                    bytes.extend_from_slice(&data[at..ff]);
                    at = ff + 1;
                }
                Some(_) => {
                    bytes.extend_from_slice(&data[at..ff]);
                    end = Some(from + ff);
                    break;
                }
                None => {
                    bytes.extend_from_slice(&data[at..ff]);
                    at = data.len();
                }
            }
        }
        if end.is_none() {
            bytes.extend_from_slice(&data[at..]);
        }
        ends.push(end_of(&bytes)?);
        bytes.resize(bytes.len() + PADDING_BYTES, 0);
        Ok(Self { bytes, ends, numbers, damage, end })
    }

    /// The most bytes that [`Self::read`] allocates, of a source of `source_bytes` and a scan of at most `most` restart intervals.
    pub fn memory(source_bytes: usize, most: usize) -> u64 {
        (source_bytes + PADDING_BYTES) as u64 + 5 * most.min(source_bytes / 2 + 1) as u64
    }

    /// How many restart intervals there are, at least 1.
    pub fn intervals(&self) -> usize {
        self.ends.len()
    }

    /// Which restart intervals of the picture, which has `count` of them, the intervals of the data are: for each its number in the
    /// data and its number in the picture.
    ///
    /// `strict`: all must be there. Otherwise missing and extra markers are recognised by their numbers, which go round from
    /// 0 to 7 (T.81, E.1.4): a marker one or two ahead of what is due means that intervals are lost, one or two behind that it
    /// was met already (as in libjpeg's jpeg_resync_to_restart).
    pub fn numbered(&self, count: usize, strict: bool) -> Result<impl Iterator<Item = (usize, usize)>, Error> {
        if strict && self.intervals() < count {
            return Err(Error::Truncated);
        }
        let damage = self.damage.or((self.intervals() > count).then_some(TOO_MANY_MARKERS));
        if let Some(damage) = damage.filter(|_| strict) {
            return Err(Error::Corrupt(damage.into()));
        }
        let mut next = 0;
        Ok((0..self.intervals()).filter_map(move |in_data| {
            if in_data > 0 && !strict {
                let ahead = (usize::from(self.numbers[in_data - 1]) + 8 - (next + 7) % 8) % 8;
                match ahead {
                    6 | 7 => return None,
                    1 | 2 => next += ahead,
                    _ => {}
                }
            }
            next += 1;
            (next <= count).then_some((in_data, next - 1))
        }))
    }

    /// A reader at the start of restart interval `index`.
    pub fn reader(&self, index: usize) -> BitReader<'_> {
        BitReader { data: &self.bytes, at: self.interval(index).start / 8, bits: 0, count: 0 }
    }

    /// Where restart interval `index` lies, in bits.
    pub fn interval(&self, index: usize) -> Range<usize> {
        let end = |index: usize| 8 * self.ends[index] as usize;
        if index == 0 { 0..end(0) } else { end(index - 1)..end(index) }
    }

    /// The data, and a few zeros behind it.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether `reader` has taken more bits than restart interval `index` has.
    pub fn overrun(&self, reader: &BitReader<'_>, index: usize) -> bool {
        reader.position() > self.interval(index).end
    }

    /// The buffer, for the next scan.
    pub fn into_buffer(self) -> Vec<u8> {
        self.bytes
    }
}

/// The offset of the next marker from `at` on that is not reserved; the data's end if there is none.
fn next_marker(data: &[u8], mut at: usize) -> usize {
    while let Some(found) = memchr(0xff, &data[at.min(data.len())..]) {
        at += found;
        if data.get(at + 1).is_some_and(|&marker| (marker::LAST_RESERVED + 1..0xff).contains(&marker)) {
            return at;
        }
        at += 1;
    }
    data.len()
}

/// Reads bits, the highest of each byte first. Past the end of the data it reads zeros, which [`ScanData::overrun`] detects.
///
/// Small and copied: the slow paths take it by value and return it, so that it stays in registers in the fast ones.
#[derive(Clone, Copy)]
pub(super) struct BitReader<'a> {
    data: &'a [u8],
    /// The next byte to be loaded.
    at: usize,
    /// The bits loaded and not taken, from the top.
    bits: u64,
    /// How many of `bits` count. More may be there: those that the next load brings again.
    count: u32,
}

impl BitReader<'_> {
    /// Fills up to at least 56 bits: one load whatever was there (F. Giesen, "Reading bits in far too many
    /// ways", variant 4).
    #[inline(always)]
    pub fn refill(&mut self) {
        if let Some(bytes) = self.data.get(self.at..).and_then(<[u8]>::first_chunk::<8>) {
            self.bits |= u64::from_be_bytes(*bytes) >> self.count;
        }
        self.at += ((63 - self.count) >> 3) as usize;
        self.count |= 56;
    }

    /// The next `n` bits, 1 to 32, without taking them.
    #[inline(always)]
    pub fn peek(&self, n: u32) -> usize {
        (self.bits >> (64 - n)) as usize
    }

    /// The bits that are there, from the top; behind them, anything.
    #[inline(always)]
    pub fn bits(&self) -> u64 {
        self.bits
    }

    /// Takes `n` bits, at most as many as there are since the last refill.
    #[inline(always)]
    pub fn take(&mut self, n: u32) {
        self.bits <<= n;
        self.count = self.count.wrapping_sub(n);
    }

    /// Takes `n` bits, 0 to 16, as a number.
    #[inline(always)]
    pub fn number(&mut self, n: u32) -> u32 {
        let value = (self.bits >> 1 >> (63 - n)) as u32;
        self.take(n);
        value
    }

    /// Bits taken since the start of the data.
    pub fn position(&self) -> usize {
        (8 * self.at).saturating_sub(self.count as usize)
    }
}

/// The value of a coefficient whose size is `size` bits and whose magnitude bits are `bits` (T.81, F.2.2.1, EXTEND).
#[inline(always)]
pub(super) fn extend(bits: u32, size: u32) -> i32 {
    let bits = bits as i32;
    if size == 0 || bits >> (size - 1) != 0 { bits } else { bits - (1 << size) + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(data: &[u8]) -> ScanData {
        ScanData::read(data, 0, 100, Vec::new()).unwrap()
    }

    #[test]
    fn stuffing_goes_and_markers_part() {
        let data = scan(b"\x12\xff\0\x34\xff\xd0\x56\xff\xff\xd1\x78\xff\xd9tail");
        assert_eq!(&data.bytes[..5], b"\x12\xff\x34\x56\x78");
        assert_eq!(data.ends, [3, 4, 5]);
        assert_eq!(data.end, Some(11));
    }

    #[test]
    fn a_lost_or_repeated_restart_marker_is_told_by_its_number() {
        let numbered = |numbers: &[u8], count| {
            let bytes: Vec<u8> = numbers.iter().flat_map(|number| [0x55, 0xff, 0xd0 + number]).chain([0x55]).collect();
            scan(&bytes).numbered(count, false).unwrap().collect::<Vec<_>>()
        };
        assert_eq!(numbered(&[0, 1, 2], 4), [(0, 0), (1, 1), (2, 2), (3, 3)]);
        assert_eq!(numbered(&[0, 2], 4), [(0, 0), (1, 1), (2, 3)], "1 is lost");
        assert_eq!(numbered(&[0, 0, 1], 4), [(0, 0), (1, 1), (3, 2)], "0 comes twice");
        assert_eq!(numbered(&[0, 1, 2, 3], 3), [(0, 0), (1, 1), (2, 2)], "more than the picture has");
        assert_eq!(numbered(&[0, 5, 2], 4), [(0, 0), (1, 1), (2, 2), (3, 3)], "a number that is nonsense");
        assert_eq!(scan(b"\x55\xff\xd0\x55").numbered(3, true).err(), Some(Error::Truncated));
        let two = ScanData::read(b"\x55\xff\xd0\x55\xff\xd1\x55", 0, 2, Vec::new()).unwrap();
        assert!(two.intervals() == 2 && matches!(two.numbered(2, true).err(), Some(Error::Corrupt(_))));
    }

    #[test]
    fn a_file_that_ends_in_the_data_has_no_end() {
        for (file, bytes) in [(&b"\x12\x34"[..], 2), (b"\x12\xff", 1), (b"\x12\xff\0", 2), (b"", 0)] {
            let data = scan(file);
            assert_eq!((data.end, data.ends.as_slice()), (None, &[bytes][..]));
        }
    }

    #[test]
    fn bits_come_in_order_and_the_overrun_is_seen() {
        let bytes: Vec<u8> = (1..=40).collect();
        let data = scan(&bytes);
        let mut reader = data.reader(0);
        for (i, &byte) in bytes.iter().enumerate() {
            reader.refill();
            assert_eq!(reader.number(3), u32::from(byte >> 5));
            assert_eq!(reader.peek(5), usize::from(byte & 31));
            reader.take(5);
            assert_eq!(reader.position(), 8 * (i + 1));
            assert!(!data.overrun(&reader, 0));
        }
        for _ in 0..100 {
            reader.refill();
            assert_eq!(reader.number(16), 0);
            assert!(data.overrun(&reader, 0));
        }
    }

    #[test]
    fn magnitudes_are_signed_as_the_standard_has_it() {
        let expected = [(0, 0, 0), (0, 1, -1), (1, 1, 1), (0, 2, -3), (1, 2, -2), (2, 2, 2), (3, 2, 3), (0, 10, -1023)];
        for (bits, size, value) in expected {
            assert_eq!(extend(bits, size), value);
        }
    }
}
