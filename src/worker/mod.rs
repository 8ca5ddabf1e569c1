//! `thumb work`: receives messages, fetches photographs, makes and stores thumbnails. docs/internals/worker.md describes the
//! guarantees.
//!
//! [`runner`] is the event loop and owns all state; [`job`] processes one message. [`in_flight`], [`batcher`], [`polling`],
//! [`breaker`], [`retry`] and [`attributes`] are decisions without I/O and without a clock; [`memory`] is the memory budget.
//! [`backend`] is the trait in front of SQS, S3 and the web. [`report`] is what the worker reports: events, statistics,
//! health, and its reports to `thumb apply`. [`shutdown`] listens for what stops it, [`identity`] finds out who it is.

pub mod attributes;
mod backend;
mod batcher;
mod breaker;
mod identity;
mod in_flight;
mod job;
mod memory;
mod polling;
mod report;
mod retry;
mod runner;
mod shutdown;
#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::Semaphore;

use crate::aws::{CallError, Clients, Kind, account_number, first_call, first_failure};
use crate::config::{Config, Sources};
use crate::error::{Failure, Result};
use crate::thumbnail;
use backend::aws::{Aws, Locations};
use backend::web::Web;
use job::JobContext;
use memory::MemoryBudget;
use report::Report;
use report::event::Event;
use report::metrics::Metrics;
use report::output::{Form, Output};
use report::remote::{Reporter, Targets};
use report::reporting::Identity;
use report::status::{Progress, StatusLine};
use report::systemd::Notifier;
pub use runner::epoch_s;
use runner::{FatalError, Runner, Settings};

/// Messages processed in parallel per CPU, where no concurrency is given: the round trips to S3 take several times as long
/// as making the thumbnail.
const MESSAGES_PER_CPU: usize = 8;
const MAX_DEFAULT_CONCURRENCY: usize = 64;
const NUMBERS_EVERY: Duration = Duration::from_secs(30);

/// The options of the command line.
#[derive(Clone, Debug, Default)]
pub struct Work {
    pub drain: bool,
    pub json: bool,
    /// Say more of each thumbnail; on a terminal, say something at all.
    pub verbose: bool,
    /// Where to serve metrics.
    pub metrics: Option<SocketAddr>,
    /// Identifies this configuration, see [`crate::worker_report::config_digest`].
    pub config_digest: String,
}

/// What is looked up before the first message is received.
struct Found {
    account: String,
    queue_url: String,
    dlq_url: String,
}

/// Works until it is told to stop, or until the queue is empty.
///
/// # Errors
/// The queue or the bucket does not exist, or SQS keeps refusing ReceiveMessage.
pub async fn work(config: &Config, clients: &Clients, work: Work) -> Result<()> {
    let mut stops =
        shutdown::listen(&clients.sdk).map_err(|error| Failure::new("cannot listen to signals").caused_by(&error))?;
    let notifier = Notifier::from_environment()
        .map_err(|error| Failure::new("cannot notify systemd: NOTIFY_SOCKET cannot be used").caused_by(&error))?;
    let started_s = runner::epoch_s();
    let found = tokio::select! {
        biased;
        stop = stops.recv() => {
            notifier.stopping();
            anstream::eprintln!("stopped before it started ({})", stop.unwrap_or_default());
            return Ok(());
        }
        found = find(config, clients) => found?,
    };
    let Found { account, queue_url, dlq_url } = found;
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let concurrency = match config.worker.concurrency {
        Some(concurrency) => concurrency as usize,
        None => (cpus * MESSAGES_PER_CPU).min(MAX_DEFAULT_CONCURRENCY),
    };
    let memory =
        MemoryBudget::new(config.worker.max_memory_bytes.unwrap_or_else(memory::default_ceiling_bytes), concurrency);
    let limits = memory.limits(config.limits());
    let thumbnails_bucket = config.thumbnails_bucket(&account);
    let locations = Locations {
        queue_url,
        dlq_url,
        thumbnails_bucket: thumbnails_bucket.clone(),
        code_bucket: config.code_bucket(&account),
        account,
        access: config.buckets.access,
        cache_control: config.thumbnail.cache_control.clone(),
        storage_class: config.thumbnail.storage_class,
        requester_pays: config.buckets.sources != Sources::Any,
        visibility_timeout_s: config.queue.visibility_timeout_s,
        worker: worker_name(),
    };

    let metrics = Metrics::default();
    if let Some(address) = work.metrics {
        metrics.serve(address).await?;
    }
    let no_thread = |error: io::Error| Failure::new("cannot start a thread").caused_by(&error);
    let (progress, status, form) = screen(&work).map_err(no_thread)?;
    let output = Output::new(form, status.as_ref(), &metrics.dropped_lines).map_err(no_thread)?;
    let sdk = clients.sdk.clone();
    let id = async move { identity::worker_id(&sdk).await }.boxed().shared();
    let targets = Targets {
        stack: config.name.clone(),
        log_group: config.worker.log_group.clone(),
        stream: id.clone(),
        topic: config.worker.topic.clone(),
        thumbnails_bucket: thumbnails_bucket.clone(),
    };
    let (mut reporter, rest) = Reporter::new(output.clone(), clients, targets);
    let started = Event::Started {
        queue: config.queue.name.clone(),
        thumbnails: thumbnails_bucket.clone(),
        concurrency,
        cpus,
        max_memory_bytes: memory.ceiling_bytes(),
        max_source_bytes: limits.max_source_bytes,
        max_source_pixels: limits.max_source_pixels,
    };
    reporter.report(&started).map_err(|error| Failure::stdout(&error))?;
    let ceiling_bytes = memory.ceiling_bytes();
    let identity = async move {
        let (id, binary) = tokio::join!(id, identity::binary());
        Identity { id, binary, config: work.config_digest, started_s, ceiling_bytes }
    };
    let context = JobContext {
        backend: Arc::new(Aws::new(clients, Web::new(config.worker.url_sources)?, locations)),
        memory,
        cpus: Arc::new(Semaphore::new(cpus)),
        engine: thumbnail::thumbnails,
        options: config.options(limits),
        thumbnail: config.thumbnail.clone(),
        thumbnails_bucket,
        sources: config.buckets.sources.clone(),
        skip_existing: config.worker.skip_existing,
        triggers: config.triggers.clone(),
    };
    let settings = Settings {
        concurrency,
        visibility: Duration::from_secs(config.queue.visibility_timeout_s.into()),
        max_receives: config.queue.max_receives,
        grace_s: config.worker.grace_s,
        drain: work.drain,
        numbers_every: NUMBERS_EVERY,
    };
    let runner = Runner::new(Arc::new(context), settings, Box::new(reporter), metrics, stops);
    let ended = runner.reporting(identity).notifying(notifier).showing(progress).run().await;
    let ended = ended.map_err(|error| match error {
        FatalError::Report(error) => Failure::stdout(&error),
        FatalError::Receive(error) => {
            error.failure(format!("cannot receive messages from the queue {}", config.queue.name))
        }
    });
    rest.finish(ended.as_ref().err().map(|failure| failure.to_string()).as_deref()).await;
    let flushed = output.finish();
    status.into_iter().for_each(StatusLine::clear);
    ended.and_then(|()| flushed.map_err(|error| Failure::stdout(&error)))
}

