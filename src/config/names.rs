//! AWS's own rules for names and tags, checked before any call is made. `super::reader` says how a check words its
//! reason.

/// S3 general purpose bucket naming rules (S3 user guide, "Bucket naming rules").
pub fn bucket(name: &str) -> Result<(), String> {
    const PREFIXES: [&str; 3] = ["xn--", "sthree-", "amzn-s3-demo-"];
    const SUFFIXES: [&str; 5] = ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"];
    length(name, 3, 63)?;
    only(
        name,
        |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.',
        "lower-case letters, digits, hyphens and dots",
    )?;
    if !name.starts_with(alphanumeric) || !name.ends_with(alphanumeric) {
        return Err("must begin and end with a letter or digit".into());
    }
    if name.contains("..") {
        return Err("has two dots in a row".into());
    }
    if name.parse::<std::net::Ipv4Addr>().is_ok() {
        return Err("looks like an IP address".into());
    }
    if let Some(prefix) = PREFIXES.iter().find(|prefix| name.starts_with(*prefix)) {
        return Err(format!("begins with {prefix}, which S3 reserves"));
    }
    if let Some(suffix) = SUFFIXES.iter().find(|suffix| name.ends_with(*suffix)) {
        return Err(format!("ends with {suffix}, which S3 reserves"));
    }
    Ok(())
}

/// A bucket that thumb creates. S3 reserves names that end in -an for buckets in the namespace of an account and a region,
/// which CreateBucket creates only on request (S3 user guide, "Bucket naming rules").
pub fn own_bucket(name: &str) -> Result<(), String> {
    bucket(name)?;
    if name.ends_with("-an") {
        return Err("ends with -an, which S3 reserves for buckets in an account's own namespace".into());
    }
    Ok(())
}

/// SQS: up to 80 letters, digits, hyphens and underscores; a FIFO queue's name ends in .fifo (API CreateQueue).
pub fn queue(name: &str) -> Result<(), String> {
    if name.ends_with(".fifo") {
        return Err("is the name of a FIFO queue, and thumb uses standard queues".into());
    }
    length(name, 1, 80)?;
    only(name, |c| c.is_ascii_alphanumeric() || c == '-' || c == '_', "letters, digits, hyphens and underscores")
}

/// CloudWatch Logs: 1 to 512 of `[.\-_/#A-Za-z0-9]` (API CreateLogGroup).
pub fn log_group(name: &str) -> Result<(), String> {
    length(name, 1, 512)?;
    only(name, |c| c.is_ascii_alphanumeric() || ".-_/#".contains(c), "letters, digits and .-_/#")
}

/// An e-mail address as far as it can be told from its text: SNS sends a mail there, and somebody has to confirm.
pub fn email(text: &str) -> Result<(), String> {
    let parts = text.split_once('@').filter(|(who, host)| {
        !who.is_empty() && host.contains('.') && !host.starts_with('.') && !host.ends_with('.') && !host.contains('@')
    });
    match parts {
        Some(_) if text.len() <= 254 && text.chars().all(|c| c.is_ascii_graphic()) => Ok(()),
        _ => Err("is not an e-mail address, such as me@example.com".into()),
    }
}

/// The ARN of an SNS topic (API CreateTopic: names of up to 256 letters, digits, hyphens and underscores).
pub fn topic_arn(text: &str) -> Result<(), String> {
    let name = |name: &str| length(name, 1, 256).is_ok() && name.chars().all(|c| alphanumeric(c) || "-_".contains(c));
    match text.split(':').collect::<Vec<_>>()[..] {
        ["arn", _, "sns", _, account, topic] if account.len() == 12 && name(topic) => Ok(()),
        _ => Err("must be a topic's ARN, such as arn:aws:sns:us-east-1:123456789012:my-topic".into()),
    }
}

/// IAM: role names up to 64, instance profile names up to 128 of `[\w+=,.@-]` (API CreateRole, CreateInstanceProfile).
pub fn iam(name: &str, max: usize) -> Result<(), String> {
    length(name, 1, max)?;
    only(name, |c| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c), "letters, digits and _+=,.@-")
}

