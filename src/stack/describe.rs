//! What a plan creates and deletes, in words: a phrase for each resource, for the short form of a plan. Pure.

use super::contents::Contents;
use super::desired::{Desired, Fleet};
use super::observe::Observed;
use super::operation::Change;
use crate::config::{Access, Config, Credits, Notify, Scaling, Sources};
use crate::stack::address::{Address, Alert, Policy};
use crate::stack::change::Action;
use crate::stack::resources::instance::{Launch, PublicAddress};
use crate::stack::resources::security_group::Rule;
use crate::text::{plural, seconds};

/// Describes the resources that an apply creates.
pub fn created(config: &Config, desired: &Desired, changes: &mut [Change]) {
    for change in changes.iter_mut().filter(|change| change.action == Action::Create) {
        change.description = creation(config, desired, change.address, &change.name);
    }
}

fn creation(config: &Config, desired: &Desired, address: Address, name: &str) -> Option<String> {
    Some(match address {
        Address::Dlq => format!("rejected requests, kept {}", seconds(desired.dlq.retention_s.into())),
        Address::Queue => {
            let receives = config.queue.max_receives;
            let kept = seconds(desired.queue.retention_s.into());
            format!("requests, kept {kept}, tried {receives} {}", plural(receives.into(), "time"))
        }
        Address::ThumbnailsBucket => match config.buckets.access {
            Access::PublicRead | Access::Policy => "PUBLIC: anyone can view".to_owned(),
            Access::Private => "private".to_owned(),
        },
        Address::CodeBucket => "private".to_owned(),
        Address::Binary => {
            let binary = desired.binary.as_ref().ok()?;
            format!("{} MiB, Linux {}", binary.bytes.div_ceil(1 << 20), binary.executable.arch)
        }
        Address::Role => rights(config),
        Address::InstanceProfile => "gives the instances their role".to_owned(),
        Address::SecurityGroup => inbound(&desired.security_group.as_ref().ok()?.ingress),
        Address::S3Endpoint => "reaches S3 without a public address, free".to_owned(),
        Address::LogGroup => {
            let days = config.logs.as_ref()?.retention_days;
            format!("the workers' lines, kept {days}d")
        }
        Address::Topic => recipients(config.notify.as_ref()?),
        Address::LaunchTemplate => machine(desired.launch.as_ref().ok()?, None),
        Address::ScalingGroup => group(config.scaling.as_ref()?, desired.fleet.as_ref()?.as_ref().ok()?),
        Address::ScalingPolicy(policy) => purpose(policy).to_owned(),
        Address::Alarm(policy) => format!("starts scaling-policy.{policy}"),
        Address::Alert(alert) => reason(alert).to_owned(),
        Address::Dashboard => "the queue and the workers on one page".to_owned(),
        Address::Instance(_) => {
            let launch = desired.launch.as_ref().ok()?;
            machine(launch, Some(&launch.instance_type))
        }
        Address::Trigger(_) => uploads(config, name),
    })
}

/// Which objects of a bucket get thumbnails by themselves.
fn uploads(config: &Config, bucket: &str) -> String {
    let declared = config.triggers.iter().filter(|trigger| trigger.bucket == bucket);
    let rules: Vec<String> = declared.map(|trigger| format!("{}*{}", trigger.prefix, trigger.suffix)).collect();
    match rules.join(", ").as_str() {
        "*" => "thumbnails of every new object".to_owned(),
        rules => format!("thumbnails of new objects {rules}"),
    }
}

/// What the role may do, in words.
fn rights(config: &Config) -> String {
    if !config.profile.policies.is_empty() {
        return format!("has {}", config.profile.policies.join(", "));
    }
    let read = match &config.buckets.sources {
        Sources::Any => "reads every bucket".to_owned(),
        Sources::Buckets(sources) => match &sources[..] {
            [] => "reads no bucket".to_owned(),
            [one] => format!("reads {one}"),
            more => format!("reads {} buckets", more.len()),
        },
    };
    format!("{read}, writes thumbnails")
}

