//! Reading a TOML document so that every mistake in it is found in one go, each with its place. serde stops at the
//! first; here a [`Section`] is asked for its keys one by one, notes what is wrong with each, and at the end which
//! keys nobody asked for.

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A mistake: where in the text (byte offset), and what it is.
pub struct Mistake {
    pub at: usize,
    pub what: String,
}

/// All mistakes found so far, shared by the sections of one document.
#[derive(Default)]
pub struct Mistakes(RefCell<Vec<Mistake>>);

impl Mistakes {
    pub fn add(&self, at: usize, what: impl Into<String>) {
        self.0.borrow_mut().push(Mistake { at, what: what.into() });
    }

    /// In the order of the text.
    pub fn into_sorted(self) -> Vec<Mistake> {
        let mut mistakes = self.0.into_inner();
        mistakes.sort_by_key(|mistake| mistake.at);
        mistakes
    }
}

/// A value that the document gives, and where.
pub struct Given<T> {
    pub value: T,
    pub at: usize,
}

/// One table of the document, or its top level. A missing table is an empty one.
pub struct Section<'a> {
    /// `[queue]`, or "the top level".
    title: String,
    table: Option<&'a DeTable<'a>>,
    asked: Vec<&'static str>,
    mistakes: &'a Mistakes,
}

impl<'a> Section<'a> {
    pub fn top(table: &'a DeTable<'a>, mistakes: &'a Mistakes) -> Self {
        Self { title: "the top level".into(), table: Some(table), asked: Vec::new(), mistakes }
    }

