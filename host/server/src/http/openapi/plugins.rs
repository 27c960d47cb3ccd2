//! Plugins.

use caisson_registry::PluginDeletion;
use serde_json::{Value, json};

use super::super::extract::Why;
use super::super::plugins::{Namespace, PluginBody, PluginList, Yank};
use super::operation::{Operation, delete, get, post};
use super::schemas::Schemas;

pub(super) fn operations(s: &mut Schemas) -> Vec<Operation> {
    vec![
        get("/v1/plugins", "listPlugins", "All versions of all plugins").ok::<PluginList>(s, "The versions."),
        post("/v1/plugins", "pushPlugin", "Check and store a component")
            .about("Name, version and world are in the component. A version never changes: the same bytes again are `unchanged`, others are refused.")
            .query::<Namespace>(s)
            .header(
                "Content-Digest",
                "RFC 9530: the body is held against it.",
                json!({ "type": "string", "pattern": "^sha-256=:[A-Za-z0-9+/]{43}=:$" }),
            )
            .header(
                "Caisson-Signature",
                "Ed25519, in base64: `caisson plugin sign` makes it.",
                json!({ "type": "string", "pattern": "^[A-Za-z0-9+/]{85}[AQgw]==$" }),
            )
            .takes_as("application/wasm", json!({ "schema": {} }))
            .answers::<PluginBody>(s, 201, "A new version.")
            .ok::<PluginBody>(s, "It was there already, the same to the byte.")
            .fails(&[404, 409, 422, 503, 504, 507]),
        get("/v1/plugins/{name}", "listPluginVersions", "All versions of one plugin")
            .ok::<PluginList>(s, "The versions.")
            .fails(&[404]),
        get("/v1/plugins/{name}/{version}", "showPlugin", "The version that a requirement resolves to")
            .about("A plugin of the shared namespace is `std%2Fname`.")
            .path("version", requirement())
            .ok::<PluginBody>(s, "With its help and the JSON Schema of its config.")
            .fails(&[404]),
        delete("/v1/plugins/{name}/{version}", "deletePlugin", "Delete a yanked version that nothing uses")
            .about("Refused, with the names, while a revision of a live deployment uses it.")
            .path("version", exact())
            .query::<Why>(s)
            .ok::<PluginDeletion>(s, "It is gone.")
            .fails(&[404, 409, 413]),
        post("/v1/plugins/{name}/{version}/yank", "yankPlugin", "Let nothing new choose a version")
            .about("What is pinned to it goes on.")
            .path("version", exact())
            .query::<Namespace>(s)
            .takes::<Yank>(s, json!({ "why": "counts leap days twice" }))
            .ok::<PluginBody>(s, "It is yanked.")
            .fails(&[404, 409]),
        delete("/v1/plugins/{name}/{version}/yank", "unyankPlugin", "Let a yanked version be chosen again")
            .path("version", exact())
            .query::<Namespace>(s)
            .ok::<PluginBody>(s, "It is not yanked.")
            .fails(&[404, 409]),
    ]
}

fn exact() -> Value {
    json!({
        "type": "string", "maxLength": 64, "pattern": r"^(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})(-[a-z]+)?$",
        "description": "A semantic version.", "example": "0.1.0",
    })
}

fn requirement() -> Value {
    json!({
        "type": "string", "maxLength": 64,
        "pattern": r"^(\*|(=|>|>=|<|<=|~|\^)?(0|[1-9][0-9]{0,8})(\.(0|[1-9][0-9]{0,8})){0,2}|[=~^]?(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})-[a-z]+)$",
        "description": "A version, or a requirement of Cargo's form.", "example": "^0.1",
    })
}
