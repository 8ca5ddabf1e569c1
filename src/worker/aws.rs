//! The real world: SQS for messages, S3 for photographs and thumbnails, and [`Web`] for `"url"` requests. Here every
//! call has its time limits, and SQS's answers become [`Answer`]s, entry by entry.

use std::collections::HashMap;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ObjectCannedAcl;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, MessageAttributeValue,
    MessageSystemAttributeName, QueueAttributeName, SendMessageBatchRequestEntry,
};
use bytes::{Bytes, BytesMut};
use tokio::time::timeout;

use super::attributes::{self, Attribute};
use super::outcome::Trouble;
use super::report::WorkerReport;
use super::room::Room;
use super::web::{Attempt, Web};
use super::world::{Delivery, Depth, Fetched, Letter, Photo, Stamp, World};
use crate::aws::{Answer, CallError, Clients, Kind, answers, s3_config};
use crate::config::Access;
use crate::request::Source;
use crate::thumbnail;

/// A receive may take this much longer than its wait before it is given up: at least the minimum, at most half of the
/// wait (30 s for the longest poll, of 20).
const MIN_RECEIVE_MARGIN: Duration = Duration::from_secs(5);
/// Any other call to SQS is a matter of milliseconds.
const SQS_ATTEMPT: Duration = Duration::from_secs(5);
const SQS_TOTAL: Duration = Duration::from_secs(20);
/// S3: until the first byte of an answer, and until the last byte of a thumbnail's upload.
const S3_ATTEMPT: Duration = Duration::from_secs(20);
const S3_TOTAL: Duration = Duration::from_secs(60);
/// Attempts at one call. What fails as often comes back to the queue and is tried again minutes later.
const ATTEMPTS: u32 = 5;
const MAX_BACKOFF: Duration = Duration::from_secs(4);
/// A worker's report: it is tried once more, then the next one says more.
const REPORT_ATTEMPTS: u32 = 2;
const REPORT_TOTAL: Duration = Duration::from_secs(10);
/// A photograph whose bytes take longer than this to arrive is read again from the start, and then again.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
const BODY_ATTEMPTS: u32 = 3;

/// The metadata of a thumbnail (`x-amz-meta-…`).
const META_PARAMETERS: &str = "thumb-parameters";
const META_SOURCE_ETAG: &str = "thumb-source-etag";

pub struct Aws {
    /// For receives, whose time limits come with each call.
    receiver: aws_sdk_sqs::Client,
    sqs: aws_sdk_sqs::Client,
    s3: aws_sdk_s3::Client,
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
    /// Whose account both buckets are in.
    pub account: String,
    pub access: Access,
    pub visibility_timeout_s: u32,
    pub max_source_bytes: usize,
    /// The attribute `thumb-worker`.
    pub worker: String,
}

impl Aws {
    pub fn new(clients: &Clients, web: Web, places: Places) -> Self {
        let no_stalls = StalledStreamProtectionConfig::disabled();
        let receiver = aws_sdk_sqs::config::Builder::from(&clients.sdk)
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().build())
            .stalled_stream_protection(no_stalls.clone());
        let sqs = aws_sdk_sqs::config::Builder::from(&clients.sdk)
            .retry_config(retries())
            .timeout_config(timeouts(SQS_ATTEMPT, SQS_TOTAL))
            .stalled_stream_protection(no_stalls);
        let s3 = s3_config(&clients.sdk).retry_config(retries()).timeout_config(timeouts(S3_ATTEMPT, S3_TOTAL));
        Self {
            receiver: aws_sdk_sqs::Client::from_conf(receiver.build()),
            sqs: aws_sdk_sqs::Client::from_conf(sqs.build()),
            s3: aws_sdk_s3::Client::from_conf(s3.build()),
            web,
            places,
        }
    }

    async fn object(&self, bucket: &str, key: &str, unless: Option<&str>, room: &Room) -> Result<Attempt, Trouble> {
        let mut call = self.s3.get_object().bucket(bucket).key(key);
        if let Some(etag) = unless {
            call = call.if_none_match(format!("\"{etag}\""));
        }
        let object = match call.send().await {
            Ok(object) => object,
            Err(error) if error.raw_response().is_some_and(|answer| answer.status().as_u16() == 304) => {
                return Ok(Attempt::Ended(Fetched::Unchanged));
            }
            Err(error) => return Err(Trouble::fetching(&CallError::new("s3:GetObject", error))),
        };
        let length = object.content_length().and_then(|length| u64::try_from(length).ok()).unwrap_or_default();
        let max = self.places.max_source_bytes;
        if length > max as u64 {
            let bytes = usize::try_from(length).unwrap_or(usize::MAX);
            return Err(thumbnail::Error::TooManyBytes { bytes, max }.into());
        }
        let ours = object.metadata().is_some_and(|metadata| metadata.contains_key(META_PARAMETERS));
        let etag = object.e_tag().map(|etag| etag.trim_matches('"').to_owned());
        let permit = room.photo(length).await;
        Ok(match read_body(object.body, length).await {
            Ok(bytes) => Attempt::Ended(Fetched::Photo(Photo { bytes, etag, ours, permit })),
            Err(why) => Attempt::BrokeOff(why),
        })
    }
}

