//! What a file says of its picture beside the pixels: how it is turned, where its subject is, and whose it is. Nothing else is
//! read: no camera, no date, no place.

use crate::copyright::Copyright;
use crate::exif::Exif;
use crate::marks::{Area, Mark, Subject, regions};
use crate::orientation::Orientation;
use crate::xmp;

/// Most bytes of an XMP packet that are looked at; a JPEG's segment has at most 64 KiB.
const MAX_XMP_BYTES: usize = 1 << 20;

/// Collected from the segments or chunks of a file, in any order. Damaged metadata is ignored, so that it does not prevent a
/// thumbnail.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Metadata {
    exif: Exif,
    xmp_copyright: Copyright,
    /// What is marked in the stored picture.
    marks: Vec<(Mark, Area)>,
}

impl Metadata {
    /// Takes an Exif block: a TIFF file. The `Exif\0\0` that JPEG has before it, and some other files too, may be there or not.
    pub fn add_exif(&mut self, block: &[u8]) {
        let tiff = block.strip_prefix(b"Exif\0\0").unwrap_or(block);
        if self.exif == Exif::default() {
            self.exif = Exif::read(tiff);
        }
    }

    /// Takes an XMP packet, in UTF-8 (ISO 16684-1). An extended one (part 3, 1.1.3.1) is not looked at.
    pub fn add_xmp(&mut self, packet: &[u8]) {
        let packet = &packet[..packet.len().min(MAX_XMP_BYTES)];
        if self.marks.is_empty() {
            self.marks = regions::read(packet);
        }
        let Copyright { artist, rights } = &mut self.xmp_copyright;
        for (kept, name) in [(artist, "dc:creator"), (rights, "dc:rights")] {
            if kept.is_empty() {
                *kept = xmp::first_text(packet, name).unwrap_or_default();
            }
        }
    }

    /// How the picture is turned upright.
    pub fn orientation(&self) -> Orientation {
        self.exif.orientation.unwrap_or_default()
    }

    /// Where the subject is in the stored picture: what somebody or some program marked, else where the camera focused.
    pub fn subject(&self) -> Option<Subject> {
        Subject::of(&self.marks).or_else(|| Subject::of(&[(Mark::Focus, focused(self.exif.subject_area?)?)]))
    }

    /// Whose the picture is: what Exif says goes before what XMP says.
    pub fn copyright(&self) -> Copyright {
        let first = |a: &Vec<u8>, b: &Vec<u8>| if a.is_empty() { b.clone() } else { a.clone() };
        let (exif, xmp) = (&self.exif.copyright, &self.xmp_copyright);
        Copyright { artist: first(&exif.artist, &xmp.artist), rights: first(&exif.rights, &xmp.rights) }
    }
}

/// The area that a camera focused, if it is more than the middle, which cameras write where nobody chose anything.
fn focused(area: Area) -> Option<Area> {
    /// In parts of a side.
    const NEAR_THE_MIDDLE: f64 = 0.05;
    let centre = area.centre();
    let off = |part: f64| (part - 0.5).abs() > NEAR_THE_MIDDLE;
    (off(centre.x) || off(centre.y)).then_some(area)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exif_goes_before_xmp_whatever_the_order() {
        let xmp = b"<rdf:RDF><rdf:Description dc:rights='XMP rights' dc:creator='XMP creator'/></rdf:RDF>";
        let exif = b"II*\0\x08\0\0\0\x01\0\x98\x82\x02\0\x04\0\0\0Me\0\0\0\0\0\0";
        let mut metadata = Metadata::default();
        metadata.add_xmp(xmp);
        metadata.add_exif(exif);
        let expected = Copyright { artist: b"XMP creator".to_vec(), rights: b"Me".to_vec() };
        assert_eq!(metadata.copyright(), expected);
        let mut other = Metadata::default();
        other.add_exif(&[b"Exif\0\0", &exif[..]].concat());
        other.add_xmp(xmp);
        assert_eq!(other, metadata);
    }

    #[test]
    fn damaged_metadata_is_no_reason_to_panic() {
        let xmp = b"<rdf:RDF><mwg-rs:Regions><rdf:Bag><rdf:li mwg-rs:Type='Face'><mwg-rs:Area stArea:x='0.5' stArea:y='.5'/>\
            </rdf:li></rdf:Bag></mwg-rs:Regions><dc:rights><rdf:Alt><rdf:li>a &amp; b</rdf:li></rdf:Alt></dc:rights></rdf:RDF>";
        let exif = b"MM\0*\0\0\0\x08\0\x02\x82\x98\0\x02\0\0\0\x08\0\0\0\x26\x87\x69\0\x04\0\0\0\x01\0\0\0\x2e\0\0\0\0\
            (c) Ann\0\0\x03\x92\x14\0\x03\0\0\0\x04\0\0\0\x58\xa0\x02\0\x03\0\0\0\x01\0\x64\0\0\xa0\x03\0\x03\0\0\0\x01\0\x64\
            \0\0\0\0\0\0\0\x0a\0\x0a\0\x0a\0\x0a";
        let read = |xmp: &[u8], exif: &[u8]| {
            let mut metadata = Metadata::default();
            metadata.add_xmp(xmp);
            metadata.add_exif(exif);
            (metadata.subject().is_some(), metadata.copyright(), metadata)
        };
        let (marked, copyright, whole) = read(xmp, exif);
        assert!(marked && copyright.rights == b"(c) Ann" && whole.exif.subject_area.is_some(), "{whole:?}");
        let mut seed = 1_u32;
        let mut random = |below: usize| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as usize % below
        };
        let mut changed = 0;
        for _ in 0..20_000 {
            let (mut xmp, mut exif) = (xmp.to_vec(), exif.to_vec());
            for _ in 0..1 + random(3) {
                let (a, b) = (random(xmp.len()), random(exif.len()));
                xmp[a] = [b'<', b'>', b'/', b'"', b'\'', b'=', b'&', b'9', 0xff][random(9)];
                exif[b] = [0, 1, 4, 0x2e, 0x7f, 0xff][random(6)];
            }
            changed += u32::from(read(&xmp, &exif).2 != whole);
        }
        assert!(changed > 10_000, "{changed}");
    }

    #[test]
    fn a_focus_in_the_middle_says_nothing() {
        let middle = Area::new(0.3, 0.3, 0.4, 0.4).unwrap();
        let side = Area::new(0.1, 0.3, 0.4, 0.4).unwrap();
        assert_eq!((focused(middle), focused(side)), (None, Some(side)));
    }
}
