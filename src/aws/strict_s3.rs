//! An S3 in memory for tests, behind the SDK's own clients: as strict as AWS where emulators are kind. Who asks in the wrong
//! region, expects another owner, or names a key that S3 does not take, is told so in S3's words.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard};

use aws_config::{Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use percent_encoding::percent_decode_str;
use url::Url;

use super::Clients;

/// Whose credentials the clients have, and where they are.
pub const ACCOUNT: &str = "123456789012";
pub const HOME: &str = "us-east-1";
/// Keys in one page of a listing; S3 has 1,000.
const PAGE: usize = 2;
/// All metadata of an object, names and values (S3 guide, "Working with object metadata").
const MAX_METADATA_BYTES: usize = 2_048;

/// How S3 says that a bucket is in another region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Elsewhere {
    /// 301 with the region in the header.
    #[default]
    Redirect,
    /// 400 AuthorizationHeaderMalformed with the region in the body only.
    Malformed,
    /// 400 IllegalLocationConstraintException, with the region in words only.
    Illegal,
}

#[derive(Clone, Debug, Default)]
pub struct StrictS3(Arc<Mutex<State>>);

#[derive(Debug, Default)]
pub struct State {
    buckets: HashMap<String, Bucket>,
    pub elsewhere: Elsewhere,
    /// Requests as "GET bucket/key region", in order.
    pub asked: Vec<String>,
}

#[derive(Debug)]
struct Bucket {
    region: String,
    owner: String,
    requester_pays: bool,
    objects: BTreeMap<String, Object>,
}

#[derive(Clone, Debug, Default)]
pub struct Object {
    pub bytes: Vec<u8>,
    pub etag: String,
    pub metadata: BTreeMap<String, String>,
}

/// A request as S3 sees it.
struct Asked<'a> {
    request: &'a HttpRequest,
    method: &'a str,
    bucket: String,
    key: String,
    query: HashMap<String, String>,
    region: &'a str,
}

impl StrictS3 {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Creates a bucket of this account.
    pub fn bucket(&self, name: &str, region: &str) {
        let owner = ACCOUNT.to_owned();
        let bucket = Bucket { region: region.into(), owner, requester_pays: false, objects: BTreeMap::new() };
        self.state().buckets.insert(name.to_owned(), bucket);
    }

    /// Gives a bucket to another account, which allows everything to everyone.
    pub fn give_away(&self, name: &str) {
        self.state().buckets.get_mut(name).unwrap().owner = "999999999999".to_owned();
    }

    pub fn let_requesters_pay(&self, name: &str) {
        self.state().buckets.get_mut(name).unwrap().requester_pays = true;
    }

    pub fn put(&self, bucket: &str, key: &str, bytes: &[u8]) {
        let etag = format!("etag-of-{}", bytes.len());
        let object = Object { bytes: bytes.to_vec(), etag, metadata: BTreeMap::new() };
        self.state().buckets.get_mut(bucket).unwrap().objects.insert(key.to_owned(), object);
    }

    pub fn get(&self, bucket: &str, key: &str) -> Option<Object> {
        self.state().buckets.get(bucket)?.objects.get(key).cloned()
    }

    /// The configuration that the program's own clients are made of, but for where it sends its requests.
    pub async fn sdk(&self) -> SdkConfig {
        let connector = SharedHttpConnector::new(self.clone());
        Clients::loader()
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .region(Region::new(HOME))
            .endpoint_url("http://localhost")
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .load()
            .await
    }
}

impl HttpConnector for StrictS3 {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::ready(Ok(self.state().answer(&request)))
    }
}

impl State {
    fn answer(&mut self, request: &HttpRequest) -> HttpResponse {
        let asked = Asked::read(request);
        self.asked.push(format!("{} {}/{} {}", asked.method, asked.bucket, asked.key, asked.region));
        let Some(bucket) = self.buckets.get_mut(&asked.bucket) else {
            return asked.refuse(404, "NoSuchBucket", "The specified bucket does not exist", "");
        };
        if asked.region != bucket.region {
            return asked.elsewhere(self.elsewhere, &bucket.region);
        }
        let expected = asked.header("x-amz-expected-bucket-owner");
        if expected.is_some_and(|owner| owner != bucket.owner)
            || bucket.requester_pays && asked.header("x-amz-request-payer") != Some("requester")
        {
            return asked.refuse(403, "AccessDenied", "Access Denied", "");
        }
        let mut response = match asked.method {
            "HEAD" if asked.key.is_empty() => respond(200, ""),
            "GET" if asked.key.is_empty() => asked.list(bucket),
            "GET" | "HEAD" => asked.object(bucket),
            "PUT" => asked.store(bucket),
            other => panic!("no such call: {other}"),
        };
        response.headers_mut().insert("x-amz-bucket-region", bucket.region.clone());
        response
    }
}

