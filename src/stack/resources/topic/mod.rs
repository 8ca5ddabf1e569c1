//! The topic (SNS): alarms go to it, and by e-mail to whom thumb.toml names; with `topic = true` the workers' events, too.
//!
//! The topic's e-mail subscriptions are thumb's; those of other protocols (a queue, a function, a web server) are their owners'.
//! E-mail gets the alarms only, by a filter: nobody wants a mail for each thumbnail.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_sns::types::{Subscription as SdkSubscription, Tag};

use super::{
    Found, StepContext, Tags, is_adopted, ok_if_gone, optional, own_tags, release_tags, tag_changes, wanted_tags,
};
use crate::aws::{CallError, CallResult, Kind, Reader, Writer};
use crate::stack::address::Address;
use crate::stack::change::{Action, Change};

/// Pages of subscriptions, a hundred each.
const MAX_PAGES: usize = 10;
/// What SNS has for an ARN until somebody has confirmed (API ListSubscriptionsByTopic).
const PENDING: &str = "PendingConfirmation";
const EMAIL: &str = "email";
/// Of alarms, whose text is JSON with this field (CloudWatch user guide, "Notifying users on alarm changes").
const ALARMS_ONLY: &str = r#"{"AlarmName":[{"exists":true}]}"#;
/// The filter looks at the text: at a message without attributes SNS's filters for attributes do not look.
const SCOPE: &str = "MessageBody";

/// A topic as declared.
#[derive(Clone, Debug, PartialEq)]
pub struct Topic {
    pub name: String,
    pub arn: String,
    pub email: BTreeSet<String>,
    pub tags: Tags,
}

/// A topic as observed.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    pub arn: String,
    /// By their addresses.
    pub email: BTreeMap<String, Subscription>,
    pub tags: Tags,
}

/// A subscription by e-mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subscription {
    /// Until its receiver has followed the link in SNS's mail.
    Pending,
    Confirmed {
        arn: String,
        /// Whether it gets the alarms and nothing else.
        alarms_only: bool,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Create { name: String, arn: String, tags: Tags },
    Subscribe { topic: String, email: String },
    Filter { subscription: String },
    Unsubscribe { subscription: String },
    Tag { arn: String, set: Tags, remove: Vec<String> },
    Delete { arn: String },
}

/// # Errors
/// A call fails.
pub async fn read(aws: &Reader, stack: &str, name: &str, arn: &str) -> Result<Found<Observed>, CallError> {
    let result = aws.list_tags_for_topic().resource_arn(arn).send().await;
    let Some(tags) = optional(result.action("sns:ListTagsForResource"))? else { return Ok(Found::Absent) };
    let tags = tags.tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value));
    let tags: Tags = tags.collect();
    let Some(subscriptions) = subscriptions(aws, arn).await? else { return Ok(Found::Absent) };
    let mut email = BTreeMap::new();
    for one in subscriptions.into_iter().filter(|one| one.protocol() == Some(EMAIL)) {
        let Some(address) = one.endpoint.clone() else { continue };
        let subscription = match one.subscription_arn() {
            Some(arn) if arn.starts_with("arn:") => {
                let Some(alarms_only) = alarms_only(aws, arn).await? else { continue };
                Subscription::Confirmed { arn: arn.to_owned(), alarms_only }
            }
            Some(PENDING) => Subscription::Pending,
            // "Deleted": for a while after somebody has unsubscribed.
            _ => continue,
        };
        email.insert(address, subscription);
    }
    let observed = Observed { arn: arn.to_owned(), email, tags: own_tags(&tags) };
    Ok(Found::by_tags(stack, &tags, &format!("the topic {name}"), observed))
}

