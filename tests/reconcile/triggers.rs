//! Triggers: the queue's policy and the rules of a bucket that is not the stack's, whatever else stands in both.

use aws_sdk_s3::types::{
    Event as S3Event, EventBridgeConfiguration, NotificationConfiguration, QueueConfiguration, TopicConfiguration,
};
use aws_sdk_sqs::types::QueueAttributeName;

use super::*;

/// With two triggers of one bucket; a stack without instances.
fn text(stack: &str) -> String {
    let trigger =
        |suffix: &str| format!("[[trigger]]\nbucket = \"{stack}-uploads\"\nprefix = \"in/\"\nsuffix = \"{suffix}\"\n");
    format!("{}{}{}", without(stack), trigger(".jpg"), trigger(".png"))
}

/// The same stack without triggers.
fn without(stack: &str) -> String {
    format!("name = \"{stack}\"\n[instance]\ncount = 0\n")
}

/// S3 that checks the queue's policy, with nothing slow about it.
fn strict() -> Moto {
    Moto::start_strict(&[
        "s3-create-bucket.seconds=0",
        "sqs-queue-deleted-recently.seconds=0",
        "sqs-deleted-queue-reads.p=0",
        "sqs-new-dead-letter-queue.seconds=0",
        "iam-instance-profile-propagation.seconds=0",
    ])
}

impl Caller {
    fn uploads(&self) -> String {
        format!("{}-uploads", self.config.name)
    }

    /// An apply that is killed after its first call of this operation.
    async fn killed_after(&self, operation: &str, when: &str) {
        self.connector.cut_after_operation(operation);
        tokio::select! {
            (report, _) = self.apply() => panic!("{when}: it ended: {report:?}"),
            () = self.connector.cut.notified() => {}
        }
    }

    /// The bucket of the uploads, whose notifications others use, too.
    async fn with_uploads(self) -> Self {
        let s3 = &self.clients.s3;
        s3.create_bucket().bucket(self.uploads()).send().await.unwrap();
        let sns = "arn:aws:sns:us-east-1:123456789012:films";
        let films =
            TopicConfiguration::builder().id("films").topic_arn(sns).events(S3Event::S3ReducedRedundancyLostObject);
        let all = NotificationConfiguration::builder()
            .topic_configurations(films.build().unwrap())
            .event_bridge_configuration(EventBridgeConfiguration::builder().build())
            .build();
        let put = s3.put_bucket_notification_configuration().bucket(self.uploads());
        put.notification_configuration(all).skip_destination_validation(true).send().await.unwrap();
        self
    }

    /// The IDs of the bucket's rules, and whether EventBridge gets its events.
    async fn rules(&self) -> (Vec<String>, bool) {
        let get = self.clients.s3.get_bucket_notification_configuration().bucket(self.uploads());
        let all = get.send().await.unwrap();
        let queues = all.queue_configurations().iter().filter_map(QueueConfiguration::id);
        let topics = all.topic_configurations().iter().filter_map(TopicConfiguration::id);
        let ids = queues.chain(topics).map(str::to_owned).collect();
        (ids, all.event_bridge_configuration().is_some())
    }

    async fn queue_url(&self) -> String {
        self.clients.sqs.get_queue_url().queue_name(&self.config.queue.name).send().await.unwrap().queue_url.unwrap()
    }

    async fn queue_policy(&self) -> String {
        let get = self.clients.sqs.get_queue_attributes().queue_url(self.queue_url().await);
        let attributes = get.attribute_names(QueueAttributeName::All).send().await.unwrap().attributes.unwrap();
        attributes.get(&QueueAttributeName::Policy).cloned().unwrap_or_default()
    }

    async fn set_queue_policy(&self, policy: &str) {
        let set = self.clients.sqs.set_queue_attributes().queue_url(self.queue_url().await);
        set.attributes(QueueAttributeName::Policy, policy).send().await.unwrap();
    }

    async fn assert_nothing_to_do(&self, when: &str) {
        let plan = self.plan().await;
        assert!(plan.is_empty(), "{when}: {plan:#?}");
    }

    async fn assert_only_others(&self, when: &str) {
        assert_eq!(self.rules().await, (vec!["films".to_owned()], true), "{when}");
    }
}

