//! Buckets, role and instance profile: whose they are, what AWS answers for a while, and what a destroy leaves.

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use thumb::stack::Change;
use thumb::stack::misplaced_bucket;
use thumb::stack::resources::Tags;

use super::*;

const NO_INSTANCES: &str = "name = \"cats\"\n[instance]\ncount = 0\n";
const THUMBNAILS: &str = "cats-thumbnails-123456789012";
const CODE: &str = "cats-code-123456789012";

fn change_at(plan: &Plan, address: Address) -> &Change {
    plan.changes.iter().find(|change| change.address == address).unwrap()
}

fn blocked(plan: &Plan) -> String {
    let blocked = plan.changes.iter().filter(|change| change.action == Action::Blocked);
    blocked.map(|change| change.address.to_string()).collect::<Vec<_>>().join(" ")
}

impl Caller {
    async fn plan_adopting(&self, addresses: &[Address]) -> Plan {
        let reader = Reader::new(&self.clients);
        let mut observed = self.observe().await;
        let targets: Vec<Target> = addresses.iter().copied().map(Target::Resource).collect();
        observed.adopt(&targets).unwrap();
        let launch_options = read_launch_options(&reader, &self.config).await.unwrap();
        let binary = Binary::load(&executable()).map_err(|failure| failure.to_string());
        let desired = Desired::new(&self.config, &observed, &launch_options, binary, reader.endpoint());
        plan_apply(&self.config, &desired, &observed, &Selection::default())
    }

    async fn keys(&self, bucket: &str) -> Vec<String> {
        let out = self.clients.s3.list_objects_v2().bucket(bucket).send().await.unwrap();
        out.contents().iter().filter_map(|object| object.key.clone()).collect()
    }

    async fn put(&self, bucket: &str, key: &str) {
        let body = ByteStream::from_static(b"somebody's");
        self.clients.s3.put_object().bucket(bucket).key(key).body(body).send().await.unwrap();
    }

    async fn bucket_tags(&self, bucket: &str) -> Tags {
        let out = self.clients.s3.get_bucket_tagging().bucket(bucket).send().await;
        let tags = out.map(|out| out.tag_set).unwrap_or_default();
        tags.into_iter().map(|tag| (tag.key, tag.value)).collect()
    }
}

#[tokio::test]
async fn a_stack_in_another_region_is_not_taken_apart() {
    let moto = Moto::start();
    let world = FaultInjectingConnector::new();
    let here = Caller::with(&moto, NO_INSTANCES, world.again()).await;
    assert_done(&here.apply().await.0);

    // The same thumb.toml in another region: a destroy would find no more than the role and the profile.
    let there = Caller::with(&moto, NO_INSTANCES, world.again().in_region("eu-west-1")).await;
    let observed = there.observe().await;
    let destroy = plan_destroy(&there.config, &observed, &Contents::default(), &Selection::default());
    assert_eq!(blocked(&destroy), "bucket.thumbnails bucket.code role instance-profile");
    let role = change_at(&destroy, Address::Role);
    assert_eq!(role.reason.as_deref(), Some("the role cats-worker belongs to the stack cats in us-east-1"));
    let misplaced = misplaced_bucket(&there.config, &observed, &destroy);
    assert_eq!(misplaced, Some((THUMBNAILS.to_owned(), "us-east-1".to_owned())));
    there.execute(&destroy).await;
    assert_eq!(there.connector.mutating_calls(), Vec::<String>::new());

    // With bucket names of its own an apply would turn the role to its region.
    let buckets = format!("{NO_INSTANCES}[buckets]\nthumbnails = \"west-thumbnails\"\ncode = \"west-code\"\n");
    let west = Caller::with(&moto, &buckets, world.again().in_region("eu-west-1")).await;
    assert_eq!(blocked(&west.plan().await), "role instance-profile");

    // A stack from before there was a tag for the region: the role's policy names the queue's.
    let iam = &here.clients.iam;
    iam.untag_role().role_name("cats-worker").tag_keys("thumb:region").send().await.unwrap();
    iam.untag_instance_profile().instance_profile_name("cats-worker").tag_keys("thumb:region").send().await.unwrap();
    assert_eq!(blocked(&west.plan().await), "role instance-profile");
    let plan = here.plan().await;
    assert_eq!((plan.summary.blocked, plan.summary.update), (0, 2), "here they are tagged: {plan:#?}");
    assert_done(&here.execute(&plan).await.0);
    here.plan().await.changes.iter().for_each(|change| assert_eq!(change.action, Action::None, "{change:?}"));
}

