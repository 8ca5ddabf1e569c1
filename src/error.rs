//! How a command reports a failure to the user: one line that says what failed, on which resource and why, then the
//! causes, then hints. Modules whose callers handle errors have their own error types, which become a [`Failure`] only
//! where the user reads them.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// The most causes printed below a failure; a longer chain tells a reader nothing more.
const MAX_CAUSES: usize = 8;

/// What an error that is thumb's own fault says, and what to send.
const BUG: &str = concat!(
    "this is a bug in thumb; please report it, with this message, the command and the version (thumb ",
    env!("CARGO_PKG_VERSION"),
    " ",
    env!("THUMB_COMMIT"),
    ")"
);

/// A failed command: `error: …`, `caused by: …` lines, `hint: …` lines, and the process's exit code.
#[derive(Debug)]
pub struct Failure {
    what: String,
    causes: Vec<String>,
    hints: Vec<String>,
    exit: Exit,
}

/// The exit codes of the command line: 0 is success, everything below is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// 1: the command was understood, and failed.
    Failed = 1,
    /// 2: the command line or thumb.toml is wrong; nothing was attempted.
    Usage = 2,
    /// 130, as a shell reports a program that Ctrl-C (SIGINT) ended.
    Interrupted = 130,
    /// 141, as a shell reports a program killed by SIGPIPE: the reader of stdout has exited (`thumb plan | head`). Prints
    /// no message.
    BrokenPipe = 141,
}

impl Failure {
    /// `what` is a full sentence without its period, naming the resource: "the queue cats already exists".
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), causes: Vec::new(), hints: Vec::new(), exit: Exit::Failed }
    }

    /// Wrong usage: exit code 2.
    pub fn usage(what: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, ..Self::new(what) }
    }

    /// Ended by Ctrl-C: exit code 130.
    pub fn interrupted(what: impl Into<String>) -> Self {
        Self { exit: Exit::Interrupted, ..Self::new(what) }
    }

    /// Our own fault: the user can only report it.
    pub fn bug(what: impl Into<String>) -> Self {
        Self::new(what).hint(BUG)
    }

    /// stdout cannot be written to: a failure, or [`Exit::BrokenPipe`] if its reader has exited.
    pub fn stdout(error: &std::io::Error) -> Self {
        let exit = match error.kind() {
            std::io::ErrorKind::BrokenPipe => Exit::BrokenPipe,
            _ => Exit::Failed,
        };
        Self { exit, ..Self::new("cannot write to stdout").caused_by(error) }
    }

    /// Turns wrong usage into an ordinary failure, for commands where exit code 2 means something else.
    #[must_use]
    pub fn without_usage(self) -> Self {
        let exit = if self.exit == Exit::Usage { Exit::Failed } else { self.exit };
        Self { exit, ..self }
    }

    /// Adds an error and everything behind it to the causes.
    #[must_use]
    pub fn caused_by(mut self, error: &(dyn Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            let text = error.to_string();
            // Many errors repeat the text of their source; one of the two is enough.
            let repeated = self.causes.last().is_some_and(|last| last.ends_with(&text));
            if !repeated && self.causes.len() < MAX_CAUSES {
                self.causes.push(text);
            }
            next = error.source();
        }
        self
    }

    /// Adds a line that says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// What failed, in one line.
    pub fn what(&self) -> &str {
        &self.what
    }

    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.exit as u8)
    }

    pub fn exit(&self) -> Exit {
        self.exit
    }
}

impl fmt::Display for Failure {
    /// Several lines, no trailing newline; the caller prints `error:`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        for cause in &self.causes {
            write!(f, "\n  caused by: {}", cause.replace('\n', "\n    "))?;
        }
        for hint in &self.hints {
            write!(f, "\n  hint: {}", hint.replace('\n', "\n    "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Outer(std::io::Error);
    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("cannot read the photo")
        }
    }
    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn a_failure_reads_as_what_then_causes_then_hints() {
        let error = Outer(std::io::Error::other("disk on fire"));
        let failure = Failure::new("rendering owl.jpg failed").caused_by(&error).hint("put out the fire");
        assert_eq!(
            failure.to_string(),
            "rendering owl.jpg failed\n  caused by: cannot read the photo\n  caused by: disk on fire\n  hint: put out the fire"
        );
    }

    #[test]
    fn a_reader_that_has_left_is_no_failure_of_ours() {
        use std::io::{Error, ErrorKind};
        assert_eq!(Failure::stdout(&Error::from(ErrorKind::BrokenPipe)).exit(), Exit::BrokenPipe);
        assert_eq!(Failure::stdout(&Error::from(ErrorKind::StorageFull)).exit(), Exit::Failed);
        assert_eq!(Failure::usage("x").without_usage().exit(), Exit::Failed);
        assert_eq!(Failure::stdout(&Error::from(ErrorKind::BrokenPipe)).without_usage().exit(), Exit::BrokenPipe);
    }

    #[test]
    fn a_bug_says_what_to_report() {
        let text = Failure::bug("the engine panicked on cat.jpg").to_string();
        assert!(text.contains("hint: this is a bug in thumb; please report it"), "{text}");
        assert!(text.contains(env!("CARGO_PKG_VERSION")), "{text}");
    }

    #[test]
    fn a_cause_that_repeats_its_source_is_printed_once() {
        let error = Outer(std::io::Error::other("cannot read the photo"));
        assert_eq!(Failure::new("x").caused_by(&error).to_string(), "x\n  caused by: cannot read the photo");
    }
}
