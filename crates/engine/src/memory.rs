//! How much memory a run of the engine may have allocated at once, computed from the header alone, so that a program can reserve
//! it before decoding; tests/memory.rs compares it with what a counting allocator measures.

use crate::exif;
use crate::geometry::Placement;
use crate::info::Info;
use crate::jpeg::encode;
use crate::output;
use crate::pixels::colour::Colour;
use crate::render;
use crate::spec::Spec;
use crate::subject::{Place, saliency};

/// Small things: decode tables, the header's lists, a scan's tables (at most 100 scans), the filter's weights of small pictures.
const FIXED_BYTES: u64 = 1 << 20;

/// Of a filter's weights, for a sample along one side of the source or the thumbnail: 8 bytes for each of the kernel's six lobes,
/// and the same again rounded.
const WEIGHTS_BYTES: u64 = 64;

/// What an embedded profile becomes, as a multiple of its length, and the tables of its conversion.
const PROFILE_FACTOR: u64 = 8;
const PROFILE_BYTES: u64 = 2 << 20;

/// The most bytes that [`thumbnails`](crate::thumbnails) may have allocated at once, its result among them, beside the source
/// itself: for the source that `info` is of, and `specs` made in one call.
///
/// An upper bound for every file with this header, also damaged ones. A source that is rejected takes less.
///
/// ```no_run
/// use thumb_engine::{Limits, Size, Spec, probe, working_memory};
///
/// let photo = std::fs::read("photo.jpg")?;
/// let spec = Spec::new(Size::new(400, 400));
/// println!("{} bytes", working_memory(&probe(&photo, &Limits::default())?, &[spec]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn working_memory(info: &Info, specs: &[Spec]) -> u64 {
    let profile = if info.icc_bytes > 0 { info.icc_bytes as u64 * PROFILE_FACTOR + PROFILE_BYTES } else { 0 };
    let fixed = FIXED_BYTES + profile;
    if specs.is_empty() {
        return fixed;
    }
    let places: Vec<_> =
        specs.iter().map(|spec| Place::new(info.stored, info.orientation(), info.subject, spec)).collect();
    let needed: Vec<_> = places.iter().map(Place::needed).collect();
    let sizes: Vec<_> = places.iter().map(Place::anywhere).collect();
    let finding = if places.iter().any(Place::waits) { saliency::memory(info.stored.0) } else { 0 };
    // Whether a profile is sRGB, so that nothing is converted, is known only when it has been read.
    let may_be_converted = [info.has_profile, false];
    let requests = render::requests(info.colour, info.planes, specs, &needed);
    let decoding = info.facts.decode_memory(&requests);
    let peaks = may_be_converted.map(|converted| {
        let rendering = rendering(info, specs, &sizes, decoding.planes, converted);
        decoding.peak.max(decoding.planes + finding).max(rendering)
    });
    fixed + peaks.into_iter().max().unwrap_or(0)
}

/// The peak while thumbnails are made, one after the other, of decoded planes of so many bytes.
fn rendering(info: &Info, specs: &[Spec], placements: &[Placement], planes: u64, converted: bool) -> u64 {
    let (stored_w, stored_h) = (info.stored.0 as u64, info.stored.1 as u64);
    // The crate `resize`, which resamples ink, goes along the rows first, in floating point.
    let first_pass_bytes = if info.colour.components() == 4 { 4 } else { 1 };
    let (mut peak, mut finished) = (0, 0);
    for (spec, placement) in specs.iter().zip(placements) {
        let (width, height) = (placement.width as u64, placement.height as u64);
        let (pixels, count) = (width * height, info.planes as u64);
        let halved = encode::subsampled(spec.quality);
        let takes_planes = !converted && output::takes_planes(spec.output, info.alpha);
        let chroma = if halved { width.div_ceil(2) * height.div_ceil(2) } else { pixels };
        // The first pass of the filter leaves a picture that has the thumbnail's size one way and the window's the other.
        let filter = (first_pass_bytes * width * stored_h).max((stored_w + 64) * height)
            + WEIGHTS_BYTES * (stored_w + stored_h + width + height);
        // A plane is copied to turn it, and where a window reaches over its edge.
        let copies = pixels + if halved { planes / 2 } else { 0 };
        // What is coded; what it takes to make that; and what of it is still there while it is coded.
        let (samples, working, left) = match info.colour {
            Colour::Grey if takes_planes => (pixels, filter + copies, 0),
            Colour::YCbCr if takes_planes => (pixels + 2 * chroma, filter + copies, 0),
            // The planes at the thumbnail's size; interleaved, converted; and planes again.
            _ => {
                let resampled = count * pixels;
                (3 * pixels + 2 * chroma, resampled + (7 * pixels).max(filter + copies), resampled)
            }
        };
        let grey = info.colour == Colour::Grey;
        let file = encode::most_bytes(width, height, grey, spec.quality) + exif::MAX_SEGMENT_BYTES;
        let encoding = left + encode::working_bytes(width, height, grey, spec.quality) + file;
        let (other_working, other_file) = output::memory(spec.output, width, height, info.alpha);
        let encoding = encoding.max(pixels + other_working + other_file);
        peak = peak.max(finished + samples + working.max(encoding));
        finished += file.max(other_file);
    }
    planes + peak
}
