//! HEIC (ISO/IEC 23008-12): HEVC pictures in boxes. A telephone's photograph is a grid of some fifty tiles, each a picture of its own;
//! only those that the thumbnails show are decoded, one after the other, and of each only the means of its squares are kept.
//!
//! ```text
//! file -> container: items, where they are, what they refer to
//!           `-- image: the primary image, its tiles, its opacity, its colours; turn: how it is shown
//! tile -> hevc: decoded  -> average: the means of squares -> planes
//!                 `-- rgb: where it cannot stay YCbCr
//! ```

mod average;
mod container;
mod hevc;
mod image;
mod rgb;
#[cfg(test)]
mod tests;
mod turn;

use std::ops::Range;

use crate::error::Error;
use crate::geometry::{PlaneRequest, Window};
use crate::limits::{Limits, Truncated};
use crate::metadata::Metadata;
use crate::picture::{DecodeMemory, Decoded, Header, Picture};
use crate::pixels::colour::Colour;
use crate::pixels::plane::{PlacedPlane, Plane};
use crate::pixels::reduce::Reduction;
use crate::pixels::resample::Resampler;
use average::{Average, Level};
use container::Container;
use hevc::{Frame, Shape};
use image::{Grid, Image, Primary};
use rgb::{Converter, Matrix, PARTS, STRIP_ROWS};
use turn::Area;

/// From so many pixels for each of a thumbnail's on, each way, the decoder leaves out its filters against the edges of blocks: photographs
/// lose less than 0.1 dB by it, one of strongest compression 1.7 of 52 dB.
const UNFILTERED_SCALE: f64 = 3.0;

/// A HEIC file whose items have been found.
pub(crate) struct Heic<'a> {
    source: &'a [u8],
    idat: &'a [u8],
    primary: Primary<'a>,
    matrix: Matrix,
    header: Header,
    facts: Facts,
}

/// What the file says about the memory that decoding takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    grid: Grid,
    alpha: Option<Grid>,
    area: Area,
    /// Whether the planes are red, green and blue, or grey multiplied by opacity.
    converted: bool,
    /// Bytes of lists.
    list_bytes: usize,
}

impl<'a> Heic<'a> {
    pub fn open(source: &'a [u8], limits: &Limits) -> Result<Self, Error> {
        let container = Container::read(source)?;
        let primary = Primary::find(&container, source, limits)?;
        let Primary { image, alpha, shown, signal, profile } = &primary;
        let grey = image.grid.tile.grey;
        let matrix = if grey { Matrix::Bt601 } else { Matrix::of(*signal)? };
        let converted = alpha.is_some() || matrix != Matrix::Bt601;
        let alpha_tiles = alpha.as_ref().map_or(0, |alpha| alpha.image.tiles.len());
        // Twice what a list holds may be allocated, and while it grows what it had before.
        let list_bytes = 3 * (container.list_bytes() + size_of_val(&*image.tiles) * 2 + alpha_tiles * 128);
        let facts = Facts {
            grid: image.grid,
            alpha: alpha.as_ref().map(|alpha| alpha.image.grid),
            area: shown.area,
            converted,
            list_bytes,
        };
        let header = Header {
            width: shown.area.width,
            height: shown.area.height,
            colour: match grey {
                true => Colour::Grey,
                false if converted => Colour::Rgb,
                false => Colour::YCbCr,
            },
            alpha: alpha.is_some(),
            precision_bits: image.grid.tile.bits.0,
            orientation: shown.orientation,
            profile: profile.clone(),
            metadata: Metadata::default(),
        };
        limits.check_pixels(header.width, header.height)?;
        Ok(Self { source, idat: container.idat(), matrix, header, facts, primary })
    }

    pub fn facts(&self) -> Facts {
        self.facts
    }

