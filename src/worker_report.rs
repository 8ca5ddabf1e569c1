//! A worker's report: a small object that each worker stores in the code bucket, so that `thumb apply` and others can tell
//! whether it works. [`WorkerReport`] reads and writes it.

use std::error::Error;
use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::text::hex;

/// The prefix of every report's key in the code bucket; the worker's role may write nothing else there.
pub const PREFIX: &str = "workers/";
/// The format's version. It increases when readers of this version would misunderstand a report.
pub const VERSION: u32 = 1;
/// A report has some 500 bytes; readers read no more than this.
pub const MAX_BYTES: usize = 16 << 10;
/// The longest worker ID: an instance's has 19 characters, a host's name at most 64 (`man 7 hostname`).
pub const MAX_ID: usize = 64;
/// Hexadecimal digits of the configuration's SHA-256 in a report.
const CONFIG_DIGITS: usize = 16;

/// A worker's description of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerReport {
    /// Always [`VERSION`], which [`WorkerReport::from_json`] has checked.
    pub version: u32,
    /// The EC2 instance's ID; elsewhere the host's name.
    pub id: String,
    /// The version of thumb.
    pub thumb: String,
    /// The running executable as the code bucket names it, `thumb-<sha256>`; none if it cannot be read.
    pub binary: Option<String>,
    /// The configuration it runs with, as [`config_digest`] has it.
    pub config: String,
    pub state: State,
    /// When the worker started, in seconds since 1970.
    pub started_s: u64,
    /// When this report was written, in seconds since 1970.
    pub last_seen_s: u64,
    /// Since the worker began.
    pub counts: Counts,
    pub memory: Memory,
}

/// What a worker is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It has found its queue: the first report.
    Started,
    /// It has messages in flight.
    Working,
    /// It waits for messages.
    Idle,
    /// It was told to stop, and finishes its messages.
    Stopping,
    /// It has ended: the last report.
    Stopped,
}

/// Messages by outcome, and thumbnails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Messages whose thumbnails are all stored.
    pub done: u64,
    /// Thumbnails stored.
    pub made: u64,
    /// Thumbnails that were up to date already.
    pub skipped: u64,
    /// Messages that asked for nothing.
    pub ignored: u64,
    pub retried: u64,
    pub rejected: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The worker's memory ceiling.
    pub ceiling_bytes: u64,
    /// Its resident memory now; none where the system does not report it.
    pub resident_bytes: Option<u64>,
}

/// Why an object is not a report. Displays as the end of a sentence: "the report of i-0123 …".
#[derive(Debug)]
pub enum BadReport {
    /// A newer or an older thumb wrote it.
    Version(u64),
    NotJson(serde_json::Error),
}

impl WorkerReport {
    /// The key of a worker's report in the code bucket.
    pub fn key(&self) -> String {
        key(&self.id)
    }

    /// One JSON object.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers are JSON")
    }

    /// Reads what [`WorkerReport::to_json`] wrote; unknown fields are ignored.
    ///
    /// # Errors
    /// It has another version, or is not a report.
    pub fn from_json(json: &[u8]) -> Result<Self, BadReport> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u64,
        }
        // Only the version first: later versions may have other fields.
        let Versioned { version } = serde_json::from_slice(json).map_err(BadReport::NotJson)?;
        if version != u64::from(VERSION) {
            return Err(BadReport::Version(version));
        }
        serde_json::from_slice(json).map_err(BadReport::NotJson)
    }
}

impl fmt::Display for BadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => {
                write!(f, "has version {version} of its format, and this thumb reads version {VERSION}")
            }
            Self::NotJson(error) => write!(f, "cannot be read: {error}"),
        }
    }
}

impl Error for BadReport {}

/// The key of a worker's report in the code bucket: `workers/<id>.json`.
pub fn key(id: &str) -> String {
    format!("{PREFIX}{id}.json")
}

/// Identifies a worker's configuration: the first 16 hexadecimal digits of the SHA-256 of thumb.toml's text.
pub fn config_digest(toml: &str) -> String {
    hex(&Sha256::digest(toml.as_bytes())[..CONFIG_DIGITS / 2])
}

/// A name as a part of a key: letters, digits, `.`, `-` and `_`; anything else becomes `-`. None if nothing is left.
pub fn worker_id(name: &str) -> Option<String> {
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '-' };
    let id: String = name.trim().chars().take(MAX_ID).map(safe).collect();
    (!id.is_empty()).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> WorkerReport {
        WorkerReport {
            version: VERSION,
            id: "i-0123456789abcdef0".into(),
            thumb: "0.1.0".into(),
            binary: Some(format!("thumb-{}", "ab".repeat(32))),
            config: config_digest("name = \"cats\"\n"),
            state: State::Working,
            started_s: 1_800_000_000,
            last_seen_s: 1_800_000_060,
            counts: Counts { done: 5, made: 7, skipped: 1, ignored: 2, retried: 3, rejected: 4 },
            memory: Memory { ceiling_bytes: 600 << 20, resident_bytes: Some(60 << 20) },
        }
    }

    #[test]
    fn a_report_is_what_apply_and_the_worker_agreed_on() {
        let json = report().to_json();
        assert_eq!(
            json,
            format!(
                r#"{{"version":1,"id":"i-0123456789abcdef0","thumb":"0.1.0","binary":"thumb-{}","config":"e8fba765d34d94b0","state":"working","started_s":1800000000,"last_seen_s":1800000060,"counts":{{"done":5,"made":7,"skipped":1,"ignored":2,"retried":3,"rejected":4}},"memory":{{"ceiling_bytes":629145600,"resident_bytes":62914560}}}}"#,
                "ab".repeat(32)
            )
        );
        assert_eq!(WorkerReport::from_json(json.as_bytes()).unwrap(), report());
        assert_eq!(report().key(), "workers/i-0123456789abcdef0.json");
        let bare = WorkerReport { binary: None, memory: Memory::default(), ..report() };
        assert_eq!(WorkerReport::from_json(bare.to_json().as_bytes()).unwrap(), bare);
        for (state, word) in [
            (State::Started, "started"),
            (State::Working, "working"),
            (State::Idle, "idle"),
            (State::Stopping, "stopping"),
            (State::Stopped, "stopped"),
        ] {
            assert_eq!(serde_json::to_string(&state).unwrap(), format!("\"{word}\""));
        }
    }

    #[test]
    fn another_version_is_named_and_unknown_fields_are_ignored() {
        let later = WorkerReport::from_json(br#"{"version":2,"who":[]}"#).unwrap_err().to_string();
        assert_eq!(later, "has version 2 of its format, and this thumb reads version 1");
        let more = report().to_json().replacen('{', r#"{"more":true,"#, 1);
        assert_eq!(WorkerReport::from_json(more.as_bytes()).unwrap(), report());
        for text in ["", "{}", "[]", r#"{"version":1}"#, r#"{"version":"1"}"#] {
            assert!(WorkerReport::from_json(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_hosts_name_is_a_part_of_a_key() {
        assert_eq!(worker_id("laptop.lan\n").as_deref(), Some("laptop.lan"));
        assert_eq!(worker_id("a/../b c").as_deref(), Some("a-..-b-c"));
        assert_eq!(worker_id(&"x".repeat(1_000)).map(|id| id.len()), Some(MAX_ID));
        assert_eq!(worker_id(" \n"), None);
    }
}
