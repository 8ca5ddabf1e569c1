//! The steps of all resources as one type, which plans contain and `execute` runs.

use super::change;
use super::resources::{
    StepContext, alarm, binary, bucket, dashboard, instance, instance_profile, launch_template, log_group, queue, role,
    s3_endpoint, scaling_group, scaling_policy, security_group, topic, trigger,
};
use crate::aws::{CallError, Writer};

/// One call (or a few that belong together) that changes the account, with all it needs: the plan's unit of work.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    Queue(queue::Step),
    Bucket(bucket::Step),
    Binary(binary::Step),
    Role(role::Step),
    InstanceProfile(instance_profile::Step),
    SecurityGroup(security_group::Step),
    S3Endpoint(s3_endpoint::Step),
    LogGroup(log_group::Step),
    Topic(topic::Step),
    Dashboard(dashboard::Step),
    LaunchTemplate(launch_template::Step),
    ScalingGroup(scaling_group::Step),
    ScalingPolicy(scaling_policy::Step),
    Alarm(alarm::Step),
    Instance(instance::Step),
    Trigger(trigger::Step),
}

/// A change of a plan.
pub type Change = change::Change<Operation>;
/// A plan that can be executed.
pub type Plan = change::Plan<Operation>;

macro_rules! from_step {
    ($($variant:ident: $module:ident),* $(,)?) => {
        $(impl From<$module::Step> for Operation {
            fn from(step: $module::Step) -> Self {
                Self::$variant(step)
            }
        })*
    };
}
from_step! { Queue: queue, Bucket: bucket, Binary: binary, Role: role, InstanceProfile: instance_profile,
SecurityGroup: security_group, S3Endpoint: s3_endpoint, LogGroup: log_group, Topic: topic, Dashboard: dashboard, LaunchTemplate: launch_template, ScalingGroup: scaling_group, ScalingPolicy: scaling_policy, Alarm: alarm, Instance: instance,
Trigger: trigger }

impl Operation {
    /// Runs it. It can be repeated: "already exists" and "already gone" are not errors.
    pub async fn run(&self, aws: &Writer, context: &StepContext<'_>) -> Result<(), CallError> {
        match self {
            Self::Queue(step) => queue::run(step, aws, context).await,
            Self::Bucket(step) => bucket::run(step, aws, context).await,
            Self::Binary(step) => binary::run(step, aws, context).await,
            Self::Role(step) => role::run(step, aws, context).await,
            Self::InstanceProfile(step) => instance_profile::run(step, aws, context).await,
            Self::SecurityGroup(step) => security_group::run(step, aws, context).await,
            Self::S3Endpoint(step) => s3_endpoint::run(step, aws, context).await,
            Self::LogGroup(step) => log_group::run(step, aws, context).await,
            Self::Topic(step) => topic::run(step, aws, context).await,
            Self::Dashboard(step) => dashboard::run(step, aws).await,
            Self::LaunchTemplate(step) => launch_template::run(step, aws, context).await,
            // Large: it would make the future of every other step as large.
            Self::ScalingGroup(step) => Box::pin(scaling_group::run(step, aws, context)).await,
            Self::ScalingPolicy(step) => scaling_policy::run(step, aws, context).await,
            Self::Alarm(step) => alarm::run(step, aws, context).await,
            Self::Instance(step) => instance::run(step, aws, context).await,
            Self::Trigger(step) => trigger::run(step, aws, context).await,
        }
    }
}
