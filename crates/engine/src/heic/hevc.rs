//! One HEVC picture (ITU-T H.265): a tile of a grid, or an image that is stored in one piece. The only place that calls the decoder,
//! the crate heifer-hevc-dec.
//!
//! It calls the decoder's parts and not its `decode_picture`, which decodes as many slices as the data holds, each of them anew where they
//! lie over each other, and allocates by parameter sets before it checks them. Here a slice must begin where the one before ended, so
//! that no block is decoded twice.

use heifer_hevc_dec::Error as DecoderError;
use heifer_hevc_dec::nal::{NalHeader, NalUnit, NalUnitType};
use heifer_hevc_dec::params::{ParameterSets, Pps, Sps};
pub(super) use heifer_hevc_dec::recon::Frame;
use heifer_hevc_dec::recon::Reconstructor;
use heifer_hevc_dec::slice::SliceHeader;
use heifer_hevc_dec::syntax::{Picture, decode_slice_segment};

use crate::boxes::Reader;
use crate::error::Error;
use crate::limits::Limits;

/// The largest side of a coded picture: more than level 6.2 allows, and few enough for all sums in 32 bits.
const MAX_SIDE: u32 = 1 << 15;

/// Columns and rows of tiles inside a picture (H.265, table A.8).
const MAX_TILE_COLUMNS: u32 = 20;
const MAX_TILE_ROWS: u32 = 22;

/// How the pictures of some items are coded: their decoder configuration (ISO/IEC 14496-15, 8.3.3), read.
pub(super) struct Coding {
    sets: ParameterSets,
    /// Bytes of the length before each NAL unit.
    length_bytes: usize,
    pub shape: Shape,
    /// What the video usability information says of the colours.
    pub signal: Signal,
}

/// What must be the same for all tiles of a grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Of what is shown.
    pub width: usize,
    pub height: usize,
    /// Where that begins in what is coded.
    left: usize,
    top: usize,
    /// Of what is coded.
    coded: (usize, usize),
    /// Samples along the side of a coding tree block.
    block: usize,
    /// Whether there are no colour differences.
    pub grey: bool,
    /// Luma samples for each of the colour differences, across and down.
    pub sampling: (usize, usize),
    /// Bits of a luma sample and of a colour difference.
    pub bits: (u8, u8),
}

/// Code points of ITU-T H.273; 2 is unspecified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Signal {
    pub primaries: u16,
    pub transfer: u16,
    pub matrix: u16,
    pub full_range: bool,
}

/// A rectangle of a decoded plane.
#[derive(Clone, Copy)]
pub(super) struct Samples<'a> {
    pub samples: &'a [u16],
    /// Samples from one row to the next.
    pub stride: usize,
    pub width: usize,
    pub height: usize,
}

impl<'a> Samples<'a> {
    pub fn row(&self, y: usize) -> &'a [u16] {
        &self.samples[y * self.stride..][..self.width]
    }
}

fn damaged_configuration() -> Error {
    Error::Corrupt("its decoder configuration is not valid".into())
}

impl Coding {
    /// Reads an `hvcC` box.
    pub fn read(configuration: &[u8], limits: &Limits) -> Result<Self, Error> {
        let mut reader = Reader(configuration);
        let head = reader.take(22).ok_or_else(damaged_configuration)?;
        let length_bytes = usize::from(head[21] & 3) + 1;
        let mut sets = ParameterSets::default();
        let arrays = reader.u8().ok_or_else(damaged_configuration)?;
        for _ in 0..arrays {
            let count = reader.take(1).and(reader.u16()).ok_or_else(damaged_configuration)?;
            for _ in 0..count {
                let length = reader.u16().ok_or_else(damaged_configuration)?;
                let unit = reader.take(usize::from(length)).ok_or_else(damaged_configuration)?;
                add_parameters(&mut sets, unit, limits)?;
            }
        }
        let sps = sets.sps.iter().flatten().next().ok_or_else(damaged_configuration)?;
        let (shape, signal) = (Shape::of(sps), Signal::of(sps));
        Ok(Self { sets, length_bytes, shape, signal })
    }

    /// Decodes the picture in `data`. Where it is damaged, and need not be `whole`, the rest of it is grey.
    pub fn decode(&self, data: &[u8], filtered: bool, whole: bool) -> Result<Frame, Error> {
        let mut state: Option<(Picture<'_>, Reconstructor<'_>)> = None;
        let mut previous = None;
        let mut units = Units { data: Reader(data), length_bytes: self.length_bytes };
        let damage = loop {
            let Some(unit) = units.next() else { break None };
            match unit.and_then(|unit| self.decode_unit(unit, &mut state, &mut previous)) {
                Ok(true) => {}
                Ok(false) => break None,
                Err(error) => break Some(error),
            }
        };
        let complete = state.as_ref().is_some_and(|(picture, _)| picture.is_complete());
        match (damage, state) {
            (Some(error), state) if whole || state.is_none() => Err(error),
            (_, Some((_, reconstructor))) if complete || !whole => Ok(reconstructor.finish(!filtered || !complete)),
            _ => Err(Error::Corrupt("a part of it is missing".into())),
        }
    }

