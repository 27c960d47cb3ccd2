//! What monitors say of windows: against the baseline, against windows before, with an alarm.

use caisson_monitoring::Filter;
use caisson_monitoring::report::Status::{Drifted, InsufficientData, Stable};
use caisson_monitoring::spec::AgainstSpec;
use caisson_quality::hysteresis::Change;

use crate::support::{DAY, HOUR, MONDAY, System, monitor, plan, spread, store};

#[test]
fn a_shift_is_found_in_its_window_and_not_before() {
    let (_dir, store) = store();
    let hourly = r#"{"size": "1h", "lateness": "0s"}"#;
    let system = System::new(
        &store,
        plan(vec![monitor(hourly, AgainstSpec::Baseline, (1, 1), &[])]),
    );
    for hour in 0..4 {
        let mean = if hour < 2 { 0.0 } else { 1.0 };
        system.send(&spread(MONDAY + hour * HOUR, HOUR, 500, mean));
    }
    let windows = system.drift();
    let statuses: Vec<_> = windows.iter().map(|window| window.status).collect();
    assert_eq!(statuses, [Stable, Stable, Drifted]);
    let third = &windows[2];
    assert_eq!((third.rows, third.checked_rows, third.trailing), (500, 500, None));
    assert_eq!(third.window.start, "2024-01-01T02:00:00Z");
    assert_eq!(third.alarm.change, Change::Raised);
    assert!((third.score.unwrap() - 1.0).abs() < 0.01);
    // The newest is in memory, too.
    let newest = system.monitoring.newest("t", "d").unwrap();
    assert_eq!(**newest.drift.get(&("means".to_owned(), None)).unwrap(), *third);
}

#[test]
fn a_weekly_season_pages_nobody_and_a_lasting_shift_does() {
    let (_dir, store) = store();
    let daily = r#"{"size": "1d", "lateness": "0s"}"#;
    let system = System::new(
        &store,
        plan(vec![monitor(daily, AgainstSpec::Baseline, (3, 5), &[])]),
    );
    for day in 0..28 {
        let mean = if day % 7 >= 5 { 1.0 } else { 0.0 };
        system.send(&spread(MONDAY + day * DAY, DAY, 200, mean));
    }
    let windows = system.drift();
    assert_eq!(windows.len(), 27);
    assert_eq!(
        windows.iter().filter(|window| window.status == Drifted).count(),
        7
    );
    assert!(windows.iter().all(|window| !window.alarm.raised));
    for day in 28..33 {
        system.send(&spread(MONDAY + day * DAY, DAY, 200, 1.0));
    }
    let windows = system.drift();
    let raised: Vec<usize> = (0..windows.len())
        .filter(|i| windows[*i].alarm.change == Change::Raised)
        .collect();
    // Sunday was the first of three; Monday is the second, Tuesday the third of five.
    assert_eq!(raised, [28]);
}

#[test]
fn windows_are_compared_with_those_before_them() {
    let (_dir, store) = store();
    let hourly = r#"{"size": "1h", "lateness": "0s"}"#;
    let trailing = monitor(hourly, AgainstSpec::Trailing(2), (1, 1), &[]);
    let system = System::new(&store, plan(vec![trailing]));
    // A level that is far from the baseline's, and stays; then a step.
    for (hour, mean) in [5.0, 5.0, 5.0, 7.0, 7.0, 7.0, 7.0].into_iter().enumerate() {
        system.send(&spread(MONDAY + hour as i64 * HOUR, HOUR, 300, mean));
    }
    let windows = system.drift();
    let statuses: Vec<_> = windows.iter().map(|window| window.status).collect();
    assert_eq!(
        statuses,
        [InsufficientData, Stable, Stable, Drifted, Drifted, Stable]
    );
    let trailing: Vec<_> = windows.iter().map(|window| window.trailing).collect();
    assert_eq!(trailing, [Some(0), Some(1), Some(2), Some(2), Some(2), Some(2)]);
    let seen = system.checks.seen.lock().unwrap();
    // Half of it is from before the step.
    assert!((seen[3].1.unwrap() - 6.0).abs() < 0.1, "{seen:?}");
}

#[test]
fn sliding_windows_have_no_row_in_common_with_what_they_are_compared_with() {
    let (_dir, store) = store();
    let sliding = r#"{"size": "2h", "step": "1h", "lateness": "0s"}"#;
    let system = System::new(
        &store,
        plan(vec![monitor(sliding, AgainstSpec::Trailing(1), (1, 1), &[])]),
    );
    for hour in 0..6 {
        system.send(&spread(MONDAY + hour * HOUR, HOUR, 200, hour as f64));
    }
    system.drift();
    let seen = system.checks.seen.lock().unwrap();
    let found: Vec<(f64, Option<f64>)> = seen
        .iter()
        .map(|(now, before)| (now.round(), before.map(f64::round)))
        .collect();
    // Hours 1 and 2 have a mean of 1.5; the two before are 0 and the first, of which only one window is.
    assert!(
        found.iter().all(|(now, before)| now - before.unwrap() >= 1.0),
        "{found:?}"
    );
    assert_eq!(seen.len(), 3);
}

