//! thumb.toml: what the user declares. The file is read and checked as a whole before anything else happens, and all its
//! mistakes are reported together. A [`Config`] holds only names and limits that AWS allows.

mod bucket_names;
mod collisions;
mod credits;
pub mod image;
pub mod key_template;
mod names;
mod reader;
mod scaling;
mod thumbnail;
mod trigger;
mod worker;
mod worker_toml;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ipnet::IpNet;
use serde::Serialize;
use toml::de::DeTable;

use crate::config::image::Image;
use crate::error::{Failure, Result};
use crate::thumbnail::{Limits, MAX_SIDE_PX, Options};
pub use credits::{Credits, is_burstable};
pub use reader::one_of;
use reader::{Given, Mistakes, Section};
pub use scaling::Scaling;
pub use thumbnail::{Background, StorageClass, Thumbnail, Variant, check_pixels, focus};
pub use trigger::Trigger;
pub use worker::{GRACE_S, MAX_CONCURRENCY, MAX_MEMORY_BYTES, MIN_MEMORY_BYTES, UrlSources, Worker};

/// Size limit of a configuration file, which is a page long.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Instances that a stack may declare by number; `[scaling]` has more.
const MAX_INSTANCES: u64 = 50;
/// IAM: managed policies a role can have attached, by default (IAM quotas).
const MAX_POLICIES: usize = 10;
/// EC2: inbound rules of a security group, by default (VPC quotas).
const MAX_CIDRS: usize = 60;
/// Buckets in `sources`: each adds two ARNs to an inline policy of at most 10,240 characters (IAM quotas).
const MAX_SOURCES: usize = 50;
/// KMS keys in `kms_keys`: each adds an ARN to the same policy.
const MAX_KMS_KEYS: usize = 10;
/// S3: 50 tags per bucket, less those that thumb sets itself (`Name`, `thumb:…`).
const MAX_TAGS: usize = 40;
/// Sizes that a request may ask for.
pub const MAX_SIZES: usize = 20;
/// Pixels of all thumbnails of one photograph together, because they are in memory at the same time: as many as one
/// thumbnail of the largest size has.
pub const MAX_TARGET_PIXELS: u64 = MAX_SIDE_PX as u64 * MAX_SIDE_PX as u64;

/// SQS: visibility timeout, 0 to 12 hours; with 0 every message would be received again at once.
const VISIBILITY_S: std::ops::RangeInclusive<u64> = 10..=43_200;
/// SQS: message retention, 1 minute to 14 days.
const RETENTION_S: std::ops::RangeInclusive<u64> = 60..=1_209_600;

