//! Our own decoder: 8-bit Huffman coded JPEG, grey or three components, straight to a reduced size.
//!
//! It decodes only the MCUs that the thumbnails show, of them only the frequencies that the reduced size holds, and passes
//! over the rest as fast as the code allows. What it does not take ([`takes`]) and what it finds damaged goes to
//! [`fallback`](super::fallback).

mod baseline;
mod bit_reader;
mod decode_table;
mod idct;
mod interleaved;
mod mcu;
mod progressive;
mod progressive_table;
mod scan_header;
mod tables;

use super::header::{Frame, FrameComponent, Process, marker, next_segment};
use crate::error::Error;
use crate::limits::Truncated;
use crate::picture::{DecodeMemory, PlaneRequest};
use crate::pixels::plane::PlacedPlane;
use bit_reader::ScanData;
use mcu::McuGeometry;
use scan_header::ScanHeader;
use tables::TableState;

/// Whether the frame is of the kind decoded here.
pub(crate) fn takes(frame: &Frame) -> bool {
    let sampling = |component: &FrameComponent| component.h <= 2 && component.v <= 2;
    let lone = frame.components.len() == 1;
    frame.precision_bits == 8
        && matches!(frame.process, Process::Sequential | Process::Progressive)
        && (lone || frame.components.len() == 3 && frame.components.iter().all(sampling))
}

/// What decoding takes; `source_bytes` of them for a copy of a scan's data.
pub(crate) fn memory(frame: &Frame, source_bytes: usize, requests: &[Vec<PlaneRequest>]) -> DecodeMemory {
    let geometry = McuGeometry::new(frame, requests);
    let working = match frame.process {
        Process::Progressive => progressive::memory(&geometry),
        _ => baseline::memory(&geometry),
    };
    let planes = geometry.planes_bytes();
    DecodeMemory { peak: planes + working + source_bytes as u64, planes }
}

/// Decodes what the thumbnails need: `requests[i]` of component `i`.
///
/// # Errors
/// [`Error::Truncated`] when data is missing. Any other but [`Error::OutOfMemory`] may be only this decoder's opinion.
pub(crate) fn decode(
    source: &[u8],
    frame: &Frame,
    requests: &[Vec<PlaneRequest>],
    truncated: Truncated,
) -> Result<Vec<PlacedPlane>, Error> {
    let geometry = McuGeometry::new(frame, requests);
    let mut planes = geometry.planes()?;
    if frame.process == Process::Progressive {
        progressive::decode(source, frame, &geometry, &mut planes)?;
        return Ok(geometry.placed(planes));
    }
    let mut tables = TableState::default();
    let mut at = 2;
    let scan = loop {
        let segment = next_segment(source, at)?;
        at = segment.end;
        if segment.marker == marker::SOS {
            break ScanHeader::read(segment.payload, frame)?;
        }
        tables.apply(&segment)?;
    };
    if scan.components.len() != frame.components.len() {
        return Err(Error::Unsupported("a sequential picture in several scans".into()));
    }
    let data = ScanData::read(source, at, Vec::new())?;
    let ended = data.end.is_some_and(|end| source.get(end + 1) == Some(&marker::EOI));
    if data.end.is_some() && !ended {
        return Err(Error::Unsupported("something follows the only scan".into()));
    }
    baseline::decode(&data, &scan, &tables, &geometry, !ended && truncated == Truncated::Strict, &mut planes)?;
    Ok(geometry.placed(planes))
}
