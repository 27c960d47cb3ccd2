//! Backup and restore.

use std::fs;
use std::path::Path;

use caisson_store::{Commit, Digest, Expect, Op, Store, restore};

fn filled(dir: &Path) -> Store {
    let store = Store::open(dir).unwrap();
    for n in 0..150_u32 {
        let blob = store.blobs().put(&n.to_le_bytes()).unwrap();
        let mut key = n.to_be_bytes().to_vec();
        key.extend_from_slice(b"\xff\x00\n");
        let op = Op::put(key, Expect::Absent, blob.digest.to_string());
        assert_eq!(store.metadata().commit(&[op]).unwrap(), Commit::Done);
    }
    store
}

fn records(store: &Store) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut records = Vec::new();
    store
        .metadata()
        .visit(&mut |key, value| {
            records.push((key.to_vec(), value.to_vec()));
            Ok(())
        })
        .unwrap();
    records
}

#[test]
fn a_restored_backup_is_the_same_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(&dir.path().join("data"));
    let backup = dir.path().join("backup");
    let report = store.backup(&backup).unwrap();
    assert_eq!((report.records, report.blobs, report.blob_bytes), (150, 150, 600));

    let target = dir.path().join("restored");
    assert_eq!(restore(&backup, &target).unwrap(), report);
    let restored = Store::open(&target).unwrap();
    assert_eq!(records(&restored), records(&store));
    for (_, value) in records(&restored) {
        let digest: Digest = String::from_utf8(value).unwrap().parse().unwrap();
        assert_eq!(restored.blobs().read(&digest, 4).unwrap().len(), 4);
    }
}

#[test]
fn a_backup_is_of_one_moment() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("data")).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut n = 0_u32;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let value = n.to_string();
                let ops = ["a", "m", "z"].map(|key| Op::put(key, Expect::Any, value.clone()));
                assert_eq!(store.metadata().commit(&ops).unwrap(), Commit::Done);
                n += 1;
            }
        });
        for n in 0..10 {
            let backup = dir.path().join(format!("backup-{n}"));
            let target = dir.path().join(format!("restored-{n}"));
            store.backup(&backup).unwrap();
            restore(&backup, &target).unwrap();
            let values: Vec<_> = records(&Store::open(target).unwrap())
                .into_iter()
                .map(|(_, value)| value)
                .collect();
            assert!(values.windows(2).all(|pair| pair[0] == pair[1]), "{values:?}");
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn nothing_is_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let backup = dir.path().join("backup");
    let store = filled(&data);
    store.backup(&backup).unwrap();
    assert_eq!(store.backup(&backup).unwrap_err().code(), "backup-unusable");
    drop(store);
    assert_eq!(restore(&backup, &data).unwrap_err().code(), "backup-unusable");
    drop(Store::open(&data).unwrap());
}

#[test]
fn a_bad_backup_is_refused_and_leaves_no_data_folder() {
    type Damage = fn(&Path);
    let damages: [(&str, &str, Damage); 6] = [
        ("incomplete", "backup-unusable", |b| {
            fs::remove_file(b.join("caisson-backup.json")).unwrap();
        }),
        ("newer", "store-newer-format", |b| {
            fs::write(b.join("caisson-backup.json"), r#"{"format":9}"#).unwrap();
        }),
        ("a record is lost", "backup-unusable", |b| {
            let text = fs::read_to_string(b.join("records.jsonl")).unwrap();
            let all_but_one: String = text.split_inclusive('\n').skip(1).collect();
            fs::write(b.join("records.jsonl"), all_but_one).unwrap();
        }),
        ("a record is garbage", "backup-unusable", |b| {
            let text = fs::read_to_string(b.join("records.jsonl")).unwrap();
            fs::write(b.join("records.jsonl"), text.replacen("key", "kee", 1)).unwrap();
        }),
        ("a blob is damaged", "blob-damaged", |b| {
            fs::write(blob(b), b"zero").unwrap();
        }),
        ("a blob is lost", "backup-unusable", |b| {
            fs::remove_file(blob(b)).unwrap()
        }),
    ];
    fn blob(backup: &Path) -> std::path::PathBuf {
        let hex = Digest::of(&0_u32.to_le_bytes()).hex();
        backup
            .join("blobs/sha256")
            .join(&hex[..2])
            .join(&hex[2..4])
            .join(&hex)
    }
    let dir = tempfile::tempdir().unwrap();
    let store = filled(&dir.path().join("data"));
    for (what, code, damage) in damages {
        let backup = dir.path().join(format!("backup {what}"));
        let target = dir.path().join(format!("restored {what}"));
        store.backup(&backup).unwrap();
        damage(&backup);
        let error = restore(&backup, &target).unwrap_err();
        assert_eq!(error.code(), code, "{what}: {error}");
        match Store::open(&target) {
            // Nothing was begun: an empty folder becomes a new store.
            Ok(store) => assert!(records(&store).is_empty(), "{what}"),
            Err(error) => assert_eq!(error.code(), "store-not-a-store", "{what}: {error}"),
        }
    }
}
