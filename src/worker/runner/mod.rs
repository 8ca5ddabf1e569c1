//! The loop: the one owner of the worker's state, of its signals and of what it reports. Everything that happens
//! arrives here as an [`Input`] and changes the state; then the state says what to start next. Nothing else decides.
//!
//! A message is received, worked on by a job of its own (see [`super::job`]), and leaves by one of three ways:
//! deleted, returned, or sent to the dead-letter queue and deleted. From its receipt until it has left, heartbeats keep
//! it invisible to other workers. What its end does to the state is in [`super::runner::ended`], what a call's answer does in
//! [`super::runner::call`].

mod answers;
mod call;
mod ended;

use std::collections::HashMap;
use std::future::{Future, pending};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::attributes;
use super::backend::World;
use super::batcher::Outbox;
use super::breaker::{Breaker, May};
use super::in_flight::{Id, MAX_BODIES_BYTES, Table};
use super::job::{Finished, Workshop};
use super::polling::{Drain, Polling};
use super::report::Report;
use super::report::event::Event;
use super::report::health::{Doing, TICK};
use super::report::metrics::Metrics;
use super::report::reporting::{Identity, LAST_REPORT, Reports};
use super::report::stats::{Tally, resident_bytes};
use super::report::systemd::Notifier;
use crate::aws::{BATCH, MAX_BATCH_BYTES, MAX_MESSAGE_BYTES};
use crate::worker_report;
use call::{Answered, Call};

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
const MAX_LETTERS_BYTES: usize = MAX_BATCH_BYTES - BATCH * attributes::OURS_BYTES;

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
    Identity(Box<Identity>),
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
    pub(super) shop: Arc<Workshop<W>>,
    pub(super) settings: Settings,
    report: Box<dyn Report>,
    pub(super) metrics: Metrics,
    stops: mpsc::Receiver<Stop>,
    notifier: Notifier,
    phase: Phase,
    pub(super) held: Table,
    pub(super) jobs: JoinSet<(Id, Finished)>,
    pub(super) job_ids: HashMap<tokio::task::Id, Id>,
    calls: Calls,
    pub(super) polling: Polling,
    pub(super) breaker: Breaker,
    /// Whether the reader of events is.
    behind: bool,
    pub(super) reports: Reports,
    /// Who this is, until it is known.
    identity: Option<Pin<Box<dyn Future<Output = Identity> + Send>>>,
    pub(super) drain: Option<Drain>,
    pub(super) deletes: Outbox,
    pub(super) burials: Outbox,
    pub(super) returns: Outbox,
    pub(super) total: Tally,
    pub(super) recent: Tally,
    numbers_due: Instant,
    tick_due: Instant,
    pub(super) broken: Option<Broken>,
}

