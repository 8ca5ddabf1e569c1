//! The engine: JPEG bytes in, thumbnails out.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest side of a thumbnail, in pixels.
pub const MAX_SIDE_PX: u32 = 8_192;
pub const DEFAULT_QUALITY: u8 = 80;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Size {
    pub width: u32,
    pub height: u32,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

impl FromStr for Size {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let side = |s: &str| s.parse().ok().filter(|n| (1..=MAX_SIDE_PX).contains(n));
        text.split_once('x')
            .and_then(|(w, h)| Some(Self { width: side(w)?, height: side(h)? }))
            .ok_or_else(|| "is not a size".to_owned())
    }
}

/// Checked from the header, before any pixel is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub max_source_bytes: usize,
    pub max_source_pixels: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_source_bytes: 64 << 20, max_source_pixels: 100_000_000 }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    #[default]
    Cover,
    Contain,
    Fill,
}

impl fmt::Display for Fit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cover => "cover",
            Self::Contain => "contain",
            Self::Fill => "fill",
        })
    }
}

impl FromStr for Fit {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Cover, Self::Contain, Self::Fill]
            .into_iter()
            .find(|fit| fit.to_string() == text)
            .ok_or_else(|| "is not one of cover, contain, fill".to_owned())
    }
}
