//! From what is declared and what is there to a plan. Pure: the same two values always give the same plan.

use std::collections::BTreeSet;

use super::desired::Desired;
use super::read::Observed;
use super::target::Target;
use crate::config::Config;
use crate::plan::cost::Estimate;
use crate::plan::{Action, Address, Attribute, Change, Plan, Purpose};
use crate::resource::{Found, STACK_TAG, binary, bucket, instance, instance_profile, queue, role, security_group};

/// Objects in the two buckets, for a destroy: how many, and whether it is "or more". `None`: not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    pub thumbnails: Option<(u64, bool)>,
    pub code: Option<(u64, bool)>,
}

/// What `apply` would do.
pub fn plan_apply(config: &Config, desired: &Desired, observed: &Observed, targets: &[Target]) -> Plan {
    let Desired { stack, dlq, queue, thumbnails, code, binary, role, profile, security_group, count, launch } = desired;
    let mut changes = vec![
        queue::diff(Address::Dlq, dlq, &observed.dlq),
        queue::diff(Address::Queue, queue, &observed.queue),
        bucket::diff(Address::ThumbnailsBucket, thumbnails, &observed.thumbnails),
        bucket::diff(Address::CodeBucket, code, &observed.code),
        match binary {
            Ok(binary) => binary::diff(binary, &code.name, &observed.code, &observed.binaries),
            // Nobody runs it: a laptop that cannot make a binary for instances makes everything else.
            Err(_) if *count == 0 => Change::new(Address::Binary, "thumb"),
            Err(reason) => Change::blocked(Address::Binary, "thumb", reason),
        },
        role::diff(role, &observed.role),
        instance_profile::diff(profile, &observed.profile),
        match security_group {
            Ok(group) => security_group::diff(group, &observed.security_group),
            Err(reason) => Change::blocked(Address::SecurityGroup, &config.security_group.name, reason),
        },
    ];
    changes.extend(instance::diff(stack, *count, launch.as_ref().map_err(String::as_str), &observed.fleet));
    for change in changes.iter_mut().filter(|change| is_adoption(change)) {
        change.reason = Some("adopted: it carried no stack's tag so far".into());
    }
    block_former_buckets(&mut changes, observed);
    let changes = select(changes, targets, false);
    let notes = notes(config, observed, &changes);
    let instances = changes.iter().any(|change| matches!(change.address, Address::Instance(_)));
    let estimate = launch
        .as_ref()
        .ok()
        .filter(|_| instances && *count > 0)
        .map(|launch| Estimate::new(*count, &launch.instance_type, launch.ami.root_gib.unsigned_abs()));
    let plan = Plan::new(Purpose::Apply, stack, &observed.site.account, &observed.site.region, changes);
    Plan { notes, estimate, ..plan }
}

/// What `destroy` would do. What is not ours is shown, and left alone.
pub fn plan_destroy(config: &Config, observed: &Observed, contents: Contents, targets: &[Target]) -> Plan {
    let mut changes = Vec::new();
    let queues =
        [(Address::Dlq, &config.queue.dlq, &observed.dlq), (Address::Queue, &config.queue.name, &observed.queue)];
    for (address, name, found) in queues {
        changes.extend(going(address, name, found, |observed| queue::delete(address, name, observed)));
    }
    let account = &observed.site.account;
    let (thumbnails, code) = (config.thumbnails_bucket(account), config.code_bucket(account));
    let buckets = [
        (Address::ThumbnailsBucket, &thumbnails, &observed.thumbnails, contents.thumbnails),
        (Address::CodeBucket, &code, &observed.code, contents.code),
    ];
    for (address, name, found, objects) in buckets {
        changes.extend(going(address, name, found, |_| bucket::delete(address, name, objects)));
    }
    if observed.code.ours().is_some() {
        changes.extend(binary::delete(&code, &observed.binaries));
    }
    let role = &config.profile.role;
    changes.extend(going(Address::Role, role, &observed.role, |observed| role::delete(role, observed)));
    let profile = &config.profile.name;
    changes.extend(going(Address::InstanceProfile, profile, &observed.profile, |observed| {
        instance_profile::delete(profile, observed)
    }));
    let group = &config.security_group.name;
    changes.extend(going(Address::SecurityGroup, group, &observed.security_group, |observed| {
        security_group::delete(group, observed)
    }));
    for instance in &observed.fleet.alive {
        changes.push(instance::delete(instance, &instance::name(&config.name, instance.index), None));
    }
    for (index, reason) in &observed.fleet.foreign {
        changes.push(Change::blocked(Address::Instance(*index), &instance::name(&config.name, *index), reason));
    }
    changes.extend(observed.former_buckets.iter().map(|(address, _)| Change::new(*address, "")));
    block_former_buckets(&mut changes, observed);
    changes.sort_by_key(|change| change.address);
    let changes = select(changes, targets, true);
    Plan::new(Purpose::Destroy, &config.name, &observed.site.account, &observed.site.region, changes)
}

