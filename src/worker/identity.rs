//! Who a worker is: on EC2 the instance, elsewhere the host; and which executable it runs.

use std::io::Read;
use std::time::Duration;

use aws_config::imds;
use sha2::{Digest, Sha256};

use super::report;

/// How long the metadata service is given to say which instance this is. On an instance it takes milliseconds; elsewhere
/// there may be silence at its address.
const PROBE: Duration = Duration::from_secs(2);
/// The running executable, also when its file has been replaced since (`man 5 proc_pid_exe`).
const EXECUTABLE: &str = "/proc/self/exe";
const CHUNK_BYTES: usize = 1 << 20;

/// What names this worker's report: the instance's ID, else the host's name.
pub async fn worker_id() -> String {
    // As every SDK of AWS understands it: there is no metadata service.
    let disabled = std::env::var("AWS_EC2_METADATA_DISABLED").is_ok_and(|value| value.eq_ignore_ascii_case("true"));
    let instance = match disabled {
        true => None,
        false => instance_id(&imds::Client::builder().max_attempts(1).build()).await,
    };
    let host = || host().and_then(|host| report::worker_id(&host));
    instance.or_else(host).unwrap_or_else(|| "unknown".to_owned())
}

/// None where this is no instance.
async fn instance_id(metadata: &imds::Client) -> Option<String> {
    let id = metadata.get("/latest/meta-data/instance-id");
    let id = tokio::time::timeout(PROBE, id).await.ok()?.ok()?;
    let is_id = |id: &str| id.strip_prefix("i-").is_some_and(|rest| rest.chars().all(|c| c.is_ascii_alphanumeric()));
    let id: &str = id.as_ref();
    is_id(id).then(|| report::worker_id(id)).flatten()
}

pub fn host() -> Option<String> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let host = host.trim();
    (!host.is_empty()).then(|| host.to_owned())
}

/// The running executable as the code bucket names it; none where the system does not show it.
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
    let digits: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Some(format!("{}{digits}", crate::resource::binary::KEY_PREFIX))
}

#[cfg(test)]
mod tests {
    use aws_config::provider_config::ProviderConfig;
    use aws_smithy_runtime_api::client::http::{
        HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
    };
    use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;

    use super::*;

    /// A metadata service that says this; or takes connections and never answers, as some networks have at its address.
    #[derive(Clone, Debug)]
    struct Metadata(Option<&'static str>);

    impl HttpConnector for Metadata {
        fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
            let Some(id) = self.0 else { return HttpConnectorFuture::new(std::future::pending()) };
            let (status, body) = match request.uri().trim_start_matches("http://169.254.169.254") {
                "/latest/api/token" => (200, "a-token"),
                "/latest/meta-data/instance-id" => (200, id),
                _ => (404, ""),
            };
            let mut response = HttpResponse::new(StatusCode::try_from(status).expect("a status"), SdkBody::from(body));
            response.headers_mut().insert("x-aws-ec2-metadata-token-ttl-seconds", "21600");
            HttpConnectorFuture::ready(Ok(response))
        }
    }

    async fn id(says: Option<&'static str>) -> Option<String> {
        let connector = SharedHttpConnector::new(Metadata(says));
        let config = ProviderConfig::without_region().with_http_client(http_client_fn(move |_, _| connector.clone()));
        instance_id(&imds::Client::builder().configure(&config).max_attempts(1).build()).await
    }

    #[tokio::test(start_paused = true)]
    async fn an_instance_has_its_id_and_anything_else_has_none_after_a_moment() {
        assert_eq!(id(Some("i-0123456789abcdef0")).await.as_deref(), Some("i-0123456789abcdef0"));
        assert_eq!(id(Some("../../thumb-0123")).await, None, "it would be a key");
        assert_eq!(id(Some("<html>i-")).await, None);
        let began = tokio::time::Instant::now();
        assert_eq!(id(None).await, None);
        assert!(began.elapsed() <= PROBE, "{:?}", began.elapsed());
    }

    #[test]
    fn the_executable_is_named_as_in_the_code_bucket() {
        let hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(sha256(std::io::empty()), Some(format!("thumb-{hash}")));
    }
}
