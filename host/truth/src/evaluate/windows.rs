//! Panes and windows: which there are, and what is in each.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use caisson_quality::window::Segment;
use jiff::Timestamp;

use super::chunk::{Chunk, Stored};
use crate::TruthError;
use crate::card::{Card, Row, Setup};
use crate::result::SegmentName;
use crate::spec::Span;

/// Values of a column that are looked at apart, the first ones that come; the rest is "other".
pub(super) const SEGMENTS_MAX: usize = 20;

/// A column's number and a value in it.
pub(super) type Place = Option<(usize, Segment)>;

/// What is gathered of a piece of time, or of a number of rows.
#[derive(Debug, Clone, Default)]
pub(super) struct Pane {
    pub(super) cards: BTreeMap<Place, Card>,
    pub(super) revisions: BTreeSet<u64>,
    pub(super) first: Option<i64>,
    pub(super) last: Option<i64>,
    pub(super) received: Option<i64>,
}

/// Segments by name: the first that came, of each column.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct KnownSegments(Vec<Vec<String>>);

impl KnownSegments {
    pub(super) fn of(columns: usize) -> Self {
        Self(vec![Vec::new(); columns])
    }

    fn segment(&mut self, column: usize, name: Option<&str>) -> Segment {
        let Some(name) = name else {
            return Segment::Missing;
        };
        let Some(known) = self.0.get_mut(column) else {
            return Segment::Other;
        };
        if known.iter().any(|known| known == name) {
            return Segment::Named(name.to_owned());
        }
        if known.len() < SEGMENTS_MAX {
            known.push(name.to_owned());
            return Segment::Named(name.to_owned());
        }
        Segment::Other
    }
}

/// The last step of each series.
pub(super) type Series = HashMap<u64, (f64, f64)>;

/// Gather the rows of a chunk.
pub(super) fn fold(
    chunk: &mut Chunk<'_>,
    setup: &Setup,
    known: &mut KnownSegments,
    series: &mut Series,
    panes: &mut BTreeMap<i64, Pane>,
) {
    let columns = known.0.len();
    let mut order: Vec<usize> = (0..chunk.rows.len()).collect();
    let time = |row: &usize| chunk.rows.get(*row).map_or(0, |row| row.time);
    order.sort_by_key(time);
    for at in order {
        let Some(row) = chunk.rows.get(at) else {
            continue;
        };
        let label = row.label();
        let step = match (label, row.predicted) {
            (Stored::Number(actual), Stored::Number(predicted)) => Some((actual, predicted)),
            _ => None,
        };
        let before = match step {
            Some(step) => series.insert(row.series, step),
            None => None,
        };
        let value = Row {
            predicted: chunk.names.value(row.predicted),
            scores: chunk.scores_of(at),
            label: chunk.names.value(label),
            before,
            restated: row.restated.into(),
        };
        let pane = panes.entry(row.pane).or_default();
        pane.revisions.insert(row.revision);
        pane.first = Some(pane.first.map_or(row.time, |first| first.min(row.time)));
        pane.last = Some(pane.last.map_or(row.time, |last| last.max(row.time)));
        pane.received = Some(pane.received.map_or(row.received, |last| last.max(row.received)));
        let segments = (0..columns).map(|column| {
            let name = chunk.segments.get(at * columns + column).copied().flatten();
            Some((
                column,
                known.segment(column, name.map(|name| chunk.names.get(name))),
            ))
        });
        for place in std::iter::once(None).chain(segments) {
            pane.cards
                .entry(place)
                .or_insert_with(|| setup.card())
                .add(setup, &value);
        }
    }
    chunk.clear();
}

/// A window that is put together.
#[derive(Debug, Clone)]
pub(super) struct Gathered {
    pub(super) at: i64,
    pub(super) cards: BTreeMap<Place, Card>,
    pub(super) revisions: Vec<u64>,
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) received: i64,
}

impl Span {
    /// The first and the last window that a pane is part of; of rows there is none before the first.
    pub(super) fn windows_of(&self, pane: i64) -> std::ops::RangeInclusive<i64> {
        let start = pane.saturating_mul(self.pane());
        let first = (start - self.size).div_euclid(self.step) + 1;
        let first = if self.by_rows { first.max(0) } else { first };
        first..=start.div_euclid(self.step)
    }

    /// The panes of a window.
    pub(super) fn panes_of(&self, window: i64) -> std::ops::Range<i64> {
        let start = window * self.step / self.pane();
        start..start + self.size / self.pane()
    }

    pub(super) fn end(&self, window: i64) -> i64 {
        window.saturating_mul(self.step).saturating_add(self.size)
    }
}

/// Put a window together; none where it has no row.
pub(super) fn gather(
    window: i64,
    span: &Span,
    panes: &BTreeMap<i64, Pane>,
) -> Result<Option<Gathered>, TruthError> {
    let mut all: Option<Gathered> = None;
    for pane in panes.range(span.panes_of(window)).map(|(_, pane)| pane) {
        let (Some(first), Some(last), Some(received)) = (pane.first, pane.last, pane.received) else {
            continue;
        };
        let gathered = all.get_or_insert_with(|| Gathered {
            at: window,
            cards: BTreeMap::new(),
            revisions: Vec::new(),
            first,
            last,
            received,
        });
        gathered.first = gathered.first.min(first);
        gathered.last = gathered.last.max(last);
        gathered.received = gathered.received.max(received);
        gathered.revisions.extend(&pane.revisions);
        merge(&mut gathered.cards, &pane.cards)?;
    }
    Ok(all.map(|mut gathered| {
        gathered.revisions.sort_unstable();
        gathered.revisions.dedup();
        gathered
    }))
}

pub(super) fn merge(
    into: &mut BTreeMap<Place, Card>,
    cards: &BTreeMap<Place, Card>,
) -> Result<(), TruthError> {
    for (place, card) in cards {
        match into.get_mut(place) {
            Some(sum) => sum.merge(card).map_err(|e| TruthError::Read(e.to_string()))?,
            None => drop(into.insert(place.clone(), card.clone())),
        }
    }
    Ok(())
}

/// A segment's name, for people.
pub(super) fn name(place: &Place, columns: &[String]) -> Option<SegmentName> {
    let (column, segment) = place.as_ref()?;
    let column = columns.get(*column).map_or("", String::as_str);
    Some(SegmentName::new(column, segment))
}

/// A moment, for people.
pub(super) fn moment(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or(if micros < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}
