//! The instances that run the worker (EC2). Anything that can change in place does; the rest replaces the instance:
//! a new one up, then the old one down. Nothing is lost in between, because the queue keeps what nobody works on.

mod read;
mod run;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Tags, own_tags, tag_changes};
use crate::ami::Image;
use crate::plan::{Action, Address, Change};
use crate::user_data::{self, Params};

pub use read::{Ami, read, read_ami, read_arch, read_key_pair, read_vpc};
pub use run::run;

/// The tag that says which of the stack's instances one is, counted from 1.
pub const INDEX_TAG: &str = "thumb:instance";
/// The tag that keeps thumb.toml's name of the image: the AMI behind it changes every few weeks, which must not by
/// itself replace a running instance.
pub const IMAGE_TAG: &str = "thumb:image";

/// What every instance of the stack is launched as.
#[derive(Clone, Debug, PartialEq)]
pub struct Launch {
    pub image: Image,
    pub ami: Ami,
    pub instance_type: String,
    pub key_pair: Option<String>,
    pub profile: String,
    pub security_group: String,
    /// Known when the group exists and stays; else an earlier step of the same apply learns it.
    pub security_group_id: Option<String>,
    pub vpc_id: String,
    /// None: EC2 chooses one of the VPC's, which is the default one then.
    pub subnet: Option<String>,
    pub user_data: String,
    pub tags: Tags,
}

/// An instance of the stack that is not terminated.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    pub id: String,
    pub index: u32,
    /// "pending", "running", "stopping", "stopped".
    pub state: String,
    pub launched_s: i64,
    pub instance_type: String,
    pub key_pair: Option<String>,
    /// The instance profile's name.
    pub profile: Option<String>,
    pub security_groups: Vec<String>,
    pub subnet: Option<String>,
    pub vpc: Option<String>,
    /// IMDSv2 only?
    pub tokens_required: bool,
    pub user_data: String,
    pub public_ip: Option<String>,
    pub tags: Tags,
}

/// All that EC2 lists of the stack.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fleet {
    pub alive: Vec<Observed>,
    /// Terminated instances, listed for about an hour: index and ID.
    pub dead: Vec<(u32, String)>,
    /// Instances with a name of ours but without our tag: index and reason.
    pub foreign: BTreeMap<u32, String>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Launch {
        index: u32,
        launch: Box<Launch>,
        /// IDs of every instance known at this index: they make the client token new for each generation, and the
        /// same for two applies at once.
        known: Vec<String>,
    },
    Start {
        id: String,
    },
    SetProfile {
        id: String,
        profile: String,
    },
    SetSecurityGroup {
        id: String,
        security_group_id: Option<String>,
    },
    RequireTokens {
        id: String,
    },
    Tag {
        id: String,
        set: Tags,
        remove: Vec<String>,
    },
    Terminate {
        ids: Vec<String>,
    },
}

/// The instance's name in the EC2 console.
pub fn name(stack: &str, index: u32) -> String {
    format!("{stack}-worker-{index}")
}

impl Launch {
    /// The tags of one instance.
    fn tags_of(&self, stack: &str, index: u32) -> Tags {
        let mut tags = self.tags.clone();
        tags.insert("Name".into(), name(stack, index));
        tags.insert(INDEX_TAG.into(), index.to_string());
        tags.insert(IMAGE_TAG.into(), self.image.to_string());
        tags
    }
}

/// The changes from what there is to `count` instances of `launch`. `Err`: why none can be launched.
pub fn diff(stack: &str, count: u32, launch: Result<&Launch, &str>, fleet: &Fleet) -> Vec<Change> {
    let mut changes = Vec::new();
    for index in 1..=count {
        let address = Address::Instance(index);
        let label = name(stack, index);
        let mut candidates: Vec<&Observed> = fleet.alive.iter().filter(|instance| instance.index == index).collect();
        // The newest last: of several (a replacement that was cut short), the newest is the one that stays.
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
        let launch_step = || Step::Launch { index, launch: Box::new(launch.clone()), known: known.clone() };
        let Some(newest) = candidates.pop() else {
            changes.push(create(address, &label, launch, &launch.tags_of(stack, index), launch_step()));
            continue;
        };
        changes.push(change(address, &label, launch, stack, newest, launch_step));
        for leftover in candidates {
            let why = "a newer one of the same number runs already";
            changes.push(delete(leftover, &label, Some(why)));
        }
    }
    for surplus in fleet.alive.iter().filter(|instance| instance.index > count) {
        changes.push(delete(surplus, &name(stack, surplus.index), None));
    }
    changes
}

