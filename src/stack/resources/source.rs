//! The source buckets. They are not part of the stack: a plan only checks whether they can be read.

use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::head_bucket::HeadBucketError;
use futures_util::stream::{StreamExt, iter};

use crate::aws::{CallError, Reader, first_call};

/// Buckets checked in parallel.
const SIDE_BY_SIDE: usize = 10;

/// Of each bucket that cannot be read, as far as these credentials can tell, a sentence that says so. In another region
/// it can be.
pub async fn read_warnings(aws: &Reader, buckets: &[String]) -> Vec<String> {
    let heads = buckets.iter().map(|bucket| async move {
        let retries = aws_sdk_s3::config::Builder::new().retry_config(first_call());
        let answer = aws.head_bucket().bucket(bucket).customize().config_override(retries).send().await;
        note(bucket, answer.err()?)
    });
    iter(heads).buffered(SIDE_BY_SIDE).filter_map(std::future::ready).collect().await
}

fn note(bucket: &str, error: SdkError<HeadBucketError>) -> Option<String> {
    let response = error.raw_response();
    let elsewhere = response.is_some_and(|response| response.headers().get("x-amz-bucket-region").is_some());
    match response.map_or(0, |response| response.status().as_u16()) {
        301 | 307 => None,
        400 if elsewhere => None,
        404 => Some(format!(
            "The bucket {bucket} in `sources` does not exist: every request for an object in it will be rejected."
        )),
        403 => Some(format!(
            "These credentials cannot read the bucket {bucket} in `sources`. The worker can read it only if the policies of \
             the bucket's account allow it."
        )),
        _ => {
            let error = CallError::new("s3:ListBucket", error);
            Some(format!("Cannot check the bucket {bucket} in `sources` ({error})."))
        }
    }
}
