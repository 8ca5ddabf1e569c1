//! From a file's own colours to sRGB, at the thumbnail's size.

use std::sync::Arc;

use moxcms::{
    Chromaticity, CicpColorPrimaries, CicpProfile, ColorPrimaries, ColorProfile, DataColorSpace, Layout,
    MatrixCoefficients, RenderingIntent, ToneReprCurve, TransferCharacteristics, Transform8BitExecutor,
    TransformOptions,
};

use super::plane::{Plane, zeros};
use super::reduce::product;
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

/// Which colours the values of a file's samples stand for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Profile {
    /// Those of sRGB, or the file says nothing.
    Srgb,
    /// Those of an embedded ICC profile.
    Icc(Vec<u8>),
    /// A power of the sample is linear light (PNG's gAMA).
    Gamma {
        /// The power, more than 0.
        exponent: f32,
        /// x and y of white, red, green and blue (PNG's cHRM); `None`: sRGB's.
        chromaticities: Option<[[f32; 2]; 4]>,
    },
    /// Code points of ITU-T H.273.
    Cicp {
        /// Its table 2.
        primaries: u8,
        /// Its table 3.
        transfer: u8,
    },
}

impl Profile {
    /// That of an embedded profile, if there is one.
    pub fn icc(icc: Option<Vec<u8>>) -> Self {
        icc.map_or(Self::Srgb, Self::Icc)
    }

    /// Bytes of an embedded profile.
    pub fn icc_bytes(&self) -> usize {
        if let Self::Icc(icc) = self { icc.len() } else { 0 }
    }

    /// Whether it has a meaning: not all code points do.
    pub fn is_known(&self) -> bool {
        self.read(Colour::Rgb).is_some()
    }

    /// `None`: it says nothing, or is damaged.
    fn read(&self, colour: Colour) -> Option<ColorProfile> {
        match self {
            Self::Srgb => None,
            Self::Icc(icc) => {
                let whole = has_its_tables_once(icc);
                whole.then(|| ColorProfile::new_from_slice(icc).ok()).flatten()
            }
            Self::Gamma { exponent, .. } if colour == Colour::Grey => {
                Some(ColorProfile::new_gray_with_gamma(*exponent))
            }
            Self::Gamma { exponent, chromaticities } => {
                let mut profile = ColorProfile::new_srgb();
                profile.cicp = None;
                if let Some(chromaticities) = chromaticities {
                    let [white, red, green, blue] = chromaticities.map(|[x, y]| Chromaticity { x, y });
                    profile.update_rgb_colorimetry(white.to_xyyb(), ColorPrimaries { red, green, blue });
                }
                let curve = Some(ToneReprCurve::Parametric(vec![*exponent]));
                (profile.red_trc, profile.green_trc, profile.blue_trc) = (curve.clone(), curve.clone(), curve);
                Some(profile)
            }
            Self::Cicp { primaries, transfer } => {
                let color_primaries = CicpColorPrimaries::try_from(*primaries).ok()?;
                let transfer_characteristics = TransferCharacteristics::try_from(*transfer).ok()?;
                let matrix_coefficients = MatrixCoefficients::Bt709;
                let cicp =
                    CicpProfile { color_primaries, transfer_characteristics, matrix_coefficients, full_range: true };
                // Code points without a meaning of their own leave it without curves.
                Some(ColorProfile::new_from_cicp(cicp)).filter(|profile| profile.red_trc.is_some())
            }
        }
    }
}

/// What a profile asks for.
pub(crate) enum Conversion {
    /// The samples are sRGB, or there is no profile: no conversion.
    None,
    /// A profile that is not sRGB.
    Profile(Converter),
}

/// Converts interleaved samples to sRGB.
///
/// The rendering intent is relative colorimetric, white to white, with black point compensation: the black of a profile for paper is
/// dark grey on a screen, and every program that shows photographs stretches it to black.
pub(crate) struct Converter {
    transform: Arc<Transform8BitExecutor>,
    /// By a converted sample: the sample with black stretched to black. `None`: it is black already.
    black_point: Option<Box<[u8; 256]>>,
}

