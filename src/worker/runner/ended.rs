//! A message's beginning and its end in the runner's state: received and given to a job, ended, and sent on its way out.

use std::sync::Arc;

use tokio::task::JoinError;
use tokio::time::Instant;

use super::Runner;
use crate::worker::attributes;
use crate::worker::backend::{Delivery, World};
use crate::worker::breaker::Change;
use crate::worker::in_flight::{Id, Leave, State};
use crate::worker::job::{self, Finished};
use crate::worker::report::event::Event;
use crate::worker::retry::{Outcome, Stage, Trouble, attribute, backoff_s, stopped_on_last};

impl<W: World> Runner<W> {
    pub(super) fn received(&mut self, deliveries: Vec<Delivery>, now: Instant) {
        if let Some(drain) = &mut self.drain {
            drain.received(deliveries.len());
        }
        let mut too_late = Vec::new();
        for delivery in deliveries {
            let id = self.held.next_id();
            // Those who had it before may have died of it.
            let alone = delivery.receives > 1 && delivery.receives >= self.settings.max_receives;
            let work = job::run(Arc::clone(&self.shop), Arc::clone(&delivery.body), alone);
            let job = self.jobs.spawn(async move { (id, work.await) });
            self.job_ids.insert(job.id(), id);
            self.held.insert(delivery, job, now);
            self.breaker.received(id, now);
            if self.is_stopping() {
                self.held.working().filter(|(held, _)| *held == id).for_each(|(_, job)| job.abort());
                too_late.push(id);
            }
        }
        self.give_back(&too_late, now);
    }

    /// Lets messages go whose jobs have been aborted: visible at once. On its last receipt a message would be moved to
    /// the dead-letter queue by whoever received it next, without a word: it goes there by our own hand, with the reason.
    pub(super) fn give_back(&mut self, ids: &[Id], now: Instant) {
        let mut returned = 0;
        for &id in ids {
            let Some(held) = self.held.get(id) else { continue };
            let receives = held.receives;
            if receives < self.settings.max_receives {
                returned += 1;
                self.leave(id, Leave::Return { visibility_s: 0 }, now);
                continue;
            }
            let finished = Finished::new(Outcome::Reject { stage: Stage::Stop, why: stopped_on_last(receives) });
            self.finish(id, finished, receives, now);
        }
        if returned > 0 {
            self.say(Event::Returned { messages: returned });
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
                let trouble = Trouble::lasting("the worker panicked on it; that is a mistake in thumb");
                (id, Finished::new(Outcome::failed(Stage::Make, trouble)))
            }
        };
        // A job that ended while it was being cut off: its message is on its way back already.
        let Some(held) = self.held.get(id).filter(|held| matches!(held.state, State::Working(_))) else { return };
        let receives = held.receives;
        self.judge_s3(id, &finished.outcome, now);
        let Finished { outcome, .. } = &finished;
        let outcome = outcome.clone().on_receipt(receives, self.settings.max_receives);
        self.finish(id, Finished { outcome, ..finished }, receives, now);
    }

    /// What a message's end says about S3; the circuit breaker may open or close by it.
    fn judge_s3(&mut self, id: Id, outcome: &Outcome, now: Instant) {
        let change = self.breaker.ended(id, outcome.s3_worked(), fastrand::f64(), now);
        match (change, outcome) {
            (Some(Change::Opened { failures, pause }), Outcome::Retry { stage, why, .. }) => {
                let (stage, why) = (*stage, attribute(why));
                self.say(Event::Paused { failures, pause_s: pause.as_secs_f64(), stage, why });
            }
            (Some(Change::Closed { after, probes }), _) => {
                self.say(Event::Resumed { after_s: after.as_secs_f64(), probes });
            }
            _ => {}
        }
    }

    /// Counts a message's end, says it, and sends the message on its way.
    fn finish(&mut self, id: Id, finished: Finished, receives: u32, now: Instant) {
        self.total.add(&finished);
        self.recent.add(&finished);
        self.metrics.add(&finished);
        let Finished { outcome, source, made, skipped, .. } = finished;
        made.into_iter().for_each(|made| self.say(Event::made(made)));
        for key in skipped {
            self.say(Event::Skipped { source: source.clone().unwrap_or_default(), key });
        }
        let leave = match outcome {
            Outcome::Done => Leave::Delete,
            Outcome::Ignored(why) => {
                self.say(Event::Ignored { why });
                Leave::Delete
            }
            Outcome::Retry { stage, why, cause: _ } => {
                let retry_s = backoff_s(receives, fastrand::f64());
                self.say(Event::Retrying { source, stage, why, receives, retry_s });
                Leave::Return { visibility_s: retry_s }
            }
            Outcome::Reject { stage, why } => {
                // Whoever wrote the message may have chosen the words, a mebibyte of them.
                let error = attribute(&why);
                self.say(Event::Rejected { source, stage, why: error.clone(), receives });
                Leave::Bury { stage: stage.to_string(), error }
            }
        };
        self.leave(id, leave, now);
    }

    pub(super) fn leave(&mut self, id: Id, leave: Leave, now: Instant) {
        let Some(held) = self.held.get_mut(id) else { return };
        // Only a letter takes the body along, which may have a mebibyte.
        if !matches!(leave, Leave::Bury { .. }) {
            held.body = "".into();
            held.attributes.clear();
        } else if !attributes::have_room(held.attributes_bytes(), held.body.len()) {
            held.attributes.clear();
        }
        match leave {
            Leave::Delete => self.deletes.push(id, 0, now),
            Leave::Bury { .. } => self.burials.push(id, held.body.len() + held.attributes_bytes(), now),
            // A heartbeat under way must not come after it: its answer sends it off.
            Leave::Return { .. } if held.is_beating() => {}
            Leave::Return { .. } => self.returns.push(id, 0, now),
        }
        held.state = State::Leaving(leave);
    }
}
