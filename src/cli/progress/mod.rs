//! Executes a plan and shows it: on a terminal each resource on a line, redrawn in place while it is worked on; in a pipe a
//! line an event; with `--json` an object an event.

mod live;

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::json;

use super::interrupts::{Interrupts, Say};
use crate::aws::Writer;
use crate::error::{Failure, Result};
use crate::stack::address::Address;
use crate::stack::change::{Action, Purpose};
use crate::stack::render::shown_name;
use crate::stack::{Doing, Event, Outcome, Plan, Report, execute};
use crate::text::{printable, printable_json};
use live::Live;

/// Where the events go.
enum Progress {
    Live(Arc<Live>),
    Lines,
    Json,
}

/// Executes a plan, and shows its events: on stderr or, with `json`, on stdout.
pub async fn run(plan: &Plan, writer: &Writer, json: bool) -> Report {
    if !json {
        // An empty line between the plan or question and the events.
        let _ = writeln!(std::io::stderr());
    }
    let progress = match json {
        true => Progress::Json,
        false if std::io::stderr().is_terminal() => Progress::Live(Arc::new(Live::new(plan))),
        false => Progress::Lines,
    };
    let say: Say = match &progress {
        Progress::Live(live) => {
            let live = live.clone();
            Box::new(move |text| live.say(text))
        }
        _ => Box::new(super::tell),
    };
    let interrupts = Interrupts::watch(plan.purpose, say);
    let tell = |event: Event<'_>| {
        interrupts.note(&event);
        match &progress {
            Progress::Live(live) => live.show(&event),
            Progress::Lines => {
                let _ = writeln!(anstream::stderr(), "{}", event_text(&event));
            }
            // A closed stdout does not stop the plan; the last line reports it.
            Progress::Json => {
                let mut line = event_json(&event);
                line["time"] = humantime::format_rfc3339_millis(SystemTime::now()).to_string().into();
                let _ = writeln!(std::io::stdout(), "{}", printable_json(&line.to_string()));
            }
        }
    };
    let report = execute(plan, writer, &tell, &interrupts.interrupt).await;
    interrupts.over();
    if let Progress::Live(live) = progress {
        live.finish();
    }
    report
}

fn event_text(event: &Event<'_>) -> String {
    let bold = anstyle::Style::new().bold();
    let head = |address: Address| format!("{bold}{address}:{bold:#}");
    match event {
        Event::Started { change, doing } => {
            let (_, creating, _) = doing.words();
            let name = match doing {
                Doing::Deleting => doing.name_of(change).to_owned(),
                _ => shown_name(change),
            };
            format!("{} {creating} {}", head(change.address), printable(&name))
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

/// "0.4s", "2m05s".
pub fn seconds(elapsed: Duration) -> String {
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
        Purpose::Apply => counts([(added, "created"), (changed, "changed"), (destroyed, "destroyed")]),
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
    let text = lines.join("\nerror: ");
    let mut failure = if *interrupted { Failure::interrupted(text) } else { Failure::new(text) };
    if missing_permissions.len() > 1 {
        let rights: Vec<&str> = missing_permissions.iter().map(String::as_str).collect();
        failure = failure
            .hint(format!("missing permissions: {}; `thumb policy apply` prints the whole policy", rights.join(", ")));
    }
    Err(failure.hint(format!("run `thumb {command}` again to continue")))
}

/// "2 created, 1 destroyed".
fn counts(counts: [(usize, &str); 3]) -> String {
    let some: Vec<String> =
        counts.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    if some.is_empty() { "nothing changed".to_owned() } else { some.join(", ") }
}
