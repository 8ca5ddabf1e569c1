//! Photographs and thumbnails in S3: the sources in whatever region and account they are, the thumbnails in a bucket that
//! must be this account's.

use std::collections::HashMap;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ObjectCannedAcl, RequestPayer};
use bytes::Bytes;
use tokio::time::timeout;

use super::{Places, late, retries, timeouts};
use crate::aws::{CallError, Kind, RegionalS3, s3_config};
use crate::config::Access;
use crate::worker::backend::{Found, Opened, Stamp};
use crate::worker::retry::Trouble;
use crate::worker_report::WorkerReport;

/// Until the first byte of an answer, and until the last byte of a thumbnail's upload.
pub const S3_ATTEMPT: Duration = Duration::from_secs(20);
pub const S3_TOTAL: Duration = Duration::from_secs(60);

/// A worker's report: it is tried once more, then the next one says more.
const REPORT_ATTEMPTS: u32 = 2;
const REPORT_TOTAL: Duration = Duration::from_secs(10);

/// The metadata of a thumbnail (`x-amz-meta-…`).
const META_PARAMETERS: &str = "thumb-parameters";
const META_SOURCE_ETAG: &str = "thumb-source-etag";

const GET: &str = "s3:GetObject";

pub struct Objects {
    s3: RegionalS3,
    thumbnails_bucket: String,
    account: String,
    access: Access,
    /// What sources are asked with.
    payer: Option<RequestPayer>,
}

impl Objects {
    pub fn new(sdk: &SdkConfig, places: &Places) -> Self {
        let config = s3_config(sdk).retry_config(retries()).timeout_config(timeouts(S3_ATTEMPT, S3_TOTAL));
        Self {
            s3: RegionalS3::new(config),
            thumbnails_bucket: places.thumbnails_bucket.clone(),
            account: places.account.clone(),
            access: places.access,
            payer: places.requester_pays.then_some(RequestPayer::Requester),
        }
    }

    /// Begins to get a photograph.
    pub async fn open(&self, bucket: &str, key: &str, unless: Option<&str>) -> Result<Found<ByteStream>, Trouble> {
        let unless = unless.map(|etag| format!("\"{etag}\""));
        let get = |s3: aws_sdk_s3::Client| {
            let call = s3.get_object().bucket(bucket).key(key).set_request_payer(self.payer.clone());
            call.set_if_none_match(unless.clone()).send()
        };
        let object = match self.s3.call(bucket, get).await {
            Ok(object) => object,
            Err(error) if error.raw_response().is_some_and(|answer| answer.status().as_u16() == 304) => {
                return Ok(Found::Unchanged);
            }
            Err(error) => return Err(unread(&CallError::new(GET, error))),
        };
        Ok(Found::Photo(Opened {
            length: object.content_length().and_then(|length| u64::try_from(length).ok()),
            etag: object.e_tag().map(bare),
            ours: object.metadata().is_some_and(|metadata| metadata.contains_key(META_PARAMETERS)),
            body: object.body,
        }))
    }

    /// The ETag that a photograph has now; none if it is not there, or not for this worker.
    pub async fn etag(&self, bucket: &str, key: &str) -> Result<Option<String>, Trouble> {
        let head = |s3: aws_sdk_s3::Client| {
            s3.head_object().bucket(bucket).key(key).set_request_payer(self.payer.clone()).send()
        };
        match self.s3.call(bucket, head).await {
            Ok(head) => Ok(head.e_tag().map(bare)),
            Err(error) => match CallError::new(GET, error) {
                error if matches!(error.kind, Kind::NotFound | Kind::Denied) => Ok(None),
                error => Err(Trouble::s3(format!("it is not known whether the photograph has changed: {error}"))),
            },
        }
    }

