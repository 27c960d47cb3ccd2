//! What is known of a deployment, for its diagnosis and its report.
//!
//! Everything is read once, from where it is kept: [`events`] from the registry and the alerts,
//! [`traffic`] from the vitals, [`drift`] from the windows, [`performance`] from the statements about
//! labels, and what columns are worth from [`caisson_serving::Importance`]. What isn't there is said as such,
//! with how to get it. `caisson-diagnosis` says what it means, [`page`] lays it out.

mod distributions;
mod drift;
mod events;
mod page;
mod performance;
mod traffic;

use std::sync::Arc;
use std::time::Duration;

use caisson_diagnosis::evidence::Model;
use caisson_diagnosis::{Absent, Diagnosis, Evidence, diagnose};
use caisson_monitoring::StatisticsReport;
use caisson_monitoring::report::DriftWindow;
use caisson_registry::{ModelRecord, Stage as Approval, TenantId};
use caisson_serving::{Importance, ImportanceState, Revision};
use caisson_truth::History;
use jiff::Timestamp;

use crate::app::App;
use crate::http::error::ApiError;

/// How long an answer waits for what columns are worth, which is computed once for each revision.
const IMPORTANCE_PATIENCE: Duration = Duration::from_secs(5);
/// Windows of each monitor, and of performance: a chart has a few hundred points.
const WINDOWS_MAX: usize = 300;

/// All that was found out.
pub(crate) struct Gathered {
    tenant: TenantId,
    revision: Arc<Revision>,
    evidence: Evidence,
    importance: Option<Arc<Importance>>,
    /// The newest first.
    drift: Vec<DriftWindow>,
    statistics: StatisticsReport,
    performance: Option<History>,
    latency: traffic::Latency,
    model: Option<ModelRecord>,
}

/// What has to be read from the disk.
struct Stored {
    events: Vec<caisson_diagnosis::Event>,
    model: Option<ModelRecord>,
    newest: Option<u64>,
    drift: Vec<DriftWindow>,
    statistics: StatisticsReport,
    performance: Option<History>,
}

/// Find everything out.
///
/// # Errors
///
/// The store.
pub(crate) async fn gather(
    app: &Arc<App>,
    tenant: &TenantId,
    revision: &Arc<Revision>,
) -> Result<Gathered, ApiError> {
    let now = Timestamp::now();
    let importance = app.serving.importance(revision, IMPORTANCE_PATIENCE).await;
    let stored = crate::http::blocking({
        let (app, tenant, revision) = (Arc::clone(app), tenant.clone(), Arc::clone(revision));
        move || read(&app, &tenant, &revision, now)
    })
    .await??;
    let mut absent = Vec::new();
    let importance = match importance {
        ImportanceState::Known(importance) => Some(importance),
        ImportanceState::Computing => {
            absent.push(Absent {
                what: "What each column matters to the prediction.".to_owned(),
                how: "It is being computed: ask again in a minute.".to_owned(),
            });
            None
        }
        ImportanceState::Unknown(why) => {
            absent.push(Absent {
                what: "What each column matters to the prediction.".to_owned(),
                how: format!("It is computed from the model version's baseline: {why}."),
            });
            None
        }
    };
    let (features, more) = drift::evidence(&stored.drift, revision, importance.as_deref());
    absent.extend(more);
    let (performance, more) = performance::evidence(revision, stored.performance.as_ref());
    absent.extend(more);
    let (traffic, more) = traffic::read(revision);
    absent.extend(more);
    let model = stored.model.as_ref().and_then(|record| {
        Some(Model {
            name: record.name.clone(),
            version: record.version,
            registered: record.created_at.parse().ok()?,
            newest: stored.newest.unwrap_or(record.version),
        })
    });
    let evidence = Evidence {
        deployment: revision.name().to_owned(),
        revision: revision.number(),
        now,
        periods: traffic.periods,
        stages: traffic.stages,
        queue: traffic.queue,
        features,
        performance,
        model,
        events: stored.events,
        absent,
    };
    Ok(Gathered {
        tenant: tenant.clone(),
        revision: Arc::clone(revision),
        evidence,
        importance,
        drift: stored.drift,
        statistics: stored.statistics,
        performance: stored.performance,
        latency: traffic.latency,
        model: stored.model,
    })
}

impl Gathered {
    /// What it means.
    pub(crate) fn diagnosis(&self) -> Diagnosis {
        diagnose(&self.evidence)
    }

    /// The report's page.
    pub(crate) fn page(&self) -> String {
        caisson_report::render(&page::report(self))
    }
}

fn read(app: &App, tenant: &TenantId, revision: &Revision, now: Timestamp) -> Result<Stored, ApiError> {
    let (model, newest) = model(app, tenant, revision)?;
    let filter = caisson_monitoring::Filter {
        monitor: None,
        segment: None,
        limit: WINDOWS_MAX,
    };
    let (owner, name) = (tenant.as_str(), revision.name());
    let mut drift = Vec::new();
    for monitor in &revision.spec().monitors {
        // Each by itself, so that one with short windows leaves room for the others.
        let filter = caisson_monitoring::Filter {
            monitor: Some(monitor.name.clone()),
            ..filter.clone()
        };
        drift.extend(
            app.monitoring
                .drift_windows(owner, name, &filter)
                .map_err(ApiError::internal)?,
        );
    }
    let statistics = app
        .monitoring
        .statistics(owner, name, &filter)
        .map_err(ApiError::internal)?;
    let performance = performance::read(app, tenant, revision)?;
    let mut events = events::read(app, tenant, revision, model.as_ref(), now)?;
    events.extend(drift::events(&drift));
    Ok(Stored {
        events,
        model,
        newest,
        drift,
        statistics,
        performance,
    })
}

/// The model version that answers, and the newest that may.
fn model(
    app: &App,
    tenant: &TenantId,
    revision: &Revision,
) -> Result<(Option<ModelRecord>, Option<u64>), ApiError> {
    let spec = revision.spec();
    let granted = spec
        .predictor
        .iter()
        .flat_map(|predictor| predictor.models.values());
    let named = spec
        .model
        .iter()
        .map(|model| (&model.name, &model.version))
        .chain(granted.map(|model| (&model.name, &model.version)));
    let Some((name, version)) = named.into_iter().next() else {
        return Ok((None, None));
    };
    let record = app.models.resolve(tenant, name, &version.to_string().parse()?)?;
    let versions = app.models.versions(tenant, name)?;
    // What isn't approved isn't meant to answer, where anything is.
    let approved = versions
        .iter()
        .filter(|version| version.stage == Approval::Approved)
        .map(|version| version.version)
        .max();
    let newest = approved.or_else(|| versions.iter().map(|version| version.version).max());
    Ok((Some(record), newest))
}
