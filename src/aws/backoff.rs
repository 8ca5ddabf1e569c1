//! Exponential back-off: how long to wait before the next attempt.

use std::time::Duration;

/// Doublings after which a delay no longer grows; far beyond any `max` in use, and it keeps the shift in range.
const MAX_DOUBLINGS: u32 = 20;

/// Delays that double from `first` up to `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    pub first: Duration,
    pub max: Duration,
}

impl Backoff {
    /// The delay after failed attempt number `attempt`, counted from 0.
    pub fn delay(self, attempt: u32) -> Duration {
        self.first.saturating_mul(1 << attempt.min(MAX_DOUBLINGS)).min(self.max)
    }

    /// The same delay, spread over its upper half, so that callers that failed together do not retry together.
    /// `jitter` is from 0 (half the delay) to 1 (all of it).
    pub fn with_jitter(self, attempt: u32, jitter: f64) -> Duration {
        self.delay(attempt).mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_maximum_and_jitter_keeps_the_upper_half() {
        let ms = Duration::from_millis;
        let backoff = Backoff { first: ms(250), max: ms(2_000) };
        assert_eq!(
            [0, 1, 2, 3, 4, u32::MAX].map(|attempt| backoff.delay(attempt)),
            [250, 500, 1_000, 2_000, 2_000, 2_000].map(ms)
        );
        assert_eq!(
            [0.0, 0.5, 1.0, 7.0].map(|jitter| backoff.with_jitter(3, jitter)),
            [1_000, 1_500, 2_000, 2_000].map(ms)
        );
    }
}
