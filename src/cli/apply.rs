//! `thumb apply`: brings the account to what thumb.toml declares, and prints the outputs.

use argh::{ArgsInfo, FromArgs};

use super::outputs::Outputs;
use super::reconcile::{
    Planned, Session, address, ask, conclude, instance, print_plan, refuse_blocked, run as run_plan,
};
use super::{Global, print};
use crate::error::{Failure, Result};
use crate::stack::address::Address;
use crate::stack::resources::instance::{InstanceRequest, Wait};
use crate::stack::{Target, targets};
use crate::text::printable_json;

/// Create and update what thumb.toml declares, after showing the plan and asking.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "apply", help_triggers("-h", "--help"))]
pub struct Args {
    /// apply only this part and what it needs: queue, buckets, code, profile, security-group, instance, scaling, trigger, or an
    /// address of the plan (repeatable, or with commas)
    #[argh(option, arg_name = "T", from_str_fn(targets))]
    target: Vec<Vec<Target>>,
    /// adopt an existing resource that no stack owns, after showing what would change (repeatable)
    #[argh(option, arg_name = "ADDRESS", from_str_fn(address))]
    adopt: Vec<Address>,
    /// replace this instance even if nothing has changed, with the newest image: instance.N (repeatable)
    #[argh(option, arg_name = "ADDRESS", from_str_fn(instance))]
    replace: Vec<u32>,
    /// wait until the worker of every instance has reported, not only those of replacements
    #[argh(switch)]
    wait: bool,
    /// do not wait for workers; a replaced instance is terminated as soon as its replacement runs
    #[argh(switch)]
    no_wait: bool,
    /// do not ask for confirmation
    #[argh(switch, short = 'y')]
    yes: bool,
    /// JSON Lines output: the plan, events, then outputs (requires --yes)
    #[argh(switch)]
    json: bool,
}

pub async fn run(args: Args, global: &Global) -> Result<()> {
    let Args { target, adopt, replace, wait, no_wait, yes, json } = args;
    if json && !yes {
        return Err(Failure::usage("--json requires --yes"));
    }
    let wait = match (wait, no_wait) {
        (true, true) => return Err(Failure::usage("--wait and --no-wait exclude each other")),
        (true, false) => Wait::ForAll,
        (false, true) => Wait::Never,
        (false, false) => Wait::ForReplacements,
    };
    let session = Session::open(global).await?;
    let asked = InstanceRequest { replace: replace.into_iter().collect(), wait };
    let Planned { plan, observed } = session.plan_apply(&target.concat(), &adopt, asked).await?;
    print_plan(&plan, json)?;
    refuse_blocked(&plan)?;
    let mut report = None;
    if plan.has_steps() {
        if !yes && !plan.is_empty() {
            ask("Do you want to perform these actions?", "yes", "apply")?;
        }
        let done = run_plan(&plan, &session.writer(), json).await;
        let sentence = conclude(&done, plan.purpose)?;
        if !json && !plan.is_empty() {
            print(&format!("\nApply complete: {sentence}.\n"))?;
        }
        report = Some(done);
    }
    let outputs = Outputs::new(&session.config, &observed, report.as_ref());
    if json {
        print(&format!("{}\n", printable_json(&outputs.json().to_string())))
    } else {
        print(&format!("\n{}", outputs.text(&session.config)))
    }
}
