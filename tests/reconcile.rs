//! The reconciler against the emulator, through a connector in the SDK's HTTP client that plays what AWS does and moto does
//! not: errors that pass, client tokens, a caller that dies between any two calls.

#[path = "reconcile/bucket_steps.rs"]
mod bucket_steps;
#[path = "reconcile/compute.rs"]
mod compute;
#[path = "support/fault_injecting_connector.rs"]
mod fault_injecting_connector;
#[path = "support/least_elf.rs"]
mod least_elf;
#[path = "reconcile/monitoring.rs"]
mod monitoring;
#[path = "support/moto.rs"]
mod moto;
#[path = "reconcile/network.rs"]
mod network;
#[path = "reconcile/storage.rs"]
mod storage;
#[path = "reconcile/triggers.rs"]
mod triggers;

use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use aws_sdk_ec2::types::{ResourceType, Tag, TagSpecification};
use fault_injecting_connector::FaultInjectingConnector;
use least_elf::least_elf;
use moto::Moto;
use thumb::aws::{Clients, Reader, Writer};
use thumb::config::Config;
use thumb::stack::Plan;
use thumb::stack::address::Address;
use thumb::stack::change::Action;
use thumb::stack::resources::binary::Binary;
use thumb::stack::resources::{Found, Interrupt};
use thumb::stack::{
    Contents, Desired, Event, Observed, Outcome, Report, Selection, Target, execute, observe, plan_apply, plan_destroy,
    read_launch_options, survey,
};

/// A caller: a stack's configuration and clients that go through a fault-injecting connector.
struct Caller {
    config: Config,
    clients: Clients,
    connector: FaultInjectingConnector,
}

impl Caller {
    async fn new(moto: &Moto, stack: &str, connector: FaultInjectingConnector) -> Self {
        let text = format!("name = \"{stack}\"\n[security_group]\nssh_from = [\"203.0.113.0/24\"]");
        Self::with(moto, &text, connector).await
    }

    async fn with(moto: &Moto, text: &str, connector: FaultInjectingConnector) -> Self {
        let config = Config::parse(text, "thumb.toml").unwrap();
        let clients = Clients::from_sdk(connector.sdk(&moto.endpoint()).await).unwrap();
        Self { config, clients, connector }
    }

    async fn observe(&self) -> Observed {
        observe(&Reader::new(&self.clients), &self.config).await.unwrap()
    }

    async fn plan(&self) -> Plan {
        let reader = Reader::new(&self.clients);
        let (observed, launch_options) =
            tokio::join!(observe(&reader, &self.config), read_launch_options(&reader, &self.config));
        let (observed, launch_options) = (observed.unwrap(), launch_options.unwrap());
        let binary = Binary::load(&executable()).map_err(|failure| failure.to_string());
        let desired = Desired::new(&self.config, &observed, &launch_options, binary, reader.endpoint());
        plan_apply(&self.config, &desired, &observed, &Selection::default())
    }

    async fn execute(&self, plan: &Plan) -> (Report, Vec<String>) {
        let said = Mutex::new(Vec::new());
        let tell = |event: Event<'_>| {
            if let Event::Waiting { address, why } = event {
                said.lock().unwrap().push(format!("{address}: {why}"));
            }
        };
        let writer = Writer { clients: self.clients.clone() };
        let report = execute(plan, &writer, &tell, &Interrupt::new()).await;
        (report, said.into_inner().unwrap())
    }

    async fn apply(&self) -> (Report, Vec<String>) {
        self.execute(&self.plan().await).await
    }

    async fn destroy(&self) -> Report {
        let plan = plan_destroy(&self.config, &self.observe().await, &Contents::default(), &Selection::default());
        self.execute(&plan).await.0
    }

    /// Everything there, as declared, once.
    async fn assert_applied(&self, when: &str) {
        let plan = self.plan().await;
        assert!(plan.is_empty(), "{when}: {plan:#?}");
        assert_eq!(self.observe().await.fleet.alive.len(), 1, "{when}");
    }

    /// Nothing there.
    async fn assert_destroyed(&self, when: &str) {
        let plan = plan_destroy(&self.config, &self.observe().await, &Contents::default(), &Selection::default());
        assert!(plan.changes.is_empty(), "{when}: {plan:#?}");
    }
}

