//! A CloudWatch or SNS that hangs or refuses everything: the work goes on as without them.

use super::*;
use crate::aws::Kind;

fn keys() -> Vec<String> {
    (0..57).map(|n| format!("{n:02}.jpg")).collect()
}

async fn run(broken: Option<Broken>) -> (Run, Vec<String>, Duration) {
    let keys = keys();
    let setup = Setup { broken, ..Setup::with_keys(keys.iter().map(String::as_str)) };
    let began = Instant::now();
    let run = setup.run().await;
    setup.assert_empty();
    (run, setup.stored(), began.elapsed())
}

#[tokio::test(start_paused = true)]
async fn the_loop_is_neither_slowed_nor_stopped_by_what_it_tells() {
    let (without, stored, _) = run(None).await;
    for broken in [Broken::Hangs, Broken::Refuses(Kind::Denied), Broken::Refuses(Kind::Refused)] {
        let (with, stored_with, all) = run(Some(broken)).await;
        assert!(with.result.is_ok(), "{broken:?}");
        assert_eq!(stored_with, stored, "{broken:?}");
        assert_eq!((with.made(), with.took), (without.made(), without.took), "{broken:?}");
        assert!(all <= with.took + Duration::from_secs(3), "{broken:?}: the end waits a bounded time, not {all:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_told_to_stop_is_not_kept_by_them() {
    let setup = Setup { broken: Some(Broken::Hangs), stops_s: vec![10], ..Setup::with_keys(["slow-5"]) };
    let setup = Setup { settings: Settings { drain: false, ..setup.settings.clone() }, ..setup };
    let began = Instant::now();
    let run = setup.run().await;
    assert!(run.result.is_ok());
    assert!(began.elapsed() <= Duration::from_secs(10 + 1 + 3), "{:?}", began.elapsed());
}
