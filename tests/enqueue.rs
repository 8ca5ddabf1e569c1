//! `thumb enqueue` as a process, against the emulator: what it queues, what it refuses, and `--wait`.

#[path = "support/moto.rs"]
mod moto;
#[path = "support/stack.rs"]
mod stack;

use std::process::Stdio;

use stack::{CommandOutput, Stack, photo};

#[tokio::test]
async fn a_url_that_is_not_queued_is_named_without_its_secrets() {
    let stack = Stack::new("bad-urls", "worker.url_sources = \"public\"\nbuckets.sources = []").await;
    let urls =
        ["ftp://example.com/a.jpg?token=SECRET", "https://me:SECRET@example.com/a.jpg", "https://exa mple/?SECRET"];
    let mut words = vec!["enqueue", "--size", "40x30"];
    urls.iter().for_each(|url| words.extend(["--url", url]));
    let output = stack.thumb(&words).failed(1);
    assert!(!format!("{output:?}").contains("SECRET"), "{output:?}");
    assert_eq!(output.stderr.matches("not queued: ").count(), 3, "{output:?}");
    let sizes = ["--size", "8192x8192", "--size", "8191x8191"];
    let output = stack.thumb(&[&["enqueue", "--bucket", "photos", "a.jpg"][..], &sizes].concat()).failed(2);
    assert!(output.stderr.starts_with("error: the sizes have 135 million pixels together"), "{output:?}");
}

#[tokio::test]
async fn many_keys_are_queued_from_a_listing_and_from_stdin() {
    let stack = Stack::new("many", "thumbnail.sizes = [\"40x30\"]").await;
    for index in 0..12 {
        stack.put(&format!("trip/{index}.JPG"), b"x".to_vec()).await;
    }
    stack.put("trip/notes.txt", b"x".to_vec()).await;
    stack.put("trip/empty.jpg", Vec::new()).await;
    stack.put("other/0.jpg", b"x".to_vec()).await;
    let output = stack.thumb(&["enqueue", "--prefix", "trip/", "--json"]).ok();
    let count: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!((&count["queued"], &count["skipped"]), (&12.into(), &2.into()), "{output:?}");

    let lines: String = (0..1_234).map(|index| format!("{index}.jpg\n\n")).collect();
    let output = stack.thumb_with_stdin(&["enqueue", "-"], lines.as_bytes()).ok();
    assert!(output.stdout.starts_with("queued 1234 photos (1234 thumbnails) on many"), "{output:?}");
    assert_eq!(stack.depth("many").await, 1_246);
}

#[tokio::test]
async fn a_request_that_cannot_be_queued_is_named_and_the_others_are_queued() {
    let stack = Stack::new("partly", "").await;
    let long = "k".repeat(1_025);
    let output = stack
        .thumb(&["enqueue", "--no-check", "--size", "40x30", "a.jpg", &long, "b.jpg", "--", "-c", "help"])
        .failed(1);
    assert!(output.stderr.contains(&format!("not queued: {long}: `key` must have 1 to 1024 bytes")), "{output:?}");
    assert!(output.stderr.ends_with("error: 1 of 5 photos could not be queued (listed above)\n"), "{output:?}");
    assert_eq!(stack.depth("partly").await, 4);
}

/// A stack with four photographs in two folders.
async fn with_photos(name: &str, toml: &str) -> Stack {
    let stack = Stack::new(name, toml).await;
    for key in ["2026/life.jpg", "2026/owl.jpg", "2025/owl.jpg"] {
        stack.put(key, photo("life.jpg")).await;
    }
    stack.put("2026/notes.txt", b"x".to_vec()).await;
    stack
}