    /// Decodes the tiles of an image of which something is wanted, and gives each with the place of its first pixel. After each row of
    /// tiles `finished` is told which row of the picture is the first that has not come. A tile that need not be whole and is not there has
    /// the luma `missing`.
    fn decode_tiles<S>(
        &self,
        image: &Image,
        (columns, rows): (Range<usize>, Range<usize>),
        (missing, filtered, whole): (u16, bool, bool),
        state: &mut S,
        mut add: impl FnMut(&mut S, &Frame, usize, usize),
        mut finished: impl FnMut(&mut S, usize),
    ) -> Result<(), Error> {
        let Shape { width, height, .. } = image.grid.tile;
        if whole {
            // Also those that are not wanted, so that a file is truncated or is not, whatever the thumbnail.
            image.tiles.iter().try_for_each(|tile| tile.check(self.source, self.idat))?;
        }
        let meets = |wanted: &Range<usize>, at: usize, side: usize| wanted.start < at + side && at < wanted.end;
        let mut decoded = 0;
        for (row, tiles) in image.tiles.chunks_exact(image.grid.columns).enumerate() {
            let top = row * height;
            for (column, tile) in tiles.iter().enumerate() {
                let left = column * width;
                if !meets(&columns, left, width) || !meets(&rows, top, height) {
                    continue;
                }
                let data = tile.data(self.source, self.idat, whole)?;
                let frame = match image.coding.decode(&data, filtered, whole) {
                    Ok(frame) => {
                        decoded += 1;
                        frame
                    }
                    Err(error) if whole || image.tiles.len() == 1 => return Err(error),
                    Err(_) => image.coding.blank(missing),
                };
                add(state, &frame, left, top);
            }
            finished(state, top + height);
        }
        if decoded == 0 { Err(Error::Truncated) } else { Ok(()) }
    }

