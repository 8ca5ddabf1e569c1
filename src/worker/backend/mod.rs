//! The backend: SQS, S3 and web servers behind one trait, so that the loop is tested on paused time against an in-memory
//! fake. [`aws`] is the real one.

pub mod aws;
pub mod web;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::attributes::Attribute;
use super::retry::JobError;
use crate::aws::{Answer, CallError};
use crate::request::Source;
use crate::worker_report::WorkerReport;

/// A message as SQS delivers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub body: Arc<str>,
    /// The attributes, as far as they are kept.
    pub attributes: Vec<Attribute>,
    /// The receipt handle, needed to delete the message or to change its visibility.
    pub receipt: String,
    /// ApproximateReceiveCount: 1 at the first receipt.
    pub receives: u32,
}

/// A message for the dead-letter queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    pub body: Arc<str>,
    /// The message's own attributes.
    pub attributes: Vec<Attribute>,
    /// The attribute `thumb-error`.
    pub error: String,
    /// The attribute `thumb-stage`.
    pub stage: String,
}

/// Approximate numbers of messages in a queue; they lag behind by up to a minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    pub visible: u64,
    /// Received and not yet visible again or deleted, by any worker; those that back off included.
    pub in_flight: u64,
    pub delayed: u64,
}

impl Depth {
    pub fn is_zero(self) -> bool {
        self == Self::default()
    }
}

/// A photograph that was found and has not been read yet.
#[derive(Debug)]
pub struct Opened<B> {
    /// In bytes; none if the server does not send it.
    pub length: Option<u64>,
    /// Without quotation marks; none if the server does not send it.
    pub etag: Option<String>,
    /// Whether it is a thumbnail that thumb stored.
    pub ours: bool,
    pub body: B,
}

#[derive(Debug)]
pub enum Found<B> {
    Photo(Opened<B>),
    /// Its ETag is still the given one.
    Unchanged,
}

/// A photograph's bytes as they arrive. Apart from connection buffers, nothing is in memory before it is asked for.
pub trait Body: Send {
    /// The next piece; none at the end.
    ///
    /// # Errors
    /// Why the transfer was interrupted.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, String>> + Send;
}

/// What a thumbnail was made from, and how; stored as its metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    pub source_etag: Option<String>,
    pub parameters: String,
}

/// The longest manifest that is read.
pub const MAX_MANIFEST_BYTES: usize = 1 << 20;

/// A thumbnail to be stored.
#[derive(Clone, Debug)]
pub struct Upload {
    pub key: String,
    pub body: Bytes,
    pub media_type: &'static str,
    pub provenance: Provenance,
    /// What a page may want to know of it, stored as its metadata: names and values.
    pub facts: Vec<(&'static str, String)>,
}

/// Everything a worker does outside its own process. Every call has its own time limit.
pub trait Backend: Send + Sync + 'static {
    type Body: Body;

    /// Up to `most` messages (1 to [`crate::aws::BATCH`]), waiting up to `wait` for the first.
    fn receive(&self, most: usize, wait: Duration) -> impl Future<Output = Result<Vec<Delivery>, CallError>> + Send;

    /// Sets when messages become visible again, by receipt handle, in seconds from now. One answer per entry.
    fn change_visibility(
        &self,
        changes: Vec<(String, u32)>,
    ) -> impl Future<Output = Result<Vec<Answer>, CallError>> + Send;

    fn delete(&self, receipts: Vec<String>) -> impl Future<Output = Result<Vec<Answer>, CallError>> + Send;

    fn send_to_dlq(&self, dead_letters: Vec<DeadLetter>)
    -> impl Future<Output = Result<Vec<Answer>, CallError>> + Send;

    /// Stores the worker's report in the code bucket, over its last one.
    fn put_report(&self, report: &WorkerReport) -> impl Future<Output = Result<(), CallError>> + Send;

    fn depth(&self) -> impl Future<Output = Result<Depth, CallError>> + Send;

    /// Opens a photograph, unless its ETag is `unless`.
    fn open(
        &self,
        source: &Source,
        unless: Option<&str>,
    ) -> impl Future<Output = Result<Found<Self::Body>, JobError>> + Send;

    /// The current ETag of an object in S3; none if it is gone, or if this worker has no permission to see it.
    fn etag(&self, bucket: &str, key: &str) -> impl Future<Output = Result<Option<String>, JobError>> + Send;

    /// Whether an object in S3 does not exist, or is covered by a delete marker. An object that this worker may not see is an
    /// error: it may be there.
    fn is_gone(&self, bucket: &str, key: &str) -> impl Future<Output = Result<bool, JobError>> + Send;

    /// Deletes a thumbnail or a manifest; false if there is none under the key that thumb has stored.
    fn remove(&self, key: &str) -> impl Future<Output = Result<bool, JobError>> + Send;

    /// The provenance of the thumbnail stored under a key, if there is one.
    fn provenance(&self, key: &str) -> impl Future<Output = Result<Option<Provenance>, JobError>> + Send;

    fn store(&self, upload: Upload) -> impl Future<Output = Result<(), JobError>> + Send;

    /// A stored manifest and its ETag, if there is one.
    fn manifest(&self, key: &str) -> impl Future<Output = Result<Option<(Bytes, String)>, JobError>> + Send;

    /// Stores a manifest over the one with the ETag `replaces`, or where there is none; false if that is no longer so.
    fn store_manifest(
        &self,
        key: &str,
        body: Bytes,
        replaces: Option<&str>,
    ) -> impl Future<Output = Result<bool, JobError>> + Send;
}
