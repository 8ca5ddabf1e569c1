//! docs/reference/command-line.md is the help of every command, as the program prints it.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use crate::{read, root, update};

const PAGE: &str = "docs/reference/command-line.md";
/// What stands above it is written by hand.
const MARK: &str = "<!-- From here on the page is the output of `thumb help`: see tests/docs. -->\n";
/// `thumb dlq list`.
const MAX_DEPTH: usize = 2;

#[test]
fn the_reference_is_the_programs_own_help() {
    let page = read(Path::new(PAGE));
    let (by_hand, _) = page.split_once(MARK).unwrap_or_else(|| panic!("{PAGE} has lost the line {MARK}"));
    let mut expected = format!("{by_hand}{MARK}");
    describe(&[], &mut expected);
    if update() {
        std::fs::write(root().join(PAGE), expected).unwrap();
    } else {
        assert!(
            page == expected,
            "{PAGE} differs from `thumb help`: UPDATE_DOCS=1 cargo test --release --test docs writes it"
        );
    }
}

/// Adds the help of a command and of the commands below it.
fn describe(path: &[&str], text: &mut String) {
    let help = help(path);
    let name = ["thumb"].iter().chain(path).copied().collect::<Vec<_>>().join(" ");
    let level = "#".repeat(path.len().max(1) + 1);
    write!(text, "\n{level} {name}\n\n```text\n{}\n```\n", help.trim_end()).unwrap();
    if path.len() < MAX_DEPTH {
        for command in commands(&help) {
            describe(&[path, &[command]].concat(), text);
        }
    }
}

fn help(path: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_thumb")).arg("help").args(path).output().unwrap();
    assert!(output.status.success(), "thumb help {path:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The names in a help's list of commands, which ends with an empty line. What a name is for is indented further.
fn commands(help: &str) -> Vec<&str> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')));
    names.filter_map(|rest| rest.split(' ').next()).collect()
}

#[test]
fn the_commands_of_a_help_are_found() {
    let help = "Usage: x\n\nCommands:\n  list              List them\n                    all.\n  show  One.\n\nNotes:\n  no\n";
    assert_eq!(commands(help), ["list", "show"]);
    assert!(commands("Usage: x\n").is_empty());
}
