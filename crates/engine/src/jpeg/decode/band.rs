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
use super::coefficient_buffer::{CoefficientBuffer, Places};
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::PlaneRequest;
    use crate::geometry::Window;
    use crate::jpeg::decode::bit_reader::ScanData;
    use crate::jpeg::decode::idct::Idct;
    use crate::jpeg::decode::mcu::McuGeometry;
    use crate::jpeg::decode::progressive_table::CodeClass;
    use crate::jpeg::decode::scan_header::ScanComponent;
    use crate::jpeg::header::{Frame, FrameComponent, Process};
    use crate::jpeg::huffman::HuffmanSpec;

    /// Blocks across and down.
    const ACROSS: usize = 16;
    const DOWN: usize = 2;

    /// A scan's data bit by bit, and the state of figure G.7.
    struct ByTheBook<'a> {
        data: &'a [u8],
        at: usize,
        codes: Vec<(u32, u32, u8)>,
        end_of_band_run: u32,
    }

    impl ByTheBook<'_> {
        fn number(&mut self, bits: u32) -> u32 {
            (0..bits).fold(0, |number, _| {
                let byte = self.data.get(self.at / 8).copied().unwrap_or(0);
                self.at += 1;
                number << 1 | u32::from(byte >> (7 - (self.at - 1) % 8) & 1)
            })
        }

        fn symbol(&mut self) -> Option<u8> {
            let (mut code, mut length) = (0, 0);
            while length < 16 {
                (code, length) = (code << 1 | self.number(1), length + 1);
                if let Some(found) = self.codes.iter().find(|found| (found.0, found.1) == (code, length)) {
                    return Some(found.2);
                }
            }
            None
        }

        /// T.81, G.1.2.3, for one block.
        fn refine(&mut self, header: &ScanHeader, block: &mut [i16; BLOCK], history: &mut Places) -> Option<()> {
            let mut k = header.first;
            let step = 1 << header.low;
            let before = *history;
            let correct = |book: &mut Self, block: &mut [i16; BLOCK], k: u32| {
                let coefficient = &mut block[k as usize];
                let away = if *coefficient < 0 { -step } else { step };
                *coefficient = coefficient.wrapping_add(away * book.number(1) as i16);
            };
            while self.end_of_band_run == 0 && k <= header.last {
                let symbol = self.symbol()?;
                let (mut run, size) = (symbol >> 4, symbol & 15);
                if size == 0 && run < 15 {
                    self.end_of_band_run = (1 << run) + self.number(run.into());
                    break;
                }
                let value = match size {
                    0 => 0,
                    1 => 2 * self.number(1) as i16 - 1,
                    _ => return None,
                };
                while k <= header.last && (before >> k & 1 == 1 || run > 0) {
                    match before >> k & 1 {
                        1 => correct(self, block, k),
                        _ => run -= 1,
                    }
                    k += 1;
                }
                if value != 0 {
                    if k > header.last {
                        return None;
                    }
                    block[k as usize] = value * step;
                    *history |= 1 << k;
                }
                k += 1;
            }
            if self.end_of_band_run > 0 {
                (k..=header.last).filter(|k| before >> k & 1 == 1).for_each(|k| correct(self, block, k));
                self.end_of_band_run -= 1;
            }
            Some(())
        }
    }

    fn random(seed: &mut u64) -> u64 {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *seed >> 33 ^ *seed << 31
    }

    /// A buffer of which all blocks are kept whole, or some and of them four coefficients.
    fn buffer(whole: bool) -> CoefficientBuffer {
        let component = FrameComponent { id: 1, h: 1, v: 1, quantisation: 0 };
        let (width, height) = (8 * ACROSS, 8 * DOWN);
        let process = Process::Progressive;
        let frame = Frame { process, precision_bits: 8, width, height, components: vec![component] };
        let (left, columns) = if whole { (0, width) } else { (80, 48) };
        let window = Window { left: left as f64, top: 0.0, width: columns as f64, height: height as f64 };
        let part = if whole { 1 } else { 8 };
        let geometry =
            McuGeometry::new(&frame, &[vec![PlaneRequest { window, width: columns / part, height: height / part }]]);
        let n = geometry.components[0].n;
        assert_eq!(n, if whole { 8 } else { 2 });
        CoefficientBuffer::new(&geometry.components[0], &geometry, Idct::new(n, &[1; BLOCK])).unwrap()
    }

    /// Refines random blocks by random data, damaged as it is; returns how many blocks were read.
    fn try_one(seed: &mut u64, spec: &HuffmanSpec, whole: bool) -> usize {
        let bytes: Vec<u8> = (0..4000).map(|_| (random(seed) as u8).min(254)).collect();
        let data = ScanData::read(&bytes, 0, 1, Vec::new()).unwrap();
        let first = 1 + random(seed) as u32 % 3;
        let last = if random(seed).is_multiple_of(2) { 63 } else { first + random(seed) as u32 % 20 };
        let low = random(seed) as u32 % 3;
        let components = vec![ScanComponent { index: 0, dc_table: 0, ac_table: 0 }];
        let header = ScanHeader { components, first, last, high: low + 1, low };
        let mut buffer = buffer(whole);
        let mut blocks = [[0_i16; BLOCK]; ACROSS * DOWN];
        // From almost all to almost none are not 0.
        let density = random(seed) % 4;
        for (index, block) in blocks.iter_mut().enumerate() {
            let (a, b) = (random(seed), random(seed));
            let history = [a | b | random(seed), a, a & b, a & b & random(seed) & random(seed)][density as usize] & !1;
            buffer.history[index] = history;
            for (place, value) in block.iter_mut().enumerate().filter(|(place, _)| history >> place & 1 == 1) {
                *value = (random(seed) as i16 % 9 * 2 + 1) << (low + 1);
                let slot = usize::from(buffer.slots[place]);
                if let Some(kept) = buffer.block(index % ACROSS, index / ACROSS).get_mut(slot) {
                    *kept = *value;
                }
            }
        }
        let mut book = ByTheBook { data: &bytes, at: 0, codes: spec.codes().collect(), end_of_band_run: 0 };
        let mut histories: Vec<Places> = buffer.history.clone();
        let sound = (0..ACROSS * DOWN)
            .take_while(|&index| book.refine(&header, &mut blocks[index], &mut histories[index]).is_some())
            .count();
        let table = ProgressiveTable::new(spec, CodeClass::Ac);
        let mut reader = data.reader(0);
        let read = Band::new(&mut buffer, &table, &header).read(&mut reader, 0, ACROSS * DOWN, &|_| false);
        assert_eq!(read.is_some(), sound == ACROSS * DOWN);
        if read.is_some() {
            assert_eq!(reader.position(), book.at);
        }
        for (index, block) in blocks.iter().enumerate().take(sound) {
            assert_eq!(buffer.history[index], histories[index], "block {index}");
            let slots = buffer.slots;
            let kept = buffer.block(index % ACROSS, index / ACROSS);
            for (place, &value) in block.iter().enumerate() {
                if let Some(&kept) = kept.get(usize::from(slots[place])) {
                    assert_eq!(kept, value, "block {index}, place {place}");
                }
            }
        }
        sound
    }

    #[test]
    fn a_refinement_is_read_as_the_standard_has_it() {
        // Ends of bands of one block, and of two or three; short runs; longer ones; sixteen zeros; a size that must not be. Not all
        // codes of 16 bits have a symbol.
        let spec = HuffmanSpec {
            counts: [0, 1, 3, 2, 3, 2, 1, 0, 0, 0, 0, 0, 1, 0, 0, 1],
            symbols: vec![0x01, 0x11, 0x00, 0x10, 0x21, 0x31, 0x51, 0x81, 0x30, 0xf0, 0xc1, 0x41, 0x61, 0x02],
        };
        let mut seed = 1;
        let mut read = 0;
        for _ in 0..300 {
            read += try_one(&mut seed, &spec, true) + try_one(&mut seed, &spec, false);
        }
        assert!(read > 2000, "{read}");
    }
}
