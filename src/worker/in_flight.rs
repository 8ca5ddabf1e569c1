//! The messages a worker holds: received, and not yet deleted, returned or lost. Pure: it is told the time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::attributes::Attribute;
use super::backend::Delivery;
use crate::aws::{BATCH, MAX_MESSAGE_BYTES};

/// SQS: a message is invisible for at most 12 hours from its receipt, whatever extends it (API ChangeMessageVisibility).
pub const MAX_INVISIBLE: Duration = Duration::from_secs(12 * 60 * 60);

/// Bodies held at most. Any message may have a mebibyte, so that a receive asks for no more messages than would fit if
/// they all had; two more than a receive brings, so that the small ones usually held do not shorten it.
pub const MAX_BODIES_BYTES: usize = (BATCH + 2) * MAX_MESSAGE_BYTES;

pub type Id = u64;

#[derive(Debug)]
pub struct Held {
    pub body: Arc<str>,
    /// Those it came with, as far as they are kept.
    pub attributes: Vec<Attribute>,
    pub receipt: String,
    pub receives: u32,
    received_at: Instant,
    next_beat: Instant,
    /// Whether a heartbeat is under way. It must not be overtaken by the call that makes the message visible again: it
    /// would hide it for one more timeout.
    beating: bool,
    pub state: State,
    /// Calls that tried to let it leave the queue, and failed.
    pub failed_leaves: u32,
}

#[derive(Debug)]
pub enum State {
    /// A job works on it.
    Working(AbortHandle),
    /// It has ended, and is on its way out.
    Leaving(Leave),
}

/// The three ways out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leave {
    Delete,
    /// Into the dead-letter queue, then deleted.
    Bury {
        stage: String,
        error: String,
    },
    /// Visible again in so many seconds.
    Return {
        visibility_s: u32,
    },
}

#[derive(Debug)]
pub struct Table {
    visibility: Duration,
    held: HashMap<Id, Held>,
    next: Id,
}

impl Table {
    /// For messages received with this visibility timeout.
    pub fn new(visibility: Duration) -> Self {
        Self { visibility, held: HashMap::new(), next: 0 }
    }

    /// The ID the next message will have.
    pub fn next_id(&self) -> Id {
        self.next
    }

    pub fn insert(&mut self, delivery: Delivery, job: AbortHandle, now: Instant) -> Id {
        let id = self.next;
        self.next += 1;
        let Delivery { body, attributes, receipt, receives } = delivery;
        let held = Held {
            body,
            attributes,
            receipt,
            receives,
            received_at: now,
            next_beat: now + self.visibility / 2,
            beating: false,
            state: State::Working(job),
            failed_leaves: 0,
        };
        self.held.insert(id, held);
        id
    }

    pub fn get_mut(&mut self, id: Id) -> Option<&mut Held> {
        self.held.get_mut(&id)
    }

    pub fn get(&self, id: Id) -> Option<&Held> {
        self.held.get(&id)
    }

    pub fn remove(&mut self, id: Id) -> Option<Held> {
        self.held.remove(&id)
    }

    pub fn len(&self) -> usize {
        self.held.len()
    }

    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// The messages' bodies together, with their attributes.
    pub fn bodies_bytes(&self) -> usize {
        self.held.values().map(|held| held.body.len() + held.attributes_bytes()).sum()
    }

    pub fn working(&self) -> impl Iterator<Item = (Id, &AbortHandle)> {
        self.held.iter().filter_map(|(&id, held)| match &held.state {
            State::Working(job) => Some((id, job)),
            State::Leaving(_) => None,
        })
    }

    /// When the next heartbeat is due.
    pub fn next_beat(&self) -> Option<Instant> {
        self.held.values().filter(|held| held.beats()).map(|held| held.next_beat).min()
    }

    /// The messages whose visibility must be extended now, with what to extend it to, in seconds; a tenth of the
    /// timeout early where it fills the batch. Each is put off until its next beat.
    pub fn take_beats(&mut self, now: Instant) -> Vec<Beat> {
        let visibility = self.visibility;
        let soon = now + visibility / 10;
        if self.next_beat().is_none_or(|due| due > now) {
            return Vec::new();
        }
        let mut due: Vec<(&Id, &mut Held)> =
            self.held.iter_mut().filter(|(_, held)| held.beats() && held.next_beat <= soon).collect();
        due.sort_by_key(|(id, held)| (held.next_beat, **id));
        due.into_iter()
            .take(BATCH)
            .map(|(&id, held)| {
                held.next_beat = now + visibility / 2;
                held.beating = true;
                let left = MAX_INVISIBLE.saturating_sub(now.duration_since(held.received_at));
                let extension_s = u32::try_from(visibility.min(left).as_secs()).unwrap_or(u32::MAX);
                Beat { id, receipt: held.receipt.clone(), visibility_s: extension_s }
            })
            .collect()
    }

