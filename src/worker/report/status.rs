//! The status line at the bottom of a terminal: how much is done and left, how fast. The loop writes numbers into a
//! [`Progress`]; a thread of its own draws them, so that a terminal that has stopped never makes the loop wait.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::text::plural;

/// Between two drawings.
const DRAW_EVERY: Duration = Duration::from_millis(200);
/// What the rate is measured over.
const RATE_OVER: Duration = Duration::from_secs(10);
/// Between two measurements of the rate.
const MEASURE_EVERY: Duration = Duration::from_millis(250);
/// How long clearing the line may take at the end.
const CLEAR: Duration = Duration::from_secs(1);
/// Characters of the bar, and the fewest that are worth drawing.
const BAR: usize = 20;
const LEAST_BAR: usize = 8;
const SPACE: &str = "  ";
/// Columns that stay free: the `^C` that a terminal echoes must not begin a new line.
const FREE: usize = 3;
/// Where the terminal does not say.
const USUAL_WIDTH: usize = 80;

/// What the worker is doing, in numbers since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Messages that are done or rejected.
    pub settled: u64,
    pub rejected: u64,
    pub retried: u64,
    /// Messages being processed.
    pub working: usize,
    /// Nothing has arrived lately.
    pub idle: bool,
    pub stopping: bool,
}

/// Shared between the loop, which writes, and the line, which reads. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    now: Now,
    /// Messages in all: those that were settled and those that were left when the queue was last asked.
    total: Option<u64>,
    /// When so many messages were settled; the oldest first.
    measured: VecDeque<(Instant, u64)>,
}

impl Progress {
    pub fn update(&self, now: Now, at: Instant) {
        let mut state = self.state();
        state.now = now;
        if state.measured.back().is_none_or(|(last, _)| at.duration_since(*last) >= MEASURE_EVERY) {
            state.measured.push_back((at, now.settled));
            while state.measured.len() > 1 && state.measured[0].0 + RATE_OVER < at {
                state.measured.pop_front();
            }
        }
    }

    /// So many messages are left in the queue, as far as SQS knows.
    pub fn left(&self, left: u64) {
        let mut state = self.state();
        state.total = Some(state.now.settled + left);
    }

    /// The line, for a terminal of this many columns.
    pub fn line(&self, columns: usize, at: Instant) -> String {
        self.state().line(columns, at)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Half an update is drawn over in a moment.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn line(&self, columns: usize, at: Instant) -> String {
        let Now { settled, rejected, retried, working, idle, stopping } = self.now;
        let total = self.total.map(|total| total.max(settled)).filter(|total| *total > 0);
        let rate = self.rate(at);
        let busy = !idle && !stopping;
        let mut parts = Vec::new();
        if stopping {
            parts.push(format!("stopping: {working} {} left", plural(working as u64, "message")));
        } else if idle {
            parts.push("idle, waiting for messages".to_owned());
        }
        parts.push(match total.filter(|_| busy) {
            Some(total) => format!("{settled} of about {total}"),
            None => format!("{settled} done"),
        });
        if rate > 0.0 && !idle {
            let decimals = usize::from(rate < 9.95);
            parts.push(format!("{rate:.decimals$}/s"));
        }
        for (number, what) in [(retried, "retried"), (rejected, "rejected")] {
            if number > 0 {
                parts.push(format!("{number} {what}"));
            }
        }
        if let (Some(total), true) = (total.filter(|total| *total > settled), rate > 0.0 && busy) {
            parts.push(format!("{} left", time((total - settled) as f64 / rate)));
        }
        let rest = parts.join(SPACE);
        let columns = columns.saturating_sub(FREE);
        let room = columns.saturating_sub(rest.chars().count() + 2 * SPACE.len()).min(BAR);
        let line = match total {
            Some(total) if busy && room >= LEAST_BAR => {
                let full = usize::try_from(settled * room as u64 / total).unwrap_or(room).min(room);
                format!("{SPACE}{}{}{SPACE}{rest}", "█".repeat(full), "░".repeat(room - full))
            }
            _ => format!("{SPACE}{rest}"),
        };
        line.chars().take(columns).collect()
    }

    /// Messages a second.
    fn rate(&self, at: Instant) -> f64 {
        let Some((since, settled)) = self.measured.front() else { return 0.0 };
        let seconds = at.duration_since(*since).as_secs_f64();
        if seconds < MEASURE_EVERY.as_secs_f64() { 0.0 } else { (self.now.settled - settled) as f64 / seconds }
    }
}

/// "3 s", "12 min", "5 h".
fn time(seconds: f64) -> String {
    match seconds.round() {
        seconds if seconds < 120.0 => format!("{seconds:.0} s"),
        seconds if seconds < 7_200.0 => format!("{:.0} min", seconds / 60.0),
        seconds => format!("{:.0} h", seconds / 3_600.0),
    }
}

/// The line on stderr. Drawn here and not by indicatif, which fills a line with spaces up to its end: there the `^C` that a terminal
/// echoes begins a new line, and what was drawn stays.
#[derive(Clone)]
pub struct StatusLine(Arc<Screen>);

struct Screen {
    progress: Progress,
    drawn: Mutex<Drawn>,
    changed: Condvar,
}

/// What the terminal shows. Whoever writes to it holds this.
#[derive(Default)]
struct Drawn {
    line: String,
    over: bool,
}

/// To the line's start, which is then empty (ECMA-48, EL).
const ERASE: &str = "\r\x1b[2K";

impl StatusLine {
    /// Draws until it is cleared.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn draw(progress: Progress) -> io::Result<Self> {
        let screen = Arc::new(Screen { progress, drawn: Mutex::default(), changed: Condvar::new() });
        let drawing = Arc::clone(&screen);
        thread::Builder::new().name("status".to_owned()).spawn(move || {
            let mut drawn = drawing.lock();
            while !drawn.over {
                drawing.redraw(&mut drawn);
                drawn = drawing.changed.wait_timeout(drawn, DRAW_EVERY).unwrap_or_else(PoisonError::into_inner).0;
            }
        })?;
        Ok(Self(screen))
    }

