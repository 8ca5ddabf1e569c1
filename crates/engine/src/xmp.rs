//! A tolerant look into XMP (ISO 16684-1): the names and texts of its RDF in their order, whether they are written as elements or as
//! attributes. It is no XML parser: it needs none of entities of one's own, schemas or namespaces, and a damaged packet gives
//! what stands before the damage. Prefixes are taken for what they are by custom, `mwg-rs` and so on, as all programs write them.

use memchr::{memchr, memchr3, memmem};

use crate::copyright::{MAX_TEXT_BYTES, shortened};

/// A part of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    /// An element begins. Its attributes follow, as values.
    Start(&'a [u8]),
    /// An attribute, or the text in an element.
    Value(&'a [u8], &'a [u8]),
    /// An element ends.
    End(&'a [u8]),
}

/// The part of a name behind its prefix.
pub(crate) fn local(name: &[u8]) -> &[u8] {
    memchr(b':', name).map_or(name, |colon| &name[colon + 1..])
}

/// The parts of a packet, in one pass.
pub(crate) struct Parts<'a> {
    rest: &'a [u8],
    /// The element whose text comes next; empty: none.
    element: &'a [u8],
    /// Inside a tag: its attributes come next.
    in_tag: bool,
}

impl<'a> Parts<'a> {
    pub fn new(packet: &'a [u8]) -> Self {
        Self { rest: packet, element: &[], in_tag: false }
    }

    /// The next attribute, or how the tag ends.
    fn attribute(&mut self) -> Option<Option<Part<'a>>> {
        let rest = self.rest.trim_ascii_start();
        if let Some(rest) = rest.strip_prefix(b"/>") {
            (self.rest, self.in_tag) = (rest, false);
            return Some(Some(Part::End(std::mem::take(&mut self.element))));
        }
        if let Some(rest) = rest.strip_prefix(b">") {
            (self.rest, self.in_tag) = (rest, false);
            return Some(None);
        }
        let equals = memchr3(b'=', b'<', b'>', rest)?;
        let name = rest[..equals].trim_ascii_end();
        let rest = rest[equals..].strip_prefix(b"=")?.trim_ascii_start();
        let &quote = rest.first().filter(|quote| matches!(quote, b'"' | b'\''))?;
        let end = memchr(quote, &rest[1..])? + 1;
        self.rest = &rest[end + 1..];
        Some(Some(Part::Value(name, &rest[1..end])))
    }

    /// What comes next outside a tag; `Some(None)`: nothing of use.
    fn content(&mut self) -> Option<Option<Part<'a>>> {
        if self.rest.first() != Some(&b'<') {
            let end = memchr(b'<', self.rest)?;
            let (text, rest) = self.rest.split_at(end);
            self.rest = rest;
            let text = text.trim_ascii();
            let part = (!text.is_empty() && !self.element.is_empty()).then_some(Part::Value(self.element, text));
            return Some(part);
        }
        let skipped = [(&b"<!--"[..], &b"-->"[..]), (b"<?", b"?>"), (b"<!", b">")];
        if let Some((_, end)) = skipped.into_iter().find(|(begin, _)| self.rest.starts_with(begin)) {
            self.rest = &self.rest[memmem::find(self.rest, end)? + end.len()..];
            return Some(None);
        }
        let closes = self.rest.get(1) == Some(&b'/');
        let from = if closes { 2 } else { 1 };
        let is_end = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'>' | b'<');
        let length = self.rest[from..].iter().position(is_end)?;
        let name = &self.rest[from..from + length];
        self.rest = &self.rest[from + length..];
        if closes {
            self.rest = &self.rest[memchr(b'>', self.rest)? + 1..];
            self.element = &[];
            return Some(Some(Part::End(name)));
        }
        (self.element, self.in_tag) = (name, true);
        Some(Some(Part::Start(name)))
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        loop {
            let part = if self.in_tag { self.attribute()? } else { self.content()? };
            if part.is_some() {
                return part;
            }
        }
    }
}

/// The text of the property `name`, or the first of its texts, if it has one; shortened.
pub(crate) fn first_text(packet: &[u8], name: &str) -> Option<Vec<u8>> {
    let name = name.as_bytes();
    memmem::find(packet, name)?;
    let mut inside = false;
    for part in Parts::new(packet) {
        match part {
            Part::Start(element) if element == name => inside = true,
            Part::End(element) if element == name => return None,
            Part::Value(value_name, text) if value_name == name || inside && local(value_name) == b"li" => {
                return Some(unescaped(text)).filter(|text| !text.is_empty());
            }
            _ => {}
        }
    }
    None
}

