//! `kill -9` in the middle of writes, over and over on the same folder.
//!
//! This is the test that decides whether the storage engine is fit. `CAISSON_KILL_ROUNDS` makes it
//! longer.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use caisson_store::Store;

use crate::workload;

/// Enough for each phase (open, recovery, first commits, steady state) to be hit.
const ROUNDS: u64 = 10;

#[test]
fn what_was_acknowledged_survives_being_killed() {
    let rounds = std::env::var("CAISSON_KILL_ROUNDS").map_or(ROUNDS, |text| text.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeMap::new();
    let mut slowest_open = Duration::ZERO;
    // Seeded by the clock, and printed: a failure can be run again.
    let mut random = std::env::var("CAISSON_KILL_SEED").map_or_else(
        |_| {
            u64::from(
                SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap()
                    .subsec_nanos(),
            )
        },
        |text| text.parse().unwrap(),
    ) | 1;
    println!("CAISSON_KILL_SEED={random}");
    for round in 0..rounds {
        let child = workload::spawn(dir.path());
        // xorshift; from during the start to well into the writing.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let longest = if round % 3 == 0 { 60 } else { 500 };
        std::thread::sleep(Duration::from_millis(random % longest));
        for (thread, generation) in workload::kill(child) {
            acknowledged.insert(thread, generation);
        }
        let start = Instant::now();
        let store = Store::open(dir.path()).unwrap_or_else(|e| panic!("round {round}: {e}"));
        slowest_open = slowest_open.max(start.elapsed());
        let found = workload::verify(&store, &acknowledged);
        println!("round {round}: acknowledged {acknowledged:?}, found {found:?}");
        // What was found once must not be gone later.
        acknowledged = found;
        // A killed writer leaves temporary files, and open removes them.
        let temporary = dir.path().join("blobs/tmp");
        assert_eq!(std::fs::read_dir(temporary).unwrap().count(), 0);
    }
    println!("{rounds} rounds, slowest open {slowest_open:?}");
    assert!(
        acknowledged.values().sum::<u64>() > rounds,
        "the writing processes hardly wrote: {acknowledged:?}"
    );
}
