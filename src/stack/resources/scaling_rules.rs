//! How the group follows the queue: the four policies, and the alarms that execute three of them. Pure. docs/guides/scaling.md has the
//! reasons and the model that the numbers were tried in.
//!
//! Each alarm looks at how many instances there are, too. CloudWatch executes a policy again every minute for as long as its alarm
//! lasts: one that lasted while the group sleeps would undo what wakes it.

use crate::config::Scaling;
use crate::stack::address::Policy;
use crate::stack::capacity::{backlog_per_instance, pictures_a_second};
use crate::stack::resources::alarm::{Alarm, Comparison, Does};
use crate::stack::resources::metric_math::{Formula, of_group, of_queue};
use crate::stack::resources::scaling_policy::{Adjustment, Kind, ScalingPolicy, Steps, name};
use crate::stack::resources::{Tags, scaling_group};

/// A fleet with less to do than this, in percent of what it can do, is too large.
const SHRINK_BELOW_PERCENT: f64 = 30.0;
/// How much smaller it gets at once, in percent.
const SHRINK_BY_PERCENT: i32 = 25;
/// How long it must be so before the group gets smaller, or sleeps, in minutes.
const QUIET_MINUTES: i32 = 15;
/// Steps of one policy (API PutScalingPolicy).
const MAX_STEPS: usize = 20;

/// What the rules are made from.
#[derive(Clone, Copy, Debug)]
pub struct Basis<'a> {
    pub stack: &'a str,
    pub queue: &'a str,
    pub scaling: &'a Scaling,
    /// CPUs of the smallest type.
    pub cpus: u32,
    pub tags: &'a Tags,
}

/// Whether the group has this policy. One that never sleeps needs nothing to wake it.
fn is_wanted(policy: Policy, scaling: &Scaling) -> bool {
    match policy {
        Policy::Backlog | Policy::Shrink => scaling.max > scaling.min.max(1),
        Policy::Wake => scaling.min == 0,
        Policy::Sleep => true,
    }
}

/// The policies of the group, in the plan's order.
pub fn policies(basis: &Basis<'_>) -> Vec<ScalingPolicy> {
    let Basis { stack, scaling, .. } = *basis;
    let wanted = Policy::ALL.into_iter().filter(|policy| is_wanted(*policy, scaling));
    wanted
        .map(|policy| ScalingPolicy {
            policy,
            name: name(stack, policy),
            group: scaling_group::name(stack),
            kind: kind(policy, basis),
        })
        .collect()
}

fn kind(policy: Policy, basis: &Basis<'_>) -> Kind {
    let Basis { stack, queue, scaling, cpus, .. } = *basis;
    let target = backlog_per_instance(scaling.acceptable_latency_s, cpus);
    match policy {
        Policy::Backlog => {
            let group = scaling_group::name(stack);
            let metrics = [
                of_queue("visible", queue, "ApproximateNumberOfMessagesVisible", "Sum"),
                of_group("instances", &group, "GroupInServiceInstances", "Average"),
            ];
            // Its own way down would end a fleet that is busy with a backlog just below the target.
            Kind::Target { formula: Formula::new(metrics, "visible / instances"), target, scale_in: false }
        }
        Policy::Wake => Kind::Steps(Steps {
            adjustment: Adjustment::Change,
            at_least: None,
            steps: wake_steps(target, scaling.max),
        }),
        Policy::Shrink => Kind::Steps(Steps {
            adjustment: Adjustment::PercentChange,
            at_least: Some(1),
            steps: vec![(None, Some(0.0), -SHRINK_BY_PERCENT)],
        }),
        Policy::Sleep => {
            Kind::Steps(Steps { adjustment: Adjustment::Exact, at_least: None, steps: vec![(None, Some(0.0), 0)] })
        }
    }
}

/// The first instances for a backlog: one for as much as one can do in time, two for twice as much, and so on, doubled. The bounds
/// count from the alarm's threshold, one message.
fn wake_steps(target: f64, max: u32) -> Vec<(Option<f64>, Option<f64>, i32)> {
    let max = i32::try_from(max).unwrap_or(i32::MAX);
    let mut steps = Vec::new();
    let (mut lower, mut count) = (0.0, 1);
    while steps.len() < MAX_STEPS {
        let last = count >= max || steps.len() == MAX_STEPS - 1;
        let upper = (!last).then(|| target * f64::from(count));
        steps.push((Some(lower), upper, count.min(max)));
        match upper {
            Some(upper) => (lower, count) = (upper, count.saturating_mul(2)),
            None => break,
        }
    }
    steps
}

/// The alarms that execute the policies, in the plan's order.
pub fn alarms(basis: &Basis<'_>) -> Vec<Alarm> {
    let wanted = Policy::ALL.into_iter().filter(|policy| is_wanted(*policy, basis.scaling));
    wanted.filter_map(|policy| alarm(policy, basis)).collect()
}

/// `None`: Auto Scaling makes a target tracking policy's alarms itself.
fn alarm(policy: Policy, basis: &Basis<'_>) -> Option<Alarm> {
    let Basis { stack, queue, cpus, tags, .. } = *basis;
    let group = scaling_group::name(stack);
    let visible = || of_queue("visible", queue, "ApproximateNumberOfMessagesVisible", "Maximum");
    let done = || of_queue("done", queue, "NumberOfMessagesDeleted", "Sum");
    let in_service = |stat: &str| of_group("instances", &group, "GroupInServiceInstances", stat);
    let base = |description: String, formula: Formula, comparison: Comparison, minutes: i32| Alarm {
        name: name(stack, policy),
        does: Does::Execute(policy),
        description,
        formula,
        comparison,
        minutes,
        tags: tags.clone(),
    };
    Some(match policy {
        Policy::Backlog => return None,
        Policy::Wake => {
            // Those that are on their way count: one message must not start one instance a minute.
            let desired = of_group("instances", &group, "GroupDesiredCapacity", "Maximum");
            let formula = Formula::new([visible(), desired], "IF(FILL(instances, 0) < 1, visible, 0)");
            let description = format!("Messages wait in {queue}, and {group} has no instance: it gets the first ones.");
            base(description, formula, Comparison::AtLeast(1.0), 1)
        }
        Policy::Shrink => {
            let a_minute = pictures_a_second(cpus) * 60.0;
            let expression =
                format!("IF(instances > 1 AND visible < 1, 100 * FILL(done, 0) / (instances * {a_minute}), 100)");
            let formula = Formula::new([visible(), in_service("Average"), done()], expression);
            let description = format!(
                "The instances of {group} did less than {SHRINK_BELOW_PERCENT} % of what they can for {QUIET_MINUTES} minutes, \
                 and nothing waits in {queue}: some of them are ended."
            );
            base(description, formula, Comparison::Below(SHRINK_BELOW_PERCENT), QUIET_MINUTES)
        }
        Policy::Sleep => {
            // In flight counts: a long picture is work. So does what was done: SQS looks at its queue once a minute, and a picture a
            // second is in flight for a tenth of the time.
            let in_flight = of_queue("in_flight", queue, "ApproximateNumberOfMessagesNotVisible", "Maximum");
            let metrics = [visible(), in_flight, done(), in_service("Minimum")];
            let formula = Formula::new(metrics, "IF(instances > 0, visible + in_flight + FILL(done, 0), 1)");
            let description = format!(
                "Nothing waited, was in progress or was done in {queue} for {QUIET_MINUTES} minutes: {group} gets as small as it may."
            );
            base(description, formula, Comparison::Below(1.0), QUIET_MINUTES)
        }
    })
}

#[cfg(test)]
mod tests;
