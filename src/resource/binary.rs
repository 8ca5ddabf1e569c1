//! The program's own executable in the code bucket, under a key that names its content: `thumb-<sha256>`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, ObjectIdentifier};
use sha2::{Digest, Sha256};

use super::{Found, optional};
use crate::aws::{CallError, Kind, Reader, Writer};
use crate::plan::{Action, Address, Change};
use crate::{elf, failure};

/// What every key of ours in the code bucket begins with.
pub const KEY_PREFIX: &str = "thumb-";
/// An executable larger than this is something else.
const MAX_BYTES: u64 = 256 << 20;
/// Twenty megabytes over a slow line.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(900);
/// Old binaries removed by one apply.
const MAX_STALE: i32 = 1_000;

/// The executable as declared: a file here.
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    pub path: PathBuf,
    /// 64 lower-case hexadecimal digits.
    pub sha256: String,
    pub bytes: u64,
    pub executable: elf::Executable,
}

/// The keys in the code bucket that begin with [`KEY_PREFIX`], and their sizes in bytes.
pub type Observed = Vec<(String, u64)>;

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Upload { bucket: String, path: PathBuf, sha256: String, bytes: u64 },
    Remove { bucket: String, keys: Vec<String> },
}

impl Binary {
    /// Reads the file and its ELF header.
    ///
    /// # Errors
    /// It cannot be read, is too large, or is no Linux executable.
    pub fn load(path: &Path) -> failure::Result<Self> {
        let shown = path.display();
        let fail = |error: &(dyn std::error::Error + 'static)| {
            failure::Failure::new(format!("cannot read the executable {shown}")).caused_by(error)
        };
        let size = std::fs::metadata(path).map_err(|error| fail(&error))?.len();
        if size > MAX_BYTES {
            return Err(failure::Failure::new(format!(
                "{shown} has {size} bytes; an executable of more than {MAX_BYTES} is not one of thumb's"
            )));
        }
        let content = std::fs::read(path).map_err(|error| fail(&error))?;
        let executable = elf::inspect(&content).map_err(|error| {
            failure::Failure::new(format!("{shown} cannot run on an instance")).caused_by(&error).hint(error.hint())
        })?;
        let sha256 = Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { path: path.to_owned(), sha256, bytes: content.len() as u64, executable })
    }

    pub fn key(&self) -> String {
        format!("{KEY_PREFIX}{}", self.sha256)
    }
}

/// The binaries in the code bucket; whether the bucket is ours is the bucket's own question.
pub async fn read(aws: &Reader, bucket: &str) -> Result<Observed, CallError> {
    let result = aws.list_objects_v2().bucket(bucket).prefix(KEY_PREFIX).max_keys(MAX_STALE).send().await;
    let listed = match optional(result.map_err(|e| CallError::new("s3:ListBucket", e))) {
        // Somebody else's bucket: the bucket itself is reported.
        Err(error) if error.kind == Kind::Denied || error.code.as_deref() == Some("PermanentRedirect") => None,
        listed => listed?,
    };
    let objects = listed.and_then(|out| out.contents).unwrap_or_default();
    Ok(objects
        .into_iter()
        .filter_map(|object| Some((object.key?, u64::try_from(object.size.unwrap_or(0)).unwrap_or(0))))
        .collect())
}

