//! The warnings of a plan: what it leads to that a user may not want. And its notes: what it does not show. Each is a
//! sentence. Pure.

use super::desired::Desired;
use super::observe::Observed;
use super::operation::Change;
use crate::config::{Access, Config, Sources, UrlSources};
use crate::stack::address::Address;
use crate::stack::change::Action;
use crate::stack::resources::instance::{FIRST_REPORT, Fleet, Launch, PublicAddress, Wait};
use crate::stack::resources::s3_endpoint::S3Endpoint;
use crate::stack::resources::{s3_endpoint, scaling_group, topic, trigger};
use crate::text::plural;

/// Notes about instances that the plan does not change.
pub fn of_instances(observed: &Observed, changes: &[Change]) -> Vec<String> {
    let Fleet { alive, dead: _, foreign, unnumbered } = &observed.fleet;
    let mut notes = unnumbered.clone();
    // Blocked instances are shown as changes.
    let shown = |index: u32| {
        changes.iter().any(|change| change.address == Address::Instance(index) && change.action == Action::Blocked)
    };
    for (_, reason) in foreign.iter().filter(|(index, _)| !shown(**index)) {
        notes.push(format!("Not changed: {reason}."));
    }
    for instance in alive.iter().filter(|instance| instance.user_data.is_none()) {
        notes.push(format!(
            "EC2 does not return the user data of {} yet; plan again in a minute to see whether it runs what is declared.",
            instance.id
        ));
    }
    notes
}

/// Warnings of a plan to apply.
pub fn warnings(config: &Config, desired: &Desired, observed: &Observed, changes: &[Change]) -> Vec<String> {
    let mut warnings = Vec::new();
    let made = |of: fn(Address) -> bool| {
        let made = |change: &&Change| of(change.address) && matches!(change.action, Action::Create | Action::Replace);
        changes.iter().any(|change| made(&change))
    };
    let sets = |address: Address, attributes: &[&str]| {
        changes.iter().filter(|change| change.address == address).any(|change| {
            matches!(change.action, Action::Create | Action::Update | Action::Replace)
                && change.attributes.iter().any(|set| attributes.iter().any(|name| set.name.starts_with(name)))
        })
    };
    let access = config.buckets.access;
    if access != Access::Private && sets(Address::ThumbnailsBucket, &["block_public_access", "policy"]) {
        warnings.push(
            "Thumbnails will be public: everyone on the Internet can read them. Set access = \"private\" in [buckets] to keep \
             them private."
                .to_owned(),
        );
    }
    let open: Vec<String> =
        config.security_group.ssh_from.iter().filter(|net| net.prefix_len() == 0).map(ToString::to_string).collect();
    if !open.is_empty() && sets(Address::SecurityGroup, &["ingress"]) {
        let open = open.join(", ");
        warnings.push(format!(
            "SSH (port 22) will be open to the whole Internet, because ssh_from in [security_group] has {open}."
        ));
    }
    let has_role = sets(Address::Role, &["inline_policy", "managed_policies"]);
    match &config.buckets.sources {
        Sources::Any => {
            let public = if access == Access::Private { "" } else { ", and its thumbnails are public" };
            warnings.push(format!(
                "`sources` in [buckets] is [\"*\"]: anyone who can send a request can make a worker read any photo that its \
                 role can read, in any bucket{public}."
            ));
        }
        Sources::Buckets(sources) if sources.is_empty() && config.profile.policies.is_empty() && has_role => {
            let instead = match config.worker.url_sources {
                UrlSources::Off => "so it can make no thumbnails",
                _ => "so it can make thumbnails of photos on the web only",
            };
            warnings.push(format!(
                "The worker may read no bucket, {instead}: name the buckets with photos in `sources` in [buckets]."
            ));
        }
        Sources::Buckets(_) => {}
    }
    warnings.extend(desired.warnings.iter().cloned());
    if has_role {
        warnings.extend(observed.policy_warnings.iter().cloned());
    }
    if made(|address| matches!(address, Address::Instance(_) | Address::ScalingGroup))
        && config.network.public_ip
        && let Ok(Launch { public_address: PublicAddress::No(place), .. }) = &desired.launch
    {
        warnings.push(format!(
            "The instances get no public IPv4 address in {place}: they need a NAT gateway or VPC endpoints to reach S3 and \
             SQS, and otherwise cost money and do nothing."
        ));
    }
    warnings
}

