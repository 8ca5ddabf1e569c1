//! What to do about each blocked resource: the one command or setting that fits. Pure.

use super::observe::Observed;
use super::operation::Change;
use crate::stack::address::Address;
use crate::stack::change::Action;
use crate::stack::resources::{Foreign, Found};

/// Why a resource is not the stack's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Nobody,
    Another,
    /// In another region: its reason says so.
    Elsewhere,
}

/// Adds a remedy to every blocked change that has one.
pub fn add(observed: &Observed, changes: &mut [Change]) {
    let mut instances = 0;
    for change in changes.iter_mut().filter(|change| change.action == Action::Blocked) {
        // Of many instances the first says it for all.
        let said = matches!(change.address, Address::Instance(_)) && instances > 0;
        instances += u32::from(matches!(change.address, Address::Instance(_)));
        change.remedy = remedy(observed, change.address).filter(|_| !said);
    }
}

fn remedy(observed: &Observed, address: Address) -> Option<String> {
    let found = match address {
        Address::Dlq => owner(&observed.dlq),
        Address::Queue => owner(&observed.queue),
        Address::ThumbnailsBucket => owner(&observed.thumbnails),
        Address::CodeBucket => owner(&observed.code),
        Address::Role => owner(&observed.role),
        Address::InstanceProfile => owner(&observed.profile),
        Address::SecurityGroup => owner(&observed.security_group),
        Address::LogGroup => owner(&observed.log_group),
        Address::Topic => owner(&observed.topic),
        Address::Dashboard => owner(&observed.dashboard),
        Address::Instance(_) => return Some("leave the instances out: thumb apply --exclude instance".to_owned()),
        Address::ScalingGroup => return Some("leave the group out: thumb apply --exclude scaling".to_owned()),
        Address::Trigger(_) => return Some(format!("leave it out: thumb apply --exclude {address}")),
        Address::Binary
        | Address::S3Endpoint
        | Address::LaunchTemplate
        | Address::ScalingPolicy(_)
        | Address::Alarm(_)
        | Address::Alert(_) => return None,
    };
    match found? {
        Owner::Nobody => Some(format!("take it over: thumb apply --adopt {address}")),
        Owner::Another => name_key(address).map(|key| format!("choose another name: {key} of thumb.toml")),
        Owner::Elsewhere => None,
    }
}

fn owner<T>(found: &Found<T>) -> Option<Owner> {
    match found {
        Found::Foreign(Foreign { elsewhere: Some(_), .. }) => Some(Owner::Elsewhere),
        Found::Foreign(Foreign { adoptable: Some(_), .. }) => Some(Owner::Nobody),
        Found::Foreign(_) => Some(Owner::Another),
        Found::Ours(_) | Found::Absent => None,
    }
}

/// The key of thumb.toml that names a resource.
fn name_key(address: Address) -> Option<&'static str> {
    Some(match address {
        Address::Queue => "`name` in [queue]",
        Address::Dlq => "`dlq` in [queue]",
        Address::ThumbnailsBucket => "`thumbnails` in [buckets]",
        Address::CodeBucket => "`code` in [buckets]",
        Address::Role => "`role` in [profile]",
        Address::InstanceProfile => "`name` in [profile]",
        Address::SecurityGroup => "`name` in [security_group]",
        _ => return None,
    })
}
