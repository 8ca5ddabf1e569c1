//! The decoder for everything that our own does not take: zune-jpeg, at full size.

use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::header::{Frame, MAX_SCANS, Process, marker, next_segment};
use crate::error::Error;
use crate::limits::Truncated;
use crate::picture::DecodeMemory;
use crate::pixels::plane::{PlacedPlane, Plane, zeros};

/// Decodes the whole picture: one plane a component, all at full size, in the file's own colours.
pub(crate) fn decode(source: &[u8], frame: &Frame, truncated: Truncated) -> Result<Vec<PlacedPlane>, Error> {
    reject_unsupported_frame(frame)?;
    let strict = truncated == Truncated::Strict;
    check_scans(source, strict)?;
    let most = usize::from(u16::MAX);
    let options = DecoderOptions::default()
        .set_max_width(most)
        .set_max_height(most)
        .set_strict_mode(strict)
        .jpeg_set_max_scans(MAX_SCANS);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(source), options);
    decoder.decode_headers().map_err(zune_error)?;
    // The components as they are: colour is converted at the thumbnail's size.
    let colour = decoder.input_colorspace().unwrap_or(ColorSpace::YCbCr);
    decoder.set_options(options.jpeg_set_out_colorspace(colour));
    let (width, height) = (frame.width, frame.height);
    let count = frame.components.len();
    if decoder.output_buffer_size() != Some(width * height * count) {
        return Err(Error::Corrupt(format!("its {count} components do not go together")));
    }
    let mut interleaved = zeros(width * height * count)?;
    decoder.decode_into(&mut interleaved).map_err(zune_error)?;
    if count == 1 {
        return Ok(vec![full_size(Plane { width, height, samples: interleaved })]);
    }
    (0..count)
        .map(|component| {
            let mut plane = Plane::new(width, height)?;
            for (sample, pixel) in plane.samples.iter_mut().zip(interleaved.chunks_exact(count)) {
                *sample = pixel[component];
            }
            Ok(full_size(plane))
        })
        .collect()
}

/// What [`decode`] takes: the interleaved picture, and beside it zune-jpeg's own coefficients (with several scans) or our planes.
pub(crate) fn memory(frame: &Frame) -> DecodeMemory {
    let count = frame.components.len();
    let planes = (frame.width * frame.height * count) as u64;
    let mcus = frame.width.div_ceil(8 * frame.h_max()) * frame.height.div_ceil(8 * frame.v_max());
    let of_mcu: usize = frame.components.iter().map(|component| component.h * component.v).sum();
    let coefficients = if frame.process == Process::Progressive || count > 1 { mcus * of_mcu * 128 } else { 0 };
    // A few rows of samples before and after they are enlarged.
    let rows = 256 * (frame.width + 64) * count;
    DecodeMemory { peak: planes + planes.max(coefficients as u64) + rows as u64, planes }
}

fn full_size(plane: Plane) -> PlacedPlane {
    PlacedPlane { plane, left: 0, top: 0, scale_x: 1.0, scale_y: 1.0 }
}

fn reject_unsupported_frame(frame: &Frame) -> Result<(), Error> {
    if let Process::Other(code) = frame.process {
        let kind = match code {
            0xc3 => "lossless coding",
            0xc5..=0xc7 => "hierarchical coding",
            _ => "arithmetic coding",
        };
        return Err(Error::Unsupported(format!("{kind} (marker FF{code:02X})")));
    }
    if frame.precision_bits != 8 {
        return Err(Error::Unsupported(format!("{} bits a sample; 8 are", frame.precision_bits)));
    }
    Ok(())
}

/// Walks the file's markers: a file without an end is cut short, and one with too many scans is an attack.
fn check_scans(source: &[u8], strict: bool) -> Result<(), Error> {
    let mut at = 2;
    let mut scans = 0;
    loop {
        let segment = match next_segment(source, at) {
            Ok(segment) => segment,
            Err(_) if !strict && scans > 0 => return Ok(()),
            Err(error) => return Err(error),
        };
        at = segment.end;
        match segment.marker {
            marker::SOS => scans += 1,
            marker::EOI => return Ok(()),
            _ => {}
        }
        if scans > MAX_SCANS {
            return Err(Error::TooManyScans { max: MAX_SCANS });
        }
    }
}

fn zune_error(error: DecodeErrors) -> Error {
    match error {
        DecodeErrors::ExhaustedData | DecodeErrors::IoErrors(_) => Error::Truncated,
        DecodeErrors::FormatStatic("Premature end of buffer") => Error::Truncated,
        DecodeErrors::Unsupported(scheme) => Error::Unsupported(format!("{scheme:?}")),
        DecodeErrors::FormatStatic(what) => Error::Corrupt(what.to_owned()),
        DecodeErrors::Format(what)
        | DecodeErrors::HuffmanDecode(what)
        | DecodeErrors::DqtError(what)
        | DecodeErrors::SosError(what)
        | DecodeErrors::SofError(what)
        | DecodeErrors::MCUError(what) => Error::Corrupt(what),
        other => Error::Corrupt(format!("{other:?}")),
    }
}
