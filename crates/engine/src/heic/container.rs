//! The container (ISO/IEC 23008-12): which items a file has, what each of them is, and where its bytes are.
//!
//! Written here and not taken from the crate heifer-isobmff, whose lists grow with the product of two of the file's numbers: entries
//! of no bytes, and for every item a copy of its entry. Here everything stays where it is in the file, and is counted first.

use std::borrow::Cow;

use crate::boxes::{Boxed, Reader, boxes, find};
use crate::error::Error;

/// More than any program writes: a picture of 268 megapixels has 1024 tiles of 512 by 512.
const MAX_ITEMS: usize = 16_384;

/// Parts of an item's data: programs write one, or a few.
const MAX_PARTS: usize = 256;

/// What the `meta` box says, not yet resolved.
pub(super) struct Container<'a> {
    source: &'a [u8],
    idat: &'a [u8],
    pub primary: u32,
    /// What each item is, by its number; so are the next two sorted.
    kinds: Vec<(u32, [u8; 4])>,
    places: Vec<(u32, Place<'a>)>,
    associations: Associations<'a>,
    /// Whether these numbers have two bytes.
    wide: bool,
    properties: Vec<Boxed<'a>>,
    references: Vec<Reference<'a>>,
}

/// The numbers of an item's properties.
type Associations<'a> = Vec<(u32, &'a [u8])>;

/// From an item to others.
struct Reference<'a> {
    kind: [u8; 4],
    from: u32,
    to: &'a [u8],
    id_bytes: usize,
}

/// Where the bytes of an item are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    /// 0: in the file; 1: in `idat`.
    method: u16,
    base: u64,
    /// Bytes of an entry's index, offset and length.
    sizes: [usize; 3],
    extents: &'a [u8],
}

fn damaged(what: &str) -> Error {
    Error::Corrupt(format!("its {what} is not valid"))
}

impl<'a> Container<'a> {
    /// Reads the `meta` box.
    pub fn read(source: &'a [u8]) -> Result<Self, Error> {
        let meta = boxes(source).find(|found| found.kind == *b"meta");
        let meta = match meta {
            Some(meta) if meta.whole => meta.content.get(4..).ok_or(Error::Truncated)?,
            Some(_) => return Err(Error::Truncated),
            None if find(source, b"moov").is_some() => {
                return Err(Error::Unsupported("an image sequence; save one of its pictures as HEIC or JPEG".into()));
            }
            // The file's last box is not whole, or there is nothing but a box or two.
            None if boxes(source).last().is_none_or(|last| !last.whole || last.kind == *b"ftyp") => {
                return Err(Error::Truncated);
            }
            None => return Err(damaged("list of items")),
        };
        let part = |kind| find(meta, kind);
        let primary = part(b"pitm").map(|pitm| read_primary(pitm).ok_or_else(|| damaged("primary item")));
        let Some(primary) = primary.transpose()? else {
            return Err(Error::Unsupported("a HEIF file without a primary image".into()));
        };
        let iprp = part(b"iprp").unwrap_or_default();
        let properties = list(boxes(find(iprp, b"ipco").unwrap_or_default()).map(Some), "list of properties")?;
        let (associations, wide) = match find(iprp, b"ipma") {
            Some(ipma) => read_associations(ipma)?,
            None => (Vec::new(), false),
        };
        Ok(Self {
            source,
            idat: part(b"idat").unwrap_or_default(),
            primary,
            kinds: read_kinds(part(b"iinf").ok_or_else(|| damaged("list of items"))?)?,
            places: read_places(part(b"iloc").ok_or_else(|| damaged("list of places"))?)?,
            associations,
            wide,
            properties,
            references: read_references(part(b"iref").unwrap_or_default())?,
        })
    }

    /// Bytes of the lists.
    pub fn list_bytes(&self) -> usize {
        size_of_val(&*self.kinds)
            + size_of_val(&*self.places)
            + size_of_val(&*self.associations)
            + size_of_val(&*self.properties)
            + size_of_val(&*self.references)
    }

