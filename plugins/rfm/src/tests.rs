use caisson_plugin::serde_json::Value;
use caisson_plugin::testing::{assert_column, batch, configure, json, numbers, schema};

use super::*;

#[test]
fn lifetimes_and_pandas_give_the_same() {
    reference_cases::check_transform::<Rfm>(include_str!("../../reference/rfm.json"));
}

fn config(more: Value) -> Value {
    let mut config =
        json!({"transactions": "log", "definition": "lifetimes", "reference_date": "1970-02-01"});
    if let (Some(config), Some(more)) = (config.as_object_mut(), more.as_object()) {
        config.extend(more.clone());
    }
    config
}

#[test]
fn the_formulas_by_hand() {
    // Days 0, 10 (two orders) and 30; the reference day is 31; day 40 is later.
    let log = r#"[["1970-01-11", 5], ["1970-01-01", 1], ["1970-01-31T23:59:59Z", 8], ["1970-01-11", 2.5],
        ["1970-02-10", 100]]"#;
    let input = batch!["log": text = [log, "[]", None]];
    let expect = |config: Value, expected: [(&str, f64); 5]| {
        let plugin = configure::<Rfm>(config, input.schema()).expect("fits");
        let output = plugin.apply(input.clone()).expect("summarises");
        for (name, value) in expected {
            assert_column(&output, name, &[Some(value), None, None], 1e-6);
        }
    };
    expect(
        config(json!({})),
        [
            ("recency", 30.0),
            ("frequency", 2.0),
            ("T", 31.0),
            ("monetary_value", 7.75),
            ("average_order_value", 4.125),
        ],
    );
    expect(
        config(json!({"definition": "marketing", "prefix": "m_"})),
        [
            ("m_recency", 1.0),
            ("m_frequency", 4.0),
            ("m_T", 31.0),
            ("m_monetary_value", 16.5),
            ("m_average_order_value", 4.125),
        ],
    );
    expect(
        config(json!({"include_first_transaction": true, "freq_multiplier": 10})),
        [
            ("recency", 3.0),
            ("frequency", 3.0),
            ("T", 3.1),
            ("monetary_value", 5.5),
            ("average_order_value", 4.125),
        ],
    );
}

#[test]
fn empty_places_are_told_from_transactions() {
    let arrays = json!({"dates": "d", "amounts": "a"});
    let run = |input: Batch, arrays: &Value| {
        let config = json!({
            "arrays": arrays, "definition": "marketing", "reference_date": "1970-01-31",
            "outputs": ["frequency", "monetary_value"],
        });
        let plugin = configure::<Rfm>(config, input.schema()).expect("fits");
        plugin.apply(input)
    };
    let input = batch![
        "d": int64[3] = [0, i64::MIN, 2, 5, 6, i64::MIN, i64::MIN, i64::MIN, i64::MIN],
        "a": fp32[3] = [1.0, 9.0, f32::NAN, 2.0, 3.0, 0.0, 0.0, 0.0, 0.0],
    ];
    let output = run(input, &arrays).expect("summarises");
    assert_eq!(
        output.schema().to_string(),
        "(frequency: fp32?, monetary_value: fp32?)"
    );
    assert_column(&output, "frequency", &[Some(1.0), Some(2.0), None], 0.0);
    assert_column(&output, "monetary_value", &[Some(1.0), Some(5.0), None], 0.0);

    let padded = json!({"dates": "d", "amounts": "a", "padding": 0});
    let input = batch!["d": int32[2] = [0, 3], "a": int16[2] = [7, 8]];
    assert_column(
        &run(input, &padded).expect("summarises"),
        "monetary_value",
        &[Some(8.0)],
        0.0,
    );

    let counted = json!({"dates": "d", "amounts": "a", "count": "n"});
    let input = |n: u8, a: f32| batch!["d": int32[2] = [0, 3], "a": fp32[2] = [7.0, a], "n": uint8 = [n]];
    assert_column(
        &run(input(1, f32::NAN), &counted).expect("summarises"),
        "monetary_value",
        &[Some(7.0)],
        0.0,
    );
    let error = run(input(2, f32::NAN), &counted).expect_err("NaN").to_string();
    assert_eq!(error, "bad input in row 0, column `d`: the amount at [1] is NaN");
    let error = run(input(3, 1.0), &counted).expect_err("3 of 2").to_string();
    assert_eq!(
        error,
        "bad input in row 0, column `n`: 3 transactions in 2 places"
    );
    let infinite = run(input(2, f32::INFINITY), &counted)
        .expect_err("infinite")
        .to_string();
    assert!(infinite.contains("the amount at [1] is inf"), "{infinite}");
}

