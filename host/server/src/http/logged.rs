//! Requests to deployments with a prediction log: what they are called, and how the log stands.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use caisson_predictions::{LogReader, Selection};
use caisson_serving::{Revision, Ticket};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::auth::Caller;
use super::error::ApiError;
use super::extract::{Path, Query};
use super::stream::Form;
use super::{Context, json};

/// What a request is called, in the request and in its answer.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A request's ticket, and the id that its answer shows; none of either where the deployment has no log.
/// The request is called what its body says (`own`), else what its header says, else something new.
///
/// # Errors
///
/// 400 for an id that is none.
pub(crate) fn ticket(
    revision: &Revision,
    own: Option<&str>,
    headers: &HeaderMap,
) -> Result<(Option<Ticket>, ShownId), ApiError> {
    if revision.spec().log.is_none() {
        return Ok((None, ShownId(None)));
    }
    let header = headers.get(REQUEST_ID).map(|value| {
        value.to_str().map_err(|_| {
            let message = format!("header {REQUEST_ID} has characters that aren't printable ASCII");
            ApiError::bad_request("bad-request-id", message)
        })
    });
    let given = own.filter(|id| !id.is_empty()).map(Ok).or(header).transpose()?;
    let ticket = revision.ticket(given)?;
    let id = ticket.as_ref().and_then(|t| HeaderValue::from_str(t.id()).ok());
    Ok((ticket, ShownId(id)))
}

/// What a request is called, for its answer.
pub(crate) struct ShownId(Option<HeaderValue>);

impl ShownId {
    /// The answer with the id in its headers.
    pub(crate) fn named(self, mut response: Response) -> Response {
        if let Some(id) = self.0 {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        response
    }
}

/// How a deployment's log stands.
pub(crate) async fn status(
    State(context): State<Context>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    with_log(&context, &caller, &name)?;
    let status = context.app.predictions.status(caller.tenant().as_str(), &name);
    Ok(json(StatusCode::OK, &status))
}

/// 404 unless a deployment has a log.
fn with_log(context: &Context, caller: &Caller, name: &str) -> Result<(), ApiError> {
    let revision = context.live(caller.tenant(), name)?;
    match revision.spec().log {
        Some(_) => Ok(()),
        None => Err(ApiError::not_found(format!(
            "`{}` has no log; give its deployment file a `log`",
            revision.name()
        ))),
    }
}

/// Rows of one answer.
const ROWS_MAX: usize = 10_000;
/// Rows unless more are asked for.
const ROWS: usize = 100;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PredictionsQuery {
    /// Rows of requests that came at this time or later, RFC 3339.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    from: Option<Timestamp>,
    /// Rows of requests that came before this time.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    to: Option<Timestamp>,
    /// Only the rows of this request.
    request_id: Option<String>,
    /// How many; 100 if left out.
    #[schemars(range(min = 1, max = ROWS_MAX))]
    limit: Option<usize>,
}

/// Rows of the prediction log.
#[derive(Serialize, JsonSchema)]
pub(crate) struct LoggedRows {
    /// The rows, oldest first, with the columns that the log's files have.
    rows: Vec<serde_json::Map<String, serde_json::Value>>,
    /// Are there more?
    truncated: bool,
}

/// What was sent and answered, from the log's files.
pub(crate) async fn predictions(
    State(context): State<Context>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<PredictionsQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let tenant = caller.tenant().clone();
    with_log(&context, &caller, &name)?;
    let limit = query.limit.unwrap_or(ROWS);
    if !(1..=ROWS_MAX).contains(&limit) {
        let message = format!("`limit` is from 1 to {ROWS_MAX}; ask for more with `from`");
        return Err(ApiError::bad_request("bad-query", message));
    }
    let form = Form::Json.of_answer(&headers)?;
    if !matches!(form, Form::Json | Form::Ndjson) {
        return Err(ApiError::new(
            StatusCode::NOT_ACCEPTABLE,
            "not-acceptable",
            "rows of the log are answered as application/json or application/x-ndjson",
        ));
    }
    let selection = Selection {
        from: query.from,
        to: query.to,
        request_id: query.request_id,
        limit,
    };
    let reader = LogReader::new(&context.app.store);
    let read = move || reader.select(tenant.as_str(), &name, &selection);
    let selected = context
        .app
        .sandbox
        .aside(&context.app.meters.of(caller.tenant()), read)
        .await
        .map_err(ApiError::internal)?;
    if form == Form::Json {
        let body = LoggedRows {
            rows: selected.rows,
            truncated: selected.truncated,
        };
        return Ok(json(StatusCode::OK, &body));
    }
    let mut lines = Vec::new();
    for row in &selected.rows {
        serde_json::to_writer(&mut lines, row).map_err(ApiError::internal)?;
        lines.push(b'\n');
    }
    let media = HeaderValue::from_static(Form::Ndjson.media_type());
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, media)], lines).into_response())
}
