//! Errors of calls to AWS. Every error of the SDK becomes a [`CallError`] through one table of
//! (code, message) pairs, so that callers decide on a [`Kind`] and people read a sentence.

use std::error::Error;
use std::fmt;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::denial::{Denial, readable};
use crate::error::Failure;
use crate::text::printable;

/// What a failed call means for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The resource does not exist (or not yet).
    NotFound,
    /// A resource with this name already exists.
    AlreadyExists,
    /// The name belongs to another account.
    NotOurs,
    /// These credentials may not do this.
    Denied,
    /// There are no credentials, or AWS does not know them.
    Credentials,
    /// Eventual consistency: a creation or deletion has not reached all of AWS yet; a retry soon succeeds.
    NotYet,
    /// SQS not allow reusing a deleted queue's name for 60 seconds.
    QueueDeletedRecently,
    /// Another resource still depends on it.
    InUse,
    /// Too many calls; the SDK has backed off and given up.
    Throttled,
    /// AWS failed, was not reached, or timed out: a retry may succeed.
    Unavailable,
    /// A client token of a terminated instance: EC2 does not launch for it again.
    TokenSpent,
    /// The object is in an archive (S3 Glacier) and must be restored before it can be read.
    Archived,
    /// This machine's clock differs too much from AWS's.
    ClockSkew,
    /// The account has not opted in to the region.
    RegionNotEnabled,
    /// The user interrupted a wait; the call itself was not refused.
    Interrupted,
    /// Anything else: AWS refuses the request as it is.
    Refused,
}

/// A failed call.
#[derive(Clone, Debug)]
pub struct CallError {
    /// The IAM action, as one grants it in a policy: "sqs:CreateQueue".
    pub action: &'static str,
    pub kind: Kind,
    /// The error code, if AWS responded.
    pub code: Option<String>,
    /// The message of AWS, or why there was no response.
    pub message: String,
}

