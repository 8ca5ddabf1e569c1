//! Alarms (CloudWatch): those that execute the scaling policies, each with the name of its policy, and those that tell somebody by
//! the stack's topic.

use std::collections::BTreeMap;

use aws_sdk_cloudwatch::types::{
    ComparisonOperator, Dimension, Metric as SdkMetric, MetricAlarm, MetricDataQuery, MetricStat,
};

use super::cloudwatch_tags::{sdk_tags, tag};
use super::metric_math::{Formula, Metric, PERIOD_S, RESULT};
use super::{Found, StepContext, Tags, ok_if_gone, optional, own_tags, tag_changes};
use crate::aws::{CallError, CallResult, Kind, Reader, Writer};
use crate::stack::address::{Address, Alert, Policy};
use crate::stack::change::{Action, Change};

/// What counts as a minute without data: a queue that has been idle for hours has no metrics.
const MISSING: &str = "notBreaching";

/// An alarm as declared.
#[derive(Clone, Debug, PartialEq)]
pub struct Alarm {
    pub name: String,
    pub does: Does,
    pub description: String,
    pub formula: Formula,
    pub comparison: Comparison,
    /// For so many minutes in a row the comparison must hold.
    pub minutes: i32,
    pub tags: Tags,
}

/// What an alarm does when it goes off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Does {
    Execute(Policy),
    Tell { alert: Alert, topic_arn: String },
}

impl Does {
    pub fn address(&self) -> Address {
        match self {
            Self::Execute(policy) => Address::Alarm(*policy),
            Self::Tell { alert, topic_arn: _ } => Address::Alert(*alert),
        }
    }

