//! A stage: one plugin, configured, ready to be called from many requests at once.
//!
//! [`Sandbox::prepare`](crate::Sandbox::prepare) calls `configure` once, on one instance, and turns
//! that instance into a component of its own. Every call then gets a new instance that is already
//! configured and knows nothing of other calls. Where that can't be done (the guest holds host
//! resources, or has a form that the rewriter doesn't know), or where the tenant asks for it, calls
//! go to warm instances instead: see [`Isolation`](crate::Isolation).
//!
//! What ends an instance's life: the end of its call (`Fresh`); any trap, any passed limit, a
//! dropped call, its number of uses, its memory (`Warm`).

use std::sync::Arc;

use caisson_data::{Batch, Schema};
use tokio::sync::Semaphore;
use wasmtime::component::{ComponentNamedList, Lift, Lower};

use crate::contract::{BatchParam, WireBatch, WireError};
use crate::error::{Cause, GUEST_TEXT_BYTES_MAX, StageError, StageLabel};
use crate::guest::Phase;
use crate::instance::{Failure, Template};
use crate::manifest::World;
use crate::report::{DriftReport, Violation, WireViolation, violations};
use crate::request::StageKind;
use crate::sandbox::Inner;
use crate::stats::{StageProbe, StageStats};
use crate::text::tame;
use crate::warm::WarmPool;

