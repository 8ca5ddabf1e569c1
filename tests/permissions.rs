//! `thumb policy` against the calls that are made: each of them is allowed, and nothing is allowed that is never done.

#[path = "support/fault_injecting_connector.rs"]
mod fault_injecting_connector;
#[path = "support/least_elf.rs"]
mod least_elf;
#[path = "support/moto.rs"]
mod moto;

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use fault_injecting_connector::FaultInjectingConnector;
use moto::{ACCOUNT, Moto};
use serde_json::Value;
use thumb::aws::{Clients, QueueCounts, Reader, Writer};
use thumb::config::Config;
use thumb::dlq;
use thumb::enqueue::{Place, Progress, Sources, enqueue};
use thumb::request::{Request, Wanted};
use thumb::stack::Plan;
use thumb::stack::permissions::{Command, policy};
use thumb::stack::resources::Interrupt;
use thumb::stack::resources::binary::Binary;
use thumb::stack::resources::bucket::count_objects;
use thumb::stack::resources::policy::AwsLocation;
use thumb::stack::{Contents, Desired, Selection, execute, observe, plan_apply, plan_destroy, read_launch_options};
use thumb::status::{self, Basis};
use thumb::tracking::{self, Places, Tracked, s3_now, track};
use thumb::worker::{Work, queue_url, work};

/// What a call needs, by the "Service Authorization Reference": the actions of the call itself, and those that it needs
/// beside them for its tags and for the role that it passes on.
fn actions(operation: &str, subject: &str) -> Vec<String> {
    const NAMED_OTHERWISE: [(&str, &[&str]); 32] = [
        // Allowed to everybody, whatever the policies say.
        ("GetCallerIdentity", &[]),
        ("HeadBucket", &["s3:ListBucket"]),
        ("ListObjectsV2", &["s3:ListBucket"]),
        ("ListObjectVersions", &["s3:ListBucketVersions"]),
        ("ListMultipartUploads", &["s3:ListBucketMultipartUploads"]),
        ("GetPublicAccessBlock", &["s3:GetBucketPublicAccessBlock"]),
        ("PutPublicAccessBlock", &["s3:PutBucketPublicAccessBlock"]),
        ("DeleteObjects", &["s3:DeleteObject", "s3:DeleteObjectVersion"]),
        ("HeadObject", &["s3:GetObject"]),
        ("CreateBucket", &["s3:CreateBucket", "s3:TagResource"]),
        ("SendMessage", &["sqs:SendMessage"]),
        ("SendMessageBatch", &["sqs:SendMessage"]),
        ("ReceiveMessage", &["sqs:ReceiveMessage"]),
        ("DeleteMessage", &["sqs:DeleteMessage"]),
        ("DeleteMessageBatch", &["sqs:DeleteMessage"]),
        ("ChangeMessageVisibility", &["sqs:ChangeMessageVisibility"]),
        ("ChangeMessageVisibilityBatch", &["sqs:ChangeMessageVisibility"]),
        ("GetBucketNotificationConfiguration", &["s3:GetBucketNotification"]),
        ("PutBucketNotificationConfiguration", &["s3:PutBucketNotification"]),
        ("StartMessageMoveTask", &["sqs:StartMessageMoveTask"]),
        ("ListMessageMoveTasks", &["sqs:ListMessageMoveTasks"]),
        ("CreateQueue", &["sqs:CreateQueue", "sqs:TagQueue"]),
        ("PutDashboard", &["cloudwatch:PutDashboard", "cloudwatch:TagResource"]),
        ("CreateTopic", &["sns:CreateTopic", "sns:TagResource"]),
        ("CreateLogGroup", &["logs:CreateLogGroup", "logs:TagResource"]),
        ("CreateRole", &["iam:CreateRole", "iam:TagRole"]),
        ("CreateInstanceProfile", &["iam:CreateInstanceProfile", "iam:TagInstanceProfile"]),
        ("AddRoleToInstanceProfile", &["iam:AddRoleToInstanceProfile", "iam:PassRole"]),
        ("CreateSecurityGroup", &["ec2:CreateSecurityGroup", "ec2:CreateTags"]),
        ("RunInstances", &["ec2:RunInstances", "ec2:CreateTags", "iam:PassRole"]),
        ("CreateLaunchTemplate", &["ec2:CreateLaunchTemplate", "ec2:CreateTags"]),
        // It launches with the caller's rights (Auto Scaling user guide, "Launch template support").
        (
            "CreateAutoScalingGroup",
            &["autoscaling:CreateAutoScalingGroup", "ec2:RunInstances", "ec2:CreateTags", "iam:PassRole"],
        ),
    ];
    if let Some((_, actions)) = NAMED_OTHERWISE.iter().find(|(name, _)| *name == operation) {
        return actions.iter().map(ToString::to_string).collect();
    }
    let has = |parts: &[&str]| parts.iter().any(|part| operation.contains(part));
    let service = match operation {
        _ if subject.starts_with("topic/") => "sns",
        // CloudWatch has operations of the same names. This one takes a prefix, and so is about all groups.
        "DescribeLogGroups" => "logs",
        _ if subject.starts_with("log-group/") => "logs",
        "DescribeIamInstanceProfileAssociations" => "ec2",
        "ListTagsForResource" | "TagResource" | "UntagResource" => "cloudwatch",
        "EnableMetricsCollection" | "CreateOrUpdateTags" => "autoscaling",
        "DescribePolicies" | "DeletePolicy" => "autoscaling",
        _ if has(&["AutoScaling", "InstanceRefresh", "Scaling"]) => "autoscaling",
        _ if has(&["Alarm", "MetricData", "Dashboard"]) => "cloudwatch",
        _ if has(&["Queue"]) => "sqs",
        _ if has(&["Bucket", "Object", "MultipartUpload"]) => "s3",
        _ if has(&["Role", "InstanceProfile"]) || operation == "GetPolicy" => "iam",
        _ => "ec2",
    };
    vec![format!("{service}:{operation}")]
}

