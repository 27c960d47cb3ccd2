//! Health, metrics, the audit log, backups, and this document.

use serde_json::json;

use super::super::audit::{AuditQuery, Tail, Verified};
use super::super::health::{Live, Ready};
use super::operation::{Operation, get, post};
use super::schemas::Schemas;

pub(super) fn operations(s: &mut Schemas) -> Vec<Operation> {
    let ready = s.written::<Ready>();
    vec![
        get("/v2/health/live", "serverLive", "The process answers").ok::<Live>(s, "It does."),
        get(
            "/v2/health/ready",
            "serverReady",
            "Every live deployment is loaded",
        )
        .about("Who sends a key sees which of their own deployments are not, and why.")
        .ok::<Ready>(s, "Ready.")
        .answers_as(
            503,
            "Not ready, or about to stop.",
            "application/json",
            json!({ "schema": ready }),
        ),
        get("/metrics", "metrics", "Metrics as Prometheus text")
            .about("A tenant's own series; all of them for keys of the tenant `system`. OpenMetrics where `Accept` asks for it.")
            .answers_as(
                200,
                "The series.",
                "text/plain",
                json!({ "schema": { "type": "string" } }),
            ),
        get("/v1/audit", "tailAudit", "The newest records of the audit log")
            .about("A key sees its own tenant's; an operator's sees all, and any one tenant's.")
            .query::<AuditQuery>(s)
            .ok::<Tail>(s, "The records, oldest first.")
            .fails(&[404]),
        get(
            "/v1/audit/export",
            "exportAudit",
            "All records, one JSON object a line",
        )
        .query::<AuditQuery>(s)
        .without("tail")
        .answers_as(
            200,
            "The records.",
            "application/x-ndjson",
            json!({ "schema": { "type": "string" } }),
        )
        .fails(&[404]),
        post("/v1/audit/verify", "verifyAudit", "Is the log as it was written?")
            .ok::<Verified>(s, "What was found.")
            .fails(&[404]),
        post(
            "/v1/backup",
            "backup",
            "Everything that is stored, as one tar, while the server serves",
        )
        .answers_as(200, "The tar.", "application/x-tar", json!({ "schema": {} }))
        .fails(&[429]),
        get("/openapi.json", "openapi", "This document").answers_as(
            200,
            "OpenAPI 3.1.",
            "application/json",
            json!({ "schema": { "type": "object", "required": ["openapi", "info", "paths"] } }),
        ),
    ]
}
