//! Instance refreshes: Auto Scaling replaces the group's instances, a tenth of them at a time, by new ones of another version
//! of the launch template, and goes back to the version before when the new ones fail. An interrupted apply leaves a refresh
//! running, and the next one joins it.

use std::time::Duration;

use aws_sdk_autoscaling::types::{
    DesiredConfiguration, RefreshPreferences, RefreshStrategy, ScaleInProtectedInstances, ScalingActivityStatusCode,
    StandbyInstances,
};
use tokio::time::Instant;

use super::read::observe;
use super::workers::Workers;
use super::{Mixed, Observed, Refresh, WARMUP_S, read};
use crate::aws::{Backoff, CallError, CallResult, Kind, Writer};
use crate::stack::resources::{Found, StepContext, ok_if_gone};
use crate::text::plural;

const START: &str = "autoscaling:StartInstanceRefresh";
const IN_SERVICE: &str = "autoscaling:DescribeAutoScalingGroups";
/// How much of the group stays in service, and how large it may become meanwhile, in percent of its desired capacity.
const MIN_HEALTHY_PERCENT: i32 = 90;
const MAX_HEALTHY_PERCENT: i32 = 110;
/// Between two looks.
const LOOK_AGAIN: Backoff = Backoff { first: Duration::from_millis(250), max: Duration::from_secs(5) };
/// How long a refresh may go on without replacing anything. One instance takes minutes; where there is no capacity, Auto
/// Scaling tries for an hour before it gives up.
const STUCK: Duration = Duration::from_secs(30 * 60);
/// How long Auto Scaling may take to accept a refresh: its launch template names an instance profile, which may be new.
const ACCEPTED: Duration = Duration::from_secs(60);
/// How long the group may take until its instances are in service: as long as an instance may take to report.
const IN_SERVICE_TIME: Duration = Duration::from_secs(10 * 60);
/// Scaling activities to look through for one that failed (API DescribeScalingActivities: 100 at most).
const ACTIVITIES: i32 = 20;

/// A refresh to make.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    pub name: &'a str,
    pub mixed: &'a Mixed,
    pub version: i64,
    /// Where to go back to.
    pub previous: Option<i64>,
    /// The bucket in which each new instance's worker must report. None: nobody waits for that.
    pub reports: Option<&'a str>,
}

/// Replaces the instances, and waits for it.
///
/// # Errors
/// The refresh failed, or was rolled back: why, and what the group runs now; it was interrupted, and goes on.
pub async fn run(wanted: &Wanted<'_>, aws: &Writer, context: &StepContext<'_>) -> Result<(), CallError> {
    let result = replace(wanted, aws, context).await;
    if result.as_ref().is_err_and(|error| error.kind == Kind::Interrupted) {
        let why = "the instance refresh goes on by itself; the next apply waits for it";
        (context.waiting)(context.address, why);
    }
    result
}

async fn replace(wanted: &Wanted<'_>, aws: &Writer, context: &StepContext<'_>) -> Result<(), CallError> {
    let Wanted { previous, .. } = *wanted;
    let Some(why) = follow(wanted, aws, context).await? else { return Ok(()) };
    // A small group is through before its instances have had time to report: a refresh that is complete cannot be rolled
    // back, but another one leads back.
    let failed = |rest: String| {
        let message = format!("the instance refresh was complete when a new instance did not work: {why}{rest}");
        CallError::judged(START, Kind::Refused, message)
    };
    let Some(previous) = previous else { return Err(failed(String::new())) };
    (context.waiting)(context.address, &format!("{why}: going back to version {previous}"));
    match follow(&Wanted { version: previous, reports: None, ..*wanted }, aws, context).await {
        Ok(_) => Err(failed(format!(". The group went back to version {previous}"))),
        Err(error) if error.kind == Kind::Interrupted => Err(error),
        Err(error) => {
            Err(failed(format!(", and the group could not go back to version {previous}: {}", error.message)))
        }
    }
}

/// Starts or joins a refresh, and waits until it ends. Returns why an instance does not work, if the refresh is complete and
/// one does not.
async fn follow(wanted: &Wanted<'_>, aws: &Writer, context: &StepContext<'_>) -> Result<Option<String>, CallError> {
    let Wanted { name, mixed, version, previous: _, reports } = *wanted;
    let id = start(name, mixed, version, aws, context).await?;
    Following { name, id: &id, version, reports, aws, context }.to_the_end().await
}

