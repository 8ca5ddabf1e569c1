//! `thumb destroy`: deletes the stack, after showing what data would be lost.

use argh::{ArgsInfo, FromArgs};

use super::ask::ask;
use super::plan::{Shown, print_plan};
use super::progress::{conclude, run as run_plan, seconds};
use super::session::Session;
use super::{Global, print};
use crate::error::{Failure, Result};
use crate::stack::{Selection, Target, targets};
use crate::text::plural;

/// Delete everything that apply created, after counting what would be lost and asking.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "destroy",
    help_triggers("-h", "--help"),
    note = "A part T of the stack is queue, buckets, code, profile, security-group, instance, scaling, trigger, or an address of the plan, such as bucket.code or instance.2."
)]
pub struct Args {
    /// destroy only this part and what needs it (repeatable, or with commas)
    #[argh(option, arg_name = "T", from_str_fn(targets))]
    target: Vec<Vec<Target>>,
    /// leave out this part and what it needs (repeatable, or with commas)
    #[argh(option, arg_name = "T", from_str_fn(targets))]
    exclude: Vec<Vec<Target>>,
    /// show every attribute of the plan
    #[argh(switch)]
    details: bool,
    /// JSON Lines output: the plan, then events (requires --yes)
    #[argh(switch)]
    json: bool,
    /// do not ask for confirmation
    #[argh(switch, short = 'y')]
    yes: bool,
}

pub async fn run(args: Args, global: &Global) -> Result<()> {
    let Args { target, exclude, details, json, yes } = args;
    if json && !yes {
        return Err(Failure::usage("--json requires --yes"));
    }
    let session = Session::open(global).await?;
    let selection = Selection { targets: target.concat(), excluded: exclude.concat() };
    let (plan, losses, right_region) = session.plan_destroy(&selection).await?;
    print_plan(&plan, Shown { json, details })?;
    right_region?;
    // Foreign resources stay, and do not block the rest.
    if !plan.has_work() {
        return Ok(());
    }
    if !yes {
        match losses.sentence() {
            Some(lost) => {
                let question = format!("This permanently deletes {lost}. Type the stack's name to confirm.");
                ask(&question, &session.config.name, "destroy").await?;
            }
            None => {
                let count = plan.summary.delete.into();
                ask(&format!("Destroy {count} {}?", plural(count, "resource")), "yes", "destroy").await?;
            }
        }
    }
    let began = std::time::Instant::now();
    let report = run_plan(&plan, &session.writer(), json).await;
    let done = conclude(&report, plan.purpose)?;
    match json {
        true => Ok(()),
        false => print(&format!("\nDestroy complete in {}: {done}.\n", seconds(began.elapsed()))),
    }
}
