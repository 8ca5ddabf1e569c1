//! Pictures in several scans: progressive ones (T.81, annex G), where each scan brings a few bits of a few coefficients of every
//! block, and sequential ones with one scan per component.
//!
//! Between the scans the decoder keeps the coefficients of the wanted blocks that the reduced transform uses, and for every block
//! one bit per coefficient, its history: whether it is no longer 0, which decides how many bits a refinement has for it. Scans that
//! contribute to no kept coefficient, and to no history that a later scan needs, are not read at all.

use super::band::Band;
use super::bit_reader::{BitReader, ScanData};
use super::coefficient_buffer::{CoefficientBuffer, Places};
use super::idct::{Idct, IdctSize};
use super::mcu::{ComponentGeometry, McuGeometry};
use super::progressive_table::{CodeClass, ProgressiveTable};
use super::scan_header::{ScanComponent, ScanHeader};
use super::tables::TableState;
use crate::error::Error;
use crate::jpeg::MAX_COMPONENTS;
use crate::jpeg::header::{Frame, MAX_SCANS, Process, marker, next_segment};
use crate::pixels::plane::Plane;

/// A scan, as found by its marker.
struct ScanEntry {
    header: ScanHeader,
    /// The offset of its data.
    data: usize,
    /// The tables in effect there.
    tables: TableState,
}

/// Decodes the wanted MCUs of `geometry` from all scans of the file, to `planes`.
///
/// `strict`: damage is an error, and so is a file that ends before its last scan does. Otherwise the readable part of a damaged
/// scan is used, and no refinement of damaged coefficients.
pub(super) fn decode(
    source: &[u8],
    frame: &Frame,
    geometry: &McuGeometry,
    strict: bool,
    planes: &mut [Plane],
) -> Result<(), Error> {
    let Scans { scans, ended } = list(source, frame, strict)?;
    // The tables of the last scan: no earlier one needs the quantisation.
    let tables = &scans.last().ok_or_else(|| Error::Corrupt("there is no scan".into()))?.tables;
    // Without an end all must be there to the last bit, or there may have been more.
    let check_all = strict && !ended;
    if check_all && !is_complete(&scans, frame) {
        return Err(Error::Truncated);
    }
    let mut buffers = Vec::new();
    for component in &geometry.components {
        let idct = Idct::new(component.n, tables.quantisation(component.quantisation)?);
        buffers.push(CoefficientBuffer::new(component, geometry, idct)?);
    }
    let needed = needed(&scans, &buffers, check_all);
    let mut buffer = Vec::new();
    for scan in scans.iter().zip(&needed).filter(|(_, needed)| **needed).map(|(scan, _)| scan) {
        let places = scan.header.places();
        let broken = |component: &ScanComponent| buffers[component.index].damaged & places != 0;
        if scan.header.high > 0 && scan.header.components.iter().any(broken) {
            continue;
        }
        let data = ScanData::read(source, scan.data, scan.tables.most_intervals(geometry), buffer)?;
        match read_scan(scan, &data, geometry, &mut buffers, strict, check_all) {
            Ok(()) => {}
            Err(Error::OutOfMemory) => return Err(Error::OutOfMemory),
            Err(_) if strict && data.end.is_none() => return Err(Error::Truncated),
            Err(error) if strict => return Err(error),
            Err(_) => {
                scan.header.components.iter().for_each(|component| buffers[component.index].damaged |= places);
            }
        }
        buffer = data.into_buffer();
    }
    for ((component, buffer), plane) in geometry.components.iter().zip(&buffers).zip(planes) {
        if strict && !scans.iter().any(|scan| scan.header.first == 0 && scan.header.includes(buffer.index)) {
            return Err(Error::Corrupt("a component has no scan".into()));
        }
        buffer.transform(component.n, plane);
    }
    Ok(())
}

/// Whether the scans bring every coefficient to its last bit.
fn is_complete(scans: &[ScanEntry], frame: &Frame) -> bool {
    let last_bits = |component: usize| {
        let scans = scans.iter().filter(|scan| scan.header.low == 0 && scan.header.includes(component));
        scans.fold(0, |places, scan| places | scan.header.places())
    };
    (0..frame.components.len()).all(|component| last_bits(component) == Places::MAX)
}

