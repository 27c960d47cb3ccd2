//! Whatever happens in between, everyone gets their own.

use std::sync::atomic::AtomicUsize;

use caisson_data::{Block, DataType, Field, Schema, Values};
use proptest::prelude::*;
use tokio::runtime::Builder;
use tokio::time::sleep;

use super::*;

/// Rows of this value can't be run.
const BAD: i64 = -1;

fn schema() -> Arc<Schema> {
    Arc::new(Schema::new(vec![Field::new("x", DataType::Int64)]).unwrap())
}

fn batch(values: Vec<i64>) -> Batch {
    Batch::new(schema(), values.len(), vec![Block::new(Values::Int64(values))]).unwrap()
}

fn values(batch: &Batch) -> Vec<i64> {
    match &batch.blocks()[0].values {
        Values::Int64(values) => values.clone(),
        other => panic!("{other:?}"),
    }
}

/// `2 x + 1` by row, after some turns of the scheduler; an error where a row is [`BAD`].
async fn double(rows: Batch) -> Answer {
    let rows = values(&rows);
    for _ in 0..rows.first().map_or(0, |x| x.rem_euclid(4)) {
        tokio::task::yield_now().await;
    }
    match rows.iter().position(|&x| x == BAD) {
        Some(row) => Err(ServingError::new(Kind::Unprocessable, "bad", "bad").at(Some(row as u64), None)),
        None => Ok(batch(rows.iter().map(|x| 2 * x + 1).collect())),
    }
}

fn rules() -> Rules {
    BatchingSpec::default().rules(false).unwrap()
}

fn batcher(rules: Rules, runners: usize, run: Run) -> Arc<Batcher> {
    let counts = Counts {
        vitals: Arc::new(crate::vitals::Vitals::new("t", "d", Instant::now())),
        statistics: Arc::default(),
    };
    Batcher::new(rules, runners, false, run, counts)
}

fn threads(n: usize) -> tokio::runtime::Runtime {
    Builder::new_multi_thread()
        .worker_threads(n)
        .enable_time()
        .build()
        .unwrap()
}

#[derive(Debug, Clone)]
struct Caller {
    rows: Vec<i64>,
    /// Turns of the scheduler before it asks.
    late: u8,
    /// Turns after which it goes away.
    leaves: Option<u8>,
    priority: u32,
}

