//! The log group: made with its tag, its retention kept, and gone when thumb.toml turns it off or the stack goes.

use super::*;

const GROUP: &str = "/thumb/cats";

/// A stack without instances, with these lines in thumb.toml.
fn text(lines: &str) -> String {
    format!("name = \"cats\"\n[instance]\ncount = 0\n{lines}")
}

/// With nothing slow about it.
fn strict() -> Moto {
    Moto::start_strict(&moto::AT_ONCE)
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
    observed.adopt(&[Address::LogGroup]).unwrap();
    let launch_options = read_launch_options(&Reader::new(&caller.clients), &caller.config).await.unwrap();
    let binary = Binary::load(&executable()).map_err(|failure| failure.to_string());
    let desired = Desired::new(&caller.config, &observed, &launch_options, binary, None);
    assert_done(&caller.execute(&plan_apply(&caller.config, &desired, &observed, &[])).await.0);
    assert_eq!(caller.retention().await, Some(14));
    assert!(caller.plan().await.is_empty());

    assert_done(&caller.destroy().await);
    assert_eq!(caller.retention().await, Some(14), "released");
    let groups = logs.describe_log_groups().log_group_name_prefix("/thumb/").send().await.unwrap();
    let arn = groups.log_groups()[0].arn().unwrap().trim_end_matches(":*").to_owned();
    let tags = logs.list_tags_for_resource().resource_arn(arn).send().await.unwrap().tags.unwrap();
    assert_eq!(tags.into_iter().collect::<Vec<_>>(), [("team".to_owned(), "birds".to_owned())]);
}
