//! Records: compare-and-swap, scans and limits.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use caisson_store::{
    COMMIT_OPS_MAX, Commit, Expect, KEY_BYTES_MAX, Op, PAGE_ENTRIES_MAX, Store, VALUE_BYTES_MAX, Write,
};
use proptest::prelude::*;

fn commit(store: &Store, ops: &[Op]) -> Commit {
    store.metadata().commit(ops).unwrap()
}

#[test]
fn a_compare_and_swap_has_one_winner() {
    const THREADS: u64 = 8;
    const ROUNDS: u64 = 40;
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let wins = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (store, wins) = (&store, &wins);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    // All race for the same rounds, two keys at once.
                    let key = format!("round/{round:04}");
                    let owner = thread.to_string();
                    let outcome = commit(
                        store,
                        &[
                            Op::put(key.clone(), Expect::Absent, owner.clone()),
                            Op::put(format!("{key}/also"), Expect::Absent, owner.clone()),
                        ],
                    );
                    match outcome {
                        Commit::Done => {
                            wins.fetch_add(1, Ordering::Relaxed);
                        }
                        Commit::Conflict { key: at, found } => {
                            assert_eq!(at, key.as_bytes());
                            assert_ne!(found.unwrap(), owner.as_bytes());
                        }
                    }
                }
            });
        }
    });
    assert_eq!(wins.load(Ordering::Relaxed), ROUNDS);
    for round in 0..ROUNDS {
        let get = |key: String| store.metadata().get(key.as_bytes()).unwrap().unwrap();
        assert_eq!(
            get(format!("round/{round:04}")),
            get(format!("round/{round:04}/also"))
        );
    }
}

#[test]
fn concurrent_increments_are_never_lost() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..25 {
                    loop {
                        let old = store.metadata().get(b"counter").unwrap();
                        let number: u64 = old
                            .as_deref()
                            .map_or(0, |v| std::str::from_utf8(v).unwrap().parse().unwrap());
                        let expect = old.map_or(Expect::Absent, Expect::Value);
                        let op = Op::put("counter", expect, (number + 1).to_string());
                        if commit(&store, &[op]) == Commit::Done {
                            break;
                        }
                    }
                }
            });
        }
    });
    assert_eq!(store.metadata().get(b"counter").unwrap(), Some(b"200".to_vec()));
}

#[test]
fn a_failed_condition_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(commit(&store, &[Op::put("a", Expect::Absent, "1")]), Commit::Done);
    let outcome = commit(
        &store,
        &[
            Op::put("b", Expect::Absent, "2"),
            Op::delete("a", Expect::Any),
            Op::check("c", Expect::Value(b"3".to_vec())),
        ],
    );
    assert_eq!(
        outcome,
        Commit::Conflict {
            key: b"c".to_vec(),
            found: None
        }
    );
    assert_eq!(store.metadata().get(b"a").unwrap(), Some(b"1".to_vec()));
    assert_eq!(store.metadata().get(b"b").unwrap(), None);
    // Conditions alone are a commit too.
    let both = [
        Op::check("a", Expect::Value(b"1".to_vec())),
        Op::check("b", Expect::Absent),
    ];
    assert_eq!(commit(&store, &both), Commit::Done);
}

#[test]
fn limits_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let metadata = store.metadata();
    let put = |key: usize, value: usize| Op::put(vec![b'k'; key], Expect::Any, vec![0; value]);
    assert_eq!(
        metadata.commit(&[put(KEY_BYTES_MAX, VALUE_BYTES_MAX)]).unwrap(),
        Commit::Done
    );
    assert_eq!(
        metadata.get(&[b'k'; KEY_BYTES_MAX]).unwrap().unwrap().len(),
        VALUE_BYTES_MAX
    );

    let code = |ops: &[Op]| metadata.commit(ops).unwrap_err().code();
    assert_eq!(code(&[put(0, 1)]), "store-bad-request");
    assert_eq!(code(&[put(KEY_BYTES_MAX + 1, 1)]), "store-bad-request");
    assert_eq!(code(&[put(1, VALUE_BYTES_MAX + 1)]), "too-large");
    assert_eq!(code(&[]), "store-bad-request");
    assert_eq!(code(&[put(1, 1), put(1, 2)]), "store-bad-request");
    let many: Vec<Op> = (1..=COMMIT_OPS_MAX + 1).map(|n| put(n, 1)).collect();
    assert_eq!(code(&many), "store-bad-request");
    assert_eq!(metadata.commit(&many[1..]).unwrap(), Commit::Done);
    assert_eq!(metadata.get(b"").unwrap_err().code(), "store-bad-request");
    assert_eq!(
        metadata.scan(b"", None, 0).unwrap_err().code(),
        "store-bad-request"
    );
}

