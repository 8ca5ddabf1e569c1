//! S3 clients for buckets in any region. A client talks to one region; for a bucket of another, S3 returns a redirect in
//! one of several forms, none of which the SDK follows. This module follows and caches them.
//!
//! With a custom endpoint only the region in the signature changes.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_config::Region;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::Builder;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::CallError;

/// Regions that have a client; AWS has some 40 of them.
const MAX_REGIONS: usize = 64;
/// Buckets whose region is remembered; `sources` names 50 at most, or any.
const MAX_BUCKETS: usize = 1_000;
/// Redirects of one call: one for an unknown bucket, one more for a bucket that has moved.
const MAX_MOVES: u32 = 2;
/// The longest name of a region, in bytes: "us-isob-east-1" has 14, and a part of a host name may have 63.
const MAX_REGION_BYTES: usize = 63;

/// The header with a bucket's region, which S3 sends with any status (API HeadBucket).
const REGION_HEADER: &str = "x-amz-bucket-region";

/// An answer to a call of S3, or why there is none.
pub type Answered<T, E> = Result<T, SdkError<E, HttpResponse>>;

/// Clients of S3, one a region.
#[derive(Debug)]
pub struct RegionalS3 {
    config: Builder,
    home: Client,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    clients: HashMap<String, Client>,
    /// Buckets in other regions.
    regions: HashMap<String, String>,
}

impl RegionalS3 {
    /// For buckets of the configured region, until S3 says otherwise.
    pub fn new(config: Builder) -> Self {
        let home = Client::from_conf(config.clone().build());
        Self { config, home, known: Mutex::default() }
    }

    /// The client of the configured region.
    pub fn home(&self) -> &Client {
        &self.home
    }

    /// Sends a call about a bucket to the bucket's region.
    ///
    /// # Errors
    /// As the call's.
    pub async fn call<T, E, F>(&self, bucket: &str, call: impl Fn(Client) -> F) -> Answered<T, E>
    where
        F: Future<Output = Answered<T, E>>,
        E: ProvideErrorMetadata + Error + 'static,
    {
        let mut client = self.client(bucket);
        for _ in 0..MAX_MOVES {
            let error = match call(client.clone()).await {
                Err(error) if is_elsewhere(&error) => error,
                answer => return answer,
            };
            let region = match said_region(&error) {
                Some(region) => Some(region),
                None => self.ask(bucket).await,
            };
            let Some(region) = region else { return Err(error) };
            if client.config().region().is_some_and(|asked| asked.as_ref() == region) {
                return Err(error);
            }
            client = self.learn(bucket, region);
        }
        call(client).await
    }

    /// The region of a bucket that exists and may be listed.
    ///
    /// # Errors
    /// As the call's: NotFound if it does not exist, Denied if it may not be listed.
    pub async fn region_of(&self, bucket: &str) -> Result<String, CallError> {
        let head = |s3: Client| async move {
            let asked = s3.config().region().map(ToString::to_string);
            let answer = s3.head_bucket().bucket(bucket).send().await?;
            // An emulator may leave the header out.
            Ok::<_, SdkError<_, HttpResponse>>(answer.bucket_region.filter(|region| is_region(region)).or(asked))
        };
        let region = self.call(bucket, head).await.map_err(|error| CallError::new("s3:ListBucket", error))?;
        Ok(region.unwrap_or_default())
    }

    /// The region of a bucket, from HeadBucket. The response has the header whatever its status.
    async fn ask(&self, bucket: &str) -> Option<String> {
        match self.home.head_bucket().bucket(bucket).send().await {
            Ok(answer) => answer.bucket_region.filter(|region| is_region(region)),
            Err(error) => said_region(&error),
        }
    }

    fn client(&self, bucket: &str) -> Client {
        let known = self.known();
        let region = known.regions.get(bucket);
        region.and_then(|region| known.clients.get(region)).unwrap_or(&self.home).clone()
    }

    fn learn(&self, bucket: &str, region: String) -> Client {
        let mut known = self.known();
        // With so many buckets, caching is of no use.
        if known.regions.len() >= MAX_BUCKETS {
            known.regions.clear();
        }
        if known.clients.len() >= MAX_REGIONS {
            known.clients.clear();
        }
        let client = known.clients.entry(region.clone()).or_insert_with(|| {
            let config = self.config.clone().region(Region::new(region.clone()));
            Client::from_conf(config.build())
        });
        let client = client.clone();
        known.regions.insert(bucket.to_owned(), region);
        client
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // An incomplete entry is read again.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an answer says, or may mean, that the bucket is in another region: 301, or 400 with one of these codes (S3
/// API, error responses; the latter two for buckets of regions that must be opted in to). HEAD has no body and so no code.
fn is_elsewhere<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    let Some(response) = error.raw_response() else { return false };
    match response.status().as_u16() {
        301 | 307 => true,
        400 => match error.as_service_error().and_then(|error| error.meta().code()) {
            None | Some("BadRequest" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException") => true,
            Some(_) => false,
        },
        _ => false,
    }
}

/// The region that an answer names, in its header or in its body.
fn said_region<E>(error: &SdkError<E, HttpResponse>) -> Option<String> {
    let response = error.raw_response()?;
    let header = response.headers().get(REGION_HEADER).map(str::to_owned);
    let body = || {
        let text = std::str::from_utf8(response.body().bytes()?).ok()?;
        let (_, rest) = text.split_once("<Region>")?;
        Some(rest.split_once("</Region>")?.0.to_owned())
    };
    header.or_else(body).filter(|region| is_region(region))
}

/// Checked because it becomes part of a host name.
fn is_region(text: &str) -> bool {
    (1..=MAX_REGION_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

#[cfg(test)]
mod tests;
