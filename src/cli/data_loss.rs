//! What a destroy would delete for good, in words.

use crate::stack::address::Address;
use crate::stack::change::Action;
use crate::stack::{Contents, Observed, Plan};
use crate::text::plural;

/// The data that a destroy would delete and that apply cannot create again.
pub struct DataLoss {
    sentences: Vec<String>,
}

impl DataLoss {
    pub fn new(plan: &Plan, observed: &Observed, contents: &Contents) -> Self {
        let going = |address| plan.changes.iter().any(|c| c.address == address && c.action == Action::Delete);
        let mut sentences = Vec::new();
        let buckets = [
            (Address::ThumbnailsBucket, contents.thumbnails, "in the thumbnails bucket"),
            (Address::CodeBucket, contents.code, "in the code bucket (not written by thumb)"),
        ];
        for (address, objects, which) in buckets {
            if let Some((count, more)) = objects.filter(|(count, more)| (*count > 0 || *more) && going(address)) {
                let more = if more { "more than " } else { "" };
                sentences.push(format!("{more}{count} {} {which}", plural(count, "object")));
            }
        }
        for (address, found) in [(Address::Queue, &observed.queue), (Address::Dlq, &observed.dlq)] {
            if let Some(queue) = found.ours().filter(|queue| queue.messages > 0 && going(address)) {
                let count = queue.messages;
                sentences.push(format!("about {count} {} in the {}", plural(count, "message"), address.noun()));
            }
        }
        Self { sentences }
    }

    /// "12 objects in the thumbnails bucket and about 3 messages in the queue"; `None` if nothing would be lost.
    pub fn sentence(&self) -> Option<String> {
        let (last, rest) = self.sentences.split_last()?;
        Some(if rest.is_empty() { last.clone() } else { format!("{} and {last}", rest.join(", ")) })
    }
}
