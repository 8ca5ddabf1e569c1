//! What the worker reports: [`event`]s in its log ([`output`]), above a terminal's [`status`] line, [`Stats`] in the log and to
//! Prometheus ([`metrics`]), its [`health`] to probes and to [`systemd`], reports to `thumb apply` ([`reporting`]), and lines,
//! numbers and events to CloudWatch ([`remote`]).

pub mod event;
pub mod health;
pub mod metrics;
pub mod output;
pub mod remote;
pub mod reporting;
pub mod stats;
pub mod status;
pub mod systemd;

use std::io;

use tokio::time::Instant;

use super::job::Finished;
use event::Event;
use metrics::Metrics;
use stats::{Numbers, Totals};

/// Where events go. A failed write is fatal: a worker must not run unobserved. Neither call may wait for a reader.
pub trait Report: Send {
    /// # Errors
    /// The output is closed or full.
    fn report(&mut self, event: &Event) -> io::Result<()>;

    /// Whether the reader needs every event and has fallen so far behind that no new messages should be received.
    ///
    /// # Errors
    /// As [`Report::report`].
    fn is_behind(&mut self) -> io::Result<bool>;

    /// A message's job has ended, and its outcome is final.
    fn finished(&mut self, _finished: &Finished) {}
}

/// The worker's statistics. Each message is counted once, for all views: the whole run, the time since the last line of
/// numbers, and Prometheus.
pub struct Stats {
    pub total: Totals,
    recent: Totals,
    pub metrics: Metrics,
}

impl Stats {
    pub fn new(metrics: Metrics, now: Instant) -> Self {
        Self { total: Totals::new(now), recent: Totals::new(now), metrics }
    }

    pub fn add(&mut self, finished: &Finished) {
        self.total.add(finished);
        self.recent.add(finished);
        self.metrics.add(finished);
    }

    pub fn add_taken_over(&mut self) {
        self.total.add_taken_over();
        self.recent.add_taken_over();
        self.metrics.add_taken_over();
    }

    /// The numbers since the last call.
    pub fn take_recent(&mut self, now: Instant) -> Numbers {
        let numbers = self.recent.numbers(now);
        self.recent = Totals::new(now);
        numbers
    }
}
