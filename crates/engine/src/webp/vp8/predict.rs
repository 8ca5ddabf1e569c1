//! Prediction from the samples around (RFC 6386, section 12).

use wide::bytemuck::cast;
use wide::{i16x8, u8x16};

use super::modes::{Mode, SubMode};
use super::transform;

/// The samples around a macroblock's luma, before they are filtered.
#[derive(Clone, Copy, Debug)]
pub(super) struct LumaEdges {
    pub corner: u8,
    pub above: [u8; 16],
    /// The first samples of the next macroblock above.
    pub above_right: [u8; 4],
    pub left: [u8; 16],
}

/// Those around its two chroma blocks; first those of U.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChromaEdges {
    pub corner: [u8; 2],
    pub above: [u8; 16],
    pub left: [[u8; 8]; 2],
}

/// Which of the edges lie in the picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inside {
    pub above: bool,
    pub left: bool,
}

/// Luma that is predicted as a whole: of each row the samples.
#[inline(always)]
pub(super) fn luma(mode: Mode, edges: &LumaEdges, inside: Inside) -> [u8x16; 16] {
    match mode {
        Mode::Dc => [u8x16::splat(mean(&edges.above, &edges.left, inside)); 16],
        Mode::Vertical => [u8x16::new(edges.above); 16],
        Mode::Horizontal => edges.left.map(u8x16::splat),
        Mode::TrueMotion => {
            let (low, high) =
                slope(edges.above, i16x8::splat(i16::from(edges.corner)), i16x8::splat(i16::from(edges.corner)));
            edges.left.map(|left| {
                let left = i16x8::splat(i16::from(left));
                u8x16::narrow_i16x8(low + left, high + left)
            })
        }
    }
}

/// Both chroma blocks: of each row eight samples of U, and eight of V.
#[inline(always)]
pub(super) fn chroma(mode: Mode, edges: &ChromaEdges, inside: Inside) -> [u8x16; 8] {
    let [left_u, left_v] = &edges.left;
    let both = |u: u8, v: u8| cast([[u; 8], [v; 8]]);
    match mode {
        Mode::Dc => {
            let [above_u, above_v]: [[u8; 8]; 2] = cast(edges.above);
            [both(mean(&above_u, left_u, inside), mean(&above_v, left_v, inside)); 8]
        }
        Mode::Vertical => [u8x16::new(edges.above); 8],
        Mode::Horizontal => std::array::from_fn(|y| both(left_u[y], left_v[y])),
        Mode::TrueMotion => {
            let [corner_u, corner_v] = edges.corner.map(|corner| i16x8::splat(i16::from(corner)));
            let (u, v) = slope(edges.above, corner_u, corner_v);
            std::array::from_fn(|y| {
                let [left_u, left_v] = [left_u[y], left_v[y]].map(|left| i16x8::splat(i16::from(left)));
                u8x16::narrow_i16x8(u + left_u, v + left_v)
            })
        }
    }
}

/// By how much the samples above differ from the corner.
#[inline(always)]
fn slope(above: [u8; 16], low_corner: i16x8, high_corner: i16x8) -> (i16x8, i16x8) {
    let above = u8x16::new(above);
    (i16x8::from_u8x16_low(above) - low_corner, i16x8::from_u8x16_high(above) - high_corner)
}

/// The mean of those edges that lie in the picture.
fn mean<const N: usize>(above: &[u8; N], left: &[u8; N], inside: Inside) -> u8 {
    let sum = |edge: &[u8; N]| edge.iter().map(|&sample| u32::from(sample)).sum::<u32>();
    let n = N as u32;
    let mean = match (inside.above, inside.left) {
        (true, true) => (sum(above) + sum(left) + n) / (2 * n),
        (true, false) => (sum(above) + n / 2) / n,
        (false, true) => (sum(left) + n / 2) / n,
        (false, false) => 128,
    };
    mean as u8
}

/// Luma that is predicted by subblocks, and its residue added: a subblock is predicted from those before it.
pub(super) fn subblocks(modes: &[SubMode; 16], edges: &LumaEdges, residue: &transform::Luma, out: &mut [[u8; 16]; 16]) {
    // The row above, from the corner on. The samples above on the right are the same for all rows of subblocks.
    let mut above = [0; 21];
    above[0] = edges.corner;
    above[1..17].copy_from_slice(&edges.above);
    above[17..].copy_from_slice(&edges.above_right);
    for (y, modes) in modes.as_chunks::<4>().0.iter().enumerate() {
        let mut left: [u8; 4] = *edges.left[4 * y..].first_chunk().unwrap_or(&[0; 4]);
        let mut bottom = [[0; 4]; 4];
        let last_left = left[3];
        for (x, &mode) in modes.iter().enumerate() {
            let mut edge = [0; 16];
            edge[..4].copy_from_slice(&[left[3], left[2], left[1], left[0]]);
            edge[4..13].copy_from_slice(&above[4 * x..][..9]);
            let last = edge[12];
            edge[13..].fill(last);
            let prediction: u8x16 = cast(subblock(mode, &edge));
            let residue: [[i16; 4]; 4] =
                std::array::from_fn(|row| *residue[4 * y + row][4 * x..].first_chunk().unwrap_or(&[0; 4]));
            let rows: [[u8; 4]; 4] = cast(transform::add(prediction, &cast(residue)));
            for (row, out) in rows.iter().zip(&mut out[4 * y..]) {
                out[4 * x..][..4].copy_from_slice(row);
            }
            left = rows.map(|row| row[3]);
            bottom[x] = rows[3];
        }
        above[0] = last_left;
        above[1..17].copy_from_slice(bottom.as_flattened());
    }
}

