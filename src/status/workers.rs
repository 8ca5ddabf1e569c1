//! The instances, and what their workers have reported.

use futures_util::stream::{StreamExt, iter};
use serde::Serialize;

use super::Basis;
use crate::stack::resources::instance::read_report;
use crate::worker_report::{State, WorkerReport};

/// Reports read in parallel.
const SIDE_BY_SIDE: usize = 16;
/// A worker that was launched since is booting, in seconds: the boot takes a minute or two, and its retries some more.
const BOOT_S: u64 = 600;
/// An idle worker reports every five minutes; one that has not for so long does not run, in seconds.
const SILENT_S: u64 = 900;

/// An instance and its worker.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Worker {
    /// "instance.1"; empty for an instance of the group.
    pub address: String,
    /// Of the instance.
    pub id: String,
    /// In EC2's words, or Auto Scaling's.
    pub state: String,
    pub worker: Working,
    /// The version of thumb.
    pub thumb: Option<String>,
    /// Seconds since the last report.
    pub seen_s: Option<u64>,
    /// Since the worker began.
    pub made: u64,
    pub rejected: u64,
    /// What is wrong with it, a sentence.
    #[serde(skip)]
    pub problem: Option<String>,
}

/// What a worker is doing, as far as its reports say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Working {
    /// No report yet, and it was launched a moment ago.
    Booting,
    Working,
    Idle,
    Stopping,
    Stopped,
    /// It should have reported.
    Silent,
    /// Its report cannot be read.
    Unknown,
}

impl Working {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Booting => "booting",
            Self::Working => "working",
            Self::Idle => "idle",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Silent => "SILENT",
            Self::Unknown => "unknown",
        }
    }
}

/// An instance of the stack, before its report is read.
struct Place {
    address: String,
    id: String,
    state: String,
    /// When it was launched, in seconds since 1970; none: Auto Scaling does not say.
    launched_s: Option<u64>,
    /// Whether it is meant to run.
    runs: bool,
}

/// All instances with their reports.
pub async fn read(basis: &Basis<'_>, now_s: u64) -> Vec<Worker> {
    let account = &basis.observed.location.account;
    let bucket = basis.config.code_bucket(account);
    let reads = places(basis).into_iter().map(|place| async {
        let report = read_report(&place.id, &bucket, account, basis.clients).await;
        worker(place, report.map_err(|error| error.to_string()), now_s)
    });
    let reads: Vec<_> = reads.collect();
    iter(reads).buffered(SIDE_BY_SIDE).collect().await
}

fn places(basis: &Basis<'_>) -> Vec<Place> {
    let numbered = basis.observed.fleet.alive.iter().map(|instance| Place {
        address: format!("instance.{}", instance.index),
        id: instance.id.clone(),
        state: instance.state.clone(),
        launched_s: u64::try_from(instance.launched_s).ok(),
        runs: matches!(instance.state.as_str(), "pending" | "running"),
    });
    let members = basis.observed.scaling_group.ours().into_iter().flat_map(|group| &group.members);
    let members = members.map(|member| Place {
        address: String::new(),
        id: member.id.clone(),
        state: member.state.clone(),
        launched_s: None,
        runs: !member.is_leaving(),
    });
    numbered.chain(members).collect()
}

fn worker(place: Place, report: Result<Option<WorkerReport>, String>, now_s: u64) -> Worker {
    let Place { address, id, state, launched_s, runs } = place;
    let name = if address.is_empty() { id.clone() } else { address.clone() };
    let new = launched_s.is_none_or(|launched_s| now_s.saturating_sub(launched_s) < BOOT_S);
    let seen_s = report.as_ref().ok().and_then(Option::as_ref).map(|report| now_s.saturating_sub(report.last_seen_s));
    let (working, problem) = match &report {
        Err(why) => (Working::Unknown, Some(format!("the report of {name} cannot be read: {why}"))),
        Ok(None) if !runs => (Working::Stopped, None),
        Ok(None) if new => (Working::Booting, None),
        Ok(None) => (
            Working::Silent,
            Some(format!("{name} runs, but its worker has never reported: see `thumb logs {id} --boot`")),
        ),
        Ok(Some(report)) => match report.state {
            _ if !runs => (Working::Stopped, None),
            State::Stopped => (Working::Stopped, Some(format!("the worker of {name} has stopped"))),
            _ if seen_s.is_some_and(|seen_s| seen_s > SILENT_S) => {
                let minutes = seen_s.unwrap_or_default() / 60;
                (Working::Silent, Some(format!("the worker of {name} has not reported for {minutes} minutes")))
            }
            State::Started | State::Idle => (Working::Idle, None),
            State::Working => (Working::Working, None),
            State::Stopping => (Working::Stopping, None),
        },
    };
    let report = report.ok().flatten();
    Worker {
        address,
        id,
        state,
        worker: working,
        thumb: report.as_ref().map(|report| report.thumb.clone()),
        seen_s,
        made: report.as_ref().map_or(0, |report| report.counts.made),
        rejected: report.as_ref().map_or(0, |report| report.counts.rejected),
        problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker_report::{Counts, Memory, VERSION};

    const NOW_S: u64 = 1_800_000_000;

    fn seen(report: Option<(State, u64)>, launched_ago_s: u64, runs: bool) -> (Working, bool) {
        let report = report.map(|(state, ago_s)| WorkerReport {
            version: VERSION,
            id: "i-1".into(),
            thumb: "0.1.0".into(),
            binary: None,
            config: String::new(),
            state,
            started_s: 0,
            last_seen_s: NOW_S - ago_s,
            counts: Counts::default(),
            memory: Memory::default(),
        });
        let launched_s = Some(NOW_S - launched_ago_s);
        let place = Place { address: "instance.1".into(), id: "i-1".into(), state: "running".into(), launched_s, runs };
        let worker = worker(place, Ok(report), NOW_S);
        (worker.worker, worker.problem.is_some())
    }

    #[test]
    fn a_worker_that_should_report_and_does_not_is_a_problem() {
        assert_eq!(seen(None, 30, true), (Working::Booting, false));
        assert_eq!(seen(None, 700, true), (Working::Silent, true));
        assert_eq!(seen(None, 700, false), (Working::Stopped, false));
        assert_eq!(seen(Some((State::Working, 20)), 700, true), (Working::Working, false));
        assert_eq!(seen(Some((State::Started, 300)), 700, true), (Working::Idle, false));
        assert_eq!(seen(Some((State::Idle, 1_000)), 7_000, true), (Working::Silent, true));
        assert_eq!(seen(Some((State::Stopped, 20)), 700, true), (Working::Stopped, true));
        assert_eq!(seen(Some((State::Stopped, 20)), 700, false), (Working::Stopped, false));
    }

    #[test]
    fn a_report_that_cannot_be_read_is_said() {
        let place =
            Place { address: String::new(), id: "i-2".into(), state: "InService".into(), launched_s: None, runs: true };
        let worker = worker(place, Err("s3:GetObject: AccessDenied".into()), NOW_S);
        assert_eq!(worker.worker, Working::Unknown);
        assert_eq!(worker.problem.unwrap(), "the report of i-2 cannot be read: s3:GetObject: AccessDenied");
    }
}
