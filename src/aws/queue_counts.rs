//! How many messages a queue has.

use aws_sdk_sqs::types::QueueAttributeName;
use serde::Serialize;

use super::{CallError, CallResult, Clients};

/// A queue's messages, as SQS counts them: approximately, and up to a minute late (API GetQueueAttributes).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct QueueCounts {
    /// They can be received.
    pub waiting: u64,
    /// Received, and not yet deleted.
    pub in_flight: u64,
    /// Sent with a delay.
    pub delayed: u64,
}

impl QueueCounts {
    pub fn all(self) -> u64 {
        self.waiting + self.in_flight + self.delayed
    }
}

/// Reads the counts of a queue.
///
/// # Errors
/// The queue does not exist, or may not be read.
pub async fn queue_counts(clients: &Clients, queue_url: &str) -> Result<QueueCounts, CallError> {
    use QueueAttributeName::{
        ApproximateNumberOfMessages as Waiting, ApproximateNumberOfMessagesDelayed as Delayed,
        ApproximateNumberOfMessagesNotVisible as InFlight,
    };
    let call = clients.sqs.get_queue_attributes().queue_url(queue_url);
    let call = call.set_attribute_names(Some(vec![Waiting, InFlight, Delayed]));
    let answer = call.send().await.action("sqs:GetQueueAttributes")?;
    let attributes = answer.attributes.unwrap_or_default();
    let count = |name: &QueueAttributeName| attributes.get(name).and_then(|text| text.parse().ok()).unwrap_or(0);
    Ok(QueueCounts { waiting: count(&Waiting), in_flight: count(&InFlight), delayed: count(&Delayed) })
}
