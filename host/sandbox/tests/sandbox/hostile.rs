//! Guests that do their worst inside a call. In each case the error names the cause, and the calls
//! of a neighbour, which shares the one thread of the test's runtime, go on meanwhile and after.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use caisson_sandbox::{Cause, Isolation, Limits, Stage, StageError, StageKind, World};

use crate::craft::Craft;
use crate::support::{Request, affine, floats, hostile, sandbox, xs};

const MIB: usize = 1 << 20;

/// Limits that are passed soon.
fn tight() -> Limits {
    Limits {
        memory_bytes: 16 * MIB,
        table_elements: 1000,
        wall: Duration::from_secs(20),
        cpu: Duration::from_millis(50),
        setup_wall: Duration::from_secs(20),
        setup_cpu: Duration::from_millis(200),
        output_bytes: 8 * MIB,
        ..Limits::default()
    }
}

fn tightly(mut request: Request) -> Request {
    request.limits = tight();
    request
}

fn crafted(craft: &Craft) -> Request {
    let mut request = tightly(hostile("well"));
    request.component = craft.component();
    request.config = "{}".into();
    request
}

/// Run something hostile while a neighbour makes calls on the same thread. The neighbour is never
/// kept waiting for long.
async fn beside_a_neighbour<T>(hostile: impl Future<Output = T>) -> T {
    let neighbour = affine().prepare().await.unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&over);
    let (begin, begun) = tokio::sync::oneshot::channel();
    let neighbour = tokio::spawn(async move {
        assert_eq!(floats(&neighbour.apply(&xs(&[20.5])).await.unwrap()), [42.0]);
        begin.send(()).unwrap();
        let mut slowest = Duration::ZERO;
        while !stop.load(Ordering::Relaxed) {
            let started = Instant::now();
            let answer = neighbour.apply(&xs(&[20.5])).await.unwrap();
            assert_eq!(floats(&answer), [42.0]);
            slowest = slowest.max(started.elapsed());
            tokio::task::yield_now().await;
        }
        // And after it.
        assert_eq!(floats(&neighbour.apply(&xs(&[20.5])).await.unwrap()), [42.0]);
        slowest
    });
    begun.await.unwrap();
    let result = hostile.await;
    over.store(true, Ordering::Relaxed);
    let slowest = neighbour.await.unwrap();
    // Far above a tick, for machines that are busy with other things; far below any time limit here.
    assert!(
        slowest < Duration::from_secs(5),
        "the neighbour waited {slowest:?}"
    );
    result
}

/// A stage's error in `apply`; twice, to see that the first left nothing behind.
async fn failing(stage: &Stage) -> StageError {
    let first = beside_a_neighbour(stage.apply(&xs(&[1.0, 2.0])))
        .await
        .unwrap_err();
    let second = stage.apply(&xs(&[1.0, 2.0])).await.unwrap_err();
    assert_eq!(first.cause, second.cause);
    assert_eq!(stage.stats().failures.get(first.cause.code()), Some(&2));
    assert!(
        first.to_string().starts_with("stage acme/churn/step: "),
        "{first}"
    );
    first
}

async fn fails(behave: &str) -> StageError {
    failing(&tightly(hostile(behave)).prepare().await.unwrap()).await
}

