//! From a file's own colours to sRGB, at the thumbnail's size.

use moxcms::{ColorProfile, DataColorSpace, Layout, RenderingIntent, TransformOptions};

use super::plane::{Plane, zeros};
use crate::error::Error;

/// What the samples of the components mean, once decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Luma alone.
    Grey,
    /// Luma and two colour differences (ITU-T T.871).
    YCbCr,
    /// Red, green, blue.
    Rgb,
    /// Ink, four components.
    Cmyk {
        /// 255 is no ink, as Adobe writes it.
        inverted: bool,
    },
    /// CMY as YCbCr, and K.
    Ycck {
        /// As for CMYK.
        inverted: bool,
    },
}

impl Colour {
    /// How many components a picture has.
    pub(crate) fn components(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::YCbCr | Self::Rgb => 3,
            Self::Cmyk { .. } | Self::Ycck { .. } => 4,
        }
    }
}

/// What an embedded profile asks for.
pub(crate) enum Conversion {
    /// The samples are sRGB, or say nothing: as they are.
    None,
    /// A profile that is not sRGB.
    Profile(Box<ColorProfile>),
}

/// Reads an embedded profile. One that is damaged or made for another kind of picture counts as none, as in browsers.
pub(crate) fn conversion(icc: Option<&[u8]>, colour: Colour) -> Conversion {
    let Some(profile) = icc.and_then(|bytes| ColorProfile::new_from_slice(bytes).ok()) else {
        return Conversion::None;
    };
    let space = match colour {
        Colour::Grey => DataColorSpace::Gray,
        Colour::YCbCr | Colour::Rgb => DataColorSpace::Rgb,
        Colour::Cmyk { .. } | Colour::Ycck { .. } => DataColorSpace::Cmyk,
    };
    if profile.color_space != space || is_srgb(&profile) {
        Conversion::None
    } else {
        Conversion::Profile(Box::new(profile))
    }
}

/// Whether the profile gives every colour the meaning that sRGB gives it, to one part in 255: there are hundreds of sRGB
/// profiles in the wild, with as many names, and converting from one to another only costs time and rounding.
fn is_srgb(profile: &ColorProfile) -> bool {
    if profile.color_space != DataColorSpace::Rgb || !profile.is_matrix_shaper() {
        return false;
    }
    // The corners and the middle of the cube, and some between: a matrix and three curves have no more to hide.
    const LEVELS: [u8; 6] = [0, 16, 64, 128, 192, 255];
    let mut probe = Vec::new();
    for r in LEVELS {
        for g in LEVELS {
            for b in LEVELS {
                probe.extend([r, g, b]);
            }
        }
    }
    let mut seen = vec![0; probe.len()];
    let Some(()) = transform(profile, Layout::Rgb, &probe, &mut seen) else {
        return true;
    };
    probe.iter().zip(&seen).all(|(a, b)| a.abs_diff(*b) <= 1)
}

/// Converts interleaved samples to interleaved sRGB. `None`: the profile's own tables do not allow it.
fn transform(profile: &ColorProfile, layout: Layout, from: &[u8], to: &mut [u8]) -> Option<()> {
    let intent = RenderingIntent::RelativeColorimetric;
    let options = TransformOptions { rendering_intent: intent, ..TransformOptions::default() };
    let transform = profile.create_transform_8bit(layout, &ColorProfile::new_srgb(), Layout::Rgb, options).ok()?;
    transform.transform(from, to).ok()
}

/// Planes of equal size in `colour` become interleaved sRGB.
pub(crate) fn to_srgb(planes: &[Plane], colour: Colour, conversion: &Conversion) -> Result<Vec<u8>, Error> {
    let pixels = planes[0].samples.len();
    let mut rgb: Vec<u8> = zeros(pixels * 3)?;
    match (colour, conversion) {
        (Colour::Grey, Conversion::None) => {
            for (pixel, &grey) in rgb.chunks_exact_mut(3).zip(&planes[0].samples) {
                pixel.fill(grey);
            }
        }
        (Colour::Grey, Conversion::Profile(profile)) => {
            let grey = &planes[0].samples;
            if transform(profile, Layout::Gray, grey, &mut rgb).is_none() {
                return to_srgb(planes, colour, &Conversion::None);
            }
        }
        (Colour::YCbCr | Colour::Rgb, conversion) => {
            interleave(planes, &mut rgb);
            if colour == Colour::YCbCr {
                rgb.chunks_exact_mut(3)
                    .for_each(|pixel| pixel.copy_from_slice(&rgb_of([pixel[0], pixel[1], pixel[2]])));
            }
            if let Conversion::Profile(profile) = conversion {
                let mut converted = zeros(rgb.len())?;
                if transform(profile, Layout::Rgb, &rgb, &mut converted).is_some() {
                    rgb = converted;
                }
            }
        }
        (Colour::Cmyk { inverted } | Colour::Ycck { inverted }, conversion) => {
            let mut ink: Vec<u8> = zeros(pixels * 4)?;
            interleave(planes, &mut ink);
            // From here on 255 is full ink, as profiles have it. YCCK is the YCbCr of "RGB" that is 255 - CMY as stored.
            for pixel in ink.chunks_exact_mut(4) {
                if matches!(colour, Colour::Ycck { .. }) {
                    let cmy = rgb_of([pixel[0], pixel[1], pixel[2]]).map(|light| 255 - light);
                    pixel[..3].copy_from_slice(&cmy);
                }
                if inverted {
                    pixel.iter_mut().for_each(|sample| *sample = 255 - *sample);
                }
            }
            let converted = match conversion {
                Conversion::Profile(profile) => transform(profile, Layout::Rgba, &ink, &mut rgb),
                Conversion::None => None,
            };
            if converted.is_none() {
                for (pixel, ink) in rgb.chunks_exact_mut(3).zip(ink.chunks_exact(4)) {
                    for (light, &colour) in pixel.iter_mut().zip(ink) {
                        *light = product(255 - colour, 255 - ink[3]);
                    }
                }
            }
        }
    }
    Ok(rgb)
}

