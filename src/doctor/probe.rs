//! Proves a trigger: puts a small picture under its prefix, waits for the thumbnails, and takes both away again. Where none come, says
//! how far the event came.

use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_sqs::types::QueueAttributeName;
use tokio::time::Instant;

use super::Check;
use crate::aws::{CallError, CallResult, Clients, Kind, RegionalS3, everyone_can_read, s3_config};
use crate::config::{Access, Config, Trigger};
use crate::dlq;
use crate::request::{Request, Source, Wanted};
use crate::text::plural;

/// A grey JPEG of 16 by 16 pixels.
const PICTURE: &[u8] = include_bytes!("probe.jpg");
/// The check whether everyone can read a thumbnail.
pub const PUBLIC: &str = "public access";
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
    /// Whether to look if everyone can read a thumbnail.
    pub look_public: bool,
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
    let thumbnails = match keys(config, probe.trigger, &key) {
        Ok(thumbnails) => thumbnails,
        Err(why) => return Proof::only(Check::not_checked(name, format!("nothing was uploaded: {why}"))),
    };
    let s3 = RegionalS3::new(s3_config(&clients.sdk));
    let put = |s3: aws_sdk_s3::Client| {
        let put = s3.put_object().bucket(bucket).key(&key).content_type("image/jpeg");
        put.body(ByteStream::from_static(PICTURE)).send()
    };
    if let Err(error) = s3.call(bucket, put).await {
        let error = CallError::new("s3:PutObject", error);
        let check =
            Check::failed(name, format!("cannot put a picture there: {error}"), "ask for s3:PutObject on the bucket");
        return Proof::only(check);
    }
    let began = Instant::now();
    let bucket_of_thumbnails = config.thumbnails_bucket(probe.account);
    let waited = tokio::select! {
        biased;
        () = interrupted => Waited::Interrupted,
        all = all_there(clients, &bucket_of_thumbnails, &thumbnails, probe) => all,
    };
    let interrupted = matches!(waited, Waited::Interrupted);
    let checks = match waited {
        Waited::Interrupted => vec![Check::not_checked(name, "interrupted")],
        Waited::NotSeen(error) => {
            vec![Check::not_checked(name, format!("cannot look for its thumbnails: {error}"))]
        }
        Waited::InVain => how_far(clients, &name, &key, probe).await,
        Waited::AllThere => {
            let (count, seconds) = (thumbnails.len(), began.elapsed().as_secs_f64());
            let noun = plural(count as u64, "thumbnail");
            let mut checks = vec![Check::ok(name, format!("{count} {noun} after {seconds:.1} s"))];
            if probe.look_public {
                checks.push(public(clients, config, &bucket_of_thumbnails, &thumbnails[0]).await);
            }
            checks
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

impl Proof {
    fn only(check: Check) -> Self {
        Self { checks: vec![check], left: Vec::new(), interrupted: false }
    }
}

/// The thumbnails' keys, as the worker names them. Keys with a version need the picture's.
///
/// # Errors
/// None are asked for, or they cannot be made.
fn keys(config: &Config, trigger: &Trigger, key: &str) -> Result<Vec<String>, String> {
    let sizes = if trigger.sizes.is_empty() { &config.thumbnail.sizes } else { &trigger.sizes };
    if sizes.is_empty() {
        return Err("neither the [[trigger]] nor [thumbnail] has `sizes`".to_owned());
    }
    let wanted = Wanted { sizes: sizes.clone(), ..Wanted::default() };
    let source = Source::object(&*trigger.bucket, key).map_err(|why| why.to_string())?;
    // S3's ETag of a small object is its MD5 (API Object, "ETag"), unless a KMS key encrypts it.
    let targets = Request { source, wanted }.targets(&config.thumbnail, PICTURE_VERSION);
    Ok(targets.map_err(|why| why.to_string())?.into_iter().map(|target| target.key).collect())
}

/// The version of [`PICTURE`] in keys: the start of its MD5.
const PICTURE_VERSION: &str = "eb949a9b0022974f";

/// How the wait for the thumbnails ended.
enum Waited {
    AllThere,
    InVain,
    /// Whether they are there is not known.
    NotSeen(CallError),
    Interrupted,
}

/// Waits until all thumbnails are there.
async fn all_there(clients: &Clients, bucket: &str, keys: &[String], probe: &Probe<'_>) -> Waited {
    let deadline = Instant::now() + probe.wait;
    let mut missing: Vec<&String> = keys.iter().collect();
    loop {
        let (mut still, mut unseen) = (Vec::new(), None);
        for key in missing {
            let head = clients.s3.head_object().bucket(bucket).key(key).expected_bucket_owner(probe.account);
            match head.send().await.action("s3:GetObject") {
                Ok(_) => {}
                Err(error) => {
                    still.push(key);
                    unseen = Some(error).filter(|error| error.kind != Kind::NotFound).or(unseen);
                }
            }
        }
        match (still.is_empty(), unseen) {
            (true, _) => return Waited::AllThere,
            // S3 answers with AccessDenied for an object that is not there yet, too, where the bucket may not be listed.
            (false, Some(error)) if Instant::now() >= deadline => return Waited::NotSeen(error),
            (false, None) if Instant::now() >= deadline => return Waited::InVain,
            (false, _) => {}
        }
        missing = still;
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Where the event is, or the message that came of it.
async fn how_far(clients: &Clients, name: &str, key: &str, probe: &Probe<'_>) -> Vec<Check> {
    const DEAD_LETTERS: &str = "dead letters";
    let mut checks = Vec::new();
    match dlq::read(clients, probe.dlq_url).await {
        Ok(read) => {
            dlq::release(clients, probe.dlq_url, &read.messages.iter().collect::<Vec<_>>()).await;
            if let Some(rejected) = read.messages.iter().find(|message| message.source().contains(key)) {
                let why = format!("a worker rejected it: {}: {}", rejected.reason.stage(), rejected.reason.error());
                return vec![Check::failed(name, why, "`thumb dlq` shows what was rejected")];
            }
            if read.more {
                let why = "there are more than can be read at once; its message may be among them";
                checks.push(Check::not_checked(DEAD_LETTERS, why));
            }
        }
        Err(error) => checks.push(Check::not_checked(DEAD_LETTERS, error.to_string())),
    }
    let get = clients.sqs.get_queue_attributes().queue_url(probe.queue_url);
    let get = get.attribute_names(QueueAttributeName::All).send().await.action("sqs:GetQueueAttributes");
    let waited = probe.wait.as_secs();
    let check = match get {
        Ok(out) => {
            let attributes = out.attributes.unwrap_or_default();
            let count = |name| attributes.get(&name).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
            let waiting = count(QueueAttributeName::ApproximateNumberOfMessages);
            let in_flight = count(QueueAttributeName::ApproximateNumberOfMessagesNotVisible);
            not_made(name, waited, waiting, in_flight)
        }
        Err(error) => {
            let why = format!("no thumbnail came in {waited} s, and the queue cannot be looked at: {error}");
            Check::failed(name, why, "ask for sqs:GetQueueAttributes on the queue")
        }
    };
    checks.insert(0, check);
    checks
}

/// What the queue's totals say of a thumbnail that did not come. Which messages they count is not known. Pure.
fn not_made(name: &str, waited_s: u64, waiting: u64, in_flight: u64) -> Check {
    let none = format!("no thumbnail came in {waited_s} s");
    match (waiting, in_flight) {
        (0, 0) => Check::failed(
            name,
            format!("{none}, and the queue is empty: its event did not come"),
            "S3 needs a minute after a change of notifications; then run `thumb apply`, which mends rule and policy",
        ),
        (0, _) => Check::failed(
            name,
            format!("{none}; {in_flight} {} being worked on, perhaps its own", are(in_flight)),
            "give it more time with --wait, or look at the worker's log",
        ),
        _ => Check::failed(
            name,
            format!("{none}; {waiting} {} waiting in the queue, perhaps its own", are(waiting)),
            "start a worker: a group without instances takes minutes (--wait 20m), numbered ones are in `thumb plan`. A message \
             of it stays, and will be rejected, because its picture is gone",
        ),
    }
}

/// "message is", "messages are".
fn are(count: u64) -> &'static str {
    if count == 1 { "message is" } else { "messages are" }
}

/// Whether everyone can read a thumbnail, where that is wanted.
async fn public(clients: &Clients, config: &Config, bucket: &str, key: &str) -> Check {
    if config.buckets.access == Access::Private {
        return Check::not_checked(PUBLIC, "thumbnails are private");
    }
    match everyone_can_read(clients, bucket, key).await {
        Ok(true) => Check::ok(PUBLIC, "everyone can read the thumbnail"),
        Ok(false) => Check::failed(
            PUBLIC,
            format!("not everyone can read the thumbnail, although `access` is {}", config.buckets.access),
            "run `thumb apply`; the account's own Block Public Access (S3 console) may forbid it",
        ),
        Err(error) => Check::not_checked(PUBLIC, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trigger(text: &str) -> (Config, Trigger) {
        let config = Config::parse(&format!("name = \"cats\"\n{text}[[trigger]]\nbucket = \"uploads\"\n"), "").unwrap();
        let trigger = config.triggers[0].clone();
        (config, trigger)
    }

    #[test]
    fn without_thumbnails_to_wait_for_nothing_is_uploaded() {
        let (config, one) = trigger("");
        assert_eq!(keys(&config, &one, "a.jpg"), Err("neither the [[trigger]] nor [thumbnail] has `sizes`".into()));
        let (config, one) = trigger("[thumbnail]\nsizes = [\"4x4\", \"8x\"]\n");
        assert_eq!(keys(&config, &one, "in/a.jpg"), Ok(vec!["in/a-4x4.jpg".into(), "in/a-8x.jpg".into()]));
        let why = keys(&config, &one, &"k".repeat(1_020)).unwrap_err();
        assert!(why.contains("S3 allows 1024"), "{why}");
    }

    #[test]
    fn the_queues_totals_are_not_taken_for_the_pictures_own_message() {
        let detail = |waiting, in_flight| not_made("upload", 180, waiting, in_flight).detail;
        assert_eq!(detail(0, 0), "no thumbnail came in 180 s, and the queue is empty: its event did not come");
        assert_eq!(detail(0, 1), "no thumbnail came in 180 s; 1 message is being worked on, perhaps its own");
        assert_eq!(detail(2, 3), "no thumbnail came in 180 s; 2 messages are waiting in the queue, perhaps its own");
    }
}
