//! Instance refreshes on paused time, with Auto Scaling as a function.

use std::sync::{Arc, Mutex};

use super::*;
use crate::aws::fake::Fake;
use crate::stack::address::Address;
use crate::stack::resources::scaling_group::{Step, run};
use crate::stack::resources::tests::{TestContext, silent};

fn mixed() -> Mixed {
    Mixed { template: "cats-worker".into(), types: vec!["c5.large".into()], spot: true }
}

fn answer(operation: &str, result: &str) -> Option<(u16, String)> {
    Some((200, format!("<{operation}Response><{operation}Result>{result}</{operation}Result></{operation}Response>")))
}

fn policy(version: i64) -> String {
    format!(
        "<MixedInstancesPolicy><LaunchTemplate><LaunchTemplateSpecification><LaunchTemplateId>lt-1</LaunchTemplateId>\
         <Version>{version}</Version></LaunchTemplateSpecification><Overrides><member><InstanceType>c5.large</InstanceType>\
         </member></Overrides></LaunchTemplate><InstancesDistribution><OnDemandPercentageAboveBaseCapacity>0\
         </OnDemandPercentageAboveBaseCapacity><SpotAllocationStrategy>price-capacity-optimized</SpotAllocationStrategy>\
         </InstancesDistribution></MixedInstancesPolicy>"
    )
}

/// A group with two instances: ID, version, whether it is protected.
fn group(members: &[(&str, i64, bool)]) -> Option<(u16, String)> {
    let member = |(id, version, protected): &(&str, i64, bool)| {
        format!(
            "<member><InstanceId>{id}</InstanceId><LifecycleState>InService</LifecycleState><ProtectedFromScaleIn>\
             {protected}</ProtectedFromScaleIn><LaunchTemplate><Version>{version}</Version></LaunchTemplate></member>"
        )
    };
    let members: String = members.iter().map(member).collect();
    let tags = "<Tags><member><Key>thumb:stack</Key><Value>cats</Value></member></Tags>";
    answer(
        "DescribeAutoScalingGroups",
        &format!(
            "<AutoScalingGroups><member><AutoScalingGroupName>cats-workers</AutoScalingGroupName><MinSize>0</MinSize>\
             <MaxSize>4</MaxSize><DesiredCapacity>2</DesiredCapacity>{}<Instances>{members}</Instances>{tags}</member>\
             </AutoScalingGroups>",
            policy(1)
        ),
    )
}

fn refreshes(id: &str, status: &str, version: i64, percent: u32) -> Option<(u16, String)> {
    answer(
        "DescribeInstanceRefreshes",
        &format!(
            "<InstanceRefreshes><member><InstanceRefreshId>{id}</InstanceRefreshId><Status>{status}</Status>\
             <PercentageComplete>{percent}</PercentageComplete><InstancesToUpdate>1</InstancesToUpdate>\
             <DesiredConfiguration>{}</DesiredConfiguration></member></InstanceRefreshes>",
            policy(version)
        ),
    )
}

fn failed_activity(message: &str) -> Option<(u16, String)> {
    let activity = format!(
        "<Activities><member><StatusCode>Failed</StatusCode><StatusMessage>{message}</StatusMessage></member></Activities>"
    );
    answer("DescribeScalingActivities", &activity)
}

fn no_activity() -> Option<(u16, String)> {
    answer("DescribeScalingActivities", "<Activities/>")
}

fn step(reports: Option<&str>) -> Step {
    let reports = reports.map(str::to_owned);
    Step::Refresh { name: "cats-workers".into(), mixed: mixed(), version: Some(2), reports }
}

/// Runs a step; what was said, and the result.
async fn run_step(fake: &Fake, step: &Step) -> (Result<(), CallError>, Vec<String>) {
    let test = TestContext::new();
    let said = Mutex::new(Vec::new());
    let tell = |_: Address, why: &str| said.lock().unwrap().push(why.to_owned());
    let result = run(step, &fake.writer().await, &test.context(Address::ScalingGroup, &tell)).await;
    (result, said.into_inner().unwrap())
}