fn retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(ATTEMPTS).with_max_backoff(MAX_BACKOFF)
}

fn timeouts(attempt: Duration, total: Duration) -> TimeoutConfig {
    TimeoutConfig::builder().operation_attempt_timeout(attempt).operation_timeout(total).build()
}

/// Reads exactly the bytes that were announced, and for which there is room; or says how they broke off.
async fn read_body(mut body: ByteStream, length: u64) -> Result<Bytes, String> {
    let mut bytes = BytesMut::with_capacity(usize::try_from(length).unwrap_or_default());
    let read = async {
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|error| format!("the photograph broke off: {error}"))?;
            if bytes.len() as u64 + chunk.len() as u64 > length {
                return Err("S3 sent more bytes than it announced".to_owned());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(())
    };
    timeout(BODY_TIMEOUT, read).await.map_err(|_| format!("the photograph did not arrive in {BODY_TIMEOUT:?}"))??;
    if (bytes.len() as u64) < length {
        return Err(format!("only {} of {length} bytes arrived", bytes.len()));
    }
    Ok(bytes.freeze())
}

impl World for Aws {
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
        let action = "s3:PutObject";
        let limits = aws_sdk_s3::config::Builder::new()
            .retry_config(RetryConfig::standard().with_max_attempts(REPORT_ATTEMPTS).with_max_backoff(MAX_BACKOFF));
        let call = self.s3.put_object().bucket(&self.places.code_bucket).key(report.key());
        let call = call
            .expected_bucket_owner(&self.places.account)
            .content_type("application/json")
            .body(ByteStream::from(report.to_json().into_bytes()))
            .customize()
            .config_override(limits)
            .send();
        let answer = timeout(REPORT_TOTAL, call).await.map_err(|_| late(action))?;
        answer.map(drop).map_err(|error| CallError::new(action, error))
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

    async fn fetch(&self, source: &Source, unless: Option<&str>, room: &Room) -> Result<Fetched, Trouble> {
        let mut attempt = 1;
        loop {
            let fetched = match source {
                Source::Object { bucket, key } => self.object(bucket, key, unless, room).await?,
                Source::Url(url) => self.web.fetch(url, unless, self.places.max_source_bytes, room).await?,
            };
            // The SDK retries until an answer begins; one that breaks off is ours to ask for again.
            match fetched {
                Attempt::Ended(fetched) => return Ok(fetched),
                Attempt::BrokeOff(why) if attempt == BODY_ATTEMPTS => return Err(Trouble::passing(why)),
                Attempt::BrokeOff(_) => {
                    tokio::time::sleep(Duration::from_millis(fastrand::u64(50..250)) * attempt).await;
                    attempt += 1;
                }
            }
        }
    }

    async fn stamp(&self, key: &str) -> Result<Option<Stamp>, Trouble> {
        let bucket = &self.places.thumbnails_bucket;
        match self.s3.head_object().bucket(bucket).key(key).send().await {
            Ok(head) => Ok(head.metadata().and_then(|metadata| {
                let parameters = metadata.get(META_PARAMETERS)?.clone();
                Some(Stamp { source_etag: metadata.get(META_SOURCE_ETAG).cloned(), parameters })
            })),
            Err(error) => match CallError::new("s3:GetObject", error) {
                // Without s3:ListBucket a missing key is 403, not 404 (API HeadObject): then it is simply made.
                error if matches!(error.kind, Kind::NotFound | Kind::Denied) => Ok(None),
                error => Err(Trouble::storing(&error, bucket)),
            },
        }
    }

    async fn store(&self, key: &str, jpeg: Bytes, stamp: &Stamp) -> Result<(), Trouble> {
        let Places { thumbnails_bucket, access, .. } = &self.places;
        let mut metadata = HashMap::from([(META_PARAMETERS.to_owned(), stamp.parameters.clone())]);
        metadata.extend(stamp.source_etag.iter().map(|etag| (META_SOURCE_ETAG.to_owned(), etag.clone())));
        let acl = (*access == Access::PublicRead).then_some(ObjectCannedAcl::PublicRead);
        self.s3
            .put_object()
            .bucket(thumbnails_bucket)
            .key(key)
            .content_type("image/jpeg")
            .set_acl(acl)
            .set_metadata(Some(metadata))
            .body(ByteStream::from(jpeg))
            .send()
            .await
            .map(drop)
            .map_err(|error| Trouble::storing(&CallError::new("s3:PutObject", error), thumbnails_bucket))
    }
}

fn late(action: &'static str) -> CallError {
    CallError::judged(action, Kind::Unavailable, "no answer in time")
}

#[cfg(test)]
mod tests;
