//! The worker's memory ceiling. What a message needs is known before it is used: a photograph's bytes from its length,
//! the engine's working memory from the photograph's header. Both are taken from pools that together stay below the
//! ceiling, and a message waits until its part is free; what is more than a whole pool is refused.
//!
//! Nobody waits in a circle: the order is always the turn to run alone, the web's share, photographs, pixels, and whoever
//! holds one of them waits only for what comes later. More of what is held already is tried for, and not waited for.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::in_flight::MAX_BODIES_BYTES;
use crate::config::{MAX_MEMORY_BYTES, MIN_MEMORY_BYTES};
use crate::thumbnail::Limits;

/// The pools count in units of this many bytes; a semaphore's count is 32 bits.
const UNIT_BYTES: u64 = 16 << 10;
/// What the program needs without any message: code, threads, connections.
const PROGRAM_BYTES: u64 = 32 << 20;
/// What the messages' bodies may need: as they are held, once more on their way into the dead-letter queue, and there as
/// JSON, in which each byte may become two.
const BODIES_BYTES: u64 = 4 * MAX_BODIES_BYTES as u64;
/// What a message in work needs beside its photograph: the HTTP client reads up to 400 KiB ahead of whoever waits for
/// room.
const SLOT_BYTES: u64 = 512 << 10;
/// Photographs from the web have at most one part in so many of the photographs' pool: their servers are anybody's, and
/// may send as slowly as they like, beside which those of S3 must go on.
const URL_SHARE: u64 = 2;

/// The pools.
#[derive(Clone, Debug)]
pub struct Room {
    fixed_bytes: u64,
    photos: Pool,
    pixels: Pool,
    /// Photographs from the web are counted here beside.
    urls: Pool,
    /// One permit: the turn to run alone.
    turn: Arc<Semaphore>,
}

#[derive(Clone, Debug)]
struct Pool {
    units: u32,
    free: Arc<Semaphore>,
}

/// A part of a pool, given back when dropped.
#[derive(Debug)]
pub struct Permit(OwnedSemaphorePermit);

/// A photograph's place in memory.
#[derive(Debug)]
pub struct PhotoPermit {
    photos: Permit,
    /// Of a photograph from the web.
    urls: Option<Permit>,
    /// The whole pool: nothing of it is given back before the end.
    alone: bool,
}

/// The turn of a message that runs alone.
#[derive(Debug)]
pub struct Turn(#[expect(dead_code, reason = "held, and given back when dropped")] OwnedSemaphorePermit);

/// Whom a photograph comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    S3,
    Web,
}

/// More was asked for than there is, however long one waits.
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

impl Room {
    /// Divides what so many messages in work leave of a ceiling: a quarter for photographs as they came, the rest for
    /// the engine.
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

    /// What all of it may come to.
    pub fn ceiling_bytes(&self) -> u64 {
        self.fixed_bytes + self.photos.bytes() + self.pixels.bytes()
    }

    /// The limits that fit into the pools. How many pixels do depends on the kind of photograph and on its thumbnails, and
    /// is for [`Self::engine`] to say.
    pub fn limits(&self, configured: Limits) -> Limits {
        let photo = usize::try_from(self.photos.bytes()).unwrap_or(usize::MAX);
        Limits { max_source_bytes: configured.max_source_bytes.min(photo), ..configured }
    }

    /// The most bytes that a photograph of this origin may have, of those that the limits allow.
    pub fn max_photo_bytes(&self, origin: Origin, limit: usize) -> usize {
        match origin {
            Origin::S3 => limit,
            Origin::Web => limit.min(usize::try_from(self.urls.bytes()).unwrap_or(usize::MAX)),
        }
    }

    /// Waits for the turn to run alone; to be taken before anything else.
    pub async fn turn(&self) -> Turn {
        Turn(Arc::clone(&self.turn).acquire_owned().await.expect("nobody closes it"))
    }

