//! What was changed and what was raised: revisions, moves of the model's aliases, alerts.

use caisson_alerts::Phase;
use caisson_diagnosis::{Event, EventKind};
use caisson_registry::{ModelRecord, Origin, TenantId};
use caisson_serving::Revision;
use jiff::Timestamp;

use crate::app::App;
use crate::http::error::ApiError;

/// Revisions, and moves of aliases: as many as a time line shows.
const CHANGES_MAX: usize = caisson_diagnosis::EVENTS_MAX;
/// Moves of one model's aliases that are read at most: they are numbered from the first.
const ALIAS_MOVES_MAX: usize = 10_000;

pub(super) fn read(
    app: &App,
    tenant: &TenantId,
    revision: &Revision,
    model: Option<&ModelRecord>,
    now: Timestamp,
) -> Result<Vec<Event>, ApiError> {
    let mut events = Vec::new();
    for one in app
        .deployments
        .history(tenant, revision.name(), None, CHANGES_MAX)?
    {
        let Ok(at) = one.created_at.parse() else { continue };
        let message = one
            .message
            .map_or_else(String::new, |message| format!(": {message}"));
        let (kind, text) = match one.origin {
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
