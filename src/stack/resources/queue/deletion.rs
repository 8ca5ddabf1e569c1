//! Waits for the end of a deleted queue: SQS's servers answer independently, some of them for a minute.

use std::time::Duration;

use tokio::time::Instant;

use crate::aws::{CallError, CallResult, Kind, Writer};
use crate::stack::resources::{StepContext, optional};

/// Consecutive "not found" responses before a queue counts as deleted: SQS servers answer independently.
const GONE_ANSWERS: u32 = 5;
/// The same once SQS has contradicted itself (Terraform asks as often).
const GONE_ANSWERS_AFTER_DOUBT: u32 = 15;
/// Between two such answers, and between two that the queue is still there.
const GONE_AGAIN: Duration = Duration::from_millis(200);
const STILL_THERE_AGAIN: Duration = Duration::from_secs(1);
/// SQS: the deletion takes up to 60 seconds (API DeleteQueue); as long again for the answers in a row.
pub(super) const GONE_BUDGET: Duration = Duration::from_secs(120);

/// Waits until SQS no longer finds a deleted queue; until then a plan would take it for an existing one.
pub async fn wait_until_gone(url: &str, aws: &Writer, context: &StepContext<'_>) -> Result<(), CallError> {
    const ACTION: &str = "sqs:GetQueueUrl";
    let name = url.rsplit('/').next().unwrap_or(url);
    let deadline = Instant::now() + GONE_BUDGET;
    let (mut in_a_row, mut wanted) = (0, GONE_ANSWERS);
    loop {
        let result = aws.clients.sqs.get_queue_url().queue_name(name).send().await;
        match optional(result.action(ACTION))? {
            None => in_a_row += 1,
            Some(_) => {
                if wanted == GONE_ANSWERS {
                    let why = "SQS takes up to a minute to delete a queue; waiting";
                    (context.waiting)(context.address, why);
                    wanted = GONE_ANSWERS_AFTER_DOUBT;
                }
                in_a_row = 0;
            }
        }
        if in_a_row >= wanted {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let seconds = GONE_BUDGET.as_secs();
            let message = format!("SQS still finds the queue {name}, {seconds} seconds after it was deleted");
            return Err(CallError::judged(ACTION, Kind::NotYet, message));
        }
        context.pause(if in_a_row > 0 { GONE_AGAIN } else { STILL_THERE_AGAIN }, ACTION).await?;
    }
}
