//! `thumb plan`: shows what `apply` (or `destroy`) would do. It has no `Writer`, so it cannot write.

use std::process::ExitCode;

use argh::{ArgsInfo, FromArgs};

use super::Global;
use super::reconcile::{Planned, Session, address, instance, print_plan, refuse_blocked};
use crate::error::{Failure, Result};
use crate::stack::address::Address;
use crate::stack::resources::instance::{InstanceRequest, Wait};
use crate::stack::{Target, targets};

/// Show what apply would change. Read-only.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "plan", help_triggers("-h", "--help"))]
pub struct Args {
    /// plan only this part and what it needs: queue, buckets, code, profile, security-group, instance, scaling, trigger, or an
    /// address of the plan (repeatable, or with commas)
    #[argh(option, arg_name = "T", from_str_fn(targets))]
    target: Vec<Vec<Target>>,
    /// show what destroy would delete
    #[argh(switch)]
    destroy: bool,
    /// adopt an existing resource that no stack owns (repeatable); plan shows what would change
    #[argh(option, arg_name = "ADDRESS", from_str_fn(address))]
    adopt: Vec<Address>,
    /// replace this instance even if nothing has changed: instance.N (repeatable)
    #[argh(option, arg_name = "ADDRESS", from_str_fn(instance))]
    replace: Vec<u32>,
    /// print the plan as JSON
    #[argh(switch)]
    json: bool,
    /// exit with 0 if nothing would change, 2 if something would, 1 on any error (wrong usage included)
    #[argh(switch)]
    detailed_exitcode: bool,
}

/// The switch that gives exit code 2 a meaning of its own.
pub const DETAILED_EXITCODE: &str = "--detailed-exitcode";

pub async fn run(args: Args, global: &Global) -> Result<ExitCode> {
    let detailed = args.detailed_exitcode;
    let result = plan(args, global).await;
    if detailed { result.map_err(Failure::without_usage) } else { result }
}

async fn plan(args: Args, global: &Global) -> Result<ExitCode> {
    let Args { target, adopt, replace, destroy, json, detailed_exitcode } = args;
    if destroy && !replace.is_empty() {
        return Err(Failure::usage("--replace cannot be used with --destroy"));
    }
    if destroy && !adopt.is_empty() {
        return Err(Failure::usage("--adopt cannot be used with --destroy"));
    }
    let session = Session::open(global).await?;
    let plan = if destroy {
        // As in `destroy`, a foreign resource is not part of the stack, and no error.
        let (plan, _, right_region) = session.plan_destroy(&target.concat()).await?;
        print_plan(&plan, json)?;
        right_region?;
        plan
    } else {
        let asked = InstanceRequest { replace: replace.into_iter().collect(), wait: Wait::ForReplacements };
        let Planned { plan, .. } = session.plan_apply(&target.concat(), &adopt, asked).await?;
        print_plan(&plan, json)?;
        refuse_blocked(&plan)?;
        plan
    };
    Ok(if detailed_exitcode && plan.has_work() { ExitCode::from(2) } else { ExitCode::SUCCESS })
}
