//! The reference for our decoder: zune-jpeg at full size.

use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::error::Error;
use crate::jpeg::header::{Frame, MAX_SCANS};
use crate::limits::Truncated;
use crate::pixels::plane::{PlacedPlane, Plane, zeros};

/// Decodes the whole picture: one plane per component, all at full size, in the file's own colours.
pub(crate) fn decode(source: &[u8], frame: &Frame, truncated: Truncated) -> Result<Vec<PlacedPlane>, Error> {
    let strict = truncated == Truncated::Strict;
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

fn full_size(plane: Plane) -> PlacedPlane {
    PlacedPlane { plane, left: 0, top: 0, scale_x: 1.0, scale_y: 1.0 }
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