    /// Waits for the place of a photograph of so many bytes.
    ///
    /// One that runs alone waits for the whole pool, so that no other is in memory; but one from the web does not: its
    /// server may be slow, and nobody shall wait for that.
    ///
    /// # Errors
    /// No such photograph ever fits.
    pub async fn photo(&self, bytes: u64, origin: Origin, alone: Option<&Turn>) -> Result<PhotoPermit, TooLarge> {
        let urls = match origin {
            Origin::S3 => None,
            Origin::Web => Some(self.urls.take(bytes).await?),
        };
        let alone = alone.is_some() && origin == Origin::S3;
        let bytes = if alone { bytes.max(self.photos.bytes()) } else { bytes };
        Ok(PhotoPermit { photos: self.photos.take(bytes).await?, urls, alone })
    }

    /// Waits for the working memory of one run of the engine; one that runs alone waits for all of it.
    ///
    /// # Errors
    /// It needs more than there is.
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
        Ok(Permit(Arc::clone(&self.free).acquire_many_owned(units.max(1)).await.expect("nobody closes the pool")))
    }
}

impl Permit {
    /// What it is good for.
    fn bytes(&self) -> u64 {
        self.0.num_permits() as u64 * UNIT_BYTES
    }

    /// Gives back what is beyond `bytes`.
    pub fn shrink_to(&mut self, bytes: u64) {
        let units = usize::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(usize::MAX);
        drop(self.0.split(self.0.num_permits().saturating_sub(units)));
    }

    /// Takes more of the same pool, up to `bytes` in all, if that is free now.
    fn try_grow_to(&mut self, bytes: u64) -> bool {
        let more = bytes.div_ceil(UNIT_BYTES).saturating_sub(self.0.num_permits() as u64);
        let Ok(more) = u32::try_from(more) else { return false };
        // What is free while somebody waits is kept for him.
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
    /// The bytes that there is place for.
    pub fn bytes(&self) -> u64 {
        self.photos.bytes()
    }

    /// Gives back what is beyond `bytes`.
    pub fn shrink_to(&mut self, bytes: u64) {
        if self.alone {
            return;
        }
        self.photos.shrink_to(bytes);
        self.urls.iter_mut().for_each(|urls| urls.shrink_to(bytes));
    }

    /// Makes place for `bytes` in all, if it is free now. Without it what was held stays held.
    pub fn try_grow_to(&mut self, bytes: u64) -> bool {
        self.urls.as_mut().is_none_or(|urls| urls.try_grow_to(bytes)) && self.photos.try_grow_to(bytes)
    }
}

/// The ceiling where none is given: three quarters of what the machine or its cgroup has. The rest is for the
/// allocator's own slack and for the machine.
pub fn default_ceiling_bytes() -> u64 {
    let read = |path: &str| std::fs::read_to_string(Path::new(path)).ok();
    let machine = read("/proc/meminfo").and_then(|text| mem_total_bytes(&text));
    let cgroups = read("/proc/self/cgroup").map(|text| memory_max_files(&text)).unwrap_or_default();
    // "max" is none.
    let limits = cgroups.iter().filter_map(|file| read(file)?.trim().parse().ok());
    let has = limits.chain(machine).min().unwrap_or(u64::MAX);
    // Neither is known (not Linux): a machine of 2 GiB.
    let has = if has == u64::MAX { 2 << 30 } else { has };
    (has / 4 * 3).clamp(MIN_MEMORY_BYTES, MAX_MEMORY_BYTES)
}

/// Where a process's cgroup and those around it say what they may have, of which the least counts (cgroups(7), version
/// 2: `0::/system.slice/thumb-worker.service`).
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
    use crate::thumbnail::{Fit, Size, Spec, working_memory};

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
            let room = Room::new(ceiling, concurrency as usize);
            let limits = room.limits(Limits { max_source_bytes: usize::MAX, ..Limits::default() });
            assert!(room.ceiling_bytes() <= ceiling.clamp(MIN_MEMORY_BYTES, MAX_MEMORY_BYTES));
            assert!(limits.max_source_bytes as u64 <= room.photos.bytes());
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
        let spec = Spec { size: Size { width: 400, height: 400 }, fit: Fit::Cover, quality: 80 };
        let needs = working_memory(&info, &[spec]);
        assert!(needs > 12_000_000, "{needs}");
        let room = Room::new(MIN_MEMORY_BYTES, MAX_CONCURRENCY as usize);
        assert!(room.photo(jpeg.len() as u64, Origin::S3, None).await.is_ok());
        assert!(room.engine(needs, None).await.is_ok(), "{needs}");
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn who_finds_no_room_waits_until_there_is() {
        let room = Room::new(MIN_MEMORY_BYTES, 1);
        let mut held = room.photo(room.photos.bytes(), Origin::S3, None).await.unwrap();
        assert!(timeout(SECOND, room.photo(1, Origin::S3, None)).await.is_err());
        held.shrink_to(room.photos.bytes() - UNIT_BYTES);
        assert!(timeout(SECOND, room.photo(UNIT_BYTES, Origin::S3, None)).await.is_ok());
        assert!(timeout(SECOND, room.photo(UNIT_BYTES + 1, Origin::S3, None)).await.is_err());
    }

