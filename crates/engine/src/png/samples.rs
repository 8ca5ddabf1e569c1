//! How a row's bytes become pixels of 8-bit channels: indices, few bits, 16 bits, and one colour that is transparent.

use crate::pixels::colour::Colour;
use crate::pixels::indexed::Palette;

/// What the samples of a pixel are (PNG, third edition, table 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ColourType {
    Grey,
    Rgb,
    Palette,
    GreyAlpha,
    Rgba,
}

impl ColourType {
    /// From the header's byte, if it may have samples of so many bits.
    pub fn new(code: u8, depth: u8) -> Option<Self> {
        let (colour_type, depths): (_, &[u8]) = match code {
            0 => (Self::Grey, &[1, 2, 4, 8, 16]),
            2 => (Self::Rgb, &[8, 16]),
            3 => (Self::Palette, &[1, 2, 4, 8]),
            4 => (Self::GreyAlpha, &[8, 16]),
            6 => (Self::Rgba, &[8, 16]),
            _ => return None,
        };
        depths.contains(&depth).then_some(colour_type)
    }

    /// Samples of a pixel as stored.
    pub fn channels(self) -> usize {
        match self {
            Self::Grey | Self::Palette => 1,
            Self::GreyAlpha => 2,
            Self::Rgb => 3,
            Self::Rgba => 4,
        }
    }

    fn has_alpha(self) -> bool {
        matches!(self, Self::GreyAlpha | Self::Rgba)
    }

    fn is_grey(self) -> bool {
        matches!(self, Self::Grey | Self::GreyAlpha)
    }
}

/// What the bytes of a row are.
pub(super) enum Samples {
    /// Indices of so many bits into a palette; grey samples of up to 8 bits can be seen as such, too.
    Indices { palette: Palette, depth: u8 },
    /// Samples of 8 bits.
    Bytes { colour_type: ColourType },
    /// Red, green and blue of 8 bits, of which one colour is transparent.
    BytesButOne { transparent: [u8; 3] },
    /// Samples of 16 bits, of which one colour may be transparent.
    Words { colour_type: ColourType, transparent: Option<Vec<u8>> },
}

impl Samples {
    /// Of a picture in grey: `transparent` is the sample that cannot be seen.
    pub fn grey(depth: u8, transparent: Option<[u8; 2]>) -> Self {
        let words = || Self::Words { colour_type: ColourType::Grey, transparent: transparent.map(|key| key.to_vec()) };
        match (depth, transparent) {
            (16, _) => words(),
            (8, None) => Self::Bytes { colour_type: ColourType::Grey },
            _ => {
                let most = 255_u8 >> (8 - depth);
                // Bits above the depth do not count (clause 11.3.2.1).
                let transparent = transparent.map(|[_, low]| low & most);
                let rgba = |index: usize| {
                    let sample = index as u8 & most;
                    let grey = sample * (255 / most);
                    [grey, grey, grey, if transparent == Some(sample) { 0 } else { 255 }]
                };
                let palette = Palette::new(&std::array::from_fn(rgba), transparent.is_some(), true);
                Self::Indices { palette, depth }
            }
        }
    }

    /// Of a picture in red, green and blue: `transparent` is the colour that cannot be seen.
    pub fn rgb(depth: u8, transparent: Option<[u8; 6]>) -> Self {
        let colour_type = ColourType::Rgb;
        match (depth, transparent) {
            (16, transparent) => Self::Words { colour_type, transparent: transparent.map(|key| key.to_vec()) },
            (_, None) => Self::Bytes { colour_type },
            (_, Some([_, r, _, g, _, b])) => Self::BytesButOne { transparent: [r, g, b] },
        }
    }

    pub fn colour(&self) -> Colour {
        match self {
            Self::Indices { palette, .. } => palette.colour,
            Self::BytesButOne { .. } => Colour::Rgb,
            Self::Bytes { colour_type } | Self::Words { colour_type, .. } => {
                if colour_type.is_grey() {
                    Colour::Grey
                } else {
                    Colour::Rgb
                }
            }
        }
    }

