//! `thumb destroy`: deletes the stack, after showing what data would be lost.

use argh::{ArgsInfo, FromArgs};

use super::reconcile::{Session, ask, conclude, print_plan, run as run_plan};
use super::{Global, print};
use crate::error::Result;
use crate::stack::{Target, targets};

/// Delete everything that apply created, after counting what would be lost and asking.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "destroy", help_triggers("-h", "--help"))]
pub struct Args {
    /// destroy only this part and what needs it: queue, buckets, code, profile, security-group, instance, scaling, trigger, or an
    /// address of the plan (repeatable, or with commas)
    #[argh(option, arg_name = "T", from_str_fn(targets))]
    target: Vec<Vec<Target>>,
    /// do not ask for confirmation
    #[argh(switch, short = 'y')]
    yes: bool,
}

pub async fn run(args: Args, global: &Global) -> Result<()> {
    let Args { target, yes } = args;
    let session = Session::open(global).await?;
    let (plan, losses, right_region) = session.plan_destroy(&target.concat()).await?;
    print_plan(&plan, false)?;
    right_region?;
    // Foreign resources stay, and do not block the rest.
    if !plan.has_work() {
        return Ok(());
    }
    if !yes {
        match losses.sentence() {
            Some(lost) => {
                let question = format!("This permanently deletes {lost}. Type the stack name to confirm.");
                ask(&question, &session.config.name, "destroy")?;
            }
            None => ask("Destroy these resources?", "yes", "destroy")?,
        }
    }
    let report = run_plan(&plan, &session.writer(), false).await;
    let done = conclude(&report, plan.purpose)?;
    print(&format!("\nDestroy complete: {done}.\n"))
}
