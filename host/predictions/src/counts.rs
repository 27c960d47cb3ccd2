//! How many rows are logged and how many aren't, and why not.

use std::sync::atomic::{AtomicU64, Ordering};

use schemars::JsonSchema;
use serde::Serialize;

/// Why a row of a sampled request is not in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unlogged {
    /// The memory for rows that wait, all of it or the deployment's share, is full.
    Memory,
    /// The writer is behind: its queue is full.
    Queue,
    /// The answer has another number of rows than the request.
    Rows,
    /// The transforms failed when they ran again, or too many runs wait.
    Features,
    /// The tenant's quota of stored bytes is used up.
    Quota,
    /// The store, or Parquet, can't take it.
    Storage,
}

impl Unlogged {
    /// All reasons.
    const ALL: [Self; 6] = [
        Self::Memory,
        Self::Queue,
        Self::Rows,
        Self::Features,
        Self::Quota,
        Self::Storage,
    ];
}

/// Rows since the server started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct Counts {
    /// In files.
    pub logged: u64,
    /// Waiting in memory.
    pub waiting: u64,
    /// Dropped, by reason.
    pub dropped: Dropped,
}

/// Rows that were dropped, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct Dropped {
    /// The memory for rows that wait was full.
    pub memory: u64,
    /// The writer was behind.
    pub queue: u64,
    /// The answer had another number of rows than the request.
    pub rows: u64,
    /// The transforms failed when they ran again, or too many runs waited.
    pub features: u64,
    /// The tenant's quota of stored bytes was used up.
    pub quota: u64,
    /// The store, or Parquet, couldn't take them.
    pub storage: u64,
}

impl Dropped {
    /// Each number with its reason, for metrics.
    pub fn by_reason(&self) -> [(&'static str, u64); Unlogged::ALL.len()] {
        [
            ("memory", self.memory),
            ("queue", self.queue),
            ("rows", self.rows),
            ("features", self.features),
            ("quota", self.quota),
            ("storage", self.storage),
        ]
    }
}

/// The counters of a deployment.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    logged: AtomicU64,
    waiting: AtomicU64,
    dropped: [AtomicU64; Unlogged::ALL.len()],
}

impl Tally {
    pub(crate) fn take_in(&self, rows: u64) {
        self.waiting.fetch_add(rows, Ordering::Relaxed);
    }

    pub(crate) fn let_go(&self, rows: u64) {
        self.waiting.fetch_sub(rows, Ordering::Relaxed);
    }

    pub(crate) fn logged(&self, rows: u64) {
        self.logged.fetch_add(rows, Ordering::Relaxed);
    }

    pub(crate) fn dropped(&self, reason: Unlogged, rows: u64) {
        if let Some(count) = self.dropped.get(reason as usize) {
            count.fetch_add(rows, Ordering::Relaxed);
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        let dropped = |reason: Unlogged| {
            let count = self.dropped.get(reason as usize);
            count.map_or(0, |count| count.load(Ordering::Relaxed))
        };
        Counts {
            logged: self.logged.load(Ordering::Relaxed),
            waiting: self.waiting.load(Ordering::Relaxed),
            dropped: Dropped {
                memory: dropped(Unlogged::Memory),
                queue: dropped(Unlogged::Queue),
                rows: dropped(Unlogged::Rows),
                features: dropped(Unlogged::Features),
                quota: dropped(Unlogged::Quota),
                storage: dropped(Unlogged::Storage),
            },
        }
    }
}
