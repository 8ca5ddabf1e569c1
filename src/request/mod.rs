//! The message contract: what a message on the queue asks for. Pure: turns text into a checked [`Request`] or the reason why
//! it is not one. Every limit is checked here, before anything is fetched.
//!
//! A message is a request (the codelab's fields, see [`Request::parse`]), or an event of S3: its own notification or
//! EventBridge's, plain or inside an SNS envelope (see [`event`]).

mod event;
mod fields;

use std::collections::HashSet;
use std::fmt;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use url::Url;

use crate::config::key_template::{self, MAX_KEY_BYTES, Origin};
use crate::config::{self, MAX_SIZES, Variant};
use crate::text::{hex, without_secrets};
use crate::thumbnail::{Fit, Focus, MAX_SIDE_PX, Output, Position, Size, Spec};
pub use event::{Created, ObjectEvent};
use fields::Fields;

/// The longest URL in a request, in bytes; servers and proxies commonly accept this much.
pub const MAX_URL_BYTES: usize = 2_048;

/// The longest message that is parsed. Parsed JSON takes many times the memory of its text, and S3's own notifications are
/// far shorter.
pub const MAX_REQUEST_BYTES: usize = 256 << 10;

/// The bucket in the keys of thumbnails of URLs. Bucket names have no underscores: where keys contain the bucket, a URL's
/// thumbnail never overwrites an object's.
pub const URL_BUCKET: &str = "_url";

/// Where a photograph is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Object {
        bucket: String,
        key: String,
    },
    /// http or https, with a host.
    Url(Url),
}

/// The thumbnails wanted of a photograph. What is `None` is the worker's setting, from `[thumbnail]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// 1 to [`MAX_SIZES`], no two the same, of at most [`config::MAX_TARGET_PIXELS`] together.
    pub sizes: Vec<Variant>,
    /// The formats of sizes that name none; not empty.
    pub formats: Option<Vec<Output>>,
    pub fit: Option<Fit>,
    pub focus: Option<Position>,
    /// 1 to 100.
    pub quality: Option<u8>,
}

/// One photograph, and the thumbnails wanted of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub source: Source,
    pub wanted: Wanted,
}

/// A parsed message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    Request(Request),
    /// An event of S3: the objects that were stored or removed. Never empty.
    Event(Vec<ObjectEvent>),
    /// It asks for no thumbnails, for this reason.
    Nothing(&'static str),
}

/// One thumbnail of a request: how to make it, and the key to store it under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub spec: Spec,
    pub key: String,
}

/// Why a text is not a request: a sentence without its period, which names the field and its valid values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRequest(pub String);

impl fmt::Display for BadRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadRequest {}

impl Message {
    /// # Errors
    /// The body is neither a request nor an S3 event notification.
    pub fn parse(body: &str) -> Result<Self, BadRequest> {
        let object = object(body)?;
        match event::parse(&object)? {
            Some(message) => Ok(message),
            None => Request::from_object(object).map(Self::Request),
        }
    }
}

impl Request {
    /// Reads `{"bucket":"b","key":"k.jpg","width":400,"height":300}`; `"url"` may stand for bucket and key,
    /// `"sizes":[{"width":…,"height":…,"format":…},…]` for width and height, of which one may be left out; `"formats"`, `"fit"`,
    /// `"focus"` and `"quality"` are optional.
    ///
    /// # Errors
    /// The first mistake. Unknown fields are mistakes, so that typos are noticed.
    pub fn parse(body: &str) -> Result<Self, BadRequest> {
        Self::from_object(object(body)?)
    }

    fn from_object(object: Map<String, Value>) -> Result<Self, BadRequest> {
        let mut fields = Fields::new(object, "the request");
        let source = source(&mut fields)?;
        let sizes = sizes(&mut fields)?;
        let formats = fields.array("formats")?.map(formats).transpose()?;
        let fit = fields.string("fit")?.map(|text| fit(&text)).transpose()?;
        let focus = fields.value("focus").map(focus).transpose()?;
        let quality = fields.integer("quality", 1..=100)?.and_then(|quality| u8::try_from(quality).ok());
        fields.finish()?;
        Ok(Self { source, wanted: Wanted { sizes, formats, fit, focus, quality } })
    }

