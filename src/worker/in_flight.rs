//! The messages in flight: received, and not yet settled. Pure: the caller passes the time.

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

/// The most bytes of bodies in flight. A message may have up to a mebibyte, and a receive asks for no more messages than
/// fit if all are that large. Room for two more than one receive returns, so that small messages do not shorten a receive.
pub const MAX_BODIES_BYTES: usize = (BATCH + 2) * MAX_MESSAGE_BYTES;

pub type Id = u64;

#[derive(Debug)]
pub struct InFlightMessage {
    pub body: Arc<str>,
    /// The attributes it came with, as far as they are kept.
    pub attributes: Vec<Attribute>,
    pub receipt: String,
    pub receives: u32,
    received_at: Instant,
    next_heartbeat: Instant,
    /// Whether a heartbeat call is under way. A release must wait for its answer: a heartbeat that arrives after the
    /// release would hide the message for one more timeout.
    heartbeat_under_way: bool,
    pub state: State,
    /// Calls to settle it that failed.
    pub failed_settlements: u32,
}

#[derive(Debug)]
pub enum State {
    /// A job is processing it.
    Working(AbortHandle),
    /// Its job has ended, and it waits for the call that settles it.
    Settling(Disposition),
}

/// How a message is settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Deleted.
    Ack,
    /// Sent to the dead-letter queue, then deleted.
    DeadLetter { stage: String, error: String },
    /// Visible again after this many seconds.
    Release { visibility_s: u32 },
}

#[derive(Debug)]
pub struct InFlight {
    visibility: Duration,
    messages: HashMap<Id, InFlightMessage>,
    next: Id,
}

impl InFlight {
    /// For messages received with this visibility timeout.
    pub fn new(visibility: Duration) -> Self {
        Self { visibility, messages: HashMap::new(), next: 0 }
    }

    /// The ID of the next message.
    pub fn next_id(&self) -> Id {
        self.next
    }

    pub fn insert(&mut self, delivery: Delivery, job: AbortHandle, now: Instant) -> Id {
        let id = self.next;
        self.next += 1;
        let Delivery { body, attributes, receipt, receives } = delivery;
        let message = InFlightMessage {
            body,
            attributes,
            receipt,
            receives,
            received_at: now,
            next_heartbeat: now + self.visibility / 2,
            heartbeat_under_way: false,
            state: State::Working(job),
            failed_settlements: 0,
        };
        self.messages.insert(id, message);
        id
    }

    pub fn get_mut(&mut self, id: Id) -> Option<&mut InFlightMessage> {
        self.messages.get_mut(&id)
    }

    pub fn get(&self, id: Id) -> Option<&InFlightMessage> {
        self.messages.get(&id)
    }

    pub fn remove(&mut self, id: Id) -> Option<InFlightMessage> {
        self.messages.remove(&id)
    }

    pub fn len(&self) -> usize {
        self.messages.len()
    }

    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// The size of all bodies and attributes together.
    pub fn bodies_bytes(&self) -> usize {
        self.messages.values().map(|message| message.body.len() + message.attributes_bytes()).sum()
    }

    pub fn working(&self) -> impl Iterator<Item = (Id, &AbortHandle)> {
        self.messages.iter().filter_map(|(&id, message)| match &message.state {
            State::Working(job) => Some((id, job)),
            State::Settling(_) => None,
        })
    }

    /// When the next heartbeat is due.
    pub fn next_heartbeat(&self) -> Option<Instant> {
        self.messages.values().filter(|message| message.wants_heartbeat()).map(|message| message.next_heartbeat).min()
    }

    /// The heartbeats to send now, at most a batch. Those due within a tenth of the timeout fill the batch up. Schedules the
    /// next heartbeat of each.
    pub fn take_heartbeats(&mut self, now: Instant) -> Vec<Heartbeat> {
        let visibility = self.visibility;
        let soon = now + visibility / 10;
        if self.next_heartbeat().is_none_or(|due| due > now) {
            return Vec::new();
        }
        let mut due: Vec<(&Id, &mut InFlightMessage)> = self
            .messages
            .iter_mut()
            .filter(|(_, message)| message.wants_heartbeat() && message.next_heartbeat <= soon)
            .collect();
        due.sort_by_key(|(id, message)| (message.next_heartbeat, **id));
        due.into_iter()
            .take(BATCH)
            .map(|(&id, message)| {
                message.next_heartbeat = now + visibility / 2;
                message.heartbeat_under_way = true;
                let left = MAX_INVISIBLE.saturating_sub(now.duration_since(message.received_at));
                let extension_s = u32::try_from(visibility.min(left).as_secs()).unwrap_or(u32::MAX);
                Heartbeat { id, receipt: message.receipt.clone(), visibility_s: extension_s }
            })
            .collect()
    }

