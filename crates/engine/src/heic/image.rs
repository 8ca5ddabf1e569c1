//! From the container's items to images that can be decoded: which parts they have, and how these are coded.

use super::container::{Container, Place};
use super::hevc::{Coding, Shape, Signal};
use super::turn::Shown;
use crate::boxes::Reader;
use crate::error::Error;
use crate::limits::Limits;
use crate::pixels::colour::Profile;

/// Most images that are each nothing but another one, turned or cropped.
const MAX_DERIVATIONS: usize = 8;

/// Longer profiles are ignored, as in JPEG.
const MAX_ICC_BYTES: usize = 4 << 20;

/// Bytes of a tile that may be other tiles' too.
const SHARED_BYTES: u64 = 4096;

/// The auxiliary images that are opacity, by name (ISO/IEC 23008-12, 6.6.2.1.1, and ISO/IEC 23091-2).
const ALPHA: [&[u8]; 2] = [b"urn:mpeg:hevc:2015:auxid:1", b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha"];

/// An image whose parts are HEVC pictures, all of one shape.
pub(super) struct Image<'a> {
    pub coding: Coding,
    pub grid: Grid,
    /// Row by row.
    pub tiles: Vec<Place<'a>>,
}

/// How an image is put together; 1 by 1 if it is stored in one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    pub columns: usize,
    pub rows: usize,
    pub tile: Shape,
    /// Of the image: the tiles reach over its right and lower edge.
    pub width: usize,
    pub height: usize,
    /// Of the largest tile: the bytes of its data, twice if they have to be put together first.
    pub data_bytes: usize,
}

/// The primary image.
pub(super) struct Primary<'a> {
    pub image: Image<'a>,
    pub alpha: Option<Alpha<'a>>,
    pub shown: Shown,
    pub signal: Signal,
    pub profile: Profile,
}

/// The opacity of an image.
pub(super) struct Alpha<'a> {
    pub image: Image<'a>,
    pub full_range: bool,
    /// Whether the image's colours are multiplied by it as they are stored.
    pub multiplied: bool,
}

impl<'a> Primary<'a> {
    pub fn find(container: &Container<'a>, source: &'a [u8], limits: &Limits) -> Result<Self, Error> {
        // From what is shown to what is stored.
        let mut items = vec![container.primary];
        let stored = loop {
            let item = items[items.len() - 1];
            if container.kind(item)? != *b"iden" {
                break item;
            }
            let from = container.referred(item, b"dimg").next();
            items.push(from.ok_or_else(|| Error::Corrupt(format!("its image {item} is made of no other")))?);
            if items.len() > MAX_DERIVATIONS {
                return Err(Error::Corrupt("its images are made of each other without end".into()));
            }
        };
        let image = Image::find(container, source, stored, limits)?;
        let mut shown = Shown::new(image.grid.width, image.grid.height);
        for &item in items.iter().rev() {
            for property in container.properties(item) {
                shown.apply(property.kind, property.content)?;
            }
        }
        let alpha = items.iter().find_map(|&item| Alpha::of(container, item).map(|alpha| (item, alpha)));
        let alpha = alpha.map(|(item, alpha)| Alpha::find(container, source, item, alpha, limits)).transpose()?;
        if alpha.as_ref().is_some_and(|alpha| alpha.image.size() != image.size()) {
            return Err(Error::Unsupported("a HEIC image whose transparency has another size than itself".into()));
        }
        // The image's own properties, or those of its first tile.
        items.extend(container.referred(stored, b"dimg").next());
        let signal = items.iter().find_map(|&item| nclx(container, item)).unwrap_or(image.coding.signal);
        let icc = items.iter().find_map(|&item| icc(container, item));
        Ok(Self { profile: icc.map_or_else(|| profile(signal), Profile::Icc), image, alpha, shown, signal })
    }
}

impl<'a> Alpha<'a> {
    /// The item that is the opacity of another.
    fn of(container: &Container<'a>, item: u32) -> Option<u32> {
        container.referring(item, *b"auxl").find(|&auxiliary| {
            let name = container.property(auxiliary, b"auxC").and_then(|content| content.get(4..));
            name.is_some_and(|name| ALPHA.contains(&name.split(|&byte| byte == 0).next().unwrap_or_default()))
        })
    }

