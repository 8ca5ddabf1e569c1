//! The outputs of an apply: where requests and thumbnails go, and how to log in. They are derived from what was observed
//! before and created since, not read again: AWS may not list a new resource for some seconds.

use serde_json::json;

use crate::config::{Access, Config, Sources};
use crate::stack::address::Address;
use crate::stack::{Observed, Outcome, Report};

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
    pub fn text(&self, config: &Config, region: &str) -> String {
        let Self { queue_url, dlq_url, thumbnails, code, instances } = self;
        let mut rows: Vec<(String, String)> = Vec::new();
        let public = thumbnails.as_ref().filter(|_| config.buckets.access != Access::Private);
        for (label, value) in [
            ("queue", queue_url.clone()),
            ("dlq", dlq_url.clone()),
            ("thumbnails", thumbnails.as_ref().map(|bucket| format!("s3://{bucket}"))),
            ("", public.map(|bucket| public_url(bucket, region))),
            ("code", code.as_ref().map(|bucket| format!("s3://{bucket}"))),
        ] {
            rows.extend(value.map(|value| (label.to_owned(), value)));
        }
        for instance in instances {
            let ip = instance.public_ip.as_deref().unwrap_or("no public IP");
            let state = match instance.boots {
                true => "booting, about 2 minutes",
                false => &instance.state,
            };
            rows.push((format!("instance.{}", instance.index), format!("{}  {ip}  {state}", instance.id)));
            rows.extend(ssh(config, instance).map(|ssh| (String::new(), ssh)));
        }
        let width = rows.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
        let rows = rows.iter().map(|(label, value)| format!("  {label:width$}  {value}\n"));
        rows.chain(self.next(config)).collect()
    }

    /// What to do next.
    fn next(&self, config: &Config) -> Option<String> {
        self.queue_url.as_ref()?;
        let mut rows: Vec<(String, &str)> = Vec::new();
        if let Some(trigger) = config.triggers.first() {
            let upload = format!("aws s3 cp photo.jpg s3://{}/{}", trigger.bucket, trigger.prefix);
            rows.push((upload, "its thumbnails appear by themselves"));
        }
        let bucket = match &config.buckets.sources {
            Sources::Buckets(sources) => sources.first().map_or("BUCKET", String::as_str),
            Sources::Any => "BUCKET",
        };
        let size = if config.thumbnail.sizes.is_empty() { " --size 400x400" } else { "" };
        rows.push((format!("thumb enqueue s3://{bucket}/PREFIX/{size}"), "ask for thumbnails"));
        rows.push(("thumb status".to_owned(), "queue and workers"));
        if config.logs.is_some() {
            rows.push(("thumb logs --follow".to_owned(), "what the workers say"));
        }
        let width = rows.iter().map(|(command, _)| command.len()).max().unwrap_or(0);
        let rows = rows.iter().map(|(command, what)| format!("  {command:width$}  {what}\n"));
        Some(format!("\nNext:\n{}", rows.collect::<String>()))
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

/// Where everyone finds a thumbnail (S3 user guide, "Virtual hosting of buckets").
fn public_url(bucket: &str, region: &str) -> String {
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    match bucket.contains('.') {
        // The certificate covers no further dots.
        true => format!("https://s3.{region}.{domain}/{bucket}/"),
        false => format!("https://{bucket}.s3.{region}.{domain}/"),
    }
}

/// The SSH command; none without a key pair or an address.
fn ssh(config: &Config, instance: &Instance) -> Option<String> {
    let (key_pair, ip) = (instance.key_pair.as_ref()?, instance.public_ip.as_ref()?);
    let user = config.instance.image.ssh_user().unwrap_or("USER");
    let open = if config.security_group.ssh_from.is_empty() { "  (port 22 is closed: set ssh_from)" } else { "" };
    Some(format!("ssh -i {key_pair}.pem {user}@{ip}{open}"))
}
