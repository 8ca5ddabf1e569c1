//! The first call of a command: it finds out whether there is a network, a region of that name, and credentials. Its errors say
//! which of these is missing, where a later call's would only say what could not be done.

use aws_config::retry::RetryConfig;

use super::{CallError, FIRST_CALL_ATTEMPTS, INITIAL_BACKOFF, Kind};
use crate::error::Failure;
use crate::text::{nearest, without_secrets};

/// Regions as of 2025, to recognise a misspelt one; an unknown one is used all the same (AWS general reference, "Regional
/// endpoints").
const REGIONS: [&str; 36] = [
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-7",
    "ca-central-1",
    "ca-west-1",
    "cn-north-1",
    "cn-northwest-1",
    "eu-central-1",
    "eu-central-2",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-gov-east-1",
    "us-west-1",
    "us-west-2",
];

/// The retries of a command's first call: few, so that what is missing is said soon.
pub fn first_call() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(FIRST_CALL_ATTEMPTS).with_initial_backoff(INITIAL_BACKOFF)
}

/// A first call's error for the user. `what` names what could not be done, where the connection is not to blame.
pub fn first_failure(error: &CallError, what: &str, region: &str, endpoint: Option<&str>) -> Failure {
    match (error.kind, error.code.as_deref()) {
        (Kind::Credentials, None) => Failure::new("no AWS credentials found")
            .hint("looked in: environment variables, the AWS profile (~/.aws), web identity, ECS and EC2 instance metadata")
            .hint("run `aws configure` or `aws sso login`, or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        (Kind::Credentials, Some("ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired")) => {
            Failure::new("your AWS session has expired").caused_by(error).hint("run `aws sso login`, or get new credentials")
        }
        (Kind::Unavailable, None) => unreachable(error, region, endpoint),
        _ => error.failure(what),
    }
}

fn unreachable(error: &CallError, region: &str, endpoint: Option<&str>) -> Failure {
    if let Some(endpoint) = endpoint {
        let endpoint = without_secrets(endpoint);
        return Failure::new(format!("cannot reach AWS at {endpoint}"))
            .caused_by(error)
            .hint("AWS_ENDPOINT_URL (or endpoint_url of the AWS profile) says so: is the emulator running? Without it real AWS is used");
    }
    let failure = Failure::new(format!("cannot reach AWS in the region {region}")).caused_by(error);
    match nearest(region, REGIONS) {
        _ if REGIONS.contains(&region) => failure.hint("check your network"),
        Some(near) => {
            failure.hint(format!("is there a region {region}? Did you mean {near}? Otherwise check your network"))
        }
        None => failure.hint(format!("is there a region {region}? Otherwise check your network")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(kind: Kind, code: Option<&str>, region: &str, endpoint: Option<&str>) -> String {
        let error =
            CallError { action: "sts:GetCallerIdentity", kind, code: code.map(str::to_owned), message: "no".into() };
        first_failure(&error, "cannot determine the AWS account", region, endpoint).to_string()
    }

    #[test]
    fn what_is_missing_is_said() {
        let none = text(Kind::Credentials, None, "us-east-1", None);
        assert!(none.starts_with("no AWS credentials found\n  hint: looked in: environment"), "{none}");
        let expired = text(Kind::Credentials, Some("ExpiredToken"), "us-east-1", None);
        assert!(expired.starts_with("your AWS session has expired\n"), "{expired}");
        let emulator = text(Kind::Unavailable, None, "us-east-1", Some("http://me:SECRET@127.0.0.1:4566"));
        assert!(emulator.starts_with("cannot reach AWS at http://"), "{emulator}");
        assert!(emulator.contains("is the emulator running?") && !emulator.contains("SECRET"), "{emulator}");
        let typo = text(Kind::Unavailable, None, "eu-wst-1", None);
        assert!(typo.contains("is there a region eu-wst-1? Did you mean eu-west-1?"), "{typo}");
        assert!(text(Kind::Unavailable, None, "eu-west-1", None).ends_with("hint: check your network"));
        let denied = text(Kind::Denied, Some("AccessDenied"), "eu-west-1", None);
        assert!(denied.starts_with("cannot determine the AWS account\n"), "{denied}");
    }
}
