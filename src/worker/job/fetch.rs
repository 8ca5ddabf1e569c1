//! A photograph on its way into memory: found, then given its place, then read. The clock of the reading starts with the
//! reading, however long the place was waited for; a connection that was closed meanwhile is opened again, with the
//! place kept.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout};

use super::Times;
use crate::request::Source;
use crate::thumbnail;
use crate::worker::backend::{Body, Found, World};
use crate::worker::memory::{Origin, PhotoPermit, Room, Turn};
use crate::worker::retry::Trouble;

/// A photograph whose bytes take longer than this to arrive is read again from the start, and then again.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
const BODY_ATTEMPTS: u32 = 3;
/// The place of a photograph whose length nobody says, to begin with, and then by how much it grows.
const PIECE_BYTES: u64 = 4 << 20;

/// A photograph in memory.
#[derive(Debug)]
pub struct Photo {
    pub bytes: Bytes,
    pub etag: Option<String>,
    /// Whether it is a thumbnail that thumb stored.
    pub ours: bool,
    /// Its place in memory.
    pub permit: PhotoPermit,
}

/// What is fetched.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    pub source: &'a Source,
    /// An ETag: the photograph that has it is not read.
    pub unless: Option<&'a str>,
    /// The limit of what is taken.
    pub max_bytes: usize,
    /// The message runs alone.
    pub alone: Option<&'a Turn>,
}

/// How a reading ended otherwise than well.
#[derive(Debug)]
enum Ended {
    /// The answer began well and broke off: it may be read again at once.
    BrokeOff(String),
    Trouble(Trouble),
}

/// Fetches a photograph; none if it is unchanged.
pub async fn fetch<W: World>(
    world: &W,
    room: &Room,
    wanted: Wanted<'_>,
    times: &mut Times,
) -> Result<Option<Photo>, Trouble> {
    let Wanted { source, unless, max_bytes, alone } = wanted;
    let origin = match source {
        Source::Object { .. } => Origin::S3,
        Source::Url(_) => Origin::Web,
    };
    let max = room.max_photo_bytes(origin, max_bytes);
    let mut place: Option<PhotoPermit> = None;
    let mut attempt = 1;
    loop {
        let began = Instant::now();
        let mut opened = match world.open(source, unless).await? {
            Found::Photo(opened) => opened,
            Found::Unchanged => return Ok(None),
        };
        times.fetch += began.elapsed();
        if let Some(length) = opened.length.filter(|length| *length > max as u64) {
            return Err(too_many_bytes(length, max));
        }

        let began = Instant::now();
        let needs = opened.length.unwrap_or(PIECE_BYTES.min(max as u64));
        let mut permit = match place.take().filter(|place| place.bytes() >= needs) {
            Some(place) => place,
            None => {
                let permit = room.photo(needs, origin, alone).await;
                permit.map_err(|more| Trouble::lasting(format!("the photograph needs {more}")))?
            }
        };
        times.wait += began.elapsed();

        let began = Instant::now();
        let read = match timeout(BODY_TIMEOUT, read(&mut opened.body, opened.length, max, &mut permit)).await {
            Ok(read) => read,
            Err(_) => Err(Ended::BrokeOff(format!("the photograph did not arrive in {BODY_TIMEOUT:?}"))),
        };
        times.fetch += began.elapsed();
        match read {
            Ok(bytes) => {
                permit.shrink_to(bytes.len() as u64);
                return Ok(Some(Photo { bytes, etag: opened.etag, ours: opened.ours, permit }));
            }
            Err(Ended::Trouble(trouble)) => return Err(trouble),
            Err(Ended::BrokeOff(why)) if attempt == BODY_ATTEMPTS => {
                return Err(match source {
                    Source::Object { .. } => Trouble::s3(why),
                    Source::Url(_) => Trouble::passing(why),
                });
            }
            Err(Ended::BrokeOff(_)) => {
                permit.shrink_to(needs);
                place = Some(permit);
                sleep(Duration::from_millis(fastrand::u64(50..250)) * attempt).await;
                attempt += 1;
            }
        }
    }
}

