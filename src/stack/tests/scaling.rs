//! Plans of the launch template and the group.

use std::collections::BTreeSet;

use super::*;
use crate::stack::resources::instance::{InstanceRequest, Wait};
use crate::stack::resources::launch_template::{self, Step as TemplateStep};
use crate::stack::resources::scaling_group::{self, Launching, Member, Offers, Refresh, Step as GroupStep};

const SCALED: &str = "name = \"cats\"\n[scaling]\nmin = 1\nmax = 5\n[tags]\nassignment = \"codelab-05\"";

fn options() -> LaunchOptions {
    let offer = |name: &str| scaling_group::Offer { name: name.into(), arch: Some(Arch::X86_64), cpus: 2 };
    let ami = launch_options().ami;
    LaunchOptions {
        offers: Some(Offers {
            types: vec![offer("c7i.large"), offer("m7i.large")],
            images: vec![(Arch::X86_64, ami)],
            subnets: Ok(BTreeSet::from(["subnet-1".to_owned(), "subnet-2".to_owned()])),
        }),
        ..launch_options()
    }
}

fn scaled(text: &str, observed: &Observed, sha256: &str) -> Desired {
    Desired::new(&config(text), observed, &options(), executable(sha256), None)
}

/// The plan's changes of the template, the group and the numbered instances.
fn plan_scaled(text: &str, observed: &Observed, sha256: &str, wait: Wait) -> Plan {
    let asked = InstanceRequest { wait, ..InstanceRequest::default() };
    let desired = Desired { asked, ..scaled(text, observed, sha256) };
    let plan = plan_apply(&config(text), &desired, observed, &Selection::default());
    let about =
        |address: Address| matches!(address, Address::LaunchTemplate | Address::ScalingGroup | Address::Instance(_));
    let changes = plan.changes.into_iter().filter(|change| about(change.address)).collect();
    Plan { notes: plan.notes, ..Plan::new(plan.purpose, &plan.stack, &plan.account, &plan.region, changes) }
}

fn change(plan: &Plan, address: Address) -> &Change {
    plan.changes.iter().find(|change| change.address == address).unwrap()
}

fn group_steps(plan: &Plan) -> Vec<&GroupStep> {
    let steps = change(plan, Address::ScalingGroup).steps.iter();
    steps
        .map(|step| match step {
            Operation::ScalingGroup(step) => step,
            other => panic!("{other:?}"),
        })
        .collect()
}

/// The account after an apply: two instances where one was declared, because the policies want so.
fn frozen(text: &str) -> Observed {
    let observed = built(&config("name = \"cats\"\n[instance]\ncount = 0\n[tags]\nassignment = \"codelab-05\""));
    let desired::Fleet { template, group, .. } = scaled(text, &observed, "aa").fleet.unwrap().unwrap();
    let launch = &template.launch;
    let version = launch_template::Version {
        number: 1,
        key_pair: launch.key_pair.clone(),
        profile: Some(launch.profile.clone()),
        security_groups: launch.security_group_id.iter().cloned().collect(),
        public_ip: Some(template.launch.public_ip),
        tokens_required: true,
        hop_limit: Some(1),
        encrypted: true,
        credits: None,
        user_data: launch.user_data.clone(),
        tags: template.instance_tags(),
    };
    let member = |id: &str| Member { id: id.into(), state: "InService".into(), version: Some(1), protected: false };
    Observed {
        launch_template: Found::Ours(launch_template::Observed {
            id: "lt-1".into(),
            default_version: 1,
            versions: vec![version],
            tags: template.tags.clone(),
        }),
        scaling_group: Found::Ours(scaling_group::Observed {
            min: group.min,
            max: group.max,
            desired: 2,
            subnets: group.subnets,
            launching: Launching {
                template: Some(("lt-1".into(), "1".into())),
                types: group.mixed.types.iter().cloned().collect(),
                purchase: "spot".into(),
            },
            rebalance: true,
            warmup_s: Some(scaling_group::WARMUP_S),
            metrics: scaling_group::METRICS.iter().map(|metric| (*metric).to_owned()).collect(),
            tags: group.tags,
            members: vec![member("i-1"), member("i-2")],
            refresh: None,
            failed_activity: None,
            deleting: false,
        }),
        ..observed
    }
}

fn group_of(observed: &mut Observed) -> &mut scaling_group::Observed {
    match &mut observed.scaling_group {
        Found::Ours(group) => group,
        _ => panic!("no group"),
    }
}

fn template_of(observed: &mut Observed) -> &mut launch_template::Observed {
    match &mut observed.launch_template {
        Found::Ours(template) => template,
        _ => panic!("no template"),
    }
}

#[test]
fn a_group_is_made_from_nothing() {
    let plan = plan_scaled(SCALED, &nothing(), "aa", Wait::Never);
    insta::assert_snapshot!(text(&plan));
    let steps = group_steps(&plan);
    assert!(matches!(steps[0], GroupStep::Create { version: None, desired: 1, .. }), "{steps:?}");
}

