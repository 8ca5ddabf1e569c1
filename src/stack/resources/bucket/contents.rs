//! The contents of a bucket: counting them, emptying and deleting the bucket.

use std::borrow::Cow;
use std::time::Duration;

use aws_sdk_s3::types::{Delete, EncodingType, ObjectIdentifier};
use futures_util::stream::{StreamExt, TryStreamExt, iter};

use crate::aws::{CallError, CallResult, Kind, Reader, Writer};
use crate::stack::resources::{RetryPolicy, StepContext, ok_if_gone, optional};

/// Objects one DeleteObjects call may name (API DeleteObjects), and one page of a listing.
const PAGE: i32 = 1_000;
/// Pages of object versions counted before a destroy; more are "more than".
const MAX_COUNT_PAGES: u32 = 20;
/// Pages of one pass over a bucket that is being emptied: a hundred million objects.
const MAX_PAGES: u32 = 100_000;
/// Passes over a bucket before emptying it gives up. The second pass finds nothing, unless objects are still added.
const MAX_PASSES: u32 = 20;
/// Attempts at deleting entries that failed temporarily, and the pause after the first, doubled each time: six seconds in
/// all. The SDK does not retry entries of a batch.
const DELETE_ATTEMPTS: u32 = 6;
const DELETE_DELAY: Duration = Duration::from_millis(200);
/// Parallel calls where each is about one object or upload.
const SINGLES: usize = 16;

/// An object's version, or a delete marker. Without an ID: the object as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    pub key: String,
    pub id: Option<String>,
}

/// The counted contents of a bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Versions and delete markers that are not thumb's own.
    pub objects: u64,
    /// There are more than were counted.
    pub more: bool,
    /// The keys that are thumb's own.
    pub own: Vec<String>,
}

struct Page {
    versions: Vec<Version>,
    /// Where the next page begins: a key, and a version of it.
    next: Option<Marker>,
}

type Marker = (Option<String>, Option<String>);

/// `own`: which keys thumb has written and can write again.
pub async fn count_objects(
    aws: &Reader,
    account: &str,
    name: &str,
    own: impl Fn(&str) -> bool,
) -> Result<Counted, CallError> {
    let (mut counted, mut from) = (Counted::default(), None);
    for _ in 0..MAX_COUNT_PAGES {
        let (key, version) = from.unzip();
        let request = aws.list_object_versions().bucket(name).expected_bucket_owner(account).max_keys(PAGE);
        let request = request.encoding_type(EncodingType::Url).set_key_marker(key.flatten());
        let answer = request.set_version_id_marker(version.flatten()).send().await;
        let Some(answer) = optional(answer.action("s3:ListBucketVersions"))? else {
            return Ok(Counted::default());
        };
        let page = Page::new(answer);
        for Version { key, .. } in page.versions {
            if own(&key) {
                counted.own.push(key);
            } else {
                counted.objects += 1;
            }
        }
        from = page.next;
        if from.is_none() {
            return Ok(counted);
        }
    }
    Ok(Counted { more: true, ..counted })
}

/// Deletes the bucket; while something is in it (also what a worker put there a moment ago), empties it first. The time
/// that S3 may take to let go of an empty bucket counts from when it was emptied.
pub async fn delete_bucket(name: &str, aws: &Writer, context: &StepContext<'_>) -> Result<(), CallError> {
    let account = context.account;
    ok_if_gone(empty(name, aws, context).await)?;
    let not_yet = |error: &CallError| error.kind == Kind::InUse || error.kind == Kind::NotYet;
    let why = "objects are still being added to the bucket; emptying it again";
    context
        .retry(&RetryPolicy::BUCKET_NAME, why, not_yet, || async {
            let result = aws.clients.s3.delete_bucket().bucket(name).expected_bucket_owner(account).send().await;
            let result = ok_if_gone(result.action("s3:DeleteBucket"));
            if result.as_ref().is_err_and(|error| error.kind == Kind::InUse) {
                ok_if_gone(empty(name, aws, context).await)?;
            }
            result
        })
        .await
}

