//! What `plan`, `apply` and `destroy` share: the connection, a plan from thumb.toml and the account, the confirmation,
//! and the progress lines.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use aws_config::meta::region::ProvideRegion;
use aws_config::profile::ProfileFileRegionProvider;
use serde_json::json;

use super::interrupts::Interrupts;
use super::{Global, print};
use crate::aws::{Clients, Reader, Writer};
use crate::config::Config;
use crate::error::{Failure, Result};
use crate::stack::Plan;
use crate::stack::address::Address;
use crate::stack::change::{Action, Purpose};
use crate::stack::render::{DEFAULT_WIDTH, render};
use crate::stack::resources::binary::{self, Binary};
use crate::stack::resources::bucket::{self, Counted, count_objects};
use crate::stack::resources::instance::InstanceRequest;
use crate::stack::resources::{Found, is_adopted};
use crate::stack::{
    Contents, Desired, Event, Observed, Outcome, Report, Target, execute, misplaced_bucket, observe, plan_apply,
    plan_destroy, survey,
};
use crate::text::{plural, printable, printable_json};

/// A configuration and a connection to its account.
pub struct Session {
    pub config: Config,
    pub clients: Clients,
    pub reader: Reader,
    /// Where the region is set, for the plan's first line.
    region_from: String,
}

/// A plan, and what was observed for it.
pub struct Planned {
    pub plan: Plan,
    pub observed: Observed,
}

impl Session {
    pub async fn open(global: &Global) -> Result<Self> {
        let config = global.load_config()?;
        let clients = Clients::connect(config.region.as_deref()).await?;
        let reader = Reader::new(&clients);
        let region_from = match &config.region {
            Some(_) => global.config.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
            None => region_from().await,
        };
        Ok(Self { config, clients, reader, region_from })
    }

    /// Reads the account and plans an apply.
    pub async fn plan_apply(&self, targets: &[Target], adopt: &[Address], asked: InstanceRequest) -> Result<Planned> {
        let Self { config, reader, .. } = self;
        let path = config.instance.binary.clone();
        // Reads and hashes tens of megabytes, in parallel with the calls.
        let binary = tokio::task::spawn_blocking(move || {
            let path = path.map_or_else(std::env::current_exe, Ok);
            let path = path.map_err(|error| format!("cannot find the running executable: {error}"))?;
            Binary::load(&path).map_err(|failure| failure.to_string())
        });
        let count = config.instance.count;
        if let Some(none) = asked.replace.iter().find(|index| **index > count) {
            let what = format!("instance.{none} does not exist: `count` in [instance] is {count}");
            return Err(Failure::usage(what));
        }
        let (read, binary) = tokio::join!(survey(reader, config), binary);
        let (mut observed, launch_options) = read?;
        observed.adopt(adopt)?;
        let binary = binary.map_err(|error| Failure::bug("cannot read the executable").caused_by(&error))?;
        let desired = Desired { asked, ..Desired::new(config, &observed, &launch_options, binary, reader.endpoint()) };
        let plan = plan_apply(config, &desired, &observed, targets);
        Ok(Planned { plan: self.placed(plan), observed })
    }

