use caisson_plugin::testing::{assert_column, batch, configure, json, schema};

use super::*;

#[test]
fn pandas_gives_the_same() {
    reference_cases::check_transform::<DatetimeParts>(include_str!("../../reference/datetime-parts.json"));
}

#[test]
fn seasons_turn_with_the_hemisphere() {
    let days = batch!["t": text = ["2024-01-15", "2024-03-01", "2024-06-30", "2024-11-30", "2024-12-01"]];
    for (hemisphere, seasons) in [
        ("north", [0.0, 1.0, 2.0, 3.0, 0.0]),
        ("south", [2.0, 3.0, 0.0, 1.0, 2.0]),
    ] {
        let config = json!({"columns": {"t": {"parts": ["season"]}}, "hemisphere": hemisphere});
        let plugin = configure::<DatetimeParts>(config, days.schema()).expect("fits");
        assert_column(
            &plugin.apply(days.clone()).expect("parts"),
            "t_season",
            &seasons.map(Some),
            0.0,
        );
    }
}

#[test]
fn the_offset_moves_the_day() {
    let input = batch!["t": int64 = [1_735_685_999, 1_735_686_000]]; // 2024-12-31T22:59:59Z and a second later
    let config = json!({"columns": {"t": {"unit": "s", "parts": ["year", "hour", "is_holiday"]}},
        "utc_offset": "+01:00", "holidays": ["2025-01-01"]});
    let plugin = configure::<DatetimeParts>(config, input.schema()).expect("fits");
    assert_eq!(
        plugin.output().to_string(),
        "(t_year: int32, t_hour: int32, t_is_holiday: boolean)"
    );
    let output = plugin.apply(input).expect("parts");
    assert_column(&output, "t_year", &[2024.0, 2025.0].map(Some), 0.0);
    assert_column(&output, "t_hour", &[23.0, 0.0].map(Some), 0.0);
    assert_column(&output, "t_is_holiday", &[0.0, 1.0].map(Some), 0.0);
}

#[test]
fn what_is_no_date_is_refused_or_missing() {
    let input = batch!["t": text = ["2024-02-29", None, "29.02.2024"], "n": int64 = [0, i64::MAX, i64::MIN]];
    let config = |column: &str, unit: Option<&str>, invalid: &str| {
        json!({
            "columns": {column: {"unit": unit, "parts": ["day", "is_leap_year"], "cyclic": ["month"]}},
            "invalid": invalid, "keep": true,
        })
    };
    let refused = |config| {
        let plugin = configure::<DatetimeParts>(config, input.schema()).expect("fits");
        plugin.apply(input.clone()).expect_err("refused").to_string()
    };
    assert_eq!(
        refused(config("t", None, "error")),
        "bad input in row 2, column `t`: \"29.02.2024\" is no date or time such as 2024-02-29 or \
         2024-02-29T23:59:59+02:00"
    );
    for unit in ["s", "days", "ms"] {
        let error = refused(config("n", Some(unit), "error"));
        assert!(
            error.starts_with("bad input in row 1, column `n`: 9223372036854775807 lies outside"),
            "{error}"
        );
    }
    let plugin = configure::<DatetimeParts>(config("t", None, "missing"), input.schema()).expect("fits");
    assert_eq!(
        plugin.output().to_string(),
        "(t: text?, n: int64, t_day: int32?, t_is_leap_year: boolean?, t_month_sin: fp32?, t_month_cos: fp32?)"
    );
    let output = plugin.apply(input).expect("parts");
    assert_column(&output, "t_day", &[Some(29.0), None, None], 0.0);
    assert_column(&output, "t_is_leap_year", &[Some(1.0), None, None], 0.0);
    assert_column(
        &output,
        "t_month_cos",
        &[Some((std::f64::consts::TAU / 12.0).cos()), None, None],
        1e-7,
    );
}

#[test]
fn empty_batches_and_batches_of_gaps_work() {
    let gaps = batch!["t": int32 = [None, None]];
    let config = json!({"columns": {"t": {"unit": "days", "parts": ["year"]}}});
    let plugin = configure::<DatetimeParts>(config, gaps.schema()).expect("fits");
    assert_eq!(
        plugin
            .apply(Batch::empty(gaps.schema().clone()))
            .expect("nothing to do")
            .rows(),
        0
    );
    assert_column(&plugin.apply(gaps).expect("parts"), "t_year", &[None, None], 0.0);
}

#[test]
fn what_does_not_fit_is_refused_at_configure() {
    let schema = schema!["t": text, "n": int64, "x": fp32, "t_year": int8];
    let refused = |config| {
        configure::<DatetimeParts>(config, &schema)
            .expect_err("refused")
            .to_string()
    };
    let one = |column: &str, parts| json!({"columns": {column: parts}});
    assert!(refused(json!({"columns": {}})).contains("nothing to take apart"));
    assert!(refused(one("y", json!({"parts": ["day"]}))).contains("there is no column `y`"));
    assert!(
        refused(one("x", json!({"parts": ["day"]})))
            .contains("`x: fp32` is not a scalar of text, int32 or int64")
    );
    assert!(refused(one("t", json!({}))).contains("asks for no parts"));
    assert!(
        refused(one("t", json!({"unit": "s", "parts": ["day"]}))).contains("is text, which has no `unit`")
    );
    assert!(refused(one("n", json!({"parts": ["day"]}))).contains("give their `unit`"));
    assert!(refused(one("t", json!({"parts": ["year"]}))).contains("two fields are named `t_year`"));
    assert!(refused(one("t", json!({"parts": ["day", "day"]}))).contains("two fields are named `t_day`"));
    assert!(refused(one("t", json!({"parts": ["century"]}))).contains("century"));
    let day = json!({"t": {"parts": ["day"]}});
    assert!(refused(json!({"columns": day, "utc_offset": "Europe/Berlin"})).contains("`utc_offset` must be"));
    assert!(
        refused(json!({"columns": day, "holidays": ["25.12."]})).contains("holiday \"25.12.\" is no date")
    );
}

#[test]
fn the_readme_example_works() {
    let output = reference_cases::readme_example::<DatetimeParts>().to_string();
    assert!(
        output.contains(
            "signup_season: int32, signup_month_sin: fp32, signup_month_cos: fp32, last_seen_hour: int32"
        ),
        "{output}"
    );
}
