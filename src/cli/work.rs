//! `thumb work`: runs the worker.

use std::net::SocketAddr;

use argh::{ArgsInfo, FromArgs};

use super::Global;
use crate::aws::Clients;
use crate::config::{GRACE_S, MAX_CONCURRENCY, MAX_MEMORY_BYTES, MIN_MEMORY_BYTES, byte_size};
use crate::error::{Failure, Result};
use crate::worker::Work;
use crate::{worker, worker_report};

/// Process thumbnail requests from the queue: photos from S3, thumbnails to S3.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "work",
    help_triggers("-h", "--help"),
    note = "Shows on a terminal what is done and left, and what was rejected; elsewhere it prints a line for each thumbnail. SIGTERM or Ctrl-C finishes running work; a second one returns it to the \
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
    /// how long to finish running work when stopped, such as 25s or 2m (default: [worker] grace, else 25s)
    #[argh(option, arg_name = "TIME", from_str_fn(grace))]
    grace: Option<u32>,
    /// serve Prometheus metrics at http://ADDR/metrics, and /healthz; a port alone is one of this machine only
    #[argh(option, arg_name = "ADDR", from_str_fn(address))]
    metrics: Option<SocketAddr>,
    /// print JSON Lines on stdout
    #[argh(switch)]
    json: bool,
    /// a line for each thumbnail on a terminal, too, and how long its steps took
    #[argh(switch, short = 'v')]
    verbose: bool,
}

pub async fn run(args: Args, global: &Global) -> Result<()> {
    let Args { drain, concurrency, max_memory, grace, metrics, json, verbose } = args;
    let mut config = global.load_config()?;
    let config_digest = worker_report::config_digest(&std::fs::read_to_string(&global.config).unwrap_or_default());
    if let Some(concurrency) = concurrency {
        if !(1..=MAX_CONCURRENCY).contains(&concurrency) {
            return Err(Failure::usage(format!("--concurrency must be between 1 and {MAX_CONCURRENCY}")));
        }
        config.worker.concurrency = Some(concurrency);
    }
    if let Some(grace_s) = grace {
        config.worker.grace_s = grace_s;
    }
    config.worker.max_memory_bytes = max_memory.or(config.worker.max_memory_bytes);
    let clients = Clients::connect(config.region.as_deref()).await?;
    worker::work(&config, &clients, Work { drain, json, verbose, metrics, config_digest }).await
}

/// `25s`, `2m`, or seconds.
fn grace(text: &str) -> Result<u32, String> {
    let seconds = text.parse().ok().or_else(|| humantime::parse_duration(text).ok().map(|time| time.as_secs()));
    seconds
        .filter(|seconds| GRACE_S.contains(seconds))
        .and_then(|seconds| u32::try_from(seconds).ok())
        .ok_or_else(|| format!("{text:?} is not a time between {}s and {}s", GRACE_S.start(), GRACE_S.end()))
}

/// `127.0.0.1:9090`, `[::1]:9090`; `9090` or `:9090`: of this machine only.
fn address(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix(':').unwrap_or(text).parse::<u16>();
    let address = port.map(|port| SocketAddr::from(([127, 0, 0, 1], port))).or_else(|_| text.parse());
    address.map_err(|_| format!("{text:?} is not an address and a port, such as 127.0.0.1:9090"))
}

/// `700M`, `2G`, or bytes; powers of 1024.
fn memory(text: &str) -> Result<u64, String> {
    byte_size(text)
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

    #[test]
    fn a_time_and_an_address_are_read_as_people_write_them() {
        assert_eq!(["25", "25s", "2m"].map(grace), [Ok(25), Ok(25), Ok(120)]);
        assert_eq!(grace("1h"), Err("\"1h\" is not a time between 1s and 900s".into()));
        assert!(grace("soon").is_err() && grace("0").is_err());
        let local: SocketAddr = "127.0.0.1:9090".parse().unwrap();
        assert_eq!(["9090", ":9090", "127.0.0.1:9090"].map(address), [Ok(local), Ok(local), Ok(local)]);
        assert_eq!(address("0.0.0.0:1"), Ok("0.0.0.0:1".parse().unwrap()));
        assert!(address("host:9090").unwrap_err().contains("such as 127.0.0.1:9090"));
    }
}
