//! `thumb doctor`: whether everything is there, and whether an upload makes its thumbnails. Each check is one line; the checks are a
//! plain sequence.

mod probe;

use std::collections::BTreeSet;

use crate::config::Config;
use crate::stack::Observed;
use crate::stack::change::Action;
use crate::stack::resources::queue::senders;
use crate::stack::resources::{Found, trigger};
pub use probe::{Probe, Proof, prove};

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// "queue", "trigger my-uploads".
    pub name: String,
    pub verdict: Verdict,
    /// What was seen.
    pub detail: String,
    /// What to do, where something is wrong.
    pub hint: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Ok,
    Failed,
    /// It could not be looked at, or need not be.
    NotChecked,
}

impl Check {
    pub fn ok(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { name: name.into(), verdict: Verdict::Ok, detail: detail.into(), hint: None }
    }

    pub fn failed(name: impl Into<String>, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { name: name.into(), verdict: Verdict::Failed, detail: detail.into(), hint: Some(hint.into()) }
    }

    pub fn not_checked(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { name: name.into(), verdict: Verdict::NotChecked, detail: detail.into(), hint: None }
    }
}

/// The command that mends what a stack lacks.
const APPLY: &str = "run `thumb apply`";

/// What the account says about the stack. Pure.
pub fn checks(config: &Config, observed: &Observed) -> Vec<Check> {
    let location = &observed.location;
    let account = format!("{} in {}", location.account, location.region);
    let mut checks = vec![
        Check::ok("account", account),
        there("queue", &config.queue.name, &observed.queue),
        there("dead-letter queue", &config.queue.dlq, &observed.dlq),
        there("thumbnails", &config.thumbnails_bucket(&location.account), &observed.thumbnails),
        there("code", &config.code_bucket(&location.account), &observed.code),
        there("role", &config.profile.role, &observed.role),
        there("instance profile", &config.profile.name, &observed.profile),
    ];
    checks.push(fleet(config, observed));
    checks.extend(triggers(config, observed));
    checks
}

fn there<T>(what: &str, name: &str, found: &Found<T>) -> Check {
    match found {
        Found::Ours(_) => Check::ok(what, name),
        Found::Absent => Check::failed(what, format!("{name} does not exist"), APPLY),
        Found::Foreign(foreign) => Check::failed(what, &*foreign.reason, "choose another name in thumb.toml"),
    }
}

/// The instances: whether there is something to do the work.
fn fleet(config: &Config, observed: &Observed) -> Check {
    const NAME: &str = "fleet";
    if config.scaling.is_some() {
        return match &observed.scaling_group {
            Found::Ours(group) => match &group.failed_activity {
                Some(why) => Check::failed(NAME, format!("the group's last launch failed: {why}"), APPLY),
                None => Check::ok(NAME, format!("a group of {}, at most {}", group.desired, group.max)),
            },
            other => there(NAME, "the Auto Scaling group", other),
        };
    }
    let running = observed.fleet.alive.iter().filter(|instance| instance.state == "running").count();
    match config.instance.count as usize {
        0 => Check::not_checked(NAME, "no instance is declared: `thumb work` runs elsewhere"),
        count if running < count => Check::failed(NAME, format!("{running} of {count} instances run"), APPLY),
        count => Check::ok(NAME, format!("{count} instances run")),
    }
}

/// The way of an event, from the bucket to the queue.
fn triggers(config: &Config, observed: &Observed) -> Vec<Check> {
    let queue = observed.queue.ours();
    let policy = queue.and_then(|queue| queue.policy.as_ref());
    let kms_key = queue.and_then(|queue| queue.kms_key.as_deref());
    let declared = trigger::declared(config, &observed.location, &BTreeSet::new());
    let mut checks = Vec::new();
    for (index, trigger) in (1..).zip(&declared) {
        let name = format!("trigger {}", trigger.bucket);
        let found = observed.triggers.get(&trigger.bucket).unwrap_or(&trigger::Bucket::Gone);
        let change = trigger::diff(index, &config.name, trigger, found, kms_key);
        let sender = senders::statement(&observed.location, &config.queue.name, &trigger.bucket);
        let may_send = senders::same(policy, senders::with_leaving(policy, &[sender]).as_ref());
        checks.push(match (change.action, may_send) {
            (Action::Blocked, _) => {
                Check::failed(name, change.reason.unwrap_or_default(), "see [[trigger]] in thumb.toml")
            }
            (Action::None, true) => Check::ok(name, "its rules are there, and the queue lets S3 in"),
            (Action::None, false) => Check::failed(name, "the queue's policy does not let S3 send its events", APPLY),
            _ => Check::failed(name, "the bucket's notifications are not as declared", APPLY),
        });
    }
    checks
}