fn create(address: Address, label: &str, launch: &Launch, all_tags: &Tags, step: Step) -> Change {
    let Launch {
        image,
        ami,
        instance_type,
        key_pair,
        profile,
        security_group,
        security_group_id: _,
        vpc_id: _,
        subnet,
        user_data,
        tags: _,
    } = launch;
    let mut change = Change::new(address, label);
    change.unknown("id", None);
    change.unknown("public_ip", None);
    change.set("image", &image.to_string());
    change.set("ami", &format!("{} ({})", ami.id, ami.name));
    change.set("type", instance_type);
    change.set("key_pair", key_pair);
    change.set("instance_profile", profile);
    change.set("security_group", security_group);
    change.set("subnet", subnet);
    for (name, value) in user_data_fields(user_data).unwrap_or_default() {
        change.set(name, &value);
    }
    change.set("tags", all_tags);
    change.up(step);
    change.action(Action::Create)
}

/// What happens to an instance that is there.
fn change(
    address: Address,
    label: &str,
    launch: &Launch,
    stack: &str,
    observed: &Observed,
    launch_step: impl Fn() -> Step,
) -> Change {
    let mut change = Change::new(address, label);
    let groups = observed.security_groups.join(", ");
    let (before, after) = (own_tags(&observed.tags), launch.tags_of(stack, observed.index));
    let reasons = replacing(&mut change, launch, observed);
    if !reasons.is_empty() {
        change.reason = Some(format!("{}; a running instance cannot change that", reasons.join(", ")));
        change.unknown("id", Some(&observed.id));
        // What is replaced stands before what differs.
        change.attributes.rotate_right(1);
        // The new one has these too, though they alone would not need a new one.
        change.compare("instance_profile", &observed.profile, &launch.profile);
        change.compare("security_group", &groups, &launch.security_group);
        change.compare("tags", &before, &after);
        change.up(launch_step());
        change.down(Step::Terminate { ids: vec![observed.id.clone()] });
        return change.action(Action::Replace);
    }
    let id = &observed.id;
    let state = if matches!(observed.state.as_str(), "stopping" | "stopped") { &observed.state } else { "running" };
    if change.compare("state", state, "running") {
        change.up(Step::Start { id: id.clone() });
    }
    if change.compare("instance_profile", &observed.profile, &launch.profile) {
        change.up(Step::SetProfile { id: id.clone(), profile: launch.profile.clone() });
    }
    if change.compare("security_group", &groups, &launch.security_group) {
        change.up(Step::SetSecurityGroup { id: id.clone(), security_group_id: launch.security_group_id.clone() });
    }
    let tokens = |required: bool| if required { "required" } else { "optional" };
    if change.compare("metadata_tokens", tokens(observed.tokens_required), tokens(true)) {
        change.up(Step::RequireTokens { id: id.clone() });
    }
    if change.compare("tags", &before, &after) {
        let (set, remove) = tag_changes(&before, &after);
        change.up(Step::Tag { id: id.clone(), set, remove });
    }
    change.settle()
}

/// Notes the differences that only a new instance can mend; answers what they are, in words.
fn replacing(change: &mut Change, launch: &Launch, observed: &Observed) -> Vec<&'static str> {
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
    // A security group that moves to another VPC takes its instances along.
    note(change.compare("vpc", &observed.vpc, &launch.vpc_id), "the VPC changed");
    let after = user_data_fields(&launch.user_data).unwrap_or_default();
    let Some(before) = user_data_fields(&observed.user_data) else {
        let (before, after) = (digest(&observed.user_data), digest(&launch.user_data));
        note(change.compare("user_data", &before, &after), "the user data is not thumb's");
        return reasons;
    };
    let names: BTreeSet<&str> = before.keys().chain(after.keys()).copied().collect();
    for name in names {
        let reason = match name {
            "binary" => "the executable changed",
            "worker_config" => "the worker's configuration changed",
            "endpoint" => "the endpoint changed",
            "memory_max" => "the worker's share of the memory changed",
            _ => "this version of thumb sets instances up differently",
        };
        note(change.compare(name, &before.get(name), &after.get(name)), reason);
    }
    reasons
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
    let short: String = Sha256::digest(text).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{short}…")
}

pub fn delete(observed: &Observed, label: &str, reason: Option<&str>) -> Change {
    let mut change = Change::new(Address::Instance(observed.index), label);
    change.reason = reason.map(str::to_owned);
    change.lose("id", &observed.id);
    change.lose("type", &observed.instance_type);
    change.down(Step::Terminate { ids: vec![observed.id.clone()] });
    change.action(Action::Delete)
}
