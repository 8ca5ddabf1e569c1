//! The real backend: SQS for messages, [`Objects`] for photographs and thumbnails in S3, and [`Web`] for `"url"` requests.
//! Sets the time limits of the calls to SQS, and turns their responses into [`Answer`]s, one per entry.

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
use super::{Backend, Body, DeadLetter, Delivery, Depth, Found, Opened, Provenance, Upload};
use crate::aws::{Answer, CallError, Clients, Kind, answers};
use crate::config::{Access, StorageClass};
use crate::request::Source;
use crate::worker::attributes::{self, Attribute};
use crate::worker::retry::JobError;
use crate::worker_report::WorkerReport;
use objects::Objects;

/// A receive is aborted this long after its wait time, or after half of the wait time if that is more (30 s in total for
/// the longest poll, of 20 s).
const MIN_RECEIVE_MARGIN: Duration = Duration::from_secs(5);
/// Any other call to SQS normally takes milliseconds.
const SQS_ATTEMPT: Duration = Duration::from_secs(5);
const SQS_TOTAL: Duration = Duration::from_secs(20);
/// Attempts per call. A message whose call still fails is released and retried minutes later.
const ATTEMPTS: u32 = 5;
const MAX_BACKOFF: Duration = Duration::from_secs(4);

pub struct Aws {
    /// For receives, which have a time limit per call.
    receiver: aws_sdk_sqs::Client,
    sqs: aws_sdk_sqs::Client,
    objects: Objects,
    web: Web,
    locations: Locations,
}

/// The queues and buckets that this worker uses.
#[derive(Clone, Debug)]
pub struct Locations {
    pub queue_url: String,
    pub dlq_url: String,
    pub thumbnails_bucket: String,
    /// Where the worker's report goes.
    pub code_bucket: String,
    /// The account that must own both buckets.
    pub account: String,
    pub access: Access,
    /// Of the thumbnails.
    pub cache_control: Option<String>,
    pub storage_class: StorageClass,
    /// Whether to pay for requester-pays sources: only if `sources` lists the buckets, and not if messages may name any.
    pub requester_pays: bool,
    pub visibility_timeout_s: u32,
    /// The attribute `thumb-worker`.
    pub worker: String,
}

impl Aws {
    pub fn new(clients: &Clients, web: Web, locations: Locations) -> Self {
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
            objects: Objects::new(&clients.sdk, &locations),
            web,
            locations,
        }
    }
}

fn retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(ATTEMPTS).with_max_backoff(MAX_BACKOFF)
}

fn timeouts(attempt: Duration, total: Duration) -> TimeoutConfig {
    TimeoutConfig::builder().operation_attempt_timeout(attempt).operation_timeout(total).build()
}

/// Disables the shared configuration's time-outs explicitly: unset ones would be inherited from it.
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
                piece.map_err(|error| format!("the download was interrupted: {error}"))
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

impl Backend for Aws {
    type Body = AwsBody;

