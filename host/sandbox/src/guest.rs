//! The host's side of one instance: its limits, its log, its handles, and what became of it.

use std::sync::Arc;
use std::thread::ThreadId;
use std::time::Duration;

use wasmtime::component::ResourceTable;
use wasmtime::{Engine, Store, Trap, UpdateDeadline};
use wasmtime_wasi::{I32Exit, WasiCtx};

use crate::error::{Cause, GUEST_TEXT_BYTES_MAX, UploadError};
use crate::fair;
use crate::graph::Graphs;
use crate::limiter::Limiter;
use crate::limits::Limits;
use crate::log::{CallLog, StageLog};
use crate::meter::Meter;
use crate::nn::Models;
use crate::text::tame;
use crate::wasi::Grants;

/// Handles of host resources that an instance may hold: tensors, streams.
const HANDLES_MAX: usize = 4096;
/// What copying an answer may cost on top of its bytes: the host's own structures around them.
const COPY_OVERHEAD_BYTES: usize = 1 << 20;
/// wasmtime's words when a guest hands over more than the store's `hostcall_fuel`; its error type
/// is private. A test pins them.
const COPY_EXHAUSTED: &str = "fuel allocated for hostcalls has been exhausted";

/// What a guest is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Describe,
    Configure,
    Call,
}

impl Phase {
    /// The name of the function, where it isn't one that may use models.
    pub(crate) fn outside_call(self) -> Option<&'static str> {
        match self {
            Self::Describe => Some("describe"),
            Self::Configure => Some("configure"),
            Self::Call => None,
        }
    }
}

/// Why the host itself stopped a guest.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Fault {
    #[error("out of processor time")]
    CpuTime,
    #[error("the tenant was stopped")]
    Stopped,
    #[error("wasi:nn in `{0}`")]
    ModelsOutsidePredict(&'static str),
    #[error("{0}")]
    Handles(String),
    #[error("{0}")]
    Contract(String),
}

/// Everything that an instance is made with.
pub(crate) struct Terms {
    pub(crate) limits: Limits,
    pub(crate) tick: Duration,
    /// Adds up what the stage's tenant uses.
    pub(crate) meter: Arc<Meter>,
    pub(crate) grants: Grants,
    pub(crate) graphs: Option<Arc<dyn Graphs>>,
    pub(crate) log: Arc<StageLog>,
}

/// The data of a store.
pub(crate) struct Guest {
    pub(crate) limiter: Limiter,
    pub(crate) log: Arc<CallLog>,
    pub(crate) phase: Phase,
    pub(crate) table: ResourceTable,
    pub(crate) wasi: Option<Box<WasiCtx>>,
    pub(crate) grants: Grants,
    pub(crate) models: Models,
    tick: Duration,
    ticks_left: u64,
    /// Ticks that passed inside the guest since the call began.
    ticks_burnt: u32,
    burning: Burning,
}

/// Ticks after which a call burns whatever else is known: one that goes from thread to thread can't be timed.
const TICKS_UNSURE_MAX: u32 = 8;

/// Does a call burn processor time, or did ticks only pass while its thread was kept waiting?
#[derive(Debug, Clone, Copy, PartialEq)]
enum Burning {
    NotYet,
    /// At the first tick: on which thread, and that one's processor time.
    Since(ThreadId, Duration),
    Yes,
}

impl Burning {
    /// After one more tick, at which the call is on this thread, which has had so much processor time. A tick
    /// may have begun long before the guest did, and a busy machine may have paused the thread over it; only
    /// time on the processor counts.
    fn after_tick(self, tick: Duration, thread: ThreadId, now: Duration) -> Self {
        match self {
            Self::Yes => self,
            Self::Since(same, at) if same == thread => match now.saturating_sub(at) >= tick / 2 {
                true => Self::Yes,
                false => self,
            },
            Self::NotYet | Self::Since(..) => Self::Since(thread, now),
        }
    }
}

impl Guest {
    /// A tick passed: does the call burn?
    fn burns(&mut self) -> bool {
        self.burning = match self.ticks_burnt > TICKS_UNSURE_MAX {
            true => Burning::Yes,
            false => {
                let thread = std::thread::current().id();
                self.burning.after_tick(self.tick, thread, fair::thread_time())
            }
        };
        matches!(self.burning, Burning::Yes)
    }

