//! The log group, the topic with its subscriptions, and the alarms that tell somebody: they follow thumb.toml, and nothing is left of
//! them.

use aws_sdk_cloudwatch::types::{ComparisonOperator, Statistic};

use super::*;

const GROUP: &str = "/thumb/cats";

/// A stack without instances, with these lines in thumb.toml.
fn text(lines: &str) -> String {
    format!("name = \"cats\"\n[instance]\ncount = 0\n{lines}")
}

/// With nothing slow about it.
fn strict() -> Moto {
    Moto::start_strict(&[&moto::AT_ONCE[..], &["sqs-queue-deleted-recently.seconds=0"]].concat())
}

impl Caller {
    /// The group's retention in days, 0 for ever; `None`: there is no such group.
    async fn retention(&self) -> Option<i32> {
        let groups = self.clients.logs.describe_log_groups().log_group_name_prefix("/thumb/").send().await.unwrap();
        let group = groups.log_groups().iter().find(|group| group.log_group_name() == Some(GROUP))?;
        Some(group.retention_in_days().unwrap_or_default())
    }

    fn changed(plan: &Plan) -> Vec<(String, Action)> {
        let changes = plan.changes.iter().filter(|change| change.action != Action::None);
        changes.map(|change| (change.address.to_string(), change.action)).collect()
    }
}

#[tokio::test]
async fn the_log_group_follows_thumb_toml() {
    let moto = strict();
    let world = FaultInjectingConnector::before_strict_server();
    let caller = Caller::with(&moto, &text(""), world.again()).await;
    assert_done(&caller.apply().await.0);
    assert_eq!(caller.retention().await, Some(14));
    assert!(caller.plan().await.is_empty());

    // Somebody keeps the lines for ever.
    let logs = &caller.clients.logs;
    logs.delete_retention_policy().log_group_name(GROUP).send().await.unwrap();
    let plan = caller.plan().await;
    assert_eq!(Caller::changed(&plan), [("log-group".to_owned(), Action::Update)]);
    assert_done(&caller.execute(&plan).await.0);
    assert_eq!(caller.retention().await, Some(14));

    let longer = Caller::with(&moto, &text("[logs]\nretention = \"90d\"\n[tags]\na = \"b\""), world.again()).await;
    assert_done(&longer.apply().await.0);
    assert_eq!(longer.retention().await, Some(90));
    assert!(longer.plan().await.is_empty());

    // The role may not write to a group that is not there.
    let off = Caller::with(&moto, &text("[logs]\nretention = \"0\""), world.again()).await;
    let plan = off.plan().await;
    let changed = Caller::changed(&plan);
    assert!(changed.contains(&("log-group".to_owned(), Action::Delete)), "{changed:?}");
    assert!(changed.contains(&("role".to_owned(), Action::Update)), "{changed:?}");
    assert_done(&off.execute(&plan).await.0);
    assert_eq!(off.retention().await, None);
    assert!(off.plan().await.is_empty());

    assert_done(&caller.apply().await.0);
    assert_done(&caller.destroy().await);
    caller.assert_destroyed("after destroy").await;
    assert_eq!(caller.retention().await, None);
}

#[tokio::test]
async fn a_group_made_by_an_apply_that_was_killed_is_finished_by_the_next_one() {
    let moto = strict();
    let world = FaultInjectingConnector::before_strict_server();
    let killed = Caller::with(&moto, &text(""), world.again()).await;
    let stale = killed.plan().await;
    killed.connector.cut_after_operation("CreateLogGroup");
    tokio::select! {
        (report, _) = killed.execute(&stale) => panic!("it ended: {report:?}"),
        () = killed.connector.cut.notified() => {}
    }
    assert_eq!(killed_retention(&moto, &world).await, Some(0), "no retention yet");
    // A plan from before the group was there: creating it again finds our tag.
    let next = Caller::with(&moto, &text(""), world.again()).await;
    assert_done(&next.execute(&stale).await.0);
    assert_eq!(next.retention().await, Some(14));
    assert!(next.plan().await.is_empty());
}

async fn killed_retention(moto: &Moto, world: &FaultInjectingConnector) -> Option<i32> {
    Caller::with(moto, &text(""), world.again()).await.retention().await
}

