//! The real world: SQS for messages, [`Objects`] for photographs and thumbnails in S3, and [`Web`] for `"url"` requests.
//! Here every call to SQS has its time limits, and its answers become [`Answer`]s, entry by entry.

mod objects;

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, MessageAttributeValue,
    MessageSystemAttributeName, QueueAttributeName, SendMessageBatchRequestEntry,
};
use bytes::Bytes;
use tokio::time::timeout;

use super::web::{self, Web};
use super::{Body, Delivery, Depth, Found, Letter, Opened, Stamp, World};
use crate::aws::{Answer, CallError, Clients, Kind, answers};
use crate::config::Access;
use crate::request::Source;
use crate::worker::attributes::{self, Attribute};
use crate::worker::retry::Trouble;
use crate::worker_report::WorkerReport;
use objects::Objects;

/// A receive may take this much longer than its wait before it is given up: at least the minimum, at most half of the
/// wait (30 s for the longest poll, of 20).
const MIN_RECEIVE_MARGIN: Duration = Duration::from_secs(5);
/// Any other call to SQS is a matter of milliseconds.
const SQS_ATTEMPT: Duration = Duration::from_secs(5);
const SQS_TOTAL: Duration = Duration::from_secs(20);
/// Attempts at one call. What fails as often comes back to the queue and is tried again minutes later.
const ATTEMPTS: u32 = 5;
const MAX_BACKOFF: Duration = Duration::from_secs(4);

pub struct Aws {
    /// For receives, whose time limits come with each call.
    receiver: aws_sdk_sqs::Client,
    sqs: aws_sdk_sqs::Client,
    objects: Objects,
    web: Web,
    places: Places,
}

/// Where this worker's things are.
#[derive(Clone, Debug)]
pub struct Places {
    pub queue_url: String,
    pub dlq_url: String,
    pub thumbnails_bucket: String,
    /// Where the worker's report goes.
    pub code_bucket: String,
    /// Whose both buckets must be.
    pub account: String,
    pub access: Access,
    /// Whether a request's bucket may charge us: one that `sources` names, and not any that a message may.
    pub requester_pays: bool,
    pub visibility_timeout_s: u32,
    /// The attribute `thumb-worker`.
    pub worker: String,
}

impl Aws {
    pub fn new(clients: &Clients, web: Web, places: Places) -> Self {
        let no_stalls = StalledStreamProtectionConfig::disabled();
        let receiver = aws_sdk_sqs::config::Builder::from(&clients.sdk)
            .retry_config(RetryConfig::disabled())
            .timeout_config(no_timeouts_but_connect())
            .stalled_stream_protection(no_stalls.clone());
        let sqs = aws_sdk_sqs::config::Builder::from(&clients.sdk)
            .retry_config(retries())
            .timeout_config(timeouts(SQS_ATTEMPT, SQS_TOTAL))
            .stalled_stream_protection(no_stalls);
        Self {
            receiver: aws_sdk_sqs::Client::from_conf(receiver.build()),
            sqs: aws_sdk_sqs::Client::from_conf(sqs.build()),
            objects: Objects::new(&clients.sdk, &places),
            web,
            places,
        }
    }
}

fn retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(ATTEMPTS).with_max_backoff(MAX_BACKOFF)
}

fn timeouts(attempt: Duration, total: Duration) -> TimeoutConfig {
    TimeoutConfig::builder().operation_attempt_timeout(attempt).operation_timeout(total).build()
}

/// None of the time-outs that the configuration at large has, which would be merged into a mere absence of them.
fn no_timeouts_but_connect() -> TimeoutConfig {
    TimeoutConfig::builder()
        .disable_read_timeout()
        .disable_operation_attempt_timeout()
        .disable_operation_timeout()
        .build()
}

/// A photograph's bytes from S3 or from the web.
pub enum AwsBody {
    S3(ByteStream),
    Web(web::Body),
}

impl Body for AwsBody {
    async fn next(&mut self) -> Result<Option<Bytes>, String> {
        match self {
            Self::S3(body) => {
                let piece = body.next().await.transpose();
                piece.map_err(|error| format!("the photograph broke off: {error}"))
            }
            Self::Web(body) => body.next().await,
        }
    }
}

fn found<B>(found: Found<B>, body: impl FnOnce(B) -> AwsBody) -> Found<AwsBody> {
    match found {
        Found::Photo(Opened { length, etag, ours, body: bytes }) => {
            Found::Photo(Opened { length, etag, ours, body: body(bytes) })
        }
        Found::Unchanged => Found::Unchanged,
    }
}

impl World for Aws {
    type Body = AwsBody;

