//! The changes that bring the instances to what is declared. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Fleet, IMAGE_TAG, InstanceRequest, Launch, Observed, ProfileId, PublicAddress, Step, Wait, name};
use crate::stack::address::Address;
use crate::stack::change::{Action, Change};
use crate::stack::resources::instance::user_data::{self, Params};
use crate::stack::resources::{Tags, own_tags, tag_changes};
use crate::text::hex;

/// The changes to `count` instances of `launch`: one per number. `Err`: why none can be launched.
pub fn diff(
    stack: &str,
    count: u32,
    launch: Result<&Launch, &str>,
    fleet: &Fleet,
    asked: &InstanceRequest,
) -> Vec<Change<Step>> {
    let mut changes = Vec::new();
    for index in 1..=count {
        let address = Address::Instance(index);
        let label = name(stack, index);
        let mut candidates: Vec<&Observed> = fleet.alive.iter().filter(|instance| instance.index == index).collect();
        candidates.sort_by_key(|instance| instance.launched_s);
        let launch = match (launch, fleet.foreign.get(&index)) {
            (Err(reason), _) => {
                changes.push(Change::blocked(address, &label, reason));
                continue;
            }
            (_, Some(reason)) if candidates.is_empty() => {
                changes.push(Change::blocked(address, &label, reason));
                continue;
            }
            (Ok(launch), _) => launch,
        };
        let dead = fleet.dead.iter().filter(|(dead, _)| *dead == index).map(|(_, id)| id.clone());
        let mut known: Vec<String> = candidates.iter().map(|instance| instance.id.clone()).chain(dead).collect();
        known.sort();
        let launch_step = Step::Launch { index, launch: Box::new(launch.clone()), known };
        // Of several (a replacement that was cut short, or whose new instance did not report), the newest that is as
        // declared stays; where none is, the newest is replaced.
        let as_declared = candidates.iter().rposition(|instance| replacing(&mut probe(), launch, instance).is_empty());
        let Some(kept) = as_declared.or(candidates.len().checked_sub(1)) else {
            let mut change = create(address, &label, launch, &launch.tags_of(stack, index), launch_step);
            if asked.wait == Wait::ForAll {
                change.step(Step::AwaitReport { id: None, bucket: launch.code_bucket.clone() });
            }
            changes.push(change);
            continue;
        };
        let kept = candidates.remove(kept);
        let leftovers: Vec<String> = candidates.iter().map(|instance| instance.id.clone()).collect();
        let (change, next) = (change(&label, launch, stack, kept, asked), Next { launch_step, kept, leftovers });
        changes.push(steps(change, next, launch, asked.wait));
    }
    changes.extend(delete_all(stack, fleet.alive.iter().filter(|instance| instance.index > count)));
    changes
}

/// A scratch change, to record differences in.
fn probe() -> Change<Step> {
    Change::new(Address::Instance(0), "")
}

/// What happens to an existing instance.
struct Next<'a> {
    launch_step: Step,
    kept: &'a Observed,
    /// IDs of other instances of its number.
    leftovers: Vec<String>,
}

/// Adds the steps for other instances of the number: the replacement, and those to terminate.
fn steps(mut change: Change<Step>, next: Next<'_>, launch: &Launch, wait: Wait) -> Change<Step> {
    let Next { launch_step, kept, leftovers } = next;
    let replaced = change.action == Action::Replace;
    let bucket = launch.code_bucket.clone();
    let mut going = leftovers.clone();
    if !leftovers.is_empty() {
        change.removed("leftovers", &leftovers.join(", "));
    }
    if replaced {
        change.step(launch_step);
        if wait != Wait::Never {
            change.step(Step::AwaitReport { id: None, bucket });
        }
        going.insert(0, kept.id.clone());
    } else {
        let id = Some(kept.id.clone());
        if wait == Wait::ForAll {
            change.step(Step::AwaitReport { id, bucket });
        } else if wait == Wait::ForReplacements && !leftovers.is_empty() {
            change.removal(Step::AwaitReport { id, bucket });
        }
        if !leftovers.is_empty() {
            let older = "older instances with this number remain from an incomplete replacement";
            change.reason.get_or_insert_with(|| older.into());
            change.action = Action::Update;
        }
    }
    if !going.is_empty() {
        change.removal(Step::Terminate { ids: going });
    }
    change
}

