//! The group's scaling policies (EC2 Auto Scaling): how many instances there are to be. scaling_rules.rs decides what they are.

use std::collections::BTreeMap;

use aws_sdk_autoscaling::types::{
    CustomizedMetricSpecification, Metric as SdkMetric, MetricDimension, ScalingPolicy as SdkPolicy, StepAdjustment,
    TargetTrackingConfiguration, TargetTrackingMetricDataQuery, TargetTrackingMetricStat,
};

use super::metric_math::{Formula, Metric, PERIOD_S, RESULT};
use super::{RetryPolicy, StepContext, ok_if_gone, optional};
use crate::aws::{CallError, CallResult, Kind as ErrorKind, Reader, Writer};
use crate::stack::address::{Address, Policy};
use crate::stack::change::{Action, Change};

/// Pages of a group's policies, which has four of ours.
const MAX_PAGES: usize = 10;

/// A policy as declared.
#[derive(Clone, Debug, PartialEq)]
pub struct ScalingPolicy {
    pub policy: Policy,
    pub name: String,
    pub group: String,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Keeps the formula's result near a target.
    Target {
        formula: Formula,
        target: f64,
        /// Whether it also ends instances.
        scale_in: bool,
    },
    /// What an alarm executes.
    Steps(Steps),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Steps {
    pub adjustment: Adjustment,
    /// The least that a change in percent is, in instances.
    pub at_least: Option<i32>,
    /// From and to a distance from the alarm's threshold, and the adjustment there.
    pub steps: Vec<(Option<f64>, Option<f64>, i32)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adjustment {
    Change,
    PercentChange,
    Exact,
}

/// A policy as observed, and its ARN.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    pub arn: String,
    /// None: of a kind that thumb does not write.
    pub kind: Option<Kind>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Put(ScalingPolicy),
    Delete { name: String, group: String },
}

impl Adjustment {
    /// As Auto Scaling spells it (API PutScalingPolicy, `AdjustmentType`).
    fn word(self) -> &'static str {
        match self {
            Self::Change => "ChangeInCapacity",
            Self::PercentChange => "PercentChangeInCapacity",
            Self::Exact => "ExactCapacity",
        }
    }

    fn of(word: &str) -> Option<Self> {
        [Self::Change, Self::PercentChange, Self::Exact].into_iter().find(|adjustment| adjustment.word() == word)
    }
}

/// The name of a policy and of its alarm.
pub fn name(stack: &str, policy: Policy) -> String {
    format!("{stack}-{policy}")
}

/// The policies of a group by name; of a group that does not exist none.
pub async fn read(aws: &Reader, group: &str) -> Result<BTreeMap<String, Observed>, CallError> {
    let mut all = BTreeMap::new();
    let mut next = None;
    for _ in 0..MAX_PAGES {
        let request = aws.describe_policies().auto_scaling_group_name(group).set_next_token(next);
        let Some(page) = optional(request.send().await.action("autoscaling:DescribePolicies"))? else { break };
        for policy in page.scaling_policies.unwrap_or_default() {
            let observed = Observed { arn: policy.policy_arn.clone().unwrap_or_default(), kind: kind_of(&policy) };
            all.insert(policy.policy_name.unwrap_or_default(), observed);
        }
        next = page.next_token.filter(|token| !token.is_empty());
        if next.is_none() {
            break;
        }
    }
    Ok(all)
}

fn kind_of(policy: &SdkPolicy) -> Option<Kind> {
    if let Some(tracking) = policy.target_tracking_configuration() {
        return Some(Kind::Target {
            formula: formula_of(tracking.customized_metric_specification()?.metrics())?,
            target: tracking.target_value()?,
            scale_in: tracking.disable_scale_in() != Some(true),
        });
    }
    let steps = policy.step_adjustments().iter().map(|step| {
        let StepAdjustment { metric_interval_lower_bound: from, metric_interval_upper_bound: to, .. } = step;
        Some((*from, *to, step.scaling_adjustment()?))
    });
    Some(Kind::Steps(Steps {
        adjustment: Adjustment::of(policy.adjustment_type()?)?,
        at_least: policy.min_adjustment_magnitude(),
        steps: steps.collect::<Option<Vec<_>>>()?,
    }))
}

