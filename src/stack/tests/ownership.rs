//! Whose a resource is: other regions' stacks, what was adopted and is released, and what a plan says about it.

use serde_json::json;

use super::*;
use crate::stack::resources::{ADOPTED_TAG, REGION_TAG, Tags};

/// Everything of the stack as it is when each resource was adopted.
fn adopted(config: &Config) -> Observed {
    let mut observed = built(config);
    let mark = |tags: &mut Tags| {
        tags.insert(ADOPTED_TAG.into(), "true".into());
        tags.insert("owner".into(), "somebody".into());
    };
    ours(&mut observed.dlq, |found| mark(&mut found.tags));
    ours(&mut observed.queue, |found| mark(&mut found.tags));
    ours(&mut observed.thumbnails, |found| mark(&mut found.tags));
    ours(&mut observed.code, |found| mark(&mut found.tags));
    ours(&mut observed.role, |found| mark(&mut found.tags));
    ours(&mut observed.profile, |found| mark(&mut found.tags));
    ours(&mut observed.security_group, |found| mark(&mut found.tags));
    ours(&mut observed.log_group, |found| mark(&mut found.tags));
    observed
}

fn ours<T>(found: &mut Found<T>, change: impl FnOnce(&mut T)) {
    let Found::Ours(thing) = found else { panic!("it was built") };
    change(thing);
}

#[test]
fn destroy_releases_what_was_adopted_and_deletes_the_rest() {
    let config = config(BASE);
    let observed = adopted(&config);
    let contents = Contents {
        thumbnails: Some((20_000, true)),
        code: Some((3, false)),
        reports: vec!["workers/i-1.json".to_owned()],
    };
    let plan = plan_destroy(&config, &observed, &contents, &Selection::default());
    for change in &plan.changes {
        let expected = match change.address {
            Address::Binary | Address::Instance(_) => Action::Delete,
            _ => Action::Update,
        };
        assert_eq!(change.action, expected, "{}", change.address);
    }
    insta::assert_snapshot!(text(&plan));
}

#[test]
fn what_was_adopted_needs_no_change_once_it_is_as_declared() {
    let config = config(BASE);
    let plan = plan(BASE, &adopted(&config));
    assert!(plan.is_empty(), "{}", text(&plan));
}

#[test]
fn an_adopted_role_gains_rights_and_loses_none_now_or_later() {
    let mut observed = built(&config(BASE));
    let lambda = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Principal": { "Service": "lambda.amazonaws.com" }, "Action": "sts:AssumeRole" },
    ] });
    ours(&mut observed.role, |role| {
        role.trust = lambda.clone();
        role.inline = BTreeMap::from([("db".to_owned(), json!({ "Statement": [] }))]);
        role.attached = vec!["arn:aws:iam::aws:policy/ReadOnlyAccess".to_owned()];
        role.boundary = Some("arn:aws:iam::123456789012:policy/limits".to_owned());
        role.tags = BTreeMap::from([("owner".to_owned(), "somebody".to_owned())]);
    });
    let first = plan(BASE, &observed);
    let lost = |plan: &Plan| {
        let role = plan.changes.iter().find(|change| change.address == Address::Role).unwrap();
        let takes_away = |step: &crate::stack::Operation| match step {
            crate::stack::Operation::Role(role::Step::DeleteInline { .. } | role::Step::Detach { .. }) => true,
            crate::stack::Operation::Role(role::Step::Tag { remove, .. }) => !remove.is_empty(),
            crate::stack::Operation::Role(role::Step::SetTrust { trust, .. }) => !trust.to_string().contains("lambda"),
            _ => false,
        };
        role.steps.iter().filter(|step| takes_away(step)).count()
    };
    assert_eq!(lost(&first), 0, "{}", text(&first));

    // A later apply, with another policy: its tag says that the role was adopted.
    ours(&mut observed.role, |role| {
        role.tags.insert(STACK_TAG.into(), "cats".into());
        role.tags.insert(ADOPTED_TAG.into(), "true".into());
    });
    let later = plan(&with("[profile]", "policies = [\"AmazonS3FullAccess\"]"), &observed);
    assert_eq!(lost(&later), 0, "{}", text(&later));
    insta::assert_snapshot!(
        [first, later]
            .map(|plan| {
                let roles = plan.changes.iter().filter(|change| change.address == Address::Role).cloned().collect();
                text(&Plan::new(plan.purpose, &plan.stack, &plan.account, &plan.region, roles))
            })
            .join("\n---\n\n")
    );
}

