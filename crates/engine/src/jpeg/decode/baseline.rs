//! Sequential Huffman coded pictures in one scan: bits to samples, a few thousand blocks at a time.
//!
//! The data is read by [`LANES`] interleaved readers ([`super::interleaved`]). With restart markers each has a restart interval of
//! its own. Without, all but the first begin at a speculative bit offset, and [`SyncPoints`] finds where their output becomes
//! valid (S. T. Klein and Y. Wiseman, "Parallel Huffman decoding with applications to JPEG files"). The drawing is in the
//! documentation of [`decode`](super).

use std::ops::Range;

use super::bit_reader::ScanData;
use super::decode_table::{AcTable, DcTable};
use super::idct::{Idct, IdctSize};
use super::interleaved::{self, BlockKind, LANES, Run, Slots};
use super::mcu::{ComponentGeometry, McuGeometry};
use super::scan_header::{ScanComponent, ScanHeader};
use super::tables::TableState;
use crate::error::Error;
use crate::jpeg::MAX_COMPONENTS;
use crate::pixels::plane::Plane;

/// The most coefficients that one reader keeps before they are transformed, unless an MCU has more: those of all readers fit
/// into a CPU's own cache.
const RUN_COEFFICIENTS: usize = 64 << 10;

/// Consecutive failures to synchronise that each double the number of runs decoded without speculation.
const MOST_FAILURES: u32 = 5;

/// The least data that is worth another reader: about ten times as much as it takes to synchronise.
const MIN_PIECE_BYTES: usize = 1 << 10;

/// What is needed to decode a component's blocks.
struct ComponentDecoder {
    /// Which pair of Huffman tables.
    tables: usize,
    slots: Slots,
    idct: Idct,
}

/// A block of an MCU.
#[derive(Clone, Copy)]
struct McuBlock {
    component: usize,
    /// Samples of its first row and column behind those of the MCU's, in the component's plane.
    offset: usize,
    /// Samples from one MCU to the next, across and down.
    step_x: usize,
    step_y: usize,
    /// Samples of a row of the plane.
    stride: usize,
}

/// Decodes the wanted MCUs of `data` to `planes`, which are those of `geometry`.
///
/// `whole`: read to the last MCU, wanted or not, to see whether all are there. `strict`: damage is an error; else what is damaged
/// stays grey up to the next restart interval.
pub(super) fn decode(
    data: &ScanData,
    scan: &ScanHeader,
    tables: &TableState,
    geometry: &McuGeometry,
    (whole, strict): (bool, bool),
    planes: &mut [Plane],
) -> Result<(), Error> {
    let mut huffman: Vec<(DcTable, AcTable)> = Vec::with_capacity(MAX_COMPONENTS);
    let mut decoders: Vec<ComponentDecoder> = Vec::with_capacity(MAX_COMPONENTS);
    let mut blocks = Vec::new();
    for (index, (component, from_scan)) in geometry.components.iter().zip(&scan.components).enumerate() {
        let same = |other: &ScanComponent| (other.dc_table, other.ac_table) == (from_scan.dc_table, from_scan.ac_table);
        let tables_index = match scan.components[..index].iter().position(same) {
            Some(earlier) => decoders[earlier].tables,
            None => {
                huffman
                    .push((DcTable::new(tables.dc(from_scan.dc_table)?), AcTable::new(tables.ac(from_scan.ac_table)?)));
                huffman.len() - 1
            }
        };
        let idct = Idct::new(component.n, tables.quantisation(component.quantisation)?);
        decoders.push(ComponentDecoder {
            tables: tables_index,
            slots: interleaved::slots(|place| idct.slot(place)),
            idct,
        });
        let (stride, n) = (planes[index].width, component.n);
        for (y, x) in (0..component.v).flat_map(|y| (0..component.h).map(move |x| (y, x))) {
            let offset = y * n * stride + x * n;
            let (step_x, step_y) = (component.h * n, component.v * n * stride);
            blocks.push(McuBlock { component: index, offset, step_x, step_y, stride });
        }
    }
    let kinds = |last: Option<u32>| -> Vec<BlockKind<'_>> {
        let kind = |block: &McuBlock| {
            let ComponentDecoder { tables, slots, idct } = &decoders[block.component];
            let (dc, ac) = &huffman[*tables];
            let last = last.unwrap_or(idct.last_place() as u32);
            BlockKind { dc, ac, slots, last, kept: IdctSize::by(idct.n()) }
        };
        blocks.iter().map(kind).collect()
    };
    let (kinds, dc_only) = (kinds(None), kinds(Some(0)));
    let kept = interleaved::kept_of_mcu(&kinds);
    let run_mcus = (RUN_COEFFICIENTS / kept).max(1);
    let scan = Scan { data, geometry, decoders: &decoders, blocks: &blocks, kinds, dc_only, kept, run_mcus, strict };
    scan.decode(tables.restart_interval, whole, planes)
}