    /// Whether there is a channel of opacity.
    pub fn alpha(&self) -> bool {
        match self {
            Self::Indices { palette, .. } => palette.alpha,
            Self::Bytes { colour_type } => colour_type.has_alpha(),
            Self::BytesButOne { .. } => true,
            Self::Words { colour_type, transparent } => colour_type.has_alpha() || transparent.is_some(),
        }
    }

    /// Channels of a pixel, opacity among them.
    pub fn channels(&self) -> usize {
        self.colour().components() + usize::from(self.alpha())
    }

    /// Whether colours are not yet multiplied by their opacity when they have been expanded.
    pub fn alpha_is_apart(&self) -> bool {
        self.alpha() && !matches!(self, Self::Indices { .. })
    }

    /// The indices of a row, one a byte, in `buffer` if they are not so stored; `None` if there are none.
    pub fn indices<'a>(&self, row: &'a [u8], pixels: usize, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
        let Self::Indices { depth, .. } = self else { return None };
        if *depth == 8 {
            return Some(&row[..pixels]);
        }
        let depth = usize::from(*depth);
        let (buffer, per_byte) = (&mut buffer[..pixels], 8 / depth);
        for (indices, byte) in buffer.chunks_mut(per_byte).zip(row) {
            for (i, index) in indices.iter_mut().enumerate() {
                *index = byte >> (8 - depth * (i + 1)) & (255 >> (8 - depth));
            }
        }
        Some(buffer)
    }

    /// The first `pixels` pixels of a row as interleaved channels of 8 bits, in `buffer` if they are not so stored.
    pub fn expanded<'a>(&self, row: &'a [u8], pixels: usize, buffer: &'a mut [u8]) -> &'a [u8] {
        let length = pixels * self.channels();
        match self {
            Self::Bytes { .. } => &row[..length],
            Self::Indices { palette, .. } => {
                let (indices, buffer) = buffer.split_at_mut(pixels);
                let buffer = &mut buffer[..length];
                if let Some(indices) = self.indices(row, pixels, indices) {
                    palette.look_up(indices, buffer);
                }
                buffer
            }
            Self::BytesButOne { transparent } => {
                let buffer = &mut buffer[..length];
                for (pixel, rgb) in buffer.chunks_exact_mut(4).zip(row.chunks_exact(3)) {
                    pixel[..3].copy_from_slice(rgb);
                    pixel[3] = if rgb == transparent.as_slice() { 0 } else { 255 };
                }
                buffer
            }
            Self::Words { colour_type, transparent } => {
                let buffer = &mut buffer[..length];
                let stored = colour_type.channels();
                let pixels = buffer.chunks_exact_mut(self.channels()).zip(row.chunks_exact(2 * stored));
                for (pixel, words) in pixels {
                    for (sample, word) in pixel.iter_mut().zip(words.chunks_exact(2)) {
                        *sample = rounded(u16::from_be_bytes([word[0], word[1]]));
                    }
                    if let Some(transparent) = transparent {
                        pixel[stored] = if words == transparent.as_slice() { 0 } else { 255 };
                    }
                }
                buffer
            }
        }
    }

    /// Bytes of the buffer that [`Self::expanded`] and [`Self::indices`] need for so many pixels.
    pub fn buffer_bytes(&self, pixels: usize) -> u64 {
        let bytes = match self {
            Self::Bytes { .. } => 0,
            Self::Indices { .. } => 1 + self.channels(),
            Self::BytesButOne { .. } | Self::Words { .. } => self.channels(),
        };
        pixels as u64 * bytes as u64
    }
}

/// A sample of 16 bits in 8: divided by 257, rounded.
fn rounded(sample: u16) -> u8 {
    ((u32::from(sample) * 255 + 32_895) >> 16) as u8
}
