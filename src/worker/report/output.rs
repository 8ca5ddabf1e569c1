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
use crate::text::{printable, printable_json};

/// The most bytes queued for each stream: some thousands of lines of 300 bytes.
const MAX_QUEUED_BYTES: usize = 1 << 20;
/// From here on a reader of JSON counts as behind.
const BEHIND_BYTES: usize = MAX_QUEUED_BYTES / 2;
/// How long the worker waits at its end for its last lines to be read.
const FLUSH: Duration = Duration::from_secs(2);

/// Writes events: as text, results to stdout and messages to stderr; as JSON, everything to stdout, one object per line.
/// Clones share the streams.
#[derive(Clone)]
pub struct Output {
    json: bool,
    out: Lines,
    err: Lines,
}

impl Output {
    /// To this process's stdout and stderr. `dropped` counts the lines that were not read.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn new(json: bool, dropped: &Counter) -> io::Result<Self> {
        let out = Lines::start("stdout", io::stdout(), dropped)?;
        Ok(Self { json, out, err: Lines::start("stderr", io::stderr(), dropped)? })
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
            1.. if self.json => Err(io::Error::new(io::ErrorKind::TimedOut, format!("{left} bytes were not read"))),
            _ => Ok(()),
        }
    }

    fn line(&self, event: &Event) -> String {
        if self.json {
            let time = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
            let line = serde_json::to_string(&Timed { time, event }).expect("events are JSON");
            printable_json(&line).into_owned()
        } else {
            printable(&event.text()).into_owned()
        }
    }
}

impl Report for Output {
    fn report(&mut self, event: &Event) -> io::Result<()> {
        let dropped = |lines| self.line(&Event::Dropped { lines });
        if self.json || event.is_data() {
            return self.out.push(self.line(event), dropped);
        }
        // Stderr may be closed without harm.
        let _ = self.err.push(self.line(event), dropped);
        Ok(())
    }

    fn is_behind(&mut self) -> io::Result<bool> {
        let queue = self.out.lock();
        queue.error()?;
        Ok(self.json && queue.bytes > BEHIND_BYTES)
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
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A reader that reads one line per message on the channel, and all lines once the channel is closed.
    struct Reader {
        told: mpsc::Receiver<()>,
        read: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.told.recv();
            self.read.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Setup {
        output: Output,
        dropped: Counter,
        tell: mpsc::Sender<()>,
        read: Arc<Mutex<Vec<u8>>>,
    }

    /// An output whose stdout is not read until `tell` says so.
    fn stalled(json: bool) -> Setup {
        let (tell, told) = mpsc::channel();
        let (read, dropped) = (Arc::default(), Counter::default());
        let out = Lines::start("out", Reader { told, read: Arc::clone(&read) }, &dropped).unwrap();
        let err = Lines::start("err", io::sink(), &dropped).unwrap();
        Setup { output: Output { json, out, err }, dropped, tell, read }
    }

    fn skipped(key: &str) -> Event {
        Event::Skipped { source: "s3://photos/a.jpg".into(), key: key.into() }
    }

    fn lines(read: &Mutex<Vec<u8>>) -> Vec<String> {
        String::from_utf8(read.lock().unwrap().clone()).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_stalled_reader_of_text_misses_lines_and_is_told_how_many() {
        let Setup { mut output, dropped, tell, read } = stalled(false);
        let long = "k".repeat(1_000);
        for _ in 0..2_000 {
            output.report(&skipped(&long)).unwrap();
            assert!(!output.is_behind().unwrap(), "work goes on");
        }
        let dropped = dropped.get();
        assert!((950..1_050).contains(&dropped), "{dropped}");
        // It reads again.
        drop(tell);
        while output.out.lock().bytes > 0 {
            thread::yield_now();
        }
        output.report(&skipped("last")).unwrap();
        output.finish_in(Duration::from_secs(60)).unwrap();
        let lines = lines(&read);
        assert_eq!(lines.len() as u64, 2_000 - dropped + 2);
        assert_eq!(lines[lines.len() - 2], format!("{dropped} lines were dropped here because they were not read"));
        assert_eq!(lines[lines.len() - 1], "skipped last of s3://photos/a.jpg: already up to date");
    }

    #[test]
    fn a_program_that_does_not_read_its_json_is_behind_before_lines_are_dropped() {
        let Setup { mut output, dropped, tell, read } = stalled(true);
        let long = "k".repeat(1_000);
        let mut events = 0;
        while !output.is_behind().unwrap() {
            output.report(&skipped(&long)).unwrap();
            events += 1;
        }
        assert!((400..600).contains(&events) && dropped.get() == 0, "{events}");
        drop(tell);
        while output.is_behind().unwrap() {
            thread::yield_now();
        }
        output.finish_in(Duration::from_secs(60)).unwrap();
        assert_eq!(lines(&read).len(), events);
    }

    #[test]
    fn json_that_is_not_read_at_the_end_is_a_failure_and_text_is_not() {
        for json in [true, false] {
            let Setup { mut output, tell, .. } = stalled(json);
            output.report(&skipped("a")).unwrap();
            assert_eq!(output.finish_in(Duration::ZERO).is_err(), json);
            drop(tell);
        }
    }

    #[test]
    fn a_closed_reader_is_noticed() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let dropped = Counter::default();
        let out = Lines::start("out", Closed, &dropped).unwrap();
        let err = Lines::start("err", Closed, &dropped).unwrap();
        let mut output = Output { json: false, out, err };
        output.report(&Event::Returned { messages: 1 }).unwrap();
        assert!(!output.is_behind().unwrap(), "stderr may be closed without harm");
        output.report(&skipped("a")).unwrap();
        while output.is_behind().is_ok() {
            thread::yield_now();
        }
        assert_eq!(output.report(&skipped("b")).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(output.finish_in(Duration::from_secs(60)).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn control_characters_are_escaped() {
        let event = Event::CallFailed { why: "a\u{9b}31m\x1b[2J\u{202e}".into() };
        let line = |json| stalled(json).output.line(&event);
        assert_eq!(line(false), r"a call failed and will be retried: a\u{9b}31m\u{1b}[2J\u{202e}");
        assert!(line(true).ends_with(r#""event":"call-failed","why":"a\u009b31m\u001b[2J\u202e"}"#), "{}", line(true));
    }
}
