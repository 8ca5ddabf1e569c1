//! `thumb logs`: what the workers have written, and an instance's console.

use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use argh::{ArgsInfo, FromArgs};
use serde_json::json;

use super::interrupts::{EXIT_INTERRUPTED, interrupted};
use super::{Global, print, tell};
use crate::aws::{CallError, Clients, Kind};
use crate::config::Config;
use crate::error::{Failure, Result};
use crate::logs::{Follow, Instances, Line, Name, Pages, Source, console};
use crate::text::{printable, printable_json, printable_lines};

const SINCE: Duration = Duration::from_secs(3_600);
/// As long as CloudWatch Logs keeps lines at most: ten years.
const MAX_SINCE: Duration = Duration::from_secs(3_653 * 86_400);
/// How often `--follow` looks: a worker sends its lines every five seconds.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Failed looks in a row that `--follow` survives, a minute of them.
const MAX_FAILURES: u32 = 30;

/// Show what the workers have written.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "logs",
    help_triggers("-h", "--help"),
    example = "thumb logs --follow",
    example = "thumb logs 2 --since 1d",
    example = "thumb logs 1 --boot",
    note = "Lines reach CloudWatch Logs a few seconds after they are written. [logs] in thumb.toml says how long they are kept."
)]
pub struct Args {
    /// one instance only: its number, address (instance.2) or ID; elsewhere the worker's host
    #[argh(positional, arg_name = "INSTANCE")]
    instance: Option<String>,
    /// go on with new lines, until Ctrl-C
    #[argh(switch, short = 'f')]
    follow: bool,
    /// lines of the last so long, such as 10m or 2d (default: 1h)
    #[argh(option, arg_name = "TIME", from_str_fn(since))]
    since: Option<Duration>,
    /// the instance's console instead: its boot, also before there are lines
    #[argh(switch)]
    boot: bool,
    /// print JSON Lines
    #[argh(switch)]
    json: bool,
}

fn since(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).ok().filter(|time| *time <= MAX_SINCE);
    time.ok_or_else(|| format!("{text:?} is not a time of at most ten years, such as 10m, 1h or 2d"))
}

pub async fn run(args: Args, global: &Global) -> Result<ExitCode> {
    let config = global.load_config()?;
    if args.boot && (args.follow || args.since.is_some()) {
        return Err(Failure::usage("--boot prints the console as it is: leave out --follow and --since"));
    }
    let clients = Clients::connect(config.region.as_deref()).await?;
    let name = args.instance.as_deref().map(Name::parse);
    let instances = Instances::read(&clients, &config.name).await;
    // Without the permission, or while EC2 does not answer, IDs do as well.
    let needed = args.boot || matches!(name, Some(Name::Number(_)));
    let instances = match instances {
        Err(error) if needed => return Err(error.failure("cannot read the stack's instances")),
        instances => instances.unwrap_or_default(),
    };
    if args.boot {
        return boot(&clients, &instances, name.as_ref()).await.map(|()| ExitCode::SUCCESS);
    }
    let stream = name.map(|name| instances.find(&name)).transpose().map_err(Failure::new)?;
    let logs = Logs {
        clients,
        instances,
        source: Source { group: config.log_group(), stream },
        since_ms: now_ms() - i64::try_from(args.since.unwrap_or(SINCE).as_millis()).unwrap_or(i64::MAX),
        json: args.json,
        config,
    };
    if args.follow { logs.follow().await } else { logs.once(None).await.map(|()| ExitCode::SUCCESS) }
}

/// The console of one instance: of the one that is named, or of the only one.
async fn boot(clients: &Clients, instances: &Instances, name: Option<&Name>) -> Result<()> {
    let id = match name {
        Some(name) => instances.find(name).map_err(Failure::new)?,
        None => instances.only().map(str::to_owned).ok_or_else(|| {
            Failure::usage("say which instance: its number or its ID").hint("`thumb logs 1 --boot`, for instance")
        })?,
    };
    let text = console(clients, &id).await;
    let text = text.map_err(|error| error.failure(format!("cannot read the console of {id}")))?;
    if text.trim().is_empty() {
        tell(&format!("EC2 has nothing from the console of {id} yet; it takes some minutes after the start"));
        return Ok(());
    }
    print(&format!("{}\n", printable_lines(&text.replace("\r\n", "\n")).trim_end()))
}

