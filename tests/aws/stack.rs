//! The stack under test: its thumb.toml, `thumb` as a process, its photographs, and how all of it goes away again.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use aws_sdk_ec2::types::Filter;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketLocationConstraint, CreateBucketConfiguration, Event, NotificationConfiguration, QueueConfiguration,
};
use aws_sdk_sqs::types::QueueAttributeName;
use thumb::aws::Clients;
use tokio::process::{Child, Command};

use crate::account::Account;

/// What every stack of this test is called, before its random part.
pub const PREFIX: &str = "thumb-contract-";
/// `thumb` may take this long: an apply waits for a boot.
const MAX_COMMAND: Duration = Duration::from_secs(15 * 60);
/// From a request to its thumbnail, a booting worker between them.
const MAX_WAIT: Duration = Duration::from_secs(8 * 60);
const POLL: Duration = Duration::from_secs(2);
/// SQS needs up to a minute until every read shows new attributes (API SetQueueAttributes).
const MAX_SETTLE: Duration = Duration::from_secs(90);
/// Times that `destroy` is run before what is left is reported.
const MAX_DESTROYS: usize = 3;
/// Rounds of a thousand objects that emptying a source bucket takes at most.
const MAX_EMPTYING: usize = 10;

pub struct Stack {
    pub name: String,
    pub source: String,
    /// In the other region.
    pub far_source: String,
    pub thumbnails: String,
    code: String,
    instance: BTreeMap<&'static str, String>,
    dir: tempfile::TempDir,
    env: Vec<(&'static str, String)>,
    /// A worker on this machine, where instances do not boot.
    stand_in: Option<Child>,
    emulator: bool,
}

/// A photograph in a source bucket.
pub struct Photo {
    pub bucket: String,
    key: String,
}

impl Photo {
    pub fn new(bucket: &str, key: &str) -> Self {
        Self { bucket: bucket.to_owned(), key: key.to_owned() }
    }

    /// The key of its thumbnail, by the stack's template.
    pub fn thumbnail(&self, width: u32, height: u32) -> String {
        let key = self.key.strip_suffix(".jpg").unwrap_or(&self.key);
        format!("{}/{key}-{width}x{height}.jpg", self.bucket)
    }
}

impl Stack {
    pub fn new(account: &Account) -> Self {
        let random: String = std::iter::repeat_with(fastrand::lowercase).take(8).collect();
        Self::named(account, format!("{PREFIX}{random}"))
    }

    pub fn named(account: &Account, name: String) -> Self {
        let stack = Self {
            source: format!("{name}-source"),
            far_source: format!("{name}-far-source"),
            thumbnails: format!("{name}-thumbnails-{}", account.id),
            code: format!("{name}-code-{}", account.id),
            instance: BTreeMap::from([("type", "\"t3.micro\"".to_owned()), ("count", "1".to_owned())]),
            dir: tempfile::tempdir().unwrap(),
            env: vec![("AWS_REGION", account.clients.region.clone())],
            stand_in: None,
            emulator: account.is_emulator(),
            name,
        };
        stack.write_toml();
        stack
    }

    /// Changes a key of `[instance]`.
    pub fn set(&mut self, key: &'static str, value: &str) {
        self.instance.insert(key, value.to_owned());
        self.write_toml();
    }

    fn write_toml(&self) {
        let Self { name, source, far_source, .. } = self;
        let mut instance: String = self.instance.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        for (key, variable) in [("image", "THUMB_AWS_IMAGE"), ("binary", "THUMB_AWS_BINARY")] {
            if let Ok(value) = std::env::var(variable) {
                instance.push_str(&format!("{key} = {value:?}\n"));
            }
        }
        let toml = format!(
            "name = {name:?}\n[buckets]\nsources = [{source:?}, {far_source:?}]\n[instance]\n{instance}[thumbnail]\n\
             key = \"{{bucket}}/{{dir}}{{stem}}-{{width}}x{{height}}.jpg\"\nsizes = [\"64x64\"]\n\
             [tags]\npurpose = \"contract test\"\n"
        );
        std::fs::write(self.dir.path().join("thumb.toml"), toml).unwrap();
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_thumb"));
        command.args(words).envs(self.env.iter().cloned()).current_dir(self.dir.path()).stdin(Stdio::null());
        command.kill_on_drop(true);
        command
    }