/// EC2: up to 255 characters, not beginning with `sg-` (API CreateSecurityGroup, groups in a VPC).
pub fn security_group(name: &str) -> Result<(), String> {
    length(name, 1, 255)?;
    only(
        name,
        |c| c.is_ascii_alphanumeric() || " ._-:/()#,@[]+=&;{}!$*".contains(c),
        "letters, digits, spaces and ._-:/()#,@[]+=&;{}!$*",
    )?;
    if name.starts_with("sg-") {
        return Err("begins with sg-, which EC2 reserves for its IDs".into());
    }
    Ok(())
}

/// A tag that every service accepts: EC2, IAM, SQS and S3 agree on these characters and lengths ("Tag naming limits").
pub fn tag(key: &str, value: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_alphanumeric() || c == ' ' || "_.:/=+-@".contains(c);
    length(key, 1, 128)?;
    only(key, allowed, "letters, digits, spaces and _.:/=+-@")?;
    if key.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("aws:")) {
        return Err("begins with aws:, which AWS reserves".into());
    }
    // IAM's tag keys differ by more than their case (API Tag), so "Thumb:stack" would be a second one.
    if key.get(..6).is_some_and(|prefix| prefix.eq_ignore_ascii_case("thumb:")) || key == "Name" {
        return Err("is set by thumb itself".into());
    }
    length(value, 0, 256).map_err(|error| format!("has a value that {error}"))?;
    only(value, allowed, "letters, digits, spaces and _.:/=+-@").map_err(|error| format!("has a value that {error}"))
}

/// The stack's name, the prefix of all others: characters that every service accepts.
pub fn stack(name: &str) -> Result<(), String> {
    length(name, 1, 64)?;
    only(name, |c| c.is_ascii_alphanumeric() || c == '-' || c == '_', "letters, digits, hyphens and underscores")
}

/// `us-east-1`, `us-gov-west-1`, `ap-southeast-2`, `eusc-de-east-1`: words of letters, then a number.
pub fn region(name: &str) -> Result<(), String> {
    let mut parts = name.rsplit('-');
    let number = parts.next().is_some_and(|n| (1..=2).contains(&n.len()) && n.bytes().all(|b| b.is_ascii_digit()));
    let words: Vec<&str> = parts.collect();
    let words_fit =
        words.len() >= 2 && words.iter().all(|w| !w.is_empty() && w.bytes().all(|b| b.is_ascii_lowercase()));
    if number && words_fit { Ok(()) } else { Err("must be an AWS region such as us-east-1".into()) }
}

/// `t3.micro`, `u-6tb1.112xlarge`: a family and a size. Whether the region has it is checked when the plan is made.
pub fn instance_type(name: &str) -> Result<(), String> {
    let part = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    match name.split_once('.') {
        Some((family, size)) if part(family) && part(size) && name.len() <= 64 => Ok(()),
        _ => Err("must be an instance type such as t3.micro".into()),
    }
}

/// A managed policy: its name (AWS's own) or its ARN.
pub fn policy(text: &str) -> Result<(), String> {
    if text.starts_with("arn:") { policy_arn(text) } else { iam(text, 128) }
}

/// A managed policy's ARN.
pub fn policy_arn(text: &str) -> Result<(), String> {
    let fields: Vec<&str> = text.splitn(6, ':').collect();
    match fields[..] {
        ["arn", _, "iam", "", _, rest] if rest.starts_with("policy/") && rest.len() > 7 => Ok(()),
        _ => Err("must be the ARN of a managed policy (arn:aws:iam::…:policy/…)".into()),
    }
}

/// A KMS key's ARN, by its ID, because a policy with an alias grants nothing (KMS guide, "Specifying KMS keys in IAM policy
/// statements").
pub fn kms_key(text: &str) -> Result<(), String> {
    let fields: Vec<&str> = text.split(':').collect();
    let id = |rest: &str| {
        rest.strip_prefix("key/")
            .is_some_and(|id| (1..=128).contains(&id.len()) && only(id, |c| alphanumeric(c) || c == '-', "").is_ok())
    };
    match fields[..] {
        ["arn", _, "kms", of, account, rest] if region(of).is_ok() && super::account(account).is_ok() && id(rest) => {
            Ok(())
        }
        _ => Err("must be the ARN of a KMS key (arn:aws:kms:REGION:ACCOUNT:key/…)".into()),
    }
}

