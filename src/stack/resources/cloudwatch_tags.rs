//! Tags of CloudWatch's resources: of alarms and dashboards.

use aws_sdk_cloudwatch::types::Tag;

use super::Tags;
use crate::aws::{CallError, CallResult, Writer};

/// Sets and removes tags of the resource with this ARN.
pub async fn tag(arn: &str, set: &Tags, remove: &[String], aws: &Writer) -> Result<(), CallError> {
    let cloudwatch = &aws.clients.cloudwatch;
    if !set.is_empty() {
        let request = cloudwatch.tag_resource().resource_arn(arn).set_tags(Some(sdk_tags(set)));
        request.send().await.action("cloudwatch:TagResource")?;
    }
    if !remove.is_empty() {
        let request = cloudwatch.untag_resource().resource_arn(arn).set_tag_keys(Some(remove.to_vec()));
        request.send().await.action("cloudwatch:UntagResource")?;
    }
    Ok(())
}

pub fn sdk_tags(tags: &Tags) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}
