//! The log group (CloudWatch Logs) that the workers on the instances write their lines to.

use std::collections::HashMap;

use super::{
    Found, RetryPolicy, StepContext, Tags, ok_if_gone, optional, own_tags, release_tags, tag_changes, wanted_tags,
};
use crate::aws::{CallError, CallResult, Errors, Kind, Reader, Writer};
use crate::stack::address::Address;
use crate::stack::change::{Action, Change};

/// A log group as declared.
#[derive(Clone, Debug, PartialEq)]
pub struct LogGroup {
    pub name: String,
    pub retention_days: i32,
    pub tags: Tags,
}

/// A log group as observed.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    pub arn: String,
    /// None: it keeps its lines for ever.
    pub retention_days: Option<i32>,
    pub tags: Tags,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Create { name: String, tags: Tags },
    Retain { name: String, days: i32 },
    Tag { arn: String, set: Tags, remove: Vec<String> },
    Delete { name: String },
}

/// # Errors
/// A call fails.
pub async fn read(aws: &Reader, stack: &str, name: &str) -> Result<Found<Observed>, Errors> {
    // Sorted by name, so that the name itself comes before those that it begins.
    let result = aws.describe_log_groups().log_group_name_prefix(name).send().await;
    let groups = result.action("logs:DescribeLogGroups")?.log_groups.unwrap_or_default();
    let Some(group) = groups.into_iter().find(|group| group.log_group_name() == Some(name)) else {
        return Ok(Found::Absent);
    };
    // The older of its two ARNs ends in `:*`, which the calls about tags do not take (API LogGroup, `logGroupArn`).
    let arn = group.arn().unwrap_or_default().trim_end_matches(":*").to_owned();
    let result = aws.list_tags_for_log_group().resource_arn(&arn).send().await;
    let Some(tags) = optional(result.action("logs:ListTagsForResource"))? else { return Ok(Found::Absent) };
    let tags: Tags = tags.tags.unwrap_or_default().into_iter().collect();
    let observed = Observed { arn, retention_days: group.retention_in_days(), tags: own_tags(&tags) };
    Ok(Found::by_tags(stack, &tags, &format!("the log group {name}"), observed))
}

pub fn diff(desired: &LogGroup, found: &Found<Observed>) -> Change<Step> {
    let LogGroup { name, retention_days, tags } = desired;
    let mut change = Change::new(Address::LogGroup, name);
    let retain = Step::Retain { name: name.clone(), days: *retention_days };
    let observed = match found {
        Found::Foreign(foreign) => return Change::blocked(Address::LogGroup, name, &foreign.reason),
        Found::Absent => {
            change.set("retention", &days(Some(*retention_days)));
            change.set("tags", tags);
            change.step(Step::Create { name: name.clone(), tags: tags.clone() });
            change.step(retain);
            return change.action(Action::Create);
        }
        Found::Ours(observed) => observed,
    };
    if change.compare("retention", &days(observed.retention_days), &days(Some(*retention_days))) {
        change.step(retain);
    }
    let wanted = wanted_tags(tags, &observed.tags);
    if change.compare("tags", &observed.tags, &wanted) {
        let (set, remove) = tag_changes(&observed.tags, &wanted);
        change.step(Step::Tag { arn: observed.arn.clone(), set, remove });
    }
    change.settle()
}

fn days(days: Option<i32>) -> String {
    days.map_or_else(|| "for ever".to_owned(), |days| format!("{days}d"))
}

pub fn delete(name: &str, observed: &Observed) -> Change<Step> {
    let mut change = Change::new(Address::LogGroup, name);
    change.removed("retention", &days(observed.retention_days));
    change.removal(Step::Delete { name: name.to_owned() });
    change.action(Action::Delete)
}

/// Releases an adopted log group.
pub fn release(name: &str, observed: &Observed, configured: &Tags) -> Change<Step> {
    let step = |set, remove| Step::Tag { arn: observed.arn.clone(), set, remove };
    release_tags(Address::LogGroup, name, &observed.tags, configured, step)
}