/// How many of the declared instances have a public IPv4 address once `changes` are made.
pub fn public_addresses<S>(count: u32, launch: &Launch, fleet: &Fleet, changes: &[Change<S>]) -> u32 {
    let has = |index: u32| {
        let stays = changes.iter().any(|change| {
            change.address == Address::Instance(index) && matches!(change.action, Action::None | Action::Update)
        });
        // A stopped instance has none until it is started.
        let running = |instance: &&Observed| instance.index == index && instance.state == "running";
        let newest = fleet.alive.iter().filter(running).max_by_key(|instance| instance.launched_s);
        match newest.filter(|_| stays) {
            Some(instance) => instance.public_ip.is_some(),
            None => launch.public_ip && !matches!(launch.public_address, PublicAddress::No(_)),
        }
    };
    u32::try_from((1..=count).filter(|index| has(*index)).count()).unwrap_or(u32::MAX)
}

fn create(address: Address, label: &str, launch: &Launch, all_tags: &Tags, step: Step) -> Change<Step> {
    let Launch {
        image,
        ami,
        instance_type,
        key_pair,
        profile,
        profile_id: _,
        security_group,
        security_group_id: _,
        vpc_id: _,
        subnet,
        public_ip,
        public_address: _,
        credits,
        user_data,
        code_bucket: _,
        tags: _,
    } = launch;
    let mut change = Change::new(address, label);
    change.unknown("id", None);
    if *public_ip {
        change.unknown("public_ip", None);
    }
    change.set("image", &image.to_string());
    change.set("ami", &format!("{} ({})", ami.id, ami.name));
    change.set("type", instance_type);
    change.set("credits", credits);
    change.set("key_pair", key_pair);
    change.set("instance_profile", profile);
    change.set("security_group", security_group);
    change.set("subnet", subnet);
    set_user_data(&mut change, user_data);
    change.set("tags", all_tags);
    change.step(step);
    change.action(Action::Create)
}

/// The change of an existing instance; the steps of a replacement are added later.
fn change(label: &str, launch: &Launch, stack: &str, observed: &Observed, asked: &InstanceRequest) -> Change<Step> {
    let mut change = Change::new(Address::Instance(observed.index), label);
    let groups = observed.security_groups.join(", ");
    let (before, after) = (own_tags(&observed.tags), launch.tags_of(stack, observed.index));
    let mut reasons = replacing(&mut change, launch, observed);
    let forced = asked.replace.contains(&observed.index);
    if !reasons.is_empty() || forced {
        let cannot = if reasons.is_empty() { "" } else { ", so the instance must be replaced" };
        if forced {
            reasons.insert(0, "requested with --replace");
        }
        change.reason = Some(format!("{}{cannot}", reasons.join(", ")));
        change.unknown("id", Some(&observed.id));
        // The reason for the replacement comes first.
        change.attributes.rotate_right(1);
        // The new one has these too, though they alone would not need a new one.
        change.compare("instance_profile", &observed.profile, &launch.profile);
        change.compare("security_group", &groups, &launch.security_group);
        if launch.credits.is_some() && observed.credits.is_some() {
            change.compare("credits", &observed.credits, &launch.credits);
        }
        change.compare("tags", &before, &after);
        return change.action(Action::Replace);
    }
    let id = &observed.id;
    let state = if matches!(observed.state.as_str(), "stopping" | "stopped") { &observed.state } else { "running" };
    if change.compare("state", state, "running") {
        change.step(Step::Start { id: id.clone() });
    }
    if profile_differs(&mut change, launch, observed) {
        change.step(Step::SetProfile { id: id.clone(), profile: launch.profile.clone() });
    }
    if change.compare("security_group", &groups, &launch.security_group) {
        change.step(Step::SetSecurityGroup { id: id.clone(), security_group_id: launch.security_group_id.clone() });
    }
    let tokens = |required: bool| if required { "required" } else { "optional" };
    if change.compare("metadata_tokens", tokens(observed.tokens_required), tokens(true)) {
        change.step(Step::RequireTokens { id: id.clone() });
    }
    if let (Some(before), Some(credits)) = (observed.credits, launch.credits)
        && change.compare("credits", &before, &credits)
    {
        change.step(Step::SetCredits { id: id.clone(), credits });
    }
    if change.compare("tags", &before, &after) {
        let (set, remove) = tag_changes(&before, &after);
        change.step(Step::Tag { id: id.clone(), set, remove });
    }
    change.settle()
}

/// Records whether the instance has another profile than declared, or a deleted one of the same name.
fn profile_differs(change: &mut Change<Step>, launch: &Launch, observed: &Observed) -> bool {
    if change.compare("instance_profile", &observed.profile, &launch.profile) {
        return true;
    }
    match (&observed.profile_id, &launch.profile_id) {
        (Some(before), ProfileId::Known(after)) => change.compare("instance_profile_id", before, after),
        (Some(before), ProfileId::New) => {
            change.unknown("instance_profile_id", Some(before));
            true
        }
        (None, _) | (_, ProfileId::Unknown) => false,
    }
}

