//! A frame, one row of macroblocks after the other.

use std::ops::Range;

use wide::bytemuck::cast;

use super::header::{Filter, FrameHeader};
use super::loop_filter::{self, Neighbours};
use super::modes::{Luma, Mode, ModeContext};
use super::predict::{self, ChromaEdges, Inside, LumaEdges};
use super::tile::Tile;
use super::tokens::{self, BlockContext, Coded};
use super::transform::{self, Coefficients};
use crate::error::Error;
use crate::pixels::plane::{filled, zeros};

/// Where a frame's rows go.
pub(in crate::webp) trait RowSink {
    /// Row `y` of a plane: of luma (0), of the blue (1) or the red colour difference (2), which have half as many samples each
    /// way, rounded up. The rows of a plane come in their order, those of the colour differences before those of luma beside them.
    ///
    /// # Errors
    /// Whatever the sink cannot go on after.
    fn row(&mut self, plane: usize, y: usize, samples: &[u8]) -> Result<(), Error>;
}

/// The last rows of a macroblock before they were filtered, from which the next are predicted.
#[derive(Clone, Copy, Debug)]
struct Bottom {
    luma: [u8; 16],
    chroma: [u8; 16],
}

/// What is decoded of a frame, and what it takes to decode the rest.
struct FrameDecoder<'a> {
    header: FrameHeader<'a>,
    columns: usize,
    modes: ModeContext,
    contexts: Vec<BlockContext>,
    bottoms: Vec<Bottom>,
    /// The current row and the one above, which the filter still changes.
    tiles: [Vec<Tile>; 2],
    coefficients: Coefficients,
    luma_residue: transform::Luma,
    chroma_residue: transform::Chroma,
}

/// What is above the picture, and what is on its left.
const ABOVE: u8 = 127;
const LEFT: u8 = 129;

/// Bytes that are allocated for a frame of so many columns.
pub(in crate::webp) fn working_memory(width: usize) -> u64 {
    let column = 2 * size_of::<Tile>() + size_of::<Bottom>() + size_of::<BlockContext>() + 4;
    let line = 16;
    (width.div_ceil(16) * (column + line) + (16 << 10)) as u64
}

/// Decodes a frame down to the end of `rows`, which are of luma, and gives those to `sink`, with the chroma rows beside them.
///
/// # Errors
/// The data is damaged or truncated; the sink has the rows above then.
pub(in crate::webp) fn decode(data: &[u8], rows: Range<usize>, sink: &mut impl RowSink) -> Result<(), Error> {
    let mut decoder = FrameDecoder::new(FrameHeader::read(data)?)?;
    let (width, height) = (decoder.header.width, decoder.header.height);
    let mut lines = Lines { rows: rows.start..rows.end.min(height), width, line: zeros(16 * decoder.columns)?, sink };
    // The filter changes the row above, too.
    let last = height.div_ceil(16).min(lines.rows.end.div_ceil(16) + 1);
    for row in 0..last {
        let decoded = decoder.row(row);
        if row > 0 {
            lines.give(row - 1, decoder.above())?;
        }
        decoded?;
        decoder.tiles.swap(0, 1);
    }
    lines.give(last - 1, decoder.above())
}

/// Puts lines together from macroblocks.
struct Lines<'a, S> {
    /// Those of luma that are wanted.
    rows: Range<usize>,
    width: usize,
    line: Vec<u8>,
    sink: &'a mut S,
}

impl<S: RowSink> Lines<'_, S> {
    /// Gives the lines of a row of macroblocks to the sink.
    fn give(&mut self, row: usize, tiles: &[Tile]) -> Result<(), Error> {
        let chroma_rows = self.rows.start / 2..self.rows.end.div_ceil(2);
        for line in 0..8 {
            let y = 8 * row + line;
            for plane in (0..2).filter(|_| chroma_rows.contains(&y)) {
                for (samples, tile) in self.line.as_chunks_mut::<8>().0.iter_mut().zip(tiles) {
                    let halves: [[u8; 8]; 2] = cast(tile.chroma[line]);
                    *samples = halves[plane];
                }
                self.sink.row(1 + plane, y, &self.line[..self.width.div_ceil(2)])?;
            }
            for line in [2 * line, 2 * line + 1] {
                let y = 16 * row + line;
                if self.rows.contains(&y) {
                    for (samples, tile) in self.line.as_chunks_mut::<16>().0.iter_mut().zip(tiles) {
                        *samples = tile.luma[line];
                    }
                    self.sink.row(0, y, &self.line[..self.width])?;
                }
            }
        }
        Ok(())
    }
}

impl<'a> FrameDecoder<'a> {
    fn new(header: FrameHeader<'a>) -> Result<Self, Error> {
        let columns = header.width.div_ceil(16);
        let bottom = Bottom { luma: [ABOVE; 16], chroma: [ABOVE; 16] };
        Ok(Self {
            columns,
            modes: ModeContext::new(zeros(columns)?),
            contexts: zeros(columns)?,
            bottoms: filled(columns, bottom)?,
            tiles: [zeros(columns)?, zeros(columns)?],
            coefficients: Coefficients::default(),
            luma_residue: [[0; 16]; 16],
            chroma_residue: [[0; 16]; 8],
            header,
        })
    }

    /// The macroblocks of the row that was decoded before.
    fn above(&self) -> &[Tile] {
        &self.tiles[1]
    }

