//! How long a caller waits, and the form in which an error reaches it.

use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tonic::Status;

use super::is_call;
use crate::http::error::ApiError;

/// The header with the caller's patience.
const TIMEOUT: &str = "grpc-timeout";
/// Digits that the protocol allows it.
const DIGITS_MAX: usize = 8;

/// Run a call until its deadline, at which its work is dropped; and put every error into gRPC's form.
pub(super) async fn within(request: Request, next: Next) -> Response {
    let response = match patience(request.headers()) {
        Ok(None) => next.run(request).await,
        Ok(Some(patience)) => match tokio::time::timeout(patience, next.run(request)).await {
            Ok(response) => response,
            Err(_) => passed(patience).into_response(),
        },
        Err(error) => error.into_response(),
    };
    // What comes from the service has the form already.
    if is_call(response.headers()) {
        return response;
    }
    let error = response.extensions().get::<ApiError>().cloned();
    let error = error.unwrap_or_else(|| {
        ApiError::new(
            response.status(),
            "not-a-call",
            "a method takes POST with `content-type: application/grpc`",
        )
    });
    let mut answer = Status::from(error.clone()).into_http();
    answer.extensions_mut().insert(error);
    answer
}

fn passed(patience: Duration) -> ApiError {
    ApiError::new(
        StatusCode::GATEWAY_TIMEOUT,
        "deadline",
        format!("the call's own deadline of {patience:?} passed"),
    )
}

/// The time that a call gives: up to eight digits and a unit.
fn patience(headers: &HeaderMap) -> Result<Option<Duration>, ApiError> {
    let Some(value) = headers.get(TIMEOUT) else {
        return Ok(None);
    };
    let parsed = value.to_str().ok().and_then(|text| {
        let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        if digits.len() > DIGITS_MAX || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let count: u64 = digits.parse().ok()?;
        Some(match unit {
            "H" => Duration::from_secs(count * 3600),
            "M" => Duration::from_secs(count * 60),
            "S" => Duration::from_secs(count),
            "m" => Duration::from_millis(count),
            "u" => Duration::from_micros(count),
            "n" => Duration::from_nanos(count),
            _ => return None,
        })
    });
    parsed.map(Some).ok_or_else(|| {
        ApiError::bad_request(
            "bad-timeout",
            format!("`{TIMEOUT}` is up to {DIGITS_MAX} digits and one of H, M, S, m, u and n"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(TIMEOUT, value.parse().unwrap());
        patience(&headers).ok().flatten()
    }

    #[test]
    fn patience_is_digits_and_a_unit() {
        assert_eq!(of("100m"), Some(Duration::from_millis(100)));
        assert_eq!(of("0n"), Some(Duration::ZERO));
        assert_eq!(of("2M"), Some(Duration::from_secs(120)));
        assert_eq!(of("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        for wrong in ["", "m", "100", "1 m", "-1m", "123456789m", "1s", "1.5S", "+1S"] {
            assert_eq!(of(wrong), None, "{wrong:?}");
        }
        assert!(matches!(patience(&HeaderMap::new()), Ok(None)));
    }
}
