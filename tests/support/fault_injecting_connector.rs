//! The SDK's HTTP client with injected faults: every call is named and counted, some are answered here with AWS's own
//! errors, and at a chosen call the caller can be cut off for good, as SIGKILL does.
//!
//! It also plays what AWS does and moto does not: RunInstances with a client token that was used before answers what it
//! answered then, or refuses it once the instance is terminated; tags given to CreateBucket are set; a bucket has a region (301 from any other) and an owner (403 where
//! another one is expected); keys come URL-encoded where that was asked for, and DeleteObjects takes none that XML cannot
//! write.

#![allow(dead_code, reason = "a test uses what it needs of it")]

#[path = "fault_injecting_connector_s3.rs"]
mod s3;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use tokio::sync::Notify;

/// What the connector does; shared by all clones of a client.
#[derive(Debug, Default)]
pub struct Script {
    /// Every call's operation, "CreateQueue", in the order in which they were made.
    pub calls: Vec<String>,
    /// Every call's operation with what it is about, "queue/cats", "bucket/cats-code/thumb-1", "role/cats-worker"; empty
    /// for EC2 and STS.
    pub subjects: Vec<(String, String)>,
    /// Operations on a bucket, or in one, that did not say whose they expect it to be.
    pub unowned: Vec<String>,
    /// Every call's operation and its body.
    bodies: Vec<(String, String)>,
    answers: Vec<Answer>,
    /// Mutating calls until the caller is cut off: the last of them still reaches AWS, its answer is lost.
    cut_after: Option<usize>,
    /// As that, after the first call of an operation.
    cut_after_operation: Option<String>,
    cut: bool,
}

#[derive(Debug)]
struct Answer {
    operation: &'static str,
    times: usize,
    status: u16,
    body: String,
    /// How long it takes.
    after: Duration,
}

#[derive(Clone, Debug)]
pub struct FaultInjectingConnector {
    inner: SharedHttpClient,
    script: Arc<Mutex<Script>>,
    /// Told when the caller is cut off.
    pub cut: Arc<Notify>,
    /// Calls on their way: what AWS was sent, it does, whether or not the caller lives to hear of it.
    underway: Arc<AtomicUsize>,
    /// What RunInstances answered, by client token.
    launches: Arc<tokio::sync::Mutex<HashMap<String, Vec<u8>>>>,
    /// Whether EC2 has forgotten the instances that are terminated, as it does after an hour.
    forgotten: Arc<AtomicBool>,
    /// Where each bucket is that was created through the connector.
    homes: s3::Homes,
    region: String,
    /// Whether the server is as strict as AWS by itself: then what passes goes to it as it is.
    strict: bool,
}

impl FaultInjectingConnector {
    pub fn new() -> Self {
        Self {
            inner: aws_smithy_http_client::Builder::new()
                .tls_provider(Provider::Rustls(CryptoMode::Ring))
                .build_https(),
            script: Arc::default(),
            cut: Arc::default(),
            underway: Arc::default(),
            launches: Arc::default(),
            forgotten: Arc::default(),
            homes: Arc::default(),
            region: "us-east-1".into(),
            strict: false,
        }
    }

    /// Before a server that is as strict as AWS by itself.
    pub fn before_strict_server() -> Self {
        Self { strict: true, ..Self::new() }
    }

    /// Another caller in the same world: client tokens are shared, scripts are not.
    pub fn again(&self) -> Self {
        Self { script: Arc::default(), cut: Arc::default(), ..self.clone() }
    }

    /// From here on terminated instances are listed no more, for all callers of this world.
    pub fn forget_terminated(&self) {
        self.forgotten.store(true, Ordering::SeqCst);
    }

    /// The same caller in another region.
    pub fn in_region(self, region: &str) -> Self {
        Self { region: region.to_owned(), ..self }
    }

    /// The bucket, which lets everyone do everything, turns out to be another account's.
    pub fn give_away(&self, bucket: &str) {
        let home = s3::Home { account: "999999999999".into(), region: self.region.clone() };
        self.homes.lock().unwrap().insert(bucket.to_owned(), home);
    }

    /// The configuration of clients that go through the connector to an endpoint.
    pub async fn sdk(&self, endpoint: &str) -> SdkConfig {
        aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(SharedHttpClient::new(self.clone()))
            .region(Region::new(self.region.clone()))
            .endpoint_url(endpoint)
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .load()
            .await
    }

    /// The next `times` calls of an operation are answered so, and do not reach AWS.
    pub fn answer(&self, operation: &'static str, times: usize, status: u16, body: impl Into<String>) {
        self.answer_after(Duration::ZERO, operation, times, status, body);
    }

