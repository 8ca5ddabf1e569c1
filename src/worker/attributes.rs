//! Message attributes: a dead-lettered message keeps its own attributes, and gets the reason as further ones.

use std::collections::HashMap;

use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::MessageAttributeValue;

use crate::aws::MAX_MESSAGE_BYTES;

/// The attributes that say why a message is in the dead-letter queue.
pub const ERROR: &str = "thumb-error";
pub const STAGE: &str = "thumb-stage";
pub const WORKER: &str = "thumb-worker";
const OURS: [&str; 3] = [ERROR, STAGE, WORKER];
/// The most bytes of these three, with their names and types.
pub const OURS_BYTES: usize = 4_096;

/// Attributes of one message (SQS developer guide, "Message attribute components").
const MAX_ATTRIBUTES: usize = 10;
/// The most bytes kept of a message's own attributes.
const MAX_KEPT_BYTES: usize = 64 << 10;

/// Whether an attribute of this name says why a message is in the dead-letter queue.
pub fn is_ours(name: &str) -> bool {
    OURS.contains(&name)
}

/// An attribute of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    pub name: String,
    /// `String`, `Number` or `Binary`, optionally followed by a dot and the sender's own type.
    pub data_type: String,
    pub value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Text(String),
    Binary(Vec<u8>),
}

impl Attribute {
    /// As SQS counts it: name, type and value (SQS developer guide, "Message attribute data types").
    pub fn bytes(&self) -> usize {
        let value = match &self.value {
            Value::Text(text) => text.len(),
            Value::Binary(bytes) => bytes.len(),
        };
        self.name.len() + self.data_type.len() + value
    }

    fn from_sdk(name: String, value: MessageAttributeValue) -> Option<Self> {
        let MessageAttributeValue { data_type, string_value, binary_value, .. } = value;
        let value = match (string_value, binary_value) {
            (Some(text), _) => Value::Text(text),
            (None, Some(binary)) => Value::Binary(binary.into_inner()),
            (None, None) => return None,
        };
        Some(Self { name, data_type, value })
    }

    pub fn into_sdk(self) -> (String, MessageAttributeValue) {
        let builder = MessageAttributeValue::builder().data_type(self.data_type);
        let builder = match self.value {
            Value::Text(text) => builder.string_value(text),
            Value::Binary(bytes) => builder.binary_value(Blob::new(bytes)),
        };
        (self.name, builder.build().expect("it has its type"))
    }
}

/// The attributes of a received message that are kept.
pub fn kept(attributes: Option<HashMap<String, MessageAttributeValue>>) -> Vec<Attribute> {
    let attributes = attributes.unwrap_or_default().into_iter();
    within_limits(attributes.filter_map(|(name, value)| Attribute::from_sdk(name, value)).collect())
}

/// The first by name, as many as fit beside ours; ours, from an earlier time in the dead-letter queue, are dropped.
fn within_limits(mut attributes: Vec<Attribute>) -> Vec<Attribute> {
    attributes.sort_by(|a, b| a.name.cmp(&b.name));
    let (mut kept, mut bytes) = (Vec::new(), 0);
    for attribute in attributes {
        let fits = kept.len() < MAX_ATTRIBUTES - OURS.len() && bytes + attribute.bytes() <= MAX_KEPT_BYTES;
        if fits && !is_ours(&attribute.name) {
            bytes += attribute.bytes();
            kept.push(attribute);
        }
    }
    kept
}

/// Whether a message's attributes fit beside its body and the reason. If not, they are left out: the reason matters more.
pub fn fit(attributes_bytes: usize, body_bytes: usize) -> bool {
    attributes_bytes + body_bytes + OURS_BYTES <= MAX_MESSAGE_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &str, bytes: usize) -> Attribute {
        Attribute { name: name.into(), data_type: "String".into(), value: Value::Text("x".repeat(bytes)) }
    }

    fn names(attributes: &[Attribute]) -> Vec<&str> {
        attributes.iter().map(|attribute| attribute.name.as_str()).collect()
    }

    #[test]
    fn attributes_come_back_as_they_were() {
        let attributes = vec![
            Attribute { name: "a".into(), data_type: "Number.int".into(), value: Value::Text("7".into()) },
            Attribute { name: "b".into(), data_type: "Binary.png".into(), value: Value::Binary(vec![0, 255]) },
        ];
        let sdk: HashMap<_, _> = attributes.iter().cloned().map(Attribute::into_sdk).collect();
        assert_eq!(kept(Some(sdk)), attributes);
        assert_eq!(attributes.iter().map(Attribute::bytes).collect::<Vec<_>>(), [12, 13]);
        assert_eq!(kept(None), []);
    }

    #[test]
    fn seven_of_ten_are_kept_and_ours_of_before_are_not() {
        let ten: Vec<Attribute> = (0..10).rev().map(|n| text(&format!("a{n}"), 1)).collect();
        assert_eq!(names(&within_limits(ten)), ["a0", "a1", "a2", "a3", "a4", "a5", "a6"]);
        let again = vec![text("trace", 9), text(ERROR, 9), text(STAGE, 9), text(WORKER, 9)];
        assert_eq!(names(&within_limits(again)), ["trace"]);
    }

    #[test]
    fn what_is_too_large_is_left_out() {
        let some = vec![text("a", 1_000), text("b", MAX_KEPT_BYTES), text("c", 1_000)];
        assert_eq!(names(&within_limits(some)), ["a", "c"]);
        assert!(fit(1_000, MAX_MESSAGE_BYTES - OURS_BYTES - 1_000));
        assert!(!fit(1_001, MAX_MESSAGE_BYTES - OURS_BYTES - 1_000));
    }
}
