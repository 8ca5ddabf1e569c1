//! Plans about instances: what they wait for, whom they leave alone, what they cost.

use std::collections::BTreeSet;

use super::*;
use crate::config::Credits;
use crate::stack::Change;

use crate::stack::resources::instance::{InstanceRequest, PublicAddress, Step as InstanceStep, Wait};

fn plan_requested(text: &str, observed: &Observed, asked: InstanceRequest) -> Plan {
    let config = config(text);
    let desired = Desired { asked, ..desired(&config, observed, "aa") };
    plan_apply(&config, &desired, observed, &Selection::default())
}

fn waiting(wait: Wait) -> InstanceRequest {
    InstanceRequest { wait, ..InstanceRequest::default() }
}

fn instance_change(plan: &Plan, index: u32) -> &Change {
    let mut found = plan.changes.iter().filter(|change| change.address == Address::Instance(index));
    let change = found.next().expect("it is planned");
    assert!(found.next().is_none(), "one change for each address");
    change
}

/// "launch, await report | terminate i-1": what a change does, and what it does last.
fn steps(change: &Change) -> String {
    let words = |steps: &[Operation]| {
        let word = |step: &Operation| match step {
            Operation::Instance(InstanceStep::Launch { .. }) => "launch".to_owned(),
            Operation::Instance(InstanceStep::AwaitReport { id: None, bucket }) => {
                format!("await the new one in {bucket}")
            }
            Operation::Instance(InstanceStep::AwaitReport { id: Some(id), .. }) => format!("await {id}"),
            Operation::Instance(InstanceStep::SetProfile { id, .. }) => format!("set the profile of {id}"),
            Operation::Instance(InstanceStep::SetCredits { id, credits }) => format!("set {id} to {credits}"),
            Operation::Instance(InstanceStep::Terminate { ids }) => format!("terminate {}", ids.join(" and ")),
            other => format!("{other:?}"),
        };
        steps.iter().map(word).collect::<Vec<_>>().join(", ")
    };
    format!("{} | {}", words(&change.steps), words(&change.removals))
}

/// A second instance of number 1, a minute younger.
fn add_younger(observed: &mut Observed, user_data: Option<&str>) {
    let mut younger = observed.fleet.alive[0].clone();
    younger.id = "i-younger".into();
    younger.launched_s += 60;
    if let Some(line) = user_data {
        younger.user_data = younger.user_data.map(|text| text.replace("RestartSec=5", line));
    }
    observed.fleet.alive.insert(0, younger);
}

const SMALL: &str = "type = \"t3.small\"";

#[test]
fn an_old_instance_goes_when_its_successors_worker_has_reported() {
    let observed = built(&config(BASE));
    let changed = with("[instance]", SMALL);
    let of = |wait: Wait| {
        let plan = plan_requested(&changed, &observed, waiting(wait));
        let waits = plan.notes.iter().any(|note| note.contains("apply waits up to 10 minutes"));
        (steps(instance_change(&plan, 1)), waits)
    };
    let waited = "launch, await the new one in cats-code-123456789012 | terminate i-1".to_owned();
    assert_eq!(of(Wait::ForReplacements), (waited.clone(), true));
    assert_eq!(of(Wait::ForAll), (waited, true));
    assert_eq!(of(Wait::Never), ("launch | terminate i-1".to_owned(), false));
}

#[test]
fn the_first_instance_is_waited_for_only_where_that_is_asked_for() {
    let of = |observed: &Observed, wait: Wait| {
        let plan = plan_requested(BASE, observed, waiting(wait));
        (steps(instance_change(&plan, 1)), plan.is_empty(), plan.has_steps())
    };
    assert_eq!(of(&nothing(), Wait::ForReplacements).0, "launch | ");
    assert_eq!(of(&nothing(), Wait::ForAll).0, "launch, await the new one in cats-code-123456789012 | ");
    // An apply that did not wait, or whose wait failed, is followed by one that waits though nothing has changed.
    let built = built(&config(BASE));
    assert_eq!(of(&built, Wait::ForReplacements), (" | ".to_owned(), true, false));
    assert_eq!(of(&built, Wait::ForAll), ("await i-1 | ".to_owned(), true, true));
}

