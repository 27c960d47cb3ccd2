//! Backup and restore: one stream, of one moment, and refused where it isn't to the byte what was
//! written.

use std::fs;
use std::io::{self, Cursor, Read, Write};
use std::path::Path;

use caisson_store::{BackupReport, Commit, Digest, Expect, Op, Options, Store, StoreError, restore_from};

fn filled(dir: &Path, n: u32) -> Store {
    let store = Store::open(dir).unwrap();
    for n in 0..n {
        let blob = store.blobs().put(&n.to_le_bytes()).unwrap();
        let mut key = n.to_be_bytes().to_vec();
        key.extend_from_slice(b"\xff\x00\n");
        let op = Op::put(key, Expect::Absent, blob.digest.to_string());
        assert_eq!(store.metadata().commit(&[op]).unwrap(), Commit::Done);
    }
    store
}

pub(crate) fn records(store: &Store) -> Vec<(Vec<u8>, Vec<u8>)> {
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

fn backup(store: &Store) -> Vec<u8> {
    let mut bytes = Vec::new();
    store.backup_to(&mut bytes).unwrap();
    bytes
}

fn restore(bytes: &[u8], dir: &Path) -> Result<BackupReport, StoreError> {
    restore_from(bytes, dir, &Options::default())
}

#[test]
fn a_restored_backup_is_the_same_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(&dir.path().join("data"), 150);
    store.blobs().put(b"an orphan, which is left behind").unwrap();
    let large: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let digest = store.blobs().put(&large).unwrap().digest;
    let op = Op::put("large", Expect::Absent, format!("{{\"file\":\"{digest}\"}}"));
    assert_eq!(store.metadata().commit(&[op]).unwrap(), Commit::Done);
    let mut bytes = Vec::new();
    let report = store.backup_to(&mut bytes).unwrap();
    assert_eq!(
        (report.records, report.blobs, report.blob_bytes),
        (151, 151, 4_000_600)
    );
    assert_eq!(report.left_out_total, 0);
    assert_eq!(
        fs::read_dir(dir.path().join("data/blobs/tmp")).unwrap().count(),
        0
    );

    let target = dir.path().join("restored");
    assert_eq!(restore(&bytes, &target).unwrap(), report);
    let restored = Store::open(&target).unwrap();
    assert_eq!(records(&restored), records(&store));
    for n in 0..150_u32 {
        let blob = n.to_le_bytes();
        assert_eq!(restored.blobs().read(&Digest::of(&blob), 4).unwrap(), blob);
    }
    assert_eq!(restored.blobs().read(&digest, u64::MAX).unwrap(), large);
    // And back once more: the same bytes but for the order of nothing.
    assert_eq!(backup(&restored), bytes);
}

#[test]
fn an_empty_store_has_a_backup() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = backup(&Store::open(dir.path().join("data")).unwrap());
    let target = dir.path().join("restored");
    assert_eq!(restore(&bytes, &target).unwrap(), BackupReport::default());
    assert!(records(&Store::open(target).unwrap()).is_empty());
}