    /// Takes the line away, unless the terminal has stopped.
    pub fn clear(self) {
        let (cleared, wait) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let mut drawn = self.0.lock();
            drawn.over = true;
            self.0.erase(&mut drawn);
            self.0.changed.notify_all();
            let _ = cleared.send(());
        });
        let _ = wait.recv_timeout(CLEAR);
    }
}

impl Screen {
    fn lock(&self) -> MutexGuard<'_, Drawn> {
        self.drawn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn erase(&self, drawn: &mut Drawn) {
        if !std::mem::take(&mut drawn.line).is_empty() {
            // A closed stderr has no line either.
            let _ = io::stderr().write_all(ERASE.as_bytes());
        }
    }

    fn redraw(&self, drawn: &mut Drawn) {
        let size = terminal_size::terminal_size_of(io::stderr());
        let line = self.progress.line(size.map_or(USUAL_WIDTH, |(columns, _)| columns.0.into()), Instant::now());
        if line != drawn.line {
            let _ = io::stderr().write_all(format!("{ERASE}{line}").as_bytes());
            drawn.line = line;
        }
    }
}

/// A stream whose lines are written above the status line.
pub struct Above<W> {
    pub stream: W,
    pub status: Option<StatusLine>,
}

impl<W: Write> Write for Above<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(StatusLine(screen)) = &self.status else { return self.stream.write(bytes) };
        let mut drawn = screen.lock();
        screen.erase(&mut drawn);
        let written = self.stream.write_all(bytes).and_then(|()| self.stream.flush());
        if !drawn.over {
            screen.redraw(&mut drawn);
        }
        written.map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A progress of 100 messages in ten seconds, and the time then.
    fn busy(now: Now) -> (Progress, Instant) {
        let began = Instant::now();
        let progress = Progress::default();
        for second in 0..=10 {
            progress.update(Now { settled: 10 * second, ..now }, began + Duration::from_secs(second));
        }
        (progress, began + Duration::from_secs(10))
    }

    #[test]
    fn the_line_says_what_is_done_and_left_and_how_fast() {
        let (progress, at) = busy(Now { rejected: 2, retried: 1, working: 16, ..Now::default() });
        assert_eq!(progress.line(80, at), "  100 done  10/s  1 retried  2 rejected");
        progress.left(300);
        let line = "  █████░░░░░░░░░░░░░░░  100 of about 400  10/s  1 retried  2 rejected  30 s left";
        assert_eq!(progress.line(120, at), line);
        let narrower = "  ████░░░░░░░░░░░░░  100 of about 400  10/s  1 retried  2 rejected  30 s left";
        assert_eq!((progress.line(80, at).as_str(), narrower.chars().count()), (narrower, 77));
        assert_eq!(progress.line(40, at), "  100 of about 400  10/s  1 retried  ", "no bar, and cut");
        // The queue was asked a while ago, and more came since.
        progress.update(Now { settled: 500, ..Now::default() }, at + Duration::from_secs(1));
        assert!(progress.line(80, at + Duration::from_secs(1)).contains("500 of about 500"));
    }

    #[test]
    fn an_idle_and_a_stopping_worker_say_so() {
        let (progress, at) = busy(Now { idle: true, rejected: 2, ..Now::default() });
        progress.left(0);
        assert_eq!(progress.line(80, at), "  idle, waiting for messages  100 done  2 rejected");
        let (progress, at) = busy(Now { stopping: true, working: 1, ..Now::default() });
        assert_eq!(progress.line(80, at), "  stopping: 1 message left  100 done  10/s");
        assert_eq!(Progress::default().line(80, at), "  0 done");
    }

    #[test]
    fn a_rate_forgets_what_is_long_ago() {
        let (progress, at) = busy(Now::default());
        let later = at + Duration::from_secs(20);
        progress.update(Now { settled: 100, ..Now::default() }, later);
        assert_eq!(progress.line(80, later + Duration::from_secs(1)), "  100 done");
    }

    #[test]
    fn a_time_has_one_unit() {
        assert_eq!([0.4, 119.0, 121.0, 7_000.0, 90_000.0].map(time), ["0 s", "119 s", "2 min", "117 min", "25 h"]);
    }
}
