//! `GET /openapi.json`: the whole API in OpenAPI 3.1, made from the routes.
//!
//! [`routes`] says which operations there are, who may call them, and what is in their paths. What
//! they take and answer stands in one module a topic, by method and path; the schemas come from the
//! Rust types that handlers read and write. A route without a description and a description without
//! a route are errors, which a test finds before a user does.

mod alerts;
mod common;
mod deployments;
mod models;
mod operation;
mod ops;
mod plugins;
mod predict;
mod repository;
mod schemas;
mod tenants;
mod truth;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::error::ApiError;
use super::{Route, json_bytes, routes};
use operation::Operation;
use schemas::Schemas;

/// A topic: its name, a sentence, and its operations.
type Topic = (&'static str, &'static str, fn(&mut Schemas) -> Vec<Operation>);

const TOPICS: [Topic; 9] = [
    (
        "predict",
        "Predictions: the Open Inference Protocol v2, and rows.",
        predict::operations,
    ),
    (
        "repository",
        "What serves: the Open Inference Protocol's configuration, statistics and model repository.",
        repository::operations,
    ),
    (
        "deployments",
        "What is served, and its history.",
        deployments::operations,
    ),
    (
        "performance",
        "What came true of predictions, and how deployments do by it.",
        truth::operations,
    ),
    (
        "models",
        "ONNX models, their aliases and approval.",
        models::operations,
    ),
    (
        "plugins",
        "Sandboxed WebAssembly components.",
        plugins::operations,
    ),
    (
        "alerts",
        "Alert rules, alerts, silences, and who is told.",
        alerts::operations,
    ),
    (
        "tenants",
        "Tenants, keys, quotas and policies.",
        tenants::operations,
    ),
    (
        "operation",
        "Health, metrics, the audit log, backups.",
        ops::operations,
    ),
];

const ABOUT: &str = "\
Tenants upload plugins (sandboxed WebAssembly components) and models (ONNX files), wire them into a \
deployment, and call it.\n\n\
Every error is JSON: `{\"error\": \"<sentence>\", \"code\": \"<kebab-case>\"}`, with `stage`, `row`, `column` and \
`violations` where there are any. A method that a path doesn't take is answered 405, with `Allow`. \
`x-caisson-permission` names what the key's role or a policy must permit.";

/// The document, made once.
static DOCUMENT: LazyLock<Result<Vec<u8>, String>> = LazyLock::new(|| {
    let document = document()?;
    serde_json::to_vec(&document).map_err(|e| e.to_string())
});

/// The description of this API.
pub(crate) async fn serve() -> Result<Response, ApiError> {
    match &*DOCUMENT {
        Ok(bytes) => Ok(json_bytes(StatusCode::OK, bytes.clone())),
        Err(error) => Err(ApiError::internal(error)),
    }
}

/// The operations that have parameters in their query.
pub(super) fn with_query() -> BTreeSet<(String, &'static str)> {
    let mut schemas = Schemas::new();
    TOPICS
        .iter()
        .flat_map(|(_, _, operations)| operations(&mut schemas))
        .filter(Operation::has_query)
        .map(|operation| (operation.method.to_string(), operation.path))
        .collect()
}

/// The document.
///
/// # Errors
///
/// A route without a description, or a description without a route.
pub(crate) fn document() -> Result<Value, String> {
    let mut schemas = Schemas::new();
    let mut described: Vec<(&str, Operation)> = TOPICS
        .iter()
        .flat_map(|(tag, _, operations)| operations(&mut schemas).into_iter().map(|o| (*tag, o)))
        .collect();
    let responses = common::responses(&mut schemas);
    let (definitions, renamed) = schemas.finish();
    let mut paths: Map<String, Value> = Map::new();
    for Route {
        path, method, rule, ..
    } in routes()
    {
        let at = described
            .iter()
            .position(|(_, o)| o.path == path && o.method == method)
            .ok_or_else(|| format!("{method} {path} is not described in `http/openapi`"))?;
        let (tag, operation) = described.swap_remove(at);
        let errors = common::errors(rule, &operation);
        let parameter = |name: &str| common::path_parameter(path, name);
        let mut rendered = operation.render(tag, &renamed, parameter, &errors)?;
        rendered.insert("security".to_owned(), common::security(rule));
        if let Some(action) = rule.action() {
            rendered.insert("x-caisson-permission".to_owned(), action.as_str().into());
        }
        let item = paths.entry(path).or_insert_with(|| json!({}));
        operation::set(item, &method.as_str().to_ascii_lowercase(), Some(rendered.into()));
    }
    if let Some((_, left)) = described.first() {
        return Err(format!(
            "{} {} is described, and there is no such route",
            left.method, left.path
        ));
    }
    let tags: Vec<Value> = TOPICS
        .iter()
        .map(|(name, about, _)| json!({ "name": name, "description": about }))
        .collect();
    Ok(json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Caisson",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": definitions,
            "responses": responses,
            "securitySchemes": common::security_schemes(),
        },
    }))
}

#[cfg(test)]
mod tests;
