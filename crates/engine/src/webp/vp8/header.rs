//! The frame header (RFC 6386, sections 9.1 to 9.11 and 19.2), and what follows from it for each macroblock.

use super::bool_decoder::BoolDecoder;
use super::loop_filter::Strength;
use super::tables::{AC_STEPS, DC_STEPS, DEFAULT_TOKENS, TOKEN_UPDATES};
use super::tokens::{Steps, TokenTable};
use crate::error::Error;

/// Parts of a picture that have their own quantisers and filter levels.
pub(super) const SEGMENTS: usize = 4;

/// The size of a frame, by its first ten bytes.
///
/// # Errors
/// These are not of a key frame that is shown.
pub(in crate::webp) fn size(data: &[u8]) -> Result<(usize, usize), Error> {
    let Some((&head, _)) = data.split_first_chunk::<UNCODED_BYTES>() else {
        return Err(Error::Truncated);
    };
    let [a, b, c, start @ .., w_low, w_high, h_low, h_high] = head;
    let tag = u32::from_le_bytes([a, b, c, 0]);
    let (inter_frame, version, shown) = (tag & 1 == 1, tag >> 1 & 7, tag >> 4 & 1 == 1);
    if start != [0x9d, 0x01, 0x2a] || version > 3 {
        return Err(Error::Corrupt("its VP8 data has no frame header".into()));
    }
    if inter_frame || !shown {
        return Err(Error::Unsupported("a WebP file whose first frame needs others".into()));
    }
    // The upper two bits are a scale that players should apply; no browser does.
    let side = |low, high| usize::from(u16::from_le_bytes([low, high]) & 0x3fff);
    let (width, height) = (side(w_low, w_high), side(h_low, h_high));
    if width == 0 || height == 0 {
        return Err(Error::Corrupt("its VP8 frame has no width or no height".into()));
    }
    Ok((width, height))
}

/// What stands before the first partition.
const UNCODED_BYTES: usize = 10;

/// What the macroblocks' own headers are read with.
#[derive(Debug)]
pub(super) struct ModeHeader {
    /// The tree of the segment numbers, if each macroblock has one.
    pub segment_tree: Option<[u8; 3]>,
    /// The probability that a macroblock has coefficients, if there are some without.
    pub coded: Option<u8>,
}

/// Which filter the frame is smoothed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    None,
    Simple,
    Normal,
}

/// A frame whose header has been read.
#[derive(Debug)]
pub(super) struct FrameHeader<'a> {
    pub width: usize,
    pub height: usize,
    pub modes: ModeHeader,
    pub steps: [Steps; SEGMENTS],
    pub filter: Filter,
    /// By segment, and whether the macroblock is predicted by subblocks.
    pub strengths: [[Strength; 2]; SEGMENTS],
    pub tokens: Box<TokenTable>,
    /// The rest of the first partition, with the macroblocks' headers.
    pub first_partition: BoolDecoder<'a>,
    /// Of the coefficients; row of macroblocks `i` is in the one of number `i` modulo their count, which is a power of 2.
    pub partitions: Vec<BoolDecoder<'a>>,
}

/// What the segments change (section 9.3).
#[derive(Debug, Default)]
struct Segmentation {
    enabled: bool,
    tree: Option<[u8; 3]>,
    /// The values are not added to those of the frame, but replace them.
    absolute: bool,
    quantisers: [i32; SEGMENTS],
    filter_levels: [i32; SEGMENTS],
}

impl<'a> FrameHeader<'a> {
    /// # Errors
    /// The data is not a key frame, or ends within the header.
    pub fn read(data: &'a [u8]) -> Result<Self, Error> {
        let (width, height) = size(data)?;
        let first_bytes = u32::from_le_bytes([data[0], data[1], data[2], 0]) as usize >> 5;
        let rest = &data[UNCODED_BYTES..];
        let (first, rest) = rest.split_at_checked(first_bytes).ok_or(Error::Truncated)?;
        let mut coded = BoolDecoder::new(first);
        let _colour_space = coded.flag();
        let _samples_need_no_clamping = coded.flag();
        let segmentation = Segmentation::read(&mut coded);
        let simple = coded.flag();
        let level = coded.number(6) as i32;
        let sharpness = coded.number(3) as i32;
        let deltas = filter_deltas(&mut coded);
        let filter = match (level, simple) {
            (0, _) => Filter::None,
            (_, true) => Filter::Simple,
            (_, false) => Filter::Normal,
        };
        let strengths = std::array::from_fn(|segment| {
            let level = segmentation.value(segment, level, &segmentation.filter_levels);
            [false, true].map(|subblocks| {
                let delta = deltas[0] + if subblocks { deltas[1] } else { 0 };
                Strength::new((level + delta).clamp(0, 63) as u8, sharpness as u8)
            })
        });
        let partitions = partitions(1 << coded.number(2), rest)?;
        let steps = steps(&mut coded, &segmentation);
        let _probabilities_are_for_later_frames = coded.flag();
        let tokens = token_table(&mut coded);
        let skips = coded.flag();
        let modes = ModeHeader { segment_tree: segmentation.tree, coded: skips.then(|| coded.number(8) as u8) };
        if coded.past_end() {
            return Err(Error::Truncated);
        }
        Ok(Self { width, height, modes, steps, filter, strengths, tokens, first_partition: coded, partitions })
    }
}

