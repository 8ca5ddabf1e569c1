//! `"url"` requests: photographs from any web server. The message's sender chooses the URL, so this is a guard against
//! server-side request forgery (SSRF): only public addresses are connected to, whatever a name resolves to and wherever a
//! redirect points (OWASP, "Server-Side Request Forgery Prevention").

use std::error::Error;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Response, StatusCode, header, redirect};
use rustls_platform_verifier::BuilderVerifierExt;
use url::{Host, Url};

use super::{Found, Opened};
use crate::config::UrlSources;
use crate::error::{Failure, Result as CommandResult};
use crate::worker::backend;
use crate::worker::retry::JobError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Until a response begins, redirects included, and then between two pieces, counted from when a piece is asked for. The
/// caller limits the whole transfer.
const READ_TIMEOUT: Duration = Duration::from_secs(15);
const MAX_REDIRECTS: usize = 5;
/// The longest ETag that is kept, in bytes. It becomes metadata of the thumbnail, of which S3 allows 2 KB in total.
const MAX_ETAG_BYTES: usize = 256;

pub struct Web {
    /// None: messages may name no URL. A system that has no root certificates needs no client then.
    client: Option<Client>,
    sources: UrlSources,
}

/// An address that messages may not name.
#[derive(Debug)]
struct NotPublic(String);

impl fmt::Display for NotPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is a private address; to allow it, set url_sources = \"any\" in [worker] of thumb.toml", self.0)
    }
}

impl Error for NotPublic {}

impl Web {
    /// # Errors
    /// TLS cannot be set up, for example for want of root certificates.
    pub fn new(sources: UrlSources) -> CommandResult<Self> {
        let client = if sources == UrlSources::Off { None } else { Some(Self::client(sources != UrlSources::Any)?) };
        Ok(Self { client, sources })
    }

    fn client(public_only: bool) -> CommandResult<Client> {
        let cannot = |error: &(dyn Error + 'static)| {
            Failure::new("cannot set up TLS for `url` requests")
                .caused_by(error)
                .hint("set url_sources = \"off\" in [worker] of thumb.toml to disable them")
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_platform_verifier())
            .map_err(|error| cannot(&error))?
            .with_no_client_auth();
        Client::builder()
            .tls_backend_preconfigured(tls)
            .user_agent(concat!("thumb/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            // A URL may contain a secret, which no other server may see.
            .referer(false)
            // A proxy would resolve the name itself, past the check of addresses.
            .no_proxy()
            .dns_resolver(Resolver { public_only })
            .redirect(redirect::Policy::custom(move |attempt| {
                if attempt.previous().len() > MAX_REDIRECTS {
                    return attempt.error("too many redirects");
                }
                match check(attempt.url(), public_only) {
                    Ok(()) => attempt.follow(),
                    Err(error) => attempt.error(error),
                }
            }))
            .build()
            .map_err(|error| cannot(&error))
    }

    /// Starts the download of the photograph at a URL.
    pub async fn open(&self, url: &Url, unless: Option<&str>) -> Result<Found<Body>, JobError> {
        let Some(client) = &self.client else {
            return Err(JobError::permanent("`url` requests are disabled (url_sources in [worker] of thumb.toml)"));
        };
        check(url, self.sources == UrlSources::Public).map_err(|error| JobError::permanent(error.to_string()))?;
        let mut request = client.get(url.clone()).header(header::ACCEPT, "image/jpeg, image/*;q=0.5");
        if let Some(etag) = unless {
            request = request.header(header::IF_NONE_MATCH, format!("\"{etag}\""));
        }
        let response = request.send().await.map_err(unanswered)?;
        if unless.is_some() && response.status() == StatusCode::NOT_MODIFIED {
            return Ok(Found::Unchanged);
        }
        if !response.status().is_success() {
            return Err(refused(response.status()));
        }
        let (length, etag) = (response.content_length(), etag(&response));
        Ok(Found::Photo(Opened { length, etag, ours: false, body: Body(response) }))
    }
}

/// A response's body.
pub struct Body(Response);

impl backend::Body for Body {
    async fn next(&mut self) -> Result<Option<Bytes>, String> {
        self.0.chunk().await.map_err(|error| format!("the download was interrupted: {}", innermost(error)))
    }
}

fn etag(response: &Response) -> Option<String> {
    let etag = response.headers().get(header::ETAG)?.to_str().ok()?;
    let etag = etag.trim_start_matches("W/").trim_matches('"');
    (etag.len() <= MAX_ETAG_BYTES).then(|| etag.to_owned())
}

/// An error and its causes.
fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(Some(error as &(dyn Error + 'static)), |&error| error.source())
}

fn unanswered(error: reqwest::Error) -> JobError {
    let not_public = causes(&error).find_map(|cause| cause.downcast_ref::<NotPublic>()).map(ToString::to_string);
    match not_public {
        Some(not_public) => JobError::permanent(not_public),
        None if error.is_redirect() => JobError::permanent(innermost(error)),
        None => JobError::transient(format!("no response: {}", innermost(error))),
    }
}

/// The error for a response other than success (RFC 9110): 5xx, 408, 425 and 429 are transient.
fn refused(status: StatusCode) -> JobError {
    let why = format!("the server answered {status}");
    match status {
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => JobError::transient(why),
        status if status.is_server_error() => JobError::transient(why),
        _ => JobError::permanent(why),
    }
}

/// The innermost cause, without the URL, which may contain a secret.
fn innermost(error: reqwest::Error) -> String {
    causes(&error.without_url()).last().map(ToString::to_string).unwrap_or_default()
}

/// Checks the address in a URL, if it has one; names are checked when they are resolved.
fn check(url: &Url, public_only: bool) -> Result<(), NotPublic> {
    let address = match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::V4(address),
        Some(Host::Ipv6(address)) => IpAddr::V6(address),
        Some(Host::Domain(_)) | None => return Ok(()),
    };
    if public_only && !is_public(address) { Err(NotPublic(address.to_string())) } else { Ok(()) }
}

/// The system's resolver, without private addresses. The addresses that it returns are those connected to, so a name that
/// resolves differently a moment later (DNS rebinding) has no effect.
struct Resolver {
    public_only: bool,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let public_only = self.public_only;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let (good, bad): (Vec<_>, Vec<_>) =
                found.into_iter().partition(|address| !public_only || is_public(address.ip()));
            match (good.is_empty(), bad.first()) {
                (true, Some(bad)) => Err(NotPublic(format!("{} ({})", name.as_str(), bad.ip())).into()),
                _ => Ok(Box::new(good.into_iter()) as Addrs),
            }
        })
    }
}

/// Whether an address is one of the public Internet (IANA's special-purpose address registries).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = match (a, b, c) {
        (0 | 10 | 127, ..) => true,
        (100, 64..=127, _) => true,
        (169, 254, _) => true,
        (172, 16..=31, _) => true,
        (192, 0, 0 | 2) | (192, 88, 99) | (192, 168, _) => true,
        (198, 18..=19, _) | (198, 51, 100) | (203, 0, 113) => true,
        // Multicast, reserved, broadcast.
        (224.., ..) => true,
        _ => false,
    };
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(mapped) = address.to_ipv4_mapped() {
        return is_public_v4(mapped);
    }
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        // NAT64 and 6to4 carry an IPv4 address.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0x2002, high, low, ..] => embedded(high, low),
        // Teredo, benchmarking, ORCHID, documentation.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => false,
        // Global unicast, as far as it is allocated.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests;
