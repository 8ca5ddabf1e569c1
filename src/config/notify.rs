//! `[notify]`: who is told what happens.

use super::reader::Section;
use super::{Config, names};

/// E-mail addresses in `email`; each is a subscription that somebody has to confirm.
const MAX_EMAILS: usize = 20;

/// The stack's SNS topic, which gets the alarms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notify {
    /// Get the alarms.
    pub email: Vec<String>,
    /// Whether the workers publish an event for each message.
    pub events: bool,
}

/// `None`: nobody is told, and there is no topic.
pub fn read(mut section: Section<'_>) -> Option<Notify> {
    let email_at = section.at("email");
    let email = section.list("email", MAX_EMAILS, |text| names::email(text).map(|()| text.to_owned()));
    let email = email.unwrap_or_default();
    let twice = email.iter().enumerate().find(|(at, one)| email[..*at].contains(one));
    if let (Some(at), Some((_, one))) = (email_at, twice) {
        section.mistakes().add(at, format!("`email` in [notify] names {one} twice"));
    }
    let events = section.boolean("topic").unwrap_or_default();
    section.finish();
    (events || !email.is_empty()).then_some(Notify { email, events })
}

/// The topic of a worker's own configuration.
pub fn topic(section: &mut Section<'_>) -> Option<String> {
    section.checked("topic", names::topic_arn).map(|given| given.value)
}

impl Config {
    /// The name of the stack's topic, whether it has one or not.
    pub fn topic(&self) -> String {
        format!("{}-events", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(&format!("name = \"cats\"\n{text}"), "thumb.toml").map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_topic_is_there_for_mail_or_for_events() {
        let notify = |text: &str| parse(text).unwrap().notify;
        assert_eq!(notify(""), None);
        assert_eq!(notify("[notify]\ntopic = false"), None);
        let mail = Notify { email: vec!["me@example.com".into()], events: false };
        assert_eq!(notify("[notify]\nemail = [\"me@example.com\"]"), Some(mail));
        assert_eq!(notify("notify.topic = true"), Some(Notify { email: vec![], events: true }));
        assert_eq!(parse("").unwrap().topic(), "cats-events");
    }

    #[test]
    fn every_mistake_is_named() {
        let errors = [
            parse("[notify]\nemail = [\"me\", \"a@b\", \"a b@example.com\", \"@example.com\"]").unwrap_err(),
            parse("[notify]\nemail = [\"me@example.com\", \"me@example.com\"]\nevents = true").unwrap_err(),
            parse("[worker]\ntopic = \"cats-events\"").unwrap_err(),
        ];
        insta::assert_snapshot!(errors.join("\n"));
        assert!(parse("[worker]\ntopic = \"arn:aws:sns:eu-west-1:123456789012:cats-events\"").is_ok());
    }
}
