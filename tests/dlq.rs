//! `thumb dlq` as a process, against the strict emulator.

#[path = "support/moto.rs"]
mod moto;
#[path = "support/stack.rs"]
mod stack;

use aws_sdk_sqs::types::{MessageAttributeValue, MessageSystemAttributeName};
use serde_json::Value;
use stack::{CommandOutput, Stack};

/// A queue and its dead-letter queue, and a thumb.toml that names them.
struct Queues {
    stack: Stack,
    queue: String,
    dlq: String,
}

impl Queues {
    async fn new() -> Self {
        let stack = Stack::strict("cats", "name = \"cats\"", &["sqs-new-dead-letter-queue.seconds=0"]).await;
        let (queue, dlq) = stack.create_queues(1).await;
        Self { stack, queue, dlq }
    }

    /// As a worker rejects a message.
    async fn reject(&self, key: &str, error: &str) {
        let text = |value: &str| {
            MessageAttributeValue::builder().data_type("String").string_value(value).build().expect("it has a type")
        };
        let body = format!(r#"{{"bucket":"photos","key":"{key}","width":4,"height":3}}"#);
        let send = self.stack.clients.sqs.send_message().queue_url(&self.dlq).message_body(body);
        let send = send.message_attributes("trace", text("t-1")).message_attributes("thumb-error", text(error));
        let send = send.message_attributes("thumb-stage", text("make"));
        send.message_attributes("thumb-worker", text("host/1")).send().await.unwrap();
    }

    fn thumb(&self, words: &[&str]) -> CommandOutput {
        self.stack.thumb(&[&["dlq"], words].concat())
    }

    #[track_caller]
    fn ok(&self, words: &[&str]) -> String {
        self.thumb(words).ok().stdout
    }

    /// Every message of a queue: its body's key, and its attributes' names.
    async fn messages(&self, url: &str) -> Vec<(String, Vec<String>)> {
        let mut found = Vec::new();
        loop {
            let call = self.stack.clients.sqs.receive_message().queue_url(url).max_number_of_messages(10);
            let call = call.message_attribute_names("All");
            let messages = call
                .message_system_attribute_names(MessageSystemAttributeName::All)
                .send()
                .await
                .unwrap()
                .messages
                .unwrap_or_default();
            if messages.is_empty() {
                found.sort();
                return found;
            }
            for message in messages {
                let body: Value = serde_json::from_str(message.body().unwrap()).unwrap();
                let mut names: Vec<String> = message.message_attributes.unwrap_or_default().into_keys().collect();
                names.sort();
                found.push((body["key"].as_str().unwrap().to_owned(), names));
            }
        }
    }
}

#[tokio::test]
async fn what_was_rejected_is_listed_by_reason_and_some_of_it_is_retried() {
    let queues = Queues::new().await;
    assert_eq!(queues.ok(&[]), "no rejected messages in cats-dlq\n");
    for n in 0..12 {
        queues.reject(&format!("cut-{n}.jpg"), "the file is truncated").await;
    }
    queues.reject("text.jpg", "the file is plain text").await;
    let text = queues.ok(&[]);
    assert!(text.starts_with("13 rejected messages in cats-dlq\n\n  COUNT  NEWEST  PHOTO"), "{text}");
    let lines: Vec<&str> = text.lines().skip(3).take(2).collect();
    assert!(lines[0].starts_with("  12 ") && lines[0].ends_with("make   the file is truncated"), "{text}");
    assert!(lines[1].contains("s3://photos/text.jpg  ") && lines[1].ends_with("the file is plain text"), "{text}");

    // Listing leaves everything where it was, and visible.
    let json: Value = serde_json::from_str(&queues.ok(&["list", "--json"])).unwrap();
    assert_eq!((json["messages"].as_array().unwrap().len(), json["groups"][0]["count"].as_u64()), (13, Some(12)));
    let one = json["messages"].as_array().unwrap().iter().find(|one| one["error"] == "the file is plain text").unwrap();
    let id = one["id"].as_str().unwrap();
    let shown = queues.ok(&["show", id]);
    assert!(shown.contains("attribute trace = t-1\n") && shown.contains("worker   host/1\n"), "{shown}");

    assert_eq!(queues.ok(&["retry", "--only", "PLAIN text"]), "put 1 message back on cats\n");
    let own = vec!["trace".to_owned()];
    assert_eq!(
        queues.messages(&queues.queue).await,
        [("text.jpg".to_owned(), own)],
        "its own attributes and no others"
    );
    let rest = queues.messages(&queues.dlq).await;
    assert_eq!(rest.len(), 12, "the others stay, and are visible");
}

#[tokio::test]
async fn all_are_moved_by_sqs_or_deleted() {
    let queues = Queues::new().await;
    for n in 0..12 {
        queues.reject(&format!("cut-{n}.jpg"), "the file is truncated").await;
    }
    assert_eq!(queues.ok(&["retry", "--all"]), "put 12 messages back on cats\n");
    assert_eq!(queues.messages(&queues.queue).await.len(), 12);
    queues.reject("a.jpg", "no").await;
    let output = queues.thumb(&["purge"]);
    assert_ne!(output.code, Some(0));
    assert!(output.stderr.contains("use `thumb dlq purge --yes` to skip the question"));
    assert_eq!(queues.ok(&["purge", "--yes"]), "deleted every message of cats-dlq; SQS takes up to a minute\n");
    assert_eq!(queues.messages(&queues.dlq).await, []);
    let again = queues.thumb(&["purge", "--yes"]);
    assert!(again.stderr.contains("AWS is throttling requests; try again in a minute"), "{again:?}");
}

#[tokio::test]
async fn what_to_retry_must_be_said_and_found() {
    let queues = Queues::new().await;
    queues.reject("a.jpg", "no").await;
    for (words, why) in [
        (&["retry"][..], "say which messages: --all, --only TEXT, or their IDs"),
        (&["retry", "--all", "--only", "x"], "say which messages"),
        (&["retry", "--only", "yes"], "no rejected message contains \"yes\""),
        (&["retry", "ffff-ffff"], "no rejected message has an ID that begins with \"ffff-ffff\""),
        (&["show", "x"], "no rejected message has an ID that begins with \"x\""),
    ] {
        let output = queues.thumb(words);
        assert_ne!(output.code, Some(0), "{words:?}");
        assert!(output.stderr.contains(why), "{words:?}: {output:?}");
    }
    assert_eq!(queues.messages(&queues.dlq).await.len(), 1, "nothing was moved");
}
