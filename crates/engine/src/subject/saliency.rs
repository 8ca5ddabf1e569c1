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
use crate::exif::Orientation;
use crate::geometry::Point;
use crate::picture::{Decoded, Header};
use crate::pixels::colour::{self, Colour, Conversion};
use crate::pixels::plane::{PlacedPlane, Plane, zeros};

/// Cells along the longer side.
const SIDE: usize = 96;

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

/// The weight in a window. What lies in the outer eighth on either side counts less, down to a half: it is cut off or nearly.
fn inside(window: &[u64]) -> u64 {
    let edge = (window.len() / 8).max(1);
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
    let mut sums: Vec<u32> = zeros(plane.width)?;
    let mut differences: Vec<u32> = zeros(if texture.is_some() { plane.width } else { 0 })?;
    let mut textures = Vec::new();
    for ((top, bottom), to) in rows.into_iter().zip(means.samples.chunks_exact_mut(size.0)) {
        sums.fill(0);
        differences.fill(0);
        for y in top..bottom {
            let row = plane.row(y);
            sums.iter_mut().zip(row).for_each(|(sum, &sample)| *sum += u32::from(sample));
            let pairs = row.iter().zip(row.get(1..).unwrap_or_default());
            differences.iter_mut().zip(pairs).for_each(|(sum, (a, b))| *sum += u32::from(a.abs_diff(*b)));
        }
        for (&(left, right), mean) in columns.iter().zip(to) {
            let samples = ((right - left) * (bottom - top)) as u64;
            let of = |sums: &[u32]| {
                let sum: u64 = sums[left..right].iter().map(|&sum| u64::from(sum)).sum();
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
    let radius = width.max(height) / 4 + 1;
    let around = [Sums::new(y)?, Sums::new(cb)?, Sums::new(cr)?];
    let count = (width * height) as u32;
    let saturation = |i: usize| cb.samples[i].abs_diff(128) as u32 + cr.samples[i].abs_diff(128) as u32;
    let mean_saturation = (0..width * height).map(saturation).sum::<u32>() / count;
    let skin: Vec<u32> = (0..width * height).map(|i| skin(y.samples[i], cb.samples[i], cr.samples[i])).collect();
    // Of the whole picture, in 256ths.
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
        *weight = contrast + edge.min(60) + 2 * texture.min(20) + saturated + skin * (128 + contrast.min(128)) / 256;
    }
    let mean = (weights.iter().map(|&weight| u64::from(weight)).sum::<u64>() / u64::from(count)) as u32;
    weights.iter_mut().for_each(|weight| *weight = weight.saturating_sub(mean));
    Ok(weights)
}

/// So much skin in a picture, in 256ths, halves what it says.
const SKIN_SHARE: u32 = 32;

/// How much a colour is like skin, 0 to 256.
fn skin(y: u8, cb: u8, cr: u8) -> u32 {
    /// The middle of skin's colour differences, and how far they reach.
    const CB: (i32, i32) = (108, 20);
    const CR: (i32, i32) = (151, 16);
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