    /// The message that [`Request::parse`] reads as this request; in the codelab's format where that is possible.
    pub fn to_json(&self) -> String {
        let mut object = Map::new();
        match &self.source {
            Source::Object { bucket, key } => {
                object.insert("bucket".into(), json!(bucket));
                object.insert("key".into(), json!(key));
            }
            Source::Url(url) => {
                object.insert("url".into(), json!(url.as_str()));
            }
        }
        let Wanted { sizes, formats, fit, focus, quality } = &self.wanted;
        match sizes[..] {
            [Variant { size: Size { width, height }, output: None }] => {
                object.extend(width.map(|px| ("width".into(), json!(px))));
                object.extend(height.map(|px| ("height".into(), json!(px))));
            }
            _ => {
                object.insert("sizes".into(), sizes.iter().map(size_json).collect());
            }
        }
        if let Some(formats) = formats {
            object.insert("formats".into(), json!(formats));
        }
        if let Some(fit) = fit {
            object.insert("fit".into(), json!(fit));
        }
        if let Some(focus) = focus {
            object.insert("focus".into(), focus_json(*focus));
        }
        if let Some(quality) = quality {
            object.insert("quality".into(), json!(quality));
        }
        Value::Object(object).to_string()
    }

    /// The thumbnails to make, one for each size and format, as `[thumbnail]` of thumb.toml names and shapes them. `version`: of
    /// the photograph's content, for keys that have it.
    ///
    /// # Errors
    /// Two of them would have the same key, S3 does not allow a key, a key has the extension of another format, or they are too
    /// large together.
    pub fn targets(&self, settings: &config::Thumbnail, version: &str) -> Result<Vec<Target>, BadRequest> {
        let Wanted { sizes, formats, fit, focus, quality } = &self.wanted;
        let formats = formats.as_ref().unwrap_or(&settings.formats);
        check_pixels(sizes, formats)?;
        let origin = Origin { version: version.to_owned(), ..self.source.origin() };
        let mut keys = HashSet::new();
        let mut targets = Vec::new();
        for variant in sizes {
            let size = variant.size;
            for &output in variant.outputs(formats) {
                let bad = |why: String| BadRequest(format!("the thumbnail's key {why}"));
                settings.key.check_output(output).map_err(bad)?;
                let key = settings.key.render(&origin, size, output);
                key_template::check(&key).map_err(bad)?;
                if !keys.insert(key.clone()) {
                    return Err(BadRequest(format!("two thumbnails would have the same key, {key}")));
                }
                let set = settings.spec(size, output);
                let spec = Spec {
                    fit: fit.unwrap_or(set.fit),
                    position: focus.unwrap_or(set.position),
                    quality: quality.unwrap_or(set.quality),
                    ..set
                };
                targets.push(Target { spec, key });
            }
        }
        Ok(targets)
    }
}

impl ObjectEvent {
    /// The object that it is about.
    pub fn source(&self) -> &Source {
        match self {
            Self::Created(created) => &created.source,
            Self::Removed(source) => source,
        }
    }
}

impl Source {
    /// An object of S3.
    ///
    /// # Errors
    /// The names are not valid in S3.
    pub fn object(bucket: impl Into<String>, key: impl Into<String>) -> Result<Self, BadRequest> {
        let (bucket, key) = (bucket.into(), key.into());
        config::bucket_name(&bucket).map_err(|why| BadRequest(format!("`bucket`: {bucket:?} {why}")))?;
        if key.is_empty() || key.len() > MAX_KEY_BYTES {
            return Err(BadRequest(format!(
                "`key` must have 1 to {MAX_KEY_BYTES} bytes, as S3's keys do; it has {}",
                key.len()
            )));
        }
        Ok(Self::Object { bucket, key })
    }

    /// A photograph on a web server, by http or https.
    ///
    /// # Errors
    /// Another scheme, no host, a user name or password (it would end up in the log), or too long.
    pub fn url(text: &str) -> Result<Self, BadRequest> {
        let bad = |why: &str| BadRequest(format!("`url` {why}"));
        if text.len() > MAX_URL_BYTES {
            return Err(bad(&format!("has {} bytes; at most {MAX_URL_BYTES} are allowed", text.len())));
        }
        let url = Url::parse(text).map_err(|why| bad(&format!("{:?} is not a URL: {why}", without_secrets(text))))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(bad(&format!("must begin with http:// or https://, not {}:", url.scheme())));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("must not hold a user name or a password"));
        }
        Ok(Self::Url(url))
    }

    /// What the thumbnail's key is made from: the object's bucket and key. For a URL [`URL_BUCKET`], and the host (with
    /// its port, where it is not the scheme's own) and the path, with the start of a hash of the query where there is
    /// one, so that `/photo?id=1` and `/photo?id=2` do not overwrite each other.
    pub fn origin(&self) -> Origin {
        match self {
            Self::Object { bucket, key } => Origin { bucket: bucket.clone(), key: key.clone(), version: String::new() },
            Self::Url(url) => Origin { bucket: URL_BUCKET.into(), key: url_key(url), version: String::new() },
        }
    }
}

