//! Sequential Huffman coded pictures in one scan: bits to samples in one pass, and what is not wanted only passed over.

use std::cmp::Ordering;

use super::bits::{BitReader, ScanData};
use super::huffman::{BLOCK, Kind, Table};
use super::idct::{Coefficients, Idct, NATURAL, NOWHERE, last_place};
use super::layout::Layout;
use super::scan::ScanHeader;
use super::tables::Tables;
use crate::thumbnail::Error;
use crate::thumbnail::plane::Plane;

/// Most components of a scan here.
const MAX_COMPONENTS: usize = 3;

/// What a zigzag place means for one component: the factor of its coefficient, and where that goes. Places that do not
/// exist lead to [`NOWHERE`].
#[derive(Clone, Copy)]
struct Place {
    step: f32,
    natural: u32,
}

/// Everything that decoding a component's blocks takes.
struct Decoder<'a> {
    dc: &'a Table,
    ac: &'a Table,
    places: Box<[Place; 256]>,
    idct: Idct,
    /// The last zigzag place that the transform takes.
    last: u32,
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

/// Decodes the wanted MCUs of `data` to `planes`, which are those of `layout`.
///
/// `whole`: read to the last MCU, wanted or not, to see whether all are there.
pub(super) fn decode(
    data: &ScanData,
    scan: &ScanHeader,
    tables: &Tables,
    layout: &Layout,
    whole: bool,
    planes: &mut [Plane],
) -> Result<(), Error> {
    let count = layout.components.len();
    let mut huffman: Vec<(Table, Table)> = Vec::with_capacity(count);
    let mut uses: Vec<usize> = Vec::with_capacity(count);
    for (i, component) in scan.components.iter().enumerate() {
        let same = |other: &super::scan::ScanComponent| {
            (other.dc_table, other.ac_table) == (component.dc_table, component.ac_table)
        };
        if let Some(earlier) = scan.components[..i].iter().position(same) {
            uses.push(uses[earlier]);
            continue;
        }
        uses.push(huffman.len());
        huffman.push((
            Table::new(tables.dc(component.dc_table)?, Kind::Dc),
            Table::new(tables.ac(component.ac_table)?, Kind::SequentialAc),
        ));
    }
    let mut decoders = Vec::with_capacity(count);
    let mut blocks = Vec::new();
    for (index, component) in layout.components.iter().enumerate() {
        let (dc, ac) = &huffman[uses[index]];
        let places = places(tables.quantisation(component.quantisation)?, component.n);
        decoders.push(Decoder { dc, ac, places, idct: Idct::new(component.n), last: last_place(component.n) });
        let (stride, n) = (planes[index].width, component.n);
        for (y, x) in (0..component.v).flat_map(|y| (0..component.h).map(move |x| (y, x))) {
            let offset = y * n * stride + x * n;
            let (step_x, step_y) = (component.h * n, component.v * n * stride);
            blocks.push(McuBlock { component: index, offset, step_x, step_y, stride });
        }
    }
    Scan { data, layout, decoders, blocks }.decode(tables.restart_interval, whole, planes)
}

/// Frequencies that a transform to `n * n` samples does not take lead to [`NOWHERE`] too.
fn places(steps: &[u16; BLOCK], n: usize) -> Box<[Place; 256]> {
    let mut places = Box::new([Place { step: 0.0, natural: NOWHERE as u32 }; 256]);
    for (place, (step, natural)) in places.iter_mut().zip(steps.iter().zip(NATURAL)) {
        if usize::from(natural / 8) < n && usize::from(natural % 8) < n {
            *place = Place { step: f32::from(*step), natural: u32::from(natural) };
        }
    }
    places
}

struct Scan<'a> {
    data: &'a ScanData,
    layout: &'a Layout,
    decoders: Vec<Decoder<'a>>,
    blocks: Vec<McuBlock>,
}

