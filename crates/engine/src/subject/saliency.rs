//! What stands out in a picture: skin, edges, and colours that differ from those around them. Found on the decoded planes averaged down
//! to [`SIDE`] cells, in integers, so that it is the same on every machine; it knows nothing of faces or things.
//!
//! A cell's weight is the sum of
//! - contrast: how far its colour is from the mean of a large square around it (a surround that is cut off at the picture's edge);
//! - edges: differences between neighbouring cells, and fine texture: what is in focus;
//! - saturation beyond the picture's mean;
//! - skin: how near its two colour differences are to those of skin, which is much the same for all people (Chai and Ngan, 1999); the
//!   more of the picture has that colour, the less it says.
//!
//! Only what is above the picture's mean counts. A window of the largest size can move one way only, so the cells are added up to a
//! profile along each side; the window lies where most of the profile is in it, and not near its edge, with a mild preference for
//! the middle, and upwards for a little above it, where heads are.

use crate::error::Error;
use crate::orientation::{Orientation, Point};
use crate::picture::{Decoded, Header};
use crate::pixels::colour::{self, Colour, Conversion};
use crate::pixels::plane::{PlacedPlane, Plane, zeros};

/// Cells along the longer side.
const SIDE: usize = 64;

/// Most rows of a cell that are looked at.
const ROWS_OF_A_CELL: usize = 5;

/// The weights of a picture's cells, added up along each side.
#[derive(Debug)]
pub(crate) struct Saliency {
    /// From the left to the right, and from the top to the bottom of the stored picture.
    columns: Vec<u64>,
    rows: Vec<u64>,
}

/// The most bytes that a [`Saliency`] of a picture of so many columns takes while it is made.
pub(crate) fn memory(stored_w: usize) -> u64 {
    const CELL_BYTES: usize = 128;
    (8 * stored_w + SIDE * SIDE * CELL_BYTES) as u64
}

impl Saliency {
    /// Of planes that are of the whole picture.
    pub fn of(decoded: &Decoded, header: &Header) -> Result<Self, Error> {
        let (cells, texture) = cells(decoded, header)?;
        let weights = weights(&cells, &texture)?;
        let (width, height) = (cells[0].width, cells[0].height);
        let (mut columns, mut rows) = (zeros::<u64>(width)?, zeros::<u64>(height)?);
        for (row, sum) in weights.chunks_exact(width).zip(&mut rows) {
            for (&weight, column) in row.iter().zip(&mut columns) {
                *column += u64::from(weight);
                *sum += u64::from(weight);
            }
        }
        Ok(Self { columns, rows })
    }

    /// The centre of the window of this part of the picture's sides in which most stands out.
    pub fn centre(&self, shown: (f64, f64), orientation: Orientation) -> Point {
        // Heads are up where the picture is upright.
        let (upwards_x, upwards_y) =
            if orientation.transpose { (Some(orientation.flip_y), None) } else { (None, Some(orientation.flip_y)) };
        Point { x: best(&self.columns, shown.0, upwards_x), y: best(&self.rows, shown.1, upwards_y) }
    }
}

/// Where along a side the window's middle lies. `upright`: the side is the upright picture's height, and whether it is stored
/// upside down.
fn best(profile: &[u64], shown: f64, upright: Option<bool>) -> f64 {
    /// In thousandths of what is cut off: where the window likes to be, its weight falling by [`FALL`] towards the far end.
    const MIDDLE: i64 = 500;
    const ABOVE_THE_MIDDLE: i64 = 350;
    const FALL: i64 = 120;
    let all = profile.len();
    let length = ((all as f64 * shown).round() as usize).clamp(1, all);
    let free = all - length;
    if free == 0 || profile.iter().all(|&weight| weight == 0) {
        return 0.5;
    }
    let liked = match upright {
        None => MIDDLE,
        Some(false) => ABOVE_THE_MIDDLE,
        Some(true) => 1000 - ABOVE_THE_MIDDLE,
    };
    let score = |at: usize| {
        let off = (1000 * at as i64 / free as i64 - liked).unsigned_abs();
        let preference = 1000 - FALL as u64 * off * off / 1_000_000;
        inside(&profile[at..at + length]) * preference
    };
    // Of several as good, the nearest to the middle.
    let far_from_the_middle = |at: &usize| at.abs_diff(free - at);
    let at = (0..=free).max_by_key(|at| (score(*at), std::cmp::Reverse(far_from_the_middle(at)))).unwrap_or(0);
    let part = at as f64 / free as f64;
    shown / 2.0 + part * (1.0 - shown)
}

