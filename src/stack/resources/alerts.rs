//! The alarms that tell somebody, by the stack's topic. Pure. Each says in its description what to do; docs/guides/monitoring.md says more.
//!
//! AWS has no metric of launches that fail. That a group wants more instances than it has, and for long, is the same, and costs
//! nothing beside the alarm.

use super::alarm::{Alarm, Comparison, Does, name};
use super::metric_math::{Formula, Metric, of_group, of_queue};
use super::{Tags, scaling_group};
use crate::config::Scaling;
use crate::stack::address::{Address, Alert};

/// A message that has waited so long waits for something else than its turn, in seconds.
const OLD_S: u32 = 3_600;
/// How long something must be so before it is worth a mail: an instance boots in two or three.
const MINUTES: i32 = 15;

/// What the alarms are made from.
#[derive(Clone, Copy, Debug)]
pub struct Basis<'a> {
    pub stack: &'a str,
    pub queue: &'a str,
    pub dlq: &'a str,
    pub topic_arn: &'a str,
    /// None: numbered instances, or none.
    pub scaling: Option<&'a Scaling>,
    pub tags: &'a Tags,
}

/// In the plan's order.
pub fn alarms(basis: &Basis<'_>) -> Vec<Alarm> {
    Alert::ALL.into_iter().filter_map(|alert| alarm(alert, basis)).collect()
}

