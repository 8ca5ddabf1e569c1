//! Counts, rates, and how long the stages take.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::worker::job::{Finished, Times};
use crate::worker::retry::Outcome;
use crate::worker_report::Counts;

/// Histogram buckets: 8 per octave from 1 µs, so that the relative error of a percentile is at most 1/16.
const BUCKETS: usize = 8 * 40;
const BUCKETS_PER_OCTAVE: f64 = 8.0;

/// A histogram of durations with logarithmic buckets, in constant memory.
#[derive(Clone, Debug)]
pub struct Histogram {
    buckets: Box<[u64; BUCKETS]>,
    count: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: Box::new([0; BUCKETS]), count: 0 }
    }
}

impl Histogram {
    pub fn add(&mut self, duration: Duration) {
        let micros = duration.as_micros().max(1) as f64;
        let bucket = (micros.log2() * BUCKETS_PER_OCTAVE) as usize;
        self.buckets[bucket.min(BUCKETS - 1)] += 1;
        self.count += 1;
    }

    /// The given percentile in milliseconds; 0 if the histogram is empty.
    pub fn percentile_ms(&self, share: f64) -> f64 {
        let rank = (share * self.count as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return ((bucket as f64 + 0.5) / BUCKETS_PER_OCTAVE).exp2() / 1_000.0;
            }
        }
        0.0
    }

    /// Values in milliseconds that are distributed as those that were added: as many, or `most` of them.
    pub fn values_ms(&self, most: usize) -> Vec<f64> {
        let count = usize::try_from(self.count).unwrap_or(usize::MAX).min(most);
        let middle = |index: usize| (index as f64 + 0.5) / count as f64;
        (0..count).map(|index| (self.percentile_ms(middle(index)) * 10.0).round() / 10.0).collect()
    }

    fn percentiles(&self) -> Percentiles {
        let round = |share| (self.percentile_ms(share) * 10.0).round() / 10.0;
        Percentiles { p50_ms: round(0.50), p95_ms: round(0.95), p99_ms: round(0.99) }
    }
}

/// The numbers of a minute, for CloudWatch.
#[derive(Clone, Debug, PartialEq)]
pub struct Minute {
    /// Messages that succeeded.
    pub photographs: u64,
    pub thumbnails: u64,
    pub rejected: u64,
    pub retried: u64,
    /// Of photographs read.
    pub bytes: u64,
    /// How long the stages took; at most as many values as were asked for.
    pub fetch_ms: Vec<f64>,
    pub render_ms: Vec<f64>,
    pub store_ms: Vec<f64>,
    pub memory_bytes: Option<u64>,
}

/// Counts since a beginning.
#[derive(Clone, Debug)]
pub struct Totals {
    began: Instant,
    cpu_began: Option<Duration>,
    done: u64,
    ignored: u64,
    rejected: u64,
    retried: u64,
    taken_over: u64,
    images: u64,
    skipped: u64,
    source_bytes: u64,
    fetch: Histogram,
    wait: Histogram,
    make: Histogram,
    store: Histogram,
}

/// The totals as they are reported.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Numbers {
    pub seconds: f64,
    /// Messages that succeeded, those that asked for nothing included.
    pub done: u64,
    /// Messages that asked for nothing, such as S3's test event.
    pub ignored: u64,
    pub rejected: u64,
    pub retried: u64,
    /// Messages that another worker took over while this one was processing them.
    #[serde(rename = "lost")]
    pub taken_over: u64,
    /// Thumbnails stored, and thumbnails that were up to date already.
    pub images: u64,
    pub skipped: u64,
    pub images_per_s: f64,
    /// Of photographs read.
    pub megabytes_per_s: f64,
    pub fetch: Percentiles,
    pub wait: Percentiles,
    pub make: Percentiles,
    pub store: Percentiles,
    /// Resident memory now; none where the system does not report it.
    pub memory_bytes: Option<u64>,
    /// CPU seconds per second; 2.0 is two CPUs busy all the time.
    pub cpu: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    pub p50_ms: f64,
    pub p95_ms: f64,
    pub p99_ms: f64,
}

impl Totals {
    pub fn new(now: Instant) -> Self {
        Self {
            began: now,
            cpu_began: cpu_time(),
            done: 0,
            ignored: 0,
            rejected: 0,
            retried: 0,
            taken_over: 0,
            images: 0,
            skipped: 0,
            source_bytes: 0,
            fetch: Histogram::default(),
            wait: Histogram::default(),
            make: Histogram::default(),
            store: Histogram::default(),
        }
    }

