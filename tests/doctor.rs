//! `thumb doctor` as a process, against the strict emulator, which delivers S3's events under the queue's policy.

#[path = "support/moto.rs"]
mod moto;
#[path = "support/stack.rs"]
mod stack;

use std::process::{Child, Stdio};

use aws_sdk_s3::types::NotificationConfiguration;
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::Value;
use stack::Stack;

const TOML: &str = "name = \"cats\"\n[instance]\ncount = 0\n[thumbnail]\nsizes = [\"40x30\", \"8x8\"]\n\
                    [[trigger]]\nbucket = \"uploads\"\nprefix = \"in/\"\nsuffix = \".jpg\"\n";

/// The stack `cats`, whose trigger is the bucket `uploads`.
struct Cats(Stack);

/// A worker that runs until the test ends.
struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Cats {
    async fn new() -> Self {
        Self::declared(TOML, &["uploads"]).await
    }

    /// Of this thumb.toml, with these buckets.
    async fn declared(toml: &str, buckets: &[&str]) -> Self {
        let settings = [
            "iam-instance-profile-propagation.seconds=0",
            "sqs-new-dead-letter-queue.seconds=0",
            "s3-create-bucket.seconds=0",
        ];
        let stack = Stack::strict("cats", toml, &settings).await;
        for bucket in buckets {
            stack.clients.s3.create_bucket().bucket(*bucket).send().await.unwrap();
        }
        Self(stack)
    }

    fn apply(&self) {
        self.0.thumb(&["apply", "--yes"]).ok();
    }

    /// Until a worker has put its first report.
    async fn reported(&self) {
        for _ in 0..600 {
            let list = self.0.clients.s3.list_objects_v2().bucket("cats-code-123456789012").prefix("workers/");
            if !list.send().await.unwrap().contents().is_empty() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        panic!("no worker has reported");
    }

    fn work(&self) -> Worker {
        let mut command = self.0.command(&["work", "--json"]);
        Worker(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// What it says: each check's name, verdict and detail; and whether all is well.
    fn doctor(&self, wait: &str) -> (Vec<(String, String, String)>, bool) {
        let output = self.0.thumb(&["doctor", "--yes", "--json", "--wait", wait]);
        let all: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        let text = |check: &Value, field: &str| check[field].as_str().unwrap_or_default().to_owned();
        let checks = all["checks"].as_array().unwrap().iter();
        let checks = checks.map(|check| (text(check, "name"), text(check, "verdict"), text(check, "detail"))).collect();
        (checks, output.code == Some(0))
    }

    /// The only check that failed, by name and detail.
    #[track_caller]
    fn failed(checks: &[(String, String, String)], name: &str) -> String {
        let found = checks.iter().find(|(found, verdict, _)| found == name && verdict == "failed");
        found.unwrap_or_else(|| panic!("{name} did not fail: {checks:#?}")).2.clone()
    }

    /// Neither the picture nor its thumbnails stay.
    async fn assert_clean(&self, when: &str) {
        for bucket in ["uploads", "cats-thumbnails-123456789012"] {
            let objects = self.0.clients.s3.list_objects_v2().bucket(bucket).send().await.unwrap();
            assert!(objects.contents().is_empty(), "{when}: {objects:?}");
        }
    }
}

#[tokio::test]
async fn an_upload_is_proved_and_what_is_broken_is_named() {
    let cats = Cats::new().await;
    let (checks, well) = cats.doctor("1s");
    assert!(!well);
    assert_eq!(Cats::failed(&checks, "queue"), "cats does not exist");
    cats.apply();

    // No worker: the message waits.
    let (checks, well) = cats.doctor("1s");
    assert!(!well);
    let why = Cats::failed(&checks, "upload to uploads");
    // Beside it waits S3's test event.
    assert_eq!(why, "no thumbnail came in 1 s; 2 messages are waiting in the queue, perhaps its own");
    cats.assert_clean("without a worker").await;

    let url = cats.0.url("cats").await;
    cats.0.clients.sqs.purge_queue().queue_url(&url).send().await.unwrap();
    let worker = cats.work();
    let (checks, well) = cats.doctor("60s");
    assert!(well, "{checks:#?}");
    let upload = checks.iter().find(|(name, ..)| name == "upload to uploads").unwrap();
    assert!(upload.2.starts_with("2 thumbnails after "), "{upload:?}");
    assert!(checks.iter().any(|(name, verdict, _)| name == "public access" && verdict == "ok"), "{checks:#?}");
    cats.assert_clean("all well").await;

    // Somebody takes the queue's policy away: S3 is refused, and says nothing.
    let set = cats.0.clients.sqs.set_queue_attributes().queue_url(&url).attributes(QueueAttributeName::Policy, "");
    set.send().await.unwrap();
    let (checks, well) = cats.doctor("2s");
    assert!(!well);
    assert!(Cats::failed(&checks, "trigger uploads").starts_with("the queue's policy does not let S3 send"));
    assert!(Cats::failed(&checks, "upload to uploads").ends_with("and the queue is empty: its event did not come"));
    cats.apply();

    // Or the bucket's rules.
    let none = NotificationConfiguration::builder().build();
    let put = cats.0.clients.s3.put_bucket_notification_configuration().bucket("uploads");
    put.notification_configuration(none).send().await.unwrap();
    let (checks, well) = cats.doctor("2s");
    assert!(!well);
    assert_eq!(Cats::failed(&checks, "trigger uploads"), "the bucket's notifications are not as declared");
    cats.assert_clean("without rules").await;
    drop(worker);

    // Without --yes it asks, and without a terminal it does nothing.
    let output = cats.0.thumb(&["doctor"]);
    assert_ne!(output.code, Some(0));
    assert!(output.stderr.contains("doctor needs confirmation"), "{output:?}");
    let output = cats.0.thumb(&["doctor", "--dry-run"]);
    let text = output.stdout;
    assert!(text.contains("✓ queue") && text.contains("✗ trigger uploads"), "{text}");
}

/// The verdict and the detail of a check.
#[track_caller]
fn check<'a>(checks: &'a [(String, String, String)], name: &str) -> (&'a str, &'a str) {
    let found: Vec<_> = checks.iter().filter(|(found, ..)| found == name).collect();
    assert_eq!(found.len(), 1, "{name}: {checks:#?}");
    (&found[0].1, &found[0].2)
}

#[tokio::test]
async fn a_picture_that_the_worker_rejects_is_found_among_the_dead_letters() {
    let toml = format!("{TOML}[worker]\nformats = [\"png\"]\n");
    let cats = Cats::declared(&toml, &["uploads"]).await;
    cats.apply();
    let _worker = cats.work();
    let (checks, well) = cats.doctor("10s");
    assert!(!well);
    let why = Cats::failed(&checks, "upload to uploads");
    assert!(why.starts_with("a worker rejected it: make: the file is a JPEG"), "{why}");
    // Looking at it does not take it away.
    assert_eq!(cats.0.depth("cats-dlq").await, 1);
    cats.assert_clean("rejected").await;
}

#[tokio::test]
async fn two_triggers_private_thumbnails_and_keys_with_a_version() {
    let toml = "name = \"cats\"\n[instance]\ncount = 0\n[buckets]\naccess = \"private\"\n[thumbnail]\n\
                sizes = [\"8x8\"]\nkey = \"{bucket}/{dir}{stem}-{version}-{width}x{height}.{format}\"\n\
                [[trigger]]\nbucket = \"uploads\"\n[[trigger]]\nbucket = \"more-uploads\"\nsizes = [\"4x4\", \"6x6\"]\n";
    let cats = Cats::declared(toml, &["uploads", "more-uploads"]).await;
    cats.apply();
    let worker = cats.work();
    cats.reported().await;
    let (checks, well) = cats.doctor("60s");
    assert!(well, "{checks:#?}");
    assert!(check(&checks, "upload to uploads").1.starts_with("1 thumbnail after "), "{checks:#?}");
    assert!(check(&checks, "upload to more-uploads").1.starts_with("2 thumbnails after "), "{checks:#?}");
    // One line for both, and nothing to prove.
    assert_eq!(check(&checks, "public access"), ("not checked", "thumbnails are private"));
    let (_, seen) = checks
        .iter()
        .map(|(name, verdict, detail)| (name, (verdict, detail)))
        .find(|(name, _)| name.starts_with("worker "))
        .unwrap();
    assert!(seen.0 == "ok" && seen.1.contains("0 rejected; thumb "), "{seen:?}");
    cats.assert_clean("all well").await;
    drop(worker);
    // Said once, not once a trigger.
    let url = cats.0.url("cats").await;
    let set = cats.0.clients.sqs.set_queue_attributes().queue_url(&url).attributes(QueueAttributeName::Policy, "");
    set.send().await.unwrap();
    let output = cats.0.thumb(&["doctor", "--yes", "--wait", "1s"]).failed(1);
    assert_eq!(output.stderr.matches("something is wrong already").count(), 1, "{output:?}");
}

#[tokio::test]
async fn what_all_else_needs_comes_first() {
    let cats = Cats::new().await;
    let (checks, _) = cats.doctor("1s");
    let names: Vec<&str> = checks.iter().take(4).map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["region", "credentials", "permissions", "names"]);
    assert_eq!(check(&checks, "launching").0, "not checked");
    cats.0.declare("name = \"cats\"\naccount = \"999999999999\"\n");
    let output = cats.0.thumb(&["doctor"]).failed(1);
    assert!(output.stdout.contains("✗ credentials"), "{output:?}");
    assert!(output.stderr.ends_with("error: not well: credentials\n"), "{output:?}");
    cats.0.declare("name = \"cats\"\n[instance]\ntype = \"t3.mikro\"\n");
    let text = cats.0.thumb(&["doctor"]).failed(1).stdout;
    assert!(text.contains("✗ launching") && text.contains("✓ VPC") && text.contains("- quotas"), "{text}");
}
