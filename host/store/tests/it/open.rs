//! Opening a data folder: formats, locks, and folders that are something else.

use std::fs;

use caisson_store::record::{self, Record};
use caisson_store::{Commit, Expect, Op, Options, Store, StoreError};
use serde::{Deserialize, Serialize};

use crate::workload;

fn open_error(dir: &std::path::Path, options: &Options) -> StoreError {
    match Store::open_with(dir, options) {
        Ok(_) => panic!("{} opens", dir.display()),
        Err(e) => e,
    }
}

#[test]
fn a_folder_is_made_and_opens_again() {
    let dir = tempfile::tempdir().unwrap();
    let nested = dir.path().join("a/b/c");
    let op = Op::put("key", Expect::Absent, "value");
    let store = Store::open(&nested).unwrap();
    assert_eq!(store.metadata().commit(&[op]).unwrap(), Commit::Done);
    drop(store);
    for _ in 0..5 {
        let store = Store::open(&nested).unwrap();
        assert_eq!(store.metadata().get(b"key").unwrap(), Some(b"value".to_vec()));
    }
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path()).unwrap());
    let file = dir.path().join("caisson-store.json");
    fs::write(&file, r#"{"format":3,"something":"new"}"#).unwrap();
    let error = open_error(dir.path(), &Options::default());
    assert_eq!(error.code(), "store-newer-format");
    assert!(
        error
            .to_string()
            .contains("has format 3, and this release reads formats up to 2")
    );
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        r#"{"format":3,"something":"new"}"#
    );

    fs::write(&file, "{").unwrap();
    assert_eq!(
        open_error(dir.path(), &Options::default()).code(),
        "store-damaged"
    );
}

#[test]
fn a_folder_with_other_files_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis.txt"), "years of work").unwrap();
    let error = open_error(dir.path(), &Options::default());
    assert_eq!(error.code(), "store-not-a-store");
    assert!(!dir.path().join("metadata").exists());
}

#[test]
fn a_folder_in_use_is_refused_and_names_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = workload::spawn(dir.path());
    workload::wait_until_open(&mut child);
    let error = open_error(dir.path(), &Options::default());
    let pid = child.id();
    workload::kill(child);
    assert_eq!(error.code(), "store-locked");
    assert!(
        error.to_string().contains(&format!("by process {pid};")),
        "{error}"
    );
    // The lock went with the process.
    drop(Store::open(dir.path()).unwrap());
}

#[test]
fn one_process_opens_a_folder_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(open_error(dir.path(), &Options::default()).code(), "store-locked");
    let handle = store.clone();
    drop(store);
    assert_eq!(open_error(dir.path(), &Options::default()).code(), "store-locked");
    drop(handle);
    drop(Store::open(dir.path()).unwrap());
}

#[test]
fn a_disk_without_room_is_an_error_at_open() {
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path()).unwrap());
    let options = Options {
        metadata_reserve_bytes: u64::MAX,
        ..Options::default()
    };
    let error = open_error(dir.path(), &options);
    assert_eq!(error.code(), "store-full");
    assert!(error.to_string().contains("free some space"), "{error}");
    drop(Store::open(dir.path()).unwrap());
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Old {
    name: String,
}

impl Record for Old {
    const KIND: &'static str = "test";
    const FORMAT: u32 = 1;
}

#[derive(Serialize, Deserialize)]
struct New {
    names: Vec<String>,
}

impl Record for New {
    const KIND: &'static str = "test";
    const FORMAT: u32 = 2;
}

#[test]
fn records_know_their_format() {
    let old = Old { name: "x".to_owned() };
    let bytes = record::encode(&old).unwrap();
    assert_eq!(bytes, br#"{"format":1,"record":{"name":"x"}}"#);
    assert_eq!(record::decode::<Old>(b"k", &bytes).unwrap(), old);

    let newer = record::encode(&New { names: vec![] }).unwrap();
    let error = record::decode::<Old>(b"k", &newer).unwrap_err();
    assert_eq!(error.code(), "store-newer-format");
    assert!(error.to_string().contains("test record `k`"), "{error}");
    for bad in [
        "",
        "{}",
        "null",
        r#"{"format":1}"#,
        r#"{"format":1,"record":{}}"#,
        r#"{"format":-1,"record":{}}"#,
    ] {
        let error = record::decode::<Old>(b"k", bad.as_bytes()).unwrap_err();
        assert_eq!(error.code(), "store-damaged", "{bad}");
    }
}

#[test]
fn records_are_changed_only_as_they_were_read() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let metadata = store.metadata();
    let named = |name: &str| Old {
        name: name.to_owned(),
    };
    let commit = |op: Op| metadata.commit(&[op]).unwrap();
    assert_eq!(commit(record::create("k/1", &named("a")).unwrap()), Commit::Done);
    assert_ne!(commit(record::create("k/1", &named("b")).unwrap()), Commit::Done);
    let read = record::get::<Old>(metadata, "k/1").unwrap().unwrap();
    assert_eq!(read.record, named("a"));
    assert_eq!(commit(read.check("k/1")), Commit::Done);
    assert_eq!(commit(read.replace("k/1", &named("c")).unwrap()), Commit::Done);
    assert_ne!(commit(read.replace("k/1", &named("d")).unwrap()), Commit::Done);
    assert_eq!(commit(record::create("k/2", &named("e")).unwrap()), Commit::Done);
    let page = record::scan::<Old>(metadata, "k/", None, 1).unwrap();
    assert_eq!(page.records, [named("c")]);
    let page = record::scan::<Old>(metadata, "k/", page.next.as_deref(), 1).unwrap();
    assert_eq!((page.records, page.next), (vec![named("e")], None));
}

#[test]
fn a_record_that_cannot_be_read_hides_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let metadata = store.metadata();
    let good = |name: &str| {
        record::encode(&Old {
            name: name.to_owned(),
        })
        .unwrap()
    };
    let newer = record::encode(&New { names: vec![] }).unwrap();
    let values = [good("a"), b"{\"format\":1,".to_vec(), good("b"), newer, good("c")];
    for (i, value) in values.into_iter().enumerate() {
        let op = Op::put(format!("k/{i}"), Expect::Absent, value);
        assert_eq!(metadata.commit(&[op]).unwrap(), Commit::Done);
    }
    let page = record::scan::<Old>(metadata, "k/", None, 10).unwrap();
    let names: Vec<_> = page.records.iter().map(|record| record.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    let unreadable: Vec<_> = page
        .unreadable
        .iter()
        .map(|bad| (bad.key.as_str(), bad.error.code()))
        .collect();
    assert_eq!(
        unreadable,
        [("k/1", "store-damaged"), ("k/3", "store-newer-format")]
    );
    assert!(page.unreadable[0].error.to_string().contains("test record `k/1`"));
}

#[test]
fn blobs_are_where_they_were() {
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path()).unwrap());
    let options = Options {
        blobs: caisson_store::BlobBackend::Url {
            url: "s3://bucket/x".to_owned(),
            options: caisson_store::UrlOptions::default(),
        },
        ..Options::default()
    };
    let error = open_error(dir.path(), &options);
    assert_eq!(error.code(), "blobs-moved");
    assert!(
        error
            .to_string()
            .contains("are in local, and the configuration says s3://bucket/x"),
        "{error}"
    );
    drop(Store::open(dir.path()).unwrap());
}