    /// What an item is: `hvc1`, `grid`.
    pub fn kind(&self, item: u32) -> Result<[u8; 4], Error> {
        by_id(&self.kinds, item).copied().ok_or_else(|| Error::Corrupt(format!("it has no item {item}")))
    }

    /// An item's properties in their order.
    pub fn properties(&self, item: u32) -> impl Iterator<Item = &Boxed<'a>> {
        let numbers = by_id(&self.associations, item).copied().unwrap_or_default();
        let wide = self.wide;
        numbers.chunks_exact(if wide { 2 } else { 1 }).filter_map(move |bytes| {
            // The first bit says whether the property must be understood.
            let number = match *bytes {
                [one] => usize::from(one & 0x7f),
                [high, low] => usize::from(u16::from_be_bytes([high & 0x7f, low])),
                _ => 0,
            };
            self.properties.get(number.checked_sub(1)?)
        })
    }

    /// The first of an item's properties of a kind.
    pub fn property(&self, item: u32, kind: &[u8; 4]) -> Option<&'a [u8]> {
        self.properties(item).find(|property| property.kind == *kind).map(|property| property.content)
    }

    /// The items that an item refers to.
    pub fn referred(&self, from: u32, kind: &[u8; 4]) -> impl Iterator<Item = u32> + use<'a> {
        let reference = self.references.iter().find(|reference| reference.from == from && reference.kind == *kind);
        let (to, id_bytes) = reference.map_or((&[][..], 2), |reference| (reference.to, reference.id_bytes));
        to.chunks_exact(id_bytes).map(move |id| Reader(id).number(id_bytes).unwrap_or(0) as u32)
    }

    /// The items that refer to an item.
    pub fn referring(&self, to: u32, kind: [u8; 4]) -> impl Iterator<Item = u32> {
        let refers = move |reference: &&Reference| {
            let wanted = &to.to_be_bytes()[4 - reference.id_bytes..];
            reference.kind == kind && reference.to.chunks_exact(reference.id_bytes).any(|id| id == wanted)
        };
        self.references.iter().filter(refers).map(|reference| reference.from)
    }

    /// Where an item's bytes are.
    pub fn place(&self, item: u32) -> Result<Place<'a>, Error> {
        by_id(&self.places, item).copied().ok_or_else(|| Error::Corrupt(format!("item {item} has no data")))
    }

    /// An item's bytes.
    pub fn data(&self, item: u32) -> Result<Cow<'a, [u8]>, Error> {
        self.place(item)?.data(self.source, self.idat, true)
    }

    /// The bytes of `idat`.
    pub fn idat(&self) -> &'a [u8] {
        self.idat
    }
}

impl<'a> Place<'a> {
    /// Offsets and lengths of its parts.
    fn parts(&self) -> impl Iterator<Item = Option<(u64, u64)>> {
        let Self { base, sizes, .. } = *self;
        self.extents.chunks_exact(sizes.iter().sum::<usize>().max(1)).map(move |extent| {
            let mut reader = Reader(extent);
            reader.number(sizes[0])?;
            let (offset, length) = (reader.number(sizes[1])?, reader.number(sizes[2])?);
            Some((base.checked_add(offset)?, length))
        })
    }