/// The most bytes that [`decode`] allocates, beside the planes and a scan's data: coefficients and their histories.
pub(super) fn memory(geometry: &McuGeometry) -> u64 {
    let of_component = |component: &ComponentGeometry| {
        let wanted = geometry.wanted_x.len() * component.h * geometry.wanted_y.len() * component.v;
        let known = component.blocks_x * component.blocks_y;
        (2 * wanted * IdctSize::by(component.n).count() + size_of::<Places>() * known) as u64
    };
    geometry.components.iter().map(of_component).sum()
}

/// All scans of a file.
struct Scans {
    scans: Vec<ScanEntry>,
    /// Whether the file has an end marker.
    ended: bool,
}

/// Lists the scans of the file, each checked. Unless `strict`, damage between them is skipped.
fn list(source: &[u8], frame: &Frame, strict: bool) -> Result<Scans, Error> {
    let mut scans: Vec<ScanEntry> = Vec::new();
    let mut tables = TableState::default();
    let mut at = 2;
    loop {
        let segment = match next_segment(source, at) {
            Ok(segment) => segment,
            Err(error) if scans.is_empty() || strict && error != Error::Truncated => return Err(error),
            Err(_) => return Ok(Scans { scans, ended: false }),
        };
        at = segment.end;
        let taken = match segment.marker {
            marker::EOI => return Ok(Scans { scans, ended: true }),
            marker::SOS if scans.len() == MAX_SCANS => return Err(Error::TooManyScans { max: MAX_SCANS }),
            marker::SOS => ScanHeader::read(segment.payload, frame).and_then(|header| {
                let seen = |component: &ScanComponent| scans.iter().any(|scan| scan.header.includes(component.index));
                if frame.process == Process::Sequential && header.components.iter().any(seen) {
                    return Err(Error::Corrupt("a component is in two scans".into()));
                }
                scans.push(ScanEntry { header, data: at, tables: tables.clone() });
                Ok(())
            }),
            _ => tables.apply(&segment),
        };
        if let Err(error) = taken
            && (strict || scans.is_empty())
        {
            return Err(error);
        }
    }
}

/// Which scans must be read. From the last to the first: one that brings what is kept, or the history of what a later scan
/// that is read refines. `check_all`: all of them.
fn needed(scans: &[ScanEntry], buffers: &[CoefficientBuffer], check_all: bool) -> Vec<bool> {
    let mut histories = vec![0 as Places; buffers.len()];
    let mut needed: Vec<bool> = scans
        .iter()
        .rev()
        .map(|scan| {
            let places = scan.header.places();
            let brings = |index: usize| places & (buffers[index].kept | histories[index]) != 0;
            let needed = check_all || scan.header.components.iter().any(|component| brings(component.index));
            if needed && scan.header.high > 0 {
                scan.header.components.iter().for_each(|component| histories[component.index] |= places);
            }
            needed
        })
        .collect();
    needed.reverse();
    needed
}

