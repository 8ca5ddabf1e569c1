//! Observes EC2: the stack's instances, and the launch options of the account and region.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_ec2::types::{Filter, Image as Ec2Image, Instance, InstanceAttributeName, InstanceStateName, InstanceType};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{Fleet, INDEX_TAG, Observed, PublicAddress, name};
use crate::aws::{CallError, CallResult, Errors, Kind, Reader, all};
use crate::config::image::{Arch, Image, partition};
use crate::config::{Credits, is_burstable};
use crate::stack::resources::instance::user_data;
use crate::stack::resources::security_group::tags_of;
use crate::stack::resources::{STACK_TAG, Tags, optional, own_tags};

/// Parallel DescribeInstanceAttribute calls.
const MAX_SIDE_BY_SIDE: usize = 10;
/// Pages of DescribeInstances, a thousand instances each.
const MAX_PAGES: usize = 10;

/// The least root volume, in GiB: as much as the named images have.
const MIN_ROOT_GIB: i32 = 8;

/// The tag of an Auto Scaling group's instances, which only AWS can set. They have the stack's tag from their group, but no
/// number: the group launches and terminates them, and nobody else.
const GROUP_TAG: &str = "aws:autoscaling:groupName";

/// An image, found by name or given by ID.
#[derive(Clone, Debug, PartialEq)]
pub struct Ami {
    pub id: String,
    pub name: String,
    /// "/dev/sda1" or "/dev/xvda": the volume that is encrypted.
    pub root_device: String,
    /// The root volume's size in GiB, as the image has it.
    pub root_gib: i32,
}

/// The stack's instances, terminated ones included, and foreign instances with one of the names of the first `count`.
pub async fn read(aws: &Reader, stack: &str, count: u32) -> Result<Fleet, Errors> {
    let by_stack = Filter::builder().name(format!("tag:{STACK_TAG}")).values(stack).build();
    let names: Vec<String> = (1..=count).map(|index| name(stack, index)).collect();
    let by_name = Filter::builder().name("tag:Name").set_values(Some(names)).build();
    let named = async { if count == 0 { Ok(Vec::new()) } else { describe(aws, vec![by_name, alive()]).await } };
    let (ours, named) = all!(ours: describe(aws, vec![by_stack]), named: named)?;
    let mut fleet = Fleet::default();
    let mut running = Vec::new();
    for instance in ours {
        let tags = tags_of(instance.tags());
        if tags.contains_key(GROUP_TAG) {
            continue;
        }
        let index = tags.get(INDEX_TAG).and_then(|index| index.parse().ok()).filter(|&index| index > 0);
        let id = instance.instance_id.clone().unwrap_or_default();
        match (index, instance.state().and_then(|state| state.name())) {
            (index, Some(InstanceStateName::Terminated | InstanceStateName::ShuttingDown)) => {
                fleet.dead.extend(index.map(|index| (index, id)));
            }
            (Some(index), _) => running.push((index, instance, tags)),
            (None, _) => fleet.unnumbered.push(format!(
                "The instance {id} has the tag {STACK_TAG} = {stack} but no number in {INDEX_TAG}: thumb did not launch it \
                 (\"Launch more like this\" copies tags, for example), and does not change it."
            )),
        }
    }
    let credits = credits(aws, running.iter().map(|(_, instance, _)| instance));
    let user_data = stream::iter(&running)
        .map(|(_, instance, _)| user_data_of(aws, instance.instance_id().unwrap_or_default()))
        .buffered(MAX_SIDE_BY_SIDE)
        .try_collect::<Vec<Option<String>>>();
    let (user_data, credits) = all!(user_data: user_data, credits: credits)?;
    for ((index, instance, tags), user_data) in running.into_iter().zip(user_data) {
        let id = instance.instance_id().unwrap_or_default();
        // Tags can be copied to another instance; the user data tells which stack it belongs to.
        match user_data.as_ref().map(|text| user_data::stack(text)) {
            Some(owner) if owner.as_deref() != Some(stack) => {
                let what = owner
                    .map_or_else(|| "not written by thumb".to_owned(), |owner| format!("that of the stack {owner:?}"));
                let reason = format!(
                    "the instance {id} has this stack's tags, but its user data is {what}, so it is not changed: remove its \
                     tag {STACK_TAG} off, or terminate it"
                );
                fleet.foreign.insert(index, reason);
            }
            _ => {
                let credits = credits.get(id).copied();
                fleet.alive.push(observed(index, &instance, tags, user_data, credits));
            }
        }
    }
    let by_label: BTreeMap<String, u32> = (1..=count).map(|index| (name(stack, index), index)).collect();
    for instance in named {
        let tags = tags_of(instance.tags());
        let id = instance.instance_id().unwrap_or_default();
        if !tags.contains_key(GROUP_TAG)
            && tags.get(STACK_TAG).is_none_or(|owner| owner != stack)
            && let Some(index) = tags.get("Name").and_then(|label| by_label.get(label))
        {
            let reason = format!("the instance {id} has this name, but belongs to no stack");
            fleet.foreign.insert(*index, reason);
        }
    }
    Ok(fleet)
}

