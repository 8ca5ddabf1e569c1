//! What EC2 says of some instances, by ID.

use aws_sdk_ec2::types::{Filter, Instance, InstanceStateName};

use crate::aws::{CallError, CallResult, Writer};

pub fn state(instance: &Instance) -> Option<&InstanceStateName> {
    instance.state().and_then(|state| state.name())
}

pub async fn describe(ids: &[String], aws: &Writer) -> Result<Vec<Instance>, CallError> {
    // By filter, not by ID: an ID that EC2 does not know (yet, or any more) makes the whole call fail.
    let by_id = Filter::builder().name("instance-id").set_values(Some(ids.to_vec())).build();
    let result = aws.clients.ec2.describe_instances().filters(by_id).send().await;
    let out = result.action("ec2:DescribeInstances")?;
    let reservations = out.reservations.unwrap_or_default();
    Ok(reservations.into_iter().flat_map(|reservation| reservation.instances.unwrap_or_default()).collect())
}