    async fn receive(&self, most: usize, wait: Duration) -> Result<Vec<Delivery>, CallError> {
        let action = "sqs:ReceiveMessage";
        let call = self
            .receiver
            .receive_message()
            .queue_url(&self.locations.queue_url)
            .max_number_of_messages(i32::try_from(most).unwrap_or(i32::MAX))
            .wait_time_seconds(i32::try_from(wait.as_secs()).unwrap_or(i32::MAX))
            .visibility_timeout(i32::try_from(self.locations.visibility_timeout_s).unwrap_or(i32::MAX))
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .message_attribute_names("All");
        let limit = wait + MIN_RECEIVE_MARGIN.max(wait / 2);
        let answer = timeout(limit, call.send()).await.map_err(|_| timed_out(action))?;
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
                .expect("it has an ID and a receipt handle")
        });
        let call = self.sqs.change_message_visibility_batch().queue_url(&self.locations.queue_url);
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
                .expect("it has an ID and a receipt handle")
        });
        let call = self.sqs.delete_message_batch().queue_url(&self.locations.queue_url);
        let answer = call.set_entries(Some(entries.collect())).send().await;
        Ok(answers(count, &answer.map_err(|error| CallError::new(action, error))?.failed))
    }

    async fn send_to_dlq(&self, dead_letters: Vec<DeadLetter>) -> Result<Vec<Answer>, CallError> {
        let action = "sqs:SendMessage";
        let count = dead_letters.len();
        let text = |value: &str| {
            MessageAttributeValue::builder().data_type("String").string_value(value).build().expect("it has a type")
        };
        let entries = dead_letters.into_iter().enumerate().map(|(index, dead_letter)| {
            SendMessageBatchRequestEntry::builder()
                .id(index.to_string())
                .message_body(&*dead_letter.body)
                .set_message_attributes(Some(dead_letter.attributes.into_iter().map(Attribute::into_sdk).collect()))
                .message_attributes(attributes::ERROR, text(&dead_letter.error))
                .message_attributes(attributes::STAGE, text(&dead_letter.stage))
                .message_attributes(attributes::WORKER, text(&self.locations.worker))
                .build()
                .expect("it has an ID and a body")
        });
        let call = self.sqs.send_message_batch().queue_url(&self.locations.dlq_url);
        let answer = call.set_entries(Some(entries.collect())).send().await;
        Ok(answers(count, &answer.map_err(|error| CallError::new(action, error))?.failed))
    }

    async fn put_report(&self, report: &WorkerReport) -> Result<(), CallError> {
        self.objects.put_report(&self.locations.code_bucket, report).await
    }

    async fn depth(&self) -> Result<Depth, CallError> {
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
            QueueAttributeName::ApproximateNumberOfMessagesDelayed,
        ];
        let call = self.sqs.get_queue_attributes().queue_url(&self.locations.queue_url);
        let answer = call.set_attribute_names(Some(names.to_vec())).send().await;
        let attributes = answer.map_err(|error| CallError::new("sqs:GetQueueAttributes", error))?.attributes;
        // A missing figure does not count as zero.
        let figure = |name| attributes.as_ref().and_then(|all| all.get(name)?.parse().ok()).unwrap_or(u64::MAX);
        let [visible, in_flight, delayed] = names.each_ref().map(figure);
        Ok(Depth { visible, in_flight, delayed })
    }

    async fn open(&self, source: &Source, unless: Option<&str>) -> Result<Found<AwsBody>, JobError> {
        match source {
            Source::Object { bucket, key } => {
                self.objects.open(bucket, key, unless).await.map(|object| found(object, AwsBody::S3))
            }
            Source::Url(url) => self.web.open(url, unless).await.map(|page| found(page, AwsBody::Web)),
        }
    }

    async fn etag(&self, bucket: &str, key: &str) -> Result<Option<String>, JobError> {
        self.objects.etag(bucket, key).await
    }

    async fn is_gone(&self, bucket: &str, key: &str) -> Result<bool, JobError> {
        self.objects.is_gone(bucket, key).await
    }

    async fn remove(&self, key: &str) -> Result<bool, JobError> {
        self.objects.remove(key).await
    }

    async fn provenance(&self, key: &str) -> Result<Option<Provenance>, JobError> {
        self.objects.provenance(key).await
    }

    async fn store(&self, upload: Upload) -> Result<(), JobError> {
        self.objects.store(upload).await
    }

    async fn manifest(&self, key: &str) -> Result<Option<(Bytes, String)>, JobError> {
        self.objects.manifest(key).await
    }

    async fn store_manifest(&self, key: &str, body: Bytes, replaces: Option<&str>) -> Result<bool, JobError> {
        self.objects.store_manifest(key, body, replaces).await
    }
}

fn timed_out(action: &'static str) -> CallError {
    CallError::judged(action, Kind::Unavailable, "no answer in time")
}

#[cfg(test)]
mod tests;
