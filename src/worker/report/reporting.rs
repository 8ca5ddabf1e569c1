//! When a worker puts its report into the code bucket, and what it contains. Pure: the caller passes the time.

use std::time::Duration;

use tokio::time::Instant;

use crate::worker_report::{Counts, Memory, State, VERSION, WorkerReport};

/// The interval while messages arrive.
const BUSY_EVERY: Duration = Duration::from_secs(60);
/// The interval while idle.
const IDLE_EVERY: Duration = Duration::from_secs(5 * 60);
/// The delay after a failed report; doubled each time, up to [`IDLE_EVERY`]. `apply` waits for the first report, and IAM
/// may take some seconds to propagate the permission to write it.
const RETRY: Duration = Duration::from_secs(15);
/// How long the final report may take, which delays the worker's exit.
pub const LAST_REPORT: Duration = Duration::from_secs(3);

/// What stays the same in all of a worker's reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub id: String,
    pub binary: Option<String>,
    pub config: String,
    pub started_s: u64,
    pub ceiling_bytes: u64,
}

#[derive(Debug)]
pub struct Reports {
    /// None: no reports.
    identity: Option<Identity>,
    due: Due,
    /// The content of the last report that succeeded.
    last: Option<(State, Counts)>,
    /// The content of the report under way.
    sent: Option<(State, Counts)>,
    failures: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    At(Instant),
    /// A busy worker reports earlier.
    After(Instant),
    /// One is under way.
    Answered,
}

impl Reports {
    pub fn new(identity: Option<Identity>, now: Instant) -> Self {
        Self { identity, due: Due::At(now), last: None, sent: None, failures: 0 }
    }

    /// When the next report is due, given the worker's state and counts.
    pub fn next_due(&self, state: State, counts: Counts) -> Option<Instant> {
        self.identity.as_ref()?;
        match self.due {
            Due::Answered => None,
            Due::At(due) => Some(due),
            Due::After(last) => {
                let stops = state == State::Stopping && self.last.is_some_and(|(last, _)| last != state);
                let is_same = self.last == Some((State::Idle, counts)) && state == State::Idle;
                Some(match is_same {
                    _ if stops => last,
                    true => last + IDLE_EVERY,
                    false => last + BUSY_EVERY,
                })
            }
        }
    }

    /// The report to put now, if one is due; only then is `resident_bytes` called.
    pub fn next(
        &mut self,
        state: State,
        counts: Counts,
        resident_bytes: fn() -> Option<u64>,
        now: Instant,
        now_s: u64,
    ) -> Option<WorkerReport> {
        self.next_due(state, counts).filter(|&due| due <= now)?;
        let state = if self.last.is_none() { State::Started } else { state };
        let report = self.report(state, counts, resident_bytes(), now_s)?;
        self.due = Due::Answered;
        self.sent = Some((state, counts));
        Some(report)
    }

    /// A report as of now, due or not.
    pub fn report(
        &self,
        state: State,
        counts: Counts,
        resident_bytes: Option<u64>,
        now_s: u64,
    ) -> Option<WorkerReport> {
        let Identity { id, binary, config, started_s, ceiling_bytes } = self.identity.clone()?;
        Some(WorkerReport {
            version: VERSION,
            id,
            thumb: env!("CARGO_PKG_VERSION").to_owned(),
            binary,
            config,
            state,
            started_s,
            last_seen_s: now_s,
            counts,
            memory: Memory { ceiling_bytes, resident_bytes },
        })
    }

    /// Records whether a report succeeded. Returns whether this is the first failure in a row.
    pub fn answered(&mut self, put: bool, now: Instant) -> bool {
        if put {
            self.failures = 0;
            self.due = Due::After(now);
            self.last = self.sent;
            return false;
        }
        let wait = RETRY.saturating_mul(2_u32.saturating_pow(self.failures)).min(IDLE_EVERY);
        self.failures = self.failures.saturating_add(1);
        self.due = Due::At(now + wait);
        self.failures == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity { id: "i-1".into(), binary: None, config: "c".into(), started_s: 100, ceiling_bytes: 7 }
    }

    fn counts(done: u64) -> Counts {
        Counts { done, ..Counts::default() }
    }

    #[test]
    fn reports_come_at_once_then_every_minute_while_busy_and_every_five_while_idle() {
        let began = Instant::now();
        let mut reports = Reports::new(Some(identity()), began);
        let mut seen = Vec::new();
        // Idle, a message at the 400th second for one second, a stop at the 1,000th.
        for second in 0..=1_000 {
            let now = began + Duration::from_secs(second);
            let state = match second {
                1_000 => State::Stopping,
                400 => State::Working,
                _ => State::Idle,
            };
            let done = u64::from(second > 400);
            if let Some(report) = reports.next(state, counts(done), || None, now, second) {
                assert_eq!(reports.next_due(state, counts(done)), None, "one at a time");
                assert_eq!((report.last_seen_s, report.id.as_str()), (second, "i-1"));
                seen.push((second, report.state, report.counts.done));
                assert!(!reports.answered(true, now));
            }
        }
        assert_eq!(
            seen,
            [
                (0, State::Started, 0),
                (60, State::Idle, 0),
                (360, State::Idle, 0),
                // Not at 400: the one of 360 is not a minute old.
                (420, State::Idle, 1),
                (720, State::Idle, 1),
                (1_000, State::Stopping, 1),
            ]
        );
    }

    #[test]
    fn a_busy_worker_reports_every_minute() {
        let began = Instant::now();
        let mut reports = Reports::new(Some(identity()), began);
        let due = |second| {
            let now = began + Duration::from_secs(second);
            let due = reports.next(State::Working, counts(second), || Some(5), now, second).is_some();
            due.then(|| reports.answered(true, now)).is_some()
        };
        let due: Vec<u64> = (0..200)
            .filter({
                let mut due = due;
                move |&second| due(second)
            })
            .collect();
        assert_eq!(due, [0, 60, 120, 180]);
    }

    #[test]
    fn a_failure_is_told_once_and_the_next_report_is_tried_soon() {
        let mut now = Instant::now();
        let mut reports = Reports::new(Some(identity()), now);
        let (mut waits, mut news) = (Vec::new(), 0);
        for _ in 0..7 {
            assert!(reports.next(State::Idle, counts(0), || None, now, 0).is_some());
            news += u32::from(reports.answered(false, now));
            let due = reports.next_due(State::Idle, counts(0)).unwrap();
            waits.push(due.duration_since(now).as_secs());
            now = due;
        }
        assert_eq!((waits, news), (vec![15, 30, 60, 120, 240, 300, 300], 1));
        assert!(reports.next(State::Idle, counts(0), || None, now, 0).is_some());
        reports.answered(true, now);
        assert!(reports.answered(false, now), "it had worked in between");
    }

    #[test]
    fn a_worker_without_an_identity_does_not_report() {
        let now = Instant::now();
        let mut reports = Reports::new(None, now);
        assert_eq!(reports.next_due(State::Idle, counts(0)), None);
        assert_eq!(reports.next(State::Idle, counts(0), || None, now, 0), None);
        assert_eq!(reports.report(State::Stopped, counts(0), None, 0), None);
    }
}
