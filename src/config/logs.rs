//! `[logs]`: how long the workers' log lines are kept.

use super::reader::{Section, one_of};
use super::{Config, names};

/// The days that CloudWatch Logs can keep lines (API PutRetentionPolicy).
const RETENTION_DAYS: [u16; 22] =
    [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1_096, 1_827, 2_192, 2_557, 2_922, 3_288, 3_653];
const DEFAULT_RETENTION_DAYS: u16 = 14;

/// The stack's log group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logs {
    pub retention_days: u16,
}

/// `None`: the workers' lines stay on their instances.
pub fn read(mut section: Section<'_>) -> Option<Logs> {
    let days = section.word("retention", retention).unwrap_or(DEFAULT_RETENTION_DAYS);
    section.finish();
    (days > 0).then_some(Logs { retention_days: days })
}

/// `14d`; `0`: no log group.
fn retention(text: &str) -> Result<u16, String> {
    let words = || RETENTION_DAYS.iter().map(|days| format!("{days}d"));
    if text == "0" {
        return Ok(0);
    }
    one_of(text, std::iter::once("0".to_owned()).chain(words()))
        .map_err(|why| format!("{why} (\"0\": no log group)"))?;
    text.trim_end_matches('d').parse().map_err(|_| "must be a number of days".to_owned())
}

/// The rule of [`names::log_group`], for a worker's own configuration.
pub fn group(section: &mut Section<'_>) -> Option<String> {
    section.checked("log_group", names::log_group).map(|given| given.value)
}

impl Config {
    /// The name of the stack's log group, whether it has one or not.
    pub fn log_group(&self) -> String {
        format!("/thumb/{}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(&format!("name = \"cats\"\n{text}"), "thumb.toml").map_err(|failure| failure.to_string())
    }

    #[test]
    fn lines_are_kept_for_two_weeks_or_as_long_as_said() {
        let days = |text: &str| parse(text).unwrap().logs.map(|logs| logs.retention_days);
        assert_eq!(days(""), Some(14));
        assert_eq!(days("[logs]"), Some(14));
        assert_eq!(days("logs.retention = \"1d\""), Some(1));
        assert_eq!(days("logs.retention = \"3653d\""), Some(3_653));
        assert_eq!(days("logs.retention = \"0\""), None);
        assert_eq!(parse("").unwrap().log_group(), "/thumb/cats");
        assert!(names::log_group("/thumb/cats").is_ok());
    }

    #[test]
    fn what_cloudwatch_does_not_take_is_named_with_what_it_takes() {
        let errors: Vec<String> = ["\"2d\"", "\"14\"", "14", "\"d\"", "\"0d\""]
            .map(|text| format!("logs.retention = {text}"))
            .map(|text| parse(&text).unwrap_err())
            .into();
        insta::assert_snapshot!(errors.join("\n"));
        assert!(parse("worker.log_group = \"a b\"").unwrap_err().contains("`log_group`"));
    }
}
