//! docs/troubleshooting.md names messages that the program really has.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{read, root};

const PAGE: &str = "docs/troubleshooting.md";
/// A shorter piece of a message proves nothing.
const MIN_CHARS: usize = 8;

#[test]
fn the_messages_are_the_programs() {
    let sources = sources();
    let page = read(Path::new(PAGE));
    let messages: Vec<&str> = page.lines().filter_map(first_cell).flat_map(code_spans).collect();
    assert!(messages.len() > 40, "{PAGE} has {} messages: are the tables as they were?", messages.len());
    let absent = |message: &&&str| pieces(message).iter().any(|piece| !sources.contains(piece.as_str()));
    let absent: Vec<_> = messages.iter().filter(absent).collect();
    assert!(absent.is_empty(), "no such messages in the sources: {absent:#?}");
}

/// The first cell of a table's row.
fn first_cell(line: &str) -> Option<&str> {
    line.strip_prefix("| ")?.split(" | ").next()
}

/// What stands between backticks, one or two.
fn code_spans(cell: &str) -> Vec<&str> {
    let mut spans = Vec::new();
    let mut rest = cell;
    while let Some(begin) = rest.find('`') {
        let ticks = &rest[begin..];
        let fence = &ticks[..ticks.len() - ticks.trim_start_matches('`').len()];
        let inside = &ticks[fence.len()..];
        let Some(end) = inside.find(fence) else { break };
        spans.push(inside[..end].trim());
        rest = &inside[end + fence.len()..];
    }
    spans
}

/// The parts of a message that do not vary: without `…`, numbers and names in quotes.
fn pieces(message: &str) -> Vec<String> {
    let varies = |char: char| char == '…' || char.is_ascii_digit() || matches!(char, '"' | '`');
    let parts = message.split(varies).map(|part| part.trim().to_owned());
    parts.filter(|part| part.chars().count() >= MIN_CHARS).collect()
}

/// Every source file, with the lines of a string literal joined and its backticks taken out, as in the pieces.
fn sources() -> String {
    fn walk(directory: &Path, text: &mut String) {
        let mut entries: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                walk(&path, text);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut text = String::new();
    walk(&root().join("src"), &mut text);
    walk(&root().join("crates/engine/src"), &mut text);
    let mut joined = String::with_capacity(text.len());
    let mut parts = text.split("\\\n");
    joined.push_str(parts.next().unwrap_or_default());
    for part in parts {
        joined.push_str(part.trim_start());
    }
    joined
}
