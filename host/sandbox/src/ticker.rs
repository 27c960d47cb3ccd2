//! The clock of guest time: an operating-system thread that advances the engine's epoch.
//!
//! It is a thread and no task, so that guests which hold every worker can't stop it. Without it no
//! deadline would be enforced; so every call asks [`Ticker::is_alive`] first, and no guest runs once
//! it is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use wasmtime::Engine;

/// A tick later than this is a fault: the machine is stuck or the thread is.
const LATE: Duration = Duration::from_secs(5);

pub(crate) struct Ticker {
    thread: JoinHandle<()>,
    started: Instant,
    /// Milliseconds from `started` to the last tick.
    last_tick_ms: Arc<AtomicU64>,
}

impl Ticker {
    /// Tick until the engine is gone.
    pub(crate) fn start(engine: &Engine, tick: Duration) -> std::io::Result<Self> {
        let engine = engine.weak();
        let started = Instant::now();
        let last_tick_ms = Arc::new(AtomicU64::new(0));
        let last = Arc::clone(&last_tick_ms);
        let thread = std::thread::Builder::new()
            .name("caisson-epoch".to_owned())
            .spawn(move || {
                while let Some(engine) = engine.upgrade() {
                    engine.increment_epoch();
                    drop(engine);
                    let elapsed = started.elapsed().as_millis();
                    last.store(u64::try_from(elapsed).unwrap_or(u64::MAX), Ordering::Relaxed);
                    std::thread::sleep(tick);
                }
            })?;
        Ok(Self {
            thread,
            started,
            last_tick_ms,
        })
    }

    /// Does the thread run? Cheap enough for every call.
    pub(crate) fn is_alive(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Does it run, and did it tick of late? For health checks.
    pub(crate) fn is_punctual(&self) -> bool {
        let last = Duration::from_millis(self.last_tick_ms.load(Ordering::Relaxed));
        self.is_alive() && self.started.elapsed().saturating_sub(last) < LATE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ticks_while_there_is_an_engine_and_its_end_is_seen() {
        let engine = crate::engine::compiling().unwrap();
        let ticker = Ticker::start(&engine, Duration::from_millis(1)).unwrap();
        assert!(ticker.is_alive() && ticker.is_punctual());
        drop(engine);
        let started = Instant::now();
        while ticker.is_alive() {
            assert!(started.elapsed() < Duration::from_secs(10));
            std::thread::yield_now();
        }
        assert!(!ticker.is_punctual());
    }
}