#[test]
fn an_adopted_bucket_that_holds_something_is_not_opened() {
    let access = with("[buckets]", "access = \"policy\"");
    let mut observed = built(&config(BASE));
    ours(&mut observed.thumbnails, |bucket| {
        bucket.holds_objects = true;
        bucket.tags = Tags::new();
    });
    let blocked = |observed: &Observed| {
        let plan = plan(&access, observed);
        let bucket = plan.changes.iter().find(|change| change.address == Address::ThumbnailsBucket).unwrap();
        (bucket.action == Action::Blocked).then(|| bucket.reason.clone().unwrap())
    };
    assert!(blocked(&observed).unwrap().contains("would let everyone read all of it"));
    ours(&mut observed.thumbnails, |bucket| bucket.holds_objects = false);
    assert_eq!(blocked(&observed), None, "an empty one may be");
    ours(&mut observed.thumbnails, |bucket| {
        bucket.holds_objects = true;
        bucket.tags = BTreeMap::from([(STACK_TAG.to_owned(), "cats".to_owned())]);
    });
    assert_eq!(blocked(&observed), None, "and so may the thumbnails that thumb has made");
}

#[test]
fn an_adopted_profile_keeps_its_role() {
    let mut observed = built(&config(BASE));
    ours(&mut observed.profile, |profile| {
        profile.role = Some("web-server".into());
        profile.tags = Tags::new();
    });
    let plan = plan(BASE, &observed);
    let profile = plan.changes.iter().find(|change| change.address == Address::InstanceProfile).unwrap();
    assert_eq!(profile.action, Action::Blocked, "{profile:?}");
    assert!(
        profile.reason.as_ref().unwrap().contains("it contains the role web-server, which would have to be removed")
    );
}

#[test]
fn another_regions_role_and_profile_are_foreign() {
    let there = "eu-west-1";
    let tags = |region: Option<&str>| {
        let mut tags = Tags::from([(STACK_TAG.to_owned(), "cats".to_owned())]);
        tags.extend(region.map(|region| (REGION_TAG.to_owned(), region.to_owned())));
        tags
    };
    let found = Found::by_tags("cats", &tags(Some(there)), "the role cats-worker", ());
    let Found::Foreign(foreign) = found.in_region("cats", "us-east-1", Some(there), "the role cats-worker") else {
        panic!("it is another region's")
    };
    assert_eq!(foreign.reason, "the role cats-worker belongs to the stack cats in eu-west-1");
    assert_eq!(foreign.adoptable, None, "and not to be adopted");
    let found = Found::by_tags("cats", &tags(None), "the role cats-worker", ());
    assert_eq!(found.in_region("cats", "us-east-1", None, "the role cats-worker"), Found::Ours(()));

    // A profile without the tag goes by its role.
    let mut observed = built(&config(BASE));
    ours(&mut observed.profile, |profile| profile.tags = tags(None));
    let profile = instance_profile::beside_role(
        observed.profile.clone(),
        "cats",
        "us-east-1",
        "cats-worker",
        &Found::elsewhere("the role cats-worker belongs to the stack cats in eu-west-1", there),
    );
    assert!(matches!(profile, Found::Foreign(foreign) if foreign.elsewhere.as_deref() == Some(there)));
    let profile =
        instance_profile::beside_role(observed.profile.clone(), "cats", "us-east-1", "cats-worker", &observed.role);
    assert!(profile.ours().is_some());
}

#[test]
fn a_bucket_in_another_region_stops_a_destroy() {
    let config = config(BASE);
    let mut observed = built(&config);
    observed.thumbnails = Found::elsewhere("a bucket of this name exists in the region eu-west-1", "eu-west-1");
    let plan = |targets: &[Target]| plan_destroy(&config, &observed, &Contents::default(), &Selection::of(targets));
    let expected = ("cats-thumbnails-123456789012".to_owned(), "eu-west-1".to_owned());
    assert_eq!(misplaced_bucket(&config, &observed, &plan(&[])), Some(expected));
    assert_eq!(misplaced_bucket(&config, &observed, &plan(&[Target::SecurityGroup])), None);
}

