//! The two S3 buckets: owner, object ownership, Block Public Access. Bucket names are shared by all accounts, so every call
//! names the expected owner.

mod contents;
mod make;
mod read;

use std::future::Future;

use aws_sdk_s3::types::{
    ObjectOwnership, OwnershipControls, OwnershipControlsRule, PublicAccessBlockConfiguration, Tag,
};
use serde::Serialize;
use serde_json::Value;

pub use contents::{Counted, count_objects};
pub(super) use contents::{Version, delete_objects};
pub use make::PROBE_KEY;
pub use read::read;

use super::policy::canonical;
use super::{Found, RELEASED, RetryPolicy, StepContext, Tags, is_adopted, kept_tags, ok_if_gone, wanted_tags};
use crate::aws::{CallError, CallResult, Kind, Writer};
use crate::stack::address::Address;
use crate::stack::change::{Action, Change};

/// S3's code for a bucket that is not there, or not yet.
const NO_SUCH_BUCKET: &str = "NoSuchBucket";

/// A bucket as declared.
#[derive(Clone, Debug, PartialEq)]
pub struct Bucket {
    pub name: String,
    pub region: String,
    pub ownership: Ownership,
    pub public_access_block: PublicAccessBlock,
    /// The bucket policy that thumb sets; `None` keeps an existing one, unless it is `retired`.
    pub policy: Option<Value>,
    /// A policy thumb would have set under another `access`: removed where it is found.
    pub retired_policy: Option<Value>,
    pub tags: Tags,
}

/// Object Ownership. BucketOwnerEnforced, the default since April 2023, refuses every ACL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Ownership {
    BucketOwnerEnforced,
    BucketOwnerPreferred,
}

/// The four settings of Block Public Access, all on in a new bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PublicAccessBlock {
    pub block_public_acls: bool,
    pub ignore_public_acls: bool,
    pub block_public_policy: bool,
    pub restrict_public_buckets: bool,
}

/// A bucket as observed.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// As S3 names it; none where no ownership is set (buckets older than April 2023).
    pub ownership: Option<String>,
    pub public_access_block: PublicAccessBlock,
    pub policy: Option<Value>,
    /// Whether it contains objects; checked only if a plan depends on it, otherwise `false`.
    pub holds_objects: bool,
    pub tags: Tags,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Create {
        name: String,
        region: String,
        tags: Tags,
    },
    /// Sets these tags and no others, AWS's own aside.
    Tag {
        name: String,
        tags: Tags,
    },
    SetOwnership {
        name: String,
        ownership: Ownership,
    },
    SetPublicAccessBlock {
        name: String,
        block: PublicAccessBlock,
    },
    /// Puts a public object and deletes it: S3's API has no call that tells whether the account allows it.
    TryPublicAcl {
        name: String,
    },
    PutPolicy {
        name: String,
        policy: Value,
    },
    DeletePolicy {
        name: String,
    },
    /// Empties it, versions and unfinished uploads too, and deletes it.
    Delete {
        name: String,
    },
}

impl PublicAccessBlock {
    /// Everything refused.
    pub const ALL: Self = Self {
        block_public_acls: true,
        ignore_public_acls: true,
        block_public_policy: true,
        restrict_public_buckets: true,
    };
    /// Public ACLs count, public policies do not.
    pub const ALLOW_ACLS: Self = Self { block_public_acls: false, ignore_public_acls: false, ..Self::ALL };
    /// Public policies count, public ACLs do not.
    pub const ALLOW_POLICY: Self = Self { block_public_policy: false, restrict_public_buckets: false, ..Self::ALL };

    const NONE: Self = Self {
        block_public_acls: false,
        ignore_public_acls: false,
        block_public_policy: false,
        restrict_public_buckets: false,
    };
}

pub fn diff(address: Address, desired: &Bucket, found: &Found<Observed>) -> Change<Step> {
    let Bucket { name, region, ownership, public_access_block, policy, retired_policy, tags } = desired;
    let mut change = Change::new(address, name);
    let observed = match found {
        Found::Foreign(foreign) => return Change::blocked(address, name, &foreign.reason),
        Found::Absent => {
            change.set("region", region);
            change.set("object_ownership", ownership);
            change.set("block_public_access", public_access_block);
            change.set("policy", policy);
            change.set("tags", tags);
            change.step(Step::Create { name: name.clone(), region: region.clone(), tags: tags.clone() });
            change.step(Step::SetOwnership { name: name.clone(), ownership: *ownership });
            change.step(Step::SetPublicAccessBlock { name: name.clone(), block: *public_access_block });
            if !public_access_block.block_public_acls {
                change.step(Step::TryPublicAcl { name: name.clone() });
            }
            if let Some(policy) = policy {
                change.step(Step::PutPolicy { name: name.clone(), policy: policy.clone() });
            }
            return change.action(Action::Create);
        }
        Found::Ours(observed) => observed,
    };
    let before = observed.policy.as_ref().map(canonical);
    let opens = policy.as_ref().is_some_and(|policy| before != Some(canonical(policy)));
    if opens && observed.holds_objects && is_adopted(&observed.tags) {
        return Change::blocked(
            address,
            name,
            "thumb did not create this bucket, and it is not empty: `access = \"policy\"` would let everyone read all of \
             it; set `access` to public-read or private, or name another bucket",
        );
    }
    let retire = policy.is_none() && before.is_some() && before == retired_policy.as_ref().map(canonical);
    if retire {
        change.removed("policy", &before);
        change.step(Step::DeletePolicy { name: name.clone() });
    }
    let owned = change.compare("object_ownership", &observed.ownership, ownership);
    if owned {
        change.step(Step::SetOwnership { name: name.clone(), ownership: *ownership });
    }
    let blocked = change.compare("block_public_access", &observed.public_access_block, public_access_block);
    if blocked {
        change.step(Step::SetPublicAccessBlock { name: name.clone(), block: *public_access_block });
    }
    if (owned || blocked) && !public_access_block.block_public_acls {
        change.step(Step::TryPublicAcl { name: name.clone() });
    }
    // Last, because Block Public Access must allow a public policy before it can be put.
    if let Some(policy) = policy
        && change.compare("policy", &before, &canonical(policy))
    {
        change.step(Step::PutPolicy { name: name.clone(), policy: policy.clone() });
    }
    let tags = wanted_tags(tags, &observed.tags);
    if change.compare("tags", &observed.tags, &tags) {
        change.step(Step::Tag { name: name.clone(), tags });
    }
    change.settle()
}