impl fmt::Display for Source {
    /// `s3://bucket/key`, or the URL without its query: that of a presigned URL is as good as a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object { bucket, key } => write!(f, "s3://{bucket}/{key}"),
            Self::Url(url) => f.write_str(&without_secrets(url.as_str())),
        }
    }
}

/// Parses a fit.
///
/// # Errors
/// Names the valid ones.
pub fn fit(text: &str) -> Result<Fit, BadRequest> {
    text.parse().map_err(|_| BadRequest(format!("`fit` must be one of cover, contain, fill, not {text:?}")))
}

/// What tells one content of a photograph from another in a thumbnail's key, by its ETag: as much of it as makes no two alike.
pub fn version(etag: &str) -> String {
    /// Of the 32 hexadecimal digits of S3's.
    const LENGTH: usize = 16;
    match etag.get(..LENGTH) {
        Some(start) if start.bytes().all(|byte| byte.is_ascii_alphanumeric()) => start.to_owned(),
        _ => short_hash(etag.as_bytes()),
    }
}

/// As [`version`], of a photograph whose server sends no ETag.
pub fn version_of(content: &[u8]) -> String {
    short_hash(content)
}

fn check_pixels(sizes: &[Variant], formats: &[Output]) -> Result<(), BadRequest> {
    config::check_pixels(sizes, formats).map_err(|why| BadRequest(format!("`sizes` {why}")))
}

fn url_key(url: &Url) -> String {
    let path = percent_decoded(url.path());
    let index = if path.ends_with('/') { "index" } else { "" };
    let (dir, name) = path.split_at(path.rfind('/').map_or(0, |slash| slash + 1));
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let name = format!("{name}{index}");
    let name = match (url.query().map(|query| short_hash(query.as_bytes())), name.rsplit_once('.')) {
        (None, _) => name,
        (Some(hash), Some((stem, ext))) if !stem.is_empty() => format!("{stem}-{hash}.{ext}"),
        (Some(hash), _) => format!("{name}-{hash}"),
    };
    format!("{host}{port}{dir}{name}")
}

fn object(body: &str) -> Result<Map<String, Value>, BadRequest> {
    if body.len() > MAX_REQUEST_BYTES {
        return Err(BadRequest(format!("the message has {} bytes; at most {MAX_REQUEST_BYTES} are read", body.len())));
    }
    match serde_json::from_str(body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => Err(BadRequest(format!("the message must be a JSON object, not {}", fields::kind(&other)))),
        Err(error) => Err(BadRequest(format!("the message is not JSON: {error}"))),
    }
}

fn source(fields: &mut Fields) -> Result<Source, BadRequest> {
    let (bucket, key, url) = (fields.string("bucket")?, fields.string("key")?, fields.string("url")?);
    match (bucket, key, url) {
        (Some(bucket), Some(key), None) => Source::object(bucket, key),
        (None, None, Some(url)) => Source::url(&url),
        (_, _, Some(_)) => Err(BadRequest("`url` stands for `bucket` and `key`: give one or the other".into())),
        (None, Some(_), None) => Err(BadRequest("`bucket` is missing".into())),
        (Some(_), None, None) => Err(BadRequest("`key` is missing".into())),
        (None, None, None) => Err(BadRequest("`bucket` and `key` are missing (or `url`)".into())),
    }
}

fn sizes(fields: &mut Fields) -> Result<Vec<Variant>, BadRequest> {
    let size = Size { width: side(fields, "width")?, height: side(fields, "height")? };
    let given = size.width.is_some() || size.height.is_some();
    match (given, fields.array("sizes")?) {
        (true, None) => Ok(vec![size.into()]),
        (false, Some(values)) => several(values),
        (false, None) => Err(BadRequest("`width` and `height` are missing (or one of them, or `sizes`)".into())),
        (true, Some(_)) => Err(BadRequest("`sizes` stands for `width` and `height`: give one or the other".into())),
    }
}

