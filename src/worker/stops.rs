//! What tells a worker to stop: SIGTERM (systemd, ECS, `kill`), SIGINT (Ctrl-C), and EC2's notice that a Spot instance
//! is about to be taken back.

use std::time::Duration;

use aws_config::imds;
use tokio::sync::mpsc;

use super::runner::Stop;

/// Stops that wait to be seen: a second one ends the grace, further ones change nothing.
const PENDING: usize = 4;
/// EC2 announces an interruption two minutes ahead (EC2 user guide, "Spot Instance interruption notices"), and advises
/// to look every five seconds.
const SPOT_EVERY: Duration = Duration::from_secs(5);
/// How long the metadata service is given to say that this is an instance at all.
const SPOT_PROBE: Duration = Duration::from_secs(3);

/// Listens from now on, for as long as the receiver lives.
///
/// # Errors
/// The system lets nobody listen to signals.
pub fn listen() -> std::io::Result<mpsc::Receiver<Stop>> {
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
    tokio::spawn(async move {
        if let Some(notice) = spot_notice().await {
            // The worker may have ended meanwhile.
            let _ = stops.send(notice).await;
        }
    });
    Ok(receiver)
}

/// Waits for a Spot instance's interruption; returns at once where there is no such thing to wait for.
async fn spot_notice() -> Option<Stop> {
    let metadata = imds::Client::builder().max_attempts(1).build();
    let life_cycle = metadata.get("/latest/meta-data/instance-life-cycle");
    let life_cycle = tokio::time::timeout(SPOT_PROBE, life_cycle).await.ok()?.ok()?;
    if life_cycle.as_ref() != "spot" {
        return None;
    }
    loop {
        // 404 until there is a notice.
        if metadata.get("/latest/meta-data/spot/instance-action").await.is_ok() {
            return Some("EC2 takes this Spot instance back".into());
        }
        tokio::time::sleep(SPOT_EVERY).await;
    }
}
