//! The worker's memory ceiling. What a message needs is known before it is used: a photograph's bytes from its length,
//! the engine's working memory from the photograph's header. Both are taken from pools that together stay below the
//! ceiling, and a message waits until its part is free.
//!
//! There are two pools, and the order is always photographs, then pixels: whoever holds pixels needs nothing more to
//! finish, so nobody waits in a circle.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::held::MAX_BODIES_BYTES;
use crate::config::{MAX_MEMORY_BYTES, MIN_MEMORY_BYTES};
use crate::thumbnail::{Info, Limits, Spec};

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
/// The engine's working memory for a pixel of the photograph, as measured on 24 Mpx: 6 bytes baseline, 9 progressive
/// with all its coefficients.
const BYTES_PER_SOURCE_PIXEL: u64 = 9;
/// And for a pixel of a thumbnail: planes, their resampled copies, and the JPEG.
const BYTES_PER_TARGET_PIXEL: u64 = 8;

/// Both pools.
#[derive(Clone, Debug)]
pub struct Room {
    fixed_bytes: u64,
    photos: Pool,
    pixels: Pool,
}

#[derive(Clone, Debug)]
struct Pool {
    units: u32,
    free: Arc<Semaphore>,
}

/// A part of a pool, given back when dropped.
#[derive(Debug)]
pub struct Permit(OwnedSemaphorePermit);

impl Room {
    /// Divides what so many messages in work leave of a ceiling: a quarter for photographs as they came, the rest for
    /// the engine.
    pub fn new(ceiling_bytes: u64, concurrency: usize) -> Self {
        let fixed_bytes = PROGRAM_BYTES + BODIES_BYTES + SLOT_BYTES * concurrency as u64;
        let left = ceiling_bytes.clamp(MIN_MEMORY_BYTES, MAX_MEMORY_BYTES).saturating_sub(fixed_bytes);
        Self { fixed_bytes, photos: Pool::new(left / 4), pixels: Pool::new(left - left / 4) }
    }

    /// What all of it may come to.
    pub fn ceiling_bytes(&self) -> u64 {
        self.fixed_bytes + self.photos.bytes() + self.pixels.bytes()
    }

    /// The limits that fit into the pools: beyond them a photograph is rejected, with these numbers as the reason.
    pub fn limits(&self, configured: Limits) -> Limits {
        let photo = usize::try_from(self.photos.bytes()).unwrap_or(usize::MAX);
        Limits {
            max_source_bytes: configured.max_source_bytes.min(photo),
            max_source_pixels: configured.max_source_pixels.min(self.pixels.bytes() / BYTES_PER_SOURCE_PIXEL),
        }
    }

    /// Waits for the place of a photograph of so many bytes.
    pub async fn photo(&self, bytes: u64) -> Permit {
        self.photos.take(bytes).await
    }

    /// Waits for the working memory of one run of the engine.
    pub async fn engine(&self, source: &Info, specs: &[Spec]) -> Permit {
        self.pixels.take(engine_bytes(source, specs)).await
    }
}

/// The memory that the engine may need for a photograph and its thumbnails.
pub fn engine_bytes(source: &Info, specs: &[Spec]) -> u64 {
    let pixels = |width: u32, height: u32| u64::from(width) * u64::from(height);
    let targets: u64 = specs.iter().map(|spec| pixels(spec.size.width, spec.size.height)).sum();
    pixels(source.width, source.height) * BYTES_PER_SOURCE_PIXEL + targets * BYTES_PER_TARGET_PIXEL
}

impl Pool {
    fn new(bytes: u64) -> Self {
        let units = u32::try_from(bytes / UNIT_BYTES).unwrap_or(u32::MAX).max(1);
        Self { units, free: Arc::new(Semaphore::new(units as usize)) }
    }

    fn bytes(&self) -> u64 {
        u64::from(self.units) * UNIT_BYTES
    }

    /// What is more than the whole pool takes the whole pool: it runs alone.
    async fn take(&self, bytes: u64) -> Permit {
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX).clamp(1, self.units);
        let free = Arc::clone(&self.free);
        Permit(free.acquire_many_owned(units).await.expect("nobody closes the pool"))
    }
}

impl Permit {
    /// Gives back what is beyond `bytes`.
    pub fn shrink_to(&mut self, bytes: u64) {
        let units = usize::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(usize::MAX);
        drop(self.0.split(self.0.num_permits().saturating_sub(units)));
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
    use super::*;
    use crate::config::MAX_CONCURRENCY;

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
            let limits = room.limits(Limits { max_source_bytes: usize::MAX, max_source_pixels: u64::MAX });
            assert!(room.ceiling_bytes() <= ceiling.clamp(MIN_MEMORY_BYTES, MAX_MEMORY_BYTES));
            assert!(limits.max_source_bytes as u64 <= room.photos.bytes());
            assert!(limits.max_source_pixels * BYTES_PER_SOURCE_PIXEL <= room.pixels.bytes());
            assert!(limits.max_source_pixels > 2_000_000, "the least memory and the most messages leave some");
        }
    }

    #[test]
    fn the_least_memory_is_enough_for_a_photograph_of_a_telephone() {
        let limits = Room::new(MIN_MEMORY_BYTES, 64).limits(Limits::default());
        assert!(limits.max_source_pixels >= 4_032 * 3_024, "{limits:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_no_room_waits_until_there_is() {
        let room = Room::new(MIN_MEMORY_BYTES, 1);
        let mut held = room.photo(u64::MAX).await;
        let wait = std::time::Duration::from_secs(1);
        assert!(tokio::time::timeout(wait, room.photo(1)).await.is_err());
        held.shrink_to(room.photos.bytes() - UNIT_BYTES);
        assert!(tokio::time::timeout(wait, room.photo(UNIT_BYTES)).await.is_ok());
        assert!(tokio::time::timeout(wait, room.photo(UNIT_BYTES + 1)).await.is_err());
    }
}
