//! Liveness and readiness, in the Open Inference Protocol's words.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use caisson_registry::TenantId;
use caisson_serving::LoadState;
use schemars::JsonSchema;
use serde::Serialize;

use super::auth::MaybeCaller;
use super::{Context, json};

#[derive(Serialize, JsonSchema)]
pub(crate) struct Live {
    live: bool,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Ready {
    ready: bool,
    /// The server was told to stop.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    draining: bool,
    /// How many deployments are not ready. Absent when all are.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_ready: Option<usize>,
    /// Those of them that the caller may see, `tenant/name`, with the reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    deployments: BTreeMap<String, String>,
}

/// The process answers.
pub(crate) async fn live() -> Response {
    json(StatusCode::OK, &Live { live: true })
}

/// Every live deployment is loaded; 503, and which are not, otherwise. A deployment that failed to
/// load is reported, and holds the server back only where the configuration says so. Names are for
/// who may see them: a load balancer's probe has no key, and learns a number.
pub(crate) async fn ready(State(context): State<Context>, MaybeCaller(caller): MaybeCaller) -> Response {
    let draining = context.app.is_draining();
    let states = context.app.serving.load_states();
    let ready = context.app.is_ready();
    let sees = |tenant: &TenantId| {
        context.app.developer.is_some()
            || caller
                .as_ref()
                .is_some_and(|caller| caller.is_operator() || caller.tenant() == tenant)
    };
    let waiting = states
        .values()
        .filter(|state| matches!(state, LoadState::Loading | LoadState::Failed(_)))
        .count();
    let deployments = states
        .into_iter()
        .filter(|((tenant, _), _)| sees(tenant))
        .filter_map(|((tenant, name), state)| {
            let why = match state {
                LoadState::Loading => "loading".to_owned(),
                LoadState::Failed(reason) => format!("failed: {reason}"),
                LoadState::Ready | LoadState::Unloaded(_) | LoadState::Reloading => return None,
            };
            Some((format!("{tenant}/{name}"), why))
        })
        .collect();
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body = Ready {
        ready,
        draining,
        not_ready: (waiting > 0).then_some(waiting),
        deployments,
    };
    json(status, &body)
}
