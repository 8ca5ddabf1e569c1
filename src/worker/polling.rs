//! When to receive, how many messages, and with what wait time; and when a queue counts as empty. Pure: the caller passes
//! the time.

use std::time::Duration;

use tokio::time::Instant;

use super::backend::Depth;
use crate::aws::{BATCH, CallError, Kind};

/// SQS: the longest long poll (API ReceiveMessage).
const LONG_WAIT: Duration = Duration::from_secs(20);
/// The wait while messages keep arriving: a hanging poll is aborted a little after its wait, and must not cost a busy
/// worker half a minute.
const SHORT_WAIT: Duration = Duration::from_secs(2);
/// The wait while draining: the worker asks again until the queue has been reported empty three times.
const DRAIN_WAIT: Duration = Duration::from_secs(1);
/// Between failed receives: doubled each time, up to the maximum.
const RETRY_BASE: Duration = Duration::from_millis(500);
const MAX_RETRY: Duration = Duration::from_secs(20);
/// Receives in a row that SQS may refuse (no such queue, no permission) before the worker gives up.
const MAX_REFUSALS: u32 = 5;
/// Depths of zero in a row, each after an empty receive, that make a queue empty. The figures are approximate, and one
/// zero proves nothing (SQS developer guide, "ApproximateNumberOfMessages").
const ZEROS: u32 = 3;
const BETWEEN_DEPTHS: Duration = Duration::from_secs(1);
/// Between two questions how many messages are left.
const WATCH_EVERY: Duration = Duration::from_secs(5);

/// At most one receive is under way.
#[derive(Debug)]
pub struct Polling {
    /// Free slots needed before polling: receives are billed per call.
    min_free_slots: usize,
    draining: bool,
    receiving: bool,
    busy: bool,
    failures: u32,
    refusals: u32,
    not_before: Option<Instant>,
}

impl Polling {
    pub fn new(concurrency: usize, draining: bool) -> Self {
        // Half of the slots keep the CPUs busy while the other half is being filled.
        let min_free_slots = concurrency.div_ceil(2).min(BATCH);
        Self { min_free_slots, draining, receiving: false, busy: false, failures: 0, refusals: 0, not_before: None }
    }

    /// The receive to start now, if any: for how many messages, and how long it may wait for the first.
    pub fn next(&mut self, free_slots: usize, now: Instant) -> Option<(usize, Duration)> {
        if free_slots < self.min_free_slots { None } else { self.begin(free_slots, now) }
    }

    /// A receive of one message, however many slots are free.
    pub fn next_one(&mut self, free_slots: usize, now: Instant) -> Option<(usize, Duration)> {
        self.begin(free_slots.min(1), now)
    }

    fn begin(&mut self, free_slots: usize, now: Instant) -> Option<(usize, Duration)> {
        if self.receiving || free_slots == 0 || self.not_before.is_some_and(|not_before| now < not_before) {
            return None;
        }
        self.receiving = true;
        let wait = match (self.draining, self.busy) {
            (true, _) => DRAIN_WAIT,
            (false, true) => SHORT_WAIT,
            (false, false) => LONG_WAIT,
        };
        Some((free_slots.min(BATCH), wait))
    }

    pub fn is_receiving(&self) -> bool {
        self.receiving
    }

    /// When to wake up, if a failure has delayed the next receive.
    pub fn next_due(&self, now: Instant) -> Option<Instant> {
        self.not_before.filter(|&due| due > now && !self.receiving)
    }

    pub fn answered(&mut self, messages: usize) {
        *self = Self { receiving: false, busy: messages > 0, failures: 0, refusals: 0, not_before: None, ..*self };
    }

    /// Records a failed receive; `jitter` is 0 to 1. Returns whether to continue.
    pub fn failed(&mut self, error: &CallError, jitter: f64, now: Instant) -> bool {
        self.receiving = false;
        self.failures += 1;
        let refused = matches!(error.kind, Kind::NotFound | Kind::Denied | Kind::Refused);
        self.refusals = if refused { self.refusals + 1 } else { 0 };
        let full = RETRY_BASE.saturating_mul(2_u32.saturating_pow(self.failures - 1)).min(MAX_RETRY);
        self.not_before = Some(now + full.mul_f64(0.5 + jitter / 2.0));
        self.refusals < MAX_REFUSALS
    }
}

/// When to ask how many messages are left, for the status line.
#[derive(Debug)]
pub struct Watch {
    /// `None`: a call is under way, or SQS does not answer.
    due: Option<Instant>,
}

impl Watch {
    pub fn new(now: Instant) -> Self {
        Self { due: Some(now) }
    }

    /// Whether to ask now.
    pub fn next(&mut self, now: Instant) -> bool {
        self.due.take_if(|due| *due <= now).is_some()
    }

    pub fn next_due(&self) -> Option<Instant> {
        self.due
    }

