//! From decoded planes to a thumbnail's: resampled, converted to sRGB, turned upright. It also
//! decides what to request from the decoder.

use crate::error::Error;
use crate::geometry::{Placement, Window};
use crate::jpeg::encode::{self, Planes};
use crate::picture::{Decoded, Header, PlaneRequest};
use crate::pixels::colour::{self, Colour, Conversion};
use crate::pixels::plane::{PlacedPlane, Plane};
use crate::pixels::resample::{Resampler, resample};
use crate::spec::Spec;

/// What each thumbnail needs of each of `count` components of `colour`, by component.
///
/// Of colour differences that are coded at half the thumbnail's size nothing finer is asked for, also where a profile converts them at
/// its whole size in between.
pub(crate) fn requests(
    colour: Colour,
    count: usize,
    specs: &[Spec],
    placements: &[Placement],
) -> Vec<Vec<PlaneRequest>> {
    let request = |component: usize, spec: &Spec, placement: &Placement| {
        let Placement { window, width, height } = *placement;
        let halved = component > 0 && colour == Colour::YCbCr && encode::subsampled(spec.quality);
        if halved {
            PlaneRequest { window, width: width.div_ceil(2), height: height.div_ceil(2) }
        } else {
            PlaneRequest { window, width, height }
        }
    };
    (0..count)
        .map(|component| {
            specs.iter().zip(placements).map(|(spec, placement)| request(component, spec, placement)).collect()
        })
        .collect()
}

/// Resamples, converts and turns the planes of a source to those of one thumbnail.
pub(crate) fn shrink(
    decoded: &Decoded,
    header: &Header,
    placement: &Placement,
    quality: u8,
    conversion: &Conversion,
) -> Result<Planes, Error> {
    let Placement { window, width, height } = *placement;
    let full = |source: &PlacedPlane| {
        let plane = resample(&source.plane, source.window(window), width, height, decoded.resampler)?;
        Ok(plane.turned(header.orientation))
    };
    let converted = matches!(conversion, Conversion::Profile(_));
    match (header.colour, decoded.planes.as_slice()) {
        (Colour::Grey, [grey]) if !converted => Ok(Planes::Grey(full(grey)?)),
        (Colour::YCbCr, [y, cb, cr]) if !converted => {
            let chroma = |source: &PlacedPlane| {
                if encode::subsampled(quality) {
                    half(source, header, placement, decoded.resampler)
                } else {
                    full(source)
                }
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
/// luma samples (T.871, clause 6.1), counted from the top left of the upright thumbnail: where a side is odd, the
/// last sample reaches half its width over the edge, and which edge that is depends on the orientation.
fn half(source: &PlacedPlane, header: &Header, placement: &Placement, by: Resampler) -> Result<Plane, Error> {
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
    let plane = resample(&source.plane, source.window(grown), half_w, half_h, by)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Fit, Size};

    #[test]
    fn colour_differences_are_asked_for_as_fine_as_they_are_coded() {
        let window = Window { left: 0.0, top: 0.0, width: 1000.0, height: 1000.0 };
        let placements = [Placement { window, width: 101, height: 100 }];
        let sides = |colour, quality| {
            let spec = Spec { size: Size { width: 101, height: 100 }, fit: Fit::Cover, quality };
            let requests = requests(colour, 3, &[spec], &placements);
            requests.iter().map(|of| (of[0].width, of[0].height)).collect::<Vec<_>>()
        };
        assert_eq!(sides(Colour::YCbCr, 80), [(101, 100), (51, 50), (51, 50)]);
        assert_eq!(sides(Colour::YCbCr, 95), [(101, 100); 3]);
        assert_eq!(sides(Colour::Rgb, 80), [(101, 100); 3]);
    }
}