async fn subscriptions(aws: &Reader, arn: &str) -> Result<Option<Vec<SdkSubscription>>, CallError> {
    let mut all = Vec::new();
    let mut next = None;
    for _ in 0..MAX_PAGES {
        let result = aws.list_subscriptions_by_topic().topic_arn(arn).set_next_token(next).send().await;
        let Some(page) = optional(result.action("sns:ListSubscriptionsByTopic"))? else { return Ok(None) };
        all.extend(page.subscriptions.unwrap_or_default());
        next = page.next_token.filter(|token| !token.is_empty());
        if next.is_none() {
            break;
        }
    }
    Ok(Some(all))
}

/// Whether a subscription has thumb's filter; `None`: it is gone.
async fn alarms_only(aws: &Reader, subscription: &str) -> Result<Option<bool>, CallError> {
    let result = aws.get_subscription_attributes().subscription_arn(subscription).send().await;
    let Some(out) = optional(result.action("sns:GetSubscriptionAttributes"))? else { return Ok(None) };
    let attributes = out.attributes.unwrap_or_default();
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    let filter = attributes.get("FilterPolicy").and_then(|text| json(text));
    let scope = attributes.get("FilterPolicyScope").map(String::as_str);
    Ok(Some(filter == json(ALARMS_ONLY) && scope == Some(SCOPE)))
}

pub fn diff(desired: &Topic, found: &Found<Observed>) -> Change<Step> {
    let Topic { name, arn, email, tags } = desired;
    let mut change = Change::new(Address::Topic, name);
    let subscribe = |email: &String| Step::Subscribe { topic: arn.clone(), email: email.clone() };
    let observed = match found {
        Found::Foreign(foreign) => return Change::blocked(Address::Topic, name, &foreign.reason),
        Found::Absent => {
            change.set("email", email);
            change.set("tags", tags);
            change.step(Step::Create { name: name.clone(), arn: arn.clone(), tags: tags.clone() });
            email.iter().for_each(|email| change.step(subscribe(email)));
            return change.action(Action::Create);
        }
        Found::Ours(observed) => observed,
    };
    diff_email(&mut change, desired, observed, subscribe);
    let wanted = wanted_tags(tags, &observed.tags);
    if change.compare("tags", &observed.tags, &wanted) {
        let (set, remove) = tag_changes(&observed.tags, &wanted);
        change.step(Step::Tag { arn: arn.clone(), set, remove });
    }
    change.settle()
}

fn diff_email(change: &mut Change<Step>, desired: &Topic, observed: &Observed, subscribe: impl Fn(&String) -> Step) {
    // The subscriptions of an adopted topic are somebody's. A pending one cannot be ended: SNS forgets it after two days.
    let adopted = is_adopted(&observed.tags);
    let counts = |(email, subscription): &(&String, &Subscription)| {
        desired.email.contains(*email) || !adopted && **subscription != Subscription::Pending
    };
    let before: BTreeMap<&String, &Subscription> = observed.email.iter().filter(counts).collect();
    let wanted: BTreeSet<&String> = desired.email.iter().collect();
    let there: BTreeSet<&String> = before.keys().copied().collect();
    if change.compare("email", &there, &wanted) {
        wanted.difference(&there).for_each(|email| change.step(subscribe(email)));
        for email in there.difference(&wanted) {
            if let Subscription::Confirmed { arn, .. } = before[email] {
                change.step(Step::Unsubscribe { subscription: arn.clone() });
            }
        }
    }
    for (email, subscription) in before.iter().filter(|(email, _)| wanted.contains(**email)) {
        if let Subscription::Confirmed { arn, alarms_only: false } = subscription {
            change.compare(&format!("gets.{email}"), "everything", "alarms");
            change.step(Step::Filter { subscription: arn.clone() });
        }
    }
}

pub fn delete(name: &str, observed: &Observed) -> Change<Step> {
    let mut change = Change::new(Address::Topic, name);
    change.removed("email", &observed.email.keys().collect::<Vec<_>>());
    change.removal(Step::Delete { arn: observed.arn.clone() });
    change.action(Action::Delete)
}

/// Releases an adopted topic, with its subscriptions.
pub fn release(name: &str, observed: &Observed, configured: &Tags) -> Change<Step> {
    let step = |set, remove| Step::Tag { arn: observed.arn.clone(), set, remove };
    release_tags(Address::Topic, name, &observed.tags, configured, step)
}

