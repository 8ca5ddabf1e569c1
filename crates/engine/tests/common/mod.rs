//! Shared by several test binaries.

/// A printer's profile with a table of 16 steps per axis, the usual size (ICC.1:2001-04, 6.5.8).
pub fn printer() -> Vec<u8> {
    let mut tag = b"mft1\0\0\0\0\x04\x03\x10\0".to_vec();
    for (i, j) in (0..3).flat_map(|i| (0..3).map(move |j| (i, j))) {
        tag.extend((if i == j { 1_u32 << 16 } else { 0 }).to_be_bytes());
    }
    (0..4).for_each(|_| tag.extend(0..=255));
    for corner in 0..1_u32 << 16 {
        let ink = |shift: u32| corner >> shift & 15;
        let light = (255 - 3 * (ink(12) + ink(8) + ink(4))) * (16 - ink(0)) / 16;
        tag.extend([light as u8, 128 + ink(12) as u8, 128 - ink(4) as u8]);
    }
    (0..3).for_each(|_| tag.extend(0..=255));
    let mut profile = vec![0; 128];
    profile[0..4].copy_from_slice(&(128 + 4 + 12 + tag.len() as u32).to_be_bytes());
    profile[8..12].copy_from_slice(&[2, 0x20, 0, 0]);
    profile[12..40].copy_from_slice(b"prtrCMYKLab \x07\xd0\0\x01\0\x01\0\0\0\0\0\0acsp");
    profile[68..80].copy_from_slice(&[0, 0, 0xf6, 0xd6, 0, 1, 0, 0, 0, 0, 0xd3, 0x2d]);
    profile.extend([0, 0, 0, 1]);
    profile.extend(b"A2B0\0\0\0\x90");
    profile.extend((tag.len() as u32).to_be_bytes());
    profile.extend(tag);
    profile
}

/// A chunk of a PNG, with its length and its checksum.
pub fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(kind);
    hasher.update(data);
    [&(data.len() as u32).to_be_bytes(), kind.as_slice(), data, &hasher.finalize().to_be_bytes()].concat()
}

/// A PNG of the colour type `code` with the chunks `more`, whose rows, filtered in all ways, are `row(bytes)`.
pub fn png(
    (width, height): (usize, usize),
    code: u8,
    depth: u8,
    interlaced: bool,
    more: &[u8],
    mut row: impl FnMut(usize) -> Vec<u8>,
) -> Vec<u8> {
    let bits = [1, 0, 3, 1, 2, 0, 4][usize::from(code)] * usize::from(depth);
    let passes: &[(usize, usize, usize, usize)] = if interlaced {
        &[(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    } else {
        &[(0, 0, 1, 1)]
    };
    let mut rows = Vec::new();
    for &(left, top, step_x, step_y) in passes {
        let columns = width.saturating_sub(left).div_ceil(step_x);
        for y in (top..height).step_by(step_y).filter(|_| columns > 0) {
            rows.push((y % 5) as u8);
            rows.extend(row((columns * bits).div_ceil(8)));
        }
    }
    let sides = [(width as u32).to_be_bytes(), (height as u32).to_be_bytes()].concat();
    png_of(&[&sides[..], &[depth, code, 0, 0, interlaced.into()]].concat(), more, &fdeflate::compress_to_vec(&rows))
}

/// A PNG of its header, the chunks `more`, and its compressed data.
pub fn png_of(header: &[u8], more: &[u8], data: &[u8]) -> Vec<u8> {
    let colours: Vec<u8> =
        (0..3_u32 << header[8].min(8)).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let palette = if header[9] == 3 { chunk(b"PLTE", &colours) } else { Vec::new() };
    let (header, data) = (chunk(b"IHDR", header), chunk(b"IDAT", data));
    [b"\x89PNG\r\n\x1a\n", &header[..], &palette, more, &data, &chunk(b"IEND", &[])].concat()
}
