//! Where photographs are looked for, and what is found there.

use crate::request::Source;

/// Where photographs are, as a user names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Object {
        bucket: String,
        key: String,
    },
    /// All photographs under this prefix, which may be empty.
    Prefix {
        bucket: String,
        prefix: String,
    },
    Url(String),
    /// Keys from stdin, one a line.
    Stdin {
        bucket: String,
    },
}

/// What was found in one of the places.
#[derive(Debug, PartialEq)]
pub enum Found {
    Source(Source),
    /// It cannot be requested: the key is too long, or the URL is not one.
    Bad {
        name: String,
        why: String,
    },
    /// It is under a prefix, and not a photograph.
    Skipped,
    /// There is no photograph under this prefix, or there are no keys: a sentence, and what was probably meant.
    Nothing {
        what: String,
        hint: Option<String>,
    },
}