#[test]
fn what_a_replacement_that_failed_has_left_goes_when_the_one_that_stays_works() {
    let mut observed = built(&config(BASE));
    add_younger(&mut observed, None);
    let plan = plan_requested(BASE, &observed, waiting(Wait::ForReplacements));
    let change = instance_change(&plan, 1);
    assert_eq!((change.action, steps(change).as_str()), (Action::Update, " | await i-younger, terminate i-1"));
    // The younger one was another thumb.toml's, which was taken back: the older one is as declared, and stays.
    let mut observed = built(&config(BASE));
    add_younger(&mut observed, Some("RestartSec=60"));
    let plan = plan_requested(BASE, &observed, waiting(Wait::ForReplacements));
    assert_eq!(steps(instance_change(&plan, 1)), " | await i-1, terminate i-younger");
    // Neither is as declared: one that is comes for both.
    let plan = plan_requested(&with("[instance]", SMALL), &observed, waiting(Wait::ForReplacements));
    assert_eq!(
        steps(instance_change(&plan, 1)),
        "launch, await the new one in cats-code-123456789012 | terminate i-younger and i-1"
    );
}

#[test]
fn an_address_is_planned_once_whatever_runs_there() {
    let mut observed = built(&config(&with("[instance]", "count = 2")));
    add_younger(&mut observed, None);
    let mut surplus = observed.fleet.alive[2].clone();
    surplus.id = "i-2-too".into();
    observed.fleet.alive.push(surplus);
    for plan in [
        plan_requested(BASE, &observed, InstanceRequest::default()),
        plan_destroy(&config(BASE), &observed, &Contents::default(), &Selection::default()),
    ] {
        let addresses: BTreeSet<Address> = plan.changes.iter().map(|change| change.address).collect();
        assert_eq!(addresses.len(), plan.changes.len(), "{}", text(&plan));
        let change = instance_change(&plan, 2);
        assert_eq!((change.action, steps(change).as_str()), (Action::Delete, " | terminate i-2 and i-2-too"));
    }
}

#[test]
fn a_replacement_can_be_asked_for() {
    let observed = built(&config(&with("[instance]", "count = 2")));
    let asked = InstanceRequest { replace: [2].into(), wait: Wait::Never };
    let plan = plan_requested(&with("[instance]", "count = 2"), &observed, asked.clone());
    assert_eq!(instance_change(&plan, 1).action, Action::None);
    let change = instance_change(&plan, 2);
    assert_eq!((change.action, steps(change).as_str()), (Action::Replace, "launch | terminate i-2"));
    assert_eq!(change.reason.as_deref(), Some("requested with --replace"));
    let changed = with("[instance]", &format!("count = 2\n{SMALL}"));
    let plan = plan_requested(&changed, &observed, asked);
    let reason = instance_change(&plan, 2).reason.clone().unwrap();
    assert_eq!(reason, "requested with --replace, the instance type changed, so the instance must be replaced");
}

#[test]
fn a_profile_that_was_made_anew_is_given_to_the_instances_again() {
    let mut observed = built(&config(BASE));
    observed.fleet.alive[0].profile_id = Some("AIPA0".into());
    let plan_of = |observed: &Observed| plan_requested(BASE, observed, InstanceRequest::default());
    let plan = plan_of(&observed);
    let change = instance_change(&plan, 1);
    assert_eq!(steps(change), "set the profile of i-1 | ");
    assert_eq!(change.attributes[0].name, "instance_profile_id");
    assert_eq!((&change.attributes[0].before, &change.attributes[0].after), (&"AIPA0".into(), &"AIPA1".into()));
    // It is gone, and this apply makes it anew.
    observed.profile = Found::Absent;
    assert_eq!(steps(instance_change(&plan_of(&observed), 1)), "set the profile of i-1 | ");
    // Where EC2 does not show an ID there is nothing to compare.
    observed.fleet.alive[0].profile_id = None;
    assert_eq!(instance_change(&plan_of(&observed), 1).action, Action::None);
}

#[test]
fn credits_change_in_place_and_cost_what_the_plan_says() {
    let observed = built(&config(BASE));
    let plan = plan_requested(&with("[instance]", "credits = \"unlimited\""), &observed, InstanceRequest::default());
    assert_eq!(steps(instance_change(&plan, 1)), "set i-1 to unlimited | ");
    assert_eq!(plan.estimate.unwrap().surplus_usd_a_month, Some(65.7));
    // Launched by an older thumb, with EC2's own default.
    let mut observed = built(&config(BASE));
    observed.fleet.alive[0].credits = Some(Credits::Unlimited);
    let plan = plan_requested(BASE, &observed, InstanceRequest::default());
    assert_eq!(steps(instance_change(&plan, 1)), "set i-1 to standard | ");
    assert_eq!(plan.estimate.unwrap().surplus_usd_a_month, None);
    // A type without credits has none to compare.
    let text = with("[instance]", "type = \"c7i.large\"");
    let observed = built(&config(&text));
    assert_eq!(observed.fleet.alive[0].credits, None);
    assert!(plan_requested(&text, &observed, InstanceRequest::default()).is_empty());
}

