//! `thumb backfill`: requests for the photographs that are in a bucket and have no thumbnails yet. One listing of the thumbnails
//! bucket and one of the photographs, and no call for a single object.
//!
//! Memory: twelve bytes for each thumbnail that exists. What is to be queued goes into a file ([`state`]), which also lets an
//! interrupted run go on.
//!
//! A listing tells keys and dates. It does not tell which parameters a thumbnail was made with, nor who may read it: a changed
//! `quality` or `access` needs `thumb enqueue --prefix`.

mod listing;
mod queueing;
pub mod state;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::config::{Config, Variant};
use crate::request::{self, Request, Source, Wanted};
pub use listing::{Place, find};
pub use queueing::{Queued, queue};

/// Thumbnails that are held in memory, twelve bytes each and as much again for the table.
const MAX_THUMBNAILS: usize = 20_000_000;

/// Is told what happens as it happens.
pub trait Progress {
    /// So many thumbnails and photographs were listed so far.
    fn listed(&mut self, thumbnails: u64, photos: u64);
    fn queued(&mut self, requests: u64);
    fn not_queued(&mut self, name: &str, why: &str);
}

/// What a bucket holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub photos: u64,
    /// Those that lack a thumbnail, or have one that is older than they are.
    pub missing: u64,
    /// Thumbnails that they need together.
    pub thumbnails: u64,
    /// Objects that are no photographs, by their names.
    pub others: u64,
}

/// An object of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub key: String,
    /// Without quotation marks.
    pub etag: String,
    /// Seconds since 1970.
    pub modified_s: i64,
}

/// The thumbnails that exist, by a hash of their keys: of ten million keys, one in two hundred thousand runs confuses two.
#[derive(Default)]
pub struct Existing(HashMap<u64, u32>);

impl Existing {
    fn hash(key: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        hasher.finish()
    }

    /// False: there is no room.
    pub fn add(&mut self, listed: &Listed) -> bool {
        self.0.insert(Self::hash(&listed.key), u32::try_from(listed.modified_s).unwrap_or(u32::MAX));
        self.0.len() <= MAX_THUMBNAILS
    }

    /// Whether there is a thumbnail under this key that is not older.
    fn has(&self, key: &str, since_s: i64) -> bool {
        self.0.get(&Self::hash(key)).is_some_and(|modified_s| i64::from(*modified_s) >= since_s)
    }
}

/// The sizes that are wanted of an object: those of the trigger that covers it, or of `[thumbnail]`.
pub fn sizes<'c>(config: &'c Config, bucket: &str, key: &str) -> &'c [Variant] {
    let trigger = config.triggers.iter().find(|trigger| trigger.covers(bucket, key) && !trigger.sizes.is_empty());
    trigger.map_or(&config.thumbnail.sizes, |trigger| &trigger.sizes)
}

/// The request for an object.
///
/// # Errors
/// Its key is none: a sentence.
pub fn request(config: &Config, bucket: &str, key: &str) -> Result<Request, String> {
    let source = Source::object(bucket, key).map_err(|why| why.to_string())?;
    let wanted = Wanted { sizes: sizes(config, bucket, key).to_vec(), ..Wanted::default() };
    Ok(Request { source, wanted })
}

/// How many thumbnails a photograph needs, if one of them is missing; `None`: all are there, and up to date.
pub fn missing(config: &Config, bucket: &str, photo: &Listed, existing: &Existing) -> Option<u64> {
    // A request that cannot be made is reported when it is sent.
    let targets = request(config, bucket, &photo.key)
        .and_then(|request| {
            let version = request::version(&photo.etag);
            request.targets(&config.thumbnail, &version).map_err(|why| why.to_string())
        })
        .unwrap_or_default();
    let all = !targets.is_empty() && targets.iter().all(|target| existing.has(&target.key, photo.modified_s));
    (!all).then_some(targets.len() as u64)
}

#[cfg(test)]
mod tests;
