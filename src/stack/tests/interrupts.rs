//! Doing a plan that the user ends, on paused time and with AWS as a function.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::aws::fake::{Fake, ec2_error, sqs_error};
use crate::stack::Change;
use crate::stack::change::Purpose;
use crate::stack::resources::Interrupt;

fn deletion(address: Address, name: &str, step: impl Into<crate::stack::Operation>) -> Change {
    let mut change = Change::new(address, name).action(Action::Delete);
    change.removal(step);
    change
}

#[tokio::test(start_paused = true)]
async fn an_interrupt_ends_every_wait_at_once_and_begins_nothing_more() {
    // The group is in use for ever, and the queue dies slowly.
    let fake = Fake::new(|asked| match asked.operation.as_str() {
        "DeleteSecurityGroup" => ec2_error("DependencyViolation", "resource sg-1 has a dependent object"),
        "DeleteQueue" => Some((200, "{}".into())),
        "GetQueueUrl" => Some((200, r#"{"QueueUrl":"http://localhost/1/cats"}"#.into())),
        other => panic!("{other}"),
    });
    let url = "http://localhost/1/cats".to_owned();
    let plan = Plan::new(
        Purpose::Destroy,
        "cats",
        "123456789012",
        "us-east-1",
        vec![
            deletion(Address::Queue, "cats", queue::Step::Delete { url }),
            deletion(Address::SecurityGroup, "cats-worker", security_group::Step::Delete { id: "sg-1".into() }),
        ],
    );
    let interrupt = Interrupt::new();
    let events = Mutex::new(Vec::new());
    let tell = |event: Event<'_>| {
        let word = match event {
            Event::Interrupted { change, .. } => format!("interrupted {}", change.address),
            Event::Failed { change, .. } => format!("failed {}", change.address),
            Event::Done { change, .. } => format!("done {}", change.address),
            _ => return,
        };
        events.lock().unwrap().push(word);
    };
    let aws = fake.writer().await;
    let began = Instant::now();
    let user = async {
        tokio::time::sleep(Duration::from_millis(31_700)).await;
        interrupt.raise();
    };
    let (report, ()) = tokio::join!(execute(&plan, &aws, &tell, &interrupt), user);
    assert_eq!(began.elapsed(), Duration::from_millis(31_700), "not a moment later");
    let mut events = events.into_inner().unwrap();
    events.sort();
    assert_eq!(events, ["interrupted queue", "interrupted security-group"]);
    assert!(report.interrupted && report.failures.is_empty());
    assert!(report.outcomes.iter().all(|(.., outcome)| *outcome == Outcome::NotDone), "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn the_two_queues_die_side_by_side() {
    let mut reads = std::collections::BTreeMap::<String, u32>::new();
    let fake = Fake::new(move |asked| match asked.operation.as_str() {
        "DeleteQueue" => Some((200, "{}".into())),
        "GetQueueUrl" => {
            let read = reads.entry(asked.body.clone()).or_default();
            *read += 1;
            // For a minute each still has it.
            if *read < 60 { Some((200, r#"{"QueueUrl":"u"}"#.into())) } else { sqs_error("QueueDoesNotExist", "no") }
        }
        other => panic!("{other}"),
    });
    let delete = |name: &str| queue::Step::Delete { url: format!("http://localhost/1/{name}") };
    let changes =
        vec![deletion(Address::Dlq, "cats-dlq", delete("cats-dlq")), deletion(Address::Queue, "cats", delete("cats"))];
    let plan = Plan::new(Purpose::Destroy, "cats", "123456789012", "us-east-1", changes);
    let aws = fake.writer().await;
    let began = Instant::now();
    let report = execute(&plan, &aws, &|_| {}, &Interrupt::new()).await;
    assert!(report.failures.is_empty(), "{report:?}");
    assert!((60..70).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
}
