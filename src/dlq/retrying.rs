//! Puts rejected messages back on the queue, and deletes them.

use std::time::Duration;

use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, QueueAttributeName, SendMessageBatchRequestEntry};

use super::Rejected;
use crate::aws::{Answer, BATCH, CallError, CallResult, Clients, Kind, MAX_BATCH_BYTES, answers};
use crate::worker::attributes::Attribute;

/// Between two looks at a running move.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// How long to follow a move; SQS goes on by itself.
const FOLLOW: Duration = Duration::from_secs(3_600);

/// How a move by SQS ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moved {
    /// All of them, about so many.
    Done(u64),
    /// SQS goes on after [`FOLLOW`].
    GoesOn(u64),
    /// SQS does not move these: why.
    Not(String),
}

/// What became of messages that were to be retried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retried {
    pub moved: usize,
    /// Put on the queue and still in the dead-letter queue: IDs.
    pub twice: Vec<String>,
    /// Not put on the queue: ID and why.
    pub failed: Vec<(String, String)>,
}

/// Lets SQS move all messages back to the queue, and follows it. `progress` gets how many were moved.
///
/// # Errors
/// The queue's ARN cannot be read, or the move cannot be followed.
pub async fn retry_all(
    clients: &Clients,
    dlq_url: &str,
    queue_url: &str,
    mut progress: impl FnMut(u64),
) -> Result<Moved, CallError> {
    let (from, to) = (arn(clients, dlq_url).await?, arn(clients, queue_url).await?);
    // The destination is named, because SQS does not know the source of messages that a worker has rejected itself.
    let call = clients.sqs.start_message_move_task().source_arn(&from).destination_arn(to);
    match call.send().await.action("sqs:StartMessageMoveTask") {
        Ok(_) => {}
        Err(error) if matches!(error.kind, Kind::Credentials | Kind::Throttled | Kind::Unavailable) => {
            return Err(error);
        }
        Err(error) => return Ok(Moved::Not(error.to_string())),
    }
    let began = tokio::time::Instant::now();
    loop {
        let call = clients.sqs.list_message_move_tasks().source_arn(&from).max_results(1);
        let out = call.send().await.action("sqs:ListMessageMoveTasks")?;
        let newest = out.results.unwrap_or_default().into_iter().next();
        let moved = newest.as_ref().map_or(0, |task| task.approximate_number_of_messages_moved());
        let moved = u64::try_from(moved).unwrap_or(0);
        progress(moved);
        match newest.as_ref().and_then(|task| task.status()) {
            Some("RUNNING" | "CANCELLING") => {}
            Some("FAILED" | "CANCELLED") => {
                let why = newest.as_ref().and_then(|task| task.failure_reason()).unwrap_or("SQS gives no reason");
                return Ok(Moved::Not(why.to_owned()));
            }
            _ => return Ok(Moved::Done(moved)),
        }
        if began.elapsed() >= FOLLOW {
            return Ok(Moved::GoesOn(moved));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

async fn arn(clients: &Clients, queue_url: &str) -> Result<String, CallError> {
    let call = clients.sqs.get_queue_attributes().queue_url(queue_url).attribute_names(QueueAttributeName::QueueArn);
    let attributes = call.send().await.action("sqs:GetQueueAttributes")?.attributes.unwrap_or_default();
    Ok(attributes.get(&QueueAttributeName::QueueArn).cloned().unwrap_or_default())
}

/// Puts messages that were read back on the queue, with their own attributes, and then deletes them from the dead-letter
/// queue. In this order, so that none is lost when the command is killed.
///
/// # Errors
/// A call fails as a whole; messages that were moved before stay moved.
pub async fn retry(
    clients: &Clients,
    dlq_url: &str,
    queue_url: &str,
    messages: &[&Rejected],
) -> Result<Retried, CallError> {
    let mut retried = Retried::default();
    let mut rest = messages;
    while !rest.is_empty() {
        let (batch, after) = rest.split_at(batch_length(rest));
        rest = after;
        let sent = send(clients, queue_url, batch).await?;
        let mut queued = Vec::new();
        for (message, answer) in batch.iter().zip(sent) {
            match answer {
                Answer::Done => queued.push(*message),
                Answer::Again(why) | Answer::Refused(why) => retried.failed.push((message.id.clone(), why)),
            }
        }
        if queued.is_empty() {
            continue;
        }
        for (message, answer) in queued.iter().zip(delete(clients, dlq_url, &queued).await?) {
            retried.moved += 1;
            if answer != Answer::Done {
                retried.twice.push(message.id.clone());
            }
        }
    }
    Ok(retried)
}

/// How many of the first messages fit into one call.
fn batch_length(messages: &[&Rejected]) -> usize {
    let mut bytes = 0;
    let fits = messages.iter().take(BATCH).take_while(|message| {
        bytes += message.body.len() + message.attributes.iter().map(Attribute::bytes).sum::<usize>();
        bytes <= MAX_BATCH_BYTES
    });
    fits.count().max(1)
}

async fn send(clients: &Clients, queue_url: &str, batch: &[&Rejected]) -> Result<Vec<Answer>, CallError> {
    let entries = batch.iter().enumerate().map(|(index, message)| {
        let attributes = message.attributes.iter().cloned().map(Attribute::into_sdk).collect();
        SendMessageBatchRequestEntry::builder()
            .id(index.to_string())
            .message_body(&message.body)
            .set_message_attributes(Some(attributes))
            .set_message_group_id(message.group.clone())
            .build()
            .expect("it has an ID and a body")
    });
    let call = clients.sqs.send_message_batch().queue_url(queue_url).set_entries(Some(entries.collect()));
    Ok(answers(batch.len(), &call.send().await.action("sqs:SendMessage")?.failed))
}

async fn delete(clients: &Clients, queue_url: &str, batch: &[&Rejected]) -> Result<Vec<Answer>, CallError> {
    let entries = batch.iter().enumerate().map(|(index, message)| {
        DeleteMessageBatchRequestEntry::builder()
            .id(index.to_string())
            .receipt_handle(message.receipt())
            .build()
            .expect("it has an ID and a receipt handle")
    });
    let call = clients.sqs.delete_message_batch().queue_url(queue_url).set_entries(Some(entries.collect()));
    Ok(answers(batch.len(), &call.send().await.action("sqs:DeleteMessage")?.failed))
}

/// Deletes every message of the queue.
///
/// # Errors
/// SQS refuses: it allows one purge a minute.
pub async fn purge(clients: &Clients, queue_url: &str) -> Result<(), CallError> {
    clients.sqs.purge_queue().queue_url(queue_url).send().await.map(drop).action("sqs:PurgeQueue")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dlq::Reason;

    #[test]
    fn a_batch_has_ten_messages_of_a_mebibyte_together() {
        let message = |bytes: usize| Rejected {
            id: String::new(),
            body: "x".repeat(bytes),
            attributes: Vec::new(),
            group: None,
            reason: Reason::TooManyReceives,
            sent_ms: 0,
            receipt: String::new(),
        };
        let (small, large) = (message(10), message(MAX_BATCH_BYTES / 2));
        assert_eq!(batch_length(&[&small; 12]), 10);
        assert_eq!(batch_length(&[&large, &large, &small]), 2);
        assert_eq!(batch_length(&[&message(MAX_BATCH_BYTES + 1)]), 1, "one is always tried");
    }
}
