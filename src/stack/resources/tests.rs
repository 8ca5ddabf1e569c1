//! The steps' waits, on paused time and without AWS.

use std::time::Duration;

use tokio::time::Instant;

use super::*;

/// What a [`StepContext`] borrows, for tests.
pub(super) struct TestContext {
    pub outputs: StepOutputs,
    pub interrupt: Interrupt,
}

impl TestContext {
    pub fn new() -> Self {
        Self { outputs: StepOutputs::default(), interrupt: Interrupt::new() }
    }

    pub fn context<'a>(&'a self, address: Address, waiting: &'a (dyn Fn(Address, &str) + Sync)) -> StepContext<'a> {
        StepContext {
            stack: "cats",
            account: "123456789012",
            address,
            outputs: &self.outputs,
            waiting,
            interrupt: &self.interrupt,
        }
    }
}

pub(super) fn silent(_: Address, _: &str) {}

fn not_yet() -> CallError {
    CallError::judged("sqs:CreateQueue", Kind::NotYet, "not yet")
}

#[tokio::test(start_paused = true)]
async fn an_interrupt_ends_the_wait_between_two_attempts_at_once() {
    let test = TestContext::new();
    let context = test.context(Address::Queue, &silent);
    let began = Instant::now();
    let retry = context.retry(&RetryPolicy::INSTANCE, "it is starting", |_| true, || async { Err::<(), _>(not_yet()) });
    let interrupt = async {
        tokio::time::sleep(Duration::from_millis(17_500)).await;
        assert!(!test.interrupt.raise());
    };
    let (result, ()) = tokio::join!(retry, interrupt);
    let error = result.unwrap_err();
    assert_eq!((error.kind, error.action), (Kind::Interrupted, "sqs:CreateQueue"));
    assert_eq!(began.elapsed(), Duration::from_millis(17_500), "not a moment later");
}

#[tokio::test(start_paused = true)]
async fn a_call_in_flight_is_awaited_and_its_answer_counts() {
    let test = TestContext::new();
    let context = test.context(Address::Queue, &silent);
    let retry = context.retry(
        &RetryPolicy::INSTANCE,
        "it is starting",
        |_| true,
        || async {
            tokio::time::sleep(Duration::from_secs(20)).await;
            Ok(())
        },
    );
    let interrupt = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        test.interrupt.raise();
    };
    let began = Instant::now();
    let (result, ()) = tokio::join!(retry, interrupt);
    assert!(result.is_ok());
    assert_eq!(began.elapsed().as_secs(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_budget_that_is_spent_gives_the_last_error() {
    let test = TestContext::new();
    let context = test.context(Address::Queue, &silent);
    let began = Instant::now();
    let result =
        context.retry(&RetryPolicy::PROPAGATION, "not yet", |_| true, || async { Err::<(), _>(not_yet()) }).await;
    assert_eq!(result.unwrap_err().kind, Kind::NotYet);
    assert!((60..63).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
}
