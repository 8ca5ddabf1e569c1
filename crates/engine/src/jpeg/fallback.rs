//! The decoder for everything that our own does not take: zune-jpeg, at full size.

use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::header::{Header, MAX_SCANS, Process, marker, next_segment};
use super::plane::{PlacedPlane, Plane, zeros};
use super::resample::Resampler;
use super::{Error, Truncated};

/// Decodes the whole picture: one plane a component, all at full size, in the file's own colours.
pub(super) fn decode(source: &[u8], header: &Header, truncated: Truncated) -> Result<Vec<PlacedPlane>, Error> {
    refuse_what_nobody_decodes(header)?;
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
    let (width, height) = (header.frame.width, header.frame.height);
    let count = header.frame.components.len();
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

fn full_size(plane: Plane) -> PlacedPlane {
    PlacedPlane { plane, left: 0, top: 0, scale_x: 1.0, scale_y: 1.0, resampler: Resampler::Plain }
}

fn refuse_what_nobody_decodes(header: &Header) -> Result<(), Error> {
    let frame = &header.frame;
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
