//! The IAM role of the instances: its trust policy and permissions.

use std::collections::BTreeMap;
use std::future::Future;

use aws_sdk_iam::types::Tag;
use serde_json::Value;

use super::policy::{self, AwsLocation, canonical};
use super::{
    Found, REGION_TAG, RELEASED, RetryPolicy, STACK_TAG, StepContext, Tags, is_adopted, kept_tags, ok_if_gone,
    optional, own_tags, read_part, tag_changes, wanted_tags,
};
use crate::aws::{CallError, CallResult, Errors, Kind, Reader, Writer, all};
use crate::stack::address::Address;
use crate::stack::change::{Action, Change};

/// The name of the inline policy that thumb writes.
pub const INLINE_POLICY: &str = "thumb-worker";
/// The maximum total size of a role's inline policies, in characters without white space (IAM quotas).
const MAX_INLINE_CHARS: usize = 10_240;

/// A role as declared: it has exactly these policies. An adopted role keeps its own as well.
#[derive(Clone, Debug, PartialEq)]
pub struct Role {
    pub name: String,
    pub trust: Value,
    /// Inline policies by name.
    pub inline: BTreeMap<String, Value>,
    /// ARNs of managed policies, sorted.
    pub attached: Vec<String>,
    /// The ARN of the permissions boundary; `None` keeps an existing one.
    pub boundary: Option<String>,
    pub tags: Tags,
}

/// A role as observed.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    pub trust: Value,
    pub inline: BTreeMap<String, Value>,
    pub attached: Vec<String>,
    pub boundary: Option<String>,
    pub tags: Tags,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Create { name: String, trust: Value, boundary: Option<String>, tags: Tags },
    SetBoundary { name: String, arn: String },
    SetTrust { name: String, trust: Value },
    PutInline { name: String, policy: String, document: Value },
    DeleteInline { name: String, policy: String },
    Attach { name: String, arn: String },
    Detach { name: String, arn: String },
    Tag { name: String, set: Tags, remove: Vec<String> },
    Delete { name: String },
}

pub async fn read(aws: &Reader, stack: &str, name: &str) -> Result<Found<Observed>, Errors> {
    let result = aws.get_role().role_name(name).send().await;
    let role = optional(result.action("iam:GetRole"));
    let inline = read_part(is_unknown, || async {
        let result = aws.list_role_policies().role_name(name).send().await;
        result.action("iam:ListRolePolicies")
    });
    let attached = read_part(is_unknown, || async {
        let result = aws.list_attached_role_policies().role_name(name).send().await;
        result.action("iam:ListAttachedRolePolicies")
    });
    let role = match role {
        Ok(role) => role.and_then(|out| out.role),
        // Report all missing permissions at once.
        Err(error) if error.kind == Kind::Denied => {
            return Err(Errors::from(error).and(all!(inline: inline, attached: attached)));
        }
        Err(error) => return Err(error.into()),
    };
    let Some(role) = role else { return Ok(Found::Absent) };
    let (inline, attached) = match all!(inline: inline, attached: attached) {
        // Deleted between the calls.
        Err(errors) if errors.any(is_unknown) => return Ok(Found::Absent),
        result => result?,
    };
    let documents = inline.policy_names.iter().map(|policy| async move {
        let out = read_part(is_unknown, || async {
            let result = aws.get_role_policy().role_name(name).policy_name(policy).send().await;
            result.action("iam:GetRolePolicy")
        });
        let out = optional(out.await)?;
        Ok::<_, CallError>((policy.clone(), document(&out.map(|out| out.policy_document).unwrap_or_default())))
    });
    let inline: BTreeMap<String, Value> = futures_util::future::try_join_all(documents).await?.into_iter().collect();
    let mut attached: Vec<String> =
        attached.attached_policies.unwrap_or_default().into_iter().filter_map(|policy| policy.policy_arn).collect();
    attached.sort();
    let tags = tags_of(role.tags());
    let trust = document(role.assume_role_policy_document().unwrap_or_default());
    let boundary = role.permissions_boundary.and_then(|boundary| boundary.permissions_boundary_arn);
    let region = region_of(&tags, &inline);
    let observed = Observed { trust, inline, attached, boundary, tags: own_tags(&tags) };
    let what = format!("the role {name}");
    let found = Found::by_tags(stack, &tags, &what, observed);
    Ok(found.in_region(stack, aws.region(), region.as_deref(), &what))
}

