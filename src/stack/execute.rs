//! Executes a plan: the steps of a change in order, independent changes in parallel. When a change fails, the changes
//! that depend on it are skipped, all others go on, and the next apply continues from there.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::Instant;

use super::operation::{Change, Plan};
use super::order::{needs, outlives, takes_over};
use crate::aws::{CallError, Kind, Writer};
use crate::error::Failure;
use crate::stack::address::Address;
use crate::stack::change::{Action, Purpose};
use crate::stack::resources::{Facts, Interrupt, StepContext, StepOutputs, instance};

/// How often a change that is still running says so.
const STILL_EVERY: Duration = Duration::from_secs(10);

/// What happens while a plan is executed, in order.
#[derive(Debug)]
pub enum Event<'a> {
    Started {
        change: &'a Change,
        doing: Doing,
    },
    /// A step waits for AWS; `why` is a sentence.
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
    /// The user interrupted it; none of its calls is in flight any more.
    Interrupted {
        change: &'a Change,
        doing: Doing,
        elapsed: Duration,
    },
    /// Not started, because `needed` failed or was skipped itself.
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
    /// Releasing an adopted resource.
    Releasing,
    /// Waiting for its worker's first report; nothing is changed.
    AwaitingReport,
}

impl Doing {
    /// The name to show: a resource that has been replaced does not have the name of its replacement.
    pub fn name_of(self, change: &Change) -> &str {
        if self == Self::Deleting && change.action != Action::Delete { "the old one" } else { &change.name }
    }

    /// "create", "creating", "created".
    pub fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Creating => ("create", "creating", "created"),
            Self::Updating => ("update", "updating", "updated"),
            Self::Deleting => ("delete", "deleting", "deleted"),
            Self::Releasing => ("release", "releasing", "released"),
            Self::AwaitingReport => ("wait for", "waiting for", "reported"),
        }
    }
}

/// How one change ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    Failed,
    Skipped,
    /// The user interrupted before it was finished.
    NotDone,
}

/// How a plan ended.
#[derive(Debug)]
pub struct Report {
    /// Of every change with something to do, in the plan's order.
    pub outcomes: Vec<(Address, Action, Outcome)>,
    pub failures: Vec<Failure>,
    /// Every permission that a refused call lacked.
    pub missing_permissions: BTreeSet<String>,
    pub interrupted: bool,
    /// What the steps have created, as AWS answered.
    pub facts: Facts,
}

/// Which part of a change: a replacement is two nodes, its creation and its destruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Creating or updating.
    Create,
    /// Deleting or releasing.
    Destroy,
}

/// A change and its phase: what is scheduled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Node {
    change: usize,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Running,
    Done,
    Failed,
    Skipped,
}

/// What all changes of a plan share.
struct Execution<'a> {
    plan: &'a Plan,
    aws: &'a Writer,
    outputs: &'a StepOutputs,
    missing_permissions: &'a Mutex<BTreeSet<String>>,
    tell: &'a (dyn Fn(Event<'_>) + Sync),
    interrupt: &'a Interrupt,
}

