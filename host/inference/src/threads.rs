//! The threads for runs that are not known to be short: one a core, for the whole process.
//!
//! A model never has more jobs here than it has sessions, so the queue can't be filled by one model,
//! and another's job waits for at most that many before it.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

/// Jobs in the queue; a bound for hundreds of busy models, at a few hundred bytes each beside their
/// inputs.
const QUEUE_MAX: usize = 1024;

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Pool {
    queue: Mutex<Queue>,
    filled: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    started: bool,
}

static POOL: OnceLock<Pool> = OnceLock::new();

/// Why a job wasn't taken.
pub(crate) enum Refused {
    /// So many are waiting.
    Full(usize),
    /// The system can't start the threads.
    NoThreads(String),
}

/// Run this on one of the threads.
pub(crate) fn run(job: impl FnOnce() + Send + 'static) -> Result<(), Refused> {
    let pool = POOL.get_or_init(Pool::default);
    let mut queue = pool.lock();
    if !queue.started {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        for i in 0..cores {
            let spawned = std::thread::Builder::new()
                .name(format!("inference-{i}"))
                .spawn(|| pool.work());
            match spawned {
                Ok(_) => queue.started = true,
                // With at least one thread there is progress.
                Err(_) if queue.started => break,
                Err(error) => return Err(Refused::NoThreads(error.to_string())),
            }
        }
    }
    if queue.jobs.len() >= QUEUE_MAX {
        return Err(Refused::Full(queue.jobs.len()));
    }
    queue.jobs.push_back(Box::new(job));
    drop(queue);
    pool.filled.notify_one();
    Ok(())
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        loop {
            let job = {
                let mut queue = self.lock();
                loop {
                    match queue.jobs.pop_front() {
                        Some(job) => break job,
                        None => queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner),
                    }
                }
            };
            // A panic is that job's: whoever waits for it sees its channel close.
            if catch_unwind(AssertUnwindSafe(job)).is_err() {
                tracing::error!("a model run panicked");
            }
        }
    }
}
