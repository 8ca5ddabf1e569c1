//! Collects messages that are being settled into batch calls: a full batch is sent at once, a partial one after a short
//! linger time. Pure: the caller passes the time.

use std::time::Duration;

use tokio::time::Instant;

use super::in_flight::Id;
use crate::aws::BATCH;

/// How long a partial batch waits for more messages.
pub const LINGER: Duration = Duration::from_millis(100);

/// The messages to settle in one way: acks, dead letters or releases.
#[derive(Debug, Default)]
pub struct Batcher(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    id: Id,
    bytes: usize,
    due: Instant,
    /// Whether it may be sent before it is due, if another message's batch is.
    may_join: bool,
}

impl Batcher {
    /// Adds a message; `bytes` is its size in the call, 0 where that does not matter.
    pub fn push(&mut self, id: Id, bytes: usize, now: Instant) {
        self.0.push(Entry { id, bytes, due: now + LINGER, may_join: true });
    }

    /// Adds a message whose call failed; it is not sent before `due`.
    pub fn push_again(&mut self, id: Id, bytes: usize, due: Instant) {
        self.0.push(Entry { id, bytes, due, may_join: false });
    }

    /// When the next batch is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.0.iter().map(|entry| entry.due).min()
    }

    /// The next batch to send, of at most `max_bytes` (a larger message is sent alone). With `hurry` new messages do not linger.
    pub fn take(&mut self, now: Instant, hurry: bool, max_bytes: usize) -> Option<Vec<Id>> {
        let may_go = |entry: &Entry| entry.may_join || entry.due <= now;
        let joining = self.0.iter().filter(|entry| may_go(entry)).count();
        let due = self.0.iter().any(|entry| entry.due <= now || (hurry && entry.may_join));
        if joining == 0 || !(due || joining >= BATCH) {
            return None;
        }
        let (mut batch, mut bytes) = (Vec::new(), 0);
        self.0.retain(|entry| {
            let fits = batch.is_empty() || (batch.len() < BATCH && bytes + entry.bytes <= max_bytes);
            let goes = fits && may_go(entry);
            if goes {
                batch.push(entry.id);
                bytes += entry.bytes;
            }
            !goes
        });
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_batch_is_sent_at_once_and_the_rest_after_the_linger_time() {
        let (mut batcher, now) = (Batcher::default(), Instant::now());
        (0..12).for_each(|id| batcher.push(id, 0, now));
        assert_eq!(batcher.take(now, false, 0), Some((0..10).collect()));
        assert_eq!(batcher.take(now, false, 0), None);
        assert_eq!(batcher.next_due(), Some(now + LINGER));
        assert_eq!(batcher.take(now + LINGER, false, 0), Some(vec![10, 11]));
        assert_eq!(batcher.next_due(), None);
    }

    #[test]
    fn in_a_hurry_new_messages_do_not_linger_but_failed_ones_still_wait() {
        let (mut batcher, now) = (Batcher::default(), Instant::now());
        batcher.push(1, 0, now);
        batcher.push_again(2, 0, now + Duration::from_secs(1));
        assert_eq!(batcher.take(now, true, 0), Some(vec![1]));
        assert_eq!(batcher.take(now, true, 0), None);
        assert_eq!(batcher.take(now + Duration::from_secs(1), true, 0), Some(vec![2]));
    }

    #[test]
    fn a_batch_stays_below_its_bytes() {
        let (mut batcher, now) = (Batcher::default(), Instant::now());
        [60, 50, 40, 200].into_iter().enumerate().for_each(|(id, bytes)| batcher.push(id as u64, bytes, now));
        let mut batches = std::iter::from_fn(|| batcher.take(now, true, 100));
        assert_eq!(batches.next(), Some(vec![0, 2]));
        assert_eq!(batches.next(), Some(vec![1]));
        assert_eq!(batches.next(), Some(vec![3]));
        assert_eq!(batches.next(), None);
    }
}
