//! The security group of the instances (EC2): no inbound traffic, unless SSH is opened. Outbound rules are neither set nor
//! compared: a new group allows all outbound traffic.

use std::collections::BTreeSet;
use std::fmt;

use aws_sdk_ec2::types::{
    Filter, IpPermission, IpRange, Ipv6Range, PrefixListId, ResourceType, Tag, TagSpecification, UserIdGroupPair,
};
use serde::Serialize;

use super::{
    Found, RELEASED, RetryPolicy, STACK_TAG, StepContext, Tags, kept_tags, ok_if_gone, own_tags, tag_changes,
    wanted_tags,
};
use crate::aws::{CallError, CallResult, Kind, Reader, Writer};
use crate::stack::address::Address;
use crate::stack::change::{Action, Change};

/// A group's description, which cannot be changed later.
const DESCRIPTION: &str = "Instances that make thumbnails; made by thumb";

/// A security group as declared.
#[derive(Clone, Debug, PartialEq)]
pub struct SecurityGroup {
    pub name: String,
    pub vpc_id: String,
    pub ingress: BTreeSet<Rule>,
    pub tags: Tags,
}

/// A security group as observed.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    pub id: String,
    pub vpc_id: String,
    pub ingress: BTreeSet<Rule>,
    pub tags: Tags,
}

/// One inbound permission from one source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// "tcp", "udp", "icmp", a number, or "-1" for all.
    pub protocol: String,
    /// First and last port, or ICMP's type and code, where -1 is any; none for all.
    pub ports: Option<(i32, i32)>,
    pub source: Source,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    V4(String),
    V6(String),
    PrefixList(String),
    Group(String),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Create(SecurityGroup),
    Authorize { id: String, rules: BTreeSet<Rule> },
    Revoke { id: String, rules: BTreeSet<Rule> },
    Tag { id: String, set: Tags, remove: Vec<String> },
    Delete { id: String },
}

impl Rule {
    /// SSH from a network.
    pub fn ssh(network: &ipnet::IpNet) -> Self {
        let source = match network {
            ipnet::IpNet::V4(network) => Source::V4(network.to_string()),
            ipnet::IpNet::V6(network) => Source::V6(network.to_string()),
        };
        Self { protocol: "tcp".into(), ports: Some((22, 22)), source }
    }

    fn to_permission(&self) -> IpPermission {
        let (from, to) = self.ports.unzip();
        let permission = IpPermission::builder().ip_protocol(&self.protocol).set_from_port(from).set_to_port(to);
        match &self.source {
            Source::V4(cidr) => permission.ip_ranges(IpRange::builder().cidr_ip(cidr).build()),
            Source::V6(cidr) => permission.ipv6_ranges(Ipv6Range::builder().cidr_ipv6(cidr).build()),
            Source::PrefixList(id) => permission.prefix_list_ids(PrefixListId::builder().prefix_list_id(id).build()),
            Source::Group(id) => permission.user_id_group_pairs(UserIdGroupPair::builder().group_id(id).build()),
        }
        .build()
    }

    fn from_permission(permission: &IpPermission) -> Vec<Self> {
        let protocol = permission.ip_protocol().unwrap_or("-1").to_owned();
        // "All" has no ports; ICMP always has two numbers, and EC2 revokes a rule only by all that it has (API
        // RevokeSecurityGroupIngress).
        let ports = permission.from_port().zip(permission.to_port());
        let ports = ports.filter(|ports| is_icmp(&protocol) || *ports != (-1, -1));
        let v4 = permission.ip_ranges().iter().filter_map(|range| range.cidr_ip.clone()).map(Source::V4);
        let v6 = permission.ipv6_ranges().iter().filter_map(|range| range.cidr_ipv6.clone()).map(Source::V6);
        let lists = permission.prefix_list_ids().iter().filter_map(|list| list.prefix_list_id.clone());
        let groups = permission.user_id_group_pairs().iter().filter_map(|pair| pair.group_id.clone());
        v4.chain(v6)
            .chain(lists.map(Source::PrefixList))
            .chain(groups.map(Source::Group))
            .map(|source| Self { protocol: protocol.clone(), ports, source })
            .collect()
    }
}

