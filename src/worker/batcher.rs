//! Messages on their way out, gathered into batch calls: a full batch goes at once, a smaller one after a moment.
//! Pure: it is told the time.

use std::time::Duration;

use tokio::time::Instant;

use super::in_flight::Id;
use crate::aws::BATCH;

/// How long a message waits for company.
pub const LINGER: Duration = Duration::from_millis(100);

/// One kind of leaving: deletes, or letters to the dead-letter queue, or returns.
#[derive(Debug, Default)]
pub struct Outbox(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    id: Id,
    bytes: usize,
    due: Instant,
    /// Whether it may go before it is due, in somebody else's batch.
    may_join: bool,
}

impl Outbox {
    /// A message of so many bytes in the call (0: they do not matter).
    pub fn push(&mut self, id: Id, bytes: usize, now: Instant) {
        self.0.push(Entry { id, bytes, due: now + LINGER, may_join: true });
    }

    /// One whose call failed: not before `due`.
    pub fn push_again(&mut self, id: Id, bytes: usize, due: Instant) {
        self.0.push(Entry { id, bytes, due, may_join: false });
    }

    /// When something must go.
    pub fn next_due(&self) -> Option<Instant> {
        self.0.iter().map(|entry| entry.due).min()
    }

    /// The next batch to send, of at most `max_bytes` (one message may be larger alone). With `hurry` nothing lingers.
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
    fn a_full_batch_goes_at_once_and_the_rest_after_a_moment() {
        let (mut outbox, now) = (Outbox::default(), Instant::now());
        (0..12).for_each(|id| outbox.push(id, 0, now));
        assert_eq!(outbox.take(now, false, 0), Some((0..10).collect()));
        assert_eq!(outbox.take(now, false, 0), None);
        assert_eq!(outbox.next_due(), Some(now + LINGER));
        assert_eq!(outbox.take(now + LINGER, false, 0), Some(vec![10, 11]));
        assert_eq!(outbox.next_due(), None);
    }

    #[test]
    fn in_a_hurry_nothing_lingers_but_what_failed_still_waits() {
        let (mut outbox, now) = (Outbox::default(), Instant::now());
        outbox.push(1, 0, now);
        outbox.push_again(2, 0, now + Duration::from_secs(1));
        assert_eq!(outbox.take(now, true, 0), Some(vec![1]));
        assert_eq!(outbox.take(now, true, 0), None);
        assert_eq!(outbox.take(now + Duration::from_secs(1), true, 0), Some(vec![2]));
    }

    #[test]
    fn a_batch_stays_below_its_bytes() {
        let (mut outbox, now) = (Outbox::default(), Instant::now());
        [60, 50, 40, 200].into_iter().enumerate().for_each(|(id, bytes)| outbox.push(id as u64, bytes, now));
        let mut batches = std::iter::from_fn(|| outbox.take(now, true, 100));
        assert_eq!(batches.next(), Some(vec![0, 2]));
        assert_eq!(batches.next(), Some(vec![1]));
        assert_eq!(batches.next(), Some(vec![3]));
        assert_eq!(batches.next(), None);
    }
}
