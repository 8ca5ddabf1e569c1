//! The role that instances take on (IAM): its trust policy, and what it may do.

use std::collections::BTreeMap;

use aws_sdk_iam::types::Tag;
use serde_json::Value;

use super::policy::canonical;
use super::{Found, STACK_TAG, Tags, gone_is_fine, optional, own_tags, tag_changes};
use crate::aws::{CallError, Kind, Reader, Writer};
use crate::plan::{Action, Address, Change};

/// The name of the inline policy that thumb writes.
pub const INLINE_POLICY: &str = "thumb-worker";

/// A role as declared: it has exactly these policies.
#[derive(Clone, Debug, PartialEq)]
pub struct Role {
    pub name: String,
    pub trust: Value,
    /// Inline policies by name.
    pub inline: BTreeMap<String, Value>,
    /// ARNs of managed policies, sorted.
    pub attached: Vec<String>,
    pub tags: Tags,
}

/// A role as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    pub trust: Value,
    pub inline: BTreeMap<String, Value>,
    pub attached: Vec<String>,
    pub tags: Tags,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Create { name: String, trust: Value, tags: Tags },
    SetTrust { name: String, trust: Value },
    PutInline { name: String, policy: String, document: Value },
    DeleteInline { name: String, policy: String },
    Attach { name: String, arn: String },
    Detach { name: String, arn: String },
    Tag { name: String, set: Tags, remove: Vec<String> },
    Delete { name: String },
}

pub async fn read(aws: &Reader, stack: &str, name: &str) -> Result<Found<Observed>, CallError> {
    let role = async {
        let result = aws.get_role().role_name(name).send().await;
        optional(result.map_err(|e| CallError::new("iam:GetRole", e)))
    };
    let inline = async {
        let result = aws.list_role_policies().role_name(name).send().await;
        optional(result.map_err(|e| CallError::new("iam:ListRolePolicies", e)))
    };
    let attached = async {
        let result = aws.list_attached_role_policies().role_name(name).send().await;
        optional(result.map_err(|e| CallError::new("iam:ListAttachedRolePolicies", e)))
    };
    let (Some(role), Some(inline), Some(attached)) = tokio::try_join!(role, inline, attached)? else {
        return Ok(Found::Absent);
    };
    let Some(role) = role.role else { return Ok(Found::Absent) };
    let documents = inline.policy_names.into_iter().map(|policy| async move {
        let result = aws.get_role_policy().role_name(name).policy_name(&policy).send().await;
        let out = optional(result.map_err(|e| CallError::new("iam:GetRolePolicy", e)))?;
        Ok::<_, CallError>((policy, document(&out.map(|out| out.policy_document).unwrap_or_default())))
    });
    let inline = futures_util::future::try_join_all(documents).await?.into_iter().collect();
    let mut attached: Vec<String> =
        attached.attached_policies.unwrap_or_default().into_iter().filter_map(|policy| policy.policy_arn).collect();
    attached.sort();
    let tags = tags_of(role.tags());
    let trust = document(role.assume_role_policy_document().unwrap_or_default());
    let observed = Observed { trust, inline, attached, tags: own_tags(&tags) };
    Ok(Found::by_tags(stack, &tags, &format!("the role {name}"), observed))
}

pub fn diff(desired: &Role, found: &Found<Observed>) -> Change {
    let Role { name, trust, inline, attached, tags } = desired;
    let mut change = Change::new(Address::Role, name);
    let observed = match found {
        Found::Foreign(foreign) => return Change::blocked(Address::Role, name, &foreign.reason),
        Found::Absent => {
            change.set("trust_policy", trust);
            for (policy, document) in inline {
                change.set(&format!("inline_policy.{policy}"), document);
            }
            if !attached.is_empty() {
                change.set("managed_policies", attached);
            }
            change.set("tags", tags);
            change.up(Step::Create { name: name.clone(), trust: trust.clone(), tags: tags.clone() });
            for (policy, document) in inline {
                let (policy, document) = (policy.clone(), document.clone());
                change.up(Step::PutInline { name: name.clone(), policy, document });
            }
            for arn in attached {
                change.up(Step::Attach { name: name.clone(), arn: arn.clone() });
            }
            return change.action(Action::Create);
        }
        Found::Ours(observed) => observed,
    };
    if change.compare("trust_policy", &canonical(&observed.trust), &canonical(trust)) {
        change.up(Step::SetTrust { name: name.clone(), trust: trust.clone() });
    }
    for (policy, document) in inline {
        let before = observed.inline.get(policy).map(canonical);
        if change.compare(&format!("inline_policy.{policy}"), &before, &canonical(document)) {
            let (policy, document) = (policy.clone(), document.clone());
            change.up(Step::PutInline { name: name.clone(), policy, document });
        }
    }
    for (policy, document) in observed.inline.iter().filter(|(policy, _)| !inline.contains_key(*policy)) {
        change.lose(&format!("inline_policy.{policy}"), document);
        change.up(Step::DeleteInline { name: name.clone(), policy: policy.clone() });
    }
    if change.compare("managed_policies", &observed.attached, attached) {
        for arn in attached.iter().filter(|arn| !observed.attached.contains(arn)) {
            change.up(Step::Attach { name: name.clone(), arn: arn.clone() });
        }
        for arn in observed.attached.iter().filter(|arn| !attached.contains(arn)) {
            change.up(Step::Detach { name: name.clone(), arn: arn.clone() });
        }
    }
    if change.compare("tags", &observed.tags, tags) {
        let (set, remove) = tag_changes(&observed.tags, tags);
        change.up(Step::Tag { name: name.clone(), set, remove });
    }
    change.settle()
}

