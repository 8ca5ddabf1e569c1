//! What stops a worker: SIGTERM (systemd, ECS, `kill`), SIGINT (Ctrl-C), and EC2's interruption notice to a Spot instance.

use std::time::Duration;

use aws_config::{SdkConfig, imds};
use tokio::sync::mpsc;

use super::identity;
use super::runner::Stop;

/// Stops that are queued: a second one ends the grace period, further ones change nothing.
const PENDING: usize = 4;
/// EC2 announces an interruption two minutes ahead (EC2 user guide, "Spot Instance interruption notices"), and advises
/// to look every five seconds.
const SPOT_EVERY: Duration = Duration::from_secs(5);
/// How long the metadata service may take to answer whether this is an instance.
const SPOT_PROBE: Duration = Duration::from_secs(3);

/// Listens from now on, for as long as the receiver lives. `sdk`: how the metadata service is reached.
///
/// # Errors
/// The system does not allow signal handlers.
pub fn listen(sdk: &SdkConfig) -> std::io::Result<mpsc::Receiver<Stop>> {
    let (stops, receiver) = mpsc::channel(PENDING);
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        for (name, kind) in [("SIGTERM", SignalKind::terminate()), ("SIGINT", SignalKind::interrupt())] {
            let (mut signals, stops) = (signal(kind)?, stops.clone());
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    if stops.send(name.to_owned()).await.is_err() {
                        return;
                    }
                }
            });
        }
    }
    #[cfg(not(unix))]
    {
        let stops = stops.clone();
        tokio::spawn(async move {
            while tokio::signal::ctrl_c().await.is_ok() {
                if stops.send("Ctrl-C".to_owned()).await.is_err() {
                    return;
                }
            }
        });
    }
    if let Some(metadata) = identity::metadata(sdk) {
        tokio::spawn(watch_spot(metadata.build(), stops));
    }
    Ok(receiver)
}

/// Passes a Spot notice on, unless the worker ends before there is one.
async fn watch_spot(metadata: imds::Client, stops: mpsc::Sender<Stop>) {
    tokio::select! {
        // The receiver may be closed already.
        Some(notice) = spot_notice(&metadata) => drop(stops.send(notice).await),
        () = stops.closed() => {}
    }
}

/// Waits for a Spot instance's interruption; returns at once on other machines.
async fn spot_notice(metadata: &imds::Client) -> Option<Stop> {
    let life_cycle = metadata.get("/latest/meta-data/instance-life-cycle");
    let life_cycle = tokio::time::timeout(SPOT_PROBE, life_cycle).await.ok()?.ok()?;
    if life_cycle.as_ref() != "spot" {
        return None;
    }
    loop {
        // 404 until there is a notice.
        if metadata.get("/latest/meta-data/spot/instance-action").await.is_ok() {
            return Some("EC2 is reclaiming this Spot instance".into());
        }
        tokio::time::sleep(SPOT_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use aws_config::provider_config::ProviderConfig;
    use aws_smithy_runtime_api::client::http::{
        HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
    };
    use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;
    use tokio::time::{Instant, timeout};

    use super::*;

    /// An instance's metadata service (EC2 user guide, "Use the Instance Metadata Service"), version 2.
    #[derive(Debug)]
    struct Metadata {
        life_cycle: &'static str,
        /// Looks at the notice that find none.
        quiet_looks: u32,
        looks: AtomicU32,
    }

    impl Metadata {
        fn new(life_cycle: &'static str, quiet_looks: u32) -> Arc<Self> {
            Arc::new(Self { life_cycle, quiet_looks, looks: AtomicU32::new(0) })
        }

        fn client(self: &Arc<Self>) -> imds::Client {
            let connector = SharedHttpConnector::new(Connector(Arc::clone(self)));
            let http = http_client_fn(move |_, _| connector.clone());
            let config = ProviderConfig::without_region().with_http_client(http);
            imds::Client::builder().configure(&config).max_attempts(1).build()
        }

        fn answer(&self, method: &str, path: &str, token: Option<&str>) -> (u16, &'static str) {
            match (method, path) {
                ("PUT", "/latest/api/token") => (200, "a-token"),
                _ if token != Some("a-token") => (401, ""),
                ("GET", "/latest/meta-data/instance-life-cycle") => (200, self.life_cycle),
                ("GET", "/latest/meta-data/spot/instance-action") => {
                    match self.looks.fetch_add(1, Ordering::Relaxed) < self.quiet_looks {
                        true => (404, ""),
                        false => (200, r#"{"action":"terminate","time":"2026-01-01T00:00:00Z"}"#),
                    }
                }
                _ => (404, ""),
            }
        }
    }

    #[derive(Debug)]
    struct Connector(Arc<Metadata>);

    impl HttpConnector for Connector {
        fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
            let path = request.uri().trim_start_matches("http://169.254.169.254");
            let token = request.headers().get("x-aws-ec2-metadata-token");
            let (status, body) = self.0.answer(request.method(), path, token);
            let status = StatusCode::try_from(status).expect("a status");
            let mut response = HttpResponse::new(status, SdkBody::from(body));
            response.headers_mut().insert("x-aws-ec2-metadata-token-ttl-seconds", "21600");
            HttpConnectorFuture::ready(Ok(response))
        }
    }

    /// A service that takes connections and never answers, as some networks have at this address.
    #[derive(Debug)]
    struct Silence;

    impl HttpConnector for Silence {
        fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
            HttpConnectorFuture::new(std::future::pending())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_spot_instance_is_told_to_stop_when_its_notice_comes() {
        let metadata = Metadata::new("spot", 3);
        let (stops, mut receiver) = mpsc::channel(PENDING);
        let began = Instant::now();
        tokio::spawn(watch_spot(metadata.client(), stops));
        let stop = timeout(SPOT_EVERY * 10, receiver.recv()).await.expect("the notice is seen");
        assert_eq!(stop.as_deref(), Some("EC2 is reclaiming this Spot instance"));
        assert_eq!(began.elapsed().as_secs(), 3 * SPOT_EVERY.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn the_watch_ends_with_the_worker() {
        let metadata = Metadata::new("spot", u32::MAX);
        let (stops, receiver) = mpsc::channel(PENDING);
        let watch = tokio::spawn(watch_spot(metadata.client(), stops));
        tokio::time::sleep(SPOT_EVERY * 2).await;
        assert!(metadata.looks.load(Ordering::Relaxed) > 1, "it looks");
        drop(receiver);
        timeout(Duration::from_secs(1), watch).await.expect("it has ended").unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn elsewhere_there_is_nothing_to_watch() {
        let on_demand = Metadata::new("on-demand", 0);
        assert_eq!(spot_notice(&on_demand.client()).await, None);
        assert_eq!(on_demand.looks.load(Ordering::Relaxed), 0);

        let silence = http_client_fn(|_, _| SharedHttpConnector::new(Silence));
        let config = ProviderConfig::without_region().with_http_client(silence);
        let silence = imds::Client::builder().configure(&config).max_attempts(1).build();
        assert_eq!(timeout(SPOT_PROBE * 2, spot_notice(&silence)).await, Ok(None));
    }
}
