//! `--target` and `--exclude`: parts of a stack. A part is named as the codelab names its steps, as thumb.toml names its sections, or by its
//! address in a plan.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::order::needs;
use crate::stack::address::Address;
use crate::text::nearest;

/// A part of a stack: a step of the codelab (`setup.py --queue`, …), or one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Queue,
    Buckets,
    Code,
    Profile,
    SecurityGroup,
    Instance,
    Scaling,
    Trigger,
    Logs,
    Notify,
    Resource(Address),
}

/// Targets as one option gives them: one, or several with commas between them.
///
/// # Errors
/// One is no target: a sentence.
pub fn targets(text: &str) -> Result<Vec<Target>, String> {
    text.split(',').map(|one| one.trim().parse()).collect()
}

/// Targets that are instances, as [`targets`].
///
/// # Errors
/// One is no target, or another resource.
pub fn instance_targets(text: &str) -> Result<Vec<Target>, String> {
    let targets = targets(text)?;
    match targets.iter().find(|target| !matches!(target, Target::Instance | Target::Resource(Address::Instance(_)))) {
        Some(other) => Err(format!("{other} is no instance; write instance.1, or instance for all")),
        None => Ok(targets),
    }
}

impl Target {
    /// Those of more than one resource.
    pub const PARTS: [Target; 10] = [
        Self::Queue,
        Self::Buckets,
        Self::Code,
        Self::Profile,
        Self::SecurityGroup,
        Self::Instance,
        Self::Scaling,
        Self::Trigger,
        Self::Logs,
        Self::Notify,
    ];

    /// Whether the address is one of this target's own.
    pub fn covers(self, address: Address) -> bool {
        match self {
            Self::Queue => matches!(address, Address::Dlq | Address::Queue),
            Self::Buckets => matches!(address, Address::ThumbnailsBucket | Address::CodeBucket),
            Self::Code => matches!(address, Address::CodeBucket | Address::Binary),
            Self::Profile => matches!(address, Address::Role | Address::InstanceProfile),
            Self::SecurityGroup => address == Address::SecurityGroup,
            Self::Instance => matches!(address, Address::Instance(_)),
            Self::Scaling => matches!(
                address,
                Address::LaunchTemplate | Address::ScalingGroup | Address::ScalingPolicy(_) | Address::Alarm(_)
            ),
            Self::Trigger => matches!(address, Address::Trigger(_)),
            Self::Logs => address == Address::LogGroup,
            Self::Notify => matches!(address, Address::Topic | Address::Alert(_)),
            Self::Resource(resource) => address == resource,
        }
    }
}

/// The part of a stack that a command is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// None: everything.
    pub targets: Vec<Target>,
    pub excluded: Vec<Target>,
}

impl Selection {
    /// These parts, and what they need.
    pub fn of(targets: &[Target]) -> Self {
        Self { targets: targets.to_vec(), excluded: Vec::new() }
    }

    pub fn is_all(&self) -> bool {
        self.targets.is_empty() && self.excluded.is_empty()
    }

    /// The addresses among `all` that are selected. As in Terraform, creating a target includes what it needs, and destroying
    /// it includes what needs it; as in OpenTofu, excluding something excludes what needs it, and in a destroy what it needs.
    pub fn select(&self, all: &BTreeSet<Address>, destroy: bool) -> BTreeSet<Address> {
        let Self { targets, excluded } = self;
        let covered = |parts: &[Target]| {
            all.iter().copied().filter(|address| parts.iter().any(|part| part.covers(*address))).collect()
        };
        let depends = |one: Address, other: Address| if destroy { needs(other, one) } else { needs(one, other) };
        let targeted = match &targets[..] {
            [] => all.clone(),
            targets => spread(covered(targets), all, depends),
        };
        let excluded = spread(covered(excluded), all, |chosen, address| depends(address, chosen));
        targeted.difference(&excluded).copied().collect()
    }
}