    /// A heartbeat has been answered. Whether the message has waited for that to be returned.
    pub fn beaten(&mut self, id: Id) -> bool {
        let Some(held) = self.held.get_mut(&id) else { return false };
        held.beating = false;
        matches!(held.state, State::Leaving(Leave::Return { .. }))
    }

    /// After a heartbeat that failed: again soon, well before the timeout.
    pub fn beat_again(&mut self, id: Id, now: Instant) {
        let soon = now + self.visibility / 10;
        if let Some(held) = self.held.get_mut(&id) {
            held.next_beat = held.next_beat.min(soon);
        }
    }
}

/// One heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beat {
    pub id: Id,
    pub receipt: String,
    /// 0 when the 12 hours are over.
    pub visibility_s: u32,
}

impl Held {
    /// What is being returned must not be called back, and one heartbeat at a time is enough.
    fn beats(&self) -> bool {
        !self.beating && !matches!(self.state, State::Leaving(Leave::Return { .. }))
    }

    pub fn is_beating(&self) -> bool {
        self.beating
    }

    pub fn attributes_bytes(&self) -> usize {
        self.attributes.iter().map(Attribute::bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(receipt: &str) -> Delivery {
        Delivery { body: "".into(), attributes: Vec::new(), receipt: receipt.into(), receives: 1 }
    }

    fn table(messages: usize) -> (Table, Instant) {
        let (mut table, now) = (Table::new(Duration::from_secs(60)), Instant::now());
        for message in 0..messages {
            let job = tokio::spawn(async {}).abort_handle();
            table.insert(delivery(&message.to_string()), job, now);
        }
        (table, now)
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_beats_at_half_its_timeout_and_then_every_half() {
        let (mut table, now) = table(1);
        let at = |s| now + Duration::from_secs(s);
        assert_eq!(table.next_beat(), Some(at(30)));
        assert_eq!(table.take_beats(at(29)), []);
        assert_eq!(table.take_beats(at(30)), [Beat { id: 0, receipt: "0".into(), visibility_s: 60 }]);
        assert_eq!(table.next_beat(), None, "one at a time");
        assert!(!table.beaten(0), "it is in work");
        assert_eq!(table.next_beat(), Some(at(60)));
        table.beat_again(0, at(31));
        assert_eq!(table.next_beat(), Some(at(37)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_to_be_returned_waits_for_its_heartbeats_answer() {
        let (mut table, now) = table(1);
        assert_eq!(table.take_beats(now + Duration::from_secs(30)).len(), 1);
        assert!(table.get(0).unwrap().is_beating());
        table.get_mut(0).unwrap().state = State::Leaving(Leave::Return { visibility_s: 0 });
        assert!(table.beaten(0), "now it may go");
        assert!(!table.get(0).unwrap().is_beating());
        assert!(!table.beaten(7), "it has been lost");
    }

    #[tokio::test(start_paused = true)]
    async fn beats_go_in_batches_of_ten() {
        let (mut table, now) = table(25);
        let due = now + Duration::from_secs(30);
        let batches: Vec<usize> = (0..4).map(|_| table.take_beats(due).len()).collect();
        assert_eq!(batches, [10, 10, 5, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn no_beat_reaches_beyond_twelve_hours() {
        let (mut table, now) = table(1);
        let twelve_hours = 12 * 60 * 60;
        let late = now + Duration::from_secs(twelve_hours - 20);
        assert_eq!(table.take_beats(late)[0].visibility_s, 20);
        table.beaten(0);
        assert_eq!(table.take_beats(now + Duration::from_secs(twelve_hours + 30))[0].visibility_s, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_being_returned_does_not_beat() {
        let (mut table, now) = table(1);
        table.get_mut(0).unwrap().state = State::Leaving(Leave::Return { visibility_s: 5 });
        assert_eq!((table.next_beat(), table.take_beats(now + Duration::from_secs(60))), (None, vec![]));
    }
}
