//! The instances of a group, as Auto Scaling lists them. Pure.

use aws_sdk_autoscaling::types::AutoScalingGroup;

/// An instance of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub id: String,
    /// "Pending", "InService", "Terminating", "Standby", and more (Auto Scaling user guide, "Instance lifecycle").
    pub state: String,
    /// The version of the launch template that it was launched with.
    pub version: Option<i64>,
    pub protected: bool,
}

impl Member {
    pub fn is_in_service(&self) -> bool {
        self.state == "InService"
    }

    /// Whether it is on its way out of the group.
    pub fn is_leaving(&self) -> bool {
        ["Terminating", "Terminated", "Detach"].iter().any(|going| self.state.starts_with(going))
    }
}

pub fn of(group: &AutoScalingGroup) -> Vec<Member> {
    let members = group.instances().iter().map(|instance| Member {
        id: instance.instance_id.clone().unwrap_or_default(),
        state: instance.lifecycle_state().map_or("", |state| state.as_str()).to_owned(),
        version: instance.launch_template().and_then(|template| template.version()?.parse().ok()),
        protected: instance.protected_from_scale_in() == Some(true),
    });
    members.collect()
}
