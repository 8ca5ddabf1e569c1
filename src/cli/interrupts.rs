//! Ctrl-C while a plan is done. The first one ends every wait; what AWS was asked for already is awaited, because only its
//! answer tells what there is. The second one ends the process, and says what is not known then.

use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::stack::address::Address;
use crate::stack::change::Purpose;
use crate::stack::resources::Interrupt;
use crate::stack::{Doing, Event};

/// As a shell reports a process that SIGINT ended.
const EXIT_INTERRUPTED: i32 = 130;

/// Sees Ctrl-C from its making to the end of the process: tokio never gives the signal back.
pub struct Interrupts {
    pub interrupt: Arc<Interrupt>,
    running: Arc<Mutex<Running>>,
}

/// What runs.
struct Running {
    purpose: Purpose,
    steps: Vec<(Address, Doing, String)>,
    /// The plan is done or given up: nothing is lost by an end.
    over: bool,
}

impl Interrupts {
    pub fn watch(purpose: Purpose) -> Self {
        let running = Arc::new(Mutex::new(Running { purpose, steps: Vec::new(), over: false }));
        let interrupts = Self { interrupt: Arc::new(Interrupt::new()), running };
        let (interrupt, running) = (interrupts.interrupt.clone(), interrupts.running.clone());
        tokio::spawn(async move {
            while tokio::signal::ctrl_c().await.is_ok() {
                let running = lock(&running);
                if running.over {
                    std::process::exit(EXIT_INTERRUPTED);
                }
                let again = interrupt.raise();
                let text = if again { running.unknown() } else { running.awaited() };
                let _ = writeln!(anstream::stderr(), "{text}");
                if again {
                    std::process::exit(EXIT_INTERRUPTED);
                }
            }
        });
        interrupts
    }

    /// Keeps up with what runs.
    pub fn note(&self, event: &Event<'_>) {
        lock(&self.running).note(event);
    }

    /// From here on the first Ctrl-C ends the process.
    pub fn over(&self) {
        lock(&self.running).over = true;
    }
}

fn lock(running: &Mutex<Running>) -> MutexGuard<'_, Running> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Running {
    fn note(&mut self, event: &Event<'_>) {
        match event {
            Event::Started { change, doing } => {
                self.steps.push((change.address, *doing, doing.name_of(change).to_owned()));
            }
            Event::Done { change, doing, .. }
            | Event::Failed { change, doing, .. }
            | Event::Interrupted { change, doing, .. } => {
                self.steps.retain(|(address, running, _)| (*address, *running) != (change.address, *doing));
            }
            Event::Waiting { .. } | Event::Still { .. } | Event::Skipped { .. } => {}
        }
    }

    /// "instance.1 (creating cats-worker-1), queue (deleting cats)".
    fn list(&self) -> String {
        let one = |(address, doing, name): &(Address, Doing, String)| {
            let (_, creating, _) = doing.words();
            format!("{address} ({creating} {})", crate::text::printable(name))
        };
        self.steps.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    /// After the first Ctrl-C.
    fn awaited(&self) -> String {
        format!("Interrupted: awaiting only the calls that are in flight: {}. Once more ends at once.", self.list())
    }

    /// After the second one.
    fn unknown(&self) -> String {
        if self.steps.is_empty() {
            return "Ended.".to_owned();
        }
        format!(
            "Ended at once. Whether AWS has done what was in flight is not known: {}. Run `thumb {}` again: it finds out, and \
             goes on.",
            self.list(),
            self.purpose.command()
        )
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::stack::Change;
    use crate::stack::change::Action;

    #[test]
    fn what_is_in_flight_is_named_and_what_has_ended_is_not() {
        let mut running = Running { purpose: Purpose::Apply, steps: Vec::new(), over: false };
        let queue = Change::new(Address::Queue, "cats").action(Action::Create);
        let instance = Change::new(Address::Instance(1), "cats-worker-1").action(Action::Replace);
        let (elapsed, creating) = (Duration::ZERO, Doing::Creating);
        running.note(&Event::Started { change: &queue, doing: creating });
        running.note(&Event::Started { change: &instance, doing: creating });
        running.note(&Event::Done { change: &instance, doing: creating, elapsed });
        running.note(&Event::Started { change: &instance, doing: Doing::Deleting });
        assert_eq!(
            running.awaited(),
            "Interrupted: awaiting only the calls that are in flight: queue (creating cats), instance.1 (deleting what it \
             replaces). Once more ends at once."
        );
        running.note(&Event::Interrupted { change: &queue, doing: creating, elapsed });
        assert_eq!(
            running.unknown(),
            "Ended at once. Whether AWS has done what was in flight is not known: instance.1 (deleting what it replaces). \
             Run `thumb apply` again: it finds out, and goes on."
        );
    }
}
