//! A configuration and a connection to its account, and the plans that they lead to.

use aws_config::meta::region::ProvideRegion;
use aws_config::profile::ProfileFileRegionProvider;

use super::Global;
use super::data_loss::DataLoss;
use crate::aws::{Clients, Reader, Writer};
use crate::config::Config;
use crate::error::{Failure, Result};
use crate::stack::Plan;
use crate::stack::address::Address;
use crate::stack::resources::binary::{self, Binary};
use crate::stack::resources::bucket::{self, Counted, count_objects};
use crate::stack::resources::instance::{InstanceRequest, Wait};
use crate::stack::resources::{Found, is_adopted};
use crate::stack::{
    Contents, Desired, Observed, Selection, Target, misplaced_bucket, observe, plan_apply, plan_destroy, survey,
};

/// A configuration and a connection to its account.
pub struct Session {
    pub config: Config,
    pub clients: Clients,
    pub reader: Reader,
    /// Where the region is set, for the plan's first line.
    region_from: String,
}

/// A plan, and what was observed for it.
pub struct Planned {
    pub plan: Plan,
    pub observed: Observed,
}

/// What a plan to apply is asked for on the command line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PlanRequest {
    pub selection: Selection,
    pub adopt: Vec<Target>,
    /// Instances to replace even if nothing has changed.
    pub replace: Vec<Target>,
    /// Deploys this build also where another build of the same commit is deployed.
    pub upgrade: bool,
    pub wait: Wait,
}

impl PlanRequest {
    /// As it is given on the command line, each word after a space.
    pub fn words(&self) -> String {
        let Self { selection: Selection { targets, excluded }, adopt, replace, upgrade, wait: _ } = self;
        let options = [("--target", targets), ("--exclude", excluded), ("--adopt", adopt), ("--replace", replace)];
        let mut words = String::new();
        for (option, targets) in options.into_iter().filter(|(_, targets)| !targets.is_empty()) {
            let targets: Vec<String> = targets.iter().map(ToString::to_string).collect();
            words.push_str(&format!(" {option} {}", targets.join(",")));
        }
        if *upgrade {
            words.push_str(" --upgrade");
        }
        words
    }
}

impl Session {
    pub async fn open(global: &Global) -> Result<Self> {
        let config = global.load_config()?;
        let clients = Clients::connect(config.region.as_deref()).await?;
        let reader = Reader::new(&clients);
        let region_from = match &config.region {
            Some(_) => global.config.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
            None => region_from().await,
        };
        Ok(Self { config, clients, reader, region_from })
    }

    /// Reads the account and plans an apply.
    pub async fn plan_apply(&self, request: &PlanRequest) -> Result<Planned> {
        let Self { config, reader, .. } = self;
        let PlanRequest { selection, adopt, replace, upgrade, wait } = request;
        let path = config.instance.binary.clone();
        // Reads and hashes tens of megabytes, in parallel with the calls.
        let binary = tokio::task::spawn_blocking(move || {
            let path = path.map_or_else(std::env::current_exe, Ok);
            let path = path.map_err(|error| format!("cannot find the running executable: {error}"))?;
            Binary::load(&path).map_err(|failure| failure.to_string())
        });
        let replace = instances(replace, config.instance.count)?;
        let (read, binary) = tokio::join!(survey(reader, config), binary);
        let (mut observed, launch_options) = read?;
        observed.adopt(adopt)?;
        let binary = binary.map_err(|error| Failure::bug("cannot read the executable").caused_by(&error))?;
        let (binary, kept) = match binary {
            Ok(binary) if !upgrade => binary.or_deployed(&observed.binaries),
            binary => (binary, None),
        };
        let asked = InstanceRequest { replace, wait: *wait };
        let mut desired =
            Desired { asked, ..Desired::new(config, &observed, &launch_options, binary, reader.endpoint()) };
        desired.notes.extend(kept);
        let plan = plan_apply(config, &desired, &observed, selection);
        Ok(Planned { plan: self.placed(plan), observed })
    }

