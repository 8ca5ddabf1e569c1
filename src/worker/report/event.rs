//! The worker's events; [`super::output`] writes them as lines for people or as JSON for programs.

use std::time::Duration;

use serde::Serialize;

use super::stats::{Numbers, Percentiles};
use crate::text::{bytes, plural};
use crate::thumbnail::Format;
use crate::worker::job::Made;
use crate::worker::retry::Stage;

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    Started {
        queue: String,
        thumbnails: String,
        concurrency: usize,
        cpus: usize,
        max_memory_bytes: u64,
        max_source_bytes: usize,
        max_source_pixels: u64,
    },
    Made {
        source: String,
        key: String,
        width: u32,
        height: u32,
        format: Format,
        thumb_hash: String,
        dominant: String,
        source_bytes: usize,
        bytes: usize,
        fetch_ms: f64,
        wait_ms: f64,
        make_ms: f64,
        store_ms: f64,
    },
    /// The thumbnail was up to date already.
    Skipped {
        source: String,
        key: String,
    },
    /// The queue is empty and nothing is being processed; once until something arrives.
    Idle,
    /// A thumbnail whose photograph has gone.
    Deleted {
        source: String,
        key: String,
    },
    /// The message asked for nothing.
    Ignored {
        why: &'static str,
    },
    Retrying {
        source: Option<String>,
        stage: Stage,
        why: String,
        receives: u32,
        retry_s: u32,
    },
    Rejected {
        source: Option<String>,
        stage: Stage,
        why: String,
        receives: u32,
    },
    /// Another worker has received the message meanwhile; its job is aborted.
    #[serde(rename = "lost")]
    TakenOver {
        why: String,
    },
    /// A call to SQS failed; it will be retried.
    CallFailed {
        why: String,
    },
    Stopping {
        why: String,
        grace_s: u32,
        working: usize,
    },
    /// Messages released to the queue, visible at once.
    Returned {
        messages: usize,
    },
    /// The circuit breaker has opened: nothing is received for a while.
    Paused {
        failures: u32,
        pause_s: f64,
        /// The last failure.
        stage: Stage,
        why: String,
    },
    /// It has closed.
    Resumed {
        after_s: f64,
        /// Trial messages that failed.
        probes: u32,
    },
    /// The worker's report could not be stored; emitted once until one succeeds.
    ReportFailed {
        key: String,
        why: String,
    },
    /// Something that goes to CloudWatch could not be sent; emitted once until it can.
    NotSent {
        what: &'static str,
        why: String,
    },
    /// This many lines were dropped, because the output was not being read.
    Dropped {
        lines: u64,
    },
    Numbers {
        /// The whole run, or the time since the last ones.
        total: bool,
        #[serde(flatten)]
        numbers: Box<Numbers>,
    },
}

impl Event {
    pub fn made(made: Made) -> Self {
        let Made { source, key, width, height, format, placeholder, source_bytes, bytes, times } = made;
        Self::Made {
            source,
            key,
            width,
            height,
            format,
            thumb_hash: placeholder.thumb_hash_base64(),
            dominant: placeholder.dominant_hex(),
            source_bytes,
            bytes,
            fetch_ms: ms(times.fetch),
            wait_ms: ms(times.wait),
            make_ms: ms(times.make),
            store_ms: ms(times.store),
        }
    }

    /// Whether it is a result, for stdout, and not a message, for stderr.
    pub fn is_data(&self) -> bool {
        matches!(
            self,
            Self::Made { .. }
                | Self::Skipped { .. }
                | Self::Deleted { .. }
                | Self::Ignored { .. }
                | Self::Retrying { .. }
                | Self::Rejected { .. }
        )
    }

    /// Whether it says that nothing has happened: no line for people.
    pub fn is_silent(&self) -> bool {
        let Self::Numbers { total: false, numbers } = self else { return false };
        let Numbers { done, rejected, retried, taken_over, images, skipped, .. } = **numbers;
        [done, rejected, retried, taken_over, images, skipped] == [0; 6]
    }

