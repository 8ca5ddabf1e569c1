//! Compares what is declared with what is observed, and returns the plan. Pure: equal inputs give equal plans.

mod monitoring;

use std::collections::BTreeSet;

use super::change;
use super::contents::Contents;
use super::describe;
use super::desired::{self, Desired};
use super::notes;
use super::observe::Observed;
use super::operation::{Change, Operation, Plan};
use super::remedy;
use super::target::Selection;
use crate::config::{Access, Config, Scaling};
use crate::stack::address::Address;
use crate::stack::change::{Action, Attribute, Purpose};
use crate::stack::cost::{self, BilledFleet, BilledResources, Estimate, FleetEstimate};
use crate::stack::resources::instance::{InstanceRequest, Wait};
use crate::stack::resources::{
    Found, STACK_TAG, alarm, binary, bucket, instance, instance_profile, is_adopted, launch_template, queue, role,
    s3_endpoint, scaling_group, scaling_policy, security_group, trigger,
};

/// The volume of an instance where its image is not known: that of the images that thumb.toml names.
const DEFAULT_VOLUME_GIB: u32 = 8;

/// What `apply` would do.
pub fn plan_apply(config: &Config, desired: &Desired, observed: &Observed, selection: &Selection) -> Plan {
    let Desired {
        stack,
        dlq,
        queue,
        thumbnails,
        code,
        binary,
        role,
        profile,
        security_group,
        s3_endpoint,
        log_group: _,
        topic: _,
        alerts: _,
        dashboard: _,
        count,
        launch,
        fleet,
        asked,
        // In `notes::warnings`.
        warnings: _,
        notes: about_declared,
    } = desired;
    let mut changes = vec![
        queue::diff(Address::Dlq, dlq, &observed.dlq).lift(),
        queue::diff(Address::Queue, queue, &observed.queue).lift(),
        bucket::diff(Address::ThumbnailsBucket, thumbnails, &observed.thumbnails).lift(),
        bucket::diff(Address::CodeBucket, code, &observed.code).lift(),
        match binary {
            Ok(binary) => binary::diff(binary, &code.name, &observed.code, &observed.binaries).lift(),
            // No instance runs it, so a computer that cannot build for the instances can still apply the rest.
            Err(_) if *count == 0 && fleet.is_none() => Change::new(Address::Binary, "thumb"),
            Err(reason) => Change::blocked(Address::Binary, "thumb", reason),
        },
        role::diff(role, &observed.role).lift(),
        instance_profile::diff(profile, &observed.profile).lift(),
        match security_group {
            Ok(group) => security_group::diff(group, &observed.security_group).lift(),
            Err(reason) => Change::blocked(Address::SecurityGroup, &config.security_group.name, reason),
        },
    ];
    changes.extend(s3_endpoint::diff(s3_endpoint.as_ref(), &observed.network).map(change::Change::lift));
    changes.extend(monitoring::changes(config, desired, observed));
    changes.extend(scaling(stack, fleet.as_ref(), observed, asked.wait));
    // A group goes when the numbered instances that take its place work.
    let group_goes = fleet.is_none() && observed.scaling_group.ours().is_some();
    let wait = if group_goes && asked.wait != Wait::Never { Wait::ForAll } else { asked.wait };
    let asked = &InstanceRequest { wait, ..asked.clone() };
    let instances = instance::diff(stack, *count, launch.as_ref().map_err(String::as_str), &observed.fleet, asked);
    changes.extend(instances.into_iter().map(change::Change::lift));
    changes.extend(trigger_changes(config, observed, false));
    changes.sort_by_key(|change| change.address);
    for change in changes.iter_mut().filter(|change| is_adoption(change)) {
        change.reason = Some("adopted (not managed by any stack before)".into());
    }
    block_former_buckets(&mut changes, observed);
    describe::created(config, desired, &mut changes);
    remedy::add(observed, &mut changes);
    let (changes, only) = select(changes, selection, false);
    let mut notes = notes::of_apply(config, desired, observed, &changes);
    notes.extend(about_declared.iter().cloned());
    let warnings = notes::warnings(config, desired, observed, &changes);
    let usd_a_month_before = has_instances(&changes).then(|| running_cost(config, observed, desired)).flatten();
    let instances = changes.iter().any(|change| matches!(change.address, Address::Instance(_)));
    let estimate = launch.as_ref().ok().filter(|_| instances && *count > 0).map(|launch| {
        Estimate::new(&BilledResources {
            instances: *count,
            instance_type: &launch.instance_type,
            volume_gib: launch.ami.root_gib.unsigned_abs(),
            public_addresses: instance::public_addresses(*count, launch, &observed.fleet, &changes),
            credits: launch.credits,
        })
    });
    let mut plan = Plan::new(Purpose::Apply, stack, &observed.location.account, &observed.location.region, changes);
    let scaled = plan.changes.iter().any(|change| change.address == Address::ScalingGroup);
    plan.fleet_estimate = match (fleet, &config.scaling) {
        (Some(Ok(fleet)), Some(scaling)) if scaled => {
            FleetEstimate::new(&billed_fleet(fleet, scaling, fleet.group.min))
        }
        _ => None,
    };
    Plan { warnings, notes, estimate, usd_a_month_before, only, ..plan }
}