/// Reads a profile. One that is damaged or for another kind of picture is ignored, as in browsers.
pub(crate) fn conversion(profile: &Profile, colour: Colour) -> Conversion {
    let Some(profile) = profile.read(colour) else {
        return Conversion::None;
    };
    let (space, layout) = match colour {
        Colour::Grey => (DataColorSpace::Gray, Layout::Gray),
        Colour::YCbCr | Colour::Rgb => (DataColorSpace::Rgb, Layout::Rgb),
        Colour::Cmyk { .. } | Colour::Ycck { .. } => (DataColorSpace::Cmyk, Layout::Rgba),
    };
    if profile.color_space != space {
        return Conversion::None;
    }
    match Converter::new(&profile, layout) {
        Some(converter) if !converter.is_srgb(&profile) => Conversion::Profile(converter),
        _ => Conversion::None,
    }
}

/// Whether the tables of a profile do not overlap (ICC.1:2022, 7.3). Overlapping tables would be unpacked once for every name.
fn has_its_tables_once(icc: &[u8]) -> bool {
    const HEADER_BYTES: usize = 128;
    let Some((count, tags)) = icc.get(HEADER_BYTES..).and_then(<[u8]>::split_first_chunk) else {
        return false;
    };
    let tags = tags.chunks_exact(12).take(u32::from_be_bytes(*count) as usize);
    let tables = tags.filter(|tag| [b"A2B", b"B2A"].contains(&&[tag[0], tag[1], tag[2]]));
    let bytes: u64 = tables.map(|tag| u64::from(u32::from_be_bytes([tag[8], tag[9], tag[10], tag[11]]))).sum();
    bytes <= icc.len() as u64
}

impl Converter {
    /// `None`: the profile's own tables do not allow it.
    fn new(profile: &ColorProfile, layout: Layout) -> Option<Self> {
        let rendering_intent = RenderingIntent::RelativeColorimetric;
        let options = TransformOptions { rendering_intent, ..TransformOptions::default() };
        let srgb = ColorProfile::new_srgb();
        let transform = profile.create_transform_8bit(layout, &srgb, Layout::Rgb, options).ok()?;
        let mut converter = Self { transform, black_point: None };
        if !profile.is_matrix_shaper() {
            /// The largest difference between the channels of a colour that still counts as black.
            const NEUTRAL: u8 = 24;
            // The darkest that there is: no light; or all ink, or black ink alone where that is darker.
            let darkest: &[u8] = match layout {
                Layout::Rgba => &[255, 255, 255, 255, 0, 0, 0, 255],
                Layout::Gray => &[0],
                _ => &[0, 0, 0],
            };
            let mut seen = vec![0; darkest.len() / layout.channels() * 3];
            converter.convert(darkest, &mut seen)?;
            let luminance = |pixel: &[u8]| {
                let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(linear);
                0.2126 * r + 0.7152 * g + 0.0722 * b
            };
            // A saturated colour is not black: in XYB, which also comes as a profile with tables, three zeros are one.
            let neutral =
                |pixel: &&[u8]| pixel.iter().max().zip(pixel.iter().min()).is_some_and(|(a, b)| a - b <= NEUTRAL);
            let black = seen.chunks_exact(3).filter(neutral).map(luminance).fold(1.0, f32::min);
            converter.black_point = stretch(black);
        }
        Some(converter)
    }

    /// Converts interleaved samples to interleaved sRGB.
    fn convert(&self, from: &[u8], to: &mut [u8]) -> Option<()> {
        self.transform.transform(from, to).ok()?;
        if let Some(stretched) = &self.black_point {
            to.iter_mut().for_each(|sample| *sample = stretched[usize::from(*sample)]);
        }
        Some(())
    }

