//! Events about photographs that were removed, and the sizes of triggers.

use super::*;

fn event(name: &str, key: &str) -> String {
    format!(
        r#"{{"Records":[{{"eventName":"{name}","s3":{{"bucket":{{"name":"photos"}},"object":{{"key":"{key}"}}}}}}]}}"#
    )
}

/// A worker that has made the thumbnails of these photographs, by events.
async fn made(thumbnail: &'static str, keys: &[&str]) -> Setup {
    let mut setup = Setup::new();
    setup.thumbnail = thumbnail;
    keys.iter().for_each(|key| setup.fake.send(event("ObjectCreated:Put", key)));
    assert_eq!(setup.run().await.made(), keys.len());
    setup.fake.state().looks = 0;
    setup
}

fn stored(setup: &Setup) -> Vec<String> {
    setup.fake.state().stored.keys().cloned().collect()
}

fn deleted(run: &Run) -> Vec<String> {
    let keys = run.events.iter().filter_map(|event| match event {
        Event::Deleted { key, .. } => Some(key.clone()),
        _ => None,
    });
    keys.collect()
}

#[tokio::test(start_paused = true)]
async fn the_thumbnails_of_a_photograph_that_is_gone_go_where_that_is_wanted() {
    let setup = made("follow_deletes = true\nmanifest = true", &["gone-a", "b"]).await;
    // One that was asked for by a request of its own is in the manifest.
    setup.fake.send(r#"{"bucket":"photos","key":"gone-a","width":9,"height":9}"#);
    setup.run().await;
    assert_eq!(stored(&setup), ["b-4x3.jpg", "gone-a-4x3.jpg", "gone-a-9x9.jpg"]);
    setup.fake.send(event("ObjectRemoved:Delete", "gone-a"));
    let run = setup.run().await;
    assert_eq!(deleted(&run), ["gone-a-4x3.jpg", "gone-a-9x9.jpg", "manifests/photos/gone-a.json"]);
    assert_eq!(stored(&setup), ["b-4x3.jpg"]);
    // Twice is no harm.
    setup.fake.send(event("ObjectRemoved:Delete", "gone-a"));
    assert_eq!(deleted(&setup.run().await), Vec::<String>::new());

    let setup = made("", &["gone-a"]).await;
    setup.fake.send(event("ObjectRemoved:Delete", "gone-a"));
    let run = setup.run().await;
    assert_eq!(run.count(|event| matches!(event, Event::Ignored { .. })), 1);
    assert_eq!(stored(&setup), ["gone-a-4x3.jpg"], "not without follow_deletes");
}

/// The event of a deletion comes late: the photograph is there, in a new version or an old one.
#[tokio::test(start_paused = true)]
async fn a_photograph_that_is_there_keeps_its_thumbnails() {
    let setup = made("follow_deletes = true", &["a"]).await;
    setup.fake.send(event("ObjectRemoved:Delete", "a"));
    let run = setup.run().await;
    assert_eq!((deleted(&run).len(), stored(&setup).len()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn one_that_comes_back_while_its_thumbnails_go_gets_them_again() {
    let setup = made("follow_deletes = true", &["back-a"]).await;
    setup.fake.send(event("ObjectRemoved:Delete", "back-a"));
    let run = setup.run().await;
    assert_eq!((deleted(&run).len(), run.made()), (1, 1));
    assert_eq!(stored(&setup), ["back-a-4x3.jpg"]);
}

#[tokio::test(start_paused = true)]
async fn with_versions_in_the_keys_the_manifest_knows_them() {
    let toml = "key = \"{stem}-{version}-{width}x{height}.jpg\"\nfollow_deletes = true\nmanifest = true";
    let setup = made(toml, &["gone-a"]).await;
    setup.fake.send(event("ObjectRemoved:DeleteMarkerCreated", "gone-a"));
    assert_eq!(deleted(&setup.run().await).len(), 2);
    assert_eq!(stored(&setup), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn an_event_asks_for_the_sizes_of_the_trigger_that_covers_it() {
    let mut setup = Setup::new();
    setup.thumbnail = "[[trigger]]\nbucket = \"photos\"\nprefix = \"in/\"\nsizes = [\"9x9\", \"8x8\"]\n";
    setup.fake.send(event("ObjectCreated:Put", "in/a"));
    setup.fake.send(event("ObjectCreated:Put", "other/a"));
    setup.run().await;
    assert_eq!(stored(&setup), ["in/a-8x8.jpg", "in/a-9x9.jpg", "other/a-4x3.jpg"]);
}
