//! `thumb doctor`: whether everything is there, and whether an upload makes its thumbnails. Each check is one line; the checks are a
//! plain sequence. What could not be looked at is said with its reason, and is neither well nor wrong.

mod launching;
mod probe;
pub mod workers;

use std::collections::BTreeSet;

use crate::config::{Config, Sources};
use crate::stack::change::Action;
use crate::stack::resources::binary::Binary;
use crate::stack::resources::queue::senders;
use crate::stack::resources::{Found, trigger};
use crate::stack::{LaunchOptions, Observed};
use crate::text::plural;
pub use probe::{PUBLIC, Probe, Proof, prove};

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

/// What the account says about the stack, and about what instances can be launched with. `binary`: the executable that instances run,
/// or why it cannot be read. Pure.
pub fn checks(
    config: &Config,
    observed: &Observed,
    options: &LaunchOptions,
    binary: &Result<Binary, String>,
) -> Vec<Check> {
    let location = &observed.location;
    let mut checks = vec![names(observed)];
    checks.extend(launching::checks(config, observed, options, binary));
    checks.extend([
        there("queue", &config.queue.name, &observed.queue),
        there("dead-letter queue", &config.queue.dlq, &observed.dlq),
        there("thumbnails", &config.thumbnails_bucket(&location.account), &observed.thumbnails),
        there("code", &config.code_bucket(&location.account), &observed.code),
        sources(config, options),
        there("role", &config.profile.role, &observed.role),
        there("instance profile", &config.profile.name, &observed.profile),
        there("security group", &config.security_group.name, &observed.security_group),
    ]);
    checks.push(fleet(config, observed));
    checks.extend(triggers(config, observed));
    let kms_key = observed.queue.ours().and_then(|queue| queue.kms_key.as_deref());
    // thumb does not read key policies.
    checks.extend(trigger::notes(config, kms_key).into_iter().map(|note| Check::not_checked("queue's KMS key", note)));
    if !config.buckets.kms_keys.is_empty() {
        let keys = config.buckets.kms_keys.join(", ");
        let detail = format!("whether their policies let the worker's role use them is not looked at: {keys}");
        checks.push(Check::not_checked("KMS keys", detail));
    }
    checks
}

/// Whether the stack's names are its own, or free.
fn names(observed: &Observed) -> Check {
    fn reason<T>(found: &Found<T>) -> Option<&str> {
        match found {
            Found::Foreign(foreign) => Some(&foreign.reason),
            Found::Ours(_) | Found::Absent => None,
        }
    }
    let taken = [
        reason(&observed.queue),
        reason(&observed.dlq),
        reason(&observed.thumbnails),
        reason(&observed.code),
        reason(&observed.role),
        reason(&observed.profile),
        reason(&observed.security_group),
    ];
    match taken.iter().flatten().count() {
        0 => Check::ok("names", "those of the stack's resources are its own, or free"),
        count => {
            Check::failed("names", format!("{count} of the stack's names belong to others, see below"), "change `name`")
        }
    }
}

/// The buckets of the photos.
fn sources(config: &Config, options: &LaunchOptions) -> Check {
    const NAME: &str = "source buckets";
    match (&config.buckets.sources, &options.source_warnings[..]) {
        (Sources::Any, _) => Check::not_checked(NAME, "any bucket is allowed"),
        (Sources::Buckets(buckets), _) if buckets.is_empty() => {
            Check::not_checked(NAME, "none is declared: only requests with a URL can be made")
        }
        (Sources::Buckets(buckets), []) => Check::ok(NAME, buckets.join(", ")),
        (Sources::Buckets(_), notes) => {
            Check::failed(NAME, notes.join(" "), "change `sources` in [buckets], or the bucket's policy")
        }
    }
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
        count if running < count => {
            Check::failed(NAME, format!("{running} of {count} {} run", plural(count as u64, "instance")), APPLY)
        }
        1 => Check::ok(NAME, "1 instance runs"),
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
