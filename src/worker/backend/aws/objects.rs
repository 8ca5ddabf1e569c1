//! Photographs and thumbnails in S3: sources in any region and account, thumbnails in a bucket that this account must own.

use std::collections::HashMap;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{self, ObjectCannedAcl, RequestPayer};
use bytes::Bytes;
use tokio::time::timeout;

use super::{Locations, retries, timed_out, timeouts};
use crate::aws::{CallError, Kind, RegionalS3, s3_config};
use crate::config::{Access, StorageClass};
use crate::worker::backend::{Found, MAX_MANIFEST_BYTES, Opened, Provenance, Upload};
use crate::worker::retry::JobError;
use crate::worker_report::WorkerReport;

/// Until the first byte of a response, and until the last byte of an upload.
pub const S3_ATTEMPT: Duration = Duration::from_secs(20);
pub const S3_TOTAL: Duration = Duration::from_secs(60);

/// A worker's report is retried once; the next report replaces it anyway.
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
    cache_control: Option<String>,
    storage_class: StorageClass,
    /// Sent with requests for sources.
    payer: Option<RequestPayer>,
}

impl Objects {
    pub fn new(sdk: &SdkConfig, locations: &Locations) -> Self {
        let config = s3_config(sdk).retry_config(retries()).timeout_config(timeouts(S3_ATTEMPT, S3_TOTAL));
        Self {
            s3: RegionalS3::new(config),
            thumbnails_bucket: locations.thumbnails_bucket.clone(),
            account: locations.account.clone(),
            access: locations.access,
            cache_control: locations.cache_control.clone(),
            storage_class: locations.storage_class,
            payer: locations.requester_pays.then_some(RequestPayer::Requester),
        }
    }

