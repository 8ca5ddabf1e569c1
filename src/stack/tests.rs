//! Plans, without AWS: a declared stack is frozen as what the account holds, thumb.toml changes, and the plan is read.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::*;
use crate::config::Config;
use crate::config::image::{Arch, Glibc};
use crate::stack::Operation;
use crate::stack::Plan;
use crate::stack::address::Address;
use crate::stack::change::Action;
use crate::stack::render::{Form, render};
use crate::stack::resources::binary::elf::Executable;
use crate::stack::resources::policy::AwsLocation;
use crate::stack::resources::{
    Foreign, Found, STACK_TAG, binary, bucket, instance, instance_profile, log_group, queue, role, s3_endpoint,
    security_group,
};

mod instances;
mod interrupts;
mod ownership;
mod scaling;
mod short;

const BASE: &str = r#"
name = "cats"
[buckets]
sources = ["cmsc389l-public"]
[instance]
key_pair = "colink"
[security_group]
ssh_from = ["203.0.113.0/24"]
[tags]
assignment = "codelab-05"
"#;

fn config(text: &str) -> Config {
    Config::parse(text, "thumb.toml").unwrap_or_else(|failure| panic!("{failure}"))
}

fn location() -> AwsLocation {
    AwsLocation { partition: "aws".into(), account: "123456789012".into(), region: "us-east-1".into() }
}

/// An account with nothing in it.
fn nothing() -> Observed {
    Observed {
        location: location(),
        dlq: Found::Absent,
        queue: Found::Absent,
        thumbnails: Found::Absent,
        code: Found::Absent,
        binaries: Vec::new(),
        role: Found::Absent,
        profile: Found::Absent,
        security_group: Found::Absent,
        fleet: instance::Fleet::default(),
        triggers: BTreeMap::new(),
        network: s3_endpoint::Observed::default(),
        log_group: Found::Absent,
        launch_template: Found::Absent,
        scaling_group: Found::Absent,
        scaling_policies: BTreeMap::new(),
        alarms: BTreeMap::new(),
        topic: Found::Absent,
        dashboard: Found::Absent,
        vpc: Ok("vpc-1".into()),
        former_buckets: Vec::new(),
        policy_warnings: Vec::new(),
        other_stacks: std::collections::BTreeSet::new(),
    }
}

fn launch_options() -> LaunchOptions {
    let ami = instance::Ami {
        id: "ami-1".into(),
        name: "ubuntu-noble-24.04-amd64-server-20261008".into(),
        root_device: "/dev/sda1".into(),
        root_gib: 8,
    };
    LaunchOptions {
        arch: Ok(Arch::X86_64),
        ami: Ok(ami),
        offers: None,
        key_pair: Ok(()),
        public_address: instance::PublicAddress::Yes,
        source_warnings: Vec::new(),
    }
}

fn executable(sha256: &str) -> Result<binary::Binary, String> {
    Ok(binary::Binary {
        path: PathBuf::from("/usr/local/bin/thumb"),
        sha256: sha256.repeat(32),
        bytes: 19_000_000,
        identity: None,
        executable: Executable { arch: Arch::X86_64, interpreter: None, glibc: Some(Glibc(2, 34)) },
    })
}

fn desired(config: &Config, observed: &Observed, sha256: &str) -> Desired {
    Desired::new(config, observed, &launch_options(), executable(sha256), None)
}

