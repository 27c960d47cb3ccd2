use caisson_plugin::testing::{assert_column, batch, configure, json, schema};

use super::*;

#[test]
fn scikit_learn_gives_the_same() {
    reference_cases::check_transform::<Standardize>(include_str!("../../reference/standardize.json"));
}

#[test]
fn columns_of_several_types_are_scaled_together() {
    let input = batch![
        "a": fp32 = [1.0, None, 3.0],
        "n": int64 = [10, 20, None],
        "s": text = ["x", "y", "z"],
        "b": boolean = [true, false, true],
        "f": fp64 = [f64::NAN, f64::INFINITY, -0.0],
    ];
    let config = json!({"columns": {
        "a": {"mean": 1, "scale": 2}, "n": {"mean": 10}, "b": {"mean": 0.5, "scale": 0.5}, "f": {"scale": 4},
    }});
    let plugin = configure::<Standardize>(config, input.schema()).expect("fits");
    assert_eq!(
        plugin.output().to_string(),
        "(a: fp32?, n: fp64?, s: text, b: fp64, f: fp64)"
    );
    let output = plugin.apply(input).expect("scales");
    assert_column(&output, "a", &[Some(0.0), None, Some(1.0)], 0.0);
    assert_column(&output, "n", &[Some(0.0), Some(10.0), None], 0.0);
    assert_column(&output, "b", &[1.0, -1.0, 1.0].map(Some), 0.0);
    assert_column(&output, "f", &[f64::NAN, f64::INFINITY, 0.0].map(Some), 0.0);
}

#[test]
fn large_offsets_are_taken_off_before_rounding() {
    // Seconds since 1970, a second apart: the same number in fp32.
    let input = batch!["t": int64 = [1_700_000_001, 1_700_000_002]];
    let config = json!({"columns": {"t": {"mean": 1_700_000_000}}, "type": "fp32"});
    let plugin = configure::<Standardize>(config, input.schema()).expect("fits");
    assert_column(
        &plugin.apply(input).expect("scales"),
        "t",
        &[Some(1.0), Some(2.0)],
        0.0,
    );
}

#[test]
fn empty_batches_and_batches_of_gaps_work() {
    let schema = schema!["a": fp32?, "t": fp32[0]];
    let config = json!({"columns": {"a": {"mean": 1, "scale": 2}, "t": {"mean": [], "scale": 3}}});
    let plugin = configure::<Standardize>(config, &schema).expect("fits");
    assert_eq!(
        plugin.apply(Batch::empty(schema)).expect("nothing to do").rows(),
        0
    );
    let gaps = batch!["a": fp32 = [None, None]];
    let plugin =
        configure::<Standardize>(json!({"columns": {"a": {"mean": 1}}}), gaps.schema()).expect("fits");
    assert_column(&plugin.apply(gaps).expect("scales"), "a", &[None, None], 0.0);
}

#[test]
fn what_does_not_fit_is_refused_at_configure() {
    let schema = schema!["a": fp32, "s": text, "t": fp32[2], "h": bf16];
    let refused = |config| {
        configure::<Standardize>(config, &schema)
            .expect_err("refused")
            .to_string()
    };
    assert!(refused(json!({"columns": {}})).contains("nothing to scale"));
    assert!(refused(json!({"columns": {"b": {}}})).contains("there is no column `b`"));
    assert!(refused(json!({"columns": {"s": {}}})).contains("`s: text` is not fp32, fp64, an integer type"));
    assert!(refused(json!({"columns": {"h": {}}})).contains("`h: bf16` is not"));
    assert!(refused(json!({"columns": {"a": {"scale": -1}}})).contains("the scale -1 is negative"));
    assert!(refused(json!({"columns": {"a": {"scale": 1e-60}}})).contains("rounds to 0"));
    assert!(refused(json!({"columns": {"a": {"mean": 1e60}}})).contains("overflow"));
    assert!(
        refused(json!({"columns": {"t": {"mean": [1, 2, 3]}}})).contains("lists 3 values where a row has 2")
    );
    assert!(refused(json!({"columns": {"a": {"std": 1}}})).contains("unknown field `std`"));
}

#[test]
fn the_readme_example_works() {
    let output = reference_cases::readme_example::<Standardize>().to_string();
    assert!(
        output.contains("(age: fp32?, city: text?, embedding: fp32[2]?"),
        "{output}"
    );
}