/// Executes the plan. `tell` receives every event as it happens. Once `interrupt` is raised, no further step starts and
/// every wait ends; calls in flight are still awaited.
pub async fn execute(plan: &Plan, aws: &Writer, tell: &(dyn Fn(Event<'_>) + Sync), interrupt: &Interrupt) -> Report {
    let nodes = nodes(plan);
    let mut states = vec![State::Waiting; nodes.len()];
    let mut failures = Vec::new();
    let (outputs, missing_permissions) = (StepOutputs::default(), Mutex::default());
    let execution =
        Execution { plan, aws, outputs: &outputs, missing_permissions: &missing_permissions, tell, interrupt };
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
                    let execution = &execution;
                    running.push(async move { (index, run(execution, change, node.phase).await) });
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
        missing_permissions: missing_permissions.into_inner().unwrap_or_else(PoisonError::into_inner),
        interrupted: interrupt.is_raised(),
        facts: outputs.into_facts(),
    }
}

fn nodes(plan: &Plan) -> Vec<Node> {
    let mut nodes = Vec::new();
    for (index, change) in plan.changes.iter().enumerate() {
        if !change.steps.is_empty() {
            nodes.push(Node { change: index, phase: Phase::Create });
        }
        if !change.removals.is_empty() {
            nodes.push(Node { change: index, phase: Phase::Destroy });
        }
    }
    nodes
}

/// Whether `node` must wait for `other`.
fn after(plan: &Plan, node: Node, other: Node) -> bool {
    let (address, other_address) = (plan.changes[node.change].address, plan.changes[other.change].address);
    match (node.phase, other.phase) {
        // Created after what it needs.
        (Phase::Create, Phase::Create) => needs(address, other_address),
        (Phase::Create, Phase::Destroy) => false,
        // Destroyed after its own replacement exists, and after what needs it has been updated or deleted.
        (Phase::Destroy, Phase::Create) => {
            node.change == other.change || needs(other_address, address) || takes_over(other_address, address)
        }
        (Phase::Destroy, Phase::Destroy) => outlives(address, other_address),
    }
}

/// Marks every change that can no longer be executed as skipped.
fn skip(plan: &Plan, nodes: &[Node], states: &mut [State], tell: &(dyn Fn(Event<'_>) + Sync)) {
    // As many rounds as there are nodes: each marks at least one or is the last.
    for _ in 0..nodes.len() {
        let blocked = (0..nodes.len()).find_map(|index| {
            let broken = (0..nodes.len()).find(|&other| {
                matches!(states[other], State::Failed | State::Skipped) && after(plan, nodes[index], nodes[other])
            })?;
            (states[index] == State::Waiting).then_some((index, broken))
        });
        let Some((index, broken)) = blocked else { return };
        states[index] = State::Skipped;
        let needed = plan.changes[nodes[broken].change].address;
        tell(Event::Skipped { change: &plan.changes[nodes[index].change], needed });
    }
}

/// Runs one phase of a change; `false` when it was interrupted.
async fn run(execution: &Execution<'_>, change: &Change, phase: Phase) -> Result<bool, Failure> {
    let Execution { plan, aws, outputs, missing_permissions, tell, interrupt } = execution;
    let doing = match (phase, change.action) {
        (Phase::Destroy, Action::Update) if plan.purpose == Purpose::Destroy => Doing::Releasing,
        // Such as a queue's policy, which loses a bucket after the bucket's rule has gone.
        (Phase::Destroy, Action::Update) if !matches!(change.address, Address::Instance(_)) => Doing::Updating,
        (Phase::Destroy, _) => Doing::Deleting,
        (Phase::Create, Action::Create | Action::Replace) => Doing::Creating,
        (Phase::Create, Action::None) => Doing::AwaitingReport,
        (Phase::Create, _) => Doing::Updating,
    };
    let started = Instant::now();
    tell(Event::Started { change, doing });
    let waiting = |address: Address, why: &str| tell(Event::Waiting { address, why });
    let context = StepContext {
        stack: &plan.stack,
        account: &plan.account,
        address: change.address,
        outputs,
        waiting: &waiting,
        interrupt,
    };
    let steps = async {
        let steps = match phase {
            Phase::Create => &change.steps,
            Phase::Destroy => &change.removals,
        };
        for step in steps {
            if interrupt.is_raised() {
                return Ok(false);
            }
            step.run(aws, &context).await?;
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
                missing_permissions.lock().unwrap_or_else(PoisonError::into_inner).insert(denial.right);
            }
            let (address, name, noun) = (change.address, &change.name, change.address.noun());
            let (verb, ..) = doing.words();
            Err(error.failure(match error.action {
                // The instance exists, but its worker has not reported.
                instance::AWAITED => format!("{address}: the worker of {name} has not reported"),
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
