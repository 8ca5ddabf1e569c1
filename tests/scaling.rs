//! The Auto Scaling group, in-process, against the emulator that has groups with instances, instance refreshes, and AWS's
//! refusals: its whole life, drift, refreshes that succeed and that fail, the move from and to numbered instances, and a
//! caller who is killed after each call that changes something.

#[path = "support/fault_injecting_connector.rs"]
mod fault_injecting_connector;
#[path = "support/least_elf.rs"]
mod least_elf;
#[path = "support/moto.rs"]
mod moto;

use std::path::PathBuf;
use std::sync::Mutex;

use fault_injecting_connector::FaultInjectingConnector;
use least_elf::least_elf;
use moto::{AT_ONCE, Moto};
use thumb::aws::{Clients, Reader, Writer};
use thumb::config::Config;
use thumb::stack::address::Address;
use thumb::stack::change::Action;
use thumb::stack::resources::binary::Binary;
use thumb::stack::resources::{Found, Interrupt, launch_template, scaling_group};
use thumb::stack::{
    Contents, Desired, Event, Observed, Outcome, Plan, Report, Selection, execute, observe, plan_apply, plan_destroy,
    read_launch_options,
};

/// AWS's rules without its waiting times.
fn strict() -> Moto {
    let settings = ["sqs-queue-deleted-recently.seconds=0", "autoscaling-instance-refresh.warmup=0"];
    Moto::start_strict(&[&AT_ONCE[..], &settings].concat())
}

struct Caller {
    config: Config,
    clients: Clients,
    connector: FaultInjectingConnector,
    binary: PathBuf,
}

impl Caller {
    /// `binary`: what is appended to the executable, so that it is another one.
    async fn new(moto: &Moto, stack: &str, text: &str, binary: &[u8]) -> Self {
        let connector = FaultInjectingConnector::before_strict_server();
        let config = Config::parse(&format!("name = \"{stack}\"\n{text}"), "thumb.toml").unwrap();
        let clients = Clients::from_sdk(connector.sdk(&moto.endpoint()).await).unwrap();
        let (_, path) = tempfile::NamedTempFile::new().unwrap().keep().unwrap();
        std::fs::write(&path, [least_elf(), binary.to_vec()].concat()).unwrap();
        Self { config, clients, connector, binary: path }
    }

    async fn observe(&self) -> Observed {
        observe(&Reader::new(&self.clients), &self.config).await.unwrap()
    }

    async fn group(&self) -> scaling_group::Observed {
        ours(self.observe().await.scaling_group)
    }

    async fn template(&self) -> launch_template::Observed {
        ours(self.observe().await.launch_template)
    }

    async fn plan(&self) -> Plan {
        let reader = Reader::new(&self.clients);
        let (observed, launch_options) =
            tokio::join!(observe(&reader, &self.config), Box::pin(read_launch_options(&reader, &self.config)));
        let (observed, launch_options) = (observed.unwrap(), launch_options.unwrap());
        let binary = Binary::load(&self.binary).map_err(|failure| failure.to_string());
        let desired = Desired::new(&self.config, &observed, &launch_options, binary, reader.endpoint());
        plan_apply(&self.config, &desired, &observed, &Selection::default())
    }

