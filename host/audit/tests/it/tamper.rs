//! Whatever is done to a log afterwards is found.

use std::fs;
use std::path::{Path, PathBuf};

use caisson_audit::{AuditLog, verify, verify_against};
use proptest::prelude::*;

use crate::support::{assert_whole, copy, event, filled, segments};

/// Records of the log that is tampered with; three segments and more.
const RECORDS: u64 = 14;

/// One log, to be copied.
fn original() -> &'static Path {
    static DIR: std::sync::OnceLock<tempfile::TempDir> = std::sync::OnceLock::new();
    DIR.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path(), RECORDS);
        assert!(segments(dir.path()).len() >= 3);
        assert_whole(dir.path(), RECORDS);
        dir
    })
    .path()
}

/// The lines of all segments, and in which segment each is.
fn lines(dir: &Path) -> Vec<(PathBuf, String)> {
    segments(dir)
        .into_iter()
        .flat_map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            text.split_inclusive('\n')
                .map(|line| (path.clone(), line.to_owned()))
                .collect::<Vec<_>>()
        })
        .collect()
}

fn write_lines(dir: &Path, lines: &[(PathBuf, String)]) {
    for path in segments(dir) {
        let text: String = lines
            .iter()
            .filter(|(of, _)| *of == path)
            .map(|(_, line)| line.as_str())
            .collect();
        fs::write(path, text).unwrap();
    }
}

fn tampered() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    copy(original(), dir.path());
    dir
}

#[track_caller]
fn assert_found(dir: &Path) {
    let report = verify(dir).unwrap();
    assert!(!report.is_whole(), "{report:#?}");
    assert!(report.breaks.iter().all(|b| b.file.starts_with(dir)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_byte(file in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), xor in 1_u8..) {
        let dir = tampered();
        let mut files = segments(dir.path());
        files.push(dir.path().join("head"));
        let path = file.get(&files);
        let mut bytes = fs::read(path).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= xor;
        fs::write(path, bytes).unwrap();
        // The head's format may have become a newer one, which is refused.
        if let Ok(report) = verify(dir.path()) {
            prop_assert!(!report.is_whole());
        }
    }

    #[test]
    fn a_removed_or_added_byte(file in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), added: Option<u8>) {
        let dir = tampered();
        let mut files = segments(dir.path());
        files.push(dir.path().join("head"));
        let path = file.get(&files);
        let mut bytes = fs::read(path).unwrap();
        let at = at.index(bytes.len());
        match added {
            Some(byte) => bytes.insert(at, byte),
            None => { bytes.remove(at); }
        }
        fs::write(path, bytes).unwrap();
        if let Ok(report) = verify(dir.path()) {
            prop_assert!(!report.is_whole());
        }
    }

    #[test]
    fn removed_lines(from in any::<prop::sample::Index>(), count in 1_usize..5) {
        let dir = tampered();
        let mut all = lines(dir.path());
        let from = from.index(all.len());
        all.drain(from..(from + count).min(all.len()));
        write_lines(dir.path(), &all);
        assert_found(dir.path());
    }

    #[test]
    fn swapped_lines(a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>()) {
        let dir = tampered();
        let mut all = lines(dir.path());
        let (a, b) = (a.index(all.len()), b.index(all.len()));
        prop_assume!(a != b);
        let line = all[a].1.clone();
        all[a].1 = std::mem::replace(&mut all[b].1, line);
        write_lines(dir.path(), &all);
        assert_found(dir.path());
    }

    #[test]
    fn an_inserted_line(at in 0..=RECORDS as usize, of in any::<prop::sample::Index>(), garbage: Option<String>) {
        let dir = tampered();
        let mut all = lines(dir.path());
        let line = garbage.map_or_else(|| of.get(&all).1.clone(), |text| text + "\n");
        let path = all[at.min(all.len() - 1)].0.clone();
        all.insert(at, (path, line));
        write_lines(dir.path(), &all);
        assert_found(dir.path());
    }
}

#[test]
fn a_removed_segment() {
    for n in 0..segments(original()).len() {
        let dir = tampered();
        fs::remove_file(&segments(dir.path())[n]).unwrap();
        assert_found(dir.path());
    }
}

#[test]
fn a_removed_head() {
    let dir = tampered();
    fs::remove_file(dir.path().join("head")).unwrap();
    assert_found(dir.path());
}

/// With the folder's own tools a record is added: its hashes are right, and the head is not.
#[test]
fn a_record_added_without_the_head() {
    let dir = tampered();
    let head = fs::read(dir.path().join("head")).unwrap();
    AuditLog::open(dir.path())
        .unwrap()
        .append(event("acme", "forged"))
        .unwrap();
    assert_whole(dir.path(), RECORDS + 1);
    fs::write(dir.path().join("head"), head).unwrap();
    assert_found(dir.path());
}

/// A whole log written anew holds together; a head kept elsewhere shows it.
#[test]
fn a_log_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 5);
    let known = AuditLog::open(dir.path()).unwrap().head();
    assert_eq!(known.hash().len(), 64);
    assert!(verify_against(dir.path(), &known).unwrap().is_whole());
    let log = AuditLog::open(dir.path()).unwrap();
    log.append(event("acme", "later")).unwrap();
    drop(log);
    assert!(verify_against(dir.path(), &known).unwrap().is_whole());

    fs::remove_dir_all(dir.path()).unwrap();
    fs::create_dir(dir.path()).unwrap();
    filled(dir.path(), 5);
    assert_whole(dir.path(), 5);
    assert!(!verify_against(dir.path(), &known).unwrap().is_whole());
    fs::remove_dir_all(dir.path()).unwrap();
    fs::create_dir(dir.path()).unwrap();
    assert!(!verify_against(dir.path(), &known).unwrap().is_whole());
}

#[test]
fn the_place_is_named() {
    let dir = tampered();
    let path = segments(dir.path())[1].clone();
    let text = fs::read_to_string(&path).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines[1] = lines[1].replace("acme", "acne");
    fs::write(&path, lines.join("\n") + "\n").unwrap();
    let report = verify(dir.path()).unwrap();
    assert_eq!(report.breaks_total, 1);
    assert_eq!((&report.breaks[0].file, report.breaks[0].line), (&path, 2));
    assert!(report.breaks[0].what.contains("was changed"), "{report:#?}");
}
