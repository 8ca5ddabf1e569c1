//! Progressive scans of AC coefficients: a band of the zigzag, of one component (T.81, G.1.2.2 and G.1.2.3).
//!
//! A refinement is most of a progressive file. Its codes stand between single bits, one for each coefficient that is not 0 and lies
//! between a code's place and the last one's, so where a code begins is known only after the place of the one before. Three
//! things make that quick:
//!
//! - the place behind a run of zeros comes from a table ([`NTH_ZERO`]), by eight places of the block's history at once;
//! - the single bits are only collected, and applied when the block is over, to the coefficients that are kept;
//! - nothing but the ends of the loops branches on the data.

use super::bit_reader::BitReader;
use super::multi_scan::{CoefficientBuffer, Places};
use super::progressive_table::ProgressiveTable;
use super::scan_header::ScanHeader;
use crate::jpeg::dct::BLOCK;

/// A scan of AC coefficients: a band of the zigzag, of one component.
pub(super) struct Band<'a> {
    buffer: &'a mut CoefficientBuffer,
    table: &'a ProgressiveTable,
    header: &'a ScanHeader,
    places: Places,
    /// Blocks to come, this one included, of which the scan says no more (T.81, G.1.2.2).
    end_of_band_run: u32,
}

/// Mark of a place that is not among the next eight.
const FAR: u8 = 64;

/// Indexed by which of the next eight places are 0, the next lowest, and by a run: the place behind so many that are 0 and before
/// another that is, or [`FAR`].
static NTH_ZERO: [[u8; 16]; 256] = {
    let mut table = [[FAR; 16]; 256];
    let mut zeros = 0;
    while zeros < 256 {
        let (mut place, mut run) = (0, 0);
        while place < 8 {
            if zeros >> place & 1 == 1 {
                table[zeros][run] = place;
                run += 1;
            }
            place += 1;
        }
        zeros += 1;
    }
    table
};

impl<'a> Band<'a> {
    pub fn new(buffer: &'a mut CoefficientBuffer, table: &'a ProgressiveTable, header: &'a ScanHeader) -> Self {
        Self { buffer, table, header, places: header.places(), end_of_band_run: 0 }
    }