/// What a plan says about who has to confirm.
pub fn notes(desired: &Topic, found: &Found<Observed>) -> Vec<String> {
    let observed = found.ours();
    let subscription = |email: &String| observed.and_then(|observed| observed.email.get(email));
    let new: Vec<&str> =
        desired.email.iter().filter(|email| subscription(email).is_none()).map(String::as_str).collect();
    let pending = desired.email.iter().filter(|email| subscription(email) == Some(&Subscription::Pending));
    let pending: Vec<&str> = pending.map(String::as_str).collect();
    let mut notes = Vec::new();
    if !new.is_empty() {
        notes.push(format!(
            "AWS sends a mail with a link to {}: alarms arrive there once somebody has followed it.",
            new.join(", ")
        ));
    }
    if !pending.is_empty() {
        notes.push(format!(
            "No alarm reaches {} yet: somebody has to follow the link in AWS's mail (\"AWS Notification - Subscription \
             Confirmation\"), which is good for two days; after that `thumb apply` sends another.",
            pending.join(", ")
        ));
    }
    notes
}

pub async fn run(step: &Step, aws: &Writer, context: &StepContext<'_>) -> Result<(), CallError> {
    let sns = &aws.clients.sns;
    match step {
        Step::Create { name, arn, tags } => {
            let request = sns.create_topic().name(name).set_tags(Some(sdk_tags(tags)));
            match request.send().await.action("sns:CreateTopic") {
                // It is there with other tags (API CreateTopic): perhaps by a concurrent apply of a newer thumb.toml.
                Err(error) if error.kind == Kind::AlreadyExists => {
                    let request = sns.list_tags_for_resource().resource_arn(arn);
                    let found = request.send().await.action("sns:ListTagsForResource")?.tags.unwrap_or_default();
                    let ours = |tag: &Tag| tag.key() == super::STACK_TAG && tag.value() == context.stack;
                    if found.iter().any(ours) { Ok(()) } else { Err(error) }
                }
                result => result.map(drop),
            }
        }
        // The same subscription again is the same subscription.
        Step::Subscribe { topic, email } => {
            let request = sns.subscribe().topic_arn(topic).protocol(EMAIL).endpoint(email);
            let request = request.attributes("FilterPolicyScope", SCOPE).attributes("FilterPolicy", ALARMS_ONLY);
            request.send().await.map(drop).action("sns:Subscribe")
        }
        Step::Filter { subscription } => {
            for (name, value) in [("FilterPolicyScope", SCOPE), ("FilterPolicy", ALARMS_ONLY)] {
                let request = sns.set_subscription_attributes().subscription_arn(subscription).attribute_name(name);
                request.attribute_value(value).send().await.action("sns:SetSubscriptionAttributes")?;
            }
            Ok(())
        }
        Step::Unsubscribe { subscription } => {
            let result = sns.unsubscribe().subscription_arn(subscription).send().await;
            ok_if_gone(result.action("sns:Unsubscribe"))
        }
        Step::Tag { arn, set, remove } => {
            if !set.is_empty() {
                let request = sns.tag_resource().resource_arn(arn).set_tags(Some(sdk_tags(set)));
                request.send().await.action("sns:TagResource")?;
            }
            if !remove.is_empty() {
                let request = sns.untag_resource().resource_arn(arn).set_tag_keys(Some(remove.clone()));
                request.send().await.action("sns:UntagResource")?;
            }
            Ok(())
        }
        Step::Delete { arn } => ok_if_gone(sns.delete_topic().topic_arn(arn).send().await.action("sns:DeleteTopic")),
    }
}

fn sdk_tags(tags: &Tags) -> Vec<Tag> {
    tags.iter().filter_map(|(key, value)| Tag::builder().key(key).value(value).build().ok()).collect()
}

#[cfg(test)]
mod tests;