/// The account after an apply of `config`: what AWS answers for everything that was declared.
fn built(config: &Config) -> Observed {
    let Desired {
        stack,
        dlq,
        queue,
        thumbnails,
        code,
        binary,
        role,
        profile,
        security_group,
        s3_endpoint: _,
        log_group,
        topic: _,
        alerts: _,
        dashboard: _,
        count,
        launch,
        fleet: _,
        asked: _,
        warnings: _,
        notes: _,
    } = desired(config, &nothing(), "aa");
    let (binary, group, launch) = (binary.unwrap(), security_group.unwrap(), launch.unwrap());
    let queue_of = |queue: queue::Queue| {
        Found::Ours(queue::Observed {
            url: format!("https://sqs.us-east-1.amazonaws.com/123456789012/{}", queue.name),
            visibility_timeout_s: queue.visibility_timeout_s.to_string(),
            retention_s: queue.retention_s.to_string(),
            // In another order and with a number as text, as SQS may give it back.
            redrive: queue.redrive.map(|redrive| {
                let queue::Redrive { dlq_arn, max_receives } = redrive;
                format!(r#"{{"maxReceiveCount":"{max_receives}","deadLetterTargetArn":"{dlq_arn}"}}"#)
            }),
            policy: queue::senders::with(None, &queue.senders),
            kms_key: None,
            messages: 0,
            tags: queue.tags,
        })
    };
    let bucket_of = |bucket: bucket::Bucket| {
        Found::Ours(bucket::Observed {
            ownership: serde_json::to_value(bucket.ownership).unwrap().as_str().map(str::to_owned),
            public_access_block: bucket.public_access_block,
            policy: bucket.policy,
            holds_objects: false,
            tags: bucket.tags,
        })
    };
    let alive = (1..=count).map(|index| {
        let mut tags = launch.tags.clone();
        tags.insert("Name".into(), instance::name(&stack, index));
        tags.insert(instance::INDEX_TAG.into(), index.to_string());
        tags.insert(instance::IMAGE_TAG.into(), launch.image.to_string());
        instance::Observed {
            id: format!("i-{index}"),
            index,
            state: "running".into(),
            launched_s: 1_790_000_000,
            instance_type: launch.instance_type.clone(),
            key_pair: launch.key_pair.clone(),
            profile: Some(launch.profile.clone()),
            profile_id: Some("AIPA1".into()),
            security_groups: vec![launch.security_group.clone()],
            subnet: Some("subnet-1".into()),
            vpc: Some(launch.vpc_id.clone()),
            tokens_required: true,
            credits: launch.credits,
            user_data: Some(launch.user_data.clone()),
            public_ip: Some("203.0.113.9".into()),
            tags,
        }
    });
    Observed {
        dlq: queue_of(dlq),
        queue: queue_of(queue),
        thumbnails: bucket_of(thumbnails),
        code: bucket_of(code),
        binaries: vec![(binary.key(), binary.bytes)],
        role: Found::Ours(role::Observed {
            trust: role.trust,
            inline: role.inline,
            attached: role.attached,
            boundary: role.boundary,
            tags: role.tags,
        }),
        profile: Found::Ours(instance_profile::Observed {
            id: "AIPA1".into(),
            role: Some(profile.role),
            tags: profile.tags,
        }),
        security_group: Found::Ours(security_group::Observed {
            id: "sg-1".into(),
            vpc_id: group.vpc_id,
            ingress: group.ingress,
            tags: group.tags,
        }),
        fleet: instance::Fleet { alive: alive.collect(), ..instance::Fleet::default() },
        log_group: log_group.map_or(Found::Absent, |group| {
            Found::Ours(log_group::Observed {
                arn: location().log_group_arn(&group.name),
                retention_days: Some(group.retention_days),
                tags: group.tags,
            })
        }),
        launch_template: Found::Absent,
        scaling_group: Found::Absent,
        ..nothing()
    }
}

/// The plan from the account `observed` to `text`, with an unchanged executable.
fn plan(text: &str, observed: &Observed) -> Plan {
    let config = config(text);
    plan_apply(&config, &desired(&config, observed, "aa"), observed, &Selection::default())
}

/// The plan as people read it. Its JSON says as much: read back, it gives the same text.
fn text(plan: &Plan) -> String {
    let from_json: Plan = serde_json::from_str(&serde_json::to_string(plan).unwrap()).unwrap();
    for form in [Form::Short, Form::Long] {
        assert_eq!(rendered(&from_json, form, 100), rendered(plan, form, 100));
    }
    let text = rendered(plan, Form::Long, 100);
    // The user data's script has tests of its own; its digest changes with every comma in it.
    let digest = |line: &str| {
        line.split_once("sha256:").map_or_else(|| line.to_owned(), |(label, _)| format!("{label}sha256:…"))
    };
    text.lines().map(|line| digest(line) + "\n").collect()
}

fn rendered(plan: &Plan, form: Form, width: usize) -> String {
    anstream::adapter::strip_str(&render(plan, form, width)).to_string()
}

/// BASE with one line put behind its section's head.
fn with(section: &str, line: &str) -> String {
    if BASE.contains(section) {
        BASE.replace(section, &format!("{section}\n{line}"))
    } else {
        format!("{BASE}{section}\n{line}\n")
    }
}

#[test]
fn everything_is_made_from_nothing() {
    insta::assert_snapshot!(text(&plan(BASE, &nothing())));
}

#[test]
fn what_was_applied_needs_no_change() {
    for access in ["public-read", "policy", "private"] {
        let text = with("[buckets]", &format!("access = \"{access}\""));
        let plan = plan(&text, &built(&config(&text)));
        assert!(plan.is_empty(), "{plan:#?}");
    }
    let observed = built(&config(BASE));
    assert!(text(&plan(BASE, &observed)).ends_with("No changes. Your infrastructure matches the configuration.\n"));
}

#[test]
fn what_aws_changes_in_place_is_an_update() {
    let observed = built(&config(BASE));
    let changed = BASE
        .replace("[buckets]", "[queue]\nvisibility_timeout = \"5m\"\nretention = \"1d\"\nmax_receives = 5\n[buckets]\naccess = \"policy\"")
        .replace("203.0.113.0/24", "198.51.100.0/24\", \"2001:db8::/32")
        .replace("codelab-05", "codelab-06");
    // The worker's configuration changes with these, and instances with it: their plan is another test's.
    let plan = plan_apply(
        &config(&changed),
        &desired(&config(&changed), &observed, "aa"),
        &observed,
        &Selection::of(&[Target::Queue, Target::Buckets, Target::Profile, Target::SecurityGroup]),
    );
    insta::assert_snapshot!(text(&plan));
}

#[test]
fn managed_policies_take_the_inline_policys_place() {
    let observed = built(&config(BASE));
    let changed = with("[profile]", r#"policies = ["AmazonS3FullAccess", "AmazonSQSFullAccess"]"#);
    insta::assert_snapshot!(text(&plan(&changed, &observed)));
}

#[test]
fn what_a_running_instance_cannot_change_replaces_it_with_a_reason() {
    let observed = built(&config(BASE));
    let cases = [
        with("[instance]", "type = \"t3.small\""),
        with("[instance]", "image = \"debian-12\""),
        BASE.replace("key_pair = \"colink\"", ""),
        with("[thumbnail]", "quality = 90"),
        with("[worker]", "grace = \"5m\""),
        // What could change in place changes with the new one.
        with("[instance]", "type = \"t3.small\"").replace("codelab-05", "codelab-06"),
    ];
    insta::assert_snapshot!(cases.map(|changed| text(&plan(&changed, &observed))).join("\n---\n\n"));
}

#[test]
fn what_differs_in_user_data_is_told_apart() {
    let observed = built(&config(BASE));
    let by_another_version = {
        let mut observed = observed.clone();
        let user_data = &mut observed.fleet.alive[0].user_data;
        *user_data = user_data.as_ref().map(|text| text.replace("RestartSec=5", "RestartSec=60"));
        text(&plan(BASE, &observed))
    };
    let by_a_version_with_other_parameters = {
        let mut observed = observed.clone();
        observed.fleet.alive[0].user_data = Some("PARAMS = json.loads(r'{\"stack\": \"cats\"}')\n".into());
        text(&plan(BASE, &observed))
    };
    let with_an_endpoint = {
        let config = config(BASE);
        let endpoint = Some("http://emulator.internal:4566");
        let desired = Desired::new(&config, &observed, &launch_options(), executable("aa"), endpoint);
        text(&plan_apply(&config, &desired, &observed, &Selection::default()))
    };
    insta::assert_snapshot!(
        [by_another_version, by_a_version_with_other_parameters, with_an_endpoint].join("\n---\n\n")
    );
}

#[test]
fn a_new_executable_replaces_the_binary_and_then_the_instances() {
    let observed = built(&config(BASE));
    let config = config(BASE);
    let plan = plan_apply(&config, &desired(&config, &observed, "bb"), &observed, &Selection::default());
    insta::assert_snapshot!(text(&plan));
}

#[test]
fn an_instances_settings_are_mended_in_place() {
    let mut observed = built(&config(BASE));
    let instance = &mut observed.fleet.alive[0];
    instance.state = "stopped".into();
    instance.profile = None;
    instance.tokens_required = false;
    instance.tags.insert("somebody".into(), "else".into());
    insta::assert_snapshot!(text(&plan(BASE, &observed)));
}

#[test]
fn the_number_of_instances_follows_the_count() {
    let observed = built(&config(&with("[instance]", "count = 3")));
    let fewer = plan(&with("[instance]", "count = 1"), &observed);
    let more = plan(&with("[instance]", "count = 4"), &observed);
    let none = plan(&with("[instance]", "count = 0"), &observed);
    let counts = [&fewer, &more, &none].map(|plan| (plan.summary.create, plan.summary.delete));
    assert_eq!(counts, [(0, 2), (1, 0), (0, 3)]);
    assert_eq!(more.changes.last().unwrap().address.to_string(), "instance.4");
}

#[test]
fn a_replacement_that_was_cut_short_keeps_the_newer_instance() {
    let mut observed = built(&config(BASE));
    let mut newer = observed.fleet.alive[0].clone();
    newer.id = "i-new".into();
    newer.launched_s += 60;
    observed.fleet.alive.insert(0, newer);
    let plan = plan(BASE, &observed);
    assert_eq!((plan.summary.update, plan.summary.delete), (1, 0), "{}", text(&plan));
    let change = plan.changes.last().unwrap();
    assert_eq!(change.attributes[0].name, "leftovers");
    assert_eq!((&change.attributes[0].before, &change.attributes[0].after), (&"i-1".into(), &serde_json::Value::Null));
}

#[test]
fn a_security_group_in_another_vpc_is_replaced_and_its_instances_with_it() {
    let mut observed = built(&config(BASE));
    observed.vpc = Ok("vpc-2".into());
    insta::assert_snapshot!(text(&plan(BASE, &observed)));
}

#[test]
fn what_is_not_ours_is_blocked() {
    let foreign = || "it already exists and belongs to no stack".to_owned();
    let observed = Observed {
        dlq: Found::foreign(foreign()),
        queue: Found::foreign(foreign()),
        thumbnails: Found::foreign(foreign()),
        code: Found::foreign(foreign()),
        role: Found::foreign(foreign()),
        profile: Found::foreign(foreign()),
        security_group: Found::foreign(foreign()),
        log_group: Found::foreign(foreign()),
        fleet: instance::Fleet { foreign: BTreeMap::from([(1, foreign())]), ..instance::Fleet::default() },
        ..nothing()
    };
    let plan = plan(BASE, &observed);
    assert_eq!(plan.summary.blocked, 10, "{}", text(&plan));
    assert!(plan.changes.iter().all(|change| change.steps.is_empty() && change.removals.is_empty()));
    let destroy = plan_destroy(&config(BASE), &observed, &Contents::default(), &Selection::default());
    assert!(destroy.changes.iter().all(|change| change.action == Action::Blocked && change.removals.is_empty()));
    insta::assert_snapshot!([plan, destroy].map(|plan| text(&plan)).join("\n---\n\n"));
}

#[test]
fn an_adoption_shows_what_it_changes() {
    let mut observed = built(&config(BASE));
    // Made by hand: other attributes, tags of its maker's, and not ours.
    let Found::Ours(queue) = &mut observed.queue else { panic!("it was built") };
    queue.redrive = None;
    queue.tags = BTreeMap::from([("made-by".to_owned(), "hand".to_owned())]);
    let adoptable = observed.queue.ours().cloned();
    observed.queue = Found::Foreign(Foreign { reason: "it has no tag".into(), adoptable, elsewhere: None });
    assert_eq!(plan(BASE, &observed).summary.blocked, 1);
    observed.adopt(&[Target::Resource(Address::Queue)]).unwrap();
    insta::assert_snapshot!(text(&plan(BASE, &observed)));
}

#[test]
fn a_stack_of_another_name_is_mentioned_when_this_one_is_new() {
    let other_stacks = ["dogs".to_owned(), "kittens".to_owned()].into();
    let new = plan(BASE, &Observed { other_stacks, ..nothing() });
    insta::assert_snapshot!(new.notes.join("\n"));
    let other_stacks = ["kittens".to_owned()].into();
    assert!(plan(BASE, &Observed { other_stacks, ..built(&config(BASE)) }).notes.is_empty());
}

#[test]
fn what_is_left_over_or_damaged_is_mended() {
    // A binary that nobody needs any more, and one that was cut short.
    let mut stale = built(&config(BASE));
    stale.binaries.push((format!("thumb-{}", "cc".repeat(32)), 18_000_000));
    let mut short = built(&config(BASE));
    short.binaries[0].1 = 1_000;
    // More instances than declared, and an older one of a number that is taken.
    let mut many = built(&config(&with("[instance]", "count = 2")));
    let mut older = many.fleet.alive[0].clone();
    older.id = "i-old".into();
    older.launched_s -= 60;
    many.fleet.alive.push(older);
    insta::assert_snapshot!([stale, short, many].map(|observed| text(&plan(BASE, &observed))).join("\n---\n\n"));
}

#[test]
fn lines_are_as_wide_as_the_terminal_and_only_what_cannot_be_broken_is_wider() {
    let new = plan(BASE, &nothing());
    for width in [60, 80, 120] {
        for line in rendered(&new, Form::Long, width).lines().filter(|line| line.chars().count() > width) {
            // An indentation, a label and one word, or a change's address and name.
            assert!(line.split_whitespace().count() <= 3, "wider than {width}: {line}");
        }
    }
    let joined = |width: usize| rendered(&new, Form::Long, width).split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(joined(60), joined(120), "a narrow terminal is told as much");
}

#[test]
fn what_the_region_does_not_offer_blocks_what_needs_it() {
    let mut observed = nothing();
    observed.vpc = Err("the region us-east-1 has no default VPC".into());
    let launch_options =
        LaunchOptions { key_pair: Err("the key pair colink does not exist in us-east-1".into()), ..launch_options() };
    let config = config(BASE);
    let desired = Desired::new(&config, &observed, &launch_options, Err("thumb is a macOS executable".into()), None);
    insta::assert_snapshot!(text(&plan_apply(&config, &desired, &observed, &Selection::default())));
}

#[test]
fn without_instances_nobody_needs_a_binary() {
    let observed = nothing();
    let config = config(&with("[instance]", "count = 0"));
    let desired = Desired::new(&config, &observed, &launch_options(), Err("thumb is a macOS executable".into()), None);
    let plan = plan_apply(&config, &desired, &observed, &Selection::default());
    assert_eq!((plan.summary.blocked, plan.summary.create), (0, 8), "{}", text(&plan));
}

#[test]
fn destroy_takes_everything_and_counts_what_is_lost() {
    let mut observed = built(&config(BASE));
    if let Found::Ours(queue) = &mut observed.queue {
        queue.messages = 12;
    }
    let contents = Contents { thumbnails: Some((20_000, true)), code: Some((1, false)), reports: Vec::new() };
    let plan = plan_destroy(&config(BASE), &observed, &contents, &Selection::default());
    insta::assert_snapshot!(text(&plan));
}

#[test]
fn a_plan_as_json_is_the_contracts() {
    let observed = built(&config(BASE));
    let plan = plan(&with("[instance]", "type = \"t3.small\""), &observed);
    insta::assert_snapshot!(serde_json::to_string_pretty(&plan).unwrap());
}

#[test]
fn tags_of_aws_itself_are_no_difference() {
    let mut tags = BTreeMap::from([(STACK_TAG.to_owned(), "cats".to_owned())]);
    tags.insert("aws:cloudformation:stack-name".into(), "x".into());
    let (set, remove) =
        crate::stack::resources::tag_changes(&tags, &BTreeMap::from([(STACK_TAG.to_owned(), "cats".to_owned())]));
    assert!(set.is_empty() && remove.is_empty());
}
