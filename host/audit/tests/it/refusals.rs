//! Refusals: soon on the record, counted, and no way to fill the disk.

use std::time::{Duration, Instant};

use caisson_audit::{Actor, AuditLog, Event, Filter, Outcome};

use crate::support::{assert_whole, event};

fn refusal(tenant: Option<&str>, resource: &str) -> Event {
    Event {
        tenant: tenant.map(str::to_owned),
        actor: Actor::Anonymous,
        outcome: Outcome::Refused,
        status: 403,
        code: Some("forbidden".to_owned()),
        ..event("", resource)
    }
}

#[test]
fn repeats_are_one_record_within_about_a_second() {
    let dir = tempfile::tempdir().unwrap();
    let log = AuditLog::open(dir.path()).unwrap();
    for _ in 0..1000 {
        log.append_batched(refusal(Some("acme"), "models/m"));
    }
    log.append_batched(refusal(Some("other"), "models/m"));
    let start = Instant::now();
    while log.head().seq < 2 {
        assert!(start.elapsed() < Duration::from_secs(30), "nothing was written");
        std::thread::sleep(Duration::from_millis(20));
    }
    let records = log.tail(10, &Filter::of_tenant("acme")).unwrap();
    assert_eq!(records.len(), 1);
    assert_eq!((records[0].count, records[0].status), (1000, 403));
    assert_eq!(records[0].actor, Actor::Anonymous);
}

#[test]
fn a_flood_of_different_refusals_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let log = AuditLog::open(dir.path()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let log = &log;
            scope.spawn(move || {
                for i in 0..5000 {
                    log.append_batched(refusal(None, &format!("{thread}/{i}")));
                }
            });
        }
    });
    log.flush().unwrap();
    let records = log.tail(1000, &Filter::default()).unwrap();
    assert!(records.len() < 200, "{}", records.len());
    assert_eq!(records.iter().map(|r| r.count).sum::<u64>(), 20_000);
    drop(log);
    assert_whole(dir.path(), records.len() as u64);
}

#[test]
fn what_is_gathered_is_written_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let log = AuditLog::open(dir.path()).unwrap();
    log.append_batched(refusal(None, "x"));
    drop(log);
    assert_whole(dir.path(), 1);
}
