//! Old segments go, and what is left verifies.

use std::fs;
use std::time::Duration;

use caisson_audit::{AuditLog, Filter, Options, verify};

use crate::support::{copy, event, filled, segments};

fn small(max_bytes: Option<u64>, max_age: Option<Duration>) -> Options {
    Options {
        segment_bytes: 2000,
        max_bytes,
        max_age,
    }
}

fn size(dir: &std::path::Path) -> u64 {
    segments(dir)
        .iter()
        .map(|path| fs::metadata(path).unwrap().len())
        .sum()
}

#[test]
fn the_log_stays_within_its_size_and_verifies() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        let log = AuditLog::open_with(dir.path(), small(Some(10_000), None)).unwrap();
        for i in 0..100 {
            log.append(event("acme", &i.to_string())).unwrap();
            assert!(size(dir.path()) < 14_000);
        }
        assert!(log.verify().unwrap().is_whole());
        assert!(!log.tail(100, &Filter::default()).unwrap().is_empty());
    }
    let report = verify(dir.path()).unwrap();
    assert!(report.is_whole(), "{report:#?}");
    assert!(report.first.unwrap().seq > 200);
}

#[test]
fn a_limit_on_age_spares_the_young() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 30);
    let before = segments(dir.path()).len();
    drop(AuditLog::open_with(dir.path(), small(None, Some(Duration::from_secs(3600)))).unwrap());
    assert_eq!(segments(dir.path()).len(), before);
    std::thread::sleep(Duration::from_millis(20));
    drop(AuditLog::open_with(dir.path(), small(None, Some(Duration::from_millis(1)))).unwrap());
    assert!(segments(dir.path()).len() <= 2);
    let report = verify(dir.path()).unwrap();
    assert!(report.is_whole(), "{report:#?}");
}

/// A crash between the removals of several segments.
#[test]
fn every_step_of_a_removal_verifies() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 30);
    let before = tempfile::tempdir().unwrap();
    copy(dir.path(), before.path());
    drop(AuditLog::open_with(dir.path(), small(Some(4000), None)).unwrap());
    let left = segments(dir.path()).len();
    // Put the removed ones back, and remove them one by one.
    for path in segments(before.path()) {
        let target = dir.path().join(path.file_name().unwrap());
        if !target.exists() {
            fs::copy(path, target).unwrap();
        }
    }
    let mut all = segments(dir.path());
    assert!(all.len() > left + 2);
    while all.len() > left {
        assert!(verify(dir.path()).unwrap().is_whole(), "{} left", all.len());
        fs::remove_file(all.remove(0)).unwrap();
    }
    assert!(verify(dir.path()).unwrap().is_whole());
    // One more than the log says is a break.
    fs::remove_file(all.remove(0)).unwrap();
    assert!(!verify(dir.path()).unwrap().is_whole());
}
