//! The queue and its dead-letter queue (SQS).

mod deletion;
pub mod senders;

use std::collections::BTreeMap;

use aws_sdk_sqs::types::QueueAttributeName as Name;
use serde_json::{Value, json};

use super::{
    Found, RELEASED, RetryPolicy, StepContext, Tags, kept_tags, ok_if_gone, optional, own_tags, tag_changes,
    wanted_tags,
};
use crate::aws::{CallError, CallResult, Errors, Kind, Reader, Writer, all};
use crate::stack::address::Address;
use crate::stack::change::{Action, Change};

/// A queue as declared.
#[derive(Clone, Debug, PartialEq)]
pub struct Queue {
    pub name: String,
    pub visibility_timeout_s: u32,
    pub retention_s: u32,
    /// The redrive policy; none for the dead-letter queue itself.
    pub redrive: Option<Redrive>,
    /// The policy's statements of thumb's: those that let S3 send the triggers' events.
    pub senders: Vec<Value>,
    pub tags: Tags,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Redrive {
    pub dlq_arn: String,
    pub max_receives: u32,
}

/// A queue as observed.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    pub url: String,
    pub visibility_timeout_s: String,
    pub retention_s: String,
    /// The redrive policy's text; none when there is no policy.
    pub redrive: Option<String>,
    /// Who may send.
    pub policy: Option<Value>,
    /// The KMS key that encrypts the messages; none: SQS's own, or none at all.
    pub kms_key: Option<String>,
    /// Visible, in flight and delayed, as SQS estimates them.
    pub messages: u64,
    pub tags: Tags,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Create(Queue),
    SetAttributes { url: String, attributes: BTreeMap<String, String> },
    Tag { url: String, set: Tags, remove: Vec<String> },
    Delete { url: String },
}

impl Queue {
    /// The attributes that thumb sets, as SQS takes them: numbers as text, the redrive policy as JSON text.
    fn attributes(&self) -> BTreeMap<String, String> {
        let mut attributes = BTreeMap::from([
            (Name::VisibilityTimeout.to_string(), self.visibility_timeout_s.to_string()),
            (Name::MessageRetentionPeriod.to_string(), self.retention_s.to_string()),
        ]);
        if let Some(redrive) = &self.redrive {
            attributes.insert(Name::RedrivePolicy.to_string(), redrive.to_json().to_string());
        }
        if let Some(policy) = senders::with(None, &self.senders) {
            attributes.insert(Name::Policy.to_string(), policy.to_string());
        }
        attributes
    }
}

impl Redrive {
    fn to_json(&self) -> Value {
        json!({ "deadLetterTargetArn": self.dlq_arn, "maxReceiveCount": self.max_receives })
    }
}

pub async fn read(aws: &Reader, stack: &str, name: &str) -> Result<Found<Observed>, Errors> {
    let url = aws.get_queue_url().queue_name(name).send().await;
    let Some(url) = optional(url.action("sqs:GetQueueUrl"))?.and_then(|out| out.queue_url) else {
        return Ok(Found::Absent);
    };
    let attributes = async {
        let result = aws.get_queue_attributes().queue_url(&url).attribute_names(Name::All).send().await;
        optional(result.action("sqs:GetQueueAttributes"))
    };
    let tags = async {
        let result = aws.list_queue_tags().queue_url(&url).send().await;
        optional(result.action("sqs:ListQueueTags"))
    };
    let (Some(attributes), Some(tags)) = all!(attributes: attributes, tags: tags)? else {
        // Deleted between the calls.
        return Ok(Found::Absent);
    };
    let attributes = attributes.attributes.unwrap_or_default();
    let text = |name: Name| attributes.get(&name).cloned();
    let count = |name: Name| text(name).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
    let tags: Tags = tags.tags.unwrap_or_default().into_iter().collect();
    let observed = Observed {
        visibility_timeout_s: text(Name::VisibilityTimeout).unwrap_or_default(),
        retention_s: text(Name::MessageRetentionPeriod).unwrap_or_default(),
        redrive: text(Name::RedrivePolicy).filter(|policy| !policy.is_empty()),
        policy: text(Name::Policy).and_then(|policy| serde_json::from_str(&policy).ok()),
        kms_key: text(Name::KmsMasterKeyId).filter(|key| !key.is_empty()),
        messages: count(Name::ApproximateNumberOfMessages)
            + count(Name::ApproximateNumberOfMessagesNotVisible)
            + count(Name::ApproximateNumberOfMessagesDelayed),
        tags: own_tags(&tags),
        url,
    };
    Ok(Found::by_tags(stack, &tags, &format!("the queue {name}"), observed))
}

