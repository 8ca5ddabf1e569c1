//! What the answers of calls to SQS do to the runner's state.

use super::call::{Answered, Answers};

/// Calls that may try to let one message leave; after them it comes back when its visibility timeout ends.
const MAX_FAILED_LEAVES: u32 = 6;
use super::{Broken, Runner};
use crate::aws::{Answer, CallError, Kind};
use crate::worker::backend::World;
use crate::worker::in_flight::{Beat, Id, Leave, State};
use crate::worker::report::event::Event;
use crate::worker::retry::backoff_s;
use std::time::Duration;
use tokio::time::Instant;

impl<W: World> Runner<W> {
    pub(super) fn call_answered(&mut self, answered: Answered, now: Instant) {
        match answered {
            Answered::Receive(Ok(deliveries)) => {
                self.polling.answered(deliveries.len());
                self.metrics.health.received();
                self.received(deliveries, now);
            }
            Answered::Receive(Err(error)) => self.receive_failed(error, now),
            Answered::Beat(beats, answers) => self.beaten(beats, answers, now),
            Answered::Delete(ids, answers) => self.each(ids, answers, |runner, id, answer| match answer {
                Answer::Done => drop(runner.held.remove(id)),
                Answer::Again(why) => runner.leave_again(id, &why, now),
                Answer::Refused(why) => {
                    // Its work is done and stored; whoever gets it next finds the same thumbnails.
                    runner.say(Event::CallFailed { why: format!("a message could not be deleted: {why}") });
                    drop(runner.held.remove(id));
                }
            }),
            Answered::Bury(ids, answers) => self.buried(ids, answers, now),
            Answered::Return(ids, answers) => self.each(ids, answers, |runner, id, answer| match answer {
                Answer::Again(why) => runner.leave_again(id, &why, now),
                // Refused: it is visible already, or gone.
                Answer::Done | Answer::Refused(_) => drop(runner.held.remove(id)),
            }),
            Answered::Depth(depth) => {
                if let Err(error) = &depth {
                    self.say(Event::CallFailed { why: error.to_string() });
                }
                let drained = self.drain.as_mut().is_some_and(|drain| drain.answered(depth.ok(), now));
                if drained && !self.is_stopping() {
                    self.stop("the queue is empty", now);
                }
            }
            Answered::Report(key, put) => self.report_put(key, put.map_err(|error| error.to_string()), now),
        }
    }

    /// A worker works without its reports, and says so once.
    pub(super) fn report_put(&mut self, key: String, put: Result<(), String>, now: Instant) {
        let is_news = self.reports.answered(put.is_ok(), now);
        if let (true, Err(why)) = (is_news, put) {
            self.say(Event::ReportFailed { key, why });
        }
    }

    fn receive_failed(&mut self, error: CallError, now: Instant) {
        self.metrics.health.not_received(&error.to_string(), now);
        let goes_on = self.polling.failed(&error, fastrand::f64(), now);
        if self.is_stopping() {
            return;
        }
        self.say(Event::CallFailed { why: error.to_string() });
        if !goes_on {
            self.stop("SQS refuses to give messages", now);
            self.broken.get_or_insert(Broken::Receive(error));
        }
    }

    /// After heartbeats. A receipt handle that is no longer good means that the message has become somebody else's, or
    /// has been deleted: its work is dropped.
    fn beaten(&mut self, beats: Vec<Beat>, answers: Answers, now: Instant) {
        let over: Vec<Id> = beats.iter().filter(|beat| beat.visibility_s == 0).map(|beat| beat.id).collect();
        let ids: Vec<Id> = beats.into_iter().map(|beat| beat.id).collect();
        for &id in &ids {
            if self.held.beaten(id) {
                self.returns.push(id, 0, now);
            }
        }
        self.each(ids, answers, |runner, id, answer| match answer {
            Answer::Done if over.contains(&id) => runner.lose(id, "12 hours have passed since its receipt".into()),
            Answer::Done => {}
            Answer::Again(_) => runner.held.beat_again(id, now),
            Answer::Refused(why) => runner.lose(id, why),
        });
    }

    fn lose(&mut self, id: Id, why: String) {
        // What is leaving may have left by a call that was under way beside the heartbeat.
        let Some(State::Working(job)) = self.held.get(id).map(|held| &held.state) else { return };
        job.abort();
        self.held.remove(id);
        self.breaker.ended(id, None, 0.0, Instant::now());
        self.total.add_lost();
        self.recent.add_lost();
        self.metrics.add_lost();
        self.say(Event::Lost { why });
    }

    fn buried(&mut self, ids: Vec<Id>, answers: Answers, now: Instant) {
        // A letter that is larger than a message may be, with its attributes, goes alone, and the call is refused whole.
        let answers = match answers {
            Err(error) if error.kind == Kind::Refused && ids.len() == 1 => Ok(vec![Answer::Refused(error.to_string())]),
            answers => answers,
        };
        self.each(ids, answers, |runner, id, answer| match answer {
            Answer::Done => runner.leave(id, Leave::Delete, now),
            Answer::Again(why) => runner.leave_again(id, &why, now),
            Answer::Refused(why) => {
                // SQS itself moves it there in the end, without the reason.
                runner.say(Event::CallFailed { why: format!("the dead-letter queue refused a message: {why}") });
                let receives = runner.held.get(id).map_or(1, |held| held.receives);
                let visibility_s = backoff_s(receives, fastrand::f64());
                runner.leave(id, Leave::Return { visibility_s }, now);
            }
        });
    }

    /// Hands each message its own answer; of a call that failed as a whole they all get the same.
    fn each(&mut self, ids: Vec<Id>, answers: Answers, mut act: impl FnMut(&mut Self, Id, Answer)) {
        let answers = answers.unwrap_or_else(|error| {
            self.say(Event::CallFailed { why: error.to_string() });
            vec![Answer::Again(error.to_string()); ids.len()]
        });
        for (id, answer) in ids.into_iter().zip(answers) {
            act(self, id, answer);
        }
    }

    fn leave_again(&mut self, id: Id, why: &str, now: Instant) {
        let Some(held) = self.held.get_mut(id) else { return };
        held.failed_leaves += 1;
        if held.failed_leaves > MAX_FAILED_LEAVES {
            self.held.remove(id);
            self.say(Event::CallFailed { why: format!("a message stays in the queue until its time-out: {why}") });
            return;
        }
        let pause = Duration::from_millis(250) * 2_u32.pow(held.failed_leaves) / 2;
        let due = now + pause.mul_f64(0.5 + fastrand::f64() / 2.0);
        match &held.state {
            State::Leaving(Leave::Delete) => self.deletes.push_again(id, 0, due),
            State::Leaving(Leave::Bury { .. }) => self.burials.push_again(id, held.body.len(), due),
            State::Leaving(Leave::Return { .. }) => self.returns.push_again(id, 0, due),
            State::Working(_) => {}
        }
    }
}
