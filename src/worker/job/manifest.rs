//! A photograph's manifest: one JSON object that lists its thumbnails, for pages that show them.
//!
//! Several messages may add thumbnails of one photograph at the same time, so a manifest is read, extended and written back on
//! the condition that it is still the one that was read.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::config::key_template::Origin;
use crate::text::url_path;
use crate::worker::backend::Backend;
use crate::worker::retry::JobError;

/// Where manifests are, in the thumbnails bucket.
const PREFIX: &str = "manifests/";
/// Thumbnails that a manifest lists; older ones make room.
const MAX_VARIANTS: usize = 100;
/// How often a manifest that others keep changing is read anew; then the message is retried later.
const MAX_ATTEMPTS: u32 = 8;

/// What pages are told of one thumbnail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Variant {
    pub key: String,
    pub width: u32,
    pub height: u32,
    pub bytes: usize,
    /// `jpeg`, `webp` or `png`.
    pub format: String,
    /// ThumbHash, in Base64.
    pub thumb_hash: String,
    /// The dominant colour, `#rrggbb`.
    pub dominant: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Manifest {
    /// `s3://bucket/key`, or the URL without its query.
    source: String,
    /// The ETag of the content that all of them show.
    source_etag: Option<String>,
    variants: Vec<Variant>,
    /// By format, what HTML's attribute `srcset` takes, with paths from the bucket's root.
    srcset: BTreeMap<String, String>,
}

/// The key of a photograph's manifest.
pub fn key(origin: &Origin) -> String {
    format!("{PREFIX}{}/{}.json", origin.bucket, origin.key)
}

/// The keys of the thumbnails that a photograph's manifest lists.
///
/// # Errors
/// It cannot be read.
pub async fn keys<B: Backend>(backend: &B, origin: &Origin) -> Result<Vec<String>, JobError> {
    let found = backend.manifest(&key(origin)).await?;
    let manifest = found.and_then(|(body, _)| serde_json::from_slice::<Manifest>(&body).ok()).unwrap_or_default();
    Ok(manifest.variants.into_iter().take(MAX_VARIANTS).map(|variant| variant.key).collect())
}

impl Manifest {
    /// Thumbnails of another content of the photograph are left out.
    fn add(&mut self, source: &str, etag: Option<&str>, variants: &[Variant]) {
        if self.source_etag.as_deref() != etag {
            self.variants.clear();
        }
        self.source = source.to_owned();
        self.source_etag = etag.map(ToOwned::to_owned);
        self.variants.retain(|old| variants.iter().all(|new| new.key != old.key));
        self.variants.extend_from_slice(variants);
        let too_many = self.variants.len().saturating_sub(MAX_VARIANTS);
        self.variants.drain(..too_many);
        self.srcset = self.srcset();
    }

    fn srcset(&self) -> BTreeMap<String, String> {
        let mut sorted: Vec<&Variant> = self.variants.iter().collect();
        sorted.sort_by_key(|variant| (variant.width, variant.height));
        let mut srcset: BTreeMap<String, String> = BTreeMap::new();
        for Variant { key, width, format, .. } in sorted {
            let text = srcset.entry(format.clone()).or_default();
            let comma = if text.is_empty() { "" } else { ", " };
            text.push_str(&format!("{comma}/{} {width}w", url_path(key.as_bytes())));
        }
        srcset
    }
}

/// Adds thumbnails to a photograph's manifest.
///
/// # Errors
/// It cannot be read or stored, or others kept changing it.
pub async fn add<B: Backend>(
    backend: &B,
    origin: &Origin,
    source: &str,
    etag: Option<&str>,
    variants: &[Variant],
) -> Result<(), JobError> {
    let key = key(origin);
    for _ in 0..MAX_ATTEMPTS {
        let (mut manifest, replaces) = match backend.manifest(&key).await? {
            // What is not a manifest is replaced by one.
            Some((body, tag)) => (serde_json::from_slice::<Manifest>(&body).unwrap_or_default(), Some(tag)),
            None => (Manifest::default(), None),
        };
        let before = manifest.clone();
        manifest.add(source, etag, variants);
        if manifest == before {
            return Ok(());
        }
        let body = serde_json::to_vec_pretty(&manifest).map_err(|error| JobError::permanent(error.to_string()))?;
        if backend.store_manifest(&key, Bytes::from(body), replaces.as_deref()).await? {
            return Ok(());
        }
    }
    Err(JobError::transient(format!("others changed {key} {MAX_ATTEMPTS} times while it was extended")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variant(key: &str, width: u32, format: &str) -> Variant {
        Variant {
            key: key.into(),
            width,
            height: 3,
            bytes: 10,
            format: format.into(),
            thumb_hash: "aGFzaA==".into(),
            dominant: "#102030".into(),
        }
    }

    #[test]
    fn thumbnails_are_added_by_key_and_those_of_another_content_are_dropped() {
        let mut manifest = Manifest::default();
        manifest.add("s3://a/b", Some("1"), &[variant("b-9x3.jpg", 9, "jpeg"), variant("b 4x3.jpg", 4, "jpeg")]);
        manifest.add("s3://a/b", Some("1"), &[variant("b-9x3.jpg", 9, "jpeg"), variant("b-4x3.webp", 4, "webp")]);
        let keys: Vec<&str> = manifest.variants.iter().map(|variant| &*variant.key).collect();
        assert_eq!(keys, ["b 4x3.jpg", "b-9x3.jpg", "b-4x3.webp"]);
        assert_eq!(manifest.srcset["jpeg"], "/b%204x3.jpg 4w, /b-9x3.jpg 9w");
        assert_eq!(manifest.srcset["webp"], "/b-4x3.webp 4w");
        manifest.add("s3://a/b", Some("2"), &[variant("b-9x3.jpg", 9, "jpeg")]);
        assert_eq!(manifest.variants.len(), 1);
    }

    #[test]
    fn a_manifest_has_an_end() {
        let mut manifest = Manifest::default();
        for width in 0..300 {
            manifest.add("s3://a/b", None, &[variant(&width.to_string(), width, "png")]);
        }
        assert_eq!(manifest.variants.len(), MAX_VARIANTS);
        assert_eq!(manifest.variants[0].key, "200");
    }
}
