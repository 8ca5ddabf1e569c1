//! The permissions of the commands that use a stack, and do not change it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Stack, allow, policy};
use crate::config::Sources;
use crate::stack::resources::code_bucket;

impl Stack<'_> {
    /// Where photographs are.
    fn source_arns(&self) -> Vec<String> {
        match &self.config.buckets.sources {
            Sources::Any => vec![self.location.bucket_arn("*")],
            Sources::Buckets(buckets) => self.bucket_arns(buckets),
        }
    }

    pub(super) fn enqueue(&self, statements: &mut Vec<Value>) {
        statements.push(allow("Enqueue", &["sqs:GetQueueUrl", "sqs:SendMessage"], &self.queues[..1]));
        let sources = self.source_arns();
        if !sources.is_empty() {
            statements.push(allow("FindPhotographs", &["s3:ListBucket"], &sources));
        }
        if self.config.scaling.is_some() {
            let read = allow("FindGroup", &["autoscaling:DescribeAutoScalingGroups"], &["*"]);
            statements.push(self.in_region(read));
            statements.push(allow("WakeGroup", &["autoscaling:SetDesiredCapacity"], &[self.group_arn()]));
        }
    }

    /// Looking at named photographs, and `--wait`: the thumbnails, and what was rejected.
    pub(super) fn look_and_wait(&self, statements: &mut Vec<Value>) {
        let sources = self.source_arns();
        let objects = sources.iter().chain(&self.buckets[..1]).map(|arn| format!("{arn}/*")).collect::<Vec<_>>();
        statements.push(allow("SeeObjects", &["s3:GetObject"], &objects));
        statements.push(allow("CountMessages", &["sqs:GetQueueAttributes"], &self.queues));
        let read = ["sqs:ChangeMessageVisibility", "sqs:GetQueueUrl", "sqs:ReceiveMessage"];
        statements.push(allow("SeeRejected", &read, &self.queues[1..]));
    }

    /// A picture under each trigger's prefix, its thumbnails, and what became of its message.
    pub(super) fn doctor(&self, statements: &mut Vec<Value>) {
        let reports = [format!("{}/{}*", self.buckets[1], code_bucket::REPORT_PREFIX)];
        statements.push(allow("LookForReports", &["s3:GetObject"], &reports));
        let pictures: BTreeSet<String> = self
            .config
            .triggers
            .iter()
            .map(|trigger| format!("{}/{}thumb-doctor-*", self.location.bucket_arn(&trigger.bucket), trigger.prefix))
            .collect();
        if pictures.is_empty() {
            return;
        }
        let pictures: Vec<String> = pictures.into_iter().collect();
        statements.push(allow("TryUpload", &["s3:DeleteObject", "s3:PutObject"], &pictures));
        let thumbnails = [format!("{}/*", self.buckets[0])];
        statements.push(allow("TakeThumbnailsAway", &["s3:DeleteObject", "s3:GetObject"], &thumbnails));
        let read = ["sqs:ChangeMessageVisibility", "sqs:ReceiveMessage"];
        statements.push(allow("LookForRejected", &read, &self.queues[1..]));
    }

    pub(super) fn dlq(&self, statements: &mut Vec<Value>) {
        let read = [
            "sqs:ChangeMessageVisibility",
            "sqs:DeleteMessage",
            "sqs:GetQueueAttributes",
            "sqs:GetQueueUrl",
            "sqs:ListMessageMoveTasks",
            "sqs:PurgeQueue",
            "sqs:ReceiveMessage",
            "sqs:StartMessageMoveTask",
        ];
        statements.push(allow("ReadRejected", &read, &self.queues[1..]));
        let retry = ["sqs:GetQueueAttributes", "sqs:GetQueueUrl", "sqs:SendMessage"];
        statements.push(allow("RetryRejected", &retry, &self.queues[..1]));
    }

    /// The permissions of the instances' role, without the download of the binary.
    pub(super) fn work(&self, statements: &mut Vec<Value>) {
        let worker = policy::worker(self.config, self.location);
        let all = worker["Statement"].as_array().into_iter().flatten();
        statements.extend(all.filter(|statement| statement["Sid"] != policy::FETCH_BINARY).cloned());
    }

    /// The workers' reports, and the queue's metrics.
    pub(super) fn status(&self, statements: &mut Vec<Value>) {
        let reports = format!("{}/{}*", self.buckets[1], code_bucket::REPORT_PREFIX);
        statements.push(allow("SeeReports", &["s3:GetObject"], &[reports]));
        statements.push(allow("ReadMetrics", &["cloudwatch:GetMetricData"], &["*"]));
    }
}
