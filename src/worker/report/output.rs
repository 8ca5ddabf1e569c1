//! Writes the worker's lines: stdout and stderr each have a bounded queue, which a thread of its own empties. A reader that
//! stalls (`| less`, a stopped terminal) must not stop the loop, whose heartbeats keep messages from being received twice.
//!
//! What happens to the lines meanwhile: text is a log, so lines that exceed the queue are dropped and counted, and work
//! continues. JSON is for a program, so from half of the queue on no new messages are received, and jobs that run are
//! finished. Lines that exceed the queue are then dropped and counted too.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use prometheus_client::metrics::counter::Counter;
use serde::Serialize;

use super::Report;
use super::event::Event;
use super::status::{Above, StatusLine};
use crate::text::{printable, printable_json};

/// The most bytes queued for each stream: some thousands of lines of 300 bytes.
const MAX_QUEUED_BYTES: usize = 1 << 20;
/// From here on a reader of JSON counts as behind.
const BEHIND_BYTES: usize = MAX_QUEUED_BYTES / 2;
/// How long the worker waits at its end for its last lines to be read.
const FLUSH: Duration = Duration::from_secs(2);

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One object a line, everything to stdout.
    Json,
    /// Results to stdout, messages to stderr.
    Lines { details: bool },
    /// As lines, but without those of what went well: a status line counts them.
    Brief,
}

/// Writes events. Clones share the streams.
#[derive(Clone)]
pub struct Output {
    form: Form,
    out: Lines,
    err: Lines,
}

impl Output {
    /// To this process's stdout and stderr, above the status line if there is one. `dropped` counts the lines that were not read.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn new(form: Form, status: Option<&StatusLine>, dropped: &Counter) -> io::Result<Self> {
        let start = |name: &str, stream: Box<dyn Write + Send>| {
            Lines::start(name, Above { stream, status: status.cloned() }, dropped)
        };
        // Colour for terminals only, and not in JSON.
        let out = match form {
            Form::Json => start("stdout", Box::new(io::stdout()))?,
            Form::Lines { .. } | Form::Brief => start("stdout", Box::new(anstream::stdout()))?,
        };
        Ok(Self { form, out, err: start("stderr", Box::new(anstream::stderr()))? })
    }

    /// Waits up to [`FLUSH`] until all lines are read.
    ///
    /// # Errors
    /// Stdout is closed, or its disk is full; or lines of JSON are left.
    pub fn finish(self) -> io::Result<()> {
        self.finish_in(FLUSH)
    }

    fn finish_in(self, most: Duration) -> io::Result<()> {
        let until = Instant::now() + most;
        let dropped = |lines| self.line(&Event::Dropped { lines });
        // Stderr may be closed without harm.
        let _ = self.err.finish(until, dropped);
        let left = self.out.finish(until, dropped)?;
        match left {
            1.. if self.form == Form::Json => {
                Err(io::Error::new(io::ErrorKind::TimedOut, format!("{left} bytes were not read")))
            }
            _ => Ok(()),
        }
    }

    fn line(&self, event: &Event) -> String {
        let text = match self.form {
            Form::Json => {
                let time = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
                let line = serde_json::to_string(&Timed { time, event }).expect("events are JSON");
                return printable_json(&line).into_owned();
            }
            Form::Lines { details: true } => event.details(),
            Form::Lines { details: false } | Form::Brief => event.text(),
        };
        let style = style(event);
        format!("{style}{}{style:#}", printable(&text))
    }

    /// Whether an event has no line in this form.
    fn leaves_out(&self, event: &Event) -> bool {
        match self.form {
            Form::Json => false,
            Form::Lines { .. } => event.is_silent(),
            Form::Brief => match event {
                Event::Rejected { .. } | Event::Numbers { total: true, .. } => false,
                Event::Numbers { total: false, .. } | Event::Idle => true,
                event => event.is_data(),
            },
        }
    }
}

/// Red is what was lost, yellow what may be.
fn style(event: &Event) -> anstyle::Style {
    match event {
        Event::Rejected { .. } => anstyle::AnsiColor::Red.on_default(),
        Event::CallFailed { .. }
        | Event::Paused { .. }
        | Event::ReportFailed { .. }
        | Event::TakenOver { .. }
        | Event::Dropped { .. } => anstyle::AnsiColor::Yellow.on_default(),
        Event::Numbers { total: true, .. } => anstyle::Style::new().bold(),
        _ => anstyle::Style::new(),
    }
}

