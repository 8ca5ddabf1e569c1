//! Creates a bucket: never over an existing one, with its tags, and public if declared so.

use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration, ObjectCannedAcl, Tagging};

use super::read::{read, setting};
use super::{PublicAccessBlock, Tags, s3_tags, set_public_access_block, settle};
use crate::aws::{CallError, CallResult, Kind, Reader, Writer};
use crate::stack::resources::{Found, RetryPolicy, STACK_TAG, StepContext, ok_if_gone};

/// The key of an object that is put and deleted at once, to check whether public ACLs are accepted.
pub const PROBE_KEY: &str = ".thumb-public-acl-probe";

/// Its owner is looked at first: for a bucket that the account has already, CreateBucket is a success in us-east-1 (API
/// CreateBucket), and its tags would then be ours to overwrite.
pub async fn create(
    name: &str,
    region: &str,
    tags: &Tags,
    aws: &Writer,
    context: &StepContext<'_>,
) -> Result<(), CallError> {
    let refused = |why: String| Err(CallError::judged("s3:CreateBucket", Kind::NotOurs, why));
    match read(&Reader::new(&aws.clients), context.stack, context.account, name, false).await? {
        // Created by an attempt whose response was lost, or by a concurrent apply.
        Found::Ours(_) => return Ok(()),
        Found::Foreign(foreign) => return refused(format!("it was created after the plan: {}", foreign.reason)),
        Found::Absent => {}
    }
    match send_create(name, region, Some(tags), aws, context).await {
        // Partitions that do not know tags at creation (hashicorp/terraform-provider-aws #45784); they are set below.
        Err(error) if error.code.as_deref() == Some("UnsupportedArgument") => {
            send_create(name, region, None, aws, context).await?;
        }
        result => result?,
    }
    let found = current_tags(name, aws, context).await?;
    match found.get(STACK_TAG) {
        Some(owner) if owner == context.stack => Ok(()),
        // Nobody else has tagged it, so it is the one just made, by a service that leaves tags out in silence.
        None if found.is_empty() => put_tags(name, tags, aws, context).await,
        owner => refused(match owner {
            Some(owner) => format!("the stack {owner:?} created it at the same time"),
            None => "someone else created it at the same time".to_owned(),
        }),
    }
}

async fn send_create(
    name: &str,
    region: &str,
    tags: Option<&Tags>,
    aws: &Writer,
    context: &StepContext<'_>,
) -> Result<(), CallError> {
    // us-east-1 is named by leaving the constraint out (API CreateBucket).
    let constraint = (region != "us-east-1").then(|| BucketLocationConstraint::from(region));
    let configuration = (constraint.is_some() || tags.is_some()).then(|| {
        CreateBucketConfiguration::builder().set_location_constraint(constraint).set_tags(tags.map(s3_tags)).build()
    });
    let aborted = |error: &CallError| error.kind == Kind::NotYet;
    let why = "the deleted bucket's name is not available again yet; waiting";
    let result = context
        .retry(&RetryPolicy::BUCKET_NAME, why, aborted, || async {
            let request = aws.clients.s3.create_bucket().bucket(name);
            let request = request.set_create_bucket_configuration(configuration.clone());
            request.send().await.map(drop).action("s3:CreateBucket")
        })
        .await;
    match result {
        // Created by an attempt whose response was lost, or by a concurrent apply: its tags tell.
        Err(error) if error.kind == Kind::AlreadyExists => Ok(()),
        result => result,
    }
}

async fn current_tags(name: &str, aws: &Writer, context: &StepContext<'_>) -> Result<Tags, CallError> {
    let out = settle(context, || async {
        let request = aws.clients.s3.get_bucket_tagging().bucket(name).expected_bucket_owner(context.account);
        setting(request.send().await.action("s3:GetBucketTagging"))
    })
    .await?;
    Ok(out.map(|out| out.tag_set).unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)).collect())
}

/// PutBucketTagging replaces the whole set, and refuses one without those of AWS's own that there are ("System Tags
/// cannot be removed by requester").
pub async fn put_tags(name: &str, tags: &Tags, aws: &Writer, context: &StepContext<'_>) -> Result<(), CallError> {
    let mut all = current_tags(name, aws, context).await?;
    all.retain(|key, _| key.starts_with("aws:"));
    all.extend(tags.clone());
    let s3 = &aws.clients.s3;
    if all.is_empty() {
        return settle(context, || async {
            let result = s3.delete_bucket_tagging().bucket(name).expected_bucket_owner(context.account).send().await;
            ok_if_gone(result.action("s3:PutBucketTagging"))
        })
        .await;
    }
    let tagging = Tagging::builder().set_tag_set(Some(s3_tags(&all))).build().expect("the tags are set");
    settle(context, || async {
        let request = s3.put_bucket_tagging().bucket(name).expected_bucket_owner(context.account);
        let result = request.tagging(tagging.clone()).send().await;
        result.map(drop).action("s3:PutBucketTagging")
    })
    .await
}

/// Block Public Access of the account or its organization overrides the bucket's, and S3's API does not show it. If the
/// ACL is refused, the bucket is closed again, so that the next plan repeats this step.
pub async fn try_public_acl(name: &str, aws: &Writer, context: &StepContext<'_>) -> Result<(), CallError> {
    let (s3, account) = (&aws.clients.s3, context.account);
    let blocked = |error: &CallError| error.kind == Kind::Denied && error.message.contains("BlockPublicAcls");
    // Both settings take effect a little later.
    let not_yet = |error: &CallError| blocked(error) || error.code.as_deref() == Some("AccessControlListNotSupported");
    let why = "waiting for the bucket's new settings to take effect (S3 still refuses public ACLs)";
    let put = || async {
        let request = s3.put_object().bucket(name).key(PROBE_KEY).expected_bucket_owner(account);
        let result = request.acl(ObjectCannedAcl::PublicRead).send().await;
        result.map(drop).action("s3:PutObjectAcl")
    };
    match context.retry(&RetryPolicy::PUBLIC_ACCESS, why, not_yet, || settle(context, put)).await {
        Ok(()) => {
            let result = s3.delete_object().bucket(name).key(PROBE_KEY).expected_bucket_owner(account).send().await;
            ok_if_gone(result.action("s3:DeleteObject"))
        }
        Err(error) if blocked(&error) => {
            set_public_access_block(name, PublicAccessBlock::ALL, aws, context).await?;
            Err(error)
        }
        // The worker uses the role's permission; that these credentials lack it proves nothing.
        Err(error) if error.kind == Kind::Denied => {
            (context.waiting)(
                context.address,
                "these credentials cannot put a public object, so thumb cannot check whether S3 accepts one",
            );
            Ok(())
        }
        Err(error) => Err(error),
    }
}
