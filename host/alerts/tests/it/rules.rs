//! The rules file: what it takes, and what it says about the rest.

use caisson_alerts::{Catalogue, Kind, Metric, RULES_MAX, RulesFile, Unit};

use crate::support::catalogue;

fn parse(text: &str) -> Result<RulesFile, String> {
    RulesFile::parse(text, &catalogue()).map_err(|e| e.to_string())
}

const FULL: &str = r#"
rules:
  - name: accuracy-low
    description: Predictions are worse than what was agreed.
    metric: accuracy
    operator: "<"
    threshold: 0.85
    severity: critical
    for: 10m
    keep_firing_for: 5m
    labels: {team: churn}
    deployment: churn-*
    segment: {country: NO}
    no_data: fire
    no_data_after: 1d
  - {name: drift, metric: "drift{check=ks}", operator: ">", threshold: 0.1, severity: warning}
  - {name: slow, metric: latency_p95_ms, operator: ">", threshold: 1000, severity: warning}
  - {name: failing, metric: error_rate, operator: ">", threshold: 5e-2, severity: critical}
  - {name: missing, metric: "missing_rate{column=age}", operator: ">=", threshold: 0.2, severity: info}
"#;

#[test]
fn a_file_is_read_and_written() {
    let file = parse(FULL).unwrap();
    assert_eq!(file.rules.len(), 5);
    assert_eq!(file.rules[0].segment["country"].as_str(), "NO");
    let json = serde_json::to_string(&file).unwrap();
    assert_eq!(parse(&json).unwrap(), file, "{json}");
    assert!(json.contains(r#""for":"10m""#), "{json}");
}

#[test]
fn the_schema_takes_what_the_parser_takes() {
    let schema = RulesFile::json_schema();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let file = serde_json::to_value(parse(FULL).unwrap()).unwrap();
    validator.validate(&file).unwrap();
    let mut wrong = file.clone();
    wrong["rules"][0]["treshold"] = 1.into();
    assert!(!validator.is_valid(&wrong));
    let mut wrong = file;
    wrong["rules"][0]["operator"] = "=<".into();
    assert!(!validator.is_valid(&wrong));
}

#[test]
fn errors_say_where_and_what() {
    let rule = |changes: &str| {
        let mut rule =
            "rules:\n  - {name: ok, metric: accuracy, operator: '<', threshold: 1, severity: info}\n  - "
                .to_owned();
        rule.push_str(changes);
        rule
    };
    let base = "name: a\n    metric: accuracy\n    operator: '<'\n    threshold: 1\n    severity: info\n";
    for (text, expected) in [
        (
            rule(&format!("{base}    treshold: 2")),
            vec!["treshold", "line 8"],
        ),
        (
            rule(&base.replace("threshold: 1", "threshold: high")),
            vec!["line 6"],
        ),
        (
            rule(&base.replace("threshold: 1", "threshold: .nan")),
            vec!["line 3", "finite"],
        ),
        (rule(&base.replace("'<'", "'=<'")), vec!["line 5", "=<"]),
        (
            rule(&base.replace("severity: info", "severity: bad")),
            vec!["line 7", "bad"],
        ),
        (rule(&base.replace("    threshold: 1\n", "")), vec!["threshold"]),
        (
            rule(&base.replace("accuracy", "acuracy")),
            vec![
                "rules[1] (line 3)",
                "there is no metric `acuracy`; did you mean `accuracy`?",
            ],
        ),
        (
            rule(&base.replace("accuracy", "'accuracy{column=age}'")),
            vec!["line 3", "there is no parameter"],
        ),
        (
            rule(&base.replace("name: a", "name: A b")),
            vec!["line 3", "`A b` is no name"],
        ),
        (
            rule(&base.replace("name: a", "name: ok")),
            vec!["line 3", "the rule on line 2 is `ok`, too"],
        ),
        (
            rule(&format!("{base}    for: soon")),
            vec!["line 8", "`soon` is no length of time"],
        ),
        (rule(&format!("{base}    for: 40d")), vec!["more than 31 days"]),
        (
            rule(&format!("{base}    labels: {{severity: x}}")),
            vec!["line 3", "its own `severity`"],
        ),
        (
            rule(&format!("{base}    labels: {{a-b: x}}")),
            vec!["line 3", "`a-b` is no label name"],
        ),
        (
            rule(&format!("{base}    segment: {{a-b: x, a_b: y}}")),
            vec!["line 3", "two columns have the label `segment_a_b`"],
        ),
        (
            rule(&format!("{base}    no_data_after: 0s")),
            vec!["line 3", "no_data_after"],
        ),
        (
            rule(&format!("{base}    description: {}", "x".repeat(2000))),
            vec!["line 3", "2000 bytes; at most 1024"],
        ),
        ("rules: 1".to_owned(), vec!["line 1"]),
        ("rule: []".to_owned(), vec!["rule", "line 1"]),
        (String::new(), vec![""]),
        ("rules: [".to_owned(), vec!["line"]),
        ("x".repeat(70_000), vec!["70000 bytes"]),
    ] {
        let error = parse(&text).unwrap_err();
        for part in expected {
            assert!(
                error.contains(part),
                "{part:?} isn't in {error:?} for\n{text:.300}"
            );
        }
    }
}

#[test]
fn a_file_has_a_number_of_rules_and_no_bombs() {
    let many = |n: usize| {
        (0..n).fold("rules:\n".to_owned(), |mut text, i| {
            text.push_str(&format!(
                "  - {{name: r{i}, metric: accuracy, operator: '<', threshold: 1, severity: info}}\n"
            ));
            text
        })
    };
    assert_eq!(parse(&many(RULES_MAX)).unwrap().rules.len(), RULES_MAX);
    let error = parse(&many(RULES_MAX + 1)).unwrap_err();
    assert!(error.contains("at most 100"), "{error}");
    // Short as a file, long as a record.
    let quotes = "'".to_owned() + &"\"".repeat(1000) + "', severity";
    let error = parse(&many(58).replace("severity", &format!("description: {quotes}"))).unwrap_err();
    assert!(error.contains("more than 102400 bytes"), "{error}");
    // Long texts repeated by aliases.
    let text = many(RULES_MAX).replace("severity", "description: *d, severity");
    let bomb = text.replacen("*d", &format!("&d '{}'", "x".repeat(1000)), 1);
    let error = parse(&bomb).unwrap_err();
    assert!(error.contains("more than 102400 bytes"), "{error}");
}

#[test]
fn a_rule_asks_for_what_is_measured() {
    let windows = ["5m", "1m"].map(|text| text.parse().unwrap());
    let catalogue = Catalogue::new([
        Metric::new("slow", "latency", Kind::Latency, Unit::Milliseconds)
            .with_windows(&windows)
            .without_segments(),
        Metric::new("accuracy", "accuracy", Kind::Performance, Unit::Ratio),
    ]);
    let window = |metric: &str, more: &str| {
        let text = format!(
            "rules: [{{name: a, metric: {metric}, operator: '>', threshold: 1, severity: info{more}}}]"
        );
        let file = RulesFile::parse(&text, &catalogue).map_err(|e| e.to_string())?;
        Ok::<_, String>(catalogue.window(&file.rules[0]))
    };
    let [five, one] = windows;
    assert_eq!(window("slow", ""), Ok(Some(five)));
    assert_eq!(window("slow", ", window: 60s"), Ok(Some(one)));
    assert_eq!(window("accuracy", ""), Ok(None));
    for (metric, more, expected) in [
        (
            "slow",
            ", window: 2m",
            "`slow` has no window `2m`; there are `5m`, `1m`",
        ),
        (
            "accuracy",
            ", window: 1m",
            "`accuracy` has no window `1m`; leave it out",
        ),
        (
            "slow",
            ", segment: {country: CH}",
            "measured of all traffic together",
        ),
    ] {
        let said = window(metric, more).unwrap_err();
        assert!(said.contains(expected), "{said}");
    }
    window("accuracy", ", segment: {country: CH}").unwrap();
}
