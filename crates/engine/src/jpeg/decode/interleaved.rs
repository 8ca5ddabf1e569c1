//! Sequential blocks by several interleaved readers.
//!
//! Huffman decoding is a chain: where a code begins is known when the one before it has been looked up, and where a block ends
//! cannot be foretold. A single reader waits for each look-up's load, and then for the instructions that the processor fetched
//! on a wrong guess. Here [`LANES`] independent readers take their next blocks in lockstep: the loads of one hide behind the
//! others', and a loop ends once for all of them. Nothing branches on the data but the ends of the loops; a lane whose block is
//! over is masked off until the others' are. The drawing is in the documentation of [`decode`](super).

use super::decode_table::{AcTable, DcTable, END_OF_BLOCK, MAX_STEP_BITS, ORIGIN, PAST_END, POSITION_BITS};
use super::idct::IdctSize;
use crate::error::Error;
use crate::jpeg::dct::BLOCK;
use crate::pixels::plane::zeros;

/// How many readers. With fewer the processor waits, more do not fit into its registers.
pub(super) const LANES: usize = 4;

/// What reading a block takes, one of an MCU's.
pub(super) struct BlockKind<'a> {
    pub dc: &'a DcTable,
    pub ac: &'a AcTable,
    /// By a lane's count behind a coefficient: where that is kept.
    pub slots: &'a Slots,
    /// The last zigzag position that is kept.
    pub last: u32,
    pub kept: IdctSize,
}