impl CallError {
    pub fn new<E, R>(action: &'static str, error: SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
        R: fmt::Debug + HttpStatus + 'static,
    {
        let status = error.raw_response().map(HttpStatus::status);
        match &error {
            SdkError::ServiceError(service) => {
                let meta = service.err().meta();
                let message = meta.message().unwrap_or_default().to_owned();
                let code = meta.code().map(str::to_owned);
                let kind = classify(code.as_deref().unwrap_or_default(), &message, status.unwrap_or_default());
                // HEAD responses have no body, so no code and no message, only the status.
                let message = match (message.is_empty(), status) {
                    (true, Some(status)) => format!("AWS answered {status}"),
                    _ => readable(message),
                };
                Self { action, kind, code, message }
            }
            SdkError::ResponseError(_) => {
                let message = match status {
                    Some(status) => format!("cannot read the response ({status})"),
                    None => "cannot read the response".to_owned(),
                };
                Self { action, kind: Kind::Unavailable, code: None, message }
            }
            SdkError::TimeoutError(_) => {
                Self { action, kind: Kind::Unavailable, code: None, message: "timed out".to_owned() }
            }
            _ => {
                let kind = if has_cause::<CredentialsError>(&error) { Kind::Credentials } else { Kind::Unavailable };
                Self { action, kind, code: None, message: innermost(&error) }
            }
        }
    }

    /// An error that thumb concludes itself: from a successful response, or without a call.
    pub fn judged(action: &'static str, kind: Kind, message: impl Into<String>) -> Self {
        Self { action, kind, code: None, message: message.into() }
    }

    /// The missing permission, if that is the cause.
    pub fn denial(&self) -> Option<Denial> {
        (self.kind == Kind::Denied).then(|| Denial::parse(self.action, &self.message))
    }

    /// The error of one entry of a batch call.
    pub fn of_entry(action: &'static str, code: Option<&str>, message: impl Into<String>) -> Self {
        let message = message.into();
        // An entry has no status: only a known code makes it transient.
        let kind = classify(code.unwrap_or_default(), &message, 0);
        Self { action, kind, code: code.map(str::to_owned), message }
    }

    /// This error for the user: `what` names the operation and the resource ("cannot create the queue cats").
    pub fn failure(&self, what: impl Into<String>) -> Failure {
        let failure = Failure::new(what).caused_by(self);
        match self.kind {
            Kind::Denied => failure.hint(Denial::parse(self.action, &self.message).hint()),
            Kind::Credentials => {
                let failure = failure.hint(
                    "configure AWS credentials: AWS_PROFILE, `aws configure`, `aws sso login`, or AWS_ACCESS_KEY_ID and \
                     AWS_SECRET_ACCESS_KEY",
                );
                // The only error of a region that the account has not enabled (AWS account management guide, "Specify
                // which AWS Regions your account can use").
                if matches!(self.code.as_deref(), Some("InvalidClientTokenId" | "AuthFailure" | "InvalidToken")) {
                    failure.hint(
                        "if these credentials work in other regions, the account may not have enabled this one: check with \
                         `aws account get-region-opt-status --region-name REGION`",
                    )
                } else {
                    failure
                }
            }
            Kind::RegionNotEnabled => failure.hint(
                "enable the region (`aws account enable-region --region-name REGION`; it takes some minutes), or choose \
                 another with `region` in thumb.toml",
            ),
            Kind::ClockSkew => failure.hint(
                "AWS rejects requests whose time is more than 15 minutes off: set this machine's clock (timedatectl shows \
                 whether it is synchronised)",
            ),
            Kind::Archived => {
                failure.hint("restore the object from its archive first (`aws s3api restore-object`), or skip it")
            }
            Kind::InUse => failure.hint(
                "something outside of this plan still depends on it, perhaps a resource that had another name in thumb.toml \
                 before; delete that first",
            ),
            Kind::Throttled => failure.hint("AWS is throttling requests; try again in a minute"),
            Kind::Unavailable if self.code.is_none() => {
                failure.hint("check your network, the region and AWS_ENDPOINT_URL (if set)")
            }
            _ => failure,
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.code {
            Some(code) => write!(f, "{}: {}: {}", self.action, printable(code), printable(&self.message)),
            None => write!(f, "{}: {}", self.action, printable(&self.message)),
        }
    }
}

impl Error for CallError {}

/// The one table from AWS's codes to what they mean. Codes are those of the API references of SQS, S3, IAM, EC2
/// and their "common errors"; `status` decides where there is no code (HEAD) or an unknown one.
fn classify(code: &str, message: &str, status: u16) -> Kind {
    match code {
        "AWS.SimpleQueueService.QueueDeletedRecently" | "QueueDeletedRecently" => Kind::QueueDeletedRecently,
        "AWS.SimpleQueueService.NonExistentQueue"
        | "QueueDoesNotExist"
        | "NoSuchBucket"
        | "NoSuchKey"
        | "NoSuchEntity"
        | "NoSuchTagSet"
        | "NoSuchBucketPolicy"
        | "NoSuchPublicAccessBlockConfiguration"
        | "OwnershipControlsNotFoundError"
        | "NoSuchUpload"
        | "InvalidLaunchTemplateId.VersionNotFound"
        | "InvalidLaunchTemplateName.NotFoundException"
        | "ActiveInstanceRefreshNotFound"
        | "ResourceNotFoundException"
        | "ResourceNotFound"
        | "NotFound" => Kind::NotFound,
        _ if code.starts_with("Invalid") && code.ends_with(".NotFound") => Kind::NotFound,
        // EC2 does not know a new instance profile for some seconds, in words only (aws-sdk-go, Terraform and
        // Karpenter match the same text).
        "InvalidParameterValue"
            if message.contains("iamInstanceProfile") || message.contains("IAM Instance Profile") =>
        {
            Kind::NotYet
        }
        // Auto Scaling has one code for most of its refusals. In a group's own words, and in EC2's about what the group launches:
        // a profile or a security group that is new.
        "ValidationError" if message.contains("AutoScalingGroup name not found") => Kind::NotFound,
        "ValidationError"
            if message.contains("iamInstanceProfile")
                || message.contains("IAM Instance Profile")
                || message.contains("The security group '") =>
        {
            Kind::NotYet
        }
        // Another change of the same group is going on; the service's own role is new (API CreateAutoScalingGroup, "Errors").
        "ScalingActivityInProgress" | "ResourceContention" | "ServiceLinkedRoleFailure" => Kind::NotYet,
        // A new dead-letter queue; SQS has a code of several names for it, and one text (API CreateQueue:
        // "wait at least one second after the queue is created").
        _ if message.contains("Dead letter target does not exist") => Kind::NotYet,
        "OperationAborted" | "OperationAbortedException" | "ConcurrentModification" | "IncorrectState" => Kind::NotYet,
        // SNS's code for most of its refusals.
        "InvalidParameter" if message.contains("Topic already exists") => Kind::AlreadyExists,
        "AuthorizationError" => Kind::Denied,
        // With HTTP status 403 like a missing permission, which they are not.
        "IdempotentInstanceTerminated" => Kind::TokenSpent,
        "InvalidObjectState" => Kind::Archived,
        "RequestTimeTooSkewed" => Kind::ClockSkew,
        "OptInRequired" | "RegionDisabledException" => Kind::RegionNotEnabled,
        // A role's principal or a profile's role that has not reached all of IAM yet.
        "MalformedPolicyDocument" if message.contains("Invalid principal") => Kind::NotYet,
        "BucketAlreadyExists" => Kind::NotOurs,
        "QueueNameExists"
        | "QueueAlreadyExists"
        | "BucketAlreadyOwnedByYou"
        | "EntityAlreadyExists"
        | "AlreadyExists"
        | "ResourceAlreadyExistsException"
        | "InstanceRefreshInProgress"
        | "InvalidLaunchTemplateName.AlreadyExistsException"
        | "InvalidGroup.Duplicate"
        | "InvalidPermission.Duplicate" => Kind::AlreadyExists,
        "DependencyViolation" | "DeleteConflict" | "BucketNotEmpty" | "InvalidGroup.InUse" | "ResourceInUse" => {
            Kind::InUse
        }
        "AccessDenied" | "AccessDeniedException" | "UnauthorizedOperation" | "AllAccessDisabled" | "Forbidden" => {
            Kind::Denied
        }
        "InvalidClientTokenId"
        | "InvalidAccessKeyId"
        | "AuthFailure"
        | "SignatureDoesNotMatch"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "UnrecognizedClientException"
        | "MissingAuthenticationToken"
        | "IncompleteSignature"
        | "InvalidSignatureException"
        | "TokenRefreshRequired"
        | "RequestExpired" => Kind::Credentials,
        "SlowDown"
        | "RequestLimitExceeded"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "Throttling"
        | "ThrottlingException"
        | "OverLimit"
        | "KmsThrottled"
        // With HTTP status 403: one purge a minute (API PurgeQueue).
        | "PurgeQueueInProgress"
        | "AWS.SimpleQueueService.PurgeQueueInProgress" => Kind::Throttled,
        "InternalError" | "InternalFailure" | "ServiceUnavailable" | "RequestTimeout" | "Unavailable" => {
            Kind::Unavailable
        }
        _ => match status {
            404 => Kind::NotFound,
            403 => Kind::Denied,
            429 => Kind::Throttled,
            500.. => Kind::Unavailable,
            _ => Kind::Refused,
        },
    }
}

/// An error and everything behind it.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

fn has_cause<T: Error + 'static>(error: &(dyn Error + 'static)) -> bool {
    chain(error).any(|error| error.is::<T>())
}

