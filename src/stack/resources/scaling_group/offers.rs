//! The instance types and images that a group can be made of, and the choice among them.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{Filter, InstanceTypeInfo};

use crate::aws::{CallError, CallResult, Errors, Reader, all};
use crate::config::image::{Arch, Image};
use crate::stack::resources::instance::{Ami, read_ami};
use crate::stack::resources::optional;
use crate::text::plural;

/// The types of a group whose `types` is empty: two CPUs each, several generations and families, because Spot capacity
/// differs between them and AWS advises at least ten (Auto Scaling user guide, "Setup overview for creating a mixed
/// instances group"). None with CPU credits: a worker uses its CPUs to the full, so that it would soon be throttled, or pay
/// for surplus credits.
const X86_64: [&str; 14] = [
    "c7i.large",
    "c7a.large",
    "c6i.large",
    "c6a.large",
    "c5.large",
    "c5a.large",
    "m7i.large",
    "m7a.large",
    "m6i.large",
    "m6a.large",
    "m5.large",
    "m5a.large",
    "r6i.large",
    "r5.large",
];
const ARM64: [&str; 12] = [
    "c8g.large",
    "c7g.large",
    "c7gd.large",
    "c6g.large",
    "c6gd.large",
    "c6gn.large",
    "m8g.large",
    "m7g.large",
    "m6g.large",
    "m6gd.large",
    "r7g.large",
    "r6g.large",
];
const MAX_PAGES: usize = 5;

/// What a group can be made of in this region.
#[derive(Clone, Debug, PartialEq)]
pub struct Offers {
    /// Of the types asked for, in their order, those that the region offers.
    pub types: Vec<Offer>,
    /// The image for each CPU that one of the types has; an inner `Err` says why there is none.
    pub images: Vec<(Arch, Result<Ami, String>)>,
    /// Where to launch. `Err`: why nowhere, as a sentence.
    pub subnets: Result<BTreeSet<String>, String>,
}

/// An instance type.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    pub name: String,
    /// None: neither x86_64 nor arm64.
    pub arch: Option<Arch>,
    pub cpus: u32,
}

/// What a group is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    pub arch: Arch,
    pub ami: Ami,
    pub types: Vec<String>,
    /// CPUs of the smallest type.
    pub cpus: u32,
}

/// `declared`: the types of thumb.toml; empty for those that thumb knows. `subnet`: of `[instance]`.
pub async fn read_offers(
    aws: &Reader,
    declared: &[String],
    image: &Image,
    subnet: Option<&str>,
) -> Result<Offers, Errors> {
    let made_of = async {
        let wanted: Vec<String> = match declared {
            [] => X86_64.iter().chain(&ARM64).map(|name| (*name).to_owned()).collect(),
            declared => declared.to_vec(),
        };
        let types = read_types(aws, &wanted).await?;
        let has = |arch: Arch| types.iter().any(|offer| offer.arch == Some(arch));
        let image = |arch: Arch| async move {
            match has(arch) {
                true => Ok::<_, CallError>(Some((arch, read_ami(aws, image, arch).await?))),
                false => Ok(None),
            }
        };
        let (x86_64, arm64) = all!(x86_64: image(Arch::X86_64), arm64: image(Arch::Arm64))?;
        Ok::<_, Errors>((types, x86_64.into_iter().chain(arm64).collect()))
    };
    let ((types, images), subnets) = all!(made_of: made_of, subnets: read_subnets(aws, subnet))?;
    Ok(Offers { types, images, subnets })
}

async fn read_types(aws: &Reader, wanted: &[String]) -> Result<Vec<Offer>, CallError> {
    // By filter, not by name: a type that the region does not offer makes the whole call fail.
    let by_name = Filter::builder().name("instance-type").set_values(Some(wanted.to_vec())).build();
    let mut offers = Vec::new();
    let mut next = None;
    for _ in 0..MAX_PAGES {
        let request = aws.describe_instance_types().filters(by_name.clone()).set_next_token(next);
        let page = request.send().await.action("ec2:DescribeInstanceTypes")?;
        offers.extend(page.instance_types().iter().map(offer));
        next = page.next_token.filter(|token| !token.is_empty());
        if next.is_none() {
            break;
        }
    }
    offers.sort_by_key(|offer| wanted.iter().position(|name| *name == offer.name));
    Ok(offers)
}

fn offer(info: &InstanceTypeInfo) -> Offer {
    let supported = info.processor_info().map(|info| info.supported_architectures()).unwrap_or_default();
    let has = |arch: &Arch| supported.iter().any(|supported| supported.as_str() == arch.as_str());
    let cpus = info.v_cpu_info().and_then(|info| info.default_v_cpus()).and_then(|cpus| u32::try_from(cpus).ok());
    Offer {
        name: info.instance_type().map_or("", |name| name.as_str()).to_owned(),
        arch: [Arch::X86_64, Arch::Arm64].into_iter().find(has),
        cpus: cpus.unwrap_or(1).max(1),
    }
}

