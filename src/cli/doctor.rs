//! `thumb doctor`: checks the stack, and proves with a small picture that an upload makes its thumbnails.

use std::time::Duration;

use argh::{ArgsInfo, FromArgs};
use serde_json::{Value, json};

use super::ask::ask;
use super::interrupts::interrupted;
use super::session::Session;
use super::{Global, print, tell};
use crate::aws::account;
use crate::doctor::{Check, PUBLIC, Probe, Verdict, checks, prove, workers};
use crate::error::{Failure, Result};
use crate::stack::resources::binary::Binary;
use crate::stack::{Observed, survey};
use crate::status::reports;
use crate::text::{printable, printable_json};
use crate::worker::{epoch_s, queue_url};

/// How long the thumbnails of a picture may take: a worker needs a second, S3's event some, and a group without instances minutes.
const WAIT: Duration = Duration::from_secs(180);
const MAX_WAIT: Duration = Duration::from_secs(3_600);

/// Check the stack, and prove that uploads make their thumbnails.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "doctor",
    help_triggers("-h", "--help"),
    note = "For each [[trigger]] it puts a small picture under the trigger's prefix, waits for the thumbnails, and deletes both. Exits \
            with 1 if something is wrong."
)]
pub struct Args {
    /// how long the thumbnails may take, such as 30s or 20m (default: 3m)
    #[argh(option, arg_name = "TIME", default = "WAIT", from_str_fn(wait))]
    wait: Duration,
    /// look only, and upload nothing
    #[argh(switch, short = 'n')]
    dry_run: bool,
    /// do not ask before uploading
    #[argh(switch, short = 'y')]
    yes: bool,
    /// print the checks as JSON
    #[argh(switch)]
    json: bool,
}

fn wait(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).ok().filter(|time| *time <= MAX_WAIT);
    time.ok_or_else(|| format!("{text:?} is not a time of at most an hour, such as 3m"))
}

pub async fn run(args: Args, global: &Global) -> Result<()> {
    let session = Session::open(global).await?;
    let mut shown = Shown { json: args.json, all: Vec::new() };
    let was_interrupted = examine(&args, &session, &mut shown).await?;
    if args.json {
        let all: Vec<Value> = shown.all.iter().map(json_of).collect();
        print(&format!("{}\n", printable_json(&json!({ "checks": all }).to_string())))?;
    }
    if was_interrupted {
        return Err(Failure::interrupted("interrupted before every upload was proved"));
    }
    let failed = shown.all.iter().filter(|check| check.verdict == Verdict::Failed);
    let wrong: Vec<&str> = failed.map(|check| check.name.as_str()).collect();
    if wrong.is_empty() { Ok(()) } else { Err(Failure::new(format!("not well: {}", wrong.join(", ")))) }
}

/// The checks so far. As lines they are printed as they come.
struct Shown {
    json: bool,
    all: Vec<Check>,
}

impl Shown {
    fn add(&mut self, checks: Vec<Check>) -> Result<()> {
        if !self.json {
            print(&lines(&checks))?;
        }
        self.all.extend(checks);
        Ok(())
    }
}

/// Looks at everything, from what all else needs to what needs all else; and whether Ctrl-C ended it. Stops where nothing more can
/// be known.
async fn examine(args: &Args, session: &Session, shown: &mut Shown) -> Result<bool> {
    let Session { config, clients, reader, .. } = session;
    shown.add(vec![Check::ok("region", &*clients.region)])?;
    let identity =
        match account(reader).await.and_then(|identity| identity.check(config.account.as_deref()).map(|()| identity)) {
            Ok(identity) => identity,
            Err(failure) => return shown.add(vec![of_failure("credentials", &failure)]).map(|()| false),
        };
    shown.add(vec![Check::ok("credentials", format!("{}, account {}", identity.arn, identity.account))])?;
    let path = config.instance.binary.clone();
    let binary = tokio::task::spawn_blocking(move || {
        let path = path.map_or_else(std::env::current_exe, Ok).map_err(|error| error.to_string())?;
        Binary::load(&path).map_err(|failure| failure.to_string())
    });
    let (observed, options) = match survey(reader, config).await {
        Ok(found) => found,
        Err(failure) => return shown.add(vec![of_failure("permissions", &failure)]).map(|()| false),
    };
    let binary = binary.await.unwrap_or_else(|error| Err(error.to_string()));
    shown.add(vec![Check::ok("permissions", "everything that a plan reads can be read")])?;
    shown.add(checks(config, &observed, &options, &binary))?;
    shown.add(workers(session, &observed).await)?;
    if config.triggers.is_empty() || args.dry_run {
        return Ok(false);
    }
    if !args.yes {
        let buckets: Vec<&str> = config.triggers.iter().map(|trigger| trigger.bucket.as_str()).collect();
        let question = format!("Put a small picture into {}, and delete it again?", buckets.join(", "));
        ask(&question, "yes", "doctor").await?;
    }
    if shown.all.iter().any(|check| check.verdict == Verdict::Failed) {
        tell("note: something is wrong already; the upload shows what it does");
    }
    let (proven, was_interrupted) = proofs(session, &observed.location.account, args.wait).await;
    shown.add(proven)?;
    Ok(was_interrupted)
}

