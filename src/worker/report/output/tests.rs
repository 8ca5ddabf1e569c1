use std::sync::mpsc;

use super::*;
use crate::worker::report::stats::Totals;
use crate::worker::retry::Stage;

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
const TEXT: Form = Form::Lines { details: false };

fn stalled(form: Form) -> Setup {
    let (tell, told) = mpsc::channel();
    let (read, dropped) = (Arc::default(), Counter::default());
    let out = Lines::start("out", Reader { told, read: Arc::clone(&read) }, &dropped).unwrap();
    let err = Lines::start("err", io::sink(), &dropped).unwrap();
    Setup { output: Output { form, out, err }, dropped, tell, read }
}

fn skipped(key: &str) -> Event {
    Event::Skipped { source: "s3://photos/a.jpg".into(), key: key.into() }
}

fn lines(read: &Mutex<Vec<u8>>) -> Vec<String> {
    String::from_utf8(read.lock().unwrap().clone()).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn a_stalled_reader_of_text_misses_lines_and_is_told_how_many() {
    let Setup { mut output, dropped, tell, read } = stalled(TEXT);
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
    let marker = format!("{dropped} lines were dropped here because they were not read");
    assert_eq!(anstream::adapter::strip_str(&lines[lines.len() - 2]).to_string(), marker);
    assert_eq!(lines[lines.len() - 1], "skipped   last  already up to date");
}

#[test]
fn a_program_that_does_not_read_its_json_is_behind_before_lines_are_dropped() {
    let Setup { mut output, dropped, tell, read } = stalled(Form::Json);
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
    for form in [Form::Json, TEXT] {
        let Setup { mut output, tell, .. } = stalled(form);
        output.report(&skipped("a")).unwrap();
        assert_eq!(output.finish_in(Duration::ZERO).is_err(), form == Form::Json);
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
    let mut output = Output { form: TEXT, out, err };
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
    let line = |form| stalled(form).output.line(&event);
    let text = line(TEXT);
    assert_eq!(
        anstream::adapter::strip_str(&text).to_string(),
        r"a call failed and will be retried: a\u{9b}31m\u{1b}[2J\u{202e}"
    );
    let json = line(Form::Json);
    assert!(json.ends_with(r#""event":"call-failed","why":"a\u009b31m\u001b[2J\u202e"}"#), "{json}");
}

#[test]
fn above_a_status_line_only_what_went_wrong_has_a_line() {
    let rejected =
        Event::Rejected { source: None, stage: Stage::Make, why: "the file is truncated".into(), receives: 1 };
    let numbers = |total| Event::Numbers {
        total,
        numbers: Box::new(Totals::new(tokio::time::Instant::now()).numbers(tokio::time::Instant::now())),
    };
    let retrying = Event::Retrying { source: None, stage: Stage::Fetch, why: "no".into(), receives: 1, retry_s: 5 };
    let shown = |form: Form, event: &Event| !stalled(form).output.leaves_out(event);
    for (event, form) in [
        (&rejected, [true, true, true]),
        (&skipped("a"), [true, true, false]),
        (&retrying, [true, true, false]),
        (&Event::Idle, [true, true, false]),
        (&numbers(false), [true, false, false]),
        (&numbers(true), [true, true, true]),
        (&Event::CallFailed { why: "no".into() }, [true, true, true]),
    ] {
        assert_eq!([Form::Json, TEXT, Form::Brief].map(|form| shown(form, event)), form, "{event:?}");
    }
    let line = stalled(Form::Brief).output.line(&rejected);
    assert_eq!(line, "\x1b[31mrejected  a message  make: the file is truncated\x1b[0m");
}
