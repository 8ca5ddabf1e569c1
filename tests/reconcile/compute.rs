//! Queues and instances: client tokens, waits, copies, and the rights that are missing.

use aws_sdk_ec2::types::{Filter, InstanceStateName};
use aws_sdk_s3::primitives::ByteStream;
use thumb::stack::resources::instance::{InstanceRequest, Wait};
use thumb::worker_report::{self, Counts, Memory, State, VERSION, WorkerReport};

use super::*;

impl Caller {
    async fn plan_requested(&self, asked: InstanceRequest) -> Plan {
        let reader = Reader::new(&self.clients);
        let (observed, launch_options) = survey(&reader, &self.config).await.unwrap();
        let binary = Binary::load(&executable()).map_err(|failure| failure.to_string());
        let desired = Desired::new(&self.config, &observed, &launch_options, binary, reader.endpoint());
        plan_apply(&self.config, &Desired { asked, ..desired }, &observed, &Selection::default())
    }

    /// IDs of the instances that run, whosever they are.
    async fn running(&self) -> Vec<String> {
        let states = Filter::builder().name("instance-state-name").values("running").build();
        let out = self.clients.ec2.describe_instances().filters(states).send().await.unwrap();
        let instances = out.reservations().iter().flat_map(|reservation| reservation.instances());
        instances.filter_map(|instance| instance.instance_id.clone()).collect()
    }

    /// What a worker puts when it has found its queue.
    async fn report(&self, id: &str) {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let report = WorkerReport {
            version: VERSION,
            id: id.into(),
            thumb: "0.1.0".into(),
            binary: None,
            config: "0123456789abcdef".into(),
            state: State::Started,
            started_s: now,
            last_seen_s: now,
            counts: Counts::default(),
            memory: Memory::default(),
        };
        let put = self.clients.s3.put_object().bucket("cats-code-123456789012").key(worker_report::key(id));
        put.body(ByteStream::from(report.to_json().into_bytes())).send().await.unwrap();
    }
}

const ONE: &str = "name = \"cats\"\n[instance]\ncount = 1\n";
const NONE: &str = "name = \"cats\"\n[instance]\ncount = 0\n";

#[tokio::test]
async fn a_stack_that_is_down_in_the_evening_is_up_in_the_morning() {
    let moto = Moto::start();
    let world = FaultInjectingConnector::new();
    let (day, night) = (Caller::with(&moto, ONE, world.again()).await, Caller::with(&moto, NONE, world.again()).await);
    for morning in 1..=3 {
        assert_done(&day.apply().await.0);
        assert_eq!(day.observe().await.fleet.alive.len(), 1, "morning {morning}");
        assert_done(&night.apply().await.0);
        assert_eq!(day.running().await, Vec::<String>::new());
        // EC2 lists terminated instances for an hour; their tokens stay spent for a day.
        world.forget_terminated();
        assert!(day.observe().await.fleet.dead.is_empty());
    }
    // Two applies at once in the fourth morning still make one instance.
    let second = Caller::with(&moto, ONE, world.again()).await;
    let (one, two) = (day.plan().await, second.plan().await);
    let ((one, _), (two, _)) = tokio::join!(day.execute(&one), second.execute(&two));
    assert_done(&one);
    assert_done(&two);
    assert_eq!(day.running().await.len(), 1);
}

