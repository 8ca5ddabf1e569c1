//! What a queue's steps do, answer by answer.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::deletion::GONE_BUDGET;
use super::*;
use crate::aws::fake::{Fake, sqs_error};
use crate::stack::resources::tests::{TestContext, silent};

const URL: &str = "http://localhost/123456789012/cats";

fn queue() -> Queue {
    Queue {
        name: "cats".into(),
        visibility_timeout_s: 60,
        retention_s: 600,
        redrive: Some(Redrive { dlq_arn: "arn:aws:sqs:us-east-1:123456789012:cats-dlq".into(), max_receives: 10 }),
        senders: Vec::new(),
        tags: Tags::new(),
    }
}

fn there() -> Option<(u16, String)> {
    Some((200, format!(r#"{{"QueueUrl":"{URL}"}}"#)))
}

fn gone() -> Option<(u16, String)> {
    sqs_error("QueueDoesNotExist", "The specified queue does not exist.")
}

/// Deletes a queue that the `n`-th read still has when `has(n)` says so; answers how many reads there were, how long
/// it took, and what was said.
async fn delete(has: impl Fn(usize) -> bool + Send + 'static) -> (Result<(), CallError>, usize, Duration, Vec<String>) {
    let mut reads = 0;
    let fake = Fake::new(move |asked| match asked.operation.as_str() {
        "DeleteQueue" => Some((200, "{}".into())),
        "GetQueueUrl" => {
            reads += 1;
            if has(reads - 1) { there() } else { gone() }
        }
        other => panic!("{other}"),
    });
    let said = Arc::new(Mutex::new(Vec::new()));
    let test = TestContext::new();
    let tell = |_: Address, why: &str| said.lock().unwrap().push(why.to_owned());
    let aws = fake.writer().await;
    let began = Instant::now();
    let result = run(&Step::Delete { url: URL.into() }, &aws, &test.context(Address::Queue, &tell)).await;
    (result, fake.calls().len() - 1, began.elapsed(), said.lock().unwrap().clone())
}

#[tokio::test(start_paused = true)]
async fn a_deleted_queue_is_gone_when_sqs_has_said_so_five_times_in_a_row() {
    let (result, reads, took, said) = delete(|_| false).await;
    assert!(result.is_ok());
    assert_eq!((reads, said.len()), (5, 0));
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_dies_slowly_is_waited_for_and_that_is_said() {
    // For forty reads every other answer still has it.
    let (result, reads, took, said) = delete(|read| read < 40 && read % 2 == 0).await;
    assert!(result.is_ok());
    assert_eq!(reads, 39 + 15);
    assert!(took < GONE_BUDGET, "{took:?}");
    assert!(said.len() == 1 && said[0].contains("up to a minute"), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_does_not_die_ends_the_wait() {
    let (result, _, took, _) = delete(|_| true).await;
    let error = result.unwrap_err();
    assert!(error.message.contains("still finds the queue cats, 120 seconds after"), "{error}");
    assert!((120..123).contains(&took.as_secs()), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_queue_whose_dead_letter_queue_is_too_new_is_made_a_moment_later() {
    let mut refusals = 4;
    let fake = Fake::new(move |asked| {
        assert_eq!(asked.operation, "CreateQueue");
        refusals -= 1;
        let why = "Value {} for parameter RedrivePolicy is invalid. Reason: Dead letter target does not exist.";
        if refusals > 0 { sqs_error("InvalidParameterValueException", why) } else { there() }
    });
    let test = TestContext::new();
    let aws = fake.writer().await;
    run(&Step::Create(queue()), &aws, &test.context(Address::Queue, &silent)).await.unwrap();
    assert_eq!(fake.calls().len(), 4);
    assert_eq!(test.outputs.into_facts().queue_urls[&Address::Queue], URL, "what was made is known without a read");
}

fn observed(policy: Option<Value>) -> Found<Observed> {
    let desired = queue();
    Found::Ours(Observed {
        url: URL.into(),
        visibility_timeout_s: "60".into(),
        retention_s: "600".into(),
        redrive: desired.redrive.as_ref().map(|redrive| redrive.to_json().to_string()),
        policy,
        kms_key: None,
        messages: 0,
        tags: Tags::from([("thumb:stack".into(), "cats".into())]),
    })
}

#[test]
fn a_bucket_is_let_in_before_its_rule_and_out_after_it() {
    let location = crate::stack::resources::policy::AwsLocation {
        partition: "aws".into(),
        account: "123456789012".into(),
        region: "us-east-1".into(),
    };
    let of = |bucket: &str| senders::statement(&location, "cats", bucket);
    let tags = Tags::from([("thumb:stack".into(), "cats".into())]);
    let with =
        |buckets: &[&str]| Queue { senders: buckets.iter().map(|b| of(b)).collect(), tags: tags.clone(), ..queue() };
    let policy = |step: &Step| match step {
        Step::SetAttributes { attributes, .. } => serde_json::from_str::<Value>(&attributes["Policy"]).ok(),
        other => panic!("{other:?}"),
    };
    let there = senders::with(None, &[of("a")]);
    let change = diff(Address::Queue, &with(&["a"]), &observed(there.clone()));
    assert_eq!(change.action, Action::None);
    let change = diff(Address::Queue, &with(&["b"]), &observed(there.clone()));
    let names = |step: &Step| senders::buckets(policy(step).as_ref()).into_iter().collect::<Vec<_>>();
    assert_eq!((change.steps.len(), change.removals.len(), change.action), (1, 1, Action::Update));
    assert_eq!(
        (names(&change.steps[0]), names(&change.removals[0])),
        (vec!["a".into(), "b".into()], vec!["b".to_owned()])
    );
    let change = diff(Address::Queue, &with(&[]), &observed(there));
    assert_eq!((change.steps.len(), change.removals.len(), change.action), (0, 1, Action::Update));
    assert_eq!(policy(&change.removals[0]), None, "an empty value removes the policy");
}
