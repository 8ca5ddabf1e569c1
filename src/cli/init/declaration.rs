//! The thumb.toml that `init` writes. Pure.

use crate::config::key_template::KeyTemplate;
use crate::config::{Access, Config};

/// What the file declares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declaration {
    pub name: String,
    /// `None`: left to AWS_REGION or the profile.
    pub region: Option<String>,
    /// The buckets of the photos.
    pub sources: Vec<String>,
    pub access: Access,
}

/// The column of the comments.
const COMMENTS: usize = 34;

impl Declaration {
    /// The file's text.
    pub fn toml(&self) -> String {
        let Self { name, region, sources, access } = self;
        let quoted = |text: &str| serde_json::to_string(text).expect("a string is JSON");
        let line = |setting: &str, comment: &str| format!("{setting:<width$}# {comment}\n", width = COMMENTS - 2);
        let mut text = String::from(concat!(
            "# `thumb plan` shows what this creates; all settings: ",
            env!("CARGO_PKG_REPOSITORY"),
            "/blob/main/thumb.toml

"
        ));
        text += &line(&format!("name = {} ", quoted(name)), "prefix of every resource's name");
        text += &match region {
            Some(region) => format!("region = {}\n", quoted(region)),
            None => line("# region = \"us-east-1\" ", "default: AWS_REGION, or the AWS profile's region"),
        };
        text += "\n[buckets]\n";
        let list: Vec<String> = sources.iter().map(|bucket| quoted(bucket)).collect();
        let comment = "buckets of photos that the workers may read";
        text += &match sources.is_empty() {
            true => line("# sources = [\"my-photos\"] ", comment),
            false => line(&format!("sources = [{}] ", list.join(", ")), comment),
        };
        let who = match access {
            Access::Private => "or \"public-read\": everyone can see the thumbnails",
            Access::PublicRead | Access::Policy => "everyone can see the thumbnails; or \"private\"",
        };
        text += &line(&format!("access = \"{access}\" "), who);
        if sources.len() > 1 {
            // Two photos of the same name would have the same thumbnail (`collisions`).
            text += &format!("\n[thumbnail]\nkey = {}\n", quoted(&KeyTemplate::default().with_bucket().to_string()));
        }
        text
    }

    /// Whether thumb can read the file.
    ///
    /// # Errors
    /// What is wrong with the first setting that is: a sentence.
    pub fn check(&self) -> Result<(), String> {
        let Err(failure) = Config::parse(&self.toml(), "") else { return Ok(()) };
        // ":3:8: `name` is empty"; the user knows no file and no line yet.
        let first = failure.what().lines().next().unwrap_or_default();
        Err(first.splitn(4, ':').last().unwrap_or(first).trim().to_owned())
    }
}

/// A stack's name made of a directory's: its letters, digits and hyphens.
pub fn suggested_name(directory: &str) -> Option<String> {
    /// As long as bucket names with the account ID allow.
    const MAX_BYTES: usize = 30;
    let letters = directory.chars().map(|c| match c.to_ascii_lowercase() {
        c if c.is_ascii_alphanumeric() => c,
        _ => '-',
    });
    let name: String = letters.collect();
    let name = name.trim_matches('-').get(..MAX_BYTES).unwrap_or(name.trim_matches('-')).trim_matches('-').to_owned();
    let declaration = Declaration { name, ..Declaration::default() };
    declaration.check().is_ok().then_some(declaration.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declaration(sources: &[&str], access: Access) -> Declaration {
        let sources = sources.iter().map(|bucket| (*bucket).to_owned()).collect();
        Declaration { name: "holiday".into(), region: Some("eu-west-1".into()), sources, access }
    }

    #[test]
    fn the_file_is_short_and_says_what_it_declares() {
        let bare = Declaration { region: None, ..declaration(&[], Access::PublicRead) };
        let all = [
            declaration(&["my-photographs"], Access::Private),
            declaration(&["photos", "more-photos"], Access::Policy),
            bare,
        ];
        insta::assert_snapshot!(all.map(|one| one.toml()).join("\n---\n"));
        for access in [Access::Private, Access::Policy, Access::PublicRead] {
            for sources in [&["photos"][..], &["photos", "more-photos"]] {
                let declared = declaration(sources, access);
                assert_eq!(declared.check(), Ok(()));
                let config = Config::parse(&declared.toml(), "").unwrap();
                assert_eq!(
                    (&*config.name, config.region.as_deref(), config.buckets.access),
                    ("holiday", Some("eu-west-1"), access)
                );
            }
        }
    }

    #[test]
    fn what_aws_would_refuse_is_said_in_a_sentence() {
        let named = |name: &str| Declaration { name: name.into(), ..Declaration::default() }.check().unwrap_err();
        assert!(named("").starts_with("`name` = \"\" is empty"), "{}", named(""));
        assert!(named("Holiday").starts_with("`name` = \"Holiday\" "), "{}", named("Holiday"));
        assert!(named("a\"b\nc").starts_with("`name` = "), "{}", named("a\"b\nc"));
        let region = Declaration { region: Some("eu west".into()), ..declaration(&[], Access::Private) };
        let error = region.check().unwrap_err();
        assert!(error.starts_with("`region` must be an AWS region such as us-east-1"), "{error}");
    }

    #[test]
    fn a_directory_suggests_a_name() {
        for (directory, name) in [
            ("holiday", Some("holiday")),
            ("My Photos (2026)", Some("my-photos--2026")),
            ("写真", None),
            ("", None),
            (&"x".repeat(80), Some(&*"x".repeat(30))),
        ] {
            assert_eq!(suggested_name(directory).as_deref(), name, "{directory}");
        }
    }
}
