//! The operating systems that an instance can run: their Amazon Machine Images, their C library and their login user.
//! Pure data; looking an image up in an account is [`crate::stack::resources::instance`]'s job.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// A CPU architecture, as EC2 spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Arch {
    #[serde(rename = "x86_64")]
    X86_64,
    #[serde(rename = "arm64")]
    Arm64,
}

impl Arch {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A version of the GNU C library: `Glibc(2, 34)` is 2.34.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Glibc(pub u32, pub u32);

impl fmt::Display for Glibc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// `image` in thumb.toml: a distribution, whose newest image is used at creation, or one AMI by its ID.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Image {
    Ubuntu2204,
    Ubuntu2404,
    Debian12,
    AmazonLinux2023,
    /// `ami-…`: the user must make sure that it has systemd, python3 and a recent enough C library.
    Ami(String),
}

impl Image {
    /// The names that thumb.toml accepts besides `ami-…`.
    pub const NAMED: [Image; 4] = [Self::Ubuntu2204, Self::Ubuntu2404, Self::Debian12, Self::AmazonLinux2023];

    /// The publisher, an account or an alias, and the name pattern for DescribeImages; `None` for an AMI by ID, and
    /// where the publisher in this partition is not known. Each partition has its own accounts.
    ///
    /// Sources of the owners and patterns: Ubuntu on AWS "find images", the Debian cloud team's wiki,
    /// the Amazon Linux 2023 user guide. Debian's are known for AWS's commercial regions only.
    pub fn query(&self, arch: Arch, partition: &str) -> Option<(&'static str, String)> {
        let deb = match arch {
            Arch::X86_64 => "amd64",
            Arch::Arm64 => "arm64",
        };
        let canonical = match partition {
            "aws" => Some("099720109477"),
            "aws-us-gov" => Some("513442679011"),
            "aws-cn" => Some("837727238323"),
            _ => None,
        };
        match self {
            Self::Ubuntu2204 => Some((canonical?, format!("ubuntu/images/hvm-ssd*/ubuntu-jammy-22.04-{deb}-server-*"))),
            Self::Ubuntu2404 => Some((canonical?, format!("ubuntu/images/hvm-ssd*/ubuntu-noble-24.04-{deb}-server-*"))),
            Self::Debian12 => (partition == "aws").then(|| ("136693071363", format!("debian-12-{deb}-*"))),
            Self::AmazonLinux2023 => Some(("amazon", format!("al2023-ami-2023.*-{arch}"))),
            Self::Ami(_) => None,
        }
    }

    /// The version of the image's C library; `None` for an AMI by ID.
    pub fn glibc(&self) -> Option<Glibc> {
        match self {
            Self::Ubuntu2204 => Some(Glibc(2, 35)),
            Self::Ubuntu2404 => Some(Glibc(2, 39)),
            Self::Debian12 => Some(Glibc(2, 36)),
            Self::AmazonLinux2023 => Some(Glibc(2, 34)),
            Self::Ami(_) => None,
        }
    }

    /// The user that the key pair logs in as; `None` for an AMI by ID.
    pub fn ssh_user(&self) -> Option<&'static str> {
        match self {
            Self::Ubuntu2204 | Self::Ubuntu2404 => Some("ubuntu"),
            Self::Debian12 => Some("admin"),
            Self::AmazonLinux2023 => Some("ec2-user"),
            Self::Ami(_) => None,
        }
    }
}

/// The partition that a region is in (AWS general reference, "Amazon Resource Names").
pub fn partition(region: &str) -> &'static str {
    const PARTITIONS: [(&str, &str); 7] = [
        ("cn-", "aws-cn"),
        ("us-gov-", "aws-us-gov"),
        ("us-isob-", "aws-iso-b"),
        ("us-isof-", "aws-iso-f"),
        ("eu-isoe-", "aws-iso-e"),
        ("us-iso-", "aws-iso"),
        ("eusc-", "aws-eusc"),
    ];
    PARTITIONS.into_iter().find(|(prefix, _)| region.starts_with(prefix)).map_or("aws", |(_, partition)| partition)
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ubuntu2204 => "ubuntu-22.04",
            Self::Ubuntu2404 => "ubuntu-24.04",
            Self::Debian12 => "debian-12",
            Self::AmazonLinux2023 => "al2023",
            Self::Ami(id) => id,
        })
    }
}

impl FromStr for Image {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(named) = Self::NAMED.into_iter().find(|image| image.to_string() == text) {
            return Ok(named);
        }
        // EC2 resource IDs: 8 or 17 lower-case hexadecimal digits (EC2 user guide, "Resource IDs").
        let id = text.strip_prefix("ami-").filter(|hex| {
            matches!(hex.len(), 8 | 17) && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        });
        match id {
            Some(_) => Ok(Self::Ami(text.to_owned())),
            None => {
                let names: Vec<String> = Self::NAMED.iter().map(Image::to_string).collect();
                Err(format!("must be {} or an AMI ID (ami-…)", names.join(", ")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_read_back_from_its_name() {
        for image in Image::NAMED {
            assert_eq!(image.to_string().parse(), Ok(image));
        }
        assert_eq!("ami-0123456789abcdef0".parse(), Ok(Image::Ami("ami-0123456789abcdef0".into())));
    }

    #[test]
    fn an_images_publisher_is_the_partitions_own() {
        let owner = |image: Image, region: &str| image.query(Arch::X86_64, partition(region)).map(|(owner, _)| owner);
        assert_eq!(owner(Image::Ubuntu2404, "eu-west-1"), Some("099720109477"));
        assert_eq!(owner(Image::Ubuntu2404, "us-gov-west-1"), Some("513442679011"));
        assert_eq!(owner(Image::Ubuntu2204, "cn-north-1"), Some("837727238323"));
        assert_eq!(owner(Image::Debian12, "us-gov-west-1"), None);
        for region in ["us-east-1", "us-gov-east-1", "cn-northwest-1", "eusc-de-east-1"] {
            assert_eq!(owner(Image::AmazonLinux2023, region), Some("amazon"));
        }
    }

    #[test]
    fn what_is_not_an_image_is_refused_with_the_valid_names() {
        for text in ["ubuntu", "ami-", "ami-xyz", "ami-0123456789ABCDEF0", ""] {
            let error = text.parse::<Image>().unwrap_err();
            assert!(error.contains("ubuntu-22.04, ubuntu-24.04, debian-12, al2023 or an AMI ID"), "{text}: {error}");
        }
    }
}
