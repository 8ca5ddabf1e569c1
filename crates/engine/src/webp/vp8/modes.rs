//! The macroblocks' own headers: how each is predicted (RFC 6386, sections 11 and 19.3).

use super::bool_decoder::BoolDecoder;
use super::header::ModeHeader;
use super::tables::SUBBLOCK_MODES;

/// How a whole macroblock is predicted, or both of its chroma blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Dc,
    Vertical,
    Horizontal,
    TrueMotion,
}

/// How a subblock of 4 x 4 samples is predicted. In the order of the code's tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum SubMode {
    #[default]
    Dc,
    TrueMotion,
    Vertical,
    Horizontal,
    RightDown,
    VerticalRight,
    LeftDown,
    VerticalLeft,
    HorizontalDown,
    HorizontalUp,
}

/// The luma of a macroblock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Luma {
    Whole(Mode),
    /// By subblocks, row by row.
    Subblocks([SubMode; 16]),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct MacroblockHeader {
    pub segment: usize,
    /// There are no coefficients.
    pub skipped: bool,
    pub luma: Luma,
    pub chroma: Mode,
}

/// The modes of the subblocks beside and above, by which those of a macroblock are coded.
#[derive(Debug)]
pub(super) struct ModeContext {
    above: Vec<[SubMode; 4]>,
    left: [SubMode; 4],
}

impl ModeContext {
    /// For a row of macroblocks; `above` as long as that.
    pub fn new(above: Vec<[SubMode; 4]>) -> Self {
        Self { above, left: [SubMode::Dc; 4] }
    }

    pub fn start_row(&mut self) {
        self.left = [SubMode::Dc; 4];
    }

    /// Reads the header of the macroblock in column `x`.
    #[inline]
    pub fn read(&mut self, x: usize, header: &ModeHeader, coded: &mut BoolDecoder) -> MacroblockHeader {
        let segment = match header.segment_tree {
            None => 0,
            Some([upper, first, second]) => {
                if coded.bit(upper) {
                    2 + usize::from(coded.bit(second))
                } else {
                    usize::from(coded.bit(first))
                }
            }
        };
        let skipped = header.coded.is_some_and(|probability| coded.bit(probability));
        let luma = if coded.bit(145) {
            let mode = whole_mode(coded);
            self.left = [mode.as_subblocks(); 4];
            self.above[x] = self.left;
            Luma::Whole(mode)
        } else {
            Luma::Subblocks(self.subblocks(x, coded))
        };
        MacroblockHeader { segment, skipped, luma, chroma: chroma_mode(coded) }
    }

    fn subblocks(&mut self, x: usize, coded: &mut BoolDecoder) -> [SubMode; 16] {
        let mut modes = [SubMode::Dc; 16];
        let mut above = self.above[x];
        // A copy stays in registers.
        let mut local = coded.clone();
        for (row, left) in modes.as_chunks_mut::<4>().0.iter_mut().zip(&mut self.left) {
            for (mode, above) in row.iter_mut().zip(&mut above) {
                *mode = sub_mode(&mut local, &SUBBLOCK_MODES[*above as usize][*left as usize]);
                (*above, *left) = (*mode, *mode);
            }
        }
        self.above[x] = above;
        *coded = local;
        modes
    }
}

impl Mode {
    /// What the subblocks of a macroblock that is predicted as a whole count as.
    fn as_subblocks(self) -> SubMode {
        match self {
            Self::Dc => SubMode::Dc,
            Self::Vertical => SubMode::Vertical,
            Self::Horizontal => SubMode::Horizontal,
            Self::TrueMotion => SubMode::TrueMotion,
        }
    }
}

fn whole_mode(coded: &mut BoolDecoder) -> Mode {
    match coded.bit(156) {
        false if coded.bit(163) => Mode::Vertical,
        false => Mode::Dc,
        true if coded.bit(128) => Mode::TrueMotion,
        true => Mode::Horizontal,
    }
}

fn chroma_mode(coded: &mut BoolDecoder) -> Mode {
    if !coded.bit(142) {
        Mode::Dc
    } else if !coded.bit(114) {
        Mode::Vertical
    } else if coded.bit(183) {
        Mode::TrueMotion
    } else {
        Mode::Horizontal
    }
}

#[inline(always)]
fn sub_mode(coded: &mut BoolDecoder, p: &[u8; 9]) -> SubMode {
    use SubMode::*;
    if !coded.bit(p[0]) {
        return Dc;
    }
    if !coded.bit(p[1]) {
        return TrueMotion;
    }
    if !coded.bit(p[2]) {
        return Vertical;
    }
    if !coded.bit(p[3]) {
        return match coded.bit(p[4]) {
            false => Horizontal,
            true if coded.bit(p[5]) => VerticalRight,
            true => RightDown,
        };
    }
    if !coded.bit(p[6]) {
        LeftDown
    } else if !coded.bit(p[7]) {
        VerticalLeft
    } else if coded.bit(p[8]) {
        HorizontalUp
    } else {
        HorizontalDown
    }
}
