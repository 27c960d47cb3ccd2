//! Reading: the newest, by filter, and a tenant only its own.

use std::io::{self, Write};

use caisson_audit::{Actor, AuditLog, Filter, Outcome, Record};

use crate::support::{event, small_segments};

fn filled(dir: &std::path::Path) -> AuditLog {
    let log = AuditLog::open_with(dir, small_segments()).unwrap();
    for i in 0..40 {
        let mut event = event(["acme", "bolt"][i % 2], &format!("models/{i}"));
        if i % 5 == 0 {
            event.outcome = Outcome::Failed;
        }
        log.append(event).unwrap();
    }
    let mut host = event("", "start");
    host.tenant = None;
    host.actor = Actor::Host;
    host.action = "host.start".to_owned();
    log.append(host).unwrap();
    log
}

fn seqs(records: &[Record]) -> Vec<u64> {
    records.iter().map(|record| record.seq).collect()
}

fn exported(log: &AuditLog, filter: &Filter) -> Vec<Record> {
    let mut output = Vec::new();
    let count = log.export(filter, &mut output).unwrap();
    let records: Vec<Record> = output
        .split(|&b| b == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    assert_eq!(records.len() as u64, count);
    records
}

#[test]
fn the_tail_goes_back_as_far_as_it_must() {
    let dir = tempfile::tempdir().unwrap();
    let log = filled(dir.path());
    assert_eq!(seqs(&log.tail(3, &Filter::default()).unwrap()), [39, 40, 41]);
    assert_eq!(log.tail(0, &Filter::default()).unwrap(), []);
    assert_eq!(log.tail(usize::MAX, &Filter::default()).unwrap().len(), 41);
    let mut bolt = Filter::of_tenant("bolt");
    assert_eq!(seqs(&log.tail(3, &bolt).unwrap()), [36, 38, 40]);
    bolt.before = Some(36);
    assert_eq!(seqs(&log.tail(3, &bolt).unwrap()), [30, 32, 34]);
}

#[test]
fn a_tenant_sees_its_own_records_alone() {
    let dir = tempfile::tempdir().unwrap();
    let log = filled(dir.path());
    for tenant in ["acme", "bolt"] {
        let records = exported(&log, &Filter::of_tenant(tenant));
        assert_eq!(records.len(), 20);
        assert!(
            records
                .iter()
                .all(|record| record.tenant.as_deref() == Some(tenant))
        );
        assert_eq!(records, log.tail(1000, &Filter::of_tenant(tenant)).unwrap());
    }
    assert_eq!(exported(&log, &Filter::of_tenant("nobody")), []);
    assert_eq!(exported(&log, &Filter::of_tenant("")), []);
    assert_eq!(exported(&log, &Filter::default()).len(), 41);
}

#[test]
fn filters_narrow() {
    let dir = tempfile::tempdir().unwrap();
    let log = filled(dir.path());
    let all = exported(&log, &Filter::default());
    let failed = Filter {
        outcome: Some(Outcome::Failed),
        ..Filter::default()
    };
    assert_eq!(exported(&log, &failed).len(), 8);
    let of_key = Filter {
        key_id: Some("k1".to_owned()),
        ..Filter::default()
    };
    assert_eq!(exported(&log, &of_key).len(), 40);
    let of_action = Filter {
        action: Some("host.start".to_owned()),
        ..Filter::default()
    };
    assert_eq!(seqs(&exported(&log, &of_action)), [41]);
    let between = Filter {
        from: Some(all[10].time),
        to: Some(all[20].time),
        ..Filter::default()
    };
    let found = exported(&log, &between);
    assert!(
        found
            .iter()
            .all(|r| r.time >= all[10].time && r.time < all[20].time)
    );
    assert_eq!(
        found.len(),
        all.iter()
            .filter(|r| r.time >= all[10].time && r.time < all[20].time)
            .count()
    );
}

#[test]
fn a_reader_that_leaves_is_an_error() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let log = filled(dir.path());
    assert_eq!(
        log.export(&Filter::default(), Gone).unwrap_err().code(),
        "audit-output"
    );
}