    /// Decodes a row of macroblocks and filters it, and thereby the lower lines of the row above.
    fn row(&mut self, row: usize) -> Result<(), Error> {
        let partition = row & (self.header.partitions.len() - 1);
        let mut left = BlockContext::default();
        let mut edges = Edges::new(row);
        self.modes.start_row();
        for x in 0..self.columns {
            let header = self.modes.read(x, &self.header.modes, &mut self.header.first_partition);
            let subblocks = matches!(header.luma, Luma::Subblocks(_));
            let coded = if header.skipped {
                self.contexts[x].clear(subblocks);
                left.clear(subblocks);
                Coded::default()
            } else {
                let steps = &self.header.steps[header.segment];
                tokens::read(
                    &mut self.header.partitions[partition],
                    &self.header.tokens,
                    steps,
                    subblocks,
                    &mut self.contexts[x],
                    &mut left,
                    &mut self.coefficients,
                )
            };
            self.reconstruct(x, row, &header.luma, header.chroma, coded, &mut edges);
            let any = coded.luma > 0 || coded.chroma > 0;
            self.smooth(x, row, header.segment, subblocks, subblocks || any);
        }
        // As in libwebp, a row that needs more than there is does not count.
        if self.header.first_partition.past_end() || self.header.partitions[partition].past_end() {
            return Err(Error::Truncated);
        }
        Ok(())
    }

    /// Predicts a macroblock, adds its residue, and keeps what its neighbours are predicted from.
    #[inline(always)]
    fn reconstruct(&mut self, x: usize, row: usize, luma: &Luma, chroma: Mode, coded: Coded, edges: &mut Edges) {
        let inside = Inside { above: row > 0, left: x > 0 };
        edges.set_above(x, row, &self.bottoms);
        let tile = &mut self.tiles[0][x];
        if coded.luma > 0 {
            transform::luma(&self.coefficients.luma, coded.luma, &mut self.luma_residue);
            self.coefficients.luma = [[0; 16]; 16];
        }
        match luma {
            Luma::Whole(mode) => {
                let rows = predict::luma(*mode, &edges.luma, inside);
                if coded.luma > 0 {
                    for ((out, prediction), residue) in tile.luma.iter_mut().zip(rows).zip(&self.luma_residue) {
                        *out = transform::add(prediction, residue).to_array();
                    }
                } else {
                    tile.luma = cast(rows);
                }
            }
            Luma::Subblocks(modes) => {
                if coded.luma == 0 {
                    self.luma_residue = [[0; 16]; 16];
                }
                predict::subblocks(modes, &edges.luma, &self.luma_residue, &mut tile.luma);
            }
        }
        let rows = predict::chroma(chroma, &edges.chroma, inside);
        if coded.chroma > 0 {
            transform::chroma(&self.coefficients.chroma, coded.chroma, &mut self.chroma_residue);
            self.coefficients.chroma = [[0; 8]; 16];
            for ((out, prediction), residue) in tile.chroma.iter_mut().zip(rows).zip(&self.chroma_residue) {
                *out = transform::add(prediction, residue).to_array();
            }
        } else {
            tile.chroma = cast(rows);
        }
        edges.set_left(tile);
        self.bottoms[x] = Bottom { luma: tile.luma[15], chroma: tile.chroma[7] };
    }

    /// Filters a macroblock's left and upper edges, and if `inner` those within it.
    #[inline(always)]
    fn smooth(&mut self, x: usize, row: usize, segment: usize, subblocks: bool, inner: bool) {
        let strength = self.header.strengths[segment][usize::from(subblocks)];
        let [current, above] = &mut self.tiles;
        let (before, rest) = current.split_at_mut(x);
        let Some(tile) = rest.first_mut() else { return };
        let neighbours = Neighbours { left: before.last_mut(), above: (row > 0).then(|| &mut above[x]) };
        match self.header.filter {
            Filter::None => {}
            Filter::Simple => loop_filter::simple(tile, neighbours, strength, inner),
            Filter::Normal => loop_filter::normal(tile, neighbours, strength, inner),
        }
    }
}

/// The samples around the next macroblock, as they were before they were filtered.
struct Edges {
    luma: LumaEdges,
    chroma: ChromaEdges,
}

impl Edges {
    /// At the start of a row.
    fn new(row: usize) -> Self {
        let corner = if row > 0 { LEFT } else { ABOVE };
        Self {
            luma: LumaEdges { corner, above: [ABOVE; 16], above_right: [ABOVE; 4], left: [LEFT; 16] },
            chroma: ChromaEdges { corner: [corner; 2], above: [ABOVE; 16], left: [[LEFT; 8]; 2] },
        }
    }

    /// Takes the samples above, and for the macroblock after it the corner.
    #[inline(always)]
    fn set_above(&mut self, x: usize, row: usize, bottoms: &[Bottom]) {
        if x > 0 {
            self.luma.corner = self.luma.above[15];
            self.chroma.corner = [self.chroma.above[7], self.chroma.above[15]];
        }
        let bottom = &bottoms[x];
        (self.luma.above, self.chroma.above) = (bottom.luma, bottom.chroma);
        if row > 0 {
            // At the right edge of the picture the last sample is repeated.
            self.luma.above_right = match bottoms.get(x + 1) {
                Some(next) => [next.luma[0], next.luma[1], next.luma[2], next.luma[3]],
                None => [bottom.luma[15]; 4],
            };
        }
    }

    #[inline(always)]
    fn set_left(&mut self, tile: &Tile) {
        self.luma.left = tile.luma.map(|row| row[15]);
        self.chroma.left = [tile.chroma.map(|row| row[7]), tile.chroma.map(|row| row[15])];
    }
}
