//! Extractors whose rejections are [`ApiError`]s, as every error must be.

use axum::extract::FromRequestParts;
use axum::extract::rejection::{PathRejection, QueryRejection};

use caisson_registry::text::{TEXT_PATTERN, WHY_BYTES_MAX};
use schemars::JsonSchema;
use serde::Deserialize;

use super::error::ApiError;

/// Why something is done, in the query of a request that has no body.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Why {
    #[serde(default)]
    #[schemars(regex(pattern = TEXT_PATTERN), length(max = WHY_BYTES_MAX))]
    pub(crate) why: String,
}

/// Parts of the path.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(ApiError))]
pub(crate) struct Path<T>(pub(crate) T);

/// The query string.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(ApiError))]
pub(crate) struct Query<T>(pub(crate) T);

impl From<PathRejection> for ApiError {
    fn from(rejection: PathRejection) -> Self {
        Self::bad_request("bad-path", rejection.body_text())
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::bad_request("bad-query", rejection.body_text())
    }
}
