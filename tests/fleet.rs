//! Everything together: uploads to a bucket trigger themselves, and a group of instances makes their thumbnails while its instances
//! are terminated one after the other. The emulator only pretends instances: a process of `thumb work` runs for each.
//!
//! By hand with more photographs, and a termination every so many seconds instead of every so many thumbnails:
//! `THUMB_FLEET_PHOTOS=500 THUMB_FLEET_TERMINATE_S=10 cargo test --release --test fleet -- --nocapture`.

#[path = "support/moto.rs"]
mod moto;
#[path = "support/stack.rs"]
mod stack;

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_sdk_ec2::types::{Filter, InstanceStateName};
use aws_sdk_s3::primitives::ByteStream;
use futures_util::StreamExt;
use moto::AT_ONCE;
use stack::Stack;

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

struct World {
    stack: Stack,
    /// The workers, by the instance that each plays.
    workers: BTreeMap<String, Child>,
    /// Those that were told to stop.
    stopping: Vec<Child>,
}

impl World {
    async fn new() -> Self {
        // The example as it is, but with a group that does not sleep while the test looks at it.
        let example = include_str!("../examples/profile-pictures.toml");
        let text = example.replace("[scaling]\nmax = 10", &format!("[scaling]\nmin = {FLEET}\nmax = {FLEET}"));
        assert_ne!(text, example);
        let stack = Stack::strict("profile-pictures", &text, &AT_ONCE).await;
        Self { stack, workers: BTreeMap::new(), stopping: Vec::new() }
    }

    /// Plays the group's instances: a worker for each that runs, and a shutdown for each that does not any more.
    async fn play(&mut self) {
        let group = Filter::builder().name("tag:aws:autoscaling:groupName").values("profile-pictures-workers").build();
        let found = self.stack.clients.ec2.describe_instances().filters(group).send().await.unwrap();
        let running: BTreeSet<String> = found
            .reservations()
            .iter()
            .flat_map(|reservation| reservation.instances())
            .filter(|instance| instance.state().and_then(|state| state.name()) == Some(&InstanceStateName::Running))
            .filter_map(|instance| instance.instance_id.clone())
            .collect();
        for id in &running {
            if !self.workers.contains_key(id) {
                let mut command = self.stack.command(&["work", "--json"]);
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
            self.stack.clients.ec2.terminate_instances().instance_ids(*id).send().await.unwrap();
        }
    }

    async fn thumbnails(&self) -> BTreeSet<String> {
        let mut keys = BTreeSet::new();
        let mut pages = self.stack.clients.s3.list_objects_v2().bucket(THUMBNAILS).into_paginator().send();
        while let Some(page) = pages.next().await {
            keys.extend(page.unwrap().contents().iter().filter_map(|object| object.key.clone()));
        }
        keys
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
    world.stack.clients.s3.create_bucket().bucket(UPLOADS).send().await.unwrap();
    world.stack.thumb(&["apply", "--yes", "--no-wait"]).ok();
    assert!(world.stack.thumb(&["plan"]).ok().stdout.contains("No changes."));

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
    let s3 = world.stack.clients.s3.clone();
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
        if there.len() >= expected.len() && world.stack.depth("profile-pictures").await == 0 {
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
    assert_eq!(world.stack.depth("profile-pictures-dlq").await, 0, "nothing was rejected");
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

    world.stack.thumb(&["destroy", "--yes"]).ok();
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