impl Report for Output {
    fn report(&mut self, event: &Event) -> io::Result<()> {
        if self.leaves_out(event) {
            return Ok(());
        }
        let dropped = |lines| self.line(&Event::Dropped { lines });
        if self.form == Form::Json || event.is_data() {
            return self.out.push(self.line(event), dropped);
        }
        // Stderr may be closed without harm.
        let _ = self.err.push(self.line(event), dropped);
        Ok(())
    }

    fn is_behind(&mut self) -> io::Result<bool> {
        let queue = self.out.lock();
        queue.error()?;
        Ok(self.form == Form::Json && queue.bytes > BEHIND_BYTES)
    }
}

#[derive(Serialize)]
struct Timed<'a> {
    time: String,
    #[serde(flatten)]
    event: &'a Event,
}

/// One stream's queue.
#[derive(Clone)]
struct Lines {
    shared: Arc<(Mutex<Queue>, Condvar)>,
    dropped: Counter,
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<String>,
    /// Of the lines, and of the one that is being written.
    bytes: usize,
    /// Lines dropped since the last one that fitted.
    dropped: u64,
    failed: Option<(io::ErrorKind, String)>,
    closed: bool,
}

impl Queue {
    fn error(&self) -> io::Result<()> {
        match &self.failed {
            Some((kind, text)) => Err(io::Error::new(*kind, text.clone())),
            None => Ok(()),
        }
    }

    fn push(&mut self, mut line: String) {
        line.push('\n');
        self.bytes += line.len();
        self.lines.push_back(line);
    }

    fn mark_dropped(&mut self, marker: impl Fn(u64) -> String) {
        if self.dropped > 0 {
            let marker = marker(std::mem::take(&mut self.dropped));
            self.push(marker);
        }
    }
}

impl Lines {
    fn start(name: &str, stream: impl Write + Send + 'static, dropped: &Counter) -> io::Result<Self> {
        let lines = Self { shared: Arc::default(), dropped: dropped.clone() };
        let shared = Arc::clone(&lines.shared);
        thread::Builder::new().name(name.to_owned()).spawn(move || write(&shared, stream))?;
        Ok(lines)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        lock(&self.shared.0)
    }

    /// `marker` makes the line that takes the place of dropped ones.
    fn push(&self, line: String, marker: impl Fn(u64) -> String) -> io::Result<()> {
        let mut queue = self.lock();
        queue.error()?;
        if queue.bytes + line.len() > MAX_QUEUED_BYTES {
            queue.dropped += 1;
            self.dropped.inc();
            return Ok(());
        }
        queue.mark_dropped(marker);
        queue.push(line);
        drop(queue);
        self.shared.1.notify_all();
        Ok(())
    }

    /// Waits until everything is written; returns how many bytes are not.
    fn finish(&self, until: Instant, marker: impl Fn(u64) -> String) -> io::Result<usize> {
        let mut queue = self.lock();
        queue.mark_dropped(marker);
        queue.closed = true;
        self.shared.1.notify_all();
        loop {
            queue.error()?;
            let left = until.saturating_duration_since(Instant::now());
            if queue.bytes == 0 || left.is_zero() {
                return Ok(queue.bytes);
            }
            queue = self.shared.1.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The body of a stream's thread.
fn write((queue, changed): &(Mutex<Queue>, Condvar), mut stream: impl Write) {
    let mut guard = lock(queue);
    while !(guard.closed && guard.lines.is_empty()) {
        let Some(line) = guard.lines.pop_front() else {
            guard = changed.wait(guard).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        drop(guard);
        let written = stream.write_all(line.as_bytes()).and_then(|()| stream.flush());
        guard = lock(queue);
        guard.bytes -= line.len();
        if let Err(error) = written {
            *guard = Queue { failed: Some((error.kind(), error.to_string())), closed: true, ..Queue::default() };
        }
        changed.notify_all();
    }
}

#[cfg(test)]
mod tests;
