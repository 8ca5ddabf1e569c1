//! The wait for a worker's first report, on paused time and with AWS as a function.

use super::*;
use crate::aws::fake::{Fake, ec2_error};
use crate::stack::resources::Running;
use crate::stack::resources::instance::run::tests::described;
use crate::stack::resources::tests::{TestContext, silent};
use crate::worker_report::{Counts, Memory, VERSION};

const ID: &str = "i-0123456789abcdef0";

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn report(state: State, last_seen_s: u64) -> Option<(u16, String)> {
    let report = WorkerReport {
        version: VERSION,
        id: ID.into(),
        thumb: "0.1.0".into(),
        binary: None,
        config: "0123456789abcdef".into(),
        state,
        started_s: last_seen_s,
        last_seen_s,
        counts: Counts::default(),
        memory: Memory::default(),
    };
    Some((200, report.to_json()))
}

fn none() -> Option<(u16, String)> {
    Some((404, "<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>".into()))
}

fn console(text: &str) -> Option<(u16, String)> {
    let output = aws_smithy_types::base64::encode(text);
    Some((
        200,
        format!(
            "<GetConsoleOutputResponse><instanceId>{ID}</instanceId><output>{output}</output></GetConsoleOutputResponse>"
        ),
    ))
}

fn routes(route: &str) -> Option<(u16, String)> {
    let table = format!("<item><routeTableId>rtb-1</routeTableId><routeSet>{route}</routeSet></item>");
    Some((
        200,
        format!("<DescribeRouteTablesResponse><routeTableSet>{table}</routeTableSet></DescribeRouteTablesResponse>"),
    ))
}

fn without_address() -> Option<(u16, String)> {
    let instance = format!(
        "<item><instanceId>{ID}</instanceId><instanceState><code>16</code><name>running</name></instanceState>\
         <subnetId>subnet-1</subnetId><vpcId>vpc-1</vpcId></item>"
    );
    Some((
        200,
        format!(
            "<DescribeInstancesResponse><reservationSet><item><instancesSet>{instance}</instancesSet></item></reservationSet></DescribeInstancesResponse>"
        ),
    ))
}

/// Waits for the report of the instance that this run has launched (or, with `id`, of one that was there), with answers by
/// the operation and the number of seconds since the wait began; answers how it ended and after how many seconds.
async fn wait(
    id: Option<&str>,
    answer: impl Fn(&str, u64) -> Option<(u16, String)> + Send + 'static,
) -> (Result<(), CallError>, u64, TestContext) {
    let began = Instant::now();
    let fake = Fake::new(move |asked| answer(&asked.operation, began.elapsed().as_secs()));
    let test = TestContext::new();
    let running = Running { id: ID.into(), public_ip: None, reported: false };
    if id.is_none() {
        test.outputs.facts().running.insert(1, running);
    }
    let aws = fake.writer().await;
    let result = await_report(id, "cats-code", &aws, &test.context(Address::Instance(1), &silent)).await;
    (result, began.elapsed().as_secs(), test)
}

#[tokio::test(start_paused = true)]
async fn the_wait_ends_with_the_first_report() {
    let (result, took, test) = wait(None, |operation, s| match operation {
        "GETObject" if s < 95 => none(),
        "GETObject" => report(State::Started, 0),
        "GetConsoleOutput" => console("cloud-init: thumb: 42.0 s fetching\n"),
        _ => described(ID, "running"),
    })
    .await;
    result.unwrap();
    assert!((95..100).contains(&took), "{took}");
    assert!(test.outputs.into_facts().running[&1].reported);
}

