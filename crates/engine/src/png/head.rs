//! The head of a PNG file: everything before its image data, and the orientation, which may also stand behind them.

use fdeflate::Decompressor;

use super::chunk::{Chunk, SIGNATURE};
use super::samples::{ColourType, Samples};
use crate::error::Error;
use crate::limits::Limits;
use crate::metadata::Metadata;
use crate::picture::Header;
use crate::pixels::colour::Profile;
use crate::pixels::indexed::Palette;
use crate::pixels::plane::zeros;

/// Most bytes of an embedded ICC profile that are kept; a larger one is ignored. Printers' profiles reach 3 MiB.
const MAX_ICC_BYTES: usize = 4 << 20;

/// The picture's size and how it is stored (clause 11.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub width: usize,
    pub height: usize,
    pub colour_type: ColourType,
    /// Bits of a sample, or of an index.
    pub depth: u8,
    pub interlaced: bool,
}

impl Frame {
    pub fn bits_per_pixel(&self) -> usize {
        self.colour_type.channels() * usize::from(self.depth)
    }

    /// Bytes of a row of so many pixels, without the byte that says how it is filtered.
    pub fn row_bytes(&self, pixels: usize) -> usize {
        // At most 2^31 pixels of 64 bits.
        (pixels as u64 * self.bits_per_pixel() as u64).div_ceil(8) as usize
    }
}

/// What is known of a file before its image data are decoded.
pub(super) struct Head {
    pub header: Header,
    pub frame: Frame,
    pub samples: Samples,
    /// Where in the file the first chunk of image data begins.
    pub image_data: usize,
    /// Whether something comes after the image data, so that none of them can be missing.
    pub ended: bool,
    /// Bytes that an embedded profile took, also one that is not used.
    pub profile_bytes: usize,
}

/// Chunks that count, by the first of each kind; a second is ignored, as in browsers.
#[derive(Default)]
struct Chunks<'a> {
    palette: Option<&'a [u8]>,
    transparent: Option<&'a [u8]>,
    cicp: Option<&'a [u8]>,
    icc: Option<&'a [u8]>,
    srgb: Option<&'a [u8]>,
    gamma: Option<&'a [u8]>,
    chromaticities: Option<&'a [u8]>,
    exif: Option<&'a [u8]>,
}

impl<'a> Chunks<'a> {
    fn add(&mut self, chunk: &Chunk<'a>) {
        let place = match &chunk.kind {
            b"PLTE" => &mut self.palette,
            b"tRNS" => &mut self.transparent,
            b"cICP" => &mut self.cicp,
            b"iCCP" => &mut self.icc,
            b"sRGB" => &mut self.srgb,
            b"gAMA" => &mut self.gamma,
            b"cHRM" => &mut self.chromaticities,
            b"eXIf" => &mut self.exif,
            _ => return,
        };
        // An ancillary chunk with a wrong checksum is ignored, as in browsers.
        if place.is_none() && chunk.is_sound() {
            *place = Some(chunk.data);
        }
    }
}

/// Reads everything but the image data.
pub(super) fn read(source: &[u8], limits: &Limits) -> Result<Head, Error> {
    let first = Chunk::read(source, SIGNATURE.len())?;
    if &first.kind == b"CgBI" {
        return Err(Error::Unsupported("a PNG as Apple's devices keep it in their programs (chunk CgBI)".into()));
    }
    let frame = frame(&first)?;
    limits.check_pixels(frame.width, frame.height)?;
    let mut chunks = Chunks::default();
    let mut at = first.end;
    let image_data = loop {
        let chunk = Chunk::read(source, at)?;
        match &chunk.kind {
            b"IDAT" => break at,
            b"IEND" => return Err(Error::Corrupt("there are no image data".into())),
            b"IHDR" => return Err(Error::Corrupt("there are two headers".into())),
            _ if !chunk.is_whole() => return Err(Error::Truncated),
            b"PLTE" if frame.colour_type == ColourType::Palette && !chunk.is_sound() => return Err(checksum("PLTE")),
            b"PLTE" => {}
            _ if chunk.is_ancillary() => {}
            _ => {
                return Err(Error::Unsupported(format!(
                    "a PNG that cannot be shown without knowing its chunk {}, which is no standard's",
                    chunk.name()
                )));
            }
        }
        chunks.add(&chunk);
        at = chunk.end;
    };
    let ended = read_behind(source, image_data, &mut chunks);
    let (profile, profile_bytes) = profile(&chunks)?;
    // A profile of red, green and blue is for colours, also where they are all grey.
    let samples = samples(&frame, &chunks, matches!(profile, Profile::Srgb | Profile::Gamma { .. }))?;
    let mut metadata = Metadata::default();
    // Chunk eXIf (clause 11.3.3.5). Some programs leave the six bytes before it that JPEG has.
    chunks.exif.iter().for_each(|block| metadata.add_exif(block));
    let header = Header {
        width: frame.width,
        height: frame.height,
        colour: samples.colour(),
        alpha: samples.alpha(),
        precision_bits: if frame.colour_type == ColourType::Palette { 8 } else { frame.depth },
        orientation: metadata.orientation(),
        profile,
        metadata,
    };
    Ok(Head { header, frame, samples, image_data, ended, profile_bytes })
}