    /// Reads the account and plans a destroy, with a count of the data it would delete. The third value is an error if a
    /// bucket is in another region: then the command uses the wrong region.
    pub async fn plan_destroy(&self, targets: &[Target]) -> Result<(Plan, DataLoss, Result<()>)> {
        let Self { config, reader, .. } = self;
        let observed = observe(reader, config).await?;
        let account = &observed.location.account;
        let count = async |found: &Found<bucket::Observed>, name: &str, own: fn(&str) -> bool| match found {
            Found::Ours(_) => count_objects(reader, account, name, own).await.map(Some),
            _ => Ok(None),
        };
        let is_own = |key: &str| binary::is_binary(key) || binary::is_report(key);
        let names = (config.thumbnails_bucket(account), config.code_bucket(account));
        let (thumbnails, code) = tokio::try_join!(
            count(&observed.thumbnails, &names.0, |_| false),
            count(&observed.code, &names.1, is_own),
        )
        .map_err(|error| error.failure("cannot count the objects that would be deleted"))?;
        // A deleted bucket takes its reports with it.
        let stays = observed.code.ours().is_some_and(|bucket| is_adopted(&bucket.tags));
        let reports = code.iter().filter(|_| stays).flat_map(|counted| &counted.own);
        let mut reports: Vec<String> = reports.filter(|key| binary::is_report(key)).cloned().collect();
        reports.dedup();
        let held = |counted: Option<Counted>| counted.map(|counted| (counted.objects, counted.more));
        let contents = Contents { thumbnails: held(thumbnails), code: held(code), reports };
        let plan = plan_destroy(config, &observed, contents.clone(), targets);
        let losses = DataLoss::new(&plan, &observed, &contents);
        let right_region = match misplaced_bucket(config, &observed, &plan) {
            Some((bucket, region)) => Err(Failure::new(format!(
                "nothing was destroyed: the stack's bucket {bucket} is in {region}, but this command uses {}",
                observed.location.region
            ))
            .hint(
                "set the stack's region with `region` in thumb.toml or AWS_REGION; `--target` can leave the buckets out",
            )),
            None => Ok(()),
        };
        Ok((self.placed(plan), losses, right_region))
    }

    fn placed(&self, plan: Plan) -> Plan {
        Plan { region_from: Some(self.region_from.clone()).filter(|from| !from.is_empty()), ..plan }
    }

    pub fn writer(&self) -> Writer {
        Writer { clients: self.clients.clone() }
    }
}

/// Where the SDK found the region, of the places where it looks (AWS SDKs reference guide, "AWS Region").
async fn region_from() -> String {
    let set = |name: &&str| std::env::var_os(*name).is_some_and(|value| !value.is_empty());
    if let Some(name) = ["AWS_REGION", "AWS_DEFAULT_REGION"].into_iter().find(set) {
        return name.to_owned();
    }
    let profile = ProfileFileRegionProvider::builder().build();
    if profile.region().await.is_some() {
        let name = std::env::var("AWS_PROFILE").ok().filter(|name| !name.is_empty());
        return format!("profile {}", name.as_deref().unwrap_or("default"));
    }
    "instance metadata".to_owned()
}

/// The data that a destroy would delete and that apply cannot create again.
pub struct DataLoss {
    sentences: Vec<String>,
}

impl DataLoss {
    fn new(plan: &Plan, observed: &Observed, contents: &Contents) -> Self {
        let going = |address| plan.changes.iter().any(|c| c.address == address && c.action == Action::Delete);
        let mut sentences = Vec::new();
        let buckets = [
            (Address::ThumbnailsBucket, contents.thumbnails, "in the thumbnails bucket"),
            (Address::CodeBucket, contents.code, "in the code bucket (not written by thumb)"),
        ];
        for (address, objects, which) in buckets {
            if let Some((count, more)) = objects.filter(|(count, more)| (*count > 0 || *more) && going(address)) {
                let more = if more { "more than " } else { "" };
                sentences.push(format!("{more}{count} {} {which}", plural(count, "object")));
            }
        }
        for (address, found) in [(Address::Queue, &observed.queue), (Address::Dlq, &observed.dlq)] {
            if let Some(queue) = found.ours().filter(|queue| queue.messages > 0 && going(address)) {
                let count = queue.messages;
                sentences.push(format!("about {count} {} in the {}", plural(count, "message"), address.noun()));
            }
        }
        Self { sentences }
    }

    /// "12 objects in the thumbnails bucket and about 3 messages in the queue"; `None` if nothing would be lost.
    pub fn sentence(&self) -> Option<String> {
        let (last, rest) = self.sentences.split_last()?;
        Some(if rest.is_empty() { last.clone() } else { format!("{} and {last}", rest.join(", ")) })
    }
}

