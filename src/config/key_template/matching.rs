//! A key template read backwards: what the key of a thumbnail says about its photograph, size and format.

use super::{KeyTemplate, Part};
use crate::thumbnail::{Format, Size};

/// Attempts at one key. Those of real templates need a few hundred; a template with many placeholders in a row could need
/// any number.
const MAX_STEPS: u32 = 20_000;
/// The formats of thumbnails.
const FORMATS: [Format; 3] = [Format::Jpeg, Format::Webp, Format::Png];

/// What a thumbnail's key says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matched {
    /// The photograph, as far as the key names it: "2026/owl" for 2026/owl.jpg and the default template. The same for all
    /// its thumbnails.
    pub photo: String,
    /// Of its content; empty where the template does not have it.
    pub version: String,
    /// What was asked for; the thumbnail may be smaller.
    pub size: Size,
    /// `None`: the template leaves it open.
    pub format: Option<Format>,
}

/// A placeholder and what it stands for.
type Found<'p, 'k> = Vec<(&'p Part, &'k str)>;

impl KeyTemplate {
    /// What the key says, if this template can have made it. A key that can be read in several ways is read as the
    /// photograph with the longest name.
    pub fn matches(&self, key: &str) -> Option<Matched> {
        let mut found = Vec::new();
        let mut steps = MAX_STEPS;
        if !search(&self.0, key, &mut found, &mut steps) {
            return None;
        }
        let value = |part: Part| found.iter().find(|(known, _)| **known == part).map_or("", |(_, value)| *value);
        let side = |part: Part| value(part).parse().ok();
        let size = Size { width: side(Part::Width), height: side(Part::Height) };
        if !size.is_valid() {
            return None;
        }
        let (bucket, dir, ext) = (value(Part::Bucket), value(Part::Dir), value(Part::Ext));
        let name = [value(Part::Name), value(Part::Stem)].into_iter().find(|name| !name.is_empty())?;
        let mut photo = format!("{bucket}{}{dir}{name}", if bucket.is_empty() { "" } else { "/" });
        if !ext.is_empty() && !photo.ends_with(&format!(".{ext}")) {
            photo.push('.');
            photo.push_str(ext);
        }
        let format = match value(Part::Format) {
            "" => self.extension().and_then(format_of),
            word => format_of(word),
        };
        Some(Matched { photo, version: value(Part::Version).to_owned(), size, format })
    }

    /// The extension that the template's own text ends with.
    fn extension(&self) -> Option<&str> {
        match self.0.last() {
            Some(Part::Text(end)) => end.rsplit_once('.').map(|(_, extension)| extension),
            _ => None,
        }
    }
}

/// The format of a thumbnail with this extension, in either case.
pub fn format_of(extension: &str) -> Option<Format> {
    let extension = extension.to_ascii_lowercase();
    FORMATS.into_iter().find(|format| [format.word(), format.extension()].contains(&&*extension))
}

/// Whether `parts` can stand for the whole of `key`; then `found` has their values.
fn search<'p, 'k>(parts: &'p [Part], key: &'k str, found: &mut Found<'p, 'k>, steps: &mut u32) -> bool {
    let Some(left) = steps.checked_sub(1) else { return false };
    *steps = left;
    let Some((part, rest)) = parts.split_first() else { return key.is_empty() };
    if let Part::Text(text) = part {
        return key.strip_prefix(text.as_str()).is_some_and(|key| search(rest, key, found, steps));
    }
    let before = found.iter().find(|(known, _)| *known == part).map(|(_, value)| *value);
    for (value, after) in values(part, key) {
        if before.is_some_and(|before| before != value) {
            continue;
        }
        found.push((part, value));
        if search(rest, after, found, steps) {
            return true;
        }
        found.pop();
    }
    false
}

/// What a placeholder may stand for at the start of `key`, the longest first, each with what follows.
fn values<'k>(part: &Part, key: &'k str) -> impl Iterator<Item = (&'k str, &'k str)> {
    let word = |end: &str| (1..=end.len()).collect::<Vec<_>>();
    let until = |stop: fn(char) -> bool| &key[..key.find(stop).unwrap_or(key.len())];
    let mut ends = match part {
        Part::Dir => [0].into_iter().chain(key.match_indices('/').map(|(at, _)| at + 1)).collect(),
        Part::Bucket | Part::Name | Part::Stem => word(until(|c| c == '/')),
        Part::Ext => [&[0][..], &word(until(|c| matches!(c, '/' | '.')))].concat(),
        Part::Version => [&[0][..], &word(until(|c| !c.is_ascii_alphanumeric()))].concat(),
        Part::Width | Part::Height => [&[0][..], &word(until(|c| !c.is_ascii_digit()))].concat(),
        Part::Format => {
            FORMATS.map(Format::extension).iter().filter(|end| key.starts_with(**end)).map(|end| end.len()).collect()
        }
        Part::Text(_) => Vec::new(),
    };
    ends.retain(|end| key.is_char_boundary(*end));
    ends.into_iter().rev().map(|end| key.split_at(end))
}