    /// The item's bytes: copied only where they are in several parts, which together are never longer than the file. Where
    /// the file ends too early they are [`Error::Truncated`] if they must be `whole`, and else what there is.
    pub fn data(&self, source: &'a [u8], idat: &'a [u8], whole: bool) -> Result<Cow<'a, [u8]>, Error> {
        let from = match self.method {
            0 => source,
            1 => idat,
            _ => return Err(Error::Unsupported("a HEIC image whose data is made of other items".into())),
        };
        let mut data = Cow::Borrowed(&[][..]);
        for part in self.parts() {
            let (offset, length) = part.ok_or_else(|| damaged("list of places"))?;
            let rest = usize::try_from(offset).ok().and_then(|offset| from.get(offset..));
            // A length of 0 is all that follows.
            let found = match rest {
                Some(rest) if length == 0 => rest,
                Some(rest) if length <= rest.len() as u64 => &rest[..length as usize],
                _ if whole => return Err(Error::Truncated),
                rest => rest.unwrap_or_default(),
            };
            if data.is_empty() {
                data = Cow::Borrowed(found);
                continue;
            }
            if data.len() + found.len() > source.len() {
                return Err(damaged("list of places"));
            }
            let joined = data.to_mut();
            joined.try_reserve_exact(found.len()).map_err(|_| Error::OutOfMemory)?;
            joined.extend_from_slice(found);
        }
        Ok(data)
    }

    /// Whether the file has all of it.
    pub fn check(&self, source: &[u8], idat: &[u8]) -> Result<(), Error> {
        let there = if self.method == 1 { idat } else { source }.len() as u64;
        let ends = |part: Option<(u64, u64)>| part.and_then(|(offset, length)| offset.checked_add(length));
        if self.parts().all(|part| ends(part).is_some_and(|end| end <= there)) { Ok(()) } else { Err(Error::Truncated) }
    }

    /// The most bytes that its data can have.
    pub fn most_bytes(&self, source: &[u8]) -> usize {
        let lengths = self.parts().map(|part| match part {
            Some((_, length)) if length > 0 => length,
            _ => source.len() as u64,
        });
        lengths.fold(0, u64::saturating_add).min(source.len() as u64) as usize
    }

    /// How many parts it has.
    pub fn is_in_parts(&self) -> bool {
        self.parts().nth(1).is_some()
    }
}

fn by_id<T>(sorted: &[(u32, T)], id: u32) -> Option<&T> {
    let at = sorted.partition_point(|(other, _)| *other < id);
    sorted.get(at).filter(|(other, _)| *other == id).map(|(_, value)| value)
}

/// What the entries are that were read, or what is wrong with them.
fn list<T>(entries: impl Iterator<Item = Option<T>>, what: &str) -> Result<Vec<T>, Error> {
    let mut list = Vec::new();
    for entry in entries {
        if list.len() == MAX_ITEMS {
            return Err(Error::Corrupt(format!("its {what} has more than {MAX_ITEMS} entries")));
        }
        list.push(entry.ok_or_else(|| damaged(what))?);
    }
    Ok(list)
}

/// Sorted by the item's number; of several with the same the first counts.
fn sorted<T>(mut list: Vec<(u32, T)>) -> Vec<(u32, T)> {
    list.sort_by_key(|(id, _)| *id);
    list
}

fn read_primary(pitm: &[u8]) -> Option<u32> {
    let mut reader = Reader(pitm);
    let (version, _) = reader.version()?;
    Some(reader.number(if version == 0 { 2 } else { 4 })? as u32)
}

fn read_kinds(iinf: &[u8]) -> Result<Vec<(u32, [u8; 4])>, Error> {
    const WHAT: &str = "list of items";
    let mut reader = Reader(iinf);
    let (version, _) = reader.version().ok_or_else(|| damaged(WHAT))?;
    reader.take(if version == 0 { 2 } else { 4 }).ok_or_else(|| damaged(WHAT))?;
    let entries = boxes(reader.0).filter(|entry| entry.kind == *b"infe").map(|entry| {
        let mut reader = Reader(entry.content);
        let (version, _) = reader.version()?;
        let id = match version {
            2 => reader.number(2)?,
            3 => reader.number(4)?,
            // Older entries have no kind; what they describe is no picture.
            _ => return Some((u32::MAX, *b"    ")),
        };
        reader.take(2)?;
        Some((id as u32, reader.take(4)?.try_into().ok()?))
    });
    list(entries, WHAT).map(sorted)
}

