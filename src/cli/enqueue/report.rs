//! What `enqueue` says at the end.

use super::following::Following;
use crate::enqueue::Summary;
use crate::error::{Failure, Result};
use crate::text::plural;
use crate::tracking::Ended;

/// Photographs that are named; of more only the number is said.
const NAMED: usize = 10;

/// What was queued, and where the thumbnails will be.
pub fn sentences(summary: &Summary, queue: &str, following: &Following<'_>) -> String {
    let Summary { queued, not_queued, skipped, seconds, interrupted: _, nothing: _ } = summary;
    let mut text = format!("queued {queued} {}", plural(*queued, "photo"));
    let Following { thumbnails, example, thumbnails_bucket, .. } = following;
    text.push_str(&format!(" ({thumbnails} {}) on {queue}", plural(*thumbnails, "thumbnail")));
    if *seconds >= 1.0 {
        text.push_str(&format!(" in {seconds:.1} s ({:.0} a second)", *queued as f64 / seconds));
    }
    if *skipped > 0 {
        let objects = plural(*skipped, "object");
        text.push_str(&format!("; skipped {skipped} {objects} (not pictures by their extensions, or empty)"));
    }
    if *not_queued > 0 {
        text.push_str(&format!("; {not_queued} not queued"));
    }
    if *queued > 0 {
        text.push_str(&format!("\nthey will appear in s3://{thumbnails_bucket}"));
        if let Some(example) = example {
            text.push_str(&format!(",\nfor example {}", crate::text::printable(example)));
        }
        if !following.keep {
            text.push_str("\nthumb status --watch shows how far they are");
        }
    }
    text
}

/// Adds the end of the wait to the JSON of the summary.
pub fn add(line: &mut serde_json::Value, ended: &Ended) {
    let Ended { done, rejected, open, lost, interrupted: _ } = ended;
    let rejected: Vec<_> =
        rejected.iter().map(|(source, why)| serde_json::json!({ "source": source, "error": why })).collect();
    line["done"] = (*done).into();
    line["rejected"] = rejected.into();
    line["open"] = open.clone().into();
    line["lost"] = (*lost).into();
}

/// Whether everything went well.
///
/// # Errors
/// Something was not found, not queued, rejected, or is still open; or Ctrl-C ended the command (exit code 130).
pub fn conclude(summary: &Summary, ended: Option<&Ended>) -> Result<()> {
    let Summary { queued, not_queued, nothing, interrupted, .. } = summary;
    if *interrupted {
        let what = format!("interrupted: {queued} {} queued", plural(*queued, "photo"));
        return Err(Failure::interrupted(what)
            .hint("it is safe to run the command again: thumbnails that are made twice are the same"));
    }
    if let Some((what, hint)) = nothing.first() {
        let failure = Failure::new(what);
        return Err(match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        });
    }
    if *not_queued > 0 {
        let all = not_queued + queued;
        return Err(Failure::new(format!("{not_queued} of {all} photos could not be queued (listed above)")));
    }
    match ended {
        Some(ended) => waited(ended),
        None => Ok(()),
    }
}

fn waited(ended: &Ended) -> Result<()> {
    let Ended { done, rejected, open, lost, interrupted } = ended;
    let all = done + rejected.len() as u64 + open.len() as u64;
    super::tell(&format!("{done} of {all} {} done", plural(all, "photo")));
    let named = |sources: &mut dyn Iterator<Item = String>, count: usize| {
        let mut lines: Vec<String> = sources.take(NAMED).collect();
        if count > NAMED {
            lines.push(format!("… and {} more", count - NAMED));
        }
        lines.iter().map(|line| format!("\n  {line}")).collect::<String>()
    };
    let count = rejected.len();
    if count > 0 {
        let lines = named(&mut rejected.iter().map(|(source, why)| format!("{source}: {why}")), count);
        let what = format!("{count} {} rejected:{lines}", if count == 1 { "photo was" } else { "photos were" });
        return Err(Failure::new(what).hint("`thumb dlq` shows them, and `thumb dlq retry` queues them again"));
    }
    if *interrupted {
        let what = format!("stopped waiting: {} {} open", open.len(), plural(open.len() as u64, "photo"));
        return Err(Failure::interrupted(what).hint("they stay queued, and `thumb status` shows the queue"));
    }
    if open.is_empty() {
        return Ok(());
    }
    let lines = named(&mut open.iter().cloned(), open.len());
    let (what, hint) = match lost {
        true => (
            "the queue is empty, and there are neither thumbnails nor rejections of",
            "does the stack run with this thumb.toml? `thumb plan` tells",
        ),
        false => {
            ("the time is over, and there are no thumbnails yet of", "they stay queued; --timeout gives more time")
        }
    };
    Err(Failure::new(format!("{what} {} {}:{lines}", open.len(), plural(open.len() as u64, "photo"))).hint(hint))
}
