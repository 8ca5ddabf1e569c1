//! The two buckets (S3): who owns their objects, what Block Public Access allows, and how a bucket is emptied.

use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::head_bucket::HeadBucketError;
use aws_sdk_s3::types::{
    BucketLocationConstraint, CreateBucketConfiguration, Delete, ObjectIdentifier, ObjectOwnership, OwnershipControls,
    OwnershipControlsRule, PublicAccessBlockConfiguration, Tag, Tagging,
};
use serde::Serialize;
use serde_json::Value;

use super::policy::canonical;
use super::{Found, Pace, Scene, Tags, gone_is_fine, optional, own_tags};
use crate::aws::{CallError, Kind, Reader, Writer};
use crate::plan::{Action, Address, Change};

/// Objects one DeleteObjects call may name (API DeleteObjects).
const DELETE_BATCH: i32 = 1_000;
/// Pages of object versions counted before a destroy; more are "more than".
const MAX_COUNT_PAGES: u32 = 20;
/// Rounds of listing and deleting before a bucket's emptying gives up: a hundred million objects.
const MAX_EMPTYING_ROUNDS: u32 = 100_000;

/// A bucket as declared.
#[derive(Clone, Debug, PartialEq)]
pub struct Bucket {
    pub name: String,
    pub region: String,
    pub ownership: Ownership,
    pub public_access_block: PublicAccessBlock,
    /// The bucket policy thumb sets; none: whatever policy there is stays, unless it is `retired`.
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

/// A bucket as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// As S3 names it; none where no ownership is set (buckets older than April 2023).
    pub ownership: Option<String>,
    pub public_access_block: PublicAccessBlock,
    pub policy: Option<Value>,
    pub tags: Tags,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Create {
        name: String,
        region: String,
        tags: Tags,
    },
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

pub async fn read(aws: &Reader, stack: &str, name: &str) -> Result<Found<Observed>, CallError> {
    if let Err(error) = aws.head_bucket().bucket(name).send().await {
        return unreachable_bucket(aws.region(), error);
    }
    let tags = async {
        let result = aws.get_bucket_tagging().bucket(name).send().await;
        optional(result.map_err(|e| CallError::new("s3:GetBucketTagging", e)))
    };
    let ownership = async {
        let result = aws.get_bucket_ownership_controls().bucket(name).send().await;
        optional(result.map_err(|e| CallError::new("s3:GetBucketOwnershipControls", e)))
    };
    let block = async {
        let result = aws.get_public_access_block().bucket(name).send().await;
        optional(result.map_err(|e| CallError::new("s3:GetBucketPublicAccessBlock", e)))
    };
    let policy = async {
        let result = aws.get_bucket_policy().bucket(name).send().await;
        optional(result.map_err(|e| CallError::new("s3:GetBucketPolicy", e)))
    };
    let (tags, ownership, block, policy) = tokio::try_join!(tags, ownership, block, policy)?;
    let tags = tags.map(|out| out.tag_set).unwrap_or_default();
    let tags: Tags = tags.into_iter().map(|tag| (tag.key, tag.value)).collect();
    let rules = ownership.and_then(|out| out.ownership_controls).map(|controls| controls.rules).unwrap_or_default();
    let block = block.and_then(|out| out.public_access_block_configuration);
    let observed = Observed {
        ownership: rules.first().map(|rule| rule.object_ownership.as_str().to_owned()),
        public_access_block: block.map_or(PublicAccessBlock::NONE, |block| PublicAccessBlock {
            block_public_acls: block.block_public_acls.unwrap_or(false),
            ignore_public_acls: block.ignore_public_acls.unwrap_or(false),
            block_public_policy: block.block_public_policy.unwrap_or(false),
            restrict_public_buckets: block.restrict_public_buckets.unwrap_or(false),
        }),
        policy: policy
            .and_then(|out| out.policy)
            .map(|text| serde_json::from_str(&text).unwrap_or(Value::String(text))),
        tags: own_tags(&tags),
    };
    Ok(Found::by_tags(stack, &tags, &format!("the bucket {name}"), observed))
}

/// What a refused HeadBucket says. Bucket names are global: 403 is somebody else's (or a right that is missing), 301
/// is another region's.
fn unreachable_bucket(region: &str, error: SdkError<HeadBucketError>) -> Result<Found<Observed>, CallError> {
    let response = error.raw_response();
    let status = response.map_or(0, |response| response.status().as_u16());
    let home = response.and_then(|response| response.headers().get("x-amz-bucket-region")).map(str::to_owned);
    match (status, home) {
        (301 | 307 | 400, Some(home)) if home != region => Ok(Found::foreign(format!(
            "a bucket of this name exists in the region {home}, and this stack is in {region}"
        ))),
        (301, _) => Ok(Found::foreign(format!("a bucket of this name exists in another region than {region}"))),
        (403, _) => Ok(Found::foreign(
            "the name belongs to another account, or these credentials may not look at the bucket (s3:ListBucket); \
             bucket names are shared by all of AWS: choose another in [buckets]",
        )),
        _ => optional(Err(CallError::new("s3:ListBucket", error))).map(|found| found.unwrap_or(Found::Absent)),
    }
}

/// How many objects (versions and delete markers counted) a destroy would lose; the flag says "or more".
pub async fn count_objects(aws: &Reader, name: &str) -> Result<(u64, bool), CallError> {
    let (mut key, mut version, mut count) = (None, None, 0);
    for _ in 0..MAX_COUNT_PAGES {
        let request = aws.list_object_versions().bucket(name).set_key_marker(key).set_version_id_marker(version);
        let page = request.send().await.map_err(|e| CallError::new("s3:ListBucketVersions", e));
        let Some(page) = optional(page)? else { return Ok((0, false)) };
        count += (page.versions().len() + page.delete_markers().len()) as u64;
        if page.is_truncated != Some(true) {
            return Ok((count, false));
        }
        (key, version) = (page.next_key_marker, page.next_version_id_marker);
    }
    Ok((count, true))
}

pub fn diff(address: Address, desired: &Bucket, found: &Found<Observed>) -> Change {
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
            change.up(Step::Create { name: name.clone(), region: region.clone(), tags: tags.clone() });
            change.up(Step::SetOwnership { name: name.clone(), ownership: *ownership });
            change.up(Step::SetPublicAccessBlock { name: name.clone(), block: *public_access_block });
            if let Some(policy) = policy {
                change.up(Step::PutPolicy { name: name.clone(), policy: policy.clone() });
            }
            return change.action(Action::Create);
        }
        Found::Ours(observed) => observed,
    };
    let before = observed.policy.as_ref().map(canonical);
    let retire = policy.is_none() && before.is_some() && before == retired_policy.as_ref().map(canonical);
    if retire {
        change.lose("policy", &before);
        change.up(Step::DeletePolicy { name: name.clone() });
    }
    if change.compare("object_ownership", &observed.ownership, ownership) {
        change.up(Step::SetOwnership { name: name.clone(), ownership: *ownership });
    }
    if change.compare("block_public_access", &observed.public_access_block, public_access_block) {
        change.up(Step::SetPublicAccessBlock { name: name.clone(), block: *public_access_block });
    }
    // Last, because Block Public Access must allow a public policy before it can be put.
    if let Some(policy) = policy
        && change.compare("policy", &before, &canonical(policy))
    {
        change.up(Step::PutPolicy { name: name.clone(), policy: policy.clone() });
    }
    if change.compare("tags", &observed.tags, tags) {
        change.up(Step::Tag { name: name.clone(), tags: tags.clone() });
    }
    change.settle()
}

