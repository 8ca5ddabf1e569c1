//! Our own decoder: 8-bit Huffman coded JPEG, grey or three components, straight to a reduced size.
//!
//! It decodes only the MCUs that the thumbnails show, of them only the frequencies that the reduced size holds, and passes
//! over the rest as fast as the code allows. What it does not take ([`takes`]) and what it finds damaged goes to
//! [`general`](super::general).

mod baseline;
mod bits;
mod huffman;
mod idct;
mod lanes;
mod layout;
mod lookup;
mod progressive;
mod scan;
mod tables;

pub(super) use layout::Need;

use super::header::{self, Frame, Header, Process, marker, next_segment};
use super::plane::PlacedPlane;
use super::{Error, Truncated};
use bits::ScanData;
use layout::Layout;
use scan::ScanHeader;
use tables::Tables;

/// Whether the frame is of the kind decoded here.
pub(super) fn takes(frame: &Frame) -> bool {
    let sampling = |component: &header::Component| component.h <= 2 && component.v <= 2;
    let lone = frame.components.len() == 1;
    frame.precision_bits == 8
        && matches!(frame.process, Process::Sequential | Process::Progressive)
        && (lone || frame.components.len() == 3 && frame.components.iter().all(sampling))
}

/// The most bytes that decoding allocates at once, beside the scan's data, and those of the planes that it leaves.
pub(super) fn memory(frame: &Frame, needs: &[Vec<Need>]) -> (u64, u64) {
    let layout = Layout::new(frame, needs);
    let planes = layout.planes_bytes();
    let working =
        if frame.process == Process::Progressive { progressive::memory(&layout) } else { baseline::memory(&layout) };
    (planes + working, planes)
}

/// Decodes what the thumbnails need: `needs[i]` of component `i`.
///
/// # Errors
/// [`Error::Truncated`] when data is missing. Any other but [`Error::OutOfMemory`] may be only this decoder's opinion.
pub(super) fn decode(
    source: &[u8],
    header: &Header,
    needs: &[Vec<Need>],
    truncated: Truncated,
) -> Result<Vec<PlacedPlane>, Error> {
    let layout = Layout::new(&header.frame, needs);
    let mut planes = layout.planes()?;
    if header.frame.process == Process::Progressive {
        progressive::decode(source, &header.frame, &layout, &mut planes)?;
        return Ok(layout.placed(planes));
    }
    let mut tables = Tables::default();
    let mut at = 2;
    let scan = loop {
        let segment = next_segment(source, at)?;
        at = segment.end;
        if segment.marker == marker::SOS {
            break ScanHeader::read(segment.payload, &header.frame)?;
        }
        tables.apply(&segment)?;
    };
    if scan.components.len() != header.frame.components.len() {
        return Err(Error::Unsupported("a sequential picture in several scans".into()));
    }
    let data = ScanData::read(source, at, Vec::new())?;
    let ended = data.end.is_some_and(|end| source.get(end + 1) == Some(&marker::EOI));
    if data.end.is_some() && !ended {
        return Err(Error::Unsupported("something follows the only scan".into()));
    }
    baseline::decode(&data, &scan, &tables, &layout, !ended && truncated == Truncated::Strict, &mut planes)?;
    Ok(layout.placed(planes))
}