/// The ARN of a subject, where an action is about it.
fn arn(subject: &str, action: &str) -> String {
    let (kind, name) = subject.split_once('/').unwrap_or_default();
    match (kind, action) {
        // The role that is passed on is not the call's own subject.
        (_, "iam:PassRole") => format!("arn:aws:iam::{ACCOUNT}:role/cats-worker"),
        // It takes a prefix of names.
        ("log-group", "logs:DescribeLogGroups") => "*".to_owned(),
        // They take no resource.
        ("topic", "sns:SetSubscriptionAttributes" | "sns:Unsubscribe" | "sns:GetSubscriptionAttributes") => {
            "*".to_owned()
        }
        ("topic", _) => format!("arn:aws:sns:us-east-1:{ACCOUNT}:{name}"),
        ("log-group", "logs:CreateLogStream" | "logs:PutLogEvents") => {
            format!("arn:aws:logs:us-east-1:{ACCOUNT}:log-group:{name}:log-stream:i-1")
        }
        ("log-group", _) => format!("arn:aws:logs:us-east-1:{ACCOUNT}:log-group:{name}"),
        ("queue", _) => format!("arn:aws:sqs:us-east-1:{ACCOUNT}:{name}"),
        ("bucket", _) => format!("arn:aws:s3:::{name}"),
        ("role" | "instance-profile", _) => format!("arn:aws:iam::{ACCOUNT}:{subject}"),
        _ => String::new(),
    }
}

/// Whether a policy allows an action on a resource; conditions count as met. An empty resource is EC2's: any will do.
fn allows(policy: &Value, action: &str, resource: &str) -> bool {
    let texts = |value: &Value| -> Vec<String> {
        let one = value.as_str().map(str::to_owned);
        one.into_iter()
            .chain(value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned))
            .collect()
    };
    policy["Statement"].as_array().unwrap().iter().any(|statement| {
        texts(&statement["Action"]).iter().any(|allowed| {
            allowed == action || allowed.strip_suffix('*').is_some_and(|start| action.starts_with(start))
        }) && texts(&statement["Resource"]).iter().any(|pattern| {
            let prefix = pattern.strip_suffix('*');
            resource.is_empty() || prefix.map_or(pattern == resource, |prefix| resource.starts_with(prefix))
        })
    })
}

fn all_actions(policy: &Value) -> BTreeSet<String> {
    let statements = policy["Statement"].as_array().unwrap().iter();
    let actions = statements.flat_map(|statement| match &statement["Action"] {
        Value::Array(actions) => actions.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        one => vec![one.as_str().unwrap().to_owned()],
    });
    actions.collect()
}