#[tokio::test]
async fn what_was_adopted_keeps_what_it_had_and_is_released() {
    let moto = Moto::start();
    let caller = Caller::with(&moto, NO_INSTANCES, FaultInjectingConnector::new()).await;
    let Clients { s3, iam, sqs, .. } = &caller.clients;
    let queue =
        sqs.create_queue().queue_name("cats").tags("owner", "somebody").send().await.unwrap().queue_url.unwrap();
    s3.create_bucket().bucket(CODE).send().await.unwrap();
    let strangers = ["thumb-drive-firmware.bin", "thumb-nails/index.html", "workers/readme.txt"];
    for key in strangers.into_iter().chain(["workers/i-0123456789abcdef0.json"]) {
        caller.put(CODE, key).await;
    }
    let trust = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
    iam.create_role().role_name("cats-worker").assume_role_policy_document(trust).send().await.unwrap();
    let document = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}"#;
    let policy = iam.put_role_policy().role_name("cats-worker").policy_name("db").policy_document(document);
    policy.send().await.unwrap();
    let read_only = "arn:aws:iam::aws:policy/ReadOnlyAccess";
    iam.attach_role_policy().role_name("cats-worker").policy_arn(read_only).send().await.unwrap();

    let adopt = [Address::Queue, Address::CodeBucket, Address::Role];
    assert_done(&caller.execute(&caller.plan_adopting(&adopt).await).await.0);
    let plan = caller.plan().await;
    assert!(plan.is_empty(), "{plan:#?}");
    let mut keys = caller.keys(CODE).await;
    keys.retain(|key| strangers.contains(&key.as_str()));
    assert_eq!(keys, strangers, "strangers' objects are no old binaries");
    let observed = caller.observe().await;
    let role = observed.role.ours().unwrap();
    assert!(role.inline.contains_key("db") && role.inline.contains_key("thumb-worker"), "{role:?}");
    assert_eq!(role.attached, [read_only]);
    assert!(role.trust.to_string().contains("lambda") && role.trust.to_string().contains("ec2"), "{role:?}");

    let contents = Contents { reports: vec!["workers/i-0123456789abcdef0.json".to_owned()], ..Contents::default() };
    let plan = plan_destroy(&caller.config, &observed, &contents, &Selection::default());
    let released: Vec<String> = plan
        .changes
        .iter()
        .filter(|change| change.action == Action::Update)
        .map(|change| format!("{}: {}", change.address, change.reason.as_deref().unwrap_or_default()))
        .collect();
    let expected = [
        "queue: adopted: released, not deleted",
        "bucket.code: adopted: released, not deleted, with all its objects",
        "role: adopted: released, not deleted",
    ];
    assert_eq!(released, expected);
    assert_done(&caller.execute(&plan).await.0);
    assert_eq!(caller.keys(CODE).await, strangers, "what is thumb's own is gone");
    assert_eq!(caller.bucket_tags(CODE).await, Tags::new());
    let tags = sqs.list_queue_tags().queue_url(&queue).send().await.unwrap().tags.unwrap_or_default();
    assert_eq!(tags.into_iter().collect::<Vec<_>>(), [("owner".to_owned(), "somebody".to_owned())]);
    let role = iam.get_role().role_name("cats-worker").send().await.unwrap().role.unwrap();
    assert!(role.tags().is_empty(), "{role:?}");
    assert!(!role.assume_role_policy_document.unwrap().contains("ec2"));
    let policies = iam.list_role_policies().role_name("cats-worker").send().await.unwrap().policy_names;
    assert_eq!(policies, ["db"]);
    assert!(matches!(caller.observe().await.queue, Found::Foreign(_)), "and no stack owns them any more");
}

#[tokio::test]
async fn a_bucket_that_another_stack_made_since_the_plan_is_not_taken_over() {
    let moto = Moto::start();
    let world = FaultInjectingConnector::new();
    let text = |name: &str| {
        format!("name = \"{name}\"\n[instance]\ncount = 0\n[buckets]\nthumbnails = \"shared-thumbnails\"\n")
    };
    let cats = Caller::with(&moto, &text("cats"), world.again()).await;
    let dogs = Caller::with(&moto, &text("dogs"), world.again()).await;
    // Both have planned before either has made anything.
    let (first, second) = (cats.plan().await, dogs.plan().await);
    assert_done(&cats.execute(&first).await.0);
    let (report, _) = dogs.execute(&second).await;
    let failure = report.failures[0].to_string();
    assert!(failure.contains("it was created after the plan: the bucket shared-thumbnails belongs to"), "{failure}");
    assert_eq!(cats.bucket_tags("shared-thumbnails").await["thumb:stack"], "cats");
    let plan = cats.plan().await;
    assert!(plan.is_empty(), "untouched: {plan:#?}");
}

