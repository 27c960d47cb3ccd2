//! What a plugin implements: one trait a world, on a struct that holds what `configure` found out.

use std::sync::Arc;

use caisson_data::{Batch, Schema};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::{DriftReport, Error, Models, Violation};

/// What a plugin says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct About {
    /// 1 to 64 characters: lower-case letters, digits and inner hyphens, a letter first.
    pub name: &'static str,
    /// A semantic version; `env!("CARGO_PKG_VERSION")` keeps it that of the crate.
    pub version: &'static str,
    /// One paragraph: what it does, its formula, its units. At most 16 KiB.
    pub help: &'static str,
}

/// Changes columns: adds, drops, replaces or reshapes them; never the number or order of rows.
///
/// Pure: the same batch gives the same result, and each row's result depends on that row alone, so
/// the host may split and join batches.
pub trait Transform: Sized {
    /// The plugin's settings. Its JSON Schema goes into the manifest; `#[serde(deny_unknown_fields)]`
    /// makes a misspelt key an error.
    type Config: DeserializeOwned + JsonSchema;

    /// Name, version and help.
    const ABOUT: About;

    /// Fix config and input schema; returns the plugin, ready to apply, and the schema of what
    /// `apply` gives. Do here all work that doesn't depend on the rows: look columns up, keep their
    /// indices, build tables. The result is snapshotted, and each request starts from the snapshot.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidConfig`], [`Error::SchemaMismatch`].
    fn configure(config: Self::Config, input: &Arc<Schema>) -> Result<(Self, Schema), Error>;

    /// Transform a batch of the input schema into one of the output schema with the same rows.
    ///
    /// # Errors
    ///
    /// [`Error::BadInput`] for values that can't be processed, [`Error::Internal`] for the rest.
    fn apply(&self, input: Batch) -> Result<Batch, Error>;
}

/// Judges rows before they reach transforms and model; changes nothing.
pub trait Validator: Sized {
    /// See [`Transform::Config`].
    type Config: DeserializeOwned + JsonSchema;

    /// Name, version and help.
    const ABOUT: About;

    /// See [`Transform::configure`].
    ///
    /// # Errors
    ///
    /// [`Error::InvalidConfig`], [`Error::SchemaMismatch`].
    fn configure(config: Self::Config, input: &Arc<Schema>) -> Result<Self, Error>;

    /// Every broken rule, in row order. The host keeps the first 1,000.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`]: what is wrong with the rows is a violation, not an error.
    fn validate(&self, input: &Batch) -> Result<Vec<Violation>, Error>;
}

/// Compares current data with a reference.
pub trait DriftCheck: Sized {
    /// See [`Transform::Config`].
    type Config: DeserializeOwned + JsonSchema;

    /// Name, version and help.
    const ABOUT: About;

    /// Fix config and the schema of both reference and current data.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidConfig`], [`Error::SchemaMismatch`].
    fn configure(config: Self::Config, input: &Arc<Schema>) -> Result<Self, Error>;

    /// Sketch the reference. The bytes are opaque to the host, which keeps them by baseline; start
    /// them with a version of their layout, since a later version of the plugin may read them.
    ///
    /// # Errors
    ///
    /// [`Error::BadInput`] for a reference that can't be sketched.
    fn fit(&self, reference: &Batch) -> Result<Vec<u8>, Error>;

    /// Compare current data with a sketch that [`fit`](Self::fit) gave under the same config and
    /// schema.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] for a state that isn't this plugin's. Too few rows are no error but
    /// [`DriftStatus::InsufficientData`](crate::DriftStatus::InsufficientData).
    fn check(&self, state: &[u8], current: &Batch) -> Result<DriftReport, Error>;
}

/// Predicts with models that the host runs: cascades, ensembles, business rules around models.
pub trait Predictor: Sized {
    /// See [`Transform::Config`].
    type Config: DeserializeOwned + JsonSchema;

    /// Name, version and help.
    const ABOUT: About;

    /// See [`Transform::configure`]. Models aren't at hand here: they are loaded in `predict`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidConfig`], [`Error::SchemaMismatch`].
    fn configure(config: Self::Config, input: &Arc<Schema>) -> Result<(Self, Schema), Error>;

    /// Predict for a batch of the input schema; the same rows in the same order.
    ///
    /// # Errors
    ///
    /// [`Error::BadInput`] for values that can't be processed, [`Error::Internal`] for the rest,
    /// among it what `models` answers.
    fn predict(&self, models: &mut Models, input: &Batch) -> Result<Batch, Error>;
}

/// The world that a plugin is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each has the trait of its name")]
pub enum World {
    Transform,
    Validator,
    DriftCheck,
    Predictor,
}

/// A plugin of any world. [`export!`](crate::export) implements it; nobody else should.
pub trait Plugin: Sized {
    /// The plugin's settings.
    type Config: DeserializeOwned + JsonSchema;

    /// The world.
    const WORLD: World;

    /// Name, version and help.
    const ABOUT: About;

    /// Fix config and input schema; the output schema where the world has one.
    ///
    /// # Errors
    ///
    /// What the world's own `configure` gives.
    fn configure_any(config: Self::Config, input: &Arc<Schema>) -> Result<(Self, Option<Schema>), Error>;
}

/// Read the config's JSON and configure a plugin with it.
pub(crate) fn configure<P: Plugin>(config: &str, input: &Arc<Schema>) -> Result<(P, Option<Schema>), Error> {
    P::configure_any(crate::config::parse(config)?, input)
}
