//! Observes the account: everything that a plan needs, in parallel, with read calls only.

use std::collections::{BTreeMap, BTreeSet};

use crate::aws::{CallError, Errors, Reader, account, all};
use crate::config::image::Arch;
use crate::config::{Access, Config, Sources};
use crate::error::{Failure, Result};
use crate::stack::address::Address;
use crate::stack::resources::policy::AwsLocation;
use crate::stack::resources::{
    Foreign, Found, alarm, binary, bucket, dashboard, instance, instance_profile, launch_template, log_group, queue,
    role, s3_endpoint, scaling_group, scaling_policy, security_group, source, topic, trigger,
};
use crate::stack::target::Target;

/// What exists in the account under the stack's names.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    pub location: AwsLocation,
    pub dlq: Found<queue::Observed>,
    pub queue: Found<queue::Observed>,
    pub thumbnails: Found<bucket::Observed>,
    pub code: Found<bucket::Observed>,
    pub binaries: binary::Observed,
    pub role: Found<role::Observed>,
    pub profile: Found<instance_profile::Observed>,
    pub security_group: Found<security_group::Observed>,
    pub fleet: instance::Fleet,
    /// The buckets that are triggers, or were, by name.
    pub triggers: BTreeMap<String, trigger::Bucket>,
    pub network: s3_endpoint::Observed,
    pub log_group: Found<log_group::Observed>,
    pub launch_template: Found<launch_template::Observed>,
    pub scaling_group: Found<scaling_group::Observed>,
    /// Of the group, by name.
    pub scaling_policies: BTreeMap<String, scaling_policy::Observed>,
    pub alarms: BTreeMap<Address, Found<alarm::Observed>>,
    pub topic: Found<topic::Observed>,
    pub dashboard: Found<dashboard::Observed>,
    /// The VPC of the security group; `Err`: why there is none, as a sentence.
    pub vpc: Result<String, String>,
    /// Buckets of the stack under former default names, if there is none under the current name.
    pub former_buckets: Vec<(Address, String)>,
    /// Of each managed policy of thumb.toml that cannot be attached, as far as is known, a sentence that says so.
    pub policy_warnings: Vec<String>,
    /// Names of other stacks of thumb in this account and region.
    pub other_stacks: BTreeSet<String>,
}

/// What instances can be launched with: CPU type, AMI, key pair. An inner `Err` says what is missing, as a sentence.
#[derive(Clone, Debug, PartialEq)]
pub struct LaunchOptions {
    /// Of `type` in `[instance]`. With `[scaling]` not read: `offers` has what takes its place.
    pub arch: Result<Arch, String>,
    pub ami: Result<instance::Ami, String>,
    /// For a group.
    pub offers: Option<scaling_group::Offers>,
    pub key_pair: Result<(), String>,
    pub public_address: instance::PublicAddress,
    /// Of each bucket of `sources` that cannot be read, as far as is known, a sentence that says so.
    pub source_warnings: Vec<String>,
}

impl Observed {
    /// The buckets that have rules of the stack, as the queue's policy records them.
    pub fn triggered(&self) -> BTreeSet<String> {
        triggered(&self.queue)
    }

    /// Adopts what exists of these parts and belongs to no stack.
    ///
    /// # Errors
    /// There is nothing to adopt in one of them: it belongs to another stack, does not exist, or is an instance.
    pub fn adopt(&mut self, targets: &[Target]) -> Result<()> {
        for target in targets {
            // "queue" is a part and an address; to adopt is to name a resource.
            let addresses: Vec<Address> = match target.to_string().parse() {
                Ok(address) => vec![address],
                Err(_) => Address::SINGLE.into_iter().filter(|address| target.covers(*address)).collect(),
            };
            let results: Vec<Result<(), String>> = addresses.iter().map(|address| self.adopt_one(*address)).collect();
            // Of a part, what is there is adopted; what is another stack's is blocked all the same.
            if results.iter().any(Result::is_ok) {
                continue;
            }
            let why = results.into_iter().find_map(Result::err).unwrap_or_else(|| INSTANCES.to_owned());
            return Err(Failure::new(format!("cannot adopt {target}: {why}")));
        }
        Ok(())
    }