/// A subblock's rows. `edge`: the samples on the left from the lowest to the highest, the corner, eight above, and the last
/// of them repeated.
#[inline(always)]
fn subblock(mode: SubMode, edge: &[u8; 16]) -> [[u8; 4]; 4] {
    let four = |samples: &[u8; 16], from: usize| *samples[from..].first_chunk::<4>().unwrap_or(&[0; 4]);
    match mode {
        SubMode::Dc => {
            let sum: u32 = [0, 1, 2, 3, 5, 6, 7, 8].iter().map(|&i: &usize| u32::from(edge[i])).sum();
            [[((sum + 4) >> 3) as u8; 4]; 4]
        }
        SubMode::TrueMotion => {
            let [above, corner] = [four(edge, 5).map(i16::from), [i16::from(edge[4]); 4]];
            std::array::from_fn(|y| {
                let left = i16::from(edge[3 - y]);
                std::array::from_fn(|x| (above[x] + left - corner[x]).clamp(0, 255) as u8)
            })
        }
        SubMode::Vertical => [four(&means_of_three(edge), 4); 4],
        SubMode::Horizontal => {
            let three = means_of_three(edge);
            // The lowest sample counts twice for the last row.
            let last = ((u16::from(edge[1]) + 3 * u16::from(edge[0]) + 2) >> 2) as u8;
            [[three[2]; 4], [three[1]; 4], [three[0]; 4], [last; 4]]
        }
        SubMode::LeftDown => {
            let three = means_of_three(edge);
            [four(&three, 5), four(&three, 6), four(&three, 7), four(&three, 8)]
        }
        SubMode::RightDown => {
            let three = means_of_three(edge);
            [four(&three, 3), four(&three, 2), four(&three, 1), four(&three, 0)]
        }
        SubMode::VerticalRight => {
            let (two, three) = (means_of_two(edge), means_of_three(edge));
            let (first, second) = (four(&two, 4), four(&three, 3));
            let shifted = |sample, [a, b, c, _]: [u8; 4]| [sample, a, b, c];
            [first, second, shifted(three[2], first), shifted(three[1], second)]
        }
        SubMode::VerticalLeft => {
            let (two, three) = (means_of_two(edge), means_of_three(edge));
            let (mut third, mut fourth) = (four(&two, 6), four(&three, 6));
            (third[3], fourth[3]) = (three[9], three[10]);
            [four(&two, 5), four(&three, 5), third, fourth]
        }
        SubMode::HorizontalDown => {
            let (two, three) = (means_of_two(edge), means_of_three(edge));
            let pairs = [two[0], three[0], two[1], three[1], two[2], three[2], two[3], three[3], three[4], three[5]];
            std::array::from_fn(|y| *pairs[6 - 2 * y..].first_chunk().unwrap_or(&[0; 4]))
        }
        SubMode::HorizontalUp => {
            let (two, three) = (means_of_two(edge), means_of_three(edge));
            let lowest = edge[0];
            let last = ((u16::from(edge[1]) + 3 * u16::from(lowest) + 2) >> 2) as u8;
            let pairs = [two[2], three[1], two[1], three[0], two[0], last, lowest, lowest, lowest, lowest];
            std::array::from_fn(|y| *pairs[2 * y..].first_chunk().unwrap_or(&[lowest; 4]))
        }
    }
}

/// The rounded mean of each sample and the next.
#[inline(always)]
fn means_of_two(edge: &[u8; 16]) -> [u8; 16] {
    let mut next = [0; 16];
    next[..15].copy_from_slice(&edge[1..]);
    std::array::from_fn(|i| ((u16::from(edge[i]) + u16::from(next[i]) + 1) >> 1) as u8)
}

/// The rounded mean of each sample, twice the next, and the one after that.
#[inline(always)]
fn means_of_three(edge: &[u8; 16]) -> [u8; 16] {
    let (mut next, mut after) = ([0; 16], [0; 16]);
    next[..15].copy_from_slice(&edge[1..]);
    after[..14].copy_from_slice(&edge[2..]);
    std::array::from_fn(|i| ((u16::from(edge[i]) + 2 * u16::from(next[i]) + u16::from(after[i]) + 2) >> 2) as u8)
}
