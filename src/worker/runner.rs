//! The loop: the one owner of the worker's state, of its signals and of what it reports. Everything that happens
//! arrives here as an [`Input`] and changes the state; then the state says what to start next. Nothing else decides.
//!
//! A message is received, worked on by a job of its own (see [`super::job`]), and leaves by one of three ways:
//! deleted, returned, or sent to the dead-letter queue and deleted. From its receipt until it has left, heartbeats keep
//! it invisible to other workers.

use std::collections::HashMap;
use std::future::{Future, pending};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::calls::{Answered, Call};
use super::event::Event;
use super::held::{Id, Leave, MAX_BODIES_BYTES, State, Table};
use super::job::{self, Finished, Workshop};
use super::metrics::Metrics;
use super::numbers::Tally;
use super::outbox::Outbox;
use super::outcome::{Outcome, Stage, Trouble, attribute, backoff_s};
use super::polling::{Drain, Polling};
use super::world::{Delivery, World};
use crate::aws::{BATCH, MAX_BATCH_BYTES, MAX_MESSAGE_BYTES};

/// Messages held at most besides those in work: ended, and waiting for SQS to let them go.
const MAX_LEAVING: usize = 1_000;
/// Batch calls under way at once, heartbeats included.
const MAX_CALLS: usize = 16;
/// After a stop a long poll may still answer for this long: what it brings is given back. A poll that is cut off may
/// have been given messages that nobody then knows of until their visibility timeout ends.
const LAST_RECEIVE: Duration = Duration::from_secs(1);
/// What giving back and deleting may take after the grace is over.
const LAST_CALLS: Duration = Duration::from_secs(5);
/// Letters in one call to the dead-letter queue, less what their attributes may take.
const MAX_LETTERS_BYTES: usize = MAX_BATCH_BYTES - BATCH * 4_096;

#[derive(Clone, Debug)]
pub struct Settings {
    pub concurrency: usize,
    pub visibility: Duration,
    pub max_receives: u32,
    pub grace_s: u32,
    /// Whether to end when the queue is empty.
    pub drain: bool,
    pub numbers_every: Duration,
}

/// What the loop is told to stop by: a signal's name, a Spot notice.
pub type Stop = String;

/// Where events go. An error ends the worker: nobody would know what it does.
pub type Report = Box<dyn FnMut(&Event) -> io::Result<()> + Send>;

/// Why a worker ended otherwise than by being told to.
#[derive(Debug)]
pub enum Broken {
    /// Nobody reads what it reports.
    Report(io::Error),
    /// SQS refuses to give messages, again and again.
    Receive(crate::aws::CallError),
}

enum Input {
    Stop(Option<Stop>),
    Job(Result<(tokio::task::Id, (Id, Finished)), JoinError>),
    Call(Answered),
    /// Something is due.
    Time,
}

enum Phase {
    Working,
    /// No more receives. Jobs may run until `grace_ends`; all is over at `ends`.
    Stopping {
        receives_until: Instant,
        grace_ends: Instant,
        ends: Instant,
        cut: bool,
    },
}

type Calls = FuturesUnordered<Pin<Box<dyn Future<Output = Answered> + Send>>>;

pub struct Runner<W: World> {
    shop: Arc<Workshop<W>>,
    settings: Settings,
    report: Report,
    pub(super) metrics: Metrics,
    stops: mpsc::Receiver<Stop>,
    phase: Phase,
    pub(super) held: Table,
    jobs: JoinSet<(Id, Finished)>,
    job_ids: HashMap<tokio::task::Id, Id>,
    calls: Calls,
    pub(super) polling: Polling,
    pub(super) drain: Option<Drain>,
    pub(super) deletes: Outbox,
    pub(super) burials: Outbox,
    pub(super) returns: Outbox,
    pub(super) total: Tally,
    pub(super) recent: Tally,
    numbers_due: Instant,
    pub(super) broken: Option<Broken>,
}

impl<W: World> Runner<W> {
    pub fn new(
        shop: Arc<Workshop<W>>,
        settings: Settings,
        report: Report,
        metrics: Metrics,
        stops: mpsc::Receiver<Stop>,
    ) -> Self {
        let now = Instant::now();
        Self {
            phase: Phase::Working,
            held: Table::new(settings.visibility),
            jobs: JoinSet::new(),
            job_ids: HashMap::new(),
            calls: Calls::new(),
            polling: Polling::new(settings.concurrency, settings.drain),
            drain: settings.drain.then(Drain::default),
            deletes: Outbox::default(),
            burials: Outbox::default(),
            returns: Outbox::default(),
            total: Tally::new(now),
            recent: Tally::new(now),
            numbers_due: now + settings.numbers_every,
            broken: None,
            shop,
            settings,
            report,
            metrics,
            stops,
        }
    }

