//! The changes that bring the group to what is declared. Pure.

use std::collections::BTreeSet;

use super::{METRICS, Member, Observed, Refresh, ScalingGroup, Step, WARMUP_S};
use crate::stack::address::Address;
use crate::stack::change::{Action, Change};
use crate::stack::resources::instance::Wait;
use crate::stack::resources::launch_template::InUse;
use crate::stack::resources::{Found, tag_changes};

/// What the group's change depends on, beside the declaration.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The launch template's ID, if it exists.
    pub template: Option<&'a str>,
    /// Its version that says what is declared. None: this apply creates it.
    pub version: Option<i64>,
    /// Numbered instances that the group takes the place of.
    pub numbered: u32,
    pub wait: Wait,
}

pub fn diff(desired: &ScalingGroup, found: &Found<Observed>, context: Context<'_>) -> Change<Step> {
    let name = &desired.name;
    let reports = Some(desired.code_bucket.clone()).filter(|_| context.wait != Wait::Never);
    let mut change = match found {
        Found::Foreign(foreign) => return Change::blocked(Address::ScalingGroup, name, &foreign.reason),
        Found::Ours(observed) if !observed.deleting => update(desired, observed, context, reports.clone()),
        Found::Ours(_) => {
            let mut change = create(desired, context);
            change.reason = Some("the group of this name is being deleted; the new one waits for that".into());
            change
        }
        Found::Absent => create(desired, context),
    };
    // Numbered instances go when the group has as many in service as it wants. Of a new group that is awaited too: where
    // nothing can be launched (a quota of zero, for one), nothing else would say so.
    let name = name.clone();
    if context.numbered > 0 || context.wait == Wait::ForAll {
        change.step(Step::AwaitInService { name, reports });
    } else if change.action == Action::Create && desired.min > 0 {
        change.step(Step::AwaitInService { name, reports: None });
    }
    change
}

fn create(desired: &ScalingGroup, context: Context<'_>) -> Change<Step> {
    let ScalingGroup { name, min, max, subnets, mixed, cpus: _, code_bucket: _, tags } = desired;
    let mut change = Change::new(Address::ScalingGroup, name);
    // No gap: as many as now do the work.
    let at_first = context.numbered.clamp(*min, *max);
    change.set("min", min);
    change.set("max", max);
    change.set("desired_at_creation", &at_first);
    match context.version {
        Some(version) => change.set("template_version", &version.to_string()),
        None => change.unknown("template_version", None),
    }
    change.set("types", &mixed.types);
    change.set("purchase", mixed.purchase());
    change.set("capacity_rebalance", &mixed.spot);
    change.set("warmup", &seconds(Some(WARMUP_S)));
    change.set("metrics", &METRICS);
    change.set("subnets", subnets);
    change.set("tags", tags);
    let group = Box::new(desired.clone());
    change.step(Step::Create { group, version: context.version, desired: at_first });
    change.step(Step::EnableMetrics { name: name.clone() });
    change.action(Action::Create)
}

fn update(desired: &ScalingGroup, observed: &Observed, context: Context<'_>, reports: Option<String>) -> Change<Step> {
    let ScalingGroup { name, min, max, subnets, mixed, cpus: _, code_bucket: _, tags } = desired;
    let mut change = Change::new(Address::ScalingGroup, name);
    let mut update = change.compare("min", &observed.min, min);
    update |= change.compare("max", &observed.max, max);
    update |= change.compare("subnets", &observed.subnets, subnets);
    update |= change.compare("capacity_rebalance", &observed.rebalance, &mixed.spot);
    update |= change.compare("warmup", &seconds(observed.warmup_s), &seconds(Some(WARMUP_S)));
    let types: BTreeSet<String> = mixed.types.iter().cloned().collect();
    let mut launching = change.compare("types", &observed.launching.types, &types);
    launching |= change.compare("purchase", &*observed.launching.purchase, mixed.purchase());
    let refresh = refreshes(&mut change, desired, observed, context);
    if update || launching && !refresh {
        let version = context.version.filter(|_| launching && !refresh);
        change.step(Step::Update { group: Box::new(desired.clone()), version });
    }
    let wanted: BTreeSet<String> =
        METRICS.iter().map(|name| (*name).to_owned()).chain(observed.metrics.clone()).collect();
    if change.compare("metrics", &observed.metrics, &wanted) {
        change.step(Step::EnableMetrics { name: name.clone() });
    }
    if change.compare("tags", &observed.tags, tags) {
        let (set, remove) = tag_changes(&observed.tags, tags);
        change.step(Step::Tag { name: name.clone(), set, remove });
    }
    if refresh {
        let mixed = mixed.clone();
        change.step(Step::Refresh { name: name.clone(), mixed, version: context.version, reports });
    }
    change.settle()
}

