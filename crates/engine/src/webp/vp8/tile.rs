//! The samples of a macroblock (RFC 6386, 2).

/// 16 by 16 pixels.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tile {
    pub luma: [[u8; 16]; 16],
    /// Of each row eight of U and eight of V.
    pub chroma: [[u8; 16]; 8],
}