    fn adopt_one(&mut self, address: Address) -> Result<(), String> {
        match address {
            Address::Dlq => adopt(&mut self.dlq),
            Address::Queue => adopt(&mut self.queue),
            Address::ThumbnailsBucket => adopt(&mut self.thumbnails),
            Address::CodeBucket => adopt(&mut self.code),
            Address::Role => adopt(&mut self.role),
            Address::InstanceProfile => adopt(&mut self.profile),
            Address::SecurityGroup => adopt(&mut self.security_group),
            Address::LogGroup => adopt(&mut self.log_group),
            Address::Topic => adopt(&mut self.topic),
            Address::Dashboard => adopt(&mut self.dashboard),
            Address::Binary => Err("the binary belongs to its bucket; use --adopt bucket.code".to_owned()),
            Address::Instance(_) | Address::LaunchTemplate | Address::ScalingGroup => Err(INSTANCES.to_owned()),
            Address::ScalingPolicy(_) | Address::Alarm(_) => Err("it belongs to its group".to_owned()),
            Address::Alert(_) => Err("thumb writes its alarms itself; delete or rename the other one".to_owned()),
            Address::S3Endpoint => Err("an existing endpoint is used as it is".to_owned()),
            Address::Trigger(_) => Err("a bucket keeps the notifications that it has beside thumb's".to_owned()),
        }
    }
}

/// Why an instance cannot be adopted.
const INSTANCES: &str = "instances cannot be adopted, because thumb cannot know what runs on them";

fn adopt<T>(found: &mut Found<T>) -> Result<(), String> {
    *found = std::mem::replace(found, Found::Absent).adopt();
    match found {
        // Already ours: adopting again is fine.
        Found::Ours(_) => Ok(()),
        Found::Absent => Err("no resource with that name exists".into()),
        Found::Foreign(foreign) => Err(foreign.reason.clone()),
    }
}

/// The command whose policy has all permissions that reading needs, for `thumb policy`.
const COMMAND: &str = "plan";

/// Observes the stack, in at most three sequential round trips, or five where there are triggers or a topic.
///
/// # Errors
/// No credentials, the wrong account, missing permissions (all of them at once), or no network.
pub async fn observe(aws: &Reader, config: &Config) -> Result<Observed> {
    // On the heap: a caller would copy the future from place to place.
    let (observed, ()) = Box::pin(observe_beside(aws, config, async { Ok(()) })).await?;
    Ok(observed)
}

/// Observes the stack and the launch options.
///
/// # Errors
/// As [`observe`].
pub async fn survey(aws: &Reader, config: &Config) -> Result<(Observed, LaunchOptions)> {
    Box::pin(observe_beside(aws, config, read_launch_options(aws, config))).await
}

/// Observes the stack and something else in parallel, both to the end: their errors become one failure.
async fn observe_beside<T>(
    aws: &Reader,
    config: &Config,
    beside: impl Future<Output = Result<T, Errors>>,
) -> Result<(Observed, T)> {
    // The account is requested in parallel with the rest, but its error comes first: with wrong credentials every other
    // call fails too, and less clearly. The buckets wait for it, unless thumb.toml declares it: they must be its own.
    let location = async {
        if let Some(account) = &config.account {
            let (location, buckets) =
                tokio::try_join!(read_location(aws, config), async { Ok(read_buckets(aws, config, account).await) })?;
            let policies = role::read_policy_warnings(aws, &location, &config.profile.policies).await;
            return Ok((location, buckets, policies));
        }
        let location = read_location(aws, config).await?;
        let (buckets, policies) = tokio::join!(
            read_buckets(aws, config, &location.account),
            role::read_policy_warnings(aws, &location, &config.profile.policies),
        );
        Ok((location, buckets, policies))
    };
    // The rest's errors wait for it, and its own error waits for nothing.
    let rest = async {
        Ok(all!(
            // On the heap, as each has every call's future in it.
            resources: Box::pin(read_resources(aws, config)),
            others: security_group::other_stacks(aws, &config.name),
            beside: Box::pin(beside),
        ))
    };
    let ((location, buckets, policy_warnings), rest) = tokio::try_join!(location, rest)?;
    let mut errors = Errors::default();
    let (Some(buckets), Some((resources, other_stacks, beside))) = (errors.take(buckets), errors.take(rest)) else {
        return Err(errors.failure("cannot read the account", COMMAND));
    };
    let (dlq, queue, role, profile, (vpc, network, security_group), log_group, fleet, scaling) = resources;
    let (launch_template, scaling_group, scaling_policies, alarms) = scaling;
    let Buckets { thumbnails, code, binaries, former: former_buckets } = buckets;
    let (topic_name, topic_arn) = (config.topic(), location.topic_arn(&config.topic()));
    let dashboard_name = config.dashboard_name(&location.region);
    let known = async {
        all!(
            triggers: read_triggers(aws, config, &location.account, &queue),
            topic: topic::read(aws, &config.name, &topic_name, &topic_arn),
            dashboard: dashboard::read(aws, &config.name, &dashboard_name),
        )
    };
    let (triggers, topic, dashboard) =
        known.await.map_err(|errors| errors.failure("cannot read the account", COMMAND))?;
    let profile = instance_profile::beside_role(profile, &config.name, aws.region(), &config.profile.name, &role);
    let observed = Observed {
        location,
        dlq,
        queue,
        thumbnails,
        code,
        binaries,
        role,
        profile,
        security_group,
        fleet,
        triggers,
        network,
        log_group,
        launch_template,
        scaling_group,
        scaling_policies,
        alarms,
        topic,
        dashboard,
        vpc,
        former_buckets,
        policy_warnings,
        other_stacks,
    };
    Ok((observed, beside))
}

