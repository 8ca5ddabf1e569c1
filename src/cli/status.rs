//! `thumb status`: what runs, what waits, what failed.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use argh::{ArgsInfo, FromArgs};

use super::interrupts::{EXIT_INTERRUPTED, interrupted};
use super::session::{PlanRequest, Planned, Session};
use super::{Global, print};
use crate::error::{Failure, Result};
use crate::status::{Basis, Status, look, text};
use crate::text::{plural, printable_json};
use crate::worker::epoch_s;

/// Between two looks at the queues and the reports.
const EVERY: Duration = Duration::from_secs(5);
/// Between two looks at the whole account.
const PLAN_EVERY: Duration = Duration::from_secs(60);

/// Show what runs, what waits and what failed. Read-only.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "status",
    help_triggers("-h", "--help"),
    note = "Exits with 1 if something is wrong, and says what."
)]
pub struct Args {
    /// look again every five seconds, until Ctrl-C
    #[argh(switch, short = 'w')]
    watch: bool,
    /// print JSON, with --watch a line a look
    #[argh(switch)]
    json: bool,
}

pub async fn run(args: Args, global: &Global) -> Result<ExitCode> {
    let session = Session::open(global).await?;
    if args.watch {
        watch(&session, args.json).await?;
        return Ok(ExitCode::from(EXIT_INTERRUPTED));
    }
    let planned = plan(&session).await?;
    let status = at(&session, &planned).await?;
    print(&if args.json { json(&status) } else { text::block(&status, epoch_s()) })?;
    match status.problems.len() {
        0 => Ok(ExitCode::SUCCESS),
        count => Err(Failure::new(format!("{count} {} (see above)", plural(count as u64, "problem")))),
    }
}

/// Looks again and again, until Ctrl-C.
async fn watch(session: &Session, as_json: bool) -> Result<()> {
    let mut interrupted = std::pin::pin!(interrupted());
    let terminal = std::io::stdout().is_terminal();
    let mut planned: Option<(Planned, Instant)> = None;
    let mut drawn = 0;
    loop {
        let round = async {
            let current = match planned.take() {
                Some((planned, read)) if read.elapsed() < PLAN_EVERY => (planned, read),
                _ => (plan(session).await?, Instant::now()),
            };
            let (planned, _) = planned.insert(current);
            let status = at(session, planned).await?;
            let now_s = epoch_s();
            if as_json {
                print(&json(&status))?;
            } else if terminal {
                drawn = redraw(&text::block(&status, now_s), drawn)?;
            } else {
                print(&text::line(&status, now_s))?;
            }
            tokio::time::sleep(EVERY).await;
            Ok::<_, Failure>(())
        };
        tokio::select! {
            biased;
            () = &mut interrupted => return Ok(()),
            result = round => result?,
        }
    }
}

/// Draws over what was drawn before, so many lines; returns how many lines it has now. Lines are cut to the terminal's width: one
/// that wraps would be two.
fn redraw(text: &str, before: usize) -> Result<usize> {
    let (width, height) = terminal_size::terminal_size().map_or((80, 24), |(width, height)| (width.0, height.0));
    let lines: Vec<String> =
        text.lines().take(usize::from(height.max(2) - 1)).map(|line| cut(line, width.into())).collect();
    let up = if before > 0 { format!("\x1b[{before}A") } else { String::new() };
    let mut stdout = anstream::stdout();
    // The control sequences go where colours may not: a terminal without colours can move its cursor.
    let mut raw = std::io::stdout();
    write!(raw, "{up}\x1b[J")
        .and_then(|()| raw.flush())
        .and_then(|()| lines.iter().try_for_each(|line| writeln!(stdout, "{line}")))
        .and_then(|()| stdout.flush())
        .map_err(|error| Failure::stdout(&error))?;
    Ok(lines.len())
}

/// So many columns of a line, without counting its colours.
fn cut(line: &str, width: usize) -> String {
    let mut visible = 0;
    let mut in_sequence = false;
    line.chars()
        .filter(|c| {
            let control = in_sequence || *c == '\x1b';
            in_sequence = control && !(c.is_ascii_alphabetic());
            if !control {
                visible += 1;
            }
            control || visible <= width
        })
        .collect()
}

async fn plan(session: &Session) -> Result<Planned> {
    session.plan_apply(&PlanRequest::default()).await
}

async fn at(session: &Session, planned: &Planned) -> Result<Status> {
    let Planned { plan, observed } = planned;
    let basis = Basis { config: &session.config, clients: &session.clients, observed, plan };
    look(&basis, epoch_s()).await.map_err(|error| error.failure("cannot read the queues"))
}

fn json(status: &Status) -> String {
    let text = serde_json::to_string(status).expect("a status is JSON");
    format!("{}\n", printable_json(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_without_its_colours() {
        assert_eq!(cut("\x1b[31mred\x1b[0m and more", 5), "\x1b[31mred\x1b[0m a");
        assert_eq!(cut("short", 80), "short");
    }
}
