//! The errors of parallel calls, all of which run to the end, so that one plan reports all missing permissions.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt;

use super::denial::Because;
use super::{CallError, Kind};
use crate::error::Failure;

/// The errors of parallel calls: at least one.
#[derive(Debug, Default)]
pub struct Errors(Vec<CallError>);

impl Errors {
    /// A result's value; its errors are kept.
    pub fn take<T>(&mut self, result: Result<T, impl Into<Errors>>) -> Option<T> {
        result.map_err(|errors| self.0.extend(errors.into().0)).ok()
    }

    /// These errors and those of a result.
    #[must_use]
    pub fn and<T>(mut self, result: Result<T, impl Into<Errors>>) -> Self {
        self.take(result);
        self
    }

    pub fn any(&self, is: impl FnMut(&CallError) -> bool) -> bool {
        self.0.iter().any(is)
    }

    /// All errors as one failure for the user: every missing permission; an error of another kind comes first.
    /// `command`: whose policy `thumb policy` prints.
    pub fn failure(&self, what: &str, command: &str) -> Failure {
        let other = self.0.iter().find(|error| error.kind != Kind::Denied);
        let denials: Vec<_> = self.0.iter().filter_map(CallError::denial).collect();
        if denials.is_empty() {
            return other.map_or_else(|| Failure::new(what), |error| error.failure(what));
        }
        let rights: BTreeSet<&str> = denials.iter().map(|denial| denial.right.as_str()).collect();
        let count = match rights.len() {
            1 => "missing permission".to_owned(),
            count => format!("{count} missing permissions"),
        };
        let mut failure = Failure::new(format!("{what}: {count}: {}", join(&rights)));
        if let Some(error) = other {
            failure = failure.caused_by(error);
        }
        let mut reasons: BTreeMap<&Because, BTreeSet<&str>> = BTreeMap::new();
        for denial in &denials {
            reasons.entry(&denial.because).or_default().insert(&denial.right);
        }
        for (because, rights) in reasons {
            failure = failure.caused_by(&Sentence(format!("{because}: {}", join(&rights))));
        }
        failure.hint(format!(
            "`thumb policy {command}` prints the policy that these credentials need, for your AWS administrator"
        ))
    }
}

fn join(rights: &BTreeSet<&str>) -> String {
    rights.iter().copied().collect::<Vec<_>>().join(", ")
}

impl From<CallError> for Errors {
    fn from(error: CallError) -> Self {
        Self(vec![error])
    }
}

/// For callers that handle one error only: the first that is not a missing permission, else the first.
impl From<Errors> for CallError {
    fn from(errors: Errors) -> Self {
        let Errors(mut errors) = errors;
        let first = errors.iter().position(|error| error.kind != Kind::Denied).unwrap_or(0);
        if errors.is_empty() {
            return CallError::judged("aws", Kind::Unavailable, "a call failed without saying why");
        }
        errors.swap_remove(first)
    }
}

#[derive(Debug)]
struct Sentence(String);

impl fmt::Display for Sentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Sentence {}

/// Waits for all futures and gives a tuple of their values, or all their errors: `all!(role: read(), queue: read())`.
/// Unlike `try_join!` it does not drop what still runs when one fails.
macro_rules! all {
    ($($name:ident: $future:expr),+ $(,)?) => {{
        let ($($name,)+) = tokio::join!($($future),+);
        let mut errors = $crate::aws::Errors::default();
        $(let $name = errors.take($name);)+
        match ($($name,)+) {
            ($(Some($name),)+) => Ok(($($name,)+)),
            _ => Err(errors),
        }
    }};
}
pub(crate) use all;

#[cfg(test)]
mod tests {
    use super::*;

    fn denied(action: &'static str, message: &str) -> CallError {
        CallError { action, kind: Kind::Denied, code: Some("AccessDenied".into()), message: message.into() }
    }

    #[tokio::test]
    async fn every_right_that_is_missing_is_named_once_and_at_once() {
        let scp = "User: me is not authorized to perform: s3:GetBucketTagging with an explicit deny in a service control policy";
        let inner = async {
            let (a, b) = all!(
                a: async { Err::<(), _>(denied("iam:GetRole", "no")) },
                b: async { Err::<(), _>(denied("s3:GetBucketTagging", scp)) },
            )?;
            Ok::<_, Errors>((a, b))
        };
        let result: Result<((), ()), Errors> = async {
            let (both, other) = all!(
                both: inner,
                other: async { Err::<(), _>(denied("iam:GetRole", "no")) },
            )?;
            let _ = both;
            Ok(((), other))
        }
        .await;
        let failure = result.unwrap_err().failure("cannot read the account", "plan").to_string();
        assert_eq!(
            failure,
            "cannot read the account: 2 missing permissions: iam:GetRole, s3:GetBucketTagging\n  \
             caused by: denied without a reason: iam:GetRole\n  \
             caused by: an explicit deny in a service control policy forbids: s3:GetBucketTagging\n  \
             hint: `thumb policy plan` prints the policy that these credentials need, for your AWS administrator"
        );
    }

    #[test]
    fn what_failed_for_another_reason_comes_first() {
        let mut errors = Errors::default();
        errors.take(Err::<(), _>(denied("iam:GetRole", "no")));
        errors.take(Err::<(), _>(CallError::judged("sqs:GetQueueUrl", Kind::Unavailable, "timed out")));
        let failure = errors.failure("cannot read", "plan").to_string();
        assert!(failure.contains("caused by: sqs:GetQueueUrl: timed out\n  caused by: denied"), "{failure}");
        assert_eq!(CallError::from(errors).action, "sqs:GetQueueUrl");
    }
}
