//! Segments and statistics.

use caisson_monitoring::Filter;
use caisson_monitoring::report::Status::{Drifted, Stable};
use caisson_monitoring::spec::AgainstSpec;

use crate::support::{DAY, HOUR, MONDAY, System, monitor, plan, spread, store};

#[test]
fn one_country_drifts_and_the_others_do_not() {
    let (_dir, store) = store();
    let hourly = r#"{"size": "1h", "lateness": "0s"}"#;
    let by_country = monitor(hourly, AgainstSpec::Baseline, (1, 1), &["country"]);
    let system = System::new(&store, plan(vec![by_country]));
    let mut rows = spread(MONDAY, HOUR, 1000, 0.0);
    for row in rows.iter_mut().filter(|row| row.2 == "FR") {
        row.1 += 0.9;
    }
    // Rows without a country are a segment, too.
    rows.extend(
        spread(MONDAY, HOUR, 100, 0.0)
            .into_iter()
            .map(|(at, x, _)| (at, x, "")),
    );
    system.send(&rows);
    system.send(&[(MONDAY + HOUR, 0.0, "DE")]);
    let one = |segment: Option<&str>| {
        let windows = system.of(segment);
        assert_eq!(windows.len(), 1, "{segment:?}");
        (windows[0].rows, windows[0].status)
    };
    // All together the mean moved by less than half.
    assert_eq!(one(None), (1100, Stable));
    assert_eq!(one(Some("DE")), (500, Stable));
    assert_eq!(one(Some("FR")), (500, Drifted));
    assert_eq!(one(Some("(missing)")), (100, Stable));
    assert_eq!(system.of(Some("*")).len(), 3);
}

#[test]
fn many_segments_are_other() {
    let (_dir, store) = store();
    let hourly = r#"{"size": "1h", "lateness": "0s"}"#;
    let by_country = monitor(hourly, AgainstSpec::Baseline, (1, 1), &["country"]);
    let system = System::new(&store, plan(vec![by_country]));
    let names: Vec<String> = (0..200).map(|n| format!("c{n}")).collect();
    for name in &names {
        let rows: Vec<_> = (0..100).map(|i| (MONDAY + i, 0.0, name.as_str())).collect();
        system.send(&rows);
    }
    system.send(&[(MONDAY + HOUR, 0.0, "c0")]);
    assert_eq!(system.of(Some("*")).len(), 21);
    assert_eq!(system.of(Some("(other)"))[0].rows, 180 * 100);
    assert_eq!(system.drift()[0].rows, 200 * 100);
}

#[test]
fn statistics_are_those_of_the_rows() {
    let (_dir, store) = store();
    let mut plan = plan(Vec::new());
    plan.segments = vec!["country".to_owned()];
    let system = System::new(&store, plan);
    let rows: Vec<_> = (0..1000)
        .map(|i| (MONDAY + i, i as f64, if i % 4 == 0 { "DE" } else { "FR" }))
        .collect();
    system.send(&rows);
    let filter = Filter {
        limit: 10,
        ..Filter::default()
    };
    let report = system
        .monitoring
        .flush()
        .and_then(|()| system.monitoring.statistics("t", "d", &filter))
        .unwrap();
    assert!(report.windows.is_empty() && report.baseline.is_none());
    assert_eq!((report.rows.taken, report.open.len()), (1000, 1));
    let open = &report.open[0];
    assert_eq!((open.rows, open.closed_at.as_ref()), (1000, None));
    let x = open.input.iter().find(|column| column.column == "x").unwrap();
    let number = x.number.as_ref().unwrap();
    assert!((number.mean.unwrap() - 499.5).abs() < 1e-9);
    assert!((number.std.unwrap() - 288.819_436_095_749).abs() < 1e-9);
    assert_eq!((number.min, number.max, x.missing), (Some(0.0), Some(999.0), 0));
    for quantile in &number.quantiles {
        assert!(
            (quantile.value.unwrap() / 1000.0 - quantile.p).abs() < 0.02,
            "{quantile:?}"
        );
    }
    assert!((x.distinct as f64 - 1000.0).abs() < 70.0);
    let country = open
        .input
        .iter()
        .find(|column| column.column == "country")
        .unwrap();
    let top = country.top.as_ref().unwrap();
    assert_eq!(
        (top[0].value.as_str(), top[0].rows, top[0].share),
        ("FR", 750, 0.75)
    );
    assert_eq!(open.predictions[0].column, "score");
    // A day later it is closed, and its segments with it.
    system.send(&[(MONDAY + 2 * DAY, 0.0, "DE")]);
    system.monitoring.flush().unwrap();
    let of = |segment: &str| {
        let filter = Filter {
            segment: Some(segment.to_owned()),
            ..filter.clone()
        };
        system.monitoring.statistics("t", "d", &filter).unwrap().windows
    };
    assert_eq!(of("DE")[0].rows, 250);
    assert_eq!(of("FR")[0].rows, 750);
    let closed = system.monitoring.statistics("t", "d", &filter).unwrap().windows;
    assert_eq!(closed[0].input, open.input);
}

#[test]
fn a_silent_stream_of_arrivals_closes_its_windows() {
    let (_dir, store) = store();
    let seconds = r#"{"size": "1s", "lateness": "0s", "rows_min": 1}"#;
    let mut plan = plan(vec![monitor(seconds, AgainstSpec::Baseline, (1, 1), &[])]);
    plan.event_time = None;
    let system = System::new(&store, plan);
    system.send(&spread(0, HOUR, 200, 0.0));
    let start = std::time::Instant::now();
    while system.drift().is_empty() {
        assert!(start.elapsed() < std::time::Duration::from_secs(10));
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(system.drift()[0].rows, 200);
}
