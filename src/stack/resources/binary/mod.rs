//! The program's own executable in the code bucket, under a key that names its build and its content:
//! `thumb-0.1.0-f63336912abc-x86_64-<sha256>`, or `thumb-<sha256>` for a build with changes that are not committed.
//!
//! A build of the same commit as the one in the bucket is the same program: the bucket's is kept, so that two people with
//! one commit do not replace each other's instances.

pub mod elf;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ChecksumAlgorithm;
use sha2::{Digest, Sha256};

use super::bucket::{Version, delete_objects, settle};
use super::code_bucket::{BINARY_PREFIX, REPORT_PREFIX};
use super::{Found, StepContext, optional};
use crate::aws::{CallError, CallResult, Kind, Reader, Writer};
use crate::error::Failure;
use crate::stack::address::Address;
use crate::stack::change::{Action, Change};
use crate::text::hex;
use crate::version::Identity;

/// Upper bound on a plausible executable.
const MAX_BYTES: u64 = 256 << 20;
/// Time-out of an upload: twenty megabytes over a slow line.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(900);
/// Objects one DeleteObjects call may name (API DeleteObjects).
const DELETE_BATCH: usize = 1_000;
/// Pages of a thousand keys searched for binaries; foreign keys may have the same prefix.
const MAX_PAGES: u32 = 20;

/// The executable as declared: a file here.
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    pub path: PathBuf,
    /// 64 lower-case hexadecimal digits.
    pub sha256: String,
    pub bytes: u64,
    pub executable: elf::Executable,
    /// None: it counts by its hash.
    pub identity: Option<Identity>,
}

/// The keys in the code bucket that are binaries' ([`is_binary`]), and their sizes in bytes.
pub type Observed = Vec<(String, u64)>;

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Upload { bucket: String, key: String, path: PathBuf, sha256: String, bytes: u64 },
    Remove { bucket: String, keys: Vec<String> },
}

impl Binary {
    /// Reads the file and its ELF header.
    ///
    /// # Errors
    /// It cannot be read, is too large, or is no Linux executable.
    pub fn load(path: &Path) -> crate::error::Result<Self> {
        let shown = path.display();
        let fail = |error: &(dyn std::error::Error + 'static)| {
            Failure::new(format!("cannot read the executable {shown}")).caused_by(error)
        };
        let size = std::fs::metadata(path).map_err(|error| fail(&error))?.len();
        if size > MAX_BYTES {
            return Err(Failure::new(format!(
                "{shown} has {size} bytes, too many for a build of thumb (at most {MAX_BYTES})"
            )));
        }
        let content = std::fs::read(path).map_err(|error| fail(&error))?;
        let executable = elf::inspect(&content).map_err(|error| {
            Failure::new(format!("{shown} cannot run on an instance")).caused_by(&error).hint(error.hint())
        })?;
        let sha256 = hex(&Sha256::digest(&content));
        let identity = Identity::of_file(&content);
        Ok(Self { path: path.to_owned(), sha256, bytes: content.len() as u64, executable, identity })
    }

    pub fn key(&self) -> String {
        let Self { identity, sha256, .. } = self;
        match identity {
            Some(identity) => format!("{BINARY_PREFIX}{}-{sha256}", identity.as_str()),
            None => format!("{BINARY_PREFIX}{sha256}"),
        }
    }

    /// This build; or another one of the same commit, if the bucket has that and not this, and a note that says so.
    pub fn or_deployed(self, found: &Observed) -> (Result<Self, String>, Option<String>) {
        let Some(deployed) = self.deployed(found) else { return (Ok(self), None) };
        let note = parse(&deployed.key()).map(|key| {
            format!(
                "The stack runs another build of {key}: {}…, and this is {}…. It is kept; --upgrade deploys this one.",
                &deployed.sha256[..8],
                &self.sha256[..8],
            )
        });
        (Ok(deployed), note)
    }

    fn deployed(&self, found: &Observed) -> Option<Self> {
        let identity = self.identity.as_ref()?;
        let builds = || found.iter().filter_map(|(key, bytes)| Some((parse(key)?, *bytes)));
        if builds().any(|(key, _)| key.sha256 == self.sha256) {
            return None;
        }
        let (key, bytes) = builds().find(|(key, _)| key.identity.as_ref() == Some(identity))?;
        Some(Self { sha256: key.sha256.to_owned(), bytes, ..self.clone() })
    }
}

/// A binary's key, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub struct Key<'a> {
    pub identity: Option<Identity>,
    /// 64 lower-case hexadecimal digits.
    pub sha256: &'a str,
}