fn going<T>(address: Address, name: &str, found: &Found<T>, delete: impl FnOnce(&T) -> Change) -> Option<Change> {
    match found {
        Found::Absent => None,
        Found::Foreign(foreign) => Some(Change::blocked(address, name, &foreign.reason)),
        Found::Ours(observed) => Some(delete(observed)),
    }
}

/// A bucket of ours under a name that it had by default once: neither a second one is made beside it, nor is it left
/// behind without a word.
fn block_former_buckets(changes: &mut [Change], observed: &Observed) {
    for (address, name) in &observed.former_buckets {
        let key = if *address == Address::CodeBucket { "code" } else { "thumbnails" };
        let reason = format!(
            "the stack's bucket is {name}, and the name of a bucket that thumb.toml does not name ends with the \
             account's number now: set {key} = \"{name}\" in [buckets] of thumb.toml to keep it"
        );
        for change in changes.iter_mut().filter(|change| change.address == *address) {
            *change = Change::blocked(*address, name, &reason);
        }
    }
}

/// Whether a change puts our tag on something that is there.
fn is_adoption(change: &Change) -> bool {
    change.attributes.iter().any(|Attribute { name, before, after, after_unknown: _ }| {
        name == "tags" && before.is_object() && before.get(STACK_TAG).is_none() && after.get(STACK_TAG).is_some()
    })
}

fn select(changes: Vec<Change>, targets: &[Target], destroy: bool) -> Vec<Change> {
    let all: BTreeSet<Address> = changes.iter().map(|change| change.address).collect();
    let selected = Target::select(targets, &all, destroy);
    changes.into_iter().filter(|change| selected.contains(&change.address)).collect()
}

fn notes(config: &Config, observed: &Observed, changes: &[Change]) -> Vec<String> {
    let mut notes = Vec::new();
    let new = changes.iter().all(|change| matches!(change.action, Action::Create | Action::Blocked));
    if new && !observed.other_stacks.is_empty() {
        let others: Vec<&str> = observed.other_stacks.iter().map(String::as_str).collect();
        notes.push(format!(
            "The stack {name} is new, and this account and region already have the {stacks} {others}. If `name` was \
             changed in thumb.toml, the stack of the old name stays (and costs) until it is destroyed under that name.",
            name = config.name,
            stacks = if others.len() == 1 { "stack" } else { "stacks" },
            others = others.join(", "),
        ));
    }
    let instances = changes.iter().any(|change| {
        matches!(change.address, Address::Instance(_)) && matches!(change.action, Action::Create | Action::Replace)
    });
    if instances && config.instance.key_pair.is_none() {
        notes.push("No key_pair is set in [instance]: nobody can log in to the instances over SSH.".into());
    } else if instances && config.security_group.ssh_from.is_empty() {
        notes.push(
            "ssh_from in [security_group] is empty: the instances have a key pair, but port 22 is closed.".into(),
        );
    }
    notes
}