    /// The planes as they are stored.
    fn decode_planes(&self, reductions: &[Reduction], filtered: bool, whole: bool) -> Result<Vec<Plane>, Error> {
        let tile = self.facts.grid.tile;
        let full_range = self.primary.signal.full_range;
        let mut averages = (0..reductions.len())
            .map(|plane| {
                let (across, down) = tile.sampling_of(plane);
                let level = if plane == 0 {
                    Level::luma(tile.bits.0, full_range)
                } else {
                    Level::chroma(tile.bits.1, full_range)
                };
                Average::new(&reductions[plane], level, tile.width / across, tile.height / down)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let wanted = self.facts.wanted(reductions);
        let first = |plane: usize| {
            let area = self.facts.plane_area(plane);
            (area.left as isize, area.top as isize)
        };
        self.decode_tiles(
            &self.primary.image,
            wanted,
            (1 << (tile.bits.0 - 1), filtered, whole),
            &mut averages,
            |averages, frame, left, top| {
                for (plane, average) in averages.iter_mut().enumerate() {
                    let (across, down) = tile.sampling_of(plane);
                    let (x, y) = ((left / across) as isize, (top / down) as isize);
                    average.add(tile.shown(frame, plane), x - first(plane).0, y - first(plane).1);
                }
            },
            |averages, bottom| {
                for (plane, average) in averages.iter_mut().enumerate() {
                    let bottom = (bottom / tile.sampling_of(plane).1) as isize - first(plane).1;
                    average.finish_above(bottom.max(0) as usize);
                }
            },
        )?;
        Ok(averages.into_iter().map(Average::into_plane).collect())
    }

    /// Opacity of the part that is wanted, pixel by pixel.
    fn decode_alpha(&self, part: &Reduction, whole: bool) -> Result<Option<Plane>, Error> {
        let Some(alpha) = &self.primary.alpha else { return Ok(None) };
        let tile = alpha.image.grid.tile;
        let level = Level::luma(tile.bits.0, alpha.full_range);
        let pixels = Reduction { factor: 1, ..part.clone() };
        let mut average = Average::new(&pixels, level, tile.width, tile.height)?;
        let area = self.facts.area;
        self.decode_tiles(
            &alpha.image,
            self.facts.wanted(std::slice::from_ref(part)),
            (0, true, whole),
            &mut average,
            |average, frame, left, top| {
                let (x, y) = (left as isize - area.left as isize, top as isize - area.top as isize);
                average.add(tile.shown(frame, 0), x, y);
            },
            |average, bottom| average.finish_above(bottom.saturating_sub(area.top)),
        )?;
        Ok(Some(average.into_plane()))
    }

    /// The planes converted to red, green and blue, or grey, multiplied by opacity; and the opacity.
    fn decode_converted(&self, reduction: &Reduction, filtered: bool, whole: bool) -> Result<Vec<Plane>, Error> {
        let alpha = self.decode_alpha(reduction, whole)?;
        let Primary { image, signal, .. } = &self.primary;
        let (tile, area) = (image.grid.tile, self.facts.area);
        let mut converter = Converter::new(&tile, *signal, self.matrix)?;
        let level = Level { black: 0.0, gain: 1.0 / f64::from(PARTS), base: 0.0 };
        let mut averages = (0..self.header.colour.components())
            .map(|_| Average::new(reduction, level, tile.width, tile.height))
            .collect::<Result<Vec<_>, _>>()?;
        // Where the colours are multiplied already, they are not multiplied again.
        let multiply = self.primary.alpha.as_ref().is_some_and(|alpha| !alpha.multiplied);
        let (columns, rows) = self.facts.wanted(std::slice::from_ref(reduction));
        self.decode_tiles(
            image,
            (columns.clone(), rows.clone()),
            (1 << (tile.bits.0 - 1), filtered, whole),
            &mut averages,
            |averages, frame, left, top| {
                let across = columns.start.max(left)..columns.end.min(left + tile.width);
                let down = rows.start.max(top)..rows.end.min(top + tile.height);
                for y in down.clone().step_by(STRIP_ROWS) {
                    let size = (across.len(), STRIP_ROWS.min(down.end - y));
                    let opacity = alpha.as_ref().filter(|_| multiply);
                    let opacity = opacity.map(|plane| (plane, across.start - columns.start, y - rows.start));
                    let strips = converter.convert((frame, &tile), (across.start - left, y - top), size, opacity);
                    for (average, strip) in averages.iter_mut().zip(strips) {
                        average.add(strip, (across.start - area.left) as isize, (y - area.top) as isize);
                    }
                }
            },
            |averages, bottom| {
                averages.iter_mut().for_each(|average| average.finish_above(bottom.saturating_sub(area.top)));
            },
        )?;
        let mut planes: Vec<_> = averages.into_iter().map(Average::into_plane).collect();
        if let Some(alpha) = alpha {
            planes.push(mean_of(&alpha, reduction)?);
        }
        Ok(planes)
    }
}

/// Opacity by the pixel, averaged as the colours are.
fn mean_of(alpha: &Plane, reduction: &Reduction) -> Result<Plane, Error> {
    let part = Reduction { factor: reduction.factor, columns: 0..alpha.width, rows: 0..alpha.height };
    let mut reducer = crate::pixels::reduce::Reducer::new(part, 1, false)?;
    alpha.samples.chunks_exact(alpha.width).for_each(|row| reducer.push(row));
    Ok(reducer.finish(&[0]).remove(0).plane)
}

impl Picture for Heic<'_> {
    fn header(&self) -> &Header {
        &self.header
    }

    fn decode(&self, requests: &[Vec<PlaneRequest>], truncated: Truncated) -> Result<Decoded, Error> {
        let whole = truncated == Truncated::Strict;
        let reductions = self.facts.reductions(requests);
        let filtered = requests[0].iter().any(|request| {
            let PlaneRequest { window, width, height } = request;
            (window.width / *width as f64).min(window.height / *height as f64) < UNFILTERED_SCALE
        });
        let planes = if self.facts.converted {
            self.decode_converted(&reductions[0], filtered, whole)?
        } else {
            self.decode_planes(&reductions, filtered, whole)?
        };
        let placed = planes.into_iter().enumerate().map(|(index, plane)| {
            // All planes of a converted picture are alike.
            let index = if self.facts.converted { 0 } else { index };
            let Reduction { factor, columns, rows } = &reductions[index];
            let (across, down) = self.facts.grid.tile.sampling_of(index);
            PlacedPlane {
                plane,
                left: columns.start / factor,
                top: rows.start / factor,
                scale_x: 1.0 / (factor * across) as f64,
                scale_y: 1.0 / (factor * down) as f64,
            }
        });
        Ok(Decoded { planes: placed.collect(), resampler: Resampler::Simd })
    }
}

impl Facts {
    /// The part of a stored plane that is shown. Where it begins in the middle of a sample of a colour difference, it begins with that
    /// sample: a shift of the colours by half a sample, of which thumbnails show nothing.
    fn plane_area(&self, plane: usize) -> Area {
        let (across, down) = self.grid.tile.sampling_of(plane);
        let part = |from: usize, length: usize, by: usize| (from / by, (from + length).div_ceil(by) - from / by);
        let (left, width) = part(self.area.left, self.area.width, across);
        let (top, height) = part(self.area.top, self.area.height, down);
        Area { left, top, width, height }
    }

