//! Who a worker is: on EC2 the instance, elsewhere the host; and which executable it runs.

use std::io::Read;
use std::time::Duration;

use aws_config::provider_config::ProviderConfig;
use aws_config::{SdkConfig, imds};
use sha2::{Digest, Sha256};

use crate::text::hex;
use crate::worker_report;

/// How long the metadata service may take to name this instance: on an instance as long as it takes on a bad day (`apply`
/// waits for a report under the instance's ID); elsewhere its address may never answer.
const ON_EC2: Patience = Patience { attempts: 4, attempt: Duration::from_secs(5), all: Duration::from_secs(30) };
const ELSEWHERE: Patience = Patience { attempts: 1, attempt: Duration::from_secs(1), all: Duration::from_secs(2) };
const BETWEEN_ATTEMPTS: Duration = Duration::from_secs(1);
/// Files that identify an EC2 instance, and the prefixes of their content: Nitro, then Xen (EC2 user guide, "Detect whether
/// a host is an EC2 instance").
const SIGNS: [(&str, &str); 2] = [("/sys/class/dmi/id/sys_vendor", "Amazon EC2"), ("/sys/hypervisor/uuid", "ec2")];
/// The running executable, also when its file has been replaced since (`man 5 proc_pid_exe`).
const EXECUTABLE: &str = "/proc/self/exe";
const CHUNK_BYTES: usize = 1 << 20;

#[derive(Clone, Copy, Debug)]
struct Patience {
    attempts: u32,
    /// To connect, and to read an answer.
    attempt: Duration,
    all: Duration,
}

/// A client of the metadata service; none if `AWS_EC2_METADATA_DISABLED` is set, as in AWS's SDKs. It makes one attempt: the
/// service may not exist.
pub fn metadata(sdk: &SdkConfig) -> Option<imds::client::Builder> {
    let disabled = std::env::var("AWS_EC2_METADATA_DISABLED").is_ok_and(|value| value.eq_ignore_ascii_case("true"));
    (!disabled).then(|| client(sdk))
}

/// Uses the HTTP client of the other AWS clients: this build of the SDK has no default one, and a metadata client without
/// one fails without a request.
fn client(sdk: &SdkConfig) -> imds::client::Builder {
    let mut config = ProviderConfig::without_region();
    if let Some(http) = sdk.http_client() {
        config = config.with_http_client(http);
    }
    imds::Client::builder().configure(&config).max_attempts(1)
}

/// The ID for this worker's report: the instance's ID, else the host's name.
pub async fn worker_id(sdk: &SdkConfig) -> String {
    let is_sign = |(file, begin): (&str, &str)| std::fs::read_to_string(file).is_ok_and(|text| text.starts_with(begin));
    let patience = if SIGNS.into_iter().any(is_sign) { ON_EC2 } else { ELSEWHERE };
    let instance = match metadata(sdk) {
        Some(metadata) => instance_id(metadata, patience).await,
        None => None,
    };
    let host = || host().and_then(|host| worker_report::worker_id(&host));
    instance.or_else(host).unwrap_or_else(|| "unknown".to_owned())
}

/// None if this is not an instance.
async fn instance_id(metadata: imds::client::Builder, patience: Patience) -> Option<String> {
    let metadata = metadata.connect_timeout(patience.attempt).read_timeout(patience.attempt).build();
    let ask = async {
        for _ in 1..patience.attempts {
            if let Ok(id) = metadata.get("/latest/meta-data/instance-id").await {
                return Ok(id);
            }
            tokio::time::sleep(BETWEEN_ATTEMPTS).await;
        }
        metadata.get("/latest/meta-data/instance-id").await
    };
    let id = tokio::time::timeout(patience.all, ask).await.ok()?.ok()?;
    let is_id = |id: &str| id.strip_prefix("i-").is_some_and(|rest| rest.chars().all(|c| c.is_ascii_alphanumeric()));
    let id: &str = id.as_ref();
    is_id(id).then(|| worker_report::worker_id(id)).flatten()
}

pub fn host() -> Option<String> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let host = host.trim();
    (!host.is_empty()).then(|| host.to_owned())
}

/// The running executable's key in the code bucket; none where the system does not show the file.
pub async fn binary() -> Option<String> {
    tokio::task::spawn_blocking(|| sha256(std::fs::File::open(EXECUTABLE).ok()?)).await.ok()?
}

fn sha256(mut file: impl Read) -> Option<String> {
    let (mut hash, mut chunk) = (Sha256::new(), vec![0; CHUNK_BYTES]);
    loop {
        match file.read(&mut chunk).ok()? {
            0 => break,
            n => hash.update(&chunk[..n]),
        }
    }
    let digits = hex(&hash.finalize());
    Some(format!("{}{digits}", crate::stack::resources::code_bucket::BINARY_PREFIX))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;
    use std::sync::atomic::Ordering::Relaxed;

    use aws_smithy_runtime_api::client::http::{
        HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
    };
    use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
    use aws_smithy_runtime_api::client::result::ConnectorError;
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;

    use super::*;

    /// A metadata service that does not answer the first requests, and then answers with this ID.
    #[derive(Clone, Debug)]
    struct Metadata {
        silent: Arc<AtomicU32>,
        id: &'static str,
    }

    impl HttpConnector for Metadata {
        fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
            if self.silent.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok() {
                return HttpConnectorFuture::new(async {
                    tokio::time::sleep(Duration::from_secs(5)).await;
                    Err(ConnectorError::timeout("no answer".into()))
                });
            }
            let (status, body) = match request.uri().trim_start_matches("http://169.254.169.254") {
                "/latest/api/token" => (200, "a-token"),
                "/latest/meta-data/instance-id" => (200, self.id),
                _ => (404, ""),
            };
            let mut response = HttpResponse::new(StatusCode::try_from(status).expect("a status"), SdkBody::from(body));
            response.headers_mut().insert("x-aws-ec2-metadata-token-ttl-seconds", "21600");
            HttpConnectorFuture::ready(Ok(response))
        }
    }

    async fn id(silent: u32, id: &'static str, patience: Patience) -> Option<String> {
        let metadata = Metadata { silent: Arc::new(AtomicU32::new(silent)), id };
        let connector = SharedHttpConnector::new(metadata);
        // As the worker has it: what the other clients are connected by is all that there is.
        let sdk = SdkConfig::builder().http_client(http_client_fn(move |_, _| connector.clone())).build();
        let began = tokio::time::Instant::now();
        let found = instance_id(client(&sdk), patience).await;
        assert!(began.elapsed() <= patience.all, "{:?}", began.elapsed());
        found
    }

    #[tokio::test(start_paused = true)]
    async fn an_instance_has_its_id_and_anything_else_has_none_after_a_moment() {
        const ID: &str = "i-0123456789abcdef0";
        assert_eq!(id(0, ID, ELSEWHERE).await.as_deref(), Some(ID));
        assert_eq!(id(0, "../../thumb-0123", ON_EC2).await, None, "it would be a key");
        assert_eq!(id(0, "<html>i-", ON_EC2).await, None);
        assert_eq!(id(u32::MAX, ID, ELSEWHERE).await, None);
        assert_eq!(id(u32::MAX, ID, ON_EC2).await, None);
        assert_eq!(id(2, ID, ON_EC2).await.as_deref(), Some(ID), "it is late on a bad day");
    }

    #[test]
    fn the_executable_is_named_as_in_the_code_bucket() {
        let hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(sha256(std::io::empty()), Some(format!("thumb-{hash}")));
    }
}