struct Logs {
    config: Config,
    clients: Clients,
    instances: Instances,
    source: Source,
    since_ms: i64,
    json: bool,
}

impl Logs {
    /// Prints all lines, or with `follow` those that are new.
    async fn once(&self, follow: Option<&mut Follow>) -> Result<()> {
        let result = self.read(follow).await;
        result?.map_err(|error| self.failure(&error))
    }

    /// The outer error is of the output.
    async fn read(&self, mut follow: Option<&mut Follow>) -> Result<Result<(), CallError>> {
        let from_ms = follow.as_ref().map_or(self.since_ms, |follow| follow.from_ms());
        let mut pages = Pages::new(&self.clients, &self.source, from_ms);
        loop {
            let lines = match pages.next().await {
                // A worker that has not written yet.
                Err(error) if self.is_only_a_stream(&error) => return Ok(Ok(())),
                Err(error) => return Ok(Err(error)),
                Ok(None) => break,
                Ok(Some(lines)) => lines,
            };
            let lines = match &mut follow {
                Some(follow) => follow.new_ones(lines),
                None => lines,
            };
            let text: String = lines.iter().map(|line| self.line(line)).collect();
            if !text.is_empty() {
                print(&text)?;
            }
        }
        if pages.is_cut() {
            tell("There are more lines than are read at once: name an INSTANCE, or a shorter --since.");
        }
        Ok(Ok(()))
    }

    async fn follow(&self) -> Result<ExitCode> {
        let mut interrupted = std::pin::pin!(interrupted());
        let mut follow = Follow::new(self.since_ms);
        let mut failures = 0;
        loop {
            let looked = tokio::select! {
                biased;
                () = &mut interrupted => return Ok(ExitCode::from(EXIT_INTERRUPTED)),
                looked = self.read(Some(&mut follow)) => looked?,
            };
            match looked {
                Ok(()) => failures = 0,
                Err(error) => {
                    let passes = matches!(error.kind, Kind::Throttled | Kind::Unavailable);
                    failures += 1;
                    if !passes || failures > MAX_FAILURES {
                        return Err(self.failure(&error));
                    }
                    if failures == 1 {
                        tell(&format!("{error}; trying again"));
                    }
                }
            }
            tokio::select! {
                biased;
                () = &mut interrupted => return Ok(ExitCode::from(EXIT_INTERRUPTED)),
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Whether the group is there, and only the stream that was asked for is not.
    fn is_only_a_stream(&self, error: &CallError) -> bool {
        error.kind == Kind::NotFound && self.source.stream.is_some() && error.message.contains("log stream")
    }

    fn failure(&self, error: &CallError) -> Failure {
        let group = &self.source.group;
        if error.kind != Kind::NotFound {
            return error.failure(format!("cannot read the log group {group}"));
        }
        if self.config.logs.is_none() {
            return Failure::new("the workers' lines are not collected: `retention` in [logs] of thumb.toml is \"0\"")
                .hint("set `retention`, such as \"14d\", and run `thumb apply`; until then they are in each instance's journal");
        }
        Failure::new(format!("the log group {group} does not exist in {}", self.clients.region))
            .hint("run `thumb apply` to create it")
    }

    fn line(&self, line: &Line) -> String {
        let Line { id: _, at_ms, stream, text } = line;
        let time = time(*at_ms);
        let name = self.instances.name(stream);
        if self.json {
            let line = json!({ "time": time, "instance": stream, "name": name, "message": text });
            return format!("{}\n", printable_json(&line.to_string()));
        }
        format!("{} | {time} {}\n", printable(&name), printable(text.trim_end()))
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// "2026-11-28T00:10:11Z".
fn time(at_ms: i64) -> String {
    // RFC 3339 has years of four digits.
    const MAX_MS: i64 = 253_402_300_799_999;
    let time = UNIX_EPOCH + Duration::from_millis(at_ms.clamp(0, MAX_MS).unsigned_abs());
    humantime::format_rfc3339_seconds(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written_as_people_do() {
        assert_eq!(since("10m"), Ok(Duration::from_secs(600)));
        assert!(since("20y").is_err() && since("yesterday").is_err());
        assert_eq!(time(1_790_000_000_999), "2026-09-21T14:13:20Z");
        assert_eq!(time(-5), "1970-01-01T00:00:00Z");
        assert_eq!(time(i64::MAX), "9999-12-31T23:59:59Z");
    }
}