/// `None`: there is no group to look at.
fn alarm(alert: Alert, basis: &Basis<'_>) -> Option<Alarm> {
    let Basis { stack, queue, dlq, topic_arn, scaling, tags } = *basis;
    let group = scaling_group::name(stack);
    let visible = |queue: &str| of_queue("visible", queue, "ApproximateNumberOfMessagesVisible", "Maximum");
    let in_group = |id: &str, name: &str| of_group(id, &group, name, "Maximum");
    let plain = |metric: Metric| Formula::new([metric.clone()], format!("FILL({}, 0)", metric.id));
    let (formula, threshold, minutes, description) = match alert {
        Alert::Rejected => (
            plain(visible(dlq)),
            1.0,
            1,
            format!(
                "Messages were rejected into {dlq}. `thumb dlq` shows why, `thumb dlq retry --all` puts them back."
            ),
        ),
        Alert::Oldest => {
            let limit_s = scaling.map_or(OLD_S, |scaling| OLD_S.max(scaling.acceptable_latency_s.saturating_mul(2)));
            let age = of_queue("age", queue, "ApproximateAgeOfOldestMessage", "Maximum");
            let text = format!(
                "A message of {queue} is older than {} minutes. `thumb doctor` checks what is wrong, `thumb logs --since 2h` \
                 shows what the workers say; more instances: `count` in [instance] or `max` in [scaling].",
                limit_s / 60
            );
            (plain(age), f64::from(limit_s), 5, text)
        }
        Alert::Stuck => {
            let done = of_queue("done", queue, "NumberOfMessagesDeleted", "Sum");
            let formula = Formula::new([visible(queue), done], "IF(FILL(visible, 0) > 0 AND FILL(done, 0) < 1, 1, 0)");
            let text = format!(
                "Messages wait in {queue}, and none was finished for {MINUTES} minutes. `thumb logs` shows what the workers say, \
                 `thumb logs 1 --boot` an instance that does not start, `thumb doctor` what is missing."
            );
            (formula, 1.0, MINUTES, text)
        }
        Alert::FleetFull => {
            let max = scaling?.max;
            let instances = in_group("instances", "GroupInServiceInstances");
            let formula =
                Formula::new([visible(queue), instances], format!("IF(instances >= {max}, FILL(visible, 0), 0)"));
            let text = format!(
                "All {max} instances of {group} work, and messages wait in {queue} for {MINUTES} minutes. If that is too slow: raise \
                 `max` in [scaling] and run `thumb apply`."
            );
            (formula, 1.0, MINUTES, text)
        }
        Alert::Launches => {
            scaling?;
            let metrics =
                [in_group("wanted", "GroupDesiredCapacity"), in_group("instances", "GroupInServiceInstances")];
            let text = format!(
                "{group} has had fewer instances than it wants for {MINUTES} minutes: EC2 does not launch them, or they do not \
                 start. `aws autoscaling describe-scaling-activities --auto-scaling-group-name {group} --max-items 5` shows why."
            );
            (Formula::new(metrics, "FILL(wanted, 0) - FILL(instances, 0)"), 1.0, MINUTES, text)
        }
    };
    Some(Alarm {
        name: name(stack, Address::Alert(alert)),
        does: Does::Tell { alert, topic_arn: topic_arn.to_owned() },
        description,
        formula,
        comparison: Comparison::AtLeast(threshold),
        minutes,
        tags: tags.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::stack::resources::metric_math::evaluator::evaluate;

    fn all(text: &str) -> Vec<Alarm> {
        let config = Config::parse(&format!("name = \"cats\"\n{text}"), "").unwrap();
        alarms(&Basis {
            stack: "cats",
            queue: "cats",
            dlq: "cats-dlq",
            topic_arn: "arn:aws:sns:us-east-1:123456789012:cats-events",
            scaling: config.scaling.as_ref(),
            tags: &Tags::new(),
        })
    }

    #[test]
    fn each_alarm_says_what_to_do() {
        let text = |alarm: &Alarm| {
            let Alarm { name, description, formula, comparison, minutes, .. } = alarm;
            format!("{name}: {comparison:?} for {minutes} min: {formula}\n    {description}")
        };
        let alarms = all("[scaling]\nmax = 4");
        insta::assert_snapshot!(alarms.iter().map(text).collect::<Vec<_>>().join("\n"));
        for Alarm { description, .. } in &alarms {
            assert!(description.len() <= 1_024, "API PutMetricAlarm");
            assert!(description.contains("`thumb ") || description.contains("`aws "), "{description}");
        }
    }

    /// Which alarms go off when a minute is so for as long as they look.
    fn ringing(minute: &[(&'static str, f64)]) -> String {
        const NAMES: [&str; 5] = [
            "ApproximateNumberOfMessagesVisible",
            "ApproximateAgeOfOldestMessage",
            "NumberOfMessagesDeleted",
            "GroupInServiceInstances",
            "GroupDesiredCapacity",
        ];
        let none = NAMES.into_iter().map(|name| (name, None));
        let minute = none.chain(minute.iter().map(|(name, value)| (*name, Some(*value)))).collect();
        let rings = |alarm: &Alarm| {
            let Comparison::AtLeast(threshold) = alarm.comparison else { panic!("{alarm:?}") };
            evaluate(&alarm.formula, &minute).is_some_and(|value| value >= threshold)
        };
        let ringing = all("[scaling]\nmax = 4").into_iter().filter(rings).map(|alarm| alarm.name.replace("cats-", ""));
        ringing.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn alarms_ring_when_something_is_wrong_and_not_otherwise() {
        const VISIBLE: &str = "ApproximateNumberOfMessagesVisible";
        const DONE: &str = "NumberOfMessagesDeleted";
        const INSTANCES: &str = "GroupInServiceInstances";
        const DESIRED: &str = "GroupDesiredCapacity";
        assert_eq!(ringing(&[]), "", "a queue that sleeps has no metrics");
        assert_eq!(ringing(&[(VISIBLE, 0.0), (DONE, 0.0), (INSTANCES, 0.0), (DESIRED, 0.0)]), "");
        // The metric has one name for both queues: here the dead-letter queue's is meant, too.
        assert_eq!(ringing(&[(VISIBLE, 9.0), (DONE, 50.0), (INSTANCES, 2.0), (DESIRED, 2.0)]), "rejected");
        assert_eq!(ringing(&[(VISIBLE, 9.0), (INSTANCES, 2.0), (DESIRED, 2.0)]), "rejected stuck");
        assert_eq!(ringing(&[(VISIBLE, 9.0), (DONE, 50.0), (INSTANCES, 4.0), (DESIRED, 4.0)]), "rejected fleet-full");
        assert_eq!(ringing(&[(INSTANCES, 4.0), (DESIRED, 4.0)]), "", "a full fleet that keeps up");
        assert_eq!(ringing(&[(INSTANCES, 1.0), (DESIRED, 3.0)]), "launches");
        assert_eq!(ringing(&[("ApproximateAgeOfOldestMessage", 3_599.0)]), "");
        assert_eq!(ringing(&[("ApproximateAgeOfOldestMessage", 3_600.0)]), "oldest");
    }

    #[test]
    fn only_a_group_has_alarms_about_a_group() {
        let names: Vec<String> = all("").into_iter().map(|alarm| alarm.name).collect();
        assert_eq!(names, ["cats-rejected", "cats-oldest", "cats-stuck"]);
    }

    #[test]
    fn a_message_may_wait_as_long_as_thumb_toml_allows() {
        let oldest = |text: &str| all(text)[1].comparison;
        assert_eq!(oldest("[scaling]"), Comparison::AtLeast(3_600.0));
        assert_eq!(oldest("[scaling]\nacceptable_latency = \"6h\""), Comparison::AtLeast(43_200.0));
    }
}
