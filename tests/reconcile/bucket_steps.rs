//! A bucket's steps alone, on a clock that is not real: every call is answered by the connector.

use std::time::Duration;

use thumb::stack::Change;
use thumb::stack::Operation;
use thumb::stack::change::Purpose;
use thumb::stack::resources::Tags;
use thumb::stack::resources::bucket::{self, PublicAccessBlock};

use super::*;

const THUMBNAILS: &str = "cats-thumbnails-123456789012";

async fn run_steps(connector: &FaultInjectingConnector, steps: Vec<bucket::Step>) -> Report {
    let clients = Clients::from_sdk(connector.sdk("http://127.0.0.1:1").await).unwrap();
    let mut change = Change::new(Address::ThumbnailsBucket, THUMBNAILS).action(Action::Update);
    change.steps = steps.into_iter().map(Operation::from).collect();
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
    let connector = FaultInjectingConnector::new();
    connector.answer("ListObjectVersions", 100, 200, PAGE_OF_ONE);
    connector.answer("DeleteObjects", 100, 200, ALL_DELETED);
    let report = run_steps(&connector, delete()).await;
    let failure = report.failures[0].to_string();
    assert!(failure.contains("S3 still lists \"a.jpg\" after deleting it"), "{failure}");
    assert_eq!(connector.calls().iter().filter(|made| *made == "DeleteObjects").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_s3_puts_off_is_tried_again() {
    let connector = FaultInjectingConnector::new();
    connector.answer("ListObjectVersions", 1, 200, PAGE_OF_ONE);
    for code in ["InternalError", "SlowDown"] {
        let body = format!(
            "<DeleteResult><Error><Key>a.jpg</Key><VersionId>1</VersionId><Code>{code}</Code></Error></DeleteResult>"
        );
        connector.answer("DeleteObjects", 1, 200, body);
    }
    connector.answer("DeleteObjects", 1, 200, ALL_DELETED);
    connector.answer("ListObjectVersions", 1, 200, EMPTY_PAGE);
    connector.answer("ListMultipartUploads", 1, 200, NO_UPLOADS);
    connector.answer("DeleteBucket", 1, 204, "");
    assert_done(&run_steps(&connector, delete()).await);
    assert!(connector.bodies("DeleteObjects")[2].contains("<VersionId>1</VersionId>"), "the version that stayed");

    let connector = FaultInjectingConnector::new();
    connector.answer("ListObjectVersions", 1, 200, PAGE_OF_ONE);
    let body =
        "<DeleteResult><Error><Key>a.jpg</Key><Code>AccessDenied</Code><Message>no</Message></Error></DeleteResult>";
    connector.answer("DeleteObjects", 1, 200, body);
    let failure = run_steps(&connector, delete()).await.failures[0].to_string();
    assert!(failure.contains("s3:DeleteObject: AccessDenied: no (\"a.jpg\")"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_a_bucket_to_go_begins_when_it_is_empty() {
    let connector = FaultInjectingConnector::new();
    connector.answer_after(Duration::from_secs(400), "ListObjectVersions", 1, 200, EMPTY_PAGE);
    connector.answer("ListMultipartUploads", 1, 200, NO_UPLOADS);
    connector.answer(
        "DeleteBucket",
        3,
        409,
        FaultInjectingConnector::s3_error("OperationAborted", "A conflicting operation is in progress"),
    );
    connector.answer("DeleteBucket", 1, 204, "");
    assert_done(&run_steps(&connector, delete()).await);
}

#[tokio::test(start_paused = true)]
async fn an_account_that_blocks_public_acls_is_named_and_the_bucket_closed_again() {
    let connector = FaultInjectingConnector::new();
    connector.answer("PutPublicAccessBlock", 2, 200, "");
    let message = "User is not authorized to perform: s3:PutObject because public access control lists (ACLs) are \
                   prevented by the BlockPublicAcls setting in S3 Block Public Access.";
    connector.answer("PutObject", 1_000, 403, FaultInjectingConnector::s3_error("AccessDenied", message));
    let steps = vec![
        bucket::Step::SetPublicAccessBlock { name: THUMBNAILS.into(), block: PublicAccessBlock::ALLOW_ACLS },
        bucket::Step::TryPublicAcl { name: THUMBNAILS.into() },
    ];
    let failure = run_steps(&connector, steps.clone()).await.failures[0].to_string();
    assert!(failure.contains("hint: S3 Block Public Access is on for the whole account"), "{failure}");
    assert!(failure.contains("`access = \"private\"`"), "{failure}");
    let tries = connector.calls().iter().filter(|made| *made == "PutObject").count();
    assert!((5..50).contains(&tries), "for some twenty seconds: {tries}");
    // The next plan finds a difference, so the next apply tries again.
    let blocks = connector.bodies("PutPublicAccessBlock");
    assert!(blocks[1].contains("<BlockPublicAcls>true</BlockPublicAcls>"), "{blocks:?}");

    // Settings that count a little later, and a probe that leaves nothing behind.
    let connector = FaultInjectingConnector::new();
    connector.answer("PutPublicAccessBlock", 1, 200, "");
    connector.answer("PutObject", 2, 403, FaultInjectingConnector::s3_error("AccessDenied", message));
    connector.answer(
        "PutObject",
        1,
        400,
        FaultInjectingConnector::s3_error("AccessControlListNotSupported", "The bucket does not allow ACLs"),
    );
    connector.answer("PutObject", 1, 200, "");
    connector.answer("DeleteObject", 1, 204, "");
    assert_done(&run_steps(&connector, steps).await);
}

#[tokio::test(start_paused = true)]
async fn tags_of_aws_itself_stay_on_a_bucket() {
    let connector = FaultInjectingConnector::new();
    let tag = |key: &str, value: &str| format!("<Tag><Key>{key}</Key><Value>{value}</Value></Tag>");
    let found = [tag("aws:cloudformation:stack-name", "photos"), tag("old", "tag")].concat();
    connector.answer("GetBucketTagging", 1, 200, format!("<Tagging><TagSet>{found}</TagSet></Tagging>"));
    connector.answer("PutBucketTagging", 1, 204, "");
    let tags = Tags::from([("thumb:stack".to_owned(), "cats".to_owned())]);
    assert_done(&run_steps(&connector, vec![bucket::Step::Tag { name: THUMBNAILS.into(), tags }]).await);
    let sent = &connector.bodies("PutBucketTagging")[0];
    assert!(sent.contains("<Key>aws:cloudformation:stack-name</Key><Value>photos</Value>"), "{sent}");
    assert!(sent.contains("<Key>thumb:stack</Key>") && !sent.contains("old"), "{sent}");
}
