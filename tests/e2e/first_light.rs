//! The main job: real customers, scored through sandboxed plugins and a model.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::harness::{Server, cdnow, guest, plugin, root};

fn rows_of(answer: &crate::harness::Answer) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["rows"].as_array().unwrap().clone()
}

/// The test customers with what really happened afterwards: (scored row, bought again).
fn scored(server: &Server) -> Vec<(Value, bool)> {
    let answer = server.post(
        "/v1/deployments/cdnow-repurchase/predict",
        "text/csv",
        &cdnow("test_customers.csv"),
    );
    let labels: HashMap<i64, bool> = String::from_utf8(cdnow("test_labels.csv"))
        .unwrap()
        .lines()
        .skip(1)
        .map(|line| {
            let (id, label) = line.split_once(',').unwrap();
            (id.parse().unwrap(), label.trim().parse::<f64>().unwrap() > 0.5)
        })
        .collect();
    rows_of(&answer)
        .into_iter()
        .map(|row| {
            let bought = labels[&row["customer_id"].as_i64().unwrap()];
            (row, bought)
        })
        .collect()
}

/// Area under the ROC curve by ranks, ties counted half.
fn auc(scored: &[(f64, bool)]) -> f64 {
    let (mut wins, mut pairs) = (0.0, 0.0);
    for &(high, _) in scored.iter().filter(|(_, bought)| *bought) {
        for &(low, _) in scored.iter().filter(|(_, bought)| !bought) {
            pairs += 1.0;
            wins += if high > low {
                1.0
            } else if high == low {
                0.5
            } else {
                0.0
            };
        }
    }
    wins / pairs
}

#[test]
fn customers_that_the_model_never_saw_are_ranked_far_better_than_by_chance() {
    let server = Server::with_cdnow();
    let scored = scored(&server);
    assert!(scored.len() > 1000, "{} customers", scored.len());
    let probability = |row: &Value| {
        row["probability"]
            .as_f64()
            .or_else(|| row["probabilities"][1].as_f64())
            .unwrap()
    };
    let pairs: Vec<(f64, bool)> = scored
        .iter()
        .map(|(row, bought)| (probability(row), *bought))
        .collect();
    let auc = auc(&pairs);
    // What the training script measured with Python's onnxruntime on the same customers.
    let metadata: Value = serde_json::from_slice(&cdnow("model.json")).unwrap();
    let expected = metadata["metrics"]["test_auc"].as_f64().unwrap();
    assert!(
        (auc - expected).abs() < 1e-4,
        "AUC {auc}, and {expected} in Python"
    );
    assert!(auc > 0.75, "{auc}");
}

#[test]
fn rows_csv_and_tensors_give_the_same_answer() {
    let server = Server::start();
    server.push(&plugin("clip"));
    let config = json!({"columns": {"x": {"min": 0.0, "max": 10.0}}});
    server.deploy(&json!({
        "name": "clip",
        "input": [{"name": "id", "type": "int64"}, {"name": "x", "type": "fp64", "nullable": true}],
        "transforms": [{"plugin": "clip@^0.1", "config": config}]
    }));
    let id = 9_007_199_254_740_993_i64; // Past 2^53: a float would lose its last bit.
    let rows = server.post_json(
        "/v1/deployments/clip/predict",
        &json!({"rows": [{"id": id, "x": 12.5}, {"id": 1, "x": null}]}),
    );
    let expected = json!([{"id": id, "x": 10.0}, {"id": 1, "x": null}]);
    assert_eq!(rows.body["rows"], expected, "{rows:?}");
    let csv = server.post(
        "/v1/deployments/clip/predict",
        "text/csv",
        format!("id,x\n{id},12.5\n1,\n").as_bytes(),
    );
    assert_eq!(csv.body["rows"], expected, "{csv:?}");
    let tensors = server.post_json(
        "/v2/models/clip/infer",
        &json!({"id": "r1", "inputs": [
            {"name": "id", "datatype": "INT64", "shape": [2], "data": [id, 1]},
            {"name": "x", "datatype": "FP64", "shape": [2, 1], "data": [12.5, null]}
        ]}),
    );
    assert_eq!(tensors.status, 200, "{tensors:?}");
    assert_eq!(tensors.body["id"], "r1");
    assert_eq!(tensors.body["model_version"], "1");
    assert_eq!(tensors.body["outputs"][0]["data"], json!([id, 1]));
    assert_eq!(tensors.body["outputs"][1]["data"], json!([10.0, null]));
    assert_eq!(tensors.body["outputs"][1]["shape"], json!([2]));
}

