//! An image coded with prefix codes, copies and a cache of colours (RFC 9649, section 3.6): the picture itself, or one of the small
//! ones that say how to decode it.

use super::bit_reader::BitReader;
use super::prefix_code::{MAX_SYMBOLS, PrefixCode, Tables, read_lengths};
use super::{corrupt, subsampled};
use crate::error::Error;
use crate::pixels::plane::zeros;

/// The largest distance of a copy: what the last distance code with all its extra bits means.
const MAX_DISTANCE: usize = 1 << 20;

/// The codes of a part of the image.
#[derive(Clone, Copy, Debug)]
struct Group {
    green: PrefixCode,
    red: PrefixCode,
    blue: PrefixCode,
    alpha: PrefixCode,
    distance: PrefixCode,
}

impl Group {
    fn read(
        reader: &mut BitReader,
        tables: &mut Tables,
        cache_len: usize,
        lengths: &mut [u8; MAX_SYMBOLS],
    ) -> Result<Self, Error> {
        let mut code = |symbols: usize| {
            let lengths = &mut lengths[..symbols];
            read_lengths(reader, lengths)?;
            tables.add(lengths)
        };
        Ok(Self {
            green: code(256 + 24 + cache_len)?,
            red: code(256)?,
            blue: code(256)?,
            alpha: code(256)?,
            distance: code(40)?,
        })
    }
}

/// Which group decodes which part.
#[derive(Debug)]
struct GroupMap {
    /// A part has `1 << bits` pixels each way.
    bits: u32,
    columns: usize,
    /// Of each part, among the groups that are used. Empty: there is one group.
    groups: Vec<u16>,
}

/// Decodes an image, one row at a time.
#[derive(Debug)]
pub(super) struct ImageDecoder<'a> {
    reader: BitReader<'a>,
    width: usize,
    height: usize,
    tables: Tables,
    groups: Vec<Group>,
    map: GroupMap,
    cache: Vec<u32>,
    cache_shift: u32,
    /// The last pixels; as many as a copy can reach back. The length is a power of 2.
    recent: Vec<u32>,
    /// Pixels that are decoded.
    done: usize,
    /// What is left of a copy that goes on in the next row, and its distance.
    copy: (usize, usize),
}

/// Pixels that are kept of so many.
fn kept(pixels: usize) -> usize {
    pixels.next_power_of_two().min(MAX_DISTANCE)
}

/// Bytes that the decoder of so many pixels takes, beside its codes.
pub(super) fn working_memory(pixels: u64) -> u64 {
    const CACHE: u64 = 4 << 11;
    // Which groups decode a part of 4 x 4 pixels, and the image that says so, with the pixels that it keeps, and a table of the groups.
    let parts = pixels.div_ceil(16) + pixels.isqrt() + 1;
    4 * (kept(pixels as usize) + kept(parts as usize)) as u64 + 6 * parts + (256 << 10) + CACHE
}

impl<'a> ImageDecoder<'a> {
    /// Reads what precedes the pixels. `main`: it is the picture itself, which can have several groups of codes.
    pub fn new(mut reader: BitReader<'a>, width: usize, height: usize, main: bool) -> Result<Self, Error> {
        let cache_bits = if reader.flag() { reader.number(4) } else { 0 };
        if cache_bits > 11 {
            return Err(corrupt("a colour cache that is too large"));
        }
        let cache_len = if cache_bits > 0 { 1 << cache_bits } else { 0 };
        let mut map = GroupMap { bits: 0, columns: 0, groups: Vec::new() };
        // Of each group that the file has, whether it is used.
        let mut used = vec![true];
        if main && reader.flag() {
            (map, used, reader) = read_map(reader, width, height)?;
        }
        let mut tables = Tables::default();
        let mut groups = Vec::new();
        let mut unused = Tables::default();
        let mut lengths = [0; MAX_SYMBOLS];
        for used in used {
            let tables = if used { &mut tables } else { &mut unused };
            let group = Group::read(&mut reader, tables, cache_len, &mut lengths);
            if reader.past_end() {
                return Err(Error::Truncated);
            }
            if used {
                groups.try_reserve(1).map_err(|_| Error::OutOfMemory)?;
                groups.push(group?);
            } else {
                group?;
            }
            unused = Tables::default();
        }
        Ok(Self {
            width,
            height,
            tables,
            groups,
            map,
            cache: zeros(cache_len)?,
            cache_shift: 32 - cache_bits,
            recent: zeros(kept(width * height))?,
            done: 0,
            copy: (0, 0),
            reader,
        })
    }

