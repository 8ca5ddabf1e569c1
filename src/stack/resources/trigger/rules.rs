//! The rules of a bucket's notifications: which are the stack's, and which of others would overlap with them. Pure.

use aws_sdk_s3::types::{
    Event, FilterRule, FilterRuleName, NotificationConfiguration, NotificationConfigurationFilter, QueueConfiguration,
    S3KeyFilter,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::config::Trigger;
use crate::text::hex;

/// Hexadecimal digits at the end of a rule's ID.
const DIGITS: usize = 16;

/// A rule: for which objects and events S3 sends to which queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    pub id: String,
    pub queue_arn: String,
    /// "s3:ObjectCreated:*", sorted.
    pub events: Vec<String>,
    pub prefix: String,
    pub suffix: String,
}

impl Rule {
    pub fn new(stack: &str, queue_arn: &str, trigger: &Trigger, follow_deletes: bool) -> Self {
        let Trigger { bucket: _, prefix, suffix, sizes: _ } = trigger;
        // Of what makes it another rule: one that changes otherwise keeps its ID.
        let digest = Sha256::digest(format!("{prefix}\0{suffix}"));
        let mut events = vec![Event::S3ObjectCreated];
        if follow_deletes {
            events.extend([Event::S3ObjectRemoved, Event::S3LifecycleExpiration]);
        }
        let mut events: Vec<String> = events.iter().map(|event| event.as_str().to_owned()).collect();
        events.sort();
        Self {
            id: format!("{}{}", id_prefix(stack), hex(&digest[..DIGITS / 2])),
            queue_arn: queue_arn.to_owned(),
            events,
            prefix: prefix.clone(),
            suffix: suffix.clone(),
        }
    }

    fn from_sdk(rule: &QueueConfiguration) -> Self {
        let (prefix, suffix) = filter(rule.filter());
        let mut events: Vec<String> = rule.events().iter().map(|event| event.as_str().to_owned()).collect();
        events.sort();
        Self {
            id: rule.id().unwrap_or_default().to_owned(),
            queue_arn: rule.queue_arn().to_owned(),
            events,
            prefix,
            suffix,
        }
    }

    pub fn to_sdk(&self) -> QueueConfiguration {
        let rule = |name: FilterRuleName, value: &str| {
            (!value.is_empty()).then(|| FilterRule::builder().name(name).value(value).build())
        };
        let rules: Vec<FilterRule> =
            [rule(FilterRuleName::Prefix, &self.prefix), rule(FilterRuleName::Suffix, &self.suffix)]
                .into_iter()
                .flatten()
                .collect();
        let key = S3KeyFilter::builder().set_filter_rules(Some(rules.clone())).build();
        let filter = (!rules.is_empty()).then(|| NotificationConfigurationFilter::builder().key(key).build());
        QueueConfiguration::builder()
            .id(&self.id)
            .queue_arn(&self.queue_arn)
            .set_events(Some(self.events.iter().map(|event| Event::from(event.as_str())).collect()))
            .set_filter(filter)
            .build()
            .expect("it has a queue and events")
    }

    /// "the keys photos/*.jpg".
    fn keys(&self) -> String {
        keys(&self.prefix, &self.suffix)
    }
}

fn keys(prefix: &str, suffix: &str) -> String {
    format!("{prefix}*{suffix}")
}

fn id_prefix(stack: &str) -> String {
    format!("thumb-{stack}-")
}