    /// As [`FaultInjectingConnector::answer`], and each answer takes so long.
    pub fn answer_after(
        &self,
        after: Duration,
        operation: &'static str,
        times: usize,
        status: u16,
        body: impl Into<String>,
    ) {
        self.script.lock().unwrap().answers.push(Answer { operation, times, status, body: body.into(), after });
    }

    /// EC2's form of an error.
    pub fn ec2_error(code: &str, message: &str) -> String {
        format!("<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors></Response>")
    }

    /// SQS's form of an error.
    pub fn sqs_error(code: &str, message: &str) -> String {
        format!(r#"{{"__type":"com.amazonaws.sqs#{code}","message":"{message}"}}"#)
    }

    /// The form of an error of S3.
    pub fn s3_error(code: &str, message: &str) -> String {
        format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>")
    }

    /// The form of an error of IAM and STS.
    pub fn iam_error(code: &str, message: &str) -> String {
        format!("<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>")
    }

    pub fn cut_after(&self, mutating_calls: usize) {
        self.script.lock().unwrap().cut_after = Some(mutating_calls);
    }

    pub fn cut_after_operation(&self, operation: &str) {
        self.script.lock().unwrap().cut_after_operation = Some(operation.to_owned());
    }

    pub fn calls(&self) -> Vec<String> {
        self.script.lock().unwrap().calls.clone()
    }

    pub fn subjects(&self) -> Vec<(String, String)> {
        self.script.lock().unwrap().subjects.clone()
    }

    pub fn unowned(&self) -> Vec<String> {
        self.script.lock().unwrap().unowned.clone()
    }

    /// What an operation was sent, each time.
    pub fn bodies(&self, operation: &str) -> Vec<String> {
        let script = self.script.lock().unwrap();
        script.bodies.iter().filter(|(made, _)| made == operation).map(|(_, body)| body.clone()).collect()
    }

    pub fn mutating_calls(&self) -> Vec<String> {
        self.calls().into_iter().filter(|operation| is_mutating(operation)).collect()
    }
}

pub fn is_mutating(operation: &str) -> bool {
    !["Get", "List", "Describe", "Head"].iter().any(|read| operation.starts_with(read))
}

impl HttpClient for FaultInjectingConnector {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(Connector { inner, faults: self.clone() })
    }
}

#[derive(Debug)]
struct Connector {
    inner: SharedHttpConnector,
    faults: FaultInjectingConnector,
}

/// What the script says about one call.
enum Verdict {
    Pass,
    Answer(u16, String, Duration),
    /// It reaches AWS; nobody hears the answer.
    PassAndCut,
    /// The caller is dead.
    Never,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        // The metadata service, which is asked on the same connections: no instance is here, and nothing answers.
        if request.uri().contains("/latest/") {
            let silence = std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "no metadata service");
            return HttpConnectorFuture::ready(Err(ConnectorError::io(silence.into())));
        }
        let operation = operation(&request);
        let subject = subject(&request);
        let mut subjects = vec![(operation.clone(), subject.clone())];
        // An ACL that comes with an object is a right of its own.
        subjects.extend(request.headers().get("x-amz-acl").map(|_| (format!("{operation}Acl"), subject)));
        self.faults.script.lock().unwrap().subjects.extend(subjects);
        let verdict = self.verdict(&operation, &request);
        let (inner, faults) = (self.inner.clone(), self.faults.clone());
        HttpConnectorFuture::new(async move {
            match verdict {
                Verdict::Pass => send(inner, faults, operation, request).await,
                Verdict::Answer(status, body, after) => {
                    tokio::time::sleep(after).await;
                    Ok(HttpResponse::new(code(status), SdkBody::from(body)))
                }
                Verdict::PassAndCut => {
                    let _ = send(inner, faults.clone(), operation, request).await;
                    while faults.underway.load(Ordering::SeqCst) > 0 {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    faults.cut.notify_one();
                    std::future::pending().await
                }
                Verdict::Never => std::future::pending().await,
            }
        })
    }
}

impl Connector {
    fn verdict(&self, operation: &str, request: &HttpRequest) -> Verdict {
        let mut script = self.faults.script.lock().unwrap();
        if script.cut {
            return Verdict::Never;
        }
        script.calls.push(operation.to_owned());
        let body = request.body().bytes().unwrap_or_default();
        script.bodies.push((operation.to_owned(), String::from_utf8_lossy(body).into_owned()));
        if s3::bucket(request).is_some() && request.headers().get(s3::EXPECTED_OWNER).is_none() {
            script.unowned.push(operation.to_owned());
        }
        if let Some(answer) = script.answers.iter_mut().find(|a| a.operation == operation && a.times > 0) {
            answer.times -= 1;
            return Verdict::Answer(answer.status, answer.body.clone(), answer.after);
        }
        let made = script.calls.iter().filter(|operation| is_mutating(operation)).count();
        let named = script.cut_after_operation.as_deref() == Some(operation);
        if named || script.cut_after == Some(made) && is_mutating(operation) {
            script.cut = true;
            return Verdict::PassAndCut;
        }
        Verdict::Pass
    }
}

