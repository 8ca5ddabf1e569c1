//! The thumbnail engine: the bytes of a JPEG photograph in, the bytes of JPEG thumbnails out.
//!
//! It is pure: no AWS, no files, no clock, no threads, no `unsafe`. What it reads is hostile until shown otherwise: every
//! size is checked against [`Limits`] from the header before a pixel is decoded, and everything wrong is an [`Error`] in
//! words for the person who sent the picture.
//!
//! A thumbnail is upright (Exif orientation applied), in sRGB (embedded profiles applied), and carries no metadata of its
//! source: no camera, no date, no place.
#![forbid(unsafe_code)]

mod colour;
mod dct;
mod decode;
mod encode;
mod error;
mod exif;
mod general;
mod geometry;
mod header;
mod huffman;
mod memory;
mod plane;
mod resample;
mod sniff;
mod spec;
#[cfg(test)]
mod tests;

pub use error::Error;
pub use header::{Colour, Process};
pub use memory::working_memory;
pub use spec::{DEFAULT_QUALITY, Fit, FitError, MAX_SIDE_PX, Size, SizeError, Spec};

use decode::Need;
use encode::Planes;
use geometry::{Placement, Window};
use header::Header;
use plane::{PlacedPlane, Plane};

/// Which thumbnails the engine makes: another number, another result for some source and [`Spec`]. Programs keep it beside a
/// thumbnail to know whether it would be the same today. tests/golden.rs fails when the result changes and the number does not.
pub const OUTPUT_VERSION: u32 = 3;

/// What a source may be at most. Both are checked before any pixel is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub max_source_bytes: usize,
    /// Width times height, by the frame header.
    pub max_source_pixels: u64,
}

impl Default for Limits {
    /// 64 MiB and 100 megapixels: above every camera's JPEG files but those of stitched panoramas.
    fn default() -> Self {
        Self { max_source_bytes: 64 << 20, max_source_pixels: 100_000_000 }
    }
}

/// What becomes of a source that ends too early or is damaged in its data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Truncated {
    /// An error.
    #[default]
    Strict,
    /// A thumbnail of what there is; the rest is grey.
    BestEffort,
}

/// How thumbnails are made, the same for all of one call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    pub limits: Limits,
    pub truncated: Truncated,
    /// Progressive thumbnails: a picture appears at once and sharpens; a little smaller, several times the encoding time.
    pub progressive: bool,
    /// Huffman tables made for each thumbnail: some 5 % smaller, a second pass of the encoder.
    pub optimize_huffman: bool,
}

/// A finished thumbnail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thumbnail {
    /// Width of the JPEG in pixels; with [`Fit::Contain`] it may be less than asked for.
    pub width: u32,
    /// Height of the JPEG in pixels, likewise.
    pub height: u32,
    /// A JFIF file.
    pub jpeg: Vec<u8>,
}

/// What a source is, by its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// Width in pixels as looked at, that is after the orientation is applied.
    pub width: u32,
    /// Height in pixels, likewise.
    pub height: u32,
    /// Exif's orientation, 1 to 8; 1 if it has none.
    pub orientation: u16,
    pub colour: Colour,
    pub process: Process,
    pub precision_bits: u8,
    /// Whether an ICC profile is embedded.
    pub icc_profile: bool,
    /// What [`working_memory`] needs to know.
    facts: memory::Facts,
}

impl Info {
    fn orientation(&self) -> exif::Orientation {
        exif::Orientation::from_exif(self.orientation).unwrap_or_default()
    }
}

/// Reads the header of `source` and nothing else.
///
/// # Errors
/// As [`thumbnails`], but for what only decoding shows.
pub fn probe(source: &[u8], limits: &Limits) -> Result<Info, Error> {
    let header = read_header(source, limits)?;
    let (mut width, mut height) = (header.frame.width as u32, header.frame.height as u32);
    if header.orientation.transpose {
        std::mem::swap(&mut width, &mut height);
    }
    Ok(Info {
        width,
        height,
        orientation: header.orientation.to_exif(),
        colour: header.colour,
        process: header.frame.process,
        precision_bits: header.frame.precision_bits,
        icc_profile: header.icc.is_some(),
        facts: memory::Facts::new(&header, source.len()),
    })
}

