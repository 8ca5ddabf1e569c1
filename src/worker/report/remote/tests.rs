//! What of the worker's output goes to CloudWatch, on paused time.

use super::*;
use crate::aws::{CallError, Kind};
use crate::worker::report::output::{Form, Output};
use crate::worker::report::stats::Numbers;
use crate::worker::retry::{Outcome, Stage};

fn numbers(done: u64) -> Event {
    let totals = Totals::new(Instant::now());
    let numbers = Numbers { done, ..totals.numbers(Instant::now()) };
    Event::Numbers { total: false, numbers: Box::new(numbers) }
}

/// Lines whose stream is never ready, so that the queue can be read.
fn lines() -> (Lines, Sending) {
    let pending = std::future::pending::<Stream<AwsStream>>();
    let (outbox, sending) = Outbox::start(pending, |_| {});
    let minute = Arc::new(Mutex::new(Totals::new(Instant::now())));
    (Lines { outbox, stack: "cats".into(), minute }, sending)
}

fn texts(lines: &Lines) -> Vec<String> {
    lines.outbox.take::<Stream<AwsStream>>().into_iter().map(|line| line.text).collect()
}

#[tokio::test(start_paused = true)]
async fn lines_are_those_of_the_journal_without_idle_numbers() {
    let (lines, _sending) = lines();
    lines.add(&Event::CallFailed { why: "a\u{1b}[31m".into() });
    lines.add(&numbers(0));
    assert_eq!(texts(&lines), [r"a call failed and will be retried: a\u{1b}[31m"]);
    lines.add(&numbers(3));
    assert!(texts(&lines)[0].starts_with("last 0 s: 0 thumbnails of 3 photos"));
}

#[tokio::test(start_paused = true)]
async fn numbers_go_out_once_a_minute_while_there_is_work() {
    let (lines, _sending) = lines();
    let rejected = || Finished::new(Outcome::Reject { stage: Stage::Make, why: "no".into() });
    let mut reporter = Reporter { output: Box::new(output()), lines: Some(lines.clone()), results: None };
    reporter.finished(&rejected());
    lines.add(&numbers(0));
    assert_eq!(texts(&lines), [] as [String; 0], "a minute is not over");
    tokio::time::advance(NUMBERS_EVERY).await;
    reporter.finished(&rejected());
    lines.add(&numbers(0));
    let [document] = &texts(&lines)[..] else { panic!("one line") };
    let document: serde_json::Value = serde_json::from_str(document).unwrap();
    assert_eq!((&document["Rejected"], &document["Stack"]), (&2.into(), &"cats".into()));
    tokio::time::advance(NUMBERS_EVERY * 3).await;
    lines.add(&numbers(0));
    assert_eq!(texts(&lines), [] as [String; 0], "nothing was done");
}

fn output() -> Output {
    Output::new(Form::Lines { details: false }, None, &prometheus_client::metrics::counter::Counter::default()).unwrap()
}

/// What hangs, or refuses everything.
#[derive(Clone, Copy, Debug)]
pub enum Broken {
    Hangs,
    Refuses(Kind),
}

/// A destination for which nothing ever works.
struct Nowhere<T>(Broken, std::marker::PhantomData<fn(T)>);

impl<T: outbox::Item> outbox::Destination for Nowhere<T> {
    type Item = T;
    const EVERY: Duration = Duration::from_secs(1);
    const MAX_BATCH_BYTES: usize = 1 << 20;
    const MAX_BATCH_ITEMS: usize = 10;
    const NAME: &'static str = "nowhere";

    async fn send(&mut self, batch: Vec<T>) -> outbox::Sent<T> {
        match self.0 {
            Broken::Hangs => std::future::pending().await,
            Broken::Refuses(kind) => outbox::Sent::failed(batch, CallError::judged("nowhere", kind, "no")),
        }
    }
}

impl Reporter {
    /// With CloudWatch and SNS broken beside an output.
    pub fn beside_broken(output: Box<dyn Report>, broken: Broken) -> (Self, Rest) {
        let (outbox, lines_sending) = Outbox::start(async move { Nowhere(broken, std::marker::PhantomData) }, |_| {});
        let minute = Arc::new(Mutex::new(Totals::new(Instant::now())));
        let lines = Lines { outbox, stack: "cats".into(), minute };
        let (outbox, sending) = Outbox::start(async move { Nowhere(broken, std::marker::PhantomData) }, |_| {});
        let results = Results { outbox, stack: "cats".into(), bucket: "cats-thumbnails".into() };
        let rest = Rest { lines: Some(lines.clone()), sending: vec![lines_sending, sending] };
        (Self { output, lines: Some(lines), results: Some(results) }, rest)
    }
}