    /// Returns whether the picture may go on with the next unit.
    fn decode_unit<'a>(
        &'a self,
        unit: &[u8],
        state: &mut Option<(Picture<'a>, Reconstructor<'a>)>,
        previous: &mut Option<SliceHeader>,
    ) -> Result<bool, Error> {
        let header = NalHeader::parse(unit).map_err(of_decoder)?;
        if header.layer_id > 0 || !header.unit_type.is_slice() {
            return Ok(true);
        }
        let unit = NalUnit::parse(unit).map_err(of_decoder)?;
        let begins = unit.rbsp.first().is_some_and(|byte| byte & 0x80 != 0);
        if begins && state.is_some() {
            return Ok(false);
        }
        let slice = SliceHeader::parse(&unit.rbsp, &unit.header, &self.sets, previous.as_ref()).map_err(of_decoder)?;
        let (pps, sps) = self.sets.get(usize::from(slice.slice_pic_parameter_set_id)).map_err(of_decoder)?;
        let (picture, reconstructor) =
            state.get_or_insert_with(|| (Picture::new(sps, pps), Reconstructor::new(sps, pps)));
        let place = picture.layout.rs_to_ts.get(slice.slice_segment_address as usize);
        if place != Some(&picture.decoded_ctbs) {
            return Err(Error::Corrupt("its slices do not follow each other".into()));
        }
        reconstructor.start_slice(&slice);
        let luma_quantiser = slice.slice_qp_y(&self.sets).map_err(of_decoder)?;
        let data = unit.rbsp.get(slice.header_size..).unwrap_or_default();
        decode_slice_segment(picture, &slice, luma_quantiser, data, reconstructor).map_err(of_decoder)?;
        if let Some(error) = reconstructor.error.take() {
            return Err(of_decoder(error));
        }
        if !slice.dependent_slice_segment_flag {
            *previous = Some(slice);
        }
        Ok(true)
    }

    /// A picture of one colour, for one that cannot be decoded.
    pub fn blank(&self, luma: u16) -> Frame {
        let Shape { coded: (width, height), sampling: (across, down), grey, bits, .. } = self.shape;
        let side = |side: usize, by: usize| if grey { 0 } else { side / by };
        let (chroma_width, chroma_height) = (side(width, across), side(height, down));
        let chroma = || vec![1 << (bits.1 - 1); chroma_width * chroma_height];
        Frame {
            widths: [width, chroma_width, chroma_width].map(|side| side as u32),
            heights: [height, chroma_height, chroma_height].map(|side| side as u32),
            planes: [vec![luma; width * height], chroma(), chroma()],
            bit_depth: [bits.0, bits.1],
            chroma_format: 0,
            full_range: true,
            matrix_coeffs: 2,
        }
    }
}

/// Adds a parameter set if it is one that the decoder, and the memory set aside for it, are up to.
fn add_parameters(sets: &mut ParameterSets, unit: &[u8], limits: &Limits) -> Result<(), Error> {
    let unit = NalUnit::parse(unit).map_err(|_| damaged_configuration())?;
    if unit.header.layer_id > 0 {
        return Ok(());
    }
    // The decoder reads the video parameter set, but nothing of it is needed.
    if !matches!(unit.header.unit_type, NalUnitType::Sps | NalUnitType::Pps) {
        return Ok(());
    }
    if unit.header.unit_type == NalUnitType::Sps {
        let sps = Sps::parse(&unit.rbsp).map_err(of_decoder)?;
        // A PPS is read, and memory allocated for it, by the sides that the SPS has, so these are checked first, and stay.
        check(&sps, limits)?;
        if let Some(first) = sets.sps.iter().flatten().next() {
            return if *first == sps { Ok(()) } else { Err(damaged_configuration()) };
        }
    }
    sets.add(&unit).map_err(of_decoder)?;
    let tiles = |pps: &Pps| pps.tiles.as_ref().map_or((1, 1), |tiles| (tiles.num_columns, tiles.num_rows));
    let most = sets.pps.iter().flatten().map(tiles).fold((1, 1), |a, b| (a.0.max(b.0), a.1.max(b.1)));
    if most.0 > MAX_TILE_COLUMNS || most.1 > MAX_TILE_ROWS {
        return Err(damaged_configuration());
    }
    Ok(())
}

