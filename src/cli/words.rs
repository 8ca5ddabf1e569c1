//! The words of the command line, before argh reads them. What argh cannot do stands here and nowhere else: the command in
//! the name of a link, global options after the command, `--key=value`, `thumb help plan`, and what was probably meant.

use std::ffi::OsString;
use std::path::Path;

use argh::{CommandInfoWithArgs, FlagInfo, FlagInfoKind};

use crate::error::{Failure, Result};
use crate::text::{nearest, wrap};

/// The program's name, whatever it was called as.
pub const PROGRAM: &str = "thumb";

/// The words as argh needs them: valid UTF-8, global options before the command, each option apart from its value.
///
/// # Errors
/// Exit code 2: no such command or option, or not UTF-8.
pub fn read(mut args: impl Iterator<Item = OsString>, root: &CommandInfoWithArgs) -> Result<Vec<String>> {
    let called = args.next().unwrap_or_default();
    let mut words = Vec::new();
    words.extend(command_of_link(&called, root)?);
    for arg in args {
        words.push(
            arg.into_string().map_err(|arg| {
                Failure::usage(format!("the argument {:?} is not valid UTF-8", arg.to_string_lossy()))
            })?,
        );
    }
    match words.first().map(String::as_str) {
        // As gh and uv do.
        None => return Ok(vec!["--help".to_owned()]),
        Some("help") => {
            words.remove(0);
            words.push("--help".to_owned());
        }
        Some("version") if words.len() == 1 => words[0] = "--version".to_owned(),
        Some(_) => {}
    }
    arrange(words, root)
}

/// `thumb-work` is `thumb work`.
fn command_of_link(called: &OsString, root: &CommandInfoWithArgs) -> Result<Option<String>> {
    let called = Path::new(called).file_name().unwrap_or_default().to_string_lossy();
    let Some(name) = called.strip_prefix(PROGRAM).and_then(|rest| rest.strip_prefix('-')) else { return Ok(None) };
    if commands(root).any(|command| command == name) {
        return Ok(Some(name.to_owned()));
    }
    // `thumb-1.2` or `thumb-x86_64` is a copy of the program, and no command.
    match nearest(name, commands(root)) {
        Some(near) => Err(Failure::usage(format!("called as {called}, but there is no command `{name}`"))
            .hint(format!("did you mean {PROGRAM}-{near}?"))),
        None => Ok(None),
    }
}

/// Walks over the words: global options go to the front, options are checked, and `--key=value` becomes two words.
fn arrange(words: Vec<String>, root: &CommandInfoWithArgs) -> Result<Vec<String>> {
    let (mut global, mut rest) = (Vec::new(), Vec::new());
    let mut command = root;
    let mut path = PROGRAM.to_owned();
    let mut positionals = false;
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        if word == "--" {
            rest.push(word);
            rest.extend(words);
            break;
        }
        if !word.starts_with('-') || word == "-" {
            let deeper = command.commands.iter().find(|deeper| deeper.name == word);
            match deeper.filter(|_| !positionals) {
                Some(deeper) => {
                    command = &deeper.command;
                    path = format!("{path} {word}");
                    rest.push(word);
                }
                None if !command.commands.is_empty() && !positionals => {
                    return Err(unknown_command(&word, command, &path));
                }
                None => {
                    positionals = true;
                    // "-" for stdin, as everywhere; argh takes it for an option without a name.
                    let stdin = word == "-" && flag(command, "--stdin").is_some();
                    rest.push(if stdin { "--stdin".to_owned() } else { word });
                }
            }
            continue;
        }
        let (name, joined) = match word.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
            _ => (word.as_str(), None),
        };
        let (found, target) = match (flag(command, name), flag(root, name)) {
            (Some(found), _) => (found, &mut rest),
            (None, Some(found)) => (found, &mut global),
            // argh answers "--help" of every command, and reads a negative number as a value.
            (None, None) if matches!(name, "--help" | "-h") => {
                rest.push(word);
                continue;
            }
            (None, None) => return Err(unknown_option(name, command, root, &path)),
        };
        target.push(name.to_owned());
        if matches!(found.kind, FlagInfoKind::Option { .. }) {
            target.extend(joined.or_else(|| words.next()));
        } else if joined.is_some() {
            return Err(Failure::usage(format!("{name} takes no value")).hint(help(&path)));
        }
    }
    global.extend(rest);
    Ok(global)
}

