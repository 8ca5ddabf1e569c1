//! What is taken for one of the stack's instances, with EC2 as a function.

use super::*;
use crate::aws::fake::Fake;

/// An instance as EC2 lists it, with these tags.
fn listed(id: &str, tags: &[(&str, &str)]) -> String {
    let tag = |(key, value): &(&str, &str)| format!("<item><key>{key}</key><value>{value}</value></item>");
    let tags: String = tags.iter().map(tag).collect();
    format!(
        "<item><instancesSet><item><instanceId>{id}</instanceId><instanceState><code>16</code><name>running</name>\
         </instanceState><tagSet>{tags}</tagSet></item></instancesSet></item>"
    )
}

#[tokio::test]
async fn the_instances_of_a_group_are_the_groups_and_never_surplus() {
    let group = ("aws:autoscaling:groupName", "cats-workers");
    let members = [
        listed("i-1", &[(STACK_TAG, "cats"), ("Name", "cats-worker"), group]),
        // Whatever else somebody has tagged them with.
        listed("i-2", &[(STACK_TAG, "cats"), ("Name", "cats-worker-1"), (INDEX_TAG, "7"), group]),
        listed("i-3", &[("Name", "cats-worker-1"), group]),
    ]
    .concat();
    let answer =
        format!("<DescribeInstancesResponse><reservationSet>{members}</reservationSet></DescribeInstancesResponse>");
    let fake = Fake::new(move |asked| match asked.operation.as_str() {
        "DescribeInstances" => Some((200, answer.clone())),
        other => panic!("{other}"),
    });
    let reader = Reader::new(&fake.writer().await.clients);
    let fleet = read(&reader, "cats", 1).await.map_err(|errors| errors.failure("", "plan")).unwrap();
    assert_eq!(fleet, Fleet::default());
}
