//! Finds thumbnails: in a bucket by its listing, in a directory by its files, whose headers say how large they are.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::time::UNIX_EPOCH;

use super::{Collection, File};
use crate::aws::{CallError, Kind, RegionalS3};
use crate::config::key_template::format_of;
use crate::error::{Failure, Result};
use crate::files::walk;
use crate::thumbnail::{Format, Limits, Size, probe};

/// Objects in a bucket that are looked at.
const MAX_OBJECTS: u64 = 5_000_000;
/// What is read of a file: its header, with a colour profile or Exif data before it, which may have 64 KiB (ITU-T T.81, B.1.1.4).
const HEADER_BYTES: u64 = 160 << 10;

/// Adds the objects of a bucket under a prefix, page by page (API ListObjectsV2), in whatever region it is. `progress` is told
/// how many were looked at.
///
/// # Errors
/// The bucket cannot be listed, does not belong to `owner` if one is given, or has too many objects.
pub async fn bucket(
    s3: &RegionalS3,
    bucket: &str,
    prefix: &str,
    owner: Option<&str>,
    collection: &mut Collection,
    mut progress: impl FnMut(u64),
) -> Result<()> {
    let mut token: Option<String> = None;
    let mut looked = 0;
    loop {
        let page = |s3: aws_sdk_s3::Client| {
            let call = s3.list_objects_v2().bucket(bucket).prefix(prefix).set_continuation_token(token.clone());
            call.set_expected_bucket_owner(owner.map(str::to_owned)).send()
        };
        let page = match s3.call(bucket, page).await.map_err(|error| CallError::new("s3:ListBucket", error)) {
            Ok(page) => page,
            Err(error) if error.kind == Kind::NotFound => {
                return Err(Failure::new(format!("bucket \"{bucket}\" does not exist")).caused_by(&error));
            }
            Err(error) => return Err(error.failure(format!("cannot list the bucket {bucket}"))),
        };
        for object in page.contents.unwrap_or_default() {
            looked += 1;
            let key = object.key.unwrap_or_default();
            let (bytes, modified_s) = (object.size.unwrap_or(0), object.last_modified.map_or(0, |time| time.secs()));
            let bytes = u64::try_from(bytes).unwrap_or(0);
            collection.add(&File { key: &key, bytes, modified_s, measured: None })?;
        }
        progress(looked);
        if looked > MAX_OBJECTS {
            return Err(Failure::new(format!("the bucket {bucket} has more than {MAX_OBJECTS} objects"))
                .hint("--prefix takes a part of it"));
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

/// Adds the pictures of a directory and of those below it. Symbolic links to directories and hidden files are left out.
///
/// # Errors
/// A directory cannot be read, or there are too many files.
pub fn directory(dir: &Path, collection: &mut Collection, mut progress: impl FnMut(u64)) -> Result<()> {
    let mut looked = 0;
    walk(dir, |path, below| {
        looked += 1;
        progress(looked);
        let parts: Option<Vec<&str>> = below.iter().map(|part| part.to_str()).collect();
        // A name that is not UTF-8 cannot be shown, nor be the key of an object.
        parts.map_or(Ok(()), |parts| file(path, &parts.join("/"), collection))
    })
}

/// Adds one file, if it is a picture.
fn file(path: &Path, key: &str, collection: &mut Collection) -> Result<()> {
    let extension = key.rsplit_once('.').map_or("", |(_, extension)| extension);
    if format_of(extension).is_none() {
        return Ok(());
    }
    // The link's target, if it is one; a file that has gone meanwhile is no picture.
    let Some(metadata) = fs::metadata(path).ok().filter(fs::Metadata::is_file) else { return Ok(()) };
    let modified_s = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let modified_s = modified_s.and_then(|since| i64::try_from(since.as_secs()).ok()).unwrap_or(0);
    collection.add(&File { key, bytes: metadata.len(), modified_s, measured: measure(path) })
}

/// The size and the format that a picture's header says; none if it cannot be read.
fn measure(path: &Path) -> Option<(Size, Format)> {
    let mut header = Vec::new();
    fs::File::open(path).ok()?.take(HEADER_BYTES).read_to_end(&mut header).ok()?;
    let info = probe(&header, &Limits::default()).ok()?;
    Some((Size::new(info.width, info.height), info.format))
}
