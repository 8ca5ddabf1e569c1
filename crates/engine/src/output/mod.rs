//! From a thumbnail's samples to its file.

mod placeholder;
mod png;
#[cfg(feature = "webp-output")]
mod webp;

use crate::Thumbnail;
use crate::copyright::Copyright;
use crate::error::Error;
use crate::exif;
use crate::format::Format;
use crate::jpeg::encode::{self as jpeg, Planes};
use crate::pixels::colour;
use crate::pixels::plane::{Plane, zeros};
use crate::spec::{Output, Spec, WRITES_WEBP};
pub use placeholder::Placeholder;

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
    let picture = match rendered {
        Rendered::Planes(planes) => return Ok(jpeg(&planes, spec.quality)),
        Rendered::Rgb(picture) => picture.without_needless_alpha(),
    };
    let format = spec.output.format().unwrap_or_else(|| of_auto(picture.alpha.is_some()));
    let bytes = match format {
        Format::Webp => webp_file(&picture, spec.quality)?,
        Format::Png => png::encode(&picture)?,
        _ => return Ok(jpeg(&planes(picture, spec.quality, background)?, spec.quality)),
    };
    let (width, height) = (picture.width as u32, picture.height as u32);
    Ok(Thumbnail { width, height, format, bytes, placeholder: Placeholder::of_rgb(&picture) })
}

/// What [`Output::Auto`] becomes.
fn of_auto(alpha: bool) -> Format {
    match alpha {
        false => Format::Jpeg,
        true if WRITES_WEBP => Format::Webp,
        true => Format::Png,
    }
}

fn jpeg(planes: &Planes, quality: u8) -> Thumbnail {
    let (width, height) = (planes.luma().width as u32, planes.luma().height as u32);
    let bytes = jpeg::encode(planes, quality);
    Thumbnail { width, height, format: Format::Jpeg, bytes, placeholder: Placeholder::of_planes(planes) }
}

/// The most bytes of a file's headers.
const FRAME_BYTES: u64 = 4 << 10;

#[cfg(feature = "webp-output")]
fn webp_file(picture: &RgbPicture, quality: u8) -> Result<Vec<u8>, Error> {
    webp::encode(picture, quality)
}

#[cfg(not(feature = "webp-output"))]
fn webp_file(_: &RgbPicture, _: u8) -> Result<Vec<u8>, Error> {
    Err(Error::BadSpec("this build writes no WebP".into()))
}

/// The most bytes that coding a thumbnail of so many columns and rows takes beside its [`RgbPicture`] and its file, and those of the
/// file; 0 where it becomes a JPEG.
pub(crate) fn memory(output: Output, width: u64, height: u64, alpha: bool) -> (u64, u64) {
    #[cfg(feature = "webp-output")]
    let webp = webp::memory(width * height, alpha);
    #[cfg(not(feature = "webp-output"))]
    let webp = 0;
    let png = png::memory(width * height, width);
    let working = match output.format().unwrap_or_else(|| of_auto(alpha)) {
        Format::Webp => webp,
        Format::Png => png,
        _ => return (0, 0),
    };
    // Neither is longer than the samples and what stands around them.
    (working, 4 * width * height + height + FRAME_BYTES)
}

impl RgbPicture {
    /// Without an opacity that is full everywhere.
    fn without_needless_alpha(mut self) -> Self {
        self.alpha = self.alpha.filter(|alpha| alpha.samples.iter().any(|&alpha| alpha < 255));
        self
    }
}

