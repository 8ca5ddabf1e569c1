//! Sends the requests of a backfill, and records how far it has come. Batches are answered in any order; what is recorded is the
//! number of keys before which none is missing, so that a run that is killed repeats a few batches and forgets none.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::state::{Files, Reader};
use super::{Progress, request};
use crate::aws::Clients;
use crate::config::Config;
use crate::enqueue::{BATCHES_AT_ONCE, Batch, OutgoingMessage, send_once, sending};
use crate::error::Result;

/// Keys between two records of how far it has come.
const RECORD_EVERY: u64 = 1_000;

/// How a backfill ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queued {
    pub queued: u64,
    pub not_queued: u64,
    /// The user interrupted it.
    pub interrupted: bool,
}

/// Queues all keys of `reader`. Once `interrupted` is ready, no further batch is sent.
///
/// # Errors
/// The queue refuses requests, or a file cannot be read or written. What was queued before is recorded.
pub async fn queue(
    clients: &Clients,
    config: &Config,
    queue_url: &str,
    files: &Files,
    reader: Reader,
    progress: &mut impl Progress,
    interrupted: impl Future<Output = ()>,
) -> Result<Queued> {
    let (bucket, group) = (reader.run.bucket.clone(), reader.run.group.clone());
    let mut result = Queued::default();
    let mut watermark = Watermark::new(reader.done);
    let mut recorded = reader.done;
    let mut at = reader.done;
    let mut keys = reader;
    let mut batches = FuturesUnordered::new();
    let mut next = (at, Batch::default());
    let mut more = true;
    let mut interrupted = std::pin::pin!(interrupted);
    let send = |from: u64, to: u64, batch: Batch| async move {
        let sent =
            sending::send(batch.0, async |messages: &[OutgoingMessage]| send_once(clients, queue_url, messages).await);
        (from, to, sent.await)
    };
    while more || !batches.is_empty() {
        while more && batches.len() < BATCHES_AT_ONCE {
            let Some(key) = keys.next() else {
                more = false;
                match std::mem::take(&mut next) {
                    // Of keys that are none, at the end, nothing is sent.
                    (from, batch) if batch.0.is_empty() => watermark.finish(from, at),
                    (from, batch) => batches.push(send(from, at, batch)),
                }
                break;
            };
            let key = key?;
            match request(config, &bucket, &key) {
                Ok(request) => {
                    let name = request.source.to_string();
                    let message = OutgoingMessage { name, body: request.to_json(), group: group.clone(), request };
                    if let Some(full) = next.1.add(message) {
                        // A message that did not fit into the full batch begins the next one.
                        let from = std::mem::replace(&mut next.0, at + 1 - next.1.0.len() as u64);
                        batches.push(send(from, next.0, full));
                    }
                }
                Err(why) => {
                    result.not_queued += 1;
                    progress.not_queued(&key, &why);
                }
            }
            at += 1;
        }
        tokio::select! {
            biased;
            () = &mut interrupted, if !result.interrupted => {
                result.interrupted = true;
                more = false;
            }
            Some((from, to, sent)) = batches.next() => {
                let sent = match sent {
                    Ok(sent) => sent,
                    Err(error) => {
                        files.record(watermark.done())?;
                        return Err(error.failure("cannot send requests to the queue"));
                    }
                };
                for (message, answer) in sent {
                    match answer {
                        Ok(()) => result.queued += 1,
                        Err(why) => {
                            result.not_queued += 1;
                            progress.not_queued(&message.name, &why);
                        }
                    }
                }
                progress.queued(to - from);
                watermark.finish(from, to);
                if watermark.done() >= recorded + RECORD_EVERY {
                    recorded = watermark.done();
                    files.record(recorded)?;
                }
            }
            else => break,
        }
    }
    match result.interrupted {
        true => files.record(watermark.done())?,
        false => files.remove()?,
    }
    Ok(result)
}

/// The keys before which none is missing.
struct Watermark {
    done: u64,
    /// Finished ranges behind a gap.
    later: BTreeMap<u64, u64>,
}

impl Watermark {
    fn new(done: u64) -> Self {
        Self { done, later: BTreeMap::new() }
    }

    fn done(&self) -> u64 {
        self.done
    }

    fn finish(&mut self, from: u64, to: u64) {
        self.later.insert(from, to);
        while let Some(to) = self.later.remove(&self.done) {
            self.done = to;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recorded_has_no_gap() {
        let mut watermark = Watermark::new(5);
        watermark.finish(15, 25);
        assert_eq!(watermark.done(), 5);
        watermark.finish(25, 30);
        watermark.finish(5, 15);
        assert_eq!(watermark.done(), 30);
        assert!(watermark.later.is_empty());
    }

    /// Batches are answered in any order, and the run is killed anywhere.
    #[test]
    fn no_order_of_answers_forgets_a_key() {
        let mut random = fastrand::Rng::with_seed(4);
        for _ in 0..200 {
            let mut ranges: Vec<(u64, u64)> = (0..30).map(|n| (n * 10, n * 10 + 10)).collect();
            random.shuffle(&mut ranges);
            let killed = random.usize(..30);
            let mut watermark = Watermark::new(0);
            ranges[..killed].iter().for_each(|(from, to)| watermark.finish(*from, *to));
            let answered = |key: u64| ranges[..killed].iter().any(|(from, to)| (*from..*to).contains(&key));
            assert!((0..watermark.done()).all(answered));
        }
    }
}