    /// The reader behind the image.
    pub fn into_reader(self) -> BitReader<'a> {
        self.reader
    }

    /// Decodes the whole image, and keeps of each pixel what `of` makes of it.
    pub fn all<T: Clone + Default>(&mut self, of: impl Fn(u32) -> T) -> Result<Vec<T>, Error> {
        let mut kept: Vec<T> = zeros(self.width * self.height)?;
        let mut row = zeros(self.width)?;
        for kept in kept.chunks_exact_mut(self.width) {
            self.row(&mut row)?;
            kept.iter_mut().zip(&row).for_each(|(kept, &pixel)| *kept = of(pixel));
        }
        Ok(kept)
    }

    /// Decodes the next row into `row`, which is as long as that. Pixels are alpha, red, green and blue, from the highest byte on.
    pub fn row(&mut self, row: &mut [u32]) -> Result<(), Error> {
        let y = self.done / self.width;
        let mask = self.recent.len() - 1;
        let part_mask = if self.map.groups.is_empty() { usize::MAX } else { (1 << self.map.bits) - 1 };
        let mut x = self.copied(row, 0);
        let mut group = self.group(x, y);
        // A copy stays in registers.
        let mut reader = self.reader.clone();
        while x < row.len() {
            if x & part_mask == 0 {
                group = self.group(x, y);
            }
            reader.fill();
            let symbol = self.tables.symbol(group.green, &mut reader);
            if symbol < 256 {
                let red = self.tables.symbol(group.red, &mut reader);
                reader.fill();
                let blue = self.tables.symbol(group.blue, &mut reader);
                let alpha = self.tables.symbol(group.alpha, &mut reader);
                let pixel = (alpha << 24 | red << 16 | symbol << 8 | blue) as u32;
                self.put(pixel, mask);
                row[x] = pixel;
                x += 1;
            } else if symbol < 256 + 24 {
                let length = prefixed(symbol - 256, &mut reader);
                reader.fill();
                let symbol = self.tables.symbol(group.distance, &mut reader);
                let distance = distance(prefixed(symbol, &mut reader), self.width);
                let left = self.width * self.height - self.done;
                if distance > self.done || length > left {
                    self.reader = reader;
                    return Err(self.broken());
                }
                self.copy = (length, distance);
                x = self.copied(row, x);
                if x < row.len() {
                    group = self.group(x, y);
                }
            } else {
                let pixel = self.cache[symbol - (256 + 24)];
                self.put(pixel, mask);
                row[x] = pixel;
                x += 1;
            }
        }
        self.reader = reader;
        if self.reader.past_end() { Err(Error::Truncated) } else { Ok(()) }
    }

    /// A copy from before the picture, or past its end. Zeros behind the end of the data mean that, too.
    #[cold]
    fn broken(&self) -> Error {
        if self.reader.past_end() { Error::Truncated } else { corrupt("a copy of pixels that are not there") }
    }

    fn group(&self, x: usize, y: usize) -> Group {
        let part = (y >> self.map.bits) * self.map.columns + (x >> self.map.bits);
        self.groups[usize::from(self.map.groups.get(part).copied().unwrap_or(0))]
    }

    #[inline(always)]
    fn put(&mut self, pixel: u32, mask: usize) {
        self.recent[self.done & mask] = pixel;
        self.done += 1;
        if !self.cache.is_empty() {
            let place = pixel.wrapping_mul(0x1e35_a7bd) >> self.cache_shift;
            self.cache[place as usize] = pixel;
        }
    }

    /// Copies to `row` from column `x` on as much as fits into it. Returns the column after that.
    fn copied(&mut self, row: &mut [u32], x: usize) -> usize {
        let (length, distance) = self.copy;
        let now = length.min(row.len() - x);
        let mask = self.recent.len() - 1;
        for to in &mut row[x..x + now] {
            *to = self.recent[self.done.wrapping_sub(distance) & mask];
            self.put(*to, mask);
        }
        self.copy = (length - now, distance);
        x + now
    }
}