/// Of each managed policy that is not there, or cannot be checked, a sentence that says so. The permission to check is not
/// required: without it the first `apply` finds out.
pub async fn read_policy_warnings(aws: &Reader, location: &AwsLocation, policies: &[String]) -> Vec<String> {
    let reads = policies.iter().map(|policy| async move {
        let result = aws.get_policy().policy_arn(location.policy_arn(policy)).send().await;
        match result.action("iam:GetPolicy") {
            Ok(_) => None,
            Err(error) if error.kind == Kind::NotFound => Some(format!(
                "The policy {policy} in [profile] does not exist: apply will create everything else and then fail to attach it."
            )),
            Err(error) if error.kind == Kind::Denied => None,
            Err(error) => Some(format!("Cannot check the policy {policy} in [profile] ({error}).")),
        }
    });
    futures_util::future::join_all(reads).await.into_iter().flatten().collect()
}

/// The region of the stack of a role: from its tag or, for a role older than that tag, from the queue ARN in its inline
/// policy.
fn region_of(tags: &Tags, inline: &BTreeMap<String, Value>) -> Option<String> {
    tags.get(REGION_TAG).cloned().or_else(|| policy::queue_region(inline.get(INLINE_POLICY)?))
}

pub fn diff(desired: &Role, found: &Found<Observed>) -> Change<Step> {
    let Role { name, trust, inline, attached, boundary, tags } = desired;
    let mut change = Change::new(Address::Role, name);
    let chars = inline.values().map(|document| document.to_string().chars().filter(|c| !c.is_whitespace()).count());
    let chars: usize = chars.sum();
    if chars > MAX_INLINE_CHARS && !matches!(found, Found::Foreign(_)) {
        let why = format!(
            "its policy would have {chars} characters, but IAM allows {MAX_INLINE_CHARS}: name fewer buckets in `sources`, \
             or fewer `kms_keys`"
        );
        return Change::blocked(Address::Role, name, why);
    }
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
            change.set("permissions_boundary", boundary);
            change.set("tags", tags);
            let (trust, boundary, tags) = (trust.clone(), boundary.clone(), tags.clone());
            change.step(Step::Create { name: name.clone(), trust, boundary, tags });
            for (policy, document) in inline {
                let (policy, document) = (policy.clone(), document.clone());
                change.step(Step::PutInline { name: name.clone(), policy, document });
            }
            for arn in attached {
                change.step(Step::Attach { name: name.clone(), arn: arn.clone() });
            }
            return change.action(Action::Create);
        }
        Found::Ours(observed) => observed,
    };
    let adopted = is_adopted(&observed.tags);
    let trust = if adopted { policy::with_trust(&observed.trust, trust) } else { trust.clone() };
    if change.compare("trust_policy", &canonical(&observed.trust), &canonical(&trust)) {
        change.step(Step::SetTrust { name: name.clone(), trust });
    }
    for (policy, document) in inline {
        let before = observed.inline.get(policy).map(canonical);
        if change.compare(&format!("inline_policy.{policy}"), &before, &canonical(document)) {
            let (policy, document) = (policy.clone(), document.clone());
            change.step(Step::PutInline { name: name.clone(), policy, document });
        }
    }
    // An adopted role gains permissions and keeps its own; only the policy that thumb wrote is removed.
    let ours = |policy: &str| !adopted || policy == INLINE_POLICY;
    for (policy, document) in observed.inline.iter().filter(|(policy, _)| !inline.contains_key(*policy) && ours(policy))
    {
        change.removed(&format!("inline_policy.{policy}"), document);
        change.step(Step::DeleteInline { name: name.clone(), policy: policy.clone() });
    }
    let mut attached = attached.clone();
    if adopted {
        attached.extend(observed.attached.clone());
        attached.sort();
        attached.dedup();
    }
    if change.compare("managed_policies", &observed.attached, &attached) {
        for arn in attached.iter().filter(|arn| !observed.attached.contains(arn)) {
            change.step(Step::Attach { name: name.clone(), arn: arn.clone() });
        }
        for arn in observed.attached.iter().filter(|arn| !attached.contains(arn)) {
            change.step(Step::Detach { name: name.clone(), arn: arn.clone() });
        }
    }
    if let Some(arn) = boundary.as_ref().filter(|_| !adopted)
        && change.compare("permissions_boundary", &observed.boundary, arn)
    {
        change.step(Step::SetBoundary { name: name.clone(), arn: arn.clone() });
    }
    let tags = wanted_tags(tags, &observed.tags);
    if change.compare("tags", &observed.tags, &tags) {
        let (set, remove) = tag_changes(&observed.tags, &tags);
        change.step(Step::Tag { name: name.clone(), set, remove });
    }
    change.settle()
}

