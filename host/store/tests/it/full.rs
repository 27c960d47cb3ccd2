//! A disk without room: blobs and metadata fail clearly, what was acknowledged is there, and writing
//! works again when there is room.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use caisson_store::{Commit, Digest, Expect, Op, Options, Store, StoreError};

const DIR: &str = "CAISSON_STORE_TEST_DISK";

/// Run tests as processes, one after the other, on a file system of 48 MiB of their own, which needs
/// Linux's user namespaces or the right to mount.
#[cfg(target_os = "linux")]
fn on_a_small_disk(tests: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let script = format!(
        "mount -t tmpfs -o size=48m caisson-test \"${DIR}\" || exit 1\n\
         for test; do \"$0\" --ignored --exact \"$test\" --nocapture || exit 1; done"
    );
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
        .arg(std::env::current_exe().unwrap())
        .args(tests)
        .env(DIR, dir.path())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(
        output.status.success() && said.matches("FULL DISK CHECKED").count() == tests.len(),
        "if `unshare` may not mount here, allow user namespaces: {said}"
    );
}

#[test]
#[cfg(target_os = "linux")]
fn the_reserves_keep_metadata_writable_longest() {
    on_a_small_disk(&["full::with_reserves"]);
}

#[test]
#[cfg(target_os = "linux")]
fn a_disk_that_others_filled_loses_nothing() {
    let (write, check) = ("full::write_until_full", "full::check_what_is_there");
    on_a_small_disk(&[write, check, write, check, write, check]);
}

/// Leave this many bytes.
fn fill(disk: &Path, leave: u64) -> std::path::PathBuf {
    let path = disk.join("ballast");
    let mut file = fs::File::create(&path).unwrap();
    while file.write_all(&[1; 4096]).is_ok() {}
    let size = file.metadata().unwrap().len();
    file.set_len(size.saturating_sub(leave)).unwrap();
    path
}

fn commit(store: &Store, key: &str, value: &[u8]) -> Result<(), StoreError> {
    let op = Op::put(key, Expect::Any, value);
    assert_eq!(store.metadata().commit(&[op])?, Commit::Done);
    Ok(())
}

#[track_caller]
fn assert_there(store: &Store, keys: u32) {
    for n in 0..keys {
        let blob = format!("blob {n}").into_bytes();
        assert_eq!(store.blobs().read(&Digest::of(&blob), 100).unwrap(), blob);
        let value = store.metadata().get(format!("key/{n}").as_bytes()).unwrap();
        assert_eq!(value, Some(Digest::of(&blob).to_string().into_bytes()), "key {n}");
    }
}

fn write(store: &Store, n: u32) -> Result<(), StoreError> {
    let digest = store.blobs().put(format!("blob {n}").as_bytes())?.digest;
    commit(store, &format!("key/{n}"), digest.to_string().as_bytes())
}

/// Not a test of its own: the process with the small disk.
#[test]
#[ignore = "started by another test, as a process of its own"]
fn with_reserves() {
    let Ok(disk) = std::env::var(DIR) else { return };
    let disk = Path::new(&disk);
    let options = Options {
        metadata_reserve_bytes: 4 << 20,
        blob_reserve_bytes: 12 << 20,
        ..Options::default()
    };
    let store = Store::open_with(disk.join("data"), &options).unwrap();
    for n in 0..20 {
        write(&store, n).unwrap();
    }
    let ballast = fill(disk, 8 << 20);
    let error = store.blobs().put(b"no room for blobs").unwrap_err();
    assert_eq!(error.code(), "store-full");
    assert!(error.to_string().contains("free some space"), "{error}");
    commit(&store, "operator", b"stops a deployment").unwrap();
    fill(disk, 2 << 20);
    let error = commit(&store, "operator", b"no room for records").unwrap_err();
    assert_eq!(error.code(), "store-full");
    assert_there(&store, 20);
    fs::remove_file(&ballast).unwrap();
    write(&store, 20).unwrap();
    assert_there(&store, 21);

    // A blob for which there is room when it begins, and not when it ends.
    let error = store.blobs().put_from(std::io::repeat(1), 1 << 30).unwrap_err();
    assert_eq!(error.code(), "store-full", "{error}");
    assert_eq!(fs::read_dir(disk.join("data/blobs/tmp")).unwrap().count(), 0);
    write(&store, 21).unwrap();
    drop(store);
    fill(disk, 1 << 20);
    let error = Store::open_with(disk.join("data"), &options).err().unwrap();
    assert_eq!(error.code(), "store-full", "{error}");
    fs::remove_file(&ballast).unwrap();
    assert_there(&Store::open_with(disk.join("data"), &options).unwrap(), 22);
    println!("FULL DISK CHECKED");
}

const NO_RESERVES: fn() -> Options = || Options {
    metadata_reserve_bytes: 0,
    blob_reserve_bytes: 0,
    ..Options::default()
};

/// How many records were acknowledged, from one process to the next.
fn acknowledged(disk: &Path) -> u32 {
    fs::read_to_string(disk.join("acknowledged")).map_or(0, |text| text.parse().unwrap())
}

/// Not a test of its own: a process with the small disk.
#[test]
#[ignore = "started by another test, as a process of its own"]
fn write_until_full() {
    let Ok(disk) = std::env::var(DIR) else { return };
    let disk = Path::new(&disk);
    let store = Store::open_with(disk.join("data"), &NO_RESERVES()).unwrap();
    let first = acknowledged(disk);
    for n in first..first + 20 {
        write(&store, n).unwrap();
    }
    fs::write(disk.join("acknowledged"), (first + 20).to_string()).unwrap();
    let ballast = fill(disk, 0);
    let error = store.blobs().put(&[7; 100_000]).unwrap_err();
    assert_eq!(error.code(), "store-full", "{error}");
    // The engine itself runs into the full disk, says so, and is closed until the next start.
    let error = (0..2000)
        .find_map(|n| commit(&store, &format!("filler/{n}"), &[1; 50_000]).err())
        .expect("the disk is never full");
    assert!(matches!(error.code(), "store-full" | "store-failed"), "{error}");
    fs::remove_file(&ballast).unwrap();
    store.blobs().put(b"there is room").unwrap();
    println!("FULL DISK CHECKED");
}

/// Not a test of its own: a process with the small disk.
#[test]
#[ignore = "started by another test, as a process of its own"]
fn check_what_is_there() {
    let Ok(disk) = std::env::var(DIR) else { return };
    let disk = Path::new(&disk);
    let store = Store::open_with(disk.join("data"), &NO_RESERVES()).unwrap();
    assert_there(&store, acknowledged(disk));
    for n in 0..2000 {
        let op = Op::delete(format!("filler/{n}"), Expect::Any);
        assert_eq!(store.metadata().commit(&[op]).unwrap(), Commit::Done);
    }
    println!("FULL DISK CHECKED");
}
