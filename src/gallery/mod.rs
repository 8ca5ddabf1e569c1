//! `thumb gallery`: static pages that show thumbnails. [`listing`] finds them in a bucket or a directory, [`Collection`] puts
//! those of one photograph together, [`page`] is the HTML, and [`site`] writes the files.
//!
//! Memory: some 200 bytes for each thumbnail, because a listing is in the order of keys, in which the thumbnails of one
//! photograph may be far apart.

pub mod listing;
mod page;
mod site;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::config::key_template::{KeyTemplate, Matched};
use crate::error::{Failure, Result};
use crate::text::url_path;
use crate::thumbnail::{Format, Size};
pub use page::{Gallery, thousands};
pub use site::{Written, relative_base, write};

/// Thumbnails that are held in memory.
const MAX_THUMBNAILS: usize = 500_000;
/// Thumbnails of one photograph that its picture links to.
const MAX_THUMBNAILS_A_PICTURE: usize = 100;

/// A photograph, by its thumbnails. At least one, the largest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// As the thumbnails' keys name it: "2026/owl".
    pub name: String,
    pub thumbnails: Vec<Thumbnail>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thumbnail {
    /// Its URL, relative to the gallery's base; percent-encoded.
    pub href: String,
    /// In pixels: as measured, or as its key says; a side may be unknown.
    pub size: Size,
    pub format: Option<Format>,
    pub bytes: u64,
}

/// A file that may be a thumbnail.
#[derive(Clone, Debug)]
pub struct File<'a> {
    /// The object's key, or the path below the directory, with slashes.
    pub key: &'a str,
    pub bytes: u64,
    /// Seconds since 1970.
    pub modified_s: i64,
    /// What its header says, where it was read.
    pub measured: Option<(Size, Format)>,
}

/// The thumbnails found so far.
pub struct Collection {
    /// The key of the first thumbnail.
    first: Option<String>,
    /// The templates that keys are read with; the first that matches counts.
    templates: Vec<KeyTemplate>,
    pictures: BTreeMap<String, Versions>,
    thumbnails: usize,
    /// Files that are not thumbnails.
    others: u64,
}

/// The newest content of a photograph.
struct Versions {
    version: String,
    modified_s: i64,
    thumbnails: Vec<Thumbnail>,
}

impl Collection {
    /// Reads keys with this template, and those that it does not fit with the default one.
    pub fn new(template: &KeyTemplate) -> Self {
        let mut templates = vec![template.clone(), KeyTemplate::default()];
        templates.dedup();
        Self { first: None, templates, pictures: BTreeMap::new(), thumbnails: 0, others: 0 }
    }

    /// Adds a file. One that no template fits is a picture of its own if it was measured, and otherwise none.
    ///
    /// # Errors
    /// There are too many.
    pub fn add(&mut self, file: &File<'_>) -> Result<()> {
        let Some((photo, version, size, format)) = self.read(file) else {
            self.others += 1;
            return Ok(());
        };
        let &File { key, bytes, modified_s, measured: _ } = file;
        if self.thumbnails == MAX_THUMBNAILS {
            return Err(Failure::new(format!("there are more than {MAX_THUMBNAILS} thumbnails"))
                .hint("make several galleries of them: --prefix for a bucket, or its directories one by one"));
        }
        self.first.get_or_insert_with(|| key.to_owned());
        let thumbnail = Thumbnail { href: url_path(key.as_bytes()), size, format, bytes };
        let newest = self.pictures.entry(photo).or_insert_with(|| Versions {
            version: version.clone(),
            modified_s,
            thumbnails: Vec::new(),
        });
        if newest.version != version {
            // Those of an older content stay in the bucket when a photograph is replaced.
            if modified_s < newest.modified_s {
                return Ok(());
            }
            self.thumbnails -= newest.thumbnails.len();
            *newest = Versions { version, modified_s, thumbnails: Vec::new() };
        }
        newest.modified_s = newest.modified_s.max(modified_s);
        if newest.thumbnails.len() < MAX_THUMBNAILS_A_PICTURE {
            newest.thumbnails.push(thumbnail);
            self.thumbnails += 1;
        }
        Ok(())
    }

    /// The photograph that a file is of, its content's version, and the file's size and format; `None`: it is no thumbnail.
    fn read(&self, file: &File<'_>) -> Option<(String, String, Size, Option<Format>)> {
        // A browser resolves "." and ".." in a path: what has them cannot be addressed.
        if file.key.split('/').any(|part| matches!(part, "." | "..")) {
            return None;
        }
        let measured = file.measured.map(|(size, format)| (size, Some(format)));
        match self.templates.iter().find_map(|template| template.matches(file.key)) {
            Some(Matched { photo, version, size, format }) => {
                let (size, format) = measured.unwrap_or((size, format));
                Some((photo, version, size, format))
            }
            None => measured.map(|(size, format)| (file.key.to_owned(), String::new(), size, format)),
        }
    }

    /// The key of one of the thumbnails.
    pub fn any_key(&self) -> Option<&str> {
        self.first.as_deref()
    }

    /// The pictures, sorted by name, and how many files were none.
    pub fn finish(self) -> (Vec<Picture>, u64) {
        let pictures = self.pictures.into_iter().map(|(name, Versions { mut thumbnails, .. })| {
            let order = |one: &Thumbnail| {
                let side = |px: Option<u32>| u64::from(px.unwrap_or(0));
                let (width, height) = (side(one.size.width), side(one.size.height));
                (std::cmp::Reverse(width.max(1) * height.max(1)), one.href.clone())
            };
            thumbnails.sort_by_cached_key(order);
            Picture { name, thumbnails }
        });
        (pictures.collect(), self.others)
    }
}
