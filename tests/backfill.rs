//! `thumb backfill` and the message groups of `enqueue` as processes, against the emulator.

#[path = "support/moto.rs"]
mod moto;
#[path = "support/stack.rs"]
mod stack;

use std::collections::BTreeSet;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_sqs::types::MessageSystemAttributeName;
use serde_json::Value;
use stack::Stack;

/// More than two pages of a listing.
const PHOTOS: usize = 2_300;

/// Puts small objects into a bucket, many at once.
async fn put(stack: &Stack, bucket: &str, keys: impl IntoIterator<Item = String>) {
    use futures_util::StreamExt;
    let puts = keys.into_iter().map(|key| {
        let put = stack.clients.s3.put_object().bucket(bucket).key(key).body(ByteStream::from_static(b"x"));
        async move { put.send().await.map(drop).unwrap() }
    });
    futures_util::stream::iter(puts).buffer_unordered(16).collect::<Vec<()>>().await;
}

/// Every message of the queue: the photograph's key and the message's group.
async fn messages(stack: &Stack, queue: &str) -> Vec<(String, String)> {
    let url = stack.url(queue).await;
    let mut all = Vec::new();
    loop {
        let receive = stack.clients.sqs.receive_message().queue_url(&url).max_number_of_messages(10);
        let receive = receive.visibility_timeout(3_600);
        let receive = receive.message_system_attribute_names(MessageSystemAttributeName::MessageGroupId);
        let messages = receive.send().await.unwrap().messages.unwrap_or_default();
        if messages.is_empty() {
            return all;
        }
        for message in messages {
            let body: Value = serde_json::from_str(message.body().unwrap()).unwrap();
            let group = message.attributes.unwrap().remove(&MessageSystemAttributeName::MessageGroupId).unwrap();
            all.push((body["key"].as_str().unwrap().to_owned(), group));
        }
    }
}

#[tokio::test]
async fn what_has_no_thumbnails_is_queued_in_one_group_and_nothing_else() {
    let stack = Stack::new("backfill", "thumbnail.sizes = [\"4x3\"]").await;
    let key = |n: usize| format!("2026/{n:04}.jpg");
    put(&stack, &stack.photos(), (0..PHOTOS).map(key)).await;
    let odd = ["2026/it's.jpg", "2026/a +%\u{e9}.png", "2026/notes.txt", "other/owl.jpg"];
    put(&stack, &stack.photos(), odd.map(str::to_owned)).await;
    // All but every twentieth have their thumbnail.
    let there = (0..PHOTOS).filter(|n| n % 20 != 0);
    put(&stack, &stack.thumbnails(), there.map(|n| format!("2026/{n:04}-4x3.jpg"))).await;

    let words = ["backfill", "--prefix", "2026/"];
    let output = stack.thumb(&[&words[..], &["--dry-run", "--json"]].concat()).ok();
    let forecast: Value = serde_json::from_str(&output.stdout).unwrap();
    let missing = PHOTOS / 20 + 2;
    assert_eq!((&forecast["photos"], &forecast["missing"]), (&(PHOTOS + 2).into(), &missing.into()), "{forecast}");
    assert_eq!((&forecast["others"], stack.depth("backfill").await), (&1.into(), 0), "{forecast}");
    let output = stack.thumb(&words).failed(1);
    assert!(output.stderr.contains("117 of 2,302 photos in backfill-photos have no thumbnails"), "{output:?}");
    assert!(output.stderr.contains("use `thumb backfill --yes` to skip the question"), "{output:?}");
    assert_eq!(stack.depth("backfill").await, 0, "nothing was queued");

    let output = stack.thumb(&[&words[..], &["--yes"]].concat()).ok();
    assert!(output.stdout.starts_with("queued 117 requests on backfill in "), "{output:?}");
    let queued = messages(&stack, "backfill").await;
    let keys: BTreeSet<&str> = queued.iter().map(|(key, _)| key.as_str()).collect();
    let mut expected: BTreeSet<String> = (0..PHOTOS).step_by(20).map(key).collect();
    expected.extend(odd[..2].iter().map(ToString::to_string));
    assert_eq!(queued.len(), missing);
    assert!(keys.iter().copied().eq(expected.iter().map(String::as_str)));
    let groups: BTreeSet<&str> = queued.iter().map(|(_, group)| group.as_str()).collect();
    assert_eq!(groups.len(), 1, "one noisy neighbour, which new uploads pass: {groups:?}");
    assert!(groups.first().unwrap().starts_with("backfill-"), "{groups:?}");
    let left = std::fs::read_dir(stack.toml().parent().unwrap()).unwrap().count();
    assert_eq!(left, 1, "its files are gone");
}

