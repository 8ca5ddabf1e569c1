//! The filter that smooths the edges of blocks (RFC 6386, section 15), on sixteen places of an edge at a time.

use wide::bytemuck::cast;
use wide::{i8x16, i16x8, i16x16, u8x16};

use super::tile::Tile;

/// How strongly a macroblock is filtered (section 15.2 and 15.3).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Strength {
    /// 0: not at all.
    level: u8,
    /// The most that neighbouring samples on the same side of an edge may differ.
    interior: u8,
    /// What is more than that is a high variance.
    high_variance: u8,
}

impl Strength {
    /// `level`: 0 to 63.
    pub fn new(level: u8, sharpness: u8) -> Self {
        let interior = match sharpness {
            0 => level,
            1..=4 => (level / 2).min(9 - sharpness),
            _ => (level / 4).min(9 - sharpness),
        };
        let high_variance = match level {
            40.. => 2,
            15.. => 1,
            _ => 0,
        };
        Self { level, interior: interior.max(1), high_variance }
    }

    /// The limits for the edges of the macroblock, or for those between its subblocks.
    fn limits(self, outer: bool) -> Limits {
        // At most 2 * 63 + 63 + 4.
        let edge = 2 * self.level + self.interior + if outer { 4 } else { 0 };
        let [edge, interior, high_variance] = [edge, self.interior, self.high_variance].map(u8x16::splat);
        Limits { edge, interior, high_variance }
    }
}

#[derive(Clone, Copy)]
struct Limits {
    edge: u8x16,
    interior: u8x16,
    high_variance: u8x16,
}

/// The macroblocks beside and above, where they are in the picture.
pub(super) struct Neighbours<'a> {
    pub left: Option<&'a mut Tile>,
    pub above: Option<&'a mut Tile>,
}

/// Filters the edges of a macroblock with the normal filter. `inner`: also those between its subblocks.
pub(super) fn normal(tile: &mut Tile, neighbours: Neighbours, strength: Strength, inner: bool) {
    if strength.level == 0 {
        return;
    }
    let (outer_limits, inner_limits) = (strength.limits(true), strength.limits(false));
    if let Some(left) = neighbours.left {
        normal_left(tile, left, &outer_limits, inner.then_some(&inner_limits));
    } else if inner {
        let mut columns = transposed(rows_of(&tile.luma));
        inner_edges(&mut columns, &inner_limits);
        tile.luma = cast(transposed(columns));
        let mut columns = chroma_columns(&tile.chroma);
        inner_chroma_edge(&mut columns, &inner_limits);
        tile.chroma = chroma_rows(columns);
    }
    if let Some(above) = neighbours.above {
        outer_edge(&mut above.luma, &mut tile.luma, &outer_limits);
        outer_edge(&mut above.chroma, &mut tile.chroma, &outer_limits);
    }
    if inner {
        let mut rows = rows_of(&tile.luma);
        inner_edges(&mut rows, &inner_limits);
        tile.luma = cast(rows);
        let mut rows = tile.chroma.map(u8x16::new);
        inner_chroma_edge(&mut rows, &inner_limits);
        tile.chroma = cast(rows);
    }
}

/// The edge to the macroblock on the left, and with `inner` also those within.
fn normal_left(tile: &mut Tile, left: &mut Tile, outer: &Limits, inner: Option<&Limits>) {
    let mut before = last_columns(&left.luma);
    let mut chroma_before = last_chroma_columns(&left.chroma);
    if let Some(inner) = inner {
        let mut columns = transposed(rows_of(&tile.luma));
        macroblock_edge(&mut before, &mut columns, outer);
        inner_edges(&mut columns, inner);
        tile.luma = cast(transposed(columns));
        let mut columns = chroma_columns(&tile.chroma);
        macroblock_edge(&mut chroma_before, &mut columns, outer);
        inner_chroma_edge(&mut columns, inner);
        tile.chroma = chroma_rows(columns);
    } else {
        let mut columns = first_columns(&tile.luma);
        macroblock_edge(&mut before, &mut columns, outer);
        set_first_columns(&mut tile.luma, columns);
        let mut columns = chroma_columns(&tile.chroma);
        macroblock_edge(&mut chroma_before, &mut columns, outer);
        tile.chroma = chroma_rows(columns);
    }
    set_last_columns(&mut left.luma, before);
    set_last_chroma_columns(&mut left.chroma, chroma_before);
}