/// What another program makes of it, too.
#[test]
fn it_is_a_plain_tar_file() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = backup(&filled(&dir.path().join("data"), 2));
    let names: Vec<String> = tar::Archive::new(&bytes[..])
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().display().to_string())
        .collect();
    assert_eq!(names[..2], ["caisson-backup.json", "records.jsonl"]);
    assert!(names[2].starts_with("blobs/sha256/") && names[3].starts_with("blobs/sha256/"));
    assert_eq!(names[4..], ["caisson-backup-end.json"]);
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
                let digest = store.blobs().put(&n.to_le_bytes()).unwrap().digest.to_string();
                let ops = ["a", "m", "z"].map(|key| Op::put(key, Expect::Any, digest.clone()));
                assert_eq!(store.metadata().commit(&ops).unwrap(), Commit::Done);
                n += 1;
            }
        });
        for n in 0..10 {
            let target = dir.path().join(format!("restored-{n}"));
            restore(&backup(&store), &target).unwrap();
            let restored = Store::open(target).unwrap();
            let values: Vec<_> = records(&restored).into_iter().map(|(_, value)| value).collect();
            assert!(values.windows(2).all(|pair| pair[0] == pair[1]), "{values:?}");
            // What the records name is there.
            for value in values {
                let digest: Digest = String::from_utf8(value).unwrap().parse().unwrap();
                assert!(restored.blobs().contains(&digest).unwrap());
            }
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

/// A slow reader of the stream holds up nothing, and no blob that it still needs is swept.
#[test]
fn the_store_serves_while_a_backup_is_read() {
    struct Slow<'a> {
        store: &'a Store,
        bytes: Vec<u8>,
        commits: u32,
        sweep: Option<std::thread::JoinHandle<()>>,
    }
    impl Write for Slow<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Everything that the backup needs is given up while it is written.
            if self.commits == 0 {
                let ops: Vec<Op> = records(self.store)
                    .into_iter()
                    .map(|(key, _)| Op::delete(key, Expect::Any))
                    .collect();
                assert_eq!(self.store.metadata().commit(&ops).unwrap(), Commit::Done);
                let store = self.store.clone();
                self.sweep = Some(std::thread::spawn(move || {
                    assert_eq!(
                        store.sweep_orphans(std::time::Duration::ZERO).unwrap().removed,
                        20
                    );
                }));
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            let op = Op::put("n", Expect::Any, self.commits.to_string());
            assert_eq!(self.store.metadata().commit(&[op]).unwrap(), Commit::Done);
            self.commits += 1;
            self.bytes.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let store = filled(&dir.path().join("data"), 20);
    let mut slow = Slow {
        store: &store,
        bytes: Vec::new(),
        commits: 0,
        sweep: None,
    };
    let report = store.backup_to(&mut slow).unwrap();
    assert_eq!((report.records, report.blobs, report.left_out_total), (20, 20, 0));
    assert!(slow.commits > 20);
    slow.sweep.take().unwrap().join().unwrap();
    let target = dir.path().join("restored");
    restore(&slow.bytes, &target).unwrap();
    assert_eq!(records(&Store::open(target).unwrap()).len(), 20);
}

#[test]
fn a_bad_blob_is_named_and_the_rest_is_backed_up() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(&dir.path().join("data"), 10);
    let file_of = |n: u32| store.blobs().path(&Digest::of(&n.to_le_bytes())).unwrap();
    let (damaged, missing) = (file_of(3), file_of(4));
    fs::write(damaged, b"evil").unwrap();
    fs::remove_file(missing).unwrap();
    let mut bytes = Vec::new();
    let report = store.backup_to(&mut bytes).unwrap();
    assert_eq!((report.records, report.blobs, report.left_out_total), (10, 8, 2));
    let mut left_out: Vec<_> = report.left_out.iter().map(|l| l.digest).collect();
    left_out.sort();
    let mut expected = [Digest::of(&3_u32.to_le_bytes()), Digest::of(&4_u32.to_le_bytes())];
    expected.sort();
    assert_eq!(left_out, expected);
    let reasons: String = report.left_out.iter().map(|l| l.reason.as_str()).collect();
    assert!(
        reasons.contains("is damaged") && reasons.contains("is missing"),
        "{reasons}"
    );

    let target = dir.path().join("restored");
    assert_eq!(restore(&bytes, &target).unwrap(), report);
    let restored = Store::open(target).unwrap();
    assert_eq!(records(&restored).len(), 10);
    let error = restored.blobs().read(&expected[0], 4).unwrap_err();
    assert_eq!(error.code(), "blob-missing");
}

#[test]
fn nothing_is_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let store = filled(&data, 3);
    let bytes = backup(&store);
    drop(store);
    assert_eq!(restore(&bytes, &data).unwrap_err().code(), "restore-not-empty");
    assert_eq!(records(&Store::open(&data).unwrap()).len(), 3);
}

