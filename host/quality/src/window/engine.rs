//! Panes, the watermark, and windows that close.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::accumulator::{Accumulator, Mismatch, StateError, load, save};
use crate::window::spec::{Clock, SEGMENT_BYTES_MAX, SpecError, WindowSpec};

/// Which rows an accumulator is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Segment {
    /// Those with this value in the column that segments are made by.
    Named(String),
    /// Those without a value.
    Missing,
    /// Those with any other value.
    Other,
}

/// A window that closed.
#[derive(Debug, Clone, PartialEq)]
pub struct Window<A> {
    /// Its first moment, or the number of its first row.
    pub start: i64,
    /// The moment after its last.
    pub end: i64,
    /// All its rows.
    pub whole: A,
    /// Each segment that has rows in it; empty unless rows come with segments.
    pub segments: Vec<(Segment, A)>,
}

/// Rows that came, by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Taken in.
    pub taken: u64,
    /// Left out, since their windows were all closed.
    pub late: u64,
    /// Left out, since their time was ahead of the clock by more than is allowed.
    pub ahead: u64,
}

type Pane<A> = BTreeMap<Option<Segment>, A>;

/// Windows over a stream.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Windows<A> {
    spec: WindowSpec,
    empty: A,
    panes: BTreeMap<i64, Pane<A>>,
    /// Segments that are kept apart now, and in how many panes each is.
    names: BTreeMap<String, u64>,
    /// The first window that isn't closed.
    next: Option<i64>,
    /// Newest event's time; where rows are counted, how many came.
    newest: Option<i64>,
    counts: Counts,
}

impl<A: Accumulator> Windows<A> {
    /// Windows in which rows are gathered by clones of `empty`.
    ///
    /// # Errors
    ///
    /// [`SpecError`] for lengths that can't be.
    pub fn new(spec: WindowSpec, empty: A) -> Result<Self, SpecError> {
        spec.check()?;
        Ok(Self {
            spec,
            empty,
            panes: BTreeMap::new(),
            names: BTreeMap::new(),
            next: (spec.clock == Clock::Rows).then_some(0),
            newest: None,
            counts: Counts::default(),
        })
    }

    /// Rows that came so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// No window that ends by then takes another row. `None` before the first row.
    pub fn watermark(&self) -> Option<i64> {
        self.newest.map(|newest| newest - self.spec.lateness as i64)
    }

    /// About how many bytes of memory the panes hold.
    pub fn bytes(&self) -> usize {
        self.panes.values().flat_map(BTreeMap::values).map(A::bytes).sum()
    }

    /// Take in a row: when it happened (ignored where rows are counted), what time it is now, and its
    /// segment (`None`: rows have no segments). Gives the windows that it closes, oldest first.
    ///
    /// # Errors
    ///
    /// [`Mismatch`] only where the state was put together from parts that don't fit.
    pub fn add(
        &mut self,
        event_ms: i64,
        now_ms: i64,
        segment: Option<Option<&str>>,
        row: A::Row<'_>,
    ) -> Result<Vec<Window<A>>, Mismatch> {
        let time = match self.spec.clock {
            Clock::Rows => self.newest.unwrap_or(0),
            Clock::EventTimeMs => event_ms.clamp(-TIME_MAX, TIME_MAX),
        };
        if self.spec.clock == Clock::EventTimeMs && time > now_ms.saturating_add(self.spec.ahead as i64) {
            self.counts.ahead += 1;
            return Ok(Vec::new());
        }
        let pane = time.div_euclid(self.pane());
        if self.next.is_some_and(|next| self.last_window(pane) < next) {
            self.counts.late += 1;
            return Ok(Vec::new());
        }
        self.counts.taken += 1;
        let segment = segment.map(|name| self.segment(name));
        let place = self.panes.entry(pane).or_default();
        if let (Some(Segment::Named(name)), false) = (&segment, place.contains_key(&segment)) {
            *self.names.entry(name.clone()).or_default() += 1;
        }
        place
            .entry(segment)
            .or_insert_with(|| self.empty.clone())
            .add(row);
        let reached = match self.spec.clock {
            Clock::Rows => time + 1,
            Clock::EventTimeMs => time,
        };
        self.newest = Some(self.newest.map_or(reached, |newest| newest.max(reached)));
        self.close()
    }

    /// Let time pass without rows: rows older than `watermark` are late from now on. For streams that
    /// fall silent; does nothing where rows are counted.
    ///
    /// # Errors
    ///
    /// As [`Self::add`].
    pub fn advance(&mut self, watermark: i64) -> Result<Vec<Window<A>>, Mismatch> {
        if self.spec.clock == Clock::Rows {
            return Ok(Vec::new());
        }
        let newest = watermark.clamp(-TIME_MAX, TIME_MAX) + self.spec.lateness as i64;
        self.newest = Some(self.newest.map_or(newest, |before| before.max(newest)));
        self.close()
    }

