//! Doing a plan: every change's steps in order, independent changes side by side. A failed change leaves the rest
//! correct: what needs it is skipped and named, everything else goes on, and the next apply finishes the job.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::Instant;

use super::order::needs;
use crate::aws::{CallError, Writer};
use crate::failure::Failure;
use crate::plan::{Action, Address, Change, Plan, Purpose};
use crate::resource::{Learned, Scene};

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
}

impl Doing {
    /// "create", "creating", "created".
    pub fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Creating => ("create", "creating", "created"),
            Self::Updating => ("update", "updating", "updated"),
            Self::Deleting => ("delete", "deleting", "deleted"),
            Self::Releasing => ("release", "releasing", "released"),
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
    pub interrupted: bool,
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

/// Does the plan. `tell` hears of everything at once; `stop` is looked at before each step.
pub async fn execute(plan: &Plan, aws: &Writer, tell: &(dyn Fn(Event<'_>) + Sync), stop: &AtomicBool) -> Report {
    let nodes = nodes(plan);
    let mut states = vec![State::Waiting; nodes.len()];
    let mut failures = Vec::new();
    let learned = Learned::default();
    let mut running = FuturesUnordered::new();
    loop {
        skip(plan, &nodes, &mut states, tell);
        if !stop.load(Ordering::Relaxed) {
            for (index, node) in nodes.iter().enumerate() {
                let ready = states[index] == State::Waiting
                    && nodes
                        .iter()
                        .zip(&states)
                        .all(|(other, state)| *state == State::Done || !after(plan, *node, *other));
                if ready {
                    states[index] = State::Running;
                    let change = &plan.changes[node.change];
                    let learned = &learned;
                    running.push(async move { (index, run(plan, change, node.down, aws, learned, tell, stop).await) });
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
    Report { outcomes: outcomes(plan, &nodes, &states), failures, interrupted: stop.load(Ordering::Relaxed) }
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
        (true, true) => needs(other_address, address),
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
async fn run(
    plan: &Plan,
    change: &Change,
    down: bool,
    aws: &Writer,
    learned: &Learned,
    tell: &(dyn Fn(Event<'_>) + Sync),
    stop: &AtomicBool,
) -> Result<bool, Failure> {
    let doing = match (down, change.action) {
        (true, Action::Update) if plan.purpose == Purpose::Destroy => Doing::Releasing,
        (true, _) => Doing::Deleting,
        (false, Action::Create | Action::Replace) => Doing::Creating,
        (false, _) => Doing::Updating,
    };
    let started = Instant::now();
    tell(Event::Started { change, doing });
    let waiting = |address: Address, why: &str| tell(Event::Waiting { address, why });
    let scene =
        Scene { stack: &plan.stack, account: &plan.account, address: change.address, learned, waiting: &waiting };
    let steps = async {
        for step in if down { &change.down } else { &change.up } {
            if stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            step.run(aws, &scene).await?;
        }
        Ok(true)
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
    match result {
        Ok(finished) => {
            if finished {
                tell(Event::Done { change, doing, elapsed: started.elapsed() });
            }
            Ok(finished)
        }
        Err(error) => {
            tell(Event::Failed { change, doing, error: &error });
            let (verb, ..) = doing.words();
            let noun = change.address.noun();
            Err(error.failure(format!("{}: cannot {verb} the {noun} {}", change.address, change.name)))
        }
    }
}

fn outcomes(plan: &Plan, nodes: &[Node], states: &[State]) -> Vec<(Address, Action, Outcome)> {
    let changes = plan.changes.iter().enumerate().filter(|(_, change)| change.action != Action::None);
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
