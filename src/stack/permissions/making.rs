//! The permissions with which `apply` creates and updates.

use serde_json::{Value, json};

use super::{Stack, allow, policy, scaling, when};
use crate::config::{Access, Config};
use crate::stack::resources::policy::AwsLocation;
use crate::stack::resources::{bucket, code_bucket};

impl Stack<'_> {
    /// All of them, in the order of a plan.
    pub(super) fn make(&self, statements: &mut Vec<Value>) {
        self.make_storage(statements);
        self.make_monitoring(statements);
        self.make_role(statements);
        self.make_instances(statements);
        self.make_scaling(statements);
        self.make_endpoint(statements);
        self.launch(statements);
    }

    /// The queues, the buckets and the binary.
    fn make_storage(&self, statements: &mut Vec<Value>) {
        let make = ["sqs:CreateQueue", "sqs:SetQueueAttributes", "sqs:TagQueue", "sqs:UntagQueue"];
        statements.push(allow("MakeQueues", &make, &self.queues));

        let mut make = vec![
            "s3:CreateBucket",
            "s3:PutBucketOwnershipControls",
            "s3:PutBucketPublicAccessBlock",
            "s3:PutBucketTagging",
            "s3:TagResource",
        ];
        make.push(if self.config.buckets.access == Access::Policy {
            "s3:PutBucketPolicy"
        } else {
            "s3:DeleteBucketPolicy"
        });
        statements.push(allow("MakeBuckets", &make, &self.buckets));
        if self.config.buckets.access == Access::PublicRead {
            let probe = format!("{}/{}", self.buckets[0], bucket::PROBE_KEY);
            let put = ["s3:DeleteObject", "s3:PutObject", "s3:PutObjectAcl"];
            statements.push(allow("TryPublicAcl", &put, &[probe]));
        }
        self.change_triggers(statements);
        let binaries = format!("{}/{}*", self.buckets[1], code_bucket::BINARY_PREFIX);
        statements.push(allow("UploadBinary", &["s3:DeleteObject", "s3:PutObject"], &[binaries]));
    }

    fn make_role(&self, statements: &mut Vec<Value>) {
        let mut make = vec![
            "iam:DeleteRolePolicy",
            "iam:DetachRolePolicy",
            "iam:TagRole",
            "iam:UntagRole",
            "iam:UpdateAssumeRolePolicy",
        ];
        if self.config.profile.policies.is_empty() {
            make.push("iam:PutRolePolicy");
        } else {
            let arns: Vec<String> =
                self.config.profile.policies.iter().map(|policy| self.location.policy_arn(policy)).collect();
            let attach = allow("AttachPolicies", &["iam:AttachRolePolicy"], &[&self.role]);
            statements.push(when(attach, json!({ "ArnEquals": { "iam:PolicyARN": arns } })));
        }
        match &self.config.profile.permissions_boundary {
            // Only with exactly this boundary: it keeps the holder of this policy from granting more.
            Some(boundary) => {
                let create = ["iam:CreateRole", "iam:PutRolePermissionsBoundary"];
                let create = allow("CreateRole", &create, &[&self.role]);
                statements.push(when(create, json!({ "ArnEquals": { "iam:PermissionsBoundary": boundary } })));
            }
            None => make.push("iam:CreateRole"),
        }
        statements.push(allow("MakeRole", &make, &[&self.role]));
        let make = [
            "iam:AddRoleToInstanceProfile",
            "iam:CreateInstanceProfile",
            "iam:RemoveRoleFromInstanceProfile",
            "iam:TagInstanceProfile",
            "iam:UntagInstanceProfile",
        ];
        statements.push(allow("MakeProfile", &make, &[&self.profile]));
        let pass = allow("PassRole", &["iam:PassRole"], &[&self.role]);
        let service = policy::ec2_service(self.location);
        statements.push(when(pass, json!({ "StringEqualsIfExists": { "iam:PassedToService": service } })));
    }

    /// The security group, and what changes instances that are there.
    fn make_instances(&self, statements: &mut Vec<Value>) {
        let Config { instance, scaling, .. } = self.config;
        let (instances, groups) = (self.ec2("instance/*"), self.ec2("security-group/*"));
        let group = [groups.clone(), self.ec2("vpc/*")];
        statements.push(allow("MakeGroup", &["ec2:CreateSecurityGroup"], &group));
        let mut new = vec![instances.clone(), groups.clone(), self.ec2("volume/*")];
        // An endpoint from a time without public addresses goes, too.
        let mut own = vec![instances.clone(), groups.clone(), self.ec2("vpc-endpoint/*")];
        own.extend(self.scaling_arns());
        let mut creating = vec!["CreateSecurityGroup", "RunInstances"];
        let templates = self.ec2("launch-template/*");
        if scaling.is_some() {
            new.push(templates.clone());
            creating.push("CreateLaunchTemplate");
        }
        if self.has_endpoint() {
            new.push(self.ec2("vpc-endpoint/*"));
            creating.push("CreateVpcEndpoint");
        }
        let tag = allow("TagWhatIsNew", &["ec2:CreateTags"], &new);
        let creating = json!({ "StringEquals": { "ec2:CreateAction": creating } });
        statements.push(when(tag, creating));
        let mut change = vec![
            "ec2:AuthorizeSecurityGroupIngress",
            "ec2:CreateTags",
            "ec2:DeleteSecurityGroup",
            "ec2:DeleteTags",
            "ec2:DeleteVpcEndpoints",
            "ec2:RevokeSecurityGroupIngress",
            // Even if `count` is 0 now: it may have been more.
            "ec2:TerminateInstances",
        ];
        change.extend(scaling::DELETE);
        if instance.count > 0 {
            change.extend([
                "ec2:AssociateIamInstanceProfile",
                "ec2:GetConsoleOutput",
                "ec2:ModifyInstanceAttribute",
                "ec2:ModifyInstanceCreditSpecification",
                "ec2:ModifyInstanceMetadataOptions",
                "ec2:ReplaceIamInstanceProfileAssociation",
                "ec2:StartInstances",
            ]);
        }
        if scaling.is_some() {
            change.extend([
                "ec2:CreateLaunchTemplateVersion",
                "ec2:DeleteLaunchTemplateVersions",
                "ec2:GetConsoleOutput",
            ]);
        }
        statements.push(when(allow("ChangeWhatIsOurs", &change, &own), self.ours()));
    }

    /// New instances, where there are some.
    fn launch(&self, statements: &mut Vec<Value>) {
        let Config { instance, scaling, .. } = self.config;
        if instance.count == 0 && scaling.is_none() {
            return;
        }
        let AwsLocation { partition, region, .. } = self.location;
        let subnet = instance.subnet.as_deref().unwrap_or("*");
        let mut launch = vec![
            // The images of AWS, Canonical and Debian belong to other accounts.
            format!("arn:{partition}:ec2:{region}::image/*"),
            self.ec2("instance/*"),
            self.ec2("network-interface/*"),
            self.ec2("security-group/*"),
            self.ec2(&format!("subnet/{subnet}")),
            self.ec2("volume/*"),
        ];
        launch.extend(instance.key_pair.iter().map(|name| self.ec2(&format!("key-pair/{name}"))));
        let mut describe = vec!["ec2:DescribeRouteTables"];
        if scaling.is_some() {
            launch.push(self.ec2("launch-template/*"));
        } else {
            describe.push("ec2:DescribeIamInstanceProfileAssociations");
        }
        statements.push(allow("Launch", &["ec2:RunInstances"], &launch));
        statements.push(self.in_region(allow("ReadBesideInstances", &describe, &["*"])));
        let reports = format!("{}/{}*", self.buckets[1], code_bucket::REPORT_PREFIX);
        statements.push(allow("ReadReports", &["s3:GetObject"], &[reports]));
    }
}
