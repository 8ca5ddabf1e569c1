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
        let settings = [
            "iam-instance-profile-propagation.seconds=0",
            "sqs-new-dead-letter-queue.seconds=0",
            "s3-create-bucket.seconds=0",
        ];
        let stack = Stack::strict("cats", TOML, &settings).await;
        stack.clients.s3.create_bucket().bucket("uploads").send().await.unwrap();
        Self(stack)
    }

    fn apply(&self) {
        self.0.thumb(&["apply", "--yes"]).ok();
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
    assert!(why.starts_with("its message waits, with 2 in the queue, and no worker took it"), "{why}");
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
    assert!(Cats::failed(&checks, "upload to uploads").starts_with("no event of it came to the queue"));
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
    assert!(text.contains("ok      queue") && text.contains("FAILED  trigger uploads"), "{text}");
}