/// A file with [`least_elf`].
fn executable() -> PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    // Once: another test may be uploading it.
    PATH.get_or_init(|| {
        let path = std::env::temp_dir().join(format!("thumb-test-{}", std::process::id()));
        std::fs::write(&path, least_elf()).unwrap();
        path
    })
    .clone()
}

fn assert_done(report: &Report) {
    assert!(report.failures.is_empty(), "{:#?}", report.failures);
    assert!(report.outcomes.iter().all(|(.., outcome)| *outcome == Outcome::Done), "{:?}", report.outcomes);
}

#[tokio::test]
async fn apply_apply_destroy_destroy() {
    let moto = Moto::start();
    let caller = Caller::new(&moto, "cats", FaultInjectingConnector::new()).await;
    assert_done(&caller.apply().await.0);
    caller.assert_applied("after apply").await;

    let before = caller.connector.mutating_calls().len();
    assert_done(&caller.apply().await.0);
    assert_eq!(caller.connector.mutating_calls().len(), before, "a second apply changes nothing");

    assert_done(&caller.destroy().await);
    caller.assert_destroyed("after destroy").await;
    assert_done(&caller.destroy().await);
}

#[tokio::test]
async fn a_plan_makes_read_calls_only() {
    let moto = Moto::start();
    let caller = Caller::new(&moto, "cats", FaultInjectingConnector::new()).await;
    caller.plan().await;
    assert_eq!(caller.connector.mutating_calls(), Vec::<String>::new());
    assert!(caller.connector.calls().len() > 10);
}

#[tokio::test]
async fn every_kind_of_change_is_made_and_then_none_is_left() {
    let moto = Moto::start();
    let world = FaultInjectingConnector::new();
    let first = Caller::new(&moto, "cats", world.again()).await;
    assert_done(&first.apply().await.0);
    let instance = first.observe().await.fleet.alive[0].id.clone();

    let changed = r#"
        name = "cats"
        [queue]
        visibility_timeout = "5m"
        retention = "1d"
        max_receives = 5
        [buckets]
        access = "policy"
        sources = ["cmsc389l-public"]
        [profile]
        policies = ["AmazonS3FullAccess"]
        [security_group]
        ssh_from = ["198.51.100.0/24", "2001:db8::/32"]
        [instance]
        type = "t3.small"
        image = "debian-12"
    "#;
    let second = Caller::with(&moto, changed, world.again()).await;
    let plan = second.plan().await;
    let kinds: Vec<Action> = plan.changes.iter().map(|change| change.action).collect();
    assert!(kinds.contains(&Action::Update) && kinds.contains(&Action::Replace), "{kinds:?}");
    assert_done(&second.execute(&plan).await.0);
    second.assert_applied("after the changes").await;
    assert_ne!(second.observe().await.fleet.alive[0].id, instance, "the instance was replaced");

    // And back, to a private bucket this time.
    let third = Caller::with(&moto, "name = \"cats\"\n[buckets]\naccess = \"private\"", world.again()).await;
    assert_done(&third.apply().await.0);
    third.assert_applied("after the changes back").await;
    assert_done(&third.destroy().await);
}

#[tokio::test]
async fn killed_after_any_call_of_an_apply_the_next_one_finishes_the_job() {
    let moto = Moto::start();
    let world = FaultInjectingConnector::new();
    let whole = Caller::new(&moto, "whole", world.again()).await;
    assert_done(&whole.apply().await.0);
    let calls = whole.connector.mutating_calls();
    assert!(calls.len() >= 17, "{calls:?}");
    for cut in 1..=calls.len() {
        let when = format!("killed after call {cut}");
        let stack = format!("cut-{cut}");
        let killed = Caller::new(&moto, &stack, world.again()).await;
        killed.connector.cut_after(cut);
        tokio::select! {
            (report, _) = killed.apply() => panic!("{when}: it ended: {report:?}"),
            () = killed.connector.cut.notified() => {}
        }
        let next = Caller::new(&moto, &stack, world.again()).await;
        assert_done(&next.apply().await.0);
        next.assert_applied(&when).await;
        assert_done(&next.destroy().await);
        next.assert_destroyed(&when).await;
    }
}