#[tokio::test]
async fn an_endless_loop_is_stopped_at_its_deadline() {
    let started = Instant::now();
    let error = fails("loop").await;
    assert_eq!(error.cause, Cause::CpuTime(Duration::from_millis(50)));
    assert!(error.to_string().contains("processor time"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(15));
}

#[tokio::test]
async fn wall_clock_time_is_a_limit_of_its_own() {
    let mut request = tightly(hostile("loop"));
    request.limits.wall = Duration::from_millis(30);
    request.limits.cpu = Duration::from_secs(100);
    let error = failing(&request.prepare().await.unwrap()).await;
    assert_eq!(error.cause, Cause::WallTime(Duration::from_millis(30)));
}

#[tokio::test]
async fn memory_is_bounded() {
    let error = fails("grab-memory").await;
    assert_eq!(
        error.cause,
        Cause::Memory {
            limit_bytes: 16 * MIB
        }
    );
    let message = error.guest_message.unwrap_or_default();
    assert!(
        message.is_empty() || message.contains("memory allocation"),
        "{message}"
    );
    // A guest that can do without goes on.
    let stage = tightly(hostile("grab-memory-gracefully"))
        .prepare()
        .await
        .unwrap();
    assert_eq!(floats(&stage.apply(&xs(&[3.0])).await.unwrap()), [3.0]);
    let peak = stage.stats().memory_peak_bytes;
    assert!(peak <= 16 * MIB as u64 && peak > 12 * MIB as u64, "{peak}");
}

#[tokio::test]
async fn tables_are_bounded() {
    let grow = "(loop $l (br_if $l (i32.ne (table.grow $t (ref.null func) (i32.const 100)) (i32.const -1)))) unreachable";
    let craft = Craft::new().items("(table $t 1 funcref)").apply(grow);
    let stage = crafted(&craft).prepare().await.unwrap();
    let StageKind::Warm { reason } = stage.kind() else {
        panic!("snapshotted")
    };
    assert!(reason.contains("table.grow"), "{reason}");
    assert_eq!(failing(&stage).await.cause, Cause::Table { limit: 1000 });
}

#[tokio::test]
async fn recursion_ends_in_a_stack_overflow() {
    let error = fails("recurse").await;
    assert!(
        matches!(error.cause, Cause::StackOverflow | Cause::OutOfBounds),
        "{error}"
    );
    let craft = Craft::new()
        .items("(func $f (param i64) (result i64) (call $f (i64.add (local.get 0) (call $f (local.get 0)))))")
        .apply("(drop (call $f (i64.const 1)))");
    let stage = crafted(&craft).prepare().await.unwrap();
    assert_eq!(failing(&stage).await.cause, Cause::StackOverflow);
}

#[tokio::test]
async fn traps_are_told_apart() {
    assert_eq!(fails("unreachable").await.cause, Cause::Unreachable);
    assert_eq!(fails("out-of-bounds").await.cause, Cause::OutOfBounds);
    let craft = Craft::new().apply("(drop (i32.div_s (local.get $rows) (i32.const 0)))");
    let error = failing(&crafted(&craft).prepare().await.unwrap()).await;
    assert_eq!(error.cause.code(), "trap");
    assert!(error.to_string().contains("integer divide by zero"), "{error}");
}

#[tokio::test]
async fn a_panic_message_reaches_the_error_and_forges_nothing() {
    let error = fails("panic").await;
    assert_eq!(error.cause, Cause::Unreachable);
    let message = error.guest_message.unwrap();
    assert!(
        message.contains("it was not meant to\\nERROR root: forged"),
        "{message}"
    );
    assert!(message.contains("lib.rs"), "{message}");
}

#[tokio::test]
async fn answers_that_break_the_contract_are_refused() {
    for (behave, expect) in [
        ("wrong-rows", "the plugin returned 1 rows for 2"),
        ("wrong-type", "holds fp64 where the schema says fp32"),
        ("wrong-length", "holds 4 elements where 2 rows need 2"),
        (
            "missing",
            "row 0 of column `x` is missing and the column is not nullable",
        ),
        ("blocks", "the plugin returned"),
    ] {
        let mut request = tightly(hostile(behave));
        // What `blocks` returns is large and still allowed, so that its number is what is wrong.
        request.limits.output_bytes = 64 * MIB;
        request.limits.memory_bytes = 128 * MIB;
        let error = failing(&request.prepare().await.unwrap()).await;
        assert_eq!(error.cause.code(), "bad-output", "{behave}: {error}");
        assert!(error.to_string().contains(expect), "{behave}: {error}");
    }
}

#[tokio::test]
async fn huge_answers_are_refused_before_the_host_allocates_them() {
    let mut request = tightly(hostile("huge-output"));
    request.limits.memory_bytes = 256 * MIB;
    request.limits.cpu = Duration::from_secs(5);
    let error = failing(&request.prepare().await.unwrap()).await;
    assert_eq!(
        error.cause,
        Cause::OutputTooLarge {
            limit: 8 * MIB,
            unit: "bytes"
        }
    );

    // A thousand blocks that are all the same eight megabytes of the guest's memory.
    let craft = Craft::new().memory("200").apply(
        r#"
        (loop $l
            ;; values: fp32, pointer, length; validity: none
            (i32.store8 (i32.add (i32.const 65536) (i32.mul (local.get $i) (i32.const 32))) (i32.const 1))
            (i32.store (i32.add (i32.const 65540) (i32.mul (local.get $i) (i32.const 32))) (i32.const 131072))
            (i32.store (i32.add (i32.const 65544) (i32.mul (local.get $i) (i32.const 32))) (i32.const 4000000))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $l (i32.lt_u (local.get $i) (i32.const 1000))))
        (local.set $blocks (i32.const 65536))
        (local.set $count (i32.const 1000))"#,
    );
    let error = failing(&crafted(&craft).prepare().await.unwrap()).await;
    assert_eq!(error.cause.code(), "output-too-large", "{error}");

    let mut request = hostile("well");
    request.limits.output_rows = 1;
    let error = failing(&request.prepare().await.unwrap()).await;
    assert_eq!(
        error.cause,
        Cause::OutputTooLarge {
            limit: 1,
            unit: "rows"
        }
    );
}

