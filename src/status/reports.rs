//! Reads the workers' reports in the code bucket.

use aws_sdk_s3::types::Object;
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::aws::{CallError, CallResult, Clients, Kind};
use crate::worker_report::{self, WorkerReport};

/// Reports that are read: the newest.
const MAX_REPORTS: usize = 50;
/// Reports read in parallel.
const SIDE_BY_SIDE: usize = 10;
/// An idle worker reports every five minutes: three of them did not come.
pub const STALE_S: u64 = 900;
/// How long an instance may take until its worker's first report: `apply` waits as long.
pub const BOOT_S: u64 = 600;

/// The newest reports in the code bucket, and how many older ones there are.
///
/// # Errors
/// They cannot be listed or read.
pub async fn read(clients: &Clients, bucket: &str, account: &str) -> Result<(Vec<WorkerReport>, usize), CallError> {
    let list = clients.s3.list_objects_v2().bucket(bucket).expected_bucket_owner(account);
    let page = list.prefix(worker_report::PREFIX).send().await.action("s3:ListBucket")?;
    let mut objects: Vec<Object> = page.contents.unwrap_or_default();
    objects.sort_by_key(|object| std::cmp::Reverse(object.last_modified.map_or(0, |time| time.secs())));
    let older = objects.len().saturating_sub(MAX_REPORTS);
    let keys = objects.into_iter().take(MAX_REPORTS).filter_map(|object| object.key);
    let read = keys.map(|key| async move { report(clients, bucket, account, &key).await });
    let reports: Vec<Option<WorkerReport>> = stream::iter(read).buffered(SIDE_BY_SIDE).try_collect().await?;
    Ok((reports.into_iter().flatten().collect(), older))
}

/// `None`: it has gone meanwhile, or is no report of this version.
async fn report(clients: &Clients, bucket: &str, account: &str, key: &str) -> Result<Option<WorkerReport>, CallError> {
    let get = clients.s3.get_object().bucket(bucket).key(key).expected_bucket_owner(account);
    // S3 sends no more than that.
    let get = get.range(format!("bytes=0-{}", worker_report::MAX_BYTES - 1));
    let object = match get.send().await.action("s3:GetObject") {
        Err(error) if error.kind == Kind::NotFound => return Ok(None),
        object => object?,
    };
    let body = object.body.collect().await.ok();
    Ok(body.and_then(|body| WorkerReport::from_json(&body.into_bytes()).ok()))
}
