//! Receives every message of the dead-letter queue, and gives them back.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_sqs::types::{ChangeMessageVisibilityBatchRequestEntry, Message, MessageSystemAttributeName};

use super::{Reason, Rejected};
use crate::aws::{BATCH, CallError, CallResult, Clients};
use crate::worker::attributes::{self, Attribute, Value};

/// How long the messages stay hidden if the command is killed: longer than reading [`MAX_MESSAGES`] takes.
const HIDDEN: Duration = Duration::from_secs(120);
/// A receive that waits asks all of SQS's servers; one that does not wait may miss messages (SQS developer guide, "Short
/// and long polling").
const WAIT_S: i32 = 1;
/// Messages and bytes of bodies read in one go: what fits into memory.
const MAX_MESSAGES: usize = 10_000;
const MAX_BYTES: usize = 128 << 20;

/// What was found in the dead-letter queue.
#[derive(Debug, Default)]
pub struct Read {
    /// The oldest first.
    pub messages: Vec<Rejected>,
    /// There are more than were read.
    pub more: bool,
}

/// Receives all messages of the queue, as many as fit into memory. They are hidden until they are given back with [`release`].
///
/// # Errors
/// A receive fails; what was received before is visible again after two minutes.
pub async fn read(clients: &Clients, queue_url: &str) -> Result<Read, CallError> {
    let mut found: BTreeMap<String, Rejected> = BTreeMap::new();
    let (mut bytes, mut more) = (0, false);
    loop {
        let result = clients
            .sqs
            .receive_message()
            .queue_url(queue_url)
            .max_number_of_messages(BATCH as i32)
            .wait_time_seconds(WAIT_S)
            .visibility_timeout(HIDDEN.as_secs() as i32)
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .message_attribute_names("All")
            .send()
            .await;
        let messages = result.action("sqs:ReceiveMessage")?.messages.unwrap_or_default();
        if messages.is_empty() {
            break;
        }
        for message in messages.into_iter().filter_map(rejected) {
            bytes += message.body.len();
            // One that is received twice has a new receipt handle, and only the newest is good.
            found.insert(message.id.clone(), message);
        }
        if found.len() >= MAX_MESSAGES || bytes >= MAX_BYTES {
            more = true;
            break;
        }
    }
    let mut messages: Vec<Rejected> = found.into_values().collect();
    messages.sort_by_key(|message| message.sent_ms);
    Ok(Read { messages, more })
}

/// Makes messages visible again. What cannot be is visible anyway after [`HIDDEN`].
pub async fn release(clients: &Clients, queue_url: &str, messages: &[&Rejected]) {
    for batch in messages.chunks(BATCH) {
        let entries = batch.iter().enumerate().map(|(index, message)| {
            ChangeMessageVisibilityBatchRequestEntry::builder()
                .id(index.to_string())
                .receipt_handle(&message.receipt)
                .visibility_timeout(0)
                .build()
                .expect("it has an ID and a receipt handle")
        });
        let call = clients.sqs.change_message_visibility_batch().queue_url(queue_url);
        if call.set_entries(Some(entries.collect())).send().await.is_err() {
            return;
        }
    }
}

/// `None`: a message without ID or receipt handle, which SQS does not send.
fn rejected(message: Message) -> Option<Rejected> {
    let system = message.attributes.unwrap_or_default();
    let mut reason = BTreeMap::new();
    for (name, value) in message.message_attributes.iter().flatten() {
        if let (true, Some(text)) = (attributes::is_ours(name), value.string_value()) {
            reason.insert(name.as_str(), text.to_owned());
        }
    }
    let reason = match reason.remove(attributes::ERROR) {
        Some(error) => Reason::Worker {
            stage: reason.remove(attributes::STAGE).unwrap_or_default(),
            error,
            worker: reason.remove(attributes::WORKER).unwrap_or_default(),
        },
        None => Reason::TooManyReceives,
    };
    Some(Rejected {
        id: message.message_id?,
        body: message.body.unwrap_or_default(),
        attributes: attributes::kept(message.message_attributes),
        group: system.get(&MessageSystemAttributeName::MessageGroupId).cloned(),
        reason,
        sent_ms: system.get(&MessageSystemAttributeName::SentTimestamp).and_then(|ms| ms.parse().ok()).unwrap_or(0),
        receipt: message.receipt_handle?,
    })
}

impl Rejected {
    pub(super) fn receipt(&self) -> &str {
        &self.receipt
    }

    /// An attribute's value in words.
    pub fn attribute_text(attribute: &Attribute) -> String {
        match &attribute.value {
            Value::Text(text) => text.clone(),
            Value::Binary(bytes) => format!("({} bytes)", bytes.len()),
        }
    }
}
