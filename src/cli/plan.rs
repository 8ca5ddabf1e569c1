//! `thumb plan`: shows what `apply` (or `destroy`) would do. It has no `Writer`, so it cannot write.

use std::path::PathBuf;
use std::process::ExitCode;

use argh::{ArgsInfo, FromArgs};

use super::session::{PlanRequest, Planned, Session};
use super::{Global, plan_file, print};
use crate::error::{Failure, Result};
use crate::stack::change::Action;
use crate::stack::render::{DEFAULT_WIDTH, Form, render};
use crate::stack::resources::instance::Wait;
use crate::stack::{Plan, Selection, Target, instance_targets, targets};
use crate::text::{plural, printable_json};

/// Show what apply would change. Read-only.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "plan",
    help_triggers("-h", "--help"),
    note = "A part T of the stack is queue, buckets, code, profile, security-group, instance, scaling, trigger, or an address of the plan, such as bucket.code or instance.2."
)]
pub struct Args {
    /// plan only this part and what it needs (repeatable, or with commas)
    #[argh(option, arg_name = "T", from_str_fn(targets))]
    target: Vec<Vec<Target>>,
    /// leave out this part and what needs it (repeatable, or with commas)
    #[argh(option, arg_name = "T", from_str_fn(targets))]
    exclude: Vec<Vec<Target>>,
    /// show what destroy would delete
    #[argh(switch)]
    destroy: bool,
    /// take over what exists of this part and belongs to no stack (repeatable); the plan shows what would change
    #[argh(option, arg_name = "T", from_str_fn(targets))]
    adopt: Vec<Vec<Target>>,
    /// replace this instance even if nothing has changed: instance.N, or instance for all (repeatable)
    #[argh(option, arg_name = "T", from_str_fn(instance_targets))]
    replace: Vec<Vec<Target>>,
    /// deploy this build of thumb, even if another build of the same commit is deployed
    #[argh(switch)]
    upgrade: bool,
    /// write the plan to a file, for `thumb apply FILE`
    #[argh(option, short = 'o', arg_name = "FILE")]
    out: Option<PathBuf>,
    /// show every attribute
    #[argh(switch)]
    details: bool,
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
    let Args { target, exclude, adopt, replace, upgrade, destroy, out, details, json, detailed_exitcode } = args;
    let only_apply = [("--replace", !replace.is_empty()), ("--adopt", !adopt.is_empty()), ("--upgrade", upgrade)];
    if let (true, Some((option, _))) = (destroy, only_apply.into_iter().find(|(_, given)| *given)) {
        return Err(Failure::usage(format!("{option} cannot be used with --destroy")));
    }
    if destroy && out.is_some() {
        return Err(Failure::usage("--out cannot be used with --destroy")
            .hint("what a destroy deletes changes while workers run: `thumb destroy` counts it again, and asks"));
    }
    let selection = Selection { targets: target.concat(), excluded: exclude.concat() };
    let shown = Shown { json, details };
    let session = Session::open(global).await?;
    let (plan, command) = if destroy {
        // As in `destroy`, a foreign resource is not part of the stack, and no error.
        let (plan, _, right_region) = session.plan_destroy(&selection).await?;
        print_plan(&plan, shown)?;
        right_region?;
        let request = PlanRequest { selection, ..PlanRequest::default() };
        (plan, format!("thumb destroy{}", request.words()))
    } else {
        let request = PlanRequest {
            selection,
            adopt: adopt.concat(),
            replace: replace.concat(),
            upgrade,
            wait: Wait::ForReplacements,
        };
        let Planned { plan, .. } = session.plan_apply(&request).await?;
        print_plan(&plan, shown)?;
        refuse_blocked(&plan)?;
        if let Some(path) = &out {
            plan_file::save(path, &request, &plan)?;
        }
        let command = match &out {
            Some(path) => format!("thumb apply {}", path.display()),
            None => format!("thumb apply{}", request.words()),
        };
        (plan, command)
    };
    if !json {
        print(&next(&plan, &command, details))?;
    }
    Ok(if detailed_exitcode && plan.has_work() { ExitCode::from(2) } else { ExitCode::SUCCESS })
}

/// What to do next: nothing, where nothing would change.
fn next(plan: &Plan, command: &str, details: bool) -> String {
    if !plan.has_work() {
        return String::new();
    }
    let every = if details { "" } else { "; --details shows every attribute" };
    format!("Run `{command}` to make these changes{every}.\n")
}

/// How a plan is shown.
#[derive(Clone, Copy)]
pub struct Shown {
    pub json: bool,
    pub details: bool,
}

/// Prints a plan on stdout, as text or as JSON.
pub fn print_plan(plan: &Plan, shown: Shown) -> Result<()> {
    let text = if shown.json {
        let json = serde_json::to_string(plan)
            .map_err(|error| Failure::bug("cannot write the plan as JSON").caused_by(&error))?;
        format!("{}\n", printable_json(&json))
    } else {
        let width = terminal_size::terminal_size().map_or(DEFAULT_WIDTH, |(width, _)| width.0.into());
        render(plan, if shown.details { Form::Long } else { Form::Short }, width)
    };
    print(&text)
}

/// Fails if a resource is blocked: owned by someone else, or impossible as declared.
pub fn refuse_blocked(plan: &Plan) -> Result<()> {
    let blocked: Vec<String> =
        plan.changes.iter().filter(|change| change.action == Action::Blocked).map(|c| c.address.to_string()).collect();
    if blocked.is_empty() {
        return Ok(());
    }
    let count = blocked.len() as u64;
    let are = if count == 1 { "is" } else { "are" };
    Err(Failure::new(format!(
        "{count} {} {are} blocked ({}); nothing was applied",
        plural(count, "resource"),
        blocked.join(", ")
    )))
}
