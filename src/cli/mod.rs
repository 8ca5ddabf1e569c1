//! The command line. Each command has its own file; a command's `run`
//! gets its own arguments and the [`Global`] ones, prints results on stdout and messages on stderr, and returns a
//! [`Failure`] for `main` to print.

#![allow(rustdoc::broken_intra_doc_links, reason = "argh prints these comments as help: `[buckets]` is no link there")]

mod apply;
mod ask;
mod backfill;
mod completions;
mod data_loss;
mod destroy;
mod dlq;
mod doctor;
mod enqueue;
mod gallery;
mod init;
mod interrupts;
mod logs;
mod outputs;
mod plan;
mod plan_file;
mod policy;
mod progress;
mod render;
mod session;
mod status;
mod waking;
mod words;
mod work;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use argh::{ArgsInfo, FromArgs};

use crate::config::Config;
use crate::error::{Exit, Failure, Result};
use crate::stack::resources::binary::elf;
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
#[derive(FromArgs, ArgsInfo)]
#[argh(
    help_triggers("-h", "--help"),
    note = "Every command has its own help: thumb COMMAND --help.",
    example = "Begin, create the stack, ask for thumbnails, see how far they are:\n$ thumb init\n$ thumb apply\n$ thumb enqueue s3://my-photos/2026/ --size 400x400\n$ thumb status",
    error_code(0, "done"),
    error_code(1, "failed"),
    error_code(2, "wrong usage"),
    error_code(130, "ended by Ctrl-C"),
    error_code(141, "the reader of stdout has closed it")
)]
struct Args {
    /// the configuration file (default: thumb.toml in the current directory)
    #[argh(option, short = 'c', arg_name = "FILE", default = "PathBuf::from(\"thumb.toml\")")]
    config: PathBuf,
    /// print the version
    #[argh(switch, short = 'V')]
    version: bool,
    #[argh(subcommand)]
    command: Option<Command>,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum Command {
    Init(init::Args),
    Plan(plan::Args),
    Apply(apply::Args),
    Destroy(destroy::Args),
    Enqueue(enqueue::Args),
    Backfill(backfill::Args),
    Work(work::Args),
    Render(render::Args),
    Gallery(gallery::Args),
    Policy(policy::Args),
    Status(status::Args),
    Dlq(dlq::Args),
    Logs(logs::Args),
    Doctor(doctor::Args),
    Completions(completions::Args),
    Man(completions::ManArgs),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let root = Args::get_args_info();
    let words = match words::read(std::env::args_os(), &root) {
        Ok(words) => words,
        Err(failure) => {
            let detailed = std::env::args_os().any(|arg| arg == plan::DETAILED_EXITCODE);
            return report(&detailed_or_not(failure, detailed));
        }
    };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let args = match Args::from_args(&[words::PROGRAM], &words) {
        Ok(args) => args,
        Err(early) => return leave(&early, &words, &root),
    };
    if args.version {
        return print_line(&version());
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
            Command::Init(args) => init::run(args, &global).await.map(|()| ExitCode::SUCCESS),
            Command::Plan(args) => plan::run(args, &global).await,
            Command::Apply(args) => apply::run(args, &global).await.map(|()| ExitCode::SUCCESS),
            Command::Destroy(args) => destroy::run(args, &global).await.map(|()| ExitCode::SUCCESS),
            Command::Enqueue(args) => enqueue::run(args, &global).await.map(|()| ExitCode::SUCCESS),
            Command::Backfill(args) => backfill::run(args, &global).await.map(|()| ExitCode::SUCCESS),
            Command::Work(args) => work::run(args, &global).await.map(|()| ExitCode::SUCCESS),
            Command::Gallery(args) => gallery::run(args, &global).await.map(|()| ExitCode::SUCCESS),
            Command::Render(args) => render::run(args, &global).await.map(|()| ExitCode::SUCCESS),
            Command::Completions(args) => completions::run(&args, &root).map(|()| ExitCode::SUCCESS),
            Command::Man(args) => completions::man(&args, &root).map(|()| ExitCode::SUCCESS),
            Command::Doctor(args) => doctor::run(args, &global).await.map(|()| ExitCode::SUCCESS),
            Command::Status(args) => status::run(args, &global).await,
            Command::Dlq(args) => dlq::run(args, &global).await.map(|()| ExitCode::SUCCESS),
            Command::Logs(args) => logs::run(args, &global).await,
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

/// argh exits early for help (stdout, success) and for wrong usage (stderr, exit code 2).
fn leave(early: &argh::EarlyExit, words: &[&str], root: &argh::CommandInfoWithArgs) -> ExitCode {
    if early.status.is_ok() {
        return print_line(&words::readable(early.output.trim_end()));
    }
    let path = words::path(words.iter().copied(), root);
    let failure = Failure::usage(words::complaint(&early.output)).hint(format!("`{path} --help` explains the usage"));
    report(&detailed_or_not(failure, words.contains(&plan::DETAILED_EXITCODE)))
}

/// With `--detailed-exitcode`, exit code 2 means "there are changes".
fn detailed_or_not(failure: Failure, detailed: bool) -> Failure {
    if detailed { failure.without_usage() } else { failure }
}

/// "thumb 0.1.0 (f63336912abc, x86_64-unknown-linux-gnu, engine 7, glibc 2.34 or newer)": the C library as this executable
/// needs it, where that can be read.
fn version() -> String {
    let version = crate::version::version();
    let own = std::env::current_exe().and_then(std::fs::read);
    let glibc = own.ok().and_then(|own| elf::inspect(&own).ok()?.glibc);
    match (glibc, version.strip_suffix(')')) {
        (Some(glibc), Some(version)) => format!("thumb {version}, glibc {glibc} or newer)"),
        _ => format!("thumb {version}"),
    }
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
