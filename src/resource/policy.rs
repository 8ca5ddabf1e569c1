//! The policy documents that thumb writes, and when two documents are the same.

use serde_json::{Map, Value, json};

use crate::config::{Access, Config, Sources};

/// IAM's and S3's policy language.
const VERSION: &str = "2012-10-17";

/// Where the documents' ARNs point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// "aws", "aws-cn", "aws-us-gov".
    pub partition: String,
    pub account: String,
    pub region: String,
}

impl Site {
    pub fn queue_arn(&self, name: &str) -> String {
        let Self { partition, account, region } = self;
        format!("arn:{partition}:sqs:{region}:{account}:{name}")
    }

    fn bucket_arn(&self, name: &str) -> String {
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

/// Who may take on the worker's role: EC2, for its instances.
pub fn trust(site: &Site) -> Value {
    let service = if site.partition == "aws-cn" { "ec2.amazonaws.com.cn" } else { "ec2.amazonaws.com" };
    json!({
        "Version": VERSION,
        "Statement": [{ "Effect": "Allow", "Principal": { "Service": service }, "Action": "sts:AssumeRole" }],
    })
}

/// What the worker needs, and nothing else: read the sources and its binary, write thumbnails, consume the queue,
/// send to the dead-letter queue.
pub fn worker(config: &Config, site: &Site) -> Value {
    let sources: Vec<String> = match &config.buckets.sources {
        Sources::Any => vec![site.bucket_arn("*")],
        Sources::Buckets(buckets) => buckets.iter().map(|bucket| site.bucket_arn(bucket)).collect(),
    };
    let objects: Vec<String> = sources.iter().map(|bucket| format!("{bucket}/*")).collect();
    let mut write = vec!["s3:PutObject"];
    if config.buckets.access == Access::PublicRead {
        write.push("s3:PutObjectAcl");
    }
    if config.worker.skip_existing {
        // HeadObject: is the thumbnail there already?
        write.push("s3:GetObject");
    }
    let thumbnails = site.bucket_arn(&config.thumbnails_bucket(&site.account));
    let mut statements = vec![
        json!({
            "Sid": "Consume",
            "Effect": "Allow",
            "Action": [
                "sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:GetQueueUrl",
                "sqs:ReceiveMessage",
            ],
            "Resource": site.queue_arn(&config.queue.name),
        }),
        json!({
            "Sid": "Reject",
            "Effect": "Allow",
            "Action": ["sqs:GetQueueUrl", "sqs:SendMessage"],
            "Resource": site.queue_arn(&config.queue.dlq),
        }),
        json!({
            "Sid": "FetchBinary",
            "Effect": "Allow",
            "Action": "s3:GetObject",
            "Resource": format!("{}/thumb-*", site.bucket_arn(&config.code_bucket(&site.account))),
        }),
        json!({ "Sid": "Write", "Effect": "Allow", "Action": write, "Resource": format!("{thumbnails}/*") }),
        // HeadBucket at start, so that a worker without its bucket says so at once.
        json!({ "Sid": "FindBucket", "Effect": "Allow", "Action": "s3:ListBucket", "Resource": thumbnails }),
    ];
    if !sources.is_empty() {
        statements
            .push(json!({ "Sid": "ReadSources", "Effect": "Allow", "Action": "s3:GetObject", "Resource": objects }));
        // Without the right to list, S3 answers 403 for a key that does not exist (API GetObject).
        statements
            .push(json!({ "Sid": "ListSources", "Effect": "Allow", "Action": "s3:ListBucket", "Resource": sources }));
    }
    json!({ "Version": VERSION, "Statement": statements })
}

/// A bucket policy that lets everyone read objects.
pub fn public_read(bucket: &str, site: &Site) -> Value {
    json!({
        "Version": VERSION,
        "Statement": [{
            "Sid": "ThumbPublicRead",
            "Effect": "Allow",
            "Principal": "*",
            "Action": "s3:GetObject",
            "Resource": format!("{}/*", site.bucket_arn(bucket)),
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
    fn documents_that_mean_the_same_are_equal() {
        let ours = json!({ "Statement": [{ "Principal": "*", "Action": "s3:GetObject", "Resource": ["b", "a"] }] });
        let theirs = json!({ "Statement": [{ "Principal": { "AWS": "*" }, "Action": ["s3:GetObject"], "Resource": ["a", "b"] }] });
        assert_eq!(canonical(&ours), canonical(&theirs));
        let wider = json!({ "Statement": [{ "Principal": "*", "Action": "s3:*", "Resource": ["b", "a"] }] });
        assert_ne!(canonical(&ours), canonical(&wider));
    }

    #[test]
    fn the_worker_may_do_what_it_needs_and_nothing_else() {
        let config = Config::parse(
            "name = \"cats\"\n[buckets]\nsources = [\"cmsc389l-public\", \"holiday\"]\n\
             [thumbnail]\nkey = \"{bucket}/{name}-{width}x{height}.jpg\"",
            "thumb.toml",
        )
        .unwrap();
        let site = Site { partition: "aws".into(), account: "123456789012".into(), region: "us-east-1".into() };
        insta::assert_snapshot!(serde_json::to_string_pretty(&worker(&config, &site)).unwrap());
    }
}
