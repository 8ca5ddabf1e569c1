//! Asks at a terminal. A wrong answer is explained and asked again, a few times.

use std::io::{self, BufRead, Read, Write};

use crate::error::{Failure, Result};
use crate::text::printable;

/// Answers to one question.
const MAX_TRIES: u32 = 5;
/// The longest answer that is read, in bytes; a bucket's name has 63.
const MAX_ANSWER_BYTES: u64 = 1_024;

/// Where the answers come from, and where the questions go.
pub struct Questions<R, W> {
    pub input: R,
    pub output: W,
}

impl<R: BufRead, W: Write> Questions<R, W> {
    /// Asks until `read` accepts an answer; an empty answer is the default, where there is one.
    ///
    /// # Errors
    /// The input ends, or no answer of several was right.
    pub async fn ask<T>(
        &mut self,
        question: &str,
        default: Option<&str>,
        mut read: impl AsyncFnMut(&str) -> Result<T, String>,
    ) -> Result<T> {
        let shown = default.map(|default| format!(" [{}]", printable(default))).unwrap_or_default();
        for _ in 0..MAX_TRIES {
            self.say(&format!("{question}{shown}: "))?;
            let line = self.line()?;
            let answer = match (line.trim(), default) {
                ("", Some(default)) => default,
                (answer, _) => answer,
            };
            match read(answer).await {
                Ok(value) => return Ok(value),
                Err(why) => self.say(&format!("  {}\n", printable(&why)))?,
            }
        }
        Err(Failure::new(format!("no right answer in {MAX_TRIES} tries; nothing was written"))
            .hint("`thumb init --help` has an option for each question"))
    }

    /// Says something about an answer.
    ///
    /// # Errors
    /// The output is closed.
    pub fn say(&mut self, text: &str) -> Result<()> {
        let said = self.output.write_all(text.as_bytes()).and_then(|()| self.output.flush());
        said.map_err(|error| Failure::new("cannot write to the terminal").caused_by(&error))
    }

    fn line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        let read = self.input.by_ref().take(MAX_ANSWER_BYTES).read_until(b'\n', &mut line);
        let cancelled = || Failure::new("cancelled; nothing was written");
        match read {
            Ok(0) => Err(cancelled()),
            Ok(_) => Ok(String::from_utf8_lossy(&line).into_owned()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(cancelled()),
            Err(error) => Err(Failure::new("cannot read the answer; nothing was written").caused_by(&error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn asked(input: &str, default: Option<&str>) -> (Result<u32, String>, String) {
        let mut questions = Questions { input: input.as_bytes(), output: Vec::new() };
        let number = async |text: &str| text.parse().map_err(|_| format!("{text:?} is not a number"));
        let answer = questions.ask("How many", default, number).await;
        (answer.map_err(|failure| failure.what().to_owned()), String::from_utf8(questions.output).unwrap())
    }

    #[tokio::test]
    async fn a_wrong_answer_is_explained_and_asked_again() {
        let (answer, screen) = asked("many\n 7 \n", None).await;
        assert_eq!(answer, Ok(7));
        assert_eq!(screen, "How many:   \"many\" is not a number\nHow many: ");
        assert_eq!(asked("\n", Some("3")).await, (Ok(3), "How many [3]: ".into()));
    }

    #[tokio::test]
    async fn it_does_not_ask_for_ever() {
        let (answer, screen) = asked(&"x\n".repeat(9), None).await;
        assert!(answer.unwrap_err().starts_with("no right answer in 5 tries"));
        assert_eq!(screen.matches("How many").count(), 5);
        assert_eq!(asked("x\n", None).await.0, Err("cancelled; nothing was written".into()), "the input has ended");
    }
}
