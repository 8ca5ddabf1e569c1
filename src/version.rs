//! Which build of the program this is, and which build a file is. Pure.
//!
//! Two builds of one commit are the same program, though their bytes may differ. So a build of a commit says its identity
//! (version, commit, CPU, left-out features) inside the executable, where another thumb finds it. A build with changes that
//! are not committed has none, and counts by its hash.

use std::fmt;

use memchr::memmem;

/// The version, commit and target: "0.1.0 (f63336912abc, x86_64-unknown-linux-gnu, engine 7)".
pub fn version() -> String {
    let commit = env!("THUMB_COMMIT");
    let commit = if commit.is_empty() { String::new() } else { format!("{commit}, ") };
    format!(
        "{} ({commit}{}, engine {})",
        env!("CARGO_PKG_VERSION"),
        env!("THUMB_TARGET"),
        crate::thumbnail::OUTPUT_VERSION
    )
}

/// Stands before the identity in the executable, and after it `END`.
const BEGIN: &str = "thumb build <";
const END: u8 = b'>';
/// What the executable contains, in one piece.
static MARK: &str = concat!("thumb build <", env!("THUMB_IDENTITY"), ">");
/// The longest identity: a version with a pre-release, a commit, a CPU and two features.
const MAX_LEN: usize = 80;

/// The identity of a build: `0.1.0-f63336912abc-x86_64`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity(String);

impl Identity {
    /// An identity from a text: letters, digits, `.`, `_`, `+` and `-`, the first a digit.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte);
        let fits = text.len() <= MAX_LEN && text.starts_with(|first: char| first.is_ascii_digit());
        (fits && text.contains('-') && text.bytes().all(plain)).then(|| Self(text.to_owned()))
    }

    /// The identity that an executable's bytes contain; none: a build with changes, or no build of thumb.
    pub fn of_file(content: &[u8]) -> Option<Self> {
        // Used here, so that the linker keeps it.
        let begin = std::hint::black_box(MARK).as_bytes().get(..BEGIN.len())?;
        memmem::find_iter(content, begin).find_map(|at| {
            let after = &content[at + begin.len()..];
            let length = after.iter().take(MAX_LEN + 1).position(|byte| *byte == END)?;
            Self::parse(std::str::from_utf8(&after[..length]).ok()?)
        })
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Identity {
    /// "0.1.0 (f63336912abc)".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A pre-release has a hyphen too; the commit is the part of twelve hexadecimal digits.
        let is_commit = |part: &&str| part.len() == 12 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        match self.0.split('-').find(is_commit).and_then(|commit| Some((self.0.split_once(commit)?.0, commit))) {
            Some((version, commit)) => write!(f, "{} ({commit})", version.trim_end_matches('-')),
            None => f.write_str(&self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_which_build_it_is() {
        let file = |text: &str| Identity::of_file(format!("\x7fELF thumb build thumb build <\0{text} tail").as_bytes());
        let identity = file("thumb build <0.1.0-f63336912abc-x86_64>").unwrap();
        assert_eq!(identity.as_str(), "0.1.0-f63336912abc-x86_64");
        assert_eq!(identity.to_string(), "0.1.0 (f63336912abc)");
        assert_eq!(file("thumb build <>"), None, "a build with changes has no identity");
        assert_eq!(file("thumb build <0.1.0-f63336912abc"), None);
        assert_eq!(
            file("thumb build <x>thumb build <0.2.0-rc.1-f63336912abc-aarch64-noheic>").unwrap().to_string(),
            "0.2.0-rc.1 (f63336912abc)"
        );
        assert_eq!(file("nothing"), None);
    }
}
