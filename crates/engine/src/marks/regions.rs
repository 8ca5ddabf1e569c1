//! Which parts of a picture are marked in its XMP: by the Metadata Working Group's schema (Guidelines 2.0, 5.9), which cameras,
//! telephones and all editors write; by Microsoft's ("People tagging"); and by the IPTC's (Photo Metadata 2019.1, image regions).

use memchr::memmem;

use super::{Area, Mark};
use crate::xmp::{Part, Parts, local};

/// Most marks that are kept; the rest is ignored. A photograph of a whole school has fewer faces that matter.
const MAX_MARKS: usize = 256;

/// Reads an XMP packet.
///
/// All three schemas mark parts of the stored picture, whatever its orientation ("region metadata is applied to the stored image").
/// The dimensions that the first has beside the regions are not looked at: programs that turn a picture leave them as they were.
pub(crate) fn read(packet: &[u8]) -> Vec<(Mark, Area)> {
    let mut marks = Vec::new();
    let names: [&[u8]; 2] = [b"Regions", b"ImageRegion"];
    if names.iter().all(|name| memmem::find(packet, name).is_none()) {
        return marks;
    }
    let is_list = |name: &[u8]| names.contains(&local(name));
    let is_item = |name: &[u8]| local(name) == b"li";
    // How deep inside lists of regions, and inside the lists of a region.
    let (mut list_depth, mut depth) = (0_usize, 0_usize);
    let mut draft: Option<Draft> = None;
    for part in Parts::new(packet) {
        match (part, &mut draft) {
            (Part::Value(name, value), Some(draft)) => draft.take(local(name), value),
            (Part::Start(name), Some(_)) => depth += usize::from(is_item(name)),
            (Part::End(name), Some(_)) if is_item(name) && depth > 0 => depth -= 1,
            (Part::End(name), Some(_)) if is_item(name) => {
                marks.extend(draft.take().and_then(Draft::finish));
                if marks.len() == MAX_MARKS {
                    break;
                }
            }
            (Part::Start(name), None) if is_list(name) => list_depth += 1,
            (Part::End(name), None) if is_list(name) => list_depth = list_depth.saturating_sub(1),
            (Part::Start(name), None) if list_depth > 0 && is_item(name) => draft = Some(Draft::default()),
            _ => {}
        }
    }
    marks
}

/// A region as far as it has been read.
#[derive(Default)]
struct Draft {
    mark: Option<Mark>,
    /// Of a kind that is none of ours, or in pixels.
    ignored: bool,
    /// The Metadata Working Group's: the centre.
    x: Option<f64>,
    y: Option<f64>,
    w: Option<f64>,
    h: Option<f64>,
    /// A circle's diameter.
    d: Option<f64>,
    /// Microsoft's and the IPTC's: the upper left corner, and the sides.
    rectangle: [Option<f64>; 4],
}

impl Draft {
    fn take(&mut self, name: &[u8], value: &[u8]) {
        match name {
            b"Type" => match value {
                b"Face" => self.mark = Some(Mark::Face),
                b"Pet" => self.mark = Some(Mark::Pet),
                b"Focus" => self.mark = Some(Mark::Focus),
                _ => self.ignored = true,
            },
            b"unit" | b"rbUnit" => self.ignored |= !matches!(value, b"normalized" | b"relative"),
            b"x" => self.x = number(value),
            b"y" => self.y = number(value),
            b"w" => self.w = number(value),
            b"h" => self.h = number(value),
            b"d" => self.d = number(value),
            b"Rectangle" => {
                self.mark = Some(Mark::Face);
                for (side, value) in self.rectangle.iter_mut().zip(value.split(|&byte| byte == b',')) {
                    *side = number(value);
                }
            }
            b"rbX" => self.rectangle[0] = number(value),
            b"rbY" => self.rectangle[1] = number(value),
            b"rbW" => self.rectangle[2] = number(value),
            b"rbH" => self.rectangle[3] = number(value),
            // The IPTC says what a region is, and what for, by addresses.
            b"Identifier" | b"li" => {
                let ends = |word: &[u8]| value.ends_with(word);
                if value.starts_with(b"http") && [&b"/human"[..], b"ubjectArea"].into_iter().any(ends) {
                    self.mark = Some(Mark::Face);
                } else if value.starts_with(b"http") && ends(b"/animal") {
                    self.mark = Some(Mark::Pet);
                }
            }
            _ => {}
        }
    }

