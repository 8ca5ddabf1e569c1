//! How the answers of calls change the runner's state.

use super::call::{Answered, Answers};
use super::{FatalError, Runner};
use crate::aws::{Answer, CallError, Kind};
use crate::worker::backend::Backend;
use crate::worker::in_flight::{Disposition, Heartbeat, Id, State};
use crate::worker::report::event::Event;
use crate::worker::retry::backoff_s;
use std::time::Duration;
use tokio::time::Instant;

/// Failed attempts to settle a message before it is left to reappear when its visibility timeout expires.
const MAX_FAILED_SETTLEMENTS: u32 = 6;

impl<B: Backend> Runner<B> {
    pub(super) fn call_answered(&mut self, answered: Answered, now: Instant) {
        match answered {
            Answered::Receive(Ok(deliveries)) => {
                self.polling.answered(deliveries.len());
                self.stats.metrics.health.received();
                self.tell_idle(deliveries.is_empty());
                self.received(deliveries, now);
            }
            Answered::Receive(Err(error)) => self.receive_failed(error, now),
            Answered::Heartbeat(heartbeats, answers) => self.heartbeat_answered(heartbeats, answers, now),
            Answered::Delete(ids, answers) => self.each(ids, answers, |runner, id, answer| match answer {
                Answer::Done => drop(runner.in_flight.remove(id)),
                Answer::Again(why) => runner.settle_again(id, &why, now),
                Answer::Refused(why) => {
                    // Its thumbnails are stored; the next worker to receive it makes the same ones.
                    runner.emit(Event::CallFailed { why: format!("a message could not be deleted: {why}") });
                    drop(runner.in_flight.remove(id));
                }
            }),
            Answered::DeadLetter(ids, answers) => self.dead_lettered(ids, answers, now),
            Answered::Release(ids, answers) => self.each(ids, answers, |runner, id, answer| match answer {
                Answer::Again(why) => runner.settle_again(id, &why, now),
                // Refused: it is visible again already, or deleted.
                Answer::Done | Answer::Refused(_) => drop(runner.in_flight.remove(id)),
            }),
            Answered::Depth(depth) => {
                if let Err(error) = &depth {
                    self.emit(Event::CallFailed { why: error.to_string() });
                }
                let drained = self.drain.as_mut().is_some_and(|drain| drain.answered(depth.ok(), now));
                if drained && !self.is_stopping() {
                    self.stop("the queue is empty", now);
                }
            }
            Answered::Watch(depth) => {
                let Some((progress, watch)) = &mut self.progress else { return };
                watch.answered(depth.is_ok(), now);
                // Those that this worker has received are in flight, too.
                depth.iter().for_each(|depth| progress.left(depth.visible + depth.in_flight + depth.delayed));
            }
            Answered::Report(key, put) => self.report_put(key, put.map_err(|error| error.to_string()), now),
        }
    }

    /// A failed report does not stop the worker; the failure is reported once.
    pub(super) fn report_put(&mut self, key: String, put: Result<(), String>, now: Instant) {
        let is_first_failure = self.reports.answered(put.is_ok(), now);
        if let (true, Err(why)) = (is_first_failure, put) {
            self.emit(Event::ReportFailed { key, why });
        }
    }

    fn receive_failed(&mut self, error: CallError, now: Instant) {
        self.stats.metrics.health.not_received(&error.to_string(), now);
        let may_continue = self.polling.failed(&error, fastrand::f64(), now);
        if self.is_stopping() {
            return;
        }
        self.emit(Event::CallFailed { why: error.to_string() });
        if !may_continue {
            self.stop("SQS keeps refusing ReceiveMessage", now);
            self.fatal_error.get_or_insert(FatalError::Receive(error));
        }
    }

