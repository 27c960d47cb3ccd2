//! Requests that are there at the same time share a run of the pipeline.
//!
//! Transforms and models are pure by row, so the rows of several requests may go through them
//! together; each caller gets its own back. All requests of a revision have one schema, and which
//! outputs a caller wants is chosen after the run, so nothing that differs is ever mixed. Validators,
//! which may look at all rows of a request, run before, each request by itself.
//!
//! A run starts as soon as there is a request and a core for it. The runner first lets every task that is
//! ready have its turn, once: requests that have arrived come along, and on an idle server that costs
//! a microsecond and waits for nobody. While runs are under way the next requests gather by themselves.
//!
//! What one request does stays with it: when a shared run fails, each request of it runs again
//! alone, and gets its own answer or its own error. A caller that goes away is left out of the next
//! run; the run under way goes on unless all have gone.

mod queue;
mod spec;
#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use caisson_data::Batch;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join_all};
use tokio::sync::{Notify, oneshot};
use tokio::time::{timeout, timeout_at};
use tracing::{Instrument as _, Span};

use crate::call::CallOptions;
use crate::error::{Kind, ServingError};
use crate::statistics::Statistics;
use crate::trail::{Step, Trail, What};
use crate::vitals::Vitals;
use queue::{Now, Queue, Rules, Waiting};

pub use spec::{BatchingSpec, QueueSpec};

/// Tokio's timers count milliseconds; what is shorter is waited for by turns of the scheduler, each of
/// which takes in what has arrived meanwhile.
const TIMER_MIN: Duration = Duration::from_millis(1);
/// How often the queue is looked through while a run takes long.
const SWEEP_EVERY: Duration = Duration::from_millis(10);

/// What queueing a request, waking its runner and waking it again cost: with runs of one request each,
/// a model without stages (8 µs a run) took 42 µs a request through the queue and 25 µs without it, and
/// one with two stages (30 µs a run) gains from about two requests a run on.
const SHARING_NS: u64 = 25_000;
/// Rows of a request whose time says what a run costs whatever is in it.
const SMALL_ROWS: usize = 4;

/// Runs a batch through the pipeline, whose steps go to the trail.
pub(crate) type Run =
    Box<dyn Fn(Batch, Option<Arc<Trail>>) -> BoxFuture<'static, Result<Batch, ServingError>> + Send + Sync>;

type Answer = Result<Batch, ServingError>;

/// Where runs and waiting are counted.
pub(crate) struct Counts {
    /// The deployment's.
    pub(crate) vitals: Arc<Vitals>,
    /// The revision's own.
    pub(crate) statistics: Arc<Statistics>,
}

/// The queue and the runs of one revision.
pub(crate) struct Batcher {
    state: Mutex<State>,
    /// Rows came while a runner waits for some.
    more: Notify,
    rows_max: usize,
    /// A request may have to wait for others.
    delayed: bool,
    /// The deployment's file says how runs are to be shared.
    asked_for: bool,
    /// A run calls a plugin, which costs more than being queued whatever it is called with.
    sandboxed: bool,
    /// What a small request takes by itself; `u64::MAX` until one has.
    alone_ns: AtomicU64,
    runners_max: usize,
    run: Run,
    counts: Counts,
}

struct State {
    queue: Queue<Request>,
    /// Runners under way.
    runners: usize,
    /// One of them is about to take what is there.
    gathering: bool,
}

struct Request {
    batch: Batch,
    answer: oneshot::Sender<Answer>,
    trail: Option<Arc<Trail>>,
}

impl std::fmt::Debug for Batcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batcher").finish_non_exhaustive()
    }
}

impl Batcher {
    /// At most `runners_max` runs at the same time; `sandboxed` says that they call plugins.
    pub(crate) fn new(
        rules: Rules,
        runners_max: usize,
        sandboxed: bool,
        run: Run,
        counts: Counts,
    ) -> Arc<Self> {
        Arc::new(Self {
            rows_max: rules.rows_max,
            delayed: !rules.delay.is_zero(),
            asked_for: !rules.delay.is_zero() || !rules.preferred.is_empty() || rules.levels > 1,
            sandboxed,
            alone_ns: AtomicU64::new(u64::MAX),
            state: Mutex::new(State {
                queue: Queue::new(rules),
                runners: 0,
                gathering: false,
            }),
            more: Notify::new(),
            runners_max: runners_max.max(1),
            run,
            counts,
        })
    }

