//! The source photographs.

use std::fs;
use std::path::{Path, PathBuf};

use thumb::thumbnail;

use crate::Result;

const EXTENSIONS: [&str; 6] = ["jpg", "jpeg", "png", "webp", "gif", "heic"];

/// Enough to try thumb out.
const MAX_PHOTOS: usize = 200;

/// A picture in the folder.
pub struct Photo {
    pub path: PathBuf,
    pub name: String,
    pub bytes: u64,
    /// In pixels, upright.
    pub width: u32,
    pub height: u32,
}

impl Photo {
    pub fn read(&self) -> Result<Vec<u8>> {
        fs::read(&self.path).map_err(|error| format!("cannot read {}: {error}", self.path.display()))
    }
}

/// The pictures of a folder, sorted by name, without those in folders below it.
pub fn find(folder: &Path) -> Result<Vec<Photo>> {
    let cannot = |error: std::io::Error| format!("cannot read {}: {error}", folder.display());
    let mut photos = Vec::new();
    for entry in fs::read_dir(folder).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let Some(name) = path.file_name().and_then(|name| name.to_str()).map(ToOwned::to_owned) else { continue };
        if !EXTENSIONS.contains(&&*extension) {
            continue;
        }
        let data = fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        match thumbnail::probe(&data, &thumbnail::Limits::default()) {
            Ok(info) => {
                let (width, height) = (info.width, info.height);
                photos.push(Photo { path, name, bytes: data.len() as u64, width, height });
            }
            Err(error) => println!("skipped {}: {error}", path.display()),
        }
        if photos.len() == MAX_PHOTOS {
            println!("using the first {MAX_PHOTOS} photographs");
            break;
        }
    }
    photos.sort_by(|a, b| a.name.cmp(&b.name));
    if photos.is_empty() { Err(format!("there is no picture in {}", folder.display())) } else { Ok(photos) }
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