/// The most bytes that [`decode`] allocates, beside the planes and the scan's data: the runs.
pub(super) fn memory(geometry: &McuGeometry) -> u64 {
    let blocks: usize = geometry.components.iter().map(|component| component.h * component.v).sum();
    let of_block = |component: &ComponentGeometry| component.h * component.v * IdctSize::by(component.n).count();
    let kept: usize = geometry.components.iter().map(of_block).sum();
    let mcus = (RUN_COEFFICIENTS / kept).max(1).min(geometry.mcus_x * geometry.mcus_y);
    // Coefficients, each block's zigzag length, and where each MCU begins and whether it is bad.
    (LANES * mcus * (2 * kept + blocks + 8 + 24)) as u64
}

struct Scan<'a> {
    data: &'a ScanData,
    geometry: &'a McuGeometry,
    decoders: &'a [ComponentDecoder],
    blocks: &'a [McuBlock],
    kinds: Vec<BlockKind<'a>>,
    /// The same, but only DC is kept: for MCUs that are not wanted.
    dc_only: Vec<BlockKind<'a>>,
    /// Coefficients kept of an MCU.
    kept: usize,
    /// Most MCUs of a run.
    run_mcus: usize,
    strict: bool,
}

/// A restart interval that is decoded.
struct Interval {
    /// Its index in the data.
    in_data: usize,
    /// Its MCUs up to the last wanted row.
    mcus: Range<usize>,
}

/// How far a restart interval is decoded.
struct Cursor {
    /// The MCU that comes next, and where it begins, in bits.
    mcu: usize,
    position: usize,
    predictions: [i16; MAX_COMPONENTS],
}

impl Cursor {
    /// At the start of `interval`, whose data begins at bit `position`.
    fn new(interval: &Interval, position: usize) -> Self {
        Self { mcu: interval.mcus.start, position, predictions: [0; MAX_COMPONENTS] }
    }
}