#[test]
fn metadata_says_what_a_deployment_takes_and_gives() {
    let server = Server::with_cdnow();
    let metadata = server.get("/v2/models/cdnow-repurchase");
    assert_eq!(metadata.status, 200);
    assert_eq!(metadata.body["versions"], json!(["1"]));
    assert!(
        metadata.body["inputs"]
            .as_array()
            .unwrap()
            .iter()
            .all(|i| i["shape"] == json!([-1]))
    );
    assert_eq!(
        server.get("/v2/models/cdnow-repurchase/versions/1/ready").body["ready"],
        json!(true)
    );
    let plan = server.get("/v1/deployments/cdnow-repurchase");
    let stages: Vec<&str> = plan.body["stages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["stage"].as_str().unwrap())
        .collect();
    assert!(stages.contains(&"model cdnow-repurchase@1"), "{stages:?}");
    assert!(
        plan.body["stages"]
            .as_array()
            .unwrap()
            .iter()
            .all(|s| s["warm_because"].is_null()),
        "{plan:?}"
    );
    assert_eq!(server.get("/v2").body["name"], "caisson");
    let show = server.get("/v1/models/cdnow-repurchase/latest");
    assert_eq!(
        (
            show.body["version"].as_u64(),
            show.body["baseline"]["content_type"].as_str()
        ),
        (Some(1), Some("text/csv"))
    );
}

#[test]
fn a_row_that_a_validator_refuses_is_named() {
    let server = Server::start();
    server.push(&plugin("range"));
    let config = json!({"columns": {"age": {"min": 0.0, "max": 130.0}}});
    server.deploy(&json!({
        "name": "people", "input": [{"name": "age", "type": "fp32"}],
        "validators": [{"plugin": "range", "config": config}]
    }));
    let answer = server.post_json(
        "/v1/deployments/people/predict",
        &json!({"rows": [{"age": 30}, {"age": -4}, {"age": 200}]}),
    );
    assert_eq!(
        (answer.status, answer.code()),
        (422, "validation-failed"),
        "{answer:?}"
    );
    assert_eq!(
        (answer.body["row"].as_u64(), answer.body["column"].as_str()),
        (Some(1), Some("age"))
    );
    assert!(
        answer.body["stage"]
            .as_str()
            .unwrap()
            .starts_with("validators[0] range@")
    );
    assert_eq!(answer.body["violations"].as_array().unwrap().len(), 2);
    let metrics = server.metrics();
    assert!(
        metrics.contains(
            "caisson_violations_total{tenant=\"default\",deployment=\"people\",severity=\"reject\"} 2"
        ),
        "{metrics}"
    );
}

#[test]
fn a_predictor_runs_the_very_same_model_as_the_native_stage() {
    let server = Server::start();
    server.push(&guest("runner"));
    let model = std::fs::read(root().join("host/inference/tests/fixtures/mlp.onnx")).unwrap();
    let answer = server.push_model("mlp", &model, &json!({}), None);
    assert_eq!(answer.status, 201, "{answer:?}");
    let input = answer.body["signature"]["inputs"][0].clone();
    let output = answer.body["signature"]["outputs"]
        .as_array()
        .unwrap()
        .last()
        .unwrap()
        .clone();
    let width = input["shape"][1].as_u64().unwrap();
    let name = input["name"].as_str().unwrap();
    let columns = json!([{"name": name, "type": "fp32", "shape": [width]}]);
    server.deploy(&json!({"name": "native", "input": columns, "model": {"name": "mlp", "version": 1, "outputs": [output["name"]]}}));
    let out = server.get("/v1/deployments/native").body["output"][0].clone();
    server.deploy(&json!({
        "name": "guest", "input": columns,
        "predictor": {
            "plugin": "runner",
            "config": {"model": "main", "input": name, "output": output["name"], "output_shape": out.get("shape").cloned().unwrap_or(json!([]))},
            "models": {"main": {"name": "mlp", "version": 1}}
        }
    }));
    let row: Vec<f64> = (0..width).map(|i| (i as f64 * 0.37).sin()).collect();
    let body = json!({"rows": [{name: row}, {name: row.iter().map(|x| -x).collect::<Vec<_>>()}]});
    let native = server.post_json("/v1/deployments/native/predict", &body);
    let guest = server.post_json("/v1/deployments/guest/predict", &body);
    assert_eq!(native.status, 200, "{native:?}");
    assert_eq!(guest.status, 200, "{guest:?}");
    let values = |answer: &crate::harness::Answer| -> Vec<Value> {
        answer.body["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| r.as_object().unwrap().values().next().unwrap().clone())
            .collect()
    };
    assert_eq!(values(&native), values(&guest));
}
