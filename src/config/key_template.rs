//! `key` in `[thumbnail]`: a template that makes a thumbnail's key from the photograph's bucket, key and version, and the
//! thumbnail's size and format.

mod matching;

use std::fmt;
use std::str::FromStr;

use crate::text;
use crate::thumbnail::{Format, Output, Size};

pub use matching::{Matched, format_of};

/// S3: a key is at most this many bytes of UTF-8 (S3 user guide, "Naming Amazon S3 objects").
pub const MAX_KEY_BYTES: usize = 1_024;

/// The longest template, in bytes: it leaves room in the key for what it stands for, and in an instance's user data.
const MAX_TEMPLATE_BYTES: usize = 128;

/// What a template's placeholders stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The photograph's bucket; for a photograph from a URL, a word that cannot be a bucket's name.
    pub bucket: String,
    /// The photograph's key, "photos/owl.jpg"; for a URL, its host and path.
    pub key: String,
    /// What tells this content of it from an older one; empty where that is not known yet.
    pub version: String,
}

/// A parsed template, such as `{dir}{stem}-{width}x{height}.jpg`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyTemplate(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Bucket,
    /// Everything up to and including the source key's last slash.
    Dir,
    /// The source key's last part, whole.
    Name,
    /// The source key's last part; without its extension if that is `.jpg`, in either case. Every other extension
    /// stays, so that cat.jpg, cat.jpeg and cat.png have thumbnails of their own.
    Stem,
    /// The source key's extension, without the dot.
    Ext,
    Width,
    Height,
    /// The usual extension of the thumbnail's format, without a dot.
    Format,
    Version,
}

const PLACEHOLDERS: [(&str, Part); 9] = [
    ("bucket", Part::Bucket),
    ("dir", Part::Dir),
    ("name", Part::Name),
    ("stem", Part::Stem),
    ("ext", Part::Ext),
    ("width", Part::Width),
    ("height", Part::Height),
    ("format", Part::Format),
    ("version", Part::Version),
];

impl KeyTemplate {
    /// The thumbnail's key for a photograph, a size and a format; a side that is not given is empty. [`check`] says whether S3
    /// accepts it: the source's key may be long, or contain anything.
    pub fn render(&self, origin: &Origin, size: Size, output: Output) -> String {
        let Origin { bucket, key: source, version } = origin;
        let (dir, name) = source.split_at(source.rfind('/').map_or(0, |slash| slash + 1));
        // ".profile" has no extension: its dot begins the name.
        let (before, ext) = match name.rfind('.') {
            Some(dot) if dot > 0 => (&name[..dot], &name[dot + 1..]),
            _ => (name, ""),
        };
        let stem = if ext.eq_ignore_ascii_case("jpg") { before } else { name };
        let mut key = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => key.push_str(text),
                Part::Bucket => key.push_str(bucket),
                Part::Dir => key.push_str(dir),
                Part::Name => key.push_str(name),
                Part::Stem => key.push_str(stem),
                Part::Ext => key.push_str(ext),
                Part::Width => key.extend(size.width.map(|px| px.to_string())),
                Part::Height => key.extend(size.height.map(|px| px.to_string())),
                Part::Format => key.extend(output.format().map(Format::extension)),
                Part::Version => key.push_str(version),
            }
        }
        key
    }

    /// Whether photographs with the same key in two buckets get different thumbnail keys.
    pub fn names_the_bucket(&self) -> bool {
        self.0.contains(&Part::Bucket)
    }

    /// What all thumbnails of the photographs under a prefix begin with: as much of it as is known without their keys.
    pub fn prefix_of(&self, bucket: &str, source_prefix: &str) -> String {
        let mut known = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => known.push_str(text),
                Part::Bucket => known.push_str(bucket),
                Part::Dir => {
                    // Folders below may follow.
                    known.push_str(&source_prefix[..source_prefix.rfind('/').map_or(0, |slash| slash + 1)]);
                    break;
                }
                _ => break,
            }
        }
        known
    }

    /// Whether thumbnails in two formats get different keys.
    pub fn names_the_format(&self) -> bool {
        self.0.contains(&Part::Format)
    }

    /// Whether the key depends on the photograph's content.
    pub fn names_the_version(&self) -> bool {
        self.0.contains(&Part::Version)
    }

    /// Whether the key's extension is right for a format.
    ///
    /// # Errors
    /// It names another one: the rest of a sentence that begins with the template.
    pub fn check_output(&self, output: Output) -> Result<(), String> {
        if output == Output::Auto && self.names_the_format() {
            return Err("has {format}, which `auto` decides only when the photograph has been read".into());
        }
        let Some(Part::Text(end)) = self.0.last() else { return Ok(()) };
        let Some((_, extension)) = end.rsplit_once('.') else { return Ok(()) };
        let word = extension.to_ascii_lowercase();
        let named = Format::ALL.iter().find(|format| [format.word(), format.extension()].contains(&&*word));
        if named.is_none() || named.copied() == output.format() {
            return Ok(());
        }
        let better = if output == Output::Auto { "leave the extension out" } else { "write .{format} there" };
        Err(format!("ends in .{extension}, but a thumbnail is {output}; {better}"))
    }

    /// The default, for formats that are not known beforehand.
    pub fn without_extension() -> Self {
        let mut parts = Self::default().0;
        parts.truncate(parts.len() - 2);
        Self(parts)
    }

    /// This template with the bucket added.
    #[must_use]
    pub fn with_bucket(&self) -> Self {
        let mut parts = self.0.clone();
        // Within the folder that a template begins with.
        let at = usize::from(matches!(parts.first(), Some(Part::Text(text)) if text.ends_with('/')));
        parts.splice(at..at, [Part::Bucket, Part::Text("/".into())]);
        Self(parts)
    }
}