struct Caller {
    config: Config,
    clients: Clients,
    connector: FaultInjectingConnector,
}

impl Caller {
    async fn new(moto: &Moto, text: &str, world: &FaultInjectingConnector) -> Self {
        let connector = world.again();
        let config = Config::parse(text, "thumb.toml").unwrap();
        let clients = Clients::from_sdk(connector.sdk(&moto.endpoint()).await).unwrap();
        Self { config, clients, connector }
    }

    async fn plan(&self) -> Plan {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), least_elf::least_elf()).unwrap();
        let (_, path) = file.keep().unwrap();
        let reader = Reader::new(&self.clients);
        let (observed, launch_options) =
            tokio::join!(observe(&reader, &self.config), read_launch_options(&reader, &self.config));
        let (observed, launch_options) = (observed.unwrap(), launch_options.unwrap());
        let binary = Binary::load(&path).map_err(|failure| failure.to_string());
        let desired = Desired::new(&self.config, &observed, &launch_options, binary, None);
        plan_apply(&self.config, &desired, &observed, &Selection::default())
    }

    async fn plan_destroy(&self) -> Plan {
        let reader = Reader::new(&self.clients);
        let observed = observe(&reader, &self.config).await.unwrap();
        for bucket in [self.config.thumbnails_bucket(ACCOUNT), self.config.code_bucket(ACCOUNT)] {
            count_objects(&reader, ACCOUNT, &bucket, |_| false).await.unwrap();
        }
        plan_destroy(&self.config, &observed, &Contents::default(), &Selection::default())
    }

    async fn run(&self, plan: &Plan) {
        let writer = Writer { clients: self.clients.clone() };
        let report = execute(plan, &writer, &|_| {}, &Interrupt::new()).await;
        assert!(report.failures.is_empty(), "{:#?}", report.failures);
    }

    fn policy(&self, command: Command) -> Value {
        let location = AwsLocation { partition: "aws".into(), account: ACCOUNT.into(), region: "us-east-1".into() };
        policy(&[command], &self.config, &location)
    }

    /// Every call so far is allowed; what actions they need.
    fn check(&self, command: Command) -> BTreeSet<String> {
        let policy = self.policy(command);
        let mut used = BTreeSet::new();
        for (operation, subject) in self.connector.subjects() {
            // A worker that may not look at its bucket goes on: it needs to write to it only.
            if command == Command::Work && operation == "HeadBucket" {
                continue;
            }
            for action in actions(&operation, &subject) {
                let resource = arn(&subject, &action);
                assert!(allows(&policy, &action, &resource), "{command}: {operation} needs {action} on {resource:?}");
                used.insert(action);
            }
        }
        used
    }
}

#[track_caller]
fn assert_all_used(command: Command, policy: &Value, used: &BTreeSet<String>, never: &[(&str, &str)]) {
    let unused: Vec<String> = all_actions(policy)
        .difference(used)
        .filter(|action| !is_of_scaling(action) && !action.starts_with("sns:"))
        .cloned()
        .collect();
    let explained: Vec<&str> = never.iter().map(|(action, _)| *action).collect();
    assert_eq!(unused, explained, "{command}: allowed and never used, against those with a reason");
}

const STACK: &str =
    "name = \"cats\"\n[buckets]\nsources = [\"photos\"]\n[security_group]\nssh_from = [\"203.0.113.0/24\"]\n";

const RELEASE: &str = "where something was adopted";

/// Allowed for what a lifecycle without accidents does not do.
const MENDS: [(&str, &str); 13] = [
    ("ec2:AssociateIamInstanceProfile", "an instance that somebody took the profile from"),
    ("ec2:DeleteSecurityGroup", "a security group in another VPC, which a new one takes the place of"),
    ("ec2:DeleteVpcEndpoints", "an S3 endpoint from a time without public addresses"),
    ("ec2:DescribeIamInstanceProfileAssociations", "before it"),
    ("ec2:DescribeRouteTables", "a worker that does not report"),
    ("ec2:GetConsoleOutput", "a worker that does not report"),
    ("ec2:ModifyInstanceAttribute", "an instance that somebody put into another group"),
    ("ec2:ModifyInstanceCreditSpecification", "an instance whose credits somebody set otherwise"),
    ("ec2:ModifyInstanceMetadataOptions", "an instance that somebody let do without IMDSv2's tokens"),
    ("ec2:ReplaceIamInstanceProfileAssociation", "an instance that somebody gave another profile"),
    ("iam:RemoveRoleFromInstanceProfile", "a profile to which somebody gave another role"),
    ("iam:UpdateAssumeRolePolicy", "a role whose trust somebody changed"),
    ("s3:GetObject", "a worker's report, where it is waited for"),
];

