//! Why AWS denied a call. The missing permission is not always that of the call (RunInstances also needs iam:PassRole and
//! ec2:CreateTags), and not every denial is a missing permission; only the text of the message tells (IAM user guide,
//! "Troubleshoot access denied error messages").

use std::fmt;

/// A denied call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The IAM action that is missing, as one grants it: "iam:PassRole".
    pub right: String,
    pub because: Because,
}

/// What denied it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Because {
    /// AWS does not say.
    Unsaid,
    /// No policy of this kind allows it: "identity-based policy", "permissions boundary", "service control policy".
    NotAllowedBy(String),
    /// An explicit deny in a policy of this kind, which overrides every allow.
    ForbiddenBy(String),
    /// S3 Block Public Access, of the bucket or of the whole account.
    PublicAccessBlock,
    /// EC2 has put it into a message that only sts:DecodeAuthorizationMessage reads.
    Encoded,
}

/// Behind this come, in EC2's messages, some hundred characters of base64.
const ENCODED: &str = "Encoded authorization failure message:";
/// The kinds of policies that messages name.
const POLICIES: [&str; 7] = [
    "identity-based policy",
    "permissions boundary",
    "service control policy",
    "resource control policy",
    "resource-based policy",
    "session policy",
    "VPC endpoint policy",
];
/// SQS writes actions in lower case; these are the ones that thumb needs beside the calls that name themselves.
const SQS: [&str; 2] = ["sqs:TagQueue", "sqs:UntagQueue"];

impl Denial {
    /// From the message that a call of `action` was refused with.
    pub fn parse(action: &str, message: &str) -> Self {
        let named = message
            .split_once("not authorized to perform: ")
            .and_then(|(_, rest)| rest.split_whitespace().next())
            .map(|named| named.trim_matches(['.', ',', ';', '"', '\'']))
            .filter(|named| named.contains(':'));
        let right = named.map_or(action, |named| {
            let known = SQS.iter().copied().chain([action]);
            known.into_iter().find(|known| known.eq_ignore_ascii_case(named)).unwrap_or(named)
        });
        let policy = |after: &str| {
            let rest = message.split_once(after)?.1;
            let first = POLICIES.iter().filter_map(|policy| Some((rest.find(policy)?, *policy))).min();
            first.map(|(_, policy)| policy.to_owned())
        };
        let because =
            if ["BlockPublicPolicy", "BlockPublicAcls", "Block Public Access"].iter().any(|b| message.contains(b)) {
                Because::PublicAccessBlock
            } else if let Some(policy) = policy("explicit deny in ") {
                Because::ForbiddenBy(policy)
            } else if let Some(policy) = policy("because no ") {
                Because::NotAllowedBy(policy)
            } else if named.is_none() && message.contains(ENCODED) {
                Because::Encoded
            } else {
                Because::Unsaid
            };
        Self { right: right.to_owned(), because }
    }

    /// What to do about it.
    pub fn hint(&self) -> String {
        let Self { right, because } = self;
        match because {
            Because::Unsaid => needed(right),
            Because::NotAllowedBy(policy) if policy == "identity-based policy" => needed(right),
            Because::NotAllowedBy(policy) => format!(
                "missing permission {right}: no {policy} allows it, and an IAM policy alone does not help; ask the \
                 administrator of the {policy}"
            ),
            Because::ForbiddenBy(policy) => format!(
                "{right} is explicitly denied in the {policy}: no other permission helps; ask its administrator"
            ),
            Because::PublicAccessBlock => {
                "S3 Block Public Access is on for the whole account or its organization, which overrides the bucket's: turn \
                 it off there (S3 console, \"Block Public Access settings for this account\"), or set \
                 `access = \"private\"` in [buckets] of thumb.toml"
                    .to_owned()
            }
            Because::Encoded => format!(
                "missing permission {right}, or one that it requires (iam:PassRole, ec2:CreateTags); `aws sts \
                 decode-authorization-message --encoded-message …` says which, with permission \
                 sts:DecodeAuthorizationMessage"
            ),
        }
    }
}