pub fn delete(address: Address, name: &str, objects: Option<(u64, bool)>) -> Change {
    let mut change = Change::new(address, name);
    if let Some((count, more)) = objects.filter(|(count, _)| *count > 0) {
        change.lose("objects", &format!("{}{count}", if more { "more than " } else { "" }));
    }
    change.down(Step::Delete { name: name.to_owned() });
    change.action(Action::Delete)
}

pub async fn run(step: &Step, aws: &Writer, scene: &Scene<'_>) -> Result<(), CallError> {
    let s3 = &aws.clients.s3;
    match step {
        Step::Create { name, region, tags } => create(name, region, tags, aws, scene).await,
        Step::Tag { name, tags } => put_tags(name, tags, aws).await,
        Step::SetOwnership { name, ownership } => {
            let ownership = match ownership {
                Ownership::BucketOwnerEnforced => ObjectOwnership::BucketOwnerEnforced,
                Ownership::BucketOwnerPreferred => ObjectOwnership::BucketOwnerPreferred,
            };
            let rule = OwnershipControlsRule::builder().object_ownership(ownership).build().expect("ownership is set");
            let controls = OwnershipControls::builder().rules(rule).build().expect("a rule is set");
            let result = s3.put_bucket_ownership_controls().bucket(name).ownership_controls(controls).send().await;
            result.map(drop).map_err(|e| CallError::new("s3:PutBucketOwnershipControls", e))
        }
        Step::SetPublicAccessBlock { name, block } => {
            let block = PublicAccessBlockConfiguration::builder()
                .block_public_acls(block.block_public_acls)
                .ignore_public_acls(block.ignore_public_acls)
                .block_public_policy(block.block_public_policy)
                .restrict_public_buckets(block.restrict_public_buckets)
                .build();
            let result =
                s3.put_public_access_block().bucket(name).public_access_block_configuration(block).send().await;
            result.map(drop).map_err(|e| CallError::new("s3:PutBucketPublicAccessBlock", e))
        }
        Step::PutPolicy { name, policy } => {
            let result = s3.put_bucket_policy().bucket(name).policy(policy.to_string()).send().await;
            result.map(drop).map_err(|e| CallError::new("s3:PutBucketPolicy", e))
        }
        Step::DeletePolicy { name } => {
            let result = s3.delete_bucket_policy().bucket(name).send().await;
            gone_is_fine(result.map_err(|e| CallError::new("s3:DeleteBucketPolicy", e)))
        }
        Step::Delete { name } => delete_bucket(name, aws, scene).await,
    }
}