    /// One line.
    pub fn text(&self) -> String {
        match self {
            Self::Started {
                queue,
                thumbnails,
                concurrency,
                cpus: _,
                max_memory_bytes,
                max_source_bytes: _,
                max_source_pixels: _,
            } => format!(
                "working: {queue} -> s3://{thumbnails}, {concurrency} messages in parallel, memory at most {}",
                bytes(*max_memory_bytes),
            ),
            Self::Made { key, bytes: made, fetch_ms, wait_ms, make_ms, store_ms, .. } => {
                let ms = fetch_ms + wait_ms + make_ms + store_ms;
                format!("made      {key}  {}  {ms:.0} ms", bytes(*made as u64))
            }
            Self::Skipped { source: _, key } => format!("skipped   {key}  already up to date"),
            Self::Deleted { source, key } => format!("deleted   {key}  {source} is gone"),
            Self::Ignored { why } => format!("ignored   a message: {why}"),
            Self::Retrying { source, stage, why, receives, retry_s } => {
                format!("retrying  {}  in {retry_s} s, after attempt {receives}: {stage}: {why}", name(source.as_ref()))
            }
            Self::Rejected { source, stage, why, receives: _ } => {
                format!("rejected  {}  {stage}: {why}", name(source.as_ref()))
            }
            Self::Idle => "idle, waiting for messages".to_owned(),
            Self::TakenOver { why } => format!("another worker took over a message: {why}"),
            Self::CallFailed { why } => format!("a call failed and will be retried: {why}"),
            Self::Stopping { why, grace_s: _, working: 0 } => format!("stopping: {why}"),
            Self::Stopping { why, grace_s, working } => {
                let messages = plural(*working as u64, "message");
                format!("stopping: {why}; finishing {working} {messages}, for at most {grace_s} s")
            }
            Self::Returned { messages } => format!("returned {messages} messages to the queue"),
            Self::Paused { failures, pause_s, stage, why } => format!(
                "pausing: S3 failed {failures} times in a row; receiving one message in {pause_s:.0} s to test it; \
                 last error: {stage}: {why}"
            ),
            Self::Resumed { after_s, probes: 0 } => format!("receiving again: S3 has recovered after {after_s:.0} s"),
            Self::Resumed { after_s, probes } => {
                format!("receiving again: S3 has recovered after {after_s:.0} s and {probes} more failures")
            }
            Self::ReportFailed { key, why } => format!(
                "cannot store the report {key} in the code bucket ({why}); the worker continues, but `thumb apply` does \
                 not see it until the report succeeds"
            ),
            Self::NotSent { what, why } => {
                format!("cannot send {what} ({why}); trying again, and working on meanwhile")
            }
            Self::Dropped { lines } => format!("{lines} lines were dropped here because they were not read"),
            Self::Numbers { total, numbers } => line(*total, numbers),
        }
    }

    /// The line with everything that was measured.
    pub fn details(&self) -> String {
        let text = self.text();
        match self {
            Self::Made { source, width, height, source_bytes, fetch_ms, wait_ms, make_ms, store_ms, .. } => format!(
                "{text} (fetch {fetch_ms:.0} ms, wait {wait_ms:.0}, make {make_ms:.0}, store {store_ms:.0}), {width}x{height} of \
                 {source}, {}",
                bytes(*source_bytes as u64)
            ),
            Self::Numbers { total: _, numbers } => format!("{text} {}", measured(numbers)),
            _ => text,
        }
    }
}

/// "12 thumbnails of 6 photos (4.1/s), 3 retried. 2 rejected: see them with `thumb dlq`."
fn line(total: bool, numbers: &Numbers) -> String {
    let Numbers { seconds, done, ignored, rejected, retried, taken_over, images, skipped, images_per_s, .. } = *numbers;
    let count = |count: u64, noun: &str| format!("{count} {}", plural(count, noun));
    let head = if total { format!("Done in {seconds:.0} s") } else { format!("last {seconds:.0} s") };
    if [done, rejected, retried, taken_over, images, skipped] == [0; 6] {
        return format!("{head}: nothing to do.");
    }
    let decimals = usize::from(images_per_s < 9.95);
    let mut text = format!(
        "{head}: {} of {} ({images_per_s:.decimals$}/s)",
        count(images, "thumbnail"),
        count(done.saturating_sub(ignored), "photo")
    );
    for (number, what) in
        [(skipped, "already up to date"), (retried, "retried"), (taken_over, "taken over by another worker")]
    {
        if number > 0 {
            text.push_str(&format!(", {number} {what}"));
        }
    }
    match (rejected, total) {
        (0, true) => text.push('.'),
        (0, false) => {}
        (_, true) => text.push_str(&format!(". {rejected} rejected: see them with `thumb dlq`.")),
        (_, false) => text.push_str(&format!(", {rejected} rejected")),
    }
    text
}

/// How long the stages took, and what the process used.
fn measured(numbers: &Numbers) -> String {
    let Numbers { megabytes_per_s, fetch, wait, make, store, memory_bytes, cpu, .. } = numbers;
    let stage = |name: &str, Percentiles { p50_ms, p95_ms, p99_ms }: &Percentiles| {
        format!("{name} {p50_ms:.0}/{p95_ms:.0}/{p99_ms:.0}")
    };
    let mut line = format!(
        "{megabytes_per_s:.1} MB/s; p50/p95/p99 ms: {}, {}, {}, {}",
        stage("fetch", fetch),
        stage("wait", wait),
        stage("make", make),
        stage("store", store),
    );
    if let Some(memory) = memory_bytes {
        line.push_str(&format!("; memory {}", bytes(*memory)));
    }
    if let Some(cpu) = cpu {
        line.push_str(&format!("; CPU {:.0} %", cpu * 100.0));
    }
    line
}

