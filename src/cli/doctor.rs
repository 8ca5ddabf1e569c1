//! `thumb doctor`: checks the stack, and proves with a small picture that an upload makes its thumbnails.

use std::time::Duration;

use argh::{ArgsInfo, FromArgs};
use serde_json::{Value, json};

use super::ask::ask;
use super::interrupts::interrupted;
use super::session::Session;
use super::{Global, print, tell};
use crate::doctor::{Check, Probe, Verdict, checks, prove};
use crate::error::{Failure, Result};
use crate::stack::observe;
use crate::text::{printable, printable_json};
use crate::worker::queue_url;

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
    let config = &session.config;
    let observed = observe(&session.reader, config).await?;
    let mut all = checks(config, &observed);
    if !args.json {
        print(&lines(&all))?;
    }
    let shown = all.len();
    let well = all.iter().all(|check| check.verdict != Verdict::Failed);
    let mut was_interrupted = false;
    if !config.triggers.is_empty() && !args.dry_run {
        if !args.yes {
            let buckets: Vec<&str> = config.triggers.iter().map(|trigger| trigger.bucket.as_str()).collect();
            let question = format!("Put a small picture into {}, and delete it again?", buckets.join(", "));
            ask(&question, "yes", "doctor").await?;
        }
        let proven;
        (proven, was_interrupted) = proofs(&session, &observed.location.account, args.wait, well).await?;
        all.extend(proven);
    }
    if args.json {
        let all: Vec<Value> = all.iter().map(json_of).collect();
        print(&format!("{}\n", printable_json(&json!({ "checks": all }).to_string())))?;
    } else {
        print(&lines(&all[shown..]))?;
    }
    if was_interrupted {
        return Err(Failure::new("interrupted before every upload was proved"));
    }
    let wrong: Vec<&str> =
        all.iter().filter(|check| check.verdict == Verdict::Failed).map(|check| check.name.as_str()).collect();
    if wrong.is_empty() { Ok(()) } else { Err(Failure::new(format!("not well: {}", wrong.join(", ")))) }
}

/// The checks of all triggers, and whether Ctrl-C ended them. `well`: nothing is known to be wrong. Where something is, an
/// upload may still show what that does.
async fn proofs(session: &Session, account: &str, wait: Duration, well: bool) -> Result<(Vec<Check>, bool)> {
    let Session { config, clients, .. } = session;
    let (Ok(queue_url), Ok(dlq_url)) =
        (queue_url(clients, &config.queue.name).await, queue_url(clients, &config.queue.dlq).await)
    else {
        return Ok((vec![Check::not_checked("uploads", "there is no queue for their events")], false));
    };
    // Listens from here on, so that Ctrl-C during an upload does not end the process and leave the picture.
    let mut interrupted = std::pin::pin!(interrupted());
    let mut all = Vec::new();
    for trigger in &config.triggers {
        if !well {
            tell("note: something is wrong already; the upload shows what it does");
        }
        let probe = Probe { trigger, account, queue_url: &queue_url, dlq_url: &dlq_url, wait };
        let proof = prove(clients, config, &probe, &mut interrupted).await;
        for left in proof.left {
            tell(&format!("note: {left} could not be deleted"));
        }
        all.extend(proof.checks);
        if proof.interrupted {
            return Ok((all, true));
        }
    }
    Ok((all, false))
}

/// One line a check, and one for what to do.
fn lines(checks: &[Check]) -> String {
    let mut text = String::new();
    for Check { name, verdict, detail, hint } in checks {
        let (style, word) = match verdict {
            Verdict::Ok => (anstyle::AnsiColor::Green.on_default(), "ok    "),
            Verdict::Failed => (anstyle::AnsiColor::Red.on_default().bold(), "FAILED"),
            Verdict::NotChecked => (anstyle::Style::new().dimmed(), "-     "),
        };
        text += &format!("{style}{word}{style:#}  {name:<24}  {}\n", printable(detail));
        if let Some(hint) = hint {
            text += &format!("{:34}  {}\n", "", printable(hint));
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