/// IAM deletes a role only after all its policies are removed (API DeleteRole).
pub fn delete(name: &str, observed: &Observed) -> Change<Step> {
    let mut change = Change::new(Address::Role, name);
    for policy in observed.inline.keys() {
        change.removed("inline_policy", policy);
        change.removal(Step::DeleteInline { name: name.to_owned(), policy: policy.clone() });
    }
    for arn in &observed.attached {
        change.removed("managed_policy", arn);
        change.removal(Step::Detach { name: name.to_owned(), arn: arn.clone() });
    }
    change.removal(Step::Delete { name: name.to_owned() });
    change.action(Action::Delete)
}

/// Releases an adopted role: removes what thumb added, the tags last, so that an interrupted release can continue. Managed
/// policies stay, because it is unknown which of them the role had before.
pub fn release(name: &str, observed: &Observed, configured: &Tags) -> Change<Step> {
    let mut change = Change::new(Address::Role, name);
    change.reason = Some(RELEASED.into());
    if let Some(document) = observed.inline.get(INLINE_POLICY) {
        change.removed(&format!("inline_policy.{INLINE_POLICY}"), document);
        change.removal(Step::DeleteInline { name: name.to_owned(), policy: INLINE_POLICY.into() });
    }
    if let Some(trust) = policy::without_trust(&observed.trust) {
        change.compare("trust_policy", &canonical(&observed.trust), &canonical(&trust));
        change.removal(Step::SetTrust { name: name.to_owned(), trust });
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
        Step::Create { name, trust, boundary, tags } => {
            let request = iam.create_role().role_name(name).assume_role_policy_document(trust.to_string());
            let request = request.set_permissions_boundary(boundary.clone());
            let request = request.description("Lets thumb's instances make thumbnails").set_tags(Some(iam_tags(tags)));
            match request.send().await.action("iam:CreateRole") {
                // Created by an attempt whose response was lost, or by a concurrent apply: then it has our tags.
                Err(error) if error.kind == Kind::AlreadyExists => {
                    let role = known(context, || async {
                        let result = iam.get_role().role_name(name).send().await;
                        result.action("iam:GetRole")
                    });
                    let found = role.await?.role.map(|role| tags_of(role.tags())).unwrap_or_default();
                    if same_stack(&found, tags) { Ok(()) } else { Err(error) }
                }
                result => result.map(drop),
            }
        }
        Step::SetBoundary { name, arn } => {
            known(context, || async {
                let result = iam.put_role_permissions_boundary().role_name(name).permissions_boundary(arn).send().await;
                result.map(drop).action("iam:PutRolePermissionsBoundary")
            })
            .await
        }
        Step::SetTrust { name, trust } => {
            known(context, || async {
                let request = iam.update_assume_role_policy().role_name(name).policy_document(trust.to_string());
                request.send().await.map(drop).action("iam:UpdateAssumeRolePolicy")
            })
            .await
        }
        Step::PutInline { name, policy, document } => {
            known(context, || async {
                let request = iam.put_role_policy().role_name(name).policy_name(policy);
                let result = request.policy_document(document.to_string()).send().await;
                result.map(drop).action("iam:PutRolePolicy")
            })
            .await
        }
        Step::DeleteInline { name, policy } => {
            let delete = || async {
                let result = iam.delete_role_policy().role_name(name).policy_name(policy).send().await;
                result.map(drop).action("iam:DeleteRolePolicy")
            };
            ok_if_gone(really_gone(context, delete).await)
        }
        Step::Attach { name, arn } => {
            known(context, || async {
                let result = iam.attach_role_policy().role_name(name).policy_arn(arn).send().await;
                result.map(drop).action("iam:AttachRolePolicy")
            })
            .await
        }
        Step::Detach { name, arn } => {
            let detach = || async {
                let result = iam.detach_role_policy().role_name(name).policy_arn(arn).send().await;
                result.map(drop).action("iam:DetachRolePolicy")
            };
            ok_if_gone(really_gone(context, detach).await)
        }
        Step::Tag { name, set, remove } => {
            if !set.is_empty() {
                known(context, || async {
                    let request = iam.tag_role().role_name(name).set_tags(Some(iam_tags(set)));
                    request.send().await.map(drop).action("iam:TagRole")
                })
                .await?;
            }
            if !remove.is_empty() {
                known(context, || async {
                    let request = iam.untag_role().role_name(name).set_tag_keys(Some(remove.clone()));
                    request.send().await.map(drop).action("iam:UntagRole")
                })
                .await?;
            }
            Ok(())
        }
        Step::Delete { name } => {
            // For a while after its last policy was removed IAM says that there is one (hashicorp/terraform-provider-aws,
            // aws_iam_role, waits for minutes).
            let in_use = |error: &CallError| error.kind == Kind::InUse;
            let why = "waiting for the removal of the role's policies to reach all of IAM";
            let delete = || async {
                let result = iam.delete_role().role_name(name).send().await;
                result.map(drop).action("iam:DeleteRole")
            };
            ok_if_gone(context.retry(&RetryPolicy::PROPAGATION, why, in_use, || really_gone(context, delete)).await)
        }
    }
}

