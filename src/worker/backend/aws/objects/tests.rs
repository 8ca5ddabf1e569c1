use aws_sdk_s3::primitives::ByteStreamError;

use super::*;
use crate::aws::strict_s3::{ACCOUNT, Elsewhere, HOME, StrictS3};
use crate::worker_report;

const THUMBNAILS: &str = "cats-thumbnails";

async fn objects(strict: &StrictS3, requester_pays: bool) -> Objects {
    let places = Places {
        queue_url: "http://localhost/1/cats".into(),
        dlq_url: "http://localhost/1/cats-dlq".into(),
        thumbnails_bucket: THUMBNAILS.into(),
        code_bucket: "cats-code".into(),
        account: ACCOUNT.into(),
        access: Access::PublicRead,
        requester_pays,
        visibility_timeout_s: 60,
        worker: "test/1".into(),
    };
    Objects::new(&strict.sdk().await, &places)
}

fn strict() -> StrictS3 {
    let strict = StrictS3::default();
    strict.bucket("photos", HOME);
    strict.bucket(THUMBNAILS, HOME);
    strict
}

async fn read(objects: &Objects, bucket: &str, key: &str) -> Result<Vec<u8>, Trouble> {
    match objects.open(bucket, key, None).await? {
        Found::Photo(photo) => {
            let bytes: Result<_, ByteStreamError> = photo.body.collect().await;
            let bytes = bytes.unwrap().to_vec();
            assert_eq!(photo.length, Some(bytes.len() as u64));
            Ok(bytes)
        }
        Found::Unchanged => panic!("nobody asked whether it had changed"),
    }
}

fn stamp() -> Stamp {
    Stamp { source_etag: Some("etag".into()), parameters: "4x3".into() }
}

#[tokio::test]
async fn photographs_are_taken_from_any_region_and_looked_at_there() {
    for elsewhere in [Elsewhere::Redirect, Elsewhere::Malformed, Elsewhere::Illegal] {
        let strict = strict();
        strict.bucket("far", "ap-southeast-3");
        strict.put("far", "owl.jpg", b"an owl");
        strict.state().elsewhere = elsewhere;
        let objects = objects(&strict, true).await;
        assert_eq!(read(&objects, "far", "owl.jpg").await.unwrap(), b"an owl");
        assert_eq!(objects.etag("far", "owl.jpg").await.unwrap().as_deref(), Some("etag-of-6"));
        let unchanged = objects.open("far", "owl.jpg", Some("etag-of-6")).await.unwrap();
        assert!(matches!(unchanged, Found::Unchanged));
    }
}

#[tokio::test]
async fn a_photograph_that_has_gone_has_no_etag() {
    let strict = strict();
    assert_eq!(objects(&strict, true).await.etag("photos", "gone.jpg").await, Ok(None));
}

#[tokio::test]
async fn thumbnails_go_to_nobody_who_has_taken_the_buckets_name() {
    let strict = strict();
    let objects = objects(&strict, true).await;
    objects.store("a-4x3.jpg", Bytes::from_static(b"jpeg"), &stamp()).await.unwrap();
    assert_eq!(objects.stamp("a-4x3.jpg").await, Ok(Some(stamp())));

    strict.give_away(THUMBNAILS);
    let trouble = objects.store("b-4x3.jpg", Bytes::from_static(b"jpeg"), &stamp()).await.unwrap_err();
    assert!(trouble.passing && trouble.why.contains("cats-thumbnails of the account 123456789012"), "{trouble:?}");
    assert!(strict.get(THUMBNAILS, "b-4x3.jpg").is_none());
    assert_eq!(objects.stamp("a-4x3.jpg").await, Ok(None), "what a stranger says of it is no matter");
    // Sources may be anybody's.
    strict.put("photos", "owl.jpg", b"an owl");
    strict.give_away("photos");
    assert!(read(&objects, "photos", "owl.jpg").await.is_ok());
}

#[tokio::test]
async fn only_a_bucket_that_sources_names_may_charge_us() {
    let strict = strict();
    strict.let_requesters_pay("photos");
    strict.put("photos", "owl.jpg", b"an owl");
    assert_eq!(read(&objects(&strict, true).await, "photos", "owl.jpg").await.unwrap(), b"an owl");
    let refused = read(&objects(&strict, false).await, "photos", "owl.jpg").await.unwrap_err();
    assert!(refused.why.contains("may not read it"), "{refused:?}");
}

#[tokio::test]
async fn what_keeps_a_photograph_from_being_read_is_said_in_its_own_words() {
    let strict = strict();
    let objects = objects(&strict, true).await;
    for (key, passing, words) in [
        ("glacier/owl.jpg", false, "it is archived in Glacier; restore it"),
        ("kms/owl.jpg", true, "`kms_keys` in [buckets] of thumb.toml"),
        ("late/owl.jpg", true, "this machine's clock is wrong"),
        ("missing.jpg", true, "there is no such key"),
    ] {
        let trouble = read(&objects, "photos", key).await.unwrap_err();
        assert!(trouble.passing == passing && trouble.why.contains(words), "{key}: {trouble:?}");
    }
}

#[tokio::test]
async fn a_key_that_s3_does_not_take_is_no_fault_of_the_bucket() {
    let strict = strict();
    let objects = objects(&strict, true).await;
    let put = async |key: &str| objects.store(key, Bytes::from_static(b"jpeg"), &stamp()).await;
    let trouble = put("a/../../b-4x3.jpg").await.unwrap_err();
    assert!(!trouble.passing && trouble.why.contains("a/../../b-4x3.jpg"), "{trouble:?}");
    put("a/../b-4x3.jpg").await.unwrap();
    assert!(strict.get(THUMBNAILS, "a/../b-4x3.jpg").is_some(), "a key is not a path: nobody shortens it");
}

#[test]
fn a_thumbnail_for_other_readers_is_not_the_same() {
    let stored = with_access("400x300 cover q80 e3", Access::Private);
    assert_eq!(without_access(&stored, Access::Private).as_deref(), Some("400x300 cover q80 e3"));
    assert_eq!(without_access(&stored, Access::PublicRead), None);
    // As versions before wrote it.
    assert_eq!(without_access("400x300 cover q80 e2", Access::Private), None);
}

#[tokio::test]
async fn a_report_takes_the_place_of_the_last_one_and_goes_to_no_stranger() {
    let strict = strict();
    strict.bucket("cats-code", HOME);
    let objects = objects(&strict, true).await;
    let mut report = WorkerReport {
        version: worker_report::VERSION,
        id: "i-0123".into(),
        thumb: "0.1.0".into(),
        binary: None,
        config: "c".into(),
        state: worker_report::State::Started,
        started_s: 1,
        last_seen_s: 2,
        counts: worker_report::Counts::default(),
        memory: worker_report::Memory::default(),
    };
    objects.put_report("cats-code", &report).await.unwrap();
    report.state = worker_report::State::Stopped;
    objects.put_report("cats-code", &report).await.unwrap();
    let object = strict.get("cats-code", "workers/i-0123.json").unwrap();
    assert_eq!(WorkerReport::from_json(&object.bytes).unwrap(), report);

    strict.give_away("cats-code");
    assert_eq!(objects.put_report("cats-code", &report).await.unwrap_err().kind, Kind::Denied);
}
