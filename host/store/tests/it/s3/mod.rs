//! Blobs in an object store, against a real S3 server.

mod server;

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use caisson_store::{BlobBackend, Commit, Digest, Expect, Op, Options, Store, StoreError, restore_from};

use server::{BUCKET, Server, options};

const URL: &str = "s3://blobs/caisson";

fn key(digest: &Digest) -> String {
    format!("{BUCKET}/caisson/sha256/{}", digest.hex())
}

fn copies(dir: &Path) -> u64 {
    fn count(dir: &Path) -> u64 {
        fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| if path.is_dir() { count(&path) } else { 1 })
            .sum()
    }
    count(&dir.join("blob-cache"))
}

fn put_named(store: &Store, key: &str, bytes: &[u8]) -> Digest {
    let digest = store.blobs().put(bytes).unwrap().digest;
    let op = Op::put(key, Expect::Absent, digest.to_string());
    assert_eq!(store.metadata().commit(&[op]).unwrap(), Commit::Done);
    digest
}

fn open_error(dir: &Path, options: &Options) -> StoreError {
    match Store::open_with(dir, options) {
        Ok(_) => panic!("{} opens", dir.display()),
        Err(e) => e,
    }
}

#[test]
fn what_goes_in_comes_out() {
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_with(dir.path(), &server.options(URL)).unwrap();
    // In one request, and in parts.
    let large: Vec<u8> = (0..10_000_000_u32).flat_map(u32::to_le_bytes).collect();
    for bytes in [&b""[..], b"abc", &large] {
        let info = store.blobs().put(bytes).unwrap();
        assert_eq!((info.digest, info.size), (Digest::of(bytes), bytes.len() as u64));
        assert!(store.blobs().contains(&info.digest).unwrap());
        assert_eq!(
            server.request("GET", &key(&info.digest), b""),
            (200, bytes.to_vec())
        );
        // From the copy, and from the object store.
        for _ in 0..2 {
            assert_eq!(store.blobs().read(&info.digest, info.size).unwrap(), bytes);
            let path = store.blobs().path(&info.digest).unwrap();
            assert!(path.starts_with(dir.path().join("blob-cache")));
            assert_eq!(fs::read(&path).unwrap(), bytes);
            let mut streamed = Vec::new();
            store
                .blobs()
                .open_blob(&info.digest)
                .unwrap()
                .read_to_end(&mut streamed)
                .unwrap();
            assert_eq!(streamed, bytes);
            fs::remove_file(path).unwrap();
        }
        let error = store.blobs().read(&info.digest, info.size.wrapping_sub(1));
        assert!(info.size == 0 || error.unwrap_err().code() == "too-large");
    }
    let gone = Digest::of(b"never written");
    assert!(!store.blobs().contains(&gone).unwrap());
    let error = store.blobs().read(&gone, 10).unwrap_err();
    assert_eq!(error.code(), "blob-missing");
    assert!(
        error.to_string().contains("s3://blobs/caisson/sha256/"),
        "{error}"
    );
    drop(store);
    // After a restart, and from an asynchronous caller's blocking thread or not.
    let store = Store::open_with(dir.path(), &server.options(URL)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async move {
        assert_eq!(store.blobs().read(&Digest::of(b"abc"), 3).unwrap(), b"abc");
    });
}

#[test]
fn damage_is_found_wherever_it_is() {
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_with(dir.path(), &server.options(URL)).unwrap();
    let digest = store.blobs().put(b"a model").unwrap().digest;
    // In the copy: fetched again.
    let path = store.blobs().path(&digest).unwrap();
    fs::write(&path, b"a modem").unwrap();
    assert_eq!(store.blobs().read(&digest, 100).unwrap(), b"a model");
    fs::write(&path, b"").unwrap();
    assert_eq!(
        fs::read(store.blobs().path(&digest).unwrap()).unwrap(),
        b"a model"
    );
    // In the object store: named, and repaired by writing again.
    fs::remove_file(&path).unwrap();
    assert_eq!(server.request("PUT", &key(&digest), b"a modem").0, 200);
    let error = store.blobs().path(&digest).unwrap_err();
    assert_eq!(error.code(), "blob-damaged");
    assert!(
        error.to_string().contains("s3://blobs/caisson/sha256/"),
        "{error}"
    );
    assert_eq!(copies(dir.path()), 0);
    store.blobs().put(b"a model").unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(store.blobs().read(&digest, 100).unwrap(), b"a model");
    // Gone from it, with the copy still there and without.
    assert_eq!(server.request("DELETE", &key(&digest), b"").0, 204);
    assert_eq!(store.blobs().read(&digest, 100).unwrap(), b"a model");
    fs::remove_file(&path).unwrap();
    assert_eq!(
        store.blobs().read(&digest, 100).unwrap_err().code(),
        "blob-missing"
    );
}