/// The edge between two macroblocks one above the other.
fn outer_edge<const N: usize>(above: &mut [[u8; 16]; N], below: &mut [[u8; 16]; N], limits: &Limits) {
    let (Some(above), Some(below)) = (above.last_chunk_mut::<4>(), below.first_chunk_mut::<4>()) else { return };
    let (mut before, mut after) = (above.map(u8x16::new), below.map(u8x16::new));
    macroblock_edge(&mut before, &mut after, limits);
    (*above, *below) = (cast(before), cast(after));
}

/// Filters the edge between the last four lines before and the first four after it.
#[inline(always)]
fn macroblock_edge<const N: usize>(before: &mut [u8x16; 4], after: &mut [u8x16; N], limits: &Limits) {
    let [p3, p2, p1, p0] = *before;
    let [q0, q1, q2, q3] = [after[0], after[1], after[2], after[3]];
    let ([p2, p1, p0], [q0, q1, q2]) = strong([p3, p2, p1, p0], [q0, q1, q2, q3], limits);
    (before[1], before[2], before[3]) = (p2, p1, p0);
    (after[0], after[1], after[2]) = (q0, q1, q2);
}

/// Filters the three edges between the subblocks.
#[inline(always)]
fn inner_edges(lines: &mut [u8x16; 16], limits: &Limits) {
    for at in [4, 8, 12] {
        inner_edge(lines, at, limits);
    }
}

#[inline(always)]
fn inner_chroma_edge(lines: &mut [u8x16; 8], limits: &Limits) {
    inner_edge(lines, 4, limits);
}

#[inline(always)]
fn inner_edge<const N: usize>(lines: &mut [u8x16; N], at: usize, limits: &Limits) {
    let before = std::array::from_fn(|i| lines[at - 4 + i]);
    let after = std::array::from_fn(|i| lines[at + i]);
    let ([p1, p0], [q0, q1]) = weak(before, after, limits);
    (lines[at - 2], lines[at - 1], lines[at], lines[at + 1]) = (p1, p0, q0, q1);
}

/// Filters the edges of a macroblock's luma with the simple filter; chroma is not filtered.
pub(super) fn simple(tile: &mut Tile, neighbours: Neighbours, strength: Strength, inner: bool) {
    if strength.level == 0 {
        return;
    }
    let (outer_limit, inner_limit) = (strength.limits(true).edge, strength.limits(false).edge);
    let mut columns = transposed(rows_of(&tile.luma));
    if let Some(left) = neighbours.left {
        let mut before = last_columns(&left.luma);
        let [_, _, p1, p0] = before;
        (before[3], columns[0]) = plain(p1, p0, columns[0], columns[1], outer_limit);
        set_last_columns(&mut left.luma, before);
    }
    if inner {
        plain_inner_edges(&mut columns, inner_limit);
    }
    let mut rows = transposed(columns);
    if let Some(above) = neighbours.above {
        let [p1, p0] = [above.luma[14], above.luma[15]].map(u8x16::new);
        let (p0, q0) = plain(p1, p0, rows[0], rows[1], outer_limit);
        above.luma[15] = p0.to_array();
        rows[0] = q0;
    }
    if inner {
        plain_inner_edges(&mut rows, inner_limit);
    }
    tile.luma = cast(rows);
}

fn plain_inner_edges(lines: &mut [u8x16; 16], limit: u8x16) {
    for at in [4, 8, 12] {
        (lines[at - 1], lines[at]) = plain(lines[at - 2], lines[at - 1], lines[at], lines[at + 1], limit);
    }
}

// The filters themselves. Samples p lie before the edge and samples q after it, each counted away from it.

/// The simple filter.
#[inline(always)]
fn plain(p1: u8x16, p0: u8x16, q0: u8x16, q1: u8x16, limit: u8x16) -> (u8x16, u8x16) {
    let mask = edge_is_flat([p1, p0], [q0, q1], limit);
    let [p1, p0, q0, q1] = [p1, p0, q0, q1].map(signed);
    let step = masked(three_times(p1.saturating_sub(q1), p0, q0), mask);
    let (p0, q0, _) = adjust(p0, q0, step);
    (unsigned(p0), unsigned(q0))
}

/// The normal filter on edges between subblocks: changes two samples on each side.
#[inline(always)]
fn weak(p: [u8x16; 4], q: [u8x16; 4], limits: &Limits) -> ([u8x16; 2], [u8x16; 2]) {
    let mask = is_flat(p, q, limits);
    let high = has_high_variance(p, q, limits);
    let [_, _, p1, p0] = p.map(signed);
    let [q0, q1, _, _] = q.map(signed);
    let step = masked(three_times(masked(p1.saturating_sub(q1), high), p0, q0), mask);
    let (p0, q0, adjustment) = adjust(p0, q0, step);
    // Half of it, rounded, for the samples further away, where the variance is low.
    let half = shifted_right::<1>(adjustment + i8x16::splat(1));
    let half = masked(half, !high);
    let (p1, q1) = (p1.saturating_add(half), q1.saturating_sub(half));
    ([unsigned(p1), unsigned(p0)], [unsigned(q0), unsigned(q1)])
}

