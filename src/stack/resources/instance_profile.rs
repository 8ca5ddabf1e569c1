//! The instance profile, which gives an instance its role (IAM).

use super::role::{self, iam_tags, known, really_gone, same_stack, tags_of};
use super::{
    Found, REGION_TAG, RELEASED, RetryPolicy, StepContext, Tags, is_adopted, kept_tags, ok_if_gone, optional, own_tags,
    tag_changes, wanted_tags,
};
use crate::aws::{CallError, CallResult, Kind, Reader, Writer};
use crate::stack::address::Address;
use crate::stack::change::{Action, Change};

/// An instance profile as declared. It holds one role (IAM quotas).
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceProfile {
    pub name: String,
    pub role: String,
    pub tags: Tags,
}

/// An instance profile as observed.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// EC2 refers to it by this ID: a profile created again under the same name has another one.
    pub id: String,
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
    let profile = optional(result.action("iam:GetInstanceProfile"))?;
    let Some(profile) = profile.and_then(|out| out.instance_profile) else {
        return Ok(Found::Absent);
    };
    let tags = tags_of(profile.tags());
    let role = profile.roles().first().map(|role| role.role_name.clone());
    let observed = Observed { id: profile.instance_profile_id.clone(), role, tags: own_tags(&tags) };
    let what = format!("the instance profile {name}");
    let found = Found::by_tags(stack, &tags, &what, observed);
    Ok(found.in_region(stack, aws.region(), tags.get(REGION_TAG).map(String::as_str), &what))
}

/// A profile older than the region tag has the region of its role.
#[must_use]
pub fn beside_role(
    found: Found<Observed>,
    stack: &str,
    here: &str,
    name: &str,
    role: &Found<role::Observed>,
) -> Found<Observed> {
    let untagged = found.ours().is_some_and(|profile| !profile.tags.contains_key(REGION_TAG));
    match role {
        Found::Foreign(role) if untagged => {
            found.in_region(stack, here, role.elsewhere.as_deref(), &format!("the instance profile {name}"))
        }
        _ => found,
    }
}

pub fn diff(desired: &InstanceProfile, found: &Found<Observed>) -> Change<Step> {
    let InstanceProfile { name, role, tags } = desired;
    let mut change = Change::new(Address::InstanceProfile, name);
    let observed = match found {
        Found::Foreign(foreign) => return Change::blocked(Address::InstanceProfile, name, &foreign.reason),
        Found::Absent => {
            change.set("role", role);
            change.set("tags", tags);
            change.step(Step::Create { name: name.clone(), tags: tags.clone() });
            change.step(Step::AddRole { name: name.clone(), role: role.clone() });
            return change.action(Action::Create);
        }
        Found::Ours(observed) => observed,
    };
    if let Some(other) = observed.role.as_ref().filter(|held| *held != role && is_adopted(&observed.tags)) {
        let why = format!(
            "thumb did not create it, and it contains the role {other}, which would have to be removed: set `name` in [profile] to \
             another name, or `role` to {other}"
        );
        return Change::blocked(Address::InstanceProfile, name, why);
    }
    if change.compare("role", &observed.role, role) {
        if let Some(role) = &observed.role {
            change.step(Step::RemoveRole { name: name.clone(), role: role.clone() });
        }
        change.step(Step::AddRole { name: name.clone(), role: role.clone() });
    }
    let tags = wanted_tags(tags, &observed.tags);
    if change.compare("tags", &observed.tags, &tags) {
        let (set, remove) = tag_changes(&observed.tags, &tags);
        change.step(Step::Tag { name: name.clone(), set, remove });
    }
    change.settle()
}

/// IAM deletes a profile only when no role is in it (API DeleteInstanceProfile).
pub fn delete(name: &str, observed: &Observed) -> Change<Step> {
    let mut change = Change::new(Address::InstanceProfile, name);
    if let Some(role) = &observed.role {
        change.removed("role", role);
        change.removal(Step::RemoveRole { name: name.to_owned(), role: role.clone() });
    }
    change.removal(Step::Delete { name: name.to_owned() });
    change.action(Action::Delete)
}

