//! `thumb apply`: brings the account to what thumb.toml declares, and prints the outputs.

use std::path::PathBuf;

use argh::{ArgsInfo, FromArgs};

use super::ask::ask;
use super::outputs::Outputs;
use super::plan::{Shown, print_plan, refuse_blocked};
use super::plan_file::{self, SavedPlan};
use super::progress::{conclude, run as run_plan, seconds};
use super::session::{PlanRequest, Planned, Session};
use super::{Global, print};
use crate::error::{Failure, Result};
use crate::stack::change::Summary;
use crate::stack::resources::instance::Wait;
use crate::stack::{Plan, Selection, Target, instance_targets, targets};
use crate::text::{plural, printable_json};

/// Create and update what thumb.toml declares, after showing the plan and asking.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "apply",
    help_triggers("-h", "--help"),
    note = "A part T of the stack is queue, buckets, code, profile, security-group, instance, scaling, trigger, or an address of the plan, such as bucket.code or instance.2."
)]
pub struct Args {
    /// apply only this part and what it needs (repeatable, or with commas)
    #[argh(option, arg_name = "T", from_str_fn(targets))]
    target: Vec<Vec<Target>>,
    /// leave out this part and what needs it (repeatable, or with commas)
    #[argh(option, arg_name = "T", from_str_fn(targets))]
    exclude: Vec<Vec<Target>>,
    /// take over what exists of this part and belongs to no stack, after showing what would change (repeatable)
    #[argh(option, arg_name = "T", from_str_fn(targets))]
    adopt: Vec<Vec<Target>>,
    /// replace this instance even if nothing has changed, with the newest image: instance.N, or instance for all
    /// (repeatable)
    #[argh(option, arg_name = "T", from_str_fn(instance_targets))]
    replace: Vec<Vec<Target>>,
    /// deploy this build of thumb, even if another build of the same commit is deployed
    #[argh(switch)]
    upgrade: bool,
    /// wait until the worker of every instance has reported, not only those of replacements
    #[argh(switch)]
    wait: bool,
    /// do not wait for workers; a replaced instance is terminated as soon as its replacement runs
    #[argh(switch)]
    no_wait: bool,
    /// do not ask for confirmation
    #[argh(switch, short = 'y')]
    yes: bool,
    /// show every attribute of the plan
    #[argh(switch)]
    details: bool,
    /// JSON Lines output: the plan, events, then outputs (requires --yes, or FILE)
    #[argh(switch)]
    json: bool,
    /// a plan from `thumb plan --out FILE`: it is applied without asking, or refused if something else would change now
    #[argh(positional, arg_name = "FILE")]
    file: Option<PathBuf>,
}

pub async fn run(args: Args, global: &Global) -> Result<()> {
    let Args { target, exclude, adopt, replace, upgrade, wait, no_wait, yes, details, json, file } = args;
    if json && !yes && file.is_none() {
        return Err(Failure::usage("--json requires --yes"));
    }
    let wait = match (wait, no_wait) {
        (true, true) => return Err(Failure::usage("--wait and --no-wait exclude each other")),
        (true, false) => Wait::ForAll,
        (false, true) => Wait::Never,
        (false, false) => Wait::ForReplacements,
    };
    let given = PlanRequest {
        selection: Selection { targets: target.concat(), excluded: exclude.concat() },
        adopt: adopt.concat(),
        replace: replace.concat(),
        upgrade,
        wait,
    };
    let saved = match &file {
        Some(path) if given != (PlanRequest { wait, ..PlanRequest::default() }) => {
            return Err(Failure::usage(format!("{} already says what to apply", path.display()))
                .hint("give --target, --exclude, --adopt, --replace and --upgrade to `thumb plan --out FILE`"));
        }
        Some(path) => Some((plan_file::load(path, wait)?, path)),
        None => None,
    };
    let request = saved.as_ref().map_or(&given, |(SavedPlan { request, .. }, _)| request);
    let session = Session::open(global).await?;
    let Planned { plan, observed } = session.plan_apply(request).await?;
    print_plan(&plan, Shown { json, details })?;
    refuse_blocked(&plan)?;
    if let Some((saved, path)) = &saved {
        saved.check(&plan, path)?;
    }
    let mut report = None;
    if plan.has_steps() {
        if !yes && saved.is_none() && !plan.is_empty() {
            ask(&question(&plan), "yes", "apply").await?;
        }
        let began = std::time::Instant::now();
        let done = run_plan(&plan, &session.writer(), json).await;
        let sentence = conclude(&done, plan.purpose)?;
        if !json && !plan.is_empty() {
            print(&format!("\nApply complete in {}: {sentence}.\n", seconds(began.elapsed())))?;
        }
        report = Some(done);
    }
    let outputs = Outputs::new(&session.config, &observed, report.as_ref());
    if json {
        print(&format!("{}\n", printable_json(&outputs.json().to_string())))
    } else {
        print(&format!("\n{}", outputs.text(&session.config, session.reader.region())))
    }
}

/// "Create these 9 resources?"
fn question(plan: &Plan) -> String {
    let Summary { create, update, replace, delete, blocked: _ } = plan.summary;
    let counts = [(create, "Create"), (update, "change"), (replace, "replace"), (delete, "destroy")];
    let some: Vec<(u32, &str)> = counts.into_iter().filter(|(count, _)| *count > 0).collect();
    match &some[..] {
        [(1, "Create")] => "Create this resource?".to_owned(),
        [(count, "Create")] => format!("Create these {count} {}?", plural((*count).into(), "resource")),
        _ => "Make these changes?".to_owned(),
    }
}
