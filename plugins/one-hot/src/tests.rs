use caisson_plugin::testing::{assert_column, batch, configure, json, schema};

use super::*;

#[test]
fn scikit_learn_gives_the_same() {
    reference_cases::check_transform::<OneHot>(include_str!("../../reference/one-hot.json"));
}

#[test]
fn unknown_and_missing_values_are_named() {
    let config = json!({"columns": {"city": {"categories": ["Kiel", "Ulm"]}}});
    let error = |input: Batch| {
        let plugin = configure::<OneHot>(config.clone(), input.schema()).expect("fits");
        plugin.apply(input).expect_err("refused").to_string()
    };
    assert_eq!(
        error(batch!["city": text = ["Kiel", "Köln"]]),
        "bad input in row 1, column `city`: \"Köln\" is none of the 2 categories"
    );
    assert_eq!(
        error(batch!["city": text = ["Kiel", "Ulm", None]]),
        "bad input in row 2, column `city`: is missing, and no category stands for missing values"
    );
}

#[test]
fn every_kind_of_category_is_encoded_in_its_place() {
    let input = batch![
        "before": text = ["a", "b", "c"],
        "b": boolean = [true, None, false],
        "n": int64 = [i64::MAX, 0, -5],
        "f": fp32 = [0.1, -0.0, f32::NAN],
        "after": int8 = [1, 2, 3],
    ];
    let config = json!({
        "columns": {
            "b": {"categories": [false, true, null]},
            "n": {"categories": [i64::MAX, i64::MAX - 1, -5], "infrequent": [i64::MAX - 1, -5]},
            "f": {"categories": [0, 0.1]},
        },
        "handle_unknown": "ignore",
    });
    let plugin = configure::<OneHot>(config, input.schema()).expect("fits");
    assert_eq!(
        plugin.output().to_string(),
        "(before: text, b_false: fp32, b_true: fp32, b_missing: fp32, n_9223372036854775807: fp32, \
         n_infrequent: fp32, f_0: fp32, f_0.1: fp32, after: int8)"
    );
    let output = plugin.apply(input).expect("encodes");
    let expect = |name: &str, values: [f64; 3]| assert_column(&output, name, &values.map(Some), 0.0);
    expect("b_false", [0.0, 0.0, 1.0]);
    expect("b_true", [1.0, 0.0, 0.0]);
    expect("b_missing", [0.0, 1.0, 0.0]);
    expect("n_9223372036854775807", [1.0, 0.0, 0.0]);
    expect("n_infrequent", [0.0, 0.0, 1.0]);
    expect("f_0", [0.0, 1.0, 0.0]);
    expect("f_0.1", [1.0, 0.0, 0.0]);
    expect("after", [1.0, 2.0, 3.0]);
}

#[test]
fn outputs_may_all_be_dropped() {
    let input = batch!["x": text = ["a", "a"], "y": int8 = [1, 2]];
    for (form, schema) in [("columns", "(y: int8)"), ("tensor", "(x: fp32[0], y: int8)")] {
        let config = json!({"columns": {"x": {"categories": ["a"], "drop": "first"}}, "output": form});
        let plugin = configure::<OneHot>(config, input.schema()).expect("fits");
        assert_eq!(plugin.output().to_string(), schema);
        assert_eq!(plugin.apply(input.clone()).expect("encodes").rows(), 2);
    }
}

#[test]
fn empty_batches_and_batches_of_gaps_work() {
    let gaps = batch!["x": text = [None, None]];
    let config = json!({
        "columns": {"x": {"categories": ["a", "b"], "infrequent": ["b"]}}, "handle_unknown": "infrequent_if_exist",
    });
    let plugin = configure::<OneHot>(config, gaps.schema()).expect("fits");
    assert_eq!(
        plugin
            .apply(Batch::empty(gaps.schema().clone()))
            .expect("nothing to do")
            .rows(),
        0
    );
    assert_column(
        &plugin.apply(gaps).expect("encodes"),
        "x_infrequent",
        &[Some(1.0), Some(1.0)],
        0.0,
    );
}

#[test]
fn what_does_not_fit_is_refused_at_configure() {
    let schema = schema!["s": text, "n": int8, "t": text[2], "s_b": fp32];
    let refused = |columns| {
        configure::<OneHot>(json!({"columns": columns}), &schema)
            .expect_err("refused")
            .to_string()
    };
    assert!(refused(json!({})).contains("nothing to encode"));
    assert!(refused(json!({"y": {"categories": ["a"]}})).contains("there is no column `y`"));
    assert!(refused(json!({"t": {"categories": ["a"]}})).contains("`t: text[2]` is not a scalar"));
    assert!(refused(json!({"s": {"categories": []}})).contains("0 outputs"));
    assert!(refused(json!({"s": {"categories": [1]}})).contains("1 is no value of type text"));
    assert!(refused(json!({"n": {"categories": [128]}})).contains("128 is no value of type int8"));
    assert!(refused(json!({"s": {"categories": ["a", "a"]}})).contains("\"a\" is listed twice"));
    assert!(refused(json!({"s": {"categories": [null, null]}})).contains("null is listed twice"));
    assert!(
        refused(json!({"s": {"categories": ["a"], "infrequent": ["b"]}}))
            .contains("infrequent b is no category")
    );
    let drop = json!({"s": {"categories": ["a"], "drop": {"category": "c"}}});
    assert!(refused(drop).contains("\"c\" can't be dropped"));
    assert!(refused(json!({"s": {"categories": ["b"]}})).contains("two fields are named `s_b`"));
}

#[test]
fn the_readme_example_works() {
    let output = reference_cases::readme_example::<OneHot>().to_string();
    assert!(
        output.contains("city_Bonn: fp32, city_Kiel: fp32, city_missing: fp32, city_infrequent: fp32,"),
        "{output}"
    );
}
