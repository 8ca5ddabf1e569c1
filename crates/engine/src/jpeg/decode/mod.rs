//! Our own decoder: 8-bit Huffman coded JPEG, straight to a reduced size.
//!
//! Each 8x8 block is decoded to N x N samples, N from 1 to 8: the smallest that leaves the resampler enough ([`mcu`]). Only the MCUs
//! that the thumbnails show are decoded, and of them only the frequencies that N takes; the decoder skips the other MCUs and
//! coefficients without dequantising them.
//!
//! ```text
//! file -> bit_reader: a scan's bytes without stuffing, restart intervals
//!           |-- baseline: one sequential scan     interleaved + decode_table -> coefficients of a few thousand blocks
//!           `-- progressive: several scans        progressive_table          -> coefficients of the whole crop
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
//! The four chains do not depend on each other, so that their loads overlap; and the loop's end is guessed wrong once for four
//! blocks and not once a block.
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
