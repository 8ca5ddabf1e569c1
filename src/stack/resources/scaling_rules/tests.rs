//! Whether the alarms go off when they should, and not when they should not: their expressions are evaluated, as CloudWatch does
//! it, for what users of other fleets met (one message and no instance; nothing visible and work in flight).

use std::collections::BTreeMap;

use super::*;
use crate::config::Config;
use crate::stack::resources::metric_math::evaluator::{Minute, evaluate};

fn basis(text: &str, test: impl FnOnce(&Basis<'_>)) {
    let config = Config::parse(&format!("name = \"cats\"\n[scaling]\n{text}"), "").unwrap();
    let tags = Tags::from([("thumb:stack".into(), "cats".into())]);
    let scaling = config.scaling.as_ref().unwrap();
    test(&Basis { stack: "cats", queue: "cats", scaling, cpus: 2, tags: &tags });
}

fn minute(visible: f64, in_flight: f64, done: f64, instances: f64, desired: f64) -> Minute {
    BTreeMap::from([
        ("ApproximateNumberOfMessagesVisible", Some(visible)),
        ("ApproximateNumberOfMessagesNotVisible", Some(in_flight)),
        ("NumberOfMessagesDeleted", Some(done)),
        ("GroupInServiceInstances", Some(instances)),
        ("GroupDesiredCapacity", Some(desired)),
    ])
}

/// A queue that has been idle for more than six hours: SQS publishes nothing.
fn no_queue_data(instances: f64) -> Minute {
    let mut minute = minute(0.0, 0.0, 0.0, instances, instances);
    for name in
        ["ApproximateNumberOfMessagesVisible", "ApproximateNumberOfMessagesNotVisible", "NumberOfMessagesDeleted"]
    {
        minute.insert(name, None);
    }
    minute
}

fn policy_of(alarm: &Alarm) -> String {
    let Does::Execute(policy) = &alarm.does else { panic!("it executes a policy") };
    policy.to_string()
}

/// Which alarms go off when the minutes have been so for as long as they look.
fn alarms_in(minute: &Minute) -> String {
    let mut ringing = Vec::new();
    basis("", |basis| {
        for alarm in alarms(basis) {
            // Missing data does not breach.
            let rings = evaluate(&alarm.formula, minute).is_some_and(|value| match alarm.comparison {
                Comparison::AtLeast(threshold) => value >= threshold,
                Comparison::Below(threshold) => value < threshold,
            });
            if rings {
                ringing.push(policy_of(&alarm));
            }
        }
    });
    ringing.join(" ")
}

/// What an instance does in a minute.
fn a_minute() -> f64 {
    pictures_a_second(2) * 60.0
}

#[test]
fn one_message_wakes_a_group_without_instances() {
    assert_eq!(alarms_in(&minute(1.0, 0.0, 0.0, 0.0, 0.0)), "wake");
    // Once: an instance that boots is on its way.
    assert_eq!(alarms_in(&minute(1.0, 0.0, 0.0, 0.0, 1.0)), "");
    assert_eq!(alarms_in(&minute(0.0, 0.0, 0.0, 0.0, 0.0)), "", "an idle group without instances is left alone");
}

#[test]
fn work_in_flight_keeps_its_instances() {
    assert_eq!(alarms_in(&minute(0.0, 64.0, 0.0, 1.0, 1.0)), "", "long pictures only");
    assert_eq!(alarms_in(&minute(5.0, 64.0, 10.0, 8.0, 8.0)), "", "and so does what waits");
    assert_eq!(alarms_in(&minute(0.0, 0.0, 0.0, 1.0, 1.0)), "sleep");
    // SQS looks once a minute: of one picture a second it mostly sees none in flight.
    assert_eq!(alarms_in(&minute(0.0, 0.0, 60.0, 1.0, 1.0)), "");
    // With an idle queue's metrics gone nothing happens: long before that, the group went to sleep.
    assert_eq!(alarms_in(&no_queue_data(0.0)), "");
    assert_eq!(alarms_in(&no_queue_data(3.0)), "", "enqueue woke it before SQS's metrics woke up");
}

#[test]
fn a_fleet_that_has_little_to_do_gets_smaller_and_one_that_works_does_not() {
    assert_eq!(alarms_in(&minute(0.0, 1.0, a_minute(), 4.0, 4.0)), "shrink", "a quarter of what four can do");
    assert_eq!(alarms_in(&minute(0.0, 1.0, 2.0 * a_minute(), 4.0, 4.0)), "", "half of it");
    assert_eq!(alarms_in(&minute(9.0, 1.0, a_minute(), 4.0, 4.0)), "", "something waits");
    assert_eq!(alarms_in(&minute(0.0, 1.0, 1.0, 1.0, 1.0)), "", "the last one stays while there is something to do");
    assert_eq!(alarms_in(&minute(0.0, 0.0, 0.0, 4.0, 4.0)), "shrink sleep");
}

/// An alarm on a level is true again a minute later; one on a change would wait for the next change.
#[test]
fn alarms_are_on_levels() {
    basis("", |basis| {
        for alarm in alarms(basis) {
            assert!(!["DIFF", "RATE", "RUNNING"].iter().any(|word| alarm.formula.expression.contains(word)));
        }
    });
}

#[test]
fn the_backlog_policy_divides_what_waits_among_the_instances() {
    basis("acceptable_latency = \"1m\"", |basis| {
        let Kind::Target { formula, target, scale_in } = policies(basis).remove(0).kind else { panic!("no target") };
        assert_eq!(target, a_minute());
        assert!(!scale_in);
        assert_eq!(evaluate(&formula, &minute(9_000.0, 0.0, 0.0, 3.0, 3.0)), Some(3_000.0));
        assert_eq!(evaluate(&formula, &minute(9.0, 0.0, 0.0, 0.0, 0.0)), None, "no instances: no result");
    });
}

#[test]
fn the_first_instances_follow_the_backlog() {
    assert_eq!(wake_steps(100.0, 1), [(Some(0.0), None, 1)]);
    let steps = wake_steps(100.0, 10);
    let expected = [
        (Some(0.0), Some(100.0), 1),
        (Some(100.0), Some(200.0), 2),
        (Some(200.0), Some(400.0), 4),
        (Some(400.0), Some(800.0), 8),
        (Some(800.0), None, 10),
    ];
    assert_eq!(steps, expected);
    assert!(wake_steps(1.0, 1_000).len() <= MAX_STEPS);
}

#[test]
fn a_group_has_the_policies_that_it_can_use() {
    let of = |text: &str| {
        let mut words = String::new();
        basis(text, |basis| {
            let policies: Vec<String> = policies(basis).iter().map(|one| one.policy.to_string()).collect();
            let alarms: Vec<String> = alarms(basis).iter().map(policy_of).collect();
            words = format!("{} | {}", policies.join(" "), alarms.join(" "));
        });
        words
    };
    assert_eq!(of(""), "backlog wake shrink sleep | wake shrink sleep");
    assert_eq!(of("min = 1"), "backlog shrink sleep | shrink sleep");
    assert_eq!(of("max = 1"), "wake sleep | wake sleep");
    assert_eq!(of("min = 2\nmax = 2"), "sleep | sleep");
}
