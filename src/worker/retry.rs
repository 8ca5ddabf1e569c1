//! What becomes of a message: done, again later, or never. Pure functions from what went wrong to that.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::aws::{CallError, Kind};
use crate::request::BadRequest;
use crate::thumbnail;

/// The longest text in an attribute of a message in the dead-letter queue, in bytes.
const MAX_ERROR_BYTES: usize = 1_024;
/// What a retryable message waits after its first receipt; each further one waits [`BACKOFF_FACTOR`] times as long. Ten
/// receipts, the default of `max_receives`, are 43 to 86 minutes of patience.
const BACKOFF_BASE: Duration = Duration::from_secs(8);
const BACKOFF_FACTOR: u32 = 4;
const MAX_BACKOFF: Duration = Duration::from_secs(15 * 60);
/// Receipts of a message whose key is not there: its upload may be late by so much as 20 to 40 s, the first two waits.
const MAX_MISSES: u32 = 3;

/// The stages of a message's way through the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Reading the message.
    Request,
    /// Getting the photograph.
    Fetch,
    /// Decoding, scaling, encoding.
    Make,
    /// Putting the thumbnails into their bucket.
    Store,
    /// None of these failed: the worker was stopped.
    Stop,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Request => "request",
            Self::Fetch => "fetch",
            Self::Make => "make",
            Self::Store => "store",
            Self::Stop => "stop",
        })
    }
}

/// Whose failure it is that a stage failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// S3's, or that of our rights and buckets there: it befalls whatever message comes next.
    S3,
    /// There is no such key (yet).
    NoKey,
    /// This message's, or that of the web server it names.
    Other,
}

/// Why a stage failed, and whether the same may work later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub passing: bool,
    pub cause: Cause,
    pub why: String,
}

impl Trouble {
    /// It may work later.
    pub fn passing(why: impl Into<String>) -> Self {
        Self { passing: true, cause: Cause::Other, why: why.into() }
    }

    /// It may work later, and until S3 works again nothing else will.
    pub fn s3(why: impl Into<String>) -> Self {
        Self { cause: Cause::S3, ..Self::passing(why) }
    }

    /// It never will.
    pub fn lasting(why: impl Into<String>) -> Self {
        Self { passing: false, cause: Cause::Other, why: why.into() }
    }

    /// What a failed read of a source means: a missing object may still come (its request may be faster than its
    /// upload), and a missing right too (a new policy takes a while to spread, a wrong one will be mended); a missing
    /// bucket is the request's fault.
    pub fn fetching(error: &CallError) -> Self {
        let no_bucket = error.code.as_deref() == Some("NoSuchBucket");
        match error.kind {
            Kind::NotFound if no_bucket => Self::lasting(format!("there is no such bucket ({error})")),
            Kind::NotFound => {
                Self { cause: Cause::NoKey, ..Self::passing("there is no such key in the bucket (yet?)") }
            }
            Kind::Denied => Self::s3(format!(
                "this worker may not read it ({error}); `[buckets] sources` in thumb.toml names the buckets it may"
            )),
            Kind::Archived => Self::lasting(format!(
                "it is archived in Glacier; restore it (aws s3api restore-object), then send the request again ({error})"
            )),
            Kind::ClockSkew => {
                Self::s3(format!("this machine's clock is wrong, and S3 refuses what it signs ({error})"))
            }
            Kind::Refused | Kind::NotOurs | Kind::AlreadyExists | Kind::InUse | Kind::RegionNotEnabled => {
                Self::lasting(error.to_string())
            }
            Kind::Throttled
            | Kind::Unavailable
            | Kind::Credentials
            | Kind::NotYet
            | Kind::TokenSpent
            | Kind::Interrupted
            | Kind::QueueDeletedRecently => Self::s3(error.to_string()),
        }
    }

    /// What a failed write of a thumbnail means. The bucket is ours, not the message's: whatever is wrong with it can
    /// be put right, and until then the message is tried again, as often as `max_receives` allows. What S3 has against
    /// the key or the metadata, which the message has chosen, stays.
    pub fn storing(error: &CallError, bucket: &str) -> Self {
        let code = error.code.as_deref();
        // A key that S3 cannot even read is refused without a code.
        let keys_fault = matches!(code, None | Some("KeyTooLongError" | "InvalidURI" | "MetadataTooLarge"));
        if error.kind == Kind::Refused && keys_fault {
            return Self::lasting(format!("S3 does not take the thumbnail under its key ({error})"));
        }
        Self::s3(match error.kind {
            _ if code == Some("AccessControlListNotSupported") => format!(
                "the bucket {bucket} takes no ACLs ({error}); `thumb apply` makes it take them, \
                 or set `access` in [buckets] of thumb.toml to policy or private"
            ),
            Kind::Denied => format!(
                "this worker may not write to the bucket {bucket}, or the bucket (or the account) blocks public ACLs \
                 ({error}); `thumb apply` sets both right, or says why it cannot"
            ),
            Kind::NotFound => format!("there is no bucket {bucket} ({error}); `thumb apply` makes it"),
            _ => error.to_string(),
        })
    }
}

