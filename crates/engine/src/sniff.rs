//! What a file that is none of the engine's formats looks like, by its first bytes: "a PDF document" helps where "bad magic" does not.

pub(crate) const EMPTY: &str = "an empty file";
pub(crate) const UNKNOWN: &str = "an unknown format";
pub(crate) const HEIC: &str = "a HEIC image";

/// What a file looks like by its first bytes, with its article; [`UNKNOWN`] if nothing here matches.
pub(crate) fn kind(bytes: &[u8]) -> &'static str {
    if bytes.is_empty() {
        return EMPTY;
    }
    const MAGIC: [(&[u8], &str); 17] = [
        (b"\x89PNG\r\n\x1a\n", "a PNG image"),
        (b"GIF8", "a GIF image"),
        (b"II*\0", "a TIFF image or a camera's raw file"),
        (b"MM\0*", "a TIFF image or a camera's raw file"),
        (b"BM", "a BMP image"),
        (b"%PDF", "a PDF document"),
        (b"8BPS", "a Photoshop document"),
        (b"\xff\x0a", "a JPEG XL image"),
        (b"\0\0\0\x0cJXL ", "a JPEG XL image"),
        (b"\0\0\0\x0cjP  ", "a JPEG 2000 image"),
        (b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
        (b"\0\0\x01\0", "an icon file"),
        (b"PK\x03\x04", "a ZIP archive or an office document"),
        (b"\x1f\x8b", "a gzip archive"),
        (b"\x7fELF", "a program"),
        (b"<svg", "an SVG image"),
        (b"\x1a\x45\xdf\xa3", "a Matroska or WebM video"),
    ];
    if let Some((_, name)) = MAGIC.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return name;
    }
    if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        return "a WebP image";
    }
    if bytes.get(4..8) == Some(b"ftyp") {
        return by_brand(bytes);
    }
    text(bytes)
}

/// Whether [`kind`] names something that shows a picture, which the program that made it can save in another format.
pub(crate) fn is_picture(kind: &str) -> bool {
    ["image", "image or a camera's raw file", "Photoshop document", "PDF document"]
        .iter()
        .any(|end| kind.ends_with(end))
}

/// What a file of ISO/IEC 14496-12 is, by its brands: the major one, and those that it is compatible with.
fn by_brand(bytes: &[u8]) -> &'static str {
    let size = bytes.first_chunk().map_or(0, |size| u32::from_be_bytes(*size) as usize);
    /// Enough for all that is written.
    const MOST_BYTES: usize = 256;
    let compatible = bytes.get(16..size.min(bytes.len()).min(MOST_BYTES)).unwrap_or_default();
    let any = |brands: &[&[u8; 4]]| compatible.chunks_exact(4).any(|brand| brands.iter().any(|other| brand == *other));
    let heic: [&[u8; 4]; 7] = [b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm"];
    match bytes.get(8..12) {
        Some(b"avif" | b"avis") => "an AVIF image",
        Some(b"crx ") => "a camera's raw file",
        // These two may have pictures of any kind.
        Some(b"mif1" | b"msf1" | b"mif2") if any(&[b"avif", b"avis"]) && !any(&heic) => "an AVIF image",
        Some(b"mif1" | b"msf1" | b"mif2") => HEIC,
        Some(brand) if heic.iter().any(|other| brand == *other) || any(&heic) => HEIC,
        _ => "a video",
    }
}

fn text(bytes: &[u8]) -> &'static str {
    /// Enough to tell text from binary data.
    const LOOK_AT_BYTES: usize = 512;
    let head = &bytes[..bytes.len().min(LOOK_AT_BYTES)];
    let trimmed = head.trim_ascii_start();
    let starts = |word: &[u8]| trimmed.len() >= word.len() && trimmed[..word.len()].eq_ignore_ascii_case(word);
    if starts(b"<svg") {
        return "an SVG image";
    }
    if starts(b"<!doctype html") || starts(b"<html") {
        return "an HTML page";
    }
    if starts(b"<?xml") {
        return "an XML document";
    }
    // The head may end inside a character; only what comes before that must be valid.
    let valid = match std::str::from_utf8(head) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none() && bytes.len() > head.len(),
    };
    let control = |byte: &u8| *byte < 0x20 && !b"\t\n\r\x0c\x1b".contains(byte);
    if valid && !head.iter().any(control) { "plain text" } else { UNKNOWN }
}

#[cfg(test)]
mod tests {
    use super::{EMPTY, HEIC, UNKNOWN, kind};

    #[test]
    fn names_what_it_sees() {
        let cases: [(&[u8], &str); 23] = [
            (b"", EMPTY),
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a PNG image"),
            (b"GIF89a", "a GIF image"),
            (b"RIFF\x10\0\0\0WEBPVP8 ", "a WebP image"),
            (b"RIFF\x10\0\0\0WAVEfmt ", UNKNOWN),
            (b"\0\0\0\x18ftypheic\0\0\0\0", "a HEIC image"),
            (b"\0\0\0\x18ftypavif\0\0\0\0", "an AVIF image"),
            (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", "an AVIF image"),
            (b"\0\0\0\x18ftypmif1\0\0\0\0avifheic", HEIC),
            (b"\0\0\0\x14ftypmif1\0\0\0\0mif1avif", HEIC),
            (b"\0\0\0\x18ftypisom\0\0\0\0isomheic", HEIC),
            (b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom", "a camera's raw file"),
            (b"\0\0\0\x18ftypisom\0\0\0\0", "a video"),
            (b"%PDF-1.7", "a PDF document"),
            (b"\n <!DOCTYPE html><html>", "an HTML page"),
            (b"<html>", "an HTML page"),
            (b"<?xml version='1.0'?>", "an XML document"),
            (b"hello\n", "plain text"),
            ("h\u{e9}".as_bytes(), "plain text"),
            (b"h\xc3", UNKNOWN),
            (b"\0\x01\x02\x03", UNKNOWN),
            (b"\xff", UNKNOWN),
            (b"II*\0", "a TIFF image or a camera's raw file"),
        ];
        for (bytes, name) in cases {
            assert_eq!(kind(bytes), name, "{bytes:?}");
        }
    }
}
