use aws_sdk_s3::primitives::ByteStreamError;

use super::*;
use crate::aws::strict_s3::{ACCOUNT, Elsewhere, HOME, StrictS3};
use crate::worker_report;

const THUMBNAILS: &str = "cats-thumbnails";

async fn objects(strict: &StrictS3, requester_pays: bool) -> Objects {
    let locations = Locations {
        queue_url: "http://localhost/1/cats".into(),
        dlq_url: "http://localhost/1/cats-dlq".into(),
        thumbnails_bucket: THUMBNAILS.into(),
        code_bucket: "cats-code".into(),
        account: ACCOUNT.into(),
        access: Access::PublicRead,
        cache_control: None,
        storage_class: StorageClass::Standard,
        requester_pays,
        visibility_timeout_s: 60,
        worker: "test/1".into(),
    };
    Objects::new(&strict.sdk().await, &locations)
}

fn strict() -> StrictS3 {
    let strict = StrictS3::default();
    strict.bucket("photos", HOME);
    strict.bucket(THUMBNAILS, HOME);
    strict
}

async fn read(objects: &Objects, bucket: &str, key: &str) -> Result<Vec<u8>, JobError> {
    match objects.open(bucket, key, None).await? {
        Found::Photo(photo) => {
            let bytes: Result<_, ByteStreamError> = photo.body.collect().await;
            let bytes = bytes.unwrap().to_vec();
            assert_eq!(photo.length, Some(bytes.len() as u64));
            Ok(bytes)
        }
        Found::Unchanged => panic!("no ETag was given"),
    }
}

fn upload(key: &str) -> Upload {
    let facts = vec![("thumb-width", "4".to_owned())];
    let (body, provenance) = (Bytes::from_static(b"webp"), provenance());
    Upload { key: key.into(), body, media_type: "image/webp", provenance, facts }
}

fn provenance() -> Provenance {
    Provenance { source_etag: Some("etag".into()), parameters: "4x3".into() }
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
async fn no_thumbnails_go_to_a_strangers_bucket_of_the_same_name() {
    let strict = strict();
    let objects = objects(&strict, true).await;
    objects.store(upload("a-4x3.jpg")).await.unwrap();
    assert_eq!(objects.provenance("a-4x3.jpg").await, Ok(Some(provenance())));

    strict.give_away(THUMBNAILS);
    let job_error = objects.store(upload("b-4x3.jpg")).await.unwrap_err();
    assert!(
        job_error.transient && job_error.why.contains("cats-thumbnails of the account 123456789012"),
        "{job_error:?}"
    );
    assert!(strict.get(THUMBNAILS, "b-4x3.jpg").is_none());
    assert_eq!(objects.provenance("a-4x3.jpg").await, Ok(None), "a stranger's metadata does not count");
    // Sources may belong to any account.
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
    assert!(refused.why.contains("no permission to read it"), "{refused:?}");
}

#[tokio::test]
async fn each_reason_for_a_failed_read_has_its_own_message() {
    let strict = strict();
    let objects = objects(&strict, true).await;
    for (key, transient, words) in [
        ("glacier/owl.jpg", false, "it is archived in Glacier; restore it"),
        ("kms/owl.jpg", true, "`kms_keys` in [buckets] of thumb.toml"),
        ("late/owl.jpg", true, "this machine's clock is wrong"),
        ("missing.jpg", true, "no such key"),
    ] {
        let job_error = read(&objects, "photos", key).await.unwrap_err();
        assert!(job_error.transient == transient && job_error.why.contains(words), "{key}: {job_error:?}");
    }
}

#[tokio::test]
async fn a_key_that_s3_refuses_is_not_the_buckets_fault() {
    let strict = strict();
    let objects = objects(&strict, true).await;
    let put = async |key: &str| objects.store(upload(key)).await;
    let job_error = put("a/../../b-4x3.jpg").await.unwrap_err();
    assert!(!job_error.transient && job_error.why.contains("a/../../b-4x3.jpg"), "{job_error:?}");
    put("a/../b-4x3.jpg").await.unwrap();
    assert!(strict.get(THUMBNAILS, "a/../b-4x3.jpg").is_some(), "a key is not a path, and is not normalised");
}

#[test]
fn a_thumbnail_with_another_access_is_not_the_same() {
    let stored = with_access("400x300 cover q80 e3", Access::Private);
    assert_eq!(without_access(&stored, Access::Private).as_deref(), Some("400x300 cover q80 e3"));
    assert_eq!(without_access(&stored, Access::PublicRead), None);
    // As versions before wrote it.
    assert_eq!(without_access("400x300 cover q80 e2", Access::Private), None);
}

#[tokio::test]
async fn a_report_replaces_the_last_one_and_goes_to_no_stranger() {
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

#[tokio::test]
async fn a_manifest_is_replaced_only_as_it_was_read() {
    let strict = strict();
    let objects = objects(&strict, true).await;
    let store = async |body: &'static [u8], replaces: Option<&str>| {
        objects.store_manifest("manifests/photos/a.json", Bytes::from_static(body), replaces).await
    };
    assert_eq!(objects.manifest("manifests/photos/a.json").await, Ok(None));
    assert_eq!(store(b"{}", Some("etag-of-1")).await, Ok(false), "it is gone");
    assert_eq!(store(b"{}", None).await, Ok(true));
    assert_eq!(store(b"{ }", None).await, Ok(false), "another worker was first");
    let (body, etag) = objects.manifest("manifests/photos/a.json").await.unwrap().unwrap();
    assert_eq!(&body[..], b"{}");
    assert_eq!(store(b"{ }", Some("etag-of-9")).await, Ok(false));
    assert_eq!(store(b"{ }", Some(&etag)).await, Ok(true));
    assert_eq!(strict.get(THUMBNAILS, "manifests/photos/a.json").unwrap().bytes, b"{ }");
    let Found::Photo(opened) = objects.open(THUMBNAILS, "manifests/photos/a.json", None).await.unwrap() else {
        panic!("no ETag was given")
    };
    assert!(opened.ours, "an event about it is ignored");
}

#[tokio::test]
async fn what_a_page_needs_to_know_is_stored_beside_the_thumbnail() {
    let strict = strict();
    let objects = objects(&strict, true).await;
    objects.store(upload("a-4x3.webp")).await.unwrap();
    assert_eq!(strict.get(THUMBNAILS, "a-4x3.webp").unwrap().metadata["thumb-width"], "4");
}