/// Starts the refresh, or finds that it runs already. Another one is cancelled first.
async fn start(
    name: &str,
    mixed: &Mixed,
    version: i64,
    aws: &Writer,
    context: &StepContext<'_>,
) -> Result<String, CallError> {
    let (deadline, accepted_by) = (Instant::now() + STUCK, Instant::now() + ACCEPTED);
    let mut told = false;
    for attempt in 0.. {
        let active = ours(observe(name, aws, context).await?, name)?.refresh.filter(Refresh::is_active);
        let why = match active {
            Some(refresh) if refresh.leads_to(version, mixed) => {
                let why = format!("an instance refresh toward version {version} is running already");
                (context.waiting)(context.address, &why);
                return Ok(refresh.id);
            }
            Some(refresh) if matches!(&*refresh.status, "Cancelling" | "RollbackInProgress") => {
                format!("another instance refresh has to end first ({})", refresh.status)
            }
            Some(_) => {
                let request = aws.clients.autoscaling.cancel_instance_refresh().auto_scaling_group_name(name);
                ok_if_gone(request.send().await.action("autoscaling:CancelInstanceRefresh"))?;
                "another instance refresh was cancelled, and has to end first".to_owned()
            }
            None => match request(name, mixed, version, aws).await {
                // Started by a concurrent apply, or by an attempt whose response was lost: the next look says.
                Err(error)
                    if matches!(error.kind, Kind::AlreadyExists | Kind::NotYet) && Instant::now() < accepted_by =>
                {
                    format!("waiting for Auto Scaling to start the instance refresh: {}", error.message)
                }
                result => {
                    let id = result?;
                    let why = format!("an instance refresh toward version {version} replaces the instances");
                    (context.waiting)(context.address, &why);
                    return Ok(id);
                }
            },
        };
        if Instant::now() >= deadline {
            let message = format!("after {} minutes it could not be started: {why}", STUCK.as_secs() / 60);
            return Err(CallError::judged(START, Kind::InUse, message));
        }
        if !std::mem::replace(&mut told, true) {
            (context.waiting)(context.address, &why);
        }
        context.pause(LOOK_AGAIN.delay(attempt), START).await?;
    }
    unreachable!("the loop ends at its deadline")
}

async fn request(name: &str, mixed: &Mixed, version: i64, aws: &Writer) -> Result<String, CallError> {
    let warmup = i32::try_from(WARMUP_S).unwrap_or(i32::MAX);
    let preferences = RefreshPreferences::builder()
        .skip_matching(true)
        .auto_rollback(true)
        .min_healthy_percentage(MIN_HEALTHY_PERCENT)
        .max_healthy_percentage(MAX_HEALTHY_PERCENT)
        .instance_warmup(warmup)
        // By default a refresh waits for protected and for standby instances until it times out.
        .scale_in_protected_instances(ScaleInProtectedInstances::Refresh)
        .standby_instances(StandbyInstances::Terminate)
        .build();
    let desired = DesiredConfiguration::builder().mixed_instances_policy(mixed.policy(version)).build();
    let request = aws.clients.autoscaling.start_instance_refresh().auto_scaling_group_name(name);
    let request = request.strategy(RefreshStrategy::Rolling).desired_configuration(desired).preferences(preferences);
    let out = request.send().await.action(START)?;
    Ok(out.instance_refresh_id.unwrap_or_default())
}

/// A refresh that is waited for.
struct Following<'a> {
    name: &'a str,
    id: &'a str,
    version: i64,
    reports: Option<&'a str>,
    aws: &'a Writer,
    context: &'a StepContext<'a>,
}

