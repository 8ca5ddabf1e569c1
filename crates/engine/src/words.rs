//! Settings that are one of a few words: their names in texts and in messages.

use std::fmt;

/// A text that is none of the words that a setting may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WordError {
    /// The text.
    pub text: String,
    /// What it should name, with its article: "a fit".
    pub what: &'static str,
    /// The words that it may be.
    pub words: &'static [&'static str],
}

impl fmt::Display for WordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, what, words } = self;
        let (last, others) = words.split_last().unwrap_or((&"", &[]));
        write!(f, "`{text}` is not {what}; use {} or {last}", others.join(", "))
    }
}

impl std::error::Error for WordError {}

/// An enum whose values are written as words, the same in texts and (by the feature `serde`) in messages.
macro_rules! words {
    (
        $(#[$attribute:meta])*
        pub enum $name:ident: $what:literal { $($(#[$value_attribute:meta])* $value:ident = $word:literal,)+ }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        pub enum $name {
            $($(#[$value_attribute])* #[cfg_attr(feature = "serde", serde(rename = $word))] $value,)+
        }

        impl $name {
            /// Every value, in the order of their definition.
            pub const ALL: &'static [Self] = &[$(Self::$value),+];

            /// As it is written.
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$value => $word,)+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.word())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::words::WordError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|value| value.word() == text).ok_or_else(|| {
                    $crate::words::WordError { text: text.to_owned(), what: $what, words: &[$($word),+] }
                })
            }
        }
    };
}
pub(crate) use words;
