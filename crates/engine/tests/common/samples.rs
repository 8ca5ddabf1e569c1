//! Samples of pictures whose memory is counted.

/// Noise, which makes the largest files and needs the most codes, or stripes: an almost empty picture.
pub fn samples(length: usize, noise: bool) -> Vec<u8> {
    let mut seed = 1_u32;
    (0..length)
        .map(|i| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if noise { (seed >> 24) as u8 } else { (i / 97 % 200) as u8 }
        })
        .collect()
}
