//! The decoder: 8-bit Huffman coded JPEG, directly to a reduced size.
//!
//! Each 8x8 block is decoded to N x N samples, N from 1 to 8: the smallest that gives the resampler enough samples ([`mcu`]). Only the MCUs
//! that the thumbnails show are decoded, and of them only the frequencies that N needs; the decoder skips the other MCUs and
//! coefficients without dequantising them.
//!
//! ```text
//! file -> bit_reader: a scan's bytes without stuffing, restart intervals
//!           |-- baseline: one sequential scan     interleaved + decode_table -> coefficients of a few thousand blocks
//!           `-- multi_scan: progressive, or several   progressive_table          -> coefficients of the whole crop
//!                                                                 idct -> planes
//! ```
//!
//! # Interleaved readers
//!
//! Four lanes read four parts of the data in lockstep, a block each at a time. Time runs downwards; `.` is a lane that is masked
//! off because its block is over:
//!
//! ```text
//! data    |====================|====================|====================|====================|
//! lane     0 ->                 1 ->                 2 ->                 3 ->
//!
//! DC       load, look up, add   load, look up, add   load, look up, add   load, look up, add
//! AC       load, look up, add   load, look up, add   load, look up, add   load, look up, add
//! AC       .                    load, look up, add   .                    load, look up, add
//! AC       .                    .                    .                    load, look up, add
//! next block, all four
//! ```
//!
//! The four chains do not depend on each other, so their loads overlap, and the end of the loop is mispredicted once per four
//! blocks instead of once per block.
//!
//! # A lane and a step
//!
//! A lane is one 64-bit number, a table's entry is another, and reading a code is one addition:
//!
//! ```text
//!            63                                9 8           0
//! Lane      [ next bit of the data              | count       ]
//! Step.low                        [ bits taken  | coefficients]   +
//!
//! count:  63 (ORIGIN)   at the block's start
//!         64 + z        behind the coefficient at zigzag position z; 127 when the block is full
//!         bit 7 set     PAST_END: the entry did not decide (or the data is damaged); the slow path looks closer
//!         bit 8 set     END_OF_BLOCK was read
//! ```
//!
//! `count - (ORIGIN + last + 1)` is negative while position `last` is ahead; its sign, spread over all bits, is the mask that turns
//! a step into one that moves nothing.
//!
//! # A worked example
//!
//! A luma block with the codes of T.81, annex K: a DC difference of 3, a coefficient of -2 at zigzag position 2, nothing else.
//!
//! ```text
//! data     011 11     11011 01        1010
//!          size 2, 3  run 1 size 2,-2 end of block
//!
//! begin    count = 63
//! DC       step (value 3, bits 5, coefficients 1)       count = 64     slot of position 0 |= 3
//! AC       index 110110110100 (12 bits), step 0xfffe_0e02:
//!          value -2, bits 7, coefficients 2             count = 66     slot of position 2 |= -2
//! AC       step (value 0, bits 4, coefficients 256)     count = 322    bit 8: the block is over, and zigzag_len = 3
//! ```
//!
//! Were position 2 not wanted, the skip table would take both AC codes at once, since they lie within 12 bits: bits 11,
//! coefficients 2 + 257.
//!
//! # Sync points
//!
//! Without restart markers lanes 1 to 3 begin at a speculative bit offset, in the middle of some code. Huffman codes synchronise
//! themselves: sooner or later a wrong reader ends a code where a right one does, and from there on both read the same; that holds
//! for blocks and MCUs too. Each lane writes down the bit at which each of its MCUs begins. Where lane 0 comes to a bit at which
//! lane 1 began an MCU, lane 1 has read the picture from there on, and so on:
//!
//! ```text
//! MCUs begin at bits
//! lane 0   0    210   377   590   801   1010  ...  4011  4188  4402
//! lane 1                                     4000  4097  4188  4402  4590  ...  8011  8120
//!                                            garbage     ^ sync point: (lane 0's MCU, lane 1's MCU 2)
//! lane 2                                                                   8000  8120  8333 ...
//!                                                                                ^ sync point
//! picture  lane 0 up to its sync point, then lane 1 from there up to the next, ...
//! ```
//!
//! Nothing speculative is used: what lies before a lane's sync point is thrown away. DC is coded as the difference from the block
//! before and is added up afterwards, in the picture's order. Where the lanes do not meet, lane 0's run alone counts, and the
//! search begins anew behind it.

