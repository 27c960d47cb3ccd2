//! Latencies, and what is said of them.

use std::time::Duration;

/// Latencies of one phase, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Latencies(Vec<Duration>);

impl Latencies {
    pub(crate) fn of(mut all: Vec<Duration>) -> Self {
        all.sort_unstable();
        Self(all)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The latency that this share of the requests was within, in milliseconds (nearest rank).
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts are small"
    )]
    pub(crate) fn ms(&self, share: f64) -> f64 {
        let rank = (share * self.0.len() as f64).ceil() as usize;
        self.0
            .get(rank.saturating_sub(1))
            .map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_ranks() {
        let all = Latencies::of((1..=200).rev().map(Duration::from_millis).collect());
        assert_eq!((all.ms(0.5), all.ms(0.99), all.ms(1.0)), (100.0, 198.0, 200.0));
        assert_eq!(Latencies::of(vec![Duration::from_millis(3)]).ms(0.01), 3.0);
        assert!(Latencies::default().ms(0.5).is_nan());
        assert_eq!(all.len(), 200);
    }
}