#[tokio::test(start_paused = true)]
async fn a_boot_that_failed_is_said_with_the_consoles_line() {
    let (result, took, _) = wait(None, |operation, s| match operation {
        "GETObject" => none(),
        "GetConsoleOutput" if s < 100 => console("booting"),
        "GetConsoleOutput" => console("x\nthumb: FAILED: S3 answers 403\n[ 130.2] cloud-init: thumb: FAILED: the binary's SHA-256 is ab\r\nlogin:"),
        _ => described(ID, "running"),
    })
    .await;
    let error = result.unwrap_err();
    assert!(error.to_string().starts_with("the worker's first report: none from i-0123456789abcdef0 in 3m"), "{error}");
    assert!(error.message.contains("its console says \"thumb: FAILED: the binary's SHA-256 is ab\"."), "{error}");
    assert!(error.message.contains("The old instance, if any, is kept"), "{error}");
    // Its next look at the console, and a minute more for the service that goes on trying.
    assert!((180..200).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn a_boot_that_failed_and_a_service_that_works_after_all_is_a_success() {
    let (result, took, _) = wait(None, |operation, s| match operation {
        "GETObject" if s < 70 => none(),
        "GETObject" => report(State::Idle, 0),
        "GetConsoleOutput" => console("thumb: FAILED: thumb-worker.service is activating"),
        _ => described(ID, "running"),
    })
    .await;
    result.unwrap();
    assert!((70..75).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn without_a_report_it_ends_and_says_what_the_network_shows() {
    let igw = "<item><destinationCidrBlock>0.0.0.0/0</destinationCidrBlock><gatewayId>igw-1</gatewayId><state>active</state></item>";
    let gone = "<item><destinationCidrBlock>0.0.0.0/0</destinationCidrBlock><natGatewayId>nat-1</natGatewayId><state>blackhole</state></item>";
    let nat = "<item><destinationCidrBlock>0.0.0.0/0</destinationCidrBlock><natGatewayId>nat-1</natGatewayId><state>active</state></item>";
    let local = "<item><destinationCidrBlock>10.0.0.0/16</destinationCidrBlock><gatewayId>local</gatewayId><state>active</state></item>";
    for (route, why) in [
        (igw, "it has no public address, which the default route of subnet-1, an Internet gateway, requires"),
        (gone, "the target of the default route of subnet-1 no longer exists"),
        (local, "subnet-1 has no route to the Internet"),
        (nat, "the reason is unknown"),
    ] {
        let (result, took, _) = wait(None, move |operation, _| match operation {
            "GETObject" => none(),
            "GetConsoleOutput" => ec2_error("UnauthorizedOperation", "no"),
            "DescribeRouteTables" => routes(route),
            _ => without_address(),
        })
        .await;
        let error = result.unwrap_err();
        assert!(error.message.contains("in 10m0") && error.message.contains(why), "{error}");
        assert!((600..605).contains(&took), "{took}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_has_gone_is_not_waited_for() {
    let (result, took, _) = wait(None, |operation, _| match operation {
        "GETObject" => none(),
        "GetConsoleOutput" => console(""),
        _ => described(ID, "terminated"),
    })
    .await;
    assert!(
        result.unwrap_err().message.contains("is terminated (EC2 gives no reason); the old instance, if any, is kept")
    );
    assert!(took < 35, "{took}");
}

#[tokio::test(start_paused = true)]
async fn of_an_instance_that_was_there_only_a_report_of_now_counts() {
    for (state, age_s, works) in
        [(State::Idle, 60, true), (State::Working, 890, true), (State::Idle, 3_600, false), (State::Stopped, 60, false)]
    {
        let seen = now_s() - age_s;
        let (result, took, _) = wait(Some(ID), move |operation, _| match operation {
            "GETObject" => report(state, seen),
            "GetConsoleOutput" => console(""),
            _ => described(ID, "running"),
        })
        .await;
        assert_eq!((result.is_ok(), took < 1), (works, works), "{state:?} {age_s} {result:?}");
        if let Err(error) = result {
            assert!(error.message.contains("its last report"), "{error}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_may_not_read_the_report_hears_so_at_once_and_a_moment_of_trouble_is_borne() {
    let (result, took, _) = wait(None, |_, _| Some((403, "<Error><Code>AccessDenied</Code></Error>".into()))).await;
    assert_eq!((result.unwrap_err().kind, took), (Kind::Denied, 0));
    let (result, _, _) = wait(None, |operation, s| match operation {
        "GETObject" if s < 60 => Some((503, "<Error><Code>SlowDown</Code></Error>".into())),
        "GETObject" => report(State::Started, 0),
        "GetConsoleOutput" => console(""),
        _ => described(ID, "running"),
    })
    .await;
    result.unwrap();
}
