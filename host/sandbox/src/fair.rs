//! Calls that burn give way to calls that don't.
//!
//! The epoch makes a spinning guest yield its thread each tick, but a yielded call comes back as fast
//! as the scheduler turns, and a tenant that keeps enough of them spinning has every worker. So
//! requests run in two classes. Each starts on the worker threads; once a guest of it has burnt half a
//! tick of processor time after a first tick, the rest of the request moves to threads that the operating
//! system schedules at low priority ([`NICE`]), and for a second its tenant's other requests start there.
//! On an idle machine they lose nothing but one hop between threads; on a busy one they get what is
//! left over. Nobody has to configure it, and a neighbour's latency doesn't depend on a quota being
//! right. Threads that answer ask for short slices and those of low priority for long ones
//! ([`answer_first`]), so that the first interrupt the second at once.
//!
//! Work of the host that a tenant makes long, as decoding a large body, has the same place from the start
//! ([`Background::aside`]): one call that never yields, on a thread of its own at low priority, and on
//! the tenant's account.
//!
//! A future may be polled on one thread and then on another, so moving it is moving a box.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;
use tracing::Instrument as _;

use crate::error::SandboxError;
use crate::meter::Meter;
use crate::raw::set_slice;

/// The niceness of low-priority threads. Ten steps make about a tenth of the weight of a normal
/// thread (Linux: 110 against 1,024).
pub const NICE: i32 = 10;

/// The slice of a thread that answers: the shortest that Linux gives, so that it interrupts all others.
const SLICE: Duration = Duration::from_micros(100);
/// The slice of a thread of low priority: the longest, so that all others interrupt it.
const SLICE_LOW: Duration = Duration::from_millis(100);

/// Threads for [`Background::aside`] at most. Work beyond waits for one; the processors are shared by
/// priority long before.
const ASIDE_THREADS_MAX: usize = 64;

thread_local! {
    /// Did a guest burn a whole tick in the poll under way on this thread?
    static BURNT: Cell<bool> = const { Cell::new(false) };
    /// Is this thread one of low priority?
    static LOW: Cell<bool> = const { Cell::new(false) };
}

/// Is this thread one for calls that burn?
pub(crate) fn is_low() -> bool {
    LOW.get()
}

/// Let this thread, and all that it starts, interrupt threads of low priority as soon as there is something to
/// do. Without it the system would see only at its next tick that there is, with 250 ticks a second 4 ms
/// later.
///
/// # Errors
///
/// The system's, which doesn't offer it or forbids it; it matters only beside plugins that burn.
pub fn answer_first() -> io::Result<()> {
    set_slice(niceness()?, SLICE)
}

fn niceness() -> io::Result<i32> {
    Ok(rustix::process::getpriority_process(Some(
        rustix::thread::gettid(),
    ))?)
}

/// A guest on this thread burnt a whole tick.
pub(crate) fn note_burnt() {
    BURNT.set(true);
}

/// The low-priority threads.
pub(crate) struct Background {
    handle: Handle,
    /// Present until dropped.
    runtime: Option<Runtime>,
}

impl Background {
    pub(crate) fn start() -> Result<Self, SandboxError> {
        let runtime = Builder::new_multi_thread()
            .thread_name("caisson-low")
            .on_thread_start(lower_priority)
            .max_blocking_threads(ASIDE_THREADS_MAX)
            .enable_all()
            .build()
            .map_err(SandboxError::Threads)?;
        Ok(Self {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        })
    }