    /// A store for one instance, ready to instantiate: limits on, deadline set.
    pub(crate) fn store(engine: &Engine, terms: &Terms) -> Store<Self> {
        let limits = &terms.limits;
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES_MAX);
        let mut store = Store::new(
            engine,
            Self {
                limiter: Limiter::new(
                    Arc::clone(&terms.meter),
                    limits.memory_bytes,
                    limits.table_elements,
                ),
                log: Arc::new(CallLog::new(Arc::clone(&terms.log))),
                phase: Phase::Call,
                table,
                wasi: None,
                grants: terms.grants,
                models: Models::new(terms.graphs.clone(), limits.memory_bytes),
                tick: terms.tick,
                ticks_left: 0,
                ticks_burnt: 0,
                burning: Burning::NotYet,
            },
        );
        store.limiter(|guest| &mut guest.limiter);
        store.set_hostcall_fuel(limits.output_bytes.saturating_add(COPY_OVERHEAD_BYTES));
        store.set_max_component_handles(HANDLES_MAX);
        // Each tick that passes inside the guest costs one of its own, and once it burns gives others a turn.
        // Ticks that pass while it waits in the host, or while it has no thread, come down to one.
        store.epoch_deadline_callback(|mut cx| {
            let guest = cx.data_mut();
            // Now, and not at the end of the call: who goes away before that has used it all the same.
            guest.limiter.tenant().add_cpu(guest.tick);
            if guest.limiter.tenant().is_stopped() {
                return Err(Fault::Stopped.into());
            }
            match guest.ticks_left.checked_sub(1) {
                Some(left) => {
                    guest.ticks_left = left;
                    guest.ticks_burnt = guest.ticks_burnt.saturating_add(1);
                    if !guest.burns() {
                        return Ok(UpdateDeadline::Continue(1));
                    }
                    fair::note_burnt();
                    Ok(UpdateDeadline::Yield(1))
                }
                None => Err(Fault::CpuTime.into()),
            }
        });
        store
    }
}

/// The processor time of a call that had a thread for `busy`, as far as its ticks haven't been put on
/// the tenant's account already. A thread that the system paused did not run, and then the ticks that
/// the guest saw say more: a pause of any length costs one.
pub(crate) fn cpu_time_left(guest: &Guest, busy: Duration) -> Duration {
    let charged = guest.tick.saturating_mul(guest.ticks_burnt);
    busy.saturating_sub(charged).min(guest.tick)
}

/// Begin a call: a new budget of time.
pub(crate) fn begin(store: &mut Store<Guest>, terms: &Terms, phase: Phase) {
    let (cpu, _) = budget(&terms.limits, phase);
    let tick = terms.tick.as_nanos().max(1);
    let guest = store.data_mut();
    guest.ticks_left = u64::try_from(cpu.as_nanos().div_ceil(tick)).unwrap_or(u64::MAX);
    guest.ticks_burnt = 0;
    guest.burning = Burning::NotYet;
    guest.phase = phase;
    guest.limiter.forget_refusal();
    store.set_epoch_deadline(1);
}

/// Guest time and wall-clock time of a call.
pub(crate) fn budget(limits: &Limits, phase: Phase) -> (Duration, Duration) {
    match phase {
        Phase::Describe | Phase::Configure => (limits.setup_cpu, limits.setup_wall),
        Phase::Call => (limits.cpu, limits.wall),
    }
}

/// What an error of wasmtime means.
pub(crate) fn cause(error: &wasmtime::Error, guest: &Guest, limits: &Limits) -> Cause {
    if let Some(fault) = error.downcast_ref::<Fault>() {
        return match fault {
            Fault::CpuTime => Cause::CpuTime(budget(limits, guest.phase).0),
            Fault::Stopped => Cause::TenantStopped,
            Fault::ModelsOutsidePredict(function) => Cause::ModelsOutsidePredict(function),
            Fault::Handles(what) => Cause::Handles(what.clone()),
            Fault::Contract(what) => {
                Cause::Component(UploadError::Contract(tame(what, GUEST_TEXT_BYTES_MAX)))
            }
        };
    }
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return Cause::Trap(format!("it exited with status {}", exit.0));
    }
    // A guest that was refused memory and then aborts, aborts for that.
    if let Some(refusal) = guest.limiter.refusal() {
        return refusal;
    }
    if let Some(trap) = error.downcast_ref::<Trap>() {
        return match trap {
            Trap::StackOverflow => Cause::StackOverflow,
            Trap::UnreachableCodeReached => Cause::Unreachable,
            Trap::MemoryOutOfBounds | Trap::TableOutOfBounds => Cause::OutOfBounds,
            other => Cause::Trap(other.to_string()),
        };
    }
    let text = format!("{error:#}");
    if text.contains(COPY_EXHAUSTED) {
        return Cause::OutputTooLarge {
            limit: limits.output_bytes,
            unit: "bytes",
        };
    }
    if error
        .downcast_ref::<wasmtime::PoolConcurrencyLimitError>()
        .is_some()
    {
        return Cause::Host(text);
    }
    Cause::Trap(tame(&text, GUEST_TEXT_BYTES_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_processor_time_after_the_first_tick_burns() {
        const TICK: Duration = Duration::from_millis(2);
        let (here, elsewhere) = (
            std::thread::current().id(),
            std::thread::spawn(|| {}).thread().id(),
        );
        let at = Duration::from_micros;
        let first = Burning::NotYet.after_tick(TICK, here, at(500));
        // The first tick may have begun before the call did.
        assert_eq!(first, Burning::Since(here, at(500)));
        // The thread was paused over the second.
        let paused = first.after_tick(TICK, here, at(1_400));
        assert_eq!(paused, first);
        assert_eq!(paused.after_tick(TICK, here, at(1_500)), Burning::Yes);
        // Another thread's clock says nothing of this one.
        let moved = first.after_tick(TICK, elsewhere, at(90_000));
        assert_eq!(moved, Burning::Since(elsewhere, at(90_000)));
        assert_eq!(Burning::Yes.after_tick(TICK, elsewhere, at(0)), Burning::Yes);
    }
}