/// Whether S3 accepts this key, and can list and delete it later.
///
/// # Errors
/// Why not, as the rest of a sentence that begins with "the thumbnail's key".
pub fn check(key: &str) -> Result<(), String> {
    let shown = text::printable(key);
    if key.len() > MAX_KEY_BYTES {
        return Err(format!("would have {} bytes; S3 allows {MAX_KEY_BYTES}: {shown}", key.len()));
    }
    // S3 stores any character, but its listings and DeleteObjects are XML 1.0, which cannot express these.
    if let Some(c) = key.chars().find(|&c| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}')) {
        return Err(format!(
            "would hold the character {}, which S3 stores but cannot list or delete: {shown}",
            c.escape_unicode()
        ));
    }
    // S3 user guide, "Naming Amazon S3 objects": relative path elements may not lead out of the bucket.
    let mut depth = 0_usize;
    for element in key.split('/') {
        match element {
            "." | "" => {}
            ".." => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return Err(format!("would lead out of the bucket with its `..`, which S3 refuses: {shown}")),
            },
            _ => depth += 1,
        }
    }
    Ok(())
}

impl Default for KeyTemplate {
    fn default() -> Self {
        "{dir}{stem}-{width}x{height}.{format}".parse().expect("the default is valid")
    }
}

impl fmt::Display for KeyTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.0 {
            match part {
                Part::Text(text) => f.write_str(text)?,
                other => {
                    let (name, _) =
                        PLACEHOLDERS.iter().find(|(_, part)| part == other).expect("every placeholder has a name");
                    write!(f, "{{{name}}}")?;
                }
            }
        }
        Ok(())
    }
}

