//! What thumb.toml declares, resource by resource, with every default and derived value filled in. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::observe::{LaunchOptions, Observed};
use crate::config::image::Arch;
use crate::config::{Access, Config, Scaling, is_burstable};
use crate::stack::address::Address;
use crate::stack::resources::alarm::Alarm;
use crate::stack::resources::alerts;
use crate::stack::resources::binary::Binary;
use crate::stack::resources::binary::elf;
use crate::stack::resources::bucket::{Bucket, Ownership, PublicAccessBlock};
use crate::stack::resources::dashboard::{self, Dashboard};
use crate::stack::resources::instance::user_data;
use crate::stack::resources::instance::{Ami, InstanceRequest, Launch, ProfileId};
use crate::stack::resources::instance_profile::InstanceProfile;
use crate::stack::resources::launch_template::{self, LaunchTemplate};
use crate::stack::resources::log_group::LogGroup;
use crate::stack::resources::policy::AwsLocation;
use crate::stack::resources::queue::{Queue, Redrive, senders};
use crate::stack::resources::role::{INLINE_POLICY, Role};
use crate::stack::resources::s3_endpoint::{self, S3Endpoint};
use crate::stack::resources::scaling_group::{self, Mixed, ScalingGroup};
use crate::stack::resources::scaling_policy::ScalingPolicy;
use crate::stack::resources::scaling_rules;
use crate::stack::resources::security_group::{Rule, SecurityGroup};
use crate::stack::resources::topic::Topic;
use crate::stack::resources::{Found, REGION_TAG, STACK_TAG, Tags, policy, security_group};

/// The worker's share of an instance's memory, in percent: the rest is the system's.
const WORKER_MEMORY_PERCENT: u8 = 80;

/// The stack as declared. An `Err` says why a resource cannot be created as declared, as a sentence.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    pub stack: String,
    pub dlq: Queue,
    pub queue: Queue,
    pub thumbnails: Bucket,
    pub code: Bucket,
    pub binary: Result<Binary, String>,
    pub role: Role,
    pub profile: InstanceProfile,
    pub security_group: Result<SecurityGroup, String>,
    /// None: the instances have public addresses, or there are none.
    pub s3_endpoint: Option<S3Endpoint>,
    /// None: `[logs]` is off.
    pub log_group: Option<LogGroup>,
    /// None: `[notify]` names nobody.
    pub topic: Option<Topic>,
    /// The alarms that it gets.
    pub alerts: Vec<Alarm>,
    pub dashboard: Option<Dashboard>,
    pub count: u32,
    /// Of the numbered instances, or of the group's.
    pub launch: Result<Launch, String>,
    /// With `[scaling]`: what the group is made of.
    pub fleet: Option<Result<Fleet, String>>,
    /// From the command line; nothing by default.
    pub asked: InstanceRequest,
    /// About the declaration, each a sentence.
    pub warnings: Vec<String>,
    /// Likewise.
    pub notes: Vec<String>,
}

/// The resources of `[scaling]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Fleet {
    pub template: LaunchTemplate,
    pub group: ScalingGroup,
    pub policies: Vec<ScalingPolicy>,
    pub alarms: Vec<Alarm>,
}

/// What instances are launched as, apart from what runs on them.
struct Machine {
    arch: Arch,
    ami: Ami,
    /// Of a group: all that it chooses from. Otherwise one.
    types: Vec<String>,
    /// Of the smallest type.
    cpus: u32,
}