    /// Reads the account and plans a destroy, with a count of the data it would delete. The third value is an error if a
    /// bucket is in another region: then the command uses the wrong region.
    pub async fn plan_destroy(&self, selection: &Selection) -> Result<(Plan, DataLoss, Result<()>)> {
        let Self { config, reader, .. } = self;
        let observed = observe(reader, config).await?;
        let account = &observed.location.account;
        let count = async |found: &Found<bucket::Observed>, name: &str, own: fn(&str) -> bool| match found {
            Found::Ours(_) => count_objects(reader, account, name, own).await.map(Some),
            _ => Ok(None),
        };
        let is_own = |key: &str| binary::is_binary(key) || binary::is_report(key);
        let names = (config.thumbnails_bucket(account), config.code_bucket(account));
        let (thumbnails, code) = tokio::try_join!(
            count(&observed.thumbnails, &names.0, |_| false),
            count(&observed.code, &names.1, is_own),
        )
        .map_err(|error| error.failure("cannot count the objects that would be deleted"))?;
        // A deleted bucket takes its reports with it.
        let stays = observed.code.ours().is_some_and(|bucket| is_adopted(&bucket.tags));
        let reports = code.iter().filter(|_| stays).flat_map(|counted| &counted.own);
        let mut reports: Vec<String> = reports.filter(|key| binary::is_report(key)).cloned().collect();
        reports.dedup();
        let held = |counted: Option<Counted>| counted.map(|counted| (counted.objects, counted.more));
        let contents = Contents { thumbnails: held(thumbnails), code: held(code), reports };
        let plan = plan_destroy(config, &observed, &contents, selection);
        let losses = DataLoss::new(&plan, &observed, &contents);
        let right_region = match misplaced_bucket(config, &observed, &plan) {
            Some((bucket, region)) => Err(Failure::new(format!(
                "nothing was destroyed: the stack's bucket {bucket} is in {region}, but this command uses {}",
                observed.location.region
            ))
            .hint(
                "set the stack's region with `region` in thumb.toml or AWS_REGION; `--target` can leave the buckets out",
            )),
            None => Ok(()),
        };
        Ok((self.placed(plan), losses, right_region))
    }

    fn placed(&self, plan: Plan) -> Plan {
        Plan { region_from: Some(self.region_from.clone()).filter(|from| !from.is_empty()), ..plan }
    }

    pub fn writer(&self) -> Writer {
        Writer { clients: self.clients.clone() }
    }
}

/// The numbers of the instances that these targets cover, of `count`.
fn instances(targets: &[Target], count: u32) -> Result<std::collections::BTreeSet<u32>> {
    let mut numbers = std::collections::BTreeSet::new();
    for target in targets {
        let of_target: Vec<u32> = (1..=count).filter(|index| target.covers(Address::Instance(*index))).collect();
        if of_target.is_empty() {
            let failure = Failure::usage(format!("--replace {target}: there is no such instance"));
            return Err(
                failure.hint(format!("`count` in [instance] is {count}; write instance.1, or instance for all"))
            );
        }
        numbers.extend(of_target);
    }
    Ok(numbers)
}

/// Where the SDK found the region, of the places where it looks (AWS SDKs reference guide, "AWS Region").
async fn region_from() -> String {
    let set = |name: &&str| std::env::var_os(*name).is_some_and(|value| !value.is_empty());
    if let Some(name) = ["AWS_REGION", "AWS_DEFAULT_REGION"].into_iter().find(set) {
        return name.to_owned();
    }
    let profile = ProfileFileRegionProvider::builder().build();
    if profile.region().await.is_some() {
        let name = std::env::var("AWS_PROFILE").ok().filter(|name| !name.is_empty());
        return format!("profile {}", name.as_deref().unwrap_or("default"));
    }
    "instance metadata".to_owned()
}
