//! The policy documents that thumb writes, and the comparison of documents.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::code_bucket::{BINARY_PREFIX, REPORT_PREFIX};
use crate::config::{Access, Config, Sources};

/// IAM's and S3's policy language.
pub const VERSION: &str = "2012-10-17";

/// Where the documents' ARNs point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsLocation {
    /// "aws", "aws-cn", "aws-us-gov".
    pub partition: String,
    pub account: String,
    pub region: String,
}

impl AwsLocation {
    pub fn queue_arn(&self, name: &str) -> String {
        let Self { partition, account, region } = self;
        format!("arn:{partition}:sqs:{region}:{account}:{name}")
    }

    pub fn log_group_arn(&self, name: &str) -> String {
        let Self { partition, account, region } = self;
        format!("arn:{partition}:logs:{region}:{account}:log-group:{name}")
    }

    pub fn topic_arn(&self, name: &str) -> String {
        let Self { partition, account, region } = self;
        format!("arn:{partition}:sns:{region}:{account}:{name}")
    }

    pub fn alarm_arn(&self, name: &str) -> String {
        let Self { partition, account, region } = self;
        format!("arn:{partition}:cloudwatch:{region}:{account}:alarm:{name}")
    }

    /// Of all regions: a dashboard belongs to none.
    pub fn dashboard_arn(&self, name: &str) -> String {
        let Self { partition, account, region: _ } = self;
        format!("arn:{partition}:cloudwatch::{account}:dashboard/{name}")
    }

    /// S3 as KMS knows it, in each key's own region ("kms:ViaService"): "s3.us-east-1.amazonaws.com".
    fn s3_in_regions_of(&self, keys: &[String]) -> BTreeSet<String> {
        let domain = if self.partition == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" };
        keys.iter().filter_map(|key| key.split(':').nth(3)).map(|region| format!("s3.{region}.{domain}")).collect()
    }

    pub fn bucket_arn(&self, name: &str) -> String {
        format!("arn:{}:s3:::{name}", self.partition)
    }

    /// A managed policy's ARN: AWS's own when only a name is given.
    pub fn policy_arn(&self, policy: &str) -> String {
        if policy.starts_with("arn:") {
            policy.to_owned()
        } else {
            format!("arn:{}:iam::aws:policy/{policy}", self.partition)
        }
    }
}

/// EC2 as a principal.
pub fn ec2_service(location: &AwsLocation) -> &'static str {
    if location.partition == "aws-cn" { "ec2.amazonaws.com.cn" } else { "ec2.amazonaws.com" }
}

/// The Sid of the only permission that an instance needs before its worker runs.
pub const FETCH_BINARY: &str = "FetchBinary";

/// The trust policy of the worker's role: EC2, for its instances.
pub fn trust(location: &AwsLocation) -> Value {
    json!({
        "Version": VERSION,
        "Statement": [{
            "Effect": "Allow", "Principal": { "Service": ec2_service(location) }, "Action": "sts:AssumeRole",
        }],
    })
}

/// The `Sid` of the statement that thumb adds to the trust policy of an adopted role.
const TRUST_SID: &str = "ThumbInstances";

/// The trust policy of an adopted role: the observed one plus the statements of `ours`.
pub fn with_trust(observed: &Value, ours: &Value) -> Value {
    let bare = |statement: &Value| {
        let mut statement = statement.clone();
        statement.as_object_mut().map(|fields| fields.remove("Sid"));
        canonical(&statement)
    };
    let mut all = statements(observed);
    for statement in statements(ours) {
        if !all.iter().any(|there| bare(there) == bare(&statement)) {
            let mut added = statement;
            added["Sid"] = TRUST_SID.into();
            all.push(added);
        }
    }
    with_statements(observed, all)
}

/// A trust policy without what [`with_trust`] added; `None` if it added nothing, or nothing else would be left.
pub fn without_trust(observed: &Value) -> Option<Value> {
    let all = statements(observed);
    let left: Vec<Value> = all.iter().filter(|statement| statement["Sid"] != TRUST_SID).cloned().collect();
    (left.len() < all.len() && !left.is_empty()).then(|| with_statements(observed, left))
}

/// A document's statements: a list, or a single one.
pub fn statements(document: &Value) -> Vec<Value> {
    match &document["Statement"] {
        Value::Array(statements) => statements.clone(),
        Value::Null => Vec::new(),
        statement => vec![statement.clone()],
    }
}

/// The document with these statements instead.
pub fn with_statements(document: &Value, statements: Vec<Value>) -> Value {
    let mut fields = document.as_object().cloned().unwrap_or_default();
    fields.entry("Version").or_insert_with(|| VERSION.into());
    fields.insert("Statement".into(), statements.into());
    Value::Object(fields)
}

/// The region of the first queue that a policy names.
pub fn queue_region(document: &Value) -> Option<String> {
    statements(document).iter().find_map(|statement| {
        let fields: Vec<&str> = statement["Resource"].as_str()?.split(':').collect();
        match fields[..] {
            ["arn", _, "sqs", region, ..] => Some(region.to_owned()),
            _ => None,
        }
    })
}

