//! The read calls of `plan`, and nothing else: the clients of a [`Reader`] are private to this file, so code that has only
//! a `Reader` cannot change an account.

use super::Clients;

/// A read-only view of an account.
#[derive(Clone, Debug)]
pub struct Reader {
    clients: Clients,
}

impl Reader {
    pub fn new(clients: &Clients) -> Self {
        Self { clients: clients.clone() }
    }

    pub fn region(&self) -> &str {
        &self.clients.region
    }

    pub fn endpoint(&self) -> Option<&str> {
        self.clients.endpoint.as_deref()
    }
}

impl Reader {
    /// CloudWatch has an operation of the same name.
    pub fn list_tags_for_log_group(
        &self,
    ) -> aws_sdk_cloudwatchlogs::operation::list_tags_for_resource::builders::ListTagsForResourceFluentBuilder {
        self.clients.logs.list_tags_for_resource()
    }

    /// So does SNS.
    pub fn list_tags_for_topic(
        &self,
    ) -> aws_sdk_sns::operation::list_tags_for_resource::builders::ListTagsForResourceFluentBuilder {
        self.clients.sns.list_tags_for_resource()
    }
}

/// One method a read operation, each returning the SDK's request builder.
macro_rules! read_calls {
    ($($service:ident: $sdk:ident { $($operation:ident -> $builder:ident),* $(,)? })*) => {
        impl Reader {
            $($(
                pub fn $operation(&self) -> $sdk::operation::$operation::builders::$builder {
                    self.clients.$service.$operation()
                }
            )*)*
        }
    };
}

read_calls! {
    sts: aws_sdk_sts { get_caller_identity -> GetCallerIdentityFluentBuilder }
    sqs: aws_sdk_sqs {
        get_queue_url -> GetQueueUrlFluentBuilder,
        get_queue_attributes -> GetQueueAttributesFluentBuilder,
        list_queue_tags -> ListQueueTagsFluentBuilder,
    }
    autoscaling: aws_sdk_autoscaling {
        describe_auto_scaling_groups -> DescribeAutoScalingGroupsFluentBuilder,
        describe_instance_refreshes -> DescribeInstanceRefreshesFluentBuilder,
        describe_policies -> DescribePoliciesFluentBuilder,
        describe_scaling_activities -> DescribeScalingActivitiesFluentBuilder,
    }
    cloudwatch: aws_sdk_cloudwatch {
        describe_alarms -> DescribeAlarmsFluentBuilder,
        get_dashboard -> GetDashboardFluentBuilder,
        list_tags_for_resource -> ListTagsForResourceFluentBuilder,
    }
    logs: aws_sdk_cloudwatchlogs { describe_log_groups -> DescribeLogGroupsFluentBuilder }
    sns: aws_sdk_sns {
        list_subscriptions_by_topic -> ListSubscriptionsByTopicFluentBuilder,
        get_subscription_attributes -> GetSubscriptionAttributesFluentBuilder,
    }
    s3: aws_sdk_s3 {
        head_bucket -> HeadBucketFluentBuilder,
        get_bucket_tagging -> GetBucketTaggingFluentBuilder,
        get_bucket_ownership_controls -> GetBucketOwnershipControlsFluentBuilder,
        get_public_access_block -> GetPublicAccessBlockFluentBuilder,
        get_bucket_notification_configuration -> GetBucketNotificationConfigurationFluentBuilder,
        get_bucket_policy -> GetBucketPolicyFluentBuilder,
        list_objects_v2 -> ListObjectsV2FluentBuilder,
        list_object_versions -> ListObjectVersionsFluentBuilder,
    }
    iam: aws_sdk_iam {
        get_policy -> GetPolicyFluentBuilder,
        get_role -> GetRoleFluentBuilder,
        get_role_policy -> GetRolePolicyFluentBuilder,
        list_role_policies -> ListRolePoliciesFluentBuilder,
        list_attached_role_policies -> ListAttachedRolePoliciesFluentBuilder,
        get_instance_profile -> GetInstanceProfileFluentBuilder,
    }
    ec2: aws_sdk_ec2 {
        describe_vpcs -> DescribeVpcsFluentBuilder,
        describe_subnets -> DescribeSubnetsFluentBuilder,
        describe_security_groups -> DescribeSecurityGroupsFluentBuilder,
        describe_instances -> DescribeInstancesFluentBuilder,
        describe_instance_attribute -> DescribeInstanceAttributeFluentBuilder,
        describe_instance_credit_specifications -> DescribeInstanceCreditSpecificationsFluentBuilder,
        describe_instance_types -> DescribeInstanceTypesFluentBuilder,
        describe_images -> DescribeImagesFluentBuilder,
        describe_key_pairs -> DescribeKeyPairsFluentBuilder,
        describe_launch_templates -> DescribeLaunchTemplatesFluentBuilder,
        describe_launch_template_versions -> DescribeLaunchTemplateVersionsFluentBuilder,
        describe_route_tables -> DescribeRouteTablesFluentBuilder,
        describe_vpc_endpoints -> DescribeVpcEndpointsFluentBuilder,
    }
}
