//! The queue's policy: it lets S3 send the events of the triggers' buckets, and nobody else anything. Statements of others
//! stay. It is also the record of the buckets that have rules of the stack: a bucket has its statement before it gets a rule,
//! and keeps it until the rule is gone. Pure.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::stack::resources::policy::{AwsLocation, VERSION, canonical, statements, with_statements};
use crate::text::hex;

/// What the `Sid` of every statement of thumb's begins with; letters and digits only (IAM user guide, "Sid").
const SID: &str = "ThumbTrigger";

/// Lets S3 send the events of one bucket of the account (S3 user guide, "Granting permissions to publish event notification
/// messages to a destination"). Without the two conditions every bucket of every account could.
pub fn statement(location: &AwsLocation, queue: &str, bucket: &str) -> Value {
    let id = hex(&Sha256::digest(bucket)[..8]);
    json!({
        "Sid": format!("{SID}{id}"),
        "Effect": "Allow",
        "Principal": { "Service": "s3.amazonaws.com" },
        "Action": "sqs:SendMessage",
        "Resource": location.queue_arn(queue),
        "Condition": {
            "ArnEquals": { "aws:SourceArn": location.bucket_arn(bucket) },
            "StringEquals": { "aws:SourceAccount": location.account },
        },
    })
}

fn is_ours(statement: &Value) -> bool {
    statement["Sid"].as_str().is_some_and(|sid| sid.starts_with(SID))
}

/// The buckets whose events the stack lets in.
pub fn buckets(policy: Option<&Value>) -> BTreeSet<String> {
    let all = policy.map(statements).unwrap_or_default();
    let arns = all.iter().filter(|statement| is_ours(statement)).filter_map(|statement| {
        let arn = canonical(&statement["Condition"]["ArnEquals"]["aws:SourceArn"]);
        arn.as_str().and_then(|arn| arn.rsplit(':').next()).map(str::to_owned)
    });
    arns.collect()
}

/// The policy with exactly these statements of thumb's, and everything of others; `None`: no statement is left, and so no
/// policy.
pub fn with(policy: Option<&Value>, ours: &[Value]) -> Option<Value> {
    let empty = json!({ "Version": VERSION, "Statement": [] });
    let policy = policy.unwrap_or(&empty);
    let mut all: Vec<Value> = statements(policy).into_iter().filter(|statement| !is_ours(statement)).collect();
    all.extend(ours.iter().cloned());
    (!all.is_empty()).then(|| with_statements(policy, all))
}

/// The policy while triggers change: the new statements, and those of buckets whose rules are still to go.
pub fn with_leaving(policy: Option<&Value>, ours: &[Value]) -> Option<Value> {
    let staying: BTreeSet<&str> = ours.iter().filter_map(|statement| statement["Sid"].as_str()).collect();
    let there = policy.map(statements).unwrap_or_default();
    let leaving =
        there.into_iter().filter(|one| is_ours(one) && one["Sid"].as_str().is_some_and(|sid| !staying.contains(sid)));
    with(policy, &ours.iter().cloned().chain(leaving).collect::<Vec<_>>())
}

/// Whether two policies mean the same.
pub fn same(one: Option<&Value>, other: Option<&Value>) -> bool {
    let meaning = |policy: &Value| {
        let mut all: Vec<Value> = statements(policy).iter().map(canonical).collect();
        all.sort_by_key(Value::to_string);
        all
    };
    one.map(meaning).unwrap_or_default() == other.map(meaning).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location() -> AwsLocation {
        AwsLocation { partition: "aws".into(), account: "123456789012".into(), region: "us-east-1".into() }
    }

    fn of(bucket: &str) -> Value {
        statement(&location(), "cats", bucket)
    }

    #[test]
    fn only_the_buckets_own_events_are_let_in() {
        insta::assert_snapshot!(serde_json::to_string_pretty(&of("uploads")).unwrap());
        assert_ne!(of("uploads")["Sid"], of("uploads-2")["Sid"]);
    }

    #[test]
    fn statements_of_others_stay_and_ours_are_replaced() {
        let theirs = json!({ "Sid": "Mine", "Effect": "Allow", "Principal": { "AWS": "arn:aws:iam::1:root" },
            "Action": "sqs:SendMessage", "Resource": "*" });
        let policy = json!({ "Version": "2008-10-17", "Id": "x", "Statement": theirs });
        let one = with(Some(&policy), &[of("a")]).unwrap();
        assert_eq!(one["Id"], "x");
        assert_eq!(one["Statement"], json!([theirs, of("a")]));
        assert_eq!(buckets(Some(&one)), BTreeSet::from(["a".to_owned()]));
        // On the way from a to b both are let in.
        let both = with_leaving(Some(&one), &[of("b")]).unwrap();
        assert_eq!(buckets(Some(&both)), BTreeSet::from(["a".to_owned(), "b".to_owned()]));
        let left = with(Some(&both), &[]).unwrap();
        assert_eq!(left["Statement"], json!([theirs]));
        assert_eq!(with(Some(&json!({ "Statement": [of("a")] })), &[]), None, "no policy is left");
        assert_eq!(with(None, &[]), None);
    }

    #[test]
    fn a_policy_that_means_the_same_is_the_same() {
        let one = with(None, &[of("a"), of("b")]).unwrap();
        let mut other = with(None, &[of("b"), of("a")]).unwrap();
        other["Statement"][0]["Action"] = json!(["sqs:SendMessage"]);
        assert!(same(Some(&one), Some(&other)));
        other["Statement"][0]["Action"] = json!("sqs:*");
        assert!(!same(Some(&one), Some(&other)));
        assert!(same(None, None) && !same(None, Some(&one)));
    }
}
