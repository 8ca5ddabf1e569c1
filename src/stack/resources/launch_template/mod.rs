//! The launch template (EC2): what every instance of the Auto Scaling group is launched as. A change is a new version, never
//! another template; a version reaches the group only through an instance refresh (see `scaling_group`), which can then go
//! back to the version before.

mod diff;
mod read;
mod run;

use std::collections::BTreeSet;

pub use diff::{delete, diff, matching};
pub use read::read;
pub use run::run;

use super::Tags;
use super::instance::{IMAGE_TAG, Launch};

/// A launch template as declared.
#[derive(Clone, Debug, PartialEq)]
pub struct LaunchTemplate {
    pub name: String,
    /// Its `instance_type` is not part of the template: the group says which types are launched.
    pub launch: Launch,
    /// The template's own; those of its instances are [`LaunchTemplate::instance_tags`].
    pub tags: Tags,
}

/// A launch template as observed.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    pub id: String,
    /// EC2 does not delete the default version (API DeleteLaunchTemplateVersions).
    pub default_version: i64,
    /// The newest first.
    pub versions: Vec<Version>,
    pub tags: Tags,
}

/// What a version says, as far as thumb sets it.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    pub number: i64,
    pub key_pair: Option<String>,
    pub profile: Option<String>,
    /// IDs.
    pub security_groups: Vec<String>,
    pub public_ip: Option<bool>,
    /// IMDSv2 only?
    pub tokens_required: bool,
    pub hop_limit: Option<i32>,
    pub encrypted: bool,
    pub credits: Option<String>,
    pub user_data: String,
    /// Of the instances.
    pub tags: Tags,
}

/// The versions that a group uses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InUse {
    /// What the group launches.
    pub group: Option<i64>,
    /// Those of its instances, and that of a refresh, too.
    pub all: BTreeSet<i64>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Create(Box<LaunchTemplate>),
    CreateVersion { id: String, template: Box<LaunchTemplate> },
    Tag { id: String, set: Tags, remove: Vec<String> },
    DeleteVersions { id: String, versions: Vec<i64> },
    Delete { id: String },
}

/// The template's name.
pub fn name(stack: &str) -> String {
    format!("{stack}-worker")
}

impl LaunchTemplate {
    /// The tags of its instances and their volumes.
    pub fn instance_tags(&self) -> Tags {
        let mut tags = self.launch.tags.clone();
        tags.insert("Name".into(), self.name.clone());
        tags.insert(IMAGE_TAG.into(), self.launch.image.to_string());
        tags
    }
}
