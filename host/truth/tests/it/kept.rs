//! Labels are kept: what was acknowledged is there after a restart, and goes when it is told to.

use std::sync::mpsc::channel;

use caisson_truth::TruthError;
use serde_json::json;

use crate::support::{Bench, NOON, SECOND, label, predicted};

fn files(bench: &Bench, folder: &str) -> usize {
    let mut count = 0;
    bench
        .store
        .objects()
        .visit(folder, |_| {
            count += 1;
            Ok(())
        })
        .unwrap();
    count
}

#[test]
fn what_was_acknowledged_is_there_after_a_restart() {
    let bench = Bench::binary(json!({}));
    bench.log(&[
        ("a", vec![predicted(NOON, 0.9)]),
        ("b", vec![predicted(NOON + 30 * SECOND, 0.9)]),
    ]);
    assert_eq!(bench.record(vec![label("a", 0, "1", NOON)]).unwrap(), 1);
    let bench = bench.restarted();
    bench.evaluate(NOON + 60 * SECOND);
    assert_eq!(bench.windows()[0].parts[0].labelled, 1);
}

#[test]
fn labels_that_come_one_by_one_do_not_stay_files_of_their_own() {
    let bench = Bench::binary(json!({}));
    for i in 0..200 {
        bench
            .record(vec![label(&format!("r{i}"), 0, "1", NOON + i)])
            .unwrap();
    }
    assert!(files(&bench, "labels") <= 40, "{}", files(&bench, "labels"));
    bench.log(&[
        ("r7", vec![predicted(NOON, 0.9)]),
        ("z", vec![predicted(NOON + 30 * SECOND, 0.9)]),
    ]);
    bench.evaluate(NOON + 60 * SECOND);
    let (bytes, counts) = bench.truth.status("t", "d");
    let counts = counts.unwrap();
    assert!(bytes > 1000);
    assert_eq!((counts.labels, counts.matched, counts.unmatched), (200, 1, 199));
}

#[test]
fn everything_goes_with_its_deployment_and_its_tenant() {
    let bench = Bench::binary(json!({}));
    for (tenant, deployment) in [("t", "d"), ("t", "e"), ("u", "d")] {
        bench
            .record_of(tenant, deployment, vec![label("a", 0, "1", NOON)])
            .unwrap();
    }
    bench.log(&[
        ("a", vec![predicted(NOON, 0.9)]),
        ("z", vec![predicted(NOON + 30 * SECOND, 0.9)]),
    ]);
    bench.evaluate(NOON + 60 * SECOND);
    assert!(files(&bench, "performance/tenant=t/deployment=d") > 0);
    bench.truth.forget_deployment("t", "d").unwrap();
    assert_eq!(files(&bench, "performance"), 0);
    assert_eq!(files(&bench, "labels/tenant=t/deployment=d"), 0);
    assert_eq!(files(&bench, "labels/tenant=t/deployment=e"), 1);
    bench.truth.forget("t").unwrap();
    assert_eq!(files(&bench, "labels/tenant=t"), 0);
    assert_eq!(files(&bench, "labels/tenant=u"), 1);
    assert_eq!(bench.truth.stored_bytes("t"), 0);
    assert!(bench.truth.stored_bytes("u") > 0);
}

#[test]
fn labels_of_nothing_and_after_the_end_are_refused() {
    let bench = Bench::binary(json!({}));
    let gone = bench.record_of("t", "gone", vec![label("a", 0, "1", NOON)]);
    assert!(matches!(gone, Err(TruthError::Gone)), "{gone:?}");
    bench.truth.close();
    let (done, _told) = channel::<()>();
    let tell = Box::new(move |_| drop(done));
    let ended = bench
        .truth
        .record("t", "d", &bench.ground, vec![label("a", 0, "1", NOON)], tell);
    assert!(matches!(ended, Err(TruthError::Thread(_))), "{ended:?}");
}