fn formula_of(queries: &[TargetTrackingMetricDataQuery]) -> Option<Formula> {
    let expression = queries.iter().find_map(|query| query.expression())?;
    let metrics = queries.iter().filter_map(|query| {
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
    Some(Formula::new(metrics, expression))
}

/// `observed`: the policies of the group.
pub fn diff(desired: &ScalingPolicy, observed: &BTreeMap<String, Observed>) -> Change<Step> {
    let ScalingPolicy { policy, name, group: _, kind } = desired;
    let mut change = Change::new(Address::ScalingPolicy(*policy), name);
    let found = observed.get(name);
    let before = found.and_then(|found| found.kind.as_ref()).map(attributes).unwrap_or_default();
    let after = attributes(kind);
    match found {
        None => {
            after.iter().for_each(|(key, value)| change.set(key, value));
            change.step(Step::Put(desired.clone()));
            change.action(Action::Create)
        }
        Some(found) if found.kind.as_ref() == Some(kind) => change,
        Some(_) => {
            for (key, value) in &after {
                change.compare(key, &before.get(key), &Some(value));
            }
            for (key, value) in before.iter().filter(|(key, _)| !after.contains_key(*key)) {
                change.removed(key, value);
            }
            if change.attributes.is_empty() {
                change.set("kind", "another kind of policy");
            }
            change.step(Step::Put(desired.clone()));
            change.settle()
        }
    }
}

/// What a plan shows of a policy.
fn attributes(kind: &Kind) -> BTreeMap<&'static str, String> {
    match kind {
        Kind::Target { formula, target, scale_in } => BTreeMap::from([
            ("formula", formula.to_string()),
            ("target", format!("{target} messages for each instance, what it does in the acceptable latency")),
            ("ends_instances", if *scale_in { "yes" } else { "no" }.to_owned()),
        ]),
        Kind::Steps(Steps { adjustment, at_least, steps }) => {
            let bound = |bound: &Option<f64>| bound.map_or_else(String::new, |bound| bound.to_string());
            let steps: Vec<String> = steps
                .iter()
                .map(|(from, to, by)| match steps.len() {
                    1 => by.to_string(),
                    _ => format!("{}..{}: {by}", bound(from), bound(to)),
                })
                .collect();
            let mut all = BTreeMap::from([("adjustment", adjustment.word().to_owned()), ("steps", steps.join(", "))]);
            all.extend(at_least.map(|least| ("at_least", least.to_string())));
            all
        }
    }
}

/// The policies of ours that the group has and is not to have.
pub fn leftovers(stack: &str, wanted: &[ScalingPolicy], observed: &BTreeMap<String, Observed>) -> Vec<Change<Step>> {
    let unwanted = Policy::ALL.into_iter().filter(|policy| wanted.iter().all(|one| one.policy != *policy));
    let there = unwanted.filter(|policy| observed.contains_key(&name(stack, *policy)));
    there.map(|policy| delete(stack, policy)).collect()
}

/// Deletes a policy. A deleted group takes its policies with it; then this finds nothing to do.
pub fn delete(stack: &str, policy: Policy) -> Change<Step> {
    let name = name(stack, policy);
    let mut change = Change::new(Address::ScalingPolicy(policy), &name);
    change.removed("name", &name);
    change.removal(Step::Delete { name, group: super::scaling_group::name(stack) });
    change.action(Action::Delete)
}

pub async fn run(step: &Step, aws: &Writer, context: &StepContext<'_>) -> Result<(), CallError> {
    let autoscaling = &aws.clients.autoscaling;
    match step {
        Step::Put(desired) => {
            let ScalingPolicy { policy, name, group, kind } = desired;
            let why = "waiting for Auto Scaling to accept the policy";
            let not_yet = |error: &CallError| error.kind == ErrorKind::NotYet;
            let put = || async {
                let request = autoscaling.put_scaling_policy().auto_scaling_group_name(group).policy_name(name);
                let request = match kind {
                    Kind::Target { formula, target, scale_in } => request
                        .policy_type("TargetTrackingScaling")
                        .target_tracking_configuration(tracking(formula, *target, *scale_in)),
                    Kind::Steps(Steps { adjustment, at_least, steps }) => request
                        .policy_type("StepScaling")
                        .adjustment_type(adjustment.word())
                        .set_min_adjustment_magnitude(*at_least)
                        .metric_aggregation_type("Maximum")
                        .set_step_adjustments(Some(steps.iter().map(step_adjustment).collect())),
                };
                request.send().await.action("autoscaling:PutScalingPolicy")
            };
            let out = context.retry(&RetryPolicy::PROPAGATION, why, not_yet, put).await?;
            context.outputs.facts().policy_arns.insert(*policy, out.policy_arn.unwrap_or_default());
            Ok(())
        }
        Step::Delete { name, group } => {
            let result = autoscaling.delete_policy().auto_scaling_group_name(group).policy_name(name).send().await;
            // Auto Scaling has the same code for a policy that has gone and for other mistakes (API DeletePolicy).
            match result.action("autoscaling:DeletePolicy") {
                Err(error) if error.message.contains("not found") || error.message.contains("no longer") => Ok(()),
                result => ok_if_gone(result),
            }
        }
    }
}

fn step_adjustment(step: &(Option<f64>, Option<f64>, i32)) -> StepAdjustment {
    let (from, to, by) = *step;
    let step = StepAdjustment::builder().set_metric_interval_lower_bound(from).set_metric_interval_upper_bound(to);
    step.scaling_adjustment(by).build()
}

fn tracking(formula: &Formula, target: f64, scale_in: bool) -> TargetTrackingConfiguration {
    let metrics = formula.metrics.iter().map(|metric| {
        let Metric { id, namespace, name, dimension: (key, value), stat } = metric;
        let dimension = MetricDimension::builder().name(key).value(value).build();
        let metric = SdkMetric::builder().namespace(namespace).metric_name(name).dimensions(dimension).build();
        let stat = TargetTrackingMetricStat::builder().metric(metric).stat(stat).period(PERIOD_S).build();
        TargetTrackingMetricDataQuery::builder().id(id).metric_stat(stat).return_data(false).build()
    });
    let result = TargetTrackingMetricDataQuery::builder().id(RESULT).expression(&formula.expression);
    let queries: Vec<_> = metrics.chain([result.return_data(true).build()]).collect();
    TargetTrackingConfiguration::builder()
        .customized_metric_specification(CustomizedMetricSpecification::builder().set_metrics(Some(queries)).build())
        .target_value(target)
        .disable_scale_in(!scale_in)
        .build()
}