impl<W: World> Runner<W> {
    pub fn new(
        shop: Arc<Workshop<W>>,
        settings: Settings,
        report: Box<dyn Report>,
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
            breaker: Breaker::default(),
            behind: false,
            reports: Reports::new(None, now),
            identity: None,
            notifier: Notifier::default(),
            drain: settings.drain.then(Drain::default),
            deletes: Outbox::default(),
            burials: Outbox::default(),
            returns: Outbox::default(),
            total: Tally::new(now),
            recent: Tally::new(now),
            numbers_due: now + settings.numbers_every,
            tick_due: now,
            broken: None,
            shop,
            settings,
            report,
            metrics,
            stops,
        }
    }

    /// It puts reports of itself into the code bucket, from when it knows who it is.
    #[must_use]
    pub fn reporting(mut self, identity: impl Future<Output = Identity> + Send + 'static) -> Self {
        self.identity = Some(Box::pin(identity));
        self
    }

    /// It tells systemd how it is.
    #[must_use]
    pub fn notifying(mut self, notifier: Notifier) -> Self {
        self.notifier = notifier;
        self
    }

    /// Works until it is told to stop, or, draining, until there is nothing left to do.
    ///
    /// # Errors
    /// It cannot go on. What it held has been given back all the same.
    pub async fn run(mut self) -> Result<(), Broken> {
        self.notifier.ready();
        while !self.is_over() {
            self.start_what_is_due();
            let input = self.next_input().await;
            self.apply(input);
            self.metrics.set_held(self.held.len());
        }
        self.put_last_report().await;
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
            identity = async { self.identity.as_mut().expect("it is awaited").await }, if self.identity.is_some() => {
                Input::Identity(Box::new(identity))
            }
            Some(job) = self.jobs.join_next_with_id() => Input::Job(job),
            () = alarm => Input::Time,
        }
    }

    /// When to look again though nothing happens. A time that has passed is no reason: it would be one for ever.
    fn next_due(&self, now: Instant) -> Option<Instant> {
        let phase = match &self.phase {
            Phase::Working => {
                let drain = self.drain.as_ref().and_then(|drain| drain.next_due(now));
                [self.polling.next_due(now), self.breaker.next_due(now), drain]
            }
            Phase::Stopping { receives_until, grace_ends, ends, cut } => {
                let receive = self.polling.is_receiving().then_some(*receives_until);
                [receive.filter(|&until| until > now), (!cut).then_some(*grace_ends), Some(*ends)]
            }
        };
        let outboxes = [&self.deletes, &self.burials, &self.returns].map(Outbox::next_due);
        let report = self.reports.next_due(self.state(), self.total.counts());
        let calls = outboxes.into_iter().chain([self.held.next_beat(), report]);
        // While all calls are taken, the next one waits for an answer, not for a time.
        let calls = calls.filter(|_| self.calls.len() < MAX_CALLS);
        phase.into_iter().chain(calls).chain([Some(self.numbers_due), Some(self.tick_due)]).flatten().min()
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
        self.look(now);
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

    /// How the worker is, for those who ask and for systemd.
    fn look(&mut self, now: Instant) {
        match self.report.is_behind() {
            Ok(behind) => self.behind = behind,
            Err(error) => self.unread(error),
        }
        let doing = match (&self.phase, self.breaker.open_since()) {
            (Phase::Stopping { .. }, _) => Doing::Stopping,
            (Phase::Working, Some(since)) => Doing::Pausing { since },
            (Phase::Working, None) => Doing::Working,
        };
        self.metrics.health.turned(doing, now);
        self.metrics.set_paused(self.breaker.open_since().is_some());
        if self.behind {
            self.metrics.health.not_received("nobody reads stdout", now);
        }
        if now >= self.tick_due {
            self.tick_due = now + self.notifier.beat().map_or(TICK, |beat| beat.min(TICK));
            if self.metrics.health.verdict(now).is_ok() {
                self.notifier.alive();
            }
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
        if !self.is_stopping() {
            if let Some((most, wait)) = self.next_receive(now) {
                return Some(Call::Receive { most, wait });
            }
            let idle = self.held.is_empty();
            if self.drain.as_mut().is_some_and(|drain| drain.next(idle, now)) {
                return Some(Call::Depth);
            }
        }
        let (state, counts) = (self.state(), self.total.counts());
        self.reports.next(state, counts, resident_bytes, now, epoch_s()).map(|report| Call::Report(Box::new(report)))
    }

    fn next_receive(&mut self, now: Instant) -> Option<(usize, Duration)> {
        if self.behind {
            return None;
        }
        match self.breaker.may_receive(now) {
            May::Any => self.polling.next(self.places(), now),
            May::One => self.polling.next_one(self.places(), now),
            May::Nothing => None,
        }
    }

    /// As a report says it.
    fn state(&self) -> worker_report::State {
        match self.phase {
            Phase::Stopping { .. } => worker_report::State::Stopping,
            Phase::Working if self.held.is_empty() => worker_report::State::Idle,
            Phase::Working => worker_report::State::Working,
        }
    }

    /// Whoever waits for the worker's end waits a moment more for it.
    async fn put_last_report(&mut self) {
        let counts = self.total.counts();
        let report = self.reports.report(worker_report::State::Stopped, counts, resident_bytes(), epoch_s());
        let Some(report) = report else { return };
        let put = tokio::time::timeout(LAST_REPORT, self.shop.world.put_report(&report)).await;
        let put =
            put.map_or_else(|_| Err("no answer in time".to_owned()), |put| put.map_err(|error| error.to_string()));
        self.report_put(report.key(), put, Instant::now());
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
            Input::Identity(identity) => {
                self.identity = None;
                self.reports = Reports::new(Some(*identity), now);
            }
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
                self.notifier.stopping();
                self.metrics.health.turned(Doing::Stopping, now);
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
        self.give_back(&working, now);
    }

    pub(super) fn say(&mut self, event: Event) {
        if let Err(error) = self.report.report(&event) {
            self.unread(error);
        }
    }

    fn unread(&mut self, error: io::Error) {
        if self.broken.is_none() {
            self.broken = Some(Broken::Report(error));
            self.stop("nobody reads its output", Instant::now());
        }
    }
}

/// The seconds since 1970, for whoever reads a report.
pub fn epoch_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