    /// Whether the profile gives every colour the meaning that sRGB gives it, to one part in 255: there are hundreds of sRGB
    /// profiles in the wild, with as many names, and converting from one to another only costs time and rounding.
    fn is_srgb(&self, profile: &ColorProfile) -> bool {
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
        self.convert(&probe, &mut seen).is_none() || probe.iter().zip(&seen).all(|(a, b)| a.abs_diff(*b) <= 1)
    }
}

/// Black point compensation (Adobe, "Black Point Compensation", as ISO 18619 has it): what has the luminance `black` becomes black,
/// white stays white, and linear light is stretched between. Into sRGB, whose black is 0, that is one curve for all channels.
fn stretch(black: f32) -> Option<Box<[u8; 256]>> {
    /// A level and a half of sRGB: less cannot be told from rounding.
    const NOTHING: f32 = 0.0005;
    /// Lightness 50: a profile whose black is lighter is no picture's.
    const MOST: f32 = 0.184;
    if !(NOTHING..MOST).contains(&black) {
        return None;
    }
    let stretched = |sample: usize| {
        let light = (linear(sample as u8) - black) / (1.0 - black);
        coded(light.max(0.0))
    };
    Some(Box::new(std::array::from_fn(stretched)))
}

/// The light of an sRGB sample (IEC 61966-2-1), 0 to 1.
fn linear(sample: u8) -> f32 {
    let value = f32::from(sample) / 255.0;
    if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
}

/// The opposite.
fn coded(light: f32) -> u8 {
    let value = if light <= 0.003_130_8 { 12.92 * light } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 };
    (value * 255.0).round() as u8
}

