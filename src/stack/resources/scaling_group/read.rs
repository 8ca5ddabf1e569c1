//! Observes the Auto Scaling group: itself, its newest instance refresh, and its newest scaling activity.

use aws_sdk_autoscaling::types::{AutoScalingGroup, InstanceRefresh, ScalingActivityStatusCode, TagDescription};

use super::{Launching, Observed, Refresh, members};
use crate::aws::{CallError, CallResult, Errors, Reader, Writer, all};
use crate::stack::resources::{Found, StepContext, Tags, optional, own_tags};

pub async fn read(aws: &Reader, stack: &str, name: &str) -> Result<Found<Observed>, Errors> {
    let result = aws.describe_auto_scaling_groups().auto_scaling_group_names(name).send().await;
    let groups = result.action("autoscaling:DescribeAutoScalingGroups")?.auto_scaling_groups.unwrap_or_default();
    let Some(group) = groups.into_iter().next() else { return Ok(Found::Absent) };
    let refresh = async {
        let request = aws.describe_instance_refreshes().auto_scaling_group_name(name);
        // The group has gone since the call before: then it has no refresh either.
        let found = optional(request.send().await.action("autoscaling:DescribeInstanceRefreshes"))?;
        Ok::<_, CallError>(found.and_then(|out| current(out.instance_refreshes())))
    };
    let activity = async {
        let request = aws.describe_scaling_activities().auto_scaling_group_name(name).max_records(1);
        let found = optional(request.send().await.action("autoscaling:DescribeScalingActivities"))?;
        let activity = found.and_then(|out| out.activities.unwrap_or_default().into_iter().next());
        let failed = activity.filter(|found| found.status_code() == Some(&ScalingActivityStatusCode::Failed));
        Ok::<_, CallError>(failed.map(|failed| failed.status_message.or(failed.description).unwrap_or_default()))
    };
    let (refresh, failed_activity) = all!(refresh: refresh, activity: activity)?;
    let tags = tags_of(group.tags(), |_| true);
    let found = Found::by_tags(stack, &tags, &format!("the Auto Scaling group {name}"), observed(&group));
    Ok(match found {
        Found::Ours(observed) => Found::Ours(Observed { refresh, failed_activity, ..observed }),
        foreign => foreign,
    })
}

/// The group as it is now, while a step changes it.
pub async fn observe(name: &str, aws: &Writer, context: &StepContext<'_>) -> Result<Found<Observed>, CallError> {
    read(&Reader::new(&aws.clients), context.stack, name).await.map_err(CallError::from)
}

fn observed(group: &AutoScalingGroup) -> Observed {
    let number = |number: Option<i32>| number.and_then(|number| u32::try_from(number).ok());
    let subnets = group.vpc_zone_identifier().unwrap_or_default().split(',').map(str::trim);
    Observed {
        min: number(group.min_size()).unwrap_or_default(),
        max: number(group.max_size()).unwrap_or_default(),
        desired: number(group.desired_capacity()).unwrap_or_default(),
        subnets: subnets.filter(|id| !id.is_empty()).map(str::to_owned).collect(),
        launching: Launching::read(group.mixed_instances_policy(), group.launch_template()),
        rebalance: group.capacity_rebalance() == Some(true),
        warmup_s: number(group.default_instance_warmup()),
        metrics: group.enabled_metrics().iter().filter_map(|found| found.metric.clone()).collect(),
        tags: own_tags(&tags_of(group.tags(), |tag| tag.propagate_at_launch() == Some(true))),
        members: members::of(group),
        refresh: None,
        failed_activity: None,
        deleting: group.status().is_some(),
    }
}

/// The refresh that has not ended, or else the newest.
fn current(refreshes: &[InstanceRefresh]) -> Option<Refresh> {
    let began = |refresh: &&InstanceRefresh| refresh.start_time.map(|time| (time.secs(), time.subsec_nanos()));
    let newest = refreshes.iter().rev().max_by_key(began).map(refresh);
    refreshes.iter().map(refresh).find(Refresh::is_active).or(newest)
}

pub fn refresh(found: &InstanceRefresh) -> Refresh {
    let toward = found.desired_configuration();
    Refresh {
        id: found.instance_refresh_id.clone().unwrap_or_default(),
        status: found.status().map_or("", |status| status.as_str()).to_owned(),
        reason: found.status_reason.clone().filter(|reason| !reason.is_empty()),
        percent: found.percentage_complete.unwrap_or_default(),
        left: found.instances_to_update.unwrap_or_default(),
        toward: toward.map(|toward| Launching::read(toward.mixed_instances_policy(), toward.launch_template())),
    }
}

fn tags_of(tags: &[TagDescription], which: impl Fn(&TagDescription) -> bool) -> Tags {
    let tags = tags.iter().filter(|tag| which(tag));
    tags.filter_map(|tag| Some((tag.key.clone()?, tag.value.clone().unwrap_or_default()))).collect()
}