fn commands(info: &CommandInfoWithArgs) -> impl Iterator<Item = &str> {
    info.commands.iter().map(|command| command.name)
}

fn flag<'a>(info: &'a CommandInfoWithArgs, name: &str) -> Option<&'a FlagInfo<'static>> {
    let short = |flag: &FlagInfo| flag.short.is_some_and(|short| name.strip_prefix('-') == Some(&short.to_string()));
    info.flags.iter().find(|flag| flag.long == name || short(flag))
}

fn unknown_command(word: &str, command: &CommandInfoWithArgs, path: &str) -> Failure {
    let failure = Failure::usage(format!("unknown command `{path} {word}`"));
    match nearest(word, commands(command)) {
        Some(near) => failure.hint(format!("did you mean `{path} {near}`?")),
        None => failure.hint(format!("commands: {}", commands(command).collect::<Vec<_>>().join(", "))),
    }
}

fn unknown_option(name: &str, command: &CommandInfoWithArgs, root: &CommandInfoWithArgs, path: &str) -> Failure {
    let failure = Failure::usage(format!("`{path}` has no option {name}"));
    let known = command.flags.iter().chain(root.flags).map(|flag| flag.long);
    match nearest(name, known) {
        Some(near) => failure.hint(format!("did you mean {near}?")),
        None => failure.hint(help(path)),
    }
}

fn help(path: &str) -> String {
    format!("`{path} --help` explains the usage")
}

/// The command that words are for: "thumb dlq retry".
pub fn path<'a>(words: impl IntoIterator<Item = &'a str>, root: &CommandInfoWithArgs) -> String {
    let (mut command, mut path) = (root, PROGRAM.to_owned());
    for word in words {
        if let Some(deeper) = command.commands.iter().find(|deeper| deeper.name == word) {
            command = &deeper.command;
            path = format!("{path} {word}");
        }
    }
    path
}

/// Columns of a help text, as argh wraps its lists.
const HELP_WIDTH: usize = 80;

/// A help text of argh's with its long lines wrapped, too: the usage and the notes.
pub fn readable(help: &str) -> String {
    let lines = help.lines().flat_map(|line| {
        if line.chars().count() <= HELP_WIDTH {
            return vec![line.to_owned()];
        }
        let indent = line.len() - line.trim_start().len();
        // What follows the first line stands below its beginning.
        let below = if line.starts_with("Usage: ") { indent + 7 } else { indent };
        // An option and its value stay together.
        let whole = line.trim().replace(" <", "\u{a0}<");
        let lines = wrap(&whole, HELP_WIDTH - below).into_iter().enumerate();
        lines
            .map(|(number, text)| format!("{:width$}{text}", "", width = if number == 0 { indent } else { below }))
            .collect()
    });
    let text = lines.collect::<Vec<_>>().join("\n").replace('\u{a0}', " ");
    text.replace("\nError codes:\n", "\nExit codes:\n")
}

