//! Requests to deployments with a prediction log: what they are called, and how the log stands.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use caisson_serving::{Revision, Ticket};

use super::auth::Caller;
use super::error::ApiError;
use super::extract::Path;
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
    let tenant = caller.tenant();
    let revision = context.live(tenant, &name)?;
    if revision.spec().log.is_none() {
        return Err(ApiError::not_found(format!(
            "`{}` has no log; give its deployment file a `log`",
            revision.name()
        )));
    }
    let status = context.app.predictions.status(tenant.as_str(), revision.name());
    Ok(json(StatusCode::OK, &status))
}