    fn finish(self) -> Option<(Mark, Area)> {
        let mark = self.mark.filter(|_| !self.ignored)?;
        let area = match self.rectangle {
            [Some(left), Some(top), Some(width), Some(height)] => Area::new(left, top, width, height),
            _ => {
                // A point has no sides; a circle one for both.
                let (w, h) = (self.w.or(self.d).unwrap_or(0.0), self.h.or(self.d).unwrap_or(0.0));
                Area::around(self.x?, self.y?, w, h)
            }
        };
        Some((mark, area?))
    }
}

fn number(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok()?.trim().parse::<f64>().ok().filter(|number| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::{Area, MAX_MARKS, Mark};

    fn read(packet: &str) -> Vec<(Mark, Area)> {
        super::read(packet.as_bytes())
    }

    fn around(x: f64, y: f64, w: f64, h: f64) -> Area {
        Area::around(x, y, w, h).unwrap()
    }

    /// As ExifTool, Apple and the XMP Toolkit write it: everything is an element.
    const ELEMENTS: &str = "<?xpacket begin='\u{feff}' id='W5M0MpCehiHzreSzNTczkc9d'?><x:xmpmeta xmlns:x='adobe:ns:meta/'>
        <rdf:RDF><rdf:Description rdf:about=''><mwg-rs:Regions rdf:parseType='Resource'>
        <mwg-rs:AppliedToDimensions rdf:parseType='Resource'>
          <stDim:h>3000</stDim:h><stDim:unit>pixel</stDim:unit><stDim:w>4000</stDim:w>
        </mwg-rs:AppliedToDimensions>
        <mwg-rs:RegionList><rdf:Seq>
          <rdf:li rdf:parseType='Resource'>
            <mwg-rs:Area rdf:parseType='Resource'>
              <stArea:y>0.25</stArea:y><stArea:w>0.125</stArea:w><stArea:x>0.5</stArea:x><stArea:h>0.25</stArea:h>
              <stArea:unit>normalized</stArea:unit>
            </mwg-rs:Area>
            <mwg-rs:Extensions rdf:parseType='Resource'><apple-fi:AngleInfoYaw>45</apple-fi:AngleInfoYaw></mwg-rs:Extensions>
            <mwg-rs:Type>Face</mwg-rs:Type>
          </rdf:li>
          <rdf:li rdf:parseType='Resource'>
            <mwg-rs:Description><rdf:Alt><rdf:li xml:lang='x-default'>a lens</rdf:li></rdf:Alt></mwg-rs:Description>
            <mwg-rs:Area rdf:parseType='Resource'><stArea:x>0.2</stArea:x><stArea:y>0.3</stArea:y></mwg-rs:Area>
            <mwg-rs:Type>Focus</mwg-rs:Type><mwg-rs:FocusUsage>NotEvaluatedNotUsed</mwg-rs:FocusUsage>
          </rdf:li>
          <rdf:li rdf:parseType='Resource'>
            <mwg-rs:Type>BarCode</mwg-rs:Type>
            <mwg-rs:Area rdf:parseType='Resource'><stArea:x>0.9</stArea:x><stArea:y>0.9</stArea:y></mwg-rs:Area>
          </rdf:li>
        </rdf:Seq></mwg-rs:RegionList></mwg-rs:Regions></rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end='w'?>";

    /// As Lightroom, digiKam and Picasa write it: attributes wherever that is possible; and Microsoft's beside it.
    const ATTRIBUTES: &str = r#"<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2"><rdf:RDF>
        <rdf:Description rdf:about="" xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/" dc:format="image/jpeg">
        <mwg-rs:Regions rdf:parseType="Resource">
        <mwg-rs:AppliedToDimensions stDim:w="4000" stDim:h="3000" stDim:unit="pixel"/>
        <mwg-rs:RegionList><rdf:Bag>
          <rdf:li><rdf:Description mwg-rs:Name="Baby Gnu" mwg-rs:Type="Face">
            <mwg-rs:Area stArea:x="0.5" stArea:y="0.25" stArea:w="0.125" stArea:h="0.25" stArea:unit="normalized"/>
          </rdf:Description></rdf:li>
          <rdf:li><rdf:Description mwg-rs:Name="Rex" mwg-rs:Type="Pet">
            <mwg-rs:Area stArea:x="0.2" stArea:y="0.3" stArea:d="0.1" stArea:unit="normalized"/>
          </rdf:Description></rdf:li>
          <rdf:li><rdf:Description mwg-rs:Type="Face">
            <mwg-rs:Area stArea:x="200" stArea:y="300" stArea:w="10" stArea:h="10" stArea:unit="pixel"/>
          </rdf:Description></rdf:li>
        </rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions></rdf:Description></rdf:RDF></x:xmpmeta>"#;

    const MICROSOFT: &str = r#"<rdf:Description><MP:RegionInfo rdf:parseType="Resource"><MPRI:Regions><rdf:Bag>
        <rdf:li MPReg:PersonDisplayName="Baby Gnu" MPReg:Rectangle="0.25, 0.5, 0.125, 0.25"/>
        <rdf:li><rdf:Description><MPReg:Rectangle>0.5,0.5,0.1,0.1</MPReg:Rectangle></rdf:Description></rdf:li>
        <rdf:li MPReg:PersonDisplayName="Somebody"/><rdf:li MPReg:Rectangle="0.2, 0.3, wide"/>
        </rdf:Bag></MPRI:Regions></MP:RegionInfo></rdf:Description>"#;

    const IPTC: &str = r#"<Iptc4xmpExt:ImageRegion><rdf:Bag>
        <rdf:li rdf:parseType="Resource"><Iptc4xmpExt:RegionBoundary rdf:parseType="Resource">
          <Iptc4xmpExt:rbShape>rectangle</Iptc4xmpExt:rbShape><Iptc4xmpExt:rbUnit>relative</Iptc4xmpExt:rbUnit>
          <Iptc4xmpExt:rbX>0.25</Iptc4xmpExt:rbX><Iptc4xmpExt:rbY>0.5</Iptc4xmpExt:rbY>
          <Iptc4xmpExt:rbW>0.125</Iptc4xmpExt:rbW><Iptc4xmpExt:rbH>0.25</Iptc4xmpExt:rbH></Iptc4xmpExt:RegionBoundary>
          <Iptc4xmpExt:rRole><rdf:Bag><rdf:li rdf:parseType="Resource"><xmp:Identifier><rdf:Bag>
            <rdf:li>http://cv.iptc.org/newscodes/imageregionrole/mainSubjectArea</rdf:li>
          </rdf:Bag></xmp:Identifier></rdf:li></rdf:Bag></Iptc4xmpExt:rRole></rdf:li>
        <rdf:li Iptc4xmpExt:rbUnit="relative" Iptc4xmpExt:rbX="0" Iptc4xmpExt:rbY="0" Iptc4xmpExt:rbW="1" Iptc4xmpExt:rbH="1"
          xmp:Identifier="http://cv.iptc.org/newscodes/imageregionrole/cropping"/>
        </rdf:Bag></Iptc4xmpExt:ImageRegion>"#;

    #[test]
    fn both_forms_of_the_working_groups_schema_are_read() {
        let face = (Mark::Face, around(0.5, 0.25, 0.125, 0.25));
        assert_eq!(read(ELEMENTS), [face, (Mark::Focus, around(0.2, 0.3, 0.0, 0.0))]);
        assert_eq!(read(ATTRIBUTES), [face, (Mark::Pet, around(0.2, 0.3, 0.1, 0.1))]);
    }

    #[test]
    fn microsofts_and_the_iptcs_are_read() {
        let first = (Mark::Face, around(0.3125, 0.625, 0.125, 0.25));
        assert_eq!(read(MICROSOFT), [first, (Mark::Face, around(0.55, 0.55, 0.1, 0.1))]);
        assert_eq!(read(IPTC), [first]);
    }

    #[test]
    fn a_cut_or_senseless_packet_is_no_reason_to_fail() {
        for packet in [ELEMENTS, ATTRIBUTES, MICROSOFT, IPTC] {
            let whole = read(packet);
            for cut in 0..packet.len() {
                let part = super::read(&packet.as_bytes()[..cut]);
                assert_eq!(part, whole[..part.len()], "cut at {cut}");
            }
        }
        let wrong = ATTRIBUTES.replace("0.5", "1.5").replace("0.2\"", "NaN\"");
        assert_eq!(read(&wrong), []);
        let many = format!("<r:Regions>{}</r:Regions>", "<rdf:li p:Rectangle='0,0,.1,.1'/>".repeat(1000));
        assert_eq!(read(&many).len(), MAX_MARKS);
        let deep = format!("<r:Regions>{}", "<rdf:li>".repeat(100_000));
        assert_eq!(read(&deep), []);
    }
}