    async fn execute(&self, plan: &Plan) -> (Report, Vec<String>) {
        let said = Mutex::new(Vec::new());
        let tell = |event: Event<'_>| match event {
            Event::Waiting { address, why } => said.lock().unwrap().push(format!("{address}: {why}")),
            Event::Done { change, .. } => said.lock().unwrap().push(format!("{}: done", change.address)),
            _ => {}
        };
        let writer = Writer { clients: self.clients.clone() };
        let report = Box::pin(execute(plan, &writer, &tell, &Interrupt::new())).await;
        (report, said.into_inner().unwrap())
    }

    /// Applies, and what was said meanwhile.
    async fn apply(&self) -> Vec<String> {
        let (report, said) = self.execute(&self.plan().await).await;
        assert_done(&report);
        said
    }

    async fn apply_and_be_done(&self, when: &str) -> Vec<String> {
        let said = self.apply().await;
        self.assert_applied(when).await;
        said
    }

    async fn assert_applied(&self, when: &str) {
        let plan = self.plan().await;
        assert!(plan.is_empty() && !plan.has_steps(), "{when}: {plan:#?}");
    }

    async fn destroy(&self) {
        let plan = plan_destroy(&self.config, &self.observe().await, &Contents::default(), &Selection::default());
        assert_done(&self.execute(&plan).await.0);
        let left = plan_destroy(&self.config, &self.observe().await, &Contents::default(), &Selection::default());
        assert!(left.changes.is_empty(), "{left:#?}");
    }

    /// The binaries in the code bucket.
    async fn binaries(&self) -> usize {
        self.observe().await.binaries.len()
    }

    async fn set_desired(&self, desired: i32) {
        let request = self.clients.autoscaling.set_desired_capacity().auto_scaling_group_name(self.group_name());
        request.desired_capacity(desired).send().await.unwrap();
        for _ in 0..100 {
            if self.group().await.members.iter().filter(|member| member.is_in_service()).count() == desired as usize {
                return;
            }
        }
        panic!("{:#?}", self.group().await);
    }

    fn group_name(&self) -> String {
        scaling_group::name(&self.config.name)
    }
}

fn ours<T>(found: Found<T>) -> T {
    match found {
        Found::Ours(found) => found,
        _ => panic!("it is not there"),
    }
}

fn assert_done(report: &Report) {
    assert!(report.failures.is_empty(), "{:#?}", report.failures);
    assert!(report.outcomes.iter().all(|(.., outcome)| *outcome == Outcome::Done), "{:?}", report.outcomes);
}

/// The attributes that a plan changes at an address.
fn changed(plan: &Plan, address: Address) -> Vec<&str> {
    let change = plan.changes.iter().find(|change| change.address == address).unwrap();
    change.attributes.iter().map(|attribute| attribute.name.as_str()).collect()
}

const TYPES: &str = "types = [\"c5.large\", \"m5.large\"]";

#[tokio::test]
async fn the_life_of_a_group() {
    let moto = strict();
    let scaling = format!("[scaling]\nmin = 1\nmax = 4\n{TYPES}");
    let caller = Caller::new(&moto, "cats", &scaling, b"1").await;
    let plan = caller.plan().await;
    assert!(plan.changes.iter().all(|change| change.action == Action::Create), "{plan:#?}");
    let (report, said) = caller.execute(&plan).await;
    assert_done(&report);
    assert!(said.iter().any(|line| line == "scaling-group: done"), "{said:?}");
    caller.assert_applied("after the first apply").await;
    let group = caller.group().await;
    assert_eq!((group.min, group.max, group.desired, group.members.len()), (1, 4, 1, 1));
    assert!(caller.observe().await.fleet.alive.is_empty(), "a group's instance has no number");

    // Scaled out by a policy or by hand: thumb leaves it.
    caller.set_desired(3).await;
    caller.assert_applied("scaled out").await;

    // Somebody has changed it.
    let drift = caller.clients.autoscaling.update_auto_scaling_group().auto_scaling_group_name(caller.group_name());
    drift.min_size(0).max_size(9).send().await.unwrap();
    let plan = caller.plan().await;
    assert_eq!(changed(&plan, Address::ScalingGroup), ["min", "max"]);
    assert_done(&caller.execute(&plan).await.0);
    caller.assert_applied("after the drift").await;

    // Other types and On-Demand: for new instances, without a refresh.
    let scaling = "[scaling]\nmin = 1\nmax = 4\nspot = false\ntypes = [\"m5.large\", \"c5.large\", \"r5.large\"]";
    let other = Caller::new(&moto, "cats", scaling, b"1").await;
    let plan = other.plan().await;
    assert_eq!(changed(&plan, Address::ScalingGroup), ["capacity_rebalance", "types", "purchase"]);
    let before = other.group().await;
    assert_done(&other.execute(&plan).await.0);
    other.assert_applied("after the change of types").await;
    assert_eq!(other.group().await.members, before.members);
    assert_eq!(other.group().await.desired, 3);

    // A new program, and the declaration before: both versions by a refresh.
    let newer = Caller::new(&moto, "cats", &scaling_text(), b"2").await;
    let said = newer.apply_and_be_done("after a new program").await;
    assert!(said.iter().any(|line| line.contains("an instance refresh toward version 2 replaces")), "{said:?}");
    let group = newer.group().await;
    assert_eq!((group.desired, group.launching.version()), (3, Some(2)));
    assert!(group.members.iter().all(|member| member.version == Some(2)), "{group:#?}");
    assert_eq!(newer.binaries().await, 1, "the old program has gone after the refresh");

    // Back again: that version is still there, and is used again.
    let caller = Caller::new(&moto, "cats", &scaling_text(), b"1").await;
    caller.apply_and_be_done("after going back").await;
    assert_eq!(caller.group().await.launching.version(), Some(1));
    assert_eq!(caller.template().await.versions.len(), 2);

    // Old versions do not pile up.
    for binary in [b"3", b"4", b"5"] {
        Caller::new(&moto, "cats", &scaling_text(), binary).await.apply_and_be_done("after one more").await;
    }
    let versions: Vec<i64> = caller.template().await.versions.iter().map(|version| version.number).collect();
    assert_eq!(versions, [5, 4, 3, 1], "three, and the default one");
    caller.destroy().await;
}

