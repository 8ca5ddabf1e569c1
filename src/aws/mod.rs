//! The connection to AWS: credentials, region, endpoint and HTTP client from the SDK's default chain, and two views of it.
//! A [`Reader`] has read calls only, so that `plan` cannot write; the steps of `apply` and `destroy` get a [`Writer`].
//! `enqueue` and `work` use the [`Clients`] directly.

mod account;
mod backoff;
mod batch;
mod bucket_region;
mod call;
mod denial;
mod errors;
#[cfg(test)]
pub mod fake;
mod first_call;
mod queue_counts;
mod reader;
mod server_time;
#[cfg(test)]
pub mod strict_s3;

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

pub use account::{Identity, account, account_number};
pub use backoff::Backoff;
pub use batch::{Answer, BATCH, MAX_BATCH_BYTES, MAX_MESSAGE_BYTES, answers};
pub use bucket_region::RegionalS3;
pub use call::{CallError, CallResult, Kind};
pub use denial::{Because, Denial};
pub use errors::Errors;
pub(crate) use errors::all;
pub use first_call::{first_call, first_failure};
pub use queue_counts::{QueueCounts, queue_counts};
pub use reader::Reader;
pub use server_time::ServerTime;

use crate::error::{Failure, Result};
use crate::text::without_secrets;

/// Attempts at one call, the first included. Throttles and resets are retried by the SDK with exponential back-off
/// and full jitter, up to [`MAX_BACKOFF`] apart: about half a minute in all.
const MAX_ATTEMPTS: u32 = 10;
/// Attempts at a command's first call: fewer, so that a missing network is reported soon.
const FIRST_CALL_ATTEMPTS: u32 = 4;
const INITIAL_BACKOFF: Duration = Duration::from_millis(200);
const MAX_BACKOFF: Duration = Duration::from_secs(10);
/// TCP connect time-out.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time-out of one attempt. No control-plane call takes this long; a call that hangs is abandoned and retried.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);

/// The clients of one region, as the environment and the profile configure them.
#[derive(Clone, Debug)]
pub struct Clients {
    pub autoscaling: aws_sdk_autoscaling::Client,
    pub cloudwatch: aws_sdk_cloudwatch::Client,
    pub logs: aws_sdk_cloudwatchlogs::Client,
    pub sns: aws_sdk_sns::Client,
    pub sqs: aws_sdk_sqs::Client,
    pub s3: aws_sdk_s3::Client,
    pub ec2: aws_sdk_ec2::Client,
    pub iam: aws_sdk_iam::Client,
    pub sts: aws_sdk_sts::Client,
    /// The configuration of the clients, for callers that need other time-outs.
    pub sdk: SdkConfig,
    pub region: String,
    /// A custom endpoint (an emulator, a private gateway), from AWS_ENDPOINT_URL or the profile.
    pub endpoint: Option<String>,
}

/// The permission to write. The CLI creates it after the user has confirmed.
#[derive(Clone, Debug)]
pub struct Writer {
    pub clients: Clients,
}

impl Clients {
    /// Reads the SDK's default chain. Makes no call, except those that resolve credentials (on first use).
    ///
    /// # Errors
    /// No region is set.
    pub async fn connect(region: Option<&str>) -> Result<Self> {
        let http =
            aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let mut loader = Self::loader().http_client(http);
        if let Some(region) = region {
            loader = loader.region(Region::new(region.to_owned()));
        }
        Self::from_sdk(loader.load().await)
    }

    /// What every client has: application name, time-outs and retries.
    pub fn loader() -> ConfigLoader {
        aws_config::defaults(BehaviorVersion::v2026_01_12())
            .app_name(AppName::new(concat!("thumb-", env!("CARGO_PKG_VERSION"))).expect("letters, digits, dots"))
            .retry_config(
                RetryConfig::standard()
                    .with_max_attempts(MAX_ATTEMPTS)
                    .with_initial_backoff(INITIAL_BACKOFF)
                    .with_max_backoff(MAX_BACKOFF),
            )
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(CONNECT_TIMEOUT)
                    .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                    .build(),
            )
    }

    /// Clients from an existing configuration.
    ///
    /// # Errors
    /// It has no region, or an endpoint with a password.
    pub fn from_sdk(sdk: SdkConfig) -> Result<Self> {
        let region = sdk.region().map(ToString::to_string).ok_or_else(|| {
            Failure::new("no AWS region is set")
                .hint("set `region` in thumb.toml, AWS_REGION, or `region` in your AWS profile")
        })?;
        let endpoint = sdk.endpoint_url().map(str::to_owned);
        // Instances get the endpoint in their user data, which everyone who may describe them can read.
        if let Some(endpoint) = endpoint.as_ref().and_then(|endpoint| url::Url::parse(endpoint).ok())
            && (!endpoint.username().is_empty() || endpoint.password().is_some())
        {
            return Err(Failure::new(format!(
                "the endpoint {} contains a user name or password, which would end up in the instances' user data",
                without_secrets(endpoint.as_str())
            ))
            .hint("remove them from AWS_ENDPOINT_URL"));
        }
        Ok(Self {
            autoscaling: aws_sdk_autoscaling::Client::new(&sdk),
            cloudwatch: aws_sdk_cloudwatch::Client::new(&sdk),
            logs: aws_sdk_cloudwatchlogs::Client::new(&sdk),
            sns: aws_sdk_sns::Client::new(&sdk),
            sqs: aws_sdk_sqs::Client::new(&sdk),
            s3: aws_sdk_s3::Client::from_conf(s3_config(&sdk).build()),
            ec2: aws_sdk_ec2::Client::new(&sdk),
            iam: aws_sdk_iam::Client::new(&sdk),
            sts: aws_sdk_sts::Client::new(&sdk),
            sdk,
            region,
            endpoint,
        })
    }
}

/// S3's configuration. A custom endpoint gets path-style requests: an emulator has no subdomain
/// for each bucket.
pub fn s3_config(sdk: &SdkConfig) -> aws_sdk_s3::config::Builder {
    aws_sdk_s3::config::Builder::from(sdk).force_path_style(sdk.endpoint_url().is_some())
}

/// Whether everyone can read an object: asks for it without credentials.
///
/// # Errors
/// S3 gives no answer that says so.
pub async fn everyone_can_read(clients: &Clients, bucket: &str, key: &str) -> Result<bool, CallError> {
    // Taken out here: the S3 builder keeps those that it was made with, whatever it is told later.
    let mut anyone = clients.sdk.to_builder();
    anyone.set_credentials_provider(None);
    let s3 = aws_sdk_s3::Client::from_conf(s3_config(&anyone.build()).allow_no_auth().build());
    let head = s3.head_object().bucket(bucket).key(key);
    match head.send().await.action("s3:GetObject") {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind, Kind::Denied | Kind::NotFound | Kind::Credentials) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_with_a_password_is_refused() {
        let sdk = SdkConfig::builder().region(Region::new("us-east-1")).behavior_version(BehaviorVersion::latest());
        let failure = Clients::from_sdk(sdk.endpoint_url("https://me:SECRET@gateway.example/s3").build()).unwrap_err();
        let text = failure.to_string();
        assert!(text.starts_with("the endpoint https://gateway.example/s3 contains a user name"), "{text}");
        assert!(!text.contains("SECRET"), "{text}");
    }
}