async fn read_subnets(aws: &Reader, subnet: Option<&str>) -> Result<Result<BTreeSet<String>, String>, CallError> {
    if let Some(subnet) = subnet {
        // Whether it exists is said with the security group, whose VPC is the subnet's.
        return Ok(Ok(BTreeSet::from([subnet.to_owned()])));
    }
    let default = Filter::builder().name("default-for-az").values("true").build();
    let found = optional(aws.describe_subnets().filters(default).send().await.action("ec2:DescribeSubnets"))?;
    let subnets = found.and_then(|out| out.subnets).unwrap_or_default();
    let ids: BTreeSet<String> = subnets.into_iter().filter_map(|subnet| subnet.subnet_id).collect();
    let none =
        || format!("the default VPC in {} has no default subnet: name one with `subnet` in [instance]", aws.region());
    Ok(if ids.is_empty() { Err(none()) } else { Ok(ids) })
}

impl Offers {
    /// What a group is made of. `binary`: the CPU of the program, for the default types.
    ///
    /// # Errors
    /// A sentence: a declared type is not offered, the types have several kinds of CPU, or there is no image.
    pub fn choose(&self, declared: &[String], binary: Option<Arch>, region: &str) -> Result<Choice, String> {
        let missing: Vec<&str> = declared
            .iter()
            .map(String::as_str)
            .filter(|name| self.types.iter().all(|offer| offer.name != *name))
            .collect();
        if !missing.is_empty() {
            let types = plural(missing.len() as u64, "type");
            return Err(format!("the region {region} does not offer the instance {types} {}", missing.join(", ")));
        }
        let first = self.types.first();
        let arch = if declared.is_empty() { binary } else { first.and_then(|offer| offer.arch) };
        let Some(arch) = arch else {
            return Err(match first.filter(|_| !declared.is_empty()) {
                Some(Offer { name, .. }) => format!("the instance type {name} is neither x86_64 nor arm64"),
                None => "depends on binary, which is blocked".to_owned(),
            });
        };
        let other = self.types.iter().find(|offer| offer.arch != Some(arch));
        if let (Some(first), Some(other), false) = (first, other, declared.is_empty()) {
            let cpu = other.arch.map_or("neither x86_64 nor arm64", Arch::as_str);
            return Err(format!(
                "`types` in [scaling] has types with different CPUs, which cannot run the same program: {} is {arch}, {} is \
                 {cpu}",
                first.name, other.name
            ));
        }
        let chosen: Vec<&Offer> = self.types.iter().filter(|offer| offer.arch == Some(arch)).collect();
        let image = self.images.iter().find(|(of, _)| *of == arch).map(|(_, image)| image.clone());
        let (Some(cpus), Some(image)) = (chosen.iter().map(|offer| offer.cpus).min(), image) else {
            return Err(format!(
                "the region {region} offers none of thumb's instance types for {arch}: set `types` in [scaling]"
            ));
        };
        Ok(Choice { arch, ami: image?, types: chosen.iter().map(|offer| offer.name.clone()).collect(), cpus })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offers() -> Offers {
        let ami = |id: &str| Ami { id: id.into(), name: id.into(), root_device: "/dev/sda1".into(), root_gib: 8 };
        let offer = |name: &str, arch, cpus| Offer { name: name.into(), arch, cpus };
        Offers {
            types: vec![
                offer("c7i.large", Some(Arch::X86_64), 2),
                offer("m7i.xlarge", Some(Arch::X86_64), 4),
                offer("c7g.large", Some(Arch::Arm64), 2),
                offer("mac1.metal", None, 12),
            ],
            images: vec![(Arch::X86_64, Ok(ami("ami-x"))), (Arch::Arm64, Err("the region has no image".into()))],
            subnets: Ok(BTreeSet::from(["subnet-1".to_owned()])),
        }
    }

    fn choose(declared: &[&str], binary: Option<Arch>) -> Result<Choice, String> {
        let declared: Vec<String> = declared.iter().map(|name| (*name).to_owned()).collect();
        let mut offers = offers();
        offers.types.retain(|offer| declared.is_empty() || declared.contains(&offer.name));
        offers.choose(&declared, binary, "us-east-1")
    }

    #[test]
    fn the_programs_cpu_chooses_the_default_types() {
        let choice = choose(&[], Some(Arch::X86_64)).unwrap();
        assert_eq!((choice.types.join(" "), choice.cpus, &*choice.ami.id), ("c7i.large m7i.xlarge".into(), 2, "ami-x"));
        assert_eq!(choose(&[], Some(Arch::Arm64)).unwrap_err(), "the region has no image");
        assert_eq!(choose(&[], None).unwrap_err(), "depends on binary, which is blocked");
        for types in [&X86_64[..], &ARM64[..]] {
            assert!(types.len() >= 10 && types.iter().all(|name| name.ends_with(".large")));
            assert!(types.iter().all(|name| !crate::config::is_burstable(name)), "{types:?}");
        }
    }

    #[test]
    fn declared_types_must_be_there_and_of_one_cpu() {
        assert_eq!(choose(&["m7i.xlarge"], None).unwrap().cpus, 4);
        for (types, error) in [
            (&["c7i.large", "c9x.large"][..], "the region us-east-1 does not offer the instance type c9x.large"),
            (
                &["c7i.large", "c7g.large"],
                "`types` in [scaling] has types with different CPUs, which cannot run the same program: c7i.large is x86_64, \
                 c7g.large is arm64",
            ),
            (&["mac1.metal"], "the instance type mac1.metal is neither x86_64 nor arm64"),
        ] {
            assert_eq!(choose(types, Some(Arch::X86_64)).unwrap_err(), error);
        }
    }
}
