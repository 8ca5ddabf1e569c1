//! Questions at the terminal.

use std::io::{IsTerminal, Write};

use super::interrupts::interrupted;
use crate::error::{Failure, Result};
use crate::text::printable;

/// How often a question is asked, when other answers than the one are given.
const ATTEMPTS: u32 = 3;

/// Asks for confirmation; anything but `answer`, however often it is asked, cancels, and so does Ctrl-C. The caller handles
/// `--yes`.
///
/// # Errors
/// It was not confirmed, or stdin is not a terminal.
pub async fn ask(question: &str, answer: &str, command: &str) -> Result<()> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(format!("{command} needs confirmation, but stdin is not a terminal"))
            .hint(format!("use `thumb {command} --yes` to skip the question")));
    }
    let interrupted = interrupted();
    tokio::pin!(interrupted);
    let bold = anstyle::Style::new().bold();
    say(&format!("\n{bold}{question}{bold:#}\n  Only {answer:?} is accepted: "));
    for attempt in 1..=ATTEMPTS {
        // The read cannot be ended; it ends with the process.
        let line = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).map(|bytes| (bytes, line))
        });
        let (bytes, line) = tokio::select! {
            () = &mut interrupted => {
                say("\n");
                return Err(Failure::interrupted("cancelled; nothing was changed"));
            }
            line = line => line
                .unwrap_or_else(|error| Err(std::io::Error::other(error)))
                .map_err(|error| Failure::new("cannot read the answer; nothing was changed").caused_by(&error))?,
        };
        let line = line.trim();
        match line {
            _ if line == answer => return Ok(()),
            // The end of the input: Ctrl-D.
            _ if bytes == 0 => break,
            _ if attempt < ATTEMPTS => {
                say(&format!("  You typed {:?}; only {answer:?} is accepted: ", printable(line)));
            }
            _ => {}
        }
    }
    Err(Failure::new("cancelled; nothing was changed"))
}

/// If stderr is closed, nobody sees the question, and the answer is read all the same.
fn say(text: &str) {
    let mut stderr = anstream::stderr();
    let _ = write!(stderr, "{text}");
    let _ = stderr.flush();
}
