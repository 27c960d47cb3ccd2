//! A revision's place on the request path: what a request pays for being seen.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use caisson_data::Batch;
use caisson_stats::rng::Rng;

use crate::deployment::{BaselineStatistics, Deployment, Unseen};
use crate::plan::Plan;

/// Copies what sampled requests send and get, and never waits.
#[derive(Debug)]
pub struct Tap {
    deployment: Arc<Deployment>,
    plan: Arc<Plan>,
    /// A request is sampled when its number's hash is at most this; `u64::MAX`: all are.
    threshold: u64,
    seed: u64,
    seen: AtomicU64,
}

impl Tap {
    pub(crate) fn new(deployment: Arc<Deployment>, plan: Arc<Plan>) -> Self {
        // The product fits: casts from floats saturate.
        let threshold = (plan.sample * u64::MAX as f64) as u64;
        Self {
            deployment,
            plan,
            threshold,
            // Every `RandomState` has keys of its own.
            seed: RandomState::new().hash_one(()),
            seen: AtomicU64::new(0),
        }
    }

    /// A copy of what is sent, if the request is sampled and there is room.
    pub fn take(&self, input: &Batch) -> Option<Batch> {
        if self.threshold < u64::MAX {
            let number = self.seen.fetch_add(1, Ordering::Relaxed);
            if Rng::new(self.seed.wrapping_add(number)).next_u64() > self.threshold {
                return None;
            }
        }
        if !self.deployment.has_room() {
            self.deployment.drop_rows(Unseen::Memory, input.rows() as u64);
            return None;
        }
        Some(input.clone())
    }

    /// What [`Self::take`] copied was answered with this.
    pub fn answered(&self, input: Batch, output: &Batch) {
        if input.rows() > 0 {
            self.deployment.offer(&self.plan, input, output);
        }
    }

    /// What was planned.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Put the baseline, in numbers, beside what is gathered: its rows, and what is answered to them.
    pub fn set_baseline(&self, input: &Batch, output: &Batch) {
        let (sent, answered) = self.plan.columns();
        self.deployment.set_baseline(Some(BaselineStatistics {
            rows: input.rows() as u64,
            input: crate::ColumnStatistics::all(sent.names(), &sent.summarize(input)),
            predictions: crate::ColumnStatistics::all(answered.names(), &answered.summarize(output)),
        }));
    }
}
