//! The worker's lines to CloudWatch Logs, each instance to a stream of its own.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_cloudwatchlogs::types::InputLogEvent;

use super::outbox::{Destination, Item, Sent};
use crate::aws::{CallError, CallResult, Clients, Kind, first_call};

/// The longest line. CloudWatch Logs takes a mebibyte; nobody reads so much.
const MAX_LINE_BYTES: usize = 16 << 10;
/// What each event counts beside its text (API PutLogEvents, as are all limits of a batch).
const EVENT_OVERHEAD_BYTES: usize = 26;
const MAX_SPAN_MS: i64 = 24 * 3_600 * 1_000;

/// A line with its time, in milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub at_ms: i64,
    pub text: String,
}

impl Line {
    /// Of now. The end of one that is too long is cut off; an empty one CloudWatch Logs would refuse.
    pub fn now(mut text: String) -> Self {
        if text.len() > MAX_LINE_BYTES {
            let end = (0..=MAX_LINE_BYTES - '…'.len_utf8()).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
            text.truncate(end);
            text.push('…');
        }
        if text.is_empty() {
            text.push(' ');
        }
        Self { at_ms: now_ms(), text }
    }
}

/// Milliseconds since 1970.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

impl Item for Line {
    fn bytes(&self) -> usize {
        self.text.len() + EVENT_OVERHEAD_BYTES
    }

    fn dropped(count: u64) -> Self {
        Self::now(format!("{count} lines were dropped here because CloudWatch Logs did not take them in time"))
    }
}

/// The two calls, for tests.
pub trait Calls: Send + Sync + 'static {
    fn create_stream(&self) -> impl Future<Output = Result<(), CallError>> + Send;
    fn put(&self, events: Vec<(i64, String)>) -> impl Future<Output = Result<(), CallError>> + Send;
}

/// A log stream.
pub struct Stream<C> {
    pub calls: C,
    /// Whether the stream exists.
    there: bool,
    /// The time of the last event: the next ones are not earlier, also when the clock is set back.
    last_ms: i64,
}

impl<C: Calls> Stream<C> {
    pub fn new(calls: C) -> Self {
        Self { calls, there: false, last_ms: 0 }
    }

    async fn put(&mut self, events: Vec<(i64, String)>) -> Result<(), CallError> {
        if !self.there {
            match self.calls.create_stream().await {
                Err(error) if error.kind != Kind::AlreadyExists => return Err(error),
                _ => self.there = true,
            }
        }
        let put = self.calls.put(events).await;
        // Somebody has deleted it.
        if put.as_ref().is_err_and(|error| error.kind == Kind::NotFound) {
            self.there = false;
        }
        put
    }
}

impl<C: Calls> Destination for Stream<C> {
    type Item = Line;
    const EVERY: Duration = Duration::from_secs(5);
    const MAX_BATCH_BYTES: usize = 1 << 20;
    const MAX_BATCH_ITEMS: usize = 10_000;
    const NAME: &'static str = "logs:PutLogEvents";

    fn goes_with(first: &Line, line: &Line) -> bool {
        // Half of what is allowed: times are moved forward where the clock was set back.
        line.at_ms.abs_diff(first.at_ms) <= MAX_SPAN_MS.unsigned_abs() / 2
    }

    async fn send(&mut self, batch: Vec<Line>) -> Sent<Line> {
        let in_order = batch.iter().map(|line| {
            self.last_ms = self.last_ms.max(line.at_ms);
            (self.last_ms, line.text.clone())
        });
        let events: Vec<(i64, String)> = in_order.collect();
        match self.put(events).await {
            Ok(()) => Sent::all(),
            Err(error) => Sent::failed(batch, error),
        }
    }
}

/// A stream of a log group in AWS.
pub struct AwsStream {
    pub clients: Clients,
    pub group: String,
    pub name: String,
}