/// What a security group lets in.
fn inbound<'a>(rules: impl IntoIterator<Item = &'a Rule>) -> String {
    let rules: Vec<String> = rules.into_iter().map(ToString::to_string).collect();
    match &rules[..] {
        [] => "no inbound ports".to_owned(),
        rules => rules.join(", "),
    }
}

/// What is launched. `kind`: the instance type, where it is one.
fn machine(launch: &Launch, kind: Option<&str>) -> String {
    let mut parts: Vec<String> = kind.map(str::to_owned).into_iter().collect();
    parts.push(launch.image.to_string());
    if launch.credits == Some(Credits::Unlimited) {
        parts.push("unlimited credits".to_owned());
    }
    if !launch.public_ip || matches!(launch.public_address, PublicAddress::No(_)) {
        parts.push("no public address".to_owned());
    }
    parts.push(match &launch.key_pair {
        Some(key_pair) => format!("SSH key {key_pair}"),
        None => "no SSH key".to_owned(),
    });
    parts.join(", ")
}

fn group(scaling: &Scaling, fleet: &Fleet) -> String {
    let Scaling { min, max, acceptable_latency_s, spot: _, types: _ } = scaling;
    let latency = seconds((*acceptable_latency_s).into());
    format!("{min} to {max} {} instances, so that requests wait at most {latency}", fleet.group.mixed.purchase())
}

/// Who hears of it.
fn recipients(notify: &Notify) -> String {
    let Notify { email, events } = notify;
    let mail = match &email[..] {
        [] => None,
        [one] => Some(format!("alarms go to {one}")),
        more => Some(format!("alarms go to {} addresses", more.len())),
    };
    let events = events.then(|| "an event a request".to_owned());
    mail.into_iter().chain(events).collect::<Vec<_>>().join(", ")
}

/// When an alarm tells somebody.
fn reason(alert: Alert) -> &'static str {
    match alert {
        Alert::Rejected => "tells of rejected requests",
        Alert::Oldest => "tells of requests that wait too long",
        Alert::Stuck => "tells that requests wait and none is done",
        Alert::FleetFull => "tells that the group is at its maximum",
        Alert::Launches => "tells that instances do not start",
    }
}

fn purpose(policy: Policy) -> &'static str {
    match policy {
        Policy::Backlog => "more instances, when requests wait too long",
        Policy::Wake => "the first instances, when requests wait and none runs",
        Policy::Shrink => "fewer instances, when they have little to do",
        Policy::Sleep => "the least, when there is nothing to do",
    }
}

/// Describes what the resources that a destroy deletes contain.
pub fn deleted(observed: &Observed, contents: &Contents, changes: &mut [Change]) {
    let messages = |queue: Option<u64>| {
        queue.filter(|count| *count > 0).map(|count| format!("about {count} {}", plural(count, "message")))
    };
    let objects = |held: Option<(u64, bool)>| {
        let (count, more) = held.filter(|(count, more)| *count > 0 || *more)?;
        let more = if more { "more than " } else { "" };
        Some(format!("{more}{count} {}", plural(count, "object")))
    };
    for change in changes.iter_mut().filter(|change| change.action == Action::Delete) {
        change.description = match change.address {
            Address::Dlq => messages(observed.dlq.ours().map(|queue| queue.messages)),
            Address::Queue => messages(observed.queue.ours().map(|queue| queue.messages)),
            Address::ThumbnailsBucket => objects(contents.thumbnails),
            Address::CodeBucket => objects(contents.code),
            Address::Instance(index) => {
                let ids = observed.fleet.alive.iter().filter(|instance| instance.index == index);
                Some(ids.map(|instance| instance.id.as_str()).collect::<Vec<_>>().join(", "))
            }
            Address::ScalingGroup => observed.scaling_group.ours().map(|group| {
                let count = group.members.len() as u64;
                format!("{count} {}", plural(count, "instance"))
            }),
            _ => None,
        };
    }
}
