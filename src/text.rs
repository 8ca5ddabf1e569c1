//! Text from elsewhere, in front of a person.

use std::borrow::Cow;

/// A text without control characters: a key may hold escape sequences that would repaint a terminal or begin a line of
/// their own. They are shown as `\u{1b}`.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_and_not_done() {
        assert_eq!(printable("caf\u{e9} \"1\""), "caf\u{e9} \"1\"");
        assert_eq!(printable("a\x1b[31m\nb\u{9b}"), "a\\u{1b}[31m\\nb\\u{9b}");
    }
}