/// A failure as a line: what, and below it why and what to do.
fn of_failure(name: &str, failure: &Failure) -> Check {
    let text = failure.to_string();
    let rest: Vec<&str> = text.lines().skip(1).map(str::trim).collect();
    Check::failed(name, failure.what(), rest.join("; "))
}

/// The workers, where there is a code bucket with their reports.
async fn workers(session: &Session, observed: &Observed) -> Vec<Check> {
    if observed.code.ours().is_none() {
        return Vec::new();
    }
    let account = &observed.location.account;
    let bucket = session.config.code_bucket(account);
    match reports::read(&session.clients, &bucket, account).await {
        Ok((reports, older)) => {
            let mut checks = workers::checks(workers::running(observed), &reports, epoch_s());
            if older > 0 {
                let why = format!("{older} older reports in {bucket} were not read");
                checks.push(Check::not_checked("workers", why));
            }
            checks
        }
        Err(error) => vec![Check::not_checked("workers", format!("their reports cannot be read: {error}"))],
    }
}

/// The checks of all triggers, and whether Ctrl-C ended them.
async fn proofs(session: &Session, account: &str, wait: Duration) -> (Vec<Check>, bool) {
    let Session { config, clients, .. } = session;
    let (queue_url, dlq_url) =
        match tokio::try_join!(queue_url(clients, &config.queue.name), queue_url(clients, &config.queue.dlq)) {
            Ok(urls) => urls,
            Err(failure) => return (vec![Check::not_checked("uploads", failure.what())], false),
        };
    // Listens from here on, so that Ctrl-C during an upload does not end the process and leave the picture.
    let mut interrupted = std::pin::pin!(interrupted());
    let mut all: Vec<Check> = Vec::new();
    for trigger in &config.triggers {
        // One thumbnail tells it for all.
        let look_public = all.iter().all(|check| check.name != PUBLIC);
        let probe = Probe { trigger, account, queue_url: &queue_url, dlq_url: &dlq_url, wait, look_public };
        let proof = prove(clients, config, &probe, &mut interrupted).await;
        for left in proof.left {
            tell(&format!("note: {left} could not be deleted"));
        }
        all.extend(proof.checks);
        if proof.interrupted {
            return (all, true);
        }
    }
    (all, false)
}

/// One line a check, and one for what to do.
fn lines(checks: &[Check]) -> String {
    let mut text = String::new();
    for Check { name, verdict, detail, hint } in checks {
        let (style, word) = match verdict {
            Verdict::Ok => (anstyle::AnsiColor::Green.on_default(), "✓"),
            Verdict::Failed => (anstyle::AnsiColor::Red.on_default().bold(), "✗"),
            Verdict::NotChecked => (anstyle::Style::new().dimmed(), "-"),
        };
        text += &format!("{style}{word}{style:#} {name:<26}  {}\n", printable(detail));
        if let Some(hint) = hint {
            text += &format!("{:30}{}\n", "", printable(hint));
        }
    }
    text
}

fn json_of(check: &Check) -> Value {
    let Check { name, verdict, detail, hint } = check;
    let verdict = match verdict {
        Verdict::Ok => "ok",
        Verdict::Failed => "failed",
        Verdict::NotChecked => "not checked",
    };
    json!({ "name": name, "verdict": verdict, "detail": detail, "hint": hint })
}