/// IAM deletes a role only when no policy is left on it (API DeleteRole).
pub fn delete(name: &str, observed: &Observed) -> Change {
    let mut change = Change::new(Address::Role, name);
    for policy in observed.inline.keys() {
        change.lose("inline_policy", policy);
        change.down(Step::DeleteInline { name: name.to_owned(), policy: policy.clone() });
    }
    for arn in &observed.attached {
        change.lose("managed_policy", arn);
        change.down(Step::Detach { name: name.to_owned(), arn: arn.clone() });
    }
    change.down(Step::Delete { name: name.to_owned() });
    change.action(Action::Delete)
}

pub async fn run(step: &Step, aws: &Writer) -> Result<(), CallError> {
    let iam = &aws.clients.iam;
    match step {
        Step::Create { name, trust, tags } => {
            let request = iam.create_role().role_name(name).assume_role_policy_document(trust.to_string());
            let request = request.description("Lets thumb's instances make thumbnails").set_tags(Some(iam_tags(tags)));
            match request.send().await.map_err(|e| CallError::new("iam:CreateRole", e)) {
                // Made by an attempt whose answer was lost, or by another apply at the same time: then it has our tags.
                Err(error) if error.kind == Kind::AlreadyExists => {
                    let role = iam.get_role().role_name(name).send().await;
                    let role = role.map_err(|e| CallError::new("iam:GetRole", e))?.role;
                    let found = role.map(|role| tags_of(role.tags())).unwrap_or_default();
                    if found.get(STACK_TAG) == tags.get(STACK_TAG) { Ok(()) } else { Err(error) }
                }
                result => result.map(drop),
            }
        }
        Step::SetTrust { name, trust } => {
            let request = iam.update_assume_role_policy().role_name(name).policy_document(trust.to_string());
            request.send().await.map(drop).map_err(|e| CallError::new("iam:UpdateAssumeRolePolicy", e))
        }
        Step::PutInline { name, policy, document } => {
            let request = iam.put_role_policy().role_name(name).policy_name(policy);
            let result = request.policy_document(document.to_string()).send().await;
            result.map(drop).map_err(|e| CallError::new("iam:PutRolePolicy", e))
        }
        Step::DeleteInline { name, policy } => {
            let result = iam.delete_role_policy().role_name(name).policy_name(policy).send().await;
            gone_is_fine(result.map_err(|e| CallError::new("iam:DeleteRolePolicy", e)))
        }
        Step::Attach { name, arn } => {
            let result = iam.attach_role_policy().role_name(name).policy_arn(arn).send().await;
            result.map(drop).map_err(|e| CallError::new("iam:AttachRolePolicy", e))
        }
        Step::Detach { name, arn } => {
            let result = iam.detach_role_policy().role_name(name).policy_arn(arn).send().await;
            gone_is_fine(result.map_err(|e| CallError::new("iam:DetachRolePolicy", e)))
        }
        Step::Tag { name, set, remove } => {
            if !set.is_empty() {
                let request = iam.tag_role().role_name(name).set_tags(Some(iam_tags(set)));
                request.send().await.map_err(|e| CallError::new("iam:TagRole", e))?;
            }
            if !remove.is_empty() {
                let request = iam.untag_role().role_name(name).set_tag_keys(Some(remove.clone()));
                request.send().await.map_err(|e| CallError::new("iam:UntagRole", e))?;
            }
            Ok(())
        }
        Step::Delete { name } => gone_is_fine(
            iam.delete_role().role_name(name).send().await.map_err(|e| CallError::new("iam:DeleteRole", e)),
        ),
    }
}

pub(super) fn iam_tags(tags: &Tags) -> Vec<Tag> {
    tags.iter()
        .map(|(key, value)| Tag::builder().key(key).value(value).build().expect("key and value are set"))
        .collect()
}

pub(super) fn tags_of(tags: &[Tag]) -> Tags {
    tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect()
}

/// IAM answers documents URL-encoded (RFC 3986).
fn document(encoded: &str) -> Value {
    let text = percent_encoding::percent_decode_str(encoded).decode_utf8_lossy();
    serde_json::from_str(&text).unwrap_or_else(|_| Value::String(text.into_owned()))
}