/// The normal filter on edges between macroblocks: changes three samples on each side.
#[inline(always)]
fn strong(p: [u8x16; 4], q: [u8x16; 4], limits: &Limits) -> ([u8x16; 3], [u8x16; 3]) {
    let mask = is_flat(p, q, limits);
    let high = has_high_variance(p, q, limits);
    let [_, p2, p1, p0] = p.map(signed);
    let [q0, q1, q2, _] = q.map(signed);
    let step = masked(three_times(p1.saturating_sub(q1), p0, q0), mask);
    let (p0, q0, _) = adjust(p0, q0, masked(step, high));
    let step = masked(step, !high);
    // 9, 18 and 27 of 128 parts of the step. The words hold the step 256 times.
    let zero = u8x16::ZERO;
    let words: [i16x8; 2] = [cast(u8x16::unpack_low(zero, cast(step))), cast(u8x16::unpack_high(zero, cast(step)))];
    let nine = words.map(|word| word.mul_keep_high(i16x8::splat(9 << 8)));
    let mut sum = nine.map(|nine| nine + i16x8::splat(63));
    let mut next = || {
        let part: i16x16 = cast(sum.map(|sum| sum >> 7));
        sum = [sum[0] + nine[0], sum[1] + nine[1]];
        i8x16::from_i16x16_saturate(part)
    };
    let (small, medium, large) = (next(), next(), next());
    (
        [(p2, small), (p1, medium), (p0, large)].map(|(sample, part)| unsigned(sample.saturating_add(part))),
        [(q0, large), (q1, medium), (q2, small)].map(|(sample, part)| unsigned(sample.saturating_sub(part))),
    )
}

/// `start` and three times the difference across the edge, saturated.
#[inline(always)]
fn three_times(start: i8x16, p0: i8x16, q0: i8x16) -> i8x16 {
    let difference = q0.saturating_sub(p0);
    start.saturating_add(difference).saturating_add(difference).saturating_add(difference)
}

/// Moves the samples at the edge towards each other by an eighth of `step`; and by how much the one after it was.
#[inline(always)]
fn adjust(p0: i8x16, q0: i8x16, step: i8x16) -> (i8x16, i8x16, i8x16) {
    let after = shifted_right::<3>(step.saturating_add(i8x16::splat(4)));
    let before = shifted_right::<3>(step.saturating_add(i8x16::splat(3)));
    (p0.saturating_add(before), q0.saturating_sub(after), after)
}

/// Whether the step across the edge is small enough to be the coder's.
#[inline(always)]
fn edge_is_flat(p: [u8x16; 2], q: [u8x16; 2], limit: u8x16) -> u8x16 {
    let [p1, p0] = p;
    let [q0, q1] = q;
    let (near, far) = (difference(p0, q0), difference(p1, q1));
    none(near.saturating_add(near).saturating_add(far >> 1).saturating_sub(limit))
}

/// Whether also the samples on both sides are.
#[inline(always)]
fn is_flat(p: [u8x16; 4], q: [u8x16; 4], limits: &Limits) -> u8x16 {
    let steps = [(p[0], p[1]), (p[1], p[2]), (p[2], p[3]), (q[0], q[1]), (q[1], q[2]), (q[2], q[3])];
    let most = steps.into_iter().map(|(a, b)| difference(a, b)).fold(u8x16::ZERO, u8x16::max);
    edge_is_flat([p[2], p[3]], [q[0], q[1]], limits.edge) & none(most.saturating_sub(limits.interior))
}

#[inline(always)]
fn has_high_variance(p: [u8x16; 4], q: [u8x16; 4], limits: &Limits) -> u8x16 {
    let most = difference(p[2], p[3]).max(difference(q[0], q[1]));
    !none(most.saturating_sub(limits.high_variance))
}

#[inline(always)]
fn difference(a: u8x16, b: u8x16) -> u8x16 {
    a.saturating_sub(b) | b.saturating_sub(a)
}

/// All ones where a number is 0.
#[inline(always)]
fn none(numbers: u8x16) -> u8x16 {
    numbers.simd_eq(u8x16::ZERO)
}

#[inline(always)]
fn masked(numbers: i8x16, mask: u8x16) -> i8x16 {
    let mask: i8x16 = cast(mask);
    numbers & mask
}

#[inline(always)]
fn signed(samples: u8x16) -> i8x16 {
    cast(samples ^ u8x16::splat(0x80))
}