pub async fn run(step: &Step, aws: &Writer, context: &StepContext<'_>) -> Result<(), CallError> {
    let logs = &aws.clients.logs;
    let tag_map = |tags: &Tags| tags.clone().into_iter().collect::<HashMap<_, _>>();
    // Another change of the same group is going on (API CreateLogGroup, OperationAbortedException).
    let (busy, why) = (|error: &CallError| error.kind == Kind::NotYet, "waiting for another change of the log group");
    match step {
        Step::Create { name, tags } => {
            let create = || async {
                let request = logs.create_log_group().log_group_name(name).set_tags(Some(tag_map(tags)));
                request.send().await.map(drop).action("logs:CreateLogGroup")
            };
            match context.retry(&RetryPolicy::PROPAGATION, why, busy, create).await {
                // Created by an attempt whose response was lost, or by a concurrent apply: then it has our tags.
                Err(error) if error.kind == Kind::AlreadyExists => {
                    let found = read(&Reader::new(&aws.clients), context.stack, name).await;
                    if found.is_ok_and(|found| found.ours().is_some()) { Ok(()) } else { Err(error) }
                }
                result => result,
            }
        }
        Step::Retain { name, days } => {
            let retain = || async {
                let request = logs.put_retention_policy().log_group_name(name).retention_in_days(*days);
                request.send().await.map(drop).action("logs:PutRetentionPolicy")
            };
            context.retry(&RetryPolicy::PROPAGATION, why, busy, retain).await
        }
        Step::Tag { arn, set, remove } => {
            if !set.is_empty() {
                let request = logs.tag_resource().resource_arn(arn).set_tags(Some(tag_map(set)));
                request.send().await.action("logs:TagResource")?;
            }
            if !remove.is_empty() {
                let request = logs.untag_resource().resource_arn(arn).set_tag_keys(Some(remove.clone()));
                request.send().await.action("logs:UntagResource")?;
            }
            Ok(())
        }
        Step::Delete { name } => {
            let delete = || async {
                let result = logs.delete_log_group().log_group_name(name).send().await;
                ok_if_gone(result.action("logs:DeleteLogGroup"))
            };
            context.retry(&RetryPolicy::PROPAGATION, why, busy, delete).await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::resources::STACK_TAG;

    fn desired() -> LogGroup {
        let tags = Tags::from([(STACK_TAG.into(), "cats".into())]);
        LogGroup { name: "/thumb/cats".into(), retention_days: 14, tags }
    }

    fn built() -> Observed {
        Observed {
            arn: "arn:aws:logs:us-east-1:1:log-group:/thumb/cats".into(),
            retention_days: Some(14),
            tags: desired().tags,
        }
    }

    #[test]
    fn a_new_group_keeps_its_lines_as_long_as_declared() {
        let change = diff(&desired(), &Found::Absent);
        let LogGroup { name, tags, .. } = desired();
        assert_eq!(change.action, Action::Create);
        assert_eq!(change.steps, [Step::Create { name: name.clone(), tags }, Step::Retain { name, days: 14 }]);
    }

    #[test]
    fn only_what_differs_is_changed() {
        assert_eq!(diff(&desired(), &Found::Ours(built())).action, Action::None);
        let forever = Observed { retention_days: None, ..built() };
        let change = diff(&desired(), &Found::Ours(forever));
        assert_eq!(change.steps, [Step::Retain { name: desired().name, days: 14 }]);
        assert_eq!((&change.attributes[0].before, &change.attributes[0].after), (&"for ever".into(), &"14d".into()));
        let mut tags = built().tags;
        tags.insert("a".into(), "b".into());
        let change = diff(&desired(), &Found::Ours(Observed { tags, ..built() }));
        assert_eq!(change.steps, [Step::Tag { arn: built().arn, set: Tags::new(), remove: vec!["a".into()] }]);
    }

    #[test]
    fn an_adopted_group_is_given_back_with_its_own_tags() {
        let theirs = Tags::from([("team".into(), "birds".into())]);
        let found = Found::by_tags("cats", &theirs, "the log group", Observed { tags: theirs.clone(), ..built() });
        assert_eq!(diff(&desired(), &found).action, Action::Blocked);
        let adopted = found.adopt();
        let change = diff(&desired(), &adopted);
        let [Step::Tag { set, remove, .. }] = &change.steps[..] else { panic!("{:?}", change.steps) };
        assert!(set.contains_key(STACK_TAG) && remove.is_empty(), "{change:?}");
        let mut tags = theirs.clone();
        tags.extend(set.clone());
        let change = release("/thumb/cats", &Observed { tags, ..built() }, &Tags::new());
        let [Step::Tag { set, remove, .. }] = &change.removals[..] else { panic!("{:?}", change.removals) };
        assert_eq!((set.len(), remove.len()), (0, 2), "thumb:stack and thumb:adopted");
    }
}
