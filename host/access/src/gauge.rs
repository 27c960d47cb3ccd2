//! How many of something are in use now, up to a limit that may change meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug, Default)]
pub(crate) struct Gauge {
    in_use: AtomicU64,
}

impl Gauge {
    pub(crate) fn in_use(&self) -> u64 {
        self.in_use.load(Ordering::Relaxed)
    }

    /// Take one, if that leaves no more than `limit` in use.
    pub(crate) fn take(self: &Arc<Self>, limit: Option<u64>) -> Option<Permit> {
        self.in_use
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |in_use| {
                in_use
                    .checked_add(1)
                    .filter(|&after| limit.is_none_or(|limit| after <= limit))
            })
            .ok()?;
        Some(Permit(self.clone()))
    }
}

/// One of a gauge, given back when dropped.
#[derive(Debug)]
#[must_use = "dropping a permit gives back what it stands for"]
pub(crate) struct Permit(Arc<Gauge>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.in_use.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_count_until_they_are_dropped_whatever_the_limit_becomes() {
        let gauge = Arc::new(Gauge::default());
        let held: Vec<_> = (0..3).map(|_| gauge.take(Some(3)).unwrap()).collect();
        assert!(gauge.take(Some(3)).is_none());
        assert!(gauge.take(Some(1)).is_none());
        let more = gauge.take(None).unwrap();
        assert_eq!(gauge.in_use(), 4);
        drop((held, more));
        assert_eq!(gauge.in_use(), 0);
        assert!(gauge.take(Some(1)).is_some());
    }
}