impl Calls for AwsStream {
    async fn create_stream(&self) -> Result<(), CallError> {
        let request = self.clients.logs.create_log_stream().log_group_name(&self.group).log_stream_name(&self.name);
        let retries = aws_sdk_cloudwatchlogs::config::Builder::new().retry_config(first_call());
        let result = request.customize().config_override(retries).send().await;
        result.map(drop).action("logs:CreateLogStream")
    }

    async fn put(&self, events: Vec<(i64, String)>) -> Result<(), CallError> {
        const ACTION: &str = "logs:PutLogEvents";
        let event = |(at_ms, text): (i64, String)| InputLogEvent::builder().timestamp(at_ms).message(text).build();
        let events: Result<Vec<_>, _> = events.into_iter().map(event).collect();
        let events = events.map_err(|error| CallError::judged(ACTION, Kind::Refused, error.to_string()))?;
        let request = self.clients.logs.put_log_events().log_group_name(&self.group).log_stream_name(&self.name);
        let retries = aws_sdk_cloudwatchlogs::config::Builder::new().retry_config(first_call());
        let result = request.set_log_events(Some(events)).customize().config_override(retries).send().await;
        result.map(drop).action(ACTION)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Fake {
        said: Arc<Mutex<Vec<String>>>,
        answers: Arc<Mutex<Vec<Kind>>>,
    }

    impl Fake {
        fn answer(&self) -> Result<(), CallError> {
            let kind = self.answers.lock().unwrap().pop();
            kind.map_or(Ok(()), |kind| Err(CallError::judged("logs:PutLogEvents", kind, "no")))
        }
    }

    impl Calls for Fake {
        async fn create_stream(&self) -> Result<(), CallError> {
            self.said.lock().unwrap().push("create".into());
            self.answer()
        }

        async fn put(&self, events: Vec<(i64, String)>) -> Result<(), CallError> {
            let events: Vec<String> = events.iter().map(|(at, text)| format!("{at} {text}")).collect();
            self.said.lock().unwrap().push(events.join(", "));
            self.answer()
        }
    }

    fn line(at_ms: i64, text: &str) -> Line {
        Line { at_ms, text: text.into() }
    }

    #[tokio::test]
    async fn the_stream_is_made_once_and_again_where_somebody_deleted_it() {
        let fake = Fake::default();
        let mut stream = Stream::new(fake.clone());
        *fake.answers.lock().unwrap() = vec![Kind::AlreadyExists];
        assert!(stream.send(vec![line(5, "a")]).await.error.is_none());
        *fake.answers.lock().unwrap() = vec![Kind::NotFound];
        let sent = stream.send(vec![line(6, "b")]).await;
        assert_eq!((sent.left.len(), sent.error.unwrap().kind), (1, Kind::NotFound));
        assert!(stream.send(sent.left).await.error.is_none());
        assert_eq!(*fake.said.lock().unwrap(), ["create", "5 a", "6 b", "create", "6 b"]);
    }

    #[tokio::test]
    async fn a_clock_that_is_set_back_does_not_put_lines_out_of_order() {
        let fake = Fake::default();
        let mut stream = Stream::new(fake.clone());
        stream.send(vec![line(100, "a"), line(40, "b"), line(120, "c")]).await;
        stream.send(vec![line(50, "d")]).await;
        assert_eq!(fake.said.lock().unwrap()[1..], ["100 a, 100 b, 120 c", "120 d"]);
        assert!(Stream::<Fake>::goes_with(&line(0, ""), &line(MAX_SPAN_MS / 2, "")));
        assert!(!Stream::<Fake>::goes_with(&line(0, ""), &line(MAX_SPAN_MS / 2 + 1, "")));
    }

    #[test]
    fn a_line_is_neither_empty_nor_endless() {
        assert_eq!(Line::now(String::new()).text, " ");
        let long = Line::now("é".repeat(MAX_LINE_BYTES));
        assert!(long.text.len() <= MAX_LINE_BYTES && long.text.ends_with("é…"), "{}", long.text.len());
        assert_eq!(Line::now("short".into()).text, "short");
    }
}