/// What a group is billed for. `min`: of the group as declared, or as it is.
fn billed_fleet<'a>(fleet: &'a desired::Fleet, scaling: &Scaling, min: u32) -> BilledFleet<'a> {
    let desired::Fleet { template, group, policies: _, alarms } = fleet;
    let metrics: usize = alarms.iter().map(|alarm| alarm.formula.metrics.len()).sum();
    BilledFleet {
        types: &group.mixed.types,
        cpus: group.cpus,
        min,
        max: group.max,
        acceptable_latency_s: scaling.acceptable_latency_s,
        // Auto Scaling's own alarm for the backlog has two.
        alarm_metrics: u32::try_from(metrics + 2).unwrap_or(u32::MAX),
        volume_gib: template.launch.ami.root_gib.unsigned_abs(),
        public_ip: template.launch.public_ip,
    }
}

fn lifted<S>(changes: Vec<change::Change<S>>) -> impl Iterator<Item = Change>
where
    Operation: From<S>,
{
    changes.into_iter().map(change::Change::lift)
}

/// The launch template, the group, its policies and their alarms; without `[scaling]` they go, if they are ours.
fn scaling(
    stack: &str,
    fleet: Option<&Result<desired::Fleet, String>>,
    observed: &Observed,
    wait: Wait,
) -> Vec<Change> {
    let (template, group) = (&observed.launch_template, &observed.scaling_group);
    match fleet {
        None => {
            let group = group.ours().map(|found| scaling_group::delete(&scaling_group::name(stack), found).lift());
            let template =
                template.ours().map(|found| launch_template::delete(&launch_template::name(stack), found).lift());
            let policies = scaling_policy::leftovers(stack, &[], &observed.scaling_policies);
            let alarms = alarm::leftovers(stack, &[], &observed.alarms, alarm::executes);
            template.into_iter().chain(group).chain(lifted(policies)).chain(lifted(alarms)).collect()
        }
        Some(Err(reason)) => vec![
            Change::blocked(Address::LaunchTemplate, &launch_template::name(stack), reason),
            Change::blocked(Address::ScalingGroup, &scaling_group::name(stack), reason),
        ],
        Some(Ok(desired::Fleet { template: wanted, group: wanted_group, policies, alarms })) => {
            let in_use = scaling_group::in_use(group);
            let context = scaling_group::Context {
                template: template.ours().map(|found| found.id.as_str()),
                version: template.ours().and_then(|found| launch_template::matching(wanted, found, &in_use)),
                numbered: u32::try_from(observed.fleet.alive.len()).unwrap_or(u32::MAX),
                wait,
            };
            let mut changes: Vec<Change> = vec![
                launch_template::diff(wanted, template, &in_use).lift(),
                scaling_group::diff(wanted_group, group, context).lift(),
            ];
            let there = &observed.scaling_policies;
            changes.extend(policies.iter().map(|policy| scaling_policy::diff(policy, there).lift()));
            changes.extend(lifted(scaling_policy::leftovers(stack, policies, there)));
            changes.extend(alarms.iter().map(|alarm| {
                let arn = there.get(&alarm.name).map(|policy| policy.arn.as_str());
                alarm::diff(alarm, observed.alarms.get(&alarm.does.address()), arn).lift()
            }));
            changes.extend(lifted(alarm::leftovers(stack, alarms, &observed.alarms, alarm::executes)));
            changes
        }
    }
}