/// Makes one thumbnail for each of `specs`, in their order, from one decode of `source`.
///
/// # Errors
/// Every [`Error`]; [`Error::BadSpec`] before the source is looked at.
pub fn thumbnails(source: &[u8], specs: &[Spec], options: &Options) -> Result<Vec<Thumbnail>, Error> {
    specs.iter().try_for_each(check_spec)?;
    let header = read_header(source, &options.limits)?;
    if specs.is_empty() {
        return Ok(Vec::new());
    }
    let conversion = colour::conversion(header.icc.as_deref(), header.colour);
    let stored = (header.frame.width, header.frame.height);
    let placements: Vec<_> =
        specs.iter().map(|spec| geometry::place(stored, header.orientation, spec.size, spec.fit)).collect();
    let planes = decode(source, &header, &needs(&header, specs, &placements, &conversion), options.truncated)?;
    specs
        .iter()
        .zip(&placements)
        .map(|(spec, placement)| {
            let planes = shrink(&planes, &header, placement, spec.quality, &conversion)?;
            let (width, height) = (planes.luma().width as u32, planes.luma().height as u32);
            Ok(Thumbnail { width, height, jpeg: encode::encode(&planes, spec.quality, options)? })
        })
        .collect()
}

/// What each thumbnail needs of each component, by component.
fn needs(header: &Header, specs: &[Spec], placements: &[Placement], conversion: &colour::Conversion) -> Vec<Vec<Need>> {
    let direct = matches!(conversion, colour::Conversion::None);
    needs_of(header.colour, header.frame.components.len(), specs, placements, direct)
}

/// The same for `count` components of `colour`; `direct`: they are not converted.
fn needs_of(colour: Colour, count: usize, specs: &[Spec], placements: &[Placement], direct: bool) -> Vec<Vec<Need>> {
    let direct = direct && colour == Colour::YCbCr;
    let need = |component: usize, spec: &Spec, placement: &Placement| {
        let Placement { window, width, height } = *placement;
        let halved = component > 0 && direct && encode::subsampled(spec.quality);
        if halved {
            Need { window, width: width.div_ceil(2), height: height.div_ceil(2) }
        } else {
            Need { window, width, height }
        }
    };
    (0..count)
        .map(|component| {
            specs.iter().zip(placements).map(|(spec, placement)| need(component, spec, placement)).collect()
        })
        .collect()
}

/// Decodes with our own decoder if it can, else, or when it finds the file damaged, with the general one.
fn decode(
    source: &[u8],
    header: &Header,
    needs: &[Vec<Need>],
    truncated: Truncated,
) -> Result<Vec<PlacedPlane>, Error> {
    if decode::takes(&header.frame) {
        match decode::decode(source, header, needs, truncated) {
            Err(Error::Truncated) if truncated == Truncated::Strict => {
                return Err(Error::Truncated);
            }
            Err(error @ (Error::OutOfMemory | Error::TooManyScans { .. })) => return Err(error),
            Err(_) => {}
            decoded => return decoded,
        }
    }
    general::decode(source, header, truncated)
}

fn check_spec(spec: &Spec) -> Result<(), Error> {
    let side = 1..=MAX_SIDE_PX;
    if !side.contains(&spec.size.width) || !side.contains(&spec.size.height) {
        return Err(Error::BadSpec(format!("the size is {}, and each side is 1 to {MAX_SIDE_PX} pixels", spec.size)));
    }
    if !(1..=100).contains(&spec.quality) {
        return Err(Error::BadSpec(format!("the quality is {}, and it is 1 to 100", spec.quality)));
    }
    Ok(())
}

fn read_header(source: &[u8], limits: &Limits) -> Result<Header, Error> {
    if source.len() > limits.max_source_bytes {
        return Err(Error::TooManyBytes { bytes: source.len(), max: limits.max_source_bytes });
    }
    let header = header::read(source)?;
    let (width, height) = (header.frame.width as u32, header.frame.height as u32);
    if u64::from(width) * u64::from(height) > limits.max_source_pixels {
        return Err(Error::TooManyPixels { width, height, max: limits.max_source_pixels });
    }
    // Every block takes a bit at the least, by whatever process: nobody decodes megapixels for a few bytes.
    if header.frame.blocks() > 8 * source.len() {
        return Err(Error::Truncated);
    }
    Ok(header)
}

