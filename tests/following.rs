//! The group follows the queue: alarms and `enqueue` as processes and calls against the strict emulator, whose groups do what their
//! policies say. No metric moves a group there: the tests set the alarms' states.

#[path = "support/moto.rs"]
mod moto;
#[path = "support/stack.rs"]
mod stack;

use aws_sdk_cloudwatch::types::StateValue;
use moto::AT_ONCE;
use stack::Stack;

/// The stack `cats`, with this beside its sources and sizes in thumb.toml.
struct Cats(Stack);

impl Cats {
    async fn new(scaling: &str) -> Self {
        let settings = [&AT_ONCE[..], &["s3-new-bucket.seconds=0"]].concat();
        Self(Stack::strict("cats", &Self::text(scaling), &settings).await)
    }

    fn text(scaling: &str) -> String {
        format!("name = \"cats\"\nbuckets.sources = [\"photos\"]\nthumbnail.sizes = [\"4x3\"]\n{scaling}")
    }

    fn declare(&self, scaling: &str) {
        self.0.declare(&Self::text(scaling));
    }

    #[track_caller]
    fn ok(&self, words: &[&str]) -> (String, String) {
        let output = self.0.thumb(words).ok();
        (output.stdout, output.stderr)
    }

    /// Applies, and sees that nothing is left to do.
    #[track_caller]
    fn apply(&self) {
        self.ok(&["apply", "--yes", "--no-wait"]);
        let (plan, _) = self.ok(&["plan"]);
        assert!(plan.contains("No changes."), "{plan}");
    }

    async fn desired(&self) -> i32 {
        let describe = self.0.clients.autoscaling.describe_auto_scaling_groups();
        let groups = describe.auto_scaling_group_names("cats-workers").send().await.unwrap();
        groups.auto_scaling_groups()[0].desired_capacity().unwrap()
    }

    async fn ring(&self, alarm: &str) {
        let set = self.0.clients.cloudwatch.set_alarm_state().alarm_name(alarm).state_value(StateValue::Alarm);
        set.state_reason("a test").send().await.unwrap();
    }

    async fn alarms(&self) -> Vec<String> {
        let alarms = self.0.clients.cloudwatch.describe_alarms().alarm_name_prefix("cats-").send().await.unwrap();
        let mut names: Vec<String> = alarms.metric_alarms().iter().filter_map(|one| one.alarm_name.clone()).collect();
        names.sort();
        names
    }
}

#[tokio::test]
async fn alarms_and_enqueue_move_the_group_and_a_plan_does_not() {
    let stack = Cats::new("[scaling]\nmax = 3").await;
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
    let (out, err) = stack.ok(&["enqueue", "--bucket", "photos", "--keys", "a.jpg", "--no-check"]);
    assert!(out.starts_with("queued 1 photo ("), "{out}");
    assert_eq!(err, "woke the fleet: 1 instance within about two minutes\n");
    assert_eq!(stack.desired().await, 1);
    let (out, err) = stack.ok(&["enqueue", "--bucket", "photos", "--keys", "b.jpg", "--json", "--no-check"]);
    assert!(!out.contains("instances") && err.is_empty(), "it is awake: {out}{err}");

    // It never sleeps below its minimum, and what would wake it goes.
    stack.declare("[scaling]\nmin = 1\nmax = 3");
    stack.apply();
    assert_eq!(stack.alarms().await, ["cats-shrink", "cats-sleep"]);
    stack.ring("cats-sleep").await;
    assert_eq!(stack.desired().await, 1);

    // Somebody deletes a policy and an alarm.
    let autoscaling = &stack.0.clients.autoscaling;
    autoscaling
        .delete_policy()
        .auto_scaling_group_name("cats-workers")
        .policy_name("cats-backlog")
        .send()
        .await
        .unwrap();
    stack.0.clients.cloudwatch.delete_alarms().alarm_names("cats-sleep").send().await.unwrap();
    let (plan, _) = stack.ok(&["plan"]);
    assert!(plan.contains("+ scaling-policy.backlog") && plan.contains("+ alarm.sleep"), "{plan}");
    assert!(plan.contains("Plan: 2 to create."), "{plan}");
    stack.apply();

    stack.ok(&["destroy", "--yes"]);
    assert_eq!(stack.alarms().await, Vec::<String>::new());
    let (plan, _) = stack.ok(&["plan", "--destroy"]);
    assert!(plan.contains("0 to destroy") || plan.contains("Nothing to destroy"), "{plan}");
}

#[tokio::test]
async fn enqueue_without_a_group_says_so_and_succeeds() {
    let stack = Cats::new("[scaling]").await;
    stack.ok(&["apply", "--yes", "--target", "queue"]);
    let (out, err) = stack.ok(&["enqueue", "--bucket", "photos", "--keys", "a.jpg", "--no-check"]);
    assert!(out.starts_with("queued 1 photo ("), "{out}");
    assert!(err.contains("note: the fleet does not exist yet: run `thumb apply`"), "{err}");
}