/// Prints a plan on stdout, as text or as JSON.
pub fn print_plan(plan: &Plan, json: bool) -> Result<()> {
    let text = if json {
        let json = serde_json::to_string(plan)
            .map_err(|error| Failure::bug("cannot write the plan as JSON").caused_by(&error))?;
        format!("{}\n", printable_json(&json))
    } else {
        let width = terminal_size::terminal_size().map_or(DEFAULT_WIDTH, |(width, _)| width.0.into());
        render(plan, width)
    };
    print(&text)
}

/// An address as `--adopt` takes it.
pub fn address(text: &str) -> Result<Address, String> {
    text.parse().map_err(|why: String| format!("{text:?} {why}"))
}

/// An instance's address as `--replace` takes it: its number.
pub fn instance(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(Address::Instance(index)) => Ok(index),
        _ => Err(format!("{text:?} is not the address of an instance, such as instance.1")),
    }
}

/// Fails if a resource is blocked: owned by someone else, or impossible as declared.
pub fn refuse_blocked(plan: &Plan) -> Result<()> {
    let blocked: Vec<String> =
        plan.changes.iter().filter(|change| change.action == Action::Blocked).map(|c| c.address.to_string()).collect();
    if blocked.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("nothing was applied: blocked: {}", blocked.join(", "))).hint(
        "the plan gives each reason, marked `!`; `--adopt ADDRESS` adopts a resource that no stack owns, `--target` \
             plans a part of the stack",
    ))
}

/// Asks for confirmation; anything but `answer` cancels. The caller handles `--yes`.
pub fn ask(question: &str, answer: &str, command: &str) -> Result<()> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(format!("{command} needs confirmation, but stdin is not a terminal"))
            .hint(format!("use `thumb {command} --yes` to skip the question")));
    }
    let mut stderr = anstream::stderr();
    let bold = anstyle::Style::new().bold();
    let _ = write!(stderr, "\n{bold}{question}{bold:#}\n  Only {answer:?} is accepted: ");
    let _ = stderr.flush();
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line);
    match read {
        Ok(_) if line.trim() == answer => Ok(()),
        Ok(_) => Err(Failure::new("cancelled; nothing was changed")),
        Err(error) => Err(Failure::new("cannot read the answer; nothing was changed").caused_by(&error)),
    }
}

/// Executes a plan, with a line on stderr (or, with `json`, on stdout) for each event.
pub async fn run(plan: &Plan, writer: &Writer, json: bool) -> Report {
    let interrupts = Interrupts::watch(plan.purpose);
    let tell = |event: Event<'_>| {
        interrupts.note(&event);
        if json {
            // A closed stdout does not stop the plan; the last line reports it.
            let _ = writeln!(std::io::stdout(), "{}", printable_json(&event_json(&event).to_string()));
        } else {
            let _ = writeln!(anstream::stderr(), "{}", event_text(&event));
        }
    };
    if !json {
        // An empty line between the plan or question and the events.
        let _ = writeln!(std::io::stderr());
    }
    let report = execute(plan, writer, &tell, &interrupts.interrupt).await;
    interrupts.over();
    report
}

fn event_text(event: &Event<'_>) -> String {
    let bold = anstyle::Style::new().bold();
    let head = |address: Address| format!("{bold}{address}:{bold:#}");
    match event {
        Event::Started { change, doing } => {
            let (_, creating, _) = doing.words();
            format!("{} {creating} {}", head(change.address), printable(doing.name_of(change)))
        }
        Event::Waiting { address, why } => format!("{} {}", head(*address), printable(why)),
        Event::Still { change, doing, elapsed } => {
            let (_, creating, _) = doing.words();
            format!("{} still {creating} ({})", head(change.address), seconds(*elapsed))
        }
        Event::Done { change, doing, elapsed } => {
            let (.., created) = doing.words();
            format!("{} {created} in {}", head(change.address), seconds(*elapsed))
        }
        Event::Failed { change, error, .. } => {
            let red = anstyle::AnsiColor::Red.on_default();
            format!("{} {red}failed{red:#}: {}", head(change.address), printable(&error.to_string()))
        }
        Event::Interrupted { change, doing, elapsed } => {
            let (_, creating, _) = doing.words();
            format!("{} interrupted after {} while {creating}", head(change.address), seconds(*elapsed))
        }
        Event::Skipped { change, needed } if *needed == change.address => {
            format!("{} the old one is kept", head(change.address))
        }
        Event::Skipped { change, needed } => {
            format!("{} skipped because {needed} failed or was skipped", head(change.address))
        }
    }
}