#[tokio::test]
async fn a_log_group_of_somebody_else_is_left_alone_and_an_adopted_one_is_given_back() {
    let moto = strict();
    let world = FaultInjectingConnector::before_strict_server();
    let caller = Caller::with(&moto, &text(""), world.again()).await;
    let logs = &caller.clients.logs;
    logs.create_log_group().log_group_name(GROUP).tags("team", "birds").send().await.unwrap();
    // Whose name begins so is none of ours.
    logs.create_log_group().log_group_name("/thumb/cats-2").send().await.unwrap();
    let plan = caller.plan().await;
    let change = plan.changes.iter().find(|change| change.address == Address::LogGroup).unwrap();
    assert_eq!(change.action, Action::Blocked);
    assert_eq!(change.reason.as_deref(), Some("the log group /thumb/cats already exists and belongs to no stack"));

    let mut observed = caller.observe().await;
    observed.adopt(&[Target::Resource(Address::LogGroup)]).unwrap();
    let launch_options = read_launch_options(&Reader::new(&caller.clients), &caller.config).await.unwrap();
    let binary = Binary::load(&executable()).map_err(|failure| failure.to_string());
    let desired = Desired::new(&caller.config, &observed, &launch_options, binary, None);
    assert_done(&caller.execute(&plan_apply(&caller.config, &desired, &observed, &Selection::default())).await.0);
    assert_eq!(caller.retention().await, Some(14));
    assert!(caller.plan().await.is_empty());

    assert_done(&caller.destroy().await);
    assert_eq!(caller.retention().await, Some(14), "released");
    let groups = logs.describe_log_groups().log_group_name_prefix("/thumb/").send().await.unwrap();
    let arn = groups.log_groups()[0].arn().unwrap().trim_end_matches(":*").to_owned();
    let tags = logs.list_tags_for_resource().resource_arn(arn).send().await.unwrap().tags.unwrap();
    assert_eq!(tags.into_iter().collect::<Vec<_>>(), [("team".to_owned(), "birds".to_owned())]);
}

const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:cats-events";

impl Caller {
    /// The e-mail subscriptions, as SNS lists them.
    async fn subscriptions(&self) -> Vec<(String, String)> {
        let list = self.clients.sns.list_subscriptions_by_topic().topic_arn(TOPIC).send().await.unwrap();
        let one = |one: &aws_sdk_sns::types::Subscription| {
            let arn = one.subscription_arn().unwrap();
            let state = if arn.starts_with("arn:") { "confirmed" } else { arn };
            (one.endpoint().unwrap().to_owned(), state.to_owned())
        };
        let mut all: Vec<_> = list.subscriptions().iter().map(one).collect();
        all.sort();
        all
    }

    /// The receiver follows the link: the strict emulator takes the address for the token.
    async fn confirm(&self, email: &str) {
        self.clients.sns.confirm_subscription().topic_arn(TOPIC).token(email).send().await.unwrap();
    }

    async fn alarms(&self) -> Vec<String> {
        let alarms = self.clients.cloudwatch.describe_alarms().send().await.unwrap();
        let mut names: Vec<String> = alarms.metric_alarms().iter().filter_map(|one| one.alarm_name.clone()).collect();
        names.sort();
        names
    }
}

#[tokio::test]
async fn the_topic_its_mail_and_its_alarms_follow_thumb_toml() {
    let moto = strict();
    let world = FaultInjectingConnector::before_strict_server();
    let with = async |lines: &str| Caller::with(&moto, &text(lines), world.again()).await;
    let caller = with("[notify]\nemail = [\"a@example.com\", \"b@example.com\"]").await;
    let plan = caller.plan().await;
    assert!(plan.notes.iter().any(|note| note.starts_with("AWS sends a mail with a link to a@example.com, b@")));
    assert_done(&caller.execute(&plan).await.0);
    let pending = |who: &str| (who.to_owned(), "PendingConfirmation".to_owned());
    let confirmed = |who: &str| (who.to_owned(), "confirmed".to_owned());
    assert_eq!(caller.subscriptions().await, [pending("a@example.com"), pending("b@example.com")]);
    assert_eq!(caller.alarms().await, ["cats-oldest", "cats-rejected", "cats-stuck"]);
    let plan = caller.plan().await;
    assert!(plan.is_empty(), "{plan:#?}");
    assert!(plan.notes.iter().any(|note| note.starts_with("No alarm reaches a@example.com, b@")), "{:?}", plan.notes);
    caller.confirm("a@example.com").await;
    caller.confirm("b@example.com").await;
    let plan = caller.plan().await;
    assert!(plan.is_empty() && !plan.notes.iter().any(|note| note.contains("@example.com")), "{plan:#?}");

    // An alarm that somebody has changed, one that is gone, and a subscription that gets everything.
    let cloudwatch = &caller.clients.cloudwatch;
    let other =
        cloudwatch.put_metric_alarm().alarm_name("cats-stuck").namespace("AWS/SQS").metric_name("SentMessageSize");
    let other = other.statistic(Statistic::Maximum).period(60).evaluation_periods(1).threshold(1.0);
    other.comparison_operator(ComparisonOperator::GreaterThanThreshold).send().await.unwrap();
    cloudwatch.delete_alarms().alarm_names("cats-oldest").send().await.unwrap();
    let all = caller.clients.sns.list_subscriptions_by_topic().topic_arn(TOPIC).send().await.unwrap();
    let arn = all.subscriptions()[0].subscription_arn().unwrap();
    let set = caller.clients.sns.set_subscription_attributes().subscription_arn(arn).attribute_name("FilterPolicy");
    set.attribute_value("{}").send().await.unwrap();
    let plan = caller.plan().await;
    let drift = [("topic", Action::Update), ("alarm.oldest", Action::Create), ("alarm.stuck", Action::Update)];
    assert_eq!(Caller::changed(&plan), drift.map(|(address, action)| (address.to_owned(), action)));
    assert_done(&caller.execute(&plan).await.0);
    assert!(caller.plan().await.is_empty());

    // One person leaves and another comes; a queue of somebody's stays subscribed.
    let queue = "arn:aws:sqs:us-east-1:123456789012:cats-dlq";
    caller.clients.sns.subscribe().topic_arn(TOPIC).protocol("sqs").endpoint(queue).send().await.unwrap();
    let caller = with("[notify]\nemail = [\"b@example.com\", \"c@example.com\"]\ntopic = true").await;
    assert_done(&caller.apply().await.0);
    let expected = [confirmed(queue), confirmed("b@example.com"), pending("c@example.com")];
    assert_eq!(caller.subscriptions().await, expected);
    assert!(caller.plan().await.is_empty());

    // Nobody is to be told any more.
    let off = with("").await;
    assert_done(&off.apply().await.0);
    assert!(off.plan().await.is_empty());
    assert_eq!(off.alarms().await, Vec::<String>::new());
    assert!(off.clients.sns.list_topics().send().await.unwrap().topics().is_empty());

    assert_done(&caller.apply().await.0);
    assert_done(&caller.destroy().await);
    caller.assert_destroyed("after destroy").await;
    assert_eq!(caller.alarms().await, Vec::<String>::new());
    assert!(caller.clients.sns.list_topics().send().await.unwrap().topics().is_empty());
    assert_eq!(caller.retention().await, None);
}