/// How those of the instances that have CPU credits spend them, by ID. Others must not be asked about: the whole call
/// would fail (API DescribeInstanceCreditSpecifications).
async fn credits(
    aws: &Reader,
    instances: impl Iterator<Item = &Instance>,
) -> Result<HashMap<String, Credits>, CallError> {
    let has = |instance: &&Instance| instance.instance_type().is_some_and(|kind| is_burstable(kind.as_str()));
    let ids: Vec<String> = instances.filter(has).filter_map(|instance| instance.instance_id.clone()).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let result = aws.describe_instance_credit_specifications().set_instance_ids(Some(ids)).send().await;
    // One of them was just terminated, or has not reached all of EC2 yet.
    let out = optional(result.action("ec2:DescribeInstanceCreditSpecifications"))?;
    let found = out.and_then(|out| out.instance_credit_specifications).unwrap_or_default();
    let known = found.into_iter().filter_map(|one| Some((one.instance_id?, one.cpu_credits?.parse().ok()?)));
    Ok(known.collect())
}

async fn describe(aws: &Reader, filters: Vec<Filter>) -> Result<Vec<Instance>, CallError> {
    let mut instances = Vec::new();
    let mut next = None;
    for _ in 0..MAX_PAGES {
        let request = aws.describe_instances().set_filters(Some(filters.clone())).set_next_token(next);
        let page = request.send().await.action("ec2:DescribeInstances")?;
        for reservation in page.reservations.unwrap_or_default() {
            instances.extend(reservation.instances.unwrap_or_default());
        }
        next = page.next_token.filter(|token| !token.is_empty());
        if next.is_none() {
            break;
        }
    }
    Ok(instances)
}

fn alive() -> Filter {
    let states = ["pending", "running", "stopping", "stopped"].map(str::to_owned).to_vec();
    Filter::builder().name("instance-state-name").set_values(Some(states)).build()
}

/// An instance's user data as text, empty when it has none. `None`: EC2 does not know the instance, which it listed a
/// moment ago: it is too new, or has just gone.
async fn user_data_of(aws: &Reader, id: &str) -> Result<Option<String>, CallError> {
    let request = aws.describe_instance_attribute().instance_id(id).attribute(InstanceAttributeName::UserData);
    let result = request.send().await.action("ec2:DescribeInstanceAttribute");
    let Some(out) = optional(result)? else { return Ok(None) };
    Ok(Some(user_data::decode(&out.user_data.and_then(|data| data.value).unwrap_or_default())))
}

