//! Queues full of bad messages.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Setup;
use crate::aws::{BATCH, MAX_MESSAGE_BYTES};
use crate::worker::in_flight::MAX_BODIES_BYTES;
use crate::worker::report::event::Event;

/// Fifty messages, each wrong in its own way, with the stage that finds it out. `index` makes their keys differ.
fn kinds(index: usize) -> Vec<(&'static str, String)> {
    let not_requests = [
        "",
        "not json",
        "{",
        "[]",
        "[{}]",
        "{}",
        "null",
        "true",
        "1",
        "\"text\"",
        "{\"bucket\":\"photos\"}",
        "\u{feff}{}",
    ];
    let fields = [
        r#""width":0,"height":1"#,
        r#""width":1,"height":0"#,
        r#""width":-1,"height":1"#,
        r#""width":1.5,"height":1"#,
        r#""width":"1","height":1"#,
        r#""width":null,"height":1"#,
        r#""width":1,"height":1000000000"#,
        r#""width":1e400,"height":1"#,
        r#""width":1,"focus":"middle""#,
        r#""height":1,"formats":["gif"]"#,
        r#""width":1,"hight":1"#,
        r#""width":1,"height":1,"depth":1"#,
        r#""width":1,"height":1,"quality":0"#,
        r#""width":1,"height":1,"quality":101"#,
        r#""width":1,"height":1,"fit":"squeeze""#,
        r#""width":1,"height":1,"fit":1"#,
        r#""width":1,"height":1,"url":"https://example.com/a.jpg""#,
        r#""sizes":[]"#,
        r#""sizes":{}"#,
        r#""sizes":["1x1"]"#,
        r#""sizes":[{"format":"png"}]"#,
        r#""sizes":[{"width":1,"height":1},{"width":1,"height":1}]"#,
        r#""sizes":[{"width":1,"height":1}],"width":1,"height":1"#,
    ];
    let sources = [
        r#""bucket":"X","key":"a""#,
        r#""bucket":"photos","key":"""#,
        r#""bucket":"photos","key":1"#,
        r#""url":"file:///etc/passwd""#,
        r#""url":"not a url""#,
        r#""url":"http://name:password@example.com/a.jpg""#,
    ];
    let events = [
        r#"{"Records":{}}"#,
        r#"{"Records":[{"eventName":"ObjectCreated:Put"}]}"#,
        r#"{"Type":"Notification","Message":"not json"}"#,
    ];
    let keys = [
        ("fetch", "denied"),
        ("make", "text"),
        ("make", "empty"),
        ("make", "header"),
        ("make", "huge"),
        ("make", "bad"),
    ];
    let requests = not_requests.into_iter().chain(events).map(str::to_owned);
    let requests = requests.chain(fields.map(|fields| format!(r#"{{"bucket":"photos","key":"a",{fields}}}"#)));
    let requests = requests.chain(sources.map(|source| format!(r#"{{{source},"width":1,"height":1}}"#)));
    let keys = keys.map(|(stage, kind)| (stage, request(&format!("{kind}-{index}"))));
    requests.map(|body| ("request", body)).chain(keys).collect()
}

fn request(key: &str) -> String {
    format!(r#"{{"bucket":"photos","key":"{key}","width":4,"height":3}}"#)
}

#[tokio::test(start_paused = true)]
async fn bad_messages_of_fifty_kinds_delay_the_good_ones_by_no_more_than_their_number() {
    const ROUNDS: usize = 20;
    let setup = Setup::new();
    let mut wanted: BTreeMap<String, usize> = BTreeMap::new();
    for round in 0..ROUNDS {
        let kinds = kinds(round);
        assert_eq!(kinds.len(), 50);
        for (stage, body) in kinds {
            *wanted.entry(stage.to_owned()).or_default() += 1;
            setup.fake.send(body);
        }
        setup.fake.send_key(&format!("good-{round}"));
    }
    let run = setup.run().await;
    assert!(run.result.is_ok());
    setup.assert_empty();
    assert_eq!(setup.stored().len(), ROUNDS);
    assert!(setup.stored().iter().all(|key| key.starts_with("good-")), "{:?}", setup.stored());
    let mut stages: BTreeMap<String, usize> = BTreeMap::new();
    setup.dlq().into_iter().for_each(|(stage, _)| *stages.entry(stage).or_default() += 1);
    assert_eq!(stages, wanted);

    // Seven of a round are fetched, in 20 ms, and one is stored, in 10: what is wrong in itself takes no time. Of the
    // four slots two may be waiting to be filled.
    let times = run.times.iter().zip(&run.events).filter(|(_, event)| matches!(event, Event::Made { .. }));
    for (round, (&took, _)) in times.enumerate() {
        let before = (round + 1) * 7;
        let most = Duration::from_millis(30) * u32::try_from(before.div_ceil(2)).unwrap();
        assert!(took <= most, "the good message of round {round} took {took:?}, more than {most:?}");
    }
}

/// A panic is caught, and is the message's end, not the worker's. Apart from the other kinds, for what it prints.
#[tokio::test(start_paused = true)]
async fn a_photograph_on_which_the_engine_panics_is_rejected() {
    let setup = Setup::with_keys(["panic-1", "good"]);
    assert!(setup.run().await.result.is_ok());
    assert_eq!(setup.stored(), ["good-4x3.jpg"]);
    let why = "internal error: the engine panicked; this is a bug in thumb, please report it with the photograph";
    assert_eq!(setup.dlq(), [("make".to_owned(), why.to_owned())]);
    setup.assert_empty();
}

/// Retries of missing objects do not delay other messages.
#[tokio::test(start_paused = true)]
async fn retries_do_not_delay_other_messages() {
    let setup = Setup::new();
    (0..100).for_each(|index| setup.fake.send_key(&format!("missing-{index}")));
    setup.fake.send_key("good");
    let run = setup.run().await;
    let ends: Vec<&Event> = run
        .events
        .iter()
        .filter(|event| matches!(event, Event::Made { .. } | Event::Retrying { .. } | Event::Rejected { .. }))
        .collect();
    let good = ends.iter().position(|event| matches!(event, Event::Made { .. })).unwrap();
    assert!(good <= 100 + BATCH, "{good} other ends before it");
    assert!(setup.dlq().iter().all(|(_, why)| why == "no such key; tried 3 times"), "{:?}", setup.dlq());
    assert_eq!(setup.dlq().len(), 100);
}

/// SQS accepts messages of a mebibyte, and anyone who may send one may send many.
#[tokio::test(start_paused = true)]
async fn the_largest_messages_are_held_a_few_at_a_time() {
    let mut setup = Setup::new();
    setup.settings.concurrency = 64;
    // Less what the reason takes.
    (0..50).for_each(|_| setup.fake.send("x".repeat(MAX_MESSAGE_BYTES - 1_024)));
    setup.fake.send_key("good");
    let run = setup.run().await;
    assert!(run.result.is_ok());
    assert_eq!((run.made(), setup.dlq().len()), (1, 50));
    let most = setup.fake.state().most_body_bytes;
    assert!(((BATCH - 1) * MAX_MESSAGE_BYTES..=MAX_BODIES_BYTES).contains(&most), "{most} bytes");
    setup.assert_empty();
}

/// With the reason it would exceed SQS's size limit: SQS's redrive policy moves it as it is, and until then it delays nothing.
#[tokio::test(start_paused = true)]
async fn a_message_without_room_for_the_reason_is_left_to_sqs() {
    let setup = Setup::new();
    setup.fake.state().max_receives = Some(setup.settings.max_receives);
    setup.fake.send("x".repeat(MAX_MESSAGE_BYTES));
    setup.fake.send_key("good");
    let run = setup.run().await;
    assert!(run.result.is_ok());
    assert_eq!((run.made(), setup.dlq().len(), setup.fake.state().moved.len()), (1, 0, 1));
    let refusals = run.count(|event| matches!(event, Event::CallFailed { .. }));
    assert_eq!(refusals, 3, "one a receipt: {:?}", run.events);
    setup.assert_empty();
}