impl Desired {
    /// `binary`: the executable to upload, or why there is none. `endpoint`: a custom endpoint, for the instances too.
    pub fn new(
        config: &Config,
        observed: &Observed,
        launch_options: &LaunchOptions,
        binary: Result<Binary, String>,
        endpoint: Option<&str>,
    ) -> Self {
        let location = &observed.location;
        let mut tags: Tags = config.tags.clone();
        tags.insert(STACK_TAG.into(), config.name.clone());
        // The dead-letter queue has the longest retention, because the age of a message counts from its first send.
        const DLQ_RETENTION_S: u32 = 1_209_600;
        let mut triggered: Vec<&str> = config.triggers.iter().map(|trigger| trigger.bucket.as_str()).collect();
        triggered.sort_unstable();
        triggered.dedup();
        let senders: Vec<Value> =
            triggered.iter().map(|bucket| senders::statement(location, &config.queue.name, bucket)).collect();
        let queue = |name: &str, retention_s: u32, redrive: Option<Redrive>, senders: Vec<Value>| Queue {
            name: name.to_owned(),
            visibility_timeout_s: config.queue.visibility_timeout_s,
            retention_s,
            redrive,
            senders,
            tags: tags.clone(),
        };
        let redrive =
            Redrive { dlq_arn: location.queue_arn(&config.queue.dlq), max_receives: config.queue.max_receives };
        let policies = &config.profile.policies;
        let mut attached: Vec<String> = policies.iter().map(|policy| location.policy_arn(policy)).collect();
        attached.sort();
        attached.dedup();
        let inline = if attached.is_empty() {
            BTreeMap::from([(INLINE_POLICY.to_owned(), policy::worker(config, location))])
        } else {
            BTreeMap::new()
        };
        // IAM has one role and one profile of a name for all regions.
        let mut global_tags = tags.clone();
        global_tags.insert(REGION_TAG.into(), location.region.clone());
        let security_group = observed.vpc.clone().map(|vpc_id| {
            let name = config.security_group.name.clone();
            let ingress: BTreeSet<Rule> = config.security_group.ssh_from.iter().map(Rule::ssh).collect();
            let mut tags = tags.clone();
            tags.insert("Name".into(), name.clone());
            SecurityGroup { name, vpc_id, ingress, tags }
        });
        let instances = config.instance.count > 0 || config.scaling.is_some();
        let needs_endpoint = !config.network.public_ip && instances;
        let s3_endpoint = observed.vpc.as_ref().ok().filter(|_| needs_endpoint).map(|vpc_id| S3Endpoint {
            vpc_id: vpc_id.clone(),
            service: s3_endpoint::service(&location.region, "s3"),
            tags: tags.clone(),
        });
        let machine = machine(config, launch_options, binary.as_ref().ok(), &location.region);
        let binary = binary.and_then(|binary| fit(binary, config, &machine));
        let launch = launch(config, observed, launch_options, &machine, &binary, &security_group, endpoint, &tags);
        let fleet = config.scaling.as_ref().map(|scaling| {
            let (launch, machine) = (launch.clone()?, machine?);
            fleet(config, scaling, launch_options, launch, machine, &tags)
        });
        let topic = topic(config, location, &tags);
        let alerts = topic.as_ref().map(|topic| alerts_of(config, topic, &tags)).unwrap_or_default();
        Self {
            stack: config.name.clone(),
            dlq: queue(&config.queue.dlq, DLQ_RETENTION_S, None, Vec::new()),
            queue: queue(&config.queue.name, config.queue.retention_s, Some(redrive), senders),
            thumbnails: thumbnails(config, observed, &tags),
            code: Bucket {
                name: config.code_bucket(&location.account),
                region: location.region.clone(),
                ownership: Ownership::BucketOwnerEnforced,
                public_access_block: PublicAccessBlock::ALL,
                policy: None,
                retired_policy: None,
                tags: tags.clone(),
            },
            binary,
            role: Role {
                name: config.profile.role.clone(),
                trust: policy::trust(location),
                inline,
                attached,
                boundary: config.profile.permissions_boundary.clone(),
                tags: global_tags.clone(),
            },
            profile: InstanceProfile {
                name: config.profile.name.clone(),
                role: config.profile.role.clone(),
                tags: global_tags,
            },
            security_group,
            s3_endpoint,
            log_group: config.logs.map(|logs| LogGroup {
                name: config.log_group(),
                retention_days: logs.retention_days.into(),
                tags: tags.clone(),
            }),
            dashboard: dashboard(config, location, &alerts, &tags),
            alerts,
            topic,
            count: config.instance.count,
            launch,
            fleet,
            asked: InstanceRequest::default(),
            warnings: launch_options.source_warnings.clone(),
            notes: Vec::new(),
        }
    }
}

fn topic(config: &Config, location: &AwsLocation, tags: &Tags) -> Option<Topic> {
    let name = config.topic();
    config.notify.as_ref().map(|notify| Topic {
        arn: location.topic_arn(&name),
        name,
        email: notify.email.iter().cloned().collect(),
        tags: tags.clone(),
    })
}