fn observed(
    index: u32,
    instance: &Instance,
    tags: Tags,
    user_data: Option<String>,
    credits: Option<Credits>,
) -> Observed {
    let state = instance.state().and_then(|state| state.name()).map_or("unknown", |name| name.as_str());
    let profile = instance.iam_instance_profile();
    let profile_name = profile.and_then(|profile| profile.arn()).and_then(|arn| arn.rsplit('/').next());
    // The instance's are those of its first interface; an emulator may list them only there.
    let interface = instance.network_interfaces().first().map(|interface| interface.groups()).unwrap_or_default();
    let of_instance = instance.security_groups();
    let groups = if of_instance.is_empty() { interface } else { of_instance };
    let groups = groups.iter().filter_map(|group| group.group_name.clone());
    let tokens = instance.metadata_options().and_then(|options| options.http_tokens());
    Observed {
        id: instance.instance_id.clone().unwrap_or_default(),
        index,
        state: state.to_owned(),
        launched_s: instance.launch_time().map_or(0, |time| time.secs()),
        instance_type: instance.instance_type().map_or("", |kind| kind.as_str()).to_owned(),
        key_pair: instance.key_name.clone(),
        profile: profile_name.map(str::to_owned),
        // Some emulators return the association's ID instead, which is useless here.
        profile_id: profile.and_then(|profile| profile.id()).filter(|id| !id.starts_with("iip-")).map(str::to_owned),
        security_groups: groups.collect(),
        subnet: instance.subnet_id.clone(),
        vpc: instance.vpc_id.clone(),
        tokens_required: tokens.is_some_and(|tokens| tokens.as_str() == "required"),
        credits,
        user_data,
        public_ip: instance.public_ip_address.clone().filter(|ip| !ip.is_empty()),
        tags: own_tags(&tags),
    }
}

/// The CPU of an instance type. The inner `Err` says why it is not available, as a sentence.
pub async fn read_arch(aws: &Reader, instance_type: &str) -> Result<Result<Arch, String>, CallError> {
    let result = aws.describe_instance_types().instance_types(InstanceType::from(instance_type)).send().await;
    let missing = || format!("the region {} does not offer the instance type {instance_type}", aws.region());
    let types = match result.action("ec2:DescribeInstanceTypes") {
        Ok(out) => out.instance_types.unwrap_or_default(),
        Err(error) if matches!(error.kind, Kind::Refused | Kind::NotFound) => return Ok(Err(missing())),
        Err(error) => return Err(error),
    };
    let Some(info) = types.first() else { return Ok(Err(missing())) };
    let supported = info.processor_info().map(|info| info.supported_architectures()).unwrap_or_default();
    let arch = [Arch::X86_64, Arch::Arm64]
        .into_iter()
        .find(|arch| supported.iter().any(|supported| supported.as_str() == arch.as_str()));
    Ok(arch.ok_or_else(|| format!("the instance type {instance_type} is neither x86_64 nor arm64")))
}

/// The newest image of that name, or the one with that ID. The inner `Err`: why there is none, as a sentence.
pub async fn read_ami(aws: &Reader, image: &Image, arch: Arch) -> Result<Result<Ami, String>, CallError> {
    let filter = |name: &str, value: &str| Filter::builder().name(name).values(value).build();
    let region = aws.region();
    let request = match (image, image.query(arch, partition(region))) {
        (Image::Ami(id), _) => aws.describe_images().image_ids(id),
        (_, Some((owner, pattern))) => aws
            .describe_images()
            .owners(owner)
            .filters(filter("name", &pattern))
            .filters(filter("architecture", arch.as_str()))
            .filters(filter("state", "available")),
        (_, None) => {
            return Ok(Err(format!(
                "thumb does not know the publisher of {image} in the region {region}: name the image by its ID, \
                 `image = \"ami-…\"` in [instance]"
            )));
        }
    };
    let images = match request.send().await.action("ec2:DescribeImages") {
        Ok(out) => out.images.unwrap_or_default(),
        // A malformed ID is as little an image as an unknown one.
        Err(error) if matches!(error.kind, Kind::Refused | Kind::NotFound) => Vec::new(),
        Err(error) => return Err(error),
    };
    // Dates are ISO 8601 in UTC: they sort as text.
    let Some(newest) = images.into_iter().max_by(|a, b| a.creation_date.cmp(&b.creation_date)) else {
        return Ok(Err(format!("the region {region} has no image {image} for {arch}")));
    };
    if let Some(built_for) = newest.architecture().filter(|built_for| built_for.as_str() != arch.as_str()) {
        return Ok(Err(format!("the image {image} is for {}, but the instance type is {arch}", built_for.as_str())));
    }
    Ok(Ok(ami(newest)))
}

