//! How instances of the burstable types spend CPU: of these types one rents a tenth or a fifth of a CPU, and the whole
//! of it for as long as credits last (EC2 user guide, "Burstable performance instances").

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// What an instance does when its CPU credits are spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Credits {
    /// It slows down to its baseline. EC2's own default is the other one for all types but t2.
    #[default]
    Standard,
    /// It goes on, and what it uses above its baseline is paid for by the hour.
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
        [Self::Standard, Self::Unlimited]
            .into_iter()
            .find(|credits| credits.to_string() == text)
            .ok_or_else(|| "is not one of standard, unlimited".into())
    }
}