/// What becomes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every thumbnail is stored: delete it.
    Done,
    /// It asks for nothing: delete it.
    Ignored(&'static str),
    /// Something that passes: let it become visible again later.
    Retry { stage: Stage, cause: Cause, why: String },
    /// Something that does not: to the dead-letter queue.
    Reject { stage: Stage, why: String },
}

impl Outcome {
    pub fn failed(stage: Stage, trouble: Trouble) -> Self {
        let Trouble { passing, cause, why } = trouble;
        if passing { Self::Retry { stage, cause, why } } else { Self::Reject { stage, why } }
    }

    /// On its last allowed receipt a message that would be retried goes to the dead-letter queue by our own hand, so
    /// that it says there why. After it, SQS would move it without a word (RedrivePolicy, `maxReceiveCount`). A key
    /// that is not there is given up earlier: no back-off is as long as it takes somebody to notice a typing error.
    pub fn on_receipt(self, receives: u32, max_receives: u32) -> Self {
        match self {
            Self::Retry { stage, cause, why }
                if receives >= max_receives || (cause == Cause::NoKey && receives >= MAX_MISSES) =>
            {
                Self::Reject { stage, why: format!("{why}; tried {}", times(receives)) }
            }
            other => other,
        }
    }

    /// Whether S3 has worked for this message; none if it does not tell.
    pub fn s3_worked(&self) -> Option<bool> {
        match self {
            Self::Done => Some(true),
            Self::Retry { cause: Cause::S3, .. } => Some(false),
            Self::Retry { .. } | Self::Ignored(_) | Self::Reject { .. } => None,
        }
    }
}

/// Why a message is in the dead-letter queue that was on its last receipt when the worker was told to stop.
pub fn stopped_on_last(receives: u32) -> String {
    format!("the worker was stopped before it had ended; tried {}", times(receives))
}

fn times(receives: u32) -> String {
    if receives == 1 { "once".to_owned() } else { format!("{receives} times") }
}

impl From<BadRequest> for Outcome {
    fn from(bad: BadRequest) -> Self {
        Self::Reject { stage: Stage::Request, why: bad.to_string() }
    }
}

impl From<thumbnail::Error> for Trouble {
    fn from(error: thumbnail::Error) -> Self {
        match error {
            thumbnail::Error::OutOfMemory => Self::passing(error.to_string()),
            error => Self::lasting(error.to_string()),
        }
    }
}

/// How long a retryable message stays invisible after its `receives`-th receipt, in seconds: exponential, capped, and
/// spread by `jitter` (0 to 1) over the upper half, so that what failed together does not come back together.
pub fn backoff_s(receives: u32, jitter: f64) -> u32 {
    let full = BACKOFF_BASE.saturating_mul(BACKOFF_FACTOR.saturating_pow(receives.saturating_sub(1))).min(MAX_BACKOFF);
    let spread = full.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0);
    u32::try_from(spread.as_secs()).unwrap_or(u32::MAX).max(1)
}

