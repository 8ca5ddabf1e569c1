//! The memory budget in the loop: what is refused, what waits, and what runs alone.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::{Setup, fake};
use crate::thumbnail::{self, Options, Spec, Thumbnail};
use crate::worker::report::event::Event;

#[tokio::test(start_paused = true)]
async fn thumbnails_that_need_more_than_there_is_are_rejected_with_the_numbers() {
    let setup = Setup::with_keys(["good"]);
    setup.fake.send(r#"{"bucket":"photos","key":"a","width":8192,"height":7000,"quality":100}"#);
    setup.run().await;
    let [(stage, why)] = &setup.dlq()[..] else { panic!("{:?}", setup.dlq()) };
    assert_eq!(stage, "make");
    let numbers: Vec<u32> = why.split(' ').filter_map(|word| word.parse().ok()).collect();
    assert!(why.starts_with("its thumbnails need ") && numbers[0] > numbers[1], "{why}");
    assert_eq!(setup.stored(), ["good-4x3.jpg"]);
}

/// Slow servers that send no length, or one close to the limit, do not delay photographs from S3.
#[tokio::test(start_paused = true)]
async fn slow_servers_delay_no_other_messages() {
    for kind in ["trickle-50", "long-50"] {
        let mut setup = Setup::new();
        setup.settings.concurrency = 8;
        for index in 0..3 {
            setup.fake.send(format!(r#"{{"url":"https://example.com/{kind}-{index}","width":4,"height":3}}"#));
        }
        (0..50).for_each(|index| setup.fake.send_key(&format!("{index}")));
        let run = setup.run().await;
        let made = run.times.iter().zip(&run.events).filter_map(|(time, event)| match event {
            Event::Made { source, .. } if source.starts_with("s3:") => Some(time),
            _ => None,
        });
        let slowest = made.max().unwrap();
        assert!(*slowest < Duration::from_secs(5), "{kind}: {slowest:?}");
    }
}

static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// The fake's engine, which sees who runs beside it.
fn watching(source: &[u8], specs: &[Spec], options: &Options) -> Result<Vec<Thumbnail>, thumbnail::Error> {
    let before = RUNNING.fetch_add(1, Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(20));
    let after = RUNNING.fetch_sub(1, Ordering::SeqCst) - 1;
    let alone = source.ends_with(b"alone");
    assert!(!alone || (before, after) == (0, 0), "{before} ran beside it, and then {after}");
    fake::engine(source, specs, options)
}

#[tokio::test(start_paused = true)]
async fn a_message_on_its_last_receipt_runs_alone() {
    let mut setup = Setup::new();
    setup.engine = watching;
    for index in 0..40 {
        setup.fake.send_key(&format!("{index}"));
        if index % 8 == 0 {
            let alone = format!(r#"{{"bucket":"photos","key":"{index}-alone","width":4,"height":3}}"#);
            setup.fake.send_received(alone, setup.settings.max_receives - 1);
        }
    }
    let run = setup.run().await;
    assert_eq!((run.made(), setup.dlq()), (45, vec![]));
    setup.assert_empty();
}
