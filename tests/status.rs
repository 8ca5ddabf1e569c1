//! `thumb status` as a process, against the emulator.

#[path = "support/moto.rs"]
mod moto;
#[path = "support/stack.rs"]
mod stack;

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use aws_sdk_s3::primitives::ByteStream;
use serde_json::Value;
use stack::{CommandOutput, Stack};

/// What a worker on an instance reports.
fn report(id: &str, last_seen_s: u64) -> String {
    format!(
        r#"{{"version":1,"id":"{id}","thumb":"0.1.0","binary":null,"config":"c","state":"working","started_s":1,"last_seen_s":{last_seen_s},
           "counts":{{"done":7,"made":14,"skipped":0,"ignored":0,"retried":0,"rejected":1}},"memory":{{"ceiling_bytes":9,"resident_bytes":null}}}}"#
    )
}

#[tokio::test]
async fn what_runs_and_what_is_wrong_is_said() {
    let stack = Stack::nothing("seen", "").await;
    stack.clients.s3.create_bucket().bucket(stack.photos()).send().await.unwrap();
    let absent = stack.thumb(&["status"]).failed(1);
    assert!(absent.stdout.contains("\nQueue       does not exist\n"), "{absent:?}");
    assert!(
        absent.stdout.contains("! the stack is not complete: `thumb apply` creates what is missing\n"),
        "{absent:?}"
    );
    assert_eq!(absent.stderr, "error: 1 problem (see above)\n");

    stack.thumb(&["apply", "--yes"]).ok();
    let well = stack.thumb(&["status"]).ok();
    assert!(
        well.stdout.starts_with("Stack seen   account 123456789012   us-east-1\n\nQueue       0 waiting\n"),
        "{well:?}"
    );
    assert!(well.stdout.contains("\nDrift       none\n"), "{well:?}");
    assert!(well.stdout.contains("booting"), "{well:?}");
    let json: Value = serde_json::from_str(&stack.thumb(&["status", "--json"]).ok().stdout).unwrap();
    let id = json["workers"][0]["id"].as_str().unwrap().to_owned();

    let now_s = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let put = |last_seen_s: u64| {
        let body = ByteStream::from(report(&id, last_seen_s).into_bytes());
        let call = stack.clients.s3.put_object().bucket("seen-code-123456789012").key(format!("workers/{id}.json"));
        call.body(body).send()
    };
    put(now_s).await.unwrap();
    stack.send("{}").await;
    let json: Value = serde_json::from_str(&stack.thumb(&["status", "--json"]).ok().stdout).unwrap();
    let worker = &json["workers"][0];
    assert_eq!(
        (&worker["worker"], &worker["made"], &worker["thumb"]),
        (&"working".into(), &14.into(), &"0.1.0".into())
    );
    assert_eq!((&json["queue"]["waiting"], &json["rejected"]), (&1.into(), &0.into()), "{json}");

    // A worker that is silent, a rejected request, and drift.
    put(now_s - 3_600).await.unwrap();
    let dlq = stack.url("seen-dlq").await;
    stack.clients.sqs.send_message().queue_url(dlq).message_body("{}").send().await.unwrap();
    let toml = std::fs::read_to_string(stack.toml()).unwrap();
    stack.declare(&format!("{toml}\n[queue]\nretention = \"1d\"\n"));
    let wrong = stack.thumb(&["status"]).failed(1);
    for line in [
        "! the stack is not as thumb.toml declares it (queue): see `thumb plan`\n",
        "! 1 request was rejected: see `thumb dlq`\n",
        "! the worker of instance.1 has not reported for 60 minutes\n",
        "\nDrift       1 change   thumb plan\n",
    ] {
        assert!(wrong.stdout.contains(line), "{line}: {wrong:?}");
    }
    assert_eq!(wrong.stderr, "error: 3 problems (see above)\n");
}

#[cfg(unix)]
#[tokio::test]
async fn a_watch_in_a_pipe_is_a_line_a_look_until_ctrl_c() {
    let stack = Stack::new("watched", "").await;
    let mut command = stack.command(&["status", "--watch"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.next().unwrap().unwrap();
    assert!(line.contains("Z  "), "{line}");
    let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.unwrap().success());
    let output = CommandOutput::new(child.wait_with_output().unwrap()).failed(130);
    assert_eq!(output.stderr, "");
}
