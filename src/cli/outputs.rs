//! The outputs of an apply: where requests and thumbnails go, and how to log in. They are derived from what was observed
//! before and created since, not read again: AWS may not list a new resource for some seconds.

use serde_json::json;

use crate::config::Config;
use crate::stack::address::Address;
use crate::stack::{Observed, Outcome, Report};
use crate::worker_report;

/// The existing resources of the stack.
#[derive(Debug, PartialEq)]
pub struct Outputs {
    queue_url: Option<String>,
    dlq_url: Option<String>,
    thumbnails: Option<String>,
    code: Option<String>,
    instances: Vec<Instance>,
}

#[derive(Debug, PartialEq)]
struct Instance {
    index: u32,
    id: String,
    state: String,
    public_ip: Option<String>,
    key_pair: Option<String>,
    /// Launched by this apply, and its worker has not reported yet.
    boots: bool,
}

impl Outputs {
    /// `observed`: from before the apply; `report`: of the apply, if anything was done.
    pub fn new(config: &Config, observed: &Observed, report: Option<&Report>) -> Self {
        let account = &observed.location.account;
        let done = |address: Address| {
            let done = |(at, _, outcome): &(Address, _, Outcome)| *at == address && *outcome == Outcome::Done;
            report.is_some_and(|report| report.outcomes.iter().any(done))
        };
        let facts = report.map(|report| report.facts.clone()).unwrap_or_default();
        let url = |address: Address, found: Option<&String>| facts.queue_urls.get(&address).or(found).cloned();
        let is_terminated = |id: &String| facts.terminated.contains(id);
        let mut instances: Vec<Instance> = observed
            .fleet
            .alive
            .iter()
            .filter(|instance| !is_terminated(&instance.id))
            .map(|instance| Instance {
                index: instance.index,
                id: instance.id.clone(),
                state: instance.state.clone(),
                public_ip: instance.public_ip.clone(),
                key_pair: instance.key_pair.clone(),
                boots: false,
            })
            .collect();
        for (index, running) in facts.running.iter().filter(|(_, running)| !is_terminated(&running.id)) {
            let started = instances.iter().position(|instance| instance.id == running.id);
            let started = started.map(|place| instances.swap_remove(place));
            instances.push(Instance {
                index: *index,
                id: running.id.clone(),
                state: "running".into(),
                public_ip: running.public_ip.clone(),
                boots: started.is_none() && !running.reported,
                key_pair: started.map_or_else(|| config.instance.key_pair.clone(), |instance| instance.key_pair),
            });
        }
        instances.sort_by(|a, b| (a.index, &a.id).cmp(&(b.index, &b.id)));
        let bucket = |there: bool, name: String| there.then_some(name);
        Self {
            queue_url: url(Address::Queue, observed.queue.ours().map(|queue| &queue.url)),
            dlq_url: url(Address::Dlq, observed.dlq.ours().map(|queue| &queue.url)),
            thumbnails: bucket(
                observed.thumbnails.ours().is_some() || done(Address::ThumbnailsBucket),
                config.thumbnails_bucket(account),
            ),
            code: bucket(observed.code.ours().is_some() || done(Address::CodeBucket), config.code_bucket(account)),
            instances,
        }
    }

    /// For people.
    pub fn text(&self, config: &Config) -> String {
        let Self { queue_url, dlq_url, thumbnails, code, instances } = self;
        let mut rows: Vec<(String, String)> = Vec::new();
        let s3 = |bucket: &String| format!("s3://{bucket}");
        for (label, value) in [
            ("queue", queue_url.clone()),
            ("dlq", dlq_url.clone()),
            ("thumbnails", thumbnails.as_ref().map(s3)),
            ("code", code.as_ref().map(s3)),
        ] {
            rows.extend(value.map(|value| (label.to_owned(), value)));
        }
        for instance in instances {
            let ip = instance.public_ip.as_deref().unwrap_or("no public IP");
            rows.push((format!("instance.{}", instance.index), format!("{}  {ip}  {}", instance.id, instance.state)));
            rows.push((String::new(), ssh(config, instance)));
        }
        let width = rows.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
        let rows = rows.iter().map(|(label, value)| format!("{label:width$}  {value}\n"));
        rows.chain(self.booting()).collect()
    }

    /// When the new workers will take messages, and how to check.
    fn booting(&self) -> Option<String> {
        let mut booting = self.instances.iter().filter(|instance| instance.boots);
        let first = booting.next()?;
        let (what, its) = if booting.next().is_none() {
            (format!("instance.{} is booting", first.index), "its worker sends")
        } else {
            ("The new instances are booting".to_owned(), "each worker sends")
        };
        let code = self.code.as_deref().unwrap_or("CODE-BUCKET");
        Some(format!(
            "\n{what}. In a minute or two {its} its first report and takes messages:\n  \
             aws s3 cp s3://{code}/{} -\n\
             `thumb apply --wait` waits for the report. If none comes, see the console:\n  \
             aws ec2 get-console-output --latest --output text --instance-id {}\n",
            worker_report::key(&first.id),
            first.id
        ))
    }

    pub fn json(&self) -> serde_json::Value {
        let Self { queue_url, dlq_url, thumbnails, code, instances } = self;
        let instance = |instance: &Instance| {
            let Instance { index, id, state, public_ip, key_pair: _, boots: _ } = instance;
            json!({ "index": index, "id": id, "state": state, "public_ip": public_ip })
        };
        json!({
            "event": "outputs",
            "queue_url": queue_url,
            "dlq_url": dlq_url,
            "thumbnails_bucket": thumbnails,
            "code_bucket": code,
            "instances": instances.iter().map(instance).collect::<Vec<_>>(),
        })
    }
}

/// The SSH command, or why there is none.
fn ssh(config: &Config, instance: &Instance) -> String {
    let Some(key_pair) = &instance.key_pair else {
        return "SSH: not available (no key pair)".into();
    };
    let Some(ip) = &instance.public_ip else {
        return "SSH: not available (no public IP)".into();
    };
    let user = config.instance.image.ssh_user().unwrap_or("USER");
    let open = if config.security_group.ssh_from.is_empty() { "  (port 22 is closed: set ssh_from)" } else { "" };
    format!("ssh -i {key_pair}.pem {user}@{ip}   # its log: /var/log/cloud-init-output.log{open}")
}
