//! The Auto Scaling group: instances of one launch template, as many as its policies want. thumb sets the desired capacity
//! at creation only: afterwards it is the policies', and no plan compares it. A version of the launch template reaches the
//! group only through an instance refresh (refresh.rs), so that the group can go back to the one before.

mod diff;
mod launching;
mod members;
mod offers;
mod read;
mod refresh;
mod run;

use std::collections::BTreeSet;

use super::Tags;

pub use diff::{Context, delete, diff, in_use, notes};
pub use launching::{Launching, Mixed};
pub use members::Member;
pub use offers::{Choice, Offer, Offers, read_offers};
pub use read::read;
pub use run::run;

/// How long a new instance takes until it works, in seconds: boot.py has the worker running within a minute. The group waits
/// as long before it counts an instance's part in a metric, and before a refresh replaces the next one.
pub const WARMUP_S: u32 = 90;

/// What the group publishes every minute, without charge. The policies' metric math reads `GroupInServiceInstances`.
pub const METRICS: [&str; 7] = [
    "GroupDesiredCapacity",
    "GroupInServiceInstances",
    "GroupMaxSize",
    "GroupMinSize",
    "GroupPendingInstances",
    "GroupTerminatingInstances",
    "GroupTotalInstances",
];

/// A group as declared.
#[derive(Clone, Debug, PartialEq)]
pub struct ScalingGroup {
    pub name: String,
    pub min: u32,
    pub max: u32,
    pub subnets: BTreeSet<String>,
    pub mixed: Mixed,
    /// CPUs of the smallest of its types.
    pub cpus: u32,
    /// Where its workers put their reports.
    pub code_bucket: String,
    /// Every instance gets them, too.
    pub tags: Tags,
}

/// A group as observed.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    pub min: u32,
    pub max: u32,
    pub desired: u32,
    pub subnets: BTreeSet<String>,
    pub launching: Launching,
    pub rebalance: bool,
    pub warmup_s: Option<u32>,
    pub metrics: BTreeSet<String>,
    /// Those that its instances get, too.
    pub tags: Tags,
    pub members: Vec<Member>,
    /// The one that has not ended, or else the newest.
    pub refresh: Option<Refresh>,
    /// Why the newest scaling activity failed, if it did.
    pub failed_activity: Option<String>,
    /// It is being deleted, and goes once its instances are terminated.
    pub deleting: bool,
}

/// An instance refresh as observed.
#[derive(Clone, Debug, PartialEq)]
pub struct Refresh {
    pub id: String,
    /// "InProgress", as Auto Scaling spells it.
    pub status: String,
    pub reason: Option<String>,
    pub percent: i32,
    /// Instances that are still to be replaced.
    pub left: i32,
    /// What it leads to; `None`: the group's own configuration.
    pub toward: Option<Launching>,
}

impl Refresh {
    /// Whether it has not ended; a group has one such at most.
    pub fn is_active(&self) -> bool {
        matches!(&*self.status, "Pending" | "InProgress" | "Baking" | "Cancelling" | "RollbackInProgress")
    }

    /// Whether it goes on toward this version of the template.
    pub fn leads_to(&self, version: i64, mixed: &Mixed) -> bool {
        matches!(&*self.status, "Pending" | "InProgress" | "Baking")
            && self.toward.as_ref().is_some_and(|toward| toward.version() == Some(version) && toward.is(mixed))
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Create {
        group: Box<ScalingGroup>,
        /// Of the launch template. None: the one that this run creates.
        version: Option<i64>,
        desired: u32,
    },
    Update {
        group: Box<ScalingGroup>,
        /// The version that the group has, if what it launches is updated too. Otherwise a refresh does that.
        version: Option<i64>,
    },
    EnableMetrics {
        name: String,
    },
    Tag {
        name: String,
        set: Tags,
        remove: Vec<String>,
    },
    /// Replaces the instances.
    Refresh {
        name: String,
        mixed: Mixed,
        /// As with `Create`.
        version: Option<i64>,
        /// The bucket in which each new instance's worker must report. None: nobody waits for that.
        reports: Option<String>,
    },
    /// Waits until as many instances are in service as the group wants.
    AwaitInService {
        name: String,
        reports: Option<String>,
    },
    Delete {
        name: String,
    },
}

/// The group's name.
pub fn name(stack: &str) -> String {
    format!("{stack}-workers")
}
