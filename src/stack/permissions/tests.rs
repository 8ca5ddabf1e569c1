//! The policies, command by command.

use super::*;

fn location() -> AwsLocation {
    AwsLocation { partition: "aws".into(), account: "123456789012".into(), region: "eu-west-1".into() }
}

fn config(text: &str) -> Config {
    Config::parse(&format!("name = \"cats\"\n{text}"), "").unwrap()
}

fn lines(policy: &Value) -> String {
    let words = |value: &Value| match value {
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n    "),
        other => other.as_str().unwrap_or_default().to_owned(),
    };
    let line = |statement: &Value| {
        let condition = statement.get("Condition").map(|condition| format!("\n  if {condition}")).unwrap_or_default();
        format!(
            "{}\n    {}\n  on\n    {}{condition}",
            words(&statement["Sid"]),
            words(&statement["Action"]),
            words(&statement["Resource"])
        )
    };
    policy["Statement"].as_array().unwrap().iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_command_has_its_rights_on_the_stacks_own_resources() {
    let config =
        config("[buckets]\nsources = [\"photos\"]\n[instance]\nkey_pair = \"me\"\n[[trigger]]\nbucket = \"photos\"");
    for command in Command::ALL {
        insta::assert_snapshot!(format!("policy_{command}"), lines(&policy(&[command], &config, &location())));
    }
}

#[test]
fn a_group_has_rights_of_its_own() {
    let config = config("[scaling]");
    for command in [Command::Plan, Command::Apply, Command::Destroy] {
        let policy = policy(&[command], &config, &location());
        insta::assert_snapshot!(format!("scaling_policy_{command}"), lines(&policy));
    }
}

#[test]
fn no_statement_is_there_twice() {
    let text = "[buckets]\nsources = [\"photos\"]\n[scaling]\n[[trigger]]\nbucket = \"photos\"";
    let all = statements(&Command::ALL, &config(text), &location());
    let sids: Vec<&str> = all.iter().map(|statement| statement["Sid"].as_str().unwrap()).collect();
    let once: std::collections::BTreeSet<&str> = sids.iter().copied().collect();
    assert_eq!(once.len(), sids.len(), "{sids:?}");
}

#[test]
fn what_thumb_toml_does_not_ask_for_is_not_allowed() {
    let allowed = |text: &str, action: &str| {
        let policy = policy(&[Command::Apply], &config(text), &location());
        lines(&policy).lines().any(|line| line.trim() == action)
    };
    for (text, action) in [
        ("[instance]\nkey_pair = \"me\"", "ec2:DescribeKeyPairs"),
        ("[profile]\npolicies = [\"AmazonS3FullAccess\"]", "iam:AttachRolePolicy"),
        ("[buckets]\naccess = \"policy\"", "s3:PutBucketPolicy"),
    ] {
        assert!(allowed(text, action) && !allowed("", action), "{action}");
    }
    for (text, action) in [
        ("[instance]\ncount = 0", "ec2:RunInstances"),
        ("[profile]\npolicies = [\"AmazonS3FullAccess\"]", "iam:PutRolePolicy"),
        ("[instance]\nsubnet = \"subnet-0123456789abcdef0\"", "ec2:DescribeVpcs"),
    ] {
        assert!(!allowed(text, action) && allowed("", action), "{action}");
    }
}

#[test]
fn an_account_that_is_not_known_is_a_star_in_every_name() {
    let location = AwsLocation { account: "*".into(), region: "*".into(), ..location() };
    let text = lines(&policy(&Command::ALL, &config(""), &location));
    assert!(text.contains("arn:aws:s3:::cats-thumbnails-*\n") && text.contains("arn:aws:sqs:*:*:cats-dlq"), "{text}");
    assert!(!text.contains("aws:RequestedRegion"), "{text}");
}

#[test]
fn each_command_alone_fits_into_a_managed_policy() {
    // Names as long as they may be; a worker's own grow with `sources`, and stand in an inline policy.
    let name = "c".repeat(39);
    let config = Config::parse(&format!("name = \"{name}\""), "").unwrap();
    for command in [Command::Plan, Command::Apply, Command::Destroy, Command::Enqueue] {
        let text = policy(&[command], &config, &location()).to_string();
        assert!(text.len() <= MAX_POLICY_CHARACTERS, "{command}: {}", text.len());
    }
    // With everything that has rights of its own, for a stack with a name of usual length.
    let toml = "name = \"my-photos\"\nnetwork.public_ip = false\n[scaling]\n[[trigger]]\nbucket = \"my-uploads\"";
    let config = Config::parse(toml, "").unwrap();
    let text = policy(&[Command::Apply], &config, &location()).to_string();
    assert!(text.len() <= MAX_POLICY_CHARACTERS, "apply with [scaling]: {}", text.len());
    let text = format!("{toml}\n[notify]\ntopic = true\n[dashboard]\non = true");
    let config = Config::parse(&text, "").unwrap();
    let text = policy(&[Command::Apply], &config, &location()).to_string();
    assert!(text.len() <= MAX_POLICY_CHARACTERS, "apply with everything: {}", text.len());
    assert!(text.contains("\"ec2:Describe*\"") && !text.contains("ec2:DescribeVpcs"), "{text}");
}

#[test]
fn a_long_policy_says_the_same_in_fewer_statements() {
    let of = |sid: &str, actions: &[&str], resource: &str| allow(sid, actions, &[resource]);
    let merged = merged(vec![of("A", &["x:b", "x:a"], "r"), of("B", &["x:c"], "other"), of("C", &["x:d"], "r")]);
    let allowed =
        |actions: &[&str], resource: &str| json!({ "Effect": "Allow", "Action": actions, "Resource": [resource] });
    assert_eq!(merged, [allowed(&["x:a", "x:b", "x:d"], "r"), allowed(&["x:c"], "other")]);
    // Of another service, about a resource of its own.
    let packed = |statements| super::merged(statements);
    let one = packed(vec![of("A", &["x:a"], "arn:x"), of("B", &["y:b"], "arn:y")]);
    let both = json!({ "Effect": "Allow", "Action": ["x:a", "y:b"], "Resource": ["arn:x", "arn:y"] });
    assert_eq!(one, [both]);
    let apart = packed(vec![of("A", &["x:a"], "arn:x"), of("B", &["y:b"], "*"), of("C", &["x:c"], "arn:z")]);
    assert_eq!(apart.len(), 3);
}