#[test]
fn copies_are_bounded_and_the_used_stay() {
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let mut options = server.options(URL);
    if let BlobBackend::Url { options, .. } = &mut options.blobs {
        options.cache_bytes = 100_000;
    }
    let store = Store::open_with(dir.path(), &options).unwrap();
    let blobs: Vec<_> = (0..8_u8)
        .map(|n| store.blobs().put(&vec![n; 30_000]).unwrap().digest)
        .collect();
    // All were handed out just now: somebody may be about to open them.
    assert_eq!(copies(dir.path()), 8);
    let age = |digest: &Digest, minutes: u64| {
        let file = File::options()
            .write(true)
            .open(store.blobs().path(digest).unwrap())
            .unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(60 * minutes))
            .unwrap();
    };
    for (n, digest) in blobs.iter().enumerate() {
        age(digest, 100 - n as u64);
    }
    // A use makes the oldest the youngest.
    store.blobs().read(&blobs[0], u64::MAX).unwrap();
    let one_more = store.blobs().put(&[9; 30_000]).unwrap().digest;
    assert_eq!(copies(dir.path()), 3);
    assert_eq!(server.request("DELETE", &key(&blobs[0]), b"").0, 204);
    store.blobs().read(&blobs[0], u64::MAX).unwrap();
    // Those that went are fetched again.
    for digest in blobs.iter().skip(1).chain([&one_more]) {
        assert_eq!(store.blobs().read(digest, u64::MAX).unwrap().len(), 30_000);
    }
    // Many at once fetch one blob once, and all get it.
    fs::remove_file(store.blobs().path(&one_more).unwrap()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(store.blobs().read(&one_more, u64::MAX).unwrap(), [9; 30_000]));
        }
    });
    // At open, too, the folder is brought to its size.
    for digest in blobs.iter().skip(1).chain([&one_more]) {
        age(digest, 20);
    }
    drop(store);
    let _store = Store::open_with(dir.path(), &options).unwrap();
    assert!(copies(dir.path()) <= 4);
}

#[test]
fn orphans_are_swept() {
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_with(dir.path(), &server.options(URL)).unwrap();
    let named = put_named(&store, "k", b"named");
    let orphan = store.blobs().put(b"orphan").unwrap().digest;
    let foreign = format!("{BUCKET}/caisson/sha256/README");
    assert_eq!(server.request("PUT", &foreign, b"not ours").0, 200);
    let report = store.sweep_orphans(Duration::from_secs(3600)).unwrap();
    assert_eq!((report.kept, report.removed), (2, 0));
    // The server counts in seconds.
    std::thread::sleep(Duration::from_millis(1100));
    let report = store.sweep_orphans(Duration::ZERO).unwrap();
    assert_eq!((report.kept, report.removed, report.removed_bytes), (1, 1, 6));
    assert!(store.blobs().contains(&named).unwrap());
    assert!(!store.blobs().contains(&orphan).unwrap());
    assert_eq!(
        store.blobs().read(&orphan, 10).unwrap_err().code(),
        "blob-missing"
    );
    assert_eq!(server.request("GET", &foreign, b"").0, 200);
}

#[test]
fn a_backup_goes_from_anywhere_to_anywhere() {
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let remote = server.options(URL);
    let large: Vec<u8> = (0..500_000_u32).flat_map(u32::to_le_bytes).collect();
    let backup = {
        let store = Store::open_with(dir.path().join("data"), &remote).unwrap();
        for n in 0..20_u8 {
            put_named(&store, &n.to_string(), &[n; 100]);
        }
        put_named(&store, "large", &large);
        let mut bytes = Vec::new();
        let report = store.backup_to(&mut bytes).unwrap();
        assert_eq!((report.records, report.blobs, report.left_out_total), (21, 21, 0));
        bytes
    };
    let check = |store: &Store| {
        assert_eq!(crate::backup::records(store).len(), 21);
        for n in 0..20_u8 {
            assert_eq!(store.blobs().read(&Digest::of(&[n; 100]), 100).unwrap(), [n; 100]);
        }
        assert_eq!(store.blobs().read(&Digest::of(&large), u64::MAX).unwrap(), large);
    };
    // To a local folder.
    let local = dir.path().join("local");
    restore_from(&backup[..], &local, &Options::default()).unwrap();
    check(&Store::open(&local).unwrap());
    // To another place in the object store.
    let other = server.options("s3://blobs/other");
    let target = dir.path().join("other");
    restore_from(&backup[..], &target, &other).unwrap();
    check(&Store::open_with(&target, &other).unwrap());
    // A bad one takes nothing over.
    let bad = &backup[..backup.len() - 2048];
    let error = restore_from(bad, dir.path().join("bad"), &remote).unwrap_err();
    assert_eq!(error.code(), "backup-unusable", "{error}");
    drop(Store::open_with(dir.path().join("data"), &remote).unwrap());
    // To the same place, with the data folder lost: it is taken over, and the old folder has it no more.
    let again = dir.path().join("again");
    restore_from(&backup[..], &again, &remote).unwrap();
    check(&Store::open_with(&again, &remote).unwrap());
    let error = open_error(&dir.path().join("data"), &remote);
    assert_eq!(error.code(), "blobs-taken", "{error}");
}

