//! `/v1/alert-rules`, `/v1/alerts`, `/v1/silences` and `/v1/receivers`: of the caller's tenant.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use caisson_alerts::{
    Alert, Alerts, AlertsError, Matcher, ReceiverSpec, ReceiverView, RulesFile, Silence, SilenceSpec,
};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::auth::Caller;
use super::error::ApiError;
use super::extract::Path;
use super::{Context, blocking, body, json, read_json};

impl Context {
    /// Ask or change the tenant's alerts, off the request threads.
    async fn alerts<T: Send + 'static>(
        &self,
        caller: &Caller,
        work: impl FnOnce(&Alerts, &str) -> Result<T, AlertsError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let (alerts, tenant) = (self.app.alerts.clone(), caller.tenant().clone());
        Ok(blocking(move || work(&alerts, tenant.as_str())).await??)
    }
}

/// A body that is YAML or JSON.
async fn text(headers: &HeaderMap, body: Body) -> Result<String, ApiError> {
    let bytes = body::read(headers, body, body::SETTINGS_BYTES_MAX).await?;
    String::from_utf8(bytes.into())
        .map_err(|e| ApiError::bad_request("bad-body", format!("the body is not UTF-8: {e}")))
}

/// The rules, as a file that can be applied again.
pub(crate) async fn rules(State(context): State<Context>, caller: Caller) -> Result<Response, ApiError> {
    let work = |alerts: &Alerts, tenant: &str| Ok(alerts.rules(tenant));
    let rules = context.alerts(&caller, work).await?;
    Ok(json(StatusCode::OK, &RulesFile { rules }))
}

/// Replace all rules.
pub(crate) async fn put_rules(
    State(context): State<Context>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let file = text(&headers, body).await?;
    let work = move |alerts: &Alerts, tenant: &str| alerts.put_rules(tenant, &file, Timestamp::now());
    let rules = context.alerts(&caller, work).await?;
    Ok(json(StatusCode::OK, &RulesFile { rules }))
}

/// The JSON Schema of a rules file.
pub(crate) async fn schema() -> Response {
    json(StatusCode::OK, &RulesFile::json_schema())
}

/// Alerts that are pending, fire, or resolved within the last day.
pub(crate) async fn list(State(context): State<Context>, caller: Caller) -> Result<Response, ApiError> {
    let work = |alerts: &Alerts, tenant: &str| Ok(alerts.alerts(tenant, Timestamp::now()));
    let alerts = context.alerts(&caller, work).await?;
    Ok(json(StatusCode::OK, &AlertList { alerts }))
}

/// A tenant's alerts.
#[derive(Serialize, JsonSchema)]
pub(crate) struct AlertList {
    alerts: Vec<Alert>,
}

/// Silences, those that ended within the last week included.
pub(crate) async fn silences(State(context): State<Context>, caller: Caller) -> Result<Response, ApiError> {
    let work = |alerts: &Alerts, tenant: &str| Ok(alerts.silences(tenant));
    let silences = context.alerts(&caller, work).await?;
    Ok(json(StatusCode::OK, &SilenceList { silences }))
}

/// A tenant's silences.
#[derive(Serialize, JsonSchema)]
pub(crate) struct SilenceList {
    silences: Vec<Silence>,
}

/// What to silence, and when. Its author is who asks.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSilence {
    /// Which alerts: those for which all hold; at least one, such as `alertname=failing`.
    matchers: Vec<Matcher>,
    /// From when, RFC 3339; now if absent.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    from: Option<Timestamp>,
    /// To when, RFC 3339, exclusively.
    #[schemars(with = "String")]
    until: Timestamp,
    /// Why.
    comment: String,
}

/// Silence alerts for some time.
pub(crate) async fn silence(
    State(context): State<Context>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let new: NewSilence = read_json(&headers, body, body::SETTINGS_BYTES_MAX).await?;
    let now = Timestamp::now();
    let spec = SilenceSpec {
        matchers: new.matchers,
        from: new.from.unwrap_or(now),
        until: new.until,
        author: caller.author(),
        comment: new.comment,
    };
    let work = move |alerts: &Alerts, tenant: &str| alerts.silence(tenant, spec, now);
    let silence = context.alerts(&caller, work).await?;
    caller.is_about(caller.tenant(), &silence.id);
    Ok(json(StatusCode::CREATED, &silence))
}

/// End a silence now.
pub(crate) async fn end_silence(
    State(context): State<Context>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    caller.is_about(caller.tenant(), &id);
    let work = move |alerts: &Alerts, tenant: &str| alerts.expire_silence(tenant, &id, Timestamp::now());
    let silence = context.alerts(&caller, work).await?;
    Ok(json(StatusCode::OK, &silence))
}

/// Receivers and how they fare, without secrets.
pub(crate) async fn receivers(State(context): State<Context>, caller: Caller) -> Result<Response, ApiError> {
    let work = |alerts: &Alerts, tenant: &str| Ok(alerts.receivers(tenant));
    let receivers = context.alerts(&caller, work).await?;
    Ok(json(StatusCode::OK, &ReceiverList { receivers }))
}

/// A tenant's receivers.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ReceiverList {
    receivers: Vec<ReceiverView>,
}

/// Add a receiver, or replace it in full.
pub(crate) async fn put_receiver(
    State(context): State<Context>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let mut spec = ReceiverSpec::parse(&text(&headers, body).await?)?;
    if spec.name.is_empty() {
        spec.name = name;
    } else if spec.name != name {
        return Err(ApiError::bad_request(
            "bad-alerting",
            format!(
                "the path says `{}` and the body `{}`; a receiver has one name",
                caisson_registry::shown(&name),
                caisson_registry::shown(&spec.name)
            ),
        ));
    }
    let work = move |alerts: &Alerts, tenant: &str| alerts.put_receiver(tenant, spec);
    let view = context.alerts(&caller, work).await?;
    Ok(json(StatusCode::OK, &view))
}

/// Remove a receiver, and what waits for it.
pub(crate) async fn delete_receiver(
    State(context): State<Context>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let gone = name.clone();
    let work = move |alerts: &Alerts, tenant: &str| alerts.remove_receiver(tenant, &gone);
    context.alerts(&caller, work).await?;
    let body = Deleted {
        name,
        result: "deleted",
    };
    Ok(json(StatusCode::OK, &body))
}

/// A receiver that is gone.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DeletedReceiver")]
pub(crate) struct Deleted {
    name: String,
    result: &'static str,
}

/// Send a test now, once.
pub(crate) async fn test_receiver(
    State(context): State<Context>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let tried = context
        .app
        .alerts
        .test_receiver(caller.tenant().as_str(), &name)
        .await;
    let outcome = tried.map_err(|error| match error {
        // Of all tenants together, and over in seconds.
        AlertsError::TooMany { .. } => {
            ApiError::new(StatusCode::TOO_MANY_REQUESTS, error.code(), error.to_string())
        }
        error => error.into(),
    })?;
    let body = Tested {
        name,
        delivered: outcome.is_ok(),
        reason: outcome.err().map(|e| e.to_string()),
    };
    Ok(json(StatusCode::OK, &body))
}

/// How a test of a receiver went.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TestedReceiver")]
pub(crate) struct Tested {
    name: String,
    delivered: bool,
    /// Why it wasn't.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}
