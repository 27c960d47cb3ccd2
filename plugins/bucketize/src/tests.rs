use caisson_plugin::testing::{assert_column, batch, configure, json, schema, texts};

use super::*;

#[test]
fn numpy_scikit_learn_and_pandas_give_the_same() {
    reference_cases::check_transform::<Bucketize>(include_str!("../../reference/bucketize.json"));
}

#[test]
fn nan_and_outside_values_follow_the_config() {
    let input = batch!["x": fp32 = [f32::NAN, 5.0, None]];
    let result = |config: caisson_plugin::serde_json::Value| {
        let plugin = configure::<Bucketize>(json!({"columns": {"x": config}}), input.schema()).expect("fits");
        plugin.apply(input.clone())
    };
    let error = result(json!({"edges": [0, 9]})).expect_err("NaN").to_string();
    assert_eq!(error, "bad input in row 0, column `x`: NaN belongs to no bucket");
    let output = result(json!({"edges": [0, 9], "nan": "missing"})).expect("sorts");
    assert_column(&output, "x", &[None, Some(1.0), None], 0.0);
    let output = result(json!({"edges": [0, 9], "nan": "last", "outside": "clip"})).expect("sorts");
    assert_column(&output, "x", &[Some(0.0), Some(0.0), None], 0.0);
    let error = result(json!({"edges": [0, 1], "nan": "missing", "outside": "error"}))
        .expect_err("5")
        .to_string();
    assert_eq!(error, "bad input in row 1, column `x`: 5 lies outside the edges");
}

#[test]
fn labels_types_and_shapes() {
    let input = batch!["n": int16[2] = [-1, 0, 1, 2], "x": fp64 = [0.5, 7.0]];
    let config = json!({"columns": {
        "n": {"edges": [0, 2], "labels": ["low", "middle", "high"], "into": "band"},
        "x": {"edges": [1], "type": "fp32"},
    }});
    let plugin = configure::<Bucketize>(config, input.schema()).expect("fits");
    assert_eq!(
        plugin.output().to_string(),
        "(n: int16[2], x: fp32, band: text[2])"
    );
    let output = plugin.apply(input).expect("sorts");
    assert_eq!(
        texts(&output, "band"),
        ["low", "middle", "middle", "high"].map(Some)
    );
    assert_column(&output, "x", &[0.0, 1.0].map(Some), 0.0);
}

#[test]
fn nullability_is_what_can_happen() {
    let declared = |config: caisson_plugin::serde_json::Value, schema: &Arc<Schema>| {
        let plugin = configure::<Bucketize>(json!({"columns": {"x": config}}), schema).expect("fits");
        plugin.output().to_string()
    };
    let float = schema!["x": fp32];
    assert_eq!(declared(json!({"edges": [0]}), &float), "(x: int64)");
    assert_eq!(
        declared(json!({"edges": [0], "nan": "missing"}), &float),
        "(x: int64?)"
    );
    assert_eq!(
        declared(json!({"edges": [0, 1], "outside": "missing"}), &float),
        "(x: int64?)"
    );
    assert_eq!(
        declared(
            json!({"edges": [0], "nan": "missing", "type": "int32"}),
            &schema!["x": int8]
        ),
        "(x: int32)"
    );
    assert_eq!(
        declared(json!({"edges": [0]}), &schema!["x": int8?]),
        "(x: int64?)"
    );
}

#[test]
fn empty_batches_and_batches_of_gaps_work() {
    let gaps = batch!["x": fp32 = [None, None]];
    let config = json!({"columns": {"x": {"edges": [0], "labels": ["a", "b"]}}});
    let plugin = configure::<Bucketize>(config, gaps.schema()).expect("fits");
    assert_eq!(
        plugin
            .apply(Batch::empty(gaps.schema().clone()))
            .expect("nothing to do")
            .rows(),
        0
    );
    assert_eq!(texts(&plugin.apply(gaps).expect("sorts"), "x"), [None, None]);
}

#[test]
fn what_does_not_fit_is_refused_at_configure() {
    let schema = schema!["x": fp32, "s": text, "t": fp32[2]];
    let refused = |config| {
        configure::<Bucketize>(json!({"columns": config}), &schema)
            .expect_err("refused")
            .to_string()
    };
    assert!(refused(json!({})).contains("nothing to sort"));
    assert!(refused(json!({"y": {"edges": [1]}})).contains("there is no column `y`"));
    assert!(refused(json!({"s": {"edges": [1]}})).contains("`s: text` is not an integer type"));
    assert!(refused(json!({"x": {"edges": []}})).contains("0 edges; needed are 1"));
    assert!(refused(json!({"x": {"edges": [1], "outside": "clip"}})).contains("1 edges; needed are 2"));
    assert!(refused(json!({"x": {"edges": [1, 2, 2]}})).contains("must increase, and 2 follows 2"));
    assert!(refused(json!({"x": {"edges": [1], "labels": ["a"]}})).contains("1 labels for 2 buckets"));
    assert!(refused(json!({"t": {"edges": [1], "nan": "missing"}})).contains("needs a scalar"));
    assert!(refused(json!({"x": {"edges": [1], "into": "s"}})).contains("two fields are named `s`"));
}

#[test]
fn the_readme_example_works() {
    let output = reference_cases::readme_example::<Bucketize>().to_string();
    assert!(output.contains("age_band: text?"), "{output}");
}
