//! The memory budget: admission control below the worker's memory ceiling. What a message needs is known before it is used:
//! a photograph's bytes from its length, the engine's working memory from the photograph's header. Both are reserved from
//! pools that together stay below the ceiling. A message waits until its part is free; a reservation that exceeds a whole
//! pool is refused.
//!
//! Deadlock is ruled out by a fixed order: the turn to run alone, the web's share, photographs, pixels; a holder of one of
//! them waits only for later ones. Growing a permit is tried without waiting.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::in_flight::MAX_BODIES_BYTES;
use crate::config::{MAX_MEMORY_BYTES, MIN_MEMORY_BYTES};
use crate::thumbnail::Limits;

/// The pools count in units of this many bytes; a semaphore's count is 32 bits.
const UNIT_BYTES: u64 = 16 << 10;
/// What the program needs without messages: code, threads, connections, and what waits for CloudWatch and SNS (two queues of 2 MiB,
/// and of a batch the events, a copy and the request).
const PROGRAM_BYTES: u64 = 40 << 20;
/// What the messages' bodies may need: as they are in flight, once more while they are dead-lettered, and then as JSON, in
/// which each byte may become two.
const BODIES_BYTES: u64 = 4 * MAX_BODIES_BYTES as u64;
/// What a job needs beside its photograph: the HTTP client reads up to 400 KiB ahead while the job waits for memory.
const SLOT_BYTES: u64 = 512 << 10;
/// Photographs from the web get at most this fraction of the photographs' pool: any server may send as slowly as it likes,
/// and photographs from S3 must not wait for it.
const URL_SHARE: u64 = 2;

/// The budget; clones share the pools.
#[derive(Clone, Debug)]
pub struct MemoryBudget {
    fixed_bytes: u64,
    photos: Pool,
    pixels: Pool,
    /// Photographs from the web are counted here as well.
    urls: Pool,
    /// A single permit: the turn to run alone.
    turn: Arc<Semaphore>,
}

#[derive(Clone, Debug)]
struct Pool {
    units: u32,
    free: Arc<Semaphore>,
}

/// A part of a pool, returned when dropped.
#[derive(Debug)]
pub struct Permit(OwnedSemaphorePermit);

/// A photograph's part of the budget.
#[derive(Debug)]
pub struct PhotoPermit {
    photos: Permit,
    /// For a photograph from the web.
    urls: Option<Permit>,
    /// It holds the whole pool, and returns nothing before the end.
    alone: bool,
}

/// The turn of a message that runs alone.
#[derive(Debug)]
pub struct Turn(#[expect(dead_code, reason = "held until it is dropped")] OwnedSemaphorePermit);

/// Where a photograph comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    S3,
    Web,
}

/// More was asked for than the whole pool has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge {
    pub needs_bytes: u64,
    pub has_bytes: u64,
}

impl fmt::Display for TooLarge {
    /// The end of a sentence: "it needs …".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (needs, has) = (self.needs_bytes.div_ceil(1 << 20), self.has_bytes >> 20);
        write!(f, "{needs} MiB, and this worker has {has} MiB")
    }
}

impl MemoryBudget {
    /// Divides what this many jobs leave of the ceiling: a quarter for photographs as they are received, the rest for the
    /// engine.
    pub fn new(ceiling_bytes: u64, concurrency: usize) -> Self {
        let fixed_bytes = PROGRAM_BYTES + BODIES_BYTES + SLOT_BYTES * concurrency as u64;
        let left = ceiling_bytes.clamp(MIN_MEMORY_BYTES, MAX_MEMORY_BYTES).saturating_sub(fixed_bytes);
        Self {
            fixed_bytes,
            photos: Pool::new(left / 4),
            pixels: Pool::new(left - left / 4),
            urls: Pool::new(left / 4 / URL_SHARE),
            turn: Arc::new(Semaphore::new(1)),
        }
    }

    /// The total of all parts.
    pub fn ceiling_bytes(&self) -> u64 {
        self.fixed_bytes + self.photos.bytes() + self.pixels.bytes()
    }

    /// The configured limits, reduced to what fits into the pools. How many pixels fit depends on the photograph and its
    /// thumbnails, which [`Self::engine`] decides.
    pub fn limits(&self, configured: Limits) -> Limits {
        let photo = usize::try_from(self.photos.bytes()).unwrap_or(usize::MAX);
        Limits { max_source_bytes: configured.max_source_bytes.min(photo), ..configured }
    }

