//! The address of a resource in plans and on the command line.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// A resource's place in the stack, the same in every plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    Dlq,
    Queue,
    ThumbnailsBucket,
    CodeBucket,
    Binary,
    Role,
    InstanceProfile,
    SecurityGroup,
    S3Endpoint,
    /// Of the workers' lines.
    LogGroup,
    /// Of the alarms that tell somebody, and of the workers' events.
    Topic,
    LaunchTemplate,
    ScalingGroup,
    ScalingPolicy(Policy),
    Alarm(Policy),
    Alert(Alert),
    Dashboard,
    /// Counted from 1.
    Instance(u32),
    /// The notification rules of one bucket. Counted from 1, in thumb.toml's order.
    Trigger(u32),
}

/// A scaling policy of the group. All but [`Policy::Backlog`] are executed by an alarm of thumb's, of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Policy {
    /// More instances, when more messages wait for each of them than it can do in the acceptable latency.
    Backlog,
    /// The first instances, when messages wait and there is none.
    Wake,
    /// Fewer instances, when they have little to do.
    Shrink,
    /// The least, when there is nothing to do.
    Sleep,
}

impl Policy {
    pub const ALL: [Policy; 4] = [Self::Backlog, Self::Wake, Self::Shrink, Self::Sleep];
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Backlog => "backlog",
            Self::Wake => "wake",
            Self::Shrink => "shrink",
            Self::Sleep => "sleep",
        })
    }
}

/// An alarm that tells somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Alert {
    /// Messages are in the dead-letter queue.
    Rejected,
    /// A message has waited for long.
    Oldest,
    /// Messages wait, and none is finished.
    Stuck,
    /// The group is as large as it may be, and messages wait.
    FleetFull,
    /// The group has fewer instances than it wants.
    Launches,
}

impl Alert {
    pub const ALL: [Alert; 5] = [Self::Rejected, Self::Oldest, Self::Stuck, Self::FleetFull, Self::Launches];
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rejected => "rejected",
            Self::Oldest => "oldest",
            Self::Stuck => "stuck",
            Self::FleetFull => "fleet-full",
            Self::Launches => "launches",
        })
    }
}

impl Address {
    /// Every address without a number, in the order in which plans list them.
    pub const SINGLE: [Address; 26] = [
        Self::Dlq,
        Self::Queue,
        Self::ThumbnailsBucket,
        Self::CodeBucket,
        Self::Binary,
        Self::Role,
        Self::InstanceProfile,
        Self::SecurityGroup,
        Self::S3Endpoint,
        Self::LogGroup,
        Self::Topic,
        Self::LaunchTemplate,
        Self::ScalingGroup,
        Self::ScalingPolicy(Policy::Backlog),
        Self::ScalingPolicy(Policy::Wake),
        Self::ScalingPolicy(Policy::Shrink),
        Self::ScalingPolicy(Policy::Sleep),
        Self::Alarm(Policy::Wake),
        Self::Alarm(Policy::Shrink),
        Self::Alarm(Policy::Sleep),
        Self::Alert(Alert::Rejected),
        Self::Alert(Alert::Oldest),
        Self::Alert(Alert::Stuck),
        Self::Alert(Alert::FleetFull),
        Self::Alert(Alert::Launches),
        Self::Dashboard,
    ];

    /// The resource in words, for sentences: "the dead-letter queue".
    pub fn noun(self) -> &'static str {
        match self {
            Self::Dlq => "dead-letter queue",
            Self::Queue => "queue",
            Self::ThumbnailsBucket => "thumbnails bucket",
            Self::CodeBucket => "code bucket",
            Self::Binary => "binary",
            Self::Role => "role",
            Self::InstanceProfile => "instance profile",
            Self::SecurityGroup => "security group",
            Self::S3Endpoint => "S3 endpoint",
            Self::LogGroup => "log group",
            Self::Topic => "topic",
            Self::LaunchTemplate => "launch template",
            Self::ScalingGroup => "Auto Scaling group",
            Self::ScalingPolicy(_) => "scaling policy",
            Self::Alarm(_) | Self::Alert(_) => "alarm",
            Self::Dashboard => "dashboard",
            Self::Trigger(_) => "trigger",
            Self::Instance(_) => "instance",
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dlq => f.write_str("dlq"),
            Self::Queue => f.write_str("queue"),
            Self::ThumbnailsBucket => f.write_str("bucket.thumbnails"),
            Self::CodeBucket => f.write_str("bucket.code"),
            Self::Binary => f.write_str("binary"),
            Self::Role => f.write_str("role"),
            Self::InstanceProfile => f.write_str("instance-profile"),
            Self::SecurityGroup => f.write_str("security-group"),
            Self::S3Endpoint => f.write_str("s3-endpoint"),
            Self::LogGroup => f.write_str("log-group"),
            Self::Topic => f.write_str("topic"),
            Self::LaunchTemplate => f.write_str("launch-template"),
            Self::ScalingGroup => f.write_str("scaling-group"),
            Self::ScalingPolicy(policy) => write!(f, "scaling-policy.{policy}"),
            Self::Alarm(policy) => write!(f, "alarm.{policy}"),
            Self::Alert(alert) => write!(f, "alarm.{alert}"),
            Self::Dashboard => f.write_str("dashboard"),
            Self::Trigger(n) => write!(f, "trigger.{n}"),
            Self::Instance(n) => write!(f, "instance.{n}"),
        }
    }
}

impl FromStr for Address {
    type Err = String;

    /// The error is the rest of a sentence that begins with the text.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(address) = Self::SINGLE.into_iter().find(|address| address.to_string() == text) {
            return Ok(address);
        }
        let number = |prefix: &str| text.strip_prefix(prefix).and_then(|n| n.parse().ok()).filter(|&n| n > 0);
        let numbered = number("instance.").map(Self::Instance).or_else(|| number("trigger.").map(Self::Trigger));
        numbered.ok_or_else(|| {
            let known: Vec<String> = Self::SINGLE.iter().map(Self::to_string).collect();
            format!("is not an address; use one of {}, instance.N, trigger.N", known.join(", "))
        })
    }
}

impl Serialize for Address {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
impl<'de> serde::Deserialize<'de> for Address {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <String as serde::Deserialize>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
