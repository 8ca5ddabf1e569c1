//! The events of a plan on a terminal: what has ended scrolls up, a line a resource; below it each resource that is worked on
//! has a line, with what it waits for, and the last line counts.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::seconds;
use crate::stack::address::Address;
use crate::stack::{Change, Doing, Event, Plan};
use crate::text::printable;

/// Spinners turn so often.
const TICK: Duration = Duration::from_millis(100);

pub struct Live {
    lines: MultiProgress,
    count: ProgressBar,
    running: Mutex<BTreeMap<(Address, bool), ProgressBar>>,
    /// Widths of the columns of addresses and names.
    address: usize,
    name: usize,
}

impl Live {
    pub fn new(plan: &Plan) -> Self {
        let working: Vec<&Change> =
            plan.changes.iter().filter(|change| !change.steps.is_empty() || !change.removals.is_empty()).collect();
        // A replacement is a creation and a deletion.
        let parts = |change: &&Change| u64::from(!change.steps.is_empty()) + u64::from(!change.removals.is_empty());
        let lines = MultiProgress::new();
        let count =
            lines.add(ProgressBar::new(working.iter().map(parts).sum()).with_style(style("  {pos} of {len} done")));
        count.tick();
        Self {
            count,
            lines,
            running: Mutex::default(),
            address: working.iter().map(|change| change.address.to_string().len()).max().unwrap_or(0),
            name: working.iter().map(|change| shown(change, Doing::Creating).chars().count()).max().unwrap_or(0),
        }
    }

    /// A line above those that are redrawn.
    pub fn say(&self, text: &str) {
        // The terminal may be gone; the plan goes on.
        let _ = self.lines.println(text);
    }

    pub fn show(&self, event: &Event<'_>) {
        let [green, red, yellow] = [AnsiColor::Green, AnsiColor::Red, AnsiColor::Yellow].map(AnsiColor::on_default);
        match event {
            Event::Started { change, doing } => self.started(change, *doing),
            Event::Waiting { address, why } => {
                for (_, bar) in self.running().iter().filter(|((running, _), _)| running == address) {
                    bar.set_message(printable(why).into_owned());
                }
            }
            // The line itself counts the seconds.
            Event::Still { .. } => {}
            Event::Done { change, doing, elapsed } => {
                let (.., created) = doing.words();
                self.ended(change, *doing, ("✓", green), &format!("{created} in {}", seconds(*elapsed)));
            }
            Event::Failed { change, doing, error } => {
                let why = format!("failed: {}", printable(&error.to_string()));
                self.ended(change, *doing, ("✗", red), &why);
            }
            Event::Interrupted { change, doing, elapsed } => {
                let why = format!("interrupted after {}", seconds(*elapsed));
                self.ended(change, *doing, ("!", yellow), &why);
            }
            Event::Skipped { change, needed } if *needed == change.address => {
                self.line(change, Doing::Deleting, ("·", yellow), "the old one is kept");
            }
            Event::Skipped { change, needed } => {
                let why = format!("skipped because {needed} failed or was skipped");
                self.line(change, Doing::Creating, ("·", yellow), &why);
            }
        }
    }

    fn started(&self, change: &Change, doing: Doing) {
        let bar = self.lines.insert_before(&self.count, ProgressBar::new_spinner());
        bar.set_style(style("  {spinner} {prefix}  {elapsed:>4}  {wide_msg}"));
        let (_, creating, _) = doing.words();
        // Without the name: what it waits for needs the room.
        let address = self.address;
        bar.set_prefix(format!("{:address$}", change.address.to_string()));
        bar.set_message(creating);
        bar.enable_steady_tick(TICK);
        self.running().insert(key(change, doing), bar);
    }

    fn ended(&self, change: &Change, doing: Doing, symbol: (&str, Style), what: &str) {
        if let Some(bar) = self.running().remove(&key(change, doing)) {
            bar.finish_and_clear();
            self.lines.remove(&bar);
        }
        self.count.inc(1);
        self.line(change, doing, symbol, what);
    }

    fn line(&self, change: &Change, doing: Doing, (symbol, style): (&str, Style), what: &str) {
        let text = format!("  {style}{symbol}{style:#} {}  {what}", self.columns(change, doing));
        // indicatif writes as it is told; colours are ours to leave out.
        self.say(&match console_colours() {
            true => text,
            false => anstream::adapter::strip_str(&text).to_string(),
        });
    }

    fn columns(&self, change: &Change, doing: Doing) -> String {
        let (address, name) = (self.address, self.name);
        format!("{:address$}  {:name$}", change.address.to_string(), shown(change, doing))
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<(Address, bool), ProgressBar>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Clears the lines that are redrawn.
    pub fn finish(&self) {
        self.count.finish_and_clear();
    }
}

/// The two halves of a replacement run one after the other, and are two lines.
fn key(change: &Change, doing: Doing) -> (Address, bool) {
    (change.address, matches!(doing, Doing::Deleting | Doing::Releasing))
}

/// The resource's name as the plan shows it.
fn shown(change: &Change, doing: Doing) -> String {
    match doing {
        Doing::Deleting => printable(doing.name_of(change)).into_owned(),
        _ => crate::stack::render::shown_name(change),
    }
}

fn console_colours() -> bool {
    anstream::stderr().current_choice() != anstream::ColorChoice::Never
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is valid")
}
