//! The instances, and what their workers have reported.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Basis;
use super::reports::{self, BOOT_S, STALE_S};
use crate::aws::CallError;
use crate::worker_report::{State, WorkerReport};

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
    /// The reports cannot be read.
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

/// All instances with their reports, and workers elsewhere that have reported lately; and why the reports cannot be read.
pub async fn read(basis: &Basis<'_>, now_s: u64) -> (Vec<Worker>, Option<CallError>) {
    let account = &basis.observed.location.account;
    let found = match basis.observed.code.ours() {
        Some(_) => reports::read(basis.clients, &basis.config.code_bucket(account), account).await,
        None => Ok((Vec::new(), 0)),
    };
    let (reports, unread) = match found {
        Ok((reports, _)) => (Some(reports), None),
        Err(error) => (None, Some(error)),
    };
    (all(places(basis), reports, now_s), unread)
}

/// `reports`: none if they cannot be read.
fn all(places: Vec<Place>, reports: Option<Vec<WorkerReport>>, now_s: u64) -> Vec<Worker> {
    let known = reports.is_some();
    let mut reports: BTreeMap<String, WorkerReport> =
        reports.unwrap_or_default().into_iter().map(|report| (report.id.clone(), report)).collect();
    let mut workers: Vec<Worker> = places
        .into_iter()
        .map(|place| {
            let report = known.then(|| reports.remove(&place.id));
            worker(place, report, now_s)
        })
        .collect();
    // Instances that are gone and laptops that were closed leave a report behind.
    let lately =
        |report: &WorkerReport| report.state != State::Stopped && now_s.saturating_sub(report.last_seen_s) <= STALE_S;
    workers.extend(reports.into_values().filter(lately).map(|report| {
        let place = Place {
            address: String::new(),
            id: report.id.clone(),
            state: "elsewhere".to_owned(),
            launched_s: None,
            runs: true,
        };
        worker(place, Some(Some(report)), now_s)
    }));
    workers
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

/// `report`: none if the reports cannot be read; `Some(None)`: it has not reported.
fn worker(place: Place, report: Option<Option<WorkerReport>>, now_s: u64) -> Worker {
    let Place { address, id, state, launched_s, runs } = place;
    let name = if address.is_empty() { id.clone() } else { address.clone() };
    let new = launched_s.is_none_or(|launched_s| now_s.saturating_sub(launched_s) < BOOT_S);
    let seen_s = report.as_ref().and_then(Option::as_ref).map(|report| now_s.saturating_sub(report.last_seen_s));
    let (working, problem) = match &report {
        None => (Working::Unknown, None),
        Some(None) if !runs => (Working::Stopped, None),
        Some(None) if new => (Working::Booting, None),
        Some(None) => {
            let why = format!("{name} runs, but its worker has never reported: see `thumb logs {id} --boot`");
            (Working::Silent, Some(why))
        }
        Some(Some(report)) => match report.state {
            _ if !runs => (Working::Stopped, None),
            State::Stopped => (Working::Stopped, Some(format!("the worker of {name} has stopped"))),
            _ if seen_s.is_some_and(|seen_s| seen_s > STALE_S) => {
                let minutes = seen_s.unwrap_or_default() / 60;
                (Working::Silent, Some(format!("the worker of {name} has not reported for {minutes} minutes")))
            }
            State::Started | State::Idle => (Working::Idle, None),
            State::Working => (Working::Working, None),
            State::Stopping => (Working::Stopping, None),
        },
    };
    let report = report.flatten();
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

    fn report(id: &str, state: State, ago_s: u64) -> WorkerReport {
        WorkerReport {
            version: VERSION,
            id: id.into(),
            thumb: "0.1.0".into(),
            binary: None,
            config: String::new(),
            state,
            started_s: 0,
            last_seen_s: NOW_S - ago_s,
            counts: Counts::default(),
            memory: Memory::default(),
        }
    }

    fn seen(report: Option<(State, u64)>, launched_ago_s: u64, runs: bool) -> (Working, bool) {
        let report = report.map(|(state, ago_s)| self::report("i-1", state, ago_s));
        let launched_s = Some(NOW_S - launched_ago_s);
        let place = Place { address: "instance.1".into(), id: "i-1".into(), state: "running".into(), launched_s, runs };
        let worker = worker(place, Some(report), NOW_S);
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
    fn workers_elsewhere_are_listed_while_they_report() {
        let member = || Place {
            address: String::new(),
            id: "i-2".into(),
            state: "InService".into(),
            launched_s: None,
            runs: true,
        };
        let reports = vec![
            report("i-2", State::Idle, 5),
            report("laptop", State::Working, 5),
            report("closed", State::Idle, 90_000),
            report("i-9", State::Stopped, 60),
        ];
        let seen = |reports| -> Vec<(String, Working)> {
            all(vec![member()], reports, NOW_S).into_iter().map(|worker| (worker.id, worker.worker)).collect()
        };
        assert_eq!(seen(Some(reports)), [("i-2".into(), Working::Idle), ("laptop".into(), Working::Working)]);
        assert_eq!(seen(None), [("i-2".into(), Working::Unknown)], "the reports cannot be read");
    }
}
