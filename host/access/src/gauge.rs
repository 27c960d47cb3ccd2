//! How much of something is in use now, up to a limit that may change meanwhile.

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

    /// Take `amount`, if that leaves no more than `limit` in use.
    pub(crate) fn take(self: &Arc<Self>, amount: u64, limit: Option<u64>) -> Option<Permit> {
        self.in_use
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |in_use| {
                in_use
                    .checked_add(amount)
                    .filter(|&after| limit.is_none_or(|limit| after <= limit))
            })
            .ok()?;
        Some(Permit {
            gauge: self.clone(),
            amount,
        })
    }
}

/// A share of a gauge, given back when dropped.
#[derive(Debug)]
#[must_use = "dropping a permit gives back what it stands for"]
pub struct Permit {
    gauge: Arc<Gauge>,
    amount: u64,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gauge.in_use.fetch_sub(self.amount, Ordering::Relaxed);
    }
}