    /// What a plan calls it, and the address of what it acts on.
    fn words(&self) -> (&'static str, String) {
        match self {
            Self::Execute(policy) => ("executes", Address::ScalingPolicy(*policy).to_string()),
            Self::Tell { .. } => ("tells", Address::Topic.to_string()),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Comparison {
    AtLeast(f64),
    Below(f64),
}

impl Comparison {
    fn operator(self) -> (ComparisonOperator, f64) {
        match self {
            Self::AtLeast(threshold) => (ComparisonOperator::GreaterThanOrEqualToThreshold, threshold),
            Self::Below(threshold) => (ComparisonOperator::LessThanThreshold, threshold),
        }
    }

    fn of(operator: &ComparisonOperator, threshold: f64) -> Option<Self> {
        match operator {
            ComparisonOperator::GreaterThanOrEqualToThreshold => Some(Self::AtLeast(threshold)),
            ComparisonOperator::LessThanThreshold => Some(Self::Below(threshold)),
            _ => None,
        }
    }

    fn words(self) -> String {
        match self {
            Self::AtLeast(threshold) => format!("at least {threshold}"),
            Self::Below(threshold) => format!("below {threshold}"),
        }
    }
}

/// An alarm as observed.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    pub arn: String,
    /// None: of a kind that thumb does not write.
    pub rule: Option<Rule>,
    pub actions: Vec<String>,
    pub actions_enabled: bool,
    pub tags: Tags,
}

/// When an alarm goes off.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    pub description: String,
    pub formula: Formula,
    pub comparison: Comparison,
    pub minutes: i32,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Put {
        alarm: Box<Alarm>,
        /// The ARN of the policy or topic. None: of the policy that this run makes.
        action: Option<String>,
        /// Tags can be given at the creation only.
        new: bool,
    },
    Tag {
        arn: String,
        set: Tags,
        remove: Vec<String>,
    },
    Delete {
        name: String,
    },
}

/// The name of the alarm at an address, which is that of its policy.
pub fn name(stack: &str, address: Address) -> String {
    match address {
        Address::Alarm(policy) | Address::ScalingPolicy(policy) => format!("{stack}-{policy}"),
        Address::Alert(alert) => format!("{stack}-{alert}"),
        other => format!("{stack}-{other}"),
    }
}

/// The alarms of a stack.
pub async fn read(aws: &Reader, stack: &str) -> Result<BTreeMap<Address, Found<Observed>>, CallError> {
    let addresses: Vec<Address> =
        Policy::ALL.into_iter().map(Address::Alarm).chain(Alert::ALL.into_iter().map(Address::Alert)).collect();
    let names: Vec<String> = addresses.iter().map(|address| name(stack, *address)).collect();
    let request = aws.describe_alarms().set_alarm_names(Some(names));
    // An emulator without CloudWatch answers 404, and has no alarms.
    let out = optional(request.send().await.action("cloudwatch:DescribeAlarms"))?;
    let alarms = out.and_then(|out| out.metric_alarms).unwrap_or_default();
    let mut found = BTreeMap::new();
    for address in addresses {
        let name = name(stack, address);
        let Some(alarm) = alarms.iter().find(|alarm| alarm.alarm_name() == Some(&name)) else { continue };
        let arn = alarm.alarm_arn().unwrap_or_default();
        let result = aws.list_tags_for_resource().resource_arn(arn).send().await;
        let Some(tags) = optional(result.action("cloudwatch:ListTagsForResource"))? else { continue };
        let tags: Tags = tags
            .tags
            .unwrap_or_default()
            .into_iter()
            .filter_map(|tag| Some((tag.key?, tag.value.unwrap_or_default())))
            .collect();
        let observed = Observed {
            arn: arn.to_owned(),
            rule: rule_of(alarm),
            actions: alarm.alarm_actions().to_vec(),
            actions_enabled: alarm.actions_enabled() != Some(false),
            tags: own_tags(&tags),
        };
        found.insert(address, Found::by_tags(stack, &tags, &format!("the alarm {name}"), observed));
    }
    Ok(found)
}

fn rule_of(alarm: &MetricAlarm) -> Option<Rule> {
    let minutes = alarm.evaluation_periods()?;
    // One of so many minutes would be another rule.
    let all = alarm.datapoints_to_alarm().is_none_or(|points| points == minutes);
    if !all || alarm.treat_missing_data() != Some(MISSING) {
        return None;
    }
    let expression = alarm.metrics().iter().find_map(|query| query.expression())?;
    let metrics = alarm.metrics().iter().filter_map(|query| {
        let stat = query.metric_stat()?;
        let metric = stat.metric()?;
        let dimension = metric.dimensions().first()?;
        Some(Metric {
            id: query.id()?.to_owned(),
            namespace: metric.namespace()?.to_owned(),
            name: metric.metric_name()?.to_owned(),
            dimension: (dimension.name()?.to_owned(), dimension.value()?.to_owned()),
            stat: stat.stat()?.to_owned(),
        })
    });
    Some(Rule {
        description: alarm.alarm_description().unwrap_or_default().to_owned(),
        formula: Formula::new(metrics, expression),
        comparison: Comparison::of(alarm.comparison_operator()?, alarm.threshold()?)?,
        minutes,
    })
}

/// `policy_arn`: of the policy that the alarm executes, if it is there already.
pub fn diff(desired: &Alarm, found: Option<&Found<Observed>>, policy_arn: Option<&str>) -> Change<Step> {
    let Alarm { name, does, description, formula, comparison, minutes, tags } = desired;
    let mut change = Change::new(does.address(), name);
    let action = match does {
        Does::Execute(_) => policy_arn,
        Does::Tell { topic_arn, .. } => Some(topic_arn.as_str()),
    };
    let put = |new: bool| Step::Put { alarm: Box::new(desired.clone()), action: action.map(str::to_owned), new };
    let (word, target) = does.words();
    let observed = match found {
        Some(Found::Foreign(foreign)) => return Change::blocked(change.address, name, &foreign.reason),
        None | Some(Found::Absent) => {
            change.set("when", &when(formula, *comparison, *minutes));
            change.set(word, &target);
            change.set("description", description);
            change.set("tags", tags);
            change.step(put(true));
            return change.action(Action::Create);
        }
        Some(Found::Ours(observed)) => observed,
    };
    let wanted =
        Rule { description: description.clone(), formula: formula.clone(), comparison: *comparison, minutes: *minutes };
    let before = observed.rule.as_ref();
    let before_when = before.map(|rule| when(&rule.formula, rule.comparison, rule.minutes));
    change.compare("when", &before_when, &Some(when(formula, *comparison, *minutes)));
    change.compare("description", &before.map(|rule| &rule.description), &Some(description));
    let right = action.is_some_and(|arn| observed.actions == [arn]) && observed.actions_enabled;
    if !right {
        let before = if observed.actions_enabled { observed.actions.join(", ") } else { "nothing".to_owned() };
        change.compare(word, &before, &target);
    }
    debug_assert!(before == Some(&wanted) || !change.attributes.is_empty(), "what differs is shown");
    if !change.attributes.is_empty() {
        change.step(put(false));
    }
    if change.compare("tags", &observed.tags, tags) {
        let (set, remove) = tag_changes(&observed.tags, tags);
        change.step(Step::Tag { arn: observed.arn.clone(), set, remove });
    }
    change.settle()
}

fn when(formula: &Formula, comparison: Comparison, minutes: i32) -> String {
    let during = if minutes == 1 { "a minute".to_owned() } else { format!("{minutes} minutes") };
    format!("{} for {during}: {formula}", comparison.words())
}

/// The stack's alarms that are not wanted, of those of a kind.
pub fn leftovers(
    stack: &str,
    wanted: &[Alarm],
    found: &BTreeMap<Address, Found<Observed>>,
    of_kind: fn(Address) -> bool,
) -> Vec<Change<Step>> {
    let unwanted = |address: &Address| wanted.iter().all(|alarm| alarm.does.address() != *address);
    let found = found.iter().filter(|(address, found)| found.ours().is_some() && of_kind(**address));
    found.filter(|(address, _)| unwanted(address)).map(|(address, _)| delete(stack, *address)).collect()
}

/// Of those that execute policies.
pub fn executes(address: Address) -> bool {
    matches!(address, Address::Alarm(_))
}

/// Of those that tell somebody.
pub fn tells(address: Address) -> bool {
    matches!(address, Address::Alert(_))
}

fn delete(stack: &str, address: Address) -> Change<Step> {
    let name = name(stack, address);
    let mut change = Change::new(address, &name);
    change.removed("name", &name);
    change.removal(Step::Delete { name });
    change.action(Action::Delete)
}

pub async fn run(step: &Step, aws: &Writer, context: &StepContext<'_>) -> Result<(), CallError> {
    let cloudwatch = &aws.clients.cloudwatch;
    match step {
        Step::Put { alarm, action, new } => {
            const ACTION: &str = "cloudwatch:PutMetricAlarm";
            let Alarm { name, does, description, formula, comparison, minutes, tags } = &**alarm;
            let made = || match does {
                Does::Execute(policy) => context.outputs.facts().policy_arns.get(policy).cloned(),
                Does::Tell { topic_arn, .. } => Some(topic_arn.clone()),
            };
            let action = action.clone().or_else(made).ok_or_else(|| {
                CallError::judged(ACTION, Kind::Refused, format!("the scaling policy {name} has no ARN yet"))
            })?;
            let (operator, threshold) = comparison.operator();
            let request = cloudwatch
                .put_metric_alarm()
                .alarm_name(name)
                .alarm_description(description)
                .actions_enabled(true)
                .alarm_actions(action)
                .set_metrics(Some(queries(formula)))
                .comparison_operator(operator)
                .threshold(threshold)
                .evaluation_periods(*minutes)
                .datapoints_to_alarm(*minutes)
                .treat_missing_data(MISSING);
            request.set_tags(new.then(|| sdk_tags(tags))).send().await.map(drop).action(ACTION)
        }
        Step::Tag { arn, set, remove } => tag(arn, set, remove, aws).await,
        Step::Delete { name } => {
            let result = cloudwatch.delete_alarms().alarm_names(name).send().await;
            ok_if_gone(result.action("cloudwatch:DeleteAlarms"))
        }
    }
}

fn queries(formula: &Formula) -> Vec<MetricDataQuery> {
    let metrics = formula.metrics.iter().map(|metric| {
        let Metric { id, namespace, name, dimension: (key, value), stat } = metric;
        let dimension = Dimension::builder().name(key).value(value).build();
        let metric = SdkMetric::builder().namespace(namespace).metric_name(name).dimensions(dimension).build();
        let stat = MetricStat::builder().metric(metric).stat(stat).period(PERIOD_S).build();
        MetricDataQuery::builder().id(id).metric_stat(stat).return_data(false).build()
    });
    let result = MetricDataQuery::builder().id(RESULT).expression(&formula.expression).return_data(true);
    metrics.chain([result.build()]).collect()
}

#[cfg(test)]
mod tests;