/// The weight in a window. What lies in the outer sixth on either side counts less, down to a half: it is cut off or nearly.
fn inside(window: &[u64]) -> u64 {
    let edge = (window.len() / 6).max(1);
    let counts = |at: usize| {
        let from_the_edge = at.min(window.len() - 1 - at).min(edge);
        (edge + from_the_edge) as u64
    };
    window.iter().enumerate().map(|(at, &weight)| weight * counts(at)).sum::<u64>() / (2 * edge) as u64
}

/// Luma, and the two colour differences, of the cells; and luma's texture.
fn cells(decoded: &Decoded, header: &Header) -> Result<([Plane; 3], Vec<u8>), Error> {
    let longer = header.width.max(header.height);
    let side = |px: usize| (px * SIDE).div_ceil(longer).min(px).max(1);
    let size = (side(header.width), side(header.height));
    let planes = &decoded.planes[..header.colour.components()];
    let detailed = match header.colour {
        Colour::Rgb | Colour::Cmyk { .. } => 1,
        Colour::Grey | Colour::YCbCr | Colour::Ycck { .. } => 0,
    };
    let mut texture = Vec::new();
    let mut means = Vec::new();
    for (index, plane) in planes.iter().enumerate() {
        let wanted = if index == detailed { Some(&mut texture) } else { None };
        means.push(averaged(plane, (header.width, header.height), size, wanted)?);
    }
    let grey = || Ok(Plane { samples: vec![128; size.0 * size.1], ..Plane::new(size.0, size.1)? });
    let cells = match (header.colour, <[Plane; 3]>::try_from(means)) {
        (Colour::YCbCr, Ok(planes)) => planes,
        (_, Ok(planes)) => {
            let rgb = colour::to_srgb(&planes, header.colour, &Conversion::None)?;
            colour::to_ycbcr(&rgb, size.0, size.1)?
        }
        (_, Err(mut planes)) if planes.len() == 1 => [planes.remove(0), grey()?, grey()?],
        (_, Err(planes)) => {
            let rgb = colour::to_srgb(&planes, header.colour, &Conversion::None)?;
            colour::to_ycbcr(&rgb, size.0, size.1)?
        }
    };
    Ok((cells, texture))
}

/// The means of `size` cells of a plane of a picture of `stored` columns and rows. `texture` gets the mean difference between
/// neighbours in each.
fn averaged(
    placed: &PlacedPlane,
    stored: (usize, usize),
    size: (usize, usize),
    texture: Option<&mut Vec<u8>>,
) -> Result<Plane, Error> {
    let plane = &placed.plane;
    // The samples of each cell, at least one.
    let bounds = |cells: usize, all: usize, scale: f64, first: usize, samples: usize| -> Vec<(usize, usize)> {
        let edge = |cell: usize| {
            let at = (cell * all) as f64 / cells as f64 * scale - first as f64;
            (at.max(0.0) as usize).min(samples)
        };
        let part = |cell: usize| {
            let from = edge(cell).min(samples - 1);
            (from, edge(cell + 1).max(from + 1))
        };
        (0..cells).map(part).collect()
    };
    let columns = bounds(size.0, stored.0, placed.scale_x, placed.left, plane.width);
    let rows = bounds(size.1, stored.1, placed.scale_y, placed.top, plane.height);
    let mut means = Plane::new(size.0, size.1)?;
    let mut sums: Vec<u16> = zeros(plane.width)?;
    let mut differences: Vec<u16> = zeros(if texture.is_some() { plane.width } else { 0 })?;
    let mut textures = Vec::new();
    for ((top, bottom), to) in rows.into_iter().zip(means.samples.chunks_exact_mut(size.0)) {
        sums.fill(0);
        differences.fill(0);
        // Some of a cell's rows say as much as all.
        let step = (bottom - top).div_ceil(ROWS_OF_A_CELL);
        let looked_at = (bottom - top).div_ceil(step);
        for y in (top..bottom).step_by(step) {
            let row = plane.row(y);
            sums.iter_mut().zip(row).for_each(|(sum, &sample)| *sum += u16::from(sample));
            let pairs = row.iter().zip(row.get(1..).unwrap_or_default());
            differences.iter_mut().zip(pairs).for_each(|(sum, (a, b))| *sum += u16::from(a.abs_diff(*b)));
        }
        for (&(left, right), mean) in columns.iter().zip(to) {
            let samples = ((right - left) * looked_at) as u32;
            let of = |sums: &[u16]| {
                let sum: u32 = sums[left..right].iter().map(|&sum| u32::from(sum)).sum();
                ((sum + samples / 2) / samples) as u8
            };
            *mean = of(&sums);
            if !differences.is_empty() {
                textures.push(of(&differences));
            }
        }
    }
    if let Some(texture) = texture {
        *texture = textures;
    }
    Ok(means)
}

