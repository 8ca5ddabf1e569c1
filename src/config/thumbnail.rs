//! `[thumbnail]`: which thumbnails are made of a photograph, and how they are stored.

use std::fmt;
use std::str::FromStr;

use super::key_template::KeyTemplate;
use super::reader::{Section, one_of};
use super::{MAX_SIZES, MAX_TARGET_PIXELS, narrow};
use crate::thumbnail::{DEFAULT_QUALITY, Fit, Format, MAX_SIDE_PX, Output, Position, Sharpen, Size, Spec};

/// The longest `cache_control`, in bytes; it must fit into an instance's user data.
const MAX_CACHE_CONTROL_BYTES: usize = 100;

#[derive(Clone, Debug, PartialEq)]
pub struct Thumbnail {
    pub key: KeyTemplate,
    /// The formats of a size that names none; one thumbnail is made in each. Never empty.
    pub formats: Vec<Output>,
    pub fit: Fit,
    /// Which part stays where a photograph is cropped.
    pub focus: Position,
    pub enlarge: bool,
    pub sharpen: Sharpen,
    pub quality: u8,
    /// What a JPEG shows where its source is transparent.
    pub background: Background,
    /// Whether a thumbnail keeps the copyright and the artist that the source names.
    pub keep_copyright: bool,
    /// The sizes of a request that names none.
    pub sizes: Vec<Variant>,
    /// Whether each photograph has an object that lists its thumbnails.
    pub manifest: bool,
    /// Whether the thumbnails of a photograph go when S3 says that it has gone.
    pub follow_deletes: bool,
    /// The header Cache-Control of the thumbnails.
    pub cache_control: Option<String>,
    pub storage_class: StorageClass,
}

/// A size, and the format of thumbnails of that size where it is not that of all. Written `400x300` or `400x300.webp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Variant {
    pub size: Size,
    /// `None`: the formats of the request or of `[thumbnail]`.
    pub output: Option<Output>,
}

impl Variant {
    /// The formats of its thumbnails, where those of a size that names none are `formats`.
    pub fn outputs<'a>(&'a self, formats: &'a [Output]) -> &'a [Output] {
        self.output.as_ref().map_or(formats, std::slice::from_ref)
    }
}

impl From<Size> for Variant {
    fn from(size: Size) -> Self {
        Self { size, output: None }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.output {
            None => self.size.fmt(f),
            Some(output) => write!(f, "{}.{output}", self.size),
        }
    }
}

impl FromStr for Variant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (size, output) = match text.split_once('.') {
            None => (text, None),
            Some((size, "jpg")) => (size, Some(Output::Jpeg)),
            Some((size, format)) => (size, Some(format.parse().map_err(|error| format!("{error}"))?)),
        };
        Ok(Self { size: size.parse().map_err(|error| format!("{error}"))?, output })
    }
}

/// A colour of sRGB, written `#ffffff`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Background(pub [u8; 3]);

impl Default for Background {
    fn default() -> Self {
        Self([255; 3])
    }
}

impl fmt::Display for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [r, g, b] = self.0;
        write!(f, "#{r:02x}{g:02x}{b:02x}")
    }
}

impl FromStr for Background {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "must be a colour such as \"#ffffff\"".to_owned();
        let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6).ok_or_else(wrong)?;
        let number = digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16));
        let [_, r, g, b] = number.and_then(Result::ok).ok_or_else(wrong)?.to_be_bytes();
        Ok(Self([r, g, b]))
    }
}

/// What a stored byte costs, and what reading it costs (S3 user guide, "Understanding and managing Amazon S3 storage classes"). Those
/// whose objects must be restored before they can be read are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StorageClass {
    #[default]
    Standard,
    IntelligentTiering,
    StandardIa,
    OnezoneIa,
    GlacierIr,
}

impl StorageClass {
    const ALL: [Self; 5] =
        [Self::Standard, Self::IntelligentTiering, Self::StandardIa, Self::OnezoneIa, Self::GlacierIr];
}

impl fmt::Display for StorageClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Standard => "STANDARD",
            Self::IntelligentTiering => "INTELLIGENT_TIERING",
            Self::StandardIa => "STANDARD_IA",
            Self::OnezoneIa => "ONEZONE_IA",
            Self::GlacierIr => "GLACIER_IR",
        })
    }
}

impl FromStr for StorageClass {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        one_of(text, Self::ALL)
    }
}

impl Thumbnail {
    /// How a variant is made in one of its formats, where a request says nothing else.
    pub fn spec(&self, size: Size, output: Output) -> Spec {
        Spec {
            size,
            fit: self.fit,
            position: self.focus,
            enlarge: self.enlarge,
            sharpen: self.sharpen,
            output,
            quality: self.quality,
        }
    }
}

