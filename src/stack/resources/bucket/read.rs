//! Observes a bucket: whether it exists, and who owns it.

use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::head_bucket::HeadBucketError;
use serde_json::Value;

use super::{NO_SUCH_BUCKET, Observed, PublicAccessBlock};
use crate::aws::{CallError, CallResult, Errors, Kind, Reader, all};
use crate::stack::resources::{Found, Tags, optional, own_tags, read_part};

/// `look_inside`: also check whether it contains objects.
pub async fn read(
    aws: &Reader,
    stack: &str,
    account: &str,
    name: &str,
    look_inside: bool,
) -> Result<Found<Observed>, Errors> {
    let head = || aws.head_bucket().bucket(name).expected_bucket_owner(account).send();
    if let Err(error) = head().await {
        return Ok(unreachable_bucket(aws, account, name, error).await?);
    }
    // It exists, so "no such bucket" comes from a part of S3 that is not consistent yet, or the bucket was just deleted.
    let unknown = |error: &CallError| error.code.as_deref() == Some(NO_SUCH_BUCKET);
    let tags = read_part(unknown, || async {
        let result = aws.get_bucket_tagging().bucket(name).expected_bucket_owner(account).send().await;
        setting(result.action("s3:GetBucketTagging"))
    });
    let ownership = read_part(unknown, || async {
        let result = aws.get_bucket_ownership_controls().bucket(name).expected_bucket_owner(account).send().await;
        setting(result.action("s3:GetBucketOwnershipControls"))
    });
    let block = read_part(unknown, || async {
        let result = aws.get_public_access_block().bucket(name).expected_bucket_owner(account).send().await;
        setting(result.action("s3:GetBucketPublicAccessBlock"))
    });
    let policy = read_part(unknown, || async {
        let result = aws.get_bucket_policy().bucket(name).expected_bucket_owner(account).send().await;
        setting(result.action("s3:GetBucketPolicy"))
    });
    let inside = async {
        if !look_inside {
            return Ok::<_, CallError>(false);
        }
        let request = aws.list_objects_v2().bucket(name).max_keys(1).expected_bucket_owner(account);
        let result = request.send().await.action("s3:ListBucket");
        Ok(optional(result)?.is_some_and(|page| !page.contents().is_empty()))
    };
    let parts = all!(tags: tags, ownership: ownership, block: block, policy: policy, inside: inside);
    let (tags, ownership, block, policy, holds_objects) = match parts {
        // The policy is for the owner's account alone to read (API GetBucketPolicy), whatever else is let through.
        Err(errors) if errors.any(|error| error.code.as_deref() == Some("MethodNotAllowed")) => {
            return Ok(of_another_account());
        }
        // Deleted between the calls.
        Err(errors) if errors.any(unknown) => return Ok(Found::Absent),
        // Permissions are missing, or the bucket belongs to another account and HeadBucket did not say so.
        Err(errors) if errors.any(|error| error.kind == Kind::Denied) => {
            return match head().await {
                Err(refused) => Ok(unreachable_bucket(aws, account, name, refused).await?),
                Ok(_) => Err(errors),
            };
        }
        result => result?,
    };
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
        holds_objects,
        tags: own_tags(&tags),
    };
    Ok(Found::by_tags(stack, &tags, &format!("the bucket {name}"), observed))
}

/// `None` if a setting is not set; a missing bucket stays an error.
pub fn setting<T>(result: Result<T, CallError>) -> Result<Option<T>, CallError> {
    match result {
        Err(error) if error.code.as_deref() == Some(NO_SUCH_BUCKET) => Err(error),
        result => optional(result),
    }
}

fn of_another_account<T>() -> Found<T> {
    Found::foreign(
        "the name belongs to another account, or these credentials lack s3:ListBucket on the bucket; \
         bucket names are shared by all of AWS: choose another in [buckets]",
    )
}

/// What a refused HeadBucket says: 403 is another account's bucket (or a right that is missing), 301 and 400 with the
/// region in a header are another region's.
async fn unreachable_bucket(
    aws: &Reader,
    account: &str,
    name: &str,
    error: SdkError<HeadBucketError>,
) -> Result<Found<Observed>, CallError> {
    let (region, response) = (aws.region(), error.raw_response());
    let status = response.map_or(0, |response| response.status().as_u16());
    let home = response.and_then(|response| response.headers().get("x-amz-bucket-region")).map(str::to_owned);
    let elsewhere = |home: &str| {
        let reason = format!("a bucket with this name exists in {home}, but this stack is in {region}");
        Ok(Found::elsewhere(reason, home))
    };
    match (status, home) {
        (301 | 307 | 400, Some(home)) if home != region => elsewhere(&home),
        (301, _) => Ok(Found::elsewhere(
            format!("a bucket with this name exists in another region than {region}"),
            "another region",
        )),
        (403, _) => Ok(of_another_account()),
        // A HEAD response has no body; a GET response has one, with an error code.
        (400, _) => {
            let result = aws.get_bucket_tagging().bucket(name).expected_bucket_owner(account).send().await;
            match result.action("s3:GetBucketTagging") {
                Err(error) if is_other_region(&error) => elsewhere("another region"),
                Err(error) => Err(error),
                Ok(_) => Err(CallError::new("s3:ListBucket", error)),
            }
        }
        _ => optional(Err(CallError::new("s3:ListBucket", error))).map(|found| found.unwrap_or(Found::Absent)),
    }
}

/// Whether S3 says that the bucket is in another region (S3 guide, "Error responses").
fn is_other_region(error: &CallError) -> bool {
    matches!(
        error.code.as_deref(),
        Some("PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException")
    )
}
