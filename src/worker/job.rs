//! One message's way: understood, photograph fetched, thumbnails made, thumbnails stored. It knows nothing of queues;
//! the runner deletes, returns or rejects the message by the [`Outcome`].

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::outcome::{Outcome, Stage, Trouble};
use super::room::Room;
use super::world::{Fetched, Photo, Stamp, World};
use crate::config::{self, Sources};
use crate::request::{Created, Message, Request, Source, Target};
use crate::thumbnail::{self, Options, Spec, Thumbnail};

/// Thumbnails of one photograph that are stored, or looked up, at once.
const STORES_AT_ONCE: usize = 4;
/// Written into every stamp; to be raised when the same parameters give other thumbnails.
const ENGINE_VERSION: u32 = 2;

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

/// Does all that a message asks for.
pub async fn run<W: World>(shop: Arc<Workshop<W>>, body: Arc<str>, _alone: bool) -> Finished {
    match Message::parse(&body) {
        Err(bad) => Finished::new(bad.into()),
        Ok(Message::Nothing(why)) => Finished::new(Outcome::Ignored(why)),
        Ok(Message::Request(request)) => {
            let mut finished = Finished::new(Outcome::Done);
            finished.outcome = one(&shop, &request, None, &mut finished).await;
            finished
        }
        Ok(Message::Event(created)) => event(&shop, created).await,
    }
}

/// The objects of an S3 event, one after the other. What must be tried again decides over what was rejected, and that
/// over what was done: nothing is deleted before all of it has ended.
async fn event<W: World>(shop: &Workshop<W>, created: Vec<Created>) -> Finished {
    let sizes = &shop.thumbnail.sizes;
    let mut finished = Finished::new(Outcome::Ignored("an event about thumbnails of ours"));
    for object in created {
        if sizes.is_empty() {
            let why = "an S3 event names no size, and `[thumbnail] sizes` in thumb.toml is empty".to_owned();
            return Finished::new(Outcome::Reject { stage: Stage::Request, why });
        }
        if shop.cannot_be_a_source(&object.source) {
            continue;
        }
        let request = Request { source: object.source.clone(), sizes: sizes.clone(), fit: None, quality: None };
        let outcome = one(shop, &request, Some(&object), &mut finished).await;
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
    finished: &mut Finished,
) -> Outcome {
    finished.source = Some(request.source.to_string());
    let targets = match request.targets(&shop.thumbnail) {
        Ok(targets) => targets,
        Err(bad) => return bad.into(),
    };
    match photograph(shop, request, targets, event, finished).await {
        Ok(outcome) => outcome,
        Err((stage, trouble)) => Outcome::failed(stage, trouble),
    }
}

async fn photograph<W: World>(
    shop: &Workshop<W>,
    request: &Request,
    mut targets: Vec<Target>,
    event: Option<&Created>,
    finished: &mut Finished,
) -> Result<Outcome, (Stage, Trouble)> {
    let at = |stage: Stage| move |trouble: Trouble| (stage, trouble);
    let began = Instant::now();
    let there = if shop.skip_existing { shop.stamps(&targets).await.map_err(at(Stage::Store))? } else { Vec::new() };
    let unless = common_etag(&targets, &there);
    let known = event.and_then(|event| event.etag.as_deref());
    if unless.is_some() && unless == known {
        finished.skipped.extend(targets.into_iter().map(|target| target.key));
        return Ok(Outcome::Done);
    }
    let photo = match shop.world.fetch(&request.source, unless, &shop.room).await.map_err(at(Stage::Fetch))? {
        Fetched::Photo(photo) => photo,
        Fetched::Unchanged => {
            finished.skipped.extend(targets.into_iter().map(|target| target.key));
            return Ok(Outcome::Done);
        }
    };
    if event.is_some() && photo.ours {
        return Ok(Outcome::Ignored("an event about a thumbnail of ours"));
    }
    let mut times = Times { fetch: began.elapsed(), ..Times::default() };
    let (etag, source_bytes) = (photo.etag.clone(), photo.bytes.len());
    finished.source_bytes += source_bytes;
    // Some thumbnails may be there already though not all are.
    let mut index = 0;
    targets.retain(|target| {
        let same = there.get(index).is_some_and(|there| is_same(there.as_ref(), target, etag.as_deref()));
        index += 1;
        if same {
            finished.skipped.push(target.key.clone());
        }
        !same
    });

    let (thumbnails, _permit) = shop.make(photo, &targets, &mut times).await.map_err(at(Stage::Make))?;
    let began = Instant::now();
    let made: Vec<Made> = stream::iter(targets.into_iter().zip(thumbnails))
        .map(|(target, thumbnail)| shop.store(request, target, thumbnail, etag.clone(), source_bytes))
        .buffered(STORES_AT_ONCE)
        .try_collect()
        .await
        .map_err(at(Stage::Store))?;
    times.store = began.elapsed();
    finished.made.extend(made.into_iter().map(|made| Made { times, ..made }));
    Ok(Outcome::Done)
}

impl<W: World> Workshop<W> {
    /// An object in the thumbnails bucket is a thumbnail, unless the bucket is a source as well.
    fn cannot_be_a_source(&self, source: &Source) -> bool {
        let Source::Object { bucket, .. } = source else { return false };
        *bucket == self.thumbnails_bucket
            && match &self.sources {
                Sources::Any => false,
                Sources::Buckets(buckets) => !buckets.contains(bucket),
            }
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
        times: &mut Times,
    ) -> Result<(Vec<Thumbnail>, super::room::Permit), Trouble> {
        let waiting = Instant::now();
        let specs: Vec<Spec> = targets.iter().map(|target| target.spec).collect();
        let info = thumbnail::probe(&photo.bytes, &self.options.limits)?;
        let mut permit = self.room.engine(&info, &specs).await;
        let cpu = Arc::clone(&self.cpus).acquire_owned().await.expect("nobody closes the CPUs");
        times.wait = waiting.elapsed();

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
    format!("{} {} q{} e{ENGINE_VERSION}", spec.size, spec.fit, spec.quality)
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