#[test]
fn a_place_is_of_one_data_folder() {
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let options = server.options(URL);
    let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    drop(Store::open_with(&first, &options).unwrap());
    let error = open_error(&second, &options);
    assert_eq!(error.code(), "blobs-taken");
    assert!(error.to_string().contains("its own bucket or prefix"), "{error}");
    // The URL's last slash says nothing.
    drop(Store::open_with(&first, &server.options(&format!("{URL}/"))).unwrap());
    assert_eq!(open_error(&first, &Options::default()).code(), "blobs-moved");
    assert_eq!(
        open_error(&first, &server.options("s3://blobs/elsewhere")).code(),
        "blobs-moved"
    );
    drop(Store::open_with(dir.path().join("third"), &server.options("s3://blobs")).unwrap());
}

#[test]
fn a_missing_bucket_says_so() {
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let error = open_error(dir.path(), &server.options("s3://nowhere/caisson"));
    assert_eq!(error.code(), "bucket-missing", "{error}");
    assert!(
        error.to_string().contains("s3://nowhere/caisson; make it"),
        "{error}"
    );
    // Once it is made, the same folder opens.
    assert_eq!(server.request("PUT", "nowhere", b"").0, 200);
    drop(Store::open_with(dir.path(), &server.options("s3://nowhere/caisson")).unwrap());
}

#[test]
fn wrong_credentials_say_so() {
    let server = Server::start_and_refuse_everybody();
    let dir = tempfile::tempdir().unwrap();
    let error = open_error(dir.path(), &server.options(URL));
    assert_eq!(error.code(), "blobs-denied", "{error}");
    assert!(error.to_string().contains("check AWS_ACCESS_KEY_ID"), "{error}");
    assert!(!error.to_string().contains("secret\""), "{error}");
}

#[test]
fn a_server_that_is_gone_says_so_and_in_time() {
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_with(dir.path(), &server.options(URL)).unwrap();
    let kept = put_named(&store, "kept", b"kept");
    let endpoint = server.endpoint();
    drop(server);
    let start = Instant::now();
    for error in [
        store.blobs().put(b"more").unwrap_err(),
        store.blobs().contains(&kept).unwrap_err(),
        store.blobs().read(&Digest::of(b"other"), 10).unwrap_err(),
        store.sweep_orphans(Duration::ZERO).unwrap_err(),
        store.backup_to(std::io::sink()).unwrap_err(),
    ] {
        assert_eq!(error.code(), "blobs-unreachable", "{error}");
        assert!(error.to_string().contains("check its endpoint"), "{error}");
    }
    // What was there is there: a copy, and every record.
    assert_eq!(store.blobs().read(&kept, 10).unwrap(), b"kept");
    assert!(store.metadata().get(b"kept").unwrap().is_some());
    drop(store);
    let error = open_error(dir.path(), &options(URL, &endpoint));
    assert_eq!(error.code(), "blobs-unreachable", "{error}");
    assert!(
        start.elapsed() < Duration::from_secs(120),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn other_urls_and_options_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for url in [
        "",
        "blobs",
        "gs://blobs",
        "s3://",
        "https://example.org/blobs",
        "s3://a b/c",
    ] {
        let error = open_error(&dir.path().join("data"), &options(url, "http://127.0.0.1:1"));
        assert_eq!(error.code(), "blobs-url", "{url}: {error}");
        fs::remove_dir_all(dir.path().join("data")).unwrap();
    }
    let mut options = options(URL, "http://127.0.0.1:1");
    if let BlobBackend::Url { options, .. } = &mut options.blobs {
        options
            .more
            .insert("virtual_hosted".to_owned(), "true".to_owned());
    }
    let error = open_error(dir.path(), &options);
    assert_eq!(error.code(), "blobs-url", "{error}");
    assert!(!format!("{options:?}").contains("secret\""), "{options:?}");
}

#[test]
fn named_objects_are_beside_the_blobs() {
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_with(dir.path(), &server.options(URL)).unwrap();
    crate::objects::behave(&store.objects());
    let left = format!("{BUCKET}/caisson/objects/predictions/tenant=ab/part-2.parquet");
    assert_eq!(server.request("GET", &left, b""), (200, b"three".to_vec()));
    assert!(!dir.path().join("objects").exists());
}