/// A checked thumb.toml, with every default filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub name: String,
    pub region: Option<String>,
    pub account: Option<String>,
    pub queue: Queue,
    pub buckets: Buckets,
    pub profile: Profile,
    pub security_group: SecurityGroup,
    pub instance: Instance,
    /// None: `count` in `[instance]` says how many there are.
    pub scaling: Option<Scaling>,
    pub network: Network,
    pub triggers: Vec<Trigger>,
    pub thumbnail: Thumbnail,
    pub tags: BTreeMap<String, String>,
    pub worker: Worker,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Queue {
    pub name: String,
    pub dlq: String,
    pub visibility_timeout_s: u32,
    pub retention_s: u32,
    pub max_receives: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Buckets {
    /// `None`: [`Config::thumbnails_bucket`] makes a name from the stack's name and the account ID.
    pub thumbnails: Option<String>,
    /// `None`: likewise, by [`Config::code_bucket`].
    pub code: Option<String>,
    pub access: Access,
    /// Buckets that the worker may read.
    pub sources: Sources,
    /// ARNs of the KMS keys that the worker may use through S3: those of encrypted sources, or of the thumbnails bucket.
    pub kms_keys: Vec<String>,
}

/// Who may read a thumbnail, and by which of S3's two mechanisms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Everyone: each object has the canned ACL public-read.
    #[default]
    PublicRead,
    /// Everyone: the bucket has a policy, the objects no ACL.
    Policy,
    /// Those whom IAM allows it.
    Private,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Sources {
    Any,
    Buckets(Vec<String>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    pub name: String,
    pub role: String,
    /// Managed policies, by name or ARN; empty: an inline policy with the least that the worker needs.
    pub policies: Vec<String>,
    /// The ARN of the managed policy that limits what the role may do.
    pub permissions_boundary: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SecurityGroup {
    pub name: String,
    pub ssh_from: Vec<IpNet>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    pub count: u32,
    pub instance_type: String,
    pub image: Image,
    pub key_pair: Option<String>,
    /// The Linux executable to run; `None`: the running one.
    pub binary: Option<PathBuf>,
    /// Where to launch; `None`: the default VPC.
    pub subnet: Option<String>,
    /// For the burstable types.
    pub credits: Credits,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// Whether instances get a public IPv4 address, where their subnet gives one.
    pub public_ip: bool,
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// Exit code 2: the file cannot be read, or has mistakes; each is reported with its line and column.
    pub fn load(path: &Path) -> Result<Self> {
        let shown = path.display();
        let text = read_bounded(path).map_err(|error| {
            let failure = Failure::usage(format!("cannot read {shown}")).caused_by(&error);
            match error.kind() {
                std::io::ErrorKind::NotFound => {
                    failure.hint("`thumb init` writes one; or name a file: `thumb --config FILE …`")
                }
                _ => failure,
            }
        })?;
        Self::parse(&text, &shown.to_string())
    }

    /// Checks a file's text; `file` is its name in messages.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str, file: &str) -> Result<Self> {
        let mistakes = Mistakes::default();
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            mistakes.add(error.span().map_or(0, |span| span.start), error.message());
        }
        // After a syntax error what is left of the table is a guess, and its mistakes would be, too.
        let guess = Mistakes::default();
        let config = read(Section::top(table.get_ref(), if errors.is_empty() { &mistakes } else { &guess }));
        let mistakes = mistakes.into_sorted();
        if mistakes.is_empty() {
            return Ok(config);
        }
        let lines: Vec<String> = mistakes
            .iter()
            .map(|mistake| {
                let (line, column) = place(text, mistake.at);
                format!("{file}:{line}:{column}: {}", mistake.what)
            })
            .collect();
        Err(Failure::usage(lines.join("\nerror: ")))
    }

    /// The engine's limits.
    pub fn limits(&self) -> Limits {
        Limits {
            max_source_bytes: usize::try_from(self.worker.max_source_bytes).unwrap_or(usize::MAX),
            max_source_pixels: self.worker.max_source_pixels,
            formats: self.worker.formats,
        }
    }

    /// The engine's options, with these limits.
    pub fn options(&self, limits: Limits) -> Options {
        Options {
            limits,
            truncated: self.worker.truncated,
            background: self.thumbnail.background.0,
            keep_copyright: self.thumbnail.keep_copyright,
        }
    }
}

fn read(mut top: Section<'_>) -> Config {
    let mistakes = top.mistakes();
    let name = top.checked("name", names::stack);
    if name.is_none() && !top.has("name") {
        mistakes.add(0, "`name` is missing; it is the prefix of every resource's name");
    }
    let name = name.unwrap_or_else(|| Given { value: "thumb".into(), at: 0 });
    // If a derived name breaks a rule, the mistake is reported at the stack's name.
    let derived = |given: Option<Given<String>>, suffix: &str, what: &str, check: fn(&str) -> Result<(), String>| {
        given.map(|given| given.value).unwrap_or_else(|| {
            let derived = format!("{}{suffix}", name.value);
            if let Err(why) = check(&derived) {
                mistakes.add(name.at, format!("the {what}'s name {derived:?}, derived from `name`, {why}"));
            }
            derived
        })
    };
    let region = top.checked("region", names::region).map(|given| given.value);
    let account = top.checked("account", account).map(|given| given.value);

    let mut section = top.section("queue");
    let queue = Queue {
        name: derived(section.checked("name", names::queue), "", "queue", names::queue),
        dlq: derived(section.checked("dlq", names::queue), "-dlq", "dead-letter queue", names::queue),
        visibility_timeout_s: narrow(section.seconds("visibility_timeout", VISIBILITY_S), 60),
        retention_s: narrow(section.seconds("retention", RETENTION_S), 14 * 86_400),
        max_receives: narrow(section.integer("max_receives", 1..=1_000), 10),
    };
    let at = section.at("dlq").or(section.at("name")).unwrap_or(name.at);
    if queue.name == queue.dlq {
        mistakes.add(at, format!("the queue and its dead-letter queue have the same name, {:?}", queue.name));
    }
    section.finish();

    let mut section = top.section("buckets");
    let (thumbnails, code) =
        (section.checked("thumbnails", names::own_bucket), section.checked("code", names::own_bucket));
    bucket_names::check(&name, thumbnails.as_ref(), code.as_ref(), mistakes);
    let mut buckets = Buckets {
        thumbnails: thumbnails.map(|given| given.value),
        code: code.map(|given| given.value),
        access: section.parsed("access").unwrap_or_default(),
        sources: Sources::new(section.list("sources", MAX_SOURCES, source).unwrap_or_default()),
        kms_keys: section
            .list("kms_keys", MAX_KMS_KEYS, |text| names::kms_key(text).map(|()| text.to_owned()))
            .unwrap_or_default(),
    };
    let sources_at = section.at("sources");
    section.finish();

    let mut section = top.section("profile");
    let profile_name = |name: &str| names::iam(name, 128);
    let role_name = |name: &str| names::iam(name, 64);
    let profile = Profile {
        name: derived(section.checked("name", profile_name), "-worker", "instance profile", profile_name),
        role: derived(section.checked("role", role_name), "-worker", "role", role_name),
        policies: section
            .list("policies", MAX_POLICIES, |text| names::policy(text).map(|()| text.to_owned()))
            .unwrap_or_default(),
        permissions_boundary: section.checked("permissions_boundary", names::policy_arn).map(|given| given.value),
    };
    section.finish();

    let mut section = top.section("security_group");
    let security_group = SecurityGroup {
        name: derived(
            section.checked("name", names::security_group),
            "-worker",
            "security group",
            names::security_group,
        ),
        ssh_from: section.list("ssh_from", MAX_CIDRS, cidr).unwrap_or_default(),
    };
    section.finish();

    let mut section = top.section("instance");
    let (credits_at, count_at, type_at) = (section.at("credits"), section.at("count"), section.at("type"));
    let mut instance = Instance {
        count: narrow(section.integer("count", 0..=MAX_INSTANCES), 1),
        instance_type: section
            .checked("type", names::instance_type)
            .map_or_else(|| "t3.micro".into(), |given| given.value),
        image: section.parsed("image").unwrap_or(Image::Ubuntu2404),
        key_pair: section.checked("key_pair", key_pair).map(|given| given.value),
        binary: section.checked("binary", not_empty).map(|given| PathBuf::from(given.value)),
        subnet: section.checked("subnet", |id| names::ec2_id(id, "subnet")).map(|given| given.value),
        credits: section.parsed("credits").unwrap_or_default(),
    };
    if let (Some(at), false, false) = (credits_at, is_burstable(&instance.instance_type), top.has("scaling")) {
        let kind = &instance.instance_type;
        mistakes.add(at, format!("`credits` is for the types t2, t3, t3a and t4g; {kind} has no CPU credits"));
    }
    section.finish();

    let scaling = match top.has("scaling") {
        true => {
            for (at, key, other) in [(count_at, "count", "min and max"), (type_at, "type", "types")] {
                if let Some(at) = at {
                    mistakes.add(
                        at,
                        format!("`{key}` in [instance] and [scaling] exclude each other: use {other} in [scaling]"),
                    );
                }
            }
            instance.count = 0;
            Some(scaling::read(top.section("scaling")))
        }
        false => None,
    };

    let mut section = top.section("network");
    let network = Network { public_ip: section.boolean("public_ip").unwrap_or(true) };
    section.finish();

    let triggers = trigger::read(&mut top, &mut buckets);

    let section = top.section("thumbnail");
    let key_at = section.at("key");
    let thumbnail = thumbnail::read(section);

    let section = top.section("worker");
    let places_at = sources_at.or(section.at("url_sources")).unwrap_or(name.at);
    let worker = worker::read(section);
    collisions::check(&thumbnail.key, key_at, places_at, &buckets.sources, worker.url_sources, mistakes);

    let at = top.at("tags").unwrap_or(0);
    let section = top.section("tags");
    let tags = section.strings(names::tag);
    // CreateRole and CreateInstanceProfile ignore the case of tag keys, unlike the other services (API Tag).
    let mut lower = BTreeMap::new();
    for (key, _) in &tags {
        if let Some(other) = lower.insert(key.to_lowercase(), key) {
            let at = section.at_key(key).unwrap_or(at);
            mistakes.add(
                at,
                format!("`{key}` and `{other}` in [tags] differ only in case; IAM treats them as the same key"),
            );
        }
    }
    let tags: BTreeMap<String, String> = tags.into_iter().collect();
    if tags.len() > MAX_TAGS {
        mistakes.add(at, format!("[tags] has {} tags; at most {MAX_TAGS} are allowed", tags.len()));
    }
    top.finish();
    Config {
        name: name.value,
        region,
        account,
        queue,
        buckets,
        profile,
        security_group,
        instance,
        scaling,
        network,
        triggers,
        thumbnail,
        tags,
        worker,
    }
}

/// A number whose range was checked, as a narrower type.
fn narrow<T: TryFrom<u64>>(number: Option<u64>, default: T) -> T {
    number.and_then(|number| T::try_from(number).ok()).unwrap_or(default)
}

fn not_empty(text: &str) -> Result<(), String> {
    if text.is_empty() { Err("is empty".into()) } else { Ok(()) }
}

fn account(text: &str) -> Result<(), String> {
    if text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit()) {
        Ok(())
    } else {
        Err("must be a 12-digit AWS account ID".into())
    }
}