#[tokio::test]
async fn a_topic_of_somebody_else_blocks_its_alarms_and_nothing_is_done_to_it() {
    let moto = strict();
    let world = FaultInjectingConnector::before_strict_server();
    let caller = Caller::with(&moto, &text("[notify]\ntopic = true"), world.again()).await;
    caller.clients.sns.create_topic().name("cats-events").send().await.unwrap();
    let plan = caller.plan().await;
    let change = plan.changes.iter().find(|change| change.address == Address::Topic).unwrap();
    assert_eq!(change.action, Action::Blocked);
    caller.execute(&plan).await;
    assert_eq!(caller.alarms().await, Vec::<String>::new(), "they need it");
    let mut observed = caller.observe().await;
    observed.adopt(&[Target::Resource(Address::Topic)]).unwrap();
}

#[tokio::test]
async fn a_stack_with_a_topic_is_finished_after_being_killed_anywhere() {
    let moto = strict();
    let world = FaultInjectingConnector::before_strict_server();
    for operation in ["CreateTopic", "Subscribe", "PutMetricAlarm"] {
        let lines = "[notify]\nemail = [\"a@example.com\"]\n[tags]\na = \"b\"";
        let killed = Caller::with(&moto, &text(lines), world.again()).await;
        let stale = killed.plan().await;
        killed.connector.cut_after_operation(operation);
        tokio::select! {
            (report, _) = killed.execute(&stale) => panic!("{operation}: it ended: {report:?}"),
            () = killed.connector.cut.notified() => {}
        }
        let next = Caller::with(&moto, &text(lines), world.again()).await;
        assert_done(&next.execute(&stale).await.0);
        assert!(next.plan().await.is_empty(), "{operation}");
        assert_eq!(next.subscriptions().await.len(), 1, "{operation}");
        assert_done(&next.destroy().await);
    }
}

#[tokio::test]
async fn the_dashboard_follows_thumb_toml() {
    let moto = strict();
    let world = FaultInjectingConnector::before_strict_server();
    let on = Caller::with(&moto, &text("[dashboard]\non = true"), world.again()).await;
    assert_done(&on.apply().await.0);
    assert!(on.plan().await.is_empty());
    const NAME: &str = "thumb-cats-us-east-1";
    let cloudwatch = &on.clients.cloudwatch;
    cloudwatch.put_dashboard().dashboard_name(NAME).dashboard_body(r#"{"widgets":[]}"#).send().await.unwrap();
    let plan = on.plan().await;
    assert_eq!(Caller::changed(&plan), [("dashboard".to_owned(), Action::Update)]);
    assert_done(&on.execute(&plan).await.0);
    assert!(on.plan().await.is_empty());

    // It shows the alarms that there are.
    let more = text("[dashboard]\non = true\n[notify]\ntopic = true");
    let more = Caller::with(&moto, &more, world.again()).await;
    let plan = more.plan().await;
    assert!(Caller::changed(&plan).contains(&("dashboard".to_owned(), Action::Update)), "{plan:#?}");
    assert_done(&more.execute(&plan).await.0);
    assert!(more.plan().await.is_empty());
    let off = Caller::with(&moto, &text(""), world.again()).await;
    assert_done(&off.apply().await.0);
    assert!(off.plan().await.is_empty());
    assert!(cloudwatch.list_dashboards().send().await.unwrap().dashboard_entries().is_empty());

    // One of somebody else.
    cloudwatch.put_dashboard().dashboard_name(NAME).dashboard_body(r#"{"widgets":[]}"#).send().await.unwrap();
    let plan = on.plan().await;
    assert_eq!(Caller::changed(&plan), [("dashboard".to_owned(), Action::Blocked)]);
    on.destroy().await;
    assert_eq!(cloudwatch.list_dashboards().send().await.unwrap().dashboard_entries().len(), 1);
}
