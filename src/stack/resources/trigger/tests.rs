//! What a plan does about the notifications of a bucket.

use aws_sdk_s3::types::{Event, EventBridgeConfiguration, LambdaFunctionConfiguration, QueueConfiguration};

use super::*;

const QUEUE: &str = "arn:aws:sqs:us-east-1:123456789012:cats";

fn location() -> AwsLocation {
    AwsLocation { partition: "aws".into(), account: "123456789012".into(), region: "us-east-1".into() }
}

fn triggers(text: &str, recorded: &[&str]) -> Vec<Trigger> {
    let config = Config::parse(&format!("name = \"cats\"\n{text}"), "").unwrap();
    declared(&config, &location(), &recorded.iter().map(ToString::to_string).collect())
}

fn there(all: NotificationConfiguration) -> Bucket {
    Bucket::There(Box::new(all))
}

/// Rules of others: a Lambda function for uploads of films, EventBridge.
fn others() -> NotificationConfiguration {
    let lambda = LambdaFunctionConfiguration::builder()
        .id("films")
        .lambda_function_arn("arn:aws:lambda:us-east-1:123456789012:function:films")
        .events(Event::S3ObjectCreatedPut)
        .filter(Rule { suffix: ".mp4".into(), ..rule("") }.to_sdk().filter.unwrap())
        .build()
        .unwrap();
    let bridge = EventBridgeConfiguration::builder().build();
    NotificationConfiguration::builder()
        .lambda_function_configurations(lambda)
        .event_bridge_configuration(bridge)
        .build()
}

fn rule(id: &str) -> Rule {
    Rule {
        id: id.into(),
        queue_arn: QUEUE.into(),
        events: vec!["s3:ObjectCreated:*".into()],
        prefix: String::new(),
        suffix: String::new(),
    }
}

const TWO: &str = "[[trigger]]\nbucket = \"ups\"\nprefix = \"in/\"\nsuffix = \".jpg\"\n\
                   [[trigger]]\nbucket = \"ups\"\nprefix = \"in/\"\nsuffix = \".png\"";

#[test]
fn each_bucket_is_one_trigger_and_one_that_is_declared_no_more_comes_last() {
    let key = "thumbnail.key = \"{bucket}/{dir}{stem}-{width}x{height}.jpg\"";
    let all = triggers(&format!("{key}\n[[trigger]]\nbucket = \"zoo\"\nsuffix = \".jpg\"\n{TWO}"), &["left", "ups"]);
    let seen: Vec<(&str, usize)> = all.iter().map(|one| (one.bucket.as_str(), one.rules.len())).collect();
    assert_eq!(seen, [("zoo", 1), ("ups", 2), ("left", 0)]);
}

#[test]
fn rules_are_made_changed_and_removed_beside_those_of_others() {
    let desired = &triggers(TWO, &[])[0];
    let change = diff(1, "cats", desired, &there(others()), None);
    assert_eq!((change.action, change.steps.len()), (Action::Create, 1));
    insta::assert_snapshot!(serde_json::to_string_pretty(&change.attributes).unwrap());

    let written = rules::with(others(), "cats", &desired.rules);
    assert_eq!(written.lambda_function_configurations(), others().lambda_function_configurations());
    assert_eq!(written.event_bridge_configuration(), others().event_bridge_configuration());
    assert_eq!(diff(1, "cats", desired, &there(written.clone()), None).action, Action::None);

    // Somebody pointed one elsewhere, and S3 answers in another order.
    let mut drifted = written.clone();
    let queues = drifted.queue_configurations.as_mut().unwrap();
    queues.reverse();
    queues[0].queue_arn = "arn:aws:sqs:us-east-1:123456789012:other".into();
    assert_eq!(diff(1, "cats", desired, &there(drifted), None).action, Action::Update);

    let gone = Trigger { rules: Vec::new(), ..desired.clone() };
    let change = diff(1, "cats", &gone, &there(written.clone()), None);
    assert_eq!((change.action, change.steps.len(), change.removals.len()), (Action::Delete, 0, 1));
    let left = rules::with(written, "cats", &[]);
    assert_eq!(left.lambda_function_configurations(), others().lambda_function_configurations());
    assert!(left.queue_configurations().is_empty());
    assert_eq!(diff(1, "cats", &gone, &there(left), None).action, Action::None);
    assert_eq!(diff(1, "cats", &gone, &Bucket::Gone, None).action, Action::None, "its rules went with it");
}