/// By EC2's name or the protocol's number.
fn is_icmp(protocol: &str) -> bool {
    matches!(protocol, "icmp" | "icmpv6" | "1" | "58")
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = if self.protocol == "-1" { "all" } else { &self.protocol };
        let (Source::V4(source) | Source::V6(source) | Source::PrefixList(source) | Source::Group(source)) =
            &self.source;
        match self.ports {
            Some((-1, _)) if is_icmp(protocol) => write!(f, "{protocol} from {source}"),
            Some((kind, -1)) if is_icmp(protocol) => write!(f, "{protocol} type {kind} from {source}"),
            Some((kind, code)) if is_icmp(protocol) => write!(f, "{protocol} type {kind} code {code} from {source}"),
            Some((from, to)) if from == to => write!(f, "{protocol} {from} from {source}"),
            Some((from, to)) => write!(f, "{protocol} {from}-{to} from {source}"),
            None => write!(f, "{protocol} from {source}"),
        }
    }
}

impl Serialize for Rule {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Searches all VPCs: a group of the stack in another VPC than the declared one is replaced.
pub async fn read(aws: &Reader, stack: &str, name: &str, vpc_id: Option<&str>) -> Result<Found<Observed>, CallError> {
    let by_name = Filter::builder().name("group-name").values(name).build();
    let result = aws.describe_security_groups().filters(by_name).send().await;
    let groups = result.action("ec2:DescribeSecurityGroups")?.security_groups.unwrap_or_default();
    let found: Vec<(Observed, Tags)> = groups
        .into_iter()
        .map(|group| {
            let tags = tags_of(group.tags());
            let observed = Observed {
                id: group.group_id.clone().unwrap_or_default(),
                vpc_id: group.vpc_id.clone().unwrap_or_default(),
                ingress: group.ip_permissions().iter().flat_map(Rule::from_permission).collect(),
                tags: own_tags(&tags),
            };
            (observed, tags)
        })
        .collect();
    let ours = |tags: &Tags| tags.get(STACK_TAG).is_some_and(|owner| owner == stack);
    let here = |group: &Observed| vpc_id.is_none_or(|vpc_id| group.vpc_id == vpc_id);
    // Ours in the declared VPC, else ours in another VPC, else a foreign group in the declared VPC. A foreign group in
    // another VPC does not conflict.
    let best = found
        .iter()
        .find(|(group, tags)| ours(tags) && here(group))
        .or_else(|| found.iter().find(|(_, tags)| ours(tags)))
        .or_else(|| found.iter().find(|(group, _)| here(group)));
    Ok(best.map_or(Found::Absent, |(group, tags)| {
        Found::by_tags(stack, tags, &format!("the security group {name} ({})", group.id), group.clone())
    }))
}

/// The stacks other than this one that have a security group in the region: nearly every stack has.
pub async fn other_stacks(aws: &Reader, stack: &str) -> Result<BTreeSet<String>, CallError> {
    let tagged = Filter::builder().name("tag-key").values(STACK_TAG).build();
    let result = aws.describe_security_groups().filters(tagged).send().await;
    let out = result.action("ec2:DescribeSecurityGroups")?;
    let owners = out.security_groups().iter().filter_map(|group| tags_of(group.tags()).remove(STACK_TAG));
    Ok(owners.filter(|owner| owner != stack).collect())
}

pub fn diff(desired: &SecurityGroup, found: &Found<Observed>) -> Change<Step> {
    let SecurityGroup { name, vpc_id, ingress, tags } = desired;
    let mut change = Change::new(Address::SecurityGroup, name);
    let observed = match found {
        Found::Foreign(foreign) => return Change::blocked(Address::SecurityGroup, name, &foreign.reason),
        Found::Absent => {
            change.unknown("id", None);
            change.set("vpc", vpc_id);
            change.set("ingress", ingress);
            change.set("tags", tags);
            change.step(Step::Create(desired.clone()));
            return change.action(Action::Create);
        }
        Found::Ours(observed) => observed,
    };
    if observed.vpc_id != *vpc_id {
        change.reason = Some("a security group cannot move to another VPC".into());
        change.unknown("id", Some(&observed.id));
        change.compare("vpc", &observed.vpc_id, vpc_id);
        change.compare("ingress", &observed.ingress, ingress);
        change.compare("tags", &observed.tags, tags);
        change.step(Step::Create(desired.clone()));
        change.removal(Step::Delete { id: observed.id.clone() });
        return change.action(Action::Replace);
    }
    let id = &observed.id;
    if change.compare("ingress", &observed.ingress, ingress) {
        let missing: BTreeSet<Rule> = ingress.difference(&observed.ingress).cloned().collect();
        if !missing.is_empty() {
            change.step(Step::Authorize { id: id.clone(), rules: missing });
        }
        let extra: BTreeSet<Rule> = observed.ingress.difference(ingress).cloned().collect();
        if !extra.is_empty() {
            change.step(Step::Revoke { id: id.clone(), rules: extra });
        }
    }
    let tags = wanted_tags(tags, &observed.tags);
    if change.compare("tags", &observed.tags, &tags) {
        let (set, remove) = tag_changes(&observed.tags, &tags);
        change.step(Step::Tag { id: id.clone(), set, remove });
    }
    change.settle()
}

pub fn delete(name: &str, observed: &Observed) -> Change<Step> {
    let mut change = Change::new(Address::SecurityGroup, name);
    change.removed("id", &observed.id);
    change.removal(Step::Delete { id: observed.id.clone() });
    change.action(Action::Delete)
}

/// Releases an adopted security group; its rules stay.
pub fn release(name: &str, observed: &Observed, configured: &Tags) -> Change<Step> {
    let mut change = Change::new(Address::SecurityGroup, name);
    change.reason = Some(RELEASED.into());
    let kept = kept_tags(&observed.tags, configured);
    change.compare("tags", &observed.tags, &kept);
    let (set, remove) = tag_changes(&observed.tags, &kept);
    change.removal(Step::Tag { id: observed.id.clone(), set, remove });
    change.action(Action::Update)
}

pub async fn run(step: &Step, aws: &Writer, context: &StepContext<'_>) -> Result<(), CallError> {
    let ec2 = &aws.clients.ec2;
    match step {
        Step::Create(group) => create(group, aws, context).await,
        Step::Authorize { id, rules } => authorize(id, rules, aws, context).await,
        Step::Revoke { id, rules } => {
            let permissions = rules.iter().map(Rule::to_permission).collect();
            let request = ec2.revoke_security_group_ingress().group_id(id).set_ip_permissions(Some(permissions));
            ok_if_gone(request.send().await.action("ec2:RevokeSecurityGroupIngress"))
        }
        Step::Tag { id, set, remove } => tag(id, set, remove, aws).await,
        Step::Delete { id } => {
            // "In use" lasts until the last instance is really terminated, minutes at times (EC2 user guide, "Delete a
            // security group").
            let in_use = |error: &CallError| error.kind == Kind::InUse;
            let why = "waiting for its instances to terminate";
            let delete = || async {
                let result = ec2.delete_security_group().group_id(id).send().await;
                ok_if_gone(result.action("ec2:DeleteSecurityGroup"))
            };
            context.retry(&RetryPolicy::INSTANCE, why, in_use, delete).await
        }
    }
}

async fn create(group: &SecurityGroup, aws: &Writer, context: &StepContext<'_>) -> Result<(), CallError> {
    let request = aws.clients.ec2.create_security_group().group_name(&group.name).description(DESCRIPTION);
    let request =
        request.vpc_id(&group.vpc_id).tag_specifications(specification(ResourceType::SecurityGroup, &group.tags));
    let id = match request.send().await.action("ec2:CreateSecurityGroup") {
        // Created by an attempt whose response was lost, or by a concurrent apply: then it has our tags.
        Err(error) if error.kind == Kind::AlreadyExists => {
            let reader = Reader::new(&aws.clients);
            match read(&reader, context.stack, &group.name, Some(&group.vpc_id)).await? {
                Found::Ours(observed) => Some(observed.id),
                _ => return Err(error),
            }
        }
        result => result?.group_id,
    };
    let id = id.unwrap_or_default();
    authorize(&id, &group.ingress, aws, context).await?;
    context.outputs.set_security_group(id);
    Ok(())
}

async fn authorize(id: &str, rules: &BTreeSet<Rule>, aws: &Writer, context: &StepContext<'_>) -> Result<(), CallError> {
    // One rule a call: EC2 refuses a whole call when one of its rules is there already.
    for rule in rules {
        context.go_on("ec2:AuthorizeSecurityGroupIngress")?;
        let not_found_yet = |error: &CallError| error.kind == Kind::NotFound;
        let result = context
            .retry(
                &RetryPolicy::PROPAGATION,
                "waiting for the new security group to reach all of EC2",
                not_found_yet,
                || async {
                    let request = aws.clients.ec2.authorize_security_group_ingress().group_id(id);
                    let result = request.ip_permissions(rule.to_permission()).send().await;
                    result.map(drop).action("ec2:AuthorizeSecurityGroupIngress")
                },
            )
            .await;
        match result {
            Err(error) if error.kind == Kind::AlreadyExists => {}
            result => result?,
        }
    }
    Ok(())
}

/// Sets and removes tags of any EC2 resource.
pub(super) async fn tag(id: &str, set: &Tags, remove: &[String], aws: &Writer) -> Result<(), CallError> {
    let ec2 = &aws.clients.ec2;
    if !set.is_empty() {
        let request = ec2.create_tags().resources(id).set_tags(Some(ec2_tags(set)));
        request.send().await.action("ec2:CreateTags")?;
    }
    if !remove.is_empty() {
        let tags = remove.iter().map(|key| Tag::builder().key(key).build()).collect();
        let request = ec2.delete_tags().resources(id).set_tags(Some(tags));
        request.send().await.action("ec2:DeleteTags")?;
    }
    Ok(())
}

pub(super) fn specification(resource: ResourceType, tags: &Tags) -> TagSpecification {
    TagSpecification::builder().resource_type(resource).set_tags(Some(ec2_tags(tags))).build()
}

pub(super) fn ec2_tags(tags: &Tags) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

pub(super) fn tags_of(tags: &[Tag]) -> Tags {
    tags.iter().filter_map(|tag| Some((tag.key.clone()?, tag.value.clone().unwrap_or_default()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_about_icmp_keeps_its_numbers_so_that_it_can_be_revoked() {
        let permission = |protocol: &str, from: i32, to: i32| {
            let range = IpRange::builder().cidr_ip("0.0.0.0/0").build();
            IpPermission::builder().ip_protocol(protocol).from_port(from).to_port(to).ip_ranges(range).build()
        };
        for (protocol, from, to, shown) in [
            ("icmp", -1, -1, "icmp from 0.0.0.0/0"),
            ("icmp", 8, -1, "icmp type 8 from 0.0.0.0/0"),
            ("icmp", 3, 4, "icmp type 3 code 4 from 0.0.0.0/0"),
            ("tcp", 22, 22, "tcp 22 from 0.0.0.0/0"),
        ] {
            let given = permission(protocol, from, to);
            let [rule] = Rule::from_permission(&given).try_into().unwrap();
            assert_eq!(rule.to_permission(), given);
            assert_eq!(rule.to_string(), shown);
        }
        let all = Rule::from_permission(&permission("-1", -1, -1)).remove(0);
        assert_eq!((all.ports, all.to_string()), (None, "all from 0.0.0.0/0".to_owned()));
    }
}
