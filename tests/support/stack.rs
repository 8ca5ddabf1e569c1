//! A stack in the emulator, and `thumb` as a process beside it.

#![allow(dead_code, reason = "a test uses what it needs of it")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_sqs::types::QueueAttributeName;
use thumb::aws::Clients;

use crate::moto::{ACCOUNT, Moto, REGION};

/// A stack of its own, by default in the emulator that all tests share.
pub struct Stack {
    name: String,
    pub clients: Clients,
    dir: tempfile::TempDir,
    /// A strict emulator of its own.
    strict: Option<Moto>,
}

pub fn moto() -> &'static Moto {
    static MOTO: OnceLock<Moto> = OnceLock::new();
    MOTO.get_or_init(Moto::start)
}

/// Clients of an emulator.
async fn clients(moto: &Moto) -> Clients {
    let sdk = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .endpoint_url(moto.endpoint())
        .region(Region::new(REGION))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"));
    Clients::from_sdk(sdk.load().await).unwrap()
}

pub fn photo(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/photos").join(name)).unwrap()
}

impl Stack {
    /// A queue, its dead-letter queue, and two buckets. With these lines in thumb.toml beside its name and its sources.
    pub async fn new(name: &str, toml: &str) -> Self {
        let stack = Self::nothing(name, toml).await;
        stack.create_queues(5).await;
        for bucket in [stack.photos(), stack.thumbnails()] {
            stack.clients.s3.create_bucket().bucket(bucket).send().await.unwrap();
        }
        stack
    }

    /// Declared in thumb.toml, but not created.
    pub async fn nothing(name: &str, toml: &str) -> Self {
        let sources = if toml.contains("buckets.sources") {
            String::new()
        } else {
            format!("buckets.sources = [\"{name}-photos\"]")
        };
        Self::in_emulator(name, &format!("name = \"{name}\"\n{sources}\n{toml}"), None).await
    }

    /// Declared in thumb.toml, whose text this is, but not created, in a strict emulator with these settings.
    pub async fn strict(name: &str, toml: &str, settings: &[&str]) -> Self {
        Self::in_emulator(name, toml, Some(Moto::start_strict(settings))).await
    }

    async fn in_emulator(name: &str, toml: &str, strict: Option<Moto>) -> Self {
        let clients = clients(strict.as_ref().unwrap_or_else(|| moto())).await;
        let stack = Self { name: name.to_owned(), clients, dir: tempfile::tempdir().unwrap(), strict };
        stack.declare(toml);
        stack
    }

    /// The text of thumb.toml from now on.
    pub fn declare(&self, toml: &str) {
        std::fs::write(self.toml(), toml).unwrap();
    }

    /// Its queue and its dead-letter queue; their URLs.
    pub async fn create_queues(&self, max_receives: u32) -> (String, String) {
        let Self { name, clients: Clients { sqs, .. }, .. } = self;
        let dlq = sqs.create_queue().queue_name(format!("{name}-dlq")).send().await.unwrap().queue_url.unwrap();
        let arn = sqs.get_queue_attributes().queue_url(&dlq).attribute_names(QueueAttributeName::QueueArn);
        let arn = arn.send().await.unwrap().attributes.unwrap().remove(&QueueAttributeName::QueueArn).unwrap();
        let redrive = format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":"{max_receives}"}}"#);
        let queue = sqs.create_queue().queue_name(name).attributes(QueueAttributeName::RedrivePolicy, redrive);
        (queue.send().await.unwrap().queue_url.unwrap(), dlq)
    }

    /// Where its thumb.toml is.
    pub fn toml(&self) -> std::path::PathBuf {
        self.dir.path().join("thumb.toml")
    }

    pub fn photos(&self) -> String {
        format!("{}-photos", self.name)
    }

    pub fn thumbnails(&self) -> String {
        format!("{}-thumbnails-{ACCOUNT}", self.name)
    }

    pub async fn put(&self, key: &str, bytes: Vec<u8>) {
        let call = self.clients.s3.put_object().bucket(self.photos()).key(key);
        call.body(ByteStream::from(bytes)).send().await.unwrap();
    }

    pub async fn send(&self, body: &str) {
        let url = self.url(&self.name).await;
        self.clients.sqs.send_message().queue_url(url).message_body(body).send().await.unwrap();
    }

    pub async fn url(&self, queue: &str) -> String {
        self.clients.sqs.get_queue_url().queue_name(queue).send().await.unwrap().queue_url.unwrap()
    }

    /// How many messages a queue holds, in whatever state.
    pub async fn depth(&self, queue: &str) -> u32 {
        let call = self.clients.sqs.get_queue_attributes().queue_url(self.url(queue).await);
        let attributes = call.attribute_names(QueueAttributeName::All).send().await.unwrap().attributes.unwrap();
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        names.iter().map(|name| attributes[name].parse::<u32>().unwrap()).sum()
    }

    /// The body, stage and reason of every message in the dead-letter queue, sorted.
    pub async fn dlq(&self) -> Vec<String> {
        let url = self.url(&format!("{}-dlq", self.name)).await;
        let mut dead_letters = Vec::new();
        loop {
            let call = self.clients.sqs.receive_message().queue_url(&url).max_number_of_messages(10);
            let messages = call.message_attribute_names("All").send().await.unwrap().messages.unwrap_or_default();
            if messages.is_empty() {
                dead_letters.sort();
                return dead_letters;
            }
            for message in messages {
                let attributes = message.message_attributes.unwrap_or_default();
                let text = |name: &str| attributes.get(name).and_then(|value| value.string_value()).unwrap_or("none");
                assert!(text("thumb-worker").contains('/'), "{attributes:?}");
                let (stage, error) = (text("thumb-stage"), text("thumb-error"));
                dead_letters.push(format!("{}\n    {stage}: {error}", message.body.unwrap_or_default()));
            }
        }
    }

    pub fn command(&self, words: &[&str]) -> Command {
        let moto = self.strict.as_ref().unwrap_or_else(|| moto());
        let mut command = moto.command(env!("CARGO_BIN_EXE_thumb"));
        command.current_dir(self.dir.path()).args(words);
        command
    }

    pub fn thumb(&self, words: &[&str]) -> CommandOutput {
        CommandOutput::new(self.command(words).output().unwrap())
    }

    pub fn thumb_with_stdin(&self, words: &[&str], input: &[u8]) -> CommandOutput {
        let mut command = self.command(words);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        CommandOutput::new(child.wait_with_output().unwrap())
    }
}

/// What a process output, and its exit code.
#[derive(Debug)]
pub struct CommandOutput {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl CommandOutput {
    pub fn new(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    #[track_caller]
    pub fn failed(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }
}