#[tokio::test]
async fn every_call_to_a_bucket_says_whose_it_must_be() {
    let moto = Moto::start();
    let caller = Caller::new(&moto, "cats", FaultInjectingConnector::new()).await;
    assert_done(&caller.apply().await.0);
    caller.put(THUMBNAILS, "a.jpg").await;
    assert_done(&caller.destroy().await);
    // CreateBucket has no such condition, and the test's own call is none of thumb's.
    let unowned: Vec<String> = caller.connector.unowned().into_iter().filter(|made| made != "CreateBucket").collect();
    assert_eq!(unowned, ["PutObject"]);
}

#[tokio::test]
async fn a_strangers_bucket_with_our_tag_is_a_strangers() {
    let moto = Moto::start();
    let caller = Caller::with(&moto, NO_INSTANCES, FaultInjectingConnector::new()).await;
    assert_done(&caller.apply().await.0);
    caller.connector.give_away(THUMBNAILS);
    let plan = caller.plan().await;
    assert_eq!(blocked(&plan), "bucket.thumbnails");
    assert!(change_at(&plan, Address::ThumbnailsBucket).reason.as_ref().unwrap().contains("another account"));

    // An endpoint that does not know the condition on the owner: the policy is the owner's alone to read.
    let denied = || FaultInjectingConnector::s3_error("AccessDenied", "Access Denied");
    caller.connector.answer("GetBucketTagging", 1, 403, denied());
    caller.connector.answer("GetBucketOwnershipControls", 1, 403, denied());
    caller.connector.answer("GetPublicAccessBlock", 1, 403, denied());
    caller.connector.answer(
        "GetBucketPolicy",
        1,
        405,
        FaultInjectingConnector::s3_error("MethodNotAllowed", "not against this resource"),
    );
    assert!(blocked(&caller.plan().await).contains("bucket."), "it is no error");
}

#[tokio::test]
async fn a_list_that_another_regions_bucket_refuses_does_not_fail_the_plan() {
    let moto = Moto::start();
    let world = FaultInjectingConnector::new();
    let east = Caller::with(&moto, NO_INSTANCES, world.again()).await;
    east.clients.s3.create_bucket().bucket(CODE).send().await.unwrap();
    let west = Caller::with(&moto, NO_INSTANCES, world.again().in_region("eu-west-1")).await;
    for code in ["AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect"] {
        west.connector.answer("ListObjectsV2", 1, 400, FaultInjectingConnector::s3_error(code, "the region is wrong"));
        assert_eq!(blocked(&west.plan().await), "bucket.code binary", "{code}");
        // HEAD has no body: without the header it is the next call's code that says so.
        west.connector.answer("HeadBucket", 2, 400, "");
        west.connector.answer(
            "GetBucketTagging",
            2,
            400,
            FaultInjectingConnector::s3_error(code, "the region is wrong"),
        );
        west.connector.answer("ListObjectsV2", 1, 400, FaultInjectingConnector::s3_error(code, "the region is wrong"));
        let plan = west.plan().await;
        assert!(blocked(&plan).starts_with("bucket."), "{code}: {plan:#?}");
    }
}

#[tokio::test]
async fn what_a_new_bucket_and_a_new_role_answer_for_a_while_is_tried_again() {
    let moto = Moto::start();
    let text = format!("{NO_INSTANCES}[buckets]\naccess = \"policy\"\n");
    let caller = Caller::with(&moto, &text, FaultInjectingConnector::new()).await;
    let busy = || {
        FaultInjectingConnector::s3_error(
            "OperationAborted",
            "A conflicting conditional operation is currently in progress",
        )
    };
    let unknown = || FaultInjectingConnector::s3_error("NoSuchBucket", "The specified bucket does not exist");
    caller.connector.answer("GetBucketTagging", 1, 404, unknown());
    caller.connector.answer("PutBucketOwnershipControls", 1, 409, busy());
    caller.connector.answer("PutPublicAccessBlock", 1, 404, unknown());
    let blocks = "because public policies are prevented by the BlockPublicPolicy setting in S3 Block Public Access.";
    caller.connector.answer("PutBucketPolicy", 1, 403, FaultInjectingConnector::s3_error("AccessDenied", blocks));
    caller.connector.answer("PutBucketPolicy", 1, 409, busy());
    caller.connector.answer("PutObject", 1, 404, unknown());
    let no_role =
        || FaultInjectingConnector::iam_error("NoSuchEntity", "The role with name cats-worker cannot be found.");
    caller.connector.answer("PutRolePolicy", 1, 404, no_role());
    caller.connector.answer("AddRoleToInstanceProfile", 1, 404, no_role());
    let changing = FaultInjectingConnector::iam_error("ConcurrentModification", "was modified concurrently");
    caller.connector.answer("AddRoleToInstanceProfile", 1, 409, changing);
    assert_done(&caller.apply().await.0);

    // What was made is found, whatever part of AWS does not know it yet.
    caller.connector.answer("GetBucketOwnershipControls", 2, 404, unknown());
    caller.connector.answer("ListRolePolicies", 1, 404, no_role());
    let plan = caller.plan().await;
    assert!(plan.is_empty(), "{plan:#?}");

    let conflict =
        FaultInjectingConnector::iam_error("DeleteConflict", "Cannot delete entity, must detach all policies first.");
    caller.connector.answer("DeleteRole", 2, 409, conflict);
    caller.connector.answer("DeleteRolePolicy", 1, 404, no_role());
    assert_done(&caller.destroy().await);
    caller.assert_destroyed("after the errors").await;
}

