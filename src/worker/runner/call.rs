//! The runner's calls: each is made from the state, runs beside the loop, and comes back as an [`Answered`].

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::aws::{Answer, CallError};
use crate::worker::backend::{Backend, DeadLetter, Delivery, Depth};
use crate::worker::in_flight::{Disposition, Heartbeat, Id, InFlight, State};
use crate::worker_report::WorkerReport;

/// A call to make.
#[derive(Debug)]
pub enum Call {
    Receive {
        most: usize,
        wait: Duration,
    },
    Heartbeat(Vec<Heartbeat>),
    Delete(Vec<(Id, String)>),
    DeadLetter(Vec<(Id, DeadLetter)>),
    Release(Vec<(Id, String, u32)>),
    Depth,
    /// For the status line.
    Watch,
    Report(Box<WorkerReport>),
}

pub type Answers = Result<Vec<Answer>, CallError>;

/// A call's answer, with the messages that it concerned.
#[derive(Debug)]
pub enum Answered {
    Receive(Result<Vec<Delivery>, CallError>),
    Heartbeat(Vec<Heartbeat>, Answers),
    Delete(Vec<Id>, Answers),
    DeadLetter(Vec<Id>, Answers),
    Release(Vec<Id>, Answers),
    Depth(Result<Depth, CallError>),
    Watch(Result<Depth, CallError>),
    /// With its key.
    Report(String, Result<(), CallError>),
}

impl Call {
    pub fn acking(ids: Vec<Id>, in_flight: &InFlight) -> Self {
        let receipt = |id| in_flight.get(id).map(|message| (id, message.receipt.clone()));
        Self::Delete(ids.into_iter().filter_map(receipt).collect())
    }

    pub fn dead_lettering(ids: Vec<Id>, in_flight: &InFlight) -> Self {
        let dead_letter = |id| {
            let message = in_flight.get(id)?;
            let State::Settling(Disposition::DeadLetter { stage, error }) = &message.state else { return None };
            let (body, attributes) = (Arc::clone(&message.body), message.attributes.clone());
            Some((id, DeadLetter { body, attributes, error: error.clone(), stage: stage.clone() }))
        };
        Self::DeadLetter(ids.into_iter().filter_map(dead_letter).collect())
    }

    pub fn releasing(ids: Vec<Id>, in_flight: &InFlight) -> Self {
        let change = |id| {
            let message = in_flight.get(id)?;
            let State::Settling(Disposition::Release { visibility_s }) = message.state else { return None };
            Some((id, message.receipt.clone(), visibility_s))
        };
        Self::Release(ids.into_iter().filter_map(change).collect())
    }

    pub fn start<B: Backend>(self, backend: Arc<B>) -> Pin<Box<dyn Future<Output = Answered> + Send>> {
        Box::pin(async move {
            match self {
                Self::Receive { most, wait } => Answered::Receive(backend.receive(most, wait).await),
                Self::Heartbeat(heartbeats) => {
                    let changes = heartbeats
                        .iter()
                        .map(|heartbeat| (heartbeat.receipt.clone(), heartbeat.visibility_s))
                        .collect();
                    Answered::Heartbeat(heartbeats, backend.change_visibility(changes).await)
                }
                Self::Delete(entries) => {
                    let (ids, receipts) = entries.into_iter().unzip();
                    Answered::Delete(ids, backend.delete(receipts).await)
                }
                Self::DeadLetter(entries) => {
                    let (ids, dead_letters) = entries.into_iter().unzip();
                    Answered::DeadLetter(ids, backend.send_to_dlq(dead_letters).await)
                }
                Self::Release(entries) => {
                    let (ids, changes) = entries.into_iter().map(|(id, receipt, s)| (id, (receipt, s))).unzip();
                    Answered::Release(ids, backend.change_visibility(changes).await)
                }
                Self::Depth => Answered::Depth(backend.depth().await),
                Self::Watch => Answered::Watch(backend.depth().await),
                Self::Report(report) => Answered::Report(report.key(), backend.put_report(&report).await),
            }
        })
    }
}
