//! Deployments.

use caisson_diagnosis::Diagnosis;
use caisson_predictions::LogStatus;
use caisson_registry::RevisionRecord;
use caisson_serving::DeploymentSpec;
use serde_json::{Value, json};

use super::super::deployments::{
    ApplyQuery, Deleted, DeploymentBody, DeploymentList, Diff, DiffQuery, History, HistoryQuery, PlanBody,
    Rollback,
};
use super::super::windows::{DriftHistory, DriftQuery, StatisticsBody, StatisticsQuery};
use super::operation::{Operation, delete, get, post};
use super::schemas::Schemas;

pub(super) fn operations(s: &mut Schemas) -> Vec<Operation> {
    let spec = s.read::<DeploymentSpec>();
    vec![
        get("/v1/deployments", "listDeployments", "Every deployment with its state")
            .ok::<DeploymentList>(s, "The deployments."),
        post("/v1/deployments", "deploy", "Apply a deployment file")
            .about("Every stage is prepared and checked against its neighbours before anything changes. YAML and JSON are both read, whatever the media type says.")
            .query::<ApplyQuery>(s)
            .takes_as("application/json", json!({ "schema": spec, "example": example() }))
            .takes_as("application/yaml", json!({ "schema": spec }))
            .answers::<PlanBody<'_>>(s, 201, "A new deployment.")
            .ok::<PlanBody<'_>>(s, "A new revision, or none where nothing changed; with `dry_run` the plan alone.")
            .fails(&[404, 409, 422, 500, 503, 504, 507]),
        get("/v1/deployments/{name}", "showDeployment", "The live revision")
            .ok::<DeploymentBody<'_>>(s, "With its stages and schemas.")
            .fails(&[404, 503]),
        delete("/v1/deployments/{name}", "deleteDeployment", "Stop serving")
            .ok::<Deleted>(s, "It is served no more.")
            .fails(&[404, 409]),
        get("/v1/deployments/{name}/revisions", "listRevisions", "The history, the newest first")
            .query::<HistoryQuery>(s)
            .ok::<History>(s, "The revisions.")
            .fails(&[404]),
        get("/v1/deployments/{name}/revisions/{number}", "showRevision", "One revision, with its pinned spec")
            .ok::<RevisionRecord>(s, "The revision.")
            .fails(&[404]),
        get("/v1/deployments/{name}/diff", "diffRevisions", "How two revisions differ")
            .query::<DiffQuery>(s)
            .ok::<Diff>(s, "The places that differ.")
            .fails(&[404]),
        post("/v1/deployments/{name}/rollback", "rollback", "Make an earlier revision live again, as a new one")
            .takes::<Rollback>(s, json!({ "to": 1, "message": "the new model overshoots" }))
            .ok::<PlanBody<'_>>(s, "The new revision.")
            .fails(&[404, 409, 422, 503, 504, 507]),
        get("/v1/deployments/{name}/log", "showLog", "How the prediction log stands")
            .ok::<LogStatus>(s, "Rows that are logged, that wait, and that were dropped, and why.")
            .fails(&[404, 503]),
        get("/v1/deployments/{name}/diagnosis", "diagnose", "Why is it slow, and why is it wrong?")
            .about("Each finding has its evidence and a next step. What each column matters to the prediction is computed once for a revision, which may take a minute; until then the answer says so.")
            .ok::<Diagnosis>(s, "Findings, the worst first; what happened; what isn't known.")
            .fails(&[404, 503]),
        get("/v1/deployments/{name}/report", "report", "A page with all that is known of it")
            .answers_as(200, "One HTML file that loads nothing.", "text/html", json!({ "schema": { "type": "string" } }))
            .fails(&[404, 503]),
        get("/v1/deployments/{name}/drift", "driftHistory", "What monitors said of live answers")
            .about("Of windows that closed, the newest first. A monitor's alarm is raised by `n` drifted windows of the last `m`.")
            .query::<DriftQuery>(s)
            .ok::<DriftHistory<'_>>(s, "Monitors, and their windows.")
            .fails(&[404, 503]),
        get("/v1/deployments/{name}/statistics", "deploymentStatistics", "What is sent and answered, in numbers")
            .about("Means, quantiles, missing values and shares of categories of every column, of the window that is open and those that closed, beside the baseline's.")
            .query::<StatisticsQuery>(s)
            .ok::<StatisticsBody<'_>>(s, "Windows, and the baseline.")
            .fails(&[404, 503]),
        get("/v1/deployment-schema.json", "deploymentSchema", "The JSON Schema of a deployment file").answers_as(
            200,
            "For editors.",
            "application/json",
            json!({ "schema": { "type": "object" } }),
        ),
    ]
}

fn example() -> Value {
    json!({
        "name": "clipped",
        "input": [{ "name": "x", "type": "fp32", "nullable": true }],
        "transforms": [{ "plugin": "clip", "config": { "columns": { "x": { "min": 0, "max": 10 } } } }],
    })
}
