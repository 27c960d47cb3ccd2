//! What requests, the worker and readers share of one deployment: its lane, its newest windows, and the
//! list of those that are kept.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use caisson_data::Batch;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ColumnStatistics;
use crate::plan::Plan;
use crate::report::{DriftWindow, DroppedRows, RowCounts, SegmentName, StatisticsWindow};

/// What an answer takes in a lane beside its values.
const ENTRY_BYTES: usize = 256;
/// Windows of a deployment that wait to be written down: those of a minute, if one closes every 50 ms.
const UNWRITTEN_MAX: usize = 1000;

/// How much may wait to be gathered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all answers that wait.
    pub buffer_bytes: usize,
    /// Of that, what one tenant may have; what comes on top is dropped and counted.
    pub tenant_bytes: usize,
    /// Answers of one deployment that wait: at 20,000 requests a second, those of half a second.
    pub answers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            buffer_bytes: 128 << 20,
            tenant_bytes: 32 << 20,
            answers: 10_000,
        }
    }
}

/// An answer that waits to be gathered.
pub(crate) struct Entry {
    pub(crate) plan: Arc<Plan>,
    pub(crate) input: Batch,
    pub(crate) output: Batch,
    /// When it was answered, in milliseconds since 1970.
    pub(crate) at_ms: i64,
    _room: Room,
}

/// Bytes that are held in a sum until this is dropped.
#[derive(Debug)]
struct Room {
    bytes: usize,
    all: Arc<AtomicUsize>,
    tenant: Arc<AtomicUsize>,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
        self.tenant.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The newest windows of a deployment.
#[derive(Debug, Clone, Default)]
pub struct Newest {
    /// By monitor and segment (none: all rows).
    pub drift: BTreeMap<(String, Option<SegmentName>), Arc<DriftWindow>>,
    /// By segment.
    pub statistics: BTreeMap<Option<SegmentName>, Arc<StatisticsWindow>>,
}

/// The baseline in numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BaselineStatistics {
    /// Rows that were looked at.
    pub rows: u64,
    /// Its input columns.
    pub input: Vec<ColumnStatistics>,
    /// What the deployment answers to it.
    pub predictions: Vec<ColumnStatistics>,
}

/// One window that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) number: u64,
    pub(crate) bytes: u64,
    pub(crate) monitor: Option<String>,
    pub(crate) segment: Option<SegmentName>,
}

/// What is shared of a deployment.
pub(crate) struct Deployment {
    pub(crate) tenant: String,
    pub(crate) name: String,
    lane: Mutex<VecDeque<Entry>>,
    all: Arc<AtomicUsize>,
    tenant_held: Arc<AtomicUsize>,
    limits: Limits,
    dropped: [AtomicU64; 3],
    counts: Mutex<RowCounts>,
    newest: Mutex<Arc<Newest>>,
    baseline: Mutex<Option<Arc<BaselineStatistics>>>,
    pub(crate) kept: Mutex<VecDeque<Kept>>,
    /// Bytes of its saved state.
    pub(crate) state_bytes: AtomicU64,
    /// Windows that closed and aren't written down yet.
    unwritten: AtomicUsize,
    unkept: AtomicU64,
}

impl std::fmt::Debug for Deployment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Deployment({}/{})", self.tenant, self.name)
    }
}

