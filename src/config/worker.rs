//! `[worker]`: settings of `thumb work`, on an instance as on a laptop.

use std::fmt;
use std::str::FromStr;

use super::reader::{Section, one_of};
use super::thumbnail::format;
use super::{logs, narrow, notify};
use crate::thumbnail::{Format, Formats, Limits, Truncated};

/// With less, a worker could not decode one photograph from a phone.
pub const MIN_MEMORY_BYTES: u64 = 256 << 20;
pub const MAX_MEMORY_BYTES: u64 = 1 << 40;
/// Messages that one worker processes at once. SQS allows 120,000 in flight for all of a queue's workers.
pub const MAX_CONCURRENCY: u32 = 256;
/// `grace`: systemd and ECS wait for minutes at most before they kill a process.
pub const GRACE_S: std::ops::RangeInclusive<u64> = 1..=900;

#[derive(Clone, Debug, PartialEq)]
pub struct Worker {
    /// Messages processed in parallel; `None`: as many as keep this machine's CPUs busy.
    pub concurrency: Option<u32>,
    /// The worker's memory limit; `None`: three quarters of what the machine or its cgroup has.
    pub max_memory_bytes: Option<u64>,
    pub max_source_bytes: u64,
    pub max_source_pixels: u64,
    /// How long a worker may finish running work after it is told to stop.
    pub grace_s: u32,
    /// Whether to skip a thumbnail that exists already, made from the same source with the same parameters.
    pub skip_existing: bool,
    /// What to do with a truncated photograph.
    pub truncated: Truncated,
    pub url_sources: UrlSources,
    /// The formats of photographs that are accepted.
    pub formats: Formats,
    /// The log group that this worker writes its lines to, beside its standard output. An instance gets the stack's.
    pub log_group: Option<String>,
    /// The ARN of the SNS topic that it publishes its results to. An instance gets the stack's.
    pub topic: Option<String>,
}

/// Which hosts a request's `"url"` may name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UrlSources {
    /// Hosts with public addresses.
    Public,
    /// Private and loopback addresses too: anyone allowed to send a message can then read from the worker's network.
    Any,
    /// No host: requests by URL are rejected.
    #[default]
    Off,
}

pub fn read(mut section: Section<'_>) -> Worker {
    let limits = Limits::default();
    let worker = Worker {
        concurrency: section.integer("concurrency", 1..=u64::from(MAX_CONCURRENCY)).map(|n| narrow(Some(n), 1)),
        max_memory_bytes: section.bytes("max_memory_bytes", MIN_MEMORY_BYTES..=MAX_MEMORY_BYTES),
        // A source is held in memory; no photograph has a gigabyte.
        max_source_bytes: section.bytes("max_source_bytes", 1..=1 << 30).unwrap_or(limits.max_source_bytes as u64),
        max_source_pixels: section.integer("max_source_pixels", 1..=1_000_000_000).unwrap_or(limits.max_source_pixels),
        grace_s: narrow(section.seconds("grace", GRACE_S), 25),
        skip_existing: section.boolean("skip_existing").unwrap_or_default(),
        truncated: section.word("truncated", truncated).unwrap_or_default(),
        url_sources: section.parsed("url_sources").unwrap_or_default(),
        formats: section
            .list("formats", Format::ALL.len(), format)
            .filter(|formats| !formats.is_empty())
            .map_or(limits.formats, Formats::from_iter),
        log_group: logs::group(&mut section),
        topic: notify::topic(&mut section),
    };
    section.finish();
    worker
}

fn truncated(text: &str) -> Result<Truncated, String> {
    const ALL: [Truncated; 2] = [Truncated::Strict, Truncated::BestEffort];
    let word = one_of(text, ALL.map(truncated_word))?;
    Ok(ALL.into_iter().find(|truncated| truncated_word(*truncated) == word).unwrap_or_default())
}

/// How it is written in thumb.toml.
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
        one_of(text, [Self::Public, Self::Any, Self::Off])
    }
}
