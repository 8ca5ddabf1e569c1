//! `thumb completions` and `thumb man`: what shells and `man` know of the command line, from the definitions that argh reads.

use argh::{ArgsInfo, CommandInfoWithArgs, FlagInfo, FlagInfoKind, FromArgs};
use argh_complete::Generator;

use super::print;
use super::words::PROGRAM;
use crate::config::one_of;
use crate::error::{Failure, Result};

/// Print what makes a shell complete thumb's commands and options.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "completions",
    help_triggers("-h", "--help"),
    example = "thumb completions bash > ~/.local/share/bash-completion/completions/thumb",
    example = "thumb completions zsh > ~/.zfunc/_thumb",
    example = "thumb completions fish > ~/.config/fish/completions/thumb.fish"
)]
pub struct Args {
    /// bash, zsh, fish or nushell
    #[argh(positional, arg_name = "SHELL")]
    shell: Shell,
}

/// Print a manual page.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "man", help_triggers("-h", "--help"), example = "thumb man plan | man -l -")]
pub struct ManArgs {
    /// the command; none: that of thumb itself
    #[argh(positional, arg_name = "COMMAND")]
    command: Vec<String>,
}

#[derive(Clone, Copy)]
enum Shell {
    Bash,
    Zsh,
    Fish,
    Nushell,
}

impl std::fmt::Display for Shell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Bash => "bash",
            Self::Zsh => "zsh",
            Self::Fish => "fish",
            Self::Nushell => "nushell",
        })
    }
}

impl std::str::FromStr for Shell {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        one_of(text, [Self::Bash, Self::Zsh, Self::Fish, Self::Nushell])
    }
}

pub fn run(args: &Args, root: &CommandInfoWithArgs) -> Result<()> {
    let script = match args.shell {
        Shell::Bash => argh_complete::bash::Bash::generate(PROGRAM, root),
        Shell::Zsh => argh_complete::zsh::Zsh::generate(PROGRAM, root),
        Shell::Fish => argh_complete::fish::Fish::generate(PROGRAM, root),
        Shell::Nushell => argh_complete::nushell::Nushell::generate(PROGRAM, root),
    };
    print(&script)
}

pub fn man(args: &ManArgs, root: &CommandInfoWithArgs) -> Result<()> {
    let (mut info, mut name) = (root, PROGRAM.to_owned());
    for word in &args.command {
        let deeper = info.commands.iter().find(|deeper| deeper.name == word);
        let deeper = deeper.ok_or_else(|| Failure::usage(format!("there is no command `{name} {word}`")))?;
        (info, name) = (&deeper.command, format!("{name} {word}"));
    }
    print(&page(info, &name))
}

/// A manual page in roff (man-pages(7) and groff_man(7)).
fn page(info: &CommandInfoWithArgs, name: &str) -> String {
    let title = name.replace(' ', "-");
    let mut text = format!(".TH {} 1 \"\" \"thumb {}\"\n", title.to_uppercase(), env!("CARGO_PKG_VERSION"));
    text += &format!(".SH NAME\n{title} \\- {}\n", roff(info.description));
    text += &format!(".SH SYNOPSIS\n.B {name}\n{}\n", roff(&synopsis(info)));
    let flags: Vec<&FlagInfo> = info.flags.iter().filter(|flag| !flag.hidden).collect();
    if !info.positionals.is_empty() {
        text += ".SH ARGUMENTS\n";
        for positional in info.positionals {
            text += &format!(".TP\n.I {}\n{}\n", roff(positional.name), roff(positional.description));
        }
    }
    if !flags.is_empty() {
        text += ".SH OPTIONS\n";
        for flag in flags {
            let short = flag.short.map(|short| format!("\\-{short}, ")).unwrap_or_default();
            let value = match flag.kind {
                FlagInfoKind::Option { arg_name } => format!(" \\fI{}\\fR", roff(arg_name)),
                FlagInfoKind::Switch => String::new(),
            };
            text += &format!(".TP\n\\fB{short}{}\\fR{value}\n{}\n", roff(flag.long), roff(flag.description));
        }
    }
    if !info.commands.is_empty() {
        text += ".SH COMMANDS\n";
        for deeper in &info.commands {
            text += &format!(".TP\n.B {}\n{}\n", roff(deeper.name), roff(deeper.command.description));
        }
    }
    for (heading, paragraphs) in [("NOTES", info.notes), ("EXAMPLES", info.examples)] {
        if !paragraphs.is_empty() {
            text += &format!(".SH {heading}\n");
            text += &paragraphs.iter().map(|one| roff(one)).collect::<Vec<_>>().join("\n.PP\n");
            text.push('\n');
        }
    }
    text
}

fn synopsis(info: &CommandInfoWithArgs) -> String {
    let options = if info.flags.is_empty() { Vec::new() } else { vec!["[OPTIONS]".to_owned()] };
    let command = if info.commands.is_empty() { Vec::new() } else { vec!["COMMAND".to_owned()] };
    let positionals = info.positionals.iter().map(|positional| format!("[{}]", positional.name));
    options.into_iter().chain(command).chain(positionals).collect::<Vec<_>>().join(" ")
}

/// Text without what roff takes for a request or an escape.
fn roff(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let line = line.replace('\\', "\\e").replace('-', "\\-");
        if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line }
    });
    lines.collect::<Vec<_>>().join("\n.br\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;

    #[test]
    fn every_shell_knows_every_command_and_option() {
        let root = cli::Args::get_args_info();
        for script in [
            argh_complete::bash::Bash::generate(PROGRAM, &root),
            argh_complete::zsh::Zsh::generate(PROGRAM, &root),
            argh_complete::fish::Fish::generate(PROGRAM, &root),
            argh_complete::nushell::Nushell::generate(PROGRAM, &root),
        ] {
            for word in ["enqueue", "detailed-exitcode", "no-wait", "purge"] {
                assert!(script.contains(word), "{word}");
            }
        }
    }

    #[test]
    fn a_manual_page_has_the_options_of_its_command() {
        let root = cli::Args::get_args_info();
        let plan = root.commands.iter().find(|command| command.name == "plan").unwrap();
        insta::assert_snapshot!(page(&plan.command, "thumb plan"));
        assert_eq!(roff(".a\\b\n-c"), "\\&.a\\eb\n.br\n\\-c");
        assert!(page(&root, "thumb").contains(".SH COMMANDS\n.TP\n.B init\n"));
    }
}
