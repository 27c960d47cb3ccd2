//! [`ApiError`] as a gRPC status: the code that stands for its HTTP status, its sentence, and in the
//! details what JSON has in members of their own.

use std::collections::HashMap;
use std::sync::Arc;

use axum::http::StatusCode;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

use crate::http::error::ApiError;

/// Who gives the codes of [`ErrorDetails`]' reasons.
const DOMAIN: &str = "caisson";
/// Bytes of a status's message. Messages and details travel in trailers, of which common clients take
/// 8 KiB in all; there the message stands twice, once with three bytes for some of its own.
const MESSAGE_BYTES_MAX: usize = 1024;
/// Violations in the details, likewise. The message says how many there are.
const VIOLATIONS_MAX: usize = 8;
/// Bytes of each.
const VIOLATION_BYTES_MAX: usize = 160;

impl From<ApiError> for Status {
    fn from(error: ApiError) -> Self {
        let mut details = ErrorDetails::with_error_info(error.code(), DOMAIN, place(&error));
        if let Some(wait) = error.wait() {
            details.set_retry_info(Some(wait));
        }
        let violations: Vec<FieldViolation> = error
            .violations()
            .iter()
            .take(VIOLATIONS_MAX)
            .map(|violation| {
                FieldViolation::new(
                    cut(
                        violation.column.as_deref().unwrap_or_default(),
                        VIOLATION_BYTES_MAX,
                    ),
                    cut(&violation.sentence(), VIOLATION_BYTES_MAX),
                )
            })
            .collect();
        if !violations.is_empty() {
            details.set_bad_request(violations);
        }
        let message = cut(error.message(), MESSAGE_BYTES_MAX);
        let mut status = Self::with_error_details(code(error.status()), message, details);
        if error.status() == StatusCode::UNAUTHORIZED {
            status.metadata_mut().insert(
                "www-authenticate",
                tonic::metadata::MetadataValue::from_static("Bearer"),
            );
        }
        status.set_source(Arc::new(error));
        status
    }
}

/// Stage, row and column, where there are any.
fn place(error: &ApiError) -> HashMap<String, String> {
    let (stage, row, column) = error.place();
    let members = [
        ("stage", stage.map(str::to_owned)),
        ("row", row.map(|row| row.to_string())),
        ("column", column.map(str::to_owned)),
    ];
    members
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), cut(&value?, VIOLATION_BYTES_MAX))))
        .collect()
}

fn cut(text: &str, bytes_max: usize) -> String {
    match text.get(..text.floor_char_boundary(bytes_max)) {
        Some(start) if start.len() < text.len() => format!("{start}…"),
        _ => text.to_owned(),
    }
}

/// The code that stands for an HTTP status.
fn code(status: StatusCode) -> Code {
    match status {
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::FORBIDDEN => Code::PermissionDenied,
        StatusCode::NOT_FOUND => Code::NotFound,
        StatusCode::CONFLICT => Code::FailedPrecondition,
        StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => Code::DeadlineExceeded,
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::TOO_MANY_REQUESTS | StatusCode::INSUFFICIENT_STORAGE => {
            Code::ResourceExhausted
        }
        StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
        status if status.is_client_error() => Code::InvalidArgument,
        _ => Code::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_stays_below_what_clients_take() {
        let error = ApiError::bad_request("bad-request", "ä\n".repeat(100_000));
        let status = Status::from(error);
        assert_eq!(status.code(), Code::InvalidArgument);
        let headers: axum::http::Response<()> = status.into_http();
        let bytes: usize = headers
            .headers()
            .iter()
            .map(|(k, v)| k.as_str().len() + v.len() + 32)
            .sum();
        assert!(bytes < 8 << 10, "{bytes}");
    }

    #[test]
    fn every_error_has_a_code() {
        assert_eq!(code(StatusCode::UNPROCESSABLE_ENTITY), Code::InvalidArgument);
        assert_eq!(code(StatusCode::TOO_MANY_REQUESTS), Code::ResourceExhausted);
        assert_eq!(code(StatusCode::INTERNAL_SERVER_ERROR), Code::Internal);
    }
}
