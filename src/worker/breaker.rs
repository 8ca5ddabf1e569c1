//! The circuit breaker between the queue and S3. While S3 fails, each received message uses up one of its few receipts for
//! nothing. So after several failures in a row nothing is received for a while, then one message, whose outcome decides.
//! Pure: the caller passes the time.

use std::time::Duration;

use tokio::time::Instant;

use super::in_flight::Id;

/// Messages in a row that fail because of S3 until the breaker opens. The S3 client has tried each five times before.
const FAILURES: u32 = 5;
/// The pause after that; doubled each time that S3 still fails after it, up to the maximum. A worker then spends one
/// receipt a minute on probing.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const MAX_PAUSE: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub struct Breaker {
    /// In a row, while closed.
    failures: u32,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    since: Instant,
    pause: Duration,
    until: Instant,
    /// The message that S3 is probed with.
    probe: Option<Id>,
    /// Probes that failed.
    probes: u32,
}

/// What may be received now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum May {
    /// As many messages as there are free slots.
    Any,
    /// One, to probe S3 with.
    One,
    Nothing,
}

/// A change of state, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Opened { failures: u32, pause: Duration },
    Closed { after: Duration, probes: u32 },
}

impl Breaker {
    pub fn may_receive(&self, now: Instant) -> May {
        match &self.open {
            None => May::Any,
            Some(Open { probe: None, until, .. }) if now >= *until => May::One,
            Some(_) => May::Nothing,
        }
    }

    /// When to wake up.
    pub fn next_due(&self, now: Instant) -> Option<Instant> {
        self.open.as_ref().map(|open| open.until).filter(|&until| until > now)
    }

    pub fn open_since(&self) -> Option<Instant> {
        self.open.as_ref().map(|open| open.since)
    }

    /// Records a received message. The first one after the pause is the probe; messages that an earlier long poll returns
    /// during the pause are not.
    pub fn received(&mut self, id: Id, now: Instant) {
        if let Some(Open { probe: probe @ None, until, .. }) = &mut self.open
            && now >= *until
        {
            *probe = Some(id);
        }
    }

    /// Records a message's outcome: whether S3 worked for it, none if that is unknown. `jitter` is 0 to 1.
    pub fn ended(&mut self, id: Id, s3_worked: Option<bool>, jitter: f64, now: Instant) -> Option<Change> {
        let pause_of = |full: Duration| full.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0);
        match (&mut self.open, s3_worked) {
            (None, None) => None,
            (None, Some(true)) => {
                self.failures = 0;
                None
            }
            (None, Some(false)) => {
                self.failures += 1;
                if self.failures < FAILURES {
                    return None;
                }
                let pause = pause_of(FIRST_PAUSE);
                let until = now + pause;
                self.open = Some(Open { since: now, pause: FIRST_PAUSE, until, probe: None, probes: 0 });
                Some(Change::Opened { failures: self.failures, pause })
            }
            // Messages received before the pause that end late say nothing about S3 now.
            (Some(open), _) if open.probe != Some(id) => None,
            (Some(open), Some(true)) => {
                let closed = Change::Closed { after: now.duration_since(open.since), probes: open.probes };
                *self = Self::default();
                Some(closed)
            }
            (Some(open), Some(false)) => {
                open.pause = (open.pause * 2).min(MAX_PAUSE);
                open.until = now + pause_of(open.pause);
                open.probe = None;
                open.probes += 1;
                None
            }
            // The message itself was bad, or another worker took it over: the next one is the probe.
            (Some(open), None) => {
                open.probe = None;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(now: Instant) -> Breaker {
        let mut breaker = Breaker::default();
        for id in 0..4 {
            assert_eq!(breaker.ended(id, Some(false), 1.0, now), None);
            assert_eq!(breaker.may_receive(now), May::Any);
        }
        let opened = Change::Opened { failures: 5, pause: FIRST_PAUSE };
        assert_eq!(breaker.ended(4, Some(false), 1.0, now), Some(opened));
        breaker
    }

    #[test]
    fn it_opens_after_a_row_of_failures_and_closes_when_one_message_has_ended_well() {
        let now = Instant::now();
        let mut breaker = open(now);
        assert_eq!((breaker.may_receive(now), breaker.next_due(now)), (May::Nothing, Some(now + FIRST_PAUSE)));
        let later = now + FIRST_PAUSE;
        assert_eq!((breaker.may_receive(later), breaker.next_due(later)), (May::One, None));
        breaker.received(7, later);
        assert_eq!(breaker.may_receive(later), May::Nothing);
        let closed = Change::Closed { after: FIRST_PAUSE, probes: 0 };
        assert_eq!(breaker.ended(7, Some(true), 1.0, later), Some(closed));
        assert_eq!((breaker.may_receive(later), breaker.open_since()), (May::Any, None));
        assert_eq!(breaker.ended(8, Some(false), 1.0, later), None, "it counts from nought again");
    }

    #[test]
    fn failures_that_are_not_in_a_row_or_not_of_s3_do_not_open_it() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        for id in 0..100 {
            let worked = if id % 5 == 4 { Some(true) } else { Some(false) };
            assert_eq!(breaker.ended(id, worked, 1.0, now), None);
        }
        for id in 0..100 {
            assert_eq!(breaker.ended(id, None, 1.0, now), None);
        }
        assert_eq!(breaker.may_receive(now), May::Any);
    }

    #[test]
    fn pauses_double_up_to_a_minute_and_are_spread() {
        let mut now = Instant::now();
        let mut breaker = open(now);
        let mut pauses = Vec::new();
        for id in 10..16 {
            now = breaker.next_due(now).unwrap();
            breaker.received(id, now);
            assert_eq!(breaker.ended(id, Some(false), 1.0, now), None);
            pauses.push(breaker.next_due(now).unwrap().duration_since(now).as_secs());
        }
        assert_eq!(pauses, [10, 20, 40, 60, 60, 60]);
        now = breaker.next_due(now).unwrap();
        breaker.received(20, now);
        breaker.ended(20, Some(false), 0.0, now);
        assert_eq!(breaker.next_due(now), Some(now + MAX_PAUSE / 2));
    }

    #[test]
    fn only_the_probe_decides() {
        let now = Instant::now();
        let mut breaker = open(now);
        // Received before the breaker opened, or within its pause.
        breaker.received(5, now);
        assert_eq!(breaker.ended(5, Some(true), 1.0, now), None);
        let later = now + FIRST_PAUSE;
        breaker.received(6, later);
        breaker.received(7, later);
        assert_eq!(breaker.ended(7, Some(false), 1.0, later), None);
        assert_eq!(breaker.next_due(later), None);
        // Its object does not exist, which tells nothing about S3: the next message is the probe.
        assert_eq!(breaker.ended(6, None, 1.0, later), None);
        assert_eq!(breaker.may_receive(later), May::One);
    }
}
