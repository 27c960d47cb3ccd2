//! Blobs: whole or not at all, checked on every way to read, bounded.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use caisson_store::{Commit, Digest, Expect, Op, Options, Store};

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    (dir, store)
}

fn file_of(dir: &Path, digest: &Digest) -> PathBuf {
    let hex = digest.hex();
    dir.join("blobs/sha256")
        .join(&hex[..2])
        .join(&hex[2..4])
        .join(&hex)
}

fn temporary_files(dir: &Path) -> usize {
    fs::read_dir(dir.join("blobs/tmp")).unwrap().count()
}

#[test]
fn what_goes_in_comes_out() {
    let (dir, store) = store();
    let large: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    for bytes in [&b""[..], b"abc", &large] {
        let info = store.blobs().put(bytes).unwrap();
        assert_eq!((info.digest, info.size), (Digest::of(bytes), bytes.len() as u64));
        assert_eq!(store.blobs().put_from(bytes, info.size).unwrap(), info);
        assert!(store.blobs().contains(&info.digest).unwrap());
        assert_eq!(store.blobs().read(&info.digest, info.size).unwrap(), bytes);
        let mut streamed = Vec::new();
        store
            .blobs()
            .open_blob(&info.digest)
            .unwrap()
            .read_to_end(&mut streamed)
            .unwrap();
        assert_eq!(streamed, bytes);
        assert_eq!(
            store.blobs().path(&info.digest).unwrap(),
            file_of(dir.path(), &info.digest)
        );
    }
    assert_eq!(temporary_files(dir.path()), 0);
}

#[test]
fn a_blob_that_is_too_large_leaves_nothing() {
    let (dir, store) = store();
    let error = store.blobs().put_from(&b"123456"[..], 5).unwrap_err();
    assert_eq!(error.code(), "too-large");
    // A stream without end is cut off at the limit.
    let error = store.blobs().put_from(std::io::repeat(1), 1_000_000).unwrap_err();
    assert_eq!(error.code(), "too-large");
    assert_eq!(temporary_files(dir.path()), 0);

    let mut writer = store.blobs().writer(4).unwrap();
    writer.append(b"1234").unwrap();
    assert_eq!(writer.append(b"5").unwrap_err().code(), "too-large");
    assert_eq!(writer.size(), 4);
    assert!(
        writer
            .write_all(b"5")
            .unwrap_err()
            .to_string()
            .contains("the limit is 4")
    );
    assert_eq!(writer.finish().unwrap().digest, Digest::of(b"1234"));
    assert_eq!(
        store.blobs().read(&Digest::of(b"1234"), 3).unwrap_err().code(),
        "too-large"
    );
}

#[test]
fn a_blob_that_is_dropped_half_way_was_never_there() {
    let (dir, store) = store();
    let mut writer = store.blobs().writer(100).unwrap();
    writer.append(b"half").unwrap();
    assert_eq!(temporary_files(dir.path()), 1);
    drop(writer);
    assert_eq!(temporary_files(dir.path()), 0);
    assert!(!store.blobs().contains(&Digest::of(b"half")).unwrap());
}

#[test]
fn a_source_that_fails_leaves_nothing() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("connection lost"))
        }
    }
    let (dir, store) = store();
    let error = store
        .blobs()
        .put_from((&b"start"[..]).chain(Broken), 100)
        .unwrap_err();
    assert!(error.to_string().contains("connection lost"), "{error}");
    assert_eq!(temporary_files(dir.path()), 0);
}

#[test]
fn damage_is_found_named_and_repaired_by_writing_again() {
    let (dir, store) = store();
    let bytes = b"a model of some size".repeat(100);
    let digest = store.blobs().put(&bytes).unwrap().digest;
    let file = file_of(dir.path(), &digest);
    let mut flipped = bytes.clone();
    flipped[1234] ^= 1;
    for damaged in [&flipped[..], &bytes[..1999], b""] {
        fs::write(&file, damaged).unwrap();
        for error in [
            store.blobs().read(&digest, u64::MAX).unwrap_err(),
            store.blobs().open_blob(&digest).unwrap_err(),
            store.blobs().path(&digest).unwrap_err(),
        ] {
            assert_eq!(error.code(), "blob-damaged");
            let text = error.to_string();
            assert!(text.contains(&digest.to_string()), "{text}");
            assert!(text.contains(file.to_str().unwrap()), "{text}");
        }
    }
    store.blobs().put(&bytes).unwrap();
    assert_eq!(store.blobs().read(&digest, u64::MAX).unwrap(), bytes);

    fs::remove_file(&file).unwrap();
    assert_eq!(
        store.blobs().read(&digest, u64::MAX).unwrap_err().code(),
        "blob-missing"
    );
    assert_eq!(store.blobs().path(&digest).unwrap_err().code(), "blob-missing");
}

#[test]
fn a_disk_without_room_refuses_blobs_and_takes_metadata() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        blob_reserve_bytes: u64::MAX,
        ..Options::default()
    };
    let store = Store::open_with(dir.path(), &options).unwrap();
    assert_eq!(store.blobs().put(b"x").unwrap_err().code(), "store-full");
    assert_eq!(temporary_files(dir.path()), 0);
    let op = Op::put("key", Expect::Absent, "value");
    assert_eq!(store.metadata().commit(&[op]).unwrap(), Commit::Done);
}

#[test]
fn many_threads_may_write_the_same_blob() {
    let (dir, store) = store();
    let bytes = b"the same".repeat(10_000);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..5 {
                    let digest = store.blobs().put(&bytes).unwrap().digest;
                    assert_eq!(store.blobs().read(&digest, u64::MAX).unwrap(), bytes);
                }
            });
        }
    });
    assert_eq!(temporary_files(dir.path()), 0);
}

#[test]
fn orphans_are_swept_and_the_young_and_the_named_stay() {
    let (dir, store) = store();
    let put = |text: &str| store.blobs().put(text.as_bytes()).unwrap().digest;
    let (named, young, orphan) = (put("named"), put("young"), put("orphan"));
    let hour = Duration::from_secs(3600);
    for old in [&named, &orphan] {
        let file = File::options()
            .write(true)
            .open(file_of(dir.path(), old))
            .unwrap();
        file.set_modified(SystemTime::now() - 2 * hour).unwrap();
    }
    let foreign = dir.path().join("blobs/sha256/README");
    fs::write(&foreign, "not ours").unwrap();
    let record = format!(r#"{{"format":1,"record":{{"model":{{"file":"{named}"}}}}}}"#);
    let op = Op::put("model/x", Expect::Absent, record);
    assert_eq!(store.metadata().commit(&[op]).unwrap(), Commit::Done);

    let report = store.sweep_orphans(hour).unwrap();
    assert_eq!((report.kept, report.removed, report.removed_bytes), (2, 1, 6));
    assert!(store.blobs().contains(&named).unwrap() && store.blobs().contains(&young).unwrap());
    assert!(!store.blobs().contains(&orphan).unwrap());
    assert!(foreign.exists());
    assert_eq!(store.sweep_orphans(hour).unwrap().removed, 0);
    assert_eq!(store.sweep_orphans(Duration::ZERO).unwrap().removed, 1);
    assert!(store.blobs().contains(&named).unwrap());
}
