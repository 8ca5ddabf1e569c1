//! Decides whether a message succeeded, is retried or is rejected. Pure functions from the error to the outcome.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::aws::{CallError, Kind};
use crate::request::BadRequest;
use crate::thumbnail;

/// The longest text in an attribute of a message in the dead-letter queue, in bytes.
const MAX_ERROR_BYTES: usize = 1_024;
/// The delay before the first retry; each further delay is [`BACKOFF_FACTOR`] times as long. Ten receipts, the default of
/// `max_receives`, spread over 43 to 86 minutes.
const BACKOFF_BASE: Duration = Duration::from_secs(8);
const BACKOFF_FACTOR: u32 = 4;
const MAX_BACKOFF: Duration = Duration::from_secs(15 * 60);
/// Receipts of a message whose object does not exist. The first two delays give a late upload 20 to 40 s.
const MAX_MISSES: u32 = 3;

/// The stages of processing a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Reading the message.
    Request,
    /// Fetching the photograph.
    Fetch,
    /// Decoding, scaling, encoding.
    Make,
    /// Storing the thumbnails in their bucket.
    Store,
    /// No stage failed: the worker was stopped.
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

/// What caused a stage to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// S3, or our permissions and buckets there: the next message would fail too.
    S3,
    /// The object does not exist (yet).
    NoKey,
    /// This message, or the web server that it names.
    Other,
}

/// Why a stage failed, and whether a retry may succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobError {
    pub transient: bool,
    pub cause: Cause,
    pub why: String,
}

impl JobError {
    /// A retry may succeed.
    pub fn transient(why: impl Into<String>) -> Self {
        Self { transient: true, cause: Cause::Other, why: why.into() }
    }

    /// A retry may succeed once S3 works again; until then other messages fail too.
    pub fn s3(why: impl Into<String>) -> Self {
        Self { cause: Cause::S3, ..Self::transient(why) }
    }

    /// No retry can succeed.
    pub fn permanent(why: impl Into<String>) -> Self {
        Self { transient: false, cause: Cause::Other, why: why.into() }
    }

