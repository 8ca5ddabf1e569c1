//! The group follows the queue: alarms and `enqueue` as processes and calls against the strict emulator, whose groups do what their
//! policies say. No metric moves a group there: the tests set the alarms' states.

#[path = "support/moto.rs"]
mod moto;

use std::process::Output;

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_sdk_cloudwatch::types::StateValue;
use moto::{Moto, REGION};
use thumb::aws::Clients;

const THUMB: &str = env!("CARGO_BIN_EXE_thumb");

/// What the emulator otherwise takes its time for, as AWS does.
const AT_ONCE: [&str; 18] = [
    "--set",
    "ec2-instance-states.pending=0",
    "--set",
    "ec2-instance-states.terminate=0",
    "--set",
    "ec2-security-group-in-use.seconds=0",
    "--set",
    "iam-instance-profile-propagation.seconds=0",
    "--set",
    "sqs-new-dead-letter-queue.seconds=0",
    "--set",
    "sqs-deleted-queue-reads.p=0",
    "--set",
    "autoscaling-group.seconds=0",
    "--set",
    "s3-create-bucket.seconds=0",
    "--set",
    "s3-new-bucket.seconds=0",
];

struct Stack {
    moto: Moto,
    clients: Clients,
    dir: tempfile::TempDir,
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
        Self { moto, clients, dir: tempfile::tempdir().unwrap() }
    }

    fn declare(&self, scaling: &str) {
        let text = format!("name = \"cats\"\nbuckets.sources = [\"photos\"]\nthumbnail.sizes = [\"4x3\"]\n{scaling}");
        std::fs::write(self.dir.path().join("thumb.toml"), text).unwrap();
    }

    fn thumb(&self, words: &[&str]) -> Output {
        let mut command = self.moto.command(THUMB);
        command.current_dir(self.dir.path()).args(words).output().unwrap()
    }

    #[track_caller]
    fn ok(&self, words: &[&str]) -> (String, String) {
        let Output { status, stdout, stderr } = self.thumb(words);
        let (out, err) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
        assert!(status.success(), "{words:?}: {out}{err}");
        (out, err)
    }

    /// Applies, and sees that nothing is left to do.
    #[track_caller]
    fn apply(&self) {
        self.ok(&["apply", "--yes", "--no-wait"]);
        let (plan, _) = self.ok(&["plan"]);
        assert!(plan.contains("No changes."), "{plan}");
    }

    async fn desired(&self) -> i32 {
        let describe = self.clients.autoscaling.describe_auto_scaling_groups();
        let groups = describe.auto_scaling_group_names("cats-workers").send().await.unwrap();
        groups.auto_scaling_groups()[0].desired_capacity().unwrap()
    }

    async fn ring(&self, alarm: &str) {
        let set = self.clients.cloudwatch.set_alarm_state().alarm_name(alarm).state_value(StateValue::Alarm);
        set.state_reason("a test").send().await.unwrap();
    }

    async fn alarms(&self) -> Vec<String> {
        let alarms = self.clients.cloudwatch.describe_alarms().alarm_name_prefix("cats-").send().await.unwrap();
        let mut names: Vec<String> = alarms.metric_alarms().iter().filter_map(|one| one.alarm_name.clone()).collect();
        names.sort();
        names
    }
}

#[tokio::test]
async fn alarms_and_enqueue_move_the_group_and_a_plan_does_not() {
    let stack = Stack::new().await;
    stack.declare("[scaling]\nmax = 3");
    stack.apply();
    assert_eq!(stack.alarms().await, ["cats-shrink", "cats-sleep", "cats-wake"]);
    assert_eq!(stack.desired().await, 0, "nothing to do, no instance");
    stack.ring("cats-wake").await;
    assert_eq!(stack.desired().await, 1);
    let (plan, _) = stack.ok(&["plan"]);
    assert!(plan.contains("No changes."), "the desired capacity is the policies': {plan}");
    stack.ring("cats-sleep").await;
    assert_eq!(stack.desired().await, 0);

    // SQS's metrics may sleep: enqueue knows what it has sent.
    let (out, err) = stack.ok(&["enqueue", "--bucket", "photos", "--keys", "a.jpg"]);
    assert!(out.starts_with("queued 1 request"), "{out}");
    assert_eq!(err, "woke the fleet: 1 instance within about two minutes\n");
    assert_eq!(stack.desired().await, 1);
    let (out, err) = stack.ok(&["enqueue", "--bucket", "photos", "--keys", "b.jpg", "--json"]);
    assert!(!out.contains("instances") && err.is_empty(), "it is awake: {out}{err}");

    // It never sleeps below its minimum, and what would wake it goes.
    stack.declare("[scaling]\nmin = 1\nmax = 3");
    stack.apply();
    assert_eq!(stack.alarms().await, ["cats-shrink", "cats-sleep"]);
    stack.ring("cats-sleep").await;
    assert_eq!(stack.desired().await, 1);

    // Somebody deletes a policy and an alarm.
    let autoscaling = &stack.clients.autoscaling;
    autoscaling
        .delete_policy()
        .auto_scaling_group_name("cats-workers")
        .policy_name("cats-backlog")
        .send()
        .await
        .unwrap();
    stack.clients.cloudwatch.delete_alarms().alarm_names("cats-sleep").send().await.unwrap();
    let (plan, _) = stack.ok(&["plan"]);
    assert!(plan.contains("+ scaling-policy.backlog") && plan.contains("+ alarm.sleep"), "{plan}");
    assert!(plan.contains("Plan: 2 to add, 0 to change, 0 to destroy."), "{plan}");
    stack.apply();

    stack.ok(&["destroy", "--yes"]);
    assert_eq!(stack.alarms().await, Vec::<String>::new());
    let (plan, _) = stack.ok(&["plan", "--destroy"]);
    assert!(plan.contains("0 to destroy") || plan.contains("Nothing to destroy"), "{plan}");
}

#[tokio::test]
async fn enqueue_without_a_group_says_so_and_succeeds() {
    let stack = Stack::new().await;
    stack.declare("[scaling]");
    stack.ok(&["apply", "--yes", "--target", "queue"]);
    let (out, err) = stack.ok(&["enqueue", "--bucket", "photos", "--keys", "a.jpg"]);
    assert!(out.starts_with("queued 1 request"), "{out}");
    assert!(err.contains("note: the fleet does not exist yet: run `thumb apply`"), "{err}");
}