/// What `destroy` would do. Adopted resources are released; foreign ones are shown as blocked.
pub fn plan_destroy(config: &Config, observed: &Observed, contents: &Contents, selection: &Selection) -> Plan {
    let Contents { thumbnails: thumbnails_held, code: code_held, reports } = contents;
    let (thumbnails_held, code_held) = (*thumbnails_held, *code_held);
    let configured = &config.tags;
    let mut changes = Vec::new();
    let queues =
        [(Address::Dlq, &config.queue.dlq, &observed.dlq), (Address::Queue, &config.queue.name, &observed.queue)];
    // A queue that stays must not keep a redrive policy to a deleted dead-letter queue.
    let dlq_goes = observed.dlq.ours().is_some_and(|dlq| !is_adopted(&dlq.tags));
    for (address, name, found) in queues {
        changes.extend(planned_removal(address, name, found, |observed| match is_adopted(&observed.tags) {
            true => queue::release(address, name, observed, configured, dlq_goes.then_some(&*config.queue.dlq)),
            false => queue::delete(address, name, observed),
        }));
    }
    let account = &observed.location.account;
    let (thumbnails, code) = (config.thumbnails_bucket(account), config.code_bucket(account));
    let buckets = [
        (Address::ThumbnailsBucket, &thumbnails, &observed.thumbnails, thumbnails_held),
        (Address::CodeBucket, &code, &observed.code, code_held),
    ];
    for (address, name, found, objects) in buckets {
        changes.extend(planned_removal(address, name, found, |observed| match is_adopted(&observed.tags) {
            true => bucket::release(address, name, observed, configured),
            false => bucket::delete(address, name, objects),
        }));
    }
    if observed.code.ours().is_some() {
        changes.extend(binary::delete(&code, &observed.binaries, reports).map(change::Change::lift));
    }
    let role = &config.profile.role;
    let role_goes = observed.role.ours().is_some_and(|role| !is_adopted(&role.tags));
    changes.extend(planned_removal(Address::Role, role, &observed.role, |observed| match is_adopted(&observed.tags) {
        true => role::release(role, observed, configured),
        false => role::delete(role, observed),
    }));
    let profile = &config.profile.name;
    changes.extend(planned_removal(Address::InstanceProfile, profile, &observed.profile, |observed| match is_adopted(
        &observed.tags,
    ) {
        true => instance_profile::release(profile, observed, configured, role_goes.then_some(&**role)),
        false => instance_profile::delete(profile, observed),
    }));
    let group = &config.security_group.name;
    changes.extend(planned_removal(
        Address::SecurityGroup,
        group,
        &observed.security_group,
        |observed| match is_adopted(&observed.tags) {
            true => security_group::release(group, observed, configured),
            false => security_group::delete(group, observed),
        },
    ));
    changes.extend(trigger_changes(config, observed, true));
    changes.extend(observed.network.ours.as_ref().map(|ours| s3_endpoint::delete(ours).lift()));
    changes.extend(monitoring::removals(config, observed, true));
    let template = launch_template::name(&config.name);
    changes.extend(planned_removal(Address::LaunchTemplate, &template, &observed.launch_template, |observed| {
        launch_template::delete(&template, observed)
    }));
    let scaling_group = scaling_group::name(&config.name);
    changes.extend(planned_removal(Address::ScalingGroup, &scaling_group, &observed.scaling_group, |observed| {
        scaling_group::delete(&scaling_group, observed)
    }));
    changes.extend(lifted(scaling_policy::leftovers(&config.name, &[], &observed.scaling_policies)));
    changes.extend(lifted(alarm::leftovers(&config.name, &[], &observed.alarms, |_| true)));
    changes.extend(instance::delete_all(&config.name, &observed.fleet.alive).into_iter().map(change::Change::lift));
    let ours: BTreeSet<u32> = observed.fleet.alive.iter().map(|instance| instance.index).collect();
    for (index, reason) in observed.fleet.foreign.iter().filter(|(index, _)| !ours.contains(index)) {
        changes.push(Change::blocked(Address::Instance(*index), &instance::name(&config.name, *index), reason));
    }
    changes.extend(observed.former_buckets.iter().map(|(address, _)| Change::new(*address, "")));
    block_former_buckets(&mut changes, observed);
    changes.sort_by_key(|change| change.address);
    describe::deleted(observed, contents, &mut changes);
    let (changes, only) = select(changes, selection, true);
    let mut notes = Vec::new();
    let public = config.buckets.access != Access::Private;
    if public && goes(&changes, Address::ThumbnailsBucket) {
        notes.push(format!(
            "Bucket names are shared by all AWS accounts: once {thumbnails} is deleted, anyone can create a bucket of that \
             name, and existing links to thumbnails then lead there."
        ));
    }
    notes.extend(notes::of_instances(observed, &changes));
    let plan =
        Plan::new(Purpose::Destroy, &config.name, &observed.location.account, &observed.location.region, changes);
    let usd_a_month_before = numbered_cost(observed, DEFAULT_VOLUME_GIB).filter(|_| has_instances(&plan.changes));
    Plan { notes, usd_a_month_before, only, ..plan }
}

fn has_instances(changes: &[Change]) -> bool {
    changes.iter().any(|change| matches!(change.address, Address::Instance(_) | Address::ScalingGroup))
}

