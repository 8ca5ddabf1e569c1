//! Proves a trigger: puts a small picture under its prefix, waits for the thumbnails, and takes both away again. Where none come, says
//! how far the event came.

use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_sqs::types::QueueAttributeName;
use tokio::time::Instant;

use super::Check;
use crate::aws::{CallError, CallResult, Clients, RegionalS3, everyone_can_read, s3_config};
use crate::config::{Access, Config, Trigger};
use crate::dlq;
use crate::request::{Request, Source, Wanted};
use crate::text::plural;

/// A grey JPEG of 16 by 16 pixels.
const PICTURE: &[u8] = include_bytes!("probe.jpg");
/// Between two looks at the thumbnails.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// What to prove.
#[derive(Clone, Copy, Debug)]
pub struct Probe<'a> {
    pub trigger: &'a Trigger,
    pub account: &'a str,
    pub queue_url: &'a str,
    pub dlq_url: &'a str,
    /// How long the thumbnails may take.
    pub wait: Duration,
}

/// What came of it: the checks, and what could not be taken away.
#[derive(Debug)]
pub struct Proof {
    pub checks: Vec<Check>,
    pub left: Vec<String>,
    pub interrupted: bool,
}

/// Proves one trigger. Whatever happens, also when `interrupted` is ready, picture and thumbnails are taken away.
pub async fn prove(
    clients: &Clients,
    config: &Config,
    probe: &Probe<'_>,
    interrupted: impl Future<Output = ()>,
) -> Proof {
    let Trigger { bucket, prefix, suffix, .. } = probe.trigger;
    let ending = if suffix.is_empty() { ".jpg" } else { suffix };
    let key = format!("{prefix}thumb-doctor-{:016x}{ending}", fastrand::u64(..));
    let name = format!("upload to {bucket}");
    let s3 = RegionalS3::new(s3_config(&clients.sdk));
    let put = |s3: aws_sdk_s3::Client| {
        let put = s3.put_object().bucket(bucket).key(&key).content_type("image/jpeg");
        put.body(ByteStream::from_static(PICTURE)).send()
    };
    if let Err(error) = s3.call(bucket, put).await {
        let error = CallError::new("s3:PutObject", error);
        let check =
            Check::failed(name, format!("cannot put a picture there: {error}"), "ask for s3:PutObject on the bucket");
        return Proof { checks: vec![check], left: Vec::new(), interrupted: false };
    }
    let began = Instant::now();
    let thumbnails = keys(config, probe.trigger, &key);
    let bucket_of_thumbnails = config.thumbnails_bucket(probe.account);
    let waited = tokio::select! {
        biased;
        () = interrupted => Waited::Interrupted,
        all = all_there(clients, &bucket_of_thumbnails, &thumbnails, probe) => all,
    };
    let interrupted = matches!(waited, Waited::Interrupted);
    let checks = match waited {
        Waited::Interrupted => vec![Check::not_checked(name, "interrupted")],
        Waited::InVain => vec![how_far(clients, &name, &key, probe).await],
        Waited::AllThere => {
            let (count, seconds) = (thumbnails.len(), began.elapsed().as_secs_f64());
            let noun = plural(count as u64, "thumbnail");
            vec![
                Check::ok(name, format!("{count} {noun} after {seconds:.1} s")),
                public(clients, config, &bucket_of_thumbnails, &thumbnails[0]).await,
            ]
        }
    };
    let mut left = Vec::new();
    let delete = |s3: aws_sdk_s3::Client| s3.delete_object().bucket(bucket).key(&key).send();
    if s3.call(bucket, delete).await.is_err() {
        left.push(format!("s3://{bucket}/{key}"));
    }
    for key in thumbnails {
        let delete = clients.s3.delete_object().bucket(&bucket_of_thumbnails).key(&key);
        if delete.expected_bucket_owner(probe.account).send().await.is_err() {
            left.push(format!("s3://{bucket_of_thumbnails}/{key}"));
        }
    }
    Proof { checks, left, interrupted }
}

