//! From the frame to reduced planes: luma and colour differences of an opaque lossy picture, and pixels of all others.

use super::alpha::AlphaRows;
use super::container::{Container, Data, Frame};
use super::{vp8, vp8l};
use crate::error::Error;
use crate::geometry::{PlaneRequest, Window};
use crate::limits::Truncated;
use crate::pixels::plane::{PlacedPlane, zeros};
use crate::pixels::reduce::{Reducer, Reduction};

/// What rows that are missing show: grey, by luma in the range of video; or nothing, where the picture has opacity.
const GREY: u8 = 128;
const GREY_LUMA: u8 = 126;

/// Decodes the planes of an opaque lossy picture.
pub(super) fn ycbcr(
    container: &Container,
    vp8: &[u8],
    requests: &[Vec<PlaneRequest>],
    truncated: Truncated,
) -> Result<Vec<PlacedPlane>, Error> {
    let reducers = plane_reductions(container.size, requests).map(|reduction| Reducer::new(reduction, 1, false));
    let [luma, blue, red] = reducers;
    let mut sink = Planes { reducers: [luma?, blue?, red?], any: false };
    let [luma, blue, red] = &sink.reducers;
    let (luma, chroma) = (luma.rows(), [blue.rows(), red.rows()]);
    let first = chroma.iter().map(|rows| 2 * rows.start).fold(luma.start, usize::min);
    let end = chroma.iter().map(|rows| 2 * rows.end).fold(luma.end, usize::max);
    let decoded = vp8::decode(vp8, first..end, &mut sink);
    accept(decoded, container.truncated, sink.any, truncated)?;
    let [luma, blue, red] = sink.reducers;
    let mut planes = [luma.finish(&[GREY_LUMA]), blue.finish(&[GREY]), red.finish(&[GREY])].concat();
    let ([luma], chroma) = planes.split_first_chunk_mut::<1>().ok_or(Error::OutOfMemory)?;
    expand(&mut luma.plane.samples, 16, 219);
    for placed in chroma {
        expand(&mut placed.plane.samples, 128, 224);
        (placed.scale_x, placed.scale_y) = (placed.scale_x / 2.0, placed.scale_y / 2.0);
    }
    Ok(planes)
}

/// The reductions of luma, and of the colour differences, which have half its size.
pub(super) fn plane_reductions(size: (usize, usize), requests: &[Vec<PlaneRequest>]) -> [Reduction; 3] {
    std::array::from_fn(|plane| {
        let requests = &requests[plane];
        if plane == 0 {
            return Reduction::new(size.0, size.1, requests);
        }
        let half = |request: &PlaneRequest| {
            let Window { left, top, width, height } = request.window;
            let window = Window { left: left / 2.0, top: top / 2.0, width: width / 2.0, height: height / 2.0 };
            PlaneRequest { window, ..*request }
        };
        let requests: Vec<_> = requests.iter().map(half).collect();
        Reduction::new(size.0.div_ceil(2), size.1.div_ceil(2), &requests)
    })
}

/// From the range of video, 219 or 224 levels around a value that stays, to that of T.871.
fn expand(samples: &mut [u8], zero: i32, levels: i32) {
    let stays = if zero == 16 { 0 } else { zero };
    let table: [u8; 256] = std::array::from_fn(|sample| {
        let scaled = (sample as i32 - zero) * 255;
        (stays + (2 * scaled + levels).div_euclid(2 * levels)).clamp(0, 255) as u8
    });
    samples.iter_mut().for_each(|sample| *sample = table[usize::from(*sample)]);
}

struct Planes {
    reducers: [Reducer; 3],
    any: bool,
}

impl vp8::RowSink for Planes {
    fn row(&mut self, plane: usize, y: usize, samples: &[u8]) -> Result<(), Error> {
        let reducer = &mut self.reducers[plane];
        if reducer.rows().contains(&y) {
            reducer.push(samples);
            self.any = true;
        }
        Ok(())
    }
}

/// Decodes the pixels of a picture that is not all of these: lossy, opaque, and as large as the canvas.
pub(super) fn rgb(
    container: &Container,
    requests: &[Vec<PlaneRequest>],
    truncated: Truncated,
) -> Result<Vec<PlacedPlane>, Error> {
    let (width, height) = container.size;
    let channels = if container.alpha { 4 } else { 3 };
    // All planes of such a picture are requested alike.
    let reducer = Reducer::new(Reduction::new(width, height, &requests[0]), channels, container.alpha)?;
    let frame = &container.frame;
    let mut canvas =
        Canvas { reducer, line: zeros(width * channels)?, channels, left: frame.left, next: 0, any: false };
    canvas.blank(frame.top);
    let decoded = match frame.data {
        Data::Lossless(data) => lossless(data, frame, &mut canvas),
        Data::Lossy { vp8, alpha } => lossy(vp8, alpha, frame, &mut canvas),
    };
    accept(decoded, container.truncated, canvas.any, truncated)?;
    canvas.blank_rest(height - frame.top - frame.height, height);
    Ok(canvas.reducer.finish(if container.alpha { &[0; 4] } else { &[GREY; 3] }))
}

/// Whether what came of decoding is enough. `cut`: the file ends before the picture does.
fn accept(decoded: Result<(), Error>, cut: bool, any: bool, truncated: Truncated) -> Result<(), Error> {
    match (decoded, truncated) {
        (Err(Error::OutOfMemory), _) => Err(Error::OutOfMemory),
        (Ok(()), Truncated::Strict) if cut => Err(Error::Truncated),
        (Err(_), Truncated::BestEffort) if any => Ok(()),
        (decoded, _) => decoded,
    }
}