    /// The windows that are open, as far as they have come, oldest first: for a look at what is under
    /// way. Nothing is closed.
    ///
    /// # Errors
    ///
    /// As [`Self::add`].
    pub fn open(&self) -> Result<Vec<Window<A>>, Mismatch> {
        let last = self
            .panes
            .last_key_value()
            .map(|(pane, _)| self.last_window(*pane));
        let mut open = Vec::new();
        let mut at = self.first_with_rows(self.next.unwrap_or(i64::MIN));
        while let Some(window) = at.filter(|window| Some(*window) <= last) {
            open.extend(self.gather(window)?);
            at = self.first_with_rows(window + 1);
        }
        Ok(open)
    }

    /// The state, to be taken up again by [`Self::restore`].
    ///
    /// # Errors
    ///
    /// [`StateError::TooLarge`].
    pub fn save(&self) -> Result<Vec<u8>, StateError> {
        save(KIND, self)
    }

    /// Take up a saved state. `spec` and `empty` are those that the windows would be made with now.
    ///
    /// # Errors
    ///
    /// [`StateError`] for bytes that aren't a state of this release, and for one of windows with other
    /// lengths or settings.
    pub fn restore(spec: WindowSpec, empty: &A, bytes: &[u8]) -> Result<Self, StateError> {
        let state: Self = load(KIND, bytes)?;
        let differs = |found: String, expected: String| StateError::Kind { found, expected };
        if state.spec != spec {
            let (found, expected) = (format!("{:?}", state.spec), format!("{spec:?}"));
            return Err(differs(found, expected));
        }
        let fits = state.empty.clone().merge(empty);
        fits.map_err(|e| differs(format!("windows whose rows {e}"), "other settings".into()))?;
        Ok(state)
    }

    fn pane(&self) -> i64 {
        self.spec.pane() as i64
    }

    fn size(&self) -> i64 {
        self.spec.size as i64
    }

    fn step(&self) -> i64 {
        self.spec.step as i64
    }

    /// The first and the last window that a pane is part of.
    fn first_window(&self, pane: i64) -> i64 {
        (pane * self.pane() - self.size()).div_euclid(self.step()) + 1
    }

    fn last_window(&self, pane: i64) -> i64 {
        (pane * self.pane()).div_euclid(self.step())
    }

    /// Panes of a window.
    fn panes_of(&self, window: i64) -> std::ops::Range<i64> {
        let start = window * self.step() / self.pane();
        start..start + self.size() / self.pane()
    }

    /// The first window from this one on that has a row.
    fn first_with_rows(&self, from: i64) -> Option<i64> {
        let mut panes = self.panes.keys().filter(|pane| self.last_window(**pane) >= from);
        panes.next().map(|pane| self.first_window(*pane).max(from))
    }

    fn segment(&self, name: Option<&str>) -> Segment {
        match name {
            None => Segment::Missing,
            Some(name) if self.names.contains_key(name) => Segment::Named(name.to_owned()),
            Some(name) if self.names.len() < self.spec.segments && name.len() <= SEGMENT_BYTES_MAX => {
                Segment::Named(name.to_owned())
            }
            Some(_) => Segment::Other,
        }
    }

    fn close(&mut self) -> Result<Vec<Window<A>>, Mismatch> {
        let Some(watermark) = self.watermark() else {
            return Ok(Vec::new());
        };
        let after = (watermark - self.size()).div_euclid(self.step()) + 1;
        let mut closed = Vec::new();
        let mut at = self.first_with_rows(self.next.unwrap_or(i64::MIN));
        while let Some(window) = at.filter(|window| *window < after) {
            closed.extend(self.gather(window)?);
            at = self.first_with_rows(window + 1);
        }
        let next = self.next.map_or(after, |next| next.max(after));
        self.next = Some(next);
        while let Some(oldest) = self.panes.first_entry() {
            let is_done = (*oldest.key() * self.spec.pane() as i64).div_euclid(self.spec.step as i64) < next;
            if !is_done {
                break;
            }
            for segment in oldest.remove().into_keys().flatten() {
                self.forget(&segment);
            }
        }
        Ok(closed)
    }

    /// A pane with this segment is gone.
    fn forget(&mut self, segment: &Segment) {
        let Segment::Named(name) = segment else {
            return;
        };
        if let Some(panes) = self.names.get_mut(name) {
            *panes -= 1;
            if *panes == 0 {
                self.names.remove(name);
            }
        }
    }

    fn gather(&self, window: i64) -> Result<Option<Window<A>>, Mismatch> {
        let mut parts: Pane<A> = BTreeMap::new();
        for pane in self.panes.range(self.panes_of(window)).flat_map(|(_, pane)| pane) {
            let (segment, rows) = pane;
            match parts.get_mut(segment) {
                Some(sum) => sum.merge(rows)?,
                None => drop(parts.insert(segment.clone(), rows.clone())),
            }
        }
        let mut parts_left = parts.values();
        let Some(mut whole) = parts_left.next().cloned() else {
            return Ok(None);
        };
        parts_left.try_for_each(|part| whole.merge(part))?;
        let start = window * self.step();
        let named = parts
            .into_iter()
            .filter_map(|(segment, rows)| Some((segment?, rows)));
        Ok(Some(Window {
            start,
            end: start + self.size(),
            whole,
            segments: named.collect(),
        }))
    }
}

const KIND: &str = "windows";
/// The year 35,000 either way: times beyond are held here, so that sums can't overflow.
const TIME_MAX: i64 = 1 << 50;