/// Coefficients kept of an MCU of `kinds`.
pub(super) fn kept_of_mcu(kinds: &[BlockKind<'_>]) -> usize {
    kinds.iter().map(|kind| kind.kept.count()).sum()
}

/// By a lane's count behind a coefficient: the slot that it is kept in, or [`DISCARD`].
pub(super) type Slots = [u8; 1 << POSITION_BITS];

/// What a lane counts that read what no block has: an end without a block.
const FAILED: u32 = END_OF_BLOCK;

/// A slot of every [`Block`] that is never kept.
const DISCARD: u8 = 255;

/// Where the coefficients go, whose slots by zigzag position `slot` knows.
pub(super) fn slots(slot: impl Fn(usize) -> Option<u8>) -> Slots {
    let mut slots = [DISCARD; 1 << POSITION_BITS];
    for place in 0..BLOCK {
        slots[ORIGIN as usize + place + 1] = slot(place).unwrap_or(DISCARD);
    }
    slots
}

/// Coefficients of a block by slot, those kept and those not.
type Block = [i16; 256];

/// A reader. Its next bit, counted from the start of the data, above [`POSITION_BITS`]; in them, how far it is in its block, from
/// [`ORIGIN`] on. One addition moves both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lane(u64);

/// Bits that [`Lane::bits`] gives at least.
const LOADED: u32 = 57;

impl Lane {
    /// A reader at the start of a block.
    fn new(position: usize) -> Self {
        Self((position as u64) << POSITION_BITS)
    }

    /// The next bit.
    #[inline(always)]
    fn position(self) -> usize {
        (self.0 >> POSITION_BITS) as usize
    }

    #[inline(always)]
    fn count(self) -> u32 {
        self.0 as u32 & ((1 << POSITION_BITS) - 1)
    }

    /// The bits ahead, from the top: at least [`LOADED`]; past the end of the data zeros.
    #[inline(always)]
    fn bits(self, data: &[u8]) -> u64 {
        let at = self.position() / 8;
        match data.get(at..at + 8).and_then(<[u8]>::first_chunk) {
            Some(bytes) => u64::from_be_bytes(*bytes) << (self.position() % 8),
            None => 0,
        }
    }

    /// All ones while zigzag position `last` is still ahead and no end of block was read, else 0. By arithmetic: of a
    /// comparison the compiler makes a branch, which is what must not be here.
    #[inline(always)]
    fn before(self, last: u32) -> u32 {
        (self.count().wrapping_sub(ORIGIN + last + 1) as i32 >> 31) as u32
    }

    /// Begins a block: reads its difference of DC.
    #[inline(always)]
    fn difference(&mut self, data: &[u8], bits: &mut u64, table: &DcTable) -> i16 {
        self.0 = self.0 >> POSITION_BITS << POSITION_BITS | u64::from(ORIGIN);
        let step = table.step(*bits);
        let behind = self.0 + step.advance();
        if behind & u64::from(PAST_END) != 0 {
            let value;
            (*self, value) = self.slow_difference(*bits, table);
            *bits = self.bits(data);
            return value;
        }
        self.0 = behind;
        *bits <<= step.bits();
        step.value()
    }

    #[cold]
    #[inline(never)]
    fn slow_difference(self, bits: u64, table: &DcTable) -> (Self, i16) {
        match table.slow_step(bits) {
            Some(step) => (Self(self.0 + (u64::from(step.bits) << POSITION_BITS) + 1), step.value),
            None => (self.failed(), 0),
        }
    }

    /// Reads a coefficient into `block`, if `last` is still ahead.
    #[inline(always)]
    fn coefficient(&mut self, data: &[u8], bits: &mut u64, kind: &BlockKind<'_>, block: &mut Block) {
        let step = kind.ac.step(*bits).masked(self.before(kind.last));
        let behind = Self(self.0 + step.advance());
        if behind.0 & u64::from(PAST_END) != 0 {
            let value;
            (*self, value) = self.slow_coefficient(*bits, kind.ac);
            *bits = self.bits(data);
            block[usize::from(kind.slots[self.count() as usize])] |= value;
            return;
        }
        *self = behind;
        *bits <<= step.bits();
        // A masked step stands still behind a coefficient that has its value, and adds nothing to it.
        block[usize::from(kind.slots[behind.count() as usize])] |= step.value();
    }

    #[cold]
    #[inline(never)]
    fn slow_coefficient(self, bits: u64, table: &AcTable) -> (Self, i16) {
        let Some(step) = table.slow_step(bits) else {
            return (self.failed(), 0);
        };
        let taken = Self(self.0 + (u64::from(step.bits) << POSITION_BITS));
        if step.ends_block {
            (Self(taken.0 + u64::from(END_OF_BLOCK)), 0)
        } else if taken.count() + step.run + 1 < PAST_END {
            (Self(taken.0 + u64::from(step.run) + 1), step.value)
        } else {
            (taken.failed(), 0)
        }
    }

    /// Skips some coefficients, if the block is not over.
    #[inline(always)]
    fn skip(&mut self, data: &[u8], bits: &mut u64, table: &AcTable) {
        let skip = table.skip(*bits).masked(self.before(BLOCK as u32 - 1));
        let behind = Self(self.0 + skip.advance());
        if behind.0 & u64::from(PAST_END) != 0 {
            // Undecided; or the block's last coefficient, and others that are the next block's.
            (*self, _) = self.slow_coefficient(*bits, table);
            *bits = self.bits(data);
            return;
        }
        *self = behind;
        *bits <<= skip.bits();
    }

    /// Ends a block that is none. A bit is taken, so that a reader that began in the middle of a code comes to others.
    fn failed(self) -> Self {
        Self(((self.0 >> POSITION_BITS) + 1) << POSITION_BITS | u64::from(FAILED))
    }

    #[inline(always)]
    fn has_failed(self) -> bool {
        self.count() == FAILED
    }

    /// How many zigzag positions there are up to the block's last coefficient that was read.
    #[inline(always)]
    fn zigzag_len(self) -> u8 {
        ((self.count() & (PAST_END - 1)).saturating_sub(ORIGIN)) as u8
    }
}

/// The coefficients of some MCUs that follow each other in the data, quantised, and DC as the difference from the block
/// before.
pub(super) struct Run {
    /// MCU by MCU, block by block: as many as each keeps.
    pub coefficients: Vec<i16>,
    /// By block: how many zigzag positions there are up to its last coefficient that is kept.
    pub zigzag_lens: Vec<u8>,
    /// Where each MCU begins, and where the last one ends, in bits.
    pub positions: Vec<usize>,
    /// The MCUs in which there was something that cannot be.
    pub bad: Vec<usize>,
}

impl Run {
    /// Room for `mcus` MCUs of `kinds`.
    pub fn new(kinds: &[BlockKind<'_>], mcus: usize) -> Result<Self, Error> {
        Ok(Self {
            coefficients: zeros(mcus * kept_of_mcu(kinds))?,
            zigzag_lens: zeros(mcus * kinds.len())?,
            positions: Vec::with_capacity(mcus + 1),
            bad: Vec::new(),
        })
    }

    /// How many MCUs were read.
    pub fn mcus(&self) -> usize {
        self.positions.len() - 1
    }

    /// Takes what is kept of `block` to the coefficients from `at` on, and leaves zeros.
    #[inline(always)]
    fn take(&mut self, at: usize, kept: IdctSize, block: &mut Block) {
        fn take<const N: usize>(to: &mut [i16], block: &mut Block) {
            if let (Some(to), Some(from)) = (to.first_chunk_mut::<N>(), block.first_chunk_mut::<N>()) {
                *to = std::mem::replace(from, [0; N]);
            }
        }
        let to = &mut self.coefficients[at..];
        match kept {
            IdctSize::One => take::<1>(to, block),
            IdctSize::Four => take::<4>(to, block),
            IdctSize::Sixteen => take::<16>(to, block),
            IdctSize::All => take::<64>(to, block),
        }
    }
}

/// Reads MCUs of `kinds` into `runs`, each from its own `starts` on, until `enough` says so or the runs are full. `enough` is
/// asked now and then.
#[inline(never)]
pub(super) fn read<const K: usize>(
    data: &[u8],
    kinds: &[BlockKind<'_>],
    starts: [usize; K],
    runs: &mut [Run; K],
    mcus: usize,
    mut enough: impl FnMut(&[Run; K]) -> bool,
) {
    /// MCUs from one call of `enough` to the next.
    const MCUS_BETWEEN: usize = 8;
    let mut lanes = starts.map(Lane::new);
    for run in runs.iter_mut() {
        run.positions.clear();
        run.bad.clear();
    }
    let mut blocks = [[0; 256]; K];
    let (mut at, mut index) = (0, 0);
    for mcu in 0..mcus {
        if mcu % MCUS_BETWEEN == 0 && mcu > 0 && enough(runs) {
            break;
        }
        for (run, lane) in runs.iter_mut().zip(lanes) {
            run.positions.push(lane.position());
        }
        for kind in kinds {
            read_block(data, kind, &mut lanes, &mut blocks);
            for ((run, lane), block) in runs.iter_mut().zip(lanes).zip(&mut blocks) {
                run.take(at, kind.kept, block);
                run.zigzag_lens[index] = lane.zigzag_len();
                if lane.has_failed() && run.bad.last() != Some(&mcu) {
                    run.bad.push(mcu);
                }
            }
            at += kind.kept.count();
            index += 1;
        }
    }
    for (run, lane) in runs.iter_mut().zip(lanes) {
        run.positions.push(lane.position());
    }
}

/// Reads the next block of every lane; `blocks` are 0 where they are kept.
#[inline(always)]
fn read_block<const K: usize>(data: &[u8], kind: &BlockKind<'_>, lanes: &mut [Lane; K], blocks: &mut [Block; K]) {
    // Two steps for a load; for coefficients more would too often be in vain.
    const { assert!(2 * MAX_STEP_BITS <= LOADED) };
    let any_is_before = |lanes: &[Lane; K], last: u32| lanes.iter().fold(0, |any, lane| any | lane.before(last)) != 0;
    for (lane, block) in lanes.iter_mut().zip(blocks.iter_mut()) {
        let mut bits = lane.bits(data);
        block[0] = lane.difference(data, &mut bits, kind.dc);
        if kind.last > 0 {
            lane.coefficient(data, &mut bits, kind, block);
        }
    }
    while any_is_before(lanes, kind.last) {
        for (lane, block) in lanes.iter_mut().zip(blocks.iter_mut()) {
            let mut bits = lane.bits(data);
            lane.coefficient(data, &mut bits, kind, block);
        }
    }
    while any_is_before(lanes, BLOCK as u32 - 1) {
        for lane in lanes.iter_mut() {
            let mut bits = lane.bits(data);
            lane.skip(data, &mut bits, kind.ac);
            lane.skip(data, &mut bits, kind.ac);
        }
    }
}
