//! The contact sheet: each photograph with its thumbnails, their sizes and times. The page and the pictures are one folder
//! that can be opened or copied anywhere; it loads nothing from elsewhere.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thumb::thumbnail::Format;

use crate::photos::{Photo, encode};
use crate::{FOLDER, Result};

/// The folders of the pictures, beside the page.
pub const PHOTOS: &str = "photos";
pub const THUMBNAILS: &str = "thumbnails";

const STYLE: &str = include_str!("contact_sheet.css");

/// A thumbnail as the worker reported it.
pub struct Thumbnail {
    /// The source object: `s3://bucket/key`.
    source: String,
    pub key: String,
    width: u64,
    height: u64,
    pub format: Format,
    pub bytes: u64,
    // All sizes of a photograph are made and stored together, so these times are for all of them.
    fetch_ms: f64,
    make_ms: f64,
    store_ms: f64,
}

impl Thumbnail {
    /// Reads a `made` event of `thumb work --json`.
    pub fn from_event(event: &serde_json::Value) -> Option<Self> {
        Some(Self {
            source: event["source"].as_str()?.to_owned(),
            key: event["key"].as_str()?.to_owned(),
            width: event["width"].as_u64()?,
            height: event["height"].as_u64()?,
            format: event["format"].as_str()?.parse().ok()?,
            bytes: event["bytes"].as_u64()?,
            fetch_ms: event["fetch_ms"].as_f64()?,
            make_ms: event["make_ms"].as_f64()?,
            store_ms: event["store_ms"].as_f64()?,
        })
    }

    /// The key's last part, with the extension that the key leaves out because the picture decides the format.
    pub fn file_name(&self) -> String {
        let name = self.key.rsplit('/').next().unwrap_or(&self.key);
        format!("{name}.{}", self.format.extension())
    }

    fn is_of(&self, photo: &Photo) -> bool {
        self.source.ends_with(&format!("/{FOLDER}/{}", photo.name))
    }
}

/// Writes index.html and copies the photographs to its folder, which has the thumbnails already.
pub fn write(folder: &Path, photos: &[Photo], thumbnails: &[Thumbnail], worked: Duration) -> Result<PathBuf> {
    for photo in photos {
        let copy = folder.join(PHOTOS).join(&photo.name);
        fs::write(&copy, photo.read()?).map_err(|error| format!("cannot write {}: {error}", copy.display()))?;
    }
    let page = folder.join("index.html");
    fs::write(&page, html(photos, thumbnails, worked))
        .map_err(|error| format!("cannot write {}: {error}", page.display()))?;
    Ok(page)
}

fn html(photos: &[Photo], thumbnails: &[Thumbnail], worked: Duration) -> String {
    let rows: String = photos.iter().map(|photo| row(photo, thumbnails)).collect();
    let before: u64 = photos.iter().map(|photo| photo.bytes).sum();
    let after: u64 = thumbnails.iter().map(|thumbnail| thumbnail.bytes).sum();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>thumb: contact sheet</title>\n<style>\n{STYLE}</style>\n\
         <header>\n<h1>Contact sheet</h1>\n\
         <p>{} thumbnails ({}) of {} photographs ({}), by one worker in {:.1} s</p>\n</header>\n\
         <main>\n{rows}</main>\n</html>\n",
        thumbnails.len(),
        size(after),
        photos.len(),
        size(before),
        worked.as_secs_f64(),
    )
}

/// A photograph and its thumbnails, the largest first.
fn row(photo: &Photo, thumbnails: &[Thumbnail]) -> String {
    let mut own: Vec<&Thumbnail> = thumbnails.iter().filter(|thumbnail| thumbnail.is_of(photo)).collect();
    own.sort_by_key(|thumbnail| std::cmp::Reverse(thumbnail.width * thumbnail.height));
    let Photo { path: _, name, bytes, width, height } = photo;
    let file = format!("{PHOTOS}/{}", encode(name));
    // No browser but Safari shows HEIC.
    let shown = match own.first() {
        Some(largest) if name.ends_with(".heic") => format!("{THUMBNAILS}/{}", encode(&largest.file_name())),
        _ => file.clone(),
    };
    let alt = escape(name);
    let times = own.first().map_or(String::from("no thumbnail was made"), |any| {
        format!("fetched in {:.0} ms, made in {:.0} ms, stored in {:.0} ms", any.fetch_ms, any.make_ms, any.store_ms)
    });
    let mut row = format!(
        "<section>\n<figure class=\"source\"><a href=\"{file}\"><img src=\"{shown}\" alt=\"{alt}\"></a>\n\
         <figcaption><b>{alt}</b>{width}×{height}, {}<span>{times}</span></figcaption></figure>\n<div class=\"thumbnails\">\n",
        size(*bytes),
    );
    for thumbnail in own {
        let Thumbnail { source: _, key: _, width, height, format: _, bytes, fetch_ms: _, make_ms: _, store_ms: _ } =
            thumbnail;
        let file = format!("{THUMBNAILS}/{}", encode(&thumbnail.file_name()));
        let _ = writeln!(
            row,
            "<figure><a href=\"{file}\"><img src=\"{file}\" width=\"{width}\" height=\"{height}\" alt=\"{alt}, {width}×{height}\"></a>\
             <figcaption><b>{width}×{height}</b><span>{}</span></figcaption></figure>",
            size(*bytes),
        );
    }
    row.push_str("</div>\n</section>\n");
    row
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..10_000 => format!("{:.1} KB", bytes as f64 / 1e3),
        10_000..1_000_000 => format!("{} KB", bytes / 1_000),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}
