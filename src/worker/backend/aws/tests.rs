//! SQS and S3 that hang, throttle and interrupt transfers, on paused time: every call ends within its time limit.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use aws_config::Region;
use aws_credential_types::Credentials;
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use super::objects::{S3_ATTEMPT, S3_TOTAL};
use super::*;
use crate::config::{MIN_MEMORY_BYTES, StorageClass, UrlSources};
use crate::thumbnail::Limits;
use crate::worker::job::Times;
use crate::worker::job::fetch::{Wanted, fetch as fetch_from};
use crate::worker::memory::{MemoryBudget, Origin};

/// What becomes of one request.
#[derive(Debug)]
enum Step {
    /// It is never answered.
    Hang,
    /// The connection is reset.
    Reset,
    /// A status, and a body.
    Answer(u16, &'static str),
    /// A photograph of ten bytes, of which this many arrive; then the transfer is interrupted or stalls.
    Part { bytes: usize, stalls: bool },
}

#[derive(Clone, Debug, Default)]
struct Script(Arc<Mutex<VecDeque<Step>>>);

const PHOTO: &str = "ten bytes.";

impl HttpConnector for Script {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        let step = self.0.lock().unwrap().pop_front().expect("no more requests than the script has");
        HttpConnectorFuture::new(async move {
            let (status, length, body) = match step {
                Step::Hang => std::future::pending().await,
                Step::Reset => return Err(ConnectorError::io("connection reset".into())),
                Step::Answer(status, body) => (status, body.len(), SdkBody::from(body)),
                Step::Part { bytes, stalls } => {
                    let start = stream::iter([Ok(Bytes::from_static(&PHOTO.as_bytes()[..bytes]))]);
                    let rest = match stalls {
                        true => stream::pending().boxed(),
                        false => stream::iter([Err(std::io::Error::other("connection reset"))]).boxed(),
                    };
                    let body = reqwest::Body::wrap_stream(start.chain(rest));
                    (200, PHOTO.len(), SdkBody::from_body_1_x(body))
                }
            };
            let mut response = HttpResponse::new(StatusCode::try_from(status).expect("a status"), body);
            response.headers_mut().insert("content-length", length.to_string());
            Ok(response)
        })
    }
}

/// A backend whose requests are answered by the script.
async fn backend(steps: impl IntoIterator<Item = Step>) -> (Aws, Script) {
    let script = Script(Arc::new(Mutex::new(steps.into_iter().collect())));
    let connector = SharedHttpConnector::new(script.clone());
    let sdk = Clients::loader()
        .http_client(http_client_fn(move |_, _| connector.clone()))
        .region(Region::new("us-east-1"))
        .endpoint_url("http://localhost")
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .load()
        .await;
    let locations = Locations {
        queue_url: "http://localhost/1/cats".into(),
        dlq_url: "http://localhost/1/cats-dlq".into(),
        thumbnails_bucket: "cats-thumbnails".into(),
        code_bucket: "cats-code".into(),
        account: "123456789012".into(),
        access: Access::PublicRead,
        cache_control: None,
        storage_class: StorageClass::Standard,
        requester_pays: true,
        visibility_timeout_s: 60,
        worker: "test/1".into(),
    };
    let web = Web::new(UrlSources::Off).unwrap();
    (Aws::new(&Clients::from_sdk(sdk).unwrap(), web, locations), script)
}

/// Fetches a photograph of ten bytes, in a worker whose memory is full for as long as `waits`.
async fn fetch(steps: impl IntoIterator<Item = Step>, waits: Duration) -> Result<Bytes, JobError> {
    let (backend, script) = backend(steps).await;
    let source = Source::object("photos", "owl.jpg").unwrap();
    let memory = MemoryBudget::new(MIN_MEMORY_BYTES, 1);
    let all = memory.limits(Limits { max_source_bytes: usize::MAX, ..Limits::default() });
    let others = memory.photo(all.max_source_bytes as u64, Origin::S3, None).await.unwrap();
    let others = tokio::spawn(async move {
        tokio::time::sleep(waits).await;
        drop(others);
    });
    let wanted = Wanted { source: &source, unless: None, max_bytes: 1_000, alone: None };
    let mut times = Times::default();
    let photo = fetch_from(&backend, &memory, wanted, &mut times).await;
    others.await.unwrap();
    assert!(script.0.lock().unwrap().is_empty(), "all of the script was played");
    let photo = photo?.expect("no ETag was given");
    assert!(times.wait >= waits && times.fetch < Duration::from_secs(130), "{times:?}");
    Ok(photo.bytes)
}