impl FromStr for KeyTemplate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            if let Some(inner) = rest.strip_prefix('{') {
                let (name, after) = inner.split_once('}').ok_or("has a { without its }")?;
                let (_, part) = PLACEHOLDERS.iter().find(|(known, _)| *known == name).ok_or_else(|| {
                    let known: Vec<String> = PLACEHOLDERS.iter().map(|(name, _)| format!("{{{name}}}")).collect();
                    format!("has the unknown placeholder {{{name}}}; valid: {}", known.join(" "))
                })?;
                parts.push(part.clone());
                rest = after;
            } else {
                let end = rest.find('{').unwrap_or(rest.len());
                if rest[..end].contains('}') {
                    return Err("has a } without its {".into());
                }
                parts.push(Part::Text(rest[..end].to_owned()));
                rest = &rest[end..];
            }
        }
        for (needed, why) in [
            (
                &[Part::Stem, Part::Name][..],
                "{stem} (or {name}): every source would overwrite the last one's thumbnail",
            ),
            (&[Part::Width], "{width}: one size would overwrite another"),
            (&[Part::Height], "{height}: one size would overwrite another"),
        ] {
            if !needed.iter().any(|part| parts.contains(part)) {
                return Err(format!("lacks {why}"));
            }
        }
        if matches!(parts.first(), Some(Part::Text(text)) if text.starts_with('/')) {
            return Err("begins with a slash, which makes a folder without a name".into());
        }
        check(text)?;
        if text.len() > MAX_TEMPLATE_BYTES {
            return Err(format!("is longer than {MAX_TEMPLATE_BYTES} bytes"));
        }
        Ok(Self(parts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(template: &str, source: &str) -> String {
        let origin = Origin { bucket: "photos".into(), key: source.into(), version: "5eb6".into() };
        template.parse::<KeyTemplate>().unwrap().render(&origin, Size::new(300, 600), Output::Jpeg)
    }

    #[test]
    fn the_default_keeps_the_folder_and_the_codelabs_does_not() {
        let default = KeyTemplate::default().to_string();
        assert_eq!(render(&default, "codelab-05/owl.jpg"), "codelab-05/owl-300x600.jpg");
        assert_eq!(render("{stem}-{width}x{height}.jpg", "codelab-05/owl.jpg"), "owl-300x600.jpg");
        assert_eq!(render(&default, "owl"), "owl-300x600.jpg");
        assert_eq!(render(&default, "a.b/owl.v2.JPG"), "a.b/owl.v2-300x600.jpg");
        assert_eq!(render(&default, ".hidden"), ".hidden-300x600.jpg");
        assert_eq!(render(&default, ".jpg"), ".jpg-300x600.jpg");
        assert_eq!(render("t/{height}/{width}/{name}", "a/owl.jpeg"), "t/600/300/owl.jpeg");
        assert_eq!(render("{width}x{height}/{ext}/{stem}", "a/owl.PNG"), "300x600/PNG/owl.PNG");
        assert_eq!(render("{bucket}/{dir}{stem}-{width}x{height}.jpg", "a/owl.jpg"), "photos/a/owl-300x600.jpg");
        assert_eq!(render("{stem}-{version}-{width}x{height}", "a/owl.jpg"), "owl-5eb6-300x600");
    }

    #[test]
    fn the_key_says_what_the_thumbnail_is() {
        let origin = Origin { bucket: "photos".into(), key: "owl.jpg".into(), version: String::new() };
        let key = |size, output| KeyTemplate::default().render(&origin, size, output);
        assert_eq!(key(Size::new(4, 3), Output::Png), "owl-4x3.png");
        assert_eq!(key(Size::of_width(4), Output::Webp), "owl-4x.webp");
        assert_eq!(key(Size::of_height(3), Output::Jpeg), "owl-x3.jpg");
        assert_eq!(KeyTemplate::without_extension().render(&origin, Size::new(4, 3), Output::Auto), "owl-4x3");
    }

    #[test]
    fn photographs_that_differ_in_their_extension_do_not_overwrite_each_other() {
        let keys =
            ["cat.jpg", "cat.jpeg", "cat.png", "cat.webp"].map(|name| render("{stem}-{width}x{height}.jpg", name));
        assert_eq!(keys, ["cat-300x600.jpg", "cat.jpeg-300x600.jpg", "cat.png-300x600.jpg", "cat.webp-300x600.jpg"]);
        // Two spellings of one extension have the same stem; use {name} to tell them apart.
        assert_eq!(render("{name}-{width}x{height}.jpg", "cat.JPG"), "cat.JPG-300x600.jpg");
        assert_eq!(render("{stem}-{width}x{height}.jpg", "cat.JPG"), "cat-300x600.jpg");
    }

    #[test]
    fn a_key_that_s3_cannot_list_or_delete_is_refused() {
        for key in ["a b/é~.jpg", "..a/b..jpg", "a/../b", "./a", "emoji 🦉"] {
            assert_eq!(check(key), Ok(()), "{key}");
        }
        for (key, why) in [
            ("evil\u{10}-10x10.jpg", "would hold the character \\u{10}, which S3 stores but cannot list or delete"),
            ("a\nb", "\\u{a}"),
            ("a\tb", "\\u{9}"),
            ("a\u{7f}b", "\\u{7f}"),
            ("a\u{9b}b", "\\u{9b}"),
            ("a\u{fffe}", "\\u{fffe}"),
            ("../x.jpg", "lead out of the bucket"),
            ("a/../../x.jpg", "lead out of the bucket"),
        ] {
            let error = check(key).unwrap_err();
            assert!(error.contains(why), "{key:?}: {error}");
            assert!(!error.contains(char::is_control), "{error:?}");
        }
        assert!(check(&"k".repeat(MAX_KEY_BYTES)).is_ok());
        assert!(check(&"k".repeat(MAX_KEY_BYTES + 1)).unwrap_err().contains("would have 1025 bytes; S3 allows 1024"));
    }

    #[test]
    fn a_template_is_printed_as_it_was_written() {
        for text in ["{dir}{stem}-{width}x{height}.jpg", "t/{bucket}/{name}/{width}x{height}.{ext}"] {
            assert_eq!(text.parse::<KeyTemplate>().unwrap().to_string(), text);
        }
        let with_bucket = KeyTemplate::default().with_bucket();
        assert_eq!(with_bucket.to_string(), "{bucket}/{dir}{stem}-{width}x{height}.{format}");
        assert_eq!(with_bucket.to_string().parse(), Ok(with_bucket));
        let template: KeyTemplate = "t/{width}x{height}/{name}".parse().unwrap();
        assert_eq!(template.with_bucket().to_string(), "t/{bucket}/{width}x{height}/{name}");
    }

    #[test]
    fn a_template_that_would_lose_thumbnails_is_refused() {
        for (template, why) in [
            ("{dir}{width}x{height}.jpg", "lacks {stem}"),
            ("{stem}.jpg", "lacks {width}"),
            ("{stem}-{width}.jpg", "lacks {height}"),
            ("{stem-{width}x{height}", "has the unknown placeholder {stem-{width}"),
            ("{stem}{width}{height}}", "a } without"),
            ("{stem}{width}{height}{", "a { without"),
            ("{key}{width}{height}", "has the unknown placeholder {key}; valid: {bucket} {dir} {name} {stem}"),
            ("/{stem}{width}{height}", "begins with a slash"),
            ("\t{stem}{width}{height}", "would hold the character \\u{9}"),
            ("../{stem}{width}{height}", "lead out of the bucket"),
        ] {
            let error = template.parse::<KeyTemplate>().unwrap_err();
            assert!(error.contains(why), "{template}: {error}");
        }
    }
}
