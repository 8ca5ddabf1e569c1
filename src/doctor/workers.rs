//! The workers by their reports: who works, and which instance has not said anything.

use std::collections::BTreeMap;

use super::Check;
use crate::stack::Observed;
use crate::stack::resources::Found;
use crate::status::reports::{BOOT_S, STALE_S};
use crate::text::{ago, plural};
use crate::worker_report::{State, WorkerReport};

/// IDs of instances, and when each was launched, in seconds since 1970, if that is known.
pub type Running<'a> = BTreeMap<&'a str, Option<u64>>;

/// The running instances of the stack.
pub fn running(observed: &Observed) -> Running<'_> {
    let numbered = observed.fleet.alive.iter().filter(|instance| instance.state == "running");
    let numbered = numbered.map(|instance| (&*instance.id, u64::try_from(instance.launched_s).ok()));
    let members = match &observed.scaling_group {
        Found::Ours(group) => &group.members[..],
        _ => &[],
    };
    let members = members.iter().filter(|member| member.is_in_service()).map(|member| (&*member.id, None));
    numbered.chain(members).collect()
}

/// One line for each worker that has reported lately, and for each instance that has not. Pure.
pub fn checks(running: Running<'_>, reports: &[WorkerReport], now_s: u64) -> Vec<Check> {
    let mut silent = running;
    let mut checks = Vec::new();
    for report in reports {
        let of_instance = silent.remove(&*report.id).is_some();
        let age_s = now_s.saturating_sub(report.last_seen_s);
        let ended = report.state == State::Stopped;
        // Instances that are gone and laptops that were closed leave a report behind.
        if !of_instance && (ended || age_s > STALE_S) {
            continue;
        }
        let name = format!("worker {}", report.id);
        checks.push(match (ended, age_s > STALE_S) {
            (true, _) => Check::failed(name, format!("ended {} ago", ago(age_s)), restart(&report.id)),
            (false, true) => Check::failed(name, format!("not seen for {}", ago(age_s)), restart(&report.id)),
            (false, false) => Check::ok(name, described(report, age_s)),
        });
    }
    for (id, launched_s) in silent {
        let age_s = launched_s.map(|launched_s| now_s.saturating_sub(launched_s));
        let name = format!("worker {id}");
        checks.push(match age_s {
            Some(age_s) if age_s > BOOT_S => {
                let hint = format!("`aws ec2 get-console-output --latest --output text --instance-id {id}` says why");
                Check::failed(name, format!("no report in the {} since its launch", ago(age_s)), hint)
            }
            Some(age_s) => Check::not_checked(name, format!("launched {} ago; it has not reported yet", ago(age_s))),
            None => Check::not_checked(name, "it has not reported yet"),
        });
    }
    checks
}

fn described(report: &WorkerReport, age_s: u64) -> String {
    let WorkerReport { thumb, state, counts, .. } = report;
    let state = match state {
        State::Started => "started",
        State::Working => "working",
        State::Idle => "idle",
        State::Stopping => "stopping",
        State::Stopped => "stopped",
    };
    let (made, rejected) = (counts.made, counts.rejected);
    let noun = plural(made, "thumbnail");
    format!("{state}, seen {} ago; {made} {noun}, {rejected} rejected; thumb {thumb}", ago(age_s))
}

fn restart(id: &str) -> String {
    format!(
        "look at its log, or replace the instance: `aws ec2 terminate-instances --instance-ids {id}`, then `thumb apply`"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker_report::{Counts, Memory, VERSION};

    const NOW_S: u64 = 1_800_000_000;

    fn report(id: &str, state: State, age_s: u64) -> WorkerReport {
        WorkerReport {
            version: VERSION,
            id: id.into(),
            thumb: "0.1.0".into(),
            binary: None,
            config: String::new(),
            state,
            started_s: NOW_S - 90_000,
            last_seen_s: NOW_S - age_s,
            counts: Counts { made: 2_140, rejected: 2, ..Counts::default() },
            memory: Memory::default(),
        }
    }

    #[test]
    fn who_works_is_well_and_an_instance_that_says_nothing_is_not() {
        let launched = |ago_s: u64| Some(NOW_S - ago_s);
        let running = [
            ("i-1", launched(90_000)),
            ("i-2", launched(90_000)),
            ("i-3", launched(90_000)),
            ("i-4", launched(40)),
            ("i-5", launched(4_000)),
            ("i-6", None),
        ];
        let reports = [
            report("i-1", State::Idle, 41),
            report("i-2", State::Working, 10_800),
            report("i-3", State::Stopped, 300),
            // Elsewhere: one that works, one that was closed, one of an instance that is gone.
            report("laptop", State::Working, 5),
            report("closed", State::Idle, 90_000),
            report("i-9", State::Stopped, 60),
        ];
        let lines: Vec<String> = checks(running.into(), &reports, NOW_S)
            .into_iter()
            .map(|Check { name, verdict, detail, .. }| format!("{verdict:?} {name}: {detail}"))
            .collect();
        insta::assert_snapshot!(lines.join("\n"));
    }
}
