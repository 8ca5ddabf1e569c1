//! The container (RFC 9649, section 2): RIFF chunks, of which those of the first picture are found.

use super::vp8l::Head;
use super::{vp8, vp8l};
use crate::error::Error;
use crate::limits::Limits;
use crate::metadata::Metadata;

/// What every file begins with, but for the four bytes of its length between the two.
const SIGNATURE: (&[u8], &[u8]) = (b"RIFF", b"WEBP");

pub(crate) fn is_webp(source: &[u8]) -> bool {
    source.starts_with(SIGNATURE.0) && source.get(8..12) == Some(SIGNATURE.1)
}

/// The largest profile that is applied.
const MAX_ICC_BYTES: usize = 4 << 20;

/// What is found in a file. All sizes are checked against each other.
#[derive(Clone, Debug)]
pub(super) struct Container<'a> {
    /// Columns and rows of the picture.
    pub size: (usize, usize),
    pub frame: Frame<'a>,
    /// Whether something of the picture can be transparent.
    pub alpha: bool,
    pub icc: Option<&'a [u8]>,
    pub metadata: Metadata,
    /// The frame's data ends before its chunk.
    pub truncated: bool,
}

/// The picture, or the first one of an animation, which can be a part of its canvas.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    pub left: usize,
    pub top: usize,
    pub width: usize,
    pub height: usize,
    pub data: Data<'a>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Data<'a> {
    /// VP8, and the chunk of its opacity.
    Lossy {
        vp8: &'a [u8],
        alpha: Option<&'a [u8]>,
    },
    Lossless(&'a [u8]),
}

#[derive(Clone, Copy, Debug)]
struct Chunk<'a> {
    name: &'a [u8; 4],
    /// As much of it as there is.
    data: &'a [u8],
    complete: bool,
}

/// The chunks of a file or of a frame, up to the one that ends behind its end.
fn chunks(mut bytes: &[u8]) -> impl Iterator<Item = Chunk<'_>> {
    std::iter::from_fn(move || {
        let (name, rest) = bytes.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length) as usize;
        let (data, after) = rest.split_at(length.min(rest.len()));
        // Chunks have an even length.
        bytes = after.get(length % 2..).unwrap_or_default();
        Some(Chunk { name, data, complete: data.len() == length })
    })
}

impl<'a> Container<'a> {
    /// Finds what a file has, and checks the picture's size against the limits.
    pub fn read(source: &'a [u8], limits: &Limits) -> Result<Self, Error> {
        let (length, rest) = source.get(4..).and_then(<[u8]>::split_first_chunk::<4>).ok_or(Error::Truncated)?;
        let length = u32::from_le_bytes(*length) as usize;
        let body = rest.get(4..length.min(rest.len())).ok_or(Error::Truncated)?;
        let first = chunks(body).next().ok_or(Error::Truncated)?;
        if first.name == b"VP8X" {
            return Self::extended(body, rest.len() < length, first.data, limits);
        }
        let (frame, alpha, truncated) = frame(body)?.ok_or_else(|| no_picture(rest.len() < length))?;
        limits.check_pixels(frame.width, frame.height)?;
        Ok(Self {
            size: (frame.width, frame.height),
            frame,
            alpha,
            icc: None,
            metadata: Metadata::default(),
            truncated,
        })
    }

    /// `cut`: the file ends before its body does.
    fn extended(body: &'a [u8], cut: bool, head: &[u8], limits: &Limits) -> Result<Self, Error> {
        const ANIMATED: u8 = 2;
        let &[flags, _, _, _, w0, w1, w2, h0, h1, h2] = head.first_chunk().ok_or(Error::Truncated)?;
        let size = (1 + triple([w0, w1, w2]), 1 + triple([h0, h1, h2]));
        limits.check_pixels(size.0, size.1)?;
        let find = |name: &[u8; 4]| chunks(body).find(|chunk| chunk.name == name);
        let (frame, frame_alpha, truncated) = if flags & ANIMATED != 0 {
            let chunk = find(b"ANMF").ok_or_else(|| no_picture(cut))?;
            first_of_animation(chunk.data, chunk.complete)?
        } else {
            frame(body)?.ok_or_else(|| no_picture(cut))?
        };
        let fits = frame.left + frame.width <= size.0 && frame.top + frame.height <= size.1;
        let covers = (frame.width, frame.height) == size;
        if !fits || (flags & ANIMATED == 0 && !covers) {
            return Err(Error::Corrupt("its picture has another size than its header says".into()));
        }
        let mut metadata = Metadata::default();
        find(b"EXIF").iter().for_each(|chunk| metadata.add_exif(chunk.data));
        find(b"XMP ").iter().for_each(|chunk| metadata.add_xmp(chunk.data));
        let icc = find(b"ICCP").filter(|chunk| chunk.complete && chunk.data.len() <= MAX_ICC_BYTES);
        Ok(Self { size, frame, alpha: frame_alpha || !covers, icc: icc.map(|chunk| chunk.data), metadata, truncated })
    }
}

/// The frame in an animation's chunk. What it is blended with is transparent, so that it is shown as it is.
fn first_of_animation(chunk: &[u8], complete: bool) -> Result<(Frame<'_>, bool, bool), Error> {
    const HEAD_BYTES: usize = 16;
    let (head, body) = chunk.split_first_chunk::<HEAD_BYTES>().ok_or(Error::Truncated)?;
    let [left, top, width, height] = [0, 3, 6, 9].map(|at| triple([head[at], head[at + 1], head[at + 2]]));
    let (mut frame, alpha, truncated) = frame(body)?.ok_or_else(|| no_picture(!complete))?;
    if (frame.width, frame.height) != (width + 1, height + 1) {
        return Err(Error::Corrupt("its first frame has another size than its header says".into()));
    }
    (frame.left, frame.top) = (2 * left, 2 * top);
    Ok((frame, alpha, truncated))
}

/// The first picture of some chunks, whether it can be transparent, and whether it is truncated.
fn frame(body: &[u8]) -> Result<Option<(Frame<'_>, bool, bool)>, Error> {
    let mut opacity = None;
    for Chunk { name, data, complete } in chunks(body) {
        match name {
            b"ALPH" => opacity = opacity.or(Some(data)),
            b"VP8 " => {
                let (width, height) = vp8::size(data)?;
                let data = Data::Lossy { vp8: data, alpha: opacity };
                return Ok(Some((Frame { left: 0, top: 0, width, height, data }, opacity.is_some(), !complete)));
            }
            b"VP8L" => {
                let Head { width, height, alpha } = vp8l::Head::read(data)?;
                let data = Data::Lossless(data);
                return Ok(Some((Frame { left: 0, top: 0, width, height, data }, alpha, !complete)));
            }
            _ => {}
        }
    }
    Ok(None)
}

fn triple([low, middle, high]: [u8; 3]) -> usize {
    u32::from_le_bytes([low, middle, high, 0]) as usize
}

/// `cut`: there may have been one.
fn no_picture(cut: bool) -> Error {
    if cut { Error::Truncated } else { Error::Corrupt("it has no picture".into()) }
}