    /// Starts a photograph's download.
    pub async fn open(&self, bucket: &str, key: &str, unless: Option<&str>) -> Result<Found<ByteStream>, JobError> {
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

    /// A photograph's current ETag; none if it does not exist, or if this worker may not see it.
    pub async fn etag(&self, bucket: &str, key: &str) -> Result<Option<String>, JobError> {
        let head = |s3: aws_sdk_s3::Client| {
            s3.head_object().bucket(bucket).key(key).set_request_payer(self.payer.clone()).send()
        };
        match self.s3.call(bucket, head).await {
            Ok(head) => Ok(head.e_tag().map(bare)),
            Err(error) => match CallError::new(GET, error) {
                error if matches!(error.kind, Kind::NotFound | Kind::Denied) => Ok(None),
                error => Err(JobError::s3(format!("cannot check whether the photograph has changed: {error}"))),
            },
        }
    }

    /// Whether a photograph does not exist. Of a versioned bucket S3 answers for its newest version: 404 for a delete marker.
    pub async fn is_gone(&self, bucket: &str, key: &str) -> Result<bool, JobError> {
        let head = |s3: aws_sdk_s3::Client| {
            s3.head_object().bucket(bucket).key(key).set_request_payer(self.payer.clone()).send()
        };
        match self.s3.call(bucket, head).await {
            Ok(_) => Ok(false),
            Err(error) => match CallError::new(GET, error) {
                error if error.kind == Kind::NotFound => Ok(true),
                error if error.kind == Kind::Denied => Err(JobError::permanent(format!(
                    "this worker may not see whether the photograph is gone, so its thumbnails stay ({error})"
                ))),
                error => Err(JobError::s3(format!("cannot check whether the photograph is gone: {error}"))),
            },
        }
    }

    /// Deletes an object that thumb has stored; false if there is none under the key.
    pub async fn remove(&self, key: &str) -> Result<bool, JobError> {
        let head = self.s3.home().head_object().bucket(&self.thumbnails_bucket).key(key);
        let etag = match head.expected_bucket_owner(&self.account).send().await {
            Ok(head) if head.metadata().is_some_and(|metadata| metadata.contains_key(META_PARAMETERS)) => {
                head.e_tag().map(str::to_owned)
            }
            Ok(_) => return Ok(false),
            Err(error) => match CallError::new(GET, error) {
                // Without s3:ListBucket a missing key is 403 (API HeadObject).
                error if matches!(error.kind, Kind::NotFound | Kind::Denied) => return Ok(false),
                error => return Err(JobError::storing(&error, &self.thumbnails_bucket)),
            },
        };
        // Not one that was stored since.
        let delete = self.s3.home().delete_object().bucket(&self.thumbnails_bucket).key(key).set_if_match(etag);
        match delete.expected_bucket_owner(&self.account).send().await {
            Ok(_) => Ok(true),
            Err(error)
                if matches!(error.raw_response().map(|answer| answer.status().as_u16()), Some(404 | 409 | 412)) =>
            {
                Ok(false)
            }
            Err(error) => Err(JobError::storing(&CallError::new("s3:DeleteObject", error), &self.thumbnails_bucket)),
        }
    }

    /// What the thumbnail with this key was made from.
    pub async fn provenance(&self, key: &str) -> Result<Option<Provenance>, JobError> {
        let head = self.s3.home().head_object().bucket(&self.thumbnails_bucket).key(key);
        match head.expected_bucket_owner(&self.account).send().await {
            Ok(head) => Ok(head.metadata().and_then(|metadata| {
                let parameters = without_access(metadata.get(META_PARAMETERS)?, self.access)?;
                Some(Provenance { source_etag: metadata.get(META_SOURCE_ETAG).cloned(), parameters })
            })),
            Err(error) => match CallError::new(GET, error) {
                // Without s3:ListBucket a missing key is 403, not 404 (API HeadObject): then the thumbnail is made.
                error if matches!(error.kind, Kind::NotFound | Kind::Denied) => Ok(None),
                error => Err(JobError::storing(&error, &self.thumbnails_bucket)),
            },
        }
    }

    pub async fn store(&self, upload: Upload) -> Result<(), JobError> {
        let Upload { key, body, media_type, provenance, facts } = upload;
        let mut metadata =
            HashMap::from([(META_PARAMETERS.to_owned(), with_access(&provenance.parameters, self.access))]);
        metadata.extend(provenance.source_etag.map(|etag| (META_SOURCE_ETAG.to_owned(), etag)));
        metadata.extend(facts.into_iter().map(|(name, value)| (name.to_owned(), value)));
        // Without the header a bucket of an S3-compatible store that knows no classes takes it too.
        let class = (self.storage_class != StorageClass::Standard)
            .then(|| types::StorageClass::from(self.storage_class.to_string().as_str()));
        let put = self.put(&key, body).content_type(media_type).set_metadata(Some(metadata));
        match put.set_cache_control(self.cache_control.clone()).set_storage_class(class).send().await {
            Ok(_) => Ok(()),
            Err(error) => {
                let status = error.raw_response().map(|answer| answer.status().as_u16());
                Err(self.unstored(&CallError::new("s3:PutObject", error), status, &key))
            }
        }
    }

    /// An object of the thumbnails bucket, for those who may read thumbnails.
    fn put(&self, key: &str, body: Bytes) -> PutObjectFluentBuilder {
        let acl = (self.access == Access::PublicRead).then_some(ObjectCannedAcl::PublicRead);
        let put = self.s3.home().put_object().bucket(&self.thumbnails_bucket).expected_bucket_owner(&self.account);
        put.key(key).set_acl(acl).body(ByteStream::from(body))
    }

    /// A manifest and its ETag, if there is one; of something longer than a manifest can be only the ETag.
    pub async fn manifest(&self, key: &str) -> Result<Option<(Bytes, String)>, JobError> {
        let get = self.s3.home().get_object().bucket(&self.thumbnails_bucket).key(key);
        let object = match get.expected_bucket_owner(&self.account).send().await {
            Ok(object) => object,
            Err(error) => match CallError::new(GET, error) {
                error if matches!(error.kind, Kind::NotFound | Kind::Denied) => return Ok(None),
                error => return Err(JobError::storing(&error, &self.thumbnails_bucket)),
            },
        };
        let etag = object.e_tag().map(bare).unwrap_or_default();
        if object.content_length().is_none_or(|length| length > MAX_MANIFEST_BYTES as i64) {
            return Ok(Some((Bytes::new(), etag)));
        }
        let body = timeout(S3_TOTAL, object.body.collect()).await;
        let body = body.map_err(|_| JobError::transient(format!("reading {key} took too long")))?;
        let body = body.map_err(|error| JobError::transient(format!("reading {key} was interrupted: {error}")))?;
        Ok(Some((body.into_bytes(), etag)))
    }

    /// False: the manifest is not the one that was to be replaced.
    pub async fn store_manifest(&self, key: &str, body: Bytes, replaces: Option<&str>) -> Result<bool, JobError> {
        let put = self.put(key, body).content_type("application/json").set_cache_control(self.cache_control.clone());
        // Where the thumbnails bucket is a source too, an event about it is known to be about our own object.
        let put = put.metadata(META_PARAMETERS, "manifest");
        let put = match replaces {
            Some(etag) => put.if_match(format!("\"{etag}\"")),
            None => put.if_none_match("*"),
        };
        match put.send().await {
            Ok(_) => Ok(true),
            // 412: another object is there; 409: another write won at the same moment; 404: the object to be replaced is gone
            // (S3 user guide, "Conditional writes").
            Err(error) => match error.raw_response().map(|answer| answer.status().as_u16()) {
                Some(404 | 409 | 412) => Ok(false),
                status => Err(self.unstored(&CallError::new("s3:PutObject", error), status, key)),
            },
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
        let answer = timeout(REPORT_TOTAL, put.send()).await.map_err(|_| timed_out(action))?;
        answer.map(drop).map_err(|error| CallError::new(action, error))
    }

    /// The error for a failed upload.
    fn unstored(&self, error: &CallError, status: Option<u16>, key: &str) -> JobError {
        // S3 accepts some keys with such parts and refuses others, with more than one error code.
        if status == Some(400) && key.split('/').any(|part| matches!(part, "." | "..")) {
            return JobError::permanent(format!("S3 refuses the thumbnail's key {key} ({error})"));
        }
        let bucket = match error.kind {
            Kind::Denied => format!("{} of the account {}", self.thumbnails_bucket, self.account),
            _ => self.thumbnails_bucket.clone(),
        };
        JobError::storing(error, &bucket)
    }
}

/// The error for a failed read of a photograph.
fn unread(error: &CallError) -> JobError {
    if error.kind == Kind::Denied && error.message.contains("kms:") {
        return JobError::transient(format!(
            "it is encrypted with a KMS key that this worker may not use; add the key to `kms_keys` in [buckets] of \
             thumb.toml and run `thumb apply` ({error})"
        ));
    }
    JobError::fetching(error)
}

/// An ETag without its quotation marks, for comparison.
fn bare(etag: &str) -> String {
    etag.trim_matches('"').to_owned()
}

/// The parameters as they are stored: followed by the object's access, which the job does not know. When the access changes,
/// the object is stored again.
fn with_access(parameters: &str, access: Access) -> String {
    format!("{parameters} {access}")
}

/// The reverse; `None` if the object was stored with another access.
fn without_access(stored: &str, access: Access) -> Option<String> {
    Some(stored.strip_suffix(&format!(" {access}"))?.to_owned())
}

#[cfg(test)]
mod tests;