/// The thumbnails' keys, as the worker names them. Keys with a version need the picture's.
fn keys(config: &Config, trigger: &Trigger, key: &str) -> Vec<String> {
    let sizes = if trigger.sizes.is_empty() { &config.thumbnail.sizes } else { &trigger.sizes };
    let wanted = Wanted { sizes: sizes.clone(), ..Wanted::default() };
    let Ok(source) = Source::object(&*trigger.bucket, key) else { return Vec::new() };
    // S3's ETag of a small object is its MD5 (API Object, "ETag"), unless a KMS key encrypts it.
    let targets = Request { source, wanted }.targets(&config.thumbnail, PICTURE_VERSION).unwrap_or_default();
    targets.into_iter().map(|target| target.key).collect()
}

/// The version of [`PICTURE`] in keys: the start of its MD5.
const PICTURE_VERSION: &str = "eb949a9b0022974f";

/// How the wait for the thumbnails ended.
enum Waited {
    AllThere,
    InVain,
    Interrupted,
}

/// Waits until all thumbnails are there.
async fn all_there(clients: &Clients, bucket: &str, keys: &[String], probe: &Probe<'_>) -> Waited {
    let deadline = Instant::now() + probe.wait;
    let mut missing: Vec<&String> = keys.iter().collect();
    loop {
        let mut still = Vec::new();
        for key in missing {
            let head = clients.s3.head_object().bucket(bucket).key(key).expected_bucket_owner(probe.account);
            if head.send().await.is_err() {
                still.push(key);
            }
        }
        if still.is_empty() && !keys.is_empty() {
            return Waited::AllThere;
        }
        if Instant::now() >= deadline {
            return Waited::InVain;
        }
        missing = still;
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Where the event is, or the message that came of it.
async fn how_far(clients: &Clients, name: &str, key: &str, probe: &Probe<'_>) -> Check {
    let waited = probe.wait.as_secs();
    let read = dlq::read(clients, probe.dlq_url).await;
    if let Ok(read) = &read {
        dlq::release(clients, probe.dlq_url, &read.messages.iter().collect::<Vec<_>>()).await;
        if let Some(rejected) = read.messages.iter().find(|message| message.source().contains(key)) {
            let why = format!("a worker rejected it: {}: {}", rejected.reason.stage(), rejected.reason.error());
            return Check::failed(name, why, "`thumb dlq` shows what was rejected");
        }
    }
    let get = clients.sqs.get_queue_attributes().queue_url(probe.queue_url);
    let get = get.attribute_names(QueueAttributeName::All).send().await.action("sqs:GetQueueAttributes");
    let attributes = match get {
        Ok(out) => out.attributes.unwrap_or_default(),
        Err(error) => {
            let why = format!("no thumbnail came in {waited} s, and the queue cannot be looked at: {error}");
            return Check::failed(name, why, "ask for sqs:GetQueueAttributes on the queue");
        }
    };
    let count = |name: QueueAttributeName| attributes.get(&name).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let waits = count(QueueAttributeName::ApproximateNumberOfMessages);
    let in_flight = count(QueueAttributeName::ApproximateNumberOfMessagesNotVisible);
    match (waits, in_flight) {
        (0, 0) => Check::failed(
            name,
            format!("no event of it came to the queue in {waited} s"),
            "S3 needs a minute after a change of notifications; then run `thumb apply`, which mends rule and policy",
        ),
        (0, _) => Check::failed(
            name,
            format!("its message is being worked on, {waited} s after the upload"),
            "give it more time with --wait, or look at the worker's log",
        ),
        _ => Check::failed(
            name,
            format!("its message waits, with {waits} in the queue, and no worker took it in {waited} s"),
            "start a worker: a group without instances takes minutes (--wait 20m), numbered ones are in `thumb plan`. The message \
             stays, and will be rejected, because its picture is gone",
        ),
    }
}

/// Whether everyone can read a thumbnail, where that is wanted.
async fn public(clients: &Clients, config: &Config, bucket: &str, key: &str) -> Check {
    const NAME: &str = "public access";
    if config.buckets.access == Access::Private {
        return Check::not_checked(NAME, "thumbnails are private");
    }
    match everyone_can_read(clients, bucket, key).await {
        Ok(true) => Check::ok(NAME, "everyone can read the thumbnail"),
        Ok(false) => Check::failed(
            NAME,
            format!("not everyone can read the thumbnail, although `access` is {}", config.buckets.access),
            "run `thumb apply`; the account's own Block Public Access (S3 console) may forbid it",
        ),
        Err(error) => Check::not_checked(NAME, error.to_string()),
    }
}
