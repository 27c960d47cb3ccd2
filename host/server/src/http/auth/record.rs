//! What a request leaves in the audit log: one record of each change and each refusal.

use std::net::SocketAddr;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use caisson_access::Action;
use caisson_audit::{Actor, Event, Outcome};

use super::super::error::ApiError;
use super::super::{Context, blocking};
use super::{Caller, Rule, status};

/// Put a change or a refusal into the audit log. A change is on disk there before its answer leaves.
pub(super) async fn audit(caller: &Caller, rule: Rule, response: Response) -> Response {
    let Some(action) = rule.action() else {
        return response;
    };
    let status = status(&response);
    let refused = matches!(
        status,
        StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::INSUFFICIENT_STORAGE
    ) || status == StatusCode::NOT_FOUND && caller.0.elsewhere.load(Ordering::Relaxed);
    let changes = action.changes() && !caller.0.harmless.load(Ordering::Relaxed);
    let asked_for =
        caller.0.principal.tenant().settings().log_predictions && action == Action::DeploymentPredict;
    if !changes && !refused && !asked_for {
        return response;
    }
    let event = event(caller, action, &response);
    let log = caller.0.context.app.audit.clone();
    // Only what was changed waits for the disk; who is refused again and again is counted.
    if !changes || status.is_client_error() {
        log.append_batched(event);
        return response;
    }
    match blocking(move || log.append(event)).await {
        Ok(Ok(_)) => response,
        Ok(Err(error)) => unaudited(&error, response),
        Err(error) => error.into_response(),
    }
}

/// The change is made, and nobody would find it in the log: its caller has to know.
fn unaudited(error: &caisson_audit::AuditError, response: Response) -> Response {
    tracing::error!(%error, "the audit log can't be written");
    if !status(&response).is_success() {
        return response;
    }
    ApiError::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "audit-failed",
        format!("the change was made, and its audit record can't be written: {error}"),
    )
    .into_response()
}

fn event(caller: &Caller, action: Action, response: &Response) -> Event {
    let principal = &caller.0.principal;
    let status = status(response);
    let about = caller
        .0
        .resource
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    let (tenant, resource) = match about {
        Some((owner, name)) => {
            let name = caisson_access::without_secret(&name);
            (owner.to_string(), format!("{}:{name}", action.kind().as_str()))
        }
        None => (caller.tenant().to_string(), action.kind().as_str().to_owned()),
    };
    let detail = response.extensions().get::<Detail>().map_or("", |d| d.0.as_str());
    Event {
        // A stranger to a tenant leaves a trace with its own.
        tenant: Some(if status == StatusCode::NOT_FOUND {
            caller.tenant().to_string()
        } else {
            tenant
        }),
        actor: Actor::Key {
            key_id: principal.key_id().to_owned(),
            key_name: principal.key_name().to_owned(),
            role: principal.role().to_string(),
        },
        from: caller.0.peer,
        action: action.as_str().to_owned(),
        resource,
        outcome: outcome(status),
        status: status.as_u16(),
        code: response
            .extensions()
            .get::<ApiError>()
            .map(|error| error.code().to_owned()),
        detail: detail.to_owned(),
        request_id: caller.0.request_id.clone(),
    }
}

fn outcome(status: StatusCode) -> Outcome {
    if status.is_success() {
        Outcome::Done
    } else if status.is_server_error() {
        Outcome::Failed
    } else {
        Outcome::Refused
    }
}

/// What the audit log says of an answer besides its status.
#[derive(Debug, Clone)]
pub(crate) struct Detail(pub(crate) String);

/// Without a key nobody's records can be written to but the host's.
pub(super) fn note_stranger(context: &Context, rule: Rule, peer: Option<SocketAddr>, refusal: &ApiError) {
    context.app.audit.append_batched(Event {
        tenant: None,
        actor: Actor::Anonymous,
        from: peer,
        action: rule.action().map_or("any", Action::as_str).to_owned(),
        resource: rule.action().map_or("server", |a| a.kind().as_str()).to_owned(),
        outcome: Outcome::Refused,
        status: refusal.status().as_u16(),
        code: Some(refusal.code().to_owned()),
        detail: String::new(),
        request_id: None,
    });
}
