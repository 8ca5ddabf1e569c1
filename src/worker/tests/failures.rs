//! Failures around a message that must not cost it its receipts, its reason or its turn: S3 fails, the worker is stopped on
//! a last receipt, heartbeats are late, the output is not read.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::fake::Faults;
use super::{Run, Setup};
use crate::aws::MAX_MESSAGE_BYTES;
use crate::worker::attributes::{Attribute, Value};
use crate::worker::report::event::Event;
use crate::worker::report::reporting::Identity;
use crate::worker_report::State;

/// S3 is down for this many seconds from now.
fn s3_is_down_for(setup: &Setup, seconds: u64) {
    setup.fake.state().faults.s3_is_down = true;
    let fake = Arc::clone(&setup.fake);
    tokio::spawn(async move {
        sleep(Duration::from_secs(seconds)).await;
        fake.state().faults.s3_is_down = false;
    });
}

fn kinds(run: &Run, what: impl Fn(&Event) -> Option<&'static str>) -> Vec<&'static str> {
    run.events.iter().filter_map(what).collect()
}

/// The backlog of 200 waits in the queue while S3 is down, and not in the dead-letter queue.
#[tokio::test(start_paused = true)]
async fn a_backlog_outlives_an_hour_without_s3() {
    fastrand::seed(1);
    let keys: Vec<String> = (0..200).map(|n| format!("{n}.jpg")).collect();
    let mut setup = Setup::with_keys(keys.iter().map(String::as_str));
    setup.settings.max_receives = 10;
    s3_is_down_for(&setup, 3_600);
    let run = setup.run().await;
    assert_eq!((run.made(), setup.dlq()), (200, vec![]));
    setup.assert_empty();
    let changes = kinds(&run, |event| match event {
        Event::Paused { .. } => Some("paused"),
        Event::Resumed { .. } => Some("resumed"),
        _ => None,
    });
    assert_eq!(changes, ["paused", "resumed"], "a line each");
    let retries = run.count(|event| matches!(event, Event::Retrying { .. }));
    assert!(retries < 150, "{retries} receipts for nothing in an hour");
    let asked = &setup.fake.state().asked;
    assert!(asked.iter().filter(|&&most| most == 1).count() > 50, "one message at a time while it is open: {asked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_pause_is_for_s3_and_not_for_what_is_wrong_with_messages() {
    let setup = Setup::new();
    for index in 0..50 {
        setup.fake.send_key(&format!("missing-{index}"));
        setup.fake.send_key(&format!("bad-{index}"));
        setup.fake.send("not JSON");
    }
    let run = setup.run().await;
    assert_eq!(run.count(|event| matches!(event, Event::Paused { .. })), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stop_on_the_last_receipt_dead_letters_with_the_reason() {
    let mut setup = Setup::with_keys(["slow-300", "slow-301"]);
    setup.settings.drain = false;
    setup.settings.max_receives = 2;
    setup.fake.state().max_receives = Some(2);
    // At their first receipts they are released.
    setup.stops_s = vec![5, 6];
    let run = setup.run().await;
    assert_eq!((setup.fake.visible(), setup.dlq()), (vec![1, 1], vec![]));
    assert_eq!(run.count(|event| matches!(event, Event::Returned { messages: 2 })), 1);

    let run = setup.run().await;
    let dead_letter = ("stop".to_owned(), "the worker was stopped before it finished; tried 2 times".to_owned());
    assert_eq!((setup.fake.visible(), setup.dlq()), (vec![], vec![dead_letter.clone(), dead_letter]));
    assert_eq!(run.count(|event| matches!(event, Event::Rejected { .. })), 2);
    assert_eq!(run.count(|event| matches!(event, Event::Returned { .. })), 0);
    setup.assert_empty();
    assert_eq!(setup.fake.state().moved, [""; 0], "SQS has moved none without a reason");
}

/// It arrives while the last long poll is still open, on its last receipt.
#[tokio::test(start_paused = true)]
async fn a_late_message_on_its_last_receipt_is_dead_lettered_with_the_reason() {
    let mut setup = Setup::new();
    setup.settings.drain = false;
    setup.settings.max_receives = 1;
    setup.stops_s = vec![5];
    let fake = Arc::clone(&setup.fake);
    tokio::spawn(async move {
        sleep(Duration::from_millis(5_500)).await;
        fake.send_key("late");
    });
    setup.run().await;
    let dead_letter = ("stop".to_owned(), "the worker was stopped before it finished; tried once".to_owned());
    assert_eq!(setup.dlq(), [dead_letter]);
    setup.assert_empty();
}

/// A heartbeat that arrives after the release would hide the message for one more minute.
#[tokio::test(start_paused = true)]
async fn a_release_waits_for_a_heartbeat_under_way() {
    let slow_heartbeats = Duration::from_secs(3);
    let setup = Setup::with_keys(["slow-31"]).faults(Faults { slow_heartbeats, ..Faults::default() });
    // It fails at 31 s, with the heartbeat of the 30th under way until 33, and comes again 4 to 8 s later.
    s3_is_down_for(&setup, 32);
    let run = setup.run().await;
    let made = run.events.iter().position(|event| matches!(event, Event::Made { .. })).unwrap();
    assert!(run.times[made] < Duration::from_secs(33 + 8 + 31 + 1), "{:?}", run.times[made]);

    let mut setup = Setup::with_keys(["slow-300"]).faults(Faults { slow_heartbeats, ..Faults::default() });
    setup.settings.drain = false;
    setup.stops_s = vec![31, 31];
    let run = setup.run().await;
    assert_eq!(setup.fake.visible(), [1], "visible at once");
    assert!((Duration::from_secs(33)..Duration::from_secs(34)).contains(&run.took), "{:?}", run.took);
}

#[tokio::test(start_paused = true)]
async fn dead_letters_keep_their_attributes_as_far_as_they_fit() {
    let setup = Setup::new();
    let trace = Attribute { name: "trace".into(), data_type: "String".into(), value: Value::Text("x".repeat(2_000)) };
    setup.fake.send_with("not JSON", vec![trace.clone()]);
    setup.fake.send_with("x".repeat(MAX_MESSAGE_BYTES - 5_000), vec![trace.clone()]);
    setup.run().await;
    let kept: Vec<usize> = setup.fake.state().dlq.iter().map(|dead_letter| dead_letter.attributes.len()).collect();
    assert_eq!(kept, [1, 0], "beside a body that long there is memory for the reason only");
    assert_eq!(setup.fake.state().dlq[0].attributes, [trace]);
    setup.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn while_its_reader_is_behind_a_worker_finishes_its_jobs_and_receives_no_more() {
    let mut setup = Setup::with_keys(["slow-100"]);
    setup.settings.concurrency = 1;
    setup.fake.send_key("later");
    let (behind, fake) = (Arc::clone(&setup.behind), Arc::clone(&setup.fake));
    let reader = tokio::spawn(async move {
        sleep(Duration::from_secs(50)).await;
        behind.store(true, Ordering::Relaxed);
        sleep(Duration::from_secs(1_000)).await;
        let stored = fake.state().stored.len();
        let seen = (stored, fake.visible());
        behind.store(false, Ordering::Relaxed);
        seen
    });
    let run = setup.run().await;
    assert_eq!(reader.await.unwrap(), (1, vec![0]), "heartbeats continued, and the other message stayed in the queue");
    assert_eq!((run.made(), setup.fake.state().fetched.len()), (2, 2));
    setup.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn reports_come_from_the_first_moment_to_the_last() {
    let mut setup = Setup::with_keys(["slow-100", "bad-1", "a"]);
    setup.settings.drain = false;
    setup.stops_s = vec![700];
    setup.identity = Some(Identity {
        id: "i-1".into(),
        binary: Some("thumb-0123".into()),
        config: "c".into(),
        started_s: 1,
        ceiling_bytes: 9,
    });
    setup.run().await;
    let reports = std::mem::take(&mut setup.fake.state().reports);
    let states: Vec<(State, u64)> = reports.iter().map(|report| (report.state, report.counts.done)).collect();
    assert_eq!(
        states,
        [
            (State::Started, 0),
            // At 60, 120 and 180 s, the last because one has ended since; at 480; at the stop and at the end.
            (State::Working, 1),
            (State::Idle, 2),
            (State::Idle, 2),
            (State::Stopping, 2),
            (State::Stopped, 2),
        ]
    );
    let last = reports.last().unwrap();
    assert_eq!((last.counts.made, last.counts.rejected, last.memory.ceiling_bytes), (2, 1, 9));
    assert_eq!((last.id.as_str(), last.binary.as_deref(), last.started_s), ("i-1", Some("thumb-0123"), 1));
    assert!(last.last_seen_s > 1_700_000_000);
}

#[tokio::test(start_paused = true)]
async fn a_failing_report_is_told_once_and_delays_nothing() {
    let mut setup = Setup::with_keys(["a", "slow-1000"]).faults(Faults { failed_reports: 1_000, ..Faults::default() });
    setup.identity =
        Some(Identity { id: "i-1".into(), binary: None, config: "c".into(), started_s: 1, ceiling_bytes: 9 });
    let run = setup.run().await;
    assert_eq!((run.made(), run.count(|event| matches!(event, Event::ReportFailed { .. }))), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn health_follows_the_loop() {
    let mut setup = Setup::new();
    setup.settings.drain = false;
    setup.fake.state().faults.hung_receives = 100;
    setup.stops_s = vec![500];
    let (health, began) = (setup.metrics.health.clone(), Instant::now());
    let watch = tokio::spawn(async move {
        let mut verdicts = Vec::new();
        for second in [20, 300, 400, 501] {
            sleep(Duration::from_secs(second).saturating_sub(began.elapsed())).await;
            verdicts.push(health.verdict(Instant::now()));
        }
        verdicts
    });
    let run = setup.run().await;
    assert!(run.result.is_ok());
    let verdicts = watch.await.unwrap();
    assert_eq!(verdicts[..2], [Ok("ok".to_owned()), Ok("ok".to_owned())]);
    let why = verdicts[2].as_ref().unwrap_err();
    assert!(why.starts_with("nothing could be received for 3") && why.ends_with("no answer in time"), "{why}");
    assert_eq!(verdicts[3], Ok("ok: stopping".to_owned()));
}

/// What systemd is told, and that a worker which cannot receive stops notifying its watchdog.
#[cfg(target_os = "linux")]
#[tokio::test(start_paused = true)]
async fn systemd_is_told_that_the_worker_is_ready_healthy_and_stopping() {
    use crate::worker::report::systemd::Notifier;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    let systemd = std::thread::spawn(move || {
        let mut heard: Vec<String> = Vec::new();
        let mut datagram = [0; 64];
        while heard.last().is_none_or(|state| state != "STOPPING=1") {
            let length = socket.recv(&mut datagram).unwrap();
            heard.push(String::from_utf8_lossy(&datagram[..length]).into_owned());
        }
        heard
    });
    let mut setup = Setup::new();
    setup.settings.drain = false;
    setup.notifier.set(Some(Notifier::new(path.as_os_str(), Some(Duration::from_secs(40))).unwrap()));
    // Nothing can be received from the start: after five minutes the worker is unhealthy.
    setup.fake.state().faults.hung_receives = 100;
    setup.stops_s = vec![600];
    setup.run().await;
    let heard = systemd.join().unwrap();
    assert_eq!((heard[0].as_str(), heard[heard.len() - 1].as_str()), ("READY=1", "STOPPING=1"));
    let notifications = heard.iter().filter(|state| *state == "WATCHDOG=1").count();
    assert_eq!(notifications, heard.len() - 2, "{heard:?}");
    // Every five seconds until the 330th or so: the first receive is given up at the 30th.
    assert!((60..75).contains(&notifications), "{notifications}");
}
