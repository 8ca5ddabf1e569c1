//! The command line. Each command has its own file; a command's `run`
//! gets its own arguments and the [`Global`] ones, prints results on stdout and messages on stderr, and returns a
//! [`Failure`] for `main` to print.

#![allow(rustdoc::broken_intra_doc_links, reason = "argh prints these comments as help: `[buckets]` is no link there")]

mod apply;
mod destroy;
mod dlq;
mod enqueue;
mod interrupts;
mod outputs;
mod plan;
mod policy;
mod reconcile;
mod render;
mod work;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use argh::FromArgs;

use crate::config::Config;
use crate::error::{Exit, Failure, Result};
use crate::text::printable_lines;

/// Options of every command.
pub struct Global {
    pub config: PathBuf,
}

impl Global {
    /// Reads thumb.toml, or the file that `--config` names.
    pub fn load_config(&self) -> Result<Config> {
        Config::load(&self.config)
    }
}

/// Thumbnails in your own AWS account: a queue, two buckets and a few instances, declared in thumb.toml.
#[derive(FromArgs)]
#[argh(
    help_triggers("-h", "--help"),
    note = "Every command has its own help: thumb COMMAND --help.",
    example = "Show the plan, apply it, send requests:\n$ thumb plan\n$ thumb apply\n$ thumb enqueue --bucket my-photos --prefix 2026/ --size 400x400",
    error_code(0, "done"),
    error_code(1, "failed"),
    error_code(2, "wrong usage")
)]
struct Args {
    /// the configuration file (default: thumb.toml in the current directory)
    #[argh(option, arg_name = "FILE", default = "PathBuf::from(\"thumb.toml\")")]
    config: PathBuf,
    /// print the version
    #[argh(switch, short = 'V')]
    version: bool,
    #[argh(subcommand)]
    command: Option<Command>,
}

#[derive(FromArgs)]
#[argh(subcommand)]
enum Command {
    Plan(plan::Args),
    Apply(apply::Args),
    Destroy(destroy::Args),
    Enqueue(enqueue::Args),
    Work(work::Args),
    Render(render::Args),
    Policy(policy::Args),
    Dlq(dlq::Args),
}

/// The names of the commands, each of which a link may have: `thumb-work` is `thumb work`.
const COMMANDS: [&str; 8] = ["plan", "apply", "destroy", "enqueue", "work", "render", "policy", "dlq"];

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let (program, args) = match split(std::env::args_os()) {
        Ok(words) => words,
        Err(failure) => return report(&failure),
    };
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let args = match Args::from_args(&[&program], &words) {
        Ok(args) => args,
        Err(early) => return leave(&early, &program, &words),
    };
    if args.version {
        return print_line(concat!("thumb ", env!("CARGO_PKG_VERSION")));
    }
    let Some(command) = args.command else {
        return report(&Failure::usage("missing command").hint("`thumb --help` lists the commands"));
    };
    let global = Global { config: args.config };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(&Failure::new("cannot start").caused_by(&error)),
    };
    let result = runtime.block_on(async {
        match command {
            Command::Plan(args) => plan::run(args, &global).await,
            Command::Apply(args) => apply::run(args, &global).await.map(|()| ExitCode::SUCCESS),
            Command::Destroy(args) => destroy::run(args, &global).await.map(|()| ExitCode::SUCCESS),
            Command::Enqueue(args) => enqueue::run(args, &global).await.map(|()| ExitCode::SUCCESS),
            Command::Work(args) => work::run(args, &global).await.map(|()| ExitCode::SUCCESS),
            Command::Render(args) => render::run(args, &global).await.map(|()| ExitCode::SUCCESS),
            Command::Dlq(args) => dlq::run(args, &global).await.map(|()| ExitCode::SUCCESS),
            Command::Policy(args) => policy::run(args, &global).await.map(|()| ExitCode::SUCCESS),
        }
    });
    // A blocking read of stdin or a slow DNS lookup must not delay the exit.
    runtime.shutdown_background();
    match result {
        Ok(code) => code,
        Err(failure) => report(&failure),
    }
}

/// The program name and its arguments, as argh needs them: valid UTF-8, `--key=value` split in two, and the command first
/// if the program was called through a link that names it.
fn split(mut args: impl Iterator<Item = OsString>) -> Result<(String, Vec<String>)> {
    let called = args.next().unwrap_or_default();
    let called = std::path::Path::new(&called).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut words = Vec::new();
    if let Some(command) = called.strip_prefix("thumb-").filter(|name| COMMANDS.contains(name)) {
        words.push(command.to_owned());
    }
    let mut options_end = false;
    for arg in args {
        let word = arg
            .into_string()
            .map_err(|arg| Failure::usage(format!("the argument {:?} is not valid UTF-8", arg.to_string_lossy())))?;
        options_end |= word == "--";
        // "-" for stdin, as everywhere; argh takes it for an option without a name.
        let word = if word == "-" && !options_end { "--stdin".to_owned() } else { word };
        match word.split_once('=') {
            Some((option, value)) if !options_end && option.starts_with("--") => {
                words.extend([option.to_owned(), value.to_owned()]);
            }
            _ => words.push(word),
        }
    }
    Ok(("thumb".to_owned(), words))
}

/// argh exits early for help (stdout, success) and for wrong usage (stderr, exit code 2).
fn leave(early: &argh::EarlyExit, program: &str, words: &[&str]) -> ExitCode {
    if early.status.is_ok() {
        return print_line(early.output.trim_end());
    }
    let failure = Failure::usage(early.output.trim_end()).hint(format!("`{program} --help` explains the usage"));
    // With this switch, exit code 2 means "there are changes".
    report(&if words.contains(&plan::DETAILED_EXITCODE) { failure.without_usage() } else { failure })
}

fn print_line(text: &str) -> ExitCode {
    match print(&format!("{text}\n")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(&failure),
    }
}

/// Writes to stdout.
///
/// # Errors
/// It cannot be written to; see [`Failure::stdout`].
fn print(text: &str) -> Result<()> {
    let mut stdout = anstream::stdout();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| Failure::stdout(&error))
}

/// Prints a message on stderr.
fn tell(text: &str) {
    // If stderr is closed, there is no way to report anything.
    let _ = writeln!(anstream::stderr(), "{}", printable_lines(text));
}

fn report(failure: &Failure) -> ExitCode {
    print_failure(failure);
    failure.exit_code()
}

fn print_failure(failure: &Failure) {
    if failure.exit() == Exit::BrokenPipe {
        return;
    }
    let red = anstyle::AnsiColor::Red.on_default().bold();
    // If stderr is closed, there is no way to report anything.
    let _ = writeln!(anstream::stderr(), "{red}error:{red:#} {}", printable_lines(&failure.to_string()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &[&str]) -> Vec<String> {
        split(line.iter().map(OsString::from)).unwrap().1
    }

    #[test]
    fn an_option_and_its_value_may_be_joined() {
        assert_eq!(words(&["thumb", "--config=a=b.toml", "plan"]), ["--config", "a=b.toml", "plan"]);
        assert_eq!(words(&["thumb", "enqueue", "x=y.jpg", "--", "--a=b"]), ["enqueue", "x=y.jpg", "--", "--a=b"]);
    }

    #[test]
    fn a_link_names_the_command() {
        assert_eq!(words(&["/usr/bin/thumb-work", "--drain"]), ["work", "--drain"]);
        assert_eq!(words(&["thumb-else", "plan"]), ["plan"]);
    }
}
