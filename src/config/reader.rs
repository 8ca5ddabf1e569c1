//! Reads a TOML document so that all mistakes in it are found in one run, each with its place. serde stops at the first.
//! Here the caller asks a [`Section`] for its keys one by one; the section records what is wrong with each value, and at
//! the end every key that was not asked for is unknown.
//!
//! Checks return the reason as text, in one of two forms: "must be an instance type such as t3.micro", or the rest of a
//! sentence that begins with the value: "is longer than 63 characters".

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::text::nearest;

/// A mistake: its byte offset in the text, and a sentence.
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

/// A value in the document, and its byte offset.
pub struct Given<T> {
    pub value: T,
    pub at: usize,
}

/// One table of the document, or its top level. A missing table is an empty one.
pub struct Section<'a> {
    /// ` in [queue]`; empty at the top level.
    place: String,
    table: Option<&'a DeTable<'a>>,
    asked: Vec<&'static str>,
    mistakes: &'a Mistakes,
}

impl<'a> Section<'a> {
    pub fn top(table: &'a DeTable<'a>, mistakes: &'a Mistakes) -> Self {
        Self { place: String::new(), table: Some(table), asked: Vec::new(), mistakes }
    }

    pub fn mistakes(&self) -> &'a Mistakes {
        self.mistakes
    }

    pub fn has(&self, key: &str) -> bool {
        self.at(key).is_some()
    }

    /// The offset of a key's value, if the key is given.
    pub fn at(&self, key: &str) -> Option<usize> {
        self.table?.iter().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value.span().start)
    }

    /// The offset of the key itself, if it is given.
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
        Section { place: format!(" in [{key}]"), table, asked: Vec::new(), mistakes: self.mistakes }
    }

    /// The tables of an array, `[[key]]`, at most `max`, each with its offset.
    pub fn sections(&mut self, key: &'static str, max: usize) -> Vec<(usize, Section<'a>)> {
        let Some(value) = self.entry(key) else { return Vec::new() };
        let at = value.span().start;
        let tables = value.get_ref().as_array().map(|array| array.iter().map(|one| (one.span().start, one.get_ref())));
        let Some(tables) = tables.filter(|tables| tables.clone().all(|(_, one)| one.as_table().is_some())) else {
            self.mistakes.add(at, format!("`{key}` is a list of sections: write [[{key}]] for each"));
            return Vec::new();
        };
        if tables.len() > max {
            self.mistakes.add(at, format!("there are {} [[{key}]] sections; at most {max} are allowed", tables.len()));
        }
        let section = |(at, one): (usize, &'a DeValue<'a>)| {
            let place = format!(" in [[{key}]]");
            (at, Section { place, table: one.as_table(), asked: Vec::new(), mistakes: self.mistakes })
        };
        tables.map(section).collect()
    }

    /// A string that `check` accepts.
    pub fn checked(
        &mut self,
        key: &'static str,
        check: impl FnOnce(&str) -> Result<(), String>,
    ) -> Option<Given<String>> {
        self.convert(key, |value| {
            let text = value.as_str().ok_or_else(|| must_be("a string", value))?;
            check(text).map(|()| text.to_owned()).map_err(|why| wrong(text, &why))
        })
    }

    /// A string that parses as a `T`.
    pub fn parsed<T: FromStr<Err: Display>>(&mut self, key: &'static str) -> Option<T> {
        self.word(key, |text| text.parse().map_err(|why: T::Err| why.to_string()))
    }

    /// A string that `read` accepts.
    pub fn word<T>(&mut self, key: &'static str, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        self.convert(key, |value| {
            let text = value.as_str().ok_or_else(|| must_be("a string", value))?;
            read(text).map_err(|why| wrong(text, &why))
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

    /// A number of bytes: a whole number, or a text such as "700M" or "2G".
    pub fn bytes(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        if !self.table.and_then(|table| table.get(key)).is_some_and(|value| value.get_ref().is_str()) {
            return self.integer(key, range);
        }
        self.convert(key, |value| {
            let text = value.as_str().unwrap_or_default();
            byte_size(text).filter(|bytes| range.contains(bytes)).ok_or_else(|| {
                format!(
                    "must be a size between {} and {} bytes, such as \"700M\", not {text:?}",
                    range.start(),
                    range.end()
                )
            })
        })
        .map(|given| given.value)
    }

    /// A duration in whole seconds, written "60s", "5m", "4d".
    pub fn seconds(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        // humantime writes "14days"; thumb.toml's own examples write "14d".
        let words = |seconds: &u64| {
            humantime::format_duration(Duration::from_secs(*seconds))
                .to_string()
                .replace("days", "d")
                .replace("day", "d")
        };
        self.convert(key, |value| {
            const DURATION: &str = "a duration such as \"60s\", \"5m\" or \"4d\"";
            let text = value.as_str().ok_or_else(|| must_be(DURATION, value))?;
            let duration = humantime::parse_duration(text).map_err(|_| wrong(text, &format!("must be {DURATION}")))?;
            if duration.subsec_nanos() != 0 {
                return Err(wrong(text, "must be a whole number of seconds"));
            }
            Some(duration.as_secs())
                .filter(|seconds| range.contains(seconds))
                .ok_or_else(|| format!("must be between {} and {}", words(range.start()), words(range.end())))
        })
        .map(|given| given.value)
    }

    /// An array of strings that `read` accepts. Every bad element is reported.
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
                None => Err(format!("in `{key}`, each element {}", must_be("a string", element.get_ref()))),
            };
            match read {
                Ok(value) => list.push(value),
                Err(what) => self.mistakes.add(element.span().start, what),
            }
        }
        Some(list)
    }

    /// All keys of a section whose values must be strings; `check` gets each key with its value.
    pub fn strings(&self, check: impl Fn(&str, &str) -> Result<(), String>) -> Vec<(String, String)> {
        let mut pairs = Vec::new();
        for (key, value) in self.table.into_iter().flatten() {
            let name = key.get_ref().as_ref();
            match value.get_ref().as_str() {
                Some(text) => match check(name, text) {
                    Ok(()) => pairs.push((name.to_owned(), text.to_owned())),
                    Err(why) => self.mistakes.add(key.span().start, format!("`{name}`{} {why}", self.place)),
                },
                None => {
                    self.mistakes.add(value.span().start, format!("`{name}` {}", must_be("a string", value.get_ref())))
                }
            }
        }
        pairs
    }

    /// Reports the unknown keys: those that were not asked for. To be called last.
    pub fn finish(self) {
        for (key, _) in self.table.into_iter().flatten() {
            let name: &str = key.get_ref();
            if !self.asked.contains(&name) {
                let hint = match nearest(name, self.asked.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("valid keys: {}", self.asked.join(", ")),
                };
                self.mistakes.add(key.span().start, format!("unknown key `{name}`{}; {hint}", self.place));
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
                self.mistakes.add(value.span().start, format!("`{key}` {what}"));
                None
            }
        }
    }
}

