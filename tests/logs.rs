//! The way of a worker's lines: a real `thumb work` writes them to CloudWatch Logs, and `thumb logs` reads them back. Against the strict
//! emulator.

#[path = "support/moto.rs"]
mod moto;
#[path = "support/stack.rs"]
mod stack;

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use aws_sdk_cloudwatchlogs::types::InputLogEvent;
use aws_sdk_ec2::types::{ResourceType, Tag, TagSpecification};
use serde_json::Value;
use stack::{CommandOutput, Stack, photo};

const GROUP: &str = "/thumb/cats";

/// The stack of a worker that runs here, as one runs on an instance.
const TOML: &str = "name = \"cats\"\n[buckets]\nsources = [\"cats-photos\"]\n[instance]\ncount = 0\n[worker]\nlog_group = \"/thumb/cats\"\n";

async fn stack() -> Stack {
    let stack = Stack::strict("cats", TOML, &moto::AT_ONCE).await;
    stack.clients.s3.create_bucket().bucket(stack.photos()).send().await.unwrap();
    stack
}

/// A message for a photograph that is there, and one for something that is none.
async fn worked() -> Stack {
    let stack = stack().await;
    stack.thumb(&["apply", "--yes"]).ok();
    stack.put("life.jpg", photo("life.jpg")).await;
    stack.put("bad.jpg", b"no picture".to_vec()).await;
    for key in ["life.jpg", "bad.jpg"] {
        stack.send(&format!(r#"{{"bucket":"cats-photos","key":"{key}","width":40,"height":30}}"#)).await;
    }
    stack.thumb(&["work", "--drain"]).ok();
    stack
}

/// Two instances: one with a number, one of a group.
async fn launch(stack: &Stack, number: &str) -> String {
    let image = stack.clients.ec2.describe_images().owners("099720109477").send().await.unwrap();
    let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
    let tags = TagSpecification::builder()
        .resource_type(ResourceType::Instance)
        .tags(tag("thumb:stack", "cats"))
        .tags(tag("thumb:instance", number));
    let run = stack.clients.ec2.run_instances().image_id(image.images()[0].image_id().unwrap());
    let run = run.min_count(1).max_count(1).tag_specifications(tags.build()).send().await.unwrap();
    run.instances()[0].instance_id().unwrap().to_owned()
}

/// Lines of now in an instance's stream.
async fn write(stack: &Stack, stream: &str, texts: &[&str]) {
    let logs = &stack.clients.logs;
    let _ = logs.create_log_stream().log_group_name(GROUP).log_stream_name(stream).send().await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    let put = logs.put_log_events().log_group_name(GROUP).log_stream_name(stream);
    let events = texts.iter().map(|text| InputLogEvent::builder().timestamp(now).message(*text).build().unwrap());
    put.set_log_events(Some(events.collect())).send().await.unwrap();
}

/// Without the times of the lines and what takes a time.
fn texts(output: &CommandOutput) -> Vec<String> {
    output.stdout.lines().map(|line| line.split_once("Z ").expect("a time").1.to_owned()).collect()
}

#[tokio::test]
async fn what_a_worker_writes_is_read_back() {
    let stack = worked().await;
    let lines = texts(&stack.thumb(&["logs"]).ok());
    let begins: Vec<&str> = lines.iter().map(|line| line.split(' ').next().unwrap()).collect();
    let mut sorted = begins.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, ["Done", "made", "rejected", "stopping:", "working:"], "{lines:?}");
    assert_eq!((begins[0], begins[4]), ("working:", "Done"));
    assert!(lines.iter().any(|line| line.starts_with("made      life-40x30.jpg  ")), "{lines:?}");

    // The numbers are among them, for CloudWatch.
    let all = stack.clients.logs.filter_log_events().log_group_name(GROUP).send().await.unwrap();
    let documents: Vec<Value> =
        all.events().iter().filter_map(|event| serde_json::from_str(event.message().unwrap()).ok()).collect();
    let [document] = &documents[..] else { panic!("{documents:?}") };
    assert_eq!(document["_aws"]["CloudWatchMetrics"][0]["Namespace"], "thumb");
    let counts = ["Photographs", "Thumbnails", "Rejected", "Retried"].map(|name| document[name].as_u64().unwrap());
    assert_eq!(counts, [1, 1, 1, 0]);

    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_owned();
    let json = stack.thumb(&["logs", &host, "--json"]).ok().stdout;
    let first: Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!((&first["instance"], &first["name"]), (&Value::from(host.clone()), &Value::from(host)));
    assert!(first["message"].as_str().unwrap().starts_with("working: cats -> s3://"), "{first}");

    stack.thumb(&["destroy", "--yes"]).ok();
    let groups = stack.clients.logs.describe_log_groups().send().await.unwrap();
    assert!(groups.log_groups().is_empty());
}

#[tokio::test]
async fn instances_are_found_by_number_and_named_so() {
    let stack = stack().await;
    stack.thumb(&["apply", "--yes", "--target", "logs"]).ok();
    let (first, second) = (launch(&stack, "1").await, launch(&stack, "2").await);
    write(&stack, &first, &["made a", "\u{1b}[31m"]).await;
    write(&stack, "i-0fleet", &["made b"]).await;
    let output = stack.thumb(&["logs", "instance.1"]).ok();
    assert!(output.stdout.lines().all(|line| line.starts_with("worker-1 | 20")), "{output:?}");
    assert_eq!(texts(&output), ["made a", r"\u{1b}[31m"]);
    assert_eq!(texts(&stack.thumb(&["logs", "i-0fleet"]).ok()), ["made b"]);
    assert_eq!(texts(&stack.thumb(&["logs"]).ok()).len(), 3);
    // It has not written yet.
    assert_eq!(stack.thumb(&["logs", "2"]).ok().stdout, "");
    let none = stack.thumb(&["logs", "3"]).failed(1).stderr;
    assert!(none.contains("there is no instance 3; the stack has ") && none.contains(&second), "{none}");

    let boot = stack.thumb(&["logs", "1", "--boot"]).ok();
    assert!(!boot.stdout.is_empty() || boot.stderr.contains("EC2 has nothing from the console"), "{boot:?}");
    assert!(stack.thumb(&["logs", "--boot"]).failed(2).stderr.contains("say which instance"));
    assert!(stack.thumb(&["logs", "1", "--boot", "--follow"]).failed(2).stderr.contains("leave out --follow"));
}

#[tokio::test]
async fn a_group_that_is_not_there_says_what_to_do() {
    let stack = stack().await;
    let error = stack.thumb(&["logs"]).failed(1).stderr;
    assert_eq!(
        error,
        "error: the log group /thumb/cats does not exist in us-east-1\n  hint: run `thumb apply` to create it\n"
    );
    stack.declare(&format!("{TOML}[logs]\nretention = \"0\"\n"));
    let error = stack.thumb(&["logs", "--follow"]).failed(1).stderr;
    assert!(error.contains("are not collected") && error.contains("run `thumb apply`"), "{error}");

    // A worker whose group is not there goes on without it, and says so once.
    stack.declare(TOML);
    stack.create_queues(5).await;
    stack.clients.s3.create_bucket().bucket(stack.thumbnails()).send().await.unwrap();
    let output = stack.thumb(&["work", "--drain"]).ok();
    assert_eq!(output.stderr.matches("cannot send log lines to CloudWatch Logs").count(), 1, "{output:?}");
}

#[tokio::test]
async fn follow_gives_each_line_once_and_ends_with_ctrl_c() {
    let stack = stack().await;
    stack.thumb(&["apply", "--yes", "--target", "logs"]).ok();
    write(&stack, "i-1", &["made a"]).await;
    let mut command = stack.command(&["logs", "-f"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || lines.next().unwrap().unwrap().split_once("Z ").unwrap().1.to_owned();
    assert_eq!(next(), "made a");
    write(&stack, "i-2", &["made b"]).await;
    assert_eq!(next(), "made b");
    write(&stack, "i-1", &["made c"]).await;
    assert_eq!(next(), "made c", "and neither a nor b again");
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(130), Vec::new()));
}

#[tokio::test]
async fn each_message_is_an_event_on_the_topic() {
    let arn = format!("arn:aws:sns:us-east-1:{}:cats-events", moto::ACCOUNT);
    let toml = format!("{TOML}topic = \"{arn}\"\n[notify]\ntopic = true\nemail = [\"me@example.com\"]\n");
    let stack = Stack::strict("cats", &toml, &moto::AT_ONCE).await;
    stack.clients.s3.create_bucket().bucket(stack.photos()).send().await.unwrap();
    stack.thumb(&["apply", "--yes"]).ok();
    // Somebody who wants to know; a subscription that is not thumb's.
    let queue = stack.clients.sqs.create_queue().queue_name("told").send().await.unwrap().queue_url.unwrap();
    let told = format!("arn:aws:sqs:us-east-1:{}:told", moto::ACCOUNT);
    let subscribe = stack.clients.sns.subscribe().topic_arn(&arn).protocol("sqs").endpoint(told);
    subscribe.attributes("RawMessageDelivery", "true").send().await.unwrap();

    stack.put("life.jpg", photo("life.jpg")).await;
    stack.put("bad.jpg", b"no picture".to_vec()).await;
    for n in 0..12 {
        let key = if n == 0 { "bad.jpg" } else { "life.jpg" };
        stack.send(&format!(r#"{{"bucket":"cats-photos","key":"{key}","width":{},"height":30}}"#, 20 + n)).await;
    }
    stack.thumb(&["work", "--drain"]).ok();

    let mut events: Vec<Value> = Vec::new();
    loop {
        let receive = stack.clients.sqs.receive_message().queue_url(&queue).max_number_of_messages(10);
        let messages = receive.send().await.unwrap().messages.unwrap_or_default();
        if messages.is_empty() {
            break;
        }
        events.extend(messages.iter().map(|message| serde_json::from_str::<Value>(message.body().unwrap()).unwrap()));
    }
    assert_eq!(events.len(), 12, "{events:#?}");
    let of = |kind: &str| events.iter().filter(|event| event["event"] == kind).collect::<Vec<_>>();
    let [rejected] = of("rejected")[..] else { panic!("{events:#?}") };
    assert_eq!((&rejected["source"], &rejected["stage"]), (&"s3://cats-photos/bad.jpg".into(), &"make".into()));
    let mut widths: Vec<u64> =
        of("done").iter().map(|event| event["thumbnails"][0]["width"].as_u64().unwrap()).collect();
    widths.sort_unstable();
    assert_eq!(widths, (21..32).collect::<Vec<u64>>());
    let thumbnail = &of("done")[0]["thumbnails"][0];
    assert_eq!((&thumbnail["bucket"], &thumbnail["format"]), (&stack.thumbnails().into(), &"jpeg".into()));

    // A topic that goes does not stop the worker.
    stack.clients.sns.delete_topic().topic_arn(&arn).send().await.unwrap();
    stack.send(r#"{"bucket":"cats-photos","key":"life.jpg","width":9,"height":9}"#).await;
    let output = stack.thumb(&["work", "--drain"]).ok();
    assert!(output.stdout.contains("made      life-9x9.jpg"), "{output:?}");
    assert_eq!(output.stderr.matches("cannot send results to the SNS topic").count(), 1, "{output:?}");
}