#[tokio::test]
async fn killed_after_any_call_of_a_destroy_the_next_one_finishes_the_job() {
    let moto = Moto::start();
    let world = FaultInjectingConnector::new();
    let whole = Caller::new(&moto, "whole", world.again()).await;
    assert_done(&whole.apply().await.0);
    let before = whole.connector.mutating_calls().len();
    assert_done(&whole.destroy().await);
    let calls = whole.connector.mutating_calls().len() - before;
    assert!(calls >= 11, "{calls}");
    for cut in 1..=calls {
        let when = format!("killed after call {cut}");
        let stack = format!("cut-{cut}");
        assert_done(&Caller::new(&moto, &stack, world.again()).await.apply().await.0);
        let killed = Caller::new(&moto, &stack, world.again()).await;
        killed.connector.cut_after(cut);
        tokio::select! {
            report = killed.destroy() => panic!("{when}: it ended: {report:?}"),
            () = killed.connector.cut.notified() => {}
        }
        let next = Caller::new(&moto, &stack, world.again()).await;
        assert_done(&next.destroy().await);
        next.assert_destroyed(&when).await;
    }
}

#[tokio::test]
async fn two_applies_at_once_make_one_stack() {
    let moto = Moto::start();
    let world = FaultInjectingConnector::new();
    let (first, second) =
        (Caller::new(&moto, "cats", world.again()).await, Caller::new(&moto, "cats", world.again()).await);
    // Both have planned before either has made anything.
    let (one, two) = (first.plan().await, second.plan().await);
    let ((one, _), (two, _)) = tokio::join!(first.execute(&one), second.execute(&two));
    assert_done(&one);
    assert_done(&two);
    first.assert_applied("after both").await;
}

#[tokio::test]
async fn what_aws_refuses_for_a_while_is_tried_again_and_said() {
    let moto = Moto::start();
    let caller = Caller::new(&moto, "cats", FaultInjectingConnector::new()).await;
    let profile =
        "Value (cats-worker) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name";
    caller.connector.answer(
        "RunInstances",
        3,
        400,
        FaultInjectingConnector::ec2_error("InvalidParameterValue", profile),
    );
    let deleted = "You must wait 60 seconds after deleting a queue before you can create another with the same name.";
    caller.connector.answer("CreateQueue", 1, 400, FaultInjectingConnector::sqs_error("QueueDeletedRecently", deleted));
    caller.connector.answer(
        "CreateBucket",
        1,
        409,
        FaultInjectingConnector::s3_error("OperationAborted", "A conflicting operation is in progress"),
    );
    caller.connector.answer("CreateRole", 2, 400, FaultInjectingConnector::iam_error("Throttling", "Rate exceeded"));
    caller.connector.answer(
        "CreateSecurityGroup",
        1,
        503,
        FaultInjectingConnector::ec2_error("RequestLimitExceeded", "Request limit exceeded."),
    );
    let (report, said) = caller.apply().await;
    assert_done(&report);
    caller.assert_applied("after the errors").await;
    assert!(
        said.iter().any(|line| line.contains("not allow reusing a deleted queue's name for 60 seconds")),
        "{said:?}"
    );
    assert!(said.iter().any(|line| line.contains("instance.1: waiting for the new instance profile")), "{said:?}");

    caller.connector.answer(
        "DeleteSecurityGroup",
        2,
        400,
        FaultInjectingConnector::ec2_error("DependencyViolation", "has a dependent object"),
    );
    assert_done(&caller.destroy().await);
    caller.assert_destroyed("after the errors").await;
}

