//! `thumb dlq`: the rejected messages. SQS has no call that lists a queue, so that reading it means to receive all of its
//! messages, which hides them from others for a while, and to make them visible again at the end.

mod reading;
mod retrying;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::request::Message;
use crate::worker::attributes::Attribute;
pub use reading::{Read, read, release};
pub use retrying::{Moved, Retried, purge, retry, retry_all};

/// A message of the dead-letter queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejected {
    pub id: String,
    pub body: String,
    /// Its own attributes, without those that say why it was rejected.
    pub attributes: Vec<Attribute>,
    /// The fair queue's group, where it had one.
    pub group: Option<String>,
    pub reason: Reason,
    /// When it was put on the queue first, in milliseconds since 1970.
    pub sent_ms: u64,
    receipt: String,
}

/// Why a message was rejected.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The worker said so: at which stage, and why.
    Worker { stage: String, error: String, worker: String },
    /// SQS moved it after `max_receives` receives: each time the worker was ended, or took too long.
    TooManyReceives,
}

/// Messages that were rejected for one reason.
#[derive(Clone, Debug, PartialEq)]
pub struct Group<'a> {
    pub stage: &'a str,
    pub error: &'a str,
    /// Never empty; the newest first.
    pub messages: Vec<&'a Rejected>,
}

impl Rejected {
    /// The photographs that it is about; empty if it is no message of thumb's.
    pub fn sources(&self) -> Vec<String> {
        match Message::parse(&self.body) {
            Ok(Message::Request(request)) => vec![request.source.to_string()],
            Ok(Message::Event(events)) => events.iter().map(|event| event.source().to_string()).collect(),
            Ok(Message::Nothing(_)) | Err(_) => Vec::new(),
        }
    }

    /// The photograph that it is about, for one column of a table.
    pub fn source(&self) -> String {
        match &self.sources()[..] {
            [] => "(not a request)".to_owned(),
            [only] => only.clone(),
            [first, rest @ ..] => format!("{first} and {} more", rest.len()),
        }
    }

    /// How long ago it was put on the queue first.
    pub fn age(&self, now_ms: u64) -> Duration {
        Duration::from_millis(now_ms.saturating_sub(self.sent_ms))
    }

    /// Whether its reason, its body or its photograph contains a text; letters' case does not matter.
    pub fn mentions(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        let (stage, error) = (self.reason.stage(), self.reason.error());
        [stage, error, &self.body, &self.source()].iter().any(|field| field.to_lowercase().contains(&text))
    }
}

impl Reason {
    pub fn stage(&self) -> &str {
        match self {
            Self::Worker { stage, .. } => stage,
            Self::TooManyReceives => "receive",
        }
    }

    pub fn error(&self) -> &str {
        match self {
            Self::Worker { error, .. } => error,
            Self::TooManyReceives => "received too often without a result: the worker was ended or took too long",
        }
    }
}

/// The messages by reason, those with the most messages first.
pub fn groups(messages: &[Rejected]) -> Vec<Group<'_>> {
    let mut groups: BTreeMap<(&str, &str), Vec<&Rejected>> = BTreeMap::new();
    for message in messages {
        groups.entry((message.reason.stage(), message.reason.error())).or_default().push(message);
    }
    let mut groups: Vec<Group<'_>> = groups
        .into_iter()
        .map(|((stage, error), mut messages)| {
            messages.sort_by_key(|message| std::cmp::Reverse(message.sent_ms));
            Group { stage, error, messages }
        })
        .collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.messages.len()));
    groups
}

/// The only message whose ID begins so.
///
/// # Errors
/// There is none, or more than one: a sentence.
pub fn find<'a>(messages: &'a [Rejected], id: &str) -> Result<&'a Rejected, String> {
    let mut found = messages.iter().filter(|message| !id.is_empty() && message.id.starts_with(id));
    match (found.next(), found.next()) {
        (Some(message), None) => Ok(message),
        (None, _) => Err(format!("no rejected message has an ID that begins with {id:?}")),
        (Some(_), Some(_)) => Err(format!("several rejected messages have an ID that begins with {id:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejected(id: &str, key: &str, error: Option<&str>, sent_ms: u64) -> Rejected {
        Rejected {
            id: id.into(),
            body: format!(r#"{{"bucket":"photos","key":"{key}","width":4,"height":3}}"#),
            attributes: Vec::new(),
            group: None,
            reason: error.map_or(Reason::TooManyReceives, |error| Reason::Worker {
                stage: "make".into(),
                error: error.into(),
                worker: "host/1".into(),
            }),
            sent_ms,
            receipt: String::new(),
        }
    }

    #[test]
    fn reasons_are_counted_and_the_newest_message_is_the_example() {
        let messages = [
            rejected("a1", "a.jpg", None, 1),
            rejected("b2", "b.jpg", Some("the file is truncated"), 5),
            rejected("c3", "c.jpg", Some("the file is truncated"), 9),
        ];
        let groups = groups(&messages);
        let seen: Vec<_> =
            groups.iter().map(|group| (group.error, group.messages.len(), group.messages[0].source())).collect();
        assert_eq!(seen[0], ("the file is truncated", 2, "s3://photos/c.jpg".to_owned()));
        assert_eq!((seen[1].1, seen.len()), (1, 2));
        assert!(seen[1].0.starts_with("received too often"));
        assert!(messages[2].mentions("TRUNC") && messages[2].mentions("c.jpg") && !messages[0].mentions("trunc"));
        assert_eq!(messages[1].age(1_005), Duration::from_secs(1));
    }

    #[test]
    fn an_id_may_be_shortened_as_long_as_it_is_the_only_one() {
        let messages = [rejected("ab1", "a", None, 0), rejected("ab2", "b", None, 0), rejected("c", "c", None, 0)];
        assert_eq!(find(&messages, "ab2").unwrap().source(), "s3://photos/b");
        assert_eq!(find(&messages, "c").unwrap().id, "c");
        assert!(find(&messages, "ab").unwrap_err().starts_with("several"));
        assert!(find(&messages, "x").unwrap_err().starts_with("no rejected message"));
        assert!(find(&messages, "").is_err());
    }

    #[test]
    fn what_is_no_request_is_shown_as_such() {
        let foreign = Rejected { body: "hello".into(), ..rejected("a", "a", None, 0) };
        assert_eq!(foreign.source(), "(not a request)");
    }
}
