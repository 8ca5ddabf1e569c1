//! The progress bar of `enqueue`, and of what else counts requests.

use std::fmt;
use std::io::Write;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use super::Following;
use crate::cli::waking::Waking;
use crate::enqueue::Progress;
use crate::request::Request;
use crate::text::{ago, printable};

/// A progress bar on stderr, if that is a terminal; failures are printed in any case.
pub struct Bar<'a> {
    pub bar: ProgressBar,
    waking: &'a Waking<'a>,
    pub following: Following<'a>,
}

impl<'a> Bar<'a> {
    pub fn new(count: Option<u64>, waking: &'a Waking<'a>, following: Following<'a>) -> Self {
        let bar = match count {
            Some(count) => ProgressBar::new(count).with_style(style("{bar:40} {pos}/{len} queued, {rate}{left}")),
            None => ProgressBar::new_spinner().with_style(style("{spinner} {pos} queued, {rate}")),
        };
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { bar, waking, following }
    }
}

pub fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is valid").with_key("rate", rate).with_key("left", left)
}

/// How long it still takes, once that can be known.
fn left(state: &ProgressState, text: &mut dyn fmt::Write) {
    if state.pos() > 0 && state.len().is_some_and(|len| state.pos() < len) {
        // Writing to a string cannot fail.
        let _ = write!(text, ", {} left", ago(state.eta().as_secs().max(1)));
    }
}

/// indicatif's own `{per_sec}` has four decimals.
fn rate(state: &ProgressState, text: &mut dyn fmt::Write) {
    // Writing to a string cannot fail.
    let _ = write!(text, "{:.0}/s", state.per_sec());
}

impl Progress for Bar<'_> {
    fn queued(&mut self, requests: &[Request]) {
        self.bar.inc(requests.len() as u64);
        self.waking.queued(requests.len() as u64);
        self.following.note(requests);
    }

    fn not_queued(&mut self, name: &str, why: &str) {
        self.bar.suspend(|| tell_not_queued(name, why));
    }
}

/// For a dry run.
pub struct NoBar;

impl Progress for NoBar {
    fn queued(&mut self, _: &[Request]) {}

    fn not_queued(&mut self, name: &str, why: &str) {
        tell_not_queued(name, why);
    }
}

fn tell_not_queued(name: &str, why: &str) {
    // If stderr is closed, the exit code still says it.
    let _ = writeln!(std::io::stderr(), "not queued: {}: {}", printable(name), printable(why));
}
