//! `--metrics ADDR`: serves the worker's numbers to Prometheus at `/metrics`, and `/healthz` for health checks. Off by
//! default. The server answers one small request per connection and reads no more than it needs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::health::Health;
use super::stats::resident_bytes;
use crate::error::{Failure, Result};
use crate::text::printable;
use crate::worker::job::{Finished, Times};
use crate::worker::retry::Outcome;

/// Requests answered at once; further ones wait.
const CONNECTIONS: usize = 8;
/// A request's head, of which only the first line matters.
const MAX_HEAD_BYTES: usize = 4_096;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

type Labels = [(&'static str, &'static str); 1];

/// The metrics; clones share the numbers.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    messages: Family<Labels, Counter>,
    thumbnails: Counter,
    skipped: Counter,
    source_bytes: Counter,
    stages: Family<Labels, Histogram>,
    in_flight: Gauge,
    memory: Gauge,
    paused: Gauge,
    pauses: Counter,
    /// Lines dropped because the output was not being read.
    pub dropped_lines: Counter,
    /// What `/healthz` answers.
    pub health: Health,
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
            registry: Arc::default(),
            messages: Family::default(),
            thumbnails: Counter::default(),
            skipped: Counter::default(),
            source_bytes: Counter::default(),
            // 1 ms to 65 s.
            stages: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 2.0, 17))),
            in_flight: Gauge::default(),
            memory: Gauge::default(),
            paused: Gauge::default(),
            pauses: Counter::default(),
            dropped_lines: Counter::default(),
            health: Health::default(),
        };
        let mut registry = Registry::with_prefix("thumb");
        registry.register("messages", "Messages by outcome", metrics.messages.clone());
        registry.register("thumbnails", "Thumbnails stored", metrics.thumbnails.clone());
        registry.register("thumbnails_skipped", "Thumbnails that were up to date already", metrics.skipped.clone());
        registry.register_with_unit("source", "Photographs read", Unit::Bytes, metrics.source_bytes.clone());
        registry.register_with_unit("stage", "Time by stage", Unit::Seconds, metrics.stages.clone());
        registry.register(
            "messages_held",
            "Messages in flight: received and not yet settled",
            metrics.in_flight.clone(),
        );
        registry.register(
            "paused",
            "Whether nothing is received because S3 fails (1) or not (0)",
            metrics.paused.clone(),
        );
        registry.register("pauses", "Times that receiving was paused because S3 failed", metrics.pauses.clone());
        registry.register(
            "lines_dropped",
            "Lines of output dropped because they were not read",
            metrics.dropped_lines.clone(),
        );
        registry.register_with_unit("memory", "Resident memory", Unit::Bytes, metrics.memory.clone());
        Self { registry: Arc::new(registry), ..metrics }
    }
}

impl Metrics {
    pub fn add(&self, finished: &Finished) {
        let outcome = match finished.outcome {
            Outcome::Done => "done",
            Outcome::Ignored(_) => "ignored",
            Outcome::Retry { .. } => "retried",
            Outcome::Reject { .. } => "rejected",
        };
        self.messages.get_or_create(&[("outcome", outcome)]).inc();
        self.thumbnails.inc_by(finished.made.len() as u64);
        self.skipped.inc_by(finished.skipped.len() as u64);
        self.source_bytes.inc_by(finished.source_bytes as u64);
        if let Some(made) = finished.made.first() {
            let Times { fetch, wait, make, store } = made.times;
            for (stage, time) in [("fetch", fetch), ("wait", wait), ("make", make), ("store", store)] {
                self.stages.get_or_create(&[("stage", stage)]).observe(time.as_secs_f64());
            }
        }
    }

    pub fn add_taken_over(&self) {
        self.messages.get_or_create(&[("outcome", "lost")]).inc();
    }

    /// Whether receiving is paused.
    pub fn set_paused(&self, paused: bool) {
        if paused && self.paused.get() == 0 {
            self.pauses.inc();
        }
        self.paused.set(i64::from(paused));
    }

    pub fn set_in_flight(&self, messages: usize) {
        self.in_flight.set(i64::try_from(messages).unwrap_or(i64::MAX));
    }

    /// In OpenMetrics' text format.
    fn text(&self) -> String {
        self.memory.set(resident_bytes().and_then(|bytes| i64::try_from(bytes).ok()).unwrap_or_default());
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a string takes all that is written to it");
        text
    }

    /// The status and the body.
    fn healthz(&self, now: Instant) -> (&'static str, String) {
        let (status, text) = match self.health.verdict(now) {
            Ok(how) => ("200 OK", how),
            Err(why) => ("503 Service Unavailable", why),
        };
        // AWS or a proxy may have chosen the text.
        (status, printable(&text).into_owned() + "\n")
    }

