//! What survives: a stop, a crash, another revision; and what doesn't: a deletion.

use std::sync::Arc;

use caisson_monitoring::report::Status::{Drifted, Stable};
use caisson_monitoring::spec::AgainstSpec;
use caisson_monitoring::{Filter, Plan};
use caisson_quality::hysteresis::Change;
use caisson_store::Store;

use crate::support::{HOUR, MONDAY, System, monitor, plan, schema, spread, store, tap};

fn hourly() -> Plan {
    let hourly = r#"{"size": "1h", "lateness": "0s"}"#;
    plan(vec![monitor(
        hourly,
        AgainstSpec::Trailing(3),
        (2, 3),
        &["country"],
    )])
}

#[test]
fn a_stop_in_the_middle_of_a_window_loses_nothing() {
    let (_dir, store) = store();
    let whole = |stops: &[usize]| {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let mut system = System::new(&store, hourly());
        for part in 0..12 {
            if stops.contains(&part) {
                system.monitoring.close();
                system = System::new(&store, hourly());
            }
            let mean = if part < 8 { 0.0 } else { 2.0 };
            system.send(&spread(MONDAY + part as i64 * HOUR / 2, HOUR / 2, 300, mean));
        }
        let windows = system.drift();
        let shape = |w: &caisson_monitoring::report::DriftWindow| {
            (w.rows, w.status, w.trailing, w.alarm, w.window.clone())
        };
        windows.iter().map(shape).collect::<Vec<_>>()
    };
    let once = whole(&[]);
    assert_eq!(once.len(), 5);
    assert_eq!(once, whole(&[1, 2, 5, 9, 11]));
    drop(store);
}

#[test]
fn a_crash_tells_no_window_twice_and_keeps_the_alarm() {
    let (_dir, store) = store();
    let hourly = || {
        plan(vec![monitor(
            r#"{"size": "1h", "lateness": "0s"}"#,
            AgainstSpec::Baseline,
            (2, 2),
            &[],
        )])
    };
    let system = System::new(&store, hourly());
    system.send(&spread(MONDAY, HOUR, 300, 1.0));
    system.monitoring.flush().unwrap();
    // The state is from here; what comes now is in windows that are told, and in no state.
    let crashed = system;
    let kept = store
        .objects()
        .get("monitoring/tenant=t/deployment=d/state", 1 << 24)
        .unwrap()
        .unwrap();
    crashed.send(&spread(MONDAY + HOUR, HOUR, 300, 1.0));
    crashed.send(&spread(MONDAY + 2 * HOUR, HOUR, 300, 1.0));
    assert!(crashed.drift()[1].alarm.raised);
    crashed.monitoring.close();
    store
        .objects()
        .put("monitoring/tenant=t/deployment=d/state", kept)
        .unwrap();
    let again = System::new(&store, hourly());
    // Rows of the hour that was open, and of the next ones.
    again.send(&spread(MONDAY + 2 * HOUR + HOUR / 2, HOUR / 2, 300, 1.0));
    again.send(&spread(MONDAY + 3 * HOUR, HOUR, 300, 0.0));
    again.send(&spread(MONDAY + 4 * HOUR, HOUR, 300, 0.0));
    let windows = again.drift();
    let starts: Vec<&str> = windows
        .iter()
        .map(|window| window.window.start.as_str())
        .collect();
    let hour = |n: u8| format!("2024-01-01T0{n}:00:00Z");
    assert_eq!(starts, [hour(0), hour(1), hour(2), hour(3)]);
    assert_eq!(windows[2].status, Drifted);
    assert_eq!(
        (windows[2].alarm.raised, windows[2].alarm.change),
        (true, Change::None)
    );
    assert_eq!((windows[3].status, windows[3].alarm.seen), (Stable, 2));
}