fn caller() -> impl Strategy<Value = Caller> {
    let row = prop_oneof![30 => 0i64..1_000_000, 1 => Just(BAD)];
    (
        prop::collection::vec(row, 1..6),
        0u8..6,
        prop::option::weighted(0.2, 0u8..6),
        0u32..5,
    )
        .prop_map(|(rows, late, leaves, priority)| Caller {
            rows,
            late,
            leaves,
            priority,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Callers of random sizes, at random times, some with rows that can't be run, some that go away:
    /// each that stays gets the answer for its rows in their order, or the error of its own row.
    #[test]
    fn everyone_gets_their_own(
        callers in prop::collection::vec(caller(), 1..60),
        workers in 1usize..4,
        runners in 1usize..4,
        rows_max in 1usize..20,
        delay_us in prop_oneof![Just(0u64), Just(300), Just(1500)],
        levels in 1u32..4,
    ) {
        let rules = Rules {
            rows_max,
            delay: Duration::from_micros(delay_us),
            levels,
            default_level: 1,
            requests_max: 1000,
            timeout: Duration::from_secs(60),
            ..rules()
        };
        let asked = Arc::new(AtomicUsize::new(0));
        let batcher = batcher(rules, runners, Box::new(|rows, _| Box::pin(double(rows))));
        threads(workers).block_on(async {
            let tasks: Vec<_> = callers.iter().cloned().map(|caller| {
                let (batcher, asked) = (Arc::clone(&batcher), Arc::clone(&asked));
                tokio::spawn(async move {
                    for _ in 0..caller.late {
                        tokio::task::yield_now().await;
                    }
                    asked.fetch_add(1, Ordering::Relaxed);
                    let options = CallOptions { priority: caller.priority, ..CallOptions::default() };
                    let ask = batcher.submit(batch(caller.rows.clone()), options, None);
                    match caller.leaves {
                        None => Some(ask.await),
                        Some(turns) => {
                            let leave = async { for _ in 0..turns { tokio::task::yield_now().await; } };
                            tokio::select! { answer = ask => Some(answer), () = leave => None }
                        }
                    }
                })
            }).collect();
            for (task, caller) in tasks.into_iter().zip(&callers) {
                let answer = timeout(Duration::from_secs(20), task).await.expect("an answer").unwrap();
                match (answer, caller.rows.iter().position(|&x| x == BAD)) {
                    (None, _) => {}
                    (Some(Ok(got)), None) => {
                        let want: Vec<i64> = caller.rows.iter().map(|x| 2 * x + 1).collect();
                        prop_assert_eq!(values(&got), want);
                    }
                    (Some(Err(error)), Some(row)) => {
                        prop_assert_eq!((error.code, error.row), ("bad", Some(row as u64)));
                    }
                    (Some(answer), bad) => prop_assert!(false, "{answer:?} for {bad:?}"),
                }
            }
            // Runners see to what those who left have left, and end.
            let idle = async {
                while batcher.lock().runners > 0 {
                    sleep(Duration::from_millis(1)).await;
                }
            };
            timeout(Duration::from_secs(20), idle).await.expect("idle");
            Ok(())
        })?;
        prop_assert_eq!(asked.load(Ordering::Relaxed), callers.len());
        prop_assert_eq!(batcher.lock().queue.len(), 0);
    }
}

#[test]
fn those_who_are_there_share_a_run_and_a_lone_one_waits_for_nobody() {
    let sizes = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&sizes);
    let run: Run = Box::new(move |rows, _| {
        seen.lock().unwrap().push(rows.rows());
        Box::pin(double(rows))
    });
    let batcher = batcher(rules(), 1, run);
    Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
        .block_on(async {
            let ask = |x| batcher.submit(batch(vec![x]), CallOptions::default(), None);
            ask(0).await.unwrap();
            join_all((0..10).map(ask)).await;
        });
    assert_eq!(*sizes.lock().unwrap(), [1, 10]);
}

#[test]
fn a_run_that_nobody_waits_for_ends() {
    struct Ends(Arc<AtomicUsize>);
    impl Drop for Ends {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let ended = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&ended);
    let run: Run = Box::new(move |rows, _| {
        let ends = Ends(Arc::clone(&counted));
        Box::pin(async move {
            sleep(Duration::from_secs(3600)).await;
            drop(ends);
            Ok(rows)
        })
    });
    // It starts once both are there.
    let rules = Rules {
        preferred: vec![2],
        delay: Duration::from_secs(60),
        timeout: Duration::from_secs(120),
        ..rules()
    };
    let batcher = batcher(rules, 1, run);
    threads(1).block_on(async {
        let ask = |x| {
            let batcher = Arc::clone(&batcher);
            tokio::spawn(async move { batcher.submit(batch(vec![x]), CallOptions::default(), None).await })
        };
        let (first, second) = (ask(1), ask(2));
        while batcher.lock().gathering || batcher.lock().runners == 0 {
            sleep(Duration::from_millis(1)).await;
        }
        first.abort();
        sleep(Duration::from_millis(20)).await;
        assert_eq!(ended.load(Ordering::Relaxed), 0, "one still waits");
        second.abort();
        timeout(Duration::from_secs(10), async {
            while ended.load(Ordering::Relaxed) == 0 {
                sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .unwrap();
    });
}

/// Runs that take until they are told.
fn held() -> (Arc<tokio::sync::Semaphore>, Run) {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let held = Arc::clone(&gate);
    let run: Run = Box::new(move |rows, _| {
        let gate = Arc::clone(&held);
        Box::pin(async move {
            gate.acquire().await.unwrap().forget();
            Ok(rows)
        })
    });
    (gate, run)
}

#[test]
fn a_full_queue_refuses_at_once() {
    let (gate, run) = held();
    let rules = Rules {
        requests_max: 2,
        ..rules()
    };
    let batcher = batcher(rules, 1, run);
    Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
        .block_on(async {
            let ask = |x| {
                let batcher = Arc::clone(&batcher);
                tokio::spawn(
                    async move { batcher.submit(batch(vec![x]), CallOptions::default(), None).await },
                )
            };
            let first = ask(1);
            while batcher.lock().queue.len() > 0 || batcher.lock().runners == 0 {
                tokio::task::yield_now().await;
            }
            let others = [ask(2), ask(3)];
            while batcher.lock().queue.len() < 2 {
                tokio::task::yield_now().await;
            }
            assert_eq!(ask(4).await.unwrap().unwrap_err().code, "queue-full");
            gate.add_permits(3);
            for (task, x) in std::iter::once(first).chain(others).zip(1..) {
                assert_eq!(values(&task.await.unwrap().unwrap()), [x]);
            }
        });
}

#[test]
fn an_impatient_request_hears_so_while_the_run_before_it_goes_on() {
    let (gate, run) = held();
    let batcher = batcher(rules(), 1, run);
    threads(1).block_on(async {
        let ask = |x, timeout| {
            let batcher = Arc::clone(&batcher);
            let options = CallOptions {
                timeout,
                ..CallOptions::default()
            };
            tokio::spawn(async move { batcher.submit(batch(vec![x]), options, None).await })
        };
        let first = ask(1, None);
        while batcher.lock().queue.len() > 0 || batcher.lock().runners == 0 {
            sleep(Duration::from_millis(1)).await;
        }
        let impatient = ask(2, Some(Duration::from_millis(1)));
        let error = timeout(Duration::from_secs(20), impatient)
            .await
            .unwrap()
            .unwrap()
            .unwrap_err();
        assert_eq!(error.code, "queue-timeout");
        assert!(!first.is_finished());
        gate.add_permits(1);
        assert_eq!(values(&first.await.unwrap().unwrap()), [1]);
    });
}

#[test]
fn a_run_that_panics_is_one_answer() {
    let run: Run = Box::new(|rows, _| {
        Box::pin(async move {
            assert!(!values(&rows).contains(&BAD), "a defect");
            Ok(rows)
        })
    });
    let batcher = batcher(rules(), 1, run);
    Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
        .block_on(async {
            let ask = |x| batcher.submit(batch(vec![x]), CallOptions::default(), None);
            let answers = join_all([ask(1), ask(BAD), ask(2)]).await;
            let codes: Vec<_> = answers
                .iter()
                .map(|a| a.as_ref().map_err(|e| e.code).is_ok())
                .collect();
            assert_eq!(codes, [true, false, true]);
            ask(3).await.unwrap();
        });
}

#[test]
fn what_runs_in_no_time_is_not_queued() {
    let plain = batcher(rules(), 1, Box::new(|rows, _| Box::pin(double(rows))));
    assert!(plain.takes(1) && !plain.takes(64), "until it is known");
    plain.note_alone(64, Duration::from_nanos(1));
    assert!(plain.takes(1), "a large one says nothing of a small one");
    plain.note_alone(1, Duration::from_micros(8));
    assert!(!plain.takes(1));
    plain.note_alone(1, Duration::from_millis(9));
    assert!(!plain.takes(1), "interrupted");
    for _ in 0..100 {
        plain.note_alone(1, Duration::from_micros(80));
    }
    assert!(plain.takes(1) && plain.takes(32) && !plain.takes(33) && !plain.takes(0));
    let delay = Duration::from_millis(1);
    let asked = batcher(
        Rules { delay, ..rules() },
        1,
        Box::new(|rows, _| Box::pin(double(rows))),
    );
    asked.note_alone(1, Duration::from_nanos(1));
    assert!(asked.takes(1) && asked.takes(64) && !asked.takes(65));
}