fn check(sps: &Sps, limits: &Limits) -> Result<(), Error> {
    let (width, height) = (sps.pic_width_in_luma_samples, sps.pic_height_in_luma_samples);
    limits.check_pixels(width as usize, height as usize)?;
    if width > MAX_SIDE || height > MAX_SIDE {
        return Err(Error::Unsupported(format!("a HEIC image with a part of {width}x{height}")));
    }
    let bits = sps.bit_depth_luma.max(sps.bit_depth_chroma);
    if bits > 12 {
        return Err(Error::Unsupported(format!("a HEIC image of {bits} bits per sample; at most 12 are supported")));
    }
    if sps.separate_colour_plane_flag {
        return Err(Error::Unsupported("a HEIC image with separate colour planes".into()));
    }
    Ok(())
}

impl Shape {
    fn of(sps: &Sps) -> Self {
        let (across, down) = sps.chroma_subsampling();
        let [left, _, top, _] = sps.conf_win_offsets;
        let (width, height) = sps.output_size();
        Self {
            width: width as usize,
            height: height as usize,
            left: (left * across) as usize,
            top: (top * down) as usize,
            coded: (sps.pic_width_in_luma_samples as usize, sps.pic_height_in_luma_samples as usize),
            block: sps.ctb_size() as usize,
            grey: sps.chroma_format_idc == 0,
            sampling: (across as usize, down as usize),
            bits: (sps.bit_depth_luma, sps.bit_depth_chroma),
        }
    }

    /// Luma samples that are decoded.
    pub fn coded_pixels(&self) -> u64 {
        self.coded.0 as u64 * self.coded.1 as u64
    }

    /// Luma samples for each sample of a plane, across and down.
    pub fn sampling_of(&self, plane: usize) -> (usize, usize) {
        if plane == 0 { (1, 1) } else { self.sampling }
    }

    /// What is shown of a decoded plane.
    pub fn shown<'f>(&self, frame: &'f Frame, plane: usize) -> Samples<'f> {
        let (across, down) = self.sampling_of(plane);
        let stride = frame.widths[plane] as usize;
        let samples = &frame.planes[plane][self.top / down * stride + self.left / across..];
        Samples { samples, stride, width: self.width / across, height: self.height / down }
    }

    /// The most bytes that decoding one takes, beside its data.
    pub fn decode_bytes(&self) -> u64 {
        let area = self.coded.0.next_multiple_of(4) as u64 * self.coded.1.next_multiple_of(4) as u64;
        let chroma = if self.grey { 0 } else { 2 * area / (self.sampling.0 * self.sampling.1) as u64 };
        let planes = 2 * (area + chroma);
        let blocks = (self.coded.0.div_ceil(self.block) * self.coded.1.div_ceil(self.block)) as u64;
        // The copy of a plane that the second of the loop filters takes; what is kept of each square of 4x4 samples, and of
        // each block: its parameters for the filters, its place, and the slice's, if it is one of its own.
        planes + 2 * area + area / 16 * 20 + blocks * 128 + (64 << 10)
    }
}

impl Signal {
    fn of(sps: &Sps) -> Self {
        let vui = sps.vui.as_ref();
        let point = |point: Option<u8>| u16::from(point.unwrap_or(2));
        Self {
            primaries: point(vui.map(|vui| vui.colour_primaries)),
            transfer: point(vui.map(|vui| vui.transfer_characteristics)),
            matrix: point(vui.map(|vui| vui.matrix_coeffs)),
            full_range: vui.is_some_and(|vui| vui.video_full_range_flag),
        }
    }
}

/// The NAL units of an item's data, each after its length.
struct Units<'a> {
    data: Reader<'a>,
    length_bytes: usize,
}

impl<'a> Iterator for Units<'a> {
    type Item = Result<&'a [u8], Error>;

    /// A unit that the data cuts is given too, to be decoded as far as it goes.
    fn next(&mut self) -> Option<Self::Item> {
        let Some(length) = self.data.number(self.length_bytes) else {
            let left = self.data.take(self.data.0.len())?;
            return (!left.is_empty()).then(|| Err(of_decoder(DecoderError::UnexpectedEof)));
        };
        let there = (length as usize).min(self.data.0.len());
        self.data.take(there).map(Ok)
    }
}

/// In words that are not the library's.
fn of_decoder(error: DecoderError) -> Error {
    match error {
        DecoderError::Unimplemented(_) => {
            Error::Unsupported("a HEIC image with features of HEVC that photographs do not have".into())
        }
        DecoderError::UnexpectedEof => Error::Corrupt("a part of it ends too early".into()),
        DecoderError::Invalid(_) | DecoderError::HashMismatch(_) => {
            Error::Corrupt("a part of it is not valid HEVC".into())
        }
    }
}