#[tokio::test(start_paused = true)]
async fn a_hanging_receive_is_aborted_a_little_after_its_wait() {
    // The clients at large give up an attempt after 30 s: a receive has only the time-outs of its own.
    let (backend, _) = backend([Step::Hang, Step::Hang, Step::Hang]).await;
    for (wait_s, given_up_s) in [(20, 30), (1, 6), (40, 60)] {
        let began = Instant::now();
        let error = backend.receive(10, Duration::from_secs(wait_s)).await.unwrap_err();
        assert_eq!((error.kind, began.elapsed().as_secs()), (Kind::Unavailable, given_up_s));
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_hangs_or_is_throttled_is_retried() {
    let (backend, script) = backend([
        Step::Hang,
        Step::Reset,
        Step::Answer(503, "<Error><Code>SlowDown</Code></Error>"),
        Step::Answer(200, ""),
    ])
    .await;
    let began = Instant::now();
    backend.store(upload()).await.unwrap();
    assert!(script.0.lock().unwrap().is_empty());
    assert!((S3_ATTEMPT..S3_TOTAL).contains(&began.elapsed()), "{:?}", began.elapsed());
}

fn upload() -> Upload {
    let provenance = Provenance { source_etag: None, parameters: "4x3".into() };
    let (key, body) = ("owl-4x3.jpg".into(), Bytes::from_static(b"jpeg"));
    Upload { key, body, media_type: "image/jpeg", provenance, facts: Vec::new() }
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_always_hangs_is_a_transient_error() {
    let (backend, _) = backend([Step::Hang, Step::Hang, Step::Hang, Step::Hang, Step::Hang]).await;
    let began = Instant::now();
    let job_error = backend.store(upload()).await.unwrap_err();
    assert!(job_error.transient, "{job_error:?}");
    assert_eq!(began.elapsed().as_secs(), S3_TOTAL.as_secs());
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_or_stalled_download_is_retried() {
    for stalls in [false, true] {
        let bytes = fetch([Step::Part { bytes: 4, stalls }, Step::Answer(200, PHOTO)], Duration::ZERO).await;
        assert_eq!(bytes.unwrap(), PHOTO, "stalls: {stalls}");
    }
    let part = || Step::Part { bytes: 4, stalls: false };
    let job_error = fetch([part(), part(), part()], Duration::ZERO).await.unwrap_err();
    assert!(job_error.transient && job_error.why.starts_with("the download was interrupted: "), "{job_error:?}");
}

/// However long: the time limit for reading starts with reading.
#[tokio::test(start_paused = true)]
async fn a_photograph_may_wait_for_memory() {
    let ten_minutes = Duration::from_secs(600);
    assert_eq!(fetch([Step::Answer(200, PHOTO)], ten_minutes).await.unwrap(), PHOTO);
    // S3 has closed the connection meanwhile.
    let closed = Step::Part { bytes: 4, stalls: false };
    assert_eq!(fetch([closed, Step::Answer(200, PHOTO)], ten_minutes).await.unwrap(), PHOTO);
}

#[tokio::test(start_paused = true)]
async fn deletes_are_retried_and_each_entry_has_its_answer() {
    let throttled = r#"{"__type":"com.amazonaws.sqs#RequestThrottled","message":"slow down"}"#;
    let failed = r#"{"Successful":[],"Failed":[{"Id":"1","Code":"ReceiptHandleIsInvalid","SenderFault":true}]}"#;
    let (backend, _) = backend([Step::Answer(400, throttled), Step::Hang, Step::Answer(200, failed)]).await;
    let answers = backend.delete(vec!["a".into(), "b".into()]).await.unwrap();
    assert_eq!(answers, [Answer::Done, Answer::Refused("ReceiptHandleIsInvalid".into())]);
}