#[test]
fn pages_of_a_scan_are_bounded_in_entries_and_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let metadata = store.metadata();
    let keys: Vec<String> = (0..PAGE_ENTRIES_MAX + 5)
        .map(|i| format!("small/{i:05}"))
        .collect();
    for chunk in keys.chunks(COMMIT_OPS_MAX) {
        let ops: Vec<Op> = chunk
            .iter()
            .map(|key| Op::put(key.as_str(), Expect::Absent, "x"))
            .collect();
        assert_eq!(commit(&store, &ops), Commit::Done);
    }
    for i in 0..45 {
        let op = Op::put(format!("large/{i:05}"), Expect::Absent, vec![1; 100_000]);
        assert_eq!(commit(&store, &[op]), Commit::Done);
    }
    let page = metadata.scan(b"small/", None, usize::MAX).unwrap();
    assert_eq!(page.entries.len(), PAGE_ENTRIES_MAX);
    assert_eq!(page.next.as_deref(), Some(b"small/00999".as_slice()));
    let rest = metadata
        .scan(b"small/", page.next.as_deref(), usize::MAX)
        .unwrap();
    assert_eq!(rest.entries.len(), 5);
    assert_eq!(rest.next, None);

    // 45 × 100,000 bytes are more than the 4 MiB of a page.
    let page = metadata.scan(b"large/", None, usize::MAX).unwrap();
    assert_eq!(page.entries.len(), 42);
    let rest = metadata
        .scan(b"large/", page.next.as_deref(), usize::MAX)
        .unwrap();
    assert_eq!(rest.entries.len(), 3);
}

#[test]
fn a_key_may_be_the_prefix_itself() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    for key in ["a", "a/b", "b"] {
        assert_eq!(commit(&store, &[Op::put(key, Expect::Absent, "x")]), Commit::Done);
    }
    let page = store.metadata().scan(b"a", None, 1).unwrap();
    assert_eq!(page.next.as_deref(), Some(b"a".as_slice()));
    let page = store.metadata().scan(b"a", page.next.as_deref(), 1).unwrap();
    assert_eq!(page.entries, [(b"a/b".to_vec(), b"x".to_vec())]);
    assert_eq!(page.next, None);
    // From before the prefix on.
    let page = store.metadata().scan(b"b", Some(b"a"), 9).unwrap();
    assert_eq!(page.entries.len(), 1);
}

fn odd_key() -> impl Strategy<Value = Vec<u8>> {
    // Few different bytes, so that prefixes and equal keys are common; 0x00 and 0xff among them.
    let byte = prop_oneof![Just(0x00), Just(0xff), Just(b'a'), Just(b'/'), any::<u8>()];
    prop::collection::vec(byte, 1..4)
}

fn op() -> impl Strategy<Value = Op> {
    let value = || prop::collection::vec(any::<u8>(), 0..3);
    let expect = prop_oneof![
        3 => Just(Expect::Any),
        1 => Just(Expect::Absent),
        1 => value().prop_map(Expect::Value),
    ];
    let write = prop_oneof![
        1 => Just(Write::Keep),
        3 => value().prop_map(Write::Put),
        2 => Just(Write::Delete),
    ];
    (odd_key(), expect, write).prop_map(|(key, expect, write)| Op { key, expect, write })
}

/// What [`caisson_store::Metadata::commit`] says, on a map.
fn commit_to_map(map: &mut BTreeMap<Vec<u8>, Vec<u8>>, ops: &[Op]) -> bool {
    let holds = ops.iter().all(|op| match (&op.expect, map.get(&op.key)) {
        (Expect::Any, _) => true,
        (Expect::Absent, found) => found.is_none(),
        (Expect::Value(value), found) => found == Some(value),
    });
    if holds {
        for op in ops {
            match &op.write {
                Write::Keep => {}
                Write::Put(value) => {
                    map.insert(op.key.clone(), value.clone());
                }
                Write::Delete => {
                    map.remove(&op.key);
                }
            }
        }
    }
    holds
}

/// Open a store that was dropped just now: the storage engine's threads keep its file locked for an instant
/// longer.
fn reopened(dir: &std::path::Path) -> Store {
    for _ in 0..100 {
        if let Ok(store) = Store::open(dir) {
            return store;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    Store::open(dir).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Any history of commits, with a restart in the middle, leaves what it would leave in a map;
    /// and any scan of it, however small its pages, gives what the map has.
    #[test]
    fn the_store_behaves_as_a_map(
        commits in prop::collection::vec(prop::collection::vec(op(), 1..5), 1..12),
        prefix in prop::collection::vec(prop_oneof![Just(0x00), Just(0xff), Just(b'a')], 0..3),
        limit in 1_usize..4,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        let mut map = BTreeMap::new();
        let half = commits.len() / 2;
        for (n, mut ops) in commits.into_iter().enumerate() {
            if n == half {
                drop(store);
                store = reopened(dir.path());
            }
            ops.sort_by(|a, b| a.key.cmp(&b.key));
            ops.dedup_by(|a, b| a.key == b.key);
            let done = commit(&store, &ops) == Commit::Done;
            prop_assert_eq!(done, commit_to_map(&mut map, &ops));
        }
        let mut scanned = Vec::new();
        let mut after = None;
        loop {
            let page = store.metadata().scan(&prefix, after.as_deref(), limit).unwrap();
            prop_assert!(page.entries.len() <= limit);
            scanned.extend(page.entries);
            prop_assert!(scanned.len() <= map.len());
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let expected: Vec<_> = map.clone().into_iter().filter(|(key, _)| key.starts_with(&prefix)).collect();
        prop_assert_eq!(scanned, expected);
        for (key, value) in &map {
            let found = store.metadata().get(key).unwrap();
            prop_assert_eq!(found.as_ref(), Some(value));
        }
        let mut visited = BTreeMap::new();
        store.metadata().visit(&mut |key, value| {
            visited.insert(key.to_vec(), value.to_vec());
            Ok(())
        }).unwrap();
        prop_assert_eq!(visited, map);
    }
}
