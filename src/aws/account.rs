//! Whose credentials these are (STS, API GetCallerIdentity): the account that everything of a stack is in.

use super::{CallError, Clients, Reader, first_call};
use crate::error::{Failure, Result};

/// The caller, as STS sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// 12 digits.
    pub account: String,
    /// "aws", "aws-cn", "aws-us-gov".
    pub partition: String,
    /// The user or the role's session.
    pub arn: String,
}

/// Asks STS whose credentials these are. Needs no right.
///
/// # Errors
/// No credentials, none that AWS knows, or no network.
pub async fn account(aws: &Reader) -> Result<Identity> {
    let retries = aws_sdk_sts::config::Builder::new().retry_config(first_call());
    let identity = aws.get_caller_identity().customize().config_override(retries).send().await;
    let identity = identity.map_err(|e| {
        CallError::new("sts:GetCallerIdentity", e)
            .failure("cannot find out which AWS account these credentials are for")
    })?;
    let arn = identity.arn.unwrap_or_default();
    let partition = arn.split(':').nth(1).unwrap_or("aws").to_owned();
    Ok(Identity { account: identity.account.unwrap_or_default(), partition, arn })
}

/// The account's number: the one that thumb.toml declares, or the one of the credentials.
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
    /// thumb.toml declares another account.
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
