//! `thumb destroy`: takes away everything of the stack, after saying what will be lost.

use argh::FromArgs;

use super::reconcile::{Session, ask, conclude, print_plan, run as run_plan};
use super::{Global, print};
use crate::error::Result;
use crate::stack::Target;

/// Delete everything that apply made, after counting what will be lost and asking.
#[derive(FromArgs)]
#[argh(subcommand, name = "destroy", help_triggers("-h", "--help"))]
pub struct Args {
    /// destroy only this part and what needs it: queue, buckets, code, profile, security-group, instance (repeatable)
    #[argh(option, arg_name = "T")]
    target: Vec<Target>,
    /// answer every question with yes
    #[argh(switch, short = 'y')]
    yes: bool,
}

pub async fn run(args: Args, global: &Global) -> Result<()> {
    let Args { target, yes } = args;
    let session = Session::open(global).await?;
    let (plan, losses, right_region) = session.plan_destroy(&target).await?;
    print_plan(&plan, false)?;
    right_region?;
    // What is not ours stays, and does not keep the rest from going.
    if !plan.has_work() {
        return Ok(());
    }
    if !yes {
        match losses.sentence() {
            Some(lost) => {
                let question = format!("This loses {lost}, for good. Type the stack's name to go on.");
                ask(&question, &session.config.name, "destroy")?;
            }
            None => ask("Do you really want to destroy all of this?", "yes", "destroy")?,
        }
    }
    let report = run_plan(&plan, &session.writer(), false).await;
    let done = conclude(&report, plan.purpose)?;
    print(&format!("\nDestroy complete: {done}.\n"))
}
