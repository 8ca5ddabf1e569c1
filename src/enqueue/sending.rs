//! One batch, sent until every entry has arrived or has been refused for good.

use std::time::Duration;

use tokio::time::Instant;

use super::Parcel;
use crate::aws::{Answer, CallError, Kind};

/// Attempts at an entry, the first included. The SDK makes none of its own, so that the pauses below are all there are:
/// 23 s at most.
const ATTEMPTS: u32 = 8;
/// Nothing is tried again so long after the first attempt began: calls that hang take half a minute each. Such a
/// batch's end is known after a minute and a half at most.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE_BASE: Duration = Duration::from_millis(200);
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// What became of each parcel of a batch.
pub type Sent = Vec<(Parcel, Result<(), String>)>;

/// Sends parcels with `send`, which answers for each of them; those whose failure is not the sender's fault again,
/// after a pause with jitter. What comes back is every parcel with what has become of it.
///
/// # Errors
/// The call is refused as a whole in a way that no other batch would escape: no such queue, no right, no credentials.
pub async fn send(
    mut parcels: Vec<Parcel>,
    send: impl AsyncFn(&[Parcel]) -> Result<Vec<Answer>, CallError>,
) -> Result<Sent, CallError> {
    let mut ended = Vec::with_capacity(parcels.len());
    let mut attempt = 1;
    let began = Instant::now();
    loop {
        let answers = send(&parcels).await;
        let more = attempt < ATTEMPTS && began.elapsed() < PATIENCE;
        let answers = match answers {
            Ok(answers) => answers,
            Err(error) if matches!(error.kind, Kind::Throttled | Kind::Unavailable | Kind::NotYet) && more => {
                vec![Answer::Again(error.to_string()); parcels.len()]
            }
            Err(error) => return Err(error),
        };
        let mut again = Vec::new();
        for (parcel, answer) in parcels.into_iter().zip(answers) {
            match answer {
                Answer::Done => ended.push((parcel, Ok(()))),
                Answer::Again(_) if more => again.push(parcel),
                Answer::Again(why) | Answer::Refused(why) => ended.push((parcel, Err(why))),
            }
        }
        if again.is_empty() {
            return Ok(ended);
        }
        parcels = again;
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

    fn parcels(names: &str) -> Vec<Parcel> {
        names.chars().map(|name| Parcel { name: name.into(), body: String::new() }).collect()
    }

    fn error(kind: Kind) -> CallError {
        CallError { action: "sqs:SendMessage", kind, code: None, message: "no".into() }
    }

    /// Sends "abc" to a queue that answers by the name and the number of the call; what was sent, what became of it.
    async fn run(answer: impl Fn(char, usize) -> Answer) -> (Vec<String>, Vec<(String, Result<(), String>)>) {
        let calls = RefCell::new(Vec::new());
        let ended = send(parcels("abc"), async |parcels: &[Parcel]| {
            calls.borrow_mut().push(parcels.iter().map(|parcel| &*parcel.name).collect::<String>());
            let call = calls.borrow().len();
            Ok(parcels.iter().map(|parcel| answer(parcel.name.chars().next().unwrap(), call)).collect())
        });
        let ended = ended.await.unwrap().into_iter().map(|(parcel, result)| (parcel.name, result)).collect();
        (calls.into_inner(), ended)
    }

    #[tokio::test(start_paused = true)]
    async fn what_failed_by_nobodys_fault_is_sent_again_alone() {
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
    async fn what_never_works_is_given_up() {
        let (calls, ended) = run(|_, _| Answer::Again("busy".into())).await;
        assert_eq!(calls.len(), ATTEMPTS as usize);
        assert!(ended.iter().all(|(_, result)| *result == Err("busy".into())));
    }

    #[tokio::test(start_paused = true)]
    async fn what_hangs_is_given_up_after_a_minute_and_a_half() {
        let (began, calls) = (Instant::now(), RefCell::new(0));
        let ended = send(parcels("a"), async |_: &[Parcel]| {
            *calls.borrow_mut() += 1;
            tokio::time::sleep(Duration::from_secs(30)).await;
            Err(error(Kind::Unavailable))
        });
        assert_eq!(ended.await.unwrap_err().kind, Kind::Unavailable);
        assert!(began.elapsed() <= Duration::from_secs(90), "{:?}", began.elapsed());
        assert_eq!(calls.into_inner(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_fails_is_made_again_unless_it_always_will() {
        let calls = RefCell::new(0);
        let ended = send(parcels("a"), async |parcels: &[Parcel]| {
            *calls.borrow_mut() += 1;
            if *calls.borrow() < 3 { Err(error(Kind::Unavailable)) } else { Ok(vec![Answer::Done; parcels.len()]) }
        });
        assert!(ended.await.unwrap()[0].1.is_ok());
        assert_eq!(calls.into_inner(), 3);

        let denied = send(parcels("a"), async |_: &[Parcel]| Err(error(Kind::Denied))).await;
        assert_eq!(denied.unwrap_err().kind, Kind::Denied);
    }
}
