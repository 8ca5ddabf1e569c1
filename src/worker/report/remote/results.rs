//! What became of each message, as an event on the stack's SNS topic: docs/guides/monitoring.md has the fields.

use std::time::Duration;

use aws_sdk_sns::types::{MessageAttributeValue, PublishBatchRequestEntry};
use serde::Serialize;

use super::outbox::{Destination, Item, Sent};
use crate::aws::{CallError, CallResult, Clients, Kind, first_call};
use crate::worker::job::{Finished, Made};
use crate::worker::retry::{Outcome, attribute};

/// Of the events; increased when a field is removed or changes meaning.
const VERSION: u32 = 1;
/// The largest message and the largest batch, with attributes (API PublishBatch).
const MAX_BATCH_BYTES: usize = 262_144;
const MAX_BATCH: usize = 10;
/// For an entry's attributes, whose names and values count.
const ATTRIBUTES_BYTES: usize = 128;
/// A larger event goes without its lists: an S3 event may be about many photographs.
const MAX_EVENT_BYTES: usize = MAX_BATCH_BYTES / 2;

/// An event as it is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// "done", "rejected", "dropped": the message's attribute `event`, for filters of subscriptions.
    kind: &'static str,
    pub json: String,
}

#[derive(Serialize)]
struct Event<'a> {
    version: u32,
    event: &'static str,
    stack: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    #[serde(flatten)]
    what: What<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum What<'a> {
    Done {
        thumbnails: Vec<Thumbnail<'a>>,
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        skipped: &'a [String],
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        deleted: &'a [String],
    },
    /// The same, too large for a message: how many thumbnails there are.
    Counted {
        count: usize,
    },
    Rejected {
        stage: String,
        error: String,
    },
    Dropped {
        count: u64,
    },
}

#[derive(Serialize)]
struct Thumbnail<'a> {
    bucket: &'a str,
    key: &'a str,
    width: u32,
    height: u32,
    bytes: usize,
    format: String,
}

/// The event of a message; `None`: nothing was asked for, or it is tried again.
pub fn event(finished: &Finished, stack: &str, bucket: &str) -> Option<Published> {
    let Finished { outcome, source, made, skipped, removed, source_bytes: _ } = finished;
    let (kind, what) = match outcome {
        Outcome::Done => {
            let thumbnail = |made| thumbnail(made, bucket);
            let thumbnails = made.iter().map(thumbnail).collect();
            ("done", What::Done { thumbnails, skipped, deleted: removed })
        }
        Outcome::Reject { stage, why } => {
            ("rejected", What::Rejected { stage: stage.to_string(), error: attribute(why) })
        }
        Outcome::Retry { .. } | Outcome::Ignored(_) => return None,
    };
    let source = source.as_deref();
    let published = publish(kind, stack, source, what);
    if published.json.len() <= MAX_EVENT_BYTES {
        return Some(published);
    }
    // A photograph's URL may be as long as a message.
    let source = source.filter(|source| source.len() <= MAX_EVENT_BYTES / 2);
    let count = made.len() + skipped.len() + removed.len();
    Some(publish(kind, stack, source, What::Counted { count }))
}

fn thumbnail<'a>(made: &'a Made, bucket: &'a str) -> Thumbnail<'a> {
    let Made { source: _, key, width, height, format, placeholder: _, source_bytes: _, bytes, times: _ } = made;
    Thumbnail { bucket, key, width: *width, height: *height, bytes: *bytes, format: format.to_string() }
}

fn publish(kind: &'static str, stack: &str, source: Option<&str>, what: What<'_>) -> Published {
    let event = Event { version: VERSION, event: kind, stack, source, what };
    Published { kind, json: serde_json::to_string(&event).unwrap_or_default() }
}

impl Item for Published {
    fn bytes(&self) -> usize {
        self.json.len() + ATTRIBUTES_BYTES
    }

    fn dropped(count: u64) -> Self {
        publish("dropped", "", None, What::Dropped { count })
    }
}

/// A topic in AWS.
pub struct Topic {
    pub clients: Clients,
    pub arn: String,
}

impl Destination for Topic {
    type Item = Published;
    const EVERY: Duration = Duration::from_secs(1);
    const MAX_BATCH_BYTES: usize = MAX_BATCH_BYTES;
    const MAX_BATCH_ITEMS: usize = MAX_BATCH;
    const NAME: &'static str = "sns:Publish";

