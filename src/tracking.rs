//! `enqueue --wait`: follows requests until each has its thumbnails or was rejected.
//!
//! A request is done when every thumbnail that it asks for is in the bucket and not older than the request, by S3's own
//! clock; it is rejected when its photograph is in the dead-letter queue since then. What is neither, and no longer on the
//! queue either, is lost track of.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use aws_sdk_s3::error::SdkError;
use futures_util::stream::{StreamExt, iter};
use tokio::time::Instant;

use crate::aws::{CallError, Clients, QueueCounts, ServerTime, queue_counts};
use crate::dlq;
use crate::error::{Failure, Result};

/// Requests that are followed: their keys are in memory, some 300 bytes each.
pub const MAX_TRACKED: usize = 100_000;
/// Between two rounds.
const ROUND: Duration = Duration::from_secs(2);
/// Requests looked at in a round, the oldest first.
const LOOKS_A_ROUND: usize = 500;
/// In parallel.
const SIDE_BY_SIDE: usize = 32;
/// Rounds in which the queue must be empty before what is left counts as lost: SQS counts late.
const EMPTY_ROUNDS: u32 = 15;
/// The dead-letter queue is read so often at most: reading it hides its messages from others for a moment.
const DLQ_EVERY: Duration = Duration::from_secs(10);
/// S3's times have whole seconds.
const TOLERANCE_S: i64 = 1;

/// A request that is followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracked {
    /// The photograph, as the dead-letter queue names it.
    pub source: String,
    /// The keys of its thumbnails; those that were seen are taken out.
    pub missing: Vec<String>,
}

/// How the requests ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    pub done: u64,
    /// The photographs that were rejected, and why.
    pub rejected: Vec<(String, String)>,
    /// Those that are neither done nor rejected when the wait ended.
    pub open: Vec<String>,
    /// The queue is empty, and so these will not come.
    pub lost: bool,
    pub interrupted: bool,
}

/// Where the requests and their results are.
pub struct Places<'a> {
    pub queue_url: &'a str,
    pub dlq_url: &'a str,
    pub thumbnails: &'a str,
    pub account: &'a str,
}

/// Is told how far it is after each round.
pub trait Progress {
    fn round(&mut self, done: u64, rejected: u64, queue: QueueCounts);
}

/// The present, by S3's clock, in seconds since 1970: the time of its answer about the bucket.
///
/// # Errors
/// The bucket cannot be reached.
pub async fn s3_now(clients: &Clients, places: &Places<'_>) -> Result<i64> {
    let head = clients.s3.head_bucket().bucket(places.thumbnails).expected_bucket_owner(places.account);
    let clock = ServerTime::default();
    let result = head.customize().interceptor(clock.clone()).send().await;
    result.map_err(|error| {
        CallError::new("s3:ListBucket", error).failure(format!("cannot reach the bucket {}", places.thumbnails))
    })?;
    // A store without a Date header is asked about by this clock.
    let own = || std::time::UNIX_EPOCH.elapsed().map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
    Ok(clock.seconds().unwrap_or_else(own))
}

/// Follows the requests.
///
/// # Errors
/// The thumbnails bucket or a queue cannot be read.
pub async fn track(
    clients: &Clients,
    places: &Places<'_>,
    tracked: Vec<Tracked>,
    since_s: i64,
    most: Duration,
    progress: &mut impl Progress,
    interrupted: impl Future<Output = ()>,
) -> Result<Ended> {
    let until = Instant::now() + most;
    let mut interrupted = std::pin::pin!(interrupted);
    let mut open: VecDeque<Tracked> = tracked.into();
    let mut ended = Ended::default();
    let mut rejections = Rejections::default();
    let mut empty_rounds = 0;
    while !open.is_empty() {
        let round = async {
            look(clients, places, &mut open, since_s, &mut ended).await?;
            rejections.look(clients, places, &mut open, since_s, &mut ended).await?;
            let queue = queue_counts(clients, places.queue_url).await;
            let queue = queue.map_err(|error| error.failure("cannot read the queue"))?;
            progress.round(ended.done, ended.rejected.len() as u64, queue);
            empty_rounds = if queue.all() == 0 { empty_rounds + 1 } else { 0 };
            if !open.is_empty() && empty_rounds < EMPTY_ROUNDS && Instant::now() < until {
                tokio::time::sleep(ROUND).await;
            }
            Ok::<_, Failure>(())
        };
        tokio::select! {
            biased;
            () = &mut interrupted => {
                ended.interrupted = true;
                break;
            }
            result = round => result?,
        }
        if empty_rounds >= EMPTY_ROUNDS || Instant::now() >= until {
            break;
        }
    }
    ended.lost = empty_rounds >= EMPTY_ROUNDS && !open.is_empty();
    ended.open = open.into_iter().map(|tracked| tracked.source).collect();
    Ok(ended)
}

