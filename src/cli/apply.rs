//! `thumb apply`: makes the account what thumb.toml declares, and says what there is then.

use argh::FromArgs;

use super::outputs::Outputs;
use super::reconcile::{
    Planned, Session, address, ask, conclude, instance, print_plan, refuse_blocked, run as run_plan,
};
use super::{Global, print};
use crate::error::{Failure, Result};
use crate::stack::Target;
use crate::stack::address::Address;
use crate::stack::resources::instance::{InstanceRequest, Wait};
use crate::text::printable_json;

/// Create and change what thumb.toml declares, after showing the plan and asking.
#[derive(FromArgs)]
#[argh(subcommand, name = "apply", help_triggers("-h", "--help"))]
pub struct Args {
    /// apply only this part and what it needs: queue, buckets, code, profile, security-group, instance (repeatable)
    #[argh(option, arg_name = "T")]
    target: Vec<Target>,
    /// take over what is there under this address and nobody's, after showing what that changes (repeatable)
    #[argh(option, arg_name = "ADDRESS", from_str_fn(address))]
    adopt: Vec<Address>,
    /// make this instance anew though nothing has changed, with the newest image: instance.N (repeatable)
    #[argh(option, arg_name = "ADDRESS", from_str_fn(instance))]
    replace: Vec<u32>,
    /// wait until every instance's worker has reported that it takes messages, not only where it replaces an older one
    #[argh(switch)]
    wait: bool,
    /// wait for no worker; an instance that is replaced goes as soon as its successor runs
    #[argh(switch)]
    no_wait: bool,
    /// answer every question with yes
    #[argh(switch, short = 'y')]
    yes: bool,
    /// print JSON: the plan, a line an event, and what there is at the end; needs --yes
    #[argh(switch)]
    json: bool,
}

pub async fn run(args: Args, global: &Global) -> Result<()> {
    let Args { target, adopt, replace, wait, no_wait, yes, json } = args;
    if json && !yes {
        return Err(Failure::usage("--json needs --yes: a question would stand between the lines of JSON"));
    }
    let wait = match (wait, no_wait) {
        (true, true) => return Err(Failure::usage("--wait and --no-wait are opposites: leave one of them out")),
        (true, false) => Wait::ForAll,
        (false, true) => Wait::Never,
        (false, false) => Wait::ForReplacements,
    };
    let session = Session::open(global).await?;
    let asked = InstanceRequest { replace: replace.into_iter().collect(), wait };
    let Planned { plan, observed } = session.plan_apply(&target, &adopt, asked).await?;
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