/// How much each cell stands out from the picture's mean.
fn weights([y, cb, cr]: &[Plane; 3], texture: &[u8]) -> Result<Vec<u32>, Error> {
    let (width, height) = (y.width, y.height);
    let radius = width.max(height) / 3 + 1;
    let around = [Sums::new(y)?, Sums::new(cb)?, Sums::new(cr)?];
    let count = (width * height) as u32;
    let saturation = |i: usize| cb.samples[i].abs_diff(128) as u32 + cr.samples[i].abs_diff(128) as u32;
    let mean_saturation = (0..width * height).map(saturation).sum::<u32>() / count;
    let skin: Vec<u32> = (0..width * height).map(|i| skin(y.samples[i], cb.samples[i], cr.samples[i])).collect();
    // Of the whole picture, in parts of 256.
    let covered = skin.iter().sum::<u32>() / count;
    let mut weights: Vec<u32> = zeros(width * height)?;
    for (i, weight) in weights.iter_mut().enumerate() {
        let (column, row) = (i % width, i / width);
        let mut contrast = 0;
        for ((plane, around), share) in [y, cb, cr].into_iter().zip(&around).zip([1, 2, 2]) {
            contrast += share * u32::from(plane.samples[i].abs_diff(around.mean(column, row, radius)));
        }
        let left = y.samples[i - usize::from(column > 0)];
        let up = y.samples[if row > 0 { i - width } else { i }];
        let edge = u32::from(y.samples[i].abs_diff(left)) + u32::from(y.samples[i].abs_diff(up));
        let texture = texture.get(i).map_or(0, |&texture| u32::from(texture));
        let saturated = saturation(i).saturating_sub(mean_saturation);
        let skin = skin[i] * SKIN_SHARE / (SKIN_SHARE + covered);
        let contrast = contrast.min(MOST_CONTRAST);
        // Skin that is like its surroundings may as well be sand or wood.
        let skin = skin * (MOST_CONTRAST + contrast) / MOST_CONTRAST;
        *weight = contrast + edge.min(MOST_EDGE) + 2 * texture.min(MOST_TEXTURE) + saturated / 2 + skin;
    }
    let mean = (weights.iter().map(|&weight| u64::from(weight)).sum::<u64>() / u64::from(count)) as u32;
    weights.iter_mut().for_each(|weight| *weight = weight.saturating_sub(mean));
    Ok(weights)
}

// How much each counts was found on 24 photographs, and checked on their mirror images in four other shapes; any of the numbers
// halved or doubled changes little.

/// So much skin in a picture, in parts of 256, halves what it says.
const SKIN_SHARE: u32 = 32;

/// More than this is no more conspicuous.
const MOST_CONTRAST: u32 = 130;
const MOST_EDGE: u32 = 40;
const MOST_TEXTURE: u32 = 20;

/// How much a colour is like skin, 0 to 256.
fn skin(y: u8, cb: u8, cr: u8) -> u32 {
    /// The middle of skin's colour differences, and how far they reach.
    const CB: (i32, i32) = (107, 20);
    const CR: (i32, i32) = (153, 18);
    if !(40..=245).contains(&y) {
        return 0;
    }
    let off = |value: u8, (middle, reach): (i32, i32)| {
        let off = (i32::from(value) - middle) * 256 / reach;
        off * off / 256
    };
    (256 - off(cb, CB) - off(cr, CR)).max(0) as u32
}

/// Sums of a plane's upper left rectangles (Viola and Jones' integral image), for means of any rectangle.
struct Sums {
    width: usize,
    height: usize,
    sums: Vec<u32>,
}