async fn empty(name: &str, aws: &Writer, context: &StepContext<'_>) -> Result<(), CallError> {
    let account = context.account;
    let mut before = Vec::new();
    for _ in 0..MAX_PASSES {
        let mut page = list(name, account, None, aws).await?;
        if page.versions.is_empty() {
            return abort_uploads(name, account, aws).await;
        }
        if page.versions == before {
            return Err(stuck("s3:DeleteObjectVersion", &page.versions[0].key));
        }
        before.clone_from(&page.versions);
        for _ in 0..MAX_PAGES {
            context.go_on("s3:DeleteObjectVersion")?;
            let delete = delete_objects(name, account, page.versions, aws);
            match page.next {
                Some(from) => {
                    let (deleted, next) = tokio::join!(delete, list(name, account, Some(from), aws));
                    deleted?;
                    page = next?;
                }
                None => {
                    delete.await?;
                    break;
                }
            }
        }
    }
    Err(CallError::judged("s3:DeleteBucket", Kind::InUse, "objects are added faster than they can be deleted"))
}

/// S3 lists an object again that it said it had deleted: continuing would never end.
fn stuck(action: &'static str, key: &str) -> CallError {
    let why = format!("S3 still lists {key:?} after deleting it; delete it manually");
    CallError::judged(action, Kind::Refused, why)
}

async fn list(name: &str, account: &str, from: Option<Marker>, aws: &Writer) -> Result<Page, CallError> {
    let (key, version) = from.unzip();
    let request = aws.clients.s3.list_object_versions().bucket(name).expected_bucket_owner(account).max_keys(PAGE);
    // Keys may contain characters that XML cannot encode, so request them URL-encoded.
    let request = request.encoding_type(EncodingType::Url).set_key_marker(key.flatten());
    let answer = request.set_version_id_marker(version.flatten()).send().await;
    answer.map(Page::new).action("s3:ListBucketVersions")
}

impl Page {
    fn new(answer: aws_sdk_s3::operation::list_object_versions::ListObjectVersionsOutput) -> Self {
        let encoding = answer.encoding_type.as_ref();
        let versions = answer.versions().iter().map(|version| (version.key.as_deref(), version.version_id.clone()));
        let markers = answer.delete_markers().iter().map(|marker| (marker.key.as_deref(), marker.version_id.clone()));
        let versions = versions
            .chain(markers)
            .filter_map(|(key, id)| Some(Version { key: decoded(key?, encoding).into_owned(), id }))
            .collect();
        let next = (answer.is_truncated == Some(true)).then(|| {
            let key = answer.next_key_marker.as_deref().map(|key| decoded(key, encoding).into_owned());
            (key, answer.next_version_id_marker.clone())
        });
        Self { versions, next }
    }
}

/// A key of a listing as it is: where S3 has encoded it, as in a query, with `+` for a space.
fn decoded<'a>(key: &'a str, encoding: Option<&EncodingType>) -> Cow<'a, str> {
    if encoding != Some(&EncodingType::Url) {
        return Cow::Borrowed(key);
    }
    let spaced = key.replace('+', " ");
    Cow::Owned(percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned())
}