fn several(values: Vec<Value>) -> Result<Vec<Variant>, BadRequest> {
    if values.is_empty() || values.len() > MAX_SIZES {
        return Err(BadRequest(format!("`sizes` must hold 1 to {MAX_SIZES} sizes; it holds {}", values.len())));
    }
    let mut sizes = Vec::with_capacity(values.len());
    for value in values {
        let Value::Object(object) = value else {
            return Err(BadRequest(format!(
                "each of `sizes` must be {{\"width\":…,\"height\":…}}, not {}",
                fields::kind(&value)
            )));
        };
        let mut fields = Fields::new(object, "a size");
        let size = Size { width: side(&mut fields, "width")?, height: side(&mut fields, "height")? };
        let output = fields.string("format")?.map(|text| format("format", &text)).transpose()?;
        fields.finish()?;
        if size.width.is_none() && size.height.is_none() {
            return Err(BadRequest("each of `sizes` needs `width` or `height`, or both".into()));
        }
        let variant = Variant { size, output };
        if sizes.contains(&variant) {
            return Err(BadRequest(format!("`sizes` holds {variant} twice")));
        }
        sizes.push(variant);
    }
    // Of whatever formats.
    check_pixels(&sizes, &[Output::default()])?;
    Ok(sizes)
}

/// The opposite of what [`several`] reads.
fn size_json(variant: &Variant) -> Value {
    let Variant { size, output } = variant;
    let mut value = json!(size);
    if let (Some(output), Some(object)) = (output, value.as_object_mut()) {
        object.insert("format".into(), json!(output));
    }
    value
}

fn formats(values: Vec<Value>) -> Result<Vec<Output>, BadRequest> {
    if values.is_empty() {
        return Err(BadRequest("`formats` must not be empty".into()));
    }
    let mut formats = Vec::new();
    for value in values {
        let text = value
            .as_str()
            .ok_or_else(|| BadRequest(format!("each of `formats` must be a string, not {}", fields::kind(&value))))?;
        let output = format("formats", text)?;
        // As there are few formats, this bounds the list too.
        if formats.contains(&output) {
            return Err(BadRequest(format!("`formats` holds {output} twice")));
        }
        formats.push(output);
    }
    Ok(formats)
}

fn format(field: &str, text: &str) -> Result<Output, BadRequest> {
    text.parse().map_err(|_| BadRequest(format!("`{field}` must be jpeg, webp, png or auto, not {text:?}")))
}

/// `"north"`, `"smart"`, `{"x":0.5,"y":0.25}`.
fn focus(value: Value) -> Result<Position, BadRequest> {
    let bad = |why: &str| BadRequest(format!("`focus` {why}"));
    match value {
        Value::String(text) => config::focus(&text).map_err(|why| bad(&format!("{why}, not {text:?}"))),
        Value::Object(object) => {
            let mut fields = Fields::new(object, "a focus");
            let (x, y) = (fields.value("x"), fields.value("y"));
            fields.finish()?;
            let number = |value: Option<Value>| value.and_then(|value| value.as_f64()).unwrap_or(f64::NAN);
            let point = Focus::new(number(x), number(y));
            point.map(Position::Focus).ok_or_else(|| bad("needs `x` and `y`, each a number from 0 to 1"))
        }
        other => Err(bad(&format!("must be a string or {{\"x\":…,\"y\":…}}, not {}", fields::kind(&other)))),
    }
}

fn focus_json(focus: Position) -> Value {
    match focus {
        Position::Focus(point) => json!({ "x": point.x(), "y": point.y() }),
        other => json!(other.to_string()),
    }
}

fn side(fields: &mut Fields, name: &'static str) -> Result<Option<u32>, BadRequest> {
    let side = fields.integer(name, 1..=u64::from(MAX_SIDE_PX))?;
    Ok(side.and_then(|side| u32::try_from(side).ok()))
}

/// `%C3%A9` as `é`; a text that does not decode to UTF-8 stays as it is.
fn percent_decoded(text: &str) -> String {
    event::decoded(text).unwrap_or_else(|| text.to_owned())
}

/// The first 16 hexadecimal digits of SHA-256: enough to tell any number of queries of one path apart.
fn short_hash(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes)[..8])
}

#[cfg(test)]
mod tests;
