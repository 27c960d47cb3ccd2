//! Deployments: from a declarative file to an immutable revision that serves.
//!
//! - [`DeploymentSpec`] is the file.
//! - `build` resolves it (plugins to digests, models to versions), prepares every stage and checks
//!   that each takes what the one before gives, so wrong wiring is refused when deployed.
//! - [`Pipeline`] is what a request runs through: no lock, no store, nothing compiled or loaded.
//! - [`Serving`] is the table of live revisions, switched atomically.
//! - [`Vitals`] are how a deployment fares, in all and over the last minutes, by stage.
//! - [`Trail`] is what happened to one request, where somebody wants to know.
//!
//! This crate puts sandbox, inference and registry together and knows nothing of HTTP.

mod answers;
mod baseline;
mod batching;
mod build;
mod call;
mod error;
mod first_run;
mod importance;
mod logging;
mod meters;
mod models;
mod monitor;
mod pipeline;
mod plan;
mod repository;
mod revision;
mod sample;
mod serving;
mod spec;
mod stage;
mod statistics;
mod trail;
mod turns;
mod vitals;
mod windows;

pub use answers::CacheSpec;
pub use baseline::LabelledBaseline;
pub use batching::{BatchingSpec, QueueSpec};
pub use call::CallOptions;
pub use error::{Fault, Kind, ServingError};
pub use first_run::FirstRun;
pub use importance::{ColumnImportance, Importance, ImportanceState};
pub use logging::{REQUEST_ID_BYTES_MAX, Ticket};
pub use meters::Meters;
pub use models::ModelCache;
pub use monitor::{Monitor, MonitorReport, worst};
pub use pipeline::{Pipeline, Prediction};
pub use plan::{MonitorPlan, Plan, StagePlan};
pub use repository::{RepositoryEntry, RepositoryState, UNLOADED};
pub use revision::Revision;
pub use sample::Sampler;
pub use serving::{AliasMoved, Applied, ApplyResult, Change, LoadState, Parts, Serving};
pub use spec::{
    CheckSpec, DeploymentSpec, GrantSpec, IsolationSpec, MissingSpec, ModelRef, ModelSpec, MonitorSpec,
    MonitorTarget, NAME_MAX as DEPLOYMENT_NAME_CHARS_MAX, PredictorSpec, SpecError, StageLimits, StageSpec,
    VersionSpec,
};
pub use statistics::{Spent, Statistics, StatisticsReading};
pub use trail::{About, STEPS_MAX, Step, Trail, What};
pub use turns::Turns;
pub use vitals::{
    MonitorDrift, OpenStream, Reading, Role, SeenDrift, StageReading, StageVitals, Streams, Vitals,
    VitalsTable, WINDOW_MAX,
};
