//! The instance profile, through which EC2 hands the role to an instance (IAM).

use super::role::{iam_tags, tags_of};
use super::{Found, STACK_TAG, Tags, gone_is_fine, optional, own_tags, tag_changes};
use crate::aws::{CallError, Kind, Reader, Writer};
use crate::plan::{Action, Address, Change};

/// An instance profile as declared. It holds one role (IAM quotas).
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceProfile {
    pub name: String,
    pub role: String,
    pub tags: Tags,
}

/// An instance profile as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    pub role: Option<String>,
    pub tags: Tags,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Create { name: String, tags: Tags },
    AddRole { name: String, role: String },
    RemoveRole { name: String, role: String },
    Tag { name: String, set: Tags, remove: Vec<String> },
    Delete { name: String },
}

pub async fn read(aws: &Reader, stack: &str, name: &str) -> Result<Found<Observed>, CallError> {
    let result = aws.get_instance_profile().instance_profile_name(name).send().await;
    let profile = optional(result.map_err(|e| CallError::new("iam:GetInstanceProfile", e)))?;
    let Some(profile) = profile.and_then(|out| out.instance_profile) else {
        return Ok(Found::Absent);
    };
    let tags = tags_of(profile.tags());
    let role = profile.roles().first().map(|role| role.role_name.clone());
    let observed = Observed { role, tags: own_tags(&tags) };
    Ok(Found::by_tags(stack, &tags, &format!("the instance profile {name}"), observed))
}

pub fn diff(desired: &InstanceProfile, found: &Found<Observed>) -> Change {
    let InstanceProfile { name, role, tags } = desired;
    let mut change = Change::new(Address::InstanceProfile, name);
    let observed = match found {
        Found::Foreign(foreign) => return Change::blocked(Address::InstanceProfile, name, &foreign.reason),
        Found::Absent => {
            change.set("role", role);
            change.set("tags", tags);
            change.up(Step::Create { name: name.clone(), tags: tags.clone() });
            change.up(Step::AddRole { name: name.clone(), role: role.clone() });
            return change.action(Action::Create);
        }
        Found::Ours(observed) => observed,
    };
    if change.compare("role", &observed.role, role) {
        if let Some(role) = &observed.role {
            change.up(Step::RemoveRole { name: name.clone(), role: role.clone() });
        }
        change.up(Step::AddRole { name: name.clone(), role: role.clone() });
    }
    if change.compare("tags", &observed.tags, tags) {
        let (set, remove) = tag_changes(&observed.tags, tags);
        change.up(Step::Tag { name: name.clone(), set, remove });
    }
    change.settle()
}

/// IAM deletes a profile only when no role is in it (API DeleteInstanceProfile).
pub fn delete(name: &str, observed: &Observed) -> Change {
    let mut change = Change::new(Address::InstanceProfile, name);
    if let Some(role) = &observed.role {
        change.lose("role", role);
        change.down(Step::RemoveRole { name: name.to_owned(), role: role.clone() });
    }
    change.down(Step::Delete { name: name.to_owned() });
    change.action(Action::Delete)
}

pub async fn run(step: &Step, aws: &Writer) -> Result<(), CallError> {
    let iam = &aws.clients.iam;
    match step {
        Step::Create { name, tags } => {
            let request = iam.create_instance_profile().instance_profile_name(name).set_tags(Some(iam_tags(tags)));
            match request.send().await.map_err(|e| CallError::new("iam:CreateInstanceProfile", e)) {
                // Made by an attempt whose answer was lost, or by another apply at the same time: then it has our tags.
                Err(error) if error.kind == Kind::AlreadyExists => {
                    let profile = iam.get_instance_profile().instance_profile_name(name).send().await;
                    let profile = profile.map_err(|e| CallError::new("iam:GetInstanceProfile", e))?.instance_profile;
                    let found = profile.map(|profile| tags_of(profile.tags())).unwrap_or_default();
                    if found.get(STACK_TAG) == tags.get(STACK_TAG) { Ok(()) } else { Err(error) }
                }
                result => result.map(drop),
            }
        }
        Step::AddRole { name, role } => {
            let request = iam.add_role_to_instance_profile().instance_profile_name(name).role_name(role);
            match request.send().await.map_err(|e| CallError::new("iam:AddRoleToInstanceProfile", e)) {
                // "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1" is IAM's answer when a role is in
                // it. Ours, if an earlier attempt got through: the profile says.
                Err(error) if error.code.as_deref() == Some("LimitExceeded") => {
                    if holds(name, role, aws).await? {
                        Ok(())
                    } else {
                        Err(error)
                    }
                }
                result => result.map(drop),
            }
        }
        Step::RemoveRole { name, role } => {
            let request = iam.remove_role_from_instance_profile().instance_profile_name(name).role_name(role);
            let result = request.send().await.map_err(|e| CallError::new("iam:RemoveRoleFromInstanceProfile", e));
            match gone_is_fine(result) {
                // Taken out by an attempt whose answer was lost: the profile says.
                Err(_) if !holds(name, role, aws).await? => Ok(()),
                result => result,
            }
        }
        Step::Tag { name, set, remove } => {
            if !set.is_empty() {
                let request = iam.tag_instance_profile().instance_profile_name(name).set_tags(Some(iam_tags(set)));
                request.send().await.map_err(|e| CallError::new("iam:TagInstanceProfile", e))?;
            }
            if !remove.is_empty() {
                let request = iam.untag_instance_profile().instance_profile_name(name);
                let result = request.set_tag_keys(Some(remove.clone())).send().await;
                result.map_err(|e| CallError::new("iam:UntagInstanceProfile", e))?;
            }
            Ok(())
        }
        Step::Delete { name } => {
            let result = iam.delete_instance_profile().instance_profile_name(name).send().await;
            gone_is_fine(result.map_err(|e| CallError::new("iam:DeleteInstanceProfile", e)))
        }
    }
}

/// Whether the role is in the profile now.
async fn holds(name: &str, role: &str, aws: &Writer) -> Result<bool, CallError> {
    let result = aws.clients.iam.get_instance_profile().instance_profile_name(name).send().await;
    let profile = optional(result.map_err(|e| CallError::new("iam:GetInstanceProfile", e)))?;
    let held = profile.and_then(|out| out.instance_profile);
    Ok(held.is_some_and(|profile| profile.roles().iter().any(|held| held.role_name == role)))
}