    /// The error for a failed read of a source. A missing object may still be uploaded (the request may be faster), and a
    /// missing permission may be granted (a new policy takes a while to propagate); a missing bucket is the request's fault.
    pub fn fetching(error: &CallError) -> Self {
        let no_bucket = error.code.as_deref() == Some("NoSuchBucket");
        match error.kind {
            Kind::NotFound if no_bucket => Self::permanent(format!("the bucket does not exist ({error})")),
            Kind::NotFound => {
                Self { cause: Cause::NoKey, ..Self::transient("no such key in the bucket (it may not exist yet)") }
            }
            Kind::Denied => Self::s3(format!(
                "this worker has no permission to read it ({error}); add its bucket to `[buckets] sources` in thumb.toml and \
                 run `thumb apply`"
            )),
            Kind::Archived => Self::permanent(format!(
                "it is archived in Glacier; restore it (aws s3api restore-object), then send the request again ({error})"
            )),
            Kind::ClockSkew => {
                Self::s3(format!("this machine's clock is wrong, so S3 rejects its signatures ({error})"))
            }
            Kind::Refused | Kind::NotOurs | Kind::AlreadyExists | Kind::InUse | Kind::RegionNotEnabled => {
                Self::permanent(error.to_string())
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

    /// The error for a failed write of a thumbnail. The bucket is the stack's, not the message's: what is wrong with it can
    /// be fixed, and until then the message is retried, as often as `max_receives` allows. If S3 refuses the key or the
    /// metadata, which the message determines, no retry can succeed.
    pub fn storing(error: &CallError, bucket: &str) -> Self {
        let code = error.code.as_deref();
        // S3 refuses a key that it cannot parse without an error code.
        let keys_fault = matches!(code, None | Some("KeyTooLongError" | "InvalidURI" | "MetadataTooLarge"));
        if error.kind == Kind::Refused && keys_fault {
            return Self::permanent(format!("S3 refuses the thumbnail's key or metadata ({error})"));
        }
        Self::s3(match error.kind {
            _ if code == Some("AccessControlListNotSupported") => format!(
                "the bucket {bucket} does not accept ACLs ({error}); run `thumb apply` to enable them, \
                 or set `access` in [buckets] of thumb.toml to policy or private"
            ),
            Kind::Denied => format!(
                "this worker has no permission to write to the bucket {bucket}, or the bucket (or the account) blocks public \
                 ACLs ({error}); run `thumb apply` to fix either"
            ),
            Kind::NotFound => format!("the bucket {bucket} does not exist ({error}); run `thumb apply` to create it"),
            _ => error.to_string(),
        })
    }
}

/// The outcome of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every thumbnail is stored: acknowledge it.
    Done,
    /// It asks for nothing: acknowledge it.
    Ignored(&'static str),
    /// A temporary failure: release it, to become visible later.
    Retry { stage: Stage, cause: Cause, why: String },
    /// A permanent failure: dead-letter it.
    Reject { stage: Stage, why: String },
}

impl Outcome {
    pub fn failed(stage: Stage, job_error: JobError) -> Self {
        let JobError { transient, cause, why } = job_error;
        if transient { Self::Retry { stage, cause, why } } else { Self::Reject { stage, why } }
    }

    /// On its last allowed receipt, a message that would be retried is dead-lettered by the worker, with the reason as an
    /// attribute; otherwise SQS's redrive policy (`maxReceiveCount`) would move it without one. A missing object is given up
    /// earlier: no back-off is as long as it takes to notice a typo.
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

    /// Whether S3 worked for this message; none if the outcome does not tell.
    pub fn s3_worked(&self) -> Option<bool> {
        match self {
            Self::Done => Some(true),
            Self::Retry { cause: Cause::S3, .. } => Some(false),
            Self::Retry { .. } | Self::Ignored(_) | Self::Reject { .. } => None,
        }
    }
}

/// The reason for a message that was on its last receipt when the worker was stopped.
pub fn stopped_on_last(receives: u32) -> String {
    format!("the worker was stopped before it finished; tried {}", times(receives))
}

fn times(receives: u32) -> String {
    if receives == 1 { "once".to_owned() } else { format!("{receives} times") }
}

impl From<BadRequest> for Outcome {
    fn from(bad: BadRequest) -> Self {
        Self::Reject { stage: Stage::Request, why: bad.to_string() }
    }
}

impl From<thumbnail::Error> for JobError {
    fn from(error: thumbnail::Error) -> Self {
        match error {
            thumbnail::Error::OutOfMemory => Self::transient(error.to_string()),
            error => Self::permanent(error.to_string()),
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
        for (kind, code, transient) in [
            (Kind::NotFound, "NoSuchKey", Some(Cause::NoKey)),
            (Kind::NotFound, "NoSuchBucket", None),
            (Kind::Denied, "AccessDenied", Some(Cause::S3)),
            (Kind::Throttled, "SlowDown", Some(Cause::S3)),
            (Kind::Unavailable, "InternalError", Some(Cause::S3)),
            (Kind::Credentials, "ExpiredToken", Some(Cause::S3)),
            (Kind::Archived, "InvalidObjectState", None),
            (Kind::ClockSkew, "RequestTimeTooSkewed", Some(Cause::S3)),
        ] {
            let job_error = JobError::fetching(&error(kind, code));
            assert_eq!(job_error.transient.then_some(job_error.cause), transient, "{code}");
        }
        for (kind, code, transient) in [
            (Kind::Denied, "AccessDenied", Some(Cause::S3)),
            (Kind::NotFound, "NoSuchBucket", Some(Cause::S3)),
            (Kind::Throttled, "SlowDown", Some(Cause::S3)),
            (Kind::Refused, "AccessControlListNotSupported", Some(Cause::S3)),
            (Kind::Refused, "KMS.DisabledException", Some(Cause::S3)),
            (Kind::Refused, "MetadataTooLarge", None),
            (Kind::Refused, "KeyTooLongError", None),
        ] {
            let job_error = JobError::storing(&error(kind, code), "b");
            assert_eq!(job_error.transient.then_some(job_error.cause), transient, "{code}");
        }
        let uncoded = CallError { code: None, ..error(Kind::Refused, "") };
        assert!(!JobError::storing(&uncoded, "b").transient, "a key that S3 cannot read");
        assert!(!JobError::fetching(&uncoded).transient);
    }

    #[test]
    fn a_bucket_that_accepts_no_acls_names_the_fix() {
        let why = JobError::storing(&error(Kind::Refused, "AccessControlListNotSupported"), "cats-thumbnails").why;
        assert!(why.contains("cats-thumbnails does not accept ACLs") && why.contains("`thumb apply`"), "{why}");
    }

    #[test]
    fn engine_errors_are_permanent_unless_memory_ran_out() {
        assert!(!JobError::from(thumbnail::Error::Truncated).transient);
        assert!(JobError::from(thumbnail::Error::OutOfMemory).transient);
    }

    #[test]
    fn the_last_allowed_receipt_rejects() {
        let retry = || Outcome::Retry { stage: Stage::Fetch, cause: Cause::S3, why: "busy".into() };
        assert_eq!(retry().on_receipt(9, 10), retry());
        let rejected = Outcome::Reject { stage: Stage::Fetch, why: "busy; tried 10 times".into() };
        assert_eq!(retry().on_receipt(10, 10), rejected);
        assert_eq!(Outcome::Done.on_receipt(9, 3), Outcome::Done);
        assert_eq!(stopped_on_last(1), "the worker was stopped before it finished; tried once");
    }

    #[test]
    fn a_missing_object_is_tried_three_times_however_often_others_are() {
        let missing = || Outcome::Retry { stage: Stage::Fetch, cause: Cause::NoKey, why: "no key".into() };
        assert_eq!(missing().on_receipt(2, 10), missing());
        let rejected = |times| Outcome::Reject { stage: Stage::Fetch, why: format!("no key; tried {times}") };
        assert_eq!(missing().on_receipt(3, 10), rejected("3 times"));
        assert_eq!(missing().on_receipt(2, 2), rejected("2 times"), "SQS delivers it no more often");
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
