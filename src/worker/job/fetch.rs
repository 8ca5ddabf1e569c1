//! Fetches a photograph: opens the source, reserves memory, reads. The time limit for reading starts with reading, however
//! long the job waited for memory; a connection that was closed meanwhile is opened again, and the permit is kept.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout};

use super::Times;
use crate::request::Source;
use crate::thumbnail;
use crate::worker::backend::{Backend, Body, Found};
use crate::worker::memory::{MemoryBudget, Origin, PhotoPermit, Turn};
use crate::worker::retry::JobError;

/// The time limit for reading a photograph; after that it is read again from the start.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
const BODY_ATTEMPTS: u32 = 3;
/// The memory reserved first for a photograph of unknown length, and the step by which it grows.
const PIECE_BYTES: u64 = 4 << 20;

/// A photograph in memory.
#[derive(Debug)]
pub struct Photo {
    pub bytes: Bytes,
    pub etag: Option<String>,
    /// Whether it is a thumbnail that thumb stored.
    pub ours: bool,
    /// The memory that it occupies.
    pub permit: PhotoPermit,
}

/// What to fetch.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    pub source: &'a Source,
    /// An ETag: a photograph that still has it is not read.
    pub unless: Option<&'a str>,
    /// The size limit.
    pub max_bytes: usize,
    /// The message runs alone.
    pub alone: Option<&'a Turn>,
}

/// Why reading failed.
#[derive(Debug)]
enum Ended {
    /// The transfer was interrupted, and may be retried at once.
    Interrupted(String),
    Failed(JobError),
}

/// Fetches a photograph; none if its ETag is unchanged.
pub async fn fetch<B: Backend>(
    backend: &B,
    memory: &MemoryBudget,
    wanted: Wanted<'_>,
    times: &mut Times,
) -> Result<Option<Photo>, JobError> {
    let Wanted { source, unless, max_bytes, alone } = wanted;
    let origin = match source {
        Source::Object { .. } => Origin::S3,
        Source::Url(_) => Origin::Web,
    };
    let max = memory.max_photo_bytes(origin, max_bytes);
    let mut kept: Option<PhotoPermit> = None;
    let mut attempt = 1;
    loop {
        let began = Instant::now();
        let mut opened = match backend.open(source, unless).await? {
            Found::Photo(opened) => opened,
            Found::Unchanged => return Ok(None),
        };
        times.fetch += began.elapsed();
        if let Some(length) = opened.length.filter(|length| *length > max as u64) {
            return Err(too_many_bytes(length, max));
        }

        let began = Instant::now();
        let needs = opened.length.unwrap_or(PIECE_BYTES.min(max as u64));
        let mut permit = match kept.take().filter(|permit| permit.bytes() >= needs) {
            Some(permit) => permit,
            None => {
                let permit = memory.photo(needs, origin, alone).await;
                permit.map_err(|more| JobError::permanent(format!("the photograph needs {more}")))?
            }
        };
        times.wait += began.elapsed();

        let began = Instant::now();
        let read = match timeout(BODY_TIMEOUT, read(&mut opened.body, opened.length, max, &mut permit)).await {
            Ok(read) => read,
            Err(_) => Err(Ended::Interrupted(format!("the photograph did not arrive in {BODY_TIMEOUT:?}"))),
        };
        times.fetch += began.elapsed();
        match read {
            Ok(bytes) => {
                permit.shrink_to(bytes.len() as u64);
                return Ok(Some(Photo { bytes, etag: opened.etag, ours: opened.ours, permit }));
            }
            Err(Ended::Failed(job_error)) => return Err(job_error),
            Err(Ended::Interrupted(why)) if attempt == BODY_ATTEMPTS => {
                return Err(match source {
                    Source::Object { .. } => JobError::s3(why),
                    Source::Url(_) => JobError::transient(why),
                });
            }
            Err(Ended::Interrupted(_)) => {
                permit.shrink_to(needs);
                kept = Some(permit);
                sleep(Duration::from_millis(fastrand::u64(50..250)) * attempt).await;
                attempt += 1;
            }
        }
    }
}