/// Resamples, converts and turns the planes of a source to those of one thumbnail.
fn shrink(
    planes: &[PlacedPlane],
    header: &Header,
    placement: &Placement,
    quality: u8,
    conversion: &colour::Conversion,
) -> Result<Planes, Error> {
    let Placement { window, width, height } = *placement;
    let full = |source: &PlacedPlane| {
        let plane = resample::resample(&source.plane, source.window(window), width, height, source.resampler)?;
        Ok(plane.turned(header.orientation))
    };
    let converted = matches!(conversion, colour::Conversion::Profile(_));
    match (header.colour, planes) {
        (Colour::Grey, [grey]) if !converted => Ok(Planes::Grey(full(grey)?)),
        (Colour::YCbCr, [y, cb, cr]) if !converted => {
            let chroma = |source: &PlacedPlane| {
                if encode::subsampled(quality) { half(source, header, placement) } else { full(source) }
            };
            Ok(Planes::YCbCr([full(y)?, chroma(cb)?, chroma(cr)?]))
        }
        (colour, planes) => {
            let planes = planes.iter().map(full).collect::<Result<Vec<_>, Error>>()?;
            let rgb = colour::to_srgb(&planes, colour, conversion)?;
            let [y, cb, cr] = colour::to_ycbcr(&rgb, planes[0].width, planes[0].height)?;
            let chroma = |plane: Plane| {
                if encode::subsampled(quality) { halved(&plane) } else { Ok(plane) }
            };
            if colour == Colour::Grey {
                return Ok(Planes::Grey(y));
            }
            Ok(Planes::YCbCr([y, chroma(cb)?, chroma(cr)?]))
        }
    }
}

/// A colour difference at half the thumbnail's size each way, rounded up. Its samples lie at the centres of two by two
/// luma samples (T.871, clause 6.1), counted from the top left of the thumbnail as looked at: where a side is odd, the
/// last sample reaches half its width over the edge, and which edge that is depends on the orientation.
fn half(source: &PlacedPlane, header: &Header, placement: &Placement) -> Result<Plane, Error> {
    let Placement { window, width, height } = *placement;
    let (half_w, half_h) = (width.div_ceil(2), height.div_ceil(2));
    let (step_x, step_y) = (window.width / width as f64, window.height / height as f64);
    let (over_x, over_y) = (step_x * (width % 2) as f64, step_y * (height % 2) as f64);
    let orientation = header.orientation;
    // Mirrorings come after the transposition: a mirrored x of the thumbnail is then a mirrored row of the source.
    let (from_right, from_bottom) = if orientation.transpose {
        (orientation.flip_y, orientation.flip_x)
    } else {
        (orientation.flip_x, orientation.flip_y)
    };
    let grown = Window {
        left: window.left - if from_right { over_x } else { 0.0 },
        top: window.top - if from_bottom { over_y } else { 0.0 },
        width: window.width + over_x,
        height: window.height + over_y,
    };
    let plane = resample::resample(&source.plane, source.window(grown), half_w, half_h, source.resampler)?;
    Ok(plane.turned(orientation))
}

/// The mean of each two by two samples; at an odd edge, of those there are.
fn halved(plane: &Plane) -> Result<Plane, Error> {
    let mut half = Plane::new(plane.width.div_ceil(2), plane.height.div_ceil(2))?;
    for y in 0..half.height {
        let (upper, lower) = (plane.row(2 * y), plane.row((2 * y + 1).min(plane.height - 1)));
        let row = &mut half.samples[y * half.width..][..half.width];
        for (sample, (a, b)) in row.iter_mut().zip(upper.chunks(2).zip(lower.chunks(2))) {
            let sum = u16::from(a[0]) + u16::from(a[a.len() - 1]) + u16::from(b[0]) + u16::from(b[b.len() - 1]);
            *sample = ((sum + 2) / 4) as u8;
        }
    }
    Ok(half)
}
