//! The changes that bring the launch template to what is declared. Pure.

use super::{InUse, LaunchTemplate, Observed, Step, Version};
use crate::stack::address::Address;
use crate::stack::change::{Action, Change};
use crate::stack::resources::instance::{IMAGE_TAG, Launch, compare_user_data, set_user_data};
use crate::stack::resources::{Found, tag_changes};

/// Versions that stay after a refresh, besides those in use: for a person who wants to look back.
const KEPT_VERSIONS: usize = 3;

/// The version that says what is declared: the one that the group uses, or else the newest such.
pub fn matching(desired: &LaunchTemplate, observed: &Observed, in_use: &InUse) -> Option<i64> {
    let as_declared = |version: &&Version| differences(&mut scratch(), desired, version).is_empty();
    let mut found = observed.versions.iter().filter(as_declared).map(|version| version.number);
    let newest = found.next()?;
    Some(in_use.group.filter(|used| *used == newest || found.any(|number| number == *used)).unwrap_or(newest))
}

pub fn diff(desired: &LaunchTemplate, found: &Found<Observed>, in_use: &InUse) -> Change<Step> {
    let LaunchTemplate { name, launch, tags } = desired;
    let mut change = Change::new(Address::LaunchTemplate, name);
    let observed = match found {
        Found::Foreign(foreign) => return Change::blocked(Address::LaunchTemplate, name, &foreign.reason),
        Found::Absent => {
            change.unknown("id", None);
            create(&mut change, launch);
            change.set("tags", tags);
            change.step(Step::Create(Box::new(desired.clone())));
            return change.action(Action::Create);
        }
        Found::Ours(observed) => observed,
    };
    let id = &observed.id;
    if matching(desired, observed, in_use).is_none() {
        // What changes for the instances: from the group's version, not from one that nobody uses.
        let used = observed.versions.iter().find(|version| in_use.group == Some(version.number));
        let reasons = match used.or(observed.versions.first()) {
            Some(version) => {
                change.unknown("version", Some(&version.number.to_string()));
                differences(&mut change, desired, version)
            }
            None => vec!["it has no version"],
        };
        change.reason = Some(format!("{}: a new version", reasons.join(", ")));
        change.step(Step::CreateVersion { id: id.clone(), template: Box::new(desired.clone()) });
        let old = old_versions(observed, in_use);
        if !old.is_empty() {
            change.removed("old_versions", &old);
            change.removal(Step::DeleteVersions { id: id.clone(), versions: old });
        }
    }
    if change.compare("tags", &observed.tags, tags) {
        let (set, remove) = tag_changes(&observed.tags, tags);
        change.step(Step::Tag { id: id.clone(), set, remove });
    }
    change.settle()
}

/// Versions to delete once a new one is in use. That one counts among those that stay.
fn old_versions(observed: &Observed, in_use: &InUse) -> Vec<i64> {
    let is_used = |number: &i64| in_use.all.contains(number) || *number == observed.default_version;
    let older = observed.versions.iter().map(|version| version.number).skip(KEPT_VERSIONS - 1);
    older.filter(|number| !is_used(number)).collect()
}

pub fn delete(name: &str, observed: &Observed) -> Change<Step> {
    let mut change = Change::new(Address::LaunchTemplate, name);
    change.removed("id", &observed.id);
    change.removal(Step::Delete { id: observed.id.clone() });
    change.action(Action::Delete)
}

fn scratch() -> Change<Step> {
    Change::new(Address::LaunchTemplate, "")
}

fn create(change: &mut Change<Step>, launch: &Launch) {
    let Launch {
        image,
        ami,
        instance_type: _,
        key_pair,
        profile,
        profile_id: _,
        security_group,
        security_group_id: _,
        vpc_id: _,
        subnet: _,
        public_ip,
        public_address: _,
        credits,
        user_data,
        code_bucket: _,
        tags: _,
    } = launch;
    change.set("image", &image.to_string());
    change.set("ami", &format!("{} ({})", ami.id, ami.name));
    change.set("credits", credits);
    change.set("key_pair", key_pair);
    change.set("instance_profile", profile);
    change.set("security_group", security_group);
    change.set("public_ip", public_ip);
    set_user_data(change, user_data);
}

/// Records how a version differs from the declaration, and returns it in words. Only the image's name is compared: the AMI
/// behind it changes every few weeks, which must not by itself replace all instances.
fn differences(change: &mut Change<Step>, desired: &LaunchTemplate, version: &Version) -> Vec<&'static str> {
    let LaunchTemplate { name: _, launch, tags: _ } = desired;
    let Version {
        number: _,
        key_pair,
        profile,
        security_groups,
        public_ip: had_public_ip,
        tokens_required,
        hop_limit,
        encrypted,
        credits,
        user_data,
        tags,
    } = version;
    let mut reasons = Vec::new();
    let mut note = |differs: bool, reason: &'static str| {
        if differs {
            reasons.push(reason);
        }
    };
    let wanted = desired.instance_tags();
    let image = tags.get(IMAGE_TAG).map_or("unknown", String::as_str);
    note(change.compare("image", image, &launch.image.to_string()), "the image changed");
    note(change.compare("key_pair", key_pair, &launch.key_pair), "the key pair changed");
    note(change.compare("instance_profile", &profile.as_deref(), &launch.profile), "the instance profile changed");
    let groups = security_groups.join(", ");
    let differs = match &launch.security_group_id {
        Some(id) => change.compare("security_group", &groups, id),
        None => {
            change.unknown("security_group", Some(&groups));
            true
        }
    };
    note(differs, "the security group changed");
    note(change.compare("public_ip", had_public_ip, &launch.public_ip), "public addresses changed");
    let tokens = |required: bool| if required { "required" } else { "optional" };
    note(change.compare("metadata_tokens", tokens(*tokens_required), tokens(true)), "the metadata options changed");
    note(change.compare("metadata_hop_limit", hop_limit, &1), "the metadata options changed");
    note(change.compare("encrypted", encrypted, &true), "the volume changed");
    let wanted_credits = launch.credits.map(|credits| credits.to_string());
    note(change.compare("credits", credits, &wanted_credits), "the CPU credits changed");
    let image_apart = |tags: &crate::stack::resources::Tags| {
        let mut tags = tags.clone();
        tags.remove(IMAGE_TAG);
        tags
    };
    note(change.compare("instance_tags", &image_apart(tags), &image_apart(&wanted)), "the tags changed");
    reasons.extend(compare_user_data(change, user_data, &launch.user_data));
    reasons.dedup();
    reasons
}