#[tokio::test]
async fn rules_come_and_go_beside_those_of_others() {
    let moto = strict();
    let world = FaultInjectingConnector::before_strict_server();
    let caller = Caller::with(&moto, &text("cats"), world.again()).await.with_uploads().await;
    assert_done(&caller.apply().await.0);
    caller.assert_nothing_to_do("after apply").await;
    let (ids, bridge) = caller.rules().await;
    assert_eq!((ids.len(), bridge), (3, true), "{ids:?}");
    assert!(caller.queue_policy().await.contains("arn:aws:s3:::cats-uploads"));

    // An upload is a message; a file of another kind is none.
    for key in ["in/owl.jpg", "in/owl.gif", "out/owl.jpg"] {
        caller.clients.s3.put_object().bucket("cats-uploads").key(key).send().await.unwrap();
    }
    let receive = caller.clients.sqs.receive_message().queue_url(caller.queue_url().await);
    let messages = receive.max_number_of_messages(10).wait_time_seconds(1).send().await.unwrap().messages.unwrap();
    let of = |text: &str| messages.iter().filter(|message| message.body().unwrap().contains(text)).count();
    assert_eq!((of("owl"), of("in/owl.jpg")), (1, 1), "{messages:?}");

    // Somebody takes the policy away, and lets others send.
    let mine = r#"{"Sid":"Mine","Effect":"Allow","Principal":"*","Action":"sqs:SendMessage","Resource":"*"}"#;
    caller.set_queue_policy(&format!(r#"{{"Version":"2012-10-17","Statement":[{mine}]}}"#)).await;
    let plan = caller.plan().await;
    let changed: Vec<String> =
        plan.changes.iter().filter(|c| c.action != Action::None).map(|c| c.address.to_string()).collect();
    assert_eq!(changed, ["queue"], "{plan:#?}");
    assert_done(&caller.apply().await.0);
    caller.assert_nothing_to_do("after the policy was mended").await;
    let policy = caller.queue_policy().await;
    assert!(policy.contains("Mine") && policy.contains("ThumbTrigger"), "{policy}");

    // Without the triggers, the bucket is as it was, and so is the policy.
    let later = Caller::with(&moto, &without("cats"), world.again()).await;
    assert_done(&later.apply().await.0);
    let calls = later.connector.mutating_calls();
    let calls: Vec<&str> = calls.iter().map(String::as_str).filter(|call| *call != "PutRolePolicy").collect();
    assert_eq!(calls, ["PutBucketNotificationConfiguration", "SetQueueAttributes"], "the rules, then the policy");
    later.assert_nothing_to_do("after the triggers went").await;
    later.assert_only_others("after the triggers went").await;
    let policy = later.queue_policy().await;
    assert!(policy.contains("Mine") && !policy.contains("ThumbTrigger"), "{policy}");

    assert_done(&caller.apply().await.0);
    assert_done(&caller.destroy().await);
    caller.assert_destroyed("after destroy").await;
    caller.assert_only_others("after destroy").await;
}

#[tokio::test]
async fn killed_anywhere_no_rule_is_forgotten() {
    let moto = strict();
    let world = FaultInjectingConnector::before_strict_server();
    // Once the queue lets the bucket in, and once the bucket has its rules.
    for operation in ["CreateQueue", "PutBucketNotificationConfiguration"] {
        let when = format!("killed after {operation} of an apply");
        let stack = format!("cut-{}", operation.len());
        Caller::with(&moto, &text(&stack), world.again()).await.with_uploads().await;
        Caller::with(&moto, &text(&stack), world.again()).await.killed_after(operation, &when).await;
        // Taken out of thumb.toml before the apply was repeated.
        let next = Caller::with(&moto, &without(&stack), world.again()).await;
        assert_done(&next.apply().await.0);
        next.assert_only_others(&when).await;
        assert!(!next.queue_policy().await.contains("ThumbTrigger"), "{when}");
        assert_done(&next.destroy().await);
    }
    // While they are taken away.
    for operation in ["PutBucketNotificationConfiguration", "SetQueueAttributes"] {
        let when = format!("killed after {operation} of taking them away");
        let stack = format!("took-{}", operation.len());
        let there = Caller::with(&moto, &text(&stack), world.again()).await.with_uploads().await;
        assert_done(&there.apply().await.0);
        Caller::with(&moto, &without(&stack), world.again()).await.killed_after(operation, &when).await;
        let next = Caller::with(&moto, &without(&stack), world.again()).await;
        assert_done(&next.apply().await.0);
        next.assert_nothing_to_do(&when).await;
        next.assert_only_others(&when).await;
    }
}

#[tokio::test]
async fn a_bucket_that_cannot_be_a_trigger_blocks_it_and_nothing_else() {
    let moto = strict();
    let caller = Caller::with(&moto, &text("cats"), FaultInjectingConnector::before_strict_server()).await;
    let plan = caller.plan().await;
    let blocked: Vec<_> = plan.changes.iter().filter(|change| change.action == Action::Blocked).collect();
    assert_eq!(blocked.len(), 1, "{plan:#?}");
    assert_eq!(blocked[0].address, Address::Trigger(1));
    let reason = blocked[0].reason.as_deref().unwrap();
    assert!(reason.starts_with("the bucket cats-uploads does not exist: create it"), "{reason}");
}
