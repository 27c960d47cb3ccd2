//! What is wrong with a file is said when it is deployed, with both sides named.

use caisson_data::{DataType, Field, Schema};
use caisson_predictions::LogSpec;
use caisson_truth::{GroundTruthSpec, PerformanceSpec};
use serde_json::{Value, json};

fn check(ground: &Value, performance: &Value, log: Option<Value>) -> Result<(), String> {
    let ground: GroundTruthSpec = serde_json::from_value(ground.clone()).map_err(|e| e.to_string())?;
    let performance: PerformanceSpec =
        serde_json::from_value(performance.clone()).map_err(|e| e.to_string())?;
    let log: Option<LogSpec> = log.map(|log| serde_json::from_value(log).unwrap());
    ground.check()?;
    performance.check()?;
    let input = Schema::new(vec![
        Field::new("customer", DataType::Int64),
        Field::new("region", DataType::Text),
        Field::new("x", DataType::Fp32),
    ])
    .unwrap();
    let output = Schema::new(vec![
        Field::new("label", DataType::Int64),
        Field::new("probability", DataType::Fp32),
        Field::new("probabilities", DataType::Fp32).with_shape([3]),
        Field::new("number", DataType::Fp64),
    ])
    .unwrap();
    ground.check_columns(log.as_ref(), &input)?;
    performance.check_columns(Some(&ground), log.as_ref(), &input, &output)
}

fn with(base: &Value, more: &Value) -> Value {
    let mut all = base.clone();
    for (key, value) in more.as_object().unwrap() {
        match value {
            Value::Null => drop(all.as_object_mut().unwrap().remove(key)),
            value => all[key] = value.clone(),
        }
    }
    all
}