#[test]
fn deletions_are_followed_where_thumb_toml_says_so() {
    let desired = &triggers(&format!("thumbnail.follow_deletes = true\n{TWO}"), &[])[0];
    assert_eq!(desired.rules[0].events, ["s3:LifecycleExpiration:*", "s3:ObjectCreated:*", "s3:ObjectRemoved:*"]);
    let before = rules::with(others(), "cats", &triggers(TWO, &[])[0].rules);
    assert_eq!(diff(1, "cats", desired, &there(before), None).action, Action::Update, "the rules keep their IDs");
}

#[test]
fn a_rule_of_a_stack_with_a_longer_name_is_not_ours() {
    let id = triggers(TWO, &[])[0].rules[0].id.clone();
    assert!(rules::is_ours(Some(&id), "cats"));
    assert!(!rules::is_ours(Some(&id.replace("cats", "cats-2")), "cats"));
    assert!(!rules::is_ours(Some(&id), "cats-2"));
    assert!(!rules::is_ours(Some("thumb-cats-mine"), "cats") && !rules::is_ours(None, "cats"));
}

#[test]
fn what_s3_would_refuse_is_blocked_with_the_reason() {
    let reason = |text: &str, found: &Bucket, key: Option<&str>| {
        let change = diff(1, "cats", &triggers(text, &[])[0], found, key);
        assert_eq!(change.action, Action::Blocked);
        change.reason.unwrap()
    };
    let theirs = |suffix: &str, event: Event| {
        let mut rule = Rule { suffix: suffix.into(), ..rule("theirs") }.to_sdk();
        rule.events = vec![event];
        there(NotificationConfiguration::builder().queue_configurations(rule).build())
    };
    let reasons = [
        reason(TWO, &theirs("", Event::S3ObjectCreatedPut), None),
        reason(TWO, &theirs("g", Event::S3ObjectCreated), None),
        reason("[[trigger]]\nbucket = \"ups\"", &there(others()), None),
        reason(TWO, &Bucket::Gone, None),
        reason(TWO, &there(others()), Some("alias/aws/sqs")),
        reason("[[trigger]]\nbucket = \"cats-thumbnails-123456789012\"", &there(others()), None),
        reason(TWO, &Bucket::Unusable("the bucket up is elsewhere".into()), None),
    ];
    insta::assert_snapshot!(reasons.join("\n"));
    let fine = [theirs(".gif", Event::S3ObjectCreated), theirs("", Event::S3ObjectRemovedDelete)];
    for found in fine {
        assert_eq!(diff(1, "cats", &triggers(TWO, &[])[0], &found, Some("alias/mine")).action, Action::Create);
    }
}

#[test]
fn a_rule_is_read_as_s3_answers_it() {
    let rule = Rule { prefix: "in/".into(), suffix: ".jpg".into(), ..rule("x") };
    let mut sdk: QueueConfiguration = rule.to_sdk();
    let rules = sdk.filter.as_mut().unwrap().key.as_mut().unwrap().filter_rules.as_mut().unwrap();
    rules[0].name = Some("Prefix".into());
    rules[1].name = Some("Suffix".into());
    let all = NotificationConfiguration::builder().queue_configurations(sdk);
    let id = "thumb-cats-0123456789abcdef";
    let mut all = all.build();
    all.queue_configurations.as_mut().unwrap()[0].id = Some(id.into());
    assert_eq!(rules::ours(&all, "cats"), [Rule { id: id.into(), ..rule }]);
}

#[test]
fn what_a_trigger_does_not_exclude_is_noted() {
    let config = |text: &str| Config::parse(&format!("name = \"cats\"\n{text}"), "").unwrap();
    let open = config("[[trigger]]\nbucket = \"ups\"\nprefix = \"in/\"");
    let notes = notes(&open, Some("arn:aws:kms:us-east-1:123456789012:key/1"));
    assert_eq!(notes.len(), 2);
    assert!(notes[0].contains("kms:GenerateDataKey and kms:Decrypt"), "{notes:?}");
    assert!(notes[1].contains("(ups)"), "{notes:?}");
    assert!(super::notes(&config(TWO), None).is_empty() && super::notes(&config(""), Some("k")).is_empty());
}