async fn create(name: &str, region: &str, tags: &Tags, aws: &Writer, scene: &Scene<'_>) -> Result<(), CallError> {
    // us-east-1 is named by leaving the constraint out (API CreateBucket).
    let constraint = (region != "us-east-1").then(|| BucketLocationConstraint::from(region));
    let configuration =
        CreateBucketConfiguration::builder().set_location_constraint(constraint).set_tags(Some(s3_tags(tags))).build();
    let aborted = |error: &CallError| error.kind == Kind::NotYet;
    let why = "S3 has not let go of a deleted bucket's name yet; waiting until it is free";
    let result = scene
        .retry(&Pace::BUCKET_NAME, why, aborted, || async {
            let request = aws.clients.s3.create_bucket().bucket(name);
            let request = request.create_bucket_configuration(configuration.clone());
            request.send().await.map(drop).map_err(|e| CallError::new("s3:CreateBucket", e))
        })
        .await;
    match result {
        // Made by an attempt whose answer was lost, or by another apply at the same time.
        Err(error) if error.kind == Kind::AlreadyExists => {}
        result => result?,
    }
    // S3-compatible services that do not know tags at creation yet leave them out in silence.
    put_tags(name, tags, aws).await
}

async fn put_tags(name: &str, tags: &Tags, aws: &Writer) -> Result<(), CallError> {
    let tagging = Tagging::builder().set_tag_set(Some(s3_tags(tags))).build().expect("the tags are set");
    let result = aws.clients.s3.put_bucket_tagging().bucket(name).tagging(tagging).send().await;
    result.map(drop).map_err(|e| CallError::new("s3:PutBucketTagging", e))
}

fn s3_tags(tags: &Tags) -> Vec<Tag> {
    tags.iter()
        .map(|(key, value)| Tag::builder().key(key).value(value).build().expect("key and value are set"))
        .collect()
}

/// Deletes the bucket; while something is in it (also what a worker put there a moment ago), empties it first.
async fn delete_bucket(name: &str, aws: &Writer, scene: &Scene<'_>) -> Result<(), CallError> {
    let not_empty = |error: &CallError| error.kind == Kind::InUse || error.kind == Kind::NotYet;
    let why = "something still puts objects into the bucket; emptying it again";
    scene
        .retry(&Pace::BUCKET_NAME, why, not_empty, || async {
            gone_is_fine(empty(name, aws).await)?;
            let result = aws.clients.s3.delete_bucket().bucket(name).send().await;
            gone_is_fine(result.map_err(|e| CallError::new("s3:DeleteBucket", e)))
        })
        .await
}

async fn empty(name: &str, aws: &Writer) -> Result<(), CallError> {
    let s3 = &aws.clients.s3;
    // Each round lists from the start: what the last one listed is gone.
    for _ in 0..MAX_EMPTYING_ROUNDS {
        let page = s3.list_object_versions().bucket(name).max_keys(DELETE_BATCH).send().await;
        let page = page.map_err(|e| CallError::new("s3:ListBucketVersions", e))?;
        let versions = page.versions().iter().map(|version| (version.key.clone(), version.version_id.clone()));
        let markers = page.delete_markers().iter().map(|marker| (marker.key.clone(), marker.version_id.clone()));
        let objects: Vec<ObjectIdentifier> = versions
            .chain(markers)
            .filter_map(|(key, version)| ObjectIdentifier::builder().key(key?).set_version_id(version).build().ok())
            .collect();
        let uploads = s3.list_multipart_uploads().bucket(name).send().await;
        let uploads = uploads.map_err(|e| CallError::new("s3:ListBucketMultipartUploads", e))?;
        if objects.is_empty() && uploads.uploads().is_empty() {
            return Ok(());
        }
        delete_objects(name, objects, aws).await?;
        for upload in uploads.uploads() {
            let request = s3.abort_multipart_upload().bucket(name).set_key(upload.key.clone());
            let result = request.set_upload_id(upload.upload_id.clone()).send().await;
            gone_is_fine(result.map_err(|e| CallError::new("s3:AbortMultipartUpload", e)))?;
        }
    }
    Ok(())
}

/// At most [`DELETE_BATCH`] of them.
pub(super) async fn delete_objects(
    bucket: &str,
    objects: Vec<ObjectIdentifier>,
    aws: &Writer,
) -> Result<(), CallError> {
    if objects.is_empty() {
        return Ok(());
    }
    let delete = Delete::builder().set_objects(Some(objects)).quiet(true).build().expect("the objects are set");
    let result = aws.clients.s3.delete_objects().bucket(bucket).delete(delete).send().await;
    let result = result.map_err(|e| CallError::new("s3:DeleteObject", e))?;
    // The call succeeds as a whole and says which objects stayed.
    result.errors().first().map_or(Ok(()), |error| {
        Err(CallError {
            action: "s3:DeleteObject",
            kind: Kind::Refused,
            code: error.code().map(str::to_owned),
            message: format!("{} ({})", error.message().unwrap_or_default(), error.key().unwrap_or_default()),
        })
    })
}
