//! Reading an account: everything the plan needs to know, side by side, through read calls only.

use std::collections::BTreeSet;

use crate::ami::Arch;
use crate::aws::{CallError, Reader, first_call};
use crate::config::Config;
use crate::failure::{Failure, Result};
use crate::plan::Address;
use crate::resource::policy::Site;
use crate::resource::{Found, binary, bucket, instance, instance_profile, queue, role, security_group};

/// What is in the account under the stack's names.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    pub site: Site,
    pub dlq: Found<queue::Observed>,
    pub queue: Found<queue::Observed>,
    pub thumbnails: Found<bucket::Observed>,
    pub code: Found<bucket::Observed>,
    pub binaries: binary::Observed,
    pub role: Found<role::Observed>,
    pub profile: Found<instance_profile::Observed>,
    pub security_group: Found<security_group::Observed>,
    pub fleet: instance::Fleet,
    /// Where the security group goes; `Err`: why there is no such VPC, as a sentence.
    pub vpc: Result<String, String>,
    /// Names of other stacks of thumb in this account and region.
    pub other_stacks: BTreeSet<String>,
}

/// What the region offers to launch instances with. An inner `Err` says, as a sentence, what is missing.
#[derive(Clone, Debug, PartialEq)]
pub struct Offers {
    pub arch: Result<Arch, String>,
    pub ami: Result<instance::Ami, String>,
    pub key_pair: Result<(), String>,
}

impl Observed {
    /// Makes ours what is at these addresses and nobody's.
    ///
    /// # Errors
    /// Something at one of them cannot be adopted: another stack's, not there, or an instance.
    pub fn adopt(&mut self, addresses: &[Address]) -> Result<()> {
        for address in addresses {
            let adopted = match address {
                Address::Dlq => adopt(&mut self.dlq),
                Address::Queue => adopt(&mut self.queue),
                Address::ThumbnailsBucket => adopt(&mut self.thumbnails),
                Address::CodeBucket => adopt(&mut self.code),
                Address::Role => adopt(&mut self.role),
                Address::InstanceProfile => adopt(&mut self.profile),
                Address::SecurityGroup => adopt(&mut self.security_group),
                Address::Binary => Err("it is its bucket's: adopt bucket.code".to_owned()),
                Address::Instance(_) => Err("an instance cannot be adopted: what runs on it is not known".to_owned()),
            };
            adopted.map_err(|why| Failure::new(format!("cannot adopt {address}: {why}")))?;
        }
        Ok(())
    }
}

fn adopt<T>(found: &mut Found<T>) -> Result<(), String> {
    *found = std::mem::replace(found, Found::Absent).adopt();
    match found {
        // Ours already: an adoption may be said again.
        Found::Ours(_) => Ok(()),
        Found::Absent => Err("there is nothing of that name".into()),
        Found::Foreign(foreign) => Err(foreign.reason.clone()),
    }
}

/// Reads what is there: at most three round trips one after the other.
///
/// # Errors
/// No credentials, the wrong account, a right that is missing, or no network.
pub async fn observe(aws: &Reader, config: &Config) -> Result<Observed> {
    // Side by side with the rest, but judged before it: with the wrong credentials every other call fails too, and
    // less clearly.
    let others = security_group::other_stacks(aws, &config.name);
    // The rest's errors wait for it, and its own error waits for nothing.
    let rest = async { Ok(tokio::join!(read_resources(aws, config), others)) };
    let (site, (resources, others)) = tokio::try_join!(read_site(aws, config), rest)?;
    let other_stacks = others.map_err(|error| error.failure("cannot read which stacks there are"))?;
    let read = resources.map_err(|error| error.failure("cannot read what is in the account"))?;
    let (dlq, queue, thumbnails, code, binaries, role, profile, (vpc, security_group), fleet) = read;
    Ok(Observed {
        site,
        dlq,
        queue,
        thumbnails,
        code,
        binaries,
        role,
        profile,
        security_group,
        fleet,
        vpc,
        other_stacks,
    })
}

/// Reads what instances can be launched with: at most two round trips one after the other.
///
/// # Errors
/// As [`observe`].
pub async fn read_offers(aws: &Reader, config: &Config) -> Result<Offers, CallError> {
    let declared = &config.instance;
    let image = async {
        let arch = instance::read_arch(aws, &declared.instance_type).await?;
        let ami = match &arch {
            Ok(arch) => instance::read_ami(aws, &declared.image, *arch).await?,
            Err(reason) => Err(reason.clone()),
        };
        Ok((arch, ami))
    };
    let key_pair = async {
        match &declared.key_pair {
            Some(key_pair) => instance::read_key_pair(aws, key_pair).await,
            None => Ok(Ok(())),
        }
    };
    let ((arch, ami), key_pair) = tokio::try_join!(image, key_pair)?;
    Ok(Offers { arch, ami, key_pair })
}

/// The account and the partition the credentials are for.
async fn read_site(aws: &Reader, config: &Config) -> Result<Site> {
    let retries = aws_sdk_sts::config::Builder::new().retry_config(first_call());
    let identity = aws.get_caller_identity().customize().config_override(retries).send().await;
    let identity = identity.map_err(|e| {
        CallError::new("sts:GetCallerIdentity", e)
            .failure("cannot find out which AWS account these credentials are for")
    })?;
    let account = identity.account().unwrap_or_default().to_owned();
    if let Some(declared) = config.account.as_ref().filter(|declared| **declared != account) {
        return Err(Failure::new(format!(
            "these credentials are for the account {account}, but thumb.toml says account = \"{declared}\""
        ))
        .hint("choose other credentials (AWS_PROFILE), or change `account` in thumb.toml"));
    }
    let partition = identity.arn().and_then(|arn| arn.split(':').nth(1)).unwrap_or("aws").to_owned();
    Ok(Site { partition, account, region: aws.region().to_owned() })
}

type Resources = (
    Found<queue::Observed>,
    Found<queue::Observed>,
    Found<bucket::Observed>,
    Found<bucket::Observed>,
    binary::Observed,
    Found<role::Observed>,
    Found<instance_profile::Observed>,
    (Result<String, String>, Found<security_group::Observed>),
    instance::Fleet,
);

async fn read_resources(aws: &Reader, config: &Config) -> Result<Resources, CallError> {
    let stack = config.name.as_str();
    let group = async {
        // Which of several groups of that name is meant depends on the VPC.
        let vpc = instance::read_vpc(aws, config.instance.subnet.as_deref()).await?;
        let name = &config.security_group.name;
        let group = security_group::read(aws, stack, name, vpc.as_deref().ok()).await?;
        Ok((vpc, group))
    };
    tokio::try_join!(
        queue::read(aws, stack, &config.queue.dlq),
        queue::read(aws, stack, &config.queue.name),
        bucket::read(aws, stack, &config.buckets.thumbnails),
        bucket::read(aws, stack, &config.buckets.code),
        binary::read(aws, &config.buckets.code),
        role::read(aws, stack, &config.profile.role),
        instance_profile::read(aws, stack, &config.profile.name),
        group,
        instance::read(aws, stack, config.instance.count),
    )
}