    /// The most bytes that a photograph of this origin may have, within the limits.
    pub fn max_photo_bytes(&self, origin: Origin, limit: usize) -> usize {
        match origin {
            Origin::S3 => limit,
            Origin::Web => limit.min(usize::try_from(self.urls.bytes()).unwrap_or(usize::MAX)),
        }
    }

    /// Waits for the turn to run alone; must be taken before any permit.
    pub async fn turn(&self) -> Turn {
        Turn(Arc::clone(&self.turn).acquire_owned().await.expect("the semaphore is never closed"))
    }

    /// Waits for memory for a photograph of this size.
    ///
    /// A message that runs alone waits for the whole pool, so that no other photograph is in memory. A photograph from the
    /// web does not: its server may be slow, and others must not wait for it.
    ///
    /// # Errors
    /// It never fits.
    pub async fn photo(&self, bytes: u64, origin: Origin, alone: Option<&Turn>) -> Result<PhotoPermit, TooLarge> {
        let urls = match origin {
            Origin::S3 => None,
            Origin::Web => Some(self.urls.take(bytes).await?),
        };
        let alone = alone.is_some() && origin == Origin::S3;
        let bytes = if alone { bytes.max(self.photos.bytes()) } else { bytes };
        Ok(PhotoPermit { photos: self.photos.take(bytes).await?, urls, alone })
    }

    /// Waits for the working memory of one run of the engine; a message that runs alone waits for all of it.
    ///
    /// # Errors
    /// It never fits.
    pub async fn engine(&self, bytes: u64, alone: Option<&Turn>) -> Result<Permit, TooLarge> {
        let bytes = if alone.is_some() { bytes.max(self.pixels.bytes()) } else { bytes };
        self.pixels.take(bytes).await
    }
}

impl Pool {
    fn new(bytes: u64) -> Self {
        let units = u32::try_from(bytes / UNIT_BYTES).unwrap_or(u32::MAX).max(1);
        Self { units, free: Arc::new(Semaphore::new(units as usize)) }
    }

    fn bytes(&self) -> u64 {
        u64::from(self.units) * UNIT_BYTES
    }

    async fn take(&self, bytes: u64) -> Result<Permit, TooLarge> {
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).ok().filter(|units| *units <= self.units);
        let units = units.ok_or(TooLarge { needs_bytes: bytes, has_bytes: self.bytes() })?;
        Ok(Permit(Arc::clone(&self.free).acquire_many_owned(units.max(1)).await.expect("the pool is never closed")))
    }
}

impl Permit {
    /// Its size.
    fn bytes(&self) -> u64 {
        self.0.num_permits() as u64 * UNIT_BYTES
    }

    /// Returns what exceeds `bytes`.
    pub fn shrink_to(&mut self, bytes: u64) {
        let units = usize::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(usize::MAX);
        drop(self.0.split(self.0.num_permits().saturating_sub(units)));
    }

    /// Grows to `bytes` in total, if that much is free now.
    fn try_grow_to(&mut self, bytes: u64) -> bool {
        let more = bytes.div_ceil(UNIT_BYTES).saturating_sub(self.0.num_permits() as u64);
        let Ok(more) = u32::try_from(more) else { return false };
        // Fails while others wait for the pool: what is free is theirs.
        match Arc::clone(self.0.semaphore()).try_acquire_many_owned(more) {
            Ok(permit) => {
                self.0.merge(permit);
                true
            }
            Err(_) => false,
        }
    }
}

impl PhotoPermit {
    /// The bytes that it covers.
    pub fn bytes(&self) -> u64 {
        self.photos.bytes()
    }

    /// Returns what exceeds `bytes`.
    pub fn shrink_to(&mut self, bytes: u64) {
        if self.alone {
            return;
        }
        self.photos.shrink_to(bytes);
        self.urls.iter_mut().for_each(|urls| urls.shrink_to(bytes));
    }

    /// Grows to `bytes` in total, if that much is free now; else it stays as it is.
    pub fn try_grow_to(&mut self, bytes: u64) -> bool {
        self.urls.as_mut().is_none_or(|urls| urls.try_grow_to(bytes)) && self.photos.try_grow_to(bytes)
    }
}

/// The ceiling where none is given: three quarters of the memory of the machine or its cgroup. The rest is for the
/// allocator's overhead and for the system.
pub fn default_ceiling_bytes() -> u64 {
    let read = |path: &str| std::fs::read_to_string(Path::new(path)).ok();
    let machine = read("/proc/meminfo").and_then(|text| mem_total_bytes(&text));
    let cgroups = read("/proc/self/cgroup").map(|text| memory_max_files(&text)).unwrap_or_default();
    // "max" means no limit, and does not parse.
    let limits = cgroups.iter().filter_map(|file| read(file)?.trim().parse().ok());
    let has = limits.chain(machine).min().unwrap_or(u64::MAX);
    // Unknown (not Linux): assume 2 GiB.
    let has = if has == u64::MAX { 2 << 30 } else { has };
    (has / 4 * 3).clamp(MIN_MEMORY_BYTES, MAX_MEMORY_BYTES)
}

