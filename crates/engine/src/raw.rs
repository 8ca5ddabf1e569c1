//! A camera's raw file by the JPEG that the camera puts into it: the largest that there is. The sensor's own data is not read.
//!
//! Most are TIFF files (CR2, NEF, ARW, DNG, PEF, SRW; with other first bytes ORF and RW2), whose directories say where JPEGs are; CR3 is
//! made of boxes, and RAF has a head of its own.

use crate::boxes::{Reader, boxes, find};
use crate::error::Error;
use crate::geometry::PlaneRequest;
use crate::jpeg::{self, Jpeg, Process};
use crate::limits::{Limits, Truncated};
use crate::orientation::Orientation;
use crate::picture::{Decoded, Header, Picture};
use crate::tiff::{Entry, SHORT, Tiff};

/// Most directories of a TIFF file that are looked at: cameras write up to ten.
const MAX_DIRECTORIES: usize = 32;

/// Most places where a JPEG may be that are looked at.
const MAX_PREVIEWS: usize = 16;

/// A raw file whose largest JPEG has been opened.
pub(crate) struct Raw<'a> {
    jpeg: Jpeg<'a>,
    header: Header,
}

impl<'a> Raw<'a> {
    pub fn open(source: &'a [u8], limits: &Limits) -> Result<Self, Error> {
        let found = Found::of(source);
        let opened = found.previews.into_iter().filter_map(|preview| Jpeg::open(preview, limits).ok());
        let readable =
            opened.filter(|jpeg| !matches!(jpeg.process(), Process::Other(_)) && jpeg.header().precision_bits == 8);
        let pixels = |jpeg: &Jpeg| jpeg.header().width * jpeg.header().height;
        let Some(jpeg) = readable.max_by_key(pixels) else {
            return Err(Error::Unsupported("a camera raw file without a JPEG in it; save it as JPEG".into()));
        };
        let mut header = jpeg.header().clone();
        // The camera turns neither the sensor's data nor its JPEG; that some JPEGs have an orientation of their own says the same.
        header.orientation = found.orientation.unwrap_or(header.orientation);
        Ok(Self { jpeg, header })
    }

    pub fn facts(&self) -> jpeg::Facts {
        self.jpeg.facts()
    }

    pub fn process(&self) -> Process {
        self.jpeg.process()
    }
}

impl Picture for Raw<'_> {
    fn header(&self) -> &Header {
        &self.header
    }

    fn decode(&self, requests: &[Vec<PlaneRequest>], truncated: Truncated) -> Result<Decoded, Error> {
        self.jpeg.decode(requests, truncated)
    }
}

/// Whether a file is a camera's raw file. A TIFF file is one if it says which camera or raw format it is from, and has a JPEG.
pub(crate) fn is_raw(source: &[u8]) -> bool {
    match source {
        [b'I', b'I', b'*', 0, ..] | [b'M', b'M', 0, b'*', ..] => {
            let found = Found::of(source);
            found.by_a_camera && !found.previews.is_empty()
        }
        _ => is_own_kind(source) || is_fuji(source) || is_canon(source),
    }
}

/// Olympus and Panasonic: TIFF, but for the number that TIFF begins with.
fn is_own_kind(source: &[u8]) -> bool {
    [b"IIRO", b"IIRS", b"MMOR", b"IIU\0"].iter().any(|magic| source.starts_with(*magic))
}

fn is_fuji(source: &[u8]) -> bool {
    source.starts_with(b"FUJIFILMCCD-RAW ")
}

fn is_canon(source: &[u8]) -> bool {
    source.get(4..12) == Some(b"ftypcrx ")
}

/// What a walk through a file finds.
#[derive(Default)]
struct Found<'a> {
    orientation: Option<Orientation>,
    by_a_camera: bool,
    /// What begins as a JPEG does.
    previews: Vec<&'a [u8]>,
}

impl<'a> Found<'a> {
    fn of(source: &'a [u8]) -> Self {
        let mut found = Self::default();
        if is_fuji(source) {
            let mut place = Reader(source.get(84..92).unwrap_or_default());
            if let Some((at, length)) = place.u32().zip(place.u32()) {
                found.add(source, u64::from(at), u64::from(length));
            }
        } else if is_canon(source) {
            found.read_boxes(source);
        } else if let Some(tiff) = tiff(source) {
            found.read_directories(tiff);
        }
        found
    }

    fn add(&mut self, source: &'a [u8], at: u64, length: u64) {
        let part = usize::try_from(at).ok().and_then(|at| source.get(at..));
        let preview = part.and_then(|part| part.get(..usize::try_from(length).ok()?));
        if let Some(preview) = preview.filter(|preview| preview.starts_with(&[0xff, 0xd8, 0xff]))
            && self.previews.len() < MAX_PREVIEWS
        {
            self.previews.push(preview);
        }
    }

    /// TIFF's directories: each may have a next one, and others below it.
    fn read_directories(&mut self, tiff: Tiff<'a>) {
        let mut waiting: Vec<usize> = tiff.offset(4).into_iter().collect();
        let mut seen = Vec::new();
        while let Some(at) = waiting.pop() {
            if seen.len() == MAX_DIRECTORIES || seen.contains(&at) {
                continue;
            }
            let first = seen.is_empty();
            seen.push(at);
            let mut directory = Directory::default();
            tiff.directory(at).for_each(|entry| directory.note(tiff, &entry, &mut waiting));
            waiting.extend(tiff.next_directory(at));
            if first {
                self.orientation = directory.orientation;
                self.by_a_camera = directory.by_a_camera;
            }
            for (at, length) in [directory.thumbnail, directory.strip(), directory.whole] {
                if let (Some(at), Some(length)) = (at, length) {
                    self.add(tiff.bytes, u64::from(at), u64::from(length));
                }
            }
        }
    }

