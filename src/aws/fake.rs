//! AWS as a function, for unit tests on paused time: every request is named and answered, and nothing leaves the process.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;

use super::{Clients, Writer};

/// What a request asks for, and with what: "GetQueueUrl", and the body (for S3: the path).
pub struct Asked {
    pub operation: String,
    pub body: String,
}

impl Asked {
    /// Whether a form or a path has this in it.
    pub fn has(&self, text: &str) -> bool {
        self.body.contains(text)
    }
}

type Answer = dyn FnMut(&Asked) -> Option<(u16, String)> + Send;

/// Answers calls; an answer of `None` never comes.
#[derive(Clone)]
pub struct Fake {
    answer: Arc<Mutex<Answer>>,
    calls: Arc<Mutex<Vec<String>>>,
}

impl fmt::Debug for Fake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fake")
    }
}

impl Fake {
    pub fn new(answer: impl FnMut(&Asked) -> Option<(u16, String)> + Send + 'static) -> Self {
        Self { answer: Arc::new(Mutex::new(answer)), calls: Arc::default() }
    }

    pub async fn writer(&self) -> Writer {
        let connector = SharedHttpConnector::new(self.clone());
        let sdk = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .region(Region::new("us-east-1"))
            .endpoint_url("http://localhost")
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .load()
            .await;
        Writer { clients: Clients::from_sdk(sdk).expect("the region is set") }
    }

    /// The operations so far, in their order.
    pub fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl HttpConnector for Fake {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let asked = asked(&request);
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(asked.operation.clone());
        let answer = (self.answer.lock().unwrap_or_else(PoisonError::into_inner))(&asked);
        HttpConnectorFuture::new(async move {
            let Some((status, body)) = answer else { return std::future::pending().await };
            let length = body.len().to_string();
            let mut response = HttpResponse::new(StatusCode::try_from(status).expect("a status"), SdkBody::from(body));
            response.headers_mut().insert("content-length", length);
            Ok(response)
        })
    }
}

fn asked(request: &HttpRequest) -> Asked {
    let body = String::from_utf8_lossy(request.body().bytes().unwrap_or_default()).into_owned();
    // SQS: JSON, the operation in a header. EC2, IAM, STS: a form. S3: method and path.
    if let Some((_, operation)) = request.headers().get("x-amz-target").and_then(|target| target.split_once('.')) {
        return Asked { operation: operation.to_owned(), body };
    }
    if let Some(action) = body.split('&').find_map(|pair| pair.strip_prefix("Action=")) {
        return Asked { operation: action.to_owned(), body };
    }
    let path = request.uri().splitn(4, '/').nth(3).unwrap_or_default().to_owned();
    Asked { operation: format!("{}Object", request.method()), body: path }
}

/// EC2's form of an error.
pub fn ec2_error(code: &str, message: &str) -> Option<(u16, String)> {
    let error = format!("<Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>");
    Some((400, format!("<Response>{error}</Response>")))
}

/// SQS's form of an error.
pub fn sqs_error(code: &str, message: &str) -> Option<(u16, String)> {
    Some((400, format!(r#"{{"__type":"com.amazonaws.sqs#{code}","message":"{message}"}}"#)))
}
