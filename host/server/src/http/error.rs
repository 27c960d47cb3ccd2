//! The one shape of every error that leaves over HTTP; `grpc::status` has its other form.
//!
//! `{"error": "<sentence>", "code": "<kebab-case>"}`, and `row`, `column`, `stage`, `violations` and
//! `problems` where there are any. Clients of the Open Inference Protocol read `error`; machines read `code`.
//! Every other error type is turned into [`ApiError`] here, so the mapping to statuses stands in
//! one place.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use caisson_access::AccessError;
use caisson_alerts::AlertsError;
use caisson_audit::AuditError;
use caisson_data::{DecodeError, code};
use caisson_inference::ModelRejected;
use caisson_registry::RegistryError;
use caisson_sandbox::{Severity, UploadError, Violation};
use caisson_serving::{Kind, ServingError};
use caisson_truth::TruthError;
use schemars::JsonSchema;
use serde::Serialize;

/// Bytes of an error's sentence. A guest's message is cut long before; this bounds what a decoder
/// or a library may quote.
const MESSAGE_BYTES_MAX: usize = 8 * 1024;
/// What `Retry-After` says, in seconds, when the host is busy: a queue here drains in milliseconds,
/// and one second is the header's smallest step.
const RETRY_AFTER_SECONDS: u64 = 1;

/// An error on its way out. It goes along with its answer, as an extension: for the audit log, and for
/// gRPC, which says it in another form.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    status: StatusCode,
    /// Seconds; for 429 and 503.
    retry_after: u64,
    body: Box<Body>,
}

/// What every error answers.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "Error")]
pub(crate) struct Body {
    /// One sentence: what is wrong, where, and what to do.
    error: String,
    /// Stable and machine-readable, in kebab-case.
    code: &'static str,
    /// The stage of the deployment that refused or failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<String>,
    /// From 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    row: Option<u64>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<String>,
    /// What validators said.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    violations: Vec<ViolationBody>,
    /// In the last line of a stream that ended early: the rows that were answered before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    answered: Option<u64>,
    /// Of a text that was sent: what is wrong with it, and where.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<Problem>,
}

/// One thing that is wrong with a text.
#[derive(Debug, Clone, Serialize, JsonSchema)]
struct Problem {
    /// From 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    /// From 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    /// What is wrong there.
    message: String,
}

/// A violation as clients see it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "Violation")]
pub(crate) struct ViolationBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    row: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) column: Option<String>,
    code: String,
    message: String,
    severity: &'static str,
}

impl From<&Violation> for ViolationBody {
    fn from(v: &Violation) -> Self {
        Self {
            row: v.row.map(u64::from),
            column: v.column.clone(),
            code: v.code.clone(),
            message: v.message.clone(),
            severity: match v.severity {
                Severity::Reject => "reject",
                Severity::Warn => "warn",
            },
        }
    }
}

impl ViolationBody {
    /// The violation in one line, without its column.
    pub(crate) fn sentence(&self) -> String {
        match self.row {
            Some(row) => format!("row {row}: {} ({})", self.message, self.code),
            None => format!("{} ({})", self.message, self.code),
        }
    }
}

impl ApiError {
    /// An error without a place.
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        let mut error = message.into();
        if error.len() > MESSAGE_BYTES_MAX {
            let cut = error.floor_char_boundary(MESSAGE_BYTES_MAX);
            error.truncate(cut);
            error.push('…');
        }
        Self {
            status,
            retry_after: RETRY_AFTER_SECONDS,
            body: Box::new(Body {
                error,
                code,
                stage: None,
                row: None,
                column: None,
                violations: Vec::new(),
                answered: None,
                problems: Vec::new(),
            }),
        }
    }

    /// 401.
    pub(crate) fn unauthorised(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, code, message)
    }

    /// The same error, worth trying again after `wait`.
    #[must_use]
    pub(crate) fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = wait.as_secs_f64().ceil().max(1.0) as u64;
        self
    }

    /// Its status.
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// Its code.
    pub(crate) fn code(&self) -> &'static str {
        self.body.code
    }

    /// Its sentence.
    pub(crate) fn message(&self) -> &str {
        &self.body.error
    }

    /// After what time the same request may do better, if it may.
    pub(crate) fn wait(&self) -> Option<Duration> {
        let may = matches!(
            self.status,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
        );
        may.then_some(Duration::from_secs(self.retry_after))
    }

    /// Stage, row and column, where it is in one.
    pub(crate) fn place(&self) -> (Option<&str>, Option<u64>, Option<&str>) {
        (
            self.body.stage.as_deref(),
            self.body.row,
            self.body.column.as_deref(),
        )
    }

    /// What validators found.
    pub(crate) fn violations(&self) -> &[ViolationBody] {
        &self.body.violations
    }

    /// 400.
    pub(crate) fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// 404.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", message)
    }

    /// 404: a tenant has none of this name.
    pub(crate) fn nothing_named(what: &str, name: &str) -> Self {
        Self::not_found(format!("there is no {what} `{}`", caisson_registry::shown(name)))
    }

    /// 413.
    pub(crate) fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", message)
    }

    /// The same error, of this row of a stream; what it said of rows was of a part.
    #[must_use]
    pub(crate) fn in_row(mut self, row: u64) -> Self {
        self.body.row = Some(row);
        for violation in &mut self.body.violations {
            violation.row = Some(row);
        }
        self
    }

    /// The same error, of a part of a stream whose first row is `row`.
    #[must_use]
    pub(crate) fn rows_from(mut self, row: u64) -> Self {
        let violations = self.body.violations.iter_mut().map(|v| &mut v.row);
        for own in violations.chain([&mut self.body.row]) {
            *own = own.map(|own| own + row);
        }
        self
    }

    /// The same error in other words.
    #[must_use]
    pub(crate) fn saying(self, message: String) -> Self {
        let mut other = Self::new(self.status, self.body.code, message);
        other.retry_after = self.retry_after;
        other.body.row = self.body.row;
        other.body.column = self.body.column;
        other
    }

    /// The same error, which ends a stream after this many rows.
    #[must_use]
    pub(crate) fn after_rows(mut self, rows: u64) -> Self {
        self.body.row = None;
        self.body.answered = Some(rows);
        self
    }

    /// Its JSON.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        // Serialising strings and integers can't fail; the fallback keeps the promise all the same.
        serde_json::to_vec(&self.body)
            .unwrap_or_else(|_| br#"{"error":"internal error","code":"internal"}"#.to_vec())
    }

    /// A file of an upload can't be written: 507 for want of room, and 500 otherwise.
    pub(crate) fn unwritten(error: &std::io::Error) -> Self {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        if !matches!(error.kind(), StorageFull | QuotaExceeded) {
            return Self::internal(error);
        }
        tracing::error!(%error, "an upload can't be written");
        Self::new(
            StatusCode::INSUFFICIENT_STORAGE,
            "store-full",
            "there is no room on the server's disk for this upload; ask who runs it to make some",
        )
    }

    /// 500, with the cause in the log and not in the answer.
    pub(crate) fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, "internal error");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the server failed; its log has the cause",
        )
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.to_json()).into_response();
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(wait) = self.wait() {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs()));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.body.error)
    }
}