/// Why rows don't come to windows.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Unseen {
    Memory,
    Rows,
    Revision,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every holder leaves whole values.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Deployment {
    pub(crate) fn new(
        tenant: &str,
        name: &str,
        limits: Limits,
        all: Arc<AtomicUsize>,
        tenant_held: Arc<AtomicUsize>,
    ) -> Self {
        Self {
            tenant: tenant.to_owned(),
            name: name.to_owned(),
            lane: Mutex::default(),
            all,
            tenant_held,
            limits,
            dropped: Default::default(),
            counts: Mutex::default(),
            newest: Mutex::default(),
            baseline: Mutex::default(),
            kept: Mutex::default(),
            state_bytes: AtomicU64::new(0),
            unwritten: AtomicUsize::new(0),
            unkept: AtomicU64::new(0),
        }
    }

    /// Is there room for more? Asked before anything is copied.
    pub(crate) fn has_room(&self) -> bool {
        self.tenant_held.load(Ordering::Relaxed) < self.limits.tenant_bytes
            && self.all.load(Ordering::Relaxed) < self.limits.buffer_bytes
    }

    /// Put an answer into the lane, if there is room.
    pub(crate) fn offer(&self, plan: &Arc<Plan>, input: Batch, output: &Batch) {
        let rows = input.rows() as u64;
        if input.rows() != output.rows() {
            return self.drop_rows(Unseen::Rows, rows);
        }
        let bytes = ENTRY_BYTES + input.byte_len() + output.byte_len();
        let before = self.tenant_held.fetch_add(bytes, Ordering::Relaxed);
        self.all.fetch_add(bytes, Ordering::Relaxed);
        let room = Room {
            bytes,
            all: Arc::clone(&self.all),
            tenant: Arc::clone(&self.tenant_held),
        };
        if before.saturating_add(bytes) > self.limits.tenant_bytes {
            return self.drop_rows(Unseen::Memory, rows);
        }
        let mut entry = Entry {
            plan: Arc::clone(plan),
            input,
            output: output.clone(),
            at_ms: 0,
            _room: room,
        };
        let mut lane = lock(&self.lane);
        if lane.len() >= self.limits.answers {
            drop(lane);
            return self.drop_rows(Unseen::Memory, rows);
        }
        // Under the lock, so that a lane is in the order of its times.
        entry.at_ms = now_ms();
        lane.push_back(entry);
    }

    /// What waits in the lane.
    pub(crate) fn take(&self) -> VecDeque<Entry> {
        std::mem::take(&mut *lock(&self.lane))
    }

    /// Is the lane empty?
    pub(crate) fn is_idle(&self) -> bool {
        lock(&self.lane).is_empty()
    }

    pub(crate) fn drop_rows(&self, reason: Unseen, rows: u64) {
        if let Some(count) = self.dropped.get(reason as usize) {
            count.fetch_add(rows, Ordering::Relaxed);
        }
    }

    /// Rows that were gathered.
    pub(crate) fn gathered(&self, counts: RowCounts) {
        *lock(&self.counts) = counts;
    }

    pub(crate) fn counts(&self) -> RowCounts {
        *lock(&self.counts)
    }

    pub(crate) fn dropped(&self) -> DroppedRows {
        let [memory, rows, revision] = self.dropped.each_ref().map(|count| count.load(Ordering::Relaxed));
        DroppedRows {
            memory,
            rows,
            revision,
        }
    }

    pub(crate) fn newest(&self) -> Arc<Newest> {
        Arc::clone(&lock(&self.newest))
    }

    pub(crate) fn set_newest(&self, newest: Newest) {
        *lock(&self.newest) = Arc::new(newest);
    }

    pub(crate) fn baseline(&self) -> Option<Arc<BaselineStatistics>> {
        lock(&self.baseline).clone()
    }

    pub(crate) fn set_baseline(&self, baseline: Option<BaselineStatistics>) {
        *lock(&self.baseline) = baseline.map(Arc::new);
    }

    /// May so many windows be written down? Where the disk can't keep up with windows that close, they are
    /// dropped and counted.
    pub(crate) fn may_keep(&self, windows: usize) -> bool {
        let before = self.unwritten.fetch_add(windows, Ordering::Relaxed);
        let is_full = before >= UNWRITTEN_MAX;
        if is_full {
            self.written(windows);
            self.unkept.fetch_add(windows as u64, Ordering::Relaxed);
        }
        !is_full
    }

    /// Windows that were dropped like that.
    pub(crate) fn unkept(&self) -> u64 {
        self.unkept.load(Ordering::Relaxed)
    }

    /// So many windows were written down.
    pub(crate) fn written(&self, windows: usize) {
        self.unwritten.fetch_sub(windows, Ordering::Relaxed);
    }

    /// Bytes that are stored of it.
    pub(crate) fn stored_bytes(&self) -> u64 {
        let kept: u64 = lock(&self.kept).iter().map(|kept| kept.bytes).sum();
        kept + self.state_bytes.load(Ordering::Relaxed)
    }
}

/// The time, in milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