#[tokio::test]
async fn what_the_lifecycle_does_is_allowed_and_nothing_else_is() {
    let moto = Moto::start();
    let world = FaultInjectingConnector::new();
    let whole = format!(
        "{STACK}[instance]\nkey_pair = \"me\"\nsubnet = \"SUBNET\"\n[tags]\na = \"b\"\n[profile]\npolicies = [\"AmazonS3FullAccess\"]"
    );
    let setup = Caller::new(&moto, STACK, &world).await;
    setup.clients.ec2.create_key_pair().key_name("me").send().await.unwrap();
    let subnets = setup.clients.ec2.describe_subnets().send().await.unwrap();
    let whole = whole.replace("SUBNET", subnets.subnets()[0].subnet_id().unwrap());

    // Two stacks that differ in all that has an action of its own, one after the other and back.
    let caller = async |text: &str| Caller::new(&moto, text, &world).await;
    let (mut planned, mut applied, mut destroyed) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let public =
        STACK.replace("[buckets]", "[queue]\nmax_receives = 5\n[buckets]\naccess = \"policy\"").replace("203", "204");
    let no_logs = format!("{STACK}[logs]\nretention = \"0\"");
    for text in [STACK, &whole, &public, &no_logs, STACK] {
        let plan = caller(text).await;
        plan.plan().await;
        planned.extend(plan.check(Command::Plan));
        let apply = caller(text).await;
        apply.run(&apply.plan().await).await;
        applied.extend(apply.check(Command::Apply));
    }
    let looking = caller(STACK).await;
    let instance = observe(&Reader::new(&looking.clients), &looking.config).await.unwrap().fleet.alive[0].id.clone();
    looking.clients.ec2.stop_instances().instance_ids(instance).send().await.unwrap();
    let start = caller(STACK).await;
    start.run(&start.plan().await).await;
    applied.extend(start.check(Command::Apply));

    let report = looking.clients.s3.put_object().bucket(looking.config.code_bucket(ACCOUNT)).key("workers/i-0.json");
    report.body(ByteStream::from_static(b"{}")).send().await.unwrap();
    let status = caller(STACK).await;
    let observed = observe(&Reader::new(&status.clients), &status.config).await.unwrap();
    let plan = status.plan().await;
    let basis = Basis { config: &status.config, clients: &status.clients, observed: &observed, plan: &plan };
    status::look(&basis, 1_800_000_000).await.unwrap();
    let watched = status.check(Command::Status);
    assert!(watched.contains("s3:GetObject") && watched.contains("cloudwatch:GetMetricData"), "{watched:?}");

    let s3 = &looking.clients.s3;
    let thumbnails = looking.config.thumbnails_bucket(ACCOUNT);
    s3.put_object().bucket(&thumbnails).key("owl-1x1.jpg").body(ByteStream::from_static(b"owl")).send().await.unwrap();
    s3.create_multipart_upload().bucket(&thumbnails).key("half").send().await.unwrap();
    let destroy = caller(STACK).await;
    let plan = destroy.plan_destroy().await;
    planned.extend(destroy.check(Command::Plan));
    destroy.run(&plan).await;
    destroyed.extend(destroy.check(Command::Destroy));

    // The union of what the three stacks are allowed, and what was done for all of them.
    let union = |command| {
        let statements: Vec<Value> = [STACK, &whole, &public]
            .iter()
            .map(|text| Config::parse(text, "").unwrap())
            .flat_map(|config| {
                let location =
                    AwsLocation { partition: "aws".into(), account: ACCOUNT.into(), region: "us-east-1".into() };
                policy(&[command], &config, &location)["Statement"].as_array().unwrap().clone()
            })
            .collect();
        serde_json::json!({ "Statement": statements })
    };
    assert_all_used(Command::Plan, &union(Command::Plan), &planned, &[]);
    let apply_only = [("s3:ListBucketVersions", "`plan --destroy`, which apply's rights cover as plan's do")];
    let mut reasons = [&MENDS[..], &apply_only].concat();
    reasons.sort_unstable();
    assert_all_used(Command::Apply, &union(Command::Apply), &applied, &reasons);
    let reasons = [
        ("ec2:DeleteTags", RELEASE),
        ("ec2:DeleteVpcEndpoints", "without public addresses"),
        ("ec2:DescribeSubnets", "with a subnet"),
        ("iam:DetachRolePolicy", "with `policies`"),
        ("iam:GetPolicy", "with `policies`"),
        ("iam:UntagInstanceProfile", RELEASE),
        ("iam:UntagRole", RELEASE),
        ("iam:UpdateAssumeRolePolicy", RELEASE),
        ("logs:UntagResource", RELEASE),
        ("s3:PutBucketTagging", RELEASE),
        ("sqs:SetQueueAttributes", RELEASE),
        ("sqs:UntagQueue", RELEASE),
    ];
    assert_all_used(Command::Destroy, &union(Command::Destroy), &destroyed, &reasons);
}

