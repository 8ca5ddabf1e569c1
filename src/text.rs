//! Text from elsewhere, in front of a person.

use std::borrow::Cow;

/// Whether a terminal does something with a character instead of showing it: controls, escape sequences' beginnings
/// among them, and the controls of writing direction (Unicode Standard Annex 9), which make a text read as another.
pub fn is_command(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text that a terminal only shows: a key may hold escape sequences that would repaint it or begin a line of their
/// own. What it would do is shown as `\u{1b}`.
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, is_command, |c, shown| shown.extend(c.escape_default()))
}

/// [`printable`], with its line breaks left as they are.
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c != '\n' && is_command(c), |c, shown| shown.extend(c.escape_default()))
}

/// JSON's text with the same characters as JSON's own escapes: serde_json leaves those above U+001F as they are. They
/// stand within strings only, where an escape means the same.
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

/// A text that was to be a URL, without the parts that may be secrets: user name, password, query and fragment. Works
/// on what is no URL too, because an error that says so shows it.
pub fn without_secrets(url: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let (shown, cut) = url.split_at(end);
    let start = shown.find("://").map_or(0, |scheme| scheme + 3);
    // A password may hold a slash where somebody forgot to escape it.
    let host = shown[start..].rfind('@').map_or(start, |at| start + at + 1);
    format!("{}{}{}", &shown[..start], &shown[host..], if cut.is_empty() { "" } else { "?…" })
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
        // Words of languages that are written from right to left are as good as any.
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
}