#[tokio::test]
async fn what_was_made_by_a_call_whose_answer_was_lost_is_not_made_twice() {
    let moto = Moto::start();
    let world = FaultInjectingConnector::new();
    let first = Caller::new(&moto, "cats", world.again()).await;
    // The plan is from before the stack was there: every create meets what it would create.
    let stale = first.plan().await;
    assert_done(&first.execute(&stale).await.0);
    assert_done(&first.execute(&stale).await.0);
    first.assert_applied("after the second time").await;
}

#[tokio::test]
async fn an_executable_that_changed_since_the_plan_is_not_uploaded() {
    let moto = Moto::start();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), least_elf()).unwrap();
    let text = format!("name = \"cats\"\n[instance]\nbinary = \"{}\"", file.path().display());
    let caller = Caller::with(&moto, &text, FaultInjectingConnector::new()).await;
    let reader = Reader::new(&caller.clients);
    let observed = caller.observe().await;
    let launch_options = read_launch_options(&reader, &caller.config).await.unwrap();
    let binary = Binary::load(file.path()).map_err(|failure| failure.to_string());
    let desired = Desired::new(&caller.config, &observed, &launch_options, binary, None);
    let plan = plan_apply(&caller.config, &desired, &observed, &Selection::of(&[Target::Code]));
    // A build that is writing it again at this moment.
    std::fs::write(file.path(), &least_elf()[..64]).unwrap();
    let (report, _) = caller.execute(&plan).await;
    let failure = report.failures[0].to_string();
    assert!(failure.starts_with("binary: cannot create the binary thumb-"), "{failure}");
    assert!(failure.contains("has 64 bytes, but had 120 when it was planned"), "{failure}");
}

#[tokio::test]
async fn a_failed_step_leaves_the_rest_right_and_names_what_is_missing() {
    let moto = Moto::start();
    let caller = Caller::new(&moto, "cats", FaultInjectingConnector::new()).await;
    let denied = "User: arn:aws:iam::123456789012:user/me is not authorized to perform: iam:CreateRole";
    caller.connector.answer("CreateRole", 1, 403, FaultInjectingConnector::iam_error("AccessDenied", denied));
    let (report, _) = caller.apply().await;
    let failure = report.failures[0].to_string();
    assert!(
        failure.starts_with("role: cannot create the role cats-worker\n  caused by: iam:CreateRole: AccessDenied"),
        "{failure}"
    );
    assert!(failure.contains("hint: missing permission iam:CreateRole"), "{failure}");
    let outcome = |address: &str| {
        report.outcomes.iter().find(|(a, ..)| a.to_string() == address).map(|(.., outcome)| outcome.clone()).unwrap()
    };
    assert_eq!(outcome("queue"), Outcome::Done);
    assert_eq!(outcome("binary"), Outcome::Done);
    assert_eq!(outcome("role"), Outcome::Failed);
    assert_eq!(outcome("instance-profile"), Outcome::Skipped);
    assert_eq!(outcome("instance.1"), Outcome::Skipped);
    assert_done(&caller.apply().await.0);
    caller.assert_applied("after the next apply").await;
}

#[tokio::test]
async fn what_carries_our_name_without_our_tag_is_left_alone() {
    let moto = Moto::start();
    let world = FaultInjectingConnector::new();
    // Another stack has all the names that "cats" would take.
    let names = r#"
        name = "dogs"
        [queue]
        name = "cats"
        dlq = "cats-dlq"
        [buckets]
        thumbnails = "cats-thumbnails-123456789012"
        code = "cats-code-123456789012"
        [profile]
        name = "cats-worker"
        role = "cats-worker"
        [security_group]
        name = "cats-worker"
        [instance]
        count = 0
    "#;
    let dogs = Caller::with(&moto, names, world.again()).await;
    assert_done(&dogs.apply().await.0);
    let cats = Caller::new(&moto, "cats", world.again()).await;
    let plan = cats.plan().await;
    let blocked: Vec<String> =
        plan.changes.iter().filter(|c| c.action == Action::Blocked).map(|c| c.address.to_string()).collect();
    assert_eq!(
        blocked.join(" "),
        "dlq queue bucket.thumbnails bucket.code binary role instance-profile security-group"
    );
    assert!(plan.changes[0].reason.as_ref().unwrap().contains("belongs to the stack \"dogs\""));
    assert_done(&cats.destroy_nothing().await);
    assert!(dogs.plan().await.is_empty(), "untouched");
}

