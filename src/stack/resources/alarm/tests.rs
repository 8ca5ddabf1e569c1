//! What a plan does about an alarm.

use super::*;
use crate::config::Config;
use crate::stack::resources::scaling_rules;

const ARN: &str =
    "arn:aws:autoscaling:us-east-1:123456789012:scalingPolicy:1:autoScalingGroupName/cats-workers:policyName/cats-wake";

fn wake() -> Alarm {
    let config = Config::parse("name = \"cats\"\n[scaling]", "").unwrap();
    let tags = Tags::from([("thumb:stack".into(), "cats".into())]);
    let scaling = config.scaling.as_ref().unwrap();
    let basis = scaling_rules::Basis { stack: "cats", queue: "cats", scaling, cpus: 2, tags: &tags };
    scaling_rules::alarms(&basis).remove(0)
}

fn built(alarm: &Alarm) -> Observed {
    let Alarm { description, formula, comparison, minutes, tags, .. } = alarm.clone();
    Observed {
        arn: "arn:aws:cloudwatch:us-east-1:123456789012:alarm:cats-wake".into(),
        rule: Some(Rule { description, formula, comparison, minutes }),
        actions: vec![ARN.into()],
        actions_enabled: true,
        tags,
    }
}

fn plan(observed: Observed, policy_arn: Option<&str>) -> Change<Step> {
    diff(&wake(), Some(&Found::Ours(observed)), policy_arn)
}

#[test]
fn an_alarm_as_declared_is_left_alone_and_drift_is_mended() {
    let there = built(&wake());
    assert_eq!(plan(there.clone(), Some(ARN)).action, Action::None);
    let drifted: [fn(&mut Observed); 6] = [
        |alarm| alarm.actions_enabled = false,
        |alarm| alarm.actions.clear(),
        |alarm| alarm.rule.as_mut().unwrap().minutes = 5,
        |alarm| alarm.rule.as_mut().unwrap().comparison = Comparison::AtLeast(100.0),
        |alarm| alarm.rule.as_mut().unwrap().formula.expression = "visible".into(),
        |alarm| alarm.rule = None,
    ];
    for drift in drifted {
        let mut observed = there.clone();
        drift(&mut observed);
        let change = plan(observed, Some(ARN));
        assert_eq!((change.action, change.steps.len()), (Action::Update, 1), "{:#?}", change.attributes);
    }
    // The policy was deleted by hand: it gets a new ARN in the same run.
    let change = plan(there.clone(), None);
    assert!(matches!(&change.steps[..], [Step::Put { action: None, new: false, .. }]));
    let change = plan(
        Observed { tags: Tags::from([("thumb:stack".into(), "cats".into()), ("x".into(), "y".into())]), ..there },
        Some(ARN),
    );
    assert!(matches!(&change.steps[..], [Step::Tag { .. }]));
}

#[test]
fn a_new_alarm_says_what_it_does() {
    let change = diff(&wake(), None, None);
    assert_eq!(change.action, Action::Create);
    insta::assert_snapshot!(serde_json::to_string_pretty(&change.attributes).unwrap());
}

#[test]
fn an_alarm_of_somebody_else_is_blocked() {
    let foreign = Found::by_tags("cats", &Tags::new(), "the alarm cats-wake", built(&wake()));
    let change = diff(&wake(), Some(&foreign), Some(ARN));
    assert_eq!(change.action, Action::Blocked);
    assert_eq!(leftovers("cats", &[], &BTreeMap::from([(Address::Alarm(Policy::Wake), foreign)]), executes), []);
}

#[test]
fn what_is_no_longer_wanted_goes() {
    let there = BTreeMap::from([(Address::Alarm(Policy::Wake), Found::Ours(built(&wake())))]);
    let gone = leftovers("cats", &[], &there, executes);
    assert_eq!((gone.len(), gone[0].action), (1, Action::Delete));
    assert_eq!(leftovers("cats", &[wake()], &there, executes), []);
    assert_eq!(leftovers("cats", &[], &there, tells), [], "of another kind");
}
