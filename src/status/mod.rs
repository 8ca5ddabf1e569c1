//! `thumb status`: what runs, what waits, what failed. A plan says whether the stack is as declared; beside it the queues are
//! counted, and the workers' reports read.

mod metrics;
pub mod reports;
pub mod text;
mod workers;

use aws_sdk_autoscaling::types::Activity;
use serde::Serialize;

use crate::aws::{CallError, CallResult, Clients, QueueCounts, queue_counts};
use crate::config::{Access, Config};
use crate::stack::resources::scaling_group;
use crate::stack::{Observed, Plan};
pub use workers::{Worker, Working};

/// What a stack does at the moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    pub stack: String,
    pub account: String,
    pub region: String,
    /// None: there is no queue.
    pub queue: Option<Queue>,
    /// None: there is no dead-letter queue. Messages in it.
    pub rejected: Option<u64>,
    pub thumbnails: Thumbnails,
    pub group: Option<Group>,
    pub workers: Vec<Worker>,
    pub drift: Drift,
    /// What runs continuously, in dollars a month; none where a price is not known.
    pub usd_a_month: Option<f64>,
    /// What is wrong, each a sentence.
    pub problems: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Queue {
    pub name: String,
    #[serde(flatten)]
    pub counts: QueueCounts,
    /// The age of the oldest message, in seconds; none where CloudWatch does not say.
    pub oldest_s: Option<u64>,
    /// Messages that were done in a second, over the last minutes.
    pub done_a_second: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Thumbnails {
    pub bucket: String,
    pub exists: bool,
    pub public: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Group {
    pub desired: u32,
    pub min: u32,
    pub max: u32,
    /// "InProgress, 40 %".
    pub refresh: Option<String>,
    pub last_activity: Option<LastActivity>,
}

/// What Auto Scaling did last.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LastActivity {
    /// "Launching a new EC2 instance: i-0123456789abcdef0".
    pub what: String,
    /// "Successful".
    pub status: String,
    /// Why, in Auto Scaling's words.
    pub cause: String,
    /// When it began, in seconds since 1970.
    pub began_s: i64,
}

/// How the account differs from thumb.toml.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Drift {
    /// Addresses that an apply would change.
    pub changes: Vec<String>,
    /// Addresses that are blocked.
    pub blocked: Vec<String>,
}

/// What a plan has found, for as long as it is true.
pub struct Basis<'a> {
    pub config: &'a Config,
    pub clients: &'a Clients,
    pub observed: &'a Observed,
    pub plan: &'a Plan,
}

/// Looks at the queues, the metrics, the reports and the group's last activity, in parallel.
///
/// # Errors
/// A queue cannot be counted. What else cannot be read is a problem of the status.
pub async fn look(basis: &Basis<'_>, now_s: u64) -> Result<Status, CallError> {
    let Basis { config, clients, observed, plan } = basis;
    let count = async |url: Option<&str>| match url {
        Some(url) => queue_counts(clients, url).await.map(Some),
        None => Ok(None),
    };
    let url = |queue: &crate::stack::resources::Found<crate::stack::resources::queue::Observed>| {
        queue.ours().map(|queue| queue.url.clone())
    };
    let (queue_url, dlq_url) = (url(&observed.queue), url(&observed.dlq));
    let (queue, dlq, metrics, workers, activity) = tokio::join!(
        count(queue_url.as_deref()),
        count(dlq_url.as_deref()),
        metrics::read(clients, &config.queue.name, now_s),
        workers::read(basis, now_s),
        last_activity(basis),
    );
    let (queue, dlq) = (queue?, dlq?);
    let (workers, unread) = workers;
    let location = &observed.location;
    let mut status = Status {
        stack: config.name.clone(),
        account: location.account.clone(),
        region: location.region.clone(),
        queue: queue.map(|counts| Queue {
            name: config.queue.name.clone(),
            counts,
            oldest_s: metrics.oldest_s.filter(|_| counts.waiting > 0),
            done_a_second: metrics.done_a_second,
        }),
        rejected: dlq.map(QueueCounts::all),
        thumbnails: Thumbnails {
            bucket: config.thumbnails_bucket(&location.account),
            exists: observed.thumbnails.ours().is_some(),
            public: config.buckets.access != Access::Private,
        },
        group: group(basis, activity.as_ref()),
        workers,
        drift: drift(plan),
        usd_a_month: plan.usd_a_month_before,
        problems: Vec::new(),
    };
    status.problems = problems(basis, &status, activity, unread);
    Ok(status)
}