/// Whether an action is about a group or a dashboard. What they do has tests of their own, as has what a topic does.
fn is_of_scaling(action: &str) -> bool {
    ["autoscaling:", "cloudwatch:"].iter().any(|service| action.starts_with(service))
        || action.contains("LaunchTemplate")
}

#[tokio::test]
async fn what_a_group_does_is_allowed_and_nothing_else_is() {
    let moto = Moto::start_strict(&["iam-instance-profile-propagation.seconds=0"]);
    let world = FaultInjectingConnector::before_strict_server();
    let texts = [
        "max = 1\ntypes = [\"c5.large\"]",
        "max = 2\ntypes = [\"c5.large\"]\n[worker]\ngrace = \"20s\"\n[tags]\na = \"b\"",
    ];
    let texts = texts.map(|text| format!("name = \"cats\"\n[scaling]\n{text}"));
    let (mut planned, mut applied, mut destroyed) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    // With other keys in the configuration each time: more versions of the launch template than are kept.
    let mut round = 0;
    for text in [&texts[0], &texts[1], &texts[0], &texts[0], &texts[0]] {
        round += 1;
        let text = &format!("{text}\n[queue]\nvisibility_timeout = \"{}s\"", 60 + round);
        let caller = Caller::new(&moto, text, &world).await;
        caller.run(&caller.plan().await).await;
        applied.extend(caller.check(Command::Apply));
        let caller = Caller::new(&moto, text, &world).await;
        let plan = caller.plan().await;
        assert!(plan.is_empty(), "{plan:#?}");
        planned.extend(caller.check(Command::Plan));
    }
    let caller = Caller::new(&moto, &texts[0], &world).await;
    caller.run(&caller.plan_destroy().await).await;
    destroyed.extend(caller.check(Command::Destroy));
    let config = Config::parse(&texts[0], "").unwrap();
    let location = AwsLocation { partition: "aws".into(), account: ACCOUNT.into(), region: "us-east-1".into() };
    let commands = [(Command::Plan, planned), (Command::Apply, applied), (Command::Destroy, destroyed)];
    for (command, used) in commands {
        let policy = policy(&[command], &config, &location);
        let unused: Vec<String> =
            all_actions(&policy).difference(&used).filter(|action| is_of_scaling(action)).cloned().collect();
        let never: &[&str] = match command {
            // Refreshes that do not go as planned, and a group that gives way to numbered instances.
            Command::Apply => &[
                "autoscaling:CancelInstanceRefresh",
                "autoscaling:DeleteAutoScalingGroup",
                // Made, but counted as EC2's, which has the same name.
                "autoscaling:DeleteTags",
                "autoscaling:RollbackInstanceRefresh",
                // A dashboard from before.
                "cloudwatch:DeleteDashboards",
                "ec2:DeleteLaunchTemplate",
            ],
            Command::Destroy => &["cloudwatch:DeleteDashboards", "cloudwatch:UntagResource"],
            _ => &[],
        };
        assert_eq!(unused, never, "{command}: allowed and never used");
    }
}