/// Makes by hand, without a tag of ours, something at every address of the stack "cats".
async fn make_by_hand(caller: &Caller) {
    let Clients { sqs, s3, ec2, iam, logs, .. } = &caller.clients;
    logs.create_log_group().log_group_name("/thumb/cats").send().await.unwrap();
    for queue in ["cats", "cats-dlq"] {
        sqs.create_queue().queue_name(queue).send().await.unwrap();
    }
    for bucket in ["cats-thumbnails-123456789012", "cats-code-123456789012"] {
        s3.create_bucket().bucket(bucket).send().await.unwrap();
    }
    let trust = r#"{"Version":"2012-10-17","Statement":[]}"#;
    iam.create_role().role_name("cats-worker").assume_role_policy_document(trust).send().await.unwrap();
    iam.create_instance_profile().instance_profile_name("cats-worker").send().await.unwrap();
    let Ok(vpc) = caller.observe().await.vpc else { panic!("the emulator has a default VPC") };
    let group = ec2.create_security_group().group_name("cats-worker").description("by hand").vpc_id(vpc);
    group.send().await.unwrap();
    let launch_options = read_launch_options(&Reader::new(&caller.clients), &caller.config).await.unwrap();
    let tags = TagSpecification::builder()
        .resource_type(ResourceType::Instance)
        .tags(Tag::builder().key("Name").value("cats-worker-1").build())
        .build();
    let instance = ec2.run_instances().image_id(launch_options.ami.unwrap().id).min_count(1).max_count(1);
    instance.tag_specifications(tags).send().await.unwrap();
}

#[tokio::test]
async fn what_is_nobodys_is_left_alone_at_every_address() {
    let moto = Moto::start();
    let caller = Caller::new(&moto, "cats", FaultInjectingConnector::new()).await;
    make_by_hand(&caller).await;
    let plan = caller.plan().await;
    assert_eq!(plan.summary.blocked, 10, "{plan:#?}");
    let before = caller.connector.mutating_calls().len();
    caller.execute(&plan).await;
    caller.destroy().await;
    assert_eq!(caller.connector.mutating_calls().len(), before, "nothing is touched");

    // All but an instance can be adopted, and is then brought into shape; the instance goes on being a stranger.
    let mut observed = caller.observe().await;
    let adoptable = [
        Address::Dlq,
        Address::Queue,
        Address::ThumbnailsBucket,
        Address::CodeBucket,
        Address::Role,
        Address::InstanceProfile,
        Address::SecurityGroup,
        Address::LogGroup,
    ];
    observed.adopt(&adoptable.map(Target::Resource)).unwrap();
    assert!(observed.adopt(&[Target::Instance]).unwrap_err().to_string().contains("cannot be adopted"));
    let launch_options = read_launch_options(&Reader::new(&caller.clients), &caller.config).await.unwrap();
    let binary = Binary::load(&executable()).map_err(|failure| failure.to_string());
    let desired = Desired::new(&caller.config, &observed, &launch_options, binary, None);
    caller.execute(&plan_apply(&caller.config, &desired, &observed, &Selection::default())).await;
    let plan = caller.plan().await;
    let changes: Vec<_> = plan.changes.iter().filter(|change| change.action != Action::None).collect();
    assert_eq!(changes.len(), 1, "{changes:#?}");
    assert_eq!((changes[0].address, changes[0].action), (Address::Instance(1), Action::Blocked));
}

#[tokio::test]
async fn a_bucket_name_that_somebody_else_owns_is_blocked() {
    let moto = Moto::start();
    let caller = Caller::new(&moto, "cats", FaultInjectingConnector::new()).await;
    caller.connector.answer("HeadBucket", 1, 403, "");
    let plan = caller.plan().await;
    let blocked: Vec<_> = plan.changes.iter().filter(|change| change.action == Action::Blocked).collect();
    assert!(blocked[0].address.to_string().starts_with("bucket."), "{blocked:#?}");
    assert!(blocked[0].reason.as_ref().unwrap().contains("belongs to another account"), "{blocked:#?}");
}