/// Reads exactly the announced length, or to the end if the length is unknown; then the permit grows with the bytes.
async fn read(body: &mut impl Body, length: Option<u64>, max: usize, permit: &mut PhotoPermit) -> Result<Bytes, Ended> {
    // Exactly the reserved size: a vector that grows by itself takes up to twice as much as it holds.
    let mut bytes: Vec<u8> = Vec::with_capacity(as_size(length.unwrap_or(permit.bytes().min(max as u64))));
    while let Some(piece) = body.next().await.map_err(Ended::Interrupted)? {
        let have = bytes.len() as u64 + piece.len() as u64;
        if length.is_some_and(|length| have > length) {
            return Err(Ended::Interrupted("more bytes arrived than were announced".to_owned()));
        }
        if have > max as u64 {
            return Err(Ended::Failed(too_many_bytes(have, max)));
        }
        if length.is_none() && have > bytes.capacity() as u64 {
            let wanted = have.next_multiple_of(PIECE_BYTES).min(max as u64);
            if !permit.try_grow_to(wanted) {
                // Waiting here while holding memory could deadlock.
                return Err(Ended::Failed(JobError::transient(format!(
                    "no memory is free at the moment for more than {} MiB of a photograph whose server does not send its \
                     length",
                    bytes.capacity() >> 20
                ))));
            }
            bytes.reserve_exact(as_size(wanted) - bytes.len());
        }
        bytes.extend_from_slice(&piece);
    }
    match length {
        Some(length) if (bytes.len() as u64) < length => {
            Err(Ended::Interrupted(format!("only {} of {length} bytes arrived", bytes.len())))
        }
        _ => Ok(bytes.into()),
    }
}

fn too_many_bytes(bytes: u64, max: usize) -> JobError {
    thumbnail::Error::TooManyBytes { bytes: as_size(bytes), max }.into()
}

fn as_size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::config::MIN_MEMORY_BYTES;

    /// Pieces that arrive at once, and the end.
    struct Pieces(VecDeque<Result<Bytes, String>>);

    impl Body for Pieces {
        async fn next(&mut self) -> Result<Option<Bytes>, String> {
            self.0.pop_front().transpose()
        }
    }

    fn pieces(count: usize, bytes: usize) -> Pieces {
        Pieces((0..count).map(|_| Ok(Bytes::from(vec![7; bytes]))).collect())
    }

    async fn reserve(memory: &MemoryBudget, bytes: u64) -> PhotoPermit {
        memory.photo(bytes, Origin::Web, None).await.unwrap()
    }

    #[tokio::test]
    async fn a_photograph_has_the_announced_length() {
        let memory = MemoryBudget::new(MIN_MEMORY_BYTES, 1);
        let mut permit = reserve(&memory, 10).await;
        assert_eq!(read(&mut pieces(5, 1), Some(5), 100, &mut permit).await.unwrap().len(), 5);
        for (said, why) in [(6, "only 5 of 6 bytes arrived"), (4, "more bytes arrived than were announced")] {
            let ended = read(&mut pieces(5, 1), Some(said), 100, &mut permit).await.unwrap_err();
            assert!(matches!(&ended, Ended::Interrupted(said) if said == why), "{ended:?}");
        }
    }

    #[tokio::test]
    async fn the_permit_of_a_photograph_of_unknown_length_grows_with_it_and_never_takes_the_whole_pool() {
        let memory = MemoryBudget::new(MIN_MEMORY_BYTES, 1);
        let max = memory.max_photo_bytes(Origin::Web, usize::MAX);
        let mut permit = reserve(&memory, PIECE_BYTES).await;
        let bytes = read(&mut pieces(5, 1 << 20), None, max, &mut permit).await.unwrap();
        assert_eq!((bytes.len(), permit.bytes()), (5 << 20, 2 * PIECE_BYTES));

        // Its neighbour has the rest.
        let neighbour = reserve(&memory, max as u64 - 2 * PIECE_BYTES).await;
        let ended = read(&mut pieces(9, 1 << 20), None, max, &mut permit).await.unwrap_err();
        let Ended::Failed(JobError { transient: true, why, .. }) = ended else { panic!("{ended:?}") };
        assert!(why.starts_with("no memory is free at the moment for more than "), "{why}");
        drop(neighbour);
        let ended = read(&mut pieces(1_000, 1 << 20), None, max, &mut permit).await.unwrap_err();
        let Ended::Failed(JobError { transient: false, why, .. }) = ended else { panic!("{ended:?}") };
        assert!(why.contains("the limit is"), "{why}");
    }
}