#[test]
fn another_revision_goes_on_where_it_gathers_the_same() {
    let (_dir, store) = store();
    let system = System::new(&store, hourly());
    system.send(&spread(MONDAY, HOUR / 2, 300, 0.0));
    // A monitor more, and the same columns.
    let mut second = hourly();
    second.revision = 2;
    let mut more = second.monitors[0].clone();
    more.name = "more".into();
    more.segments.clear();
    second.monitors.push(more);
    let newer = tap(&system.monitoring, "d", second, &system.checks);
    // An answer of the first revision is late, but it has the same columns.
    system.send(&spread(MONDAY, HOUR / 2, 100, 0.0));
    crate::support::send(&newer, &spread(MONDAY + HOUR, HOUR, 300, 0.0));
    let windows = system.drift();
    assert_eq!((windows[0].rows, windows[0].revision), (400, 2));
    // Another column: nothing goes on, and answers of before have no window.
    let mut third = hourly();
    third.revision = 3;
    third.input = schema(&[
        ("at", caisson_data::DataType::Int64),
        ("x", caisson_data::DataType::Fp64),
        ("country", caisson_data::DataType::Text),
        ("new", caisson_data::DataType::Fp32),
    ]);
    let _third = tap(&system.monitoring, "d", third, &system.checks);
    system.send(&spread(MONDAY + 2 * HOUR, HOUR, 50, 0.0));
    system.monitoring.flush().unwrap();
    let (rows, dropped) = system.monitoring.counts("t", "d");
    assert_eq!((rows.taken, dropped.revision), (0, 50));
    // What was told stays told.
    assert_eq!(system.drift().len(), 1);
}

#[test]
fn another_alarm_starts_anew() {
    let (_dir, store) = store();
    let with = |n, m| {
        plan(vec![monitor(
            r#"{"size": "1h", "lateness": "0s"}"#,
            AgainstSpec::Baseline,
            (n, m),
            &[],
        )])
    };
    let system = System::new(&store, with(1, 1));
    system.send(&spread(MONDAY, HOUR, 300, 1.0));
    system.send(&spread(MONDAY + HOUR, HOUR, 300, 1.0));
    assert!(system.drift()[0].alarm.raised);
    let newer = tap(&system.monitoring, "d", with(2, 2), &system.checks);
    crate::support::send(&newer, &spread(MONDAY + 2 * HOUR, HOUR, 300, 1.0));
    let second = &system.drift()[1];
    assert_eq!((second.alarm.raised, second.alarm.bad), (false, 1));
}

#[test]
fn what_is_deleted_is_gone() {
    let (_dir, store) = store();
    let system = System::new(&store, hourly());
    let other = tap(&system.monitoring, "other", hourly(), &system.checks);
    for tap in [&system.tap, &other] {
        crate::support::send(tap, &spread(MONDAY, HOUR, 300, 0.0));
        crate::support::send(tap, &spread(MONDAY + HOUR, HOUR, 300, 0.0));
    }
    system.monitoring.flush().unwrap();
    assert!(system.monitoring.stored_bytes("t") > 1000);
    let left = |name: &str| {
        let records = store
            .metadata()
            .scan(format!("monitoring-window/t/{name}/").as_bytes(), None, 100)
            .unwrap();
        let state = store
            .objects()
            .get(&format!("monitoring/tenant=t/deployment={name}/state"), 1 << 24)
            .unwrap();
        (records.entries.len(), state.is_some())
    };
    assert!(left("d").0 > 0 && left("d").1 && left("other").1);
    system.monitoring.forget("t", "d").unwrap();
    assert_eq!(left("d"), (0, false));
    assert!(left("other").0 > 0);
    let filter = Filter {
        limit: 10,
        ..Filter::default()
    };
    assert!(
        system
            .monitoring
            .drift_windows("t", "d", &filter)
            .unwrap()
            .is_empty()
    );
    // One of the same name has no past.
    let again = tap(&system.monitoring, "d", hourly(), &Arc::clone(&system.checks));
    crate::support::send(&again, &spread(MONDAY, HOUR, 10, 0.0));
    system.monitoring.flush().unwrap();
    assert_eq!(system.monitoring.counts("t", "d").0.taken, 10);
    system.monitoring.forget_tenant("t").unwrap();
    assert_eq!(left("other"), (0, false));
    assert_eq!(left("d"), (0, false));
}

#[test]
fn a_damaged_state_starts_anew() {
    let (_dir, store) = store();
    let system = System::new(&store, hourly());
    system.send(&spread(MONDAY, HOUR, 300, 0.0));
    system.monitoring.close();
    let path = "monitoring/tenant=t/deployment=d/state";
    let mut bytes = store.objects().get(path, 1 << 24).unwrap().unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    store.objects().put(path, bytes).unwrap();
    let system = System::new(&store, hourly());
    system.send(&spread(MONDAY + HOUR, HOUR, 300, 0.0));
    system.send(&spread(MONDAY + 2 * HOUR, HOUR, 300, 0.0));
    assert_eq!(system.drift()[0].rows, 300);
}
