//! Which thumbnails of a photograph are stored already, made from the same content in the same way.

use std::borrow::Cow;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::fetch::Photo;
use super::{JobContext, STORES_AT_ONCE};
use crate::config::Background;
use crate::request::{self, BadRequest, Request, Target};
use crate::thumbnail::{OUTPUT_VERSION, Options, Position, Sharpen, Spec};
use crate::worker::backend::{Backend, Provenance};
use crate::worker::retry::JobError;

/// Targets, and the provenances of those, as far as they are there.
type OfVersion<'a> = (Cow<'a, [Target]>, Cow<'a, [Option<Provenance>]>);

impl<B: Backend> JobContext<B> {
    pub(super) async fn provenances(&self, targets: &[Target]) -> Result<Vec<Option<Provenance>>, JobError> {
        let looks: Vec<_> = targets.iter().map(|target| self.backend.provenance(&target.key)).collect();
        stream::iter(looks).buffered(STORES_AT_ONCE).try_collect().await
    }

    /// The targets for the photograph that was read, and the provenances of those: where keys have its version, they are known only
    /// now, or are others than before.
    pub(super) async fn of_version<'a>(
        &self,
        request: &Request,
        targets: &'a [Target],
        there: &'a [Option<Provenance>],
        photo: &Photo,
    ) -> Result<Result<OfVersion<'a>, BadRequest>, JobError> {
        if !self.thumbnail.key.names_the_version() {
            return Ok(Ok((targets.into(), there.into())));
        }
        let version = photo.etag.as_deref().map_or_else(|| request::version_of(&photo.bytes), request::version);
        let now = match request.targets(&self.thumbnail, &version) {
            Ok(now) => now,
            Err(bad) => return Ok(Err(bad)),
        };
        if now == targets && !there.is_empty() {
            return Ok(Ok((targets.into(), there.into())));
        }
        let there = if self.skip_existing { self.provenances(&now).await? } else { Vec::new() };
        Ok(Ok((now.into(), there.into())))
    }

    /// The parameters that tell one thumbnail of a photograph from another.
    pub(super) fn parameters(&self, spec: &Spec) -> String {
        let Spec { size, fit, position, enlarge, sharpen, output, quality } = spec;
        let Options { background, keep_copyright, .. } = self.options;
        let mut text = format!("{size} {fit} q{quality} e{OUTPUT_VERSION} {output}");
        let mut add = |differs: bool, word: &str| {
            if differs {
                text.push(' ');
                text.push_str(word);
            }
        };
        add(*position != Position::default(), &position.to_string());
        add(!enlarge, "not-enlarged");
        add(*sharpen != Sharpen::Off, &format!("sharpen-{sharpen}"));
        add(background != Options::default().background, &Background(background).to_string());
        add(keep_copyright, "copyright");
        text
    }

    pub(super) fn is_same(&self, there: Option<&Provenance>, target: &Target, etag: Option<&str>) -> bool {
        there.is_some_and(|provenance| {
            let same_source = etag.is_some() && provenance.source_etag.as_deref() == etag;
            same_source && provenance.parameters == self.parameters(&target.spec)
        })
    }

    /// The source ETag that all thumbnails were made from, if all are stored with the wanted parameters.
    pub(super) fn common_etag<'a>(&self, targets: &[Target], there: &'a [Option<Provenance>]) -> Option<&'a str> {
        let etag = there.first()?.as_ref()?.source_etag.as_deref()?;
        let mut each = targets.iter().zip(there);
        let same = each.all(|(target, provenance)| self.is_same(provenance.as_ref(), target, Some(etag)));
        (same && targets.len() == there.len()).then_some(etag)
    }
}
