//! The guest's log (`caisson:plugin/log`, and what other toolchains print): into `tracing`, tagged
//! with whose stage it is, at a bounded rate, in bounded lines that can't pretend to be others.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, WasmStr};

use crate::error::{GUEST_TEXT_BYTES_MAX, StageLabel};
use crate::guest::Guest;
use crate::stats::Counters;
use crate::text::tame;

/// Bytes of a line, as `wit/types.wit` says.
pub(crate) const LINE_BYTES_MAX: usize = 4 << 10;
/// Error lines of one call that are read although the rate is used up: one of them is the panic
/// message of this call, which its `StageError` is to carry.
const ERROR_LINES_READ_MAX: u32 = 4;
/// A burst of so many seconds' worth of lines passes.
const BURST_SECONDS: u64 = 2;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

#[derive(ComponentType, Lift, Clone, Copy, PartialEq, Eq)]
#[component(enum)]
#[repr(u8)]
#[allow(dead_code, reason = "wasmtime makes them, from the discriminant")]
pub(crate) enum Level {
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
}

/// The log of one stage, shared by its calls.
pub(crate) struct StageLog {
    label: StageLabel,
    counters: Arc<Counters>,
    rate: Rate,
    dropped: AtomicU64,
}

impl StageLog {
    pub(crate) fn new(label: StageLabel, counters: Arc<Counters>, lines_per_second: u32) -> Self {
        Self {
            label,
            counters,
            rate: Rate::new(lines_per_second),
            dropped: AtomicU64::new(0),
        }
    }

    /// May a line be written now? If not, it is counted.
    fn admits(&self) -> bool {
        let admitted = self.rate.admits();
        self.counters.log_line(!admitted);
        if !admitted {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        admitted
    }

    fn write(&self, level: Level, line: &str) {
        let StageLabel {
            tenant,
            deployment,
            stage,
        } = &self.label;
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            tracing::warn!(target: "caisson::plugin", %tenant, %deployment, %stage, dropped, "log lines over the rate limit were dropped");
        }
        match level {
            Level::Debug => {
                tracing::debug!(target: "caisson::plugin", %tenant, %deployment, %stage, "{line}")
            }
            Level::Info => tracing::info!(target: "caisson::plugin", %tenant, %deployment, %stage, "{line}"),
            Level::Warn => tracing::warn!(target: "caisson::plugin", %tenant, %deployment, %stage, "{line}"),
            Level::Error => {
                tracing::error!(target: "caisson::plugin", %tenant, %deployment, %stage, "{line}")
            }
        }
    }
}

/// The log as one call sees it.
pub(crate) struct CallLog {
    stage: Arc<StageLog>,
    last_error: Mutex<LastError>,
}

#[derive(Default)]
struct LastError {
    line: Option<String>,
    read: u32,
}

impl CallLog {
    pub(crate) fn new(stage: Arc<StageLog>) -> Self {
        Self {
            stage,
            last_error: Mutex::default(),
        }
    }

    /// The last line at level `error`, for the call's [`StageError`](crate::StageError).
    pub(crate) fn take_last_error(&self) -> Option<String> {
        let mut last = self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *last).line
    }

    /// Log a line; it is read only if it will be used.
    pub(crate) fn line<'a>(
        &self,
        level: Level,
        read: impl FnOnce() -> wasmtime::Result<std::borrow::Cow<'a, str>>,
    ) -> wasmtime::Result<()> {
        let admitted = self.stage.admits();
        let keep = level == Level::Error && {
            let mut last = self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
            last.read += 1;
            last.read <= ERROR_LINES_READ_MAX
        };
        if !admitted && !keep {
            return Ok(());
        }
        let line = tame(&read()?, LINE_BYTES_MAX);
        if admitted {
            self.stage.write(level, &line);
        }
        if keep {
            let mut last = self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
            last.line = Some(tame(&line, GUEST_TEXT_BYTES_MAX));
        }
        Ok(())
    }
}

/// A token bucket in one word: the generic cell rate algorithm.
struct Rate {
    started: Instant,
    /// Nanoseconds between two lines.
    interval_ns: u64,
    burst_ns: u64,
    /// When the bucket will be full again, in nanoseconds from `started`.
    full_at_ns: AtomicU64,
}

impl Rate {
    fn new(per_second: u32) -> Self {
        let interval_ns = NANOS_PER_SECOND.checked_div(u64::from(per_second));
        Self {
            started: Instant::now(),
            // Nothing passes at a rate of 0.
            interval_ns: interval_ns.unwrap_or(u64::MAX),
            burst_ns: interval_ns.map_or(0, |_| BURST_SECONDS * NANOS_PER_SECOND),
            full_at_ns: AtomicU64::new(0),
        }
    }

    fn admits(&self) -> bool {
        let now = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.full_at_ns
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at| {
                let next = full_at.max(now).saturating_add(self.interval_ns);
                (next - now <= self.burst_ns).then_some(next)
            })
            .is_ok()
    }
}

/// Offer `caisson:plugin/log`.
pub(crate) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.instance(concat_version!("caisson:plugin/log"))?.func_wrap(
        "log",
        |cx: StoreContextMut<'_, Guest>, (level, message): (Level, WasmStr)| {
            let log = Arc::clone(&cx.data().log);
            log.line(level, || message.to_str(&cx))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let rate = Rate::new(10);
        assert_eq!((0..100).filter(|_| rate.admits()).count(), 20);
        std::thread::sleep(std::time::Duration::from_millis(120));
        assert!(rate.admits());
        assert!(!Rate::new(0).admits());
    }

    #[test]
    fn the_last_error_is_kept_although_the_rate_is_used_up() {
        let counters = Arc::new(Counters::default());
        let stage = Arc::new(StageLog::new(
            StageLabel::new("t", "d", "s"),
            Arc::clone(&counters),
            0,
        ));
        let log = CallLog::new(stage);
        log.line(Level::Error, || Ok("panicked\nat".into())).unwrap();
        log.line(Level::Info, || panic!("not to be read")).unwrap();
        assert_eq!(log.take_last_error().as_deref(), Some("panicked\\nat"));
        assert_eq!(log.take_last_error(), None);
        assert_eq!(counters.read().log_lines_dropped, 2);
    }
}
