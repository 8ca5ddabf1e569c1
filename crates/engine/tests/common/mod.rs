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