#[test]
fn what_the_policies_have_made_of_it_is_no_change() {
    let mut observed = frozen(SCALED);
    for desired in [0, 1, 2, 5] {
        group_of(&mut observed).desired = desired;
        let plan = plan_scaled(SCALED, &observed, "aa", Wait::ForReplacements);
        assert!(plan.is_empty() && !plan.has_steps(), "{plan:#?}");
    }
}

#[test]
fn drift_is_mended_without_a_refresh() {
    let mut observed = frozen(SCALED);
    let group = group_of(&mut observed);
    (group.min, group.max, group.rebalance, group.warmup_s) = (0, 9, false, None);
    group.subnets = BTreeSet::from(["subnet-1".to_owned()]);
    group.launching.types = BTreeSet::from(["t3.micro".to_owned()]);
    group.launching.purchase = "on-demand".into();
    group.metrics.clear();
    group.tags.remove("assignment");
    let plan = plan_scaled(SCALED, &observed, "aa", Wait::Never);
    insta::assert_snapshot!(text(&plan));
    let steps = group_steps(&plan);
    assert!(matches!(steps[0], GroupStep::Update { version: Some(1), .. }), "{steps:?}");
    assert!(steps.iter().all(|step| !matches!(step, GroupStep::Refresh { .. })), "{steps:?}");
}

#[test]
fn a_new_program_reaches_the_group_through_a_refresh_only() {
    let mut observed = frozen(SCALED);
    let text_of_more = SCALED.replace("max = 5", "max = 6\nspot = false");
    let plan = plan_scaled(&text_of_more, &observed, "bb", Wait::ForReplacements);
    insta::assert_snapshot!(text(&plan));
    let steps = group_steps(&plan);
    // What is launched is not updated: a rollback goes back to what the group has.
    let [
        GroupStep::Update { version: None, .. },
        GroupStep::Refresh { version: None, reports: Some(bucket), mixed, .. },
    ] = steps[..]
    else {
        panic!("{steps:?}")
    };
    assert_eq!((&**bucket, mixed.spot), ("cats-code-123456789012", false));

    // The version was made, and the refresh was rolled back: the next plan tries it again, and makes no other.
    let mut second = template_of(&mut observed).versions[0].clone();
    second.number = 2;
    second.user_data = scaled(SCALED, &observed, "bb").launch.unwrap().user_data;
    template_of(&mut observed).versions.insert(0, second);
    let plan = plan_scaled(SCALED, &observed, "bb", Wait::Never);
    assert_eq!(change(&plan, Address::LaunchTemplate).action, Action::None);
    let steps = group_steps(&plan);
    assert!(matches!(steps[..], [GroupStep::Refresh { version: Some(2), reports: None, .. }]), "{steps:?}");
    // Back to the first program: nothing to do, as the group has it.
    assert!(plan_scaled(SCALED, &observed, "aa", Wait::Never).is_empty());
}

#[test]
fn old_versions_go_but_never_one_that_is_in_use() {
    let mut observed = frozen(SCALED);
    let template = template_of(&mut observed);
    let first = template.versions[0].clone();
    template.versions = (1..=9).rev().map(|number| launch_template::Version { number, ..first.clone() }).collect();
    template.default_version = 2;
    let group = group_of(&mut observed);
    group.launching.template = Some(("lt-1".into(), "4".into()));
    (group.members[0].version, group.members[1].version) = (Some(3), Some(4));
    let plan = plan_scaled(SCALED, &observed, "bb", Wait::Never);
    let removals = &change(&plan, Address::LaunchTemplate).removals;
    let [Operation::LaunchTemplate(TemplateStep::DeleteVersions { versions, .. })] = &removals[..] else {
        panic!("{removals:?}")
    };
    assert_eq!(versions, &[7, 6, 5, 1], "9, 8 and the new one stay; 4 and 3 are in use; 2 is the default");
}

fn refresh(status: &str, version: i64) -> Refresh {
    let toward = Launching {
        template: Some(("lt-1".into(), version.to_string())),
        types: BTreeSet::from(["c7i.large".to_owned(), "m7i.large".to_owned()]),
        purchase: "spot".into(),
    };
    let reason = Some("Waiting for instances to warm up.".into());
    Refresh { id: "r-1".into(), status: status.into(), reason, percent: 40, left: 3, toward: Some(toward) }
}