/// What the worker needs, and nothing else: read the sources and its binary, write thumbnails and its report, consume
/// the queue, send to the dead-letter queue. The two buckets must be the account's own: their names are shared by all of
/// AWS, and anyone can take a free name.
pub fn worker(config: &Config, location: &AwsLocation) -> Value {
    let sources: Vec<String> = match &config.buckets.sources {
        Sources::Any => vec![location.bucket_arn("*")],
        Sources::Buckets(buckets) => buckets.iter().map(|bucket| location.bucket_arn(bucket)).collect(),
    };
    let objects: Vec<String> = sources.iter().map(|bucket| format!("{bucket}/*")).collect();
    // To see whether a thumbnail is up to date or thumb's own, and to extend a manifest.
    let reads = config.worker.skip_existing || config.thumbnail.manifest || config.thumbnail.follow_deletes;
    let mut write = vec!["s3:PutObject"];
    if reads {
        write.insert(0, "s3:GetObject");
    }
    if config.thumbnail.follow_deletes {
        write.insert(0, "s3:DeleteObject");
    }
    let write = if let [only] = write[..] { json!(only) } else { json!(write) };
    let thumbnails = format!("{}/*", location.bucket_arn(&config.thumbnails_bucket(&location.account)));
    let code = location.bucket_arn(&config.code_bucket(&location.account));
    let own = json!({ "StringEquals": { "s3:ResourceAccount": location.account } });
    let mut statements = vec![
        json!({
            "Sid": "Consume",
            "Effect": "Allow",
            "Action": [
                "sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:GetQueueUrl",
                "sqs:ReceiveMessage",
            ],
            "Resource": location.queue_arn(&config.queue.name),
        }),
        json!({
            "Sid": "Reject",
            "Effect": "Allow",
            "Action": ["sqs:GetQueueUrl", "sqs:SendMessage"],
            "Resource": location.queue_arn(&config.queue.dlq),
        }),
        json!({
            "Sid": FETCH_BINARY,
            "Effect": "Allow",
            "Action": "s3:GetObject",
            "Resource": format!("{code}/{BINARY_PREFIX}*"),
            "Condition": own,
        }),
        json!({
            "Sid": "Report",
            "Effect": "Allow",
            "Action": "s3:PutObject",
            "Resource": format!("{code}/{REPORT_PREFIX}*"),
            "Condition": own,
        }),
        json!({ "Sid": "Write", "Effect": "Allow", "Action": write, "Resource": thumbnails, "Condition": own }),
    ];
    if config.buckets.access == Access::PublicRead {
        // This ACL and no other: with s3:PutObjectAcl alone an object could be given away.
        let public =
            json!({ "StringEquals": { "s3:ResourceAccount": location.account, "s3:x-amz-acl": "public-read" } });
        statements.push(json!({
            "Sid": "Publish",
            "Effect": "Allow",
            "Action": "s3:PutObjectAcl",
            "Resource": thumbnails,
            "Condition": public,
        }));
    }
    if !sources.is_empty() {
        statements
            .push(json!({ "Sid": "ReadSources", "Effect": "Allow", "Action": "s3:GetObject", "Resource": objects }));
        // Without permission to list, S3 answers 403 for a key that does not exist (API GetObject).
        statements
            .push(json!({ "Sid": "ListSources", "Effect": "Allow", "Action": "s3:ListBucket", "Resource": sources }));
    }
    let keys = &config.buckets.kms_keys;
    if !keys.is_empty() {
        statements.push(json!({
            "Sid": "UseKeys",
            "Effect": "Allow",
            // To read encrypted objects, and to write into an encrypted thumbnails bucket.
            "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
            "Resource": keys,
            "Condition": { "StringEquals": { "kms:ViaService": location.s3_in_regions_of(keys) } },
        }));
    }
    if config.logs.is_some() {
        statements.push(json!({
            "Sid": "WriteLogs",
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            // The streams of this group.
            "Resource": format!("{}:*", location.log_group_arn(&config.log_group())),
        }));
    }
    if config.notify.as_ref().is_some_and(|notify| notify.events) {
        statements.push(json!({
            "Sid": "TellEvents",
            "Effect": "Allow",
            "Action": "sns:Publish",
            "Resource": location.topic_arn(&config.topic()),
        }));
    }
    json!({ "Version": VERSION, "Statement": statements })
}

/// A bucket policy that lets everyone read objects.
pub fn public_read(bucket: &str, location: &AwsLocation) -> Value {
    json!({
        "Version": VERSION,
        "Statement": [{
            "Sid": "ThumbPublicRead",
            "Effect": "Allow",
            "Principal": "*",
            "Action": "s3:GetObject",
            "Resource": format!("{}/*", location.bucket_arn(bucket)),
        }],
    })
}