fn name(source: Option<&String>) -> &str {
    source.map_or("a message", String::as_str)
}

fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::thumbnail::Placeholder;
    use crate::worker::job::Times;

    #[test]
    fn events_read_well_and_parse_well() {
        let ms = Duration::from_millis;
        let times = Times { fetch: ms(12), wait: ms(1), make: ms(31), store: ms(9) };
        let events = [
            Event::Started {
                queue: "cats".into(),
                thumbnails: "cats-thumbnails".into(),
                concurrency: 16,
                cpus: 2,
                max_memory_bytes: 768 << 20,
                max_source_bytes: 64 << 20,
                max_source_pixels: 66_000_000,
            },
            Event::made(Made {
                source: "s3://photos/owl.jpg".into(),
                key: "owl-150x100.jpg".into(),
                width: 150,
                height: 100,
                format: Format::Webp,
                placeholder: Placeholder { thumb_hash: vec![1, 2, 3], dominant: [16, 32, 48] },
                source_bytes: 1_300_000,
                bytes: 5_321,
                times,
            }),
            Event::Skipped { source: "s3://photos/owl.jpg".into(), key: "owl-150x100.jpg".into() },
            Event::Idle,
            Event::Deleted { source: "s3://photos/owl.jpg".into(), key: "owl-150x100.jpg".into() },
            Event::Ignored { why: "S3's test event" },
            Event::Retrying {
                source: Some("s3://photos/owl.jpg".into()),
                stage: Stage::Fetch,
                why: "no such key in the bucket (it may not exist yet)".into(),
                receives: 2,
                retry_s: 25,
            },
            Event::Rejected { source: None, stage: Stage::Request, why: "`key` is missing".into(), receives: 1 },
            Event::TakenOver { why: "its receipt handle has expired".into() },
            Event::CallFailed { why: "sqs:ReceiveMessage: no answer in time".into() },
            Event::Stopping { why: "SIGTERM".into(), grace_s: 25, working: 3 },
            Event::Stopping { why: "SIGTERM".into(), grace_s: 25, working: 0 },
            Event::Returned { messages: 2 },
            Event::Paused { failures: 5, pause_s: 4.2, stage: Stage::Store, why: "s3:PutObject: SlowDown: no".into() },
            Event::Resumed { after_s: 4.6, probes: 0 },
            Event::Resumed { after_s: 93.0, probes: 3 },
            Event::ReportFailed { key: "workers/i-1.json".into(), why: "s3:PutObject: AccessDenied: no".into() },
            Event::NotSent { what: "log lines", why: "logs:PutLogEvents: AccessDenied: no".into() },
            Event::Dropped { lines: 9 },
        ];
        let lines: Vec<String> =
            events.iter().map(|event| format!("{}\n{}", event.text(), serde_json::to_string(event).unwrap())).collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn the_numbers_are_a_sentence_and_nothing_is_no_line() {
        let percentiles = Percentiles { p50_ms: 37.2, p95_ms: 106.0, p99_ms: 149.0 };
        let numbers = Numbers {
            seconds: 13.02,
            done: 296,
            ignored: 1,
            rejected: 2,
            retried: 0,
            taken_over: 0,
            images: 592,
            skipped: 0,
            images_per_s: 45.5,
            megabytes_per_s: 21.5,
            fetch: percentiles,
            wait: Percentiles::default(),
            make: percentiles,
            store: percentiles,
            memory_bytes: Some(45 << 20),
            cpu: Some(0.37),
        };
        let none = Numbers { done: 0, rejected: 0, images: 0, images_per_s: 0.0, ..numbers.clone() };
        let one =
            Numbers { done: 1, rejected: 0, images: 1, skipped: 1, retried: 3, images_per_s: 0.5, ..numbers.clone() };
        let event = |total, numbers: &Numbers| Event::Numbers { total, numbers: Box::new(numbers.clone()) };
        assert!(event(false, &none).is_silent() && !event(true, &none).is_silent() && !event(false, &one).is_silent());
        let lines = [
            event(true, &numbers).text(),
            event(false, &numbers).text(),
            event(true, &one).text(),
            event(true, &none).text(),
            event(true, &numbers).details(),
        ];
        insta::assert_snapshot!(lines.join("\n"));
    }
}
