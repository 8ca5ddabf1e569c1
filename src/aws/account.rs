//! The AWS account of the credentials (STS, API GetCallerIdentity), in which the whole stack lives.

use super::{CallResult, Clients, Reader, first_call, first_failure};
use crate::error::{Failure, Result};

/// The caller, as STS sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// 12 digits.
    pub account: String,
    /// "aws", "aws-cn", "aws-us-gov".
    pub partition: String,
    /// The user, or the session of a role.
    pub arn: String,
}

/// Asks STS for the caller. Needs no permission.
///
/// # Errors
/// No credentials, invalid credentials, or no network.
pub async fn account(aws: &Reader) -> Result<Identity> {
    let retries = aws_sdk_sts::config::Builder::new().retry_config(first_call());
    let identity = aws.get_caller_identity().customize().config_override(retries).send().await;
    let identity = identity
        .action("sts:GetCallerIdentity")
        .map_err(|error| first_failure(&error, "cannot determine the AWS account", aws.region(), aws.endpoint()))?;
    let arn = identity.arn.unwrap_or_default();
    let partition = arn.split(':').nth(1).unwrap_or("aws").to_owned();
    Ok(Identity { account: identity.account.unwrap_or_default(), partition, arn })
}

/// The account number: declared in thumb.toml, or that of the credentials.
///
/// # Errors
/// As [`account`], where none is declared.
pub async fn account_number(declared: Option<&str>, clients: &Clients) -> Result<String> {
    match declared {
        Some(account) => Ok(account.to_owned()),
        None => Ok(account(&Reader::new(clients)).await?.account),
    }
}

impl Identity {
    /// # Errors
    /// thumb.toml declares a different account.
    pub fn check(&self, declared: Option<&str>) -> Result<()> {
        let Self { account, .. } = self;
        match declared {
            Some(declared) if declared != account => Err(Failure::new(format!(
                "these credentials are for the account {account}, but thumb.toml says account = \"{declared}\""
            ))
            .hint("choose other credentials (AWS_PROFILE), or change `account` in thumb.toml")),
            _ => Ok(()),
        }
    }
}