    fn find(
        container: &Container<'a>,
        source: &'a [u8],
        image: u32,
        alpha: u32,
        limits: &Limits,
    ) -> Result<Self, Error> {
        let multiplied = container.referred(image, b"prem").any(|item| item == alpha);
        let image = Image::find(container, source, alpha, limits)?;
        let tile = container.referred(alpha, b"dimg").next();
        let signal = nclx(container, alpha).or_else(|| tile.and_then(|tile| nclx(container, tile)));
        // An auxiliary image needs no colour information; the opacity of all files seen has the full range.
        let full_range = signal.is_none_or(|signal| signal.full_range);
        Ok(Self { image, full_range, multiplied })
    }
}

impl<'a> Image<'a> {
    fn find(container: &Container<'a>, source: &'a [u8], item: u32, limits: &Limits) -> Result<Self, Error> {
        let grid = match &container.kind(item)? {
            b"hvc1" | b"hev1" => None,
            b"grid" => Some(GridBox::read(&container.data(item)?).ok_or_else(damaged_grid)?),
            kind => return Err(other_kind(*kind)),
        };
        let Some(grid) = grid else {
            let coding = coding(container, item, limits)?;
            let (width, height) = size(container, item).unwrap_or((coding.shape.width, coding.shape.height));
            let (width, height) = (width.min(coding.shape.width), height.min(coding.shape.height));
            return Self::new(coding, (1, 1), (width, height), vec![container.place(item)?], source);
        };
        limits.check_pixels(grid.width, grid.height)?;
        let parts = || container.referred(item, b"dimg");
        let first = parts().next().filter(|_| parts().count() == grid.columns * grid.rows).ok_or_else(damaged_grid)?;
        if !matches!(&container.kind(first)?, b"hvc1" | b"hev1") {
            return Err(other_kind(container.kind(first)?));
        }
        let coding = coding(container, first, limits)?;
        let Shape { width, height, sampling, .. } = coding.shape;
        // A tile that is not whole colour differences wide would shift all behind it.
        let odd = grid.columns > 1 && width % sampling.0 != 0 || grid.rows > 1 && height % sampling.1 != 0;
        if odd || width * grid.columns < grid.width || height * grid.rows < grid.height {
            return Err(damaged_grid());
        }
        // Where tiles reach far over the picture, it is they that take the time.
        let (columns, rows) = (grid.columns as u64, grid.rows as u64);
        if columns * rows * coding.shape.coded_pixels() > 2 * limits.max_source_pixels {
            let (width, height) = ((width * grid.columns) as u32, (height * grid.rows) as u32);
            return Err(Error::TooManyPixels { width, height, max: limits.max_source_pixels });
        }
        let tiles = places(container, parts(), &coding, limits)?;
        Self::new(coding, (grid.columns, grid.rows), (grid.width, grid.height), tiles, source)
    }

    fn new(
        coding: Coding,
        (columns, rows): (usize, usize),
        (width, height): (usize, usize),
        tiles: Vec<Place<'a>>,
        source: &'a [u8],
    ) -> Result<Self, Error> {
        if width == 0 || height == 0 {
            return Err(Error::Corrupt(format!("it declares {width} columns and {height} rows")));
        }
        // Each tile has data of its own, but for small ones that are all the same; of data that many share, each takes its time.
        let all: u64 = tiles.iter().map(|tile| tile.most_bytes(source) as u64).sum();
        if all > 4 * source.len() as u64 + SHARED_BYTES * tiles.len() as u64 {
            return Err(Error::Corrupt("its tiles have more data than the file".into()));
        }
        let bytes = |tile: &Place| tile.most_bytes(source) * if tile.is_in_parts() { 3 } else { 1 };
        let data_bytes = tiles.iter().map(bytes).max().unwrap_or(0);
        let grid = Grid { columns, rows, tile: coding.shape, width, height, data_bytes };
        Ok(Self { coding, grid, tiles })
    }

    fn size(&self) -> (usize, usize) {
        (self.grid.width, self.grid.height)
    }
}

