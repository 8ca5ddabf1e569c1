//! A scan's header (T.81, B.2.3).

use crate::error::Error;
use crate::jpeg::header::{Frame, Process};

/// One component of a scan: which of the frame's, and its Huffman tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ScanComponent {
    /// Index in the frame's components.
    pub index: usize,
    pub dc_table: usize,
    pub ac_table: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ScanHeader {
    pub components: Vec<ScanComponent>,
    /// First and last zigzag place, Ss and Se.
    pub first: u32,
    pub last: u32,
    /// Successive approximation: Ah, the bit above the highest of the scan (0 in a first scan), and Al, the lowest bit.
    pub high: u32,
    pub low: u32,
}

impl ScanHeader {
    /// Reads the payload of an SOS segment. Components may stand in any order. Where several of the frame have the same identifier,
    /// which they must not, each naming means the next of them, as in libjpeg.
    pub fn read(payload: &[u8], frame: &Frame) -> Result<Self, Error> {
        let corrupt = || Error::Corrupt("a scan header is invalid".into());
        let (&count, rest) = payload.split_first().ok_or_else(corrupt)?;
        let (entries, rest) = rest.split_at_checked(2 * usize::from(count)).ok_or_else(corrupt)?;
        let &[first, last, approximation] = rest.first_chunk().ok_or_else(corrupt)?;
        let mut components: Vec<ScanComponent> = Vec::with_capacity(frame.components.len());
        for entry in entries.chunks_exact(2) {
            let named = |index: usize| components.iter().any(|component| component.index == index);
            let index = (0..frame.components.len())
                .find(|&index| frame.components[index].id == entry[0] && !named(index))
                .ok_or_else(corrupt)?;
            let component =
                ScanComponent { index, dc_table: usize::from(entry[1] >> 4), ac_table: usize::from(entry[1] & 15) };
            components.push(component);
        }
        if components.is_empty() {
            return Err(corrupt());
        }
        let header = match frame.process {
            // A sequential scan does not use these, and other decoders ignore them.
            Process::Sequential => Self { components, first: 0, last: 63, high: 0, low: 0 },
            _ => {
                let (high, low) = (u32::from(approximation >> 4), u32::from(approximation & 15));
                Self { components, first: first.into(), last: last.into(), high, low }
            }
        };
        if frame.process == Process::Progressive {
            header.check_progressive()?;
        }
        Ok(header)
    }

    /// Whether the scan has all of `count` components, in the frame's order.
    pub fn is_whole(&self, count: usize) -> bool {
        self.components.iter().map(|component| component.index).eq(0..count)
    }

    /// Whether the scan has component `index` of the frame.
    pub fn includes(&self, index: usize) -> bool {
        self.components.iter().any(|component| component.index == index)
    }

    /// The zigzag places of the scan's band as a set of bits.
    pub fn places(&self) -> u64 {
        (u64::MAX >> (63 - self.last)) & (u64::MAX << self.first)
    }

    /// Whether these parameters may stand in a progressive picture (T.81, G.1.1.1.1).
    fn check_progressive(&self) -> Result<(), Error> {
        let Self { first, last, high, low, .. } = *self;
        let band = if first == 0 { last == 0 } else { first <= last && last <= 63 && self.components.len() == 1 };
        // 13 bits is the most that a coefficient of 8-bit samples can be short of.
        let bits = low <= 13 && (high == 0 || high == low + 1);
        if band && bits {
            Ok(())
        } else {
            Err(Error::Corrupt(format!(
                "a scan header has invalid parameters: coefficients {first} to {last}, bits {high} to {low}"
            )))
        }
    }
}