pub fn diff(address: Address, desired: &Queue, found: &Found<Observed>) -> Change<Step> {
    let Queue { name, visibility_timeout_s, retention_s, redrive, senders: _, tags } = desired;
    let mut change = Change::new(address, name);
    let observed = match found {
        Found::Foreign(foreign) => return Change::blocked(address, name, &foreign.reason),
        Found::Absent => {
            change.unknown("url", None);
            change.set("visibility_timeout", &seconds(&visibility_timeout_s.to_string()));
            change.set("retention", &seconds(&retention_s.to_string()));
            change.set("redrive_policy", &redrive.as_ref().map(Redrive::to_json));
            change.set("policy", &senders::with(None, &desired.senders));
            change.set("tags", tags);
            change.step(Step::Create(desired.clone()));
            return change.action(Action::Create);
        }
        Found::Ours(observed) => observed,
    };
    let wanted = desired.attributes();
    let mut attributes = BTreeMap::new();
    let mut compare = |label: &str, name: Name, before: Value, after: Value| {
        if change.compare(label, &before, &after) {
            let name = name.to_string();
            // An empty value removes the redrive policy.
            let value = wanted.get(&name).cloned().unwrap_or_default();
            attributes.insert(name, value);
        }
    };
    let number = |n: &u32| seconds(&n.to_string());
    compare(
        "visibility_timeout",
        Name::VisibilityTimeout,
        seconds(&observed.visibility_timeout_s),
        number(visibility_timeout_s),
    );
    compare("retention", Name::MessageRetentionPeriod, seconds(&observed.retention_s), number(retention_s));
    // SQS returns the policy as it was written: numbers as text, keys in any order. Only the values are compared.
    let before = observed.redrive.as_deref().map(redrive_json).unwrap_or_default();
    let after = redrive.as_ref().map(Redrive::to_json).unwrap_or_default();
    compare("redrive_policy", Name::RedrivePolicy, before, after);
    if !attributes.is_empty() {
        change.step(Step::SetAttributes { url: observed.url.clone(), attributes });
    }
    diff_policy(&mut change, desired, observed);
    let tags = wanted_tags(tags, &observed.tags);
    if change.compare("tags", &observed.tags, &tags) {
        let (set, remove) = tag_changes(&observed.tags, &tags);
        change.step(Step::Tag { url: observed.url.clone(), set, remove });
    }
    change.settle()
}

/// Adds what the policy lacks, and at the end, when no bucket has a rule any more that it does not need, takes off the rest.
fn diff_policy(change: &mut Change<Step>, desired: &Queue, observed: &Observed) {
    let before = observed.policy.as_ref();
    let after = senders::with(before, &desired.senders);
    if senders::same(before, after.as_ref()) {
        return;
    }
    change.compare("policy", &before, &after.as_ref());
    let set = |policy: Option<&Value>| {
        // An empty value removes the policy.
        let policy = policy.map(Value::to_string).unwrap_or_default();
        let attributes = BTreeMap::from([(Name::Policy.to_string(), policy)]);
        Step::SetAttributes { url: observed.url.clone(), attributes }
    };
    let between = senders::with_leaving(before, &desired.senders);
    if !senders::same(before, between.as_ref()) {
        change.step(set(between.as_ref()));
    }
    if !senders::same(between.as_ref(), after.as_ref()) {
        change.removal(set(after.as_ref()));
    }
}

pub fn delete(address: Address, name: &str, observed: &Observed) -> Change<Step> {
    let mut change = Change::new(address, name);
    change.removed("url", &observed.url);
    if observed.messages > 0 {
        change.removed("messages", &format!("about {}", observed.messages));
    }
    change.removal(Step::Delete { url: observed.url.clone() });
    change.action(Action::Delete)
}

/// Releases an adopted queue. `dlq`: the stack's dead-letter queue, if it is deleted: then the redrive policy is removed.
pub fn release(
    address: Address,
    name: &str,
    observed: &Observed,
    configured: &Tags,
    dlq: Option<&str>,
) -> Change<Step> {
    let mut change = Change::new(address, name);
    change.reason = Some(RELEASED.into());
    let redrive = observed.redrive.as_deref().map(redrive_json).unwrap_or_default();
    let target = redrive["deadLetterTargetArn"].as_str().and_then(|arn| arn.rsplit(':').next());
    if target.is_some() && target == dlq {
        change.removed("redrive_policy", &redrive);
        let attributes = BTreeMap::from([(Name::RedrivePolicy.to_string(), String::new())]);
        change.removal(Step::SetAttributes { url: observed.url.clone(), attributes });
    }
    diff_policy_of_released(&mut change, observed);
    let kept = kept_tags(&observed.tags, configured);
    change.compare("tags", &observed.tags, &kept);
    let (set, remove) = tag_changes(&observed.tags, &kept);
    change.removal(Step::Tag { url: observed.url.clone(), set, remove });
    change.action(Action::Update)
}

