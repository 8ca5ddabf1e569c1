//! One message's way: understood, photograph fetched, thumbnails made, thumbnails stored, and the photograph looked at
//! once more. It knows nothing of queues; the runner deletes, returns or rejects the message by the [`Outcome`].

pub mod fetch;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::backend::{Stamp, World};
use super::memory::{Permit, Room, Turn};
use super::retry::{Outcome, Stage, Trouble};
use crate::config::{self, Sources};
use crate::request::{Created, Message, Request, Source, Target};
use crate::text::printable;
use crate::thumbnail::{self, OUTPUT_VERSION, Options, Spec, Thumbnail, working_memory};
use fetch::{Photo, Wanted, fetch};

/// Thumbnails of one photograph that are stored, or looked up, at once.
const STORES_AT_ONCE: usize = 4;
/// Times that thumbnails are made by one receipt of a message, because their photograph has changed meanwhile. One that
/// changes more often than that is left alone for a while.
const MAX_ROUNDS: u32 = 3;

/// The engine's entry, so that tests of the loop need no photographs.
pub type Engine = fn(&[u8], &[Spec], &Options) -> Result<Vec<Thumbnail>, thumbnail::Error>;

/// What all jobs share.
pub struct Workshop<W> {
    pub world: Arc<W>,
    pub room: Room,
    /// One permit a CPU.
    pub cpus: Arc<Semaphore>,
    pub engine: Engine,
    pub options: Options,
    pub thumbnail: config::Thumbnail,
    pub thumbnails_bucket: String,
    /// The buckets that photographs are taken from, whatever the worker's credentials may read.
    pub sources: Sources,
    pub skip_existing: bool,
}

/// How long each stage took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    pub fetch: Duration,
    /// Waiting for memory and a CPU.
    pub wait: Duration,
    pub make: Duration,
    /// The look whether the photograph has changed included.
    pub store: Duration,
}

/// A thumbnail that is stored now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    pub source: String,
    pub key: String,
    pub width: u32,
    pub height: u32,
    pub source_bytes: usize,
    pub bytes: usize,
    /// Of the photograph: all its thumbnails share the fetch and the decoding.
    pub times: Times,
}

/// A message's end.
#[derive(Debug)]
pub struct Finished {
    pub outcome: Outcome,
    /// The photograph; none if the message did not say.
    pub source: Option<String>,
    pub made: Vec<Made>,
    /// Keys of thumbnails that were there already.
    pub skipped: Vec<String>,
    pub source_bytes: usize,
}

impl Finished {
    pub fn new(outcome: Outcome) -> Self {
        Self { outcome, source: None, made: Vec::new(), skipped: Vec::new(), source_bytes: 0 }
    }
}

/// Does all that a message asks for. `alone`: it may have killed its worker before, and takes nobody along this time.
pub async fn run<W: World>(shop: Arc<Workshop<W>>, body: Arc<str>, alone: bool) -> Finished {
    match Message::parse(&body) {
        Err(bad) => Finished::new(bad.into()),
        Ok(Message::Nothing(why)) => Finished::new(Outcome::Ignored(why)),
        Ok(Message::Request(request)) => {
            let mut finished = Finished::new(Outcome::Done);
            finished.outcome = one(&shop, &request, None, alone, &mut finished).await;
            finished
        }
        Ok(Message::Event(created)) => event(&shop, created, alone).await,
    }
}

/// The objects of an S3 event, one after the other. What must be tried again decides over what was rejected, and that
/// over what was done: nothing is deleted before all of it has ended.
async fn event<W: World>(shop: &Workshop<W>, created: Vec<Created>, alone: bool) -> Finished {
    let sizes = &shop.thumbnail.sizes;
    let mut finished = Finished::new(Outcome::Ignored("an event about thumbnails of ours"));
    for object in created {
        if sizes.is_empty() {
            let why = "an S3 event names no size, and `[thumbnail] sizes` in thumb.toml is empty".to_owned();
            return Finished::new(Outcome::Reject { stage: Stage::Request, why });
        }
        if shop.is_only_for_thumbnails(&object.source) {
            continue;
        }
        let request = Request { source: object.source.clone(), sizes: sizes.clone(), fit: None, quality: None };
        let outcome = one(shop, &request, Some(&object), alone, &mut finished).await;
        finished.outcome = weightier(finished.outcome, outcome);
    }
    finished
}

fn weightier(one: Outcome, other: Outcome) -> Outcome {
    let weight = |outcome: &Outcome| match outcome {
        Outcome::Ignored(_) => 0,
        Outcome::Done => 1,
        Outcome::Reject { .. } => 2,
        Outcome::Retry { .. } => 3,
    };
    if weight(&other) > weight(&one) { other } else { one }
}