impl std::error::Error for ApiError {}

impl From<ServingError> for ApiError {
    fn from(error: ServingError) -> Self {
        let status = match error.kind {
            Kind::Invalid => StatusCode::BAD_REQUEST,
            Kind::Unprocessable => StatusCode::UNPROCESSABLE_ENTITY,
            Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::Conflict => StatusCode::CONFLICT,
            Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Kind::Quota => StatusCode::TOO_MANY_REQUESTS,
            Kind::Full => StatusCode::INSUFFICIENT_STORAGE,
            Kind::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Kind::Deadline => StatusCode::GATEWAY_TIMEOUT,
            Kind::Stage => StatusCode::INTERNAL_SERVER_ERROR,
            Kind::Internal => return Self::internal(&error.message),
        };
        let mut api = Self::new(status, error.code, error.to_string());
        api.body.stage = error.stage.clone();
        api.body.row = error.row;
        api.body.column = error.column.clone();
        api.body.violations = error.violations.iter().map(ViolationBody::from).collect();
        api
    }
}

impl From<RegistryError> for ApiError {
    fn from(error: RegistryError) -> Self {
        ServingError::from(error).into()
    }
}

impl From<AccessError> for ApiError {
    fn from(error: AccessError) -> Self {
        let status = match &error {
            AccessError::Registry(_) => {
                let AccessError::Registry(inner) = error else {
                    return Self::internal(error);
                };
                return inner.into();
            }
            AccessError::TenantExists(_)
            | AccessError::TenantDeleted(_)
            | AccessError::StillOwns { .. }
            | AccessError::Reserved { .. } => StatusCode::CONFLICT,
            AccessError::Escalation { .. } => StatusCode::FORBIDDEN,
            AccessError::Random(_) => return Self::internal(error),
            _ => StatusCode::BAD_REQUEST,
        };
        let mut api = Self::new(status, error.code(), error.to_string());
        if let AccessError::Policy(policy) = error {
            let problems = policy.issues.into_iter().map(|issue| Problem {
                line: issue.at.map(|(line, _)| line),
                column: issue.at.map(|(_, column)| column),
                message: issue.message,
            });
            api.body.problems = problems.collect();
        }
        api
    }
}

impl From<AlertsError> for ApiError {
    fn from(error: AlertsError) -> Self {
        let status = match error {
            AlertsError::Store(inner) => return RegistryError::from(inner).into(),
            AlertsError::Invalid(_) | AlertsError::Rules(_) => StatusCode::BAD_REQUEST,
            AlertsError::NotFound { .. } => StatusCode::NOT_FOUND,
            AlertsError::TooMany { .. } => StatusCode::INSUFFICIENT_STORAGE,
            _ => return Self::internal(error),
        };
        Self::new(status, error.code(), error.to_string())
    }
}

impl From<TruthError> for ApiError {
    fn from(error: TruthError) -> Self {
        let (status, code) = match &error {
            TruthError::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            TruthError::Gone => (StatusCode::NOT_FOUND, "not-found"),
            TruthError::Store { full: true, .. } => (StatusCode::INSUFFICIENT_STORAGE, "store-full"),
            _ => return Self::internal(error),
        };
        Self::new(status, code, error.to_string())
    }
}

impl From<AuditError> for ApiError {
    fn from(error: AuditError) -> Self {
        Self::internal(error)
    }
}

impl From<UploadError> for ApiError {
    fn from(error: UploadError) -> Self {
        if error.is_host_fault() {
            return Self::internal(error);
        }
        let status = match error {
            UploadError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(status, error.code(), error.to_string())
    }
}

impl From<ModelRejected> for ApiError {
    fn from(error: ModelRejected) -> Self {
        if error.is_host_fault() {
            return Self::internal(error);
        }
        let status = match error {
            ModelRejected::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(status, "model-refused", error.to_string())
    }
}

impl From<DecodeError> for ApiError {
    fn from(error: DecodeError) -> Self {
        let status = match error.code {
            code::TOO_MANY_ROWS | code::TOO_LARGE => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        };
        let mut api = Self::new(status, error.code, error.to_string());
        api.body.row = error.row.map(|r| r as u64);
        api.body.column = error.column;
        api
    }
}
