//! Facts about AWS that the program is built on and that its documents do not promise, or not clearly: each is asked of
//! the service itself.

use std::time::{Duration, Instant};

use aws_sdk_ec2::types::{CreditSpecificationRequest, Filter, InstanceType, ResourceType, Tag, TagSpecification};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use thumb::aws::Clients;

use crate::account::Account;
use crate::stack::{Stack, create_bucket, delete_bucket};

/// An instance is terminated within some minutes.
const MAX_TERMINATE: Duration = Duration::from_secs(6 * 60);
const POLL: Duration = Duration::from_secs(2);
/// An account that is not the caller's.
const SOMEBODY: &str = "111111111111";

fn code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> Option<&str> {
    error.as_service_error().and_then(ProvideErrorMetadata::code)
}

/// RunInstances with the client token of a terminated instance: IdempotentInstanceTerminated.
pub async fn spent_token(account: &Account, stack: &Stack) {
    let ec2 = &account.clients.ec2;
    let token = format!("{}-spent", stack.name);
    let image = stack.image(account).await;
    // The stack's tag without its number: no worker, and what `destroy` takes with it should this test end here.
    let tags = TagSpecification::builder()
        .resource_type(ResourceType::Instance)
        .tags(Tag::builder().key("Name").value(&token).build())
        .build();
    let run = || {
        ec2.run_instances()
            .image_id(&image)
            .instance_type(InstanceType::T3Nano)
            .credit_specification(CreditSpecificationRequest::builder().cpu_credits("standard").build())
            .client_token(&token)
            .min_count(1)
            .max_count(1)
            .tag_specifications(tags.clone())
    };
    let launched = run().send().await.unwrap();
    let id = launched.instances()[0].instance_id.clone().expect("its ID");
    ec2.terminate_instances().instance_ids(&id).send().await.unwrap();
    let began = Instant::now();
    loop {
        let filter = Filter::builder().name("instance-state-name").values("terminated").build();
        let call = ec2.describe_instances().instance_ids(&id).filters(filter);
        if call.send().await.is_ok_and(|answer| !answer.reservations().is_empty()) {
            break;
        }
        assert!(began.elapsed() < MAX_TERMINATE, "{id} does not terminate");
        tokio::time::sleep(POLL).await;
    }
    let error = run().send().await.expect_err("a spent token launches nothing");
    assert_eq!(code(&error), Some("IdempotentInstanceTerminated"), "{error:?}");
}

/// A call that expects another owner is refused, so a name that changed hands is noticed.
pub async fn expected_owner(account: &Account, stack: &Stack) {
    let s3 = &account.clients.s3;
    let call = s3.put_object().bucket(&stack.thumbnails).key("owner.jpg").expected_bucket_owner(SOMEBODY);
    let error = call.body(ByteStream::from_static(b"x")).send().await.expect_err("another owner is expected");
    assert_eq!(code(&error), Some("AccessDenied"), "{error:?}");
}

/// A deleted bucket is gone for HeadBucket, and its name may be refused for a while by OperationAborted only.
pub async fn deleted_bucket(account: &Account, stack: &Stack) {
    let Clients { s3, region, .. } = &account.clients;
    let bucket = format!("{}-probe", stack.name);
    create_bucket(&account.clients, &bucket).await;
    delete_bucket(&account.clients, &bucket).await.unwrap();
    let head = s3.head_bucket().bucket(&bucket).send().await;
    println!("          HeadBucket right after DeleteBucket in {region}: {}", head.map_or("gone", |_| "still there"));
    let mut call = s3.create_bucket().bucket(&bucket);
    if region != "us-east-1" {
        let location = aws_sdk_s3::types::BucketLocationConstraint::from(region.as_str());
        let configuration = aws_sdk_s3::types::CreateBucketConfiguration::builder().location_constraint(location);
        call = call.create_bucket_configuration(configuration.build());
    }
    match call.send().await {
        Ok(_) => delete_bucket(&account.clients, &bucket).await.unwrap(),
        Err(error) => assert_eq!(code(&error), Some("OperationAborted"), "{error:?}"),
    }
}

/// A deleted queue's name is refused by QueueDeletedRecently.
pub async fn deleted_queue(account: &Account, stack: &Stack) {
    let sqs = &account.clients.sqs;
    let name = format!("{}-probe", stack.name);
    let url = sqs.create_queue().queue_name(&name).send().await.unwrap().queue_url.unwrap_or_default();
    sqs.delete_queue().queue_url(url).send().await.unwrap();
    let error = sqs.create_queue().queue_name(&name).send().await.expect_err("the name is refused for 60 seconds");
    let code = code(&error).unwrap_or_default().to_owned();
    assert!(code.ends_with("QueueDeletedRecently"), "{error:?}");
}

/// Whatever S3 does with a key such as `../../x.jpg`, the worker must not retry it for ever: it says which it is.
pub async fn dot_segments(account: &Account, stack: &Stack) {
    let call = account.clients.s3.put_object().bucket(&stack.thumbnails).key("../../dots.jpg");
    let answer = call.body(ByteStream::from_static(b"x")).send().await;
    match answer {
        Ok(_) => println!("          S3 stores ../../dots.jpg"),
        Err(error) => {
            let status = error.raw_response().map(|answer| answer.status().as_u16());
            println!("          S3 answers {status:?} {:?}", code(&error));
            assert!(matches!(status, Some(400..=499)), "{error:?}");
        }
    }
}