/// `objects`: how many objects thumb cannot create again, and whether there are more.
pub fn delete(address: Address, name: &str, objects: Option<(u64, bool)>) -> Change<Step> {
    let mut change = Change::new(address, name);
    if let Some((count, more)) = objects.filter(|(count, more)| *count > 0 || *more) {
        change.removed("objects", &format!("{}{count}", if more { "more than " } else { "" }));
    }
    change.removal(Step::Delete { name: name.to_owned() });
    change.action(Action::Delete)
}

/// Releases an adopted bucket.
pub fn release(address: Address, name: &str, observed: &Observed, configured: &Tags) -> Change<Step> {
    let mut change = Change::new(address, name);
    change.reason = Some(format!("{RELEASED}, with all its objects"));
    let kept = kept_tags(&observed.tags, configured);
    change.compare("tags", &observed.tags, &kept);
    change.removal(Step::Tag { name: name.to_owned(), tags: kept });
    change.action(Action::Update)
}

pub async fn run(step: &Step, aws: &Writer, context: &StepContext<'_>) -> Result<(), CallError> {
    let (s3, account) = (&aws.clients.s3, context.account);
    match step {
        Step::Create { name, region, tags } => make::create(name, region, tags, aws, context).await,
        Step::Tag { name, tags } => make::put_tags(name, tags, aws, context).await,
        Step::SetOwnership { name, ownership } => {
            let ownership = match ownership {
                Ownership::BucketOwnerEnforced => ObjectOwnership::BucketOwnerEnforced,
                Ownership::BucketOwnerPreferred => ObjectOwnership::BucketOwnerPreferred,
            };
            let rule = OwnershipControlsRule::builder().object_ownership(ownership).build().expect("ownership is set");
            let controls = OwnershipControls::builder().rules(rule).build().expect("a rule is set");
            settle(context, || async {
                let request = s3.put_bucket_ownership_controls().bucket(name).expected_bucket_owner(account);
                let result = request.ownership_controls(controls.clone()).send().await;
                result.map(drop).action("s3:PutBucketOwnershipControls")
            })
            .await
        }
        Step::SetPublicAccessBlock { name, block } => set_public_access_block(name, *block, aws, context).await,
        Step::TryPublicAcl { name } => make::try_public_acl(name, aws, context).await,
        Step::PutPolicy { name, policy } => {
            // A change to Block Public Access takes a while to take effect.
            let blocked = |error: &CallError| error.kind == Kind::Denied && error.message.contains("BlockPublicPolicy");
            let why = "waiting for the bucket's new settings to take effect (S3 still blocks public policies)";
            let put = || async {
                let request = s3.put_bucket_policy().bucket(name).expected_bucket_owner(account);
                let result = request.policy(policy.to_string()).send().await;
                result.map(drop).action("s3:PutBucketPolicy")
            };
            context.retry(&RetryPolicy::PUBLIC_ACCESS, why, blocked, || settle(context, put)).await
        }
        Step::DeletePolicy { name } => {
            settle(context, || async {
                let result = s3.delete_bucket_policy().bucket(name).expected_bucket_owner(account).send().await;
                ok_if_gone(result.action("s3:DeleteBucketPolicy"))
            })
            .await
        }
        Step::Delete { name } => contents::delete_bucket(name, aws, context).await,
    }
}

async fn set_public_access_block(
    name: &str,
    block: PublicAccessBlock,
    aws: &Writer,
    context: &StepContext<'_>,
) -> Result<(), CallError> {
    let block = PublicAccessBlockConfiguration::builder()
        .block_public_acls(block.block_public_acls)
        .ignore_public_acls(block.ignore_public_acls)
        .block_public_policy(block.block_public_policy)
        .restrict_public_buckets(block.restrict_public_buckets)
        .build();
    settle(context, || async {
        let request = aws.clients.s3.put_public_access_block().bucket(name).expected_bucket_owner(context.account);
        let result = request.public_access_block_configuration(block.clone()).send().await;
        result.map(drop).action("s3:PutBucketPublicAccessBlock")
    })
    .await
}

/// A call about an existing bucket: retried while S3 is not consistent, or is still changing it.
pub(super) async fn settle<T, F: Future<Output = Result<T, CallError>>>(
    context: &StepContext<'_>,
    call: impl FnMut() -> F,
) -> Result<T, CallError> {
    let unsettled = |error: &CallError| error.kind == Kind::NotYet || error.code.as_deref() == Some(NO_SUCH_BUCKET);
    context.retry(&RetryPolicy::BUCKET, "waiting for the bucket to accept its settings", unsettled, call).await
}

fn s3_tags(tags: &Tags) -> Vec<Tag> {
    tags.iter()
        .map(|(key, value)| Tag::builder().key(key).value(value).build().expect("key and value are set"))
        .collect()
}