    /// What is needed of each plane that is decoded; of a converted picture one for all.
    fn reductions(&self, requests: &[Vec<PlaneRequest>]) -> Vec<Reduction> {
        let requests = if self.converted { &requests[..1] } else { requests };
        let of = |(plane, requests): (usize, &Vec<PlaneRequest>)| {
            let (across, down) = self.grid.tile.sampling_of(plane);
            let scaled = requests.iter().map(|request| {
                let Window { left, top, width, height } = request.window;
                let (across, down) = (across as f64, down as f64);
                let window =
                    Window { left: left / across, top: top / down, width: width / across, height: height / down };
                PlaneRequest { window, ..*request }
            });
            let Area { width, height, .. } = self.plane_area(plane);
            Reduction::new(width, height, &scaled.collect::<Vec<_>>())
        };
        let mut reductions: Vec<_> = requests.iter().enumerate().map(of).collect();
        // Colour differences need not be kept finer than luma: rounded up, that still leaves one and a half for each of the thumbnail's.
        let (across, down) = self.grid.tile.sampling;
        let least = reductions[0].factor.div_ceil(across.max(down));
        for (plane, reduction) in reductions.iter_mut().enumerate().skip(1) {
            if reduction.factor < least {
                let Area { width, height, .. } = self.plane_area(plane);
                *reduction = reduction.clone().by(least, (width, height));
            }
        }
        reductions
    }

    /// Columns and rows of the stored picture that the planes are made of.
    fn wanted(&self, reductions: &[Reduction]) -> (Range<usize>, Range<usize>) {
        let union = |a: Range<usize>, b: Range<usize>| a.start.min(b.start)..a.end.max(b.end);
        let pixels = |from: usize, part: &Range<usize>, by: usize| (from + part.start) * by..(from + part.end) * by;
        let parts = reductions.iter().enumerate().map(|(plane, reduction)| {
            let (across, down) = self.grid.tile.sampling_of(plane);
            let area = self.plane_area(plane);
            (pixels(area.left, &reduction.columns, across), pixels(area.top, &reduction.rows, down))
        });
        parts.reduce(|a, b| (union(a.0, b.0), union(a.1, b.1))).unwrap_or((0..0, 0..0))
    }

    pub fn decode_memory(&self, requests: &[Vec<PlaneRequest>]) -> DecodeMemory {
        let reductions = self.reductions(requests);
        let tile = self.grid.tile;
        let decoding = |grid: &Grid| grid.tile.decode_bytes() + 2 * grid.data_bytes as u64;
        let working = |plane: usize| {
            let (across, down) = tile.sampling_of(plane);
            average::working_bytes(&reductions[plane], tile.width / across, tile.height / down)
        };
        let list_bytes = self.list_bytes as u64;
        if !self.converted {
            let planes = reductions.iter().map(Reduction::plane_bytes).sum();
            let working: u64 = (0..reductions.len()).map(working).sum();
            return DecodeMemory { peak: list_bytes + planes + working + decoding(&self.grid), planes };
        }
        let colours = if tile.grey { 1 } else { 3 };
        let planes = reductions[0].plane_bytes() * (colours + u64::from(self.alpha.is_some()));
        let pixels = Reduction { factor: 1, ..reductions[0].clone() };
        let (opacity, opacity_working) = self.alpha.map_or((0, 0), |alpha| {
            let working = average::working_bytes(&pixels, alpha.tile.width, alpha.tile.height);
            (pixels.plane_bytes(), working + decoding(&alpha))
        });
        let colour_working = colours * working(0) + rgb::working_bytes(tile.width) + decoding(&self.grid);
        let averaging = pixels.working_bytes(1);
        let peak = list_bytes + planes + opacity + opacity_working.max(colour_working) + averaging;
        DecodeMemory { peak, planes }
    }
}