/// Records what only an instance refresh mends, and returns whether there is something.
fn refreshes(change: &mut Change<Step>, desired: &ScalingGroup, observed: &Observed, context: Context<'_>) -> bool {
    let is_ours = |id: &str| Some(id) == context.template || id == desired.mixed.template;
    let ours = observed.launching.template.as_ref().filter(|(id, _)| is_ours(id));
    let before = match (ours, &observed.launching.template) {
        (Some((_, version)), _) => version.clone(),
        (None, Some((id, version))) => format!("{version} of {id}"),
        (None, None) => "none".to_owned(),
    };
    let Some(version) = context.version else {
        change.unknown("template_version", Some(&before));
        change.reason = Some("an instance refresh replaces its instances".into());
        return true;
    };
    let differs = change.compare("template_version", &before, &version.to_string());
    let active = observed.refresh.as_ref().filter(|refresh| refresh.is_active());
    let joined = active.filter(|refresh| refresh.leads_to(version, &desired.mixed));
    if let Some(refresh) = joined {
        change.reason =
            Some(format!("an instance refresh toward version {version} is running ({} %)", refresh.percent));
        // As long as it runs, the group keeps its version.
        return differs || change.compare("instance_refresh", &sentence(refresh), "completed");
    }
    if let Some(refresh) = active {
        change.compare("instance_refresh", &sentence(refresh), &format!("toward version {version}"));
        change.reason = Some(match &*refresh.status {
            "Cancelling" | "RollbackInProgress" => "another instance refresh has to end first".into(),
            _ => "another instance refresh is running, and is cancelled".into(),
        });
        return true;
    }
    let others =
        observed.members.iter().filter(|member| !member.is_leaving() && member.version != Some(version)).count();
    if differs {
        change.reason = Some("an instance refresh replaces its instances".into());
        return true;
    }
    // A refresh that was cancelled, or whose rollback failed, leaves some behind.
    let mixed = change.compare("instances_of_other_versions", &others, &0);
    if mixed {
        change.reason = Some("an instance refresh replaces them".into());
    }
    mixed
}

fn sentence(refresh: &Refresh) -> String {
    let toward = refresh.toward.as_ref().and_then(|toward| toward.version());
    match toward {
        Some(version) => format!("{} toward version {version}", refresh.status),
        None => refresh.status.clone(),
    }
}

fn seconds(seconds: Option<u32>) -> Option<String> {
    seconds.map(|seconds| format!("{seconds}s"))
}

pub fn delete(name: &str, observed: &Observed) -> Change<Step> {
    let mut change = Change::new(Address::ScalingGroup, name);
    let instances: Vec<&str> = observed.members.iter().map(|member| member.id.as_str()).collect();
    change.removed("min", &observed.min);
    change.removed("max", &observed.max);
    if !instances.is_empty() {
        change.removed("instances", &instances);
    }
    change.removal(Step::Delete { name: name.to_owned() });
    change.action(Action::Delete)
}

/// The versions of the launch template that are in use.
pub fn in_use(found: &Found<Observed>) -> InUse {
    let Some(observed) = found.ours() else { return InUse::default() };
    let group = observed.launching.version();
    let of_members = observed.members.iter().filter_map(|member: &Member| member.version);
    let refresh = observed.refresh.iter().filter(|refresh| refresh.is_active());
    let toward = refresh.filter_map(|refresh| refresh.toward.as_ref().and_then(|toward| toward.version()));
    InUse { group, all: group.into_iter().chain(of_members).chain(toward).collect() }
}

/// Notes about a group, each a sentence.
pub fn notes(name: &str, found: &Found<Observed>) -> Vec<String> {
    let Some(observed) = found.ours() else { return Vec::new() };
    let mut notes = Vec::new();
    if let Some(why) = &observed.failed_activity {
        notes.push(format!("The last scaling activity of the Auto Scaling group {name} failed: {why}"));
    }
    let because = |refresh: &Refresh| refresh.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
    match &observed.refresh {
        Some(refresh) if refresh.is_active() => notes.push(format!(
            "An instance refresh of {name} is under way ({}, {} %, {} to replace){}.",
            sentence(refresh),
            refresh.percent,
            refresh.left,
            because(refresh).trim_end_matches('.')
        )),
        Some(refresh) if refresh.status.starts_with("Rollback") || refresh.status == "Failed" => notes.push(format!(
            "The last instance refresh of {name} ended as {}{}.",
            sentence(refresh),
            because(refresh).trim_end_matches('.')
        )),
        _ => {}
    }
    notes
}