#[tokio::test]
async fn what_notify_and_dashboard_need_is_allowed_and_nothing_else_is() {
    let moto = Moto::start_strict(&["iam-instance-profile-propagation.seconds=0"]);
    let world = FaultInjectingConnector::before_strict_server();
    let base = "name = \"cats\"\n[instance]\ncount = 0\n";
    let full = format!("{base}[notify]\nemail = [\"a@example.com\"]\ntopic = true\n[dashboard]\non = true\n");
    let (mut planned, mut applied) = (BTreeSet::new(), BTreeSet::new());
    for text in [&full, &format!("{full}[tags]\na = \"b\""), &full, &full.replace("a@", "b@")] {
        let caller = Caller::new(&moto, text, &world).await;
        caller.run(&caller.plan().await).await;
        applied.extend(caller.check(Command::Apply));
        let arn = format!("arn:aws:sns:us-east-1:{ACCOUNT}:cats-events");
        let confirm = caller.clients.sns.confirm_subscription().topic_arn(&arn).token("a@example.com");
        // The last thumb.toml has another address.
        let _ = confirm.send().await;
        let caller = Caller::new(&moto, text, &world).await;
        assert!(caller.plan().await.is_empty());
        planned.extend(caller.check(Command::Plan));
    }
    let off = Caller::new(&moto, base, &world).await;
    off.run(&off.plan().await).await;
    off.check(Command::Apply);
    let caller = Caller::new(&moto, &full, &world).await;
    caller.run(&caller.plan().await).await;
    let caller = Caller::new(&moto, &full, &world).await;
    caller.run(&caller.plan_destroy().await).await;
    let destroyed = caller.check(Command::Destroy);
    let policy = |command| Caller::policy(&caller, command);
    let is_ours =
        |action: &&String| action.starts_with("sns:") || action.contains("Alarm") || action.contains("Dashboard");
    for (command, used, never) in [
        (Command::Plan, planned, &[][..]),
        // What is taken out of thumb.toml, after which it is another one; drift of a filter.
        (
            Command::Apply,
            applied,
            &[
                "cloudwatch:DeleteAlarms",
                "cloudwatch:DeleteDashboards",
                "sns:DeleteTopic",
                "sns:SetSubscriptionAttributes",
            ],
        ),
        (Command::Destroy, destroyed, &["sns:UntagResource"]),
    ] {
        let allowed = all_actions(&policy(command));
        let unused: Vec<String> = allowed.difference(&used).filter(is_ours).cloned().collect();
        assert_eq!(unused, never, "{command}: allowed and never used");
    }
}

#[tokio::test]
async fn what_triggers_need_is_allowed() {
    let moto = Moto::start_strict(&[]);
    let world = FaultInjectingConnector::before_strict_server();
    let text = "name = \"cats\"\n[instance]\ncount = 0\n[[trigger]]\nbucket = \"photos\"";
    let setup = Caller::new(&moto, text, &world).await;
    setup.clients.s3.create_bucket().bucket("photos").send().await.unwrap();
    let caller = Caller::new(&moto, text, &world).await;
    caller.plan().await;
    assert!(caller.check(Command::Plan).contains("s3:GetBucketNotification"));
    caller.run(&caller.plan().await).await;
    assert!(caller.check(Command::Apply).contains("s3:PutBucketNotification"));
    let caller = Caller::new(&moto, text, &world).await;
    caller.run(&caller.plan_destroy().await).await;
    assert!(caller.check(Command::Destroy).contains("s3:PutBucketNotification"));
}

#[derive(Default)]
struct Silent;

impl Progress for Silent {
    fn queued(&mut self, _: &[Request]) {}
    fn not_queued(&mut self, name: &str, why: &str) {
        panic!("{name}: {why}");
    }
}

impl tracking::Progress for Silent {
    fn round(&mut self, _: u64, _: u64, _: QueueCounts) {}
}