#[test]
fn a_reader_that_leaves_is_an_error() {
    struct Gone(usize);
    impl Write for Gone {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.0);
            self.0 -= count;
            if count == 0 {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            Ok(count)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let store = filled(&dir.path().join("data"), 3);
    for room in [0, 100, 2000, 5000] {
        let error = store.backup_to(Gone(room)).unwrap_err();
        assert_eq!(error.code(), "backup-output", "{error}");
    }
}

#[track_caller]
fn assert_refused(what: &str, bytes: &[u8], code: &str, says: &str) {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("restored");
    let error = restore(bytes, &target).unwrap_err();
    assert_eq!(error.code(), code, "{what}: {error}");
    assert!(error.to_string().contains(says), "{what}: {error}");
    match Store::open(&target) {
        // Nothing was begun: an empty folder becomes a new store.
        Ok(store) => assert!(records(&store).is_empty(), "{what}"),
        Err(error) => assert_eq!(error.code(), "store-not-a-store", "{what}: {error}"),
    }
    // And nothing was written beside it.
    let mut beside = fs::read_dir(dir.path()).unwrap();
    assert!(beside.all(|entry| entry.unwrap().path() == target), "{what}");
}

#[test]
fn a_backup_that_is_cut_off_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = backup(&filled(&dir.path().join("data"), 3));
    // Without the two empty blocks at its end it is whole.
    let whole = bytes.len() - 1024;
    for end in (0..whole).step_by(256).chain([1, 511, 513, whole - 1]) {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("restored");
        let error = restore(&bytes[..end], &target).expect_err("a part was restored");
        assert_eq!(error.code(), "backup-unusable", "{end}: {error}");
    }
    // A stream that breaks.
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("connection lost"))
        }
    }
    let half = Cursor::new(bytes[..whole / 2].to_vec()).chain(Broken);
    let error = restore_from(half, dir.path().join("restored"), &Options::default()).unwrap_err();
    assert_eq!(error.code(), "backup-unusable");
    assert!(error.to_string().contains("connection lost"), "{error}");
}

/// The entries of a backup, to be changed.
fn entries(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    tar::Archive::new(bytes)
        .entries()
        .unwrap()
        .map(|entry| {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (name, bytes)
        })
        .collect()
}

