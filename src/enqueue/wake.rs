//! Wakes the group. The metrics of an idle queue sleep: after six hours SQS stops publishing them, and begins again up to a
//! quarter of an hour after the first message. Whoever sends requests knows how many there are, and need not wait for that.

use crate::aws::{CallError, CallResult, Clients};
use crate::config::Scaling;
use crate::stack::capacity::backlog_per_instance;
use crate::stack::resources::scaling_group;

/// CPUs of an instance, as all types have them that thumb chooses by itself. Where they are larger or smaller, the policies
/// correct the number within minutes.
const CPUS: u32 = 2;

/// What became of the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// It is to have so many instances now.
    To(u32),
    /// It has as many as the messages need, or more.
    Awake,
    /// It does not exist.
    NoGroup,
}

/// Lets the group have as many instances as so many messages need, within its maximum. It never gets smaller here.
///
/// # Errors
/// The group cannot be read or changed.
pub async fn wake(clients: &Clients, stack: &str, scaling: &Scaling, messages: u64) -> Result<Woken, CallError> {
    let name = scaling_group::name(stack);
    let describe = clients.autoscaling.describe_auto_scaling_groups().auto_scaling_group_names(&name);
    let out = describe.send().await.action("autoscaling:DescribeAutoScalingGroups")?;
    let Some(group) = out.auto_scaling_groups().first() else { return Ok(Woken::NoGroup) };
    let number = |number: Option<i32>| u32::try_from(number.unwrap_or_default()).unwrap_or_default();
    let wanted = instances(messages, scaling.acceptable_latency_s).min(number(group.max_size()));
    if wanted <= number(group.desired_capacity()) {
        return Ok(Woken::Awake);
    }
    let set = clients.autoscaling.set_desired_capacity().auto_scaling_group_name(&name);
    let set = set.desired_capacity(i32::try_from(wanted).unwrap_or(i32::MAX)).honor_cooldown(false);
    set.send().await.action("autoscaling:SetDesiredCapacity")?;
    Ok(Woken::To(wanted))
}

/// The instances that do so many messages in the acceptable latency.
fn instances(messages: u64, acceptable_latency_s: u32) -> u32 {
    let each = backlog_per_instance(acceptable_latency_s, CPUS);
    // Past 2^53 messages the rounding does not matter.
    let instances = (messages as f64 / each).ceil();
    if instances >= f64::from(u32::MAX) { u32::MAX } else { instances as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_follow_the_messages() {
        let each = backlog_per_instance(300, CPUS) as u64;
        assert_eq!([0, 1, each, each + 1].map(|messages| instances(messages, 300)), [0, 1, 1, 2]);
        assert_eq!(instances(u64::MAX, 60), u32::MAX);
    }
}