/// Reads which group of codes decodes which part; and of each group in the file whether it is used.
fn read_map(
    mut reader: BitReader<'_>,
    width: usize,
    height: usize,
) -> Result<(GroupMap, Vec<bool>, BitReader<'_>), Error> {
    let bits = 2 + reader.number(3);
    let (columns, rows) = (subsampled(width, bits), subsampled(height, bits));
    let mut image = ImageDecoder::new(reader, columns, rows, false)?;
    let mut groups = image.all(|pixel| (pixel >> 8) as u16)?;
    let count = groups.iter().max().map_or(0, |&last| usize::from(last) + 1);
    let mut used = vec![false; count];
    groups.iter().for_each(|&group| used[usize::from(group)] = true);
    // In the file's order.
    let mut places: Vec<u16> = zeros(count)?;
    for (next, (place, _)) in places.iter_mut().zip(&used).filter(|(_, used)| **used).enumerate() {
        *place = next as u16;
    }
    groups.iter_mut().for_each(|group| *group = places[usize::from(*group)]);
    Ok((GroupMap { bits, columns, groups }, used, image.into_reader()))
}

/// A number that is coded as the upper two of its bits, and the others as they are (section 3.6.2.2).
#[inline(always)]
fn prefixed(symbol: usize, reader: &mut BitReader) -> usize {
    if symbol < 4 {
        return symbol + 1;
    }
    let bits = (symbol as u32 - 2) >> 1;
    let offset = (2 + (symbol & 1)) << bits;
    offset + reader.number(bits) as usize + 1
}

/// How far back a distance code means: the first 120 are the pixels around (section 3.6.2.2.1).
#[inline(always)]
fn distance(code: usize, width: usize) -> usize {
    match NEAR.get(code - 1) {
        Some(&(x, y)) => (usize::from(y) * width).saturating_add_signed(isize::from(x)).max(1),
        None => code - NEAR.len(),
    }
}

#[rustfmt::skip]
const NEAR: [(i8, u8); 120] = [
    (0, 1), (1, 0), (1, 1), (-1, 1), (0, 2), (2, 0), (1, 2), (-1, 2),
    (2, 1), (-2, 1), (2, 2), (-2, 2), (0, 3), (3, 0), (1, 3), (-1, 3),
    (3, 1), (-3, 1), (2, 3), (-2, 3), (3, 2), (-3, 2), (0, 4), (4, 0),
    (1, 4), (-1, 4), (4, 1), (-4, 1), (3, 3), (-3, 3), (2, 4), (-2, 4),
    (4, 2), (-4, 2), (0, 5), (3, 4), (-3, 4), (4, 3), (-4, 3), (5, 0),
    (1, 5), (-1, 5), (5, 1), (-5, 1), (2, 5), (-2, 5), (5, 2), (-5, 2),
    (4, 4), (-4, 4), (3, 5), (-3, 5), (5, 3), (-5, 3), (0, 6), (6, 0),
    (1, 6), (-1, 6), (6, 1), (-6, 1), (2, 6), (-2, 6), (6, 2), (-6, 2),
    (4, 5), (-4, 5), (5, 4), (-5, 4), (3, 6), (-3, 6), (6, 3), (-6, 3),
    (0, 7), (7, 0), (1, 7), (-1, 7), (5, 5), (-5, 5), (7, 1), (-7, 1),
    (4, 6), (-4, 6), (6, 4), (-6, 4), (2, 7), (-2, 7), (7, 2), (-7, 2),
    (3, 7), (-3, 7), (7, 3), (-7, 3), (5, 6), (-5, 6), (6, 5), (-6, 5),
    (8, 0), (4, 7), (-4, 7), (7, 4), (-7, 4), (8, 1), (8, 2), (6, 6),
    (-6, 6), (8, 3), (5, 7), (-5, 7), (7, 5), (-7, 5), (8, 4), (6, 7),
    (-6, 7), (7, 6), (-7, 6), (8, 5), (7, 7), (-7, 7), (8, 6), (8, 7),
];