/// What follows the key in the sentence about a bad value: `must be t, not "x"; hint`, or `= "x" is too long`.
fn wrong(text: &str, why: &str) -> String {
    let Some(expected) = why.strip_prefix("must be ") else { return format!("= {text:?} {why}") };
    match expected.split_once("; ") {
        Some((expected, hint)) => format!("must be {expected}, not {text:?}; {hint}"),
        None => format!("must be {expected}, not {text:?}"),
    }
}

/// A size such as "700M" or "2G", in powers of 1024, or a number of bytes; as flags and thumb.toml write it.
pub fn byte_size(text: &str) -> Option<u64> {
    let (number, shift) = match text.strip_suffix(['M', 'm']) {
        Some(number) => (number, 20),
        None => text.strip_suffix(['G', 'g']).map_or((text, 0), |number| (number, 30)),
    };
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift))
}

/// The value of a closed set that is written as `text`.
///
/// # Errors
/// There is none: all of them, and the one that was probably meant.
pub fn one_of<T: Display>(text: &str, values: impl IntoIterator<Item = T>) -> Result<T, String> {
    let mut words = Vec::new();
    for value in values {
        let word = value.to_string();
        if word == text {
            return Ok(value);
        }
        words.push(word);
    }
    let hint = nearest(text, words.iter().map(String::as_str));
    let hint = hint.map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
    let last = words.pop().unwrap_or_default();
    Err(format!("must be {} or {last}{hint}", words.join(", ")))
}

fn must_be(what: &str, value: &DeValue<'_>) -> String {
    format!("must be {what}, not {}", article(value.type_str()))
}

fn article(noun: &str) -> String {
    let an = noun.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {noun}", if an { "an" } else { "a" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_a_closed_set_is_read_or_named() {
        assert_eq!(one_of("b", ["a", "b"]), Ok("b"));
        assert_eq!(one_of("crop", ["cover", "contain", "fill"]), Err("must be cover, contain or fill".into()));
        let error = one_of("publics", ["public", "any", "off"]).unwrap_err();
        assert_eq!(error, "must be public, any or off; did you mean \"public\"?");
        assert_eq!(wrong("publics", &error), "must be public, any or off, not \"publics\"; did you mean \"public\"?");
        assert_eq!(wrong("x", "is too short"), "= \"x\" is too short");
    }
}