fn scaling_text() -> String {
    format!("[scaling]\nmin = 1\nmax = 4\n{TYPES}")
}

#[tokio::test]
async fn a_group_takes_over_from_numbered_instances_and_back_without_a_gap() {
    let moto = strict();
    let numbered = Caller::new(&moto, "cats", "[instance]\ncount = 2", b"1").await;
    numbered.apply_and_be_done("numbered").await;
    let scaled = Caller::new(&moto, "cats", &scaling_text(), b"1").await;
    let plan = scaled.plan().await;
    let (report, said) = scaled.execute(&plan).await;
    assert_done(&report);
    let at = |what: &str| said.iter().position(|line| line == what).unwrap_or_else(|| panic!("{what}: {said:?}"));
    assert!(at("scaling-group: done") < at("instance.1: done").min(at("instance.2: done")), "{said:?}");
    scaled.assert_applied("scaled").await;
    assert_eq!(scaled.group().await.desired, 2, "as many as there were");

    let plan = numbered.plan().await;
    let (report, said) = numbered.execute(&plan).await;
    assert_done(&report);
    let at = |what: &str| said.iter().position(|line| line == what).unwrap_or_else(|| panic!("{what}: {said:?}"));
    assert!(at("instance.1: done").max(at("instance.2: done")) < at("scaling-group: done"), "{said:?}");
    numbered.assert_applied("numbered again").await;
    assert!(matches!(numbered.observe().await.scaling_group, Found::Absent));
    numbered.destroy().await;
}

