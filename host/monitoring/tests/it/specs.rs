//! What a deployment's file may say, and what is refused.

use caisson_data::DataType;
use caisson_monitoring::spec::{AgainstSpec, MonitoringSpec, WindowsSpec};

use crate::support::{monitor, plan, schema};

#[test]
fn lengths_and_bounds() {
    for (text, wrong) in [
        (r#"{"size": "1h"}"#, None),
        (r#"{"size": "1d", "step": "1h", "lateness": "2h"}"#, None),
        (r#"{"size": "1w"}"#, None),
        (r#"{"size": "1h30m", "step": "30m"}"#, None),
        (r#"{"size": 5000, "clock": "rows"}"#, None),
        (r#"{"size": 5000}"#, Some("event time")),
        (r#"{"size": "1h", "clock": "rows"}"#, Some("counts rows")),
        (r#"{"size": "1h", "step": 100}"#, Some("window.step")),
        (
            r#"{"size": 5000, "clock": "rows", "lateness": "1m"}"#,
            Some("lateness"),
        ),
        (r#"{"size": 10, "clock": "rows"}"#, Some("at least 100 rows")),
        (
            r#"{"size": 100000, "step": 100, "clock": "rows"}"#,
            Some("pieces"),
        ),
        (r#"{"size": "0s"}"#, Some("at least 1000")),
        (r#"{"size": "100ms"}"#, Some("at least 1000")),
        (r#"{"size": "61m", "step": "60m"}"#, Some("pieces")),
        (r#"{"size": "1h", "step": "2h"}"#, Some("gaps")),
        (r#"{"size": "1m", "lateness": "1d"}"#, Some("lateness")),
        (r#"{"size": "500w"}"#, Some("at most")),
        (r#"{"size": "1h", "sample_rows": 1000000}"#, Some("sample_rows")),
        (r#"{"size": "1h", "sample_rows": 0}"#, Some("sample_rows")),
        (r#"{"size": "1h", "rows_min": 0}"#, Some("rows_min")),
    ] {
        let spec: WindowsSpec = serde_json::from_str(text).unwrap();
        let found = spec.check("window");
        match wrong {
            None => assert_eq!(found, Ok(()), "{text}"),
            Some(word) => {
                let found = found.expect_err(text);
                assert!(
                    found.contains(word) && found.starts_with("window"),
                    "{text}: {found}"
                );
            }
        }
        let again: WindowsSpec = serde_json::from_str(&serde_json::to_string(&spec).unwrap()).unwrap();
        assert_eq!(again, spec);
    }
    for text in [
        r#"{}"#,
        r#"{"size": "1 fortnight"}"#,
        r#"{"size": "-1h"}"#,
        r#"{"size": "1y"}"#,
        r#"{"size": -5}"#,
        r#"{"size": "1h", "stp": "1h"}"#,
        r#"{"size": "99999999999999999999d"}"#,
    ] {
        assert!(serde_json::from_str::<WindowsSpec>(text).is_err(), "{text}");
    }
    assert!(AgainstSpec::Trailing(0).check("against").is_err());
    assert!(AgainstSpec::Trailing(53).check("against").is_err());
}

#[test]
fn a_monitoring_that_can_not_be_is_refused_with_both_sides_named() {
    let input = schema(&[
        ("x", DataType::Fp32),
        ("shop", DataType::Int64),
        ("country", DataType::Text),
    ]);
    let output = schema(&[("score", DataType::Fp32)]);
    for (text, wrong) in [
        (r#"{}"#, None),
        (r#"{"sample": 0}"#, None),
        (
            r#"{"segments": ["country", "shop"], "categorical": ["shop"]}"#,
            None,
        ),
        (r#"{"sample": 1.5}"#, Some("sample")),
        (r#"{"sample": -0.1}"#, Some("sample")),
        (r#"{"segments": ["contry"]}"#, Some("country: text?")),
        (r#"{"segments": ["x"]}"#, Some("makes no segments")),
        (r#"{"segments": ["shop", "shop"]}"#, Some("twice")),
        (r#"{"segments": ["a", "b", "c", "d"]}"#, Some("at most 3")),
        (r#"{"categorical": ["x"]}"#, Some("no integer")),
        (r#"{"categorical": ["y"]}"#, Some("score: fp32?")),
        (
            r#"{"event_time": {"column": "when"}}"#,
            Some("monitoring.event_time"),
        ),
        (
            r#"{"window": {"size": "1h", "sample_rows": 100}}"#,
            Some("settings of monitors"),
        ),
    ] {
        let spec: MonitoringSpec = serde_json::from_str(text).unwrap();
        let found = spec
            .check()
            .and_then(|()| spec.check_columns(&input, &input, &output));
        match wrong {
            None => assert_eq!(found, Ok(()), "{text}"),
            Some(word) => {
                let found = found.expect_err(text);
                assert!(found.contains(word), "{text}: {found}");
            }
        }
    }
    assert!(serde_json::from_str::<MonitoringSpec>(r#"{"sampel": 1}"#).is_err());
}

#[test]
fn windows_that_would_take_too_much_memory_are_refused() {
    let minutes = r#"{"size": "1h", "step": "1m", "sample_rows": 20000}"#;
    let modest = plan(vec![monitor(minutes, AgainstSpec::Baseline, (1, 1), &[])]);
    assert_eq!(modest.check(), Ok(()));
    let greedy = plan(vec![monitor(
        minutes,
        AgainstSpec::Trailing(52),
        (1, 1),
        &["country"],
    )]);
    let refused = greedy.check().unwrap_err();
    assert!(
        refused.contains("`means`") && refused.contains("MiB"),
        "{refused}"
    );
}