#[tokio::test]
async fn an_interrupted_backfill_goes_on_and_forgets_nothing() {
    let stack = Stack::new("resumed", "thumbnail.sizes = [\"4x3\"]").await;
    put(&stack, &stack.photos(), (0..500).map(|n| format!("{n}.jpg"))).await;
    // The queue is not there: the listing is done, and nothing can be sent.
    let url = stack.url("resumed").await;
    let output = stack.thumb(&["backfill", "--resume", "--yes"]).failed(1);
    assert!(output.stderr.contains(".thumb-backfill-resumed-resumed-photos.keys"), "{output:?}");

    // As a killed run leaves it: some batches are queued, and not all of them are recorded.
    let dir = stack.toml().parent().unwrap().to_owned();
    let lines: Vec<String> = (0..500).map(|n| format!("\"{n}.jpg\"")).collect();
    let head = r#"{"version":1,"stack":"resumed","bucket":"resumed-photos","prefix":"","group":"backfill-1"}"#;
    let keys = format!("{head}\n{}\n", lines.join("\n"));
    std::fs::write(dir.join(".thumb-backfill-resumed-resumed-photos.keys"), keys).unwrap();
    std::fs::write(dir.join(".thumb-backfill-resumed-resumed-photos.done"), "200\n").unwrap();
    let output = stack.thumb(&["backfill", "--prefix", "x/", "--resume", "--yes"]).failed(2);
    assert!(output.stderr.contains("the interrupted backfill has the prefix \"\""), "{output:?}");
    let output = stack.thumb(&["backfill", "--resume", "--yes", "--json"]).ok();
    let line: Value = serde_json::from_str(&output.stdout).unwrap();
    let counts = (&line["queued"], &line["queued_before"], &line["total"]);
    assert_eq!(counts, (&300.into(), &200.into(), &500.into()), "{line}");
    let queued: BTreeSet<String> = messages(&stack, "resumed").await.into_iter().map(|(key, _)| key).collect();
    assert!((200..500).all(|n| queued.contains(&format!("{n}.jpg"))) && queued.len() == 300);
    assert!(!url.is_empty());
}

#[tokio::test]
async fn what_cannot_be_done_is_said() {
    let stack = Stack::new("refused", "thumbnail.sizes = [\"4x3\"]").await;
    for (words, code, why) in [
        (&["backfill", "--bucket", "others"][..], 2, "the workers may not read the bucket others"),
        (&["backfill", "--json"], 2, "--json requires --yes or --dry-run"),
    ] {
        let output = stack.thumb(words).failed(code);
        assert!(output.stderr.contains(why), "{output:?}");
    }
    let output = stack.thumb(&["backfill", "--prefix", "nothing/", "--yes"]).ok();
    assert_eq!(output.stdout, "there are no photos to be found in refused-photos\n");
    stack.clients.s3.delete_bucket().bucket(stack.photos()).send().await.unwrap();
    let output = stack.thumb(&["backfill", "--yes"]).failed(1);
    assert!(output.stderr.contains("bucket \"refused-photos\" does not exist"), "{output:?}");
}

#[tokio::test]
async fn enqueue_has_a_group_for_each_folder() {
    let stack = Stack::new("groups", "thumbnail.sizes = [\"4x3\"]").await;
    stack.thumb(&["enqueue", "--keys", "ann/1.jpg", "ann/trip/2.jpg", "bob/1.jpg", "3.jpg", "--no-check"]).ok();
    let mut queued = messages(&stack, "groups").await;
    queued.sort();
    let pairs: Vec<(&str, &str)> = queued.iter().map(|(key, group)| (key.as_str(), group.as_str())).collect();
    let expected = [
        ("3.jpg", "groups-photos/"),
        ("ann/1.jpg", "groups-photos/ann/"),
        ("ann/trip/2.jpg", "groups-photos/ann/"),
        ("bob/1.jpg", "groups-photos/bob/"),
    ];
    assert_eq!(pairs, expected);
}
