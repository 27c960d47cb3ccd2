//! Windows hold what they should: against a computation without panes, chunks or files.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use crate::support::{Bench, NOON, Predicted, SECOND, label, metric, predicted};

#[derive(Debug, Clone)]
struct Event {
    second: i64,
    score: f64,
    region: usize,
    label: Option<bool>,
}

const REGIONS: [Option<&str>; 3] = [Some("north"), Some("south"), None];

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = (0..60i64, 0..=10u8, 0..3usize, prop::option::of(any::<bool>()));
    let event = event.prop_map(|(second, score, region, label)| Event {
        second,
        score: f64::from(score) / 10.0,
        region,
        label,
    });
    prop::collection::vec(event, 1..60)
}

/// Rows, labelled, and right ones.
type Tally = (u64, u64, u64);

fn add(tally: &mut Tally, event: &Event) {
    tally.0 += 1;
    if let Some(label) = event.label {
        tally.1 += 1;
        tally.2 += u64::from(label == (event.score >= 0.5));
    }
}

fn fill(bench: &Bench, events: &[Event]) {
    for (part, list) in events.chunks(7).enumerate() {
        let requests: Vec<(String, Vec<Predicted>)> = list
            .iter()
            .enumerate()
            .map(|(i, event)| {
                let one = Predicted {
                    region: REGIONS[event.region],
                    ..predicted(NOON + event.second * SECOND, event.score)
                };
                (format!("r{}", part * 7 + i), vec![one])
            })
            .collect();
        let requests: Vec<(&str, Vec<Predicted>)> = requests
            .iter()
            .map(|(id, list)| (id.as_str(), list.clone()))
            .collect();
        bench.log_of("t", "d", &requests, 0);
    }
    let labels = events.iter().enumerate().filter_map(|(i, event)| {
        let value = if event.label? { "1" } else { "0" };
        Some(label(&format!("r{i}"), 0, value, NOON + 70 * SECOND))
    });
    bench.record(labels.collect()).unwrap();
}

fn found(bench: &Bench, by_rows: bool) -> BTreeMap<(i64, Option<Option<String>>), Tally> {
    let mut found = BTreeMap::new();
    for window in bench.windows() {
        let start = match by_rows {
            true => window.window.start_row.unwrap() as i64,
            false => (window.window.start.as_microsecond() - NOON) / SECOND,
        };
        for part in &window.parts {
            let right = match part.labelled {
                0 => 0,
                n => (metric(part, "accuracy") * n as f64).round() as u64,
            };
            let segment = part.segment.as_ref().map(|segment| segment.value.clone());
            found.insert((start, segment), (part.predictions, part.labelled, right));
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn of_time((events, sizes) in (events(), prop::sample::select(vec![(10, 10), (20, 5), (12, 8), (7, 7)]))) {
        let (size, step) = sizes;
        let bench = Bench::binary(json!({
            "segments": ["region"], "window": {"seconds": size, "step_seconds": step},
        }));
        fill(&bench, &events);
        bench.evaluate(NOON + 100 * SECOND);
        let newest = events.iter().map(|event| event.second).max().unwrap();
        let mut expected: BTreeMap<(i64, Option<Option<String>>), Tally> = BTreeMap::new();
        // NOON is a multiple of all steps but 7, whose windows start elsewhere.
        let shift = (NOON / SECOND).rem_euclid(step);
        for start in (-shift - 10 * step..=60).step_by(step as usize) {
            if start + size > newest {
                continue;
            }
            for event in events.iter().filter(|e| (start..start + size).contains(&e.second)) {
                let region = REGIONS[event.region].map(str::to_owned);
                add(expected.entry((start, None)).or_default(), event);
                add(expected.entry((start, Some(region))).or_default(), event);
            }
        }
        prop_assert_eq!(found(&bench, false), expected);
    }

    #[test]
    fn of_rows((events, sizes) in (events(), prop::sample::select(vec![(10, 10), (8, 4), (6, 4)]))) {
        let (size, step) = sizes;
        let bench = Bench::binary(json!({"window": {"rows": size, "step_rows": step}}));
        fill(&bench, &events);
        bench.evaluate(NOON + 100 * SECOND);
        let mut expected: BTreeMap<(i64, Option<Option<String>>), Tally> = BTreeMap::new();
        for start in (0..events.len()).step_by(step).filter(|start| start + size <= events.len()) {
            for event in &events[start..start + size] {
                add(expected.entry((start as i64, None)).or_default(), event);
            }
        }
        prop_assert_eq!(found(&bench, true), expected);
    }
}

#[test]
fn rows_keep_their_numbers_when_old_files_go() {
    let bench = Bench::binary(json!({"window": {"rows": 2}}));
    let one = |id: &str, second| bench.log(&[(id, vec![predicted(NOON + second * SECOND, 0.9)])]);
    (0..4).for_each(|i| one(&format!("r{i}"), i));
    bench.evaluate(NOON + 10 * SECOND);
    let mut paths = Vec::new();
    let objects = bench.store.objects();
    objects
        .visit("predictions", |object| {
            paths.push(object.path);
            Ok(())
        })
        .unwrap();
    paths.iter().for_each(|path| objects.remove(path).unwrap());
    let bench = bench.restarted();
    let one = |id: &str, second| bench.log(&[(id, vec![predicted(NOON + second * SECOND, 0.9)])]);
    (4..6).for_each(|i| one(&format!("r{i}"), i));
    bench.evaluate(NOON + 20 * SECOND);
    let starts: Vec<_> = bench
        .windows()
        .iter()
        .map(|w| w.window.start_row.unwrap())
        .collect();
    assert_eq!(starts, [0, 2, 4]);
}
