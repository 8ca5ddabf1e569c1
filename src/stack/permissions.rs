//! The permissions of a command: the IAM policy that `thumb policy` prints, for an AWS administrator. Pure. The actions are
//! those of the calls that the command makes for this thumb.toml; the resources are as narrow as the "Service Authorization
//! Reference" allows. tests/permissions.rs compares the policy with the calls.

mod making;
mod monitoring;
mod scaling;
mod shortening;
mod using;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value, json};

use crate::config::{Config, Sources};
use crate::stack::resources::STACK_TAG;
use crate::stack::resources::policy::{self, AwsLocation};
use shortening::{describing, merged};

/// A managed policy has at most this many characters, white space not counted (IAM quotas).
pub const MAX_POLICY_CHARACTERS: usize = 6_144;

/// A command that makes calls to AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// `plan --destroy` too.
    Plan,
    /// Everything but destroying the stack: also what a later change of thumb.toml removes.
    Apply,
    Destroy,
    Enqueue,
    Backfill,
    Work,
    Dlq,
    Logs,
    Gallery,
    /// Beside those of `plan`.
    Doctor,
    /// Likewise.
    Status,
}

impl Command {
    pub const ALL: [Command; 11] = [
        Self::Plan,
        Self::Apply,
        Self::Destroy,
        Self::Enqueue,
        Self::Backfill,
        Self::Work,
        Self::Dlq,
        Self::Logs,
        Self::Gallery,
        Self::Doctor,
        Self::Status,
    ];
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plan => "plan",
            Self::Apply => "apply",
            Self::Destroy => "destroy",
            Self::Enqueue => "enqueue",
            Self::Backfill => "backfill",
            Self::Work => "work",
            Self::Dlq => "dlq",
            Self::Logs => "logs",
            Self::Gallery => "gallery",
            Self::Doctor => "doctor",
            Self::Status => "status",
        })
    }
}

impl FromStr for Command {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|command| command.to_string() == text).ok_or_else(|| {
            let known: Vec<String> = Self::ALL.iter().map(Self::to_string).collect();
            format!("{text:?} is not one of {}", known.join(", "))
        })
    }
}

/// The policy that allows these commands for the stack of `config`. Where `location` has `*` for the account or the region,
/// so have the resources.
///
/// sts:GetCallerIdentity is not in it: AWS lets every caller make that call (API GetCallerIdentity).
pub fn policy(commands: &[Command], config: &Config, location: &AwsLocation) -> Value {
    let statements = statements(commands, config, location);
    let policy = |statements: Vec<Value>| json!({ "Version": policy::VERSION, "Statement": statements });
    let whole = policy(statements.clone());
    let fits = |policy: &Value| policy.to_string().len() <= MAX_POLICY_CHARACTERS;
    // As it reads best, if it fits.
    if fits(&whole) {
        return whole;
    }
    let short = policy(merged(statements.clone()));
    if fits(&short) { short } else { policy(merged(statements.into_iter().map(describing).collect())) }
}

fn statements(commands: &[Command], config: &Config, location: &AwsLocation) -> Vec<Value> {
    let stack = Stack::new(config, location);
    let asked = |any: &[Command]| commands.iter().any(|command| any.contains(command));
    let mut statements = Vec::new();
    if asked(&[Command::Plan, Command::Apply, Command::Destroy, Command::Doctor, Command::Status]) {
        stack.read(&mut statements);
    }
    if asked(&[Command::Plan, Command::Apply, Command::Doctor, Command::Status]) {
        stack.read_launch_options(&mut statements);
    }
    if asked(&[Command::Apply]) {
        stack.make(&mut statements);
    }
    if asked(&[Command::Destroy]) {
        stack.take_away(&mut statements);
    }
    if asked(&[Command::Enqueue, Command::Backfill]) {
        stack.enqueue(&mut statements);
    }
    if asked(&[Command::Enqueue, Command::Backfill, Command::Gallery]) {
        statements.push(allow("FindThumbnails", &["s3:ListBucket"], &stack.buckets[..1]));
    }
    if asked(&[Command::Enqueue]) {
        stack.look_and_wait(&mut statements);
    }
    if asked(&[Command::Work]) {
        stack.work(&mut statements);
    }
    if asked(&[Command::Dlq]) {
        stack.dlq(&mut statements);
    }
    if asked(&[Command::Status]) {
        stack.status(&mut statements);
    }
    if asked(&[Command::Logs]) {
        stack.logs(&mut statements);
    }
    if asked(&[Command::Doctor]) {
        stack.doctor(&mut statements);
    }
    statements
}

