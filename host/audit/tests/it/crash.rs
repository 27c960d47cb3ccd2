//! What a killed process leaves, and what damage leaves: nothing acknowledged is lost, and nothing
//! is repaired in silence.

use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use caisson_audit::{AuditLog, Filter, Options, Outcome, verify};

use crate::support::{assert_whole, event, filled, segments, small_segments};

const DIR: &str = "CAISSON_AUDIT_TEST_DIR";
/// Kills of the same log.
const ROUNDS: u64 = 8;

#[test]
fn what_was_acknowledged_survives_being_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "crash::child_process", "--nocapture"])
            .env(DIR, dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(
            lines.any(|line| line.unwrap().contains("ACK ")),
            "the process wrote nothing"
        );
        std::thread::sleep(Duration::from_millis(20 + round * 37 % 150));
        child.kill().unwrap();
        child.wait().unwrap();
        // The pipe holds what was said before; its last line may be cut off, and a shorter number
        // is only less to ask for.
        for line in lines.map_while(Result::ok) {
            if let Some(seq) = line.split("ACK ").nth(1).and_then(|seq| seq.parse::<u64>().ok()) {
                acknowledged = acknowledged.max(seq);
            }
        }
        let log = AuditLog::open_with(dir.path(), small_segments()).unwrap();
        assert!(
            log.head().seq >= acknowledged,
            "round {round}: {acknowledged} was acknowledged"
        );
        acknowledged = log.head().seq;
        drop(log);
        assert_whole(dir.path(), acknowledged);
    }
    assert!(
        acknowledged > ROUNDS * 4,
        "the processes hardly wrote: {acknowledged}"
    );
}

/// Not a test of its own: the process that is killed.
#[test]
#[ignore = "started by another test, as a process of its own"]
fn child_process() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let log = AuditLog::open_with(dir, small_segments()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let log = &log;
            scope.spawn(move || {
                for i in 0.. {
                    let record = log.append(event("acme", &format!("{thread}/{i}"))).unwrap();
                    let line = format!("\nACK {}\n", record.seq);
                    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
                }
            });
        }
        // Should the parent die without killing us.
        std::thread::sleep(Duration::from_secs(60));
        std::process::exit(1);
    });
}

fn append_raw(path: &Path, bytes: &[u8]) {
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .unwrap()
        .write_all(bytes)
        .unwrap();
}

/// Every way in which the last write can be torn.
#[test]
fn a_torn_tail_is_cut_and_noted() {
    let donor = tempfile::tempdir().unwrap();
    filled(donor.path(), 3);
    let text = fs::read(&segments(donor.path())[0]).unwrap();
    let line = text
        .split_inclusive(|&b| b == b'\n')
        .next_back()
        .unwrap()
        .to_vec();
    let mut torn_then_more = line[..line.len() / 2].to_vec();
    torn_then_more.push(b'\n');
    torn_then_more.extend_from_slice(&line);
    for tail in [
        &line[..1],
        &line[..line.len() / 2],
        &line[..line.len() - 1],
        &[0; 5000],
        &torn_then_more,
    ] {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path(), 2);
        append_raw(&segments(dir.path())[0], tail);
        assert!(!verify(dir.path()).unwrap().is_whole());
        let log = AuditLog::open_with(dir.path(), small_segments()).unwrap();
        let records = log.tail(10, &Filter::default()).unwrap();
        assert_eq!(records.len(), 3);
        assert_eq!(records[2].action, "audit.tail-cut");
        assert!(
            records[2].detail.starts_with(&format!("{} bytes", tail.len())),
            "{}",
            records[2].detail
        );
        log.append(event("acme", "after")).unwrap();
        drop(log);
        assert_whole(dir.path(), 4);
    }
}

/// Killed after the records were flushed and before the head was: they were not acknowledged, and
/// they fit.
#[test]
fn whole_records_beyond_the_head_stay() {
    // In the same segment, and in the one after.
    for n in 2..9 {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path(), n);
        let head = fs::read(dir.path().join("head")).unwrap();
        filled(dir.path(), 1);
        fs::write(dir.path().join("head"), head).unwrap();
        assert!(!verify(dir.path()).unwrap().is_whole());
        let log = AuditLog::open_with(dir.path(), small_segments()).unwrap();
        assert_eq!(log.head().seq, n + 1);
        log.append(event("acme", "next")).unwrap();
        drop(log);
        assert_whole(dir.path(), n + 2);
    }
}

