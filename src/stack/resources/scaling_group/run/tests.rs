//! The group's creation and deletion on paused time, with Auto Scaling as a function.

use super::*;
use crate::aws::fake::Fake;
use crate::stack::address::Address;
use crate::stack::resources::scaling_group::Mixed;
use crate::stack::resources::tests::{TestContext, silent};

fn answer(operation: &str, result: &str) -> Option<(u16, String)> {
    Some((200, format!("<{operation}Response><{operation}Result>{result}</{operation}Result></{operation}Response>")))
}

fn error(code: &str, message: &str) -> Option<(u16, String)> {
    let error = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
    Some((400, format!("<ErrorResponse>{error}</ErrorResponse>")))
}

/// A group of this owner. `status`: "Delete in progress", or nothing.
fn group(owner: &str, status: &str) -> Option<(u16, String)> {
    let status = if status.is_empty() { String::new() } else { format!("<Status>{status}</Status>") };
    let tags = format!("<Tags><member><Key>thumb:stack</Key><Value>{owner}</Value></member></Tags>");
    let name = "<AutoScalingGroupName>cats-workers</AutoScalingGroupName>";
    let group = format!("<AutoScalingGroups><member>{name}{status}{tags}</member></AutoScalingGroups>");
    answer("DescribeAutoScalingGroups", &group)
}

async fn run_step(fake: &Fake, step: &Step) -> Result<(), CallError> {
    let test = TestContext::new();
    run(step, &fake.writer().await, &test.context(Address::ScalingGroup, &silent)).await
}

fn create_step() -> Step {
    let group = ScalingGroup {
        name: "cats-workers".into(),
        min: 0,
        max: 4,
        subnets: ["subnet-1", "subnet-2"].map(str::to_owned).into(),
        mixed: Mixed { template: "cats-worker".into(), types: vec!["c5.large".into()], spot: true },
        cpus: 2,
        code_bucket: "cats-code".into(),
        tags: Tags::new(),
    };
    Step::Create { group: Box::new(group), version: Some(3), desired: 2 }
}

/// Creates where a group of the name exists: of this owner, and, for some looks, on its way out.
async fn create_beside(owner: &'static str, going: usize) -> (Result<(), CallError>, usize) {
    let (mut looks, mut gone) = (0, false);
    let fake = Fake::new(move |asked| match asked.operation.as_str() {
        "CreateAutoScalingGroup" if gone => answer("CreateAutoScalingGroup", ""),
        "CreateAutoScalingGroup" => error("AlreadyExists", "A group with the name cats-workers already exists"),
        "DescribeAutoScalingGroups" => {
            looks += 1;
            gone = going > 0 && looks == going;
            group(owner, if going > 0 { "Delete in progress" } else { "" })
        }
        "DescribeInstanceRefreshes" => answer("DescribeInstanceRefreshes", "<InstanceRefreshes/>"),
        "DescribeScalingActivities" => answer("DescribeScalingActivities", "<Activities/>"),
        other => panic!("{other}"),
    });
    let result = run_step(&fake, &create_step()).await;
    (result, fake.calls().iter().filter(|call| *call == "CreateAutoScalingGroup").count())
}

#[tokio::test(start_paused = true)]
async fn a_group_that_exists_is_ours_or_going_or_an_error() {
    let (result, calls) = create_beside("cats", 0).await;
    assert!(result.is_ok() && calls == 1, "an answer was lost: {result:?}");
    let (result, calls) = create_beside("cats", 3).await;
    assert!(result.is_ok() && calls == 4, "the one before is waited for: {result:?}, {calls}");
    let (result, _) = create_beside("dogs", 0).await;
    assert_eq!(result.unwrap_err().kind, Kind::AlreadyExists);
}

#[tokio::test(start_paused = true)]
async fn a_group_is_gone_when_its_instances_are() {
    let mut looks = 0;
    let fake = Fake::new(move |asked| match asked.operation.as_str() {
        "DeleteAutoScalingGroup" => {
            assert!(asked.has("ForceDelete=true"), "{}", asked.body);
            match looks {
                0 => answer("DeleteAutoScalingGroup", ""),
                _ => error("ScalingActivityInProgress", "there are scaling activities in progress for that group"),
            }
        }
        "DescribeAutoScalingGroups" => {
            looks += 1;
            match looks {
                ..4 => group("cats", "Delete in progress"),
                _ => answer("DescribeAutoScalingGroups", "<AutoScalingGroups/>"),
            }
        }
        "DescribeInstanceRefreshes" => answer("DescribeInstanceRefreshes", "<InstanceRefreshes/>"),
        "DescribeScalingActivities" => answer("DescribeScalingActivities", "<Activities/>"),
        other => panic!("{other}"),
    });
    run_step(&fake, &Step::Delete { name: "cats-workers".into() }).await.unwrap();
    assert_eq!(fake.calls().iter().filter(|call| *call == "DescribeAutoScalingGroups").count(), 4);
}