/// Reads exactly the bytes that were announced, or to the end what was not, for which the place grows as they come.
async fn read(body: &mut impl Body, length: Option<u64>, max: usize, permit: &mut PhotoPermit) -> Result<Bytes, Ended> {
    // Exactly as much as there is place for: a vector that grows by itself takes up to twice as much as it holds.
    let mut bytes: Vec<u8> = Vec::with_capacity(as_size(length.unwrap_or(permit.bytes().min(max as u64))));
    while let Some(piece) = body.next().await.map_err(Ended::BrokeOff)? {
        let have = bytes.len() as u64 + piece.len() as u64;
        if length.is_some_and(|length| have > length) {
            return Err(Ended::BrokeOff("more bytes came than were announced".to_owned()));
        }
        if have > max as u64 {
            return Err(Ended::Trouble(too_many_bytes(have, max)));
        }
        if length.is_none() && have > bytes.capacity() as u64 {
            let wanted = have.next_multiple_of(PIECE_BYTES).min(max as u64);
            if !permit.try_grow_to(wanted) {
                // Whoever waited here would keep what others need to end.
                return Err(Ended::Trouble(Trouble::passing(format!(
                    "there is no memory free just now for more than {} MiB of a photograph whose server does not say how \
                     long it is",
                    bytes.capacity() >> 20
                ))));
            }
            bytes.reserve_exact(as_size(wanted) - bytes.len());
        }
        bytes.extend_from_slice(&piece);
    }
    match length {
        Some(length) if (bytes.len() as u64) < length => {
            Err(Ended::BrokeOff(format!("only {} of {length} bytes arrived", bytes.len())))
        }
        _ => Ok(bytes.into()),
    }
}

fn too_many_bytes(bytes: u64, max: usize) -> Trouble {
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

    /// Pieces that come at once, and how it ends.
    struct Pieces(VecDeque<Result<Bytes, String>>);

    impl Body for Pieces {
        async fn next(&mut self) -> Result<Option<Bytes>, String> {
            self.0.pop_front().transpose()
        }
    }

    fn pieces(count: usize, bytes: usize) -> Pieces {
        Pieces((0..count).map(|_| Ok(Bytes::from(vec![7; bytes]))).collect())
    }

    async fn place(room: &Room, bytes: u64) -> PhotoPermit {
        room.photo(bytes, Origin::Web, None).await.unwrap()
    }

    #[tokio::test]
    async fn a_photograph_is_as_long_as_it_said() {
        let room = Room::new(MIN_MEMORY_BYTES, 1);
        let mut permit = place(&room, 10).await;
        assert_eq!(read(&mut pieces(5, 1), Some(5), 100, &mut permit).await.unwrap().len(), 5);
        for (said, why) in [(6, "only 5 of 6 bytes arrived"), (4, "more bytes came than were announced")] {
            let ended = read(&mut pieces(5, 1), Some(said), 100, &mut permit).await.unwrap_err();
            assert!(matches!(&ended, Ended::BrokeOff(said) if said == why), "{ended:?}");
        }
    }

    #[tokio::test]
    async fn the_place_of_a_photograph_of_unknown_length_grows_as_it_comes_and_never_takes_the_whole_pool() {
        let room = Room::new(MIN_MEMORY_BYTES, 1);
        let max = room.max_photo_bytes(Origin::Web, usize::MAX);
        let mut permit = place(&room, PIECE_BYTES).await;
        let bytes = read(&mut pieces(5, 1 << 20), None, max, &mut permit).await.unwrap();
        assert_eq!((bytes.len(), permit.bytes()), (5 << 20, 2 * PIECE_BYTES));

        // Its neighbour has the rest.
        let neighbour = place(&room, max as u64 - 2 * PIECE_BYTES).await;
        let ended = read(&mut pieces(9, 1 << 20), None, max, &mut permit).await.unwrap_err();
        let Ended::Trouble(Trouble { passing: true, why, .. }) = ended else { panic!("{ended:?}") };
        assert!(why.starts_with("there is no memory free just now for more than "), "{why}");
        drop(neighbour);
        let ended = read(&mut pieces(1_000, 1 << 20), None, max, &mut permit).await.unwrap_err();
        let Ended::Trouble(Trouble { passing: false, why, .. }) = ended else { panic!("{ended:?}") };
        assert!(why.contains("the limit is"), "{why}");
    }
}
