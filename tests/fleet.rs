//! Everything together: uploads to a bucket trigger themselves, and a group of instances makes their thumbnails while its instances
//! are terminated one after the other. The emulator only pretends instances: a process of `thumb work` runs for each.
//!
//! By hand with more photographs, and a termination every so many seconds instead of every so many thumbnails:
//! `THUMB_FLEET_PHOTOS=500 THUMB_FLEET_TERMINATE_S=10 cargo test --release --test fleet -- --nocapture`.

#[path = "support/moto.rs"]
mod moto;

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_sdk_ec2::types::{Filter, InstanceStateName};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_sqs::types::QueueAttributeName;
use futures_util::StreamExt;
use moto::{Moto, REGION};
use thumb::aws::Clients;

const THUMB: &str = env!("CARGO_BIN_EXE_thumb");
const UPLOADS: &str = "profile-pictures-uploads";
const THUMBNAILS: &str = "profile-pictures-thumbnails-123456789012";
const SIZES: [&str; 3] = ["400x400", "128x128", "48x48"];
/// Instances of the group.
const FLEET: usize = 3;
/// Photographs, and thumbnails between two terminations.
const PHOTOS: usize = 60;
const THUMBNAILS_A_TERMINATION: usize = 30;
/// A bound on the whole, which takes seconds.
const PATIENCE: Duration = Duration::from_secs(1_200);
const POLL: Duration = Duration::from_millis(200);

/// What the emulator otherwise takes its time for, as AWS does.
const AT_ONCE: [&str; 16] = [
    "--set",
    "ec2-instance-states.pending=0",
    "--set",
    "ec2-instance-states.terminate=0",
    "--set",
    "ec2-security-group-in-use.seconds=0",
    "--set",
    "iam-instance-profile-propagation.seconds=0",
    "--set",
    "sqs-new-dead-letter-queue.seconds=0",
    "--set",
    "sqs-deleted-queue-reads.p=0",
    "--set",
    "autoscaling-group.seconds=0",
    "--set",
    "s3-create-bucket.seconds=0",
];

struct World {
    moto: Moto,
    clients: Clients,
    dir: tempfile::TempDir,
    /// The workers, by the instance that each plays.
    workers: BTreeMap<String, Child>,
    /// Those that were told to stop.
    stopping: Vec<Child>,
}

impl World {
    async fn new() -> Self {
        let moto = Moto::start_strict(&AT_ONCE);
        let sdk = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .endpoint_url(moto.endpoint())
            .region(Region::new(REGION))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"));
        let clients = Clients::from_sdk(sdk.load().await).unwrap();
        let dir = tempfile::tempdir().unwrap();
        // The example as it is, but with a group that does not sleep while the test looks at it.
        let example = include_str!("../examples/profile-pictures.toml");
        let text = example.replace("[scaling]\nmax = 10", &format!("[scaling]\nmin = {FLEET}\nmax = {FLEET}"));
        assert_ne!(text, example);
        std::fs::write(dir.path().join("thumb.toml"), text).unwrap();
        Self { moto, clients, dir, workers: BTreeMap::new(), stopping: Vec::new() }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.moto.command(THUMB);
        command.current_dir(self.dir.path()).args(words);
        command
    }