fn dashboard(config: &Config, location: &AwsLocation, alerts: &[Alarm], tags: &Tags) -> Option<Dashboard> {
    let alarms: Vec<String> = alerts.iter().map(|alarm| location.alarm_arn(&alarm.name)).collect();
    config.dashboard.then(|| Dashboard {
        name: config.dashboard_name(&location.region),
        body: dashboard::body(&dashboard::Basis {
            stack: &config.name,
            region: &location.region,
            queue: &config.queue.name,
            dlq: &config.queue.dlq,
            scaling: config.scaling.is_some(),
            numbers: config.logs.is_some(),
            alarms: &alarms,
        }),
        tags: tags.clone(),
    })
}

fn alerts_of(config: &Config, topic: &Topic, tags: &Tags) -> Vec<Alarm> {
    alerts::alarms(&alerts::Basis {
        stack: &config.name,
        queue: &config.queue.name,
        dlq: &config.queue.dlq,
        topic_arn: &topic.arn,
        scaling: config.scaling.as_ref(),
        tags,
    })
}

fn thumbnails(config: &Config, observed: &Observed, tags: &Tags) -> Bucket {
    let name = config.thumbnails_bucket(&observed.location.account);
    let public_policy = policy::public_read(&name, &observed.location);
    let (ownership, public_access_block, policy, retired_policy) = match config.buckets.access {
        Access::PublicRead => {
            (Ownership::BucketOwnerPreferred, PublicAccessBlock::ALLOW_ACLS, None, Some(public_policy))
        }
        Access::Policy => (Ownership::BucketOwnerEnforced, PublicAccessBlock::ALLOW_POLICY, Some(public_policy), None),
        Access::Private => (Ownership::BucketOwnerEnforced, PublicAccessBlock::ALL, None, Some(public_policy)),
    };
    Bucket {
        name,
        region: observed.location.region.clone(),
        ownership,
        public_access_block,
        policy,
        retired_policy,
        tags: tags.clone(),
    }
}

/// What the numbered instances, or the group's, are launched as.
fn machine(
    config: &Config,
    launch_options: &LaunchOptions,
    binary: Option<&Binary>,
    region: &str,
) -> Result<Machine, String> {
    if let (Some(scaling), Some(offers)) = (&config.scaling, &launch_options.offers) {
        let cpu = binary.map(|binary| binary.executable.arch);
        let scaling_group::Choice { arch, ami, types, cpus } = offers.choose(&scaling.types, cpu, region)?;
        return Ok(Machine { arch, ami, types, cpus });
    }
    let arch = launch_options.arch.clone()?;
    let ami = launch_options.ami.clone()?;
    Ok(Machine { arch, ami, types: vec![config.instance.instance_type.clone()], cpus: 1 })
}

/// The binary, if it runs on the declared instances. Without instances any Linux executable is accepted.
fn fit(binary: Binary, config: &Config, machine: &Result<Machine, String>) -> Result<Binary, String> {
    if let (true, Ok(machine)) = (config.instance.count > 0 || config.scaling.is_some(), machine) {
        elf::check(&binary.executable, machine.arch, &config.instance.image).map_err(|misfit| {
            format!("{} cannot run on the instances: {misfit}\n{}", binary.path.display(), misfit.hint())
        })?;
    }
    Ok(binary)
}

fn fleet(
    config: &Config,
    scaling: &Scaling,
    launch_options: &LaunchOptions,
    launch: Launch,
    machine: Machine,
    tags: &Tags,
) -> Result<Fleet, String> {
    let Scaling { min, max, acceptable_latency_s: _, spot, types: _ } = scaling;
    let subnets = match &launch_options.offers {
        Some(offers) => offers.subnets.clone()?,
        None => BTreeSet::new(),
    };
    let template = launch_template::name(&config.name);
    // Instances get the group's tags, as they get the template's.
    let mut group_tags = tags.clone();
    group_tags.insert("Name".into(), template.clone());
    let basis =
        scaling_rules::Basis { stack: &config.name, queue: &config.queue.name, scaling, cpus: machine.cpus, tags };
    Ok(Fleet {
        policies: scaling_rules::policies(&basis),
        alarms: scaling_rules::alarms(&basis),
        group: ScalingGroup {
            name: scaling_group::name(&config.name),
            min: *min,
            max: *max,
            subnets,
            mixed: Mixed { template: template.clone(), types: machine.types, spot: *spot },
            cpus: machine.cpus,
            code_bucket: launch.code_bucket.clone(),
            tags: group_tags,
        },
        template: LaunchTemplate { name: template, launch, tags: tags.clone() },
    })
}

