//! Sequential blocks by several interleaved readers.
//!
//! Huffman decoding is a serial dependency: where a code begins is known only after the code before it was looked up, and
//! where a block ends cannot be predicted. Load latency and branch mispredictions leave a single reader idle. Here [`LANES`]
//! independent readers decode their next blocks in lockstep: their loads overlap, and a loop ends once for all of them. Only
//! the ends of the loops branch on the data; a lane that has finished its block is masked off until the others have theirs. The drawing is in the documentation of [`decode`](super).

use super::decode_table::{AcTable, DcTable, END_OF_BLOCK, MAX_STEP_BITS, ORIGIN, PAST_END, POSITION_BITS};
use super::idct::IdctSize;
use crate::error::Error;
use crate::jpeg::dct::BLOCK;
use crate::pixels::plane::zeros;

/// The number of readers. With fewer, the processor waits for memory; more do not fit into its registers.
pub(super) const LANES: usize = 4;

/// What is needed to decode one block of an MCU.
pub(super) struct BlockKind<'a> {
    pub dc: &'a DcTable,
    pub ac: &'a AcTable,
    /// Indexed by a lane's count after a coefficient: the coefficient's slot.
    pub slots: &'a Slots,
    /// The last zigzag position that is kept.
    pub last: u32,
    pub kept: IdctSize,
}

/// How many coefficients of an MCU of `kinds` are kept.
pub(super) fn kept_of_mcu(kinds: &[BlockKind<'_>]) -> usize {
    kinds.iter().map(|kind| kind.kept.count()).sum()
}

/// Indexed by a lane's count after a coefficient: its slot, or [`DISCARD`].
pub(super) type Slots = [u8; 1 << POSITION_BITS];

/// The count of a lane that read invalid data: an end of block without a block.
const FAILED: u32 = END_OF_BLOCK;

/// The slot of coefficients that are not kept.
const DISCARD: u8 = 255;

/// The slots of the coefficients; `slot` maps a zigzag position to its slot.
pub(super) fn slots(slot: impl Fn(usize) -> Option<u8>) -> Slots {
    let mut slots = [DISCARD; 1 << POSITION_BITS];
    for place in 0..BLOCK {
        slots[ORIGIN as usize + place + 1] = slot(place).unwrap_or(DISCARD);
    }
    slots
}

/// A block's coefficients by slot, including [`DISCARD`].
type Block = [i16; 256];

/// A reader in one number: above [`POSITION_BITS`] its next bit, counted from the start of the data; in the low bits its
/// position in the block, counted from [`ORIGIN`]. One addition advances both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lane(u64);

/// The least number of bits that [`Lane::bits`] returns.
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

    /// The next bits, left-aligned: at least [`LOADED`]; zeros past the end of the data.
    #[inline(always)]
    fn bits(self, data: &[u8]) -> u64 {
        let at = self.position() / 8;
        match data.get(at..at + 8).and_then(<[u8]>::first_chunk) {
            Some(bytes) => u64::from_be_bytes(*bytes) << (self.position() % 8),
            None => 0,
        }
    }

    /// All ones while zigzag position `last` is still ahead and no end of block was read, else 0. Computed by
    /// arithmetic, because the compiler turns a comparison into a branch.
    #[inline(always)]
    fn before(self, last: u32) -> u32 {
        (self.count().wrapping_sub(ORIGIN + last + 1) as i32 >> 31) as u32
    }

    /// Begins a block: decodes its DC difference.
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
        // A masked step does not move the lane and ORs 0 into the last coefficient's slot.
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
            // Undecided, or the step includes codes of the next block.
            (*self, _) = self.slow_coefficient(*bits, table);
            *bits = self.bits(data);
            return;
        }
        *self = behind;
        *bits <<= skip.bits();
    }

    /// Ends an invalid block. It takes one bit, so that a reader that began in the middle of a code advances.
    fn failed(self) -> Self {
        Self(((self.0 >> POSITION_BITS) + 1) << POSITION_BITS | u64::from(FAILED))
    }

    #[inline(always)]
    fn has_failed(self) -> bool {
        self.count() == FAILED
    }

    /// The number of zigzag positions up to the last coefficient that was decoded.
    #[inline(always)]
    fn zigzag_len(self) -> u8 {
        ((self.count() & (PAST_END - 1)).saturating_sub(ORIGIN)) as u8
    }
}

/// The quantised coefficients of consecutive MCUs, with DC as the difference from the block before.
pub(super) struct Run {
    /// MCU by MCU and block by block, as many as each block keeps.
    pub coefficients: Vec<i16>,
    /// For each block, the number of zigzag positions up to its last coefficient that is kept.
    pub zigzag_lens: Vec<u8>,
    /// The bit at which each MCU begins, and the bit at which the last one ends.
    pub positions: Vec<usize>,
    /// The MCUs with invalid data.
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

    /// Moves the kept coefficients of `block` to `at`, and clears the block.
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

/// Reads MCUs of `kinds` into `runs`, each from its own `starts` on, until the runs are full or `enough` returns true;
/// it is called from time to time.
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

/// Decodes the next block of every lane; the kept slots of `blocks` must be 0.
#[inline(always)]
fn read_block<const K: usize>(data: &[u8], kind: &BlockKind<'_>, lanes: &mut [Lane; K], blocks: &mut [Block; K]) {
    // Two steps per load; more would be wasted too often.
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