fn ami(image: Ec2Image) -> Ami {
    let root_device = image.root_device_name.clone().unwrap_or_else(|| "/dev/sda1".into());
    let root = image.block_device_mappings().iter().find(|device| device.device_name() == Some(&root_device));
    let root_gib = root.and_then(|device| device.ebs()).and_then(|ebs| ebs.volume_size()).unwrap_or(MIN_ROOT_GIB);
    let root_gib = root_gib.max(MIN_ROOT_GIB);
    Ami { id: image.image_id.unwrap_or_default(), name: image.name.unwrap_or_default(), root_device, root_gib }
}

/// Whether a key pair exists. The inner `Err`: that it does not, as a sentence with what to do.
pub async fn read_key_pair(aws: &Reader, key_pair: &str) -> Result<Result<(), String>, CallError> {
    let result = aws.describe_key_pairs().key_names(key_pair).send().await;
    let found = match result.action("ec2:DescribeKeyPairs") {
        Ok(out) => !out.key_pairs.unwrap_or_default().is_empty(),
        Err(error) if error.kind == Kind::NotFound => false,
        Err(error) => return Err(error),
    };
    let region = aws.region();
    Ok(found.then_some(()).ok_or_else(|| {
        format!(
            "the key pair {key_pair} does not exist in {region}: create it (aws ec2 create-key-pair --key-name {key_pair}), \
             or leave `key_pair` out of [instance]"
        )
    }))
}

/// The VPC of the declared subnet, or the default one. The inner `Err`: why there is none, as a sentence with what to do.
pub async fn read_vpc(aws: &Reader, subnet: Option<&str>) -> Result<Result<String, String>, CallError> {
    let region = aws.region();
    if let Some(subnet) = subnet {
        let result = aws.describe_subnets().subnet_ids(subnet).send().await;
        let subnets = match result.action("ec2:DescribeSubnets") {
            Ok(out) => out.subnets.unwrap_or_default(),
            Err(error) if error.kind == Kind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let vpc = subnets.into_iter().next().and_then(|subnet| subnet.vpc_id);
        return Ok(vpc.ok_or_else(|| format!("the subnet {subnet} does not exist in {region}")));
    }
    let default = Filter::builder().name("is-default").values("true").build();
    let result = aws.describe_vpcs().filters(default).send().await;
    let vpcs = result.action("ec2:DescribeVpcs")?.vpcs.unwrap_or_default();
    let vpc = vpcs.into_iter().next().and_then(|vpc| vpc.vpc_id);
    Ok(vpc.ok_or_else(|| {
        format!(
            "the region {region} has no default VPC: create one (aws ec2 create-default-vpc), or name a subnet with \
             `subnet` in [instance]"
        )
    }))
}

/// Whether an instance gets a public IPv4 address in the declared subnet, or in the default VPC's.
pub async fn read_public_address(aws: &Reader, subnet: Option<&str>) -> Result<PublicAddress, CallError> {
    let request = match subnet {
        Some(subnet) => aws.describe_subnets().subnet_ids(subnet),
        None => aws.describe_subnets().filters(Filter::builder().name("default-for-az").values("true").build()),
    };
    // A missing subnet is reported with the security group.
    let found = optional(request.send().await.action("ec2:DescribeSubnets"))?;
    let subnets = found.and_then(|out| out.subnets).unwrap_or_default();
    let gives = |subnet: &aws_sdk_ec2::types::Subnet| subnet.map_public_ip_on_launch == Some(true);
    Ok(match (subnets.iter().all(gives), subnets.iter().any(gives)) {
        (true, _) => PublicAddress::Yes,
        (false, true) => PublicAddress::Perhaps,
        (false, false) => {
            let place = subnet.map_or_else(|| "the default VPC".to_owned(), |subnet| format!("the subnet {subnet}"));
            PublicAddress::No(place)
        }
    })
}

#[cfg(test)]
mod tests;
