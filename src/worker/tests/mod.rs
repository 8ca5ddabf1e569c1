//! The loop on paused time: an hour passes in a moment, and every run is the same.

mod bad;
mod failures;
mod fake;
mod memory;
mod removed;
mod telling;
mod versions;
mod watched;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep};

use super::job::{Engine, JobContext};
use super::memory::MemoryBudget;
use super::report::Report;
use super::report::event::Event;
use super::report::metrics::Metrics;
use super::report::remote::tests::Broken;
use super::report::remote::{Reporter, Rest};
use super::report::reporting::Identity;
use super::report::status::Progress;
use super::report::systemd::Notifier;
use super::runner::{FatalError, Runner, Settings};
use crate::config::{Config, MIN_MEMORY_BYTES};
use crate::thumbnail::Options;
use fake::{Chaos, Fake, Faults, VISIBILITY};

/// A worker's run.
struct Run {
    events: Vec<Event>,
    /// When each event came, from the start.
    times: Vec<Duration>,
    result: Result<(), FatalError>,
    took: Duration,
}

impl Run {
    fn count(&self, what: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|event| what(event)).count()
    }

    fn made(&self) -> usize {
        self.count(|event| matches!(event, Event::Made { .. }))
    }
}

struct Setup {
    fake: Arc<Fake>,
    settings: Settings,
    skip_existing: bool,
    /// More lines of `[thumbnail]`.
    thumbnail: &'static str,
    engine: Engine,
    /// When the worker is told to stop, in seconds from its start.
    stops_s: Vec<u64>,
    identity: Option<Identity>,
    notifier: Cell<Option<Notifier>>,
    metrics: Metrics,
    /// Whether the reader of the events has fallen behind.
    behind: Arc<AtomicBool>,
    /// What is wrong with CloudWatch and SNS; none: nothing is sent there.
    broken: Option<Broken>,
    /// Of a status line.
    progress: Option<Progress>,
}

/// Reads the events.
struct Reader {
    seen: Arc<Mutex<Vec<(Duration, Event)>>>,
    began: Instant,
    behind: Arc<AtomicBool>,
}

impl Report for Reader {
    fn report(&mut self, event: &Event) -> std::io::Result<()> {
        self.seen.lock().unwrap().push((self.began.elapsed(), event.clone()));
        Ok(())
    }

    fn is_behind(&mut self) -> std::io::Result<bool> {
        Ok(self.behind.load(Ordering::Relaxed))
    }
}

impl Setup {
    /// Four messages at once on two CPUs, three receives, drains.
    fn new() -> Self {
        let settings = Settings {
            concurrency: 4,
            visibility: VISIBILITY,
            max_receives: 3,
            grace_s: 25,
            drain: true,
            numbers_every: Duration::from_secs(30),
        };
        Self {
            fake: Arc::default(),
            settings,
            skip_existing: false,
            thumbnail: "",
            engine: fake::engine,
            stops_s: Vec::new(),
            identity: None,
            notifier: Cell::new(None),
            metrics: Metrics::default(),
            behind: Arc::default(),
            broken: None,
            progress: None,
        }
    }