/// How events are shown: on a terminal by a status line, and lines above it.
fn screen(work: &Work) -> io::Result<(Option<Progress>, Option<StatusLine>, Form)> {
    let can_redraw = std::env::var_os("TERM").is_some_and(|term| term != "dumb");
    if work.json || !can_redraw || !io::stderr().is_terminal() {
        let form = if work.json { Form::Json } else { Form::Lines { details: work.verbose } };
        return Ok((None, None, form));
    }
    let progress = Progress::default();
    let brief = io::stdout().is_terminal() && !work.verbose;
    let form = if brief { Form::Brief } else { Form::Lines { details: work.verbose } };
    Ok((Some(progress.clone()), Some(StatusLine::draw(progress)?), form))
}

/// Finds the queues and the bucket.
async fn find(config: &Config, clients: &Clients) -> Result<Found> {
    let account = account_number(config.account.as_deref(), clients).await?;
    let (queue, dlq) = (&config.queue.name, &config.queue.dlq);
    let (queue_url, dlq_url) = (queue_url(clients, queue).await?, queue_url(clients, dlq).await?);
    check_bucket(clients, &config.thumbnails_bucket(&account), &account).await?;
    Ok(Found { account, queue_url, dlq_url })
}

/// A queue's URL, by its name.
///
/// # Errors
/// It does not exist, or AWS does not answer.
pub async fn queue_url(clients: &Clients, name: &str) -> Result<String> {
    let retries = aws_sdk_sqs::config::Builder::new().retry_config(first_call());
    let answer = clients.sqs.get_queue_url().queue_name(name).customize().config_override(retries).send().await;
    match answer.map_err(|error| CallError::new("sqs:GetQueueUrl", error)) {
        Ok(answer) => answer.queue_url.ok_or_else(|| Failure::new(format!("SQS returned no URL for the queue {name}"))),
        Err(error) if error.kind == Kind::NotFound => {
            Err(Failure::new(format!("queue \"{name}\" does not exist in {}", clients.region))
                .hint("run `thumb apply` to create it, or set its name in [queue] of thumb.toml"))
        }
        Err(error) => {
            let what = format!("cannot find the queue {name}");
            Err(first_failure(&error, &what, &clients.region, clients.endpoint.as_deref()))
        }
    }
}

/// Checks that the thumbnails bucket exists and belongs to the account, so that no thumbnails go to a stranger's bucket.
async fn check_bucket(clients: &Clients, bucket: &str, account: &str) -> Result<()> {
    let head = || clients.s3.head_bucket().bucket(bucket);
    let answer = head().expected_bucket_owner(account).send().await;
    match answer.map_err(|error| CallError::new("s3:ListBucket", error)) {
        Ok(_) => Ok(()),
        Err(error) if error.kind == Kind::NotFound => {
            Err(Failure::new(format!("the thumbnails bucket {bucket} does not exist"))
                .hint("run `thumb apply` to create it"))
        }
        // It belongs to another account, if it is visible without an expected owner.
        Err(error) if error.kind == Kind::Denied && head().send().await.is_ok() => Err(Failure::new(format!(
            "the bucket {bucket} does not belong to the account {account}; its owner would receive the thumbnails"
        ))
        .hint("set another name (`thumbnails` in [buckets] of thumb.toml), or use credentials of its account")),
        // Writing may be allowed where listing is not; if it is not, the first message reports it.
        Err(error) if error.kind == Kind::Denied => Ok(()),
        Err(error) => Err(error.failure(format!("cannot find the bucket {bucket}"))),
    }
}

/// The host's name and the process's ID, which identify the worker in the dead-letter queue.
fn worker_name() -> String {
    format!("{}/{}", identity::host().as_deref().unwrap_or("unknown"), std::process::id())
}