/// An EC2 resource ID: a prefix, a hyphen, 8 or 17 hexadecimal digits.
pub fn ec2_id(text: &str, prefix: &str) -> Result<(), String> {
    let hex = text.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('-')).unwrap_or_default();
    if matches!(hex.len(), 8 | 17) && hex.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase()) {
        Ok(())
    } else {
        Err(format!("must be an ID such as {prefix}-0123456789abcdef0"))
    }
}

fn alphanumeric(c: char) -> bool {
    c.is_ascii_alphanumeric()
}

fn length(text: &str, min: usize, max: usize) -> Result<(), String> {
    match text.chars().count() {
        0 if min > 0 => Err("is empty".into()),
        n if n < min => Err(format!("is shorter than {min} characters")),
        n if n > max => Err(format!("is longer than {max} characters (it has {n})")),
        _ => Ok(()),
    }
}

fn only(text: &str, allowed: impl Fn(char) -> bool, what: &str) -> Result<(), String> {
    match text.chars().find(|&c| !allowed(c)) {
        Some(c) => Err(format!("has {c:?}, but only {what} are allowed")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_names_follow_s3s_rules() {
        for good in ["abc", "cmsc389l-colink-thumbnails", "a.b.c", "123", &"a".repeat(63)] {
            assert_eq!(bucket(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("ab", "shorter than 3"),
            ("Cats", "has 'C'"),
            ("cats_dogs", "has '_'"),
            ("-cats", "begin and end"),
            ("cats.", "begin and end"),
            ("a..b", "two dots"),
            ("192.168.5.4", "IP address"),
            ("xn--cats", "begins with xn--"),
            ("cats-s3alias", "ends with -s3alias"),
            (&"a".repeat(64), "longer than 63 characters (it has 64)"),
        ] {
            assert!(bucket(bad).unwrap_err().contains(why), "{bad}: {:?}", bucket(bad));
        }
    }

    #[test]
    fn other_names_follow_their_services_rules() {
        assert!(queue("cats.fifo").unwrap_err().contains("FIFO"));
        assert!(queue("cats.dogs").is_err() && queue("cats_dogs-1").is_ok());
        assert!(security_group("sg-cats").is_err() && security_group("cats sg").is_ok());
        assert!(iam("a/b", 64).is_err() && iam("s3-codelab-05", 64).is_ok());
        assert!(region("us-east-1").is_ok() && region("us-gov-west-1").is_ok());
        assert!(
            region("us-east").is_err()
                && region("useast1").is_err()
                && region("").is_err()
                && region("US-EAST-1").is_err()
        );
        assert!(instance_type("t3.micro").is_ok() && instance_type("u-6tb1.112xlarge").is_ok());
        assert!(instance_type("t3").is_err() && instance_type("t3.").is_err() && instance_type("T3.micro").is_err());
        assert!(policy("AmazonS3FullAccess").is_ok() && policy("arn:aws:iam::aws:policy/AmazonS3FullAccess").is_ok());
        assert!(policy("arn:aws:iam::aws:role/x").is_err() && policy("a policy").is_err());
        assert!(own_bucket("cats-123456789012-us-east-1-an").unwrap_err().contains("ends with -an"));
        assert!(own_bucket("pan").is_ok() && own_bucket("Pan").is_err() && bucket("cats-us-east-1-an").is_ok());
        assert!(tag("Thumb:Stack", "y").is_err() && tag("name", "y").is_ok());
        assert!(policy_arn("arn:aws:iam::123456789012:policy/limits").is_ok() && policy_arn("limits").is_err());
        assert!(kms_key("arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab").is_ok());
        for bad in ["alias/cats", "arn:aws:kms:us-east-1:123456789012:alias/cats", "arn:aws:kms:*:123456789012:key/x"] {
            assert!(kms_key(bad).is_err(), "{bad}");
        }
        assert!(tag("aws:x", "y").is_err() && tag("AWS:x", "y").is_err() && tag("thumb:stack", "y").is_err());
        assert!(tag("assignment", "codelab-05").is_ok() && tag("ä:b", "").is_ok() && tag("a", "x;y").is_err());
        assert!(ec2_id("subnet-0123456789abcdef0", "subnet").is_ok() && ec2_id("subnet-xyz", "subnet").is_err());
    }
}