/// Whether the tags found are those of the stack, and of the region, that these tags name.
pub(super) fn same_stack(found: &Tags, tags: &Tags) -> bool {
    [STACK_TAG, REGION_TAG].iter().all(|key| found.get(*key) == tags.get(*key))
}

/// IAM does not know a new role or instance profile yet, or is still changing it. Anything else that is not found, such as
/// a managed policy, does not exist.
pub(super) fn is_unknown(error: &CallError) -> bool {
    let known_as = ["The role with name", "Instance Profile"];
    error.kind == Kind::NotFound && known_as.iter().any(|text| error.message.contains(text))
}

/// A call about an existing role or instance profile: retried while IAM is not consistent.
pub(super) async fn known<T, F: Future<Output = Result<T, CallError>>>(
    context: &StepContext<'_>,
    call: impl FnMut() -> F,
) -> Result<T, CallError> {
    let again = |error: &CallError| is_unknown(error) || error.kind == Kind::NotYet;
    context.retry(&RetryPolicy::PROPAGATION, "waiting for it to reach all of IAM", again, call).await
}

/// A call that deletes: retried for a few seconds while IAM says that the resource does not exist, which may be wrong soon
/// after its creation.
pub(super) async fn really_gone<T, F: Future<Output = Result<T, CallError>>>(
    context: &StepContext<'_>,
    call: impl FnMut() -> F,
) -> Result<T, CallError> {
    let again = |error: &CallError| is_unknown(error) || error.kind == Kind::NotYet;
    context.retry(&RetryPolicy::IAM_GONE, "IAM does not find it; checking that it is really gone", again, call).await
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
