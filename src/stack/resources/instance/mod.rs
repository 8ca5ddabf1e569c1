//! The instances that run the worker (EC2). What can be updated in place is; any other change replaces the instance: the
//! new one is launched before the old one is terminated. No message is lost meanwhile, because the queue keeps it.

mod describe;
mod diff;
mod read;
mod run;
pub mod user_data;
mod worker;

use std::collections::{BTreeMap, BTreeSet};

use super::Tags;
use crate::config::Credits;
use crate::config::image::Image;

pub use diff::{compare_user_data, delete_all, diff, public_addresses, set_user_data};
pub use read::{Ami, read, read_ami, read_arch, read_key_pair, read_public_address, read_vpc};
pub use run::run;
pub use worker::{AWAITED, FIRST_REPORT, Seen, Watch};

/// The tag that says which of the stack's instances one is, counted from 1.
pub const INDEX_TAG: &str = "thumb:instance";
/// The tag that keeps thumb.toml's name of the image: the AMI behind it changes every few weeks, which must not by
/// itself replace a running instance.
pub const IMAGE_TAG: &str = "thumb:image";

/// What every instance of the stack is launched as.
#[derive(Clone, Debug, PartialEq)]
pub struct Launch {
    pub image: Image,
    pub ami: Ami,
    pub instance_type: String,
    pub key_pair: Option<String>,
    pub profile: String,
    pub profile_id: ProfileId,
    pub security_group: String,
    /// Known if the group exists and stays; otherwise an earlier step of the same apply outputs it.
    pub security_group_id: Option<String>,
    pub vpc_id: String,
    /// None: EC2 chooses a subnet of the default VPC.
    pub subnet: Option<String>,
    /// Whether it is to have a public IPv4 address, where its subnet gives one.
    pub public_ip: bool,
    pub public_address: PublicAddress,
    /// None: instances of the type have no CPU credits.
    pub credits: Option<Credits>,
    pub user_data: String,
    /// Where the worker puts its reports.
    pub code_bucket: String,
    pub tags: Tags,
}

/// The ID of the declared instance profile. EC2 associates a profile by ID: one that was deleted and created again under
/// the same name gives the instance no credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProfileId {
    Known(String),
    /// The profile does not exist yet.
    New,
    /// The profile is foreign.
    Unknown,
}

/// Whether an instance gets a public IPv4 address where it is launched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicAddress {
    Yes,
    /// Where there is none: "the subnet subnet-…".
    No(String),
    /// Some subnets of the default VPC assign none, and EC2 chooses the subnet.
    Perhaps,
}

/// What the command line requests beyond thumb.toml.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstanceRequest {
    /// Numbers of the instances to replace even if nothing has changed.
    pub replace: BTreeSet<u32>,
    pub wait: Wait,
}

/// Which workers' first reports to wait for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wait {
    /// None: an emulator boots nothing.
    #[default]
    Never,
    /// Those of replacements.
    ForReplacements,
    ForAll,
}

/// An instance of the stack that is not terminated.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    pub id: String,
    pub index: u32,
    /// "pending", "running", "stopping", "stopped".
    pub state: String,
    pub launched_s: i64,
    pub instance_type: String,
    pub key_pair: Option<String>,
    /// The instance profile's name, and the ID that it had when it was given to the instance.
    pub profile: Option<String>,
    pub profile_id: Option<String>,
    pub security_groups: Vec<String>,
    pub subnet: Option<String>,
    pub vpc: Option<String>,
    /// IMDSv2 only?
    pub tokens_required: bool,
    /// None: instances of the type have no CPU credits, or EC2 does not say.
    pub credits: Option<Credits>,
    /// None: EC2 does not say yet, so soon after the launch.
    pub user_data: Option<String>,
    pub public_ip: Option<String>,
    pub tags: Tags,
}

/// All instances of the stack that EC2 lists.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fleet {
    pub alive: Vec<Observed>,
    /// Terminated instances, listed for about an hour: index and ID.
    pub dead: Vec<(u32, String)>,
    /// Foreign instances with a name or number of the stack: index and reason.
    pub foreign: BTreeMap<u32, String>,
    /// Foreign instances with the stack tag but no number: a sentence about each.
    pub unnumbered: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Launch {
        index: u32,
        launch: Box<Launch>,
        /// IDs of every instance known at this index: they make the client token new for each generation, and the
        /// same for two applies at once.
        known: Vec<String>,
    },
    /// Waits for the first report of its worker. Without an ID: of the instance that this run launches.
    AwaitReport {
        id: Option<String>,
        bucket: String,
    },
    Start {
        id: String,
    },
    SetProfile {
        id: String,
        profile: String,
    },
    SetSecurityGroup {
        id: String,
        security_group_id: Option<String>,
    },
    RequireTokens {
        id: String,
    },
    SetCredits {
        id: String,
        credits: Credits,
    },
    Tag {
        id: String,
        set: Tags,
        remove: Vec<String>,
    },
    Terminate {
        ids: Vec<String>,
    },
}

/// The instance's name in the EC2 console.
pub fn name(stack: &str, index: u32) -> String {
    format!("{stack}-worker-{index}")
}

impl Launch {
    /// The tags of one instance.
    fn tags_of(&self, stack: &str, index: u32) -> Tags {
        let mut tags = self.tags.clone();
        tags.insert("Name".into(), name(stack, index));
        tags.insert(INDEX_TAG.into(), index.to_string());
        tags.insert(IMAGE_TAG.into(), self.image.to_string());
        tags
    }
}