impl Scan<'_> {
    fn decode(&self, restart_interval: usize, whole: bool, planes: &mut [Plane]) -> Result<(), Error> {
        let McuGeometry { mcus_x, mcus_y, .. } = *self.geometry;
        let interval = if restart_interval == 0 { mcus_x * mcus_y } else { restart_interval };
        let numbered = self.data.numbered((mcus_x * mcus_y).div_ceil(interval), self.strict)?;
        let rows = if whole { mcus_y } else { self.geometry.wanted_y.end };
        let mcus = |index: usize| index * interval..((index + 1) * interval).min(mcus_x * rows);
        let wanted = numbered
            .map(|(in_data, index)| Interval { in_data, mcus: mcus(index) })
            .filter(|interval| !interval.mcus.is_empty() && (whole || self.wants(&interval.mcus)));
        let mut runs = Vec::with_capacity(LANES);
        for _ in 0..LANES {
            runs.push(Run::new(&self.kinds, self.run_mcus.min(mcus_x * rows))?);
        }
        let mut runs: [Run; LANES] = runs.try_into().map_err(|_| Error::OutOfMemory)?;
        if interval <= self.run_mcus {
            let mut wanted = wanted.peekable();
            while wanted.peek().is_some() {
                let intervals: Vec<Interval> = wanted.by_ref().take(LANES).collect();
                self.intervals(&intervals, &mut runs, planes)?;
            }
        } else {
            for interval in wanted {
                self.interval(&interval, &mut runs, planes)?;
            }
        }
        Ok(())
    }

    /// Whether any of these MCUs is wanted.
    fn wants(&self, mcus: &Range<usize>) -> bool {
        let McuGeometry { mcus_x, ref wanted_x, ref wanted_y, .. } = *self.geometry;
        let (first_row, last_row) = (mcus.start / mcus_x, (mcus.end - 1) / mcus_x);
        if first_row == last_row && (mcus.start % mcus_x >= wanted_x.end || (mcus.end - 1) % mcus_x < wanted_x.start) {
            return false;
        }
        first_row < wanted_y.end && last_row >= wanted_y.start
    }

    /// Decodes up to [`LANES`] restart intervals at once, none longer than a run.
    fn intervals(&self, intervals: &[Interval], runs: &mut [Run; LANES], planes: &mut [Plane]) -> Result<(), Error> {
        let start = |lane: usize| self.data.interval(intervals[lane.min(intervals.len() - 1)].in_data).start;
        let most = intervals.iter().map(|interval| interval.mcus.len()).max().unwrap_or(0);
        interleaved::read(self.data.bytes(), &self.kinds, std::array::from_fn(start), runs, most, |_| false);
        for (interval, run) in intervals.iter().zip(runs) {
            let mut cursor = Cursor::new(interval, run.positions[0]);
            self.take(run, 0..interval.mcus.len(), interval, &mut cursor, planes)?;
        }
        Ok(())
    }

    /// Decodes one long restart interval.
    fn interval(&self, interval: &Interval, runs: &mut [Run; LANES], planes: &mut [Plane]) -> Result<(), Error> {
        let mcus = &interval.mcus;
        let bits = self.data.interval(interval.in_data);
        let whole_interval =
            if self.data.intervals() == 1 { self.geometry.mcus_x * self.geometry.mcus_y } else { mcus.len() };
        // Half of what a run holds on average of a picture like this.
        let mut speculation = Speculation::new(bits.len() / whole_interval * self.run_mcus / 2);
        let mut cursor = Cursor::new(interval, bits.start);
        while cursor.mcu < mcus.end {
            let from = cursor.mcu;
            let (left, left_bits) = (mcus.end - from, bits.end.saturating_sub(cursor.position));
            let most = self.run_mcus.min(left);
            let first_wanted = self.geometry.wanted_y.start * self.geometry.mcus_x;
            let kinds = if from + LANES * most <= first_wanted { &self.dc_only } else { &self.kinds };
            let Some(apart) = speculation.next(left_bits) else {
                let [run, ..] = runs;
                interleaved::read(self.data.bytes(), kinds, [cursor.position], std::array::from_mut(run), most, |_| {
                    false
                });
                if !self.take(run, 0..most, interval, &mut cursor, planes)? {
                    return Ok(());
                }
                debug_assert!(cursor.mcu > from);
                continue;
            };
            let first = cursor.position;
            // The first begins in the middle of a byte.
            let starts: [usize; LANES] =
                std::array::from_fn(|lane| if lane == 0 { first } else { (first / 8 * 8) + lane * apart });
            let mut sync_points = SyncPoints::default();
            interleaved::read(self.data.bytes(), kinds, starts, runs, most, |runs| sync_points.advance(runs));
            sync_points.advance(runs);
            let reached = runs[0].positions.last().is_some_and(|&position| position >= starts[1]);
            speculation.learn(!sync_points.points.is_empty(), reached);
            let mut start = 0;
            for (lane, run) in runs.iter_mut().enumerate() {
                let sync_point = sync_points.points.get(lane);
                let end = sync_point.map_or(run.mcus(), |&(end, _)| end).min(start + mcus.end - cursor.mcu);
                if !self.take(run, start..end, interval, &mut cursor, planes)? {
                    return Ok(());
                }
                match sync_point {
                    Some(&(_, next)) if cursor.mcu < mcus.end => start = next,
                    _ => break,
                }
            }
            debug_assert!(cursor.mcu > from);
        }
        Ok(())
    }

    /// Why an interval's data does not fit its MCUs.
    fn damage(&self, interval: &Interval, overrun: bool) -> Error {
        if overrun && interval.in_data + 1 == self.data.intervals() {
            Error::Truncated
        } else if overrun {
            Error::Corrupt("a restart interval is too short".into())
        } else {
            Error::Corrupt("the image data has a code that is not in its Huffman table".into())
        }
    }

    /// Transforms the MCUs `of` a run, the next of the picture, up to the first that is damaged. Whether none was.
    fn take(
        &self,
        run: &mut Run,
        of: Range<usize>,
        interval: &Interval,
        cursor: &mut Cursor,
        planes: &mut [Plane],
    ) -> Result<bool, Error> {
        let end = self.data.interval(interval.in_data).end;
        let within = of.start + run.positions[of.start + 1..=of.end].partition_point(|&position| position <= end);
        let bad = run.bad.iter().copied().find(|mcu| of.contains(mcu)).unwrap_or(of.end);
        let sound = within.min(bad);
        if sound < of.end && self.strict {
            return Err(self.damage(interval, within <= bad));
        }
        let whole = sound == of.end;
        let of = of.start..sound;
        let (kept, blocks) = (self.kept, self.blocks.len());
        let coefficients = &mut run.coefficients[of.start * kept..of.end * kept];
        self.integrate(coefficients, &mut cursor.predictions);
        let zigzag_lens = &run.zigzag_lens[of.start * blocks..of.end * blocks];
        let McuGeometry { mcus_x, ref wanted_x, ref wanted_y, .. } = *self.geometry;
        let mut done = 0;
        while done < of.len() {
            let (x, y) = ((cursor.mcu + done) % mcus_x, (cursor.mcu + done) / mcus_x);
            let end = of.len().min(done + mcus_x - x);
            if wanted_y.contains(&y) {
                // Those of the row that are wanted.
                let from = done + wanted_x.start.saturating_sub(x);
                let to = end.min((done + wanted_x.end).saturating_sub(x));
                if from < to {
                    let at = (x.max(wanted_x.start) - wanted_x.start, y - wanted_y.start);
                    let (coefficients, zigzag_lens) =
                        (&coefficients[from * kept..to * kept], &zigzag_lens[from * blocks..to * blocks]);
                    self.transform(coefficients, zigzag_lens, at, planes);
                }
            }
            done = end;
        }
        cursor.mcu += of.len();
        cursor.position = run.positions[of.end];
        Ok(whole)
    }

    /// Adds up the DC differences.
    fn integrate(&self, coefficients: &mut [i16], predictions: &mut [i16; MAX_COMPONENTS]) {
        let mut at = 0;
        while at < coefficients.len() {
            for (block, kind) in self.blocks.iter().zip(&self.kinds) {
                let prediction = &mut predictions[block.component];
                *prediction = prediction.wrapping_add(coefficients[at]);
                coefficients[at] = *prediction;
                at += kind.kept.count();
            }
        }
    }

    /// Transforms MCUs beside each other, the first `at` columns and rows of MCUs from the first that is wanted.
    fn transform(&self, coefficients: &[i16], zigzag_lens: &[u8], at: (usize, usize), planes: &mut [Plane]) {
        let mut first = 0;
        for (index, (block, kind)) in self.blocks.iter().zip(&self.kinds).enumerate() {
            let from = block.offset + at.0 * block.step_x + at.1 * block.step_y;
            let out = &mut planes[block.component].samples[from..];
            let zigzag_lens = zigzag_lens[index..].iter().copied().step_by(self.blocks.len());
            let blocks = coefficients[first..].chunks(self.kept).zip(zigzag_lens);
            self.decoders[block.component].idct.blocks(blocks, out, block.stride, block.step_x);
            first += kind.kept.count();
        }
    }
}