/// Notes about a plan to apply.
pub fn of_apply(config: &Config, desired: &Desired, observed: &Observed, changes: &[Change]) -> Vec<String> {
    let mut notes = Vec::new();
    let new = changes.iter().all(|change| matches!(change.action, Action::Create | Action::Blocked));
    if new && !observed.other_stacks.is_empty() {
        let others: Vec<&str> = observed.other_stacks.iter().map(String::as_str).collect();
        notes.push(format!(
            "This account and region also have the {} {}. If you renamed it, the old one runs and costs money until you destroy it \
             under its old name.",
            plural(others.len() as u64, "stack"),
            others.join(", "),
        ));
    }
    let any = |actions: &[Action]| {
        let instance = |change: &Change| matches!(change.address, Address::Instance(_));
        changes.iter().any(|change| instance(change) && actions.contains(&change.action))
    };
    let instances = any(&[Action::Create, Action::Replace]);
    if instances && config.instance.key_pair.is_some() && config.security_group.ssh_from.is_empty() {
        notes.push(
            "ssh_from in [security_group] is empty: the instances have a key pair, but port 22 is closed.".into(),
        );
    }
    if instances
        && config.network.public_ip
        && matches!(&desired.launch, Ok(Launch { public_address: PublicAddress::Perhaps, .. }))
    {
        notes.push(
            "Some subnets of the default VPC assign no public IPv4 address, and EC2 chooses the subnet: an instance without \
             an address needs a NAT gateway or VPC endpoints to reach S3 and SQS. Set `subnet` in [instance] to choose."
                .to_owned(),
        );
    }
    if let Some(S3Endpoint { vpc_id, .. }) = &desired.s3_endpoint {
        notes.extend(s3_endpoint::notes(&observed.network, &observed.location.region, vpc_id));
    }
    if any(&[Action::Replace]) && desired.asked.wait != Wait::Never {
        notes.push(format!(
            "A replaced instance is terminated after the worker of its replacement has reported. apply waits up to {} minutes \
             for that, and otherwise keeps the old instance (--no-wait does not wait).",
            FIRST_REPORT.as_secs() / 60
        ));
    }
    notes.extend(of_instances(observed, changes));
    if changes.iter().any(|change| matches!(change.address, Address::Trigger(_))) {
        notes.extend(trigger::notes(config, observed.queue.ours().and_then(|queue| queue.kms_key.as_deref())));
    }
    let new_group = changes.iter().any(|change| change.address == Address::LogGroup && change.action == Action::Create);
    if new_group && !config.profile.policies.is_empty() {
        notes.push(format!(
            "`policies` in [profile] take the place of thumb's own: the workers' lines reach {} only if they allow \
             logs:CreateLogStream and logs:PutLogEvents; `retention = \"0\"` in [logs] turns it off.",
            config.log_group()
        ));
    }
    if let (Some(topic), true) = (&desired.topic, changes.iter().any(|change| change.address == Address::Topic)) {
        notes.extend(topic::notes(topic, &observed.topic));
    }
    notes.extend(scaling_group::notes(&scaling_group::name(&config.name), &observed.scaling_group));
    let wakes_by_itself =
        config.scaling.as_ref().is_some_and(|scaling| scaling.min == 0) && !config.triggers.is_empty();
    if wakes_by_itself && changes.iter().any(|change| change.address == Address::ScalingGroup) {
        notes.push(
            "The first upload after a few idle hours may wait for up to 20 minutes, because an idle queue's metrics sleep, and \
             with them what wakes the group: `min = 1` in [scaling] keeps an instance for it."
                .to_owned(),
        );
    }
    notes
}