/// `bucket_name`: the code bucket's, which is there as `bucket`.
pub fn diff(desired: &Binary, bucket_name: &str, bucket: &Found<super::bucket::Observed>, found: &Observed) -> Change {
    let Binary { path, sha256, bytes, executable } = desired;
    let key = desired.key();
    let mut change = Change::new(Address::Binary, &key);
    if matches!(bucket, Found::Foreign(_)) {
        return Change::blocked(Address::Binary, &key, format!("the bucket {bucket_name} is not thumb's to write to"));
    }
    let stale: Vec<String> = found.iter().map(|(key, _)| key.clone()).filter(|found| *found != key).collect();
    let upload =
        Step::Upload { bucket: bucket_name.to_owned(), path: path.clone(), sha256: sha256.clone(), bytes: *bytes };
    let remove = Step::Remove { bucket: bucket_name.to_owned(), keys: stale.clone() };
    match found.iter().find(|(found, _)| *found == key) {
        Some((_, size)) if size == bytes && stale.is_empty() => change,
        Some((_, size)) if size == bytes => {
            change.lose("older_binaries", &stale);
            change.down(remove);
            change.action(Action::Update)
        }
        Some((_, size)) => {
            change.compare("bytes", size, bytes);
            change.up(upload);
            change.action(Action::Update)
        }
        None => {
            let action = if stale.is_empty() { Action::Create } else { Action::Replace };
            if action == Action::Replace {
                change.reason = Some("the executable changed".into());
                change.compare("key", &stale.join(", "), &key);
                change.down(remove);
            } else {
                change.set("key", &key);
                change.set("file", &path.display().to_string());
                change.set("bytes", bytes);
                change.set("architecture", &executable.arch);
                change.set("glibc", &executable.glibc.map(|glibc| format!("{glibc} or newer")));
            }
            change.up(upload);
            change.action(action)
        }
    }
}

pub fn delete(bucket: &str, found: &Observed) -> Option<Change> {
    let keys: Vec<String> = found.iter().map(|(key, _)| key.clone()).collect();
    let name = keys.last()?.clone();
    let mut change = Change::new(Address::Binary, &name);
    change.lose("keys", &keys);
    change.down(Step::Remove { bucket: bucket.to_owned(), keys });
    Some(change.action(Action::Delete))
}

pub async fn run(step: &Step, aws: &Writer) -> Result<(), CallError> {
    match step {
        Step::Upload { bucket, path, sha256, bytes } => upload(bucket, path, sha256, *bytes, aws).await,
        Step::Remove { bucket, keys } => {
            let objects = keys.iter().filter_map(|key| ObjectIdentifier::builder().key(key).build().ok()).collect();
            super::gone_is_fine(super::bucket::delete_objects(bucket, objects, aws).await)
        }
    }
}

/// S3 checks what arrives against the digest the plan was made with: a file that changed since is refused. One of
/// another length is refused here: a call that promises more bytes than come is never answered.
async fn upload(bucket: &str, path: &Path, sha256: &str, bytes: u64, aws: &Writer) -> Result<(), CallError> {
    const ACTION: &str = "s3:PutObject";
    let refused = |message: String| CallError::judged(ACTION, Kind::Refused, message);
    let shown = path.display();
    let found = tokio::fs::metadata(path).await.map_err(|error| refused(format!("cannot read {shown}: {error}")))?;
    if found.len() != bytes {
        return Err(refused(format!("{shown} has {} bytes, and had {bytes} when it was planned", found.len())));
    }
    let body = ByteStream::from_path(path).await;
    let body = body.map_err(|error| refused(format!("cannot read {shown}: {error}")))?;
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(UPLOAD_TIMEOUT).build();
    let request = aws.clients.s3.put_object().bucket(bucket).key(format!("{KEY_PREFIX}{sha256}"));
    let request =
        request.content_length(i64::try_from(bytes).unwrap_or(i64::MAX)).content_type("application/octet-stream");
    let request = request.checksum_algorithm(ChecksumAlgorithm::Sha256).checksum_sha256(base64(sha256)).body(body);
    let config = aws_sdk_s3::config::Builder::new().timeout_config(timeouts);
    let result = request.customize().config_override(config).send().await;
    result.map(drop).map_err(|e| CallError::new(ACTION, e))
}

/// A digest in S3's form: base64 of its bytes.
fn base64(hex: &str) -> String {
    let bytes: Vec<u8> =
        (0..hex.len() / 2).filter_map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).ok()).collect();
    aws_smithy_types::base64::encode(bytes)
}