#[test]
fn bad_text_is_named() {
    let refused = |log: &str, config: Value| {
        let input = batch!["log": text = ["[[\"1970-01-01\", 1]]", log]];
        let plugin = configure::<Rfm>(config, input.schema()).expect("fits");
        plugin.apply(input).expect_err("refused").to_string()
    };
    for (log, message) in [
        ("", "no JSON list of [date, amount]"),
        ("[[\"1970-01-01\"]]", "no JSON list of [date, amount]"),
        ("[[\"1970-01-01\", null]]", "no JSON list of [date, amount]"),
        ("[[\"1970-01-01\", 1e999]]", "no JSON list of [date, amount]"),
        (
            "[[\"01/02/1970\", 1]]",
            "\"01/02/1970\" is no date such as 1997-01-01",
        ),
    ] {
        let error = refused(log, config(json!({})));
        assert!(
            error.contains("row 1, column `log`") && error.contains(message),
            "{error}"
        );
    }
    let deep = refused(&"[".repeat(10_000), config(json!({})));
    assert!(deep.contains("row 1"), "{deep}");
    let error = refused("[]", config(json!({"empty": "error"})));
    assert!(
        error.contains("row 1, column `log`: there is no transaction up to the reference day"),
        "{error}"
    );
}

#[test]
fn a_column_of_reference_days() {
    let input =
        batch!["log": text = ["[[\"1970-01-01\", 1]]", "[[\"1970-01-01\", 1]]"], "as_of": int32 = [3, None]];
    let config = config(json!({"reference_date": {"column": "as_of"}, "outputs": ["T"], "empty": "error"}));
    let plugin = configure::<Rfm>(config, input.schema()).expect("fits");
    assert_eq!(plugin.output().to_string(), "(T: fp32?)");
    assert_eq!(
        numbers(&plugin.apply(input).expect("summarises"), "T"),
        [Some(3.0), None]
    );
}

#[test]
fn what_can_not_be_missing_is_declared_so() {
    let schema = schema!["log": text, "x": fp32];
    let plugin =
        configure::<Rfm>(config(json!({"empty": "error", "outputs": ["recency"]})), &schema).expect("fits");
    assert_eq!(plugin.output().to_string(), "(x: fp32, recency: fp32)");
    assert_eq!(
        plugin.apply(Batch::empty(schema)).expect("nothing to do").rows(),
        0
    );
}

#[test]
fn what_does_not_fit_is_refused_at_configure() {
    let schema = schema!["log": text, "d": int32[3], "a": fp32[4], "n": fp32, "x": fp32, "T": fp32];
    let refused = |config| {
        configure::<Rfm>(config, &schema)
            .expect_err("refused")
            .to_string()
    };
    assert!(refused(config(json!({"transactions": "y"}))).contains("there is no column `y`"));
    assert!(refused(config(json!({"transactions": "x"}))).contains("`x: fp32` is not a scalar text"));
    assert!(refused(config(json!({"transactions": null}))).contains("`transactions` or `arrays`"));
    let arrays = json!({"dates": "d", "amounts": "a"});
    assert!(refused(config(json!({"arrays": arrays}))).contains("one of the two"));
    assert!(refused(config(json!({"transactions": null, "arrays": arrays}))).contains("the same shape"));
    let wrong = json!({"dates": "a", "amounts": "a"});
    assert!(
        refused(config(json!({"transactions": null, "arrays": wrong}))).contains("`a: fp32[4]` is not int32")
    );
    let wrong = json!({"dates": "d", "amounts": "x"});
    assert!(
        refused(config(json!({"transactions": null, "arrays": wrong}))).contains("numbers of one dimension")
    );
    let wrong = json!({"dates": "d", "amounts": "d", "count": "n"});
    assert!(
        refused(config(json!({"transactions": null, "arrays": wrong})))
            .contains("`n: fp32` is not a scalar of an integer")
    );
    assert!(refused(config(json!({"reference_date": "today"}))).contains("\"today\" is no date"));
    assert!(
        refused(config(json!({"reference_date": {"column": "x"}})))
            .contains("`x: fp32` is not a scalar of text")
    );
    assert!(refused(config(json!({"freq_multiplier": 0}))).contains("`freq_multiplier` must be above 0"));
    assert!(refused(config(json!({"outputs": []}))).contains("nothing to compute"));
    assert!(refused(config(json!({}))).contains("two fields are named `T`"));
    let both = json!({"definition": "marketing", "include_first_transaction": true});
    assert!(refused(config(both)).contains("marketing counts all purchases"));
}

#[test]
fn the_readme_example_works() {
    let output = reference_cases::readme_example::<Rfm>().to_string();
    assert!(
        output.contains(
            "recency: fp32?, frequency: fp32?, T: fp32?, monetary_value: fp32?, average_order_value: fp32?)"
        ),
        "{output}"
    );
}