    /// Serves the numbers from now on, for as long as the process lives.
    ///
    /// # Errors
    /// The address is taken, or not one of this machine.
    pub async fn serve(&self, address: SocketAddr) -> Result<SocketAddr> {
        let cannot =
            |error: std::io::Error| Failure::new(format!("cannot serve metrics on {address}")).caused_by(&error);
        let listener = TcpListener::bind(address).await.map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        let metrics = self.clone();
        tokio::spawn(async move {
            let free = Arc::new(Semaphore::new(CONNECTIONS));
            loop {
                let permit = Arc::clone(&free).acquire_owned().await.expect("the semaphore is never closed");
                // A failure here (no free file descriptor, say) is temporary, or no reason to end the worker.
                let Ok((connection, _)) = listener.accept().await else {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                };
                let metrics = metrics.clone();
                tokio::spawn(async move {
                    // A client that disconnects needs no answer.
                    let _ = timeout(REQUEST_TIMEOUT, metrics.answer(connection)).await;
                    drop(permit);
                });
            }
        });
        Ok(address)
    }

    async fn answer(&self, mut connection: TcpStream) -> std::io::Result<()> {
        let mut head = Vec::new();
        while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < MAX_HEAD_BYTES {
            if connection.read_buf(&mut head).await? == 0 {
                break;
            }
        }
        let (status, kind, body) = match path(&head) {
            Some("/metrics") => ("200 OK", "application/openmetrics-text; version=1.0.0; charset=utf-8", self.text()),
            Some("/healthz") => {
                let (status, body) = self.healthz(Instant::now());
                (status, "text/plain; charset=utf-8", body)
            }
            _ => ("404 Not Found", "text/plain", "there are /metrics and /healthz\n".to_owned()),
        };
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        connection.write_all(head.as_bytes()).await?;
        connection.write_all(body.as_bytes()).await?;
        connection.shutdown().await
    }
}

/// The path of a GET request, without its query.
fn path(head: &[u8]) -> Option<&str> {
    let line = head.split(|&byte| byte == b'\r').next()?;
    let target = std::str::from_utf8(line).ok()?.strip_prefix("GET ")?.split(' ').next()?;
    target.split('?').next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::report::health::Doing;

    async fn get(address: SocketAddr, request: &str) -> String {
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn metrics_and_health_checks_are_answered_and_nothing_else() {
        let metrics = Metrics::default();
        metrics.add(&Finished::new(Outcome::Done));
        metrics.add(&Finished::new(Outcome::Ignored("a test")));
        metrics.add_taken_over();
        let address = metrics.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
        let numbers = get(address, "GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(numbers.starts_with("HTTP/1.1 200 OK\r\n"), "{numbers}");
        for line in
            ["thumb_messages_total{outcome=\"done\"} 1\n", "thumb_messages_total{outcome=\"lost\"} 1\n", "# EOF\n"]
        {
            assert!(numbers.contains(line), "{line} in {numbers}");
        }
        for line in ["thumb_paused 0\n", "thumb_pauses_total 0\n", "thumb_lines_dropped_total 0\n"] {
            assert!(numbers.contains(line), "{line} in {numbers}");
        }
        for request in ["GET / HTTP/1.1\r\n\r\n", "POST /metrics HTTP/1.1\r\n\r\n", "\r\n\r\n"] {
            assert!(get(address, request).await.starts_with("HTTP/1.1 404 "), "{request}");
        }
    }

    #[tokio::test]
    async fn the_health_check_fails_with_the_reason() {
        let metrics = Metrics::default();
        let address = metrics.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
        let health = async || get(address, "GET /healthz HTTP/1.0\r\n\r\n").await;
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n";
        let answer = health().await;
        assert!(answer.starts_with(head) && answer.ends_with("\r\n\r\nok: starting\n"), "{answer}");

        let now = Instant::now();
        metrics.health.turned(Doing::Working, now);
        assert!(health().await.ends_with("\r\n\r\nok\n"));
        metrics.health.not_received("a proxy says \x1b[31mno", now);
        let later = now + Duration::from_secs(400);
        metrics.health.turned(Doing::Working, later);
        let why = "nothing could be received for 400 s: a proxy says \\u{1b}[31mno\n";
        assert_eq!(metrics.healthz(later), ("503 Service Unavailable", why.to_owned()));
        metrics.health.received();
        assert_eq!(metrics.healthz(later), ("200 OK", "ok\n".to_owned()));
    }

    #[test]
    fn a_pause_is_counted_once() {
        let metrics = Metrics::default();
        for paused in [false, true, true, false, true] {
            metrics.set_paused(paused);
        }
        assert_eq!((metrics.pauses.get(), metrics.paused.get()), (2, 1));
    }

    #[tokio::test]
    async fn an_address_that_is_taken_is_named() {
        let metrics = Metrics::default();
        let address = metrics.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
        let failure = metrics.serve(address).await.unwrap_err().to_string();
        assert!(failure.starts_with(&format!("cannot serve metrics on {address}")), "{failure}");
    }
}
