//! Instances of a component, and single calls on them, each under its limits.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::component::{ComponentExportIndex, ComponentNamedList, Instance, InstancePre, Lift, Lower};
use wasmtime::{Engine, Store};

use crate::code::Code;
use crate::error::{Cause, UploadError};
use crate::guest::{self, Fault, Guest, Phase, Terms};
use crate::manifest::World;
use crate::reclaim::Held;
use crate::stats::Counters;

/// A failed call, and what the guest last said.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) cause: Cause,
    pub(crate) guest_message: Option<Box<str>>,
}

impl From<Cause> for Failure {
    fn from(cause: Cause) -> Self {
        Self {
            cause,
            guest_message: None,
        }
    }
}

impl From<UploadError> for Failure {
    fn from(error: UploadError) -> Self {
        Cause::Component(error).into()
    }
}

/// What instances are made from, and on which terms.
pub(crate) struct Template {
    engine: Engine,
    code: Arc<Code>,
    pre: InstancePre<Guest>,
    functions: Vec<(&'static str, ComponentExportIndex)>,
    pub(crate) terms: Terms,
    pub(crate) counters: Arc<Counters>,
}

/// One instance in its store.
pub(crate) struct Live {
    pub(crate) store: Held,
    pub(crate) instance: Instance,
}

impl Template {
    pub(crate) fn new(
        code: Arc<Code>,
        pre: InstancePre<Guest>,
        world: World,
        terms: Terms,
        counters: Arc<Counters>,
    ) -> Result<Self, UploadError> {
        let functions = ["describe", "configure"]
            .iter()
            .chain(world.functions())
            .map(|&name| match code.component.get_export_index(None, name) {
                Some(index) => Ok((name, index)),
                None => Err(UploadError::Contract(format!("`{name}` is not exported"))),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            engine: pre.engine().clone(),
            code,
            pre,
            functions,
            terms,
            counters,
        })
    }

    /// The same terms for other code: that of a snapshot.
    pub(crate) fn with_code(
        self,
        code: Arc<Code>,
        pre: InstancePre<Guest>,
        world: World,
    ) -> Result<Self, UploadError> {
        Self::new(code, pre, world, self.terms, self.counters)
    }

    pub(crate) fn code(&self) -> &Code {
        &self.code
    }

    fn function(&self, name: &str) -> Result<&ComponentExportIndex, Cause> {
        self.functions
            .iter()
            .find_map(|(n, index)| (*n == name).then_some(index))
            .ok_or_else(|| Cause::Host(format!("no function `{name}`")))
    }

    /// A new instance. Its start functions run here, under the limits of `phase`.
    pub(crate) async fn instantiate(&self, phase: Phase) -> Result<Live, Failure> {
        let mut store = Held::new(Guest::store(&self.engine, &self.terms));
        guest::begin(&mut store, &self.terms, phase);
        let (outcome, busy) = timed(self.wall(phase), self.pre.instantiate_async(&mut *store)).await;
        self.charge(&store, busy);
        let instance = self.judge(outcome, &store, phase)?;
        self.counters.instance();
        Ok(Live { store, instance })
    }

    /// A call on an instance. After an error the instance must not be used again.
    pub(crate) async fn call<P, R>(
        &self,
        live: &mut Live,
        phase: Phase,
        function: &str,
        params: P,
    ) -> Result<R, Failure>
    where
        P: ComponentNamedList + Lower + Send + Sync,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let index = self.function(function)?;
        let Live { store, instance } = live;
        guest::begin(store, &self.terms, phase);
        let started = Instant::now();
        let call = call_typed(store, instance, index, params);
        let (outcome, busy) = timed(self.wall(phase), call).await;
        self.count(started, busy, store, phase);
        self.judge(outcome, store, phase)
    }

    /// A call on an instance of its own, which ends with it.
    pub(crate) async fn call_fresh<P, R>(&self, phase: Phase, function: &str, params: P) -> Result<R, Failure>
    where
        P: ComponentNamedList + Lower + Send + Sync,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let index = self.function(function)?;
        let started = Instant::now();
        let mut store = Held::new(Guest::store(&self.engine, &self.terms));
        guest::begin(&mut store, &self.terms, phase);
        let call = async {
            let instance = self.pre.instantiate_async(&mut *store).await?;
            self.counters.instance();
            call_typed(&mut store, &instance, index, params).await
        };
        let (outcome, busy) = timed(self.wall(phase), call).await;
        self.count(started, busy, &store, phase);
        self.judge(outcome, &store, phase)
    }

    fn wall(&self, phase: Phase) -> Duration {
        guest::budget(&self.terms.limits, phase).1
    }

    /// Put processor time on the tenant's account.
    fn charge(&self, store: &Store<Guest>, busy: Duration) {
        self.terms.meter.add_cpu(guest::cpu_time_left(store.data(), busy));
    }

    fn count(&self, started: Instant, busy: Duration, store: &Store<Guest>, phase: Phase) {
        self.charge(store, busy);
        if phase == Phase::Call {
            let memory = store.data().limiter.memory_bytes();
            self.counters.call(started.elapsed(), busy, memory);
        }
    }

    fn judge<R>(
        &self,
        outcome: Option<wasmtime::Result<R>>,
        store: &Store<Guest>,
        phase: Phase,
    ) -> Result<R, Failure> {
        let guest = store.data();
        let cause = match outcome {
            Some(Ok(result)) => return Ok(result),
            Some(Err(error)) => guest::cause(&error, guest, &self.terms.limits),
            None => Cause::WallTime(self.wall(phase)),
        };
        Err(Failure {
            cause,
            guest_message: guest.log.take_last_error().map(String::into_boxed_str),
        })
    }
}

async fn call_typed<P, R>(
    store: &mut Store<Guest>,
    instance: &Instance,
    index: &ComponentExportIndex,
    params: P,
) -> wasmtime::Result<R>
where
    P: ComponentNamedList + Lower + Send + Sync,
    R: ComponentNamedList + Lift + Send + Sync + 'static,
{
    let function = instance
        .get_typed_func::<P, R>(&mut *store, index)
        .map_err(|e| Fault::Contract(format!("{e:#}")))?;
    function.call_async(&mut *store, params).await
}

/// Run a future for a bounded time. Gives its result, unless time ran out, and how long it had a
/// thread.
async fn timed<F: Future>(wall: Duration, future: F) -> (Option<F::Output>, Duration) {
    let mut busy = Duration::ZERO;
    let outcome = {
        let mut future = pin!(tokio::time::timeout(wall, future));
        poll_fn(|cx| {
            let started = Instant::now();
            let poll = future.as_mut().poll(cx);
            busy += started.elapsed();
            poll
        })
        .await
    };
    (outcome.ok(), busy)
}
