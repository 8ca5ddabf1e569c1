//! The source photographs.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Result;

/// Enough to try thumb out.
const MAX_PHOTOS: usize = 200;

/// A JPEG file in the folder.
pub struct Photo {
    pub path: PathBuf,
    pub name: String,
    pub bytes: u64,
    /// In pixels, as stored: before the EXIF orientation is applied.
    pub width: usize,
    pub height: usize,
}

impl Photo {
    pub fn read(&self) -> Result<Vec<u8>> {
        fs::read(&self.path).map_err(|error| format!("cannot read {}: {error}", self.path.display()))
    }
}

/// The JPEG files of a folder, sorted by name, without those in folders below it.
pub fn find(folder: &Path) -> Result<Vec<Photo>> {
    let cannot = |error: std::io::Error| format!("cannot read {}: {error}", folder.display());
    let mut photos = Vec::new();
    for entry in fs::read_dir(folder).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let name = path.file_name().and_then(|name| name.to_str());
        let (Some(name), "jpg" | "jpeg") = (name, extension.as_str()) else { continue };
        let name = name.to_owned();
        let data = fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        match size(&data) {
            Some((width, height)) => photos.push(Photo { path, name, bytes: data.len() as u64, width, height }),
            None => println!("skipped {}: not a JPEG", path.display()),
        }
        if photos.len() == MAX_PHOTOS {
            println!("using the first {MAX_PHOTOS} photographs");
            break;
        }
    }
    photos.sort_by(|a, b| a.name.cmp(&b.name));
    if photos.is_empty() { Err(format!("there is no .jpg file in {}", folder.display())) } else { Ok(photos) }
}

fn size(data: &[u8]) -> Option<(usize, usize)> {
    let mut decoder = zune_jpeg::JpegDecoder::new(zune_jpeg::zune_core::bytestream::ZCursor::new(data));
    decoder.decode_headers().ok()?;
    decoder.dimensions()
}

/// A key, percent-encoded for a URL's path.
pub fn encode(key: &str) -> String {
    key.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => (byte as char).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
