//! Stops runs at their deadline, or when nobody waits for them any more.
//!
//! A run is a C++ call that holds its thread, so another thread has to end it: one watchdog for the
//! process looks at all runs under way every [`TICK`] and raises the terminate flag of those that are
//! over. ONNX Runtime reads the flag between two operators, so a run may outlive its deadline by a
//! tick and one operator.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use ort::session::RunOptions;

/// How often runs are looked at; small against any deadline that a request has.
const TICK: Duration = Duration::from_millis(5);
/// Ticks without a run after which the watchdog sleeps until the next one starts: one second.
const IDLE_TICKS: u32 = 200;

/// The watch over one session: at most one run at a time.
pub(crate) struct Watch {
    options: RunOptions,
    run: Mutex<Option<Run>>,
}

struct Run {
    deadline: Instant,
    /// Set by whoever waited and left.
    abandoned: Option<Arc<AtomicBool>>,
    stopped: bool,
}

impl Watch {
    /// A watch, known to the watchdog until it is dropped.
    ///
    /// # Errors
    ///
    /// The system can't start a thread.
    pub(crate) fn new(options: RunOptions) -> Result<Arc<Self>, String> {
        let watch = Arc::new(Self {
            options,
            run: Mutex::new(None),
        });
        Watchdog::get()?.lock().watches.push(Arc::downgrade(&watch));
        Ok(watch)
    }

    /// The options that the run must be given.
    pub(crate) fn options(&self) -> &RunOptions {
        &self.options
    }

    /// A run starts.
    pub(crate) fn start(&self, deadline: Instant, abandoned: Option<Arc<AtomicBool>>) {
        *self.lock() = Some(Run {
            deadline,
            abandoned,
            stopped: false,
        });
        if let Some(watchdog) = WATCHDOG.get() {
            watchdog.wake();
        }
    }

    /// The run is over; was it stopped?
    pub(crate) fn end(&self) -> bool {
        let stopped = self.lock().take().is_some_and(|run| run.stopped);
        if stopped && let Err(error) = self.options.unterminate() {
            // Then every later run of this session ends at once with an error that says so.
            tracing::error!(message = error.message(), "a terminate flag can't be lowered");
        }
        stopped
    }

    /// Is a run under way? Stops it if it is over.
    fn look(&self, now: Instant) -> bool {
        let mut run = self.lock();
        let Some(run) = run.as_mut() else { return false };
        let left = run.abandoned.as_ref().is_some_and(|a| a.load(Ordering::Relaxed));
        if !run.stopped && (left || now >= run.deadline) {
            // Under the lock, so `end` can't come between the decision and the flag.
            run.stopped = true;
            if let Err(error) = self.options.terminate() {
                tracing::error!(message = error.message(), "a run can't be stopped");
            }
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, Option<Run>> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

static WATCHDOG: OnceLock<Watchdog> = OnceLock::new();

#[derive(Default)]
struct Watchdog {
    state: Mutex<State>,
    woken: Condvar,
    asleep: AtomicBool,
}

#[derive(Default)]
struct State {
    watches: Vec<Weak<Watch>>,
    started: bool,
}

impl Watchdog {
    fn get() -> Result<&'static Self, String> {
        let watchdog = WATCHDOG.get_or_init(Self::default);
        let mut state = watchdog.lock();
        if !state.started {
            std::thread::Builder::new()
                .name("inference-watch".into())
                .spawn(|| watchdog.watch())
                .map_err(|e| format!("the watchdog's thread can't start: {e}"))?;
            state.started = true;
        }
        drop(state);
        Ok(watchdog)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A run starts. It is in its watch already: either the watchdog's last look before it slept saw
    /// it, or that look came before, and then so did `asleep`, by the watch's own lock.
    fn wake(&self) {
        if self.asleep.load(Ordering::Relaxed) {
            let _state = self.lock();
            self.woken.notify_one();
        }
    }

    fn watch(&self) {
        let mut idle = 0;
        loop {
            let mut state = self.lock();
            let asleep = idle >= IDLE_TICKS;
            self.asleep.store(asleep, Ordering::Relaxed);
            let now = Instant::now();
            let mut busy = false;
            state.watches.retain(|watch| {
                let watch = watch.upgrade();
                busy |= watch.as_ref().is_some_and(|watch| watch.look(now));
                watch.is_some()
            });
            idle = if busy { 0 } else { idle + 1 };
            if asleep && !busy {
                // New watches take the state's lock and their first run wakes us.
                state = self.woken.wait(state).unwrap_or_else(PoisonError::into_inner);
                idle = 0;
            }
            drop(state);
            std::thread::sleep(TICK);
        }
    }
}
