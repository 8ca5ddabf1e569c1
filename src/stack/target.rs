//! `--target`: parts of a stack (the steps of the codelab) and their addresses.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::order::needs;
use crate::stack::address::Address;

/// One step of the codelab (`setup.py --queue`, …).
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
}

impl Target {
    pub const ALL: [Target; 8] = [
        Self::Queue,
        Self::Buckets,
        Self::Code,
        Self::Profile,
        Self::SecurityGroup,
        Self::Instance,
        Self::Scaling,
        Self::Trigger,
    ];

    /// Whether the address is one of this target's own.
    fn covers(self, address: Address) -> bool {
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
        }
    }

    /// The addresses among `all` that `targets` select; no target selects all. As in Terraform, creating a target includes its
    /// dependencies, and destroying it includes its dependents.
    pub fn select(targets: &[Target], all: &BTreeSet<Address>, destroy: bool) -> BTreeSet<Address> {
        if targets.is_empty() {
            return all.clone();
        }
        let mut selected: BTreeSet<Address> =
            all.iter().copied().filter(|address| targets.iter().any(|target| target.covers(*address))).collect();
        // As many rounds as the longest chain of needs has links; each adds at least one address or is the last.
        for _ in 0..all.len() {
            let more: Vec<Address> = all
                .iter()
                .copied()
                .filter(|address| !selected.contains(address))
                .filter(|address| {
                    selected.iter().any(
                        |chosen| {
                            if destroy { needs(*address, *chosen) } else { needs(*chosen, *address) }
                        },
                    )
                })
                .collect();
            if more.is_empty() {
                break;
            }
            selected.extend(more);
        }
        selected
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Queue => "queue",
            Self::Buckets => "buckets",
            Self::Code => "code",
            Self::Profile => "profile",
            Self::SecurityGroup => "security-group",
            Self::Instance => "instance",
            Self::Scaling => "scaling",
            Self::Trigger => "trigger",
        })
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|target| target.to_string() == text).ok_or_else(|| {
            let known: Vec<String> = Self::ALL.iter().map(Self::to_string).collect();
            format!("there is no target {text:?}; use one of {}", known.join(", "))
        })
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
        let selected = Target::select(&[target], &all, destroy);
        selected.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
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
            "dlq queue bucket.thumbnails bucket.code binary role instance-profile security-group s3-endpoint instance.1"
        );
        assert!(select(Target::Scaling, false).ends_with(
            "s3-endpoint launch-template scaling-group scaling-policy.backlog scaling-policy.wake scaling-policy.shrink \
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
}