#[test]
fn windows_of_rows_close_by_count_and_small_ones_have_no_verdict() {
    let (_dir, store) = store();
    let counted = r#"{"size": 300, "clock": "rows", "rows_min": 200}"#;
    let mut monitors = vec![monitor(counted, AgainstSpec::Baseline, (1, 1), &[])];
    let mut small = monitor(
        r#"{"size": 100, "clock": "rows", "rows_min": 101}"#,
        AgainstSpec::Baseline,
        (1, 1),
        &[],
    );
    small.name = "small".into();
    monitors.push(small);
    let system = System::new(&store, plan(monitors));
    system.send(&spread(MONDAY, HOUR, 950, 1.0));
    let windows = system.drift();
    assert_eq!(windows.len(), 3);
    assert_eq!(
        (windows[2].window.start.as_str(), windows[2].window.end.as_str()),
        ("600", "900")
    );
    let filter = Filter {
        monitor: Some("small".into()),
        segment: None,
        limit: 100,
    };
    let small = system.monitoring.drift_windows("t", "d", &filter).unwrap();
    assert_eq!(small.len(), 9);
    assert!(
        small
            .iter()
            .all(|window| window.status == InsufficientData && window.checked_rows == 0)
    );
}

#[test]
fn late_rows_are_counted_and_left_out() {
    let (_dir, store) = store();
    let hourly = r#"{"size": "1h", "lateness": "10m"}"#;
    let system = System::new(
        &store,
        plan(vec![monitor(hourly, AgainstSpec::Baseline, (1, 1), &[])]),
    );
    system.send(&spread(MONDAY, HOUR, 300, 0.0));
    // Five minutes past the hour: those of the hour before may still come.
    system.send(&[(MONDAY + HOUR + 5 * 60_000, 0.0, "DE")]);
    system.send(&spread(MONDAY, HOUR, 100, 0.0));
    assert!(system.drift().is_empty());
    system.send(&[(MONDAY + HOUR + 11 * 60_000, 0.0, "DE")]);
    assert_eq!(system.drift()[0].rows, 400);
    // The statistics' day is still open for them; the monitor's hour isn't, and is told once.
    system.send(&spread(MONDAY, HOUR, 50, 0.0));
    assert_eq!(system.drift().len(), 1);
    system.send(&[(MONDAY + 3 * DAY, 0.0, "DE")]);
    system.send(&spread(MONDAY, HOUR, 70, 0.0));
    system.monitoring.flush().unwrap();
    let (rows, dropped) = system.monitoring.counts("t", "d");
    assert_eq!((rows.late, dropped), (70, Default::default()));
    // Tomorrow is a mistake, and closes nothing.
    let tomorrow = jiff_now() + DAY;
    system.send(&[(tomorrow, 0.0, "DE")]);
    system.monitoring.flush().unwrap();
    assert_eq!(system.monitoring.counts("t", "d").0.ahead, 1);
}

fn jiff_now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.unwrap().as_millis()).unwrap()
}

#[test]
fn a_failed_check_is_told_and_moves_no_alarm() {
    let (_dir, store) = store();
    let hourly = r#"{"size": "1h", "lateness": "0s"}"#;
    let system = System::new(
        &store,
        plan(vec![monitor(hourly, AgainstSpec::Baseline, (1, 1), &[])]),
    );
    system.send(&spread(MONDAY, HOUR, 300, 1.0));
    system.send(&spread(MONDAY + HOUR, HOUR, 300, 1.0));
    assert!(system.drift()[0].alarm.raised);
    // The revision is gone.
    let System {
        monitoring,
        checks,
        tap,
    } = system;
    drop(checks);
    crate::support::send(&tap, &spread(MONDAY + 2 * HOUR, HOUR, 300, 0.0));
    monitoring.flush().unwrap();
    let filter = Filter {
        limit: 1,
        ..Filter::default()
    };
    let newest = &monitoring.drift_windows("t", "d", &filter).unwrap()[0];
    assert_eq!(newest.status, InsufficientData);
    assert!(
        newest.error.as_ref().unwrap().contains("isn't served"),
        "{newest:?}"
    );
    assert!(newest.alarm.raised && newest.alarm.change == Change::None);
}
