//! What a person who watches is told: that the worker is idle, and the status line's numbers.

use super::*;

/// A worker that waits for messages until it is stopped.
fn waiting(stops_s: u64) -> Setup {
    let mut setup = Setup::with_keys(["a.jpg", "bad-b"]);
    setup.settings.drain = false;
    setup.stops_s = vec![stops_s];
    setup
}

#[tokio::test(start_paused = true)]
async fn an_idle_worker_says_so_once_until_something_arrives() {
    let setup = waiting(300);
    let fake = Arc::clone(&setup.fake);
    tokio::spawn(async move {
        sleep(Duration::from_secs(150)).await;
        fake.send_key("late.jpg");
    });
    let run = setup.run().await;
    let idle: Vec<u64> = run
        .events
        .iter()
        .zip(&run.times)
        .filter(|(event, _)| matches!(event, Event::Idle))
        .map(|(_, time)| time.as_secs())
        .collect();
    assert!(idle.len() == 2 && idle[0] < 30 && (150..200).contains(&idle[1]), "{idle:?}");
    // The numbers of the time in between say nothing.
    let silent = run.count(Event::is_silent);
    assert!((6..10).contains(&silent), "{silent}");
    let drained = Setup::with_keys(["a.jpg"]).run().await;
    assert_eq!(drained.count(|event| matches!(event, Event::Idle)), 0, "it ends");
}

#[tokio::test(start_paused = true)]
async fn a_status_line_asks_now_and_then_how_much_is_left() {
    let mut setup = waiting(63);
    let progress = Progress::default();
    setup.progress = Some(progress.clone());
    setup.run().await;
    assert_eq!(setup.fake.state().depths, 13, "every five seconds");
    let line = progress.line(80, Instant::now().into_std());
    assert_eq!(line, "  stopping: 0 messages left  2 done  1 rejected");
    // Nobody watches.
    setup.progress = None;
    setup.run().await;
    assert_eq!(setup.fake.state().depths, 13);
}

#[tokio::test(start_paused = true)]
async fn without_the_permission_the_line_does_without_what_is_left() {
    let mut setup = waiting(60);
    setup.progress = Some(Progress::default());
    let setup = setup.faults(Faults { failed_depths: 1, ..Faults::default() });
    let run = setup.run().await;
    assert_eq!(setup.fake.state().depths, 1);
    assert_eq!(run.count(|event| matches!(event, Event::CallFailed { .. })), 0, "nothing is missing for the work");
}
