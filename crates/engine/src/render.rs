//! From decoded planes to a thumbnail's: resampled, converted to sRGB, turned upright. It also
//! decides what to request from the decoder.

use crate::error::Error;
use crate::geometry::{Placement, PlaneRequest, Window};
use crate::jpeg::encode::{self, Planes};
use crate::output::{self, Rendered, RgbPicture};
use crate::picture::{Decoded, Header};
use crate::pixels::colour::{self, Colour, Conversion};
use crate::pixels::plane::{PlacedPlane, Plane};
use crate::pixels::resample::{Resampler, resample};
use crate::pixels::sharpen::{sharpen, sharpen_rgb};
use crate::spec::{Sharpen, Spec};

/// What each thumbnail needs of each of the `count` planes of a picture in `colour`.
///
/// Of colour differences that are coded at half the thumbnail's size nothing finer is asked for, also where a profile converts them at
/// its whole size in between.
pub(crate) fn requests(
    colour: Colour,
    count: usize,
    specs: &[Spec],
    placements: &[Placement],
) -> Vec<Vec<PlaneRequest>> {
    let alpha = count > colour.components();
    let request = |plane: usize, spec: &Spec, placement: &Placement| {
        let Placement { window, width, height } = *placement;
        let coded_as_planes = colour == Colour::YCbCr && output::takes_planes(spec.output, alpha);
        let halved = plane > 0 && coded_as_planes && encode::subsampled(spec.quality);
        if halved {
            PlaneRequest { window, width: width.div_ceil(2), height: height.div_ceil(2) }
        } else {
            PlaneRequest { window, width, height }
        }
    };
    (0..count)
        .map(|plane| specs.iter().zip(placements).map(|(spec, placement)| request(plane, spec, placement)).collect())
        .collect()
}

/// Resamples, converts and turns the planes of a source to one thumbnail.
pub(crate) fn shrink(
    decoded: &Decoded,
    header: &Header,
    placement: &Placement,
    spec: &Spec,
    conversion: &Conversion,
) -> Result<Rendered, Error> {
    let Placement { window, width, height } = *placement;
    let full = |source: &PlacedPlane| {
        let plane = resample(&source.plane, source.window(window), width, height, decoded.resampler)?;
        Ok(plane.turned(header.orientation))
    };
    let luma = |source: &PlacedPlane| {
        let mut plane = full(source)?;
        if spec.sharpen == Sharpen::Light {
            sharpen(&mut plane)?;
        }
        Ok(plane)
    };
    let converted = matches!(conversion, Conversion::Profile(_));
    let takes_planes = !converted && output::takes_planes(spec.output, header.alpha);
    match (header.colour, decoded.planes.as_slice()) {
        (Colour::Grey, [grey]) if takes_planes => Ok(Rendered::Planes(Planes::Grey(luma(grey)?))),
        (Colour::YCbCr, [y, cb, cr]) if takes_planes => {
            let chroma = |source: &PlacedPlane| {
                if encode::subsampled(spec.quality) {
                    half(source, header, placement, decoded.resampler)
                } else {
                    full(source)
                }
            };
            Ok(Rendered::Planes(Planes::YCbCr([luma(y)?, chroma(cb)?, chroma(cr)?])))
        }
        (colour, planes) => {
            let mut planes = planes.iter().map(full).collect::<Result<Vec<_>, Error>>()?;
            let alpha = if header.alpha { planes.pop() } else { None };
            if let Some(alpha) = &alpha {
                planes.iter_mut().for_each(|plane| plane.divide_by(alpha));
            }
            let (width, height) = (planes[0].width, planes[0].height);
            let mut rgb = colour::to_srgb(&planes, colour, conversion)?;
            if spec.sharpen == Sharpen::Light {
                sharpen_rgb(&mut rgb, width, height)?;
            }
            Ok(Rendered::Rgb(RgbPicture { width, height, rgb, alpha, grey: colour == Colour::Grey }))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Output, Size};

    #[test]
    fn colour_differences_are_asked_for_as_fine_as_they_are_coded() {
        let window = Window { left: 0.0, top: 0.0, width: 1000.0, height: 1000.0 };
        let placements = [Placement { window, width: 101, height: 100 }];
        let sides = |colour, quality, output| {
            let spec = Spec { quality, output, ..Spec::new(Size::new(101, 100)) };
            let requests = requests(colour, 3, &[spec], &placements);
            requests.iter().map(|of| (of[0].width, of[0].height)).collect::<Vec<_>>()
        };
        assert_eq!(sides(Colour::YCbCr, 80, Output::Jpeg), [(101, 100), (51, 50), (51, 50)]);
        assert_eq!(sides(Colour::YCbCr, 95, Output::Jpeg), [(101, 100); 3]);
        assert_eq!(sides(Colour::YCbCr, 80, Output::Png), [(101, 100); 3]);
        assert_eq!(sides(Colour::Rgb, 80, Output::Jpeg), [(101, 100); 3]);
    }
}
