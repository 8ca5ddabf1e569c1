//! Two versions of a photograph processed at once: the newer version's thumbnail stays.

use std::time::Duration;

use tokio::time::sleep;

use super::fake::Faults;
use super::{Run, Setup};
use crate::request;
use crate::worker::report::event::Event;

const UPLOAD: Duration = Duration::from_secs(5);

/// While the older version's thumbnail is on its way to S3, the newer one is uploaded and its thumbnail stored.
async fn overtaken(setup: &Setup) -> Run {
    setup.fake.state().uploads.push_back(UPLOAD);
    let fake = std::sync::Arc::clone(&setup.fake);
    let newer = async move {
        sleep(UPLOAD / 5).await;
        fake.state().etags.insert("a".into(), "newer".into());
        fake.send_key("a");
    };
    tokio::join!(setup.run(), newer).0
}

#[tokio::test(start_paused = true)]
async fn a_thumbnail_of_an_older_version_does_not_stay() {
    for skip_existing in [false, true] {
        let mut setup = Setup::with_keys(["a"]);
        setup.skip_existing = skip_existing;
        let run = overtaken(&setup).await;
        let etag = setup.fake.state().stored["a-4x3.jpg"].source_etag.clone();
        assert_eq!(etag.as_deref(), Some("newer"));
        assert_eq!((run.made(), setup.fake.state().looks), (3, 3), "the older, the newer, and the newer once more");
        setup.assert_empty();
    }
}

#[tokio::test(start_paused = true)]
async fn one_look_a_message_and_not_a_thumbnail() {
    let setup = Setup::new();
    setup.fake.send(r#"{"bucket":"photos","key":"a","sizes":[{"width":1,"height":1},{"width":2,"height":2}]}"#);
    // A web server is not asked twice.
    setup.fake.send(r#"{"url":"https://example.com/b.jpg","width":1,"height":1}"#);
    let run = setup.run().await;
    assert_eq!((run.made(), setup.fake.state().looks), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn a_photograph_that_is_gone_leaves_its_thumbnail() {
    let setup = Setup::with_keys(["gone"]);
    let run = setup.run().await;
    assert_eq!((run.made(), setup.stored(), setup.dlq()), (1, vec!["gone-4x3.jpg".to_owned()], vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_photograph_that_never_rests_is_tried_a_few_times_and_then_later() {
    let setup = Setup::with_keys(["restless"]);
    let run = setup.run().await;
    // Each receipt makes it three times.
    assert_eq!(run.count(|event| matches!(event, Event::Retrying { .. })), 2);
    assert_eq!(run.made(), 9);
    let why = "the photograph changed 3 times while its thumbnails were made; tried 3 times";
    assert_eq!(setup.dlq(), [("store".to_owned(), why.to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn a_look_that_fails_is_made_again_with_the_message() {
    let setup = Setup::with_keys(["a"]).faults(Faults { failed_looks: 1, ..Faults::default() });
    let run = setup.run().await;
    assert_eq!((run.made(), run.count(|event| matches!(event, Event::Retrying { .. }))), (2, 1));
    assert_eq!(setup.dlq(), []);
    setup.assert_empty();
}

const VERSION_IN_KEY: &str = "key = \"{stem}-{version}-{width}x{height}.jpg\"";

/// The key of a photograph's thumbnail; the fake's ETag of a photograph is its key.
fn key(etag: &str) -> String {
    format!("a-{}-4x3.jpg", request::version(etag))
}

#[tokio::test(start_paused = true)]
async fn a_key_with_a_version_has_that_of_the_photograph_that_was_read() {
    let mut setup = Setup::with_keys(["a"]);
    setup.thumbnail = VERSION_IN_KEY;
    overtaken(&setup).await;
    let stored = setup.fake.state().stored.clone();
    let etags: Vec<_> = stored.iter().map(|(key, thumbnail)| (key.clone(), thumbnail.source_etag.clone())).collect();
    let mut expected = ["a", "newer"].map(|etag| (key(etag), Some(etag.to_owned())));
    expected.sort();
    assert_eq!(etags, expected, "each version has a thumbnail of its own");
    setup.assert_empty();

    // Which version there is shows only when the photograph is read; then it is not made again.
    setup.skip_existing = true;
    setup.fake.send_key("a");
    let run = setup.run().await;
    assert_eq!((run.made(), run.count(|event| matches!(event, Event::Skipped { .. }))), (0, 1));
    assert_eq!(setup.fake.state().stored, stored);
}

#[tokio::test(start_paused = true)]
async fn messages_about_one_photograph_add_to_one_manifest() {
    let mut setup = Setup::new();
    setup.thumbnail = "manifest = true";
    for width in 1..=4 {
        setup.fake.send(format!(r#"{{"bucket":"photos","key":"a","width":{width},"height":1}}"#));
    }
    assert_eq!(setup.run().await.made(), 4);
    let body = setup.fake.state().manifests["manifests/photos/a.json"].clone();
    let manifest: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(manifest["srcset"]["jpeg"], "/a-1x1.jpg 1w, /a-2x1.jpg 2w, /a-3x1.jpg 3w, /a-4x1.jpg 4w");
    assert_eq!((&manifest["source"], &manifest["source_etag"]), (&"s3://photos/a".into(), &"a".into()));
}
