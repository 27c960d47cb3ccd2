//! A disk without room: a clear error, nothing lost, and on again when there is room.

use std::fs;
use std::path::Path;
use std::process::Command;

use caisson_audit::{AuditLog, Filter, verify};

use crate::support::event;

const DIR: &str = "CAISSON_AUDIT_TEST_DISK";

/// On a file system of 1 MiB of its own, which needs Linux's user namespaces or the right to mount.
#[test]
#[cfg(target_os = "linux")]
fn on_a_full_disk_appends_fail_and_work_again() {
    let dir = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=1m caisson-test \"$CAISSON_AUDIT_TEST_DISK\" && exec \"$0\" \"$@\"";
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "full::child_process", "--nocapture"])
        .env(DIR, dir.path())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(
        output.status.success() && said.contains("FULL DISK CHECKED"),
        "if `unshare` may not mount here, allow user namespaces: {said}"
    );
}

/// Not a test of its own: the process with the small disk.
#[test]
#[ignore = "started by another test, as a process of its own"]
fn child_process() {
    let Ok(disk) = std::env::var(DIR) else { return };
    let disk = Path::new(&disk);
    let log = AuditLog::open(disk.join("audit")).unwrap();
    let mut acknowledged = 0;
    for round in 0..3 {
        let ballast = disk.join("ballast");
        fill(&ballast);
        let error = loop {
            match log.append(event("acme", &"x".repeat(400))) {
                Ok(record) => acknowledged = record.seq,
                Err(error) => break error,
            }
        };
        assert_eq!(error.code(), "audit-full", "{error}");
        assert!(error.to_string().contains("free some space"), "{error}");
        let refused = log.append(event("acme", &"x".repeat(400)));
        assert_eq!(refused.unwrap_err().code(), "audit-full");
        log.append_batched(event("flood", &"x".repeat(500)));
        assert_eq!(log.flush().unwrap_err().code(), "audit-full");
        // What was acknowledged is there, and the log holds together.
        assert_eq!(log.head().seq, acknowledged);
        assert!(log.verify().unwrap().is_whole());
        let report = verify(log.dir()).unwrap();
        assert!(report.is_whole(), "{report:#?}");
        assert_eq!(report.records, acknowledged);
        fs::remove_file(ballast).unwrap();
        let record = log.append(event("acme", "there is room")).unwrap();
        assert_eq!(record.seq, acknowledged + 1, "round {round}");
        log.flush().unwrap();
        let counted = log.tail(1, &Filter::of_tenant("flood")).unwrap();
        assert_eq!(
            (counted[0].action.as_str(), counted[0].count),
            ("audit.refusals-counted", 1)
        );
        acknowledged = counted[0].seq;
    }
    drop(log);
    assert!(verify(disk.join("audit")).unwrap().is_whole());
    println!("FULL DISK CHECKED");
}

fn fill(path: &Path) {
    use std::io::Write as _;
    let mut file = fs::File::create(path).unwrap();
    while file.write_all(&[1; 512]).is_ok() {}
}