mod band;
mod baseline;
mod bit_reader;
mod coefficient_buffer;
mod decode_table;
mod idct;
mod interleaved;
mod mcu;
mod multi_scan;

mod progressive_table;
mod scan_header;
mod tables;

use super::header::{Frame, Process, marker, next_segment};
use crate::error::Error;
use crate::geometry::PlaneRequest;
use crate::limits::Truncated;
use crate::picture::DecodeMemory;
use crate::pixels::plane::PlacedPlane;
use bit_reader::ScanData;
use mcu::McuGeometry;
use scan_header::ScanHeader;
use tables::TableState;

/// Whether a frame is decoded from its first scan alone: a sequential one whose first scan has all components.
pub(super) fn is_in_one_scan(frame: &Frame, first_scan: &[u8]) -> bool {
    frame.process == Process::Sequential
        && ScanHeader::read(first_scan, frame).is_ok_and(|scan| scan.is_whole(frame.components.len()))
}

/// What decoding takes; `source_bytes` of them for a copy of a scan's data.
pub(super) fn memory(
    frame: &Frame,
    source_bytes: usize,
    in_one_scan: bool,
    requests: &[Vec<PlaneRequest>],
) -> DecodeMemory {
    let geometry = McuGeometry::new(frame, requests);
    let working = if in_one_scan { baseline::memory(&geometry) } else { multi_scan::memory(&geometry) };
    let planes = geometry.planes_bytes();
    DecodeMemory { peak: planes + working + ScanData::memory(source_bytes, geometry.most_intervals()), planes }
}

/// Rejects frames that this decoder does not support.
fn reject_unsupported_frame(frame: &Frame) -> Result<(), Error> {
    if let Process::Other(code) = frame.process {
        let kind = match code {
            0xc3 => "a lossless JPEG",
            0xc5..=0xc7 => "a hierarchical JPEG",
            _ => "a JPEG with arithmetic coding",
        };
        return Err(Error::Unsupported(format!("{kind} (marker FF{code:02X})")));
    }
    if frame.precision_bits != 8 {
        return Err(Error::Unsupported(format!(
            "a JPEG of {} bits per sample; only 8 are supported",
            frame.precision_bits
        )));
    }
    Ok(())
}

/// Decodes what the thumbnails request: `requests[i]` of component `i`.
///
/// # Errors
/// [`Error::Truncated`] when data is missing, unless the caller asked for what there is.
pub(crate) fn decode(
    source: &[u8],
    frame: &Frame,
    requests: &[Vec<PlaneRequest>],
    truncated: Truncated,
) -> Result<Vec<PlacedPlane>, Error> {
    reject_unsupported_frame(frame)?;
    let strict = truncated == Truncated::Strict;
    let geometry = McuGeometry::new(frame, requests);
    let mut planes = geometry.planes()?;
    match only_scan(source, frame)? {
        Some((scan, tables, from)) => {
            let data = ScanData::read(source, from, tables.most_intervals(&geometry), Vec::new())?;
            let ended = data.end.is_some_and(|end| source.get(end + 1) == Some(&marker::EOI));
            let decoded = baseline::decode(&data, &scan, &tables, &geometry, (!ended && strict, strict), &mut planes);
            // An invalid code in a file without an end marker means that the file is truncated.
            decoded.map_err(|error| match error {
                Error::Corrupt(_) if data.end.is_none() => Error::Truncated,
                error => error,
            })?;
        }
        None => multi_scan::decode(source, frame, &geometry, strict, &mut planes)?,
    }
    Ok(geometry.placed(planes))
}

/// The first scan of a sequential picture if it has all components, with the tables as they stand there and where its data
/// begins. What follows it is ignored, as other decoders do.
fn only_scan(source: &[u8], frame: &Frame) -> Result<Option<(ScanHeader, TableState, usize)>, Error> {
    if frame.process != Process::Sequential {
        return Ok(None);
    }
    let mut tables = TableState::default();
    let mut at = 2;
    loop {
        let segment = next_segment(source, at)?;
        at = segment.end;
        if segment.marker == marker::SOS {
            let scan = ScanHeader::read(segment.payload, frame)?;
            return Ok(scan.is_whole(frame.components.len()).then_some((scan, tables, at)));
        }
        tables.apply(&segment)?;
    }
}