/// Reads the launch options, in at most two sequential round trips.
///
/// # Errors
/// As [`observe`].
pub async fn read_launch_options(aws: &Reader, config: &Config) -> Result<LaunchOptions, Errors> {
    // On the heap: a caller would copy the future from place to place.
    Box::pin(read_options(aws, config)).await
}

async fn read_options(aws: &Reader, config: &Config) -> Result<LaunchOptions, Errors> {
    let declared = &config.instance;
    let image = async {
        if config.scaling.is_some() {
            let unread = "[scaling] has types of its own".to_owned();
            return Ok((Err(unread.clone()), Err(unread)));
        }
        let arch = instance::read_arch(aws, &declared.instance_type).await?;
        let ami = match &arch {
            Ok(arch) => instance::read_ami(aws, &declared.image, *arch).await?,
            Err(reason) => Err(reason.clone()),
        };
        Ok::<_, Errors>((arch, ami))
    };
    let offers = async {
        let Some(scaling) = &config.scaling else { return Ok::<_, Errors>(None) };
        let subnet = declared.subnet.as_deref();
        scaling_group::read_offers(aws, &scaling.types, &declared.image, subnet).await.map(Some)
    };
    let key_pair = async {
        match &declared.key_pair {
            Some(key_pair) => instance::read_key_pair(aws, key_pair).await,
            None => Ok(Ok(())),
        }
    };
    let address = instance::read_public_address(aws, declared.subnet.as_deref());
    let sources = async {
        match &config.buckets.sources {
            Sources::Any => Ok::<_, Errors>(Vec::new()),
            Sources::Buckets(sources) => Ok(source::read_warnings(aws, sources).await),
        }
    };
    let ((arch, ami), offers, key_pair, public_address, source_warnings) =
        all!(image: image, offers: offers, key_pair: key_pair, address: address, sources: sources)?;
    Ok(LaunchOptions { arch, ami, offers, key_pair, public_address, source_warnings })
}

/// The buckets of thumb.toml's triggers, and those that the queue's policy records.
async fn read_triggers(
    aws: &Reader,
    config: &Config,
    account: &str,
    queue: &Found<queue::Observed>,
) -> Result<BTreeMap<String, trigger::Bucket>, CallError> {
    let declared = config.triggers.iter().map(|trigger| trigger.bucket.clone());
    let buckets: BTreeSet<String> = declared.chain(triggered(queue)).collect();
    trigger::read(aws, account, buckets).await
}

/// The buckets that the queue's policy records.
fn triggered(queue: &Found<queue::Observed>) -> BTreeSet<String> {
    queue.ours().map(|queue| queue::senders::buckets(queue.policy.as_ref())).unwrap_or_default()
}

/// The account and the partition the credentials are for.
async fn read_location(aws: &Reader, config: &Config) -> Result<AwsLocation> {
    let identity = account(aws).await?;
    identity.check(config.account.as_deref())?;
    Ok(AwsLocation { partition: identity.partition, account: identity.account, region: aws.region().to_owned() })
}

