//! Writes the rules of a bucket: reads all of its notifications, changes the stack's own, and writes them back.

use aws_sdk_s3::types::NotificationConfiguration;

use super::{Step, not_yet, rules};
use crate::aws::{CallError, CallResult, Kind, Writer};
use crate::stack::resources::{RetryPolicy, StepContext, optional};

pub async fn run(step: &Step, aws: &Writer, context: &StepContext<'_>) -> Result<(), CallError> {
    let Step { bucket, stack, rules } = step;
    let why = "waiting for the queue's new policy to reach S3, which checks that it can send";
    context
        .retry(&RetryPolicy::PROPAGATION, why, not_yet, || async {
            // Read each time: somebody else may have written meanwhile.
            let get = aws.clients.s3.get_bucket_notification_configuration().bucket(bucket);
            let result = get.expected_bucket_owner(context.account).send().await;
            let found = match optional(result.action("s3:GetBucketNotification"))? {
                Some(found) => found,
                // Its rules went with it.
                None if rules.is_empty() => return Ok(()),
                None => {
                    return Err(CallError::judged(
                        "s3:GetBucketNotification",
                        Kind::NotFound,
                        format!("the bucket {bucket} is gone"),
                    ));
                }
            };
            let all = NotificationConfiguration::builder()
                .set_topic_configurations(found.topic_configurations)
                .set_queue_configurations(found.queue_configurations)
                .set_lambda_function_configurations(found.lambda_function_configurations)
                .set_event_bridge_configuration(found.event_bridge_configuration)
                .build();
            let put = aws.clients.s3.put_bucket_notification_configuration().bucket(bucket);
            let put = put.notification_configuration(rules::with(all, stack, rules));
            put.expected_bucket_owner(context.account).send().await.map(drop).action("s3:PutBucketNotification")
        })
        .await
}
