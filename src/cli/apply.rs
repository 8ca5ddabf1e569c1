//! `thumb apply`: makes the account what thumb.toml declares, and says what there is then.

use argh::FromArgs;
use serde_json::json;

use super::reconcile::{Session, address, ask, conclude, print_plan, refuse_blocked, run as run_plan};
use super::{Global, print};
use crate::config::Config;
use crate::failure::{Failure, Result};
use crate::plan::Address;
use crate::reconcile::{Observed, Target, observe};
use crate::resource::instance;
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
    /// answer every question with yes
    #[argh(switch, short = 'y')]
    yes: bool,
    /// print JSON: the plan, a line an event, and what there is at the end; needs --yes
    #[argh(switch)]
    json: bool,
}

pub async fn run(args: Args, global: &Global) -> Result<()> {
    let Args { target, adopt, yes, json } = args;
    if json && !yes {
        return Err(Failure::usage("--json needs --yes: a question would stand between the lines of JSON"));
    }
    let session = Session::open(global).await?;
    let plan = session.plan_apply(&target, &adopt).await?;
    print_plan(&plan, json)?;
    refuse_blocked(&plan)?;
    if !plan.is_empty() {
        if !yes {
            ask("Do you want to perform these actions?", "yes", "apply")?;
        }
        let report = run_plan(&plan, &session.writer(), json).await;
        let done = conclude(report, plan.purpose)?;
        if !json {
            print(&format!("\nApply complete: {done}.\n"))?;
        }
    }
    let observed = observe(&session.reader, &session.config).await?;
    if json {
        let outputs = outputs_json(&session.config, &observed).to_string();
        print(&format!("{}\n", printable_json(&outputs)))
    } else {
        print(&format!("\n{}", outputs_text(&session.config, &observed)))
    }
}

/// What there is, for people: where requests and thumbnails go, and how to log in.
fn outputs_text(config: &Config, observed: &Observed) -> String {
    let account = &observed.site.account;
    let mut rows: Vec<(String, String)> = Vec::new();
    if let Some(queue) = observed.queue.ours() {
        rows.push(("queue".into(), queue.url.clone()));
    }
    if let Some(queue) = observed.dlq.ours() {
        rows.push(("dlq".into(), queue.url.clone()));
    }
    if observed.thumbnails.ours().is_some() {
        rows.push(("thumbnails".into(), format!("s3://{}", config.thumbnails_bucket(account))));
    }
    if observed.code.ours().is_some() {
        rows.push(("code".into(), format!("s3://{}", config.code_bucket(account))));
    }
    for instance in &observed.fleet.alive {
        let ip = instance.public_ip.as_deref().unwrap_or("no public IP");
        rows.push((format!("instance.{}", instance.index), format!("{}  {ip}  {}", instance.id, instance.state)));
        rows.push((String::new(), ssh(config, instance)));
    }
    let width = rows.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
    rows.iter().map(|(label, value)| format!("{label:width$}  {value}\n")).collect()
}

/// The command that logs in, or why none does.
fn ssh(config: &Config, instance: &instance::Observed) -> String {
    let Some(key_pair) = &instance.key_pair else {
        return "no SSH: it was launched without a key pair".into();
    };
    let Some(ip) = &instance.public_ip else {
        return "no SSH: it has no public IP".into();
    };
    let user = config.instance.image.ssh_user().unwrap_or("USER");
    let open = if config.security_group.ssh_from.is_empty() { "  (port 22 is closed: set ssh_from)" } else { "" };
    format!("ssh -i {key_pair}.pem {user}@{ip}   # its log: /var/log/cloud-init-output.log{open}")
}

fn outputs_json(config: &Config, observed: &Observed) -> serde_json::Value {
    let account = &observed.site.account;
    let instances: Vec<_> = observed
        .fleet
        .alive
        .iter()
        .map(|instance| {
            json!({ "index": instance.index, "id": instance.id, "state": instance.state, "public_ip": instance.public_ip })
        })
        .collect();
    json!({
        "event": "outputs",
        "queue_url": observed.queue.ours().map(|queue| &queue.url),
        "dlq_url": observed.dlq.ours().map(|queue| &queue.url),
        "thumbnails_bucket": observed.thumbnails.ours().map(|_| config.thumbnails_bucket(account)),
        "code_bucket": observed.code.ours().map(|_| config.code_bucket(account)),
        "instances": instances,
    })
}
