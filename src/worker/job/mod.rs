//! Processes one message: parses it, fetches the photograph, makes and stores the thumbnails, and checks whether the
//! photograph has changed meanwhile. It knows nothing of queues; the runner settles the message by the [`Outcome`].

pub mod fetch;
pub mod manifest;
mod removed;
mod stored;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::backend::{Backend, Provenance, Upload};
use super::memory::{MemoryBudget, Permit, Turn};
use super::retry::{JobError, Outcome, Stage};
use crate::config::{self, Sources, Trigger};
use crate::request::{self, Created, Message, ObjectEvent, Request, Source, Target};
use crate::text::printable;
use crate::thumbnail::{self, Format, Options, Placeholder, Spec, Thumbnail, working_memory};
use fetch::{Photo, Wanted, fetch};

/// Thumbnails of one photograph that are stored, or looked up, in parallel.
const STORES_AT_ONCE: usize = 4;
/// How often one receipt of a message makes its thumbnails, because the photograph keeps changing meanwhile; then the
/// message is retried later.
const MAX_ROUNDS: u32 = 3;

/// The error for a panic of the engine.
const ENGINE_PANICKED: &str =
    "internal error: the engine panicked; this is a bug in thumb, please report it with the photograph";

/// The engine's entry point; tests replace it, and need no photographs.
pub type Engine = fn(&[u8], &[Spec], &Options) -> Result<Vec<Thumbnail>, thumbnail::Error>;

/// What all jobs share.
pub struct JobContext<B> {
    pub backend: Arc<B>,
    pub memory: MemoryBudget,
    /// One permit per CPU.
    pub cpus: Arc<Semaphore>,
    pub engine: Engine,
    pub options: Options,
    pub thumbnail: config::Thumbnail,
    pub thumbnails_bucket: String,
    /// The buckets that photographs may be read from, whatever the worker's credentials allow.
    pub sources: Sources,
    pub skip_existing: bool,
    /// The sizes that events ask for, where a trigger has its own.
    pub triggers: Vec<Trigger>,
}

/// How long each stage took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    pub fetch: Duration,
    /// Waiting for memory and a CPU.
    pub wait: Duration,
    pub make: Duration,
    /// Includes the check whether the photograph has changed.
    pub store: Duration,
}

/// A thumbnail that has been stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    pub source: String,
    pub key: String,
    pub width: u32,
    pub height: u32,
    pub format: Format,
    pub placeholder: Placeholder,
    pub source_bytes: usize,
    pub bytes: usize,
    /// The photograph's: its thumbnails share the fetch and the decoding.
    pub times: Times,
}

/// The result of processing a message.
#[derive(Debug)]
pub struct Finished {
    pub outcome: Outcome,
    /// The photograph; none if the message could not be parsed.
    pub source: Option<String>,
    pub made: Vec<Made>,
    /// Keys of thumbnails that were up to date already.
    pub skipped: Vec<String>,
    /// Keys of thumbnails that were deleted with their photograph.
    pub removed: Vec<String>,
    pub source_bytes: usize,
}

impl Finished {
    pub fn new(outcome: Outcome) -> Self {
        Self { outcome, source: None, made: Vec::new(), skipped: Vec::new(), removed: Vec::new(), source_bytes: 0 }
    }
}

/// Processes a message. `alone`: it may have killed a worker before, and must not affect other messages this time.
pub async fn run<B: Backend>(context: Arc<JobContext<B>>, body: Arc<str>, alone: bool) -> Finished {
    match Message::parse(&body) {
        Err(bad) => Finished::new(bad.into()),
        Ok(Message::Nothing(why)) => Finished::new(Outcome::Ignored(why)),
        Ok(Message::Request(request)) => {
            let mut finished = Finished::new(Outcome::Done);
            finished.outcome = one(&context, &request, None, alone, &mut finished).await;
            finished
        }
        Ok(Message::Event(events)) => event(&context, events, alone).await,
    }
}