/// A document in one form of the several that mean the same: AWS gives back a list of one as a string, `"*"` as
/// `{"AWS": "*"}`, and lists of strings in another order.
pub fn canonical(document: &Value) -> Value {
    match document {
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(canonical).collect();
            if items.iter().all(Value::is_string) {
                items.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
                items.dedup();
            }
            match <[Value; 1]>::try_from(items) {
                Ok([item]) if item.is_string() => item,
                Ok([item]) => Value::Array(vec![item]),
                Err(items) => Value::Array(items),
            }
        }
        Value::Object(fields) => {
            let fields: Map<String, Value> =
                fields.iter().map(|(key, value)| (key.clone(), canonical(value))).collect();
            if fields.len() == 1 && fields.get("AWS").is_some_and(|principal| principal == "*") {
                return Value::String("*".into());
            }
            Value::Object(fields)
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thumbnails_may_be_read_only_where_the_worker_looks_at_them() {
        let location =
            AwsLocation { partition: "aws".into(), account: "123456789012".into(), region: "us-east-1".into() };
        let reads = |lines: &str| {
            let config = Config::parse(&format!("name = \"cats\"\n{lines}"), "").unwrap();
            let policy = worker(&config, &location);
            let statements = policy["Statement"].as_array().unwrap().clone();
            let write = statements.into_iter().find(|statement| statement["Sid"] == "Write").unwrap();
            write["Action"].to_string().contains("s3:GetObject")
        };
        assert!(!reads(""));
        assert!(reads("worker.skip_existing = true"));
        assert!(reads("thumbnail.manifest = true"));
        assert!(reads("thumbnail.follow_deletes = true"));
    }

    #[test]
    fn documents_that_mean_the_same_are_equal() {
        let ours = json!({ "Statement": [{ "Principal": "*", "Action": "s3:GetObject", "Resource": ["b", "a"] }] });
        let theirs = json!({ "Statement": [{ "Principal": { "AWS": "*" }, "Action": ["s3:GetObject"], "Resource": ["a", "b"] }] });
        assert_eq!(canonical(&ours), canonical(&theirs));
        let wider = json!({ "Statement": [{ "Principal": "*", "Action": "s3:*", "Resource": ["b", "a"] }] });
        assert_ne!(canonical(&ours), canonical(&wider));
    }

    fn location() -> AwsLocation {
        AwsLocation { partition: "aws".into(), account: "123456789012".into(), region: "us-east-1".into() }
    }

    #[test]
    fn the_worker_may_do_what_it_needs_and_nothing_else() {
        let config = Config::parse(
            "name = \"cats\"\n[buckets]\nsources = [\"cmsc389l-public\", \"holiday\"]\n\
             kms_keys = [\"arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab\"]\n\
             [thumbnail]\nkey = \"{bucket}/{name}-{width}x{height}.jpg\"",
            "thumb.toml",
        )
        .unwrap();
        insta::assert_snapshot!(serde_json::to_string_pretty(&worker(&config, &location())).unwrap());
    }

    #[test]
    fn as_many_sources_as_thumb_toml_takes_fit_into_the_policy() {
        let sources: Vec<String> = (10..60).map(|n| format!("\"{}{n}\"", "b".repeat(61))).collect();
        let key = "[thumbnail]\nkey = \"{bucket}/{name}-{width}x{height}.jpg\"";
        let text = format!("name = \"cats\"\n[buckets]\nsources = [{}]\n{key}", sources.join(", "));
        let document = worker(&Config::parse(&text, "thumb.toml").unwrap(), &location()).to_string();
        assert!(document.len() <= 10_240, "{}", document.len());
    }

    #[test]
    fn an_adopted_roles_trust_gains_a_statement_and_gets_it_back_off() {
        let theirs = json!({ "Version": VERSION, "Statement":
            { "Effect": "Allow", "Principal": { "Service": "lambda.amazonaws.com" }, "Action": "sts:AssumeRole" } });
        let ours = trust(&location());
        let both = with_trust(&theirs, &ours);
        assert_eq!(statements(&both).len(), 2);
        assert_eq!(statements(&both)[0], theirs["Statement"]);
        assert_eq!(statements(&both)[1]["Principal"], json!({ "Service": "ec2.amazonaws.com" }));
        assert_eq!(with_trust(&both, &ours), both, "once is enough");
        assert_eq!(statements(&without_trust(&both).unwrap()), statements(&theirs));
        assert_eq!(without_trust(&ours), None, "a role that trusted EC2 before still does");
        assert_eq!(with_trust(&ours, &ours), ours);
    }

    #[test]
    fn a_policy_says_in_which_region_its_queue_is() {
        let config = Config::parse("name = \"cats\"", "thumb.toml").unwrap();
        let there = AwsLocation { region: "eu-west-1".into(), ..location() };
        assert_eq!(queue_region(&worker(&config, &there)).as_deref(), Some("eu-west-1"));
        assert_eq!(queue_region(&json!({ "Statement": [{ "Resource": "*" }] })), None);
    }
}
