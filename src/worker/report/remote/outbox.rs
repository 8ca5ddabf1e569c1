//! A bounded queue in memory, and the task that sends what is in it, in batches. Nobody waits for it: what does not fit is dropped
//! and counted, and a destination that fails or hangs holds up nothing but its own queue.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::aws::{Backoff, CallError, Kind};

/// The most bytes that wait, beside the batch that is being sent.
const MAX_QUEUED_BYTES: usize = 2 << 20;
/// How long one batch may take to send.
const SEND_TIMEOUT: Duration = Duration::from_secs(20);
const BACKOFF: Backoff = Backoff { first: Duration::from_secs(1), max: Duration::from_secs(60) };
/// How long the last batches may take, which delays the worker's exit.
pub const LAST_BATCHES: Duration = Duration::from_secs(3);

/// Something that is sent.
pub trait Item: Clone + Send + Sync + 'static {
    /// What it counts towards the limits of a batch.
    fn bytes(&self) -> usize;

    /// What stands for so many that were dropped.
    fn dropped(count: u64) -> Self;
}

/// Where a queue's items go.
pub trait Destination: Send + 'static {
    type Item: Item;
    /// What a batch waits for, if it is not full before.
    const EVERY: Duration;
    /// Its limits.
    const MAX_BATCH_BYTES: usize;
    const MAX_BATCH_ITEMS: usize;
    /// In a sentence.
    const NAME: &'static str;

    /// Whether an item may be in a batch with this first one.
    fn goes_with(_first: &Self::Item, _item: &Self::Item) -> bool {
        true
    }

    /// Sends a batch.
    fn send(&mut self, batch: Vec<Self::Item>) -> impl Future<Output = Sent<Self::Item>> + Send;
}

/// What became of a batch.
#[derive(Debug)]
pub struct Sent<T> {
    /// What was not sent, and may be another time.
    pub left: Vec<T>,
    /// Why something was not sent.
    pub error: Option<CallError>,
}

impl<T> Sent<T> {
    pub fn all() -> Self {
        Self { left: Vec::new(), error: None }
    }

    /// The batch again, unless its destination refuses it as it is: then it never goes.
    pub fn failed(batch: Vec<T>, error: CallError) -> Self {
        let left = if error.kind == Kind::Refused { Vec::new() } else { batch };
        Self { left, error: Some(error) }
    }
}

/// The queue; clones share it.
pub struct Outbox<T>(Arc<Shared<T>>);

impl<T> Clone for Outbox<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

struct Shared<T> {
    queue: Mutex<Queue<T>>,
    /// Told when a batch is full, and at the end.
    due: Notify,
}

struct Queue<T> {
    items: VecDeque<T>,
    bytes: usize,
    /// From here on a batch does not wait.
    full_bytes: usize,
    /// Since the last one that fitted.
    dropped: u64,
    closed: bool,
}

impl<T: Item> Queue<T> {
    fn add(&mut self, item: T) {
        self.bytes += item.bytes();
        self.items.push_back(item);
    }
}

/// The task that sends; its queue is closed by [`Sending::finish`].
pub struct Sending {
    task: JoinHandle<()>,
    close: Box<dyn FnOnce() + Send>,
}

impl<T: Item> Outbox<T> {
    /// Starts to send. `failed` is told why a batch could not be sent: once, until one can.
    pub fn start<D: Destination<Item = T>>(
        destination: impl Future<Output = D> + Send + 'static,
        failed: impl FnMut(String) + Send + 'static,
    ) -> (Self, Sending) {
        let queue =
            Queue { items: VecDeque::new(), bytes: 0, full_bytes: D::MAX_BATCH_BYTES / 2, dropped: 0, closed: false };
        let outbox = Self(Arc::new(Shared { queue: Mutex::new(queue), due: Notify::new() }));
        let (sender, closer) = (outbox.clone(), outbox.clone());
        let task = tokio::spawn(async move { send(&sender, destination.await, failed).await });
        let close = Box::new(move || {
            let mut queue = closer.lock();
            queue.closed = true;
            closer.mark_dropped(&mut queue);
            closer.0.due.notify_one();
        });
        (outbox, Sending { task, close })
    }