    /// After an error it does not ask again: the line does without.
    pub fn answered(&mut self, answered: bool, now: Instant) {
        self.due = answered.then(|| now + WATCH_EVERY);
    }
}

/// Decides when a queue is empty: nothing visible, in flight or delayed, several times in a row, each after an empty
/// receive.
#[derive(Debug, Default)]
pub struct Drain {
    zeros: u32,
    empty_receives: u32,
    asking: bool,
    not_before: Option<Instant>,
}

impl Drain {
    pub fn received(&mut self, messages: usize) {
        if messages == 0 {
            self.empty_receives += 1;
        } else {
            (self.zeros, self.empty_receives) = (0, 0);
        }
    }

    /// Whether to ask for the depth now; `idle`: this worker has no messages in flight.
    pub fn next(&mut self, idle: bool, now: Instant) -> bool {
        let now_is_good = self.not_before.is_none_or(|not_before| now >= not_before);
        let ask = idle && !self.asking && self.empty_receives > 0 && now_is_good;
        self.asking |= ask;
        ask
    }

    pub fn next_due(&self, now: Instant) -> Option<Instant> {
        self.not_before.filter(|&due| due > now && !self.asking)
    }

    /// Whether the queue is empty, by this depth and those before it. None: the depth is unknown.
    pub fn answered(&mut self, depth: Option<Depth>, now: Instant) -> bool {
        self.zeros = if depth.is_some_and(Depth::is_zero) { self.zeros + 1 } else { 0 };
        *self = Self { asking: false, empty_receives: 0, not_before: Some(now + BETWEEN_DEPTHS), ..*self };
        self.zeros >= ZEROS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: Kind) -> CallError {
        CallError { action: "sqs:ReceiveMessage", kind, code: None, message: "no".into() }
    }

    #[test]
    fn a_receive_fills_the_free_slots_and_only_one_is_under_way() {
        let now = Instant::now();
        let mut polling = Polling::new(16, false);
        assert_eq!(polling.next(7, now), None);
        assert_eq!(polling.next(8, now), Some((8, LONG_WAIT)));
        assert_eq!(polling.next(16, now), None);
        polling.answered(8);
        assert_eq!(polling.next(16, now), Some((10, SHORT_WAIT)));
        polling.answered(0);
        assert_eq!(polling.next(16, now), Some((10, LONG_WAIT)));
        assert_eq!(Polling::new(1, true).next(1, now), Some((1, DRAIN_WAIT)));
        polling.answered(0);
        assert_eq!(polling.next_one(0, now), None);
        assert_eq!(polling.next_one(16, now), Some((1, LONG_WAIT)));
        assert_eq!(polling.next_one(16, now), None, "one at a time");
    }

    #[test]
    fn failed_receives_back_off_until_one_is_answered() {
        let now = Instant::now();
        let mut polling = Polling::new(1, false);
        let mut waits = Vec::new();
        for _ in 0..8 {
            assert!(polling.failed(&error(Kind::Unavailable), 1.0, now));
            waits.push(polling.next_due(now).unwrap().duration_since(now).as_millis());
            assert_eq!(polling.next(1, now), None);
        }
        assert_eq!(waits, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 20_000, 20_000]);
        assert!(polling.next(1, now + MAX_RETRY).is_some());
        polling.answered(0);
        assert_eq!(polling.next_due(now), None);
    }

    #[test]
    fn a_queue_that_keeps_refusing_ends_the_worker() {
        let (mut polling, now) = (Polling::new(1, false), Instant::now());
        let continues: Vec<bool> = (0..5).map(|_| polling.failed(&error(Kind::NotFound), 0.0, now)).collect();
        assert_eq!(continues, [true, true, true, true, false]);
        polling.answered(0);
        assert!(polling.failed(&error(Kind::NotFound), 0.0, now));
    }

    #[test]
    fn a_queue_is_empty_when_it_has_been_reported_so_three_times() {
        let (mut drain, mut now) = (Drain::default(), Instant::now());
        let zero = Some(Depth::default());
        assert!(!drain.next(true, now), "no receive has been empty yet");
        let mut ask = |drain: &mut Drain, depth| {
            drain.received(0);
            now += BETWEEN_DEPTHS;
            assert!(!drain.next(false, now), "it has messages in flight");
            assert!(drain.next(true, now));
            assert!(!drain.next(true, now), "a call is under way");
            drain.answered(depth, now)
        };
        assert!(!ask(&mut drain, zero));
        assert!(!ask(&mut drain, zero));
        assert!(
            !ask(&mut drain, Some(Depth { in_flight: 1, ..Depth::default() })),
            "another worker has a message in flight"
        );
        assert!(!ask(&mut drain, zero));
        assert!(!ask(&mut drain, None), "no answer is not a zero");
        assert!(!ask(&mut drain, zero));
        drain.received(3);
        assert!(!ask(&mut drain, zero));
        assert!(!ask(&mut drain, zero));
        assert!(ask(&mut drain, zero));
    }
}
