//! Doing a plan: every change's steps in order, independent changes side by side. A failed change leaves the rest
//! correct: what needs it is skipped and named, everything else goes on, and the next apply finishes the job.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::Instant;

use super::operation::{Change, Plan};
use super::order::{needs, outlives};
use crate::aws::{CallError, Kind, Writer};
use crate::error::Failure;
use crate::stack::address::Address;
use crate::stack::change::{Action, Purpose};
use crate::stack::resources::{Facts, Interrupt, Learned, Scene, instance};

/// How often a change that is still running says so.
const STILL_EVERY: Duration = Duration::from_secs(10);

/// What happens while a plan is done, in the order in which it happens.
#[derive(Debug)]
pub enum Event<'a> {
    Started {
        change: &'a Change,
        doing: Doing,
    },
    /// It waits for AWS; `why` is a sentence.
    Waiting {
        address: Address,
        why: &'a str,
    },
    Still {
        change: &'a Change,
        doing: Doing,
        elapsed: Duration,
    },
    Done {
        change: &'a Change,
        doing: Doing,
        elapsed: Duration,
    },
    Failed {
        change: &'a Change,
        doing: Doing,
        error: &'a CallError,
    },
    /// The user ended it before it was done; no call of it is in flight any more.
    Interrupted {
        change: &'a Change,
        doing: Doing,
        elapsed: Duration,
    },
    /// Not tried, because `needed` failed or was skipped itself.
    Skipped {
        change: &'a Change,
        needed: Address,
    },
}

/// What is being done to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    Creating,
    Updating,
    Deleting,
    /// Giving back what was adopted.
    Releasing,
    /// For its worker's first report; nothing changes.
    AwaitingReport,
}

impl Doing {
    /// A change's name while this is done to it: what is deleted because its replacement exists does not have the
    /// replacement's name.
    pub fn name_of(self, change: &Change) -> &str {
        if self == Self::Deleting && change.action != Action::Delete { "what it replaces" } else { &change.name }
    }

    /// "create", "creating", "created".
    pub fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Creating => ("create", "creating", "created"),
            Self::Updating => ("update", "updating", "updated"),
            Self::Deleting => ("delete", "deleting", "deleted"),
            Self::Releasing => ("release", "releasing", "released"),
            Self::AwaitingReport => ("wait for", "waiting for", "heard from"),
        }
    }
}

/// How one change ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    Failed,
    Skipped,
    /// The user interrupted before it was done.
    NotDone,
}

/// How a plan ended.
#[derive(Debug)]
pub struct Report {
    /// Of every change that was to be done, in the plan's order.
    pub outcomes: Vec<(Address, Action, Outcome)>,
    pub failures: Vec<Failure>,
    /// Every right that a call was refused for want of.
    pub missing_rights: BTreeSet<String>,
    pub interrupted: bool,
    /// What was made, as AWS told while it was made.
    pub facts: Facts,
}

/// One half of a change: making (or altering), or taking away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Node {
    change: usize,
    down: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Running,
    Done,
    Failed,
    Skipped,
}

/// Around all steps of a plan.
struct Site<'a> {
    plan: &'a Plan,
    aws: &'a Writer,
    learned: &'a Learned,
    missing_rights: &'a Mutex<BTreeSet<String>>,
    tell: &'a (dyn Fn(Event<'_>) + Sync),
    interrupt: &'a Interrupt,
}

