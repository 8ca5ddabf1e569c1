//! The contract with AWS: what only a real account can prove, step by step, against the account that the environment's
//! credentials are for. Run by hand; docs/aws.md says what it needs and what it costs.
//!
//! Bounded in time by [`MAX_RUN`], in money by what it launches: never more than two small instances at once. Whatever
//! happens, it deletes what it made, and says what is left if it cannot. A run that was killed is swept up by the next.
//!
//! Against an emulator (AWS_ENDPOINT_URL) nothing boots: then workers run as processes here in the instances' place.

mod account;
mod probes;
mod stack;

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures_util::FutureExt;

use account::Account;
use stack::{Photo, Stack};

/// From the first call to the last, the cleaning up not counted.
const MAX_RUN: Duration = Duration::from_secs(45 * 60);
/// Cleaning up: an instance takes a few minutes to terminate, and the security group goes only after it.
const MAX_CLEAN_UP: Duration = Duration::from_secs(15 * 60);

#[test]
#[ignore = "needs an AWS account and costs a few cents: see docs/aws.md"]
fn the_contract_with_aws() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let account = Account::connect().await;
        account.sweep().await;
        let mut stack = Stack::new(&account);
        println!("the stack is {}; should this run be killed, the next one deletes it", stack.name);
        let run = AssertUnwindSafe(tokio::time::timeout(MAX_RUN, contract(&account, &mut stack))).catch_unwind().await;
        let cleaned = tokio::time::timeout(MAX_CLEAN_UP, stack.clean_up(&account)).await;
        let cleaned = cleaned.unwrap_or_else(|_| Err(format!("cleaning up took more than {MAX_CLEAN_UP:?}")));
        if let Err(left) = &cleaned {
            eprintln!("NOT CLEANED UP, and it may cost money: {left}");
        }
        match run {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(Err(_)) => panic!("the run took more than {MAX_RUN:?}"),
            Ok(Ok(())) => cleaned.unwrap(),
        }
    });
}

/// Prints a step's name and how long it took.
async fn step<T>(name: &str, work: impl Future<Output = T>) -> T {
    let began = Instant::now();
    let result = work.await;
    println!("{:6.1} s  {name}", began.elapsed().as_secs_f64());
    result
}

async fn contract(account: &Account, stack: &mut Stack) {
    step("source buckets in two regions, with photographs", stack.make_sources(account)).await;

    step("plan: only creations", async { stack.plan_expects(2, "to create.\n").await }).await;
    step("apply, to the first worker's report", stack.apply()).await;
    step("plan: no changes", stack.plan_is_empty()).await;
    step("apply again changes nothing", async {
        assert!(stack.thumb(&["apply", "--yes"]).await.contains("No changes"));
    })
    .await;

    step("requests become thumbnails that everyone can read", async {
        for bucket in [stack.source.clone(), stack.far_source.clone()] {
            let words = ["enqueue", "--bucket", &bucket, "--prefix", "", "--size", "400x400", "--size", "150x100"];
            stack.thumb(&words).await;
        }
        for photo in stack.photos() {
            stack.wait_for_thumbnail(account, &photo.thumbnail(400, 400)).await;
            stack.wait_for_thumbnail(account, &photo.thumbnail(150, 100)).await;
        }
    })
    .await;
    step("what cannot be made is in the dead-letter queue with its reason", async {
        stack.send(account, "this is no request").await;
        stack
            .thumb(&[
                "enqueue",
                "--bucket",
                &stack.source.clone(),
                "--keys",
                "missing.jpg",
                "--size",
                "9x9",
                "--no-check",
            ])
            .await;
        stack.wait_for_dead_letters(account, &["JSON", "no such key"]).await;
    })
    .await;
    step("the worker has reported", stack.wait_for_report(account)).await;
    step("an upload sends an event, and the event makes thumbnails", async {
        stack.connect_events(account).await;
        let photo = Photo::new(&stack.source, "events/grüße +1.jpg");
        stack.upload(account, &photo, "life.jpg").await;
        stack.wait_for_thumbnail(account, &photo.thumbnail(64, 64)).await;
        stack.plan_is_empty().await;
    })
    .await;
    step("of two versions of a photograph the later one wins", async {
        let photo = Photo::new(&stack.source, "events/twice.jpg");
        stack.upload(account, &photo, "picos.jpg").await;
        let etag = stack.upload(account, &photo, "sunset.jpg").await;
        stack.wait_for_source_etag(account, &photo.thumbnail(64, 64), &etag).await;
    })
    .await;

    step("a new instance type: the new worker reports, then the old instance goes, nothing is lost", async {
        let words = ["enqueue", "--bucket", &stack.source.clone(), "--prefix", "", "--size", "200x200"];
        stack.thumb(&words).await;
        stack.set("type", "\"t3.small\"");
        stack.apply().await;
        assert_eq!(stack.instances(account).await.len(), 1);
        for photo in stack.photos().into_iter().filter(|photo| photo.bucket == stack.source) {
            stack.wait_for_thumbnail(account, &photo.thumbnail(200, 200)).await;
        }
        stack.plan_is_empty().await;
    })
    .await;
    step("down in the evening, up in the morning", async {
        stack.set("count", "0");
        stack.apply().await;
        assert_eq!(stack.instances(account).await.len(), 0);
        stack.set("count", "1");
        stack.apply().await;
        assert_eq!(stack.instances(account).await.len(), 1);
    })
    .await;

    step("a spent client token is refused by its code", probes::spent_token(account, stack)).await;
    step("a bucket of another owner is refused", probes::expected_owner(account, stack)).await;
    step("a deleted bucket's name, and HeadBucket after it", probes::deleted_bucket(account, stack)).await;
    step("a deleted queue's name is refused for a while", probes::deleted_queue(account, stack)).await;
    step("a key with dot segments is refused or stored, not lost", probes::dot_segments(account, stack)).await;

    step("destroy, with a key that XML cannot name in the bucket", async {
        stack.put_control_character(account).await;
        stack.thumb(&["destroy", "--yes"]).await;
        let left = stack.leftovers(account).await;
        assert!(left.is_empty(), "{left:?}");
    })
    .await;
    step("destroy again finds nothing", async {
        stack.thumb(&["destroy", "--yes"]).await;
    })
    .await;
    step("apply right after destroy waits for the queue's name", stack.apply()).await;
}