pub fn read(mut section: Section<'_>) -> Thumbnail {
    let mistakes = section.mistakes();
    let (key_at, formats_at, sizes_at) = (section.at("key"), section.at("formats"), section.at("sizes"));
    let follow_at = section.at("follow_deletes");
    let formats = section.list("formats", Output::ALL.len(), |text| one_of(text, Output::ALL.iter().copied()));
    let formats = formats.filter(|formats| !formats.is_empty());
    let mut thumbnail = Thumbnail {
        key: section.parsed("key").unwrap_or_default(),
        formats: formats.unwrap_or_else(|| vec![Output::Jpeg]),
        fit: section.word("fit", |text| one_of(text, Fit::ALL.iter().copied())).unwrap_or_default(),
        focus: section.word("focus", focus).unwrap_or_default(),
        enlarge: section.boolean("enlarge").unwrap_or(true),
        sharpen: section.word("sharpen", |text| one_of(text, Sharpen::ALL.iter().copied())).unwrap_or_default(),
        quality: narrow(section.integer("quality", 1..=100), DEFAULT_QUALITY),
        background: section.parsed("background").unwrap_or_default(),
        keep_copyright: section.boolean("keep_copyright").unwrap_or_default(),
        sizes: section.list("sizes", MAX_SIZES, variant).unwrap_or_default(),
        manifest: section.boolean("manifest").unwrap_or_default(),
        follow_deletes: section.boolean("follow_deletes").unwrap_or_default(),
        cache_control: section.checked("cache_control", cache_control).map(|given| given.value),
        storage_class: section.parsed("storage_class").unwrap_or_default(),
    };
    let outputs = outputs(&thumbnail);
    if key_at.is_none() && outputs.contains(&Output::Auto) {
        thumbnail.key = KeyTemplate::without_extension();
    }
    if let Err(why) = check_formats(&thumbnail.key, &outputs) {
        mistakes.add(key_at.or(formats_at).or(sizes_at).unwrap_or(0), why);
    }
    if thumbnail.follow_deletes && thumbnail.key.names_the_version() && !thumbnail.manifest {
        mistakes.add(
            follow_at.unwrap_or(0),
            "`follow_deletes` needs `manifest = true` where `key` has {version}: without the photograph nobody knows its version",
        );
    }
    if let Err(why) = check_pixels(&thumbnail.sizes, &thumbnail.formats) {
        mistakes.add(sizes_at.unwrap_or(0), format!("`sizes` {why}"));
    }
    section.finish();
    thumbnail
}

/// Every format in which thumbnails are made without a request that asks for another.
fn outputs(thumbnail: &Thumbnail) -> Vec<Output> {
    let mut outputs = thumbnail.formats.clone();
    outputs.extend(thumbnail.sizes.iter().filter_map(|variant| variant.output));
    outputs.sort_unstable();
    outputs.dedup();
    outputs
}

/// Whether each thumbnail has a key of its own, whose extension, if it has one, is right.
fn check_formats(key: &KeyTemplate, outputs: &[Output]) -> Result<(), String> {
    for &output in outputs {
        key.check_output(output).map_err(|why| format!("`key`, \"{key}\", {why}"))?;
    }
    if outputs.len() > 1 && outputs.contains(&Output::Auto) {
        return Err("`formats` must hold \"auto\" alone: a thumbnail in another format would have the same key".into());
    }
    if outputs.len() > 1 && !key.names_the_format() {
        return Err(format!(
            "`key`, \"{key}\", lacks {{format}}, and thumbnails are made in several formats: they would overwrite each other"
        ));
    }
    Ok(())
}

/// Whether thumbnails of these sizes, in `formats` where a size names none, may be made of one photograph.
///
/// # Errors
/// They have more than [`MAX_TARGET_PIXELS`] together: the rest of a sentence that begins with the sizes.
pub fn check_pixels(sizes: &[Variant], formats: &[Output]) -> Result<(), String> {
    let (mut pixels, mut open) = (0, "");
    for variant in sizes {
        let Variant { size, .. } = variant;
        pixels += size.most_pixels() * variant.outputs(formats).len() as u64;
        if size.width.is_none() || size.height.is_none() {
            open = " (a side that is not given counts as 8192)";
        }
    }
    if pixels <= MAX_TARGET_PIXELS {
        return Ok(());
    }
    let millions = |pixels: u64| pixels.div_ceil(1_000_000);
    Err(format!(
        "have {} million pixels together; at most {} million are made of one photograph{open}",
        millions(pixels),
        MAX_TARGET_PIXELS / 1_000_000
    ))
}

