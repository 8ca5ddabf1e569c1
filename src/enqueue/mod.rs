//! `thumb enqueue`: sends requests to the queue, in parallel batches. Sources are streamed: memory holds the batches under
//! way and nothing else, however many there are.

pub mod backfill;
mod checking;
mod group;
mod place;
mod sending;
mod sources;
pub mod wake;

use std::time::Instant;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde::Serialize;

use aws_config::retry::RetryConfig;

use crate::aws::{Answer, BATCH, CallError, Clients, MAX_BATCH_BYTES, answers};
use crate::error::{Failure, Result};
use crate::request::{Request, Source, Wanted};
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
pub use place::{Found, Place};
pub use sources::{Sources, is_photograph};

/// Batches sent in parallel. A standard queue has no limit of calls per second; more batches add connections and no speed.
const BATCHES_AT_ONCE: usize = 16;

/// The result of an enqueue.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    pub queued: u64,
    /// Each was reported as it failed.
    pub not_queued: u64,
    /// Keys under the prefix that are not photographs.
    pub skipped: u64,
    pub seconds: f64,
    /// Ctrl-C ended it early.
    pub interrupted: bool,
    /// What there was nothing of: a sentence, and what was probably meant.
    #[serde(skip)]
    pub nothing: Vec<(String, Option<String>)>,
}

/// Is told what happens as it happens.
pub trait Progress {
    /// These requests are on the queue.
    fn queued(&mut self, requests: &[Request]);
    fn not_queued(&mut self, name: &str, why: &str);
}

/// A request to be sent: its name for error messages, and its body.
#[derive(Clone, Debug)]
struct OutgoingMessage {
    name: String,
    body: String,
    /// The group of a fair queue.
    group: String,
    request: Request,
}

/// Sends a request for each source to the queue. Once `interrupted` is ready, what is under way is finished and nothing else is
/// sent.
///
/// # Errors
/// No more requests can be sent or found: the queue refuses them, or the bucket cannot be listed. Requests sent before stay
/// queued; the failure says how many.
pub async fn enqueue(
    clients: &Clients,
    queue_url: &str,
    wanted: &Wanted,
    sources: Sources,
    progress: &mut impl Progress,
    interrupted: impl Future<Output = ()>,
) -> Result<Summary> {
    let began = Instant::now();
    let mut summary = Summary::default();
    let mut found = sources.find(clients);
    let mut batches = FuturesUnordered::new();
    let mut next = Batch::default();
    let mut more = true;
    let mut interrupted = std::pin::pin!(interrupted);
    let send = |batch: Batch| {
        sending::send(batch.0, async |messages: &[OutgoingMessage]| send_once(clients, queue_url, messages).await)
    };
    while more || !batches.is_empty() {
        tokio::select! {
            biased;
            () = &mut interrupted, if !summary.interrupted => {
                summary.interrupted = true;
                more = false;
            }
            Some(sent) = batches.next() => note(sent, &mut summary, progress).map_err(|failure| so_far(failure, &summary))?,
            source = found.recv(), if more && batches.len() < BATCHES_AT_ONCE => match source {
                None => {
                    more = false;
                    if !next.0.is_empty() {
                        batches.push(send(std::mem::take(&mut next)));
                    }
                }
                Some(found) => {
                    let source = summary.note(found, progress).map_err(|failure| so_far(failure, &summary))?;
                    if let Some(full) = source.and_then(|source| next.add(OutgoingMessage::new(source, wanted))) {
                        batches.push(send(full));
                    }
                }
            },
            else => break,
        }
    }
    summary.seconds = (began.elapsed().as_secs_f64() * 1_000.0).round() / 1_000.0;
    Ok(summary)
}

/// Finds the requests as [`enqueue`] does, and shows them instead of sending them.
///
/// # Errors
/// A bucket cannot be listed, or `show` fails.
pub async fn preview(
    clients: &Clients,
    wanted: &Wanted,
    sources: Sources,
    progress: &mut impl Progress,
    mut show: impl FnMut(&Request) -> Result<()>,
) -> Result<Summary> {
    let mut summary = Summary::default();
    let mut found = sources.find(clients);
    while let Some(found) = found.recv().await {
        if let Some(source) = summary.note(found, progress)? {
            show(&Request { source, wanted: wanted.clone() })?;
            summary.queued += 1;
        }
    }
    Ok(summary)
}

impl Summary {
    /// Counts what was found; returns it if it is to be sent.
    fn note(&mut self, found: Result<Found>, progress: &mut impl Progress) -> Result<Option<Source>> {
        match found? {
            Found::Source(source) => return Ok(Some(source)),
            Found::Skipped => self.skipped += 1,
            Found::Bad { name, why } => {
                self.not_queued += 1;
                progress.not_queued(&name, &why);
            }
            Found::Nothing { what, hint } => self.nothing.push((what, hint)),
        }
        Ok(None)
    }
}