/// A configured plugin. Calls run concurrently up to the stage's limit.
pub struct Stage {
    pub(crate) inner: Arc<Inner>,
    pub(crate) label: StageLabel,
    pub(crate) world: World,
    pub(crate) input: Arc<Schema>,
    pub(crate) output: Arc<Schema>,
    pub(crate) kind: StageKind,
    pub(crate) template: Template,
    pub(crate) warm: Option<WarmPool>,
    pub(crate) turns: Arc<Semaphore>,
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stage")
            .field("label", &self.label)
            .field("world", &self.world)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl Stage {
    /// Whose stage it is.
    pub fn label(&self) -> &StageLabel {
        &self.label
    }

    /// The world of its plugin.
    pub fn world(&self) -> World {
        self.world
    }

    /// The schema of what it takes.
    pub fn input_schema(&self) -> &Arc<Schema> {
        &self.input
    }

    /// The schema of what it gives; of a validator or drift check, that of what it takes.
    pub fn output_schema(&self) -> &Arc<Schema> {
        &self.output
    }

    /// How calls get their instances.
    pub fn kind(&self) -> &StageKind {
        &self.kind
    }

    /// What it did so far.
    pub fn stats(&self) -> StageStats {
        self.template.counters.read()
    }

    /// Reads what it does, for who may outlive it.
    pub fn probe(&self) -> StageProbe {
        StageProbe(Arc::clone(&self.template.counters))
    }

    /// Transform a batch; the same rows in the same order.
    ///
    /// # Errors
    ///
    /// The batch is of another schema, the plugin refuses it, passes a limit or breaks the
    /// contract; the stage is no transform.
    pub async fn apply(&self, input: &Batch) -> Result<Batch, StageError> {
        self.in_world(World::Transform, "apply")?;
        self.batch("apply", input).await
    }

    /// Predict for a batch; the same rows in the same order.
    ///
    /// # Errors
    ///
    /// As of [`Stage::apply`]; the stage is no predictor.
    pub async fn predict(&self, input: &Batch) -> Result<Batch, StageError> {
        self.in_world(World::Predictor, "predict")?;
        self.batch("predict", input).await
    }

    /// The rules that rows of a batch break, the first [`VIOLATIONS_MAX`](crate::VIOLATIONS_MAX).
    ///
    /// # Errors
    ///
    /// As of [`Stage::apply`]; the stage is no validator.
    pub async fn validate(&self, input: &Batch) -> Result<Vec<Violation>, StageError> {
        self.in_world(World::Validator, "validate")?;
        self.input_is(input)?;
        let params = (BatchParam::from(input),);
        let (result,): (Result<Vec<WireViolation>, WireError>,) = self.invoke("validate", params).await?;
        self.answer(result.map(violations).map_err(Cause::from))
    }

    /// A drift check's sketch of reference data: opaque bytes for [`Stage::check`].
    ///
    /// # Errors
    ///
    /// As of [`Stage::apply`]; the stage is no drift check.
    pub async fn fit(&self, reference: &Batch) -> Result<Vec<u8>, StageError> {
        self.in_world(World::DriftCheck, "fit")?;
        self.input_is(reference)?;
        let params = (BatchParam::from(reference),);
        let (result,): (Result<Vec<u8>, WireError>,) = self.invoke("fit", params).await?;
        self.answer(result.map_err(Cause::from))
    }

    /// Compare current data with a sketch that `fit` of the same plugin, config and schema gave.
    ///
    /// # Errors
    ///
    /// As of [`Stage::apply`]; the stage is no drift check; the sketch isn't its own.
    pub async fn check(&self, state: &[u8], current: &Batch) -> Result<DriftReport, StageError> {
        self.in_world(World::DriftCheck, "check")?;
        self.input_is(current)?;
        let params = (state, BatchParam::from(current));
        let (result,): (Result<DriftReport, WireError>,) = self.invoke("check", params).await?;
        self.answer(result.map_err(Cause::from).and_then(DriftReport::check))
    }

    async fn batch(&self, function: &'static str, input: &Batch) -> Result<Batch, StageError> {
        self.input_is(input)?;
        let params = (BatchParam::from(input),);
        let (result,): (Result<WireBatch, WireError>,) = self.invoke(function, params).await?;
        self.answer(
            result
                .map_err(Cause::from)
                .and_then(|wire| self.output_batch(wire, input.rows())),
        )
    }

    /// Hold an answer against the contract. No element is copied.
    fn output_batch(&self, wire: WireBatch, rows_in: usize) -> Result<Batch, Cause> {
        let limits = &self.template.terms.limits;
        let too_large = |limit, unit| Err(Cause::OutputTooLarge { limit, unit });
        let rows = wire.rows as usize;
        if rows != rows_in {
            return Err(Cause::BadOutput(format!("{rows} rows for {rows_in}")));
        }
        if rows > limits.output_rows {
            return too_large(limits.output_rows, "rows");
        }
        let batch = Batch::new(Arc::clone(&self.output), rows, wire.into_blocks())
            .map_err(|e| Cause::bad_output(&format!("what its output schema does not allow: {e}")))?;
        if batch.byte_len() > limits.output_bytes {
            return too_large(limits.output_bytes, "bytes");
        }
        Ok(batch)
    }

    fn in_world(&self, world: World, function: &'static str) -> Result<(), StageError> {
        if self.world == world {
            return Ok(());
        }
        let world = self.world;
        self.answer(Err(Cause::NoSuchFunction { world, function }))
    }

    fn input_is(&self, batch: &Batch) -> Result<(), StageError> {
        if Arc::ptr_eq(batch.schema(), &self.input) || **batch.schema() == *self.input {
            return Ok(());
        }
        self.answer(Err(Cause::InputSchema {
            expected: tame(&self.input.to_string(), GUEST_TEXT_BYTES_MAX),
            found: tame(&batch.schema().to_string(), GUEST_TEXT_BYTES_MAX),
        }))
    }

    fn answer<T>(&self, result: Result<T, Cause>) -> Result<T, StageError> {
        result.map_err(|cause| self.failed(cause.into()))
    }

    fn failed(&self, failure: Failure) -> StageError {
        self.template.counters.failure(&failure.cause);
        StageError {
            label: self.label.clone(),
            cause: failure.cause,
            guest_message: failure.guest_message,
        }
    }

    /// One call, on an instance of its own or a warm one.
    async fn invoke<P, R>(&self, function: &'static str, params: P) -> Result<R, StageError>
    where
        P: ComponentNamedList + Lower + Send + Sync,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        self.try_invoke(function, params)
            .await
            .map_err(|f| self.failed(f))
    }

    async fn try_invoke<P, R>(&self, function: &'static str, params: P) -> Result<R, Failure>
    where
        P: ComponentNamedList + Lower + Send + Sync,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        self.inner.check_ticker()?;
        let _turn = self.inner.turn(&self.turns, "stage").await?;
        match &self.warm {
            None => {
                let _turn = self.inner.turn(&self.inner.fresh, "sandbox").await?;
                self.template.call_fresh(Phase::Call, function, params).await
            }
            Some(pool) => pool.call(&self.inner, &self.template, function, params).await,
        }
    }
}
