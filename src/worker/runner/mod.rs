//! The event loop, the single owner of the worker's state, its signals and its reporting. Everything that happens arrives
//! as an [`Input`] and changes the state; then the loop starts whatever the state asks for. Nothing else makes decisions.
//!
//! A message is received, processed by its own job (see [`super::job`]), and settled in one of three ways: acknowledged
//! (deleted), released (visible again after a delay), or dead-lettered (sent to the dead-letter queue, then deleted). From
//! receipt until it is settled, heartbeats keep it invisible to other workers. [`ended`] handles the end of a job,
//! [`answers`] the answers of [`call`]s.

mod answers;
mod call;
mod ended;
mod watched;

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
use super::backend::Backend;
use super::batcher::Batcher;
use super::breaker::{Breaker, May};
use super::in_flight::{Id, InFlight, MAX_BODIES_BYTES};
use super::job::{Finished, JobContext};
use super::polling::{Drain, Polling, Watch};
use super::report::event::Event;
use super::report::health::{Doing, TICK};
use super::report::metrics::Metrics;
use super::report::reporting::{Identity, LAST_REPORT, Reports};
use super::report::stats::resident_bytes;
use super::report::status::Progress;
use super::report::systemd::Notifier;
use super::report::{Report, Stats};
use crate::aws::{BATCH, MAX_BATCH_BYTES, MAX_MESSAGE_BYTES};
use crate::worker_report;
use call::{Answered, Call};

/// The most messages whose jobs have ended and that wait to be settled, beside those being processed.
const MAX_SETTLING: usize = 1_000;
/// Concurrent batch calls, heartbeats included.
const MAX_CALLS: usize = 16;
/// On shutdown, a ReceiveMessage under way gets this long to finish, and what it returns is released. Aborting it could
/// strand the messages that it received until their visibility timeout expires.
const LAST_RECEIVE: Duration = Duration::from_secs(1);
/// How long the last releases and deletes may take after the grace period.
const LAST_CALLS: Duration = Duration::from_secs(5);
/// The most bytes of bodies in one dead-letter batch, which leaves room for the message attributes.
const MAX_DEAD_LETTERS_BYTES: usize = MAX_BATCH_BYTES - BATCH * attributes::OURS_BYTES;

#[derive(Clone, Debug)]
pub struct Settings {
    pub concurrency: usize,
    pub visibility: Duration,
    pub max_receives: u32,
    pub grace_s: u32,
    /// Whether to exit when the queue is empty.
    pub drain: bool,
    pub numbers_every: Duration,
}

/// Why the worker is told to stop: a signal's name, or a Spot notice.
pub type Stop = String;

/// An error that ends the worker.
#[derive(Debug)]
pub enum FatalError {
    /// Its output cannot be written.
    Report(io::Error),
    /// SQS keeps refusing ReceiveMessage.
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
    /// No more receives. Jobs may run until `grace_ends`; the worker exits at `ends` at the latest.
    Stopping {
        receives_until: Instant,
        grace_ends: Instant,
        ends: Instant,
        cut: bool,
    },
}

type Calls = FuturesUnordered<Pin<Box<dyn Future<Output = Answered> + Send>>>;

pub struct Runner<B: Backend> {
    context: Arc<JobContext<B>>,
    settings: Settings,
    report: Box<dyn Report>,
    stats: Stats,
    stops: mpsc::Receiver<Stop>,
    notifier: Notifier,
    phase: Phase,
    in_flight: InFlight,
    jobs: JoinSet<(Id, Finished)>,
    job_ids: HashMap<tokio::task::Id, Id>,
    calls: Calls,
    polling: Polling,
    breaker: Breaker,
    /// Whether the reader of events has fallen behind.
    behind: bool,
    reports: Reports,
    /// Resolves to the worker's identity; taken once it is known.
    identity: Option<Pin<Box<dyn Future<Output = Identity> + Send>>>,
    drain: Option<Drain>,
    /// The status line, and when to ask for what it needs.
    progress: Option<(Progress, Watch)>,
    /// Nothing has arrived since this was said.
    idle: bool,
    acks: Batcher,
    dead_letters: Batcher,
    releases: Batcher,
    numbers_due: Instant,
    tick_due: Instant,
    fatal_error: Option<FatalError>,
}

impl<B: Backend> Runner<B> {
    pub fn new(
        context: Arc<JobContext<B>>,
        settings: Settings,
        report: Box<dyn Report>,
        metrics: Metrics,
        stops: mpsc::Receiver<Stop>,
    ) -> Self {
        let now = Instant::now();
        Self {
            phase: Phase::Working,
            in_flight: InFlight::new(settings.visibility),
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
            progress: None,
            idle: false,
            acks: Batcher::default(),
            dead_letters: Batcher::default(),
            releases: Batcher::default(),
            stats: Stats::new(metrics, now),
            numbers_due: now + settings.numbers_every,
            tick_due: now,
            fatal_error: None,
            context,
            settings,
            report,
            stops,
        }
    }