    /// Does it pay for a request of so many rows to share a run? Not where a run costs no more than being
    /// queued and woken, nor for one that fills most of a run by itself. Where the deployment asks for a
    /// delay or for sizes, every request shares that may.
    pub(crate) fn takes(&self, rows: usize) -> bool {
        if self.asked_for {
            return (1..=self.rows_max).contains(&rows);
        }
        let pays = self.sandboxed || self.alone_ns.load(Ordering::Relaxed) >= SHARING_NS;
        pays && (1..=self.rows_max / 2).contains(&rows)
    }

    /// Note how long a request ran that ran by itself. What is wanted is what a run costs when nothing
    /// interrupts it, and a busy machine interrupts many for milliseconds: so this follows the fastest tenth or
    /// so, down at once and up slowly.
    pub(crate) fn note_alone(&self, rows: usize, took: Duration) {
        if rows > SMALL_ROWS {
            return;
        }
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let old = self.alone_ns.load(Ordering::Relaxed);
        let new = match old {
            u64::MAX => took,
            _ if took < old => old - (old - took) / 4,
            _ => old + old / 64 + 1,
        };
        // A note lost between two threads only delays it.
        self.alone_ns.store(new.min(took.max(old)), Ordering::Relaxed);
    }

    /// Run these rows, with those of others.
    ///
    /// # Errors
    ///
    /// What the pipeline gives for these rows; [`Kind::Busy`] where the queue is full or their time
    /// is over.
    pub(crate) async fn submit(
        self: &Arc<Self>,
        batch: Batch,
        options: CallOptions,
        trail: Option<Arc<Trail>>,
    ) -> Answer {
        let (answer, wait) = oneshot::channel();
        let rows = batch.rows();
        let starts = {
            let mut state = self.lock();
            let request = Request { batch, answer, trail };
            let now = Instant::now();
            if state
                .queue
                .push(request, rows, options.priority, options.timeout, now)
                .is_err()
            {
                let waiting = state.queue.len();
                drop(state);
                self.counts.vitals.queue_refused();
                return Err(queue_full(waiting));
            }
            let starts = !state.gathering && state.runners < self.runners_max;
            if starts {
                state.runners += 1;
                state.gathering = true;
            } else if self.delayed {
                self.more.notify_one();
            }
            starts
        };
        if starts {
            self.start();
        }
        wait.await.unwrap_or_else(|_| {
            Err(ServingError::new(
                Kind::Internal,
                "internal",
                "the run ended without an answer",
            ))
        })
    }

    fn start(self: &Arc<Self>) {
        tokio::spawn(Arc::clone(self).work());
    }

    /// Take what is there and run it, until there is nothing or another runner is about to.
    async fn work(self: Arc<Self>) {
        loop {
            tokio::task::yield_now().await;
            let Some(group) = self.gather().await else {
                return;
            };
            let mut serve = pin!(self.serve(group));
            while timeout(SWEEP_EVERY, serve.as_mut()).await.is_err() {
                self.sweep();
            }
            let mut state = self.lock();
            if state.gathering || state.queue.len() == 0 {
                state.runners -= 1;
                return;
            }
            state.gathering = true;
        }
    }

    /// The requests of the next run; `None` when there are none, and the runner has been counted out.
    async fn gather(self: &Arc<Self>) -> Option<Vec<Waiting<Request>>> {
        loop {
            let now = Instant::now();
            let (expired, next, another) = {
                let mut state = self.lock();
                let expired = state.queue.expired(now, |request| request.answer.is_closed());
                let next = match state.queue.now(now) {
                    Now::Wait(until) => Err(until),
                    Now::Nothing => {
                        state.runners -= 1;
                        state.gathering = false;
                        Ok(None)
                    }
                    Now::Run(rows) => {
                        state.gathering = false;
                        Ok(Some(state.queue.take(rows)))
                    }
                };
                let another =
                    matches!(next, Ok(Some(_))) && state.queue.len() > 0 && state.runners < self.runners_max;
                if another {
                    state.runners += 1;
                    state.gathering = true;
                }
                (expired, next, another)
            };
            if another {
                self.start();
            }
            self.refuse(expired, now);
            let until = match next {
                Ok(group) => return group,
                Err(until) => until,
            };
            if until.saturating_duration_since(now) < TIMER_MIN {
                tokio::task::yield_now().await;
            } else {
                // Elapsed or more rows: either way there is something to look at.
                let _ = timeout_at(until.into(), self.more.notified()).await;
            }
        }
    }

    /// Answer those whose time is over while all runners are busy.
    fn sweep(&self) {
        let now = Instant::now();
        let expired = self
            .lock()
            .queue
            .expired(now, |request| request.answer.is_closed());
        self.refuse(expired, now);
    }