/// A released queue keeps the statements of others.
fn diff_policy_of_released(change: &mut Change<Step>, observed: &Observed) {
    let before = observed.policy.as_ref();
    let after = senders::with(before, &[]);
    if !senders::same(before, after.as_ref()) {
        change.compare("policy", &before, &after.as_ref());
        let policy = after.map(|policy| policy.to_string()).unwrap_or_default();
        let attributes = BTreeMap::from([(Name::Policy.to_string(), policy)]);
        change.removal(Step::SetAttributes { url: observed.url.clone(), attributes });
    }
}

pub async fn run(step: &Step, aws: &Writer, context: &StepContext<'_>) -> Result<(), CallError> {
    let sqs = &aws.clients.sqs;
    match step {
        Step::Create(queue) => {
            let url = create(queue, aws, context).await?;
            context.outputs.facts().queue_urls.insert(context.address, url);
            Ok(())
        }
        Step::SetAttributes { url, attributes } => {
            with_dlq(context, || async {
                let attributes = attributes.iter().map(|(name, value)| (Name::from(name.as_str()), value.clone()));
                let request = sqs.set_queue_attributes().queue_url(url).set_attributes(Some(attributes.collect()));
                request.send().await.map(drop).action("sqs:SetQueueAttributes")
            })
            .await
        }
        Step::Tag { url, set, remove } => {
            if !set.is_empty() {
                let request = sqs.tag_queue().queue_url(url).set_tags(Some(set.clone().into_iter().collect()));
                request.send().await.action("sqs:TagQueue")?;
            }
            if !remove.is_empty() {
                let request = sqs.untag_queue().queue_url(url).set_tag_keys(Some(remove.clone()));
                request.send().await.action("sqs:UntagQueue")?;
            }
            Ok(())
        }
        Step::Delete { url } => {
            let result = sqs.delete_queue().queue_url(url).send().await;
            ok_if_gone(result.action("sqs:DeleteQueue"))?;
            deletion::wait_until_gone(url, aws, context).await
        }
    }
}

/// Returns the URL of the new queue.
async fn create(queue: &Queue, aws: &Writer, context: &StepContext<'_>) -> Result<String, CallError> {
    let why = "AWS does not allow reusing a deleted queue's name for 60 seconds; waiting";
    let recently = |error: &CallError| error.kind == Kind::QueueDeletedRecently;
    let create = || async {
        let attributes = queue.attributes().into_iter().map(|(name, value)| (Name::from(name.as_str()), value));
        let request = aws.clients.sqs.create_queue().queue_name(&queue.name);
        let request = request.set_attributes(Some(attributes.collect()));
        let result = request.set_tags(Some(queue.tags.clone().into_iter().collect())).send().await;
        result.map(|out| out.queue_url.unwrap_or_default()).action("sqs:CreateQueue")
    };
    context.retry(&RetryPolicy::QUEUE_NAME, why, recently, || with_dlq(context, create)).await
}

/// Repeats a call that names the dead-letter queue until SQS knows it.
async fn with_dlq<T, F: Future<Output = Result<T, CallError>>>(
    context: &StepContext<'_>,
    call: impl FnMut() -> F,
) -> Result<T, CallError> {
    let why = "waiting for the new dead-letter queue to reach all of SQS";
    context.retry(&RetryPolicy::NEW_QUEUE, why, |error| error.kind == Kind::NotYet, call).await
}

/// The redrive policy's two fields with their real types, however SQS was given them; anything else as it is.
fn redrive_json(text: &str) -> Value {
    let Ok(mut policy) = serde_json::from_str::<Value>(text) else {
        return Value::String(text.to_owned());
    };
    if let Some(count) = policy.get_mut("maxReceiveCount")
        && let Some(number) = count.as_str().and_then(|text| text.parse::<u32>().ok())
    {
        *count = number.into();
    }
    policy
}

/// A number of seconds as SQS answers it, the way thumb.toml writes it: "4d". What is no number stays as it is.
fn seconds(text: &str) -> Value {
    match text.parse::<u64>() {
        Ok(0) | Err(_) => text.into(),
        Ok(seconds) => crate::text::seconds(seconds).into(),
    }
}

#[cfg(test)]
mod tests;