#[test]
fn instances_without_a_public_address_are_said_and_not_paid_for() {
    let plan_in = |observed: &Observed, public_address: PublicAddress| {
        let config = config(BASE);
        let launch_options = LaunchOptions { public_address, ..launch_options() };
        let desired = Desired::new(&config, observed, &launch_options, executable("aa"), None);
        plan_apply(&config, &desired, observed, &Selection::default())
    };
    let none = || PublicAddress::No("the subnet subnet-0123456789abcdef0".into());
    let note = |plan: &Plan| plan.warnings.iter().chain(&plan.notes).find(|note| note.contains("public IPv4")).cloned();
    let plan = plan_in(&nothing(), none());
    assert_eq!(
        note(&plan).unwrap(),
        "The instances get no public IPv4 address in the subnet subnet-0123456789abcdef0: they need a NAT gateway or VPC \
         endpoints to reach S3 and SQS, and otherwise cost money and do nothing."
    );
    assert_eq!(plan.estimate.as_ref().map(|estimate| estimate.public_addresses), Some(0));
    assert!(note(&plan_in(&nothing(), PublicAddress::Perhaps)).unwrap().starts_with("Some subnets of the default VPC"));
    assert_eq!(note(&plan_in(&nothing(), PublicAddress::Yes)), None);
    // What runs already has what it has, and needs no word.
    let built = built(&config(BASE));
    let plan = plan_in(&built, none());
    assert_eq!((note(&plan), plan.estimate.map(|estimate| estimate.public_addresses)), (None, Some(1)));
}

#[test]
fn a_copy_of_an_instance_is_never_touched() {
    let why =
        "the instance i-copy has this stack's tags, but its user data is not written by thumb, so it is not changed";
    let stranger = "The instance i-clone has the tag thumb:stack = cats without a number".to_owned();
    let mut observed = built(&config(BASE));
    observed.fleet.foreign.insert(1, why.into());
    observed.fleet.unnumbered.push(stranger.clone());
    // Beside one of ours it is a note; where it stands alone, nothing is launched in its place.
    let plan_of = |observed: &Observed| plan_requested(BASE, observed, InstanceRequest::default());
    let plan = plan_of(&observed);
    assert!(plan.is_empty(), "{}", text(&plan));
    assert!(plan.notes.contains(&stranger) && plan.notes.contains(&format!("Not changed: {why}.")), "{:?}", plan.notes);
    let destroy = plan_destroy(&config(BASE), &observed, &Contents::default(), &Selection::default());
    assert_eq!(steps(instance_change(&destroy, 1)), " | terminate i-1");
    assert!(destroy.notes.contains(&stranger), "{:?}", destroy.notes);
    observed.fleet.alive.clear();
    let plan = plan_of(&observed);
    let change = instance_change(&plan, 1);
    assert_eq!((change.action, change.reason.as_deref()), (Action::Blocked, Some(why)));
    let destroy = plan_destroy(&config(BASE), &observed, &Contents::default(), &Selection::default());
    assert_eq!(instance_change(&destroy, 1).action, Action::Blocked);
}

#[test]
fn user_data_that_ec2_does_not_show_yet_replaces_nothing() {
    let mut observed = built(&config(BASE));
    observed.fleet.alive[0].user_data = None;
    let plan = plan_requested(BASE, &observed, InstanceRequest::default());
    assert!(plan.is_empty(), "{}", text(&plan));
    assert_eq!(
        plan.notes,
        [
            "EC2 does not return the user data of i-1 yet; plan again in a minute to see whether it runs what is declared."
        ]
    );
}

#[test]
fn an_endpoint_with_a_password_does_not_go_into_user_data() {
    let config = config(BASE);
    let observed = nothing();
    for endpoint in ["https://me:secret@gateway.internal", "https://me@gateway.internal:4566/"] {
        let desired = Desired::new(&config, &observed, &launch_options(), executable("aa"), Some(endpoint));
        let plan = plan_apply(&config, &desired, &observed, &Selection::default());
        let change = instance_change(&plan, 1);
        assert_eq!(change.action, Action::Blocked);
        assert!(change.reason.as_ref().unwrap().contains("remove them from the URL"), "{change:?}");
        let shown = text(&plan);
        assert!(!shown.contains("secret") && !shown.contains("me@"), "{shown}");
    }
    let desired =
        Desired::new(&config, &observed, &launch_options(), executable("aa"), Some("https://gateway.internal/a@b"));
    assert!(desired.launch.is_ok());
}

#[test]
fn the_first_line_says_where_the_region_is_set() {
    let plan = Plan { region_from: Some("AWS_REGION".into()), ..plan(BASE, &nothing()) };
    assert!(text(&plan).starts_with("Stack cats   account 123456789012   us-east-1 (AWS_REGION)\n"));
}