    /// Runs `thumb`, which must succeed; what it printed.
    pub async fn thumb(&self, words: &[&str]) -> String {
        let (code, stdout, stderr) = self.run(words).await;
        assert_eq!(code, Some(0), "thumb {words:?}:\n{stdout}{stderr}");
        stdout
    }

    async fn run(&self, words: &[&str]) -> (Option<i32>, String, String) {
        let output = tokio::time::timeout(MAX_COMMAND, self.command(words).output()).await;
        let output = output.unwrap_or_else(|_| panic!("thumb {words:?} took more than {MAX_COMMAND:?}")).unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }

    /// Applies, and waits for the workers; on an emulator, starts or stops the one here.
    pub async fn apply(&mut self) {
        if !self.emulator {
            self.thumb(&["apply", "--yes", "--wait"]).await;
            return;
        }
        self.thumb(&["apply", "--yes", "--no-wait"]).await;
        let wanted = self.instance["count"] != "0";
        if wanted && self.stand_in.is_none() {
            let worker = self.command(&["work"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
            self.stand_in = Some(worker.unwrap());
        } else if !wanted {
            self.stop_stand_in().await;
        }
    }

    async fn stop_stand_in(&mut self) {
        if let Some(mut worker) = self.stand_in.take() {
            worker.kill().await.unwrap();
        }
    }

    pub async fn plan_expects(&self, code: i32, sentence: &str) {
        let (found, stdout, stderr) = self.run(&["plan", "--detailed-exitcode"]).await;
        assert_eq!(found, Some(code), "{stdout}{stderr}");
        assert!(stdout.contains(sentence), "{stdout}{stderr}");
    }

    /// A plan without changes, once every read shows what was just set.
    pub async fn plan_is_empty(&self) {
        let began = Instant::now();
        loop {
            let (code, stdout, stderr) = self.run(&["plan", "--detailed-exitcode"]).await;
            if code == Some(0) {
                return;
            }
            assert!(began.elapsed() < MAX_SETTLE, "not empty:\n{stdout}{stderr}");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Creates the source buckets and uploads the photographs of the examples, one of them to the other region.
    pub async fn make_sources(&self, account: &Account) {
        create_bucket(&account.clients, &self.source).await;
        create_bucket(&account.far, &self.far_source).await;
        for photo in self.photos() {
            let file = photo.key.rsplit('/').next().unwrap_or_default().to_owned();
            self.upload(account, &photo, &file).await;
        }
    }

    /// Those that every round of requests is about.
    pub fn photos(&self) -> Vec<Photo> {
        let here =
            ["life.jpg", "picos.jpg", "sunset.jpg"].map(|file| Photo::new(&self.source, &format!("2026/{file}")));
        here.into_iter().chain([Photo::new(&self.far_source, "far/friends.jpg")]).collect()
    }

    /// Uploads a photograph of the examples; its ETag.
    pub async fn upload(&self, account: &Account, photo: &Photo, file: &str) -> String {
        let bytes = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/photos").join(file)).unwrap();
        let clients = if photo.bucket == self.far_source { &account.far } else { &account.clients };
        let call = clients.s3.put_object().bucket(&photo.bucket).key(&photo.key).body(ByteStream::from(bytes));
        call.send().await.unwrap().e_tag.unwrap_or_default().trim_matches('"').to_owned()
    }

    /// Until everyone may read a thumbnail, without credentials, as a JPEG.
    pub async fn wait_for_thumbnail(&self, account: &Account, key: &str) {
        let url = match &account.endpoint {
            Some(endpoint) => format!("{endpoint}/{}/{}", self.thumbnails, encoded(key)),
            None => {
                format!("https://{}.s3.{}.amazonaws.com/{}", self.thumbnails, account.clients.region, encoded(key))
            }
        };
        let began = Instant::now();
        loop {
            // curl is on every machine that has git; the SDK signs whatever it sends.
            let curl = Command::new("curl")
                .args(["-sS", "-o", "/dev/null", "-m", "30", "-w", "%{http_code} %{content_type}", &url])
                .output()
                .await
                .expect("curl");
            let answer = String::from_utf8_lossy(&curl.stdout).into_owned();
            if answer == "200 image/jpeg" {
                return;
            }
            assert!(began.elapsed() < MAX_WAIT, "{url} still answers {answer:?}");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Until a thumbnail says that it was made from the source with this ETag.
    pub async fn wait_for_source_etag(&self, account: &Account, key: &str, etag: &str) {
        let began = Instant::now();
        loop {
            let head = account.clients.s3.head_object().bucket(&self.thumbnails).key(key).send().await;
            let made_from = head.ok().and_then(|head| head.metadata?.get("thumb-source-etag").cloned());
            if made_from.as_deref() == Some(etag) {
                return;
            }
            assert!(began.elapsed() < MAX_WAIT, "{key} was made from {made_from:?}, not from {etag}");
            tokio::time::sleep(POLL).await;
        }
    }

    async fn url(&self, account: &Account, queue: &str) -> String {
        let answer = account.clients.sqs.get_queue_url().queue_name(queue).send().await.unwrap();
        answer.queue_url.unwrap_or_default()
    }

    pub async fn send(&self, account: &Account, body: &str) {
        let url = self.url(account, &self.name).await;
        account.clients.sqs.send_message().queue_url(url).message_body(body).send().await.unwrap();
    }

    /// Until the dead-letter queue holds a message for each of these words in its reason.
    pub async fn wait_for_dead_letters(&self, account: &Account, words: &[&str]) {
        let url = self.url(account, &format!("{}-dlq", self.name)).await;
        let mut reasons: Vec<String> = Vec::new();
        let began = Instant::now();
        while !words.iter().all(|word| reasons.iter().any(|reason| reason.contains(word))) {
            assert!(began.elapsed() < MAX_WAIT, "the dead-letter queue has {reasons:?}, wanted {words:?}");
            let call = account.clients.sqs.receive_message().queue_url(&url).max_number_of_messages(10);
            let answer = call.message_attribute_names("All").wait_time_seconds(5).send().await.unwrap();
            reasons.extend(answer.messages.unwrap_or_default().into_iter().filter_map(|message| {
                message.message_attributes?.get("thumb-error")?.string_value().map(str::to_owned)
            }));
        }
    }

    /// Until there is a worker's report.
    pub async fn wait_for_report(&self, account: &Account) {
        let began = Instant::now();
        loop {
            let call = account.clients.s3.list_objects_v2().bucket(&self.code).prefix("workers/");
            if call.send().await.is_ok_and(|listed| !listed.contents().is_empty()) {
                return;
            }
            assert!(began.elapsed() < MAX_WAIT, "no worker has reported");
            tokio::time::sleep(POLL).await;
        }
    }

    /// What examples/profile-pictures.toml tells its reader to do: the queue's policy, and the bucket's notification.
    pub async fn connect_events(&self, account: &Account) {
        let Clients { sqs, s3, region, .. } = &account.clients;
        let url = self.url(account, &self.name).await;
        let queue = format!("arn:aws:sqs:{region}:{}:{}", account.id, self.name);
        let policy = serde_json::json!({ "Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": { "Service": "s3.amazonaws.com" }, "Action": "sqs:SendMessage",
            "Resource": queue,
            "Condition": {
                "ArnEquals": { "aws:SourceArn": format!("arn:aws:s3:::{}", self.source) },
                "StringEquals": { "aws:SourceAccount": account.id },
            },
        }] });
        let call = sqs.set_queue_attributes().queue_url(url).attributes(QueueAttributeName::Policy, policy.to_string());
        call.send().await.unwrap();
        let rule = QueueConfiguration::builder().queue_arn(queue).events(Event::from("s3:ObjectCreated:*"));
        let rules = NotificationConfiguration::builder().queue_configurations(rule.build().unwrap()).build();
        // S3 checks the policy, which takes a moment to reach it.
        let began = Instant::now();
        loop {
            let call = s3.put_bucket_notification_configuration().bucket(&self.source);
            match call.notification_configuration(rules.clone()).send().await {
                Ok(_) => return,
                Err(error) => assert!(began.elapsed() < MAX_SETTLE, "{error:?}"),
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// IDs of the stack's instances that are not terminated.
    pub async fn instances(&self, account: &Account) -> Vec<String> {
        let filter = |name: &str, values: &[&str]| {
            Filter::builder().name(name).set_values(Some(values.iter().map(|&v| v.to_owned()).collect())).build()
        };
        let call = account.clients.ec2.describe_instances().filters(filter("tag:thumb:stack", &[&self.name]));
        let alive = ["pending", "running", "stopping", "stopped"];
        let answer = call.filters(filter("instance-state-name", &alive)).send().await.unwrap();
        let instances = answer.reservations().iter().flat_map(|reservation| reservation.instances());
        instances.filter_map(|instance| instance.instance_id.clone()).collect()
    }

    /// The image that the stack's instance was launched from.
    pub async fn image(&self, account: &Account) -> String {
        let id = self.instances(account).await.pop().expect("an instance");
        let answer = account.clients.ec2.describe_instances().instance_ids(id).send().await.unwrap();
        answer.reservations()[0].instances()[0].image_id.clone().expect("its image")
    }

    /// S3 takes a key that DeleteObjects' XML cannot name.
    pub async fn put_control_character(&self, account: &Account) {
        let call = account.clients.s3.put_object().bucket(&self.thumbnails).key("control-\u{10}.jpg");
        call.body(ByteStream::from_static(b"x")).send().await.unwrap();
    }

    /// What there still is of the stack, the source buckets not counted.
    pub async fn leftovers(&self, account: &Account) -> Vec<String> {
        let Clients { sqs, s3, ec2, iam, .. } = &account.clients;
        let mut left = self.instances(account).await;
        let queues = sqs.list_queues().queue_name_prefix(&self.name).send().await.unwrap();
        left.extend(queues.queue_urls.unwrap_or_default());
        for bucket in [&self.thumbnails, &self.code] {
            if s3.head_bucket().bucket(bucket).send().await.is_ok() {
                left.push(format!("s3://{bucket}"));
            }
        }
        let worker = format!("{}-worker", self.name);
        if iam.get_role().role_name(&worker).send().await.is_ok() {
            left.push(format!("role {worker}"));
        }
        if iam.get_instance_profile().instance_profile_name(&worker).send().await.is_ok() {
            left.push(format!("instance profile {worker}"));
        }
        let by_name = Filter::builder().name("group-name").values(&worker).build();
        let groups = ec2.describe_security_groups().filters(by_name).send().await.unwrap();
        left.extend(groups.security_groups().iter().filter_map(|group| group.group_id.clone()));
        left
    }

    /// Deletes everything, the source buckets last. `Err`: what is left.
    pub async fn clean_up(&mut self, account: &Account) -> Result<(), String> {
        self.stop_stand_in().await;
        let mut told = String::new();
        for _ in 0..MAX_DESTROYS {
            let (code, stdout, stderr) = self.run(&["destroy", "--yes"]).await;
            if code == Some(0) && self.leftovers(account).await.is_empty() {
                told.clear();
                break;
            }
            told = format!("{stdout}{stderr}");
        }
        if !told.is_empty() {
            return Err(format!("the stack {}: {told}", self.name));
        }
        delete_bucket(&account.far, &self.far_source).await?;
        delete_bucket(&account.clients, &self.source).await
    }
}

/// In a path, every byte but letters, digits and `-_.~/` encoded (RFC 3986).
fn encoded(key: &str) -> String {
    const KEPT: &percent_encoding::AsciiSet =
        &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');
    percent_encoding::utf8_percent_encode(key, KEPT).to_string()
}

pub async fn create_bucket(clients: &Clients, bucket: &str) {
    let constraint = (clients.region != "us-east-1").then(|| {
        let location = BucketLocationConstraint::from(clients.region.as_str());
        CreateBucketConfiguration::builder().location_constraint(location).build()
    });
    let call = clients.s3.create_bucket().bucket(bucket).set_create_bucket_configuration(constraint);
    call.send().await.unwrap();
}

/// Empties and deletes a bucket without versions; fine if there is none.
pub async fn delete_bucket(clients: &Clients, bucket: &str) -> Result<(), String> {
    for _ in 0..MAX_EMPTYING {
        let Ok(listed) = clients.s3.list_objects_v2().bucket(bucket).send().await else { return Ok(()) };
        if listed.contents().is_empty() {
            break;
        }
        for key in listed.contents().iter().filter_map(|object| object.key()) {
            let deleted = clients.s3.delete_object().bucket(bucket).key(key).send().await;
            deleted.map_err(|error| format!("s3://{bucket}/{key}: {error:?}"))?;
        }
    }
    let deleted = clients.s3.delete_bucket().bucket(bucket).send().await;
    deleted.map(drop).map_err(|error| format!("s3://{bucket}: {error:?}"))
}