#[tokio::test]
async fn the_old_instance_goes_after_the_new_ones_first_report() {
    let moto = Moto::start();
    let world = FaultInjectingConnector::new();
    let caller = Caller::with(&moto, ONE, world.again()).await;
    assert_done(&caller.apply().await.0);
    let old = caller.running().await.remove(0);
    let asked = InstanceRequest { replace: [1].into(), wait: Wait::ForReplacements };
    let plan = caller.plan_requested(asked).await;
    let worker = async {
        let new = loop {
            let running = caller.running().await;
            assert!(running.contains(&old), "it works until the other one does");
            if let Some(new) = running.into_iter().find(|id| *id != old) {
                break new;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        caller.report(&new).await;
        new
    };
    let ((report, said), new) = tokio::join!(caller.execute(&plan), worker);
    assert_done(&report);
    assert_eq!(caller.running().await, std::slice::from_ref(&new));
    let waits =
        format!("instance.1: waiting until the worker on {new} reports that it takes messages (up to 10 minutes)");
    assert!(said.iter().any(|line| line.starts_with(&waits)) || said.len() < 2, "{said:?}");
    let running = &report.facts.running[&1];
    assert_eq!((running.id.as_str(), running.reported), (new.as_str(), true));
    assert_eq!(report.facts.terminated, [old]);
}

#[tokio::test]
async fn an_interrupt_leaves_both_instances_and_the_next_apply_goes_on_waiting() {
    let moto = Moto::start();
    let world = FaultInjectingConnector::new();
    let caller = Caller::with(&moto, ONE, world.again()).await;
    assert_done(&caller.apply().await.0);
    let old = caller.running().await.remove(0);
    let waiting = InstanceRequest { replace: [1].into(), wait: Wait::ForReplacements };
    let plan = caller.plan_requested(waiting).await;
    let interrupt = Interrupt::new();
    let tell = |event: Event<'_>| {
        if matches!(&event, Event::Waiting { why, .. } if why.contains("first report of the worker")) {
            interrupt.raise();
        }
    };
    let writer = Writer { clients: caller.clients.clone() };
    let report = execute(&plan, &writer, &tell, &interrupt).await;
    assert!(report.interrupted && report.failures.is_empty(), "{report:?}");
    let outcome = report.outcomes.iter().find(|(address, ..)| *address == Address::Instance(1)).unwrap();
    assert_eq!(outcome.2, Outcome::NotDone);
    assert_eq!(caller.running().await.len(), 2, "the old one works on");

    let plan =
        caller.plan_requested(InstanceRequest { wait: Wait::ForReplacements, ..InstanceRequest::default() }).await;
    assert_eq!((plan.summary.update, plan.summary.replace), (1, 0), "{plan:#?}");
    let new = report.facts.running[&1].id.clone();
    caller.report(&new).await;
    assert_done(&caller.execute(&plan).await.0);
    assert_eq!(caller.running().await, [new]);
    assert!(!caller.running().await.contains(&old));
}

#[tokio::test]
async fn what_was_copied_with_our_tags_is_not_ours() {
    let moto = Moto::start();
    let world = FaultInjectingConnector::new();
    let caller = Caller::with(&moto, ONE, world.again()).await;
    assert_done(&caller.apply().await.0);
    let ours = caller.running().await;
    let launch_options = read_launch_options(&Reader::new(&caller.clients), &caller.config).await.unwrap();
    let image = launch_options.ami.unwrap().id;
    let copy = async |tags: &[(&str, &str)], user_data: &str| {
        let tags = tags.iter().map(|(key, value)| Tag::builder().key(*key).value(*value).build()).collect();
        let tags = TagSpecification::builder().resource_type(ResourceType::Instance).set_tags(Some(tags)).build();
        let run = caller.clients.ec2.run_instances().image_id(&image).min_count(1).max_count(1);
        let run = run.user_data(aws_smithy_types::base64::encode(user_data)).tag_specifications(tags);
        let out = run.client_token(user_data.len().to_string()).send().await.unwrap();
        out.instances()[0].instance_id.clone().unwrap()
    };
    let restored = copy(&[("thumb:stack", "cats"), ("thumb:instance", "1")], "#!/bin/sh\n").await;
    let unnumbered = copy(&[("thumb:stack", "cats")], "#!/bin/sh\necho\n").await;

    let plan = caller.plan().await;
    assert!(plan.is_empty(), "{plan:#?}");
    for id in [&restored, &unnumbered] {
        assert!(plan.notes.iter().any(|note| note.contains(id.as_str())), "{:?}", plan.notes);
    }
    // Down to none: ours goes, and nothing else.
    let none = Caller::with(&moto, NONE, world.again()).await;
    assert_done(&none.apply().await.0);
    let mut left = none.running().await;
    left.sort();
    let mut expected = [restored, unnumbered];
    expected.sort();
    assert_eq!(left, expected);
    let describe = none.clients.ec2.describe_instances().instance_ids(&ours[0]).send().await.unwrap();
    let state = describe.reservations()[0].instances()[0].state().and_then(|state| state.name()).cloned();
    assert_eq!(state, Some(InstanceStateName::Terminated));
}

#[tokio::test]
async fn an_instance_that_ec2_does_not_know_everywhere_yet_is_not_replaced() {
    let moto = Moto::start();
    let caller = Caller::with(&moto, ONE, FaultInjectingConnector::new()).await;
    assert_done(&caller.apply().await.0);
    let not_found =
        FaultInjectingConnector::ec2_error("InvalidInstanceID.NotFound", "The instance ID 'i-1' does not exist");
    caller.connector.answer("DescribeInstanceAttribute", 1, 400, not_found.clone());
    caller.connector.answer("DescribeInstanceCreditSpecifications", 1, 400, not_found);
    let plan = caller.plan().await;
    assert!(plan.is_empty(), "{plan:#?}");
    assert!(plan.notes.iter().any(|note| note.contains("does not return the user data")), "{:?}", plan.notes);
}

#[tokio::test]
async fn all_rights_that_are_missing_are_named_at_once() {
    let moto = Moto::start();
    let caller = Caller::with(&moto, ONE, FaultInjectingConnector::new()).await;
    assert_done(&caller.apply().await.0);
    let denied = |action: &str| {
        format!(
            "User: me is not authorized to perform: {action} because no identity-based policy allows the {action} action"
        )
    };
    let connector = &caller.connector;
    connector.answer(
        "GetQueueAttributes",
        2,
        403,
        FaultInjectingConnector::sqs_error("AccessDeniedException", &denied("sqs:getqueueattributes")),
    );
    connector.answer(
        "ListQueueTags",
        2,
        403,
        FaultInjectingConnector::sqs_error("AccessDeniedException", &denied("sqs:listqueuetags")),
    );
    connector.answer("GetBucketTagging", 2, 403, FaultInjectingConnector::s3_error("AccessDenied", "Access Denied"));
    connector.answer("GetRole", 1, 403, FaultInjectingConnector::iam_error("AccessDenied", &denied("iam:GetRole")));
    connector.answer(
        "ListRolePolicies",
        1,
        403,
        FaultInjectingConnector::iam_error("AccessDenied", &denied("iam:ListRolePolicies")),
    );
    let scp = "You are not authorized to perform this operation. User: me is not authorized to perform: \
               ec2:DescribeImages with an explicit deny in a service control policy";
    connector.answer("DescribeImages", 1, 403, FaultInjectingConnector::ec2_error("UnauthorizedOperation", scp));
    let failure = survey(&Reader::new(&caller.clients), &caller.config).await.unwrap_err().to_string();
    assert_eq!(
        failure,
        "cannot read the account: 6 missing permissions: ec2:DescribeImages, iam:GetRole, iam:ListRolePolicies, \
         s3:GetBucketTagging, sqs:GetQueueAttributes, sqs:ListQueueTags\n  \
         caused by: denied without a reason: s3:GetBucketTagging\n  \
         caused by: no identity-based policy allows: iam:GetRole, iam:ListRolePolicies, sqs:GetQueueAttributes, \
         sqs:ListQueueTags\n  \
         caused by: an explicit deny in a service control policy forbids: ec2:DescribeImages\n  \
         hint: `thumb policy plan` prints the policy that these credentials need, for your AWS administrator"
    );
}

#[tokio::test]
async fn a_right_that_a_call_takes_along_is_named_and_not_the_call() {
    let moto = Moto::start();
    let caller = Caller::with(&moto, ONE, FaultInjectingConnector::new()).await;
    let denied = |action: &str| format!("User: me is not authorized to perform: {action} on resource: x");
    caller.connector.answer(
        "RunInstances",
        1,
        403,
        FaultInjectingConnector::ec2_error("UnauthorizedOperation", &denied("iam:PassRole")),
    );
    let (report, _) = caller.apply().await;
    let failure = report.failures[0].to_string();
    assert!(failure.contains("hint: missing permission iam:PassRole; ask your AWS administrator"), "{failure}");
    assert_eq!(report.missing_permissions, ["iam:PassRole".to_owned()].into());
}

#[tokio::test]
async fn what_was_made_is_known_without_another_read() {
    let moto = Moto::start();
    let caller = Caller::with(&moto, ONE, FaultInjectingConnector::new()).await;
    let (report, _) = caller.apply().await;
    assert_done(&report);
    let urls: Vec<&str> = report.facts.queue_urls.values().map(String::as_str).collect();
    assert!(urls.len() == 2 && urls[0].ends_with("/cats-dlq") && urls[1].ends_with("/cats"), "{urls:?}");
    assert_eq!(report.facts.running[&1].id, caller.running().await[0]);
}