fn event_json(event: &Event<'_>) -> serde_json::Value {
    let ms = |elapsed: &Duration| u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    match event {
        Event::Started { change, .. } => {
            json!({ "event": "started", "address": change.address, "name": change.name, "action": change.action })
        }
        Event::Waiting { address, why } => json!({ "event": "waiting", "address": address, "message": why }),
        Event::Still { change, elapsed, .. } => {
            json!({ "event": "still", "address": change.address, "elapsed_ms": ms(elapsed) })
        }
        Event::Done { change, elapsed, .. } => {
            json!({ "event": "done", "address": change.address, "action": change.action, "elapsed_ms": ms(elapsed) })
        }
        Event::Failed { change, error, .. } => {
            json!({ "event": "failed", "address": change.address, "action": error.action, "code": error.code,
                    "message": error.message })
        }
        Event::Interrupted { change, elapsed, .. } => {
            json!({ "event": "interrupted", "address": change.address, "action": change.action, "elapsed_ms": ms(elapsed) })
        }
        Event::Skipped { change, needed } => {
            json!({ "event": "skipped", "address": change.address, "needed": needed })
        }
    }
}

fn seconds(elapsed: Duration) -> String {
    if elapsed.as_secs() < 60 {
        format!("{:.1}s", elapsed.as_secs_f64())
    } else {
        format!("{}m{:02}s", elapsed.as_secs() / 60, elapsed.as_secs() % 60)
    }
}

/// The result: the counts if everything succeeded, otherwise the failures and what was and was not completed.
pub fn conclude(report: &Report, purpose: Purpose) -> Result<String> {
    let Report { outcomes, failures, missing_permissions, interrupted, facts: _ } = report;
    let count = |actions: &[Action]| {
        outcomes.iter().filter(|(_, action, outcome)| *outcome == Outcome::Done && actions.contains(action)).count()
    };
    let (added, changed) = (count(&[Action::Create, Action::Replace]), count(&[Action::Update]));
    let destroyed = count(&[Action::Delete, Action::Replace]);
    let done = match purpose {
        Purpose::Apply => format!("{added} added, {changed} changed, {destroyed} destroyed"),
        Purpose::Destroy if changed > 0 => format!("{destroyed} destroyed, {changed} released"),
        Purpose::Destroy => format!("{destroyed} destroyed"),
    };
    let command = purpose.command();
    let undone: Vec<String> = outcomes
        .iter()
        .filter(|(_, action, outcome)| *outcome != Outcome::Done && *action != Action::Blocked)
        .map(|(address, ..)| address.to_string())
        .collect();
    if undone.is_empty() {
        return Ok(done);
    }
    let what = if *interrupted { "was interrupted" } else { "failed" };
    let mut lines: Vec<String> = failures.iter().map(Failure::to_string).collect();
    lines.push(format!("{command} {what}: {done}; not completed: {}", undone.join(", ")));
    let mut failure = Failure::new(lines.join("\nerror: "));
    if missing_permissions.len() > 1 {
        let rights: Vec<&str> = missing_permissions.iter().map(String::as_str).collect();
        failure = failure
            .hint(format!("missing permissions: {}; `thumb policy apply` prints the whole policy", rights.join(", ")));
    }
    Err(failure.hint(format!("run `thumb {command}` again to continue")))
}
