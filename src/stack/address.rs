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
    /// Counted from 1.
    Instance(u32),
}

impl Address {
    /// Every address but the instances', in the order in which plans list them.
    pub const SINGLE: [Address; 8] = [
        Self::Dlq,
        Self::Queue,
        Self::ThumbnailsBucket,
        Self::CodeBucket,
        Self::Binary,
        Self::Role,
        Self::InstanceProfile,
        Self::SecurityGroup,
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
        text.strip_prefix("instance.").and_then(|n| n.parse().ok()).filter(|&n| n > 0).map(Self::Instance).ok_or_else(
            || {
                let known: Vec<String> = Self::SINGLE.iter().map(Self::to_string).collect();
                format!("is not an address; use one of {}, instance.N", known.join(", "))
            },
        )
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
