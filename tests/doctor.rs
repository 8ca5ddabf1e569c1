//! `thumb doctor` as a process, against the strict emulator, which delivers S3's events under the queue's policy.

#[path = "support/moto.rs"]
mod moto;

use std::process::{Child, Output, Stdio};

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_sdk_s3::types::NotificationConfiguration;
use aws_sdk_sqs::types::QueueAttributeName;
use moto::{Moto, REGION};
use serde_json::Value;
use thumb::aws::Clients;

const THUMB: &str = env!("CARGO_BIN_EXE_thumb");
const AT_ONCE: [&str; 6] = [
    "--set",
    "iam-instance-profile-propagation.seconds=0",
    "--set",
    "sqs-new-dead-letter-queue.seconds=0",
    "--set",
    "s3-create-bucket.seconds=0",
];

struct Stack {
    moto: Moto,
    clients: Clients,
    dir: tempfile::TempDir,
}

/// A worker that runs until the test ends.
struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Stack {
    async fn new() -> Self {
        let moto = Moto::start_strict(&AT_ONCE);
        let sdk = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .endpoint_url(moto.endpoint())
            .region(Region::new(REGION))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"));
        let clients = Clients::from_sdk(sdk.load().await).unwrap();
        clients.s3.create_bucket().bucket("uploads").send().await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let text = "name = \"cats\"\n[instance]\ncount = 0\n[thumbnail]\nsizes = [\"40x30\", \"8x8\"]\n\
                    [[trigger]]\nbucket = \"uploads\"\nprefix = \"in/\"\nsuffix = \".jpg\"\n";
        std::fs::write(dir.path().join("thumb.toml"), text).unwrap();
        Self { moto, clients, dir }
    }

    fn thumb(&self, words: &[&str]) -> Output {
        self.moto.command(THUMB).current_dir(self.dir.path()).args(words).output().unwrap()
    }

    fn apply(&self) {
        let output = self.thumb(&["apply", "--yes"]);
        assert!(output.status.success(), "{output:?}");
    }

    fn work(&self) -> Worker {
        let mut command = self.moto.command(THUMB);
        command.current_dir(self.dir.path()).args(["work", "--json"]).stdout(Stdio::null()).stderr(Stdio::null());
        Worker(command.spawn().unwrap())
    }

    /// What it says: each check's name, verdict and detail; and whether all is well.
    fn doctor(&self, wait: &str) -> (Vec<(String, String, String)>, bool) {
        let output = self.thumb(&["doctor", "--yes", "--json", "--wait", wait]);
        let all: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        let text = |check: &Value, field: &str| check[field].as_str().unwrap_or_default().to_owned();
        let checks = all["checks"].as_array().unwrap().iter();
        let checks = checks.map(|check| (text(check, "name"), text(check, "verdict"), text(check, "detail"))).collect();
        (checks, output.status.success())
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
            let objects = self.clients.s3.list_objects_v2().bucket(bucket).send().await.unwrap();
            assert!(objects.contents().is_empty(), "{when}: {objects:?}");
        }
    }
}

#[tokio::test]
async fn an_upload_is_proved_and_what_is_broken_is_named() {
    let stack = Stack::new().await;
    let (checks, well) = stack.doctor("1s");
    assert!(!well);
    assert_eq!(Stack::failed(&checks, "queue"), "cats does not exist");
    stack.apply();

    // No worker: the message waits.
    let (checks, well) = stack.doctor("1s");
    assert!(!well);
    let why = Stack::failed(&checks, "upload to uploads");
    // Beside it waits S3's test event.
    assert!(why.starts_with("its message waits, with 2 in the queue, and no worker took it"), "{why}");
    stack.assert_clean("without a worker").await;

    let url = stack.clients.sqs.get_queue_url().queue_name("cats").send().await.unwrap().queue_url.unwrap();
    stack.clients.sqs.purge_queue().queue_url(&url).send().await.unwrap();
    let worker = stack.work();
    let (checks, well) = stack.doctor("60s");
    assert!(well, "{checks:#?}");
    let upload = checks.iter().find(|(name, ..)| name == "upload to uploads").unwrap();
    assert!(upload.2.starts_with("2 thumbnails after "), "{upload:?}");
    assert!(checks.iter().any(|(name, verdict, _)| name == "public access" && verdict == "ok"), "{checks:#?}");
    stack.assert_clean("all well").await;

    // Somebody takes the queue's policy away: S3 is refused, and says nothing.
    let set = stack.clients.sqs.set_queue_attributes().queue_url(&url).attributes(QueueAttributeName::Policy, "");
    set.send().await.unwrap();
    let (checks, well) = stack.doctor("2s");
    assert!(!well);
    assert!(Stack::failed(&checks, "trigger uploads").starts_with("the queue's policy does not let S3 send"));
    assert!(Stack::failed(&checks, "upload to uploads").starts_with("no event of it came to the queue"));
    stack.apply();

    // Or the bucket's rules.
    let none = NotificationConfiguration::builder().build();
    let put = stack.clients.s3.put_bucket_notification_configuration().bucket("uploads");
    put.notification_configuration(none).send().await.unwrap();
    let (checks, well) = stack.doctor("2s");
    assert!(!well);
    assert_eq!(Stack::failed(&checks, "trigger uploads"), "the bucket's notifications are not as declared");
    stack.assert_clean("without rules").await;
    drop(worker);

    // Without --yes it asks, and without a terminal it does nothing.
    let output = stack.thumb(&["doctor"]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("doctor needs confirmation"), "{output:?}");
    let output = stack.thumb(&["doctor", "--dry-run"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("ok      queue") && text.contains("FAILED  trigger uploads"), "{text}");
}