/// How far apart the readers of a long interval begin, and whether speculation is worthwhile.
struct Speculation {
    /// Bits from one reader's start to the next's: for a uniform picture, and now.
    average: usize,
    apart: usize,
    /// Runs that the first reader decodes alone after the others failed to synchronise: twice as many after each failure. Where
    /// all components share their tables, a reader that mistakes one component's blocks for another's never synchronises.
    alone: u32,
    failures: u32,
}

impl Speculation {
    fn new(average: usize) -> Self {
        Self { average, apart: average, alone: 0, failures: 0 }
    }

    /// How far apart the readers begin next, in bits, if so many are left; `None`: the first decodes alone.
    fn next(&mut self, left_bits: usize) -> Option<usize> {
        if self.alone > 0 {
            self.alone -= 1;
            return None;
        }
        // Whole bytes.
        Some(self.apart.min(left_bits / LANES) / 8 * 8).filter(|&apart| apart >= 8 * MIN_PIECE_BYTES)
    }

    /// Records whether the first reader synchronised with the second, and whether it reached the second's start.
    fn learn(&mut self, synchronised: bool, reached: bool) {
        if synchronised {
            self.apart = self.average.min(self.apart + self.apart / 4);
            self.failures = 0;
        } else if reached {
            self.alone = 1 << self.failures;
            self.failures = (self.failures + 1).min(MOST_FAILURES);
        } else {
            // The picture is plainer here than on average: a full run ended before the next reader's start.
            self.apart /= 2;
        }
    }
}