/// Reads one scan into `buffers`; `whole`: to its last MCU, wanted or not.
fn read_scan(
    scan: &ScanEntry,
    data: &ScanData,
    geometry: &McuGeometry,
    buffers: &mut [CoefficientBuffer],
    strict: bool,
    whole: bool,
) -> Result<(), Error> {
    let header = &scan.header;
    if header.first > 0 {
        let component = header.components[0];
        let table = ProgressiveTable::new(scan.tables.ac(component.ac_table)?, CodeClass::Ac);
        let buffer = &mut buffers[component.index];
        let total = buffer.blocks_x * buffer.blocks_y;
        let wanted = if whole { total } else { buffer.blocks_x * buffer.wanted_blocks_y };
        let mut band = Band::new(buffer, &table, header);
        return intervals(scan, data, total, wanted, strict, |reader, from, to, overrun| {
            band.read(reader, from, to, overrun)
        });
    }
    let mut components = Vec::new();
    for component in &header.components {
        // A DC refinement is one bit without a code.
        let dc = match header.high {
            0 => Some(ProgressiveTable::new(scan.tables.dc(component.dc_table)?, CodeClass::Dc)),
            _ => None,
        };
        let ac = match header.last {
            0 => None,
            _ => Some(ProgressiveTable::new(scan.tables.ac(component.ac_table)?, CodeClass::Ac)),
        };
        components.push((component.index, dc, ac));
    }
    let mcus = ScanMcus::new(header, geometry, buffers);
    let wanted = if whole { mcus.total } else { mcus.wanted };
    intervals(scan, data, mcus.total, wanted, strict, |reader, from, to, overrun| {
        let mut predictions = [0_i32; MAX_COMPONENTS];
        for mcu in from..to {
            let (column, row) = (mcu % mcus.across, mcu / mcus.across);
            for &McuBlock { component, h, v, x, y } in &mcus.blocks {
                let (index, dc, ac) = &components[component];
                reader.refill();
                let bits = match dc {
                    Some(table) => {
                        let prediction = &mut predictions[component];
                        *prediction = prediction.wrapping_add(table.step(reader)?.value);
                        *prediction << header.low
                    }
                    None => (reader.number(1) as i32) << header.low,
                };
                let (x, y) = (column * h + x, row * v + y);
                if let Some(dc) = buffers[*index].block(x, y).first_mut() {
                    *dc |= bits as i16;
                }
                if let Some(table) = ac {
                    buffers[*index].sequential(reader, table, x, y)?;
                }
            }
            if overrun(reader) {
                return None;
            }
        }
        Some(())
    })
}

/// The MCUs of a scan that begins with DC.
struct ScanMcus {
    blocks: Vec<McuBlock>,
    across: usize,
    total: usize,
    /// Down to the last wanted row.
    wanted: usize,
}

/// A block of an MCU: which of the scan's components, how many blocks that has across and down, and which of them it is.
struct McuBlock {
    component: usize,
    h: usize,
    v: usize,
    x: usize,
    y: usize,
}

impl ScanMcus {
    fn new(header: &ScanHeader, geometry: &McuGeometry, buffers: &[CoefficientBuffer]) -> Self {
        if let [only] = header.components[..] {
            // Not interleaved: an MCU is a block (T.81, A.2.2).
            let CoefficientBuffer { blocks_x, blocks_y, wanted_blocks_y, .. } = buffers[only.index];
            let blocks = vec![McuBlock { component: 0, h: 1, v: 1, x: 0, y: 0 }];
            return Self { blocks, across: blocks_x, total: blocks_x * blocks_y, wanted: blocks_x * wanted_blocks_y };
        }
        let mut blocks = Vec::new();
        for (component, from_scan) in header.components.iter().enumerate() {
            let ComponentGeometry { h, v, .. } = geometry.components[from_scan.index];
            blocks.extend((0..v).flat_map(|y| (0..h).map(move |x| McuBlock { component, h, v, x, y })));
        }
        let across = geometry.mcus_x;
        Self { blocks, across, total: across * geometry.mcus_y, wanted: across * geometry.wanted_y.end }
    }
}

/// Calls `read` for each restart interval with a reader at its start, its first MCU and the one behind its last, of those
/// up to `wanted`; and with what tells whether too much was read. Unless `strict`, all intervals are read before the first error
/// is told.
fn intervals(
    scan: &ScanEntry,
    data: &ScanData,
    total: usize,
    wanted: usize,
    strict: bool,
    mut read: impl FnMut(&mut BitReader<'_>, usize, usize, &dyn Fn(&BitReader<'_>) -> bool) -> Option<()>,
) -> Result<(), Error> {
    let interval = if scan.tables.restart_interval == 0 { total } else { scan.tables.restart_interval };
    let mut damage = None;
    for (in_data, index) in data.numbered(total.div_ceil(interval), strict)? {
        let (from, to) = (index * interval, ((index + 1) * interval).min(wanted));
        if from >= to {
            break;
        }
        let mut reader = data.reader(in_data);
        let overrun = |reader: &BitReader<'_>| data.overrun(reader, in_data);
        let done = read(&mut reader, from, to, &overrun);
        let error = if overrun(&reader) {
            Error::Truncated
        } else if done.is_none() {
            Error::Corrupt("the image data has a code that is not in its Huffman table".into())
        } else {
            continue;
        };
        if strict {
            return Err(error);
        }
        damage = damage.or(Some(error));
    }
    damage.map_or(Ok(()), Err)
}