/// One photograph. `event` is what S3 said of it, if S3 did.
async fn one<W: World>(
    shop: &Workshop<W>,
    request: &Request,
    event: Option<&Created>,
    alone: bool,
    finished: &mut Finished,
) -> Outcome {
    finished.source = Some(request.source.to_string());
    if let Some(why) = shop.is_no_source(&request.source) {
        return Outcome::Reject { stage: Stage::Request, why };
    }
    let targets = match request.targets(&shop.thumbnail) {
        Ok(targets) => targets,
        Err(bad) => return bad.into(),
    };
    match photograph(shop, request, targets, event, alone, finished).await {
        Ok(outcome) => outcome,
        Err((stage, trouble)) => {
            // S3 and web servers choose some of the words.
            let why = printable(&trouble.why).into_owned();
            Outcome::failed(stage, Trouble { why, ..trouble })
        }
    }
}

/// What became of one round.
enum Round {
    Over(Outcome),
    /// Thumbnails were stored, of a photograph with this ETag.
    Stored(Option<String>),
}

/// Makes the thumbnails, and again if the photograph is another one by the time that they are stored: of two messages
/// about two versions the one with the older may store last, and whoever stores last looks last.
async fn photograph<W: World>(
    shop: &Workshop<W>,
    request: &Request,
    targets: Vec<Target>,
    event: Option<&Created>,
    alone: bool,
    finished: &mut Finished,
) -> Result<Outcome, (Stage, Trouble)> {
    let turn = if alone { Some(shop.room.turn().await) } else { None };
    let mut there =
        if shop.skip_existing { shop.stamps(&targets).await.map_err(at(Stage::Store))? } else { Vec::new() };
    let unless = common_etag(&targets, &there);
    let known = event.and_then(|event| event.etag.as_deref());
    if unless.is_some() && unless == known {
        finished.skipped.extend(targets.into_iter().map(|target| target.key));
        return Ok(Outcome::Done);
    }
    for _ in 0..MAX_ROUNDS {
        let first_made = finished.made.len();
        let etag = match round(shop, request, &targets, &there, event, turn.as_ref(), finished).await? {
            Round::Over(outcome) => return Ok(outcome),
            Round::Stored(etag) => etag,
        };
        let began = Instant::now();
        let changed = shop.has_changed(&request.source, etag.as_deref()).await.map_err(at(Stage::Store))?;
        finished.made[first_made..].iter_mut().for_each(|made| made.times.store += began.elapsed());
        if !changed {
            return Ok(Outcome::Done);
        }
        there.clear();
    }
    let why = format!("the photograph changed {MAX_ROUNDS} times while its thumbnails were made");
    Err((Stage::Store, Trouble::passing(why)))
}

fn at(stage: Stage) -> impl Fn(Trouble) -> (Stage, Trouble) {
    move |trouble| (stage, trouble)
}

/// Fetches, makes and stores, once. `there`: the stamps of the thumbnails that are to be left if they are the same.
/// Whatever it has taken of the memory is given back at its end.
async fn round<W: World>(
    shop: &Workshop<W>,
    request: &Request,
    targets: &[Target],
    there: &[Option<Stamp>],
    event: Option<&Created>,
    turn: Option<&Turn>,
    finished: &mut Finished,
) -> Result<Round, (Stage, Trouble)> {
    let mut times = Times::default();
    let wanted = Wanted {
        source: &request.source,
        unless: common_etag(targets, there),
        max_bytes: shop.options.limits.max_source_bytes,
        alone: turn,
    };
    let fetched = fetch(&*shop.world, &shop.room, wanted, &mut times).await.map_err(at(Stage::Fetch))?;
    let Some(photo) = fetched else {
        finished.skipped.extend(targets.iter().map(|target| target.key.clone()));
        return Ok(Round::Over(Outcome::Done));
    };
    if event.is_some() && photo.ours {
        return Ok(Round::Over(Outcome::Ignored("an event about a thumbnail of ours")));
    }
    let (etag, source_bytes) = (photo.etag.clone(), photo.bytes.len());
    finished.source_bytes += source_bytes;
    // Some thumbnails may be there already though not all are.
    let is_there = |index: usize, target: &Target| {
        there.get(index).is_some_and(|there| is_same(there.as_ref(), target, etag.as_deref()))
    };
    let (skipped, wanted): (Vec<_>, Vec<_>) =
        targets.iter().enumerate().partition(|(index, target)| is_there(*index, target));
    finished.skipped.extend(skipped.into_iter().map(|(_, target)| target.key.clone()));
    let targets: Vec<Target> = wanted.into_iter().map(|(_, target)| target.clone()).collect();

    let (thumbnails, _permit) = shop.make(photo, &targets, turn, &mut times).await.map_err(at(Stage::Make))?;
    let began = Instant::now();
    let made: Vec<Made> = stream::iter(targets.into_iter().zip(thumbnails))
        .map(|(target, thumbnail)| shop.store(request, target, thumbnail, etag.clone(), source_bytes))
        .buffered(STORES_AT_ONCE)
        .try_collect()
        .await
        .map_err(at(Stage::Store))?;
    times.store = began.elapsed();
    if made.is_empty() {
        return Ok(Round::Over(Outcome::Done));
    }
    finished.made.extend(made.into_iter().map(|made| Made { times, ..made }));
    Ok(Round::Stored(etag))
}