/// A text as an SQS message attribute takes it: not empty, of a bounded length, and only with characters that XML
/// allows (API SendMessage).
pub fn attribute(text: &str) -> String {
    let allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..) && !c.is_control();
    let mut clean = String::new();
    for c in text.chars().map(|c| if allowed(c) { c } else { ' ' }) {
        if clean.len() + c.len_utf8() > MAX_ERROR_BYTES - '…'.len_utf8() {
            clean.push('…');
            break;
        }
        clean.push(c);
    }
    if clean.is_empty() { "unknown".into() } else { clean }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: Kind, code: &str) -> CallError {
        CallError { action: "s3:GetObject", kind, code: Some(code.into()), message: "said so".into() }
    }

    #[test]
    fn what_passes_is_retried_and_what_does_not_is_rejected() {
        for (kind, code, passing) in [
            (Kind::NotFound, "NoSuchKey", Some(Cause::NoKey)),
            (Kind::NotFound, "NoSuchBucket", None),
            (Kind::Denied, "AccessDenied", Some(Cause::S3)),
            (Kind::Throttled, "SlowDown", Some(Cause::S3)),
            (Kind::Unavailable, "InternalError", Some(Cause::S3)),
            (Kind::Credentials, "ExpiredToken", Some(Cause::S3)),
            (Kind::Archived, "InvalidObjectState", None),
            (Kind::ClockSkew, "RequestTimeTooSkewed", Some(Cause::S3)),
        ] {
            let trouble = Trouble::fetching(&error(kind, code));
            assert_eq!(trouble.passing.then_some(trouble.cause), passing, "{code}");
        }
        for (kind, code, passing) in [
            (Kind::Denied, "AccessDenied", Some(Cause::S3)),
            (Kind::NotFound, "NoSuchBucket", Some(Cause::S3)),
            (Kind::Throttled, "SlowDown", Some(Cause::S3)),
            (Kind::Refused, "AccessControlListNotSupported", Some(Cause::S3)),
            (Kind::Refused, "KMS.DisabledException", Some(Cause::S3)),
            (Kind::Refused, "MetadataTooLarge", None),
            (Kind::Refused, "KeyTooLongError", None),
        ] {
            let trouble = Trouble::storing(&error(kind, code), "b");
            assert_eq!(trouble.passing.then_some(trouble.cause), passing, "{code}");
        }
        let uncoded = CallError { code: None, ..error(Kind::Refused, "") };
        assert!(!Trouble::storing(&uncoded, "b").passing, "a key that S3 cannot read");
        assert!(!Trouble::fetching(&uncoded).passing);
    }

    #[test]
    fn a_bucket_that_takes_no_acl_names_what_mends_it() {
        let why = Trouble::storing(&error(Kind::Refused, "AccessControlListNotSupported"), "cats-thumbnails").why;
        assert!(why.contains("cats-thumbnails takes no ACLs") && why.contains("`thumb apply`"), "{why}");
    }

    #[test]
    fn the_engine_errs_for_good_unless_memory_ran_out() {
        assert!(!Trouble::from(thumbnail::Error::Truncated).passing);
        assert!(Trouble::from(thumbnail::Error::OutOfMemory).passing);
    }

    #[test]
    fn the_last_allowed_receipt_rejects() {
        let retry = || Outcome::Retry { stage: Stage::Fetch, cause: Cause::S3, why: "busy".into() };
        assert_eq!(retry().on_receipt(9, 10), retry());
        let rejected = Outcome::Reject { stage: Stage::Fetch, why: "busy; tried 10 times".into() };
        assert_eq!(retry().on_receipt(10, 10), rejected);
        assert_eq!(Outcome::Done.on_receipt(9, 3), Outcome::Done);
        assert_eq!(stopped_on_last(1), "the worker was stopped before it had ended; tried once");
    }

    #[test]
    fn a_key_that_is_not_there_is_tried_three_times_however_often_others_are() {
        let missing = || Outcome::Retry { stage: Stage::Fetch, cause: Cause::NoKey, why: "no key".into() };
        assert_eq!(missing().on_receipt(2, 10), missing());
        let rejected = |times| Outcome::Reject { stage: Stage::Fetch, why: format!("no key; tried {times}") };
        assert_eq!(missing().on_receipt(3, 10), rejected("3 times"));
        assert_eq!(missing().on_receipt(2, 2), rejected("2 times"), "SQS gives it no more often");
    }

    #[test]
    fn back_off_grows_with_the_receipts_up_to_a_quarter_of_an_hour() {
        let whole: Vec<u32> = (1..=6).map(|receives| backoff_s(receives, 1.0)).collect();
        assert_eq!(whole, [8, 32, 128, 512, 900, 900]);
        let patience_s = |jitter| (1..10).map(|receives| backoff_s(receives, jitter)).sum::<u32>();
        assert_eq!((patience_s(0.0) / 60, patience_s(1.0) / 60), (43, 86), "minutes, with ten receipts");
        assert_eq!((backoff_s(1, 0.0), backoff_s(0, 1.0), backoff_s(u32::MAX, 1.0)), (4, 8, 900));
    }

    #[test]
    fn an_attribute_is_never_empty_too_long_or_unprintable() {
        assert_eq!(attribute(""), "unknown");
        assert_eq!(attribute("a\0b\u{ffff}c"), "a b c");
        let long = attribute(&"é".repeat(10_000));
        assert!(long.len() <= MAX_ERROR_BYTES && long.ends_with('…'), "{}", long.len());
    }
}
