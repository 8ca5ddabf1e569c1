//! Waits for the first report of an instance's worker. The state "running" says only that the machine is on; the report in
//! the code bucket ([`WorkerReport`]) says that the worker has found its queue. If none comes, the console or the network
//! of the instance may say why.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_ec2::types::{Filter, Instance, InstanceStateName, RouteState};
use tokio::time::Instant;

use super::describe::{describe, state};
use crate::aws::{CallError, CallResult, Clients, Kind, Writer, all};
use crate::stack::address::Address;
use crate::stack::resources::{StepContext, optional};
use crate::worker_report::{self, State, WorkerReport};

/// How long a worker may take until its first report. It boots in a minute or two; then it waits for its permissions and
/// S3 for at most eight minutes (user_data/boot.py, `ATTEMPTS` and `S3_ATTEMPT_S`).
pub const FIRST_REPORT: Duration = Duration::from_secs(600);
/// Between two checks for the report.
const LOOK_AGAIN: Duration = Duration::from_secs(3);
/// Between two checks of the instance and its console.
const EXAMINE_EVERY: Duration = Duration::from_secs(30);
/// How long to wait for a report after the console says that the boot failed: the service keeps trying.
const AFTER_FAILED: Duration = Duration::from_secs(60);
/// The maximum age of a report of an older instance: an idle worker reports every five minutes.
const FRESH: Duration = Duration::from_secs(900);
/// What the boot script writes to the console when it fails.
const FAILED: &str = "thumb: FAILED";
/// Of a console's line, in characters.
const MAX_LINE: usize = 500;
/// Takes the place of the call in an error of this wait.
pub const AWAITED: &str = "the worker's first report";

/// Waits until the worker of an instance has reported: of the one with this ID, or of the one that this run has launched.
///
/// # Errors
/// None came in [`FIRST_REPORT`], with the reason if one can be found; the instance was terminated; the user interrupted.
pub async fn await_report(
    id: Option<&str>,
    bucket: &str,
    aws: &Writer,
    context: &StepContext<'_>,
) -> Result<(), CallError> {
    let launched = match context.address {
        Address::Instance(index) => context.outputs.facts().running.get(&index).map(|running| running.id.clone()),
        _ => None,
    };
    let fresh = launched.is_none() || id.is_some_and(|id| launched.as_deref() != Some(id));
    let Some(id) = id.map(str::to_owned).or(launched) else {
        return Err(CallError::judged(AWAITED, Kind::Refused, "no instance was launched"));
    };
    let mut watch = Watch::new(&id, fresh);
    let mut told = false;
    loop {
        match watch.look(bucket, aws, context).await? {
            Seen::Reported => {
                if let Address::Instance(index) = context.address
                    && let Some(running) = context.outputs.facts().running.get_mut(&index)
                {
                    running.reported = true;
                }
                return Ok(());
            }
            Seen::Nothing => {}
            Seen::Gone(why) => {
                let message = format!("{why}; the old instance, if any, is kept");
                return Err(CallError::judged(AWAITED, Kind::Refused, message));
            }
            Seen::Failed(why) => {
                let message = format!("{why}. The old instance, if any, is kept. {}", watch.console_hint());
                return Err(CallError::judged(AWAITED, Kind::NotYet, message));
            }
        }
        if !told {
            let minutes = FIRST_REPORT.as_secs() / 60;
            let why = format!(
                "waiting for the first report of the worker on {id} (up to {minutes} minutes): \
                 s3://{bucket}/{}",
                worker_report::key(&id)
            );
            (context.waiting)(context.address, &why);
            told = true;
        }
        context.pause(LOOK_AGAIN, AWAITED).await?;
    }
}

/// An instance whose worker's first report is awaited.
#[derive(Debug)]
pub struct Watch {
    id: String,
    /// Whether only a recent report counts.
    fresh: bool,
    began: Instant,
    deadline: Instant,
    examined: Instant,
    /// The console's line about a failed boot.
    reason: Option<String>,
}

/// What one look at such an instance finds.
#[derive(Debug)]
pub enum Seen {
    Nothing,
    Reported,
    /// It will never report: why.
    Gone(String),
    /// No report came in time: why.
    Failed(String),
}

