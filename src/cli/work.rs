//! `thumb work`: runs the worker.

use std::net::SocketAddr;

use argh::FromArgs;

use super::Global;
use crate::aws::Clients;
use crate::config::{GRACE_S, MAX_CONCURRENCY, MAX_MEMORY_BYTES, MIN_MEMORY_BYTES};
use crate::error::{Failure, Result};
use crate::worker::Work;
use crate::{worker, worker_report};

/// Process thumbnail requests from the queue: photos from S3, thumbnails to S3.
#[derive(FromArgs)]
#[argh(
    subcommand,
    name = "work",
    help_triggers("-h", "--help"),
    note = "Prints a line for each thumbnail. SIGTERM or Ctrl-C finishes running work; a second one returns it to the \
            queue. [worker] in thumb.toml has more settings."
)]
pub struct Args {
    /// exit when the queue is empty
    #[argh(switch)]
    drain: bool,
    /// messages processed in parallel (default: [worker] concurrency, else 8 for each CPU)
    #[argh(option, arg_name = "N")]
    concurrency: Option<u32>,
    /// memory limit, such as 700M or 2G (default: [worker] max_memory_bytes, else 3/4 of the memory)
    #[argh(option, arg_name = "BYTES", from_str_fn(memory))]
    max_memory: Option<u64>,
    /// how long to finish running work when stopped, in seconds (default: [worker] grace, else 25)
    #[argh(option, arg_name = "SECONDS")]
    grace: Option<u32>,
    /// serve Prometheus metrics at http://ADDR/metrics, and /healthz; for example 127.0.0.1:9090
    #[argh(option, arg_name = "ADDR")]
    metrics: Option<SocketAddr>,
    /// print JSON Lines on stdout
    #[argh(switch)]
    json: bool,
}

pub async fn run(args: Args, global: &Global) -> Result<()> {
    let Args { drain, concurrency, max_memory, grace, metrics, json } = args;
    let mut config = global.load_config()?;
    let config_digest = worker_report::config_digest(&std::fs::read_to_string(&global.config).unwrap_or_default());
    if let Some(concurrency) = concurrency {
        if !(1..=MAX_CONCURRENCY).contains(&concurrency) {
            return Err(Failure::usage(format!("--concurrency must be between 1 and {MAX_CONCURRENCY}")));
        }
        config.worker.concurrency = Some(concurrency);
    }
    if let Some(grace_s) = grace {
        if !GRACE_S.contains(&grace_s.into()) {
            return Err(Failure::usage(format!("--grace must be between {} and {} s", GRACE_S.start(), GRACE_S.end())));
        }
        config.worker.grace_s = grace_s;
    }
    config.worker.max_memory_bytes = max_memory.or(config.worker.max_memory_bytes);
    let clients = Clients::connect(config.region.as_deref()).await?;
    worker::work(&config, &clients, Work { drain, json, metrics, config_digest }).await
}

/// `700M`, `2G`, or bytes; powers of 1024.
fn memory(text: &str) -> Result<u64, String> {
    let (number, shift) = match text.strip_suffix(['M', 'm']) {
        Some(number) => (number, 20),
        None => text.strip_suffix(['G', 'g']).map_or((text, 0), |number| (number, 30)),
    };
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    bytes
        .filter(|bytes| (MIN_MEMORY_BYTES..=MAX_MEMORY_BYTES).contains(bytes))
        .ok_or_else(|| format!("{text:?} is not a memory size between 256M and 1024G"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_as_people_write_it() {
        assert_eq!(memory("700M"), Ok(700 << 20));
        assert_eq!(memory("2g"), Ok(2 << 30));
        assert_eq!(memory("268435456"), Ok(256 << 20));
        for text in ["", "M", "100M", "-1G", "99999999999G", "1.5G", "2000G"] {
            assert!(memory(text).is_err(), "{text}");
        }
    }
}
