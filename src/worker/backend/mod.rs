//! The edge between the worker and the world: SQS, S3 and other people's web servers behind one trait, so that the
//! loop is tested on paused time against a queue and a store of a hundred lines. [`super::backend::aws`] is the real one.

pub mod aws;
pub mod web;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::attributes::Attribute;
use super::retry::Trouble;
use crate::aws::{Answer, CallError};
use crate::request::Source;
use crate::worker_report::WorkerReport;

/// A message as SQS hands it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub body: Arc<str>,
    /// As many as can be kept.
    pub attributes: Vec<Attribute>,
    /// The receipt handle: the right to delete this receipt of the message, or to change its visibility.
    pub receipt: String,
    /// ApproximateReceiveCount: 1 at the first receipt.
    pub receives: u32,
}

/// A message for the dead-letter queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    pub body: Arc<str>,
    /// Those that the message came with.
    pub attributes: Vec<Attribute>,
    /// The attribute `thumb-error`.
    pub error: String,
    /// The attribute `thumb-stage`.
    pub stage: String,
}

/// Roughly how many messages a queue holds; the figures lag behind by up to a minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    pub visible: u64,
    /// Received and not deleted, by anybody; backing off ones too.
    pub in_flight: u64,
    pub delayed: u64,
}

impl Depth {
    pub fn is_zero(self) -> bool {
        self == Self::default()
    }
}

/// A photograph that was found and is not read yet.
#[derive(Debug)]
pub struct Opened<B> {
    /// In bytes; a web server need not say it.
    pub length: Option<u64>,
    /// Without quotation marks; a web server may send none.
    pub etag: Option<String>,
    /// Whether it is a thumbnail that thumb stored.
    pub ours: bool,
    pub body: B,
}

#[derive(Debug)]
pub enum Found<B> {
    Photo(Opened<B>),
    /// It is still the one whose ETag was named.
    Unchanged,
}

/// A photograph's bytes as they arrive. Nothing of them is in memory before it is asked for, but what connections buffer.
pub trait Body: Send {
    /// The next piece; none at the end.
    ///
    /// # Errors
    /// It broke off; says how.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, String>> + Send;
}

/// What a thumbnail was made from and how; stored with it as metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub source_etag: Option<String>,
    pub parameters: String,
}

/// Everything a worker does outside its own memory. Every call answers within a time of its own.
pub trait World: Send + Sync + 'static {
    type Body: Body;

    /// Up to `most` messages (1 to [`BATCH`]), waiting up to `wait` for the first.
    fn receive(&self, most: usize, wait: Duration) -> impl Future<Output = Result<Vec<Delivery>, CallError>> + Send;

    /// Sets when messages become visible again, by receipt handle and in seconds from now. One answer an entry.
    fn change_visibility(
        &self,
        changes: Vec<(String, u32)>,
    ) -> impl Future<Output = Result<Vec<Answer>, CallError>> + Send;

    fn delete(&self, receipts: Vec<String>) -> impl Future<Output = Result<Vec<Answer>, CallError>> + Send;

    fn send_to_dlq(&self, letters: Vec<Letter>) -> impl Future<Output = Result<Vec<Answer>, CallError>> + Send;

    /// Puts the worker's report into the code bucket, in place of its last one.
    fn put_report(&self, report: &WorkerReport) -> impl Future<Output = Result<(), CallError>> + Send;

    fn depth(&self) -> impl Future<Output = Result<Depth, CallError>> + Send;

    /// Finds a photograph. With `unless`, one whose ETag is that one is not opened.
    fn open(
        &self,
        source: &Source,
        unless: Option<&str>,
    ) -> impl Future<Output = Result<Found<Self::Body>, Trouble>> + Send;

    /// The ETag that an object of S3 has now; none if it has gone, or if S3 does not tell this worker.
    fn etag(&self, bucket: &str, key: &str) -> impl Future<Output = Result<Option<String>, Trouble>> + Send;

    /// The stamp of the thumbnail stored under a key, if there is one.
    fn stamp(&self, key: &str) -> impl Future<Output = Result<Option<Stamp>, Trouble>> + Send;

    fn store(&self, key: &str, jpeg: Bytes, stamp: &Stamp) -> impl Future<Output = Result<(), Trouble>> + Send;
}