/// Releases an adopted profile. `role`: the stack's role, if it is deleted: then it is removed from the profile.
pub fn release(name: &str, observed: &Observed, configured: &Tags, role: Option<&str>) -> Change<Step> {
    let mut change = Change::new(Address::InstanceProfile, name);
    change.reason = Some(RELEASED.into());
    if let Some(role) = observed.role.as_deref().filter(|held| Some(*held) == role) {
        change.removed("role", role);
        change.removal(Step::RemoveRole { name: name.to_owned(), role: role.to_owned() });
    }
    let kept = kept_tags(&observed.tags, configured);
    change.compare("tags", &observed.tags, &kept);
    let (set, remove) = tag_changes(&observed.tags, &kept);
    change.removal(Step::Tag { name: name.to_owned(), set, remove });
    change.action(Action::Update)
}

pub async fn run(step: &Step, aws: &Writer, context: &StepContext<'_>) -> Result<(), CallError> {
    let iam = &aws.clients.iam;
    match step {
        Step::Create { name, tags } => {
            let request = iam.create_instance_profile().instance_profile_name(name).set_tags(Some(iam_tags(tags)));
            match request.send().await.action("iam:CreateInstanceProfile") {
                // Created by an attempt whose response was lost, or by a concurrent apply: then it has our tags.
                Err(error) if error.kind == Kind::AlreadyExists => {
                    let profile = known(context, || async {
                        let result = iam.get_instance_profile().instance_profile_name(name).send().await;
                        result.action("iam:GetInstanceProfile")
                    });
                    let found = profile.await?.instance_profile.map(|profile| tags_of(profile.tags()));
                    if same_stack(&found.unwrap_or_default(), tags) { Ok(()) } else { Err(error) }
                }
                result => result.map(drop),
            }
        }
        Step::AddRole { name, role } => {
            let add = known(context, || async {
                let request = iam.add_role_to_instance_profile().instance_profile_name(name).role_name(role);
                request.send().await.action("iam:AddRoleToInstanceProfile")
            });
            match add.await {
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
            let remove = really_gone(context, || async {
                let request = iam.remove_role_from_instance_profile().instance_profile_name(name).role_name(role);
                request.send().await.action("iam:RemoveRoleFromInstanceProfile")
            });
            match ok_if_gone(remove.await) {
                // Taken out by an attempt whose answer was lost: the profile says.
                Err(_) if !holds(name, role, aws).await? => Ok(()),
                result => result,
            }
        }
        Step::Tag { name, set, remove } => {
            if !set.is_empty() {
                known(context, || async {
                    let request = iam.tag_instance_profile().instance_profile_name(name).set_tags(Some(iam_tags(set)));
                    request.send().await.map(drop).action("iam:TagInstanceProfile")
                })
                .await?;
            }
            if !remove.is_empty() {
                known(context, || async {
                    let request = iam.untag_instance_profile().instance_profile_name(name);
                    let result = request.set_tag_keys(Some(remove.clone())).send().await;
                    result.map(drop).action("iam:UntagInstanceProfile")
                })
                .await?;
            }
            Ok(())
        }
        Step::Delete { name } => {
            let in_use = |error: &CallError| error.kind == Kind::InUse;
            let why = "waiting for the role to leave the instance profile";
            let delete = || async {
                let result = iam.delete_instance_profile().instance_profile_name(name).send().await;
                result.map(drop).action("iam:DeleteInstanceProfile")
            };
            ok_if_gone(context.retry(&RetryPolicy::PROPAGATION, why, in_use, || really_gone(context, delete)).await)
        }
    }
}

/// Whether the role is in the profile now.
async fn holds(name: &str, role: &str, aws: &Writer) -> Result<bool, CallError> {
    let result = aws.clients.iam.get_instance_profile().instance_profile_name(name).send().await;
    let profile = optional(result.action("iam:GetInstanceProfile"))?;
    let held = profile.and_then(|out| out.instance_profile);
    Ok(held.is_some_and(|profile| profile.roles().iter().any(|held| held.role_name == role)))
}