    fn with_keys<'a>(keys: impl IntoIterator<Item = &'a str>) -> Self {
        let setup = Self::new();
        keys.into_iter().for_each(|key| setup.fake.send_key(key));
        setup
    }

    fn faults(self, faults: Faults) -> Self {
        self.fake.state().faults = faults;
        self
    }

    async fn run(&self) -> Run {
        let toml = "name = \"cats\"\n[buckets]\nsources = [\"photos\"]\n[thumbnail]\nsizes = [\"4x3\"]\n";
        let config = Config::parse(&format!("{toml}{}", self.thumbnail), "").unwrap();
        let memory = MemoryBudget::new(MIN_MEMORY_BYTES, self.settings.concurrency);
        let context = JobContext {
            backend: Arc::clone(&self.fake),
            options: Options { limits: memory.limits(config.limits()), ..Options::default() },
            memory,
            cpus: Arc::new(Semaphore::new(2)),
            engine: self.engine,
            thumbnail: config.thumbnail,
            thumbnails_bucket: "cats-thumbnails".into(),
            sources: config.buckets.sources,
            skip_existing: self.skip_existing,
            triggers: config.triggers,
        };
        let events = Arc::new(Mutex::new(Vec::new()));
        let (stops, receiver) = mpsc::channel(4);
        let stops_s = self.stops_s.clone();
        let began = Instant::now();
        let stopper = tokio::spawn(async move {
            for stop_s in stops_s {
                sleep(Duration::from_secs(stop_s).saturating_sub(began.elapsed())).await;
                stops.send("SIGTERM".to_owned()).await.unwrap();
            }
            // An open channel keeps the worker running.
            stops.closed().await;
        });
        let seen = Arc::clone(&events);
        let reader = Box::new(Reader { seen, began, behind: Arc::clone(&self.behind) });
        let (report, rest): (Box<dyn Report>, Rest) = match self.broken {
            None => (reader, Rest::default()),
            Some(broken) => {
                let (reporter, rest) = Reporter::beside_broken(reader, broken);
                (Box::new(reporter), rest)
            }
        };
        let mut runner = Runner::new(Arc::new(context), self.settings.clone(), report, self.metrics.clone(), receiver);
        if let Some(identity) = &self.identity {
            runner = runner.reporting(std::future::ready(identity.clone()));
        }
        if let Some(notifier) = self.notifier.take() {
            runner = runner.notifying(notifier);
        }
        let result = runner.showing(self.progress.clone()).run().await;
        let took = began.elapsed();
        rest.finish(None).await;
        stopper.abort();
        let (times, events) = std::mem::take(&mut *events.lock().unwrap()).into_iter().unzip();
        Run { events, times, result, took }
    }

    /// Everything has left the queue.
    fn assert_empty(&self) {
        assert_eq!(self.fake.visible(), Vec::<u32>::new());
    }

    fn stored(&self) -> Vec<String> {
        self.fake.state().stored.keys().cloned().collect()
    }

    /// The stage and the reason of each dead letter.
    fn dlq(&self) -> Vec<(String, String)> {
        let dead_letters = self.fake.state();
        dead_letters.dlq.iter().map(|dead_letter| (dead_letter.stage.clone(), dead_letter.error.clone())).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn every_message_becomes_its_thumbnail_and_is_deleted() {
    let keys: Vec<String> = (0..57).map(|n| format!("{n:02}.jpg")).collect();
    let setup = Setup::with_keys(keys.iter().map(String::as_str));
    let run = setup.run().await;
    assert!(run.result.is_ok());
    assert_eq!((run.made(), setup.stored().len(), setup.dlq()), (57, 57, vec![]));
    setup.assert_empty();
    assert_eq!(setup.fake.state().most_at_once, 4, "as many in parallel as allowed, and no more");
    let Some(Event::Numbers { total: true, numbers }) = run.events.last() else { panic!("{:?}", run.events.last()) };
    assert_eq!((numbers.done, numbers.images, numbers.rejected, numbers.retried), (57, 57, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn heartbeats_keep_a_slow_message_from_being_received_twice() {
    let setup = Setup::with_keys(["slow-1000"]).faults(Faults { failed_heartbeats: 2, ..Faults::default() });
    let run = setup.run().await;
    assert_eq!((run.made(), setup.fake.state().fetched.len()), (1, 1));
    setup.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn the_job_of_a_message_that_another_worker_took_over_is_aborted() {
    let setup = Setup::with_keys(["slow-100"]).faults(Faults { expired_receipts: 1, ..Faults::default() });
    let run = setup.run().await;
    // At the first heartbeat; a minute after its receipt it is received again.
    assert_eq!(run.count(|event| matches!(event, Event::TakenOver { .. })), 1);
    assert_eq!((run.made(), setup.fake.state().fetched.len()), (1, 2));
    setup.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn a_transient_error_is_retried_as_often_as_allowed_and_then_dead_lettered() {
    let setup = Setup::with_keys(["missing", "a"]);
    let run = setup.run().await;
    assert_eq!(setup.dlq(), [("fetch".into(), "no such key; tried 3 times".into())]);
    assert_eq!(run.count(|event| matches!(event, Event::Retrying { .. })), 2);
    assert_eq!(setup.stored(), ["a-4x3.jpg"]);
    setup.assert_empty();
    // 8 s and 32 s, each less up to its half.
    assert!((Duration::from_secs(20)..Duration::from_secs(50)).contains(&run.took), "{:?}", run.took);
}

#[tokio::test(start_paused = true)]
async fn failed_entries_of_a_batch_are_retried() {
    let setup = Setup::with_keys(["a", "bad-b"]).faults(Faults { failed_settlements: 3, ..Faults::default() });
    let run = setup.run().await;
    assert_eq!((run.made(), setup.dlq().len()), (1, 1));
    assert_eq!(setup.fake.state().fetched.len(), 2, "nothing is done twice");
    setup.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn a_hanging_receive_is_aborted() {
    let setup = Setup::with_keys(["a"]).faults(Faults { hung_receives: 2, ..Faults::default() });
    let run = setup.run().await;
    assert_eq!(run.made(), 1);
    assert_eq!(run.count(|event| matches!(event, Event::CallFailed { .. })), 2);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_refuses_for_good_ends_the_worker() {
    let setup = Setup::with_keys(["a"]).faults(Faults { refused_receives: 100, ..Faults::default() });
    let run = setup.run().await;
    assert!(matches!(run.result, Err(FatalError::Receive(_))), "{:?}", run.result);
    assert!(run.took < Duration::from_secs(60), "{:?}", run.took);
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_makes_the_same_thumbnail_or_is_skipped() {
    let mut setup = Setup::with_keys(["a"]);
    setup.run().await;
    let stored = setup.fake.state().stored.clone();
    setup.fake.send_key("a");
    assert_eq!(setup.run().await.made(), 1);

    setup.skip_existing = true;
    setup.fake.send_key("a");
    let run = setup.run().await;
    assert_eq!((run.made(), run.count(|event| matches!(event, Event::Skipped { .. }))), (0, 1));
    assert_eq!(setup.fake.state().fetched, ["a", "a", "=a"]);

    // Other parameters are another thumbnail.
    setup.fake.send(r#"{"bucket":"photos","key":"a","width":4,"height":3,"quality":10}"#);
    assert_eq!(setup.run().await.made(), 1);
    assert_ne!(setup.fake.state().stored, stored);
}

#[tokio::test(start_paused = true)]
async fn a_stop_finishes_what_runs_and_receives_no_more() {
    let mut setup = Setup::with_keys(["slow-10", "slow-11", "slow-12", "slow-13", "later"]);
    setup.settings.drain = false;
    setup.stops_s = vec![5];
    let run = setup.run().await;
    assert!(run.result.is_ok());
    assert_eq!((run.made(), setup.fake.visible()), (4, vec![0]));
    assert!(run.took < Duration::from_secs(15), "{:?}", run.took);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_exceeds_the_grace_period_is_aborted_and_its_message_released() {
    let mut setup = Setup::with_keys(["slow-10", "slow-300"]);
    setup.settings.drain = false;
    setup.stops_s = vec![5];
    let run = setup.run().await;
    assert_eq!((run.made(), setup.fake.visible()), (1, vec![1]));
    assert_eq!(run.count(|event| matches!(event, Event::Returned { messages: 1 })), 1);
    assert!((Duration::from_secs(30)..Duration::from_secs(31)).contains(&run.took), "{:?}", run.took);
}

#[tokio::test(start_paused = true)]
async fn a_second_stop_releases_everything_at_once() {
    let mut setup = Setup::with_keys(["slow-300", "slow-301", "slow-302"]);
    setup.settings.drain = false;
    setup.stops_s = vec![5, 7];
    let run = setup.run().await;
    assert!(run.result.is_ok());
    assert_eq!((run.made(), setup.fake.visible()), (0, vec![1, 1, 1]));
    assert!(run.took < Duration::from_secs(8), "{:?}", run.took);
}

#[tokio::test(start_paused = true)]
async fn an_idle_worker_stops_within_a_moment_and_strands_no_message() {
    let mut setup = Setup::new();
    setup.settings.drain = false;
    setup.stops_s = vec![5];
    let fake = Arc::clone(&setup.fake);
    // It comes while the last long poll is still open.
    tokio::spawn(async move {
        sleep(Duration::from_millis(5_500)).await;
        fake.send_key("late");
    });
    let run = setup.run().await;
    assert!(run.took <= Duration::from_secs(7), "{:?}", run.took);
    assert_eq!((run.made(), setup.fake.visible()), (0, vec![1]));
}

#[tokio::test(start_paused = true)]
async fn draining_waits_for_messages_in_flight_elsewhere() {
    let setup = Setup::with_keys(["a"]);
    use super::backend::Backend;
    // Another worker receives it and dies; a minute later it is visible again.
    assert_eq!(setup.fake.receive(1, Duration::ZERO).await.unwrap().len(), 1);
    let run = setup.run().await;
    assert_eq!(run.made(), 1);
    assert!(run.took > VISIBILITY, "{:?}", run.took);
}

#[tokio::test(start_paused = true)]
async fn an_s3_event_makes_the_configured_sizes_but_never_of_our_own_thumbnails() {
    let event = |bucket: &str, key: &str| {
        let object = format!(r#"{{"bucket":{{"name":"{bucket}"}},"object":{{"key":"{key}","eTag":"{key}"}}}}"#);
        format!(r#"{{"Records":[{{"eventName":"ObjectCreated:Put","s3":{object}}}]}}"#)
    };
    let mut setup = Setup::new();
    setup.fake.send(event("photos", "a.jpg"));
    setup.fake.send(event("photos", "ours.jpg"));
    setup.fake.send(event("cats-thumbnails", "b.jpg"));
    let run = setup.run().await;
    assert_eq!(setup.stored(), ["a-4x3.jpg"]);
    assert_eq!(run.count(|event| matches!(event, Event::Ignored { .. })), 2);
    assert_eq!(setup.fake.state().fetched.len(), 2, "the thumbnails bucket is not even read");
    setup.assert_empty();

    // S3 says which version it stored: nothing needs to be fetched to know that it is the same.
    setup.skip_existing = true;
    setup.fake.send(event("photos", "a.jpg"));
    assert_eq!(setup.run().await.count(|event| matches!(event, Event::Skipped { .. })), 1);
    assert_eq!(setup.fake.state().fetched.len(), 2);
}

/// Whatever the worker's credentials allow: thumbnails may be public.
#[tokio::test(start_paused = true)]
async fn photographs_are_taken_from_the_buckets_that_sources_names_and_from_no_other() {
    let setup = Setup::with_keys(["a"]);
    setup.fake.send(r#"{"bucket":"company-hr","key":"passports/ceo.jpg","width":1600,"height":1600}"#);
    let record = |bucket: &str, key: &str| {
        let object = format!(r#"{{"bucket":{{"name":"{bucket}"}},"object":{{"key":"{key}","eTag":"e"}}}}"#);
        format!(r#"{{"eventName":"ObjectCreated:Put","s3":{object}}}"#)
    };
    // An event from another bucket is a configuration error, and rejected; other records of the same event are processed.
    let records = [record("photos", "b.jpg"), record("company-hr", "salaries.jpg")].join(",");
    setup.fake.send(format!(r#"{{"Records":[{records}]}}"#));
    setup.run().await;
    let why = "`[buckets] sources` in thumb.toml does not list the bucket company-hr";
    assert_eq!(setup.dlq(), [("request".to_owned(), why.to_owned()), ("request".to_owned(), why.to_owned())]);
    assert_eq!(setup.stored(), ["a-4x3.jpg", "b-4x3.jpg"]);
    assert_eq!(setup.fake.state().fetched.len(), 2, "it is never requested");
    setup.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn a_key_that_leads_out_of_the_bucket_is_rejected_and_not_tried() {
    let setup = Setup::with_keys(["../../x.jpg"]);
    setup.run().await;
    let why = "the thumbnail's key would lead out of the bucket with its `..`, which S3 refuses: ../../x-4x3.jpg";
    assert_eq!(setup.dlq(), [("request".to_owned(), why.to_owned())]);
    assert!(setup.fake.state().fetched.is_empty());
}

#[tokio::test(start_paused = true)]
async fn numbers_come_every_half_minute() {
    let setup = Setup::with_keys(["slow-100"]);
    let run = setup.run().await;
    assert_eq!(run.count(|event| matches!(event, Event::Numbers { total: false, .. })), 3);
}

/// Throttles, resets before and after, hung receives, duplicates; three workers, one of which is killed every ten
/// seconds or so and started again.
#[tokio::test(start_paused = true)]
async fn nothing_is_lost_in_chaos() {
    // The jitter of back-offs too.
    fastrand::seed(5);
    let mut setup = Setup::new();
    setup.settings.max_receives = 50;
    for index in 0..400 {
        setup.fake.send_key(&format!("{index}"));
        if index % 20 == 0 {
            setup.fake.send_key(&format!("bad-{index}"));
        }
    }
    setup.fake.state().chaos = Some(Chaos(fastrand::Rng::with_seed(5)));
    let worker = async |seed: u64| {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut kills = 0;
        // Dropping a worker is its SIGKILL: nothing of it runs any more.
        while tokio::time::timeout(Duration::from_secs(random.u64(5..25)), setup.run()).await.is_err() && kills < 10 {
            kills += 1;
        }
        kills
    };
    let (a, b, c) = tokio::join!(worker(1), worker(2), worker(3));
    assert!(a + b + c > 10, "{a} {b} {c} kills");
    setup.fake.state().chaos = None;
    setup.run().await;

    let stored: BTreeSet<String> = setup.stored().into_iter().collect();
    let wanted: BTreeSet<String> = (0..400).map(|index| format!("{index}-4x3.jpg")).collect();
    assert_eq!(stored, wanted);
    let dead_letters: BTreeSet<Arc<str>> =
        setup.fake.state().dlq.iter().map(|dead_letter| Arc::clone(&dead_letter.body)).collect();
    assert_eq!(dead_letters.len(), 20, "the poisoned ones, some of them twice: at least once is all that SQS promises");
    assert!(setup.dlq().iter().all(|(stage, _)| stage == "make"), "{:?}", setup.dlq());
    setup.assert_empty();
}
