//! One tenant's flood and its neighbours; samples.

use std::sync::Arc;

use caisson_monitoring::spec::AgainstSpec;
use caisson_monitoring::{Checks, Filter, Limits, Monitoring};

use crate::support::{HOUR, MONDAY, Means, System, monitor, plan, rows, spread, store};

#[test]
fn a_flood_is_dropped_and_counted_and_the_neighbour_loses_nothing() {
    let (_dir, store) = store();
    let limits = Limits {
        buffer_bytes: 4 << 20,
        tenant_bytes: 1 << 20,
        answers: 1000,
    };
    let monitoring = Monitoring::open(store, limits, |_, _| true).unwrap();
    let checks: Arc<dyn Checks> = Arc::new(Means::default());
    let sliding = r#"{"size": "1h", "step": "1m", "lateness": "0s"}"#;
    let hostile = || {
        plan(vec![monitor(
            sliding,
            AgainstSpec::Trailing(2),
            (1, 1),
            &["country"],
        )])
    };
    let floods: Vec<_> = (0..4)
        .map(|n| {
            monitoring.tap(
                "flood",
                &format!("d{n}"),
                hostile(),
                Arc::downgrade(&checks),
                Arc::default(),
            )
        })
        .collect();
    let quiet = monitoring.tap(
        "quiet",
        "d",
        plan(Vec::new()),
        Arc::downgrade(&checks),
        Arc::default(),
    );
    let (input, output) = rows(&spread(MONDAY, 24 * HOUR, 2000, 0.0));
    let (one, answer) = rows(&[(MONDAY, 0.0, "DE")]);
    for _ in 0..200 {
        for flood in &floods {
            if let Some(taken) = flood.take(&input) {
                flood.answered(taken, &output);
            }
        }
        quiet.answered(quiet.take(&one).unwrap(), &answer);
    }
    let (_, dropped) = monitoring.counts("flood", "d0");
    assert!(dropped.memory > 0, "{dropped:?}");
    let filter = Filter {
        limit: 1,
        ..Filter::default()
    };
    let start = std::time::Instant::now();
    loop {
        let report = monitoring.statistics("quiet", "d", &filter).unwrap();
        assert_eq!(report.dropped, Default::default());
        if report.rows.taken == 200 {
            break;
        }
        assert!(start.elapsed() < std::time::Duration::from_secs(60), "{report:?}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn a_sample_is_a_share_of_the_requests() {
    let (_dir, store) = store();
    let mut tenth = plan(Vec::new());
    tenth.sample = 0.1;
    let system = System::new(&store, tenth);
    let (input, _) = rows(&[(MONDAY, 0.0, "DE")]);
    let taken = (0..10_000).filter(|_| system.tap.take(&input).is_some()).count();
    assert!((800..1200).contains(&taken), "{taken}");
}

#[test]
fn rows_that_do_not_match_are_counted() {
    let (_dir, store) = store();
    let system = System::new(&store, plan(Vec::new()));
    let (two, _) = rows(&[(MONDAY, 0.0, "DE"), (MONDAY, 0.0, "FR")]);
    let (_, one) = rows(&[(MONDAY, 0.0, "DE")]);
    system.tap.answered(system.tap.take(&two).unwrap(), &one);
    assert_eq!(system.monitoring.counts("t", "d").1.rows, 2);
}

#[test]
fn a_sample_of_a_window_is_as_large_as_it_says_and_uniform() {
    let (_dir, store) = store();
    let hourly = r#"{"size": "1h", "step": "10m", "lateness": "0s", "sample_rows": 1000}"#;
    let system = System::new(
        &store,
        plan(vec![monitor(hourly, AgainstSpec::Baseline, (1, 1), &[])]),
    );
    // The first half of the hour is 0, the second 1, and has three times the rows.
    system.send(&spread(MONDAY, HOUR / 2, 5000, 0.0));
    system.send(&spread(MONDAY + HOUR / 2, HOUR / 2, 15_000, 1.0));
    system.send(&spread(MONDAY + 2 * HOUR, HOUR, 100, 0.0));
    let windows = system.drift();
    let whole = windows
        .iter()
        .find(|window| window.window.start == "2024-01-01T00:00:00Z")
        .unwrap();
    assert_eq!((whole.rows, whole.checked_rows), (20_000, 1000));
    // Five standard errors of a share of 0.75 of 1,000 rows.
    assert!((whole.score.unwrap() - 0.75).abs() < 0.07, "{whole:?}");
}