/// For each reader, the MCU at which it reached its successor's output.
#[derive(Default)]
struct SyncPoints {
    /// For each reader, the MCU of its run and the MCU of its successor's run that begin at the same bit.
    points: Vec<(usize, usize)>,
    /// The MCUs of the next pair of runs to be compared.
    cursor: (usize, usize),
}

impl SyncPoints {
    /// Continues the search after more was decoded. Returns true once every pair of neighbouring readers has synchronised.
    fn advance(&mut self, runs: &[Run; LANES]) -> bool {
        while let [one, next, ..] = &runs[self.points.len()..] {
            let (one, next) = (&one.positions, &next.positions);
            // Both ascend: a merge that looks for the first they have in common.
            let (mut i, mut j) = self.cursor;
            while i < one.len() && j < next.len() && one[i] != next[j] {
                if one[i] < next[j] {
                    i += 1;
                } else {
                    j += 1;
                }
            }
            self.cursor = (i, j);
            if i == one.len() || j == next.len() {
                return false;
            }
            self.points.push((i, j));
            // What the successor decoded before the sync point is invalid.
            self.cursor = (j, 0);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_part_of_a_picture_ends_no_speculation() {
        const LEFT: usize = 10_000_000;
        let mut speculation = Speculation::new(400_000);
        assert_eq!(speculation.next(LEFT), Some(400_000));
        for apart in [200_000, 100_000, 50_000] {
            speculation.learn(false, false);
            assert_eq!(speculation.next(LEFT), Some(apart));
        }
        for apart in [62_496, 78_120] {
            speculation.learn(true, true);
            assert_eq!(speculation.next(LEFT), Some(apart));
        }
        // As far apart as before, where the picture is again as on average.
        (0..20).for_each(|_| speculation.learn(true, true));
        assert_eq!(speculation.next(LEFT), Some(400_000));
        assert_eq!(speculation.next(8 * MIN_PIECE_BYTES), None, "too little is left");
    }

    #[test]
    fn readers_that_do_not_synchronise_are_tried_less_and_less() {
        let mut speculation = Speculation::new(400_000);
        for alone in [1, 2, 4, 8, 16, 32, 32] {
            speculation.learn(false, true);
            assert!((0..alone).all(|_| speculation.next(10_000_000).is_none()));
            assert_eq!(speculation.next(10_000_000), Some(400_000));
        }
        speculation.learn(true, true);
        speculation.learn(false, true);
        assert_eq!((speculation.next(10_000_000), speculation.next(10_000_000)), (None, Some(400_000)));
    }
}