#[test]
fn what_does_not_fit_is_named() {
    let ground = json!({"label": {"name": "bought", "type": "int64"}});
    let binary =
        json!({"task": "binary", "scores": ["probability"], "positive": 1, "window": {"seconds": 60}});
    let log = json!({"sample": 1});
    let cases = [
        (json!({}), json!({}), None),
        (
            json!({}),
            json!({"scores": ["probabilty"]}),
            Some("no column `probabilty`"),
        ),
        (
            json!({}),
            json!({"scores": ["probabilities"]}),
            Some("has 3 elements"),
        ),
        (
            json!({}),
            json!({"scores": [{"column": "probabilities", "element": 1}]}),
            None,
        ),
        (
            json!({}),
            json!({"scores": [{"column": "probabilities", "element": 3}]}),
            Some("no element 3"),
        ),
        (
            json!({}),
            json!({"scores": ["label"]}),
            Some("neither fp32 nor fp64"),
        ),
        (json!({}), json!({"scores": null}), Some("performance.prediction")),
        (json!({}), json!({"scores": null, "prediction": "label"}), None),
        (
            json!({}),
            json!({"scores": null, "prediction": "label", "metrics": ["roc_auc"]}),
            Some("without scores"),
        ),
        (json!({}), json!({"positive": null}), Some("performance.positive")),
        (json!({}), json!({"positive": 1.5}), Some("is no label")),
        (
            json!({}),
            json!({"threshold": 1.0}),
            Some("performance.threshold"),
        ),
        (
            json!({}),
            json!({"metrics": ["mae"]}),
            Some("`mae` is no metric of binary"),
        ),
        (json!({}), json!({"metrics": ["acuracy"]}), Some("acuracy")),
        (json!({}), json!({"segments": ["x"]}), Some("makes no segments")),
        (
            json!({}),
            json!({"segments": ["regoin"]}),
            Some("no column `regoin`; it has customer, region, x"),
        ),
        (json!({}), json!({"segments": ["region", "revision"]}), None),
        (
            json!({}),
            json!({"window": {}}),
            Some("either `seconds` or `rows`"),
        ),
        (
            json!({}),
            json!({"window": {"seconds": 60, "rows": 5}}),
            Some("either `seconds` or `rows`"),
        ),
        (
            json!({}),
            json!({"window": {"seconds": 60, "step_seconds": 61}}),
            Some("step_seconds is 61"),
        ),
        (
            json!({}),
            json!({"window": {"seconds": 100, "step_seconds": 99}}),
            Some("100 pieces"),
        ),
        (
            json!({}),
            json!({"window": {"rows": 100, "lateness_seconds": 5}}),
            Some("no seconds"),
        ),
        (
            json!({}),
            json!({"alarm": {"n": 3, "m": 2}}),
            Some("performance.alarm"),
        ),
        (
            json!({}),
            json!({"degradation": {"alpha": 0.0}}),
            Some("degradation.alpha"),
        ),
        (
            json!({}),
            json!({"naive_error": 1.0}),
            Some("naive_error: binary predictions have none"),
        ),
        (json!({}), json!({"treshold": 0.5}), Some("treshold")),
        (
            json!({"label": {"name": "bought", "type": "fp32"}}),
            json!({}),
            Some("no label of binary"),
        ),
        (
            json!({"label": {"name": "bought", "type": "text"}}),
            json!({}),
            Some("write text, in quotes"),
        ),
        (
            json!({"label": {"name": "bought", "type": "text"}}),
            json!({"positive": "yes"}),
            None,
        ),
        (
            json!({"label": {"name": "bought", "type": "boolean"}}),
            json!({}),
            Some("write true or false"),
        ),
        (
            json!({}),
            json!({"positive": "yes"}),
            Some("write a whole number"),
        ),
        (
            json!({"label": {"name": "row", "type": "int64"}}),
            json!({}),
            Some("the columns of feedback"),
        ),
        (
            json!({"label": {"name": "y", "type": "int64", "shape": [2]}}),
            json!({}),
            Some("has a shape"),
        ),
        (
            json!({"lateness_seconds": 0}),
            json!({}),
            Some("lateness_seconds"),
        ),
        (
            json!({"join": {"key": {"columns": ["id"]}}}),
            json!({}),
            Some("no column `id`"),
        ),
        (
            json!({"join": {"key": {"columns": ["x"]}}}),
            json!({}),
            Some("can't be a key"),
        ),
        (
            json!({"join": {"key": {"columns": ["customer"]}}}),
            json!({}),
            None,
        ),
        (
            json!({"join": {"key": {"columns": []}}}),
            json!({}),
            Some("0 columns"),
        ),
    ];
    for (more_ground, more_performance, wrong) in cases {
        let (g, p) = (with(&ground, &more_ground), with(&binary, &more_performance));
        let found = check(&g, &p, Some(log.clone()));
        match wrong {
            None => assert_eq!(found, Ok(()), "{g} {p}"),
            Some(word) => {
                let message = found.expect_err(&format!("{g} {p}"));
                assert!(message.contains(word), "{word}: {message}");
            }
        }
    }
    for (log, word) in [
        (None, "give the file a `log`"),
        (
            Some(json!({"sample": 1, "redact": {"probability": "drop"}})),
            "log.redact.probability",
        ),
    ] {
        let message = check(&ground, &binary, log).unwrap_err();
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn tasks_need_what_they_are_told_by() {
    let log = || Some(json!({"sample": 1}));
    let (text, number) = (
        json!({"label": {"name": "y", "type": "text"}}),
        json!({"label": {"name": "y", "type": "fp64"}}),
    );
    let whole = json!({"label": {"name": "y", "type": "int64"}});
    let window = json!({"rows": 100});
    let cases = [
        (
            &whole,
            json!({"task": "regression", "prediction": "number"}),
            None,
        ),
        (&text, json!({"task": "multiclass", "prediction": "label"}), None),
        (
            &text,
            json!({"task": "multiclass", "scores": ["probabilities"], "classes": ["a", "b", "c"]}),
            None,
        ),
        (
            &text,
            json!({"task": "multiclass", "scores": ["probabilities"], "classes": ["a", "b"]}),
            Some("has 3 elements where 2"),
        ),
        (
            &text,
            json!({"task": "multiclass", "scores": ["probabilities"]}),
            Some("go together"),
        ),
        (
            &text,
            json!({"task": "multiclass", "prediction": "label", "estimate": true}),
            Some("performance.estimate: estimates are made of scores"),
        ),
        (
            &number,
            json!({"task": "regression", "prediction": "number"}),
            None,
        ),
        (
            &number,
            json!({"task": "regression", "prediction": "number", "metrics": ["directional_accuracy"]}),
            Some("directional_accuracy"),
        ),
        (
            &number,
            json!({"task": "forecast", "prediction": "number", "season": 7, "metrics": ["mase", "directional_accuracy"]}),
            None,
        ),
        (
            &number,
            json!({"task": "forecast", "prediction": "number", "season": 7, "naive_error": 2.0}),
            Some("season"),
        ),
        (
            &text,
            json!({"task": "regression", "prediction": "number"}),
            Some("no label of regression"),
        ),
    ];
    for (ground, performance, wrong) in cases {
        let performance = with(&performance, &json!({"window": window}));
        let found = check(ground, &performance, log());
        match wrong {
            None => assert_eq!(found, Ok(()), "{performance}"),
            Some(word) => assert!(found.unwrap_err().contains(word), "{performance}"),
        }
    }
}