    /// Works until it is told to stop, or, draining, until there is nothing left to do.
    ///
    /// # Errors
    /// It cannot go on. What it held has been given back all the same.
    pub async fn run(mut self) -> Result<(), Broken> {
        while !self.is_over() {
            self.start_what_is_due();
            let input = self.next_input().await;
            self.apply(input);
            self.metrics.set_held(self.held.len());
        }
        self.say(Event::Numbers { total: true, numbers: Box::new(self.total.numbers(Instant::now())) });
        self.broken.map_or(Ok(()), Err)
    }

    async fn next_input(&mut self) -> Input {
        let due = self.next_due(Instant::now());
        let alarm = async move {
            match due {
                Some(due) => sleep_until(due).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            stop = self.stops.recv(), if !self.stops.is_closed() => Input::Stop(stop),
            Some(answered) = self.calls.next() => Input::Call(answered),
            Some(job) = self.jobs.join_next_with_id() => Input::Job(job),
            () = alarm => Input::Time,
        }
    }

    /// When to look again though nothing happens. A time that has passed is no reason: it would be one for ever.
    fn next_due(&self, now: Instant) -> Option<Instant> {
        let phase = match &self.phase {
            Phase::Working => {
                [self.polling.next_due(now), self.drain.as_ref().and_then(|drain| drain.next_due(now)), None]
            }
            Phase::Stopping { receives_until, grace_ends, ends, cut } => {
                let receive = self.polling.is_receiving().then_some(*receives_until);
                [receive.filter(|&until| until > now), (!cut).then_some(*grace_ends), Some(*ends)]
            }
        };
        let outboxes = [&self.deletes, &self.burials, &self.returns].map(Outbox::next_due);
        let calls = outboxes.into_iter().chain([self.held.next_beat()]);
        // While all calls are taken, the next one waits for an answer, not for a time.
        let calls = calls.filter(|_| self.calls.len() < MAX_CALLS);
        phase.into_iter().chain(calls).chain([Some(self.numbers_due)]).flatten().min()
    }

    fn is_over(&self) -> bool {
        match &self.phase {
            Phase::Working => false,
            Phase::Stopping { receives_until, ends, .. } => {
                let now = Instant::now();
                let receiving = self.polling.is_receiving() && now < *receives_until;
                now >= *ends || (self.jobs.is_empty() && self.held.is_empty() && !receiving)
            }
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        matches!(self.phase, Phase::Stopping { .. })
    }

    /// Turns the state into work: cut off what has had its grace, send heartbeats and batches, receive.
    fn start_what_is_due(&mut self) {
        let now = Instant::now();
        if let Phase::Stopping { grace_ends, cut: false, .. } = self.phase
            && now >= grace_ends
        {
            self.cut_off(now);
        }
        if now >= self.numbers_due {
            self.say(Event::Numbers { total: false, numbers: Box::new(self.recent.numbers(now)) });
            self.recent = Tally::new(now);
            self.numbers_due = now + self.settings.numbers_every;
        }
        while self.calls.len() < MAX_CALLS {
            let Some(call) = self.next_call(now) else { break };
            self.calls.push(call.start(Arc::clone(&self.shop.world)));
        }
    }

    /// The most urgent call that is due: a heartbeat that comes too late costs a job, a delete that does a duplicate.
    fn next_call(&mut self, now: Instant) -> Option<Call> {
        let beats = self.held.take_beats(now);
        if !beats.is_empty() {
            return Some(Call::Beat(beats));
        }
        // With no job left nothing is going to join a batch.
        let hurry = self.is_stopping() || self.jobs.is_empty();
        if let Some(ids) = self.returns.take(now, hurry, usize::MAX) {
            return Some(Call::returning(ids, &self.held));
        }
        if let Some(ids) = self.burials.take(now, hurry, MAX_LETTERS_BYTES) {
            return Some(Call::burying(ids, &self.held));
        }
        if let Some(ids) = self.deletes.take(now, hurry, usize::MAX) {
            return Some(Call::deleting(ids, &self.held));
        }
        if self.is_stopping() {
            return None;
        }
        if let Some((most, wait)) = self.polling.next(self.places(), now) {
            return Some(Call::Receive { most, wait });
        }
        let idle = self.held.is_empty();
        self.drain.as_mut().is_some_and(|drain| drain.next(idle, now)).then_some(Call::Depth)
    }

    /// How many more messages may be received.
    fn places(&self) -> usize {
        let slots = self.settings.concurrency.saturating_sub(self.jobs.len());
        let held = (self.settings.concurrency + MAX_LEAVING).saturating_sub(self.held.len());
        let bodies = MAX_BODIES_BYTES.saturating_sub(self.held.bodies_bytes()) / MAX_MESSAGE_BYTES;
        slots.min(held).min(bodies)
    }

    fn apply(&mut self, input: Input) {
        let now = Instant::now();
        match input {
            Input::Time => {}
            Input::Stop(stop) => self.stop(&stop.unwrap_or_else(|| "nobody is left to stop it".into()), now),
            Input::Job(ended) => self.job_ended(ended, now),
            Input::Call(answered) => self.call_answered(answered, now),
        }
    }

    /// The first stop begins the grace, a second one ends it.
    pub(super) fn stop(&mut self, why: &str, now: Instant) {
        match &mut self.phase {
            Phase::Working => {
                let grace_ends = now + Duration::from_secs(self.settings.grace_s.into());
                let receives_until = (now + LAST_RECEIVE).min(grace_ends);
                self.phase = Phase::Stopping { receives_until, grace_ends, ends: grace_ends + LAST_CALLS, cut: false };
                let (grace_s, working) = (self.settings.grace_s, self.jobs.len());
                self.say(Event::Stopping { why: why.to_owned(), grace_s, working });
            }
            Phase::Stopping { .. } => self.cut_off(now),
        }
    }

    /// Gives back everything that is still in work.
    fn cut_off(&mut self, now: Instant) {
        self.phase = Phase::Stopping { receives_until: now, grace_ends: now, ends: now + LAST_CALLS, cut: true };
        let working: Vec<Id> = self.held.working().map(|(id, job)| (id, job.abort())).map(|(id, ())| id).collect();
        for id in &working {
            self.leave(*id, Leave::Return { visibility_s: 0 }, now);
        }
        if !working.is_empty() {
            self.say(Event::Returned { messages: working.len() });
        }
    }

    pub(super) fn received(&mut self, deliveries: Vec<Delivery>, now: Instant) {
        if let Some(drain) = &mut self.drain {
            drain.received(deliveries.len());
        }
        for delivery in deliveries {
            let id = self.held.next_id();
            // Those who had it before may have died of it.
            let alone = delivery.receives > 1 && delivery.receives >= self.settings.max_receives;
            let work = job::run(Arc::clone(&self.shop), Arc::clone(&delivery.body), alone);
            let job = self.jobs.spawn(async move { (id, work.await) });
            self.job_ids.insert(job.id(), id);
            self.held.insert(delivery, job, now);
            if self.is_stopping() {
                self.held.working().filter(|(held, _)| *held == id).for_each(|(_, job)| job.abort());
                self.leave(id, Leave::Return { visibility_s: 0 }, now);
            }
        }
    }

    fn job_ended(&mut self, ended: Result<(tokio::task::Id, (Id, Finished)), JoinError>, now: Instant) {
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
        let Finished { outcome, .. } = &finished;
        let outcome = outcome.clone().on_receipt(receives, self.settings.max_receives);
        let finished = Finished { outcome, ..finished };
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
            Outcome::Retry { stage, why, .. } => {
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
        let bytes = held.body.len();
        match leave {
            Leave::Delete => self.deletes.push(id, 0, now),
            Leave::Bury { .. } => self.burials.push(id, bytes, now),
            Leave::Return { .. } => self.returns.push(id, 0, now),
        }
        // Only a letter takes the body along, which may have a mebibyte.
        if !matches!(leave, Leave::Bury { .. }) {
            held.body = "".into();
        }
        held.state = State::Leaving(leave);
    }

    pub(super) fn say(&mut self, event: Event) {
        if let Err(error) = (self.report)(&event)
            && self.broken.is_none()
        {
            self.broken = Some(Broken::Report(error));
            self.stop("nobody reads its output", Instant::now());
        }
    }
}
