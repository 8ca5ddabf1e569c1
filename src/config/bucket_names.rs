//! The names of the stack's two buckets. All of AWS shares one space of bucket names, so a default name ends with the
//! account's number: nobody else has it, and nobody is likely to take it.

use super::reader::{Given, Mistakes};
use super::{Config, names};

/// An AWS account's number has 12 digits; these stand for it where the account is not known yet.
const ANY_ACCOUNT: &str = "000000000000";

const THUMBNAILS: &str = "thumbnails";
const CODE: &str = "code";

impl Config {
    /// The thumbnails bucket's name in the account with this number.
    pub fn thumbnails_bucket(&self, account: &str) -> String {
        self.buckets.thumbnails.clone().unwrap_or_else(|| default(&self.name, THUMBNAILS, account))
    }

    /// The code bucket's name in the account with this number.
    pub fn code_bucket(&self, account: &str) -> String {
        self.buckets.code.clone().unwrap_or_else(|| default(&self.name, CODE, account))
    }

    /// The name that the thumbnails bucket had by default before default names ended with the account's number; none
    /// where thumb.toml names the bucket.
    pub fn former_thumbnails_bucket(&self) -> Option<String> {
        self.buckets.thumbnails.is_none().then(|| former(&self.name, THUMBNAILS))
    }

    /// As [`Config::former_thumbnails_bucket`], of the code bucket.
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

/// Notes what is wrong with the two names: a default one that breaks S3's rules, or one bucket for both.
pub fn check(
    stack: &Given<String>,
    thumbnails: Option<&Given<String>>,
    code: Option<&Given<String>>,
    mistakes: &Mistakes,
) {
    for (given, which) in [(thumbnails, THUMBNAILS), (code, CODE)] {
        if given.is_some() {
            continue;
        }
        if let Err(why) = names::bucket(&default(&stack.value, which, ANY_ACCOUNT)) {
            let shown = default(&stack.value, which, "ACCOUNT");
            mistakes.add(
                stack.at,
                format!(
                    "the {which} bucket's name {shown:?}, made from `name` and the account's 12 digits, {why}; \
                     `{which}` in [buckets] sets another"
                ),
            );
        }
    }
    let twice = |given: &Given<String>| {
        format!("the two buckets have the same name, {:?}: the code would be public", given.value)
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

/// Whether it is the default name in some account: which one is not known before AWS is asked.
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
    fn default_names_end_with_the_accounts_number() {
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
    fn a_default_name_has_room_for_the_accounts_number() {
        // 39 + "-thumbnails-" + 12 digits = 63.
        assert!(Config::parse(&format!("name = \"{}\"", "a".repeat(39)), "").is_ok());
        let long = format!("name = \"{}\"", "a".repeat(40));
        let error = mistakes(&long);
        assert!(error.starts_with("thumb.toml:1:8: the thumbnails bucket's name \"aaaa"), "{error}");
        assert!(error.contains("-thumbnails-ACCOUNT\", made from `name` and the account's 12 digits, is longer than"));
        assert!(error.contains("(it has 64); `thumbnails` in [buckets] sets another"), "{error}");
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
