//! The permissions of `[scaling]`: the launch template, the group, its policies and their alarms.

use serde_json::{Value, json};

use super::{Stack, allow, when};
use crate::config::Scaling;
use crate::stack::resources::policy::AwsLocation;
use crate::stack::resources::{STACK_TAG, scaling_group};

/// The calls that observe the group, also without `[scaling]`: it may have been there before.
pub const DESCRIBE: [&str; 8] = [
    "autoscaling:DescribeAutoScalingGroups",
    "autoscaling:DescribeInstanceRefreshes",
    "autoscaling:DescribePolicies",
    "autoscaling:DescribeScalingActivities",
    "cloudwatch:DescribeAlarms",
    "cloudwatch:ListTagsForResource",
    "ec2:DescribeLaunchTemplateVersions",
    "ec2:DescribeLaunchTemplates",
];
/// Those that delete it, likewise.
pub const DELETE: [&str; 4] = [
    "autoscaling:DeleteAutoScalingGroup",
    "autoscaling:DeletePolicy",
    "cloudwatch:DeleteAlarms",
    "ec2:DeleteLaunchTemplate",
];

impl Stack<'_> {
    /// The calls that create and update.
    pub(super) fn make_scaling(&self, statements: &mut Vec<Value>) {
        let Some(Scaling { spot, .. }) = &self.config.scaling else { return };
        let AwsLocation { partition, account, .. } = self.location;
        let templates = [self.ec2("launch-template/*")];
        let ours = json!({ "StringEquals": { format!("aws:RequestTag/{STACK_TAG}"): self.config.name } });
        statements.push(when(allow("MakeTemplate", &["ec2:CreateLaunchTemplate"], &templates), ours));
        let make = [
            "autoscaling:CancelInstanceRefresh",
            "autoscaling:CreateAutoScalingGroup",
            "autoscaling:CreateOrUpdateTags",
            "autoscaling:DeleteTags",
            "autoscaling:EnableMetricsCollection",
            "autoscaling:PutScalingPolicy",
            "autoscaling:RollbackInstanceRefresh",
            "autoscaling:StartInstanceRefresh",
            "autoscaling:UpdateAutoScalingGroup",
        ];
        statements.push(allow("MakeScaling", &make, &[self.group_arn()]));
        // The first group of an account, and its first Spot instance, need roles that AWS creates with the caller's right
        // (Auto Scaling user guide, "Service-linked roles"; EC2 user guide, "Service-linked role for EC2 Spot").
        let services: Vec<&str> =
            ["autoscaling.amazonaws.com", "spot.amazonaws.com"].into_iter().take(if *spot { 2 } else { 1 }).collect();
        let roles = format!("arn:{partition}:iam::{account}:role/aws-service-role/*");
        let make = allow("MakeServiceRoles", &["iam:CreateServiceLinkedRole"], &[roles]);
        statements.push(when(make, json!({ "StringEquals": { "iam:AWSServiceName": services } })));
    }

    /// What [`DELETE`] is about; the tag of the stack narrows it.
    pub(super) fn scaling_arns(&self) -> [String; 3] {
        let AwsLocation { partition, account, region } = self.location;
        [
            format!("arn:{partition}:autoscaling:{region}:{account}:autoScalingGroup:*"),
            format!("arn:{partition}:cloudwatch:{region}:{account}:alarm:*"),
            self.ec2("launch-template/*"),
        ]
    }

    /// The group, by a name whose middle Auto Scaling chooses.
    pub(super) fn group_arn(&self) -> String {
        let AwsLocation { partition, account, region } = self.location;
        let name = scaling_group::name(&self.config.name);
        format!("arn:{partition}:autoscaling:{region}:{account}:autoScalingGroup:*:autoScalingGroupName/{name}")
    }

    /// The stack's alarms: those whose names begin with its own. One by one they would not fit into a policy.
    pub(super) fn alarm_arns(&self) -> [String; 1] {
        let AwsLocation { partition, account, region } = self.location;
        [format!("arn:{partition}:cloudwatch:{region}:{account}:alarm:{}-*", self.config.name)]
    }
}