/// A text with XML's five entities and the numbered ones replaced, shortened.
fn unescaped(text: &[u8]) -> Vec<u8> {
    // An entity is at most ten characters for one: what is cut here would be cut behind, too.
    let mut rest = &text[..text.len().min(10 * MAX_TEXT_BYTES)];
    let mut plain = Vec::new();
    while let Some(at) = memchr(b'&', rest) {
        plain.extend(&rest[..at]);
        rest = &rest[at..];
        let entity = memchr(b';', rest).filter(|&end| end <= 10).map(|end| (end, &rest[1..end]));
        match entity.and_then(|(end, name)| Some((end, character(name)?))) {
            Some((end, character)) => {
                plain.extend(character.encode_utf8(&mut [0; 4]).as_bytes());
                rest = &rest[end + 1..];
            }
            None => {
                plain.push(b'&');
                rest = &rest[1..];
            }
        }
    }
    plain.extend(rest);
    shortened(&plain)
}

fn character(entity: &[u8]) -> Option<char> {
    let number =
        |digits: &[u8], radix| char::from_u32(u32::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok()?);
    match entity {
        b"amp" => Some('&'),
        b"lt" => Some('<'),
        b"gt" => Some('>'),
        b"quot" => Some('"'),
        b"apos" => Some('\''),
        [b'#', b'x', digits @ ..] => number(digits, 16),
        [b'#', digits @ ..] => number(digits, 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_and_attributes_are_read_in_their_order() {
        let packet = b"<?xpacket begin=''?><!-- <a> --><a b = 'c' d=\"e>\"><f:g> text </f:g><h/></a> ";
        let parts: Vec<_> = Parts::new(packet).collect();
        let expected = [
            Part::Start(b"a"),
            Part::Value(b"b", b"c"),
            Part::Value(b"d", b"e>"),
            Part::Start(b"f:g"),
            Part::Value(b"f:g", b"text"),
            Part::End(b"f:g"),
            Part::Start(b"h"),
            Part::End(b"h"),
            Part::End(b"a"),
        ];
        assert_eq!(parts, expected);
        assert_eq!(local(b"f:g"), b"g");
    }

    #[test]
    fn a_cut_packet_gives_what_stands_before_the_cut() {
        let packet = b"<a b='c'><d>e</d><!-- f --><?g?><h i=\"j\"/></a>";
        let whole: Vec<_> = Parts::new(packet).collect();
        for cut in 0..packet.len() {
            let parts: Vec<_> = Parts::new(&packet[..cut]).collect();
            assert_eq!(parts, whole[..parts.len()], "cut at {cut}");
        }
        for wrong in ["<", "</", "<a b", "<a b=", "<a b=c>", "<a <b>", "<!", "<a b='c", "a<b>c", "<>", "</>", "<a/"] {
            assert!(Parts::new(wrong.as_bytes()).count() <= 2, "{wrong}");
        }
    }

    #[test]
    fn a_text_is_found_as_element_list_and_attribute() {
        let list = b"<dc:rights><rdf:Alt><rdf:li xml:lang='x-default'>\xc2\xa9 A &amp; B &#x26; &#67; &no; &</rdf:li>\
            <rdf:li>other</rdf:li></rdf:Alt></dc:rights>";
        assert_eq!(first_text(list, "dc:rights").unwrap(), "\u{a9} A & B & C &no; &".as_bytes());
        assert_eq!(first_text(b"<x dc:rights='me'/>", "dc:rights").unwrap(), b"me");
        assert_eq!(first_text(b"<dc:rights>me</dc:rights>", "dc:rights").unwrap(), b"me");
        assert_eq!(first_text(b"<dc:rights></dc:rights><rdf:li>x</rdf:li>", "dc:rights"), None);
        assert_eq!(first_text(b"<xmpRights:Owner>me</xmpRights:Owner>", "dc:rights"), None);
        let long = [b"<dc:rights>", "&#65;".repeat(5000).as_bytes(), b"</dc:rights>"].concat();
        assert_eq!(first_text(&long, "dc:rights").unwrap(), [b'A'; MAX_TEXT_BYTES]);
    }
}
