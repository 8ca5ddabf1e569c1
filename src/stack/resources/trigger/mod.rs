//! The triggers: rules in the notifications of a bucket, by which S3 sends an event to the queue for each new object. The
//! bucket is not the stack's; nothing in it is changed but the rules whose ID says that they are this stack's.

mod rules;
mod run;

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::head_bucket::HeadBucketError;
use aws_sdk_s3::types::NotificationConfiguration;
use futures_util::stream::{StreamExt, TryStreamExt, iter};

use super::optional;
use super::policy::AwsLocation;
use crate::aws::{CallError, CallResult, Kind, Reader};
use crate::config::Config;
use crate::stack::address::Address;
use crate::stack::change::{Action, Change};
pub use rules::Rule;
pub use run::run;

/// Buckets read in parallel.
const SIDE_BY_SIDE: usize = 10;

/// The rules that a bucket is to have.
#[derive(Clone, Debug, PartialEq)]
pub struct Trigger {
    pub bucket: String,
    /// None: its triggers were taken out of thumb.toml.
    pub rules: Vec<Rule>,
    /// The bucket is one of the stack's own: "thumbnails" or "code".
    pub own: Option<&'static str>,
}

/// What was found of a bucket.
#[derive(Clone, Debug, PartialEq)]
pub enum Bucket {
    There(Box<NotificationConfiguration>),
    Gone,
    /// Its notifications cannot be set: why, as a sentence.
    Unusable(String),
}

/// Sets exactly these rules in the bucket's notifications, beside those of others.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub bucket: String,
    pub stack: String,
    pub rules: Vec<Rule>,
}

/// The triggers of thumb.toml, one for each bucket, in the file's order; then the buckets that are recorded in the queue's
/// policy and declared no more.
pub fn declared(config: &Config, location: &AwsLocation, recorded: &BTreeSet<String>) -> Vec<Trigger> {
    let queue = location.queue_arn(&config.queue.name);
    let own =
        [(config.thumbnails_bucket(&location.account), "thumbnails"), (config.code_bucket(&location.account), "code")];
    let mut all: Vec<Trigger> = Vec::new();
    for trigger in &config.triggers {
        let rule = Rule::new(&config.name, &queue, trigger, config.thumbnail.follow_deletes);
        match all.iter_mut().find(|of_bucket| of_bucket.bucket == trigger.bucket) {
            Some(of_bucket) => of_bucket.rules.push(rule),
            None => {
                let own = own.iter().find(|(name, _)| *name == trigger.bucket).map(|(_, which)| *which);
                all.push(Trigger { bucket: trigger.bucket.clone(), rules: vec![rule], own });
            }
        }
    }
    for bucket in recorded {
        if !all.iter().any(|trigger| trigger.bucket == *bucket) {
            all.push(Trigger { bucket: bucket.clone(), rules: Vec::new(), own: None });
        }
    }
    all
}

/// Reads the notifications of the buckets.
///
/// # Errors
/// AWS does not answer, or lacks a permission. What makes a bucket unusable is no error.
pub async fn read(
    aws: &Reader,
    account: &str,
    buckets: impl IntoIterator<Item = String>,
) -> Result<BTreeMap<String, Bucket>, CallError> {
    let reads = buckets.into_iter().map(|bucket| async move {
        let found = read_bucket(aws, account, &bucket).await?;
        Ok((bucket, found))
    });
    iter(reads).buffered(SIDE_BY_SIDE).try_collect().await
}

async fn read_bucket(aws: &Reader, account: &str, bucket: &str) -> Result<Bucket, CallError> {
    const ACTION: &str = "s3:GetBucketNotification";
    if let Err(error) = aws.head_bucket().bucket(bucket).expected_bucket_owner(account).send().await {
        return unreachable_bucket(aws, account, bucket, error);
    }
    let request = aws.get_bucket_notification_configuration().bucket(bucket).expected_bucket_owner(account);
    let Some(out) = optional(request.send().await.action(ACTION))? else { return Ok(Bucket::Gone) };
    Ok(Bucket::There(Box::new(
        NotificationConfiguration::builder()
            .set_topic_configurations(out.topic_configurations)
            .set_queue_configurations(out.queue_configurations)
            .set_lambda_function_configurations(out.lambda_function_configurations)
            .set_event_bridge_configuration(out.event_bridge_configuration)
            .build(),
    )))
}