/// Killed between the making of a segment and its first record.
#[test]
fn a_segment_that_was_begun_and_not_written_is_used() {
    let options = || Options {
        max_bytes: Some(1),
        ..small_segments()
    };
    let begun = || {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path(), 3);
        append_raw(&dir.path().join("segment-00000000000000000004.ndjson"), b"");
        // The head is of the new segment now.
        drop(AuditLog::open_with(dir.path(), small_segments()).unwrap());
        assert_whole(dir.path(), 3);
        dir
    };
    let dir = begun();
    // Opened again and again, with a limit on the size, too: the last records are not removed.
    for _ in 0..2 {
        let log = AuditLog::open_with(dir.path(), options()).unwrap();
        assert_eq!(log.tail(10, &Filter::default()).unwrap().len(), 3);
        assert!(log.verify().unwrap().is_whole());
    }
    assert_whole(dir.path(), 3);
    let log = AuditLog::open_with(dir.path(), small_segments()).unwrap();
    log.append(event("acme", "next")).unwrap();
    drop(log);
    assert_whole(dir.path(), 4);

    // What the new segment follows must be there.
    type Damage = fn(&Path);
    let damages: [Damage; 3] = [
        |dir| fs::remove_file(&segments(dir)[0]).unwrap(),
        |dir| fs::write(&segments(dir)[0], "").unwrap(),
        |dir| {
            let text = fs::read_to_string(&segments(dir)[0]).unwrap();
            let end = text.trim_end().rfind('\n').unwrap();
            fs::write(&segments(dir)[0], &text[..=end]).unwrap();
        },
    ];
    for damage in damages {
        let dir = begun();
        damage(dir.path());
        assert!(!verify(dir.path()).unwrap().is_whole());
        let log = AuditLog::open_with(dir.path(), small_segments()).unwrap();
        assert_eq!(
            log.tail(1, &Filter::default()).unwrap()[0].action,
            "audit.damaged"
        );
        assert!(!log.verify().unwrap().is_whole());
    }
}

/// The log goes on, says why, and the damage stays to be seen.
#[test]
fn damage_is_reported_and_left() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 8] = [
        ("a byte", |dir| {
            let path = segments(dir).pop().unwrap();
            let mut bytes = fs::read(&path).unwrap();
            bytes[100] ^= 1;
            fs::write(path, bytes).unwrap();
        }),
        ("the tail is cut", |dir| {
            let path = segments(dir).pop().unwrap();
            let bytes = fs::read(&path).unwrap();
            let end = bytes[..bytes.len() - 1]
                .iter()
                .rposition(|&b| b == b'\n')
                .map_or(0, |at| at + 1);
            fs::write(path, &bytes[..end]).unwrap();
        }),
        ("the newest segment is gone", |dir| {
            fs::remove_file(segments(dir).pop().unwrap()).unwrap();
        }),
        ("all segments are gone", |dir| {
            for path in segments(dir) {
                fs::remove_file(path).unwrap();
            }
        }),
        ("the newest segment is empty", |dir| {
            fs::write(segments(dir).pop().unwrap(), "").unwrap();
        }),
        ("the newest segment is garbage", |dir| {
            fs::write(segments(dir).pop().unwrap(), "garbage\n".repeat(5000)).unwrap();
        }),
        ("the head is gone", |dir| {
            fs::remove_file(dir.join("head")).unwrap()
        }),
        ("the head is torn", |dir| {
            let bytes = fs::read(dir.join("head")).unwrap();
            fs::write(dir.join("head"), &bytes[..50]).unwrap();
        }),
    ];
    for (what, damage) in damages {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path(), 11);
        damage(dir.path());
        let left: Vec<_> = segments(dir.path())
            .into_iter()
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect();
        for round in 0..2 {
            let log = AuditLog::open_with(dir.path(), small_segments()).unwrap();
            let records = log.tail(10, &Filter::default()).unwrap();
            let notes = records.iter().filter(|r| r.action == "audit.damaged").count();
            assert_eq!(notes, 1, "{what}: {records:#?}");
            if round == 0 {
                let note = records.last().unwrap();
                assert_eq!(
                    (note.action.as_str(), note.outcome),
                    ("audit.damaged", Outcome::Failed)
                );
            }
            log.append(event("acme", "after")).unwrap();
        }
        for (path, bytes) in left {
            assert_eq!(fs::read(&path).unwrap(), bytes, "{what}: {}", path.display());
        }
        let report = verify(dir.path()).unwrap();
        // A head that was lost can't be told from one that never was, once it is written again:
        // the note in the log is what remains of it.
        if !what.starts_with("the head") {
            assert!(!report.is_whole(), "{what}");
        }
    }
}