struct Buckets {
    thumbnails: Found<bucket::Observed>,
    code: Found<bucket::Observed>,
    binaries: binary::Observed,
    former: Vec<(Address, String)>,
}

async fn read_buckets(aws: &Reader, config: &Config, account: &str) -> Result<Buckets, Errors> {
    let stack = config.name.as_str();
    let (thumbnails, code) = (config.thumbnails_bucket(account), config.code_bucket(account));
    // A bucket, and its former name if only that one is ours.
    let read = async |name: &str, former: Option<String>, look_inside: bool| {
        let found = bucket::read(aws, stack, account, name, look_inside).await?;
        let former = match former.filter(|_| matches!(found, Found::Absent)) {
            Some(former) => bucket::read(aws, stack, account, &former, false).await?.ours().map(|_| former),
            None => None,
        };
        Ok::<_, Errors>((found, former))
    };
    // A public policy would also expose objects that thumb did not write.
    let look_inside = config.buckets.access == Access::Policy;
    let ((thumbnails, former_thumbnails), (code, former_code), binaries) = all!(
        thumbnails: read(&thumbnails, config.former_thumbnails_bucket(), look_inside),
        code: read(&code, config.former_code_bucket(), false),
        binaries: async { Ok::<_, Errors>(binary::read(aws, account, &code).await) },
    )?;
    // For a foreign bucket the result of the listing does not matter.
    let binaries = match &code {
        Found::Ours(_) | Found::Foreign(Foreign { adoptable: Some(_), .. }) => binaries?,
        Found::Absent | Found::Foreign(_) => Vec::new(),
    };
    let former_thumbnails = former_thumbnails.map(|name| (Address::ThumbnailsBucket, name));
    let former_code = former_code.map(|name| (Address::CodeBucket, name));
    Ok(Buckets { thumbnails, code, binaries, former: former_thumbnails.into_iter().chain(former_code).collect() })
}

/// What `[scaling]` makes.
type Scaling = (
    Found<launch_template::Observed>,
    Found<scaling_group::Observed>,
    BTreeMap<String, scaling_policy::Observed>,
    BTreeMap<Address, Found<alarm::Observed>>,
);

type Resources = (
    Found<queue::Observed>,
    Found<queue::Observed>,
    Found<role::Observed>,
    Found<instance_profile::Observed>,
    (Result<String, String>, s3_endpoint::Observed, Found<security_group::Observed>),
    Found<log_group::Observed>,
    instance::Fleet,
    Scaling,
);

async fn read_resources(aws: &Reader, config: &Config) -> Result<Resources, Errors> {
    let stack = config.name.as_str();
    let group = async {
        // Which of several groups of that name is ours depends on the VPC.
        let vpc = instance::read_vpc(aws, config.instance.subnet.as_deref()).await?;
        let name = &config.security_group.name;
        let id = vpc.as_deref().ok();
        // With public addresses only an endpoint from before matters.
        let instances = config.instance.count > 0 || config.scaling.is_some();
        let network = id.filter(|_| !config.network.public_ip && instances);
        let (group, network) = all!(
            group: security_group::read(aws, stack, name, id),
            network: s3_endpoint::read(aws, stack, network, config.instance.subnet.as_deref()),
        )?;
        Ok::<_, Errors>((vpc, network, group))
    };
    let log_group = config.log_group();
    let (template, scaling_group) = (launch_template::name(stack), scaling_group::name(stack));
    // Also without [scaling]: it may have been there before.
    let scaling = async {
        let (template, group, policies, alarms) = all!(
            template: launch_template::read(aws, stack, &template),
            scaling_group: scaling_group::read(aws, stack, &scaling_group),
            policies: async { scaling_policy::read(aws, &scaling_group).await.map_err(Errors::from) },
            alarms: async { alarm::read(aws, stack).await.map_err(Errors::from) },
        )?;
        Ok::<_, Errors>((template, group, policies, alarms))
    };
    all!(
        dlq: queue::read(aws, stack, &config.queue.dlq),
        queue: queue::read(aws, stack, &config.queue.name),
        role: role::read(aws, stack, &config.profile.role),
        profile: instance_profile::read(aws, stack, &config.profile.name),
        group: group,
        // Also without [logs]: it may have been there before.
        log_group: log_group::read(aws, stack, &log_group),
        instances: instance::read(aws, stack, config.instance.count),
        scaling: Box::pin(scaling),
    )
}