impl Segmentation {
    fn read(coded: &mut BoolDecoder) -> Self {
        let mut segmentation = Self { enabled: coded.flag(), absolute: true, ..Self::default() };
        if !segmentation.enabled {
            return segmentation;
        }
        let (has_map, has_values) = (coded.flag(), coded.flag());
        if has_values {
            segmentation.absolute = coded.flag();
            segmentation.quantisers = std::array::from_fn(|_| coded.optional_signed(7));
            segmentation.filter_levels = std::array::from_fn(|_| coded.optional_signed(6));
        }
        if has_map {
            let probability = |_| if coded.flag() { coded.number(8) as u8 } else { 255 };
            segmentation.tree = Some(std::array::from_fn(probability));
        }
        segmentation
    }

    /// A segment's own of `values`, or the frame's changed by it.
    fn value(&self, segment: usize, frame: i32, values: &[i32; SEGMENTS]) -> i32 {
        match (self.enabled, self.absolute) {
            (false, _) => frame,
            (true, true) => values[segment],
            (true, false) => frame + values[segment],
        }
    }
}

/// What is added to the filter level in every key frame, and for macroblocks that are predicted by subblocks (section 9.6).
fn filter_deltas(coded: &mut BoolDecoder) -> [i32; 2] {
    let enabled = coded.flag();
    if !enabled || !coded.flag() {
        return [0, 0];
    }
    let by_reference: [i32; 4] = std::array::from_fn(|_| coded.optional_signed(6));
    let by_mode: [i32; 4] = std::array::from_fn(|_| coded.optional_signed(6));
    [by_reference[0], by_mode[0]]
}

/// The partitions of the coefficients (section 9.5). One that would reach over the end stops there.
fn partitions(count: usize, data: &[u8]) -> Result<Vec<BoolDecoder<'_>>, Error> {
    const SIZE_BYTES: usize = 3;
    let (sizes, mut rest) = data.split_at_checked(SIZE_BYTES * (count - 1)).ok_or(Error::Truncated)?;
    let mut partitions = Vec::with_capacity(count);
    for size in sizes.chunks_exact(SIZE_BYTES) {
        let size = u32::from_le_bytes([size[0], size[1], size[2], 0]) as usize;
        let (partition, after) = rest.split_at(size.min(rest.len()));
        partitions.push(BoolDecoder::new(partition));
        rest = after;
    }
    partitions.push(BoolDecoder::new(rest));
    Ok(partitions)
}

/// The quantisation steps of each segment (sections 9.6 and 14.1).
fn steps(coded: &mut BoolDecoder, segmentation: &Segmentation) -> [Steps; SEGMENTS] {
    let base = coded.number(7) as i32;
    let [luma_dc, second_dc, second_ac, chroma_dc, chroma_ac] = std::array::from_fn(|_| coded.optional_signed(4));
    std::array::from_fn(|segment| {
        let index = segmentation.value(segment, base, &segmentation.quantisers);
        let dc = |delta: i32| DC_STEPS[(index + delta).clamp(0, 127) as usize];
        let ac = |delta: i32| AC_STEPS[(index + delta).clamp(0, 127) as usize];
        Steps {
            luma: [dc(luma_dc), ac(0)],
            luma_dc: [dc(second_dc) * 2, ((i32::from(ac(second_ac)) * 155 / 100) as i16).max(8)],
            chroma: [dc(chroma_dc).min(132), ac(chroma_ac)],
        }
    })
}

/// The probabilities of the tokens (section 13.4).
fn token_table(coded: &mut BoolDecoder) -> Box<TokenTable> {
    let mut probabilities = DEFAULT_TOKENS;
    let each = probabilities.as_flattened_mut().as_flattened_mut().as_flattened_mut();
    let updates = TOKEN_UPDATES.as_flattened().as_flattened().as_flattened();
    for (probability, &update) in each.iter_mut().zip(updates) {
        if coded.bit(update) {
            *probability = coded.number(8) as u8;
        }
    }
    TokenTable::new(&probabilities)
}
