//! Alerts.

use caisson_alerts::{ReceiverSpec, ReceiverView, RulesFile, Silence};
use serde_json::{Value, json};

use super::super::alerts::{AlertList, Deleted, NewSilence, ReceiverList, SilenceList, Tested};
use super::operation::{Operation, delete, get, post, put};
use super::schemas::Schemas;

pub(super) fn operations(s: &mut Schemas) -> Vec<Operation> {
    let mut all = alerts(s);
    all.extend(receivers(s));
    all
}

fn alerts(s: &mut Schemas) -> Vec<Operation> {
    let file = s.read::<RulesFile>();
    vec![
        get("/v1/alert-rules", "showAlertRules", "The rules")
            .ok::<RulesFile>(s, "As a file that can be applied again."),
        put("/v1/alert-rules", "writeAlertRules", "Replace all rules")
            .about("Alerts of rules that stay keep their states; those that no rule looks at any more end. YAML and JSON are both read, whatever the media type says.")
            .takes_as("application/json", json!({ "schema": file, "example": rules_example() }))
            .takes_as("application/yaml", json!({ "schema": file }))
            .ok::<RulesFile>(s, "The rules.")
            .fails(&[507]),
        get("/v1/alert-rules-schema.json", "alertRulesSchema", "The JSON Schema of a rules file").answers_as(
            200,
            "For editors.",
            "application/json",
            json!({ "schema": { "type": "object" } }),
        ),
        get("/v1/alerts", "listAlerts", "Alerts that are pending, fire, or resolved within the last day")
            .ok::<AlertList>(s, "The alerts."),
        get("/v1/silences", "listSilences", "Silences, those that ended within the last week included")
            .ok::<SilenceList>(s, "The silences."),
        post("/v1/silences", "silence", "Tell nobody of some alerts for some time")
            .takes::<NewSilence>(
                s,
                json!({ "matchers": ["alertname=failing"], "until": "2026-12-31T18:00:00Z", "comment": "known; being repaired" }),
            )
            .answers::<Silence>(s, 201, "The silence.")
            .fails(&[507]),
        delete("/v1/silences/{id}", "endSilence", "End a silence now")
            .path("id", json!({ "type": "string", "pattern": "^[0-9a-f]{32}$", "description": "The silence." }))
            .ok::<Silence>(s, "The silence, as it ended.")
            .fails(&[404, 507]),
    ]
}

fn receivers(s: &mut Schemas) -> Vec<Operation> {
    let spec = s.read::<ReceiverSpec>();
    vec![
        get("/v1/receivers", "listReceivers", "Who is told of alerts, and how deliveries fare")
            .about("Secrets are hidden.")
            .ok::<ReceiverList>(s, "The receivers."),
        put("/v1/receivers/{name}", "writeReceiver", "Add a receiver, or replace it in full")
            .about("Secrets included. YAML and JSON are both read, whatever the media type says.")
            .takes_as(
                "application/json",
                json!({ "schema": spec, "example": { "webhook": { "url": "https://pager.example.org/caisson" } } }),
            )
            .takes_as("application/yaml", json!({ "schema": spec }))
            .ok::<ReceiverView>(s, "The receiver.")
            .fails(&[507]),
        delete("/v1/receivers/{name}", "deleteReceiver", "Remove a receiver, and what waits for it")
            .ok::<Deleted>(s, "It is told of nothing more.")
            .fails(&[404, 507]),
        post("/v1/receivers/{name}/test", "testReceiver", "Send a test to a receiver now")
            .ok::<Tested>(s, "How it went.")
            .fails(&[404, 429]),
    ]
}

fn rules_example() -> Value {
    json!({ "rules": [{
        "name": "failing",
        "metric": "error_rate",
        "operator": ">",
        "threshold": 0.05,
        "severity": "critical",
        "for": "2m",
    }] })
}