/// Records the differences that require a new instance, and returns them in words.
fn replacing(change: &mut Change<Step>, launch: &Launch, observed: &Observed) -> Vec<&'static str> {
    let mut reasons = Vec::new();
    let mut note = |differs: bool, reason: &'static str| {
        if differs && !reasons.contains(&reason) {
            reasons.push(reason);
        }
    };
    let image = observed.tags.get(IMAGE_TAG).map_or("unknown", String::as_str);
    note(change.compare("image", image, &launch.image.to_string()), "the image changed");
    note(change.compare("type", &observed.instance_type, &launch.instance_type), "the instance type changed");
    note(change.compare("key_pair", &observed.key_pair, &launch.key_pair), "the key pair changed");
    if launch.subnet.is_some() {
        note(change.compare("subnet", &observed.subnet, &launch.subnet), "the subnet changed");
    }
    if let (Some(address), false) = (&observed.public_ip, launch.public_ip) {
        note(change.compare("public_ip", address, &None::<String>), "the instance has a public address");
    }
    // A security group that moves to another VPC takes its instances along.
    note(change.compare("vpc", &observed.vpc, &launch.vpc_id), "the VPC changed");
    // An unknown value is no difference.
    if let Some(user_data) = &observed.user_data {
        for reason in compare_user_data(change, user_data, &launch.user_data) {
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
    }
    reasons
}

/// Records the differences between two texts of user data, and returns them in words.
pub fn compare_user_data<S>(change: &mut Change<S>, before: &str, after: &str) -> Vec<&'static str> {
    const OTHERWISE: &str = "this version of thumb configures instances differently";
    let wanted = user_data_fields(after).unwrap_or_default();
    let Some(found) = user_data_fields(before) else {
        // It names this stack, or the instance would not be ours; the rest is another version's.
        let differs = change.compare("user_data", &digest(before), &digest(after));
        return if differs { vec![OTHERWISE] } else { Vec::new() };
    };
    let names: BTreeSet<&str> = found.keys().chain(wanted.keys()).copied().collect();
    let mut reasons = Vec::new();
    for name in names {
        let reason = match name {
            "binary" => "the program changed",
            "worker_config" => "the worker's configuration changed",
            "endpoint" => "the endpoint changed",
            "memory_max" => "the worker's share of the memory changed",
            _ => OTHERWISE,
        };
        if change.compare(name, &found.get(name), &wanted.get(name)) && !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    reasons
}

/// Records what the user data of something new says.
pub fn set_user_data<S>(change: &mut Change<S>, text: &str) {
    for (name, value) in user_data_fields(text).unwrap_or_default() {
        change.set(name, &value);
    }
}

/// What user data says, field by field: the binary, the worker's configuration, the limits; and, as a digest, the
/// script around them. None: thumb did not write it.
fn user_data_fields(text: &str) -> Option<BTreeMap<&'static str, Value>> {
    let params = user_data::parse(text)?;
    let script = digest(&user_data::without_params(text, &params));
    let Params { stack: _, region: _, bucket: _, key, sha256: _, endpoint, config, memory_max_percent, grace_s: _ } =
        params;
    // The bucket and the grace stand in the configuration, the digest in the binary's key.
    let config = toml::from_str(&config).unwrap_or(Value::String(config));
    let mut fields = BTreeMap::from([
        ("binary", Value::from(key)),
        ("boot_script", script.into()),
        ("memory_max", format!("{memory_max_percent}%").into()),
        ("worker_config", config),
    ]);
    if let Some(endpoint) = endpoint {
        fields.insert("endpoint", endpoint.into());
    }
    Some(fields)
}

/// The first eight bytes of a text's SHA-256: enough to see that two differ.
fn digest(text: &str) -> String {
    let short = hex(&Sha256::digest(text)[..8]);
    format!("sha256:{short}…")
}

/// Terminates instances: one change per number.
pub fn delete_all<'a>(stack: &str, instances: impl IntoIterator<Item = &'a Observed>) -> Vec<Change<Step>> {
    let mut numbers: BTreeMap<u32, Vec<&Observed>> = BTreeMap::new();
    for instance in instances {
        numbers.entry(instance.index).or_default().push(instance);
    }
    let delete = |(index, instances): (u32, Vec<&Observed>)| {
        let mut change = Change::new(Address::Instance(index), &name(stack, index));
        let ids: Vec<String> = instances.iter().map(|instance| instance.id.clone()).collect();
        let types: BTreeSet<&str> = instances.iter().map(|instance| instance.instance_type.as_str()).collect();
        change.removed("id", &ids.join(", "));
        change.removed("type", &types.into_iter().collect::<Vec<_>>().join(", "));
        change.removal(Step::Terminate { ids });
        change.action(Action::Delete)
    };
    numbers.into_iter().map(delete).collect()
}