/// Processes the objects of an S3 event one after the other. A retry outweighs a rejection, and a rejection outweighs
/// success: the message is settled once, after all of them.
async fn event<B: Backend>(context: &JobContext<B>, events: Vec<ObjectEvent>, alone: bool) -> Finished {
    let mut finished = Finished::new(Outcome::Ignored("an event about thumb's own thumbnails"));
    for event in events {
        if context.is_only_for_thumbnails(event.source()) {
            continue;
        }
        let outcome = match event {
            ObjectEvent::Created(created) => {
                let request = context.request_of_event(&created.source);
                if request.wanted.sizes.is_empty() {
                    let why = "an S3 event names no size, and `[thumbnail] sizes` in thumb.toml is empty".to_owned();
                    return Finished::new(Outcome::Reject { stage: Stage::Request, why });
                }
                one(context, &request, Some(&created), alone, &mut finished).await
            }
            ObjectEvent::Removed(source) if context.thumbnail.follow_deletes => {
                removed::removed(context, &source, alone, &mut finished).await
            }
            ObjectEvent::Removed(_) => Outcome::Ignored("an event about a photograph that was removed"),
        };
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

/// Processes one photograph. `event` is S3's event about it, if there was one.
async fn one<B: Backend>(
    context: &JobContext<B>,
    request: &Request,
    event: Option<&Created>,
    alone: bool,
    finished: &mut Finished,
) -> Outcome {
    finished.source = Some(request.source.to_string());
    if let Some(why) = context.refusal(&request.source) {
        return Outcome::Reject { stage: Stage::Request, why };
    }
    // The content's version is known before the photograph is read where an event says it; without it these targets only show
    // whether the request is good.
    let version = event.and_then(|event| event.etag.as_deref()).map(request::version);
    let targets = match request.targets(&context.thumbnail, version.as_deref().unwrap_or_default()) {
        Ok(targets) => targets,
        Err(bad) => return bad.into(),
    };
    let known = version.is_some() || !context.thumbnail.key.names_the_version();
    match photograph(context, request, targets, known, event, alone, finished).await {
        Ok(outcome) => outcome,
        Err((stage, job_error)) => {
            // Some of the text comes from S3 or a web server.
            let why = printable(&job_error.why).into_owned();
            Outcome::failed(stage, JobError { why, ..job_error })
        }
    }
}

/// The result of one round.
enum Round {
    Over(Outcome),
    /// Thumbnails were stored, of a photograph with this ETag.
    Stored(Option<String>),
}

/// Makes the thumbnails, and makes them again if the photograph has changed by the time they are stored. Of two messages
/// about two versions the older one may be stored last; as each checks after storing, the older thumbnail does not stay.
async fn photograph<B: Backend>(
    context: &JobContext<B>,
    request: &Request,
    targets: Vec<Target>,
    known: bool,
    event: Option<&Created>,
    alone: bool,
    finished: &mut Finished,
) -> Result<Outcome, (Stage, JobError)> {
    let turn = if alone { Some(context.memory.turn().await) } else { None };
    let mut there = if context.skip_existing && known {
        context.provenances(&targets).await.map_err(at(Stage::Store))?
    } else {
        Vec::new()
    };
    let unless = context.common_etag(&targets, &there);
    let known = event.and_then(|event| event.etag.as_deref());
    if unless.is_some() && unless == known {
        finished.skipped.extend(targets.into_iter().map(|target| target.key));
        return Ok(Outcome::Done);
    }
    for _ in 0..MAX_ROUNDS {
        let first_made = finished.made.len();
        let etag = match round(context, request, &targets, &there, event, turn.as_ref(), finished).await? {
            Round::Over(outcome) => return Ok(outcome),
            Round::Stored(etag) => etag,
        };
        let began = Instant::now();
        let changed = context.has_changed(&request.source, etag.as_deref()).await.map_err(at(Stage::Store))?;
        finished.made[first_made..].iter_mut().for_each(|made| made.times.store += began.elapsed());
        if !changed {
            return Ok(Outcome::Done);
        }
        there.clear();
    }
    let why = format!("the photograph changed {MAX_ROUNDS} times while its thumbnails were made");
    Err((Stage::Store, JobError::transient(why)))
}

fn at(stage: Stage) -> impl Fn(JobError) -> (Stage, JobError) {
    move |job_error| (stage, job_error)
}

/// Fetches, makes and stores once. `there`: the provenances of stored thumbnails, which are skipped if they are up to date.
/// All memory permits are returned at the end.
async fn round<B: Backend>(
    context: &JobContext<B>,
    request: &Request,
    targets: &[Target],
    there: &[Option<Provenance>],
    event: Option<&Created>,
    turn: Option<&Turn>,
    finished: &mut Finished,
) -> Result<Round, (Stage, JobError)> {
    let mut times = Times::default();
    let wanted = Wanted {
        source: &request.source,
        unless: context.common_etag(targets, there),
        max_bytes: context.options.limits.max_source_bytes,
        alone: turn,
    };
    let fetched = fetch(&*context.backend, &context.memory, wanted, &mut times).await.map_err(at(Stage::Fetch))?;
    let Some(photo) = fetched else {
        finished.skipped.extend(targets.iter().map(|target| target.key.clone()));
        return Ok(Round::Over(Outcome::Done));
    };
    if event.is_some() && photo.ours {
        return Ok(Round::Over(Outcome::Ignored("an event about thumb's own thumbnail")));
    }
    let (etag, source_bytes) = (photo.etag.clone(), photo.bytes.len());
    finished.source_bytes += source_bytes;
    let (targets, there) = match context.of_version(request, targets, there, &photo).await.map_err(at(Stage::Store))? {
        Ok(of_version) => of_version,
        Err(bad) => return Ok(Round::Over(bad.into())),
    };
    // Some thumbnails may be up to date though not all are.
    let is_there = |index: usize, target: &Target| {
        there.get(index).is_some_and(|there| context.is_same(there.as_ref(), target, etag.as_deref()))
    };
    let (skipped, wanted): (Vec<_>, Vec<_>) =
        targets.iter().enumerate().partition(|(index, target)| is_there(*index, target));
    finished.skipped.extend(skipped.into_iter().map(|(_, target)| target.key.clone()));
    let targets: Vec<Target> = wanted.into_iter().map(|(_, target)| target.clone()).collect();

    let (thumbnails, _permit) = context.make(photo, &targets, turn, &mut times).await.map_err(at(Stage::Make))?;
    let began = Instant::now();
    let made: Vec<Made> = stream::iter(targets.into_iter().zip(thumbnails))
        .map(|(target, thumbnail)| context.store(request, target, thumbnail, etag.clone(), source_bytes))
        .buffered(STORES_AT_ONCE)
        .try_collect()
        .await
        .map_err(at(Stage::Store))?;
    times.store = began.elapsed();
    if made.is_empty() {
        return Ok(Round::Over(Outcome::Done));
    }
    if context.thumbnail.manifest {
        context.list(request, &made, etag.as_deref()).await.map_err(at(Stage::Store))?;
    }
    finished.made.extend(made.into_iter().map(|made| Made { times, ..made }));
    Ok(Round::Stored(etag))
}

impl<B: Backend> JobContext<B> {
    /// Why a source is refused, if it is: the worker's credentials may allow more than the stack is for, and thumbnails may
    /// be public.
    fn refusal(&self, source: &Source) -> Option<String> {
        let (Source::Object { bucket, .. }, Sources::Buckets(sources)) = (source, &self.sources) else { return None };
        (!sources.contains(bucket))
            .then(|| format!("`[buckets] sources` in thumb.toml does not list the bucket {bucket}"))
    }

    /// Whether the object is in the thumbnails bucket and that is not a source too. Such events are expected and are ignored,
    /// not rejected.
    fn is_only_for_thumbnails(&self, source: &Source) -> bool {
        let Source::Object { bucket, .. } = source else { return false };
        *bucket == self.thumbnails_bucket && self.refusal(source).is_some()
    }

    /// Adds thumbnails to the photograph's manifest.
    async fn list(&self, request: &Request, made: &[Made], etag: Option<&str>) -> Result<(), JobError> {
        let variant = |made: &Made| manifest::Variant {
            key: made.key.clone(),
            width: made.width,
            height: made.height,
            bytes: made.bytes,
            format: made.format.to_string(),
            thumb_hash: made.placeholder.thumb_hash_base64(),
            dominant: made.placeholder.dominant_hex(),
        };
        let variants: Vec<_> = made.iter().map(variant).collect();
        manifest::add(&*self.backend, &request.source.origin(), &request.source.to_string(), etag, &variants).await
    }

    /// Whether an object in S3 has another ETag now. A deleted one counts as unchanged: its thumbnails stay.
    async fn has_changed(&self, source: &Source, etag: Option<&str>) -> Result<bool, JobError> {
        let (Source::Object { bucket, key }, Some(etag)) = (source, etag) else { return Ok(false) };
        Ok(self.backend.etag(bucket, key).await?.is_some_and(|now| now != etag))
    }

    /// Runs the engine on a thread of its own, once memory and a CPU are free. The permit covers the thumbnails.
    async fn make(
        &self,
        photo: Photo,
        targets: &[Target],
        turn: Option<&Turn>,
        times: &mut Times,
    ) -> Result<(Vec<Thumbnail>, Permit), JobError> {
        let waiting = Instant::now();
        let specs: Vec<Spec> = targets.iter().map(|target| target.spec).collect();
        let info = thumbnail::probe(&photo.bytes, &self.options.limits)?;
        let permit = self.memory.engine(working_memory(&info, &specs), turn).await;
        let mut permit = permit.map_err(|more| JobError::permanent(format!("its thumbnails need {more}")))?;
        let cpu = Arc::clone(&self.cpus).acquire_owned().await.expect("the semaphore is never closed");
        times.wait += waiting.elapsed();

        let began = Instant::now();
        let (engine, options) = (self.engine, self.options);
        let Photo { bytes, permit: photo_permit, .. } = photo;
        // The photograph and the CPU's permit move to the engine's thread: they stay taken while it runs, even if the job is
        // aborted.
        let run = tokio::task::spawn_blocking(move || {
            let result = engine(&bytes, &specs, &options);
            drop((bytes, photo_permit, cpu));
            permit.shrink_to(result.iter().flatten().map(|thumbnail| thumbnail.bytes.len() as u64).sum());
            result.map(|thumbnails| (thumbnails, permit))
        });
        let result = run.await.map_err(|_| JobError::permanent(ENGINE_PANICKED))?;
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
    ) -> Result<Made, JobError> {
        let Target { spec, key } = target;
        let Thumbnail { width, height, format, bytes: body, placeholder } = thumbnail;
        let bytes = body.len();
        let provenance = Provenance { source_etag, parameters: self.parameters(&spec) };
        let facts = vec![
            ("thumb-width", width.to_string()),
            ("thumb-height", height.to_string()),
            ("thumb-hash", placeholder.thumb_hash_base64()),
            ("thumb-dominant", placeholder.dominant_hex()),
        ];
        let (body, media_type) = (Bytes::from(body), format.media_type());
        self.backend.store(Upload { key: key.clone(), body, media_type, provenance, facts }).await?;
        let (source, times) = (request.source.to_string(), Times::default());
        Ok(Made { source, key, width, height, format, placeholder, source_bytes, bytes, times })
    }
}