/// The rows of the picture, into which those of the frame are put.
struct Canvas {
    reducer: Reducer,
    /// A row of the picture, transparent outside the frame.
    line: Vec<u8>,
    channels: usize,
    /// Where the frame begins.
    left: usize,
    /// The number of the next row.
    next: usize,
    /// A row of the frame came that is wanted.
    any: bool,
}

impl Canvas {
    /// The part of the line that the frame's next row belongs into, from the first column on. `None`: it is not wanted.
    fn wanted(&mut self) -> Option<&mut [u8]> {
        if self.reducer.rows().contains(&self.next) {
            return Some(&mut self.line[self.left * self.channels..]);
        }
        self.next += 1;
        None
    }

    /// The row is in the line.
    fn push(&mut self) {
        self.reducer.push(&self.line);
        self.any = true;
        self.next += 1;
    }

    /// Rows above or below the frame.
    fn blank(&mut self, rows: usize) {
        let wanted = self.reducer.rows();
        self.line.fill(0);
        let end = self.next + rows;
        for _ in self.next.max(wanted.start)..end.min(wanted.end) {
            self.reducer.push(&self.line);
        }
        self.next = end;
    }

    /// Those below it, if all of the frame came.
    fn blank_rest(&mut self, rows: usize, height: usize) {
        if self.next + rows == height {
            self.blank(rows);
        }
    }

    /// One past the last row of the frame, itself at `top`, that is wanted.
    fn end(&self, frame: &Frame) -> usize {
        self.reducer.rows().end.saturating_sub(frame.top).min(frame.height)
    }
}

fn lossless(data: &[u8], frame: &Frame, canvas: &mut Canvas) -> Result<(), Error> {
    let end = canvas.end(frame);
    if end == 0 {
        return Ok(());
    }
    let mut rows = vp8l::Rows::new(data)?;
    let mut row = zeros(frame.width)?;
    for _ in 0..end {
        rows.next(&mut row)?;
        let channels = canvas.channels;
        let Some(line) = canvas.wanted() else { continue };
        let pixels = row.iter().map(|pixel| pixel.to_le_bytes());
        if channels == 4 {
            let to = line.as_chunks_mut::<4>().0.iter_mut();
            to.zip(pixels).for_each(|(to, [blue, green, red, alpha])| *to = [red, green, blue, alpha]);
        } else {
            let to = line.as_chunks_mut::<3>().0.iter_mut();
            to.zip(pixels).for_each(|(to, [blue, green, red, _])| *to = [red, green, blue]);
        }
        canvas.push();
    }
    Ok(())
}

fn lossy(vp8: &[u8], alpha: Option<&[u8]>, frame: &Frame, canvas: &mut Canvas) -> Result<(), Error> {
    let end = canvas.end(frame);
    if end == 0 {
        return Ok(());
    }
    let (width, height) = (frame.width, frame.height);
    let alpha = alpha.map(|chunk| AlphaRows::new(chunk, width, height)).transpose()?;
    let chroma = || zeros(width.div_ceil(2));
    let mut sink = Pixels { alpha, chroma: [chroma()?, chroma()?], opaque: [255].repeat(width), canvas };
    vp8::decode(vp8, 0..end, &mut sink)
}

/// Turns rows of luma and colour differences into pixels.
struct Pixels<'a, 'b> {
    alpha: Option<AlphaRows<'a>>,
    /// The last rows of the colour differences, which belong to two of luma.
    chroma: [Vec<u8>; 2],
    /// The opacity of a row without any.
    opaque: Vec<u8>,
    canvas: &'b mut Canvas,
}

impl vp8::RowSink for Pixels<'_, '_> {
    fn row(&mut self, plane: usize, _y: usize, samples: &[u8]) -> Result<(), Error> {
        if plane > 0 {
            self.chroma[plane - 1].copy_from_slice(samples);
            return Ok(());
        }
        let alpha = match &mut self.alpha {
            Some(rows) => rows.next()?,
            None => &self.opaque,
        };
        let Some(line) = self.canvas.wanted() else { return Ok(()) };
        let [blue, red] = &self.chroma;
        let pixels = line.as_chunks_mut::<4>().0.chunks_mut(2);
        let chroma = blue.iter().zip(red).map(|(&blue, &red)| Chroma::new(blue, red));
        for (((to, luma), alpha), chroma) in pixels.zip(samples.chunks(2)).zip(alpha.chunks(2)).zip(chroma) {
            for ((to, &luma), &alpha) in to.iter_mut().zip(luma).zip(alpha) {
                *to = chroma.pixel(luma, alpha);
            }
        }
        self.canvas.push();
        Ok(())
    }
}

/// What the colour differences of two pixels add to red, green and blue: BT.601 in the range of video, in 1/65536.
struct Chroma([i32; 3]);

impl Chroma {
    #[inline(always)]
    fn new(blue: u8, red: u8) -> Self {
        let (blue, red) = (i32::from(blue) - 128, i32::from(red) - 128);
        Self([104_597 * red, -25_675 * blue - 53_279 * red, 132_201 * blue])
    }

    #[inline(always)]
    fn pixel(&self, luma: u8, alpha: u8) -> [u8; 4] {
        let luma = (i32::from(luma) - 16) * 76_309 + (1 << 15);
        let [red, green, blue] = self.0.map(|part| ((luma + part) >> 16).clamp(0, 255) as u8);
        [red, green, blue, alpha]
    }
}
