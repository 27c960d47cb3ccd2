//! From an answer to a file.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use caisson_predictions::{Answer, Limits, Predictions, RowNumbers};
use caisson_store::Store;

use crate::support::{answer, files, offer, rows_of, spec};

const NOON: &str = "2026-11-26T12:00:00Z";

fn open(limits: Limits) -> (tempfile::TempDir, Store, Predictions) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let predictions = Predictions::open(store.clone(), limits, |_, _| true).unwrap();
    (dir, store, predictions)
}

#[test]
fn answers_become_files_by_revision_and_hour() {
    let (_dir, store, predictions) = open(Limits::default());
    let time = r#", "event_time": {"column": "at"}, "redact": {"at": "drop"}"#;
    let first = predictions.log("acme", "churn", 1, spec(time));
    let second = predictions.log("acme", "churn", 2, spec(time));
    assert!(offer(&first, answer("a", NOON, 1, 2)));
    let streamed = Answer {
        rows: RowNumbers::At(vec![4, 7]),
        stages: vec![("queue".into(), Duration::from_millis(2))],
        ..answer("b", NOON, 10, 2)
    };
    assert!(offer(&first, streamed));
    assert!(offer(&first, answer("c", "2026-11-26T13:00:00Z", 20, 1)));
    assert!(offer(&second, answer("d", NOON, 30, 1)));
    predictions.flush().unwrap();
    let files = files(&store);
    let folder = "predictions/tenant=acme/deployment=churn/date=2026-11-26/hour=";
    let hours: Vec<&str> = files
        .iter()
        .map(|(path, _)| path.strip_prefix(folder).unwrap().split('/').next().unwrap())
        .collect();
    assert_eq!(hours, ["12", "12", "13"]);
    let of_first = files.iter().map(|(_, batches)| &batches[0]);
    let batch = of_first.into_iter().find(|batch| batch.num_rows() == 4).unwrap();
    let ints = |name: &str| batch.column_by_name(name).unwrap().as_primitive::<Int64Type>();
    let times = |name: &str| {
        let column = batch.column_by_name(name).unwrap();
        column.as_primitive::<TimestampMicrosecondType>().value(0)
    };
    let ids = batch.column_by_name("request_id").unwrap().as_string::<i32>();
    assert_eq!(ids.iter().flatten().collect::<Vec<_>>(), ["a", "a", "b", "b"]);
    assert_eq!(ints("row").values(), &[0, 1, 4, 7]);
    assert_eq!(ints("revision").values(), &[1, 1, 1, 1]);
    // In the order in which requests come to them; null where one didn't.
    let schema = batch.schema();
    let times_of = schema.fields().iter().map(|field| field.name());
    let times_of: Vec<&String> = times_of.filter(|name| name.starts_with("latency_")).collect();
    let wanted = [
        "latency_seconds",
        "latency_queue_seconds",
        "latency_transforms_0_seconds",
        "latency_model_seconds",
    ];
    assert_eq!(times_of, wanted);
    let seconds = |name: &str| batch.column_by_name(name).unwrap().as_primitive::<Float64Type>();
    let each = |name: &str| seconds(name).iter().collect::<Vec<_>>();
    let (model, queue) = (Some(0.003), Some(0.002));
    assert_eq!(each("latency_model_seconds"), [model, model, None, None]);
    assert_eq!(each("latency_queue_seconds"), [None, None, queue, queue]);
    assert_eq!(ints("input_x").values(), &[1, 2, 10, 11]);
    assert_eq!(ints("output_y").values(), &[2, 4, 20, 22]);
    let micros = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_microsecond();
    assert_eq!(times("received_at"), micros(NOON));
    assert_eq!(times("event_time"), micros("2026-01-02T03:04:05Z"));
    assert!(batch.column_by_name("input_at").is_none(), "it is redacted");
    let status = predictions.status("acme", "churn");
    assert_eq!((status.rows.logged, status.rows.waiting), (6, 0));
    let on_disk: u64 = files
        .iter()
        .map(|(path, _)| store.objects().get(path, 1 << 30).unwrap().unwrap().len() as u64)
        .sum();
    assert_eq!(status.stored_bytes, on_disk);
    assert_eq!(predictions.stored_bytes("acme"), on_disk);
    assert_eq!(predictions.stored_bytes("other"), 0);
}