#[tokio::test]
async fn pointers_out_of_the_guests_memory_are_its_own_fault() {
    for apply in [
        "(local.set $blocks (i32.const 0x7fff0000))",
        "(local.set $count (i32.const 0x7fffffff))",
        "(local.set $blocks (i32.const 2))",
        "(return (i32.const -4))",
        "(return (i32.const 3))",
    ] {
        let stage = crafted(&Craft::new().apply(apply)).prepare().await.unwrap();
        let error = failing(&stage).await;
        assert!(
            matches!(error.cause.code(), "trap" | "output-too-large"),
            "{apply}: {error}"
        );
    }
}

#[tokio::test]
async fn host_calls_without_end_are_charged() {
    let error = fails("host-call-storm").await;
    assert_eq!(error.cause.code(), "cpu-time");
}

#[tokio::test]
async fn configure_is_limited_like_any_call() {
    let error = beside_a_neighbour(tightly(hostile("loop-in-configure")).prepare())
        .await
        .unwrap_err();
    assert_eq!(error.cause, Cause::CpuTime(Duration::from_millis(200)));
    let error = tightly(hostile("panic-in-configure"))
        .prepare()
        .await
        .unwrap_err();
    assert_eq!(error.cause, Cause::Unreachable);
    assert!(error.guest_message.unwrap().contains("configure panicked"));
    let error = tightly(hostile("large-state")).prepare().await.unwrap_err();
    assert_eq!(
        error.cause,
        Cause::Memory {
            limit_bytes: 16 * MIB
        }
    );
    let error = hostile("invalid-config").prepare().await.unwrap_err();
    assert_eq!(
        error.cause,
        Cause::InvalidConfig("this config will never do".into())
    );
    let mut request = affine();
    request.input = crate::support::schema(vec![caisson_data::Field::new("t", caisson_data::DataType::Text)]);
    let error = request.prepare().await.unwrap_err();
    assert_eq!(
        error.cause,
        Cause::SchemaMismatch("there is no fp32 column".into())
    );
    // Two fields where there was one, and both of the same name.
    let twice = "(memory.copy (i32.const 4096) (local.get $fields) (i32.const 24))
        (memory.copy (i32.const 4120) (local.get $fields) (i32.const 24))
        (local.set $fields (i32.const 4096)) (local.set $count (i32.const 2))";
    let error = crafted(&Craft::new().configure(twice))
        .prepare()
        .await
        .unwrap_err();
    assert_eq!(error.cause.code(), "bad-output", "{error}");
    assert!(error.to_string().contains("two fields are named `x`"), "{error}");
}

#[tokio::test]
async fn a_start_function_is_limited_too() {
    let spin = Craft::new().items("(func $spin (loop $l (br $l))) (start $spin)");
    let error = beside_a_neighbour(crafted(&spin).prepare()).await.unwrap_err();
    assert_eq!(error.cause, Cause::CpuTime(Duration::from_millis(200)));
    let trap = Craft::new().items("(func $trap unreachable) (start $trap)");
    assert_eq!(
        crafted(&trap).prepare().await.unwrap_err().cause,
        Cause::Unreachable
    );
}

#[tokio::test]
async fn initial_memory_counts() {
    let craft = Craft::new().memory("300");
    let error = crafted(&craft).prepare().await.unwrap_err();
    assert_eq!(
        error.cause,
        Cause::Memory {
            limit_bytes: 16 * MIB
        }
    );
    let error = crafted(&Craft::new().memory("20000"))
        .prepare()
        .await
        .unwrap_err();
    assert_eq!(error.cause.code(), "component-too-complex", "{error}");
}