/// Planes of equal size in `colour` become interleaved sRGB; a plane of opacity behind them is left out.
pub(crate) fn to_srgb(planes: &[Plane], colour: Colour, conversion: &Conversion) -> Result<Vec<u8>, Error> {
    let pixels = planes[0].samples.len();
    let mut rgb: Vec<u8> = zeros(pixels * 3)?;
    match (colour, conversion) {
        (Colour::Grey, Conversion::None) => {
            for (pixel, &grey) in rgb.chunks_exact_mut(3).zip(&planes[0].samples) {
                pixel.fill(grey);
            }
        }
        (Colour::Grey, Conversion::Profile(converter)) => {
            let grey = &planes[0].samples;
            if converter.convert(grey, &mut rgb).is_none() {
                return to_srgb(planes, colour, &Conversion::None);
            }
        }
        (Colour::YCbCr | Colour::Rgb, conversion) => {
            match (colour, planes) {
                (Colour::YCbCr, [y, cb, cr]) => {
                    let chroma = cb.samples.iter().zip(&cr.samples);
                    for (pixel, (&y, (&cb, &cr))) in rgb.chunks_exact_mut(3).zip(y.samples.iter().zip(chroma)) {
                        pixel.copy_from_slice(&rgb_of([y, cb, cr]));
                    }
                }
                _ => interleave(planes, &mut rgb),
            }
            if let Conversion::Profile(converter) = conversion {
                let mut converted = zeros(rgb.len())?;
                if converter.convert(&rgb, &mut converted).is_some() {
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
                Conversion::Profile(converter) => converter.convert(&ink, &mut rgb),
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

/// ITU-T T.871, clause 7: YCbCr to RGB, in 1/65536.
pub(crate) fn rgb_of([y, cb, cr]: [u8; 3]) -> [u8; 3] {
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
        let needs =
            |profile, colour| matches!(conversion(&Profile::Icc(bytes(profile)), colour), Conversion::Profile(_));
        assert!(!needs(ColorProfile::new_srgb(), Colour::YCbCr));
        assert!(needs(ColorProfile::new_display_p3(), Colour::YCbCr));
        assert!(needs(ColorProfile::new_adobe_rgb(), Colour::Rgb));
        assert!(!needs(ColorProfile::new_adobe_rgb(), Colour::Grey), "a profile for another kind of picture");
        assert!(matches!(conversion(&Profile::Icc(b"no profile".to_vec()), Colour::YCbCr), Conversion::None));
    }

    /// A printer's profile: 16 colours of the corners of CMYK, in Lab, with a black that is dark grey (ICC.1:2001-04, 6.5.7).
    fn printer() -> Vec<u8> {
        let mut tag = b"mft1\0\0\0\0\x04\x03\x02\0".to_vec();
        for (i, j) in (0..3).flat_map(|i| (0..3).map(move |j| (i, j))) {
            tag.extend((if i == j { 1_u32 << 16 } else { 0 }).to_be_bytes());
        }
        (0..4).for_each(|_| tag.extend(0..=255));
        for corner in 0..16 {
            let ink = |bit: u32| f64::from(corner >> bit & 1);
            // Each of C, M, Y takes 15 of 100, K most; cyan alone has a colour.
            let lightness = (100.0 - 15.0 * (ink(3) + ink(2) + ink(1))) * (1.0 - 0.85 * ink(0));
            let blue = if corner == 8 { -40.0 } else { 0.0 };
            tag.extend([(lightness * 2.55) as u8, 128, (128.0 + blue) as u8]);
        }
        (0..3).for_each(|_| tag.extend(0..=255));
        let mut profile = vec![0; 128];
        profile[0..4].copy_from_slice(&(128 + 4 + 12 + tag.len() as u32).to_be_bytes());
        profile[8..12].copy_from_slice(&[2, 0x20, 0, 0]);
        profile[12..40].copy_from_slice(b"prtrCMYKLab \x07\xd0\0\x01\0\x01\0\0\0\0\0\0acsp");
        profile[68..80].copy_from_slice(&[0, 0, 0xf6, 0xd6, 0, 1, 0, 0, 0, 0, 0xd3, 0x2d]);
        profile.extend([0, 0, 0, 1]);
        profile.extend(b"A2B0\0\0\0\x90");
        profile.extend((tag.len() as u32).to_be_bytes());
        profile.extend(tag);
        profile
    }

    #[test]
    fn a_profile_with_tables_is_applied_and_its_black_is_black() {
        let conversion = conversion(&Profile::Icc(printer()), Colour::Cmyk { inverted: false });
        assert!(matches!(conversion, Conversion::Profile(_)));
        let inks = [[0, 0, 0, 0], [255, 0, 0, 0], [0, 0, 0, 255], [255, 255, 255, 255]];
        let planes: Vec<Plane> = (0..4)
            .map(|component| Plane { width: 4, height: 1, samples: inks.map(|ink| ink[component]).to_vec() })
            .collect();
        let rgb = to_srgb(&planes, Colour::Cmyk { inverted: false }, &conversion).unwrap();
        let near = |pixel: usize, expected: [u8; 3]| {
            let made = &rgb[3 * pixel..3 * pixel + 3];
            assert!(made.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 3), "pixel {pixel} is {made:?}");
        };
        near(0, [255, 255, 255]);
        // Lab 84.7, 0, -40 is linear sRGB 0.426, 0.670, 1.308; all ink, Lab 8, 0, 0, has the luminance 0.009, by which it is stretched.
        near(1, [174, 213, 255]);
        // Black ink alone, Lab 14.9, 0, 0, has the luminance 0.019, and 0.010 when stretched.
        near(2, [26, 26, 26]);
        near(3, [0, 0, 0]);
    }

    #[test]
    fn tables_over_each_other_are_not_unpacked() {
        let mut profile = printer();
        let tag = profile[132..144].to_vec();
        assert!(has_its_tables_once(&profile));
        profile[131] = 2;
        profile.splice(144..144, tag);
        profile[144 + 3] = b'1';
        assert!(!has_its_tables_once(&profile));
        assert!(!has_its_tables_once(b"short"));
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