#[tokio::test]
async fn a_managed_policy_that_does_not_exist_is_said_at_once() {
    let moto = Moto::start();
    let text = format!("{NO_INSTANCES}[profile]\npolicies = [\"AmazonS3FullAcess\"]\n");
    let caller = Caller::with(&moto, &text, FaultInjectingConnector::new()).await;
    let message = "Policy arn:aws:iam::aws:policy/AmazonS3FullAcess does not exist or is not attachable.";
    caller.connector.answer("AttachRolePolicy", 1, 404, FaultInjectingConnector::iam_error("NoSuchEntity", message));
    let (report, _) = caller.apply().await;
    assert!(report.failures[0].to_string().contains(message), "{report:?}");
    assert_eq!(caller.connector.calls().iter().filter(|made| *made == "AttachRolePolicy").count(), 1);
}

#[tokio::test]
async fn where_a_bucket_cannot_be_made_with_its_tags_it_gets_them_right_after() {
    let moto = Moto::start();
    let caller = Caller::with(&moto, NO_INSTANCES, FaultInjectingConnector::new()).await;
    let message = "The request contained an unsupported argument.";
    caller.connector.answer("CreateBucket", 1, 400, FaultInjectingConnector::s3_error("UnsupportedArgument", message));
    assert_done(&caller.apply().await.0);
    assert!(caller.plan().await.is_empty());
    // Which of the two met it is chance.
    for bucket in [THUMBNAILS, CODE] {
        assert_eq!(caller.bucket_tags(bucket).await["thumb:stack"], "cats", "{bucket}");
    }
}

#[tokio::test]
async fn keys_that_xml_cannot_write_are_deleted_too() {
    let moto = Moto::start();
    let caller = Caller::with(&moto, NO_INSTANCES, FaultInjectingConnector::new()).await;
    assert_done(&caller.apply().await.0);
    let versioning = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    let request = caller.clients.s3.put_bucket_versioning().bucket(THUMBNAILS);
    request.versioning_configuration(versioning).send().await.unwrap();
    for key in ["evil\u{10}.jpg", "plus+ and space.jpg", "caf\u{e9} <&>.jpg", "tab\t.jpg"] {
        caller.put(THUMBNAILS, key).await;
        caller.put(THUMBNAILS, key).await;
    }
    assert_done(&caller.destroy().await);
    caller.assert_destroyed("with such keys").await;
    assert!(caller.connector.calls().iter().any(|made| made == "DeleteObject"));
}

#[tokio::test]
async fn sources_that_cannot_be_read_are_a_note() {
    let moto = Moto::start();
    let world = FaultInjectingConnector::new();
    let east = Caller::with(&moto, NO_INSTANCES, world.again()).await;
    for bucket in ["photos", "east-photos", "their-photos"] {
        east.clients.s3.create_bucket().bucket(bucket).send().await.unwrap();
    }
    let by_bucket = "[thumbnail]\nkey = \"{bucket}/{name}-{width}x{height}.jpg\"";
    let text = format!("{NO_INSTANCES}[buckets]\nsources = [\"photos\", \"no-photos\"]\n{by_bucket}\n");
    let caller = Caller::with(&moto, &text, world.again()).await;
    let notes = |plan: Plan| plan.warnings.into_iter().filter(|note| note.contains("`sources`")).collect::<Vec<_>>();
    let found = notes(caller.plan().await);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("The bucket no-photos in `sources` does not exist"), "{found:?}");

    let text = format!("{NO_INSTANCES}[buckets]\nsources = [\"east-photos\"]\n");
    let west = Caller::with(&moto, &text, world.again().in_region("eu-west-1")).await;
    assert_eq!(notes(west.plan().await), Vec::<String>::new(), "another region's can be read");
}