/// Pixels of `channels` samples and an opacity.
fn interleaved(samples: &[u8], channels: usize, alpha: &Plane) -> Result<Vec<u8>, Error> {
    let mut pixels = zeros((channels + 1) * alpha.samples.len())?;
    let each = pixels.chunks_exact_mut(channels + 1).zip(samples.chunks_exact(channels)).zip(&alpha.samples);
    for ((pixel, samples), &alpha) in each {
        pixel[..channels].copy_from_slice(samples);
        pixel[channels] = alpha;
    }
    Ok(pixels)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Size;

    /// A disc of red in nothing, with a soft edge: colours are kept where they cannot be seen.
    fn disc(width: usize, height: usize) -> RgbPicture {
        let alpha = |i: usize| {
            let (x, y) = ((i % width) as f64 - width as f64 / 2.0, (i / width) as f64 - height as f64 / 2.0);
            (255.0 * (width as f64 / 3.0 - x.hypot(y)).clamp(0.0, 1.0)) as u8
        };
        let alpha = Plane { width, height, samples: (0..width * height).map(alpha).collect() };
        RgbPicture { width, height, rgb: [210, 30, 40].repeat(width * height), alpha: Some(alpha), grey: false }
    }

    fn opaque(width: usize, height: usize, grey: bool) -> RgbPicture {
        let pixel = |i: usize| {
            let (x, y) = (i % width * 255 / width, i / width * 255 / height);
            if grey { [x as u8; 3] } else { [x as u8, y as u8, 90] }
        };
        RgbPicture { width, height, rgb: (0..width * height).flat_map(pixel).collect(), alpha: None, grey }
    }

    fn made(picture: RgbPicture, output: Output) -> Thumbnail {
        let spec = Spec { output, quality: 90, ..Spec::new(Size::new(1, 1)) };
        encode(Rendered::Rgb(picture), &spec, [0, 0, 255]).unwrap()
    }

    fn png(file: &[u8]) -> (::png::ColorType, Vec<u8>) {
        let mut reader = ::png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let mut samples = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut samples).unwrap();
        (info.color_type, samples)
    }

    #[test]
    fn a_png_has_every_pixel_and_no_channel_that_says_nothing() {
        use ::png::ColorType::{Grayscale, Rgb, Rgba};
        for (width, height) in [(1, 1), (1, 40), (33, 7), (400, 300)] {
            let (colour, samples) = png(&made(opaque(width, height, false), Output::Png).bytes);
            assert_eq!((colour, samples), (Rgb, opaque(width, height, false).rgb));
            let (colour, samples) = png(&made(opaque(width, height, true), Output::Png).bytes);
            assert_eq!(colour, Grayscale);
            assert!(samples.iter().zip(opaque(width, height, true).rgb.chunks(3)).all(|(a, b)| *a == b[0]));
        }
        let (colour, samples) = png(&made(disc(40, 40), Output::Png).bytes);
        assert_eq!((colour, &samples[..4]), (Rgba, &[210, 30, 40, 0][..]));
        let full = Plane { width: 4, height: 4, samples: vec![255; 16] };
        let (colour, _) = png(&made(RgbPicture { alpha: Some(full), ..opaque(4, 4, false) }, Output::Png).bytes);
        assert_eq!(colour, Rgb);
    }

    #[test]
    fn auto_keeps_transparency_where_there_is_some() {
        let with_alpha = if WRITES_WEBP { Format::Webp } else { Format::Png };
        assert_eq!(made(disc(40, 40), Output::Auto).format, with_alpha);
        assert_eq!(made(opaque(40, 40, false), Output::Auto).format, Format::Jpeg);
        let full = Plane { width: 4, height: 4, samples: vec![255; 16] };
        assert_eq!(made(RgbPicture { alpha: Some(full), ..opaque(4, 4, false) }, Output::Auto).format, Format::Jpeg);
    }

    #[test]
    fn a_jpeg_shows_the_background_without_a_fringe() {
        let planes = planes(disc(60, 60), 95, [0, 0, 255]).unwrap();
        let Planes::YCbCr([y, cb, cr]) = &planes else { panic!("it has colour") };
        let pixel = |x: usize, at: usize| colour::rgb_of([y.samples[at + x], cb.samples[at + x], cr.samples[at + x]]);
        let near = |made: [u8; 3], expected: [u8; 3]| made.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 2);
        assert!(near(pixel(0, 0), [0, 0, 255]) && near(pixel(30, 30 * 60), [210, 30, 40]));
        // Between them there are only mixtures of the two: nowhere more green than in the disc.
        assert!((0..60).all(|x| pixel(x, 30 * 60)[1] <= 32));
        assert!(matches!(made(disc(60, 60), Output::Jpeg).format, Format::Jpeg));
    }

    #[test]
    fn a_grey_picture_stays_grey_unless_its_background_has_a_colour() {
        let grey = || RgbPicture { grey: true, rgb: vec![90; 3 * 3600], ..disc(60, 60) };
        assert!(matches!(planes(grey(), 80, [255; 3]), Ok(Planes::Grey(_))));
        assert!(matches!(planes(grey(), 80, [255, 0, 0]), Ok(Planes::YCbCr(_))));
    }

    #[cfg(feature = "webp-output")]
    #[test]
    fn a_webp_is_near_the_picture_with_its_opacity() {
        let decoded = |file: &[u8]| {
            let image = ::webp::Decoder::new(file).decode().unwrap();
            (image.is_alpha(), image.to_vec())
        };
        let (alpha, rgb) = decoded(&made(opaque(200, 120, false), Output::Webp).bytes);
        let error: u64 =
            rgb.iter().zip(opaque(200, 120, false).rgb).map(|(a, b)| u64::from(a.abs_diff(b)).pow(2)).sum();
        assert!(!alpha && error < 16 * rgb.len() as u64, "{error} of {} samples", rgb.len());
        let (alpha, rgba) = decoded(&made(disc(80, 80), Output::Webp).bytes);
        let opacity: Vec<u8> = rgba.iter().skip(3).step_by(4).copied().collect();
        assert_eq!((alpha, opacity), (true, disc(80, 80).alpha.unwrap().samples), "opacity is coded without loss");
        let middle = &rgba[4 * (40 * 80 + 40)..][..3];
        assert!(middle.iter().zip([210, 30, 40]).all(|(a, b)| a.abs_diff(b) < 10), "{middle:?}");
        for (width, height) in [(1, 1), (1, 50), (51, 49)] {
            let file = made(opaque(width, height, true), Output::Webp);
            assert_eq!(decoded(&file.bytes).1.len(), 3 * width * height);
            assert_eq!(file, made(opaque(width, height, true), Output::Webp));
        }
    }
}
