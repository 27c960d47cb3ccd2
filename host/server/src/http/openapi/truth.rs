//! Ground truth and performance.

use serde_json::{Value, json};

use super::super::logged::{LoggedRows, PredictionsQuery};
use super::super::truth::{Evaluated, Feedback, Labels, Performance, PerformanceQuery};
use super::operation::{Operation, get, post};
use super::schemas::Schemas;

pub(super) fn operations(s: &mut Schemas) -> Vec<Operation> {
    let rows = json!({ "schema": { "type": "string" } });
    let text = json!({ "schema": {} });
    vec![
        get("/v1/deployments/{name}/predictions", "showPredictions", "What was sent and answered, from the prediction log")
            .about("Rows that wait to be written aren't among them. With `Accept: application/x-ndjson` a row a line.")
            .query::<PredictionsQuery>(s)
            .ok::<LoggedRows>(s, "The rows, oldest first.")
            .answers_as(200, "", "application/x-ndjson", rows)
            .fails(&[404, 406, 503]),
        post("/v1/deployments/{name}/feedback", "feedback", "Say what came true of predictions")
            .about("A row a label: `request_id` and, of requests of several rows, `row`; or, where the deployment's file says so, the columns of the key and `event_time`; the label under its name; when it was `observed_at`, if that is known. What is answered as accepted survives a crash. A label that came before with the same value changes nothing; one with another value takes its place, and both are kept.")
            .takes_as("application/json", json!({ "schema": feedback_schema(), "example": { "rows": [{ "request_id": "8f14e45f", "row": 0, "bought": 1 }] } }))
            .takes_as("text/csv", text.clone())
            .takes_as("application/x-ndjson", text.clone())
            .takes_as("application/vnd.apache.arrow.stream", text.clone())
            .takes_as("application/vnd.apache.parquet", text)
            .ok::<Feedback>(s, "How many are kept, and which rows are no labels.")
            .fails(&[404, 415, 429, 503, 507]),
        get("/v1/deployments/{name}/feedback", "showFeedback", "How a deployment's labels stand")
            .ok::<Labels>(s, "Labels by what became of them.")
            .fails(&[404, 503]),
        get("/v1/deployments/{name}/performance", "showPerformance", "How a deployment did, window by window")
            .query::<PerformanceQuery>(s)
            .ok::<Performance>(s, "Its windows, the newest first, with metrics, intervals and verdicts; its alarms.")
            .fails(&[404, 503, 507]),
        post("/v1/deployments/{name}/performance", "evaluatePerformance", "Tell how a deployment does, now")
            .ok::<Evaluated>(s, "What was looked at.")
            .fails(&[404, 503, 507]),
    ]
}

fn feedback_schema() -> Value {
    json!({
        "type": "object",
        "required": ["rows"],
        "properties": { "rows": { "type": "array", "items": { "type": "object" } } },
    })
}