    /// CR3: a preview in a box of its own, and the full picture as the one sample of a track.
    fn read_boxes(&mut self, source: &'a [u8]) {
        const CANON: &[u8] = b"\x85\xc0\xb6\x87\x82\x0f\x11\xe0\x81\x11\xf4\xce\x46\x2b\x6a\x48";
        const PREVIEW: &[u8] = b"\xea\xf4\x2b\x5e\x1c\x98\x4b\x88\xb9\xfb\xb7\xdc\x40\x6e\x4d\x16";
        /// What stands before the JPEG: sizes, and the picture's.
        const MOST_BEFORE: usize = 64;
        for found in boxes(source).take(MAX_DIRECTORIES) {
            if let (b"uuid", Some(content)) = (&found.kind, found.content.strip_prefix(PREVIEW)) {
                let preview = content.get(8..).and_then(|boxes| find(boxes, b"PRVW")).unwrap_or_default();
                let starts = preview.windows(3).take(MOST_BEFORE).position(|bytes| bytes == [0xff, 0xd8, 0xff]);
                self.previews.extend(starts.map(|at| &preview[at..]));
            }
        }
        let moov = find(source, b"moov").unwrap_or_default();
        for found in boxes(moov).take(MAX_DIRECTORIES) {
            match (&found.kind, found.content.strip_prefix(CANON)) {
                (b"uuid", Some(content)) => {
                    let tiff = find(content, b"CMT1").and_then(tiff);
                    let mut first = Self::default();
                    tiff.into_iter().for_each(|tiff| first.read_directories(tiff));
                    self.orientation = first.orientation;
                }
                (b"trak", _) => {
                    let path = [b"mdia", b"minf", b"stbl"];
                    let table = path.iter().try_fold(found.content, |content, kind| find(content, kind));
                    if let Some((at, length)) = table.and_then(only_sample) {
                        self.add(source, at, length);
                    }
                }
                _ => {}
            }
        }
    }
}

/// Where the first sample of a track is, by its sample table.
fn only_sample(table: &[u8]) -> Option<(u64, u64)> {
    let mut sizes = Reader(find(table, b"stsz")?);
    sizes.version()?;
    let (common, _count) = (sizes.u32()?, sizes.u32()?);
    let size = if common > 0 { common } else { sizes.u32()? };
    let mut places = Reader(find(table, b"co64")?);
    places.take(8)?;
    Some((places.number(8)?, u64::from(size)))
}

/// What a directory says that is of use here.
#[derive(Default)]
struct Directory {
    orientation: Option<Orientation>,
    by_a_camera: bool,
    compression: Option<u32>,
    /// Offsets and lengths: of a thumbnail, of the picture's only strip, and of a JPEG that stands as the entry's value.
    thumbnail: (Option<u32>, Option<u32>),
    strips: (Option<u32>, Option<u32>),
    whole: (Option<u32>, Option<u32>),
}

impl Directory {
    /// TIFF 6.0's tags, Exif's, DNG's and Panasonic's.
    fn note(&mut self, tiff: Tiff, entry: &Entry, waiting: &mut Vec<usize>) {
        let Some(count) = entry.count() else { return };
        let one = || value(tiff, entry, 0).filter(|_| count == 1);
        match entry.tag {
            0x0103 => self.compression = one(),
            0x010f | 0xc612 => self.by_a_camera = true,
            0x0111 => self.strips.0 = one(),
            0x0112 => self.orientation = one().and_then(|value| Orientation::from_exif(value.try_into().ok()?)),
            0x0117 => self.strips.1 = one(),
            0x002e => self.whole = (tiff.number(entry.value_at(), 4), Some(count)),
            0x0201 => self.thumbnail.0 = one(),
            0x0202 => self.thumbnail.1 = one(),
            // Directories below this one.
            0x014a | 0x8769 => {
                let below = (0..count.min(MAX_DIRECTORIES as u32)).filter_map(|i| value(tiff, entry, i));
                waiting.extend(below.map(|at| at as usize));
            }
            _ => {}
        }
    }

    /// The only strip, if it is a JPEG.
    fn strip(&self) -> (Option<u32>, Option<u32>) {
        if matches!(self.compression, Some(6 | 7)) { self.strips } else { (None, None) }
    }
}

/// Of a file of TIFF 6.0, or of one that differs from it in the third and fourth byte.
fn tiff(source: &[u8]) -> Option<Tiff<'_>> {
    Tiff::of(source).or_else(|| is_own_kind(source).then(|| Tiff::whatever(source)))
}

/// One of an entry's values.
fn value(tiff: Tiff, entry: &Entry, index: u32) -> Option<u32> {
    let bytes = match entry.kind()? {
        SHORT => 2,
        4 | 9 | 13 => 4,
        _ => 1,
    };
    tiff.number(entry.values_at(bytes)?.checked_add(index as usize * bytes)?, bytes)
}

#[cfg(test)]
mod tests;