#[tokio::test]
async fn a_bucket_of_a_former_default_name_is_kept_when_thumb_toml_names_it() {
    let moto = Moto::start();
    let world = FaultInjectingConnector::new();
    let former =
        "name = \"cats\"\n[buckets]\nthumbnails = \"cats-thumbnails\"\ncode = \"cats-code\"\n[instance]\ncount = 0";
    let named = Caller::with(&moto, former, world.again()).await;
    assert_done(&named.apply().await.0);

    let today = Caller::with(&moto, "name = \"cats\"\n[instance]\ncount = 0", world.again()).await;
    let destroy = plan_destroy(&today.config, &today.observe().await, &Contents::default(), &Selection::default());
    for plan in [today.plan().await, destroy] {
        for (address, key) in [(Address::ThumbnailsBucket, "thumbnails"), (Address::CodeBucket, "code")] {
            let change = plan.changes.iter().find(|change| change.address == address).unwrap();
            assert_eq!(change.action, Action::Blocked, "{change:#?}");
            let what_to_do = format!("set {key} = \"cats-{key}\" in [buckets] of thumb.toml to keep it");
            assert!(change.reason.as_ref().unwrap().ends_with(&what_to_do), "{change:#?}");
        }
    }

    // Who names the buckets pays for no look at other names, and finds them as they were.
    let heads =
        |connector: &FaultInjectingConnector| connector.calls().iter().filter(|call| *call == "HeadBucket").count();
    let before = heads(&named.connector);
    assert!(named.plan().await.is_empty());
    assert_eq!(heads(&named.connector) - before, 2);

    // Another stack's bucket of that name is nothing to this one.
    let other = Caller::with(
        &moto,
        "name = \"cats\"\nqueue.name = \"dogs\"\n[instance]\ncount = 0",
        FaultInjectingConnector::new(),
    )
    .await;
    let s3 = &other.clients.s3;
    s3.delete_bucket_tagging().bucket("cats-thumbnails").send().await.unwrap();
    let former = other.observe().await.former_buckets;
    assert_eq!(former, [(Address::CodeBucket, "cats-code".to_owned())]);
}

#[tokio::test]
async fn what_is_nobodys_is_adopted_when_the_user_says_so() {
    let moto = Moto::start();
    let caller = Caller::new(&moto, "cats", FaultInjectingConnector::new()).await;
    caller.clients.sqs.create_queue().queue_name("cats").send().await.unwrap();
    let mut observed = caller.observe().await;
    assert!(matches!(observed.queue, Found::Foreign(_)));
    assert!(
        observed
            .adopt(&[Target::Resource(Address::Dlq)])
            .unwrap_err()
            .to_string()
            .contains("no resource with that name exists")
    );
    observed.adopt(&[Target::Queue]).unwrap();
    let launch_options = read_launch_options(&Reader::new(&caller.clients), &caller.config).await.unwrap();
    let binary = Binary::load(&executable()).map_err(|failure| failure.to_string());
    let desired = Desired::new(&caller.config, &observed, &launch_options, binary, None);
    let plan = plan_apply(&caller.config, &desired, &observed, &Selection::of(&[Target::Queue]));
    let queue = plan.changes.iter().find(|change| change.address == Address::Queue).unwrap();
    assert_eq!(queue.action, Action::Update);
    assert!(queue.attributes.iter().any(|attribute| attribute.name == "tags"), "{queue:#?}");
    assert_done(&caller.execute(&plan).await.0);
    assert!(caller.observe().await.queue.ours().is_some());
}

impl Caller {
    /// A destroy that must make no mutating call.
    async fn destroy_nothing(&self) -> Report {
        let before = self.connector.mutating_calls().len();
        let mut report = self.destroy().await;
        assert_eq!(self.connector.mutating_calls().len(), before);
        report.outcomes.retain(|(_, action, _)| *action != Action::Blocked);
        report
    }
}
