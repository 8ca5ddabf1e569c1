//! Sends one batch until every entry is queued or permanently refused.

use std::time::Duration;

use tokio::time::Instant;

use super::OutgoingMessage;
use crate::aws::{Answer, CallError, Kind};

/// Attempts per entry, the first included. The SDK makes no retries of its own, so that the pauses add up to 23 s at most.
const ATTEMPTS: u32 = 8;
/// No retries after this time since the first attempt: hanging calls take half a minute each, so that such a batch ends
/// after a minute and a half at most.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE_BASE: Duration = Duration::from_millis(200);
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// The result of each message of a batch.
pub type Sent = Vec<(OutgoingMessage, Result<(), String>)>;

/// Sends messages with `send`, which answers for each of them, and retries those with transient errors after a pause with
/// jitter. Returns every message with its result.
///
/// # Errors
/// The call is refused as a whole in a way that applies to every batch: no such queue, no permission, no credentials.
pub async fn send(
    mut messages: Vec<OutgoingMessage>,
    send: impl AsyncFn(&[OutgoingMessage]) -> Result<Vec<Answer>, CallError>,
) -> Result<Sent, CallError> {
    let mut ended = Vec::with_capacity(messages.len());
    let mut attempt = 1;
    let began = Instant::now();
    loop {
        let answers = send(&messages).await;
        let more = attempt < ATTEMPTS && began.elapsed() < PATIENCE;
        let answers = match answers {
            Ok(answers) => answers,
            Err(error) if matches!(error.kind, Kind::Throttled | Kind::Unavailable | Kind::NotYet) && more => {
                vec![Answer::Again(error.to_string()); messages.len()]
            }
            Err(error) => return Err(error),
        };
        let mut again = Vec::new();
        for (message, answer) in messages.into_iter().zip(answers) {
            match answer {
                Answer::Done => ended.push((message, Ok(()))),
                Answer::Again(_) if more => again.push(message),
                Answer::Again(why) | Answer::Refused(why) => ended.push((message, Err(why))),
            }
        }
        if again.is_empty() {
            return Ok(ended);
        }
        messages = again;
        tokio::time::sleep(pause(attempt, fastrand::f64())).await;
        attempt += 1;
    }
}

/// Exponential, capped, and spread by `jitter` (0 to 1) over the upper half.
fn pause(attempt: u32, jitter: f64) -> Duration {
    PAUSE_BASE.saturating_mul(2_u32.saturating_pow(attempt - 1)).min(MAX_PAUSE).mul_f64(0.5 + jitter / 2.0)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::enqueue::tests::message;

    fn messages(names: &str) -> Vec<OutgoingMessage> {
        names.chars().map(|name| OutgoingMessage { name: name.into(), ..message(0) }).collect()
    }

    fn error(kind: Kind) -> CallError {
        CallError { action: "sqs:SendMessage", kind, code: None, message: "no".into() }
    }

    /// Sends "abc" to a queue that answers by the name and the number of the call; what was sent, what became of it.
    async fn run(answer: impl Fn(char, usize) -> Answer) -> (Vec<String>, Vec<(String, Result<(), String>)>) {
        let calls = RefCell::new(Vec::new());
        let ended = send(messages("abc"), async |messages: &[OutgoingMessage]| {
            calls.borrow_mut().push(messages.iter().map(|message| &*message.name).collect::<String>());
            let call = calls.borrow().len();
            Ok(messages.iter().map(|message| answer(message.name.chars().next().unwrap(), call)).collect())
        });
        let ended = ended.await.unwrap().into_iter().map(|(message, result)| (message.name, result)).collect();
        (calls.into_inner(), ended)
    }

    #[tokio::test(start_paused = true)]
    async fn entries_with_transient_errors_are_sent_again_alone() {
        let (calls, ended) = run(|name, call| match (name, call) {
            ('b', 1..=2) => Answer::Again("busy".into()),
            ('c', _) => Answer::Refused("bad".into()),
            _ => Answer::Done,
        })
        .await;
        assert_eq!(calls, ["abc", "b", "b"]);
        assert_eq!(ended, [("a".into(), Ok(())), ("c".into(), Err("bad".into())), ("b".into(), Ok(()))]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_entry_that_keeps_failing_is_given_up() {
        let (calls, ended) = run(|_, _| Answer::Again("busy".into())).await;
        assert_eq!(calls.len(), ATTEMPTS as usize);
        assert!(ended.iter().all(|(_, result)| *result == Err("busy".into())));
    }

    #[tokio::test(start_paused = true)]
    async fn hanging_calls_are_given_up_after_a_minute_and_a_half() {
        let (began, calls) = (Instant::now(), RefCell::new(0));
        let ended = send(messages("a"), async |_: &[OutgoingMessage]| {
            *calls.borrow_mut() += 1;
            tokio::time::sleep(Duration::from_secs(30)).await;
            Err(error(Kind::Unavailable))
        });
        assert_eq!(ended.await.unwrap_err().kind, Kind::Unavailable);
        assert!(began.elapsed() <= Duration::from_secs(90), "{:?}", began.elapsed());
        assert_eq!(calls.into_inner(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_call_is_retried_if_the_error_is_transient() {
        let calls = RefCell::new(0);
        let ended = send(messages("a"), async |messages: &[OutgoingMessage]| {
            *calls.borrow_mut() += 1;
            if *calls.borrow() < 3 { Err(error(Kind::Unavailable)) } else { Ok(vec![Answer::Done; messages.len()]) }
        });
        assert!(ended.await.unwrap()[0].1.is_ok());
        assert_eq!(calls.into_inner(), 3);

        let denied = send(messages("a"), async |_: &[OutgoingMessage]| Err(error(Kind::Denied))).await;
        assert_eq!(denied.unwrap_err().kind, Kind::Denied);
    }
}