#[test]
fn a_file_is_written_when_it_is_large_or_old_and_at_the_end() {
    let (_dir, store, predictions) = open(Limits::default());
    let large = predictions.log(
        "t",
        "large",
        1,
        spec(r#", "flush_mib": 1, "flush_seconds": 3600"#),
    );
    // 10,000 rows of an integer, a time of 20 bytes and an answer: two of them pass a mebibyte.
    for n in 0..3 {
        assert!(offer(&large, answer("a", NOON, n, 20_000)));
    }
    let old = predictions.log("t", "old", 1, spec(r#", "flush_seconds": 1"#));
    assert!(offer(&old, answer("b", NOON, 0, 1)));
    let start = std::time::Instant::now();
    while files(&store)
        .iter()
        .filter(|(path, _)| path.contains("=old/"))
        .count()
        == 0
    {
        assert!(start.elapsed().as_secs() < 20, "nothing was written");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(rows_of(&files(&store)), 40_001, "the large one, and the old one");
    predictions.close();
    assert_eq!(rows_of(&files(&store)), 60_001);
    assert!(offer(&old, answer("c", NOON, 0, 1)), "there is room");
    assert_eq!(predictions.status("t", "old").rows.dropped.queue, 1);
}

#[test]
fn what_finds_no_room_is_dropped_and_counted() {
    let (_dir, store, predictions) = open(Limits {
        buffer_bytes: 16_000,
        queue: 1000,
    });
    let log = predictions.log("t", "d", 1, spec(""));
    assert!(!offer(&log, answer("large", NOON, 0, 1000)));
    assert!(offer(&log, answer("small", NOON, 0, 1)));
    predictions.flush().unwrap();
    let rows = predictions.status("t", "d").rows;
    assert_eq!((rows.dropped.memory, rows.logged, rows.waiting), (1000, 1, 0));
    assert_eq!(rows_of(&files(&store)), 1);
    let short = Answer {
        output: answer("x", NOON, 0, 2).output,
        ..answer("x", NOON, 0, 1)
    };
    offer(&log, short);
    assert_eq!(predictions.status("t", "d").rows.dropped.rows, 1);
}

#[test]
fn a_slow_writer_keeps_nobody_waiting_and_what_it_misses_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let limits = Limits {
        queue: 4,
        ..Limits::default()
    };
    // Held at the first file, until this test lets go.
    let (arrived, arrives): (SyncSender<()>, Receiver<()>) = sync_channel(1);
    let (go, goes): (SyncSender<()>, Receiver<()>) = sync_channel(1);
    let goes = Mutex::new(goes);
    let predictions = Predictions::open(store.clone(), limits, move |_, _| {
        let _ = arrived.try_send(());
        // An error once the test has let go for good.
        let _ = goes.lock().unwrap().recv();
        true
    })
    .unwrap();
    let log = predictions.log("t", "d", 1, spec(r#", "flush_seconds": 1"#));
    assert!(offer(&log, answer("first", NOON, 0, 1)));
    arrives.recv().unwrap();
    for n in 0..10 {
        assert!(offer(&log, answer("more", NOON, n, 1)));
    }
    assert_eq!(predictions.status("t", "d").rows.dropped.queue, 6);
    drop(go);
    predictions.close();
    let rows = predictions.status("t", "d").rows;
    assert_eq!((rows.logged, rows.waiting, rows.dropped.queue), (5, 0, 6));
    assert_eq!(rows_of(&files(&store)), 5);
}

#[test]
fn a_used_up_quota_and_a_forgotten_tenant_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let predictions =
        Predictions::open(store.clone(), Limits::default(), |tenant, _| tenant != "poor").unwrap();
    for tenant in ["poor", "rich", "gone"] {
        let log = predictions.log(tenant, "d", 1, spec(""));
        assert!(offer(&log, answer("a", NOON, 0, 3)));
    }
    predictions.flush().unwrap();
    assert_eq!(predictions.status("poor", "d").rows.dropped.quota, 3);
    assert_eq!(rows_of(&files(&store)), 6);
    predictions.forget("gone").unwrap();
    let left = files(&store);
    assert!(left.len() == 1 && left[0].0.contains("tenant=rich/"), "{left:?}");
}

#[test]
fn a_file_that_can_not_be_written_is_tried_again() {
    let (dir, store, predictions) = open(Limits::default());
    // A file in the place of the folder.
    let blocked = dir.path().join("objects");
    std::fs::write(&blocked, b"").unwrap();
    let log = predictions.log("t", "d", 1, spec(""));
    assert!(offer(&log, answer("a", NOON, 0, 3)));
    predictions.flush().unwrap();
    assert_eq!(predictions.status("t", "d").rows.waiting, 3);
    std::fs::remove_file(&blocked).unwrap();
    predictions.flush().unwrap();
    let rows = predictions.status("t", "d").rows;
    assert_eq!((rows.logged, rows.waiting), (3, 0));
    assert_eq!(rows_of(&files(&store)), 3);
}

#[test]
fn what_is_too_old_goes_at_the_next_start() {
    let (_dir, store, predictions) = open(Limits::default());
    let log = predictions.log("t", "d", 1, spec(r#", "keep_days": 1"#));
    assert!(offer(&log, answer("old", "2020-01-01T00:00:00Z", 0, 1)));
    let now = jiff::Timestamp::now().to_string();
    assert!(offer(&log, answer("new", &now, 0, 1)));
    predictions.close();
    drop(predictions);
    assert_eq!(files(&store).len(), 2);
    // The next start looks at once.
    let predictions = Predictions::open(store.clone(), Limits::default(), |_, _| true).unwrap();
    let start = std::time::Instant::now();
    while files(&store).len() > 1 || predictions.stored_bytes("t") == 0 {
        assert!(start.elapsed().as_secs() < 20, "nothing was removed");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let left = files(&store);
    assert!(!left[0].0.contains("date=2020"), "{left:?}");
}
