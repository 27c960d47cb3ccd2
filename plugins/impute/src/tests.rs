use caisson_plugin::testing::{assert_column, batch, configure, json, numbers, schema, texts};

use super::*;

#[test]
fn scikit_learn_gives_the_same() {
    reference_cases::check_transform::<Impute>(include_str!("../../reference/impute.json"));
}

#[test]
fn missing_is_not_nan() {
    let input = batch!["x": fp32 = [1.0, None, f32::NAN, f32::INFINITY]];
    let keep = configure::<Impute>(json!({"columns": {"x": 7}}), input.schema()).expect("fits");
    let kept = [Some(1.0), Some(7.0), Some(f64::NAN), Some(f64::INFINITY)];
    assert_column(&keep.apply(input.clone()).expect("fills"), "x", &kept, 0.0);
    let both = configure::<Impute>(json!({"columns": {"x": 7}, "nan": true}), input.schema()).expect("fits");
    let filled = [Some(1.0), Some(7.0), Some(7.0), Some(f64::INFINITY)];
    assert_column(&both.apply(input).expect("fills"), "x", &filled, 0.0);
}

#[test]
fn every_type_is_filled_and_declared_present() {
    let input = batch![
        "b": boolean = [true, None, false],
        "u": uint64 = [1, None, 3],
        "i": int8 = [-1, None, -3],
        "s": text = ["a", None, "c"],
        "other": text = ["x", None, "z"],
        "t": fp32[2] = [1.0, 2.0, None, None, 5.0, 6.0],
        "p": boolean[2] = [true, true, None, None, false, false],
    ];
    let config = json!({"columns": {
        "b": true, "u": u64::MAX, "i": -128, "s": "é", "t": [10, 20], "p": [false, true],
    }});
    let plugin = configure::<Impute>(config, input.schema()).expect("fits");
    assert_eq!(
        plugin.output().to_string(),
        "(b: boolean, u: uint64, i: int8, s: text, other: text?, t: fp32[2], p: boolean[2])"
    );
    let output = plugin.apply(input).expect("fills");
    assert_column(&output, "b", &[Some(1.0), Some(1.0), Some(0.0)], 0.0);
    assert_eq!(
        output.column_named("u").expect("u").uint64s(),
        Some(&[1, u64::MAX, 3][..])
    );
    assert_column(&output, "i", &[Some(-1.0), Some(-128.0), Some(-3.0)], 0.0);
    assert_eq!(texts(&output, "s"), [Some("a"), Some("é"), Some("c")]);
    assert_eq!(texts(&output, "other"), [Some("x"), None, Some("z")]);
    let t = [1.0, 2.0, 10.0, 20.0, 5.0, 6.0].map(Some);
    assert_column(&output, "t", &t, 0.0);
    assert_column(&output, "p", &[1.0, 1.0, 0.0, 1.0, 0.0, 0.0].map(Some), 0.0);
}

#[test]
fn indicators_say_what_was_filled() {
    let input = batch![
        "a": fp64 = [1.0, None, f64::NAN],
        "s": text = ["x", "y", None],
        "t": fp32[2]? = [1.0, f32::NAN, None, None, 5.0, 6.0],
    ];
    let config = json!({
        "columns": {"a": 0, "s": "", "t": 9}, "nan": true, "add_indicator": ["t", "s"],
    });
    let plugin = configure::<Impute>(config, input.schema()).expect("fits");
    assert_eq!(
        plugin.output().to_string(),
        "(a: fp64, s: text, t: fp32[2], missingindicator_s: boolean, missingindicator_t: boolean[2])"
    );
    let output = plugin.apply(input).expect("fills");
    assert_column(&output, "missingindicator_s", &[0.0, 0.0, 1.0].map(Some), 0.0);
    assert_column(
        &output,
        "missingindicator_t",
        &[0.0, 1.0, 1.0, 1.0, 0.0, 0.0].map(Some),
        0.0,
    );
}

#[test]
fn empty_batches_and_batches_of_gaps_work() {
    let schema = schema!["x": fp32?, "s": text?];
    let plugin = configure::<Impute>(json!({"columns": {"x": 1.5, "s": "-"}}), &schema).expect("fits");
    assert_eq!(
        plugin.apply(Batch::empty(schema)).expect("nothing to do").rows(),
        0
    );
    let gaps = batch!["x": fp32 = [None, None], "s": text = [None, None]];
    let output = plugin.apply(gaps).expect("fills");
    assert_eq!(numbers(&output, "x"), [Some(1.5), Some(1.5)]);
    assert_eq!(texts(&output, "s"), [Some("-"), Some("-")]);
}

#[test]
fn what_does_not_fit_is_refused_at_configure() {
    let schema = schema!["x": fp32?, "n": int8?, "t": fp32[2]?, "h": fp16?];
    let refused = |config| {
        configure::<Impute>(config, &schema)
            .expect_err("refused")
            .to_string()
    };
    assert!(refused(json!({"columns": {}})).contains("nothing to fill"));
    assert!(refused(json!({"columns": {"y": 1}})).contains("there is no column `y`; the columns are `x`"));
    assert!(refused(json!({"columns": {"x": "a"}})).contains("column `x`: \"a\" is no value of type fp32"));
    assert!(refused(json!({"columns": {"n": 128}})).contains("column `n`: 128 is no value of type int8"));
    assert!(refused(json!({"columns": {"n": 0.5}})).contains("0.5 is no value of type int8"));
    assert!(refused(json!({"columns": {"t": [1, 2, 3]}})).contains("lists 3 values where a row has 2"));
    assert!(refused(json!({"columns": {"x": [1]}})).contains("column `x`"));
    assert!(refused(json!({"columns": {"h": 1}})).contains("`h: fp16?` is not of a type that can be filled"));
    assert!(refused(json!({"columns": {"x": 1}, "add_indicator": ["n"]})).contains("lists `n`"));
    let taken = schema!["x": fp32?, "missingindicator_x": fp32];
    let error = configure::<Impute>(json!({"columns": {"x": 1}, "add_indicator": true}), &taken);
    assert!(
        error
            .expect_err("the name is taken")
            .to_string()
            .contains("missingindicator_x")
    );
}

#[test]
fn the_readme_example_works() {
    let output = reference_cases::readme_example::<Impute>().to_string();
    assert!(
        output.contains("age: fp32, city: text, embedding: fp32[2],"),
        "{output}"
    );
}