impl Scan<'_> {
    fn decode(&self, restart_interval: usize, whole: bool, planes: &mut [Plane]) -> Result<(), Error> {
        let Layout { mcus_x, mcus_y, .. } = *self.layout;
        let interval = if restart_interval == 0 { mcus_x * mcus_y } else { restart_interval };
        match self.data.intervals().cmp(&(mcus_x * mcus_y).div_ceil(interval)) {
            Ordering::Less => return Err(Error::Truncated),
            Ordering::Equal => {}
            Ordering::Greater => return Err(Error::Corrupt("there are too many restart markers".into())),
        }
        let rows = if whole { mcus_y } else { self.layout.wanted_y.end };
        for index in 0..self.data.intervals() {
            let (from, to) = (index * interval, ((index + 1) * interval).min(mcus_x * rows));
            if from >= to {
                break;
            }
            if whole || self.wants(from, to) {
                self.interval(index, from, to, planes)?;
            }
        }
        Ok(())
    }

    /// Whether any of the MCUs `from..to` is wanted.
    fn wants(&self, from: usize, to: usize) -> bool {
        let Layout { mcus_x, ref wanted_x, ref wanted_y, .. } = *self.layout;
        let (first_row, last_row) = (from / mcus_x, (to - 1) / mcus_x);
        if first_row == last_row && (from % mcus_x >= wanted_x.end || (to - 1) % mcus_x < wanted_x.start) {
            return false;
        }
        first_row < wanted_y.end && last_row >= wanted_y.start
    }

    /// Decodes one restart interval, the MCUs `from..to`.
    fn interval(&self, index: usize, from: usize, to: usize, planes: &mut [Plane]) -> Result<(), Error> {
        let Layout { mcus_x, ref wanted_x, ref wanted_y, .. } = *self.layout;
        let corrupt = || Error::Corrupt("its data has codes that its tables do not".into());
        let mut reader = self.data.reader(index);
        let mut predictions = [0_i32; MAX_COMPONENTS];
        let mut mcu = from;
        while mcu < to {
            let (row, start) = (mcu / mcus_x, mcu % mcus_x);
            let end = mcus_x.min(start + to - mcu);
            if wanted_y.contains(&row) {
                let clamp = |x: usize| x.clamp(start, end);
                let (wanted_start, wanted_end) = (clamp(wanted_x.start), clamp(wanted_x.end));
                self.skip(&mut reader, &mut predictions, wanted_start - start).ok_or_else(corrupt)?;
                for x in wanted_start..wanted_end {
                    let at = (x - wanted_x.start, row - wanted_y.start);
                    self.mcu(&mut reader, &mut predictions, at, planes).ok_or_else(corrupt)?;
                }
                self.skip(&mut reader, &mut predictions, end - wanted_end).ok_or_else(corrupt)?;
            } else {
                self.skip(&mut reader, &mut predictions, end - start).ok_or_else(corrupt)?;
            }
            if self.data.overrun(&reader, index) {
                let last = index + 1 == self.data.intervals();
                return Err(if last {
                    Error::Truncated
                } else {
                    Error::Corrupt("a restart interval is too short".into())
                });
            }
            mcu += end - start;
        }
        Ok(())
    }

    /// Passes over `count` MCUs, keeping the predictions right.
    #[inline(never)]
    fn skip(&self, reader: &mut BitReader<'_>, predictions: &mut [i32; MAX_COMPONENTS], count: usize) -> Option<()> {
        let mut bits = *reader;
        for _ in 0..count {
            for block in &self.blocks {
                let decoder = &self.decoders[block.component];
                bits.refill();
                let difference = decoder.dc.step(&mut bits)?;
                predictions[block.component] = predictions[block.component].wrapping_add(difference.value);
                decoder.ac.skip_block(&mut bits, 1)?;
            }
        }
        *reader = bits;
        Some(())
    }

    /// Decodes one MCU, `at` columns and rows of MCUs from the first that is wanted.
    #[inline(never)]
    fn mcu(
        &self,
        reader: &mut BitReader<'_>,
        predictions: &mut [i32; MAX_COMPONENTS],
        at: (usize, usize),
        planes: &mut [Plane],
    ) -> Option<()> {
        let mut bits = *reader;
        let mut coefficients: Coefficients = [0.0; 128];
        for block in &self.blocks {
            let decoder = &self.decoders[block.component];
            let reached = decoder.block(&mut bits, &mut predictions[block.component], &mut coefficients)?;
            let from = block.offset + at.0 * block.step_x + at.1 * block.step_y;
            let out = planes[block.component].samples.get_mut(from..)?;
            decoder.idct.block(&coefficients, reached, out, block.stride);
            if reached > 0 {
                clear(&mut coefficients, decoder.idct.n());
            }
        }
        *reader = bits;
        Some(())
    }
}

/// Zeros the rows of coefficients that a transform to `n * n` samples takes. By cases, so that each is a few stores.
#[inline(always)]
fn clear(coefficients: &mut Coefficients, n: usize) {
    match n {
        1 => {}
        2 => [0, 1, 8, 9].into_iter().for_each(|place| coefficients[place] = 0.0),
        3 | 4 => coefficients[..32].fill(0.0),
        _ => coefficients[..64].fill(0.0),
    }
}

impl Decoder<'_> {
    /// Reads a block's coefficients; the answer is the zigzag place of the last that is not 0. `None`: no such code, or more
    /// coefficients than a block has.
    #[inline(always)]
    fn block(&self, reader: &mut BitReader<'_>, prediction: &mut i32, coefficients: &mut Coefficients) -> Option<u32> {
        reader.refill();
        let difference = self.dc.step(reader)?;
        *prediction = prediction.wrapping_add(difference.value);
        coefficients[0] = *prediction as f32 * self.places[0].step;
        let mut reached = 0;
        let mut k = 1;
        'block: while k <= self.last {
            reader.refill();
            // Two steps from the table and any third are 56 bits.
            for _ in 0..3 {
                let step = self.ac.step(reader)?;
                let at = k + step.run;
                let place = self.places[(at & 255) as usize];
                coefficients[(place.natural & 127) as usize] = step.value as f32 * place.step;
                if at < BLOCK as u32 {
                    reached = at;
                }
                k = at + 1;
                if k > self.last {
                    break 'block;
                }
            }
        }
        if k < BLOCK as u32 {
            self.ac.skip_block(reader, k)?;
        } else if k > BLOCK as u32 && !Table::is_end_of_block(k) {
            return None;
        }
        Some(reached.min(63))
    }
}
