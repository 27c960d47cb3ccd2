//! What was changed and what was raised: revisions, moves of the model's aliases, alerts.

use caisson_alerts::Phase;
use caisson_diagnosis::{Event, EventKind};
use caisson_registry::{ModelRecord, Origin, RegistryError, TenantId};
use caisson_serving::Revision;
use jiff::Timestamp;

use crate::app::App;
use crate::http::error::ApiError;

/// Revisions, and moves of aliases: as many as a time line shows.
const CHANGES_MAX: usize = caisson_diagnosis::EVENTS_MAX;
/// Moves of one model's aliases that are read at most: they are numbered from the first.
const ALIAS_MOVES_MAX: usize = 10_000;

/// Revisions, the latest ones, of which it is told whether answers may differ: each is a file to read.
const COMPARED_MAX: usize = 20;
/// Of a deployment's file what watches answers, and what is for people.
const WATCHING: [&str; 6] = [
    "description",
    "monitors",
    "monitoring",
    "log",
    "ground_truth",
    "performance",
];

/// Does a revision answer as the one before?
fn only_watches(app: &App, tenant: &TenantId, name: &str, number: u64) -> Result<bool, ApiError> {
    if number < 2 {
        return Ok(false);
    }
    let diff = match app.deployments.diff(tenant, name, number - 1, number) {
        // What can't be compared may differ in anything.
        Err(RegistryError::Store(error)) if error.is_of_one_thing() => return Ok(false),
        diff => diff?,
    };
    let watches = |path: &str| {
        let key = path.trim_start_matches('/').split('/').next();
        key.is_some_and(|key| WATCHING.contains(&key))
    };
    let all = diff.left_out == 0 && diff.changes.iter().all(|change| watches(&change.path));
    Ok(all && !diff.changes.is_empty())
}

pub(super) fn read(
    app: &App,
    tenant: &TenantId,
    revision: &Revision,
    model: Option<&ModelRecord>,
    now: Timestamp,
) -> Result<Vec<Event>, ApiError> {
    let mut events = Vec::new();
    let history = app
        .deployments
        .history(tenant, revision.name(), None, CHANGES_MAX)?;
    for (i, one) in history.into_iter().enumerate() {
        let Ok(at) = one.created_at.parse() else { continue };
        let message = one
            .message
            .map_or_else(String::new, |message| format!(": {message}"));
        let (kind, text) = match one.origin {
            Origin::Apply if i < COMPARED_MAX && only_watches(app, tenant, revision.name(), one.number)? => (
                EventKind::Watch,
                format!(
                    "revision {} went live, which only watches the answers otherwise{message}",
                    one.number
                ),
            ),
            Origin::Apply => (
                EventKind::Deploy,
                format!("revision {} went live{message}", one.number),
            ),
            Origin::Rollback { of } => (
                EventKind::Rollback,
                format!("back to revision {of}, as revision {}{message}", one.number),
            ),
        };
        events.push(Event {
            at,
            kind,
            text,
            by: Some(one.author),
        });
    }
    if let Some(model) = model {
        of_model(app, tenant, model, &mut events)?;
    }
    for alert in app.alerts.alerts(tenant.as_str(), now) {
        if alert.labels.get("deployment").map(String::as_str) != Some(revision.name()) {
            continue;
        }
        let (fired, resolved) = match alert.phase {
            Phase::Inactive | Phase::Pending { .. } => continue,
            Phase::Firing { since, .. } => (since, None),
            Phase::Resolved { since, at } => (since, Some(at)),
        };
        events.push(Event {
            at: fired,
            kind: EventKind::AlertFiring,
            text: format!("alert `{}` fires", alert.rule),
            by: None,
        });
        events.extend(resolved.map(|at| Event {
            at,
            kind: EventKind::AlertResolved,
            text: format!("alert `{}` is resolved", alert.rule),
            by: None,
        }));
    }
    Ok(events)
}

fn of_model(
    app: &App,
    tenant: &TenantId,
    model: &ModelRecord,
    events: &mut Vec<Event>,
) -> Result<(), ApiError> {
    if let Ok(at) = model.created_at.parse() {
        events.push(Event {
            at,
            kind: EventKind::Model,
            text: format!(
                "version {} of model `{}` was registered",
                model.version, model.name
            ),
            by: Some(model.created_by.clone()).filter(|by| !by.is_empty()),
        });
    }
    let moves = app
        .models
        .alias_history(tenant, &model.name, 0, ALIAS_MOVES_MAX)?;
    for one in moves.iter().rev().take(CHANGES_MAX) {
        let Ok(at) = one.at.parse() else { continue };
        let place = |version: Option<u64>| version.map_or_else(|| "nowhere".to_owned(), |v| v.to_string());
        events.push(Event {
            at,
            kind: EventKind::Alias,
            text: format!(
                "alias `{}` of model `{}` moved from {} to {}",
                one.alias,
                model.name,
                place(one.from),
                place(one.to)
            ),
            by: Some(one.by.clone()),
        });
    }
    Ok(())
}