/// The last error of the chain, which names the cause ("Connection refused"); those before it do not ("dispatch
/// failure").
fn innermost(error: &(dyn Error + 'static)) -> String {
    chain(error)
        .map(ToString::to_string)
        .filter(|text| !text.is_empty())
        .last()
        .unwrap_or_else(|| "the call failed".to_owned())
}

/// Turns the SDK's errors into [`CallError`]s: `request.send().await.action("sqs:CreateQueue")?`.
pub trait CallResult<T> {
    /// `action`: the IAM action of the call.
    ///
    /// # Errors
    /// The call's own error.
    fn action(self, action: &'static str) -> Result<T, CallError>;
}

impl<T, E, R> CallResult<T> for Result<T, SdkError<E, R>>
where
    E: ProvideErrorMetadata + Error + 'static,
    R: fmt::Debug + HttpStatus + 'static,
{
    fn action(self, action: &'static str) -> Result<T, CallError> {
        self.map_err(|error| CallError::new(action, error))
    }
}

/// The status of an HTTP response; a trait so that [`CallError::new`] takes every client's error type.
pub trait HttpStatus {
    fn status(&self) -> u16;
}

impl HttpStatus for aws_smithy_runtime_api::client::orchestrator::HttpResponse {
    fn status(&self) -> u16 {
        self.status().as_u16()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aws_codes_mean_what_the_api_references_say() {
        let cases = [
            ("AWS.SimpleQueueService.QueueDeletedRecently", "", 400, Kind::QueueDeletedRecently),
            ("AWS.SimpleQueueService.NonExistentQueue", "", 400, Kind::NotFound),
            ("InvalidGroup.NotFound", "", 400, Kind::NotFound),
            ("InvalidAMIID.NotFound", "", 400, Kind::NotFound),
            (
                "InvalidParameterValue",
                "Value (x) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name",
                400,
                Kind::NotYet,
            ),
            ("InvalidParameterValue", "Invalid value 'x' for InstanceType", 400, Kind::Refused),
            ("BucketAlreadyExists", "", 409, Kind::NotOurs),
            ("BucketAlreadyOwnedByYou", "", 409, Kind::AlreadyExists),
            ("DependencyViolation", "", 400, Kind::InUse),
            ("ValidationError", "AutoScalingGroup name not found - null", 400, Kind::NotFound),
            (
                "ValidationError",
                "You must use a valid fully-formed launch template. Value (x) for parameter iamInstanceProfile.name is invalid.",
                400,
                Kind::NotYet,
            ),
            ("ValidationError", "Max bound, 1, must be greater than or equal to min bound, 2", 400, Kind::Refused),
            ("ScalingActivityInProgress", "", 400, Kind::NotYet),
            ("InstanceRefreshInProgress", "", 400, Kind::AlreadyExists),
            ("ActiveInstanceRefreshNotFound", "", 400, Kind::NotFound),
            ("InvalidLaunchTemplateName.AlreadyExistsException", "", 400, Kind::AlreadyExists),
            ("IdempotentInstanceTerminated", "", 400, Kind::TokenSpent),
            (
                "InvalidParameterValueException",
                "Value {} for parameter RedrivePolicy is invalid. Reason: Dead letter target does not exist.",
                400,
                Kind::NotYet,
            ),
            ("InvalidObjectState", "", 403, Kind::Archived),
            ("RequestTimeTooSkewed", "", 403, Kind::ClockSkew),
            ("OptInRequired", "", 403, Kind::RegionNotEnabled),
            ("InvalidClientTokenId", "", 403, Kind::Credentials),
            ("UnauthorizedOperation", "", 403, Kind::Denied),
            ("AuthFailure", "", 401, Kind::Credentials),
            ("RequestLimitExceeded", "", 503, Kind::Throttled),
            ("AWS.SimpleQueueService.PurgeQueueInProgress", "", 403, Kind::Throttled),
            ("", "", 404, Kind::NotFound),
            ("", "", 403, Kind::Denied),
            ("SomethingNew", "", 503, Kind::Unavailable),
            ("SomethingNew", "", 400, Kind::Refused),
        ];
        for (code, message, status, kind) in cases {
            assert_eq!(classify(code, message, status), kind, "{code} {message} {status}");
        }
    }

    #[test]
    fn what_aws_says_cannot_repaint_a_terminal() {
        let message = "the key a\x1b[31m\u{202e} is bad".to_owned();
        let error = CallError { action: "s3:DeleteObject", kind: Kind::Refused, code: Some("\x07".into()), message };
        assert_eq!(error.to_string(), "s3:DeleteObject: \\u{7}: the key a\\u{1b}[31m\\u{202e} is bad");
    }

    #[test]
    fn a_denied_call_names_the_right_that_is_missing() {
        let error = CallError {
            action: "sqs:CreateQueue",
            kind: Kind::Denied,
            code: Some("AccessDenied".into()),
            message: "User is not authorized".into(),
        };
        let text = error.failure("cannot create the queue cats").to_string();
        assert!(
            text.starts_with("cannot create the queue cats\n  caused by: sqs:CreateQueue: AccessDenied: User is"),
            "{text}"
        );
        assert!(text.contains("hint: missing permission sqs:CreateQueue"), "{text}");
        let error = CallError {
            action: "ec2:RunInstances",
            message: "User: me is not authorized to perform: iam:PassRole on resource: x".into(),
            ..error
        };
        let text = error.failure("cannot create the instance cats-worker-1").to_string();
        assert!(text.contains("hint: missing permission iam:PassRole"), "{text}");
    }

    #[test]
    fn what_looks_like_a_missing_right_and_is_not_says_what_to_do() {
        let hint = |code: &str| {
            let kind = classify(code, "", 403);
            let error = CallError { action: "s3:GetObject", kind, code: Some(code.into()), message: String::new() };
            error.failure("no").to_string()
        };
        assert!(hint("InvalidObjectState").contains("hint: restore the object from its archive"));
        assert!(hint("RequestTimeTooSkewed").contains("set this machine's clock"));
        assert!(hint("OptInRequired").contains("aws account enable-region"));
        assert!(hint("InvalidClientTokenId").contains("the account may not have enabled this one"));
        assert!(!hint("ExpiredToken").contains("region"));
    }
}