    /// Handles the answers to heartbeats. An invalid receipt handle means that another worker has received or deleted the
    /// message: its job is aborted.
    fn heartbeat_answered(&mut self, heartbeats: Vec<Heartbeat>, answers: Answers, now: Instant) {
        let over: Vec<Id> =
            heartbeats.iter().filter(|heartbeat| heartbeat.visibility_s == 0).map(|heartbeat| heartbeat.id).collect();
        let ids: Vec<Id> = heartbeats.into_iter().map(|heartbeat| heartbeat.id).collect();
        for &id in &ids {
            if self.in_flight.heartbeat_answered(id) {
                self.releases.push(id, 0, now);
            }
        }
        self.each(ids, answers, |runner, id, answer| match answer {
            Answer::Done if over.contains(&id) => {
                runner.taken_over(id, "12 hours have passed since its receipt".into())
            }
            Answer::Done => {}
            Answer::Again(_) => runner.in_flight.heartbeat_again(id, now),
            Answer::Refused(why) => runner.taken_over(id, why),
        });
    }

    fn taken_over(&mut self, id: Id, why: String) {
        // A message that is being settled may have been deleted while the heartbeat was under way: that is no takeover.
        let Some(State::Working(job)) = self.in_flight.get(id).map(|message| &message.state) else { return };
        job.abort();
        self.in_flight.remove(id);
        self.breaker.ended(id, None, 0.0, Instant::now());
        self.stats.add_taken_over();
        self.emit(Event::TakenOver { why });
    }

    fn dead_lettered(&mut self, ids: Vec<Id>, answers: Answers, now: Instant) {
        // A dead letter that exceeds the size limit with its attributes is sent alone, and SQS refuses the whole call.
        let answers = match answers {
            Err(error) if error.kind == Kind::Refused && ids.len() == 1 => Ok(vec![Answer::Refused(error.to_string())]),
            answers => answers,
        };
        self.each(ids, answers, |runner, id, answer| match answer {
            Answer::Done => runner.settle(id, Disposition::Ack, now),
            Answer::Again(why) => runner.settle_again(id, &why, now),
            Answer::Refused(why) => {
                // SQS's redrive policy moves it there in the end, without the reason.
                runner.emit(Event::CallFailed { why: format!("the dead-dead_letter queue refused a message: {why}") });
                let receives = runner.in_flight.get(id).map_or(1, |message| message.receives);
                let visibility_s = backoff_s(receives, fastrand::f64());
                runner.settle(id, Disposition::Release { visibility_s }, now);
            }
        });
    }

    /// Calls `act` with each message's answer; if the call failed as a whole, all get the same answer.
    fn each(&mut self, ids: Vec<Id>, answers: Answers, mut act: impl FnMut(&mut Self, Id, Answer)) {
        let answers = answers.unwrap_or_else(|error| {
            self.emit(Event::CallFailed { why: error.to_string() });
            vec![Answer::Again(error.to_string()); ids.len()]
        });
        for (id, answer) in ids.into_iter().zip(answers) {
            act(self, id, answer);
        }
    }

    fn settle_again(&mut self, id: Id, why: &str, now: Instant) {
        let Some(message) = self.in_flight.get_mut(id) else { return };
        message.failed_settlements += 1;
        if message.failed_settlements > MAX_FAILED_SETTLEMENTS {
            self.in_flight.remove(id);
            self.emit(Event::CallFailed {
                why: format!(
                    "gave up settling a message; it becomes visible again when its visibility timeout ends: {why}"
                ),
            });
            return;
        }
        let pause = Duration::from_millis(250) * 2_u32.pow(message.failed_settlements) / 2;
        let due = now + pause.mul_f64(0.5 + fastrand::f64() / 2.0);
        match &message.state {
            State::Settling(Disposition::Ack) => self.acks.push_again(id, 0, due),
            State::Settling(Disposition::DeadLetter { .. }) => {
                self.dead_letters.push_again(id, message.body.len(), due)
            }
            State::Settling(Disposition::Release { .. }) => self.releases.push_again(id, 0, due),
            State::Working(_) => {}
        }
    }
}
