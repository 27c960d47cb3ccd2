//! Data folders that earlier releases wrote: opened, migrated and read whole.
//!
//! `tests/data/format-N` is a data folder of that format, made by the release that wrote it with
//! `write_data_folder` below. What is in them is the same in all: [`records`] and [`blobs`].

use std::path::{Path, PathBuf};

use caisson_store::{Commit, Digest, Expect, Op, Store};

/// The format that this release writes.
const FORMAT: u64 = 2;

fn data(format: u64) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/format-{format}"))
}

/// Of every size that ends up differently in the storage engine.
fn blobs() -> Vec<Vec<u8>> {
    vec![
        Vec::new(),
        b"a plugin".to_vec(),
        (0..20_000_u64).map(|i| ((i * i) >> 7) as u8).collect(),
    ]
}

fn records() -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut records: Vec<_> = (0..40_u32)
        .map(|i| {
            (
                format!("model/acme/{i:03}").into_bytes(),
                vec![i as u8; (i * 37) as usize],
            )
        })
        .collect();
    for blob in blobs() {
        let digest = Digest::of(&blob);
        records.push((
            format!("blob/{digest}").into_bytes(),
            format!("{{\"digest\":\"{digest}\"}}").into_bytes(),
        ));
    }
    records.push((vec![0xff, 0, b'\n'], vec![0, 0xff]));
    records.sort();
    records
}

#[test]
fn every_format_is_opened_and_read_whole() {
    for format in 1..=FORMAT {
        let dir = tempfile::tempdir().unwrap();
        crate::damage::copy_folder(&data(format), dir.path());
        // Twice: what opening makes of it is a data folder, too.
        for _ in 0..2 {
            let store = Store::open(dir.path()).unwrap_or_else(|e| panic!("format {format}: {e}"));
            let mut found = Vec::new();
            store
                .metadata()
                .visit(&mut |key, value| {
                    found.push((key.to_vec(), value.to_vec()));
                    Ok(())
                })
                .unwrap();
            assert_eq!(found, records(), "format {format}");
            for blob in blobs() {
                assert_eq!(store.blobs().read(&Digest::of(&blob), u64::MAX).unwrap(), blob);
            }
            // And it is written to.
            let op = Op::put("new", Expect::Absent, "value");
            assert_eq!(store.metadata().commit(&[op]).unwrap(), Commit::Done);
            let op = Op::delete("new", Expect::Value(b"value".to_vec()));
            assert_eq!(store.metadata().commit(&[op]).unwrap(), Commit::Done);
        }
        let text = std::fs::read_to_string(dir.path().join("caisson-store.json")).unwrap();
        assert!(text.contains(&format!("\"format\":{FORMAT},")), "{text}");
        assert!(text.contains("\"blobs\":\"local\""), "{text}");
    }
}

/// Makes the data folder of today's format: `cargo test -p caisson-store --test it
/// formats::write_data_folder -- --ignored --exact`. Run it when the format has changed, before the
/// release, and commit the folder.
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
    // A process id, which means nothing elsewhere.
    std::fs::remove_file(dir.path().join("lock")).unwrap();
    crate::damage::copy_folder(dir.path(), &data(FORMAT));
}
