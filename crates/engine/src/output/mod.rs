//! From a thumbnail's samples to its file.

use crate::Thumbnail;
use crate::error::Error;
use crate::exif;
use crate::format::Format;
use crate::jpeg::encode::{self as jpeg, Planes};
use crate::metadata::Copyright;
use crate::pixels::colour;
use crate::pixels::plane::Plane;
use crate::spec::{Output, Spec};

/// A finished picture, upright and in sRGB.
pub(crate) enum Rendered {
    /// Opaque, as JPEG stores it.
    Planes(Planes),
    /// As everything else stores it.
    Rgb(RgbPicture),
}

/// `width * height` pixels of sRGB.
pub(crate) struct RgbPicture {
    pub width: usize,
    pub height: usize,
    /// Interleaved red, green and blue, not multiplied by the opacity.
    pub rgb: Vec<u8>,
    /// Opacity; `None`: everything is opaque.
    pub alpha: Option<Plane>,
    /// Whether the three are the same everywhere.
    pub grey: bool,
}

/// Whether a thumbnail of `output` is made of [`Rendered::Planes`] where that is possible.
pub(crate) fn takes_planes(output: Output, alpha: bool) -> bool {
    match output {
        Output::Jpeg | Output::Auto => !alpha,
        Output::Webp | Output::Png => false,
    }
}

/// Codes a thumbnail as `spec` asks for.
pub(crate) fn encode(rendered: Rendered, spec: &Spec, background: [u8; 3]) -> Result<Thumbnail, Error> {
    let planes = match rendered {
        Rendered::Planes(planes) => planes,
        Rendered::Rgb(picture) => planes(picture, spec.quality, background)?,
    };
    let (width, height) = (planes.luma().width as u32, planes.luma().height as u32);
    Ok(Thumbnail { width, height, format: Format::Jpeg, bytes: jpeg::encode(&planes, spec.quality) })
}

/// The thumbnail with the names of its photographer and of who has the rights in it.
pub(crate) fn with_copyright(mut thumbnail: Thumbnail, copyright: &Copyright) -> Thumbnail {
    if thumbnail.format == Format::Jpeg
        && let Some(segment) = exif::copyright_segment(copyright)
    {
        // Behind JFIF's segment, which must be the first: marker and length come before what is counted.
        let at = 4 + usize::from(u16::from_be_bytes([thumbnail.bytes[4], thumbnail.bytes[5]]));
        thumbnail.bytes.splice(at..at, segment);
    }
    thumbnail
}

/// The planes of a JPEG; what is transparent shows the background.
fn planes(picture: RgbPicture, quality: u8, background: [u8; 3]) -> Result<Planes, Error> {
    let RgbPicture { width, height, mut rgb, alpha, grey } = picture;
    let has_colour = alpha.is_some() && background != [background[0]; 3];
    if let Some(alpha) = alpha {
        for (pixel, &alpha) in rgb.chunks_exact_mut(3).zip(&alpha.samples) {
            for (sample, behind) in pixel.iter_mut().zip(background) {
                *sample = mixed(*sample, behind, alpha);
            }
        }
    }
    let [y, cb, cr] = colour::to_ycbcr(&rgb, width, height)?;
    if grey && !has_colour {
        return Ok(Planes::Grey(y));
    }
    let chroma = |plane: Plane| if jpeg::subsampled(quality) { plane.halved() } else { Ok(plane) };
    Ok(Planes::YCbCr([y, chroma(cb)?, chroma(cr)?]))
}

/// So much of `front` over so much of `behind`, of 255.
fn mixed(front: u8, behind: u8, alpha: u8) -> u8 {
    let (front, behind, alpha) = (u32::from(front), u32::from(behind), u32::from(alpha));
    ((front * alpha + behind * (255 - alpha) + 127) / 255) as u8
}
