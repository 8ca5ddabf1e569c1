//! A bucket's steps alone, on a clock that is not real: every call is answered by the seam.

use std::time::Duration;

use thumb::stack::Change;
use thumb::stack::Operation;
use thumb::stack::change::Purpose;
use thumb::stack::resources::Tags;
use thumb::stack::resources::bucket::{self, PublicAccessBlock};

use super::*;

const THUMBNAILS: &str = "cats-thumbnails-123456789012";

async fn run_steps(seam: &Seam, steps: Vec<bucket::Step>) -> Report {
    let clients = Clients::from_sdk(seam.sdk("http://127.0.0.1:1").await).unwrap();
    let mut change = Change::new(Address::ThumbnailsBucket, THUMBNAILS).action(Action::Update);
    change.up = steps.into_iter().map(Operation::from).collect();
    let plan = Plan::new(Purpose::Apply, "cats", "123456789012", "us-east-1", vec![change]);
    execute(&plan, &Writer { clients }, &|_| {}, &Interrupt::new()).await
}

const PAGE_OF_ONE: &str = "<ListVersionsResult><IsTruncated>false</IsTruncated><Version><Key>a.jpg</Key>\
                           <VersionId>1</VersionId></Version></ListVersionsResult>";
const EMPTY_PAGE: &str = "<ListVersionsResult><IsTruncated>false</IsTruncated></ListVersionsResult>";
const NO_UPLOADS: &str = "<ListMultipartUploadsResult></ListMultipartUploadsResult>";
const ALL_DELETED: &str = "<DeleteResult></DeleteResult>";

fn delete() -> Vec<bucket::Step> {
    vec![bucket::Step::Delete { name: THUMBNAILS.into() }]
}

#[tokio::test(start_paused = true)]
async fn an_emptying_that_gets_nowhere_ends_and_names_a_key() {
    let seam = Seam::new();
    seam.answer("ListObjectVersions", 100, 200, PAGE_OF_ONE);
    seam.answer("DeleteObjects", 100, 200, ALL_DELETED);
    let report = run_steps(&seam, delete()).await;
    let failure = report.failures[0].to_string();
    assert!(failure.contains("S3 says that it deleted \"a.jpg\", and still lists it"), "{failure}");
    assert_eq!(seam.calls().iter().filter(|made| *made == "DeleteObjects").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_s3_puts_off_is_tried_again() {
    let seam = Seam::new();
    seam.answer("ListObjectVersions", 1, 200, PAGE_OF_ONE);
    for code in ["InternalError", "SlowDown"] {
        let body = format!(
            "<DeleteResult><Error><Key>a.jpg</Key><VersionId>1</VersionId><Code>{code}</Code></Error></DeleteResult>"
        );
        seam.answer("DeleteObjects", 1, 200, body);
    }
    seam.answer("DeleteObjects", 1, 200, ALL_DELETED);
    seam.answer("ListObjectVersions", 1, 200, EMPTY_PAGE);
    seam.answer("ListMultipartUploads", 1, 200, NO_UPLOADS);
    seam.answer("DeleteBucket", 1, 204, "");
    assert_done(&run_steps(&seam, delete()).await);
    assert!(seam.bodies("DeleteObjects")[2].contains("<VersionId>1</VersionId>"), "the version that stayed");

    let seam = Seam::new();
    seam.answer("ListObjectVersions", 1, 200, PAGE_OF_ONE);
    let body =
        "<DeleteResult><Error><Key>a.jpg</Key><Code>AccessDenied</Code><Message>no</Message></Error></DeleteResult>";
    seam.answer("DeleteObjects", 1, 200, body);
    let failure = run_steps(&seam, delete()).await.failures[0].to_string();
    assert!(failure.contains("s3:DeleteObject: AccessDenied: no (\"a.jpg\")"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_a_bucket_to_go_begins_when_it_is_empty() {
    let seam = Seam::new();
    seam.answer_after(Duration::from_secs(400), "ListObjectVersions", 1, 200, EMPTY_PAGE);
    seam.answer("ListMultipartUploads", 1, 200, NO_UPLOADS);
    seam.answer("DeleteBucket", 3, 409, Seam::s3_error("OperationAborted", "A conflicting operation is in progress"));
    seam.answer("DeleteBucket", 1, 204, "");
    assert_done(&run_steps(&seam, delete()).await);
}

#[tokio::test(start_paused = true)]
async fn an_account_that_blocks_public_acls_is_named_and_the_bucket_closed_again() {
    let seam = Seam::new();
    seam.answer("PutPublicAccessBlock", 2, 200, "");
    let message = "User is not authorized to perform: s3:PutObject because public access control lists (ACLs) are \
                   prevented by the BlockPublicAcls setting in S3 Block Public Access.";
    seam.answer("PutObject", 1_000, 403, Seam::s3_error("AccessDenied", message));
    let steps = vec![
        bucket::Step::SetPublicAccessBlock { name: THUMBNAILS.into(), block: PublicAccessBlock::ALLOW_ACLS },
        bucket::Step::TryPublicAcl { name: THUMBNAILS.into() },
    ];
    let failure = run_steps(&seam, steps.clone()).await.failures[0].to_string();
    assert!(failure.contains("hint: S3 Block Public Access is on for the whole account"), "{failure}");
    assert!(failure.contains("`access = \"private\"`"), "{failure}");
    let tries = seam.calls().iter().filter(|made| *made == "PutObject").count();
    assert!((5..50).contains(&tries), "for some twenty seconds: {tries}");
    // The next plan finds a difference, so the next apply tries again.
    let blocks = seam.bodies("PutPublicAccessBlock");
    assert!(blocks[1].contains("<BlockPublicAcls>true</BlockPublicAcls>"), "{blocks:?}");

    // Settings that count a little later, and a probe that leaves nothing behind.
    let seam = Seam::new();
    seam.answer("PutPublicAccessBlock", 1, 200, "");
    seam.answer("PutObject", 2, 403, Seam::s3_error("AccessDenied", message));
    seam.answer("PutObject", 1, 400, Seam::s3_error("AccessControlListNotSupported", "The bucket does not allow ACLs"));
    seam.answer("PutObject", 1, 200, "");
    seam.answer("DeleteObject", 1, 204, "");
    assert_done(&run_steps(&seam, steps).await);
}

#[tokio::test(start_paused = true)]
async fn tags_of_aws_itself_stay_on_a_bucket() {
    let seam = Seam::new();
    let tag = |key: &str, value: &str| format!("<Tag><Key>{key}</Key><Value>{value}</Value></Tag>");
    let found = [tag("aws:cloudformation:stack-name", "photos"), tag("old", "tag")].concat();
    seam.answer("GetBucketTagging", 1, 200, format!("<Tagging><TagSet>{found}</TagSet></Tagging>"));
    seam.answer("PutBucketTagging", 1, 204, "");
    let tags = Tags::from([("thumb:stack".to_owned(), "cats".to_owned())]);
    assert_done(&run_steps(&seam, vec![bucket::Step::Tag { name: THUMBNAILS.into(), tags }]).await);
    let sent = &seam.bodies("PutBucketTagging")[0];
    assert!(sent.contains("<Key>aws:cloudformation:stack-name</Key><Value>photos</Value>"), "{sent}");
    assert!(sent.contains("<Key>thumb:stack</Key>") && !sent.contains("old"), "{sent}");
}