#[cfg(test)]
mod tests {
    use super::super::Origin;
    use super::*;
    use crate::thumbnail::Output;

    fn matched(template: &str, key: &str) -> Option<(String, String)> {
        let template: KeyTemplate = template.parse().unwrap();
        template.matches(key).map(|found| (found.photo, found.size.to_string()))
    }

    #[test]
    fn a_key_says_which_photograph_and_which_size() {
        let default = KeyTemplate::default().to_string();
        for (template, key, photo, size) in [
            (&*default, "2026/owl-400x300.jpg", "2026/owl", "400x300"),
            (&default, "owl-400x.webp", "owl", "400x"),
            (&default, "a/b/owl.png-x300.png", "a/b/owl.png", "x300"),
            // The last size is the thumbnail's.
            (&default, "owl-1x2-400x300.jpg", "owl-1x2", "400x300"),
            (&default, "2026/Mädchen & <Hund>-4x4.jpg", "2026/Mädchen & <Hund>", "4x4"),
            ("{dir}{stem}-{width}x{height}", "a/owl-400x300", "a/owl", "400x300"),
            ("{bucket}/{width}/{height}/{dir}{name}", "photos/40/30/a/owl.heic", "photos/a/owl.heic", "40x30"),
            ("{stem}/{width}x{height}.{ext}", "cat/4x4.JPG", "cat.JPG", "4x4"),
            ("{stem}/{width}x{height}/{stem}.jpg", "cat/4x4/cat.jpg", "cat", "4x4"),
            // The longest name.
            ("{name}{stem}x{width}_{height}", "catdogx4_4", "catdo", "4x4"),
        ] {
            assert_eq!(matched(template, key), Some((photo.into(), size.into())), "{template} {key}");
        }
    }

    #[test]
    fn what_is_not_a_thumbnail_is_not_taken_for_one() {
        let default = KeyTemplate::default().to_string();
        for key in [
            "",
            "owl.jpg",
            "owl-x.jpg",
            "owl-0x4.jpg",
            "owl-9000x4.jpg",
            "owl-4x4.gif",
            "-4x4.jpg",
            "a/-4x4.jpg",
            "owl-4x4.jpg.bak",
            "manifests/photos/owl.jpg.json",
        ] {
            assert_eq!(matched(&default, key), None, "{key}");
        }
        assert_eq!(matched("{stem}/{width}x{height}/{stem}.jpg", "cat/4x4/dog.jpg"), None);
    }

    #[test]
    fn the_version_and_the_format_are_found() {
        let template: KeyTemplate = "{dir}{stem}-{version}-{width}x{height}.{format}".parse().unwrap();
        let found = template.matches("a/owl-eb949a9b0022974f-4x4.webp").unwrap();
        assert_eq!((&*found.version, found.format), ("eb949a9b0022974f", Some(Format::Webp)));
        let fixed: KeyTemplate = "{stem}-{width}x{height}.JPEG".parse().unwrap();
        assert_eq!(fixed.matches("owl-4x4.JPEG").unwrap().format, Some(Format::Jpeg));
        assert_eq!(KeyTemplate::without_extension().matches("owl-4x4").unwrap().format, None);
    }

    /// Whatever a template renders, it can read.
    #[test]
    fn every_key_is_read_back() {
        let templates = [
            "{dir}{stem}-{width}x{height}.{format}",
            "{bucket}/{dir}{stem}-{version}-{width}x{height}.{format}",
            "t/{width}x{height}/{bucket}/{dir}{name}",
            "{width}_{stem}_{height}",
            "{ext}/{dir}{stem}/{height}-{width}.png",
        ];
        for template in templates.map(|text| text.parse::<KeyTemplate>().unwrap()) {
            for name in ["owl.jpg", "a/b/owl.png", "x", "1x1/4x4.JPG", "ünï code/Ø.jpeg", "a.b/.hidden"] {
                let origin = Origin { bucket: "photos".into(), key: name.into(), version: "5eb6".into() };
                let key = template.render(&origin, Size::new(40, 30), Output::Png);
                let found = template.matches(&key).unwrap_or_else(|| panic!("{template} {key}"));
                // A template without {dir} drops the folder.
                let last = name.rsplit('/').next().unwrap_or(name);
                let stem = last.strip_suffix(".jpg").or(last.strip_suffix(".JPG")).unwrap_or(last);
                assert!(found.photo.contains(stem), "{template} {key}: {found:?}");
            }
        }
    }

    #[test]
    fn a_template_that_matches_in_too_many_ways_gives_up() {
        let template = "{dir}{name}{dir}{name}{dir}{name}{ext}{bucket}{width}{height}{stem}!".parse::<KeyTemplate>();
        assert_eq!(template.unwrap().matches(&"1/".repeat(500)), None);
    }
}