/// The header, which is the first chunk (clause 11.2.1).
fn frame(chunk: &Chunk<'_>) -> Result<Frame, Error> {
    if &chunk.kind != b"IHDR" {
        return Err(Error::Corrupt("it does not begin with its header".into()));
    }
    if !chunk.is_whole() {
        return Err(Error::Truncated);
    }
    if !chunk.is_sound() {
        return Err(checksum("IHDR"));
    }
    let &[w3, w2, w1, w0, h3, h2, h1, h0, depth, code, compression, filter, interlace] = chunk.data else {
        return Err(Error::Corrupt("the header has an invalid length".into()));
    };
    let (width, height) = (u32::from_be_bytes([w3, w2, w1, w0]), u32::from_be_bytes([h3, h2, h1, h0]));
    let valid = 1..=i32::MAX as u32;
    if !valid.contains(&width) || !valid.contains(&height) {
        return Err(Error::Corrupt(format!("the header declares {width} columns and {height} rows")));
    }
    let colour_type = ColourType::new(code, depth).ok_or_else(|| {
        Error::Corrupt(format!("the header declares colours of type {code} and {depth} bits per sample"))
    })?;
    if compression != 0 || filter != 0 || interlace > 1 {
        return Err(Error::Corrupt("the header declares an unknown compression, filter or interlacing".into()));
    }
    let (width, height) = (width as usize, height as usize);
    Ok(Frame { width, height, colour_type, depth, interlaced: interlace == 1 })
}

fn checksum(name: &str) -> Error {
    Error::Corrupt(format!("the checksum of chunk {name} is wrong"))
}

/// Walks over the image data and what follows, for the orientation. Says whether the image data end before the file does.
fn read_behind<'a>(source: &'a [u8], mut at: usize, chunks: &mut Chunks<'a>) -> bool {
    let mut ended = false;
    // What is wrong behind the image data does not matter.
    while let Ok(chunk) = Chunk::read(source, at) {
        if &chunk.kind != b"IDAT" {
            ended = true;
            if &chunk.kind == b"IEND" || chunks.exif.is_some() {
                break;
            }
            if &chunk.kind == b"eXIf" && chunk.is_whole() {
                chunks.add(&chunk);
            }
        }
        at = chunk.end;
    }
    ended
}

fn samples(frame: &Frame, chunks: &Chunks<'_>, grey: bool) -> Result<Samples, Error> {
    let Frame { colour_type, depth, .. } = *frame;
    Ok(match colour_type {
        ColourType::Grey => Samples::grey(depth, chunks.transparent.and_then(|key| key.try_into().ok())),
        ColourType::Rgb => Samples::rgb(depth, chunks.transparent.and_then(|key| key.try_into().ok())),
        ColourType::GreyAlpha | ColourType::Rgba if depth == 8 => Samples::Bytes { colour_type },
        ColourType::GreyAlpha | ColourType::Rgba => Samples::Words { colour_type, transparent: None },
        ColourType::Palette => {
            let colours = chunks.palette.ok_or_else(|| Error::Corrupt("there is no palette".into()))?;
            let (colours, rest) = colours.as_chunks::<3>();
            if colours.is_empty() || colours.len() > 256 || !rest.is_empty() {
                return Err(Error::Corrupt("the palette has an invalid length".into()));
            }
            let alphas = chunks.transparent.unwrap_or_default();
            // An index beyond the palette is black, as in browsers.
            let rgba: [[u8; 4]; 256] = std::array::from_fn(|index| {
                let [r, g, b] = colours.get(index).copied().unwrap_or_default();
                [r, g, b, alphas.get(index).copied().unwrap_or(255)]
            });
            let alpha = alphas.iter().take(colours.len()).any(|&alpha| alpha < 255);
            Samples::Indices { palette: Palette::new(&rgba, alpha, grey), depth }
        }
    })
}

