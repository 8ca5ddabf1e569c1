//! S3 as it is where moto is kinder: whose a bucket is and in which region, tags at creation, and keys that XML cannot
//! write.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;

use super::{FaultInjectingConnector, code, read_body};

/// Whose a bucket is, and where.
#[derive(Clone, Debug)]
pub struct Home {
    pub account: String,
    pub region: String,
}

/// Of every bucket that was created through a connector.
pub type Homes = Arc<Mutex<HashMap<String, Home>>>;

/// The emulator's account, whatever the access key.
const ACCOUNT: &str = "123456789012";
pub const EXPECTED_OWNER: &str = "x-amz-expected-bucket-owner";

/// The bucket of a request to S3.
pub fn bucket(request: &HttpRequest) -> Option<String> {
    if !request.headers().get("authorization")?.contains("/s3/aws4_request") {
        return None;
    }
    let path = request.uri().split('?').next()?;
    path.split('/').nth(3).filter(|bucket| !bucket.is_empty()).map(str::to_owned)
}

/// What S3 refuses because the bucket is another region's or another account's (S3 guide, "Bucket owner condition").
pub fn refusal(homes: &Homes, region: &str, operation: &str, request: &HttpRequest) -> Option<HttpResponse> {
    let home = homes.lock().unwrap().get(&bucket(request)?).cloned()?;
    let error = |status: u16, code_: &str| {
        let body = if operation.starts_with("Head") {
            String::new()
        } else {
            FaultInjectingConnector::s3_error(code_, "refused")
        };
        HttpResponse::new(code(status), SdkBody::from(body))
    };
    if operation == "CreateBucket" {
        return (home.account != ACCOUNT).then(|| error(409, "BucketAlreadyExists"));
    }
    if home.region != region {
        let mut response = error(301, "PermanentRedirect");
        response.headers_mut().insert("x-amz-bucket-region", home.region);
        return Some(response);
    }
    let expected = request.headers().get(EXPECTED_OWNER);
    expected.is_some_and(|expected| expected != home.account).then(|| error(403, "AccessDenied"))
}

/// AWS sets the tags that come with CreateBucket in the same call, of a bucket that was not there; moto leaves them out.
pub async fn create_bucket(
    inner: &SharedHttpConnector,
    homes: &Homes,
    region: &str,
    request: HttpRequest,
) -> Result<HttpResponse, ConnectorError> {
    let name = bucket(&request).expect("it names a bucket");
    let body = String::from_utf8_lossy(request.body().bytes().unwrap_or_default()).into_owned();
    let tags =
        body.split_once("<Tags>").and_then(|(_, rest)| rest.rsplit_once("</Tags>")).map(|(tags, _)| tags.to_owned());
    let mut tagging = request.try_clone().expect("a body in memory");
    let response = inner.call(request).await?;
    let home = Home { account: ACCOUNT.into(), region: region.to_owned() };
    let new = response.status().is_success() && homes.lock().unwrap().insert(name, home).is_none();
    if let (true, Some(tags)) = (new, tags) {
        let uri = format!("{}?tagging", tagging.uri().trim_end_matches('/'));
        tagging.set_uri(uri).expect("a URI");
        let body = format!("<Tagging><TagSet>{tags}</TagSet></Tagging>");
        tagging.headers_mut().insert("content-length", body.len().to_string());
        *tagging.body_mut() = SdkBody::from(body);
        let answer = inner.call(tagging).await?;
        assert!(answer.status().is_success(), "moto took the tags");
    }
    Ok(response)
}

/// The name is free again.
pub async fn delete_bucket(
    inner: &SharedHttpConnector,
    homes: &Homes,
    request: HttpRequest,
) -> Result<HttpResponse, ConnectorError> {
    let name = bucket(&request).expect("it names a bucket");
    let response = inner.call(request).await?;
    if response.status().is_success() {
        homes.lock().unwrap().remove(&name);
    }
    Ok(response)
}

/// moto writes keys as they are, whatever was asked for.
pub async fn list_object_versions(
    inner: &SharedHttpConnector,
    request: HttpRequest,
) -> Result<HttpResponse, ConnectorError> {
    let url_encoded = request.uri().contains("encoding-type=url");
    let response = inner.call(request).await?;
    let status = response.status();
    let mut body = String::from_utf8(read_body(response).await?).expect("XML");
    for name in ["Key", "KeyMarker", "NextKeyMarker"].iter().filter(|_| url_encoded) {
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        let parts: Vec<String> = body
            .split(&open)
            .enumerate()
            .map(|(n, part)| match part.split_once(&close) {
                Some((key, rest)) if n > 0 => format!("{}{close}{rest}", as_in_a_query(key)),
                _ => part.to_owned(),
            })
            .collect();
        body = parts.join(&open);
    }
    if url_encoded {
        body = body.replacen("<MaxKeys>", "<EncodingType>url</EncodingType><MaxKeys>", 1);
    }
    Ok(HttpResponse::new(status, SdkBody::from(body)))
}

/// As S3 encodes keys: a space is a plus sign.
fn as_in_a_query(key: &str) -> String {
    let key = key.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&");
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.*".contains(&byte);
    key.bytes()
        .map(|byte| match byte {
            b' ' => "+".to_owned(),
            byte if plain(byte) => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

/// XML 1.0 has no control characters, not even as references (boto/boto3 #2005).
pub async fn delete_objects(inner: &SharedHttpConnector, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
    let body = String::from_utf8_lossy(request.body().bytes().unwrap_or_default()).into_owned();
    if body.chars().any(|c| c < ' ' && !"\t\n\r".contains(c)) {
        let error = FaultInjectingConnector::s3_error("MalformedXML", "The XML you provided was not well-formed");
        return Ok(HttpResponse::new(code(400), SdkBody::from(error)));
    }
    inner.call(request).await
}