#[tokio::test]
async fn photographs_are_named_as_people_name_them() {
    let stack = with_photos("named", "thumbnail.sizes = [\"40x30\", \"20x20\"]").await;
    let output = stack.thumb(&["enqueue", "s3://named-photos/2026/", "s3://named-photos/2025/owl.jpg"]).ok();
    let expected = "queued 3 photos (6 thumbnails) on named; skipped 1 object (not pictures by their extensions, or \
                    empty)\nthey will appear in s3://named-thumbnails-123456789012,\nfor example ";
    assert!(output.stdout.starts_with(expected), "{output:?}");
    assert!(output.stdout.ends_with("\nthumb status --watch shows how far they are\n"), "{output:?}");
    assert_eq!(stack.depth("named").await, 3);
    let whole = stack.thumb(&["enqueue", "s3://named-photos", "--json"]).ok();
    assert!(whole.stdout.starts_with(r#"{"interrupted":false,"not_queued":0,"queued":3,"#), "{whole:?}");
}

#[tokio::test]
async fn what_is_not_there_is_not_queued() {
    let stack = with_photos("missing", "").await;
    let size = ["--size", "40x30"];
    let thumb = |words: &[&str]| stack.thumb(&[&["enqueue"][..], words, &size].concat());
    // A key that exists beside one that does not.
    let output = thumb(&["2026/life.jpg", "s3://missing-photos/2026/lief.jpg"]).failed(1);
    let expected = "not queued: s3://missing-photos/2026/lief.jpg: there is no such object\n";
    assert!(output.stderr.starts_with(expected), "{output:?}");
    assert!(output.stderr.ends_with("error: 1 of 2 photos could not be queued (listed above)\n"), "{output:?}");
    assert_eq!(stack.depth("missing").await, 1);
    for (words, what, hint) in [
        (&["--prefix", "2062/"][..], "there are no pictures under s3://missing-photos/2062/", "did you mean 2026/?"),
        (&["s3://missing-photos/trips/"], "no pictures under s3://missing-photos/trips/", "there are 2025/, 2026/"),
        (&["--prefix", "2026/n"], "s3://missing-photos/2026/n, but 1 other object", "name the keys"),
    ] {
        let output = thumb(words).failed(1);
        assert!(output.stderr.contains(what) && output.stderr.contains(hint), "{words:?}: {output:?}");
    }
    let empty = stack.thumb_with_stdin(&["enqueue", "-", "--size", "4x3"], b"\n").failed(1);
    assert!(empty.stderr.ends_with("error: there are no keys on stdin\n"), "{empty:?}");
    let other = thumb(&["s3://other-bucket/a.jpg"]).failed(2);
    assert!(other.stderr.contains("the workers of this stack may not read the bucket other-bucket"), "{other:?}");
    assert!(other.stderr.contains("add it to `sources` in [buckets]"), "{other:?}");
    let url = thumb(&["https://example.com/a.jpg"]).failed(2);
    assert!(url.stderr.contains("the workers of this stack do not fetch URLs"), "{url:?}");
    assert_eq!(stack.depth("missing").await, 1, "and nothing else was queued");
    thumb(&["--no-check", "nowhere.jpg"]).ok();
    assert_eq!(stack.depth("missing").await, 2);
}

#[tokio::test]
async fn a_dry_run_shows_the_requests() {
    let stack = with_photos("dry", "").await;
    let output = stack.thumb(&["enqueue", "s3://dry-photos/2025/", "--size", "40x30", "--dry-run"]).ok();
    let request = r#"{"bucket":"dry-photos","height":30,"key":"2025/owl.jpg","width":40}"#;
    assert_eq!((output.stdout, output.stderr), (format!("{request}\n"), "would queue 1 request\n".to_owned()));
    assert_eq!(stack.depth("dry").await, 0);
}

#[tokio::test]
async fn a_wait_ends_when_everything_is_done_or_rejected() {
    let stack = with_photos("waited", "thumbnail.sizes = [\"40x30\"]").await;
    stack.put("2026/bad.jpg", b"no picture".to_vec()).await;
    let mut worker = stack.command(&["work"]);
    let mut worker = worker.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let good = CommandOutput::new(stack.command(&["enqueue", "s3://waited-photos/2025/", "--wait"]).output().unwrap());
    let bad = stack.thumb(&["enqueue", "s3://waited-photos/2026/", "--wait"]);
    let json = stack.thumb(&["enqueue", "2026/bad.jpg", "--wait", "--json"]);
    worker.kill().unwrap();
    worker.wait().unwrap();
    let good = good.ok();
    assert!(good.stderr.ends_with("1 of 1 photo done\n"), "{good:?}");
    let bad = bad.failed(1);
    assert!(
        bad.stderr.contains("2 of 3 photos done\nerror: 1 photo was rejected:\n  s3://waited-photos/2026/bad.jpg: "),
        "{bad:?}"
    );
    assert!(bad.stderr.contains("hint: `thumb dlq` shows them"), "{bad:?}");
    // The same photograph again, and its rejection of before does not count.
    let json = json.failed(1);
    let line: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((&line["done"], &line["open"]), (&0.into(), &serde_json::json!([])), "{json:?}");
    assert_eq!(line["rejected"][0]["source"], "s3://waited-photos/2026/bad.jpg", "{json:?}");
}

#[tokio::test]
async fn a_wait_without_a_worker_has_an_end() {
    let stack = with_photos("unworked", "thumbnail.sizes = [\"40x30\"]").await;
    let output = stack.thumb(&["enqueue", "2025/owl.jpg", "--wait", "--timeout", "1s"]).failed(1);
    let what =
        "error: the time is over, and there are no thumbnails yet of 1 photo:\n  s3://unworked-photos/2025/owl.jpg\n";
    assert!(output.stderr.contains(what), "{output:?}");
    let output = stack.thumb(&["enqueue", "a.jpg", "--wait", "--timeout", "soon"]).failed(2);
    assert!(output.stderr.contains("\"soon\" is not a time such as 90s, 10m or 2h"), "{output:?}");
}
