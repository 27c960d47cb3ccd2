//! How many rows are logged and how many aren't, and why not.

use std::sync::atomic::{AtomicU64, Ordering};

use metrics::Counter;
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

    /// As metrics and answers have it.
    const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Queue => "queue",
            Self::Rows => "rows",
            Self::Features => "features",
            Self::Quota => "quota",
            Self::Storage => "storage",
        }
    }
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

/// The counters of a deployment.
#[derive(Debug)]
pub(crate) struct Tally {
    logged: (AtomicU64, Counter),
    waiting: AtomicU64,
    dropped: [(AtomicU64, Counter); Unlogged::ALL.len()],
}

impl Tally {
    pub(crate) fn new(tenant: &str, deployment: &str) -> Self {
        let labels = [
            ("tenant", tenant.to_owned()),
            ("deployment", deployment.to_owned()),
        ];
        let dropped = Unlogged::ALL.map(|reason| {
            let [tenant, deployment] = labels.clone();
            let reason = ("reason", reason.name().to_owned());
            let counter = metrics::counter!("caisson_log_dropped_rows_total", &[tenant, deployment, reason]);
            (AtomicU64::new(0), counter)
        });
        Self {
            logged: (
                AtomicU64::new(0),
                metrics::counter!("caisson_log_rows_total", &labels),
            ),
            waiting: AtomicU64::new(0),
            dropped,
        }
    }

    pub(crate) fn take_in(&self, rows: u64) {
        self.waiting.fetch_add(rows, Ordering::Relaxed);
    }

    pub(crate) fn let_go(&self, rows: u64) {
        self.waiting.fetch_sub(rows, Ordering::Relaxed);
    }

    pub(crate) fn logged(&self, rows: u64) {
        self.logged.0.fetch_add(rows, Ordering::Relaxed);
        self.logged.1.increment(rows);
    }

    pub(crate) fn dropped(&self, reason: Unlogged, rows: u64) {
        if let Some((count, counter)) = self.dropped.get(reason as usize) {
            count.fetch_add(rows, Ordering::Relaxed);
            counter.increment(rows);
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        let dropped = |reason: Unlogged| {
            let count = self.dropped.get(reason as usize);
            count.map_or(0, |(count, _)| count.load(Ordering::Relaxed))
        };
        Counts {
            logged: self.logged.0.load(Ordering::Relaxed),
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