    async fn send(&mut self, batch: Vec<Published>) -> Sent<Published> {
        let retries = aws_sdk_sns::config::Builder::new().retry_config(first_call());
        let entries: Result<Vec<_>, _> = batch.iter().enumerate().map(|(id, event)| entry(id, event)).collect();
        let entries = match entries {
            Ok(entries) => entries,
            Err(error) => return Sent::failed(batch, error),
        };
        let request =
            self.clients.sns.publish_batch().topic_arn(&self.arn).set_publish_batch_request_entries(Some(entries));
        match request.customize().config_override(retries).send().await.action(Self::NAME) {
            Err(error) => Sent::failed(batch, error),
            Ok(out) => {
                let failed = out.failed.unwrap_or_default();
                let failed = failed.iter().map(|one| (one.id(), one.sender_fault(), one.code(), one.message()));
                settled(batch, failed)
            }
        }
    }
}

fn entry(id: usize, event: &Published) -> Result<PublishBatchRequestEntry, CallError> {
    let broken = |error: aws_smithy_types::error::operation::BuildError| {
        CallError::judged(Topic::NAME, Kind::Refused, error.to_string())
    };
    let kind = MessageAttributeValue::builder().data_type("String").string_value(event.kind).build().map_err(broken)?;
    let entry = PublishBatchRequestEntry::builder().id(id.to_string()).message(&event.json);
    entry.message_attributes("event", kind).build().map_err(broken)
}

/// What is left of a batch, by those entries that failed: their IDs, whether they are at fault, their codes and messages.
fn settled<'a>(
    batch: Vec<Published>,
    failed: impl Iterator<Item = (&'a str, bool, &'a str, Option<&'a str>)>,
) -> Sent<Published> {
    let mut sent = Sent::all();
    for (id, at_fault, code, message) in failed {
        let error = CallError::of_entry(Topic::NAME, Some(code), message.unwrap_or_default());
        let index: Option<usize> = id.parse().ok();
        sent.left.extend(index.and_then(|index| batch.get(index)).filter(|_| !at_fault).cloned());
        // What nothing is left of is refused for good.
        let kind = if at_fault { Kind::Refused } else { error.kind };
        sent.error = Some(CallError { kind, ..error });
    }
    sent
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::thumbnail::{Format, Placeholder};
    use crate::worker::job::Times;
    use crate::worker::retry::Stage;

    fn made(key: &str) -> Made {
        let ms = Duration::from_millis;
        Made {
            source: "s3://photos/owl.jpg".into(),
            key: key.into(),
            width: 150,
            height: 100,
            format: Format::Webp,
            placeholder: Placeholder { thumb_hash: vec![1], dominant: [1, 2, 3] },
            source_bytes: 1_000,
            bytes: 5_321,
            times: Times { fetch: ms(1), wait: ms(1), make: ms(1), store: ms(1) },
        }
    }

    fn json(finished: &Finished) -> Option<String> {
        event(finished, "cats", "cats-thumbnails").map(|event| format!("{}: {}", event.kind, event.json))
    }

    #[test]
    fn each_message_has_one_event_with_its_thumbnails_or_its_error() {
        let source = Some("s3://photos/owl.jpg".to_owned());
        let done = Finished {
            made: vec![made("owl-150x100.webp"), made("owl-15x10.webp")],
            skipped: vec!["owl-1x1.webp".into()],
            source: source.clone(),
            ..Finished::new(Outcome::Done)
        };
        let removed =
            Finished { removed: vec!["owl-1x1.webp".into()], source: source.clone(), ..Finished::new(Outcome::Done) };
        let reject = Outcome::Reject { stage: Stage::Make, why: "the file is plain text".into() };
        let rejected = Finished { source, ..Finished::new(reject) };
        let unread = Finished::new(Outcome::Reject { stage: Stage::Request, why: "`key` is missing".into() });
        let events = [done, removed, rejected, unread].map(|finished| json(&finished).unwrap());
        insta::assert_snapshot!(events.join("\n"));
        assert_eq!(json(&Finished::new(Outcome::Ignored("a test"))), None);
        assert_eq!(Published::dropped(3).json, r#"{"version":1,"event":"dropped","stack":"","count":3}"#);
    }

    #[test]
    fn an_event_fits_into_a_message() {
        let many = (0..1_000).map(|n| made(&format!("{}{n}", "k".repeat(1_000)))).collect();
        let finished = Finished { made: many, source: Some("u".repeat(1 << 20)), ..Finished::new(Outcome::Done) };
        let event = event(&finished, "cats", "b").unwrap();
        assert_eq!(event.json, r#"{"version":1,"event":"done","stack":"cats","count":1000}"#);
    }

    #[test]
    fn a_batchs_failures_are_read_one_by_one() {
        let batch: Vec<Published> = (0..3).map(Published::dropped).collect();
        let failed = [("1", false, "InternalError", Some("later")), ("2", true, "InvalidParameter", None)];
        let sent = settled(batch.clone(), failed.into_iter());
        assert_eq!((sent.left, sent.error.unwrap().kind), (vec![batch[1].clone()], Kind::Refused));
        assert!(settled(batch, std::iter::empty()).error.is_none());
    }
}
