//! Reads what the workers have written: their lines in CloudWatch Logs, and an instance's console.

mod instances;

use std::collections::BTreeSet;

use crate::aws::{CallError, CallResult, Clients};
use crate::text::hex;
pub use instances::{Instances, Name, console};

/// Pages of one reading, each of up to 10,000 lines or a mebibyte; many may be empty (API FilterLogEvents).
const MAX_PAGES: usize = 1_000;
/// How far [`Follow`] looks back for lines that arrive late: a worker sends every five seconds, and tries again for a while.
const OVERLAP_MS: i64 = 60_000;
/// Lines that it remembers, in order not to give them twice.
const MAX_REMEMBERED: usize = 200_000;

/// A line as CloudWatch Logs has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// CloudWatch's own, unique in the group.
    pub id: String,
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// The instance's ID; elsewhere the host's name.
    pub stream: String,
    pub text: String,
}

/// Where lines are read.
#[derive(Clone, Debug)]
pub struct Source {
    pub group: String,
    /// None: of all workers.
    pub stream: Option<String>,
}

/// The lines of one reading, page by page.
pub struct Pages<'a> {
    clients: &'a Clients,
    source: &'a Source,
    from_ms: i64,
    next: Option<String>,
    read: usize,
    done: bool,
}

impl<'a> Pages<'a> {
    /// `from_ms`: milliseconds since 1970.
    pub fn new(clients: &'a Clients, source: &'a Source, from_ms: i64) -> Self {
        Self { clients, source, from_ms, next: None, read: 0, done: false }
    }

    /// The lines of the next page, without those that are numbers for CloudWatch; `None` at the end.
    ///
    /// # Errors
    /// The group or the stream does not exist, or AWS does not answer.
    pub async fn next(&mut self) -> Result<Option<Vec<Line>>, CallError> {
        if self.done {
            return Ok(None);
        }
        let request = self.clients.logs.filter_log_events().log_group_name(&self.source.group).start_time(self.from_ms);
        let request = request.set_log_stream_names(self.source.stream.clone().map(|stream| vec![stream]));
        let out = request.set_next_token(self.next.take()).send().await.action("logs:FilterLogEvents")?;
        self.read += 1;
        self.next = out.next_token;
        self.done = self.next.is_none() || self.read >= MAX_PAGES;
        let lines = out.events.unwrap_or_default().into_iter().map(|event| Line {
            id: event.event_id.unwrap_or_default(),
            at_ms: event.timestamp.unwrap_or_default(),
            stream: event.log_stream_name.unwrap_or_default(),
            text: event.message.unwrap_or_default(),
        });
        Ok(Some(lines.filter(|line| !is_metrics(&line.text)).collect()))
    }

    /// Whether there is more than one reading gives.
    pub fn is_cut(&self) -> bool {
        self.next.is_some() && self.read >= MAX_PAGES
    }
}

/// Whether a line is a document of the Embedded Metric Format.
fn is_metrics(text: &str) -> bool {
    // Most lines are no JSON at all.
    text.starts_with('{')
        && serde_json::from_str::<serde_json::Value>(text)
            .is_ok_and(|root| root["_aws"]["CloudWatchMetrics"].is_array())
}

/// Remembers what was given, so that each line of overlapping readings is given once.
#[derive(Debug)]
pub struct Follow {
    since_ms: i64,
    newest_ms: i64,
    given: BTreeSet<(i64, String)>,
}

impl Follow {
    pub fn new(since_ms: i64) -> Self {
        Self { since_ms, newest_ms: since_ms, given: BTreeSet::new() }
    }

    /// Where the next reading begins.
    pub fn from_ms(&self) -> i64 {
        (self.newest_ms - OVERLAP_MS).max(self.since_ms)
    }

    /// Those of the lines that are new.
    pub fn new_ones(&mut self, lines: Vec<Line>) -> Vec<Line> {
        let new: Vec<Line> = lines.into_iter().filter(|line| self.given.insert((line.at_ms, key(line)))).collect();
        self.newest_ms = new.iter().map(|line| line.at_ms).fold(self.newest_ms, i64::max);
        self.given = self.given.split_off(&(self.from_ms(), String::new()));
        while self.given.len() > MAX_REMEMBERED {
            self.given.pop_first();
        }
        new
    }
}

/// What tells a line from another: its ID. A server without IDs gets by with the text.
fn key(line: &Line) -> String {
    if line.id.is_empty() { hex(format!("{}{}", line.stream, line.text).as_bytes()) } else { line.id.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: &str, at_ms: i64) -> Line {
        Line { id: id.into(), at_ms, stream: "i-1".into(), text: "made".into() }
    }

    fn ids(lines: &[Line]) -> Vec<&str> {
        lines.iter().map(|line| line.id.as_str()).collect()
    }

    #[test]
    fn each_line_is_given_once_also_when_it_is_late() {
        let mut follow = Follow::new(1_000);
        assert_eq!(follow.from_ms(), 1_000);
        assert_eq!(ids(&follow.new_ones(vec![line("a", 2_000), line("b", 90_000)])), ["a", "b"]);
        assert_eq!(follow.from_ms(), 30_000, "a line that is a minute late is seen");
        assert_eq!(ids(&follow.new_ones(vec![line("c", 40_000), line("b", 90_000)])), ["c"]);
        assert_eq!(follow.given.len(), 2, "what no reading gives again is forgotten");
        assert_eq!(follow.new_ones(vec![line("b", 90_000), line("c", 40_000)]), []);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut follow = Follow::new(0);
        for at in 0..MAX_REMEMBERED as i64 + 10 {
            follow.given.insert((OVERLAP_MS + at / 100, at.to_string()));
        }
        follow.new_ones(vec![line("a", OVERLAP_MS)]);
        assert_eq!(follow.given.len(), MAX_REMEMBERED);
    }

    #[test]
    fn numbers_for_cloudwatch_are_no_lines_for_people() {
        assert!(is_metrics(r#"{"_aws":{"Timestamp":1,"CloudWatchMetrics":[]},"Stack":"cats"}"#));
        for text in ["made a", "{", r#"{"event":"made"}"#, r#"{"_aws":1}"#] {
            assert!(!is_metrics(text), "{text}");
        }
    }
}