    /// Reads the blocks `from..to` of the component's grid, a restart interval. `None`: no code matches.
    pub fn read(
        &mut self,
        reader: &mut BitReader<'_>,
        from: usize,
        to: usize,
        overrun: &dyn Fn(&BitReader<'_>) -> bool,
    ) -> Option<()> {
        self.end_of_band_run = 0;
        let across = self.buffer.blocks_x;
        let mut bits = *reader;
        let mut block = from;
        let (mut x, mut y) = (block % across, block / across);
        while block < to {
            if self.header.high > 0 {
                self.refine(&mut bits, x, y)?;
            } else if self.end_of_band_run > 0 {
                // No bits and no work: skips them all at once.
                let run = (self.end_of_band_run as usize).min(to - block);
                self.end_of_band_run -= run as u32;
                block += run;
                (x, y) = (block % across, block / across);
                continue;
            } else {
                self.first(&mut bits, x, y)?;
            }
            block += 1;
            x += 1;
            if x == across {
                (x, y) = (0, y + 1);
                if overrun(&bits) {
                    break;
                }
            }
        }
        *reader = bits;
        Some(())
    }

    /// A block's first bits (T.81, G.1.2.2).
    #[inline(always)]
    fn first(&mut self, reader: &mut BitReader<'_>, x: usize, y: usize) -> Option<()> {
        let ScanHeader { first, last, low, .. } = *self.header;
        let slots = self.buffer.slots;
        let mut history = 0;
        let coefficients = self.buffer.block(x, y);
        let mut k = first;
        while k <= last {
            reader.refill();
            let step = self.table.step(reader)?;
            if let Some(length) = ProgressiveTable::end_of_band(step) {
                self.end_of_band_run = (1 << length) - 1 + reader.number(length);
                break;
            }
            k += step.run;
            if k > last {
                return None;
            }
            if step.value != 0 {
                history |= 1 << k;
                if let Some(coefficient) = coefficients.get_mut(usize::from(slots[k as usize & 63])) {
                    *coefficient = (step.value << low) as i16;
                }
            }
            k += 1;
        }
        self.buffer.history[y * self.buffer.blocks_x + x] |= history;
        Some(())
    }

    /// One more bit of a block's coefficients (T.81, G.1.2.3): of those that are not 0, one bit each, on the way to those
    /// that were and are no longer.
    #[inline(always)]
    fn refine(&mut self, reader: &mut BitReader<'_>, x: usize, y: usize) -> Option<()> {
        let Self { buffer, table, header, places, .. } = self;
        let at = y * buffer.blocks_x + x;
        let before = buffer.history[at] & *places;
        if self.end_of_band_run > 0 && before == 0 {
            self.end_of_band_run -= 1;
            return Some(());
        }
        let mut history = before;
        // The single bits, the last one lowest: so many, and how many there are in the block.
        let (mut singles, mut taken, total) = (0, 0, before.count_ones());
        let mut sound = true;
        let mut place = header.first;
        // Those of the places from `place` on that are 0.
        let mut zeros = (*places & !before) >> place;
        while self.end_of_band_run == 0 && place <= header.last {
            reader.refill();
            let Some(step) = table.step(reader).filter(|step| step.value.unsigned_abs() <= 1) else {
                sound = false;
                break;
            };
            if let Some(length) = ProgressiveTable::end_of_band(step) {
                self.end_of_band_run = (1 << length) + reader.number(length);
                break;
            }
            let mut passed = u32::from(NTH_ZERO[(zeros & 0xff) as usize][(step.run & 15) as usize]);
            if passed == u32::from(FAR) {
                passed = far_zero(zeros, step.run);
                if passed == BLOCK as u32 {
                    sound = step.value == 0;
                    // Sixteen zeros, of which fewer are left.
                    if sound {
                        singles = singles_of(reader, singles, total - taken);
                        taken = total;
                    }
                    break;
                }
                reader.refill();
            }
            let count = passed - step.run;
            singles = singles_of(reader, singles, count);
            taken += count;
            place += passed;
            zeros = zeros >> passed >> 1;
            if step.value != 0 {
                history |= 1 << place;
                let slot = usize::from(buffer.slots[place as usize & 63]);
                if let Some(coefficient) = buffer.block(x, y).get_mut(slot) {
                    *coefficient = (step.value << header.low) as i16;
                }
            }
            place += 1;
        }
        if self.end_of_band_run > 0 {
            reader.refill();
            singles = singles_of(reader, singles, total - taken);
            taken = total;
            self.end_of_band_run -= 1;
        }
        correct(buffer, (x, y), before, singles << (63 - taken) << 1, header.low);
        if !sound {
            return None;
        }
        buffer.history[at] |= history;
        Some(())
    }
}

/// The place behind `run` zeros and before another, 64 if there are not so many.
#[cold]
#[inline(never)]
fn far_zero(mut zeros: Places, run: u32) -> u32 {
    for _ in 0..run {
        zeros &= zeros.wrapping_sub(1);
    }
    zeros.trailing_zeros()
}

/// Takes `count` bits, up to 63, of a reader that has been refilled, and appends them to `singles`.
#[inline(always)]
fn singles_of(reader: &mut BitReader<'_>, singles: u64, count: u32) -> u64 {
    /// More than this many may not be there at once.
    const MOST: u32 = 40;
    if count <= MOST {
        let taken = singles << count | reader.bits() >> 1 >> (63 - count);
        reader.take(count);
        return taken;
    }
    let first = singles << MOST | reader.bits() >> (64 - MOST);
    reader.take(MOST);
    reader.refill();
    let rest = count - MOST;
    let taken = first << rest | reader.bits() >> (64 - rest);
    reader.take(rest);
    taken
}

/// Moves the coefficients at the places `before` of a block one step of the scan, `1 << low`, away from 0 where their bit in
/// `singles` is 1; the first place's bit at the top.
#[inline(always)]
fn correct(buffer: &mut CoefficientBuffer, (x, y): (usize, usize), before: Places, mut singles: u64, low: u32) {
    let CoefficientBuffer { kept, slots, .. } = *buffer;
    let coefficients = buffer.block(x, y);
    let mut ahead = if coefficients.is_empty() { 0 } else { before & (u64::MAX >> kept.leading_zeros()) };
    while ahead != 0 {
        let slot = slots[ahead.trailing_zeros() as usize & 63];
        if let Some(coefficient) = coefficients.get_mut(usize::from(slot)) {
            let step = if *coefficient < 0 { -1 << low } else { 1 << low };
            let moves = (singles as i64 >> 63) as i16;
            *coefficient = coefficient.wrapping_add(step & moves);
        }
        singles <<= 1;
        ahead &= ahead - 1;
    }
}
