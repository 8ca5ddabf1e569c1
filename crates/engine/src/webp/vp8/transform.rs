//! The inverse transforms (RFC 6386, section 14), of eight blocks at a time.

use wide::bytemuck::cast;
use wide::{i16x8, u8x16};

/// The dequantised coefficients of a macroblock: of each place in a block, row by row, those of all blocks.
///
/// So the first step of the transform needs no transposition: a vector holds the same coefficient of eight blocks.
#[derive(Clone, Debug, Default)]
pub(super) struct Coefficients {
    pub luma: [[i16; 16]; 16],
    /// Four blocks of U, four of V.
    pub chroma: [[i16; 8]; 16],
}

/// What is added to the prediction: rows of samples.
pub(super) type Luma = [[i16; 16]; 16];
/// Rows of eight samples of U, and eight of V.
pub(super) type Chroma = [[i16; 16]; 8];

/// The DC coefficients of the luma blocks, of the coefficients of the block that they form.
pub(super) fn walsh_hadamard(block: &[i16; 16]) -> [i16; 16] {
    let mut columns = [0_i32; 16];
    for i in 0..4 {
        let [a, b, c, d] = [0, 4, 8, 12].map(|row| i32::from(block[row + i]));
        let sums = [a + d, b + c, b - c, a - d];
        columns[i] = sums[0] + sums[1];
        columns[4 + i] = sums[3] + sums[2];
        columns[8 + i] = sums[0] - sums[1];
        columns[12 + i] = sums[3] - sums[2];
    }
    let mut out = [0; 16];
    for (row, out) in columns.as_chunks::<4>().0.iter().zip(out.as_chunks_mut::<4>().0) {
        let [a, b, c, d] = *row;
        let a = a + 3;
        let sums = [a + d, b + c, b - c, a - d];
        *out =
            [sums[0] + sums[1], sums[3] + sums[2], sums[0] - sums[1], sums[3] - sums[2]].map(|sum| (sum >> 3) as i16);
    }
    out
}

/// The residue of the luma blocks. `end`: the last place that has a coefficient other than 0, plus one.
pub(super) fn luma(coefficients: &[[i16; 16]; 16], end: usize, out: &mut Luma) {
    if end <= 1 {
        for (rows, dc) in out.as_chunks_mut::<4>().0.iter_mut().zip(coefficients[0].as_chunks::<4>().0) {
            let row = dc.map(|dc| [(dc.wrapping_add(4)) >> 3; 4]);
            rows.fill(cast(row));
        }
        return;
    }
    for (half, rows) in out.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let blocks: [i16x8; 16] = std::array::from_fn(|place| {
            let both: [[i16; 8]; 2] = cast(coefficients[place]);
            i16x8::new(both[half])
        });
        let columns = inverse(&blocks);
        for y in 0..4 {
            let [first, second, third, fourth] = interleave(&columns[4 * y..][..4]);
            rows[y] = cast([first, second]);
            rows[4 + y] = cast([third, fourth]);
        }
    }
}

/// The residue of the chroma blocks, likewise.
pub(super) fn chroma(coefficients: &[[i16; 8]; 16], end: usize, out: &mut Chroma) {
    if end <= 1 {
        let [u, v]: [[i16; 4]; 2] = cast(coefficients[0].map(|dc| (dc.wrapping_add(4)) >> 3));
        for (half, rows) in out.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            let blocks = [u[2 * half], u[2 * half + 1], v[2 * half], v[2 * half + 1]];
            rows.fill(cast(blocks.map(|value| [value; 4])));
        }
        return;
    }
    let columns = inverse(&coefficients.map(i16x8::new));
    for y in 0..4 {
        let [first_u, second_u, first_v, second_v] = interleave(&columns[4 * y..][..4]);
        out[y] = cast([first_u, first_v]);
        out[4 + y] = cast([second_u, second_v]);
    }
}

/// The samples of eight blocks, of each place in a block those of all. Down the columns first, then along the rows: the
/// roundings of section 14.3 depend on that.
#[inline(always)]
fn inverse(blocks: &[i16x8; 16]) -> [i16x8; 16] {
    let mut columns = [i16x8::ZERO; 16];
    for x in 0..4 {
        let [a, b, c, d] = butterfly([blocks[x], blocks[4 + x], blocks[8 + x], blocks[12 + x]]);
        (columns[x], columns[4 + x], columns[8 + x], columns[12 + x]) = (a, b, c, d);
    }
    let mut samples = [i16x8::ZERO; 16];
    let rounding = i16x8::splat(4);
    for y in 0..4 {
        let row = &columns[4 * y..][..4];
        let row = butterfly([row[0] + rounding, row[1], row[2], row[3]]);
        for (sample, sum) in samples[4 * y..].iter_mut().zip(row) {
            *sample = sum >> 3;
        }
    }
    samples
}

/// One dimension of the transform.
#[inline(always)]
fn butterfly([a, b, c, d]: [i16x8; 4]) -> [i16x8; 4] {
    // sqrt(2) * cos(pi / 8) is 1 and 20091 / 65536, sqrt(2) * sin(pi / 8) is 35468 / 65536: more than a 16-bit number can
    // be, so less 1, and the factor is added.
    let by_cosine = |x: i16x8| x.mul_keep_high(i16x8::splat(20091)) + x;
    let by_sine = |x: i16x8| x.mul_keep_high(i16x8::splat((35468 - 65536) as i16)) + x;
    let (even, odd) = (a + c, a - c);
    let (first, second) = (by_cosine(b) + by_sine(d), by_sine(b) - by_cosine(d));
    [even + first, odd + second, odd - second, even - first]
}

/// Of four columns of eight blocks each, the rows of the blocks: two blocks in each vector.
#[inline(always)]
fn interleave(columns: &[i16x8]) -> [i16x8; 4] {
    let [a, b, c, d] = [columns[0], columns[1], columns[2], columns[3]];
    let (ab_low, ab_high) = zip_words(a, b);
    let (cd_low, cd_high) = zip_words(c, d);
    let (first, second) = zip_double_words(ab_low, cd_low);
    let (third, fourth) = zip_double_words(ab_high, cd_high);
    [first, second, third, fourth]
}

#[inline(always)]
fn zip_words(a: i16x8, b: i16x8) -> (i16x8, i16x8) {
    let ([a0, a1, a2, a3, a4, a5, a6, a7], [b0, b1, b2, b3, b4, b5, b6, b7]) = (a.to_array(), b.to_array());
    (i16x8::new([a0, b0, a1, b1, a2, b2, a3, b3]), i16x8::new([a4, b4, a5, b5, a6, b6, a7, b7]))
}

#[inline(always)]
fn zip_double_words(a: i16x8, b: i16x8) -> (i16x8, i16x8) {
    let ([a0, a1, a2, a3], [b0, b1, b2, b3]): ([i32; 4], [i32; 4]) = (cast(a), cast(b));
    (cast([a0, b0, a1, b1]), cast([a2, b2, a3, b3]))
}

/// The sum of a row of predicted samples and its residue, within 0 to 255.
#[inline(always)]
pub(super) fn add(prediction: u8x16, residue: &[i16; 16]) -> u8x16 {
    let residue: [i16x8; 2] = cast(*residue);
    u8x16::narrow_i16x8(i16x8::from_u8x16_low(prediction) + residue[0], i16x8::from_u8x16_high(prediction) + residue[1])
}