/// Checks that the tiles are all coded as the first, and returns where they are.
fn places<'a>(
    container: &Container<'a>,
    tiles: impl Iterator<Item = u32>,
    coding: &Coding,
    limits: &Limits,
) -> Result<Vec<Place<'a>>, Error> {
    let mut places = Vec::new();
    // Writers give all tiles one configuration, or each a copy of it. Each is read once, however many tiles have it.
    let mut configurations: Vec<&[u8]> = Vec::new();
    for tile in tiles {
        let turned = container.properties(tile).any(|property| matches!(&property.kind, b"irot" | b"imir" | b"clap"));
        if !matches!(&container.kind(tile)?, b"hvc1" | b"hev1") || turned {
            return Err(Error::Unsupported("a HEIC image whose tiles are turned or made of others".into()));
        }
        let own = container.property(tile, b"hvcC").unwrap_or_default();
        if configurations.last().is_none_or(|last| !std::ptr::eq(*last, own)) {
            configurations.push(own);
        }
        places.push(container.place(tile)?);
    }
    configurations.sort_by_key(|configuration| configuration.as_ptr());
    configurations.dedup_by_key(|configuration| configuration.as_ptr());
    for configuration in configurations {
        if Coding::read(configuration, limits)?.shape != coding.shape {
            return Err(Error::Corrupt("its tiles have different sizes or formats".into()));
        }
    }
    Ok(places)
}

fn damaged_grid() -> Error {
    Error::Corrupt("its grid does not match its tiles".into())
}

fn other_kind(kind: [u8; 4]) -> Error {
    Error::Unsupported(match &kind {
        b"av01" => "an AVIF image; save it as JPEG, PNG, WebP or HEIC".into(),
        b"iovl" => "a HEIC image that is put together of several; save it as one, or as JPEG".into(),
        b"unci" => "a HEIF file of uncompressed samples; save it as JPEG, PNG or HEIC".into(),
        kind => format!("a HEIF file with an image of type `{}`; save it as JPEG", kind.escape_ascii()),
    })
}

fn coding(container: &Container, item: u32, limits: &Limits) -> Result<Coding, Error> {
    let missing = || Error::Corrupt(format!("its image {item} has no decoder configuration"));
    Coding::read(container.property(item, b"hvcC").ok_or_else(missing)?, limits)
}

/// The size that `ispe` declares.
fn size(container: &Container, item: u32) -> Option<(usize, usize)> {
    let mut reader = Reader(container.property(item, b"ispe")?);
    reader.version()?;
    Some((reader.u32()? as usize, reader.u32()? as usize))
}

/// A `grid` item's data (ISO/IEC 23008-12, 6.6.2.3.2).
struct GridBox {
    columns: usize,
    rows: usize,
    width: usize,
    height: usize,
}

impl GridBox {
    fn read(data: &[u8]) -> Option<Self> {
        let mut reader = Reader(data);
        let version = reader.u8()?;
        let side_bytes = if reader.u8()? & 1 == 0 { 2 } else { 4 };
        let (rows, columns) = (usize::from(reader.u8()?) + 1, usize::from(reader.u8()?) + 1);
        let mut side = || Some(reader.number(side_bytes)? as usize).filter(|&side| side > 0);
        (version == 0).then_some(())?;
        Some(Self { columns, rows, width: side()?, height: side()? })
    }
}

fn colours<'a>(container: &Container<'a>, item: u32, kinds: &[&[u8; 4]]) -> Option<&'a [u8]> {
    container.properties(item).filter(|property| property.kind == *b"colr").find_map(|property| {
        let (kind, content) = property.content.split_first_chunk()?;
        kinds.contains(&kind).then_some(content)
    })
}

/// What an item says about its colours by code points.
fn nclx(container: &Container, item: u32) -> Option<Signal> {
    let mut reader = Reader(colours(container, item, &[b"nclx"])?);
    let (primaries, transfer, matrix) = (reader.u16()?, reader.u16()?, reader.u16()?);
    Some(Signal { primaries, transfer, matrix, full_range: reader.u8()? & 0x80 != 0 })
}

fn icc(container: &Container, item: u32) -> Option<Vec<u8>> {
    let icc = colours(container, item, &[b"prof", b"rICC"])?;
    (!icc.is_empty() && icc.len() <= MAX_ICC_BYTES).then(|| icc.to_vec())
}

/// The profile that code points are.
///
/// Video's own curve is taken for sRGB's, as all programs that show pictures do. So are those of high dynamic range (16 and 18):
/// without mapping the tones, which depend on the screen, their light would leave most of a picture dark.
fn profile(signal: Signal) -> Profile {
    const SRGB: u8 = 13;
    match (signal.primaries, signal.transfer) {
        (primaries @ 4..=12, transfer @ (4 | 5 | 8)) => {
            Profile::Cicp { primaries: primaries as u8, transfer: transfer as u8 }
        }
        (primaries @ (4 | 9..=12), _) => Profile::Cicp { primaries: primaries as u8, transfer: SRGB },
        // 5 to 7 are those of television before sRGB, so near that every program takes them for sRGB's.
        _ => Profile::Srgb,
    }
}
