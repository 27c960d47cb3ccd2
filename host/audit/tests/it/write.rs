//! Appending: durable, in order, by many at once, and nothing that a field could break.

use std::fs;

use caisson_audit::{Actor, AuditLog, Outcome};

use crate::support::{assert_whole, event, segments, small_segments};

#[test]
fn records_are_numbered_chained_and_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("audit");
    let mut last = None;
    for round in 0..4 {
        let log = AuditLog::open(&dir).unwrap();
        assert_eq!(log.head().seq, round * 5);
        for i in 0..5 {
            let record = log.append(event("acme", &format!("models/{i}"))).unwrap();
            assert_eq!(record.seq, round * 5 + i + 1);
            assert_eq!(record.count, 1);
            last = Some(record);
        }
    }
    let report = assert_whole(&dir, 20);
    let last = last.unwrap();
    assert_eq!(report.last.unwrap().seq, 20);
    assert_eq!(report.last.unwrap().time, last.time);
    let text = fs::read_to_string(&segments(&dir)[0]).unwrap();
    assert_eq!(text.lines().count(), 20);
    assert_eq!(
        text.lines().last().unwrap(),
        serde_json::to_string(&last).unwrap()
    );
}

#[test]
fn a_new_log_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    assert_whole(dir.path(), 0);
    let log = AuditLog::open(dir.path()).unwrap();
    assert!(log.verify().unwrap().is_whole());
    drop(log);
    assert_whole(dir.path(), 0);
}

#[test]
fn segments_follow_each_other() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        let log = AuditLog::open_with(dir.path(), small_segments()).unwrap();
        for i in 0..20 {
            log.append(event("acme", &format!("models/{i}"))).unwrap();
        }
    }
    assert!(segments(dir.path()).len() > 10);
    assert_whole(dir.path(), 60);
}

#[test]
fn many_append_at_once_and_each_gets_its_own_record() {
    let dir = tempfile::tempdir().unwrap();
    let log = AuditLog::open_with(dir.path(), small_segments()).unwrap();
    let mut seqs: Vec<u64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|thread| {
                let log = log.clone();
                scope.spawn(move || {
                    (0..50)
                        .map(|i| {
                            let resource = format!("{thread}/{i}");
                            let record = log.append(event("acme", &resource)).unwrap();
                            assert_eq!(record.resource, resource);
                            // On disk when it returns.
                            assert!(log.head().seq >= record.seq);
                            record.seq
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        let reader = scope.spawn(|| {
            for _ in 0..20 {
                let report = log.verify().unwrap();
                assert!(report.is_whole(), "{report:#?}");
            }
        });
        reader.join().unwrap();
        threads.into_iter().flat_map(|t| t.join().unwrap()).collect()
    });
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=800).collect::<Vec<_>>());
    drop(log);
    assert_whole(dir.path(), 800);
}

#[test]
fn one_process_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let log = AuditLog::open(dir.path()).unwrap();
    assert_eq!(AuditLog::open(dir.path()).err().unwrap().code(), "audit-locked");
    let handle = log.clone();
    drop(log);
    assert_eq!(AuditLog::open(dir.path()).err().unwrap().code(), "audit-locked");
    drop(handle);
    AuditLog::open(dir.path()).unwrap();
}

#[test]
fn a_newer_format_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(AuditLog::open(dir.path()).unwrap());
    fs::write(dir.path().join("head"), "{\"format\":2,\"more\":1}\n").unwrap();
    assert_eq!(
        AuditLog::open(dir.path()).err().unwrap().code(),
        "audit-newer-format"
    );
}

#[test]
fn no_field_breaks_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let log = AuditLog::open(dir.path()).unwrap();
    let evil = "x\n{\"seq\":1}\r\u{0}\u{1b}[2J\u{85}\u{202e}\u{2028}\"}\\";
    let mut hostile = event("acme", evil);
    hostile.actor = Actor::Key {
        key_id: evil.to_owned(),
        key_name: "n".repeat(1 << 20),
        role: evil.to_owned(),
    };
    hostile.tenant = Some(evil.to_owned());
    hostile.action = evil.to_owned();
    hostile.outcome = Outcome::Failed;
    hostile.code = Some(evil.to_owned());
    hostile.detail = "d".repeat(1 << 20);
    hostile.request_id = Some("ü".repeat(1 << 20));
    let record = log.append(hostile).unwrap();
    assert!(
        record
            .resource
            .starts_with("x\\n{\"seq\":1}\\r\\u{0}\\u{1b}[2J\\u{85}\\u{202e}")
    );
    assert!(record.detail.len() <= 1024 && record.detail.ends_with('…'));
    drop(log);
    assert_whole(dir.path(), 1);
    let text = fs::read_to_string(&segments(dir.path())[0]).unwrap();
    assert!(text.len() < 8192 && text.ends_with("\"}\n"));
    assert!(!text.trim_end().chars().any(char::is_control));
}
