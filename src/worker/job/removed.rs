//! What becomes of the thumbnails of a photograph that S3 says has gone: they go too, where `follow_deletes` is set.
//!
//! Events come late, twice and out of order, so an event is only a reason to look: the photograph must not be there, and a
//! thumbnail must be one that thumb has stored. One that is uploaded again while its thumbnails are deleted is made anew.

use std::collections::BTreeSet;

use super::{JobContext, STORES_AT_ONCE, at, manifest, one};
use crate::request::{self, Request, Source};
use crate::worker::backend::Backend;
use crate::worker::job::Finished;
use crate::worker::retry::{JobError, Outcome, Stage};
use futures_util::{StreamExt, TryStreamExt, stream};

/// Deletes the thumbnails of a removed photograph: those of the sizes that an event asks for, and those that its manifest lists.
pub(super) async fn removed<B: Backend>(
    context: &JobContext<B>,
    source: &Source,
    alone: bool,
    finished: &mut Finished,
) -> Outcome {
    finished.source = Some(source.to_string());
    if let Some(why) = context.refusal(source) {
        return Outcome::Reject { stage: Stage::Request, why };
    }
    let request = context.request_of_event(source);
    match delete(context, &request, finished).await {
        // It is there again: its own event may have come before its thumbnails were deleted here.
        Ok(true) => one(context, &request, None, alone, finished).await,
        Ok(false) => Outcome::Done,
        Err(job_error) => {
            let (stage, job_error) = at(Stage::Store)(job_error);
            Outcome::failed(stage, job_error)
        }
    }
}

/// Returns whether thumbnails were deleted of a photograph that is there again.
async fn delete<B: Backend>(
    context: &JobContext<B>,
    request: &Request,
    finished: &mut Finished,
) -> Result<bool, JobError> {
    let Source::Object { bucket, key } = &request.source else { return Ok(false) };
    if !context.backend.is_gone(bucket, key).await? {
        return Ok(false);
    }
    let origin = request.source.origin();
    let mut keys = BTreeSet::new();
    // Without the photograph nobody knows its version; its manifest does.
    if !context.thumbnail.key.names_the_version() {
        let targets = request.targets(&context.thumbnail, "").unwrap_or_default();
        keys.extend(targets.into_iter().map(|target| target.key));
    }
    if context.thumbnail.manifest {
        keys.extend(manifest::keys(&*context.backend, &origin).await?);
        keys.insert(manifest::key(&origin));
    }
    let removals = keys.into_iter().map(|key| async move {
        let was_there = context.backend.remove(&key).await?;
        Ok::<_, JobError>(was_there.then_some(key))
    });
    let removed: Vec<Option<String>> = stream::iter(removals).buffered(STORES_AT_ONCE).try_collect().await?;
    let before = finished.removed.len();
    finished.removed.extend(removed.into_iter().flatten());
    Ok(finished.removed.len() > before && !context.backend.is_gone(bucket, key).await?)
}

impl<B: Backend> JobContext<B> {
    /// What an event about an object asks for: the sizes of the trigger that covers it, or those of `[thumbnail]`.
    pub(super) fn request_of_event(&self, source: &Source) -> Request {
        let trigger = match source {
            Source::Object { bucket, key } => self.triggers.iter().find(|trigger| trigger.covers(bucket, key)),
            Source::Url(_) => None,
        };
        let sizes = trigger.map(|trigger| &trigger.sizes).filter(|sizes| !sizes.is_empty());
        let sizes = sizes.unwrap_or(&self.thumbnail.sizes).clone();
        Request { source: source.clone(), wanted: request::Wanted { sizes, ..request::Wanted::default() } }
    }
}