fn code(status: u16) -> StatusCode {
    StatusCode::try_from(status).expect("a status")
}

/// In a task of its own, which goes on when the caller is dropped.
async fn send(
    inner: SharedHttpConnector,
    faults: FaultInjectingConnector,
    operation: String,
    request: HttpRequest,
) -> Result<HttpResponse, ConnectorError> {
    faults.underway.fetch_add(1, Ordering::SeqCst);
    let task = tokio::spawn(async move {
        let result = pass(&inner, &faults, &operation, request).await;
        faults.underway.fetch_sub(1, Ordering::SeqCst);
        result
    });
    task.await.expect("the call does not panic")
}

async fn pass(
    inner: &SharedHttpConnector,
    faults: &FaultInjectingConnector,
    operation: &str,
    request: HttpRequest,
) -> Result<HttpResponse, ConnectorError> {
    if faults.strict {
        return inner.call(request).await;
    }
    if let Some(refused) = s3::refusal(&faults.homes, &faults.region, operation, &request) {
        return Ok(refused);
    }
    match operation {
        "CreateBucket" => s3::create_bucket(inner, &faults.homes, &faults.region, request).await,
        "DeleteBucket" => s3::delete_bucket(inner, &faults.homes, request).await,
        "ListObjectVersions" => s3::list_object_versions(inner, request).await,
        "DeleteObjects" => s3::delete_objects(inner, request).await,
        "RunInstances" => run_instances(inner, faults, request).await,
        "DescribeInstances" if faults.forgotten.load(Ordering::SeqCst) => describe_alive(inner, request).await,
        _ => inner.call(request).await,
    }
}

async fn read_body(response: HttpResponse) -> Result<Vec<u8>, ConnectorError> {
    let body = aws_smithy_types::byte_stream::ByteStream::new(response.into_body()).collect().await;
    Ok(body.map_err(|error| ConnectorError::io(error.into()))?.to_vec())
}

/// AWS launches once for a client token, and refuses it for a day once what was launched is terminated (EC2 error codes,
/// IdempotentInstanceTerminated); moto launches each time.
async fn run_instances(
    inner: &SharedHttpConnector,
    faults: &FaultInjectingConnector,
    request: HttpRequest,
) -> Result<HttpResponse, ConnectorError> {
    let body = String::from_utf8_lossy(request.body().bytes().unwrap_or_default()).into_owned();
    let token = body.split('&').find_map(|pair| pair.strip_prefix("ClientToken=")).expect("a client token").to_owned();
    // Held across the call: a second caller with the same token waits for the first one's answer.
    let mut launches = faults.launches.lock().await;
    if let Some(answer) = launches.get(&token) {
        let text = String::from_utf8_lossy(answer).into_owned();
        let id = text.split_once("<instanceId>").and_then(|(_, rest)| rest.split_once('<')).expect("an instance").0;
        let form = format!("Action=DescribeInstances&Version=2016-11-15&InstanceId.1={id}");
        let state = read_body(inner.call(with_form(&request, form)).await?).await?;
        if String::from_utf8_lossy(&state).contains("<name>terminated</name>") {
            let message = "The client token you have provided is associated with a terminated instance. Please use a \
                           different client token.";
            let error = FaultInjectingConnector::ec2_error("IdempotentInstanceTerminated", message);
            return Ok(HttpResponse::new(code(400), SdkBody::from(error)));
        }
        return Ok(HttpResponse::new(code(200), SdkBody::from(answer.clone())));
    }
    let response = inner.call(request).await?;
    let status = response.status();
    let body = read_body(response).await?;
    if status.is_success() {
        launches.insert(token, body.clone());
    }
    Ok(HttpResponse::new(status, SdkBody::from(body)))
}