/// A tar file of these entries, whatever their names are.
fn tar_of(entries: &[(String, Vec<u8>)], kind: impl Fn(&str) -> tar::EntryType) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in entries {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        header.set_entry_type(kind(name));
        if !kind(name).is_file() {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_cksum();
        builder.append(&header, &bytes[..]).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn a_backup_that_was_changed_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let good = entries(&backup(&filled(&dir.path().join("data"), 3)));
    let plain = |_: &str| tar::EntryType::Regular;
    // As it is, it can be restored: what is refused below is refused for the change.
    restore(&tar_of(&good, plain), &dir.path().join("restored")).unwrap();
    let blob = good[2].0.clone();
    let zeros = format!("blobs/sha256/{}", "0".repeat(64));
    let fs = format!("blobs/sha256/{}", "f".repeat(64));

    type Change<'a> = Box<dyn Fn(&mut Vec<(String, Vec<u8>)>) + 'a>;
    let text = |entry: usize, from: &'static str, to: &'static str| -> Change<'_> {
        Box::new(move |entries| {
            let text = String::from_utf8(entries[entry].1.clone()).unwrap();
            assert!(text.contains(from), "{text}");
            entries[entry].1 = text.replacen(from, to, 1).into_bytes();
        })
    };
    let name = |entry: usize, name: &'static str| -> Change<'_> {
        Box::new(move |entries| entries[entry].0 = name.to_owned())
    };
    let changes: Vec<(&str, &str, &str, Change<'_>)> = vec![
        (
            "newer",
            "store-newer-format",
            "has format 9",
            text(0, "\"format\":2", "\"format\":9"),
        ),
        (
            "fewer records",
            "backup-unusable",
            "records.jsonl",
            text(0, "\"records\":3", "\"records\":2"),
        ),
        (
            "more blobs",
            "backup-unusable",
            "stands where a blob",
            text(0, "\"blobs\":3", "\"blobs\":4"),
        ),
        (
            "fewer blobs",
            "backup-unusable",
            "stands where caisson-backup-end.json",
            text(0, "\"blobs\":3", "\"blobs\":2"),
        ),
        (
            "endless blobs",
            "backup-unusable",
            "the manifest says 11",
            text(0, "\"blob_bytes\":12", "\"blob_bytes\":11"),
        ),
        (
            "a record is garbage",
            "backup-unusable",
            "line 1",
            text(1, "key", "kee"),
        ),
        (
            "a record is another",
            "backup-unusable",
            "not what the manifest says",
            Box::new(|entries| {
                let at = entries[1].1.iter().position(|&b| b == b'A').unwrap();
                entries[1].1[at] = b'B';
            }),
        ),
        (
            "a record is lost",
            "backup-unusable",
            "the manifest says",
            Box::new(|entries| {
                let at = entries[1].1.iter().position(|&b| b == b'\n').unwrap();
                entries[1].1.drain(..=at);
            }),
        ),
        (
            "a blob is another",
            "backup-unusable",
            "holds bytes of digest",
            Box::new(|entries| entries[2].1[0] ^= 1),
        ),
        (
            "a blob grew",
            "backup-unusable",
            "the manifest says 12",
            Box::new(|entries| entries[2].1.extend([0; 100])),
        ),
        (
            "a blob is lost",
            "backup-unusable",
            "stands where a blob",
            Box::new(|entries| {
                entries.remove(2);
            }),
        ),
        (
            "a blob is there twice",
            "backup-unusable",
            "greater digest",
            Box::new(|entries| entries.insert(2, entries[2].clone())),
        ),
        (
            "blobs are swapped",
            "backup-unusable",
            "greater digest",
            Box::new(|entries| entries.swap(2, 3)),
        ),
        (
            "a blob more",
            "backup-unusable",
            "is",
            Box::new(|entries| entries.insert(2, (zeros.clone(), b"x".to_vec()))),
        ),
        (
            "a blob at the end",
            "backup-unusable",
            "stands where caisson-backup-end.json",
            Box::new(|entries| entries.insert(5, (fs.clone(), b"x".to_vec()))),
        ),
        (
            "a blob called left out",
            "backup-unusable",
            "caisson-backup-end.json",
            Box::new(|entries| {
                entries[2].0 = entries[2].0.replace("blobs/", "left-out/");
            }),
        ),
        (
            "no records",
            "backup-unusable",
            "stands where records.jsonl",
            Box::new(|entries| {
                entries.remove(1);
            }),
        ),
        (
            "no manifest",
            "backup-unusable",
            "it begins with `records.jsonl`",
            Box::new(|entries| {
                entries.remove(0);
            }),
        ),
        (
            "no end",
            "backup-unusable",
            "cut off",
            Box::new(|entries| {
                entries.pop();
            }),
        ),
        (
            "the end is another's",
            "backup-unusable",
            "doesn't fit",
            text(5, "\"left_out\":0", "\"left_out\":1"),
        ),
        (
            "something after the end",
            "backup-unusable",
            "`x` comes after the end",
            Box::new(|entries| entries.push(("x".to_owned(), vec![]))),
        ),
        (
            "an absolute path",
            "backup-unusable",
            "`/etc/cron.d/x` stands where",
            name(2, "/etc/cron.d/x"),
        ),
        (
            "a way out",
            "backup-unusable",
            "`../../x` stands where",
            name(2, "../../x"),
        ),
        (
            "a way out in a blob's name",
            "backup-unusable",
            "stands where",
            name(2, "blobs/sha256/../../../x"),
        ),
        (
            "a name that writes on the terminal",
            "backup-unusable",
            "\\u{1b}[2J",
            name(2, "\u{1b}[2J"),
        ),
    ];
    for (what, code, says, change) in changes {
        let mut changed = good.clone();
        change(&mut changed);
        assert_refused(what, &tar_of(&changed, plain), code, says);
    }
    for kind in [
        tar::EntryType::Symlink,
        tar::EntryType::Link,
        tar::EntryType::Block,
        tar::EntryType::Char,
        tar::EntryType::Fifo,
        tar::EntryType::Directory,
        tar::EntryType::GNUSparse,
        tar::EntryType::GNULongName,
        tar::EntryType::XHeader,
        tar::EntryType::XGlobalHeader,
    ] {
        for victim in [
            "caisson-backup.json",
            "records.jsonl",
            &blob,
            "caisson-backup-end.json",
        ] {
            let kinds = |name: &str| {
                if name == victim {
                    kind
                } else {
                    tar::EntryType::Regular
                }
            };
            assert_refused(
                &format!("{victim}: {kind:?}"),
                &tar_of(&good, kinds),
                "backup-unusable",
                "",
            );
        }
    }
    assert_refused("nothing", b"", "backup-unusable", "nothing in it");
    assert_refused(
        "text",
        &b"hello\n".repeat(1000),
        "backup-unusable",
        "can't be read",
    );
}

/// A size in a header is not believed beyond what the manifest says, and the disk is asked first.
#[test]
fn a_backup_larger_than_the_disk_is_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut changed = entries(&backup(&filled(&dir.path().join("data"), 3)));
    let text = String::from_utf8(changed[0].1.clone()).unwrap();
    changed[0].1 = text
        .replace("\"blob_bytes\":12", &format!("\"blob_bytes\":{}", u64::MAX))
        .into_bytes();
    let bytes = tar_of(&changed, |_| tar::EntryType::Regular);
    assert_refused("huge", &bytes, "store-full", "free some space");
}