/// What thumb.toml needs for several sources.
const KEY_WITH_BUCKET: &str = "[thumbnail]\nkey = \"{bucket}/{name}-{width}x{height}.jpg\"\n";

#[test]
fn who_may_read_what_is_said() {
    let warnings = |text: &str, observed: &Observed| plan(text, observed).warnings.join("\n");
    let any = format!("{}{KEY_WITH_BUCKET}", BASE.replace("\"cmsc389l-public\"", "\"*\""));
    let private = with("[buckets]", "access = \"private\"");
    assert!(!warnings(&private, &nothing()).contains("public"), "{}", warnings(&private, &nothing()));
    let launch_options =
        LaunchOptions { source_warnings: vec!["The bucket x in `sources` does not exist.".into()], ..launch_options() };
    let config = config(BASE);
    let desired = Desired::new(&config, &nothing(), &launch_options, executable("aa"), None);
    let unreadable = plan_apply(&config, &desired, &nothing(), &Selection::default()).warnings.join("\n");
    insta::assert_snapshot!(
        [warnings(BASE, &nothing()), warnings(&any, &built(&super::config(&any))), unreadable].join("\n---\n")
    );
}

#[test]
fn a_policy_that_iam_would_refuse_blocks_the_role() {
    let mut observed = nothing();
    observed.location.partition = "aws-us-gov".into();
    let sources: Vec<String> = (10..60).map(|n| format!("\"{}{n}\"", "b".repeat(61))).collect();
    let keys: Vec<String> = (10..20)
        .map(|n| format!("\"arn:aws-us-gov:kms:us-gov-west-1:123456789012:key/{}\"", format!("{n}").repeat(18)))
        .collect();
    let text =
        BASE.replace("\"cmsc389l-public\"]", &format!("{}]\nkms_keys = [{}]", sources.join(", "), keys.join(", ")));
    let plan = plan(&format!("{text}{KEY_WITH_BUCKET}"), &observed);
    let role = plan.changes.iter().find(|change| change.address == Address::Role).unwrap();
    assert_eq!(role.action, Action::Blocked);
    assert!(role.reason.as_ref().unwrap().contains("characters, but IAM allows 10240"), "{role:?}");
}

#[test]
fn a_boundary_is_set_and_what_an_administrator_has_set_stays() {
    let arn = "arn:aws:iam::123456789012:policy/limits";
    let text = with("[profile]", &format!("permissions_boundary = \"{arn}\""));
    let role = |plan: &Plan| plan.changes.iter().find(|change| change.address == Address::Role).unwrap().clone();
    let new = role(&plan(&text, &nothing()));
    assert!(new.attributes.iter().any(|attribute| attribute.name == "permissions_boundary"), "{new:?}");
    let set = role(&plan(&text, &built(&config(BASE))));
    assert_eq!(set.steps, [role::Step::SetBoundary { name: "cats-worker".into(), arn: arn.into() }.into()]);
    assert!(
        plan(BASE, &built(&config(&text)))
            .changes
            .iter()
            .all(|change| change.address != Address::Role || change.action == Action::None)
    );
}

#[test]
fn workers_do_not_write_to_what_belongs_to_others() {
    let text = format!("{BASE}\n[notify]\ntopic = true");
    for (address, foreign) in [
        ("log-group", Observed { log_group: Found::foreign("it is somebody else's"), ..nothing() }),
        ("topic", Observed { topic: Found::foreign("it is somebody else's"), ..nothing() }),
    ] {
        let plan = plan(&text, &foreign);
        let instance = plan.changes.iter().find(|change| change.address == Address::Instance(1)).unwrap();
        assert_eq!(instance.action, Action::Blocked, "{address}");
        assert_eq!(instance.reason.as_deref(), Some(format!("depends on {address}, which is blocked").as_str()));
    }
    // Where nothing is sent there, it does not matter.
    let off = format!("{BASE}\n[logs]\nretention = \"0\"");
    let theirs = Observed { log_group: Found::foreign("it is somebody else's"), ..nothing() };
    assert_eq!(plan(&off, &theirs).summary.blocked, 0);
}
