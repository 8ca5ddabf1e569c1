//! Looks at what is named before it is queued: a mistyped key or prefix is found here, and not minutes later in a dead-letter
//! queue.

use std::collections::HashMap;

use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::types::RequestPayer;
use futures_util::stream::{StreamExt, iter};

use super::place::{Found, Place};
use crate::aws::{CallError, RegionalS3};
use crate::text::{nearest, plural};

/// Named objects that are looked at; more come from a script, which has its own list.
const MAX_CHECKED: usize = 100;
/// Objects looked at in parallel.
const SIDE_BY_SIDE: usize = 16;

/// Of the places that are objects, by their index, why they cannot be queued: there is no such object. What these
/// credentials may not read is not known to be missing.
pub async fn missing_objects(s3: &RegionalS3, places: &[Place]) -> HashMap<usize, String> {
    let objects: Vec<(usize, String, String)> = places
        .iter()
        .enumerate()
        .filter_map(|(index, place)| match place {
            Place::Object { bucket, key } => Some((index, bucket.clone(), key.clone())),
            _ => None,
        })
        .collect();
    if objects.len() > MAX_CHECKED {
        return HashMap::new();
    }
    let looks = objects.into_iter().map(|(index, bucket, key)| async move {
        let head = |s3: aws_sdk_s3::Client| {
            s3.head_object().bucket(&bucket).key(&key).request_payer(RequestPayer::Requester).send()
        };
        let error = s3.call(&bucket, head).await.err()?;
        Some((index, why_missing(s3, &bucket, &error).await?))
    });
    iter(looks).buffer_unordered(SIDE_BY_SIDE).filter_map(std::future::ready).collect().await
}

/// HEAD answers with a status and no text: 404 for a key or for a bucket that does not exist.
async fn why_missing<E>(s3: &RegionalS3, bucket: &str, error: &SdkError<E>) -> Option<String> {
    if status(error) != Some(404) {
        return None;
    }
    let there = s3.call(bucket, |s3: aws_sdk_s3::Client| s3.head_bucket().bucket(bucket).send()).await;
    let gone = there.err().and_then(|error| status(&error)) == Some(404);
    Some(if gone { format!("the bucket {bucket} does not exist") } else { "there is no such object".to_owned() })
}

fn status<E>(error: &SdkError<E>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

/// That there is no photograph under a prefix, and the prefix beside it that was probably meant.
pub async fn nothing(s3: &RegionalS3, bucket: &str, prefix: &str, others: u64) -> Found {
    let place = format!("s3://{bucket}/{prefix}");
    if others > 0 {
        let what = format!("there are no pictures under {place}, but {others} other {}", plural(others, "object"));
        let hint = "pictures are known by their extensions: name the keys, or give them on stdin".to_owned();
        return Found::Nothing { what, hint: Some(hint) };
    }
    let hint = match beside(s3, bucket, prefix).await {
        Ok(known) => suggestion(prefix, &known),
        // The listing before has worked; this one only helps.
        Err(_) => None,
    };
    Found::Nothing { what: format!("there are no pictures under {place}"), hint }
}

/// The prefixes beside one: the folders of its parent.
async fn beside(s3: &RegionalS3, bucket: &str, prefix: &str) -> Result<Vec<String>, CallError> {
    let parent = prefix.trim_end_matches('/').rsplit_once('/').map_or("", |(parent, _)| parent);
    let parent = if parent.is_empty() { String::new() } else { format!("{parent}/") };
    let list = |s3: aws_sdk_s3::Client| {
        let call = s3.list_objects_v2().bucket(bucket).prefix(&parent).delimiter("/");
        call.request_payer(RequestPayer::Requester).send()
    };
    let page = s3.call(bucket, list).await.map_err(|error| CallError::new("s3:ListBucket", error))?;
    Ok(page.common_prefixes.unwrap_or_default().into_iter().filter_map(|common| common.prefix).collect())
}

fn suggestion(prefix: &str, known: &[String]) -> Option<String> {
    /// As many as fit on a line.
    const SHOWN: usize = 5;
    if let Some(near) = nearest(prefix, known.iter().map(String::as_str)) {
        return Some(format!("did you mean {near}?"));
    }
    let shown: Vec<&str> = known.iter().take(SHOWN).map(String::as_str).collect();
    let more = if known.len() > SHOWN { ", …" } else { "" };
    (!shown.is_empty()).then(|| format!("there are {}{more}", shown.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_that_was_probably_meant_is_named() {
        let known: Vec<String> = ["2025/", "2026/", "trips/"].map(str::to_owned).to_vec();
        assert_eq!(suggestion("trip/", &known).unwrap(), "did you mean trips/?");
        assert_eq!(suggestion("nowhere/", &known).unwrap(), "there are 2025/, 2026/, trips/");
        assert_eq!(suggestion("x", &[]), None);
    }
}
