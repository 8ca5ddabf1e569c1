//! What both cosine transforms have in common: the order of frequencies, the weights, and vectors in halves.

use std::f64::consts::PI;

use wide::{i32x4, i32x8};

/// A block's coefficients.
pub(super) const BLOCK: usize = 64;

/// From zigzag place to natural place, row times 8 plus column (T.81, figure A.6).
pub(super) static NATURAL: [u8; BLOCK] = {
    let mut natural = [0; BLOCK];
    let (mut row, mut column, mut place) = (0_i32, 0_i32, 0);
    let mut up = true;
    while place < 64 {
        natural[place] = (row * 8 + column) as u8;
        place += 1;
        if up {
            (row, column) = (row - 1, column + 1);
        } else {
            (row, column) = (row + 1, column - 1);
        }
        // Over an edge: along it instead. At the corners right and down come before left and up.
        if column > 7 {
            (row, column, up) = (row + 2, 7, false);
        } else if row > 7 {
            (row, column, up) = (7, column + 2, true);
        } else if row < 0 {
            (row, up) = (0, false);
        } else if column < 0 {
            (column, up) = (0, true);
        }
    }
    natural
};

/// `[sample][frequency]`: of T.81, A.3.3, one dimension, C(u)/2 cos((2x + 1) u pi / 2N); the same factor for every N, since a
/// block's mean must not depend on it.
pub(super) const fn basis<const N: usize>() -> [[f32; N]; N] {
    let mut basis = [[0.0; N]; N];
    let mut sample = 0;
    while sample < N {
        let mut frequency = 0;
        while frequency < N {
            // 1 / sqrt(8).
            let scale = if frequency == 0 { 0.353_553_390_593_273_8 } else { 0.5 };
            let quarters = ((2 * sample + 1) * frequency) as f64 / N as f64;
            basis[sample][frequency] = (scale * cosine(quarters)) as f32;
            frequency += 1;
        }
        sample += 1;
    }
    basis
}

/// The cosine of some quarters of a turn, 0 or more, to 1e-12: the library's cannot be had at compile time.
const fn cosine(quarters: f64) -> f64 {
    let turned = quarters % 4.0;
    // To the first quarter.
    let (quarters, sign) = if turned <= 1.0 {
        (turned, 1.0)
    } else if turned <= 3.0 {
        let beyond = if turned < 2.0 { 2.0 - turned } else { turned - 2.0 };
        (beyond, -1.0)
    } else {
        (4.0 - turned, 1.0)
    };
    let x = quarters * PI / 2.0;
    let (mut term, mut sum, mut i) = (1.0, 1.0, 0.0);
    while i < 20.0 {
        term *= -x * x / ((i + 1.0) * (i + 2.0));
        sum += term;
        i += 2.0;
    }
    sign * sum
}

/// Lanes 0 to 3, and 4 to 7.
#[inline(always)]
pub(super) fn halves(lanes: i32x8) -> [i32x4; 2] {
    let lanes = lanes.to_array();
    [0, 4].map(|from| i32x4::new(std::array::from_fn(|i| lanes[from + i])))
}

/// The opposite.
#[inline(always)]
pub(super) fn join(low: i32x4, high: i32x4) -> i32x8 {
    let (low, high) = (low.to_array(), high.to_array());
    i32x8::new(std::array::from_fn(|i| if i < 4 { low[i] } else { high[i - 4] }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_zigzag_is_that_of_the_standard() {
        assert_eq!(NATURAL[..16], [0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5]);
        assert_eq!(NATURAL[48..56], [58, 59, 52, 45, 38, 31, 39, 46]);
        let mut seen: Vec<u8> = NATURAL.to_vec();
        seen.sort_unstable();
        assert_eq!(seen, (0..64).collect::<Vec<u8>>());
    }

    #[test]
    fn the_cosine_is_that_of_the_standard_library() {
        for i in 0..=1000 {
            let quarters = f64::from(i) / 37.0;
            assert!((cosine(quarters) - (quarters * PI / 2.0).cos()).abs() < 1e-11, "{quarters}");
        }
    }
}