fn drift(plan: &Plan) -> Drift {
    use crate::stack::change::Action;
    let of = |blocked: bool| {
        let changes = plan.changes.iter().filter(|change| change.action != Action::None);
        let some = changes.filter(|change| (change.action == Action::Blocked) == blocked);
        some.map(|change| change.address.to_string()).collect()
    };
    Drift { changes: of(false), blocked: of(true) }
}

/// The group's newest activity; `Err`: it cannot be read.
async fn last_activity(basis: &Basis<'_>) -> Result<Option<Activity>, CallError> {
    if basis.observed.scaling_group.ours().is_none() {
        return Ok(None);
    }
    let name = scaling_group::name(&basis.config.name);
    let call = basis.clients.autoscaling.describe_scaling_activities().auto_scaling_group_name(name).max_records(1);
    let answer = call.send().await.action("autoscaling:DescribeScalingActivities")?;
    Ok(answer.activities.unwrap_or_default().into_iter().next())
}

fn group(basis: &Basis<'_>, activity: Result<&Option<Activity>, &CallError>) -> Option<Group> {
    let group = basis.observed.scaling_group.ours()?;
    let refresh = group.refresh.as_ref().filter(|refresh| refresh.is_active());
    let activity = activity.ok().and_then(Option::as_ref);
    Some(Group {
        desired: group.desired,
        min: group.min,
        max: group.max,
        refresh: refresh.map(|refresh| format!("{}, {} %", refresh.status, refresh.percent)),
        last_activity: activity.map(|activity| LastActivity {
            what: activity.description.clone().unwrap_or_default(),
            status: activity.status_code().map_or("", |code| code.as_str()).to_owned(),
            cause: activity.cause.clone().unwrap_or_default(),
            began_s: activity.start_time.map_or(0, |time| time.secs()),
        }),
    })
}

/// What is wrong, with what shows more or mends it.
fn problems(
    basis: &Basis<'_>,
    status: &Status,
    activity: Result<Option<Activity>, CallError>,
    unread: Option<CallError>,
) -> Vec<String> {
    let Basis { config, observed, .. } = basis;
    let mut problems = Vec::new();
    let Drift { changes, blocked } = &status.drift;
    if status.queue.is_none() || status.rejected.is_none() || !status.thumbnails.exists {
        problems.push("the stack is not complete: `thumb apply` creates what is missing".to_owned());
    } else if !changes.is_empty() || !blocked.is_empty() {
        let all: Vec<&str> = changes.iter().chain(blocked).map(String::as_str).collect();
        problems.push(format!("the stack is not as thumb.toml declares it ({}): see `thumb plan`", all.join(", ")));
    }
    match status.rejected {
        Some(1) => problems.push("1 request was rejected: see `thumb dlq`".to_owned()),
        Some(count) if count > 1 => problems.push(format!("{count} requests were rejected: see `thumb dlq`")),
        _ => {}
    }
    if let Some(why) = unread {
        problems.push(format!("the workers' reports cannot be read: {why}"));
    }
    problems.extend(status.workers.iter().filter_map(|worker| worker.problem.clone()));
    if let Err(error) = activity {
        problems.push(format!("the group's activities cannot be read: {error}"));
    }
    if let Some(why) = observed.scaling_group.ours().and_then(|group| group.failed_activity.as_ref()) {
        problems.push(format!("the group's last launch failed: {why}"));
    }
    let waiting = status.queue.as_ref().map_or(0, |queue| queue.counts.waiting);
    if waiting > 0 && config.instance.count == 0 && config.scaling.is_none() {
        problems
            .push("requests wait, and no instance is declared: run `thumb work`, or set `count` in [instance]".into());
    }
    problems
}
