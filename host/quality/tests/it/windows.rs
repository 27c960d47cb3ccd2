use std::collections::{BTreeMap, BTreeSet};

use caisson_quality::accumulator::{Accumulator, Mismatch, StateError};
use caisson_quality::window::{Counts, Segment, SpecError, Window, WindowSpec, Windows};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

/// Which rows came, by their numbers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Rows(BTreeSet<usize>);

impl Accumulator for Rows {
    type Row<'a> = usize;

    fn add(&mut self, row: usize) {
        assert!(self.0.insert(row), "{row} twice");
    }

    fn merge(&mut self, other: &Self) -> Result<(), Mismatch> {
        for row in &other.0 {
            self.add(*row);
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        8 * self.0.len()
    }
}

#[derive(Debug, Clone)]
struct Event {
    time: i64,
    segment: Option<&'static str>,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    // A stream that drifts forward, with jumps, late events and equal times.
    let step = prop_oneof![6 => 0i64..4, 2 => -15i64..0, 1 => 20i64..90];
    let segment = prop_oneof![Just(Some("a")), Just(Some("b")), Just(None)];
    prop::collection::vec((step, segment), 1..120).prop_map(|steps| {
        let mut time = -40;
        let event = |(step, segment)| {
            time += step;
            Event { time, segment }
        };
        steps.into_iter().map(event).collect()
    })
}

/// Every window as the definition has it: for each window a set of all its rows that came before it
/// closed.
fn naive(spec: WindowSpec, events: &[Event]) -> (BTreeMap<i64, BTreeSet<usize>>, u64, i64) {
    let (size, step, lateness) = (spec.size as i64, spec.step as i64, spec.lateness as i64);
    let mut watermark = i64::MIN;
    let mut newest = i64::MIN;
    let mut windows = BTreeMap::<i64, BTreeSet<usize>>::new();
    let mut late = 0;
    for (row, event) in events.iter().enumerate() {
        let mut is_in = false;
        // All that can hold the time, and one more on either side.
        for k in (event.time - size).div_euclid(step)..=event.time.div_euclid(step) + 1 {
            let (start, end) = (k * step, k * step + size);
            if start <= event.time && event.time < end && watermark < end {
                windows.entry(start).or_default().insert(row);
                is_in = true;
            }
        }
        if !is_in {
            late += 1;
            continue;
        }
        newest = newest.max(event.time);
        watermark = newest - lateness;
    }
    (windows, late, watermark)
}

fn check_parts(events: &[Event], window: &Window<Rows>) {
    for (segment, rows) in &window.segments {
        for row in &rows.0 {
            let expected = events[*row]
                .segment
                .map_or(Segment::Missing, |name| Segment::Named(name.into()));
            assert_eq!(*segment, expected);
        }
    }
    let parts: BTreeSet<usize> = window
        .segments
        .iter()
        .flat_map(|(_, rows)| rows.0.clone())
        .collect();
    assert_eq!(parts, window.whole.0);
}

proptest! {
    #[test]
    fn windows_hold_what_the_definition_says(
        events in events(), size in 1u64..25, step in 1u64..25, lateness in 0u64..20, stop in 0usize..120,
    ) {
        let spec = WindowSpec::event_time_ms(size, step.min(size), lateness);
        let mut windows = Windows::new(spec, Rows::default()).unwrap();
        let mut closed = Vec::new();
        for (row, event) in events.iter().enumerate() {
            if row == stop {
                // A restart in between changes nothing.
                windows = Windows::restore(spec, &Rows::default(), &windows.save().unwrap()).unwrap();
            }
            closed.extend(windows.add(event.time, i64::MAX, Some(event.segment), row).unwrap());
            prop_assert!(windows.bytes() <= 8 * events.len());
        }
        let (expected, late, watermark) = naive(spec, &events);
        prop_assert_eq!(windows.counts(), Counts {
            taken: events.len() as u64 - late,
            late,
            ahead: 0,
        });
        prop_assert_eq!(windows.watermark(), Some(watermark));
        closed.iter().for_each(|window| check_parts(&events, window));
        let open = windows.open().unwrap();
        // What is open is what closes when time passes.
        let rest = windows.advance(i64::MAX).unwrap();
        prop_assert_eq!(&open, &rest);
        prop_assert_eq!(windows.bytes(), 0);
        let by_start = |windows: &[Window<Rows>]| {
            windows.iter().map(|w| (w.start, w.whole.0.clone())).collect::<Vec<_>>()
        };
        let (was_closed, was_open): (Vec<_>, Vec<_>) = expected
            .into_iter()
            .partition(|(start, _)| start + size as i64 <= watermark);
        prop_assert_eq!(by_start(&closed), was_closed);
        prop_assert_eq!(by_start(&rest), was_open);
    }

    #[test]
    fn windows_of_rows_hold_the_rows_of_their_numbers(rows in 0usize..80, size in 1u64..20, step in 1u64..20) {
        let (size, step) = (size, step.min(size));
        let mut windows = Windows::new(WindowSpec::rows(size, step), Rows::default()).unwrap();
        let mut closed = Vec::new();
        for row in 0..rows {
            closed.extend(windows.add(0, 0, None, row).unwrap());
        }
        let all: Vec<_> = (0..).map(|k| k * step).take_while(|start| start + size <= rows as u64).collect();
        prop_assert_eq!(closed.len(), all.len());
        for (window, start) in closed.iter().zip(all) {
            prop_assert_eq!((window.start, window.end), (start as i64, (start + size) as i64));
            prop_assert_eq!(&window.whole.0, &(start as usize..(start + size) as usize).collect::<BTreeSet<_>>());
            prop_assert!(window.segments.is_empty());
        }
    }
}

#[test]
fn a_time_ahead_of_the_clock_closes_nothing() {
    let mut windows = Windows::new(WindowSpec::event_time_ms(1000, 1000, 0), Rows::default()).unwrap();
    windows.add(100, 200, None, 0).unwrap();
    assert_eq!(windows.add(i64::MAX, 300, None, 1).unwrap(), []);
    assert_eq!(windows.counts().ahead, 1);
    windows.add(900, 950, None, 2).unwrap();
    let closed = windows.add(1000, 1000, None, 3).unwrap();
    assert_eq!(closed[0].whole.0, [0, 2].into());
    assert_eq!(windows.add(i64::MIN, 1000, None, 4).unwrap(), []);
    assert_eq!(
        windows.counts(),
        Counts {
            taken: 3,
            late: 1,
            ahead: 1
        }
    );
}

#[test]
fn segments_beyond_the_limit_are_other_and_make_room_again() {
    let spec = WindowSpec {
        segments: 2,
        ..WindowSpec::event_time_ms(10, 10, 0)
    };
    let mut windows = Windows::new(spec, Rows::default()).unwrap();
    let long = "x".repeat(300);
    for (row, name) in ["a", "b", "c", "a", "d", &long].into_iter().enumerate() {
        windows.add(0, 0, Some(Some(name)), row).unwrap();
    }
    windows.add(1, 0, Some(None), 6).unwrap();
    let named = |name: &str| Segment::Named(name.into());
    let rows = |rows: &[usize]| Rows(rows.iter().copied().collect());
    let closed = windows.add(10, 10, Some(Some("c")), 7).unwrap();
    let expected = [
        (named("a"), rows(&[0, 3])),
        (named("b"), rows(&[1])),
        (Segment::Missing, rows(&[6])),
        (Segment::Other, rows(&[2, 4, 5])),
    ];
    assert_eq!(closed[0].segments, expected);
    // The pane of `a` and `b` is gone: others have a place now.
    windows.add(11, 10, Some(Some("d")), 8).unwrap();
    let closed = windows.advance(20).unwrap();
    let expected = [(named("d"), rows(&[8])), (Segment::Other, rows(&[7]))];
    assert_eq!(closed[0].segments, expected);
}

#[test]
fn lengths_that_cannot_be_are_refused() {
    let refused = |spec: WindowSpec| Windows::new(spec, Rows::default()).unwrap_err();
    assert!(matches!(
        refused(WindowSpec::rows(0, 1)),
        SpecError::Length {
            what: "size",
            value: 0
        }
    ));
    assert!(matches!(
        refused(WindowSpec::rows(5, 0)),
        SpecError::Length { what: "step", .. }
    ));
    assert!(matches!(
        refused(WindowSpec::rows(5, 6)),
        SpecError::Gaps { size: 5, step: 6 }
    ));
    let day = 86_400_000;
    let panes = refused(WindowSpec::event_time_ms(day, 7, 0));
    assert!(matches!(panes, SpecError::Panes { pane: 1, .. }), "{panes}");
    let late = WindowSpec {
        lateness: 3,
        ..WindowSpec::rows(5, 5)
    };
    assert!(matches!(refused(late), SpecError::Lateness(3)));
    let ahead = WindowSpec {
        ahead: u64::MAX,
        ..WindowSpec::event_time_ms(5, 5, 0)
    };
    assert!(matches!(refused(ahead), SpecError::Ahead(u64::MAX)));
    let many = WindowSpec {
        segments: 101,
        ..WindowSpec::rows(5, 5)
    };
    assert!(matches!(refused(many), SpecError::Segments(101)));
    assert!(Windows::new(WindowSpec::event_time_ms(day, 60_000, 3_600_000), Rows::default()).is_ok());
}

#[test]
fn a_state_of_other_windows_is_refused() {
    let spec = WindowSpec::event_time_ms(10, 5, 2);
    let windows = Windows::new(spec, Rows::default()).unwrap();
    let bytes = windows.save().unwrap();
    let other = WindowSpec::event_time_ms(20, 5, 2);
    let refused = Windows::restore(other, &Rows::default(), &bytes).unwrap_err();
    assert!(matches!(refused, StateError::Kind { .. }), "{refused}");
    use caisson_quality::summary::{Kind, Summary};
    let summary = |kind| Summary::new(&[kind]).unwrap();
    let bytes = Windows::new(spec, summary(Kind::Number)).unwrap().save().unwrap();
    assert!(Windows::restore(spec, &summary(Kind::Number), &bytes).is_ok());
    let refused = Windows::restore(spec, &summary(Kind::Category), &bytes).unwrap_err();
    assert!(
        refused.to_string().contains("[Number] here and [Category] there"),
        "{refused}"
    );
}