/// What argh says about wrong usage, as this program says such things.
pub fn complaint(text: &str) -> String {
    let text = text.trim_end();
    for (begin, middle) in
        [("Error parsing option '", "' with value '"), ("Error parsing positional argument '", "' with value '")]
    {
        if let Some((name, rest)) = text.strip_prefix(begin).and_then(|rest| rest.split_once(middle))
            && let Some((value, why)) = rest.split_once("': ")
        {
            // Most reasons name the value themselves.
            return match why.contains(value) {
                true => format!("{name}: {why}"),
                false => format!("{name} {value:?}: {why}"),
            };
        }
    }
    if let Some(missing) = text.strip_prefix("Required options not provided:") {
        return format!("missing {}", missing.split_whitespace().collect::<Vec<_>>().join(", "));
    }
    if let Some(missing) = text.strip_prefix("Required positional arguments not provided:") {
        return format!("missing {}", missing.split_whitespace().collect::<Vec<_>>().join(", "));
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use argh::ArgsInfo;

    use super::*;
    use crate::cli::Args;

    fn words(line: &str) -> std::result::Result<Vec<String>, String> {
        read(line.split(' ').map(OsString::from), &Args::get_args_info()).map_err(|failure| failure.to_string())
    }

    #[track_caller]
    fn becomes(line: &str, expected: &str) {
        assert_eq!(words(line).unwrap().join(" "), expected, "{line}");
    }

    #[test]
    fn an_option_and_its_value_may_be_joined() {
        becomes("thumb --config=a=b.toml plan", "--config a=b.toml plan");
        becomes("thumb enqueue x=y.jpg -- --a=b", "enqueue x=y.jpg -- --a=b");
        becomes("thumb enqueue - --size=4x3", "enqueue --stdin --size 4x3");
        assert!(words("thumb plan --json=yes").unwrap_err().contains("--json takes no value"));
    }

    #[test]
    fn global_options_stand_anywhere() {
        becomes("thumb plan --config x.toml --json", "--config x.toml plan --json");
        becomes("thumb plan -c x.toml", "-c x.toml plan");
        becomes("/usr/bin/thumb-work --config x.toml --drain", "--config x.toml work --drain");
        becomes("thumb-plan --version", "--version plan");
        // The value of an option is no option.
        becomes("thumb enqueue --keys --config a", "enqueue --keys --config a");
        becomes("thumb enqueue -- -c", "enqueue -- -c");
    }

    #[test]
    fn a_link_names_the_command() {
        becomes("/usr/bin/thumb-work --drain", "work --drain");
        becomes("thumb-1.0 plan", "plan");
        let error = words("thumb-wrok").unwrap_err();
        assert!(error.contains("called as thumb-wrok, but there is no command `wrok`"), "{error}");
        assert!(error.contains("did you mean thumb-work?"), "{error}");
    }

    #[test]
    fn help_is_a_command_and_what_is_shown_without_one() {
        becomes("thumb", "--help");
        becomes("thumb help", "--help");
        becomes("thumb help dlq retry", "dlq retry --help");
        becomes("thumb plan -h", "plan -h");
        becomes("thumb version", "--version");
    }

    #[test]
    fn what_was_probably_meant_is_named() {
        for (line, what, hint) in [
            ("thumb aply", "unknown command `thumb aply`", "did you mean `thumb apply`?"),
            ("thumb frobnicate", "unknown command `thumb frobnicate`", "commands: init, plan, apply, destroy"),
            ("thumb dlq lst", "unknown command `thumb dlq lst`", "did you mean `thumb dlq list`?"),
            ("thumb plan --taget queue", "`thumb plan` has no option --taget", "did you mean --target?"),
            ("thumb plan --confg x", "`thumb plan` has no option --confg", "did you mean --config?"),
            ("thumb plan -z", "`thumb plan` has no option -z", "`thumb plan --help` explains the usage"),
            ("thumb --verbos plan", "`thumb` has no option --verbos", "`thumb --help`"),
        ] {
            let error = words(line).unwrap_err();
            assert!(error.starts_with(what) && error.contains(hint), "{line}: {error}");
        }
    }

    #[test]
    fn a_help_text_fits_on_a_terminal() {
        let options = ["[--option <V>]"; 8].join(" ");
        let text = readable(&format!(
            "Usage: thumb x {options}\n\nNotes:\n  {}\n\nError codes:\n  0 done",
            "word ".repeat(30)
        ));
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(text.starts_with("Usage: thumb x [--option <V>]") && text.contains("\n       [--option"), "{text}");
        assert!(text.ends_with("\nExit codes:\n  0 done"), "{text}");
    }

    #[test]
    fn arghs_own_complaints_are_said_once() {
        let text = "Error parsing option '--target' with value 'qeue': there is no target \"qeue\"; use one of queue";
        assert_eq!(complaint(text), "--target: there is no target \"qeue\"; use one of queue");
        let text = "Error parsing option '--grace' with value '1q': invalid digit found in string\n";
        assert_eq!(complaint(text), "--grace \"1q\": invalid digit found in string");
        assert_eq!(complaint("Required options not provided:\n    --bucket\n"), "missing --bucket");
        assert_eq!(complaint("Required positional arguments not provided:\n    ID\n"), "missing ID");
    }
}
