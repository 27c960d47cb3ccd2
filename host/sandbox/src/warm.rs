//! Warm instances: a bounded number for one stage, which take calls in turn.
//!
//! An instance is taken out for its call and put back only after a success, so that whatever ends
//! a call otherwise (a trap, a limit, a dropped future) ends the instance with it.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::component::{ComponentNamedList, Lift, Lower};

use crate::guest::Phase;
use crate::instance::{Failure, Live, Template};
use crate::prepare::Setup;
use crate::request::Isolation;
use crate::sandbox::Inner;

pub(crate) struct WarmPool {
    idle: Mutex<Vec<Warm>>,
    instances: Arc<Semaphore>,
    uses_max: u32,
    memory_bytes_max: usize,
    /// How to configure a new instance; `None` where instances come configured.
    setup: Option<Setup>,
}

struct Warm {
    live: Live,
    uses: u32,
    /// Its share of the sandbox's warm instances.
    _turn: OwnedSemaphorePermit,
}

impl WarmPool {
    /// `None` for [`Isolation::Fresh`].
    pub(crate) fn new(isolation: Isolation, setup: Option<Setup>) -> Option<Self> {
        let Isolation::Warm {
            instances,
            uses,
            memory_bytes,
        } = isolation
        else {
            return None;
        };
        Some(Self {
            idle: Mutex::default(),
            instances: Arc::new(Semaphore::new(instances)),
            uses_max: uses,
            memory_bytes_max: memory_bytes,
            setup,
        })
    }

    pub(crate) async fn call<P, R>(
        &self,
        inner: &Inner,
        template: &Template,
        function: &str,
        params: P,
    ) -> Result<R, Failure>
    where
        P: ComponentNamedList + Lower + Send + Sync,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let _turn = inner.turn(&self.instances, "warm instances of the stage").await?;
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut warm = match idle {
            Some(warm) => {
                template.counters.reuse();
                warm
            }
            None => self.make(inner, template).await?,
        };
        let result = template
            .call(&mut warm.live, Phase::Call, function, params)
            .await?;
        warm.uses += 1;
        let guest = warm.live.store.data();
        if warm.uses < self.uses_max && guest.limiter.memory_bytes() <= self.memory_bytes_max {
            self.idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(warm);
        }
        Ok(result)
    }

    async fn make(&self, inner: &Inner, template: &Template) -> Result<Warm, Failure> {
        let turn = inner.turn(&inner.warm, "warm instances of the sandbox").await?;
        let mut live = template.instantiate(Phase::Configure).await?;
        if let Some(setup) = &self.setup {
            setup.configure(template, &mut live).await?;
        }
        Ok(Warm {
            live,
            uses: 0,
            _turn: turn,
        })
    }
}