fn needed(right: &str) -> String {
    format!("missing permission {right}; ask your AWS administrator (`thumb policy` prints what each command needs)")
}

impl fmt::Display for Because {
    /// The beginning of a sentence that rights end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsaid => f.write_str("denied without a reason"),
            Self::NotAllowedBy(policy) => write!(f, "no {policy} allows"),
            Self::ForbiddenBy(policy) => write!(f, "an explicit deny in a {policy} forbids"),
            Self::PublicAccessBlock => f.write_str("S3 Block Public Access forbids"),
            Self::Encoded => f.write_str("denied with an encoded message"),
        }
    }
}

/// A message without EC2's encoded part, where the rest of it names the right that is missing.
pub fn readable(message: String) -> String {
    match message.split_once(ENCODED) {
        Some((before, _)) if before.contains("not authorized to perform: ") => before.trim_end().to_owned(),
        _ => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(action: &str, message: &str) -> (String, Because) {
        let Denial { right, because } = Denial::parse(action, message);
        (right, because)
    }

    #[test]
    fn the_right_is_the_one_that_the_message_names() {
        let not_allowed = |policy: &str| Because::NotAllowedBy(policy.to_owned());
        let forbidden = |policy: &str| Because::ForbiddenBy(policy.to_owned());
        let me = "User: arn:aws:iam::123456789012:user/me is not authorized to perform:";
        let cases = [
            (
                "ec2:RunInstances",
                format!(
                    "You are not authorized to perform this operation. {me} iam:PassRole on resource: \
                     arn:aws:iam::123456789012:role/cats-worker because no identity-based policy allows the iam:PassRole \
                     action. Encoded authorization failure message: xYz"
                ),
                ("iam:PassRole", not_allowed("identity-based policy")),
            ),
            (
                "s3:CreateBucket",
                format!(
                    "{me} s3:TagResource on resource: \"arn:aws:s3:::cats\" with an explicit deny in a service control \
                     policy"
                ),
                ("s3:TagResource", forbidden("service control policy")),
            ),
            (
                "sqs:CreateQueue",
                format!(
                    "{me} sqs:tagqueue on resource: arn:aws:sqs:us-east-1:1:cats because no permissions boundary allows the sqs:tagqueue action"
                ),
                ("sqs:TagQueue", not_allowed("permissions boundary")),
            ),
            (
                "sqs:CreateQueue",
                format!("{me} sqs:createqueue on resource: arn:aws:sqs:us-east-1:1:cats"),
                ("sqs:CreateQueue", Because::Unsaid),
            ),
            ("iam:GetRole", format!("{me} iam:GetRole."), ("iam:GetRole", Because::Unsaid)),
            ("s3:GetBucketTagging", "Access Denied".to_owned(), ("s3:GetBucketTagging", Because::Unsaid)),
            (
                "s3:PutBucketPolicy",
                format!(
                    "{me} s3:PutBucketPolicy on resource: \"arn:aws:s3:::cats\" because public policies are prevented by \
                     the BlockPublicPolicy setting in S3 Block Public Access."
                ),
                ("s3:PutBucketPolicy", Because::PublicAccessBlock),
            ),
            (
                "ec2:RunInstances",
                "You are not authorized to perform this operation. Encoded authorization failure message: xYz"
                    .to_owned(),
                ("ec2:RunInstances", Because::Encoded),
            ),
        ];
        for (action, message, (right, because)) in cases {
            assert_eq!(parse(action, &message), (right.to_owned(), because), "{message}");
        }
    }

    #[test]
    fn an_encoded_part_is_left_out_where_the_rest_says_as_much() {
        let said =
            "You are not authorized to perform this operation. User: me is not authorized to perform: iam:PassRole.";
        assert_eq!(readable(format!("{said} {ENCODED} xYz")), said);
        let unsaid = format!("You are not authorized to perform this operation. {ENCODED} xYz");
        assert_eq!(readable(unsaid.clone()), unsaid);
    }
}
