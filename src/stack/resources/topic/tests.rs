//! What a plan does about a topic and its subscriptions.

use super::*;
use crate::stack::resources::{ADOPTED, ADOPTED_TAG, STACK_TAG};

const ARN: &str = "arn:aws:sns:us-east-1:123456789012:cats-events";

fn desired(email: &[&str]) -> Topic {
    Topic {
        name: "cats-events".into(),
        arn: ARN.into(),
        email: email.iter().map(ToString::to_string).collect(),
        tags: Tags::from([(STACK_TAG.into(), "cats".into())]),
    }
}

fn confirmed(who: &str) -> (String, Subscription) {
    (who.to_owned(), Subscription::Confirmed { arn: format!("{ARN}:{who}"), alarms_only: true })
}

fn pending(who: &str) -> (String, Subscription) {
    (who.to_owned(), Subscription::Pending)
}

fn built(email: impl IntoIterator<Item = (String, Subscription)>) -> Observed {
    Observed { arn: ARN.into(), email: email.into_iter().collect(), tags: desired(&[]).tags }
}

fn plan(email: &[&str], observed: Observed) -> Change<Step> {
    diff(&desired(email), &Found::Ours(observed))
}

fn subscribe(email: &str) -> Step {
    Step::Subscribe { topic: ARN.into(), email: email.into() }
}

#[test]
fn a_new_topic_comes_with_its_subscriptions() {
    let change = diff(&desired(&["a@x.y", "b@x.y"]), &Found::Absent);
    assert_eq!(change.action, Action::Create);
    assert_eq!(change.steps[1..], [subscribe("a@x.y"), subscribe("b@x.y")]);
    let notes = notes(&desired(&["a@x.y"]), &Found::Absent);
    assert_eq!(notes, ["AWS sends a mail with a link to a@x.y: alarms arrive there once somebody has followed it."]);
}

#[test]
fn subscriptions_follow_thumb_toml_without_a_state_file() {
    let there = || built([confirmed("a@x.y"), pending("b@x.y")]);
    assert_eq!(plan(&["a@x.y", "b@x.y"], there()).action, Action::None, "pending is subscribed");
    let pending_notes = notes(&desired(&["a@x.y", "b@x.y"]), &Found::Ours(there()));
    assert!(
        pending_notes.len() == 1 && pending_notes[0].starts_with("No alarm reaches b@x.y yet"),
        "{pending_notes:?}"
    );

    assert_eq!(plan(&["a@x.y", "b@x.y", "c@x.y"], there()).steps, [subscribe("c@x.y")]);
    let gone = plan(&["b@x.y"], there());
    assert_eq!(gone.steps, [Step::Unsubscribe { subscription: format!("{ARN}:a@x.y") }]);
    assert_eq!(plan(&["a@x.y"], there()).action, Action::None, "a pending one cannot be ended");
    // It was not confirmed in time, or its receiver has ended it.
    assert_eq!(plan(&["a@x.y", "b@x.y"], built([confirmed("a@x.y")])).steps, [subscribe("b@x.y")]);
}

#[test]
fn mail_gets_alarms_and_nothing_else() {
    let everything = Subscription::Confirmed { arn: format!("{ARN}:1"), alarms_only: false };
    let change = plan(&["a@x.y"], built([("a@x.y".to_owned(), everything)]));
    assert_eq!(change.steps, [Step::Filter { subscription: format!("{ARN}:1") }]);
    assert_eq!(change.attributes[0].name, "gets.a@x.y");
    let filter: serde_json::Value = serde_json::from_str(ALARMS_ONLY).unwrap();
    assert_eq!(filter["AlarmName"][0]["exists"], true);
}

#[test]
fn the_subscriptions_of_an_adopted_topic_stay() {
    let mut observed = built([confirmed("theirs@x.y")]);
    observed.tags.insert(ADOPTED_TAG.into(), ADOPTED.into());
    assert_eq!(plan(&["a@x.y"], observed.clone()).steps, [subscribe("a@x.y")]);
    let change = release("cats-events", &observed, &Tags::new());
    assert!(matches!(&change.removals[..], [Step::Tag { remove, .. }] if remove.len() == 2), "{change:?}");
    let deleted = delete("cats-events", &built([]));
    assert_eq!(deleted.removals, [Step::Delete { arn: ARN.into() }]);
}
