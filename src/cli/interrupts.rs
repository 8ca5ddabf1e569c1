//! Ctrl-C while a plan is executed. The first one ends every wait, but not the calls in flight, because only their answers
//! tell what was done. The second one ends the process and lists the calls whose result is unknown.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::stack::address::Address;
use crate::stack::change::Purpose;
use crate::stack::resources::Interrupt;
use crate::stack::{Doing, Event};

/// As a shell reports a process that SIGINT ended.
pub const EXIT_INTERRUPTED: u8 = 130;

/// Ready at the first Ctrl-C from now on, also at one that comes before this is waited for.
pub fn interrupted() -> impl Future<Output = ()> {
    let ctrl_c = tokio::spawn(tokio::signal::ctrl_c());
    async {
        // Where there is no handler, the process cannot be interrupted, only killed.
        if !matches!(ctrl_c.await, Ok(Ok(()))) {
            std::future::pending::<()>().await;
        }
    }
}

/// Handles Ctrl-C until the end of the process: tokio never restores the default handler.
pub struct Interrupts {
    pub interrupt: Arc<Interrupt>,
    running: Arc<Mutex<Running>>,
}

/// The steps that are running.
struct Running {
    purpose: Purpose,
    steps: Vec<(Address, Doing, String)>,
    /// The plan has ended; quitting is safe.
    over: bool,
}

/// Shows a line to the user.
pub type Say = Box<dyn Fn(&str) + Send + Sync>;

impl Interrupts {
    pub fn watch(purpose: Purpose, say: Say) -> Self {
        let running = Arc::new(Mutex::new(Running { purpose, steps: Vec::new(), over: false }));
        let interrupts = Self { interrupt: Arc::new(Interrupt::new()), running };
        let (interrupt, running) = (interrupts.interrupt.clone(), interrupts.running.clone());
        tokio::spawn(async move {
            while tokio::signal::ctrl_c().await.is_ok() {
                let running = lock(&running);
                if running.over {
                    std::process::exit(EXIT_INTERRUPTED.into());
                }
                let again = interrupt.raise();
                let text = if again { running.unknown() } else { running.awaited() };
                say(&text);
                if again {
                    std::process::exit(EXIT_INTERRUPTED.into());
                }
            }
        });
        interrupts
    }

    /// Updates the running steps.
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
        format!("Stopping: waiting for the calls in flight: {}. Press Ctrl-C again to quit immediately.", self.list())
    }

    /// After the second one.
    fn unknown(&self) -> String {
        if self.steps.is_empty() {
            return "Quit.".to_owned();
        }
        format!(
            "Quit. AWS may or may not have completed the calls in flight: {}. Run `thumb {}` again to check and continue.",
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
            "Stopping: waiting for the calls in flight: queue (creating cats), instance.1 (deleting the old one). Press \
             Ctrl-C again to quit immediately."
        );
        running.note(&Event::Interrupted { change: &queue, doing: creating, elapsed });
        assert_eq!(
            running.unknown(),
            "Quit. AWS may or may not have completed the calls in flight: instance.1 (deleting the old one). Run `thumb \
             apply` again to check and continue."
        );
    }
}
