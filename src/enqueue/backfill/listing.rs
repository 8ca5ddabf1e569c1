//! Lists both buckets, and writes down what is to be queued.

use aws_sdk_s3::types::{Object, RequestPayer};

use super::state::Writer;
use super::{Counts, Existing, Listed, Progress, missing};
use crate::aws::{CallError, Clients, Kind, RegionalS3, s3_config};
use crate::config::Config;
use crate::enqueue::is_photograph;
use crate::error::{Failure, Result};

/// Which photographs to look at.
pub struct Place<'a> {
    pub bucket: &'a str,
    pub prefix: &'a str,
    /// The account that must own the thumbnails bucket.
    pub account: &'a str,
}

/// Finds the photographs without thumbnails, and writes them into `writer`.
///
/// # Errors
/// A bucket cannot be listed, there are too many thumbnails, or the file cannot be written.
pub async fn find(
    clients: &Clients,
    config: &Config,
    place: &Place<'_>,
    writer: &mut Writer,
    progress: &mut impl Progress,
) -> Result<Counts> {
    let s3 = RegionalS3::new(s3_config(&clients.sdk));
    let thumbnails_bucket = config.thumbnails_bucket(place.account);
    let under = config.thumbnail.key.prefix_of(place.bucket, place.prefix);
    let mut existing = Existing::default();
    let mut thumbnails = 0_u64;
    let mut room = true;
    let owner = Some(place.account);
    let listed = list(&s3, &thumbnails_bucket, &under, owner, |object| {
        room = room && existing.add(&object);
        thumbnails += 1;
        if thumbnails.is_multiple_of(1_000) {
            progress.listed(thumbnails, 0);
        }
        if room { Ok(()) } else { Err(too_many()) }
    });
    listed.await?;
    let mut counts = Counts::default();
    let mut looked = 0_u64;
    let listed = list(&s3, place.bucket, place.prefix, None, |object| {
        looked += 1;
        if looked.is_multiple_of(1_000) {
            progress.listed(thumbnails, looked);
        }
        // A thumbnails bucket that is a source, too, has thumbnails that look like photographs.
        if !is_photograph(&object.key) {
            counts.others += 1;
            return Ok(());
        }
        counts.photos += 1;
        if let Some(needed) = missing(config, place.bucket, &object, &existing) {
            counts.missing += 1;
            counts.thumbnails += needed;
            writer.add(&object.key)?;
        }
        Ok(())
    });
    listed.await?;
    progress.listed(thumbnails, looked);
    Ok(counts)
}

fn too_many() -> Failure {
    Failure::new(format!("there are more than {} thumbnails", super::MAX_THUMBNAILS))
        .hint("do it in parts: `thumb backfill --prefix …`, with prefixes that end with a slash")
}

/// A bucket's objects that are not empty, page by page (API ListObjectsV2).
async fn list(
    s3: &RegionalS3,
    bucket: &str,
    prefix: &str,
    owner: Option<&str>,
    mut each: impl FnMut(Listed) -> Result<()>,
) -> Result<()> {
    let mut token: Option<String> = None;
    loop {
        let page = |s3: aws_sdk_s3::Client| {
            let call = s3.list_objects_v2().bucket(bucket).prefix(prefix).set_continuation_token(token.clone());
            let call = call.set_expected_bucket_owner(owner.map(str::to_owned));
            call.set_request_payer(owner.is_none().then_some(RequestPayer::Requester)).send()
        };
        let page = match s3.call(bucket, page).await.map_err(|error| CallError::new("s3:ListBucket", error)) {
            Ok(page) => page,
            Err(error) if error.kind == Kind::NotFound => {
                return Err(Failure::new(format!("bucket \"{bucket}\" does not exist")).caused_by(&error));
            }
            Err(error) => return Err(error.failure(format!("cannot list the bucket {bucket}"))),
        };
        for object in page.contents.unwrap_or_default() {
            if object.size != Some(0) {
                each(entry(object))?;
            }
        }
        match page.next_continuation_token {
            None => return Ok(()),
            next if next == token => {
                return Err(Failure::new(format!("S3 keeps returning the same page of the bucket {bucket}")));
            }
            next => token = next,
        }
    }
}

fn entry(object: Object) -> Listed {
    Listed {
        modified_s: object.last_modified.map_or(0, |time| time.secs()),
        etag: object.e_tag.unwrap_or_default().trim_matches('"').to_owned(),
        key: object.key.unwrap_or_default(),
    }
}