/// The files with the limits of a process's cgroup and its ancestors, of which the lowest counts (cgroups(7), version 2:
/// `0::/system.slice/thumb-worker.service`).
fn memory_max_files(cgroup: &str) -> Vec<String> {
    let path = cgroup.lines().find_map(|line| line.strip_prefix("0::/"));
    let groups = path.into_iter().flat_map(|path| Path::new(path).ancestors());
    groups.map(|group| Path::new("/sys/fs/cgroup").join(group).join("memory.max").display().to_string()).collect()
}

/// `MemTotal:       24683520 kB` (proc_meminfo(5)).
fn mem_total_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;
    use crate::config::MAX_CONCURRENCY;
    use crate::thumbnail::{Size, Spec, working_memory};

    #[test]
    fn the_machines_memory_is_read() {
        assert_eq!(mem_total_bytes("MemTotal:       24683520 kB\nMemFree: 1 kB\n"), Some(24_683_520 * 1024));
        assert_eq!(mem_total_bytes("nonsense"), None);
        assert!(default_ceiling_bytes() >= MIN_MEMORY_BYTES);
    }

    #[test]
    fn a_cgroups_limit_is_that_of_all_around_it() {
        let files = memory_max_files("1:name=systemd:/x\n0::/system.slice/thumb-worker.service\n");
        assert_eq!(
            files,
            [
                "/sys/fs/cgroup/system.slice/thumb-worker.service/memory.max",
                "/sys/fs/cgroup/system.slice/memory.max",
                "/sys/fs/cgroup/memory.max"
            ]
        );
        assert_eq!(memory_max_files("0::/\n"), ["/sys/fs/cgroup/memory.max"]);
        assert_eq!(memory_max_files("4:memory:/docker/1\n"), [""; 0]);
    }

    #[test]
    fn the_pools_and_the_limits_stay_below_the_ceiling() {
        for (ceiling, concurrency) in
            [0, 256 << 20, 1 << 30, 64 << 30, u64::MAX].into_iter().zip([1, MAX_CONCURRENCY, 16, 64, 64])
        {
            let memory = MemoryBudget::new(ceiling, concurrency as usize);
            let limits = memory.limits(Limits { max_source_bytes: usize::MAX, ..Limits::default() });
            assert!(memory.ceiling_bytes() <= ceiling.clamp(MIN_MEMORY_BYTES, MAX_MEMORY_BYTES));
            assert!(limits.max_source_bytes as u64 <= memory.photos.bytes());
        }
    }

    /// A photograph of a telephone, 12 Mpx progressive, to 400 x 400, however little memory and however many messages.
    #[tokio::test]
    async fn the_least_memory_is_enough_for_a_photograph_of_a_telephone() {
        let mut jpeg = Vec::new();
        let mut encoder = jpeg_encoder::Encoder::new(&mut jpeg, 90);
        encoder.set_progressive(true);
        encoder.encode(&[128; 16 * 16 * 3], 16, 16, jpeg_encoder::ColorType::Rgb).unwrap();
        let frame = jpeg.windows(2).position(|marker| marker == [0xff, 0xc2]).expect("a progressive frame header");
        jpeg[frame + 5..frame + 7].copy_from_slice(&3_024_u16.to_be_bytes());
        jpeg[frame + 7..frame + 9].copy_from_slice(&4_032_u16.to_be_bytes());
        // As long as such a picture must be.
        jpeg.resize(8 << 20, 0);
        let info = crate::thumbnail::probe(&jpeg, &Limits::default()).unwrap();
        let spec = Spec::new(Size::new(400, 400));
        let needs = working_memory(&info, &[spec]);
        assert!(needs > 12_000_000, "{needs}");
        let memory = MemoryBudget::new(MIN_MEMORY_BYTES, MAX_CONCURRENCY as usize);
        assert!(memory.photo(jpeg.len() as u64, Origin::S3, None).await.is_ok());
        assert!(memory.engine(needs, None).await.is_ok(), "{needs}");
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_photograph_waits_until_its_memory_is_free() {
        let memory = MemoryBudget::new(MIN_MEMORY_BYTES, 1);
        let mut held = memory.photo(memory.photos.bytes(), Origin::S3, None).await.unwrap();
        assert!(timeout(SECOND, memory.photo(1, Origin::S3, None)).await.is_err());
        held.shrink_to(memory.photos.bytes() - UNIT_BYTES);
        assert!(timeout(SECOND, memory.photo(UNIT_BYTES, Origin::S3, None)).await.is_ok());
        assert!(timeout(SECOND, memory.photo(UNIT_BYTES + 1, Origin::S3, None)).await.is_err());
    }

    #[tokio::test]
    async fn what_never_fits_is_refused_with_the_numbers() {
        let memory = MemoryBudget::new(MIN_MEMORY_BYTES, 1);
        let refused = memory.engine(memory.pixels.bytes() + 1, None).await.unwrap_err();
        assert_eq!(refused.to_string(), "126 MiB, and this worker has 125 MiB");
        assert!(memory.photo(memory.photos.bytes() + 1, Origin::S3, None).await.is_err());
        let turn = memory.turn().await;
        assert!(memory.engine(u64::MAX, Some(&turn)).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn photographs_from_the_web_leave_half_of_the_pool_to_others() {
        let memory = MemoryBudget::new(MIN_MEMORY_BYTES, 1);
        let max = memory.max_photo_bytes(Origin::Web, usize::MAX) as u64;
        assert!((memory.photos.bytes() / 2 - UNIT_BYTES..=memory.photos.bytes() / 2).contains(&max));
        let mut slow = memory.photo(max - UNIT_BYTES, Origin::Web, None).await.unwrap();
        // The second one waits beside the pool, and not at its head.
        let next = tokio::spawn({
            let memory = memory.clone();
            async move { memory.photo(max, Origin::Web, None).await.map(drop) }
        });
        tokio::task::yield_now().await;
        assert!(timeout(SECOND, memory.photo(max, Origin::S3, None)).await.is_ok());
        assert!(!slow.try_grow_to(max + UNIT_BYTES) && !next.is_finished());
        drop(slow);
        assert!(timeout(SECOND, next).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_permit_grows_only_into_free_memory_that_no_one_waits_for() {
        let memory = MemoryBudget::new(MIN_MEMORY_BYTES, 1);
        let mut held = memory.photo(1, Origin::S3, None).await.unwrap();
        assert!(held.try_grow_to(memory.photos.bytes() - UNIT_BYTES));
        assert_eq!(held.bytes(), memory.photos.bytes() - UNIT_BYTES);
        let waiting = timeout(SECOND, memory.photo(2 * UNIT_BYTES, Origin::S3, None));
        let (waited, grown) = tokio::join!(waiting, async { held.try_grow_to(memory.photos.bytes()) });
        assert!(waited.is_err() && !grown);
        assert!(held.try_grow_to(memory.photos.bytes()), "no one waits any more");
    }

    /// Messages of all kinds at once: none waits for ever, and none runs beside one that runs alone.
    #[tokio::test(start_paused = true)]
    async fn a_message_on_its_last_receipt_runs_alone_without_a_deadlock() {
        let memory = MemoryBudget::new(MIN_MEMORY_BYTES, 1);
        let running = Arc::new(Mutex::new(Vec::new()));
        let mut jobs = tokio::task::JoinSet::new();
        for job in 0..60 {
            let (memory, running) = (memory.clone(), Arc::clone(&running));
            jobs.spawn(async move {
                let alone = job % 5 == 0;
                let origin = if job % 3 == 0 { Origin::Web } else { Origin::S3 };
                let turn = if alone { Some(memory.turn().await) } else { None };
                let bytes =
                    memory.max_photo_bytes(origin, usize::MAX).min(memory.photos.bytes() as usize / 3 * 2) as u64;
                let mut photo = memory.photo(bytes, origin, turn.as_ref()).await.unwrap();
                tokio::time::sleep(Duration::from_millis(job % 7)).await;
                photo.try_grow_to(bytes + 10 * UNIT_BYTES);
                let bytes = memory.pixels.bytes() / 4;
                let pixels = memory.engine(bytes, turn.as_ref()).await.unwrap();
                running.lock().unwrap().push((job, alone));
                tokio::time::sleep(Duration::from_millis(5)).await;
                {
                    let mut running = running.lock().unwrap();
                    assert!(running.len() == 1 || running.iter().all(|(_, alone)| !alone), "{running:?}");
                    running.retain(|(other, _)| *other != job);
                }
                drop((photo, pixels, turn));
            });
        }
        let all = async { while jobs.join_next().await.transpose().unwrap().is_some() {} };
        timeout(60 * SECOND, all).await.expect("no deadlock");
    }
}
