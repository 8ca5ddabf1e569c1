//! The coefficients of a component, kept from one scan to the next.

use super::bit_reader::BitReader;
use super::idct::{Idct, IdctSize};
use super::mcu::{ComponentGeometry, McuGeometry};
use super::progressive_table::ProgressiveTable;
use crate::error::Error;
use crate::jpeg::dct::BLOCK;
use crate::pixels::plane::{Plane, zeros};

/// A set of zigzag positions.
pub(super) type Places = u64;

/// The index of a coefficient that is not kept.
const NOT_KEPT: u8 = 255;

/// What is kept of one component between the scans.
pub(super) struct CoefficientBuffer {
    pub index: usize,
    idct: Idct,
    /// The zigzag positions that the transform uses.
    pub kept: Places,
    /// For each position, its index among a block's kept coefficients, or [`NOT_KEPT`].
    pub slots: [u8; BLOCK],
    /// How many coefficients of a block are kept.
    slots_count: usize,
    /// The kept coefficients of the wanted blocks, block by block.
    coefficients: Vec<i16>,
    /// For each block, wanted or not: the positions that are not 0, also those not kept.
    pub history: Vec<Places>,
    /// The positions that a damaged scan contains.
    pub damaged: Places,
    /// Blocks across and down of the component's own grid; and down to the last wanted row.
    pub blocks_x: usize,
    pub blocks_y: usize,
    pub wanted_blocks_y: usize,
    /// The first wanted block, and how many are wanted across and down.
    left: usize,
    top: usize,
    width: usize,
    height: usize,
}

impl CoefficientBuffer {
    pub fn new(component: &ComponentGeometry, geometry: &McuGeometry, idct: Idct) -> Result<Self, Error> {
        let mut slots = [NOT_KEPT; BLOCK];
        let mut kept = 0;
        for (place, slot) in slots.iter_mut().enumerate() {
            if let Some(taken) = idct.slot(place) {
                *slot = taken;
                kept |= 1 << place;
            }
        }
        let slots_count = IdctSize::by(component.n).count();
        let (width, height) = (geometry.wanted_x.len() * component.h, geometry.wanted_y.len() * component.v);
        let coefficients = (width * height).checked_mul(slots_count).ok_or(Error::OutOfMemory)?;
        Ok(Self {
            index: component.index,
            idct,
            kept,
            slots,
            slots_count,
            coefficients: zeros(coefficients)?,
            history: zeros(component.blocks_x * component.blocks_y)?,
            damaged: 0,
            blocks_x: component.blocks_x,
            blocks_y: component.blocks_y,
            wanted_blocks_y: component.blocks_y.min(geometry.wanted_y.end * component.v),
            left: geometry.wanted_x.start * component.h,
            top: geometry.wanted_y.start * component.v,
            width,
            height,
        })
    }

    /// The kept coefficients of the block in column `x` and row `y`; none if it is not wanted.
    #[inline(always)]
    pub fn block(&mut self, x: usize, y: usize) -> &mut [i16] {
        let (x, y) = (x.wrapping_sub(self.left), y.wrapping_sub(self.top));
        if x < self.width && y < self.height {
            &mut self.coefficients[(y * self.width + x) * self.slots_count..][..self.slots_count]
        } else {
            &mut []
        }
    }

    /// Reads the AC coefficients of a block of a sequential scan (T.81, F.2.2.2). `None`: no code matches.
    #[inline(always)]
    pub fn sequential(
        &mut self,
        reader: &mut BitReader<'_>,
        table: &ProgressiveTable,
        x: usize,
        y: usize,
    ) -> Option<()> {
        let slots = self.slots;
        let coefficients = self.block(x, y);
        let mut history = 1;
        let mut k = 1;
        while k < BLOCK as u32 {
            reader.refill();
            let step = table.step(reader)?;
            if ProgressiveTable::end_of_band(step).is_some() {
                break;
            }
            k += step.run;
            if k >= BLOCK as u32 {
                return None;
            }
            history |= 1 << k;
            if let Some(coefficient) = coefficients.get_mut(usize::from(slots[k as usize & 63])) {
                *coefficient = step.value as i16;
            }
            k += 1;
        }
        // Blocks beyond the grid only fill up MCUs.
        if x < self.blocks_x && y < self.blocks_y {
            self.history[y * self.blocks_x + x] = history;
        }
        Some(())
    }

    /// Transforms all wanted blocks.
    pub fn transform(&self, n: usize, plane: &mut Plane) {
        for (y, row) in self.coefficients.chunks_exact(self.slots_count * self.width).enumerate() {
            let blocks = row.chunks_exact(self.slots_count).enumerate().map(|(x, block)| {
                // Blocks beyond the component's own grid, which only fill up the last MCUs, have nothing but DC.
                let (column, row) = (x + self.left, y + self.top);
                let known = column < self.blocks_x && row < self.blocks_y;
                let history = if known { self.history[row * self.blocks_x + column] } else { 0 };
                (block, (BLOCK as u32 - (history & self.kept | 1).leading_zeros()) as u8)
            });
            self.idct.blocks(blocks, &mut plane.samples[y * n * plane.width..], plane.width, n);
        }
    }
}
