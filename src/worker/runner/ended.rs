//! What the runner does when messages are received, and when their jobs end: it settles them.

use std::sync::Arc;

use tokio::task::JoinError;
use tokio::time::Instant;

use super::Runner;
use crate::worker::attributes;
use crate::worker::backend::{Backend, Delivery};
use crate::worker::breaker::Change;
use crate::worker::in_flight::{Disposition, Id, State};
use crate::worker::job::{self, Finished};
use crate::worker::report::event::Event;
use crate::worker::retry::{JobError, Outcome, Stage, attribute, backoff_s, stopped_on_last};

impl<B: Backend> Runner<B> {
    pub(super) fn received(&mut self, deliveries: Vec<Delivery>, now: Instant) {
        if let Some(drain) = &mut self.drain {
            drain.received(deliveries.len());
        }
        let mut too_late = Vec::new();
        for delivery in deliveries {
            let id = self.in_flight.next_id();
            // It may have killed the workers that received it before.
            let alone = delivery.receives > 1 && delivery.receives >= self.settings.max_receives;
            let work = job::run(Arc::clone(&self.context), Arc::clone(&delivery.body), alone);
            let job = self.jobs.spawn(async move { (id, work.await) });
            self.job_ids.insert(job.id(), id);
            self.in_flight.insert(delivery, job, now);
            self.breaker.received(id, now);
            if self.is_stopping() {
                self.in_flight.working().filter(|(other, _)| *other == id).for_each(|(_, job)| job.abort());
                too_late.push(id);
            }
        }
        self.release_aborted(&too_late, now);
    }

    /// Releases messages whose jobs have been aborted, visible at once. A message on its last receipt is dead-lettered with
    /// the reason instead: SQS's redrive policy would move it without one.
    pub(super) fn release_aborted(&mut self, ids: &[Id], now: Instant) {
        let mut returned = 0;
        for &id in ids {
            let Some(message) = self.in_flight.get(id) else { continue };
            let receives = message.receives;
            if receives < self.settings.max_receives {
                returned += 1;
                self.settle(id, Disposition::Release { visibility_s: 0 }, now);
                continue;
            }
            let finished = Finished::new(Outcome::Reject { stage: Stage::Stop, why: stopped_on_last(receives) });
            self.finish(id, finished, receives, now);
        }
        if returned > 0 {
            self.emit(Event::Returned { messages: returned });
        }
    }

    pub(super) fn job_ended(&mut self, ended: Result<(tokio::task::Id, (Id, Finished)), JoinError>, now: Instant) {
        let (id, finished) = match ended {
            Ok((task, ended)) => {
                self.job_ids.remove(&task);
                ended
            }
            Err(error) => {
                let Some(id) = self.job_ids.remove(&error.id()) else { return };
                if error.is_cancelled() {
                    return;
                }
                let job_error = JobError::permanent(
                    "internal error: the worker panicked; this is a bug in thumb, please report it with the photograph",
                );
                (id, Finished::new(Outcome::failed(Stage::Make, job_error)))
            }
        };
        // A job that ended while it was being aborted: its message is being released already.
        let Some(message) = self.in_flight.get(id).filter(|message| matches!(message.state, State::Working(_))) else {
            return;
        };
        let receives = message.receives;
        self.judge_s3(id, &finished.outcome, now);
        let Finished { outcome, .. } = &finished;
        let outcome = outcome.clone().on_receipt(receives, self.settings.max_receives);
        self.finish(id, Finished { outcome, ..finished }, receives, now);
    }

    /// Tells the circuit breaker what the outcome says about S3, and emits an event if it opens or closes.
    fn judge_s3(&mut self, id: Id, outcome: &Outcome, now: Instant) {
        let change = self.breaker.ended(id, outcome.s3_worked(), fastrand::f64(), now);
        match (change, outcome) {
            (Some(Change::Opened { failures, pause }), Outcome::Retry { stage, why, .. }) => {
                let (stage, why) = (*stage, attribute(why));
                self.emit(Event::Paused { failures, pause_s: pause.as_secs_f64(), stage, why });
            }
            (Some(Change::Closed { after, probes }), _) => {
                self.emit(Event::Resumed { after_s: after.as_secs_f64(), probes });
            }
            _ => {}
        }
    }

    /// Counts a job's outcome, emits its events, and settles the message.
    fn finish(&mut self, id: Id, finished: Finished, receives: u32, now: Instant) {
        self.stats.add(&finished);
        self.report.finished(&finished);
        let Finished { outcome, source, made, skipped, removed, .. } = finished;
        made.into_iter().for_each(|made| self.emit(Event::made(made)));
        for key in skipped {
            self.emit(Event::Skipped { source: source.clone().unwrap_or_default(), key });
        }
        for key in removed {
            self.emit(Event::Deleted { source: source.clone().unwrap_or_default(), key });
        }
        let disposition = match outcome {
            Outcome::Done => Disposition::Ack,
            Outcome::Ignored(why) => {
                self.emit(Event::Ignored { why });
                Disposition::Ack
            }
            Outcome::Retry { stage, why, cause: _ } => {
                let retry_s = backoff_s(receives, fastrand::f64());
                self.emit(Event::Retrying { source, stage, why, receives, retry_s });
                Disposition::Release { visibility_s: retry_s }
            }
            Outcome::Reject { stage, why } => {
                // The message's sender may have chosen this text, up to a mebibyte of it.
                let error = attribute(&why);
                self.emit(Event::Rejected { source, stage, why: error.clone(), receives });
                Disposition::DeadLetter { stage: stage.to_string(), error }
            }
        };
        self.settle(id, disposition, now);
    }

    pub(super) fn settle(&mut self, id: Id, disposition: Disposition, now: Instant) {
        let Some(message) = self.in_flight.get_mut(id) else { return };
        // Only a dead letter needs the body, which may have a mebibyte.
        if !matches!(disposition, Disposition::DeadLetter { .. }) {
            message.body = "".into();
            message.attributes.clear();
        } else if !attributes::fit(message.attributes_bytes(), message.body.len()) {
            message.attributes.clear();
        }
        match disposition {
            Disposition::Ack => self.acks.push(id, 0, now),
            Disposition::DeadLetter { .. } => {
                self.dead_letters.push(id, message.body.len() + message.attributes_bytes(), now)
            }
            // A heartbeat under way could arrive after the release: its answer starts the release.
            Disposition::Release { .. } if message.has_heartbeat_under_way() => {}
            Disposition::Release { .. } => self.releases.push(id, 0, now),
        }
        message.state = State::Settling(disposition);
    }
}