/// The addresses with all that follow from them: `follows(chosen, address)`.
fn spread(
    mut chosen: BTreeSet<Address>,
    all: &BTreeSet<Address>,
    follows: impl Fn(Address, Address) -> bool,
) -> BTreeSet<Address> {
    // As many rounds as the longest chain of needs has links; each adds at least one address or is the last.
    for _ in 0..all.len() {
        let missing = all.iter().copied().filter(|address| !chosen.contains(address));
        let more: Vec<Address> =
            missing.filter(|address| chosen.iter().any(|chosen| follows(*chosen, *address))).collect();
        if more.is_empty() {
            break;
        }
        chosen.extend(more);
    }
    chosen
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resource(address) => return address.fmt(f),
            Self::Queue => "queue",
            Self::Buckets => "buckets",
            Self::Code => "code",
            Self::Profile => "profile",
            Self::SecurityGroup => "security-group",
            Self::Instance => "instance",
            Self::Scaling => "scaling",
            Self::Trigger => "trigger",
            Self::Logs => "logs",
            Self::Notify => "notify",
        })
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // thumb.toml has sections with underscores, [security_group]; addresses have hyphens.
        let text = text.replace('_', "-");
        if let Some(part) = Self::PARTS.into_iter().find(|part| part.to_string() == text) {
            return Ok(part);
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Resource(address));
        }
        let parts: Vec<String> = Self::PARTS.iter().map(Self::to_string).collect();
        let known = parts.iter().cloned().chain(Address::SINGLE.iter().map(Address::to_string)).collect::<Vec<_>>();
        let hint = match nearest(&text, known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("use one of {}, or an address of the plan", parts.join(", ")),
        };
        Err(format!("there is no target {text:?}; {hint}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn select(target: Target, destroy: bool) -> String {
        // A stack has either numbered instances or a group.
        let scaling = target == Target::Scaling;
        let of_a_group = |address: &Address| Target::Scaling.covers(*address);
        let single = Address::SINGLE.into_iter().filter(|address| scaling || !of_a_group(address));
        let all = single.chain([if scaling { Address::Trigger(1) } else { Address::Instance(1) }]).collect();
        Selection::of(&[target]).select(&all, destroy).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_a_target_needs_comes_along() {
        assert_eq!(select(Target::Queue, false), "dlq queue");
        assert_eq!(select(Target::Buckets, false), "bucket.thumbnails bucket.code");
        assert_eq!(select(Target::Code, false), "bucket.code binary");
        assert_eq!(select(Target::Profile, false), "role instance-profile");
        assert_eq!(select(Target::SecurityGroup, false), "security-group");
        assert_eq!(
            select(Target::Instance, false),
            "dlq queue bucket.thumbnails bucket.code binary role instance-profile security-group s3-endpoint log-group topic instance.1"
        );
        assert!(select(Target::Scaling, false).ends_with(
            "s3-endpoint log-group topic launch-template scaling-group scaling-policy.backlog scaling-policy.wake scaling-policy.shrink \
             scaling-policy.sleep alarm.wake alarm.shrink alarm.sleep"
        ));
    }

    #[test]
    fn what_needs_a_target_goes_with_it() {
        assert_eq!(select(Target::Instance, true), "instance.1");
        assert_eq!(select(Target::SecurityGroup, true), "security-group instance.1");
        assert_eq!(select(Target::Code, true), "bucket.code binary instance.1");
        assert_eq!(select(Target::Queue, true), "dlq queue instance.1");
    }

    #[test]
    fn an_exclusion_takes_along_what_depends_on_it() {
        let all: BTreeSet<Address> = Address::SINGLE[..8].iter().copied().chain([Address::Instance(1)]).collect();
        let left = |excluded: Target, destroy: bool| {
            let selection = Selection { targets: Vec::new(), excluded: vec![excluded] };
            selection.select(&all, destroy).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        let rest = "dlq queue bucket.thumbnails bucket.code binary role instance-profile security-group";
        assert_eq!(left(Target::Instance, false), rest);
        assert_eq!(left(Target::Code, false), "dlq queue bucket.thumbnails role instance-profile security-group");
        // What stays needs all the rest.
        assert_eq!(left(Target::Instance, true), "");
        assert_eq!(
            left(Target::Resource(Address::ThumbnailsBucket), true),
            rest.replace(" bucket.thumbnails", "") + " instance.1"
        );
    }

    #[test]
    fn a_part_has_the_names_that_plans_and_files_use() {
        let words =
            |text: &str| targets(text).map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
        assert_eq!(words("queue,buckets").unwrap(), "queue buckets");
        assert_eq!(words("security_group, bucket.code").unwrap(), "security-group bucket.code");
        assert_eq!(words("instance.2").unwrap(), "instance.2");
        assert_eq!(words("qeue").unwrap_err(), "there is no target \"qeue\"; did you mean \"queue\"?");
        assert!(words("nonsense").unwrap_err().ends_with("scaling, trigger, logs, notify, or an address of the plan"));
        assert_eq!(select(Target::Resource(Address::Role), false), "role");
        assert_eq!(select(Target::Resource(Address::Role), true), "role instance-profile instance.1");
    }
}