    /// Records that a heartbeat was answered. Returns whether the message's release was waiting for that.
    pub fn heartbeat_answered(&mut self, id: Id) -> bool {
        let Some(message) = self.messages.get_mut(&id) else { return false };
        message.heartbeat_under_way = false;
        matches!(message.state, State::Settling(Disposition::Release { .. }))
    }

    /// Retries a failed heartbeat soon, well before the timeout.
    pub fn heartbeat_again(&mut self, id: Id, now: Instant) {
        let soon = now + self.visibility / 10;
        if let Some(message) = self.messages.get_mut(&id) {
            message.next_heartbeat = message.next_heartbeat.min(soon);
        }
    }
}

/// One heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    pub id: Id,
    pub receipt: String,
    /// 0 when the 12 hours are over.
    pub visibility_s: u32,
}

impl InFlightMessage {
    /// A message that is being released gets no heartbeat, which would hide it again; others get one at a time.
    fn wants_heartbeat(&self) -> bool {
        !self.heartbeat_under_way && !matches!(self.state, State::Settling(Disposition::Release { .. }))
    }

    pub fn has_heartbeat_under_way(&self) -> bool {
        self.heartbeat_under_way
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

    fn in_flight(messages: usize) -> (InFlight, Instant) {
        let (mut in_flight, now) = (InFlight::new(Duration::from_secs(60)), Instant::now());
        for message in 0..messages {
            let job = tokio::spawn(async {}).abort_handle();
            in_flight.insert(delivery(&message.to_string()), job, now);
        }
        (in_flight, now)
    }

    #[tokio::test(start_paused = true)]
    async fn a_heartbeat_is_sent_at_half_the_timeout_and_then_every_half() {
        let (mut in_flight, now) = in_flight(1);
        let at = |s| now + Duration::from_secs(s);
        assert_eq!(in_flight.next_heartbeat(), Some(at(30)));
        assert_eq!(in_flight.take_heartbeats(at(29)), []);
        assert_eq!(in_flight.take_heartbeats(at(30)), [Heartbeat { id: 0, receipt: "0".into(), visibility_s: 60 }]);
        assert_eq!(in_flight.next_heartbeat(), None, "one at a time");
        assert!(!in_flight.heartbeat_answered(0), "it is being processed");
        assert_eq!(in_flight.next_heartbeat(), Some(at(60)));
        in_flight.heartbeat_again(0, at(31));
        assert_eq!(in_flight.next_heartbeat(), Some(at(37)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_release_waits_for_the_answer_to_its_heartbeat() {
        let (mut in_flight, now) = in_flight(1);
        assert_eq!(in_flight.take_heartbeats(now + Duration::from_secs(30)).len(), 1);
        assert!(in_flight.get(0).unwrap().has_heartbeat_under_way());
        in_flight.get_mut(0).unwrap().state = State::Settling(Disposition::Release { visibility_s: 0 });
        assert!(in_flight.heartbeat_answered(0), "now it may be released");
        assert!(!in_flight.get(0).unwrap().has_heartbeat_under_way());
        assert!(!in_flight.heartbeat_answered(7), "another worker has taken it over");
    }

    #[tokio::test(start_paused = true)]
    async fn heartbeats_are_sent_in_batches_of_ten() {
        let (mut in_flight, now) = in_flight(25);
        let due = now + Duration::from_secs(30);
        let batches: Vec<usize> = (0..4).map(|_| in_flight.take_heartbeats(due).len()).collect();
        assert_eq!(batches, [10, 10, 5, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn no_heartbeat_extends_beyond_twelve_hours() {
        let (mut in_flight, now) = in_flight(1);
        let twelve_hours = 12 * 60 * 60;
        let late = now + Duration::from_secs(twelve_hours - 20);
        assert_eq!(in_flight.take_heartbeats(late)[0].visibility_s, 20);
        in_flight.heartbeat_answered(0);
        assert_eq!(in_flight.take_heartbeats(now + Duration::from_secs(twelve_hours + 30))[0].visibility_s, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_being_released_sends_no_heartbeat() {
        let (mut in_flight, now) = in_flight(1);
        in_flight.get_mut(0).unwrap().state = State::Settling(Disposition::Release { visibility_s: 5 });
        assert_eq!(
            (in_flight.next_heartbeat(), in_flight.take_heartbeats(now + Duration::from_secs(60))),
            (None, vec![])
        );
    }
}