/// EC2: up to 255 ASCII characters, no space at either end (API CreateKeyPair).
fn key_pair(text: &str) -> Result<(), String> {
    if (1..=255).contains(&text.len()) && text.is_ascii() && text.trim() == text {
        Ok(())
    } else {
        Err("must be a key pair's name (1 to 255 ASCII characters)".into())
    }
}

fn source(text: &str) -> Result<String, String> {
    if text != "*" {
        names::bucket(text)?;
    }
    Ok(text.to_owned())
}

/// A network with its host bits cleared, as EC2 stores it.
fn cidr(text: &str) -> Result<IpNet, String> {
    text.parse::<IpNet>().map(|net| net.trunc()).map_err(|_| match text.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(_)) => {
            format!("must be a network; write \"{text}/32\" for this address alone")
        }
        Ok(std::net::IpAddr::V6(_)) => {
            format!("must be a network; write \"{text}/128\" for this address alone")
        }
        Err(_) => "must be a network such as \"203.0.113.0/24\"".into(),
    })
}

/// Line and column of a byte offset, both counted from 1, the column in characters.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

fn read_bounded(path: &Path) -> std::io::Result<String> {
    use std::io::{Error, ErrorKind, Read};
    let mut text = String::new();
    std::fs::File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(Error::new(ErrorKind::FileTooLarge, format!("it is larger than {MAX_FILE_BYTES} bytes")));
    }
    Ok(text)
}

/// Whether S3 allows such a bucket name.
///
/// # Errors
/// It breaks a bucket naming rule: the rest of a sentence that begins with the name.
pub fn bucket_name(name: &str) -> Result<(), String> {
    names::bucket(name)
}

impl Sources {
    fn new(buckets: Vec<String>) -> Self {
        if buckets.iter().any(|bucket| bucket == "*") { Self::Any } else { Self::Buckets(buckets) }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PublicRead => "public-read",
            Self::Policy => "policy",
            Self::Private => "private",
        })
    }
}

impl FromStr for Access {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        one_of(text, [Self::PublicRead, Self::Policy, Self::Private])
    }
}

#[cfg(test)]
mod tests;
