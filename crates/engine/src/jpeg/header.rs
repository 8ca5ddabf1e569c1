//! The head of a JPEG file: everything before the first scan's data, read without decoding a pixel.
//!
//! Segment layout and marker codes are those of ITU-T T.81, annex B.

use memchr::memchr;

use crate::error::Error;
use crate::metadata::Metadata;
use crate::picture::Header;
use crate::pixels::colour::{Colour, Profile};

/// Marker codes (T.81, table B.1), the second byte of the pair.
pub(crate) mod marker {
    pub const SOF0: u8 = 0xc0;
    pub const SOF2: u8 = 0xc2;
    pub const DQT: u8 = 0xdb;
    pub const DRI: u8 = 0xdd;
    pub const DHT: u8 = 0xc4;
    pub const RST0: u8 = 0xd0;
    pub const RST7: u8 = 0xd7;
    pub const SOI: u8 = 0xd8;
    pub const EOI: u8 = 0xd9;
    pub const SOS: u8 = 0xda;
    pub const APP0: u8 = 0xe0;
    pub const APP1: u8 = 0xe1;
    pub const APP2: u8 = 0xe2;
    pub const APP14: u8 = 0xee;
    pub const TEM: u8 = 0x01;
    /// The markers between TEM and this one are reserved.
    pub const LAST_RESERVED: u8 = 0xbf;
}

/// Most bytes of an embedded ICC profile that are kept; a larger one is ignored. Printers' profiles reach 3 MiB.
const MAX_ICC_BYTES: usize = 4 << 20;

/// Most scans of a file. Programs write at most about 20 (jpegtran's own script: 10); each scan costs a pass over the whole
/// picture, and needs few bytes.
pub(crate) const MAX_SCANS: usize = 100;

/// How the coefficients are coded, from the frame header's marker (T.81, table B.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    /// SOF0 and SOF1: Huffman coded, one pass.
    Sequential,
    /// SOF2: Huffman coded, many passes.
    Progressive,
    /// Arithmetic, lossless or hierarchical coding: not supported.
    Other(u8),
}

/// One component's entry in the frame header (T.81, B.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameComponent {
    pub id: u8,
    /// Sampling factors, 1 to 4.
    pub h: usize,
    pub v: usize,
    /// Which quantisation table, 0 to 3.
    pub quantisation: usize,
}

/// The frame header (T.81, B.2.2). Width, height, and the number of components are not 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub process: Process,
    pub precision_bits: u8,
    pub width: usize,
    pub height: usize,
    pub components: Vec<FrameComponent>,
}

impl Frame {
    pub fn h_max(&self) -> usize {
        self.components.iter().map(|component| component.h).max().unwrap_or(1)
    }

    /// How many blocks of 8 x 8 samples the picture has, those that only fill up MCUs not counted.
    pub fn blocks(&self) -> usize {
        let blocks = |px: usize, factor: usize, most: usize| (px * factor).div_ceil(8 * most);
        let (h_max, v_max) = (self.h_max(), self.v_max());
        self.components.iter().map(|c| blocks(self.width, c.h, h_max) * blocks(self.height, c.v, v_max)).sum()
    }

    pub fn v_max(&self) -> usize {
        self.components.iter().map(|component| component.v).max().unwrap_or(1)
    }
}

/// One marker and its parameters, without the length.
pub(crate) struct Segment<'a> {
    pub marker: u8,
    pub payload: &'a [u8],
    /// Where in the file the segment ends.
    pub end: usize,
}

/// The segment that begins at or after `at`: the next marker that has parameters, or EOI.
///
/// Bytes outside segments are skipped, as in libjpeg, and so is entropy-coded data: called after a scan's header, this finds
/// the marker that ends the scan. [`Error::Truncated`] when the file ends first.
pub(crate) fn next_segment(source: &[u8], mut at: usize) -> Result<Segment<'_>, Error> {
    loop {
        let rest = source.get(at..).ok_or(Error::Truncated)?;
        at += memchr(0xff, rest).ok_or(Error::Truncated)? + 1;
        match *source.get(at).ok_or(Error::Truncated)? {
            0xff => {} // a fill byte; the next may be the marker's
            0 | marker::TEM | marker::RST0..=marker::RST7 | marker::SOI => at += 1, // data, or no parameters
            marker::EOI => {
                return Ok(Segment { marker: marker::EOI, payload: &[], end: at + 1 });
            }
            marker => {
                let length: [u8; 2] =
                    source.get(at + 1..at + 3).ok_or(Error::Truncated)?.try_into().unwrap_or_default();
                let length = usize::from(u16::from_be_bytes(length));
                if length < 2 {
                    return Err(Error::Corrupt(format!(
                        "the segment of marker FF{marker:02X} has an invalid length, {length}"
                    )));
                }
                let payload = source.get(at + 3..at + 1 + length).ok_or(Error::Truncated)?;
                return Ok(Segment { marker, payload, end: at + 1 + length });
            }
        }
    }
}