    pub fn mistakes(&self) -> &'a Mistakes {
        self.mistakes
    }

    pub fn has(&self, key: &str) -> bool {
        self.at(key).is_some()
    }

    /// Where a key's value stands, if it is given.
    pub fn at(&self, key: &str) -> Option<usize> {
        self.table?.iter().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value.span().start)
    }

    /// Where a key itself stands, if it is given.
    pub fn at_key(&self, key: &str) -> Option<usize> {
        self.table?.iter().map(|(name, _)| name).find(|name| name.get_ref() == key).map(|name| name.span().start)
    }

    pub fn section(&mut self, key: &'static str) -> Section<'a> {
        let table = self.entry(key).and_then(|value| {
            let table = value.get_ref().as_table();
            if table.is_none() {
                self.mistakes.add(value.span().start, format!("`{key}` is a section: write [{key}]"));
            }
            table
        });
        Section { title: format!("[{key}]"), table, asked: Vec::new(), mistakes: self.mistakes }
    }

    /// A string that `check` accepts; its error is the rest of a sentence that begins with the value.
    pub fn checked(
        &mut self,
        key: &'static str,
        check: impl FnOnce(&str) -> Result<(), String>,
    ) -> Option<Given<String>> {
        self.convert(key, |value| {
            let text = value.as_str().ok_or_else(|| must_be("a string", value))?;
            check(text).map(|()| text.to_owned()).map_err(|why| format!("{text:?} {why}"))
        })
    }

    /// A string that reads as a `T`; its error is the rest of a sentence that begins with the value.
    pub fn parsed<T: FromStr<Err: Display>>(&mut self, key: &'static str) -> Option<T> {
        self.word(key, |text| text.parse().map_err(|why: T::Err| why.to_string()))
    }

    /// A string that `read` knows; its error is the rest of a sentence that begins with the value.
    pub fn word<T>(&mut self, key: &'static str, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        self.convert(key, |value| {
            let text = value.as_str().ok_or_else(|| must_be("a string", value))?;
            read(text).map_err(|why| format!("{text:?} {why}"))
        })
        .map(|given| given.value)
    }

    pub fn boolean(&mut self, key: &'static str) -> Option<bool> {
        self.convert(key, |value| value.as_bool().ok_or_else(|| must_be("true or false", value)))
            .map(|given| given.value)
    }

    pub fn integer(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        self.convert(key, |value| {
            let number = value.as_integer().ok_or_else(|| must_be("a whole number", value))?;
            let number = i128::from_str_radix(number.as_str(), number.radix()).unwrap_or(i128::MAX);
            u64::try_from(number)
                .ok()
                .filter(|number| range.contains(number))
                .ok_or_else(|| format!("must be between {} and {}", range.start(), range.end()))
        })
        .map(|given| given.value)
    }

    /// A duration in whole seconds, written "60s", "5m", "4d".
    pub fn seconds(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let words = |seconds: &u64| humantime::format_duration(Duration::from_secs(*seconds)).to_string();
        self.convert(key, |value| {
            let text = value.as_str().ok_or_else(|| must_be("a duration such as \"60s\", \"5m\" or \"4d\"", value))?;
            let duration = humantime::parse_duration(text)
                .map_err(|why| format!("{text:?} is not a duration such as \"60s\", \"5m\" or \"4d\": {why}"))?;
            if duration.subsec_nanos() != 0 {
                return Err(format!("{text:?} is not a whole number of seconds"));
            }
            Some(duration.as_secs())
                .filter(|seconds| range.contains(seconds))
                .ok_or_else(|| format!("must be between {} and {}", words(range.start()), words(range.end())))
        })
        .map(|given| given.value)
    }

    /// An array of strings, each of which reads as a `T`. One bad element does not hide the next.
    pub fn list<T>(
        &mut self,
        key: &'static str,
        max: usize,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let value = self.entry(key)?;
        let Some(array) = value.get_ref().as_array() else {
            self.mistakes
                .add(value.span().start, format!("`{key}` {}", must_be("an array of strings", value.get_ref())));
            return None;
        };
        if array.len() > max {
            self.mistakes
                .add(value.span().start, format!("`{key}` has {} elements; at most {max} are allowed", array.len()));
        }
        let mut list = Vec::new();
        for element in array.iter() {
            let read = match element.get_ref().as_str() {
                Some(text) => read(text).map_err(|why| format!("in `{key}`, {text:?} {why}")),
                None => Err(format!("`{key}` {}", must_be("an array of strings", element.get_ref()))),
            };
            match read {
                Ok(value) => list.push(value),
                Err(what) => self.mistakes.add(element.span().start, what),
            }
        }
        Some(list)
    }

    /// Takes every key of the section, all of whose values must be strings that `check` accepts with their key.
    pub fn strings(&self, check: impl Fn(&str, &str) -> Result<(), String>) -> Vec<(String, String)> {
        let mut pairs = Vec::new();
        for (key, value) in self.table.into_iter().flatten() {
            let name = key.get_ref().as_ref();
            match value.get_ref().as_str() {
                Some(text) => match check(name, text) {
                    Ok(()) => pairs.push((name.to_owned(), text.to_owned())),
                    Err(why) => self.mistakes.add(key.span().start, format!("in {}, `{name}` {why}", self.title)),
                },
                None => {
                    self.mistakes.add(value.span().start, format!("`{name}` {}", must_be("a string", value.get_ref())))
                }
            }
        }
        pairs
    }

    /// Notes the keys that nobody asked for. To be called when all have been asked for.
    pub fn finish(self) {
        for (key, _) in self.table.into_iter().flatten() {
            let name: &str = key.get_ref();
            if !self.asked.contains(&name) {
                let valid = self.asked.join(", ");
                self.mistakes.add(key.span().start, format!("unknown key `{name}`; {} takes {valid}", self.title));
            }
        }
    }

    fn entry(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.asked.push(key);
        self.table?.iter().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value)
    }

    fn convert<T>(
        &mut self,
        key: &'static str,
        convert: impl FnOnce(&DeValue<'a>) -> Result<T, String>,
    ) -> Option<Given<T>> {
        let value = self.entry(key)?;
        match convert(value.get_ref()) {
            Ok(converted) => Some(Given { value: converted, at: value.span().start }),
            Err(what) => {
                self.mistakes.add(value.span().start, format!("`{key}` {}", what_of(&what)));
                None
            }
        }
    }
}

/// "must be …" stands as it is behind the key; a sentence that begins with the value gets a colon's worth of room.
fn what_of(what: &str) -> String {
    if what.starts_with('"') { format!("= {what}") } else { what.to_owned() }
}

fn must_be(what: &str, value: &DeValue<'_>) -> String {
    format!("must be {what}, not {}", article(value.type_str()))
}

fn article(noun: &str) -> String {
    let an = noun.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {noun}", if an { "an" } else { "a" })
}