    /// What the thumbnail under a key was made from.
    pub async fn stamp(&self, key: &str) -> Result<Option<Stamp>, Trouble> {
        let head = self.s3.home().head_object().bucket(&self.thumbnails_bucket).key(key);
        match head.expected_bucket_owner(&self.account).send().await {
            Ok(head) => Ok(head.metadata().and_then(|metadata| {
                let parameters = without_access(metadata.get(META_PARAMETERS)?, self.access)?;
                Some(Stamp { source_etag: metadata.get(META_SOURCE_ETAG).cloned(), parameters })
            })),
            Err(error) => match CallError::new(GET, error) {
                // Without s3:ListBucket a missing key is 403, not 404 (API HeadObject): then it is simply made.
                error if matches!(error.kind, Kind::NotFound | Kind::Denied) => Ok(None),
                error => Err(Trouble::storing(&error, &self.thumbnails_bucket)),
            },
        }
    }

    pub async fn store(&self, key: &str, jpeg: Bytes, stamp: &Stamp) -> Result<(), Trouble> {
        let mut metadata = HashMap::from([(META_PARAMETERS.to_owned(), with_access(&stamp.parameters, self.access))]);
        metadata.extend(stamp.source_etag.iter().map(|etag| (META_SOURCE_ETAG.to_owned(), etag.clone())));
        let acl = (self.access == Access::PublicRead).then_some(ObjectCannedAcl::PublicRead);
        let put = self.s3.home().put_object().bucket(&self.thumbnails_bucket).expected_bucket_owner(&self.account);
        let put = put.key(key).content_type("image/jpeg").set_acl(acl).set_metadata(Some(metadata));
        match put.body(ByteStream::from(jpeg)).send().await {
            Ok(_) => Ok(()),
            Err(error) => {
                let status = error.raw_response().map(|answer| answer.status().as_u16());
                Err(self.unstored(&CallError::new("s3:PutObject", error), status, key))
            }
        }
    }

    /// Puts the worker's report into the code bucket.
    pub async fn put_report(&self, bucket: &str, report: &WorkerReport) -> Result<(), CallError> {
        let action = "s3:PutObject";
        let retries = RetryConfig::standard().with_max_attempts(REPORT_ATTEMPTS);
        let put = self.s3.home().put_object().bucket(bucket).expected_bucket_owner(&self.account).key(report.key());
        let put =
            put.content_type("application/json").body(ByteStream::from(report.to_json().into_bytes())).customize();
        let put = put.config_override(aws_sdk_s3::config::Builder::new().retry_config(retries));
        let answer = timeout(REPORT_TOTAL, put.send()).await.map_err(|_| late(action))?;
        answer.map(drop).map_err(|error| CallError::new(action, error))
    }

    /// What a refused upload means.
    fn unstored(&self, error: &CallError, status: Option<u16>, key: &str) -> Trouble {
        // S3 takes some keys with such parts and not others, and has more than one code for the latter.
        if status == Some(400) && key.split('/').any(|part| matches!(part, "." | "..")) {
            return Trouble::lasting(format!("S3 does not take the thumbnail's key {key} ({error})"));
        }
        let bucket = match error.kind {
            Kind::Denied => format!("{} of the account {}", self.thumbnails_bucket, self.account),
            _ => self.thumbnails_bucket.clone(),
        };
        Trouble::storing(error, &bucket)
    }
}

/// What a failed read of a photograph means.
fn unread(error: &CallError) -> Trouble {
    if error.kind == Kind::Denied && error.message.contains("kms:") {
        return Trouble::passing(format!(
            "it is encrypted with a KMS key that this worker may not use; `kms_keys` in [buckets] of thumb.toml names the \
             keys it may, then `thumb apply` ({error})"
        ));
    }
    Trouble::fetching(error)
}

/// An ETag as it is compared, without its quotation marks.
fn bare(etag: &str) -> String {
    etag.trim_matches('"').to_owned()
}

/// A stamp's parameters as they are stored: with who may read the object, which the job does not know. Where that has changed the
/// object is stored anew.
fn with_access(parameters: &str, access: Access) -> String {
    format!("{parameters} {access}")
}

/// The opposite; `None` if the object was stored for other readers.
fn without_access(stored: &str, access: Access) -> Option<String> {
    Some(stored.strip_suffix(&format!(" {access}"))?.to_owned())
}

#[cfg(test)]
mod tests;
