//! What the tests share.

use std::fs;
use std::path::{Path, PathBuf};

use caisson_audit::{Actor, AuditLog, Event, Options, Outcome, Report, verify};

pub(crate) fn event(tenant: &str, resource: &str) -> Event {
    Event {
        tenant: Some(tenant.to_owned()),
        actor: Actor::Key {
            key_id: "k1".to_owned(),
            key_name: "ci".to_owned(),
            role: "admin".to_owned(),
        },
        from: Some("127.0.0.1:4321".parse().unwrap()),
        action: "model.create".to_owned(),
        resource: resource.to_owned(),
        outcome: Outcome::Done,
        status: 201,
        code: None,
        detail: String::new(),
        request_id: Some("r1".to_owned()),
    }
}

/// Segments of a few records.
pub(crate) fn small_segments() -> Options {
    Options {
        segment_bytes: 2000,
        ..Options::default()
    }
}

/// A closed log of `n` records in small segments.
pub(crate) fn filled(dir: &Path, n: u64) {
    let log = AuditLog::open_with(dir, small_segments()).unwrap();
    for i in 0..n {
        log.append(event("acme", &format!("models/m/{i}"))).unwrap();
    }
}

pub(crate) fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "ndjson"))
        .collect();
    paths.sort();
    paths
}

#[track_caller]
pub(crate) fn assert_whole(dir: &Path, records: u64) -> Report {
    let report = verify(dir).unwrap();
    assert!(report.is_whole(), "{report:#?}");
    assert_eq!(report.records, records);
    report
}

pub(crate) fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