/// Does the plan. `tell` hears of everything at once. Once `interrupt` is raised, no step begins and no wait goes on: what
/// is in flight is awaited, and that is all.
pub async fn execute(plan: &Plan, aws: &Writer, tell: &(dyn Fn(Event<'_>) + Sync), interrupt: &Interrupt) -> Report {
    let nodes = nodes(plan);
    let mut states = vec![State::Waiting; nodes.len()];
    let mut failures = Vec::new();
    let (learned, missing_rights) = (Learned::default(), Mutex::default());
    let site = Site { plan, aws, learned: &learned, missing_rights: &missing_rights, tell, interrupt };
    let mut running = FuturesUnordered::new();
    loop {
        skip(plan, &nodes, &mut states, tell);
        if !interrupt.is_raised() {
            for (index, node) in nodes.iter().enumerate() {
                let ready = states[index] == State::Waiting
                    && nodes
                        .iter()
                        .zip(&states)
                        .all(|(other, state)| *state == State::Done || !after(plan, *node, *other));
                if ready {
                    states[index] = State::Running;
                    let change = &plan.changes[node.change];
                    let site = &site;
                    running.push(async move { (index, run(site, change, node.down).await) });
                }
            }
        }
        match running.next().await {
            Some((index, Ok(true))) => states[index] = State::Done,
            // Interrupted between two steps: neither done nor failed.
            Some((index, Ok(false))) => states[index] = State::Waiting,
            Some((index, Err(failure))) => {
                states[index] = State::Failed;
                failures.push(failure);
            }
            None => break,
        }
    }
    drop(running);
    Report {
        outcomes: outcomes(plan, &nodes, &states),
        failures,
        missing_rights: missing_rights.into_inner().unwrap_or_else(PoisonError::into_inner),
        interrupted: interrupt.is_raised(),
        facts: learned.into_facts(),
    }
}

fn nodes(plan: &Plan) -> Vec<Node> {
    let mut nodes = Vec::new();
    for (index, change) in plan.changes.iter().enumerate() {
        if !change.up.is_empty() {
            nodes.push(Node { change: index, down: false });
        }
        if !change.down.is_empty() {
            nodes.push(Node { change: index, down: true });
        }
    }
    nodes
}

/// Whether `node` must wait for `other`.
fn after(plan: &Plan, node: Node, other: Node) -> bool {
    let (address, other_address) = (plan.changes[node.change].address, plan.changes[other.change].address);
    match (node.down, other.down) {
        // Made after what it needs.
        (false, false) => needs(address, other_address),
        (false, true) => false,
        // Taken away after its own replacement is there, and after what needs it has moved on or gone.
        (true, false) => node.change == other.change || needs(other_address, address),
        (true, true) => outlives(address, other_address),
    }
}

/// Marks everything that can no longer be done, and says so.
fn skip(plan: &Plan, nodes: &[Node], states: &mut [State], tell: &(dyn Fn(Event<'_>) + Sync)) {
    // As many rounds as there are nodes: each marks at least one or is the last.
    for _ in 0..nodes.len() {
        let lost = (0..nodes.len()).find_map(|index| {
            let broken = (0..nodes.len()).find(|&other| {
                matches!(states[other], State::Failed | State::Skipped) && after(plan, nodes[index], nodes[other])
            })?;
            (states[index] == State::Waiting).then_some((index, broken))
        });
        let Some((index, broken)) = lost else { return };
        states[index] = State::Skipped;
        let needed = plan.changes[nodes[broken].change].address;
        tell(Event::Skipped { change: &plan.changes[nodes[index].change], needed });
    }
}

/// Runs one half of a change; `false` when it was interrupted.
async fn run(site: &Site<'_>, change: &Change, down: bool) -> Result<bool, Failure> {
    let Site { plan, aws, learned, missing_rights, tell, interrupt } = site;
    let doing = match (down, change.action) {
        (true, Action::Update) if plan.purpose == Purpose::Destroy => Doing::Releasing,
        (true, _) => Doing::Deleting,
        (false, Action::Create | Action::Replace) => Doing::Creating,
        (false, Action::None) => Doing::AwaitingReport,
        (false, _) => Doing::Updating,
    };
    let started = Instant::now();
    tell(Event::Started { change, doing });
    let waiting = |address: Address, why: &str| tell(Event::Waiting { address, why });
    let scene = Scene {
        stack: &plan.stack,
        account: &plan.account,
        address: change.address,
        learned,
        waiting: &waiting,
        interrupt,
    };
    let steps = async {
        for step in if down { &change.down } else { &change.up } {
            if interrupt.is_raised() {
                return Ok(false);
            }
            step.run(aws, &scene).await?;
        }
        Ok::<bool, CallError>(true)
    };
    let mut steps = std::pin::pin!(steps);
    let mut still = tokio::time::interval_at(started + STILL_EVERY, STILL_EVERY);
    let result = loop {
        tokio::select! {
            biased;
            result = &mut steps => break result,
            _ = still.tick() => tell(Event::Still { change, doing, elapsed: started.elapsed() }),
        }
    };
    let elapsed = started.elapsed();
    match result {
        Ok(true) => {
            tell(Event::Done { change, doing, elapsed });
            Ok(true)
        }
        Err(error) if error.kind != Kind::Interrupted => {
            tell(Event::Failed { change, doing, error: &error });
            if let Some(denial) = error.denial() {
                missing_rights.lock().unwrap_or_else(PoisonError::into_inner).insert(denial.right);
            }
            let (address, name, noun) = (change.address, &change.name, change.address.noun());
            let (verb, ..) = doing.words();
            Err(error.failure(match error.action {
                // The instance is there; that it works is what is missing.
                instance::AWAITED => format!("{address}: the worker of {name} does not report"),
                _ => format!("{address}: cannot {verb} the {noun} {name}"),
            }))
        }
        Ok(false) | Err(_) => {
            tell(Event::Interrupted { change, doing, elapsed });
            Ok(false)
        }
    }
}

fn outcomes(plan: &Plan, nodes: &[Node], states: &[State]) -> Vec<(Address, Action, Outcome)> {
    let tried = |index: usize| nodes.iter().any(|node| node.change == index);
    let changes =
        plan.changes.iter().enumerate().filter(|(index, change)| change.action != Action::None || tried(*index));
    changes
        .map(|(index, change)| {
            let of = |state: State| nodes.iter().zip(states).any(|(node, s)| node.change == index && *s == state);
            let outcome = if of(State::Failed) {
                Outcome::Failed
            } else if of(State::Skipped) {
                Outcome::Skipped
            } else if of(State::Waiting) || change.action == Action::Blocked {
                Outcome::NotDone
            } else {
                Outcome::Done
            };
            (change.address, change.action, outcome)
        })
        .collect()
}