impl<W: World> Workshop<W> {
    /// Why no photograph is taken from there, if it is not: the worker's credentials may read more than its stack is for,
    /// and what it reads everybody may see.
    fn is_no_source(&self, source: &Source) -> Option<String> {
        let (Source::Object { bucket, .. }, Sources::Buckets(sources)) = (source, &self.sources) else { return None };
        (!sources.contains(bucket))
            .then(|| format!("`[buckets] sources` in thumb.toml does not name the bucket {bucket}"))
    }

    /// An object in the thumbnails bucket is a thumbnail, unless the bucket is a source as well. An event about it is as
    /// it should be, and no mistake to be told of.
    fn is_only_for_thumbnails(&self, source: &Source) -> bool {
        let Source::Object { bucket, .. } = source else { return false };
        *bucket == self.thumbnails_bucket && self.is_no_source(source).is_some()
    }

    /// Whether an object of S3 has another ETag now. One that has gone has not changed: its thumbnails stay.
    async fn has_changed(&self, source: &Source, etag: Option<&str>) -> Result<bool, Trouble> {
        let (Source::Object { bucket, key }, Some(etag)) = (source, etag) else { return Ok(false) };
        Ok(self.world.etag(bucket, key).await?.is_some_and(|now| now != etag))
    }

    async fn stamps(&self, targets: &[Target]) -> Result<Vec<Option<Stamp>>, Trouble> {
        let looks: Vec<_> = targets.iter().map(|target| self.world.stamp(&target.key)).collect();
        stream::iter(looks).buffered(STORES_AT_ONCE).try_collect().await
    }

    /// Runs the engine on a thread of its own, when there is memory and a CPU for it. The permit covers the thumbnails.
    async fn make(
        &self,
        photo: Photo,
        targets: &[Target],
        turn: Option<&Turn>,
        times: &mut Times,
    ) -> Result<(Vec<Thumbnail>, Permit), Trouble> {
        let waiting = Instant::now();
        let specs: Vec<Spec> = targets.iter().map(|target| target.spec).collect();
        let info = thumbnail::probe(&photo.bytes, &self.options.limits)?;
        let permit = self.room.engine(working_memory(&info, &specs), turn).await;
        let mut permit = permit.map_err(|more| Trouble::lasting(format!("its thumbnails need {more}")))?;
        let cpu = Arc::clone(&self.cpus).acquire_owned().await.expect("nobody closes the CPUs");
        times.wait += waiting.elapsed();

        let began = Instant::now();
        let (engine, options) = (self.engine, self.options);
        let Photo { bytes, permit: photo_permit, .. } = photo;
        // The photograph and the CPU go with the engine: they stay taken for as long as it runs, even if the job is
        // aborted and nobody waits for it any more.
        let run = tokio::task::spawn_blocking(move || {
            let result = engine(&bytes, &specs, &options);
            drop((bytes, photo_permit, cpu));
            permit.shrink_to(result.iter().flatten().map(|thumbnail| thumbnail.jpeg.len() as u64).sum());
            result.map(|thumbnails| (thumbnails, permit))
        });
        let result =
            run.await.map_err(|_| Trouble::lasting("the engine panicked on it; that is a mistake in thumb"))?;
        times.make = began.elapsed();
        Ok(result?)
    }

    async fn store(
        &self,
        request: &Request,
        target: Target,
        thumbnail: Thumbnail,
        source_etag: Option<String>,
        source_bytes: usize,
    ) -> Result<Made, Trouble> {
        let Thumbnail { width, height, jpeg } = thumbnail;
        let bytes = jpeg.len();
        let stamp = Stamp { source_etag, parameters: parameters(&target.spec) };
        self.world.store(&target.key, Bytes::from(jpeg), &stamp).await?;
        let source = request.source.to_string();
        Ok(Made { source, key: target.key, width, height, source_bytes, bytes, times: Times::default() })
    }
}

/// What makes one thumbnail differ from another of the same photograph.
fn parameters(spec: &Spec) -> String {
    format!("{} {} q{} e{OUTPUT_VERSION}", spec.size, spec.fit, spec.quality)
}

fn is_same(there: Option<&Stamp>, target: &Target, etag: Option<&str>) -> bool {
    there.is_some_and(|stamp| {
        etag.is_some() && stamp.source_etag.as_deref() == etag && stamp.parameters == parameters(&target.spec)
    })
}

/// The source's ETag that all thumbnails were made from, if all are there with the parameters wanted.
fn common_etag<'a>(targets: &[Target], there: &'a [Option<Stamp>]) -> Option<&'a str> {
    let etag = there.first()?.as_ref()?.source_etag.as_deref()?;
    let same = targets.iter().zip(there).all(|(target, stamp)| is_same(stamp.as_ref(), target, Some(etag)));
    (same && targets.len() == there.len()).then_some(etag)
}