/// What a request is about, by its kind and name.
fn subject(request: &HttpRequest) -> String {
    let body = String::from_utf8_lossy(request.body().bytes().unwrap_or_default()).into_owned();
    if request.headers().get("x-amz-target").is_some() {
        let body: serde_json::Value = serde_json::from_str(&body).expect("SQS and CloudWatch Logs speak JSON");
        if let Some(group) = ["logGroupName", "logGroupNamePrefix"].into_iter().find_map(|field| body[field].as_str()) {
            return format!("log-group/{group}");
        }
        if let Some((_, group)) = body["resourceArn"].as_str().and_then(|arn| arn.split_once(":log-group:")) {
            return format!("log-group/{group}");
        }
        let named = ["QueueName", "QueueUrl", "SourceArn"].into_iter().find_map(|field| body[field].as_str());
        let name = named.expect("every call of ours names a queue");
        return format!("queue/{}", name.rsplit(['/', ':']).next().unwrap_or_default());
    }
    if body.contains("Action=") {
        let field = |name: &str| body.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        let profile = field("InstanceProfileName").map(|name| format!("instance-profile/{name}"));
        let topic = ["TopicArn", "SubscriptionArn", "ResourceArn"].into_iter().find_map(field);
        if let Some(arn) = topic.filter(|arn| arn.contains("%3Asns%3A")) {
            return format!("topic/{}", arn.split("%3A").nth(5).unwrap_or_default());
        }
        if let (true, Some(name)) = (body.contains("Action=CreateTopic"), field("Name")) {
            return format!("topic/{name}");
        }
        return profile.or(field("RoleName").map(|name| format!("role/{name}"))).unwrap_or_default();
    }
    let path = request.uri().split('?').next().unwrap_or_default();
    if path.contains("/operation/") {
        return String::new();
    }
    let path = path.splitn(4, '/').nth(3).unwrap_or_default().trim_end_matches('/');
    // DeleteObjects names its keys in the body.
    let key = body
        .split_once("<Key>")
        .filter(|_| body.contains("<Delete"))
        .and_then(|(_, rest)| rest.split_once("</Key>"))
        .map(|(key, _)| format!("/{key}"));
    format!("bucket/{path}{}", key.unwrap_or_default())
}

/// A request with another form for a body.
fn with_form(request: &HttpRequest, form: String) -> HttpRequest {
    let mut request = request.try_clone().expect("a body in memory");
    request.headers_mut().insert("content-length", form.len().to_string());
    *request.body_mut() = SdkBody::from(form);
    request
}

/// DescribeInstances as it is an hour later.
async fn describe_alive(inner: &SharedHttpConnector, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
    let body = String::from_utf8_lossy(request.body().bytes().unwrap_or_default()).into_owned();
    let filters = body.matches(".Name=").count();
    let mut form = format!("{body}&Filter.{}.Name=instance-state-name", filters + 1);
    for (index, state) in ["pending", "running", "shutting-down", "stopping", "stopped"].iter().enumerate() {
        form.push_str(&format!("&Filter.{}.Value.{}={state}", filters + 1, index + 1));
    }
    inner.call(with_form(&request, form)).await
}

/// The operation of a request, as its service names it.
fn operation(request: &HttpRequest) -> String {
    // SQS: JSON, the operation in a header.
    if let Some((_, operation)) = request.headers().get("x-amz-target").and_then(|target| target.split_once('.')) {
        return operation.to_owned();
    }
    // EC2, IAM, STS: a form.
    let body = String::from_utf8_lossy(request.body().bytes().unwrap_or_default());
    if let Some(action) = body.split('&').find_map(|pair| pair.strip_prefix("Action=")) {
        return action.to_owned();
    }
    let uri = request.uri();
    // CloudWatch: CBOR, the operation in the path.
    if let Some((_, operation)) = uri.split_once("/operation/") {
        return operation.to_owned();
    }
    // S3: method, path and query.
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
    let path = path.splitn(4, '/').nth(3).unwrap_or_default().trim_end_matches('/');
    let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
    let subresource = [
        ("tagging", "BucketTagging"),
        ("ownershipControls", "BucketOwnershipControls"),
        ("publicAccessBlock", "PublicAccessBlock"),
        ("policy", "BucketPolicy"),
        ("notification", "BucketNotificationConfiguration"),
    ]
    .into_iter()
    .find(|(name, _)| has(name));
    let verb = match request.method() {
        "GET" => "Get",
        "PUT" => "Put",
        "DELETE" => "Delete",
        "HEAD" => "Head",
        _ => "Post",
    };
    match (verb, subresource, path.contains('/')) {
        (verb, Some((_, what)), _) => format!("{verb}{what}"),
        ("Put", _, false) => "CreateBucket".into(),
        ("Delete", _, false) => "DeleteBucket".into(),
        ("Post", _, false) if has("delete") => "DeleteObjects".into(),
        ("Get", _, false) if has("versions") => "ListObjectVersions".into(),
        ("Get", _, false) if has("uploads") => "ListMultipartUploads".into(),
        ("Get", _, false) => "ListObjectsV2".into(),
        (verb, _, false) => format!("{verb}Bucket"),
        ("Delete", _, true) if has("uploadId") => "AbortMultipartUpload".into(),
        (verb, _, true) => format!("{verb}Object"),
    }
}
