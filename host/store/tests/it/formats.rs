//! Data folders that earlier releases wrote: opened, migrated and read whole.
//!
//! `tests/data/format-N` is a data folder of that format, made by the release that wrote it with
//! `write_data_folder` below. What is in them is the same in all: [`records`] and [`blobs`].

use std::path::{Path, PathBuf};

use caisson_store::{Commit, Digest, Expect, Op, Store};

fn data(format: u64) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/format-{format}"))
}

/// Of every size that ends up differently in the storage engine.
fn blobs() -> Vec<Vec<u8>> {
    vec![Vec::new(), b"a plugin".to_vec(), (0..20_000_u64).map(|i| (i * i >> 7) as u8).collect()]
}

fn records() -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut records: Vec<_> = (0..40_u32)
        .map(|i| (format!("model/acme/{i:03}").into_bytes(), vec![i as u8; (i * 37) as usize]))
        .collect();
    for blob in blobs() {
        let digest = Digest::of(&blob);
        records.push((format!("blob/{digest}").into_bytes(), format!("{{\"digest\":\"{digest}\"}}").into_bytes()));
    }
    records.push((vec![0xff, 0, b'\n'], vec![0, 0xff]));
    records.sort();
    records
}

/// Makes the data folder of today's format: `cargo test -p caisson-store --test it
/// formats::write_data_folder -- --ignored --exact`. Run it with the last release of a format, before
/// the format changes, and commit the folder.
#[test]
#[ignore = "writes test data"]
fn write_data_folder() {
    let dir = tempfile::tempdir().unwrap();
    {
        let store = Store::open(dir.path()).unwrap();
        for blob in blobs() {
            store.blobs().put(&blob).unwrap();
        }
        for (key, value) in records() {
            let op = Op::put(key, Expect::Absent, value);
            assert_eq!(store.metadata().commit(&[op]).unwrap(), Commit::Done);
        }
    }
    crate::damage::copy_folder(dir.path(), &data(1));
}