    pub fn add(&mut self, finished: &Finished) {
        match finished.outcome {
            Outcome::Done => self.done += 1,
            Outcome::Ignored(_) => self.ignored += 1,
            Outcome::Retry { .. } => self.retried += 1,
            Outcome::Reject { .. } => self.rejected += 1,
        }
        self.images += finished.made.len() as u64;
        self.skipped += finished.skipped.len() as u64;
        self.source_bytes += finished.source_bytes as u64;
        // All thumbnails of a photograph share their times, which count once.
        if let Some(made) = finished.made.first() {
            let Times { fetch, wait, make, store } = made.times;
            self.fetch.add(fetch);
            self.wait.add(wait);
            self.make.add(make);
            self.store.add(store);
        }
    }

    pub fn add_taken_over(&mut self) {
        self.taken_over += 1;
    }

    /// For the worker's report.
    pub fn counts(&self) -> Counts {
        let Self { done, ignored, rejected, retried, images, skipped, .. } = *self;
        Counts { done, made: images, skipped, ignored, retried, rejected }
    }

    /// None: nothing was done. `values`: of each stage at most.
    pub fn minute(&self, values: usize) -> Option<Minute> {
        let Self { done, rejected, retried, images, source_bytes, .. } = *self;
        (done + rejected + retried > 0).then(|| Minute {
            photographs: done,
            thumbnails: images,
            rejected,
            retried,
            bytes: source_bytes,
            fetch_ms: self.fetch.values_ms(values),
            render_ms: self.make.values_ms(values),
            store_ms: self.store.values_ms(values),
            memory_bytes: resident_bytes(),
        })
    }

    /// When the counting began.
    pub fn began(&self) -> Instant {
        self.began
    }

    pub fn numbers(&self, now: Instant) -> Numbers {
        let seconds = now.duration_since(self.began).as_secs_f64();
        let rate = |count: f64| if seconds > 0.0 { (count / seconds * 100.0).round() / 100.0 } else { 0.0 };
        let cpu = cpu_time().zip(self.cpu_began).map(|(now, began)| now.saturating_sub(began).as_secs_f64());
        Numbers {
            seconds: (seconds * 10.0).round() / 10.0,
            done: self.done + self.ignored,
            ignored: self.ignored,
            rejected: self.rejected,
            retried: self.retried,
            taken_over: self.taken_over,
            images: self.images,
            skipped: self.skipped,
            images_per_s: rate(self.images as f64),
            megabytes_per_s: rate(self.source_bytes as f64 / 1e6),
            fetch: self.fetch.percentiles(),
            wait: self.wait.percentiles(),
            make: self.make.percentiles(),
            store: self.store.percentiles(),
            memory_bytes: resident_bytes(),
            cpu: cpu.map(rate),
        }
    }
}

/// What this process has in memory (proc_pid_status(5)).
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

/// The CPU time this process has used (proc_pid_stat(5), fields 14 and 15).
fn cpu_time() -> Option<Duration> {
    /// USER_HZ is 100 on every Linux there is.
    const TICK: Duration = Duration::from_millis(10);
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field, the name, may hold spaces and brackets of its own.
    let (_, fields) = stat.rsplit_once(") ")?;
    let ticks: Vec<u32> = fields.split(' ').skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    Some(TICK * ticks.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_right_within_a_sixteenth() {
        let mut histogram = Histogram::default();
        (1..=1_000).for_each(|ms| histogram.add(Duration::from_millis(ms)));
        for (share, ms) in [(0.5, 500.0), (0.95, 950.0), (0.99, 990.0)] {
            let found = histogram.percentile_ms(share);
            assert!((found / ms - 1.0_f64).abs() < 1.0 / 16.0, "p{share}: {found}");
        }
        assert_eq!(Histogram::default().percentile_ms(0.5), 0.0);
    }

    #[test]
    fn few_values_stand_for_many() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.values_ms(100), [] as [f64; 0]);
        histogram.add(Duration::from_millis(10));
        histogram.add(Duration::from_millis(1_000));
        let values = histogram.values_ms(100);
        assert!(values.len() == 2 && (values[0] / 10.0 - 1.0).abs() < 0.07 && values[1] > 900.0, "{values:?}");
        (1..=10_000).for_each(|ms| histogram.add(Duration::from_millis(ms)));
        let values = histogram.values_ms(100);
        assert_eq!(values.len(), 100);
        assert!(values.is_sorted() && (values[49] / 5_000.0 - 1.0).abs() < 0.07, "{values:?}");
    }

    #[test]
    fn the_longest_and_the_shortest_have_a_bucket() {
        let mut histogram = Histogram::default();
        histogram.add(Duration::ZERO);
        assert!(histogram.percentile_ms(0.5) < 0.002);
        histogram.add(Duration::MAX);
        assert!(histogram.percentile_ms(1.0) > 1e6);
    }

    #[test]
    fn linux_reports_what_a_process_uses() {
        assert!(resident_bytes().is_some_and(|bytes| bytes > 1 << 20));
        assert!(cpu_time().is_some());
    }
}
