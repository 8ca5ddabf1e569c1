//! The short form of plans: what a user reads before answering.

use super::*;
use crate::stack::change::Action;

/// At 80 columns, as most terminals have.
fn short(plan: &Plan) -> String {
    let text = rendered(plan, Form::Short, 80);
    for line in text.lines().filter(|line| line.chars().count() > 80) {
        // A word that is longer than the line stays whole.
        assert!(!line.trim().contains(' '), "{line}");
    }
    text
}

/// thumb.toml of the README.
const README: &str = r#"
name = "holiday"
[buckets]
sources = ["my-photos"]
"#;

#[test]
fn a_first_plan_fits_on_a_screen() {
    let text = short(&plan(README, &nothing()));
    assert!(text.lines().count() <= 25, "{} lines:\n{text}", text.lines().count());
    insta::assert_snapshot!(text);
}

#[test]
fn drift_is_shown_in_full() {
    let mut observed = built(&config(BASE));
    if let Found::Ours(queue) = &mut observed.queue {
        queue.retention_s = "3600".into();
    }
    if let Found::Ours(group) = &mut observed.security_group {
        group.ingress.clear();
    }
    observed.fleet.alive[0].state = "stopped".into();
    insta::assert_snapshot!(short(&plan(BASE, &observed)));
}

#[test]
fn a_replacement_says_why_and_what_differs() {
    let text = with("[instance]", "type = \"t3.small\"\ncount = 2");
    insta::assert_snapshot!(short(&plan(&text, &built(&config(BASE)))));
}

#[test]
fn what_is_blocked_stands_alone_with_what_to_do() {
    let mut observed = nothing();
    observed.queue = built(&config(BASE)).queue;
    observed.queue = match observed.queue {
        Found::Ours(queue) => Found::Foreign(Foreign {
            reason: "the queue cats already exists and belongs to no stack".into(),
            adoptable: Some(queue),
            elsewhere: None,
        }),
        other => other,
    };
    observed.dlq = Found::foreign("the queue cats-dlq belongs to the stack \"dogs\" (tag thumb:stack)");
    let plan = plan(BASE, &observed);
    assert!(plan.changes.iter().any(|change| change.action == Action::Create));
    insta::assert_snapshot!(short(&plan));
}

#[test]
fn a_destroy_names_what_is_lost() {
    let mut observed = built(&config(BASE));
    if let Found::Ours(queue) = &mut observed.queue {
        queue.messages = 282;
    }
    let contents = Contents { thumbnails: Some((928, false)), code: Some((0, false)), reports: Vec::new() };
    let plan = plan_destroy(&config(BASE), &observed, &contents, &Selection::default());
    insta::assert_snapshot!(short(&plan));
}

#[test]
fn a_part_of_a_stack_says_what_was_compared() {
    let config = config(BASE);
    let observed = built(&config);
    let plan = plan_apply(&config, &desired(&config, &observed, "aa"), &observed, &Selection::of(&[Target::Queue]));
    let text = short(&plan);
    assert!(text.ends_with("No changes to dlq, queue. Nothing else was compared.\n"), "{text}");
}

#[test]
fn what_may_harm_is_a_warning() {
    let text = "name = \"cats\"\n[security_group]\nssh_from = [\"0.0.0.0/0\"]\n[profile]\npolicies = []\n";
    let mut observed = nothing();
    observed.policy_warnings = vec!["The policy Nope in [profile] does not exist.".into()];
    insta::assert_snapshot!(plan(text, &observed).warnings.join("\n"));
}