    /// Run a request's future in the class that its tenant and its own burning put it in. Dropping
    /// the returned future cancels it in either.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        meter: &Arc<Meter>,
        mut future: BoxFuture<'static, T>,
    ) -> T {
        if !meter.is_busy() {
            let here = poll_fn(|cx| {
                BURNT.set(false);
                match future.as_mut().poll(cx) {
                    Poll::Ready(value) => Poll::Ready(Some(value)),
                    Poll::Pending if BURNT.get() => Poll::Ready(None),
                    Poll::Pending => Poll::Pending,
                }
            });
            if let Some(value) = here.await {
                return value;
            }
            meter.note_busy();
        }
        let noting = Arc::clone(meter);
        let low = async move {
            poll_fn(|cx| {
                BURNT.set(false);
                let poll = future.as_mut().poll(cx);
                if BURNT.get() {
                    noting.note_busy();
                }
                poll
            })
            .await
        };
        let low = self.handle.spawn(low.in_current_span());
        AbortOnDrop(low).join().await
    }

    /// Run a function, however long it takes, on a low-priority thread and on a tenant's account. It
    /// runs to its end even if nobody waits for it any more.
    pub(crate) async fn aside<T: Send + 'static>(
        &self,
        meter: &Arc<Meter>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let meter = Arc::clone(meter);
        let low = self.handle.spawn_blocking(move || {
            let before = thread_time();
            let result = work();
            meter.add_cpu(thread_time().saturating_sub(before));
            result
        });
        AbortOnDrop(low).join().await
    }
}

/// Processor time of this thread so far. What such a thread waits for its turn is not its tenant's use.
pub(crate) fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

impl Drop for Background {
    fn drop(&mut self) {
        // A runtime must not be waited for inside another one.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// On Linux niceness belongs to the thread.
fn lower_priority() {
    LOW.set(true);
    if let Err(error) = give_way() {
        tracing::warn!(%error, "a low-priority thread runs at normal priority");
    }
}

/// Let this thread, and all that it starts, give way to others.
pub(crate) fn give_way() -> io::Result<()> {
    rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE)?;
    // Not everywhere, and the niceness alone does most of it.
    let _ = set_slice(NICE, SLICE_LOW);
    Ok(())
}

/// A task that ends with whoever waits for it.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> AbortOnDrop<T> {
    async fn join(mut self) -> T {
        match (&mut self.0).await {
            Ok(value) => value,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // Aborted: only when the process ends, and then nobody waits.
                Err(_) => std::future::pending().await,
            },
        }
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    fn niceness() -> i32 {
        rustix::process::getpriority_process(Some(rustix::thread::gettid())).unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_request_that_burns_moves_and_its_tenant_follows() {
        let background = Background::start().unwrap();
        let meter = Arc::new(Meter::default());
        let normal = background
            .run(
                &meter,
                async {
                    tokio::task::yield_now().await;
                    niceness()
                }
                .boxed(),
            )
            .await;
        assert_eq!(normal, 0);
        let moved = background
            .run(
                &meter,
                async {
                    let before = niceness();
                    note_burnt();
                    tokio::task::yield_now().await;
                    (before, niceness())
                }
                .boxed(),
            )
            .await;
        assert_eq!(moved, (0, NICE));
        assert_eq!(background.run(&meter, async { niceness() }.boxed()).await, NICE);
        let other = Arc::new(Meter::default());
        assert_eq!(background.run(&other, async { niceness() }.boxed()).await, 0);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn work_aside_is_of_low_priority_and_on_the_account() {
        let background = Background::start().unwrap();
        let meter = Arc::new(Meter::default());
        let seen = background
            .aside(&meter, || {
                let until = std::time::Instant::now() + Duration::from_millis(20);
                while std::time::Instant::now() < until {}
                niceness()
            })
            .await;
        assert_eq!(seen, NICE);
        assert!(meter.cpu_ns() > 0);
        assert!(!meter.is_busy(), "its other requests are as quick as ever");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn dropping_the_caller_cancels_a_moved_request() {
        struct Ended(Arc<std::sync::atomic::AtomicBool>);
        impl Drop for Ended {
            fn drop(&mut self) {
                self.0.store(true, std::sync::atomic::Ordering::SeqCst);
            }
        }
        let background = Background::start().unwrap();
        let meter = Arc::new(Meter::default());
        meter.note_busy();
        let ended = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let guard = Ended(Arc::clone(&ended));
        let run = background.run(
            &meter,
            async move {
                let _guard = guard;
                std::future::pending::<()>().await;
            }
            .boxed(),
        );
        assert!(
            tokio::time::timeout(Duration::from_millis(20), run)
                .await
                .is_err()
        );
        for _ in 0..500 {
            if ended.load(std::sync::atomic::Ordering::SeqCst) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the request still runs");
    }
}
