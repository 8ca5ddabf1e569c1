//! `[worker]`: how `thumb work` works, on an instance and on a laptop.

use std::fmt;
use std::str::FromStr;

use super::narrow;
use super::reader::Section;
use crate::thumbnail::{Limits, Truncated};

/// Less than this and a worker could not hold one photograph of a telephone.
pub const MIN_MEMORY_BYTES: u64 = 256 << 20;
pub const MAX_MEMORY_BYTES: u64 = 1 << 40;
/// Messages one worker may hold. SQS allows 120,000 in flight for all of a queue's workers.
pub const MAX_CONCURRENCY: u32 = 256;
/// How long a worker may be told to finish in: systemd and ECS wait for minutes at most.
pub const GRACE_S: std::ops::RangeInclusive<u64> = 1..=900;

#[derive(Clone, Debug, PartialEq)]
pub struct Worker {
    /// Messages in work at once; none: as many as keep this machine's CPUs busy.
    pub concurrency: Option<u32>,
    /// The memory the worker keeps below; none: most of what the machine or its cgroup has.
    pub max_memory_bytes: Option<u64>,
    pub max_source_bytes: u64,
    pub max_source_pixels: u64,
    /// How long a worker that is told to stop may finish what runs.
    pub grace_s: u32,
    /// Whether a thumbnail that is there already, of the same source with the same parameters, is left as it is.
    pub skip_existing: bool,
    /// What becomes of a photograph that ends too early.
    pub truncated: Truncated,
    pub url_sources: UrlSources,
}

/// Which hosts a request's `"url"` may name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UrlSources {
    /// Those with public addresses.
    Public,
    /// Private and loopback ones too: whoever may send a message then sees what the worker's network shows.
    Any,
    /// None: whoever may send a message has nothing fetched at the account's cost.
    #[default]
    Off,
}

pub fn read(mut section: Section<'_>) -> Worker {
    let limits = Limits::default();
    let worker = Worker {
        concurrency: section.integer("concurrency", 1..=u64::from(MAX_CONCURRENCY)).map(|n| narrow(Some(n), 1)),
        max_memory_bytes: section.integer("max_memory_bytes", MIN_MEMORY_BYTES..=MAX_MEMORY_BYTES),
        // One object in memory: a gigabyte is beyond any photograph.
        max_source_bytes: section.integer("max_source_bytes", 1..=1 << 30).unwrap_or(limits.max_source_bytes as u64),
        max_source_pixels: section.integer("max_source_pixels", 1..=1_000_000_000).unwrap_or(limits.max_source_pixels),
        grace_s: narrow(section.seconds("grace", GRACE_S), 25),
        skip_existing: section.boolean("skip_existing").unwrap_or_default(),
        truncated: section.word("truncated", truncated).unwrap_or_default(),
        url_sources: section.parsed("url_sources").unwrap_or_default(),
    };
    section.finish();
    worker
}

fn truncated(text: &str) -> Result<Truncated, String> {
    match text {
        "reject" => Ok(Truncated::Strict),
        "best-effort" => Ok(Truncated::BestEffort),
        _ => Err("is not one of reject, best-effort".into()),
    }
}

/// The word for it in thumb.toml.
pub fn truncated_word(truncated: Truncated) -> &'static str {
    match truncated {
        Truncated::Strict => "reject",
        Truncated::BestEffort => "best-effort",
    }
}

impl fmt::Display for UrlSources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "public",
            Self::Any => "any",
            Self::Off => "off",
        })
    }
}

impl FromStr for UrlSources {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Public, Self::Any, Self::Off]
            .into_iter()
            .find(|sources| sources.to_string() == text)
            .ok_or_else(|| "is not one of public, any, off".into())
    }
}