impl OutgoingMessage {
    fn new(source: Source, wanted: &Wanted) -> Self {
        let (name, group) = (source.to_string(), group::of(&source));
        let request = Request { source, wanted: wanted.clone() };
        Self { name, group, body: request.to_json(), request }
    }
}

fn note(sent: Result<sending::Sent, CallError>, summary: &mut Summary, progress: &mut impl Progress) -> Result<()> {
    let sent = sent.map_err(|error| error.failure("cannot send requests to the queue"))?;
    let mut queued = Vec::new();
    for (message, result) in sent {
        match result {
            Ok(()) => queued.push(message.request),
            Err(why) => {
                summary.not_queued += 1;
                progress.not_queued(&message.name, &why);
            }
        }
    }
    summary.queued += queued.len() as u64;
    progress.queued(&queued);
    Ok(())
}

fn so_far(failure: Failure, summary: &Summary) -> Failure {
    let queued = match summary.queued {
        0 => "nothing is known to have been queued".to_owned(),
        1 => "at least one request was queued before that".to_owned(),
        many => format!("at least {many} requests were queued before that"),
    };
    failure.hint(format!("{queued}; it is safe to run the command again: thumbnails that are made twice are the same"))
}

/// The messages of one call.
#[derive(Default)]
struct Batch(Vec<OutgoingMessage>);

impl Batch {
    /// Adds a message; returns a full batch, with or without this message.
    fn add(&mut self, message: OutgoingMessage) -> Option<Self> {
        let bytes: usize = self.0.iter().map(|message| message.body.len()).sum();
        if bytes + message.body.len() > MAX_BATCH_BYTES {
            return Some(std::mem::replace(self, Self(vec![message])));
        }
        self.0.push(message);
        (self.0.len() == BATCH).then(|| std::mem::take(self))
    }
}

async fn send_once(clients: &Clients, queue_url: &str, messages: &[OutgoingMessage]) -> Result<Vec<Answer>, CallError> {
    let entries = messages.iter().enumerate().map(|(index, message)| {
        SendMessageBatchRequestEntry::builder()
            .id(index.to_string())
            .message_body(&message.body)
            .message_group_id(&message.group)
            .build()
            .expect("it has an ID and a body")
    });
    let call = clients.sqs.send_message_batch().queue_url(queue_url).set_entries(Some(entries.collect()));
    // `sending` retries; the SDK's own retries would multiply with those.
    let once = aws_sdk_sqs::config::Builder::new().retry_config(RetryConfig::disabled());
    let answer = call
        .customize()
        .config_override(once)
        .send()
        .await
        .map_err(|error| CallError::new("sqs:SendMessage", error))?;
    Ok(answers(messages.len(), &answer.failed))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use aws_config::{BehaviorVersion, Region};
    use aws_credential_types::Credentials;
    use aws_smithy_runtime_api::client::http::{
        HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
    };
    use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;

    use super::*;

    pub fn message(bytes: usize) -> OutgoingMessage {
        let source = Source::object("photos", "a.jpg").unwrap();
        let request = Request { source, wanted: Wanted::default() };
        OutgoingMessage { name: String::new(), body: "x".repeat(bytes), group: "g".into(), request }
    }

    /// SQS that is out of order.
    #[derive(Clone, Debug, Default)]
    struct Outage(Arc<AtomicUsize>);

    impl HttpConnector for Outage {
        fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
            self.0.fetch_add(1, Ordering::Relaxed);
            let status = StatusCode::try_from(503).expect("a status");
            HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::empty())))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_made_as_often_as_we_say_and_not_as_often_again_as_the_sdk_says() {
        let outage = Outage::default();
        let connector = SharedHttpConnector::new(outage.clone());
        let sdk = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .region(Region::new("us-east-1"))
            .endpoint_url("http://localhost")
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .retry_config(RetryConfig::standard().with_max_attempts(10))
            .load()
            .await;
        let clients = Clients::from_sdk(sdk).unwrap();
        let began = tokio::time::Instant::now();
        let sent = sending::send(vec![message(1)], async |messages: &[OutgoingMessage]| {
            send_once(&clients, "http://localhost/1/cats", messages).await
        });
        assert!(sent.await.is_err());
        assert_eq!(outage.0.load(Ordering::Relaxed), 8);
        assert!(began.elapsed() < std::time::Duration::from_secs(25), "{:?}", began.elapsed());
    }

    #[test]
    fn a_batch_is_ten_messages_or_a_mebibyte() {
        let mut batch = Batch::default();
        let full: Vec<usize> = (0..25).filter_map(|_| batch.add(message(100))).map(|full| full.0.len()).collect();
        assert_eq!((full, batch.0.len()), (vec![10, 10], 5));

        let mut batch = Batch::default();
        assert!(batch.add(message(MAX_BATCH_BYTES)).is_none());
        assert_eq!(batch.add(message(1)).map(|full| full.0.len()), Some(1));
        assert_eq!(batch.0.len(), 1);
    }
}