/// What the instances that exist cost, in dollars a month; `None` if a price is not known.
fn running_cost(config: &Config, observed: &Observed, desired: &Desired) -> Option<f64> {
    let launch = desired.launch.as_ref().ok();
    let volume_gib = launch.map_or(DEFAULT_VOLUME_GIB, |launch| launch.ami.root_gib.unsigned_abs());
    let numbered = numbered_cost(observed, volume_gib)?;
    let group = match (observed.scaling_group.ours(), &desired.fleet, &config.scaling) {
        (None, ..) => 0.0,
        (Some(group), Some(Ok(fleet)), Some(scaling)) => {
            FleetEstimate::new(&billed_fleet(fleet, scaling, group.min))?.idle_usd_a_month
        }
        // What it launches is not known.
        (Some(_), ..) => return None,
    };
    Some(numbered + group)
}

/// What the numbered instances cost, with volumes of this size: EC2 lists an instance without the size of its volume.
fn numbered_cost(observed: &Observed, volume_gib: u32) -> Option<f64> {
    let costs = observed.fleet.alive.iter().map(|instance| {
        let runs = !matches!(instance.state.as_str(), "stopping" | "stopped");
        Estimate::new(&BilledResources {
            instances: 1,
            instance_type: &instance.instance_type,
            volume_gib,
            public_addresses: u32::from(instance.public_ip.is_some()),
            credits: None,
        })
        .usd_a_month
        .map(|usd| if runs { usd } else { cost::volumes(1, volume_gib) })
    });
    costs.sum()
}

/// The changes of the triggers; `destroy`: all of their rules go.
fn trigger_changes(config: &Config, observed: &Observed, destroy: bool) -> Vec<Change> {
    let mut triggers = trigger::declared(config, &observed.location, &observed.triggered());
    if destroy {
        triggers.iter_mut().for_each(|trigger| trigger.rules.clear());
    }
    let kms_key = observed.queue.ours().and_then(|queue| queue.kms_key.as_deref());
    let changes = (1..).zip(&triggers).map(|(index, desired)| {
        let found = observed.triggers.get(&desired.bucket).unwrap_or(&trigger::Bucket::Gone);
        trigger::diff(index, &config.name, desired, found, kms_key).lift()
    });
    // A plan to destroy lists what goes and what stands in the way.
    changes.filter(|change: &Change| !destroy || change.action != Action::None).collect()
}

/// A bucket of the plan that is in another region: its name and region. Then the command probably uses the wrong region,
/// and nothing may be destroyed.
pub fn misplaced_bucket(config: &Config, observed: &Observed, plan: &Plan) -> Option<(String, String)> {
    let account = &observed.location.account;
    let buckets = [
        (Address::ThumbnailsBucket, config.thumbnails_bucket(account), &observed.thumbnails),
        (Address::CodeBucket, config.code_bucket(account), &observed.code),
    ];
    buckets.into_iter().find_map(|(address, name, found)| match found {
        Found::Foreign(foreign) if plan.changes.iter().any(|change| change.address == address) => {
            Some((name, foreign.elsewhere.clone()?))
        }
        _ => None,
    })
}

fn goes(changes: &[Change], address: Address) -> bool {
    changes.iter().any(|change| change.address == address && change.action == Action::Delete)
}

fn planned_removal<T, S>(
    address: Address,
    name: &str,
    found: &Found<T>,
    delete: impl FnOnce(&T) -> change::Change<S>,
) -> Option<Change>
where
    Operation: From<S>,
{
    match found {
        Found::Absent => None,
        Found::Foreign(foreign) => Some(Change::blocked(address, name, &foreign.reason)),
        Found::Ours(observed) => Some(delete(observed).lift()),
    }
}

/// Blocks buckets that still have a former default name: otherwise a second bucket would be created and the first one
/// forgotten.
fn block_former_buckets(changes: &mut [Change], observed: &Observed) {
    for (address, name) in &observed.former_buckets {
        let key = if *address == Address::CodeBucket { "code" } else { "thumbnails" };
        let reason = format!(
            "the stack's bucket is {name}, but default bucket names now end with the account ID: set {key} = \"{name}\" in \
             [buckets] of thumb.toml to keep it"
        );
        for change in changes.iter_mut().filter(|change| change.address == *address) {
            *change = Change::blocked(*address, name, &reason);
        }
    }
}

/// Whether a change adds the stack tag to an existing resource.
fn is_adoption(change: &Change) -> bool {
    change.attributes.iter().any(|Attribute { name, before, after, after_unknown: _ }| {
        name == "tags" && before.is_object() && before.get(STACK_TAG).is_none() && after.get(STACK_TAG).is_some()
    })
}

/// The selected changes, and their addresses where they are not all.
fn select(changes: Vec<Change>, selection: &Selection, destroy: bool) -> (Vec<Change>, Vec<Address>) {
    if selection.is_all() {
        return (changes, Vec::new());
    }
    let all: BTreeSet<Address> = changes.iter().map(|change| change.address).collect();
    let selected = selection.select(&all, destroy);
    let changes = changes.into_iter().filter(|change| selected.contains(&change.address)).collect();
    (changes, selected.into_iter().collect())
}
