//! The runner's calls to SQS, and what their answers do to its state.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::aws::{Answer, CallError};
use crate::worker::backend::{Delivery, Depth, Letter, World};
use crate::worker::in_flight::{Beat, Id, Leave, State, Table};
use crate::worker_report::WorkerReport;

/// A call to make.
#[derive(Debug)]
pub enum Call {
    Receive { most: usize, wait: Duration },
    Beat(Vec<Beat>),
    Delete(Vec<(Id, String)>),
    Bury(Vec<(Id, Letter)>),
    Return(Vec<(Id, String, u32)>),
    Depth,
    Report(Box<WorkerReport>),
}

pub type Answers = Result<Vec<Answer>, CallError>;

/// A call's answer, with the messages it was about.
#[derive(Debug)]
pub enum Answered {
    Receive(Result<Vec<Delivery>, CallError>),
    Beat(Vec<Beat>, Answers),
    Delete(Vec<Id>, Answers),
    Bury(Vec<Id>, Answers),
    Return(Vec<Id>, Answers),
    Depth(Result<Depth, CallError>),
    /// With its key.
    Report(String, Result<(), CallError>),
}

impl Call {
    pub fn deleting(ids: Vec<Id>, held: &Table) -> Self {
        let receipt = |id| held.get(id).map(|held| (id, held.receipt.clone()));
        Self::Delete(ids.into_iter().filter_map(receipt).collect())
    }

    pub fn burying(ids: Vec<Id>, held: &Table) -> Self {
        let letter = |id| {
            let held = held.get(id)?;
            let State::Leaving(Leave::Bury { stage, error }) = &held.state else { return None };
            let (body, attributes) = (Arc::clone(&held.body), held.attributes.clone());
            Some((id, Letter { body, attributes, error: error.clone(), stage: stage.clone() }))
        };
        Self::Bury(ids.into_iter().filter_map(letter).collect())
    }

    pub fn returning(ids: Vec<Id>, held: &Table) -> Self {
        let change = |id| {
            let held = held.get(id)?;
            let State::Leaving(Leave::Return { visibility_s }) = held.state else { return None };
            Some((id, held.receipt.clone(), visibility_s))
        };
        Self::Return(ids.into_iter().filter_map(change).collect())
    }

    pub fn start<W: World>(self, world: Arc<W>) -> Pin<Box<dyn Future<Output = Answered> + Send>> {
        Box::pin(async move {
            match self {
                Self::Receive { most, wait } => Answered::Receive(world.receive(most, wait).await),
                Self::Beat(beats) => {
                    let changes = beats.iter().map(|beat| (beat.receipt.clone(), beat.visibility_s)).collect();
                    Answered::Beat(beats, world.change_visibility(changes).await)
                }
                Self::Delete(entries) => {
                    let (ids, receipts) = entries.into_iter().unzip();
                    Answered::Delete(ids, world.delete(receipts).await)
                }
                Self::Bury(entries) => {
                    let (ids, letters) = entries.into_iter().unzip();
                    Answered::Bury(ids, world.send_to_dlq(letters).await)
                }
                Self::Return(entries) => {
                    let (ids, changes) = entries.into_iter().map(|(id, receipt, s)| (id, (receipt, s))).unzip();
                    Answered::Return(ids, world.change_visibility(changes).await)
                }
                Self::Depth => Answered::Depth(world.depth().await),
                Self::Report(report) => Answered::Report(report.key(), world.put_report(&report).await),
            }
        })
    }
}