/// Reads the head of `source`, up to and including the first scan's header.
///
/// The last item returned is the payload of the first scan's header.
pub(crate) fn read(source: &[u8]) -> Result<(Header, Frame, &[u8]), Error> {
    let mut frame = None;
    let mut metadata = Metadata::default();
    let mut jfif = false;
    let mut adobe = None;
    let mut icc = IccChunks::default();
    let mut at = 2;
    let first_scan = loop {
        let segment = next_segment(source, at)?;
        at = segment.end;
        match segment.marker {
            marker::APP0 => jfif |= segment.payload.starts_with(b"JFIF\0"),
            marker::APP1 => read_app1(segment.payload, &mut metadata),
            marker::APP2 => icc.add(segment.payload),
            marker::APP14 if segment.payload.starts_with(b"Adobe") => adobe = segment.payload.get(11).copied(),
            // Lossless, hierarchical and arithmetic frames too, all but the three codes between them that mean other things.
            marker::SOF0..=0xcf if ![marker::DHT, 0xc8, 0xcc].contains(&segment.marker) => {
                if frame.is_some() {
                    return Err(Error::Corrupt("there are two frame headers".into()));
                }
                frame = Some(read_frame(segment.marker, segment.payload)?);
            }
            marker::SOS => break segment.payload,
            marker::EOI => return Err(Error::Corrupt("it ends before the first scan".into())),
            _ => {}
        }
    };
    let frame = frame.ok_or_else(|| Error::Corrupt("a scan comes before the frame header".into()))?;
    let colour = colour(&frame, jfif, adobe)?;
    let (width, height) = (frame.width, frame.height);
    let orientation = metadata.orientation();
    let precision_bits = frame.precision_bits;
    let profile = Profile::icc(icc.join());
    let header = Header { width, height, colour, alpha: false, precision_bits, orientation, metadata, profile };
    Ok((header, frame, first_scan))
}

/// Exif (Exif 2.32, 4.7.2) or XMP (ISO 16684-3, 5.3), or something else.
fn read_app1(payload: &[u8], metadata: &mut Metadata) {
    if payload.starts_with(b"Exif\0\0") {
        metadata.add_exif(payload);
    } else if let Some(packet) = payload.strip_prefix(b"http://ns.adobe.com/xap/1.0/\0") {
        metadata.add_xmp(packet);
    }
}

fn read_frame(code: u8, payload: &[u8]) -> Result<Frame, Error> {
    let corrupt = || Error::Corrupt("the frame header has an invalid length".into());
    let (head, entries) = payload.split_at_checked(6).ok_or_else(corrupt)?;
    let &[precision_bits, h1, h0, w1, w0, count] = head else {
        return Err(corrupt());
    };
    let (height, width) = (usize::from(u16::from_be_bytes([h1, h0])), usize::from(u16::from_be_bytes([w1, w0])));
    if width == 0 || count == 0 {
        return Err(Error::Corrupt(format!("the frame header declares {width} columns and {count} components")));
    }
    if height == 0 {
        return Err(Error::Unsupported("a JPEG whose height is not in the frame header (DNL)".into()));
    }
    let entries = entries.get(..3 * usize::from(count)).ok_or_else(corrupt)?;
    let components: Vec<_> = entries
        .chunks_exact(3)
        .map(|entry| FrameComponent {
            id: entry[0],
            h: usize::from(entry[1] >> 4),
            v: usize::from(entry[1] & 15),
            quantisation: usize::from(entry[2]),
        })
        .collect();
    if let Some(bad) =
        components.iter().find(|c| !(1..=4).contains(&c.h) || !(1..=4).contains(&c.v) || c.quantisation > 3)
    {
        return Err(Error::Corrupt(format!(
            "component {} declares sampling {}x{} and quantisation table {}",
            bad.id, bad.h, bad.v, bad.quantisation
        )));
    }
    let process = match code {
        marker::SOF0 | 0xc1 => Process::Sequential,
        marker::SOF2 => Process::Progressive,
        other => Process::Other(other),
    };
    Ok(Frame { process, precision_bits, width, height, components })
}

/// libjpeg's rules (jdapimin.c), which every other decoder follows: JFIF means YCbCr, else
/// Adobe's segment says, else the component identifiers `RGB` do.
fn colour(frame: &Frame, jfif: bool, adobe: Option<u8>) -> Result<Colour, Error> {
    let ids: Vec<u8> = frame.components.iter().map(|component| component.id).collect();
    match frame.components.len() {
        1 => Ok(Colour::Grey),
        3 if jfif => Ok(Colour::YCbCr),
        3 => Ok(match adobe {
            Some(0) => Colour::Rgb,
            None if ids == *b"RGB" => Colour::Rgb,
            _ => Colour::YCbCr,
        }),
        4 => Ok(match adobe {
            Some(2) => Colour::Ycck { inverted: true },
            adobe => Colour::Cmyk { inverted: adobe.is_some() },
        }),
        count => Err(Error::Unsupported(format!("a JPEG of {count} components"))),
    }
}

/// The chunks of an ICC profile (ICC.1:2022, B.4): each says which of how many it is.
#[derive(Default)]
struct IccChunks<'a>(Vec<(u8, u8, &'a [u8])>);

impl<'a> IccChunks<'a> {
    fn add(&mut self, app2: &'a [u8]) {
        if let Some(&[number, count, ref data @ ..]) = app2.strip_prefix(b"ICC_PROFILE\0") {
            self.0.push((number, count, data));
        }
    }

    /// `None` when there is none, a chunk is missing, or the whole is over [`MAX_ICC_BYTES`]: then colours stay as they are.
    fn join(mut self) -> Option<Vec<u8>> {
        self.0.sort_by_key(|&(number, ..)| number);
        let count = self.0.first()?.1;
        let complete =
            self.0.len() == usize::from(count) && self.0.iter().zip(1..).all(|(chunk, number)| chunk.0 == number);
        let bytes: usize = self.0.iter().map(|(.., data)| data.len()).sum();
        (complete && bytes <= MAX_ICC_BYTES).then(|| self.0.into_iter().flat_map(|(.., data)| data).copied().collect())
    }
}