/// Why a bucket cannot be read. HeadBucket answers with a status and no text.
fn unreachable_bucket(
    aws: &Reader,
    account: &str,
    bucket: &str,
    error: SdkError<HeadBucketError>,
) -> Result<Bucket, CallError> {
    let response = error.raw_response();
    let status = response.map_or(0, |response| response.status().as_u16());
    let region = response.and_then(|response| response.headers().get("x-amz-bucket-region")).map(str::to_owned);
    match (status, region) {
        (404, _) => Ok(Bucket::Gone),
        // S3 sends events only to queues of the bucket's own region (S3 user guide, "Event notification types and
        // destinations").
        (301 | 307 | 400, Some(region)) if region != aws.region() => Ok(Bucket::Unusable(format!(
            "the bucket {bucket} is in {region}, and S3 sends events only to a queue of its own region, not of {}: run a stack \
             in {region} for it, or send its events through EventBridge",
            aws.region()
        ))),
        (403, _) => Ok(Bucket::Unusable(format!(
            "the bucket {bucket} belongs to another account than {account}, or these credentials lack s3:ListBucket on it: its \
             owner must set its notifications"
        ))),
        _ => Err(CallError::new("s3:ListBucket", error)),
    }
}

/// `index`: its number among the triggers. `kms_key`: the queue's, if it has one.
pub fn diff(index: u32, stack: &str, desired: &Trigger, found: &Bucket, kms_key: Option<&str>) -> Change<Step> {
    let Trigger { bucket, rules, own } = desired;
    let address = Address::Trigger(index);
    let blocked = |why: String| Change::blocked(address, bucket, why);
    if let (Some(which), false) = (own, rules.is_empty()) {
        return blocked(format!(
            "{bucket} is the stack's own {which} bucket: each thumbnail would ask for thumbnails of itself"
        ));
    }
    let there = match found {
        Bucket::There(there) => there,
        // Its rules went with it.
        Bucket::Gone if rules.is_empty() => return Change::new(address, bucket),
        Bucket::Gone => {
            return blocked(format!(
                "the bucket {bucket} does not exist: create it, or correct `bucket` in [[trigger]]"
            ));
        }
        // Nothing can be done about the rules of a bucket that has changed its owner.
        Bucket::Unusable(why) => return blocked(why.clone()),
    };
    if !rules.is_empty() && kms_key.is_some_and(is_aws_managed) {
        return blocked(
            "the queue is encrypted with the AWS managed key alias/aws/sqs, with which S3 cannot send, and whose policy nobody \
             can change. SQS's own encryption does: aws sqs set-queue-attributes --queue-url URL --attributes \
             SqsManagedSseEnabled=true"
                .to_owned(),
        );
    }
    if let Some(why) = rules::overlapping(there, stack, rules) {
        return blocked(format!("in the bucket {bucket}, {why}"));
    }
    let mut change = Change::new(address, bucket);
    let before = rules::ours(there, stack);
    let (shown_before, shown_after) = (rules::shown(&before), rules::shown(rules));
    if !change.compare("rules", &shown_before, &shown_after) {
        return change;
    }
    let step = Step { bucket: bucket.clone(), stack: stack.to_owned(), rules: rules.clone() };
    match (before.is_empty(), rules.is_empty()) {
        (_, true) => change.removal(step),
        (_, false) => change.step(step),
    }
    change.action(match (before.is_empty(), rules.is_empty()) {
        (true, _) => Action::Create,
        (false, true) => Action::Delete,
        (false, false) => Action::Update,
    })
}

/// Whether a key is the one that AWS manages for SQS.
fn is_aws_managed(key: &str) -> bool {
    key == "alias/aws/sqs" || key.ends_with(":alias/aws/sqs")
}

/// Notes about triggers that are there or will be: what S3 needs beyond them, and what they do not exclude.
pub fn notes(config: &Config, kms_key: Option<&str>) -> Vec<String> {
    let mut notes = Vec::new();
    if let (Some(key), false) = (kms_key.filter(|key| !is_aws_managed(key)), config.triggers.is_empty()) {
        notes.push(format!(
            "The queue is encrypted with the KMS key {key}: S3 can send only if the key's policy allows the service \
             s3.amazonaws.com kms:GenerateDataKey and kms:Decrypt. It says nothing when it cannot."
        ));
    }
    let all: BTreeSet<&str> =
        config.triggers.iter().filter(|one| one.suffix.is_empty()).map(|one| one.bucket.as_str()).collect();
    if !all.is_empty() {
        let buckets = all.into_iter().collect::<Vec<_>>().join(", ");
        notes.push(format!(
            "Without `suffix` in [[trigger]], folders and files that are no pictures are sent too, and end in the dead-letter \
             queue ({buckets})."
        ));
    }
    notes
}

/// Whether a failed call is S3's check of the queue, which may not know the queue's new policy yet.
fn not_yet(error: &CallError) -> bool {
    error.kind == Kind::NotYet || error.message.contains("Unable to validate the following destination")
}

#[cfg(test)]
mod tests;