async fn abort_uploads(name: &str, account: &str, aws: &Writer) -> Result<(), CallError> {
    let s3 = &aws.clients.s3;
    let mut before = Vec::new();
    for _ in 0..MAX_PAGES {
        let request = s3.list_multipart_uploads().bucket(name).expected_bucket_owner(account);
        let answer = request.encoding_type(EncodingType::Url).send().await;
        let answer = answer.action("s3:ListBucketMultipartUploads")?;
        let encoding = answer.encoding_type.as_ref();
        let uploads: Vec<(String, String)> = answer
            .uploads()
            .iter()
            .filter_map(|upload| {
                Some((decoded(upload.key.as_deref()?, encoding).into_owned(), upload.upload_id.clone()?))
            })
            .collect();
        let Some((first, _)) = uploads.first() else { return Ok(()) };
        if uploads == before {
            return Err(stuck("s3:AbortMultipartUpload", first));
        }
        before.clone_from(&uploads);
        let aborts = uploads.into_iter().map(|(key, id)| async move {
            let request = s3.abort_multipart_upload().bucket(name).expected_bucket_owner(account);
            let result = request.key(key).upload_id(id).send().await;
            ok_if_gone(result.action("s3:AbortMultipartUpload"))
        });
        iter(aborts).buffer_unordered(SINGLES).try_collect::<()>().await?;
    }
    Ok(())
}

/// Deletes at most [`PAGE`] objects; those whose keys XML cannot encode, one by one.
pub async fn delete_objects(
    bucket: &str,
    account: &str,
    versions: Vec<Version>,
    aws: &Writer,
) -> Result<(), CallError> {
    let s3 = &aws.clients.s3;
    let (mut left, singles): (Vec<Version>, Vec<Version>) =
        versions.into_iter().partition(|version| version.key.chars().all(xml_can_write));
    let singles = singles.into_iter().map(|Version { key, id }| async move {
        let request = s3.delete_object().bucket(bucket).expected_bucket_owner(account);
        let result = request.key(key).set_version_id(id).send().await;
        ok_if_gone(result.action("s3:DeleteObject"))
    });
    iter(singles).buffer_unordered(SINGLES).try_collect::<()>().await?;
    for attempt in 0.. {
        if left.is_empty() {
            return Ok(());
        }
        let objects = left.iter().filter_map(|Version { key, id }| {
            ObjectIdentifier::builder().key(key).set_version_id(id.clone()).build().ok()
        });
        let delete = Delete::builder().set_objects(Some(objects.collect())).quiet(true).build().expect("they are set");
        let request = s3.delete_objects().bucket(bucket).expected_bucket_owner(account).delete(delete);
        let answer = request.send().await.action("s3:DeleteObject")?;
        // The call succeeds as a whole and lists the objects that were not deleted.
        left = Vec::new();
        for error in answer.errors() {
            let key = error.key().unwrap_or_default();
            let message = format!("{} ({key:?})", error.message().unwrap_or_default());
            let failed = CallError::of_entry("s3:DeleteObject", error.code(), message);
            match failed.kind {
                Kind::NotFound => {}
                Kind::Throttled | Kind::Unavailable | Kind::NotYet if attempt + 1 < DELETE_ATTEMPTS => {
                    left.push(Version { key: key.to_owned(), id: error.version_id().map(str::to_owned) });
                }
                _ => return Err(failed),
            }
        }
        if !left.is_empty() {
            tokio::time::sleep(DELETE_DELAY * (1 << attempt)).await;
        }
    }
    unreachable!("the last attempt ends it")
}

/// Whether XML 1.0 has the character ("Char"), escaped or not.
fn xml_can_write(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_xml_cannot_write_are_known() {
        for good in ["a.jpg", "caf\u{e9} \"1\" <&>", "tab\tnewline\n\r", "\u{7f}\u{85}\u{1f408}"] {
            assert!(good.chars().all(xml_can_write), "{good:?}");
        }
        for bad in ["evil\u{10}.jpg", "\0", "\u{b}", "\u{1b}[31m", "\u{fffe}", "\u{ffff}"] {
            assert!(!bad.chars().all(xml_can_write), "{bad:?}");
        }
    }

    #[test]
    fn an_encoded_key_is_read_as_it_is() {
        let url = Some(&EncodingType::Url);
        assert_eq!(decoded("a+b%2Bc/evil%10%C3%A9.jpg", url), "a b+c/evil\u{10}\u{e9}.jpg");
        assert_eq!(decoded("a+b%2B", None), "a+b%2B");
    }
}
