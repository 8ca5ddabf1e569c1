//! Whether the worker is well, for `/healthz` and for systemd's watchdog: whether its loop turns, and whether it could
//! receive. Pure but for a lock: it is told the time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The loop turns at least so often, also when nothing happens.
pub const TICK: Duration = Duration::from_secs(5);
/// A loop that has not turned for so long hangs.
const MAX_STILL: Duration = Duration::from_secs(30);
/// A worker that could not receive for so long is better started again: its network, its credentials or its connections
/// may be to blame. A receive that hangs is given up after 30 s at most, and a few that fail mean nothing.
const MAX_UNRECEIVED: Duration = Duration::from_secs(5 * 60);

/// What the loop writes and the others read; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    turned: Option<Instant>,
    doing: Doing,
    /// Since when nothing could be received, and why not.
    unreceived: Option<(Instant, String)>,
}

/// What the loop is at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Doing {
    #[default]
    Working,
    /// It receives nothing because S3 fails; to start it again would not help.
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

    /// A receive has failed, or there is a reason to make none.
    pub fn not_received(&self, why: &str, now: Instant) {
        let mut seen = self.seen();
        let since = seen.unreceived.take().map_or(now, |(since, _)| since);
        seen.unreceived = Some((since, why.to_owned()));
    }

    /// A sentence on how it is; an error if it is not well.
    ///
    /// # Errors
    /// Why it had better be started again.
    pub fn verdict(&self, now: Instant) -> Result<String, String> {
        let seen = self.seen();
        let for_s = |since: Instant| now.saturating_duration_since(since).as_secs();
        let Some(turned) = seen.turned else { return Ok("ok: starting".into()) };
        if now.saturating_duration_since(turned) > MAX_STILL {
            return Err(format!("the loop has not turned for {} s", for_s(turned)));
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
    fn a_loop_that_stands_still_is_not_well() {
        let (health, now) = (Health::default(), Instant::now());
        assert_eq!(health.verdict(now), Ok("ok: starting".into()));
        health.turned(Doing::Working, now);
        assert_eq!(health.verdict(now + MAX_STILL), Ok("ok".into()));
        let late = now + Duration::from_secs(45);
        assert_eq!(health.verdict(late), Err("the loop has not turned for 45 s".into()));
        health.turned(Doing::Stopping, late);
        assert_eq!(health.verdict(late), Ok("ok: stopping".into()));
    }

    #[test]
    fn a_worker_that_cannot_receive_is_not_well_after_a_while() {
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