/// A stack's resources by their ARNs.
struct Stack<'a> {
    config: &'a Config,
    location: &'a AwsLocation,
    queues: Vec<String>,
    buckets: Vec<String>,
    role: String,
    profile: String,
    /// As the calls about tags have it, and as the others have it (CloudWatch Logs user guide, "Resource ARNs").
    log_group: [String; 2],
    topic: String,
}

impl<'a> Stack<'a> {
    fn new(config: &'a Config, location: &'a AwsLocation) -> Self {
        let AwsLocation { partition, account, region: _ } = location;
        let buckets = [config.thumbnails_bucket(account), config.code_bucket(account)];
        let log_group = location.log_group_arn(&config.log_group());
        Self {
            config,
            location,
            queues: [&config.queue.name, &config.queue.dlq].map(|name| location.queue_arn(name)).to_vec(),
            buckets: buckets.iter().map(|name| location.bucket_arn(name)).collect(),
            role: format!("arn:{partition}:iam::{account}:role/{}", config.profile.role),
            profile: format!("arn:{partition}:iam::{account}:instance-profile/{}", config.profile.name),
            log_group: [format!("{log_group}:*"), log_group],
            topic: location.topic_arn(&config.topic()),
        }
    }

    fn bucket_arns(&self, buckets: &[String]) -> Vec<String> {
        buckets.iter().map(|bucket| self.location.bucket_arn(bucket)).collect()
    }

    /// The buckets of thumb.toml's triggers. One that is taken out of thumb.toml is still needed for one `apply`.
    fn trigger_buckets(&self) -> Vec<String> {
        let buckets: BTreeSet<&str> = self.config.triggers.iter().map(|trigger| trigger.bucket.as_str()).collect();
        buckets.into_iter().map(|bucket| self.location.bucket_arn(bucket)).collect()
    }

    fn change_triggers(&self, statements: &mut Vec<Value>) {
        let buckets = self.trigger_buckets();
        let once = statements.iter().all(|statement| statement["Sid"] != "ChangeTriggers");
        if !buckets.is_empty() && once {
            let change = ["s3:GetBucketNotification", "s3:PutBucketNotification"];
            statements.push(allow("ChangeTriggers", &change, &buckets));
        }
    }

    fn ec2(&self, what: &str) -> String {
        let AwsLocation { partition, account, region } = self.location;
        format!("arn:{partition}:ec2:{region}:{account}:{what}")
    }

    /// EC2 resources with the stack tag.
    fn ours(&self) -> Value {
        json!({ "StringEquals": { format!("aws:ResourceTag/{STACK_TAG}"): self.config.name } })
    }

