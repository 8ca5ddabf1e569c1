//! Whether the worker is healthy, for `/healthz` and for systemd's watchdog: whether its loop runs, and whether it can
//! receive. Pure but for a lock: the caller passes the time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The loop runs at least this often, even when nothing happens.
pub const TICK: Duration = Duration::from_secs(5);
/// A loop that has not run for this long hangs.
const MAX_STILL: Duration = Duration::from_secs(30);
/// A worker that could not receive for this long should be restarted: its network, credentials or connections may be at
/// fault. A hanging receive is aborted after 30 s at most, and a few failures mean nothing.
const MAX_UNRECEIVED: Duration = Duration::from_secs(5 * 60);

/// What the loop writes and the others read; clones share the state.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    turned: Option<Instant>,
    doing: Doing,
    /// Since when nothing could be received, and why.
    unreceived: Option<(Instant, String)>,
}

/// What the loop is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Doing {
    #[default]
    Working,
    /// It receives nothing because S3 fails; a restart would not help.
    Pausing {
        since: Instant,
    },
    Stopping,
}

impl Health {
    pub fn turned(&self, doing: Doing, now: Instant) {
        let mut seen = self.seen();
        seen.turned = Some(now);
        seen.doing = doing;
    }

    /// SQS has answered a receive, with messages or without.
    pub fn received(&self) {
        self.seen().unreceived = None;
    }

    /// A receive failed, or nothing is received for this reason.
    pub fn not_received(&self, why: &str, now: Instant) {
        let mut seen = self.seen();
        let since = seen.unreceived.take().map_or(now, |(since, _)| since);
        seen.unreceived = Some((since, why.to_owned()));
    }

    /// Describes the state; an error if the worker is unhealthy.
    ///
    /// # Errors
    /// Why the worker should be restarted.
    pub fn verdict(&self, now: Instant) -> Result<String, String> {
        let seen = self.seen();
        let for_s = |since: Instant| now.saturating_duration_since(since).as_secs();
        let Some(turned) = seen.turned else { return Ok("ok: starting".into()) };
        if now.saturating_duration_since(turned) > MAX_STILL {
            return Err(format!("the loop has not run for {} s", for_s(turned)));
        }
        if let Some((since, why)) = &seen.unreceived
            && seen.doing != Doing::Stopping
            && now.saturating_duration_since(*since) > MAX_UNRECEIVED
        {
            return Err(format!("nothing could be received for {} s: {why}", for_s(*since)));
        }
        Ok(match seen.doing {
            Doing::Working => "ok".into(),
            Doing::Pausing { since } => {
                format!("ok: nothing is received because S3 has been failing for {} s", for_s(since))
            }
            Doing::Stopping => "ok: stopping".into(),
        })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_hangs_is_unhealthy() {
        let (health, now) = (Health::default(), Instant::now());
        assert_eq!(health.verdict(now), Ok("ok: starting".into()));
        health.turned(Doing::Working, now);
        assert_eq!(health.verdict(now + MAX_STILL), Ok("ok".into()));
        let late = now + Duration::from_secs(45);
        assert_eq!(health.verdict(late), Err("the loop has not run for 45 s".into()));
        health.turned(Doing::Stopping, late);
        assert_eq!(health.verdict(late), Ok("ok: stopping".into()));
    }

    #[test]
    fn a_worker_that_cannot_receive_is_unhealthy_after_a_while() {
        let (health, began) = (Health::default(), Instant::now());
        let at = |s| began + Duration::from_secs(s);
        health.not_received("sqs:ReceiveMessage: no answer in time", at(10));
        health.not_received("sqs:ReceiveMessage: Forbidden", at(200));
        health.turned(Doing::Working, at(311));
        assert_eq!(health.verdict(at(310)), Ok("ok".into()));
        let why = "nothing could be received for 301 s: sqs:ReceiveMessage: Forbidden";
        assert_eq!(health.verdict(at(311)), Err(why.into()));
        health.turned(Doing::Stopping, at(311));
        assert!(health.verdict(at(311)).is_ok(), "it receives no more on purpose");
        health.turned(Doing::Working, at(312));
        health.received();
        assert_eq!(health.verdict(at(312)), Ok("ok".into()));
    }

    #[test]
    fn a_pause_for_s3s_sake_is_said_and_is_no_illness() {
        let (health, began) = (Health::default(), Instant::now());
        let now = began + Duration::from_secs(3_600);
        health.turned(Doing::Pausing { since: began }, now);
        assert_eq!(health.verdict(now), Ok("ok: nothing is received because S3 has been failing for 3600 s".into()));
    }
}
