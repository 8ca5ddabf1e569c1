//! What a caller asks for: a size, how the picture is fitted to it, which part of it, and how it is coded.

mod position;
mod size;

use crate::error::Error;
use crate::format::Format;
use crate::words::words;
pub use position::{Focus, FocusError, Gravity, Position};
pub use size::{MAX_SIDE_PX, Size, SizeError};

/// Whether the engine was built with WebP's encoder.
pub(crate) const WRITES_WEBP: bool = cfg!(feature = "webp-output");

/// Quality of a thumbnail when none is asked for, on the Independent JPEG Group's scale of 1 to 100.
pub const DEFAULT_QUALITY: u8 = 80;

words! {
    /// How a picture whose shape differs from the thumbnail's is made to fit. Where one side follows from the picture's shape,
    /// cover and fill are the same: the whole picture.
    #[derive(Default)]
    pub enum Fit: "a fit" {
        /// Scaled to cover the size, the rest cropped: exactly the size. The geometry of Pillow's `ImageOps.fit`.
        #[default]
        Cover = "cover",
        /// Scaled to lie inside the size, never enlarged: the whole picture in its own shape.
        Contain = "contain",
        /// Stretched to exactly the size, without keeping the shape.
        Fill = "fill",
    }
}

words! {
    /// How a thumbnail is coded.
    #[derive(Default)]
    pub enum Output: "a format" {
        /// JPEG; transparent parts show the background.
        #[default]
        Jpeg = "jpeg",
        /// Lossy WebP, with transparency.
        Webp = "webp",
        /// PNG, with transparency.
        Png = "png",
        /// WebP where a part of the thumbnail is transparent (PNG where the engine was built without WebP), else JPEG.
        Auto = "auto",
    }
}

impl Output {
    /// The format of such a thumbnail; `None`: the picture decides.
    pub fn format(self) -> Option<Format> {
        match self {
            Self::Jpeg => Some(Format::Jpeg),
            Self::Webp => Some(Format::Webp),
            Self::Png => Some(Format::Png),
            Self::Auto => None,
        }
    }
}

words! {
    /// Whether a thumbnail is sharpened after it has been scaled.
    #[derive(Default)]
    pub enum Sharpen: "a sharpening" {
        /// It is as the filter left it.
        #[default]
        Off = "off",
        /// Edges get a little more contrast, as photographers sharpen for screens.
        Light = "light",
    }
}

/// One thumbnail asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    /// Width and height.
    pub size: Size,
    /// How a picture of another shape is made to fit.
    pub fit: Fit,
    /// Which part of it stays when it is cropped.
    pub position: Position,
    /// Whether a picture that is smaller than the size is enlarged by [`Fit::Cover`] and [`Fit::Fill`]. If not, the thumbnail
    /// has the shape that was asked for and as many pixels as the picture has.
    pub enlarge: bool,
    /// Whether it is sharpened.
    pub sharpen: Sharpen,
    /// How it is coded.
    pub output: Output,
    /// 1 (smallest file) to 100 (best picture); PNG has no use for it.
    pub quality: u8,
}

impl Spec {
    /// A JPEG of the middle of the picture, of exactly this size.
    pub const fn new(size: Size) -> Self {
        Self {
            size,
            fit: Fit::Cover,
            position: Position::Gravity(Gravity::Center),
            enlarge: true,
            sharpen: Sharpen::Off,
            output: Output::Jpeg,
            quality: DEFAULT_QUALITY,
        }
    }

    /// Whether such a thumbnail can be made.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if !self.size.is_valid() {
            let what = format!("the size is {}; each side must be 1 to {MAX_SIDE_PX} pixels", self.size);
            return Err(Error::BadSpec(what));
        }
        if !(1..=100).contains(&self.quality) {
            return Err(Error::BadSpec(format!("the quality is {}; it must be 1 to 100", self.quality)));
        }
        if self.output == Output::Webp && !WRITES_WEBP {
            return Err(Error::BadSpec("this build writes no WebP".into()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_reads_as_it_is_written() {
        for fit in Fit::ALL {
            assert_eq!(fit.to_string().parse(), Ok(*fit));
        }
        for output in Output::ALL {
            assert_eq!(output.to_string().parse(), Ok(*output));
        }
        let error = "crop".parse::<Fit>().unwrap_err().to_string();
        assert_eq!(error, "`crop` is not a fit; use cover, contain or fill");
        assert_eq!(Fit::default(), Fit::Cover);
    }
}