/// An Auto Scaling whose refresh goes through these states, one a look, and stays in the last; a rollback leads to the
/// states after "RollbackInProgress".
fn going_through(states: Vec<(&'static str, u32)>, activity: Option<&'static str>, protected: bool) -> Fake {
    let at: Arc<Mutex<usize>> = Arc::default();
    let mut started = false;
    Fake::new(move |asked| {
        let mut at = at.lock().unwrap();
        match asked.operation.as_str() {
            "DescribeAutoScalingGroups" => group(&[("i-old", 1, protected), ("i-new", 2, false)]),
            "DescribeInstanceRefreshes" if !started => answer("DescribeInstanceRefreshes", "<InstanceRefreshes/>"),
            "DescribeInstanceRefreshes" => {
                let (status, percent) = states[(*at).min(states.len() - 1)];
                let ours = asked.has("InstanceRefreshIds");
                let stays = states.get(*at + 1).is_none_or(|(next, _)| *next == "RollbackInProgress");
                *at += usize::from(ours && !stays);
                refreshes("r-1", status, 2, percent)
            }
            "DescribeScalingActivities" => activity.map_or_else(no_activity, failed_activity),
            "StartInstanceRefresh" => {
                for wanted in [
                    "Preferences.SkipMatching=true",
                    "Preferences.AutoRollback=true",
                    // By default a refresh waits for protected instances for ever, and an empty list of checkpoints hangs.
                    "Preferences.ScaleInProtectedInstances=Refresh",
                    "Preferences.StandbyInstances=Terminate",
                    "Preferences.MinHealthyPercentage=90",
                    "Preferences.MaxHealthyPercentage=110",
                    "DesiredConfiguration.MixedInstancesPolicy.LaunchTemplate.LaunchTemplateSpecification.Version=2",
                ] {
                    assert!(asked.has(wanted), "{wanted}: {}", asked.body);
                }
                assert!(!asked.has("Checkpoint"), "{}", asked.body);
                started = true;
                answer("StartInstanceRefresh", "<InstanceRefreshId>r-1</InstanceRefreshId>")
            }
            "RollbackInstanceRefresh" => {
                *at = states.iter().position(|(status, _)| *status == "RollbackInProgress").expect("a rollback");
                answer("RollbackInstanceRefresh", "<InstanceRefreshId>r-1</InstanceRefreshId>")
            }
            // The worker has not reported.
            "GETObject" => Some((404, "<Error><Code>NoSuchKey</Code></Error>".into())),
            "DescribeInstances" => Some((200, "<DescribeInstancesResponse/>".into())),
            "GetConsoleOutput" => {
                let line = aws_smithy_types::base64::encode("thumb: FAILED no queue cats\n");
                Some((200, format!("<GetConsoleOutputResponse><output>{line}</output></GetConsoleOutputResponse>")))
            }
            other => panic!("{other}"),
        }
    })
}

#[tokio::test(start_paused = true)]
async fn progress_is_told_until_it_is_complete() {
    let states = vec![("Pending", 0), ("InProgress", 0), ("InProgress", 50), ("Successful", 100)];
    let (result, said) = run_step(&going_through(states, None, false), &step(None)).await;
    result.unwrap();
    insta::assert_snapshot!(said.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_fails_says_why_and_what_the_group_runs() {
    let states = vec![("InProgress", 0), ("RollbackInProgress", 0), ("RollbackSuccessful", 0)];
    let began = Instant::now();
    let fake = going_through(states, Some("Could not launch Spot Instances. MaxSpotInstanceCountExceeded."), true);
    let (result, said) = run_step(&fake, &step(None)).await;
    insta::assert_snapshot!(result.unwrap_err().to_string());
    // Nothing moved: thumb rolled it back in the end.
    assert!(fake.calls().iter().any(|call| call == "RollbackInstanceRefresh"), "{said:?}");
    assert!((1_800..2_000).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_new_instance_that_does_not_report_rolls_the_refresh_back() {
    let states = vec![("InProgress", 50), ("RollbackInProgress", 50), ("RollbackSuccessful", 0)];
    let began = Instant::now();
    let fake = going_through(states, None, false);
    let (result, said) = run_step(&fake, &step(Some("cats-code"))).await;
    insta::assert_snapshot!(format!("{}\n{}", said.join("\n"), result.unwrap_err()));
    // The console said so, long before the ten minutes are over.
    assert!(began.elapsed().as_secs() < 150, "{:?}", began.elapsed());
    assert_eq!(fake.calls().iter().filter(|call| *call == "RollbackInstanceRefresh").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_refresh_goes_on_and_the_next_apply_joins_it() {
    let running = || {
        Fake::new(move |asked| match asked.operation.as_str() {
            "DescribeAutoScalingGroups" => group(&[("i-old", 1, false)]),
            "DescribeInstanceRefreshes" => refreshes("r-9", "InProgress", 2, 0),
            "DescribeScalingActivities" => no_activity(),
            other => panic!("{other}"),
        })
    };
    let (fake, test) = (running(), TestContext::new());
    let said = Mutex::new(Vec::new());
    let tell = |_: Address, why: &str| said.lock().unwrap().push(why.to_owned());
    let (aws, step, context) = (fake.writer().await, step(None), test.context(Address::ScalingGroup, &tell));
    let interrupt = async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        test.interrupt.raise();
    };
    let (result, ()) = tokio::join!(run(&step, &aws, &context), interrupt);
    assert_eq!(result.unwrap_err().kind, Kind::Interrupted);
    assert_eq!(
        *said.lock().unwrap(),
        [
            "an instance refresh toward version 2 is running already",
            "the instance refresh goes on (0 %, 1 instance to replace)",
            "the instance refresh goes on by itself; the next apply waits for it",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn another_refresh_is_cancelled_first() {
    let mut looks = 0;
    let fake = Fake::new(move |asked| match asked.operation.as_str() {
        "DescribeAutoScalingGroups" => group(&[("i-old", 1, false)]),
        "DescribeScalingActivities" => no_activity(),
        "CancelInstanceRefresh" => answer("CancelInstanceRefresh", "<InstanceRefreshId>r-0</InstanceRefreshId>"),
        "StartInstanceRefresh" => answer("StartInstanceRefresh", "<InstanceRefreshId>r-1</InstanceRefreshId>"),
        "DescribeInstanceRefreshes" if asked.has("InstanceRefreshIds") => refreshes("r-1", "Successful", 2, 100),
        "DescribeInstanceRefreshes" => {
            looks += 1;
            match looks {
                1 => refreshes("r-0", "InProgress", 7, 0),
                2..=4 => refreshes("r-0", "Cancelling", 7, 0),
                _ => refreshes("r-0", "Cancelled", 7, 0),
            }
        }
        other => panic!("{other}"),
    });
    let (result, _) = run_step(&fake, &step(None)).await;
    result.unwrap();
    let changes: Vec<String> = fake.calls().into_iter().filter(|call| !call.starts_with("Describe")).collect();
    assert_eq!(changes, ["CancelInstanceRefresh", "StartInstanceRefresh"]);
}

#[tokio::test(start_paused = true)]
async fn instances_that_do_not_come_are_named_by_the_last_failed_activity() {
    let fake = Fake::new(move |asked| match asked.operation.as_str() {
        "DescribeAutoScalingGroups" => group(&[("i-1", 1, false)]),
        "DescribeInstanceRefreshes" => answer("DescribeInstanceRefreshes", "<InstanceRefreshes/>"),
        "DescribeScalingActivities" => failed_activity("InsufficientInstanceCapacity: none of the types, in any zone"),
        other => panic!("{other}"),
    });
    let step = Step::AwaitInService { name: "cats-workers".into(), reports: None };
    let (result, said) = run_step(&fake, &step).await;
    let why = "InsufficientInstanceCapacity: none of the types, in any zone";
    assert_eq!(said, [format!("1 of 2 instances are in service: {why}")]);
    let error = result.unwrap_err();
    assert_eq!(error.to_string(), format!("{IN_SERVICE}: 1 of 2 instances are in service after 10 minutes: {why}"));
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_auto_scaling_does_not_accept_is_not_tried_for_ever() {
    let began = Instant::now();
    let fake = Fake::new(move |asked| match asked.operation.as_str() {
        "DescribeAutoScalingGroups" => group(&[("i-old", 1, false)]),
        "DescribeScalingActivities" => no_activity(),
        "DescribeInstanceRefreshes" => answer("DescribeInstanceRefreshes", "<InstanceRefreshes/>"),
        "StartInstanceRefresh" => {
            let error =
                "<Error><Code>ValidationError</Code><Message>Invalid IAM Instance Profile name</Message></Error>";
            Some((400, format!("<ErrorResponse>{error}</ErrorResponse>")))
        }
        other => panic!("{other}"),
    });
    let aws = fake.writer().await;
    let test = TestContext::new();
    let error = run(&step(None), &aws, &test.context(Address::ScalingGroup, &silent)).await.unwrap_err();
    assert_eq!(error.kind, Kind::NotYet);
    assert!((60..70).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
}