#[tokio::test]
async fn what_enqueue_and_work_do_is_allowed_and_nothing_else_is() {
    let moto = Moto::start();
    let world = FaultInjectingConnector::new();
    let text = "name = \"cats\"\n[buckets]\nsources = [\"photos\"]\n[instance]\ncount = 0\n[thumbnail]\nmanifest = true\n\
         [worker]\nskip_existing = true\nlog_group = \"/thumb/cats\"";
    let setup = Caller::new(&moto, text, &world).await;
    setup.run(&setup.plan().await).await;
    let s3 = &setup.clients.s3;
    s3.create_bucket().bucket("photos").send().await.unwrap();
    let life = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/photos/life.jpg")).unwrap();
    for (key, bytes) in [("good.jpg", life), ("bad.jpg", b"no picture".to_vec())] {
        s3.put_object().bucket("photos").key(key).body(ByteStream::from(bytes)).send().await.unwrap();
    }

    let caller = Caller::new(&moto, text, &world).await;
    let bucket = || "photos".to_owned();
    let places = vec![
        Place::Prefix { bucket: bucket(), prefix: String::new() },
        Place::Object { bucket: bucket(), key: "good.jpg".into() },
    ];
    let sources = Sources { places, check: true };
    let wanted = Wanted { sizes: vec!["4x3".parse().unwrap()], ..Wanted::default() };
    let url = queue_url(&caller.clients, "cats").await.unwrap();
    let never = std::future::pending();
    enqueue(&caller.clients, &url, &wanted, sources, &mut Silent, never).await.unwrap();
    let dlq_url = queue_url(&caller.clients, "cats-dlq").await.unwrap();
    setup.clients.sqs.send_message().queue_url(&dlq_url).message_body("{}").send().await.unwrap();
    let thumbnails = "cats-thumbnails-123456789012";
    let waited = Places { queue_url: &url, dlq_url: &dlq_url, thumbnails, account: ACCOUNT };
    let since_s = s3_now(&caller.clients, &waited).await.unwrap();
    let request = Tracked { source: "s3://photos/good.jpg".into(), missing: vec!["good-4x3.jpeg".into()] };
    let moment = Duration::from_millis(1);
    track(&caller.clients, &waited, vec![request], since_s, moment, &mut Silent, std::future::pending()).await.unwrap();
    setup.clients.sqs.purge_queue().queue_url(&dlq_url).send().await.unwrap();
    let used = caller.check(Command::Enqueue);
    assert_all_used(Command::Enqueue, &caller.policy(Command::Enqueue), &used, &[]);

    let caller = Caller::new(&moto, text, &world).await;
    work(&caller.config, &caller.clients, Work { drain: true, ..Work::default() }).await.unwrap();
    let mut used = caller.check(Command::Work);
    // Not for a call: without it S3 answers 403, and not 404, for a key that does not exist (API GetObject).
    used.insert("s3:ListBucket".into());
    let never = [("sqs:ChangeMessageVisibility", "messages that take longer, or are tried again")];
    assert_all_used(Command::Work, &caller.policy(Command::Work), &used, &never);
}

#[tokio::test]
async fn what_dlq_does_is_allowed_and_nothing_else_is() {
    let moto = Moto::start();
    let world = FaultInjectingConnector::new();
    let text = "name = \"cats\"\n[instance]\ncount = 0";
    let setup = Caller::new(&moto, text, &world).await;
    setup.run(&setup.plan().await).await;
    let dlq = queue_url(&setup.clients, "cats-dlq").await.unwrap();
    setup.clients.sqs.send_message().queue_url(dlq).message_body("{}").send().await.unwrap();

    let caller = Caller::new(&moto, text, &world).await;
    let (queue, dlq) =
        (queue_url(&caller.clients, "cats").await.unwrap(), queue_url(&caller.clients, "cats-dlq").await.unwrap());
    let read = dlq::read(&caller.clients, &dlq).await.unwrap();
    let rejected: Vec<_> = read.messages.iter().collect();
    assert_eq!(rejected.len(), 1);
    dlq::release(&caller.clients, &dlq, &rejected).await;
    dlq::retry(&caller.clients, &dlq, &queue, &rejected).await.unwrap();
    // The emulator has no such operation; the call is made nevertheless.
    let _ = dlq::retry_all(&caller.clients, &dlq, &queue, |_| {}).await;
    dlq::purge(&caller.clients, &dlq).await.unwrap();
    let used = caller.check(Command::Dlq);
    let never = [("sqs:ListMessageMoveTasks", "a move that SQS has begun")];
    assert_all_used(Command::Dlq, &caller.policy(Command::Dlq), &used, &never);
}