    fn lock(&self) -> MutexGuard<'_, Queue<T>> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Never waits.
    pub fn push(&self, item: T) {
        let mut queue = self.lock();
        if queue.closed || queue.bytes + item.bytes() > MAX_QUEUED_BYTES {
            queue.dropped += 1;
            return;
        }
        self.mark_dropped(&mut queue);
        queue.add(item);
        if queue.bytes >= queue.full_bytes {
            self.0.due.notify_one();
        }
    }

    fn mark_dropped(&self, queue: &mut Queue<T>) {
        if queue.dropped > 0 {
            let count = std::mem::take(&mut queue.dropped);
            queue.add(T::dropped(count));
        }
    }

    /// Waits until a batch is due.
    async fn due(&self, every: Duration) {
        let tick = sleep(every);
        tokio::pin!(tick);
        loop {
            {
                let queue = self.lock();
                if queue.closed || queue.bytes >= queue.full_bytes {
                    return;
                }
            }
            tokio::select! {
                () = &mut tick => return,
                () = self.0.due.notified() => {}
            }
        }
    }

    /// As many of the first items as one batch takes.
    pub(super) fn take<D: Destination<Item = T>>(&self) -> Vec<T> {
        let mut queue = self.lock();
        let mut batch: Vec<T> = Vec::new();
        let mut bytes = 0;
        while let Some(item) = queue.items.front() {
            let fits = bytes + item.bytes() <= D::MAX_BATCH_BYTES && batch.len() < D::MAX_BATCH_ITEMS;
            // The first always goes, or the queue would stand still: an item is smaller than a batch.
            if batch.first().is_some_and(|first| !fits || !D::goes_with(first, item)) {
                break;
            }
            bytes += item.bytes();
            batch.extend(queue.items.pop_front());
        }
        queue.bytes = queue.bytes.saturating_sub(bytes);
        batch
    }

    fn lose(&self, count: usize) {
        self.lock().dropped += count as u64;
    }

    fn is_closed(&self) -> bool {
        self.lock().closed
    }
}

/// The body of the task: ends when the queue is closed and empty.
async fn send<D: Destination>(outbox: &Outbox<D::Item>, mut destination: D, mut failed: impl FnMut(String)) {
    let mut failures = 0;
    loop {
        outbox.due(D::EVERY).await;
        let closed = outbox.is_closed();
        loop {
            let batch = outbox.take::<D>();
            if batch.is_empty() {
                break;
            }
            deliver(outbox, batch, &mut destination, &mut failures, &mut failed).await;
        }
        if closed {
            return;
        }
    }
}

/// Sends a batch, as often as it takes. `failures`: in a row, of this batch and those before it.
async fn deliver<D: Destination>(
    outbox: &Outbox<D::Item>,
    mut batch: Vec<D::Item>,
    destination: &mut D,
    failures: &mut u32,
    failed: &mut impl FnMut(String),
) {
    while !batch.is_empty() {
        let count = batch.len();
        let sent = match timeout(SEND_TIMEOUT, destination.send(batch.clone())).await {
            Ok(sent) => sent,
            // It may have arrived: better twice than not at all.
            Err(_) => Sent::failed(batch, CallError::judged(D::NAME, Kind::Unavailable, "no answer in time")),
        };
        batch = sent.left;
        let Some(error) = sent.error else {
            *failures = 0;
            continue;
        };
        if error.kind == Kind::Refused {
            outbox.lose(count - batch.len());
        }
        if *failures == 0 {
            failed(error.to_string());
        }
        wait(outbox, BACKOFF.delay(*failures)).await;
        *failures = failures.saturating_add(1);
    }
}

/// The end does not wait for a back-off, but makes one more attempt each second.
async fn wait<T: Item>(outbox: &Outbox<T>, delay: Duration) {
    let until = tokio::time::Instant::now() + delay;
    while tokio::time::Instant::now() < until {
        let step = until.saturating_duration_since(tokio::time::Instant::now()).min(BACKOFF.first);
        sleep(step).await;
        if outbox.is_closed() {
            return;
        }
    }
}

impl Sending {
    /// Sends what is left, for at most [`LAST_BATCHES`].
    pub async fn finish(mut self) {
        (self.close)();
        if timeout(LAST_BATCHES, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

#[cfg(test)]
mod tests;
