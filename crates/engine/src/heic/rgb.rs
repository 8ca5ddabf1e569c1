//! Red, green and blue from a tile, for pictures that cannot stay luma and colour differences as JPEG has them: those of another matrix
//! than ITU-R BT.601's, and transparent ones, whose colours are multiplied by their opacity pixel by pixel.

use super::average::Level;
use super::hevc::{Frame, Samples, Shape, Signal};
use crate::error::Error;
use crate::pixels::plane::{Plane, zeros};

/// Parts of a level of 255 that the samples have here, so that means are not of rounded numbers.
pub(super) const PARTS: f32 = 16.0;

/// Rows that are converted at a time.
pub(super) const STRIP_ROWS: usize = 16;

/// What luma and colour differences are made of (ITU-T H.273, table 4).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Matrix {
    /// As in JPEG.
    Bt601,
    /// Of other shares of red and blue in the luma.
    Shares { red: f32, blue: f32 },
    /// The planes are green, blue and red themselves.
    Identity,
}

impl Matrix {
    pub fn of(signal: Signal) -> Result<Self, Error> {
        let bt709 = Self::Shares { red: 0.2126, blue: 0.0722 };
        let bt2020 = Self::Shares { red: 0.2627, blue: 0.0593 };
        Ok(match (signal.matrix, signal.primaries) {
            (0, _) => Self::Identity,
            (1, _) | (12, 1) => bt709,
            (2 | 5 | 6, _) | (12, 5 | 6) => Self::Bt601,
            (4, _) => Self::Shares { red: 0.30, blue: 0.11 },
            (7, _) => Self::Shares { red: 0.212, blue: 0.087 },
            (9, _) | (12, 9) => bt2020,
            (12, 11 | 12) => Self::Shares { red: 0.2290, blue: 0.0793 },
            (other, _) => {
                return Err(Error::Unsupported(format!("a HEIC image with matrix coefficients {other} (ITU-T H.273)")));
            }
        })
    }
}

/// Converts tiles.
pub(super) struct Converter {
    matrix: Matrix,
    luma: Level,
    chroma: Level,
    grey: bool,
    /// A row of the colour differences, each for every pixel.
    differences: [Vec<f32>; 2],
    /// [`STRIP_ROWS`] rows of each colour.
    strips: Vec<Vec<u16>>,
}

/// Bytes that a [`Converter`] takes for tiles of so many pixels across.
pub(super) fn working_bytes(width: usize) -> u64 {
    (2 * 4 + 3 * 2 * STRIP_ROWS) as u64 * width as u64
}

impl Converter {
    pub fn new(shape: &Shape, signal: Signal, matrix: Matrix) -> Result<Self, Error> {
        let width = shape.width;
        let strips = (0..if shape.grey { 1 } else { 3 }).map(|_| zeros(STRIP_ROWS * width));
        let strips = strips.collect::<Result<_, _>>()?;
        let chroma_level = if matrix == Matrix::Identity { Level::luma } else { Level::chroma };
        Ok(Self {
            matrix,
            luma: Level::luma(shape.bits.0, signal.full_range),
            chroma: chroma_level(shape.bits.1, signal.full_range),
            grey: shape.grey,
            differences: [zeros(width)?, zeros(width)?],
            strips,
        })
    }

    /// Converts up to [`STRIP_ROWS`] rows of a tile from row `top` on, and columns from `left` on; `alpha` has a row of opacity for
    /// each that the colours must be multiplied by. Gives a plane for each colour.
    pub fn convert<'a>(
        &'a mut self,
        (frame, shape): (&Frame, &Shape),
        (left, top): (usize, usize),
        (width, height): (usize, usize),
        alpha: Option<(&Plane, usize, usize)>,
    ) -> impl Iterator<Item = Samples<'a>> {
        for y in 0..height {
            let opacity = alpha.map(|(plane, x, first)| &plane.row(first + y)[x..x + width]);
            let luma = &shape.shown(frame, 0).row(top + y)[left..left + width];
            let range = y * width..(y + 1) * width;
            if self.grey {
                let gain = self.luma.gain as f32 * PARTS;
                let black = self.luma.black as f32;
                for (to, &sample) in self.strips[0][range.clone()].iter_mut().zip(luma) {
                    *to = clamped((f32::from(sample) - black) * gain);
                }
            } else {
                self.spread_differences(frame, shape, (left, width), top + y);
                self.convert_row(luma, range.clone());
            }
            if let Some(opacity) = opacity {
                for strip in &mut self.strips {
                    for (sample, &alpha) in strip[range.clone()].iter_mut().zip(opacity) {
                        *sample = ((u32::from(*sample) * u32::from(alpha) + 127) / 255) as u16;
                    }
                }
            }
        }
        self.strips.iter().map(move |samples| Samples { samples, stride: width, width, height })
    }

    /// The colour differences of a row, or of what stands in their places, times [`PARTS`].
    fn spread_differences(&mut self, frame: &Frame, shape: &Shape, (left, width): (usize, usize), y: usize) {
        let (across, down) = shape.sampling;
        let gain = self.chroma.gain as f32 * PARTS;
        let black = self.chroma.black as f32;
        for (plane, differences) in (1..).zip(&mut self.differences) {
            let samples = shape.shown(frame, plane).row(y / down);
            let value = |sample: u16| (f32::from(sample) - black) * gain;
            for (x, difference) in differences[..width].iter_mut().enumerate() {
                *difference = value(samples[(left + x) / across]);
            }
        }
    }

    fn convert_row(&mut self, luma: &[u16], range: std::ops::Range<usize>) {
        let (red, blue) = match self.matrix {
            Matrix::Bt601 => (0.299, 0.114),
            Matrix::Shares { red, blue } => (red, blue),
            Matrix::Identity => (0.0, 0.0),
        };
        let green = 1.0 - red - blue;
        let (to_red, to_blue) = (2.0 * (1.0 - red), 2.0 * (1.0 - blue));
        let (green_of_red, green_of_blue) = (to_red * red / green, to_blue * blue / green);
        let gain = self.luma.gain as f32 * PARTS;
        let black = self.luma.black as f32;
        let [r, g, b] = &mut self.strips[..] else { return };
        let pixels = r[range.clone()].iter_mut().zip(&mut g[range.clone()]).zip(&mut b[range]);
        let differences = self.differences[0].iter().zip(&self.differences[1]);
        for ((((r, g), b), &y), (&cb, &cr)) in pixels.zip(luma).zip(differences) {
            let y = (f32::from(y) - black) * gain;
            if self.matrix == Matrix::Identity {
                (*r, *g, *b) = (clamped(cr), clamped(y), clamped(cb));
            } else {
                *r = clamped(y + to_red * cr);
                *g = clamped(y - green_of_red * cr - green_of_blue * cb);
                *b = clamped(y + to_blue * cb);
            }
        }
    }
}

/// Rounded, from 0 to 255 levels.
fn clamped(value: f32) -> u16 {
    (value + 0.5).clamp(0.0, 255.0 * PARTS) as u16
}
