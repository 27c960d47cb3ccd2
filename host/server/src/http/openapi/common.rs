//! What many operations share: errors by status, what a route's rule brings, parameters of paths.

use std::collections::BTreeSet;

use caisson_registry::{NAME_CHARS_MAX, NAME_PATTERN};
use caisson_serving::DEPLOYMENT_NAME_CHARS_MAX;
use serde_json::{Map, Value, json};

use super::super::auth::{Rule, is_metered};
use super::super::error;
use super::operation::{Operation, path_parameters, set};
use super::schemas::Schemas;

/// Every status that an error has, and when.
const ERRORS: &[(u16, &str)] = &[
    (
        400,
        "Not what the route takes: the syntax of path, query or body, types, names.",
    ),
    (
        401,
        "No key, or one that isn't known, has expired or was revoked.",
    ),
    (403, "The key may not do this, or its tenant is suspended."),
    (404, "There is no such thing, or it is another tenant's."),
    (406, "No form of answer that `Accept` takes."),
    (408, "The body did not arrive in time."),
    (
        409,
        "Something else is there already, moved meanwhile, or is in use.",
    ),
    (413, "Larger than the route takes."),
    (415, "A media type that the route doesn't take."),
    (
        422,
        "Well-formed and refused: validators, a value that a stage can't take, stages that don't fit.",
    ),
    (429, "Over a quota of the tenant, or too many of these at once."),
    (
        500,
        "The plugin or model failed (`code` and `stage` say how), or the host did (`internal`).",
    ),
    (503, "Busy, loading, or not ready."),
    (504, "A stage ran past its deadline."),
    (507, "Over a quota of stored things, or the disk is full."),
];

/// `components.responses`: the errors by status.
pub(super) fn responses(schemas: &mut Schemas) -> Map<String, Value> {
    let schema = schemas.written::<error::Body>();
    ERRORS
        .iter()
        .map(|(status, about)| {
            let content = json!({ "application/json": { "schema": schema } });
            let mut response = json!({ "description": about, "content": content });
            let header = |name: &str, about: &str, schema: Value| {
                json!({ name: { "required": true, "description": about, "schema": schema } })
            };
            let headers = match status {
                429 | 503 => Some(header(
                    "Retry-After",
                    "Seconds after which it is worth while to try again.",
                    json!({ "type": "integer", "minimum": 1 }),
                )),
                401 => Some(header("WWW-Authenticate", "How to send a key.", json!({ "const": "Bearer" }))),
                _ => None,
            };
            set(&mut response, "headers", headers);
            (status.to_string(), response)
        })
        .collect()
}

/// The errors of an operation: its own, and those that come with its rule and its path.
pub(super) fn errors(rule: Rule, operation: &Operation) -> BTreeSet<u16> {
    let by_rule: &[u16] = match rule {
        Rule::Public => &[],
        Rule::Known | Rule::AnyKey => &[401, 403],
        Rule::On(_) | Rule::Asks(_) => &[401, 403],
        // Another tenant, and the host, don't exist.
        Rule::Tenant(_) | Rule::Server(_) => &[401, 403, 404],
    };
    let mut all: BTreeSet<u16> = by_rule.iter().chain([&500]).copied().collect();
    if path_parameters(operation.path).next().is_some() {
        all.insert(400);
    }
    if is_metered(rule) {
        all.insert(429);
    }
    all.extend(&operation.errors);
    all
}

/// Who may call, as the document says it.
pub(super) fn security(rule: Rule) -> Value {
    match rule {
        Rule::Public => json!([]),
        Rule::Known => json!([{}, { "key": [] }]),
        Rule::AnyKey | Rule::On(_) | Rule::Tenant(_) | Rule::Server(_) | Rule::Asks(_) => {
            json!([{ "key": [] }])
        }
    }
}

/// `components.securitySchemes`.
pub(super) fn security_schemes() -> Value {
    json!({ "key": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "csn_…",
        "description": "A key of a tenant. `caisson key create` and `POST /v1/tenants/{tenant}/keys` make one. A server that was started with `--dev` asks for none.",
    } })
}

/// A name of at most `max` characters.
pub(super) fn name(about: &str, max: usize) -> Value {
    json!({ "type": "string", "pattern": NAME_PATTERN, "minLength": 1, "maxLength": max, "description": about })
}

/// A number that is counted from 1.
pub(super) fn number(about: &str) -> Value {
    json!({ "type": "integer", "minimum": 1, "maximum": u64::MAX, "description": about })
}

/// A parameter of a path by its name; `None` for one that only its operation knows.
pub(super) fn path_parameter(path: &str, parameter: &str) -> Option<Value> {
    let schema = match parameter {
        "name" if path.starts_with("/v1/plugins") => name("The plugin.", NAME_CHARS_MAX),
        "name" if path.starts_with("/v1/models") => name("The model.", NAME_CHARS_MAX),
        "name" if path.starts_with("/v1/receivers") => name("The receiver.", caisson_alerts::NAME_CHARS_MAX),
        "name" => name("The deployment.", DEPLOYMENT_NAME_CHARS_MAX),
        "tenant" => name("The tenant.", NAME_CHARS_MAX),
        "alias" => name("The alias.", NAME_CHARS_MAX),
        "policy" => name("The policy.", NAME_CHARS_MAX),
        "number" => number("The revision."),
        "version" if path.starts_with("/v2") => json!({
            "type": "string", "pattern": "^[1-9][0-9]*$", "maxLength": 20, "description": "The revision that must be live.",
        }),
        "version" if path.starts_with("/v1/models") => number("The version."),
        _ => return None,
    };
    Some(schema)
}