/// Which part of a photograph a text names.
pub fn focus(text: &str) -> Result<Position, String> {
    text.parse().map_err(|_| {
        "must be center, north, northeast, east, southeast, south, southwest, west, northwest, region, smart, or a point such as \
         \"0.5,0.25\", each number 0 to 1"
            .to_owned()
    })
}

pub fn variant(text: &str) -> Result<Variant, String> {
    text.parse().map_err(|_| {
        format!(
            "must be a size such as \"400x300\", \"400x\" or \"x300\", each side 1 to {MAX_SIDE_PX} pixels, with a format if it has \
             one of its own: \"400x300.webp\""
        )
    })
}

fn cache_control(text: &str) -> Result<(), String> {
    let visible = !text.is_empty() && text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if visible && text.len() <= MAX_CACHE_CONTROL_BYTES {
        Ok(())
    } else {
        Err(format!(
            "must be a header such as \"public, max-age=86400\": 1 to {MAX_CACHE_CONTROL_BYTES} printable ASCII characters"
        ))
    }
}

/// The formats that a worker accepts.
pub fn format(text: &str) -> Result<Format, String> {
    one_of(text, Format::ALL.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn parse(text: &str) -> Result<Thumbnail, String> {
        let text = format!("name = \"cats\"\n[thumbnail]\n{text}");
        Config::parse(&text, "thumb.toml").map(|config| config.thumbnail).map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_variant_reads_as_it_is_written() {
        for text in ["400x300", "400x", "x300.webp", "1x1.auto", "20x20.jpeg"] {
            assert_eq!(text.parse::<Variant>().unwrap().to_string(), text);
        }
        assert_eq!("20x20.jpg".parse::<Variant>().unwrap().output, Some(Output::Jpeg));
        for text in ["400", "400x300.gif", "400x300.", ".webp", "400x300.webp.png"] {
            assert!(text.parse::<Variant>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_colour_reads_as_it_is_written() {
        assert_eq!("#1a2b3c".parse::<Background>().unwrap().to_string(), "#1a2b3c");
        for text in ["", "#", "1a2b3c", "#1a2b3", "#1a2b3c4", "#1a2b3g", "#+1a2b3", "#ééé"] {
            assert!(text.parse::<Background>().is_err(), "{text}");
        }
    }

    #[test]
    fn thumbnails_in_several_formats_never_share_a_key_and_an_extension_never_lies() {
        for (text, why) in [
            ("formats = [\"webp\"]\nkey = \"{stem}-{width}x{height}.jpg\"", "ends in .jpg, but a thumbnail is webp"),
            ("formats = [\"jpeg\", \"webp\"]\nkey = \"{width}/{height}/{stem}\"", "lacks {format}"),
            ("sizes = [\"4x4.png\"]\nkey = \"{width}/{height}/{stem}\"", "lacks {format}"),
            ("formats = [\"auto\"]\nkey = \"{stem}-{width}x{height}.{format}\"", "has {format}"),
            ("formats = [\"auto\"]\nkey = \"{stem}-{width}x{height}.webp\"", "ends in .webp"),
            ("formats = [\"auto\", \"png\"]", "must hold \"auto\" alone"),
            ("formats = [\"gif\"]", "must be jpeg, webp, png or auto"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert_eq!(parse("formats = [\"auto\"]").unwrap().key.to_string(), "{dir}{stem}-{width}x{height}");
        assert!(parse("formats = [\"png\", \"webp\"]\nsizes = [\"4x4\", \"9x9.jpeg\"]").is_ok());
        assert!(parse("key = \"{width}/{height}/{stem}.JPEG\"").is_ok());
    }

    #[test]
    fn what_is_too_large_in_all_formats_together_is_refused() {
        assert!(parse("sizes = [\"5000x5000\", \"5000x5000.png\"]").is_ok());
        let error = parse("formats = [\"jpeg\", \"webp\"]\nsizes = [\"5000x\"]").unwrap_err();
        assert!(error.contains("`sizes` have 82 million pixels together"), "{error}");
    }

    #[test]
    fn headers_and_classes_are_checked() {
        let thumbnail = parse("cache_control = \"public, max-age=60\"\nstorage_class = \"GLACIER_IR\"").unwrap();
        assert_eq!(
            (thumbnail.cache_control.as_deref(), thumbnail.storage_class),
            (Some("public, max-age=60"), StorageClass::GlacierIr)
        );
        for text in [
            "cache_control = \"\"",
            "cache_control = \"a\\nb\"",
            "storage_class = \"GLACIER\"",
            "background = \"white\"",
            "focus = \"middle\"",
        ] {
            assert!(parse(text).unwrap_err().contains(" must be "), "{text}");
        }
    }
}