#[tokio::test]
async fn the_plugins_own_errors_keep_their_place() {
    let error = fails("bad-input").await;
    assert_eq!(
        error.cause,
        Cause::BadInput {
            row: Some(1),
            column: Some("x".into()),
            message: "negative\\nvalue".into()
        }
    );
    assert_eq!(
        error.to_string(),
        "stage acme/churn/step: row 1, column `x`: negative\\nvalue"
    );
    assert!(error.cause.is_plugins_answer());
    assert_eq!(
        fails("internal").await.cause,
        Cause::Internal("something is wrong in here".into())
    );
}

#[tokio::test]
async fn a_trap_ends_a_warm_instance_and_the_next_call_has_a_new_one() {
    let mut request = tightly(hostile("loop"));
    request.isolation = Isolation::Warm {
        instances: 1,
        uses: 100,
        memory_bytes: usize::MAX,
    };
    let stage = request.prepare().await.unwrap();
    assert_eq!(failing(&stage).await.cause.code(), "cpu-time");
    assert!(stage.stats().instances >= 2);
    // What failed gave its place back.
    let (_, warm) = sandbox().instances();
    assert!(warm <= 8, "{warm}");
}

#[tokio::test]
async fn a_dropped_call_ends_its_guest() {
    for isolation in [
        Isolation::Fresh,
        Isolation::Warm {
            instances: 1,
            uses: 100,
            memory_bytes: usize::MAX,
        },
    ] {
        let mut request = hostile("loop");
        request.limits.cpu = Duration::from_secs(100);
        request.limits.wall = Duration::from_secs(100);
        request.limits.concurrent_calls = 1;
        request.isolation = isolation;
        let stage = request.prepare().await.unwrap();
        let input = xs(&[1.0]);
        for _ in 0..20 {
            let call = stage.apply(&input);
            assert!(
                tokio::time::timeout(Duration::from_millis(10), call)
                    .await
                    .is_err()
            );
        }
        // Its turn is free again, so the next call starts rather than waits.
        let call = stage.apply(&input);
        assert!(
            tokio::time::timeout(Duration::from_millis(10), call)
                .await
                .is_err()
        );
        beside_a_neighbour(async {}).await;
    }
}

#[tokio::test]
async fn turns_are_bounded_and_waiting_for_one_is_too() {
    let mut request = hostile("loop");
    request.limits.concurrent_calls = 1;
    request.limits.wall = Duration::from_secs(3);
    request.limits.cpu = Duration::from_secs(100);
    let stage = Arc::new(request.prepare().await.unwrap());
    let first = tokio::spawn({
        let stage = Arc::clone(&stage);
        async move { stage.apply(&xs(&[1.0])).await }
    });
    tokio::task::yield_now().await;
    let error = stage.apply(&xs(&[1.0])).await.unwrap_err();
    assert_eq!(error.cause.code(), "busy", "{error}");
    assert!(
        error.to_string().contains("no free instance within 1s"),
        "{error}"
    );
    assert_eq!(first.await.unwrap().unwrap_err().cause.code(), "wall-time");
}

/// Many at once, most of them hostile: nobody's failure becomes another's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_hostile_calls_harms_nobody() {
    let good = Arc::new(affine().prepare().await.unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    for behave in [
        "loop",
        "grab-memory",
        "recurse",
        "unreachable",
        "panic",
        "wrong-rows",
        "log-flood",
    ] {
        let stage = Arc::new(tightly(hostile(behave)).prepare().await.unwrap());
        for _ in 0..4 {
            let stage = Arc::clone(&stage);
            tasks.spawn(async move {
                let result = stage.apply(&xs(&[1.0, 2.0])).await;
                assert!(behave == "log-flood" || result.is_err());
            });
        }
        for i in 0..10 {
            let good = Arc::clone(&good);
            tasks.spawn(async move {
                assert_eq!(
                    floats(&good.apply(&xs(&[i as f32])).await.unwrap()),
                    [2.0 * i as f32 + 1.0]
                );
            });
        }
    }
    while let Some(result) = tasks.join_next().await {
        result.unwrap();
    }
}

#[tokio::test]
async fn another_world_is_named_with_the_one_wanted() {
    let error = Request::new("affine", World::Validator, "{}")
        .prepare()
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "stage acme/churn/step: the component is a transform, where a validator is needed"
    );
}