    #[track_caller]
    fn ok(&self, words: &[&str]) -> String {
        let output = self.command(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Plays the group's instances: a worker for each that runs, and a shutdown for each that does not any more.
    async fn play(&mut self) {
        let group = Filter::builder().name("tag:aws:autoscaling:groupName").values("profile-pictures-workers").build();
        let found = self.clients.ec2.describe_instances().filters(group).send().await.unwrap();
        let running: BTreeSet<String> = found
            .reservations()
            .iter()
            .flat_map(|reservation| reservation.instances())
            .filter(|instance| instance.state().and_then(|state| state.name()) == Some(&InstanceStateName::Running))
            .filter_map(|instance| instance.instance_id.clone())
            .collect();
        for id in &running {
            if !self.workers.contains_key(id) {
                let mut command = self.command(&["work", "--json"]);
                command.stdout(Stdio::null()).stderr(Stdio::null());
                self.workers.insert(id.clone(), command.spawn().unwrap());
            }
        }
        let gone: Vec<String> = self.workers.keys().filter(|id| !running.contains(*id)).cloned().collect();
        for id in gone {
            let worker = self.workers.remove(&id).unwrap();
            // As systemd does when the machine shuts down.
            let kill = Command::new("kill").args(["-TERM", &worker.id().to_string()]).status().unwrap();
            assert!(kill.success());
            self.stopping.push(worker);
        }
        self.stopping.retain_mut(|worker| worker.try_wait().unwrap().is_none());
    }

    /// Terminates an instance, as a Spot interruption does; the group replaces it.
    async fn terminate_one(&mut self, turn: usize) {
        let ids: Vec<&String> = self.workers.keys().collect();
        if let Some(id) = ids.get(turn % ids.len().max(1)) {
            self.clients.ec2.terminate_instances().instance_ids(*id).send().await.unwrap();
        }
    }

    async fn thumbnails(&self) -> BTreeSet<String> {
        let mut keys = BTreeSet::new();
        let mut pages = self.clients.s3.list_objects_v2().bucket(THUMBNAILS).into_paginator().send();
        while let Some(page) = pages.next().await {
            keys.extend(page.unwrap().contents().iter().filter_map(|object| object.key.clone()));
        }
        keys
    }

    /// Messages of a queue, in whatever state.
    async fn depth(&self, queue: &str) -> u32 {
        let url = self.clients.sqs.get_queue_url().queue_name(queue).send().await.unwrap().queue_url.unwrap();
        let get = self.clients.sqs.get_queue_attributes().queue_url(url).attribute_names(QueueAttributeName::All);
        let all = get.send().await.unwrap().attributes.unwrap();
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        names.iter().map(|name| all[name].parse::<u32>().unwrap()).sum()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for worker in self.workers.values_mut().chain(&mut self.stopping) {
            let _ = worker.kill();
            let _ = worker.wait();
        }
    }
}

fn from_environment(name: &str) -> Option<usize> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

fn keys(photo: &str) -> BTreeSet<String> {
    let stem = photo.strip_suffix(".jpg").unwrap_or(photo);
    SIZES.map(|size| format!("{stem}-{size}.jpg")).into()
}

#[tokio::test]
async fn uploads_become_thumbnails_while_instances_come_and_go() {
    let photos = from_environment("THUMB_FLEET_PHOTOS").unwrap_or(PHOTOS);
    let every_s = from_environment("THUMB_FLEET_TERMINATE_S");
    let mut world = World::new().await;
    world.clients.s3.create_bucket().bucket(UPLOADS).send().await.unwrap();
    world.ok(&["apply", "--yes", "--no-wait"]);
    assert!(world.ok(&["plan"]).contains("No changes."));

    let names =
        ["friends.jpg", "life.jpg", "picos.jpg", "sunset.jpg", "aitzgorri.jpg", "sunset-round.png", "life.heic"];
    let files = names.map(|name| {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/photos").join(name);
        (name, std::fs::read(path).unwrap())
    });
    let uploads: Vec<(String, &Vec<u8>)> = (0..photos)
        .map(|n| {
            let (name, bytes) = &files[n % files.len()];
            (format!("users/{n:04}/{name}"), bytes)
        })
        .collect();
    let expected: BTreeSet<String> = uploads.iter().flat_map(|(key, _)| keys(key)).collect();
    let began = Instant::now();
    let s3 = world.clients.s3.clone();
    let puts: Vec<_> = uploads
        .iter()
        .map(|(key, bytes)| s3.put_object().bucket(UPLOADS).key(key).body(ByteStream::from((*bytes).clone())).send())
        .collect();
    let uploading = tokio::spawn(futures_util::stream::iter(puts).buffer_unordered(8).for_each(async |put| {
        put.unwrap();
    }));
    let (mut terminated, mut last) = (0, Instant::now());
    loop {
        world.play().await;
        let there = world.thumbnails().await;
        if there.len() >= expected.len() && world.depth("profile-pictures").await == 0 {
            break;
        }
        let due = match every_s {
            Some(seconds) => last.elapsed() >= Duration::from_secs(seconds as u64),
            None => there.len() >= THUMBNAILS_A_TERMINATION * (terminated + 1),
        };
        if due {
            world.terminate_one(terminated).await;
            (terminated, last) = (terminated + 1, Instant::now());
        }
        assert!(began.elapsed() < PATIENCE, "{} of {} thumbnails", there.len(), expected.len());
        tokio::time::sleep(POLL).await;
    }
    uploading.await.unwrap();
    eprintln!("{photos} photographs in {:.0} s, {terminated} instances terminated", began.elapsed().as_secs_f64());
    assert_eq!(world.thumbnails().await, expected, "all, and no others");
    assert_eq!(world.depth("profile-pictures-dlq").await, 0, "nothing was rejected");
    assert!(terminated > 0);

    // A user deletes the picture, and another uploads one again under the same key.
    s3.delete_object().bucket(UPLOADS).key(&uploads[0].0).send().await.unwrap();
    let left: BTreeSet<String> = &expected - &keys(&uploads[0].0);
    let deadline = Instant::now() + PATIENCE;
    while world.thumbnails().await != left {
        world.play().await;
        assert!(Instant::now() < deadline, "the thumbnails of a deleted picture stay");
        tokio::time::sleep(POLL).await;
    }

    world.ok(&["destroy", "--yes"]);
    assert!(
        s3.get_bucket_notification_configuration()
            .bucket(UPLOADS)
            .send()
            .await
            .unwrap()
            .queue_configurations()
            .is_empty()
    );
    let objects = s3.list_objects_v2().bucket(UPLOADS).send().await.unwrap();
    assert_eq!(objects.contents().len(), photos.min(1_000) - 1, "the uploads are not the stack's");
}
