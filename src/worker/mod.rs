//! `thumb work`: messages off the queue, photographs in, thumbnails out. docs/worker.md says what it promises.
//!
//! [`runner`] is the loop, and owns everything; [`job`] is one message's way, [`fetch`] its beginning; [`held`], [`outbox`], [`polling`],
//! [`outcome`], [`room`] and [`numbers`] are the decisions, without I/O and without a clock; [`world`] is the edge,
//! with [`aws`] and [`web`] behind it; [`event`] is what is said and how, [`metrics`] the same for Prometheus.

mod aws;
mod calls;
mod event;
mod fetch;
mod held;
mod job;
mod metrics;
mod numbers;
mod outbox;
mod outcome;
mod polling;
pub mod report;
mod room;
mod runner;
mod stops;
#[cfg(test)]
mod tests;
mod web;
mod world;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::aws::{CallError, Clients, Kind, account_number, first_call};
use crate::config::{Config, Sources};
use crate::failure::{Failure, Result};
use crate::thumbnail::{self, Options};
use aws::{Aws, Places};
use event::{Event, Reporter};
use job::Workshop;
use metrics::Metrics;
use room::Room;
use runner::{Broken, Runner, Settings};
use web::Web;

/// Messages in work for each CPU, where no concurrency is given: the way to S3 and back takes several times as long as
/// the thumbnail.
const MESSAGES_PER_CPU: usize = 8;
const MAX_DEFAULT_CONCURRENCY: usize = 64;
const NUMBERS_EVERY: Duration = Duration::from_secs(30);

/// What the command line says beside thumb.toml.
#[derive(Clone, Copy, Debug, Default)]
pub struct Work {
    pub drain: bool,
    pub json: bool,
    /// Where to serve metrics.
    pub metrics: Option<SocketAddr>,
}

/// Works until it is told to stop, or until the queue is empty.
///
/// # Errors
/// The queue or the bucket is not there, or SQS refuses to give messages.
pub async fn work(config: &Config, clients: &Clients, work: Work) -> Result<()> {
    let stops = stops::listen().map_err(|error| Failure::new("cannot listen to signals").caused_by(&error))?;
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let concurrency = match config.worker.concurrency {
        Some(concurrency) => concurrency as usize,
        None => (cpus * MESSAGES_PER_CPU).min(MAX_DEFAULT_CONCURRENCY),
    };
    let room = Room::new(config.worker.max_memory_bytes.unwrap_or_else(room::default_ceiling_bytes), concurrency);
    let limits = room.limits(config.limits());
    let account = account_number(config.account.as_deref(), clients).await?;
    let thumbnails_bucket = config.thumbnails_bucket(&account);
    let places = Places {
        queue_url: queue_url(clients, &config.queue.name).await?,
        dlq_url: queue_url(clients, &config.queue.dlq).await?,
        thumbnails_bucket: thumbnails_bucket.clone(),
        account: account.clone(),
        access: config.buckets.access,
        requester_pays: config.buckets.sources != Sources::Any,
        visibility_timeout_s: config.queue.visibility_timeout_s,
        worker: worker_name(),
    };
    check_bucket(clients, &thumbnails_bucket, &account).await?;

    let metrics = Metrics::default();
    if let Some(address) = work.metrics {
        metrics.serve(address).await?;
    }
    let reporter = Reporter { json: work.json };
    let started = Event::Started {
        queue: config.queue.name.clone(),
        thumbnails: thumbnails_bucket.clone(),
        concurrency,
        cpus,
        max_memory_bytes: room.ceiling_bytes(),
        max_source_bytes: limits.max_source_bytes,
        max_source_pixels: limits.max_source_pixels,
    };
    let report = Box::new(move |event: &Event| reporter.report(event));
    report(&started).map_err(|error| Failure::stdout(&error))?;
    let shop = Workshop {
        world: Arc::new(Aws::new(clients, Web::new(config.worker.url_sources)?, places)),
        room,
        cpus: Arc::new(Semaphore::new(cpus)),
        engine: thumbnail::thumbnails,
        options: Options { limits, truncated: config.worker.truncated },
        thumbnail: config.thumbnail.clone(),
        thumbnails_bucket,
        sources: config.buckets.sources.clone(),
        skip_existing: config.worker.skip_existing,
    };
    let settings = Settings {
        concurrency,
        visibility: Duration::from_secs(config.queue.visibility_timeout_s.into()),
        max_receives: config.queue.max_receives,
        grace_s: config.worker.grace_s,
        drain: work.drain,
        numbers_every: NUMBERS_EVERY,
    };
    Runner::new(Arc::new(shop), settings, report, metrics, stops).run().await.map_err(|broken| match broken {
        Broken::Report(error) => Failure::stdout(&error),
        Broken::Receive(error) => {
            error.failure(format!("cannot receive messages from the queue {}", config.queue.name))
        }
    })
}

/// A queue's URL, by its name.
///
/// # Errors
/// There is none, or AWS does not say.
pub async fn queue_url(clients: &Clients, name: &str) -> Result<String> {
    let retries = aws_sdk_sqs::config::Builder::new().retry_config(first_call());
    let answer = clients.sqs.get_queue_url().queue_name(name).customize().config_override(retries).send().await;
    match answer.map_err(|error| CallError::new("sqs:GetQueueUrl", error)) {
        Ok(answer) => {
            answer.queue_url.ok_or_else(|| Failure::new(format!("SQS does not say where the queue {name} is")))
        }
        Err(error) if error.kind == Kind::NotFound => {
            Err(Failure::new(format!("there is no queue {name} in {}", clients.region))
                .hint("`thumb apply` makes it; `queue` in thumb.toml names it"))
        }
        Err(error) => Err(error.failure(format!("cannot find the queue {name}"))),
    }
}

/// Whether the thumbnails bucket is there, and the account's: thumbnails go to nobody else who has taken its name.
async fn check_bucket(clients: &Clients, bucket: &str, account: &str) -> Result<()> {
    let head = || clients.s3.head_bucket().bucket(bucket);
    let answer = head().expected_bucket_owner(account).send().await;
    match answer.map_err(|error| CallError::new("s3:ListBucket", error)) {
        Ok(_) => Ok(()),
        Err(error) if error.kind == Kind::NotFound => {
            Err(Failure::new(format!("there is no bucket {bucket} for the thumbnails")).hint("`thumb apply` makes it"))
        }
        // Somebody else's, if it may be seen when nobody says whose it must be.
        Err(error) if error.kind == Kind::Denied && head().send().await.is_ok() => Err(Failure::new(format!(
            "the bucket {bucket} does not belong to the account {account}: thumbnails would go to somebody else"
        ))
        .hint("name another one (`thumbnails` in [buckets] of thumb.toml), or use the credentials of its account")),
        // It may be written to without being listed; if not, the first message says so.
        Err(error) if error.kind == Kind::Denied => Ok(()),
        Err(error) => Err(error.failure(format!("cannot find the bucket {bucket}"))),
    }
}

/// The host's name and the process's ID: who rejected a message.
fn worker_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    format!("{}/{}", if host.is_empty() { "unknown" } else { host }, std::process::id())
}
