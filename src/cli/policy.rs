//! `thumb policy`: the IAM policy that a command needs. Reads nothing but the account ID.

use argh::{ArgsInfo, FromArgs};

use super::{Global, print};
use crate::aws::{Clients, Identity, Reader, account};
use crate::config::Config;
use crate::error::{Failure, Result};
use crate::stack::permissions::{self, Command, MAX_POLICY_CHARACTERS};
use crate::stack::resources::policy::AwsLocation;

/// Print the IAM policy that a command needs, for your AWS administrator.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "policy",
    help_triggers("-h", "--help"),
    example = "thumb policy apply > policy.json",
    note = "The policy for apply covers plan. --adopt needs permission to tag the adopted resources as well. With \
            `account` and `region` in thumb.toml no credentials are needed."
)]
pub struct Args {
    /// plan, apply, destroy, enqueue, backfill, work, dlq, gallery, logs, doctor or status; several give one policy for all
    #[argh(positional, arg_name = "COMMAND")]
    commands: Vec<Command>,
}

pub async fn run(args: Args, global: &Global) -> Result<()> {
    if args.commands.is_empty() {
        return Err(Failure::usage("missing command").hint("thumb policy apply"));
    }
    let config = global.load_config()?;
    let policy = permissions::policy(&args.commands, &config, &location(&config).await);
    let characters = policy.to_string().len();
    if characters > MAX_POLICY_CHARACTERS {
        note(&format!(
            "the policy has {characters} characters, but a managed policy may have {MAX_POLICY_CHARACTERS}: print one for \
             each command"
        ));
    }
    let text = serde_json::to_string_pretty(&policy)
        .map_err(|error| Failure::bug("cannot write the policy as JSON").caused_by(&error))?;
    print(&format!("{text}\n"))
}

/// The location of the policy's resources; an unknown part is `*`, with a note.
async fn location(config: &Config) -> AwsLocation {
    let clients = Clients::connect(config.region.as_deref()).await;
    let region = match &clients {
        Ok(clients) => clients.region.clone(),
        Err(failure) => {
            note(&format!("{}: the policy allows every region", failure.what()));
            "*".to_owned()
        }
    };
    let identity = match (&config.account, &clients) {
        (Some(number), _) => Ok(declared(number, &region)),
        (None, Ok(clients)) => account(&Reader::new(clients)).await,
        (None, Err(_)) => Err(Failure::new("`account` is not set in thumb.toml")),
    };
    let Identity { account, partition, arn: _ } = identity.unwrap_or_else(|failure| {
        note(&format!("{}: the policy allows every account (set `account` in thumb.toml)", failure.what()));
        declared("*", &region)
    });
    AwsLocation { partition, account, region }
}

fn note(text: &str) {
    super::tell(&format!("note: {text}"));
}

fn declared(account: &str, region: &str) -> Identity {
    Identity { account: account.to_owned(), partition: partition(region).to_owned(), arn: String::new() }
}

/// A region's partition, as the SDKs' partitions.json tells them apart.
fn partition(region: &str) -> &'static str {
    const PREFIXES: [(&str, &str); 7] = [
        ("cn-", "aws-cn"),
        ("us-gov-", "aws-us-gov"),
        ("us-iso-", "aws-iso"),
        ("us-isob-", "aws-iso-b"),
        ("eu-isoe-", "aws-iso-e"),
        ("us-isof-", "aws-iso-f"),
        ("eusc-", "aws-eusc"),
    ];
    PREFIXES.iter().find(|(prefix, _)| region.starts_with(prefix)).map_or("aws", |(_, partition)| partition)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_in_its_partition() {
        for (region, expected) in [
            ("us-east-1", "aws"),
            ("cn-north-1", "aws-cn"),
            ("us-gov-west-1", "aws-us-gov"),
            ("us-isob-east-1", "aws-iso-b"),
            ("eusc-de-east-1", "aws-eusc"),
            ("*", "aws"),
        ] {
            assert_eq!(partition(region), expected, "{region}");
        }
    }
}