/// Looks at the oldest requests; those that are not done go to the end.
async fn look(
    clients: &Clients,
    places: &Places<'_>,
    open: &mut VecDeque<Tracked>,
    since_s: i64,
    ended: &mut Ended,
) -> Result<()> {
    let count = open.len().min(LOOKS_A_ROUND);
    // Not taken out yet: the round may be dropped at an interrupt.
    let looks = open.iter().take(count).map(|tracked| async {
        let mut there = 0;
        for key in &tracked.missing {
            if !is_there(clients, places, key, since_s).await? {
                break;
            }
            there += 1;
        }
        Ok::<usize, CallError>(there)
    });
    let found: Vec<Result<usize, CallError>> = iter(looks).buffered(SIDE_BY_SIDE).collect().await;
    for there in found {
        let there =
            there.map_err(|error| error.failure(format!("cannot look into the bucket {}", places.thumbnails)))?;
        let Some(mut tracked) = open.pop_front() else { break };
        tracked.missing.drain(..there);
        match tracked.missing.is_empty() {
            true => ended.done += 1,
            false => open.push_back(tracked),
        }
    }
    Ok(())
}

/// Whether there is a thumbnail under this key that is not older than the requests.
async fn is_there(clients: &Clients, places: &Places<'_>, key: &str, since_s: i64) -> Result<bool, CallError> {
    let head = clients.s3.head_object().bucket(places.thumbnails).key(key).expected_bucket_owner(places.account);
    match head.send().await {
        Ok(object) => Ok(object.last_modified.is_some_and(|time| time.secs() + TOLERANCE_S >= since_s)),
        // HEAD has no body, and so no error code.
        Err(SdkError::ServiceError(error)) if error.raw().status().as_u16() == 404 => Ok(false),
        Err(error) => Err(CallError::new("s3:GetObject", error)),
    }
}

/// What was read of the dead-letter queue.
#[derive(Default)]
struct Rejections {
    /// Messages in it when it was read last.
    seen: u64,
    read: Option<Instant>,
}

impl Rejections {
    /// Reads the dead-letter queue, if its number of messages has changed.
    async fn look(
        &mut self,
        clients: &Clients,
        places: &Places<'_>,
        open: &mut VecDeque<Tracked>,
        since_s: i64,
        ended: &mut Ended,
    ) -> Result<()> {
        let fail = |error: CallError| error.failure("cannot read the dead-letter queue");
        if open.is_empty() || self.read.is_some_and(|read| read.elapsed() < DLQ_EVERY) {
            return Ok(());
        }
        let count = queue_counts(clients, places.dlq_url).await.map_err(fail)?.all();
        if count == 0 || count == self.seen {
            return Ok(());
        }
        let found = dlq::read(clients, places.dlq_url).await.map_err(fail)?;
        dlq::release(clients, places.dlq_url, &found.messages.iter().collect::<Vec<_>>()).await;
        (self.seen, self.read) = (count, Some(Instant::now()));
        let since_ms = u64::try_from(since_s - TOLERANCE_S).unwrap_or(0) * 1_000;
        let mut reasons: BTreeMap<String, String> = BTreeMap::new();
        for message in found.messages.iter().filter(|message| message.sent_ms >= since_ms) {
            for source in message.sources() {
                reasons.insert(source, message.reason.error().to_owned());
            }
        }
        open.retain(|tracked| match reasons.get(&tracked.source) {
            Some(why) => {
                ended.rejected.push((tracked.source.clone(), why.clone()));
                false
            }
            None => true,
        });
        Ok(())
    }
}
