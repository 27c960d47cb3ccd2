//! Where time goes.

use caisson_diagnosis::evidence::{Cold, Queue, StageKind};
use caisson_diagnosis::{EventKind, Severity, diagnose};

use crate::{event, healthy, none, only, stage};

#[test]
fn the_bottleneck_is_named_with_its_share() {
    let mut evidence = healthy();
    evidence.stages[2].total_ms = 8_000.0;
    let found = diagnose(&evidence);
    let bottleneck = only(&found, "bottleneck");
    assert_eq!(
        bottleneck.sentence,
        "`model churn@3` takes 99 % of the time that stages take: 8.0 ms a call."
    );
    assert!(bottleneck.next_step.contains("batching"), "{bottleneck:?}");
    assert_eq!(bottleneck.severity, Severity::Notice, "a share alone is no fault");
    // The others are there to compare with.
    assert!(
        bottleneck
            .evidence
            .iter()
            .any(|fact| fact.label.contains("impute"))
    );
    evidence.stages[2].calls = 3;
    none(&diagnose(&evidence), "bottleneck");
    evidence.stages = vec![stage("transforms[0] slow@1.0.0", StageKind::Plugin, 50, 900.0)];
    assert!(
        only(&diagnose(&evidence), "bottleneck")
            .next_step
            .contains("plugin")
    );
}

#[test]
fn waiting_is_told_from_computing() {
    let mut evidence = healthy();
    // 0.135 ms in the stages each.
    evidence.queue = Some(Queue {
        requests: 1000,
        waited_ms: 12_000.0,
        p95_ms: Some(30.0),
        refused: 0,
    });
    let found = diagnose(&evidence);
    let queueing = only(&found, "queueing");
    assert!(
        queueing.sentence.contains("12.0 ms in the queue against 0.14 ms"),
        "{queueing:?}"
    );
    assert!(
        found.slow.contains("wait longer than they are computed"),
        "{}",
        found.slow
    );
    none(&found, "queue-full");
    // A queue that costs less than the stages is no finding.
    evidence.stages[2].total_ms = 60_000.0;
    none(&diagnose(&evidence), "queueing");
    evidence.queue = evidence.queue.map(|queue| Queue { refused: 7, ..queue });
    assert_eq!(
        only(&diagnose(&evidence), "queue-full").severity,
        Severity::Critical
    );
}

#[test]
fn cold_instances_count_by_their_time_or_their_number() {
    let mut evidence = healthy();
    let cold = |starts, total_ms| Some(Cold { starts, total_ms });
    evidence.stages[0].cold = cold(2, Some(30.0));
    only(&diagnose(&evidence), "cold-instances");
    evidence.stages[0].cold = cold(2, Some(1.0));
    none(&diagnose(&evidence), "cold-instances");
    evidence.stages[0].cold = cold(300, None);
    only(&diagnose(&evidence), "cold-instances");
    evidence.stages[0].cold = cold(3, None);
    none(&diagnose(&evidence), "cold-instances");
}

#[test]
fn deadlines_are_about_time_and_traps_are_not() {
    let mut evidence = healthy();
    evidence.stages[1].failures.insert("cpu-time".to_owned(), 4);
    evidence.stages[1].failures.insert("trap".to_owned(), 9);
    let found = diagnose(&evidence);
    assert!(only(&found, "deadlines").sentence.contains("4 times"));
    let failures = only(&found, "failures");
    assert!(
        failures.sentence.contains("9 times, mostly by `trap`"),
        "{failures:?}"
    );
}

#[test]
fn a_deploy_before_slower_requests_is_named() {
    let mut evidence = healthy();
    evidence.periods[0].p95_ms = Some(20.0);
    let found = diagnose(&evidence);
    let slower = only(&found, "slower");
    assert!(slower.sentence.contains("p95 20.0 ms after 4.0 ms"), "{slower:?}");
    assert!(slower.next_step.contains("Nothing was deployed"), "{slower:?}");
    evidence.events = vec![
        event(600, EventKind::Deploy, "revision 2 went live"),
        event(6, EventKind::Deploy, "revision 3 went live"),
        event(4, EventKind::AlertFiring, "alert `slow` fires"),
    ];
    let found = diagnose(&evidence);
    let slower = only(&found, "slower");
    assert!(slower.sentence.contains("revision 3 went live"), "{slower:?}");
    assert!(slower.next_step.contains("caisson rollback churn"), "{slower:?}");
    assert!(slower.evidence.iter().any(|fact| fact.value == "ann"));
    // As slow as before, and a change too small to notice.
    evidence.periods[0].p95_ms = Some(4.5);
    none(&diagnose(&evidence), "slower");
    evidence.periods[0].p95_ms = Some(0.9);
    evidence.periods[1].p95_ms = Some(0.1);
    none(&diagnose(&evidence), "slower");
    // Too few requests to compare with.
    evidence.periods[0].p95_ms = Some(90.0);
    evidence.periods[1].requests = 2;
    none(&diagnose(&evidence), "slower");
}