#[allow(clippy::too_many_arguments, reason = "each is one part of the declaration")]
fn launch(
    config: &Config,
    observed: &Observed,
    launch_options: &LaunchOptions,
    machine: &Result<Machine, String>,
    binary: &Result<Binary, String>,
    security_group: &Result<SecurityGroup, String>,
    endpoint: Option<&str>,
    tags: &Tags,
) -> Result<Launch, String> {
    let Machine { arch: _, ami, types, cpus: _ } = machine.as_ref().map_err(Clone::clone)?;
    launch_options.key_pair.clone()?;
    let binary = binary.as_ref().map_err(|_| "depends on binary, which is blocked".to_owned())?;
    let group = security_group.as_ref().map_err(|_| "depends on security-group, which is blocked".to_owned())?;
    if let Some(address) = foreign_target(config, observed) {
        return Err(format!("depends on {address}, which is blocked"));
    }
    if endpoint.is_some_and(has_userinfo) {
        return Err("the endpoint (AWS_ENDPOINT_URL) contains a user name or password, but everyone on an instance can read its \
             user data: remove them from the URL"
            .to_owned());
    }
    let account = &observed.location.account;
    let code_bucket = config.code_bucket(account);
    let user_data = user_data::render(&user_data::Params {
        stack: config.name.clone(),
        region: observed.location.region.clone(),
        bucket: code_bucket.clone(),
        key: binary.key(),
        sha256: binary.sha256.clone(),
        endpoint: endpoint.map(str::to_owned),
        config: config.worker_toml(account, &observed.location.topic_arn(&config.topic())),
        memory_max_percent: WORKER_MEMORY_PERCENT,
        grace_s: config.worker.grace_s,
    })
    .map_err(|error| format!("{error}: shorten [worker], [thumbnail] or `sources` in thumb.toml"))?;
    // A group that moves to another VPC gets a new ID.
    let kept: Option<&security_group::Observed> =
        observed.security_group.ours().filter(|found| found.vpc_id == group.vpc_id);
    Ok(Launch {
        image: config.instance.image.clone(),
        ami: ami.clone(),
        instance_type: types.first().cloned().unwrap_or_default(),
        key_pair: config.instance.key_pair.clone(),
        profile: config.profile.name.clone(),
        profile_id: match &observed.profile {
            Found::Ours(profile) => ProfileId::Known(profile.id.clone()),
            Found::Absent => ProfileId::New,
            Found::Foreign(_) => ProfileId::Unknown,
        },
        security_group: group.name.clone(),
        security_group_id: kept.map(|found| found.id.clone()),
        vpc_id: group.vpc_id.clone(),
        subnet: config.instance.subnet.clone(),
        public_ip: config.network.public_ip,
        public_address: launch_options.public_address.clone(),
        // Only where every type has them: EC2 refuses them for another.
        credits: types.iter().all(|name| is_burstable(name)).then_some(config.instance.credits),
        user_data,
        code_bucket,
        tags: tags.clone(),
    })
}

/// What the workers would write to although it belongs to others.
fn foreign_target(config: &Config, observed: &Observed) -> Option<Address> {
    let events = config.notify.as_ref().is_some_and(|notify| notify.events);
    let logs = config.logs.is_some() && matches!(observed.log_group, Found::Foreign(_));
    let topic = events && matches!(observed.topic, Found::Foreign(_));
    logs.then_some(Address::LogGroup).or(topic.then_some(Address::Topic))
}

/// Whether a URL names a user, `https://user:password@host`.
fn has_userinfo(endpoint: &str) -> bool {
    url::Url::parse(endpoint).is_ok_and(|url| !url.username().is_empty() || url.password().is_some())
}