/// Whether a rule is the stack's. The stack "a-b" has rules that begin as those of "a" do, and then go on.
pub fn is_ours(id: Option<&str>, stack: &str) -> bool {
    let rest = id.and_then(|id| id.strip_prefix(&id_prefix(stack)));
    rest.is_some_and(|rest| rest.len() == DIGITS && rest.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// The stack's rules in a bucket.
pub fn ours(all: &NotificationConfiguration, stack: &str) -> Vec<Rule> {
    all.queue_configurations().iter().filter(|rule| is_ours(rule.id(), stack)).map(Rule::from_sdk).collect()
}

/// The rules as a plan shows them, whatever their order: the keys, and the events.
pub fn shown(rules: &[Rule]) -> Value {
    let all = rules.iter().map(|rule| {
        let Rule { id, queue_arn, events, .. } = rule;
        (rule.keys(), json!({ "id": id, "events": events, "queue": queue_arn }))
    });
    let all: serde_json::Map<String, Value> = all.collect();
    if all.is_empty() { Value::Null } else { Value::Object(all) }
}

/// The bucket's notifications with exactly these rules of the stack's.
pub fn with(all: NotificationConfiguration, stack: &str, rules: &[Rule]) -> NotificationConfiguration {
    let mut all = all;
    let mut queues = all.queue_configurations.unwrap_or_default();
    queues.retain(|rule| !is_ours(rule.id(), stack));
    queues.extend(rules.iter().map(Rule::to_sdk));
    all.queue_configurations = Some(queues);
    all
}

/// Why S3 would refuse the rules beside those of others: it takes no two rules for one event whose prefixes and suffixes
/// overlap, whatever their destinations (S3 user guide, "Configuring event notifications with object key name filtering").
pub fn overlapping(all: &NotificationConfiguration, stack: &str, rules: &[Rule]) -> Option<String> {
    type Other<'a> = (Option<&'a str>, &'static str, &'a [Event], Option<&'a NotificationConfigurationFilter>);
    let queues = all.queue_configurations().iter().filter(|rule| !is_ours(rule.id(), stack));
    let queues = queues.map(|rule| -> Other<'_> { (rule.id(), "a queue", rule.events(), rule.filter()) });
    let topics = all.topic_configurations().iter();
    let topics = topics.map(|rule| -> Other<'_> { (rule.id(), "an SNS topic", rule.events(), rule.filter()) });
    let lambdas = all.lambda_function_configurations().iter();
    let lambdas = lambdas.map(|rule| -> Other<'_> { (rule.id(), "a Lambda function", rule.events(), rule.filter()) });
    let others: Vec<Other<'_>> = queues.chain(topics).chain(lambdas).collect();
    rules.iter().find_map(|rule| {
        let (id, what, _, other) = others.iter().find(|(_, _, events, other)| {
            let (prefix, suffix) = filter(*other);
            let prefixes = prefix.starts_with(&rule.prefix) || rule.prefix.starts_with(&prefix);
            let suffixes = suffix.ends_with(&rule.suffix) || rule.suffix.ends_with(&suffix);
            prefixes && suffixes && rule.events.iter().any(|ours| events.iter().any(|event| same(ours, event.as_str())))
        })?;
        let (prefix, suffix) = filter(*other);
        Some(format!(
            "the rule {} sends the events of {} to {what}, and S3 takes no second rule for some of the keys {}: make one of \
             them narrower, or send from there to the queue",
            id.unwrap_or("(without ID)"),
            keys(&prefix, &suffix),
            rule.keys()
        ))
    })
}

/// Whether two event types have an event in common: "s3:ObjectCreated:*" covers "s3:ObjectCreated:Put".
fn same(one: &str, other: &str) -> bool {
    let covers = |wide: &str, narrow: &str| wide.strip_suffix('*').is_some_and(|start| narrow.starts_with(start));
    one == other || covers(one, other) || covers(other, one)
}

/// The prefix and suffix of a filter. S3 answers their names as `Prefix` and `Suffix`, and takes them in any case.
fn filter(filter: Option<&NotificationConfigurationFilter>) -> (String, String) {
    let rules = filter.and_then(|filter| filter.key()).map(|key| key.filter_rules()).unwrap_or_default();
    let value = |wanted: &str| {
        let named =
            rules.iter().find(|rule| rule.name().is_some_and(|name| name.as_str().eq_ignore_ascii_case(wanted)));
        named.and_then(|rule| rule.value()).unwrap_or_default().to_owned()
    };
    (value("prefix"), value("suffix"))
}