impl Following<'_> {
    async fn to_the_end(&self) -> Result<Option<String>, CallError> {
        let Self { name, id: _, version, reports, aws, context } = *self;
        let mut workers = Workers::default();
        let (mut moved, mut told) = (Instant::now(), String::new());
        let mut last = None;
        // Why it was rolled back, if thumb did that.
        let mut cause: Option<String> = None;
        for attempt in 0.. {
            if let (Some(observed), Some(refresh)) = (look(name, aws, context).await?, self.look().await?) {
                let refresh = &refresh;
                let failed = match reports.filter(|_| cause.is_none()) {
                    Some(bucket) => workers.look(&observed, Some(version), bucket, aws, context).await?,
                    None => None,
                };
                if !refresh.is_active() {
                    let why = cause.clone().or_else(|| failed.clone());
                    match (&*refresh.status, why) {
                        // Also if it was to be rolled back, and was faster.
                        ("Successful", Some(why)) => return Ok(Some(why)),
                        ("Successful", None) if workers.all_reported() => return Ok(None),
                        ("Successful", None) => {}
                        (_, why) => return Err(self.ended(&observed, refresh, why).await),
                    }
                }
                let now = (refresh.status.clone(), refresh.percent, refresh.left, observed.in_service(version));
                if last.as_ref() != Some(&now) {
                    (last, moved) = (Some(now), Instant::now());
                }
                let progress = progress(refresh);
                if progress != told {
                    (context.waiting)(context.address, &progress);
                    told = progress;
                }
                let stuck = (moved.elapsed() >= STUCK).then(|| stuck(&observed, refresh));
                if cause.is_some() && stuck.is_some() {
                    return Err(self.ended(&observed, refresh, cause.or(stuck)).await);
                }
                if let Some(why) = failed.or(stuck).filter(|_| refresh.is_active()) {
                    (context.waiting)(context.address, &format!("{why}: rolling back"));
                    self.roll_back(&why).await?;
                    (cause, moved) = (Some(why), Instant::now());
                }
            }
            context.pause(LOOK_AGAIN.delay(attempt), START).await?;
        }
        unreachable!("the loop ends with the refresh")
    }

    /// The refresh now; `None` if AWS is not reachable for the moment.
    async fn look(&self) -> Result<Option<Refresh>, CallError> {
        const ACTION: &str = "autoscaling:DescribeInstanceRefreshes";
        let request = self.aws.clients.autoscaling.describe_instance_refreshes().auto_scaling_group_name(self.name);
        match request.instance_refresh_ids(self.id).send().await.action(ACTION) {
            Ok(out) => Ok(out.instance_refreshes().first().map(read::refresh)),
            Err(error) if matches!(error.kind, Kind::Throttled | Kind::Unavailable) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn roll_back(&self, why: &str) -> Result<(), CallError> {
        const ACTION: &str = "autoscaling:RollbackInstanceRefresh";
        let request = self.aws.clients.autoscaling.rollback_instance_refresh().auto_scaling_group_name(self.name);
        match ok_if_gone(request.send().await.action(ACTION)) {
            Err(error) => Err(CallError {
                message: format!("{why}; and it could not be rolled back: {}", error.message),
                ..error
            }),
            Ok(()) => Ok(()),
        }
    }

    /// Why a refresh did not succeed, and what the group runs now.
    async fn ended(&self, observed: &Observed, refresh: &Refresh, cause: Option<String>) -> CallError {
        let what = match &*refresh.status {
            "RollbackSuccessful" => "the instance refresh was rolled back",
            "RollbackFailed" => "the instance refresh failed, and so did its rollback",
            "Cancelled" => "the instance refresh was cancelled",
            "Failed" => "the instance refresh failed",
            _ => "the rollback of the instance refresh does not go on",
        };
        let activity = last_failure(self.name, self.aws).await;
        let mut reasons: Vec<String> = cause.into_iter().chain(refresh.reason.clone()).chain(activity).collect();
        reasons.dedup();
        let reasons: Vec<&str> = reasons.iter().map(|reason| reason.trim_end_matches('.')).collect();
        let reasons = if reasons.is_empty() { "Auto Scaling gives no reason".to_owned() } else { reasons.join("; ") };
        CallError::judged(START, Kind::Refused, format!("{what}: {reasons}. {}", observed.runs()))
    }
}

fn progress(refresh: &Refresh) -> String {
    let Refresh { id: _, status, reason, percent, left, toward: _ } = refresh;
    let what = match &**status {
        "RollbackInProgress" => "the instance refresh is being rolled back",
        "Cancelling" => "the instance refresh is being cancelled",
        "Successful" => return "the instance refresh is complete; waiting for the workers' first reports".to_owned(),
        _ => "the instance refresh goes on",
    };
    let reason = reason.as_ref().map_or_else(String::new, |reason| format!(": {}", reason.trim_end_matches('.')));
    let instances = plural(u64::try_from(*left).unwrap_or_default(), "instance");
    format!("{what} ({percent} %, {left} {instances} to replace){reason}")
}

/// Why nothing moves.
fn stuck(observed: &Observed, refresh: &Refresh) -> String {
    let minutes = STUCK.as_secs() / 60;
    let ids = |which: &dyn Fn(&super::Member) -> bool| {
        observed
            .members
            .iter()
            .filter(|member| which(member))
            .map(|member| member.id.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let protected = ids(&|member| member.protected && !member.is_leaving());
    let standby = ids(&|member| member.state == "Standby");
    let why = match (&refresh.reason, &observed.failed_activity) {
        _ if !protected.is_empty() => format!("{protected} is protected from scale-in"),
        _ if !standby.is_empty() => format!("{standby} is in standby"),
        (Some(reason), _) | (None, Some(reason)) => reason.trim_end_matches('.').to_owned(),
        (None, None) => "Auto Scaling gives no reason".to_owned(),
    };
    format!("nothing was replaced for {minutes} minutes ({why})")
}

impl Observed {
    /// Instances of a version that are in service.
    fn in_service(&self, version: i64) -> usize {
        self.members.iter().filter(|member| member.is_in_service() && member.version == Some(version)).count()
    }

    /// What the group runs, as a sentence.
    fn runs(&self) -> String {
        let version = self.launching.version();
        let alive: Vec<_> = self.members.iter().filter(|member| !member.is_leaving()).collect();
        let as_group = alive.iter().filter(|member| member.version == version).count();
        match version {
            Some(version) => {
                format!("The group has version {version}, as have {as_group} of its {} instances", alive.len())
            }
            None => format!("The group has {} instances", alive.len()),
        }
    }
}

/// Waits until as many instances are in service as the group wants, and, with `reports`, their workers have reported.
///
/// # Errors
/// They were not in [`IN_SERVICE_TIME`]: why; one of the workers does not work; it was interrupted.
pub async fn await_in_service(
    name: &str,
    reports: Option<&str>,
    aws: &Writer,
    context: &StepContext<'_>,
) -> Result<(), CallError> {
    let deadline = Instant::now() + IN_SERVICE_TIME;
    let mut workers = Workers::default();
    let mut last = None;
    for attempt in 0.. {
        if let Some(observed) = look(name, aws, context).await? {
            let failed = match reports {
                Some(bucket) => workers.look(&observed, None, bucket, aws, context).await?,
                None => None,
            };
            if let Some(why) = failed {
                return Err(CallError::judged(IN_SERVICE, Kind::Refused, why));
            }
            let wanted = usize::try_from(observed.desired).unwrap_or(usize::MAX);
            let there = observed.members.iter().filter(|member| member.is_in_service()).count();
            if there >= wanted && workers.all_reported() {
                return Ok(());
            }
            if there < wanted && Instant::now() >= deadline {
                let why = last_failure(name, aws).await.unwrap_or_else(|| "Auto Scaling gives no reason".to_owned());
                let minutes = IN_SERVICE_TIME.as_secs() / 60;
                let message = format!("{there} of {wanted} instances are in service after {minutes} minutes: {why}");
                return Err(CallError::judged(IN_SERVICE, Kind::NotYet, message));
            }
            let now = (there, wanted, observed.failed_activity.clone());
            if last.as_ref() != Some(&now) {
                let failed = observed.failed_activity.map_or_else(String::new, |why| format!(": {why}"));
                let reports = if there >= wanted { "; waiting for the workers' first reports" } else { "" };
                let why = format!("{there} of {wanted} instances are in service{reports}{failed}");
                (context.waiting)(context.address, &why);
                last = Some(now);
            }
        }
        context.pause(LOOK_AGAIN.delay(attempt), IN_SERVICE).await?;
    }
    unreachable!("the loop ends at its deadline")
}

/// The group now; `None` if AWS is not reachable for the moment.
async fn look(name: &str, aws: &Writer, context: &StepContext<'_>) -> Result<Option<Observed>, CallError> {
    match observe(name, aws, context).await {
        Err(error) if matches!(error.kind, Kind::Throttled | Kind::Unavailable) => Ok(None),
        result => ours(result?, name).map(Some),
    }
}

fn ours(found: Found<Observed>, name: &str) -> Result<Observed, CallError> {
    match found {
        Found::Ours(observed) => Ok(observed),
        _ => Err(CallError::judged(
            START,
            Kind::Refused,
            format!("the group {name} is no longer there, or no longer ours"),
        )),
    }
}

/// Why the last scaling activity that failed did so.
async fn last_failure(name: &str, aws: &Writer) -> Option<String> {
    let request = aws.clients.autoscaling.describe_scaling_activities().auto_scaling_group_name(name);
    let activities = request.max_records(ACTIVITIES).send().await.ok()?.activities.unwrap_or_default();
    let failed =
        activities.into_iter().find(|found| found.status_code() == Some(&ScalingActivityStatusCode::Failed))?;
    failed.status_message.or(failed.description)
}

#[cfg(test)]
mod tests;