impl Sums {
    fn new(plane: &Plane) -> Result<Self, Error> {
        let stride = plane.width + 1;
        let mut sums: Vec<u32> = zeros(stride * (plane.height + 1))?;
        for row in 0..plane.height {
            let mut sum = 0;
            for column in 0..plane.width {
                sum += u32::from(plane.samples[row * plane.width + column]);
                sums[(row + 1) * stride + column + 1] = sums[row * stride + column + 1] + sum;
            }
        }
        Ok(Self { width: plane.width, height: plane.height, sums })
    }

    /// Of the square around a cell, as far as the picture goes.
    fn mean(&self, column: usize, row: usize, radius: usize) -> u8 {
        let (left, right) = (column.saturating_sub(radius), (column + radius + 1).min(self.width));
        let (top, bottom) = (row.saturating_sub(radius), (row + radius + 1).min(self.height));
        let at = |x: usize, y: usize| self.sums[y * (self.width + 1) + x];
        let sum = at(right, bottom) + at(left, top) - at(left, bottom) - at(right, top);
        (sum / ((right - left) * (bottom - top)) as u32) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixels::colour::Profile;
    use crate::pixels::resample::Resampler;

    const UPRIGHT: Orientation = Orientation { transpose: false, flip_x: false, flip_y: false };

    /// A picture of `colour` at each point, 0 to 1, as a decoder gives it: of luma and colour differences, these at half the size.
    fn picture(width: usize, height: usize, colour: impl Fn(f64, f64) -> [u8; 3]) -> (Decoded, Header) {
        let plane = |component: usize, scale: f64| {
            let (w, h) = ((width as f64 * scale) as usize, (height as f64 * scale) as usize);
            let sample =
                |i: usize| colour(((i % w) as f64 + 0.5) / w as f64, ((i / w) as f64 + 0.5) / h as f64)[component];
            let plane = Plane { width: w, height: h, samples: (0..w * h).map(sample).collect() };
            PlacedPlane { plane, left: 0, top: 0, scale_x: scale, scale_y: scale }
        };
        let decoded = Decoded { planes: vec![plane(0, 1.0), plane(1, 0.5), plane(2, 0.5)], resampler: Resampler::Simd };
        let header = Header {
            width,
            height,
            colour: Colour::YCbCr,
            alpha: false,
            precision_bits: 8,
            orientation: UPRIGHT,
            metadata: crate::metadata::Metadata::default(),
            profile: Profile::Srgb,
        };
        (decoded, header)
    }

    fn centre(picture: &(Decoded, Header), shown: (f64, f64)) -> (f64, f64) {
        let Point { x, y } = Saliency::of(&picture.0, &picture.1).unwrap().centre(shown, picture.1.orientation);
        (x, y)
    }

    fn in_ellipse(x: f64, y: f64, centre: (f64, f64), radii: (f64, f64)) -> bool {
        ((x - centre.0) / radii.0).powi(2) + ((y - centre.1) / radii.1).powi(2) < 1.0
    }

    const SKIN: [u8; 3] = [170, 108, 151];
    const GREY: [u8; 3] = [120, 128, 128];
    const RED: [u8; 3] = [100, 100, 210];

    #[test]
    fn a_plain_picture_is_cut_in_the_middle() {
        for colour in [GREY, SKIN, RED, [0, 128, 128], [255, 128, 128]] {
            for shown in [(0.5, 1.0), (1.0, 0.3), (0.01, 1.0), (1.0, 1.0)] {
                assert_eq!(centre(&picture(300, 200, |_, _| colour), shown), (0.5, 0.5));
            }
        }
    }

    #[test]
    fn a_face_in_the_upper_third_is_kept() {
        // A head, and under it a suit in front of a wall with a pattern.
        let portrait = picture(300, 600, |x, y| match () {
            _ if in_ellipse(x, y, (0.5, 0.2), (0.14, 0.08)) => SKIN,
            _ if y > 0.35 && (x - 0.5).abs() < 0.35 => [50, 132, 126],
            _ if ((x * 30.0) as u32 + (y * 60.0) as u32).is_multiple_of(2) => [130, 126, 128],
            _ => GREY,
        });
        let (x, y) = centre(&portrait, (1.0, 0.5));
        assert!(
            x == 0.5 && (0.25..=0.36).contains(&y),
            "the head reaches from 0.12 to 0.28, the window's middle is {y}"
        );
    }

    #[test]
    fn skin_counts_more_than_as_different_a_colour_unless_all_is_like_skin() {
        // Skin at the left; at the right what differs from grey as much, the other way.
        let two = picture(800, 200, |x, _| match () {
            _ if (0.1..0.2).contains(&x) => SKIN,
            _ if (0.8..0.9).contains(&x) => [70, 148, 105],
            _ => GREY,
        });
        assert!(centre(&two, (0.3, 1.0)).0 < 0.3);
        let sand = picture(800, 200, |x, _| if (0.8..0.9).contains(&x) { [120, 150, 110] } else { SKIN });
        assert!(centre(&sand, (0.3, 1.0)).0 > 0.7);
    }

    #[test]
    fn what_has_another_colour_is_kept_at_either_side() {
        for at in [0.12, 0.3, 0.7, 0.88] {
            let wide = picture(800, 200, |x, y| if in_ellipse(x, y, (at, 0.6), (0.05, 0.2)) { RED } else { GREY });
            let (x, y) = centre(&wide, (0.3, 1.0));
            assert!(y == 0.5 && (x - at).abs() < 0.1, "it is at {at}, the window's middle at {x}");
        }
    }

    #[test]
    fn up_is_where_the_upright_picture_has_it() {
        // As much at the top as at the bottom: the upper one is kept, however the picture is stored.
        for value in 1..=8 {
            let orientation = Orientation::from_exif(value).unwrap();
            let size = if orientation.transpose { (576, 192) } else { (192, 576) };
            let (decoded, header) = picture(size.0, size.1, |x, y| {
                let along = if orientation.transpose { x } else { y };
                if (0.125..0.25).contains(&along) || (0.75..0.875).contains(&along) { RED } else { GREY }
            });
            let shown = if orientation.transpose { (0.4, 1.0) } else { (1.0, 0.4) };
            let Point { x, y } = Saliency::of(&decoded, &header).unwrap().centre(shown, orientation);
            let (along, is_first) =
                if orientation.transpose { (x, !orientation.flip_y) } else { (y, !orientation.flip_y) };
            assert_eq!(along < 0.5, is_first, "orientation {value}: {along}");
        }
    }

    #[test]
    fn it_is_found_in_every_colour_model_and_at_every_size() {
        for (width, height) in [(1, 1), (1, 50), (50, 1), (3, 2), (97, 31), (1000, 20)] {
            let (x, y) = centre(&picture(width * 2, height * 2, |x, _| if x < 0.3 { RED } else { GREY }), (0.4, 0.6));
            assert!((0.2..=0.8).contains(&x) && (0.3..=0.7).contains(&y), "{width}x{height}: {x}, {y}");
        }
        // A light spot at the left; planes of one size, one for each component.
        for colour in [Colour::Grey, Colour::Rgb, Colour::Cmyk { inverted: true }, Colour::Ycck { inverted: true }] {
            let (mut decoded, mut header) = picture(400, 100, |x, _| if x < 0.2 { [220; 3] } else { [60; 3] });
            let plane = decoded.planes[0].clone();
            decoded.planes = vec![plane; colour.components()];
            if matches!(colour, Colour::Ycck { .. }) {
                decoded.planes[1].plane.samples.fill(128);
                decoded.planes[2].plane.samples.fill(128);
            }
            header.colour = colour;
            let (x, _) = centre(&(decoded, header), (0.3, 1.0));
            assert!(x < 0.25, "{colour:?}: {x}");
        }
    }

    #[test]
    fn skin_of_all_people_counts_and_the_sky_and_grass_do_not() {
        // From the Monk scale's lightest, a middle and a dark tone, and sRGB of a sky, of leaves, of a red car.
        let skin_of = |rgb: [u8; 3]| {
            let [y, cb, cr] = colour::to_ycbcr(&rgb, 1, 1).unwrap().map(|plane| plane.samples[0]);
            skin(y, cb, cr)
        };
        for tone in [[224, 172, 138], [198, 134, 102], [141, 85, 60], [110, 66, 48]] {
            assert!(skin_of(tone) > 100, "{tone:?}: {}", skin_of(tone));
        }
        for other in [[120, 170, 230], [60, 120, 40], [220, 20, 20], [128, 128, 128], [255, 255, 255]] {
            assert_eq!(skin_of(other), 0, "{other:?}");
        }
    }
}
