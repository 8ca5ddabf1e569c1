//! The tables that a file sets up before its scans: quantisation, Huffman, restart interval (T.81, B.2.4).

use super::mcu::McuGeometry;
use crate::error::Error;
use crate::jpeg::annex_k;
use crate::jpeg::dct::BLOCK;
use crate::jpeg::header::{Segment, marker};
use crate::jpeg::huffman::HuffmanSpec;

/// The number of tables of each kind (T.81, table B.5).
const DESTINATIONS: usize = 4;

/// The state of the tables at a place in the file: later segments replace what earlier ones set.
#[derive(Clone)]
pub(super) struct TableState {
    /// Quantisation steps in zigzag order.
    quantisation: [Option<[u16; BLOCK]>; DESTINATIONS],
    dc: [Option<HuffmanSpec>; DESTINATIONS],
    ac: [Option<HuffmanSpec>; DESTINATIONS],
    /// MCUs between restart markers; 0: none.
    pub restart_interval: usize,
}

impl Default for TableState {
    /// As a file begins: without quantisation, and with the Huffman tables of annex K in the places that luma and chroma usually
    /// have, because the frames of motion JPEG have none.
    fn default() -> Self {
        let customary = |table: fn(bool) -> HuffmanSpec| [Some(table(true)), Some(table(false)), None, None];
        Self {
            quantisation: [None; DESTINATIONS],
            dc: customary(annex_k::dc),
            ac: customary(annex_k::ac),
            restart_interval: 0,
        }
    }
}

impl TableState {
    /// Takes up a segment, if it is one that sets a table.
    pub fn apply(&mut self, segment: &Segment<'_>) -> Result<(), Error> {
        match segment.marker {
            marker::DQT => self.apply_quantisation(segment.payload),
            marker::DHT => self.apply_huffman(segment.payload),
            marker::DRI => {
                let interval = segment
                    .payload
                    .first_chunk()
                    .ok_or_else(|| corrupt("the restart interval segment is too short"))?;
                self.restart_interval = usize::from(u16::from_be_bytes(*interval));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn apply_quantisation(&mut self, mut payload: &[u8]) -> Result<(), Error> {
        while let Some((&head, rest)) = payload.split_first() {
            let bytes = if head >> 4 == 0 { BLOCK } else { 2 * BLOCK };
            let (Some(slot), Some((steps, rest))) =
                (self.quantisation.get_mut(usize::from(head & 15)), rest.split_at_checked(bytes))
            else {
                return Err(corrupt("a quantisation table is incomplete or has an invalid index"));
            };
            let step = |place: usize| match head >> 4 {
                0 => u16::from(steps[place]),
                _ => u16::from_be_bytes([steps[2 * place], steps[2 * place + 1]]),
            };
            *slot = Some(std::array::from_fn(step));
            payload = rest;
        }
        Ok(())
    }

    fn apply_huffman(&mut self, mut payload: &[u8]) -> Result<(), Error> {
        while let Some((&head, rest)) = payload.split_first() {
            let tables = if head >> 4 == 0 { &mut self.dc } else { &mut self.ac };
            let slot = tables.get_mut(usize::from(head & 15)).filter(|_| head >> 4 <= 1);
            let slot = slot.ok_or_else(|| corrupt("a Huffman table has an invalid index"))?;
            let (spec, rest) = HuffmanSpec::read(rest)?;
            *slot = Some(spec);
            payload = rest;
        }
        Ok(())
    }

    /// Most restart intervals of a scan with these tables; without any, one.
    pub fn most_intervals(&self, geometry: &McuGeometry) -> usize {
        if self.restart_interval == 0 { 1 } else { geometry.most_intervals().div_ceil(self.restart_interval) }
    }

    pub fn quantisation(&self, index: usize) -> Result<&[u16; BLOCK], Error> {
        let table = self.quantisation.get(index).and_then(Option::as_ref);
        table.ok_or_else(|| Error::Corrupt(format!("quantisation table {index} is missing")))
    }

    pub fn dc(&self, index: usize) -> Result<&HuffmanSpec, Error> {
        let table = self.dc.get(index).and_then(Option::as_ref);
        table.ok_or_else(|| Error::Corrupt(format!("DC Huffman table {index} is missing")))
    }

    pub fn ac(&self, index: usize) -> Result<&HuffmanSpec, Error> {
        let table = self.ac.get(index).and_then(Option::as_ref);
        table.ok_or_else(|| Error::Corrupt(format!("AC Huffman table {index} is missing")))
    }
}

fn corrupt(what: &str) -> Error {
    Error::Corrupt(what.to_owned())
}
