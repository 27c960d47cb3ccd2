//! Damaged files: an error that says what to do, or no loss at all; never a panic, and never a
//! store that is silently older than what it acknowledged.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use caisson_store::{Commit, Expect, Op, Store, StoreError};

use crate::workload;

fn put(store: &Store, key: &str, value: &str) {
    let op = Op::put(key, Expect::Any, value);
    assert_eq!(store.metadata().commit(&[op]).unwrap(), Commit::Done);
}

fn open_error(dir: &Path) -> StoreError {
    match Store::open(dir) {
        Ok(_) => panic!("{} opens", dir.display()),
        Err(e) => e,
    }
}

/// After a kill sled has only its log to recover from, and cuts it off where it is damaged.
#[test]
fn flipped_bits_after_a_kill_are_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let child = workload::spawn(dir.path());
    std::thread::sleep(Duration::from_millis(400));
    let acknowledged = workload::kill(child);
    let log = dir.path().join("metadata/sled/db");
    let good = fs::read(&log).unwrap();
    let used: Vec<usize> = (0..good.len()).filter(|&i| good[i] != 0).collect();
    let (mut noticed, mut harmless) = (0, 0);
    for n in 0..40 {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(dir.path(), copy.path());
        let mut bytes = good.clone();
        // Spread over the whole log, each time another bit.
        bytes[used[n * used.len() / 40]] ^= 1 << (n % 8);
        fs::write(copy.path().join("metadata/sled/db"), bytes).unwrap();
        match Store::open(copy.path()) {
            Ok(store) => {
                workload::verify(&store, &acknowledged);
                harmless += 1;
            }
            Err(e) => {
                assert_eq!(e.code(), "store-damaged", "{e}");
                assert!(e.to_string().contains("restore the latest backup"), "{e}");
                noticed += 1;
            }
        }
    }
    println!("noticed {noticed}, harmless {harmless}");
    assert!(noticed > 0, "no flip was noticed: the test doesn't hit the data");
}

#[test]
fn flipped_bits_after_a_clean_end_are_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let keys: Vec<String> = (0..60).map(|i| format!("key/{i:03}")).collect();
    {
        let store = Store::open(dir.path()).unwrap();
        for key in &keys {
            put(&store, key, &format!("value of {key} ").repeat(50));
        }
    }
    let log = dir.path().join("metadata/sled/db");
    let good = fs::read(&log).unwrap();
    let used: Vec<usize> = (0..good.len()).filter(|&i| good[i] != 0).collect();
    let mut noticed = 0;
    for n in 0..30 {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(dir.path(), copy.path());
        let mut bytes = good.clone();
        bytes[used[n * used.len() / 30]] ^= 1 << (n % 8);
        fs::write(copy.path().join("metadata/sled/db"), bytes).unwrap();
        match Store::open(copy.path()) {
            Ok(store) => {
                for key in &keys {
                    let value = store.metadata().get(key.as_bytes()).unwrap();
                    assert_eq!(value, Some(format!("value of {key} ").repeat(50).into_bytes()));
                }
            }
            Err(e) => {
                assert_eq!(e.code(), "store-damaged", "{e}");
                noticed += 1;
            }
        }
    }
    assert!(noticed > 0, "no flip was noticed: the test doesn't hit the data");
}

#[test]
fn lost_and_emptied_files_are_noticed() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 6] = [
        ("the log is gone", |sled| {
            fs::remove_file(sled.join("db")).unwrap()
        }),
        ("the log is empty", |sled| {
            fs::write(sled.join("db"), b"").unwrap();
        }),
        ("the log is cut off", |sled| {
            let log = fs::OpenOptions::new().write(true).open(sled.join("db")).unwrap();
            log.set_len(500_000).unwrap();
        }),
        ("everything is gone", |sled| fs::remove_dir_all(sled).unwrap()),
        ("the settings are garbage", |sled| {
            fs::write(sled.join("conf"), b"garbage garbage garbage").unwrap();
        }),
        ("the snapshot is empty", |sled| {
            for entry in fs::read_dir(sled).unwrap() {
                let path = entry.unwrap().path();
                if path.file_name().unwrap().to_str().unwrap().starts_with("snap.") {
                    fs::write(path, b"").unwrap();
                }
            }
        }),
    ];
    for (what, damage) in damages {
        let dir = tempfile::tempdir().unwrap();
        {
            let store = Store::open(dir.path()).unwrap();
            // More than what "cut off" leaves.
            for i in 0..20 {
                put(&store, &format!("key/{i}"), &"x".repeat(60_000));
            }
        }
        // Writes the snapshot.
        drop(Store::open(dir.path()).unwrap());
        damage(&dir.path().join("metadata/sled"));
        let error = open_error(dir.path());
        assert_eq!(error.code(), "store-damaged", "{what}: {error}");
    }
}

#[test]
fn an_older_copy_is_noticed_and_can_be_used_on_purpose() {
    let dir = tempfile::tempdir().unwrap();
    let older = tempfile::tempdir().unwrap();
    put(&Store::open(dir.path()).unwrap(), "key", "old");
    copy_folder(&dir.path().join("metadata/sled"), older.path());
    put(&Store::open(dir.path()).unwrap(), "key", "new");
    fs::remove_dir_all(dir.path().join("metadata/sled")).unwrap();
    copy_folder(older.path(), &dir.path().join("metadata/sled"));

    let error = open_error(dir.path());
    assert_eq!(error.code(), "store-damaged", "{error}");
    let acked = dir.path().join("metadata/acked");
    assert!(error.to_string().contains(acked.to_str().unwrap()), "{error}");

    fs::remove_file(acked).unwrap();
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.metadata().get(b"key").unwrap(), Some(b"old".to_vec()));
}

/// sled takes the file for its newest snapshot, and would refuse to open.
#[test]
fn an_unfinished_snapshot_does_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    put(&Store::open(dir.path()).unwrap(), "key", "value");
    let torn = dir.path().join("metadata/sled/snap.00000000FFFFFFFF.generating");
    fs::write(&torn, b"torn").unwrap();
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.metadata().get(b"key").unwrap(), Some(b"value".to_vec()));
    assert!(!torn.exists());
}

#[test]
fn the_workload_check_can_fail() {
    // The checks of this file and of `kill` rest on `verify`.
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let acknowledged = BTreeMap::from([(0, 3)]);
    let lost = std::panic::AssertUnwindSafe(|| workload::verify(&store, &acknowledged));
    assert!(std::panic::catch_unwind(lost).is_err());
    put(&store, "1/left", &format!("{:020}", 0));
    let in_part = std::panic::AssertUnwindSafe(|| workload::verify(&store, &BTreeMap::new()));
    assert!(std::panic::catch_unwind(in_part).is_err());
}

pub(crate) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