#[inline(always)]
fn unsigned(samples: i8x16) -> u8x16 {
    let samples: u8x16 = cast(samples);
    samples ^ u8x16::splat(0x80)
}

/// Divided by a power of 2, rounded down. There is no such instruction for bytes, but for words without signs, and 128 is
/// divisible.
#[inline(always)]
fn shifted_right<const BITS: u32>(numbers: i8x16) -> i8x16 {
    let shifted: i8x16 = cast(unsigned(numbers) >> BITS);
    shifted - i8x16::splat(1 << (7 - BITS))
}

// Transpositions. The bits of a sample's address, those of its row and those of its column, are rotated: each round of
// interleaving the first half of the vectors with the second rotates them by one.

#[inline(always)]
fn rotated<const N: usize>(vectors: [u8x16; N]) -> [u8x16; N] {
    std::array::from_fn(|i| {
        let (first, second) = (vectors[i / 2], vectors[i / 2 + N / 2]);
        if i % 2 == 0 { u8x16::unpack_low(first, second) } else { u8x16::unpack_high(first, second) }
    })
}

#[inline(always)]
fn rows_of(luma: &[[u8; 16]; 16]) -> [u8x16; 16] {
    luma.map(u8x16::new)
}

#[inline(always)]
fn transposed(rows: [u8x16; 16]) -> [u8x16; 16] {
    rotated(rotated(rotated(rotated(rows))))
}

/// Four columns of 16 rows, of rows of four samples; and back.
#[inline(always)]
fn columns_of_fours(rows: [[u8; 4]; 16]) -> [u8x16; 4] {
    rotated(rotated(rotated(rotated(cast(rows)))))
}

#[inline(always)]
fn fours_of_columns(columns: [u8x16; 4]) -> [[u8; 4]; 16] {
    cast(rotated(rotated(columns)))
}

#[inline(always)]
fn last_columns(luma: &[[u8; 16]; 16]) -> [u8x16; 4] {
    columns_of_fours(luma.map(|row| [row[12], row[13], row[14], row[15]]))
}

#[inline(always)]
fn set_last_columns(luma: &mut [[u8; 16]; 16], columns: [u8x16; 4]) {
    for (row, last) in luma.iter_mut().zip(fours_of_columns(columns)) {
        row[12..].copy_from_slice(&last);
    }
}

#[inline(always)]
fn first_columns(luma: &[[u8; 16]; 16]) -> [u8x16; 4] {
    columns_of_fours(luma.map(|row| [row[0], row[1], row[2], row[3]]))
}

#[inline(always)]
fn set_first_columns(luma: &mut [[u8; 16]; 16], columns: [u8x16; 4]) {
    for (row, first) in luma.iter_mut().zip(fours_of_columns(columns)) {
        row[..4].copy_from_slice(&first);
    }
}

/// The eight columns of both chroma blocks: of each the rows of U, then those of V.
#[inline(always)]
fn chroma_columns(chroma: &[[u8; 16]; 8]) -> [u8x16; 8] {
    let halves: [[u64; 2]; 8] = chroma.map(cast);
    let u = std::array::from_fn::<_, 4, _>(|i| cast([halves[2 * i][0], halves[2 * i + 1][0]]));
    let v = std::array::from_fn::<_, 4, _>(|i| cast([halves[2 * i][1], halves[2 * i + 1][1]]));
    let [[a, b, c, d], [e, f, g, h]] = [u, v];
    rotated(rotated(rotated(rotated([a, b, c, d, e, f, g, h]))))
}

#[inline(always)]
fn chroma_rows(columns: [u8x16; 8]) -> [[u8; 16]; 8] {
    let halves: [[u64; 2]; 8] = rotated(rotated(rotated(columns))).map(cast);
    std::array::from_fn(|y| cast([halves[y / 2][y % 2], halves[4 + y / 2][y % 2]]))
}

#[inline(always)]
fn last_chroma_columns(chroma: &[[u8; 16]; 8]) -> [u8x16; 4] {
    let row = |y: usize, at: usize| [chroma[y][at], chroma[y][at + 1], chroma[y][at + 2], chroma[y][at + 3]];
    columns_of_fours(std::array::from_fn(|y| row(y % 8, if y < 8 { 4 } else { 12 })))
}

#[inline(always)]
fn set_last_chroma_columns(chroma: &mut [[u8; 16]; 8], columns: [u8x16; 4]) {
    let rows = fours_of_columns(columns);
    for (y, row) in chroma.iter_mut().enumerate() {
        row[4..8].copy_from_slice(&rows[y]);
        row[12..].copy_from_slice(&rows[8 + y]);
    }
}
