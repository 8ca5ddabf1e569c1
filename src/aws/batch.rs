//! Batch calls of SQS return 200 with per-entry failures, which must be checked.

use aws_sdk_sqs::types::BatchResultErrorEntry;

/// Entries in one batch call (SQS quotas).
pub const BATCH: usize = 10;
/// One message, its attributes included (SQS quotas, "Message size"): 1 MiB.
pub const MAX_MESSAGE_BYTES: usize = 1 << 20;
/// The messages of a batch together (API SendMessageBatch): 1 MiB.
pub const MAX_BATCH_BYTES: usize = 1 << 20;

/// What a batch call answers for one of its entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Done,
    /// A transient failure: a retry may succeed.
    Again(String),
    /// The sender's fault, such as an expired receipt handle.
    Refused(String),
}

/// Each entry's answer, from those that failed. The entries' IDs are their indices, from "0".
pub fn answers(count: usize, failed: &[BatchResultErrorEntry]) -> Vec<Answer> {
    let mut answers = vec![Answer::Done; count];
    for entry in failed {
        let why = match entry.message() {
            Some(message) => format!("{}: {message}", entry.code()),
            None => entry.code().to_owned(),
        };
        if let Some(answer) = entry.id().parse::<usize>().ok().and_then(|index| answers.get_mut(index)) {
            *answer = if entry.sender_fault() { Answer::Refused(why) } else { Answer::Again(why) };
        }
    }
    answers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(id: &str, sender_fault: bool) -> BatchResultErrorEntry {
        BatchResultErrorEntry::builder().id(id).code("Code").sender_fault(sender_fault).build().unwrap()
    }

    #[test]
    fn each_entry_gets_its_own_answer() {
        let failed = [failed("1", true), failed("3", false), failed("9", true), failed("x", true)];
        let expected = [Answer::Done, Answer::Refused("Code".into()), Answer::Done, Answer::Again("Code".into())];
        assert_eq!(answers(4, &failed), expected);
    }
}