impl<'a> Asked<'a> {
    fn read(request: &'a HttpRequest) -> Self {
        // As it is written: `..` in a path is a part of the key.
        let rest = request.uri().split_once("://").unwrap().1.split_once('/').unwrap().1;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let decoded = |text: &str| percent_decode_str(text).decode_utf8().unwrap().into_owned();
        let query = Url::parse(&format!("http://localhost/?{query}")).unwrap();
        let credential = request.headers().get("authorization").unwrap().split_once("Credential=").unwrap().1;
        Self {
            request,
            method: request.method(),
            bucket: decoded(bucket),
            key: decoded(key),
            query: query.query_pairs().into_owned().collect(),
            region: credential.split('/').nth(2).unwrap(),
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.request.headers().get(name)
    }

    /// An error as S3 writes it; HEAD answers have no body.
    fn refuse(&self, status: u16, code: &str, message: &str, more: &str) -> HttpResponse {
        let body = format!("<Error><Code>{code}</Code><Message>{message}</Message>{more}</Error>");
        respond(status, if self.method == "HEAD" { String::new() } else { body })
    }

    fn elsewhere(&self, how: Elsewhere, region: &str) -> HttpResponse {
        let mut response = match how {
            Elsewhere::Redirect => {
                let message = "The bucket you are attempting to access must be addressed using the specified endpoint.";
                self.refuse(301, "PermanentRedirect", message, "")
            }
            Elsewhere::Malformed => {
                let message = "The authorization header is malformed; the region is wrong";
                let more = format!("<Region>{region}</Region>");
                self.refuse(400, "AuthorizationHeaderMalformed", message, &more)
            }
            Elsewhere::Illegal => {
                let message =
                    format!("The {region} location constraint is incompatible for the region specific endpoint");
                self.refuse(400, "IllegalLocationConstraintException", &message, "")
            }
        };
        // HeadBucket has it whatever else it answers (API HeadBucket).
        if how == Elsewhere::Redirect || (self.method, self.key.as_str()) == ("HEAD", "") {
            response.headers_mut().insert("x-amz-bucket-region", region.to_owned());
        }
        response
    }

    fn list(&self, bucket: &Bucket) -> HttpResponse {
        let (prefix, after) = (&self.query["prefix"], self.query.get("continuation-token"));
        let mut keys = bucket.objects.iter().filter(|(key, _)| key.starts_with(prefix.as_str()));
        let mut keys = keys.by_ref().filter(|(key, _)| after.is_none_or(|after| *key > after)).peekable();
        let (mut xml, mut last) = (String::new(), "");
        for (key, object) in keys.by_ref().take(PAGE) {
            write!(xml, "<Contents><Key>{key}</Key><Size>{}</Size></Contents>", object.bytes.len()).unwrap();
            last = key;
        }
        if keys.peek().is_some() {
            write!(xml, "<NextContinuationToken>{last}</NextContinuationToken>").unwrap();
        }
        respond(200, format!("<ListBucketResult>{xml}</ListBucketResult>"))
    }

    fn object(&self, bucket: &Bucket) -> HttpResponse {
        if self.key.starts_with("glacier/") && self.method == "GET" {
            let message = "The operation is not valid for the object's storage class";
            return self.refuse(403, "InvalidObjectState", message, "<StorageClass>GLACIER</StorageClass>");
        }
        if self.key.starts_with("kms/") && self.method == "GET" {
            let message = "User is not authorized to perform: kms:Decrypt on the resource";
            return self.refuse(403, "AccessDenied", message, "");
        }
        if self.key.starts_with("late/") {
            let message = "The difference between the request time and the current time is too large.";
            return self.refuse(403, "RequestTimeTooSkewed", message, "");
        }
        let Some(object) = bucket.objects.get(&self.key) else {
            return self.refuse(404, "NoSuchKey", "The specified key does not exist.", "");
        };
        let etag = format!("\"{}\"", object.etag);
        if self.header("if-none-match") == Some(&etag) {
            return respond(304, "");
        }
        let mut response = match self.method {
            "HEAD" => respond(200, ""),
            _ => respond(200, SdkBody::from(object.bytes.clone())),
        };
        response.headers_mut().insert("etag", etag);
        response.headers_mut().insert("content-length", object.bytes.len().to_string());
        for (name, value) in &object.metadata {
            response.headers_mut().insert(format!("x-amz-meta-{name}"), value.clone());
        }
        response
    }

    fn store(&self, bucket: &mut Bucket) -> HttpResponse {
        let mut depth = 0;
        for part in self.key.split('/') {
            depth += if part == ".." { -1 } else { 1 };
            if depth < 0 {
                return self.refuse(400, "InvalidArgument", "Invalid object name", "");
            }
        }
        let metadata: BTreeMap<String, String> = self
            .request
            .headers()
            .iter()
            .filter_map(|(name, value)| Some((name.strip_prefix("x-amz-meta-")?.to_owned(), value.to_owned())))
            .collect();
        if metadata.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > MAX_METADATA_BYTES {
            return self.refuse(400, "MetadataTooLarge", "Your metadata headers exceed the maximum size", "");
        }
        // S3 user guide, "Conditional writes".
        let there = bucket.objects.get(&self.key).map(|object| format!("\"{}\"", object.etag));
        match (self.header("if-match"), self.header("if-none-match"), there.as_deref()) {
            (Some(_), _, None) => return self.refuse(404, "NoSuchKey", "The specified key does not exist.", ""),
            (Some(wanted), _, Some(there)) if wanted != there => return self.precondition_failed(),
            (_, Some("*"), Some(_)) => return self.precondition_failed(),
            _ => {}
        }
        let bytes = self.request.body().bytes().expect("a body in memory").to_vec();
        let etag = format!("etag-of-{}", bytes.len());
        bucket.objects.insert(self.key.clone(), Object { bytes, etag, metadata });
        respond(200, "")
    }

    fn precondition_failed(&self) -> HttpResponse {
        self.refuse(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold", "")
    }
}

fn respond(status: u16, body: impl Into<SdkBody>) -> HttpResponse {
    HttpResponse::new(StatusCode::try_from(status).expect("a status"), body.into())
}