impl Watch {
    pub fn new(id: &str, fresh: bool) -> Self {
        let began = Instant::now();
        let deadline = began + FIRST_REPORT;
        Self { id: id.to_owned(), fresh, began, deadline, examined: began, reason: None }
    }

    /// # Errors
    /// The report cannot be read, or is none.
    pub async fn look(&mut self, bucket: &str, aws: &Writer, context: &StepContext<'_>) -> Result<Seen, CallError> {
        let id = &self.id;
        let seen = read(id, bucket, aws, context).await?;
        if seen.as_ref().is_some_and(|report| works(report, self.fresh)) {
            return Ok(Seen::Reported);
        }
        let now = Instant::now();
        if now - self.examined >= EXAMINE_EVERY || now >= self.deadline {
            self.examined = now;
            match examine(id, aws).await {
                Finding::Gone(why) => return Ok(Seen::Gone(why)),
                Finding::Failed(line) if self.reason.is_none() => {
                    self.deadline = self.deadline.min(now + AFTER_FAILED);
                    self.reason = Some(line);
                }
                Finding::Failed(_) | Finding::Nothing => {}
            }
        }
        if now < self.deadline {
            return Ok(Seen::Nothing);
        }
        let reason = match (&self.reason, seen) {
            (Some(line), _) => line.clone(),
            (None, Some(report)) => last_word(&report),
            (None, None) => network(id, aws).await,
        };
        let waited = self.began.elapsed().as_secs();
        Ok(Seen::Failed(format!("none from {id} in {}m{:02}s: {reason}", waited / 60, waited % 60)))
    }

    /// How to read the console.
    pub fn console_hint(&self) -> String {
        format!("Console: `aws ec2 get-console-output --latest --output text --instance-id {}`", self.id)
    }
}

/// The report of an instance's worker; `None` if there is none yet, or AWS is not reachable.
async fn read(
    id: &str,
    bucket: &str,
    aws: &Writer,
    context: &StepContext<'_>,
) -> Result<Option<WorkerReport>, CallError> {
    match read_report(id, bucket, context.account, &aws.clients).await {
        Err(error) if matches!(error.kind, Kind::Throttled | Kind::Unavailable | Kind::NotYet) => Ok(None),
        result => result,
    }
}

/// The report of an instance's worker; `None` if there is none.
///
/// # Errors
/// It cannot be read, or is no report of this version.
async fn read_report(
    id: &str,
    bucket: &str,
    account: &str,
    clients: &Clients,
) -> Result<Option<WorkerReport>, CallError> {
    const GET: &str = "s3:GetObject";
    let request = clients.s3.get_object().bucket(bucket).key(worker_report::key(id)).expected_bucket_owner(account);
    let Some(object) = optional(request.send().await.action(GET))? else { return Ok(None) };
    let bad = |why: String| CallError::judged(GET, Kind::Refused, format!("the report of {id} {why}"));
    let length = object.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(usize::MAX);
    if length > worker_report::MAX_BYTES {
        return Err(bad(format!("has more than {} bytes", worker_report::MAX_BYTES)));
    }
    let bytes = object.body.collect().await;
    let bytes = bytes.map_err(|error| CallError::judged(GET, Kind::Unavailable, error.to_string()))?;
    WorkerReport::from_json(&bytes.into_bytes()).map(Some).map_err(|error| bad(error.to_string()))
}

/// Whether a report says that the worker takes messages. `fresh`: only if it is recent.
fn works(report: &WorkerReport, fresh: bool) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    matches!(report.state, State::Started | State::Working | State::Idle)
        && (!fresh || report.last_seen_s.saturating_add(FRESH.as_secs()) >= now.as_secs())
}

fn last_word(report: &WorkerReport) -> String {
    match report.state {
        State::Stopping | State::Stopped => "its last report says that the worker was stopped".to_owned(),
        State::Started | State::Working | State::Idle => {
            format!("its last report is older than {} minutes", FRESH.as_secs() / 60)
        }
    }
}

/// What can be seen of an instance from outside.
enum Finding {
    Nothing,
    /// It will never report: why.
    Gone(String),
    /// Its boot failed: the console's line.
    Failed(String),
}