/// Whether a key is that of a binary, and of which. thumb removes no other keys.
pub fn parse(key: &str) -> Option<Key<'_>> {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let rest = key.strip_prefix(BINARY_PREFIX)?;
    let (identity, sha256) = match rest.rsplit_once('-') {
        Some((identity, sha256)) => (Some(Identity::parse(identity)?), sha256),
        None => (None, rest),
    };
    (sha256.len() == 64 && sha256.bytes().all(hex)).then_some(Key { identity, sha256 })
}

/// Whether a key is that of a binary.
pub fn is_binary(key: &str) -> bool {
    parse(key).is_some()
}

impl fmt::Display for Key<'_> {
    /// "thumb 0.1.0 (f63336912abc)", or "thumb build 4d1fffd3".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.identity {
            Some(identity) => write!(f, "thumb {identity}"),
            None => write!(f, "thumb build {}", &self.sha256[..8]),
        }
    }
}

/// Whether a key is that of a worker's report: `workers/i-….json`.
pub fn is_report(key: &str) -> bool {
    let id = key.strip_prefix(REPORT_PREFIX).and_then(|rest| rest.strip_prefix("i-")?.strip_suffix(".json"));
    id.is_some_and(|id| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// The binaries in the code bucket; whether the bucket is ours is the bucket's own question.
pub async fn read(aws: &Reader, account: &str, bucket: &str) -> Result<Observed, CallError> {
    let (mut found, mut from) = (Vec::new(), None);
    for _ in 0..MAX_PAGES {
        let request = aws.list_objects_v2().bucket(bucket).expected_bucket_owner(account).prefix(BINARY_PREFIX);
        let answer = request.set_continuation_token(from).send().await;
        let Some(page) = optional(answer.action("s3:ListBucket"))? else { break };
        let size = |object: &aws_sdk_s3::types::Object| u64::try_from(object.size.unwrap_or(0)).unwrap_or(0);
        let objects = page.contents().iter().filter_map(|object| Some((object.key.clone()?, size(object))));
        found.extend(objects.filter(|(key, _)| is_binary(key)));
        from = page.next_continuation_token;
        if from.is_none() {
            break;
        }
    }
    Ok(found)
}

/// `bucket_name`: the name of the code bucket, observed as `bucket`.
pub fn diff(
    desired: &Binary,
    bucket_name: &str,
    bucket: &Found<super::bucket::Observed>,
    found: &Observed,
) -> Change<Step> {
    let Binary { path, sha256, bytes, executable, identity: _ } = desired;
    let key = desired.key();
    let mut change = Change::new(Address::Binary, &key);
    if matches!(bucket, Found::Foreign(_)) {
        return Change::blocked(
            Address::Binary,
            &key,
            format!("the bucket {bucket_name} does not belong to this stack"),
        );
    }
    let stale: Vec<String> = found.iter().map(|(key, _)| key.clone()).filter(|found| *found != key).collect();
    let upload = Step::Upload {
        bucket: bucket_name.to_owned(),
        key: key.clone(),
        path: path.clone(),
        sha256: sha256.clone(),
        bytes: *bytes,
    };
    let remove = Step::Remove { bucket: bucket_name.to_owned(), keys: stale.clone() };
    match found.iter().find(|(found, _)| *found == key) {
        Some((_, size)) if size == bytes && stale.is_empty() => change,
        Some((_, size)) if size == bytes => {
            change.removed("older_binaries", &stale);
            change.removal(remove);
            change.action(Action::Update)
        }
        Some((_, size)) => {
            change.compare("bytes", size, bytes);
            change.step(upload);
            change.action(Action::Update)
        }
        None => {
            let action = if stale.is_empty() { Action::Create } else { Action::Replace };
            if action == Action::Replace {
                change.reason = Some("the program changed".into());
                change.compare("key", &stale.join(", "), &key);
                change.removal(remove);
            } else {
                change.set("key", &key);
                change.set("file", &path.display().to_string());
                change.set("bytes", bytes);
                change.set("architecture", &executable.arch);
                change.set("glibc", &executable.glibc.map(|glibc| format!("{glibc} or newer")));
            }
            change.step(upload);
            change.action(action)
        }
    }
}

/// `reports`: keys of workers' reports to delete as well, because the bucket stays.
pub fn delete(bucket: &str, found: &Observed, reports: &[String]) -> Option<Change<Step>> {
    let binaries = found.iter().map(|(key, _)| key.clone());
    let keys: Vec<String> = reports.iter().cloned().chain(binaries).collect();
    let name = keys.last()?.clone();
    let mut change = Change::new(Address::Binary, &name);
    change.removed("keys", &keys);
    change.removal(Step::Remove { bucket: bucket.to_owned(), keys });
    Some(change.action(Action::Delete))
}

pub async fn run(step: &Step, aws: &Writer, context: &StepContext<'_>) -> Result<(), CallError> {
    match step {
        Step::Upload { bucket, key, path, sha256, bytes } => {
            let upload = || upload((bucket, key), path, sha256, *bytes, aws, context.account);
            settle(context, upload).await
        }
        Step::Remove { bucket, keys } => {
            for keys in keys.chunks(DELETE_BATCH) {
                let objects = keys.iter().map(|key| Version { key: key.clone(), id: None }).collect();
                super::ok_if_gone(delete_objects(bucket, context.account, objects, aws).await)?;
            }
            Ok(())
        }
    }
}

/// S3 compares the upload with the digest in the plan and refuses a file that has changed since. A file of another length
/// is refused here: a call that announces more bytes than it sends never gets a response.
async fn upload(
    (bucket, key): (&str, &str),
    path: &Path,
    sha256: &str,
    bytes: u64,
    aws: &Writer,
    account: &str,
) -> Result<(), CallError> {
    const ACTION: &str = "s3:PutObject";
    let refused = |message: String| CallError::judged(ACTION, Kind::Refused, message);
    let shown = path.display();
    let found = tokio::fs::metadata(path).await.map_err(|error| refused(format!("cannot read {shown}: {error}")))?;
    if found.len() != bytes {
        return Err(refused(format!("{shown} has {} bytes, but had {bytes} when it was planned", found.len())));
    }
    let body = ByteStream::from_path(path).await;
    let body = body.map_err(|error| refused(format!("cannot read {shown}: {error}")))?;
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(UPLOAD_TIMEOUT).build();
    let request = aws.clients.s3.put_object().bucket(bucket).key(key);
    let request = request.expected_bucket_owner(account);
    let request =
        request.content_length(i64::try_from(bytes).unwrap_or(i64::MAX)).content_type("application/octet-stream");
    let request = request.checksum_algorithm(ChecksumAlgorithm::Sha256).checksum_sha256(base64(sha256)).body(body);
    let config = aws_sdk_s3::config::Builder::new().timeout_config(timeouts);
    let result = request.customize().config_override(config).send().await;
    result.map(drop).action(ACTION)
}

/// A digest in S3's form: base64 of its bytes.
fn base64(hex: &str) -> String {
    let bytes: Vec<u8> =
        (0..hex.len() / 2).filter_map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).ok()).collect();
    aws_smithy_types::base64::encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_digest_makes_a_binarys_key() {
        assert!(is_binary(&format!("thumb-{}", "0a".repeat(32))));
        for key in ["thumb-", "thumb-nails/index.html", "thumb-drive-firmware.bin", "other"] {
            assert!(!is_binary(key), "{key}");
        }
        for digest in ["0A".repeat(32), "0a".repeat(31), "0a".repeat(33), format!("{}/x", "0a".repeat(31))] {
            assert!(!is_binary(&format!("thumb-{digest}")), "{digest}");
        }
        assert!(is_binary(&format!("thumb-0.1.0-f63336912abc-x86_64-{}", "0a".repeat(32))));
        assert!(!is_binary(&format!("thumb-nails-{}", "0a".repeat(32))));
        assert!(is_report("workers/i-0123456789abcdef0.json"));
        for key in ["workers/readme.json", "workers/i-.json", "workers/i-0/x.json", "workers/i-0.txt", "i-0.json"] {
            assert!(!is_report(key), "{key}");
        }
    }

    #[test]
    fn another_build_of_the_commit_in_the_bucket_is_that_one() {
        let executable = elf::Executable { arch: crate::config::image::Arch::X86_64, interpreter: None, glibc: None };
        let binary = |identity: &str, digit: &str| Binary {
            path: "thumb".into(),
            sha256: digit.repeat(64),
            bytes: 10,
            executable: executable.clone(),
            identity: Identity::parse(identity),
        };
        let mine = binary("0.1.0-f63336912abc-x86_64", "a");
        let theirs = Binary { bytes: 11, ..binary("0.1.0-f63336912abc-x86_64", "b") };
        let held = |binaries: &[&Binary]| binaries.iter().map(|b| (b.key(), b.bytes)).collect::<Observed>();
        assert_eq!(mine.deployed(&held(&[&theirs])), Some(theirs.clone()));
        assert_eq!(mine.deployed(&held(&[&theirs, &mine])), None, "this very build is there");
        let others =
            [binary("0.1.0-000000000000-x86_64", "c"), binary("0.1.0-f63336912abc-aarch64", "d"), binary("", "e")];
        assert_eq!(mine.deployed(&held(&others.iter().collect::<Vec<_>>())), None);
        assert_eq!(others[2].deployed(&held(&[&others[2], &mine])), None, "a build with changes has no identity");
        assert_eq!(parse(&mine.key()).unwrap().to_string(), "thumb 0.1.0 (f63336912abc)");
        assert_eq!(parse(&others[2].key()).unwrap().to_string(), "thumb build eeeeeeee");
    }
}
