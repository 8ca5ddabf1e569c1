//! Where a thumbnail goes: the `key` of `[thumbnail]`, a template from the source's key and the size to the
//! thumbnail's key.

use std::fmt;
use std::str::FromStr;

use crate::thumbnail::Size;

/// S3: a key is at most this many bytes of UTF-8 (S3 user guide, "Naming Amazon S3 objects").
pub const MAX_KEY_BYTES: usize = 1_024;

/// A parsed template, such as `{dir}{stem}-{width}x{height}.jpg`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyTemplate(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// Everything up to and including the source key's last slash.
    Dir,
    /// The source key's last part without its extension.
    Stem,
    /// The source key's extension, without the dot.
    Ext,
    Width,
    Height,
}

const PLACEHOLDERS: [(&str, Part); 5] =
    [("dir", Part::Dir), ("stem", Part::Stem), ("ext", Part::Ext), ("width", Part::Width), ("height", Part::Height)];

impl KeyTemplate {
    /// The thumbnail's key for a source's key ("photos/owl.jpg") and a size. May be longer than [`MAX_KEY_BYTES`]
    /// when the source's key is long.
    pub fn render(&self, source: &str, size: Size) -> String {
        let (dir, name) = source.split_at(source.rfind('/').map_or(0, |slash| slash + 1));
        // A leading dot begins a name, not an extension: ".profile" has none.
        let (stem, ext) = match name.rfind('.') {
            Some(dot) if dot > 0 => (&name[..dot], &name[dot + 1..]),
            _ => (name, ""),
        };
        let mut key = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => key.push_str(text),
                Part::Dir => key.push_str(dir),
                Part::Stem => key.push_str(stem),
                Part::Ext => key.push_str(ext),
                Part::Width => key.push_str(&size.width.to_string()),
                Part::Height => key.push_str(&size.height.to_string()),
            }
        }
        key
    }
}

impl Default for KeyTemplate {
    fn default() -> Self {
        "{dir}{stem}-{width}x{height}.jpg".parse().expect("the default is valid")
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

    /// The error is the rest of a sentence that begins with the template.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            if let Some(inner) = rest.strip_prefix('{') {
                let (name, after) = inner.split_once('}').ok_or("has a { without its }")?;
                let (_, part) = PLACEHOLDERS.iter().find(|(known, _)| *known == name).ok_or_else(|| {
                    let known: Vec<String> = PLACEHOLDERS.iter().map(|(name, _)| format!("{{{name}}}")).collect();
                    format!("has {{{name}}}; there are {}", known.join(" "))
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
            (Part::Stem, "{stem}: every source would overwrite the last one's thumbnail"),
            (Part::Width, "{width}: one size would overwrite another"),
            (Part::Height, "{height}: one size would overwrite another"),
        ] {
            if !parts.contains(&needed) {
                return Err(format!("lacks {why}"));
            }
        }
        if matches!(parts.first(), Some(Part::Text(text)) if text.starts_with('/')) {
            return Err("begins with a slash, which S3 takes for a folder without a name".into());
        }
        if text.len() > MAX_KEY_BYTES / 2 {
            return Err(format!("is longer than {} bytes", MAX_KEY_BYTES / 2));
        }
        Ok(Self(parts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(template: &str, source: &str) -> String {
        template.parse::<KeyTemplate>().unwrap().render(source, Size { width: 300, height: 600 })
    }

    #[test]
    fn the_default_keeps_the_folder_and_the_codelabs_does_not() {
        let default = KeyTemplate::default().to_string();
        assert_eq!(render(&default, "codelab-05/owl.jpg"), "codelab-05/owl-300x600.jpg");
        assert_eq!(render("{stem}-{width}x{height}.jpg", "codelab-05/owl.jpg"), "owl-300x600.jpg");
        assert_eq!(render(&default, "owl"), "owl-300x600.jpg");
        assert_eq!(render(&default, "a.b/owl.v2.JPG"), "a.b/owl.v2-300x600.jpg");
        assert_eq!(render(&default, ".hidden"), ".hidden-300x600.jpg");
        assert_eq!(render("t/{height}/{width}/{stem}.{ext}", "owl.jpeg"), "t/600/300/owl.jpeg");
    }

    #[test]
    fn a_template_is_printed_as_it_was_written() {
        for text in ["{dir}{stem}-{width}x{height}.jpg", "t/{stem}/{width}x{height}.{ext}"] {
            assert_eq!(text.parse::<KeyTemplate>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_template_that_would_lose_thumbnails_is_refused() {
        for (template, why) in [
            ("{dir}{width}x{height}.jpg", "lacks {stem}"),
            ("{stem}.jpg", "lacks {width}"),
            ("{stem}-{width}.jpg", "lacks {height}"),
            ("{stem-{width}x{height}", "has {stem-{width}"),
            ("{stem}{width}{height}}", "a } without"),
            ("{stem}{width}{height}{", "a { without"),
            ("{name}{width}{height}", "there are {dir} {stem}"),
            ("/{stem}{width}{height}", "begins with a slash"),
        ] {
            let error = template.parse::<KeyTemplate>().unwrap_err();
            assert!(error.contains(why), "{template}: {error}");
        }
    }
}
