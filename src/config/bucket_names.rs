//! The names of the stack's two buckets. Bucket names are global to all of AWS, so a default name ends with the account
//! ID, to make it unlikely that another account has it.

use super::reader::{Given, Mistakes};
use super::{Config, names};

/// Stands for the 12-digit account ID where the account is not known yet.
const ANY_ACCOUNT: &str = "000000000000";

const THUMBNAILS: &str = "thumbnails";
const CODE: &str = "code";

impl Config {
    /// The thumbnails bucket's name in this account.
    pub fn thumbnails_bucket(&self, account: &str) -> String {
        self.buckets.thumbnails.clone().unwrap_or_else(|| default(&self.name, THUMBNAILS, account))
    }

    /// The code bucket's name in this account.
    pub fn code_bucket(&self, account: &str) -> String {
        self.buckets.code.clone().unwrap_or_else(|| default(&self.name, CODE, account))
    }

    /// The thumbnails bucket's default name of earlier versions, without the account ID; `None` where thumb.toml names the
    /// bucket.
    pub fn former_thumbnails_bucket(&self) -> Option<String> {
        self.buckets.thumbnails.is_none().then(|| former(&self.name, THUMBNAILS))
    }

    /// As [`Config::former_thumbnails_bucket`], for the code bucket.
    pub fn former_code_bucket(&self) -> Option<String> {
        self.buckets.code.is_none().then(|| former(&self.name, CODE))
    }
}

fn default(stack: &str, which: &str, account: &str) -> String {
    format!("{}-{account}", former(stack, which))
}

fn former(stack: &str, which: &str) -> String {
    format!("{stack}-{which}")
}

/// Reports default names that break S3's rules, and one name for both buckets.
pub fn check(
    stack: &Given<String>,
    thumbnails: Option<&Given<String>>,
    code: Option<&Given<String>>,
    mistakes: &Mistakes,
) {
    let bad: Vec<(&str, String)> = [(thumbnails, THUMBNAILS), (code, CODE)]
        .into_iter()
        .filter(|(given, _)| given.is_none())
        .filter_map(|(_, which)| Some((which, names::bucket(&default(&stack.value, which, ANY_ACCOUNT)).err()?)))
        .collect();
    if let [(which, why), rest @ ..] = &bad[..] {
        let keys = if rest.is_empty() { format!("`{which}`") } else { format!("`{THUMBNAILS}` and `{CODE}`") };
        let (name, shown) = (&stack.value, default(&stack.value, which, "ACCOUNT"));
        mistakes.add(
            stack.at,
            format!(
                "`name` = {name:?} makes a bucket name that S3 does not allow: {shown:?} {why}; change `name`, or set \
                 {keys} in [buckets]"
            ),
        );
    }
    let twice = |given: &Given<String>| {
        format!("the two buckets have the same name, {:?}, which would make the code public", given.value)
    };
    match (thumbnails, code) {
        (Some(thumbnails), Some(code)) if thumbnails.value == code.value => mistakes.add(code.at, twice(code)),
        (Some(thumbnails), None) if is_default(&thumbnails.value, &stack.value, CODE) => {
            mistakes.add(thumbnails.at, twice(thumbnails));
        }
        (None, Some(code)) if is_default(&code.value, &stack.value, THUMBNAILS) => mistakes.add(code.at, twice(code)),
        _ => {}
    }
}

/// Whether this is the default name in some account; which account it is, is not known yet.
fn is_default(name: &str, stack: &str, which: &str) -> bool {
    name.strip_prefix(&default(stack, which, "")).is_some_and(|account| super::account(account).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(text: &str) -> String {
        Config::parse(text, "thumb.toml").unwrap_err().to_string()
    }

    #[test]
    fn default_names_end_with_the_account_id() {
        let config = Config::parse("name = \"cats\"", "").unwrap();
        assert_eq!(config.thumbnails_bucket("123456789012"), "cats-thumbnails-123456789012");
        assert_eq!(config.code_bucket("123456789012"), "cats-code-123456789012");
        assert_eq!(config.former_thumbnails_bucket().as_deref(), Some("cats-thumbnails"));
        assert_eq!(config.former_code_bucket().as_deref(), Some("cats-code"));

        let named = "name = \"cats\"\n[buckets]\nthumbnails = \"my-thumbs\"\ncode = \"my-code\"";
        let config = Config::parse(named, "").unwrap();
        assert_eq!(config.thumbnails_bucket("123456789012"), "my-thumbs");
        assert_eq!(config.code_bucket("123456789012"), "my-code");
        assert_eq!((config.former_thumbnails_bucket(), config.former_code_bucket()), (None, None));
    }

    #[test]
    fn a_default_name_has_room_for_the_account_id() {
        // 39 + "-thumbnails-" + 12 digits = 63.
        assert!(Config::parse(&format!("name = \"{}\"", "a".repeat(39)), "").is_ok());
        let long = format!("name = \"{}\"", "a".repeat(40));
        let error = mistakes(&long);
        assert!(error.starts_with("thumb.toml:1:8: `name` = \"aaaa"), "{error}");
        assert!(error.contains("-thumbnails-ACCOUNT\" is longer than"), "{error}");
        assert!(error.ends_with("(it has 64); change `name`, or set `thumbnails` in [buckets]"), "{error}");
        assert!(Config::parse(&format!("{long}\n[buckets]\nthumbnails = \"short\""), "").is_ok());
    }

    #[test]
    fn one_bucket_for_both_is_refused_whatever_the_account_is() {
        for (line, column) in [
            ("thumbnails = \"cats-code-123456789012\"", 14),
            ("code = \"cats-thumbnails-000000000001\"", 8),
            ("thumbnails = \"both\"\ncode = \"both\"", 8),
        ] {
            let error = mistakes(&format!("name = \"cats\"\n[buckets]\n{line}"));
            assert!(error.contains(&format!(":{column}: the two buckets have the same name, ")), "{line}: {error}");
        }
        let other = "name = \"cats\"\n[buckets]\nthumbnails = \"cats-code\"";
        assert!(Config::parse(other, "").is_ok());
    }
}
