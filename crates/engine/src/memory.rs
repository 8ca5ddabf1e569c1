//! How much memory a run of the engine may have allocated at once. Reckoned from the header alone, before a pixel is decoded,
//! so that a program can reserve it; tests/memory.rs holds it against what a counting allocator sees.

use super::decode::{self, Need};
use super::encode;
use super::geometry::{self, Placement};
use super::header::{Colour, Component, Frame, Header, Process};
use super::{Info, Spec, needs_of};

/// Most components of a frame that is decoded.
const MAX_COMPONENTS: usize = 4;

/// Small things: decode tables, the header's lists, a scan's tables (at most 100 scans), the filter's weights of small pictures.
const FIXED_BYTES: u64 = 1 << 20;

/// Of a filter's weights, for a sample along one side of the source or the thumbnail: 8 bytes for each of the kernel's six lobes,
/// and the same again rounded.
const WEIGHTS_BYTES: u64 = 64;

/// What an embedded profile becomes, as a multiple of its length, and the tables of its conversion.
const PROFILE_FACTOR: u64 = 4;
const PROFILE_BYTES: u64 = 2 << 20;

/// What [`working_memory`] needs of the header beside what everybody may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    source_bytes: usize,
    icc_bytes: usize,
    stored: (usize, usize),
    components: [Component; MAX_COMPONENTS],
    count: usize,
}

impl Facts {
    pub fn new(header: &Header, source_bytes: usize) -> Self {
        let frame = &header.frame;
        let mut components = [Component { id: 0, h: 1, v: 1, quantisation: 0 }; MAX_COMPONENTS];
        let count = frame.components.len().min(MAX_COMPONENTS);
        components[..count].copy_from_slice(&frame.components[..count]);
        let icc_bytes = header.icc.as_ref().map_or(0, Vec::len);
        Self { source_bytes, icc_bytes, stored: (frame.width, frame.height), components, count }
    }

    fn frame(&self, info: &Info) -> Frame {
        Frame {
            process: info.process,
            precision_bits: info.precision_bits,
            width: self.stored.0,
            height: self.stored.1,
            components: self.components[..self.count].to_vec(),
        }
    }
}

/// The most bytes that [`thumbnails`](super::thumbnails) may have allocated at once, its result among them, beside the source
/// itself: for the source that `info` is of, and `specs` made in one call.
///
/// A bound for every file with this header, damaged ones too. A source that is refused takes less.
pub fn working_memory(info: &Info, specs: &[Spec]) -> u64 {
    let facts = &info.facts;
    let frame = facts.frame(info);
    let orientation = info.orientation();
    let profile = if facts.icc_bytes > 0 { facts.icc_bytes as u64 * PROFILE_FACTOR + PROFILE_BYTES } else { 0 };
    let fixed = FIXED_BYTES + profile;
    if specs.is_empty() {
        return fixed;
    }
    let placements: Vec<_> =
        specs.iter().map(|spec| geometry::place(facts.stored, orientation, spec.size, spec.fit)).collect();
    // Whether the profile is sRGB is known later: either way.
    let direct = info.colour == Colour::YCbCr || info.colour == Colour::Grey;
    let needs = |direct| needs_of(info.colour, facts.count, specs, &placements, direct);
    let paths = [(direct, true), (facts.icc_bytes > 0 || !direct, false)];
    let paths = paths.into_iter().filter(|(may_be, _)| *may_be).map(|(_, direct)| {
        let decoded = decoded(&frame, info.process, facts.source_bytes, &needs(direct));
        let made = made(facts, info.colour, specs, &placements, decoded.planes, direct);
        decoded.peak.max(made)
    });
    fixed + paths.max().unwrap_or(0)
}

/// What decoding takes at its peak, and the planes that it leaves.
struct Decoded {
    peak: u64,
    planes: u64,
}

fn decoded(frame: &Frame, process: Process, source_bytes: usize, needs: &[Vec<Need>]) -> Decoded {
    let pixels = (frame.width * frame.height) as u64;
    let count = frame.components.len() as u64;
    // zune-jpeg: the interleaved picture, beside it its own coefficients (with several scans) or our planes of it.
    let blocks: u64 = {
        let (h_max, v_max) = (frame.h_max(), frame.v_max());
        let mcus = frame.width.div_ceil(8 * h_max) * frame.height.div_ceil(8 * v_max);
        let of_mcu: usize = frame.components.iter().map(|component| component.h * component.v).sum();
        (mcus * of_mcu) as u64
    };
    let rows = 64 * (frame.width as u64 + 64) * count * 4;
    let coefficients = if process == Process::Progressive || count > 1 { blocks * 128 } else { 0 };
    let general = Decoded { peak: pixels * count + (pixels * count).max(coefficients) + rows, planes: pixels * count };
    if !decode::takes(frame) {
        return general;
    }
    // Our own decoder; what it finds damaged goes to zune-jpeg.
    let (peak, planes) = decode::memory(frame, needs);
    let own = Decoded { peak: peak + source_bytes as u64 + 8, planes };
    Decoded { peak: own.peak.max(general.peak), planes: own.planes.max(general.planes) }
}

/// The peak while thumbnails are made, one after the other, of planes of so many bytes.
fn made(facts: &Facts, colour: Colour, specs: &[Spec], placements: &[Placement], planes: u64, direct: bool) -> u64 {
    let (stored_w, stored_h) = (facts.stored.0 as u64, facts.stored.1 as u64);
    let (mut peak, mut finished) = (0, 0);
    for (spec, placement) in specs.iter().zip(placements) {
        let (width, height) = (placement.width as u64, placement.height as u64);
        let (pixels, count) = (width * height, facts.count as u64);
        let halved = encode::subsampled(spec.quality);
        let half = width.div_ceil(2) * height.div_ceil(2);
        let chroma = if halved { half } else { pixels };
        // The first pass of the filter leaves a picture as wide as the thumbnail and as high as the window.
        let filter = width * stored_h + WEIGHTS_BYTES * (stored_w + stored_h + width + height);
        // A plane is copied to turn it, and where a window reaches over its edge.
        let copies = pixels + if halved { planes / 2 } else { 0 };
        let (samples, working) = if colour == Colour::Grey && direct {
            (pixels, filter + copies)
        } else if direct {
            (pixels + 2 * chroma, filter + copies)
        } else {
            // The planes at the thumbnail's size, interleaved, converted; and planes again.
            (3 * pixels + 2 * chroma, (count * pixels + 7 * pixels).max(count * pixels + filter + copies))
        };
        let file = encode::most_bytes(width, height, colour == Colour::Grey, spec.quality);
        // While the file grows, its old and its new allocation; and its last a quarter too large.
        let encoding = (file * 9 / 4).max(1024 + pixels / 5);
        peak = peak.max(finished + samples + working.max(encoding + if direct { 0 } else { count * pixels }));
        finished += file;
    }
    planes + peak
}
