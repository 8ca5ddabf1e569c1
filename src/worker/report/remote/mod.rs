//! What goes elsewhere while the worker works: its lines ([`log_lines`]) and, among them, its numbers ([`emf`]) to CloudWatch, and what
//! became of each message ([`results`]) to SNS. The queues and the sending ([`outbox`]) never make the worker wait.

mod emf;
mod log_lines;
mod outbox;
mod results;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Report;
use super::event::Event;
use super::output::Output;
use super::stats::Totals;
use crate::aws::Clients;
use crate::text::printable;
use crate::worker::job::Finished;
use log_lines::{AwsStream, Line, Stream, now_ms};
use outbox::{Outbox, Sending};
use results::{Published, Topic};

/// How often numbers are sent while there is work.
const NUMBERS_EVERY: Duration = Duration::from_secs(60);

/// The worker's output, with what is configured beside it.
pub struct Reporter {
    output: Box<dyn Report>,
    lines: Option<Lines>,
    results: Option<Results>,
}

struct Results {
    outbox: Outbox<Published>,
    stack: String,
    bucket: String,
}

/// What has to be finished at the worker's end.
#[derive(Default)]
pub struct Rest {
    lines: Option<Lines>,
    sending: Vec<Sending>,
}

/// The lines for CloudWatch Logs. Clones share the queue and, through it, the stream.
#[derive(Clone)]
struct Lines {
    outbox: Outbox<Line>,
    stack: String,
    minute: Arc<Mutex<Totals>>,
}

/// Where a worker's lines and results go.
pub struct Targets<I> {
    pub stack: String,
    pub log_group: Option<String>,
    /// Resolves to the name of the log stream: the instance's ID.
    pub stream: I,
    /// The topic's ARN.
    pub topic: Option<String>,
    pub thumbnails_bucket: String,
}

impl Reporter {
    pub fn new<I>(output: Output, clients: &Clients, targets: Targets<I>) -> (Self, Rest)
    where
        I: Future<Output = String> + Send + 'static,
    {
        let mut rest = Rest::default();
        let Targets { stack, log_group, stream, topic, thumbnails_bucket: bucket } = targets;
        let results = topic.map(|arn| {
            let topic = Topic { clients: clients.clone(), arn };
            let failed = not_sent(output.clone(), "results to the SNS topic");
            let (outbox, sending) = Outbox::start(async { topic }, failed);
            rest.sending.push(sending);
            Results { outbox, stack: stack.clone(), bucket }
        });
        let lines = log_group.map(|group| {
            let clients = clients.clone();
            let stream = async move { Stream::new(AwsStream { clients, group, name: stream.await }) };
            let (outbox, sending) = Outbox::start(stream, not_sent(output.clone(), "log lines to CloudWatch Logs"));
            rest.sending.push(sending);
            let minute = Arc::new(Mutex::new(Totals::new(Instant::now())));
            Lines { outbox, stack, minute }
        });
        rest.lines = lines.clone();
        (Self { output: Box::new(output), lines, results }, rest)
    }
}

/// Tells the output, and not what cannot be sent anyway.
fn not_sent(mut output: Output, what: &'static str) -> impl FnMut(String) + Send + 'static {
    move |why| {
        // The output's own failure is noticed by the worker.
        let _ = output.report(&Event::NotSent { what, why });
    }
}

impl Report for Reporter {
    fn report(&mut self, event: &Event) -> io::Result<()> {
        if let Some(lines) = &self.lines {
            lines.add(event);
        }
        self.output.report(event)
    }

    fn is_behind(&mut self) -> io::Result<bool> {
        self.output.is_behind()
    }

    fn finished(&mut self, finished: &Finished) {
        if let Some(lines) = &self.lines {
            lines.totals().add(finished);
        }
        if let Some(Results { outbox, stack, bucket }) = &self.results {
            results::event(finished, stack, bucket).into_iter().for_each(|event| outbox.push(event));
        }
    }
}

impl Lines {
    fn add(&self, event: &Event) {
        self.send_numbers(NUMBERS_EVERY);
        // Of no use in a log that is paid for.
        if !event.is_silent() {
            self.outbox.push(Line::now(printable(&event.text()).into_owned()));
        }
    }

    fn totals(&self) -> MutexGuard<'_, Totals> {
        self.minute.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The numbers since the last time, if that was so long ago and there are any.
    fn send_numbers(&self, after: Duration) {
        let now = Instant::now();
        let mut totals = self.totals();
        if now.duration_since(totals.began()) < after {
            return;
        }
        let minute = totals.minute(emf::MAX_VALUES);
        *totals = Totals::new(now);
        if let Some(minute) = minute {
            let at_ms = now_ms();
            let text = emf::document(&minute, &self.stack, at_ms.unsigned_abs());
            self.outbox.push(Line { at_ms, text });
        }
    }
}

impl Rest {
    /// Sends what is left, `last` as the last line; waits a bounded time.
    pub async fn finish(self, last: Option<&str>) {
        if let Some(lines) = &self.lines {
            lines.send_numbers(Duration::ZERO);
            last.into_iter().for_each(|last| lines.outbox.push(Line::now(printable(last).into_owned())));
        }
        futures_util::future::join_all(self.sending.into_iter().map(Sending::finish)).await;
    }
}

#[cfg(test)]
pub mod tests;
