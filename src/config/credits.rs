//! CPU credits of the burstable instance types: such an instance may use a tenth or a fifth of its CPUs all the time, and
//! more for as long as its credits last (EC2 user guide, "Burstable performance instances").

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::reader::one_of;

/// What an instance does when its CPU credits are spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Credits {
    /// It slows down to its baseline. (EC2's own default is unlimited for all types but t2.)
    #[default]
    Standard,
    /// It keeps its speed, and AWS charges by the hour for what it uses above its baseline.
    Unlimited,
}

/// The families with CPU credits.
const BURSTABLE: [&str; 4] = ["t2", "t3", "t3a", "t4g"];

/// Whether instances of a type have CPU credits.
pub fn is_burstable(instance_type: &str) -> bool {
    instance_type.split_once('.').is_some_and(|(family, _)| BURSTABLE.contains(&family))
}

impl fmt::Display for Credits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Standard => "standard",
            Self::Unlimited => "unlimited",
        })
    }
}

impl FromStr for Credits {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        one_of(text, [Self::Standard, Self::Unlimited])
    }
}