fn interleave(planes: &[Plane], interleaved: &mut [u8]) {
    for (component, plane) in planes.iter().enumerate() {
        for (pixel, &sample) in interleaved.chunks_exact_mut(planes.len()).zip(&plane.samples) {
            pixel[component] = sample;
        }
    }
}

/// `a * b / 255`, rounded.
fn product(a: u8, b: u8) -> u8 {
    ((u32::from(a) * u32::from(b) + 127) / 255) as u8
}

/// ITU-T T.871, clause 7: YCbCr to RGB, in 1/65536.
fn rgb_of([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    let y = (i32::from(y) << 16) + (1 << 15);
    let (cb, cr) = (i32::from(cb) - 128, i32::from(cr) - 128);
    let clamp = |value: i32| (value >> 16).clamp(0, 255) as u8;
    [clamp(y + 91_881 * cr), clamp(y - 22_554 * cb - 46_802 * cr), clamp(y + 116_130 * cb)]
}

/// ITU-T T.871, clause 7: RGB to YCbCr, in 1/65536.
fn ycbcr_of([r, g, b]: [u8; 3]) -> [u8; 3] {
    let [r, g, b] = [r, g, b].map(i32::from);
    let clamp = |value: i32| ((value + (1 << 15)) >> 16).clamp(0, 255) as u8;
    [
        clamp(19_595 * r + 38_470 * g + 7_471 * b),
        clamp(-11_059 * r - 21_709 * g + 32_768 * b + (128 << 16)),
        clamp(32_768 * r - 27_439 * g - 5_329 * b + (128 << 16)),
    ]
}

/// Interleaved RGB to three planes of luma and colour differences, each at full size.
pub(crate) fn to_ycbcr(rgb: &[u8], width: usize, height: usize) -> Result<[Plane; 3], Error> {
    let mut planes = [Plane::new(width, height)?, Plane::new(width, height)?, Plane::new(width, height)?];
    for (i, pixel) in rgb.chunks_exact(3).enumerate() {
        let sample = ycbcr_of([pixel[0], pixel[1], pixel[2]]);
        for (plane, sample) in planes.iter_mut().zip(sample) {
            plane.samples[i] = sample;
        }
    }
    Ok(planes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ycbcr_and_back_is_the_same_to_two_levels() {
        for r in (0..=255).step_by(15) {
            for g in (0..=255).step_by(15) {
                for b in (0..=255).step_by(15) {
                    let back = rgb_of(ycbcr_of([r, g, b]));
                    // Each of the three is rounded to 1/2; blue's factor is 1.772.
                    assert!([r, g, b].iter().zip(back).all(|(a, b)| a.abs_diff(b) <= 2), "{r} {g} {b} became {back:?}");
                }
            }
        }
    }

    #[test]
    fn srgb_by_any_name_needs_no_conversion() {
        let bytes = |profile: ColorProfile| profile.encode().unwrap();
        let needs = |profile, colour| matches!(conversion(Some(&bytes(profile)), colour), Conversion::Profile(_));
        assert!(!needs(ColorProfile::new_srgb(), Colour::YCbCr));
        assert!(needs(ColorProfile::new_display_p3(), Colour::YCbCr));
        assert!(needs(ColorProfile::new_adobe_rgb(), Colour::Rgb));
        assert!(!needs(ColorProfile::new_adobe_rgb(), Colour::Grey), "a profile for another kind of picture");
        assert!(matches!(conversion(Some(b"no profile"), Colour::YCbCr), Conversion::None));
    }

    #[test]
    fn ink_is_dark_however_it_is_stored() {
        let plane = |sample| Plane { width: 1, height: 1, samples: vec![sample] };
        // Full cyan, half black.
        let upright = [plane(255), plane(0), plane(0), plane(128)];
        let inverted = [plane(0), plane(255), plane(255), plane(127)];
        for (planes, inverted) in [(upright, false), (inverted, true)] {
            let rgb = to_srgb(&planes, Colour::Cmyk { inverted }, &Conversion::None).unwrap();
            assert_eq!(rgb, [0, 127, 127]);
        }
    }
}
