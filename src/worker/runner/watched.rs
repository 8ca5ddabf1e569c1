//! What the runner tells a person who watches: that it is idle, and the numbers of a status line.

use tokio::time::Instant;

use super::Runner;
use crate::worker::backend::Backend;
use crate::worker::polling::Watch;
use crate::worker::report::event::Event;
use crate::worker::report::status::{Now, Progress};
use crate::worker_report::Counts;

impl<B: Backend> Runner<B> {
    /// Makes the worker tell what it is doing, for a status line.
    #[must_use]
    pub fn showing(mut self, progress: Option<Progress>) -> Self {
        self.progress = progress.map(|progress| (progress, Watch::new(Instant::now())));
        self
    }

    /// Updates the status line's numbers.
    pub(super) fn show(&self) {
        let Some((progress, _)) = &self.progress else { return };
        let Counts { done, ignored, retried, rejected, .. } = self.stats.total.counts();
        let now = Now {
            settled: done + ignored + rejected,
            rejected,
            retried,
            working: self.jobs.len(),
            idle: self.idle,
            stopping: self.is_stopping(),
        };
        progress.update(now, Instant::now().into_std());
    }

    /// Says once that nothing arrives.
    pub(super) fn tell_idle(&mut self, nothing: bool) {
        let idle = nothing && self.in_flight.is_empty() && self.drain.is_none() && !self.is_stopping();
        if idle && !self.idle {
            self.emit(Event::Idle);
        }
        self.idle = idle;
    }
}
