//! Text: what comes from elsewhere made safe to print, and words for people.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

/// Whether a terminal would act on a character instead of showing it: control characters, which begin escape sequences,
/// and the controls of writing direction (Unicode Standard Annex 9), which can make a text read as another.
pub fn is_command(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text with such characters escaped as `\u{1b}`: an object's key may contain escape sequences and line breaks.
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, is_command, |c, shown| shown.extend(c.escape_default()))
}

/// As [`printable`], but line breaks stay.
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c != '\n' && is_command(c), |c, shown| shown.extend(c.escape_default()))
}

/// JSON with the same characters written as JSON escapes; serde_json escapes only those up to U+001F. They occur only
/// within strings, where an escape means the same.
pub fn printable_json(json: &str) -> Cow<'_, str> {
    // All of them have four hexadecimal digits.
    escaped(json, |c| c != '\n' && is_command(c), |c, shown| shown.push_str(&format!("\\u{:04x}", u32::from(c))))
}

fn escaped(text: &str, which: impl Fn(char) -> bool, escape: impl Fn(char, &mut String)) -> Cow<'_, str> {
    if !text.contains(&which) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if which(c) { escape(c, &mut shown) } else { shown.push(c) }
    }
    Cow::Owned(shown)
}

/// A URL without the parts that may be secrets: user name, password, query and fragment. Accepts any text, because
/// messages about invalid URLs use it too.
pub fn without_secrets(url: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let (shown, cut) = url.split_at(end);
    let start = shown.find("://").map_or(0, |scheme| scheme + 3);
    // A password may contain an unescaped slash.
    let host = shown[start..].rfind('@').map_or(start, |at| start + at + 1);
    format!("{}{}{}", &shown[..start], &shown[host..], if cut.is_empty() { "" } else { "?…" })
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The noun that follows a number: "object", "objects".
pub fn plural(count: u64, noun: &str) -> String {
    if count == 1 { noun.to_owned() } else { format!("{noun}s") }
}

/// Lines of at most `width` characters, broken at spaces where there are any; a longer word stays whole, so that it
/// can be copied.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(last) = lines.last_mut() else { break };
        if last.is_empty() {
            last.push_str(word);
        } else if last.chars().count() + 1 + word.chars().count() <= width {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// A duration in seconds, in the largest unit that divides it, as thumb.toml writes it: "4d", "90s".
pub fn seconds(seconds: u64) -> String {
    let units = [(86_400, 'd'), (3_600, 'h'), (60, 'm')];
    match units.into_iter().find(|(unit, _)| seconds > 0 && seconds.is_multiple_of(*unit)) {
        Some((unit, letter)) => format!("{}{letter}", seconds / unit),
        None => format!("{seconds}s"),
    }
}

/// A number of bytes, in units of 1024, with one decimal below 10: "9.9 KiB".
pub fn bytes(bytes: u64) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let (mut amount, mut unit) = (bytes as f64, 0);
    while amount >= 1024.0 && unit + 1 < units.len() {
        amount /= 1024.0;
        unit += 1;
    }
    let decimals = usize::from(unit > 0 && amount < 9.95);
    format!("{amount:.decimals$} {}", units[unit])
}

/// What stands unchanged in a URL's path (RFC 3986, 3.3); the comma is not among it, because it ends a URL in HTML's `srcset`.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// An object's key or a file's path, percent-encoded for a URL's path.
pub fn url_path(path: &[u8]) -> String {
    percent_encode(path, PATH).to_string()
}

/// How long ago something was, in its largest unit: "41s", "12m", "3h", "5d".
pub fn ago(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// The known word that was probably meant: the only one that begins with `word`, or else the one with the fewest edits,
/// at most one for every three letters.
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    const LENGTHS: RangeInclusive<usize> = 3..=40;
    if !LENGTHS.contains(&word.len()) {
        return None;
    }
    let known: Vec<&str> = known.into_iter().collect();
    let mut longer = known.iter().filter(|known| known.starts_with(word));
    if let (Some(only), None) = (longer.next(), longer.next()) {
        return Some(only);
    }
    let distances = known.into_iter().map(|known| (distance(word, known), known));
    distances.min_by_key(|(edits, _)| *edits).filter(|(edits, _)| *edits <= word.len() / 3).map(|(_, known)| known)
}

/// How many characters must be inserted, deleted, replaced, or exchanged with their neighbour (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before_last = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1];
        for j in 0..b.len() {
            let replaced = last[j] + usize::from(a[i] != b[j]);
            let mut edits = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                let exchanged: usize = before_last[j - 1];
                edits = edits.min(exchanged + 1);
            }
            row.push(edits);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_and_not_done() {
        assert_eq!(printable("caf\u{e9} \"1\""), "caf\u{e9} \"1\"");
        assert_eq!(printable("a\x1b[31m\nb\u{9b}"), "a\\u{1b}[31m\\nb\\u{9b}");
        assert_eq!(printable_lines("a\x1b[31m\r\nb"), "a\\u{1b}[31m\\r\nb");
    }

    #[test]
    fn a_text_cannot_be_turned_round() {
        assert_eq!(printable("owl\u{202e}gpj.exe"), "owl\\u{202e}gpj.exe");
        for c in
            "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}".chars()
        {
            assert!(is_command(c), "{}", c.escape_unicode());
        }
        // Text in right-to-left scripts is printed as it is.
        assert_eq!(printable("ינשוף بومة"), "ינשוף بومة");
    }

    #[test]
    fn json_means_the_same_with_its_escapes() {
        let value = serde_json::json!({ "key": "a\u{9b}31m\u{202e}\u{7f}\x1b" });
        let text = value.to_string();
        let shown = printable_json(&text);
        assert!(!shown.contains(is_command), "{shown:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }

    #[test]
    fn secrets_of_a_url_are_not_shown() {
        for (url, shown) in [
            ("https://example.com/a/x.jpg", "https://example.com/a/x.jpg"),
            ("https://example.com/x.jpg?X-Amz-Signature=SECRET", "https://example.com/x.jpg?…"),
            ("https://example.com/x.jpg#SECRET", "https://example.com/x.jpg?…"),
            ("https://me:SECRET@example.com/x.jpg", "https://example.com/x.jpg"),
            ("https://me:SEC/RET@exa mple/x", "https://exa mple/x"),
            ("me:SECRET@example.com", "example.com"),
            ("https://", "https://"),
            ("", ""),
        ] {
            assert_eq!(without_secrets(url), shown, "{url}");
        }
    }

    #[test]
    fn distances_are_counted_in_characters() {
        for (a, b, edits) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("region", "region", 0),
            ("regoin", "region", 1),
            ("bucket", "buckets", 1),
            ("kitten", "sitting", 3),
            ("wrok", "work", 1),
            ("ab", "ba", 1),
            ("é", "e", 1),
        ] {
            assert_eq!(distance(a, b), edits, "{a} {b}");
        }
    }

    #[test]
    fn a_typo_finds_its_word_and_another_word_finds_none() {
        let keys = ["name", "region", "key_pair", "queue", "quality", "ubuntu-22.04", "ubuntu-24.04"];
        for (word, near) in [
            ("regoin", Some("region")),
            ("key-pair", Some("key_pair")),
            ("queues", Some("queue")),
            ("qual", Some("quality")),
            ("ubuntu", None),
            ("colour", None),
            ("na", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, keys), near, "{word}");
        }
        assert_eq!(nearest(&"name".repeat(1_000), keys), None);
    }

    #[test]
    fn bytes_are_rounded_for_reading() {
        let texts: Vec<String> = [0, 1_023, 1_024, 10_188, 10_240, 1 << 20, 5 << 40].map(bytes).into();
        assert_eq!(texts, ["0 bytes", "1023 bytes", "1.0 KiB", "9.9 KiB", "10 KiB", "1.0 MiB", "5.0 TiB"]);
    }

    #[test]
    fn a_key_becomes_a_path_that_means_the_same() {
        assert_eq!(url_path("a b/é,<\"%#?&'.jpg".as_bytes()), "a%20b/%C3%A9%2C%3C%22%25%23%3F%26%27.jpg");
        assert_eq!(url_path(b"-._~/\xff:"), "-._~/%FF%3A");
    }
}