    /// The calls that observe the stack.
    fn read(&self, statements: &mut Vec<Value>) {
        let former = [self.config.former_thumbnails_bucket(), self.config.former_code_bucket()];
        let former = former.iter().flatten().map(|name| self.location.bucket_arn(name));
        let buckets: Vec<String> = self.buckets.iter().cloned().chain(former).collect();
        let queues = ["sqs:GetQueueAttributes", "sqs:GetQueueUrl", "sqs:ListQueueTags"];
        statements.push(allow("ReadQueues", &queues, &self.queues));
        let read = [
            "s3:GetBucketOwnershipControls",
            "s3:GetBucketPolicy",
            "s3:GetBucketPublicAccessBlock",
            "s3:GetBucketTagging",
            "s3:ListBucket",
            "s3:ListBucketVersions",
        ];
        statements.push(allow("ReadBuckets", &read, &buckets));
        let triggers = self.trigger_buckets();
        if !triggers.is_empty() {
            statements.push(allow("ReadTriggers", &["s3:GetBucketNotification", "s3:ListBucket"], &triggers));
        }
        self.read_monitoring(statements);
        let read = ["iam:GetRole", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies", "iam:ListRolePolicies"];
        statements.push(allow("ReadRole", &read, &[&self.role]));
        let policies = &self.config.profile.policies;
        if !policies.is_empty() {
            let arns: Vec<String> = policies.iter().map(|policy| self.location.policy_arn(policy)).collect();
            statements.push(allow("CheckPolicies", &["iam:GetPolicy"], &arns));
        }
        statements.push(allow("ReadProfile", &["iam:GetInstanceProfile"], &[&self.profile]));
        let network = if self.config.instance.subnet.is_some() { "ec2:DescribeSubnets" } else { "ec2:DescribeVpcs" };
        let mut describe = vec![
            "ec2:DescribeInstanceAttribute",
            // Of instances with CPU credits.
            "ec2:DescribeInstanceCreditSpecifications",
            "ec2:DescribeInstances",
            "ec2:DescribeSecurityGroups",
            // An S3 endpoint from a time without public addresses.
            "ec2:DescribeVpcEndpoints",
            network,
        ];
        describe.extend(self.describe_monitoring());
        describe.extend(scaling::DESCRIBE);
        if self.has_endpoint() {
            describe.extend(["ec2:DescribeRouteTables", "ec2:DescribeSubnets"]);
            describe.sort_unstable();
            describe.dedup();
        }
        statements.push(self.in_region(allow("ReadInstances", &describe, &["*"])));
    }

    /// Whether there are instances without public addresses, which need an S3 endpoint.
    fn has_endpoint(&self) -> bool {
        let Config { instance, scaling, network, .. } = self.config;
        !network.public_ip && (instance.count > 0 || scaling.is_some())
    }

    /// The calls that make the S3 endpoint.
    fn make_endpoint(&self, statements: &mut Vec<Value>) {
        if !self.has_endpoint() {
            return;
        }
        let around = [self.ec2("route-table/*"), self.ec2("vpc-endpoint/*"), self.ec2("vpc/*")];
        let make = ["ec2:CreateVpcEndpoint", "ec2:ModifyVpcEndpoint"];
        statements.push(allow("MakeEndpoint", &make, &around));
    }

    /// The calls that read the launch options.
    fn read_launch_options(&self, statements: &mut Vec<Value>) {
        let mut describe = vec!["ec2:DescribeImages", "ec2:DescribeInstanceTypes", "ec2:DescribeSubnets"];
        if self.config.instance.key_pair.is_some() {
            describe.push("ec2:DescribeKeyPairs");
        }
        statements.push(self.in_region(allow("ReadOffers", &describe, &["*"])));
        if let Sources::Buckets(buckets) = &self.config.buckets.sources
            && !buckets.is_empty()
        {
            statements.push(allow("LookForSources", &["s3:ListBucket"], &self.bucket_arns(buckets)));
        }
    }

    /// The calls with which `destroy` deletes and releases.
    fn take_away(&self, statements: &mut Vec<Value>) {
        self.change_triggers(statements);
        statements.push(allow("DeleteQueues", &["sqs:DeleteQueue"], &self.queues));
        let delete = ["s3:DeleteBucket", "s3:ListBucketMultipartUploads"];
        statements.push(allow("DeleteBuckets", &delete, &self.buckets));
        self.delete_monitoring(statements);
        let objects: Vec<String> = self.buckets.iter().map(|bucket| format!("{bucket}/*")).collect();
        let delete = ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:DeleteObjectVersion"];
        statements.push(allow("EmptyBuckets", &delete, &objects));
        let delete = ["iam:DeleteRole", "iam:DeleteRolePolicy", "iam:DetachRolePolicy"];
        statements.push(allow("DeleteRole", &delete, &[&self.role]));
        let delete = ["iam:DeleteInstanceProfile", "iam:RemoveRoleFromInstanceProfile"];
        statements.push(allow("DeleteProfile", &delete, &[&self.profile]));
        // Adopted resources are released.
        statements.push(allow("ReleaseQueues", &["sqs:SetQueueAttributes", "sqs:UntagQueue"], &self.queues));
        statements.push(allow("ReleaseBuckets", &["s3:PutBucketTagging"], &self.buckets));
        let release = ["iam:UntagRole", "iam:UpdateAssumeRolePolicy"];
        statements.push(allow("ReleaseRole", &release, &[&self.role]));
        statements.push(allow("ReleaseProfile", &["iam:UntagInstanceProfile"], &[&self.profile]));
        let release = ["ec2:DeleteSecurityGroup", "ec2:DeleteTags"];
        let delete = allow("DeleteOrReleaseGroup", &release, &[self.ec2("security-group/*")]);
        statements.push(when(delete, self.ours()));
        let delete = ["ec2:DeleteVpcEndpoints", "ec2:TerminateInstances"];
        let delete = allow("DeleteInstances", &delete, &[self.ec2("instance/*"), self.ec2("vpc-endpoint/*")]);
        statements.push(when(delete, self.ours()));
        let delete = allow("DeleteScaling", &scaling::DELETE, &self.scaling_arns());
        statements.push(when(delete, self.ours()));
    }

    /// Describe calls of EC2 take no resources, but a condition on the region.
    fn in_region(&self, statement: Value) -> Value {
        match self.location.region.as_str() {
            "*" => statement,
            region => when(statement, json!({ "StringEquals": { "aws:RequestedRegion": region } })),
        }
    }
}

fn allow(sid: &str, actions: &[&str], resources: &[impl AsRef<str>]) -> Value {
    let mut actions = actions.to_vec();
    actions.sort_unstable();
    let resources: Vec<&str> = resources.iter().map(AsRef::as_ref).collect();
    json!({ "Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resources })
}

fn when(statement: Value, condition: Value) -> Value {
    let mut fields = match statement {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    fields.insert("Condition".into(), condition);
    Value::Object(fields)
}

#[cfg(test)]
mod tests;