    fn refuse(&self, expired: Vec<Waiting<Request>>, now: Instant) {
        for waiting in expired {
            self.counts.vitals.queue_refused();
            // Whoever left doesn't want it.
            let _ = waiting.what.answer.send(Err(queue_timeout(now - waiting.since)));
        }
    }

    async fn serve(&self, mut group: Vec<Waiting<Request>>) {
        let now = Instant::now();
        for waiting in &group {
            let wait = now - waiting.since;
            self.counts.vitals.waited(wait);
            self.counts.statistics.waited(wait);
            if let Some(trail) = &waiting.what.trail {
                trail.push(Step {
                    what: What::Queue,
                    start: waiting.since,
                    took: wait,
                    error: None,
                });
            }
        }
        let rows = group.iter().map(|w| w.rows).sum::<usize>();
        self.counts.vitals.batched(rows);
        if group.len() == 1 {
            if let Some(waiting) = group.pop() {
                self.alone(waiting.what).await;
            }
            return;
        }
        let batches: Vec<&Batch> = group.iter().map(|w| &w.what.batch).collect();
        let wanted = group.iter().any(|w| w.what.trail.is_some());
        let shared = wanted.then(Arc::<Trail>::default);
        let started = Instant::now();
        let together = match Batch::concat(&batches) {
            Ok(batch) => {
                let answers = group.iter_mut().map(|w| &mut w.what.answer);
                self.run_while_wanted(batch, shared.clone(), answers).await
            }
            // Each may still fit alone.
            Err(_) => Some(Err(ServingError::new(
                Kind::Internal,
                "internal",
                "joining requests",
            ))),
        };
        if let Some(shared) = shared {
            let trails = group.iter().filter_map(|w| w.what.trail.as_ref());
            trails.for_each(|trail| trail.join(&shared));
        }
        match together {
            None => {}
            Some(Ok(batch)) if batch.rows() == rows => {
                let others = group.len().saturating_sub(1);
                self.counts.statistics.shared(others, started.elapsed());
                let mut start = 0;
                for waiting in group {
                    let part = batch.slice_rows(start..start + waiting.rows);
                    start += waiting.rows;
                    let part = part.map_err(|e| {
                        ServingError::new(Kind::Internal, "internal", format!("splitting a shared run: {e}"))
                    });
                    // Whoever left doesn't want it.
                    let _ = waiting.what.answer.send(part);
                }
            }
            Some(_) => {
                self.counts.vitals.split();
                join_all(group.into_iter().map(|waiting| self.alone(waiting.what))).await;
            }
        }
    }

    async fn alone(&self, request: Request) {
        let Request {
            batch,
            mut answer,
            trail,
        } = request;
        let (rows, started) = (batch.rows(), Instant::now());
        let wanted_by = std::iter::once(&mut answer);
        let span = trail.as_ref().map_or_else(Span::none, |trail| trail.span());
        let run = self.run_while_wanted(batch, trail, wanted_by).instrument(span);
        if let Some(given) = run.await {
            self.note_alone(rows, started.elapsed());
            // Whoever left doesn't want it.
            let _ = answer.send(given);
        }
    }

    /// Run until done, or until everybody has gone: then `None`.
    async fn run_while_wanted<'a>(
        &self,
        batch: Batch,
        trail: Option<Arc<Trail>>,
        wanted_by: impl Iterator<Item = &'a mut oneshot::Sender<Answer>>,
    ) -> Option<Answer> {
        // A panic is a defect of ours; it must not take the runner with it.
        let run = AssertUnwindSafe((self.run)(batch, trail)).catch_unwind();
        let mut run = pin!(run);
        let mut waiting: Vec<_> = wanted_by.collect();
        poll_fn(|cx| {
            if let Poll::Ready(answer) = run.as_mut().poll(cx) {
                return Poll::Ready(Some(answer.unwrap_or_else(|_| {
                    Err(ServingError::new(Kind::Internal, "internal", "a run panicked"))
                })));
            }
            waiting.retain_mut(|answer| answer.poll_closed(cx).is_pending());
            if waiting.is_empty() {
                Poll::Ready(None)
            } else {
                Poll::Pending
            }
        })
        .await
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn queue_full(waiting: usize) -> ServingError {
    ServingError::new(
        Kind::Busy,
        "queue-full",
        format!("{waiting} requests wait for this deployment already; try again later"),
    )
}

fn queue_timeout(waited: Duration) -> ServingError {
    ServingError::new(
        Kind::Busy,
        "queue-timeout",
        format!(
            "the request's turn had not come after {} ms; try again later",
            waited.as_millis()
        ),
    )
}