    async fn receive(&self, most: usize, wait: Duration) -> Result<Vec<Delivery>, CallError> {
        let action = "sqs:ReceiveMessage";
        let call = self
            .receiver
            .receive_message()
            .queue_url(&self.places.queue_url)
            .max_number_of_messages(i32::try_from(most).unwrap_or(i32::MAX))
            .wait_time_seconds(i32::try_from(wait.as_secs()).unwrap_or(i32::MAX))
            .visibility_timeout(i32::try_from(self.places.visibility_timeout_s).unwrap_or(i32::MAX))
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .message_attribute_names("All");
        let limit = wait + MIN_RECEIVE_MARGIN.max(wait / 2);
        let answer = timeout(limit, call.send()).await.map_err(|_| late(action))?;
        let messages = answer.map_err(|error| CallError::new(action, error))?.messages.unwrap_or_default();
        Ok(messages
            .into_iter()
            .filter_map(|message| {
                let receives = message.attributes.as_ref().and_then(|attributes| {
                    attributes.get(&MessageSystemAttributeName::ApproximateReceiveCount)?.parse().ok()
                });
                Some(Delivery {
                    body: message.body.unwrap_or_default().into(),
                    attributes: attributes::kept(message.message_attributes),
                    receipt: message.receipt_handle?,
                    receives: receives.unwrap_or(1),
                })
            })
            .collect())
    }

    async fn change_visibility(&self, changes: Vec<(String, u32)>) -> Result<Vec<Answer>, CallError> {
        let action = "sqs:ChangeMessageVisibility";
        let count = changes.len();
        let entries = changes.into_iter().enumerate().map(|(index, (receipt, visibility_s))| {
            ChangeMessageVisibilityBatchRequestEntry::builder()
                .id(index.to_string())
                .receipt_handle(receipt)
                .visibility_timeout(i32::try_from(visibility_s).unwrap_or(i32::MAX))
                .build()
                .expect("it has its ID and its receipt handle")
        });
        let call = self.sqs.change_message_visibility_batch().queue_url(&self.places.queue_url);
        let answer = call.set_entries(Some(entries.collect())).send().await;
        Ok(answers(count, &answer.map_err(|error| CallError::new(action, error))?.failed))
    }

    async fn delete(&self, receipts: Vec<String>) -> Result<Vec<Answer>, CallError> {
        let action = "sqs:DeleteMessage";
        let count = receipts.len();
        let entries = receipts.into_iter().enumerate().map(|(index, receipt)| {
            DeleteMessageBatchRequestEntry::builder()
                .id(index.to_string())
                .receipt_handle(receipt)
                .build()
                .expect("it has its ID and its receipt handle")
        });
        let call = self.sqs.delete_message_batch().queue_url(&self.places.queue_url);
        let answer = call.set_entries(Some(entries.collect())).send().await;
        Ok(answers(count, &answer.map_err(|error| CallError::new(action, error))?.failed))
    }

    async fn send_to_dlq(&self, letters: Vec<Letter>) -> Result<Vec<Answer>, CallError> {
        let action = "sqs:SendMessage";
        let count = letters.len();
        let text = |value: &str| {
            MessageAttributeValue::builder().data_type("String").string_value(value).build().expect("it has its type")
        };
        let entries = letters.into_iter().enumerate().map(|(index, letter)| {
            SendMessageBatchRequestEntry::builder()
                .id(index.to_string())
                .message_body(&*letter.body)
                .set_message_attributes(Some(letter.attributes.into_iter().map(Attribute::into_sdk).collect()))
                .message_attributes(attributes::ERROR, text(&letter.error))
                .message_attributes(attributes::STAGE, text(&letter.stage))
                .message_attributes(attributes::WORKER, text(&self.places.worker))
                .build()
                .expect("it has its ID and its body")
        });
        let call = self.sqs.send_message_batch().queue_url(&self.places.dlq_url);
        let answer = call.set_entries(Some(entries.collect())).send().await;
        Ok(answers(count, &answer.map_err(|error| CallError::new(action, error))?.failed))
    }

    async fn put_report(&self, report: &WorkerReport) -> Result<(), CallError> {
        self.objects.put_report(&self.places.code_bucket, report).await
    }

    async fn depth(&self) -> Result<Depth, CallError> {
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
            QueueAttributeName::ApproximateNumberOfMessagesDelayed,
        ];
        let call = self.sqs.get_queue_attributes().queue_url(&self.places.queue_url);
        let answer = call.set_attribute_names(Some(names.to_vec())).send().await;
        let attributes = answer.map_err(|error| CallError::new("sqs:GetQueueAttributes", error))?.attributes;
        // A figure that is missing is not a zero.
        let figure = |name| attributes.as_ref().and_then(|all| all.get(name)?.parse().ok()).unwrap_or(u64::MAX);
        let [visible, in_flight, delayed] = names.each_ref().map(figure);
        Ok(Depth { visible, in_flight, delayed })
    }

    async fn open(&self, source: &Source, unless: Option<&str>) -> Result<Found<AwsBody>, Trouble> {
        match source {
            Source::Object { bucket, key } => {
                self.objects.open(bucket, key, unless).await.map(|object| found(object, AwsBody::S3))
            }
            Source::Url(url) => self.web.open(url, unless).await.map(|page| found(page, AwsBody::Web)),
        }
    }

    async fn etag(&self, bucket: &str, key: &str) -> Result<Option<String>, Trouble> {
        self.objects.etag(bucket, key).await
    }

    async fn stamp(&self, key: &str) -> Result<Option<Stamp>, Trouble> {
        self.objects.stamp(key).await
    }

    async fn store(&self, key: &str, jpeg: Bytes, stamp: &Stamp) -> Result<(), Trouble> {
        self.objects.store(key, jpeg, stamp).await
    }
}

fn late(action: &'static str) -> CallError {
    CallError::judged(action, Kind::Unavailable, "no answer in time")
}

#[cfg(test)]
mod tests;