#[tokio::test]
async fn a_refresh_that_fails_is_rolled_back_and_named_and_the_next_one_succeeds() {
    let moto = strict();
    let first = Caller::new(&moto, "cats", &scaling_text(), b"1").await;
    first.apply_and_be_done("at first").await;
    let keyed = format!("{}\n[instance]\nkey_pair = \"me\"", scaling_text());
    let newer = Caller::new(&moto, "cats", &keyed, b"2").await;
    let (ec2, autoscaling) = (&newer.clients.ec2, &newer.clients.autoscaling);
    ec2.create_key_pair().key_name("me").send().await.unwrap();
    // The refresh has begun, and cannot launch yet, when its key pair goes.
    let launch = "Launch";
    let suspend = autoscaling.suspend_processes().auto_scaling_group_name("cats-workers").scaling_processes(launch);
    suspend.send().await.unwrap();
    killed_after(&moto, "StartInstanceRefresh", b"2", &keyed).await;
    let plan = newer.plan().await;
    let group = plan.changes.iter().find(|change| change.address == Address::ScalingGroup).unwrap();
    let running = "an instance refresh toward version 2 is running (100 %)";
    assert_eq!(group.reason.as_deref(), Some(running), "{:?}", plan.notes);
    ec2.delete_key_pair().key_name("me").send().await.unwrap();
    let resume = autoscaling.resume_processes().auto_scaling_group_name("cats-workers").scaling_processes(launch);
    resume.send().await.unwrap();
    let (report, said) = newer.execute(&plan).await;
    assert!(said.iter().any(|line| line.ends_with("is running already")), "it is joined: {said:?}");
    assert_eq!(report.failures.len(), 1, "{:#?}", report.failures);
    insta::assert_snapshot!(report.failures[0].to_string());
    assert_eq!(newer.binaries().await, 2, "the instances still need the old program");
    assert_eq!(newer.group().await.launching.version(), Some(1));

    ec2.create_key_pair().key_name("me").send().await.unwrap();
    let plan = newer.plan().await;
    let note = "The last instance refresh of cats-workers ended as RollbackSuccessful toward version 2.";
    assert!(plan.notes.iter().any(|said| said == note), "{:?}", plan.notes);
    newer.apply_and_be_done("mended").await;
    assert_eq!((newer.binaries().await, newer.group().await.launching.version()), (1, Some(2)));
    newer.destroy().await;
}

#[tokio::test]
async fn killed_after_any_call_about_a_group_the_next_apply_finishes_the_job() {
    let moto = strict();
    let create = ["CreateLaunchTemplate", "CreateAutoScalingGroup", "EnableMetricsCollection"];
    for call in create {
        killed_after(&moto, call, b"1", &scaling_text()).await;
        Caller::new(&moto, "cats", &scaling_text(), b"1").await.apply_and_be_done(call).await;
        killed_in_destroy_after(&moto, "DeleteAutoScalingGroup").await;
        Caller::new(&moto, "cats", &scaling_text(), b"1").await.destroy().await;
    }
    let first = Caller::new(&moto, "cats", &scaling_text(), b"1").await;
    first.apply_and_be_done("at first").await;
    // Each with a program of its own, so that every call is made.
    let mut program = 1;
    for call in ["CreateLaunchTemplateVersion", "StartInstanceRefresh", "UpdateAutoScalingGroup", "DeleteObjects"] {
        program += 1;
        let text = format!("[scaling]\nmin = 1\nmax = {}\n{TYPES}", 3 + program);
        killed_after(&moto, call, &[program], &text).await;
        let next = Caller::new(&moto, "cats", &text, &[program]).await;
        next.apply_and_be_done(call).await;
        assert_eq!(next.binaries().await, 1, "{call}");
    }
    killed_in_destroy_after(&moto, "DeleteLaunchTemplate").await;
    first.destroy().await;
}

/// An apply that is killed after its first call of this operation.
async fn killed_after(moto: &Moto, operation: &str, binary: &[u8], text: &str) {
    let caller = Caller::new(moto, "cats", text, binary).await;
    let plan = caller.plan().await;
    caller.connector.cut_after_operation(operation);
    tokio::select! {
        (report, _) = caller.execute(&plan) => panic!("{operation}: it ended: {report:?}"),
        () = caller.connector.cut.notified() => {}
    }
}

async fn killed_in_destroy_after(moto: &Moto, operation: &str) {
    let caller = Caller::new(moto, "cats", &scaling_text(), b"1").await;
    let plan = plan_destroy(&caller.config, &caller.observe().await, &Contents::default(), &Selection::default());
    caller.connector.cut_after_operation(operation);
    tokio::select! {
        (report, _) = caller.execute(&plan) => panic!("{operation}: it ended: {report:?}"),
        () = caller.connector.cut.notified() => {}
    }
}