    /// Makes the worker put reports into the code bucket as soon as its identity is known.
    #[must_use]
    pub fn reporting(mut self, identity: impl Future<Output = Identity> + Send + 'static) -> Self {
        self.identity = Some(Box::pin(identity));
        self
    }

    /// Makes the worker notify systemd.
    #[must_use]
    pub fn notifying(mut self, notifier: Notifier) -> Self {
        self.notifier = notifier;
        self
    }

    /// Runs until the worker is told to stop or, when draining, until the queue is empty.
    ///
    /// # Errors
    /// The worker cannot continue. Its messages have been released all the same.
    pub async fn run(mut self) -> Result<(), FatalError> {
        self.notifier.ready();
        while !self.is_over() {
            self.start_what_is_due();
            let input = self.next_input().await;
            self.apply(input);
            self.stats.metrics.set_in_flight(self.in_flight.len());
            self.show();
        }
        self.put_last_report().await;
        self.emit(Event::Numbers { total: true, numbers: Box::new(self.stats.total.numbers(Instant::now())) });
        self.fatal_error.map_or(Ok(()), Err)
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

    /// When to wake up if nothing happens. Times in the past are left out, or the loop would spin.
    fn next_due(&self, now: Instant) -> Option<Instant> {
        let phase = match &self.phase {
            Phase::Working => {
                let drain = self.drain.as_ref().and_then(|drain| drain.next_due(now));
                let watch = self.progress.as_ref().and_then(|(_, watch)| watch.next_due());
                [self.polling.next_due(now), self.breaker.next_due(now), drain, watch.filter(|&due| due > now)]
            }
            Phase::Stopping { receives_until, grace_ends, ends, cut } => {
                let receive = self.polling.is_receiving().then_some(*receives_until);
                [receive.filter(|&until| until > now), (!cut).then_some(*grace_ends), Some(*ends), None]
            }
        };
        let batchers = [&self.acks, &self.dead_letters, &self.releases].map(Batcher::next_due);
        let report = self.reports.next_due(self.state(), self.stats.total.counts());
        let calls = batchers.into_iter().chain([self.in_flight.next_heartbeat(), report]);
        // While MAX_CALLS are under way, the next one waits for an answer and not for a time.
        let calls = calls.filter(|_| self.calls.len() < MAX_CALLS);
        phase.into_iter().chain(calls).chain([Some(self.numbers_due), Some(self.tick_due)]).flatten().min()
    }

    fn is_over(&self) -> bool {
        match &self.phase {
            Phase::Working => false,
            Phase::Stopping { receives_until, ends, .. } => {
                let now = Instant::now();
                let receiving = self.polling.is_receiving() && now < *receives_until;
                now >= *ends || (self.jobs.is_empty() && self.in_flight.is_empty() && !receiving)
            }
        }
    }

    fn is_stopping(&self) -> bool {
        matches!(self.phase, Phase::Stopping { .. })
    }

    /// Starts what the state asks for: aborts jobs after the grace period, sends heartbeats and batches, receives.
    fn start_what_is_due(&mut self) {
        let now = Instant::now();
        if let Phase::Stopping { grace_ends, cut: false, .. } = self.phase
            && now >= grace_ends
        {
            self.abort_jobs(now);
        }
        self.check_health(now);
        if now >= self.numbers_due {
            let numbers = Box::new(self.stats.take_recent(now));
            self.emit(Event::Numbers { total: false, numbers });
            self.numbers_due = now + self.settings.numbers_every;
        }
        while self.calls.len() < MAX_CALLS {
            let Some(call) = self.next_call(now) else { break };
            self.calls.push(call.start(Arc::clone(&self.context.backend)));
        }
    }

    /// Updates `/healthz` and the metrics, and notifies systemd.
    fn check_health(&mut self, now: Instant) {
        match self.report.is_behind() {
            Ok(behind) => self.behind = behind,
            Err(error) => self.output_failed(error),
        }
        let doing = match (&self.phase, self.breaker.open_since()) {
            (Phase::Stopping { .. }, _) => Doing::Stopping,
            (Phase::Working, Some(since)) => Doing::Pausing { since },
            (Phase::Working, None) => Doing::Working,
        };
        self.stats.metrics.health.turned(doing, now);
        self.stats.metrics.set_paused(self.breaker.open_since().is_some());
        if self.behind {
            self.stats.metrics.health.not_received("stdout is not being read", now);
        }
        if now >= self.tick_due {
            self.tick_due = now + self.notifier.interval().map_or(TICK, |interval| interval.min(TICK));
            if self.stats.metrics.health.verdict(now).is_ok() {
                self.notifier.alive();
            }
        }
    }

    /// The most urgent call that is due. A late heartbeat costs a whole job, a late delete causes a duplicate delivery.
    fn next_call(&mut self, now: Instant) -> Option<Call> {
        let heartbeats = self.in_flight.take_heartbeats(now);
        if !heartbeats.is_empty() {
            return Some(Call::Heartbeat(heartbeats));
        }
        // With no jobs left, no more messages will join a batch.
        let hurry = self.is_stopping() || self.jobs.is_empty();
        if let Some(ids) = self.releases.take(now, hurry, usize::MAX) {
            return Some(Call::releasing(ids, &self.in_flight));
        }
        if let Some(ids) = self.dead_letters.take(now, hurry, MAX_DEAD_LETTERS_BYTES) {
            return Some(Call::dead_lettering(ids, &self.in_flight));
        }
        if let Some(ids) = self.acks.take(now, hurry, usize::MAX) {
            return Some(Call::acking(ids, &self.in_flight));
        }
        if !self.is_stopping() {
            if let Some((most, wait)) = self.next_receive(now) {
                return Some(Call::Receive { most, wait });
            }
            let idle = self.in_flight.is_empty();
            if self.drain.as_mut().is_some_and(|drain| drain.next(idle, now)) {
                return Some(Call::Depth);
            }
            if self.progress.as_mut().is_some_and(|(_, watch)| watch.next(now)) {
                return Some(Call::Watch);
            }
        }
        let (state, counts) = (self.state(), self.stats.total.counts());
        self.reports.next(state, counts, resident_bytes, now, epoch_s()).map(|report| Call::Report(Box::new(report)))
    }

    fn next_receive(&mut self, now: Instant) -> Option<(usize, Duration)> {
        if self.behind {
            return None;
        }
        match self.breaker.may_receive(now) {
            May::Any => self.polling.next(self.free_slots(), now),
            May::One => self.polling.next_one(self.free_slots(), now),
            May::Nothing => None,
        }
    }

    /// The state for a report.
    fn state(&self) -> worker_report::State {
        match self.phase {
            Phase::Stopping { .. } => worker_report::State::Stopping,
            Phase::Working if self.in_flight.is_empty() => worker_report::State::Idle,
            Phase::Working => worker_report::State::Working,
        }
    }

    /// Puts the final report, which delays the exit by [`LAST_REPORT`] at most.
    async fn put_last_report(&mut self) {
        let counts = self.stats.total.counts();
        let report = self.reports.report(worker_report::State::Stopped, counts, resident_bytes(), epoch_s());
        let Some(report) = report else { return };
        let put = tokio::time::timeout(LAST_REPORT, self.context.backend.put_report(&report)).await;
        let put =
            put.map_or_else(|_| Err("no answer in time".to_owned()), |put| put.map_err(|error| error.to_string()));
        self.report_put(report.key(), put, Instant::now());
    }

    /// How many more messages may be received.
    fn free_slots(&self) -> usize {
        let slots = self.settings.concurrency.saturating_sub(self.jobs.len());
        let in_flight = (self.settings.concurrency + MAX_SETTLING).saturating_sub(self.in_flight.len());
        let bodies = MAX_BODIES_BYTES.saturating_sub(self.in_flight.bodies_bytes()) / MAX_MESSAGE_BYTES;
        slots.min(in_flight).min(bodies)
    }

    fn apply(&mut self, input: Input) {
        let now = Instant::now();
        match input {
            Input::Time => {}
            Input::Identity(identity) => {
                self.identity = None;
                self.reports = Reports::new(Some(*identity), now);
            }
            Input::Stop(stop) => self.stop(&stop.unwrap_or_else(|| "the stop channel was closed".into()), now),
            Input::Job(ended) => self.job_ended(ended, now),
            Input::Call(answered) => self.call_answered(answered, now),
        }
    }

    /// The first stop begins the grace period, a second one ends it.
    fn stop(&mut self, why: &str, now: Instant) {
        match &mut self.phase {
            Phase::Working => {
                let grace_ends = now + Duration::from_secs(self.settings.grace_s.into());
                let receives_until = (now + LAST_RECEIVE).min(grace_ends);
                self.phase = Phase::Stopping { receives_until, grace_ends, ends: grace_ends + LAST_CALLS, cut: false };
                self.notifier.stopping();
                self.stats.metrics.health.turned(Doing::Stopping, now);
                let (grace_s, working) = (self.settings.grace_s, self.jobs.len());
                self.emit(Event::Stopping { why: why.to_owned(), grace_s, working });
            }
            Phase::Stopping { .. } => self.abort_jobs(now),
        }
    }

    /// Aborts all jobs and releases their messages.
    fn abort_jobs(&mut self, now: Instant) {
        self.phase = Phase::Stopping { receives_until: now, grace_ends: now, ends: now + LAST_CALLS, cut: true };
        let working: Vec<Id> = self.in_flight.working().map(|(id, job)| (id, job.abort())).map(|(id, ())| id).collect();
        self.release_aborted(&working, now);
    }

    fn emit(&mut self, event: Event) {
        if let Err(error) = self.report.report(&event) {
            self.output_failed(error);
        }
    }

    fn output_failed(&mut self, error: io::Error) {
        if self.fatal_error.is_none() {
            self.fatal_error = Some(FatalError::Report(error));
            self.stop("its output cannot be written", Instant::now());
        }
    }
}

/// Seconds since 1970, for reports.
pub fn epoch_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
