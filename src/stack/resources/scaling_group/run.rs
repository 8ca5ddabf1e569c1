//! Creates, changes and deletes the group.

use aws_sdk_autoscaling::types::Tag;

use super::read::observe;
use super::{METRICS, Observed, ScalingGroup, Step, WARMUP_S, refresh};
use crate::aws::{CallError, CallResult, Kind, Writer};
use crate::stack::resources::{Found, RetryPolicy, StepContext, Tags, ok_if_gone};

const GRANULARITY: &str = "1Minute";

pub async fn run(step: &Step, aws: &Writer, context: &StepContext<'_>) -> Result<(), CallError> {
    let autoscaling = &aws.clients.autoscaling;
    match step {
        Step::Create { group, version, desired } => create(group, *version, *desired, aws, context).await,
        Step::Update { group, version } => {
            let ScalingGroup { name, min, max, subnets, mixed, .. } = &**group;
            let update = || async {
                let request = autoscaling
                    .update_auto_scaling_group()
                    .auto_scaling_group_name(name)
                    .min_size(signed(*min))
                    .max_size(signed(*max))
                    .vpc_zone_identifier(joined(subnets))
                    .capacity_rebalance(mixed.spot)
                    .default_instance_warmup(signed(WARMUP_S))
                    .set_mixed_instances_policy(version.map(|version| mixed.policy(version)));
                request.send().await.map(drop).action("autoscaling:UpdateAutoScalingGroup")
            };
            context.retry(&RetryPolicy::PROPAGATION, BUSY, not_yet, update).await
        }
        Step::EnableMetrics { name } => {
            let request =
                autoscaling.enable_metrics_collection().auto_scaling_group_name(name).granularity(GRANULARITY);
            let metrics = METRICS.iter().map(|metric| (*metric).to_owned()).collect();
            let result = request.set_metrics(Some(metrics)).send().await;
            result.map(drop).action("autoscaling:EnableMetricsCollection")
        }
        Step::Tag { name, set, remove } => {
            if !set.is_empty() {
                let request = autoscaling.create_or_update_tags().set_tags(Some(group_tags(name, set)));
                request.send().await.action("autoscaling:CreateOrUpdateTags")?;
            }
            if !remove.is_empty() {
                let tag = |key: &String| tag(name, key).build();
                let request = autoscaling.delete_tags().set_tags(Some(remove.iter().map(tag).collect()));
                request.send().await.action("autoscaling:DeleteTags")?;
            }
            Ok(())
        }
        Step::Refresh { name, mixed, version, reports } => {
            let version = version_of(*version, "autoscaling:StartInstanceRefresh", context)?;
            refresh::run(name, mixed, version, reports.as_deref(), aws, context).await
        }
        Step::AwaitInService { name, reports } => {
            refresh::await_in_service(name, reports.as_deref(), aws, context).await
        }
        Step::Delete { name } => delete(name, aws, context).await,
    }
}

/// The wait for another change of the group, or for the instance profile.
const BUSY: &str = "waiting for Auto Scaling to accept the group";

fn not_yet(error: &CallError) -> bool {
    error.kind == Kind::NotYet
}

/// The version that the plan names, or else the one that this run has created.
fn version_of(version: Option<i64>, action: &'static str, context: &StepContext<'_>) -> Result<i64, CallError> {
    let version = version.or_else(|| context.outputs.launch_template_version());
    version.ok_or_else(|| CallError::judged(action, Kind::Refused, "no version of the launch template was created"))
}

async fn create(
    group: &ScalingGroup,
    version: Option<i64>,
    desired: u32,
    aws: &Writer,
    context: &StepContext<'_>,
) -> Result<(), CallError> {
    const ACTION: &str = "autoscaling:CreateAutoScalingGroup";
    let ScalingGroup { name, min, max, subnets, mixed, cpus: _, code_bucket: _, tags } = group;
    let version = version_of(version, ACTION, context)?;
    let create = || async {
        let request = aws
            .clients
            .autoscaling
            .create_auto_scaling_group()
            .auto_scaling_group_name(name)
            .min_size(signed(*min))
            .max_size(signed(*max))
            .desired_capacity(signed(desired))
            .vpc_zone_identifier(joined(subnets))
            .mixed_instances_policy(mixed.policy(version))
            .capacity_rebalance(mixed.spot)
            .default_instance_warmup(signed(WARMUP_S))
            .health_check_type("EC2")
            .new_instances_protected_from_scale_in(false)
            .set_tags(Some(group_tags(name, tags)));
        match request.send().await.action(ACTION) {
            // Created by an attempt whose response was lost, or by a concurrent apply: then it has our tags. Or it is being
            // deleted, and its name is free again in a while.
            Err(error) if error.kind == Kind::AlreadyExists => match observe(name, aws, context).await? {
                Found::Ours(Observed { deleting: true, .. }) | Found::Absent => {
                    Err(CallError { kind: Kind::NotYet, ..error })
                }
                Found::Ours(_) => Ok(()),
                Found::Foreign(_) => Err(error),
            },
            result => result.map(drop),
        }
    };
    // A group that goes takes its instances along, which takes minutes; a new instance profile takes seconds.
    context.retry(&RetryPolicy::INSTANCE, BUSY, not_yet, create).await
}

/// Deletes the group with its instances, and waits until both have gone.
async fn delete(name: &str, aws: &Writer, context: &StepContext<'_>) -> Result<(), CallError> {
    const ACTION: &str = "autoscaling:DeleteAutoScalingGroup";
    let delete = || async {
        let request = aws.clients.autoscaling.delete_auto_scaling_group().auto_scaling_group_name(name);
        match ok_if_gone(request.force_delete(true).send().await.action(ACTION)) {
            // It is being deleted already, or a scaling activity has to end first: what is observed decides.
            Err(error) if error.kind == Kind::NotYet => {}
            result => result?,
        }
        match observe(name, aws, context).await? {
            Found::Absent => Ok(()),
            _ => Err(CallError::judged(ACTION, Kind::NotYet, "its instances are still being terminated")),
        }
    };
    context.retry(&RetryPolicy::INSTANCE, "its instances are being terminated", not_yet, delete).await
}

fn signed(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn joined(subnets: &std::collections::BTreeSet<String>) -> String {
    subnets.iter().map(String::as_str).collect::<Vec<_>>().join(",")
}

fn group_tags(name: &str, tags: &Tags) -> Vec<Tag> {
    tags.iter().map(|(key, value)| tag(name, key).value(value).propagate_at_launch(true).build()).collect()
}

fn tag(name: &str, key: &str) -> aws_sdk_autoscaling::types::builders::TagBuilder {
    Tag::builder().resource_id(name).resource_type("auto-scaling-group").key(key)
}