#[test]
fn refreshes_are_joined_waited_for_or_mended() {
    let steps = |status: &str, version: i64, member: i64| {
        let mut observed = frozen(SCALED);
        let group = group_of(&mut observed);
        group.refresh = Some(refresh(status, version));
        group.members[0].version = Some(member);
        let plan = plan_scaled(SCALED, &observed, "aa", Wait::Never);
        let change = change(&plan, Address::ScalingGroup);
        let steps = group_steps(&plan).len();
        (steps, change.attributes.first().map(|attribute| attribute.name.clone()), change.reason.clone())
    };
    let of = |steps: usize, attribute: &str, reason: &str| (steps, Some(attribute.into()), Some(reason.into()));
    let (other, ours) = ("instance_refresh", "an instance refresh toward version 1 is running (40 %)");
    assert_eq!(steps("InProgress", 2, 2), of(1, other, "another instance refresh is running, and is cancelled"));
    assert_eq!(steps("RollbackInProgress", 2, 2), of(1, other, "another instance refresh has to end first"));
    assert_eq!(steps("InProgress", 1, 2), of(1, other, ours));
    let left = of(1, "instances_of_other_versions", "an instance refresh replaces them");
    assert_eq!(steps("Cancelled", 2, 2), left);
    assert_eq!(steps("RollbackSuccessful", 2, 1), (0, None, None));
}

#[test]
fn what_went_wrong_is_noted() {
    let mut observed = frozen(SCALED);
    let group = group_of(&mut observed);
    group.failed_activity = Some("Could not launch Spot Instances. MaxSpotInstanceCountExceeded.".into());
    group.refresh = Some(refresh("InProgress", 1));
    let running = plan_scaled(SCALED, &observed, "aa", Wait::Never).notes;
    group_of(&mut observed).refresh = Some(refresh("RollbackSuccessful", 2));
    let rolled_back = plan_scaled(SCALED, &observed, "aa", Wait::Never).notes;
    insta::assert_snapshot!(format!("{}\n\n{}", running.join("\n"), rolled_back.join("\n")));
}

#[test]
fn between_numbered_instances_and_a_group_there_is_no_gap() {
    let numbered = built(&config("name = \"cats\"\n[instance]\ncount = 3\n[tags]\nassignment = \"codelab-05\""));
    let plan = plan_scaled(&SCALED.replace("max = 5", "max = 2"), &numbered, "aa", Wait::ForReplacements);
    let steps = group_steps(&plan);
    let [
        GroupStep::Create { desired: 2, .. },
        GroupStep::EnableMetrics { .. },
        GroupStep::AwaitInService { reports, .. },
    ] = steps[..]
    else {
        panic!("{steps:?}")
    };
    assert_eq!(reports.as_deref(), Some("cats-code-123456789012"), "they must work before the old ones go");
    assert_eq!(change(&plan, Address::Instance(3)).action, Action::Delete);

    // Killed before the numbered ones went: the group is there, and must still be in service first.
    let killed = Observed { fleet: numbered.fleet.clone(), ..frozen(SCALED) };
    let plan = plan_scaled(SCALED, &killed, "aa", Wait::Never);
    let steps = group_steps(&plan);
    assert!(matches!(steps[..], [GroupStep::AwaitInService { reports: None, .. }]), "{steps:?}");

    // And back: the new ones must have reported.
    let back = "name = \"cats\"\n[instance]\ncount = 1\n[tags]\nassignment = \"codelab-05\"";
    let observed = frozen(SCALED);
    let asked = InstanceRequest { wait: Wait::ForReplacements, ..InstanceRequest::default() };
    let desired = Desired { asked, ..desired(&config(back), &observed, "aa") };
    let plan = plan_apply(&config(back), &desired, &observed, &Selection::default());
    assert_eq!(change(&plan, Address::Instance(1)).steps.len(), 2, "launched, and awaited");
    assert_eq!(change(&plan, Address::ScalingGroup).action, Action::Delete);
    assert_eq!(change(&plan, Address::LaunchTemplate).action, Action::Delete);
}

#[test]
fn a_foreign_group_and_types_that_are_not_offered_are_blocked() {
    let mut observed = nothing();
    observed.scaling_group =
        Found::foreign("the Auto Scaling group cats-workers already exists and belongs to no stack");
    let plan = plan_scaled(SCALED, &observed, "aa", Wait::Never);
    assert_eq!(change(&plan, Address::ScalingGroup).action, Action::Blocked);
    let typed = SCALED.replace("max = 5", "max = 5\ntypes = [\"c9x.large\"]");
    let plan = plan_scaled(&typed, &nothing(), "aa", Wait::Never);
    let reason = change(&plan, Address::LaunchTemplate).reason.as_deref();
    assert_eq!(reason, Some("the region us-east-1 does not offer the instance type c9x.large"));
}

#[test]
fn a_destroy_takes_the_group_and_its_template() {
    let observed = frozen(SCALED);
    let plan = plan_destroy(&config(SCALED), &observed, &Contents::default(), &Selection::default());
    let gone = |address| change(&plan, address).action == Action::Delete;
    assert!(gone(Address::ScalingGroup) && gone(Address::LaunchTemplate));
}