    #[tokio::test]
    async fn what_never_fits_is_refused_with_the_numbers() {
        let room = Room::new(MIN_MEMORY_BYTES, 1);
        let refused = room.engine(room.pixels.bytes() + 1, None).await.unwrap_err();
        assert_eq!(refused.to_string(), "132 MiB, and this worker has 131 MiB");
        assert!(room.photo(room.photos.bytes() + 1, Origin::S3, None).await.is_err());
        let turn = room.turn().await;
        assert!(room.engine(u64::MAX, Some(&turn)).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn photographs_from_the_web_leave_half_of_the_pool_to_others() {
        let room = Room::new(MIN_MEMORY_BYTES, 1);
        let max = room.max_photo_bytes(Origin::Web, usize::MAX) as u64;
        assert!((room.photos.bytes() / 2 - UNIT_BYTES..=room.photos.bytes() / 2).contains(&max));
        let mut slow = room.photo(max - UNIT_BYTES, Origin::Web, None).await.unwrap();
        // The second one waits beside the pool, and not at its head.
        let next = tokio::spawn({
            let room = room.clone();
            async move { room.photo(max, Origin::Web, None).await.map(drop) }
        });
        tokio::task::yield_now().await;
        assert!(timeout(SECOND, room.photo(max, Origin::S3, None)).await.is_ok());
        assert!(!slow.try_grow_to(max + UNIT_BYTES) && !next.is_finished());
        drop(slow);
        assert!(timeout(SECOND, next).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn more_is_given_only_if_it_is_free_and_nobody_waits_for_it() {
        let room = Room::new(MIN_MEMORY_BYTES, 1);
        let mut held = room.photo(1, Origin::S3, None).await.unwrap();
        assert!(held.try_grow_to(room.photos.bytes() - UNIT_BYTES));
        assert_eq!(held.bytes(), room.photos.bytes() - UNIT_BYTES);
        let waiting = timeout(SECOND, room.photo(2 * UNIT_BYTES, Origin::S3, None));
        let (waited, grown) = tokio::join!(waiting, async { held.try_grow_to(room.photos.bytes()) });
        assert!(waited.is_err() && !grown);
        assert!(held.try_grow_to(room.photos.bytes()), "nobody waits any more");
    }

    /// Messages of all kinds at once: none waits for ever, and nobody runs beside one that runs alone.
    #[tokio::test(start_paused = true)]
    async fn a_message_on_its_last_receipt_runs_alone_and_nobody_waits_in_a_circle() {
        let room = Room::new(MIN_MEMORY_BYTES, 1);
        let running = Arc::new(Mutex::new(Vec::new()));
        let mut jobs = tokio::task::JoinSet::new();
        for job in 0..60 {
            let (room, running) = (room.clone(), Arc::clone(&running));
            jobs.spawn(async move {
                let alone = job % 5 == 0;
                let origin = if job % 3 == 0 { Origin::Web } else { Origin::S3 };
                let turn = if alone { Some(room.turn().await) } else { None };
                let bytes = room.max_photo_bytes(origin, usize::MAX).min(room.photos.bytes() as usize / 3 * 2) as u64;
                let mut photo = room.photo(bytes, origin, turn.as_ref()).await.unwrap();
                tokio::time::sleep(Duration::from_millis(job % 7)).await;
                photo.try_grow_to(bytes + 10 * UNIT_BYTES);
                let bytes = room.pixels.bytes() / 4;
                let pixels = room.engine(bytes, turn.as_ref()).await.unwrap();
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
        timeout(60 * SECOND, all).await.expect("nobody waits in a circle");
    }
}