fn read_places(iloc: &[u8]) -> Result<Vec<(u32, Place<'_>)>, Error> {
    const WHAT: &str = "list of places";
    let mut reader = Reader(iloc);
    let head = reader.version().zip(reader.u16());
    let ((version, _), sizes) = head.ok_or_else(|| damaged(WHAT))?;
    let nibble = |shift: u16| usize::from(sizes >> shift & 15);
    let (offset, length, base) = (nibble(12), nibble(8), nibble(4));
    let index = if version == 0 { 0 } else { nibble(0) };
    let id_bytes = if version < 2 { 2 } else { 4 };
    let count = reader.number(id_bytes).ok_or_else(|| damaged(WHAT))?;
    if version > 2 || [offset, length, base, index].iter().any(|&bytes| ![0, 4, 8].contains(&bytes)) {
        return Err(damaged(WHAT));
    }
    let sizes = [index, offset, length];
    let entries = (0..count).map(|_| {
        let id = reader.number(id_bytes)? as u32;
        let method = if version == 0 { 0 } else { reader.u16()? & 15 };
        reader.take(2)?;
        let base = reader.number(base)?;
        let count = usize::from(reader.u16()?);
        let mut extents = reader.take(count * sizes.iter().sum::<usize>())?;
        // Entries of no bytes, all the same: one byte stands for one of them.
        if sizes == [0; 3] {
            extents = &[0][..count.min(1)];
        } else if count > MAX_PARTS {
            return None;
        }
        Some((id, Place { method, base, sizes, extents }))
    });
    list(entries, WHAT).map(sorted)
}

/// Also returns whether the numbers of properties have two bytes.
fn read_associations(ipma: &[u8]) -> Result<(Associations<'_>, bool), Error> {
    const WHAT: &str = "list of properties";
    let mut reader = Reader(ipma);
    let head = reader.version().zip(reader.u32());
    let ((version, flags), count) = head.ok_or_else(|| damaged(WHAT))?;
    let wide = flags & 1 != 0;
    let entries = (0..count).map(|_| {
        let id = reader.number(if version == 0 { 2 } else { 4 })? as u32;
        let count = usize::from(reader.u8()?);
        Some((id, reader.take(if wide { 2 * count } else { count })?))
    });
    Ok((list(entries, WHAT).map(sorted)?, wide))
}

fn read_references(iref: &[u8]) -> Result<Vec<Reference<'_>>, Error> {
    let mut reader = Reader(iref);
    let version = reader.version().map_or(0, |(version, _)| version);
    let id_bytes = if version == 0 { 2 } else { 4 };
    let entries = boxes(reader.0).map(|entry| {
        let mut reader = Reader(entry.content);
        let from = reader.number(id_bytes)? as u32;
        let count = usize::from(reader.u16()?);
        Some(Reference { kind: entry.kind, from, to: reader.take(count * id_bytes)?, id_bytes })
    });
    list(entries, "list of references")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &[u8] = b"0123456789abcdef";

    fn data(parts: &[(u32, u32)], whole: bool) -> Result<Vec<u8>, Error> {
        let extents: Vec<u8> =
            parts.iter().flat_map(|(at, length)| [at.to_be_bytes(), length.to_be_bytes()].concat()).collect();
        let place = Place { method: 0, base: 0, sizes: [0, 4, 4], extents: &extents };
        assert_eq!(place.check(SOURCE, &[]).is_ok(), place.data(SOURCE, &[], true) != Err(Error::Truncated));
        place.data(SOURCE, &[], whole).map(Cow::into_owned)
    }

    #[test]
    fn an_items_parts_are_joined() {
        assert_eq!(data(&[(2, 3)], true).unwrap(), b"234");
        assert_eq!(data(&[(12, 0)], true).unwrap(), b"cdef");
        assert_eq!(data(&[(4, 2), (0, 3)], true).unwrap(), b"45012");
        assert_eq!(data(&[], true).unwrap(), b"");
    }

    #[test]
    fn parts_that_the_file_does_not_have() {
        for parts in [[(14, 3)], [(17, 1)], [(u32::MAX, u32::MAX)]] {
            assert_eq!(data(&parts, true), Err(Error::Truncated));
        }
        assert_eq!(data(&[(14, 3)], false).unwrap(), b"ef");
        assert_eq!(data(&[(17, 3)], false).unwrap(), b"");
    }

    /// Parts over each other would be copied as often as they are named.
    #[test]
    fn parts_together_are_never_longer_than_the_file() {
        assert!(matches!(data(&[(0, 16); 1000], true), Err(Error::Corrupt(_))));
    }
}