/// Checks the state and the console of an instance. Read errors count as no finding.
async fn examine(id: &str, aws: &Writer) -> Finding {
    let ids = [id.to_owned()];
    let (instances, console) = tokio::join!(describe(&ids, aws), console_line(id, aws));
    let instance = instances.ok().and_then(|instances| instances.into_iter().next());
    if let Some(instance) = &instance
        && let Some(other) = state(instance)
        && !matches!(other, InstanceStateName::Pending | InstanceStateName::Running)
    {
        let why = instance.state_reason().and_then(|reason| reason.message()).unwrap_or("EC2 gives no reason");
        return Finding::Gone(format!("{id} is {} ({why})", other.as_str()));
    }
    console.map_or(Finding::Nothing, Finding::Failed)
}

/// The boot script's last line about a failure, as the console has it.
async fn console_line(id: &str, aws: &Writer) -> Option<String> {
    let ask = |latest: bool| aws.clients.ec2.get_console_output().instance_id(id).set_latest(latest.then_some(true));
    // Only Nitro instances return the current console; others that of some minutes ago (API GetConsoleOutput).
    let out = match ask(true).send().await {
        Ok(out) => out,
        Err(_) => ask(false).send().await.ok()?,
    };
    let bytes = aws_smithy_types::base64::decode(out.output?).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().rev().find_map(|line| line.find(FAILED).map(|at| &line[at..]))?;
    let line: String = line.trim().chars().filter(|c| !c.is_control()).take(MAX_LINE).collect();
    Some(format!("its console says \"{}\"", line.trim_end_matches('.')))
}

/// Why an instance cannot reach S3 and SQS, as far as its address and routes tell.
async fn network(id: &str, aws: &Writer) -> String {
    const UNKNOWN: &str = "the reason is unknown";
    let instances = describe(&[id.to_owned()], aws).await.unwrap_or_default();
    let Some(instance) = instances.first() else { return UNKNOWN.into() };
    let public = instance.public_ip_address().is_some_and(|ip| !ip.is_empty());
    let subnet = instance.subnet_id().unwrap_or("its subnet");
    match default_route(instance, aws).await {
        Some(Route::None) => {
            format!("{subnet} has no route to the Internet: it needs VPC endpoints to reach S3 and SQS")
        }
        Some(Route::Blackhole) => format!("the target of the default route of {subnet} no longer exists"),
        Some(Route::InternetGateway) if !public => format!(
            "it has no public address, which the default route of {subnet}, an Internet gateway, requires: \
             it reaches neither S3 nor SQS"
        ),
        _ => UNKNOWN.into(),
    }
}

enum Route {
    None,
    Blackhole,
    InternetGateway,
    Other,
}

/// The default route of the instance's subnet; `None` if it cannot be read.
async fn default_route(instance: &Instance, aws: &Writer) -> Option<Route> {
    const ACTION: &str = "ec2:DescribeRouteTables";
    let tables = |filters: Vec<Filter>| async {
        let result = aws.clients.ec2.describe_route_tables().set_filters(Some(filters)).send().await;
        result.map(|out| out.route_tables.unwrap_or_default()).action(ACTION)
    };
    let filter = |name: &str, value: &str| Filter::builder().name(name).values(value).build();
    let own = tables(vec![filter("association.subnet-id", instance.subnet_id()?)]);
    // A subnet without a table of its own has the VPC's main one (VPC user guide, "Route table concepts").
    let main = tables(vec![filter("association.main", "true"), filter("vpc-id", instance.vpc_id()?)]);
    let (own, main) = all!(own: own, main: main).ok()?;
    let table = own.into_iter().chain(main).next()?;
    let routes = table.routes();
    Some(match routes.iter().find(|route| route.destination_cidr_block() == Some("0.0.0.0/0")) {
        None => Route::None,
        Some(route) if route.state() == Some(&RouteState::Blackhole) => Route::Blackhole,
        Some(route) if route.gateway_id().is_some_and(|id| id.starts_with("igw-")) => Route::InternetGateway,
        Some(_) => Route::Other,
    })
}

#[cfg(test)]
mod tests;
