use super::*;
use crate::aws::s3_config;
use crate::aws::strict_s3::{Elsewhere, HOME, StrictS3};

async fn regional(strict: &StrictS3) -> RegionalS3 {
    RegionalS3::new(s3_config(&strict.sdk().await))
}

/// The length of an object, or the code of the error.
async fn length(s3: &RegionalS3, bucket: &str) -> Result<i64, String> {
    let get = |s3: Client| s3.get_object().bucket(bucket).key("a.jpg").send();
    let object = s3.call(bucket, get).await;
    object
        .map(|object| object.content_length.unwrap())
        .map_err(|error| error.as_service_error().unwrap().meta().code().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_bucket_is_found_however_s3_says_where_it_is_and_remembered() {
    for (elsewhere, first) in [
        (Elsewhere::Redirect, vec!["GET far/a.jpg us-east-1", "GET far/a.jpg eu-south-1"]),
        (Elsewhere::Malformed, vec!["GET far/a.jpg us-east-1", "GET far/a.jpg eu-south-1"]),
        (Elsewhere::Illegal, vec!["GET far/a.jpg us-east-1", "HEAD far/ us-east-1", "GET far/a.jpg eu-south-1"]),
    ] {
        let strict = StrictS3::default();
        strict.bucket("far", "eu-south-1");
        strict.put("far", "a.jpg", b"bytes");
        strict.state().elsewhere = elsewhere;
        let s3 = regional(&strict).await;
        assert_eq!(length(&s3, "far").await, Ok(5));
        assert_eq!(std::mem::take(&mut strict.state().asked), first);
        assert_eq!(length(&s3, "far").await, Ok(5));
        assert_eq!(std::mem::take(&mut strict.state().asked), ["GET far/a.jpg eu-south-1"]);

        // Deleted, and made again elsewhere.
        strict.bucket("far", "ap-south-1");
        strict.put("far", "a.jpg", b"other bytes");
        assert_eq!(length(&s3, "far").await, Ok(11));
    }
}

#[tokio::test]
async fn a_head_of_an_object_has_no_body_to_say_it_in() {
    for elsewhere in [Elsewhere::Redirect, Elsewhere::Malformed] {
        let strict = StrictS3::default();
        strict.bucket("far", "eu-west-1");
        strict.put("far", "a.jpg", b"bytes");
        strict.state().elsewhere = elsewhere;
        let s3 = regional(&strict).await;
        let head = s3.call("far", |s3| s3.head_object().bucket("far").key("a.jpg").send()).await;
        assert_eq!(head.map(|head| head.content_length).map_err(|error| format!("{error:?}")), Ok(Some(5)));
    }
}

#[tokio::test]
async fn other_errors_are_not_asked_about_again() {
    let strict = StrictS3::default();
    strict.bucket("near", HOME);
    let s3 = regional(&strict).await;
    assert_eq!(length(&s3, "near").await, Err("NoSuchKey".to_owned()));
    assert_eq!(length(&s3, "nowhere").await, Err("NoSuchBucket".to_owned()));
    assert_eq!(strict.state().asked.len(), 2);
}

#[tokio::test]
async fn what_is_remembered_has_a_bound() {
    let strict = StrictS3::default();
    let s3 = regional(&strict).await;
    for index in 0..2 * MAX_BUCKETS {
        s3.learn(&format!("bucket-{index}"), format!("region-{}", index % 100));
    }
    let known = s3.known();
    assert!(known.regions.len() <= MAX_BUCKETS && known.clients.len() <= MAX_REGIONS);
}

#[test]
fn a_region_is_a_part_of_a_host_name() {
    assert!(is_region("us-gov-east-1") && is_region("eusc-de-east-1"));
    for text in ["", "us-east-1.evil.example", "us/east", "US", "a\nb", &"a".repeat(64)] {
        assert!(!is_region(text), "{text}");
    }
}