/// The colours' meaning, by the chunk that counts most (clause 13.13, table 28), and how many bytes an embedded profile took.
fn profile(chunks: &Chunks<'_>) -> Result<(Profile, usize), Error> {
    if let Some(&[primaries, transfer, 0, 1]) = chunks.cicp {
        let profile = Profile::Cicp { primaries, transfer };
        if profile.is_known() {
            return Ok((profile, 0));
        }
    }
    let (icc, icc_bytes) = chunks.icc.map_or(Ok((None, 0)), icc)?;
    if let Some(icc) = icc {
        return Ok((Profile::Icc(icc), icc_bytes));
    }
    let profile = if chunks.srgb.is_some() { Profile::Srgb } else { gamma(chunks.gamma, chunks.chromaticities) };
    Ok((profile, icc_bytes))
}

/// Chunks gAMA and cHRM (clauses 11.3.2.2 and 11.3.2.1), as browsers apply them: chromaticities only with a gamma, and no gamma alone
/// that is nearly sRGB's.
fn gamma(gamma: Option<&[u8]>, chromaticities: Option<&[u8]>) -> Profile {
    /// The stored numbers are multiples of it.
    const UNIT: f32 = 100_000.0;
    const SRGB: f32 = 1.0 / 2.2;
    /// libpng's PNG_GAMMA_THRESHOLD.
    const NEARLY: f32 = 0.05;
    let number = |bytes: &[u8; 4]| u32::from_be_bytes(*bytes) as f32 / UNIT;
    let Some(gamma) = gamma.and_then(|data| data.try_into().ok()).map(number) else {
        return Profile::Srgb;
    };
    // Beyond these it is a mistake.
    if !(0.05..=20.0).contains(&gamma) {
        return Profile::Srgb;
    }
    let chromaticities = chromaticities.filter(|data| data.len() == 32).map(|data| {
        let (numbers, _) = data.as_chunks::<4>();
        std::array::from_fn(|i| [number(&numbers[2 * i]), number(&numbers[2 * i + 1])])
    });
    let chromaticities = chromaticities.filter(are_colours);
    if chromaticities.is_none() && (gamma / SRGB - 1.0).abs() < NEARLY {
        return Profile::Srgb;
    }
    Profile::Gamma { exponent: 1.0 / gamma, chromaticities }
}

/// Whether x and y of white, red, green and blue lie in the diagram, and span a triangle.
fn are_colours(chromaticities: &[[f32; 2]; 4]) -> bool {
    let [_, [rx, ry], [gx, gy], [bx, by]] = *chromaticities;
    let area = ((gx - rx) * (by - ry) - (bx - rx) * (gy - ry)).abs();
    chromaticities.iter().all(|[x, y]| (0.0..=1.0).contains(x) && (0.001..=1.0).contains(y)) && area > 0.001
}

/// The profile in chunk iCCP (clause 11.3.2.3), and how many bytes were reserved for it. A damaged one is none. It is as long as
/// its own header says (ICC.1:2022, 7.2.2): what is inflated behind that is not looked at, however much it is.
fn icc(data: &[u8]) -> Result<(Option<Vec<u8>>, usize), Error> {
    const MAX_NAME_BYTES: usize = 79;
    const HEADER_BYTES: usize = 128;
    let name = data.iter().take(MAX_NAME_BYTES + 1).position(|&byte| byte == 0);
    let Some([0, compressed @ ..]) = name.and_then(|end| data.get(end + 1..)) else {
        return Ok((None, 0));
    };
    let mut head = [0; HEADER_BYTES];
    if inflate(compressed, &mut head).is_none() {
        return Ok((None, 0));
    }
    let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
    if !(HEADER_BYTES..=MAX_ICC_BYTES).contains(&length) {
        return Ok((None, 0));
    }
    let mut icc = zeros(length)?;
    Ok((inflate(compressed, &mut icc).map(|()| icc), length))
}

/// Fills `inflated` with the beginning of a zlib stream, if there is as much.
fn inflate(compressed: &[u8], inflated: &mut [u8]) -> Option<()> {
    let mut inflater = Decompressor::new();
    inflater.ignore_adler32();
    let (mut read, mut written) = (0, 0);
    while written < inflated.len() {
        let (consumed, produced) = inflater.read(&compressed[read..], inflated, written, false).ok()?;
        if consumed == 0 && produced == 0 {
            return None;
        }
        read += consumed;
        written += produced;
    }
    Some(())
}
